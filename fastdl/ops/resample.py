"""Resizing images: each output is a weighted sum of a few neighbouring inputs, one dimension after
the other.

All modes differ only in their `Table`: which inputs with which weights make each output. Applying a
table is multiplying by a band matrix, which is done in dense blocks of `BLOCK` outputs; the
gradient applies the transposed table, so that derivatives of every order are the same operation.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from fastdl import _dtype, backends
from fastdl.ops.core import primitive, tensor_argument
from fastdl.ops.pool import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d

__all__ = ["interpolate", "upsample", "upsample_bilinear", "upsample_nearest"]

BLOCK = 64  # outputs in a block: 33 inputs are enough for them at twice the size

MODES = {  # mode -> numbers of spatial dimensions
    "nearest": (1, 2, 3),
    "nearest-exact": (1, 2, 3),
    "area": (1, 2, 3),
    "linear": (1,),
    "bilinear": (2,),
    "trilinear": (3,),
    "bicubic": (2,),
}
SMOOTH = ("linear", "bilinear", "trilinear", "bicubic")


class Table:
    """Weights of the inputs that make each output along one dimension.

    outputs, inputs, weights: arrays of equal length, one entry for each product.
    """

    def __init__(self, n_in, n_out, outputs, inputs, weights):
        self.n_in, self.n_out = n_in, n_out
        self.entries = outputs, inputs, weights

    @functools.cached_property
    def transposed(self):
        """The table of the gradient."""
        outputs, inputs, weights = self.entries
        table = Table(self.n_out, self.n_in, inputs, outputs, weights)
        table.__dict__["transposed"] = self
        return table

    @functools.cached_property
    def blocks(self):
        """[(first output, first input, matrix (outputs, inputs))], float64; few outputs each."""
        outputs, inputs, weights = self.entries
        found = []
        for start in range(0, self.n_out, BLOCK):
            rows = min(BLOCK, self.n_out - start)
            here = (outputs >= start) & (outputs < start + rows)
            if not here.any():
                found.append((start, 0, np.zeros((rows, 0))))
                continue
            first = inputs[here].min()
            matrix = np.zeros((rows, inputs[here].max() + 1 - first))
            np.add.at(matrix, (outputs[here] - start, inputs[here] - first), weights[here])
            found.append((start, int(first), matrix))
        return found


def _centres(n_in, n_out, scale, align_corners):
    """Where each output lies among the inputs."""
    j = np.arange(n_out)
    if align_corners:
        return j * ((n_in - 1) / (n_out - 1) if n_out > 1 else 0.0)
    return (j + 0.5) * scale - 0.5


def _cubic(t, a):
    """Keys' (1981) kernel with parameter a."""
    t = np.abs(t)
    near = ((a + 2) * t - (a + 3)) * t * t + 1
    far = ((t - 5) * t + 8) * t * a - 4 * a
    return np.where(t <= 1, near, np.where(t < 2, far, 0.0))


@functools.lru_cache(maxsize=256)
def table_for(mode, n_in, n_out, scale, align_corners, antialias):
    """The table of one dimension; `scale` is inputs per output."""
    j = np.arange(n_out)
    if mode.startswith("nearest"):
        # PyTorch computes the place in float32.
        shift = np.float32(0.5 if mode == "nearest-exact" else 0)
        place = np.floor((j.astype(np.float32) + shift) * np.float32(scale)).astype(np.int64)
        return Table(n_in, n_out, j, np.minimum(place, n_in - 1), np.ones(n_out))
    cubic = mode == "bicubic"
    centre = _centres(n_in, n_out, scale, align_corners)
    if antialias:
        if align_corners:
            scale = (n_in - 1) / (n_out - 1) if n_out > 1 else 0.0
        stretch = max(scale, 1.0)
        reach = stretch * (2 if cubic else 1)
        middle = scale * (j + 0.5)
        first = np.maximum((middle - reach + 0.5).astype(np.int64), 0)
        count = np.minimum((middle + reach + 0.5).astype(np.int64), n_in) - first
        k = np.arange(count.max())
        t = (k + first[:, None] - middle[:, None] + 0.5) / stretch
        weights = _cubic(t, -0.5) if cubic else np.maximum(1 - np.abs(t), 0)
        weights *= k < count[:, None]
        weights /= weights.sum(1, keepdims=True)
        inputs = first[:, None] + k
    elif cubic:
        first = np.floor(centre).astype(np.int64)
        k = np.arange(-1, 3)
        weights = _cubic(centre[:, None] - first[:, None] - k, -0.75)
        inputs = first[:, None] + k
    else:
        centre = np.maximum(centre, 0)
        first = np.minimum(centre.astype(np.int64), n_in - 1)
        t = centre - first
        weights = np.stack([1 - t, t], 1)
        inputs = first[:, None] + np.arange(2)
    inputs = np.clip(inputs, 0, n_in - 1)
    kept = weights != 0
    outputs = np.broadcast_to(j[:, None], inputs.shape)
    return Table(n_in, n_out, outputs[kept], inputs[kept], weights[kept])


