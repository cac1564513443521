"""Kullback-Leibler divergences: `kl_divergence(p, q)`, and `register_kl` for further pairs."""

import math

from fastdl.distributions.bernoulli import Bernoulli
from fastdl.distributions.beta import Beta
from fastdl.distributions.binomial import Binomial
from fastdl.distributions.categorical import Categorical
from fastdl.distributions.cauchy import Cauchy
from fastdl.distributions.continuous_bernoulli import ContinuousBernoulli
from fastdl.distributions.dirichlet import Dirichlet
from fastdl.distributions.distribution import Distribution
from fastdl.distributions.exponential import Exponential
from fastdl.distributions.gamma import Gamma
from fastdl.distributions.geometric import Geometric
from fastdl.distributions.gumbel import EULER, Gumbel
from fastdl.distributions.half_normal import HalfNormal
from fastdl.distributions.independent import Independent
from fastdl.distributions.laplace import Laplace
from fastdl.distributions.lowrank_multivariate_normal import LowRankMultivariateNormal
from fastdl.distributions.multivariate_normal import MultivariateNormal, mahalanobis
from fastdl.distributions.normal import Normal
from fastdl.distributions.one_hot_categorical import OneHotCategorical
from fastdl.distributions.pareto import Pareto
from fastdl.distributions.poisson import Poisson
from fastdl.distributions.transformed_distribution import TransformedDistribution
from fastdl.distributions.uniform import Uniform
from fastdl.distributions.utils import sum_rightmost
from fastdl.ops.activation import logsigmoid
from fastdl.ops.creation import full
from fastdl.ops.elementwise import where
from fastdl.ops.factor import solve_triangular
from fastdl.ops.special import digamma, lgamma

__all__ = ["kl_divergence", "register_kl"]

_REGISTRY = {}


def register_kl(type_p, type_q):
    """Decorator: the function (p, q) computes the divergence of `type_p` from `type_q`.

    A pair of subclasses uses the function registered for the nearest pair of their bases.
    """
    for t in (type_p, type_q):
        if not (isinstance(t, type) and issubclass(t, Distribution)):
            raise TypeError(f"Expected a Distribution subclass but got {t}")

    def decorator(function):
        _REGISTRY[type_p, type_q] = function
        return function

    return decorator


def _function_for(type_p, type_q):
    """The registered function of the nearest bases, None if there is none."""
    found = [
        (type_p.__mro__.index(p) + type_q.__mro__.index(q), number, function)
        for number, ((p, q), function) in enumerate(_REGISTRY.items())
        if issubclass(type_p, p) and issubclass(type_q, q)
    ]
    return min(found)[2] if found else None


def kl_divergence(p, q):
    """Kullback-Leibler divergence of `p` from `q`: the mean of log p(x) - log q(x) over p.

    Of the shape of the batch. NotImplementedError for a pair that is not registered.
    """
    function = _function_for(type(p), type(q))
    if function is None:
        raise NotImplementedError(
            "No KL(p || q) is implemented for p type "
            f"{type(p).__name__} and q type {type(q).__name__}"
        )
    return function(p, q)


# ---- p and q of one family --------------------------------------------------------------------


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p, q):
    t1 = p.probs * (logsigmoid(p.logits) - logsigmoid(q.logits))
    t2 = (1 - p.probs) * (logsigmoid(-p.logits) - logsigmoid(-q.logits))
    t1 = where((q.probs == 0) & (p.probs > 0), math.inf, where(p.probs == 0, 0.0, t1))
    t2 = where((q.probs == 1) & (p.probs < 1), math.inf, where(p.probs == 1, 0.0, t2))
    return t1 + t2


@register_kl(Beta, Beta)
def _beta(p, q):
    return kl_divergence(p._dirichlet, q._dirichlet)


@register_kl(Binomial, Binomial)
def _binomial(p, q):
    if (p.total_count < q.total_count).any():
        raise NotImplementedError(
            "KL between Binomials where q.total_count > p.total_count is not implemented"
        )
    of_trial = p.probs * (p.logits - q.logits) + (-p.probs).log1p() - (-q.probs).log1p()
    kl = p.total_count * of_trial
    return where(p.total_count > q.total_count, math.inf, kl)


@register_kl(Categorical, Categorical)
def _categorical(p, q):
    terms = p.probs * (p.logits - q.logits)
    terms = where(q.probs == 0, math.inf, terms)
    return where(p.probs == 0, 0.0, terms).sum(-1)


