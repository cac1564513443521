"""What the distributions of a location and a scale share."""

from fastdl.distributions import constraints
from fastdl.distributions.distribution import Located
from fastdl.distributions.utils import broadcast_all


class LocationScale(Located):
    """Distribution on the real line, symmetric or not, of `loc + scale * standard variable`."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True

    def __init__(self, loc, scale, validate_args=None):
        self.loc, self.scale = broadcast_all(loc, scale)
        super().__init__(self.loc.size(), validate_args=validate_args)

    def _standard(self, shape):
        """Draws for location 0 and scale 1."""
        raise NotImplementedError

    def rsample(self, sample_shape=()):
        """`loc + scale * draws` for location 0 and scale 1."""
        return self.loc + self.scale * self._standard(self._extended_shape(sample_shape))

    def _standardized(self, value):
        return (self._checked(value) - self.loc) / self.scale
