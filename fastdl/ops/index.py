"""Indexing: x[...] and x[...] = v in all forms, index_select and its kin, take and put, masks,
nonzero.
"""

import numpy as np

from fastdl import backends
from fastdl._engine import shortcut, tensor_of
from fastdl.ops import elementwise as E
from fastdl.ops import shape as S
from fastdl.ops.core import (
    aliases,
    is_tensor,
    legacy_name,
    mismatch,
    normal_dim,
    primitive,
    takes_out,
    tensor_argument,
)
from fastdl.ops.scatter import (
    as_new,
    gather,
    gather_along,
    in_place,
    scatter_reduce,
    scatter_reduce_,
)
from fastdl.ops.strided import laid_over, memory_of, offset_of
from fastdl.ops.subscript import out_of_range, plan

__all__ = [
    "argwhere",
    "index_add",
    "index_copy",
    "index_fill",
    "index_put",
    "index_put_",
    "index_reduce",
    "index_select",
    "masked_scatter",
    "masked_select",
    "nonzero",
    "nonzero_static",
    "select_scatter",
    "take",
    "take_along_dim",
]

# ---- primitives -------------------------------------------------------------------------------


def _single(index):
    """(dim, array) if an index has one int array beside full slices; None for others."""
    found = None
    for dim, item in enumerate(index):
        if hasattr(item, "dtype"):
            if found is not None or item.dtype.kind == "b":
                return None
            found = dim, item
        elif item is Ellipsis:
            return found
        elif item != slice(None):
            return None
    return found


@primitive(node_name="Index", kernel="take", moves=True)
def take_at(x, *, index):
    """x[index] for an advanced index (a tuple with integer or bool arrays); a row-major copy."""
    alone = _single(index)
    if alone is not None:
        return x.take(alone[1], alone[0])  # twice as fast
    return np.asarray(x[index], order="C")


def _add_into(out, x, source, *, index):
    sum_at = backends.cpu.KERNELS["put_sum"]
    if out.dtype.char not in "fd" or sum_at(out, source, index=index, out=out) is NotImplemented:
        np.add.at(out, index, source)


@primitive(node_name="IndexPut")
def add_at(x, *, shape, index):
    """Zeros of `shape` with x added at [index]; repeated places add up."""
    result = np.zeros(shape, x.dtype)
    if all(not hasattr(i, "dtype") or i.dtype.kind == "b" for i in index):
        result[index] = x  # no place repeats
    else:
        _add_into(result, None, x, index=index)
    return result


take_at.vjp(x=lambda g, x_shape, index: add_at(g, shape=x_shape, index=index))
add_at.vjp(x=lambda g, index: take_at(g, index=index))


def _put_into(out, x, value, *, index, view=...):
    place = out if view is ... else out[view]
    if any(isinstance(i, np.ndarray) for i in index):
        if (
            0 in place.strides and place.size
        ):  # NumPy gives no array to write to: the memory itself does
            place = writable(place)
        place[index] = value
    else:
        place = place[index]
        if not place.flags.writeable and place.size:
            place = writable(place)
        place[...] = value


