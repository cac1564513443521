"""Factorizations of matrices over NumPy's LAPACK, all batched (..., m, n) and differentiable:
inverse, determinants, Cholesky, QR, SVD, symmetric eigenvectors, LU and triangular systems.

The gradients are those of M. Giles, An extended collection of matrix derivative results for forward
and reverse mode algorithmic differentiation (2008), and J. Townsend, Differentiating the singular
value decomposition (2016). They are Tensor operations, hence differentiable again. Those of complex
matrices are PyTorch's, conjugate Wirtinger derivatives: `adjoint` where real formulas transpose.
"""

import math

import numpy as np

from fastdl import backends
from fastdl._engine import is_grad_enabled, tensor_of
from fastdl.ops import elementwise as E
from fastdl.ops import shape as S
from fastdl.ops.complex import complex, imag, real
from fastdl.ops.core import legacy_name, primitive, result_type, takes_out, tensor_argument
from fastdl.ops.diagonal import diagonal_of, onto_diagonal, tril, triu
from fastdl.ops.join import cat
from fastdl.ops.linalg import swap_last


class LinAlgError(RuntimeError):
    """A matrix that the factorization cannot take: singular, not positive definite, not finite."""


# ---- arguments --------------------------------------------------------------------------------


def matrices(function, x, name="A"):
    """`x`, a Tensor of at least two dimensions whose dtype LAPACK takes; RuntimeError if not."""
    tensor_argument(function, name, x)
    if x.array.ndim < 2:
        raise RuntimeError(
            f"{function}: The input tensor {name} must have at least 2 dimensions, but it has "
            f"{x.array.ndim}"
        )
    if x.array.dtype.kind not in "fc":
        raise RuntimeError(
            f"{function}: Expected a floating point or complex tensor as input. Got "
            f"{legacy_name(x.array.dtype)}"
        )
    if x.array.dtype.char not in "fdFD":
        raise NotImplementedError(
            f"{function}: Low precision dtypes not supported. Got {legacy_name(x.array.dtype)}"
        )
    return x


def square(function, x, name="A"):
    """`matrices` whose last two dimensions are equal."""
    m, n = matrices(function, x, name).array.shape[-2:]
    if m != n:
        raise RuntimeError(
            f"{function}: {name} must be batches of square matrices, but they are {m} by {n} "
            "matrices"
        )
    return x


def adjoint(x):
    """Matrices transposed and, if complex, conjugated."""
    return swap_last(x.conj() if x.array.dtype.kind == "c" else x)


def spread_batches(function, a, b):
    """`a` and `b` with their batch dimensions broadcast against each other."""
    shapes = a.array.shape[:-2], b.array.shape[:-2]
    if shapes[0] == shapes[1]:
        return a, b
    try:
        batch = np.broadcast_shapes(*shapes)
    except ValueError:
        raise RuntimeError(
            f"{function}: the batch dimensions {list(shapes[0])} and {list(shapes[1])} do not "
            "broadcast"
        ) from None
    return tuple([S.expand_to(x, shape=(*batch, *x.array.shape[-2:])) for x in (a, b)])


def diagonal_matrix(x):
    """Square matrices with the last dimension of x on their diagonals."""
    n = x.array.shape[-1]
    shape = (*x.array.shape, n)
    return onto_diagonal(x, shape=shape, offset=0, dim1=-2, dim2=-1)


def diagonals(x):
    """The main diagonals of matrices."""
    return diagonal_of(x, offset=0, dim1=-2, dim2=-1)


def stacked(x):
    """An array of matrices with one batch dimension."""
    return x.reshape(math.prod(x.shape[:-2]), *x.shape[-2:])


def _first_bad(x, attempt):
    """Index into the flattened batch of the first matrix that `attempt` raises LinAlgError for."""
    for i, one in enumerate(stacked(x)):
        try:
            attempt(one)
        except np.linalg.LinAlgError:
            return i
    return 0


def _which(x, attempt):
    return f" (Batch element {_first_bad(x, attempt)})" if x.ndim > 2 else ""


def _failure(function, x):
    """LinAlgError for an iteration that failed."""
    why = (
        "the algorithm failed to converge"
        if np.isfinite(x).all()
        else "the algorithm failed to converge because the input matrix contained non-finite values"
    )
    return LinAlgError(f"{function}: {why}.")


# ---- inverse and determinants -----------------------------------------------------------------


@primitive(node_name="LinalgInvEx", conjugates=False)
def inverse_of(x):
    """Inverses of square matrices (..., n, n); LinAlgError where one is singular."""
    try:
        return np.linalg.inv(x)
    except np.linalg.LinAlgError:
        raise LinAlgError(
            f"linalg.inv:{_which(x, np.linalg.inv)} the inversion could not be completed because "
            "the input matrix is singular."
        ) from None


inverse_of.vjp(x=lambda g, out: -(adjoint(out) @ g @ adjoint(out)))


@primitive(node_name="LinalgDet")
def det_of(x):
    """Determinants of square matrices (..., n, n) -> (...)."""
    return np.asarray(np.linalg.det(x), x.dtype)


@primitive
def cofactors(x):
    """Gradients of determinants: `det(x) * inv(x).T`, which exists for singular matrices too.

    There it is built from the SVD: det(U) det(V) U diag(products of the other singular values) V.T
    """
    u, s, vh = np.linalg.svd(x)
    n = s.shape[-1]
    others = np.repeat(s[..., None, :], n, -2)
    others[..., np.arange(n), np.arange(n)] = 1
    signs = np.linalg.det(u) * np.linalg.det(vh)
    products = others.prod(-1) * np.asarray(signs)[..., None]
    return np.asarray(u.conj() * products[..., None, :] @ vh.conj(), x.dtype)


