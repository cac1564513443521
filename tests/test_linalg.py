"""Linear algebra of complex matrices, and what the rows of the table cannot say: named results,
errors, batches with one bad matrix, large matrices.
"""

import numpy as np
import pytest

import fastdl

torch = pytest.importorskip("torch")
EPS = 2.0**-52


def regular(x):
    return x + 4 * np.eye(*x.shape[-2:])


def hermitian(t, x):
    """A positive definite matrix with eigenvalues apart."""
    n = x.shape[-1]
    return x @ x.mT.conj() + t.diag(t.arange(n) * 3.0 + 3).to(x.dtype)


COMPLEX = {
    "matmul": (lambda t, x: x @ x[0] @ x[0, 0], (2, 3, 3)),
    "inv": (lambda t, x: t.linalg.inv(x), (2, 3, 3)),
    "det": (lambda t, x: t.linalg.det(x), (2, 3, 3)),
    "slogdet": (lambda t, x: t.linalg.slogdet(x).logabsdet, (3, 3)),
    "logdet": (lambda t, x: t.logdet(x @ x), (3, 3)),
    "solve": (lambda t, x: t.linalg.solve(x, x[..., :2] * 2 + 1), (3, 3)),
    "solve right": (lambda t, x: t.linalg.solve(x, x[:2] + 1, left=False), (3, 3)),
    "triangular": (lambda t, x: t.linalg.solve_triangular(x, x[:, :2] + 1, upper=True), (3, 3)),
    "cholesky": (lambda t, x: t.linalg.cholesky(hermitian(t, x)), (2, 3, 3)),
    "cholesky upper": (lambda t, x: t.linalg.cholesky(hermitian(t, x), upper=True), (3, 3)),
    "qr": (lambda t, x: t.linalg.qr(x), (4, 3)),
    "qr wide": (lambda t, x: t.linalg.qr(x), (3, 5)),
    "svd": (lambda t, x: [y.abs() for y in t.linalg.svd(x, full_matrices=False)], (4, 3)),
    "svdvals": (lambda t, x: t.linalg.svdvals(x), (3, 4)),
    "eigh": (lambda t, x: [y.abs() for y in t.linalg.eigh(hermitian(t, x))], (3, 3)),
    "eigvalsh": (lambda t, x: t.linalg.eigvalsh(hermitian(t, x)), (3, 3)),
    "eigenvectors": (lambda t, x: t.linalg.eig(x)[1].abs().sum((-1, -2)), (3, 3)),
    "eigvals": (lambda t, x: (t.linalg.eigvals(x) ** 3).sum(-1), (2, 3, 3)),
    "pinv": (lambda t, x: t.linalg.pinv(x), (4, 3)),
    "lstsq": (lambda t, x: t.linalg.lstsq(x, x[:, :2] + 1).solution, (5, 3)),
    "matrix_exp": (lambda t, x: t.linalg.matrix_exp(x * 0.3), (3, 3)),
    "matrix_power": (lambda t, x: t.linalg.matrix_power(x, -3), (3, 3)),
    "lu": (lambda t, x: list(t.linalg.lu(x))[1:], (3, 3)),
    "lu wide": (lambda t, x: list(t.linalg.lu(x))[1:], (3, 5)),
    "lu tall": (lambda t, x: list(t.linalg.lu(x))[1:], (5, 3)),
    "lu_solve": (lambda t, x: t.linalg.lu_solve(*t.linalg.lu_factor(x), x[:, :2] + 1), (3, 3)),
    "lu_solve adjoint": (
        lambda t, x: t.linalg.lu_solve(*t.linalg.lu_factor(x), x[:, :2] + 1, adjoint=True),
        (3, 3),
    ),
    "lu_solve right": (
        lambda t, x: t.linalg.lu_solve(*t.linalg.lu_factor(x), x[:2] + 1, left=False, adjoint=True),
        (3, 3),
    ),
    "vector norms": (
        lambda t, x: [t.linalg.vector_norm(x, p) for p in (1, 2, 3, 0.5, float("inf"))],
        (3, 4),
    ),
    "matrix norms": (
        lambda t, x: [t.linalg.matrix_norm(x, p) for p in ("fro", "nuc", 2, 1, float("inf"))],
        (3, 4),
    ),
    "cov": (lambda t, x: t.cov(x), (3, 5)),
    "corrcoef": (lambda t, x: t.corrcoef(x), (3, 5)),
    "vecdot": (lambda t, x: t.linalg.vecdot(x, x * 2 + 1), (3, 4)),
    "vdot": (lambda t, x: t.vdot(x[0], x[1]), (3, 4)),
    "householder_product": (lambda t, x: t.linalg.householder_product(x, x[0]), (4, 3)),
    "cholesky_solve": (lambda t, x: t.cholesky_solve(x, x.tril()), (3, 3)),
    "einsum": (lambda t, x: t.einsum("ij,jk,kl", x, x, x), (3, 3)),
}


