"""GeneralizedPareto."""

import math

from fastdl.distributions import constraints
from fastdl.distributions.distribution import Distribution
from fastdl.distributions.utils import broadcast_all, uniform
from fastdl.ops.elementwise import expm1, log1p, where

__all__ = ["GeneralizedPareto"]


class GeneralizedPareto(Distribution):
    """Generalised Pareto distribution: P(x > loc + scale z) = (1 + concentration z)^(-1 /
    concentration), exp(-z) for concentration 0. Where that is negative, x is bounded above.
    """

    arg_constraints = {
        "loc": constraints.real,
        "scale": constraints.positive,
        "concentration": constraints.real,
    }
    has_rsample = True

    def __init__(self, loc, scale, concentration, validate_args=None):
        self.loc, self.scale, self.concentration = broadcast_all(loc, scale, concentration)
        super().__init__(self.loc.size(), validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self):
        """From `loc` on, up to `loc - scale / concentration` where concentration is negative."""
        bounded = self.concentration < 0
        safe = where(bounded, self.concentration, -1.0)
        return constraints.interval(
            self.loc, where(bounded, self.loc - self.scale / safe, math.inf)
        )

    def _split(self):
        """(is the concentration 0, as far as can be told? a concentration that is not)."""
        none = self.concentration.abs() <= 1e-8
        return none, where(none, 1.0, self.concentration)

    @property
    def mean(self):
        """`loc + scale / (1 - concentration)`; NaN for concentration 1 and more."""
        c = self.concentration
        found = self.loc + self.scale / (1 - where(c < 1, c, 0.5))
        return where(c < 1, found, math.nan)

    @property
    def mode(self):
        """The location."""
        return self.loc

    @property
    def variance(self):
        """Variance; NaN for concentration 1/2 and more."""
        c = where(self.concentration < 0.5, self.concentration, 0.25)
        found = self.scale**2 / ((1 - c) ** 2 * (1 - 2 * c))
        return where(self.concentration < 0.5, found, math.nan)

    def rsample(self, sample_shape=()):
        """Quantiles of uniform numbers."""
        return self.icdf(uniform(self._extended_shape(sample_shape), self.loc))

    def log_survival_function(self, value):
        """Logarithm of the probability of a draw above `value`."""
        z = (self._checked(value) - self.loc) / self.scale
        none, c = self._split()
        return where(none, -z, -log1p(c * z) / c)

    def log_prob(self, value):
        """Logarithm of the density."""
        z = (self._checked(value) - self.loc) / self.scale
        none, c = self._split()
        return -self.scale.log() - where(none, z, (1 + 1 / c) * log1p(c * z))

    def log_cdf(self, value):
        """Logarithm of the probability of a draw up to `value`."""
        return log1p(-self.log_survival_function(value).exp())

    def cdf(self, value):
        """Probability of a draw up to `value`."""
        return -expm1(self.log_survival_function(value))

    def icdf(self, value):
        """Quantile."""
        none, c = self._split()
        logs = log1p(-value)
        return where(
            none, self.loc - self.scale * logs, self.loc + self.scale / c * expm1(-c * logs)
        )

    def entropy(self):
        """`log(scale) + concentration + 1`."""
        return self.scale.log() + self.concentration + 1
