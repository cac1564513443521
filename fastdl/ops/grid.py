"""Sampling images at any places: spatial transformers (Jaderberg et al. 2015)."""

from __future__ import annotations

import math

import numpy as np

from fastdl._engine import tensor_of
from fastdl.ops.core import tensor_argument
from fastdl.ops.elementwise import where

__all__ = ["affine_grid", "grid_sample"]


def _line(n, align_corners, dtype):
    """Places of n elements in [-1, 1]: corner elements at -1 and 1, or half an element within."""
    at = (2 * np.arange(n, dtype=dtype) + 1) / n - 1
    if align_corners:
        at = np.linspace(-1, 1, n, dtype=dtype) if n > 1 else np.zeros(1, dtype)
    return at


def affine_grid(theta, size, align_corners=None):
    """The places of all output elements under an affine map, for :func:`grid_sample`.

    Args:
        theta: maps from output to input coordinates, (N, 2, 3) or (N, 3, 4).
        size: the output's, (N, C, H, W) or (N, C, D, H, W).
        align_corners: see :func:`grid_sample`; False by default.

    Returns:
        (N, H, W, 2) or (N, D, H, W, 3): x, y(, z) in [-1, 1].

    Raises:
        ValueError: `theta` and `size` do not fit, or `theta` is not floating point.
    """
    tensor_argument("affine_grid", "theta", theta)
    if theta.array.dtype.kind != "f":
        raise ValueError(f"Expected theta to have floating point type, but got {theta.dtype}")
    size = tuple(size)
    spatial = len(size) - 2
    if spatial not in (2, 3):
        raise NotImplementedError(
            "affine_grid only supports 4D and 5D sizes, for 2D and 3D affine transforms, "
            f"respectively. Got size {size}."
        )
    if tuple(theta.shape) != (size[0], spatial, spatial + 1):
        raise ValueError(
            f"Expected a batch of {spatial}D affine matrices of shape Nx{spatial}x{spatial + 1} "
            f"for size {size}. Got {theta.shape}."
        )
    if min(size) <= 0:
        raise ValueError(f"Expected non-zero, positive output size. Got {size}")
    lines = [_line(n, align_corners, theta.array.dtype) for n in size[2:]]
    axes = np.meshgrid(*lines, indexing="ij")[::-1]  # x first
    base = np.stack([*axes, np.ones_like(axes[0])], -1).reshape(1, -1, spatial + 1)
    places = tensor_of(base) @ theta.transpose(1, 2)
    return places.reshape(size[0], *size[2:], spatial)


def _clip(x, low, high):
    """x held in [low, high]; NaN becomes `low`, as in PyTorch, and the gradient is 0 outside."""
    inside = (x >= low) & (x <= high)
    return where(inside, x, where(x > high, float(high), float(low)))


def _reflect(x, low, high):
    """x reflected at `low` and `high` (in halves of an element) until it lies between."""
    if low == high:
        return x * 0
    low, span = low / 2, (high - low) / 2
    x = (x - low).abs()
    turns = (x.detach() / span).floor()
    rest = x - turns * span
    return where(turns % 2 == 0, rest + low, span - rest + low)


def _places(coordinate, n, padding_mode, align_corners):
    """Coordinates in [-1, 1] as places among n elements, moved inside if padding asks for it."""
    if align_corners:
        at = (coordinate + 1) * ((n - 1) / 2)
    else:
        at = ((coordinate + 1) * n - 1) * 0.5
    return _padded(at, n, padding_mode, align_corners)


def _padded(at, n, padding_mode, align_corners):
    if padding_mode == "reflection":
        at = _reflect(at, 0, 2 * (n - 1)) if align_corners else _reflect(at, -1, 2 * n - 1)
    return at if padding_mode == "zeros" else _clip(at, 0, n - 1)


def _cubic_weights(t):
    """Weights of the four neighbours for a place t in [0, 1) after the second (a = -0.75)."""
    a = -0.75
    near = lambda x: ((a + 2) * x - (a + 3)) * x * x + 1
    far = lambda x: ((x - 5) * x + 8) * x * a - 4 * a
    return [far(t + 1), near(t), near(1 - t), far(2 - t)]


