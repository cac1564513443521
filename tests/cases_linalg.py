"""Rows for linear algebra: factorizations, functions of matrices, norms, distances, products.

Factors are compared through what is the same for all of them: signs of singular vectors and
eigenvectors are free, so rows look at squares or at products in which the signs cancel.
"""

import math

import numpy as np
from op_cases import Case, between, given, ints, normal

CASES: list[Case] = []


def row(primitives, run, inputs, **options):
    CASES.append(Case(primitives, run, inputs, **options))


def definite(t, x):
    """A positive definite matrix from any one."""
    eye = t.eye(x.shape[-1], dtype=x.dtype)
    return x @ x.mT + eye * (1 + x.shape[-1])


def regular(t, x):
    """x with a strong diagonal: far from singular."""
    return x + t.eye(x.shape[-1], dtype=x.dtype) * (2 + x.shape[-1])


def symmetric(t, x):
    """A symmetric matrix with eigenvalues well apart."""
    n = x.shape[-1]
    return (x + x.mT) * 0.3 + t.diag(t.arange(n).to(x.dtype) * 2)


def spread(t, x):
    """A matrix with singular values well apart."""
    m, n = x.shape[-2:]
    scale = t.arange(1, n + 1).to(x.dtype) * 1.5
    return x * 0.2 + t.eye(m, n, dtype=x.dtype) * scale


SQUARES = ((3, 3), (2, 3, 3), (1, 1), (0, 3, 3))


def squares(*shapes):
    return [[normal(*shape)] for shape in shapes]


WRONG = [
    (lambda f: lambda t: f(t)(t.ones(2, 3)), RuntimeError),
    (lambda f: lambda t: f(t)(t.ones(3)), RuntimeError),
    (lambda f: lambda t: f(t)(t.ones(3, 3, dtype=t.int64)), RuntimeError),
]


def refusing(f):
    """What every function of square matrices refuses."""
    return [(make(f), kind) for make, kind in WRONG]


# ---- inverse, determinants, systems -----------------------------------------------------------

for name, get in {
    "inv": lambda t: t.linalg.inv,
    "inverse": lambda t: t.inverse,
    "inv_ex": lambda t: lambda a: t.linalg.inv_ex(a)[0],
}.items():
    row(
        "factor.inverse_of",
        lambda t, x, get=get: get(t)(regular(t, x)),
        [normal(3, 3)],
        more=squares(*SQUARES, (0, 0)),
        bad=[*refusing(get), *([(lambda t: t.linalg.inv(t.zeros(2, 2)), RuntimeError)])],
        name=f"linalg-{name}",
    )
row(
    "factor.inverse_of",
    lambda t, x: regular(t, x).inverse() + t.linalg.inv_ex(regular(t, x)).info.sum(),
    [normal(2, 3, 3)],
    name="inverse method, info",
)
for name, get in {"linalg": lambda t: t.linalg.det, "torch": lambda t: t.det}.items():
    row(
        "factor.det_of factor.cofactors",
        lambda t, x, get=get: get(t)(x) + regular(t, x).det(),
        [normal(3, 3)],
        more=squares(*SQUARES, (0, 0)),
        bad=refusing(get),
        name=f"det-{name}",
    )
row(
    "factor.det_of factor.cofactors",
    lambda t, x: t.det(x),
    [given([[1.0, 2, 3], [2, 4, 6], [1, 0, 1]])],
    order=1,
    torch=lambda t, x: t.dot(x[0], t.linalg.cross(x[1], x[2])),
    name="det of a singular matrix",
)
row(
    "factor.slogdet_of factor.inverse_of",
    lambda t, x: (
        t.linalg.slogdet(x).logabsdet
        + t.slogdet(x)[1] * 2
        + x.slogdet().sign.detach()
        + t.logdet(x @ x)
    ),
    [normal(3, 3)],
    more=squares((2, 3, 3), (1, 1)),
    bad=[*refusing(lambda t: t.linalg.slogdet), *refusing(lambda t: t.logdet)],
    exact=512,
)
for shapes in (((3, 3), (3, 2)), ((2, 3, 3), (3, 2)), ((3, 3), (2, 3, 4)), ((2, 3, 3), (2, 3))):
    row(
        "factor.solution",
        lambda t, a, b: t.linalg.solve(regular(t, a), b),
        [normal(*shapes[0]), normal(*shapes[1])],
        bad=[
            (lambda t: t.linalg.solve(t.ones(2, 3), t.ones(2)), RuntimeError),
            (lambda t: t.linalg.solve(t.zeros(2, 2), t.ones(2)), RuntimeError),
            (lambda t: t.linalg.solve(t.eye(2), t.ones(3)), RuntimeError),
            (lambda t: t.linalg.solve(t.eye(2), t.ones(2, 1).double()), RuntimeError),
        ],
        name=f"solve-{shapes[0]}-{shapes[1]}",
    )
