"""Trained weights of torchvision's networks, as its programs name them, and `weights=` of files.

    model = resnet50(weights=ResNet50_Weights.DEFAULT)      # or weights="DEFAULT"
    preprocess = ResNet50_Weights.DEFAULT.transforms()

The files are those that torchvision's makers publish. They are fetched on first use, into the
folder where PyTorch keeps them too (``$TORCH_HOME`` or ``~/.cache/torch``, there
``hub/checkpoints``), so that a file which is there already is not fetched again. The digits at the
end of a file's name are the beginning of its SHA-256 checksum, which is compared.
"""

from __future__ import annotations

import enum
import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from fastdl.datasets.arrays import DatasetError
from fastdl.datasets.download import download
from fastdl.io import load
from fastdl.vision.transforms import InterpolationMode
from fastdl.vision.transforms import functional as F

__all__ = ["ImageClassification", "Weights", "WeightsEnum", "configured", "get_weight"]

HOST = "https://download.pytorch.org/models/"

# Network and, after "IMAGENET1K_", name of the weights; file; size of the crop, of the shorter side
# before it, which is resized (l)inearly or by (c)ubics; parameters, and what torchvision states of
# the result on ImageNet: per cent right in one guess, and in five.
FILES = """
AlexNet          V1             alexnet-owt-7be5be79               224 256 l  61100840 56.522 79.066
DenseNet121      V1             densenet121-a639ec97               224 256 l   7978856 74.434 91.972
DenseNet161      V1             densenet161-8d451a50               224 256 l  28681000 77.138  93.56
DenseNet169      V1             densenet169-b2777c0a               224 256 l  14149480   75.6 92.806
DenseNet201      V1             densenet201-c1103571               224 256 l  20013928 76.896  93.37
EfficientNet_B0  V1             efficientnet_b0_rwightman-7f5810bc 224 256 c   5288548 77.692 93.532
EfficientNet_B1  V1             efficientnet_b1_rwightman-bac287d4 240 256 c   7794184 78.642 94.186
EfficientNet_B1  V2             efficientnet_b1-c27df63c           240 255 l   7794184 79.838 94.934
EfficientNet_B2  V1             efficientnet_b2_rwightman-c35c1473 288 288 c   9109994 80.608  95.31
EfficientNet_B3  V1             efficientnet_b3_rwightman-b3899882 300 320 c  12233232 82.008 96.054
EfficientNet_B4  V1             efficientnet_b4_rwightman-23ab8bcd 380 384 c  19341616 83.384 96.594
EfficientNet_B5  V1             efficientnet_b5_lukemelas-1a07897c 456 456 c  30389784 83.444 96.628
EfficientNet_B6  V1             efficientnet_b6_lukemelas-24a108a5 528 528 c  43040704 84.008 96.916
EfficientNet_B7  V1             efficientnet_b7_lukemelas-c5b4e57e 600 600 c  66347960 84.122 96.908
GoogLeNet        V1             googlenet-1378be20                 224 256 l   6624904 69.778  89.53
MobileNet_V2     V1             mobilenet_v2-b0353104              224 256 l   3504872 71.878 90.286
MobileNet_V2     V2             mobilenet_v2-7ebf99e0              224 232 l   3504872 72.154 90.822
ResNet101        V1             resnet101-63fe2227                 224 256 l  44549160 77.374 93.546
ResNet101        V2             resnet101-cd907fc2                 224 232 l  44549160 81.886  95.78
ResNet152        V1             resnet152-394f9c45                 224 256 l  60192808 78.312 94.046
ResNet152        V2             resnet152-f82ba261                 224 232 l  60192808 82.284 96.002
ResNet18         V1             resnet18-f37072fd                  224 256 l  11689512 69.758 89.078
ResNet34         V1             resnet34-b627a593                  224 256 l  21797672 73.314  91.42
ResNet50         V1             resnet50-0676ba61                  224 256 l  25557032  76.13 92.862
ResNet50         V2             resnet50-11ad3fa6                  224 232 l  25557032 80.858 95.434
ResNeXt101_32X8D V1             resnext101_32x8d-8ba56ff5          224 256 l  88791336 79.312 94.526
ResNeXt101_32X8D V2             resnext101_32x8d-110c445d          224 232 l  88791336 82.834 96.228
ResNeXt50_32X4D  V1             resnext50_32x4d-7cdf4587           224 256 l  25028904 77.618 93.698
ResNeXt50_32X4D  V2             resnext50_32x4d-1a0047aa           224 232 l  25028904 81.198  95.34
SqueezeNet1_0    V1             squeezenet1_0-b66bff10             224 256 l   1248424 58.092  80.42
SqueezeNet1_1    V1             squeezenet1_1-b8a52dc0             224 256 l   1235496 58.178 80.624
VGG11            V1             vgg11-8a719046                     224 256 l 132863336  69.02 88.628
VGG11_BN         V1             vgg11_bn-6002323d                  224 256 l 132868840  70.37  89.81
VGG13            V1             vgg13-19584684                     224 256 l 133047848 69.928 89.246
VGG13_BN         V1             vgg13_bn-abd245e5                  224 256 l 133053736 71.586 90.374
VGG16            V1             vgg16-397923af                     224 256 l 138357544 71.592 90.382
VGG16_BN         V1             vgg16_bn-6c64b313                  224 256 l 138365992  73.36 91.516
VGG19            V1             vgg19-dcbb9e9d                     224 256 l 143667240 72.376 90.876
VGG19_BN         V1             vgg19_bn-c79401a0                  224 256 l 143678248 74.218 91.842
ViT_B_16         V1             vit_b_16-c867db91                  224 256 l  86567656 81.072 95.318
ViT_B_16         SWAG_E2E_V1    vit_b_16_swag-9ac1b537             384 384 c  86859496 85.304  97.65
ViT_B_16         SWAG_LINEAR_V1 vit_b_16_lc_swag-4e70ced5          224 224 c  86567656 81.886  96.18
ViT_B_32         V1             vit_b_32-d86f8d99                  224 256 l  88224232 75.912 92.466
ViT_H_14         SWAG_E2E_V1    vit_h_14_swag-80465313             518 518 c 633470440 88.552 98.694
ViT_H_14         SWAG_LINEAR_V1 vit_h_14_lc_swag-c1eb923e          224 224 c 632045800 85.708  97.73
ViT_L_16         V1             vit_l_16-852ce7e3                  224 242 l 304326632 79.662 94.638
ViT_L_16         SWAG_E2E_V1    vit_l_16_swag-4f3808c9             512 512 c 305174504 88.064 98.512
ViT_L_16         SWAG_LINEAR_V1 vit_l_16_lc_swag-4d563306          224 224 c 304326632 85.146 97.422
ViT_L_32         V1             vit_l_32-c7638314                  224 256 l 306535400 76.972  93.07
Wide_ResNet101_2 V1             wide_resnet101_2-32ee1156          224 256 l 126886696 78.848 94.284
Wide_ResNet101_2 V2             wide_resnet101_2-d733dc28          224 232 l 126886696  82.51  96.02
Wide_ResNet50_2  V1             wide_resnet50_2-95faca4d           224 256 l  68883240 78.468 94.086
Wide_ResNet50_2  V2             wide_resnet50_2-9ba9bcbe           224 232 l  68883240 81.602 95.758
"""


