"""Are all, is any, and how many elements are not zero."""

import numpy as np

from fastdl._engine import shortcut, tensor_of
from fastdl.ops.core import aliases, normal_dims, takes_out

__all__ = ["all", "any", "count_nonzero"]


def _truth(ufunc, input, dim, keepdim):
    """Bools, but uint8 of uint8: PyTorch's masks before it had bools."""
    x = input.array
    if dim == ():
        found = x != 0
    else:
        found = ufunc.reduce(x, normal_dims(dim, x.ndim), keepdims=keepdim)
    return tensor_of(np.asarray(found, np.uint8 if x.dtype == np.uint8 else bool))


@shortcut()
@takes_out
@aliases
def all(input, dim=None, keepdim=False):
    """Are all elements non-zero, along `dim` (int or tuple; None: all; (): none)?"""
    return _truth(np.logical_and, input, dim, keepdim)


@shortcut()
@takes_out
@aliases
def any(input, dim=None, keepdim=False):
    """Is any element non-zero, along `dim` (int or tuple; None: all; (): none)?"""
    return _truth(np.logical_or, input, dim, keepdim)


@aliases
def count_nonzero(input, dim=None):
    """Number of elements that are not zero along `dim` (int or tuple; None: all), int64."""
    dims = None if dim is None else normal_dims(dim, input.array.ndim)
    return tensor_of(np.asarray(np.count_nonzero(input.array, dims)))
