"""Gumbel."""

import math

from fastdl.distributions.location_scale import LocationScale
from fastdl.distributions.utils import standard_exponential

__all__ = ["Gumbel"]

EULER = 0.57721566490153286


class Gumbel(LocationScale):
    """Gumbel distribution, that of the greatest of many draws."""

    @property
    def mean(self):
        """`loc + 0.5772 scale`."""
        return self.loc + self.scale * EULER

    @property
    def variance(self):
        """`(pi scale)^2 / 6`."""
        return self.stddev * self.stddev

    @property
    def stddev(self):
        """`pi scale / sqrt(6)`."""
        return math.pi / math.sqrt(6) * self.scale

    def _standard(self, shape):
        return -standard_exponential(shape, self.loc).log()

    def log_prob(self, value):
        """Logarithm of the density."""
        z = self._standardized(value)
        return -z - (-z).exp() - self.scale.log()

    def cdf(self, value):
        """Probability of a draw up to `value`."""
        return (-(-self._standardized(value)).exp()).exp()

    def icdf(self, value):
        """Quantile."""
        return self.loc - self.scale * (-value.log()).log()

    def entropy(self):
        """`log(scale) + 1.5772`."""
        return self.scale.log() + (1 + EULER)
