"""Embeddings: rows of a table by number, alone or in bags.

Taking rows and adding rows up are each other's gradients, so that derivatives of any order follow.
"""

from __future__ import annotations

import numpy as np

from fastdl import backends
from fastdl._engine import tensor_of
from fastdl.ops.core import primitive, tensor_argument
from fastdl.ops.elementwise import where

__all__ = ["embedding", "embedding_bag"]


@primitive(node_name="Embedding")
def take_rows(weight, index, *, padding_idx=None, by_frequency=False, gaps=False):
    """weight (rows, d), index (*) int64 -> (*, d). The row `padding_idx` gets no gradient;
    `by_frequency` divides each gradient by how often its index occurs; with `gaps` an index of -1
    gives zeros."""
    rows = backends.of(weight).gather_rows(weight, index.reshape(-1), gaps)
    return rows.reshape(*index.shape, weight.shape[1])


@primitive
def sum_rows(g, index, *, rows):
    """g (*, d), index (*) int64 -> (rows, d): each row the sum of what has its index; -1 is left
    out."""
    return backends.of(g).scatter_rows(g.reshape(-1, g.shape[-1]), index.reshape(-1), rows)


def _gradient(g, weight_shape, index, padding_idx, by_frequency):
    if by_frequency:
        often = np.bincount(index.array.ravel(), minlength=weight_shape[0])[index.array]
        g = g / tensor_of(often.astype(g.array.dtype)[..., None])
    if padding_idx is not None:
        index = tensor_of(np.where(index.array == padding_idx, -1, index.array))
    return sum_rows(g, index, rows=weight_shape[0])


take_rows.vjp(weight=_gradient)
sum_rows.vjp(g=lambda h, index: take_rows(h, index, gaps=True))


def _renormalise(weight, index, max_norm, norm_type):
    """Shrinks the rows of `weight` at `index` to at most `max_norm`, in place, unrecorded."""
    rows = np.unique(index)
    norms = np.linalg.norm(weight.array[rows], norm_type, axis=1)
    large = norms > max_norm
    if large.any():
        factors = (max_norm / (norms[large] + 1e-7)).astype(weight.array.dtype)
        weight.array[rows[large]] *= factors[:, None]
        weight._bump()


def _indices(function, input, weight, padding_idx, sparse):
    """`input` as int64 and `padding_idx` counted from the front, both checked."""
    tensor_argument(function, "weight", weight)
    if sparse:
        raise NotImplementedError(f"{function}: sparse gradients are not supported")
    kind = tensor_argument(function, "input", input).array.dtype.kind
    if kind not in "iu":
        raise RuntimeError(
            f"{function}: expected indices of an integer dtype, but got {input.array.dtype}"
        )
    if weight.ndim != 2:
        raise RuntimeError("'weight' must be 2-D")
    if padding_idx is not None:
        rows = weight.shape[0]
        if not -rows <= padding_idx < rows:
            raise AssertionError("Padding_idx must be within num_embeddings")
        padding_idx %= rows
    return input.long(), padding_idx


def embedding(
    input,
    weight,
    padding_idx=None,
    max_norm=None,
    norm_type=2.0,
    scale_grad_by_freq=False,
    sparse=False,
):
    """Rows of `weight` (rows, columns) at the integers `input` (*): (*, columns).

    Args:
        padding_idx: a row that receives no gradient; negative counts from the end.
        max_norm: rows that are read are first shrunk to this norm, in place; None leaves them.
        norm_type: the p of that norm.
        scale_grad_by_freq: divides gradients by how often their row was read.
        sparse: only False is supported.

    Raises:
        IndexError: an index is out of range.
        RuntimeError: `input` holds no integers, or `weight` is not 2-d.
        AssertionError: `padding_idx` is no row.
        NotImplementedError: `sparse`.
    """
    index, padding_idx = _indices("embedding", input, weight, padding_idx, sparse)
    if max_norm is not None:
        _renormalise(weight, index.array, max_norm, norm_type)
    return take_rows(weight, index, padding_idx=padding_idx, by_frequency=scale_grad_by_freq)


