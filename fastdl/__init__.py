"""fastdl: PyTorch's API on readable C kernels. ``import fastdl as torch`` runs a course's code."""

from fastdl._version import __version__
