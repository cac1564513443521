"""Normalisation: batch norm and layer norm are one primitive over different axes.

With m the number of elements that share a mean, xhat = (x - mean) * rstd and rstd =
1 / sqrt(var + eps), the gradient of xhat is rstd * (g - mean(g) - xhat * mean(g * xhat)), which
is self-adjoint in g: a few lines give derivatives of any order.
"""

from __future__ import annotations

import math

import numpy as np

from fastdl import backends
from fastdl.ops.core import elementwise, primitive, tensor_argument

__all__ = ["batch_norm", "layer_norm"]


def _mean_product(x, y, axes):
    """The mean of x * y over `axes`, which keep length 1: dot products, no array of x * y.

    `axes` are the last ones (layer norm), or all but the second (batch norm).
    """
    shape = x.shape
    kept = tuple([1 if i in axes else n for i, n in enumerate(shape)])
    count = math.prod([shape[i] for i in axes])
    if axes[0] == x.ndim - len(axes):
        rows = (*shape[: axes[0]], count)
        total = np.vecdot(x.reshape(rows), y.reshape(rows))
    elif x.ndim > 2:
        planes = (*shape[:2], math.prod(shape[2:]))
        total = np.vecdot(x.reshape(planes), y.reshape(planes)).sum(0)
    else:
        total = (x * y).sum(0)
    return total.reshape(kept) / x.dtype.type(count)


def _mean(x, axes):
    """The mean of x over `axes`, which keep length 1."""
    if axes[0] == x.ndim - len(axes) or x.ndim == 2:
        return x.mean(axes, keepdims=True)
    kept = tuple([1 if i in axes else n for i, n in enumerate(x.shape)])
    count = math.prod([x.shape[i] for i in axes])
    return backends.of(x).channel_sum(x).reshape(kept) / x.dtype.type(count)


@primitive(node_name="Normalize")
def normalize(x, *, axes, eps):
    """x of any shape -> xhat of its shape, and the mean and the biased variance over `axes`, which
    keep length 1."""
    mean = _mean(x, axes)
    xhat = x - mean
    variance = _mean_product(xhat, xhat, axes)
    xhat *= 1 / np.sqrt(variance + x.dtype.type(eps))
    return xhat, mean, variance


@primitive
def normalize_backward(g, xhat, rstd, *, axes):
    """rstd * (g - mean(g) - xhat * mean(g * xhat)), means over `axes`."""
    gx = xhat * -_mean_product(g, xhat, axes)
    gx += g
    gx -= _mean(g, axes)
    gx *= rstd
    return gx


@normalize.vjp_joint
def _(g, out, axes, eps):
    g_xhat, g_mean, g_var = g
    xhat, _, var = out
    rstd = (var + eps) ** -0.5
    terms = []
    if g_xhat is not None:
        terms.append(normalize_backward(g_xhat, xhat, rstd, axes=axes))
    m = xhat.numel() // max(var.numel(), 1)
    if g_mean is not None:
        terms.append((g_mean / m).expand(xhat.shape))
    if g_var is not None:
        terms.append(xhat / rstd * (g_var * (2 / m)))
    return (sum(terms[1:], terms[0]),)


normalize_backward.vjp(
    g=lambda h, xhat, rstd, axes: normalize_backward(h, xhat, rstd, axes=axes),
    xhat=lambda h, g, xhat, rstd, axes: (
        -(h * (g * xhat).mean(axes, keepdim=True) + g * (h * xhat).mean(axes, keepdim=True)) * rstd
    ),
    rstd=lambda h, g, xhat, axes: (
        h * (g - g.mean(axes, keepdim=True) - xhat * (g * xhat).mean(axes, keepdim=True))
    ).sum(axes, keepdim=True),
)


@elementwise
def affine(x, scale, shift):
    """x * scale + shift."""
    y = x * scale
    y += shift
    return y


affine.vjp(x=lambda g, scale: g * scale, scale=lambda g, x: g * x, shift=lambda g: g)


def _scaled(x, weight, bias, shape):
    """x * weight + bias, either None, both first reshaped to `shape`."""
    if weight is not None and bias is not None:
        return affine(x, weight.reshape(shape), bias.reshape(shape))
    if weight is not None:
        return x * weight.reshape(shape)
    return x if bias is None else x + bias.reshape(shape)


