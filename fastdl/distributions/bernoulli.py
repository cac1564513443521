"""Bernoulli."""

import math

from fastdl.distributions import constraints
from fastdl.distributions.odds import Odds
from fastdl.distributions.utils import broadcast_all
from fastdl.ops.creation import arange
from fastdl.ops.elementwise import where
from fastdl.ops.loss import binary_cross_entropy_with_logits
from fastdl.ops.random import bernoulli

__all__ = ["Bernoulli"]


class Bernoulli(Odds):
    """1 with probability `probs`, else 0; one of `probs` and `logits` is given.

    >>> import fastdl
    >>> fastdl.distributions.Bernoulli(0.25).log_prob(fastdl.tensor(1.0)).exp()
    tensor(0.2500)
    """

    support = constraints.boolean
    has_enumerate_support = True

    def __init__(self, probs=None, logits=None, validate_args=None):
        super().__init__(probs, logits, validate_args)

    @property
    def mean(self):
        """`probs`."""
        return self.probs

    @property
    def mode(self):
        """1 or 0; NaN where both are as probable."""
        above = (self.probs >= 0.5).to(self.probs.dtype)
        return where(self.probs == 0.5, math.nan, above)

    @property
    def variance(self):
        """`probs * (1 - probs)`."""
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape=()):
        """Zeros and ones, in the dtype of the parameter."""
        return bernoulli(self.probs.detach().expand(self._extended_shape(sample_shape)))

    def log_prob(self, value):
        """Logarithm of the probability."""
        logits, value = broadcast_all(self.logits, self._checked(value))
        return -binary_cross_entropy_with_logits(logits, value.to(logits.dtype), reduction="none")

    def entropy(self):
        """`-p log p - (1 - p) log(1 - p)`."""
        return binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")

    def enumerate_support(self, expand=True):
        """0 and 1."""
        return self._enumerated(arange(2, dtype=self._param.dtype), expand)
