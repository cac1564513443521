"""A transformer that translates."""

from __future__ import annotations

import math

import fastdl.nn.functional as F
from fastdl.autograd import no_grad
from fastdl.nn import init
from fastdl.nn.linear import Linear
from fastdl.nn.multihead import MultiheadAttention
from fastdl.nn.sparse import Embedding
from fastdl.nn.transformer import Transformer
from fastdl.tensor import Tensor
from fastdl.text.generation import KVCache
from fastdl.text.models.encoder_decoder import EncoderDecoder
from fastdl.text.positional import SinusoidalEncoding
from fastdl.text.sequences import causal_mask, length_mask, padding_mask

__all__ = ["TransformerTranslator"]


class TransformerTranslator(EncoderDecoder):
    """`nn.Transformer` between embeddings with sinusoidal positions and a linear head.

    Embeddings are scaled by sqrt(d_model). Vaswani et al. 2017, "Attention Is All You Need".

    Args:
        src_vocab_size, tgt_vocab_size: how many tokens there are.
        d_model, nhead, num_encoder_layers, num_decoder_layers, dim_feedforward, dropout,
            activation, norm_first: as in :class:`fastdl.nn.Transformer`; `dropout` also of the sums
            of embeddings and positions.
        max_len: the longest sequence.
        tie_weights: whether the head's weight is that of the targets' embeddings.
        padding_idx, bos_idx, eos_idx: tokens with a meaning, as in :class:`EncoderDecoder`.

    Weights with two dimensions start by Glorot's uniform rule, embeddings from
    N(0, 1 / d_model).

    >>> import fastdl
    >>> from fastdl.text import sequence_loss, shift_right
    >>> from fastdl.text.models import TransformerTranslator
    >>> model = TransformerTranslator(10, 12, d_model=8, nhead=2, dim_feedforward=16)
    >>> src = fastdl.tensor([[3, 4, 5, 2], [6, 2, 0, 0]])
    >>> tgt = fastdl.tensor([[7, 8, 2], [9, 2, 0]])
    >>> logits = model(src, shift_right(tgt, model.bos_idx))
    >>> tuple(logits.shape)
    (2, 3, 12)
    >>> sequence_loss(logits, tgt, ignore_index=0, label_smoothing=0.1).backward()
    >>> model.translate(src, max_new_tokens=5, num_beams=3).shape[0]
    2
    """

    def __init__(
        self,
        src_vocab_size: int,
        tgt_vocab_size: int,
        d_model: int = 256,
        nhead: int = 4,
        num_encoder_layers: int = 3,
        num_decoder_layers: int = 3,
        dim_feedforward: int = 1024,
        dropout: float = 0.1,
        activation: str = "relu",
        norm_first: bool = False,
        max_len: int = 1024,
        tie_weights: bool = False,
        padding_idx: int = 0,
        bos_idx: int = 1,
        eos_idx: int = 2,
    ) -> None:
        super().__init__(padding_idx, bos_idx, eos_idx)
        self.d_model = d_model
        self.src_embedding = Embedding(src_vocab_size, d_model, padding_idx)
        self.tgt_embedding = Embedding(tgt_vocab_size, d_model, padding_idx)
        self.positions = SinusoidalEncoding(d_model, dropout, max_len)
        self.transformer = Transformer(
            d_model,
            nhead,
            num_encoder_layers,
            num_decoder_layers,
            dim_feedforward,
            dropout,
            activation,
            batch_first=True,
            norm_first=norm_first,
        )
        self.head = Linear(d_model, tgt_vocab_size)
        init.xavier_uniform_(self.head.weight)
        with no_grad():
            for embedding in (self.src_embedding, self.tgt_embedding):
                embedding.weight.mul_(d_model**-0.5)
        if tie_weights:
            self.head.weight = self.tgt_embedding.weight

    def _padding(self, src, src_lengths):
        if src_lengths is None:
            return padding_mask(src, self.padding_idx)
        return length_mask(src_lengths, src.shape[1])

    def _embedded(self, embedding: Embedding, ids: Tensor, offset: int = 0) -> Tensor:
        return self.positions(embedding(ids) * math.sqrt(self.d_model), offset)

    def forward(self, src: Tensor, tgt: Tensor, src_lengths: Tensor | None = None) -> Tensor:
        """Logits (N, L, V).

        Args:
            src: (N, S), int64.
            tgt: what the decoder reads (N, L), int64: the wanted tokens after
                :func:`fastdl.text.shift_right`. A position sees itself and earlier ones; padding
                stands at the end.
            src_lengths: (N,), by default up to the padding.

        Raises:
            ValueError: a sequence is longer than `max_len`.
        """
        padding = self._padding(src, src_lengths)
        decoded = self.transformer(
            self._embedded(self.src_embedding, src),
            self._embedded(self.tgt_embedding, tgt),
            tgt_mask=causal_mask(tgt.shape[1]),
            src_key_padding_mask=padding,
            memory_key_padding_mask=padding,
            tgt_is_causal=True,
        )
        return self.head(decoded)

    def encode(self, src: Tensor, src_lengths: Tensor | None = None) -> KVCache:
        """Reads sources (N, S), int64; the memory's keys and values are computed once, here."""
        padding = self._padding(src, src_lengths)
        memory = self.transformer.encoder(
            self._embedded(self.src_embedding, src), src_key_padding_mask=padding
        )
        fixed = {"seen": ~padding[:, None, None]} if padding.any() else {}
        for i, layer in enumerate(self.transformer.decoder.layers):
            fixed[f"key{i}"], fixed[f"value{i}"] = _projected(layer.multihead_attn, memory, 1, 3)
        return KVCache(fixed)

    def decode(self, ids: Tensor, cache: KVCache) -> Tensor:
        """Logits (N, L, V) of what follows each of the next tokens (N, L): keys and values of
        earlier ones come from `cache`, which is for use without gradients."""
        before, length = cache.length, ids.shape[1]
        x = self._embedded(self.tgt_embedding, ids, before)
        later = ~causal_mask(length, before) if length > 1 else None  # the new one sees all
        seen = cache.fixed.get("seen")
        for i, layer in enumerate(self.transformer.decoder.layers):

            def attend(x, i=i, attention=layer.self_attn):
                q, k, v = _projected(attention, x, 0, 3)
                k, v = cache.append(i, k, v)
                return _attended(attention, q, k, v, later)

            def attend_to_memory(x, i=i, attention=layer.multihead_attn):
                (q,) = _projected(attention, x, 0, 1)
                k, v = cache.fixed[f"key{i}"], cache.fixed[f"value{i}"]
                return _attended(attention, q, k, v, seen)

            x = layer._added(2, layer._added(1, x, attend), attend_to_memory)
            x = layer._added(3, x, layer._feed_forward)
        norm = self.transformer.decoder.norm
        return self.head(x if norm is None else norm(x))


def _projected(attention: MultiheadAttention, x: Tensor, first: int, last: int) -> list[Tensor]:
    """The queries (0), keys (1) and values (2) from `first` up to `last`: (N, heads, L, E) each."""
    rows = slice(first * attention.embed_dim, last * attention.embed_dim)
    together = F.linear(x, attention.in_proj_weight[rows], attention.in_proj_bias[rows])
    shape = (*x.shape[:2], last - first, attention.num_heads, attention.head_dim)
    return [*together.reshape(shape).permute(2, 0, 3, 1, 4).unbind(0)]


def _attended(attention: MultiheadAttention, q, k, v, mask: Tensor | None) -> Tensor:
    """The attention's result (N, L, E); `mask` is True where a key is looked at."""
    y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return attention.out_proj(y.permute(0, 2, 1, 3).flatten(2))
