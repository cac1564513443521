"""A recurrent network that predicts the next token."""

from __future__ import annotations

from fastdl.nn import init
from fastdl.nn.dropout import Dropout
from fastdl.nn.linear import Linear
from fastdl.nn.module import Module
from fastdl.nn.rnn import GRU, LSTM, RNN
from fastdl.nn.sparse import Embedding
from fastdl.tensor import Tensor
from fastdl.text.generation import DecoderState, generate

__all__ = ["RecurrentLanguageModel"]

_CELLS = {"rnn": RNN, "gru": GRU, "lstm": LSTM}


class RecurrentLanguageModel(Module):
    """Embeddings, recurrent layers and a linear head. Mikolov et al. 2010; Zaremba et al. 2014.

    Args:
        vocab_size: how many tokens there are.
        embedding_size: width of the embeddings.
        hidden_size: width of the states.
        num_layers: how many recurrent layers.
        dropout: probability, of embeddings, between layers and before the head.
        cell: "gru", "lstm" or "rnn".
        tie_weights: whether the head's weight is that of the embeddings, which then are as wide as
            the states (Press and Wolf 2017).

    Raises:
        ValueError: another cell, or tied weights of different widths.

    >>> import fastdl
    >>> from fastdl.text import DecoderState
    >>> from fastdl.text.models import RecurrentLanguageModel
    >>> model = RecurrentLanguageModel(10, embedding_size=8, hidden_size=16)
    >>> state = DecoderState()
    >>> tuple(model(fastdl.tensor([[1, 2, 3]]), state).shape), state.length
    ((1, 3, 10), 3)
    >>> len(model.generate(fastdl.tensor([1, 2]), 5))
    7
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_size: int = 128,
        hidden_size: int = 256,
        num_layers: int = 1,
        dropout: float = 0.0,
        cell: str = "gru",
        tie_weights: bool = False,
    ) -> None:
        super().__init__()
        if cell not in _CELLS:
            raise ValueError(
                f"RecurrentLanguageModel: cell must be one of {[*_CELLS]}, but got {cell!r}"
            )
        if tie_weights and embedding_size != hidden_size:
            raise ValueError(
                "RecurrentLanguageModel: tie_weights needs embedding_size == hidden_size, but got "
                f"{embedding_size} and {hidden_size}"
            )
        self.embedding = Embedding(vocab_size, embedding_size)
        self.dropout = Dropout(dropout)
        self.rnn = _CELLS[cell](
            embedding_size,
            hidden_size,
            num_layers,
            batch_first=True,
            dropout=dropout if num_layers > 1 else 0.0,
        )
        self.head = Linear(hidden_size, vocab_size)
        if tie_weights:
            self.head.weight = self.embedding.weight
            init.normal_(self.head.weight, std=hidden_size**-0.5)

    def forward(self, input_ids: Tensor, cache: DecoderState | None = None) -> Tensor:
        """Logits (N, L, vocab_size) of the next token at each position of ids (N, L), int64.

        Args:
            cache: goes on from the states in it, and takes the new ones. In training on text cut
                into pieces, its `detach` between them stops the gradients (truncated
                backpropagation through time).
        """
        # the batch comes first in `cache`, the layers in recurrent networks
        start = None
        if cache is not None and cache.tensors:
            start = tuple([h.transpose(0, 1).contiguous() for h in cache.tensors.values()])
        lstm = isinstance(self.rnn, LSTM)
        hx = start if lstm or start is None else start[0]
        output, last = self.rnn(self.dropout(self.embedding(input_ids)), hx)
        if cache is not None:
            names = zip("hc", last if lstm else (last,))
            cache.tensors = {name: h.transpose(0, 1) for name, h in names}
            cache.length += input_ids.shape[1]
        return self.head(self.dropout(output))

    def generate(self, input_ids: Tensor, max_new_tokens: int = 20, **options) -> Tensor:
        """:func:`fastdl.text.generate` with this model."""
        return generate(self, input_ids, max_new_tokens, **options)
