"""Beta."""

from fastdl.distributions import constraints
from fastdl.distributions.dirichlet import Dirichlet
from fastdl.distributions.distribution import Distribution
from fastdl.distributions.utils import broadcast_all
from fastdl.ops.join import stack

__all__ = ["Beta"]


class Beta(Distribution):
    """Beta distribution on [0, 1]: density of x^(concentration1 - 1) (1 - x)^(concentration0 - 1).

    The first part of a Dirichlet variable.
    """

    arg_constraints = {
        "concentration1": constraints.positive,
        "concentration0": constraints.positive,
    }
    support = constraints.unit_interval
    has_rsample = True

    def __init__(self, concentration1, concentration0, validate_args=None):
        self.concentration1, self.concentration0 = broadcast_all(concentration1, concentration0)
        super().__init__(self.concentration1.size(), validate_args=validate_args)

    @property
    def _dirichlet(self):
        both = stack([self.concentration1, self.concentration0], -1)
        return Dirichlet(both, validate_args=False)

    @property
    def mean(self):
        """`concentration1 / (concentration1 + concentration0)`."""
        return self.concentration1 / (self.concentration1 + self.concentration0)

    @property
    def mode(self):
        """`(concentration1 - 1) / (concentration1 + concentration0 - 2)`, or an end."""
        return self._dirichlet.mode[..., 0]

    @property
    def variance(self):
        """`m (1 - m) / (concentration1 + concentration0 + 1)`, m the mean."""
        mean = self.mean
        return mean * (1 - mean) / (self.concentration1 + self.concentration0 + 1)

    def rsample(self, sample_shape=()):
        """The first parts of Dirichlet draws."""
        return self._dirichlet.rsample(sample_shape)[..., 0]

    def log_prob(self, value):
        """Logarithm of the density."""
        value = self._checked(value)
        return self._dirichlet.log_prob(stack([value, 1.0 - value], -1))

    def entropy(self):
        """Entropy."""
        return self._dirichlet.entropy()