def _det_slope(g, x, out):
    g = S.reshape_to(g, shape=(*g.array.shape, 1, 1))
    return g * cofactors(x)


def _cofactors_slope(h, x, out):
    inverted = swap_last(inverse_of(x))
    along = S.sum_over(h * out, dims=(h.array.ndim - 2, h.array.ndim - 1), keepdim=True)
    return along * inverted - out @ swap_last(h) @ inverted


det_of.vjp(x=_det_slope)
cofactors.vjp(x=_cofactors_slope)


@primitive(node_name="LinalgSlogdet", conjugates=False)
def slogdet_of(x):
    """(sign, log of the absolute value) of determinants."""
    sign, size = np.linalg.slogdet(x)
    real = np.empty(0, x.dtype).real.dtype
    return np.asarray(sign, x.dtype), np.asarray(size, real)


def _slogdet_slope(g, x, out):
    of_sign, slope = g
    if of_sign is not None and x.array.dtype.kind == "c":
        turn = imag(of_sign.conj() * out[0])
        slope = complex(turn * 0 if slope is None else slope, -turn)
    if slope is None:  # the sign of a real determinant does not change
        return None
    return S.reshape_to(slope, shape=(*slope.array.shape, 1, 1)) * adjoint(inverse_of(x))


slogdet_of.vjp(x=_slogdet_slope)

SlogdetResult = result_type("linalg_slogdet", ("sign", "logabsdet"))
OldSlogdetResult = result_type("slogdet", ("sign", "logabsdet"))
InvExResult = result_type("linalg_inv_ex", ("inverse", "info"))


@takes_out
def inv(A):
    """Inverses of square matrices (..., n, n). LinAlgError where one is singular."""
    return inverse_of(square("linalg.inv", A))


@takes_out
def inverse(input):
    """`linalg.inv`."""
    return inverse_of(square("linalg.inv", input))


@takes_out
def inv_ex(A, *, check_errors=False):
    """(inverse, info): info (...) int32 is 0, or the number of the pivot that is 0.

    Where a matrix is singular its inverse holds no useful values; with `check_errors`
    LinAlgError is raised instead.
    """
    square("linalg.inv_ex", A)
    info = _zero_pivots(A.array)
    if check_errors or not info.any():
        return InvExResult(inverse_of(A), tensor_of(info))
    good = tensor_of(np.asarray(info == 0)[..., None, None])
    safe = E.where(good, A, tensor_of(np.eye(A.array.shape[-1], dtype=A.array.dtype)))
    return InvExResult(E.where(good, inverse_of(safe), np.nan), tensor_of(info))


def _zero_pivots(x):
    """Per matrix the number (from 1) of the first zero on the diagonal of U; 0 if there is none."""
    return _first_zeros(lu_arrays(x, True)[0])


def _first_zeros(lu):
    zero = np.diagonal(lu, 0, -2, -1) == 0
    if not zero.shape[-1]:
        return np.zeros(zero.shape[:-1], np.int32)
    return np.asarray(np.where(zero.any(-1), zero.argmax(-1) + 1, 0), np.int32)


@takes_out
def det(A):
    """Determinants of square matrices (..., n, n) -> (...)."""
    return det_of(square("linalg.det", A))


def old_det(input):
    """`linalg.det`."""
    return det_of(square("linalg.det", input))


@takes_out
def slogdet(A):
    """(sign, logabsdet) of the determinants of square matrices; the logarithm is -inf at 0."""
    return SlogdetResult(*slogdet_of(square("linalg.slogdet", A)))


@takes_out
def old_slogdet(input):
    """`linalg.slogdet`."""
    return OldSlogdetResult(*slogdet_of(square("linalg.slogdet", input)))


def logdet(input):
    """Logarithms of determinants: NaN where one is negative."""
    sign, size = slogdet_of(square("logdet", input))
    if input.array.dtype.kind == "c":
        return E.log(sign) + size
    return E.where(sign == -1.0, np.nan, size)


# ---- Cholesky ---------------------------------------------------------------------------------


@primitive(node_name="LinalgCholeskyEx", conjugates=False)
def cholesky_of(x):
    """Lower triangular L with x = L @ L.T, of which the lower triangle is read."""
    try:
        return np.linalg.cholesky(x)
    except np.linalg.LinAlgError:
        i = _first_bad(x, np.linalg.cholesky)
        where = f" (Batch element {i}):" if x.ndim > 2 else ""
        raise LinAlgError(
            f"linalg.cholesky:{where} The factorization could not be completed because the input "
            "is not positive-definite (the leading minor of order "
            f"{_bad_minor(stacked(x)[i])} is not positive-definite)."
        ) from None


def _bad_minor(x):
    """Order of the first leading minor of a matrix that has no Cholesky factor; 0 if all have."""
    low, high = 0, len(x) + 1  # the minor of order `low` has one, that of order `high` has none
    while high - low > 1:
        middle = (low + high) // 2
        try:
            np.linalg.cholesky(x[:middle, :middle])
            low = middle
        except np.linalg.LinAlgError:
            high = middle
    return 0 if high > len(x) else high


def _cholesky_slope(g, out):
    turned = adjoint(out)
    p = tril(turned @ g)
    p = (p + adjoint(tril(p, -1))) * 0.5
    right = solve_triangular(turned, p, upper=True)
    return adjoint(solve_triangular(turned, adjoint(right), upper=True))


cholesky_of.vjp(x=_cholesky_slope)

CholeskyExResult = result_type("linalg_cholesky_ex", ("L", "info"))


