"""Dropout: of elements, of whole channels, and the kind that keeps mean and variance."""

import math
import warnings

import numpy as np

from fastdl import _dtype, backends
from fastdl._engine import tensor_of
from fastdl.ops.core import primitive, tensor_argument
from fastdl.ops.random import bernoulli_array, next_draw

__all__ = [
    "alpha_dropout",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "feature_alpha_dropout",
]


@primitive(node_name="NativeDropout", into=lambda out, x, **how: np.copyto(out, _dropped(x, **how)))
def drop(x, *, seed, draw, p):
    """x with elements dropped; which ones follows from (seed, draw), so that no mask is kept."""
    return _dropped(x, seed, draw, p)


def _dropped(x, seed, draw, p):
    return backends.of(x).dropout(x, seed, draw, p)


drop.vjp(x=lambda g, seed, draw, p: drop(g, seed=seed, draw=draw, p=p))


def _checked(function, input, p, training):
    """Is there anything to drop? ValueError unless 0 <= p <= 1, RuntimeError for integers."""
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    tensor_argument(function, "input", input)
    if not training or p == 0.0:
        return False
    if not _dtype.is_float(input.array.dtype):
        raise RuntimeError(
            f"{function}: input must be of a floating dtype, but got {input.array.dtype}"
        )
    return True


def dropout(input, p=0.5, training=True, inplace=False):
    """In training zeroes elements with probability `p` and scales the rest by 1 / (1 - p).

    Raises:
        ValueError: `p` lies outside [0, 1].
        RuntimeError: `input` holds no floating point numbers.
    """
    if not _checked("dropout", input, p, training):
        return input
    seed, draw = next_draw()
    return (drop.inplace if inplace else drop)(input, seed=seed, draw=draw, p=float(p))


def _of_channels(x, p):
    """Ones and zeros, (N, C, 1, ...): 0 with probability `p`; float32 or wider."""
    return bernoulli_array((*x.shape[:2], *(1,) * (x.ndim - 2)), x.dtype, p=1.0 - p)


def _feature_dropout(function, input, p, training, inplace):
    if not _checked(function, input, p, training):
        return input
    noise = _of_channels(input.array, p)
    if p < 1.0:
        noise /= 1.0 - p
    return input.mul_(tensor_of(noise)) if inplace else input * tensor_of(noise)


def _channels(function, dims, input, p, training, inplace):
    """Channel dropout of (N, C, ...) with `dims` more, or of (C, ...), a batch of one."""
    if _checked(function, input, p, training) and input.ndim == dims + 1:
        dropped = _feature_dropout(function, input.unsqueeze(0), p, training, inplace)
        return input if inplace else dropped.squeeze(0)
    return _feature_dropout(function, input, p, training, inplace)


def _warn_of_dimensions(function, input, expected):
    if input.ndim not in expected:
        warnings.warn(
            f"{function}: Received a {input.ndim}-D input to {function}, expected "
            f"{expected[0]}-D or {expected[1]}-D: it is taken as (N, C, ...)",
            stacklevel=3,
        )


def dropout1d(input, p=0.5, training=True, inplace=False):
    """`dropout` of whole channels of (N, C, L) or (C, L). Tompson et al. 2015.

    Raises:
        RuntimeError: `input` has other than 2 or 3 dimensions.
    """
    if tensor_argument("dropout1d", "input", input).ndim not in (2, 3):
        raise RuntimeError(
            f"dropout1d: Expected 2D or 3D input, but received a {input.ndim}D input."
        )
    return _channels("dropout1d", 1, input, p, training, inplace)


def dropout2d(input, p=0.5, training=True, inplace=False):
    """`dropout` of whole channels of (N, C, H, W). Tompson et al. 2015.

    Three dimensions are (N, C, L), as in PyTorch; any other number of them warns.
    """
    _warn_of_dimensions("dropout2d", tensor_argument("dropout2d", "input", input), (3, 4))
    return _feature_dropout("dropout2d", input, p, training, inplace)


def dropout3d(input, p=0.5, training=True, inplace=False):
    """`dropout` of whole channels of (N, C, D, H, W) or (C, D, H, W); other shapes warn."""
    _warn_of_dimensions("dropout3d", tensor_argument("dropout3d", "input", input), (4, 5))
    return _channels("dropout3d", 3, input, p, training, inplace)


ALPHA = 1.7580993408473766  # scale * alpha of SELU: its limit at minus infinity, negated


def _alpha_dropout(input, kept, p, inplace):
    """Where kept is 0, -ALPHA; then the affine map that restores mean 0 and variance 1."""
    scale = 1.0 / math.sqrt((ALPHA * ALPHA * p + 1.0) * (1.0 - p)) if p < 1.0 else 0.0
    factor, shift = kept * scale, (kept - 1.0 + p) * (ALPHA * scale)
    if inplace:
        return input.mul_(tensor_of(factor)).add_(tensor_of(shift))
    return input * tensor_of(factor) + tensor_of(shift)


def alpha_dropout(input, p=0.5, training=False, inplace=False):
    """Dropout that sets elements to SELU's lower limit and keeps mean 0 and variance 1.

    Klambauer et al. 2017. `training` defaults to False, as in PyTorch.
    """
    if not _checked("alpha_dropout", input, p, training):
        return input
    x = input.array
    return _alpha_dropout(input, bernoulli_array(x.shape, x.dtype, p=1.0 - p), p, inplace)


def feature_alpha_dropout(input, p=0.5, training=False, inplace=False):
    """`alpha_dropout` of whole channels of (N, C, ...)."""
    if not _checked("feature_alpha_dropout", input, p, training):
        return input
    if input.ndim < 2:
        raise RuntimeError("Feature dropout requires at least 2 dimensions in the input")
    return _alpha_dropout(input, _of_channels(input.array, p), p, inplace)
