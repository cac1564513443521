"""Packages beside the layers: `data`, `checkpoint` and `dlpack`."""

from fastdl.utils import checkpoint, data, dlpack

__all__ = ["checkpoint", "data", "dlpack"]
