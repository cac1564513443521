"""Pareto."""

import math

from fastdl.distributions import constraints
from fastdl.distributions.distribution import Distribution
from fastdl.distributions.utils import broadcast_all, standard_exponential
from fastdl.ops.elementwise import where

__all__ = ["Pareto"]


class Pareto(Distribution):
    """Pareto distribution: `scale * exp(e / alpha)` for exponential e."""

    arg_constraints = {"alpha": constraints.positive, "scale": constraints.positive}
    has_rsample = True

    def __init__(self, scale, alpha, validate_args=None):
        self.scale, self.alpha = broadcast_all(scale, alpha)
        super().__init__(self.scale.size(), validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self):
        """What is at least `scale`."""
        return constraints.greater_than_eq(self.scale)

    @property
    def mean(self):
        """`alpha scale / (alpha - 1)`; inf for alpha up to 1."""
        safe = where(self.alpha > 1, self.alpha, 2.0)
        return where(self.alpha > 1, safe * self.scale / (safe - 1), math.inf)

    @property
    def mode(self):
        """The scale."""
        return self.scale

    @property
    def variance(self):
        """Variance; inf for alpha up to 2."""
        safe = where(self.alpha > 2, self.alpha, 3.0)
        found = self.scale**2 * safe / ((safe - 1) ** 2 * (safe - 2))
        return where(self.alpha > 2, found, math.inf)

    def rsample(self, sample_shape=()):
        """Exponentials of exponential draws."""
        drawn = standard_exponential(self._extended_shape(sample_shape), self.scale)
        return self.scale * (drawn / self.alpha).exp()

    def log_prob(self, value):
        """Logarithm of the density."""
        value, a = self._checked(value), self.alpha
        return a.log() + a * self.scale.log() - (a + 1) * value.log()

    def cdf(self, value):
        """Probability of a draw up to `value`."""
        return 1 - (self.scale / self._checked(value)) ** self.alpha

    def icdf(self, value):
        """Quantile."""
        return self.scale * (1 - value) ** -self.alpha.reciprocal()

    def entropy(self):
        """Entropy."""
        return (self.scale / self.alpha).log() + 1 + self.alpha.reciprocal()