@takes_out
def cholesky(A, *, upper=False):
    """L with A = L @ L.T for positive definite A (..., n, n); `upper`: its transpose.

    LinAlgError names the first minor that is not positive definite.
    """
    square("linalg.cholesky", A)
    return adjoint(cholesky_of(adjoint(A))) if upper else cholesky_of(A)


@takes_out
def old_cholesky(input, upper=False):
    """`linalg.cholesky`."""
    return cholesky(input, upper=upper)


@takes_out
def cholesky_ex(A, *, upper=False, check_errors=False):
    """(L, info): info (...) int32 is 0, or the order of the first minor that is not positive
    definite, in which case L holds NaN.
    """
    square("linalg.cholesky_ex", A)
    if check_errors:
        found = cholesky(A, upper=upper)
        return CholeskyExResult(found, tensor_of(np.zeros(A.array.shape[:-2], np.int32)))
    x = np.swapaxes(A.array, -1, -2).conj() if upper else A.array
    orders = [_bad_minor(one) for one in stacked(x)]
    info = tensor_of(np.reshape(np.asarray(orders, np.int32), x.shape[:-2]))
    if not info.array.any():
        return CholeskyExResult(cholesky(A, upper=upper), info)
    good = tensor_of(np.asarray(info.array == 0)[..., None, None])
    safe = E.where(good, A, tensor_of(np.eye(x.shape[-1], dtype=x.dtype)))
    return CholeskyExResult(E.where(good, cholesky(safe, upper=upper), np.nan), info)


@takes_out
def cholesky_solve(input, L, upper=False):
    """X with A @ X = input, for the Cholesky factor L of A (`upper`: A = L.T @ L)."""
    square("cholesky_solve", L, "L")
    matrices("cholesky_solve", input, "input")
    lower = adjoint(L) if upper else L
    half = solve_triangular(lower, input, upper=False)
    return solve_triangular(adjoint(lower), half, upper=True)


@takes_out
def cholesky_inverse(input, upper=False):
    """The inverse of A from its Cholesky factor."""
    square("cholesky_inverse", input, "input")
    n = input.array.shape[-1]
    return cholesky_solve(tensor_of(np.eye(n, dtype=input.array.dtype)), input, upper)


# ---- triangular systems -----------------------------------------------------------------------

_BASE = 16  # rows solved one by one; above that, halves and a matrix product


def _substitute(t, b, unit):
    """Overwrite b with the solution of t @ x = b for lower triangular t."""
    n = t.shape[-1]
    if n <= _BASE:
        for i in range(n):
            row = b[..., i, :]
            if i:
                row -= (t[..., i : i + 1, :i] @ b[..., :i, :])[..., 0, :]
            if not unit:
                row /= t[..., i, i, None]
        return
    half = n // 2
    _substitute(t[..., :half, :half], b[..., :half, :], unit)
    b[..., half:, :] -= _product(t[..., half:, :half], b[..., :half, :])
    _substitute(t[..., half:, half:], b[..., half:, :], unit)


def _product(a, b):
    return backends.of(a).matmul(a, b) if a.dtype.char in "fd" else a @ b


def solve_triangular_arrays(t, b, upper, unit):
    """x with t @ x = b, of arrays."""
    x = np.array(b, order="C")
    if upper:  # read from the end, an upper triangle is a lower one
        _substitute(t[..., ::-1, ::-1], x[..., ::-1, :], unit)
    else:
        _substitute(t, x, unit)
    return x


@primitive(node_name="LinalgSolveTriangular", conjugates=False)
def triangular_solution(t, b, *, upper, unit):
    """x with t @ x = b, for triangular t of which only that triangle is read."""
    return solve_triangular_arrays(t, b, upper, unit)


def _triangular_slopes(g, t, out, upper, unit, needs):
    of_b = triangular_solution(adjoint(t), g, upper=not upper, unit=unit)
    of_t = None
    if needs[0]:
        of_t = (triu if upper else tril)(-(of_b @ adjoint(out)), (1 if upper else -1) * unit)
    return of_t, of_b


triangular_solution.vjp_joint(_triangular_slopes)


@takes_out
def solve_triangular(A, B, *, upper, left=True, unitriangular=False):
    """X with A @ X = B (`left` False: X @ A = B) for triangular A (..., n, n), B (..., n, k).

    Only the triangle that `upper` names is read, without its diagonal if `unitriangular`. A zero
    on the diagonal gives infinities.
    """
    square("linalg.solve_triangular", A)
    matrices("linalg.solve_triangular", B, "B")
    if not left:
        A, B, upper = swap_last(A), swap_last(B), not upper
    A, B = _solvable("linalg.solve_triangular", A, B)
    found = triangular_solution(A, B, upper=bool(upper), unit=bool(unitriangular))
    return found if left else swap_last(found)


def _solvable(function, A, B):
    """A and B with their batches broadcast; RuntimeError unless they fit each other."""
    if A.array.dtype != B.array.dtype:
        raise RuntimeError(
            f"{function}: Expected A and B to have the same dtype, but found A of type "
            f"{legacy_name(A.array.dtype)} and B of type {legacy_name(B.array.dtype)} instead"
        )
    if A.array.shape[-1] != B.array.shape[-2]:
        (m, n), (rows, columns) = A.array.shape[-2:], B.array.shape[-2:]
        raise RuntimeError(
            f"{function}: Incompatible shapes of A and B for the equation AX = B ({m}x{n} and "
            f"{rows}x{columns})"
        )
    return spread_batches(function, A, B)


TriangularSolveResult = result_type("triangular_solve", ("solution", "cloned_coefficient"))


