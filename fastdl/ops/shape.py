"""Shapes: views that share memory (reshape, transpose, expand, slices ...) and joining (cat,
stack, pad ...).
"""

import itertools
import math
import operator

import numpy as np

from fastdl.ops import elementwise as E
from fastdl.ops.core import (
    aliases,
    is_tensor,
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
    "atleast_1d",
    "broadcast_tensors",
    "broadcast_to",
    "cat",
    "chunk",
    "concat",
    "diag",
    "diagonal",
    "flatten",
    "flip",
    "fliplr",
    "flipud",
    "hstack",
    "meshgrid",
    "movedim",
    "narrow",
    "numel",
    "pad",
    "permute",
    "ravel",
    "repeat_interleave",
    "reshape",
    "roll",
    "select",
    "split",
    "squeeze",
    "stack",
    "swapaxes",
    "swapdims",
    "t",
    "tensor_split",
    "tile",
    "transpose",
    "tril",
    "triu",
    "unbind",
    "unflatten",
    "unfold",
    "unsqueeze",
    "vstack",
]

# ---- primitives -------------------------------------------------------------------------------


@view_of(node_name="View")
def reshape_to(x, *, shape):
    """x in row-major order with another shape; a view where strides allow."""
    return x.reshape(shape)


reshape_to.vjp(x=lambda g, x_shape: reshape_to(g, shape=x_shape))


@view_of(node_name="Permute")
def permute_to(x, *, dims):
    """Dimension i of the result is dimension dims[i] of x."""
    return x.transpose(dims)


def _inverse(dims):
    back = [0] * len(dims)
    for i, d in enumerate(dims):
        back[d] = i
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


@primitive(node_name="Sum")
def sum_over(x, *, dims, keepdim):
    """Sum over `dims`; bools and integers sum as int64."""
    return np.add.reduce(x, dims, None if x.dtype.kind == "f" else np.int64, None, keepdim)


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


@primitive
def slice_scatter(x, *, shape, index):
    """Zeros of `shape` with x written to [index]."""
    result = np.zeros(shape, x.dtype)
    result[index] = x
    return result


slice_scatter.vjp(x=lambda g, index: slice_of(g, index=index))


@primitive(node_name="Cat")
def concatenate(*xs, dim):
    """The arrays after one another along `dim`."""
    return np.concatenate(xs, axis=dim)


def _cat_parts(g, xs_shape, dim, needs):
    parts, start = [], 0
    for shape, needed in zip(xs_shape, needs):
        stop = start + shape[dim]
        index = (*(slice(None),) * dim, slice(start, stop), ...)
        parts.append(slice_of(g, index=index) if needed else None)
        start = stop
    return tuple(parts)


concatenate.vjp_joint(_cat_parts)


@primitive(node_name="Stack")
def stack_along(*xs, dim):
    """The arrays side by side along a new dimension `dim`."""
    return np.stack(xs, axis=dim)


stack_along.vjp_joint(
    lambda g, dim, needs: tuple(
        [
            slice_of(g, index=(*(slice(None),) * dim, i, ...)) if needed else None
            for i, needed in enumerate(needs)
        ]
    )
)


@view_of(node_name="Unbind")
def unstack(x, *, dim):
    """Slices of x along `dim`, a tuple."""
    return tuple(np.moveaxis(x, dim, 0)[..., None][i][..., 0] for i in range(x.shape[dim]))


def _restack(g, x_shape, dim):
    shape = x_shape[:dim] + x_shape[dim + 1 :]
    first = next(part for part in g if part is not None)
    zero = E.select(np.False_, first, np.zeros(shape, first.array.dtype))
    return stack_along(*[zero if part is None else part for part in g], dim=dim)


unstack.vjp(x=_restack)


@view_of
def flip_along(x, *, dims):
    """x with the order reversed along `dims`."""
    return np.flip(x, dims).copy()


flip_along.vjp(x=lambda g, dims: flip_along(g, dims=dims))


@primitive(node_name="Roll")
def roll_along(x, *, shifts, dims):
    """x moved cyclically by `shifts` along `dims` (None: flattened)."""
    return np.roll(x, shifts, dims)


roll_along.vjp(
    x=lambda g, shifts, dims: roll_along(g, shifts=tuple([-s for s in shifts]), dims=dims)
)


