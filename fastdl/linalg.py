"""Linear algebra under PyTorch's names: `fastdl.linalg.svd(A)`. Everything takes batches
(..., m, n); where a matrix cannot be factored, LinAlgError, a RuntimeError, is raised.
"""

from fastdl.ops import core as _core
from fastdl.ops import diagonal as _diagonal
from fastdl.ops.distance import linalg_norm as norm
from fastdl.ops.distance import matrix_norm, vector_norm
from fastdl.ops.factor import (
    LinAlgError,
    cholesky,
    cholesky_ex,
    det,
    eig,
    eigh,
    eigvals,
    eigvalsh,
    householder_product,
    inv,
    inv_ex,
    lu,
    lu_factor,
    lu_factor_ex,
    lu_solve,
    qr,
    slogdet,
    solve,
    solve_ex,
    solve_triangular,
    svd,
    svdvals,
)
from fastdl.ops.linalg import linalg_cross as cross
from fastdl.ops.linalg import matmul, vecdot
from fastdl.ops.matrices import (
    cond,
    lstsq,
    matrix_exp,
    matrix_power,
    matrix_rank,
    multi_dot,
    pinv,
    tensorinv,
    tensorsolve,
    vander,
)

__all__ = [
    "LinAlgError",
    "cholesky",
    "cholesky_ex",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eig",
    "eigh",
    "eigvals",
    "eigvalsh",
    "householder_product",
    "inv",
    "inv_ex",
    "lstsq",
    "lu",
    "lu_factor",
    "lu_factor_ex",
    "lu_solve",
    "matmul",
    "matrix_exp",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "multi_dot",
    "norm",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "solve_ex",
    "solve_triangular",
    "svd",
    "svdvals",
    "tensorinv",
    "tensorsolve",
    "vander",
    "vecdot",
    "vector_norm",
]


def diagonal(A, *, offset=0, dim1=-2, dim2=-1):
    """Diagonals of matrices (..., m, n), or of the planes dim1 and dim2 span, as a last dimension;
    a view.
    """
    return _diagonal.diagonal(_core.tensor_argument("linalg.diagonal", "A", A), offset, dim1, dim2)
