"""Pooling over windows of 1, 2 and 3 dimensions.

Max pooling keeps, per output, the winner's position inside its window (a tap); its gradient
scatters by taps, whose gradient gathers by taps, and so on. Average pooling and its backward are
adjoints of each other, and so are gathering from and scattering to positions in a plane, which
adaptive pooling and unpooling use.

All run on the 2-d kernels, which take planes of one row with or without a dimension for it: 1-d is
such planes; 3-d pools every slice, then the slices' outputs along the depth, as planes of D rows.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import NamedTuple

from fastdl import _dtype, backends
from fastdl.ops.conv import SIZE_LIMIT, int_tuple
from fastdl.ops.core import primitive, tensor_argument

__all__ = [
    "Pool2dGeometry",
    "Pool3dGeometry",
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "lp_pool1d",
    "lp_pool2d",
    "lp_pool3d",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "max_unpool1d",
    "max_unpool2d",
    "max_unpool3d",
]

WINDOW_LIMIT = 2**29  # elements of a window, and each size: what the kernels take


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


class Pool3dGeometry(NamedTuple):
    """3-d pooling as two poolings of 2-d: of every slice (``plane``), then of D x (OH * OW) planes
    down the columns (``depth``)."""

    plane: Pool2dGeometry
    depth: Pool2dGeometry


@primitive(node_name="MaxPool2DWithIndices", kernel="max_pool")
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


@primitive(node_name="AvgPool2D", kernel="avg_pool")
def avg_pool(x, *, geom):
    """x (..., H, W) -> the mean of each window (..., OH, OW)."""
    return backends.of(x).avg_pool2d(x, geom)


@primitive
def avg_pool_backward(dy, *, geom):
    """dy (..., OH, OW) -> (..., H, W), the adjoint of avg_pool."""
    return backends.of(dy).avg_pool2d_backward(dy, geom)


@primitive
def winners(taps, *, geom):
    """Taps (..., OH, OW) -> positions in the flattened H x W plane, int64."""
    return backends.of(taps).max_pool2d_positions(taps, geom)


@primitive(node_name="AdaptiveMaxPool2D")
def cell_max(x, *, oh, ow):
    """x (..., H, W) -> the maxima of OH x OW uneven cells, and their positions in the plane."""
    return backends.of(x).adaptive_max_pool2d(x, oh, ow)


@primitive(node_name="AdaptiveAvgPool2D")
def cell_mean(x, *, oh, ow):
    """x (..., H, W) -> the means of OH x OW uneven cells."""
    return backends.of(x).adaptive_avg_pool2d(x, oh, ow)


@primitive
def cell_mean_backward(dy, *, h, w):
    """dy (..., OH, OW) -> (..., H, W), the adjoint of cell_mean."""
    return backends.of(dy).adaptive_avg_pool2d_backward(dy, h, w)


@primitive
def gather_positions(x, positions, *, dims):
    """x (..., *S) read at positions (..., *T) in the flattened S, of `dims` dimensions each."""
    lead = prod(x.shape[:-dims])
    at = positions.reshape(lead, prod(positions.shape[-dims:]))
    y = backends.of(x).plane_gather(x.reshape(lead, prod(x.shape[-dims:])), at)
    return y.reshape(positions.shape)


@primitive(node_name="MaxUnpool")
def scatter_positions(x, positions, *, size, add):
    """x (..., *T) at positions (..., *T) of the flattened `size` -> (..., *size), 0 elsewhere;
    equal positions add up if `add`, else the last stays."""
    lead = x.shape[: x.ndim - len(size)]
    planes = (prod(lead), prod(x.shape[len(lead) :]))
    at = positions.reshape(planes)
    y = backends.of(x).plane_scatter(x.reshape(planes), at, prod(size), add)
    return y.reshape(*lead, *size)


max_pool.vjp(x=lambda g, out1, geom: max_pool_scatter(g[0], out1, geom=geom))
max_pool_scatter.vjp(g=lambda g, taps, geom: max_pool_gather(g, taps, geom=geom))
max_pool_gather.vjp(x=lambda g, taps, geom: max_pool_scatter(g, taps, geom=geom))
avg_pool.vjp(x=lambda g, geom: avg_pool_backward(g, geom=geom))
avg_pool_backward.vjp(dy=lambda g, geom: avg_pool(g, geom=geom))
cell_max.vjp(x=lambda g, out1, x_shape: scatter_positions(g[0], out1, size=x_shape[-2:], add=True))
cell_mean.vjp(x=lambda g, x_shape: cell_mean_backward(g, h=x_shape[-2], w=x_shape[-1]))
cell_mean_backward.vjp(dy=lambda g, dy_shape: cell_mean(g, oh=dy_shape[-2], ow=dy_shape[-1]))
gather_positions.vjp(
    x=lambda g, positions, x_shape, dims: scatter_positions(
        g, positions, size=x_shape[-dims:], add=True
    )
)
scatter_positions.vjp(x=lambda g, positions, size: gather_positions(g, positions, dims=len(size)))


# ---- arguments ----------------------------------------------------------------------------------


def check_floating(function: str, x) -> None:
    """NotImplementedError unless x is floating."""
    if not _dtype.is_float(x.array.dtype):
        raise NotImplementedError(
            f"{function}: input must be of a floating dtype, but got {x.array.dtype}"
        )


def strides(stride, kernel, dims: int, function: str) -> tuple[int, ...]:
    """`stride`, which None or nothing makes the kernel's size."""
    if stride is None or stride == () or stride == []:
        return kernel
    return int_tuple(stride, dims, function, "stride")