@primitive(node_name="ConstantPadNd")
def pad_with(x, *, widths, value):
    """x with `widths[i]` = (before, after) elements of `value` around dimension i; negative widths
    crop.
    """
    shape = tuple([n + a + b for n, (a, b) in zip(x.shape, widths)])
    result = np.full(shape, value, x.dtype)
    result[_inner(widths, shape)] = x[_inner([(-a, -b) for a, b in widths], x.shape)]
    return result


def _inner(widths, shape):
    return tuple([slice(max(a, 0), n - max(b, 0)) for n, (a, b) in zip(shape, widths)])


pad_with.vjp(x=lambda g, widths: pad_with(g, widths=tuple([(-a, -b) for a, b in widths]), value=0))


@view_of(node_name="Diagonal")
def diagonal_of(x, *, offset, dim1, dim2):
    """The diagonal of the planes that dim1 and dim2 span, as the last dimension."""
    diagonal = np.diagonal(x, offset, dim1, dim2)
    diagonal.flags.writeable = x.flags.writeable
    return diagonal


diagonal_of.vjp(
    x=lambda g, x_shape, offset, dim1, dim2: diagonal_scatter(
        g, shape=x_shape, offset=offset, dim1=dim1, dim2=dim2
    )
)


@primitive
def diagonal_scatter(x, *, shape, offset, dim1, dim2):
    """Zeros of `shape` with x on the diagonal that `diagonal_of` reads."""
    result = np.zeros(shape, x.dtype)
    diagonal = np.diagonal(result, offset, dim1, dim2)
    diagonal.flags.writeable = True
    diagonal[...] = x
    return result


diagonal_scatter.vjp(
    x=lambda g, offset, dim1, dim2: diagonal_of(g, offset=offset, dim1=dim1, dim2=dim2)
)


@primitive(node_name="Tril")
def lower(x, *, diagonal):
    """x with what lies above diagonal number `diagonal` of its last two dimensions set to 0."""
    return np.tril(x, diagonal)


lower.vjp(x=lambda g, diagonal: lower(g, diagonal=diagonal))


@primitive(node_name="Triu")
def upper(x, *, diagonal):
    """x with what lies below diagonal number `diagonal` of its last two dimensions set to 0."""
    return np.triu(x, diagonal)


upper.vjp(x=lambda g, diagonal: upper(g, diagonal=diagonal))


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


def reshape(input, *shape):
    """`input` with another shape, one length of which may be -1; a view where possible."""
    shape = sizes("reshape", shape, "shape")
    return reshape_to(input, shape=with_inferred(shape, input.array.size))


def view(input, *shape):
    """`input` with another shape (or dtype) on the same memory; RuntimeError where strides do not
    allow it.
    """
    if (
        len(shape) == 1
        and not isinstance(shape[0], (int, tuple, list))
        and not hasattr(shape[0], "__index__")
    ):
        return input.view_dtype(shape[0])
    shape = with_inferred(sizes("view", shape, "size"), input.array.size)
    result = reshape_to(input, shape=shape)
    if not result._is_view() and result.array.size:
        raise RuntimeError(
            "view size is not compatible with input tensor's size and stride (at least one "
            "dimension spans "
            "across two contiguous subspaces). Use .reshape(...) instead."
        )
    return result


def view_as(input, other):
    """`input` viewed with the shape of `other`."""
    return view(input, other.shape)


def reshape_as(input, other):
    """`input` reshaped to the shape of `other`."""
    return reshape(input, other.shape)


def flatten(input, start_dim=0, end_dim=-1):
    """Dimensions start_dim to end_dim joined to one."""
    shape = input.array.shape
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
    parts = with_inferred(tuple(sizes), shape[dim])
    return reshape_to(input, shape=(*shape[:dim], *parts, *shape[dim + 1 :]))


def transpose(input, dim0, dim1):
    """`input` with two dimensions exchanged, a view."""
    ndim = input.array.ndim
    dim0, dim1 = normal_dim(dim0, ndim), normal_dim(dim1, ndim)
    return swap(input, dim0=dim0, dim1=dim1) if ndim else reshape_to(input, shape=())


def t(input):
    """Transpose of a matrix; vectors and numbers as they are."""
    ndim = input.array.ndim
    if ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {ndim}D")
    return swap(input, dim0=0, dim1=1) if ndim == 2 else reshape_to(input, shape=input.array.shape)


