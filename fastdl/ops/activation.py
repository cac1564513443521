"""Activations: rectifiers and other elementwise functions, softmax and log-softmax."""

from __future__ import annotations

import math
import warnings

import numpy as np

from fastdl import _dtype, backends
from fastdl._engine import shortcut, tensor_of
from fastdl.ops.core import elementwise, normal_dim, primitive, tensor_argument
from fastdl.ops.creation import zeros_like
from fastdl.ops.elementwise import erf, exp, expm1, sigmoid, tanh, where

__all__ = [
    "celu",
    "elu",
    "gelu",
    "glu",
    "gumbel_softmax",
    "leaky_relu",
    "log_softmax",
    "logsigmoid",
    "mish",
    "relu",
    "selu",
    "silu",
    "softmax",
    "softmin",
    "softplus",
    "softsign",
    "tanhshrink",
]


# ------------------------------------------------------------------------------------ rectifiers


@elementwise(kernel="relu")
def relu(x):
    """max(0, x), element by element; NaN stays NaN."""
    return np.maximum(x, 0)


@elementwise(kernel="relu_backward", spends=True)
def relu_backward(g, y):
    """g where y > 0, else 0."""
    return g * (y > 0)


relu.vjp(x=lambda g, out: relu_backward(g, out))
relu_backward.vjp(g=lambda g, y: relu_backward(g, y))


@elementwise(kernel="leaky_relu", node_name="LeakyRelu")
def _leaky_relu(x, *, slope):
    return np.where(x > 0, x, x * x.dtype.type(slope))


@elementwise(kernel="leaky_relu_backward", spends=True)
def leaky_relu_backward(g, x, *, slope):
    """g where x > 0, else slope * g."""
    return np.where(x > 0, g, g * g.dtype.type(slope))


_leaky_relu.vjp(x=lambda g, x, slope: leaky_relu_backward(g, x, slope=slope))
leaky_relu_backward.vjp(g=lambda g, x, slope: leaky_relu_backward(g, x, slope=slope))


def leaky_relu(x, negative_slope=0.01):
    """x where positive, negative_slope * x elsewhere."""
    return _leaky_relu(x, slope=negative_slope)


# ------------------------------------------------------------------------ smooth elementwise ones
# A gradient is one kernel, `..._backward(g, x)`; its own gradients are written out in tensor
# operations, since nobody differentiates twice at speed.


@elementwise(kernel="elu", node_name="Elu")
def _elu(x, *, alpha, scale):
    a, s = x.dtype.type(alpha), x.dtype.type(scale)
    return s * np.where(x > 0, x, a * np.expm1(np.minimum(x, 0)))


@elementwise(kernel="elu_backward", spends=True)
def elu_backward(g, x, *, alpha, scale):
    """g * scale where x > 0, else g * scale * alpha * e**x."""
    a, s = x.dtype.type(alpha), x.dtype.type(scale)
    return s * np.where(x > 0, g, g * a * np.exp(np.minimum(x, 0)))


_elu.vjp(x=lambda g, x, alpha, scale: elu_backward(g, x, alpha=alpha, scale=scale))
elu_backward.vjp(
    g=lambda h, x, alpha, scale: elu_backward(h, x, alpha=alpha, scale=scale),
    x=lambda h, g, x, alpha, scale: h * g * where(x > 0, 0.0, exp(-relu(-x)) * (alpha * scale)),
)


def elu(x, alpha=1.0):
    """x where positive, alpha * (exp(x) - 1) elsewhere. Clevert et al. 2015."""
    return _elu(x, alpha=alpha, scale=1.0)


# Klambauer et al. 2017: with these, activations of mean 0 and variance 1 stay so.
SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def selu(x):
    """scale * elu(x, alpha) with alpha 1.6733, scale 1.0507. Klambauer et al. 2017."""
    return _elu(x, alpha=SELU_ALPHA, scale=SELU_SCALE)


