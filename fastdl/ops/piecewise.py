"""Activations made of straight lines (or parabolas) that meet at corners.

Each has a kernel for its values and one for its gradient, which at a corner is PyTorch's choice.
"""

from __future__ import annotations

import numpy as np

from fastdl import _dtype
from fastdl.ops.activation import leaky_relu
from fastdl.ops.core import elementwise, tensor_argument
from fastdl.ops.elementwise import masked_fill, where

__all__ = [
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "prelu",
    "relu6",
    "rrelu",
    "softshrink",
    "threshold",
]


@elementwise(kernel="clamp", node_name="Hardtanh")
def _hardtanh(x, *, min, max):
    return np.clip(x, x.dtype.type(min), x.dtype.type(max))


@elementwise(kernel="hardtanh_backward")
def hardtanh_backward(g, x, *, min, max):
    """g where x lies between `min` and `max`, else 0."""
    return g * ~((x <= min) | (x >= max))


_hardtanh.vjp(x=lambda g, x, min, max: hardtanh_backward(g, x, min=min, max=max))
hardtanh_backward.vjp(g=lambda h, x, min, max: hardtanh_backward(h, x, min=min, max=max))


def hardtanh(input, min_val=-1.0, max_val=1.0):
    """`input` held between `min_val` and `max_val`; the gradient is 0 at both.

    Raises:
        RuntimeError: bool input, or `min_val` above `max_val`.
    """
    if tensor_argument("hardtanh", "input", input).array.dtype.kind == "b":
        raise RuntimeError("Bool inputs not supported for hardtanh")
    if min_val > max_val:
        raise RuntimeError("min_val cannot be greater than max_val")
    return _hardtanh(input, min=min_val, max=max_val)


def relu6(input):
    """`input` held between 0 and 6. Krizhevsky 2010."""
    return hardtanh(input, 0.0, 6.0)


def _floating(name, x):
    if not _dtype.is_float(tensor_argument(name, "input", x).array.dtype):
        raise NotImplementedError(f"{name}: not implemented for {x.dtype}, expected floating point")


@elementwise(kernel="hardsigmoid", node_name="Hardsigmoid")
def _hardsigmoid(x):
    return np.clip(x + 3, 0, 6) / 6


@elementwise(kernel="hardsigmoid_backward")
def hardsigmoid_backward(g, x):
    """g / 6 where -3 < x < 3, else 0."""
    return g * ((x > -3) & (x < 3)) / 6


_hardsigmoid.vjp(x=lambda g, x: hardsigmoid_backward(g, x))
hardsigmoid_backward.vjp(g=lambda h, x: hardsigmoid_backward(h, x))


def hardsigmoid(input):
    """x / 6 + 1/2 held between 0 and 1. Courbariaux et al. 2015."""
    _floating("hardsigmoid", input)
    return _hardsigmoid(input)


@elementwise(kernel="hardswish", node_name="Hardswish")
def _hardswish(x):
    return x * np.clip(x + 3, 0, 6) / 6


@elementwise(kernel="hardswish_backward")
def hardswish_backward(g, x):
    """g * (x / 3 + 1/2) where -3 < x < 3, 0 below, g above."""
    return np.where(x <= -3, 0, np.where(x < 3, g * (x / 3 + x.dtype.type(0.5)), g))


_hardswish.vjp(x=lambda g, x: hardswish_backward(g, x))
hardswish_backward.vjp(
    g=lambda h, x: hardswish_backward(h, x),
    x=lambda h, g, x: h * g * where((x > -3) & (x < 3), 1 / 3, 0.0),
)


def hardswish(input):
    """x * hardsigmoid(x). Howard et al. 2019."""
    _floating("hardswish", input)
    return _hardswish(input)


@elementwise(kernel="softshrink", node_name="Softshrink")
def _softshrink(x, *, lambd):
    return np.where(x > lambd, x - lambd, np.where(x < -lambd, x + lambd, x * 0))