def output_size(size: int, window: int, stride: int, padding: int, ceil_mode: bool) -> int:
    """Windows along one dimension; with ceil_mode the last may hang over, but must begin within
    the input or the padding before it."""
    room = size + 2 * padding - window
    count = -(-room // stride) + 1 if ceil_mode else room // stride + 1
    if ceil_mode and (count - 1) * stride >= size + padding:
        count -= 1
    return count


@lru_cache(maxsize=512)
def pool_geometry(
    function, dims, x, kernel, stride, padding, dilation, ceil_mode, count_include_pad, divisor
) -> Pool2dGeometry | Pool3dGeometry:
    """The geometry for an input of shape `x`, checked."""
    if len(x) not in (dims + 1, dims + 2) or 0 in x[-dims - 1 :]:
        raise RuntimeError(
            f"{function}: non-empty {dims + 1}D or {dims + 2}D (batch mode) tensor expected for "
            f"input, but got size {list(x)}"
        )
    if min(kernel) < 1:
        raise RuntimeError(f"{function}: kernel size should be greater than zero, got {kernel}")
    if min(stride) < 1:
        raise RuntimeError(f"{function}: stride should be greater than zero, got {stride}")
    if min(dilation) < 1:
        raise RuntimeError(f"{function}: dilation should be greater than zero, got {dilation}")
    if min(padding) < 0:
        raise RuntimeError(f"{function}: padding should not be negative, got {padding}")
    spans = tuple([d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)])
    for pad, k, d, span in zip(padding, kernel, dilation, spans, strict=True):
        if pad > span // 2:
            raise RuntimeError(
                f"{function}: pad should be at most half of effective kernel size, but got "
                f"pad={pad}, kernel_size={k} and dilation={d}"
            )
    if max(prod(kernel), *spans, *stride, *x) > WINDOW_LIMIT:
        raise RuntimeError(
            f"{function}: a size is too large: input {list(x)}, kernel {kernel}, stride {stride} "
            f"or dilation {dilation}"
        )
    sizes = x[-dims:]
    outs = [
        output_size(*axis, ceil_mode) for axis in zip(sizes, spans, stride, padding, strict=True)
    ]
    if min(outs) < 1:
        raise RuntimeError(
            f"{function}: Given input size: ({'x'.join(map(str, x[-dims - 1 :]))}). Calculated "
            f"output size: ({'x'.join(map(str, (x[-dims - 1], *outs)))}). Output size is too small"
        )
    planes = prod(x[:-dims])
    options = (*padding[-2:], count_include_pad, divisor)
    if dims == 2:
        return Pool2dGeometry(
            planes, *sizes, *outs, *kernel, *stride, *padding, *dilation, *options
        )
    if dims == 1:
        return Pool2dGeometry(
            *(planes, 1, *sizes, 1, *outs, 1, *kernel, 1, *stride, 0, *padding, 1, *dilation),
            *(0, *options),
        )
    area = outs[1] * outs[2]  # a divisor divides once: the slices are then only summed
    axes = (kernel, stride, padding, dilation)
    plane = Pool2dGeometry(
        *(planes * sizes[0], *sizes[1:], *outs[1:]),
        *[n for axis in axes for n in axis[1:]],
        *(*padding[1:], count_include_pad, 1 if divisor else 0),
    )
    depth = Pool2dGeometry(
        *(planes, sizes[0], area, outs[0], area, kernel[0], 1, stride[0], 1, padding[0], 0),
        *(dilation[0], 1, padding[0], 0, count_include_pad, divisor),
    )
    return Pool3dGeometry(plane, depth)


