"""One of several values, a bound, another dtype: where, maximum, clamp, masked_fill, cast."""

import math

import numpy as np

from fastdl import _dtype, backends
from fastdl._engine import shortcut
from fastdl.ops.core import (
    as_type,
    elementwise,
    is_tensor,
    number_array,
    of_kinds,
    of_numbers,
    result_dtype,
    takes_out,
)
from fastdl.ops.elementwise.comparison import isfinite

__all__ = [
    "clamp",
    "clamp_max",
    "clamp_min",
    "clip",
    "clone",
    "fmax",
    "fmin",
    "masked_fill",
    "maximum",
    "minimum",
    "nan_to_num",
    "threshold",
    "where",
]


@elementwise(ufunc=of_kinds("biuf", np.maximum), kernel="maximum")
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


@elementwise(ufunc=of_kinds("biuf", np.minimum), kernel="minimum")
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


@elementwise(ufunc=of_kinds("biuf", np.fmax))
def fmax(x, y):
    """The greater; the other if one is NaN. Of equal ones the first has the gradient."""


@elementwise(ufunc=of_kinds("biuf", np.fmin))
def fmin(x, y):
    """The smaller; the other if one is NaN. Of equal ones the first has the gradient."""


fmax.vjp(
    x=lambda g, x, y: where((x >= y) | (y != y), g, 0.0),
    y=lambda g, x, y: where((x >= y) | (y != y), 0.0, g),
)
fmin.vjp(
    x=lambda g, x, y: where((x <= y) | (y != y), g, 0.0),
    y=lambda g, x, y: where((x <= y) | (y != y), 0.0, g),
)


@elementwise(promote=False, half=True, kernel="select", picks=np.dtype(bool))
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


@shortcut(select)
@takes_out
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
    if type(y) in (float, int) and is_tensor(input) and x.dtype.kind == "f":
        return select(condition, input, np.asarray(y, x.dtype))
    if not hasattr(x, "dtype") or not hasattr(y, "dtype") or x.dtype != y.dtype:
        dtype = result_dtype((x, y))
        input, other = (_as_dtype(a, dtype) for a in (input, other))
    return select(condition, input, other)


def _as_dtype(a, dtype):
    return cast(a, dtype=dtype) if is_tensor(a) else number_array(a, dtype)


def _masked_fill_into(out, x, mask, value):
    mask = mask.astype(bool, copy=False)
    backends.of(x).masked_fill(x, mask, np.asarray(value, x.dtype), out)


@elementwise(
    promote=False, into=_masked_fill_into, half=True, kernel="masked_fill", picks=np.dtype(bool)
)
def masked_fill(x, mask, value):
    """x with `value` (a number or 0-d tensor) where `mask` is true."""
    mask = mask.astype(bool, copy=False)
    return backends.of(x).masked_fill(x, mask, np.asarray(value, x.dtype))


masked_fill.vjp(
    x=lambda g, mask: masked_fill(g, mask, 0.0),
    value=lambda g, mask: where(mask, g, 0.0),
)


@elementwise(ufunc=of_kinds("biuf", np.maximum))
def at_least(x, low):
    """x, or `low` where that is greater; NaN if either is. Of equal ones x has the gradient."""


@elementwise(ufunc=of_kinds("biuf", np.minimum))
def at_most(x, high):
    """x, or `high` where that is smaller; NaN if either is. Of equal ones x has the gradient."""


at_least.vjp(
    x=lambda g, x, low: where(x >= low, g, 0.0),
    low=lambda g, x, low: where(x < low, g, 0.0),
)
at_most.vjp(
    x=lambda g, x, high: where(x <= high, g, 0.0),
    high=lambda g, x, high: where(x > high, g, 0.0),
)


def clamping(min, max):
    """How to clamp: [(primitive, its second operand or None, its static arguments), ...]."""
    if min is None and max is None:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    if is_tensor(min) or is_tensor(max):
        steps = [(at_least, min, {}), (at_most, max, {})]
        return [step for step in steps if step[1] is not None]
    return [(clamp_numbers, None, {"min": min, "max": max})]


def _clamp_into(out, x, *, min, max):
    np.clip(x, min, max, out=out, casting="same_kind")


@elementwise(into=_clamp_into, kernel="clamp")
def clamp_numbers(x, *, min, max):
    """x held between the numbers `min` and `max` (None: no bound)."""
    if x.dtype.kind == "c":
        raise NotImplementedError("clamp is not supported for complex types")
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


