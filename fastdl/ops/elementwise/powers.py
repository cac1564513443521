"""Powers and roots."""

import math

import numpy as np

from fastdl import backends
from fastdl.ops.core import elementwise, is_tensor
from fastdl.ops.elementwise.exponential import log
from fastdl.ops.elementwise.selection import where

__all__ = [
    "pow",
    "reciprocal",
    "rsqrt",
    "sqrt",
    "square",
]


@elementwise
def pow(x, y):
    """`x ** y`."""
    return backends.cpu.power(x, y)


def _pow_wrt_base(g, x, y):
    if not is_tensor(y):
        if y == 0:
            return g * 0
        return square_backward(g, x) if y == 2 else g * (x ** (y - 1) * y)
    return where(y == 0, 0.0, g * (y * x ** (y - 1)))


def _pow_wrt_exponent(g, x, y, out):
    # 0 ** y is 0 for every y > 0: no slope, where log(0) would make NaN.
    if not is_tensor(x):
        return g * 0 if x == 0 else g * out * math.log(x)
    flat = (x == 0) & (y >= 0)
    return where(flat, 0.0, g * out * log(x))


pow.vjp(x=_pow_wrt_base, y=_pow_wrt_exponent)


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
