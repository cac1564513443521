"""Rows for the special functions; test_special.py checks their accuracy and ends of range."""

import numpy as np
from op_cases import Case, between, given, ints

from fastdl.ops.sampling import gamma_quantile_slope, standard_gamma_of

CASES: list[Case] = []
# PyTorch's trigamma has an error of 1e-9 (relative to the greatest element of a row), its Bessel
# functions J and Y one of 1e-6; test_special.py compares with SciPy.
TRIGAMMA, WAVES = 1e-8 / 2**-52, 1e-5 / 2**-52


def row(primitives, run, inputs, **options):
    CASES.append(Case(primitives, run, inputs, **options))


def unary(primitives, run, make, **options):
    """A row for a function of one tensor; also a matrix, 0-d and zero-size."""
    row(primitives, run, [make(3, 4)], more=[[make(2, 1, 3)], [make()], [make(0, 2)]], **options)


positive = lambda *shape: between(0.3, 6, *shape)
anywhere = lambda *shape: between(-3.8, 3.8, *shape)
off_poles = lambda *shape: between(-0.9, -0.1, *shape)
inside = lambda *shape: between(-0.95, 0.95, *shape)
share = lambda *shape: between(0.02, 0.98, *shape)

TEXT = [
    (lambda t: t.lgamma("x"), TypeError),
    (lambda t: t.polygamma(-1, t.ones(2)), RuntimeError),
    (lambda t: t.polygamma(1.5, t.ones(2)), TypeError),
]
for name, make in {"positive": positive, "negative": off_poles}.items():
    unary(
        "special.lgamma special.digamma",
        lambda t, x: t.lgamma(x) + t.special.gammaln(x) * 2 + x.lgamma(),
        make,
        bad=TEXT,
        exact=512,
        coarse=TRIGAMMA,
        name=f"lgamma-{name}",
    )
    unary(
        "special.digamma special.polygamma_of",
        lambda t, x: t.digamma(x) + t.special.digamma(x) * 2 + t.special.psi(x) + x.digamma(),
        make,
        exact=512,
        coarse=TRIGAMMA,
        name=f"digamma-{name}",
    )
for n in (0, 1, 2, 4):
    unary(
        "special.polygamma_of" if n else "special.digamma",
        lambda t, x, n=n: t.polygamma(n, x) + x.polygamma(n) + t.special.polygamma(n, x),
        positive,
        exact=512,
        coarse=TRIGAMMA if n < 2 else 64,
        name=f"polygamma-{n}",
    )
row(
    "special.zeta",
    lambda t, x, s: t.special.zeta(s, x) + t.special.zeta(2.5, x) + t.special.zeta(s, 3.0),
    [positive(3, 4), given(np.linspace(1.5, 6, 4), grad=False)],
    more=[[positive(), given(2.0, grad=False)], [positive(0, 1), given([3.0], grad=False)]],
    bad=[(lambda t: t.special.zeta(t.ones(2), t.ones(3)), RuntimeError)],
    exact=512,
)
for p in (1, 3):
    unary(
        "special.lgamma",
        lambda t, x, p=p: t.mvlgamma(x + 1.5, p) + t.special.multigammaln(x + 1.5, p),
        positive,
        bad=[
            (lambda t: t.mvlgamma(t.ones(2), 0), RuntimeError),
        ],
        exact=512,
        name=f"mvlgamma-{p}",
    )
for name in ("gammainc", "gammaincc"):
    row(
        f"special.{name}",
        lambda t, x, a, name=name: getattr(t.special, name)(a, x),
        [positive(3, 4), given(np.linspace(0.2, 30, 4), grad=False)],
        more=[[positive(2, 1), given([0.5, 3], grad=False)], [positive(), given(2.0, grad=False)]],
        bad=[(lambda t, name=name: getattr(t.special, name)(t.ones(2), t.ones(3)), RuntimeError)],
        exact=512,
    )
row(
    "special.gammainc special.gammaincc",
    lambda t, x, a: t.igamma(a, x) + t.igammac(a, x) * 2 + a.igamma(x) * a.igammac(x),
    [positive(3), given([0.5, 2, 9], grad=False)],
    exact=512,
    name="igamma",
)

unary(
    "elementwise.erfinv elementwise.exp_of_square",
    lambda t, x: t.erfinv(x) + t.special.erfinv(x) + x.erfinv(),
    inside,
    exact=2048,
)
unary(
    "elementwise.erfcx", lambda t, x: t.special.erfcx(x), lambda *s: between(-2, 9, *s), exact=512
)
unary("special.ndtr", lambda t, x: t.special.ndtr(x), anywhere)
unary("special.ndtri", lambda t, x: t.special.ndtri(x), share, exact=4096)
unary(
    "special.log_ndtr", lambda t, x: t.special.log_ndtr(x), lambda *s: between(-9, 3, *s), exact=512
)
unary("special.entr", lambda t, x: t.special.entr(x), positive)
row(
    "special.xlog1py",
    lambda t, x, y: t.special.xlog1py(x, y) + t.special.xlog1py(2, y),
    [anywhere(3, 4), positive(3, 4)],
    more=[[anywhere(3, 1), positive(4)], [anywhere(), positive()], [anywhere(0), positive(0)]],
    bad=[(lambda t: t.special.xlog1py(t.ones(2), t.ones(3)), RuntimeError)],
)
row(
    "elementwise.xlogy",
    lambda t, x, y: t.special.xlogy(x, y) + t.special.sinc(x),
    [anywhere(3, 4), positive(3, 4)],
    name="special.xlogy, sinc",
    exact=512,
)

