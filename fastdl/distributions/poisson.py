"""Poisson."""

from fastdl.distributions import constraints
from fastdl.distributions.distribution import Distribution
from fastdl.distributions.utils import broadcast_all
from fastdl.ops.elementwise import xlogy
from fastdl.ops.random import poisson
from fastdl.ops.special import lgamma

__all__ = ["Poisson"]


class Poisson(Distribution):
    """Poisson distribution of counts with mean `rate`."""

    arg_constraints = {"rate": constraints.nonnegative}
    support = constraints.nonnegative_integer

    def __init__(self, rate, validate_args=None):
        (self.rate,) = broadcast_all(rate)
        super().__init__(self.rate.size(), validate_args=validate_args)

    @property
    def mean(self):
        """The rate."""
        return self.rate

    @property
    def mode(self):
        """The rate, rounded down."""
        return self.rate.floor()

    @property
    def variance(self):
        """The rate."""
        return self.rate

    def sample(self, sample_shape=()):
        """Counts, in the dtype of the rate."""
        return poisson(self.rate.detach().expand(self._extended_shape(sample_shape)))

    def log_prob(self, value):
        """Logarithm of the probability."""
        value = self._checked(value)
        return xlogy(value, self.rate) - self.rate - lgamma(value + 1)
