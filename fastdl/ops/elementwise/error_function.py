"""The error function, its complement, that scaled, and its inverse."""

import math

import numpy as np

from fastdl import backends
from fastdl.ops.core import elementwise

__all__ = [
    "erf",
    "erfc",
    "erfcx",
    "erfinv",
]


erf_array = backends.cpu.MAPS["erf"]  # of arrays of float32 or float64
erfc_array = backends.cpu.MAPS["erfc"]


def exp_square(x, factor):
    """e ** (factor * x * x), from a leading part with few bits, whose square is exact, and the
    rest.
    """
    head = np.trunc(x * 16) / 16
    return np.exp(factor * head * head) * np.exp(factor * (x - head) * (x + head))


def erfcx_array(x):
    """e ** (x * x) erfc(x), of float64 of one dimension: by its asymptotic series where erfc gets
    too small."""
    near = np.clip(x, -27, 26)
    far = np.maximum(x, 26)
    series = 1.0
    for k in range(11, 0, -2):
        series = 1 - k / 2 * series / (far * far)
    far = series / (far * math.sqrt(math.pi))
    return np.where(x > 26, far, erfc_array(near) * exp_square(near, 1))


def erfcinv_array(z):
    """x with erfc(x) = z, for 0 < z <= 1/2: Newton's steps on log erfc, almost a parabola."""
    r = np.sqrt(-np.log(z))
    x = r - (np.log(np.pi) / 2 + np.log(r)) / (2 * r)
    for _ in range(4):
        scaled = erfcx_array(x)
        gap = np.log(scaled) - x * x - np.log(z)
        x = x + gap * scaled * (math.sqrt(math.pi) / 2)
    return x


def erfinv_array(y):
    """The inverse of erf, of float64 of one dimension: from S. Winitzki's approximation (2008),
    which is at most 0.2 % off, three steps of Halley's, each of which triples the digits."""
    size = np.abs(y)
    rest = 1 - size
    w = np.log(rest * (1 + size)) / 2
    t = 2 / (math.pi * 0.147) + w
    x = np.sqrt(np.sqrt(t * t - w * (2 / 0.147)) - t)
    for _ in range(3):
        gap = np.where(size < 0.5, erf_array(x) - size, rest - erfc_array(x))
        step = gap * (math.sqrt(math.pi) / 2) * np.exp(x * x)
        x = x - step / (1 + x * step)
    x = np.where(size < 1, x, np.where(size == 1, np.inf, np.nan))
    return np.copysign(x, y)


@elementwise(floating=True, kernel="erf")
def erf(x):
    """Error function, 2 / sqrt(pi) times the integral of e**(-t*t) from 0 to x."""
    return erf_array(np.require(x, requirements="A"))


@elementwise(kernel="erf_backward")
def erf_backward(g, x):
    """g * e**(-x*x) * 2 / sqrt(pi)."""
    return g * (np.exp(-(x * x)) * x.dtype.type(2 / math.sqrt(math.pi)))


erf.vjp(x=lambda g, x: erf_backward(g, x))
erf_backward.vjp(
    g=lambda h, x: erf_backward(h, x),
    x=lambda h, g, x: erf_backward(h, x) * g * x * -2,
)


@elementwise(floating=True, kernel="erfc")
def erfc(x):
    """`1 - erf(x)`, accurate where that is tiny."""
    return erfc_array(np.require(x, requirements="A"))


erfc.vjp(x=lambda g, x: -erf_backward(g, x))


@elementwise(floating=True)
def erfcx(x):
    """`e ** (x * x) * erfc(x)`, which does not underflow for large x."""
    wide = x.astype(np.float64).reshape(-1)
    return erfcx_array(wide).reshape(x.shape).astype(x.dtype, copy=False)


erfcx.vjp(x=lambda g, x, out: g * (x * out * 2 - 2 / math.sqrt(math.pi)))


@elementwise(floating=True)
def erfinv(x):
    """The inverse of `erf`: inf at 1, -inf at -1, NaN outside."""
    wide = x.astype(np.float64).reshape(-1)
    return erfinv_array(wide).reshape(x.shape).astype(x.dtype, copy=False)


@elementwise
def exp_of_square(g, x):
    """g * e**(x*x) * sqrt(pi) / 2."""
    return g * (np.exp(x * x) * x.dtype.type(math.sqrt(math.pi) / 2))


erfinv.vjp(x=lambda g, out: exp_of_square(g, out))
exp_of_square.vjp(
    g=lambda h, x: exp_of_square(h, x),
    x=lambda h, x, out: h * out * x * 2,
)
