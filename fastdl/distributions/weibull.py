"""Weibull."""

from fastdl.distributions import constraints
from fastdl.distributions.distribution import Distribution
from fastdl.distributions.gumbel import EULER
from fastdl.distributions.utils import broadcast_all, standard_exponential
from fastdl.ops.special import lgamma

__all__ = ["Weibull"]


class Weibull(Distribution):
    """Weibull distribution: `scale * e^(1 / concentration)` for exponential e."""

    arg_constraints = {"scale": constraints.positive, "concentration": constraints.positive}
    support = constraints.positive
    has_rsample = True

    def __init__(self, scale, concentration, validate_args=None):
        self.scale, self.concentration = broadcast_all(scale, concentration)
        super().__init__(self.scale.size(), validate_args=validate_args)

    @property
    def mean(self):
        """`scale * gamma(1 + 1 / concentration)`."""
        return self.scale * lgamma(1 + self.concentration.reciprocal()).exp()

    @property
    def mode(self):
        """`scale * ((c - 1) / c)^(1 / c)`, c = concentration; NaN for c below 1, as in PyTorch."""
        c = self.concentration
        return self.scale * ((c - 1) / c) ** c.reciprocal()

    @property
    def variance(self):
        """Variance."""
        inverse = self.concentration.reciprocal()
        second = lgamma(1 + 2 * inverse).exp() - (2 * lgamma(1 + inverse)).exp()
        return self.scale**2 * second

    def rsample(self, sample_shape=()):
        """Powers of exponential draws."""
        drawn = standard_exponential(self._extended_shape(sample_shape), self.scale)
        return self.scale * drawn ** self.concentration.reciprocal()

    def log_prob(self, value):
        """Logarithm of the density."""
        z, c = self._checked(value) / self.scale, self.concentration
        return c.log() - self.scale.log() + (c - 1) * z.log() - z**c

    def cdf(self, value):
        """Probability of a draw up to `value`."""
        return -(-((self._checked(value) / self.scale) ** self.concentration)).expm1()

    def icdf(self, value):
        """Quantile."""
        return self.scale * (-(-value).log1p()) ** self.concentration.reciprocal()

    def entropy(self):
        """Entropy."""
        inverse = self.concentration.reciprocal()
        return EULER * (1 - inverse) + (self.scale * inverse).log() + 1
