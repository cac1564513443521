"""DataLoader: batches of a dataset, made here or ahead of time by workers (see `workers.py`).

A TensorDataset, or a Subset of one, is not taken apart into samples under the default collation: a
batch is one indexed read per tensor.
"""

from __future__ import annotations

import collections
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from fastdl.ops.creation import as_tensor
from fastdl.ops.join import stack
from fastdl.ops.random import Generator, next_draw
from fastdl.tensor import Tensor
from fastdl.utils.data.dataset import IterableDataset, Subset, TensorDataset
from fastdl.utils.data.sampler import (
    BatchSampler,
    RandomSampler,
    SequentialSampler,
    check_count,
)
from fastdl.utils.data.workers import (
    ProcessWorker,
    Task,
    ThreadWorker,
    Turns,
    WorkerInfo,
    context_of,
    run_task,
    task_seed,
)

__all__ = ["DataLoader", "default_collate", "default_convert"]


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


def default_convert(data: Any) -> Any:
    """What `collate_fn` is when automatic batching is off: arrays and NumPy numbers become Tensors,
    in tuples, lists and dicts too; all else stays as it is."""
    if isinstance(data, np.ndarray | np.generic):
        return as_tensor(data) if np.asarray(data).dtype.kind not in "SUO" else data
    if isinstance(data, Mapping):
        return {key: default_convert(value) for key, value in data.items()}
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*map(default_convert, data))
    if isinstance(data, list | tuple):
        return [default_convert(value) for value in data]
    return data


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


EPOCH_SALT = 0x5851F42D4C957F2D  # keeps the samples' streams apart from the shuffling's


class _End:
    """What a worker answers when its stream has ended; there is one, also after pickling."""

    def __reduce__(self):
        return "END"


END = _End()


class _MapFetch:
    """dataset -> (indices -> batch), or (index -> sample) without automatic batching."""

    def __init__(self, collate: Callable, batched: bool) -> None:
        self.collate, self.batched = collate, batched

    def __call__(self, dataset) -> Callable:
        collate = self.collate
        if not self.batched:
            return lambda index: collate(dataset[index])
        read = batch_reader(dataset) if collate is default_collate else None
        if read is not None:
            return read
        if hasattr(dataset, "__getitems__"):
            return lambda indices: collate(dataset.__getitems__(indices))
        return lambda indices: collate([dataset[i] for i in indices])


class _StreamFetch:
    """dataset -> (None -> the next batch of its stream, or END)."""

    def __init__(self, collate: Callable, batch_size: int | None, drop_last: bool) -> None:
        self.collate, self.batch_size, self.drop_last = collate, batch_size, drop_last

    def __call__(self, dataset) -> Callable:
        samples, collate = iter(dataset), self.collate
        if self.batch_size is not None:
            samples = iter(BatchSampler(samples, self.batch_size, self.drop_last))

        def fetch(_):
            nothing = object()
            found = next(samples, nothing)
            return END if found is nothing else collate(found)

        return fetch