@takes_out
def triangular_solve(input, A, upper=True, transpose=False, unitriangular=False):
    """(solution of A @ X = input, A): the old name of `linalg.solve_triangular`."""
    square("triangular_solve", A)
    t = adjoint(A) if transpose else A
    found = solve_triangular(t, input, upper=upper != transpose, unitriangular=unitriangular)
    return TriangularSolveResult(found, E.clone(A))


# ---- systems of equations ---------------------------------------------------------------------


@primitive(node_name="LinalgSolveEx", conjugates=False)
def solution(a, b):
    """x with a @ x = b, for square matrices a (..., n, n) and b (..., n, k)."""
    try:
        return np.linalg.solve(a, b)
    except np.linalg.LinAlgError:
        raise LinAlgError(
            f"torch.linalg.solve:{_which(a, np.linalg.inv)} The solver failed because the input "
            "matrix is singular."
        ) from None


def _solution_slopes(g, a, out):
    of_b = solution(adjoint(a), g)
    return -(of_b @ adjoint(out)), of_b


solution.vjp_joint(_solution_slopes)

SolveExResult = result_type("linalg_solve_ex", ("result", "info"))


def _is_vector(A, B):
    """Does B hold vectors rather than matrices, by PyTorch's rule?"""
    return B.array.ndim == 1 or B.array.shape == A.array.shape[:-1]


@takes_out
def solve(A, B, *, left=True):
    """X with A @ X = B (`left` False: X @ A = B) for square A (..., n, n).

    B is (..., n, k), or holds vectors: (n,), or (..., n) with the batch of A. LinAlgError where
    A is singular.
    """
    square("linalg.solve", A)
    tensor_argument("linalg.solve", "B", B)
    vector = _is_vector(A, B)
    B = S.unsqueeze(B, -1) if vector else matrices("linalg.solve", B, "B")
    if vector and not left:
        raise RuntimeError(
            "linalg.solve: Vector broadcasting of the left hand side is not supported for "
            "left=False"
        )
    if left:
        A, B = _solvable("linalg.solve", A, B)
        found = solution(A, B)
        return S.squeeze(found, -1) if vector else found
    A, B = _solvable("linalg.solve", swap_last(A), swap_last(B))
    return swap_last(solution(A, B))


@takes_out
def solve_ex(A, B, *, left=True, check_errors=False):
    """(solution, info): info (...) int32 is 0, or the number of the pivot of A that is 0, in
    which case the solution holds NaN.
    """
    square("linalg.solve_ex", A)
    info = _zero_pivots(A.array)
    if check_errors or not info.any():
        return SolveExResult(solve(A, B, left=left), tensor_of(info))
    good = tensor_of(np.asarray(info == 0)[..., None, None])
    safe = E.where(good, A, tensor_of(np.eye(A.array.shape[-1], dtype=A.array.dtype)))
    found = solve(safe, B, left=left)
    if _is_vector(A, B):
        good = S.squeeze(good, -1)
    return SolveExResult(E.where(good, found, np.nan), tensor_of(info))


# ---- QR ---------------------------------------------------------------------------------------


@primitive(node_name="LinalgQr", conjugates=False)
def qr_of(x, *, mode):
    """(Q, R) of matrices (..., m, n): 'reduced' or 'complete'; 'r': Q is empty."""
    if mode == "r":
        return np.empty(0, x.dtype), np.ascontiguousarray(np.linalg.qr(x, mode))
    return tuple(np.linalg.qr(x, mode))


def _qr_slope(g, x, out, mode):
    m, n = x.array.shape[-2:]
    if mode == "complete" and m > n:
        raise RuntimeError(
            "The QR decomposition is not differentiable when mode='complete' and nrows > ncols"
        )
    if mode == "r":
        raise RuntimeError(
            "The derivative of linalg.qr depends on Q, which is not computed when mode='r'. Please "
            "use linalg.qr(A, mode='reduced') if you are going to require gradients through "
            "linalg.qr"
        )
    (of_q, of_r), (q, r) = g, out
    if m >= n:
        return _tall_qr_slope(of_q, of_r, q, r)
    # wide: x = [left | right], left = q @ r[:, :m], r[:, m:] = q.T @ right
    of_right = None
    if of_r is not None:
        of_left_r = S.narrow(of_r, -1, 0, m)
        of_right_r = S.narrow(of_r, -1, m, n - m)
        of_right = q @ of_right_r
        through = S.narrow(x, -1, m, n - m) @ adjoint(of_right_r)
        of_q = through if of_q is None else of_q + through
    else:
        of_left_r = None
    of_left = _tall_qr_slope(of_q, of_left_r, q, S.narrow(r, -1, 0, m))
    if of_right is None:
        of_right = S.narrow(x, -1, m, n - m) * 0
    return cat([of_left, of_right], -1)


def _tall_qr_slope(of_q, of_r, q, r):
    inner = None
    if of_r is not None:
        inner = r @ adjoint(of_r)
    if of_q is not None:
        part = adjoint(of_q) @ q
        inner = -part if inner is None else inner - part
    lower = tril(inner, -1)
    right = q @ (lower + adjoint(lower) + diagonal_matrix(real(diagonals(inner)).to(q.dtype)))
    if of_q is not None:
        right = right + of_q
    return adjoint(solve_triangular(r, adjoint(right), upper=True))


qr_of.vjp(x=_qr_slope)

QrResult = result_type("linalg_qr", ("Q", "R"))
OldQrResult = result_type("qr", ("Q", "R"))


def _qr(function, A, mode, result):
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(
            f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), 'r', "
            "or 'complete'"
        )
    matrices(function, A)
    return result(*qr_of(A, mode=mode))


