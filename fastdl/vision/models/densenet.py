"""Densely connected networks. Huang et al. 2016."""

from __future__ import annotations

import re
from collections import OrderedDict
from functools import partial

from fastdl import cat, nn
from fastdl.vision.models.weights import configured

__all__ = ["DenseNet", "densenet121", "densenet161", "densenet169", "densenet201"]


class _DenseLayer(nn.Module):
    """A 1x1 convolution to bn_size * growth_rate channels and a 3x3 to growth_rate, of everything
    before it in its block."""

    def __init__(self, n_in: int, growth_rate: int, bn_size: int, drop_rate: float) -> None:
        super().__init__()
        width = bn_size * growth_rate
        self.norm1 = nn.BatchNorm2d(n_in)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(n_in, width, kernel_size=1, stride=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, growth_rate, 3, stride=1, padding=1, bias=False)
        self.drop_rate = float(drop_rate)

    def forward(self, features):
        y = self.conv1(self.relu1(self.norm1(cat(features, 1))))
        y = self.conv2(self.relu2(self.norm2(y)))
        if self.drop_rate > 0:
            y = nn.functional.dropout(y, p=self.drop_rate, training=self.training)
        return y


class _DenseBlock(nn.ModuleDict):
    def __init__(self, count, n_in, bn_size, growth_rate, drop_rate) -> None:
        super().__init__()
        for i in range(count):
            layer = _DenseLayer(n_in + i * growth_rate, growth_rate, bn_size, drop_rate)
            self.add_module(f"denselayer{i + 1}", layer)

    def forward(self, x):
        features = [x]
        for layer in self.values():
            features.append(layer(features))
        return cat(features, 1)


class _Transition(nn.Sequential):
    """Half as many channels, half as large an image."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(n_in)
        self.relu = nn.ReLU(inplace=True)
        self.conv = nn.Conv2d(n_in, n_out, kernel_size=1, stride=1, bias=False)
        self.pool = nn.AvgPool2d(kernel_size=2, stride=2)


class DenseNet(nn.Module):
    """A dense network: images (N, 3, H, W) -> (N, num_classes).

    Args:
        growth_rate: channels that each layer adds.
        block_config: layers in each block.
        num_init_features: channels of the first convolution.
        bn_size: how many times `growth_rate` the 1x1 convolutions have.
        drop_rate: dropout after each layer.
        num_classes: outputs.
    """

    def __init__(
        self,
        growth_rate: int = 32,
        block_config: tuple[int, int, int, int] = (6, 12, 24, 16),
        num_init_features: int = 64,
        bn_size: int = 4,
        drop_rate: float = 0,
        num_classes: int = 1000,
        memory_efficient: bool = False,
    ) -> None:
        super().__init__()
        self.features = nn.Sequential(
            OrderedDict(
                conv0=nn.Conv2d(3, num_init_features, 7, stride=2, padding=3, bias=False),
                norm0=nn.BatchNorm2d(num_init_features),
                relu0=nn.ReLU(inplace=True),
                pool0=nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
            )
        )
        channels = num_init_features
        for i, count in enumerate(block_config):
            block = _DenseBlock(count, channels, bn_size, growth_rate, drop_rate)
            self.features.add_module(f"denseblock{i + 1}", block)
            channels += count * growth_rate
            if i != len(block_config) - 1:
                half = channels // 2
                self.features.add_module(f"transition{i + 1}", _Transition(channels, half))
                channels = half
        self.features.add_module("norm5", nn.BatchNorm2d(channels))
        self.classifier = nn.Linear(channels, num_classes)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight)
            elif isinstance(m, nn.Linear):
                nn.init.zeros_(m.bias)

    def forward(self, x):
        x = nn.functional.relu(self.features(x), inplace=True)
        x = nn.functional.adaptive_avg_pool2d(x, (1, 1))
        return self.classifier(x.flatten(1))


def _densenet(name, growth_rate, block_config, num_init_features, weights, options) -> DenseNet:
    build = partial(DenseNet, growth_rate, block_config, num_init_features)
    # The published files are older than names without a dot before the number.
    renamed = partial(re.sub, r"(denselayer\d+\.(?:norm|relu|conv))\.(?=[12]\.)", r"\1")
    return configured(name, build, weights, options, renamed)


def densenet121(*, weights=None, progress: bool = True, **kwargs) -> DenseNet:
    """DenseNet-121, 8.0 million parameters. Arguments: see :mod:`fastdl.vision.models`."""
    return _densenet("densenet121", 32, (6, 12, 24, 16), 64, weights, kwargs)


def densenet161(*, weights=None, progress: bool = True, **kwargs) -> DenseNet:
    """DenseNet-161, 28.7 million parameters."""
    return _densenet("densenet161", 48, (6, 12, 36, 24), 96, weights, kwargs)


def densenet169(*, weights=None, progress: bool = True, **kwargs) -> DenseNet:
    """DenseNet-169, 14.1 million parameters."""
    return _densenet("densenet169", 32, (6, 12, 32, 32), 64, weights, kwargs)


def densenet201(*, weights=None, progress: bool = True, **kwargs) -> DenseNet:
    """DenseNet-201, 20.0 million parameters."""
    return _densenet("densenet201", 32, (6, 12, 48, 32), 64, weights, kwargs)
