"""The gamma function's family: lgamma, digamma, polygamma, zeta, the incomplete gamma functions.

Everything is computed in double precision, whatever the dtype. Relative errors are below 1e-14
(zeta, polygamma and the incomplete gamma functions: 1e-13) but near the zeros of lgamma and digamma
at negative x, where the absolute errors are.
"""

import math

import numpy as np

from fastdl import backends
from fastdl._engine import tensor_of
from fastdl.ops import elementwise as E
from fastdl.ops import shape as S
from fastdl.ops.core import elementwise, takes_out, tensor_argument
from fastdl.ops.special.double import chebyshev, in_double

__all__ = [
    "digamma",
    "gammainc",
    "gammaincc",
    "igamma",
    "igammac",
    "lgamma",
    "multigammaln",
    "mvlgamma",
    "polygamma",
    "zeta",
]

# Chebyshev coefficients on [1, 2], from 40-digit values: log gamma over (x - 1) (x - 2)
_LOG_GAMMA = (
    0.491415393029387127, -0.076114161670435843, 0.00843232496593277796, -0.00107949372632860815,
    0.000149007480036929645, -0.0000215123998885567854, 3.19793298608621864e-6,
    -4.85169301213992619e-7, 7.47148782116315976e-8, -1.16382967001705186e-8,
    1.82940043711866796e-9, -2.89691806071296064e-10, 4.6157014062090901e-11,
    -7.39281023049798246e-12, 1.18942800083330856e-12, -1.92120686765228045e-13,
    3.113975526387164e-14, -5.06284329844861127e-15, 8.25415028163114428e-16,
    -1.34905789875748432e-16, 2.20987611678262285e-17, -3.62741295492397693e-18,
)  # fmt: skip

# Bernoulli numbers over 2k (2k - 1): the series of log gamma at infinity
_STIRLING = (
    1 / 12,
    -1 / 360,
    1 / 1260,
    -1 / 1680,
    1 / 1188,
    -691 / 360360,
    1 / 156,
    -3617 / 122400,
)
_FAR = 12.0  # where eight terms of it are exact


log_gamma = backends.cpu.KERNELS["log_gamma"]  # of arrays of float64 in C order
psi = backends.cpu.KERNELS["digamma"]


def _series(coefficients, s):
    total = np.zeros_like(s)
    for c in reversed(coefficients):
        total = total * s + c
    return total


def _stirling_rest(x):
    """log gamma(x) - ((x - 1/2) log x - x + log(2 pi) / 2), for x of 12 and more: with x = m also
    log gamma(m + 1) - ((m + 1/2) log m - m + log(2 pi) / 2).
    """
    return _series(_STIRLING, 1 / (x * x)) / x


def log_gamma_of_one_plus(a):
    """log gamma(1 + a) of a >= 0, exact where a is tiny."""
    small = np.minimum(a, 1.0)
    near = small * (small - 1) * chebyshev(_LOG_GAMMA, small, 0, 1)
    return np.where(a < 1, near, log_gamma(1 + a))


# Bernoulli numbers over factorials: Euler and Maclaurin's rest of the sum of zeta
_TAIL = (1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160, -691 / 1307674368000,
         1 / 74724249600, -3617 / 10670622842880000, 43867 / 5109094217170944000)  # fmt: skip


def _zeta_of_positive(s, q):
    """Sum of (q + k) ** -s over k >= 0, for s > 1 and q > 0."""
    total = np.zeros_like(q)
    for k in range(10):
        total += (q + k) ** -s
    far = q + 10
    last = far**-s
    total += far * last / (s - 1) + 0.5 * last
    factor = s * last / far
    for k, b in enumerate(_TAIL):
        total += b * factor
        factor = factor * (s + 2 * k + 1) * (s + 2 * k + 2) / (far * far)
    return total