def celu(x, alpha=1.0):
    """alpha * elu(x / alpha): smooth at 0 for every alpha. Barron 2017.

    Raises:
        RuntimeError: `alpha` is 0.
    """
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    if alpha < 0:  # the two halves of x change places in x / alpha
        return where(x > 0, x, expm1(x * (1 / alpha)) * alpha)
    return _elu(x * (1 / alpha), alpha=1.0, scale=float(alpha))


@elementwise(kernel="silu")
def silu(x):
    """x * sigmoid(x)."""
    return x * sigmoid.forward(x)


@elementwise(kernel="silu_backward", spends=True)
def silu_backward(g, x):
    """g * s * (1 + x * (1 - s)), s = sigmoid(x)."""
    s = sigmoid.forward(x)
    return g * (s * (1 + x * (1 - s)))


def _silu_curvature(h, g, x):
    s = sigmoid(x)
    return h * g * (s * (1 - s) * (x * (1 - s * 2) + 2))


silu.vjp(x=lambda g, x: silu_backward(g, x))
silu_backward.vjp(g=lambda h, x: silu_backward(h, x), x=_silu_curvature)


@elementwise(kernel="softplus", node_name="Softplus")
def _softplus(x, *, beta, threshold):
    scaled = x * x.dtype.type(beta)
    return np.where(scaled > threshold, x, np.logaddexp(scaled, 0) / x.dtype.type(beta))


@elementwise(kernel="softplus_backward", spends=True)
def softplus_backward(g, x, *, beta, threshold):
    """g where beta * x > threshold, else g * sigmoid(beta * x)."""
    scaled = x * x.dtype.type(beta)
    return np.where(scaled > threshold, g, g * sigmoid.forward(scaled))


def _softplus_curvature(h, g, x, beta, threshold):
    s = sigmoid(x * beta)
    return h * g * where(x * beta > threshold, 0.0, s * (1 - s) * beta)


_softplus.vjp(
    x=lambda g, x, beta, threshold: softplus_backward(g, x, beta=beta, threshold=threshold)
)
softplus_backward.vjp(
    g=lambda h, x, beta, threshold: softplus_backward(h, x, beta=beta, threshold=threshold),
    x=_softplus_curvature,
)


def softplus(input, beta=1.0, threshold=20.0):
    """log(1 + exp(beta * x)) / beta; x itself where beta * x > threshold."""
    return _softplus(input, beta=beta, threshold=threshold)


def logsigmoid(input):
    """log(sigmoid(x)), without overflow."""
    return -_softplus(-input, beta=1.0, threshold=math.inf)


def _normal_cdf(x):
    return 0.5 * (1 + erf.forward(x * x.dtype.type(math.sqrt(0.5))))


@elementwise(kernel="gelu", node_name="Gelu")
def _gelu(x):
    return x * _normal_cdf(x)


@elementwise(kernel="gelu_backward", spends=True)
def gelu_backward(g, x):
    """g * (Phi(x) + x * phi(x)) with the normal distribution Phi and its density phi."""
    density = np.exp(x * x * x.dtype.type(-0.5)) * x.dtype.type(1 / math.sqrt(2 * math.pi))
    return g * (_normal_cdf(x) + x * density)


_gelu.vjp(x=lambda g, x: gelu_backward(g, x))
gelu_backward.vjp(
    g=lambda h, x: gelu_backward(h, x),
    x=lambda h, g, x: h * g * (exp(x * x * -0.5) * (1 / math.sqrt(2 * math.pi)) * (2 - x * x)),
)

# gelu with approximate="tanh" is x * sigmoid(w), w = 2 sqrt(2 / pi) (x + 0.044715 x^3).
_W1, _W3 = math.sqrt(8 / math.pi), 0.044715 * math.sqrt(8 / math.pi)


@elementwise(kernel="gelu_tanh", node_name="Gelu")
def _gelu_tanh(x):
    c1, c3 = x.dtype.type(_W1), x.dtype.type(_W3)
    return x * sigmoid.forward(x * (c1 + c3 * x * x))


