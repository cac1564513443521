"""Distributions against PyTorch: densities, moments, divergences, gradients, shapes, errors; and
their samples against their own distribution functions and moments.
"""

import doctest
import math

import numpy as np
import pytest

import fastdl
from fastdl.testing import gradcheck

torch = pytest.importorskip("torch")
stats = pytest.importorskip("scipy.stats")

RNG = np.random.default_rng(3)
P = np.array([[0.1], [0.5], [0.8]])
POSITIVE = np.array([0.3, 1.0, 2.5, 7.0])
REAL = np.array([-1.5, 0.0, 0.4, 3.0])
ROWS = RNG.uniform(0.5, 2, (2, 4))
SPD = np.eye(3) * 2 + np.array([[0, 0.3, 0.1], [0.3, 0, -0.2], [0.1, -0.2, 0]])
LOWER = np.linalg.cholesky(SPD)

# name -> (builder of a distribution from (lib.distributions, tensor maker), values of its support)
CASES = {
    "Normal": (lambda d, t: d.Normal(t(REAL), t(POSITIVE)), REAL),
    "Normal of numbers": (lambda d, t: d.Normal(0.5, 2.0), REAL[1:2][0]),
    "LogNormal": (lambda d, t: d.LogNormal(t(REAL), t(POSITIVE)), POSITIVE),
    "Uniform": (lambda d, t: d.Uniform(t(REAL), t(REAL + POSITIVE)), REAL + POSITIVE / 3),
    "Bernoulli": (lambda d, t: d.Bernoulli(t(P)), np.array([0.0, 1.0])),
    "Bernoulli logits": (lambda d, t: d.Bernoulli(logits=t(REAL)), np.array([0.0, 1, 1, 0])),
    "ContinuousBernoulli": (lambda d, t: d.ContinuousBernoulli(t(P)), np.array([0.0, 0.3, 1.0])),
    "Binomial": (lambda d, t: d.Binomial(5, t(P)), np.array([0.0, 2, 5])),
    "Binomial logits": (
        lambda d, t: d.Binomial(t(np.array([3.0, 4, 5, 6])), logits=t(REAL)),
        np.array([3.0, 0, 2, 1]),
    ),
    "Categorical": (lambda d, t: d.Categorical(t(ROWS)), np.array([[0], [3], [1]])),
    "Categorical logits": (lambda d, t: d.Categorical(logits=t(REAL)), np.array(2)),
    "OneHotCategorical": (lambda d, t: d.OneHotCategorical(t(ROWS)), np.eye(4)[[1, 3]]),
    "OneHotCategoricalStraightThrough": (
        lambda d, t: d.OneHotCategoricalStraightThrough(logits=t(ROWS)),
        np.eye(4)[[1, 0]],
    ),
    "Multinomial": (
        lambda d, t: d.Multinomial(6, t(ROWS)),
        np.array([[1.0, 2, 0, 3], [6, 0, 0, 0]]),
    ),
    "Beta": (
        lambda d, t: d.Beta(t(POSITIVE), t(POSITIVE[::-1].copy())),
        np.array([0.1, 0.5, 0.7, 0.99]),
    ),
    "Dirichlet": (lambda d, t: d.Dirichlet(t(ROWS)), np.array([0.1, 0.2, 0.3, 0.4])),
    "Gamma": (lambda d, t: d.Gamma(t(POSITIVE), t(P)), POSITIVE),
    "InverseGamma": (lambda d, t: d.InverseGamma(t(POSITIVE), t(P)), POSITIVE),
    "Chi2": (lambda d, t: d.Chi2(t(POSITIVE)), POSITIVE),
    "StudentT": (lambda d, t: d.StudentT(t(POSITIVE), 0.5, t(P)), REAL),
    "FisherSnedecor": (lambda d, t: d.FisherSnedecor(t(POSITIVE), t(P * 10)), POSITIVE),
    "Exponential": (lambda d, t: d.Exponential(t(POSITIVE)), POSITIVE),
    "Laplace": (lambda d, t: d.Laplace(t(REAL), t(POSITIVE)), REAL + 0.3),
    "Cauchy": (lambda d, t: d.Cauchy(t(REAL), t(POSITIVE)), REAL),
    "HalfNormal": (lambda d, t: d.HalfNormal(t(POSITIVE)), POSITIVE),
    "HalfCauchy": (lambda d, t: d.HalfCauchy(t(POSITIVE)), POSITIVE),
    "Poisson": (lambda d, t: d.Poisson(t(POSITIVE)), np.array([0.0, 1, 2, 5])),
    "Geometric": (lambda d, t: d.Geometric(t(P)), np.array([0.0, 1, 7])),
    "Geometric logits": (lambda d, t: d.Geometric(logits=t(REAL)), np.array([0.0, 1, 7, 2])),
    "NegativeBinomial": (
        lambda d, t: d.NegativeBinomial(t(POSITIVE), t(P)),
        np.array([0.0, 1, 2, 5]),
    ),
    "Gumbel": (lambda d, t: d.Gumbel(t(REAL), t(POSITIVE)), REAL),
    "Weibull": (lambda d, t: d.Weibull(t(POSITIVE), t(P * 3)), POSITIVE),
    "Pareto": (lambda d, t: d.Pareto(t(POSITIVE), t(P * 5)), POSITIVE + 1),
    "Kumaraswamy": (
        lambda d, t: d.Kumaraswamy(t(POSITIVE), t(P * 4)),
        np.array([0.1, 0.5, 0.7, 0.99]),
    ),
    "VonMises": (lambda d, t: d.VonMises(t(REAL), t(POSITIVE)), REAL / 2),
    "MultivariateNormal": (
        lambda d, t: d.MultivariateNormal(t(REAL[:3]), t(SPD)),
        RNG.normal(size=(5, 3)),
    ),
    "MultivariateNormal precision": (
        lambda d, t: d.MultivariateNormal(t(REAL[:3]), precision_matrix=t(SPD)),
        RNG.normal(size=(5, 3)),
    ),
    "MultivariateNormal batch": (
        lambda d, t: d.MultivariateNormal(t(RNG_LOC), scale_tril=t(np.stack([LOWER, LOWER * 2]))),
        RNG.normal(size=(4, 1, 3)),
    ),
    "LowRankMultivariateNormal": (
        lambda d, t: d.LowRankMultivariateNormal(t(RNG_LOC), t(FACTOR), t(POSITIVE[:3])),
        np.array([[0.3, -1.0, 2.0], [0.0, 0.5, 1.0]]),
    ),
    "Wishart": (
        lambda d, t: d.Wishart(t(np.array([3.5, 5.0])), t(SPD)),
        np.stack([SPD * 2, SPD + np.eye(3)]),
    ),
    "Wishart precision": (lambda d, t: d.Wishart(4.0, precision_matrix=t(SPD)), SPD),
    "LKJCholesky": (
        lambda d, t: d.LKJCholesky(3, t(np.array([0.5, 1.0, 4.0]))),
        np.linalg.cholesky(np.array([[1, 0.3, 0.1], [0.3, 1, -0.2], [0.1, -0.2, 1]])),
    ),
    "Independent": (
        lambda d, t: d.Independent(d.Normal(t(ROWS), t(ROWS)), 1),
        RNG.normal(size=(2, 4)),
    ),
    "MixtureSameFamily": (
        lambda d, t: d.MixtureSameFamily(
            d.Categorical(t(ROWS)), d.Normal(t(REAL), t(np.broadcast_to(POSITIVE, (2, 4)).copy()))
        ),
        np.array([[0.0], [2.0]]),
    ),
    "Mixture of vectors": (
        lambda d, t: d.MixtureSameFamily(
            d.Categorical(t(np.array([0.3, 0.7]))),
            d.MultivariateNormal(t(RNG_LOC), scale_tril=t(np.stack([LOWER, LOWER * 2]))),
        ),
        RNG.normal(size=(4, 3)),
    ),
    "RelaxedBernoulli": (
        lambda d, t: d.RelaxedBernoulli(t(np.array(0.7)), t(P)),
        np.array([0.1, 0.5, 0.9]),
    ),
    "RelaxedOneHotCategorical": (
        lambda d, t: d.RelaxedOneHotCategorical(t(np.array(0.7)), t(ROWS)),
        np.array([0.1, 0.2, 0.3, 0.4]),
    ),
    "LogisticNormal": (
        lambda d, t: d.LogisticNormal(t(REAL[:3]), t(POSITIVE[:3])),
        np.array([0.1, 0.2, 0.3, 0.4]),
    ),
    "Transformed": (
        lambda d, t: d.TransformedDistribution(
            d.Normal(t(REAL), t(POSITIVE)), [d.AffineTransform(1.0, -2.0), d.SigmoidTransform()]
        ),
        np.array([0.1, 0.5, 0.7, 0.9]),
    ),
}
RNG_LOC = RNG.normal(size=(2, 3))
FACTOR = np.array([[1.0, 0.5], [-0.3, 0.2], [0.7, -1.0]])
by_case = pytest.mark.parametrize("name", CASES)


