"""EfficientNet. Tan and Le 2019."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from fastdl import empty, nn
from fastdl.vision.models.mobilenet import multiple_of
from fastdl.vision.models.weights import configured

__all__ = [
    "EfficientNet",
    "SqueezeExcitation",
    "StochasticDepth",
    "efficientnet_b0",
    "efficientnet_b1",
    "efficientnet_b2",
    "efficientnet_b3",
    "efficientnet_b4",
    "efficientnet_b5",
    "efficientnet_b6",
    "efficientnet_b7",
    "stochastic_depth",
]


def stochastic_depth(input, p: float, mode: str, training: bool = True):
    """`input` (N, ...), or zeros with probability `p`; what is kept is divided by 1 - p (Huang et
    al. 2016).

    Args:
        mode: ``"row"``: each of the N samples has a draw of its own; ``"batch"``: one for all.
        training: if False, `input` comes back.

    Raises:
        ValueError: `p` is no probability, or an unknown mode.
    """
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"drop probability has to be between 0 and 1, but got {p}")
    if mode not in ("batch", "row"):
        raise ValueError(f"mode has to be either 'batch' or 'row', but got {mode}")
    if not training or p == 0.0:
        return input
    rows = input.shape[0] if mode == "row" else 1
    kept = empty(rows, *(1,) * (input.ndim - 1), dtype=input.dtype).bernoulli_(1 - p)
    return input * (kept / (1 - p) if p < 1 else kept)


class StochasticDepth(nn.Module):
    """:func:`stochastic_depth` in training."""

    def __init__(self, p: float, mode: str) -> None:
        super().__init__()
        self.p = p
        self.mode = mode

    def forward(self, input):
        return stochastic_depth(input, self.p, self.mode, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}, mode={self.mode}"


class SqueezeExcitation(nn.Module):
    """Scales each channel by a number that a small network makes of all channels' means (Hu et al.
    2018).

    Args:
        input_channels: of the input (N, C, H, W).
        squeeze_channels: between the two layers.
        activation, scale_activation: after the first and the second.
    """

    def __init__(
        self,
        input_channels: int,
        squeeze_channels: int,
        activation: Callable[..., nn.Module] = nn.ReLU,
        scale_activation: Callable[..., nn.Module] = nn.Sigmoid,
    ) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(input_channels, squeeze_channels, 1)
        self.fc2 = nn.Conv2d(squeeze_channels, input_channels, 1)
        self.activation = activation()
        self.scale_activation = scale_activation()

    def forward(self, input):
        scale = self.activation(self.fc1(self.avgpool(input)))
        return input * self.scale_activation(self.fc2(scale))


def _conv_norm(n_in, n_out, size, norm, stride=1, groups=1, activation=True) -> nn.Sequential:
    padding = (size - 1) // 2
    layers = [
        nn.Conv2d(n_in, n_out, size, stride, padding, groups=groups, bias=False),
        norm(n_out),
    ]
    return nn.Sequential(*layers, *([nn.SiLU(inplace=True)] if activation else []))


class MBConv(nn.Module):
    """1x1 to `expand` times the channels, depthwise, squeeze and excitation, 1x1 to `n_out`; around
    it a shortcut where shapes allow, in training at times without what it goes around."""

    def __init__(self, expand, size, stride, n_in, n_out, drop, norm) -> None:
        super().__init__()
        self.use_res_connect = stride == 1 and n_in == n_out
        wide = multiple_of(n_in * expand, 8)
        layers = [_conv_norm(n_in, wide, 1, norm)] if wide != n_in else []
        layers += [
            _conv_norm(wide, wide, size, norm, stride, groups=wide),
            SqueezeExcitation(wide, max(1, n_in // 4), partial(nn.SiLU, inplace=True)),
            _conv_norm(wide, n_out, 1, norm, activation=False),
        ]
        self.block = nn.Sequential(*layers)
        self.stochastic_depth = StochasticDepth(drop, "row")
        self.out_channels = n_out

    def forward(self, input):
        result = self.block(input)
        return self.stochastic_depth(result) + input if self.use_res_connect else result


STAGES = [  # expand, kernel, stride of the first block, channels in and out, blocks
    (1, 3, 1, 32, 16, 1),
    (6, 3, 2, 16, 24, 2),
    (6, 5, 2, 24, 40, 2),
    (6, 3, 2, 40, 80, 3),
    (6, 5, 1, 80, 112, 3),
    (6, 5, 2, 112, 192, 4),
    (6, 3, 1, 192, 320, 1),
]


class EfficientNet(nn.Module):
    """Stages of MBConv blocks: images (N, 3, H, W) -> (N, num_classes).

    Args:
        width_mult, depth_mult: how many times the channels and the blocks of B0.
        dropout: before the linear layer.
        stochastic_depth_prob: of the last block; it grows from 0 at the first.
        num_classes: outputs.
        norm_layer: BatchNorm2d unless given.
    """

    def __init__(
        self,
        width_mult: float = 1.0,
        depth_mult: float = 1.0,
        dropout: float = 0.2,
        stochastic_depth_prob: float = 0.2,
        num_classes: int = 1000,
        norm_layer: Callable[..., nn.Module] | None = None,
    ) -> None:
        super().__init__()
        norm = norm_layer or nn.BatchNorm2d
        width = lambda channels: multiple_of(channels * width_mult, 8)
        depth = lambda blocks: math.ceil(blocks * depth_mult)
        total, made = sum(depth(blocks) for *_, blocks in STAGES), 0
        layers = [_conv_norm(3, width(32), 3, norm, stride=2)]
        for expand, size, stride, n_in, n_out, blocks in STAGES:
            stage = []
            for i in range(depth(blocks)):
                first = (stride, width(n_in)) if i == 0 else (1, width(n_out))
                drop = stochastic_depth_prob * made / total
                stage.append(MBConv(expand, size, *first, width(n_out), drop, norm))
                made += 1
            layers.append(nn.Sequential(*stage))
        last = width(STAGES[-1][4])
        layers.append(_conv_norm(last, 4 * last, 1, norm))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            nn.Dropout(p=dropout, inplace=True), nn.Linear(4 * last, num_classes)
        )
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out")
                if m.bias is not None:
                    nn.init.zeros_(m.bias)
            elif isinstance(m, nn.BatchNorm2d | nn.GroupNorm):
                nn.init.ones_(m.weight)
                nn.init.zeros_(m.bias)
            elif isinstance(m, nn.Linear):
                bound = 1 / math.sqrt(m.out_features)
                nn.init.uniform_(m.weight, -bound, bound)
                nn.init.zeros_(m.bias)

    def forward(self, x):
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def _efficientnet(number, width_mult, depth_mult, dropout, weights, options) -> EfficientNet:
    options.setdefault("dropout", dropout)
    if number >= 5:
        options.setdefault("norm_layer", partial(nn.BatchNorm2d, eps=0.001, momentum=0.01))
    build = partial(EfficientNet, width_mult, depth_mult)
    return configured(f"efficientnet_b{number}", build, weights, options)


def efficientnet_b0(*, weights=None, progress: bool = True, **kwargs) -> EfficientNet:
    """EfficientNet B0, 5.3 million parameters. Arguments: see :mod:`fastdl.vision.models`."""
    return _efficientnet(0, 1.0, 1.0, 0.2, weights, kwargs)


def efficientnet_b1(*, weights=None, progress: bool = True, **kwargs) -> EfficientNet:
    """EfficientNet B1, 7.8 million parameters."""
    return _efficientnet(1, 1.0, 1.1, 0.2, weights, kwargs)


def efficientnet_b2(*, weights=None, progress: bool = True, **kwargs) -> EfficientNet:
    """EfficientNet B2, 9.1 million parameters."""
    return _efficientnet(2, 1.1, 1.2, 0.3, weights, kwargs)


def efficientnet_b3(*, weights=None, progress: bool = True, **kwargs) -> EfficientNet:
    """EfficientNet B3, 12.2 million parameters."""
    return _efficientnet(3, 1.2, 1.4, 0.3, weights, kwargs)


def efficientnet_b4(*, weights=None, progress: bool = True, **kwargs) -> EfficientNet:
    """EfficientNet B4, 19.3 million parameters."""
    return _efficientnet(4, 1.4, 1.8, 0.4, weights, kwargs)


def efficientnet_b5(*, weights=None, progress: bool = True, **kwargs) -> EfficientNet:
    """EfficientNet B5, 30.4 million parameters."""
    return _efficientnet(5, 1.6, 2.2, 0.4, weights, kwargs)


def efficientnet_b6(*, weights=None, progress: bool = True, **kwargs) -> EfficientNet:
    """EfficientNet B6, 43.0 million parameters."""
    return _efficientnet(6, 1.8, 2.6, 0.5, weights, kwargs)


def efficientnet_b7(*, weights=None, progress: bool = True, **kwargs) -> EfficientNet:
    """EfficientNet B7, 66.3 million parameters."""
    return _efficientnet(7, 2.0, 3.1, 0.5, weights, kwargs)
