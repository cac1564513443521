"""Images: transforms, data sets and networks under torchvision's names.

``import fastdl.vision as torchvision`` runs a course's code.
"""

from fastdl._version import __version__
from fastdl.vision import datasets, io, models, ops, transforms, utils

__all__ = ["__version__", "datasets", "io", "models", "ops", "transforms", "utils"]
