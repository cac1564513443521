"""The error function and its complement."""

import math

import numpy as np

from fastdl.ops.core import elementwise

__all__ = [
    "erf",
    "erfc",
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


def _erfc_tail(x):
    """erfc(x) for x > 0.46875."""
    result = np.empty_like(x)
    middle = x <= 4
    t = x[middle]
    result[middle] = _ratio(_ERFC_MIDDLE, t)
    t = x[~middle]
    s = 1 / (t * t)
    result[~middle] = (1 / math.sqrt(math.pi) - s * _ratio(_ERFC_LARGE, s)) / t
    # exp(-x * x) from a leading part with few bits, whose square is exact, and the rest
    head = np.trunc(x * 16) / 16
    return result * np.exp(-head * head) * np.exp(-(x - head) * (x + head))


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
    upper = _erfc_tail(size[tail])
    negative = t[tail] < 0
    if complement:
        result[tail] = np.where(negative, 2 - upper, upper)
    else:
        result[tail] = np.where(negative, upper - 1, 1 - upper)
    return result.reshape(x.shape).astype(x.dtype, copy=False)


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
