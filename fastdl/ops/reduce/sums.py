"""Sums, means, variances and log-sum-exp over dimensions."""

import builtins
import math
import warnings

import numpy as np

from fastdl import _dtype, backends
from fastdl._engine import shortcut
from fastdl.ops import elementwise as E
from fastdl.ops import shape as S
from fastdl.ops.core import aliases, legacy_name, normal_dims, primitive, takes_out

__all__ = [
    "logsumexp",
    "mean",
    "nanmean",
    "nansum",
    "std",
    "std_mean",
    "sum",
    "var",
    "var_mean",
]


@shortcut(S.sum_over)
@takes_out
@aliases
def sum(input, dim=None, keepdim=False, *, dtype=None):
    """Sum over `dim` (int or tuple; None: all); bools and integers give int64."""
    dims = normal_dims(dim, input.array.ndim)
    if dtype is None:
        return S.sum_over(input, dims=dims, keepdim=keepdim)
    return S.sum_over(input.to(dtype), dims=dims, keepdim=keepdim).to(dtype)


@primitive(node_name="Mean", kernel="mean")
def mean_over(x, *, dims, keepdim):
    """Mean over `dims`."""
    return backends.of(x).reduce(x, "sum", dims, keepdim, True)


mean_over.vjp(
    x=lambda g, x_shape, dims, keepdim: S.spread(
        g / builtins.max(math.prod([x_shape[d] for d in dims]), 1), x_shape, dims, keepdim
    )
)


def _floating(function, input):
    if not _dtype.is_inexact(input.array.dtype):
        raise RuntimeError(
            f"{function}(): could not infer output dtype. Input dtype must be either a floating "
            f"point or complex dtype. Got: {legacy_name(input.array.dtype)}"
        )


@shortcut(mean_over)
@takes_out
@aliases
def mean(input, dim=None, keepdim=False, *, dtype=None):
    """Mean over `dim`; floating point only."""
    if dtype is not None:
        input = input.to(dtype)
    _floating("mean", input)
    return mean_over(input, dims=normal_dims(dim, input.array.ndim), keepdim=keepdim)


@takes_out
@aliases
def nansum(input, dim=None, keepdim=False, *, dtype=None):
    """Sum with NaN counted as 0; as `sum` for bools and integers."""
    if _dtype.is_float(input.array.dtype):
        input = E.where(E.isnan(input), 0.0, input)
    return sum(input, dim, keepdim, dtype=dtype)


@takes_out
@aliases
def nanmean(input, dim=None, keepdim=False, *, dtype=None):
    """Mean of the elements that are not NaN; floating point only."""
    if dtype is not None and not _dtype.is_inexact(_dtype.as_numpy(dtype)):
        raise RuntimeError(
            "nanmean(): could not infer output dtype. Optional dtype must be either a floating "
            f"point or complex dtype. Got: {legacy_name(_dtype.as_numpy(dtype))}"
        )
    if not _dtype.is_inexact(input.array.dtype):
        raise RuntimeError(
            "nanmean(): expected input to have floating point or complex dtype but got "
            f"{legacy_name(input.array.dtype)}"
        )
    return nansum(input, dim, keepdim, dtype=dtype) / sum(~E.isnan(input), dim, keepdim)


@primitive(node_name="Var")
def var_over(x, *, dims, correction, keepdim):
    """Mean squared deviation over `dims`, divided by count - correction."""
    return backends.of(x).variance(x, dims, correction, keepdim)[0]


def _var_slope(g, x, dims, correction, keepdim):
    count = math.prod([x.array.shape[d] for d in dims])
    g = S.spread(g, x.array.shape, dims, keepdim)
    deviation = x - mean_over(x, dims=dims, keepdim=True)
    return g * (
        deviation * (2 / builtins.max(count - correction, 0) if count > correction else math.nan)
    )


var_over.vjp(x=_var_slope)


@primitive(node_name="Std")
def std_over(x, *, dims, correction, keepdim):
    """Square root of `var_over`; without slope where it is 0."""
    return np.sqrt(backends.of(x).variance(x, dims, correction, keepdim)[0])


def _std_slope(g, x, out, dims, correction, keepdim):
    return _var_slope(E.where(out == 0, 0.0, g / (out * 2)), x, dims, correction, keepdim)


std_over.vjp(x=_std_slope)


def _correction(dim, unbiased, correction):
    """PyTorch's two signatures: var(unbiased) and var(dim, unbiased=True) next to correction=."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if correction is None:
        correction = 1 if unbiased in (None, True) else 0
    return dim, correction


@shortcut(var_over)
@takes_out(casts=True)
@aliases
def var(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
    """Variance over `dim`, divided by count - correction (1: unbiased, the default)."""
    return _spread_over(var_over, "var", input, dim, unbiased, keepdim, correction)


def _spread_over(primitive, function, input, dim, unbiased, keepdim, correction):
    if not _dtype.is_inexact(input.array.dtype):
        raise RuntimeError(f"{function} only supports floating point and complex dtypes")
    dim, correction = _correction(dim, unbiased, correction)
    dims = normal_dims(dim, input.array.ndim)
    if math.prod([input.array.shape[d] for d in dims]) <= correction:
        warnings.warn(
            f"{function}(): degrees of freedom is <= 0. Correction should be strictly less than "
            "the reduction factor (input numel divided by output numel).",
            stacklevel=4,
        )
    static = {"dims": dims, "correction": correction, "keepdim": keepdim}
    if input.array.dtype.kind != "c":
        return primitive(input, **static)
    variance = var_over(input.real, **static) + var_over(input.imag, **static)
    return variance if primitive is var_over else E.sqrt(variance)


@shortcut(std_over)
@takes_out(casts=True)
@aliases
def std(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
    """Square root of `var`."""
    return _spread_over(std_over, "std", input, dim, unbiased, keepdim, correction)


@aliases
def var_mean(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
    """(variance, mean) over `dim`."""
    variance = _spread_over(var_over, "var_mean", input, dim, unbiased, keepdim, correction)
    return variance, mean(input, None if isinstance(dim, bool) else dim, keepdim)


@aliases
def std_mean(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
    """(standard deviation, mean) over `dim`."""
    deviation = _spread_over(std_over, "std_mean", input, dim, unbiased, keepdim, correction)
    return deviation, mean(input, None if isinstance(dim, bool) else dim, keepdim)


@primitive(node_name="Logsumexp")
def logsumexp_over(x, *, dims, keepdim):
    """log of the sum of exponentials over `dims`, without overflow."""
    return backends.of(x).logsumexp(x, dims, keepdim)


def _logsumexp_slope(g, x, out, dims, keepdim):
    shape = x.array.shape
    return S.spread(g, shape, dims, keepdim) * E.exp(x - S.spread(out, shape, dims, keepdim))


logsumexp_over.vjp(x=_logsumexp_slope)


@takes_out
@aliases
def logsumexp(input, dim, keepdim=False):
    """`log(sum(exp(input)))` over `dim` (int or tuple), without overflow."""
    if not _dtype.is_inexact(input.array.dtype):
        input = input.to(_dtype.get_default_dtype())
    return logsumexp_over(input, dims=normal_dims(dim, input.array.ndim), keepdim=keepdim)
