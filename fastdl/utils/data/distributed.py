"""The part of a dataset that one of several processes works on."""

from __future__ import annotations

import math
from collections.abc import Iterator

from fastdl.ops.random import Generator, randperm
from fastdl.utils.data.sampler import Sampler

__all__ = ["DistributedSampler"]


class DistributedSampler(Sampler[int]):
    """Every `num_replicas`-th index, from the `rank`-th on, of a dataset or a permutation of it.

    Args:
        dataset: anything with a length.
        num_replicas: number of processes, 1 unless given.
        rank: which of them this is, in [0, num_replicas); 0 unless given.
        shuffle: permute the indices, by `seed` and the epoch that :meth:`set_epoch` was told.
        seed: the same in all processes.
        drop_last: leave out what does not divide evenly; otherwise first indices come twice.

    Raises:
        ValueError: no such rank.
    """

    def __init__(
        self,
        dataset,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        num_replicas = 1 if num_replicas is None else num_replicas
        rank = 0 if rank is None else rank
        if not 0 <= rank < num_replicas:
            raise ValueError(
                f"Invalid rank {rank}, rank should be in the interval [0, {num_replicas - 1}]"
            )
        self.dataset = dataset
        self.num_replicas = num_replicas
        self.rank = rank
        self.epoch = 0
        self.drop_last = drop_last
        length = len(dataset)
        self.num_samples = length // num_replicas if drop_last else math.ceil(length / num_replicas)
        self.total_size = self.num_samples * num_replicas
        self.shuffle = shuffle
        self.seed = seed

    def __iter__(self) -> Iterator[int]:
        indices = list(range(len(self.dataset)))
        if self.shuffle:
            order = Generator().manual_seed(self.seed + self.epoch)
            indices = randperm(len(indices), generator=order).tolist()
        if indices:
            indices *= math.ceil(self.total_size / len(indices))
        return iter(indices[self.rank : self.total_size : self.num_replicas])

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Another epoch, another permutation: to be called before each."""
        self.epoch = epoch
