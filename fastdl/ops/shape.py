"""Shapes: views that share memory (reshape, transpose, expand, slices ...) and joining (cat,
stack, pad ...).
"""

import functools
import itertools
import math
import operator

import numpy as np

from fastdl import _dtype, backends
from fastdl._engine import shortcut, tensor_of
from fastdl.ops import elementwise as E
from fastdl.ops.core import (
    aliases,
    elementwise,
    mismatch,
    normal_dim,
    normal_dims,
    primitive,
    sizes,
    tensor_argument,
    with_inferred,
)
from fastdl.ops.core import (
    view as view_of,
)

__all__ = [
    "adjoint",
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "broadcast_shapes",
    "broadcast_tensors",
    "broadcast_to",
    "detach",
    "detach_",
    "flatten",
    "get_device",
    "is_floating_point",
    "is_nonzero",
    "is_same_size",
    "is_signed",
    "moveaxis",
    "movedim",
    "narrow",
    "numel",
    "permute",
    "ravel",
    "reshape",
    "rot90",
    "select",
    "squeeze",
    "swapaxes",
    "swapdims",
    "t",
    "transpose",
    "unflatten",
    "unfold",
    "unsqueeze",
]

# ---- primitives -------------------------------------------------------------------------------

FEW = 4096  # elements, below which NumPy copies as fast as a kernel is reached


@view_of(node_name="View")
def reshape_to(x, *, shape):
    """x in row-major order with another shape; a view where strides allow."""
    if x.flags.c_contiguous or x.size < FEW or _viewable(x, shape):
        return x.reshape(shape)
    return backends.of(x).copy(x).reshape(shape)


def _viewable(x, shape):
    """Can an array that is not empty have `shape` without a copy? NumPy says so by copying."""
    runs = []  # (length, stride) of neighbours that walk memory as one axis, the last first
    for n, stride in zip(reversed(x.shape), reversed(x.strides)):
        if runs and stride == runs[-1][0] * runs[-1][1]:
            runs[-1] = (n * runs[-1][0], runs[-1][1])
        elif n != 1:
            runs.append((n, stride))
    left = 1  # of the run that the new dimensions, the last first, are cut from
    for n in reversed(shape):
        if n != 1:
            left = runs.pop(0)[0] if left == 1 else left
            if left % n:
                return False
            left //= n
    return True


reshape_to.vjp(x=lambda g, x_shape: reshape_to(g, shape=x_shape))


@view_of(node_name="Permute")
def permute_to(x, *, dims):
    """Dimension i of the result is dimension dims[i] of x."""
    return x.transpose(dims)


def _inverse(dims):
    back = [0] * len(dims)
    for i, d in enumerate(dims):
        back[d] = i  # d may be negative
    return tuple(back)


permute_to.vjp(x=lambda g, dims: permute_to(g, dims=_inverse(dims)))


@view_of(node_name="Transpose")
def swap(x, *, dim0, dim1):
    """x with two dimensions exchanged."""
    return x.swapaxes(dim0, dim1)


swap.vjp(x=lambda g, dim0, dim1: swap(g, dim0=dim0, dim1=dim1))


@view_of(node_name="Expand")
def expand_to(x, *, shape):
    """x repeated along dimensions of length 1, without copying: strides 0."""
    return np.broadcast_to(x, shape)


expand_to.vjp(x=lambda g, x_shape: sum_to(g, x_shape))


def sum_to(g, shape):
    """`g` summed over the dimensions along which `shape` was broadcast to g's shape."""
    from_shape = g.array.shape
    if from_shape == shape:
        return g
    extra = len(from_shape) - len(shape)
    dims = tuple(
        [i for i, n in enumerate(from_shape) if i < extra or (shape[i - extra] == 1 and n != 1)]
    )
    if dims:
        g = sum_over(g, dims=dims, keepdim=False)
    return g if g.array.shape == shape else reshape_to(g, shape=shape)