def maker(lib, grad=False):
    """A function from arrays to float64 tensors of `lib`, and the list of those it made."""
    made = []

    def make(array):
        made.append(lib.from_numpy(np.array(array, np.float64)).requires_grad_(grad))
        return made[-1]

    return make, made


def pair(name, grad=False):
    """The same distribution of fastdl and of PyTorch, with the lists of their parameters."""
    build = CASES[name][0]
    found = []
    for lib in (fastdl, torch):
        make, made = maker(lib, grad)
        found.append((build(lib.distributions, make), made))
    return found


def values(name, lib):
    return lib.from_numpy(np.array(CASES[name][1]))


def same(ours, theirs, tolerance=1e-12):
    """Equal shapes; values within some thousand roundings of the terms (log_prob sums a few)."""
    assert tuple(ours.shape) == tuple(theirs.shape)
    np.testing.assert_allclose(
        ours.detach().numpy(), theirs.detach().numpy(), rtol=tolerance, atol=tolerance
    )


def tolerance_of(name):
    """PyTorch's von Mises has an own Bessel function, with an error of 1e-7."""
    return 1e-6 if name == "VonMises" else 1e-12


@by_case
def test_log_prob_and_its_gradients(name):
    (ours, mine), (theirs, other) = pair(name, grad=True)
    a, b = ours.log_prob(values(name, fastdl)), theirs.log_prob(values(name, torch))
    same(a, b, tolerance_of(name))
    if not mine:
        return
    a.sum().backward()
    b.sum().backward()
    for x, y in zip(mine, other):
        assert (x.grad is None) == (y.grad is None)
        if x.grad is not None:
            same(x.grad, y.grad, max(1e-12, tolerance_of(name)))