class ImageClassification:
    """What a picture goes through before a network of ImageNet's classes sees it: its shorter side
    made `resize_size` pixels, the middle cut out, floats, normalised channels.

    Args:
        crop_size: height and width of the result.
        resize_size: of the shorter side before.
        mean, std: of the channels.
        interpolation: of the resizing.
        antialias: passed on to it.

    Called with a Pillow image or a tensor (..., 3, H, W), it returns a float tensor
    (..., 3, crop_size, crop_size).
    """

    def __init__(
        self,
        *,
        crop_size: int,
        resize_size: int = 256,
        mean: tuple[float, ...] = (0.485, 0.456, 0.406),
        std: tuple[float, ...] = (0.229, 0.224, 0.225),
        interpolation=InterpolationMode.BILINEAR,
        antialias: bool | None = True,
    ) -> None:
        self.crop_size, self.resize_size = [crop_size], [resize_size]
        self.mean, self.std = list(mean), list(std)
        self.interpolation, self.antialias = interpolation, antialias

    def __call__(self, img):
        img = F.resize(img, self.resize_size, self.interpolation, antialias=self.antialias)
        img = F.center_crop(img, self.crop_size)
        if F.is_pil(img):
            img = F.pil_to_tensor(img)
        return F.normalize(F.convert_image_dtype(img), self.mean, self.std)

    def __repr__(self) -> str:
        return (
            f"ImageClassification(\n    crop_size={self.crop_size}\n"
            f"    resize_size={self.resize_size}\n    mean={self.mean}\n    std={self.std}\n"
            f"    interpolation={self.interpolation}\n)"
        )


