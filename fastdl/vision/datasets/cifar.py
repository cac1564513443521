"""CIFAR-10 and CIFAR-100, from the files of their Python version. Krizhevsky 2009."""

from __future__ import annotations

import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from fastdl.datasets import DatasetError
from fastdl.datasets.download import download as fetch
from fastdl.vision.datasets.base import VisionDataset, to_image

__all__ = ["CIFAR10", "CIFAR100"]


class _Unpickler(pickle.Unpickler):
    """Reads arrays and plain values; nothing else that a pickle could name is looked up."""

    ALLOWED: ClassVar[set[tuple[str, str]]] = {
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("_codecs", "encode"),
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which no data file needs")
        return super().find_class(module, name)


def _read(path: Path) -> dict[str, Any]:
    """The dict in a file, with text keys.

    Raises:
        FileNotFoundError: there is no such file.
        DatasetError: it holds something else.
    """
    try:
        with open(path, "rb") as file:
            entries = _Unpickler(file, encoding="latin1").load()
        return {k.decode() if isinstance(k, bytes) else k: v for k, v in entries.items()}
    except FileNotFoundError:
        raise
    except Exception as error:  # whatever a damaged pickle runs into
        raise DatasetError(f"{path}: not a file of this data set: {error}") from error


class CIFAR10(VisionDataset):
    """Small colour photographs of ten kinds of things: pairs of a Pillow image, 32x32, and the
    class.

    Args:
        root: the folder that holds ``cifar-10-batches-py``, or its archive.
        train: the 50,000 to train on, or the 10,000 to test.
        transform, target_transform: functions of the image and the class.
        download: fetch the archive (170 MB) if it is missing, checking its MD5.

    Attributes:
        data: (N, 32, 32, 3), a uint8 array; targets: list of ints; classes: names;
        class_to_idx: number of each name.

    Raises:
        FileNotFoundError: a file is missing and `download` is False.
        DatasetError: a file is damaged (the message names it), or the mirror could not be reached.
    """

    base_folder = "cifar-10-batches-py"
    filename = "cifar-10-python.tar.gz"
    mirrors = ("https://www.cs.toronto.edu/~kriz/",)
    checksum = "c58f30108f718f92721af3b95e74349a"
    train_list: ClassVar[list[str]] = [f"data_batch_{i}" for i in range(1, 6)]
    test_list: ClassVar[list[str]] = ["test_batch"]
    meta: ClassVar[tuple[str, str]] = ("batches.meta", "label_names")
    labels = "labels"

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
        folder = Path(root) / self.base_folder
        if not folder.is_dir():
            archive = Path(root) / self.filename
            if not archive.is_file():
                if not download:
                    raise FileNotFoundError(
                        f"{type(self).__name__}: there is no {folder}; download=True fetches it"
                    )
                fetch(self.filename, self.mirrors, root, self.checksum, algorithm="md5")
            try:
                with tarfile.open(archive, "r:gz") as tar:
                    tar.extractall(root, filter="data")
            except (tarfile.TarError, EOFError, OSError) as error:
                raise DatasetError(f"{archive}: cannot be unpacked: {error}") from error
        pictures, targets = [], []
        for name in self.train_list if train else self.test_list:
            entries = _read(folder / name)
            data = np.asarray(entries.get("data"))
            found = entries.get(self.labels)
            if data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != 3 * 32 * 32:
                raise DatasetError(
                    f"{folder / name}: expected uint8 data of shape (N, 3072), found "
                    f"{data.dtype} of shape {data.shape}"
                )
            if found is None or len(found) != len(data):
                raise DatasetError(f"{folder / name}: expected {len(data)} {self.labels!r}")
            pictures.append(data)
            targets += [int(label) for label in found]
        data = np.concatenate(pictures).reshape(-1, 3, 32, 32)
        self.data = np.ascontiguousarray(data.transpose(0, 2, 3, 1))
        self.targets = targets
        file, key = self.meta
        self.classes = list(_read(folder / file)[key])
        if targets and not 0 <= min(targets) <= max(targets) < len(self.classes):
            raise DatasetError(f"{folder}: a class is out of range of {len(self.classes)}")
        self.class_to_idx = {name: i for i, name in enumerate(self.classes)}

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int):
        return self.transforms(to_image(self.data[index]), self.targets[index])

    def extra_repr(self) -> str:
        return f"Split: {'Train' if self.train else 'Test'}"


class CIFAR100(CIFAR10):
    """A hundred kinds of things, 600 photographs of each: as :class:`CIFAR10`, in
    ``cifar-100-python``."""

    base_folder = "cifar-100-python"
    filename = "cifar-100-python.tar.gz"
    checksum = "eb9058c3a382ffc7106e4002c42a8d85"
    train_list: ClassVar[list[str]] = ["train"]
    test_list: ClassVar[list[str]] = ["test"]
    meta: ClassVar[tuple[str, str]] = ("meta", "fine_label_names")
    labels = "fine_labels"
