"""PyTorch's place of the layers: every name of ``fastdl.nn`` is found here too, with the files of
layers under PyTorch's names, and hooks of all modules in ``nn.modules.module``."""

import fastdl.nn
from fastdl.nn.modules import module, utils

__all__ = ["module", "utils"]

FILES = {"batchnorm": "norm", "instancenorm": "norm", "normalization": "norm", "pooling": "pool"}


def __getattr__(name):
    return getattr(fastdl.nn, FILES.get(name, name))
