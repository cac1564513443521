"""HalfNormal."""

import math

from fastdl.distributions.half import Half
from fastdl.distributions.normal import Normal

__all__ = ["HalfNormal"]


class HalfNormal(Half):
    """Distribution of |x| for x of Normal(0, scale)."""

    _whole = Normal

    @property
    def mean(self):
        """`scale * sqrt(2 / pi)`."""
        return self.scale * math.sqrt(2 / math.pi)

    @property
    def variance(self):
        """`scale^2 (1 - 2 / pi)`."""
        return self.scale**2 * (1 - 2 / math.pi)