row(
    "factor.solution",
    lambda t, a, b: (
        t.linalg.solve(regular(t, a), b, left=False) + t.linalg.solve_ex(regular(t, a), b.mT)[0].mT
    ),
    [normal(3, 3), normal(2, 3)],
    more=[[normal(2, 3, 3), normal(2, 4, 3)], [normal(0, 0), normal(2, 0)]],
)
row(
    "factor.solution",
    lambda t, a, b: t.linalg.solve(regular(t, a), b),
    [normal(3, 3), normal(3)],
    name="solve-vector",
)
for upper in (False, True):
    for unit in (False, True):
        row(
            "factor.triangular_solution",
            lambda t, a, b, u=upper, i=unit: (
                t.linalg.solve_triangular(regular(t, a), b, upper=u, unitriangular=i)
                + t.linalg.solve_triangular(
                    regular(t, a), b.mT, upper=u, left=False, unitriangular=i
                ).mT
            ),
            [normal(3, 3), normal(3, 2)],
            more=[
                [normal(2, 3, 3), normal(3, 2)],
                [between(-0.05, 0.05, 40, 40), normal(40, 3)],
                [normal(0, 0), normal(0, 2)],
            ],
            bad=[
                (
                    lambda t, u=upper: t.linalg.solve_triangular(t.eye(2), t.ones(3, 1), upper=u),
                    RuntimeError,
                ),
                (
                    lambda t, u=upper: t.linalg.solve_triangular(
                        t.ones(2, 3), t.ones(2, 1), upper=u
                    ),
                    RuntimeError,
                ),
            ],
            name=f"solve_triangular-{upper}-{unit}",
        )
row(
    "factor.triangular_solution",
    lambda t, a, b: (
        t.triangular_solve(b, regular(t, a))[0]
        + b.triangular_solve(regular(t, a), upper=False, transpose=True).solution
    ),
    [normal(3, 3), normal(3, 2)],
    name="triangular_solve",
)

# ---- Cholesky ---------------------------------------------------------------------------------

row(
    "factor.cholesky_of factor.triangular_solution",
    lambda t, x: t.linalg.cholesky(definite(t, x)) + t.linalg.cholesky(definite(t, x), upper=True),
    [normal(3, 3)],
    more=squares(*SQUARES, (0, 0), (33, 33)),
    bad=[
        *refusing(lambda t: t.linalg.cholesky),
        (lambda t: t.linalg.cholesky(-t.eye(3)), RuntimeError),
        (lambda t: t.linalg.cholesky_ex(-t.eye(3), check_errors=True), RuntimeError),
    ],
)
row(
    "factor.cholesky_of",
    lambda t, x: (
        t.cholesky(definite(t, x))
        + definite(t, x).cholesky(upper=True)
        + t.linalg.cholesky_ex(definite(t, x)).L
        + t.linalg.cholesky_ex(definite(t, x), upper=True)[0]
    ),
    [normal(2, 3, 3)],
    name="cholesky, old name and _ex",
)
row(
    "factor.cholesky_of",
    lambda t, x: t.linalg.cholesky_ex(x)[1],
    [given([[[1.0, 0, 0], [0, -1, 0], [0, 0, 1]], np.eye(3), np.diag([1.0, 1, -1])], grad=False)],
    order=0,
    name="cholesky_ex info",
)
row(
    "factor.triangular_solution",
    lambda t, x, b: (
        t.cholesky_solve(b, regular(t, x).tril())
        + b.cholesky_solve(regular(t, x).triu(), upper=True)
    ),
    [normal(3, 3), normal(3, 2)],
)
row(
    "factor.triangular_solution",
    lambda t, x: (
        t.cholesky_inverse(regular(t, x).tril()) + regular(t, x).triu().cholesky_inverse(upper=True)
    ),
    [normal(3, 3)],
    name="cholesky_inverse",
)

# ---- QR, SVD, eigenvectors --------------------------------------------------------------------

TALL_AND_WIDE = ((4, 3), (3, 3), (2, 4), (2, 4, 3), (3, 1))


def weighted(t, *parts):
    """Squares of the parts, weighted so that their gradients differ from element to element."""
    total = []
    for x in parts:
        w = t.cos(t.arange(x.numel()).to(x.dtype)).reshape(x.shape)
        total.append(x * x * w)
    return total


for mode in ("reduced", "complete"):
    shapes = TALL_AND_WIDE if mode == "reduced" else ((3, 3), (2, 4), (2, 2, 4))
    for shape in shapes:
        row(
            "factor.qr_of",
            lambda t, x, m=mode: weighted(t, *t.linalg.qr(spread(t, x), mode=m)),
            [normal(*shape)],
            bad=[
                (lambda t: t.linalg.qr(t.ones(3)), RuntimeError),
                (lambda t: t.linalg.qr(t.ones(3, 2), mode="full"), RuntimeError),
                (
                    lambda t: t.linalg.qr(t.ones(3, 2, requires_grad=True), "r").R.sum().backward(),
                    RuntimeError,
                ),
                (
                    lambda t: (
                        t.linalg.qr(t.ones(3, 2, requires_grad=True), "complete").R.sum().backward()
                    ),
                    RuntimeError,
                ),
            ],
            exact=512,
            name=f"qr-{mode}-{shape}",
        )
