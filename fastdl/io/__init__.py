"""Checkpoints: ``fastdl.save`` and ``fastdl.load``."""

from fastdl.io.checkpoint import CheckpointError, load, save

__all__ = ["CheckpointError", "load", "save"]
