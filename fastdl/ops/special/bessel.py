"""Bessel functions of orders 0 and 1 of real argument.

Computed in double precision from Chebyshev series. Errors are below 4 units of 2 ** -52, relative
for I and K, absolute for J and Y, which have zeros (times 1 / sqrt(x) where x is large, whose sine
and cosine are NumPy's).
"""

import numpy as np

from fastdl.ops import elementwise as E
from fastdl.ops.core import elementwise
from fastdl.ops.special import bessel_tables as tables
from fastdl.ops.special.double import chebyshev, in_double

__all__ = [
    "bessel_j0",
    "bessel_j1",
    "bessel_y0",
    "bessel_y1",
    "i0",
    "i0e",
    "i1",
    "i1e",
    "modified_bessel_i0",
    "modified_bessel_i1",
    "modified_bessel_k0",
    "modified_bessel_k1",
    "scaled_modified_bessel_k0",
    "scaled_modified_bessel_k1",
    "spherical_bessel_j0",
]


def _scaled_i(x, small, large, order):
    """e ** -|x| I(x)."""
    size = np.abs(x)
    near = size <= 8
    inner, outer = np.where(near, size, 0.0), np.where(near, 8.0, size)
    value = chebyshev(small, inner, 0, 8) * inner**order
    far = chebyshev(large, 8 / outer, 0, 1) / np.sqrt(outer)
    value = np.where(near, value, far)
    value = np.where(np.isnan(x), np.nan, value)
    return np.copysign(value, x) if order else value


def _scaled_i0(x):
    return _scaled_i(x, tables.I0_SMALL, tables.I0_LARGE, 0)


def _scaled_i1(x):
    return _scaled_i(x, tables.I1_SMALL, tables.I1_LARGE, 1)


def _grown(scaled, x):
    """e ** |x| times it: in two steps, as the factor overflows before the product."""
    half = np.exp(np.abs(x) / 2)
    return np.where(np.isinf(x), np.copysign(np.inf, scaled), scaled * half * half)


@elementwise(floating=True)
@in_double
def i0(x):
    """Modified Bessel function of the first kind, order 0."""
    return _grown(_scaled_i0(x), x)


@elementwise(floating=True)
@in_double
def i1(x):
    """Modified Bessel function of the first kind, order 1."""
    return _grown(_scaled_i1(x), x)


@elementwise(floating=True)
@in_double
def i0e(x):
    """`i0(x) * e ** -|x|`."""
    return _scaled_i0(x)


@elementwise(floating=True)
@in_double
def i1e(x):
    """`i1(x) * e ** -|x|`."""
    return _scaled_i1(x)


def _over(y, x):
    """y / x, 1/2 at 0: for I1."""
    none = x == 0
    return E.where(none, 0.5, y / E.masked_fill(x, none, 1.0))


# PyTorch's other names.
modified_bessel_i0, modified_bessel_i1 = i0, i1

i0.vjp(x=lambda g, x: g * i1(x))
i1.vjp(x=lambda g, x, out: g * (i0(x) - _over(out, x)))
i0e.vjp(x=lambda g, x, out: g * (i1e(x) - E.sign(x) * out))
i1e.vjp(x=lambda g, x, out: g * (i0e(x) - out * E.sign(x) - _over(out, x)))

# ---- K ----------------------------------------------------------------------------------------


def _scaled_k(x, order):
    """e ** x K(x) of x > 0; inf at 0, NaN below."""
    near = x <= 2
    inner = np.where(near & (x > 0), x, 1.0)
    s = inner * inner
    if order:
        log_part = np.log(inner / 2) * np.exp(inner) * _scaled_i1(inner)
        value = log_part + chebyshev(tables.K1_SMALL, s, 0, 4) / inner
    else:
        log_part = -np.log(inner / 2) * np.exp(inner) * _scaled_i0(inner)
        value = log_part + chebyshev(tables.K0_SMALL, s, 0, 4)
    outer = np.where(near, 2.0, x)
    far = chebyshev((tables.K0_LARGE, tables.K1_LARGE)[order], 2 / outer, 0, 1) / np.sqrt(outer)
    value = np.where(near, value * np.exp(inner), far)
    return np.where(x > 0, value, np.where(x == 0, np.inf, np.nan))


