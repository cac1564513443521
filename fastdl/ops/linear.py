"""The linear layer's operation and its gradients: a family closed under differentiation."""

from __future__ import annotations

import numpy as np

from fastdl import backends
from fastdl._engine import is_autocast_enabled, is_grad_enabled
from fastdl.ops.activation import gelu_backward, gelu_tanh_backward, relu_backward
from fastdl.ops.conv import channel_sum
from fastdl.ops.core import primitive, tensor_argument

__all__ = ["activated_linear", "bilinear", "linear"]


@primitive(node_name="Addmm")
def affine_map(x, w, bias):
    """x (..., in), w (out, in), bias (out,) or None -> x w^T + bias (..., out)."""
    return backends.of(x).linear(x, w, bias)


@primitive
def affine_map_grad_input(dy, w):
    """dy (..., out), w (out, in) -> dy w (..., in)."""
    return backends.of(dy).matmul(dy, w)


@primitive
def affine_map_grad_weight(x, dy):
    """x (..., in), dy (..., out) -> dy^T x (out, in), summed over all leading dimensions."""
    if dy.ndim != 2:
        x, dy = np.atleast_2d(x), np.atleast_2d(dy)
        x, dy = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
    return backends.of(x).matmul(dy.T, x)


def _bias_slope(g):
    return channel_sum(g if g.ndim == 2 else g.reshape(-1, g.shape[-1]))


affine_map.vjp(
    x=lambda g, w: affine_map_grad_input(g, w),
    w=lambda g, x: affine_map_grad_weight(x, g),
    bias=lambda g: _bias_slope(g),
)
affine_map_grad_input.vjp(
    dy=lambda g, w: affine_map(g, w, None),
    w=lambda g, dy: affine_map_grad_weight(g, dy),
)
affine_map_grad_weight.vjp(
    x=lambda g, dy: affine_map_grad_input(dy, g),
    dy=lambda g, x: affine_map(x, g, None),
)


# ---- with an activation, taken of each piece of the result while it is in the cache --------------


@primitive(node_name="AddmmRelu")
def relu_of_affine(x, w, bias):
    """max(x w^T + bias, 0) (..., out), operands as in `affine_map`."""
    return backends.of(x).linear(x, w, bias, "relu")


@relu_of_affine.vjp_joint
def _(g, x, w, out, needs):
    return _affine_slopes(relu_backward(g, out), x, w, needs)


@primitive(node_name="AddmmGelu")
def gelu_of_affine(x, w, bias, *, activation, recorded):
    """The activation, "gelu" or "gelu_tanh", of x w^T + bias (..., out); if it is to be `recorded`,
    also x w^T + bias, which the slope needs."""
    return backends.of(x).linear(x, w, bias, activation, recorded)


@gelu_of_affine.vjp_joint
def _(g, x, w, out1, activation, needs):
    g_gelu, g_affine = g
    if g_gelu is not None:
        slope = gelu_backward if activation == "gelu" else gelu_tanh_backward
        g_gelu = slope(g_gelu, out1)
        g_affine = g_gelu if g_affine is None else g_affine + g_gelu
    return _affine_slopes(g_affine, x, w, needs)


def _affine_slopes(g, x, w, needs):
    """The gradients of x, w and bias for g, that of x w^T + bias."""
    return (
        affine_map_grad_input(g, w) if needs[0] else None,
        affine_map_grad_weight(x, g) if needs[1] else None,
        _bias_slope(g) if needs[2] else None,
    )


def activated_linear(input, weight, bias, activation):
    """The activation of `linear(input, weight, bias)`, in one pass.

    Args:
        input, weight, bias: as in :func:`linear`.
        activation: "relu", "gelu", or "gelu_tanh" for gelu with approximate="tanh".

    Raises:
        RuntimeError: sizes or dtypes do not fit.
        ValueError: the activation is none of these.
    """
    x = tensor_argument("activated_linear", "input", input).array
    w = tensor_argument("activated_linear", "weight", weight).array
    if (
        w.ndim != 2
        or x.ndim == 0
        or x.shape[-1] != w.shape[1]
        or (x.dtype != w.dtype and not is_autocast_enabled())
    ):
        _explain(x, w)
    if bias is not None:
        bias = _fitting_bias(bias, x, w)
    if activation == "relu":
        return relu_of_affine(input, weight, bias)
    if activation not in ("gelu", "gelu_tanh"):
        raise ValueError(
            "activated_linear: activation must be 'relu', 'gelu' or 'gelu_tanh', "
            f"but got {activation!r}"
        )
    recorded = is_grad_enabled() and (
        input.requires_grad or weight.requires_grad or (bias is not None and bias.requires_grad)
    )
    y = gelu_of_affine(input, weight, bias, activation=activation, recorded=recorded)
    return y[0] if recorded else y


