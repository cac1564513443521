"""Tensors for other libraries and from them: DLPack; their parts for pickle and deepcopy."""

import numpy as np

from fastdl import _dtype
from fastdl._engine import TensorBase, tensor_of
from fastdl.ops.core import tensor_argument
from fastdl.ops.creation import checked_device

__all__ = ["from_dlpack", "to_dlpack"]

CPU_DEVICE = (1, 0)  # kDLCPU, the first


def dlpack_of(input, *, stream=None, max_version=None, dl_device=None, copy=None):
    """A DLPack capsule on the memory of a tensor.

    Raises:
        BufferError: the tensor requires a gradient, is read-only or bfloat16, another device is
            asked for, or a copy.
    """
    if input.requires_grad:
        raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
    if stream is not None and stream != -1:
        raise BufferError(f"__dlpack__: expected stream None on a CPU, got {stream}")
    array = input.array
    if array.dtype.num >= _dtype._FIRST_FOREIGN:
        raise BufferError("__dlpack__: NumPy does not export bfloat16; use .float()")
    return array.__dlpack__(max_version=max_version, dl_device=dl_device, copy=copy)


def to_dlpack(tensor):
    """A DLPack capsule on the memory of `tensor`, for the `from_dlpack` of another library; it can
    be used once. Errors: as `Tensor.__dlpack__`."""
    return dlpack_of(tensor_argument("to_dlpack", "tensor", tensor))


class _Capsule:
    """A bare capsule, as an object that NumPy's from_dlpack takes."""

    def __init__(self, capsule):
        self.capsule = capsule

    def __dlpack__(self, **options):
        return self.capsule

    def __dlpack_device__(self):
        return CPU_DEVICE


class _Memory:
    """The memory of an array that NumPy holds for read-only because an old capsule cannot say."""

    def __init__(self, array):
        self.array = array
        interface = array.__array_interface__
        self.__array_interface__ = {**interface, "data": (interface["data"][0], False)}


def from_dlpack(ext_tensor, *, device=None, copy=None):
    """A tensor on the memory of an array or tensor of another library: changes show on both sides.

    Args:
        ext_tensor: an object with `__dlpack__`, or a capsule.
        device: the CPU.
        copy: True for memory of its own, False for an error where that would be needed.

    >>> import fastdl, numpy
    >>> fastdl.from_dlpack(numpy.arange(3))
    tensor([0, 1, 2])

    Raises:
        RuntimeError: a device that is not there.
        BufferError: the memory cannot be shared.
        TypeError: no such object, or of a dtype that tensors cannot have.
    """
    checked_device(device)
    if isinstance(ext_tensor, TensorBase):
        return ext_tensor.detach().clone() if copy else ext_tensor.detach()
    bare = type(ext_tensor).__name__ == "PyCapsule"
    if not bare and not hasattr(ext_tensor, "__dlpack__"):
        raise TypeError(
            "from_dlpack: expected an object with __dlpack__ or a capsule, got "
            f"{type(ext_tensor).__name__}"
        )
    source = _Capsule(ext_tensor) if bare else ext_tensor
    array = np.from_dlpack(source, copy=None if bare else copy)
    if bare and not array.flags.writeable:
        array = np.asarray(_Memory(array))
    _dtype.of(array.dtype)
    return tensor_of(array.copy() if bare and copy else array)


# ---- pickle and deepcopy ----------------------------------------------------------------------


def taken_apart(array):
    """(memory, how): an array whose copy `put_together` makes `array` of. Views give the array that
    owns their memory, so that several of them still share it afterwards."""
    owner = array
    while type(owner.base) is np.ndarray:
        owner = owner.base
    shared = type(owner) is np.ndarray and (owner.flags.c_contiguous or owner.flags.f_contiguous)
    if owner is array or not shared:
        return array, None
    offset = array.__array_interface__["data"][0] - owner.__array_interface__["data"][0]
    return owner, (array.dtype, array.shape, array.strides, offset)


def put_together(memory, how):
    """What `taken_apart` took apart."""
    if how is None:
        return memory
    dtype, shape, strides, offset = how
    flat = memory.ravel("K").view(np.uint8)
    return np.ndarray(shape, dtype, flat, offset, strides)
