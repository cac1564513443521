"""Laplace."""

from fastdl.distributions.location_scale import LocationScale
from fastdl.distributions.utils import standard_exponential

__all__ = ["Laplace"]


class Laplace(LocationScale):
    """Laplace distribution: density falling as `exp(-|x - loc| / scale)`."""

    @property
    def variance(self):
        """Twice the scale's square."""
        return 2 * self.scale * self.scale

    def _standard(self, shape):
        return standard_exponential(shape, self.loc) - standard_exponential(shape, self.loc)

    def log_prob(self, value):
        """Logarithm of the density."""
        return -(2 * self.scale).log() - self._standardized(value).abs()

    def cdf(self, value):
        """Probability of a draw up to `value`."""
        z = self._standardized(value)
        return 0.5 - 0.5 * z.sign() * (-z.abs()).expm1()

    def icdf(self, value):
        """Quantile."""
        term = value - 0.5
        return self.loc - self.scale * term.sign() * (-2 * term.abs()).log1p()

    def entropy(self):
        """`1 + log(2 scale)`."""
        return 1 + (2 * self.scale).log()
