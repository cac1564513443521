"""MobileNetV2. Sandler et al. 2018."""

from __future__ import annotations

from collections.abc import Callable

from fastdl import nn
from fastdl.vision.models.weights import configured

__all__ = ["MobileNetV2", "mobilenet_v2"]


def multiple_of(value: float, divisor: int) -> int:
    """The multiple of `divisor` next to `value`, at most a tenth below it."""
    near = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return near + divisor if near < 0.9 * value else near


def _conv_norm_relu(n_in, n_out, size, stride, groups, norm) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, size, stride, (size - 1) // 2, groups=groups, bias=False),
        norm(n_out),
        nn.ReLU6(inplace=True),
    )


class InvertedResidual(nn.Module):
    """1x1 to `expand_ratio` times the channels, a depthwise 3x3, 1x1 to `oup` channels; a shortcut
    where shapes allow."""

    def __init__(
        self,
        inp: int,
        oup: int,
        stride: int,
        expand_ratio: int,
        norm_layer: Callable[..., nn.Module] | None = None,
    ) -> None:
        super().__init__()
        if stride not in (1, 2):
            raise ValueError(f"stride should be 1 or 2 instead of {stride}")
        norm = norm_layer or nn.BatchNorm2d
        hidden = round(inp * expand_ratio)
        self.stride = stride
        self.use_res_connect = stride == 1 and inp == oup
        layers = [_conv_norm_relu(inp, hidden, 1, 1, 1, norm)] if expand_ratio != 1 else []
        layers += [
            _conv_norm_relu(hidden, hidden, 3, stride, hidden, norm),
            nn.Conv2d(hidden, oup, 1, 1, 0, bias=False),
            norm(oup),
        ]
        self.conv = nn.Sequential(*layers)
        self.out_channels = oup

    def forward(self, x):
        return x + self.conv(x) if self.use_res_connect else self.conv(x)


SETTING = [  # expand_ratio, channels, blocks, stride of the first
    [1, 16, 1, 1],
    [6, 24, 2, 2],
    [6, 32, 3, 2],
    [6, 64, 4, 2],
    [6, 96, 3, 1],
    [6, 160, 3, 2],
    [6, 320, 1, 1],
]


class MobileNetV2(nn.Module):
    """A network of inverted residuals: images (N, 3, H, W) -> (N, num_classes).

    Args:
        num_classes: outputs.
        width_mult: how many times the channels of the paper.
        inverted_residual_setting: rows of (expand_ratio, channels, blocks, stride).
        round_nearest: channels are multiples of it.
        norm_layer: BatchNorm2d unless given.
        dropout: before the linear layer.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        width_mult: float = 1.0,
        inverted_residual_setting: list[list[int]] | None = None,
        round_nearest: int = 8,
        block: Callable[..., nn.Module] | None = None,
        norm_layer: Callable[..., nn.Module] | None = None,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        norm, block = norm_layer or nn.BatchNorm2d, block or InvertedResidual
        setting = SETTING if inverted_residual_setting is None else inverted_residual_setting
        if len(setting) == 0 or len(setting[0]) != 4:
            raise ValueError(
                "inverted_residual_setting should be non-empty or a 4-element list, got "
                f"{inverted_residual_setting}"
            )
        channels = multiple_of(32 * width_mult, round_nearest)
        self.last_channel = multiple_of(1280 * max(1.0, width_mult), round_nearest)
        layers = [_conv_norm_relu(3, channels, 3, 2, 1, norm)]
        for expand_ratio, c, n, s in setting:
            width = multiple_of(c * width_mult, round_nearest)
            for i in range(n):
                stride = s if i == 0 else 1
                layers.append(block(channels, width, stride, expand_ratio, norm_layer=norm))
                channels = width
        layers.append(_conv_norm_relu(channels, self.last_channel, 1, 1, 1, norm))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Dropout(p=dropout), nn.Linear(self.last_channel, num_classes)
        )
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out")
            elif isinstance(m, nn.Linear):
                nn.init.normal_(m.weight, 0, 0.01)
                nn.init.zeros_(m.bias)

    def forward(self, x):
        x = nn.functional.adaptive_avg_pool2d(self.features(x), (1, 1))
        return self.classifier(x.flatten(1))


def mobilenet_v2(*, weights=None, progress: bool = True, **kwargs) -> MobileNetV2:
    """MobileNetV2, 3.5 million parameters. Arguments: see :mod:`fastdl.vision.models`."""
    return configured("mobilenet_v2", MobileNetV2, weights, kwargs)
