"""NegativeBinomial."""

from fastdl.distributions import constraints
from fastdl.distributions.odds import Odds
from fastdl.ops.activation import logsigmoid
from fastdl.ops.elementwise import where
from fastdl.ops.random import poisson
from fastdl.ops.sampling import standard_gamma
from fastdl.ops.special import lgamma

__all__ = ["NegativeBinomial"]


class NegativeBinomial(Odds):
    """Number of successes of probability `probs` (or `logits`) before `total_count` failures."""

    arg_constraints = {
        "total_count": constraints.greater_than_eq(0),
        "probs": constraints.half_open_interval(0.0, 1.0),
        "logits": constraints.real,
    }
    support = constraints.nonnegative_integer

    def __init__(self, total_count, probs=None, logits=None, validate_args=None):
        super().__init__(probs, logits, validate_args, total_count=total_count)
        self.total_count = self.total_count.to(self._param.dtype)

    @property
    def mean(self):
        """`total_count * probs / (1 - probs)`."""
        return self.total_count * self.logits.exp()

    @property
    def mode(self):
        """`(total_count - 1) * probs / (1 - probs)`, rounded down, at least 0."""
        return ((self.total_count - 1) * self.logits.exp()).floor().clamp(min=0.0)

    @property
    def variance(self):
        """`mean / (1 - probs)`."""
        return self.mean / (-self.logits).sigmoid()

    def sample(self, sample_shape=()):
        """Counts, in the dtype of the parameter: Poisson with a gamma rate."""
        shape = self._extended_shape(sample_shape)
        rate = standard_gamma(self.total_count.detach().expand(shape)) * self.logits.detach().exp()
        return poisson(rate)

    def log_prob(self, value):
        """Logarithm of the probability."""
        value, n = self._checked(value), self.total_count
        log_unnormalized = n * logsigmoid(-self.logits) + value * logsigmoid(self.logits)
        log_norm = lgamma(1.0 + value) + lgamma(n) - lgamma(n + value)
        return log_unnormalized - where(n + value == 0.0, 0.0, log_norm)