@pytest.mark.parametrize("name", COMPLEX)
def test_complex_values_and_gradients(name):
    run, shape = COMPLEX[name]
    rng = np.random.default_rng(0)
    start = regular(rng.normal(size=shape) + 1j * rng.normal(size=shape))
    found = []
    for lib in (fastdl, torch):
        x = lib.from_numpy(start.copy()).requires_grad_()
        outputs = run(lib, x)
        outputs = list(outputs) if isinstance(outputs, (tuple, list)) else [outputs]
        total = 0
        for y in outputs:
            w = lib.from_numpy(np.cos(np.arange(y.numel())).reshape(tuple(y.shape)))
            total = total + (y.abs() ** 2 * w).sum() + (y.real * w).sum()
        total.backward()
        values = [y.detach().resolve_conj().numpy() for y in outputs]
        found.append([*values, x.grad.resolve_conj().numpy()])
    for ours, theirs in zip(*found, strict=True):
        assert ours.dtype == theirs.dtype
        # a few hundred roundings of matrices with condition numbers below 10
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=4096 * EPS * np.abs(theirs).max())


def test_eigenvectors_solve_their_equation():
    x = fastdl.randn(4, 7, 7).double()
    values, vectors = fastdl.linalg.eig(x)
    assert values.dtype is fastdl.complex128
    gap = x.to(fastdl.complex128) @ vectors - vectors * values.unsqueeze(-2)
    assert float(gap.abs().max()) < 1e-12
    assert fastdl.linalg.eig(x.float()).eigenvectors.dtype is fastdl.complex64


def test_results_have_names():
    a = fastdl.eye(3)
    assert fastdl.linalg.svd(a)._fields == ("U", "S", "Vh")
    assert fastdl.svd(a)._fields == ("U", "S", "V")
    assert fastdl.linalg.eigh(a)._fields == ("eigenvalues", "eigenvectors")
    assert fastdl.linalg.slogdet(a).logabsdet.item() == 0
    assert repr(fastdl.linalg.qr(a)).startswith("fastdl.return_types.linalg_qr(\nQ=tensor(")


def test_errors_name_the_matrix_at_fault():
    good, bad = fastdl.eye(3), fastdl.zeros(3, 3)
    assert issubclass(fastdl.linalg.LinAlgError, RuntimeError)
    batch = fastdl.stack([good, bad, good])
    for call in (fastdl.linalg.inv, lambda a: fastdl.linalg.solve(a, good), fastdl.linalg.cholesky):
        with pytest.raises(fastdl.linalg.LinAlgError, match="Batch element 1"):
            call(batch)
    minor = fastdl.tensor([[1.0, 0, 0], [0, -1, 0], [0, 0, 1]])
    with pytest.raises(fastdl.linalg.LinAlgError, match="minor of order 2"):
        fastdl.linalg.cholesky(minor)
    with pytest.raises(fastdl.linalg.LinAlgError, match="non-finite"):
        fastdl.linalg.eigh(fastdl.full((2, 2), float("nan")))


def test_ex_functions_spare_the_good_matrices():
    batch = fastdl.stack([fastdl.eye(2) * 2, fastdl.zeros(2, 2)]).requires_grad_()
    inverse, info = fastdl.linalg.inv_ex(batch)
    assert info.tolist() == [0, 1]
    assert inverse[0].equal(fastdl.eye(2) / 2)
    inverse[0].sum().backward()
    assert batch.grad.isfinite().all()
    solved, info = fastdl.linalg.solve_ex(batch, fastdl.ones(2, 2, 1))
    assert info.tolist() == [0, 1]
    assert solved[0].equal(fastdl.full((2, 1), 0.5))
    assert solved[1].isnan().all()
    assert fastdl.linalg.cholesky_ex(-batch).info.tolist() == [1, 1]


@pytest.mark.parametrize("n", [1, 31, 33, 100, 257])
def test_own_factorizations_of_large_matrices(n):
    """LU and triangular systems are this library's own: residuals, by the bound of Wilkinson."""
    rng = np.random.default_rng(n)
    a, b = fastdl.from_numpy(rng.normal(size=(2, n, n))), fastdl.from_numpy(rng.normal(size=(n, 3)))
    p, lower, upper = fastdl.linalg.lu(a)
    bound = 8 * n * EPS * float((lower.abs() @ upper.abs()).max())
    assert float((p @ lower @ upper - a).abs().max()) <= bound
    assert float(lower.abs().max()) == 1
    x = fastdl.linalg.lu_solve(*fastdl.linalg.lu_factor(a), b)
    assert float((a @ x - b).abs().max()) <= 8 * n * bound * float(x.abs().max())
    t = a.tril() + n * fastdl.eye(n).double()
    x = fastdl.linalg.solve_triangular(t, b, upper=False)
    assert float((t @ x - b).abs().max()) <= 8 * n * EPS * float((t.abs() @ x.abs()).max())


