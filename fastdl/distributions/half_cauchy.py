"""HalfCauchy."""

import math

from fastdl.distributions.cauchy import Cauchy
from fastdl.distributions.half import Half

__all__ = ["HalfCauchy"]


class HalfCauchy(Half):
    """Distribution of |x| for x of Cauchy(0, scale)."""

    _whole = Cauchy

    @property
    def mean(self):
        """inf."""
        return self.scale * 0 + math.inf

    @property
    def variance(self):
        """inf, as the second moment."""
        return self.scale * 0 + math.inf