def hurwitz(s, q):
    """The zeta function of Hurwitz in float64: sum of (q + k) ** -s over k >= 0."""
    below = q < 0
    safe = np.where((s > 1) & (q > 0), q, 1.0)
    exponent = np.where(s > 1, s, 2.0)
    result = _zeta_of_positive(exponent, safe)
    whole = s == np.floor(s)
    if (below & whole).any():
        # Over all integers the sum repeats: take away what is before k = 0.
        part = np.where(below & whole, q - np.floor(q), 0.5)
        part = np.where(part == 0, 0.5, part)
        sign = np.where(np.mod(s, 2) == 0, 1.0, -1.0)
        mirrored = _zeta_of_positive(exponent, 1 - part)
        mirrored -= _zeta_of_positive(exponent, np.where(below, 1 - q, 1.0))
        mirrored = _zeta_of_positive(exponent, part) + sign * mirrored
        result = np.where(below, mirrored, result)
    result = np.where(below & ~whole, np.nan, result)
    result = np.where((q <= 0) & (q == np.floor(q)), np.inf, result)
    result = np.where(np.isposinf(q) | np.isposinf(s) & (q > 1), 0.0, result)
    result = np.where(s == 1, np.inf, np.where(s < 1, np.nan, result))
    return np.where(np.isnan(s) | np.isnan(q), np.nan, result)


# ---- primitives -------------------------------------------------------------------------------


@elementwise(floating=True, kernel="log_gamma")
@in_double
def lgamma(x):
    """Logarithm of |gamma(x)|; inf at 0, -1, -2 ..."""
    return log_gamma(x)


@elementwise(floating=True, kernel="digamma")
@in_double
def digamma(x):
    """Slope of `lgamma`; NaN at -1, -2 ..., -inf at 0 and inf at -0.0."""
    return psi(x)


@elementwise(floating=True)
@in_double
def zeta(x, y):
    """Hurwitz's zeta function: the sum of (y + k) ** -x over k = 0, 1, 2 ..."""
    return hurwitz(x, y)


zeta.vjp(y=lambda g, x, y: -g * x * zeta(x + 1, y))


@elementwise(floating=True, node_name="Polygamma")
@in_double
def polygamma_of(x, *, n):
    """Derivative number n of digamma, n >= 1."""
    factorial = math.factorial(n) if n <= 170 else math.inf  # beyond the greatest double
    return (1 if n % 2 else -1) * factorial * hurwitz(np.full_like(x, n + 1), x)


lgamma.vjp(x=lambda g, x: g * digamma(x))
digamma.vjp(x=lambda g, x: g * polygamma_of(x, n=1))
polygamma_of.vjp(x=lambda g, x, n: g * polygamma_of(x, n=n + 1))


@takes_out
def polygamma(n, input):
    """Derivative number n of `digamma`, n = 0, 1, 2 ..."""
    if not isinstance(n, int):
        raise TypeError(
            f"polygamma(): argument 'n' (position 1) must be int, not {type(n).__name__}"
        )
    tensor_argument("polygamma", "input", input)
    if n < 0:
        raise RuntimeError("polygamma(n, x) does not support negative n.")
    return polygamma_of(input, n=n) if n else digamma(input)


@takes_out
def multigammaln(a, p):
    """Logarithm of the multivariate gamma function of dimension p, for a > (p - 1) / 2."""
    tensor_argument("multigammaln", "a", a)
    if p < 1:
        raise RuntimeError("p has to be greater than or equal to 1")
    if a.array.dtype.kind != "f":
        a = a * 1.0
    steps = tensor_of(np.arange(p).astype(a.array.dtype) * -0.5)
    terms = lgamma(S.unsqueeze(a, -1) + steps)
    constant = p * (p - 1) / 4 * math.log(math.pi)
    return S.sum_over(terms, dims=(a.array.ndim,), keepdim=False) + constant


# ---- incomplete gamma functions ---------------------------------------------------------------
# W. Gautschi, A computational procedure for incomplete gamma functions (1979): the power series
# below the mean, the continued fraction above it. Where a is large both converge slowly, and the
# integral is taken by Gauss and Legendre's rule instead, over the range in which it is not 0.

