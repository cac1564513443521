"""Exponentials, logarithms and the logistic function."""

import math

import numpy as np

from fastdl.ops.core import (
    as_arrays,
    elementwise,
    is_tensor,
    of_kinds,
    require_kinds,
    takes_out,
)
from fastdl.ops.elementwise.selection import where

__all__ = [
    "exp",
    "exp2",
    "expm1",
    "ldexp",
    "log",
    "log1p",
    "log2",
    "log10",
    "logaddexp",
    "logaddexp2",
    "logit",
    "sigmoid",
    "xlogy",
]


@elementwise(ufunc=np.exp, floating=True, kernel="exp")
def exp(x):
    """`e ** x`."""


exp.vjp(x=lambda g, out: g * out)


@elementwise(ufunc=np.exp2, floating=True)
def exp2(x):
    """`2 ** x`."""


exp2.vjp(x=lambda g, out: g * out * math.log(2))


@elementwise(floating=True)
def ldexp(x, y):
    """`x * 2 ** y`."""
    x, y = as_arrays(x, y)
    return x * np.exp2(y)


ldexp.vjp(x=lambda g, y: ldexp(g, y), y=lambda g, out: g * out * math.log(2))


@elementwise(ufunc=np.expm1, floating=True, kernel="expm1")
def expm1(x):
    """`e ** x - 1`, accurate near 0."""


@elementwise(kernel="expm1_backward")
def expm1_backward(g, y):
    """g * (y + 1), for y = expm1(x)."""
    return g * (y + 1)


expm1.vjp(x=lambda g, out: expm1_backward(g, out))
expm1_backward.vjp(g=lambda h, y: expm1_backward(h, y), y=lambda h, g: h * g)


@elementwise(ufunc=np.log, floating=True, kernel="log")
def log(x):
    """Natural logarithm; -inf at 0, NaN below."""


log.vjp(x=lambda g, x: g / x)


@elementwise(ufunc=np.log2, floating=True)
def log2(x):
    """Logarithm to base 2."""


log2.vjp(x=lambda g, x: g / (x * math.log(2)))


@elementwise(ufunc=np.log10, floating=True)
def log10(x):
    """Logarithm to base 10."""


log10.vjp(x=lambda g, x: g / (x * math.log(10)))


@elementwise(ufunc=np.log1p, floating=True, kernel="log1p")
def log1p(x):
    """`log(1 + x)`, accurate near 0."""


@elementwise(kernel="log1p_backward")
def log1p_backward(g, x):
    """g / (1 + x)."""
    return g / (x + 1)


log1p.vjp(x=lambda g, x: log1p_backward(g, x))
log1p_backward.vjp(
    g=lambda h, x: log1p_backward(h, x),
    x=lambda h, x, out: -h * out / (x + 1),
)


@elementwise
def logaddexp(x, y):
    """`log(e**x + e**y)` without overflow."""
    x, y = as_arrays(x, y)
    require_kinds("fc", x, y)
    if x.dtype.kind == "f":
        return np.logaddexp(x, y)
    less = x.real < y.real
    low, high = np.where(less, x, y), np.where(less, y, x)
    return np.where(high.real == -np.inf, high, high + np.log1p(np.exp(low - high)))


logaddexp.vjp(
    x=lambda g, x, y: g / (exp(y - x) + 1),
    y=lambda g, x, y: g / (exp(x - y) + 1),
)


@elementwise(floating=True, kernel="sigmoid")
def sigmoid(x):
    """`1 / (1 + e ** -x)`."""
    y = np.asarray(-x)  # the one array this takes
    np.exp(y, out=y)
    y += 1
    return np.reciprocal(y, out=y)


@elementwise(kernel="sigmoid_backward")
def sigmoid_backward(g, y):
    """g * y * (1 - y), for y = sigmoid(x)."""
    return g * ((1 - y) * y)


sigmoid.vjp(x=lambda g, out: sigmoid_backward(g, out))
sigmoid_backward.vjp(
    g=lambda h, y: sigmoid_backward(h, y),
    y=lambda h, g, y: h * g * (1 - y * 2),
)


@elementwise(ufunc=of_kinds("f", np.logaddexp2))
def logaddexp2(x, y):
    """`log2(2**x + 2**y)` without overflow."""


logaddexp2.vjp(x=lambda g, x, out: g * exp2(x - out), y=lambda g, y, out: g * exp2(y - out))


@elementwise(floating=True)
def xlogy(x, y):
    """`x * log(y)`, and 0 where x is 0, unless y is NaN."""
    x, y = as_arrays(x, y)
    return np.where((x == 0) & ~np.isnan(y), x.dtype.type(0), x * np.log(y))


def _xlogy_wrt_factor(g, x, y):
    return where((x == 0) & (y <= 0), 0.0, g * (log(y) if is_tensor(y) else _log_of_number(y)))


def _log_of_number(y):
    return math.log(y) if y > 0 else (-math.inf if y == 0 else math.nan)


xlogy.vjp(x=_xlogy_wrt_factor, y=lambda g, x, y: g * x / y)


@elementwise(floating=True)
def logit_arrays(x, *, eps):
    """`log(x / (1 - x))` of x held between eps and 1 - eps (None: as it is)."""
    if eps is not None:
        x = np.clip(x, eps, 1 - eps)
    return np.log(x / (1 - x))


def _logit_slope(g, x, eps):
    slope = g / (x * (1 - x))
    return slope if eps is None else where((x < eps) | (x > 1 - eps), 0.0, slope)


logit_arrays.vjp(x=_logit_slope)


@takes_out(casts=True)
def logit(input, eps=None):
    """`log(x / (1 - x))`, the inverse of sigmoid; with `eps`, of `input` held between eps and
    1 - eps."""
    return logit_arrays(input, eps=eps)
