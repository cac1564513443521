"""Vision Transformer. Dosovitskiy et al. 2021."""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Callable
from functools import partial

from fastdl import cat, empty, nn, zeros
from fastdl.vision.models.weights import WeightsEnum, chosen, configured

__all__ = ["VisionTransformer", "vit_b_16", "vit_b_32", "vit_h_14", "vit_l_16", "vit_l_32"]

LAYER_NORM = partial(nn.LayerNorm, eps=1e-6)


class EncoderBlock(nn.Module):
    """Attention, then two linear layers, each after a norm and around it a shortcut."""

    def __init__(self, num_heads, hidden_dim, mlp_dim, dropout, attention_dropout, norm) -> None:
        super().__init__()
        self.ln_1 = norm(hidden_dim)
        self.self_attention = nn.MultiheadAttention(
            hidden_dim, num_heads, dropout=attention_dropout, batch_first=True
        )
        self.dropout = nn.Dropout(dropout)
        self.ln_2 = norm(hidden_dim)
        self.mlp = nn.Sequential(
            nn.Linear(hidden_dim, mlp_dim), nn.GELU(), nn.Dropout(dropout),
            nn.Linear(mlp_dim, hidden_dim), nn.Dropout(dropout),
        )  # fmt: skip
        for layer in self.mlp:
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.normal_(layer.bias, std=1e-6)

    def forward(self, input):
        x = self.ln_1(input)
        x, _ = self.self_attention(x, x, x, need_weights=False)
        x = self.dropout(x) + input
        return x + self.mlp(self.ln_2(x))


class Encoder(nn.Module):
    """Positions added, then blocks: (N, tokens, hidden_dim) both in and out."""

    def __init__(self, seq_length, num_layers, hidden_dim, dropout, make_block, norm) -> None:
        super().__init__()
        self.pos_embedding = nn.Parameter(empty(1, seq_length, hidden_dim).normal_(std=0.02))
        self.dropout = nn.Dropout(dropout)
        blocks = ((f"encoder_layer_{i}", make_block()) for i in range(num_layers))
        self.layers = nn.Sequential(OrderedDict(blocks))
        self.ln = norm(hidden_dim)

    def forward(self, input):
        return self.ln(self.layers(self.dropout(input + self.pos_embedding)))


class VisionTransformer(nn.Module):
    """A transformer over the patches of images (N, 3, image_size, image_size) -> (N, num_classes).

    Args:
        image_size: a multiple of `patch_size`.
        patch_size: height and width of what becomes a token.
        num_layers, num_heads, hidden_dim, mlp_dim: of the encoder.
        dropout, attention_dropout: in training.
        num_classes: outputs.
        representation_size: width of one more layer before them, None for none.
        norm_layer: LayerNorm with eps 1e-6 unless given.

    Raises:
        ValueError: `image_size` is no multiple of `patch_size`; in the forward pass: images of
            another size.
    """

    def __init__(
        self,
        image_size: int,
        patch_size: int,
        num_layers: int,
        num_heads: int,
        hidden_dim: int,
        mlp_dim: int,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        num_classes: int = 1000,
        representation_size: int | None = None,
        norm_layer: Callable[..., nn.Module] = LAYER_NORM,
    ) -> None:
        super().__init__()
        if image_size % patch_size:
            raise ValueError(
                f"VisionTransformer: image_size {image_size} is no multiple of patch_size "
                f"{patch_size}"
            )
        self.image_size = image_size
        self.patch_size = patch_size
        self.hidden_dim = hidden_dim
        self.num_classes = num_classes
        self.conv_proj = nn.Conv2d(3, hidden_dim, kernel_size=patch_size, stride=patch_size)
        self.class_token = nn.Parameter(zeros(1, 1, hidden_dim))
        self.seq_length = (image_size // patch_size) ** 2 + 1
        block = partial(
            EncoderBlock, num_heads, hidden_dim, mlp_dim, dropout, attention_dropout, norm_layer
        )
        self.encoder = Encoder(self.seq_length, num_layers, hidden_dim, dropout, block, norm_layer)
        heads: OrderedDict[str, nn.Module] = OrderedDict()
        if representation_size is not None:
            heads["pre_logits"] = nn.Linear(hidden_dim, representation_size)
            heads["act"] = nn.Tanh()
            nn.init.trunc_normal_(heads["pre_logits"].weight, std=1 / math.sqrt(hidden_dim))
            nn.init.zeros_(heads["pre_logits"].bias)
        heads["head"] = nn.Linear(representation_size or hidden_dim, num_classes)
        self.heads = nn.Sequential(heads)
        nn.init.trunc_normal_(self.conv_proj.weight, std=1 / math.sqrt(3 * patch_size**2))
        for value in (self.conv_proj.bias, self.heads.head.weight, self.heads.head.bias):
            nn.init.zeros_(value)

    def forward(self, x):
        if tuple(x.shape[2:]) != (self.image_size, self.image_size):
            raise ValueError(
                f"VisionTransformer: expected images of {self.image_size} x {self.image_size}, but "
                f"got {tuple(x.shape)}"
            )
        patches = self.conv_proj(x).flatten(2).transpose(1, 2)
        x = cat([self.class_token.expand(len(patches), -1, -1), patches], 1)
        return self.heads(self.encoder(x)[:, 0])


def _vit(name, patch, layers, heads, hidden, mlp, weights, options) -> VisionTransformer:
    sizes = {"patch_size": patch, "num_layers": layers, "num_heads": heads}
    build = partial(VisionTransformer, **sizes, hidden_dim=hidden, mlp_dim=mlp)
    weights = chosen(name, weights, options)
    trained = isinstance(weights, WeightsEnum)
    size = weights.transforms.keywords["crop_size"] if trained else 224
    if options.setdefault("image_size", size) != size and trained:
        raise ValueError(
            f"The parameter 'image_size' expected value {size} but got {options['image_size']} "
            "instead."
        )
    # The published files are older than one name for all layers of a block.
    number = lambda match: f"mlp.{3 * (int(match[1]) - 1)}."
    renamed = partial(re.sub, r"mlp\.linear_([12])\.", number)
    return configured(name, build, weights, options, renamed)


def vit_b_16(*, weights=None, progress: bool = True, **kwargs) -> VisionTransformer:
    """ViT-B/16, 86.6 million parameters. Arguments: see :mod:`fastdl.vision.models`."""
    return _vit("vit_b_16", 16, 12, 12, 768, 3072, weights, kwargs)


def vit_b_32(*, weights=None, progress: bool = True, **kwargs) -> VisionTransformer:
    """ViT-B/32, 88.2 million parameters."""
    return _vit("vit_b_32", 32, 12, 12, 768, 3072, weights, kwargs)


def vit_l_16(*, weights=None, progress: bool = True, **kwargs) -> VisionTransformer:
    """ViT-L/16, 304.3 million parameters."""
    return _vit("vit_l_16", 16, 24, 16, 1024, 4096, weights, kwargs)


def vit_l_32(*, weights=None, progress: bool = True, **kwargs) -> VisionTransformer:
    """ViT-L/32, 306.5 million parameters."""
    return _vit("vit_l_32", 32, 24, 16, 1024, 4096, weights, kwargs)


def vit_h_14(*, weights=None, progress: bool = True, **kwargs) -> VisionTransformer:
    """ViT-H/14, 632.0 million parameters."""
    return _vit("vit_h_14", 14, 32, 16, 1280, 5120, weights, kwargs)