@takes_out
def qr(A, mode="reduced"):
    """(Q, R) with A = Q @ R, Q with orthonormal columns, R upper triangular; A (..., m, n).

    mode: 'reduced' (Q is (..., m, min(m, n))), 'complete' (Q is (..., m, m)), 'r' (Q is empty).
    """
    return _qr("linalg.qr", A, mode, QrResult)


@takes_out
def old_qr(input, some=True):
    """`linalg.qr`: some=False is its mode 'complete'."""
    return _qr("qr", input, "reduced" if some else "complete", OldQrResult)


# ---- singular values --------------------------------------------------------------------------


@primitive(node_name="LinalgSvd", conjugates=False)
def svd_of(x, *, full_matrices):
    """(U, singular values falling, Vh) of matrices (..., m, n)."""
    u, s, vh = _svd_arrays(x, full_matrices=full_matrices)
    return u, s, vh


def _svd_arrays(x, **options):
    try:
        return np.linalg.svd(x, **options)
    except np.linalg.LinAlgError:
        raise _failure("linalg.svd", x) from None


def _gaps(values):
    """values[j] - values[i] at place (i, j); 1 on the diagonal."""
    gap = S.unsqueeze(values, -2) - S.unsqueeze(values, -1)
    eye = tensor_of(np.eye(gap.array.shape[-1], dtype=bool))
    return E.masked_fill(gap, eye, 1.0)


def _svd_slope(g, out):
    of_u, of_s, of_vh = g
    u, s, vh = out
    k = s.array.shape[-1]
    u, v = S.narrow(u, -1, 0, k), adjoint(S.narrow(vh, -2, 0, k))
    middle = diagonal_matrix(of_s.to(u.dtype)) if of_s is not None else None
    columns, rows = S.unsqueeze(s, -2), S.unsqueeze(s, -1)
    left = right = None
    if of_u is not None or of_vh is not None:
        gaps = _gaps(E.square(s))
    if of_u is not None:
        of_u = S.narrow(of_u, -1, 0, k)
        inner = adjoint(u) @ of_u
        part = (inner - adjoint(inner)) / gaps * columns
        middle = part if middle is None else middle + part
        left = (of_u - u @ inner) / columns  # the part that leaves the space of u
    if of_vh is not None:
        of_v = adjoint(S.narrow(of_vh, -2, 0, k))
        inner = adjoint(v) @ of_v
        part = rows * ((inner - adjoint(inner)) / gaps)
        middle = part if middle is None else middle + part
        right = (of_v - v @ inner) / columns
    slope = u @ middle @ adjoint(v)
    if left is not None and u.array.shape[-2] > k:
        slope = slope + left @ adjoint(v)
    if right is not None and v.array.shape[-2] > k:
        slope = slope + u @ adjoint(right)
    return slope


svd_of.vjp(x=_svd_slope)

SvdResult = result_type("linalg_svd", ("U", "S", "Vh"))
OldSvdResult = result_type("svd", ("U", "S", "V"))


@takes_out
def svd(A, full_matrices=True, *, driver=None):
    """(U, S, Vh) with A = U @ diag(S) @ Vh; A (..., m, n), S (..., min(m, n)) falling.

    full_matrices False: U and Vh have min(m, n) columns and rows. The gradient needs different
    singular values where it goes through U or Vh. `driver` is for CUDA.
    """
    _no_driver("linalg.svd", driver)
    return SvdResult(*svd_of(matrices("linalg.svd", A), full_matrices=bool(full_matrices)))


def _no_driver(function, driver):
    if driver is not None:
        raise RuntimeError(
            f"{function}: keyword argument `driver=` is only supported on CUDA inputs with "
            "cuSOLVER backend."
        )


@takes_out
def svdvals(A, *, driver=None):
    """Singular values (..., min(m, n)), falling."""
    _no_driver("linalg.svdvals", driver)
    matrices("linalg.svdvals", A)
    if A.requires_grad and is_grad_enabled():
        return svd_of(A, full_matrices=False)[1]
    return tensor_of(_svd_arrays(A.array, compute_uv=False))


@takes_out
def old_svd(input, some=True, compute_uv=True):
    """(U, S, V) with input = U @ diag(S) @ V.T: note V, not Vh. Without `compute_uv` U and V are
    zeros.
    """
    matrices("svd", input)
    if not compute_uv:
        *batch, m, n = input.array.shape
        zeros = [tensor_of(np.zeros((*batch, k, k), input.array.dtype)) for k in (m, n)]
        return OldSvdResult(zeros[0], svdvals(input), zeros[1])
    u, s, vh = svd_of(input, full_matrices=not some)
    return OldSvdResult(u, s, adjoint(vh))


# ---- eigenvalues of symmetric matrices --------------------------------------------------------


@primitive(node_name="LinalgEigh", conjugates=False)
def eigh_of(x, *, UPLO):
    """(eigenvalues rising, eigenvectors as columns) of symmetric matrices."""
    return tuple(_converged("linalg.eigh", x, lambda: np.linalg.eigh(x, UPLO)))


def _converged(function, x, run):
    """`run()`, eigenvalues or they and more; LinAlgError where they are NaN or NumPy gave up."""
    try:
        found = run()
    except np.linalg.LinAlgError:
        raise _failure(function, x) from None
    if np.isnan(found[0]).any():
        raise _failure(function, x)
    return found


def _eigh_slope(g, out):
    of_values, of_vectors = g
    values, vectors = out
    middle = None
    if of_vectors is not None:
        inner = adjoint(vectors) @ of_vectors
        middle = (inner - adjoint(inner)) * 0.5 / _gaps(values)
    if of_values is not None:
        part = diagonal_matrix(of_values.to(vectors.dtype))
        middle = part if middle is None else middle + part
    return vectors @ middle @ adjoint(vectors)