@by_case
@pytest.mark.parametrize("what", ["mean", "mode", "variance", "stddev", "entropy", "perplexity"])
def test_moments(name, what):
    (ours, _), (theirs, _) = pair(name)
    found = []
    for d in (ours, theirs):
        try:
            value = getattr(d, what)
            found.append(value() if callable(value) else value)
        except (NotImplementedError, AttributeError):
            found.append(None)
    if found[1] is None:
        return  # PyTorch has none; ours may
    assert found[0] is not None
    if (name, what) != ("Kumaraswamy", "mode"):  # PyTorch's is NaN throughout
        same(*found, max(1e-9, tolerance_of(name)))


@by_case
def test_distribution_function_and_quantile(name):
    (ours, _), (theirs, _) = pair(name)
    for what, give in (("cdf", values), ("icdf", lambda n, lib: lib.tensor(0.3).double())):
        found = []
        for d, lib in ((ours, fastdl), (theirs, torch)):
            try:
                found.append(getattr(d, what)(give(name, lib)))
            except NotImplementedError:
                found.append(None)
        if found[1] is not None:
            same(*found, 1e-10)


@by_case
def test_shapes_expand_and_words(name):
    (ours, _), (theirs, _) = pair(name)
    assert ours.batch_shape == tuple(theirs.batch_shape)
    assert ours.event_shape == tuple(theirs.event_shape)
    assert ours.has_rsample == theirs.has_rsample
    for shape in ((), (3,), (2, 3)):
        assert ours.sample(shape).shape == tuple(theirs.sample(shape).shape)
    assert ours.sample((2, 0)).numel() == 0
    assert ours.sample((3,)).dtype == getattr(fastdl, str(theirs.sample((3,)).dtype)[6:])
    wider = (5, *ours.batch_shape)
    a, b = ours.expand(wider), theirs.expand(wider)
    assert type(a) is type(ours)
    assert a.batch_shape == tuple(b.batch_shape)
    assert a.sample((2,)).shape == tuple(b.sample((2,)).shape)
    drawn = a.sample()
    same(a.log_prob(drawn), b.log_prob(torch.from_numpy(drawn.numpy())), tolerance_of(name))
    if name not in ("Beta", "FisherSnedecor"):  # PyTorch's Beta shows no parameters
        assert repr(ours).split("(")[0] == repr(theirs).split("(")[0]


@by_case
def test_support_is_enumerated(name):
    (ours, _), (theirs, _) = pair(name)
    assert ours.has_enumerate_support == theirs.has_enumerate_support
    if theirs.has_enumerate_support and name != "Binomial logits":
        for expand in (True, False):
            same(ours.enumerate_support(expand), theirs.enumerate_support(expand))


# ---- samples ----------------------------------------------------------------------------------

DRAWS = 20_000
# Bounds: the statistic of Kolmogorov and Smirnov exceeds 2.2 / sqrt(n) with probability 2 e^(-9.7)
# = 1e-4, a mean of n draws lies 5 standard errors off with 6e-7; seeds are fixed.


@by_case
def test_samples_follow_the_distribution(name):
    (ours, _), (theirs, _) = pair(name)
    fastdl.manual_seed(hash_of(name))
    drawn = ours.sample((DRAWS,))
    assert ours.support.check(drawn).all()
    try:
        u = ours.cdf(drawn).numpy().reshape(DRAWS, -1)
    except NotImplementedError:
        u = None
    if u is not None and ours.event_shape == ():
        for column in u.T:
            assert stats.kstest(column, "uniform").statistic < 2.2 / math.sqrt(DRAWS)
        return
    try:
        mean, variance = theirs.mean.numpy(), theirs.variance.numpy()
    except NotImplementedError:
        return
    if name == "VonMises" or not (np.isfinite(mean).all() and np.isfinite(variance).all()):
        return
    x = drawn.numpy().astype(np.float64)
    errors = 5 * np.sqrt(variance / DRAWS) + 1e-12
    assert (np.abs(x.mean(0) - mean) < errors).all()
    fourth = ((x - mean) ** 4).mean(0)
    assert (np.abs(((x - mean) ** 2).mean(0) - variance) < 5 * np.sqrt(fourth / DRAWS) + 1e-9).all()


def hash_of(name):
    return sum(map(ord, name))


@by_case
def test_samples_repeat_after_a_seed(name):
    (ours, _), _ = pair(name)
    fastdl.manual_seed(5)
    first = ours.sample((4,))
    assert not first.requires_grad
    fastdl.manual_seed(5)
    assert ours.sample((4,)).equal(first)


def test_categories_come_by_their_probabilities():
    fastdl.manual_seed(0)
    p = np.array([[0.0, 0.2, 0.5, 0.3, 0.0], [1, 0, 0, 0, 0], [0.1, 0.1, 0.1, 0.1, 0.6]])
    drawn = fastdl.distributions.Categorical(fastdl.from_numpy(p)).sample((DRAWS,)).numpy()
    for row, column in zip(p, drawn.T):
        counts = np.bincount(column, minlength=5)
        assert (counts[row == 0] == 0).all()
        assert (np.abs(counts - DRAWS * row) <= 5 * np.sqrt(DRAWS * row * (1 - row))).all()


