"""Dirichlet."""

from fastdl.distributions import constraints
from fastdl.distributions.distribution import Distribution
from fastdl.ops.creation import zeros_like
from fastdl.ops.elementwise import where, xlogy
from fastdl.ops.sampling import standard_gamma
from fastdl.ops.special import digamma, lgamma

__all__ = ["Dirichlet"]


class Dirichlet(Distribution):
    """Dirichlet distribution of probabilities (..., k): `concentration` is (..., k).

    Samples are differentiable: gamma variables, divided by their sum.
    """

    arg_constraints = {"concentration": constraints.independent(constraints.positive, 1)}
    support = constraints.simplex
    has_rsample = True

    def __init__(self, concentration, validate_args=None):
        if concentration.dim() < 1:
            raise ValueError("`concentration` parameter must be at least one-dimensional.")
        self.concentration = concentration
        shape = concentration.size()
        super().__init__(shape[:-1], shape[-1:], validate_args=validate_args)

    @property
    def mean(self):
        """`concentration` over its sum."""
        return self.concentration / self.concentration.sum(-1, True)

    @property
    def mode(self):
        """`concentration - 1` over its sum; a corner where all are below 1."""
        c = self.concentration
        above = (c - 1).clamp(min=0.0)
        corner = zeros_like(c).scatter(-1, c.argmax(-1, True), 1.0)
        return where((c < 1).all(-1, True), corner, above / above.sum(-1, True))

    @property
    def variance(self):
        """`m (1 - m) / (sum + 1)`, m the mean."""
        mean = self.mean
        return mean * (1 - mean) / (self.concentration.sum(-1, True) + 1)

    def rsample(self, sample_shape=()):
        """Gamma variables, divided by their sum."""
        drawn = standard_gamma(self.concentration.expand(self._extended_shape(sample_shape)))
        return drawn / drawn.sum(-1, True)

    def log_prob(self, value):
        """Logarithm of the density."""
        c = self.concentration
        density = xlogy(c - 1.0, self._checked(value)).sum(-1)
        return density + lgamma(c.sum(-1)) - lgamma(c).sum(-1)

    def entropy(self):
        """Entropy."""
        c, total = self.concentration, self.concentration.sum(-1)
        return (
            lgamma(c).sum(-1)
            - lgamma(total)
            - (c.shape[-1] - total) * digamma(total)
            - ((c - 1.0) * digamma(c)).sum(-1)
        )
