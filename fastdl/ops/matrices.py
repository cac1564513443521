"""Functions of matrices built on their factorizations: pseudoinverse, least squares, rank, powers,
exponential, chains of products; and matrices built from others: kron, block_diag, vander.
"""

import itertools
import math

import numpy as np

from fastdl import _dtype
from fastdl._engine import tensor_of
from fastdl.ops import distance, random
from fastdl.ops import elementwise as E
from fastdl.ops import shape as S
from fastdl.ops.core import is_tensor, primitive, result_type, takes_out, tensor_argument
from fastdl.ops.factor import (
    LinAlgError,
    adjoint,
    eigvalsh,
    inverse_of,
    matrices,
    old_svd,
    qr,
    solve,
    spread_batches,
    square,
    stacked,
    svdvals,
)
from fastdl.ops.join import cat, stack
from fastdl.ops.linalg import matmul

# ---- pseudoinverse, rank, least squares -------------------------------------------------------


def _cutoff(sizes, shape, atol, rtol):
    """The size below which a singular value counts as 0, by PyTorch's rule: (..., 1).

    sizes: absolute values, (..., k). rtol defaults to eps * max(m, n), or to 0 if atol is given.
    """
    atol, rtol = (t.array if is_tensor(t) else t for t in (atol, rtol))
    if rtol is None:
        given = atol is not None and np.any(np.asarray(atol) > 0)
        rtol = 0.0 if given else max(shape[-2:]) * np.finfo(sizes.dtype).eps
    greatest = sizes.max(-1, initial=0)
    return np.maximum(0.0 if atol is None else atol, rtol * greatest)[..., None]


@primitive(node_name="LinalgPinv", conjugates=False)
def pseudoinverse(x, *, atol, rtol, hermitian):
    """Moore-Penrose inverses (..., n, m) of matrices (..., m, n)."""
    if hermitian:
        values, vectors = np.linalg.eigh(x)
        sizes, u, v = np.abs(values), vectors, vectors
    else:
        u, values, vh = np.linalg.svd(x, full_matrices=False)
        sizes, v = values, np.swapaxes(vh, -1, -2).conj()
    kept = sizes > _cutoff(sizes, x.shape, atol, rtol)
    scaled = np.where(kept, 1 / np.where(kept, values, 1), 0).astype(values.dtype)
    return np.asarray(v * scaled[..., None, :] @ np.swapaxes(u, -1, -2).conj(), x.dtype)


def _pseudoinverse_slope(g, x, out):
    # G. H. Golub and V. Pereyra, The differentiation of pseudo-inverses (1973)
    turned, g = adjoint(out), adjoint(g)
    slope = -(turned @ adjoint(g) @ turned)
    slope = slope + (g - x @ (out @ g)) @ (out @ turned)
    return slope + (turned @ out) @ (g - (g @ out) @ x)


pseudoinverse.vjp(x=_pseudoinverse_slope)


@takes_out
def pinv(A, *, atol=None, rtol=None, hermitian=False):
    """Moore-Penrose inverses (..., n, m) of A (..., m, n).

    Singular values up to max(atol, rtol * the greatest) count as 0; rtol is eps * max(m, n), or 0
    where atol is given. `hermitian`: A is symmetric, its eigenvalues are taken.
    """
    matrices("linalg.pinv", A)
    if hermitian:
        square("linalg.pinv", A)
    return pseudoinverse(A, atol=atol, rtol=rtol, hermitian=bool(hermitian))


def pinverse(input, rcond=1e-15):
    """`linalg.pinv` with rtol = `rcond`."""
    return pinv(input, rtol=rcond)


@takes_out
def matrix_rank(A, *, atol=None, rtol=None, hermitian=False):
    """Number of singular values above max(atol, rtol * the greatest): (...) int64; see `pinv`."""
    matrices("linalg.matrix_rank", A)
    if hermitian:
        square("linalg.matrix_rank", A)
        sizes = np.abs(eigvalsh(A.detach()).array)
    else:
        sizes = svdvals(A.detach()).array
    found = (sizes > _cutoff(sizes, A.array.shape, atol, rtol)).sum(-1)
    return tensor_of(np.asarray(found, np.int64))


