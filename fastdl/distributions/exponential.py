"""Exponential."""

from fastdl.distributions import constraints
from fastdl.distributions.distribution import Distribution
from fastdl.distributions.utils import broadcast_all, standard_exponential

__all__ = ["Exponential"]


class Exponential(Distribution):
    """Exponential distribution: density `rate * exp(-rate * x)` for x >= 0."""

    arg_constraints = {"rate": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True

    def __init__(self, rate, validate_args=None):
        (self.rate,) = broadcast_all(rate)
        super().__init__(self.rate.size(), validate_args=validate_args)

    @property
    def mean(self):
        """`1 / rate`."""
        return self.rate.reciprocal()

    @property
    def mode(self):
        """0."""
        return self.rate * 0

    @property
    def stddev(self):
        """`1 / rate`."""
        return self.rate.reciprocal()

    @property
    def variance(self):
        """`1 / rate^2`."""
        return self.rate**-2

    def rsample(self, sample_shape=()):
        """Draws of rate 1, divided by the rate."""
        return standard_exponential(self._extended_shape(sample_shape), self.rate) / self.rate

    def log_prob(self, value):
        """Logarithm of the density."""
        return self.rate.log() - self.rate * self._checked(value)

    def cdf(self, value):
        """Probability of a draw up to `value`."""
        return -(-self.rate * self._checked(value)).expm1()

    def icdf(self, value):
        """Quantile."""
        return -(-value).log1p() / self.rate

    def entropy(self):
        """`1 - log(rate)`."""
        return 1 - self.rate.log()
