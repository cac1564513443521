"""MNIST and Fashion-MNIST as images."""

from __future__ import annotations

from collections.abc import Callable

from fastdl import datasets
from fastdl.vision.datasets.base import VisionDataset, to_image

__all__ = ["MNIST", "FashionMNIST"]


class MNIST(VisionDataset):
    """Handwritten digits: pairs of a Pillow image, 28x28, grey, and the digit.

    Args:
        root: the files, plain or ``.gz``, are in ``root/MNIST/raw``, or in `root` itself.
        train: the 60,000 to train on, or the 10,000 to test.
        transform, target_transform: functions of the image and the digit.
        download: fetch the files that are missing, checking their SHA-256.

    Attributes:
        data: (N, 28, 28), uint8; targets: (N), int64; classes: names.

    Raises:
        FileNotFoundError: a file is missing and `download` is False.
        DatasetError: a file is damaged, or no mirror could be reached.
    """

    source = datasets.MNIST
    classes = (
        *("0 - zero", "1 - one", "2 - two", "3 - three", "4 - four"),
        *("5 - five", "6 - six", "7 - seven", "8 - eight", "9 - nine"),
    )

    def __init__(
        self,
        root,
        train: bool = True,
        transform: Callable | None = None,
        target_transform: Callable | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(root, transform=transform, target_transform=target_transform)
        self.train = train
        found = self.source(root, train, download=download)
        self.data, self.targets = found.data, found.targets
        self._labels = self.targets.tolist()

    @property
    def class_to_idx(self) -> dict[str, int]:
        """The number of each class."""
        return {name: i for i, name in enumerate(self.classes)}

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int):
        return self.transforms(to_image(self.data.array[index]), self._labels[index])

    def extra_repr(self) -> str:
        return f"Split: {'Train' if self.train else 'Test'}"


class FashionMNIST(MNIST):
    """Pictures of clothes: as :class:`MNIST`, in ``root/FashionMNIST/raw``."""

    source = datasets.FashionMNIST
    classes = datasets.FashionMNIST.classes
