"""Parameter: a Tensor that a Module trains."""

from __future__ import annotations

from fastdl.ops.creation import as_tensor
from fastdl.tensor import Tensor

__all__ = ["Parameter"]


class Parameter(Tensor):
    """A Tensor that registers itself when assigned to an attribute of a Module.

    Args:
        data: the initial values; the Parameter shares their memory.
        requires_grad: whether gradients are recorded, True unless said otherwise.

    Raises:
        RuntimeError: gradients are asked for of a dtype that has none.
    """

    def __init__(self, data=None, requires_grad: bool = True) -> None:
        self.array = as_tensor([] if data is None else data).array
        self.requires_grad_(requires_grad)

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()
