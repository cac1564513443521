"""Uniform."""

import math

from fastdl.distributions import constraints
from fastdl.distributions.distribution import Distribution
from fastdl.distributions.utils import broadcast_all
from fastdl.distributions.utils import uniform as draw
from fastdl.ops.elementwise import where

__all__ = ["Uniform"]


class Uniform(Distribution):
    """Uniform distribution on [low, high)."""

    has_rsample = True

    def __init__(self, low, high, validate_args=None):
        self.low, self.high = broadcast_all(low, high)
        super().__init__(self.low.size(), validate_args=validate_args)

    @property
    def arg_constraints(self):
        """Constraints of the parameters."""
        return {
            "low": constraints.less_than(self.high),
            "high": constraints.greater_than(self.low),
        }

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self):
        """[low, high]."""
        return constraints.interval(self.low, self.high)

    @property
    def mean(self):
        """The middle."""
        return (self.high + self.low) / 2

    @property
    def mode(self):
        """NaN: no value is more probable than the others."""
        return math.nan * self.high

    @property
    def variance(self):
        """`(high - low)^2 / 12`."""
        return (self.high - self.low) ** 2 / 12

    def rsample(self, sample_shape=()):
        """`low + (high - low) * u`."""
        u = draw(self._extended_shape(sample_shape), self.low)
        return self.low + u * (self.high - self.low)

    def log_prob(self, value):
        """`-log(high - low)` inside [low, high), -inf outside."""
        value = self._checked(value)
        inside = (self.low <= value) & (value < self.high)
        return where(inside, 0.0, -math.inf) - (self.high - self.low).log()

    def cdf(self, value):
        """Probability of a draw up to `value`."""
        return ((self._checked(value) - self.low) / (self.high - self.low)).clamp(0, 1)

    def icdf(self, value):
        """Quantile."""
        return value * (self.high - self.low) + self.low

    def entropy(self):
        """`log(high - low)`."""
        return (self.high - self.low).log()
