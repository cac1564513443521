"""Several tensors or copies in one: cat, stack, unbind, repeat, tile, pad, flip, roll, meshgrid."""

import numpy as np

from fastdl import _dtype, backends
from fastdl._engine import shortcut, tensor_of
from fastdl.ops import elementwise as E
from fastdl.ops.core import (
    aliases,
    is_tensor,
    normal_dim,
    normal_dims,
    primitive,
    result_dtype,
    sizes,
    takes_out,
    tensor_argument,
)
from fastdl.ops.core import view as view_of
from fastdl.ops.shape import (
    atleast_1d,
    atleast_2d,
    atleast_3d,
    cut,
    expand,
    named_sizes,
    narrow,
    reshape,
    reshape_to,
    slice_of,
    unsqueeze,
)

__all__ = [
    "cat",
    "column_stack",
    "concat",
    "constant_pad_nd",
    "diff",
    "dstack",
    "flip",
    "fliplr",
    "flipud",
    "hstack",
    "pad",
    "repeat_interleave",
    "roll",
    "row_stack",
    "stack",
    "tile",
    "unbind",
    "vstack",
]


@primitive(node_name="Cat", kernel="cat", moves=True)
def concatenate(*xs, dim):
    """The arrays after one another along `dim`."""
    return backends.of(xs[0]).concatenate(xs, dim)


def _cat_parts(g, xs_shape, dim, needs):
    parts, start = [], 0
    for shape, needed in zip(xs_shape, needs):
        stop = start + shape[dim]
        index = (*(slice(None),) * dim, slice(start, stop), ...)
        parts.append(slice_of(g, index=index) if needed else None)
        start = stop
    return tuple(parts)


concatenate.vjp_joint(_cat_parts)


@primitive(node_name="Stack", kernel="stack", moves=True)
def stack_along(*xs, dim):
    """The arrays side by side along a new dimension `dim`."""
    return backends.of(xs[0]).stack(xs, dim)


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
    at = (slice(None),) * dim
    return tuple([x[(*at, i, ...)] for i in range(x.shape[dim])])


def _complete(g, shapes):
    """The gradients of the parts of a tensor, zeros of the given shapes for those not used."""
    if is_tensor(g):  # of the only part
        return (g,)
    dtype = next(part.array.dtype for part in g if part is not None)
    return [
        tensor_of(np.zeros(shape, dtype)) if part is None else part
        for part, shape in zip(g, shapes)
    ]


def _restack(g, x_shape, dim):
    shape = x_shape[:dim] + x_shape[dim + 1 :]
    return stack_along(*_complete(g, (shape,) * x_shape[dim]), dim=dim)


def _rejoin(g, x_shape, dim, lengths):
    shapes = [(*x_shape[:dim], n, *x_shape[dim + 1 :]) for n in lengths]
    return concatenate(*_complete(g, shapes), dim=dim)


unstack.vjp(x=_restack)
cut.vjp(x=_rejoin)


@primitive(node_name="Flip", kernel="flip", moves=True)
def flip_along(x, *, dims):
    """x with the order reversed along `dims`."""
    steps = [slice(None)] * x.ndim
    for d in dims:
        steps[d] = slice(None, None, -1)
    turned = x[(*steps, ...)]  # with ...: an array of 0-d ones too
    if x.flags.c_contiguous or 0 in x.strides:
        return backends.of(x).copy(turned)
    return turned.copy(order="K")


flip_along.vjp(x=lambda g, dims: flip_along(g, dims=dims))


@primitive(node_name="Roll", kernel="roll", moves=True)
def roll_along(x, *, shifts, dims):
    """x moved cyclically by `shifts` along `dims`."""
    for shift, dim in zip(shifts, dims):
        n = x.shape[dim]
        cut = (n - shift) % n if n else 0
        before = (slice(None),) * dim
        parts = [x[(*before, slice(cut, None))], x[(*before, slice(0, cut))]]
        x = backends.of(x).concatenate(parts, dim)
    return x


roll_along.vjp(
    x=lambda g, shifts, dims: roll_along(g, shifts=tuple([-s for s in shifts]), dims=dims)
)


@primitive(node_name="ConstantPadNd", kernel="pad", moves=True)
def pad_with(x, *, widths, value):
    """x with `widths[i]` = (before, after) elements of `value` added; negative widths crop."""
    return backends.of(x).pad(x, widths, value)


pad_with.vjp(x=lambda g, widths: pad_with(g, widths=tuple([(-a, -b) for a, b in widths]), value=0))


@shortcut(unstack)
@aliases
def unbind(input, dim=0):
    """The slices along `dim`, a tuple of views."""
    if input.array.ndim == 0:
        raise IndexError("Dimension specified as 0 but tensor has no dimensions")
    return unstack(input, dim=normal_dim(dim, input.array.ndim))


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
        common = result_dtype([x.array for x in tensors])
        tensors = [x if x.array.dtype == common else E.cast(x, dtype=common) for x in tensors]
    return tensors


