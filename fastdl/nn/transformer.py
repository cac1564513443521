"""Transformer and its parts: TransformerEncoder, TransformerDecoder and their layers."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np

import fastdl.nn.functional as F
from fastdl.nn import init
from fastdl.nn.container import ModuleList
from fastdl.nn.dropout import Dropout
from fastdl.nn.linear import Linear
from fastdl.nn.module import Module
from fastdl.nn.multihead import MultiheadAttention
from fastdl.nn.norm import LayerNorm
from fastdl.ops.creation import full
from fastdl.ops.diagonal import triu
from fastdl.tensor import Tensor

__all__ = [
    "Transformer",
    "TransformerDecoder",
    "TransformerDecoderLayer",
    "TransformerEncoder",
    "TransformerEncoderLayer",
]


def _activation(activation: str | Callable) -> Callable:
    """RuntimeError for names other than "relu" and "gelu"."""
    if not isinstance(activation, str):
        return activation
    if activation not in ("relu", "gelu"):
        raise RuntimeError(f"activation should be relu/gelu, not {activation}")
    return getattr(F, activation)


def _is_causal(mask: Tensor | None, given: bool | None) -> bool:
    """What the caller said of the mask, or else whether it is the causal mask of its size."""
    if given is not None or mask is None:
        return bool(given)
    m = mask.array
    if m.ndim != 2 or m.shape[0] != m.shape[1] or mask.requires_grad:
        return False
    later = ~np.tri(len(m), dtype=bool)
    return bool((m == (later if m.dtype.kind == "b" else np.where(later, -np.inf, 0))).all())


class _Layer(Module):
    """What encoder and decoder layers share: their arguments and the feed-forward part."""

    def __init__(
        self,
        attentions,
        d_model,
        nhead,
        dim_feedforward,
        dropout,
        activation,
        layer_norm_eps,
        batch_first,
        norm_first,
        bias,
        device,
        dtype,
    ) -> None:
        super().__init__()
        like = {"bias": bias, "device": device, "dtype": dtype}
        self.norm_first = norm_first
        for name in attentions:
            attention = MultiheadAttention(
                d_model, nhead, dropout=dropout, batch_first=batch_first, **like
            )
            setattr(self, name, attention)
        self.linear1 = Linear(d_model, dim_feedforward, **like)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, **like)
        parts = range(1, len(attentions) + 2)
        for i in parts:
            setattr(self, f"norm{i}", LayerNorm(d_model, eps=layer_norm_eps, **like))
        for i in parts:
            setattr(self, f"dropout{i}", Dropout(dropout))
        self.activation = _activation(activation)

    def _feed_forward(self, x: Tensor) -> Tensor:
        return self.linear2(self.dropout(self.activation(self.linear1(x))))

    def _added(self, i: int, x: Tensor, part: Callable) -> Tensor:
        """x and what `part` makes of it, after dropout, normed before or after."""
        norm, dropout = getattr(self, f"norm{i}"), getattr(self, f"dropout{i}")
        if self.norm_first:
            return x + dropout(part(norm(x)))
        return norm(x + dropout(part(x)))


class TransformerEncoderLayer(_Layer):
    """Self-attention, then two linear layers, each added to its input and normed.

    Vaswani et al. 2017; with `norm_first`, Xiong et al. 2020.

    Args:
        d_model: width of the input and the output.
        nhead: number of heads, a divisor of `d_model`.
        dim_feedforward: width between the two linear layers.
        dropout: probability, of attention weights, between the linear layers and of what is added.
        activation: "relu", "gelu" or a function of a tensor.
        layer_norm_eps: epsilon of the norms.
        batch_first: whether inputs are (N, L, d_model) rather than (L, N, d_model).
        norm_first: whether the norms come before attention and linear layers rather than after.
        bias: whether linear layers and norms have biases.

    Raises:
        RuntimeError: another name of an activation.
        AssertionError: `nhead` does not divide `d_model`.
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Tensor], Tensor] = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device=None,
        dtype=None,
    ) -> None:
        super().__init__(
            ("self_attn",),
            d_model,
            nhead,
            dim_feedforward,
            dropout,
            activation,
            layer_norm_eps,
            batch_first,
            norm_first,
            bias,
            device,
            dtype,
        )

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """(L, N, d_model), (N, L, d_model) if `batch_first`, or (L, d_model), as `src` is.

        Args:
            src_mask, src_key_padding_mask, is_causal: `attn_mask`, `key_padding_mask` and
                `is_causal` of :class:`MultiheadAttention`.
        """

        def attend(x):
            return self.self_attn(
                x, x, x, src_key_padding_mask, False, src_mask, is_causal=is_causal
            )[0]

        return self._added(2, self._added(1, src, attend), self._feed_forward)