@primitive(node_name="LinalgLstsq", conjugates=False)
def least_squares(a, b, *, rcond):
    """The shortest x that minimizes |a @ x - b|, column by column."""
    u, s, vh = np.linalg.svd(a, full_matrices=False)
    kept = s > rcond * s.max(-1, initial=0, keepdims=True)
    scaled = np.where(kept, 1 / np.where(kept, s, 1), 0).astype(s.dtype)
    turned = np.swapaxes(u, -1, -2).conj() @ b
    return np.swapaxes(vh, -1, -2).conj() @ (scaled[..., None] * turned)


def _least_squares_slopes(g, a, b, rcond):
    inverted = pseudoinverse(a, atol=None, rtol=rcond, hermitian=False)
    return _pseudoinverse_slope(g @ adjoint(b), a, inverted), adjoint(inverted) @ g


least_squares.vjp_joint(_least_squares_slopes)

LstsqResult = result_type("linalg_lstsq", ("solution", "residuals", "rank", "singular_values"))
DRIVERS = ("gels", "gelsy", "gelsd", "gelss")


def lstsq(A, B, rcond=None, *, driver=None):
    """(solution, residuals, rank, singular_values): the X that minimizes |A @ X - B|.

    A (..., m, n), B (..., m, k) or (..., m). Singular values up to rcond (eps * max(m, n)) times
    the greatest count as 0. As in PyTorch
    residuals (sums of squares) are empty unless m > n and A has full rank, and for the driver
    'gelsy', which is the default; rank is empty for 'gels', singular_values but for 'gelsd' and
    'gelss'. All of them use the SVD here.
    """
    matrices("linalg.lstsq", A)
    tensor_argument("linalg.lstsq", "B", B)
    driver = "gelsy" if driver is None else driver
    if driver not in DRIVERS:
        raise RuntimeError(
            "torch.linalg.lstsq: parameter `driver` should be one of (gels, gelsy, gelsd, gelss)"
        )
    vector = B.array.ndim == A.array.ndim - 1
    if vector:
        B = S.unsqueeze(B, -1)
    *_, m, n = A.array.shape
    if B.array.ndim < 2 or B.array.shape[-2] != m:
        raise RuntimeError(
            f"torch.linalg.lstsq: input.size(-2) should match other.size(-2), got {m} and "
            f"{list(B.array.shape)}"
        )
    if A.array.dtype != B.array.dtype:
        raise RuntimeError(
            "torch.linalg.lstsq: Expected input and other to have the same dtype, but got "
            f"{A.dtype} and {B.dtype}"
        )
    sizes = svdvals(A.detach()).array
    A, B = spread_batches("torch.linalg.lstsq", A, B)
    if rcond is None:
        rcond = max(m, n) * float(np.finfo(A.array.dtype).eps)
    x = least_squares(A, B, rcond=float(rcond))
    rank = (sizes > _cutoff(sizes, A.array.shape, None, rcond)).sum(-1)
    nothing = tensor_of(np.empty(0, sizes.dtype))
    residuals = nothing
    if m > n and driver != "gelsy" and np.all(rank == n):
        residuals = S.sum_over(E.square(E.abs(A @ x - B)), dims=(B.array.ndim - 2,), keepdim=False)
    return LstsqResult(
        S.squeeze(x, -1) if vector else x,
        residuals,
        tensor_of(np.empty(0, np.int64) if driver == "gels" else np.asarray(rank, np.int64)),
        tensor_of(sizes) if driver in ("gelsd", "gelss") else nothing,
    )


@takes_out
def cond(A, p=None):
    """Condition numbers |A| * |inverse of A| in a matrix norm: (...).

    p: None or 2 (ratio of the singular values), -2 its inverse, 'fro', 'nuc', inf, -inf, 1, -1,
    for which A must be square; infinity where A is singular.
    """
    matrices("linalg.cond", A)
    if p in (None, 2, -2):
        sizes = svdvals(A)
        if not sizes.array.shape[-1]:
            return tensor_of(np.zeros(sizes.array.shape[:-1], sizes.array.dtype))
        first, last = S.select(sizes, -1, 0), S.select(sizes, -1, -1)
        found = last / first if p == -2 else first / last
        return E.where(E.isnan(found), math.inf, found)
    square("linalg.cond", A)
    if not A.array.size:
        return tensor_of(np.zeros(A.array.shape[:-2], A.array.real.dtype))
    try:
        inverted = inverse_of(A)
    except LinAlgError:
        if A.array.ndim > 2:  # one by one: the others have finite numbers
            parts = [cond(one, p) for one in S.reshape(A, -1, *A.array.shape[-2:])]
            return S.reshape(stack(parts), A.array.shape[:-2])
        return tensor_of(np.asarray(math.inf, A.array.dtype))
    return distance.matrix_norm(A, p) * distance.matrix_norm(inverted, p)