row(
    "factor.qr_of",
    lambda t, x: weighted(t, *t.qr(spread(t, x)), *spread(t, x).qr(some=True)),
    [normal(4, 3)],
    name="qr, old name",
    exact=512,
)
row(
    "factor.qr_of",
    lambda t, x: [
        *weighted(t, *t.linalg.qr(x.detach(), mode="complete")),
        *weighted(t, t.linalg.qr(x.detach(), mode="r").R),
    ],
    [normal(4, 2)],
    order=0,
    more=[[normal(2, 4, 2)], [normal(0, 2)], [normal(3, 0)]],
    name="qr, complete and r",
)
for full in (False, True):
    for shape in TALL_AND_WIDE:
        row(
            "factor.svd_of",
            lambda t, x, f=full: (
                lambda u, s, v: weighted(
                    t,
                    u[..., : s.shape[-1]],
                    s,
                    v[..., : s.shape[-1], :],
                    u[..., : s.shape[-1]] * v.mT[..., :1, : s.shape[-1]],
                )
            )(*t.linalg.svd(spread(t, x), full_matrices=f)),
            [normal(*shape)],
            bad=[
                (lambda t: t.linalg.svd(t.ones(3)), RuntimeError),
                (lambda t: t.linalg.svd(t.ones(3, 2, dtype=t.int64)), RuntimeError),
                (lambda t: t.linalg.svd(t.full((2, 2), math.nan)), RuntimeError),
            ],
            exact=2048,
            name=f"svd-{full}-{shape}",
        )
row(
    "factor.svd_of",
    lambda t, x: weighted(t, *t.svd(spread(t, x))) + weighted(t, *spread(t, x).svd()),
    [normal(4, 3)],
    more=[[normal(2, 3, 2)], [normal(2, 4)]],
    exact=2048,
    name="svd, old name",
)
row(
    "factor.svd_of",
    lambda t, x: [t.linalg.svdvals(spread(t, x)), t.svd(spread(t, x), compute_uv=False)[1]],
    [normal(4, 3)],
    more=[[normal(2, 4)], [normal(0, 3, 2)]],
    exact=512,
    name="svdvals",
)
row(
    "factor.svd_of",
    lambda t, x: [t.linalg.svdvals(x.detach()), *t.svd(x.detach(), compute_uv=False)],
    [normal(4, 3)],
    order=0,
    name="svd without vectors",
)
for uplo in "LU":
    row(
        "factor.eigh_of",
        lambda t, x, uplo=uplo: weighted(t, *t.linalg.eigh(symmetric(t, x), UPLO=uplo)),
        [normal(3, 3)],
        more=squares((2, 3, 3), (1, 1), (0, 2, 2)),
        bad=[
            *refusing(lambda t: t.linalg.eigh),
            (lambda t: t.linalg.eigh(t.eye(2), "X"), RuntimeError),
        ],
        exact=512,
        name=f"eigh-{uplo}",
    )
row(
    "factor.eigh_of",
    lambda t, x: t.linalg.eigvalsh(symmetric(t, x)),
    [normal(3, 3)],
    more=squares((2, 3, 3), (1, 1)),
    bad=refusing(lambda t: t.linalg.eigvalsh),
    name="eigvalsh",
)


def cube_by_eigenvectors(t, x):
    """The third power of x from its eigenvalues and eigenvectors, whose scale and order cancel."""
    values, vectors = t.linalg.eig(x)
    return ((vectors * values.unsqueeze(-2) ** 3) @ t.linalg.inv(vectors)).real


row(
    "factor.eig_of",
    cube_by_eigenvectors,
    [normal(3, 3)],
    more=squares((2, 3, 3), (1, 1)),
    bad=[
        *refusing(lambda t: t.linalg.eig),
        (lambda t: t.linalg.eig(t.full((2, 2), math.nan)), RuntimeError),
    ],
    exact=4096,
    coarse=4096,
    order=1,
)
row(
    "factor.eig_of",
    lambda t, x: (t.linalg.eigvals(x) ** 3).sum(-1).real + t.linalg.eigvals(x).abs().sum(-1),
    [normal(3, 3)],
    more=squares((2, 3, 3), (1, 1)),
    bad=refusing(lambda t: t.linalg.eigvals),
    exact=4096,
    coarse=512,
    order=1,
    name="eigvals",
)

# ---- LU ---------------------------------------------------------------------------------------

for shape in ((3, 3), (4, 2), (2, 4), (2, 3, 3)):
    row(
        "factor.lu_of",
        lambda t, x: ([*t.linalg.lu(x)[1:], t.linalg.lu(x)[0].detach(), t.linalg.lu_factor(x).LU]),
        [normal(*shape)],
        more=[[normal(70, 70)], [normal(0, 3)], [normal(3, 0)], [normal(50, 70)], [normal(70, 40)]]
        if shape == (3, 3)
        else [],
        bad=[(lambda t: t.linalg.lu(t.ones(3)), RuntimeError)],
        exact=512,
        name=f"lu-{shape}",
    )
