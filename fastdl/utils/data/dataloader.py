"""DataLoader: batches of a dataset.

Batches are made in the calling process; `num_workers` and its companions are accepted, checked and
have no effect, so that PyTorch programs run unchanged. A TensorDataset, or a Subset of one, is not
taken apart into samples under the default collation: a batch is one indexed read per tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from fastdl.ops.creation import as_tensor
from fastdl.ops.join import stack
from fastdl.tensor import Tensor
from fastdl.utils.data.dataset import IterableDataset, Subset, TensorDataset
from fastdl.utils.data.sampler import (
    BatchSampler,
    RandomSampler,
    SequentialSampler,
    check_count,
)

__all__ = ["DataLoader", "default_collate"]


def default_collate(batch: list) -> Any:
    """Samples to one batch: tensors, arrays and numbers are stacked along a new first dimension;
    tuples, lists and dicts are taken apart and collated entry by entry; strings stay a list.

    Raises:
        TypeError: the samples are of a type that cannot be collated.
        RuntimeError: sequences differ in length, or tensors in shape.
    """
    first = batch[0]
    if isinstance(first, Tensor):
        return stack(batch)
    if isinstance(first, np.ndarray | np.generic):
        if first.dtype.kind in "SUO":
            raise TypeError(f"default_collate: cannot collate arrays of {first.dtype}")
        return as_tensor(np.stack(batch))
    if isinstance(first, bool | int):
        return as_tensor(np.array(batch, np.bool_ if isinstance(first, bool) else np.int64))
    if isinstance(first, float):
        return as_tensor(np.array(batch, np.float64))
    if isinstance(first, str | bytes):
        return batch
    if isinstance(first, Mapping):
        return {key: default_collate([sample[key] for sample in batch]) for key in first}
    if isinstance(first, Sequence):
        if any(len(sample) != len(first) for sample in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        columns = [default_collate(list(column)) for column in zip(*batch, strict=True)]
        if isinstance(first, tuple) and hasattr(first, "_fields"):
            return type(first)(*columns)
        return columns
    raise TypeError(
        "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; "
        f"found {type(first).__name__}"
    )


def no_collate(sample):
    """What `collate_fn` is when automatic batching is off: an array becomes a Tensor."""
    return as_tensor(sample) if isinstance(sample, np.ndarray) else sample


def batch_reader(dataset) -> Callable[[list[int]], list[Tensor]] | None:
    """A function from indices to the collated batch that needs no single samples, if there is one.

    Subclasses are left out: they may define samples of their own.
    """
    if type(dataset) is TensorDataset:
        return lambda indices: [tensor[indices] for tensor in dataset.tensors]
    if type(dataset) is Subset:
        read = batch_reader(dataset.dataset)
        return read and (lambda indices: read([dataset.indices[i] for i in indices]))
    return None


class DataLoader:
    """An iterable of batches, anew in each epoch.

    Args:
        dataset: anything with ``__getitem__`` and ``__len__``, or an IterableDataset.
        batch_size: samples a batch, 1 unless given; None hands out single samples.
        shuffle: visit the samples in a new random order each epoch.
        sampler: the order of the indices, instead of `shuffle`.
        batch_sampler: lists of indices, instead of `batch_size`, `shuffle`, `sampler`, `drop_last`.
        num_workers, pin_memory, timeout, worker_init_fn, multiprocessing_context, prefetch_factor,
            persistent_workers, pin_memory_device, in_order: accepted, without effect.
        collate_fn: list of samples -> batch, :func:`default_collate` unless given.
        drop_last: leave an incomplete last batch out.
        generator: the source of randomness for `shuffle`, the default generator unless given.

    Raises:
        ValueError: options that exclude each other, or a number out of range.
    """

    def __init__(
        self,
        dataset,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable | None = None,
        batch_sampler: Iterable[list] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn=None,
        multiprocessing_context=None,
        generator=None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        if num_workers < 0:
            raise ValueError(
                f"DataLoader: num_workers should be non-negative, but got {num_workers}"
            )
        if timeout < 0:
            raise ValueError(f"DataLoader: timeout should be non-negative, but got {timeout}")
        streams = isinstance(dataset, IterableDataset)
        if streams and (shuffle or sampler is not None or batch_sampler is not None):
            raise ValueError(
                "DataLoader: an IterableDataset has an order of its own; shuffle, sampler and "
                "batch_sampler cannot be given"
            )
        if sampler is not None and shuffle:
            raise ValueError("DataLoader: sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError(
                    "DataLoader: batch_sampler option is mutually exclusive with batch_size, "
                    "shuffle, sampler, and drop_last"
                )
            batch_size = None
        elif batch_size is None:
            if drop_last:
                raise ValueError("DataLoader: batch_size=None excludes drop_last")
        else:
            check_count(batch_size, "DataLoader", "batch_size")
        if sampler is None and not streams:
            if shuffle:
                sampler = RandomSampler(dataset, generator=generator)
            else:
                sampler = SequentialSampler(dataset)
        if batch_sampler is None and batch_size is not None and not streams:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)

        self.dataset = dataset
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self.generator = generator
        batched = batch_sampler is not None or batch_size is not None
        self.collate_fn = collate_fn or (default_collate if batched else no_collate)
        self.num_workers = num_workers
        self.pin_memory = pin_memory
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.persistent_workers = persistent_workers

    def __len__(self) -> int:
        if self.batch_sampler is not None:
            return len(self.batch_sampler)
        if self.sampler is not None:
            return len(self.sampler)
        size = len(self.dataset)
        if self.batch_size is None:
            return size
        full, rest = divmod(size, self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[Any]:
        collate, dataset = self.collate_fn, self.dataset
        if self.batch_sampler is not None:
            read = batch_reader(dataset) if collate is default_collate else None
            for indices in self.batch_sampler:
                yield read(indices) if read else collate([dataset[i] for i in indices])
        elif self.sampler is not None:
            for index in self.sampler:
                yield collate(dataset[index])
        elif self.batch_size is None:
            for sample in dataset:
                yield collate(sample)
        else:
            for samples in BatchSampler(dataset, self.batch_size, self.drop_last):
                yield collate(samples)
