"""Elements named along one dimension: gather reads them; scatter, scatter_add and scatter_reduce
write there.
"""

import numpy as np

from fastdl import backends
from fastdl._engine import shortcut
from fastdl.ops import elementwise as E
from fastdl.ops import shape as S
from fastdl.ops.core import aliases, is_tensor, normal_dim, primitive, takes_out

__all__ = ["gather", "scatter", "scatter_add", "scatter_reduce"]

# ---- primitives -------------------------------------------------------------------------------


@primitive(node_name="Gather", kernel="gather", picks=np.dtype(np.int64))
def gather_along(x, index, *, dim):
    """What `index` (int64, no longer than x in the other dimensions) names along `dim`."""
    return backends.of(x).gather(x, index, dim)


def _open_index(index, dim):
    """Index arrays that pick, for each place of `index`, the element it names along `dim`."""
    grid = np.ogrid[tuple([slice(0, n) for n in index.shape])]
    grid = list(grid) if isinstance(grid, tuple) else [grid]
    grid[dim] = index
    return tuple(grid)


@primitive(node_name="ScatterAdd")
def scatter_along(x, index, *, shape, dim):
    """Zeros of `shape` with x added at the places that `gather_along` with `index` reads."""
    return backends.of(x).scatter_add(x, index, shape, dim)


gather_along.vjp(x=lambda g, x_shape, index, dim: scatter_along(g, index, shape=x_shape, dim=dim))


scatter_along.vjp(x=lambda g, index, dim: gather_along(g, index, dim=dim))


def _scatter_into(out, x, index, src, *, dim):
    out[_open_index(index, dim)] = src


@primitive(
    node_name="Scatter",
    into=_scatter_into,
    half=True,
    kernel="scatter",
    picks=np.dtype(np.int64),
)
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


@primitive(
    node_name="ScatterAdd",
    into=_scatter_add_into,
    kernel="scatter_sum",
    picks=np.dtype(np.int64),
)
def scatter_sum(x, index, src, *, dim):
    """x with src added at the places `index` names along `dim`."""
    return x + scatter_along.forward(src, index, shape=x.shape, dim=dim)


scatter_sum.vjp(x=lambda g: g, src=lambda g, index, dim: gather_along(g, index, dim=dim))


# ---- functions --------------------------------------------------------------------------------


def _checked(function, input, dim, index, source=None):
    """(index, dim): `index` as a tensor that names places of `input` along `dim`, counted from the
    front, and is no larger than `source`. 0-d operands count as 1-d ones."""
    for name, value in (("input", input), ("index", index)):
        if not is_tensor(value):
            raise TypeError(
                f"{function}(): argument {name!r} must be Tensor, not {type(value).__name__}"
            )
    x, places = input.array, index.array
    dim = normal_dim(dim, x.ndim)
    if places.dtype not in (np.int64, np.int32):
        raise RuntimeError(f"{function}(): Expected dtype int32/int64 for index")
    if not places.size:
        return index, dim
    if max(places.ndim, 1) != max(x.ndim, 1):
        raise RuntimeError(
            "Index tensor must have the same number of dimensions as input tensor (got "
            f"{places.ndim} and {x.ndim})"
        )
    if source is not None and max(places.ndim, 1) != max(source.ndim, 1):
        raise RuntimeError(
            "Index tensor must have the same number of dimensions as src tensor (got "
            f"{places.ndim} and {source.ndim})"
        )
    for d in range(places.ndim):
        limit = x.shape[d] if d != dim and x.ndim else places.shape[d]
        if places.shape[d] > limit or (
            source is not None and source.ndim and places.shape[d] > source.shape[d]
        ):
            text = (
                f"Expected index {list(places.shape)} to be no larger than self {list(x.shape)} "
                f"apart from dimension {dim}"
            )
            if source is not None:
                text += f" and to be no larger size than src {list(source.shape)}"
            raise RuntimeError(text)
    n = x.shape[dim] if x.ndim else 1
    if not backends.of(places).within(places, 0, n):
        wrong = places[(places < 0) | (places >= n)].flat[0]
        raise RuntimeError(f"index {wrong} is out of bounds for dimension {dim} with size {n}")
    return index, dim


def as_new(operation):
    """How `operation`, a primitive, makes a new tensor."""
    return operation


