"""unfold (im2col) and fold (col2im): the columns that a convolution multiplies, and their adjoint.

Convolution itself needs neither; they are for what sees an image as a sequence of patches.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from math import prod
from typing import NamedTuple

import numpy as np

from fastdl import _dtype
from fastdl.ops.conv import NUMEL_LIMIT, SIZE_LIMIT, axis_taps, pair
from fastdl.ops.core import primitive, tensor_argument

__all__ = ["fold", "unfold"]


class PatchGeometry(NamedTuple):
    """Patches of r x s at oh x ow places of an h x w image; each pair is (vertical, horizontal)."""

    size: tuple[int, int]
    places: tuple[int, int]
    window: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]


@lru_cache(maxsize=64)
def patch_taps(geom):
    """Pairs, one for each tap of the window, of where both are: columns (N, C, R * S, OH, OW) and
    the elements of the images (N, C, H, W) that stand in them."""
    vertical, horizontal = (list(axis_taps(*axis)) for axis in zip(*geom, strict=True))
    everywhere = slice(None), slice(None)
    return [
        ((*everywhere, r * geom.window[1] + s, up, left), (*everywhere, rows, columns))
        for (r, up, rows), (s, left, columns) in product(vertical, horizontal)
    ]


@primitive(node_name="Im2Col")
def patches(x, *, geom):
    """x (N, C, H, W) -> (N, C * R * S, OH * OW); 0 where a patch reaches into the padding."""
    n, c, h, w = x.shape
    above, left = geom.padding
    if above or left:
        around = np.zeros((n, c, h + 2 * above, w + 2 * left), x.dtype)
        around[:, :, above : above + h, left : left + w] = x
    else:
        around = np.ascontiguousarray(x)
    step = around.strides
    steps = [s * d for s, d in zip(step[2:] * 2, geom.dilation + geom.stride, strict=True)]
    taps = np.ndarray((n, c, *geom.window, *geom.places), x.dtype, around, 0, (*step[:2], *steps))
    return taps.copy().reshape(n, c * prod(geom.window), prod(geom.places))


@primitive(node_name="Col2Im")
def patch_sum(columns, *, geom):
    """(N, C * R * S, OH * OW) -> (N, C, H, W): the adjoint, patches added where they lie."""
    n = columns.shape[0]
    window = prod(geom.window)
    columns = columns.reshape(n, columns.shape[1] // window, window, *geom.places)
    x = np.zeros_like(columns, shape=(*columns.shape[:2], *geom.size))
    for places, elements in patch_taps(geom):
        x[elements] += columns[places]
    return x


patches.vjp(x=lambda g, geom: patch_sum(g, geom=geom))
patch_sum.vjp(columns=lambda g, geom: patches(g, geom=geom))


@lru_cache(maxsize=512)
def patch_geometry(function, size, window, dilation, padding, stride) -> PatchGeometry:
    """Checked; see :func:`unfold`."""
    for name, values, least in (
        ("kernel size", window, 1),
        ("dilation", dilation, 1),
        ("padding", padding, 0),
        ("stride", stride, 1),
    ):
        if min(values) < least:
            raise RuntimeError(f"{function}: {name} should be at least {least}, but got {values}")
    if max(*size, *window, *dilation, *padding, *stride) > SIZE_LIMIT:
        raise RuntimeError(f"{function}: sizes must be at most {SIZE_LIMIT}")
    places = tuple(
        [
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, k, d, p, s in zip(size, window, dilation, padding, stride, strict=True)
        ]
    )
    if min(places) < 1 or prod(places) * prod(window) > NUMEL_LIMIT:
        raise RuntimeError(
            f"{function}: Given spatial size {size}, kernel_size={window}, dilation={dilation}, "
            f"padding={padding}, stride={stride}, calculated shape of the array of sliding blocks "
            f"as {places}, which must be at least one and not too large"
        )
    return PatchGeometry(size, places, window, stride, padding, dilation)


def check_input(function, x, ndim) -> None:
    if not _dtype.is_float(x.array.dtype):
        raise NotImplementedError(f"{function}: not implemented for {x.array.dtype}")
    if x.ndim not in (ndim - 1, ndim) or 0 in x.array.shape[1 - ndim :]:
        raise RuntimeError(
            f"{function}: Expected {ndim - 1}D or {ndim}D (batch mode) tensor with possibly 0 "
            f"batch size and other non-zero dimensions for input, but got: {list(x.array.shape)}"
        )


def unfold(input, kernel_size, dilation=1, padding=0, stride=1):
    """Every patch of an image as a column.

    Args:
        input: (N, C, H, W) or (C, H, W), floating.
        kernel_size, dilation, padding, stride: of the patches, as in :func:`conv2d`; ints or pairs.

    Returns:
        (N, C * R * S, L) or (C * R * S, L) for the L places of a patch of R x S elements.

    Raises:
        RuntimeError: shapes or sizes do not fit.
        TypeError: a size is no int.
    """
    check_input("unfold", tensor_argument("unfold", "input", input), 4)
    x = input.unsqueeze(0) if input.ndim == 3 else input
    geom = patch_geometry(
        "unfold",
        x.array.shape[2:],
        pair(kernel_size, "unfold", "kernel_size"),
        pair(dilation, "unfold", "dilation"),
        pair(padding, "unfold", "padding"),
        pair(stride, "unfold", "stride"),
    )
    y = patches(x, geom=geom)
    return y if x is input else y.squeeze(0)


def fold(input, output_size, kernel_size, dilation=1, padding=0, stride=1):
    """Columns (N, C * R * S, L) or (C * R * S, L) added up to images (N, C, H, W) or (C, H, W) of
    `output_size`: the adjoint of :func:`unfold`, not its inverse where patches overlap.

    Raises:
        RuntimeError: shapes or sizes do not fit.
        TypeError: a size is no int.
    """
    check_input("fold", tensor_argument("fold", "input", input), 3)
    columns = input.unsqueeze(0) if input.ndim == 2 else input
    geom = patch_geometry(
        "fold",
        pair(output_size, "fold", "output_size"),
        pair(kernel_size, "fold", "kernel_size"),
        pair(dilation, "fold", "dilation"),
        pair(padding, "fold", "padding"),
        pair(stride, "fold", "stride"),
    )
    _, rows, places = columns.array.shape
    if rows % prod(geom.window):
        raise RuntimeError(
            f"fold: Expected size of input's dimension 1 to be divisible by the product of "
            f"kernel_size, but got input.size(1)={rows} and kernel_size={geom.window}"
        )
    if places != prod(geom.places):
        raise RuntimeError(
            f"fold: expected size of input's dimension 2 to match the calculated number of sliding "
            f"blocks {geom.places[0]} * {geom.places[1]} = {prod(geom.places)}, but got {places}"
        )
    y = patch_sum(columns, geom=geom)
    return y if columns is input else y.squeeze(0)