class DataLoader:
    """An iterable of batches, anew in each epoch.

    Args:
        dataset: anything with ``__getitem__`` and ``__len__``, or an IterableDataset.
        batch_size: samples a batch, 1 unless given; None hands out single samples.
        shuffle: visit the samples in a new random order each epoch.
        sampler: the order of the indices, instead of `shuffle`.
        batch_sampler: lists of indices, instead of `batch_size`, `shuffle`, `sampler`, `drop_last`.
        num_workers: how many workers make batches ahead of time; 0: each is made when asked for.
            Batches, and the random numbers that samples draw from fastdl, are the same for any
            number of workers.
        collate_fn: list of samples -> batch, :func:`default_collate` unless given.
        drop_last: leave an incomplete last batch out.
        timeout: seconds to wait for a worker's batch; 0: as long as it takes.
        worker_init_fn: called with its number in each worker before it begins.
        multiprocessing_context: None: workers are threads; ``"spawn"`` or ``"forkserver"``: they
            are processes, to which the dataset is pickled.
        generator: the source of randomness for `shuffle` and the samples, the default generator
            unless given.
        prefetch_factor: batches that each worker is ahead, 2 unless given.
        persistent_workers: keep the workers from one epoch to the next.
        pin_memory, pin_memory_device, in_order: accepted, without effect: there is no device
            memory to pin for, and batches always come in order.

    Raises:
        ValueError: options that exclude each other, or a number out of range.
        RuntimeError: while iterating: a worker process died, could not be started, or took longer
            than `timeout`. What a sample raises in a worker is raised in the loop.
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
        if num_workers == 0 and prefetch_factor is not None:
            raise ValueError(
                "DataLoader: prefetch_factor option could only be specified in multiprocessing. "
                "let num_workers > 0 to enable multiprocessing, otherwise set prefetch_factor to "
                "None."
            )
        if prefetch_factor is not None and prefetch_factor < 1:
            raise ValueError(
                f"DataLoader: prefetch_factor should be positive, but got {prefetch_factor}"
            )
        if num_workers == 0 and persistent_workers:
            raise ValueError("persistent_workers option needs num_workers > 0")
        if num_workers == 0 and multiprocessing_context is not None:
            raise ValueError(
                "multiprocessing_context can only be used with multi-process loading "
                f"(num_workers > 0), but got num_workers={num_workers}"
            )
        self._context = context_of(multiprocessing_context)
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
        self.collate_fn = collate_fn or (default_collate if batched else default_convert)
        self.num_workers = num_workers
        self.prefetch_factor = prefetch_factor or (2 if num_workers else None)
        self.pin_memory = pin_memory
        self.pin_memory_device = pin_memory_device
        self.in_order = in_order
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.persistent_workers = persistent_workers
        self._kept: tuple[int, list] | None = None  # workers of the last epoch, and their process

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
        base = _seed_of_epoch(self.generator)
        if isinstance(self.dataset, IterableDataset):
            return self._stream() if self.num_workers == 0 else self._ahead(self._asking(), base)
        requests = self.sampler if self.batch_sampler is None else self.batch_sampler
        tasks = (Task(x, task_seed(base, i)) for i, x in enumerate(requests))
        if self.num_workers:
            return self._ahead(tasks, base)
        fetch = self._fetcher()(self.dataset)
        return (run_task(fetch, task) for task in tasks)

    def _fetcher(self) -> Callable:
        """A function from a dataset to the function that makes its batches; it can be pickled."""
        if isinstance(self.dataset, IterableDataset):
            return _StreamFetch(self.collate_fn, self.batch_size, self.drop_last)
        return _MapFetch(self.collate_fn, self.batch_sampler is not None)

    def _stream(self) -> Iterator[Any]:
        fetch = self._fetcher()(self.dataset)
        while (batch := fetch(None)) is not END:
            yield batch

    def _asking(self) -> Iterator[Task]:
        """For streams: a task is to go on."""
        while True:
            yield Task(None, None)

    def _workers(self, base: int) -> list:
        if self._kept is not None and self._kept[0] == os.getpid():
            workers, self._kept = self._kept[1], None
            return workers
        workers, fetcher, turns = [], self._fetcher(), Turns(self.num_workers)
        try:
            for i in range(self.num_workers):
                info = WorkerInfo(i, self.num_workers, base + i, self.dataset)
                if self._context is None:
                    workers.append(ThreadWorker(info, fetcher, self.worker_init_fn, turns))
                else:
                    workers.append(ProcessWorker(info, fetcher, self.worker_init_fn, self._context))
        except BaseException:
            for worker in workers:
                worker.close()
            raise
        return workers

    def _ahead(self, tasks: Iterator[Task], base: int) -> Iterator[Any]:
        """The batches of the tasks, in order, made by workers ahead of time."""
        workers = self._workers(base)
        busy = collections.deque()  # the workers whose results come next
        finished = False
        try:
            for _ in range(self.prefetch_factor):
                for worker in workers:
                    self._give(worker, tasks, busy)
            while busy:
                worker = busy.popleft()
                batch = worker.take(self.timeout)
                if batch is END:  # of this worker's part of a stream; its other answers are too
                    continue
                self._give(worker, tasks, busy)
                yield batch
            finished = True
        finally:
            if finished and self.persistent_workers:
                self._kept = os.getpid(), workers
            else:
                for worker in workers:
                    worker.close()

    @staticmethod
    def _give(worker, tasks, busy) -> None:
        task = next(tasks, None)
        if task is not None:
            worker.give(task)
            busy.append(worker)


def _seed_of_epoch(generator: Generator | None) -> int:
    """A number that differs from epoch to epoch and follows from the generator's seed."""
    seed, draw = next_draw(generator)
    return task_seed(seed ^ EPOCH_SALT, draw)