row(
    "factor.lu_of",
    lambda t, x: [
        t.linalg.lu_factor(x.detach())[1],
        t.linalg.lu_factor_ex(x.detach()).info,
        *t.lu_unpack(*t.linalg.lu_factor(x.detach())),
        x.detach().lu()[1],
    ],
    [normal(4, 3)],
    order=0,
    more=[[normal(2, 3, 5)]],
    bad=[
        (lambda t: t.linalg.lu_factor(t.ones(2, 2)), RuntimeError),
    ],
    name="pivots",
)
for left in (True, False):
    for turned in (True, False):
        row(
            "factor.lu_of factor.triangular_solution",
            lambda t, a, b, left=left, turned=turned: t.linalg.lu_solve(
                *t.linalg.lu_factor(regular(t, a.flip(-1))),
                b if left else b.mT,
                left=left,
                adjoint=turned,
            ),
            [normal(3, 3), normal(3, 2)],
            more=[[normal(2, 3, 3), normal(3, 2)]],
            exact=512,
            name=f"lu_solve-{left}-{turned}",
        )
row(
    "factor.lu_of factor.triangular_solution",
    lambda t, a, b: b.lu_solve(*t.lu(regular(t, a))),
    [normal(3, 3), normal(3, 2)],
    name="lu_solve, old name",
)
row(
    "linalg.matmul",
    lambda t, a, tau: t.linalg.householder_product(a, tau),
    [normal(4, 3), normal(2)],
    more=[[normal(2, 3, 3), normal(2, 3)]],
    bad=[(lambda t: t.linalg.householder_product(t.ones(2, 3), t.ones(2)), RuntimeError)],
    exact=512,
)


def condition(t, a, p):
    """cond by its definition."""
    return t.linalg.matrix_norm(a, p) * t.linalg.matrix_norm(t.linalg.inv(a), p)


for left in (True, False):
    row(
        "linalg.matmul",
        lambda t, a, tau, b, left=left: (
            t.ormqr(a, tau, b if left else b.mT, left=left).abs()
            + t.ormqr(a, tau, b if left else b.mT, left, True).abs()
        ),
        [normal(4, 3), normal(3), normal(4, 2)],
        more=[[normal(2, 4, 3), normal(2, 3), normal(2, 4, 2)]],
        bad=[(lambda t: t.ormqr(t.ones(4, 3), t.ones(3), t.ones(3, 2)), RuntimeError)],
        order=1,
        exact=512,
        name=f"ormqr-{left}",
    )
row(
    "linalg.matmul",
    lambda t, a: [
        *t.geqrf(a.detach()),
        t.orgqr(*a.detach().geqrf()) + a * 0,
    ],
    [normal(4, 3)],
    more=[[normal(2, 3, 3)]],
    bad=[(lambda t: t.geqrf(t.ones(3)), RuntimeError)],
    order=0,
    name="geqrf, orgqr",
)

# ---- functions of matrices --------------------------------------------------------------------

for shape in ((4, 3), (2, 4), (2, 3, 3)):
    row(
        "matrices.pseudoinverse",
        lambda t, x: t.linalg.pinv(spread(t, x)) + spread(t, x).pinverse(),
        [normal(*shape)],
        bad=[(lambda t: t.linalg.pinv(t.ones(3)), RuntimeError)],
        exact=512,
        name=f"pinv-{shape}",
    )
row(
    "matrices.pseudoinverse",
    lambda t, x: (
        t.linalg.pinv(symmetric(t, x), hermitian=True)
        + t.linalg.pinv(symmetric(t, x), rtol=1e-3)
        + t.linalg.pinv(symmetric(t, x), atol=1e-3)
    ),
    [normal(3, 3)],
    exact=4096,
    name="pinv options",
)
row(
    "matrices.pseudoinverse",
    lambda t, x: [
        t.linalg.pinv(x, rtol=1e-6),
        t.linalg.matrix_rank(x.detach(), rtol=1e-6),
        t.linalg.matrix_rank(x.detach() @ x.detach().mT, atol=1e-6, hermitian=True),
    ],
    [given([[1.0, 2, 3], [2, 4, 6]])],
    order=0,
    more=[[given(np.zeros((2, 2)))]],
    name="pinv and rank where the rank is low",
)
row(
    "matrices.least_squares",
    lambda t, a, b: t.linalg.lstsq(spread(t, a), b).solution,
    [normal(4, 3), normal(4, 2)],
    more=[[normal(2, 4, 3), normal(2, 4, 1)], [normal(2, 4, 3), normal(2, 4)]],
    bad=[
        (lambda t: t.linalg.lstsq(t.ones(3, 2), t.ones(4, 1)), RuntimeError),
        (lambda t: t.linalg.lstsq(t.ones(3, 2), t.ones(3, 1), driver="x"), RuntimeError),
    ],
    exact=512,
)
for driver in ("gels", "gelsy", "gelsd", "gelss"):
    row(
        "matrices.least_squares",
        lambda t, a, b, d=driver: [y.detach() for y in t.linalg.lstsq(spread(t, a), b, driver=d)],
        [normal(5, 3), normal(5, 2)],
        order=0,
        more=[[normal(2, 4, 3), normal(2, 4, 1)]],
        name=f"lstsq-{driver}",
    )
