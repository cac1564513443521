"""Categorical."""

import math

import numpy as np

from fastdl.distributions import constraints
from fastdl.distributions.distribution import Distribution, Size
from fastdl.distributions.odds import one_of
from fastdl.distributions.utils import lazy_property, logits_to_probs, probs_to_logits
from fastdl.ops.creation import arange, full
from fastdl.ops.sampling import categories

__all__ = ["Categorical"]


class Categorical(Distribution):
    """A category 0 to k - 1, with probabilities `probs` (..., k), or `logits`, their logarithms.

    Both are normalized along the last dimension. Samples are int64.

    >>> import fastdl
    >>> policy = fastdl.distributions.Categorical(logits=fastdl.zeros(2, 4))
    >>> policy.sample().shape, policy.entropy()
    (fastdl.Size([2]), tensor([1.3863, 1.3863]))
    """

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    has_enumerate_support = True

    def __init__(self, probs=None, logits=None, validate_args=None):
        self._given = one_of(probs, logits)
        given = probs if logits is None else logits
        if given.dim() < 1:
            raise ValueError(f"`{self._given}` parameter must be at least one-dimensional.")
        if logits is None:
            self.probs = probs / probs.sum(-1, keepdim=True)
        else:
            self.logits = logits - logits.logsumexp(-1, keepdim=True)
        self._num_events = given.size()[-1]
        super().__init__(given.size()[:-1], validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self):
        """0 to k - 1."""
        return constraints.integer_interval(0, self._num_events - 1)

    @lazy_property
    def logits(self):
        """Logarithms of the probabilities."""
        return probs_to_logits(self.probs)

    @lazy_property
    def probs(self):
        """Probabilities."""
        return logits_to_probs(self.logits)

    @property
    def _param(self):
        return getattr(self, self._given)

    @property
    def param_shape(self):
        """Shape of `probs` and `logits`."""
        return self._param.size()

    @property
    def mean(self):
        """NaN: categories are no numbers."""
        return full(self._batch_shape, math.nan, dtype=self.probs.dtype)

    @property
    def mode(self):
        """The most probable category."""
        return self.probs.argmax(-1)

    @property
    def variance(self):
        """NaN."""
        return full(self._batch_shape, math.nan, dtype=self.probs.dtype)

    def sample(self, sample_shape=()):
        """Categories, int64."""
        sample_shape = Size(sample_shape)
        rows = self.probs.detach().reshape(-1, self._num_events)
        drawn = categories(rows, sample_shape.numel())
        return drawn.reshape(self._extended_shape(sample_shape))

    def log_prob(self, value):
        """Logarithm of the probability of categories, of any shape that broadcasts."""
        value = self._checked(value).long()
        shape = np.broadcast_shapes(value.shape, self._batch_shape)
        logits = self.logits.expand(*shape, self._num_events)
        return logits.gather(-1, value.expand(shape).unsqueeze(-1)).squeeze(-1)

    def entropy(self):
        """`-sum(p log p)`."""
        least = float(np.finfo(self.logits.array.dtype).min)
        return -(self.logits.clamp(min=least) * self.probs).sum(-1)

    def enumerate_support(self, expand=True):
        """0 to k - 1."""
        return self._enumerated(arange(self._num_events), expand)
