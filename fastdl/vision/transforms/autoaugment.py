"""Augmentation policies: AutoAugment (Cubuk et al. 2018), RandAugment (Cubuk et al. 2019),
TrivialAugment (Müller & Hutter 2021), AugMix (Hendrycks et al. 2019)."""

from __future__ import annotations

import math
from enum import Enum

import numpy as np

from fastdl import nn
from fastdl.ops.random import rand
from fastdl.tensor import Tensor
from fastdl.vision.transforms import functional as F
from fastdl.vision.transforms.functional import InterpolationMode
from fastdl.vision.transforms.transforms import draw, draw_int

__all__ = ["AugMix", "AutoAugment", "AutoAugmentPolicy", "RandAugment", "TrivialAugmentWide"]


class AutoAugmentPolicy(Enum):
    """Policies found on three sets of images."""

    IMAGENET = "imagenet"
    CIFAR10 = "cifar10"
    SVHN = "svhn"


def apply_op(img, name: str, magnitude: float, interpolation, fill):
    """The image under the operation `name` with a magnitude in its own units."""
    moved = {"angle": 0.0, "translate": [0, 0], "scale": 1.0, "shear": [0.0, 0.0]}
    degrees = lambda slope: math.degrees(math.atan(slope))
    options = {"interpolation": interpolation, "fill": fill}
    if name == "ShearX":
        moved["shear"] = [degrees(magnitude), 0.0]
        return F.affine(img, **moved, **options, center=[0, 0])
    if name == "ShearY":
        moved["shear"] = [0.0, degrees(magnitude)]
        return F.affine(img, **moved, **options, center=[0, 0])
    if name in ("TranslateX", "TranslateY"):
        moved["translate"] = [int(magnitude), 0] if name[-1] == "X" else [0, int(magnitude)]
        return F.affine(img, **moved, **options)
    if name == "Rotate":
        return F.rotate(img, magnitude, **options)
    factors = {
        "Brightness": F.adjust_brightness, "Color": F.adjust_saturation,
        "Contrast": F.adjust_contrast, "Sharpness": F.adjust_sharpness,
    }  # fmt: skip
    if name in factors:
        return factors[name](img, 1.0 + magnitude)
    plain = {"AutoContrast": F.autocontrast, "Equalize": F.equalize, "Invert": F.invert,
             "Identity": lambda img: img}  # fmt: skip
    if name in plain:
        return plain[name](img)
    if name == "Posterize":
        return F.posterize(img, int(magnitude))
    if name == "Solarize":
        bound = 1.0 if isinstance(img, Tensor) and img.is_floating_point() else 255.0
        return F.solarize(img, magnitude / 255.0 * bound)
    raise ValueError(f"The provided operator {name} is not recognized.")


def _spaces(bins: int, height: int, width: int, wide: bool) -> dict:
    """{operation: (magnitudes, can they be negative)}; `wide`: TrivialAugment's greater ones."""
    line = lambda low, high: np.linspace(low, high, bins)
    shear, turn, factor = (0.99, 135.0, 0.99) if wide else (0.3, 30.0, 0.9)
    shift_x = line(0.0, 32.0) if wide else line(0.0, 150.0 / 331.0 * width)
    shift_y = line(0.0, 32.0) if wide else line(0.0, 150.0 / 331.0 * height)
    bits = 8 - (np.arange(bins) / ((bins - 1) / (6 if wide else 4))).round().astype(int)
    return {
        "ShearX": (line(0.0, shear), True),
        "ShearY": (line(0.0, shear), True),
        "TranslateX": (shift_x, True),
        "TranslateY": (shift_y, True),
        "Rotate": (line(0.0, turn), True),
        "Brightness": (line(0.0, factor), True),
        "Color": (line(0.0, factor), True),
        "Contrast": (line(0.0, factor), True),
        "Sharpness": (line(0.0, factor), True),
        "Posterize": (bits, False),
        "Solarize": (line(255.0, 0.0), False),
        "AutoContrast": (None, False),
        "Equalize": (None, False),
    }


class _Policy(nn.Module):
    """What all share."""

    def __init__(self, interpolation, fill) -> None:
        super().__init__()
        self.interpolation = InterpolationMode(F._mode(interpolation))
        self.fill = fill

    def _fill_for(self, img):
        if isinstance(self.fill, int | float) and isinstance(img, Tensor):
            return [float(self.fill)] * F.get_image_num_channels(img)
        return self.fill

    def _apply(self, img, name, magnitude):
        return apply_op(img, name, magnitude, self.interpolation, self._fill_for(img))


