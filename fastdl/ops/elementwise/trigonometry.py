"""Circular and hyperbolic functions and their inverses."""

import math

import numpy as np

from fastdl.ops.core import elementwise
from fastdl.ops.elementwise.powers import rsqrt
from fastdl.ops.elementwise.selection import where

__all__ = [
    "acos",
    "acosh",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "cos",
    "cosh",
    "deg2rad",
    "rad2deg",
    "sin",
    "sinc",
    "sinh",
    "tan",
    "tanh",
]


@elementwise(ufunc=np.sin, floating=True, kernel="sin")
def sin(x):
    """Sine of radians."""


sin.vjp(x=lambda g, x: g * cos(x))


@elementwise(ufunc=np.cos, floating=True, kernel="cos")
def cos(x):
    """Cosine of radians."""


cos.vjp(x=lambda g, x: -g * sin(x))


@elementwise(ufunc=np.tan, floating=True)
def tan(x):
    """Tangent of radians."""


tan.vjp(x=lambda g, out: g * (out * out + 1))


@elementwise(ufunc=np.arcsin, floating=True)
def asin(x):
    """Arc sine in radians; NaN outside [-1, 1]."""


asin.vjp(x=lambda g, x: g * rsqrt(1 - x * x))


@elementwise(ufunc=np.arccos, floating=True)
def acos(x):
    """Arc cosine in radians; NaN outside [-1, 1]."""


acos.vjp(x=lambda g, x: -g * rsqrt(1 - x * x))


@elementwise(ufunc=np.arctan, floating=True)
def atan(x):
    """Arc tangent in radians."""


atan.vjp(x=lambda g, x: g / (x * x + 1))


@elementwise(ufunc=np.arctan2, floating=True)
def atan2(x, y):
    """Angle of the point (y, x) in radians, within (-pi, pi]."""


atan2.vjp(x=lambda g, x, y: g * y / (x * x + y * y), y=lambda g, x, y: -g * x / (x * x + y * y))


@elementwise(ufunc=np.sinh, floating=True)
def sinh(x):
    """Hyperbolic sine."""


sinh.vjp(x=lambda g, x: g * cosh(x))


@elementwise(ufunc=np.cosh, floating=True)
def cosh(x):
    """Hyperbolic cosine."""


cosh.vjp(x=lambda g, x: g * sinh(x))


@elementwise(ufunc=np.tanh, floating=True, kernel="tanh")
def tanh(x):
    """Hyperbolic tangent."""


@elementwise(kernel="tanh_backward")
def tanh_backward(g, y):
    """g * (1 - y * y), for y = tanh(x)."""
    return g * (1 - y * y)


tanh.vjp(x=lambda g, out: tanh_backward(g, out))
tanh_backward.vjp(
    g=lambda h, y: tanh_backward(h, y),
    y=lambda h, g, y: h * g * y * -2,
)


@elementwise(ufunc=np.arcsinh, floating=True)
def asinh(x):
    """Inverse hyperbolic sine."""


asinh.vjp(x=lambda g, x: g * rsqrt(x * x + 1))


@elementwise(ufunc=np.arccosh, floating=True)
def acosh(x):
    """Inverse hyperbolic cosine; NaN below 1."""


acosh.vjp(x=lambda g, x: g * rsqrt(x * x - 1))


@elementwise(ufunc=np.arctanh, floating=True)
def atanh(x):
    """Inverse hyperbolic tangent; infinite at -1 and 1, NaN outside."""


atanh.vjp(x=lambda g, x: g / (1 - x * x))


@elementwise(floating=True)
def deg2rad(x):
    """Degrees in radians."""
    return x * x.dtype.type(math.pi / 180)


deg2rad.vjp(x=lambda g: g * (math.pi / 180))


@elementwise(floating=True)
def rad2deg(x):
    """Radians in degrees."""
    return x * x.dtype.type(180 / math.pi)


rad2deg.vjp(x=lambda g: g * (180 / math.pi))


@elementwise(floating=True)
def sinc(x):
    """`sin(pi x) / (pi x)`; 1 at 0."""
    return np.sinc(x)


def _sinc_slope(g, x, out):
    return where(x == 0, 0.0, g * (cos(x * math.pi) - out) / x)


sinc.vjp(x=_sinc_slope)


# PyTorch's other names.
arccos, arcsin, arctan, arctan2 = acos, asin, atan, atan2
arccosh, arcsinh, arctanh = acosh, asinh, atanh