@elementwise(kernel="gelu_tanh_backward", spends=True)
def gelu_tanh_backward(g, x):
    """g * (s + x * s * (1 - s) * w'), s = sigmoid(w), w the cubic of `_gelu_tanh`."""
    c1, c3 = x.dtype.type(_W1), x.dtype.type(_W3)
    s = sigmoid.forward(x * (c1 + c3 * x * x))
    return g * (s + x * s * (1 - s) * (c1 + 3 * c3 * x * x))


def _gelu_tanh_curvature(h, g, x):
    s = sigmoid(x * (x * x * _W3 + _W1))
    slope, bend = x * x * (3 * _W3) + _W1, x * (6 * _W3)
    return h * g * (s * (1 - s) * (slope * 2 + x * (bend + slope * slope * (1 - s * 2))))


_gelu_tanh.vjp(x=lambda g, x: gelu_tanh_backward(g, x))
gelu_tanh_backward.vjp(g=lambda h, x: gelu_tanh_backward(h, x), x=_gelu_tanh_curvature)


def gelu(input, approximate="none"):
    """x * Phi(x) with Phi the normal distribution function, or with approximate="tanh"
    0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))).

    Raises:
        RuntimeError: `approximate` is neither.
    """
    if approximate == "none":
        return _gelu(input)
    if approximate == "tanh":
        return _gelu_tanh(input)
    raise RuntimeError(
        f"gelu: approximate argument must be either none or tanh, but got {approximate!r}"
    )


@elementwise(kernel="mish", node_name="Mish")
def mish(x):
    """x * tanh(softplus(x)). Misra 2019."""
    return x * np.tanh(np.logaddexp(x, 0))


@elementwise(kernel="mish_backward", spends=True)
def mish_backward(g, x):
    """g * (w + x * (1 - w * w) * sigmoid(x)), w = tanh(softplus(x))."""
    w = np.tanh(np.logaddexp(x, 0))
    return g * (w + x * (1 - w * w) * sigmoid.forward(x))


def _mish_curvature(h, g, x):
    s, w = sigmoid(x), tanh(softplus(x, threshold=math.inf))
    slope = (1 - w * w) * s  # of w
    return h * g * (slope * 2 + x * (slope * (1 - s) - w * slope * s * 2))


mish.vjp(x=lambda g, x: mish_backward(g, x))
mish_backward.vjp(g=lambda h, x: mish_backward(h, x), x=_mish_curvature)


def softsign(input):
    """x / (1 + |x|)."""
    return input / (input.abs() + 1)


def tanhshrink(input):
    """x - tanh(x)."""
    return input - tanh(input)


