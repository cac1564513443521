"""Normalisation: batch, layer, group, instance and RMS norm are two primitives.

`normalize_channels` shares a mean among the values of a channel, `normalize_rows` among those of a
row. Both see x as (n, g, c, p) and differ in the dimensions that share a mean: 0 and 3 with g = 1,
or 2 and 3. The gradient of weight and bias is summed over 0 and 3 in both. With

    xhat = (x - mean) * rstd        rstd = 1 / sqrt(var + eps)        P(t) = t - mean(t)
    y = xhat * weight + bias                                               - xhat * mean(t * xhat)

the gradient in x is rstd * P(g * weight). P is its own adjoint, so that the gradient's gradient
stands on one page too, in Tensor operations: `_second_order`.
"""

from __future__ import annotations

import math

import numpy as np

from fastdl import _dtype, backends
from fastdl.ops.core import primitive, tensor_argument
from fastdl.ops.join import pad

__all__ = [
    "batch_norm",
    "group_norm",
    "instance_norm",
    "layer_norm",
    "local_response_norm",
    "rms_norm",
]

CHANNELS, ROWS, AFFINE = (0, 3), (2, 3), (0, 3)


def _second_order(h, g, x, weight, shape, axes, eps, centred):
    """(h_dx, h_dweight, h_dbias), gradients of a function of (dx, dweight, dbias), any of them
    None -> its gradients in g, x and weight."""
    h_dx, h_dweight, h_dbias = h
    mean = lambda t: t.mean(axes, keepdim=True)
    per_channel = lambda t: t.reshape(1, shape[1], shape[2], 1)
    flat, g = x.reshape(shape), g.reshape(shape)
    d = flat - mean(flat) if centred else flat
    rstd = (mean(d * d) + eps) ** -0.5
    xhat = d * rstd

    def projected(t):
        t = t - mean(t) if centred else t
        return t - xhat * mean(t * xhat)

    to_g = to_xhat = to_x = to_weight = None
    if h_dx is not None:  # dx = rstd * P(u)
        v, u = h_dx.reshape(shape), g if weight is None else g * per_channel(weight)
        to_u = projected(v) * rstd
        to_g = to_u if weight is None else to_u * per_channel(weight)
        if weight is not None:
            to_weight = (to_u * g).sum(AFFINE).reshape(weight.shape)
        to_xhat = -(v * mean(u * xhat) + u * mean(v * xhat)) * rstd
        to_x = -xhat * rstd**2 * mean(v * projected(u))
    if h_dweight is not None:  # dweight = sum of g * xhat
        v = per_channel(h_dweight)
        to_g = v * xhat if to_g is None else to_g + v * xhat
        to_xhat = v * g if to_xhat is None else to_xhat + v * g
    if h_dbias is not None:  # dbias = sum of g
        v = per_channel(h_dbias).expand(shape)
        to_g = v if to_g is None else to_g + v
    if to_xhat is not None:
        through = projected(to_xhat) * rstd
        to_x = (through if to_x is None else to_x + through).reshape(x.shape)
    return to_g.reshape(x.shape), to_x, to_weight


@primitive(node_name="BatchNorm")
def normalize_channels(x, weight, bias, *, eps, stats):
    """x (N, C, ...), weight and bias (C,) or None -> y. `stats` (2, C) is written here, means and
    biased variances, and read by the gradient: y need not be kept and may be overwritten."""
    return backends.of(x).batch_norm(x, weight, bias, eps, stats)


@primitive
def normalize_channels_backward(g, x, weight, *, eps, stats):
    """The gradients in x, weight and bias."""
    return backends.of(x).batch_norm_backward(g, x, weight, eps, stats)


@normalize_channels.vjp_joint
def _(g, x, weight, eps, stats):
    return normalize_channels_backward(g, x, weight, eps=eps, stats=stats)


@normalize_channels_backward.vjp_joint
def _(h, g, x, weight, eps):
    shape = (x.shape[0], 1, x.shape[1], math.prod(x.shape[2:]))
    return _second_order(h, g, x, weight, shape, CHANNELS, eps, True)


@primitive(node_name="RowNorm", kernel="row_norm")
def normalize_rows(x, weight, bias, *, shape, eps, centred, stats):
    """x, seen as shape (n, g, c, p), normalised over c and p; weight and bias of g c values or
    None. Without `centred` no mean is subtracted. `stats` (2, n g) as in normalize_channels."""
    return backends.of(x).row_norm(x, weight, bias, shape, eps, centred, stats)


@primitive
def normalize_rows_backward(g, x, weight, *, shape, eps, centred, stats):
    """The gradients in x, weight and bias, the last two as vectors."""
    return backends.of(x).row_norm_backward(g, x, weight, shape, eps, centred, stats)


@normalize_rows.vjp_joint
def _(g, x, weight, bias_shape, needs, shape, eps, centred, stats):
    dx, dweight, dbias = normalize_rows_backward(
        g, x, weight, shape=shape, eps=eps, centred=centred, stats=stats
    )
    dweight = dweight.reshape(weight.shape) if needs[1] else None
    return dx, dweight, dbias.reshape(bias_shape) if needs[2] else None