class TransformerDecoderLayer(_Layer):
    """Self-attention, attention to an encoder's output, then two linear layers.

    Arguments and errors are those of :class:`TransformerEncoderLayer`.
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Tensor], Tensor] = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device=None,
        dtype=None,
    ) -> None:
        super().__init__(
            ("self_attn", "multihead_attn"),
            d_model,
            nhead,
            dim_feedforward,
            dropout,
            activation,
            layer_norm_eps,
            batch_first,
            norm_first,
            bias,
            device,
            dtype,
        )

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """Shaped as `tgt`, which is (L, N, d_model), (N, L, d_model) if `batch_first`, or
        (L, d_model); `memory` is (S, N, d_model) and so on.

        Args:
            tgt_mask, tgt_key_padding_mask, tgt_is_causal: masks of the attention of tgt to itself,
                as in :class:`MultiheadAttention`.
            memory_mask, memory_key_padding_mask, memory_is_causal: of its attention to memory.
        """

        def attend(x):
            return self.self_attn(
                x, x, x, tgt_key_padding_mask, False, tgt_mask, is_causal=tgt_is_causal
            )[0]

        def attend_to_memory(x):
            return self.multihead_attn(
                x,
                memory,
                memory,
                memory_key_padding_mask,
                False,
                memory_mask,
                is_causal=memory_is_causal,
            )[0]

        x = self._added(1, tgt, attend)
        return self._added(3, self._added(2, x, attend_to_memory), self._feed_forward)


def _copies(layer: Module, n: int) -> ModuleList:
    return ModuleList([copy.deepcopy(layer) for _ in range(n)])


class TransformerEncoder(Module):
    """`num_layers` copies of a layer, one after the other.

    Args:
        encoder_layer: a :class:`TransformerEncoderLayer`; the copies start with its weights.
        num_layers: how many.
        norm: applied to the result; or None.
        enable_nested_tensor, mask_check: accepted for PyTorch's sake; padded positions are always
            computed.
    """

    def __init__(
        self,
        encoder_layer: TransformerEncoderLayer,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        super().__init__()
        self.layers = _copies(encoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm
        self.enable_nested_tensor = enable_nested_tensor
        self.mask_check = mask_check

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool | None = None,
    ) -> Tensor:
        """Shaped as `src`; arguments as in the layers. `is_causal`: whether `mask` is the causal
        mask, found out if None."""
        is_causal = _is_causal(mask, is_causal)
        for layer in self.layers:
            src = layer(
                src,
                src_mask=mask,
                is_causal=is_causal,
                src_key_padding_mask=src_key_padding_mask,
            )
        return src if self.norm is None else self.norm(src)


class TransformerDecoder(Module):
    """`num_layers` copies of a layer, one after the other.

    Args:
        decoder_layer: a :class:`TransformerDecoderLayer`; the copies start with its weights.
        num_layers: how many.
        norm: applied to the result; or None.
    """

    def __init__(
        self, decoder_layer: TransformerDecoderLayer, num_layers: int, norm: Module | None = None
    ) -> None:
        super().__init__()
        self.layers = _copies(decoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """Shaped as `tgt`; arguments as in the layers. `tgt_is_causal`: whether `tgt_mask` is the
        causal mask, found out if None."""
        tgt_is_causal = _is_causal(tgt_mask, tgt_is_causal)
        for layer in self.layers:
            tgt = layer(
                tgt,
                memory,
                tgt_mask=tgt_mask,
                memory_mask=memory_mask,
                tgt_key_padding_mask=tgt_key_padding_mask,
                memory_key_padding_mask=memory_key_padding_mask,
                tgt_is_causal=tgt_is_causal,
                memory_is_causal=memory_is_causal,
            )
        return tgt if self.norm is None else self.norm(tgt)


class Transformer(Module):
    """An encoder of one sequence and a decoder of another. Vaswani et al. 2017.

    Args:
        d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first,
            norm_first, bias: as in :class:`TransformerEncoderLayer`.
        num_encoder_layers, num_decoder_layers: how many of each.
        custom_encoder, custom_decoder: used in place of those that the other arguments describe.

    Weights with two dimensions start by Glorot's uniform rule.
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Tensor], Tensor] = F.relu,
        custom_encoder: Module | None = None,
        custom_decoder: Module | None = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device=None,
        dtype=None,
    ) -> None:
        super().__init__()
        like = {"device": device, "dtype": dtype}
        layer = {
            "d_model": d_model,
            "nhead": nhead,
            "dim_feedforward": dim_feedforward,
            "dropout": dropout,
            "activation": activation,
            "layer_norm_eps": layer_norm_eps,
            "batch_first": batch_first,
            "norm_first": norm_first,
            "bias": bias,
            **like,
        }
        norm = lambda: LayerNorm(d_model, eps=layer_norm_eps, bias=bias, **like)
        self.encoder = custom_encoder
        if custom_encoder is None:
            of_one = TransformerEncoderLayer(**layer)
            self.encoder = TransformerEncoder(of_one, num_encoder_layers, norm())
        self.decoder = custom_decoder
        if custom_decoder is None:
            of_one = TransformerDecoderLayer(**layer)
            self.decoder = TransformerDecoder(of_one, num_decoder_layers, norm())
        self._reset_parameters()
        self.d_model = d_model
        self.nhead = nhead
        self.batch_first = batch_first

    def _reset_parameters(self) -> None:
        for p in self.parameters():
            if p.dim() > 1:
                init.xavier_uniform_(p)

    def forward(
        self,
        src: Tensor,
        tgt: Tensor,
        src_mask: Tensor | None = None,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """The decoder's output, shaped as `tgt`.

        Args:
            src: (S, N, d_model), (N, S, d_model) if `batch_first`, or (S, d_model).
            tgt: (L, N, d_model), (N, L, d_model) or (L, d_model).
            src_mask, tgt_mask, memory_mask: (S, S), (L, L) and (L, S), or one for each head.
            src_key_padding_mask, tgt_key_padding_mask, memory_key_padding_mask: (N, S), (N, L) and
                (N, S).
            src_is_causal, tgt_is_causal, memory_is_causal: whether the mask of that name is the
                causal mask; None finds out.

        Raises:
            RuntimeError: batches of different sizes, or another width than `d_model`.
        """
        at = 0 if self.batch_first else 1
        if src.dim() == 3 and src.size(at) != tgt.size(at):
            raise RuntimeError("the batch number of src and tgt must be equal")
        if src.size(-1) != self.d_model or tgt.size(-1) != self.d_model:
            raise RuntimeError("the feature number of src and tgt must be equal to d_model")
        memory = self.encoder(
            src,
            mask=src_mask,
            src_key_padding_mask=src_key_padding_mask,
            is_causal=src_is_causal,
        )
        return self.decoder(
            tgt,
            memory,
            tgt_mask=tgt_mask,
            memory_mask=memory_mask,
            tgt_key_padding_mask=tgt_key_padding_mask,
            memory_key_padding_mask=memory_key_padding_mask,
            tgt_is_causal=tgt_is_causal,
            memory_is_causal=memory_is_causal,
        )

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device=None, dtype=None) -> Tensor:
        """The causal mask (sz, sz): -inf where a key comes later than the query, else 0."""
        return triu(full((sz, sz), float("-inf"), device=device, dtype=dtype), diagonal=1)
