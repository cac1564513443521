"""What the functions share: any number of dimensions in front of the last ones."""

from __future__ import annotations

import numpy as np

from fastdl import _dtype
from fastdl.ops.creation import from_numpy
from fastdl.tensor import Tensor

__all__ = ["as_batch", "numbers_in"]


def as_batch(x: Tensor, kept: int) -> tuple[Tensor, tuple[int, ...]]:
    """x with all but the last `kept` dimensions in one, and those it replaced."""
    if x.ndim < kept:
        raise ValueError(f"expected a tensor of at least {kept} dimensions, but got {x.ndim}")
    shape = tuple(x.shape)
    lead = shape[: len(shape) - kept]
    count = int(np.prod(lead, dtype=np.int64))
    return x.reshape(count, *shape[len(lead) :]), lead


def numbers_in(values: np.ndarray) -> Tensor:
    """A tensor of the default dtype."""
    return from_numpy(values.astype(_dtype.get_default_dtype().dtype))