# ---- powers, exponential, chains --------------------------------------------------------------


@takes_out
def matrix_power(A, n):
    """A multiplied by itself, by squaring; its inverse for n < 0; A (..., k, k)."""
    if not isinstance(n, int):
        raise TypeError(f"linalg.matrix_power(): argument 'n' must be int, not {type(n).__name__}")
    tensor_argument("linalg.matrix_power", "A", A)
    if A.array.ndim < 2 or A.array.shape[-1] != A.array.shape[-2]:
        raise RuntimeError(
            "linalg.matrix_power: A must be batches of square matrices, but they are "
            f"{list(A.array.shape)}"
        )
    if n < 0:
        A, n = inverse_of(square("linalg.matrix_power", A)), -n
    if n == 0:
        one = tensor_of(np.eye(A.array.shape[-1], dtype=A.array.dtype))
        return S.expand_to(one, shape=A.array.shape).clone()
    product = None
    while n:
        if n & 1:
            product = A if product is None else product @ A
        n >>= 1
        if n:
            A = A @ A
    return E.clone(product) if product is A else product


# N. J. Higham, The scaling and squaring method for the matrix exponential revisited (2005): the
# (13, 13) Pade approximant is exact to double precision for |A| <= 5.37.
_PADE = (
    64764752532480000, 32382376266240000, 7771770303897600, 1187353796428800, 129060195264000,
    10559470521600, 670442572800, 33522128640, 1323241920, 40840800, 960960, 16380, 182, 1,
)  # fmt: skip
_PADE_RADIUS = 5.371920351148152


@primitive(node_name="LinalgMatrixExp", conjugates=False)
def matrix_exponential(x):
    """e to the power of square matrices, computed in double precision."""
    wide = np.complex128 if x.dtype.kind == "c" else np.float64
    a = stacked(x.astype(wide))
    if not a.size:
        return x.copy()
    norms = np.abs(a).sum(-2).max(-1)
    finite = np.isfinite(norms)
    halvings = np.zeros(len(a), np.int64)
    above = finite & (norms > _PADE_RADIUS)
    halvings[above] = np.ceil(np.log2(norms[above] / _PADE_RADIUS)).astype(np.int64)
    a = np.where(finite[:, None, None], a, 0) * np.exp2(-halvings.astype(float))[:, None, None]
    b, one = _PADE, np.eye(x.shape[-1])
    a2 = a @ a
    a4 = a2 @ a2
    a6 = a4 @ a2
    odd = a6 @ (b[13] * a6 + b[11] * a4 + b[9] * a2)
    odd = a @ (odd + b[7] * a6 + b[5] * a4 + b[3] * a2 + b[1] * one)
    even = a6 @ (b[12] * a6 + b[10] * a4 + b[8] * a2)
    even = even + b[6] * a6 + b[4] * a4 + b[2] * a2 + b[0] * one
    result = np.linalg.solve(even - odd, even + odd)
    for step in range(halvings.max(initial=0)):
        rest = halvings > step
        result[rest] = result[rest] @ result[rest]
    result[~finite] = np.nan
    return result.reshape(x.shape).astype(x.dtype)


def _exponential_slope(g, x):
    # The exponential of [[x, g], [0, x]] holds the derivative at x in direction g above.
    n, turned = x.array.shape[-1], adjoint(x)
    below = cat([g * 0, turned], -1)
    both = matrix_exponential(cat([cat([turned, g], -1), below], -2))
    return S.narrow(S.narrow(both, -2, 0, n), -1, n, n)


matrix_exponential.vjp(x=_exponential_slope)


def matrix_exp(A):
    """Exponentials of square matrices (..., n, n): the sum of A^k / k!."""
    return matrix_exponential(square("linalg.matrix_exp", A))


def old_matrix_exp(input):
    """`linalg.matrix_exp`."""
    return matrix_exponential(square("matrix_exp", input))


@takes_out
def old_matrix_power(input, n):
    """`linalg.matrix_power`."""
    return matrix_power(input, n)


def _best_splits(lengths):
    """split[i][j]: where to part the chain i..j of matrices (lengths[i], lengths[i + 1]).

    T. H. Cormen et al., Introduction to Algorithms, section 15.2.
    """
    n = len(lengths) - 1
    cost = [[0] * n for _ in range(n)]
    split = [[0] * n for _ in range(n)]
    for span in range(1, n):
        for i in range(n - span):
            j = i + span
            cost[i][j], split[i][j] = min(
                (cost[i][k] + cost[k + 1][j] + lengths[i] * lengths[k + 1] * lengths[j + 1], k)
                for k in range(i, j)
            )
    return split


