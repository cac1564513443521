"""Batches of sequences of different lengths: padded to one length, or packed.

A packed sequence holds all first elements, then all second ones, ..., of sequences in the order of
falling lengths: `batch_sizes[t]` elements of time t. Nothing is computed for padding then.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from fastdl._engine import tensor_of
from fastdl.ops.creation import as_tensor, full
from fastdl.ops.join import pad_with, stack
from fastdl.tensor import Tensor

__all__ = [
    "PackedSequence",
    "invert_permutation",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]


class _Fields(NamedTuple):
    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None
    unsorted_indices: Tensor | None


class PackedSequence(_Fields):
    """Sequences of different lengths, time by time; made by `pack_padded_sequence` and
    `pack_sequence`, taken and returned by recurrent layers.

    Attributes:
        data: (sum of the lengths, *), the elements.
        batch_sizes: int64 (T,), how many sequences have an element of time t.
        sorted_indices: int64 (N,), the place in the batch of each sequence, longest first; None: as
            they are.
        unsorted_indices: its inverse, or None.
    """

    __slots__ = ()

    def __new__(cls, data, batch_sizes=None, sorted_indices=None, unsorted_indices=None):
        if batch_sizes is None:
            if not (isinstance(data, (list, tuple)) and len(data) == 2):
                raise AssertionError("Expected data to be a list or tuple of length 2")
            data, batch_sizes = data
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """With `data.to(...)`; itself, if that changes nothing."""
        data = self.data.to(*args, **kwargs)
        return self if data is self.data else self._replace(data=data)

    def cpu(self, *args: Any, **kwargs: Any) -> PackedSequence:
        return self.to("cpu", *args, **kwargs)

    def cuda(self, *args: Any, **kwargs: Any) -> PackedSequence:
        return self._replace(data=self.data.cuda(*args, **kwargs))

    def pin_memory(self) -> PackedSequence:
        return self._replace(data=self.data.pin_memory())

    def is_pinned(self) -> bool:
        return self.data.is_pinned()

    @property
    def is_cuda(self) -> bool:
        return self.data.is_cuda

    def _as(self, dtype):
        data = getattr(self.data, dtype)()
        return self if data is self.data else self._replace(data=data)

    def double(self) -> PackedSequence:
        return self._as("double")

    def float(self) -> PackedSequence:
        return self._as("float")

    def half(self) -> PackedSequence:
        return self._as("half")

    def long(self) -> PackedSequence:
        return self._as("long")

    def int(self) -> PackedSequence:
        return self._as("int")

    def short(self) -> PackedSequence:
        return self._as("short")

    def char(self) -> PackedSequence:
        return self._as("char")

    def byte(self) -> PackedSequence:
        return self._as("byte")


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The inverse of a permutation, int64 (N,); None of None."""
    return None if permutation is None else tensor_of(np.argsort(permutation.array))


def _lengths_of(batch_sizes):
    """The lengths, falling, of which there are `batch_sizes[t]` greater than t."""
    longest = int(batch_sizes[0]) if len(batch_sizes) else 0
    return (batch_sizes[:, None] > np.arange(longest)).sum(0)


def _rows(batch_sizes, count):
    """The places of packed elements in a batch (T, count) of one dimension."""
    starts = np.repeat(np.arange(len(batch_sizes)) * count, batch_sizes)
    firsts = np.repeat(np.cumsum(batch_sizes) - batch_sizes, batch_sizes)
    return starts + np.arange(len(firsts)) - firsts


def _placed(data, rows, shape, value):
    """`data` (n, *) at `rows` of a batch of `shape` (2 dimensions), `value` elsewhere."""
    rest = data.shape[1:]
    padded = full((shape[0] * shape[1], *rest), value, dtype=data.dtype)
    return padded.index_copy(0, tensor_of(rows), data).reshape(*shape, *rest)


