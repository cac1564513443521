"""Powers and roots."""

import numpy as np

from fastdl import backends
from fastdl._engine import tensor_of
from fastdl.ops.core import (
    as_arrays,
    elementwise,
    is_tensor,
    is_truth,
    of_kinds,
    require_kinds,
    takes_out,
)
from fastdl.ops.elementwise.exponential import log
from fastdl.ops.elementwise.selection import where

__all__ = [
    "float_power",
    "hypot",
    "pow",
    "reciprocal",
    "rsqrt",
    "sqrt",
    "square",
]


def _no_reciprocals(operands):
    """Of a power of whole numbers."""
    x, y = operands
    if type(y) is int and y < 0 and x.dtype.kind in "biu":
        raise RuntimeError("Integers to negative integer powers are not allowed.")


@elementwise(accepts=_no_reciprocals)
def pow(x, exponent):
    """`x ** exponent`. Whole numbers to negative powers: refused if the power is a number, else 0,
    but for powers of 1 and -1."""
    y = exponent
    if is_truth(y):
        if y is True:
            return x.copy()
        require_kinds("iufc", x, y)
    if type(y) is int or type(y) is float or y.dtype.kind != "i" or (y >= 0).all():
        _no_reciprocals((x, y))
        return backends.cpu.power(x, y)
    x, y = as_arrays(x, y)
    odd = (y & 1).astype(y.dtype)
    of_units = np.where(x == -1, 1 - 2 * odd, x == 1)
    return np.where(y < 0, of_units, np.power(x, np.maximum(y, 0))).astype(x.dtype, copy=False)


def _pow_wrt_base(g, x, exponent):
    y = exponent
    if not is_tensor(y):
        if y == 0:
            return g * 0
        return square_backward(g, x) if y == 2 else g * (x ** (y - 1) * y)
    return where(y == 0, 0.0, g * (y * x ** (y - 1)))


def _pow_wrt_exponent(g, x, exponent, out):
    y = exponent
    # 0 ** y is 0 for every y > 0: no slope, where log(0) would make NaN.
    if not is_tensor(x):
        return g * 0 if x == 0 else g * out * log(tensor_of(np.asarray(x, out.array.dtype)))
    rises = (y.array if is_tensor(y) else np.asarray(y)).real >= 0
    return where((x == 0) & tensor_of(rises), 0.0, g * out * log(x))


pow.vjp(x=_pow_wrt_base, exponent=_pow_wrt_exponent)


@elementwise(kernel="square")
def square(x):
    """`x * x`; int64 for bools."""
    return np.square(x.astype(np.int64) if x.dtype.kind == "b" else x)


@elementwise(kernel="square_backward")
def square_backward(g, x):
    """g * 2 x."""
    return g * (x * 2)


square.vjp(x=lambda g, x: square_backward(g, x))
square_backward.vjp(
    g=lambda h, x: square_backward(h, x),
    x=lambda h, g: square_backward(h, g),
)


@elementwise(floating=True, kernel="reciprocal")
def reciprocal(x):
    """`1 / x`."""
    return 1 / x


@elementwise(kernel="reciprocal_backward")
def reciprocal_backward(g, y):
    """-g * y * y, for y = 1 / x."""
    return -g * y * y


reciprocal.vjp(x=lambda g, out: reciprocal_backward(g, out))
reciprocal_backward.vjp(
    g=lambda h, y: reciprocal_backward(h, y),
    y=lambda h, g, y: h * g * y * -2,
)


@elementwise(ufunc=np.sqrt, floating=True, kernel="sqrt")
def sqrt(x):
    """Square root; NaN below 0."""


@elementwise(kernel="sqrt_backward")
def sqrt_backward(g, y):
    """g / (2 y), for y = sqrt(x)."""
    return g / (y * 2)


sqrt.vjp(x=lambda g, out: sqrt_backward(g, out))
sqrt_backward.vjp(
    g=lambda h, y: sqrt_backward(h, y),
    y=lambda h, y, out: -h * out / y,
)


@elementwise(floating=True, kernel="rsqrt")
def rsqrt(x):
    """`1 / sqrt(x)`."""
    return 1 / np.sqrt(x)


@elementwise(kernel="rsqrt_backward")
def rsqrt_backward(g, y):
    """-g * y ** 3 / 2, for y = 1 / sqrt(x)."""
    return g * (y * y * y) * y.dtype.type(-0.5)


rsqrt.vjp(x=lambda g, out: rsqrt_backward(g, out))
rsqrt_backward.vjp(
    g=lambda h, y: rsqrt_backward(h, y),
    y=lambda h, g, y: h * g * (y * y) * -1.5,
)


@elementwise(ufunc=of_kinds("f", np.hypot), kernel="hypot")
def hypot(x, y):
    """`sqrt(x * x + y * y)` without overflow; floating point only."""


hypot.vjp(x=lambda g, x, out: g * x / out, y=lambda g, y, out: g * y / out)


@takes_out
def float_power(input, exponent):
    """`input ** exponent`, computed and given in float64; both tensors or numbers."""
    return pow(*[a.to(np.float64) if is_tensor(a) else float(a) for a in (input, exponent)])
