"""Reading and writing pictures as tensors, through Pillow."""

from __future__ import annotations

import io
import os
from enum import Enum

import numpy as np

from fastdl.ops.creation import from_numpy
from fastdl.tensor import Tensor
from fastdl.vision.transforms.functional import _pillow, pil_to_tensor, to_pil_image

__all__ = [
    "ImageReadMode",
    "decode_image",
    "decode_jpeg",
    "decode_png",
    "encode_jpeg",
    "encode_png",
    "read_file",
    "read_image",
    "write_file",
    "write_jpeg",
    "write_png",
]


class ImageReadMode(Enum):
    """What channels a picture is read with."""

    UNCHANGED = 0
    GRAY = 1
    GRAY_ALPHA = 2
    RGB = 3
    RGB_ALPHA = 4


_PIL_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


def read_file(path) -> Tensor:
    """The bytes of a file, a uint8 tensor (n)."""
    with open(os.fspath(path), "rb") as file:
        return from_numpy(np.frombuffer(file.read(), np.uint8).copy())


def write_file(filename, data: Tensor) -> None:
    """Writes a uint8 tensor (n) as the bytes of a file."""
    with open(os.fspath(filename), "wb") as file:
        file.write(np.ascontiguousarray(data.array).tobytes())


def decode_image(
    input, mode=ImageReadMode.UNCHANGED, apply_exif_orientation: bool = False
) -> Tensor:
    """A picture in a file's bytes (a uint8 tensor) or at a path, as a uint8 tensor (C, H, W).

    Args:
        input: bytes, or the path of a file.
        mode: an ImageReadMode, or its name.
        apply_exif_orientation: turn it the way the camera was held.

    Raises:
        RuntimeError: it is no picture.
        ImportError: Pillow is missing.
    """
    Image, _, _, ImageOps = _pillow()
    mode = ImageReadMode[mode.upper()] if isinstance(mode, str) else ImageReadMode(mode)
    source = input if isinstance(input, Tensor) else read_file(input)
    if source.array.dtype != np.uint8 or source.ndim != 1 or source.numel() == 0:
        raise RuntimeError(
            "decode_image: expected a non-empty 1-dimensional uint8 tensor of encoded bytes, got "
            f"{source.dtype} of shape {tuple(source.shape)}"
        )
    try:
        image = Image.open(io.BytesIO(source.array.tobytes()))
        image.load()
    except Exception as error:  # Pillow raises many kinds
        raise RuntimeError(
            f"decode_image: this is no picture, or a damaged one: {error}"
        ) from error
    if apply_exif_orientation:
        image = ImageOps.exif_transpose(image)
    if mode is not ImageReadMode.UNCHANGED:
        image = image.convert(_PIL_MODES[mode.value])
    elif image.mode not in _PIL_MODES.values():
        transparent = image.has_transparency_data
        grey = image.mode in ("1", "I", "F") or image.mode.startswith("I;")
        image = image.convert("L" if grey else "RGBA" if transparent else "RGB")
    return pil_to_tensor(image)


def read_image(path, mode=ImageReadMode.UNCHANGED, apply_exif_orientation: bool = False) -> Tensor:
    """:func:`decode_image` of a file."""
    return decode_image(read_file(path), mode, apply_exif_orientation)


def decode_png(input: Tensor, mode=ImageReadMode.UNCHANGED, apply_exif_orientation=False) -> Tensor:
    """:func:`decode_image` of a PNG file's bytes."""
    return decode_image(input, mode, apply_exif_orientation)


def decode_jpeg(
    input: Tensor, mode=ImageReadMode.UNCHANGED, device="cpu", apply_exif_orientation=False
) -> Tensor:
    """:func:`decode_image` of a JPEG file's bytes."""
    return decode_image(input, mode, apply_exif_orientation)


def _encoded(function: str, image: Tensor, **options) -> Tensor:
    if image.array.dtype != np.uint8 or image.ndim != 3 or image.shape[0] not in (1, 3):
        raise RuntimeError(
            f"{function}: expected a uint8 tensor (C, H, W) with 1 or 3 channels, got "
            f"{image.dtype} of shape {tuple(image.shape)}"
        )
    file = io.BytesIO()
    to_pil_image(image).save(file, **options)
    return from_numpy(np.frombuffer(file.getvalue(), np.uint8).copy())


def encode_png(input: Tensor, compression_level: int = 6) -> Tensor:
    """A uint8 image (C, H, W) as the bytes of a PNG file; `compression_level` from 0 to 9."""
    if not 0 <= compression_level <= 9:
        raise RuntimeError("Compression level should be between 0 and 9")
    return _encoded("encode_png", input, format="PNG", compress_level=compression_level)


def encode_jpeg(input: Tensor, quality: int = 75) -> Tensor:
    """A uint8 image (C, H, W) as the bytes of a JPEG file; `quality` from 1 to 100."""
    if not 1 <= quality <= 100:
        raise ValueError("Image quality should be a positive number between 1 and 100")
    return _encoded("encode_jpeg", input, format="JPEG", quality=quality)


def write_png(input: Tensor, filename, compression_level: int = 6) -> None:
    """Writes a uint8 image (C, H, W) as a PNG file."""
    write_file(filename, encode_png(input, compression_level))


def write_jpeg(input: Tensor, filename, quality: int = 75) -> None:
    """Writes a uint8 image (C, H, W) as a JPEG file."""
    write_file(filename, encode_jpeg(input, quality))
