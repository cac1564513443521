"""Data sets of images under torchvision's names: pairs (Pillow image, target).

The files are those of the data sets' makers, in the folders in which torchvision keeps them.
"""

from fastdl.datasets import DatasetError
from fastdl.vision.datasets.base import VisionDataset
from fastdl.vision.datasets.cifar import CIFAR10, CIFAR100
from fastdl.vision.datasets.mnist import MNIST, FashionMNIST
from fastdl.vision.datasets.others import SVHN, DatasetFolder, FakeData, ImageFolder

__all__ = [
    "CIFAR10",
    "CIFAR100",
    "MNIST",
    "SVHN",
    "DatasetError",
    "DatasetFolder",
    "FakeData",
    "FashionMNIST",
    "ImageFolder",
    "VisionDataset",
]