# ---- maxima -------------------------------------------------------------------------------------


def pooled_max(
    function, dims, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices
):
    """See :func:`max_pool2d`."""
    tensor_argument(function, "input", input)
    if dims > 1 and input.array.dtype.kind in "iu":
        options = (kernel_size, stride, padding, dilation, ceil_mode, True)
        y, positions = pooled_max(function, dims, input.double(), *options)
        return (y.to(input.dtype), positions) if return_indices else y.to(input.dtype)
    kernel = int_tuple(kernel_size, dims, function, "kernel_size")
    geom = pool_geometry(
        function,
        dims,
        input.array.shape,
        kernel,
        strides(stride, kernel, dims, function),
        int_tuple(padding, dims, function, "padding"),
        int_tuple(dilation, dims, function, "dilation"),
        bool(ceil_mode),
        1,
        0,
    )
    check_floating(function, input)
    if dims < 3:
        y, taps = max_pool(input, geom=geom)
        return (y, winners(taps, geom=geom)) if return_indices else y
    plane, depth = geom
    slices, in_slice = max_pool(input, geom=plane)
    y, in_depth = max_pool(slices.flatten(-2), geom=depth)
    y = y.unflatten(-1, (plane.oh, plane.ow))
    if not return_indices:
        return y
    at = winners(in_depth, geom=depth)
    return y, positions_in_volume(winners(in_slice, geom=plane), at, plane.h * plane.w)


def positions_in_volume(in_slice, at, area: int):
    """Positions in the slices (..., D, OH, OW) and those of the winning slices, (..., OD, OH * OW)
    in D x (OH * OW) planes -> positions in D x H x W volumes with H * W = `area`."""
    oh, ow = in_slice.shape[-2:]
    flat = at.flatten(-2)
    found = flat // max(1, oh * ow) * area + in_slice.flatten(-3).gather(-1, flat)
    return found.unflatten(-1, (at.shape[-2], oh, ow))


def max_pool1d(
    input,
    kernel_size,
    stride=None,
    padding=0,
    dilation=1,
    ceil_mode=False,
    return_indices=False,
):
    """The largest value of each window: (N, C, L) or (C, L) -> (N, C, OL) or (C, OL); see
    :func:`max_pool2d`."""
    options = (kernel_size, stride, padding, dilation, ceil_mode, return_indices)
    return pooled_max("max_pool1d", 1, input, *options)


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
        input: (N, C, H, W) or (C, H, W), floating; or integers, of magnitudes up to 2**53.
        kernel_size, stride, padding, dilation: ints or pairs (vertical, horizontal); `stride` is
            kernel_size unless given; the padding, at most half a window, counts as -infinity.
        ceil_mode: round the output size up, so that a last partial window counts.
        return_indices: also return the winners' positions in their H x W plane, int64.

    Returns:
        (N, C, OH, OW) or (C, OH, OW), or a pair with the positions.

    Raises:
        RuntimeError: the shape, dtype or a size does not fit.
        TypeError: a size is no int.
    """
    options = (kernel_size, stride, padding, dilation, ceil_mode, return_indices)
    return pooled_max("max_pool2d", 2, input, *options)


def max_pool3d(
    input,
    kernel_size,
    stride=None,
    padding=0,
    dilation=1,
    ceil_mode=False,
    return_indices=False,
):
    """The largest value of each window: (N, C, D, H, W) or (C, D, H, W) -> (N, C, OD, OH, OW) or
    (C, OD, OH, OW); see :func:`max_pool2d`. Positions are those in the D x H x W volume."""
    options = (kernel_size, stride, padding, dilation, ceil_mode, return_indices)
    return pooled_max("max_pool3d", 3, input, *options)


# ---- means --------------------------------------------------------------------------------------


def pooled_mean(
    function,
    dims,
    input,
    kernel_size,
    stride,
    padding,
    ceil_mode,
    count_include_pad,
    divisor_override,
):
    """See :func:`avg_pool2d`."""
    tensor_argument(function, "input", input)
    if divisor_override == 0:
        raise RuntimeError(f"{function}: divisor must be not zero")
    kernel = int_tuple(kernel_size, dims, function, "kernel_size")
    geom = pool_geometry(
        function,
        dims,
        input.array.shape,
        kernel,
        strides(stride, kernel, dims, function),
        int_tuple(padding, dims, function, "padding"),
        (1,) * dims,
        bool(ceil_mode),
        int(count_include_pad),
        divisor_override or 0,
    )
    check_floating(function, input)
    if dims < 3:
        return avg_pool(input, geom=geom)
    plane, depth = geom
    y = avg_pool(avg_pool(input, geom=plane).flatten(-2), geom=depth)
    return y.unflatten(-1, (plane.oh, plane.ow))


def avg_pool1d(input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    """The mean of each window: (N, C, L) or (C, L) -> (N, C, OL) or (C, OL); see
    :func:`avg_pool2d`."""
    options = (kernel_size, stride, padding, ceil_mode, count_include_pad, None)
    return pooled_mean("avg_pool1d", 1, input, *options)


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
    options = (kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
    return pooled_mean("avg_pool2d", 2, input, *options)


def avg_pool3d(
    input,
    kernel_size,
    stride=None,
    padding=0,
    ceil_mode=False,
    count_include_pad=True,
    divisor_override=None,
):
    """The mean of each window: (N, C, D, H, W) or (C, D, H, W) -> (N, C, OD, OH, OW) or
    (C, OD, OH, OW); see :func:`avg_pool2d`."""
    options = (kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
    return pooled_mean("avg_pool3d", 3, input, *options)


def pooled_norm(function, dims, input, norm_type, kernel_size, stride, ceil_mode):
    """(sum of x ** p over each window) ** (1 / p): from means, as many times the window's size."""
    kernel = int_tuple(kernel_size, dims, function, "kernel_size")
    mean = (avg_pool1d, avg_pool2d, avg_pool3d)[dims - 1]
    means = mean(input.pow(norm_type), kernel, stride, 0, ceil_mode)
    return (means.sign() * means.abs().relu() * prod(kernel)).pow(1.0 / norm_type)