@register_kl(OneHotCategorical, OneHotCategorical)
def _one_hot(p, q):
    return _categorical(p._categorical, q._categorical)


@register_kl(ContinuousBernoulli, ContinuousBernoulli)
def _continuous_bernoulli(p, q):
    t1 = p.mean * (p.logits - q.logits)
    t2 = p._log_norm + (-p.probs).log1p()
    return t1 + t2 - q._log_norm - (-q.probs).log1p()


@register_kl(Dirichlet, Dirichlet)
def _dirichlet(p, q):
    a, b = p.concentration, q.concentration
    total, of_q = a.sum(-1), b.sum(-1)
    t1 = lgamma(total) - lgamma(of_q)
    t2 = (lgamma(a) - lgamma(b)).sum(-1)
    return t1 - t2 + ((a - b) * (digamma(a) - digamma(total).unsqueeze(-1))).sum(-1)


@register_kl(Exponential, Exponential)
def _exponential(p, q):
    ratio = q.rate / p.rate
    return -ratio.log() + ratio - 1


@register_kl(Gamma, Gamma)
def _gamma(p, q):
    a, b = p.concentration, q.concentration
    return (
        b * (p.rate / q.rate).log()
        + lgamma(b)
        - lgamma(a)
        + (a - b) * digamma(a)
        + (q.rate - p.rate) * (a / p.rate)
    )


@register_kl(Geometric, Geometric)
def _geometric(p, q):
    return -p.entropy() - (-q.probs).log1p() / p.probs - q.logits


@register_kl(Gumbel, Gumbel)
def _gumbel(p, q):
    ratio = p.scale / q.scale
    gap = (p.loc - q.loc) / q.scale
    return -ratio.log() + gap + ratio * EULER + (-gap + lgamma(1 + ratio)).exp() - (1 + EULER)


@register_kl(HalfNormal, HalfNormal)
def _half_normal(p, q):
    return _normal(p._base, q._base)


@register_kl(Laplace, Laplace)
def _laplace(p, q):
    ratio, gap = p.scale / q.scale, (p.loc - q.loc).abs()
    return -ratio.log() + gap / q.scale + ratio * (-gap / p.scale).exp() - 1


@register_kl(MultivariateNormal, MultivariateNormal)
def _multivariate_normal(p, q):
    if p.event_shape != q.event_shape:
        raise ValueError(
            "KL-divergence between two Multivariate Normals with different event shapes cannot be "
            "computed"
        )
    n = p.event_shape[0]
    spread = solve_triangular(q._root, p._root, upper=False)
    trace = (spread * spread).sum((-2, -1))
    distance = mahalanobis(q._root, q.loc - p.loc)
    return q._half_log_det() - p._half_log_det() + 0.5 * (trace + distance - n)


@register_kl(LowRankMultivariateNormal, LowRankMultivariateNormal)
@register_kl(LowRankMultivariateNormal, MultivariateNormal)
@register_kl(MultivariateNormal, LowRankMultivariateNormal)
def _low_rank_multivariate_normal(p, q):
    if p.event_shape != q.event_shape:
        raise ValueError(
            "KL-divergence between two (Low Rank) Multivariate Normals with different event shapes "
            "cannot be computed"
        )
    trace = 0.0
    for f in p._factors():  # of F' precision F: the sum of the distances of F's columns
        columns = f.movedim(-1, 0)
        missing = max(len(q.batch_shape) + 2 - columns.dim(), 0)
        columns = columns.reshape(len(columns), *[1] * missing, *columns.shape[1:])
        trace = trace + q._distance(columns).sum(0)
    distance = q._distance(q.loc - p.loc)
    n = p.event_shape[0]
    return q._half_log_det() - p._half_log_det() + 0.5 * (trace + distance - n)


@register_kl(Normal, Normal)
def _normal(p, q):
    ratio = (p.scale / q.scale) ** 2
    gap = ((p.loc - q.loc) / q.scale) ** 2
    return 0.5 * (ratio + gap - 1 - ratio.log())


@register_kl(Pareto, Pareto)
def _pareto(p, q):
    ratio = p.scale / q.scale
    power = q.alpha / p.alpha
    found = q.alpha * ratio.log() - power.log() + power - 1
    return where(p.scale < q.scale, math.inf, found)


@register_kl(Poisson, Poisson)
def _poisson(p, q):
    return p.rate * (p.rate.log() - q.rate.log()) - (p.rate - q.rate)


