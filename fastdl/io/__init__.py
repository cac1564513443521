"""Checkpoints: ``fastdl.save`` and ``fastdl.load``."""

from fastdl.io.checkpoint import load, save
from fastdl.io.errors import CheckpointError

__all__ = ["CheckpointError", "load", "save"]