def lp_pool1d(input, norm_type, kernel_size, stride=None, ceil_mode=False):
    """The p-norm of each window of (N, C, L) or (C, L), p = `norm_type`; see :func:`avg_pool2d`."""
    return pooled_norm("lp_pool1d", 1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(input, norm_type, kernel_size, stride=None, ceil_mode=False):
    """The p-norm of each window, (sum of x ** p) ** (1 / p) with p = `norm_type` and signs kept for
    odd p; shapes and sizes as :func:`avg_pool2d`."""
    return pooled_norm("lp_pool2d", 2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(input, norm_type, kernel_size, stride=None, ceil_mode=False):
    """The p-norm of each window of (N, C, D, H, W) or (C, D, H, W), p = `norm_type`; see
    :func:`lp_pool2d`."""
    return pooled_norm("lp_pool3d", 3, input, norm_type, kernel_size, stride, ceil_mode)


# ---- adaptive: as many windows as asked for -----------------------------------------------------


def adaptive_sizes(function, dims, input, output_size) -> tuple[int, ...]:
    """The output sizes; None keeps the input's."""
    tensor_argument(function, "input", input)
    shape = input.array.shape
    if len(shape) not in (dims + 1, dims + 2):
        raise RuntimeError(
            f"{function}(): Expected {dims + 1}D or {dims + 2}D tensor, but got {list(shape)}"
        )
    if 0 in shape[-dims - 1 :]:
        raise RuntimeError(
            f"{function}(): Expected input to have non-zero size for non-batch dimensions, but "
            f"input has sizes {list(shape)}"
        )
    check_floating(function, input)
    wanted = output_size if isinstance(output_size, list | tuple) else (output_size,) * dims
    if len(wanted) != dims:
        raise RuntimeError(f"{function}: output_size must be {dims} sizes, got {output_size!r}")
    wanted = [size if n is None else n for n, size in zip(wanted, shape[-dims:], strict=True)]
    found = int_tuple(tuple(wanted), dims, function, "output_size")
    if min(found) < 0 or max(found) > SIZE_LIMIT or prod(found) > WINDOW_LIMIT:
        raise RuntimeError(
            f"{function}: elements of output_size must be greater than or equal to 0 and not too "
            f"large, but received {found}"
        )
    return found


def even_windows(function, x, oh, ow):
    """The geometry where the cells are windows of one size, else None."""
    h, w = x.array.shape[-2:]
    if not (oh and ow) or h % oh or w % ow:
        return None
    kernel = h // oh, w // ow
    shape = (prod(x.array.shape[:-2]), h, w)
    return pool_geometry(function, 2, shape, kernel, kernel, (0, 0), (1, 1), False, 1, 0)


def max_of_cells(function, x, oh, ow):
    """The maxima of x (..., H, W) in OH x OW cells, and a function that gives their positions."""
    geom = even_windows(function, x, oh, ow) if x.array.size else None
    if geom is None:
        y, positions = cell_max(x, oh=oh, ow=ow)
        return y, lambda: positions
    y, taps = max_pool(x, geom=geom)
    return y, lambda: winners(taps, geom=geom)


def mean_of_cells(function, x, oh, ow):
    """The means of x (..., H, W) in OH x OW cells."""
    geom = even_windows(function, x, oh, ow) if x.array.size else None
    return cell_mean(x, oh=oh, ow=ow) if geom is None else avg_pool(x, geom=geom)


def adaptive_mean(function, dims, input, output_size):
    """See :func:`adaptive_avg_pool2d`."""
    sizes = adaptive_sizes(function, dims, input, output_size)
    if dims == 1:
        return mean_of_cells(function, input.unsqueeze(-2), 1, *sizes).squeeze(-2)
    y = mean_of_cells(function, input, *sizes[-2:])
    if dims == 2:
        return y
    y = mean_of_cells(function, y.flatten(-2), sizes[0], sizes[1] * sizes[2])
    return y.unflatten(-1, sizes[1:])


def adaptive_max(function, dims, input, output_size, return_indices):
    """See :func:`adaptive_max_pool2d`."""
    sizes = adaptive_sizes(function, dims, input, output_size)
    if dims == 1:
        y, positions = max_of_cells(function, input.unsqueeze(-2), 1, *sizes)
        return (y.squeeze(-2), positions().squeeze(-2)) if return_indices else y.squeeze(-2)
    y, in_slice = max_of_cells(function, input, *sizes[-2:])
    if dims == 2:
        return (y, in_slice()) if return_indices else y
    y, in_depth = max_of_cells(function, y.flatten(-2), sizes[0], sizes[1] * sizes[2])
    y = y.unflatten(-1, sizes[1:])
    if not return_indices:
        return y
    area = prod(input.array.shape[-2:])
    return y, positions_in_volume(in_slice(), in_depth(), area)


def adaptive_avg_pool1d(input, output_size):
    """Averages (N, C, L) or (C, L) down to `output_size` cells; see :func:`adaptive_avg_pool2d`."""
    return adaptive_mean("adaptive_avg_pool1d", 1, input, output_size)


def adaptive_avg_pool2d(input, output_size):
    """Averages (N, C, H, W) or (C, H, W) down to `output_size`, an int or a pair; None keeps a
    dimension. Cell i of o covers the elements floor(i * H / o) to ceil((i + 1) * H / o) - 1.

    Raises:
        RuntimeError: the input's shape or dtype does not fit, or a size is negative.
        TypeError: a size is no int.
    """
    return adaptive_mean("adaptive_avg_pool2d", 2, input, output_size)


def adaptive_avg_pool3d(input, output_size):
    """Averages (N, C, D, H, W) or (C, D, H, W) down to `output_size`, an int or three; see
    :func:`adaptive_avg_pool2d`."""
    return adaptive_mean("adaptive_avg_pool3d", 3, input, output_size)


def adaptive_max_pool1d(input, output_size, return_indices=False):
    """The largest values of `output_size` cells of (N, C, L) or (C, L); see
    :func:`adaptive_max_pool2d`."""
    return adaptive_max("adaptive_max_pool1d", 1, input, output_size, return_indices)


def adaptive_max_pool1d_with_indices(input, output_size):
    """(values, positions) of :func:`adaptive_max_pool1d`: what ``torch.adaptive_max_pool1d`` is."""
    return adaptive_max_pool1d(input, output_size, return_indices=True)


def adaptive_max_pool2d(input, output_size, return_indices=False):
    """The largest values of the cells of :func:`adaptive_avg_pool2d`, and with `return_indices` a
    pair with their positions in the H x W plane, int64; a NaN wins.

    Raises:
        RuntimeError: the input's shape or dtype does not fit, or a size is negative.
        TypeError: a size is no int.
    """
    return adaptive_max("adaptive_max_pool2d", 2, input, output_size, return_indices)


def adaptive_max_pool3d(input, output_size, return_indices=False):
    """The largest values of cells of (N, C, D, H, W) or (C, D, H, W); see
    :func:`adaptive_max_pool2d`. Positions are those in the D x H x W volume."""
    return adaptive_max("adaptive_max_pool3d", 3, input, output_size, return_indices)


# ---- unpooling ----------------------------------------------------------------------------------


def unpooled(function, dims, input, indices, kernel_size, stride, padding, output_size):
    """See :func:`max_unpool2d`."""
    tensor_argument(function, "input", input)
    tensor_argument(function, "indices", indices)
    kernel = int_tuple(kernel_size, dims, function, "kernel_size")
    stride = strides(stride, kernel, dims, function)
    padding = int_tuple(padding, dims, function, "padding")
    shape, at = input.array.shape, indices.array
    if at.dtype != "int64":
        raise RuntimeError(f"{function}: elements in indices should be int64 but got {at.dtype}")
    if at.shape != shape:
        raise RuntimeError(
            f"{function}: Expected shape of indices to be same as that of the input tensor "
            f"({list(shape)}) but got indices tensor with shape: {list(at.shape)}"
        )
    if len(shape) not in (dims + 1, dims + 2) or 0 in shape[-dims - 1 :]:
        raise RuntimeError(
            f"{function}: non-empty {dims + 1}D or {dims + 2}D (batch mode) tensor expected for "
            f"input, but got size {list(shape)}"
        )
    check_floating(function, input)
    default = [
        (n - 1) * s + k - 2 * p
        for n, s, k, p in zip(shape[-dims:], stride, kernel, padding, strict=True)
    ]
    size = unpooled_size(dims, default, stride, output_size)
    if min(*size, *kernel, *stride) < 1 or prod(size) > WINDOW_LIMIT:
        raise RuntimeError(
            f"{function}: an output of size {list(size)} is not possible (kernel {kernel}, stride "
            f"{stride})"
        )
    if at.size and not (at.min() >= 0 and at.max() < prod(size)):
        wrong = at[(at < 0) | (at >= prod(size))].flat[0]
        raise RuntimeError(
            f"Found an invalid max index: {wrong} (output volumes are of size "
            f"{'x'.join(map(str, size))})"
        )
    return scatter_positions(input, indices, size=size, add=False)


def unpooled_size(dims, default, stride, output_size) -> tuple[int, ...]:
    """`output_size`, less than a stride away from the default, or the default."""
    if output_size is None:
        return tuple(default)
    wanted = tuple(output_size)
    if len(wanted) == dims + 2:
        wanted = wanted[2:]
    if len(wanted) != dims:
        raise ValueError(
            f"output_size should be a sequence containing {dims} or {dims + 2} elements, but it "
            f"has a length of '{len(wanted)}'"
        )
    for d, (n, usual, step) in enumerate(zip(wanted, default, stride, strict=True)):
        if not usual - step < n < usual + step:
            raise ValueError(
                f'invalid output_size "{wanted}" (dim {d} must be between {usual - step} and '
                f"{usual + step})"
            )
    return int_tuple(wanted, dims, f"max_unpool{dims}d", "output_size")


def max_unpool1d(input, indices, kernel_size, stride=None, padding=0, output_size=None):
    """The partial inverse of :func:`max_pool1d`; see :func:`max_unpool2d`."""
    options = (kernel_size, stride, padding, output_size)
    return unpooled("max_unpool1d", 1, input, indices, *options)


def max_unpool2d(input, indices, kernel_size, stride=None, padding=0, output_size=None):
    """The partial inverse of :func:`max_pool2d`: each value at its position, 0 elsewhere.

    Args:
        input: (N, C, H, W) or (C, H, W), floating.
        indices: the positions that max pooling returned, int64, of input's shape. Where one occurs
            twice in a plane the last value stays.
        kernel_size, stride, padding: those of the pooling, from which the output's size follows.
        output_size: that size instead, less than a stride away; with or without N and C.

    Raises:
        RuntimeError: shapes or dtypes do not fit, or a position lies outside the output.
        ValueError: `output_size` does not fit.
    """
    options = (kernel_size, stride, padding, output_size)
    return unpooled("max_unpool2d", 2, input, indices, *options)


def max_unpool3d(input, indices, kernel_size, stride=None, padding=0, output_size=None):
    """The partial inverse of :func:`max_pool3d`; see :func:`max_unpool2d`."""
    options = (kernel_size, stride, padding, output_size)
    return unpooled("max_unpool3d", 3, input, indices, *options)
