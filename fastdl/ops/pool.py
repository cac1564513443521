"""Pooling over 2-d windows.

Max pooling keeps, per output, the winner's position inside its window (a tap); its gradient
scatters by taps, whose gradient gathers by taps, and so on. Average pooling and its backward are
adjoints of each other.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from fastdl import backends
from fastdl._engine import tensor_of
from fastdl.ops.conv import pair
from fastdl.ops.core import primitive, tensor_argument
from fastdl.ops.linalg import matmul

__all__ = ["Pool2dGeometry", "adaptive_avg_pool2d", "avg_pool2d", "max_pool2d"]


class Pool2dGeometry(NamedTuple):
    """Sizes of one 2-d pooling of `planes` planes (h, w) to (oh, ow) by windows (kh, kw).

    ``pad_h`` and ``pad_w`` are above and to the left. ``pad_bottom`` and ``pad_right`` may be
    counted by average pooling; what ceil_mode lets stick out beyond them never is. ``divisor`` 0
    lets the window decide.
    """

    planes: int
    h: int
    w: int
    oh: int
    ow: int
    kh: int
    kw: int
    stride_h: int
    stride_w: int
    pad_h: int
    pad_w: int
    dil_h: int
    dil_w: int
    pad_bottom: int
    pad_right: int
    count_include_pad: int
    divisor: int


@primitive(node_name="MaxPool2DWithIndices")
def max_pool(x, *, geom):
    """x (..., H, W) -> the maxima (..., OH, OW) and their taps."""
    return backends.of(x).max_pool2d(x, geom)


@primitive
def max_pool_scatter(g, taps, *, geom):
    """g (..., OH, OW) added at the winners -> (..., H, W)."""
    return backends.of(g).max_pool2d_scatter(g, taps, geom)


@primitive
def max_pool_gather(x, taps, *, geom):
    """x (..., H, W) read at the winners -> (..., OH, OW)."""
    return backends.of(x).max_pool2d_gather(x, taps, geom)


@primitive(node_name="AvgPool2D")
def avg_pool(x, *, geom):
    """x (..., H, W) -> the mean of each window (..., OH, OW)."""
    return backends.of(x).avg_pool2d(x, geom)


@primitive
def avg_pool_backward(dy, *, geom):
    """dy (..., OH, OW) -> (..., H, W), the adjoint of avg_pool."""
    return backends.of(dy).avg_pool2d_backward(dy, geom)


max_pool.vjp(x=lambda g, out, geom: max_pool_scatter(g[0], out[1], geom=geom))
max_pool_scatter.vjp(g=lambda g, taps, geom: max_pool_gather(g, taps, geom=geom))
max_pool_gather.vjp(x=lambda g, taps, geom: max_pool_scatter(g, taps, geom=geom))
avg_pool.vjp(x=lambda g, geom: avg_pool_backward(g, geom=geom))
avg_pool_backward.vjp(dy=lambda g, geom: avg_pool(g, geom=geom))


def max_pool2d(
    input,
    kernel_size,
    stride=None,
    padding=0,
    dilation=1,
    ceil_mode=False,
    return_indices=False,
):
    """The largest value of each window; a NaN wins.

    Args:
        input: (N, C, H, W) or (C, H, W), floating.
        kernel_size, stride, padding, dilation: ints or pairs (vertical, horizontal). `stride` is
            kernel_size unless given; the padding, at most half a window, counts as -infinity.
        ceil_mode: round the output size up, so that a last partial window counts.
        return_indices: also return the winners' positions in their H x W plane, int64.

    Returns:
        (N, C, OH, OW) or (C, OH, OW), or a pair with the positions.

    Raises:
        RuntimeError: the shape, dtype or a size does not fit.
        TypeError: a size is no int.
    """
    geom = pool2d_geometry(
        "max_pool2d",
        tensor_argument("max_pool2d", "input", input).array.shape,
        pair(kernel_size, "max_pool2d", "kernel_size"),
        None if stride is None or stride == () else pair(stride, "max_pool2d", "stride"),
        pair(padding, "max_pool2d", "padding"),
        pair(dilation, "max_pool2d", "dilation"),
        bool(ceil_mode),
        1,
        0,
    )
    check_floating("max_pool2d", input)
    y, taps = max_pool(input, geom=geom)
    return (y, winners(taps, geom=geom)) if return_indices else y


@primitive
def winners(taps, *, geom):
    """Taps (..., OH, OW) -> positions in the flattened H x W plane, int64."""
    return backends.of(taps).max_pool2d_positions(taps, geom)


def avg_pool2d(
    input,
    kernel_size,
    stride=None,
    padding=0,
    ceil_mode=False,
    count_include_pad=True,
    divisor_override=None,
):
    """The mean of each window.

    Args:
        input: (N, C, H, W) or (C, H, W), floating.
        kernel_size, stride, padding: ints or pairs (vertical, horizontal); `stride` is
            kernel_size unless given; the padding, at most half a window, counts as 0.
        ceil_mode: round the output size up, so that a last partial window counts.
        count_include_pad: whether the padding counts in the number of elements.
        divisor_override: divide by this instead.

    Returns:
        (N, C, OH, OW) or (C, OH, OW).

    Raises:
        RuntimeError: the shape, dtype, divisor or a size does not fit.
        TypeError: a size is no int.
    """
    if divisor_override == 0:
        raise RuntimeError("divisor must be not zero")
    geom = pool2d_geometry(
        "avg_pool2d",
        tensor_argument("avg_pool2d", "input", input).array.shape,
        pair(kernel_size, "avg_pool2d", "kernel_size"),
        None if stride is None or stride == () else pair(stride, "avg_pool2d", "stride"),
        pair(padding, "avg_pool2d", "padding"),
        (1, 1),
        bool(ceil_mode),
        int(count_include_pad),
        divisor_override or 0,
    )
    check_floating("avg_pool2d", input)
    return avg_pool(input, geom=geom)


def check_floating(function: str, x) -> None:
    """RuntimeError unless x is floating."""
    if x.array.dtype.kind != "f":
        raise RuntimeError(
            f"{function}: input must be of a floating dtype, but got {x.array.dtype}"
        )


def output_size(size: int, window: int, stride: int, padding: int, ceil_mode: bool) -> int:
    """Windows along one dimension; with ceil_mode the last may hang over, but must begin within
    the input or the padding before it."""
    room = size + 2 * padding - window
    count = -(-room // stride) + 1 if ceil_mode else room // stride + 1
    if ceil_mode and (count - 1) * stride >= size + padding:
        count -= 1
    return count


@lru_cache(maxsize=512)
def pool2d_geometry(
    function, x, kernel, stride, padding, dilation, ceil_mode, count_include_pad, divisor
) -> Pool2dGeometry:
    """The geometry for an input of shape `x`, checked."""
    if len(x) not in (3, 4) or 0 in x[-3:]:
        raise RuntimeError(
            f"{function}: non-empty 3D or 4D (batch mode) tensor expected for input, "
            f"but got size {list(x)}"
        )
    stride = kernel if stride is None else stride
    if min(kernel) < 1:
        raise RuntimeError(f"{function}: kernel size should be greater than zero, got {kernel}")
    if min(stride) < 1:
        raise RuntimeError(f"{function}: stride should be greater than zero, got {stride}")
    if min(dilation) < 1:
        raise RuntimeError(f"{function}: dilation should be greater than zero, got {dilation}")
    if min(padding) < 0:
        raise RuntimeError(f"{function}: padding should not be negative, got {padding}")
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    for pad, k, d in zip(padding, kernel, dilation, strict=True):
        if pad > (d * (k - 1) + 1) // 2:
            raise RuntimeError(
                f"{function}: pad should be at most half of effective kernel size, but got "
                f"pad={pad}, kernel_size={k} and dilation={d}"
            )
    height, width = x[-2:]
    oh = output_size(height, spans[0], stride[0], padding[0], ceil_mode)
    ow = output_size(width, spans[1], stride[1], padding[1], ceil_mode)
    if oh < 1 or ow < 1:
        raise RuntimeError(
            f"{function}: Given input size: ({x[-3]}x{height}x{width}). Calculated output size: "
            f"({x[-3]}x{oh}x{ow}). Output size is too small"
        )
    planes = x[-3] * (x[0] if len(x) == 4 else 1)
    return Pool2dGeometry(
        planes,
        height,
        width,
        oh,
        ow,
        *kernel,
        *stride,
        *padding,
        *dilation,
        *padding,
        count_include_pad,
        divisor,
    )


def adaptive_avg_pool2d(input, output_size):
    """Averages (N, C, H, W) or (C, H, W) down to `output_size`, an int or a pair; None keeps a
    dimension. Cell i of o covers the elements floor(i * H / o) to ceil((i + 1) * H / o) - 1.

    Raises:
        RuntimeError: the input's shape or dtype does not fit.
    """
    if tensor_argument("adaptive_avg_pool2d", "input", input).ndim not in (3, 4):
        raise RuntimeError(
            f"adaptive_avg_pool2d(): Expected 3D or 4D tensor, but got {list(input.shape)}"
        )
    check_floating("adaptive_avg_pool2d", input)
    wanted = output_size if isinstance(output_size, list | tuple) else (output_size,) * 2
    sizes = input.array.shape[-2:]
    oh, ow = (size if want is None else want for want, size in zip(wanted, sizes, strict=True))
    if oh > 0 and ow > 0 and sizes[0] % oh == 0 and sizes[1] % ow == 0:
        return avg_pool2d(input, (sizes[0] // oh, sizes[1] // ow))
    vertical = averaging_matrix(sizes[0], oh, input.array.dtype)
    horizontal = averaging_matrix(sizes[1], ow, input.array.dtype)
    return matmul(matmul(vertical, input), horizontal.T)


@lru_cache(maxsize=64)
def averaging_matrix(size: int, cells: int, dtype):
    """A Tensor (cells, size): row i averages the elements of cell i."""
    matrix = np.zeros((cells, size), dtype)
    for i in range(cells):
        first, last = i * size // cells, -(-(i + 1) * size // cells)
        matrix[i, first:last] = 1 / (last - first)
    return tensor_of(matrix)
