"""Convolution and its gradients: a family closed under differentiation.

Convolution, its input gradient and its weight gradient are each other's gradients, so a handful of
lines gives derivatives of any order, and transposed convolution is the input gradient by name.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from fastdl import backends
from fastdl.ops.core import primitive, tensor_argument

__all__ = ["Conv2dGeometry", "channel_sum", "conv2d", "pair"]


class Conv2dGeometry(NamedTuple):
    """Sizes of one 2-d convolution: x (n, c, h, w), weight (k, c / groups, r, s), y (n, k, oh, ow).

    ``pad_h`` and ``pad_w`` are the zeros above and to the left; those below and to the right
    follow from ``oh`` and ``ow``.
    """

    n: int
    c: int
    h: int
    w: int
    k: int
    r: int
    s: int
    oh: int
    ow: int
    stride_h: int
    stride_w: int
    pad_h: int
    pad_w: int
    dil_h: int
    dil_w: int
    groups: int


@primitive(node_name="Convolution")
def convolution(x, w, bias, *, geom):
    """x (N, C, H, W), w (K, C / groups, R, S), bias (K,) or None -> (N, K, OH, OW)."""
    return backends.of(x).conv2d(x, w, bias, geom)


@primitive
def convolution_grad_input(dy, w, *, geom):
    """dy (N, K, OH, OW), w (K, C / groups, R, S) -> (N, C, H, W)."""
    return backends.of(dy).conv2d_grad_input(dy, w, geom)


@primitive
def convolution_grad_weight(x, dy, *, geom):
    """x (N, C, H, W), dy (N, K, OH, OW) -> (K, C / groups, R, S)."""
    return backends.of(x).conv2d_grad_weight(x, dy, geom)


@primitive
def channel_sum(x):
    """x (N, C, ...) -> (C,): the sum over all dimensions but the second."""
    return backends.of(x).channel_sum(x)


convolution.vjp(
    x=lambda g, w, geom: convolution_grad_input(g, w, geom=geom),
    w=lambda g, x, geom: convolution_grad_weight(x, g, geom=geom),
    bias=lambda g: channel_sum(g),
)
convolution_grad_input.vjp(
    dy=lambda g, w, geom: convolution(g, w, None, geom=geom),
    w=lambda g, dy, geom: convolution_grad_weight(g, dy, geom=geom),
)
convolution_grad_weight.vjp(
    x=lambda g, dy, geom: convolution_grad_input(dy, g, geom=geom),
    dy=lambda g, x, geom: convolution(x, g, None, geom=geom),
)
channel_sum.vjp(x=lambda g, x_shape: g.reshape(-1, *(1,) * (len(x_shape) - 2)).expand(x_shape))


def pair(value, function: str, argument: str) -> tuple[int, int]:
    """An int, or a sequence of one or two ints, as (vertical, horizontal).

    Raises:
        TypeError: anything else, naming `function` and `argument`.
    """
    if type(value) is tuple and len(value) == 2:
        first, second = value
    elif isinstance(value, list | tuple) and 1 <= len(value) <= 2:
        first, second = value[0], value[-1]
    else:
        first = second = value
    try:
        return first.__index__(), second.__index__()
    except AttributeError:
        raise TypeError(
            f"{function}(): argument '{argument}' must be an int or a pair of ints, "
            f"but got {value!r}"
        ) from None


def conv2d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """2-d cross-correlation, y[n, k] = bias[k] + sum over c of weight[k, c] * x[n, c].

    Args:
        input: (N, C, H, W) or (C, H, W), float32 or float64.
        weight: (K, C / groups, R, S), of the same dtype.
        bias: (K,) or None.
        stride, dilation: ints or pairs (vertical, horizontal).
        padding: zeros on each side, an int or a pair; ``"valid"`` for none; ``"same"`` for as many
            as keep H and W (stride 1; an odd total puts one more below and to the right).
        groups: C and K are split into so many independent convolutions.

    Returns:
        (N, K, OH, OW) or (K, OH, OW).

    Raises:
        RuntimeError: shapes or dtypes do not fit, or the window exceeds the padded input.
        TypeError: stride, padding or dilation are no ints.
    """
    tensor_argument("conv2d", "input", input)
    tensor_argument("conv2d", "weight", weight)
    if not isinstance(padding, str):
        padding = pair(padding, "conv2d", "padding")
    x = input.unsqueeze(0) if input.ndim == 3 else input
    geom = conv2d_geometry(
        x.array.shape,
        weight.array.shape,
        None if bias is None else bias.array.shape,
        pair(stride, "conv2d", "stride"),
        padding,
        pair(dilation, "conv2d", "dilation"),
        groups,
    )
    check_dtypes("conv2d", x, weight, bias)
    y = convolution(x, weight, bias, geom=geom)
    return y if x is input else y.squeeze(0)


def check_dtypes(function: str, x, weight, bias) -> None:
    """RuntimeError unless the arrays are floating and of one dtype."""
    dtype = x.array.dtype
    if dtype.kind != "f":
        raise RuntimeError(f"{function}: input must be of a floating dtype, but got {dtype}")
    if weight.array.dtype != dtype:
        raise RuntimeError(
            f"{function}: expected weight of the input's dtype {dtype}, "
            f"but got {weight.array.dtype}"
        )
    if bias is not None and bias.array.dtype != dtype:
        raise RuntimeError(
            f"{function}: expected bias of the input's dtype {dtype}, but got {bias.array.dtype}"
        )


@lru_cache(maxsize=512)
def conv2d_geometry(x, w, bias, stride, padding, dilation, groups) -> Conv2dGeometry:
    """The geometry for shapes `x` and `w` (and `bias`), checked; see :func:`conv2d`."""
    if len(x) != 4:
        raise RuntimeError(
            "Expected 3D (unbatched) or 4D (batched) input to conv2d, but got input of size: "
            f"{list(x)}"
        )
    if len(w) != 4:
        raise RuntimeError(f"conv2d: expected a 4-dimensional weight, but got size {list(w)}")
    if groups < 1:
        raise RuntimeError(f"conv2d: groups must be positive, but got {groups}")
    if min(stride) < 1:
        raise RuntimeError("non-positive stride is not supported")
    if min(dilation) < 1:
        raise RuntimeError("dilation should be greater than zero")
    n, c, height, width = x
    k, _, r, s = w
    if c != w[1] * groups:
        raise RuntimeError(
            f"Given groups={groups}, weight of size {list(w)}, expected input{list(x)} to have "
            f"{w[1] * groups} channels, but got {c} channels instead"
        )
    if k % groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be divisible by {groups} at dimension 0, "
            f"but got weight of size {list(w)} instead"
        )
    if bias is not None and bias != (k,):
        raise RuntimeError(
            f"Given weight of size {list(w)}, expected bias to be 1-dimensional with {k} "
            f"elements, but got bias of size {list(bias)} instead"
        )
    span_h, span_w = dilation[0] * (r - 1) + 1, dilation[1] * (s - 1) + 1
    if padding == "same":
        if stride != (1, 1):
            raise RuntimeError("padding='same' is not supported for strided convolutions")
        total_h, total_w = span_h - 1, span_w - 1
        padding = total_h // 2, total_w // 2
    else:
        if padding == "valid":
            padding = 0, 0
        if isinstance(padding, str):
            raise RuntimeError(
                f"Invalid padding string {padding!r}, should be one of {{'same', 'valid'}}"
            )
        if min(padding) < 0:
            raise RuntimeError("negative padding is not supported")
        total_h, total_w = 2 * padding[0], 2 * padding[1]
    if span_h > height + total_h or span_w > width + total_w:
        raise RuntimeError(
            f"Calculated padded input size per channel: ({height + total_h} x {width + total_w}). "
            f"Kernel size: ({span_h} x {span_w}). Kernel size can't be greater than actual input "
            "size"
        )
    if min(c, height, width, r, s) == 0:
        raise RuntimeError(
            f"conv2d: only the batch may be empty, but got input {list(x)} and weight {list(w)}"
        )
    oh = (height + total_h - span_h) // stride[0] + 1
    ow = (width + total_w - span_w) // stride[1] + 1
    return Conv2dGeometry(
        n, c, height, width, k, r, s, oh, ow, *stride, *padding, *dilation, groups
    )