eigh_of.vjp(x=_eigh_slope)

EighResult = result_type("linalg_eigh", ("eigenvalues", "eigenvectors"))


def _triangle(function, UPLO):
    if not isinstance(UPLO, str) or UPLO.upper() not in ("L", "U"):
        raise RuntimeError(f"Expected UPLO argument to be 'L' or 'U', but got {UPLO}")
    return UPLO.upper()


@takes_out
def eigh(A, UPLO="L"):
    """(eigenvalues, eigenvectors) of symmetric or Hermitian A (..., n, n): rising eigenvalues,
    orthonormal eigenvectors as columns. UPLO: the triangle that is read, 'L' or 'U'.
    """
    UPLO = _triangle("linalg.eigh", UPLO)
    return EighResult(*eigh_of(square("linalg.eigh", A), UPLO=UPLO))


@takes_out
def eigvalsh(A, UPLO="L"):
    """Eigenvalues of symmetric or Hermitian A (..., n, n), rising."""
    UPLO = _triangle("linalg.eigvalsh", UPLO)
    square("linalg.eigvalsh", A)
    if A.requires_grad and is_grad_enabled():
        return eigh_of(A, UPLO=UPLO)[0]
    run = lambda: (np.linalg.eigvalsh(A.array, UPLO),)
    return tensor_of(_converged("linalg.eigvalsh", A.array, run)[0])


# ---- eigenvalues of any matrix ----------------------------------------------------------------


@primitive(node_name="LinalgEig", conjugates=False)
def eig_of(x):
    """(eigenvalues, eigenvectors of length 1 as columns) of square matrices, complex."""
    values, vectors = _converged("linalg.eig", x, lambda: np.linalg.eig(x))
    wide = np.result_type(x.dtype, np.complex64)
    return values.astype(wide, copy=False), vectors.astype(wide, copy=False)


def _eig_slope(g, x, out):
    # C. Boeddeker et al., On the computation of complex-valued gradients with application to
    # statistically optimum beamforming (2017), section 4.14
    of_values, of_vectors = g
    values, vectors = out
    turned = adjoint(vectors)
    middle = None
    if of_vectors is not None:
        inner = turned @ of_vectors
        along = S.unsqueeze(real(diagonals(inner)), -2)
        middle = (inner - (turned @ vectors) * along) / _gaps(values).conj()
        eye = tensor_of(np.eye(x.array.shape[-1], dtype=bool))
        middle = E.masked_fill(middle, eye, 0.0)
    if of_values is not None:
        part = diagonal_matrix(of_values)
        middle = part if middle is None else middle + part
    slope = solution(turned, middle @ turned)
    return slope if x.array.dtype.kind == "c" else real(slope)


eig_of.vjp(x=_eig_slope)

EigResult = result_type("linalg_eig", ("eigenvalues", "eigenvectors"))


def _finite(function, x):
    if not np.isfinite(x.array).all():
        raise RuntimeError(f"torch.{function}: input tensor should not contain infs or NaNs.")
    return x


@takes_out
def eig(A):
    """(eigenvalues, eigenvectors) of square A (..., n, n), complex; eigenvectors of length 1 as
    columns, in no particular order. The gradient needs different eigenvalues.
    """
    return EigResult(*eig_of(_finite("linalg.eig", square("linalg.eig", A))))


@takes_out
def eigvals(A):
    """Eigenvalues (..., n) of square A, complex, in no particular order."""
    _finite("linalg.eigvals", square("linalg.eigvals", A))
    if A.requires_grad and is_grad_enabled():
        return eig_of(A)[0]
    values = np.linalg.eigvals(A.array)
    return tensor_of(values.astype(np.result_type(values.dtype, np.complex64), copy=False))


# ---- LU ---------------------------------------------------------------------------------------

_PANEL = 32  # columns eliminated one by one; the rest follows by a matrix product


def _pivot_size(column):
    """What LAPACK compares: |x|, of complex numbers |real| + |imaginary part|."""
    return np.abs(column.real) + np.abs(column.imag) if column.dtype.kind == "c" else abs(column)


def lu_arrays(x, pivot):
    """(L below U in one matrix, rows exchanged with row i (int64, from 0), order of the rows)."""
    *batch, m, n = x.shape
    lu = stacked(np.array(x, order="C"))
    k = min(m, n)
    every = np.arange(len(lu))
    swaps = np.tile(np.arange(k), (len(lu), 1))
    order = np.tile(np.arange(m), (len(lu), 1))
    for start in range(0, k, _PANEL):
        stop = min(start + _PANEL, k)
        for j in range(start, stop):
            if pivot:
                found = _pivot_size(lu[:, j:, j]).argmax(1) + j
                swaps[:, j] = found
                for rows in (lu, order):
                    kept = rows[:, j].copy()
                    rows[:, j] = rows[every, found]
                    rows[every, found] = kept
            head = lu[:, j, j].copy()
            head[head == 0] = 1  # a column of zeros is left as it is
            lu[:, j + 1 :, j] /= head[:, None]
            lu[:, j + 1 :, j + 1 : stop] -= lu[:, j + 1 :, j, None] * lu[:, j, None, j + 1 : stop]
        if stop < n:
            right = lu[:, start:stop, stop:]
            _substitute(lu[:, start:stop, start:stop], right, True)
            if stop < m:
                lu[:, stop:, stop:] -= _product(
                    np.ascontiguousarray(lu[:, stop:, start:stop]), np.ascontiguousarray(right)
                )
    return (
        lu.reshape(*batch, m, n),
        swaps.reshape(*batch, k),
        order.reshape(*batch, m),
    )