@elementwise(floating=True)
@in_double
def modified_bessel_k0(x):
    """Modified Bessel function of the second kind, order 0. Not differentiable."""
    return np.where(x == np.inf, 0.0, _scaled_k(x, 0) * np.exp(-x))


@elementwise(floating=True)
@in_double
def modified_bessel_k1(x):
    """Modified Bessel function of the second kind, order 1. Not differentiable."""
    return np.where(x == np.inf, 0.0, _scaled_k(x, 1) * np.exp(-x))


@elementwise(floating=True)
@in_double
def scaled_modified_bessel_k0(x):
    """`modified_bessel_k0(x) * e ** x`. Not differentiable."""
    return _scaled_k(x, 0)


@elementwise(floating=True)
@in_double
def scaled_modified_bessel_k1(x):
    """`modified_bessel_k1(x) * e ** x`. Not differentiable."""
    return _scaled_k(x, 1)


# ---- J and Y ----------------------------------------------------------------------------------


def _wave(x, order):
    """(J, Y) of large x > 0."""
    u = 64 / (x * x)
    p = chebyshev((tables.P0, tables.P1)[order], u, 0, 1)
    q = chebyshev((tables.Q0, tables.Q1)[order], u, 0, 1) / x
    s, c = np.sin(x), np.cos(x)
    # cosine and sine of x - pi / 4, and of x - 3 pi / 4, times sqrt(2)
    cosine, sine = (s - c, -s - c) if order else (s + c, s - c)
    scale = np.where(np.isinf(x), 0.0, 1 / np.sqrt(np.pi * x))
    cosine, sine = (np.where(np.isinf(x), 0.0, w) for w in (cosine, sine))
    return scale * (p * cosine - q * sine), scale * (p * sine + q * cosine)


def _near_j(x, order):
    """J of |x| <= 8."""
    return chebyshev((tables.J0_SMALL, tables.J1_SMALL)[order], x * x / 64, 0, 1) * x**order


def _j(x, order):
    size = np.abs(x)
    near = size <= 8
    far = _wave(np.where(near, 8.0, size), order)[0]
    value = np.where(near, _near_j(np.where(near, size, 0.0), order), far)
    return np.where(x < 0, -value, value) if order else value


def _y(x, order):
    near = x <= 8
    inner = np.where(near & (x > 0), x, 1.0)
    rest = chebyshev((tables.Y0_SMALL, tables.Y1_SMALL)[order], inner * inner / 64, 0, 1)
    value = rest * inner**order + 2 / np.pi * np.log(inner) * _near_j(inner, order)
    if order:
        value = value - 2 / np.pi / inner
    far = _wave(np.where(near, 8.0, x), order)[1]
    value = np.where(near, value, far)
    return np.where(x > 0, value, np.where(x == 0, -np.inf, np.nan))


@elementwise(floating=True)
@in_double
def bessel_j0(x):
    """Bessel function of the first kind, order 0. Not differentiable."""
    return _j(x, 0)


@elementwise(floating=True)
@in_double
def bessel_j1(x):
    """Bessel function of the first kind, order 1. Not differentiable."""
    return _j(x, 1)


@elementwise(floating=True)
@in_double
def bessel_y0(x):
    """Bessel function of the second kind, order 0: -inf at 0, NaN below. Not differentiable."""
    return _y(x, 0)


@elementwise(floating=True)
@in_double
def bessel_y1(x):
    """Bessel function of the second kind, order 1: -inf at 0, NaN below. Not differentiable."""
    return _y(x, 1)


@elementwise(floating=True)
@in_double
def spherical_bessel_j0(x):
    """`sin(x) / x`, 1 at 0. Not differentiable."""
    safe = np.where(x == 0, 1.0, x)
    return np.where(x == 0, 1.0, np.where(np.isinf(x), 0.0, np.sin(safe) / safe))
