"""FisherSnedecor."""

import math

from fastdl.distributions import constraints
from fastdl.distributions.distribution import Distribution
from fastdl.distributions.utils import broadcast_all
from fastdl.ops.elementwise import where
from fastdl.ops.sampling import standard_gamma
from fastdl.ops.special import lgamma

__all__ = ["FisherSnedecor"]


class FisherSnedecor(Distribution):
    """F distribution of `df1` and `df2` degrees of freedom: ratio of two mean squares."""

    arg_constraints = {"df1": constraints.positive, "df2": constraints.positive}
    support = constraints.positive
    has_rsample = True

    def __init__(self, df1, df2, validate_args=None):
        self.df1, self.df2 = broadcast_all(df1, df2)
        super().__init__(self.df1.size(), validate_args=validate_args)

    @property
    def mean(self):
        """`df2 / (df2 - 2)`; NaN for df2 up to 2."""
        return where(self.df2 > 2, self.df2 / (self.df2 - 2), math.nan)

    @property
    def mode(self):
        """`(df1 - 2) / df1 * df2 / (df2 + 2)`; NaN for df1 up to 2."""
        mode = (self.df1 - 2) / self.df1 * self.df2 / (self.df2 + 2)
        return where(self.df1 > 2, mode, math.nan)

    @property
    def variance(self):
        """Variance; NaN for df2 up to 4."""
        d2 = where(self.df2 > 4, self.df2, math.nan)
        numerator = 2 * d2**2 * (self.df1 + d2 - 2)
        return numerator / (self.df1 * (d2 - 2) ** 2 * (d2 - 4))

    def rsample(self, sample_shape=()):
        """Ratio of two gamma draws over their shapes."""
        shape = self._extended_shape(sample_shape)
        parts = [standard_gamma((0.5 * d).expand(shape)) / (0.5 * d) for d in (self.df1, self.df2)]
        return parts[0] / parts[1]

    def log_prob(self, value):
        """Logarithm of the density."""
        value = self._checked(value)
        a, b, ratio = 0.5 * self.df1, 0.5 * self.df2, self.df1 / self.df2
        return (
            lgamma(a + b)
            - lgamma(a)
            - lgamma(b)
            + a * ratio.log()
            + (a - 1) * value.log()
            - (a + b) * (ratio * value).log1p()
        )
