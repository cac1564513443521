"""Norms, distances and similarities of vectors and matrices."""

import math

import numpy as np

from fastdl import _dtype, backends
from fastdl._engine import shortcut, tensor_of
from fastdl.ops import elementwise as E
from fastdl.ops import shape as S
from fastdl.ops.core import (
    aliases,
    is_tensor,
    legacy_name,
    normal_dim,
    normal_dims,
    primitive,
    result_dtype,
    takes_out,
    tensor_argument,
)
from fastdl.ops.factor import spread_batches, svdvals
from fastdl.ops.index import index_select
from fastdl.ops.linalg import matmul, swap_last
from fastdl.ops.reduce import amax_over, amin_over, euclidean_norm

__all__ = ["cdist", "cosine_similarity", "dist", "norm", "pairwise_distance", "pdist", "renorm"]

# ---- norms ------------------------------------------------------------------------------------


@primitive(node_name="LinalgVectorNorm")
def power_norm(x, *, p, dims, keepdim):
    """`sum(|x| ** p) ** (1 / p)` over `dims`, p finite and not 0."""
    total = (np.abs(x) ** x.real.dtype.type(p)).sum(dims, keepdims=keepdim)
    return np.asarray(total ** x.real.dtype.type(1 / p))


def _power_norm_slope(g, x, out, p, dims, keepdim):
    shape = x.array.shape
    g, out = S.spread(g, shape, dims, keepdim), S.spread(out, shape, dims, keepdim)
    # Where an element or the whole norm is 0 there may be no slope: 0 is taken, as in PyTorch.
    none, nothing = x == 0, out == 0
    size = E.masked_fill(E.abs(x), none, 1.0)
    ratio = size / E.masked_fill(out, nothing, 1.0)
    return E.masked_fill(g * E.sign(x) * ratio ** (p - 1), E.logical_or(none, nothing), 0.0)


power_norm.vjp(x=_power_norm_slope)


def _floating(function, x, dtype):
    tensor_argument(function, "x", x)
    if dtype is not None:
        x = x.to(dtype)
    if not _dtype.is_inexact(x.array.dtype):
        raise RuntimeError(
            f"{function}: Expected a floating point or complex tensor as input. Got "
            f"{legacy_name(x.array.dtype)}"
        )
    return x


def _vector_norm(x, ord, dims, keepdim):
    if ord == 2 and _dtype.is_float(x.array.dtype):
        return euclidean_norm(x, dims=dims, keepdim=keepdim)
    size = E.abs(x)
    if ord == 2:
        return euclidean_norm(size, dims=dims, keepdim=keepdim)
    if ord == 1:
        return S.sum_over(size, dims=dims, keepdim=keepdim)
    if math.isinf(ord):
        return (amax_over if ord > 0 else amin_over)(size, dims=dims, keepdim=keepdim)
    if ord == 0:
        return S.sum_over(E.sign(size), dims=dims, keepdim=keepdim)
    return power_norm(size, p=float(ord), dims=dims, keepdim=keepdim)


@takes_out
@aliases
def vector_norm(x, ord=2, dim=None, keepdim=False, *, dtype=None):
    """`sum(|x| ** ord) ** (1 / ord)` over `dim` (int or tuple; None: all elements).

    inf and -inf: the extremes of |x|; 0: the number of elements that are not 0. `dtype`: what x
    is cast to first.
    """
    x = _floating("linalg.vector_norm", x, dtype)
    if is_tensor(ord):
        ord = ord.item()
    dims = normal_dims(dim, x.array.ndim)
    empty = not math.prod([x.array.shape[d] for d in dims])
    if empty and (ord < 0 or ord == math.inf) and not x.array.size:
        raise RuntimeError(
            f"linalg.vector_norm cannot compute the {ord} norm on an empty tensor because the "
            "operation does not have an identity"
        )
    return _vector_norm(x, ord, dims, keepdim)


def _singular_values(A, dims, keepdim, total):
    """`total(singular values, their dimension)` of the matrices that `dims` span."""
    ndim = A.array.ndim
    found = total(svdvals(S.movedim(A, dims, (-2, -1))), (ndim - 2,))
    if keepdim:
        for d in sorted(dims):
            found = S.unsqueeze(found, d)
    return found


_MATRIX_NORMS = (2, -2, 1, -1, math.inf, -math.inf)


