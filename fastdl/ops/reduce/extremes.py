"""The greatest and the smallest, and where they are."""

from fastdl import backends
from fastdl._engine import shortcut
from fastdl.ops import elementwise as E
from fastdl.ops import shape as S
from fastdl.ops.core import (
    aliases,
    is_tensor,
    normal_dim,
    normal_dims,
    primitive,
    result_type,
    takes_out,
)
from fastdl.ops.scatter import scatter_along

__all__ = ["amax", "amin", "aminmax", "argmax", "argmin", "max", "min"]


@primitive(node_name="Amax", kernel="amax")
def amax_over(x, *, dims, keepdim):
    """Greatest element over `dims`; ties share the gradient."""
    return backends.of(x).reduce(x, "max", dims, keepdim)


@primitive(node_name="Amin", kernel="amin")
def amin_over(x, *, dims, keepdim):
    """Smallest element over `dims`; ties share the gradient."""
    return backends.of(x).reduce(x, "min", dims, keepdim)


def shared_slope(g, x, out, dims, keepdim):
    """g divided among the elements of x that equal their reduction `out` (NaN equals NaN)."""
    shape = x.array.shape
    x, out = x.detach(), S.spread(out.detach(), shape, dims, keepdim)
    hits = ((x == out) | ((x != x) & (out != out))).to(x.dtype)
    return S.spread(g, shape, dims, keepdim) * (hits / S.sum_over(hits, dims=dims, keepdim=True))


amax_over.vjp(x=shared_slope)
amin_over.vjp(x=shared_slope)


@primitive(node_name="Max", kernel="max")
def max_along(x, *, dim, keepdim):
    """(greatest along `dim`, its int64 position)."""
    return backends.of(x).extreme(x, "max", dim, keepdim)


@primitive(node_name="Min", kernel="min")
def min_along(x, *, dim, keepdim):
    """(smallest along `dim`, its int64 position)."""
    return backends.of(x).extreme(x, "min", dim, keepdim)


def picked_slope(g, x_shape, out1, dim, keepdim):
    g, index = g[0], out1
    if not keepdim:
        at = (*(slice(None),) * dim, None, ...)
        g, index = S.slice_of(g, index=at), S.slice_of(index, index=at)
    return scatter_along(g, index.detach(), shape=x_shape, dim=dim)


max_along.vjp(x=picked_slope)
min_along.vjp(x=picked_slope)


MaxResult = result_type("max")
MinResult = result_type("min")
amax_over.paired = max_along, MaxResult
amin_over.paired = min_along, MinResult


AminmaxResult = result_type("aminmax", ("min", "max"))


def _refuse_empty(function, input, dims):
    """IndexError if one of `dims` has no elements: there is no least number to begin with."""
    for d in dims:
        if input.array.shape[d] == 0:
            raise IndexError(f"{function}(): Expected reduction dim {d} to have non-zero size.")


def _extreme(name, over, along, pairwise, result, input, dim, keepdim):
    if dim is None:
        if input.array.size == 0:
            raise RuntimeError(
                f"{name}(): Expected reduction dim to be specified for input.numel() == 0. "
                "Specify the reduction dim with the 'dim' argument."
            )
        return over(input, dims=tuple(range(input.array.ndim)), keepdim=False)
    if is_tensor(dim):
        return pairwise(input, dim)
    dim = normal_dim(dim, input.array.ndim)
    if input.array.ndim == 0:
        return result(*along(S.reshape_to(input, shape=(1,)), dim=0, keepdim=False))
    _refuse_empty(name, input, (dim,))
    return result(*along(input, dim=dim, keepdim=keepdim))


@shortcut(amax_over)
@takes_out
@aliases
def max(input, dim=None, keepdim=False, *, other=None):
    """Greatest element; (values, indices) along `dim`; or of two tensors, element by element."""
    dim = other if other is not None else dim
    return _extreme("max", amax_over, max_along, E.maximum, MaxResult, input, dim, keepdim)


@shortcut(amin_over)
@takes_out
@aliases
def min(input, dim=None, keepdim=False, *, other=None):
    """Smallest element; (values, indices) along `dim`; or of two tensors, element by element."""
    dim = other if other is not None else dim
    return _extreme("min", amin_over, min_along, E.minimum, MinResult, input, dim, keepdim)


def _over(name, primitive, input, dim, keepdim):
    dims = normal_dims(dim, input.array.ndim)
    _refuse_empty(name, input, dims)
    return primitive(input, dims=dims, keepdim=keepdim)


@shortcut(amax_over)
@takes_out
@aliases
def amax(input, dim=(), keepdim=False):
    """Greatest element over `dim` (int or tuple); ties share the gradient."""
    return _over("amax", amax_over, input, dim, keepdim)


@shortcut(amin_over)
@takes_out
@aliases
def amin(input, dim=(), keepdim=False):
    """Smallest element over `dim` (int or tuple); ties share the gradient."""
    return _over("amin", amin_over, input, dim, keepdim)


@takes_out
@aliases
def aminmax(input, *, dim=None, keepdim=False):
    """(min, max): smallest and greatest element along `dim` (None: of all)."""
    if dim is None and input.array.size == 0:
        raise RuntimeError(
            "aminmax(): cannot compute aminmax over an empty dimension as the operation has no "
            "identity."
        )
    dims = normal_dims(dim, input.array.ndim)
    _refuse_empty("aminmax", input, dims)
    return AminmaxResult(
        amin_over(input, dims=dims, keepdim=keepdim), amax_over(input, dims=dims, keepdim=keepdim)
    )


@primitive(kernel="argmax")
def argmax_over(x, *, dim, keepdim):
    """Position of the greatest element along `dim` (None: of all), int64."""
    return backends.of(x).extreme(x, "max", dim, keepdim)[1]


@primitive(kernel="argmin")
def argmin_over(x, *, dim, keepdim):
    """Position of the smallest element along `dim` (None: of all), int64."""
    return backends.of(x).extreme(x, "min", dim, keepdim)[1]


def _position(function, over, input, dim, keepdim):
    if dim is not None:
        dim = normal_dim(dim, input.array.ndim)
        dim = dim if input.array.ndim else None
    if input.array.size == 0 and (dim is None or input.array.shape[dim] == 0):
        raise IndexError(
            f"{function}(): Expected reduction dim to be specified for input.numel() == "
            "0, and to have non-zero size."
        )
    if input.array.dtype.kind == "b":
        raise RuntimeError(f"{function}(): does not support bool input")
    return over(input, dim=dim, keepdim=keepdim)


@shortcut(argmax_over)
@takes_out
@aliases
def argmax(input, dim=None, keepdim=False):
    """Position of the greatest element along `dim` (None: in the flattened tensor), int64."""
    return _position("argmax", argmax_over, input, dim, keepdim)


@shortcut(argmin_over)
@takes_out
@aliases
def argmin(input, dim=None, keepdim=False):
    """Position of the smallest element along `dim` (None: in the flattened tensor), int64."""
    return _position("argmin", argmin_over, input, dim, keepdim)