def linear(input, weight, bias=None):
    """input weight^T + bias.

    Args:
        input: (..., in), floating.
        weight: (out, in), or (in,) for one output, which then has no dimension of its own.
        bias: (out,), or () with a 1-d weight; or None.

    Returns:
        (..., out), or (...) with a 1-d weight.

    Raises:
        RuntimeError: sizes or dtypes do not fit.
    """
    x = tensor_argument("linear", "input", input).array
    w = tensor_argument("linear", "weight", weight).array
    if (
        w.ndim != 2
        or x.ndim == 0
        or x.shape[-1] != w.shape[1]
        or (x.dtype != w.dtype and not is_autocast_enabled())
    ):
        if w.ndim == 1:
            bias = None if bias is None else bias.reshape(1)
            return linear(input, weight.unsqueeze(0), bias).squeeze(-1)
        _explain(x, w)
    if bias is not None:
        bias = _fitting_bias(bias, x, w)
    return affine_map(input, weight, bias)


def _fitting_bias(bias, x, w):
    """`bias` as (out,), checked against the input and the weight."""
    b = bias.array
    alike = b.dtype == x.dtype or is_autocast_enabled()
    if alike and b.shape == (w.shape[0],):
        return bias
    if alike and b.size == 1:  # broadcasts, as in PyTorch
        return bias.reshape(1).expand(w.shape[0])
    raise RuntimeError(
        f"linear(): expected bias of shape [{w.shape[0]}] and dtype {x.dtype}, but got "
        f"shape {list(b.shape)} and dtype {b.dtype}"
    )


def _explain(x, w):
    """Raises what is wrong with the input and the weight of `linear`."""
    if w.ndim != 2 or x.ndim == 0:
        raise RuntimeError(
            "linear(): expected an input of at least 1 dimension and a weight of 1 or 2, but got "
            f"shapes {list(x.shape)} and {list(w.shape)}"
        )
    if x.shape[-1] != w.shape[1]:
        rows = x.size // x.shape[-1] if x.shape[-1] else 0
        raise RuntimeError(
            f"linear(): mat1 and mat2 shapes cannot be multiplied ({rows}x{x.shape[-1]} and "
            f"{w.shape[1]}x{w.shape[0]}): input {list(x.shape)}, weight {list(w.shape)}"
        )
    raise RuntimeError(
        "linear(): expected input and weight to have the same dtype, but got "
        f"{x.dtype} != {w.dtype}"
    )


def bilinear(input1, input2, weight, bias=None):
    """y[..., k] = input1 weight[k] input2 + bias[k], for vectors along the last dimension.

    Args:
        input1, input2: (*, in1), (*, in2), the same leading dimensions.
        weight: (out, in1, in2).
        bias: (out) or None.

    Returns:
        (*, out).

    Raises:
        RuntimeError: shapes that do not fit.
    """
    for name, x in (("input1", input1), ("input2", input2), ("weight", weight)):
        tensor_argument("bilinear", name, x)
    if input1.shape[:-1] != input2.shape[:-1]:
        raise RuntimeError(
            f"bilinear(): input batch dimensions do not match: got {list(input1.shape[:-1])} and "
            f"{list(input2.shape[:-1])}"
        )
    if weight.ndim != 3 or (input1.shape[-1], input2.shape[-1]) != tuple(weight.shape[1:]):
        raise RuntimeError(
            f"bilinear(): expected weight of shape (out, {input1.shape[-1]}, {input2.shape[-1]}), "
            f"but got {list(weight.shape)}"
        )
    n_out, n1, n2 = weight.shape
    lead = input1.shape[:-1]
    # (*, in1) x (in1, out * in2), then each row of `out` with the vector of input2
    mixed = input1.reshape(-1, n1) @ weight.transpose(0, 1).reshape(n1, n_out * n2)
    y = (mixed.reshape(-1, n_out, n2) @ input2.reshape(-1, n2, 1)).reshape(*lead, n_out)
    return y if bias is None else y + bias