@elementwise(kernel="hardshrink", node_name="Hardshrink")
def _hardshrink(x, *, lambd):
    return np.where((x >= -lambd) & (x <= lambd), 0, x)


@elementwise(kernel="shrink_backward")
def shrink_backward(g, x, *, lambd):
    """g where |x| > lambd, else 0."""
    return np.where((x >= -lambd) & (x <= lambd), 0, g)


_softshrink.vjp(x=lambda g, x, lambd: shrink_backward(g, x, lambd=lambd))
_hardshrink.vjp(x=lambda g, x, lambd: shrink_backward(g, x, lambd=lambd))
shrink_backward.vjp(g=lambda h, x, lambd: shrink_backward(h, x, lambd=lambd))


def softshrink(input, lambd=0.5):
    """x moved towards 0 by `lambd`, and 0 where |x| <= lambd.

    Raises:
        RuntimeError: `lambd` is negative.
    """
    _floating("softshrink", input)
    if not lambd >= 0:
        raise RuntimeError(f"softshrink: lambd must not be negative, but found {lambd}")
    return _softshrink(input, lambd=lambd)


def hardshrink(input, lambd=0.5):
    """x where |x| > lambd, else 0."""
    _floating("hardshrink", input)
    return _hardshrink(input, lambd=lambd)


@elementwise(kernel="prelu", node_name="PreluKernel")
def _prelu(x, w):
    return np.where(x > 0, x, x * w)


@elementwise(kernel="prelu_backward")
def prelu_backward(g, x, w):
    """g where x > 0, else g * w."""
    return np.where(x > 0, g, g * w)


_prelu.vjp(
    x=lambda g, x, w: prelu_backward(g, x, w),
    w=lambda g, x: g * -(-x).relu(),
)
prelu_backward.vjp(
    g=lambda h, x, w: prelu_backward(h, x, w),
    w=lambda h, g, x: where(x > 0, 0.0, h * g),
)


def prelu(input, weight):
    """x where positive, weight * x elsewhere: a leaky rectifier with learnt slopes. He et al. 2015.

    Args:
        input: (N, C, *), or any shape if there is one slope.
        weight: one slope, () or (1), or a slope for each channel, (C); of the dtype of `input`.

    Raises:
        RuntimeError: another number of slopes, more than one dimension of them, two dtypes.
    """
    tensor_argument("prelu", "input", input)
    tensor_argument("prelu", "weight", weight)
    if input.dtype is not weight.dtype:
        raise RuntimeError(
            f"prelu: Type promoting not supported. Got {input.dtype} and {weight.dtype}"
        )
    if weight.ndim > 1:
        raise RuntimeError(
            f"prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {weight.ndim}"
        )
    if weight.numel() != 1:
        if input.ndim == 0:
            raise RuntimeError("Not allow zero-dim input tensor.")
        channels = input.shape[1] if input.ndim > 1 else 1
        if weight.numel() != channels:
            raise RuntimeError(
                "Mismatch of parameter numbers and input channel size. Found parameter numbers = "
                f"{weight.numel()} and channel size = {channels}."
            )
        weight = weight.reshape((-1,) + (1,) * (input.ndim - 2))
    elif weight.ndim:
        weight = weight.reshape(())
    return _prelu(input, weight)


def rrelu(input, lower=1.0 / 8, upper=1.0 / 3, training=False):
    """A leaky rectifier; in training each negative element has a slope of its own, uniform in
    [lower, upper), otherwise their mean. Xu et al. 2015.

    Raises:
        RuntimeError: `lower` above `upper`.
    """
    if lower > upper:
        raise RuntimeError(
            f"rrelu: lower ({lower}) should be less than or equal to upper ({upper})"
        )
    if not training:
        return leaky_relu(input, (lower + upper) / 2)
    return _prelu(input, input.detach().clone().uniform_(lower, upper))


def threshold(input, threshold, value):
    """x where x > threshold (or NaN), else `value`."""
    return masked_fill(tensor_argument("threshold", "input", input), input <= threshold, value)
