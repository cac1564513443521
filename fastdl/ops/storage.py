"""Storages: the memory that tensors look at, as `Tensor.storage()` shows it."""

import numpy as np

from fastdl import _dtype
from fastdl._engine import tensor_of
from fastdl.ops.strided import memory_of

__all__ = ["is_storage", "typename"]


class _Storage:
    """A 1-d tensor over all elements of some memory."""

    def __init__(self, flat):
        self._tensor = tensor_of(flat)

    device = property(lambda self: _dtype.CPU, doc="Where the memory is.")
    is_cuda = property(lambda self: False, doc="Is it on a GPU?")

    def __len__(self):
        return self._tensor.array.size

    def __iter__(self):
        return iter(self.tolist())

    def __getitem__(self, i):
        if isinstance(i, slice):
            return type(self)(self._tensor.array[i])
        return self._tensor.array[i].item()

    def __setitem__(self, i, value):
        self._tensor[i] = value

    def __eq__(self, other):
        return type(self) is type(other) and self.data_ptr() == other.data_ptr()

    __hash__ = None

    def size(self):
        """Number of elements."""
        return self._tensor.array.size

    def nbytes(self):
        """Number of bytes."""
        return self._tensor.array.nbytes

    def element_size(self):
        """Bytes of one element."""
        return self._tensor.array.itemsize

    def data_ptr(self):
        """Address of the first element."""
        return self._tensor.data_ptr()

    def tolist(self):
        """The elements as Python numbers."""
        return self._tensor.tolist()

    def fill_(self, value):
        """`value` in every place."""
        self._tensor.fill_(value)
        return self

    def __repr__(self):
        values = "".join([f" {v}\n" for v in self.tolist()])
        return f"{values}[{self._describe()} of size {len(self)}]"


class TypedStorage(_Storage):
    """Memory as elements of a dtype."""

    @property
    def dtype(self):
        """The dtype of the elements."""
        return self._tensor.dtype

    def untyped(self):
        """The same memory as bytes."""
        return UntypedStorage(self._tensor.array.view(np.uint8))

    def _describe(self):
        return f"fastdl.storage.TypedStorage(dtype={self.dtype}, device=cpu)"


class UntypedStorage(_Storage):
    """Memory as bytes."""

    def _describe(self):
        return "fastdl.storage.UntypedStorage(device=cpu)"


def storage(input):
    """All of the memory that a tensor looks at, as elements of its dtype: a TypedStorage."""
    return TypedStorage(memory_of(input.array))


def untyped_storage(input):
    """All of the memory that a tensor looks at, as bytes: an UntypedStorage."""
    return UntypedStorage(memory_of(input.array).view(np.uint8))


def is_storage(obj):
    """Is it a storage?"""
    return isinstance(obj, _Storage)


def typename(obj):
    """The name of an object's type: 'torch.FloatTensor' of a tensor."""
    if hasattr(obj, "array") and hasattr(obj, "type"):
        return obj.type()
    kind = obj if isinstance(obj, type) else type(obj)
    name = kind.__qualname__
    return name if kind.__module__ == "builtins" else f"{kind.__module__}.{name}"