def in_place(operation):
    """How `operation` changes its first operand."""
    return operation.inplace


def _flat(input):
    """A 0-d operand as a vector of one element."""
    return input if not is_tensor(input) or input.array.ndim else S.reshape_to(input, shape=(1,))


@shortcut(gather_along)
@takes_out
@aliases
def gather(input, dim, index, *, sparse_grad=False):
    """Elements of `input` that `index` (int64 or int32, as many dimensions) names along `dim`, in
    the shape of `index`. `sparse_grad` changes nothing: gradients are dense.

    Error: RuntimeError for an index out of range, negative or larger than `input` elsewhere.
    """
    index, dim = _checked("gather", input, dim, index)
    if index.array.ndim != input.array.ndim:
        if not index.array.size:
            return input.new_empty(index.array.shape)
        return S.reshape_to(
            gather_along(_flat(input), _flat(index), dim=0), shape=index.array.shape
        )
    if input.array.ndim == 0:
        return S.reshape_to(input, shape=())
    return gather_along(input, index, dim=dim)


def _written(function, run, operation, input, dim, index, src):
    """input with `operation` (a primitive) of src at the places of index, made by `run`."""
    index, dim = _checked(function, input, dim, index, src.array if is_tensor(src) else None)
    if is_tensor(src):
        if src.array.dtype != input.array.dtype:
            raise RuntimeError(f"{function}(): Expected self.dtype to be equal to src.dtype")
        if index.array.size and src.array.shape != index.array.shape:
            src = _flat(src)
            src = S.slice_of(src, index=(*[slice(0, n) for n in index.array.shape], ...))
    elif operation is not scatter_values:
        src = input.new_full(index.array.shape, src)
    if not index.array.size:
        return run(E.mul)(input, 1)
    if input.array.ndim == 0:
        made = run(E.mul)(input, 1)
        flat = operation(_flat(made), _flat(index), _flat(src), dim=0)
        return run(E.fill)(made, S.reshape_to(flat, shape=()))
    return run(operation)(input, index, src, dim=dim)


def _scatter(run, input, dim, index, src, value, reduce):
    if (src is None) == (value is None):
        raise TypeError("scatter(): expected one of src and value")
    src = value if src is None else src
    if reduce == "multiply":
        if not is_tensor(src):
            src = input.new_full(index.array.shape, src)
        return _reduced(run, "scatter", input, dim, index, src, "prod", True)
    operations = {None: scatter_values, "add": scatter_sum}
    if reduce not in operations:
        raise RuntimeError("reduce argument must be either add or multiply.")
    return _written("scatter", run, operations[reduce], input, dim, index, src)


@shortcut(scatter_values)
@takes_out
@aliases
def scatter(input, dim, index, src=None, *, value=None, reduce=None):
    """`input` with `src` (tensor or number) at the places `index` names along `dim`; reduce: 'add'
    or 'multiply' what stands there by it."""
    return _scatter(as_new, input, dim, index, src, value, reduce)


@shortcut(scatter_values)
@aliases
def scatter_(input, dim, index, src=None, *, value=None, reduce=None):
    """`scatter` in place."""
    return _scatter(in_place, input, dim, index, src, value, reduce)


@shortcut(scatter_sum)
@takes_out
@aliases
def scatter_add(input, dim, index, src):
    """`input` with `src` added at the places `index` names along `dim`; repeated places add up."""
    return _written("scatter_add", as_new, scatter_sum, input, dim, index, src)


@shortcut(scatter_sum)
@aliases
def scatter_add_(input, dim, index, src):
    """`scatter_add` in place."""
    return _written("scatter_add", in_place, scatter_sum, input, dim, index, src)


# ---- reductions -------------------------------------------------------------------------------

_UFUNCS = {"prod": np.multiply, "amax": np.maximum, "amin": np.minimum}
_STARTS = {
    "prod": lambda dtype: 1,
    "amax": lambda dtype: _limits(dtype)[0],
    "amin": lambda dtype: _limits(dtype)[1],
}


def _limits(dtype):
    """The least and the greatest value of a dtype."""
    if dtype.kind == "f":
        return -np.inf, np.inf
    return (False, True) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)