def pack_padded_sequence(
    input: Tensor,
    lengths: Tensor | list[int],
    batch_first: bool = False,
    enforce_sorted: bool = True,
) -> PackedSequence:
    """The elements of padded sequences, without the padding.

    Args:
        input: (T, N, *), or (N, T, *) if `batch_first`.
        lengths: of the N sequences, each at least 1.
        batch_first: which comes first. Default: False.
        enforce_sorted: lengths fall (or else an error); otherwise the sequences are sorted, which
            the result remembers. Default: True.

    Raises:
        RuntimeError: lengths that do not fit, or do not fall though `enforce_sorted`.

    Example:

        >>> import fastdl as torch
        >>> from fastdl.nn.utils.rnn import pack_padded_sequence
        >>> x = torch.tensor([[1, 2, 0], [3, 0, 0], [4, 5, 6]])
        >>> pack_padded_sequence(x, [2, 1, 3], batch_first=True, enforce_sorted=False).data
        tensor([4, 1, 3, 5, 2, 6])
    """
    given = lengths.array if isinstance(lengths, Tensor) else np.asarray(lengths)
    counts = given.astype(np.int64)
    if counts.ndim != 1:
        raise RuntimeError(
            f"'lengths' argument should be a 1D CPU int64 tensor, but got {counts.ndim}D"
        )
    if input.ndim < 2 or input.numel() == 0:
        raise RuntimeError("Cannot pack empty tensors.")
    padded = input.transpose(0, 1) if batch_first else input
    longest, batch = padded.shape[:2]
    if len(counts) != batch:
        raise RuntimeError(
            f"Expected `len(lengths)` to be equal to batch_size, but got {len(counts)} "
            f"(batch_size={batch})"
        )
    order = None
    if not enforce_sorted:
        order = np.argsort(-counts, kind="stable")
        counts = counts[order]
    elif (np.diff(counts) > 0).any():
        raise RuntimeError(
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You "
            "can pass `enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to "
            "sidestep this requirement if you do not need ONNX exportability."
        )
    if counts[-1] <= 0:
        raise RuntimeError(
            "Length of all samples has to be greater than 0, but found an element in 'lengths' "
            "that is <= 0"
        )
    if counts[0] > longest:
        raise RuntimeError(
            f"Expected lengths of at most {longest}, the padded length, but got {counts[0]}"
        )
    sizes = (counts > np.arange(counts[0])[:, None]).sum(1)
    rows = _rows(sizes, batch)
    if order is not None:
        rows = rows - rows % batch + order[rows % batch]
    data = padded.reshape(longest * batch, *padded.shape[2:]).index_select(0, tensor_of(rows))
    return PackedSequence(data, tensor_of(sizes), None if order is None else tensor_of(order))


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """The inverse of `pack_padded_sequence`.

    Args:
        sequence: what to pad.
        batch_first: return (N, T, *) rather than (T, N, *). Default: False.
        padding_value: what stands after the end of a sequence. Default: 0.
        total_length: T, by default the greatest length.

    Returns:
        The padded sequences, in the order in which they were packed, and their lengths, int64 (N,).

    Raises:
        ValueError: `total_length` is less than the greatest length.
    """
    sizes = sequence.batch_sizes.array
    longest, batch = len(sizes), int(sizes[0])
    if total_length is not None:
        if total_length < longest:
            raise ValueError(
                "Expected total_length to be at least the length of the longest sequence in input, "
                f"but got total_length={total_length} and max sequence length being {longest}"
            )
        longest = total_length
    rows, lengths = _rows(sizes, batch), _lengths_of(sizes)
    if sequence.unsorted_indices is not None:
        order = invert_permutation(sequence.unsorted_indices).array
        rows = rows - rows % batch + order[rows % batch]
        lengths = lengths[sequence.unsorted_indices.array]
    padded = _placed(sequence.data, rows, (longest, batch), padding_value)
    return padded.transpose(0, 1) if batch_first else padded, tensor_of(lengths)


def pad_sequence(
    sequences: Tensor | list[Tensor],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """Tensors (L_i, *) as one batch (T, N, *), or (N, T, *) if `batch_first`; T: the greatest L_i.

    Args:
        sequences: tensors alike in all but their first dimension; or one tensor, of its rows.
        batch_first: which comes first. Default: False.
        padding_value: what fills the shorter ones. Default: 0.
        padding_side: where: "right" (after the end) or "left". Default: "right".

    Raises:
        RuntimeError: no sequences, or unequal shapes, or an unknown side.
    """
    if not isinstance(sequences, Iterable):
        raise RuntimeError(
            "pad_sequence: Expected iterable for input sequences, but got arg of type: "
            f"{type(sequences)}"
        )
    sequences = list(sequences)
    if not sequences:
        raise RuntimeError("received an empty list of sequences")
    if padding_side not in ("left", "right"):
        raise RuntimeError(
            "Expected padding_side to be one of left or right, but got " + str(padding_side) + "."
        )
    for x in sequences:
        if x.ndim == 0 or x.shape[1:] != sequences[0].shape[1:]:
            raise RuntimeError(
                "pad_sequence: expected tensors alike in all but their first dimension, but got "
                f"shapes {list(sequences[0].shape)} and {list(x.shape)}"
            )
    longest = max([len(x) for x in sequences])
    still = ((0, 0),) * (sequences[0].ndim - 1)
    padded = []
    for x in sequences:
        gap = longest - len(x)
        widths = ((gap, 0) if padding_side == "left" else (0, gap), *still)
        padded.append(pad_with(x, widths=widths, value=padding_value) if gap else x)
    return stack(padded, 0 if batch_first else 1)


def unpad_sequence(
    padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False
) -> list[Tensor]:
    """The inverse of `pad_sequence`: the first `lengths[i]` elements of sequence i.

    Args:
        padded_sequences: (T, N, *), or (N, T, *) if `batch_first`.
        lengths: of the N sequences.
        batch_first: which comes first. Default: False.
    """
    rows = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    return [x[: int(n)] for x, n in zip(rows, as_tensor(lengths).tolist(), strict=True)]


def pack_sequence(sequences: list[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """`pack_padded_sequence` of tensors (L_i, *), their lengths falling if `enforce_sorted`."""
    lengths = [len(x) for x in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The inverse of `pack_sequence`."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
