"""MNIST and Fashion-MNIST, from their IDX files."""

from pathlib import Path
from typing import ClassVar

from fastdl.datasets.arrays import ArrayDataset, Arrays, DatasetError
from fastdl.datasets.download import download as fetch
from fastdl.datasets.idx import read_idx


class MNIST(ArrayDataset):
    """Handwritten digits, 28x28: pairs of a float32 Tensor (1, 28, 28) in [0, 1] and the digit.

    60,000 images to train on and 10,000 to test. LeCun, Y., Cortes, C. and Burges, C. J. C., *The
    MNIST database of handwritten digits*; LeCun, Bottou, Bengio and Haffner (1998), Gradient-based
    learning applied to document recognition, Proceedings of the IEEE, 86(11), 2278-2324. The images
    are not shipped with fastdl.

    Args:
        root: folder of the files, plain or ``.gz``: they are looked for in ``root/MNIST/raw``
            (where torchvision keeps them, and where a download goes) and in ``root`` itself.
        train: the training part (default) or the test part.
        transform: function of the raw image, a (28, 28) uint8 array of 0 to 255.
        target_transform: function of the digit.
        download: fetch the files that are missing (11 MB), checking their SHA-256. Default: False.

    Raises:
        FileNotFoundError: a file is missing and `download` is False.
        DatasetError: a file is damaged (the message names it), or no mirror could be reached.
    """

    mirrors = (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    )
    # SHA-256 of the .gz files
    checksums: ClassVar[dict[str, str]] = {
        "train-images-idx3-ubyte": (
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
        ),
        "train-labels-idx1-ubyte": (
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
        ),
        "t10k-images-idx3-ubyte": (
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
        ),
        "t10k-labels-idx1-ubyte": (
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
        ),
    }
    classes = tuple("0123456789")

    def __init__(self, root, train=True, transform=None, target_transform=None, download=False):
        self.root = Path(root)
        self.train = train
        prefix = "train" if train else "t10k"
        images_path = self._find(f"{prefix}-images-idx3-ubyte", download)
        labels_path = self._find(f"{prefix}-labels-idx1-ubyte", download)
        images = read_idx(images_path, ndim=3, dtype="u1")
        labels = read_idx(labels_path, ndim=1, dtype="u1")
        if images.shape[1:] != (28, 28):
            raise DatasetError(
                f"{images_path}: images of {images.shape[1:]} pixels, expected (28, 28)"
            )
        if len(images) != len(labels):
            raise DatasetError(
                f"{labels_path}: {len(labels):,} labels for the {len(images):,} images of "
                f"{images_path.name}"
            )
        if len(labels) == 0:
            raise DatasetError(f"{images_path}: holds no images")
        if labels.max() >= len(type(self).classes):
            raise DatasetError(
                f"{labels_path}: label {labels.max()} is out of range: there are "
                f"{len(type(self).classes)} classes"
            )
        arrays = Arrays(images, labels.astype("i8"), type(self).classes, white=255.0)
        super().__init__(arrays, transform, target_transform)

    def _find(self, name: str, download: bool) -> Path:
        """Return the path of file `name`, downloading it where it is missing and that is asked."""
        raw = self.root / type(self).__name__ / "raw"
        for folder in (raw, self.root):
            # "train-images.idx3-ubyte" is how some archives spell it.
            for spelling in (name, name + ".gz", name.replace("-idx", ".idx")):
                if (folder / spelling).is_file():
                    return folder / spelling
        if download:
            return fetch(name + ".gz", self.mirrors, raw, self.checksums[name])
        raise FileNotFoundError(
            f"{type(self).__name__}: {name}[.gz] is neither in {raw} nor in {self.root}; "
            f"download=True (on the command line: --download) fetches it"
        )


class FashionMNIST(MNIST):
    """Pictures of clothes, 28x28: pairs of a float32 Tensor (1, 28, 28) in [0, 1] and the class.

    60,000 images to train on and 10,000 to test; arguments and errors as for :class:`MNIST`, the
    folder being ``root/FashionMNIST/raw``. Xiao, H., Rasul, K. and Vollgraf, R. (2017),
    Fashion-MNIST, arXiv:1708.07747; MIT licence; not shipped with fastdl.
    """

    mirrors = (
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    )
    checksums: ClassVar[dict[str, str]] = {
        "train-images-idx3-ubyte": (
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"
        ),
        "train-labels-idx1-ubyte": (
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"
        ),
        "t10k-images-idx3-ubyte": (
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"
        ),
        "t10k-labels-idx1-ubyte": (
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"
        ),
    }
    classes = (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    )
