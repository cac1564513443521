"""Order and counts: sort, argsort, topk, kthvalue, median, unique, bincount, histc."""

import numpy as np

from fastdl import backends
from fastdl._engine import tensor_of
from fastdl.ops import shape as S
from fastdl.ops.core import aliases, normal_dim, result_type
from fastdl.ops.scatter import gather_along

__all__ = [
    "argsort",
    "bincount",
    "histc",
    "kthvalue",
    "median",
    "sort",
    "topk",
    "unique",
]

SortResult = result_type("sort")


TopkResult = result_type("topk")


MedianResult = result_type("median")


KthvalueResult = result_type("kthvalue")


def _order(input, dim, descending):
    """int64 positions that sort along `dim`; stable; NaN counts as the greatest."""
    x = input.array
    if x.dtype.kind == "c":
        raise RuntimeError("Sort does not support complex dtypes on CPU")
    if not descending:
        return np.argsort(x, dim, kind="stable").astype(np.int64, copy=False)
    back = np.flip(x, dim)
    order = np.flip(np.argsort(back, dim, kind="stable"), dim)
    return np.ascontiguousarray(x.shape[dim] - 1 - order)


def _ordered(input, index, dim):
    index = tensor_of(index)
    return gather_along(input, index, dim=dim), index


@aliases
def sort(input, dim=-1, descending=False, stable=False):
    """(values, indices) sorted along `dim`; always stable."""
    if input.array.ndim == 0:
        return SortResult(input.clone(), tensor_of(np.zeros((), np.int64)))
    dim = normal_dim(dim, input.array.ndim)
    return SortResult(*_ordered(input, _order(input, dim, descending), dim))


@aliases
def argsort(input, dim=-1, descending=False, stable=False):
    """Positions that would sort along `dim`, int64."""
    if input.array.ndim == 0:
        return tensor_of(np.zeros((), np.int64))
    return tensor_of(_order(input, normal_dim(dim, input.array.ndim), descending))


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


@aliases
def topk(input, k, dim=-1, largest=True, sorted=True):
    """(values, indices) of the `k` greatest (smallest) elements along `dim`, in order."""
    if input.array.ndim == 0:
        return TopkResult(input.clone(), tensor_of(np.zeros((), np.int64)))
    dim = normal_dim(dim, input.array.ndim)
    n = input.array.shape[dim]
    if not 0 <= k <= n:
        raise RuntimeError("selected index k out of range")
    if 0 < k <= n // 64:
        found = _few_extremes(input.array, k, dim, "max" if largest else "min")
        if found is not None:
            return TopkResult(*_ordered(input, found, dim))
    first = (*(slice(None),) * dim, slice(0, k))
    order = np.ascontiguousarray(_order(input, dim, largest)[first])
    return TopkResult(*_ordered(input, order, dim))


@aliases
def kthvalue(input, k, dim=-1, keepdim=False):
    """(values, indices) of the k-th smallest element (from 1) along `dim`."""
    return _kth(input, k, dim, keepdim, "kthvalue", KthvalueResult)


def _kth(input, k, dim, keepdim, name, result):
    dim = normal_dim(dim, input.array.ndim)
    scalar = input.array.ndim == 0
    if scalar:
        input = S.reshape_to(input, shape=(1,))
    n = input.array.shape[dim]
    if not 1 <= k <= n:
        raise RuntimeError(f"{name}(): selected number k out of range for dimension {dim}")
    at = (*(slice(None),) * dim, slice(k - 1, k))
    values, index = _ordered(input, np.ascontiguousarray(_order(input, dim, False)[at]), dim)
    if scalar or not keepdim:
        values, index = S.squeeze(values, dim), S.squeeze(index, dim)
    return result(values, index)


@aliases
def median(input, dim=None, keepdim=False):
    """The lower median; with `dim` (values, indices) along it."""
    if dim is None:
        flat = S.reshape_to(input, shape=(-1,))
        return _kth(flat, (flat.array.size + 1) // 2, 0, False, "median", MedianResult).values
    n = input.array.shape[normal_dim(dim, input.array.ndim)] if input.array.ndim else 1
    return _kth(input, (n + 1) // 2, dim, keepdim, "median", MedianResult)


def unique(input, sorted=True, return_inverse=False, return_counts=False, dim=None):
    """Distinct elements (or slices along `dim`) in order; also where from, and how often."""
    found = np.unique(
        input.array, return_inverse=return_inverse, return_counts=return_counts, axis=dim
    )
    if not (return_inverse or return_counts):
        return tensor_of(found)
    values, *rest = found
    if return_inverse:
        rest[0] = rest[0].reshape(input.array.shape if dim is None else (-1,))
    return tuple([tensor_of(a) for a in (values, *rest)])


def bincount(input, weights=None, minlength=0):
    """How often each non-negative integer occurs (or the sum of its `weights`)."""
    if input.array.ndim != 1 or input.array.dtype.kind not in "iu" or (input.array < 0).any():
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    counted = np.bincount(input.array, None if weights is None else weights.array, minlength)
    return tensor_of(counted)


def histc(input, bins=100, min=0, max=0):
    """Counts in `bins` equal intervals from `min` to `max` (both 0: the extremes), as floats."""
    low, high = (min, max) if (min, max) != (0, 0) else (input.array.min(), input.array.max())
    if low == high:
        low, high = low - 1, high + 1
    counts, _ = np.histogram(input.array, bins, (low, high))
    return tensor_of(counts.astype(input.array.dtype))