def batch_norm(
    input,
    running_mean,
    running_var,
    weight=None,
    bias=None,
    training=False,
    momentum=0.1,
    eps=1e-5,
):
    """Normalises each channel of (N, C, ...).

    Args:
        input: (N, C, ...), floating.
        running_mean, running_var: (C,) or None. In training they move towards the batch's mean and
            unbiased variance by `momentum`; otherwise they are what is normalised by.
        weight, bias: (C,) or None: the result is scaled and shifted by them.
        training: whether to normalise by the batch's own statistics.
        momentum: weight of the batch in the running statistics.
        eps: added to the variance.

    Raises:
        RuntimeError: the sizes do not fit, or there are no statistics to normalise by.
        ValueError: there is one value per channel only, in training.
    """
    if tensor_argument("batch_norm", "input", input).ndim < 2:
        raise RuntimeError(f"batch_norm: expected at least 2 dimensions, got {list(input.shape)}")
    if input.array.dtype.kind != "f":
        raise RuntimeError(
            f"batch_norm: input must be of a floating dtype, but got {input.array.dtype}"
        )
    channels = input.array.shape[1]
    for name, value in (
        ("running_mean", running_mean),
        ("running_var", running_var),
        ("weight", weight),
        ("bias", bias),
    ):
        if value is not None and value.array.shape != (channels,):
            raise RuntimeError(
                f"batch_norm: {name} should contain {channels} elements not {value.numel()}"
            )
    shape = (1, channels) + (1,) * (input.ndim - 2)
    if not training:
        if running_mean is None or running_var is None:
            raise RuntimeError(
                "batch_norm: running_mean and running_var must be defined in evaluation mode"
            )
        scale = (running_var + eps) ** -0.5
        if weight is not None:
            scale = scale * weight
        shift = -running_mean * scale
        if bias is not None:
            shift = shift + bias
        return affine(input, scale.reshape(shape), shift.reshape(shape))

    count = input.numel() // max(channels, 1)
    if count <= 1:
        raise ValueError(
            f"Expected more than 1 value per channel when training, got input size {input.shape}"
        )
    axes = (0, *range(2, input.ndim))
    xhat, mean, var = normalize(input, axes=axes, eps=eps)
    for running, batch in (
        (running_mean, mean.array.ravel()),
        (running_var, var.array.ravel() * (count / (count - 1))),
    ):
        if running is not None:
            running.array[...] += momentum * (batch - running.array)
            running._bump()
    return _scaled(xhat, weight, bias, shape)


def layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-5):
    """Normalises over the trailing dimensions `normalized_shape`.

    Args:
        input: (*, *normalized_shape), floating.
        normalized_shape: a sequence of ints.
        weight, bias: of shape `normalized_shape`, or None.
        eps: added to the (biased) variance.

    Raises:
        RuntimeError: the sizes do not fit.
    """
    tensor_argument("layer_norm", "input", input)
    shape = tuple(normalized_shape)
    if not shape or input.array.shape[-len(shape) :] != shape:
        expected = ", ".join(map(str, shape))
        raise RuntimeError(
            f"Given normalized_shape={list(shape)}, expected input with shape [*, {expected}], "
            f"but got input of size{list(input.shape)}"
        )
    if input.array.dtype.kind != "f":
        raise RuntimeError(
            f"layer_norm: input must be of a floating dtype, but got {input.array.dtype}"
        )
    for name, value in (("weight", weight), ("bias", bias)):
        if value is not None and value.array.shape != shape:
            raise RuntimeError(
                f"layer_norm: Expected {name} to be of same shape as normalized_shape, but got "
                f"{name} of shape {list(value.shape)} and normalized_shape={list(shape)}"
            )
    axes = tuple(range(input.ndim - len(shape), input.ndim))
    if math.prod(shape) == 0:
        return _scaled(input, weight, bias, shape)
    xhat, _, _ = normalize(input, axes=axes, eps=eps)
    return _scaled(xhat, weight, bias, shape)