@primitive
def resample(x, *, axis, table):
    """x (*, n_in, *) -> (*, n_out, *): the weighted sums of `table` along `axis`."""
    outer, inner = math.prod(x.shape[:axis]), math.prod(x.shape[axis + 1 :])
    shape = (*x.shape[:axis], table.n_out, *x.shape[axis + 1 :])
    backend, dtype = backends.of(x), x.dtype if x.dtype.kind == "f" else np.dtype(np.float64)
    if outer * inner == 0:
        return np.zeros(shape, x.dtype)
    rows = inner == 1  # the last dimension: the images are the rows of one matrix
    source = x.reshape((outer, table.n_in) if rows else (outer, table.n_in, inner))
    result = np.empty((outer, table.n_out) if rows else (outer, table.n_out, inner), x.dtype)
    for start, first, matrix in table.blocks:
        weights = matrix.astype(dtype)
        n_out, n_in = matrix.shape
        window = source[:, first : first + n_in]
        part = backend.matmul(window, weights.T) if rows else backend.matmul(weights, window)
        result[:, start : start + n_out] = part
    return result.reshape(shape)


resample.vjp(x=lambda g, axis, table: resample(g, axis=axis, table=table.transposed))


def _enlarged(x, factors):
    """Every element `factors[d]` times along each spatial dimension: one copy."""
    shape, wide, merged = list(x.shape[:2]), list(x.shape[:2]), list(x.shape[:2])
    for n, factor in zip(x.shape[2:], factors):
        shape += [n, 1]
        wide += [n, factor]
        merged.append(n * factor)
    return x.reshape(shape).expand(wide).reshape(merged)


def _sizes(input, size, scale_factor, recompute_scale_factor):
    """(output sizes, inputs per output along each dimension)."""
    spatial = input.ndim - 2
    if size is not None and scale_factor is not None:
        raise ValueError("only one of size or scale_factor should be defined")
    if size is not None:
        sizes = list(size) if isinstance(size, list | tuple) else [size] * spatial
        if len(sizes) != spatial:
            raise ValueError(
                "Input and output must have the same number of spatial dimensions, but got input "
                f"with spatial dimensions of {list(input.shape[2:])} and output size of {size}. "
                "Please provide input tensor in (N, C, d1, d2, ...,dK) format and output size in "
                "(o1, o2, ...,oK) format."
            )
        sizes = [int(n) for n in sizes]
        factors = None
    elif scale_factor is not None:
        factors = (
            list(scale_factor)
            if isinstance(scale_factor, list | tuple)
            else [scale_factor] * spatial
        )
        if len(factors) != spatial:
            raise ValueError(
                "Input and scale_factor must have the same number of spatial dimensions, but got "
                f"input with spatial dimensions of {list(input.shape[2:])} and scale_factor of "
                f"shape {scale_factor}."
            )
        sizes = [math.floor(n * f) for n, f in zip(input.shape[2:], factors)]
    else:
        raise ValueError("either size or scale_factor should be defined")
    if any(n <= 0 for n in (*sizes, *input.shape[2:])):
        raise RuntimeError(
            "Input and output sizes should be greater than 0, but got input "
            f"{list(input.shape[2:])} and output {sizes}"
        )
    if factors is None or recompute_scale_factor:
        scales = [n / m for n, m in zip(input.shape[2:], sizes)]
    else:
        scales = [1 / f for f in factors]
    return sizes, scales