def fit(g, shape, dtype):
    """A gradient with the shape and dtype its operand had before promotion and broadcasting."""
    g = sum_to(g, shape)
    return g if g.array.dtype == dtype else E.cast(g, dtype=dtype)


@primitive(node_name="Sum", kernel="sum")
def sum_over(x, *, dims, keepdim):
    """Sum over `dims`; bools and integers sum as int64."""
    return backends.of(x).reduce(x, "sum", dims, keepdim)


def spread(g, shape, dims, keepdim):
    """A reduction's gradient (or result) expanded over the dimensions that were reduced."""
    if not keepdim:
        g = reshape_to(g, shape=tuple([1 if i in dims else n for i, n in enumerate(shape)]))
    return expand_to(g, shape=shape)


sum_over.vjp(x=lambda g, x_shape, dims, keepdim: spread(g, x_shape, dims, keepdim))


@view_of(node_name="Slice")
def slice_of(x, *, index):
    """x[index] for a basic index: a tuple of ints, slices, None and Ellipsis."""
    return x[index]


slice_of.vjp(x=lambda g, x_shape, index: slice_scatter(g, shape=x_shape, index=index))


@view_of(node_name="SplitWithSizes")
def cut(x, *, dim, lengths):
    """x in pieces of `lengths` along `dim`, a tuple."""
    ends = list(itertools.accumulate(lengths))
    before = (slice(None),) * dim
    return tuple([x[(*before, slice(end - n, end), ...)] for n, end in zip(lengths, ends)])


@primitive
def slice_scatter(x, *, shape, index):
    """Zeros of `shape` with x written to [index]."""
    result = np.zeros(shape, x.dtype)
    result[index] = x
    return result


slice_scatter.vjp(x=lambda g, index: slice_of(g, index=index))


# A view that was made before an in-place operation changed its base has a history that is out of
# date: the engine gives it this one, the window of the base's memory that it shows.


