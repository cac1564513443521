"""Packages beside the layers: `data` and `checkpoint`."""

from fastdl.utils import checkpoint, data

__all__ = ["checkpoint", "data"]
