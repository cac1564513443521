"""Counting: distinct elements, occurrences, histograms, places in a sorted line."""

import math

import numpy as np

from fastdl import backends
from fastdl._engine import tensor_of
from fastdl.ops.core import (
    ALL_DIMS,
    is_tensor,
    legacy_name,
    normal_dim,
    result_type,
    takes_out,
    tensor_argument,
)

__all__ = [
    "bincount",
    "bucketize",
    "histc",
    "histogram",
    "histogramdd",
    "searchsorted",
    "unique",
    "unique_consecutive",
]

# ---- distinct elements ------------------------------------------------------------------------


def _selected_dim(function, input, dim):
    """`dim` from the front; RuntimeError if another dimension has no elements."""
    x = input.array
    dim = normal_dim(dim, x.ndim)
    if x.ndim == 0:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    if x.size == 0 and x.shape[dim]:
        raise RuntimeError(
            f"There are 0 sized dimensions, and they aren't selected, so {function} cannot be "
            "applied"
        )
    return dim


def _with_chosen(values, inverse, counts, return_inverse, return_counts):
    found = [values]
    found += [inverse] if return_inverse else []
    found += [counts] if return_counts else []
    found = tuple([tensor_of(np.asarray(a)) for a in found])
    return found if len(found) > 1 else found[0]


def unique(input, sorted=True, return_inverse=False, return_counts=False, dim=None):
    """Distinct elements (or slices along `dim`) in order; with return_inverse also the place of
    each element among them, with return_counts how often each occurs (both int64). No two NaN are
    the same."""
    x = input.array
    if dim is not None:
        dim = _selected_dim("unique", input, dim)
        if x.size == 0:
            return unique_consecutive(input, return_inverse, return_counts, dim)
    options = {"return_inverse": return_inverse, "return_counts": return_counts}
    found = np.unique(x, axis=dim, equal_nan=False, **options)
    values, *rest = found if isinstance(found, tuple) else (found,)
    if return_inverse:
        rest[0] = rest[0].reshape(x.shape if dim is None else (-1,))
    found = tuple([tensor_of(a) for a in (values, *rest)])
    return found if rest else found[0]


def unique_consecutive(input, return_inverse=False, return_counts=False, dim=None):
    """The first of each run of equal elements (or slices along `dim`); with return_inverse also
    the run of each element, with return_counts the lengths of the runs (both int64)."""
    x = input.array
    if dim is None:
        line, new = x.reshape(-1), np.ones(x.size, bool)
        new[1:] = line[1:] != line[:-1]
        axis = 0
    else:
        axis = _selected_dim("unique_consecutive", input, dim)
        line, rows = x, np.moveaxis(x, axis, 0)
        new = np.ones(len(rows), bool)
        new[1:] = (rows[1:] != rows[:-1]).any(tuple(range(1, x.ndim)))
    starts = np.flatnonzero(new)
    inverse = np.cumsum(new, dtype=np.int64) - 1
    counts = np.diff(np.append(starts, len(new))).astype(np.int64)
    return _with_chosen(
        np.take(line, starts, axis),
        inverse.reshape(x.shape) if dim is None else inverse,
        counts,
        return_inverse,
        return_counts,
    )


# ---- occurrences ------------------------------------------------------------------------------

MOST = 2**63 - 1  # of int64


def bincount(input, weights=None, minlength=0):
    """How often each non-negative integer occurs, int64, or the sum of its `weights`, in their
    dtype if that is float32, else float64. At least `minlength` of them."""
    x = input.array
    if x.dtype.kind not in "iu":
        raise NotImplementedError(f'"bincount_cpu" not implemented for {legacy_name(x.dtype)!r}')
    if x.ndim != 1 or not backends.of(x).within(x, 0, MOST):
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    if minlength < 0:
        raise RuntimeError("minlength should be >= 0")
    if weights is None:
        return tensor_of(np.bincount(x, minlength=minlength).astype(np.int64, copy=False))
    w = tensor_argument("bincount", "weights", weights).array
    if w.shape != x.shape:
        raise RuntimeError("weights should be 1-d and have the same length as input")
    dtype = np.float32 if w.dtype == np.float32 else np.float64
    return tensor_of(np.bincount(x, w, minlength).astype(dtype, copy=False))


def _finite_range(function, x, low, high):
    """The range of a histogram: given, or that of the elements; a little around a single value."""
    if low == high and x.size:
        low, high = (
            backends.of(x).reduce(x, op, ALL_DIMS[x.ndim], False).item() for op in ("min", "max")
        )
    if not (math.isfinite(low) and math.isfinite(high)):
        raise RuntimeError(f"{function}: range of [{low}, {high}] is not finite")
    if low > high:
        raise RuntimeError(f"{function}: max must be larger than min")
    return (low - 1, high + 1) if low == high else (low, high)


def _bin_number(bins):
    if bins <= 0:
        raise RuntimeError(f"torch.histogram(): bins must be > 0, but got {bins} for dimension 0")
    return bins


def _floats(function, *tensors):
    for t in tensors:
        if t.array.dtype.kind != "f":
            name = legacy_name(t.array.dtype)
            raise NotImplementedError(f'"{function}" not implemented for {name!r}')


@takes_out
def histc(input, bins=100, min=0, max=0):
    """Counts in `bins` equal intervals from `min` to `max` (both equal: the extremes), as floats.
    Elements outside are not counted."""
    _floats("histogram_cpu", input)
    x = input.array
    low, high = _finite_range("torch.histc", x, min, max)
    bins = _bin_number(bins)
    x = x.reshape(-1)
    if min != max or x.size == 0:
        x = x[(x >= low) & (x <= high)]
    low, high = np.asarray([low, high], x.dtype)
    places = ((x - low) * x.dtype.type(bins) / (high - low)).astype(np.int64)  # as PyTorch rounds
    counts = np.bincount(np.minimum(places, bins - 1), minlength=bins)  # the last one has its end
    return tensor_of(counts.astype(x.dtype))


