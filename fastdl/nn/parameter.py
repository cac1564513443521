"""Parameter: a Tensor that a Module trains. Buffer: one that only belongs to its state."""

from __future__ import annotations

from fastdl.ops.creation import as_tensor, empty
from fastdl.tensor import Tensor

__all__ = ["Buffer", "Parameter", "UninitializedBuffer", "UninitializedParameter", "is_lazy"]


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


class Buffer(Tensor):
    """A Tensor that registers itself as buffer when assigned to an attribute of a Module.

    Args:
        data: the values; the Buffer shares their memory.
        persistent: whether it is part of the module's state dict.
    """

    def __init__(self, data=None, *, persistent: bool = True) -> None:
        self.array = as_tensor([] if data is None else data).array
        self.persistent = persistent


class UninitializedParameter(Parameter):
    """A Parameter of lazy layers without shape and values yet: it has zero elements until
    :meth:`materialize`, which makes an ordinary Parameter of it.

    Args:
        requires_grad: whether gradients will be recorded.
        device: where, accepted for PyTorch's programs.
        dtype: of the values, the default dtype unless given.
    """

    def __init__(self, requires_grad: bool = True, device=None, dtype=None) -> None:
        super().__init__(empty(0, device=device, dtype=dtype), requires_grad)

    def materialize(self, shape, device=None, dtype=None) -> None:
        """Becomes a Parameter of this shape; its values are not set."""
        self.array = empty(tuple(shape), device=device, dtype=dtype or self.dtype).array
        self.__class__ = Parameter


class UninitializedBuffer(Buffer):
    """A Buffer without shape and values until :meth:`materialize`, which makes an ordinary Buffer
    of it.

    Args:
        requires_grad: accepted; buffers have no gradients.
        device: where, accepted for PyTorch's programs.
        dtype: of the values, the default dtype unless given.
        persistent: whether it is part of the module's state dict.
    """

    def __init__(self, requires_grad=False, device=None, dtype=None, persistent=True) -> None:
        super().__init__(empty(0, device=device, dtype=dtype), persistent=persistent)

    def materialize(self, shape, device=None, dtype=None) -> None:
        """Becomes a Buffer of this shape; its values are not set."""
        self.array = empty(tuple(shape), device=device, dtype=dtype or self.dtype).array
        self.__class__ = Buffer


def is_lazy(param) -> bool:
    """Does `param` wait for its shape?"""
    return isinstance(param, UninitializedParameter | UninitializedBuffer)
