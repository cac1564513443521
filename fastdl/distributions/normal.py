"""Normal."""

import math

from fastdl.distributions.location_scale import LocationScale
from fastdl.distributions.utils import standard_normal
from fastdl.ops.elementwise import erfinv

__all__ = ["Normal"]


class Normal(LocationScale):
    """Normal distribution of mean `loc` and standard deviation `scale`.

    >>> import fastdl
    >>> fastdl.distributions.Normal(0.0, 2.0).log_prob(fastdl.tensor(1.0))
    tensor(-1.7371)
    """

    @property
    def stddev(self):
        """The scale."""
        return self.scale

    @property
    def variance(self):
        """The scale's square."""
        return self.scale * self.scale

    def _standard(self, shape):
        return standard_normal(shape, self.loc)

    def log_prob(self, value):
        """Logarithm of the density."""
        z = self._standardized(value)
        return z * z * -0.5 - self.scale.log() - 0.5 * math.log(2 * math.pi)

    def cdf(self, value):
        """Probability of a draw up to `value`."""
        return 0.5 * (1 + (self._standardized(value) * math.sqrt(0.5)).erf())

    def icdf(self, value):
        """Quantile."""
        return self.loc + self.scale * erfinv(2 * value - 1) * math.sqrt(2)

    def entropy(self):
        """`log(scale) + (1 + log(2 pi)) / 2`."""
        return 0.5 + 0.5 * math.log(2 * math.pi) + self.scale.log()