@takes_out
def multi_dot(tensors):
    """Product of two or more matrices in the cheapest order; the first and last may be vectors."""
    tensors = list(tensors)
    if len(tensors) < 2:
        raise RuntimeError(f"multi_dot(): expected at least 2 tensors but got {len(tensors)}")
    for i, x in enumerate(tensors):
        tensor_argument("multi_dot", f"tensors[{i}]", x)
        end = i in (0, len(tensors) - 1)
        if x.array.ndim != 2 and not (end and x.array.ndim == 1):
            what = "1D or 2D" if end else "2D"
            raise RuntimeError(f"multi_dot(): tensor {i} must be {what} but got {x.array.ndim}D")
    row, column = tensors[0].array.ndim == 1, tensors[-1].array.ndim == 1
    if row:
        tensors[0] = S.unsqueeze(tensors[0], 0)
    if column:
        tensors[-1] = S.unsqueeze(tensors[-1], -1)
    for i, (a, b) in enumerate(itertools.pairwise(tensors)):
        if a.array.shape[1] != b.array.shape[0]:
            raise RuntimeError(
                f"multi_dot(): tensors {i} and {i + 1} with shapes {list(a.array.shape)} and "
                f"{list(b.array.shape)} cannot be multiplied"
            )
    split = _best_splits([tensors[0].array.shape[0], *[x.array.shape[1] for x in tensors]])

    def product(i, j):
        if i == j:
            return tensors[i]
        k = split[i][j]
        return matmul(product(i, k), product(k + 1, j))

    found = product(0, len(tensors) - 1)
    if row:
        found = S.squeeze(found, 0)
    return S.squeeze(found, -1) if column else found


@takes_out
def chain_matmul(*matrices):
    """Product of matrices in the cheapest order: the old name of `linalg.multi_dot`."""
    if len(matrices) == 1 and not is_tensor(matrices[0]):
        matrices = tuple(matrices[0])
    if not matrices:
        raise RuntimeError("chain_matmul(): Expected one or more matrices")
    return matrices[0] if len(matrices) == 1 else multi_dot(matrices)


# ---- tensors as matrices ----------------------------------------------------------------------


@takes_out
def tensorinv(A, ind=2):
    """The inverse of A as a map between tensors: tensordot(tensorinv(A), B, ind) solves for X."""
    tensor_argument("linalg.tensorinv", "A", A)
    if ind <= 0:
        raise RuntimeError("Expected a strictly positive integer for 'ind'")
    front, back = A.array.shape[:ind], A.array.shape[ind:]
    if math.prod(front) != math.prod(back):
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[ind:]) == prod(self.shape"
            f"[:ind]), but got {math.prod(back)} != {math.prod(front)}"
        )
    flat = S.reshape(A, math.prod(front), math.prod(back))
    return S.reshape(inverse_of(square("linalg.tensorinv", flat)), (*back, *front))


@takes_out
def tensorsolve(A, B, dims=None):
    """X with tensordot(A, X, X.ndim) = B; `dims` of A are first moved to its end."""
    tensor_argument("linalg.tensorsolve", "A", A)
    tensor_argument("linalg.tensorsolve", "B", B)
    if dims is not None:
        A = S.movedim(A, tuple(dims), tuple(range(A.array.ndim - len(dims), A.array.ndim)))
    rest = A.array.shape[B.array.ndim :]
    if math.prod(rest) != B.array.size or A.array.size != B.array.size**2:
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == "
            f"prod(self.shape[:other.ndim]), but got {list(A.array.shape)} and "
            f"{list(B.array.shape)}"
        )
    flat = S.reshape(A, B.array.size, -1)
    return S.reshape(solve(flat, S.reshape(B, -1)), rest)


def _powers(x, n, function):
    tensor_argument(function, "x", x)
    n = x.array.shape[-1] if n is None else n
    if x.array.dtype.kind == "b":
        x = x.long()
    ones = tensor_of(np.ones((*x.array.shape, 1), x.array.dtype))
    if n <= 1:
        return S.narrow(ones, -1, 0, n)
    repeated = S.expand_to(S.unsqueeze(x, -1), shape=(*x.array.shape, n - 1))
    return cat([ones, repeated.cumprod(-1)], -1)