for p in (None, 2, -2, "fro", "nuc", 1, -1, math.inf, -math.inf):
    row(
        "factor.svd_of" if p in (None, 2, -2, "nuc") else "factor.inverse_of",
        lambda t, x, p=p: t.linalg.cond(spread(t, x), p),
        [normal(3, 3)],
        more=squares((2, 3, 3)),
        bad=[(lambda t: t.linalg.cond(t.ones(2, 3), 1), RuntimeError)],
        exact=512,
        # PyTorch's cond overwrites the inverse that its gradient needs
        torch=(lambda t, x, p=p: condition(t, spread(t, x), p)) if p not in (None, 2, -2) else None,
        name=f"cond-{p}",
    )
row(
    "factor.svd_of",
    lambda t, x: [t.linalg.cond(x.detach(), p) for p in (None, "fro", 1)],
    [given([[1.0, 0], [0, 0]])],
    order=0,
    name="cond of a singular matrix",
)
for n in (-2, 0, 1, 3, 5):
    row(
        "linalg.matmul" if abs(n) > 1 else "elementwise.clone elementwise.add_arrays",
        lambda t, x, n=n: (
            t.linalg.matrix_power(regular(t, x), n) + regular(t, x).matrix_power(n) + x
        ),
        [normal(3, 3)],
        more=squares((2, 3, 3)),
        bad=[(lambda t: t.linalg.matrix_power(t.ones(2, 3), 2), RuntimeError)],
        exact=512,
        name=f"matrix_power-{n}",
        order=2 if n else 1,
    )
row(
    "matrices.matrix_exponential",
    lambda t, x: t.linalg.matrix_exp(x) + t.matrix_exp(x * 0.1) + x.matrix_exp(),
    [normal(3, 3)],
    more=[*squares((2, 3, 3), (1, 1), (0, 0)), [between(-9, 9, 4, 4)]],
    bad=refusing(lambda t: t.linalg.matrix_exp),
    exact=512,
)
row(
    "linalg.matmul",
    lambda t, a, b, c: t.linalg.multi_dot([a, b, c]) + t.chain_matmul(a, b, c),
    [normal(2, 5), normal(5, 3), normal(3, 4)],
    bad=[
        (lambda t: t.linalg.multi_dot([t.ones(2, 3)]), RuntimeError),
        (lambda t: t.linalg.multi_dot([t.ones(2, 3), t.ones(2, 3)]), RuntimeError),
        (lambda t: t.linalg.multi_dot([t.ones(2, 2), t.ones(1, 2, 3), t.ones(3, 2)]), RuntimeError),
    ],
)
row(
    "linalg.matmul",
    lambda t, a, b, c: t.linalg.multi_dot([a, b, c]) * t.linalg.multi_dot([a, b]).sum(),
    [normal(5), normal(5, 3), normal(3)],
    name="multi_dot of vectors",
)
row(
    "factor.inverse_of factor.solution",
    lambda t, a, b: (
        t.linalg.tensorinv(regular(t, a).reshape(2, 3, 6), ind=2).sum(0)
        + t.linalg.tensorsolve(regular(t, a).reshape(2, 3, 6), b).sum()
        + t.linalg.tensorsolve(regular(t, a).reshape(2, 3, 6).movedim(2, 0), b, dims=(0,)).sum()
    ),
    [normal(6, 6), normal(2, 3)],
    bad=[
        (lambda t: t.linalg.tensorinv(t.ones(2, 3, 5)), RuntimeError),
        (lambda t: t.linalg.tensorinv(t.ones(2, 3, 6), 0), RuntimeError),
        (lambda t: t.linalg.tensorsolve(t.ones(2, 3, 5), t.ones(2, 3)), RuntimeError),
    ],
    exact=512,
)
row(
    "reduce.cumprod_along",
    lambda t, x: t.linalg.vander(x, N=3),
    [normal(4)],
    more=[[normal(2, 3)]],
    bad=[(lambda t: t.linalg.vander(t.ones(3), N=1), RuntimeError)],
)
row(
    "reduce.cumprod_along",
    lambda t, x: (
        t.vander(x).sum()
        + t.vander(x, N=2)
        + t.vander(x, 2, increasing=True)
        + t.linalg.vander(x).sum()
    ),
    [normal(3)],
    # PyTorch's vander overwrites what its gradient needs
    torch=lambda t, x: (
        t.linalg.vander(x).sum() * 2 + t.linalg.vander(x, N=2).flip(-1) + t.linalg.vander(x, N=2)
    ),
    bad=[(lambda t: t.vander(t.ones(2, 2)), RuntimeError)],
    name="vander, old name",
)
row(
    "elementwise.mul",
    lambda t, x, y: t.kron(x, y),
    [normal(2, 3), normal(3, 2)],
    more=[[normal(2), normal(3, 2)], [normal(), normal(2)], [normal(2, 2, 2), normal(3)]],
    name="kron",
)
row(
    "join.concatenate",
    lambda t, x, y, z: t.block_diag(x, y, z),
    [normal(2, 3), normal(2), normal()],
    bad=[(lambda t: t.block_diag(t.ones(2, 2, 2)), RuntimeError)],
    name="block_diag",
)
row(
    "diagonal.diagonal_of",
    lambda t, x: [t.linalg.diagonal(x), t.linalg.diagonal(x, offset=1, dim1=0, dim2=-1)],
    [normal(2, 3, 3)],
    more=[[normal(3, 2)]],
    name="linalg.diagonal",
)

