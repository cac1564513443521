"""Convolution over 1, 2 and 3 dimensions, its transpose, and their gradients.

Convolution, its input gradient and its weight gradient are each other's gradients, so a handful of
lines gives derivatives of any order, and transposed convolution is the input gradient by name.

All run on the 2-d kernels: 1-d is 2-d with one row; in 3-d every output plane sees the input planes
under its filter as channels (`depth_slices`).
"""

from __future__ import annotations

import operator
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from fastdl import _dtype, backends
from fastdl._engine import is_autocast_enabled
from fastdl.ops.core import primitive, tensor_argument

__all__ = [
    "Conv2dGeometry",
    "Conv3dGeometry",
    "channel_sum",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "int_tuple",
    "pair",
]

# Kernels count in int64; every size and every number of elements stays below this.
SIZE_LIMIT = 2**31 - 1
NUMEL_LIMIT = 2**59


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


class Conv3dGeometry(NamedTuple):
    """Sizes of one 3-d convolution: x (n, c, d, h, w), weight (k, c / groups, q, r, s), y
    (n, k, od, oh, ow). ``plane`` is the 2-d convolution of the n * od images whose c * q channels
    are the input planes under the filter."""

    n: int
    c: int
    d: int
    k: int
    q: int
    od: int
    stride_d: int
    pad_d: int
    dil_d: int
    plane: Conv2dGeometry


# ---- 2-d, and 1-d as one row --------------------------------------------------------------------


def is_product(geom) -> bool:
    """Whether a filter covers its whole image, so that an image's output is a row of a matrix
    product: the last layer of a discriminator and, transposed, the first of a generator."""
    return (
        geom.oh == geom.ow == geom.groups == 1
        and (geom.h, geom.w) == (geom.r, geom.s)
        and geom.pad_h == geom.pad_w == 0
    )


def forward_2d(x, w, bias, geom):
    """Arrays; see `convolution`."""
    backend = backends.of(x)
    if is_product(geom):
        y = backend.linear(x.reshape(geom.n, w[0].size), w.reshape(geom.k, -1), bias)
        return y.reshape(geom.n, geom.k, 1, 1)
    return backend.conv2d(x, w, bias, geom)


def grad_input_2d(dy, w, geom):
    """Arrays; see `convolution_grad_input`."""
    backend = backends.of(dy)
    if is_product(geom):
        x = backend.matmul(dy.reshape(geom.n, geom.k), w.reshape(geom.k, -1))
        return x.reshape(geom.n, geom.c, geom.h, geom.w)
    return backend.conv2d_grad_input(dy, w, geom)


def grad_weight_2d(x, dy, geom):
    """Arrays; see `convolution_grad_weight`."""
    backend = backends.of(x)
    if is_product(geom):
        size = geom.c * geom.r * geom.s
        w = backend.matmul(dy.reshape(geom.n, geom.k).T, x.reshape(geom.n, size))
        return w.reshape(geom.k, geom.c, geom.r, geom.s)
    return backend.conv2d_grad_weight(x, dy, geom)


@primitive(node_name="Convolution")
def convolution(x, w, bias, *, geom):
    """x (N, C, H, W), w (K, C / groups, R, S), bias (K,) or None -> (N, K, OH, OW)."""
    return forward_2d(x, w, bias, geom)


@primitive
def convolution_grad_input(dy, w, bias, *, geom):
    """dy (N, K, OH, OW), w (K, C / groups, R, S), bias (C,) or None -> (N, C, H, W).

    A gradient has no bias; a transposed convolution may have one.
    """
    x = grad_input_2d(dy, w, geom)
    if bias is not None:
        x += bias[:, None, None]
    return x


@primitive
def convolution_grad_weight(x, dy, *, geom):
    """x (N, C, H, W), dy (N, K, OH, OW) -> (K, C / groups, R, S)."""
    return grad_weight_2d(x, dy, geom)


@primitive
def channel_sum(x):
    """x (N, C, ...) -> (C,): the sum over all dimensions but the second."""
    return backends.of(x).channel_sum(x)


channel_sum.vjp(x=lambda g, x_shape: g.reshape(-1, *(1,) * (len(x_shape) - 2)).expand(x_shape))