def geometry(base, view):
    """How `view` lies in the memory of `base`, two arrays, as arguments of `window`: its shape; its
    strides and offset in elements, counted through `base` with dimensions in the order `order`,
    outermost in memory first. None if they do not share memory."""
    if base.dtype != view.dtype or not np.may_share_memory(base, view):
        return None
    order = tuple(sorted(range(base.ndim), key=lambda d: -base.strides[d]))
    if not base.transpose(order).flags.c_contiguous:
        raise NotImplementedError(
            "a recorded in-place operation on a view of a tensor whose memory has gaps is not "
            "supported: clone() the tensor before the view is taken"
        )
    address = lambda array: array.__array_interface__["data"][0]
    return {
        "shape": view.shape,
        "strides": tuple([s // view.itemsize for s in view.strides]),
        "offset": (address(view) - address(base)) // view.itemsize,
        "order": order,
    }


def _windowed(x, shape, strides, offset, order):
    """The window on a copy of x in memory order, and that copy as an array shaped like x."""
    copy = x.transpose(order).copy(order="C")
    steps = tuple([s * x.itemsize for s in strides])
    flat = copy.reshape(-1)[offset:]
    return np.lib.stride_tricks.as_strided(flat, shape, steps), copy.transpose(_inverse(order))


@primitive(node_name="AsStrided")
def window(x, *, shape, strides, offset, order):
    """The window of x that `geometry` describes."""
    return _windowed(x, shape, strides, offset, order)[0].copy()


@primitive
def window_scatter(x, *, into, strides, offset, order):
    """Zeros of shape `into` with x added where `window` reads; places it reads twice add up."""
    numbers = np.arange(math.prod(into)).reshape([into[d] for d in order])
    where, _ = _windowed(numbers.transpose(_inverse(order)), x.shape, strides, offset, order)
    result = np.zeros(numbers.size, x.dtype)
    np.add.at(result, where, x)
    return result.reshape(numbers.shape).transpose(_inverse(order))


window.vjp(
    x=lambda g, x_shape, strides, offset, order: window_scatter(
        g, into=x_shape, strides=strides, offset=offset, order=order
    )
)
window_scatter.vjp(
    x=lambda g, x_shape, strides, offset, order: window(
        g, shape=x_shape, strides=strides, offset=offset, order=order
    )
)


@primitive(node_name="CopySlices")
def put_window(x, value, *, strides, offset, order):
    """x with `value` in the window that `geometry` describes."""
    place, result = _windowed(x, value.shape, strides, offset, order)
    place[...] = value
    return result


put_window.vjp(
    x=lambda g, value_shape, strides, offset, order: put_window(
        g, zeros_like_part(g, value_shape), strides=strides, offset=offset, order=order
    ),
    value=lambda g, value_shape, strides, offset, order: window(
        g, shape=value_shape, strides=strides, offset=offset, order=order
    ),
)


def zeros_like_part(g, shape):
    """Zeros in the dtype of `g`."""
    return tensor_of(np.zeros(shape, g.array.dtype))


@view_of(node_name="Unfold")
def windows(x, *, dim, size, step):
    """Windows of `size` elements every `step` along `dim`; the window is the new last dimension."""
    found = np.lib.stride_tricks.sliding_window_view(x, size, axis=dim, writeable=True)
    return found[(*(slice(None),) * dim, slice(None, None, step))]


@primitive
def windows_add(x, *, shape, dim, size, step):
    """Zeros of `shape` with the windows x added where `windows` reads them."""
    result = np.zeros(shape, x.dtype)
    for k in range(size):
        stop = k + (x.shape[dim] - 1) * step + 1
        result[(*(slice(None),) * dim, slice(k, stop, step))] += x[..., k]
    return result


windows.vjp(
    x=lambda g, x_shape, dim, size, step: windows_add(
        g, shape=x_shape, dim=dim, size=size, step=step
    )
)
windows_add.vjp(x=lambda g, dim, size, step: windows(g, dim=dim, size=size, step=step))

# ---- functions --------------------------------------------------------------------------------


@shortcut(reshape_to)
def reshape(input, *shape, **named):
    """`input` with another shape, one length of which may be -1; a view where possible."""
    if named:
        shape = named_sizes("reshape", shape, named, "shape")
    try:
        wanted = shape[0] if len(shape) == 1 and type(shape[0]) is not int else shape
        if min(wanted) >= -1:  # NumPy would infer a length for any negative number
            return reshape_to(input, shape=wanted)
    except Exception:
        pass  # find out what is wrong, and word it as PyTorch does
    if not shape:
        raise TypeError("reshape() missing 1 required positional arguments: 'shape'")
    shape = sizes("reshape", shape, "shape")
    return reshape_to(input, shape=with_inferred(shape, input.array.size))


def named_sizes(function, size, named, name="size"):
    """Positional sizes, or the one given as a keyword."""
    size = size or (named.pop(name, ()),)
    if named:
        raise TypeError(f"{function}() got an unexpected keyword argument {next(iter(named))!r}")
    return size


@shortcut(reshape_to)
def view(input, *shape, **named):
    """`input` with another shape (or dtype), no copy; RuntimeError where strides forbid it."""
    if named:
        if "dtype" in named:
            return input.view_dtype(named["dtype"])
        shape = named_sizes("view", shape, named)
    if (
        len(shape) == 1
        and not isinstance(shape[0], (int, tuple, list))
        and not hasattr(shape[0], "__index__")
    ):
        if isinstance(shape[0], (str, float)):
            raise TypeError(
                "view(): argument must be a dtype or a tuple of ints, not "
                f"{type(shape[0]).__name__}"
            )
        return input.view_dtype(shape[0])
    result = reshape(input, *shape)
    if not result._is_view() and result.array.size:
        raise RuntimeError(
            "view size is not compatible with input tensor's size and stride (at least one "
            "dimension spans across two contiguous subspaces). Use .reshape(...) instead."
        )
    return result


def view_as(input, other):
    """`input` viewed with the shape of `other`."""
    return view(input, other.shape)


def reshape_as(input, other):
    """`input` reshaped to the shape of `other`."""
    return reshape(input, other.shape)


@shortcut(reshape_to)
def flatten(input, start_dim=0, end_dim=-1):
    """Dimensions start_dim to end_dim joined to one."""
    shape = input.array.shape
    if len(shape) > 1 and start_dim == 0 and end_dim == -1:
        return reshape_to(input, shape=(-1,))
    first, last = normal_dim(start_dim, len(shape)), normal_dim(end_dim, len(shape))
    if first > last:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if not shape:
        return reshape_to(input, shape=(1,))
    if first == last:
        return input
    joined = math.prod(shape[first : last + 1])
    return reshape_to(input, shape=(*shape[:first], joined, *shape[last + 1 :]))


def ravel(input):
    """All dimensions joined to one."""
    return reshape(input, -1)


def unflatten(input, dim, sizes):
    """Dimension `dim` split to `sizes`, one of which may be -1."""
    shape = input.array.shape
    dim = normal_dim(dim, len(shape))
    sizes = (sizes,) if isinstance(sizes, int) else tuple(sizes)
    if not sizes:
        raise RuntimeError("unflatten: sizes must be non-empty")
    if -1 not in sizes and math.prod(sizes) != shape[dim]:
        raise RuntimeError(
            f"unflatten: Provided sizes {list(sizes)} don't multiply up to the size of dim {dim} "
            f"({shape[dim]}) in the input tensor"
        )
    parts = with_inferred(sizes, shape[dim])
    return reshape_to(input, shape=(*shape[:dim], *parts, *shape[dim + 1 :]))


@shortcut(swap)
def transpose(input, dim0, dim1):
    """`input` with two dimensions exchanged, a view."""
    ndim = input.array.ndim
    dim0, dim1 = normal_dim(dim0, ndim), normal_dim(dim1, ndim)
    return swap(input, dim0=dim0, dim1=dim1) if ndim else reshape_to(input, shape=())


@shortcut(swap)
def t(input):
    """Transpose of a matrix; vectors and numbers as they are."""
    ndim = input.array.ndim
    if ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {ndim}D")
    return swap(input, dim0=0, dim1=1) if ndim == 2 else reshape_to(input, shape=input.array.shape)


@shortcut(permute_to)
def permute(input, *dims, **named):
    """Dimension i of the result is dimension dims[i] of `input`; a view."""
    if named:
        dims = named_sizes("permute", dims, named, "dims")
    dims = dims[0] if len(dims) == 1 and isinstance(dims[0], (tuple, list)) else dims
    ndim = input.array.ndim
    if len(dims) == ndim:
        try:
            return permute_to(input, dims=dims)
        except Exception:
            pass  # find out what is wrong, and word it as PyTorch does
    else:
        raise RuntimeError(
            "permute: number of dimensions in the tensor input does not match the length of the "
            f"desired ordering of dimensions i.e. input.dim() = {ndim} is not equal to len(dims) = "
            f"{len(dims)}"
        )
    dims = tuple([normal_dim(d, ndim) for d in dims])
    if len(set(dims)) != ndim:
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return permute_to(input, dims=dims)


@shortcut(permute_to)
def reverse(input):
    """All dimensions in reverse order, a view."""
    return permute_to(input, dims=tuple(range(input.array.ndim))[::-1])


def movedim(input, source, destination):
    """Dimensions `source` moved to places `destination`, the others in order."""
    ndim = input.array.ndim
    if ndim and type(source) is type(destination) is int:
        order = list(range(ndim))
        order.insert(normal_dim(destination, ndim), order.pop(normal_dim(source, ndim)))
        return permute_to(input, dims=tuple(order))
    as_tuple = lambda d: tuple(
        [normal_dim(i, ndim) for i in (d if isinstance(d, (tuple, list)) else (d,))]
    )
    given = source, destination
    source, destination = as_tuple(source), as_tuple(destination)
    if len(source) != len(destination):
        raise RuntimeError(
            "movedim: Invalid source or destination dims: source and destination must have the "
            "same number of dimensions"
        )
    for name, dims, said in zip(("source", "destination"), (source, destination), given):
        if len(set(dims)) != len(dims):
            raise RuntimeError(f"movedim: repeated dim in `{name}` ({list(said)})")
    if ndim == 0:
        return reshape_to(input, shape=())
    order = [d for d in range(ndim) if d not in source]
    for to, what in sorted(zip(destination, source)):
        order.insert(to, what)
    return permute_to(input, dims=tuple(order))


@shortcut(reshape_to)
@aliases
def squeeze(input, dim=None):
    """Dimensions of length 1 dropped: all, or those in `dim`."""
    shape = input.array.shape
    if dim is None:
        return reshape_to(input, shape=tuple([n for n in shape if n != 1]))
    dims = normal_dims(dim, len(shape)) if dim != () else ()
    return reshape_to(
        input, shape=tuple([n for i, n in enumerate(shape) if i not in dims or n != 1])
    )


@shortcut(reshape_to)
@aliases
def unsqueeze(input, dim):
    """A new dimension of length 1 at `dim`."""
    shape = input.array.shape
    if type(dim) is not int or not 0 <= dim <= len(shape):
        dim = normal_dim(dim, len(shape) + 1)
    return reshape_to(input, shape=(*shape[:dim], 1, *shape[dim:]))


@shortcut(expand_to)
def expand(input, *size, **named):
    """`input` repeated along dimensions of length 1 without copying; -1 keeps a length."""
    if named:
        named.pop("implicit", None)
        size = named_sizes("expand", size, named)
    size = sizes("expand", size)
    shape = input.array.shape
    extra = len(size) - len(shape)
    if extra < 0:
        raise RuntimeError(
            f"expand({list(shape)}, size={list(size)}): the number of sizes provided "
            f"({len(size)}) must be greater or equal to the number of dimensions in the tensor "
            f"({len(shape)})"
        )
    wanted = []
    for i, n in enumerate(size):
        own = shape[i - extra] if i >= extra else 1
        if n == -1 and i < extra:
            raise RuntimeError(
                "The expanded size of the tensor (-1) isn't allowed in a leading, non-existing "
                f"dimension {i}"
            )
        if n not in (-1, own) and own != 1:
            raise RuntimeError(
                f"The expanded size of the tensor ({n}) must match the existing size ({own}) at "
                f"non-singleton dimension {i}.  Target sizes: {list(size)}.  Tensor sizes: "
                f"{list(shape)}"
            )
        wanted.append(own if n == -1 else n)
    return expand_to(input, shape=tuple(wanted))


def expand_as(input, other):
    """`input` expanded to the shape of `other`."""
    return expand(input, other.shape)


def broadcast_to(input, size):
    """`input` expanded to `size`."""
    return expand(input, size)


def broadcast_tensors(*tensors):
    """The tensors, each expanded to their common shape."""
    tensors = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)) else tensors
    shapes = [tensor_argument("broadcast_tensors", "tensors", x).array.shape for x in tensors]
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError:
        raise RuntimeError(mismatch(shapes)) from None
    return tuple([expand_to(x, shape=shape) for x in tensors])