def permute(input, *dims):
    """Dimension i of the result is dimension dims[i] of `input`; a view."""
    dims = dims[0] if len(dims) == 1 and isinstance(dims[0], (tuple, list)) else dims
    ndim = input.array.ndim
    if len(dims) != ndim:
        raise RuntimeError(
            f"permute(sparse_coo): number of dimensions in the tensor input does not match the "
            f"length of "
            f"the desired ordering of dimensions i.e. input.dim() = {ndim} is not equal to "
            f"len(dims) = "
            f"{len(dims)}".replace("(sparse_coo)", "")
        )
    dims = tuple([normal_dim(d, ndim) for d in dims])
    if len(set(dims)) != ndim:
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return permute_to(input, dims=dims)


def movedim(input, source, destination):
    """Dimensions `source` moved to places `destination`, the others in order."""
    ndim = input.array.ndim
    as_tuple = lambda d: tuple(
        [normal_dim(i, ndim) for i in (d if isinstance(d, (tuple, list)) else (d,))]
    )
    source, destination = as_tuple(source), as_tuple(destination)
    if len(source) != len(destination):
        raise RuntimeError(
            "movedim: source and destination must have the same number of dimensions"
        )
    order = [d for d in range(ndim) if d not in source]
    for to, what in sorted(zip(destination, source)):
        order.insert(to, what)
    return permute_to(input, dims=tuple(order))


@aliases
def squeeze(input, dim=None):
    """Dimensions of length 1 dropped: all, or those in `dim`."""
    shape = input.array.shape
    dims = normal_dims(dim, len(shape)) if dim != () else ()
    return reshape_keeping_strides(
        input, [i for i, n in enumerate(shape) if i not in dims or n != 1]
    )


def reshape_keeping_strides(input, kept):
    """Drop the dimensions (of length 1) not in `kept`, as a view."""
    kept = set(kept)
    index = tuple([slice(None) if i in kept else 0 for i in range(input.array.ndim)])
    return slice_of(input, index=(*index, ...))


@aliases
def unsqueeze(input, dim):
    """A new dimension of length 1 at `dim`."""
    dim = normal_dim(dim, input.array.ndim + 1)
    return slice_of(input, index=(*(slice(None),) * dim, None, ...))