@shortcut(concatenate)
@takes_out(casts=True)
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
                    f"{shape[d]} but got size {other[d]} for tensor number {i} in the list."
                )
    return concatenate(*full, dim=dim)


concat = cat


@shortcut(stack_along)
@takes_out(casts=True)
@aliases
def stack(tensors, dim=0):
    """The tensors, of one shape, side by side along a new dimension."""
    tensors = _joinable("stack", tensors)
    shape = tensors[0].array.shape
    for i, x in enumerate(tensors):
        if x.array.shape != shape:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(shape)} at entry 0 "
                f"and {list(x.array.shape)} at entry {i}"
            )
    return stack_along(*tensors, dim=normal_dim(dim, len(shape) + 1))


def _raised(function, tensors, raising):
    """`tensors` with at least so many dimensions; TypeError or RuntimeError if there are none."""
    _joinable(function, tensors)
    return [raising(x) for x in tensors]


def _all_of(tensors, ndim):
    """Are all tensors of at least so many dimensions?"""
    return all(is_tensor(x) and x.array.ndim >= ndim for x in tensors)


@shortcut(concatenate)
@takes_out
def hstack(tensors):
    """cat along dimension 1, or 0 for vectors."""
    if isinstance(tensors, (tuple, list)) and tensors and _all_of(tensors, 1):
        return cat(tensors, 0 if tensors[0].array.ndim == 1 else 1)
    tensors = _raised("hstack", tensors, atleast_1d)
    return cat(tensors, 0 if tensors[0].array.ndim == 1 else 1)


@shortcut(concatenate)
@takes_out
def vstack(tensors):
    """cat along dimension 0 of at least two-dimensional tensors."""
    if isinstance(tensors, (tuple, list)) and tensors and _all_of(tensors, 1):
        shape = tensors[0].array.shape
        if len(shape) == 1 and all(x.array.shape == shape for x in tensors):
            return stack(tensors, 0)
        if _all_of(tensors, 2):
            return cat(tensors, 0)
    return cat(_raised("vstack", tensors, atleast_2d), 0)


row_stack = vstack


@takes_out
def dstack(tensors):
    """cat along dimension 2 of at least three-dimensional tensors."""
    return cat(_raised("dstack", tensors, atleast_3d), 2)


@takes_out
def column_stack(tensors):
    """cat along dimension 1, vectors as columns.

    >>> import fastdl
    >>> fastdl.column_stack((fastdl.tensor([1, 2]), fastdl.tensor([3, 4])))
    tensor([[1, 3],
            [2, 4]])
    """
    as_column = lambda x: reshape_to(x, shape=(-1, 1)) if x.array.ndim < 2 else x
    return cat(_raised("column_stack", tensors, as_column), 1)


@takes_out
@aliases
def diff(input, n=1, dim=-1, prepend=None, append=None):
    """Differences of neighbours along `dim`, taken `n` times, of `input` between `prepend` and
    `append`; of bools whether they differ."""
    if input.array.ndim == 0:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    if n < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    parts = [p for p in (prepend, input, append) if p is not None]
    if any(p.array.ndim != input.array.ndim for p in parts):
        raise RuntimeError("diff expects prepend or append to be the same dimension as input")
    found = cat(parts, dim) if len(parts) > 1 else input
    length = found.array.shape[normal_dim(dim, found.array.ndim)]
    for _ in range(min(n, length)):
        length -= 1
        after, before = narrow(found, dim, 1, length), narrow(found, dim, 0, length)
        found = after ^ before if found.array.dtype.kind == "b" else after - before
    return found


def _laid_out(expanded, counts):
    """A copy, contiguous also where nothing is repeated and a plain one would keep the layout."""
    if all(n == 1 for n in counts):
        return E.clone(expanded, memory_format=_dtype.contiguous_format)
    return E.clone(expanded)


@aliases
def repeat(input, *repeats, **named):
    """`input` copied repeats[i] times along dimension i; missing leading dimensions are added."""
    if named:
        repeats = named_sizes("repeat", repeats, named, "repeats")
    counts = sizes("repeat", repeats, "repeats")
    shape = input.array.shape
    extra = len(counts) - len(shape)
    if extra < 0:
        raise RuntimeError(
            "Number of dimensions of repeat dims can not be smaller than number of dimensions of "
            "tensor"
        )
    if any(n < 0 for n in counts):
        raise RuntimeError(
            f"Trying to create tensor with negative dimension {min(counts)}: {list(counts)}"
        )
    shape = (1,) * extra + shape
    spaced = reshape(input, tuple([k for n in shape for k in (1, n)]))
    spread_out = expand(spaced, tuple([k for c, n in zip(counts, shape) for k in (c, n)]))
    return reshape(_laid_out(spread_out, counts), tuple([c * n for c, n in zip(counts, shape)]))


def tile(input, *dims, **named):
    """`repeat`, but missing leading counts are 1."""
    if named:
        dims = named_sizes("tile", dims, named, "dims")
    dims = sizes("tile", dims, "dims")
    return repeat(input, (1,) * (input.array.ndim - len(dims)) + dims)


