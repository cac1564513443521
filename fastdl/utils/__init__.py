"""Exists for PyTorch's name ``utils.data``; nothing else lives here."""

from fastdl.utils import data

__all__ = ["data"]