def grid_sample(input, grid, mode="bilinear", padding_mode="zeros", align_corners=None):
    """The values of images at the places of `grid`.

    Args:
        input: (N, C, H, W) or (N, C, D, H, W).
        grid: (N, h, w, 2) or (N, d, h, w, 3): x, y(, z) for each output; -1 and 1 are the edges.
        mode: ``"bilinear"`` (trilinear in 5-d), ``"nearest"``, or ``"bicubic"`` (4-d).
        padding_mode: what lies outside: ``"zeros"``, the ``"border"``'s values, or the image's
            ``"reflection"``.
        align_corners: True: -1 and 1 are the centres of the corner elements; False (the default):
            their outer corners.

    Returns:
        (N, C, h, w) or (N, C, d, h, w), differentiable in input and grid.

    Raises:
        ValueError: an unknown mode or padding mode.
        RuntimeError: shapes or dtypes that do not fit, an empty image.
    """
    tensor_argument("grid_sample", "input", input)
    tensor_argument("grid_sample", "grid", grid)
    if mode not in ("bilinear", "nearest", "bicubic"):
        raise ValueError(
            "nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic', "
            f"but got: '{mode}'"
        )
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ValueError(
            "nn.functional.grid_sample(): expected padding_mode to be 'zeros', 'border', or "
            f"'reflection', but got: '{padding_mode}'"
        )
    spatial = input.ndim - 2
    if spatial not in (2, 3) or grid.ndim != input.ndim:
        raise RuntimeError(
            "grid_sampler(): expected 4D or 5D input and grid with same number of dimensions, but "
            f"got input with sizes {list(input.shape)} and grid with sizes {list(grid.shape)}"
        )
    if grid.shape[0] != input.shape[0]:
        raise RuntimeError(
            "grid_sampler(): expected grid and input to have same batch size, but got input with "
            f"sizes {list(input.shape)} and grid with sizes {list(grid.shape)}"
        )
    if grid.shape[-1] != spatial:
        raise RuntimeError(
            f"grid_sampler(): expected grid to have size {spatial} in last dimension, but got grid "
            f"with sizes {list(grid.shape)}"
        )
    if input.dtype is not grid.dtype:
        raise RuntimeError(
            "grid_sampler(): expected input and grid to have same dtype, but input has "
            f"{input.dtype} and grid has {grid.dtype}"
        )
    if min(input.shape[1:]) == 0:
        raise RuntimeError(
            "grid_sampler(): expected input to have non-empty spatial dimensions, but input has "
            f"sizes {list(input.shape)}"
        )
    if mode == "bicubic" and spatial == 3:
        raise RuntimeError("grid_sampler(): bicubic interpolation only supports 4D input")
    sizes = list(input.shape[2:])
    coordinates = [grid[..., spatial - 1 - d] for d in range(spatial)]  # in the order of `sizes`
    if mode == "bicubic":  # padding moves the neighbours, not the place
        at = [_places(c, n, "zeros", align_corners) for c, n in zip(coordinates, sizes)]
        floors = [x.detach().floor() for x in at]
        weights = [_cubic_weights(x - f) for x, f in zip(at, floors)]
        steps = range(-1, 3)
    else:
        at = [_places(c, n, padding_mode, align_corners) for c, n in zip(coordinates, sizes)]
        if mode == "nearest":
            floors = [x.detach().round() for x in at]  # halves to even
            weights, steps = [[1.0]] * spatial, range(1)
        else:
            floors = [x.detach().floor() for x in at]
            weights = [[1 - (x - f), x - f] for x, f in zip(at, floors)]
            steps = range(2)
    flat = input.reshape(*input.shape[:2], math.prod(sizes))
    total = None
    for corner in np.ndindex((len(steps),) * spatial):
        neighbours = [f + steps[k] for f, k in zip(floors, corner)]
        if mode == "bicubic":
            neighbours = [
                _padded(x, n, padding_mode, align_corners) for x, n in zip(neighbours, sizes)
            ]
        weight = math.prod(w[k] for w, k in zip(weights, corner))
        term = _values_at(flat, neighbours, sizes, weight)
        total = term if total is None else total + term
    return total


def _values_at(flat, places, sizes, weight):
    """Values of (N, C, prod(sizes)) at whole places, (N, *) each; 0 outside; times weight."""
    inside, index = None, None
    for x, n in zip(places, sizes):
        x = x.array
        within = (x >= 0) & (x <= n - 1)
        inside = within if inside is None else inside & within
        whole = np.where(within, x, 0).astype(np.int64)
        index = whole if index is None else index * n + whole
    n, c = flat.shape[:2]
    index = tensor_of(np.broadcast_to(index.reshape(n, 1, -1), (n, c, index[0].size)))
    values = flat.gather(2, index).reshape(n, c, *inside.shape[1:])
    mask = tensor_of(inside[:, None].astype(flat.array.dtype))
    if isinstance(weight, float):
        return values * mask
    return values * (weight.unsqueeze(1) * mask)
