"""SVHN, folders of pictures, and made-up data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np

from fastdl.datasets import DatasetError
from fastdl.datasets.download import download as fetch
from fastdl.datasets.folder import EXTENSIONS
from fastdl.ops.random import Generator, randint, randn
from fastdl.vision.datasets.base import VisionDataset, to_image
from fastdl.vision.transforms.functional import to_pil_image

__all__ = ["SVHN", "DatasetFolder", "FakeData", "ImageFolder", "default_loader"]


class SVHN(VisionDataset):
    """House numbers: pairs of a Pillow image, 32x32, of a digit and its neighbours, and the digit.
    Netzer et al. 2011. The files are MATLAB's: reading them needs SciPy.

    Args:
        root: the folder of ``train_32x32.mat``, ``test_32x32.mat``, ``extra_32x32.mat``.
        split: ``"train"`` (73,257), ``"test"`` (26,032) or ``"extra"`` (531,131).
        transform, target_transform: functions of the image and the digit.
        download: fetch the file if it is missing, checking its MD5.

    Attributes:
        data: (N, 3, 32, 32), a uint8 array; labels: (N), an int64 array.

    Raises:
        ValueError: an unknown split.
        FileNotFoundError: the file is missing and `download` is False.
        DatasetError: the file is damaged, or the mirror could not be reached.
    """

    mirrors = ("http://ufldl.stanford.edu/housenumbers/",)
    checksums: ClassVar[dict[str, str]] = {
        "train": "e26dedcc434d2e4c54c9b2d4a06d8373",
        "test": "eb5a983be6a315427106f1b164d9cef3",
        "extra": "a93ce644f1a588dc4d68dda5feec44a7",
    }

    def __init__(
        self,
        root,
        split: str = "train",
        transform: Callable | None = None,
        target_transform: Callable | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(root, transform=transform, target_transform=target_transform)
        if split not in self.checksums:
            raise ValueError(
                f"SVHN: split should be one of {sorted(self.checksums)}, but got {split!r}"
            )
        self.split = split
        name = f"{split}_32x32.mat"
        path = Path(root) / name
        if not path.is_file():
            if not download:
                raise FileNotFoundError(f"SVHN: there is no {path}; download=True fetches it")
            fetch(name, self.mirrors, root, self.checksums[split], algorithm="md5")
        try:
            from scipy.io import loadmat
        except ImportError:
            raise ImportError("SVHN's files need SciPy: pip install scipy") from None
        try:
            content = loadmat(path)
            data, labels = content["X"], content["y"].astype(np.int64).reshape(-1)
        except Exception as error:  # whatever a damaged file runs into
            raise DatasetError(f"{path}: not a file of this data set: {error}") from error
        if data.dtype != np.uint8 or data.shape[:3] != (32, 32, 3) or data.ndim != 4:
            raise DatasetError(f"{path}: expected (32, 32, 3, N) bytes, found {data.shape}")
        if data.shape[3] != len(labels):
            raise DatasetError(f"{path}: {len(labels)} labels for {data.shape[3]} images")
        labels[labels == 10] = 0  # the file counts from 1 to 10
        self.labels = labels
        self.data = np.ascontiguousarray(data.transpose(3, 2, 0, 1))

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int):
        image = to_image(np.ascontiguousarray(self.data[index].transpose(1, 2, 0)))
        return self.transforms(image, int(self.labels[index]))

    def extra_repr(self) -> str:
        return f"Split: {self.split}"


def default_loader(path):
    """The picture in a file, in red, green and blue."""
    try:
        from PIL import Image
    except ImportError:
        raise ImportError("reading pictures needs Pillow: pip install 'fastdl[demo]'") from None
    with open(path, "rb") as file:
        return Image.open(file).convert("RGB")


class DatasetFolder(VisionDataset):
    """Files in one folder per class: pairs of what `loader` makes of a file, and the class.

    Args:
        root: the folder; ``root/cat/*.png`` are the samples of class "cat".
        loader: path -> sample.
        extensions: endings of the files that count; or
        is_valid_file: path -> does it count?
        transform, target_transform: functions of the sample and the class.
        allow_empty: let a class have no files.

    Attributes:
        samples: list of (path, class); targets: classes; classes: names, sorted; class_to_idx.

    Raises:
        ValueError: neither or both of `extensions` and `is_valid_file`.
        FileNotFoundError: no folder of a class, or no file in one.
    """

    def __init__(
        self,
        root,
        loader: Callable,
        extensions: tuple[str, ...] | None = None,
        transform: Callable | None = None,
        target_transform: Callable | None = None,
        is_valid_file: Callable | None = None,
        allow_empty: bool = False,
    ) -> None:
        super().__init__(root, transform=transform, target_transform=target_transform)
        if (extensions is None) == (is_valid_file is None):
            raise ValueError(
                "Both extensions and is_valid_file cannot be None or not None at the same time"
            )
        if extensions is not None:
            endings = (extensions,) if isinstance(extensions, str) else tuple(extensions)
            is_valid_file = lambda path: path.lower().endswith(endings)
        self.loader = loader
        self.extensions = extensions
        self.classes, self.class_to_idx = self.find_classes(self.root)
        self.samples = self.make_dataset(
            self.root, self.class_to_idx, is_valid_file=is_valid_file, allow_empty=allow_empty
        )
        self.targets = [target for _, target in self.samples]

    def find_classes(self, directory) -> tuple[list[str], dict[str, int]]:
        """(names of the folders, number of each)."""
        classes = sorted(p.name for p in Path(directory).iterdir() if p.is_dir())
        if not classes:
            raise FileNotFoundError(f"Couldn't find any class folder in {directory}.")
        return classes, {name: i for i, name in enumerate(classes)}

    @staticmethod
    def make_dataset(directory, class_to_idx, extensions=None, is_valid_file=None,
                     allow_empty=False) -> list[tuple[str, int]]:  # fmt: skip
        """(path, class) of every file that counts, sorted."""
        if is_valid_file is None:
            is_valid_file = lambda path: path.lower().endswith(tuple(extensions))
        samples, empty = [], []
        for name in sorted(class_to_idx):
            files = sorted(p for p in (Path(directory) / name).rglob("*") if p.is_file())
            found = [(str(p), class_to_idx[name]) for p in files if is_valid_file(str(p))]
            samples += found
            if not found:
                empty.append(name)
        if empty and not allow_empty:
            raise FileNotFoundError(
                f"Found no valid file for the classes {', '.join(empty)}."
                + (f" Supported extensions are: {extensions}" if extensions else "")
            )
        return samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int):
        path, target = self.samples[index]
        return self.transforms(self.loader(path), target)


class ImageFolder(DatasetFolder):
    """Pictures in one folder per class: pairs of a Pillow image and the class; see
    :class:`DatasetFolder`."""

    def __init__(
        self,
        root,
        transform: Callable | None = None,
        target_transform: Callable | None = None,
        loader: Callable = default_loader,
        is_valid_file: Callable | None = None,
        allow_empty: bool = False,
    ) -> None:
        super().__init__(
            root,
            loader,
            EXTENSIONS if is_valid_file is None else None,
            transform,
            target_transform,
            is_valid_file,
            allow_empty,
        )
        self.imgs = self.samples


class FakeData(VisionDataset):
    """Images of noise with random classes, the same for the same arguments.

    Args:
        size: how many.
        image_size: (C, H, W).
        num_classes: classes.
        transform, target_transform: functions of the Pillow image and the class.
        random_offset: other numbers for another offset.
    """

    def __init__(
        self,
        size: int = 1000,
        image_size: tuple[int, ...] = (3, 224, 224),
        num_classes: int = 10,
        transform: Callable | None = None,
        target_transform: Callable | None = None,
        random_offset: int = 0,
    ) -> None:
        super().__init__(transform=transform, target_transform=target_transform)
        self.size = size
        self.num_classes = num_classes
        self.image_size = image_size
        self.random_offset = random_offset

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int):
        if index >= len(self):
            raise IndexError(f"{type(self).__name__} index out of range")
        generator = Generator().manual_seed(index + self.random_offset)
        image = randn(*self.image_size, generator=generator).clamp(0, 1)
        target = int(randint(0, self.num_classes, (1,), generator=generator).item())
        return self.transforms(to_pil_image(image), target)
