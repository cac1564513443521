"""SqueezeNet. Iandola et al. 2016."""

from __future__ import annotations

from functools import partial

from fastdl import cat, nn
from fastdl.vision.models.weights import configured

__all__ = ["SqueezeNet", "squeezenet1_0", "squeezenet1_1"]


class Fire(nn.Module):
    """A 1x1 convolution to few channels, then 1x1 and 3x3 ones side by side."""

    def __init__(self, inplanes: int, squeeze_planes: int, expand_planes: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inplanes, squeeze_planes, kernel_size=1)
        self.squeeze_activation = nn.ReLU(inplace=True)
        self.expand1x1 = nn.Conv2d(squeeze_planes, expand_planes, kernel_size=1)
        self.expand1x1_activation = nn.ReLU(inplace=True)
        self.expand3x3 = nn.Conv2d(squeeze_planes, expand_planes, kernel_size=3, padding=1)
        self.expand3x3_activation = nn.ReLU(inplace=True)

    def forward(self, x):
        x = self.squeeze_activation(self.squeeze(x))
        sides = (
            self.expand1x1_activation(self.expand1x1(x)),
            self.expand3x3_activation(self.expand3x3(x)),
        )
        return cat(sides, 1)


# Fire modules (squeeze, expand) between the three poolings.
FIRES = {
    "1_0": (96, 7, [(16, 64), (16, 64), (32, 128)],
            [(32, 128), (48, 192), (48, 192), (64, 256)], [(64, 256)]),
    "1_1": (64, 3, [(16, 64), (16, 64)], [(32, 128), (32, 128)],
            [(48, 192), (48, 192), (64, 256), (64, 256)]),
}  # fmt: skip


class SqueezeNet(nn.Module):
    """A network of Fire modules: images (N, 3, H, W) -> (N, num_classes).

    Args:
        version: ``"1_0"`` or ``"1_1"``, which needs 2.4 times fewer operations.
        num_classes: outputs.
        dropout: before the last convolution.

    Raises:
        ValueError: an unknown version.
    """

    def __init__(self, version: str = "1_0", num_classes: int = 1000, dropout: float = 0.5) -> None:
        super().__init__()
        self.num_classes = num_classes
        if version not in FIRES:
            raise ValueError(f"Unsupported SqueezeNet version {version}: 1_0 or 1_1 expected")
        channels, size, *groups = FIRES[version]
        layers = [nn.Conv2d(3, channels, kernel_size=size, stride=2), nn.ReLU(inplace=True)]
        for group in groups:
            layers.append(nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True))
            for squeeze, expand in group:
                layers.append(Fire(channels, squeeze, expand))
                channels = 2 * expand
        self.features = nn.Sequential(*layers)
        last = nn.Conv2d(512, num_classes, kernel_size=1)
        self.classifier = nn.Sequential(
            nn.Dropout(p=dropout), last, nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d((1, 1))
        )
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                if m is last:
                    nn.init.normal_(m.weight, mean=0.0, std=0.01)
                else:
                    nn.init.kaiming_uniform_(m.weight)
                nn.init.zeros_(m.bias)

    def forward(self, x):
        return self.classifier(self.features(x)).flatten(1)


def squeezenet1_0(*, weights=None, progress: bool = True, **kwargs) -> SqueezeNet:
    """SqueezeNet 1.0, 1.25 million parameters."""
    return configured("squeezenet1_0", partial(SqueezeNet, "1_0"), weights, kwargs)


def squeezenet1_1(*, weights=None, progress: bool = True, **kwargs) -> SqueezeNet:
    """SqueezeNet 1.1, 1.24 million parameters."""
    return configured("squeezenet1_1", partial(SqueezeNet, "1_1"), weights, kwargs)