@takes_out
@aliases
def matrix_norm(A, ord="fro", dim=(-2, -1), keepdim=False, *, dtype=None):
    """Norms of matrices (..., m, n), or of those that the two dimensions `dim` span.

    ord: 'fro' (root of the sum of squares), 'nuc' (sum of the singular values), inf and -inf
    (extreme of the sums of rows), 1 and -1 (of columns), 2 and -2 (extreme singular value).
    """
    A = _floating("linalg.matrix_norm", A, dtype)
    if A.array.ndim < 2:
        raise RuntimeError(
            "linalg.matrix_norm: The input tensor A must have at least 2 dimensions."
        )
    if not isinstance(dim, (tuple, list)) or len(dim) != 2:
        raise RuntimeError(f"linalg.matrix_norm: dim must be a 2-tuple. Got {dim}")
    dims = normal_dims(dim, A.array.ndim)
    rows, columns = dims
    if ord == "fro":
        return _vector_norm(A, 2, dims, keepdim)
    if ord == "nuc":
        total = lambda s, d: S.sum_over(s, dims=d, keepdim=False)
        return _singular_values(A, dims, keepdim, total)
    if isinstance(ord, str) or ord not in _MATRIX_NORMS:
        raise RuntimeError(f"linalg.matrix_norm: Order {ord} not supported.")
    extreme = amax_over if ord > 0 else amin_over
    if not A.array.shape[rows] or not A.array.shape[columns]:
        return _vector_norm(A, 2, dims, keepdim)  # 0
    if abs(ord) == 2:
        return _singular_values(A, dims, keepdim, lambda s, d: extreme(s, dims=d, keepdim=False))
    first, then = (rows, columns) if abs(ord) == 1 else (columns, rows)
    sums = S.sum_over(E.abs(A), dims=(first,), keepdim=keepdim)
    return extreme(sums, dims=(then - (first < then and not keepdim),), keepdim=keepdim)


@takes_out
@aliases
def linalg_norm(A, ord=None, dim=None, keepdim=False, *, dtype=None):
    """`vector_norm` or `matrix_norm`: of the matrices that two dimensions `dim` span, of vectors
    along one; without `dim` of a 1-d or 2-d A. Without `ord`: root of the sum of squares.
    """
    A = _floating("linalg.norm", A, dtype)
    if ord is None:
        return vector_norm(A, 2, dim, keepdim)
    if dim is None:
        if A.array.ndim not in (1, 2):
            raise RuntimeError(
                "linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got "
                f"{A.array.ndim}D."
            )
        dim = (0,) if A.array.ndim == 1 else (0, 1)
    pair = isinstance(dim, (tuple, list)) and len(dim) == 2
    if pair:
        return matrix_norm(A, ord, dim, keepdim)
    if isinstance(ord, str):
        raise RuntimeError(f"linalg.norm: Order {ord} needs two dimensions, but dim is {dim}.")
    return vector_norm(A, ord, dim, keepdim)


@shortcut(euclidean_norm)
@takes_out
@aliases
def norm(input, p="fro", dim=None, keepdim=False, *, dtype=None):
    """p-norm over `dim` (None: all elements as one vector).

    p: a number, see `linalg.vector_norm`; 'fro' or None, the Euclidean norm; 'nuc', the sum of
    the singular values of the matrices that two dimensions span.
    """
    if p == "nuc":
        dim = (0, 1) if dim is None and input.array.ndim == 2 else dim
        return matrix_norm(input, "nuc", dim, keepdim, dtype=dtype)
    if p in ("fro", None):
        x = _floating("linalg.vector_norm", input, dtype)
        return _vector_norm(x, 2, normal_dims(dim, x.array.ndim), keepdim)
    if not isinstance(p, (int, float)):
        raise RuntimeError(f"norm: p must be 'fro', 'nuc' or a number, got {p!r}")
    return vector_norm(input, p, dim, keepdim, dtype=dtype)


def dist(input, other, p=2):
    """p-norm of `input - other`."""
    tensor_argument("dist", "input", input), tensor_argument("dist", "other", other)
    return vector_norm(input - other, p)


@takes_out
def renorm(input, p, dim, maxnorm):
    """`input` with each slice along `dim` scaled down so that its p-norm is at most `maxnorm`."""
    tensor_argument("renorm", "input", input)
    if p <= 0:
        raise RuntimeError("renorm: non-positive-norm not supported")
    if maxnorm < 0:
        raise RuntimeError(f"renorm: expected maxnorm to be >= 0 but got {maxnorm}")
    ndim = input.array.ndim
    if ndim < 2:
        raise RuntimeError(f"renorm: input needs at least 2 dimensions, got {ndim} dimensions")
    dim = normal_dim(dim, ndim)
    sizes = vector_norm(input, p, tuple([d for d in range(ndim) if d != dim]), True)
    return input * E.where(sizes > maxnorm, maxnorm / (sizes + 1e-7), 1.0)


# ---- distances --------------------------------------------------------------------------------


@primitive(node_name="Cdist")
def distances(x, y, *, by_product):
    """Euclidean distances (..., m, n) of the rows of x (..., m, k) and y (..., n, k).

    by_product: |a - b|^2 as |a|^2 + |b|^2 - 2 a b, which takes one matrix product and loses the
    digits that a and b share.
    """
    if not by_product:
        gap = x[..., :, None, :] - y[..., None, :, :]
        return np.sqrt(backends.of(x).reduce(gap, "sum_squares", (gap.ndim - 1,), False))
    squares = [np.einsum("...k,...k->...", z, z) for z in (x, y)]
    found = backends.of(x).matmul(x, np.swapaxes(y, -1, -2))
    found *= -2
    found += squares[0][..., :, None]
    found += squares[1][..., None, :]
    np.maximum(found, 0, out=found)
    return np.sqrt(found, out=found)


