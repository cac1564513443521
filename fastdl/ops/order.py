"""Order: sort, argsort, topk, kthvalue, median, mode, quantile."""

import numpy as np

from fastdl import backends
from fastdl._engine import shortcut, tensor_of
from fastdl.ops import elementwise as E
from fastdl.ops import shape as S
from fastdl.ops.core import (
    ALL_DIMS,
    aliases,
    is_tensor,
    normal_dim,
    primitive,
    result_type,
    takes_out,
)
from fastdl.ops.reduce.extremes import picked_slope, shared_slope
from fastdl.ops.scatter import gather_along

__all__ = [
    "argsort",
    "kthvalue",
    "median",
    "mode",
    "msort",
    "nanmedian",
    "nanquantile",
    "quantile",
    "sort",
    "topk",
]

SortResult = result_type("sort")
TopkResult = result_type("topk")
MedianResult = result_type("median")
NanmedianResult = result_type("nanmedian")
KthvalueResult = result_type("kthvalue")
ModeResult = result_type("mode")


def _order(x, dim, descending):
    """int64 positions that sort along `dim`; stable; NaN counts as the greatest."""
    if x.dtype.kind == "c":
        raise RuntimeError("Sort does not support complex dtypes on CPU")
    if not descending:
        return x.argsort(dim, kind="stable").astype(np.int64, copy=False)
    backwards = (*(slice(None),) * dim, slice(None, None, -1))
    order = x[backwards].argsort(dim, kind="stable")[backwards]
    return np.ascontiguousarray(x.shape[dim] - 1 - order)


@primitive(kernel="order", moves=True, half=True)
def ordered(x, *, dim, first, last, greatest):
    """(values, places) from place `first` to before `last` in the order along `dim`, from the
    smallest or the greatest."""
    part = (*(slice(None),) * dim, slice(first, last))
    places = np.ascontiguousarray(_order(x, dim, greatest)[part])
    return backends.of(x).gather(x, places, dim), places


ordered.vjp(x=lambda g, x_shape, out1, dim: picked_slope(g, x_shape, out1, dim, True))


@shortcut(ordered)
@takes_out
@aliases
def sort(input, dim=-1, descending=False, stable=False):
    """(values, indices) sorted along `dim`; always stable. NaN counts as the greatest."""
    dim = normal_dim(dim, input.array.ndim)
    if input.array.ndim == 0:
        return SortResult(input.clone(), tensor_of(np.zeros((), np.int64)))
    last = input.array.shape[dim]
    return SortResult(*ordered(input, dim=dim, first=0, last=last, greatest=bool(descending)))


@shortcut(ordered)
@aliases
def argsort(input, dim=-1, descending=False, stable=False):
    """Positions that would sort along `dim`, int64."""
    dim = normal_dim(dim, input.array.ndim)
    if input.array.ndim == 0:
        return tensor_of(np.zeros((), np.int64))
    return tensor_of(_order(input.array, dim, descending))


@takes_out
def msort(input):
    """The values sorted along the first dimension."""
    return sort(input, 0).values


MANY = 1 << 16  # elements, of which no kernel finds the first ones


def _few_extremes(x, k, dim, op):
    """Positions of the `k` greatest or smallest along `dim`, found one after another: cheaper than
    sorting for few. None where infinities or NaN are among them, or for integers."""
    if x.dtype.kind != "f":
        return None
    left, found = backends.of(x).copy(x), []
    for _ in range(k):
        values, places = backends.of(x).extreme(left, op, dim, True)
        if not np.isfinite(values).all():
            return None
        np.put_along_axis(left, places, -np.inf if op == "max" else np.inf, dim)
        found.append(places)
    return np.concatenate(found, dim)


@shortcut(ordered)
@takes_out
@aliases
def topk(input, k, dim=-1, largest=True, sorted=True):
    """(values, indices) of the `k` greatest (smallest) elements along `dim`, in order."""
    dim = normal_dim(dim, input.array.ndim)
    n = input.array.shape[dim] if input.array.ndim else 1
    if not 0 <= k <= n:
        raise RuntimeError("selected index k out of range")
    if input.array.dtype.kind == "b":
        raise RuntimeError("topk does not support bool dtypes on CPU")
    if input.array.ndim == 0:
        return TopkResult(input.clone(), tensor_of(np.zeros((), np.int64)))
    if 0 < k <= n // 64 and input.array.size > MANY:
        found = _few_extremes(input.array, k, dim, "max" if largest else "min")
        if found is not None:
            found = tensor_of(found)
            return TopkResult(gather_along(input, found, dim=dim), found)
    return TopkResult(*ordered(input, dim=dim, first=0, last=k, greatest=bool(largest)))