_LARGE = 20.0
_NODES = 64
_CHUNK = 2048  # elements integrated together: 1 MB


def _power_series(a, x):
    """(S, its slope in a): P(a, x) = x^a e^-x / gamma(a + 1) S."""
    term, slope = np.ones_like(x), np.zeros_like(x)
    total, slopes = term.copy(), slope.copy()
    for n in range(1, 2000):
        ratio = x / (a + n)
        slope = (slope - term / (a + n)) * ratio
        term = term * ratio
        total += term
        slopes += slope
        if not (term > total * 1e-17).any():
            break
    return total, slopes


def _continued_fraction(a, x):
    """Q(a, x) / (x^a e^-x / gamma(a)), by Lentz's algorithm."""
    b = x + 1 - a
    c = np.full_like(x, 1e300)
    d = 1 / b
    h = d
    for n in range(1, 2000):
        weight = -n * (n - a)
        b = b + 2
        d = weight * d + b
        d = 1 / np.where(np.abs(d) < 1e-300, 1e-300, d)
        c = b + weight / c
        c = np.where(np.abs(c) < 1e-300, 1e-300, c)
        step = c * d
        h = h * step
        if not (np.abs(step - 1) > 1e-16).any():
            break
    return h


def _log1p_minus(u):
    """log(1 + u) - u without cancellation."""
    r = u / (2 + u)
    s = r * r
    near = np.abs(u) < 0.3
    t = np.where(near, s, 0.0)
    series = _series([1 / k for k in range(3, 33, 2)], t)
    return np.where(near, -u * r + 2 * r * t * series, np.log1p(u) - u)


def _fall(m, u, w):
    """How far the exponent of the density falls from u to u + w, in units of the mode m."""
    return m * (_log1p_minus(u) - _log1p_minus(u + w))


def _integral(a, x, slope=False):
    """(which side, the integral of the gamma density from x outwards): right of the mode up to
    infinity, left of it down to 0. `slope`: of the density times log t - digamma(a).
    """
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    m = a - 1  # the mode
    u = (x - m) / m
    right = u >= 0
    sign = np.where(right, 1.0, -1.0)
    limit = np.where(right, np.inf, 1 + u)  # down to 0 it goes no further
    width = np.minimum(1 / np.sqrt(m), limit)
    for _ in range(60):
        narrow = (width < limit) & (_fall(m, u, sign * width) < 40)
        if not narrow.any():
            break
        width = np.where(narrow, np.minimum(width * 1.4, limit), width)
    at = u[:, None] + (sign * width)[:, None] * (nodes + 1) / 2
    density = np.exp(m[:, None] * _log1p_minus(at))
    if slope:
        density = density * (np.log(m)[:, None] + np.log1p(at) - psi(a)[:, None])
    total = density @ weights * width / 2
    return right, total * np.sqrt(m / (2 * np.pi)) * np.exp(-_stirling_rest(m))


def _each(values, where, function, *arguments):
    """values[where] = function(*arguments[where]), in chunks."""
    places = np.flatnonzero(where)
    for start in range(0, len(places), _CHUNK):
        part = places[start : start + _CHUNK]
        values[part] = function(*[x[part] for x in arguments])


