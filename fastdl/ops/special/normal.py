"""The normal distribution's functions, and the entropy's: ndtr, log_ndtr, ndtri, entr, xlog1py."""

import math

import numpy as np

from fastdl.ops import elementwise as E
from fastdl.ops.core import as_arrays, elementwise
from fastdl.ops.elementwise.error_function import (
    erfc_array,
    erfcinv_array,
    erfcx_array,
    erfinv_array,
    exp_square,
)
from fastdl.ops.special.double import in_double

__all__ = ["entr", "log_ndtr", "ndtr", "ndtri", "xlog1py"]

_ROOT_HALF = math.sqrt(0.5)


@elementwise(floating=True)
@in_double
def ndtr(x):
    """Share of the standard normal distribution below x."""
    below = x < -1
    low = np.where(below, x, -1.0)
    tail = erfcx_array(-low * _ROOT_HALF) / 2 * exp_square(np.maximum(low, -40.0), -0.5)
    return np.where(below, tail, erfc_array(-np.where(below, 0.0, x) * _ROOT_HALF) / 2)


def _normal_density(x):
    return E.exp(x * x * -0.5) * (1 / math.sqrt(2 * math.pi))


ndtr.vjp(x=lambda g, x: g * _normal_density(x))


@elementwise(floating=True)
@in_double
def log_ndtr(x):
    """`log(ndtr(x))`, exact also where ndtr is tiny or almost 1."""
    below = x < -1
    low = np.where(below, x, -1.0)
    high = np.where(below, 0.0, x)
    tail = np.log(erfcx_array(-low * _ROOT_HALF) / 2) - low * low / 2
    return np.where(below, tail, np.log1p(-erfc_array(high * _ROOT_HALF) / 2))


log_ndtr.vjp(x=lambda g, x, out: g * E.exp(x * x * -0.5 - out) * (1 / math.sqrt(2 * math.pi)))


@elementwise(floating=True)
@in_double
def ndtri(x):
    """The x of which `ndtr` is this: -inf at 0, inf at 1, NaN outside."""
    tail = np.minimum(x, 1 - x)
    within = (tail > 0) & (tail < 0.25)
    far = erfcinv_array(np.where(within, 2 * tail, 0.5))
    far = np.where(x < 0.5, -far, far)
    return np.where(within, far, erfinv_array(2 * x - 1)) / _ROOT_HALF


ndtri.vjp(x=lambda g, out: g * E.exp(out * out * 0.5) * math.sqrt(2 * math.pi))


@elementwise(floating=True)
def entr(x):
    """`-x * log(x)`: 0 at 0, -inf below."""
    inside = np.where(x > 0, x, 1)
    return np.where(x < 0, -np.inf, np.where(np.isnan(x), x, -x * np.log(inside))).astype(x.dtype)


entr.vjp(x=lambda g, x: g * (-E.log(x) - 1))


@elementwise(floating=True)
def xlog1py(x, y):
    """`x * log1p(y)`: 0 where x is 0, unless y is NaN."""
    x, y = as_arrays(x, y)
    none = (x == 0) & ~np.isnan(y)
    return np.where(none, 0, x * np.log1p(np.where(none, 0, y))).astype(x.dtype)


xlog1py.vjp(
    x=lambda g, x, y: g * E.masked_fill(E.log1p(y), E.logical_and(x == 0, y <= -1), 0.0),
    y=lambda g, x, y: g * x / (y + 1),
)
