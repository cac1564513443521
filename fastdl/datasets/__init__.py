"""Data sets: two shipped with fastdl, MNIST from its files, and a user's own images and arrays.

======================  ==================================================================
:class:`Digits`         1,797 handwritten digits, 8x8 (UCI); shipped, nothing to download
:class:`Iris`           150 flowers, 4 measurements each (Fisher 1936); shipped
:class:`MNIST`          70,000 handwritten digits, 28x28, from IDX files; downloads when asked
:class:`FashionMNIST`   70,000 pictures of clothes in the format of MNIST
:class:`ImageFolder`    FOLDER/class/picture.png, read with Pillow
:class:`NpzDataset`     arrays of a NumPy archive
======================  ==================================================================

Every one of them is a :class:`fastdl.utils.data.Dataset` of pairs (sample, class index), to be
handed to a :class:`fastdl.utils.data.DataLoader`. A damaged file raises :class:`DatasetError`,
which names the file and what is wrong with it.
"""

from fastdl.datasets.arrays import (
    ArrayDataset,
    Arrays,
    DatasetError,
    stratified_part,
    stratified_split,
)
from fastdl.datasets.digits import Digits, load_digits
from fastdl.datasets.folder import ImageFolder, load_folder, read_image
from fastdl.datasets.idx import read_idx
from fastdl.datasets.iris import Iris, load_iris
from fastdl.datasets.mnist import MNIST, FashionMNIST
from fastdl.datasets.npz import NpzDataset, load_npz

__all__ = [
    "MNIST",
    "ArrayDataset",
    "Arrays",
    "DatasetError",
    "Digits",
    "FashionMNIST",
    "ImageFolder",
    "Iris",
    "NpzDataset",
    "load_digits",
    "load_folder",
    "load_iris",
    "load_npz",
    "read_idx",
    "read_image",
    "stratified_part",
    "stratified_split",
]