def broadcast_shapes(*shapes):
    """The common shape of tensors of these shapes (tuples or ints), a Size.

    Errors: RuntimeError where they do not broadcast, ValueError for negative lengths.

    >>> import fastdl
    >>> fastdl.broadcast_shapes((2, 1), (3,))
    fastdl.Size([2, 3])
    """
    shapes = [(s,) if isinstance(s, int) else sizes("broadcast_shapes", (s,)) for s in shapes]
    if any(n < 0 for shape in shapes for n in shape):
        raise ValueError("Attempting to broadcast a dimension with negative length!")
    common = ()
    for i, shape in enumerate(shapes):
        for back in range(1, min(len(common), len(shape)) + 1):
            if shape[-back] != common[-back] and 1 not in (shape[-back], common[-back]):
                raise RuntimeError(
                    f"Attempting to broadcast a dimension of length {shape[-back]} at {-back}! "
                    f"Mismatching argument at index {i} had {shape}; but expected shape should be "
                    f"broadcastable to {list(common)}"
                )
        common = np.broadcast_shapes(common, shape)
    return _dtype.Size(common)


@shortcut(slice_of)
def narrow(input, dim, start, length):
    """`length` elements from `start` along `dim`; a view."""
    if input.array.ndim == 0:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    n = input.array.shape[(dim := normal_dim(dim, input.array.ndim))]
    start = operator.index(start)
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    if not -n <= start <= n:
        raise IndexError(
            f"start out of range (expected to be in range of [{-n}, {n}], but got {start})"
        )
    start = start + n if start < 0 else start
    if start + length > n:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({n}).")
    return slice_of(input, index=(*(slice(None),) * dim, slice(start, start + length), ...))