@primitive(node_name="LinalgLuFactorEx", conjugates=False)
def lu_of(x, *, pivot):
    """(L below U in one matrix, exchanged rows from 1 as int32, order of the rows) of (..., m, n).

    x[order] = L @ U, where L has ones on its diagonal, which are not stored.
    """
    lu, swaps, order = lu_arrays(x, pivot)
    return lu, (swaps + 1).astype(np.int32), order


def _take_rows(x, order):
    """Rows of matrices in the order given: x[..., order, :]."""
    from fastdl.ops.scatter import gather

    return gather(x, -2, S.expand_to(S.unsqueeze(order, -1), shape=x.array.shape))


def _lu_slope(g, out):
    if g[0] is None:
        return None
    lu, _, order = out
    g = g[0]
    *_, m, n = lu.array.shape
    k = min(m, n)
    square_lu = S.narrow(S.narrow(lu, -2, 0, k), -1, 0, k)
    top = S.narrow(S.narrow(g, -2, 0, k), -1, 0, k)
    of_l, of_u = tril(top, -1), triu(top)
    rest = None
    lower, upper = adjoint(tril(square_lu, -1)), adjoint(triu(square_lu))  # transposed
    if n > k:
        u2 = S.narrow(S.narrow(lu, -2, 0, k), -1, k, n - k)
        rest = triangular_solution(
            lower, S.narrow(S.narrow(g, -2, 0, k), -1, k, n - k), upper=True, unit=True
        )
        of_l = of_l - tril(rest @ adjoint(u2), -1)
    if m > k:
        l2 = S.narrow(S.narrow(lu, -2, k, m - k), -1, 0, k)
        of_l2 = S.narrow(S.narrow(g, -2, k, m - k), -1, 0, k)
        rest = adjoint(triangular_solution(adjoint(upper), adjoint(of_l2), upper=True, unit=False))
        of_u = of_u - triu(adjoint(l2) @ rest)
    eye = tensor_of(np.eye(k, dtype=lu.array.dtype))
    inner = tril((lower + eye) @ of_l, -1) + triu(of_u @ upper)
    inner = triangular_solution(lower, inner, upper=True, unit=True)
    slope = adjoint(triangular_solution(adjoint(upper), adjoint(inner), upper=True, unit=False))
    if rest is not None:
        slope = cat([slope, rest], -1 if n > k else -2)
    inverse_order = tensor_of(np.argsort(order.array, -1))
    return _take_rows(slope, inverse_order)


lu_of.vjp(x=_lu_slope)

LuResult = result_type("linalg_lu", ("P", "L", "U"))
LuFactorResult = result_type("linalg_lu_factor", ("LU", "pivots"))
LuFactorExResult = result_type("linalg_lu_factor_ex", ("LU", "pivots", "info"))
LuUnpackResult = result_type("lu_unpack", ("P", "L", "U"))


def _lower_upper(lu):
    """(L with its ones, U) as matrices of their own."""
    *_, m, n = lu.array.shape
    k = min(m, n)
    eye = tensor_of(np.eye(m, k, dtype=lu.array.dtype))
    return tril(S.narrow(lu, -1, 0, k), -1) + eye, triu(S.narrow(lu, -2, 0, k))


def _permutation(order, dtype):
    """P with P @ (rows in that order) = the rows in their own."""
    eye = np.eye(order.shape[-1], dtype=dtype)
    return tensor_of(np.ascontiguousarray(np.swapaxes(eye[order], -1, -2)))


@takes_out
def lu(A, *, pivot=True):
    """(P, L, U) with A = P @ L @ U: a permutation, unit lower and upper triangular matrices.

    A (..., m, n); with pivot=False P is empty and A = L @ U.
    """
    lu_, _, order = lu_of(matrices("linalg.lu", A), pivot=bool(pivot))
    if pivot:
        p = _permutation(order.array, A.array.dtype)
    else:
        p = tensor_of(np.empty(0, A.array.dtype))
    return LuResult(p, *_lower_upper(lu_))


@takes_out
def lu_factor(A, *, pivot=True):
    """(LU, pivots): L (without its ones) and U in one matrix; pivots (..., min(m, n)) int32, from
    1: row i was exchanged with row pivots[i] - 1. LinAlgError where a pivot is 0.
    """
    return LuFactorResult(*_lu_factor("linalg.lu_factor", A, pivot, True)[:2])


def _lu_factor(function, A, pivot, check_errors):
    found = lu_of(matrices(function, A), pivot=bool(pivot))
    info = _first_zeros(found[0].array)
    if check_errors and info.any():
        raise LinAlgError(
            f"torch.{function}: U[{info.max()},{info.max()}] is zero and using it on lu_solve "
            "would result in a division by zero. If you still want to perform the factorization, "
            "consider calling linalg.lu(A, pivot) or linalg.lu_factor_ex(A, pivot)"
        )
    return *found[:2], tensor_of(info)


@takes_out
def lu_factor_ex(A, *, pivot=True, check_errors=False):
    """`lu_factor` and info (...) int32: 0, or the number of the first pivot that is 0."""
    return LuFactorExResult(*_lu_factor("linalg.lu_factor_ex", A, pivot, check_errors))


def _order_of(pivots, rows):
    """The order of the rows that a chain of exchanges leads to."""
    count = math.prod(pivots.shape[:-1])
    swaps = pivots.reshape(count, pivots.shape[-1]).astype(np.int64) - 1
    order = np.tile(np.arange(rows), (len(swaps), 1))
    every = np.arange(len(swaps))
    for j in range(swaps.shape[-1]):
        other = swaps[:, j]
        kept = order[:, j].copy()
        order[:, j] = order[every, other]
        order[every, other] = kept
    return order.reshape(*pivots.shape[:-1], rows)


