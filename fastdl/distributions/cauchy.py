"""Cauchy."""

import math

from fastdl.distributions.location_scale import LocationScale
from fastdl.distributions.utils import open_uniform

__all__ = ["Cauchy"]


class Cauchy(LocationScale):
    """Cauchy (Lorentz) distribution of median `loc` and half width `scale`; it has no mean."""

    @property
    def mean(self):
        """NaN."""
        return self.loc * math.nan

    @property
    def variance(self):
        """inf, as the second moment."""
        return self.loc * 0 + math.inf

    def _standard(self, shape):
        return (math.pi * (open_uniform(shape, self.loc) - 0.5)).tan()

    def log_prob(self, value):
        """Logarithm of the density."""
        z = self._standardized(value)
        return -math.log(math.pi) - self.scale.log() - (z * z).log1p()

    def cdf(self, value):
        """Probability of a draw up to `value`."""
        return self._standardized(value).atan() / math.pi + 0.5

    def icdf(self, value):
        """Quantile."""
        return (math.pi * (value - 0.5)).tan() * self.scale + self.loc

    def entropy(self):
        """`log(4 pi scale)`."""
        return math.log(4 * math.pi) + self.scale.log()
