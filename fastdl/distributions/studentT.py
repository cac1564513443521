"""StudentT."""

import math

from fastdl.distributions import constraints
from fastdl.distributions.distribution import Distribution
from fastdl.distributions.utils import broadcast_all, standard_normal
from fastdl.ops.elementwise import where
from fastdl.ops.sampling import standard_gamma
from fastdl.ops.special import digamma, lgamma

__all__ = ["StudentT"]


class StudentT(Distribution):
    """Student's t distribution of `df` degrees of freedom, moved by `loc` and stretched by
    `scale`.
    """

    arg_constraints = {
        "df": constraints.positive,
        "loc": constraints.real,
        "scale": constraints.positive,
    }
    support = constraints.real
    has_rsample = True

    def __init__(self, df, loc=0.0, scale=1.0, validate_args=None):
        self.df, self.loc, self.scale = broadcast_all(df, loc, scale)
        super().__init__(self.df.size(), validate_args=validate_args)

    @property
    def mean(self):
        """The location; NaN for df up to 1."""
        return where(self.df <= 1, math.nan, self.loc)

    @property
    def mode(self):
        """The location."""
        return self.loc

    @property
    def variance(self):
        """`scale^2 df / (df - 2)`; inf for df in (1, 2], NaN below."""
        safe = where(self.df > 2, self.df, 3.0)
        finite = self.scale**2 * safe / (safe - 2)
        return where(self.df > 2, finite, where(self.df > 1, math.inf, math.nan))

    def rsample(self, sample_shape=()):
        """A normal draw over the root of a chi-squared one over df."""
        shape = self._extended_shape(sample_shape)
        chi2 = 2 * standard_gamma((0.5 * self.df).expand(shape))
        return self.loc + self.scale * standard_normal(shape, self.df) * (chi2 / self.df).rsqrt()

    def log_prob(self, value):
        """Logarithm of the density."""
        z = (self._checked(value) - self.loc) / self.scale
        norm = (
            self.scale.log()
            + 0.5 * (self.df.log() + math.log(math.pi))
            + lgamma(0.5 * self.df)
            - lgamma(0.5 * (self.df + 1))
        )
        return -0.5 * (self.df + 1) * (z * z / self.df).log1p() - norm

    def entropy(self):
        """Entropy."""
        half, more = 0.5 * self.df, 0.5 * (self.df + 1)
        log_beta = lgamma(half) + 0.5 * math.log(math.pi) - lgamma(more)
        return (
            self.scale.log()
            + more * (digamma(more) - digamma(half))
            + 0.5 * self.df.log()
            + log_beta
        )
