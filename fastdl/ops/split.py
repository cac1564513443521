"""Parts of a tensor, all of them views: split, chunk, tensor_split, hsplit, vsplit, dsplit."""

import itertools
import operator

from fastdl._engine import shortcut
from fastdl.ops.core import aliases, is_tensor, normal_dim
from fastdl.ops.shape import cut, slice_of

__all__ = [
    "chunk",
    "dsplit",
    "hsplit",
    "split",
    "split_with_sizes",
    "tensor_split",
    "unsafe_chunk",
    "unsafe_split",
    "unsafe_split_with_sizes",
    "vsplit",
]


def _length(function, input, dim):
    """(length along dim, dim counted from the front); IndexError for 0-d tensors."""
    if input.array.ndim == 0:
        raise RuntimeError(
            f"{function} expects at least a 1-dimensional tensor, but got a tensor with 0 dims"
        )
    dim = normal_dim(dim, input.array.ndim)
    return input.array.shape[dim], dim


def _parts(input, dim, cuts):
    """Views between neighbouring cuts along dim."""
    return cut(input, dim=dim, lengths=tuple([b - a for a, b in itertools.pairwise(cuts)]))


@shortcut(cut)
@aliases
def split(input, split_size_or_sections, dim=0):
    """Views of `split_size` elements along `dim` (the last may be shorter), or of listed sizes."""
    if isinstance(split_size_or_sections, (tuple, list)):
        return split_with_sizes(input, split_size_or_sections, dim)
    n, dim = _length("split", input, dim)
    size = operator.index(split_size_or_sections)
    if size < 0:
        raise RuntimeError(f"split expects split_size be non-negative, but got split_size={size}")
    if size == 0 and n:
        raise RuntimeError(
            f"split_size can only be 0 if dimension size is 0, but got dimension size of {n}"
        )
    return _parts(input, dim, [*range(0, n, size), n] if n else [0, 0])


def split_with_sizes(input, split_sizes, dim=0):
    """Views of the listed lengths along `dim`, which must add up to its length."""
    n, dim = _length("split_with_sizes", input, dim)
    lengths = [operator.index(k) for k in split_sizes]
    if any(k < 0 for k in lengths):
        raise RuntimeError(
            "split_with_sizes expects split_sizes have only non-negative entries, but got "
            f"split_sizes={lengths}"
        )
    if sum(lengths) != n:
        raise RuntimeError(
            f"split_with_sizes expects split_sizes to sum exactly to {n} (input tensor's size at "
            f"dimension {dim}), but got split_sizes={lengths}"
        )
    return _parts(input, dim, [0, *itertools.accumulate(lengths)])


@shortcut(cut)
@aliases
def chunk(input, chunks, dim=0):
    """At most `chunks` views of equal length (the last may be shorter) along `dim`."""
    n, dim = _length("chunk", input, dim)
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    if n == 0:
        if chunks >= 2**31:
            raise RuntimeError(f"chunk: cannot make {chunks} tensors")
        return _parts(input, dim, [0] * (chunks + 1))
    size = -(-n // chunks)
    return _parts(input, dim, [*range(0, n, size), n])


def tensor_split(input, indices_or_sections, dim=0):
    """Views along `dim`: a number of nearly equal ones, or cut at the listed indices."""
    n, dim = _length("tensor_split", input, dim)
    if is_tensor(indices_or_sections):
        if indices_or_sections.array.dtype.kind != "i" or indices_or_sections.array.ndim > 1:
            raise RuntimeError(
                "tensor_split expected tensor_indices_or_sections to be a zero-dimensional or "
                "one-dimensional int64 tensor"
            )
        indices_or_sections = indices_or_sections.tolist()
    if isinstance(indices_or_sections, (tuple, list)):
        cuts = [slice(0, operator.index(i)).indices(n)[1] for i in indices_or_sections]
        starts, stops = [0, *cuts], [*cuts, n]
        before = (slice(None),) * dim
        return tuple(
            [
                slice_of(input, index=(*before, slice(a, max(a, b)), ...))
                for a, b in zip(starts, stops)
            ]
        )
    sections = operator.index(indices_or_sections)
    if sections <= 0:
        raise RuntimeError(f"number of sections must be larger than 0, got {sections}")
    if sections >= 2**31:
        raise RuntimeError(f"tensor_split: cannot make {sections} tensors")
    whole, rest = divmod(n, sections)
    return _parts(input, dim, [i * whole + min(i, rest) for i in range(sections + 1)])


def _split_along(function, input, indices_or_sections, dim, least):
    ndim = input.array.ndim
    if ndim < least:
        raise RuntimeError(
            f"{function} requires a tensor with at least {least} dimension, but got a tensor "
            f"with {ndim} dimensions!"
        )
    n = input.array.shape[dim]
    if isinstance(indices_or_sections, int) and (
        indices_or_sections <= 0 or n % indices_or_sections
    ):
        raise RuntimeError(
            f"{function} attempted to split along dimension {dim}, but the size of the dimension "
            f"{n} is not divisible by the split_size {indices_or_sections}!"
        )
    return tensor_split(input, indices_or_sections, dim)


def hsplit(input, indices_or_sections):
    """`tensor_split` into equal parts or at indices along dimension 1, or 0 of vectors."""
    return _split_along("hsplit", input, indices_or_sections, int(input.array.ndim > 1), 1)


def vsplit(input, indices_or_sections):
    """`tensor_split` into equal parts or at indices along dimension 0; two dimensions or more."""
    return _split_along("vsplit", input, indices_or_sections, 0, 2)


def dsplit(input, indices_or_sections):
    """`tensor_split` into equal parts or at indices along dimension 2; three dimensions or more."""
    return _split_along("dsplit", input, indices_or_sections, 2, 3)


unsafe_chunk, unsafe_split, unsafe_split_with_sizes = chunk, split, split_with_sizes
