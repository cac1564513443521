"""Reductions and running sums: sum, mean, var, prod, max, argmax, any, norm, cumsum, isclose ..."""

import builtins
import math

import numpy as np

from fastdl import _dtype, backends
from fastdl._engine import tensor_of
from fastdl.ops import elementwise as E
from fastdl.ops import shape as S
from fastdl.ops.core import (
    aliases,
    is_tensor,
    legacy_name,
    normal_dim,
    normal_dims,
    primitive,
    result_type,
)
from fastdl.ops.join import concatenate, flip_along
from fastdl.ops.scatter import scatter_along

__all__ = [
    "all",
    "amax",
    "amin",
    "aminmax",
    "any",
    "argmax",
    "argmin",
    "count_nonzero",
    "cumprod",
    "cumsum",
    "logsumexp",
    "max",
    "mean",
    "min",
    "nanmean",
    "nansum",
    "prod",
    "std",
    "std_mean",
    "sum",
    "var",
    "var_mean",
]

# ---- sums -------------------------------------------------------------------------------------


@aliases
def sum(input, dim=None, keepdim=False, *, dtype=None):
    """Sum over `dim` (int or tuple; None: all); bools and integers give int64."""
    if dtype is not None:
        input = input.to(dtype)
    return S.sum_over(input, dims=normal_dims(dim, input.array.ndim), keepdim=keepdim)


@primitive(node_name="Mean")
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


@aliases
def mean(input, dim=None, keepdim=False, *, dtype=None):
    """Mean over `dim`; floating point only."""
    if dtype is not None:
        input = input.to(dtype)
    _floating("mean", input)
    return mean_over(input, dims=normal_dims(dim, input.array.ndim), keepdim=keepdim)


@aliases
def nansum(input, dim=None, keepdim=False):
    """Sum with NaN counted as 0."""
    return sum(E.where(E.isnan(input), 0.0, input), dim, keepdim)


@aliases
def nanmean(input, dim=None, keepdim=False):
    """Mean of the elements that are not NaN."""
    return nansum(input, dim, keepdim) / sum(~E.isnan(input), dim, keepdim)


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


