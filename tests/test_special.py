"""Special functions against SciPy: accuracy over the whole range, poles, infinities, NaN.

Bounds are in units of 2 ** -52 relative to SciPy's value (`absolute`: to 1), and allow for both
sides' errors: a few roundings where SciPy is a rounding or two off, more where its own error grows
(lgamma next to its zeros, the tails of the incomplete gamma functions).
"""

import numpy as np
import pytest

import fastdl
from fastdl.ops.special.gamma import quantile_slope

scipy_special = pytest.importorskip("scipy.special")

EPS = 2.0**-52
RNG = np.random.default_rng(7)
ODD = np.array([0.0, -0.0, np.inf, -np.inf, np.nan])
WIDE = np.concatenate([np.logspace(-300, 300, 601), RNG.uniform(0, 30, 2000), ODD])
SIGNED = np.concatenate([WIDE, -RNG.uniform(0, 30, 1000), -np.arange(5.0)])
SHARE = np.concatenate(
    [
        RNG.uniform(0, 1, 2000),
        np.logspace(-300, -1, 300),
        1 - np.logspace(-15, -1, 100),
        ODD,
        [2, -1],
    ]
)

# name -> (arguments, factor of EPS, are errors absolute)
FUNCTIONS = {
    "gammaln": (
        WIDE[(np.minimum(np.abs(WIDE - 2), np.abs(WIDE - 1)) > 0.05) & (WIDE >= 0)],
        64,
        False,
    ),
    "digamma": (WIDE, 16, False),
    "erfinv": (2 * SHARE - 1, 16, False),
    "erfcx": (np.concatenate([RNG.uniform(-20, 500, 3000), ODD]), 2048, False),
    "ndtr": (RNG.uniform(-30, 10, 3000), 2048, False),
    "ndtri": (SHARE, 16, False),
    "log_ndtr": (np.concatenate([RNG.uniform(-100, 10, 3000), ODD, [-1e10]]), 64, False),
    "entr": (SIGNED, 16, False),
    "i0": (np.concatenate([RNG.uniform(-85, 85, 3000), [0.0, -0.0, np.nan]]), 32, False),
    "i1": (np.concatenate([RNG.uniform(-85, 85, 3000), [0.0, -0.0, np.nan]]), 32, False),
    "i0e": (SIGNED, 32, False),
    "i1e": (SIGNED, 32, False),
    "bessel_j0": (RNG.uniform(-500, 500, 3000), 8, True),
    "bessel_j1": (RNG.uniform(-500, 500, 3000), 8, True),
    "bessel_y0": (RNG.uniform(0.05, 500, 3000), 16, True),
    "bessel_y1": (RNG.uniform(0.2, 500, 3000), 16, True),
    "modified_bessel_k0": (RNG.uniform(1e-6, 600, 3000), 32, False),
    "modified_bessel_k1": (RNG.uniform(1e-6, 600, 3000), 32, False),
    "scaled_modified_bessel_k0": (WIDE, 32, False),
    "scaled_modified_bessel_k1": (WIDE, 32, False),
}
SCIPY_NAMES = {
    "digamma": "psi",
    "bessel_j0": "j0",
    "bessel_j1": "j1",
    "bessel_y0": "y0",
    "bessel_y1": "y1",
    "modified_bessel_k0": "k0",
    "modified_bessel_k1": "k1",
    "scaled_modified_bessel_k0": "k0e",
    "scaled_modified_bessel_k1": "k1e",
}


def compare(name, arguments, factor, absolute=False):
    with np.errstate(all="ignore"):
        expected = getattr(scipy_special, SCIPY_NAMES.get(name, name))(*arguments)
    for dtype, eps in ((np.float64, factor * EPS), (np.float32, factor * EPS)):
        xs = [np.asarray(a, np.float64) for a in arguments]
        if dtype == np.float32:
            xs = [x.astype(np.float32) for x in xs]
            with np.errstate(all="ignore"):
                wide = [x.astype(np.float64) for x in xs]
                expected = getattr(scipy_special, SCIPY_NAMES.get(name, name))(*wide)
                expected = expected.astype(np.float32)
            eps = 2.0**-22  # double arithmetic, rounded once; one more where SciPy rounds elsewhere
        found = getattr(fastdl.special, name)(*[fastdl.from_numpy(x) for x in xs])
        assert found.array.dtype == dtype
        rtol, atol = (0, eps) if absolute else (eps, np.finfo(dtype).tiny)
        np.testing.assert_allclose(found.numpy(), expected, rtol=rtol, atol=atol)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_against_scipy(name):
    x, factor, absolute = FUNCTIONS[name]
    compare(name, [x], factor, absolute)


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_polygamma(n):
    x = np.concatenate([RNG.uniform(0.01, 50, 2000), np.logspace(-20, 20, 200), [np.inf, 0.0]])
    found = fastdl.polygamma(n, fastdl.from_numpy(x)).numpy()
    expected = scipy_special.polygamma(n, x)
    expected[x == 0] = np.inf  # PyTorch's, also for even n
    np.testing.assert_allclose(np.abs(found), np.abs(expected), rtol=32 * EPS)
    assert (np.sign(found[x > 0]) == np.sign(expected[x > 0])).all()