def glu(input, dim=-1):
    """The first half of `input` along `dim` times the sigmoid of the second: a gated linear unit.
    Dauphin et al. 2016.

    Args:
        input: (*, 2 n, *), 2 n at `dim`.
        dim: the dimension to halve, by default the last.

    Returns:
        (*, n, *).

    Raises:
        RuntimeError: a tensor without dimensions, or of odd length along `dim`.
        IndexError: `dim` is out of range.
    """
    tensor_argument("glu", "input", input)
    if input.ndim == 0:
        raise RuntimeError("glu does not support 0-dimensional tensors")
    axis = normal_dim(dim, input.ndim)
    size = input.shape[axis]
    if size % 2:
        raise RuntimeError(f"Halving dimension must be even, but dimension {axis} is size {size}")
    values, gates = input.narrow(axis, 0, size // 2), input.narrow(axis, size // 2, size // 2)
    return values * sigmoid(gates)


# --------------------------------------------------------------------------------------- softmax


@primitive(node_name="Softmax", kernel="softmax")
def _softmax(x, *, axis):
    return backends.of(x).softmax(x, axis)


@primitive
def softmax_backward(g, y, *, axis):
    """y * (g - sum(g * y)) along `axis`, for y = softmax(x)."""
    return backends.of(g).softmax_backward(g, y, axis)


@primitive(node_name="LogSoftmax", kernel="log_softmax")
def _log_softmax(x, *, axis):
    return backends.of(x).log_softmax(x, axis)


@primitive
def log_softmax_backward(g, y, *, axis):
    """g - exp(y) * sum(g) along `axis`, for y = log_softmax(x)."""
    return backends.of(g).log_softmax_backward(g, y, axis)


def _total(x, axis):
    return x.sum(axis, keepdim=True)


_softmax.vjp(x=lambda g, out, axis: softmax_backward(g, out, axis=axis))
softmax_backward.vjp(
    g=lambda h, y, axis: softmax_backward(h, y, axis=axis),
    y=lambda h, g, y, axis: h * (g - _total(g * y, axis)) - g * _total(h * y, axis),
)
_log_softmax.vjp(x=lambda g, out, axis: log_softmax_backward(g, out, axis=axis))
log_softmax_backward.vjp(
    g=lambda h, y, axis: h - _total(h * exp(y), axis),
    y=lambda h, g, y, axis: -h * exp(y) * _total(g, axis),
)


def _along(function, primitive, x, dim, dtype):
    """The primitive along dimension `dim` of x, all checked."""
    tensor_argument(function, "input", x)
    if dim is None:
        dim = 0 if x.ndim in (0, 1, 3) else 1
        warnings.warn(
            f"Implicit dimension choice for {function} has been deprecated. Change the call to "
            "include dim=X as an argument.",
            stacklevel=3,
        )
    if dtype is not None:
        x = x.to(dtype)
    if not _dtype.is_float(x.array.dtype):
        raise NotImplementedError(
            f"{function}: not implemented for {x.array.dtype}; pass dtype= or a floating tensor"
        )
    axis = normal_dim(dim, x.ndim)
    if x.ndim == 0:
        return primitive(x.reshape(1), axis=0).reshape(())
    return primitive(x, axis=axis)


@shortcut(_softmax)
def softmax(input, dim=None, dtype=None):
    """exp(input) / sum(exp(input)) along `dim`.

    Args:
        input: a floating tensor, or any with `dtype` given: it is cast first.
        dim: the dimension that sums to 1; None (deprecated) is 0 for 0, 1 or 3 dimensions, else 1.

    Raises:
        NotImplementedError: integers.
        IndexError: `dim` is out of range.
    """
    return _along("softmax", _softmax, input, dim, dtype)


@shortcut(_log_softmax)
def log_softmax(input, dim=None, dtype=None):
    """log(softmax(input)) along `dim`, without overflow; arguments as in :func:`softmax`."""
    return _along("log_softmax", _log_softmax, input, dim, dtype)


def softmin(input, dim=None, dtype=None):
    """softmax(-input) along `dim`; arguments as in :func:`softmax`."""
    return _along("softmin", _softmax, -input, dim, dtype)


def gumbel_softmax(logits, tau=1, hard=False, eps=1e-10, dim=-1):
    """A sample of the Gumbel-softmax distribution: softmax((logits + Gumbel noise) / tau).
    Jang et al. 2016, Maddison et al. 2016.

    Args:
        logits: unnormalised log-probabilities, (*, n, *).
        tau: the temperature, positive; towards 0 samples become one-hot.
        hard: return one-hot samples, with the gradient of the soft ones.
        eps: without effect, as in PyTorch.
        dim: the dimension of the n classes.

    Returns:
        A tensor of the shape of `logits`; sums to 1 along `dim`.
    """
    noise = -tensor_of(np.empty_like(logits.array)).exponential_().log()
    soft = softmax((logits + noise) / tau, dim)
    if not hard:
        return soft
    index = soft.detach().max(dim, keepdim=True)[1]
    return zeros_like(soft).scatter_(dim, index, 1.0) - soft.detach() + soft