def _correction(dim, unbiased, correction):
    """PyTorch's two signatures: var(unbiased) and var(dim, unbiased=True) next to correction=."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if correction is None:
        correction = 1 if unbiased in (None, True) else 0
    return dim, correction


@aliases
def var(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
    """Variance over `dim`, divided by count - correction (1: unbiased, the default)."""
    _floating("var", input)
    dim, correction = _correction(dim, unbiased, correction)
    if input.array.dtype.kind == "c":
        options = {"correction": correction, "keepdim": keepdim}
        return var(input.real, dim, **options) + var(input.imag, dim, **options)
    dims = normal_dims(dim, input.array.ndim)
    return var_over(input, dims=dims, correction=correction, keepdim=keepdim)


@aliases
def std(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
    """Square root of `var`."""
    _floating("std", input)
    return E.sqrt(var(input, dim, unbiased, keepdim, correction=correction))


@aliases
def var_mean(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
    """(variance, mean) over `dim`."""
    variance = var(input, dim, unbiased, keepdim, correction=correction)
    return variance, mean(input, None if isinstance(dim, bool) else dim, keepdim)


@aliases
def std_mean(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
    """(standard deviation, mean) over `dim`."""
    variance, average = var_mean(input, dim, unbiased, keepdim, correction=correction)
    return E.sqrt(variance), average


@primitive(node_name="Logsumexp")
def logsumexp_over(x, *, dims, keepdim):
    """log of the sum of exponentials over `dims`, without overflow."""
    return backends.of(x).logsumexp(x, dims, keepdim)


def _logsumexp_slope(g, x, out, dims, keepdim):
    shape = x.array.shape
    return S.spread(g, shape, dims, keepdim) * E.exp(x - S.spread(out, shape, dims, keepdim))


logsumexp_over.vjp(x=_logsumexp_slope)


@aliases
def logsumexp(input, dim, keepdim=False):
    """`log(sum(exp(input)))` over `dim`."""
    if not _dtype.is_inexact(input.array.dtype):
        input = input.to(_dtype.get_default_dtype())
    return logsumexp_over(input, dims=normal_dims(dim, input.array.ndim), keepdim=keepdim)


# ---- products ---------------------------------------------------------------------------------


@primitive(node_name="Prod")
def prod_over(x, *, dim, keepdim):
    """Product along `dim`."""
    return backends.of(x).reduce(x, "prod", (dim,), keepdim)


def _prod_slope(g, x, dim, keepdim):
    # The product of all others, from products of what stands before and after: right with zeros
    # too.
    n = x.array.shape[dim]
    one = S.slice_of(x, index=(*(slice(None),) * dim, slice(0, 1), ...)) * 0 + 1
    before = cumprod_along(
        concatenate(one, S.narrow(x, dim, 0, builtins.max(n - 1, 0)), dim=dim), dim=dim
    )
    back = flip_along(x, dims=(dim,))
    after = cumprod_along(
        concatenate(one, S.narrow(back, dim, 0, builtins.max(n - 1, 0)), dim=dim), dim=dim
    )
    others = before * flip_along(after, dims=(dim,))
    return S.spread(g, x.array.shape, (dim,), keepdim) * others


prod_over.vjp(x=_prod_slope)


@aliases
def prod(input, dim=None, keepdim=False, *, dtype=None):
    """Product along `dim` (None: of all elements); bools and integers give int64."""
    if dtype is not None:
        input = input.to(dtype)
    if dim is None:
        input, dim = S.reshape_to(input, shape=(-1,)), 0
    elif input.array.ndim == 0:
        input = S.reshape_to(input, shape=(1,))
    return prod_over(input, dim=normal_dim(dim, input.array.ndim), keepdim=keepdim)


@primitive(node_name="Cumsum")
def cumsum_along(x, *, dim):
    """Running sum along `dim`."""
    return backends.of(x).scan(x, dim)


def _reverse_cumsum(g, dim):
    return flip_along(cumsum_along(flip_along(g, dims=(dim,)), dim=dim), dims=(dim,))


cumsum_along.vjp(x=_reverse_cumsum)


@primitive(node_name="Cumprod")
def cumprod_along(x, *, dim):
    """Running product along `dim`."""
    return backends.of(x).scan(x, dim, True)


def _cumprod_slope(g, x, out, dim):
    if (x.array != 0).all():
        return _reverse_cumsum(g * out, dim) / x
    # With zeros: x[k] multiplies every later product; what it multiplies starts at the product
    # before it.
    n = x.array.shape[dim]
    slopes = []
    for k in range(n):
        rest = S.narrow(x, dim, k + 1, n - k - 1)
        one = S.narrow(x, dim, k, 1) * 0 + 1
        start = S.narrow(out, dim, k - 1, 1) if k else one
        following = cumprod_along(concatenate(start, rest, dim=dim), dim=dim)
        slopes.append(S.sum_over(S.narrow(g, dim, k, n - k) * following, dims=(dim,), keepdim=True))
    return concatenate(*slopes, dim=dim)


cumprod_along.vjp(x=_cumprod_slope)


def _along(function, input, dim, dtype):
    if dtype is not None:
        input = input.to(dtype)
    if input.array.ndim == 0:
        normal_dim(dim, 0)
        return S.reshape_to(function(S.reshape_to(input, shape=(1,)), dim=0), shape=())
    return function(input, dim=normal_dim(dim, input.array.ndim))


@aliases
def cumsum(input, dim, *, dtype=None):
    """Running sum along `dim`; bools and integers give int64."""
    return _along(cumsum_along, input, dim, dtype)


@aliases
def cumprod(input, dim, *, dtype=None):
    """Running product along `dim`; bools and integers give int64."""
    return _along(cumprod_along, input, dim, dtype)


# ---- extremes ---------------------------------------------------------------------------------


@primitive(node_name="Amax")
def amax_over(x, *, dims, keepdim):
    """Greatest element over `dims`; ties share the gradient."""
    return backends.of(x).reduce(x, "max", dims, keepdim)


@primitive(node_name="Amin")
def amin_over(x, *, dims, keepdim):
    """Smallest element over `dims`; ties share the gradient."""
    return backends.of(x).reduce(x, "min", dims, keepdim)


def _extreme_slope(g, x, out, dims, keepdim):
    shape = x.array.shape
    hits = x.detach() == S.spread(out.detach(), shape, dims, keepdim)
    count = S.sum_over(hits, dims=dims, keepdim=True)
    return S.spread(g, shape, dims, keepdim) * (hits / count).to(x.dtype)


amax_over.vjp(x=_extreme_slope)
amin_over.vjp(x=_extreme_slope)


@primitive(node_name="Max")
def max_along(x, *, dim, keepdim):
    """(greatest along `dim`, its int64 position)."""
    return backends.of(x).extreme(x, "max", dim, keepdim)


@primitive(node_name="Min")
def min_along(x, *, dim, keepdim):
    """(smallest along `dim`, its int64 position)."""
    return backends.of(x).extreme(x, "min", dim, keepdim)


def _picked_slope(g, x_shape, out, dim, keepdim):
    g, index = g[0], out[1]
    if not keepdim:
        at = (*(slice(None),) * dim, None, ...)
        g, index = S.slice_of(g, index=at), S.slice_of(index, index=at)
    return scatter_along(g, index.detach(), shape=x_shape, dim=dim)


max_along.vjp(x=_picked_slope)
min_along.vjp(x=_picked_slope)


MaxResult = result_type("max")
MinResult = result_type("min")


AminmaxResult = result_type("aminmax", ("min", "max"))


def _not_empty(function, input, dim=None):
    if input.array.size == 0 and (dim is None or input.array.shape[dim] == 0):
        raise RuntimeError(
            f"{function}(): Expected reduction dim to be specified for input.numel() == 0. "
            "Specify the reduction dim with the 'dim' argument."
            if dim is None
            else f"{function}(): Expected reduction dim {dim} to have non-zero size."
        )


def _extreme(name, over, along, pairwise, result, input, dim, keepdim):
    if dim is None:
        _not_empty(name, input)
        return over(input, dims=tuple(range(input.array.ndim)), keepdim=False)
    if is_tensor(dim):
        return pairwise(input, dim)
    dim = normal_dim(dim, input.array.ndim)
    if input.array.ndim == 0:
        values, index = along(S.reshape_to(input, shape=(1,)), dim=0, keepdim=False)
        return result(values, index)
    if input.array.shape[dim] == 0:
        raise IndexError(f"{name}(): Expected reduction dim {dim} to have non-zero size.")
    return result(*along(input, dim=dim, keepdim=keepdim))


@aliases
def max(input, dim=None, keepdim=False, *, other=None):
    """Greatest element; (values, indices) along `dim`; or of two tensors, element by element."""
    dim = other if other is not None else dim
    return _extreme("max", amax_over, max_along, E.maximum, MaxResult, input, dim, keepdim)


@aliases
def min(input, dim=None, keepdim=False, *, other=None):
    """Smallest element; (values, indices) along `dim`; or of two tensors, element by element."""
    dim = other if other is not None else dim
    return _extreme("min", amin_over, min_along, E.minimum, MinResult, input, dim, keepdim)


@aliases
def amax(input, dim=(), keepdim=False):
    """Greatest element over `dim` (int or tuple); ties share the gradient."""
    _not_empty("amax", input)
    return amax_over(input, dims=normal_dims(dim, input.array.ndim), keepdim=keepdim)


@aliases
def amin(input, dim=(), keepdim=False):
    """Smallest element over `dim` (int or tuple); ties share the gradient."""
    _not_empty("amin", input)
    return amin_over(input, dims=normal_dims(dim, input.array.ndim), keepdim=keepdim)


@aliases
def aminmax(input, *, dim=None, keepdim=False):
    """(smallest, greatest)."""
    dims = () if dim is None else dim
    return AminmaxResult(amin(input, dims, keepdim), amax(input, dims, keepdim))


def _position(function, input, dim, keepdim):
    if input.array.size == 0 and (
        dim is None or input.array.shape[normal_dim(dim, input.array.ndim)] == 0
    ):
        raise IndexError(
            f"{function}(): Expected reduction dim to be specified for input.numel() == "
            "0, and to have non-zero size."
        )
    if input.array.dtype.kind == "b":
        raise RuntimeError(f"{function}(): does not support bool input")
    if dim is not None:
        dim = normal_dim(dim, input.array.ndim) if input.array.ndim else None
    _, found = backends.of(input.array).extreme(input.array, function[3:], dim, keepdim)
    return tensor_of(found)


@aliases
def argmax(input, dim=None, keepdim=False):
    """Position of the greatest element along `dim` (None: in the flattened tensor), int64."""
    return _position("argmax", input, dim, keepdim)


@aliases
def argmin(input, dim=None, keepdim=False):
    """Position of the smallest element along `dim` (None: in the flattened tensor), int64."""
    return _position("argmin", input, dim, keepdim)


# ---- logic and counts -------------------------------------------------------------------------


def _truth(input, found):
    """Bools, but uint8 of uint8: PyTorch's masks before it had bools."""
    return tensor_of(np.asarray(found, np.uint8 if input.array.dtype == np.uint8 else bool))