@register_kl(Uniform, Uniform)
def _uniform(p, q):
    found = ((q.high - q.low) / (p.high - p.low)).log()
    return where((q.low > p.low) | (q.high < p.high), math.inf, found)


@register_kl(Cauchy, Cauchy)
def _cauchy(p, q):
    # F. Chyzak and F. Nielsen, A closed-form formula for the KL divergence between Cauchy
    # distributions (2019)
    t1 = ((p.scale + q.scale) ** 2 + (p.loc - q.loc) ** 2).log()
    return t1 - (4 * p.scale * q.scale).log()


@register_kl(Independent, Independent)
def _independent(p, q):
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError
    inner = kl_divergence(p.base_dist, q.base_dist)
    return sum_rightmost(inner, p.reinterpreted_batch_ndims)


@register_kl(TransformedDistribution, TransformedDistribution)
def _transformed(p, q):
    if p.transforms != q.transforms or p.event_shape != q.event_shape:
        raise NotImplementedError
    return kl_divergence(p.base_dist, q.base_dist)


# ---- p and q of two families ------------------------------------------------------------------


@register_kl(Bernoulli, Poisson)
def _bernoulli_poisson(p, q):
    return -p.entropy() - (p.probs * q.rate.log() - q.rate)


@register_kl(Beta, Uniform)
def _beta_uniform(p, q):
    found = -p.entropy() + (q.high - q.low).log()
    return where((q.high < 1) | (q.low > 0), math.inf, found)


@register_kl(Exponential, Gamma)
def _exponential_gamma(p, q):
    ratio, c = q.rate / p.rate, q.concentration
    return -c * ratio.log() + ratio + lgamma(c) + c * EULER - (1 + EULER)


@register_kl(Gamma, Exponential)
def _gamma_exponential(p, q):
    return -p.entropy() - q.rate.log() + q.rate * p.concentration / p.rate


def _second_moment_under_normal(p, q):
    """-entropy(p) - the mean of log q over p, for a normal q and p with two moments."""
    square = (p.variance + (p.mean - q.loc) ** 2) / q.scale**2
    return -p.entropy() + 0.5 * math.log(2 * math.pi) + q.scale.log() + 0.5 * square


for _other in (Beta, Exponential, Gamma, Gumbel, Laplace, Uniform):
    register_kl(_other, Normal)(_second_moment_under_normal)


@register_kl(Normal, Laplace)
def _normal_laplace(p, q):
    gap = p.loc - q.loc
    ratio = gap / p.scale
    mean = math.sqrt(2 / math.pi) * p.scale * (-0.5 * ratio**2).exp()
    mean = mean + gap * (math.sqrt(0.5) * ratio).erf()
    return -p.entropy() + (2 * q.scale).log() + mean / q.scale


@register_kl(Normal, Gumbel)
def _normal_gumbel(p, q):
    gap, spread = (p.loc - q.loc) / q.scale, p.scale / q.scale
    return -p.entropy() + q.scale.log() + gap + (-gap + 0.5 * spread**2).exp()


@register_kl(Uniform, Beta)
def _uniform_beta(p, q):
    low, high = p.low, p.high
    width = high - low
    power = lambda x: x * x.log() - x
    t1 = (q.concentration1 - 1) * (power(high) - power(low)) / width
    t2 = (q.concentration0 - 1) * (power(1 - high) - power(1 - low)) / width
    t3 = lgamma(q.concentration1) + lgamma(q.concentration0)
    t3 = t3 - lgamma(q.concentration1 + q.concentration0)
    return where((high > 1) | (low < 0), math.inf, t2 - t1 + t3 - width.log())


def _outside(p, q):
    """p has mass where q has none."""
    return full(p.batch_shape, math.inf, dtype=p.mean.dtype)


for _p, _q in (
    (Poisson, Bernoulli), (Poisson, Binomial), (Normal, Beta), (Normal, Exponential),
    (Normal, Gamma), (Normal, Pareto), (Normal, Uniform), (Laplace, Beta), (Laplace, Exponential),
    (Laplace, Gamma), (Laplace, Pareto), (Laplace, Uniform), (Gumbel, Beta), (Gumbel, Exponential),
    (Gumbel, Gamma), (Gumbel, Pareto), (Gumbel, Uniform), (Gamma, Beta), (Gamma, Pareto),
    (Gamma, Uniform), (Exponential, Beta), (Exponential, Pareto), (Exponential, Uniform),
    (Beta, Pareto), (Pareto, Beta), (Pareto, Uniform),
):  # fmt: skip
    register_kl(_p, _q)(_outside)
