"""VonMises."""

import math

from fastdl.distributions import constraints
from fastdl.distributions.distribution import Located
from fastdl.distributions.utils import broadcast_all
from fastdl.ops.sampling import angles
from fastdl.ops.special import i0e, i1e

__all__ = ["VonMises"]


class VonMises(Located):
    """Von Mises distribution of angles in radians around `loc`; not differentiable samples."""

    arg_constraints = {"loc": constraints.real, "concentration": constraints.positive}
    support = constraints.real

    def __init__(self, loc, concentration, validate_args=None):
        self.loc, self.concentration = broadcast_all(loc, concentration)
        super().__init__(self.loc.size(), validate_args=validate_args)

    @property
    def variance(self):
        """The circular variance, `1 - I1(concentration) / I0(concentration)`."""
        return 1 - i1e(self.concentration) / i0e(self.concentration)

    def sample(self, sample_shape=()):
        """Angles in [-pi, pi)."""
        shape = self._extended_shape(sample_shape)
        turned = angles(self.concentration, shape) + self.loc.detach()
        return (turned + math.pi) % (2 * math.pi) - math.pi

    def log_prob(self, value):
        """Logarithm of the density."""
        k = self.concentration
        log_norm = math.log(2 * math.pi) + i0e(k).log() + k
        return k * (self._checked(value) - self.loc).cos() - log_norm
