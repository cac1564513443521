"""Transforms as objects, to be put together with Compose. Random ones draw from fastdl's generator,
so that ``fastdl.manual_seed`` and the DataLoader's streams make them reproducible."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Sequence

import numpy as np

from fastdl import nn
from fastdl.ops.random import normal, rand, randint, randperm
from fastdl.tensor import Tensor
from fastdl.vision.transforms import functional as F
from fastdl.vision.transforms.functional import InterpolationMode

__all__ = [
    "CenterCrop",
    "ColorJitter",
    "Compose",
    "ConvertImageDtype",
    "FiveCrop",
    "GaussianBlur",
    "Grayscale",
    "Lambda",
    "LinearTransformation",
    "Normalize",
    "PILToTensor",
    "Pad",
    "RandomAdjustSharpness",
    "RandomAffine",
    "RandomApply",
    "RandomAutocontrast",
    "RandomChoice",
    "RandomCrop",
    "RandomEqualize",
    "RandomErasing",
    "RandomGrayscale",
    "RandomHorizontalFlip",
    "RandomInvert",
    "RandomOrder",
    "RandomPerspective",
    "RandomPosterize",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomSolarize",
    "RandomVerticalFlip",
    "Resize",
    "TenCrop",
    "ToPILImage",
    "ToTensor",
]


def draw(low: float = 0.0, high: float = 1.0) -> float:
    """A uniform random number in [low, high)."""
    return low + (high - low) * rand(1).item()


def draw_int(low: int, high: int) -> int:
    """A random integer in [low, high)."""
    return int(randint(low, high, (1,)).item())


def draw_part(h: int, w: int, scale, ratio) -> tuple[int, int]:
    """The sides of a random share, within `scale`, of an image h x w; the second over the first
    lies within `ratio`, evenly in its logarithm."""
    area = h * w * draw(*scale)
    aspect = math.exp(draw(*(math.log(r) for r in ratio)))
    return round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))


def size_of(size, message: str) -> tuple[int, int]:
    """(height, width) of a number or a sequence.

    Raises:
        ValueError: another length.
    """
    if isinstance(size, numbers.Number):
        return int(size), int(size)
    if isinstance(size, Sequence) and len(size) == 1:
        return size[0], size[0]
    if len(size) != 2:
        raise ValueError(message)
    return tuple(size)


def range_of(value, name: str, size: int = 2, low: float = -math.inf) -> list[float]:
    """[-value, value] of a number; a sequence as it is, checked."""
    if isinstance(value, numbers.Number):
        if value < 0:
            raise ValueError(f"If {name} is a single number, it must be positive.")
        return [-float(value), float(value)]
    if not isinstance(value, Sequence) or len(value) not in ((size,) if size else (2, 4)):
        raise TypeError(f"{name} should be a sequence of length {size or '2 or 4'}.")
    return [float(v) for v in value]


class Compose:
    """One transform after the other.

    >>> from fastdl.vision import transforms
    >>> prepare = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,))])
    >>> prepare(np.zeros((28, 28), np.uint8)).shape
    fastdl.Size([1, 28, 28])
    """

    def __init__(self, transforms: Sequence[Callable]) -> None:
        self.transforms = transforms

    def __call__(self, img):
        for t in self.transforms:
            img = t(img)
        return img

    def __repr__(self) -> str:
        return "Compose(\n" + "".join(f"    {t}\n" for t in self.transforms) + ")"


class ToTensor:
    """A Pillow image or array (H, W, C) as a Tensor (C, H, W); bytes become numbers in [0, 1]."""

    def __call__(self, pic):
        return F.to_tensor(pic)

    def __repr__(self) -> str:
        return "ToTensor()"


class PILToTensor:
    """A Pillow image as a Tensor (C, H, W) of its values."""

    def __call__(self, pic):
        return F.pil_to_tensor(pic)

    def __repr__(self) -> str:
        return "PILToTensor()"


class ConvertImageDtype(nn.Module):
    """The tensor image in another dtype, scaled to its range."""

    def __init__(self, dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def forward(self, image):
        return F.convert_image_dtype(image, self.dtype)


class ToPILImage:
    """A Tensor (C, H, W) or array (H, W, C) as a Pillow image."""

    def __init__(self, mode: str | None = None) -> None:
        self.mode = mode

    def __call__(self, pic):
        return F.to_pil_image(pic, self.mode)

    def __repr__(self) -> str:
        return f"ToPILImage({f'mode={self.mode}' if self.mode else ''})"


class Normalize(nn.Module):
    """(x - mean) / std for each channel of a floating point tensor image."""

    def __init__(self, mean: Sequence[float], std: Sequence[float], inplace: bool = False) -> None:
        super().__init__()
        self.mean = mean
        self.std = std
        self.inplace = inplace

    def forward(self, tensor: Tensor) -> Tensor:
        return F.normalize(tensor, self.mean, self.std, self.inplace)

    def __repr__(self) -> str:
        return f"Normalize(mean={self.mean}, std={self.std})"


class Resize(nn.Module):
    """Another size: (height, width), or one number for the shorter side. See
    :func:`functional.resize`."""

    def __init__(
        self, size, interpolation=InterpolationMode.BILINEAR, max_size: int | None = None,
        antialias: bool | None = True,
    ) -> None:  # fmt: skip
        super().__init__()
        if not isinstance(size, int | Sequence):
            raise TypeError(f"Size should be int or sequence. Got {type(size)}")
        if isinstance(size, Sequence) and len(size) not in (1, 2):
            raise ValueError("If size is a sequence, it should have 1 or 2 values")
        self.size = size
        self.max_size = max_size
        self.interpolation = InterpolationMode(F._mode(interpolation))
        self.antialias = antialias

    def forward(self, img):
        return F.resize(img, self.size, self.interpolation, self.max_size, self.antialias)

    def __repr__(self) -> str:
        return (
            f"Resize(size={self.size}, interpolation={self.interpolation.value}, "
            f"max_size={self.max_size}, antialias={self.antialias})"
        )


class CenterCrop(nn.Module):
    """The middle of the image."""

    def __init__(self, size) -> None:
        super().__init__()
        self.size = size_of(size, "Please provide only two dimensions (h, w) for size.")

    def forward(self, img):
        return F.center_crop(img, self.size)

    def __repr__(self) -> str:
        return f"CenterCrop(size={self.size})"


class Pad(nn.Module):
    """More pixels on all sides. See :func:`functional.pad`."""

    def __init__(self, padding, fill=0, padding_mode: str = "constant") -> None:
        super().__init__()
        if not isinstance(padding, numbers.Number | tuple | list):
            raise TypeError("Got inappropriate padding arg")
        if not isinstance(fill, numbers.Number | tuple | list):
            raise TypeError("Got inappropriate fill arg")
        if padding_mode not in ("constant", "edge", "reflect", "symmetric"):
            raise ValueError("Padding mode should be either constant, edge, reflect or symmetric")
        F._sides(padding)
        self.padding = padding
        self.fill = fill
        self.padding_mode = padding_mode

    def forward(self, img):
        return F.pad(img, self.padding, self.fill, self.padding_mode)

    def __repr__(self) -> str:
        return f"Pad(padding={self.padding}, fill={self.fill}, padding_mode={self.padding_mode})"


class Lambda:
    """A function as a transform."""

    def __init__(self, lambd: Callable) -> None:
        if not callable(lambd):
            raise TypeError(f"Argument lambd should be callable, got {type(lambd).__name__}")
        self.lambd = lambd

    def __call__(self, img):
        return self.lambd(img)

    def __repr__(self) -> str:
        return "Lambda()"


# ---- at random ----------------------------------------------------------------------------------


class RandomApply(nn.Module):
    """All of the transforms with probability `p`, else none."""

    def __init__(self, transforms: Sequence[Callable], p: float = 0.5) -> None:
        super().__init__()
        self.transforms = transforms
        self.p = p

    def forward(self, img):
        if self.p >= draw():
            for t in self.transforms:
                img = t(img)
        return img

    def __repr__(self) -> str:
        return f"RandomApply(\n    p={self.p}\n" + "".join(
            f"    {t}\n" for t in self.transforms) + ")"  # fmt: skip


class RandomOrder:
    """All of the transforms, in random order."""

    def __init__(self, transforms: Sequence[Callable]) -> None:
        self.transforms = transforms

    def __call__(self, img):
        for i in randperm(len(self.transforms)).tolist():
            img = self.transforms[i](img)
        return img


class RandomChoice:
    """One of the transforms, with probabilities `p` (equal ones unless given)."""

    def __init__(self, transforms: Sequence[Callable], p: Sequence[float] | None = None) -> None:
        if p is not None and not isinstance(p, Sequence):
            raise TypeError("Argument p should be a sequence")
        self.transforms = transforms
        self.p = p

    def __call__(self, img):
        weights = np.ones(len(self.transforms)) if self.p is None else np.asarray(self.p, float)
        place = np.searchsorted(np.cumsum(weights), draw() * weights.sum(), side="right")
        return self.transforms[min(int(place), len(weights) - 1)](img)


class _Maybe(nn.Module):
    """A transform of an image with probability `p`."""

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = p

    def transformed(self, img):
        raise NotImplementedError

    def forward(self, img):
        return self.transformed(img) if draw() < self.p else img

    def __repr__(self) -> str:
        return f"{type(self).__name__}(p={self.p})"


class RandomHorizontalFlip(_Maybe):
    """Left and right exchanged with probability `p`."""

    def transformed(self, img):
        return F.hflip(img)


class RandomVerticalFlip(_Maybe):
    """Top and bottom exchanged with probability `p`."""

    def transformed(self, img):
        return F.vflip(img)


class RandomInvert(_Maybe):
    """Bright and dark exchanged with probability `p`."""

    def transformed(self, img):
        return F.invert(img)


class RandomAutocontrast(_Maybe):
    """Each channel stretched to the full range with probability `p`."""

    def transformed(self, img):
        return F.autocontrast(img)


class RandomEqualize(_Maybe):
    """Values spread evenly with probability `p`."""

    def transformed(self, img):
        return F.equalize(img)


class RandomGrayscale(_Maybe):
    """Grey, in as many channels, with probability `p`."""

    def __init__(self, p: float = 0.1) -> None:
        super().__init__(p)

    def transformed(self, img):
        return F.rgb_to_grayscale(img, F.get_image_num_channels(img))


class RandomPosterize(_Maybe):
    """Only the `bits` highest bits of each byte, with probability `p`."""

    def __init__(self, bits: int, p: float = 0.5) -> None:
        super().__init__(p)
        self.bits = bits

    def transformed(self, img):
        return F.posterize(img, self.bits)

    def __repr__(self) -> str:
        return f"RandomPosterize(bits={self.bits},p={self.p})"


class RandomSolarize(_Maybe):
    """Inverted where at least `threshold`, with probability `p`."""

    def __init__(self, threshold: float, p: float = 0.5) -> None:
        super().__init__(p)
        self.threshold = threshold

    def transformed(self, img):
        return F.solarize(img, self.threshold)

    def __repr__(self) -> str:
        return f"RandomSolarize(threshold={self.threshold},p={self.p})"


class RandomAdjustSharpness(_Maybe):
    """Sharpened or blurred with probability `p`."""

    def __init__(self, sharpness_factor: float, p: float = 0.5) -> None:
        super().__init__(p)
        self.sharpness_factor = sharpness_factor

    def transformed(self, img):
        return F.adjust_sharpness(img, self.sharpness_factor)

    def __repr__(self) -> str:
        return f"RandomAdjustSharpness(sharpness_factor={self.sharpness_factor},p={self.p})"


class Grayscale(nn.Module):
    """Grey in 1 or 3 equal channels."""

    def __init__(self, num_output_channels: int = 1) -> None:
        super().__init__()
        self.num_output_channels = num_output_channels

    def forward(self, img):
        return F.rgb_to_grayscale(img, self.num_output_channels)

    def __repr__(self) -> str:
        return f"Grayscale(num_output_channels={self.num_output_channels})"


class RandomCrop(nn.Module):
    """A part of the image at a random place.

    Args:
        size: (height, width), or a number for both.
        padding: added on all sides before.
        pad_if_needed: pad images that are smaller.
        fill, padding_mode: of the padding.
    """

    def __init__(
        self, size, padding=None, pad_if_needed: bool = False, fill=0,
        padding_mode: str = "constant",
    ) -> None:  # fmt: skip
        super().__init__()
        self.size = size_of(size, "Please provide only two dimensions (h, w) for size.")
        self.padding = padding
        self.pad_if_needed = pad_if_needed
        self.fill = fill
        self.padding_mode = padding_mode

    @staticmethod
    def get_params(img, output_size: tuple[int, int]) -> tuple[int, int, int, int]:
        """(top, left, height, width) of a random crop.

        Raises:
            ValueError: the crop is greater than the image.
        """
        _, h, w = F.get_dimensions(img)
        height, width = output_size
        if h < height or w < width:
            raise ValueError(
                f"Required crop size {(height, width)} is larger than input image size {(h, w)}"
            )
        return draw_int(0, h - height + 1), draw_int(0, w - width + 1), height, width

    def forward(self, img):
        if self.padding is not None:
            img = F.pad(img, self.padding, self.fill, self.padding_mode)
        _, h, w = F.get_dimensions(img)
        if self.pad_if_needed and w < self.size[1]:
            img = F.pad(img, [self.size[1] - w, 0], self.fill, self.padding_mode)
        if self.pad_if_needed and h < self.size[0]:
            img = F.pad(img, [0, self.size[0] - h], self.fill, self.padding_mode)
        return F.crop(img, *self.get_params(img, self.size))

    def __repr__(self) -> str:
        return f"RandomCrop(size={self.size}, padding={self.padding})"


class RandomResizedCrop(nn.Module):
    """A part of the image of random size and proportions, resized. Szegedy et al. 2014.

    Args:
        size: of the result.
        scale: bounds of the part's share of the image.
        ratio: bounds of its width over its height.
        interpolation, antialias: of the resizing.
    """

    def __init__(
        self, size, scale=(0.08, 1.0), ratio=(3.0 / 4.0, 4.0 / 3.0),
        interpolation=InterpolationMode.BILINEAR, antialias: bool | None = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.size = size_of(size, "Please provide only two dimensions (h, w) for size.")
        for name, value in (("Scale", scale), ("Ratio", ratio)):
            if not isinstance(value, Sequence):
                raise TypeError(f"{name} should be a sequence")
        self.interpolation = InterpolationMode(F._mode(interpolation))
        self.antialias = antialias
        self.scale = scale
        self.ratio = ratio

    @staticmethod
    def get_params(img, scale, ratio) -> tuple[int, int, int, int]:
        """(top, left, height, width) of a random part."""
        _, h, w = F.get_dimensions(img)
        for _ in range(10):
            height, width = draw_part(h, w, scale, ratio)
            if 0 < width <= w and 0 < height <= h:
                return (
                    draw_int(0, h - height + 1), draw_int(0, w - width + 1), height, width
                )  # fmt: skip
        # None fitted: the middle, in the nearest proportions that are allowed.
        width, height = w, h
        if w / h < min(ratio):
            height = round(w / min(ratio))
        elif w / h > max(ratio):
            width = round(h * max(ratio))
        return (h - height) // 2, (w - width) // 2, height, width

    def forward(self, img):
        part = self.get_params(img, self.scale, self.ratio)
        return F.resized_crop(img, *part, self.size, self.interpolation, self.antialias)

    def __repr__(self) -> str:
        return (
            f"RandomResizedCrop(size={self.size}, scale={tuple(round(s, 4) for s in self.scale)}, "
            f"ratio={tuple(round(r, 4) for r in self.ratio)}, "
            f"interpolation={self.interpolation.value}, antialias={self.antialias})"
        )


class RandomRotation(nn.Module):
    """Turned by a random angle within `degrees`: (low, high), or a number for (-d, d). The other
    arguments are those of :func:`functional.rotate`."""

    def __init__(
        self, degrees, interpolation=InterpolationMode.NEAREST, expand: bool = False, center=None,
        fill=0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.degrees = range_of(degrees, "degrees")
        self.interpolation = InterpolationMode(F._mode(interpolation))
        self.expand = expand
        if center is not None and len(center) != 2:
            raise ValueError("center should be a sequence of length 2.")
        self.center = center
        self.fill = 0 if fill is None else fill

    @staticmethod
    def get_params(degrees: Sequence[float]) -> float:
        """A random angle."""
        return draw(float(degrees[0]), float(degrees[1]))

    def forward(self, img):
        angle = self.get_params(self.degrees)
        return F.rotate(img, angle, self.interpolation, self.expand, self.center, self.fill)

    def __repr__(self) -> str:
        text = f"RandomRotation(degrees={self.degrees}, interpolation={self.interpolation.value}"
        text += f", expand={self.expand}"
        text += f", center={self.center}" if self.center is not None else ""
        return text + (f", fill={self.fill}" if self.fill is not None else "") + ")"


class RandomAffine(nn.Module):
    """Turned, moved, scaled and sheared at random.

    Args:
        degrees: (low, high), or a number for (-d, d).
        translate: greatest shift (x, y) as a share of the image.
        scale: (low, high).
        shear: degrees along x: a number, (low, high); along x and y: (low, high, low, high).
        interpolation, fill, center: as in :func:`functional.affine`.
    """

    def __init__(
        self, degrees, translate=None, scale=None, shear=None,
        interpolation=InterpolationMode.NEAREST, fill=0, center=None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.degrees = range_of(degrees, "degrees")
        if translate is not None and not all(0.0 <= t <= 1.0 for t in translate):
            raise ValueError("translation values should be between 0 and 1")
        if scale is not None and any(s <= 0 for s in scale):
            raise ValueError("scale values should be positive")
        self.translate = translate
        self.scale = scale
        self.shear = None if shear is None else range_of(shear, "shear", 0)
        self.interpolation = InterpolationMode(F._mode(interpolation))
        self.fill = 0 if fill is None else fill
        self.center = center

    @staticmethod
    def get_params(degrees, translate, scale_ranges, shears, img_size):
        """(angle, (x, y) shift, scale, (x, y) shear) at random; `img_size`: (width, height)."""
        angle = draw(*degrees)
        shift = (0, 0)
        if translate is not None:
            shift = tuple(round(draw(-t * n, t * n)) for t, n in zip(translate, img_size))
        scale = 1.0 if scale_ranges is None else draw(*scale_ranges)
        sheared = [0.0, 0.0]
        if shears is not None:
            sheared[0] = draw(shears[0], shears[1])
            if len(shears) == 4:
                sheared[1] = draw(shears[2], shears[3])
        return angle, shift, scale, tuple(sheared)

    def forward(self, img):
        _, h, w = F.get_dimensions(img)
        found = self.get_params(self.degrees, self.translate, self.scale, self.shear, (w, h))
        return F.affine(img, *found, self.interpolation, self.fill, self.center)

    def __repr__(self) -> str:
        parts = {
            "translate": self.translate, "scale": self.scale, "shear": self.shear,
        }  # fmt: skip
        text = f"RandomAffine(degrees={self.degrees}" + "".join(
            f", {name}={value}" for name, value in parts.items() if value is not None)  # fmt: skip
        if self.interpolation is not InterpolationMode.NEAREST:
            text += f", interpolation={self.interpolation.value}"
        text += f", fill={self.fill}" if self.fill != 0 else ""
        return text + (f", center={self.center}" if self.center is not None else "") + ")"


class RandomPerspective(_Maybe):
    """Seen from a random side, with probability `p`; corners move by at most `distortion_scale`
    times half the image."""

    def __init__(
        self, distortion_scale: float = 0.5, p: float = 0.5,
        interpolation=InterpolationMode.BILINEAR, fill=0,
    ) -> None:  # fmt: skip
        super().__init__(p)
        self.interpolation = InterpolationMode(F._mode(interpolation))
        self.distortion_scale = distortion_scale
        self.fill = 0 if fill is None else fill

    @staticmethod
    def get_params(width: int, height: int, distortion_scale: float):
        """(corners, where they go) at random: top left, top right, bottom right, bottom left."""
        reach_x = int(distortion_scale * (width // 2)) + 1
        reach_y = int(distortion_scale * (height // 2)) + 1
        near_x, near_y = (lambda: draw_int(0, reach_x)), (lambda: draw_int(0, reach_y))
        far_x = lambda: draw_int(width - reach_x, width)
        far_y = lambda: draw_int(height - reach_y, height)
        ends = [[near_x(), near_y()], [far_x(), near_y()], [far_x(), far_y()], [near_x(), far_y()]]
        right, bottom = width - 1, height - 1
        return [[0, 0], [right, 0], [right, bottom], [0, bottom]], ends

    def transformed(self, img):
        _, h, w = F.get_dimensions(img)
        starts, ends = self.get_params(w, h, self.distortion_scale)
        return F.perspective(img, starts, ends, self.interpolation, self.fill)


class ColorJitter(nn.Module):
    """Brightness, contrast, saturation and hue changed at random, in random order.

    Args:
        brightness, contrast, saturation: a number d for factors in [max(0, 1 - d), 1 + d], or
            (low, high).
        hue: a number d <= 0.5 for [-d, d], or (low, high).

    Raises:
        ValueError: a number out of range.
        TypeError: neither a number nor a pair.
    """

    def __init__(self, brightness=0, contrast=0, saturation=0, hue=0) -> None:
        super().__init__()
        self.brightness = self._bounds(brightness, "brightness")
        self.contrast = self._bounds(contrast, "contrast")
        self.saturation = self._bounds(saturation, "saturation")
        self.hue = self._bounds(hue, "hue", 0, (-0.5, 0.5), False)

    @staticmethod
    def _bounds(value, name, centre=1, bound=(0, math.inf), clip=True):
        if isinstance(value, numbers.Number):
            if value < 0:
                raise ValueError(f"If {name} is a single number, it must be non negative.")
            value = [centre - float(value), centre + float(value)]
            if clip:
                value[0] = max(value[0], 0.0)
        elif not isinstance(value, Sequence) or len(value) != 2:
            raise TypeError(f"{name} should be a single number or a list/tuple with length 2.")
        if not bound[0] <= value[0] <= value[1] <= bound[1]:
            raise ValueError(f"{name} values should be between {bound}, but got {value}.")
        return None if value[0] == value[1] == centre else tuple(map(float, value))

    @staticmethod
    def get_params(brightness, contrast, saturation, hue):
        """(order of the four changes, their factors or None) at random."""
        order = randperm(4)
        return order, *(None if b is None else draw(*b)
                        for b in (brightness, contrast, saturation, hue))  # fmt: skip

    def forward(self, img):
        order, *factors = self.get_params(self.brightness, self.contrast, self.saturation, self.hue)
        changes = F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue
        for i in order.tolist():
            if factors[i] is not None:
                img = changes[i](img, factors[i])
        return img

    def __repr__(self) -> str:
        return (
            f"ColorJitter(brightness={self.brightness}, contrast={self.contrast}, "
            f"saturation={self.saturation}, hue={self.hue})"
        )


class GaussianBlur(nn.Module):
    """Smoothed by a Gaussian with a random deviation within `sigma`."""

    def __init__(self, kernel_size, sigma=(0.1, 2.0)) -> None:
        super().__init__()
        self.kernel_size = size_of(
            kernel_size, "Kernel size should be a tuple/list of two integers"
        )
        if any(n <= 0 or n % 2 == 0 for n in self.kernel_size):
            raise ValueError("Kernel size value should be an odd and positive number.")
        if isinstance(sigma, numbers.Number):
            sigma = (sigma, sigma)
        if len(sigma) != 2 or not 0.0 < sigma[0] <= sigma[1]:
            raise ValueError("sigma values should be positive and of the form (min, max).")
        self.sigma = sigma

    @staticmethod
    def get_params(sigma_min: float, sigma_max: float) -> float:
        """A random deviation."""
        return draw(sigma_min, sigma_max)

    def forward(self, img):
        sigma = self.get_params(*self.sigma)
        return F.gaussian_blur(img, self.kernel_size, [sigma, sigma])

    def __repr__(self) -> str:
        return f"GaussianBlur(kernel_size={self.kernel_size}, sigma={self.sigma})"


class RandomErasing(nn.Module):
    """A random rectangle of a tensor image replaced, with probability `p`. Zhong et al. 2017.

    Args:
        p: probability.
        scale: bounds of the rectangle's share of the image.
        ratio: bounds of its height over its width.
        value: what replaces it: a number, one for each channel, or ``"random"`` normal numbers.
        inplace: change the tensor itself.
    """

    def __init__(
        self, p: float = 0.5, scale=(0.02, 0.33), ratio=(0.3, 3.3), value=0, inplace: bool = False
    ) -> None:
        super().__init__()
        if not isinstance(value, numbers.Number | str | tuple | list):
            raise TypeError("Argument value should be either a number or str or a sequence")
        if isinstance(value, str) and value != "random":
            raise ValueError("If value is str, it should be 'random'")
        if scale[0] < 0 or scale[1] > 1:
            raise ValueError("Scale should be between 0 and 1")
        if p < 0 or p > 1:
            raise ValueError("Random erasing probability should be between 0 and 1")
        self.p = p
        self.scale = scale
        self.ratio = ratio
        self.value = value
        self.inplace = inplace

    @staticmethod
    def get_params(img: Tensor, scale, ratio, value=None):
        """(top, left, height, width, new values) at random; `value` None: normal numbers."""
        channels, h, w = img.shape[-3:]
        for _ in range(10):
            width, height = draw_part(h, w, scale, ratio)
            if height < h and width < w:
                if value is None:
                    v = normal(0.0, 1.0, (channels, height, width)).to(img.dtype)
                else:
                    v = img.new_tensor(value)[:, None, None]
                top, left = draw_int(0, h - height + 1), draw_int(0, w - width + 1)
                return top, left, height, width, v
        return 0, 0, h, w, img

    def forward(self, img):
        if draw() >= self.p:
            return img
        value = [self.value] if isinstance(self.value, numbers.Number) else self.value
        value = None if value == "random" else list(value)
        if value is not None and len(value) not in (1, img.shape[-3]):
            raise ValueError(
                "If value is a sequence, it should have either a single value or "
                f"{img.shape[-3]} (number of input channels)"
            )
        return F.erase(
            img, *self.get_params(img, self.scale, self.ratio, value), inplace=self.inplace
        )

    def __repr__(self) -> str:
        return (
            f"RandomErasing(p={self.p}, scale={self.scale}, ratio={self.ratio}, "
            f"value={self.value}, inplace={self.inplace})"
        )


class FiveCrop(nn.Module):
    """The four corners and the middle: a tuple of five images."""

    def __init__(self, size) -> None:
        super().__init__()
        self.size = size_of(size, "Please provide only two dimensions (h, w) for size.")

    def forward(self, img):
        return F.five_crop(img, self.size)

    def __repr__(self) -> str:
        return f"FiveCrop(size={self.size})"


class TenCrop(nn.Module):
    """The five crops of the image and of the image turned over."""

    def __init__(self, size, vertical_flip: bool = False) -> None:
        super().__init__()
        self.size = size_of(size, "Please provide only two dimensions (h, w) for size.")
        self.vertical_flip = vertical_flip

    def forward(self, img):
        return F.ten_crop(img, self.size, self.vertical_flip)

    def __repr__(self) -> str:
        return f"TenCrop(size={self.size}, vertical_flip={self.vertical_flip})"


class LinearTransformation(nn.Module):
    """(flattened image - mean) x matrix: whitening.

    Args:
        transformation_matrix: (D, D), D = C H W.
        mean_vector: (D).

    Raises:
        ValueError: shapes that do not fit, here or in the image.
    """

    def __init__(self, transformation_matrix: Tensor, mean_vector: Tensor) -> None:
        super().__init__()
        rows, columns = transformation_matrix.shape
        if rows != columns:
            raise ValueError(f"transformation_matrix should be square, got {rows} x {columns}.")
        if mean_vector.shape[0] != rows:
            raise ValueError(
                f"mean_vector should have the same length {mean_vector.shape[0]} as any one of the "
                f"dimensions of the transformation_matrix [{rows} x {columns}]"
            )
        self.transformation_matrix = transformation_matrix
        self.mean_vector = mean_vector

    def forward(self, tensor: Tensor) -> Tensor:
        shape = tensor.shape
        n = math.prod(shape[-3:])
        if n != self.transformation_matrix.shape[0]:
            raise ValueError(
                "Input tensor and transformation matrix have incompatible shape. "
                f"[{shape[-3]} x {shape[-2]} x {shape[-1]}] != "
                f"{self.transformation_matrix.shape[0]}"
            )
        return ((tensor.reshape(-1, n) - self.mean_vector) @ self.transformation_matrix).reshape(
            shape
        )