def _distance_slopes(g, x, y, out, needs):
    zero = out == 0
    weight = E.masked_fill(g / E.masked_fill(out, zero, 1.0), zero, 0.0)
    slopes = []
    for here, there, w, needed in ((x, y, weight, needs[0]), (y, x, swap_last(weight), needs[1])):
        total = S.sum_over(w, dims=(w.array.ndim - 1,), keepdim=True)
        slopes.append(here * total - matmul(w, there) if needed else None)
    return tuple(slopes)


distances.vjp_joint(_distance_slopes)

_COMPUTE_MODES = {
    "use_mm_for_euclid_dist_if_necessary": lambda rows: rows > 25,
    "use_mm_for_euclid_dist": lambda rows: True,
    "donot_use_mm_for_euclid_dist": lambda rows: False,
}


def cdist(x1, x2, p=2.0, compute_mode="use_mm_for_euclid_dist_if_necessary"):
    """p-norms of the differences of all rows of x1 (..., m, k) and of x2 (..., n, k): (..., m, n).

    compute_mode: whether Euclidean distances are found by a matrix product, which is faster and
    less exact for close rows: by default for more than 25 rows.
    """
    for name, x in (("x1", x1), ("x2", x2)):
        if tensor_argument("cdist", name, x).array.dtype.kind != "f":
            raise RuntimeError(
                f"cdist only supports floating-point dtypes, {name} got: "
                f"{legacy_name(x.array.dtype)}"
            )
        if x.array.ndim < 2:
            raise RuntimeError(
                f"cdist only supports at least 2D tensors, {name} got: {x.array.ndim}D"
            )
    if x1.array.shape[-1] != x2.array.shape[-1]:
        raise RuntimeError(
            f"X1 and X2 must have the same number of columns. X1: {x1.array.shape[-1]} X2: "
            f"{x2.array.shape[-1]}"
        )
    if p < 0:
        raise RuntimeError("cdist only supports non-negative p values")
    if compute_mode not in _COMPUTE_MODES:
        raise ValueError(f"{compute_mode} is not a valid value for compute_mode")
    if x1.array.dtype != x2.array.dtype:
        common = result_dtype((x1.array, x2.array))
        x1, x2 = x1.to(common), x2.to(common)
    if p == 2:
        rows = max(x1.array.shape[-2], x2.array.shape[-2])
        x1, x2 = spread_batches("cdist", x1, x2)
        return distances(x1, x2, by_product=_COMPUTE_MODES[compute_mode](rows))
    gap = S.unsqueeze(x1, -2) - S.unsqueeze(x2, -3)
    if not gap.array.shape[-1]:
        return S.sum_over(gap, dims=(gap.array.ndim - 1,), keepdim=False)
    return _vector_norm(gap, p, (gap.array.ndim - 1,), False)


def pdist(input, p=2):
    """Distances of all pairs of rows of a matrix (n, k): (n * (n - 1) / 2), in the order (0, 1),
    (0, 2) ... (1, 2) ...
    """
    tensor_argument("pdist", "input", input)
    if input.array.ndim != 2:
        raise RuntimeError(f"pdist only supports 2D tensors, got: {input.array.ndim}D")
    if input.array.dtype.kind != "f":
        raise RuntimeError("pdist only supports floating-point dtypes")
    if p < 0:
        raise RuntimeError("pdist only supports non-negative p values")
    first, second = (tensor_of(i) for i in np.triu_indices(input.array.shape[0], 1))
    gap = index_select(input, 0, first) - index_select(input, 0, second)
    if not gap.array.size:
        return S.sum_over(gap, dims=(1,), keepdim=False)
    return _vector_norm(gap, p, (1,), False)


def pairwise_distance(x1, x2, p=2.0, eps=1e-6, keepdim=False):
    """p-norm of `x1 - x2 + eps` over the last dimension."""
    return vector_norm(x1 - x2 + eps, p, -1, keepdim)


def cosine_similarity(x1, x2, dim=1, eps=1e-8):
    """Cosine of the angle between x1 and x2 along `dim`; norms below `eps` count as `eps`."""
    tensor_argument("cosine_similarity", "x1", x1), tensor_argument("cosine_similarity", "x2", x2)
    if x1.array.dtype != x2.array.dtype or x1.array.dtype.kind != "f":
        common = result_dtype((x1.array, x2.array))
        if common.kind != "f":
            raise RuntimeError(
                "expected common dtype to be floating point, yet common dtype is "
                f"{legacy_name(common)}"
            )
        x1, x2 = x1.to(common), x2.to(common)
    try:
        shape = np.broadcast_shapes(x1.array.shape, x2.array.shape)
    except ValueError:
        shapes = list(x1.array.shape), list(x2.array.shape)
        raise RuntimeError(
            f"cosine_similarity: the shapes {shapes[0]} and {shapes[1]} do not broadcast"
        ) from None
    dims = normal_dims(dim, len(shape))
    directions = []
    for x in (x1, x2):
        if x.array.shape != shape:
            x = S.expand_to(x, shape=shape)
        size = euclidean_norm(x, dims=dims, keepdim=True)
        directions.append(x / E.clamp(size, min=eps))
    return S.sum_over(directions[0] * directions[1], dims=dims, keepdim=False)