@normalize_rows_backward.vjp_joint
def _(h, g, x, weight, shape, eps, centred):
    return _second_order(h, g, x, weight, shape, ROWS, eps, centred)


@primitive(node_name="BatchNorm")
def normalize_by(x, mean, var, weight, bias, *, eps):
    """x (N, C, ...) -> (x - mean) / sqrt(var + eps) * weight + bias for vectors (C,); weight and
    bias may be None."""
    return backends.of(x).batch_norm_fixed(x, mean, var, weight, bias, eps)


def _over_channels(t):
    """The sum of t (N, C, ...) for each channel."""
    return t.sum((0, *range(2, t.ndim)))


@normalize_by.vjp_joint
def _(g, x, mean, var, weight, eps, needs):
    _, by_mean, by_var, by_weight, by_bias = needs
    dx = normalize_by(g, mean.new_zeros(mean.shape), var, weight, None, eps=eps)
    dmean = -_over_channels(dx) if by_mean else None
    dbias = _over_channels(g) if by_bias else None
    dvar = dweight = None
    if by_var or by_weight:
        dweight = _over_channels(g * normalize_by(x, mean, var, None, None, eps=eps))
    if by_var:
        dvar = (dweight if weight is None else dweight * weight) * (-0.5 / (var + eps))
    return dx, dmean, dvar, dweight if by_weight else None, dbias


def _check(function, input, **vectors):
    """Raises unless `input` is a floating Tensor (N, C, ...) and each vector is (C,) or None;
    returns C."""
    tensor_argument(function, "input", input)
    x = input.array
    if x.ndim < 2:
        raise RuntimeError(f"{function}: expected at least 2 dimensions, got {list(x.shape)}")
    _check_floating(function, x)
    channels = x.shape[1]
    for name, value in vectors.items():
        if value is not None and value.array.shape != (channels,):
            raise RuntimeError(
                f"{function}: {name} should contain {channels} elements not {value.numel()}"
            )
    return channels


def _check_floating(function, x):
    if not _dtype.is_float(x.dtype):
        raise RuntimeError(f"{function}: input must be of a floating dtype, but got {x.dtype}")


def _statistics(x, length):
    """Room for means and variances; of float16 and bfloat16 they are kept in float32."""
    dtype = x.dtype if x.dtype.char in "fd" else np.float32
    if type(x) is np.ndarray:  # a third of the time
        return np.empty((2, length), dtype)
    return np.empty_like(x, dtype, "C", shape=(2, length))