# ---- gradients of samples ---------------------------------------------------------------------


@by_case
def test_samples_are_differentiable(name):
    (ours, mine), _ = pair(name, grad=True)
    if not ours.has_rsample or not mine:
        return
    fastdl.manual_seed(1)
    drawn = ours.rsample((3,))
    assert drawn.requires_grad
    (drawn * drawn).sum().backward()
    floats = [x for x in mine if x.grad is not None]
    assert floats
    assert all(np.isfinite(x.grad.numpy()).all() for x in floats)


@pytest.mark.parametrize(
    "name",
    [
        "Normal",
        "Laplace",
        "Gumbel",
        "Exponential",
        "Weibull",
        "Pareto",
        "Cauchy",
        "Uniform",
        "LogNormal",
        "HalfNormal",
        "Kumaraswamy",
    ],
)
def test_gradients_of_samples_keep_the_rank(name):
    """d x / d parameter of a sample is minus the slope of the cdf over the density."""
    build = CASES[name][0]

    def sample(*parameters):
        fastdl.manual_seed(2)
        queue = list(parameters)
        return build(fastdl.distributions, lambda array: queue.pop(0)).rsample()

    (_, mine), _ = pair(name, grad=True)
    assert gradcheck(sample, mine)


def test_gradients_of_gamma_samples_keep_the_rank():
    """NumPy's gamma draws reject, so they jump with the shape: quantiles are compared instead."""
    a = np.array([0.05, 0.5, 1.0, 3.0, 40.0])
    fastdl.manual_seed(4)
    shape = fastdl.from_numpy(a).requires_grad_()
    drawn = fastdl.distributions.Gamma(shape, 1.0).rsample((50,))
    (slope,) = fastdl.autograd.grad(drawn.sum(), shape)
    x = drawn.detach().numpy()
    h = 1e-5 * a
    p, q = stats.gamma.cdf(x, a), stats.gamma.sf(x, a)
    at = lambda b: np.where(p < 0.5, stats.gamma.ppf(p, b), stats.gamma.isf(q, b))
    np.testing.assert_allclose(slope.numpy(), ((at(a + h) - at(a - h)) / (2 * h)).sum(0), rtol=1e-4)