def incomplete_gamma(a, x, complement):
    """P(a, x), or Q(a, x) = 1 - P, of float64 arrays of one dimension."""
    result = np.full(a.shape, np.nan)
    usual = (a > 0) & (x > 0) & np.isfinite(a) & np.isfinite(x)
    between = usual & (a > _LARGE) & (x > 0.4 * a) & (x < 2.5 * a)
    few = (
        usual & ~between & (a < 0.75 * x + 0.5) & (x < 1.1) if complement else np.zeros_like(usual)
    )
    small = usual & ~between & ((x < a + 1) | (x < 1.1)) & ~few
    large = usual & ~between & ~small & ~few

    def prefix(a, x):  # x^a e^-x / gamma(a + 1)
        spread = a > _FAR
        m = np.where(spread, a, _FAR)
        u = (x - m) / m
        fall = np.where(u > -0.3, _log1p_minus(u), np.log(x / m) - u)
        of_far = m * fall - _stirling_rest(m) - 0.5 * np.log(2 * np.pi * m)
        near = np.where(spread, 1.0, a)
        of_near = near * np.log(x) - x - log_gamma(near + 1)
        return np.exp(np.where(spread, of_far, of_near))

    def by_series(a, x):
        p = prefix(a, x) * _power_series(a, x)[0]
        return 1 - p if complement else p

    def by_small_x(a, x):  # Q where both are small
        log_x = np.log(x)
        total, term = np.zeros_like(x), np.ones_like(x)
        for n in range(1, 30):
            term = term * -x / n
            total += term / (a + n)
        first = -np.expm1(a * log_x - log_gamma_of_one_plus(a))
        return first - a * np.exp(a * log_x - log_gamma_of_one_plus(a)) * total

    def by_fraction(a, x):
        q = prefix(a, x) * a * _continued_fraction(a, x)
        return q if complement else 1 - q

    def by_integral(a, x):
        right, outside = _integral(a, x)
        return np.where(right == complement, outside, 1 - outside)

    _each(result, small, by_series, a, x)
    _each(result, few, by_small_x, a, x)
    _each(result, large, by_fraction, a, x)
    _each(result, between, by_integral, a, x)
    at_zero = (a > 0) & (x == 0)
    at_end = (a >= 0) & np.isfinite(a) & np.isposinf(x) | (a == 0) & (x > 0)
    result[at_zero | np.isposinf(a) & (x >= 0) & np.isfinite(x)] = 1.0 if complement else 0.0
    result[at_end] = 0.0 if complement else 1.0
    return result


@elementwise(floating=True)
@in_double
def gammainc(x, y):
    """Regularized lower incomplete gamma function P(x, y): the share of a gamma distribution of
    shape x below y. Differentiable in y.
    """
    return incomplete_gamma(x, y, False)


@elementwise(floating=True)
@in_double
def gammaincc(x, y):
    """`1 - gammainc(x, y)`, exact where that is tiny. Differentiable in y."""
    return incomplete_gamma(x, y, True)


def _gamma_density(x, y):
    return E.exp((x - 1) * E.log(y) - y - lgamma(x))


gammainc.vjp(y=lambda g, x, y: g * _gamma_density(x, y))
gammaincc.vjp(y=lambda g, x, y: -g * _gamma_density(x, y))


# PyTorch's old names.
igamma, igammac, mvlgamma = gammainc, gammaincc, multigammaln


def quantile_slope(a, x):
    """Slope of the quantile x of a gamma distribution in its shape a, the share below x kept: minus
    the slope of P in a over the density. Of float64 arrays of one dimension.
    """
    result = np.zeros(a.shape)
    usual = (a > 0) & (x > 0) & np.isfinite(a) & np.isfinite(x)
    far = usual & (a > _LARGE) & (x > 0.4 * a)
    tail = usual & ~far & (x >= a + 1)

    def by_series(a, x):
        total, slope = _power_series(a, x)
        return -x / a * ((np.log(x) - psi(a + 1)) * total + slope)

    def by_tail(a, x):
        nodes, weights = np.polynomial.legendre.leggauss(_NODES)
        width = 45 + 2 * a
        beyond = width[:, None] * (nodes + 1) / 2
        a, x = a[:, None], x[:, None]
        density = np.exp((a - 1) * np.log1p(beyond / x) - beyond)
        return (density * (np.log(x + beyond) - psi(a))) @ weights * width / 2

    def by_integral(a, x):
        right, outside = _integral(a, x, slope=True)
        m = a - 1
        log_density = m * _log1p_minus((x - m) / m) - 0.5 * np.log(2 * np.pi * m)
        return np.where(right, outside, -outside) / np.exp(log_density - _stirling_rest(m))

    _each(result, usual & ~far & ~tail, by_series, a, x)
    _each(result, tail, by_tail, a, x)
    _each(result, far, by_integral, a, x)
    return result
