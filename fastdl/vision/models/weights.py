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

# Enumeration, member, file, size of the shorter side before the crop, parameters of the network,
# and what torchvision states of it on ImageNet: per cent right in one guess, and in five.
FILES = [
    ("AlexNet_Weights", "V1", "alexnet-owt-7be5be79", 256, 61100840, 56.522, 79.066),
    ("DenseNet121_Weights", "V1", "densenet121-a639ec97", 256, 7978856, 74.434, 91.972),
    ("DenseNet161_Weights", "V1", "densenet161-8d451a50", 256, 28681000, 77.138, 93.56),
    ("DenseNet169_Weights", "V1", "densenet169-b2777c0a", 256, 14149480, 75.6, 92.806),
    ("DenseNet201_Weights", "V1", "densenet201-c1103571", 256, 20013928, 76.896, 93.37),
    ("GoogLeNet_Weights", "V1", "googlenet-1378be20", 256, 6624904, 69.778, 89.53),
    ("MobileNet_V2_Weights", "V1", "mobilenet_v2-b0353104", 256, 3504872, 71.878, 90.286),
    ("MobileNet_V2_Weights", "V2", "mobilenet_v2-7ebf99e0", 232, 3504872, 72.154, 90.822),
    ("ResNet101_Weights", "V1", "resnet101-63fe2227", 256, 44549160, 77.374, 93.546),
    ("ResNet101_Weights", "V2", "resnet101-cd907fc2", 232, 44549160, 81.886, 95.78),
    ("ResNet152_Weights", "V1", "resnet152-394f9c45", 256, 60192808, 78.312, 94.046),
    ("ResNet152_Weights", "V2", "resnet152-f82ba261", 232, 60192808, 82.284, 96.002),
    ("ResNet18_Weights", "V1", "resnet18-f37072fd", 256, 11689512, 69.758, 89.078),
    ("ResNet34_Weights", "V1", "resnet34-b627a593", 256, 21797672, 73.314, 91.42),
    ("ResNet50_Weights", "V1", "resnet50-0676ba61", 256, 25557032, 76.13, 92.862),
    ("ResNet50_Weights", "V2", "resnet50-11ad3fa6", 232, 25557032, 80.858, 95.434),
    ("ResNeXt101_32X8D_Weights", "V1", "resnext101_32x8d-8ba56ff5", 256, 88791336, 79.312, 94.526),
    ("ResNeXt101_32X8D_Weights", "V2", "resnext101_32x8d-110c445d", 232, 88791336, 82.834, 96.228),
    ("ResNeXt50_32X4D_Weights", "V1", "resnext50_32x4d-7cdf4587", 256, 25028904, 77.618, 93.698),
    ("ResNeXt50_32X4D_Weights", "V2", "resnext50_32x4d-1a0047aa", 232, 25028904, 81.198, 95.34),
    ("SqueezeNet1_0_Weights", "V1", "squeezenet1_0-b66bff10", 256, 1248424, 58.092, 80.42),
    ("SqueezeNet1_1_Weights", "V1", "squeezenet1_1-b8a52dc0", 256, 1235496, 58.178, 80.624),
    ("VGG11_Weights", "V1", "vgg11-8a719046", 256, 132863336, 69.02, 88.628),
    ("VGG11_BN_Weights", "V1", "vgg11_bn-6002323d", 256, 132868840, 70.37, 89.81),
    ("VGG13_Weights", "V1", "vgg13-19584684", 256, 133047848, 69.928, 89.246),
    ("VGG13_BN_Weights", "V1", "vgg13_bn-abd245e5", 256, 133053736, 71.586, 90.374),
    ("VGG16_Weights", "V1", "vgg16-397923af", 256, 138357544, 71.592, 90.382),
    ("VGG16_BN_Weights", "V1", "vgg16_bn-6c64b313", 256, 138365992, 73.36, 91.516),
    ("VGG19_Weights", "V1", "vgg19-dcbb9e9d", 256, 143667240, 72.376, 90.876),
    ("VGG19_BN_Weights", "V1", "vgg19_bn-c79401a0", 256, 143678248, 74.218, 91.842),
    ("Wide_ResNet101_2_Weights", "V1", "wide_resnet101_2-32ee1156", 256, 126886696, 78.848, 94.284),
    ("Wide_ResNet101_2_Weights", "V2", "wide_resnet101_2-d733dc28", 232, 126886696, 82.51, 96.02),
    ("Wide_ResNet50_2_Weights", "V1", "wide_resnet50_2-95faca4d", 256, 68883240, 78.468, 94.086),
    ("Wide_ResNet50_2_Weights", "V2", "wide_resnet50_2-9ba9bcbe", 232, 68883240, 81.602, 95.758),
]  # fmt: skip


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


def _enumerations() -> dict[str, type[WeightsEnum]]:
    members: dict[str, dict[str, Weights]] = {}
    for name, version, file, size, parameters, first, fifth in FILES:
        weights = Weights(
            f"{HOST}{file}.pth",
            partial(ImageClassification, crop_size=224, resize_size=size),
            {
                "num_params": parameters,
                "_metrics": {"ImageNet-1K": {"acc@1": first, "acc@5": fifth}},
            },
        )
        members.setdefault(name, {})[f"IMAGENET1K_{version}"] = weights
    for entries in members.values():
        entries["DEFAULT"] = list(entries.values())[-1]
    return {name: WeightsEnum(name, entries, module=__name__) for name, entries in members.items()}


ENUMERATIONS = _enumerations()
globals().update(ENUMERATIONS)  # so that they can be pickled
__all__ += ENUMERATIONS


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
    known = next(e for name, e in ENUMERATIONS.items() if name.lower() == f"{network}_weights")
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
