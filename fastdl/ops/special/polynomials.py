"""Orthogonal polynomials by their three-term recurrences, in double precision.

p[0] = 1, p[1] = first(x), p[k + 1] = step(x, k, p[k], p[k - 1]): M. Abramowitz and I. Stegun,
Handbook of Mathematical Functions, table 22.7.
"""

import numpy as np

from fastdl.ops.core import elementwise
from fastdl.ops.special.double import in_double

__all__ = [
    "chebyshev_polynomial_t",
    "chebyshev_polynomial_u",
    "chebyshev_polynomial_v",
    "chebyshev_polynomial_w",
    "hermite_polynomial_h",
    "hermite_polynomial_he",
    "laguerre_polynomial_l",
    "legendre_polynomial_p",
    "shifted_chebyshev_polynomial_t",
    "shifted_chebyshev_polynomial_u",
    "shifted_chebyshev_polynomial_v",
    "shifted_chebyshev_polynomial_w",
]


def _recurrence(x, n, first, step):
    """The polynomials of degrees n (whole numbers; 0 for negative ones) at x."""
    degree = np.trunc(np.where(np.isnan(n), -1, n))
    before, here = np.ones_like(x), first(x)
    result = np.where(degree == 0, before, np.where(degree == 1, here, 0.0))
    for k in range(1, int(degree.max(initial=0))):
        before, here = here, step(x, k, here, before)
        result = np.where(degree == k + 1, here, result)
    return np.where(np.isnan(x) & (degree >= 0), np.nan, result)


def _doubling(x, k, here, before):
    return 2 * x * here - before


def _polynomial(name, what, first, step, shift=False):
    def forward(x, y):
        return _recurrence(2 * x - 1 if shift else x, y, first, step)

    forward.__name__ = forward.__qualname__ = name
    at = "2x - 1" if shift else "x"
    forward.__doc__ = f"{what} polynomial of degree y at {at}; 0 for y < 0. Not differentiable."
    return elementwise(in_double(forward), floating=True)


def _chebyshev(kind, number, first):
    """The polynomials of one kind at x and at 2x - 1."""
    name, what = f"chebyshev_polynomial_{kind}", f"Chebyshev's {number} kind of"
    return (
        _polynomial(name, what, first, _doubling),
        _polynomial(f"shifted_{name}", what, first, _doubling, shift=True),
    )


chebyshev_polynomial_t, shifted_chebyshev_polynomial_t = _chebyshev("t", "first", lambda x: x)
chebyshev_polynomial_u, shifted_chebyshev_polynomial_u = _chebyshev("u", "second", lambda x: 2 * x)
chebyshev_polynomial_v, shifted_chebyshev_polynomial_v = _chebyshev(
    "v", "third", lambda x: 2 * x - 1
)
chebyshev_polynomial_w, shifted_chebyshev_polynomial_w = _chebyshev(
    "w", "fourth", lambda x: 2 * x + 1
)
hermite_polynomial_h = _polynomial(
    "hermite_polynomial_h",
    "Hermite's (physicists')",
    lambda x: 2 * x,
    lambda x, k, here, before: 2 * (x * here - k * before),
)
hermite_polynomial_he = _polynomial(
    "hermite_polynomial_he",
    "Hermite's (probabilists')",
    lambda x: x,
    lambda x, k, here, before: x * here - k * before,
)
laguerre_polynomial_l = _polynomial(
    "laguerre_polynomial_l",
    "Laguerre's",
    lambda x: 1 - x,
    lambda x, k, here, before: ((2 * k + 1 - x) * here - k * before) / (k + 1),
)
legendre_polynomial_p = _polynomial(
    "legendre_polynomial_p",
    "Legendre's",
    lambda x: x,
    lambda x, k, here, before: ((2 * k + 1) * x * here - k * before) / (k + 1),
)
