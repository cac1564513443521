"""Memory as such: any strides over a tensor's storage (as_strided), and tensors moved to other
storage (resize_, set_).
"""

import math

import numpy as np

from fastdl import _dtype
from fastdl._engine import tensor_of
from fastdl.ops import elementwise as E
from fastdl.ops.core import is_tensor, legacy_name, primitive, sizes
from fastdl.ops.core import view as view_of

__all__ = ["as_strided", "as_strided_", "as_strided_scatter"]


def memory_of(x):
    """All of the memory that an array looks at, as a 1-d array of its dtype."""
    owner = x
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    dense = owner
    if not owner.flags.c_contiguous:
        dense = owner.transpose(sorted(range(owner.ndim), key=lambda d: -owner.strides[d]))
    if dense.flags.c_contiguous:
        flat = dense.reshape(-1)
    else:  # a foreign array with gaps: what lies between its first and last element
        low, high = np.lib.array_utils.byte_bounds(owner)
        first = owner[tuple([-1 if s < 0 else 0 for s in owner.strides])] if owner.size else owner
        count = (high - low) // owner.itemsize
        flat = np.lib.stride_tricks.as_strided(first, (count,), (owner.itemsize,))
    if flat.dtype == x.dtype:
        return flat
    whole = flat.nbytes // x.itemsize * x.itemsize
    return flat.view(np.uint8)[:whole].view(x.dtype)


def offset_of(x):
    """Elements between the start of the memory of an array and its first element."""
    start = memory_of(x).__array_interface__["data"][0]
    return (x.__array_interface__["data"][0] - start) // x.itemsize if x.size else 0


def laid_over(memory, shape, strides, offset):
    """The view of a 1-d array with these strides and offset, in elements."""
    step = memory.itemsize
    if 0 in shape:
        offset = min(offset, memory.size)
    return np.ndarray(shape, memory.dtype, memory, offset * step, [s * step for s in strides])


@view_of(node_name="AsStrided")
def strided_view(x, *, geometry):
    """The elements of x's memory from an offset at some strides. geometry: shape, strides and
    offset of x; then those of the view."""
    return laid_over(memory_of(x), *geometry[3:])


def _places(x_shape, x_strides, x_offset, shape, strides, offset):
    """For each element of the view: its place in x in row-major order, -1 outside; and where x
    itself holds each of its elements."""
    ends = [
        start + sum([(n - 1) * s for n, s in zip(lengths, steps)])
        for lengths, steps, start in ((x_shape, x_strides, x_offset), (shape, strides, offset))
        if 0 not in lengths
    ]
    numbers = np.full(max(ends, default=-1) + 1, -1)
    own = laid_over(numbers, x_shape, x_strides, x_offset)
    own[...] = np.arange(math.prod(x_shape)).reshape(x_shape)
    return laid_over(numbers, shape, strides, offset).copy(), own.copy()


@primitive
def strided_add(x, *, into, geometry):
    """Zeros of shape `into` with x added where `strided_view` reads; places outside are dropped,
    and places that the base itself holds several times get equal shares."""
    where, own = _places(*geometry)
    flat = np.zeros(math.prod(into) + 1, x.dtype)  # the last element takes what lies outside
    np.add.at(flat, where, x)
    shares = np.bincount(own.reshape(-1), minlength=flat.size) if own.size else 1
    return (flat / np.maximum(shares, 1)).astype(x.dtype)[own]


@primitive
def strided_take(x, *, geometry):
    """What `strided_add` reads: its gradient."""
    where, own = _places(*geometry)
    flat = np.zeros(x.size + 1, x.dtype)
    np.add.at(flat, own, x)
    shares = np.bincount(own.reshape(-1), minlength=flat.size) if own.size else 1
    flat = (flat / np.maximum(shares, 1)).astype(x.dtype)
    flat[-1] = 0
    return flat[where]


strided_view.vjp(x=lambda g, x_shape, geometry: strided_add(g, into=x_shape, geometry=geometry))
strided_add.vjp(x=lambda g, geometry: strided_take(g, geometry=geometry))
strided_take.vjp(x=lambda g, x_shape, geometry: strided_add(g, into=x_shape, geometry=geometry))


def _geometry(function, input, size, stride, storage_offset):
    """Checked (size, stride, offset); RuntimeError where they leave the storage."""
    size, stride = sizes(function, (size,)), sizes(function, (stride,), "stride")
    offset = offset_of(input.array) if storage_offset is None else int(storage_offset)
    if len(size) != len(stride):
        raise RuntimeError("mismatch in length of strides and shape")
    if any(s < 0 for s in stride):
        raise RuntimeError(
            f"{function}: Negative strides are not supported at the moment, got strides: "
            f"{list(stride)}"
        )
    need = 0 if 0 in size else offset + 1 + sum([(n - 1) * s for n, s in zip(size, stride)])
    if any(n < 0 for n in size) or max(need, math.prod(size)) >= 2**63 // input.array.itemsize:
        raise RuntimeError(
            f"Storage size calculation overflowed with sizes={list(size)} and "
            f"strides={list(stride)}"
        )
    if offset < 0:
        raise RuntimeError(f"Tensor: invalid storage offset {offset}")
    return size, stride, offset, need