for name in ("i0", "i1", "i0e", "i1e"):
    unary(
        f"special.{name}",
        lambda t, x, name=name: getattr(t.special, name)(x),
        lambda *s: between(0.2, 12, *s),
        exact=4096,
    )
unary("special.i0 special.i1", lambda t, x: t.i0(x) + x.i0(), anywhere, name="i0, old name")
for name in ("bessel_j0", "bessel_j1", "bessel_y0", "bessel_y1", "spherical_bessel_j0"):
    unary(
        f"special.{name}",
        lambda t, x, name=name: getattr(t.special, name)(x.detach()),
        lambda *s: between(0.2, 30, *s),
        order=0,
        coarse=WAVES,
    )
for name in ("modified_bessel_k", "scaled_modified_bessel_k", "modified_bessel_i"):
    for order in (0, 1):
        primitive = f"special.{name}{order}" if name[-1] == "k" else f"special.i{order}"
        unary(
            primitive,
            lambda t, x, f=f"{name}{order}": getattr(t.special, f)(x.detach()),
            lambda *s: between(0.2, 12, *s),
            order=0,
            name=f"{name}{order}",
        )

POLYNOMIALS = [
    *[f"{p}chebyshev_polynomial_{k}" for p in ("", "shifted_") for k in "tuvw"],
    *["hermite_polynomial_h", "hermite_polynomial_he", "laguerre_polynomial_l"],
    "legendre_polynomial_p",
]
for name in POLYNOMIALS:
    row(
        f"special.{name}",
        lambda t, x, n, f=name: getattr(t.special, f)(x.detach(), n),
        [between(-0.9, 0.9, 3, 1), given(np.arange(-1, 9), grad=False)],
        more=[[between(0, 1), given(3, grad=False)], [between(0, 1, 0), given([2], grad=False)]],
        order=0,
        exact=512,
    )

row(
    "elementwise.sigmoid",
    lambda t, x, p: (
        t.special.expit(x)
        + t.special.logit(p)
        + t.special.logit(p, eps=0.1)
        + t.special.expm1(x)
        + t.special.log1p(p)
        + t.special.exp2(x)
        + t.special.erf(x)
        + t.special.erfc(x)
        + t.special.softmax(x, 1)
        + t.special.log_softmax(x, dim=0)
        + t.special.logsumexp(x, 1, keepdim=True)
    ),
    [anywhere(3, 4), share(3, 4)],
    exact=512,
    name="special, names of other modules",
)
row(
    "elementwise.round",
    lambda t, x: t.special.round(x.detach(), decimals=1),
    [anywhere(5)],
    order=0,
    name="special.round",
)
row(
    "special.lgamma special.digamma",
    lambda t, x: [
        t.lgamma(x),
        t.digamma(x),
        t.polygamma(1, x),
        t.special.entr(x),
        t.special.i0(x),
        t.special.ndtr(x),
        t.special.zeta(2, x),
        t.special.xlog1py(x, x),
    ],
    [ints(1, 9, 5)],
    order=0,
    name="special functions of integers",
)
row(
    "special.lgamma special.digamma special.polygamma_of",
    lambda t, x: (
        x.clone().lgamma_()
        + x.clone().digamma_()
        + x.clone().polygamma_(2)
        + x.clone().polygamma_(0)
        + (x + 2).mvlgamma_(2)
        + (x / 9).erfinv_()
        + x.clone().i0_()
    ),
    [positive(3)],
    order=1,
    exact=2048,
    coarse=TRIGAMMA,
    name="special functions in place",
    torch=lambda t, x: (
        x.lgamma()
        + x.digamma() * 2
        + x.polygamma(2)
        + t.mvlgamma(x + 2, 2)
        + t.erfinv(x / 9)
        + t.i0(x)
    ),
)


def gamma_slopes(t, x):
    """What the gradient of gamma variables is made of, at fixed places."""
    if t.__name__ == "fastdl":
        return gamma_quantile_slope(x.detach(), (x + 0.5).detach())
    return t._standard_gamma_grad(x.detach(), (x + 0.5).detach())


def gamma_sample(t, x):
    """A gamma variable less itself, with its gradient."""
    drawn = standard_gamma_of(x, draw=(1, 2))
    return (drawn - drawn.detach()) * 0


row(
    "sampling.gamma_quantile_slope",
    gamma_slopes,
    [positive(3, 4)],
    more=[[positive()], [positive(0)]],
    order=0,
    exact=2048,
    coarse=3e-3 / 2**-52,  # PyTorch's is a rational fit
)
row(
    "sampling.standard_gamma_of",
    gamma_sample,
    [positive(3, 4)],
    order=0,
    torch=lambda t, x: x * 0,
)