# ---- norms and distances ----------------------------------------------------------------------

for p in (2, 1, 3, 1.5, 0.5, -1, math.inf, -math.inf):
    row(
        {2: "reduce.euclidean_norm", 1: "shape.sum_over"}.get(
            p, "reduce.amax_over" if p == math.inf else "distance.power_norm"
        )
        if p != -math.inf
        else "reduce.amin_over",
        lambda t, x, p=p: (
            t.linalg.vector_norm(x, p, dim=-1)
            + t.linalg.vector_norm(x, p)
            + t.norm(x, p, dim=-1, keepdim=True).sum()
            + x.norm(p)
            + t.dist(x, x * 2, p)
        ),
        [normal(3, 4)],
        more=[[normal(2, 3, 4)], [normal(5)]],
        exact=512,
        name=f"vector_norm-{p}",
    )
row(
    "shape.sum_over",
    lambda t, x: [t.linalg.vector_norm(x, 0), t.norm(x, 0, dim=1), t.dist(x, x * x, 0)],
    [given([[0.0, 1.0], [0.0, 0.0], [2.0, -3.0]], grad=False)],
    order=0,
    name="vector_norm-0",
)
row(
    "distance.power_norm",
    lambda t, x: [t.linalg.vector_norm(x, p, dim=1) for p in (1.5, 3)],
    [given([[0.0, 1.0], [0.0, 0.0], [2.0, -3.0]])],
    order=0,
    name="norms of zeros",
)
row(
    "distance.power_norm",
    lambda t, x: [
        t.linalg.vector_norm(x, 3, dim=(0, 2), keepdim=True),
        t.linalg.norm(x),
        t.linalg.norm(x, dim=(1, 2)),
        t.linalg.norm(x, 3, dim=1),
        t.norm(x, dim=(0, 1)),
    ],
    [normal(2, 3, 4)],
    bad=[
        (lambda t: t.linalg.norm(t.ones(2, 2, 2), 2), RuntimeError),
        (lambda t: t.linalg.vector_norm(t.arange(3)), RuntimeError),
        (lambda t: t.linalg.vector_norm(t.ones(3), dim=1), IndexError),
        (lambda t: t.linalg.matrix_norm(t.ones(3)), RuntimeError),
        (lambda t: t.linalg.matrix_norm(t.ones(3, 3), 3), RuntimeError),
        (lambda t: t.linalg.matrix_norm(t.ones(3, 3), "x"), RuntimeError),
    ],
    name="norm options",
)
row(
    "elementwise.cast",
    lambda t, x: [
        t.linalg.vector_norm(x, dtype=t.float64),
        t.norm(x, dim=(0, 1), dtype=t.float64),
        t.linalg.norm(x, dtype=t.float64),
        t.linalg.matrix_norm(x, dtype=t.float64),
    ],
    [normal(2, 3, 4)],
    single="float64",
    order=0,
    name="norms in another dtype",
)
for p in ("fro", "nuc", 2, -2, 1, -1, math.inf, -math.inf):
    primitive = {
        "fro": "reduce.euclidean_norm",
        "nuc": "factor.svd_of",
        2: "factor.svd_of",
        -2: "factor.svd_of",
    }.get(p, "reduce.amax_over" if p in (1, math.inf) else "reduce.amin_over")
    row(
        primitive,
        lambda t, x, p=p: (
            t.linalg.matrix_norm(x, p)
            + t.linalg.matrix_norm(x, p, dim=(1, 0), keepdim=True).sum()
            + t.linalg.norm(x, p)
        ),
        [normal(3, 4)],
        exact=512,
        name=f"matrix_norm-{p}",
    )
    row(
        primitive,
        lambda t, x, p=p: (
            t.linalg.matrix_norm(x, p, dim=(0, 2)) + t.linalg.matrix_norm(x, p, keepdim=True).sum()
        ),
        [normal(3, 2, 4)],
        exact=512,
        name=f"matrix_norm of a stack-{p}",
    )
row(
    "factor.svd_of",
    lambda t, x: t.norm(x, "nuc") + t.norm(x, "nuc", dim=(0, 1)) + t.norm(x, "fro"),
    [normal(3, 4)],
    name="norm-nuc",
    exact=512,
)
row(
    "distance.power_norm",
    lambda t, x: t.renorm(x, 3, 0, 2.0) + x.renorm(p=3, dim=-1, maxnorm=1e6),
    [normal(3, 4)],
    more=[[normal(2, 3, 4)]],
    bad=[
        (lambda t: t.renorm(t.ones(3), 2, 0, 1.0), RuntimeError),
        (lambda t: t.renorm(t.ones(3, 3), 0, 0, 1.0), RuntimeError),
        (lambda t: t.renorm(t.ones(3, 3), 2, 0, -1.0), RuntimeError),
    ],
    exact=512,
    name="renorm",
)
MODES = ("use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist")
for mode in MODES:
    row(
        "distance.distances",
        lambda t, x, y, m=mode: t.cdist(x, y, compute_mode=m),
        [normal(3, 4), normal(2, 4)],
        more=[
            [normal(2, 3, 4), normal(2, 5, 4)],
            [normal(2, 1, 3, 4), normal(3, 2, 4)],
            [normal(0, 4), normal(2, 4)],
            [normal(3, 0), normal(2, 0)],
        ],
        bad=[
            (lambda t: t.cdist(t.ones(3), t.ones(2, 3)), RuntimeError),
            (lambda t: t.cdist(t.ones(3, 2), t.ones(2, 3)), RuntimeError),
            (lambda t: t.cdist(t.ones(3, 2), t.ones(3, 2), p=-1.0), RuntimeError),
        ],
        exact=2048,
        name=f"cdist-{mode}",
    )
