"""What the distributions share whose parameter is a probability, given as such or as log odds."""

from fastdl.distributions import constraints
from fastdl.distributions.distribution import Distribution
from fastdl.distributions.utils import (
    broadcast_all,
    lazy_property,
    logits_to_probs,
    probs_to_logits,
)

__all__ = ["Odds"]


def one_of(probs, logits):
    """The name of the parameter that is given: 'probs' or 'logits'; ValueError for both."""
    if (probs is None) == (logits is None):
        raise ValueError("Either `probs` or `logits` must be specified, but not both.")
    return "logits" if probs is None else "probs"


class Odds(Distribution):
    """A distribution with `probs`, or `logits = log(probs / (1 - probs))`."""

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}

    def __init__(self, probs, logits, validate_args=None, **others):
        self._given = one_of(probs, logits)
        given = probs if logits is None else logits
        *values, value = broadcast_all(*others.values(), given)
        self.__dict__.update(zip(others, values))
        setattr(self, self._given, value)
        super().__init__(value.size(), validate_args=validate_args)

    @property
    def _param(self):
        return getattr(self, self._given)

    @property
    def param_shape(self):
        """Shape of `probs` and `logits`."""
        return self._param.size()

    @lazy_property
    def logits(self):
        """Log odds."""
        return probs_to_logits(self.probs, is_binary=True)

    @lazy_property
    def probs(self):
        """Probabilities."""
        return logits_to_probs(self.logits, is_binary=True)
