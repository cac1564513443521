"""Multi-head attention with its projections: Vaswani et al. 2017, "Attention Is All You Need"."""

from __future__ import annotations

import math
import warnings

from fastdl.ops.activation import softmax
from fastdl.ops.attention import scaled_dot_product_attention
from fastdl.ops.core import tensor_argument
from fastdl.ops.dropout import dropout
from fastdl.ops.elementwise import masked_fill
from fastdl.ops.join import cat
from fastdl.ops.linalg import swap_last
from fastdl.ops.linear import linear

__all__ = ["multi_head_attention_forward"]


def multi_head_attention_forward(
    query,
    key,
    value,
    embed_dim_to_check,
    num_heads,
    in_proj_weight,
    in_proj_bias,
    bias_k,
    bias_v,
    add_zero_attn,
    dropout_p,
    out_proj_weight,
    out_proj_bias,
    training=True,
    key_padding_mask=None,
    need_weights=True,
    attn_mask=None,
    use_separate_proj_weight=False,
    q_proj_weight=None,
    k_proj_weight=None,
    v_proj_weight=None,
    static_k=None,
    static_v=None,
    average_attn_weights=True,
    is_causal=False,
):
    """Attention in `num_heads` heads: projections in, attention of each head, projection out.

    Args:
        query: (L, N, E) or (L, E).
        key: (S, N, Ek) or (S, Ek).
        value: (S, N, Ev) or (S, Ev).
        embed_dim_to_check: E, the width of query and of the result.
        num_heads: a divisor of E.
        in_proj_weight: (3 E, E), the projections of query, key and value one below the other;
            None with `use_separate_proj_weight`.
        in_proj_bias: (3 E,) or None.
        bias_k, bias_v: (1, 1, E), one more key and value after the others; or None.
        add_zero_attn: one more key and value of zeros.
        dropout_p: probability with which an attention weight is zeroed in training.
        out_proj_weight, out_proj_bias: (E, E) and (E,) or None.
        training: whether there is dropout.
        key_padding_mask: (N, S) or (S,): bool, True where a key takes no part, or floating, added
            to the scores.
        need_weights: whether the weights are returned. Without them memory grows with L + S only,
            see :func:`scaled_dot_product_attention`.
        attn_mask: (L, S) or (N num_heads, L, S): bool, True where a pair takes no part, or
            floating, added to the scores.
        use_separate_proj_weight: whether the projections are `q_proj_weight` (E, E),
            `k_proj_weight` (E, Ek) and `v_proj_weight` (E, Ev) instead.
        static_k, static_v: (N num_heads, S, E / num_heads), in place of what comes of key, value.
        average_attn_weights: whether the weights are averaged over heads.
        is_causal: says that `attn_mask` is the causal mask, which need not be read then.

    Returns:
        (L, N, E) or (L, E), and None or the weights: (N, L, S), (N, num_heads, L, S) if not
        averaged, without N for inputs without.

    Raises:
        AssertionError: sizes do not fit, or masks are neither bool nor floating.
        RuntimeError: an `attn_mask` of another shape, or `is_causal` without one.
    """
    return attend_in_heads(
        query,
        key,
        value,
        embed_dim_to_check,
        num_heads,
        (q_proj_weight, k_proj_weight, v_proj_weight) if use_separate_proj_weight else None,
        in_proj_weight,
        in_proj_bias,
        (bias_k, bias_v),
        add_zero_attn,
        dropout_p if training else 0.0,
        (out_proj_weight, out_proj_bias),
        key_padding_mask,
        need_weights,
        attn_mask,
        (static_k, static_v),
        average_attn_weights,
        is_causal,
        batch_first=False,
    )


