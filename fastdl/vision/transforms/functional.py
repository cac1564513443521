"""What the transforms do, as functions of an image: a Pillow image or a Tensor (*, C, H, W).

Pillow images are worked on by Pillow; tensors, uint8 or floating point in [0, 1], by the tensor
operations here. The results are of the same kind.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from enum import Enum

import numpy as np

from fastdl import nn
from fastdl.ops.creation import as_tensor, from_numpy, tensor
from fastdl.ops.elementwise import where
from fastdl.ops.join import stack
from fastdl.tensor import Tensor

F = nn.functional

__all__ = [
    "InterpolationMode",
    "adjust_brightness",
    "adjust_contrast",
    "adjust_gamma",
    "adjust_hue",
    "adjust_saturation",
    "adjust_sharpness",
    "affine",
    "autocontrast",
    "center_crop",
    "convert_image_dtype",
    "crop",
    "equalize",
    "erase",
    "five_crop",
    "gaussian_blur",
    "get_dimensions",
    "get_image_num_channels",
    "get_image_size",
    "hflip",
    "invert",
    "normalize",
    "pad",
    "perspective",
    "pil_to_tensor",
    "posterize",
    "resize",
    "resized_crop",
    "rgb_to_grayscale",
    "rotate",
    "solarize",
    "ten_crop",
    "to_grayscale",
    "to_pil_image",
    "to_tensor",
    "vflip",
]


class InterpolationMode(Enum):
    """How values between pixels are found."""

    NEAREST = "nearest"
    NEAREST_EXACT = "nearest-exact"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"
    LANCZOS = "lanczos"


_PIL_CODES = {
    "nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5,
    "nearest-exact": 0,
}  # fmt: skip


def _pillow():
    try:
        from PIL import Image, ImageEnhance, ImageFilter, ImageOps
    except ImportError as error:
        raise ImportError(
            'this needs Pillow: pip install "fastdl[demo]" (or pip install pillow)'
        ) from error
    return Image, ImageEnhance, ImageFilter, ImageOps


def is_pil(image) -> bool:
    """Is it a Pillow image?"""
    return type(image).__module__.startswith("PIL.") or any(
        base.__module__.startswith("PIL.") for base in type(image).__mro__
    )


def _check(function: str, image) -> None:
    if not is_pil(image) and not isinstance(image, Tensor):
        raise TypeError(
            f"{function}: img should be PIL Image or Tensor. Got {type(image).__name__}"
        )
    if isinstance(image, Tensor) and image.ndim < 2:
        raise TypeError(f"{function}: Tensor is not an image: it has {image.ndim} dimensions")


def _mode(interpolation) -> str:
    """The name of an InterpolationMode, also of Pillow's old integer codes."""
    if isinstance(interpolation, InterpolationMode):
        return interpolation.value
    if isinstance(interpolation, int):
        names = {code: name for name, code in reversed(_PIL_CODES.items())}
        if interpolation in names:
            return names[interpolation]
    raise TypeError(
        "Argument interpolation should be a InterpolationMode or a corresponding Pillow integer "
        f"constant, got {interpolation!r}"
    )


# ---- sizes and kinds ----------------------------------------------------------------------------


def get_dimensions(img) -> list[int]:
    """[channels, height, width]."""
    _check("get_dimensions", img)
    if is_pil(img):
        return [len(img.getbands()), img.height, img.width]
    return [img.shape[-3] if img.ndim > 2 else 1, img.shape[-2], img.shape[-1]]


def get_image_size(img) -> list[int]:
    """[width, height]."""
    return get_dimensions(img)[:0:-1]


def get_image_num_channels(img) -> int:
    """The number of channels."""
    return get_dimensions(img)[0]


def pil_to_tensor(pic) -> Tensor:
    """A Pillow image as a Tensor (C, H, W) of its values, uint8 for most modes.

    Raises:
        TypeError: it is no Pillow image.
    """
    if not is_pil(pic):
        raise TypeError(f"pic should be PIL Image. Got {type(pic)}")
    array = np.array(pic, copy=True)
    if array.ndim == 2:
        array = array[:, :, None]
    return from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1)))


def to_tensor(pic) -> Tensor:
    """A Pillow image or an array (H, W), (H, W, C) as a Tensor (C, H, W): bytes become numbers in
    [0, 1] of the default dtype, others keep their values.

    Raises:
        TypeError: it is neither.
        ValueError: an array of another number of dimensions.
    """
    if isinstance(pic, np.ndarray):
        if pic.ndim not in (2, 3):
            raise ValueError(f"pic should be 2/3 dimensional. Got {pic.ndim} dimensions.")
        array = pic[:, :, None] if pic.ndim == 2 else pic
        x = from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1)))
    elif is_pil(pic):
        x = pil_to_tensor(pic)
        if pic.mode == "1":
            x = x.byte() * 255
    else:
        raise TypeError(f"pic should be PIL Image or ndarray. Got {type(pic)}")
    return x.to(tensor(0.0).dtype) / 255 if x.array.dtype == np.uint8 else x


