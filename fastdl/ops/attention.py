"""Scaled dot-product attention, its gradients, and their definition for what the kernels lack.

With S = scale Q K^T + mask, P = softmax(S) over the keys and G the gradient of Y = P V:

    dV = P^T G      dP = G V^T      dS = scale P (dP - rowsum(dP P))      dQ = dS K      dK = dS^T Q

With dropout, P is multiplied by factors D, which a counter gives again in the backward pass:
dV = (D P)^T G, dP = D (G V^T). The kernels make S tile by tile and keep Y and log sum exp(S) only.
The definition, which keeps S, serves masks that want a gradient, and second derivatives.
"""

from __future__ import annotations

import math

import numpy as np

from fastdl import _dtype, backends
from fastdl._engine import is_autocast_enabled, tensor_of
from fastdl.ops.activation import _softmax
from fastdl.ops.core import legacy_name, primitive, tensor_argument
from fastdl.ops.dropout import dropout as _dropout
from fastdl.ops.elementwise import masked_fill
from fastdl.ops.linalg import swap_last
from fastdl.ops.random import next_draw

__all__ = ["scaled_dot_product_attention"]


@primitive(node_name="ScaledDotProductAttention", half=True)
def attention(q, k, v, mask, *, causal, scale, dropout, draw):
    """q (N, H, L, E), k (N, H / G, S, E), v (N, H / G, S, Ev), mask None or broadcasting to
    (N, H, L, S), bool (False: takes no part) or of q's dtype (added) -> y (N, H, L, Ev) and
    log sum exp of the scores (N, H, L). `dropout` is a probability; `draw` says what is dropped."""
    return backends.of(q).attention(q, k, v, mask, causal, scale, dropout, draw)


@primitive(half=True)
def attention_backward(g, q, k, v, mask, y, lse, *, causal, scale, dropout, draw):
    """The gradients of q, k and v for g (N, H, L, Ev), that of y; y and lse are `attention`'s."""
    return backends.of(q).attention_backward(g, q, k, v, mask, y, lse, causal, scale, dropout, draw)


