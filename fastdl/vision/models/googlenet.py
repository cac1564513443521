"""GoogLeNet (Inception v1), with batch norm. Szegedy et al. 2014."""

from __future__ import annotations

from collections import namedtuple

from fastdl import cat, nn
from fastdl.vision.models.weights import WeightsEnum, chosen, configured

__all__ = ["GoogLeNet", "GoogLeNetOutputs", "googlenet"]

GoogLeNetOutputs = namedtuple("GoogLeNetOutputs", ["logits", "aux_logits2", "aux_logits1"])


class BasicConv2d(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, **kwargs) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, bias=False, **kwargs)
        self.bn = nn.BatchNorm2d(out_channels, eps=0.001)

    def forward(self, x):
        return nn.functional.relu(self.bn(self.conv(x)), inplace=True)


class Inception(nn.Module):
    """Four branches side by side: 1x1; 1x1 and 3x3; 1x1 and 3x3 (the paper's 5x5); pooling and
    1x1."""

    def __init__(self, n_in, ch1x1, ch3x3red, ch3x3, ch5x5red, ch5x5, pool_proj) -> None:
        super().__init__()
        self.branch1 = BasicConv2d(n_in, ch1x1, kernel_size=1)
        self.branch2 = nn.Sequential(
            BasicConv2d(n_in, ch3x3red, kernel_size=1),
            BasicConv2d(ch3x3red, ch3x3, kernel_size=3, padding=1),
        )
        self.branch3 = nn.Sequential(
            BasicConv2d(n_in, ch5x5red, kernel_size=1),
            BasicConv2d(ch5x5red, ch5x5, kernel_size=3, padding=1),
        )
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(kernel_size=3, stride=1, padding=1, ceil_mode=True),
            BasicConv2d(n_in, pool_proj, kernel_size=1),
        )

    def forward(self, x):
        return cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class InceptionAux(nn.Module):
    """A classifier half-way, for training."""

    def __init__(self, in_channels: int, num_classes: int, dropout: float = 0.7) -> None:
        super().__init__()
        self.conv = BasicConv2d(in_channels, 128, kernel_size=1)
        self.fc1 = nn.Linear(2048, 1024)
        self.fc2 = nn.Linear(1024, num_classes)
        self.dropout = nn.Dropout(p=dropout)

    def forward(self, x):
        x = self.conv(nn.functional.adaptive_avg_pool2d(x, (4, 4)))
        x = nn.functional.relu(self.fc1(x.flatten(1)), inplace=True)
        return self.fc2(self.dropout(x))


class GoogLeNet(nn.Module):
    """A network of Inception modules: images (N, 3, H, W) -> (N, num_classes).

    Args:
        num_classes: outputs.
        aux_logits: two more classifiers; in training the result is then a GoogLeNetOutputs.
        transform_input: take images normalised by ImageNet's means rather than by 0.5.
        init_weights: draw weights from N(0, 0.01), cut off at 2.
        dropout, dropout_aux: before the last layers.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        aux_logits: bool = True,
        transform_input: bool = False,
        init_weights: bool | None = None,
        dropout: float = 0.2,
        dropout_aux: float = 0.7,
    ) -> None:
        super().__init__()
        self.aux_logits = aux_logits
        self.transform_input = transform_input
        pool = lambda size: nn.MaxPool2d(size, stride=2, ceil_mode=True)
        self.conv1 = BasicConv2d(3, 64, kernel_size=7, stride=2, padding=3)
        self.maxpool1 = pool(3)
        self.conv2 = BasicConv2d(64, 64, kernel_size=1)
        self.conv3 = BasicConv2d(64, 192, kernel_size=3, padding=1)
        self.maxpool2 = pool(3)
        self.inception3a = Inception(192, 64, 96, 128, 16, 32, 32)
        self.inception3b = Inception(256, 128, 128, 192, 32, 96, 64)
        self.maxpool3 = pool(3)
        self.inception4a = Inception(480, 192, 96, 208, 16, 48, 64)
        self.inception4b = Inception(512, 160, 112, 224, 24, 64, 64)
        self.inception4c = Inception(512, 128, 128, 256, 24, 64, 64)
        self.inception4d = Inception(512, 112, 144, 288, 32, 64, 64)
        self.inception4e = Inception(528, 256, 160, 320, 32, 128, 128)
        self.maxpool4 = pool(2)
        self.inception5a = Inception(832, 256, 160, 320, 32, 128, 128)
        self.inception5b = Inception(832, 384, 192, 384, 48, 128, 128)
        self.aux1 = InceptionAux(512, num_classes, dropout_aux) if aux_logits else None
        self.aux2 = InceptionAux(528, num_classes, dropout_aux) if aux_logits else None
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.dropout = nn.Dropout(p=dropout)
        self.fc = nn.Linear(1024, num_classes)
        if init_weights or init_weights is None:
            for m in self.modules():
                if isinstance(m, nn.Conv2d | nn.Linear):
                    nn.init.trunc_normal_(m.weight, mean=0.0, std=0.01, a=-2, b=2)

    def _transformed(self, x):
        """From ImageNet's normalisation to that by mean 0.5, deviation 0.5."""
        if not self.transform_input:
            return x
        factors = [(0.229, 0.485), (0.224, 0.456), (0.225, 0.406)]
        planes = [
            x[:, i : i + 1] * (std / 0.5) + (mean - 0.5) / 0.5
            for i, (std, mean) in enumerate(factors)
        ]
        return cat(planes, 1)

    def forward(self, x):
        x = self.maxpool1(self.conv1(self._transformed(x)))
        x = self.maxpool2(self.conv3(self.conv2(x)))
        x = self.maxpool3(self.inception3b(self.inception3a(x)))
        x = self.inception4a(x)
        helped = self.training and self.aux_logits
        first = self.aux1(x) if helped else None
        x = self.inception4d(self.inception4c(self.inception4b(x)))
        second = self.aux2(x) if helped else None
        x = self.maxpool4(self.inception4e(x))
        x = self.avgpool(self.inception5b(self.inception5a(x))).flatten(1)
        x = self.fc(self.dropout(x))
        return GoogLeNetOutputs(x, second, first) if helped else x


def googlenet(*, weights=None, progress: bool = True, **kwargs) -> GoogLeNet:
    """GoogLeNet, 6.6 million parameters, 13.0 with the two more classifiers, which weights of
    torchvision come without unless `aux_logits` is given; they want `transform_input`."""
    weights = chosen("googlenet", weights, kwargs)
    if not isinstance(weights, WeightsEnum):
        return configured("googlenet", GoogLeNet, weights, kwargs)
    helped = kwargs.get("aux_logits", False)
    options = {"transform_input": True, "init_weights": False, **kwargs, "aux_logits": True}
    model = configured("googlenet", GoogLeNet, weights, options)
    if not helped:
        model.aux_logits, model.aux1, model.aux2 = False, None, None
    return model
