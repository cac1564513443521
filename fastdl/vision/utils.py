"""Pictures of batches: grids, files, boxes."""

from __future__ import annotations

import math
import os

import numpy as np

from fastdl.autograd import no_grad
from fastdl.ops.creation import from_numpy
from fastdl.ops.join import cat, stack
from fastdl.tensor import Tensor
from fastdl.vision.transforms.functional import to_pil_image

__all__ = ["make_grid", "save_image"]


@no_grad()
def make_grid(
    tensor,
    nrow: int = 8,
    padding: int = 2,
    normalize: bool = False,
    value_range: tuple[float, float] | None = None,
    scale_each: bool = False,
    pad_value: float = 0.0,
) -> Tensor:
    """Images side by side in one.

    Args:
        tensor: (N, C, H, W), a list of (C, H, W), or one image (C, H, W) or (H, W); one channel
            becomes three.
        nrow: images in a row.
        padding: pixels between them.
        normalize: stretch the values from `value_range` (the least and the greatest unless given)
            to [0, 1].
        scale_each: do so for each image by itself.
        pad_value: of the pixels between.

    Returns:
        (3, height, width); C channels for C > 3.

    Raises:
        TypeError: neither a tensor nor a list of tensors, or a value range that is no pair.
    """
    if isinstance(tensor, list | tuple) and all(isinstance(t, Tensor) for t in tensor):
        tensor = stack(list(tensor), 0)
    if not isinstance(tensor, Tensor):
        raise TypeError(f"tensor or list of tensors expected, got {type(tensor)}")
    tensor = tensor.detach()
    if tensor.ndim == 2:
        tensor = tensor.unsqueeze(0)
    if tensor.ndim == 3:
        tensor = tensor.unsqueeze(0)
    if tensor.ndim != 4:
        raise ValueError(f"make_grid: expected images (N, C, H, W), got shape {tensor.shape}")
    if tensor.shape[1] == 1:
        tensor = cat([tensor] * 3, 1)
    if normalize:
        tensor = tensor.clone()
        if value_range is not None and not isinstance(value_range, tuple):
            raise TypeError(
                "value_range has to be a tuple (min, max) if specified. min and max are numbers"
            )
        for image in tensor if scale_each else [tensor]:
            low, high = value_range or (image.min().item(), image.max().item())
            image.clamp_(low, high).sub_(low).div_(max(high - low, 1e-5))
    if tensor.shape[0] == 1:
        return tensor.squeeze(0)
    count, channels, height, width = tensor.shape
    columns = min(nrow, count)
    rows = math.ceil(count / columns)
    height, width = height + padding, width + padding
    grid = np.full(
        (channels, height * rows + padding, width * columns + padding), pad_value,
        tensor.array.dtype,
    )  # fmt: skip
    for i, image in enumerate(tensor.array):
        y, x = i // columns * height + padding, i % columns * width + padding
        grid[:, y : y + height - padding, x : x + width - padding] = image
    return from_numpy(grid)


@no_grad()
def save_image(tensor, fp, format: str | None = None, **kwargs) -> None:
    """Writes images, in [0, 1], as one picture: :func:`make_grid` with `kwargs`.

    Args:
        tensor: as there.
        fp: a path, or a file open for writing.
        format: Pillow's name of the format, needed for a file.

    Raises:
        ImportError: Pillow is missing.
    """
    grid = make_grid(tensor, **kwargs)
    pixels = (grid * 255 + 0.5).clamp(0, 255).byte()
    to_pil_image(pixels).save(fp if hasattr(fp, "write") else os.fspath(fp), format=format)
