"""Diagonals and triangles of matrices: diagonal, diag, tril, triu."""

import numpy as np

from fastdl._engine import shortcut
from fastdl.ops.core import normal_dim, primitive, takes_out
from fastdl.ops.core import view as view_of
from fastdl.ops.index import put
from fastdl.ops.shape import movedim, reshape_to

__all__ = [
    "diag",
    "diag_embed",
    "diagflat",
    "diagonal",
    "diagonal_scatter",
    "tril",
    "triu",
]


def _within(offset, shape, dim1, dim2):
    """The offset, no further than just outside: NumPy takes -2**31 for its own opposite, and gives
    a view of memory that is not the array's."""
    return max(min(offset, shape[dim2]), -shape[dim1])


@view_of(node_name="Diagonal")
def diagonal_of(x, *, offset, dim1, dim2):
    """The diagonal of the planes that dim1 and dim2 span, as the last dimension."""
    diagonal = np.diagonal(x, _within(offset, x.shape, dim1, dim2), dim1, dim2)
    diagonal.flags.writeable = x.flags.writeable
    return diagonal


diagonal_of.vjp(
    x=lambda g, x_shape, offset, dim1, dim2: onto_diagonal(
        g, shape=x_shape, offset=offset, dim1=dim1, dim2=dim2
    )
)


@primitive
def onto_diagonal(x, *, shape, offset, dim1, dim2):
    """Zeros of `shape` with x on the diagonal that `diagonal_of` reads."""
    result = np.zeros(shape, x.dtype)
    if len(shape) == 2 and offset == dim1 == 0 and dim2 == 1:
        result.reshape(-1)[:: shape[1] + 1][: len(x)] = x
        return result
    diagonal = np.diagonal(result, _within(offset, shape, dim1, dim2), dim1, dim2)
    diagonal.flags.writeable = True
    diagonal[...] = x
    return result


onto_diagonal.vjp(
    x=lambda g, offset, dim1, dim2: diagonal_of(g, offset=offset, dim1=dim1, dim2=dim2)
)


@primitive(node_name="Tril", kernel="tril", moves=True)
def lower(x, *, diagonal):
    """x with what lies above diagonal number `diagonal` of its last two dimensions set to 0."""
    return np.asarray(np.tril(x, _within(diagonal, x.shape, -2, -1)), order="C")


lower.vjp(x=lambda g, diagonal: lower(g, diagonal=diagonal))


@primitive(node_name="Triu", kernel="triu", moves=True)
def upper(x, *, diagonal):
    """x with what lies below diagonal number `diagonal` of its last two dimensions set to 0."""
    return np.asarray(np.triu(x, _within(diagonal, x.shape, -2, -1)), order="C")


upper.vjp(x=lambda g, diagonal: upper(g, diagonal=diagonal))


@shortcut(diagonal_of)
def diagonal(input, offset=0, dim1=0, dim2=1):
    """The diagonal of the planes dim1 and dim2 span, as a last dimension; a view."""
    ndim = input.array.ndim
    dim1, dim2 = normal_dim(dim1, ndim), normal_dim(dim2, ndim)
    if dim1 == dim2:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    return diagonal_of(input, offset=offset, dim1=dim1, dim2=dim2)


@shortcut(diagonal_of)
@takes_out
def diag(input, diagonal=0):
    """The diagonal of a matrix, or the matrix with a vector on its diagonal."""
    if input.array.ndim == 2:
        return diagonal_of(input, offset=diagonal, dim1=0, dim2=1)
    if input.array.ndim != 1:
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {input.array.ndim}D")
    n = input.array.shape[0] + abs(diagonal)
    return onto_diagonal(input, shape=(n, n), offset=diagonal, dim1=0, dim2=1)


def diag_embed(input, offset=0, dim1=-2, dim2=-1):
    """Matrices with the last dimension of `input` on diagonal `offset`, in the planes that dim1
    and dim2 of the result span: one dimension more than `input`.

    >>> import fastdl
    >>> fastdl.diag_embed(fastdl.tensor([[1, 2], [3, 4]]))
    tensor([[[1, 0],
             [0, 2]],
    <BLANKLINE>
            [[3, 0],
             [0, 4]]])
    """
    ndim = input.array.ndim + 1
    dim1, dim2 = normal_dim(dim1, ndim), normal_dim(dim2, ndim)
    if dim1 == dim2:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    if input.array.ndim == 0:
        raise IndexError("diag_embed: expected a tensor with at least one dimension")
    n = input.array.shape[-1] + abs(offset)
    shape = list(input.array.shape[:-1])
    for d in sorted((dim1, dim2)):
        shape.insert(d, n)
    return onto_diagonal(input, shape=tuple(shape), offset=offset, dim1=dim1, dim2=dim2)


def diagflat(input, offset=0):
    """A matrix with the elements of `input` on diagonal `offset`."""
    return diag(reshape_to(input, shape=(-1,)), offset)


def diagonal_scatter(input, src, offset=0, dim1=0, dim2=1):
    """A copy of `input` with `src` on the diagonal that `diagonal` with these arguments reads."""
    place = diagonal(input, offset, dim1, dim2)
    if place.array.shape != src.array.shape:
        raise RuntimeError(
            "expected src to have a size equal to the slice of self. src size = "
            f"{list(src.array.shape)}, slice size = {list(place.array.shape)}"
        )
    ndim = input.array.ndim
    dim1, dim2 = normal_dim(dim1, ndim), normal_dim(dim2, ndim)
    planes = movedim(input, (dim1, dim2), (-2, -1))
    rows = np.arange(src.array.shape[-1]) + max(-offset, 0)
    columns = np.arange(src.array.shape[-1]) + max(offset, 0)
    return movedim(put(planes, src, index=(..., rows, columns)), (-2, -1), (dim1, dim2))


def fill_diagonal_(input, fill_value, wrap=False):
    """`fill_value` on the main diagonal, in place; of more than two dimensions, which must be of
    one length, where all indices are equal. `wrap`: the diagonal of a tall matrix starts again
    below its end, after one row."""
    shape = input.array.shape
    if len(shape) < 2:
        raise RuntimeError("dimensions must larger than 1")
    if len(shape) > 2 and len(set(shape)) > 1:
        raise RuntimeError("all dimensions of input must be of equal length")
    rows, columns = shape[0], shape[1]
    places = [np.arange(min(shape))] * len(shape)
    if wrap and len(shape) == 2 and rows > columns:
        flat = np.arange(0, rows * columns, columns + 1)
        places = [flat // columns, flat % columns]
    return put.inplace(input, fill_value, index=tuple(places))


def _matrices(function, input):
    if input.array.ndim < 2:
        raise RuntimeError(f"{function}: input tensor must have at least 2 dimensions")
    return input


@takes_out
def tril(input, diagonal=0):
    """The lower triangle of the matrices: what lies above diagonal number `diagonal` is 0."""
    return lower(_matrices("tril", input), diagonal=diagonal)


@takes_out
def triu(input, diagonal=0):
    """The upper triangle of the matrices: what lies below diagonal number `diagonal` is 0."""
    return upper(_matrices("triu", input), diagonal=diagonal)


def tril_(input, diagonal=0):
    """`tril` in place."""
    return lower.inplace(_matrices("tril_", input), diagonal=diagonal)


def triu_(input, diagonal=0):
    """`triu` in place."""
    return upper.inplace(_matrices("triu_", input), diagonal=diagonal)