@aliases
def repeat_interleave(input=None, repeats=None, dim=None, *, output_size=None):
    """Each element (slice along `dim`) `repeats` times (a number, or a tensor of counts). Of a
    tensor of counts alone: each of 0, 1, 2 ... so many times. `output_size` is not needed.

    Errors: RuntimeError for negative counts or another number of them than of elements.
    """
    if input is None or repeats is None:
        repeats = input if repeats is None else repeats
        tensor_argument("repeat_interleave", "repeats", repeats)
        input = arange_of(repeats)
    counts = repeats.array if is_tensor(repeats) else np.asarray(repeats)
    if counts.dtype.kind not in "iu":
        raise NotImplementedError(f"repeat_interleave: counts must be int, not {counts.dtype}")
    if dim is None:
        input, dim = reshape(input, -1), 0
    dim = normal_dim(dim, input.array.ndim)
    if input.array.ndim == 0:
        input = reshape_to(input, shape=(1,))
    if isinstance(repeats, int) and repeats >= 0:
        shape = input.array.shape
        apart = expand(unsqueeze(input, dim + 1), (*shape[: dim + 1], repeats, *shape[dim + 1 :]))
        laid = _laid_out(apart, (repeats,))
        return reshape(laid, (*shape[:dim], shape[dim] * repeats, *shape[dim + 1 :]))
    if counts.size != 1 and counts.shape != (input.array.shape[dim],):
        raise RuntimeError(
            "repeats must have the same size as input along dim, but got repeats.size(0) = "
            f"{counts.size} and input.size({dim}) = {input.array.shape[dim]}"
        )
    if (counts < 0).any():
        raise RuntimeError("repeats can not be negative")
    index = np.repeat(np.arange(input.array.shape[dim]), counts.reshape(-1))
    return input.index_select(dim, input.new_tensor(index, dtype=index.dtype))


def arange_of(counts):
    """0, 1, 2 ... for each element of a vector."""
    if counts.array.ndim != 1:
        raise RuntimeError("repeat_interleave only accept 1D vector as repeat")
    return tensor_of(np.arange(counts.array.size))


@shortcut(flip_along)
def flip(input, *dims, **named):
    """The order reversed along `dims`: `flip(x, 0, 1)` or `flip(x, dims=(0, 1))`; a copy."""
    dims = dims or (named.pop("dims", ()),)
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


@shortcut(roll_along)
def roll(input, shifts, dims=None):
    """Elements moved cyclically by `shifts` along `dims`; flattened first where dims is None."""
    shifts = tuple(shifts) if isinstance(shifts, (tuple, list)) else (shifts,)
    if input.array.size == 0:
        return E.clone(input)
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
    if input.array.ndim == 0:
        raise IndexError(f"Dimension specified as {dims[0]} but tensor has no dimensions")
    dims = tuple([normal_dim(d, input.array.ndim) for d in dims])
    return roll_along(input, shifts=shifts, dims=dims)


def pad(input, pad, mode="constant", value=None):
    """Padding by (before, after) pairs, last dimension first; constant or from the edges."""
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
            "resulted in a negative output size"
        )
    if mode == "constant":
        return pad_with(input, widths=tuple(widths), value=0 if value is None else value)
    if mode not in _BEYOND:
        raise NotImplementedError(
            f"pad: mode {mode!r} is not supported; expected constant, reflect, replicate or "
            "circular"
        )
    for d, (a, b) in enumerate(widths):
        n = input.array.shape[d]
        if mode == "reflect" and max(a, b) >= n:
            raise RuntimeError(
                "Padding size should be less than the corresponding input dimension, but "
                f"got: padding ({a}, {b}) at dimension {d} of input {list(input.array.shape)}"
            )
        if a or b:
            input = _padded_along(input, d, a, b, _BEYOND[mode])
    return input


_padded = pad


def _padded_along(x, dim, before, after, beyond):
    """x with so many of its own elements before and behind along `dim`; less than 0 crops."""
    n = x.array.shape[dim]
    low, high = max(-before, 0), n + min(after, 0)
    parts = [narrow(x, dim, low, high - low)]
    if before > 0:
        places = beyond(np.arange(-before, 0), n, low, high)
        parts.insert(0, x.index_select(dim, tensor_of(places)))
    if after > 0:
        places = beyond(np.arange(n, n + after), n, low, high)
        parts.append(x.index_select(dim, tensor_of(places)))
    return cat(parts, dim)


_BEYOND = {  # of places outside n, from `low` to `high` of which are left: what stands there
    "reflect": lambda at, n, low, high: n - 1 - abs(n - 1 - abs(at)),
    "replicate": lambda at, n, low, high: (at > 0) * (n - 1),
    "circular": lambda at, n, low, high: low + (at - low) % (high - low),
}


def constant_pad_nd(input, pad, value=0):
    """Padding by (before, after) pairs of `value`, last dimension first."""
    return _padded(input, pad, "constant", value)
