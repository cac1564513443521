"""The error function, its complement, that scaled, and its inverse."""

import math

import numpy as np

from fastdl.ops.core import elementwise

__all__ = [
    "erf",
    "erfc",
    "erfcx",
    "erfinv",
]


# W. J. Cody, Rational Chebyshev approximations for the error function, Math. Comp. 23 (1969):
# three ranges of |x|, relative error below 6e-19 before rounding.

_ERF_SMALL = (
    (3.20937758913846947e03, 3.77485237685302021e02, 1.13864154151050156e02, 3.16112374387056560e00,
     1.85777706184603153e-1),
    (2.84423683343917062e03, 1.28261652607737228e03, 2.44024637934444173e02, 2.36012909523441209e01,
     1.0),
)  # fmt: skip
_ERFC_MIDDLE = (
    (1.23033935479799725e03, 2.05107837782607147e03, 1.71204761263407058e03, 8.81952221241769090e02,
     2.98635138197400131e02, 6.61191906371416295e01, 8.88314979438837594e00, 5.64188496988670089e-1,
     2.15311535474403846e-8),
    (1.23033935480374942e03, 3.43936767414372164e03, 4.36261909014324716e03, 3.29079923573345963e03,
     1.62138957456669019e03, 5.37181101862009858e02, 1.17693950891312499e02, 1.57449261107098347e01,
     1.0),
)  # fmt: skip
_ERFC_LARGE = (
    (6.58749161529837803e-4, 1.60837851487422766e-2, 1.25781726111229246e-1, 3.60344899949804439e-1,
     3.05326634961232344e-1, 1.63153871373020978e-2),
    (2.33520497626869185e-3, 6.05183413124413191e-2, 5.27905102951428412e-1, 1.87295284992346725e00,
     2.56852019228982242e00, 1.0),
)  # fmt: skip


def _ratio(polynomials, t):
    """Quotient of two polynomials given by rising coefficients."""
    above, below = (np.polynomial.polynomial.polyval(t, c, tensor=False) for c in polynomials)
    return above / below


def _scaled_tail(x):
    """e ** (x * x) erfc(x) for x > 0.46875."""
    result = np.empty_like(x)
    middle = x <= 4
    t = x[middle]
    result[middle] = _ratio(_ERFC_MIDDLE, t)
    t = x[~middle]
    s = 1 / (t * t)
    result[~middle] = (1 / math.sqrt(math.pi) - s * _ratio(_ERFC_LARGE, s)) / t
    return result


def exp_square(x, factor):
    """e ** (factor * x * x), from a leading part with few bits, whose square is exact, and the
    rest.
    """
    head = np.trunc(x * 16) / 16
    return np.exp(factor * head * head) * np.exp(factor * (x - head) * (x + head))


def _erf_array(x, complement):
    t = np.atleast_1d(x).astype(np.float64, copy=False)
    size = np.abs(t)
    small = size <= 0.46875
    tail = ~small & (size < 27)
    result = np.where(np.isnan(t), np.nan, np.sign(t))
    if complement:
        result = 1 - result
    s = t[small]
    s = s * _ratio(_ERF_SMALL, s * s)
    result[small] = 1 - s if complement else s
    upper = _scaled_tail(size[tail]) * exp_square(size[tail], -1)
    negative = t[tail] < 0
    if complement:
        result[tail] = np.where(negative, 2 - upper, upper)
    else:
        result[tail] = np.where(negative, upper - 1, 1 - upper)
    return result.reshape(x.shape).astype(x.dtype, copy=False)


def erfc_array(x):
    """erfc of float64."""
    return _erf_array(x, complement=True)


def erfcx_array(x):
    """e ** (x * x) erfc(x) of float64 of one dimension."""
    result = np.where(np.isnan(x), np.nan, np.where(x > 0, 0.0, np.inf))
    small = np.abs(x) <= 0.46875
    result[small] = np.exp(x[small] ** 2) * erfc_array(x[small])
    tail = (np.abs(x) > 0.46875) & (x > -27) & (x < np.inf)
    upper = _scaled_tail(np.abs(x[tail]))
    t = np.maximum(x[tail], -27.0)
    result[tail] = np.where(t < 0, 2 * exp_square(np.minimum(t, 0.0), 1) - upper, upper)
    return result


# M. Giles, Approximating the erfinv function (GPU Computing Gems, 2011): a start with an error of
# 1e-7, after which a step of Halley's triples the digits.
_INVERSE_NEAR = (1.50140941, 0.246640727, -0.00417768164, -0.00125372503, 0.00021858087,
                 -4.39150654e-06, -3.5233877e-06, 3.43273939e-07, 2.81022636e-08)  # fmt: skip


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
    """The inverse of erf, of float64 of one dimension."""
    size = np.abs(y)
    tail = (size >= 0.5) & (size < 1)
    upper = erfcinv_array(np.where(tail, 1 - size, 0.5))
    t = np.where(size < 0.5, size, 0.0)
    w = -np.log((1 - t) * (1 + t))
    x = np.polynomial.polynomial.polyval(w - 2.5, _INVERSE_NEAR) * t
    step = (_erf_array(x, False) - t) * (math.sqrt(math.pi) / 2) * np.exp(x * x)
    x = x - step / (1 + x * step)
    x = np.where(tail, upper, x)
    x = np.where(size < 1, x, np.where(size == 1, np.inf, np.nan))
    return np.copysign(x, y)


@elementwise(floating=True, kernel="erf")
def erf(x):
    """Error function, 2 / sqrt(pi) times the integral of e**(-t*t) from 0 to x."""
    return _erf_array(x, complement=False)


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
    return _erf_array(x, complement=True)


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
