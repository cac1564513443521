"""Geometric."""

import numpy as np

from fastdl.distributions import constraints
from fastdl.distributions.odds import Odds
from fastdl.distributions.utils import broadcast_all, uniform
from fastdl.ops.loss import binary_cross_entropy_with_logits

__all__ = ["Geometric"]


class Geometric(Odds):
    """Number of failures before the first success of probability `probs` (or `logits`)."""

    support = constraints.nonnegative_integer

    def __init__(self, probs=None, logits=None, validate_args=None):
        super().__init__(probs, logits, validate_args)
        if self._validate_args and probs is not None and not (self.probs > 0).all():
            raise ValueError(
                f"Expected parameter probs (Tensor of shape {tuple(self.probs.shape)}) of "
                f"distribution {self!r} to be positive but found invalid values:\n{self.probs}"
            )

    @property
    def mean(self):
        """`1 / probs - 1`."""
        return 1.0 / self.probs - 1.0

    @property
    def mode(self):
        """0."""
        return self.probs * 0

    @property
    def variance(self):
        """`(1 / probs - 1) / probs`."""
        return (1.0 / self.probs - 1.0) / self.probs

    def sample(self, sample_shape=()):
        """Counts, in the dtype of the parameter."""
        probs = self.probs.detach()
        tiny = float(np.finfo(probs.array.dtype).tiny)
        u = uniform(self._extended_shape(sample_shape), probs).clamp(min=tiny)
        return (u.log() / (-probs).log1p()).floor()

    def log_prob(self, value):
        """Logarithm of the probability."""
        value, probs = broadcast_all(self._checked(value), self.probs)
        failure = (-probs).log1p().masked_fill((probs == 1) & (value == 0), 0.0)
        return value * failure + self.probs.log()

    def entropy(self):
        """That of a trial, over `probs`."""
        trial = binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")
        return trial / self.probs
