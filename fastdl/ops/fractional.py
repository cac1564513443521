"""Fractional max pooling: windows at random places, which shrink a plane by any ratio.

Graham 2014. Where the windows begin is drawn for every plane and dimension from one number in
[0, 1); the maxima are then read at their positions, by the op that unpooling uses.
"""

from __future__ import annotations

from math import prod

import numpy as np

from fastdl._engine import tensor_of
from fastdl.ops.conv import int_tuple
from fastdl.ops.core import tensor_argument
from fastdl.ops.pool import check_floating, gather_positions
from fastdl.ops.random import rand

__all__ = ["fractional_max_pool2d", "fractional_max_pool3d"]


def _starts(samples: np.ndarray, size: int, windows: int, window: int) -> np.ndarray:
    """Where the windows of each plane begin: samples (P,) -> (P, windows)."""
    starts = np.full((samples.size, windows), size - window)
    if windows > 1:
        step = samples.dtype.type((size - window) / (windows - 1))
        shifted = (np.arange(windows - 1, dtype=samples.dtype) + samples[:, None]) * step
        starts[:, :-1] = shifted.astype(np.int64) - (samples * step).astype(np.int64)[:, None]
    return starts


def _output_size(function, dims, input, output_size, output_ratio) -> tuple[int, ...]:
    if output_size is not None:
        return int_tuple(output_size, dims, function, "output_size")
    if output_ratio is None:
        raise ValueError(f"{function} requires specifying either an output_size or an output_ratio")
    ratios = output_ratio if isinstance(output_ratio, tuple | list) else (output_ratio,) * dims
    if len(ratios) != dims:
        raise ValueError(f"{function}: output_ratio must be a number or {dims} of them")
    return tuple(int(n * r) for n, r in zip(input.shape[-dims:], ratios, strict=True))


def _pooled(function, dims, input, kernel_size, output_size, output_ratio, return_indices, samples):
    tensor_argument(function, "input", input)
    check_floating(function, input)
    if input.ndim not in (dims + 1, dims + 2) or 0 in input.shape[-dims - 1 :]:
        raise RuntimeError(
            f"{function}: Expected {dims + 1}D or {dims + 2}D tensor with no empty dimension but "
            f"the batch, but got: {list(input.shape)}"
        )
    window = int_tuple(kernel_size, dims, function, "kernel_size")
    wanted = _output_size(function, dims, input, output_size, output_ratio)
    sizes, lead = input.shape[-dims:], input.shape[:-dims]
    for size, out, k in zip(sizes, wanted, window, strict=True):
        if k < 1 or out < 1 or out + k - 1 > size:
            raise RuntimeError(
                f"{function}: {out} windows of size {k} do not fit into an input of size {size}"
            )
    planes = (lead[0] if input.ndim == dims + 2 else 1, lead[-1])
    if samples is None:
        samples = rand(*planes, dims, dtype=input.dtype)
    if samples.shape != (*planes, dims) or samples.dtype != input.dtype:
        raise RuntimeError(
            f"{function}: _random_samples must be of shape {(*planes, dims)} and dtype "
            f"{input.dtype}, but is of {tuple(samples.shape)} and {samples.dtype}"
        )
    draws = samples.array.reshape(prod(planes), dims)
    if dims == 2:  # PyTorch's order: the width comes first in planes, last in volumes
        draws = draws[:, ::-1]
    at = np.zeros((prod(planes),) + (1,) * (2 * dims), np.int64)
    for d, (size, out, k) in enumerate(zip(sizes, wanted, window, strict=True)):
        shape = [1] * (2 * dims)
        shape[d], shape[dims + d] = out, k
        inside = _starts(draws[:, d], size, out, k)[:, :, None] + np.arange(k)
        at = at * size + inside.reshape(-1, *shape)
    at = at.reshape(prod(planes), prod(wanted), prod(window))
    values = np.take_along_axis(input.array.reshape(prod(planes), 1, prod(sizes)), at, axis=2)
    best = values.argmax(axis=2)[:, :, None]
    positions = tensor_of(np.take_along_axis(at, best, axis=2).reshape(*lead, *wanted))
    output = gather_positions(input, positions, dims=dims)
    return (output, positions) if return_indices else output


def fractional_max_pool2d(
    input,
    kernel_size,
    output_size=None,
    output_ratio=None,
    return_indices=False,
    _random_samples=None,
):
    """Maxima of random windows: (N, C, H, W) or (C, H, W) -> (..., OH, OW). Graham 2014.

    Args:
        input: floating.
        kernel_size: of the windows, a number or (kh, kw).
        output_size: how many windows there are, a number or (OH, OW).
        output_ratio: OH and OW as parts of H and W, where `output_size` is None.
        return_indices: return also the positions of the maxima in the flattened planes, int64.

    Raises:
        ValueError: neither a size nor a ratio is given.
        RuntimeError: another number of dimensions, or windows that do not fit.
    """
    return _pooled(
        "fractional_max_pool2d",
        2,
        input,
        kernel_size,
        output_size,
        output_ratio,
        return_indices,
        _random_samples,
    )


def fractional_max_pool3d(
    input,
    kernel_size,
    output_size=None,
    output_ratio=None,
    return_indices=False,
    _random_samples=None,
):
    """Maxima of random windows: (N, C, D, H, W) or (C, D, H, W) -> (..., OD, OH, OW); arguments
    and errors as in :func:`fractional_max_pool2d`."""
    return _pooled(
        "fractional_max_pool3d",
        3,
        input,
        kernel_size,
        output_size,
        output_ratio,
        return_indices,
        _random_samples,
    )
