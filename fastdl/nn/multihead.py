"""MultiheadAttention: attention in several heads, with its projections."""

from __future__ import annotations

from fastdl.nn import init
from fastdl.nn.linear import NonDynamicallyQuantizableLinear
from fastdl.nn.module import Module
from fastdl.nn.parameter import Parameter
from fastdl.ops.creation import empty
from fastdl.ops.multihead import attend_in_heads
from fastdl.tensor import Tensor

__all__ = ["MultiheadAttention"]


class MultiheadAttention(Module):
    """Attention in `num_heads` heads of E / num_heads each. Vaswani et al. 2017.

    Args:
        embed_dim: E, the width of queries and of the result.
        num_heads: a divisor of E.
        dropout: probability with which an attention weight is zeroed in training.
        bias: whether the projections in and out have biases.
        add_bias_kv: adds one learnt key and value after the others.
        add_zero_attn: adds one key and value of zeros.
        kdim, vdim: the widths of keys and values; E by default.
        batch_first: whether the batch is the first dimension rather than the second.

    ``in_proj_weight``: (3 E, E), or ``q_proj_weight`` (E, E), ``k_proj_weight`` (E, kdim) and
    ``v_proj_weight`` (E, vdim) where kdim or vdim is not E, start by Glorot's uniform rule, as the
    table (3 E, E) or each for itself; ``bias_k`` and ``bias_v``: (1, 1, E) by his normal rule.
    ``in_proj_bias``: (3 E,) and ``out_proj.bias``: (E,) start from 0; ``out_proj.weight``: (E, E)
    as in `Linear`.

    Raises:
        ValueError: `embed_dim` or `num_heads` is not positive.
        AssertionError: `num_heads` does not divide `embed_dim`.
    """

    def __init__(
        self,
        embed_dim,
        num_heads,
        dropout=0.0,
        bias=True,
        add_bias_kv=False,
        add_zero_attn=False,
        kdim=None,
        vdim=None,
        batch_first=False,
        device=None,
        dtype=None,
    ) -> None:
        if embed_dim <= 0 or num_heads <= 0:
            raise ValueError(
                "embed_dim and num_heads must be greater than 0, got "
                f"embed_dim={embed_dim} and num_heads={num_heads} instead"
            )
        if embed_dim % num_heads:
            raise AssertionError("embed_dim must be divisible by num_heads")
        super().__init__()
        self.embed_dim = embed_dim
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self.num_heads = num_heads
        self.dropout = dropout
        self.batch_first = batch_first
        self.head_dim = embed_dim // num_heads
        self.add_zero_attn = add_zero_attn
        like = {"device": device, "dtype": dtype}
        new = lambda *shape: Parameter(empty(*shape, **like))
        widths = {"q": embed_dim, "k": self.kdim, "v": self.vdim}
        self._qkv_same_embed_dim = len({*widths.values()}) == 1
        if not self._qkv_same_embed_dim:
            for name, width in widths.items():
                setattr(self, f"{name}_proj_weight", new(embed_dim, width))
            self.register_parameter("in_proj_weight", None)
        else:
            self.in_proj_weight = new(3 * embed_dim, embed_dim)
            for name in widths:
                self.register_parameter(f"{name}_proj_weight", None)
        self.register_parameter("in_proj_bias", new(3 * embed_dim) if bias else None)
        self.out_proj = NonDynamicallyQuantizableLinear(embed_dim, embed_dim, bias=bias, **like)
        self.bias_k = new(1, 1, embed_dim) if add_bias_kv else None
        self.bias_v = new(1, 1, embed_dim) if add_bias_kv else None
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        for weight in self._weights_in():
            if weight is not None:
                init.xavier_uniform_(weight)
        if self.in_proj_bias is not None:
            init.zeros_(self.in_proj_bias)
            init.zeros_(self.out_proj.bias)
        if self.bias_k is not None:
            init.xavier_normal_(self.bias_k)
            init.xavier_normal_(self.bias_v)

    def _weights_in(self):
        return (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """The result, shaped as query, and the weights or None.

        Args:
            query: (L, N, E), (N, L, E) if `batch_first`, or (L, E).
            key, value: (S, N, kdim) and (S, N, vdim), (N, S, ...) if `batch_first`, or without N.
            key_padding_mask: (N, S) or (S,): bool, True where a key takes no part, or floating,
                added to the scores.
            need_weights: whether the weights are returned; memory grows with L S then.
            attn_mask: (L, S) or (N num_heads, L, S), bool or floating as above.
            average_attn_weights: whether the weights are (N, L, S), averaged over heads, or
                (N, num_heads, L, S).
            is_causal: says that `attn_mask` is the causal mask, which need not be read then.

        Raises:
            AssertionError: sizes do not fit, or masks are neither bool nor floating.
            RuntimeError: an `attn_mask` of another shape, or `is_causal` without one.
        """
        together, *separate = self._weights_in()
        return attend_in_heads(
            query,
            key,
            value,
            self.embed_dim,
            self.num_heads,
            separate if together is None else None,
            together,
            self.in_proj_bias,
            (self.bias_k, self.bias_v),
            self.add_zero_attn,
            self.dropout if self.training else 0.0,
            (self.out_proj.weight, self.out_proj.bias),
            key_padding_mask,
            need_weights,
            attn_mask,
            (None, None),
            average_attn_weights,
            is_causal,
            self.batch_first,
        )