@primitive(node_name="ScatterReduce")
def scatter_combine(x, index, src, *, dim, reduce):
    """x with src multiplied into it ('prod'), or the greater ('amax') or smaller ('amin') of both,
    at the places `index` names along `dim`."""
    result = x.copy()
    _UFUNCS[reduce].at(result, _open_index(index, dim), src)
    return result


def _combine_vjp(g, x, index, src, out, dim, reduce):
    if reduce == "prod":
        return _product_slopes(g, x, index, src, dim)
    # Equal shares for all that reach the result, as PyTorch gives them.
    own = E.eq(x, out).to(x.dtype)
    theirs = E.eq(src, gather_along(out, index, dim=dim)).to(x.dtype)
    share = g / scatter_sum(own, index, theirs, dim=dim)
    return own * share, None, theirs * gather_along(share, index, dim=dim)


def _product_slopes(g, x, index, src, dim):
    """Slopes of a product: that of the other factors, where a zero factor leaves only its own."""
    zero_own, zero_src = E.eq(x, 0), E.eq(src, 0)
    zeros = scatter_sum(zero_own.to(x.dtype), index, zero_src.to(x.dtype), dim=dim)
    filled_own, filled_src = E.masked_fill(x, zero_own, 1.0), E.masked_fill(src, zero_src, 1.0)
    rest = scatter_combine(filled_own, index, filled_src, dim=dim, reduce="prod")
    own = _slope(rest, filled_own, zero_own, zeros)
    theirs = _slope(
        gather_along(rest, index, dim=dim),
        filled_src,
        zero_src,
        gather_along(zeros, index, dim=dim),
    )
    return g * own, None, gather_along(g, index, dim=dim) * theirs


def _slope(rest, factor, is_zero, zeros):
    """The product without `factor`: 0 if another factor is 0."""
    others = zeros - is_zero.to(zeros.dtype)
    return E.masked_fill(rest / factor, E.gt(others, 0), 0.0)


scatter_combine.vjp_joint(_combine_vjp)


def _reduced(run, function, input, dim, index, src, reduce, include_self):
    names = ("sum", "prod", "mean", "amax", "amin")
    if reduce not in names:
        raise RuntimeError(
            f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}"
        )
    index, dim = _checked(function, input, dim, index, src.array)
    if src.array.dtype != input.array.dtype:
        raise RuntimeError(f"{function}(): Expected self.dtype to be equal to src.dtype")
    if not index.array.size:
        return run(E.mul)(input, 1)
    x = _flat(input if run is as_new else E.clone(input))  # what gradients read stays as it is
    index, src = _flat(index), _flat(src)
    src = S.slice_of(src, index=(*[slice(0, n) for n in index.array.shape], ...))
    if not include_self:
        start = _STARTS[reduce](x.array.dtype) if reduce in _STARTS else 0
        x = scatter_values(x, index, start, dim=dim)
    if reduce in _UFUNCS:
        made = scatter_combine(x, index, src, dim=dim, reduce=reduce)
    else:
        made = scatter_sum(x, index, src, dim=dim)
    if reduce == "mean":
        ones = np.ones(index.array.shape, np.int64)
        counts = scatter_along.forward(ones, index.array, shape=x.array.shape, dim=dim)
        counts = np.maximum(counts + (1 if include_self else 0), 1).astype(x.array.dtype)
        counts = x.new_tensor(counts)
        made = made / counts if x.array.dtype.kind in "fc" else E.floor_divide(made, counts)
    made = S.reshape_to(made, shape=input.array.shape)
    return made if run is as_new else E.fill.inplace(input, made)


def scatter_reduce(input, dim, index, src, reduce, *, include_self=True):
    """`input` with the 'sum', 'prod', 'mean', 'amax' or 'amin' of what `src` brings to the places
    `index` names along `dim`, and of the element there unless include_self=False.

    >>> import fastdl
    >>> index = fastdl.tensor([0, 1, 0])
    >>> fastdl.zeros(2).scatter_reduce(0, index, fastdl.tensor([1.0, 2.0, 5.0]), "amax")
    tensor([5., 2.])
    """
    return _reduced(as_new, "scatter_reduce", input, dim, index, src, reduce, include_self)


def scatter_reduce_(input, dim, index, src, reduce, *, include_self=True):
    """`scatter_reduce` in place."""
    return _reduced(in_place, "scatter_reduce", input, dim, index, src, reduce, include_self)
