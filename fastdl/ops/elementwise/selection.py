"""One of several values, a bound, another dtype: where, maximum, clamp, masked_fill, cast."""

import math

import numpy as np

from fastdl import _dtype, backends
from fastdl.ops.core import elementwise, is_tensor, result_dtype

__all__ = [
    "clamp",
    "clamp_max",
    "clamp_min",
    "clip",
    "clone",
    "masked_fill",
    "maximum",
    "minimum",
    "where",
]


@elementwise(ufunc=np.maximum, kernel="maximum")
def maximum(x, y):
    """The greater; NaN if either is. Ties share the gradient."""


@elementwise(kernel="maximum_backward")
def maximum_backward(g, x, y):
    """g where x > y, half of it where they are equal, else 0."""
    return g * ((x > y) + (x == y) * g.dtype.type(0.5))


maximum.vjp(
    x=lambda g, x, y: maximum_backward(g, x, y),
    y=lambda g, x, y: maximum_backward(g, y, x),
)
maximum_backward.vjp(g=lambda h, x, y: maximum_backward(h, x, y))


@elementwise(ufunc=np.minimum, kernel="minimum")
def minimum(x, y):
    """The smaller; NaN if either is. Ties share the gradient."""


@elementwise(kernel="minimum_backward")
def minimum_backward(g, x, y):
    """g where x < y, half of it where they are equal, else 0."""
    return g * ((x < y) + (x == y) * g.dtype.type(0.5))


minimum.vjp(
    x=lambda g, x, y: minimum_backward(g, x, y),
    y=lambda g, x, y: minimum_backward(g, y, x),
)
minimum_backward.vjp(g=lambda h, x, y: minimum_backward(h, x, y))


@elementwise(promote=False)
def select(condition, x, y):
    """x where `condition`, else y; x and y of one dtype."""
    return backends.of(condition).select(condition, x, y)


select.vjp(
    x=lambda g, condition: select(condition, g, _zero_like(g)),
    y=lambda g, condition: select(condition, _zero_like(g), g),
)


def _zero_like(g):
    """A zero of the dtype of `g`, whichever array library it belongs to."""
    return g.array.dtype.type(0)


def where(condition, input=None, other=None):
    """`input` where `condition`, else `other`; alone, the places where `condition` is true."""
    if input is None and other is None:
        return condition.nonzero(as_tuple=True)
    if not is_tensor(condition):
        raise TypeError(
            f"where(): argument 'condition' must be Tensor, not {type(condition).__name__}"
        )
    if condition.array.dtype.kind != "b":
        if condition.array.dtype != np.uint8:
            raise RuntimeError(
                f"where expected condition to be a boolean tensor, but got {condition.dtype}"
            )
        condition = condition.bool()
    x, y = (a.array if is_tensor(a) else a for a in (input, other))
    if not hasattr(x, "dtype") or not hasattr(y, "dtype") or x.dtype != y.dtype:
        dtype = result_dtype((x, y))
        input, other = (_as_dtype(a, dtype) for a in (input, other))
    return select(condition, input, other)


def _as_dtype(a, dtype):
    return cast(a, dtype=dtype) if is_tensor(a) else np.asarray(a, dtype)


def _masked_fill_into(out, x, mask, value):
    mask = mask.astype(bool, copy=False)
    backends.of(x).masked_fill(x, mask, np.asarray(value, x.dtype), out)


@elementwise(promote=False, into=_masked_fill_into)
def masked_fill(x, mask, value):
    """x with `value` (a number or 0-d tensor) where `mask` is true."""
    mask = mask.astype(bool, copy=False)
    return backends.of(x).masked_fill(x, mask, np.asarray(value, x.dtype))


masked_fill.vjp(
    x=lambda g, mask: masked_fill(g, mask, 0.0),
    value=lambda g, mask: where(mask, g, 0.0),
)


def clamp(input, min=None, max=None):
    """`input` held between `min` and `max`: numbers or tensors, one of them may be None."""
    if min is None and max is None:
        raise RuntimeError("clamp: At least one of 'min' or 'max' must not be None")
    if is_tensor(min) or is_tensor(max):
        if min is not None:
            input = maximum(input, min)
        return input if max is None else minimum(input, max)
    return clamp_numbers(input, min=min, max=max)


def _clamp_into(out, x, *, min, max):
    np.clip(x, min, max, out=out, casting="same_kind")


@elementwise(into=_clamp_into, kernel="clamp")
def clamp_numbers(x, *, min, max):
    """x held between the numbers `min` and `max` (None: no bound)."""
    if x.dtype.kind != "f" and (isinstance(min, float) or isinstance(max, float)):
        x = x.astype(_dtype.get_default_dtype().dtype)
    return np.clip(x, min, max)


@elementwise(kernel="clamp_backward")
def clamp_backward(g, x, *, min, max):
    """g where min <= x <= max (None: no bound), else 0."""
    low, high = (-math.inf if min is None else min), (math.inf if max is None else max)
    return g * ((x >= low) & (x <= high))


clamp_numbers.vjp(x=lambda g, x, min, max: clamp_backward(g, x, min=min, max=max))
clamp_backward.vjp(g=lambda h, x, min, max: clamp_backward(h, x, min=min, max=max))


@elementwise(promote=False)
def cast(x, *, dtype):
    """x as `dtype` (a NumPy dtype); always a copy."""
    return x.astype(dtype)


cast.vjp(x=lambda g: g)  # the engine casts the gradient back


@elementwise(promote=False)
def clone(x):
    """A copy of x, laid out as x is."""
    return backends.of(x).copy(x) if x.flags.c_contiguous else x.copy(order="K")


clone.vjp(x=lambda g: g)


def _fill_into(out, x, value):
    out[...] = value


@elementwise(promote=False, into=_fill_into)
def fill(x, value):
    """`value`, broadcast to the shape and cast to the dtype of x."""
    result = np.empty_like(x)
    result[...] = value
    return result


fill.vjp(x=lambda g: g * 0, value=lambda g: g)


def clamp_min(input, min):
    """`clamp(input, min=min)`."""
    return clamp(input, min)


def clamp_max(input, max):
    """`clamp(input, max=max)`."""
    return clamp(input, None, max)


# PyTorch's other names.
clip = clamp