row(
    "distance.distances",
    lambda t, x, y: t.cdist(x, y),
    [normal(30, 3), normal(27, 3)],
    order=1,
    exact=4096,
    name="cdist of many rows",
)
row(
    "distance.distances",
    lambda t, x: t.cdist(x, x.detach()),
    [normal(3, 4)],
    order=0,
    name="cdist where it is 0",
)
for p in (0.0, 1.0, 1.5, 3.0, math.inf):
    row(
        "elementwise.sub_arrays",
        lambda t, x, y, p=p: t.cdist(x, y, p=p).sum() + t.nn.functional.pdist(x, p),
        [normal(3, 4), normal(2, 4)],
        order=2 if p else 1,
        bad=[(lambda t: t.pdist(t.ones(3)), RuntimeError)],
        exact=512,
        name=f"cdist-{p}",
    )
row(
    "reduce.euclidean_norm",
    lambda t, x: t.pdist(x),
    [normal(4, 3)],
    name="pdist",
)
row(
    "reduce.euclidean_norm",
    lambda t, x, y: (
        t.cosine_similarity(x, y).sum()
        + t.cosine_similarity(x, y, dim=0)
        + t.nn.functional.cosine_similarity(x, y, dim=-1, eps=1e-3).sum()
    ),
    [normal(3, 4), normal(3, 4)],
    more=[[normal(3, 4), normal(1, 4)], [normal(2, 3, 4), normal(4)]],
    bad=[(lambda t: t.cosine_similarity(t.ones(2, 3), t.ones(2, 4)), RuntimeError)],
    name="cosine_similarity",
    exact=512,
)
row(
    "reduce.euclidean_norm",
    lambda t, x, y: (
        t.pairwise_distance(x, y)
        + t.nn.functional.pairwise_distance(x, y, p=1.0, keepdim=True).sum()
    ),
    [normal(3, 4), normal(3, 4)],
    more=[[normal(3, 4), normal(4)]],
    name="pairwise_distance",
)

# ---- products ---------------------------------------------------------------------------------

