"""``torch.version``: this version, and the toolkits it was built with: none."""

from fastdl._version import __version__

__all__ = ["__version__", "cuda", "debug", "git_version", "hip"]

cuda = None
hip = None
debug = False
git_version = None
