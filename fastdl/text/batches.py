"""Sequences of different lengths in batches: padding, and batches of similar lengths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from fastdl import _dtype
from fastdl._engine import tensor_of
from fastdl.ops.random import randperm
from fastdl.tensor import Tensor

__all__ = ["BucketSampler", "PadCollate"]


def _padded(sequences: list, value: float, batch_first: bool, function: str) -> Tensor:
    """Sequences (L_i, *) as (N, max L, *), `value` after their ends."""
    arrays = [s.array if isinstance(s, Tensor) else np.asarray(s) for s in sequences]
    if any(a.ndim == 0 or a.shape[1:] != arrays[0].shape[1:] for a in arrays):
        shapes = ", ".join(str(list(a.shape)) for a in arrays[:4])
        raise ValueError(f"{function}: sequences (L, *) must agree in *, but got {shapes}")
    dtype = next((a for a in arrays if a.size), arrays[0]).dtype
    if not isinstance(sequences[0], Tensor) and dtype.kind == "f":
        dtype = _dtype.as_numpy(_dtype.get_default_dtype())
    longest = max(len(a) for a in arrays)
    out = np.full((len(arrays), longest, *arrays[0].shape[1:]), value, dtype)
    for row, a in zip(out, arrays, strict=True):
        row[: len(a)] = a
    return tensor_of(out if batch_first else np.ascontiguousarray(out.swapaxes(0, 1)))


class PadCollate:
    """A DataLoader's ``collate_fn`` that pads sequences to the longest of the batch.

    Samples are sequences (lists of numbers, arrays or Tensors (L, *)), or tuples with sequences and
    numbers in the same places; numbers become a Tensor (N,).

    Args:
        padding_value: what stands after the ends.
        batch_first: (N, L, *) rather than (L, N, *).
        with_lengths: whether the lengths (N,), int64, follow each padded sequence.

    >>> from fastdl.text import PadCollate
    >>> PadCollate(padding_value=9, with_lengths=True)([[1, 2, 3], [4]])
    (tensor([[1, 2, 3],
            [4, 9, 9]]), tensor([3, 1]))
    """

    def __init__(
        self, padding_value: float = 0, batch_first: bool = True, with_lengths: bool = False
    ) -> None:
        self.padding_value = padding_value
        self.batch_first = batch_first
        self.with_lengths = with_lengths

    def __call__(self, batch: list):
        """The batch of `batch`, a list of samples.

        Raises:
            ValueError: no samples, or sequences that differ in more than their lengths.
        """
        if not batch:
            raise ValueError("PadCollate: there are no samples")
        if not isinstance(batch[0], tuple):
            out = self._column(batch)
            return out[0] if len(out) == 1 else out
        return tuple(x for column in zip(*batch, strict=True) for x in self._column(list(column)))

    def _column(self, column: list) -> tuple[Tensor, ...]:
        first = column[0]
        if isinstance(first, int | float | np.generic) or getattr(first, "ndim", 1) == 0:
            array = np.array([x.array if isinstance(x, Tensor) else x for x in column])
            if isinstance(first, float):
                array = array.astype(_dtype.as_numpy(_dtype.get_default_dtype()))
            return (tensor_of(array),)
        padded = _padded(column, self.padding_value, self.batch_first, "PadCollate")
        if not self.with_lengths:
            return (padded,)
        return padded, tensor_of(np.array([len(x) for x in column], np.int64))


class BucketSampler:
    """A DataLoader's ``batch_sampler``: batches of indices of sequences of similar lengths, so that
    little is padded.

    Indices are shuffled, cut into pools of `pool` batches, sorted by length within each pool, cut
    into batches; then the batches are shuffled.

    Args:
        lengths: of all sequences.
        batch_size: how many sequences a batch has.
        shuffle: without it, everything is sorted by length.
        drop_last: leaves a last, smaller batch out.
        pool: how many batches are sorted together: more of them pad less and shuffle less.
        generator: random numbers, the default generator if None.

    Raises:
        ValueError: `batch_size` or `pool` is not positive.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        batch_size: int,
        shuffle: bool = True,
        drop_last: bool = False,
        pool: int = 100,
        generator=None,
    ) -> None:
        if batch_size < 1 or pool < 1:
            raise ValueError(
                "BucketSampler: batch_size and pool must be positive, but got "
                f"{batch_size} and {pool}"
            )
        self.lengths = np.asarray(lengths, np.int64)
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.pool = pool
        self.generator = generator

    def __len__(self) -> int:
        n = len(self.lengths)
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def _permutation(self, n: int) -> np.ndarray:
        return randperm(n, generator=self.generator).array

    def __iter__(self) -> Iterator[list[int]]:
        n, size = len(self.lengths), self.batch_size
        order = self._permutation(n) if self.shuffle else np.arange(n)
        span = size * self.pool if self.shuffle else max(n, 1)
        batches = []
        for start in range(0, n, span):
            pool = order[start : start + span]
            pool = pool[np.argsort(self.lengths[pool], kind="stable")]
            batches += [pool[i : i + size].tolist() for i in range(0, len(pool), size)]
        if self.drop_last:
            batches = [b for b in batches if len(b) == size]
        if self.shuffle:
            batches = [batches[i] for i in self._permutation(len(batches))]
        yield from batches
