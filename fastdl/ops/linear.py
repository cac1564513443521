"""The linear layer's operation and its gradients: a family closed under differentiation."""

from __future__ import annotations

import numpy as np

from fastdl import backends
from fastdl.ops.conv import channel_sum
from fastdl.ops.core import primitive, tensor_argument

__all__ = ["linear"]


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


affine_map.vjp(
    x=lambda g, w: affine_map_grad_input(g, w),
    w=lambda g, x: affine_map_grad_weight(x, g),
    bias=lambda g: channel_sum(g if g.ndim == 2 else g.reshape(-1, g.shape[-1])),
)
affine_map_grad_input.vjp(
    dy=lambda g, w: affine_map(g, w, None),
    w=lambda g, dy: affine_map_grad_weight(g, dy),
)
affine_map_grad_weight.vjp(
    x=lambda g, dy: affine_map_grad_input(dy, g),
    dy=lambda g, x: affine_map(x, g, None),
)


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
    if w.ndim != 2 or x.ndim == 0 or x.shape[-1] != w.shape[1] or x.dtype != w.dtype:
        if w.ndim == 1:
            bias = None if bias is None else bias.reshape(1)
            return linear(input, weight.unsqueeze(0), bias).squeeze(-1)
        _explain(x, w)
    if bias is not None:
        b = bias.array
        if b.shape != (w.shape[0],) or b.dtype != x.dtype:
            if b.dtype == x.dtype and b.size == 1:  # broadcasts, as in PyTorch
                bias = bias.reshape(1).expand(w.shape[0])
            else:
                raise RuntimeError(
                    f"linear(): expected bias of shape [{w.shape[0]}] and dtype {x.dtype}, but got "
                    f"shape {list(b.shape)} and dtype {b.dtype}"
                )
    return affine_map(input, weight, bias)


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