@primitive(half=True)
def brief_attention(q, k, v, *, scale):
    """`attention` of few queries, see `_few`: its y alone, by products of matrices."""
    kernels, shape = backends.of(q), q.shape
    q = q * scale
    if k.shape[1] != shape[1]:  # the queries that share a head are rows of one product
        q = q.reshape(shape[0], k.shape[1], shape[1] // k.shape[1] * shape[2], shape[3])
    scores = kernels.matmul(q, k.swapaxes(2, 3))
    y = kernels.matmul(kernels.KERNELS["softmax"](scores, axis=3), v)
    return y if k.shape[1] == shape[1] else y.reshape(*shape[:3], v.shape[3])


@attention.vjp_joint
def _(g, q, k, v, mask, out, causal, scale, dropout, draw):
    # g[1] is None: lse is nobody's but the gradient's, which gives it none
    how = {"causal": causal, "scale": scale, "dropout": dropout, "draw": draw}
    return (*attention_backward(g[0], q, k, v, mask, *out, **how), None)


@attention_backward.vjp_joint
def _(h, g, q, k, v, mask, causal, scale, dropout, draw):
    """The gradients of <h, (dQ, dK, dV)> in g, q, k and v, all that goes through y and lse
    included: they are functions of q, k and v."""
    hq, hk, hv = (
        tensor_of(np.zeros_like(x.array)) if given is None else given
        for given, x in zip(h, (q, k, v), strict=True)
    )
    group = q.shape[1] // max(k.shape[1], 1)
    k, v, hk, hv = (_repeated(x, group) for x in (k, v, hk, hv))
    p = _probabilities(q, k, mask, causal, scale)
    dropped = lambda x: x
    if dropout > 0:
        factors = backends.of(q.array).attention_factors(p.shape, q.array.dtype, dropout, draw)
        dropped = lambda x: x * tensor_of(factors)
    dp = dropped(g @ swap_last(v))
    centred = dp - _row_sum(dp * p)
    ds = p * centred * scale
    a = (hq @ swap_last(k) + q @ swap_last(hk)) * scale  # the gradient of p * centred
    mean = _row_sum(a * p)
    u = dropped(p * (a - mean))  # of g v^T
    b = a * centred - dp * mean + dropped(g @ swap_last(hv))  # of p
    w = p * (b - _row_sum(b * p)) * scale  # of q k^T
    return (
        dropped(p) @ hv + u @ v,
        w @ k + ds @ hk,
        _summed(swap_last(w) @ q + swap_last(ds) @ hq, group),
        _summed(swap_last(u) @ g, group),
        None,
        None,
        None,
    )


def _row_sum(x):
    return x.sum(-1, keepdim=True)


def _repeated(x, group):
    """(N, H / G, S, E) -> (N, H, S, E): each head `group` times."""
    return x if group == 1 else x.repeat_interleave(group, 1)


def _summed(x, group):
    """The adjoint of `_repeated`."""
    return x if group == 1 else x.reshape(x.shape[0], -1, group, *x.shape[2:]).sum(2)


def _probabilities(q, k, mask, causal, scale):
    """softmax(scale q k^T + mask) (N, H, L, S), 0 in rows where nothing takes part."""
    scores = q @ swap_last(k) * scale
    if mask is not None and mask.array.dtype.kind == "b":
        scores = masked_fill(scores, tensor_of(~mask.array), -math.inf)
    elif mask is not None:
        scores = scores + mask
    if causal:
        later = ~np.tri(*scores.shape[-2:], dtype=bool)
        scores = masked_fill(scores, tensor_of(later), -math.inf)
    none = (scores.array == -math.inf).all(-1, keepdims=True)
    if not none.any():
        return _softmax(scores, axis=3)
    none = tensor_of(none)
    return masked_fill(_softmax(masked_fill(scores, none, 0.0), axis=3), none, 0.0)


def scaled_dot_product_attention(
    query,
    key,
    value,
    attn_mask=None,
    dropout_p=0.0,
    is_causal=False,
    scale=None,
    enable_gqa=False,
):
    """softmax(scale query key^T + mask) value.

    Time grows with L S, memory with L + S only: scores, and what is dropped, are made tile by tile,
    and again in the backward pass. Where `attn_mask` requires a gradient, and for second
    derivatives, the (..., L, S) matrices of the definition are kept instead.

    Args:
        query: (..., H, L, E), floating; leading dimensions broadcast.
        key: (..., H, S, E), of the same dtype.
        value: (..., H, S, Ev), of the same dtype.
        attn_mask: broadcasts to (..., H, L, S): bool, False where a pair takes no part, or of
            query's dtype or float32, added to the scores. A row where nothing takes part gives 0.
        dropout_p: probability with which an entry of the softmax is zeroed; the others are divided
            by 1 - dropout_p. Applies whether or not anything is in training mode, as in PyTorch.
        is_causal: position i of L sees positions 0 to i of S only.
        scale: factor of the scores, 1 / sqrt(E) by default.
        enable_gqa: key and value may have H / G heads, each for G successive heads of query.

    Returns:
        (..., H, L, Ev), laid out in memory as query is.

    Raises:
        RuntimeError: shapes or dtypes do not fit, or `dropout_p` lies outside [0, 1].
    """
    function = "scaled_dot_product_attention"
    q = tensor_argument(function, "query", query).array
    k = tensor_argument(function, "key", key).array
    v = tensor_argument(function, "value", value).array
    _check_dtypes(q, k, v)
    if not 0.0 <= dropout_p <= 1.0:
        raise RuntimeError(f"dropout probability has to be between 0 and 1, but got {dropout_p}")
    if min(q.ndim, k.ndim, v.ndim) < 2:
        raise RuntimeError(
            "Expected query, key, and value to all be  at least 2 dimensional, but got query.dim: "
            f"{q.ndim} key.dim: {k.ndim} and value.dim: {v.ndim} instead."
        )
    if q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        raise RuntimeError(
            f"{function}: expected query (..., L, E), key (..., S, E) and value (..., S, Ev), but "
            f"got {list(q.shape)}, {list(k.shape)} and {list(v.shape)}"
        )
    scale = 1 / math.sqrt(max(q.shape[-1], 1)) if scale is None else float(scale)
    if enable_gqa:
        key, value = _shared_heads(query, key, value)
        k, v = key.array, value.array
    shape = q.shape[:-1]
    fits = q.ndim == k.ndim == v.ndim == 4 and k.shape[:2] == v.shape[:2]
    if not fits or k.shape[0] != shape[0] or (k.shape[1] != shape[1] and not enable_gqa):
        query, key, value, attn_mask, shape = _four_dimensional(query, key, value, attn_mask)
    if attn_mask is not None:
        attn_mask = _fitting_mask(attn_mask, query, key)
    if attn_mask is None and not is_causal and dropout_p == 0 and _few(query, key, value):
        y = brief_attention(query, key, value, scale=scale)
    elif attn_mask is None or not attn_mask.requires_grad:
        y, _ = attention(
            query,
            key,
            value,
            attn_mask,
            causal=bool(is_causal),
            scale=scale,
            dropout=float(dropout_p),
            draw=next_draw() if dropout_p > 0 else (0, 0),
        )
    else:
        group = query.shape[1] // max(key.shape[1], 1)
        p = _probabilities(query, _repeated(key, group), attn_mask, is_causal, scale)
        y = _dropout(p, dropout_p) @ _repeated(value, group)
    return y if y.ndim == len(shape) + 1 else y.reshape(*shape, v.shape[-1])


def _few(query, key, value):
    """Whether queries are so few, as where text is generated, and keys so many that the
    definition's products are quicker than the kernel, a tile of which has a lane for each of many
    queries: 0.5 of its time for one, 0.8 for four, 0.25 for one of four heads that share keys.
    Its (H, L, S) scores are short then; gradients are the kernel's."""
    q, k = query.array, key.array
    return (
        0 < q.shape[2] <= 4
        and k.size >= 4096
        and q.dtype.itemsize >= 4
        and not (query.requires_grad or key.requires_grad or value.requires_grad)
        and not is_autocast_enabled()
    )


def _check_dtypes(q, k, v):
    if not q.dtype == k.dtype == v.dtype and not is_autocast_enabled():
        raise RuntimeError(
            "Expected query, key, and value to have the same dtype, but got query.dtype: "
            f"{q.dtype} key.dtype: {k.dtype} and value.dtype: {v.dtype} instead."
        )
    if not _dtype.is_float(q.dtype):
        raise RuntimeError(
            "scaled_dot_product_attention: expected floating query, key and value, but got "
            f"{legacy_name(q.dtype)}"
        )


def _fitting_mask(mask, query, key):
    """The mask, in query's dtype if not bool; RuntimeError unless its dtype means something and it
    broadcasts."""
    m = tensor_argument("scaled_dot_product_attention", "attn_mask", mask).array
    if m.dtype.kind != "b" and m.dtype not in (query.array.dtype, np.float32):
        raise RuntimeError(
            "Expected attn_mask dtype to be bool or to match query dtype, but got attn_mask.dtype: "
            f"{m.dtype} and  query.dtype: {query.array.dtype} instead."
        )
    wanted = (*query.shape[:3], key.shape[2])
    if m.ndim > 4 or any(n not in (1, w) for n, w in zip(m.shape[::-1], wanted[::-1])):
        raise RuntimeError(
            f"scaled_dot_product_attention: attn_mask of shape {list(m.shape)} does not broadcast "
            f"to {list(wanted)}"
        )
    return mask if m.dtype.kind == "b" else mask.to(query.dtype)


def _shared_heads(query, key, value):
    """Key and value with as many heads as each other, a divisor of query's; the rest is checked."""
    if min(query.ndim, key.ndim, value.ndim) < 3:
        raise RuntimeError(
            "scaled_dot_product_attention: enable_gqa needs a dimension of heads, but got "
            f"{query.ndim}-D query, {key.ndim}-D key and {value.ndim}-D value"
        )
    heads, of_key, of_value = query.shape[-3], key.shape[-3], value.shape[-3]
    if not of_key or not of_value or heads % of_key or heads % of_value:
        raise RuntimeError(
            "Number of heads in key and value must divide the number of heads in query"
        )
    if of_key == of_value and query.ndim == 4:
        return key, value
    return key.repeat_interleave(heads // of_key, -3), value.repeat_interleave(
        heads // of_value, -3
    )


def _four_dimensional(query, key, value, mask):
    """All as (N, H, ...), leading dimensions broadcast; and the shape (..., H, L) of the result."""
    operands = (query, key, value)
    try:
        leading = np.broadcast_shapes(*(x.shape[:-2] for x in operands))
    except ValueError:
        shapes = " and ".join(str(list(x.shape)) for x in operands)
        raise RuntimeError(
            f"scaled_dot_product_attention: the leading dimensions of {shapes} do not broadcast"
        ) from None
    heads = leading[-1] if leading else 1
    batch = math.prod(leading[:-1])
    query, key, value = (
        x.expand(*leading, *x.shape[-2:]).reshape(batch, heads, *x.shape[-2:]) for x in operands
    )
    if mask is not None and len(leading) > 2 and mask.ndim > 3:  # dimensions that become one
        mask = mask.expand(*leading, *mask.shape[-2:]).reshape(batch, heads, *mask.shape[-2:])
    return query, key, value, mask, (*leading, query.shape[2])
