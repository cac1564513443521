"""What the data sets share: the error, the arrays of a data set, the split, the Dataset class."""

from importlib import resources
from typing import NamedTuple

import numpy as np

from fastdl.ops.creation import from_numpy
from fastdl.utils.data import Dataset


class DatasetError(ValueError):
    """A file of a data set is damaged, or is not what it should be; the message names the file."""


class Arrays(NamedTuple):
    """A data set in memory, as NumPy arrays."""

    data: np.ndarray  # (N, ...): one sample a row, in the data set's own units
    targets: np.ndarray  # (N,) int64: class indices
    classes: tuple[str, ...]  # name of each class
    white: float = 1.0  # the value in `data` that means full brightness: 255 for 8-bit images
    features: tuple[str, ...] = ()  # names of the columns, for tables


def load_shipped(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return (data, targets as int64) of a data set in ``fastdl/datasets/data``."""
    with resources.files("fastdl.datasets").joinpath("data", name).open("rb") as file:
        with np.load(file, allow_pickle=False) as archive:
            return archive["data"], archive["targets"].astype(np.int64)


def stratified_split(targets: np.ndarray, every: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Split samples into a training and a test part with the same mix of classes.

    Of each class, every ``every``-th sample in order is a test sample. There is no random number in
    it: the split of a data set is the same on every machine, for ever.

    Args:
        targets: (N,) class of each sample.
        every: one sample in this many goes to the test part (default 5: 20 %); at least 2.

    Returns:
        Two int64 arrays of indices, ascending: training part, test part.

    Raises:
        ValueError: ``every`` is less than 2, or ``targets`` is not one-dimensional.
    """
    targets = np.asarray(targets)
    if targets.ndim != 1:
        raise ValueError(f"stratified_split: targets must have shape (N,), not {targets.shape}")
    if every < 2:
        raise ValueError(f"stratified_split: every must be at least 2, not {every}")
    test = np.zeros(len(targets), bool)
    for label in np.unique(targets):
        test[np.flatnonzero(targets == label)[every - 1 :: every]] = True
    return np.flatnonzero(~test), np.flatnonzero(test)


def stratified_part(arrays: Arrays, train: bool | None) -> Arrays:
    """Return the training part (True), the test part (False) or all (None) of `arrays`."""
    if train is None:
        return arrays
    rows = stratified_split(arrays.targets)[0 if train else 1]
    return arrays._replace(data=arrays.data[rows], targets=arrays.targets[rows])


class ArrayDataset(Dataset):
    """A data set held in memory: pairs (sample, class index).

    Args:
        arrays: the samples and classes.
        transform: function of one raw sample, a NumPy array in the data set's own shape and dtype
            (an 8-bit image is (H, W) or (H, W, channels) uint8), whose result takes the sample's
            place. Default: a float32 Tensor; an image as (channels, H, W) in [0, 1].
        target_transform: function of the class index (an int). Default: unchanged.

    Attributes:
        data: Tensor (N, ...) of the raw samples.
        targets: int64 Tensor (N,).
        classes: list of the classes' names.
    """

    def __init__(self, arrays: Arrays, transform=None, target_transform=None):
        self.arrays = arrays
        self.transform = transform
        self.target_transform = target_transform
        self.data = from_numpy(np.ascontiguousarray(arrays.data))
        self.targets = from_numpy(arrays.targets)
        self.classes = list(arrays.classes)

    @property
    def class_to_idx(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.classes)}

    def __len__(self) -> int:
        return len(self.arrays.targets)

    def __getitem__(self, index):
        sample, target = self.arrays.data[index], int(self.arrays.targets[index])
        if self.transform is not None:
            sample = self.transform(sample)
        elif sample.ndim == 1:
            sample = from_numpy(sample.astype(np.float32))
        else:
            sample = image_to_tensor(sample, self.arrays.white)
        if self.target_transform is not None:
            target = self.target_transform(target)
        return sample, target

    def __repr__(self) -> str:
        shape = tuple(self.arrays.data.shape[1:])
        return (
            f"{type(self).__name__}({len(self)} samples of shape {shape}, "
            f"{len(self.classes)} classes)"
        )


def image_to_tensor(image: np.ndarray, white: float = 255.0):
    """Return an image (H, W) or (H, W, C) as a float32 Tensor (C, H, W), `white` becoming 1."""
    planes = image[None] if image.ndim == 2 else np.moveaxis(image, 2, 0)
    return from_numpy(planes.astype(np.float32) / np.float32(white))