def writable(view):
    """A part of an expanded array as one that may be written to, if no element repeats."""
    if any(n > 1 and s == 0 for n, s in zip(view.shape, view.strides)):
        raise RuntimeError(
            "unsupported operation: more than one element of the written-to tensor refers to a "
            "single memory location. Please clone() the tensor before performing the operation."
        )
    memory = memory_of(view)
    if not memory.flags.writeable:
        raise RuntimeError("the tensor looks at the memory of a read-only array: clone() it first")
    steps = [s // view.itemsize for s in view.strides]
    return laid_over(memory, view.shape, steps, offset_of(view))


@primitive(node_name="CopySlices", into=_put_into, half=True, kernel="put", moves=True)
def put(x, value, *, index, view=...):
    """x with `value`, broadcast, at [view][index]; `view` is a basic index."""
    result = x.copy()
    result[view][index] = value
    return result


def slice_or_take(x, index, view=...):
    """x[view][index] for indices from `normal_index`: a view when both are basic, else a copy."""
    if view is not Ellipsis:
        x = S.slice_of(x, index=view)
    if any(isinstance(i, np.ndarray) for i in index):
        return take_at(x, index=index)
    return S.slice_of(x, index=index)


put.vjp(
    x=lambda g, index, view: put(g, 0.0, index=index, view=view),
    value=lambda g, value_shape, index, view: S.sum_to(slice_or_take(g, index, view), value_shape),
)


# ---- subscripts -------------------------------------------------------------------------------


def getitem(input, index):
    """`input[index]`."""
    view, rest = plan(input.array, index)
    if rest is None:
        return S.slice_of(input, index=view)
    try:
        return slice_or_take(input, rest, view)
    except IndexError as error:
        raise out_of_range(input.array, view, rest) or error from None


def setitem(input, index, value):
    """`input[index] = value`."""
    if is_tensor(value):
        given = value.array
    elif isinstance(value, (int, float, complex, np.ndarray, np.generic)):
        given = value
        if np.iscomplexobj(value) and input.array.dtype.kind != "c":
            raise RuntimeError(
                f"value cannot be converted to type {input.array.dtype} without overflow"
            )
    else:
        raise TypeError(f"can't assign a {type(value).__name__} to a {input.type()}")
    if index is True or index is False:  # all of it, or nothing; no dtype is asked for
        if not index:
            return
        index = None
    view, rest = plan(input.array, index)
    if not input.array.flags.writeable and not (
        input.requires_grad or (is_tensor(value) and value.requires_grad)
    ):  # an expanded tensor, of which a part may hold each element once
        index = (view, ...) if rest is None else (rest, view)
        _put_into(input.array, None, given, index=index[0], view=index[1])
        input._bump()
        return
    try:
        if rest is None:
            put.inplace(input, value, index=view)
            return
        if is_tensor(value) and given.dtype != input.array.dtype:
            masks = [i.dtype.kind == "b" for i in rest if isinstance(i, np.ndarray)]
            if given.size != 1 or masks != [True]:  # PyTorch fills one mask with any number
                raise RuntimeError(
                    "Index put requires the source and destination dtypes match, got "
                    f"{legacy_name(input.array.dtype)} for the destination and "
                    f"{legacy_name(given.dtype)} for the source."
                )
        put.inplace(input, value, index=rest, view=view)
    except IndexError as error:
        raise (rest and out_of_range(input.array, view, rest)) or error from None
    except (RuntimeError, TypeError, ValueError) as error:
        words = ("broadcast", "size of tensor", "boolean array indexing assignment")
        if not any(word in str(error) for word in words):
            raise
        target = input.array[view] if rest is None else input.array[view][rest]
        raise _unfit(np.shape(given), target.shape, rest is not None) from None


def _unfit(shape, target, advanced):
    """The error for a value of `shape` that does not broadcast to `target`."""
    if advanced:
        return RuntimeError(
            f"shape mismatch: value tensor of shape {list(shape)} cannot be broadcast to indexing "
            f"result of shape {list(target)}"
        )
    while len(shape) > len(target) and shape[0] == 1:
        shape = shape[1:]
    if len(shape) > len(target):
        return RuntimeError(
            f"expand({list(shape)}, size={list(target)}): the number of sizes provided "
            f"({len(target)}) must be greater or equal to the number of dimensions in the tensor "
            f"({len(shape)})"
        )
    lead = len(target) - len(shape)
    wrong = next(d for d, n in enumerate(shape) if n not in (1, target[lead + d]))
    return RuntimeError(
        f"The expanded size of the tensor ({target[lead + wrong]}) must match the existing size "
        f"({shape[wrong]}) at non-singleton dimension {lead + wrong}.  Target sizes: "
        f"{list(target)}.  Tensor sizes: {list(shape)}"
    )


# ---- slices along a dimension -----------------------------------------------------------------


def _along_index(function, input, dim, index, least=0):
    """(index of NumPy, dim) for places along `dim`, of which negative ones count from the end where
    `least` is -1."""
    if not is_tensor(index):
        raise TypeError(
            f"{function}(): argument 'index' must be Tensor, not {type(index).__name__}"
        )
    dim = normal_dim(dim, input.array.ndim)
    if index.array.ndim > 1:
        raise IndexError(f"{function}(): Index is supposed to be a vector")
    if index.array.dtype.kind != "i" or index.array.dtype.itemsize < 4:
        raise RuntimeError(f"{function}(): Expected dtype int32 or int64 for index")
    n = input.array.shape[dim] if input.array.ndim else 1
    where = index.array.reshape(-1).astype(np.int64, copy=False)
    if not backends.of(where).within(where, least * n, n):
        wrong = where[(where < least * n) | (where >= n)][0]
        error = RuntimeError if function in ("index_add", "index_reduce") else IndexError
        raise error(
            f"{function}(): index {wrong} is out of bounds for dimension {dim} with size {n}"
        )
    return (*(slice(None),) * dim, where), dim


def _vector(input):
    """A 0-d operand as a vector of one element."""
    return input if input.array.ndim else S.reshape_to(input, shape=(1,))


@shortcut(take_at)
@takes_out
@aliases
def index_select(input, dim, index):
    """Slices of `input` along `dim` in the order of `index` (int64 or int32, a vector)."""
    where, dim = _along_index("index_select", input, dim, index)
    if input.array.ndim:
        return take_at(input, index=where)
    if index.array.size != 1:
        raise RuntimeError(
            "index_select(): Index to scalar can have only 1 value, got "
            f"{index.array.size} value(s)"
        )
    return S.reshape_to(input, shape=())


@primitive(node_name="IndexAdd", into=_add_into, kernel="put_sum")
def index_sum(x, source, *, index):
    """x with source added at [index]; repeated places add up."""
    result = x.copy()
    np.add.at(result, index, source)
    return result


index_sum.vjp(
    x=lambda g: g,
    source=lambda g, source_shape, index: S.sum_to(take_at(g, index=index), source_shape),
)


def _sources(function, input, dim, index, source):
    """`source` as slices for the places of `index` along `dim`; errors where it does not fit."""
    if source.array.dtype != input.array.dtype:
        raise RuntimeError(
            f"{function}_(): self ({legacy_name(input.array.dtype)}) and source "
            f"({legacy_name(source.array.dtype)}) must have the same scalar type"
        )
    error = IndexError if function == "index_copy" else RuntimeError
    if max(source.array.ndim, 1) != max(input.array.ndim, 1):
        raise error(
            f"{function}_(): self and source must have the same number of dimensions, got "
            f"{input.array.ndim} and {source.array.ndim}"
        )
    expected = list(input.array.shape) or [1]
    expected[dim] = index.array.size
    if list(source.array.shape or (1,)) != expected:
        raise error(
            f"{function}_(): Number of indices ({index.array.size}) should be equal to "
            f"source.size(dim), and the other sizes to those of self: expected a source of shape "
            f"{expected}, got {list(source.array.shape)}"
        )
    return _vector(source)


def _on_slices(run, operation, input, value, index):
    """`operation` on the slices that `index` names, of 0-d tensors as of vectors."""
    if input.array.ndim:
        return run(operation)(input, value, index=index)
    made = S.reshape_to(operation(_vector(input), value, index=index), shape=())
    return made if run is as_new else E.fill.inplace(input, made)


def _index_add(run, input, dim, index, source, alpha):
    where, dim = _along_index("index_add", input, dim, index)
    source = _sources("index_add", input, dim, index, source)
    return _on_slices(run, index_sum, input, source if alpha == 1 else source * alpha, where)


@takes_out
@aliases
def index_add(input, dim, index, source, *, alpha=1):
    """`input` with slices of `source` (times alpha) added along `dim` at `index`."""
    return _index_add(as_new, input, dim, index, source, alpha)


@aliases
def index_add_(input, dim, index, source, *, alpha=1):
    """`index_add` in place."""
    return _index_add(in_place, input, dim, index, source, alpha)


def _index_copy(run, input, dim, index, source):
    where, dim = _along_index("index_copy", input, dim, index)
    return _on_slices(run, put, input, _sources("index_copy", input, dim, index, source), where)


@takes_out
@aliases
def index_copy(input, dim, index, source):
    """`input` with slices of `source` in place of those at `index` along `dim`."""
    return _index_copy(as_new, input, dim, index, source)


@aliases
def index_copy_(input, dim, index, source):
    """`index_copy` in place."""
    return _index_copy(in_place, input, dim, index, source)


def _index_fill(run, input, dim, index, value):
    where, _ = _along_index("index_fill", input, dim, index, least=-1)
    if is_tensor(value) and value.array.ndim:
        raise RuntimeError(
            "index_fill_ only supports a 0-dimensional value tensor, but got tensor with "
            f"{value.array.ndim} dimension(s)."
        )
    return _on_slices(run, put, input, value, where)


@aliases
def index_fill(input, dim, index, value):
    """`value`, a number or 0-d tensor, along `dim` at `index`."""
    return _index_fill(as_new, input, dim, index, value)


@aliases
def index_fill_(input, dim, index, value):
    """`index_fill` in place."""
    return _index_fill(in_place, input, dim, index, value)


def _index_reduce(reducing, input, dim, index, source, reduce, include_self):
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise RuntimeError(
            "index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got "
            f"{reduce}."
        )
    _, dim = _along_index("index_reduce", input, dim, index)
    source = _sources("index_reduce", input, dim, index, source)
    line = [1] * source.array.ndim
    line[dim] = -1
    places = S.expand_to(S.reshape_to(index, shape=tuple(line)), shape=source.array.shape)
    return reducing(input, dim, places, source, reduce, include_self=include_self)


@aliases
def index_reduce(input, dim, index, source, reduce, *, include_self=True):
    """`input` with the 'prod', 'mean', 'amax' or 'amin' of the slices that `source` brings to
    `index` along `dim`, and of the slice there unless include_self=False."""
    return _index_reduce(scatter_reduce, input, dim, index, source, reduce, include_self)


@aliases
def index_reduce_(input, dim, index, source, reduce, *, include_self=True):
    """`index_reduce` in place."""
    return _index_reduce(scatter_reduce_, input, dim, index, source, reduce, include_self)


# ---- elements ---------------------------------------------------------------------------------


def _index_put(run, input, indices, values, accumulate):
    if not isinstance(indices, (tuple, list)):
        raise TypeError(
            "index_put(): argument 'indices' (position 2) must be tuple of Tensors, not "
            f"{type(indices).__name__}"
        )
    for i, item in enumerate(indices):
        if not is_tensor(item):
            raise TypeError(
                f"expected Tensor as element {i} in argument 1, but got {type(item).__name__}"
            )
    arrays = [item.array.reshape(1) if not item.array.ndim else item.array for item in indices]
    _, where = plan(input.array, tuple(arrays))
    if values.array.dtype != input.array.dtype:
        raise RuntimeError(
            "Index put requires the source and destination dtypes match, got "
            f"{legacy_name(input.array.dtype)} for the destination and "
            f"{legacy_name(values.array.dtype)} for the source."
        )
    try:
        return run(index_sum if accumulate else put)(input, values, index=where)
    except IndexError as error:
        raise out_of_range(input.array, ..., where) or error from None
    except ValueError:
        raise _unfit(values.array.shape, input.array[where].shape, True) from None


def index_put(input, indices, values, accumulate=False):
    """`input` with `values` at [indices], a tuple of tensors; `accumulate`: added there."""
    return _index_put(as_new, input, indices, values, accumulate)


def index_put_(input, indices, values, accumulate=False):
    """`input[indices] = values`, or += with repeated places adding up."""
    return _index_put(in_place, input, indices, values, accumulate)


def _flat_places(function, input, index):
    if not is_tensor(index) or index.array.dtype != np.int64:
        found = legacy_name(index.array.dtype) if is_tensor(index) else type(index).__name__
        raise RuntimeError(f"{function}(): Expected a long tensor for index, but got {found}")
    n, places = input.array.size, index.array
    if not backends.of(places).within(places, -n, n):
        wrong = places[(places < -n) | (places >= n)].flat[0]
        raise IndexError(
            f"out of range: tried to access index {wrong} on a tensor of {n} elements."
        )
    return places


@takes_out
def take(input, index):
    """Elements of the flattened `input` at `index` (int64), in the shape of `index`."""
    places = _flat_places("take", input, index)
    return take_at(S.reshape_to(input, shape=(-1,)), index=(places,))


def put_at(input, index, source, accumulate=False):
    """`input` with `source` at the places `index` names in its flattened elements; `accumulate`:
    added there."""
    places = _flat_places("put_", input, index)
    if source.array.dtype != input.array.dtype:
        raise RuntimeError(
            f"put_(): self and source expected to have the same dtype, but got self.dtype = "
            f"{legacy_name(input.array.dtype)} and source.dtype = {legacy_name(source.array.dtype)}"
        )
    if source.array.size != places.size:
        raise IndexError(
            "put_(): Expected source and index to have the same number of elements, but got "
            f"source.numel() = {source.array.size}, index.numel() = {places.size}"
        )
    flat = S.reshape_to(input, shape=(-1,))
    values = S.reshape_to(source, shape=(-1,))
    made = (index_sum if accumulate else put)(flat, values, index=(places.reshape(-1),))
    return S.reshape_to(made, shape=input.array.shape)


def put_(input, index, source, accumulate=False):
    """`put` in place."""
    return E.fill.inplace(input, put_at(input, index, source, accumulate))


@shortcut(gather_along)
@takes_out
@aliases
def take_along_dim(input, indices, dim=None):
    """Elements that `indices`, broadcast against `input`, names along `dim` (None: flattened)."""
    if indices.array.dtype != np.int64:
        raise RuntimeError(
            "take_along_dim(): dtype of indices should be Long but got "
            f"{legacy_name(indices.array.dtype)}"
        )
    if dim is None:
        return gather(S.reshape_to(input, shape=(-1,)), 0, S.reshape_to(indices, shape=(-1,)))
    if input.array.ndim != indices.array.ndim:
        raise RuntimeError(
            "take_along_dim(): input and indices should have the same number of dimensions, but "
            f"got {input.array.ndim} dimensions for input, and {indices.array.ndim} dimensions for "
            "indices"
        )
    dim = normal_dim(dim, input.array.ndim)
    own, other = list(input.array.shape), list(indices.array.shape)
    try:
        shape = np.broadcast_shapes(
            tuple(own[:dim] + own[dim + 1 :]), tuple(other[:dim] + other[dim + 1 :])
        )
    except ValueError:
        own[dim : dim + 1] = other[dim : dim + 1] = ()
        raise RuntimeError(mismatch([tuple(own), tuple(other)])) from None
    own = (*shape[:dim], own[dim], *shape[dim:])
    other = (*shape[:dim], other[dim], *shape[dim:])
    return gather(S.expand_to(input, shape=own), dim, S.expand_to(indices, shape=other))


# ---- masks ------------------------------------------------------------------------------------


def _common_shape(*tensors):
    try:
        return np.broadcast_shapes(*[x.array.shape for x in tensors])
    except ValueError:
        raise RuntimeError(mismatch([x.array.shape for x in tensors])) from None


@takes_out
def masked_select(input, mask):
    """Elements where `mask`, broadcast against `input`, is true; one dimension."""
    if mask.array.dtype.kind != "b":
        raise RuntimeError("masked_select: expected BoolTensor for mask")
    if input.array.shape == mask.array.shape and mask.array.ndim:
        return take_at(input, index=(mask.array,))
    shape = _common_shape(input, mask)
    input = S.expand_to(input, shape=shape)
    return take_at(input, index=(np.broadcast_to(mask.array, shape),))


def _masked_scatter(run, input, mask, source):
    if mask.array.dtype.kind != "b":
        raise RuntimeError(
            "masked_scatter_ only supports boolean masks, but got mask with dtype "
            f"{legacy_name(mask.array.dtype)}"
        )
    if source.array.dtype != input.array.dtype:
        raise RuntimeError(
            "masked_scatter: expected self and source to have same dtypes but got "
            f"{legacy_name(input.array.dtype)} and {legacy_name(source.array.dtype)}"
        )
    if run is as_new:
        input = S.expand_to(input, shape=_common_shape(input, mask))
    try:
        mask = np.broadcast_to(mask.array, input.array.shape)
    except ValueError:
        raise RuntimeError(mismatch([input.array.shape, mask.array.shape])) from None
    count = int(mask.sum())
    if source.array.size < count:
        raise RuntimeError("Number of elements of source < number of ones in mask")
    flat = S.reshape_to(source, shape=(-1,))
    return run(put)(input, S.narrow(flat, 0, 0, count), index=(mask,))


def masked_scatter(input, mask, source):
    """`input` with elements of `source`, in order, where `mask` is true."""
    return _masked_scatter(as_new, input, mask, source)


def masked_scatter_(input, mask, source):
    """`masked_scatter` in place."""
    return _masked_scatter(in_place, input, mask, source)


@takes_out
def nonzero(input, *, as_tuple=False):
    """Places of the non-zeros: (count, ndim) int64, in memory column by column as PyTorch's; or a
    tuple of one vector per dimension."""
    x = tensor_argument("nonzero", "input", input).array
    if as_tuple:
        x = x if x.ndim else x[None]
        return tuple([tensor_of(a) for a in (x.nonzero() if x.size < FEW else _places(x))])
    if x.ndim == 0:
        return tensor_of(np.zeros((1 if x else 0, 0), np.int64))
    if x.ndim > 1:
        return tensor_of((np.array(x.nonzero()) if x.size < FEW else _places(x)).T)
    return tensor_of(x.nonzero()[0][:, None])


FEW = 256  # elements, below which NumPy's own places of several dimensions are quicker


def _places(x):
    """One row per dimension for `nonzero`: NumPy is quick with one dimension, and with bools."""
    flat = (x if x.dtype.kind == "b" else x != 0).reshape(-1).nonzero()[0]
    places = np.empty((x.ndim, flat.size), np.int64)
    for d in range(x.ndim - 1, 0, -1):
        flat = np.divmod(flat, x.shape[d], out=(places[d - 1], places[d]))[0]
    if x.ndim == 1:
        places[0] = flat
    return places


def argwhere(input):
    """Places of the non-zeros: (count, ndim) int64."""
    return nonzero(input)


@takes_out
def nonzero_static(input, *, size, fill_value=-1):
    """The first `size` rows of `nonzero`, filled up with `fill_value`."""
    if size < 0:
        raise RuntimeError("nonzero_static: 'size' must be an non-negative integer")
    found = nonzero(input).array[:size]
    filled = np.full((size, input.array.ndim), fill_value, np.int64)
    filled[: len(found)] = found
    return tensor_of(filled)


# ---- parts ------------------------------------------------------------------------------------


def _replaced(input, src, index):
    """A copy of `input` with `src` at a basic index, whose shape it must have."""
    shape = input.array[index].shape
    if src.array.shape != shape:
        raise RuntimeError(
            "expected src to have a size equal to the slice of self. src size = "
            f"{list(src.array.shape)}, slice size = {list(shape)}"
        )
    return put(input, src, index=index)


def select_scatter(input, src, dim, index):
    """A copy of `input` with `src` in place of `select(input, dim, index)`."""
    S.select(input, dim, index)
    dim = normal_dim(dim, input.array.ndim)
    return _replaced(input, src, (*(slice(None),) * dim, int(index), ...))


def slice_replaced(input, src, dim=0, start=None, end=None, step=1):
    """A copy of `input` with `src` in place of start:end:step of dimension `dim`."""
    dim = normal_dim(dim, input.array.ndim)
    if step <= 0:
        raise RuntimeError("slice step must be positive")
    return _replaced(input, src, (*(slice(None),) * dim, slice(start, end, step), ...))
