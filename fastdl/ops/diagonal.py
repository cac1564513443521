"""Diagonals and triangles of matrices: diagonal, diag, tril, triu."""

import numpy as np

from fastdl.ops.core import normal_dim, primitive
from fastdl.ops.core import view as view_of

__all__ = [
    "diag",
    "diagonal",
    "tril",
    "triu",
]


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
    n = input.array.shape[0] + abs(diagonal)
    return diagonal_scatter(input, shape=(n, n), offset=diagonal, dim1=0, dim2=1)


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