def _bags(input, offsets, include_last_offset):
    """The flat indices, and for each the number of its bag; the number of bags."""
    if input.ndim == 2:
        if offsets is not None:
            raise ValueError(
                "if input is 2D, then offsets has to be None, as input is treated is a "
                "mini-batch of fixed length sequences."
            )
        bags, length = input.shape
        return input.reshape(-1), np.repeat(np.arange(bags), length), bags
    if input.ndim != 1:
        raise ValueError(
            f"input has to be 1D or 2D Tensor, but got Tensor of dimension {input.ndim}"
        )
    if offsets is None:
        raise ValueError("offsets has to be a 1D Tensor but got None")
    if tensor_argument("embedding_bag", "offsets", offsets).ndim != 1:
        raise ValueError("offsets has to be a 1D Tensor")
    ends = offsets.array.astype(np.int64)
    if ends.size and ends[0] != 0:
        raise RuntimeError(
            f"offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start from "
            f"position 0. However, got {ends[0]}"
        )
    if ends.size and ends[-1] > input.numel():
        raise RuntimeError(
            f"offsets[-1] can not be greater than input's length({input.numel()}) but got "
            f"offsets[-1] of {ends[-1]}"
        )
    if not include_last_offset:
        ends = np.append(ends, input.numel())
    lengths = np.diff(ends)
    if (lengths < 0).any():
        raise RuntimeError("embedding_bag: offsets must not fall")
    bag = np.full(input.numel(), -1)
    bag[: lengths.sum()] = np.repeat(np.arange(len(lengths)), lengths)
    return input, bag, len(lengths)


def embedding_bag(
    input,
    weight,
    offsets=None,
    max_norm=None,
    norm_type=2,
    scale_grad_by_freq=False,
    mode="mean",
    sparse=False,
    per_sample_weights=None,
    include_last_offset=False,
    padding_idx=None,
):
    """Sums, means or maxima of bags of rows of `weight` (rows, columns): (bags, columns).

    Args:
        input: (bags, length) integers; or (n,), cut into bags by `offsets`.
        offsets: (bags,), where each bag begins; None for 2-d input.
        mode: ``"sum"``, ``"mean"`` or ``"max"``; an empty bag gives 0.
        per_sample_weights: a factor for each index, of the shape of `input`; with ``"sum"`` only.
        include_last_offset: whether `offsets` also holds the end of the last bag.
        padding_idx: indices of this value count as absent.
        max_norm, norm_type, scale_grad_by_freq, sparse: as in :func:`embedding`.

    Raises:
        ValueError: an unknown mode, or shapes that do not fit.
        RuntimeError: offsets that are not ascending from 0 to at most n.
        NotImplementedError: `per_sample_weights` with another mode than ``"sum"``, or `sparse`.
        IndexError: an index is out of range.
    """
    if mode not in ("sum", "mean", "max"):
        raise ValueError("mode has to be one of sum, mean or max")
    index, padding_idx = _indices("embedding_bag", input, weight, padding_idx, sparse)
    if per_sample_weights is not None:
        if mode != "sum":
            raise NotImplementedError(
                "embedding_bag: per_sample_weights was not None. per_sample_weights is only "
                f"supported for mode='sum' (got mode='{mode}')."
            )
        if per_sample_weights.shape != input.shape:
            raise ValueError(
                f"embedding_bag: If per_sample_weights ({list(per_sample_weights.shape)}) is not "
                f"None, then it must have the same shape as the input ({list(input.shape)})"
            )
    index, bag, bags = _bags(index, offsets, include_last_offset)
    if padding_idx is not None:
        bag = np.where(index.array == padding_idx, -1, bag)
    counts = np.bincount(bag[bag >= 0], minlength=bags)
    vectors = embedding(index, weight, None, max_norm, norm_type, scale_grad_by_freq)
    if mode == "max":
        return _maxima(vectors, bag, counts)
    if per_sample_weights is not None:
        vectors = vectors * per_sample_weights.reshape(-1, 1)
    sums = sum_rows(vectors, tensor_of(bag), rows=bags)
    if mode == "sum":
        return sums
    return sums / tensor_of(np.maximum(counts, 1).astype(sums.array.dtype)[:, None])


def _maxima(vectors, bag, counts):
    """The largest of the vectors (n, d) of each bag, column by column; 0 for an empty bag."""
    members = np.flatnonzero(bag >= 0)
    members = members[np.argsort(bag[members], kind="stable")]
    place = np.arange(len(members)) - np.repeat(np.cumsum(counts) - counts, counts)
    grid = np.full((len(counts), max(1, counts.max(initial=0))), -1)
    grid[bag[members], place] = members
    values = take_rows(vectors, tensor_of(grid), gaps=True)
    absent = tensor_of((grid < 0) & (counts > 0)[:, None])
    return where(absent.unsqueeze(-1), -float("inf"), values).max(1).values
