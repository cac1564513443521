"""Products, and running sums, products and extremes along a dimension."""

import builtins

import numpy as np

from fastdl import _dtype, backends
from fastdl._engine import shortcut
from fastdl.ops import elementwise as E
from fastdl.ops import shape as S
from fastdl.ops.core import (
    aliases,
    normal_dim,
    primitive,
    require_kinds,
    result_type,
    takes_out,
)
from fastdl.ops.join import concatenate, flip_along
from fastdl.ops.scatter import scatter_along

__all__ = ["cummax", "cummin", "cumprod", "cumsum", "logcumsumexp", "prod"]


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


@takes_out
@aliases
def prod(input, dim=None, keepdim=False, *, dtype=None):
    """Product along `dim` (None: of all elements); bools and integers give int64."""
    if dtype is not None:
        return prod(input.to(dtype), dim, keepdim).to(dtype)
    if dim is None:
        whole = prod_over(S.reshape_to(input, shape=(-1,)), dim=0, keepdim=False)
        return S.reshape_to(whole, shape=(1,) * input.array.ndim) if keepdim else whole
    return over_lines(prod_over, input, normal_dim(dim, input.array.ndim), keepdim)


def over_lines(primitive, input, dim, keepdim):
    """A reduction along one dimension, `dim`, of any tensor: one of 0 dimensions is taken for a
    line of one element."""
    if input.array.ndim == 0:
        return primitive(S.reshape_to(input, shape=(1,)), dim=0, keepdim=False)
    return primitive(input, dim=dim, keepdim=keepdim)


@primitive(node_name="Cumsum", kernel="cumsum")
def cumsum_along(x, *, dim):
    """Running sum along `dim`."""
    return backends.of(x).scan(x, dim)


def _reverse(function, x, dim):
    return flip_along(function(flip_along(x, dims=(dim,)), dim=dim), dims=(dim,))


def _reverse_cumsum(g, dim):
    return _reverse(cumsum_along, g, dim)


cumsum_along.vjp(x=_reverse_cumsum)


@primitive(node_name="Cumprod", kernel="cumprod")
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


@primitive(node_name="Logcumsumexp")
def logcumsumexp_along(x, *, dim):
    """log of the running sum of exponentials along `dim`."""
    require_kinds("f", x)
    return np.logaddexp.accumulate(x, dim)


@primitive
def fading_sum_along(x, fading, *, dim):
    """y[i] = x[i] + fading[i] * y[i + 1] along `dim`, from the last to the first."""
    y = x.copy()
    steps, factors = np.moveaxis(y, dim, 0), np.moveaxis(fading, dim, 0)
    for i in range(len(steps) - 2, -1, -1):
        steps[i] += factors[i] * steps[i + 1]
    return y


def _moved(x, dim, by):
    """x[i + by] at i, 0 where there is none; `by` is 1 or -1."""
    n = x.array.shape[dim]
    kept = S.narrow(x, dim, builtins.max(by, 0), builtins.max(n - 1, 0))
    nothing = S.narrow(x, dim, 0, builtins.min(n, 1)) * 0
    return concatenate(*((kept, nothing) if by > 0 else (nothing, kept)), dim=dim)


def _fading_slopes(g, fading, out, dim):
    # The sum of what reaches x[i]: the same recurrence, from the first to the last.
    factors = flip_along(_moved(fading, dim, -1), dims=(dim,))
    reaching = flip_along(
        fading_sum_along(flip_along(g, dims=(dim,)), factors, dim=dim), dims=(dim,)
    )
    return reaching, reaching * _moved(out, dim, 1)


fading_sum_along.vjp_joint(_fading_slopes)


def _logcumsumexp_slope(g, x, out, dim):
    # The sum over j >= i of g[j] exp(x[i] - out[j]): of factors that are 1 at most.
    n = x.array.shape[dim]
    last = builtins.max(n - 1, 0)
    later = concatenate(
        S.narrow(out, dim, n - last, last), S.narrow(out, dim, last, n - last), dim=dim
    )
    fading = E.where(out == -np.inf, 0.0, E.exp(out - later))
    share = E.where(x == -np.inf, 0.0, E.exp(x - out))
    return fading_sum_along(g, fading, dim=dim) * share


logcumsumexp_along.vjp(x=_logcumsumexp_slope)


@primitive(node_name="Cummax", kernel="cummax")
def cummax_along(x, *, dim):
    """(greatest so far along `dim`, its int64 position: the last of equal ones)."""
    return _running_extreme(np.maximum, x, dim)


@primitive(node_name="Cummin", kernel="cummin")
def cummin_along(x, *, dim):
    """(smallest so far along `dim`, its int64 position: the last of equal ones)."""
    return _running_extreme(np.minimum, x, dim)


def _running_extreme(ufunc, x, dim):
    values = ufunc.accumulate(x, dim)
    places = np.arange(x.shape[dim]).reshape((-1,) + (1,) * (x.ndim - 1 - dim))
    places = np.where((x == values) | (x != x), places, 0)
    return values, np.maximum.accumulate(places, dim)


def _running_slope(g, x_shape, out1, dim):
    return scatter_along(g[0], out1.detach(), shape=x_shape, dim=dim)


cummax_along.vjp(x=_running_slope)
cummin_along.vjp(x=_running_slope)


def _along(function, input, dim, dtype=None):
    if dtype is not None:
        if _dtype.as_numpy(dtype).kind == "b":
            raise NotImplementedError(f"\"{function.name}\" not implemented for 'Bool'")
        return _along(function, input.to(dtype), dim).to(dtype)
    dim = normal_dim(dim, input.array.ndim)
    if input.array.ndim:
        return function(input, dim=dim)
    found = function(S.reshape_to(input, shape=(1,)), dim=0)
    if isinstance(found, tuple):
        return tuple([S.reshape_to(y, shape=()) for y in found])
    return S.reshape_to(found, shape=())


@shortcut(cumsum_along)
@takes_out
@aliases
def cumsum(input, dim, *, dtype=None):
    """Running sum along `dim`; bools and integers give int64."""
    return _along(cumsum_along, input, dim, dtype)


@shortcut(cumprod_along)
@takes_out
@aliases
def cumprod(input, dim, *, dtype=None):
    """Running product along `dim`; bools and integers give int64."""
    return _along(cumprod_along, input, dim, dtype)


@takes_out
@aliases
def logcumsumexp(input, dim):
    """Logarithm of the running sum of exponentials along `dim`, without overflow."""
    return _along(logcumsumexp_along, input, dim)


CummaxResult = result_type("cummax")
CumminResult = result_type("cummin")


@takes_out
@aliases
def cummax(input, dim):
    """(values, indices): the greatest element so far along `dim`; the last of equal ones, and NaN
    from the first NaN on."""
    return CummaxResult(*_along(cummax_along, input, dim))


@takes_out
@aliases
def cummin(input, dim):
    """(values, indices): the smallest element so far along `dim`; the last of equal ones, and NaN
    from the first NaN on."""
    return CumminResult(*_along(cummin_along, input, dim))
