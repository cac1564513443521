"""InverseGamma."""

import math

from fastdl.distributions import constraints
from fastdl.distributions.distribution import Distribution
from fastdl.distributions.gamma import Gamma
from fastdl.ops.elementwise import where
from fastdl.ops.special import digamma, gammaincc, lgamma

__all__ = ["InverseGamma"]


class InverseGamma(Distribution):
    """Distribution of 1 / x for x of Gamma(concentration, rate)."""

    arg_constraints = Gamma.arg_constraints
    support = constraints.positive
    has_rsample = True

    def __init__(self, concentration, rate, validate_args=None):
        self._gamma = Gamma(concentration, rate, validate_args=False)
        self.concentration, self.rate = self._gamma.concentration, self._gamma.rate
        super().__init__(self.concentration.size(), validate_args=validate_args)

    @property
    def mean(self):
        """`rate / (concentration - 1)`, inf for a concentration up to 1."""
        c = self.concentration
        return where(c > 1, self.rate / (c - 1).clamp(min=0), math.inf)

    @property
    def mode(self):
        """`rate / (concentration + 1)`."""
        return self.rate / (self.concentration + 1)

    @property
    def variance(self):
        """`rate^2 / ((c - 1)^2 (c - 2))`, inf for a concentration c up to 2."""
        c = self.concentration
        safe = where(c > 2, c, 3.0)
        return where(c > 2, self.rate**2 / ((safe - 1) ** 2 * (safe - 2)), math.inf)

    def rsample(self, sample_shape=()):
        """Reciprocals of gamma draws."""
        return self._gamma.rsample(sample_shape).reciprocal()

    def log_prob(self, value):
        """Logarithm of the density."""
        value = self._checked(value)
        return self._gamma.log_prob(value.reciprocal()) - 2 * value.log()

    def cdf(self, value):
        """Probability of a draw up to `value`."""
        return gammaincc(self.concentration, self.rate / self._checked(value))

    def entropy(self):
        """`c + log(rate) + lgamma(c) - (1 + c) digamma(c)`, c = concentration."""
        c = self.concentration
        return c + self.rate.log() + lgamma(c) - (1 + c) * digamma(c)
