"""Indexing: x[...] and x[...] = v in all forms, gather and scatter, index_select, masked_select,
nonzero.
"""

import operator

import numpy as np

from fastdl._engine import tensor_of
from fastdl.ops import shape as S
from fastdl.ops.core import aliases, is_tensor, normal_dim, primitive

__all__ = [
    "argwhere",
    "gather",
    "index_add",
    "index_fill",
    "index_select",
    "masked_scatter",
    "masked_select",
    "nonzero",
    "scatter",
    "scatter_add",
    "take",
    "take_along_dim",
]

# ---- primitives -------------------------------------------------------------------------------


@primitive(node_name="Index")
def take_at(x, *, index):
    """x[index] for an advanced index (a tuple with integer or bool arrays); a row-major copy."""
    if len(index) == 2 and index[1] is Ellipsis and x.ndim and index[0].dtype.kind == "i":
        return x.take(index[0], 0)  # rows: twice as fast
    return np.asarray(x[index], order="C")


@primitive(node_name="IndexPut")
def add_at(x, *, shape, index):
    """Zeros of `shape` with x added at [index]; repeated places add up."""
    result = np.zeros(shape, x.dtype)
    if all(not hasattr(i, "dtype") or i.dtype.kind == "b" for i in index):
        result[index] = x  # no place repeats
    else:
        np.add.at(result, index, x)
    return result


take_at.vjp(x=lambda g, x_shape, index: add_at(g, shape=x_shape, index=index))
add_at.vjp(x=lambda g, index: take_at(g, index=index))


def _put_into(out, x, value, *, index, view=...):
    out[view][index] = value


@primitive(node_name="CopySlices", into=_put_into, half=True)
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


def normal_index(index):
    """(view, index, basic): what NumPy takes, so that x[view][index] is PyTorch's x[index].

    Tensors and lists become arrays, uint8 masks bools. Where ints and arrays are mixed, `view`
    holds the ints: PyTorch takes them first, while NumPy counts them among the arrays, which moves
    dimensions (x[0, :, [0, 1]]). Otherwise `view` is Ellipsis. basic: there are no arrays.
    """
    found = []
    open_end = basic = True
    ints = False
    for i in index if type(index) is tuple else (index,):
        kind = type(i)
        if kind is int:
            ints = True
        elif kind is slice:
            if not (
                (i.start is None or type(i.start) is int)
                and (i.stop is None or type(i.stop) is int)
                and i.step is None
            ):
                i = _normal_slice(i)
        elif i is Ellipsis:
            open_end = False
        elif i is not None:
            i = _normal_array(i)
            if isinstance(i, np.ndarray):
                basic = False
            elif type(i) is int:
                ints = True
        found.append(i)
    if open_end:
        found.append(Ellipsis)  # a view even where every dimension has an int
    if basic or not ints:
        return ..., tuple(found), basic
    view, rest = [], []
    for i in found:
        if isinstance(i, np.ndarray):
            view += [slice(None)] * (i.ndim if i.dtype.kind == "b" else 1)
            rest.append(i)
        else:
            view.append(i)
            if i is Ellipsis:
                rest.append(i)
            elif type(i) is not int:
                rest.append(slice(None))
    return tuple(view), tuple(rest), False


def _normal_array(i):
    """A tensor, list, array, bool or int-like of an index as an array, a bool or an int."""
    if is_tensor(i):
        i = i.array
        if i.dtype == np.uint8:
            return i.astype(bool)
        if i.dtype.kind not in "bi":
            raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
        return int(i) if i.ndim == 0 and i.dtype.kind == "i" else i
    if isinstance(i, (list, range)):
        i = np.asarray([j.item() if is_tensor(j) else j for j in i])
        return i.astype(np.int64) if i.size == 0 else i
    if isinstance(i, (bool, np.ndarray)):
        return i
    if isinstance(i, str):
        raise TypeError("new(): invalid data type 'str'")
    try:
        return operator.index(i)
    except TypeError:
        raise IndexError(
            "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are "
            f"valid indices (got {type(i).__name__})"
        ) from None