def test_straight_through_gradient_is_that_of_the_probabilities():
    probs = fastdl.tensor([0.2, 0.3, 0.5], requires_grad=True)
    made = fastdl.distributions.OneHotCategoricalStraightThrough(probs)
    w = fastdl.tensor([1.0, 2.0, 3.0])
    (made.rsample() * w).sum().backward()
    other = torch.tensor([0.2, 0.3, 0.5], requires_grad=True)
    theirs = torch.distributions.OneHotCategoricalStraightThrough(other)
    (theirs.rsample() * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    same(probs.grad, other.grad, 1e-6)


# ---- without a counterpart to compare with ----------------------------------------------------


@pytest.mark.parametrize("c", [-0.3, 0.0, 0.2, 0.7, 1.5])
def test_generalized_pareto(c):
    """PyTorch's does not take float64."""
    parameters = [fastdl.tensor(v, dtype=fastdl.float64) for v in (0.5, 2.0, c)]
    ours, theirs = fastdl.distributions.GeneralizedPareto(*parameters), stats.genpareto(c, 0.5, 2.0)
    x = fastdl.tensor([0.6, 1.0, 2.5, 6.0], dtype=fastdl.float64)
    u = fastdl.tensor([0.0, 0.1, 0.5, 0.99], dtype=fastdl.float64)
    close = lambda a, b: np.testing.assert_allclose(a.numpy(), b, rtol=1e-12, atol=1e-12)
    close(ours.log_prob(x), theirs.logpdf(x.numpy()))
    close(ours.cdf(x), theirs.cdf(x.numpy()))
    close(ours.log_cdf(x), theirs.logcdf(x.numpy()))
    close(ours.log_survival_function(x), theirs.logsf(x.numpy()))
    close(ours.icdf(u), theirs.ppf(u.numpy()))
    close(ours.entropy(), theirs.entropy())
    mean, variance = theirs.stats()
    close(ours.mean, mean if c < 1 else math.nan)
    close(ours.variance, variance if c < 0.5 else math.nan)
    assert ours.mode == 0.5
    fastdl.manual_seed(1)
    drawn = ours.sample((DRAWS,))
    assert ours.support.check(drawn).all()
    assert stats.kstest(ours.cdf(drawn).numpy(), "uniform").statistic < 2.2 / math.sqrt(DRAWS)
    assert ours.expand((3,)).sample((2,)).shape == (2, 3)

    def sample(*parameters):
        fastdl.manual_seed(2)
        return fastdl.distributions.GeneralizedPareto(*parameters).rsample((3,))

    if c:
        assert gradcheck(sample, [p.requires_grad_() for p in parameters])


def test_wishart_of_each_matrix_is_the_same():
    d, t = fastdl.distributions, lambda a: fastdl.from_numpy(np.array(a))
    made = [
        d.Wishart(5.0, t(SPD)), d.Wishart(5.0, precision_matrix=t(np.linalg.inv(SPD))),
        d.Wishart(5.0, scale_tril=t(LOWER)),
    ]  # fmt: skip
    for each in made[1:]:
        for what in ("covariance_matrix", "precision_matrix", "scale_tril", "mean", "mode"):
            same(getattr(each, what), getattr(made[0], what), 1e-11)
        same(each.log_prob(t(SPD)), made[0].log_prob(t(SPD)), 1e-11)
    assert abs(made[0].log_prob(t(SPD)).item() - stats.wishart(5, SPD).logpdf(SPD)) < 1e-11
    with pytest.raises(AssertionError, match="Exactly one"):
        d.Wishart(5.0)
    with pytest.raises(ValueError, match="greater than ndim"):
        d.Wishart(1.5, t(SPD))
    with pytest.warns(UserWarning, match="Low df"):
        d.Wishart(2.5, t(SPD))


def test_low_rank_normal_is_the_normal_of_its_covariance():
    d, t = fastdl.distributions, lambda a: fastdl.from_numpy(np.array(a))
    low = d.LowRankMultivariateNormal(t(RNG_LOC), t(FACTOR), t(POSITIVE[:3]))
    full = d.MultivariateNormal(t(RNG_LOC), low.covariance_matrix)
    for what in ("scale_tril", "precision_matrix", "variance"):
        same(getattr(low, what), getattr(full, what), 1e-11)
    same(low.entropy(), full.entropy(), 1e-11)
    other = d.MultivariateNormal(t(REAL[:3]), t(SPD))
    for p, q in ((low, other), (other, low), (low, full), (full, low)):
        wanted = d.kl_divergence(*[full if x is low else x for x in (p, q)])
        same(d.kl_divergence(p, q), wanted, 1e-11)
    for bad in (
        lambda: d.LowRankMultivariateNormal(t(1.0), t(FACTOR), t(POSITIVE[:3])),
        lambda: d.LowRankMultivariateNormal(t(RNG_LOC), t(FACTOR[0]), t(POSITIVE[:3])),
        lambda: d.LowRankMultivariateNormal(t(RNG_LOC), t(FACTOR[:2]), t(POSITIVE[:3])),
        lambda: d.LowRankMultivariateNormal(t(RNG_LOC), t(FACTOR), t(POSITIVE)),
        lambda: d.LowRankMultivariateNormal(t(RNG_LOC), t(np.zeros((3, 3, 1))), t(POSITIVE[:3])),
        lambda: d.LKJCholesky(1),
    ):
        with pytest.raises(ValueError):
            bad()


def test_families_have_their_entropy():
    """A normal family in its natural parameters."""

    class Family(fastdl.distributions.ExponentialFamily):
        arg_constraints = property(lambda self: {})
        _mean_carrier_measure = 0

        def __init__(self, loc, scale):
            self.loc, self.scale = loc, scale
            super().__init__(loc.shape)

        @property
        def _natural_params(self):
            return self.loc / self.scale**2, -0.5 / self.scale**2

        def _log_normalizer(self, x, y):
            return -0.25 * x**2 / y + 0.5 * (-math.pi / y).log()

    loc, scale = (fastdl.from_numpy(a) for a in (REAL, POSITIVE))
    same(Family(loc, scale).entropy(), fastdl.distributions.Normal(loc, scale).entropy())
    with pytest.raises(NotImplementedError):
        fastdl.distributions.ExponentialFamily().entropy()


# ---- divergences ------------------------------------------------------------------------------

FAMILIES = {
    "Bernoulli": lambda d, t: d.Bernoulli(t(np.array([0.0, 0.3, 0.9, 1.0]))),
    "Bernoulli 2": lambda d, t: d.Bernoulli(t(np.array([0.5, 0.4, 1.0, 1.0]))),
    "Beta": lambda d, t: d.Beta(t(POSITIVE), t(POSITIVE + 1)),
    "Beta 2": lambda d, t: d.Beta(t(POSITIVE + 2), t(POSITIVE)),
    "Binomial": lambda d, t: d.Binomial(4, t(P)),
    "Binomial 2": lambda d, t: d.Binomial(4, t(P / 2)),
    "Categorical": lambda d, t: d.Categorical(t(np.array([0.0, 0.2, 0.8]))),
    "Categorical 2": lambda d, t: d.Categorical(logits=t(np.array([0.0, 1.0, 2.0]))),
    "OneHotCategorical": lambda d, t: d.OneHotCategorical(t(ROWS)),
    "ContinuousBernoulli": lambda d, t: d.ContinuousBernoulli(t(P)),
    "ContinuousBernoulli 2": lambda d, t: d.ContinuousBernoulli(t(P / 2)),
    "Cauchy": lambda d, t: d.Cauchy(t(REAL), t(POSITIVE)),
    "Cauchy 2": lambda d, t: d.Cauchy(t(REAL + 1), t(POSITIVE * 2)),
    "Dirichlet": lambda d, t: d.Dirichlet(t(ROWS)),
    "Dirichlet 2": lambda d, t: d.Dirichlet(t(ROWS * 3)),
    "Exponential": lambda d, t: d.Exponential(t(POSITIVE)),
    "Exponential 2": lambda d, t: d.Exponential(t(POSITIVE + 1)),
    "Gamma": lambda d, t: d.Gamma(t(POSITIVE), t(POSITIVE)),
    "Gamma 2": lambda d, t: d.Gamma(t(POSITIVE + 1), t(POSITIVE * 2)),
    "Chi2": lambda d, t: d.Chi2(t(POSITIVE)),
    "Geometric": lambda d, t: d.Geometric(t(P)),
    "Geometric 2": lambda d, t: d.Geometric(t(P / 2)),
    "Gumbel": lambda d, t: d.Gumbel(t(REAL), t(POSITIVE)),
    "Gumbel 2": lambda d, t: d.Gumbel(t(REAL / 2), t(POSITIVE + 1)),
    "HalfNormal": lambda d, t: d.HalfNormal(t(POSITIVE)),
    "HalfNormal 2": lambda d, t: d.HalfNormal(t(POSITIVE + 1)),
    "Laplace": lambda d, t: d.Laplace(t(REAL), t(POSITIVE)),
    "Laplace 2": lambda d, t: d.Laplace(t(REAL / 2), t(POSITIVE + 1)),
    "LogNormal": lambda d, t: d.LogNormal(t(REAL), t(POSITIVE)),
    "LogNormal 2": lambda d, t: d.LogNormal(t(REAL / 2), t(POSITIVE)),
    "MultivariateNormal": lambda d, t: d.MultivariateNormal(t(REAL[:3]), t(SPD)),
    "MultivariateNormal 2": lambda d, t: d.MultivariateNormal(
        t(RNG_LOC), scale_tril=t(np.stack([LOWER, LOWER * 2]))
    ),
    "LowRankMultivariateNormal": lambda d, t: d.LowRankMultivariateNormal(
        t(REAL[:3]), t(FACTOR), t(POSITIVE[:3])
    ),
    "LowRankMultivariateNormal 2": lambda d, t: d.LowRankMultivariateNormal(
        t(RNG_LOC), t(FACTOR[:, :1]), t(POSITIVE[1:4])
    ),
    "Normal": lambda d, t: d.Normal(t(REAL), t(POSITIVE)),
    "Normal 2": lambda d, t: d.Normal(t(REAL / 2), t(POSITIVE + 1)),
    "Independent": lambda d, t: d.Independent(d.Normal(t(ROWS), t(ROWS)), 1),
    "Independent 2": lambda d, t: d.Independent(d.Normal(t(ROWS / 2), t(ROWS)), 1),
    "Pareto": lambda d, t: d.Pareto(t(POSITIVE), t(POSITIVE)),
    "Pareto 2": lambda d, t: d.Pareto(t(POSITIVE[::-1].copy()), t(POSITIVE)),
    "Poisson": lambda d, t: d.Poisson(t(POSITIVE)),
    "Poisson 2": lambda d, t: d.Poisson(t(POSITIVE + 1)),
    "Uniform": lambda d, t: d.Uniform(t(REAL), t(REAL + 2)),
    "Uniform 2": lambda d, t: d.Uniform(t(REAL - 1), t(REAL + POSITIVE)),
    "Uniform inside": lambda d, t: d.Uniform(t(np.full(4, 0.2)), t(np.full(4, 0.7))),
}


@pytest.mark.parametrize("p", FAMILIES)
def test_divergences(p):
    compared = 0
    for q in FAMILIES:
        found = []
        for lib in (fastdl, torch):
            make, _ = maker(lib)
            d = lib.distributions
            try:
                found.append(d.kl_divergence(FAMILIES[p](d, make), FAMILIES[q](d, make)))
            except (NotImplementedError, RuntimeError, ValueError, AttributeError):
                found.append(None)
        if found[0] is None or found[1] is None:
            assert found[0] is None or found[1] is None
            continue
        compared += 1
        finite = np.isfinite(found[1].numpy())
        assert tuple(found[0].shape) == tuple(found[1].shape)
        a, b = found[0].numpy()[finite], found[1].numpy()[finite]
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9, err_msg=f"{p} {q}")
        inf = np.isinf(found[1].numpy())
        assert np.isinf(found[0].numpy()[inf]).all(), (p, q)
    assert compared