@aliases
def all(input, dim=None, keepdim=False):
    """Are all elements non-zero (along `dim`)?"""
    found = np.logical_and.reduce(input.array, normal_dims(dim, input.array.ndim), keepdims=keepdim)
    return _truth(input, found)


@aliases
def any(input, dim=None, keepdim=False):
    """Is any element non-zero (along `dim`)?"""
    found = np.logical_or.reduce(input.array, normal_dims(dim, input.array.ndim), keepdims=keepdim)
    return _truth(input, found)


@aliases
def count_nonzero(input, dim=None):
    """Number of elements that are not zero (along `dim`), int64."""
    return tensor_of(np.asarray(np.count_nonzero(input.array, normal_dims(dim, input.array.ndim))))


# ---- norms ------------------------------------------------------------------------------------


@primitive(node_name="LinalgVectorNorm")
def euclidean_norm(x, *, dims, keepdim):
    """Square root of the sum of squares over `dims`."""
    return np.sqrt(backends.of(x).reduce(x, "sum_squares", dims, keepdim))


def _norm_slope(g, x, out, dims, keepdim):
    shape = x.array.shape
    g, out = S.spread(g, shape, dims, keepdim), S.spread(out, shape, dims, keepdim)
    return E.where(out == 0, 0.0, g * x / out)


euclidean_norm.vjp(x=_norm_slope)