def _normal_slice(s):
    """A slice with plain ints; PyTorch has no negative steps."""
    start, stop, step = [p if p is None else operator.index(p) for p in (s.start, s.stop, s.step)]
    if step is not None and step <= 0:
        raise ValueError("step must be greater than zero")
    return slice(start, stop, step)


def _explain_index(error, x, index):
    text = str(error)
    shape = list(x.array.shape)
    if "too many indices" in text:
        return IndexError(f"too many indices for tensor of dimension {x.array.ndim}")
    if "boolean index did not match" in text:
        mask = next((i for i in index if hasattr(i, "dtype") and i.dtype.kind == "b"), None)
        return IndexError(
            f"The shape of the mask {list(mask.shape)} at index 0 does not match the shape of the "
            f"indexed tensor {shape} at index 0"
        )
    return IndexError(f"{text} (tensor of shape {shape})")


def getitem(input, index):
    """`input[index]`."""
    try:
        view, index, basic = normal_index(index)
        return S.slice_of(input, index=index) if basic else slice_or_take(input, index, view)
    except IndexError as error:
        raise _explain_index(error, input, index) from None


def setitem(input, index, value):
    """`input[index] = value`."""
    view, index, _ = normal_index(index)
    if not is_tensor(value) and not isinstance(value, (int, float, np.ndarray, np.generic)):
        raise TypeError(f"can't assign a {type(value).__name__} to a {input.type()}")
    try:
        put.inplace(input, value, index=index, view=view)
    except IndexError as error:
        raise _explain_index(error, input, index) from None
    except (RuntimeError, ValueError) as error:
        if "broadcast" not in str(error) and "size of tensor" not in str(error):
            raise
        shape, target = (
            list(np.shape(getattr(value, "array", value))),
            list(input.array[view][index].shape),
        )
        raise RuntimeError(
            f"shape mismatch: value tensor of shape {shape} cannot be broadcast to indexing "
            f"result of shape {target}"
        ) from None


# ---- gather and scatter -----------------------------------------------------------------------


@primitive(node_name="Gather")
def gather_along(x, index, *, dim):
    """What `index` (int64, no longer than x in the other dimensions) names along `dim`."""
    return x[_open_index(index, dim)]


def _open_index(index, dim):
    """Index arrays that pick, for each place of `index`, the element it names along `dim`."""
    grid = np.ogrid[tuple([slice(0, n) for n in index.shape])]
    grid = list(grid) if isinstance(grid, tuple) else [grid]
    grid[dim] = index
    return tuple(grid)


@primitive(node_name="ScatterAdd")
def scatter_along(x, index, *, shape, dim):
    """Zeros of `shape` with x added at the places that `gather_along` with `index` reads."""
    result = np.zeros(shape, x.dtype)
    np.add.at(result, _open_index(index, dim), x)
    return result


gather_along.vjp(x=lambda g, x_shape, index, dim: scatter_along(g, index, shape=x_shape, dim=dim))


scatter_along.vjp(x=lambda g, index, dim: gather_along(g, index, dim=dim))


def _checked_index(function, input, dim, index, source=None):
    if index.array.dtype.kind != "i":
        raise RuntimeError(f"{function}(): Expected dtype int64 for index")
    if index.array.ndim != input.array.ndim and index.array.size:
        raise RuntimeError(
            "Index tensor must have the same number of dimensions as input tensor (got "
            f"{index.array.ndim} and {input.array.ndim})"
        )
    n = input.array.shape[dim] if input.array.ndim else 1
    if index.array.size and (index.array.min() < 0 or index.array.max() >= n):
        wrong = index.array[(index.array < 0) | (index.array >= n)].flat[0]
        raise IndexError(
            f"{function}(): index {wrong} is out of bounds for dimension {dim} with size {n}"
        )
    for d in range(input.array.ndim):
        limit = input.array.shape[d] if d != dim else index.array.shape[d]
        if index.array.shape[d] > limit or (
            source is not None and index.array.shape[d] > source.shape[d]
        ):
            raise RuntimeError(
                f"{function}(): Expected index {list(index.array.shape)} to be no larger than "
                f"self {list(input.array.shape)} apart from dimension {dim}"
                + (
                    ""
                    if source is None
                    else f" and to be no larger size than src {list(source.shape)}"
                )
            )