def test_unknown_divergence_and_a_registered_one():
    d = fastdl.distributions

    class Mine(d.Normal):
        pass

    p, q = Mine(0.0, 1.0), d.Poisson(1.0)
    with pytest.raises(NotImplementedError, match="No KL"):
        d.kl_divergence(p, q)
    assert d.kl_divergence(p, d.Normal(0.0, 1.0)).item() == 0

    @d.register_kl(Mine, d.Normal)
    def _(p, q):
        return p.loc + 42

    assert d.kl_divergence(p, d.Normal(0.0, 1.0)).item() == 42
    assert d.kl_divergence(d.Normal(0.0, 1.0), p).item() == 0
    with pytest.raises(TypeError):
        d.register_kl(int, d.Normal)


# ---- validation -------------------------------------------------------------------------------

BAD = {
    "negative scale": lambda d, t: d.Normal(0.0, -1.0),
    "zero rate": lambda d, t: d.Exponential(0.0),
    "probability above 1": lambda d, t: d.Bernoulli(1.5),
    "both": lambda d, t: d.Bernoulli(probs=0.5, logits=0.0),
    "neither": lambda d, t: d.Categorical(),
    "no dimension": lambda d, t: d.Categorical(t.tensor(0.5)),
    "nan": lambda d, t: d.Normal(math.nan, 1.0),
    "low above high": lambda d, t: d.Uniform(1.0, 0.0),
    "no covariance": lambda d, t: d.MultivariateNormal(t.zeros(2)),
    "not definite": lambda d, t: d.MultivariateNormal(t.zeros(2), -t.eye(2)),
    "not lower": lambda d, t: d.MultivariateNormal(t.zeros(2), scale_tril=t.ones(2, 2)),
    "too many dimensions": lambda d, t: d.Independent(d.Normal(0.0, 1.0), 1),
    "mixture": lambda d, t: d.MixtureSameFamily(d.Normal(0.0, 1.0), d.Normal(0.0, 1.0)),
    "components": lambda d, t: d.MixtureSameFamily(
        d.Categorical(t.ones(3)), d.Normal(t.zeros(2), 1.0)
    ),
    "no number": lambda d, t: d.Normal("0", 1.0),
    "zero probability": lambda d, t: d.Geometric(0.0),
    "value outside": lambda d, t: d.Bernoulli(0.5).log_prob(t.tensor(0.5)),
    "category outside": lambda d, t: d.Categorical(t.ones(3)).log_prob(t.tensor(3)),
    "value of another event": lambda d, t: d.Dirichlet(t.ones(3)).log_prob(t.ones(4) / 4),
    "value of another batch": lambda d, t: d.Normal(t.zeros(3), 1.0).log_prob(t.zeros(2)),
    "no tensor": lambda d, t: d.Normal(0.0, 1.0).log_prob(0.5),
    "negative count": lambda d, t: d.Poisson(1.0).log_prob(t.tensor(-1.0)),
    "transforms": lambda d, t: d.TransformedDistribution(d.Normal(0.0, 1.0), "x"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments(name):
    with pytest.raises(ValueError) as ours:
        BAD[name](fastdl.distributions, fastdl)
    with pytest.raises(ValueError) as theirs:
        BAD[name](torch.distributions, torch)
    first = lambda e: str(e.value).strip().split("\n")[0][:39]
    if name not in ("no number", "value outside"):
        assert first(ours) == first(theirs).replace("torch.Size", "fastdl.Size")


def test_validation_can_be_switched_off():
    d = fastdl.distributions
    assert d.Normal(0.0, -1.0, validate_args=False).scale.item() == -1
    assert d.Bernoulli(0.5, validate_args=False).log_prob(fastdl.tensor(0.5)).shape == ()
    d.Distribution.set_default_validate_args(False)
    try:
        d.Normal(0.0, -1.0)
    finally:
        d.Distribution.set_default_validate_args(True)


# ---- transforms -------------------------------------------------------------------------------

TRANSFORMS = {
    "Exp": (lambda d, t: d.ExpTransform(), (4,)),
    "Power": (lambda d, t: d.PowerTransform(t(np.array(1.5))), (4,)),
    "Sigmoid": (lambda d, t: d.SigmoidTransform(), (4,)),
    "Softplus": (lambda d, t: d.SoftplusTransform(), (4,)),
    "Tanh": (lambda d, t: d.TanhTransform(), (4,)),
    "Affine": (lambda d, t: d.AffineTransform(t(REAL), -2.0), (4,)),
    "Affine of vectors": (
        lambda d, t: d.AffineTransform(t(REAL), t(POSITIVE), event_dim=1),
        (3, 4),
    ),
    "Compose": (
        lambda d, t: d.ComposeTransform(
            [
                d.AffineTransform(1.0, 0.5),
                d.ExpTransform(),
                d.AffineTransform(0.0, 3.0, event_dim=1),
            ]
        ),
        (3, 4),
    ),
    "Independent": (lambda d, t: d.IndependentTransform(d.ExpTransform(), 1), (3, 4)),
    "Reshape": (lambda d, t: d.ReshapeTransform((2, 2), (4,)), (3, 2, 2)),
    "StickBreaking": (lambda d, t: d.StickBreakingTransform(), (3, 4)),
    "CorrCholesky": (lambda d, t: d.CorrCholeskyTransform(), (2, 6)),
    "Cat": (lambda d, t: d.CatTransform([d.ExpTransform(), d.TanhTransform()], 0, [1, 3]), (4,)),
    "Stack": (lambda d, t: d.StackTransform([d.ExpTransform(), d.TanhTransform()], 0), (2, 4)),
    "Cdf": (lambda d, t: d.CumulativeDistributionTransform(d.Normal(0.0, t(POSITIVE))), (4,)),
    "inverse": (lambda d, t: d.TanhTransform().inv.inv, (4,)),
    "Softmax": (lambda d, t: d.SoftmaxTransform(), (3, 4)),
    "Abs": (lambda d, t: d.AbsTransform(), (4,)),
    "LowerCholesky": (lambda d, t: d.LowerCholeskyTransform(), (2, 3, 3)),
    "PositiveDefinite": (lambda d, t: d.PositiveDefiniteTransform(), (2, 3, 3)),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms(name):
    build, shape = TRANSFORMS[name]
    x = np.random.default_rng(0).normal(size=shape)
    x = np.abs(x) if name == "Power" else x
    made = [build(lib.distributions, maker(lib)[0]) for lib in (fastdl, torch)]
    xs = fastdl.from_numpy(x), torch.from_numpy(x)
    ys = [t(v) for t, v in zip(made, xs)]
    same(*ys)
    assert made[0].bijective == made[1].bijective
    assert made[0].domain.event_dim == made[1].domain.event_dim
    assert made[0].codomain.event_dim == made[1].codomain.event_dim
    assert made[0].codomain.check(ys[0]).all()
    assert made[0].forward_shape(shape) == tuple(made[1].forward_shape(shape))
    assert made[0].inverse_shape(ys[0].shape) == tuple(made[1].inverse_shape(ys[1].shape))
    same(*[t.inv(y) for t, y in zip(made, ys)], 1e-9)
    if made[1].bijective:
        same(*[t.log_abs_det_jacobian(v, y) for t, v, y in zip(made, xs, ys)], 1e-10)
        same(*[t.inv.log_abs_det_jacobian(y, v) for t, v, y in zip(made, xs, ys)], 1e-10)
        same(made[0].inv(ys[0]), torch.from_numpy(x), 1e-9)
        assert made[0] == build(fastdl.distributions, maker(fastdl)[0]) or name in (
            "Cat", "Stack", "Cdf", "Reshape", "Independent",
        )  # fmt: skip


def test_cached_transform_gives_the_argument_back():
    t = fastdl.distributions.TanhTransform(cache_size=1)
    x = fastdl.tensor([40.0])  # of which atanh(tanh(x)) is inf
    assert t.inv(t(x)) is x
    assert math.isinf(fastdl.distributions.TanhTransform().inv(t(x)).item())


@pytest.mark.parametrize("registry", ["biject_to", "transform_to"])
def test_transforms_reach_constraints(registry):
    x = fastdl.randn(3, 4).double()
    for find in (
        lambda c: c.real, lambda c: c.positive, lambda c: c.unit_interval, lambda c: c.simplex,
        lambda c: c.interval(-2.0, 3.0), lambda c: c.greater_than(1.0), lambda c: c.less_than(1.0),
        lambda c: c.independent(c.positive, 1), lambda c: c.real_vector, lambda c: c.nonnegative,
    ):  # fmt: skip
        constraint = find(fastdl.distributions.constraints)
        ours = getattr(fastdl.distributions, registry)(constraint)
        theirs = getattr(torch.distributions, registry)(find(torch.distributions.constraints))
        assert constraint.check(ours(x)).all()
        same(ours(x), theirs(torch.from_numpy(x.numpy())))
    with pytest.raises(NotImplementedError):
        getattr(fastdl.distributions, registry)(fastdl.distributions.constraints.boolean)


# ---- as courses use them ----------------------------------------------------------------------


def test_policy_gradient_step():
    fastdl.manual_seed(0)
    logits = fastdl.zeros(8, 3, requires_grad=True)
    policy = fastdl.distributions.Categorical(logits=logits)
    action = policy.sample()
    assert action.dtype is fastdl.int64
    (-policy.log_prob(action) * fastdl.ones(8)).mean().backward()
    expected = (np.full((8, 3), 1 / 3) - np.eye(3)[action.numpy()]) / 8
    np.testing.assert_allclose(logits.grad.numpy(), expected, atol=1e-7)


def test_variational_step():
    fastdl.manual_seed(0)
    mu, log_sigma = fastdl.zeros(4, requires_grad=True), fastdl.zeros(4, requires_grad=True)
    d = fastdl.distributions
    q = d.Independent(d.Normal(mu, log_sigma.exp()), 1)
    p = d.Independent(d.Normal(fastdl.ones(4), fastdl.ones(4)), 1)
    (d.kl_divergence(q, p) + q.rsample((64,)).sum(-1).mean() * 0).backward()
    np.testing.assert_allclose(mu.grad.numpy(), -np.ones(4), atol=1e-6)
    np.testing.assert_allclose(log_sigma.grad.numpy(), np.zeros(4), atol=1e-6)


def test_repr_of_a_mixture():
    def build(t):
        d = t.distributions
        parts = d.Independent(d.Normal(t.zeros(2, 3), 1.0), 1)
        return repr(d.MixtureSameFamily(d.Categorical(t.ones(2)), parts))

    assert build(fastdl).replace("fastdl.", "torch.") == build(torch)


def test_modules_have_pytorchs_names():
    for name in ("normal", "binomial", "multinomial", "one_hot_categorical", "gumbel", "poisson",
                 "multivariate_normal", "studentT", "relaxed_categorical"):  # fmt: skip
        ours = getattr(fastdl.distributions, name)
        theirs = getattr(torch.distributions, name)
        assert set(theirs.__all__) <= set(dir(ours))


def test_float32_stays_float32():
    for name, (build, _) in CASES.items():
        made = build(
            fastdl.distributions, lambda array: fastdl.from_numpy(np.asarray(array, np.float32))
        )
        drawn = made.sample((2,))
        assert drawn.dtype in (fastdl.float32, fastdl.int64), name
        assert made.log_prob(drawn).dtype is fastdl.float32, name


def test_examples_in_docstrings():
    d = fastdl.distributions
    for module in (d.normal, d.bernoulli, d.categorical, d.independent):
        found = doctest.testmod(module)
        assert found.attempted
        assert not found.failed