def expand(input, *size):
    """`input` repeated along dimensions of length 1 without copying; -1 keeps a length."""
    size = sizes("expand", size)
    shape = input.array.shape
    extra = len(size) - len(shape)
    if extra < 0:
        raise RuntimeError(
            f"expand({list(shape)}, size={list(size)}): the number of sizes provided "
            f"({len(size)}) must be "
            f"greater or equal to the number of dimensions in the tensor ({len(shape)})"
        )
    wanted = []
    for i, n in enumerate(size):
        own = shape[i - extra] if i >= extra else 1
        if n == -1 and i < extra:
            raise RuntimeError(
                f"The expanded size of the tensor (-1) isn't allowed in a leading, non-existing "
                f"dimension {i}"
            )
        if n not in (-1, own) and own != 1:
            raise RuntimeError(
                f"The expanded size of the tensor ({n}) must match the existing size ({own}) at "
                f"non-singleton "
                f"dimension {i}.  Target sizes: {list(size)}.  Tensor sizes: {list(shape)}"
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
    shape = np.broadcast_shapes(*[x.array.shape for x in tensors])
    return tuple([expand_to(x, shape=shape) for x in tensors])


def narrow(input, dim, start, length):
    """`length` elements from `start` along `dim`; a view."""
    n = input.array.shape[(dim := normal_dim(dim, input.array.ndim))]
    start = operator.index(start)
    start = start + n if start < 0 else start
    if length < 0 or start < 0 or start + length > n:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({n}).")
    return slice_of(input, index=(*(slice(None),) * dim, slice(start, start + length), ...))


def select(input, dim, index):
    """Slice number `index` along `dim`, which goes away; a view."""
    n = input.array.shape[(dim := normal_dim(dim, input.array.ndim))]
    if not -n <= index < n:
        raise IndexError(
            f"select(): index {index} out of range for tensor of size {list(input.shape)} at "
            f"dimension {dim}"
        )
    return slice_of(input, index=(*(slice(None),) * dim, operator.index(index), ...))


@aliases
def split(input, split_size_or_sections, dim=0):
    """Views of `split_size` elements along `dim` (the last may be shorter), or of the listed
    sizes.
    """
    n = input.array.shape[(dim := normal_dim(dim, input.array.ndim))]
    if isinstance(split_size_or_sections, (tuple, list)):
        lengths = [operator.index(k) for k in split_size_or_sections]
        if builtin_sum(lengths) != n or any(k < 0 for k in lengths):
            raise RuntimeError(
                f"split_with_sizes expects split_sizes to sum exactly to {n} (input tensor's size "
                f"at "
                f"dimension {dim}), but got split_sizes={lengths}"
            )
    else:
        size = operator.index(split_size_or_sections)
        if size < 0 or (size == 0 and n):
            raise RuntimeError(
                f"split expects split_size be non-negative, but got split_size={size}"
            )
        lengths = [min(size, n - start) for start in range(0, n, size)] if n else [0]
    parts, start = [], 0
    for length in lengths:
        parts.append(narrow(input, dim, start, length))
        start += length
    return tuple(parts)


builtin_sum = sum


@aliases
def chunk(input, chunks, dim=0):
    """At most `chunks` views of equal length (the last may be shorter) along `dim`."""
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    n = input.array.shape[normal_dim(dim, input.array.ndim)]
    return split(input, max(-(-n // chunks), 1), dim)


def tensor_split(input, indices_or_sections, dim=0):
    """Views along `dim`: a number of nearly equal ones, or cut at the listed indices."""
    n = input.array.shape[(dim := normal_dim(dim, input.array.ndim))]
    if isinstance(indices_or_sections, int):
        whole, rest = divmod(n, indices_or_sections)
        return split(input, [whole + (i < rest) for i in range(indices_or_sections)], dim)
    cuts = [0, *[slice(0, i).indices(n)[1] for i in indices_or_sections], n]
    pairs = itertools.pairwise(cuts)
    return tuple([narrow(input, dim, a, max(b - a, 0)) for a, b in pairs])


@aliases
def unbind(input, dim=0):
    """The slices along `dim`, a tuple of views."""
    if input.array.ndim == 0:
        raise RuntimeError("Dimension specified as 0 but tensor has no dimensions")
    return unstack(input, dim=normal_dim(dim, input.array.ndim))


def diagonal(input, offset=0, dim1=0, dim2=1):
    """The diagonal of the planes dim1 and dim2 span, as a last dimension; a view."""
    ndim = input.array.ndim
    dim1, dim2 = normal_dim(dim1, ndim), normal_dim(dim2, ndim)
    if dim1 == dim2:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    return diagonal_of(input, offset=offset, dim1=dim1, dim2=dim2)


def diag(input, diagonal=0):
    """The diagonal of a matrix, or the matrix with a vector on its diagonal."""
    if input.array.ndim == 2:
        return diagonal_of(input, offset=diagonal, dim1=0, dim2=1)
    if input.array.ndim != 1:
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {input.array.ndim}D")
    n = input.array.shape[0] + E_abs(diagonal)
    return diagonal_scatter(input, shape=(n, n), offset=diagonal, dim1=0, dim2=1)


E_abs = abs


def _matrices(function, input):
    if input.array.ndim < 2:
        raise RuntimeError(f"{function}: input tensor must have at least 2 dimensions")
    return input


def tril(input, diagonal=0):
    """The lower triangle of the matrices: what lies above diagonal number `diagonal` is 0."""
    return lower(_matrices("tril", input), diagonal=diagonal)


def triu(input, diagonal=0):
    """The upper triangle of the matrices: what lies below diagonal number `diagonal` is 0."""
    return upper(_matrices("triu", input), diagonal=diagonal)


def tril_(input, diagonal=0):
    """`tril` in place."""
    return lower.inplace(_matrices("tril_", input), diagonal=diagonal)


def triu_(input, diagonal=0):
    """`triu` in place."""
    return upper.inplace(_matrices("triu_", input), diagonal=diagonal)


def unfold(input, dimension, size, step):
    """Windows of `size` every `step` along `dimension`, the window as new last dimension; a
    view.
    """
    dim = normal_dim(dimension, input.array.ndim)
    if not 0 < size <= input.array.shape[dim] or step < 1:
        raise RuntimeError(
            f"unfold: size {size} and step {step} do not fit dimension {dim} of length "
            f"{input.array.shape[dim]}"
        )
    return windows(input, dim=dim, size=size, step=step)


def _joinable(function, tensors):
    if not isinstance(tensors, (tuple, list)):
        raise TypeError(
            f"{function}(): argument 'tensors' (position 1) must be tuple of Tensors, not "
            f"{type(tensors).__name__}"
        )
    if not tensors:
        error = ValueError if function == "cat" else RuntimeError
        raise error(f"{function}(): expected a non-empty list of Tensors")
    for i, x in enumerate(tensors):
        if not is_tensor(x):
            raise TypeError(
                f"expected Tensor as element {i} in argument 0, but got {type(x).__name__}"
            )
    dtypes = {x.array.dtype for x in tensors}
    if len(dtypes) > 1:
        common = E.result_dtype([x.array for x in tensors])
        tensors = [x if x.array.dtype == common else E.cast(x, dtype=common) for x in tensors]
    return tensors


@aliases
def cat(tensors, dim=0):
    """The tensors after one another along `dim`. Empty 1-d tensors are skipped, as PyTorch does."""
    tensors = _joinable("cat", tensors)
    full = [x for x in tensors if x.array.shape != (0,)] or tensors[:1]
    shape = full[0].array.shape
    if not shape:
        raise RuntimeError("zero-dimensional tensor (at position 0) cannot be concatenated")
    dim = normal_dim(dim, len(shape))
    for i, x in enumerate(full):
        other = x.array.shape
        if len(other) != len(shape):
            raise RuntimeError(
                f"Tensors must have same number of dimensions: got {len(shape)} and {len(other)}"
            )
        for d in range(len(shape)):
            if d != dim and other[d] != shape[d]:
                raise RuntimeError(
                    f"Sizes of tensors must match except in dimension {dim}. Expected size "
                    f"{shape[d]} but got "
                    f"size {other[d]} for tensor number {i} in the list."
                )
    return concatenate(*full, dim=dim)


concat = cat


@aliases
def stack(tensors, dim=0):
    """The tensors, of one shape, side by side along a new dimension."""
    tensors = _joinable("stack", tensors)
    shape = tensors[0].array.shape
    for i, x in enumerate(tensors):
        if x.array.shape != shape:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(shape)} at entry 0 and "
                f"{list(x.array.shape)} at entry {i}"
            )
    return stack_along(*tensors, dim=normal_dim(dim, len(shape) + 1))


def hstack(tensors):
    """cat along dimension 1, or 0 for vectors."""
    tensors = [x.reshape(1) if x.array.ndim == 0 else x for x in tensors]
    return cat(tensors, 0 if tensors[0].array.ndim == 1 else 1)


def vstack(tensors):
    """cat along dimension 0 of at least two-dimensional tensors."""
    return cat([x.reshape(1, -1) if x.array.ndim < 2 else x for x in tensors], 0)


@aliases
def repeat(input, *sizes_):
    """`input` copied sizes[i] times along dimension i; more sizes than dimensions add leading
    ones.
    """
    counts = sizes("repeat", sizes_, "repeats")
    shape = input.array.shape
    extra = len(counts) - len(shape)
    if extra < 0:
        raise RuntimeError(
            "Number of dimensions of repeat dims can not be smaller than number of dimensions of "
            "tensor"
        )
    if any(n < 0 for n in counts):
        raise RuntimeError(f"repeat: counts must not be negative, got {list(counts)}")
    shape = (1,) * extra + shape
    spaced = reshape_to(input, shape=tuple([k for n in shape for k in (1, n)]))
    spread_out = expand_to(spaced, shape=tuple([k for c, n in zip(counts, shape) for k in (c, n)]))
    return reshape_to(spread_out, shape=tuple([c * n for c, n in zip(counts, shape)]))


def tile(input, *dims):
    """`repeat`, but missing leading counts are 1."""
    dims = sizes("tile", dims, "dims")
    return repeat(input, (1,) * (input.array.ndim - len(dims)) + dims)


@aliases
def repeat_interleave(input, repeats, dim=None):
    """Each element (slice along `dim`) `repeats` times in a row; `repeats` may be a tensor of
    counts.
    """
    if dim is None:
        input, dim = reshape(input, -1), 0
    dim = normal_dim(dim, input.array.ndim)
    counts = repeats.array if is_tensor(repeats) else np.asarray(repeats)
    if counts.size != 1 and counts.shape != (input.array.shape[dim],):
        raise RuntimeError("repeats must have the same size as input along dim")
    if (counts < 0).any():
        raise RuntimeError("repeats can not be negative")
    index = np.repeat(np.arange(input.array.shape[dim]), counts)
    return input.index_select(dim, input.new_tensor(index, dtype=index.dtype))


def flip(input, *dims, **named):
    """The order reversed along `dims`: `flip(x, 0, 1)` or `flip(x, dims=(0, 1))`; a copy."""
    dims = dims or (named.pop("dims"),)
    if named:
        raise TypeError(f"flip() got an unexpected keyword argument {next(iter(named))!r}")
    dims = dims[0] if len(dims) == 1 and isinstance(dims[0], (tuple, list)) else dims
    return flip_along(input, dims=normal_dims(tuple(dims), input.array.ndim) if dims else ())


def fliplr(input):
    """Columns in reverse order."""
    return flip(input, 1)


def flipud(input):
    """Rows in reverse order."""
    return flip(input, 0)


def roll(input, shifts, dims=None):
    """Elements moved cyclically by `shifts` along `dims`; flattened first where dims is None."""
    shifts = tuple(shifts) if isinstance(shifts, (tuple, list)) else (shifts,)
    if dims is None or dims == ():
        return reshape_to(
            roll_along(reshape_to(input, shape=(-1,)), shifts=shifts, dims=(0,)),
            shape=input.array.shape,
        )
    dims = tuple(dims) if isinstance(dims, (tuple, list)) else (dims,)
    if len(shifts) != len(dims):
        raise RuntimeError(
            f"shifts and dimensions must align. shifts: {len(shifts)}, dims:{len(dims)}"
        )
    return roll_along(
        input, shifts=shifts, dims=tuple([normal_dim(d, input.array.ndim) for d in dims])
    )


def pad(input, pad, mode="constant", value=None):
    """Padding given as (before, after) pairs from the last dimension; modes constant, reflect,
    replicate, circular.
    """
    tensor_argument("pad", "input", input)
    pairs = sizes("pad", (tuple(pad),), "pad")
    ndim = input.array.ndim
    if len(pairs) % 2 or len(pairs) > 2 * ndim:
        raise RuntimeError(
            f"pad: expected pairs for at most {ndim} dimensions, got {len(pairs)} numbers: "
            f"{list(pairs)}"
        )
    widths = [(0, 0)] * ndim
    for i in range(len(pairs) // 2):
        widths[-1 - i] = (pairs[2 * i], pairs[2 * i + 1])
    if any(n + a + b < 0 for n, (a, b) in zip(input.array.shape, widths)):
        raise RuntimeError(
            f"The input size {list(input.array.shape)}, plus negative padding {list(pairs)}, "
            f"resulted in a "
            f"negative output size"
        )
    if mode == "constant":
        return pad_with(input, widths=tuple(widths), value=0 if value is None else value)
    names = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}
    if mode not in names:
        raise NotImplementedError(
            f"pad: mode {mode!r} is not supported; expected constant, reflect, replicate or "
            f"circular"
        )
    for d, (a, b) in enumerate(widths):
        if a or b:
            n = input.array.shape[d]
            if mode == "reflect" and max(a, b) >= n:
                raise RuntimeError(
                    f"Padding size should be less than the corresponding input dimension, but "
                    f"got: padding "
                    f"({a}, {b}) at dimension {d} of input {list(input.array.shape)}"
                )
            index = np.pad(np.arange(n), (a, b), names[mode])
            input = input.index_select(d, input.new_tensor(index, dtype=index.dtype))
    return input


def meshgrid(*tensors, indexing="ij"):
    """Coordinate grids of vectors; indexing 'ij' (rows first) or 'xy'."""
    tensors = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)) else tensors
    if indexing not in ("ij", "xy"):
        raise RuntimeError(
            f'meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}'
        )
    swapped = indexing == "xy" and len(tensors) >= 2
    if swapped:
        tensors = (tensors[1], tensors[0], *tensors[2:])
    shape = tuple([x.array.size for x in tensors])
    grids = [
        expand_to(reshape_to(x, shape=(1,) * i + (-1,) + (1,) * (len(shape) - i - 1)), shape=shape)
        for i, x in enumerate(tensors)
    ]
    if swapped:
        grids[:2] = grids[1], grids[0]
    return tuple(grids)


def contiguous(input):
    """`input` itself when its memory is in row-major order, else a copy that is."""
    return input if input.array.flags.c_contiguous else copy_in_order(input)


@E.elementwise(promote=False, node_name="Clone")
def copy_in_order(x):
    """A row-major copy."""
    return np.array(x, order="C")


copy_in_order.vjp(x=lambda g: g)


def atleast_1d(input):
    """At least one dimension."""
    return input if input.array.ndim else reshape(input, 1)


def numel(input):
    """Number of elements."""
    return input.array.size


swapaxes = swapdims = transpose