def vander(x, *, N=None):
    """Vandermonde matrices: powers 0 to N - 1 of x (..., n) as (..., n, N); N is n by default."""
    if N is not None and N <= 1:
        raise RuntimeError("N must be greater than 1.")
    if tensor_argument("linalg.vander", "x", x).array.dtype.kind == "b":
        raise RuntimeError(
            "linalg.vander supports floating point, complex, and integer tensors, but got Bool"
        )
    return _powers(x, N, "linalg.vander")


def old_vander(x, N=None, increasing=False):
    """Vandermonde matrix of a vector: powers N - 1 down to 0, or rising; N is len(x) by default."""
    if tensor_argument("vander", "x", x).array.ndim != 1:
        raise RuntimeError("x must be a one-dimensional tensor.")
    if N is not None and N < 0:
        raise RuntimeError("N must be non-negative.")
    found = _powers(x, N, "vander")
    return found if increasing else found.flip(-1)


# ---- matrices from others ---------------------------------------------------------------------


@takes_out
def kron(input, other):
    """Kronecker product: each element of `input` times all of `other`, dimension by dimension."""
    tensor_argument("kron", "input", input), tensor_argument("kron", "other", other)
    ndim = max(input.array.ndim, other.array.ndim)
    a, b = ((1,) * (ndim - x.array.ndim) + x.array.shape for x in (input, other))
    spaced = tuple([n for m in a for n in (m, 1)]), tuple([n for m in b for n in (1, m)])
    product = S.reshape_to(input, shape=spaced[0]) * S.reshape_to(other, shape=spaced[1])
    return S.reshape_to(product, shape=tuple([m * n for m, n in zip(a, b)]))


def block_diag(*tensors):
    """A matrix with the given matrices along its diagonal and zeros elsewhere; vectors are rows."""
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        tensors = tuple(tensors[0])
    if not tensors:
        return tensor_of(np.empty((1, 0), _dtype.get_default_dtype().dtype))
    for i, x in enumerate(tensors):
        if tensor_argument("block_diag", f"tensors[{i}]", x).array.ndim > 2:
            raise RuntimeError(
                "torch.block_diag: Input tensors must have 2 or fewer dimensions. Input "
                f"{i} has {x.array.ndim} dimensions"
            )
    blocks = [S.reshape(x, 1, -1) if x.array.ndim < 2 else x for x in tensors]
    columns = sum(x.array.shape[1] for x in blocks)
    rows, start = [], 0
    for x in blocks:
        height, width = x.array.shape
        sides = [(height, start), (height, columns - start - width)]
        left, right = (tensor_of(np.zeros(side, x.array.dtype)) for side in sides)
        rows.append(cat([left, x, right], 1))
        start += width
    return cat(rows, 0)


# ---- low rank ---------------------------------------------------------------------------------


def svd_lowrank(A, q=6, niter=2, M=None):
    """(U, S, V) of the rank q approximation of A - M, by random projection.

    N. Halko, P. Martinsson and J. Tropp, Finding structure with randomness (2009), algorithm 5.1:
    `niter` steps of subspace iteration on q random directions.
    """
    matrices("svd_lowrank", A)
    if M is not None:
        A = A - S.expand_to(M, shape=A.array.shape)
    m, n = A.array.shape[-2:]
    if m < n:
        u, s, v = svd_lowrank(adjoint(A), q, niter)
        return v, s, u
    start = tensor_of(random.normal_array((n, q), A.array.dtype))
    basis = qr(A @ start)[0]
    for _ in range(niter):
        basis = qr(A @ qr(adjoint(A) @ basis)[0])[0]
    u, s, v = old_svd(adjoint(basis) @ A)
    return basis @ u, s, v


def pca_lowrank(A, q=None, center=True, niter=2):
    """(U, S, V): principal directions V of the rows of A (..., m, n) by `svd_lowrank`.

    q: number of directions, min(6, m, n) by default. center: subtract the mean of the columns.
    """
    matrices("pca_lowrank", A)
    m, n = A.array.shape[-2:]
    q = min(6, m, n) if q is None else q
    if not 0 <= q <= min(m, n):
        raise ValueError(
            f"q(={q}) must be non-negative integer and not greater than min(m, n)={min(m, n)}"
        )
    if niter < 0:
        raise ValueError(f"niter(={niter}) must be non-negative integer")
    return svd_lowrank(A - A.mean(-2, keepdim=True) if center else A, q, niter)