@shortcut(slice_of)
def select(input, dim, index):
    """Slice number `index` along `dim`, which goes away; a view."""
    if input.array.ndim == 0:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    n = input.array.shape[(dim := normal_dim(dim, input.array.ndim))]
    index = operator.index(index)
    if not -n <= index < n:
        raise IndexError(
            f"select(): index {index} out of range for tensor of size {list(input.shape)} at "
            f"dimension {dim}"
        )
    return slice_of(input, index=(*(slice(None),) * dim, index, ...))


@shortcut(windows)
def unfold(input, dimension, size, step):
    """Windows of `size` every `step` along `dimension`, as a new last dimension; a view."""
    dim = normal_dim(dimension, input.array.ndim)
    n = input.array.shape[dim] if input.array.ndim else 1
    if size < 0:
        raise RuntimeError(f"size is {size} but must be >= 0")
    if size > n:
        raise RuntimeError(f"maximum size for tensor at dimension {dim} is {n} but size is {size}")
    if step < 1:
        raise RuntimeError(f"step is {step} but must be > 0")
    if input.array.ndim == 0:
        return reshape_to(input, shape=(1,))[:size]
    if size == 0:
        shape = list(input.array.shape)
        shape[dim] = n // step + 1
        nothing = slice_of(input, index=(*(slice(None),) * dim, slice(0, 0), ...))
        return reshape_to(nothing, shape=(*shape, 0))
    return windows(input, dim=dim, size=size, step=step)