def _move(running, batch, momentum):
    """running += momentum * (batch - running) in place, unless it is None."""
    if running is not None:
        running.array[...] += momentum * (batch - running.array)
        running._bump()


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
    """Normalises each channel of (N, C, ...) (Ioffe & Szegedy 2015).

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
    channels = _check(
        "batch_norm",
        input,
        running_mean=running_mean,
        running_var=running_var,
        weight=weight,
        bias=bias,
    )
    if not training:
        if running_mean is None or running_var is None:
            raise RuntimeError(
                "batch_norm: running_mean and running_var must be defined in evaluation mode"
            )
        return normalize_by(input, running_mean, running_var, weight, bias, eps=eps)

    count = input.numel() // max(channels, 1)
    if count <= 1:
        raise ValueError(
            f"Expected more than 1 value per channel when training, got input size {input.shape}"
        )
    stats = _statistics(input.array, channels)
    y = normalize_channels(input, weight, bias, eps=eps, stats=stats)
    _move(running_mean, stats[0], momentum)
    _move(running_var, stats[1] * (count / (count - 1)), momentum)
    return y


def instance_norm(
    input,
    running_mean=None,
    running_var=None,
    weight=None,
    bias=None,
    use_input_stats=True,
    momentum=0.1,
    eps=1e-5,
):
    """Normalises each channel of each sample of (N, C, ...) (Ulyanov et al. 2016).

    Args:
        input: (N, C, ...), floating.
        running_mean, running_var: (C,) or None. They move towards the mean over the samples of
            their means and unbiased variances by `momentum`; without `use_input_stats` they are
            what is normalised by.
        weight, bias, momentum, eps: as in :func:`batch_norm`.
        use_input_stats: whether to normalise by each sample's own statistics.

    Raises:
        RuntimeError: the sizes do not fit, or there are no statistics to normalise by.
        ValueError: there is one value per channel and sample only.
    """
    channels = _check(
        "instance_norm",
        input,
        running_mean=running_mean,
        running_var=running_var,
        weight=weight,
        bias=bias,
    )
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise RuntimeError(
                "instance_norm: expected running_mean and running_var to be defined when "
                "use_input_stats=False"
            )
        return normalize_by(input, running_mean, running_var, weight, bias, eps=eps)

    samples, pixels = input.shape[0], math.prod(input.shape[2:])
    if pixels <= 1:
        raise ValueError(
            f"Expected more than 1 spatial element when training, got input size {input.shape}"
        )
    stats = _statistics(input.array, samples * channels)
    shape = (samples, channels, 1, pixels)
    y = normalize_rows(input, weight, bias, shape=shape, eps=eps, centred=True, stats=stats)
    if running_mean is not None or running_var is not None:
        mean, var = stats.reshape(2, samples, channels).mean(1)
        _move(running_mean, mean, momentum)
        _move(running_var, var * (pixels / (pixels - 1)), momentum)
    return y


def group_norm(input, num_groups, weight=None, bias=None, eps=1e-5):
    """Normalises each of `num_groups` groups of channels of each sample (Wu & He 2018).

    Args:
        input: (N, C, ...), floating; `num_groups` divides C.
        weight, bias: (C,) or None: the result is scaled and shifted by them.
        eps: added to the (biased) variance.

    Raises:
        RuntimeError: the sizes do not fit.
    """
    channels = _check("group_norm", input, weight=weight, bias=bias)
    if num_groups <= 0:
        raise RuntimeError(f"Expected num groups to be greater than 0, got {num_groups}")
    if channels % num_groups:
        raise RuntimeError(
            "Expected number of channels in input to be divisible by num_groups, but got input of "
            f"shape {list(input.shape)} and num_groups={num_groups}"
        )
    x = input.array
    stats = _statistics(x, x.shape[0] * num_groups)
    shape = (x.shape[0], num_groups, channels // num_groups, math.prod(x.shape[2:]))
    return normalize_rows(input, weight, bias, shape=shape, eps=eps, centred=True, stats=stats)


def _normalize_trailing(function, input, normalized_shape, weight, bias, eps, centred):
    """layer_norm and rms_norm."""
    x = tensor_argument(function, "input", input).array
    inner = tuple(normalized_shape)
    if not inner or x.shape[-len(inner) :] != inner:
        expected = ", ".join(map(str, inner))
        raise RuntimeError(
            f"Given normalized_shape={list(inner)}, expected input with shape [*, {expected}], "
            f"but got input of size{list(input.shape)}"
        )
    _check_floating(function, x)
    for name, value in (("weight", weight), ("bias", bias)):
        if value is not None and value.array.shape != inner:
            raise RuntimeError(
                f"{function}: Expected {name} to be of same shape as normalized_shape, but got "
                f"{name} of shape {list(value.shape)} and normalized_shape={list(inner)}"
            )
    size = math.prod(inner)
    rows = x.size // size if size else math.prod(x.shape[: -len(inner)])
    stats = _statistics(x, rows)
    shape = (rows, 1, size, 1)
    return normalize_rows(input, weight, bias, shape=shape, eps=eps, centred=centred, stats=stats)


def layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-5):
    """Normalises over the trailing dimensions `normalized_shape` (Ba et al. 2016).

    Args:
        input: (*, *normalized_shape), floating.
        normalized_shape: a sequence of ints.
        weight, bias: of shape `normalized_shape`, or None.
        eps: added to the (biased) variance.

    Raises:
        RuntimeError: the sizes do not fit.
    """
    return _normalize_trailing("layer_norm", input, normalized_shape, weight, bias, eps, True)


def rms_norm(input, normalized_shape, weight=None, eps=None):
    """input / sqrt(mean(input^2) + eps) * weight over the trailing dimensions `normalized_shape`
    (Zhang & Sennrich 2019).

    Args:
        input: (*, *normalized_shape), floating.
        normalized_shape: a sequence of ints.
        weight: of shape `normalized_shape`, or None.
        eps: added to the mean square; None is the dtype's smallest step at 1.

    Raises:
        RuntimeError: the sizes do not fit.
    """
    if eps is None:
        tensor_argument("rms_norm", "input", input)
        _check_floating("rms_norm", input.array)
        eps = _dtype.finfo(input.dtype).eps
    return _normalize_trailing("rms_norm", input, normalized_shape, weight, None, eps, False)


def local_response_norm(input, size, alpha=1e-4, beta=0.75, k=1.0):
    """input / (k + alpha * mean of input^2 over `size` neighbouring channels) ** beta
    (Krizhevsky et al. 2012).

    Args:
        input: (N, C, ...), floating.
        size: channels in a neighbourhood, (size - 1) // 2 of them above its own; those that do not
            exist count as 0.

    Raises:
        ValueError: fewer than 3 dimensions.
    """
    x = tensor_argument("local_response_norm", "input", input)
    if x.ndim < 3:
        raise ValueError(f"Expected 3D or higher dimensionality input (got {x.ndim} dimensions)")
    squares = pad(x * x, (0, 0) * (x.ndim - 2) + (size // 2, (size - 1) // 2))
    total = squares.narrow(1, 0, x.shape[1])
    for i in range(1, size):
        total = total + squares.narrow(1, i, x.shape[1])
    return x / (total * (alpha / size) + k) ** beta
