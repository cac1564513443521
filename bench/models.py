"""The networks whose steps are timed, written once for a module called `torch`."""

import itertools


def mlp(torch, *widths):
    nn = torch.nn
    layers = []
    for width, following in itertools.pairwise(widths):
        layers += [nn.Linear(width, following), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def lenet(torch):
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.ReLU(),
        nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


def resnet18(torch):
    """ResNet-18 for 32 x 32 images (He et al. 2016): a 3x3 stem, no first pooling."""
    nn = torch.nn

    class Block(nn.Module):
        def __init__(self, width, out, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(width, out, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(out)
            self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(out)
            self.relu = nn.ReLU(inplace=True)
            self.shortcut = nn.Sequential()
            if stride != 1 or width != out:
                self.shortcut = nn.Sequential(
                    nn.Conv2d(width, out, 1, stride, bias=False), nn.BatchNorm2d(out)
                )

        def forward(self, x):
            y = self.relu(self.bn1(self.conv1(x)))
            return self.relu(self.bn2(self.conv2(y)) + self.shortcut(x))

    layers = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True)]
    width = 64
    for out, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [Block(width, out, stride), Block(out, out, 1)]
        width = out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))


def mobilenet(torch):
    """Depthwise separable blocks for 32 x 32 images (Howard et al. 2017)."""
    nn = torch.nn

    def norm(width):
        return nn.BatchNorm2d(width), nn.ReLU(inplace=True)

    layers = [nn.Conv2d(3, 32, 3, 1, 1, bias=False), *norm(32)]
    width = 32
    for out, stride in ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1)):
        layers += [nn.Conv2d(width, width, 3, stride, 1, groups=width, bias=False), *norm(width)]
        layers += [nn.Conv2d(width, out, 1, bias=False), *norm(out)]
        width = out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))


def unet(torch, base=16, classes=10):
    """A U-Net of three levels (Ronneberger et al. 2015), padded, with transposed convolutions."""
    nn = torch.nn

    def double(width, out):
        return nn.Sequential(
            nn.Conv2d(width, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU(),
            nn.Conv2d(out, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU(),
        )  # fmt: skip

    class UNet(nn.Module):
        def __init__(self):
            super().__init__()
            widths = [base, 2 * base, 4 * base, 8 * base]
            self.down = nn.ModuleList(double(a, b) for a, b in itertools.pairwise([3, *widths]))
            self.pool = nn.MaxPool2d(2)
            self.up = nn.ModuleList(
                nn.ConvTranspose2d(2 * w, w, 2, stride=2) for w in reversed(widths[:-1])
            )
            self.merge = nn.ModuleList(double(2 * w, w) for w in reversed(widths[:-1]))
            self.head = nn.Conv2d(base, classes, 1)

        def forward(self, x):
            skips = []
            for i, block in enumerate(self.down):
                x = block(x if i == 0 else self.pool(x))
                skips.append(x)
            for up, merge, skip in zip(self.up, self.merge, reversed(skips[:-1])):
                x = merge(torch.cat([up(x), skip], 1))
            return self.head(x)

    return UNet()


def generator(torch, latent=100, width=64):
    """The generator of a DCGAN for 64 x 64 images (Radford et al. 2016)."""
    nn = torch.nn
    layers = []
    before = latent
    for out, stride, padding in ((8 * width, 1, 0), (4 * width, 2, 1), (2 * width, 2, 1),
                                 (width, 2, 1)):  # fmt: skip
        layers.append(nn.ConvTranspose2d(before, out, 4, stride, padding, bias=False))
        layers += [nn.BatchNorm2d(out), nn.ReLU(inplace=True)]
        before = out
    return nn.Sequential(*layers, nn.ConvTranspose2d(before, 3, 4, 2, 1, bias=False), nn.Tanh())


def discriminator(torch, width=64):
    """The discriminator of a DCGAN for 64 x 64 images."""
    nn = torch.nn
    layers = [nn.Conv2d(3, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, inplace=True)]
    for i in (1, 2, 4):
        layers += [nn.Conv2d(i * width, 2 * i * width, 4, 2, 1, bias=False)]
        layers += [nn.BatchNorm2d(2 * i * width), nn.LeakyReLU(0.2, inplace=True)]
    return nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 4, 1, 0, bias=False), nn.Flatten(0))


def recurrent(torch, name, vocabulary=512, width=128, layers=2):
    """A language model of recurrent layers: "RNN", "GRU" or "LSTM"."""
    nn = torch.nn

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.token = nn.Embedding(vocabulary, width)
            self.layers = getattr(nn, name)(width, width, layers)
            self.head = nn.Linear(width, vocabulary)

        def forward(self, tokens):
            return self.head(self.layers(self.token(tokens))[0])

    return Model()


def gpt(torch, vocabulary=512, length=128, width=256, heads=8, layers=4):
    """A decoder-only transformer (Radford et al. 2019), no dropout."""
    nn = torch.nn

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1 = nn.LayerNorm(width)
            self.qkv = nn.Linear(width, 3 * width)
            self.out = nn.Linear(width, width)
            self.norm2 = nn.LayerNorm(width)
            self.mlp = nn.Sequential(
                nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
            )

        def forward(self, x):
            batch, tokens, _ = x.shape
            q, k, v = (
                part.view(batch, tokens, heads, width // heads).transpose(1, 2)
                for part in self.qkv(self.norm1(x)).split(width, dim=2)
            )
            y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(y.transpose(1, 2).reshape(batch, tokens, width))
            return x + self.mlp(self.norm2(x))

    class GPT(nn.Module):
        def __init__(self):
            super().__init__()
            self.token = nn.Embedding(vocabulary, width)
            self.position = nn.Embedding(length, width)
            self.blocks = nn.Sequential(*(Block() for _ in range(layers)))
            self.norm = nn.LayerNorm(width)
            self.head = nn.Linear(width, vocabulary, bias=False)

        def forward(self, tokens):
            x = self.token(tokens) + self.position(torch.arange(tokens.shape[1]))
            return self.head(self.norm(self.blocks(x)))

    return GPT()