FORMATS = _dtype.FORMATS


def is_in_format(array, memory_format):
    """Do the dimensions of an array lie in memory in the order of `memory_format`?"""
    if memory_format not in FORMATS:
        return array.flags.c_contiguous
    ndim, order = FORMATS[memory_format]
    return array.ndim == ndim and array.transpose(order).flags.c_contiguous


def contiguous(input, memory_format=None):
    """`input` itself when its memory is in row-major order (or that of `memory_format`, such as
    channels_last), else a copy that is."""
    if is_in_format(input.array, memory_format):
        return input
    if memory_format not in FORMATS:
        return copy_in_order(input)
    ndim, order = FORMATS[memory_format]
    if input.array.ndim != ndim:
        raise RuntimeError(f"required rank {ndim} tensor to use {memory_format.name} format")
    return permute_to(copy_in_order(permute_to(input, dims=order)), dims=_inverse(order))


@elementwise(promote=False, node_name="Clone")
def copy_in_order(x):
    """A row-major copy."""
    return backends.of(x).copy(x)


copy_in_order.vjp(x=lambda g: g)


def _each(function):
    """A function of one tensor as one of several, or of a sequence of them: a tuple then."""

    @functools.wraps(function)
    def of_all(*tensors):
        if len(tensors) == 1 and not isinstance(tensors[0], (tuple, list)):
            return function(tensors[0])
        if len(tensors) == 1:
            tensors = tensors[0]
        return tuple([function(x) for x in tensors])

    return of_all


