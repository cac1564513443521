"""Probability distributions under PyTorch's names: `fastdl.distributions.Normal(0.0, 1.0)`.

Parameters are numbers or tensors that broadcast; samples come from `fastdl.manual_seed`'s stream.
`rsample` is differentiable where `has_rsample`.
"""

from fastdl.distributions import constraints, transforms
from fastdl.distributions.bernoulli import Bernoulli
from fastdl.distributions.beta import Beta
from fastdl.distributions.binomial import Binomial
from fastdl.distributions.categorical import Categorical
from fastdl.distributions.cauchy import Cauchy
from fastdl.distributions.chi2 import Chi2
from fastdl.distributions.constraint_registry import biject_to, transform_to
from fastdl.distributions.continuous_bernoulli import ContinuousBernoulli
from fastdl.distributions.dirichlet import Dirichlet
from fastdl.distributions.distribution import Distribution
from fastdl.distributions.exp_family import ExponentialFamily
from fastdl.distributions.exponential import Exponential
from fastdl.distributions.fishersnedecor import FisherSnedecor
from fastdl.distributions.gamma import Gamma
from fastdl.distributions.generalized_pareto import GeneralizedPareto
from fastdl.distributions.geometric import Geometric
from fastdl.distributions.gumbel import Gumbel
from fastdl.distributions.half_cauchy import HalfCauchy
from fastdl.distributions.half_normal import HalfNormal
from fastdl.distributions.independent import Independent
from fastdl.distributions.inverse_gamma import InverseGamma
from fastdl.distributions.kl import kl_divergence, register_kl
from fastdl.distributions.kumaraswamy import Kumaraswamy
from fastdl.distributions.laplace import Laplace
from fastdl.distributions.lkj_cholesky import LKJCholesky
from fastdl.distributions.log_normal import LogNormal
from fastdl.distributions.logistic_normal import LogisticNormal
from fastdl.distributions.lowrank_multivariate_normal import LowRankMultivariateNormal
from fastdl.distributions.mixture_same_family import MixtureSameFamily
from fastdl.distributions.multinomial import Multinomial
from fastdl.distributions.multivariate_normal import MultivariateNormal
from fastdl.distributions.negative_binomial import NegativeBinomial
from fastdl.distributions.normal import Normal
from fastdl.distributions.one_hot_categorical import (
    OneHotCategorical,
    OneHotCategoricalStraightThrough,
)
from fastdl.distributions.pareto import Pareto
from fastdl.distributions.poisson import Poisson
from fastdl.distributions.relaxed_bernoulli import RelaxedBernoulli
from fastdl.distributions.relaxed_categorical import RelaxedOneHotCategorical
from fastdl.distributions.studentT import StudentT
from fastdl.distributions.transformed_distribution import TransformedDistribution
from fastdl.distributions.transforms import *
from fastdl.distributions.uniform import Uniform
from fastdl.distributions.von_mises import VonMises
from fastdl.distributions.weibull import Weibull
from fastdl.distributions.wishart import Wishart

__all__ = [
    "AbsTransform",
    "AffineTransform",
    "Bernoulli",
    "Beta",
    "Binomial",
    "CatTransform",
    "Categorical",
    "Cauchy",
    "Chi2",
    "ComposeTransform",
    "ContinuousBernoulli",
    "CorrCholeskyTransform",
    "CumulativeDistributionTransform",
    "Dirichlet",
    "Distribution",
    "ExpTransform",
    "Exponential",
    "ExponentialFamily",
    "FisherSnedecor",
    "Gamma",
    "GeneralizedPareto",
    "Geometric",
    "Gumbel",
    "HalfCauchy",
    "HalfNormal",
    "Independent",
    "IndependentTransform",
    "InverseGamma",
    "Kumaraswamy",
    "LKJCholesky",
    "Laplace",
    "LogNormal",
    "LogisticNormal",
    "LowRankMultivariateNormal",
    "LowerCholeskyTransform",
    "MixtureSameFamily",
    "Multinomial",
    "MultivariateNormal",
    "NegativeBinomial",
    "Normal",
    "OneHotCategorical",
    "OneHotCategoricalStraightThrough",
    "Pareto",
    "Poisson",
    "PositiveDefiniteTransform",
    "PowerTransform",
    "RelaxedBernoulli",
    "RelaxedOneHotCategorical",
    "ReshapeTransform",
    "SigmoidTransform",
    "SoftmaxTransform",
    "SoftplusTransform",
    "StackTransform",
    "StickBreakingTransform",
    "StudentT",
    "TanhTransform",
    "Transform",
    "TransformedDistribution",
    "Uniform",
    "VonMises",
    "Weibull",
    "Wishart",
    "biject_to",
    "constraints",
    "identity_transform",
    "kl_divergence",
    "register_kl",
    "transform_to",
    "transforms",
]