row(
    "linalg.matmul",
    lambda t, x, a, b, v, w: (
        t.addbmm(x, a, b, beta=0.5, alpha=2)
        + x.addbmm(a, b)
        + t.addr(x, v, w, beta=2, alpha=3)
        + x.addr(v, w)
        + t.ger(v, w)
    ),
    [normal(2, 4), normal(3, 2, 5), normal(3, 5, 4), normal(2), normal(4)],
    more=[[normal(4), normal(3, 2, 5), normal(3, 5, 4), normal(2), normal(4)]],
    bad=[
        (lambda t: t.addbmm(t.ones(2, 4), t.ones(3, 2, 5), t.ones(2, 5, 4)), RuntimeError),
        (lambda t: t.addr(t.ones(3, 3), t.ones(2), t.ones(3)), RuntimeError),
    ],
    name="addbmm, addr",
    torch=lambda t, x, a, b, v, w: (
        t.addbmm(x, a, b, beta=0.5, alpha=2)
        + t.addbmm(x, a, b)
        + t.addr(x, v, w, beta=2, alpha=3)
        + t.addr(x, v, w)
        + t.ger(v, w)
    ),
)
row(
    "linalg.matmul",
    lambda t, x, a, b: t.addmm(x, a, b, beta=0) + t.addmv(x[0], b.mT, a[0], alpha=2),
    [given(np.full((2, 4), 3.0)), normal(2, 5), normal(5, 4)],
    name="addmm without its input",
)
row(
    "linalg.einsum_of",
    lambda t, x, y: t.inner(x, y) + t.inner(x[0, 0], y[0]),
    [normal(2, 3, 4), normal(5, 4)],
    bad=[(lambda t: t.inner(t.ones(3), t.ones(4)), RuntimeError)],
    name="inner",
)
row(
    "linalg.matmul",
    lambda t, x, y: t.vdot(x, y) * t.inner(x, y) + t.inner(x.sum(), y).sum(),
    [normal(3), normal(3)],
    name="vdot, inner with a number",
    bad=[(lambda t: t.vdot(t.ones(3), t.ones(4)), RuntimeError)],
)
row(
    "linalg.einsum_of",
    lambda t, x, y, z: t.einsum(x, [0, 1], y, [1, 2], z, [2], [0]),
    [normal(2, 3), normal(3, 4), normal(4)],
    name="einsum, lists",
)
row(
    "linalg.einsum_of",
    lambda t, x, y: t.einsum(x, [..., 0, 1], y, [..., 1, 2]) + t.einsum("...ij,jk", x, y).sum(),
    [normal(2, 2, 3), normal(3, 4)],
    name="einsum, lists with an ellipsis",
    bad=[
        (lambda t: t.einsum("i1,jk->ij", t.ones(2, 2), t.ones(2, 2)), RuntimeError),
        (lambda t: t.einsum("ij,jk->ij", t.ones(2, 2), t.ones(3, 2)), RuntimeError),
        (lambda t: t.einsum("ij->ik", t.ones(2, 2)), RuntimeError),
        (lambda t: t.einsum("ijk", t.ones(2, 2)), RuntimeError),
    ],
)
row(
    "linalg.einsum_of",
    lambda t, a, b, c, d: (
        t.einsum("ab,bc,cd,de->ae", a, b, c, d) + t.einsum("ab,bc,cd,de->", a, b, c, d)
    ),
    [normal(2, 3), normal(3, 4), normal(4, 2), normal(2, 3)],
    name="einsum of four",
)
row(
    "linalg.einsum_of",
    lambda t, x, y: (
        t.tensordot(x, y).sum() + t.tensordot(x, y, dims=1).sum() + t.tensordot(x, y, 0)
    ),
    [normal(2, 3, 3), normal(3, 3, 2)],
    bad=[
        (lambda t: t.tensordot(t.ones(2, 3), t.ones(2, 3), 1), RuntimeError),
        (lambda t: t.tensordot(t.ones(2, 3), t.ones(3), 2), RuntimeError),
        (lambda t: t.tensordot(t.ones(2, 3), t.ones(3), ([0, 1], [0])), RuntimeError),
    ],
    name="tensordot by number",
)
row(
    "linalg.vector_product",
    lambda t, x, y: t.linalg.cross(x, y) + t.cross(x, y) + t.linalg.cross(x.mT, y.mT, dim=0).mT,
    [normal(2, 3), normal(2, 3)],
    bad=[
        (lambda t: t.linalg.cross(t.ones(2, 2), t.ones(2, 2)), RuntimeError),
        (lambda t: t.cross(t.ones(2, 2), t.ones(2, 2)), RuntimeError),
        (lambda t: t.linalg.cross(t.ones(3), t.ones(2, 3)), RuntimeError),
        (lambda t: t.linalg.cross(t.ones(3), t.ones(3, dtype=t.float64)), RuntimeError),
        (lambda t: t.linalg.cross(t.ones(4, 3), t.ones(2, 3)), RuntimeError),
        (lambda t: t.linalg.cross(t.ones(3).bool(), t.ones(3).bool()), NotImplementedError),
    ],
    more=[[normal(2, 3), normal(1, 3)], [normal(400, 3), normal(400, 3)]],
    name="linalg.cross",
    torch=lambda t, x, y: (
        t.linalg.cross(x, y) + t.cross(x, y, dim=-1) + t.linalg.cross(x.mT, y.mT, dim=0).mT
    ),
)
row(
    "elementwise.mul",
    lambda t, x, y: t.linalg.vecdot(x, y) + t.linalg.vecdot(x, y, dim=0).sum(),
    [normal(2, 3), normal(2, 3)],
    more=[[normal(4, 2, 3), normal(3)]],
    name="vecdot",
)

# ---- statistics -------------------------------------------------------------------------------

row(
    "linalg.matmul",
    lambda t, x, f, a: (
        t.cov(x, correction=0)
        + t.cov(x, fweights=f)
        + t.cov(x, aweights=a)
        + x.cov(fweights=f, aweights=a, correction=2)
        + t.cov(x[0])
    ),
    [normal(3, 5), ints(1, 4, 5), between(0.5, 2, 5)],
    bad=[
        (lambda t: t.cov(t.ones(2, 2, 2)), RuntimeError),
        (lambda t: t.cov(t.ones(2, 2), fweights=t.ones(2)), RuntimeError),
        (lambda t: t.cov(t.ones(2, 2), aweights=t.arange(2)), RuntimeError),
        (lambda t: t.cov(t.ones(2, 2), fweights=t.ones(3).long()), RuntimeError),
        (lambda t: t.cov(t.ones(2, 2), aweights=-t.ones(2)), RuntimeError),
    ],
    exact=512,
    name="cov with weights",
)
row(
    "linalg.matmul",
    lambda t, x: t.corrcoef(x) + x.corrcoef(),
    [normal(3, 5)],
    exact=512,
    order=1,
    name="corrcoef",
)
row(
    "shape.sum_over",
    lambda t, y, x: (
        t.trapezoid(y, dim=0).sum()
        + t.trapezoid(y, dx=0.5)
        + t.trapezoid(y, x)
        + t.trapezoid(y, x, dim=1)
        + t.trapz(y)
    ),
    [normal(3, 4), normal(4)],
    bad=[(lambda t: t.trapezoid(t.ones(3), t.ones(4)), RuntimeError)],
    name="trapezoid",
)
row(
    "reduce.cumsum_along",
    lambda t, y, x: (
        t.cumulative_trapezoid(y, dx=2)
        + t.cumulative_trapezoid(y, x)
        + t.cumulative_trapezoid(y, dim=0).sum()
    ),
    [normal(3, 4), normal(3, 4)],
    name="cumulative_trapezoid",
)
