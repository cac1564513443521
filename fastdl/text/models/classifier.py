"""An encoder that tells the class of a text."""

from __future__ import annotations

import math

from fastdl.autograd import no_grad
from fastdl.nn import init
from fastdl.nn.dropout import Dropout
from fastdl.nn.linear import Linear
from fastdl.nn.module import Module
from fastdl.nn.norm import LayerNorm
from fastdl.nn.parameter import Parameter
from fastdl.nn.sparse import Embedding
from fastdl.nn.transformer import TransformerEncoder, TransformerEncoderLayer
from fastdl.ops.creation import arange, empty
from fastdl.ops.join import cat
from fastdl.tensor import Tensor
from fastdl.text.positional import SinusoidalEncoding
from fastdl.text.sequences import length_mask, padding_mask

__all__ = ["TransformerClassifier"]


class TransformerClassifier(Module):
    """A transformer encoder, one vector for the whole text, and a linear head.

    Args:
        vocab_size: how many tokens there are.
        num_classes: how many logits a text gets.
        d_model, nhead, dim_feedforward, dropout, activation, norm_first: as in
            :class:`fastdl.nn.TransformerEncoderLayer`; `dropout` also of the sums of embeddings and
            positions and of the text's vector.
        num_layers: of the encoder.
        pooling: "mean": over all positions but padding; or "cls": the output at a learnt vector
            ``cls`` (d_model,) put before the text, as in BERT (Devlin et al. 2019).
        positions: "sinusoidal", or "learned": an embedding of each position.
        max_len: the longest text.
        padding_idx: the token after the ends of texts.

    Matrices of the encoder start by Glorot's uniform rule, embeddings from N(0, 1 / d_model) and
    learnt positions from a deviation of 0.02.

    Raises:
        ValueError: another pooling or other positions; in a call, a text longer than `max_len`.

    >>> import fastdl
    >>> from fastdl.text.models import TransformerClassifier
    >>> model = TransformerClassifier(10, 3, d_model=8, nhead=2, dim_feedforward=16, pooling="cls")
    >>> tuple(model(fastdl.tensor([[3, 4, 5], [6, 0, 0]])).shape)
    (2, 3)
    """

    def __init__(
        self,
        vocab_size: int,
        num_classes: int,
        d_model: int = 128,
        nhead: int = 4,
        num_layers: int = 2,
        dim_feedforward: int = 512,
        dropout: float = 0.1,
        activation: str = "gelu",
        norm_first: bool = False,
        pooling: str = "mean",
        positions: str = "sinusoidal",
        max_len: int = 512,
        padding_idx: int = 0,
    ) -> None:
        super().__init__()
        for name, value, known in (
            ("pooling", pooling, ("mean", "cls")),
            ("positions", positions, ("sinusoidal", "learned")),
        ):
            if value not in known:
                raise ValueError(
                    f"TransformerClassifier: {name} must be one of {', '.join(map(repr, known))}, "
                    f"but got {value!r}"
                )
        self.d_model = d_model
        self.max_len = max_len
        self.padding_idx = padding_idx
        self.pooling = pooling
        self.embedding = Embedding(vocab_size, d_model, padding_idx)
        with no_grad():
            self.embedding.weight.mul_(d_model**-0.5)
        self.cls = None
        if pooling == "cls":
            self.cls = Parameter(init.normal_(empty(d_model)))
        longest = max_len + (pooling == "cls")
        if positions == "learned":
            self.positions = Embedding(longest, d_model)
            init.normal_(self.positions.weight, std=0.02)
        else:
            self.positions = SinusoidalEncoding(d_model, max_len=longest)
        layer = TransformerEncoderLayer(
            d_model,
            nhead,
            dim_feedforward,
            dropout,
            activation,
            batch_first=True,
            norm_first=norm_first,
        )
        self.encoder = TransformerEncoder(
            layer, num_layers, LayerNorm(d_model) if norm_first else None
        )
        for p in self.encoder.parameters():  # its layers are copies of one: each starts afresh
            if p.dim() > 1:
                init.xavier_uniform_(p)
        self.dropout = Dropout(dropout)
        self.head = Linear(d_model, num_classes)

    def encode(self, ids: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Vectors of all positions (N, L, d_model), ``cls`` first if there is one, and where they
        are padding (N, L)."""
        if ids.shape[-1] > self.max_len:
            raise ValueError(
                f"TransformerClassifier: a text of {ids.shape[-1]} tokens is longer than "
                f"max_len={self.max_len}"
            )
        if lengths is None:
            padding = padding_mask(ids, self.padding_idx)
        else:
            padding = length_mask(lengths, ids.shape[1])
        x = self.embedding(ids) * math.sqrt(self.d_model)
        if self.cls is not None:
            x = cat([self.cls.expand(len(ids), 1, self.d_model), x], 1)
            padding = cat([padding.new_zeros(len(ids), 1), padding], 1)
        if isinstance(self.positions, Embedding):
            x = x + self.positions(arange(x.shape[1]))
        else:
            x = self.positions(x)
        return self.encoder(self.dropout(x), src_key_padding_mask=padding), padding

    def forward(self, ids: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Logits (N, num_classes) of texts (N, L), int64; `lengths` (N,), by default up to the
        padding. A text without a token has a mean of 0."""
        x, padding = self.encode(ids, lengths)
        if self.cls is not None:
            pooled = x[:, 0]
        else:
            kept = (~padding).unsqueeze(-1)
            pooled = x.masked_fill(~kept, 0.0).sum(1) / kept.sum(1).clamp(min=1)
        return self.head(self.dropout(pooled))