@aliases
def gather(input, dim, index):
    """Elements of `input` that `index` (int64, same number of dimensions) names along `dim`."""
    dim = normal_dim(dim, input.array.ndim)
    _checked_index("gather", input, dim, index)
    if input.array.ndim == 0:
        return S.reshape_to(input, shape=())
    return gather_along(input, index, dim=dim)


def _scatter_into(out, x, index, src, *, dim):
    out[_open_index(index, dim)] = src


@primitive(node_name="Scatter", into=_scatter_into, half=True)
def scatter_values(x, index, src, *, dim):
    """x with src, shaped as index or a number, at the places `index` names along `dim`."""
    result = x.copy()
    _scatter_into(result, x, index, src, dim=dim)
    return result


scatter_values.vjp(
    x=lambda g, index, dim: scatter_values(g, index, 0.0, dim=dim),
    src=lambda g, index, dim: gather_along(g, index, dim=dim),
)


def _scatter_add_into(out, x, index, src, *, dim):
    out += scatter_along.forward(src, index, shape=x.shape, dim=dim)


@primitive(node_name="ScatterAdd", into=_scatter_add_into)
def scatter_sum(x, index, src, *, dim):
    """x with src added at the places `index` names along `dim`."""
    return x + scatter_along.forward(src, index, shape=x.shape, dim=dim)


scatter_sum.vjp(x=lambda g: g, src=lambda g, index, dim: gather_along(g, index, dim=dim))


def _scatter_operands(function, input, dim, index, src):
    dim = normal_dim(dim, input.array.ndim)
    _checked_index(function, input, dim, index, src.array if is_tensor(src) else None)
    if is_tensor(src):
        if src.array.dtype != input.array.dtype:
            raise RuntimeError(f"{function}(): Expected self.dtype to be equal to src.dtype")
        if src.array.shape != index.array.shape:
            src = S.slice_of(src, index=(*[slice(0, n) for n in index.array.shape], ...))
    return input, index, src, dim


def _scatter(input, dim, index, src, reduce, run):
    names = {None: scatter_values, "add": scatter_sum}
    if reduce not in names:
        raise NotImplementedError(
            f"scatter: reduce {reduce!r} is not supported; expected None or 'add'"
        )
    input, index, src, dim = _scatter_operands("scatter", input, dim, index, src)
    if reduce == "add" and not is_tensor(src):
        src = input.new_full(index.array.shape, src)
    return run(names[reduce])(input, index, src, dim=dim)


@aliases
def scatter(input, dim, index, src=None, *, value=None, reduce=None):
    """`input` with `src` (tensor or number) at the places `index` names along `dim`."""
    return _scatter(input, dim, index, value if src is None else src, reduce, lambda op: op)


@aliases
def scatter_(input, dim, index, src=None, *, value=None, reduce=None):
    """`scatter` in place."""
    return _scatter(input, dim, index, value if src is None else src, reduce, lambda op: op.inplace)


@aliases
def scatter_add(input, dim, index, src):
    """`input` with `src` added at the places `index` names along `dim`; repeated places add up."""
    input, index, src, dim = _scatter_operands("scatter_add", input, dim, index, src)
    return scatter_sum(input, index, src, dim=dim)


@aliases
def scatter_add_(input, dim, index, src):
    """`scatter_add` in place."""
    input, index, src, dim = _scatter_operands("scatter_add", input, dim, index, src)
    return scatter_sum.inplace(input, index, src, dim=dim)


def _along_index(function, input, dim, index):
    dim = normal_dim(dim, input.array.ndim)
    if index.array.ndim > 1 or index.array.dtype.kind != "i":
        raise IndexError(f"{function}(): Index is supposed to be a vector of int64")
    n = input.array.shape[dim] if input.array.ndim else 1
    where = index.array.reshape(-1)
    if where.size and (where.min() < 0 or where.max() >= n):
        raise IndexError("index out of range in self")
    return (*(slice(None),) * dim, where, Ellipsis), dim


@aliases
def index_select(input, dim, index):
    """Slices of `input` along `dim` in the order of `index`."""
    index, dim = _along_index("index_select", input, dim, index)
    return take_at(input if input.array.ndim else S.reshape_to(input, shape=(1,)), index=index)