@_each
def atleast_1d(input):
    """At least one dimension; of several tensors, a tuple."""
    return input if input.array.ndim else reshape_to(input, shape=(1,))


@_each
def atleast_2d(input):
    """At least two dimensions: vectors become rows. Of several tensors, a tuple."""
    shape = input.array.shape
    return input if len(shape) > 1 else reshape_to(input, shape=(1,) * (2 - len(shape)) + shape)


@_each
def atleast_3d(input):
    """At least three dimensions: (n,) becomes (1, n, 1), (m, n) becomes (m, n, 1). Of several
    tensors, a tuple."""
    shape = input.array.shape
    if len(shape) > 2:
        return input
    return reshape_to(input, shape=(*(1,) * (2 - len(shape)), *shape, 1))


def matrix_transpose(input):
    """The last two dimensions exchanged; RuntimeError for fewer than two."""
    if input.array.ndim < 2:
        raise RuntimeError(
            "tensor.mT is only supported on matrices or batches of matrices. Got "
            f"{input.array.ndim}-D tensor."
        )
    return transpose(input, -2, -1)


def adjoint(input):
    """The last two dimensions exchanged, complex numbers conjugated; a view of real ones."""
    turned = transpose(input, -2, -1)
    return turned.conj() if input.array.dtype.kind == "c" else turned


def rot90(input, k=1, dims=(0, 1)):
    """`input` rotated by `k` quarter turns in the plane of two dimensions, from dims[0] to dims[1].

    >>> import fastdl
    >>> fastdl.rot90(fastdl.tensor([[1, 2], [3, 4]]))
    tensor([[2, 4],
            [1, 3]])
    """
    ndim = input.array.ndim
    if len(dims) != 2:
        raise RuntimeError(f"expected total rotation dims == 2, but got dims = {len(dims)}")
    if ndim < 2:
        raise RuntimeError(f"expected total dims >= 2, but got total dims = {ndim}")
    first, second = (normal_dim(d, ndim) for d in dims)
    if first == second:
        raise RuntimeError(
            f"expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 = {dims[1]}"
        )
    if k % 4 == 1:
        return transpose(input.flip(second), first, second)
    if k % 4 == 2:
        return input.flip(first, second)
    if k % 4 == 3:
        return transpose(input.flip(first), first, second)
    return E.clone(input, memory_format=_dtype.contiguous_format)


def sum_to_size(input, *size):
    """`input` summed over the dimensions that a tensor of shape `size` is broadcast along."""
    size = sizes("sum_to_size", size)
    shape = input.array.shape
    extra = len(shape) - len(size)
    if extra < 0 or any(n not in (1, m) for n, m in zip(size, shape[extra:])):
        raise RuntimeError(f"size {{{list(size)}}} is not expandable to size {{{list(shape)}}}.")
    return sum_to(input, size)


def is_nonzero(input):
    """Is the only element of a tensor not 0? RuntimeError for more or fewer elements."""
    return bool(tensor_argument("is_nonzero", "input", input))


def is_same_size(input, other):
    """Have two tensors one shape?"""
    return input.array.shape == other.array.shape


def is_signed(input):
    """Can the dtype hold negative values?"""
    return _dtype.of(input.array.dtype).is_signed


def get_device(input):
    """Number of the GPU; -1 on the CPU."""
    return input.get_device()


def detach(input):
    """The same memory without history."""
    return input.detach()


def detach_(input):
    """Forget the history: the tensor becomes a leaf that needs no gradient."""
    return input.detach_()


def is_floating_point(input):
    """Is the dtype a floating point one?"""
    return _dtype.is_float(input.array.dtype)


def numel(input):
    """Number of elements."""
    return tensor_argument("numel", "input", input).array.size


swapaxes = swapdims = transpose
moveaxis = movedim
