"""Binomial."""

from fastdl.distributions import constraints
from fastdl.distributions.odds import Odds
from fastdl.ops.activation import logsigmoid
from fastdl.ops.creation import arange
from fastdl.ops.random import binomial
from fastdl.ops.special import lgamma

__all__ = ["Binomial"]


class Binomial(Odds):
    """Number of successes among `total_count` trials of probability `probs` (or `logits`)."""

    arg_constraints = {"total_count": constraints.nonnegative_integer, **Odds.arg_constraints}
    has_enumerate_support = True

    def __init__(self, total_count=1, probs=None, logits=None, validate_args=None):
        super().__init__(probs, logits, validate_args, total_count=total_count)
        self.total_count = self.total_count.to(self._param.dtype)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self):
        """0 to total_count."""
        return constraints.integer_interval(0, self.total_count)

    @property
    def mean(self):
        """`total_count * probs`."""
        return self.total_count * self.probs

    @property
    def mode(self):
        """`(total_count + 1) * probs`, rounded down."""
        return ((self.total_count + 1) * self.probs).floor().clamp(max=self.total_count)

    @property
    def variance(self):
        """`total_count * probs * (1 - probs)`."""
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape=()):
        """Counts, in the dtype of the parameter."""
        shape = self._extended_shape(sample_shape)
        return binomial(self.total_count.expand(shape), self.probs.detach().expand(shape))

    def log_prob(self, value):
        """Logarithm of the probability."""
        value, n = self._checked(value), self.total_count
        choices = lgamma(n + 1) - lgamma(value + 1) - lgamma(n - value + 1)
        return value * self.logits + choices + n * logsigmoid(-self.logits)

    def entropy(self):
        """Entropy, summed over the support; `total_count` must be the same in the whole batch."""
        if not (self.total_count == self.total_count.max()).all():
            raise NotImplementedError("Inhomogeneous total count not supported by `entropy`.")
        log_prob = self.log_prob(self.enumerate_support(False))
        return -(log_prob.exp() * log_prob).sum(0)

    def enumerate_support(self, expand=True):
        """0 to `total_count`, which must be the same in the whole batch."""
        total = int(self.total_count.max())
        if not (self.total_count.min() == total).all():
            raise NotImplementedError(
                "Inhomogeneous total count not supported by `enumerate_support`."
            )
        return self._enumerated(arange(1 + total, dtype=self._param.dtype), expand)