def _index_add_into(out, x, source, *, index):
    np.add.at(out, index, source)


@primitive(node_name="IndexAdd", into=_index_add_into)
def index_sum(x, source, *, index):
    """x with source added at [index]; repeated places add up."""
    result = x.copy()
    np.add.at(result, index, source)
    return result


index_sum.vjp(x=lambda g: g, source=lambda g, index: take_at(g, index=index))


@aliases
def index_add(input, dim, index, source, *, alpha=1):
    """`input` with slices of `source` (times alpha) added along `dim` at `index`."""
    index, _ = _along_index("index_add", input, dim, index)
    return index_sum(input, source if alpha == 1 else source * alpha, index=index)


@aliases
def index_add_(input, dim, index, source, *, alpha=1):
    """`index_add` in place."""
    index, _ = _along_index("index_add", input, dim, index)
    return index_sum.inplace(input, source if alpha == 1 else source * alpha, index=index)


@aliases
def index_copy_(input, dim, index, source):
    """Slices of `source` written along `dim` at `index`."""
    index, _ = _along_index("index_copy", input, dim, index)
    return put.inplace(input, source, index=index)


@aliases
def index_fill(input, dim, index, value):
    """`value` along `dim` at `index`."""
    index, _ = _along_index("index_fill", input, dim, index)
    return put(input, value, index=index)


@aliases
def index_fill_(input, dim, index, value):
    """`index_fill` in place."""
    index, _ = _along_index("index_fill", input, dim, index)
    return put.inplace(input, value, index=index)


def index_put_(input, indices, values, accumulate=False):
    """`input[indices] = values`, or += with repeated places adding up."""
    _, index, _ = normal_index(tuple(indices))
    return (index_sum if accumulate else put).inplace(input, values, index=index)


def masked_select(input, mask):
    """Elements where `mask`, broadcast to `input`, is true; one dimension."""
    if mask.array.dtype.kind != "b":
        raise RuntimeError("masked_select: expected BoolTensor for mask")
    shape = np.broadcast_shapes(input.array.shape, mask.array.shape)
    input = S.expand_to(input, shape=shape)
    return take_at(input, index=(np.broadcast_to(mask.array, shape),))


def masked_scatter(input, mask, source):
    """`input` with elements of `source`, in order, where `mask` is true."""
    mask = np.broadcast_to(mask.array, input.array.shape)
    flat = S.reshape_to(source, shape=(-1,))
    return put(input, S.narrow(flat, 0, 0, int(mask.sum())), index=(mask,))


@aliases
def take_along_dim(input, indices, dim=None):
    """Elements that `indices`, broadcast against `input`, names along `dim` (None: flattened)."""
    if dim is None:
        return gather(S.reshape_to(input, shape=(-1,)), 0, S.reshape_to(indices, shape=(-1,)))
    dim = normal_dim(dim, input.array.ndim)
    shape = list(
        np.broadcast_shapes(
            tuple(np.delete(input.array.shape, dim)), tuple(np.delete(indices.array.shape, dim))
        )
    )
    own, other = shape.copy(), shape.copy()
    own.insert(dim, input.array.shape[dim])
    other.insert(dim, indices.array.shape[dim])
    return gather(
        S.expand_to(input, shape=tuple(own)), dim, S.expand_to(indices, shape=tuple(other))
    )


def take(input, index):
    """Elements of the flattened `input` at `index`."""
    flat = S.reshape_to(input, shape=(-1,))
    try:
        return take_at(flat, index=(index.array,))
    except IndexError:
        raise IndexError("take(): index out of range") from None


def nonzero(input, *, as_tuple=False):
    """Places of the non-zeros: (count, ndim) int64, or a tuple of one vector per dimension."""
    found = np.nonzero(np.atleast_1d(input.array))
    if as_tuple:
        return tuple([tensor_of(a) for a in found])
    if input.array.ndim == 0:
        return tensor_of(np.zeros((len(found[0]), 0), np.int64))
    return tensor_of(np.stack(found, axis=1))


argwhere = nonzero
