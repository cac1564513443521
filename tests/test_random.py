"""Random tensors: distributions by Kolmogorov-Smirnov tests, reproducible, and their odd ends."""

import numpy as np
import pytest

import fastdl

N = 20000
# A right sampler fails with this probability; the seeds are fixed.
CHANCE = 1e-6

CONTINUOUS = {
    "uniform_": (lambda x: x.uniform_(-1, 3), lambda s: s.uniform(-1, 4)),
    "normal_": (lambda x: x.normal_(2, 3), lambda s: s.norm(2, 3)),
    "exponential_": (lambda x: x.exponential_(2.0), lambda s: s.expon(scale=0.5)),
    "cauchy_": (lambda x: x.cauchy_(1, 2), lambda s: s.cauchy(1, 2)),
    "log_normal_": (lambda x: x.log_normal_(0.5, 0.7), lambda s: s.lognorm(0.7, scale=np.exp(0.5))),
    "rand": (lambda x: fastdl.rand(N, dtype=x.dtype), lambda s: s.uniform()),
    "rand_like": (lambda x: fastdl.rand_like(x), lambda s: s.uniform()),
    "randn": (lambda x: fastdl.randn(N, dtype=x.dtype), lambda s: s.norm()),
    "randn_like": (lambda x: fastdl.randn_like(x), lambda s: s.norm()),
    "normal": (lambda x: fastdl.normal(x * 0 + 1, 2.0), lambda s: s.norm(1, 2)),
}


@pytest.mark.parametrize("dtype", [fastdl.float32, fastdl.float64])
@pytest.mark.parametrize(("draw", "of"), CONTINUOUS.values(), ids=CONTINUOUS)
def test_continuous(draw, of, dtype):
    stats = pytest.importorskip("scipy.stats")
    fastdl.manual_seed(3)
    x = draw(fastdl.zeros(N, dtype=dtype))
    assert x.dtype is dtype
    assert stats.kstest(x.double().numpy(), of(stats).cdf).pvalue > CHANCE
    fastdl.manual_seed(3)
    assert (draw(fastdl.zeros(N, dtype=dtype)) == x).all()


DISCRETE = {
    "geometric_": (lambda x: x.geometric_(0.3), lambda s: s.geom(0.3)),
    "random_": (lambda x: x.random_(5), lambda s: s.randint(0, 5)),
    "random_from": (lambda x: x.random_(-2, 3), lambda s: s.randint(-2, 3)),
    "randint": (lambda x: fastdl.randint(4, 9, (N,)), lambda s: s.randint(4, 9)),
    "randint_like": (lambda x: fastdl.randint_like(x, 6), lambda s: s.randint(0, 6)),
    "bernoulli_": (lambda x: x.bernoulli_(0.2), lambda s: s.bernoulli(0.2)),
    "bernoulli": (lambda x: fastdl.bernoulli(x + 0.7), lambda s: s.bernoulli(0.7)),
    "method": (lambda x: (x + 0.7).bernoulli(), lambda s: s.bernoulli(0.7)),
    "poisson": (lambda x: fastdl.poisson(x + 3.5), lambda s: s.poisson(3.5)),
    "binomial": (lambda x: fastdl.binomial(x + 9, x + 0.4), lambda s: s.binom(9, 0.4)),
    "multinomial": (lambda x: fastdl.multinomial(fastdl.tensor([1.0, 0, 3]), N, True),
                    lambda s: s.rv_discrete(values=([0, 1, 2], [0.25, 0, 0.75]))),
    "weights": (lambda x: fastdl.tensor([1.0, 0, 3]).multinomial(N, True),
                lambda s: s.rv_discrete(values=([0, 1, 2], [0.25, 0, 0.75]))),
}  # fmt: skip


@pytest.mark.parametrize(("draw", "of"), DISCRETE.values(), ids=DISCRETE)
def test_discrete(draw, of):
    stats = pytest.importorskip("scipy.stats")
    fastdl.manual_seed(5)
    x = draw(fastdl.zeros(N)).numpy().astype(int)
    expected = of(stats)
    values, counts = np.unique(x, return_counts=True)
    wanted = expected.pmf(values) * N
    assert (wanted > 0).all()
    kept = wanted >= 5  # where the chi-square approximation holds
    rest = max(N - wanted[kept].sum(), 1e-9)
    statistic = ((counts[kept] - wanted[kept]) ** 2 / wanted[kept]).sum()
    if rest >= 5:
        statistic += (N - counts[kept].sum() - rest) ** 2 / rest
    assert stats.chi2(kept.sum()).sf(statistic) > CHANCE
    fastdl.manual_seed(5)
    np.testing.assert_array_equal(draw(fastdl.zeros(N)).numpy(), x)


def test_randperm():
    fastdl.manual_seed(0)
    x = fastdl.randperm(1000)
    assert sorted(x.tolist()) == list(range(1000))
    assert x.tolist() != list(range(1000))
    assert len({tuple(fastdl.randperm(4).tolist()) for _ in range(500)}) == 24


def test_gumbel_softmax():
    stats = pytest.importorskip("scipy.stats")
    F = fastdl.nn.functional
    fastdl.manual_seed(1)
    p = np.array([0.1, 0.2, 0.7])
    logits = fastdl.tensor(np.log(p)).expand(N, 3).clone().requires_grad_()
    hard = F.gumbel_softmax(logits, tau=0.5, hard=True)
    assert ((hard == 0) | ((hard - 1).abs() < 1e-12)).all()
    counts = hard.detach().numpy().round().sum(0)
    assert stats.chisquare(counts, p * N).pvalue > CHANCE
    soft = F.gumbel_softmax(logits, tau=2.0)
    np.testing.assert_allclose(soft.sum(-1).detach().numpy(), 1, rtol=1e-12)
    (hard * fastdl.tensor([1.0, 2.0, 3.0]).double()).sum().backward()
    assert (logits.grad != 0).any(), "the soft sample's gradient"
    across = F.gumbel_softmax(logits.detach(), dim=0)
    np.testing.assert_allclose(across.sum(0).numpy(), 1, rtol=1e-10)


def test_states():
    fastdl.manual_seed(11)
    assert fastdl.initial_seed() == 11
    state = fastdl.get_rng_state()
    first = fastdl.rand(3)
    fastdl.set_rng_state(state)
    assert (fastdl.rand(3) == first).all()
    assert fastdl.seed() == fastdl.initial_seed() != 11


def test_devices_and_legacy_names():
    before = fastdl.get_default_device()
    fastdl.set_default_device("cpu")
    assert fastdl.get_default_device() == before == fastdl.device("cpu")
    x = fastdl.ones(2, 3)
    assert (x.pin_memory() == x).all()
    assert x.new(2, 2).shape == (2, 2)
    assert x.new([1, 2]).tolist() == [1.0, 2.0]
    assert x.view_dtype(fastdl.int32)[0, 0] == 0x3F800000
    assert x.view(fastdl.int32)[0, 0] == 0x3F800000
    with pytest.raises((RuntimeError, AssertionError), match=r"(?i)cuda"):
        x.cuda()