_POLICIES = {
    AutoAugmentPolicy.IMAGENET: """
        Posterize .4 8, Rotate .6 9; Solarize .6 5, AutoContrast .6; Equalize .8, Equalize .6;
        Posterize .6 7, Posterize .6 6; Equalize .4, Solarize .2 4; Equalize .4, Rotate .8 8;
        Solarize .6 3, Equalize .6; Posterize .8 5, Equalize 1; Rotate .2 3, Solarize .6 8;
        Equalize .6, Posterize .4 6; Rotate .8 8, Color .4 0; Rotate .4 9, Equalize .6;
        Equalize 0, Equalize .8; Invert .6, Equalize 1; Color .6 4, Contrast 1 8;
        Rotate .8 8, Color 1 2; Color .8 8, Solarize .8 7; Sharpness .4 7, Invert .6;
        ShearX .6 5, Equalize 1; Color .4 0, Equalize .6; Equalize .4, Solarize .2 4;
        Solarize .6 5, AutoContrast .6; Invert .6, Equalize 1; Color .6 4, Contrast 1 8;
        Equalize .8, Equalize .6""",
    AutoAugmentPolicy.CIFAR10: """
        Invert .1, Contrast .2 6; Rotate .7 2, TranslateX .3 9; Sharpness .8 1, Sharpness .9 3;
        ShearY .5 8, TranslateY .7 9; AutoContrast .5, Equalize .9; ShearY .2 7, Posterize .3 7;
        Color .4 3, Brightness .6 7; Sharpness .3 9, Brightness .7 9; Equalize .6, Equalize .5;
        Contrast .6 7, Sharpness .6 5; Color .7 7, TranslateX .5 8; Equalize .3, AutoContrast .4;
        TranslateY .4 3, Sharpness .2 6; Brightness .9 6, Color .2 8; Solarize .5 2, Invert 0;
        Equalize .2, AutoContrast .6; Equalize .2, Equalize .6; Color .9 9, Equalize .6;
        AutoContrast .8, Solarize .2 8; Brightness .1 3, Color .7 0; Solarize .4 5, AutoContrast .9;
        TranslateY .9 9, TranslateY .7 9; AutoContrast .9, Solarize .8 3; Equalize .8, Invert .1;
        TranslateY .7 9, AutoContrast .9""",
    AutoAugmentPolicy.SVHN: """
        ShearX .9 4, Invert .2; ShearY .9 8, Invert .7; Equalize .6, Solarize .6 6;
        Invert .9, Equalize .6; Equalize .6, Rotate .9 3; ShearX .9 4, AutoContrast .8;
        ShearY .9 8, Invert .4; ShearY .9 5, Solarize .2 6; Invert .9, AutoContrast .8;
        Equalize .6, Rotate .9 3; ShearX .9 4, Solarize .3 3; ShearY .8 8, Invert .7;
        Equalize .9, TranslateY .6 6; Invert .9, Equalize .6; Contrast .3 3, Rotate .8 4;
        Invert .8, TranslateY 0 2; ShearY .7 6, Solarize .4 8; Invert .6, Rotate .8 4;
        ShearY .3 7, TranslateX .9 3; ShearX .1 6, Invert .6; Solarize .7 2, TranslateY .6 7;
        ShearY .8 4, Invert .8; ShearX .7 9, TranslateY .8 3; ShearY .8 5, AutoContrast .7;
        ShearX .7 2, Invert .1""",
}


def _parsed(text: str) -> list:
    """[((name, probability, magnitude or None), the second operation)]."""
    pairs = []
    for pair in text.split(";"):
        ops = []
        for op in pair.split(","):
            name, p, *magnitude = op.split()
            ops.append((name, float(p), int(magnitude[0]) if magnitude else None))
        pairs.append(tuple(ops))
    return pairs


class AutoAugment(_Policy):
    """Two operations of one of 25 pairs, drawn at random; uint8 tensors or Pillow images."""

    def __init__(
        self, policy: AutoAugmentPolicy = AutoAugmentPolicy.IMAGENET,
        interpolation=InterpolationMode.NEAREST, fill=None,
    ) -> None:  # fmt: skip
        super().__init__(interpolation, fill)
        if policy not in _POLICIES:
            raise ValueError(f"The provided policy {policy} is not recognized.")
        self.policy = policy
        self.policies = _parsed(_POLICIES[policy])

    @staticmethod
    def get_params(transform_num: int):
        """(number of the pair, two uniform numbers, two signs) at random."""
        return draw_int(0, transform_num), rand(2), (rand(2) < 0.5).long()

    def forward(self, img):
        number, probabilities, signs = self.get_params(len(self.policies))
        spaces = _spaces(10, *F.get_dimensions(img)[1:], wide=False) | {"Invert": (None, False)}
        for i, (name, p, step) in enumerate(self.policies[number]):
            if probabilities[i].item() > p:
                continue
            values, signed = spaces[name]
            magnitude = 0.0 if step is None else float(values[step])
            if signed and signs[i].item() == 0:
                magnitude = -magnitude
            img = self._apply(img, name, magnitude)
        return img

    def __repr__(self) -> str:
        return f"AutoAugment(policy={self.policy}, fill={self.fill})"


