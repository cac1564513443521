"""Random numbers: the generator against its published vectors, distributions, streams, dropout.

Statistical tests run on fixed seeds: they pass or fail for ever. Kolmogorov-Smirnov tests need
SciPy and ask for p > 1e-4; a wrong shape of 100,000 numbers by 1 % gives p < 1e-8.
"""

import copy
import pickle

import numpy as np
import pytest

import fastdl
import fastdl.nn.functional as F
from fastdl import _kernels as K
from fastdl import nn
from fastdl._kernels import isa_available

each_tier = pytest.mark.parametrize("isa", isa_available())
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
SIZES = [0, 1, 2, 15, 16, 17, 31, 32, 33, 100, 1023, 1024, 1025]


# -------------------------------------------------------------------------------- the generator


def philox(counter, key):
    """One block, written from the paper with Python's integers."""
    (c0, c1, c2, c3), (k0, k1) = counter, key
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = p1 >> 32 ^ c1 ^ k0, p1 & 0xFFFFFFFF, p0 >> 32 ^ c3 ^ k1, p0 & 0xFFFFFFFF
        k0, k1 = k0 + 0x9E3779B9 & 0xFFFFFFFF, k1 + 0xBB67AE85 & 0xFFFFFFFF
    return c0, c1, c2, c3


