"""A recurrent encoder and decoder with additive attention between them."""

from __future__ import annotations

import math

import fastdl.nn.functional as F
from fastdl.nn.dropout import Dropout
from fastdl.nn.linear import Linear
from fastdl.nn.module import Module
from fastdl.nn.rnn import GRU
from fastdl.nn.sparse import Embedding
from fastdl.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from fastdl.ops.join import cat
from fastdl.tensor import Tensor
from fastdl.text.generation import DecoderState
from fastdl.text.models.encoder_decoder import EncoderDecoder
from fastdl.text.sequences import length_mask, mix_tokens

__all__ = ["AdditiveAttention", "GRUTranslator"]


class AdditiveAttention(Module):
    """softmax_s(v . tanh(W q + U k_s)): how much a query looks at each key.

    Bahdanau, Cho and Bengio 2015, "Neural Machine Translation by Jointly Learning to Align and
    Translate", A.1.2.

    Args:
        query_size, key_size: widths of queries and keys.
        hidden_size: width of what is compared.

    >>> import fastdl
    >>> from fastdl.text.models import AdditiveAttention
    >>> attention = AdditiveAttention(3, 4, 8)
    >>> mixed, weights = attention(fastdl.zeros(2, 5, 3), fastdl.zeros(2, 6, 4))
    >>> tuple(mixed.shape), tuple(weights.shape)
    ((2, 5, 4), (2, 5, 6))
    """

    def __init__(self, query_size: int, key_size: int, hidden_size: int) -> None:
        super().__init__()
        self.query = Linear(query_size, hidden_size, bias=False)
        self.key = Linear(key_size, hidden_size)
        self.score = Linear(hidden_size, 1, bias=False)

    def forward(
        self,
        query: Tensor,
        keys: Tensor,
        padding: Tensor | None = None,
        projected: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The keys' weighted sums (N, L, key_size) and the weights (N, L, S).

        Args:
            query: (N, L, query_size).
            keys: (N, S, key_size).
            padding: bool (N, S), True where a key is not looked at.
            projected: ``key(keys)``, where it has been computed already.
        """
        projected = self.key(keys) if projected is None else projected
        hidden = (self.query(query).unsqueeze(2) + projected.unsqueeze(1)).tanh()
        scores = self.score(hidden).squeeze(-1)
        if padding is not None:
            scores = scores.masked_fill(padding.unsqueeze(1), -math.inf)
        weights = F.softmax(scores, -1)
        return weights @ keys, weights


class GRUTranslator(EncoderDecoder):
    """Sequence to sequence with a bidirectional GRU, attention, and a GRU that writes.

    The encoder reads packed sequences: padding costs and changes nothing. The decoder's layers
    start from tanh(W [h_forward; h_backward]) of the encoder's; at each step the state of its last
    layer is the query of the attention, its input the token's embedding and what was attended to,
    and both together with its output give the logits. Bahdanau, Cho and Bengio 2015.

    Args:
        src_vocab_size, tgt_vocab_size: how many tokens there are.
        embedding_size: width of the embeddings of both.
        hidden_size: width of the GRUs' states.
        num_layers: of each GRU.
        attention_size: width of the attention's hidden layer, `hidden_size` unless given.
        dropout: probability, of embeddings, between layers and before the head.
        padding_idx, bos_idx, eos_idx: tokens with a meaning, as in :class:`EncoderDecoder`.

    >>> import fastdl
    >>> from fastdl.text import sequence_loss, shift_right
    >>> from fastdl.text.models import GRUTranslator
    >>> model = GRUTranslator(10, 12, embedding_size=8, hidden_size=16)
    >>> src = fastdl.tensor([[3, 4, 5, 2], [6, 2, 0, 0]])
    >>> tgt = fastdl.tensor([[7, 8, 2], [9, 2, 0]])
    >>> logits, weights = model(src, shift_right(tgt, model.bos_idx))
    >>> tuple(logits.shape), tuple(weights.shape)
    ((2, 3, 12), (2, 3, 4))
    >>> sequence_loss(logits, tgt, ignore_index=0).backward()
    >>> model.translate(src, max_new_tokens=5, num_beams=3).shape[0]
    2
    """

    def __init__(
        self,
        src_vocab_size: int,
        tgt_vocab_size: int,
        embedding_size: int = 256,
        hidden_size: int = 256,
        num_layers: int = 1,
        attention_size: int | None = None,
        dropout: float = 0.0,
        padding_idx: int = 0,
        bos_idx: int = 1,
        eos_idx: int = 2,
    ) -> None:
        super().__init__(padding_idx, bos_idx, eos_idx)
        between = dropout if num_layers > 1 else 0.0
        memory = 2 * hidden_size
        self.src_embedding = Embedding(src_vocab_size, embedding_size, padding_idx)
        self.tgt_embedding = Embedding(tgt_vocab_size, embedding_size, padding_idx)
        self.encoder = GRU(
            embedding_size,
            hidden_size,
            num_layers,
            batch_first=True,
            dropout=between,
            bidirectional=True,
        )
        self.bridge = Linear(memory, hidden_size)
        self.attention = AdditiveAttention(hidden_size, memory, attention_size or hidden_size)
        self.decoder = GRU(
            embedding_size + memory, hidden_size, num_layers, batch_first=True, dropout=between
        )
        self.dropout = Dropout(dropout)
        self.head = Linear(hidden_size + memory + embedding_size, tgt_vocab_size)

    def encode(self, src: Tensor, src_lengths: Tensor | None = None) -> DecoderState:
        """Reads sources (N, S), int64; a source without a token counts as one of padding.

        Args:
            src_lengths: (N,), by default up to the padding.
        """
        if src_lengths is None:
            src_lengths = (src != self.padding_idx).sum(-1).clamp(min=1)
        packed = pack_padded_sequence(
            self.dropout(self.src_embedding(src)),
            src_lengths,
            batch_first=True,
            enforce_sorted=False,
        )
        outputs, last = self.encoder(packed)
        memory, lengths = pad_packed_sequence(outputs, batch_first=True, total_length=src.shape[1])
        both_ways = last.reshape(-1, 2, *last.shape[1:]).permute(2, 0, 1, 3).flatten(2)
        state = DecoderState(
            {
                "memory": memory,
                "projected": self.attention.key(memory),
                "padding": length_mask(lengths, src.shape[1]),
            }
        )
        state.tensors["hidden"] = self.bridge(both_ways).tanh()  # (N, layers, hidden_size)
        return state

    def _step(self, embedded: Tensor, state: DecoderState) -> tuple[Tensor, Tensor]:
        """What the head sees (N, 1, ...) and the attention weights (N, 1, S) of one more token."""
        hidden = state.tensors["hidden"]
        fixed = state.fixed
        context, weights = self.attention(
            hidden[:, -1:], fixed["memory"], fixed["padding"], fixed["projected"]
        )
        output, hidden = self.decoder(
            cat([embedded, context], -1), hidden.transpose(0, 1).contiguous()
        )
        state.tensors["hidden"] = hidden.transpose(0, 1)
        state.length += 1
        return cat([output, context, embedded], -1), weights

    def decode(self, ids: Tensor, cache: DecoderState) -> Tensor:
        return self._decode(ids, cache, 1.0, None)[0]

    def _decode(self, ids, state, ratio, generator):
        embedded = self.dropout(self.tgt_embedding(ids))
        features, weights, logits = [], [], []
        for t in range(ids.shape[1]):
            token = embedded[:, t : t + 1]
            if logits and ratio < 1:
                mixed = mix_tokens(ids[:, t : t + 1], logits[-1].argmax(-1), ratio, generator)
                token = self.dropout(self.tgt_embedding(mixed))
            seen, attended = self._step(token, state)
            features.append(seen)
            weights.append(attended)
            if ratio < 1:
                logits.append(self.head(self.dropout(seen)))
        if ratio == 1:  # nothing was fed back: one product for all steps
            logits = [self.head(self.dropout(cat(features, 1)))]
        return cat(logits, 1), cat(weights, 1)

    def forward(
        self,
        src: Tensor,
        tgt: Tensor,
        src_lengths: Tensor | None = None,
        teacher_forcing_ratio: float = 1.0,
        generator=None,
    ) -> tuple[Tensor, Tensor]:
        """Logits (N, L, V) and attention weights (N, L, S).

        Args:
            src: (N, S), int64.
            tgt: what the decoder reads (N, L), int64: the wanted tokens after
                :func:`fastdl.text.shift_right`.
            src_lengths: (N,), by default up to the padding.
            teacher_forcing_ratio: the probability with which a token after the first is that of
                `tgt` rather than the likeliest so far.
            generator: random numbers for that choice, the default generator if None.

        Raises:
            ValueError: a ratio outside [0, 1].
        """
        if not 0 <= teacher_forcing_ratio <= 1:
            raise ValueError(
                "GRUTranslator: teacher_forcing_ratio must lie between 0 and 1, but got "
                f"{teacher_forcing_ratio}"
            )
        return self._decode(tgt, self.encode(src, src_lengths), teacher_forcing_ratio, generator)