def convert_image_dtype(image: Tensor, dtype=None) -> Tensor:
    """The image in another dtype; floating point images span [0, 1], integer ones their range."""
    target = tensor(0.0).dtype if dtype is None else dtype
    if not isinstance(image, Tensor):
        raise TypeError("Input img should be Tensor Image")
    if image.dtype is target:
        return image
    old, new = image.array.dtype, target.dtype
    top = lambda d: 1 if d.kind == "f" else int(np.iinfo(d).max)
    if old.kind == "f" and new.kind == "f":
        return image.to(target)
    if old.kind == "f":
        if (old == np.float32 and new.itemsize >= 4) or (old == np.float64 and new.itemsize == 8):
            raise RuntimeError(
                f"The cast from {image.dtype} to {target} cannot be performed safely."
            )
        return (image * (top(new) + 1 - 1e-3)).to(target)
    if new.kind == "f":
        return image.to(target) / top(old)
    if top(old) > top(new):
        return (image // ((top(old) + 1) // (top(new) + 1))).to(target)
    return image.to(target) * ((top(new) + 1) // (top(old) + 1))


def to_pil_image(pic, mode: str | None = None):
    """A Tensor (C, H, W), (H, W) or an array (H, W, C), (H, W) as a Pillow image. Floating point
    tensors are taken to lie in [0, 1].

    Raises:
        TypeError: it is neither, or no mode holds its dtype.
        ValueError: another number of dimensions, more than 4 channels, or a mode that does not fit.
    """
    Image = _pillow()[0]
    if isinstance(pic, Tensor):
        if pic.ndim not in (2, 3):
            raise ValueError(f"pic should be 2/3 dimensional. Got {pic.ndim} dimensions.")
        array = pic.detach().numpy()
        if pic.ndim == 3:
            if pic.shape[0] > 4:
                raise ValueError(f"pic should not have > 4 channels. Got {pic.shape[0]} channels.")
            array = array.transpose(1, 2, 0)
        if array.dtype.kind == "f" and mode != "F":
            array = (array * 255).astype(np.uint8)
    elif isinstance(pic, np.ndarray):
        if pic.ndim not in (2, 3):
            raise ValueError(f"pic should be 2/3 dimensional. Got {pic.ndim} dimensions.")
        if pic.ndim == 3 and pic.shape[2] > 4:
            raise ValueError(f"pic should not have > 4 channels. Got {pic.shape[2]} channels.")
        array = pic
    else:
        raise TypeError(f"pic should be Tensor or ndarray. Got {type(pic)}.")
    channels = 1 if array.ndim == 2 else array.shape[2]
    if channels == 1:
        array = array.reshape(array.shape[:2])
        by_dtype = {"|u1": "L", "<i2": "I;16", "<i4": "I", "<f4": "F"}
        usual, allowed = by_dtype.get(array.dtype.str), set(by_dtype.values())
    else:
        usual = {2: "LA", 3: "RGB", 4: "RGBA"}[channels]
        allowed = {2: {"LA"}, 3: {"RGB", "YCbCr", "HSV"}, 4: {"RGBA", "CMYK", "RGBX"}}[channels]
        if array.dtype != np.uint8:
            usual = None
    if mode is not None and mode not in allowed:
        raise ValueError(f"Only modes {sorted(allowed)} are supported for {channels} channels")
    if usual is None:
        raise TypeError(f"Input type {array.dtype} is not supported")
    image = Image.fromarray(np.ascontiguousarray(array))
    if mode in (None, image.mode):
        return image
    if channels == 1:
        return image.convert(mode)
    return Image.frombytes(mode, image.size, image.tobytes())  # the same bytes, read otherwise


def normalize(tensor: Tensor, mean: Sequence[float], std: Sequence[float], inplace: bool = False):
    """(x - mean) / std for each channel of (*, C, H, W), floating point.

    Raises:
        TypeError: it is no floating point Tensor.
        ValueError: fewer than 3 dimensions, or a deviation of 0.
    """
    if not isinstance(tensor, Tensor):
        raise TypeError(f"img should be Tensor Image. Got {type(tensor)}")
    if tensor.array.dtype.kind != "f":
        raise TypeError(f"Input tensor should be a float tensor. Got {tensor.dtype}.")
    if tensor.ndim < 3:
        raise ValueError(
            f"Expected tensor to be a tensor image of size (..., C, H, W). Got {tensor.shape}"
        )
    mean, std = (np.asarray(v, tensor.array.dtype).reshape(-1, 1, 1) for v in (mean, std))
    if not std.all():
        raise ValueError(f"std evaluated to zero after conversion to {tensor.dtype}")
    x = tensor if inplace else tensor.clone()
    return x.sub_(from_numpy(mean)).div_(from_numpy(std))


# ---- as float and back --------------------------------------------------------------------------


def _top(x: Tensor) -> float:
    """The value of full brightness."""
    return 1.0 if x.array.dtype.kind == "f" else float(np.iinfo(x.array.dtype).max)


def _in_float(function, x: Tensor) -> Tensor:
    """function of x as floating point, rounded back to the dtype of x."""
    if x.array.dtype.kind == "f":
        return function(x)
    return function(x.float()).round().clamp(0, _top(x)).to(x.dtype)


def _as_batch(function, x: Tensor) -> Tensor:
    """function of (N, C, H, W), for any leading dimensions."""
    shape = x.shape
    y = function(x.reshape(-1, *shape[-3:]) if x.ndim > 2 else x.reshape(1, 1, *shape))
    return y.reshape(*shape[:-2], *y.shape[-2:])


# ---- cutting, padding, turning over -------------------------------------------------------------


def hflip(img):
    """The image with left and right exchanged."""
    _check("hflip", img)
    return img.transpose(0) if is_pil(img) else img.flip(-1)


def vflip(img):
    """The image with top and bottom exchanged."""
    _check("vflip", img)
    return img.transpose(1) if is_pil(img) else img.flip(-2)


def _sides(padding) -> list[int]:
    """[left, top, right, bottom]."""
    sides = [padding] if isinstance(padding, numbers.Number) else list(padding)
    if len(sides) not in (1, 2, 4):
        raise ValueError(
            f"Padding must be an int or a 1, 2, or 4 element tuple, not a {len(sides)} element one"
        )
    return [int(n) for n in (sides * 4)[:4]]


def pad(img, padding, fill=0, padding_mode: str = "constant"):
    """The image with `padding` pixels on all sides, (left/right, top/bottom) or (left, top, right,
    bottom); negative ones crop tensors.

    Args:
        img: the image.
        padding: see above.
        fill: the value of the new pixels, a number or one for each channel.
        padding_mode: ``"constant"``, ``"edge"``, ``"reflect"`` or ``"symmetric"``.

    Raises:
        ValueError: another number of sides, or mode.
    """
    _check("pad", img)
    left, top, right, bottom = _sides(padding)
    if padding_mode not in ("constant", "edge", "reflect", "symmetric"):
        raise ValueError("Padding mode should be either constant, edge, reflect or symmetric")
    if is_pil(img):
        Image, _, _, ImageOps = _pillow()
        if padding_mode == "constant":
            fill = tuple(fill) if isinstance(fill, list) else fill
            if isinstance(fill, numbers.Number) and len(img.getbands()) > 1:
                fill = (int(fill),) * len(img.getbands())
            return ImageOps.expand(img, border=(left, top, right, bottom), fill=fill)
        array = np.asarray(img)
        widths = [(top, bottom), (left, right)] + [(0, 0)] * (array.ndim - 2)
        padded = Image.fromarray(np.pad(array, widths, mode=padding_mode))
        if img.mode == "P":
            padded.putpalette(img.getpalette())
        return padded
    if padding_mode == "constant" and isinstance(fill, Sequence):
        if len(fill) not in (1, img.shape[-3]):
            raise ValueError(f"pad: expected 1 or {img.shape[-3]} fill values, got {len(fill)}")
        return _filled(lambda x: pad(x, (left, top, right, bottom)), img, fill)
    if padding_mode == "constant":
        return F.pad(img, (left, right, top, bottom), value=fill)
    ndim = img.ndim
    array = np.pad(np.arange(img.shape[-2]), (top, bottom), mode=padding_mode)
    columns = np.pad(np.arange(img.shape[-1]), (left, right), mode=padding_mode)
    return img.index_select(ndim - 2, from_numpy(array)).index_select(ndim - 1, from_numpy(columns))


def _filled(function, img: Tensor, fill) -> Tensor:
    """function(img), which makes new pixels 0, with `fill` in those."""
    new = function(as_tensor(np.ones((1, *img.shape[-2:]), np.float32))) < 0.5
    values = np.asarray(fill, img.array.dtype).reshape(-1, 1, 1)
    return where(new, from_numpy(np.ascontiguousarray(values)), function(img))


def crop(img, top: int, left: int, height: int, width: int):
    """The part of the image that begins at (top, left); 0 outside."""
    _check("crop", img)
    if is_pil(img):
        return img.crop((left, top, left + width, top + height))
    h, w = img.shape[-2:]
    part = img[..., max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)]
    if left < 0 or top < 0 or left + width > w or top + height > h:
        sides = [
            max(min(-left, width), 0), max(min(left + width - max(w, left), width), 0),
            max(min(-top, height), 0), max(min(top + height - max(h, top), height), 0),
        ]  # fmt: skip
        return F.pad(part, sides)
    return part


def _pair(size) -> list[int]:
    if isinstance(size, numbers.Number):
        return [int(size)] * 2
    size = [int(n) for n in size]
    return size * 2 if len(size) == 1 else size


def center_crop(img, output_size):
    """The middle of the image, `output_size` (height, width) or a number for both; smaller images
    are padded with 0."""
    height, width = _pair(output_size)
    _, h, w = get_dimensions(img)
    if width > w or height > h:
        sides = [
            (width - w) // 2 if width > w else 0,
            (height - h) // 2 if height > h else 0,
            (width - w + 1) // 2 if width > w else 0,
            (height - h + 1) // 2 if height > h else 0,
        ]
        img = pad(img, sides)
        _, h, w = get_dimensions(img)
        if (width, height) == (w, h):
            return img
    return crop(img, round((h - height) / 2.0), round((w - width) / 2.0), height, width)


def five_crop(img, size):
    """The four corners and the middle: (top left, top right, bottom left, bottom right, centre).

    Raises:
        ValueError: the size is greater than the image.
    """
    height, width = _pair(size)
    _, h, w = get_dimensions(img)
    if width > w or height > h:
        raise ValueError(f"Requested crop size {size} is bigger than input size {(h, w)}")
    return (
        crop(img, 0, 0, height, width),
        crop(img, 0, w - width, height, width),
        crop(img, h - height, 0, height, width),
        crop(img, h - height, w - width, height, width),
        center_crop(img, [height, width]),
    )


def ten_crop(img, size, vertical_flip: bool = False):
    """The five crops of the image and those of it turned over."""
    turned = vflip(img) if vertical_flip else hflip(img)
    return five_crop(img, size) + five_crop(turned, size)


# ---- resizing -----------------------------------------------------------------------------------


def _new_size(h: int, w: int, size, max_size) -> tuple[int, int]:
    """(height, width) for a size: one number is the length of the shorter side."""
    if not isinstance(size, numbers.Number) and len(size) == 2:
        if max_size is not None:
            raise ValueError(
                "max_size should only be passed if size specifies the length of the smaller edge, "
                "i.e. size should be an int or a sequence of length 1"
            )
        return int(size[0]), int(size[1])
    short = int(size if isinstance(size, numbers.Number) else size[0])
    small, large = min(h, w), max(h, w)
    long = int(short * large / small)
    if max_size is not None:
        if max_size <= short:
            raise ValueError(
                f"max_size = {max_size} must be strictly greater than the requested size for the "
                f"smaller edge size = {size}"
            )
        if long > max_size:
            short, long = int(max_size * short / long), max_size
    return (short, long) if h <= w else (long, short)


def resize(
    img,
    size,
    interpolation=InterpolationMode.BILINEAR,
    max_size: int | None = None,
    antialias: bool | None = True,
):
    """The image in another size.

    Args:
        img: the image.
        size: (height, width), or one number: the length of the shorter side, keeping proportions.
        interpolation: an InterpolationMode; tensors know nearest, nearest-exact, bilinear, bicubic.
        max_size: an upper bound on the longer side.
        antialias: for tensors: weigh all covered pixels when making smaller, as Pillow does.

    Raises:
        TypeError: `size` or `interpolation` is of another kind.
        ValueError: `max_size` does not fit `size`, or tensors do not know the mode.
    """
    _check("resize", img)
    mode = _mode(interpolation)
    if isinstance(size, str) or not isinstance(size, numbers.Number | Sequence):
        raise TypeError(f"Size should be int or sequence. Got {type(size)}")
    if isinstance(size, Sequence) and len(size) not in (1, 2):
        raise ValueError("If size is a sequence, it should have 1 or 2 values")
    _, h, w = get_dimensions(img)
    height, width = _new_size(h, w, size, max_size)
    if (height, width) == (h, w):
        return img
    if is_pil(img):
        return img.resize((width, height), _PIL_CODES[mode])
    if mode not in ("nearest", "nearest-exact", "bilinear", "bicubic"):
        raise ValueError(f"resize: mode {mode} is not known for tensors, only for Pillow images")
    smooth = mode in ("bilinear", "bicubic")
    options = {"mode": mode, "antialias": bool(antialias) and smooth}
    if smooth:
        options["align_corners"] = False
    scaled = lambda x: _as_batch(lambda b: F.interpolate(b, (height, width), **options), x)
    return _in_float(scaled, img)


def resized_crop(
    img, top, left, height, width, size, interpolation=InterpolationMode.BILINEAR,
    antialias: bool | None = True,
):  # fmt: skip
    """:func:`crop`, then :func:`resize`."""
    return resize(crop(img, top, left, height, width), size, interpolation, antialias=antialias)


# ---- rotation and other maps --------------------------------------------------------------------


def _warp(img: Tensor, grid_of, size, mode: str, fill) -> Tensor:
    """The values of img at the places `grid_of(dtype)` (H, W, 2), pixels from the centre."""
    if mode not in ("nearest", "bilinear"):
        raise ValueError(f"mode {mode} is not known for tensors: nearest or bilinear expected")
    h, w = img.shape[-2:]

    def warped(x):
        grid = grid_of(x.array.dtype) / np.array([0.5 * w, 0.5 * h], x.array.dtype)

        def sampled(batch):
            places = from_numpy(np.broadcast_to(grid, (batch.shape[0], *grid.shape)).copy())
            return F.grid_sample(batch, places, mode, "zeros", False)

        return _as_batch(sampled, x)

    def run(x):
        return warped(x) if x.array.dtype.kind == "f" else _in_float(warped, x)

    if fill is None or not np.any(np.asarray(fill)):
        return run(img)
    # Where pixels came from outside, wholly or partly, the fill shows through.
    inside = warped(as_tensor(np.ones((1, h, w), np.float32)))
    values = np.asarray(fill, np.float32).reshape(-1, 1, 1)

    def blended(x):
        kept = inside.to(x.dtype)
        if mode == "nearest":
            return where(kept > 0.5, warped(x), from_numpy(values.astype(x.array.dtype)))
        return warped(x) * kept + from_numpy(values.astype(x.array.dtype)) * (1 - kept)

    return _in_float(blended, img)


def _grid(matrix, h: int, w: int, out_h: int, out_w: int, dtype) -> np.ndarray:
    """Input places, in pixels from the centre, of all output pixels under an affine map."""
    x = np.arange(out_w) - out_w * 0.5 + 0.5
    y = np.arange(out_h) - out_h * 0.5 + 0.5
    a, b, c, d, e, f = matrix
    places = np.empty((out_h, out_w, 2))
    places[..., 0] = a * x + (b * y + c)[:, None]
    places[..., 1] = d * x + (e * y + f)[:, None]
    return places.astype(dtype)


def _inverse_matrix(centre, angle, translate, scale, shear) -> list[float]:
    """The map from output to input pixels of: shear, scale and rotate about `centre`, translate."""
    rot, sx, sy = math.radians(angle), math.radians(shear[0]), math.radians(shear[1])
    a = math.cos(rot - sy) / math.cos(sy)
    b = -math.cos(rot - sy) * math.tan(sx) / math.cos(sy) - math.sin(rot)
    c = math.sin(rot - sy) / math.cos(sy)
    d = -math.sin(rot - sy) * math.tan(sx) / math.cos(sy) + math.cos(rot)
    inverse = [v / scale for v in (d, -b, 0.0, -c, a, 0.0)]
    dx, dy = centre[0] + translate[0], centre[1] + translate[1]
    inverse[2] = centre[0] - inverse[0] * dx - inverse[1] * dy
    inverse[5] = centre[1] - inverse[3] * dx - inverse[4] * dy
    return inverse


def _pil_fill(img, fill):
    """Pillow's `fillcolor`: one number or one for each band."""
    bands = len(img.getbands())
    if fill is None:
        fill = 0
    if isinstance(fill, numbers.Number):
        return fill if bands == 1 else (int(fill),) * bands
    return tuple(fill)


def rotate(
    img, angle: float, interpolation=InterpolationMode.NEAREST, expand: bool = False,
    center=None, fill=None,
):  # fmt: skip
    """The image turned by `angle` degrees counter-clockwise.

    Args:
        img: the image.
        angle: degrees.
        interpolation: nearest or bilinear (bicubic too for Pillow images).
        expand: make the result large enough for the whole turned image.
        center: (x, y) that stays in place, the middle unless given.
        fill: the value of pixels from outside, a number or one for each channel.
    """
    _check("rotate", img)
    mode = _mode(interpolation)
    if is_pil(img):
        return img.rotate(angle, _PIL_CODES[mode], expand, center, fillcolor=_pil_fill(img, fill))
    h, w = img.shape[-2:]
    middle = [0.0, 0.0] if center is None else [center[0] - w * 0.5, center[1] - h * 0.5]
    matrix = _inverse_matrix(middle, -angle, [0.0, 0.0], 1.0, (0.0, 0.0))
    out_w, out_h = (w, h) if not expand else _rotated_size(matrix, w, h)
    return _warp(
        img, lambda dtype: _grid(matrix, h, w, out_h, out_w, dtype), (out_h, out_w), mode, fill
    )


def _rotated_size(matrix, w: int, h: int) -> tuple[int, int]:
    """(width, height) of the box around the turned image, as Pillow counts it."""
    corners = np.array([[-0.5 * w, -0.5 * h], [-0.5 * w, 0.5 * h], [0.5 * w, 0.5 * h],
                        [0.5 * w, -0.5 * h]])  # fmt: skip
    turned = corners @ np.array(matrix).reshape(2, 3)[:, :2].T
    middle = np.array([w * 0.5, h * 0.5])
    low, high = turned.min(0) + middle, turned.max(0) + middle
    # Rounding must not add a pixel.
    low, high = np.trunc(low / 1e-3) * 1e-3, np.trunc(high / 1e-3) * 1e-3
    size = np.ceil(high) - np.floor(low)
    return int(size[0]), int(size[1])


def affine(
    img, angle: float, translate, scale: float, shear, interpolation=InterpolationMode.NEAREST,
    fill=None, center=None,
):  # fmt: skip
    """The image sheared, scaled, turned clockwise by `angle` degrees, and moved.

    Args:
        img: the image.
        angle: degrees.
        translate: (x, y) pixels.
        scale: positive.
        shear: degrees along x, or (x, y).
        interpolation: nearest or bilinear (bicubic too for Pillow images).
        fill: the value of pixels from outside.
        center: (x, y) that stays in place, the middle unless given.

    Raises:
        ValueError: `scale` is not positive, or `translate` or `shear` of another length.
    """
    _check("affine", img)
    mode = _mode(interpolation)
    if len(translate) != 2:
        raise ValueError("translate should be a sequence of length 2")
    if scale <= 0.0:
        raise ValueError("Argument scale should be positive")
    shear = [shear, 0.0] if isinstance(shear, numbers.Number) else list(shear)
    shear = shear * 2 if len(shear) == 1 else shear
    if len(shear) != 2:
        raise ValueError(f"Shear should be a sequence containing two values. Got {shear}")
    _, h, w = get_dimensions(img)
    if is_pil(img):
        middle = [w * 0.5, h * 0.5] if center is None else center
        matrix = _inverse_matrix(middle, angle, translate, scale, shear)
        return img.transform(img.size, 0, matrix, _PIL_CODES[mode], fillcolor=_pil_fill(img, fill))
    middle = [0.0, 0.0] if center is None else [center[0] - w * 0.5, center[1] - h * 0.5]
    matrix = _inverse_matrix(middle, angle, translate, scale, shear)
    return _warp(img, lambda dtype: _grid(matrix, h, w, h, w, dtype), (h, w), mode, fill)


def perspective(img, startpoints, endpoints, interpolation=InterpolationMode.BILINEAR, fill=None):
    """The image drawn so that the four `startpoints` (x, y) fall on the `endpoints`: top left, top
    right, bottom right, bottom left."""
    _check("perspective", img)
    mode = _mode(interpolation)
    rows, values = [], []
    for (x, y), (u, v) in zip(endpoints, startpoints, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    a, b, c, d, e, f, g, h = np.linalg.lstsq(
        np.array(rows, float), np.array(values, float), rcond=None
    )[0]
    if is_pil(img):
        return img.transform(
            img.size, 2, (a, b, c, d, e, f, g, h), _PIL_CODES[mode],
            fillcolor=_pil_fill(img, fill),
        )  # fmt: skip
    height, width = img.shape[-2:]

    def grid(dtype):
        x, y = np.arange(width) + 0.5, (np.arange(height) + 0.5)[:, None]
        below = g * x + h * y + 1
        places = np.stack([(a * x + b * y + c) / below, (d * x + e * y + f) / below], -1)
        return (places - (0.5 * width, 0.5 * height)).astype(dtype)

    return _warp(img, grid, (height, width), mode, fill)


# ---- colours ------------------------------------------------------------------------------------


def rgb_to_grayscale(img, num_output_channels: int = 1):
    """0.2989 red + 0.587 green + 0.114 blue, in 1 or 3 equal channels.

    Raises:
        ValueError: another number of output channels.
    """
    _check("rgb_to_grayscale", img)
    if num_output_channels not in (1, 3):
        raise ValueError("num_output_channels should be either 1 or 3")
    if is_pil(img):
        grey = img.convert("L")
        if num_output_channels == 3:
            Image = _pillow()[0]
            grey = Image.merge("RGB", [grey] * 3)
        return grey
    x = img
    if img.shape[-3] == 3:
        x = (img[..., 0:1, :, :] * 0.2989 + img[..., 1:2, :, :] * 0.587
             + img[..., 2:3, :, :] * 0.114).to(img.dtype)  # fmt: skip
    elif img.shape[-3] != 1:
        raise TypeError(
            f"Input image tensor permitted channel values are 1 or 3, but found {img.shape[-3]}"
        )
    if num_output_channels == 3:
        return x.expand(*img.shape[:-3], 3, *img.shape[-2:])
    return x


def to_grayscale(img, num_output_channels: int = 1):
    """:func:`rgb_to_grayscale` of a Pillow image."""
    if not is_pil(img):
        raise TypeError("Input should be PIL Image")
    return rgb_to_grayscale(img, num_output_channels)


def _blend(x: Tensor, other, ratio: float) -> Tensor:
    """ratio * x + (1 - ratio) * other, within the range of the dtype."""
    other = other.float() if isinstance(other, Tensor) and x.array.dtype.kind != "f" else other
    y = (x.float() if x.array.dtype.kind != "f" else x) * ratio + other * (1.0 - ratio)
    return y.clamp(0, _top(x)).to(x.dtype)


def _factor(name: str, factor: float) -> None:
    if factor < 0:
        raise ValueError(f"{name} ({factor}) is not non-negative.")


def adjust_brightness(img, brightness_factor: float):
    """The image times a factor: 0 is black, 1 leaves it."""
    _check("adjust_brightness", img)
    _factor("brightness_factor", brightness_factor)
    if is_pil(img):
        return _pillow()[1].Brightness(img).enhance(brightness_factor)
    return _blend(img, 0.0, brightness_factor)


def _grey(x: Tensor) -> Tensor:
    return rgb_to_grayscale(x) if x.shape[-3] == 3 else x


def adjust_contrast(img, contrast_factor: float):
    """Distances from the mean grey times a factor: 0 is grey, 1 leaves the image."""
    _check("adjust_contrast", img)
    _factor("contrast_factor", contrast_factor)
    if is_pil(img):
        return _pillow()[1].Contrast(img).enhance(contrast_factor)
    grey = _grey(img)
    mean = (grey.float() if grey.array.dtype.kind != "f" else grey).mean(
        dim=(-3, -2, -1), keepdim=True
    )
    return _blend(img, mean, contrast_factor)


def adjust_saturation(img, saturation_factor: float):
    """Distances from the grey image times a factor: 0 is grey, 1 leaves the image."""
    _check("adjust_saturation", img)
    _factor("saturation_factor", saturation_factor)
    if is_pil(img):
        return _pillow()[1].Color(img).enhance(saturation_factor)
    return img if img.shape[-3] == 1 else _blend(img, _grey(img), saturation_factor)


def adjust_hue(img, hue_factor: float):
    """Colours moved round the colour circle by `hue_factor` turns, within [-0.5, 0.5].

    Raises:
        ValueError: `hue_factor` lies outside.
    """
    _check("adjust_hue", img)
    if not -0.5 <= hue_factor <= 0.5:
        raise ValueError(f"hue_factor ({hue_factor}) is not in [-0.5, 0.5].")
    if is_pil(img):
        if img.mode in ("L", "1", "I", "F"):
            return img
        Image = _pillow()[0]
        h, s, v = img.convert("HSV").split()
        shift = np.array(hue_factor * 255).astype(np.int32).astype(np.uint8)
        hue = Image.fromarray((np.array(h, np.uint8) + shift).astype(np.uint8))
        return Image.merge("HSV", (hue, s, v)).convert(img.mode)
    if img.shape[-3] == 1:
        return img
    x = img if img.array.dtype.kind == "f" else img.float() / _top(img)
    h, s, v = _rgb_to_hsv(x)
    y = _hsv_to_rgb((h + hue_factor) % 1.0, s, v)
    return y if img.array.dtype.kind == "f" else convert_image_dtype(y, img.dtype)


def _rgb_to_hsv(x: Tensor):
    r, g, b = x.unbind(-3)
    top, low = x.max(-3)[0], x.min(-3)[0]
    span = top - low
    flat = span == 0
    s = span / where(flat, 1.0, top)
    divisor = where(flat, 1.0, span)
    rc, gc, bc = (top - r) / divisor, (top - g) / divisor, (top - b) / divisor
    hue = where(top == r, bc - gc, where(top == g, rc - bc + 2.0, gc - rc + 4.0))
    return (hue / 6.0 + 1.0) % 1.0, s, top


def _hsv_to_rgb(h, s, v):
    i = (h * 6.0).floor()
    f = h * 6.0 - i
    p, q, t = ((v * x).clamp(0.0, 1.0) for x in (1.0 - s, 1.0 - s * f, 1.0 - s * (1.0 - f)))
    i = i % 6
    pick = lambda *six: sum(where(i == k, x, 0.0) for k, x in enumerate(six))
    return stack([pick(v, q, p, p, t, v), pick(t, v, v, q, p, p), pick(p, p, t, v, v, q)], -3)


def adjust_gamma(img, gamma: float, gain: float = 1):
    """gain * x ** gamma, for x in [0, 1]."""
    _check("adjust_gamma", img)
    _factor("gamma", gamma)
    if is_pil(img):
        mode = img.mode
        table = [int((255 + 1 - 1e-3) * gain * pow(v / 255.0, gamma)) for v in range(256)]
        img = img.convert("RGB").point([min(v, 255) for v in table] * 3)
        return img.convert(mode)
    x = img if img.array.dtype.kind == "f" else convert_image_dtype(img)
    y = (gain * x**gamma).clamp(0, 1)
    return y if img.array.dtype.kind == "f" else convert_image_dtype(y, img.dtype)


def invert(img):
    """Bright where it was dark."""
    _check("invert", img)
    if is_pil(img):
        return _pillow()[3].invert(img)
    return (1.0 if img.array.dtype.kind == "f" else int(_top(img))) - img


def posterize(img, bits: int):
    """Only the `bits` highest bits of each byte."""
    _check("posterize", img)
    if not 0 <= bits <= 8:
        raise ValueError(f"The number if bits should be between 0 and 8. Got {bits}")
    if is_pil(img):
        return _pillow()[3].posterize(img, bits)
    if img.array.dtype != np.uint8:
        raise TypeError(f"Only uint8 image tensors are supported, but found {img.dtype}")
    return img & (256 - (1 << (8 - bits)))


def solarize(img, threshold: float):
    """Inverted where at least `threshold`."""
    _check("solarize", img)
    if is_pil(img):
        return _pillow()[3].solarize(img, threshold)
    if threshold > _top(img):
        raise TypeError("Threshold should be less than bound of img.")
    return where(img >= threshold, invert(img), img)


def adjust_sharpness(img, sharpness_factor: float):
    """Distances from the smoothed image times a factor: 0 is blurred, 1 leaves it."""
    _check("adjust_sharpness", img)
    _factor("sharpness_factor", sharpness_factor)
    if is_pil(img):
        return _pillow()[1].Sharpness(img).enhance(sharpness_factor)
    if min(img.shape[-2:]) <= 2:
        return img
    kernel = np.ones((1, 1, 3, 3), np.float32 if img.array.dtype.kind != "f" else img.array.dtype)
    kernel[..., 1, 1] = 5
    kernel /= kernel.sum()

    def smoothed(batch):
        channels = batch.shape[1]
        weight = from_numpy(np.repeat(kernel, channels, 0))
        inner = F.conv2d(batch, weight, groups=channels)
        result = batch.clone()
        result[..., 1:-1, 1:-1] = inner
        return result

    return _blend(img, _in_float(lambda x: _as_batch(smoothed, x), img), sharpness_factor)


def autocontrast(img):
    """Each channel stretched to the full range."""
    _check("autocontrast", img)
    if is_pil(img):
        return _pillow()[3].autocontrast(img)
    x = img if img.array.dtype.kind == "f" else img.float()
    low, top = x.amin(dim=(-2, -1), keepdim=True), x.amax(dim=(-2, -1), keepdim=True)
    flat = low == top
    scale = where(flat, 1.0, _top(img) / where(flat, 1.0, top - low))
    return ((x - where(flat, 0.0, low)) * scale).clamp(0, _top(img)).to(img.dtype)


def equalize(img):
    """Each channel mapped so that its values are spread evenly; bytes."""
    _check("equalize", img)
    if is_pil(img):
        return _pillow()[3].equalize(img)
    if img.array.dtype != np.uint8:
        raise TypeError(f"Only uint8 image tensors are supported, but found {img.dtype}")
    planes = img.array.reshape(-1, *img.shape[-2:])
    result = np.empty_like(planes)
    for plane, out in zip(planes, result):
        counts = np.bincount(plane.ravel(), minlength=256)
        present = counts[counts > 0]
        step = int(present[:-1].sum()) // 255 if present.size else 0
        if step == 0:
            out[...] = plane
            continue
        table = (np.cumsum(counts) + step // 2) // step
        table = np.clip(np.concatenate([[0], table[:-1]]), 0, 255).astype(np.uint8)
        out[...] = table[plane]
    return from_numpy(result.reshape(img.shape))


def gaussian_blur(img, kernel_size, sigma=None):
    """The image smoothed by a Gaussian.

    Args:
        img: the image.
        kernel_size: odd width (x, y) of the kernel, or one number for both.
        sigma: deviation (x, y); 0.3 ((kernel_size - 1) / 2 - 1) + 0.8 unless given.

    Raises:
        ValueError: an even or negative width, or a deviation that is not positive.
    """
    _check("gaussian_blur", img)
    sizes = _pair(kernel_size)
    if any(n % 2 == 0 or n < 0 for n in sizes):
        raise ValueError(f"kernel_size should have odd and positive integers. Got {kernel_size}")
    if sigma is None:
        sigma = [n * 0.15 + 0.35 for n in sizes]
    sigmas = [float(sigma)] * 2 if isinstance(sigma, numbers.Number) else [float(s) for s in sigma]
    sigmas = sigmas * 2 if len(sigmas) == 1 else sigmas
    if any(s <= 0 for s in sigmas):
        raise ValueError(f"sigma should have positive values. Got {sigma}")
    if is_pil(img):
        return to_pil_image(gaussian_blur(pil_to_tensor(img), sizes, sigmas), img.mode)
    lines = []
    for n, s in zip(sizes, sigmas):
        at = np.linspace(-(n - 1) * 0.5, (n - 1) * 0.5, n)
        line = np.exp(-0.5 * (at / s) ** 2)
        lines.append(line / line.sum())

    def blurred(batch):
        channels, dtype = batch.shape[1], batch.array.dtype
        x, y = sizes[0] // 2, sizes[1] // 2
        batch = F.pad(batch, (x, x, y, y), mode="reflect")
        kernel = np.outer(lines[1], lines[0]).astype(dtype)[None, None]
        return F.conv2d(batch, from_numpy(np.repeat(kernel, channels, 0)), groups=channels)

    return _in_float(lambda x: _as_batch(blurred, x), img)


def erase(img: Tensor, i: int, j: int, h: int, w: int, v, inplace: bool = False) -> Tensor:
    """The tensor image with `v` in rows i to i + h, columns j to j + w."""
    if not isinstance(img, Tensor):
        raise TypeError(f"erase: img should be Tensor Image. Got {type(img).__name__}")
    x = img if inplace else img.clone()
    x[..., i : i + h, j : j + w] = v
    return x
