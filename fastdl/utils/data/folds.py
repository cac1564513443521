"""Cross-validation: a dataset in k parts, each of which is once the part to validate on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fastdl.ops.random import Generator, randperm
from fastdl.tensor import Tensor
from fastdl.utils.data.dataset import Subset, TensorDataset

__all__ = ["KFold", "StratifiedKFold"]


class KFold:
    """Splits a dataset into k folds; each is the validation part once, the others train.

    Args:
        n_splits: the number of folds, at least 2.
        shuffle: deal the samples out at random; otherwise folds are stretches of the dataset.
        seed: of the shuffling; the same seed gives the same folds, whatever was drawn before.

    :meth:`split` yields pairs ``(train, valid)`` of Subsets, samples in their order in the dataset.
    Folds are as equal as possible: the first ``len(dataset) % n_splits`` have one sample more.

    Raises:
        ValueError: fewer than 2 folds, or fewer samples than folds.

    >>> from fastdl.utils.data import KFold
    >>> for train, valid in KFold(3).split(range(7)):
    ...     print(train.indices, valid.indices)
    [3, 4, 5, 6] [0, 1, 2]
    [0, 1, 2, 5, 6] [3, 4]
    [0, 1, 2, 3, 4] [5, 6]
    """

    def __init__(self, n_splits: int = 5, *, shuffle: bool = False, seed: int = 0) -> None:
        name = type(self).__name__
        if isinstance(n_splits, bool) or not isinstance(n_splits, int) or n_splits < 2:
            raise ValueError(
                f"{name}: n_splits should be an int of at least 2, but got {n_splits!r}"
            )
        self.n_splits, self.shuffle, self.seed = n_splits, shuffle, seed

    def _order(self, indices: np.ndarray, generator: Generator) -> np.ndarray:
        if not self.shuffle:
            return indices
        return indices[randperm(len(indices), generator=generator).numpy()]

    def _folds(self, count: int, generator: Generator) -> np.ndarray:
        """The number of each sample's fold."""
        folds = np.empty(count, np.int64)
        for fold, part in enumerate(
            np.array_split(self._order(np.arange(count), generator), self.n_splits)
        ):
            folds[part] = fold
        return folds

    def _pairs(self, dataset, folds: np.ndarray) -> Iterator[tuple[Subset, Subset]]:
        for fold in range(self.n_splits):
            inside = folds == fold
            yield (
                Subset(dataset, np.flatnonzero(~inside).tolist()),
                Subset(dataset, np.flatnonzero(inside).tolist()),
            )

    def split(self, dataset) -> Iterator[tuple[Subset, Subset]]:
        """The pairs (train, valid) of a dataset with a length."""
        count = len(dataset)
        if count < self.n_splits:
            raise ValueError(f"KFold: expected at least {self.n_splits} samples, but got {count}")
        return self._pairs(dataset, self._folds(count, Generator().manual_seed(self.seed)))


class StratifiedKFold(KFold):
    """KFold with the classes in (as nearly as possible) equal shares in each fold.

    The arguments are those of :class:`KFold`; each class needs at least `n_splits` samples.
    """

    def split(self, dataset, targets=None) -> Iterator[tuple[Subset, Subset]]:
        """The pairs (train, valid) of a dataset.

        Args:
            dataset: anything with a length.
            targets: the samples' classes; unless given, the dataset's ``targets``, the last tensor
                of a TensorDataset, or what else stands last in each sample.

        Raises:
            ValueError: not one target a sample, or a class with fewer samples than folds.
        """
        targets = _targets_of(dataset) if targets is None else targets
        targets = targets.numpy() if isinstance(targets, Tensor) else np.asarray(targets)
        if targets.shape != (len(dataset),):
            raise ValueError(
                f"StratifiedKFold: expected one class for each of {len(dataset)} samples, but got "
                f"targets of shape {targets.shape}"
            )
        generator = Generator().manual_seed(self.seed)
        folds = np.empty(len(dataset), np.int64)
        dealt = 0  # each class goes on at the fold where the last one ended: sizes stay equal
        for label in np.unique(targets):
            own = np.flatnonzero(targets == label)
            if len(own) < self.n_splits:
                raise ValueError(
                    f"StratifiedKFold: class {label} has {len(own)} samples, fewer than the "
                    f"{self.n_splits} folds"
                )
            turns = np.sort((dealt + np.arange(len(own))) % self.n_splits)
            folds[self._order(own, generator)] = turns
            dealt += len(own)
        return self._pairs(dataset, folds)


def _targets_of(dataset):
    if hasattr(dataset, "targets"):
        return dataset.targets
    if isinstance(dataset, TensorDataset):
        return dataset.tensors[-1]
    return [int(dataset[i][-1]) for i in range(len(dataset))]