class RandAugment(_Policy):
    """`num_ops` operations at random, all with the magnitude number `magnitude` of
    `num_magnitude_bins`."""

    def __init__(
        self, num_ops: int = 2, magnitude: int = 9, num_magnitude_bins: int = 31,
        interpolation=InterpolationMode.NEAREST, fill=None,
    ) -> None:  # fmt: skip
        super().__init__(interpolation, fill)
        self.num_ops = num_ops
        self.magnitude = magnitude
        self.num_magnitude_bins = num_magnitude_bins

    def forward(self, img):
        for _ in range(self.num_ops):
            sizes = F.get_dimensions(img)[1:]
            spaces = _spaces(self.num_magnitude_bins, *sizes, wide=False)
            spaces = {"Identity": (None, False), **spaces}
            name = list(spaces)[draw_int(0, len(spaces))]
            values, signed = spaces[name]
            magnitude = 0.0 if values is None else float(values[self.magnitude])
            if signed and draw() < 0.5:
                magnitude = -magnitude
            img = self._apply(img, name, magnitude)
        return img

    def __repr__(self) -> str:
        return (
            f"RandAugment(num_ops={self.num_ops}, magnitude={self.magnitude}, "
            f"num_magnitude_bins={self.num_magnitude_bins}, interpolation={self.interpolation}, "
            f"fill={self.fill})"
        )


class TrivialAugmentWide(_Policy):
    """One operation at random, with a random magnitude."""

    def __init__(
        self, num_magnitude_bins: int = 31, interpolation=InterpolationMode.NEAREST, fill=None
    ) -> None:
        super().__init__(interpolation, fill)
        self.num_magnitude_bins = num_magnitude_bins

    def forward(self, img):
        spaces = _spaces(self.num_magnitude_bins, *F.get_dimensions(img)[1:], wide=True)
        spaces = {"Identity": (None, False), **spaces}
        name = list(spaces)[draw_int(0, len(spaces))]
        values, signed = spaces[name]
        magnitude = 0.0 if values is None else float(values[draw_int(0, len(values))])
        if signed and draw() < 0.5:
            magnitude = -magnitude
        return self._apply(img, name, magnitude)

    def __repr__(self) -> str:
        return (
            f"TrivialAugmentWide(num_magnitude_bins={self.num_magnitude_bins}, "
            f"interpolation={self.interpolation}, fill={self.fill})"
        )


class AugMix(_Policy):
    """The image blended with a random mixture of chains of operations.

    Args:
        severity: greatest magnitude, 1 to 10.
        mixture_width: chains.
        chain_depth: operations in a chain; -1: 1 to 3 at random.
        alpha: of the Dirichlet and beta distributions of the weights.
        all_ops: brightness, colour, contrast and sharpness too.
        interpolation, fill: of geometric operations.
    """

    def __init__(
        self, severity: int = 3, mixture_width: int = 3, chain_depth: int = -1, alpha: float = 1.0,
        all_ops: bool = True, interpolation=InterpolationMode.BILINEAR, fill=None,
    ) -> None:  # fmt: skip
        super().__init__(interpolation, fill)
        if not 1 <= severity <= 10:
            raise ValueError(f"The severity must be between [1, 10]. Got {severity} instead.")
        self.severity = severity
        self.mixture_width = mixture_width
        self.chain_depth = chain_depth
        self.alpha = alpha
        self.all_ops = all_ops

    def forward(self, img):
        x = img if isinstance(img, Tensor) else F.pil_to_tensor(img)
        h, w = x.shape[-2:]
        spaces = _spaces(10, h, w, wide=False)
        spaces["TranslateX"] = (np.linspace(0.0, w / 3.0, 10), True)
        spaces["TranslateY"] = (np.linspace(0.0, h / 3.0, 10), True)
        spaces["Posterize"] = (4 - (np.arange(10) / (9 / 4)).round().astype(int), False)
        if not self.all_ops:
            for name in ("Brightness", "Color", "Contrast", "Sharpness"):
                del spaces[name]
        # Seeded from fastdl's stream, so that the mixture is reproducible with it.
        rng = np.random.default_rng(draw_int(0, 1 << 62))
        kept = rng.beta(self.alpha, self.alpha)
        weights = (1 - kept) * rng.dirichlet([self.alpha] * self.mixture_width)
        total = x.float() * float(kept)
        for weight in weights:
            chain = x
            depth = self.chain_depth if self.chain_depth > 0 else draw_int(1, 4)
            for _ in range(depth):
                name = list(spaces)[draw_int(0, len(spaces))]
                values, signed = spaces[name]
                magnitude = 0.0
                if values is not None:
                    magnitude = float(values[draw_int(0, self.severity)])
                if signed and draw() < 0.5:
                    magnitude = -magnitude
                chain = self._apply(chain, name, magnitude)
            total = total + chain.float() * float(weight)
        mixed = total.to(x.dtype)
        return mixed if isinstance(img, Tensor) else F.to_pil_image(mixed, img.mode)

    def __repr__(self) -> str:
        return (
            f"AugMix(severity={self.severity}, mixture_width={self.mixture_width}, "
            f"chain_depth={self.chain_depth}, alpha={self.alpha}, all_ops={self.all_ops}, "
            f"interpolation={self.interpolation}, fill={self.fill})"
        )
