"""LogNormal."""

from fastdl.distributions import constraints
from fastdl.distributions.normal import Normal
from fastdl.distributions.transformed_distribution import TransformedDistribution
from fastdl.distributions.transforms import ExpTransform

__all__ = ["LogNormal"]


class LogNormal(TransformedDistribution):
    """Distribution of exp(x) for x of Normal(loc, scale)."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.positive
    has_rsample = True

    def __init__(self, loc, scale, validate_args=None):
        super().__init__(Normal(loc, scale), ExpTransform(), validate_args=validate_args)

    @property
    def loc(self):
        """Mean of the logarithm."""
        return self.base_dist.loc

    @property
    def scale(self):
        """Standard deviation of the logarithm."""
        return self.base_dist.scale

    @property
    def mean(self):
        """`exp(loc + scale^2 / 2)`."""
        return (self.loc + self.scale**2 / 2).exp()

    @property
    def mode(self):
        """`exp(loc - scale^2)`."""
        return (self.loc - self.scale**2).exp()

    @property
    def variance(self):
        """Variance."""
        square = self.scale**2
        return square.expm1() * (2 * self.loc + square).exp()

    def entropy(self):
        """That of the normal distribution, and `loc`."""
        return self.base_dist.entropy() + self.loc
