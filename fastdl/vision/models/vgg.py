"""VGG. Simonyan & Zisserman 2014."""

from __future__ import annotations

from fastdl import nn
from fastdl.vision.models.weights import configured

__all__ = [
    "VGG",
    "vgg11",
    "vgg11_bn",
    "vgg13",
    "vgg13_bn",
    "vgg16",
    "vgg16_bn",
    "vgg19",
    "vgg19_bn",
]

# Channels of the convolutions in each of the five stages; a 2x2 pooling ends each stage.
STAGES = {
    11: ([64], [128], [256] * 2, [512] * 2, [512] * 2),
    13: ([64] * 2, [128] * 2, [256] * 2, [512] * 2, [512] * 2),
    16: ([64] * 2, [128] * 2, [256] * 3, [512] * 3, [512] * 3),
    19: ([64] * 2, [128] * 2, [256] * 4, [512] * 4, [512] * 4),
}


def _features(stages, batch_norm: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    channels = 3
    for stage in stages:
        for width in stage:
            layers.append(nn.Conv2d(channels, width, kernel_size=3, padding=1))
            if batch_norm:
                layers.append(nn.BatchNorm2d(width))
            layers.append(nn.ReLU(inplace=True))
            channels = width
        layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
    return nn.Sequential(*layers)


class VGG(nn.Module):
    """3x3 convolutions in five stages, and three linear layers.

    Args:
        features: the convolutions, (N, 3, 224, 224) -> (N, 512, 7, 7).
        num_classes: outputs.
        init_weights: He's initialisation for convolutions, N(0, 0.01) for linear layers.
        dropout: between the linear layers.
    """

    def __init__(
        self,
        features: nn.Module,
        num_classes: int = 1000,
        init_weights: bool = True,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.features = features
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096),
            nn.ReLU(True),
            nn.Dropout(p=dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(True),
            nn.Dropout(p=dropout),
            nn.Linear(4096, num_classes),
        )
        if init_weights:
            for m in self.modules():
                if isinstance(m, nn.Conv2d):
                    nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
                    nn.init.zeros_(m.bias)
                elif isinstance(m, nn.BatchNorm2d):
                    nn.init.ones_(m.weight)
                    nn.init.zeros_(m.bias)
                elif isinstance(m, nn.Linear):
                    nn.init.normal_(m.weight, 0, 0.01)
                    nn.init.zeros_(m.bias)

    def forward(self, x):
        x = self.avgpool(self.features(x))
        return self.classifier(x.flatten(1))


def _vgg(depth: int, batch_norm: bool, weights, options) -> VGG:
    if weights is not None:
        options["init_weights"] = False

    def build(**options):
        return VGG(_features(STAGES[depth], batch_norm), **options)

    return configured(f"vgg{depth}" + "_bn" * batch_norm, build, weights, options)


def vgg11(*, weights=None, progress: bool = True, **kwargs) -> VGG:
    """VGG with 11 layers, 132.9 million parameters."""
    return _vgg(11, False, weights, kwargs)


def vgg11_bn(*, weights=None, progress: bool = True, **kwargs) -> VGG:
    """VGG with 11 layers and batch norm."""
    return _vgg(11, True, weights, kwargs)


def vgg13(*, weights=None, progress: bool = True, **kwargs) -> VGG:
    """VGG with 13 layers, 133.0 million parameters."""
    return _vgg(13, False, weights, kwargs)


def vgg13_bn(*, weights=None, progress: bool = True, **kwargs) -> VGG:
    """VGG with 13 layers and batch norm."""
    return _vgg(13, True, weights, kwargs)


def vgg16(*, weights=None, progress: bool = True, **kwargs) -> VGG:
    """VGG with 16 layers, 138.4 million parameters."""
    return _vgg(16, False, weights, kwargs)


def vgg16_bn(*, weights=None, progress: bool = True, **kwargs) -> VGG:
    """VGG with 16 layers and batch norm."""
    return _vgg(16, True, weights, kwargs)


def vgg19(*, weights=None, progress: bool = True, **kwargs) -> VGG:
    """VGG with 19 layers, 143.7 million parameters."""
    return _vgg(19, False, weights, kwargs)


def vgg19_bn(*, weights=None, progress: bool = True, **kwargs) -> VGG:
    """VGG with 19 layers and batch norm."""
    return _vgg(19, True, weights, kwargs)
