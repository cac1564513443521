"""Gamma."""

from fastdl.distributions import constraints
from fastdl.distributions.distribution import Distribution
from fastdl.distributions.utils import broadcast_all
from fastdl.ops.elementwise import xlogy
from fastdl.ops.sampling import standard_gamma
from fastdl.ops.special import digamma, gammainc, lgamma

__all__ = ["Gamma"]


class Gamma(Distribution):
    """Gamma distribution of shape `concentration`: density of x^(concentration - 1) e^(-rate x).

    Samples are differentiable in both parameters (implicit reparameterization).
    """

    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True

    def __init__(self, concentration, rate, validate_args=None):
        self.concentration, self.rate = broadcast_all(concentration, rate)
        super().__init__(self.concentration.size(), validate_args=validate_args)

    @property
    def mean(self):
        """`concentration / rate`."""
        return self.concentration / self.rate

    @property
    def mode(self):
        """`(concentration - 1) / rate`, at least 0."""
        return ((self.concentration - 1) / self.rate).clamp(min=0)

    @property
    def variance(self):
        """`concentration / rate^2`."""
        return self.concentration / self.rate**2

    def rsample(self, sample_shape=()):
        """Draws of rate 1, divided by the rate."""
        shape = self._extended_shape(sample_shape)
        return standard_gamma(self.concentration.expand(shape)) / self.rate

    def log_prob(self, value):
        """Logarithm of the density."""
        value = self._checked(value)
        return (
            xlogy(self.concentration, self.rate)
            + xlogy(self.concentration - 1, value)
            - self.rate * value
            - lgamma(self.concentration)
        )

    def cdf(self, value):
        """Probability of a draw up to `value`."""
        return gammainc(self.concentration, self.rate * self._checked(value))

    def entropy(self):
        """`c - log(rate) + lgamma(c) + (1 - c) digamma(c)`, c = concentration."""
        c = self.concentration
        return c - self.rate.log() + lgamma(c) + (1 - c) * digamma(c)