def interpolate(
    input,
    size=None,
    scale_factor=None,
    mode="nearest",
    align_corners=None,
    recompute_scale_factor=None,
    antialias=False,
):
    """Images, sequences or volumes made smaller or larger.

    Args:
        input: (N, C, L), (N, C, H, W) or (N, C, D, H, W), floating point.
        size: the new spatial size, a number or one for each dimension; or
        scale_factor: how many times larger, a number or one for each dimension.
        mode: ``"nearest"``, ``"nearest-exact"`` (as Pillow and scikit-image), ``"area"`` (averages
            of the covered inputs), ``"linear"`` (3-d input), ``"bilinear"``, ``"bicubic"`` (4-d),
            ``"trilinear"`` (5-d).
        align_corners: for the linear and cubic modes: True lays the centres of the corner elements
            on each other, False (the default) the corners of the corner elements.
        recompute_scale_factor: use the ratio of the sizes in place of `scale_factor`.
        antialias: for bilinear and bicubic, when making smaller: weigh all covered inputs.

    Returns:
        (N, C, *), the new spatial size.

    Raises:
        ValueError: neither or both of `size` and `scale_factor`, or another number of dimensions
            than the spatial ones; an option that the mode does not have.
        NotImplementedError: a mode that does not exist, or not for this number of dimensions.
        RuntimeError: a size that is not positive.
    """
    tensor_argument("interpolate", "input", input)
    if mode not in SMOOTH and align_corners is not None:
        raise ValueError(
            "align_corners option can only be set with the interpolating modes: linear | bilinear "
            "| bicubic | trilinear"
        )
    if input.ndim - 2 not in MODES.get(mode, ()):
        raise NotImplementedError(
            f"interpolate: got {input.ndim}D input and mode {mode!r}; expected 3D, 4D or 5D input "
            "and one of nearest, nearest-exact, area, or linear (3D), bilinear, bicubic (4D), "
            "trilinear (5D)"
        )
    if antialias and (mode not in ("bilinear", "bicubic") or input.ndim != 4):
        raise ValueError(
            "Anti-alias option is restricted to bilinear and bicubic modes and requires a 4-D "
            "tensor as input"
        )
    if recompute_scale_factor and size is not None:
        raise ValueError("recompute_scale_factor is not meaningful with an explicit size.")
    sizes, scales = _sizes(input, size, scale_factor, recompute_scale_factor)
    if not _dtype.is_float(input.array.dtype) and (
        mode != "nearest" or input.array.dtype != np.uint8
    ):
        raise NotImplementedError(
            f"interpolate: mode {mode!r} is not implemented for {input.dtype}"
        )
    if mode == "area":
        pool = (adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d)[input.ndim - 3]
        return pool(input, sizes)
    factors = [m // n for n, m in zip(input.shape[2:], sizes)]
    whole = all(n * f == m and s * f == 1
                for n, m, s, f in zip(input.shape[2:], sizes, scales, factors))  # fmt: skip
    if mode.startswith("nearest") and whole:
        return _enlarged(input, factors)
    for d, (m, scale) in enumerate(zip(sizes, scales)):
        n = input.shape[d + 2]
        table = table_for(mode, n, m, float(scale), bool(align_corners), bool(antialias))
        if n != m or scale != 1:
            input = resample(input, axis=d + 2, table=table)
    return input


def upsample(input, size=None, scale_factor=None, mode="nearest", align_corners=None):
    """:func:`interpolate` under its older name."""
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input, size=None, scale_factor=None):
    """:func:`interpolate` with mode ``"nearest"``."""
    return interpolate(input, size, scale_factor, mode="nearest")


def upsample_bilinear(input, size=None, scale_factor=None):
    """:func:`interpolate` with mode ``"bilinear"`` and ``align_corners=True``."""
    return interpolate(input, size, scale_factor, mode="bilinear", align_corners=True)