@takes_out
def lu_unpack(LU_data, LU_pivots, unpack_data=True, unpack_pivots=True):
    """(P, L, U) from what `lu_factor` returned."""
    matrices("lu_unpack", LU_data, "LU_data")
    empty = tensor_of(np.empty(0, LU_data.array.dtype))
    p = lower = upper = empty
    if unpack_pivots:
        order = _order_of(LU_pivots.array, LU_data.array.shape[-2])
        p = _permutation(order, LU_data.array.dtype)
    if unpack_data:
        lower, upper = _lower_upper(LU_data)
    return LuUnpackResult(p, lower, upper)


@takes_out
def lu_solve(LU, pivots, B, *, left=True, adjoint=False):
    """X with A @ X = B from `lu_factor(A)`; `left` False: X @ A = B; `adjoint`: A.T for A."""
    square("linalg.lu_solve", LU, "LU")
    matrices("linalg.lu_solve", B, "B")
    return _solved_by_lu(LU, pivots, B, left, adjoint)


def _solved_by_lu(LU, pivots, B, left, turn):
    if not left:  # X A = B  <=>  A.T X.T = B.T
        return adjoint(_solved_by_lu(LU, pivots, adjoint(B), True, not turn))
    LU, B = _solvable("linalg.lu_solve", LU, B)
    order = np.broadcast_to(_order_of(pivots.array, LU.array.shape[-1]), LU.array.shape[:-1])
    if turn:
        turned = adjoint(LU)
        half = triangular_solution(turned, B, upper=False, unit=False)
        found = triangular_solution(turned, half, upper=True, unit=True)
        return _take_rows(found, tensor_of(np.argsort(order, -1)))
    half = triangular_solution(
        LU, _take_rows(B, tensor_of(np.ascontiguousarray(order))), upper=False, unit=True
    )
    return triangular_solution(LU, half, upper=True, unit=False)


@takes_out
def old_lu_solve(b, LU_data, LU_pivots):
    """`linalg.lu_solve(LU_data, LU_pivots, b)`."""
    return lu_solve(LU_data, LU_pivots, b)


@takes_out
def old_lu(A, pivot=True, get_infos=False):
    """(LU, pivots) and, with `get_infos`, info: the old name of `lu_factor_ex`."""
    found = lu_factor_ex(A, pivot=pivot)
    return tuple(found) if get_infos else tuple(found[:2])


GeqrfResult = result_type("geqrf", ("a", "tau"))


@takes_out
def geqrf(input):
    """(a, tau): R on and above the diagonal of a (..., m, n), and below it the vectors of the
    reflections whose product is Q, see `householder_product`. Not differentiable.
    """
    matrices("geqrf", input, "input")
    turned, tau = np.linalg.qr(input.array, "raw")
    return GeqrfResult(tensor_of(np.ascontiguousarray(np.swapaxes(turned, -1, -2))), tensor_of(tau))


# ---- reflections ------------------------------------------------------------------------------


@takes_out
def householder_product(A, tau):
    """The first n columns of the product of reflections I - tau[i] v[i] v[i].T.

    A (..., m, n) holds v[i] below its diagonal (above lie zeros, on it a one, neither read);
    tau (..., k), k <= n.
    """
    matrices("linalg.householder_product", A)
    *_, m, n = A.array.shape
    k = tau.array.shape[-1]
    if m < n:
        raise RuntimeError(
            "torch.linalg.householder_product: input.shape[-2] must be greater than or equal to "
            "input.shape[-1]"
        )
    if n < k:
        raise RuntimeError(
            "torch.linalg.householder_product: input.shape[-1] must be greater than or equal to "
            "tau.shape[-1]"
        )
    eye = tensor_of(np.eye(m, n, dtype=A.array.dtype))
    vectors = tril(A, -1) + eye
    product = S.expand_to(eye, shape=A.array.shape)
    for i in reversed(range(k)):
        v = S.narrow(vectors, -1, i, 1)
        weight = S.unsqueeze(S.narrow(tau, -1, i, 1), -1)
        product = product - weight * v @ (adjoint(v) @ product)
    return product


def orgqr(input, input2):
    """The old name of `linalg.householder_product`."""
    return householder_product(input, input2)


@takes_out
def ormqr(input, tau, other, left=True, transpose=False):
    """Q @ other, for the product Q of the reflections that `geqrf` returned, without forming it.

    `left` False: other @ Q; `transpose`: Q.T for Q. input (..., m, k), tau (..., k).
    """
    matrices("ormqr", input, "input"), matrices("ormqr", other, "other")
    if not left:  # other Q = (Q.T other.T).T
        return adjoint(ormqr(input, tau, adjoint(other), True, not transpose))
    m, k = input.array.shape[-2], tau.array.shape[-1]
    if other.array.shape[-2] != m:
        raise RuntimeError(
            f"torch.ormqr: other.shape[-2] must be equal to input.shape[-2], got "
            f"{other.array.shape[-2]} and {m}"
        )
    eye = tensor_of(np.eye(m, input.array.shape[-1], dtype=input.array.dtype))
    vectors = tril(input, -1) + eye
    for i in range(k) if transpose else reversed(range(k)):
        v = S.narrow(vectors, -1, i, 1)
        weight = S.unsqueeze(S.narrow(tau, -1, i, 1), -1)
        if transpose and weight.array.dtype.kind == "c":
            weight = weight.conj()
        other = other - weight * v @ (adjoint(v) @ other)
    return other