def attend_in_heads(
    query,
    key,
    value,
    width,
    num_heads,
    separate,
    in_weight,
    in_bias,
    extra,
    add_zero_attn,
    dropout_p,
    out,
    key_padding_mask,
    need_weights,
    attn_mask,
    static,
    average_attn_weights,
    is_causal,
    batch_first,
):
    """:func:`multi_head_attention_forward`, for (N, L, E) and so on if `batch_first`.

    `separate`: the three weights of separate projections or None; `extra`: bias_k, bias_v;
    `out`: weight and bias of the projection out; `static`: static_k, static_v.
    """
    batched = _check_shapes(query, key, value, key_padding_mask, attn_mask, num_heads)
    if not batched:
        batch_first = True
        same = query is key, key is value
        query = query.unsqueeze(0)
        key = query if same[0] else key.unsqueeze(0)
        value = key if same[1] else value.unsqueeze(0)
        if key_padding_mask is not None:
            key_padding_mask = key_padding_mask.unsqueeze(0)
    at, along = (0, 1) if batch_first else (1, 0)  # the dimensions of the batch, of the sequence
    n, length, keys = query.shape[at], query.shape[along], key.shape[along]
    if is_causal and attn_mask is None:
        raise RuntimeError(
            "Need attn_mask if specifying the is_causal hint. You may use the Transformer module "
            "method `generate_square_subsequent_mask` to create this mask."
        )
    _check_widths(query, key, value, width, num_heads, separate is not None)
    causal = is_causal and key_padding_mask is None and not need_weights
    mask = None if causal else _joined(attn_mask, key_padding_mask, n, num_heads, length, keys)
    q, k, v = _projected(query, key, value, separate, in_weight, in_bias)
    k, v = _extended(k, v, extra, static, n, along)
    heads = lambda x: _in_heads(x, num_heads, batch_first)
    q = heads(q)
    k, v = (
        heads(x) if given is None else _static(name, given, n, num_heads, width // num_heads)
        for name, x, given in zip(("static_k", "static_v"), (k, v), static, strict=True)
    )
    if k.shape[0] != n or v.shape[0] != n:
        raise RuntimeError(
            f"multi_head_attention_forward: query has a batch of {n}, but key has one of "
            f"{k.shape[0]} and value one of {v.shape[0]}"
        )
    if add_zero_attn:
        k, v = (cat([x, x.new_zeros(*x.shape[:2], 1, x.shape[3])], 2) for x in (k, v))
    if mask is not None:
        mask = _lengthened(mask, k.shape[2] - keys)
    if need_weights:
        y, weights = _attention_and_weights(q, k, v, mask, dropout_p)
        weights = weights.mean(1) if average_attn_weights else weights
        weights = weights if batched else weights.squeeze(0)
    else:
        if mask is not None and mask.array.dtype.kind == "b":
            mask = ~mask  # True takes part there
        y = scaled_dot_product_attention(q, k, v, mask, dropout_p, causal)
        weights = None
    y = y.permute(0, 2, 1, 3) if batch_first else y.permute(2, 0, 1, 3)
    y = linear(y.reshape(*y.shape[:2], width), *out)
    return (y if batched else y.squeeze(0)), weights


def _check_shapes(query, key, value, key_padding_mask, attn_mask, num_heads):
    """Is there a batch? AssertionError unless numbers of dimensions fit."""
    for name, x in (("query", query), ("key", key), ("value", value)):
        tensor_argument("multi_head_attention_forward", name, x)
    dims = query.ndim
    if dims not in (2, 3):
        raise AssertionError(
            f"query should be unbatched 2D or batched 3D tensor but received {dims}-D query tensor"
        )
    kind = "batched (3-D)" if dims == 3 else "unbatched (2-D)"
    if key.ndim != dims or value.ndim != dims:
        raise AssertionError(
            f"For {kind} `query`, expected `key` and `value` to be {dims}-D but found "
            f"{key.ndim}-D and {value.ndim}-D tensors respectively"
        )
    for name, mask in (("key_padding_mask", key_padding_mask), ("attn_mask", attn_mask)):
        if mask is None:
            continue
        m = tensor_argument("multi_head_attention_forward", name, mask).array
        wanted = (2, 3) if name == "attn_mask" else (dims - 1,)
        if m.ndim not in wanted:
            raise AssertionError(
                f"For {kind} `query`, expected `{name}` to be `None` or "
                f"{' or '.join(f'{w}-D' for w in wanted)} but found {m.ndim}-D tensor instead"
            )
        if m.dtype.kind != "b" and not mask.is_floating_point():
            raise AssertionError(f"only bool and floating types of {name} are supported")
    if dims == 2 and attn_mask is not None and attn_mask.ndim == 3:
        expected = (num_heads, query.shape[0], key.shape[0])
        if tuple(attn_mask.shape) != expected:
            raise AssertionError(
                f"Expected `attn_mask` shape to be {expected} but got {tuple(attn_mask.shape)}"
            )
    return dims == 3


def _check_widths(query, key, value, width, num_heads, separate):
    if query.shape[-1] != width:
        raise AssertionError(
            f"was expecting embedding dimension of {width}, but got {query.shape[-1]}"
        )
    if width % num_heads:
        raise AssertionError(f"embed_dim {width} not divisible by num_heads {num_heads}")
    of_key, of_value = tuple(key.shape), tuple(value.shape)
    if separate and of_key[:2] != of_value[:2]:
        raise AssertionError(
            f"key's sequence and batch dims {of_key[:2]} do not match value's {of_value[:2]}"
        )
    if not separate and of_key != of_value:
        raise AssertionError(f"key shape {of_key} does not match value shape {of_value}")


def _joined(attn_mask, padding, n, heads, length, keys):
    """Both masks as one that broadcasts to (N, H, L, S), or None: bool, True where a pair takes no
    part, if both are, else floating, added."""
    if attn_mask is not None:
        shape = (length, keys) if attn_mask.ndim == 2 else (n * heads, length, keys)
        if tuple(attn_mask.shape) != shape:
            raise RuntimeError(
                f"The shape of the {attn_mask.ndim}D attn_mask is {tuple(attn_mask.shape)}, but "
                f"should be {shape}."
            )
        attn_mask = attn_mask.reshape(-1 if attn_mask.ndim == 3 else 1, 1, length, keys)
        if attn_mask.shape[0] != 1 or n * heads == 1:
            attn_mask = attn_mask.reshape(n, heads, length, keys)
    if padding is None:
        return attn_mask
    if tuple(padding.shape) != (n, keys):
        raise AssertionError(
            f"Expected key_padding_mask of shape {(n, keys)}, but got {tuple(padding.shape)}"
        )
    padding = padding.reshape(n, 1, 1, keys)
    if attn_mask is None:
        return padding
    if padding.dtype == attn_mask.dtype:
        return padding | attn_mask if padding.array.dtype.kind == "b" else padding + attn_mask
    warnings.warn(
        "Support for mismatched key_padding_mask and attn_mask is deprecated. Use same type for "
        "both instead.",
        stacklevel=4,
    )
    return _added(padding, attn_mask) + _added(attn_mask, padding)


def _added(mask, other):
    """A floating mask; a bool one as 0 and -inf of the dtype of the `other`."""
    if mask.array.dtype.kind != "b":
        return mask
    return masked_fill(other.new_zeros(mask.shape), mask, -math.inf)


def _projected(query, key, value, separate, weight, bias):
    """Query, key and value after their projections, in one product where they are the same."""
    biases = (None, None, None) if bias is None else bias.chunk(3)
    if separate is not None:
        for name, given in zip(("q", "k", "v"), separate, strict=True):
            if given is None:
                raise AssertionError(
                    f"use_separate_proj_weight is True but {name}_proj_weight is None"
                )
        operands = zip((query, key, value), separate, biases, strict=True)
        return [linear(x, w, b) for x, w, b in operands]
    if weight is None:
        raise AssertionError("use_separate_proj_weight is False but in_proj_weight is None")
    if key is value:
        if query is key:
            return linear(query, weight, bias).chunk(3, -1)
        width = weight.shape[1]
        of_both = None if bias is None else bias[width:]
        q = linear(query, weight[:width], biases[0])
        return [q, *linear(key, weight[width:], of_both).chunk(2, -1)]
    operands = zip((query, key, value), weight.chunk(3), biases, strict=True)
    return [linear(x, w, b) for x, w, b in operands]


def _extended(k, v, extra, static, n, along):
    """Keys and values with bias_k and bias_v after them."""
    bias_k, bias_v = extra
    if bias_k is None and bias_v is None:
        return k, v
    if bias_k is None or bias_v is None:
        given, missing = ("bias_v", "bias_k") if bias_k is None else ("bias_k", "bias_v")
        raise AssertionError(f"{given} is set but {missing} is None")
    for name, x in zip(("key", "value"), static, strict=True):
        if x is not None:
            raise AssertionError(f"bias cannot be added to static {name}.")
    shape = (n, 1, -1) if along == 1 else (1, n, -1)
    return cat([k, bias_k.expand(*shape)], along), cat([v, bias_v.expand(*shape)], along)


def _in_heads(x, heads, batch_first):
    """(N, L, E) or (L, N, E) -> (N, H, L, E / H)."""
    x = x.reshape(*x.shape[:2], heads, x.shape[2] // heads)
    return x.permute(0, 2, 1, 3) if batch_first else x.permute(1, 2, 0, 3)


def _static(name, x, n, heads, width):
    """(N H, S, E / H) -> (N, H, S, E / H)."""
    if x.shape[0] != n * heads:
        raise AssertionError(f"expecting {name}.size(0) of {n * heads}, but got {x.shape[0]}")
    if x.shape[2] != width:
        raise AssertionError(f"expecting {name}.size(2) of {width}, but got {x.shape[2]}")
    return x.reshape(n, heads, *x.shape[1:])


def _lengthened(mask, by):
    """The mask with `by` more keys, which take part."""
    if by <= 0:
        return mask
    return cat([mask, mask.new_zeros(*mask.shape[:3], by)], 3)


def _attention_and_weights(q, k, v, mask, dropout_p):
    """The definition, which keeps the weights (N, H, L, S)."""
    scores = (q * (1 / math.sqrt(q.shape[-1]))) @ swap_last(k)
    if mask is not None and mask.array.dtype.kind == "b":
        scores = masked_fill(scores, mask, -math.inf)
    elif mask is not None:
        scores = scores + mask.to(scores.dtype)
    weights = dropout(softmax(scores, -1), dropout_p)
    return weights @ v, weights
