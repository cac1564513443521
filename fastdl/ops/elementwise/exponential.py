"""Exponentials, logarithms and the logistic function."""

import math

import numpy as np

from fastdl.ops.core import elementwise

__all__ = [
    "exp",
    "exp2",
    "expm1",
    "log",
    "log1p",
    "log2",
    "log10",
    "logaddexp",
    "logit",
    "sigmoid",
]


@elementwise(ufunc=np.exp, floating=True, kernel="exp")
def exp(x):
    """`e ** x`."""


exp.vjp(x=lambda g, out: g * out)


@elementwise(ufunc=np.exp2, floating=True)
def exp2(x):
    """`2 ** x`."""


exp2.vjp(x=lambda g, out: g * out * math.log(2))


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


@elementwise(ufunc=np.logaddexp, floating=True)
def logaddexp(x, y):
    """`log(e**x + e**y)` without overflow."""


logaddexp.vjp(x=lambda g, x, out: g * exp(x - out), y=lambda g, y, out: g * exp(y - out))


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


@elementwise(floating=True)
def logit(x):
    """`log(x / (1 - x))`, the inverse of sigmoid."""
    return np.log(x / (1 - x))


logit.vjp(x=lambda g, x: g / (x * (1 - x)))