@shortcut(clamp_numbers)
@takes_out
def clamp(input, min=None, max=None):
    """`input` held between `min` and `max`: numbers or tensors, one of them may be None."""
    for primitive, bound, static in clamping(min, max):
        input = primitive(input, **static) if bound is None else primitive(input, bound)
    return input


@elementwise(promote=False, half=True, kernel="cast", moves=True)
def cast(x, *, dtype):
    """x as `dtype` (a NumPy dtype); always a copy."""
    return as_type(x, dtype)


cast.vjp(x=lambda g: g)  # the engine casts the gradient back


@elementwise(promote=False, half=True)
def clone(x, *, memory_format=None):
    """A copy of x, laid out as x is (in row-major order where x is expanded), or as
    `memory_format` says."""
    if memory_format in _dtype.FORMATS:
        ndim, order = _dtype.FORMATS[memory_format]
        if x.ndim != ndim:
            raise RuntimeError(f"required rank {ndim} tensor to use {memory_format.name} format")
        return x.transpose(order).copy(order="C").transpose(np.argsort(order))
    if memory_format is _dtype.contiguous_format:
        return x.copy(order="C")
    if x.flags.c_contiguous:
        return backends.of(x).copy(x)
    return x.copy(order="C" if 0 in x.strides else "K")


clone.vjp(x=lambda g: g)


FEW = 4096  # elements, below which NumPy writes as fast as a kernel is reached


def _fill_into(out, x, value):
    value = _storable(value, out.dtype)
    if out.size < FEW or (value.ndim and value.shape != out.shape):
        out[...] = value
    elif not value.ndim:
        backends.of(out).fill(out, value)
    elif value.dtype != out.dtype or np.may_share_memory(out, value):
        out[...] = value
    else:
        backends.of(out).copy_into(out, value)


def _storable(value, dtype):
    """`value`, an array or a number, as it is assigned to places of `dtype`."""
    if dtype.kind == "f" and type(value) in (float, int):
        return np.asarray(value, dtype)
    array = np.asarray(value)
    if array.dtype == dtype:
        return array
    if isinstance(value, (int, float, complex)):
        return of_numbers(array, dtype)
    return as_type(array, dtype)


@elementwise(promote=False, into=_fill_into, half=True)
def fill(x, value):
    """`value`, broadcast to the shape and cast to the dtype of x."""
    result = np.empty_like(x)
    _fill_into(result, x, value)
    return result


fill.vjp(x=lambda g: g * 0, value=lambda g: g)


@takes_out
def clamp_min(input, min):
    """`clamp(input, min=min)`."""
    return clamp(input, min)


@takes_out
def clamp_max(input, max):
    """`clamp(input, max=max)`."""
    return clamp(input, None, max)


@takes_out(casts=True)
def nan_to_num(input, nan=0.0, posinf=None, neginf=None):
    """`input` with numbers for NaN and the infinities; None: the limits of the dtype."""
    dtype = input.array.dtype
    if dtype.itemsize == 2 and _dtype.is_float(dtype):  # computed as float32
        most = _dtype.finfo(input.dtype).max
        posinf, neginf = most if posinf is None else posinf, -most if neginf is None else neginf
    return finite_numbers(input, nan=nan, posinf=posinf, neginf=neginf)


@elementwise
def finite_numbers(x, *, nan, posinf, neginf):
    """`nan_to_num` of arrays."""
    if x.dtype.kind not in "fc":
        return x.copy("K")
    nan = 0.0 if nan is None else nan
    if x.dtype.char in backends.cpu.KERNEL_DTYPES:
        most = _MOST[x.dtype.char]
        return backends.of(x).MAPS["finite"](
            x,
            np.asarray(nan, x.dtype),
            posinf=most if posinf is None else posinf,
            neginf=-most if neginf is None else neginf,
        )
    return np.nan_to_num(x, nan=nan, posinf=posinf, neginf=neginf)


_MOST = {d: float(np.finfo(d).max) for d in backends.cpu.KERNEL_DTYPES}


finite_numbers.vjp(x=lambda g, x: where(isfinite(x), g, 0.0))


@takes_out(casts=True)
def threshold(input, threshold, value):
    """`input` where it is above `threshold`, else `value`, a number."""
    if input.array.dtype.kind == "b":
        raise NotImplementedError("\"threshold_cpu\" not implemented for 'Bool'")
    return where(input <= threshold, value, input)


# PyTorch's other name.
clip = clamp