ordered.paired = SortResult, TopkResult


# ---- one of the sorted ones -------------------------------------------------------------------


def _line(function, input, dim):
    """The tensor, a 0-d one as a line of one element, and `dim` from the front; IndexError if
    there are no elements along it."""
    dim = normal_dim(dim, input.array.ndim)
    if input.array.ndim == 0:
        return S.reshape_to(input, shape=(1,)), 0
    if input.array.shape[dim] == 0:
        raise IndexError(f"{function}(): Expected reduction dim {dim} to have non-zero size.")
    return input, dim


def _one(found, input, dim, keepdim, result):
    """`result` of (values, places), one of a line, of a tensor that was `input`."""
    if not keepdim or input.array.ndim == 0:
        found = [S.squeeze(a, dim) for a in found]
    return result(*found)


@takes_out
@aliases
def kthvalue(input, k, dim=-1, keepdim=False):
    """(values, indices) of the k-th smallest element (from 1) along `dim`."""
    line, dim = _line("kthvalue", input, dim)
    if not 1 <= k <= line.array.shape[dim]:
        raise RuntimeError(f"kthvalue(): selected number k out of range for dimension {dim}")
    if input.array.dtype.kind == "b" and input.array.ndim:
        raise NotImplementedError("\"kthvalue_cpu\" not implemented for 'Bool'")
    found = ordered(line, dim=dim, first=k - 1, last=k, greatest=False)
    return _one(found, input, dim, keepdim, KthvalueResult)


@primitive(kernel="middle", moves=True, half=True)
def middle_along(x, *, dim, keepdim, skip_nan):
    """(the lower median along `dim`, its place): the first NaN if there is one and they are not
    skipped."""
    order = np.argsort(x, dim, kind="stable")
    count = x.shape[dim] - np.isnan(x).sum(dim, keepdims=True)  # NaN is last
    k = np.maximum(count - 1, 0) // 2
    places = np.take_along_axis(
        order, k if skip_nan else np.where(count < x.shape[dim], count, k), dim
    )
    found = backends.of(x).gather(x, places, dim), places
    return found if keepdim else tuple([a.squeeze(dim) for a in found])


middle_along.vjp(x=picked_slope)


@primitive(node_name="Median", kernel="median")
def middle_of_all(x, *, skip_nan):
    """The lower median of all elements; those that equal it share the gradient."""
    x = x.reshape(-1)
    if x.size and not skip_nan:
        k = (x.size - 1) // 2
        found = np.partition(x, (k, x.size - 1))  # NaN is last
        return found[k if found[-1] == found[-1] else -1]
    if x.size == 0:
        return np.array(np.nan).astype(x.dtype)
    return middle_along.forward(x, dim=0, keepdim=False, skip_nan=skip_nan)[0]


middle_of_all.vjp(
    x=lambda g, x, out: shared_slope(g, x, out, ALL_DIMS[x.array.ndim], keepdim=False)
)


def _median(function, input, dim, keepdim, result):
    if input.array.dtype.kind == "b" and (input.array.size or dim is not None):
        raise NotImplementedError(f"\"{function}_cpu\" not implemented for 'Bool'")
    skip_nan = function == "nanmedian"
    if dim is None:
        return middle_of_all(input, skip_nan=skip_nan)
    line, dim = _line(function, input, dim)
    keepdim = bool(keepdim) and input.array.ndim > 0
    return result(*middle_along(line, dim=dim, keepdim=keepdim, skip_nan=skip_nan))


@shortcut(middle_of_all)
@takes_out
@aliases
def median(input, dim=None, keepdim=False):
    """The lower median, NaN if any element is; with `dim` (values, indices) along it."""
    return _median("median", input, dim, keepdim, MedianResult)


middle_of_all.paired = middle_along, MedianResult


@takes_out
@aliases
def nanmedian(input, dim=None, keepdim=False):
    """The lower median of the elements that are not NaN; with `dim` (values, indices) along it."""
    return _median("nanmedian", input, dim, keepdim, NanmedianResult)