def as_strided(input, size, stride, storage_offset=None):
    """A view of the memory of `input`: `size` elements at steps of `stride` from `storage_offset`
    (None: where `input` starts), all counted in elements. Elements may overlap.

    Error: RuntimeError where the view would leave the memory.

    >>> import fastdl
    >>> fastdl.arange(5).as_strided((3, 2), (1, 1))
    tensor([[0, 1],
            [1, 2],
            [2, 3]])
    """
    size, stride, offset, need = _geometry("as_strided", input, size, stride, storage_offset)
    held = memory_of(input.array)
    if need > held.size:
        item = input.array.itemsize
        raise RuntimeError(
            f"setStorage: sizes {list(size)}, strides {list(stride)}, storage offset {offset}, and "
            f"itemsize {item} requiring a storage size of {need * item} are out of bounds for "
            f"storage of size {held.nbytes}"
        )
    x = input.array
    steps = tuple([s // x.itemsize for s in x.strides])
    start = offset if storage_offset is None else offset_of(x)
    return strided_view(input, geometry=(x.shape, steps, start, size, stride, offset))


def as_strided_(input, size, stride, storage_offset=None):
    """`as_strided` of this very tensor."""
    return input._become(as_strided(input, size, stride, storage_offset))


def as_strided_scatter(input, src, size, stride, storage_offset=None):
    """A copy of `input` with `src` where `as_strided` with the same arguments would look."""
    made = E.clone(input) * 1 if input.requires_grad else E.clone(input)
    place = as_strided(made, size, stride, storage_offset)
    if place.array.shape != src.array.shape:
        raise RuntimeError(
            "expected src to have a size equal to the slice of self. src size = "
            f"{list(src.array.shape)}, slice size = {list(place.array.shape)}"
        )
    place.copy_(src)
    return made


# ---- other storage ----------------------------------------------------------------------------


def resize_(input, *size, memory_format=None):
    """Another shape, in place: elements stay in the order of memory, and further ones are whatever
    it held. The memory is kept where it suffices, else `input` moves to new memory.

    Error: RuntimeError for tensors that require grad.
    """
    if input.requires_grad:
        raise RuntimeError("cannot resize variables that require grad")
    size = sizes("resize_", size)
    count = math.prod(size)
    if any(n < 0 for n in size) or count * input.array.itemsize >= 2**63:
        raise RuntimeError(f"resize_: invalid size {list(size)}: integer multiplication overflow")
    if size == input.array.shape:
        return input
    held, offset = memory_of(input.array), offset_of(input.array)
    if offset + count > held.size:
        try:
            larger = np.empty(offset + count, held.dtype)
        except (MemoryError, ValueError):
            raise RuntimeError(
                f"can't allocate memory: you tried to allocate {count * held.itemsize} bytes"
            ) from None
        larger[: held.size] = held
        held = larger
    steps = [math.prod(size[d + 1 :]) for d in range(len(size))]
    input.array = laid_over(held, size, steps, offset)
    return input


def resize_as_(input, the_template, *, memory_format=None):
    """`resize_` to the shape of another tensor."""
    return resize_(input, the_template.array.shape)


def set_(input, source=None, storage_offset=0, size=None, stride=None):
    """Let `input` look at the memory of `source` (a tensor or storage): all of it as it is, or
    `size` elements at steps of `stride` from `storage_offset`. Nothing: at no elements."""
    if source is None:
        input.data = tensor_of(np.empty(0, input.array.dtype))
        return input
    source = source if is_tensor(source) else source._tensor
    if source.array.dtype != input.array.dtype:
        raise RuntimeError(
            f"Could not set tensor of type {legacy_name(source.array.dtype)} to a tensor of type "
            f"{legacy_name(input.array.dtype)}"
        )
    made = source.detach()
    if size is not None:
        size = sizes("set_", (size,))
        steps = [math.prod(size[d + 1 :]) for d in range(len(size))]
        made = as_strided(made, size, steps if stride is None else stride, storage_offset)
    input.data = made
    return input


def viewed_as(input, dtype):
    """The bytes of `input` read as another dtype: its last dimension grows or shrinks with the
    size of an element.

    Errors: RuntimeError where elements do not fill whole ones, or the last dimension has gaps.
    """
    dtype = _dtype.as_numpy(dtype)
    x = input.array
    if dtype.itemsize == x.itemsize:
        return bytes_view(input, dtype=dtype)
    names = f"to view {legacy_name(x.dtype)} as {legacy_name(dtype)} (different element sizes)"
    if x.ndim == 0:
        raise RuntimeError(f"self.dim() cannot be 0 {names}")
    if x.shape[-1] > 1 and x.strides[-1] != x.itemsize:
        raise RuntimeError(
            f"self.stride(-1) must be 1 {names}, but got {x.strides[-1] // x.itemsize}"
        )
    times = dtype.itemsize // x.itemsize
    if times > 1:
        if x.shape[-1] % times:
            raise RuntimeError(
                f"self.size(-1) must be divisible by {times} {names}, but got {x.shape[-1]}"
            )
        for d, s in enumerate(x.strides[:-1]):
            if s % dtype.itemsize:
                raise RuntimeError(
                    f"self.stride({d}) must be divisible by {times} {names}, but got "
                    f"{s // x.itemsize}"
                )
    return bytes_view(input, dtype=dtype)


@view_of(node_name="ViewDtype")
def bytes_view(x, *, dtype):
    """The bytes of x as another dtype."""
    return x.view(dtype)
