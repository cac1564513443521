"""Grids and combinations of vectors: meshgrid, cartesian_prod, combinations; and places in a grid:
unravel_index.
"""

import itertools
import math

import numpy as np

from fastdl._engine import tensor_of
from fastdl.ops import index
from fastdl.ops.core import is_tensor, sizes
from fastdl.ops.join import stack
from fastdl.ops.shape import expand_to, reshape_to

__all__ = ["cartesian_prod", "combinations", "meshgrid", "unravel_index"]


def _vectors(function, tensors):
    tensors = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)) else tensors
    for x in tensors:
        if not is_tensor(x):
            raise TypeError(f"{function}(): expected Tensors, but got {type(x).__name__}")
        if x.array.ndim > 1:
            raise RuntimeError(f"{function}: expected vectors, but got shape {list(x.array.shape)}")
    return tensors


def meshgrid(*tensors, indexing="ij"):
    """Coordinate grids of vectors; indexing 'ij' (rows first) or 'xy'."""
    tensors = _vectors("meshgrid", tensors)
    if not tensors:
        raise RuntimeError("meshgrid expects a non-empty TensorList")
    if indexing not in ("ij", "xy"):
        raise RuntimeError(
            f'meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}'
        )
    if len({x.array.dtype for x in tensors}) > 1:
        raise RuntimeError("meshgrid expects all tensors to have the same dtype")
    swapped = indexing == "xy" and len(tensors) >= 2
    if swapped:
        tensors = (tensors[1], tensors[0], *tensors[2:])
    shape = tuple([x.array.size for x in tensors])
    grids = [
        expand_to(reshape_to(x, shape=(1,) * i + (-1,) + (1,) * (len(shape) - i - 1)), shape=shape)
        for i, x in enumerate(tensors)
    ]
    if swapped:
        grids[:2] = grids[1], grids[0]
    return tuple(grids)


def cartesian_prod(*tensors):
    """All choices of one element of each vector: (count, number of vectors); of a single vector,
    that itself.

    >>> import fastdl
    >>> fastdl.cartesian_prod(fastdl.tensor([1, 2]), fastdl.tensor([3, 4]))
    tensor([[1, 3],
            [1, 4],
            [2, 3],
            [2, 4]])
    """
    tensors = _vectors("cartesian_prod", tensors)
    if len(tensors) == 1:
        return tensors[0]
    return stack([g.flatten() for g in meshgrid(*tensors)], 1)


def combinations(input, r=2, with_replacement=False):
    """All choices of `r` elements of a vector in the order they stand there: (count, r)."""
    if input.array.ndim != 1:
        raise RuntimeError(f"Expect a 1D vector, but got shape {list(input.array.shape)}")
    if r < 0:
        raise RuntimeError(f"Expect a non-negative number, but got {r}")
    if r == 0:
        return tensor_of(np.empty(0, input.array.dtype))
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    chosen = np.array(list(choose(range(input.array.size), r)), np.int64).reshape(-1, r)
    return index.take_at(input, index=(chosen, Ellipsis))


def unravel_index(indices, shape):
    """Coordinates of places in the row-major order of `shape`: a tuple of int64 tensors."""
    if indices.array.dtype.kind not in "iu":
        raise TypeError(f"expected 'indices' to be integer dtype, but got {indices.dtype}")
    shape = sizes("unravel_index", (shape,) if not isinstance(shape, int) else ((shape,),))
    if any(n < 0 for n in shape):
        raise ValueError(f"'shape' cannot have negative values, but got {shape}")
    found, steps = [], 1
    for n in reversed(shape):
        found.append(tensor_of(indices.array.astype(np.int64) // max(steps, 1) % max(n, 1)))
        steps *= n
    if math.prod(shape) == 0 and indices.array.size:
        raise RuntimeError(f"unravel_index: no place in an array of shape {list(shape)}")
    return tuple(reversed(found))