@takes_out
@aliases
def mode(input, dim=-1, keepdim=False):
    """(values, indices) of the most frequent element along `dim`, the smallest of several; its last
    place."""
    line, dim = _line("mode", input, dim)
    n = line.array.shape[dim]
    x, order = ordered(line.detach(), dim=dim, first=0, last=n, greatest=False)
    # How long the run of equal elements is that ends at each place of the sorted line.
    x, all_before = x.array, (slice(None),) * dim
    later = (*all_before, slice(1, None))
    at = np.arange(n).reshape((n,) + (1,) * (x.ndim - 1 - dim))
    start = np.zeros(x.shape, np.int64)
    np.multiply(at[1:], x[later] != x[(*all_before, slice(n - 1))], out=start[later])
    np.maximum.accumulate(start, dim, out=start)
    longest = np.argmax(at - start, dim, keepdims=True)
    places = tensor_of(backends.of(x).gather(order.array, longest, dim))
    return _one((gather_along(line, places, dim=dim), places), input, dim, keepdim, ModeResult)


# ---- quantiles --------------------------------------------------------------------------------

INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


def _probabilities(function, input, q):
    """`q` as an array, checked."""
    x = input.array
    if x.dtype.char not in "fd":
        raise RuntimeError(f"{function}() input tensor must be either float or double dtype")
    if is_tensor(q):
        if q.array.ndim > 1:
            raise RuntimeError(f"{function}() q must be a scalar or 1D tensor")
        if q.array.dtype != x.dtype:
            raise RuntimeError(f"{function}() q tensor must be same dtype as the input tensor")
        q = q.array
    q = np.asarray(q, x.dtype)
    if not ((q >= 0) & (q <= 1)).all():
        raise RuntimeError(f"{function}() q must be in the range [0, 1] but got {q.tolist()}")
    if x.size == 0:
        raise RuntimeError(f"{function}() input tensor must be non-empty")
    return q


def _quantile(function, input, q, dim, keepdim, interpolation):
    if interpolation not in INTERPOLATIONS:
        raise RuntimeError(
            f"{function}() interpolation must be one of linear, lower, higher, midpoint or "
            f"nearest, but got {interpolation}"
        )
    q, ndim = _probabilities(function, input, q), input.array.ndim
    if dim is None:
        x, dim, kept = S.reshape_to(input, shape=(-1,)), 0, (1,) * ndim
    else:
        dim = normal_dim(dim, ndim)
        x = S.movedim(input, dim, -1) if ndim else S.reshape_to(input, shape=(1,))
        kept = tuple([1 if d == dim else n for d, n in enumerate(input.array.shape)])
    x = sort(x, -1).values
    nans = np.isnan(x.array).sum(-1, keepdims=True)
    count = x.array.shape[-1] - (nans if function == "nanquantile" else 0)
    ranks = q.reshape(-1) * np.maximum(count - 1, 0).astype(q.dtype)  # (..., Q), NaN being last
    if function == "quantile":
        ranks = np.where(nans > 0, q.dtype.type(count - 1), ranks)
    if interpolation == "nearest":
        below = above = np.round(ranks)
    elif interpolation in ("lower", "higher"):
        below = above = np.floor(ranks) if interpolation == "lower" else np.ceil(ranks)
    else:
        below, above = np.floor(ranks), np.ceil(ranks)
    found = _take(x, below)
    if above is not below:
        weight = np.full_like(ranks, 0.5) if interpolation == "midpoint" else ranks - below
        found = E.lerp(found, _take(x, above), tensor_of(weight))
    found = S.movedim(found, -1, 0)  # (Q, ...)
    shape = kept if keepdim else found.array.shape[1:]
    return S.reshape_to(found, shape=(*q.shape, *shape))


def _take(x, ranks):
    places = np.broadcast_to(ranks, (*x.array.shape[:-1], ranks.shape[-1])).astype(np.int64)
    return gather_along(x, tensor_of(places), dim=x.array.ndim - 1)


@takes_out
@aliases
def quantile(input, q, dim=None, keepdim=False, *, interpolation="linear"):
    """The q-th quantile of the elements along `dim` (None: of all); NaN where one of them is.

    q: a number in [0, 1], or a 0-d or 1-d tensor of them, whose dimension then comes first.
    interpolation between the two nearest: linear, lower, higher, midpoint or nearest. float32 and
    float64 only; RuntimeError for others, for q outside [0, 1] and for no elements.
    """
    return _quantile("quantile", input, q, dim, keepdim, interpolation)


@takes_out
@aliases
def nanquantile(input, q, dim=None, keepdim=False, *, interpolation="linear"):
    """`quantile` of the elements that are not NaN; NaN where all are."""
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation)
