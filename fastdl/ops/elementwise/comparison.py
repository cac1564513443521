"""Comparisons, tests of a number's kind, logic: bools, no slope."""

import numpy as np

from fastdl._engine import shortcut, tensor_of
from fastdl.ops.core import (
    as_arrays,
    elementwise,
    is_tensor,
    legacy_name,
    of_kinds,
    takes_out,
    tensor_argument,
)

__all__ = [
    "allclose",
    "eq",
    "equal",
    "ge",
    "greater",
    "greater_equal",
    "gt",
    "heaviside",
    "isclose",
    "isfinite",
    "isin",
    "isinf",
    "isnan",
    "isneginf",
    "isposinf",
    "isreal",
    "le",
    "less",
    "less_equal",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "lt",
    "ne",
    "not_equal",
    "signbit",
]


@elementwise(ufunc=np.isnan)
def isnan(x):
    """Is it NaN?"""


@elementwise(ufunc=np.isinf)
def isinf(x):
    """Is it an infinity?"""


@elementwise(ufunc=np.isfinite)
def isfinite(x):
    """Is it neither infinite nor NaN?"""


@elementwise
def isposinf(x):
    """Is it positive infinity?"""
    return x == np.inf


@elementwise
def isneginf(x):
    """Is it negative infinity?"""
    return x == -np.inf


@elementwise
def isreal(x):
    """Is its imaginary part 0? True of all numbers that are not complex."""
    return np.isreal(x)


@elementwise(ufunc=np.signbit)
def signbit(x):
    """Is the sign bit set (true of -0.0 too)?"""


@elementwise(ufunc=np.equal, kernel="eq")
def eq(x, y):
    """`x == y`, element by element."""


@elementwise(ufunc=np.not_equal, kernel="ne")
def ne(x, y):
    """`x != y`."""


@elementwise(ufunc=of_kinds("biuf", np.less), kernel="lt")
def lt(x, y):
    """`x < y`."""


@elementwise(ufunc=of_kinds("biuf", np.less_equal), kernel="le")
def le(x, y):
    """`x <= y`."""


@elementwise(ufunc=of_kinds("biuf", np.greater), kernel="gt")
def gt(x, y):
    """`x > y`."""


@elementwise(ufunc=of_kinds("biuf", np.greater_equal), kernel="ge")
def ge(x, y):
    """`x >= y`."""


@elementwise(ufunc=np.logical_and)
def logical_and(x, y):
    """Both non-zero?"""


@elementwise(ufunc=np.logical_or)
def logical_or(x, y):
    """At least one non-zero?"""


@elementwise(ufunc=np.logical_xor)
def logical_xor(x, y):
    """Exactly one non-zero?"""


@elementwise(ufunc=np.logical_not)
def logical_not(x):
    """Zero?"""


def _one_dtype(operands):
    """Of a step function; operands that differ come this way."""
    if len({a.dtype for a in operands if hasattr(a, "dtype")}) > 1:
        raise RuntimeError("heaviside is not yet implemented for tensors with different dtypes.")


FEW = 4096  # pairs of elements that are compared sooner than sorted


@elementwise(accepts=_one_dtype)
def heaviside(x, values):
    """0 below 0, `values` at 0, 1 above; both of one dtype. Not differentiable."""
    x, values = as_arrays(x, values)
    return np.where(x == 0, values, (x > 0).astype(x.dtype))


@takes_out
def isin(elements, test_elements, *, assume_unique=False, invert=False):
    """Is each of `elements` among `test_elements`? (`invert`: is it not?) One of them may be a
    number. bool, of the shape of `elements`."""
    x, y = (a.array if is_tensor(a) else np.asarray(a) for a in (elements, test_elements))
    if x.size * y.size <= FEW and x.dtype == y.dtype:
        found = (x[..., None] == y.reshape(-1)).any(-1)
        return tensor_of(~found if invert else found)
    return tensor_of(np.isin(x, y, assume_unique, invert))


def _same_dtype(function, input, other):
    tensor_argument(function, "other", other)
    if input.array.dtype != other.array.dtype:
        raise RuntimeError(
            f"{legacy_name(input.array.dtype)} did not match {legacy_name(other.array.dtype)}"
        )


def isclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False):
    """Is `|input - other| <= atol + rtol * |other|`, element by element? Infinities are close to
    themselves. RuntimeError for different dtypes."""
    _same_dtype("isclose", input, other)
    for name, value in (("rtol", rtol), ("atol", atol)):
        if value < 0:
            raise RuntimeError(f"{name} must be greater than or equal to zero, but got {value}")
    return close(input, other, rtol=rtol, atol=atol, equal_nan=equal_nan)


@elementwise
def close(x, y, *, rtol, atol, equal_nan):
    """`isclose` of arrays."""
    near = x == y
    if x.dtype.kind != "b":
        wide = np.float64 if x.dtype.kind in "iu" else x.dtype
        a, b = x.astype(wide, copy=False), y.astype(wide, copy=False)
        near |= (np.abs(a - b) <= atol + rtol * np.abs(b)) & np.isfinite(b) & np.isfinite(a)
        if equal_nan:
            near |= np.isnan(a) & np.isnan(b)
    return near


def allclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False):
    """Are all elements close, see `isclose`? A bool."""
    return bool(isclose(input, other, rtol, atol, equal_nan).array.all())


@shortcut()
def equal(input, other):
    """Same shape and same elements? A bool."""
    tensor_argument("equal", "other", other)
    x, y = input.array, other.array
    return x.shape == y.shape and not np.count_nonzero(x != y)


# PyTorch's other names.
greater, greater_equal, less, less_equal, not_equal = gt, ge, lt, le, ne