ONES = 0xFFFFFFFF
PUBLISHED = [  # counter, key, result
    ((0,) * 4, (0,) * 2, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((ONES,) * 4, (ONES,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "result"), PUBLISHED)
def test_reference_gives_the_published_words(counter, key, result):
    assert philox(counter, key) == result


def words_of(seed, draw, n, **options):
    """The first 2 n words of a draw."""
    pairs = np.empty(n, np.int64)
    K.random_integers(pairs, seed, draw, -(2**63), 2**63, **options)
    return (pairs.view(np.uint64) + np.uint64(1 << 63)).view(np.uint32)


@each_tier
@pytest.mark.parametrize(
    ("seed", "draw"), [(0, 0), (2**64 - 1, 2**64 - 1), (0x299F31D0A4093822, 0x0370734413198A2E)]
)
def test_kernels_draw_the_words_of_the_reference(isa, seed, draw):
    """The order that csrc/random/philox.c describes, block after block; two groups and a half."""
    high, low = lambda v: v >> 32, lambda v: v & ONES
    words = words_of(seed, draw, 40, isa=isa)
    for group in range(3):
        for lane in range(8):
            block = 8 * group + lane
            counter = (low(block), high(block), low(draw), high(draw))
            expected = philox(counter, (low(seed), high(seed)))
            at = 32 * group + 2 * lane
            found = (*words[at : at + 2], *words[at + 16 : at + 18])
            assert found == expected[: len(found)]


@each_dtype
def test_tiers_draw_the_same_numbers(dtype):
    """Uniform and Bernoulli bit for bit; the others up to the rounding of their formulas."""
    for name, parameters in DRAWS:
        draws = [
            getattr(K, name)(np.empty(1000, dtype), 5, 6, *parameters, isa=isa)
            for isa in isa_available()
        ]
        for other in draws[1:]:
            exact = name in ("random_uniform", "random_bernoulli")
            bound = 0 if exact else 1000 * np.finfo(dtype).eps
            np.testing.assert_allclose(other, draws[0], rtol=0, atol=bound)


DRAWS = [
    ("random_uniform", (0.0, 1.0)),
    ("random_normal", (0.0, 1.0)),
    ("random_exponential", (2.0,)),
    ("random_bernoulli", (0.3,)),
]


@each_tier
@each_dtype
@pytest.mark.parametrize(("name", "parameters"), DRAWS)
def test_a_longer_draw_begins_with_the_shorter(isa, dtype, name, parameters):
    """Whatever the number of threads; and nothing is written beside the array."""
    fill = getattr(K, name)
    whole = fill(np.empty(300_001, dtype), 1, 2, *parameters, isa=isa, threads=1)
    for threads in (2, 3, 7):
        again = fill(np.empty(300_001, dtype), 1, 2, *parameters, isa=isa, threads=threads)
        assert again.tobytes() == whole.tobytes()
    for n in SIZES:
        memory = np.full(n + 64, 7, dtype)
        out = memory[32 : 32 + n]
        assert fill(out, 1, 2, *parameters, isa=isa) is out
        assert out.tobytes() == whole[:n].tobytes()
        assert (memory[:32] == 7).all()
        assert (memory[32 + n :] == 7).all()


# -------------------------------------------------------------------------------- distributions

N = 400_000


@each_tier
@each_dtype
def test_uniform(isa, dtype):
    x = K.random_uniform(np.empty(N, dtype), 1, 0, -1, 3, isa=isa)
    assert x.min() >= -1
    assert x.max() < 3
    # mean 1, deviation 4 / sqrt(12); 5 standard errors
    assert abs(x.mean(dtype="f8") - 1) < 5 * 1.155 / np.sqrt(N)
    assert abs(x.var(dtype="f8") - 16 / 12) < 5 * 1.2 / np.sqrt(N)
    stats = pytest.importorskip("scipy.stats")
    assert stats.kstest(x, stats.uniform(-1, 4).cdf).pvalue > 1e-4
    unit = K.random_uniform(np.empty(N, dtype), 2, 0, isa=isa).astype("f8")
    bits = 24 if dtype == "float32" else 53
    assert (unit * 2.0**bits == np.floor(unit * 2.0**bits)).all(), "multiples of 2**-bits"


@each_tier
@each_dtype
def test_uniform_never_reaches_its_upper_end(isa, dtype):
    """1 + u * eps rounds up half of the time."""
    high = np.nextafter(np.array(1, dtype), np.array(2, dtype))
    x = K.random_uniform(np.empty(1000, dtype), 1, 0, 1, high, isa=isa)
    assert (x == 1).all()
    assert (K.random_uniform(np.empty(100, dtype), 1, 0, 3, 3, isa=isa) == 3).all()


@each_tier
@each_dtype
def test_normal(isa, dtype):
    x = K.random_normal(np.empty(N, dtype), 3, 0, 2, 0.5, isa=isa)
    z = (x.astype("f8") - 2) / 0.5
    for power, moment, deviation in ((1, 0, 1), (2, 1, 2**0.5), (3, 0, 15**0.5), (4, 3, 96**0.5)):
        assert abs((z**power).mean() - moment) < 5 * deviation / np.sqrt(N)
    # the halves of a group come in pairs of one radius: uncorrelated, their squares too
    pairs = z[: N // 32 * 32] if dtype == "float32" else z[: N // 16 * 16]
    half = 16 if dtype == "float32" else 8
    a, b = pairs.reshape(-1, 2, half).transpose(1, 0, 2).reshape(2, -1)
    for c, d in ((a, b), (a * a, b * b), (a[:-1], a[1:])):
        assert abs(np.corrcoef(c, d)[0, 1]) < 5 / np.sqrt(len(c))
    stats = pytest.importorskip("scipy.stats")
    assert stats.kstest(z, "norm").pvalue > 1e-4
    assert stats.kstest(a * a + b * b, stats.chi2(2).cdf).pvalue > 1e-4


@each_tier
@each_dtype
def test_normal_numbers_are_accurate(isa, dtype):
    """Against Box and Muller's formula in longer arithmetic, on the words themselves."""
    n, bits = 32_000, 32 if dtype == "float32" else 64
    x = K.random_normal(np.empty(n, dtype), 9, 1, isa=isa)
    words = words_of(9, 1, n, isa=isa)
    words = words if bits == 32 else words.view(np.uint64)
    half = 512 // bits
    u, turn = words[: len(words) // (2 * half) * 2 * half].reshape(-1, 2, half).transpose(1, 0, 2)
    exact = np.longdouble
    u = (u.astype(exact) + exact(0.5)) / exact(2) ** bits
    angle = turn.astype(exact) / exact(2) ** bits * 2 * np.arctan(exact(1)) * 4
    radius = np.sqrt(-2 * np.log(u))
    expected = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).reshape(-1)[:n]
    # u and the angle are rounded to REAL, the angle to eps / 2 of an octant: 4 eps of the radius,
    # except where the radius itself is small, sqrt(2 (1 - u)), and 1 - u was rounded to eps / 2
    eps = np.finfo(dtype).eps
    radii = np.repeat(radius[:, None], 2, 1).reshape(-1)[:n]
    assert (np.abs(x - expected) <= eps * (4 * radii + 1 / np.maximum(radii, 1e-3))).all()


@each_tier
@each_dtype
def test_exponential(isa, dtype):
    x = K.random_exponential(np.empty(N, dtype), 4, 0, 2, isa=isa)
    assert x.min() > 0
    assert abs(x.mean(dtype="f8") - 0.5) < 5 * 0.5 / np.sqrt(N)
    stats = pytest.importorskip("scipy.stats")
    assert stats.kstest(x.astype("f8") * 2, "expon").pvalue > 1e-4


@each_tier
@each_dtype
def test_bernoulli(isa, dtype):
    for p in (0, 1e-3, 0.25, 0.999, 1):
        x = K.random_bernoulli(np.empty(N, dtype), 5, 0, p, isa=isa)
        assert set(np.unique(x)) <= {0, 1}
        assert abs(x.mean(dtype="f8") - p) <= 5 * np.sqrt(p * (1 - p) / N)
    single = K.random_bernoulli(np.empty(999, "f4"), 5, 0, 0.4, isa=isa)
    assert (K.random_bernoulli(np.empty(999, dtype), 5, 0, 0.4, isa=isa) == single).all()


@each_tier
def test_integers(isa):
    x = K.random_integers(np.empty(N, np.int64), 6, 0, -3, 7, isa=isa)
    counts = np.bincount(x + 3, minlength=10)
    assert len(counts) == 10
    assert (np.abs(counts - N / 10) < 5 * np.sqrt(N * 0.09)).all()
    for low, high in ((0, 1), (-5, 2**32 - 5), (-(2**62), 2**62 + 1), (2**63 - 2, 2**63)):
        x = K.random_integers(np.empty(1000, np.int64), 6, 0, low, high, isa=isa)
        expected = [w * (high - low) // 2**64 + low for w in words64(6, 0, 1000)]
        assert x.tolist() == expected


def words64(seed, draw, n):
    return words_of(seed, draw, n).view(np.uint64).tolist()


@each_tier
def test_permutation(isa):
    for n in (0, 1, 2, 100):
        found = K.random_permutation(np.empty(n, np.int64), 7, 1, isa=isa)
        assert sorted(found) == list(range(n))
    draws = [K.random_permutation(np.empty(3, np.int64), 7, i, isa=isa) for i in range(6000)]
    _, counts = np.unique(np.stack(draws) @ [9, 3, 1], return_counts=True)
    assert len(counts) == 6
    assert (np.abs(counts - 1000) < 5 * np.sqrt(1000 * 5 / 6)).all()


def test_seeds_and_draws_are_independent():
    """No word twice in 2**18 words of 64 streams (expected 8 pairs in 32 bits: use pairs)."""
    pairs = np.concatenate(
        [words_of(seed, draw, 4096).view(np.uint64) for seed in range(8) for draw in range(8)]
    )
    assert len(np.unique(pairs)) == len(pairs)
    a, b = (K.random_normal(np.empty(N), seed, 0) for seed in (0, 1))
    assert abs(np.corrcoef(a, b)[0, 1]) < 5 / np.sqrt(N)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: K.random_uniform(np.empty(3), 0, 0, 1, 0), ValueError),
        (lambda: K.random_uniform(np.empty(3), 0, 0, 0, np.inf), ValueError),
        (lambda: K.random_uniform(np.empty(3, np.int64), 0, 0), TypeError),
        (lambda: K.random_uniform(np.empty((4, 4))[:, ::2], 0, 0), ValueError),
        (lambda: K.random_bernoulli(np.empty(3), 0, 0, 1.5), ValueError),
        (lambda: K.random_integers(np.empty(3), 0, 0, 0, 1), TypeError),
        (lambda: K.random_integers(np.empty(3, np.int64), 0, 0, 1, 1), ValueError),
        (lambda: K.random_integers(np.empty(3, np.int64), 0, 0, 0, 2**63 + 1), ValueError),
        (lambda: K.random_permutation(np.empty(3), 0, 0), TypeError),
        (lambda: K.dropout(np.empty(3), 0, 0, -0.1), ValueError),
        (lambda: K.dropout(np.empty((4, 4)).T[1:], 0, 0, 0.1), ValueError),
    ],
)
def test_bad_arguments(call, error):
    with pytest.raises(error):
        call()


# -------------------------------------------------------------------------------- Generator

CALLS = [
    lambda g: fastdl.rand(3, 4, generator=g),
    lambda g: fastdl.randn(5, dtype=fastdl.float64, generator=g),
    lambda g: fastdl.randint(0, 100, (6,), generator=g),
    lambda g: fastdl.randperm(9, generator=g),
    lambda g: fastdl.bernoulli(fastdl.full((7,), 0.5), generator=g),
    lambda g: fastdl.bernoulli(fastdl.zeros(7), 0.5, generator=g),
    lambda g: fastdl.multinomial(fastdl.ones(8), 4, generator=g),
    lambda g: fastdl.multinomial(fastdl.ones(8), 4, True, generator=g),
    lambda g: fastdl.normal(0.0, 1.0, (3,), generator=g),
    lambda g: fastdl.empty(3, dtype=fastdl.float16).normal_(generator=g),
    lambda g: fastdl.empty(4, 4)[:, ::2].uniform_(2, 3, generator=g),
    lambda g: fastdl.empty(5).exponential_(2.0, generator=g),
    lambda g: fastdl.empty(5).bernoulli_(0.5, generator=g),
    lambda g: fastdl.zeros(5, dtype=fastdl.int64).random_(generator=g),
    lambda g: nn.init.trunc_normal_(fastdl.empty(3, 4), generator=g),
    lambda g: nn.init.orthogonal_(fastdl.empty(3, 4), generator=g),
]


@pytest.mark.parametrize("call", CALLS)
def test_generators_repeat_themselves(call):
    g = fastdl.Generator().manual_seed(3)
    first, second = call(g), call(g)
    assert not fastdl.equal(first, second)
    assert fastdl.equal(call(g.manual_seed(3)), first)
    state = g.get_state()
    assert fastdl.equal(call(g), second)
    assert fastdl.equal(call(g.set_state(state)), second)
    assert fastdl.equal(call(fastdl.Generator().set_state(state)), second)
    for twin_of in (copy.deepcopy, lambda g: pickle.loads(pickle.dumps(g))):
        twin = twin_of(g)
        assert fastdl.equal(call(twin), call(g))
    fastdl.manual_seed(3)
    assert fastdl.equal(call(None), first)
    assert fastdl.equal(call(None), second)


def test_seeds():
    g = fastdl.Generator()
    assert g.manual_seed(-1).initial_seed() == 2**64 - 1
    assert g.seed() == g.initial_seed()
    assert fastdl.manual_seed(5) is fastdl.default_generator
    assert fastdl.initial_seed() == 5
    with pytest.raises(ValueError, match="64 bits"):
        g.manual_seed(2**64)
    with pytest.raises(TypeError):
        g.set_state(fastdl.zeros(16))


@pytest.mark.parametrize(
    "call",
    [
        lambda: fastdl.empty(3).normal_(0, -1),
        lambda: fastdl.empty(3).uniform_(1, 0),
        lambda: fastdl.empty(3).exponential_(0),
        lambda: fastdl.empty(3).bernoulli_(1.5),
        lambda: fastdl.zeros(3, dtype=fastdl.int64).normal_(),
        lambda: fastdl.randperm(-1),
        lambda: fastdl.ones(3, requires_grad=True).normal_(),
    ],
)
def test_refused_as_in_pytorch(call):
    with pytest.raises(RuntimeError):
        call()


def test_random_fill_replaces_the_history():
    x = fastdl.ones(3, requires_grad=True)
    y = (x * 2).normal_()
    (y * y).sum().backward()
    assert (x.grad == 0).all()


# -------------------------------------------------------------------------------- dropout


@each_tier
@each_dtype
@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_dropout_kernel(isa, dtype, p):
    rng = np.random.default_rng(0)
    for n in SIZES:
        x = rng.standard_normal(n).astype(dtype)
        x[::7], x[1::7] = np.nan, np.inf
        y = K.dropout(x, 1, 2, p, isa=isa)
        gone = K.random_bernoulli(np.empty(n, dtype), 1, 2, p, isa=isa) == 1
        scale = np.array(1 / (1 - p) if p < 1 else 0, dtype)
        with np.errstate(invalid="ignore"):  # a dropped infinity is NaN, as times a mask
            np.testing.assert_array_equal(y, x * np.where(gone, 0, scale))
        assert K.dropout(x, 1, 2, p, out=x, isa=isa) is x
        np.testing.assert_array_equal(x, y)


def test_dropout_gradient_has_the_zeros_of_the_output():
    fastdl.manual_seed(0)
    for dtype in (fastdl.float32, fastdl.float64, fastdl.float16):
        x = fastdl.ones(100, 37, dtype=dtype).t().requires_grad_()
        y = F.dropout(x, 0.25)
        g = fastdl.rand(37, 100).to(dtype)
        y.backward(g)
        assert y.dtype == x.grad.dtype == dtype
        assert ((y == 0) == (x.grad == 0)).all()
        kept = np.abs(y.detach().numpy().astype("f8")) > 0
        np.testing.assert_allclose(
            x.grad.numpy()[kept], g.numpy()[kept].astype("f8") / 0.75, rtol=2e-3
        )
        assert abs(kept.mean() - 0.75) < 5 * np.sqrt(0.1875 / 3700)


def test_dropout_in_place():
    x = fastdl.ones(50, requires_grad=True)
    y = x * 1
    assert F.dropout(y, 0.5, inplace=True) is y
    y.sum().backward()
    assert fastdl.equal(x.grad, y.detach())
    z = fastdl.ones(4, 6, 5)
    assert F.dropout1d(z, 0.5, inplace=True) is z
    assert fastdl.equal(z.amax(2), z.amin(2))
    z = fastdl.randn(1000)
    assert F.alpha_dropout(z, 0.5, True, inplace=True) is z


CHANNELS = [
    (F.dropout1d, nn.Dropout1d, (40, 50, 3)),
    (F.dropout1d, nn.Dropout1d, (2000, 3)),
    (F.dropout2d, nn.Dropout2d, (40, 50, 2, 3)),
    (F.dropout2d, nn.Dropout2d, (40, 50, 3)),
    (F.dropout3d, nn.Dropout3d, (40, 50, 2, 3, 2)),
    (F.dropout3d, nn.Dropout3d, (2000, 2, 3, 2)),
    (F.feature_alpha_dropout, nn.FeatureAlphaDropout, (40, 50, 2, 3)),
]


@pytest.mark.parametrize(("function", "layer", "shape"), CHANNELS)
def test_whole_channels_are_dropped(function, layer, shape):
    """As in PyTorch: one decision for each channel; 2000 of them."""
    fastdl.manual_seed(1)
    y = function(fastdl.ones(*shape), 0.3, True).numpy().reshape(2000, -1)
    assert (y == y[:, :1]).all()
    values, counts = np.unique(y[:, 0], return_counts=True)
    assert len(values) == 2
    assert abs(counts.min() / 2000 - 0.3) < 5 * np.sqrt(0.21 / 2000)
    torch = pytest.importorskip("torch")
    other = getattr(torch.nn.functional, function.__name__)(torch.ones(shape), 0.3, True)
    np.testing.assert_allclose(values, np.unique(other.numpy()), rtol=1e-5, atol=1e-6)
    x = fastdl.ones(*shape)
    assert layer(0.3).eval()(x) is x
    assert layer(0.0)(x) is x
    assert repr(layer(0.2, True)) == repr(getattr(torch.nn, layer.__name__)(0.2, True))


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_alpha_dropout_keeps_mean_and_variance(p):
    fastdl.manual_seed(2)
    y = F.alpha_dropout(fastdl.randn(N), p, True).numpy().astype("f8")
    # kurtosis below 20 for these p
    assert abs(y.mean()) < 5 / np.sqrt(N)
    assert abs(y.var() - 1) < 5 * np.sqrt(19 / N)
    torch = pytest.importorskip("torch")
    x = np.linspace(-2, 2, 1000)
    ours = F.alpha_dropout(fastdl.tensor(x), p, True).numpy()
    theirs = torch.nn.functional.alpha_dropout(torch.tensor(x), p, True).numpy()
    lowest = np.median(theirs[np.isclose(theirs, np.median(theirs))]) if p > 0.5 else None
    dropped = np.unique(ours.round(12), return_counts=True)
    if lowest is not None:
        assert np.isclose(dropped[0][dropped[1].argmax()], lowest)


@pytest.mark.parametrize("function", [F.alpha_dropout, F.feature_alpha_dropout])
def test_alpha_dropout_of_everything(function):
    torch = pytest.importorskip("torch")
    other = getattr(torch.nn.functional, function.__name__)
    expected = other(torch.ones(3, 4, 5), 1.0, True).numpy()
    np.testing.assert_array_equal(function(fastdl.ones(3, 4, 5), 1.0, True).numpy(), expected)


DROPOUTS = (F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout)


@pytest.mark.parametrize("function", [*DROPOUTS, F.feature_alpha_dropout])
def test_dropout_refuses(function):
    x = fastdl.ones(2, 3, 4)
    assert function(x, 0.5, False) is x
    for p in (-0.1, 1.1):
        with pytest.raises(ValueError, match="between 0 and 1"):
            function(x, p)
    with pytest.raises(TypeError):
        function(np.ones((2, 3, 4)))
    with pytest.raises(RuntimeError):
        function(fastdl.ones(2, 3, 4, dtype=fastdl.int64), 0.5, True)


def test_dropout_warns_of_odd_dimensions():
    with pytest.raises(RuntimeError):
        F.dropout1d(fastdl.ones(3))
    for function in (F.dropout2d, F.dropout3d):
        with pytest.warns(UserWarning, match="Received a 2-D input"):
            function(fastdl.ones(3, 4))