@dataclass(frozen=True)
class Weights:
    """A file of weights.

    Attributes:
        url: where it is published.
        transforms: called without arguments, what pictures go through.
        meta: ``num_params`` and ``_metrics``, as torchvision states them.
    """

    url: str
    transforms: Callable = field(compare=False)
    meta: dict[str, Any] = field(compare=False)


class WeightsEnum(enum.Enum):
    """The files of weights for one network; DEFAULT is the best of them."""

    @property
    def url(self) -> str:
        return self.value.url

    @property
    def transforms(self) -> Callable:
        return self.value.transforms

    @property
    def meta(self) -> dict[str, Any]:
        return self.value.meta

    def get_state_dict(self, progress: bool = True, check_hash: bool = True) -> dict[str, Any]:
        """The tensors of the file, fetched if it is not there yet.

        Args:
            progress: accepted for torchvision's programs.
            check_hash: compare also the checksum of a file that is there already.

        Raises:
            ValueError: the file cannot be fetched, or is not the one that was published.
        """
        return load(fetched(self.url, check_hash))

    def __repr__(self) -> str:
        return f"{type(self).__name__}.{self.name}"


def cache_folder() -> Path:
    """Where PyTorch keeps fetched weights."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("TORCH_HOME") or os.path.join(cache, "torch")
    return Path(os.path.expanduser(home), "hub", "checkpoints")


def fetched(url: str, check_hash: bool = True) -> Path:
    """The path of the file published at `url`, whose name ends in its checksum's beginning."""
    host, _, name = url.rpartition("/")
    checksum = re.search(r"-([0-9a-f]{8,})\.", name)[1]
    path = cache_folder() / name
    if not path.exists():
        try:
            return download(name, [host + "/"], cache_folder(), checksum)
        except DatasetError as error:
            raise ValueError(
                f"{error}. Put the file there by other means, or give the path of a .pth or "
                ".safetensors file as weights"
            ) from None
    if check_hash:
        with open(path, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if not found.startswith(checksum):
            raise ValueError(
                f"{path} is not the file that was published: its SHA-256 begins with "
                f"{found[: len(checksum)]}; remove it to fetch it again"
            )
    return path


RESIZING = {"l": InterpolationMode.BILINEAR, "c": InterpolationMode.BICUBIC}


def _enumerations() -> dict[str, type[WeightsEnum]]:
    members: dict[str, dict[str, Weights]] = {}
    for row in FILES.strip().splitlines():
        network, member, file, crop, size, resizing, parameters, first, fifth = row.split()
        preset = partial(
            ImageClassification,
            crop_size=int(crop),
            resize_size=int(size),
            interpolation=RESIZING[resizing],
        )
        right = {"ImageNet-1K": {"acc@1": float(first), "acc@5": float(fifth)}}
        meta = {"num_params": int(parameters), "_metrics": right}
        entries = members.setdefault(f"{network}_Weights", {})
        entries[f"IMAGENET1K_{member}"] = Weights(f"{HOST}{file}.pth", preset, meta)
    for entries in members.values():
        newest = [name for name in entries if name.startswith("IMAGENET1K_V")]
        entries["DEFAULT"] = entries[newest[-1] if newest else next(iter(entries))]
    return {name: WeightsEnum(name, entries, module=__name__) for name, entries in members.items()}


ENUMERATIONS = _enumerations()
globals().update(ENUMERATIONS)  # so that they can be pickled
__all__ += ENUMERATIONS


def weights_of(network: str) -> type[WeightsEnum]:
    """The enumeration of the weights for a network, by its function's name."""
    return next(e for name, e in ENUMERATIONS.items() if name.lower() == f"{network}_weights")


def get_weight(name: str) -> WeightsEnum:
    """The member of that full name, such as ``"ResNet50_Weights.IMAGENET1K_V2"``.

    Raises:
        ValueError: there is none.
    """
    kind, _, member = name.partition(".")
    if kind not in ENUMERATIONS or member not in ENUMERATIONS[kind].__members__:
        raise ValueError(f"get_weight: unknown weights {name!r}, expected such as "
                         "'ResNet50_Weights.DEFAULT'")  # fmt: skip
    return ENUMERATIONS[kind][member]


def chosen(network: str, weights, options: dict[str, Any]):
    """What `weights` means for `network`: a member of its enumeration, the path of a file, or None;
    the option ``pretrained=True`` of older programs is removed from `options`, and means
    IMAGENET1K_V1.

    Raises:
        TypeError: weights of another network.
        ValueError: neither a name nor a file that exists.
    """
    known = weights_of(network)
    if options.pop("pretrained", False) and weights is None:
        return known.IMAGENET1K_V1
    if weights is None or isinstance(weights, known):
        return weights
    if isinstance(weights, WeightsEnum):
        raise TypeError(
            f"Incorrect Weight class provided; expected {known.__name__} but received "
            f"{type(weights).__name__}."
        )
    if isinstance(weights, str) and weights.removeprefix(f"{known.__name__}.") in known.__members__:
        return known[weights.removeprefix(f"{known.__name__}.")]
    if not os.path.exists(os.fspath(weights)):
        raise ValueError(
            f"{network}: expected weights to be the path of a .pth or .safetensors file or one of "
            f"{', '.join(known.__members__)}, but got {str(weights)!r}"
        )
    return weights


def configured(
    network: str,
    build: Callable,
    weights,
    options: dict[str, Any],
    renamed: Callable[[str], str] | None = None,
):
    """build(**options), with `weights` if there are any (see :func:`chosen`).

    Args:
        network: name of the function that calls.
        build: the network's class, all but its options given.
        weights, options: what it was called with.
        renamed: today's name of a published file's name of a tensor.

    Raises:
        ValueError: no such weights, or they cannot be fetched, or `num_classes` is not theirs.
        TypeError: weights of another network.
        RuntimeError: a file's weights do not fit the model.
    """
    weights = chosen(network, weights, options)
    if weights is None:
        return build(**options)
    if isinstance(weights, WeightsEnum):
        if options.setdefault("num_classes", 1000) != 1000:
            raise ValueError(
                "The parameter 'num_classes' expected value 1000 but got "
                f"{options['num_classes']} instead."
            )
        state = weights.get_state_dict()
        if renamed is not None:
            state = {renamed(name): value for name, value in state.items()}
    else:
        state = load(weights)
        state = state.get("state_dict", state) if isinstance(state, dict) else state
    model = build(**options)
    model.load_state_dict(state)
    return model
