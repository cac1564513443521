"""Kumaraswamy."""

import math

from fastdl.distributions import constraints
from fastdl.distributions.distribution import Distribution
from fastdl.distributions.gumbel import EULER
from fastdl.distributions.utils import broadcast_all, open_uniform
from fastdl.ops.elementwise import where
from fastdl.ops.special import digamma, lgamma

__all__ = ["Kumaraswamy"]


class Kumaraswamy(Distribution):
    """Kumaraswamy distribution on [0, 1], of cdf `1 - (1 - x^concentration1)^concentration0`."""

    arg_constraints = {
        "concentration1": constraints.positive,
        "concentration0": constraints.positive,
    }
    support = constraints.unit_interval
    has_rsample = True

    def __init__(self, concentration1, concentration0, validate_args=None):
        self.concentration1, self.concentration0 = broadcast_all(concentration1, concentration0)
        super().__init__(self.concentration1.size(), validate_args=validate_args)

    def _moment(self, n):
        a, b = self.concentration1, self.concentration0
        return (b.log() + lgamma(1 + n / a) + lgamma(b) - lgamma(1 + n / a + b)).exp()

    @property
    def mean(self):
        """Mean."""
        return self._moment(1)

    @property
    def mode(self):
        """`((a - 1) / (a b - 1))^(1 / a)`; NaN where a or b is below 1."""
        a, b = self.concentration1, self.concentration0
        outside = (a < 1) | (b < 1)
        found = ((a - 1) / (a * b - 1)) ** a.reciprocal()
        return where(outside, math.nan, found)

    @property
    def variance(self):
        """Variance."""
        return self._moment(2) - self.mean**2

    def rsample(self, sample_shape=()):
        """The quantile of uniform draws."""
        u = open_uniform(self._extended_shape(sample_shape), self.concentration1)
        return self.icdf(u)

    def icdf(self, value):
        """Quantile."""
        inner = 1 - (1 - value) ** self.concentration0.reciprocal()
        return inner ** self.concentration1.reciprocal()

    def cdf(self, value):
        """Probability of a draw up to `value`."""
        return 1 - (1 - self._checked(value) ** self.concentration1) ** self.concentration0

    def log_prob(self, value):
        """Logarithm of the density."""
        value = self._checked(value)
        a, b = self.concentration1, self.concentration0
        return (a * b).log() + (a - 1) * value.log() + (b - 1) * (-(value**a)).log1p()

    def entropy(self):
        """Entropy."""
        a, b = self.concentration1, self.concentration0
        harmonic = digamma(b + 1) + EULER
        return 1 - b.reciprocal() + (1 - a.reciprocal()) * harmonic - (a * b).log()
