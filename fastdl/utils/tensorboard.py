"""``torch.utils.tensorboard``: SummaryWriter, from the tensorboardX package."""

from __future__ import annotations

from typing import Any

from fastdl.tensor import Tensor

__all__ = ["SummaryWriter"]


class SummaryWriter:
    """Writes scalars, images, histograms, ... for TensorBoard: tensorboardX's SummaryWriter, whose
    arguments and methods (``add_scalar(tag, value, global_step)``, ...) are PyTorch's.

    Tensors may be given wherever it takes arrays.

    Raises:
        ImportError: the tensorboardX package is missing.
    """

    def __init__(self, log_dir: str | None = None, *args, **kwargs) -> None:
        try:
            import tensorboardX
        except ImportError as error:
            raise ImportError(
                "SummaryWriter needs the tensorboardX package: "
                'pip install "fastdl[tensorboard]" (or pip install tensorboardX)'
            ) from error
        self._writer = tensorboardX.SummaryWriter(log_dir, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name == "_writer":  # before __init__ has set it
            raise AttributeError(name)
        attribute = getattr(self._writer, name)
        if not callable(attribute):
            return attribute

        def method(*args, **kwargs):
            return attribute(*_arrays(args), **_arrays(kwargs))

        return method

    def __enter__(self) -> SummaryWriter:
        return self

    def __exit__(self, *exception) -> None:
        self._writer.close()


def _arrays(value: Any) -> Any:
    """Nested tuples, lists and dicts with arrays in place of Tensors."""
    if isinstance(value, Tensor):
        return value.detach().numpy()
    if isinstance(value, dict):
        return {key: _arrays(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_arrays, value))
    return value