def test_exponential_of_large_and_small_matrices():
    for scale in (0.0, 1e-8, 1.0, 30.0, 300.0):
        x = fastdl.tensor([[0.0, -scale], [scale, 0.0]]).double()
        c, s = np.cos(scale), np.sin(scale)
        found = fastdl.linalg.matrix_exp(x).numpy()
        # rotations keep their length: squaring s times loses 2 ** s roundings, about |x| of them
        np.testing.assert_allclose(found, [[c, -s], [s, c]], atol=(16 + 8 * scale) * EPS)


def test_low_rank_approximations():
    fastdl.manual_seed(0)
    left, right = fastdl.randn(60, 4).double(), fastdl.randn(4, 30).double()
    u, s, v = fastdl.svd_lowrank(left @ right, q=4)
    assert float((u * s @ v.T - left @ right).abs().max()) < 1e-10
    u, s, v = fastdl.pca_lowrank(left @ right, q=4)
    centered = left @ right - (left @ right).mean(0)
    assert float((u * s @ v.T - centered).abs().max()) < 1e-10
    assert fastdl.pca_lowrank(fastdl.randn(3, 5))[2].shape == (5, 3)


def test_pairs_of_no_rows():
    assert fastdl.pdist(fastdl.ones(1, 3)).shape == (0,)
    assert fastdl.pdist(fastdl.ones(0, 3)).shape == (0,)
    assert fastdl.cdist(fastdl.ones(0, 3), fastdl.ones(2, 3)).shape == (0, 2)


OUT = {
    "inv": lambda t, x, **o: t.linalg.inv(x, **o),
    "svd": lambda t, x, **o: t.linalg.svd(x, **o),
    "eigh": lambda t, x, **o: t.linalg.eigh(x, **o),
    "qr": lambda t, x, **o: t.linalg.qr(x, **o),
    "solve": lambda t, x, **o: t.linalg.solve(x, x + 1, **o),
    "norm": lambda t, x, **o: t.norm(x, dim=1, **o),
    "matrix_norm": lambda t, x, **o: t.linalg.matrix_norm(x, "nuc", **o),
    "mm": lambda t, x, **o: t.mm(x, x, **o),
    "addmm": lambda t, x, **o: t.addmm(x, x, x, beta=2, **o),
    "kron": lambda t, x, **o: t.kron(x, x, **o),
    "multi_dot": lambda t, x, **o: t.linalg.multi_dot([x, x, x], **o),
    "matrix_power": lambda t, x, **o: t.matrix_power(x, 3, **o),
    "lgamma": lambda t, x, **o: t.lgamma(x, **o),
    "mvlgamma": lambda t, x, **o: t.special.multigammaln(x.abs() + 2, 2, **o),
}


@pytest.mark.parametrize("name", OUT)
def test_out_receives_the_result(name):
    x = fastdl.randn(3, 3) + 3 * fastdl.eye(3)
    expected = OUT[name](fastdl, x)
    parts = expected if isinstance(expected, tuple) else (expected,)
    targets = tuple([fastdl.empty(0) for _ in parts])
    made = OUT[name](fastdl, x, out=targets if len(parts) > 1 else targets[0])
    for part, target, found in zip(parts, targets, made if len(parts) > 1 else (made,)):
        assert found is target
        assert target.equal(part)


@pytest.mark.parametrize("name", ["addmm_", "addbmm_", "baddbmm_", "addmv_", "addr_", "renorm_"])
def test_products_in_place(name):
    arguments = {
        "addmm_": ((3, 4), (3, 2), (2, 4)),
        "addbmm_": ((3, 4), (5, 3, 2), (5, 2, 4)),
        "baddbmm_": ((5, 3, 4), (5, 3, 2), (5, 2, 4)),
        "addmv_": ((3,), (3, 2), (2,)),
        "addr_": ((3, 4), (3,), (4,)),
        "renorm_": ((3, 4),),
    }[name]
    rng = np.random.default_rng(1)
    arrays = [rng.normal(size=shape) for shape in arguments]
    slopes = []
    for lib in (fastdl, torch):
        x, *others = [lib.from_numpy(a.copy()).requires_grad_() for a in arrays]
        y = x * 1
        rest = (2, 0, 1.0) if name == "renorm_" else others
        options = {} if name == "renorm_" else {"beta": 0.5, "alpha": 2}
        assert getattr(y, name)(*rest, **options) is y
        (y * y).sum().backward()
        slopes.append([y.detach().numpy(), *[v.grad.numpy() for v in (x, *others)]])
    for ours, theirs in zip(*slopes, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=256 * EPS * np.abs(theirs).max())
