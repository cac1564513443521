"""Packages beside the layers: `data`, `checkpoint`, `dlpack` and `tensorboard`; `summary`."""

from fastdl.nn.summary import summary
from fastdl.utils import checkpoint, data, dlpack, tensorboard

__all__ = ["checkpoint", "data", "dlpack", "summary", "tensorboard"]
