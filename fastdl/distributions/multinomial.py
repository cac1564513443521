"""Multinomial."""

import math

from fastdl.distributions import constraints
from fastdl.distributions.binomial import Binomial
from fastdl.distributions.categorical import Categorical
from fastdl.distributions.distribution import Distribution, Size
from fastdl.distributions.utils import broadcast_all
from fastdl.ops.creation import ones, zeros
from fastdl.ops.special import lgamma

__all__ = ["Multinomial"]


class Multinomial(Distribution):
    """How often each of k categories came among `total_count` draws, an int: (..., k).

    Parameters as of `Categorical`. log_prob takes counts of any total.
    """

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}

    def __init__(self, total_count=1, probs=None, logits=None, validate_args=None):
        if not isinstance(total_count, int):
            raise NotImplementedError("inhomogeneous total_count is not supported")
        self.total_count = total_count
        self._categorical = Categorical(probs, logits)
        super().__init__(
            self._categorical.batch_shape,
            self._categorical.param_shape[-1:],
            validate_args=validate_args,
        )

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self):
        """Counts of at most total_count together."""
        return constraints.multinomial(self.total_count)

    @property
    def probs(self):
        """Probabilities."""
        return self._categorical.probs

    @property
    def logits(self):
        """Logarithms of the probabilities."""
        return self._categorical.logits

    @property
    def param_shape(self):
        """Shape of `probs` and `logits`."""
        return self._categorical.param_shape

    @property
    def mean(self):
        """`total_count * probs`."""
        return self.probs * self.total_count

    @property
    def variance(self):
        """`total_count * probs * (1 - probs)`."""
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape=()):
        """Counts, in the dtype of the parameter."""
        drawn = self._categorical.sample(Size((self.total_count,)) + Size(sample_shape))
        drawn = drawn.movedim(0, -1)
        counts = zeros(self._extended_shape(sample_shape), dtype=self.probs.dtype)
        return counts.scatter_add_(-1, drawn, ones(drawn.shape, dtype=counts.dtype))

    def log_prob(self, value):
        """Logarithm of the probability."""
        logits, value = broadcast_all(self.logits, self._checked(value))
        logits = logits.masked_fill((value == 0) & (logits == -math.inf), 0.0)
        choices = lgamma(value.sum(-1) + 1) - lgamma(value + 1).sum(-1)
        return choices + (logits * value).sum(-1)

    def entropy(self):
        """Entropy."""
        n = ones(()) * self.total_count
        count = Binomial(self.total_count, self.probs, validate_args=False)
        support = count.enumerate_support(expand=False)[1:]
        weights = (count.log_prob(support).exp() * lgamma(support + 1)).sum((0, -1))
        return n * self._categorical.entropy() - lgamma(n + 1) + weights