HistogramResult = result_type("histogram", ("hist", "bin_edges"))
HistogramddResult = result_type("histogramdd", ("hist", "bin_edges"))


@takes_out
def histogram(input, bins, *, range=None, weight=None, density=False):
    """(hist, bin_edges): counts, or sums of `weight`, in intervals that all but the last leave out
    their right end.

    bins: how many equal ones from range[0] to range[1] (None: the extremes), or a 1-d tensor of
    edges. density: divided by the sum and the widths, so that the integral is 1. Floating point
    only.
    """
    _floats("histogramdd", input)
    x = input.array
    if is_tensor(bins):
        edges = bins.array
    else:
        low, high = (0, 0) if range is None else range
        low, high = _finite_range("torch.histogram", x, low, high)
        edges = np.linspace(low, high, _bin_number(bins) + 1, dtype=x.dtype)
    hist, _ = _counted([x.reshape(-1)], [edges], weight, density)
    return HistogramResult(tensor_of(hist), tensor_of(edges))


@takes_out
def histogramdd(input, bins, range=None, weight=None, density=False):
    """(hist, bin_edges): `histogram` of points, the rows (..., D) of `input`, in D dimensions.

    bins: one number or one per dimension, or a sequence of D 1-d tensors of edges; range: lowest
    and highest edge of each dimension in one sequence.
    """
    _floats("histogramdd", input)
    if input.array.ndim < 2:
        raise RuntimeError("torch.histogramdd: input tensor should have at least 2 dimensions")
    x = input.array.reshape(-1, input.array.shape[-1]).T
    bins = [bins] * len(x) if isinstance(bins, int) else list(bins)
    if len(bins) != len(x):
        raise RuntimeError(
            f"torch.histogramdd: expected {len(x)} sequences of bin edges or numbers of bins for "
            f"{len(x)} dimensions but got {len(bins)}"
        )
    ends = [(0, 0)] * len(x) if range is None else list(zip(range[::2], range[1::2]))
    edges = [
        b.array
        if is_tensor(b)
        else np.linspace(
            *_finite_range("torch.histogramdd", line, *ends[d]), _bin_number(b) + 1, dtype=x.dtype
        )
        for d, (line, b) in enumerate(zip(x, bins))
    ]
    hist, edges = _counted(list(x), edges, weight, density)
    return HistogramddResult(tensor_of(hist), tuple([tensor_of(e) for e in edges]))


def _counted(lines, edges, weight, density):
    w = None if weight is None else weight.array.reshape(-1)
    hist, _ = np.histogramdd(lines, edges, density=density, weights=w)
    return hist.astype(lines[0].dtype), edges


# ---- places in a sorted line ------------------------------------------------------------------


def _places(function, line, values, right, out_int32):
    """For each of `values` the number of elements of `line`, sorted in the last dimension, that
    stand before it."""
    side = "right" if right else "left"
    if line.dtype.kind == values.dtype.kind == "b" and values.size:
        raise NotImplementedError(f"\"{function}_out_cpu\" not implemented for 'Bool'")
    if line.ndim == 1:
        found = np.searchsorted(line, values, side)
    elif line.shape[:-1] != values.shape[:-1] or not values.ndim:
        raise RuntimeError(
            f"torch.{function}(): boundaries tensor should be 1 dimension or the first N-1 "
            "dimensions of boundaries tensor and input value tensor must match, but we got "
            f"boundaries tensor {list(line.shape)} and input value tensor {list(values.shape)}"
        )
    else:
        found = np.empty(values.shape, np.int64)
        for at in np.ndindex(line.shape[:-1]):
            found[at] = np.searchsorted(line[at], values[at], side)
    return tensor_of(np.asarray(found, np.int32 if out_int32 else np.int64))


@takes_out
def searchsorted(sorted_sequence, input, *, out_int32=False, right=False, side=None, sorter=None):
    """Where `input`, a tensor or a number, would be inserted into a sorted sequence (..., N) so
    that it stays sorted: before equal elements, or with right=True (side="right") after them.

    int64 (int32 with out_int32) of the shape of `input`, whose leading dimensions are those of the
    sequence, unless that is 1-d. sorter: int64 indices that sort the sequence.
    """
    tensor_argument("searchsorted", "sorted_sequence", sorted_sequence)
    if side not in (None, "left", "right"):
        raise RuntimeError(
            f"torch.searchsorted(): side can only be 'left' or 'right' but got {side}"
        )
    if side == "left" and right:
        raise RuntimeError(
            "torch.searchsorted(): side and right can't be set to opposites, got side of left "
            "while right was True"
        )
    line = sorted_sequence.array
    if sorter is not None:
        line = np.take_along_axis(line, tensor_argument("searchsorted", "sorter", sorter).array, -1)
    values = input.array if is_tensor(input) else np.asarray(input)
    return _places("searchsorted", line, values, right or side == "right", out_int32)


@takes_out
def bucketize(input, boundaries, *, out_int32=False, right=False):
    """The bucket of each element of `input`, a tensor or a number, between sorted 1-d
    `boundaries`: how many of them are below it (with right=True: or equal to it)."""
    tensor_argument("bucketize", "boundaries", boundaries)
    if boundaries.array.ndim != 1:
        raise RuntimeError(
            f"boundaries tensor must be 1 dimension, but got dim({boundaries.array.ndim})"
        )
    values = input.array if is_tensor(input) else np.asarray(input)
    return _places("bucketize", boundaries.array, values, right, out_int32)
