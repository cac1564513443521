"""What HalfNormal and HalfCauchy share."""

import math

from fastdl.distributions import constraints
from fastdl.distributions.distribution import Distribution
from fastdl.distributions.utils import broadcast_all
from fastdl.ops.elementwise import where


class Half(Distribution):
    """Distribution of |x| for x of a distribution `_whole` that is symmetric around 0."""

    arg_constraints = {"scale": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True
    _whole = None

    def __init__(self, scale, validate_args=None):
        (self.scale,) = broadcast_all(scale)
        super().__init__(self.scale.size(), validate_args=validate_args)

    @property
    def _base(self):
        return self._whole(0.0, self.scale, validate_args=False)

    @property
    def mode(self):
        """0."""
        return self.scale * 0

    def rsample(self, sample_shape=()):
        """Absolute values of draws."""
        return self._base.rsample(sample_shape).abs()

    def log_prob(self, value):
        """Logarithm of the density; -inf below 0."""
        value = self._checked(value)
        found = self._base.log_prob(value) + math.log(2)
        return where(value >= 0, found, -math.inf)

    def cdf(self, value):
        """Probability of a draw up to `value`."""
        return 2 * self._base.cdf(self._checked(value)) - 1

    def icdf(self, value):
        """Quantile."""
        return self._base.icdf((value + 1) / 2)

    def entropy(self):
        """That of the whole, less log 2."""
        return self._base.entropy() - math.log(2)