def close(forward, grad_input, grad_weight):
    """Makes the three primitives each other's gradients."""
    forward.vjp(
        x=lambda g, w, geom: grad_input(g, w, None, geom=geom),
        w=lambda g, x, geom: grad_weight(x, g, geom=geom),
        bias=lambda g: channel_sum(g),
    )
    grad_input.vjp(
        dy=lambda g, w, geom: forward(g, w, None, geom=geom),
        w=lambda g, dy, geom: grad_weight(g, dy, geom=geom),
        bias=lambda g: channel_sum(g),
    )
    grad_weight.vjp(
        x=lambda g, dy, geom: grad_input(dy, g, None, geom=geom),
        dy=lambda g, x, geom: forward(x, g, None, geom=geom),
    )


close(convolution, convolution_grad_input, convolution_grad_weight)


# ---- 3-d: depth as channels ---------------------------------------------------------------------


def axis_taps(size, places, window, stride, padding, dilation):
    """For each tap of the window along one dimension: (tap, slice of the places of a window that
    see an element there, slice of these elements), where there are any."""
    for tap in range(window):
        start = tap * dilation - padding  # the element that place 0 sees
        first = max(0, -(start // stride))
        last = min(places - 1, (size - 1 - start) // stride)
        if first <= last:
            begin, end = start + first * stride, start + last * stride + 1
            yield tap, slice(first, last + 1), slice(begin, end, stride)


def depth_taps(geom):
    """`axis_taps` of the depth."""
    return axis_taps(geom.d, geom.od, geom.q, geom.stride_d, geom.pad_d, geom.dil_d)


def depth_slices(x, geom):
    """Array (N, C, D, H, W) -> (N * OD, C * Q, H, W): the planes under each output plane's filter,
    zeros where they lie in the padding."""
    *_, h, w = x.shape
    slices = np.empty_like(x, shape=(geom.n, geom.od, geom.c, geom.q, h, w))
    outside = np.ones((geom.od, geom.q), bool)
    for tap, out, seen in depth_taps(geom):
        slices[:, out, :, tap] = x[:, :, seen].swapaxes(1, 2)
        outside[out, tap] = False
    for i, tap in np.argwhere(outside):
        slices[:, i, :, tap] = 0
    return slices.reshape(geom.n * geom.od, geom.c * geom.q, h, w)


def depth_sum(slices, geom):
    """The adjoint of `depth_slices`: (N * OD, C * Q, H, W) -> (N, C, D, H, W)."""
    *_, h, w = slices.shape
    slices = slices.reshape(geom.n, geom.od, geom.c, geom.q, h, w)
    x = np.zeros_like(slices, shape=(geom.n, geom.c, geom.d, h, w))
    for tap, out, seen in depth_taps(geom):
        x[:, :, seen] += slices[:, out, :, tap].swapaxes(1, 2)
    return x


def images_of(y):
    """(N, K, OD, OH, OW) -> (N * OD, K, OH, OW)."""
    n, k, od, oh, ow = y.shape
    return y.swapaxes(1, 2).reshape(n * od, k, oh, ow)


def as_channels(w):
    """(K, C / groups, Q, R, S) -> (K, C / groups * Q, R, S)."""
    k, c, q, r, s = w.shape
    return w.reshape(k, c * q, r, s)


@primitive(node_name="Convolution")
def convolution3d(x, w, bias, *, geom):
    """x (N, C, D, H, W), w (K, C / groups, Q, R, S), bias (K,) or None -> (N, K, OD, OH, OW)."""
    slices = depth_slices(x, geom)
    y = forward_2d(slices, as_channels(w), bias, geom.plane)
    y = y.reshape(geom.n, geom.od, *y.shape[1:])
    return np.ascontiguousarray(y.swapaxes(1, 2))


@primitive
def convolution3d_grad_input(dy, w, bias, *, geom):
    """dy (N, K, OD, OH, OW), w (K, C / groups, Q, R, S), bias (C,) or None -> (N, C, D, H, W)."""
    slices = grad_input_2d(images_of(dy), as_channels(w), geom.plane)
    x = depth_sum(slices, geom)
    if bias is not None:
        x += bias[:, None, None, None]
    return x


@primitive
def convolution3d_grad_weight(x, dy, *, geom):
    """x (N, C, D, H, W), dy (N, K, OD, OH, OW) -> (K, C / groups, Q, R, S)."""
    slices = depth_slices(x, geom)
    dw = grad_weight_2d(slices, images_of(dy), geom.plane)
    return dw.reshape(geom.k, -1, geom.q, *dw.shape[2:])


close(convolution3d, convolution3d_grad_input, convolution3d_grad_weight)


# ---- arguments ----------------------------------------------------------------------------------


def pair(value, function: str, argument: str) -> tuple[int, int]:
    """An int, or a sequence of one or two ints, as (vertical, horizontal)."""
    return int_tuple(value, 2, function, argument)


def int_tuple(value, dims: int, function: str, argument: str) -> tuple[int, ...]:
    """An int, or a sequence of one or `dims` ints, as `dims` ints.

    Raises:
        RuntimeError: a sequence of another length.
        TypeError: anything else; both name `function` and `argument`.
    """
    if type(value) is int:
        return (value,) * dims
    if type(value) is tuple and len(value) == dims:
        found = value
    elif isinstance(value, list | tuple):
        if len(value) not in (1, dims):
            raise RuntimeError(
                f"{function}: expected {argument} to be a single integer value or a list of "
                f"{dims} values to match the dimensions, but got {argument}={list(value)}"
            )
        found = value if len(value) == dims else value * dims
    else:
        found = (value,) * dims
    try:
        return tuple(map(operator.index, found))
    except TypeError:
        raise TypeError(
            f"{function}(): argument '{argument}' must be an int or {dims} ints, but got {value!r}"
        ) from None


def check_dtypes(function: str, x, weight, bias) -> None:
    """RuntimeError unless the arrays are floating and of one dtype."""
    dtype = x.array.dtype
    if not _dtype.is_float(dtype):
        raise RuntimeError(f"{function}: input must be of a floating dtype, but got {dtype}")
    if is_autocast_enabled():
        return  # all are cast to one
    if weight.array.dtype != dtype:
        raise RuntimeError(
            f"{function}: expected weight of the input's dtype {dtype}, "
            f"but got {weight.array.dtype}"
        )
    if bias is not None and bias.array.dtype != dtype:
        raise RuntimeError(
            f"{function}: expected bias of the input's dtype {dtype}, but got {bias.array.dtype}"
        )


def check_sizes(function, dims, x, w, stride, padding, dilation, groups) -> None:
    """What a convolution and its transpose have in common; see :func:`conv2d`."""
    if len(x) != dims + 2:
        raise RuntimeError(
            f"Expected {dims + 1}D (unbatched) or {dims + 2}D (batched) input to {function}, but "
            f"got input of size: {list(x)}"
        )
    if len(w) != dims + 2:
        raise RuntimeError(
            f"{function}: expected a {dims + 2}-dimensional weight, but got size {list(w)}"
        )
    if groups < 1:
        raise RuntimeError(f"{function}: non-positive groups is not supported, got {groups}")
    if min(stride) < 1:
        raise RuntimeError(f"{function}: non-positive stride is not supported, got {stride}")
    if min(dilation) < 1:
        raise RuntimeError(f"{function}: dilation should be greater than zero, but got {dilation}")
    if min(padding) < 0:
        raise RuntimeError(f"{function}: negative padding is not supported, got {padding}")
    if max(*stride, *padding, *dilation, groups) > SIZE_LIMIT:
        raise RuntimeError(
            f"{function}: stride {stride}, padding {padding}, dilation {dilation} and groups "
            f"{groups} must be at most {SIZE_LIMIT}"
        )
    if w[0] < groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be at least {groups} at dimension 0, but "
            f"got weight of size {list(w)} instead"
        )
    if w[0] % groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be divisible by {groups} at dimension 0, "
            f"but got weight of size {list(w)} instead"
        )


def check_bias(bias, channels: int, w) -> None:
    if bias is not None and bias != (channels,):
        raise RuntimeError(
            f"Given weight of size {list(w)}, expected bias to be 1-dimensional with {channels} "
            f"elements, but got bias of size {list(bias)} instead"
        )


def check_extent(function: str, n: int, *shapes) -> None:
    """RuntimeError where only a batch may be empty, or an array would be out of all proportion."""
    for shape in shapes:
        numel = n
        for size in shape:
            numel *= size
        if min(shape) == 0:
            raise RuntimeError(
                f"{function}: only the batch may be empty, but got channels and sizes {shape}"
            )
        if max(shape) > SIZE_LIMIT or numel > NUMEL_LIMIT:
            raise RuntimeError(f"{function}: an array of size {[n, *shape]} would be too large")


def geometry_of(n, c, k, groups, sizes, window, outputs, stride, padding, dilation):
    """The tuple of a convolution (n, c, *sizes) -> (n, k, *outputs); one dimension becomes two."""
    if len(sizes) == 3:
        axes = (stride[1:], padding[1:], dilation[1:])
        images = n * outputs[0], c * window[0], k
        plane = geometry_of(*images, groups, sizes[1:], window[1:], outputs[1:], *axes)
        depth = window[0], outputs[0], stride[0], padding[0], dilation[0]
        return Conv3dGeometry(n, c, sizes[0], k, *depth, plane)
    if len(sizes) == 1:
        sizes, window, outputs = (1, *sizes), (1, *window), (1, *outputs)
        stride, padding, dilation = (1, *stride), (0, *padding), (1, *dilation)
    return Conv2dGeometry(n, c, *sizes, k, *window, *outputs, *stride, *padding, *dilation, groups)


@lru_cache(maxsize=512)
def conv_geometry(function, dims, x, w, bias, stride, padding, dilation, groups):
    """The geometry for shapes `x` and `w` (and `bias`), checked; see :func:`conv2d`."""
    same = padding == "same"
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            raise RuntimeError(
                f"Invalid padding string {padding!r}, should be one of {{'same', 'valid'}}"
            )
        if same and max(stride) > 1:
            raise RuntimeError("padding='same' is not supported for strided convolutions")
        padding = (0,) * dims
    check_sizes(function, dims, x, w, stride, padding, dilation, groups)
    (n, c, *sizes), (k, per_group, *window) = x, w
    if c != per_group * groups:
        raise RuntimeError(
            f"Given groups={groups}, weight of size {list(w)}, expected input{list(x)} to have "
            f"{per_group * groups} channels, but got {c} channels instead"
        )
    check_bias(bias, k, w)
    spans = [d * (r - 1) + 1 for d, r in zip(dilation, window, strict=True)]
    if same:
        padding = tuple([(span - 1) // 2 for span in spans])
        room = [size - 1 for size in sizes]
    else:
        room = [s + 2 * p - span for s, p, span in zip(sizes, padding, spans, strict=True)]
    if min(room) < 0:
        padded = [s + 2 * p for s, p in zip(sizes, padding, strict=True)]
        raise RuntimeError(
            f"Calculated padded input size per channel: ({' x '.join(map(str, padded))}). Kernel "
            f"size: ({' x '.join(map(str, spans))}). Kernel size can't be greater than actual "
            "input size"
        )
    outputs = [a // s + 1 for a, s in zip(room, stride, strict=True)]
    check_extent(function, n, (c, *sizes), (*window,), (k, *outputs))
    return geometry_of(n, c, k, groups, sizes, window, outputs, stride, padding, dilation)


@lru_cache(maxsize=512)
def conv_transpose_geometry(
    function, dims, x, w, bias, stride, padding, output_padding, groups, dilation
):
    """The geometry of the convolution whose input gradient this is, checked; see
    :func:`conv_transpose2d`."""
    check_sizes(function, dims, x, w, stride, padding, dilation, groups)
    if min(output_padding) < 0:
        raise RuntimeError(f"{function}: negative output_padding is not supported")
    if any(o >= max(s, d) for o, s, d in zip(output_padding, stride, dilation, strict=True)):
        raise RuntimeError(
            f"{function}: output padding must be smaller than either stride or dilation, but got "
            f"output_padding {output_padding}, stride {stride} and dilation {dilation}"
        )
    (n, k, *sizes), (_, per_group, *window) = x, w
    if k != w[0]:
        raise RuntimeError(
            f"Given transposed=1, weight of size {list(w)}, expected input{list(x)} to have "
            f"{w[0]} channels, but got {k} channels instead"
        )
    check_bias(bias, per_group * groups, w)
    outputs = [
        (size - 1) * s - 2 * p + d * (r - 1) + o + 1
        for size, s, p, d, r, o in zip(
            sizes, stride, padding, dilation, window, output_padding, strict=True
        )
    ]
    if min(outputs) < 1 and 0 not in sizes:
        raise RuntimeError(
            f"Given input size per channel: ({' x '.join(map(str, sizes))}). Calculated output "
            f"size per channel: ({' x '.join(map(str, outputs))}). Output size is too small"
        )
    c = per_group * groups
    check_extent(function, n, (k, *sizes), (*window,), (c, *outputs))
    return geometry_of(n, c, k, groups, outputs, window, sizes, stride, padding, dilation)


# ---- functions ----------------------------------------------------------------------------------


def run(function, dims, op, op3d, geometry, input, weight, bias, *options):
    """`op` on batched input, 1-d as rows, 3-d by `op3d`."""
    tensor_argument(function, "input", input)
    tensor_argument(function, "weight", weight)
    if bias is not None:
        tensor_argument(function, "bias", bias)
    x = input.unsqueeze(0) if input.ndim == dims + 1 else input
    geom = geometry(
        function,
        dims,
        x.array.shape,
        weight.array.shape,
        None if bias is None else bias.array.shape,
        *options,
    )
    check_dtypes(function, x, weight, bias)
    if dims == 2:
        y = op(x, weight, bias, geom=geom)
    elif dims == 1:
        y = op(x.unsqueeze(2), weight.unsqueeze(2), bias, geom=geom).squeeze(2)
    else:
        y = op3d(x, weight, bias, geom=geom)
    return y if x is input else y.squeeze(0)


def convolve(function, dims, input, weight, bias, stride, padding, dilation, groups):
    if not isinstance(padding, str):
        padding = int_tuple(padding, dims, function, "padding")
    return run(
        function,
        dims,
        convolution,
        convolution3d,
        conv_geometry,
        input,
        weight,
        bias,
        int_tuple(stride, dims, function, "stride"),
        padding,
        int_tuple(dilation, dims, function, "dilation"),
        operator.index(groups),
    )


def convolve_transposed(
    function, dims, input, weight, bias, stride, padding, output_padding, groups, dilation
):
    return run(
        function,
        dims,
        convolution_grad_input,
        convolution3d_grad_input,
        conv_transpose_geometry,
        input,
        weight,
        bias,
        int_tuple(stride, dims, function, "stride"),
        int_tuple(padding, dims, function, "padding"),
        int_tuple(output_padding, dims, function, "output_padding"),
        operator.index(groups),
        int_tuple(dilation, dims, function, "dilation"),
    )


def conv1d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """1-d cross-correlation: (N, C, L) or (C, L) with weight (K, C / groups, R) -> (N, K, OL) or
    (K, OL); see :func:`conv2d`."""
    return convolve("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


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
        RuntimeError: shapes, sizes or dtypes do not fit, or the window exceeds the padded input.
        TypeError: an argument is no Tensor, or stride, padding, dilation or groups are no ints.
    """
    return convolve("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """3-d cross-correlation: (N, C, D, H, W) or (C, D, H, W) with weight (K, C / groups, Q, R, S)
    -> (N, K, OD, OH, OW) or (K, OD, OH, OW); see :func:`conv2d`."""
    return convolve("conv3d", 3, input, weight, bias, stride, padding, dilation, groups)


def conv_transpose1d(
    input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1
):
    """(N, C, L) or (C, L) with weight (C, K / groups, R) -> (N, K, OL) or (K, OL); see
    :func:`conv_transpose2d`."""
    return convolve_transposed(
        "conv_transpose1d",
        1,
        input,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
    )


def conv_transpose2d(
    input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1
):
    """Transposed convolution: the gradient of :func:`conv2d` in its input, as a function.

    Args:
        input: (N, C, H, W) or (C, H, W), float32 or float64.
        weight: (C, K / groups, R, S), of the same dtype.
        bias: (K,) or None.
        stride, padding, dilation: those of the convolution; ints or pairs.
        output_padding: rows and columns more at the bottom and right, less than stride or dilation.
        groups: C and K are split into so many independent convolutions.

    Returns:
        (N, K, OH, OW) or (K, OH, OW), where OH = (H - 1) * stride - 2 * padding
        + dilation * (R - 1) + output_padding + 1, and OW likewise.

    Raises:
        RuntimeError: shapes, sizes or dtypes do not fit, or nothing is left of the output.
        TypeError: an argument is no Tensor, or a size is no int.
    """
    return convolve_transposed(
        "conv_transpose2d",
        2,
        input,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
    )


def conv_transpose3d(
    input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1
):
    """(N, C, D, H, W) or (C, D, H, W) with weight (C, K / groups, Q, R, S) -> (N, K, OD, OH, OW) or
    (K, OD, OH, OW); see :func:`conv_transpose2d`."""
    return convolve_transposed(
        "conv_transpose3d",
        3,
        input,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
    )
