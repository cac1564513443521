"""What the distributions share: parameters broadcast against each other, probabilities and
logits.
"""

import numpy as np

from fastdl import _dtype
from fastdl._engine import set_recording, tensor_of
from fastdl.ops import random
from fastdl.ops.core import is_tensor
from fastdl.ops.shape import broadcast_tensors

__all__ = ["broadcast_all", "clamp_probs", "lazy_property", "logits_to_probs", "probs_to_logits"]


def broadcast_all(*values):
    """The values as tensors of one shape. Numbers take the dtype of the first tensor, or the
    default one.
    """
    for v in values:
        if not is_tensor(v) and not isinstance(v, (int, float)):
            raise ValueError("Input arguments must all be instances of Number or Tensor.")
    dtype = next((v.array.dtype for v in values if is_tensor(v)), None)
    if dtype is None or dtype.kind not in "fc":
        dtype = _dtype.get_default_dtype().dtype
    made = [v if is_tensor(v) else tensor_of(np.asarray(v, dtype)) for v in values]
    return list(broadcast_tensors(*made))


def logits_to_probs(logits, is_binary=False):
    """Probabilities from log odds (`is_binary`), or from logarithms along the last dimension."""
    return logits.sigmoid() if is_binary else logits.softmax(-1)


def clamp_probs(probs):
    """Probabilities held away from 0 and 1 by the dtype's eps."""
    eps = float(np.finfo(probs.array.dtype).eps)
    return probs.clamp(eps, 1 - eps)


def probs_to_logits(probs, is_binary=False):
    """Log odds (`is_binary`) or logarithms of probabilities, finite for 0 and 1 too."""
    held = clamp_probs(probs)
    if is_binary:
        return held.log() - (-held).log1p()
    return held.log()


class lazy_property:
    """Decorator: a property computed when it is first asked for, and kept."""

    def __init__(self, wrapped):
        self.wrapped = wrapped
        self.__doc__ = wrapped.__doc__

    def __set_name__(self, owner, name):
        self.name = name

    def __get__(self, instance, owner=None):
        if instance is None:
            return self
        before = set_recording(True)  # it may be needed by a gradient later
        try:
            value = self.wrapped(instance)
        finally:
            set_recording(before)
        instance.__dict__[self.name] = value
        return value


# ---- draws ------------------------------------------------------------------------------------


def standard_normal(shape, like):
    """Standard normal numbers of the dtype of `like`."""
    return tensor_of(random.normal_array(tuple(shape), like.array.dtype))


def uniform(shape, like):
    """Uniform numbers in [0, 1) of the dtype of `like`."""
    return tensor_of(random.uniform_array(tuple(shape), like.array.dtype))


def open_uniform(shape, like):
    """Uniform numbers held away from 0 and 1, whose logarithms are finite."""
    return clamp_probs(uniform(shape, like))


def standard_exponential(shape, like):
    """Exponential numbers of rate 1, greater than 0."""
    return tensor_of(random.exponential_array(tuple(shape), like.array.dtype))


def sum_rightmost(value, dim):
    """`value` summed over its last `dim` dimensions; a number stays as it is."""
    if dim == 0 or not is_tensor(value):
        return value
    return value.sum(tuple(range(-dim, 0)))