def test_digamma_and_lgamma_of_negative_numbers():
    x = -RNG.uniform(0.01, 20, 2000)
    x = x[np.abs(x - np.round(x)) > 1e-3]
    for ours, theirs in (
        (fastdl.digamma, scipy_special.psi),
        (fastdl.lgamma, scipy_special.gammaln),
    ):
        expected = theirs(x)
        # sin and tan of pi x lose what the fraction of x loses against x: 1e3 roundings at 1e-3
        np.testing.assert_allclose(
            ours(fastdl.from_numpy(x)), expected, rtol=4096 * EPS, atol=1e-11
        )
    poles = fastdl.tensor([-1.0, -2.0, -7.0])
    assert fastdl.digamma(poles).isnan().all()
    assert fastdl.lgamma(poles).isposinf().all()


def test_zeta():
    compare("zeta", [RNG.uniform(1.01, 40, 2000), RNG.uniform(0.01, 60, 2000)], 32)
    compare("zeta", [np.array([1.0, 0.5, 2, 2, 2]), np.array([2.0, 2, 0, -3, np.inf])], 32)


@pytest.mark.parametrize("name", ["gammainc", "gammaincc"])
def test_incomplete_gamma(name):
    a = np.exp(RNG.uniform(-8, 5, 5000))
    x = a * np.exp(RNG.normal(size=5000) * RNG.choice([0.1, 1], 5000))
    with np.errstate(all="ignore"):
        expected = getattr(scipy_special, name)(a, x)
    found = getattr(fastdl.special, name)(fastdl.from_numpy(a), fastdl.from_numpy(x)).numpy()
    # Relative where it is no smaller than 1e-100: SciPy's own tails are good to 1e-12 there.
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-100)
    odd = np.array([0.0, 1, 2, np.inf, -1, np.nan])
    a, x = (g.reshape(-1) for g in np.meshgrid(odd, odd))
    compare(name, [a, x], 64)


def test_incomplete_gamma_of_large_shapes():
    # where SciPy 1.17 gives up its series: the normal limit, with its third moment
    a = np.array([1e6, 1e8])
    for z in (-5.0, -2.0, 0.0, 1.0, 4.0):
        x = a + z * np.sqrt(a)
        p = fastdl.special.gammainc(fastdl.from_numpy(a), fastdl.from_numpy(x)).numpy()
        skew = 2 / np.sqrt(a)
        density = np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
        expected = scipy_special.ndtr(z) - skew / 6 * (z * z - 1) * density
        # Edgeworth's next term is of the order z ** 5 / a
        np.testing.assert_allclose(p, expected, atol=200 * max(abs(z), 1) ** 5 / 1e6 * density)


def test_quantile_slope_of_gamma():
    a = np.array([0.01, 0.5, 0.5, 0.5, 3, 3, 15, 50, 50, 1000, 22, 0.1])
    x = np.array([1e-5, 0.1, 5, 30, 0.5, 9, 30, 55, 40, 950, 5, 1e-200])
    found = quantile_slope(a, x)
    lower = scipy_special.gammainc(a, x) < 0.5
    h = 1e-5 * a
    quantile = lambda b: np.where(
        lower,
        scipy_special.gammaincinv(b, scipy_special.gammainc(a, x)),
        scipy_special.gammainccinv(b, scipy_special.gammaincc(a, x)),
    )
    differences = (quantile(a + h) - quantile(a - h)) / (2 * h)
    # central differences: h ** 2 of the third derivative, and rounding over h
    np.testing.assert_allclose(found, differences, rtol=1e-5)


def test_rows_of_a_matrix_and_zero_dimensions():
    x = fastdl.rand(3, 4).double() + 0.5
    whole = fastdl.lgamma(x)
    assert whole.shape == (3, 4)
    assert float(fastdl.lgamma(x[1, 2])) == whole[1, 2].item()
    assert fastdl.lgamma(x.T).equal(whole.T)
    assert fastdl.lgamma(fastdl.ones(0, 3)).shape == (0, 3)


def test_half_precision_keeps_its_dtype():
    x = fastdl.tensor([0.5, 1.5, 3.0], dtype=fastdl.float16)
    assert fastdl.lgamma(x).dtype is fastdl.float16
    np.testing.assert_allclose(
        fastdl.lgamma(x).numpy(), scipy_special.gammaln([0.5, 1.5, 3.0]), atol=2e-3
    )
