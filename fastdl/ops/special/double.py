"""What the special functions share: their arithmetic is double, whatever the dtype."""

import functools

import numpy as np

from fastdl.ops.core import as_arrays


def in_double(function):
    """Decorator: `function` gets float64 arrays of one dimension and one length; its result takes
    the shape and dtype of the arguments.
    """

    @functools.wraps(function)
    def forward(*arrays, **static):
        arrays = as_arrays(*arrays)
        if len(arrays) == 1 and arrays[0].flags.fnc:  # the result is laid out as it is
            return forward(arrays[0].T, **static).T
        dtype = arrays[0].dtype
        shape = np.broadcast_shapes(*[a.shape for a in arrays])
        wide = [np.broadcast_to(a, shape).astype(np.float64).reshape(-1) for a in arrays]
        return function(*wide, **static).reshape(shape).astype(dtype, copy=False)

    return forward


def chebyshev(coefficients, x, low, high):
    """The Chebyshev series on [low, high] at x."""
    return np.polynomial.chebyshev.chebval((2 * x - (low + high)) / (high - low), coefficients)
