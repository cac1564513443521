"""Rows of the table of ops for attention in several heads, joined in op_cases.py."""

import numpy as np
from op_cases import given, normal, row


def multihead(t, query, key, value, w, b, out, out_b, **options):
    """Two heads of 2, without dropout, unless `options` say otherwise."""
    arguments = {
        "embed_dim_to_check": 4, "num_heads": 2, "in_proj_weight": w, "in_proj_bias": b,
        "bias_k": None, "bias_v": None, "add_zero_attn": False, "dropout_p": 0.0,
        "out_proj_weight": out, "out_proj_bias": out_b,
    }  # fmt: skip
    forward = t.nn.functional.multi_head_attention_forward
    return forward(query, key, value, **arguments | options)


WEIGHTS = [normal(12, 4), normal(12), normal(4, 4), normal(4)]
APART = [normal(3, 2, 4), normal(5, 2, 4), normal(5, 2, 4), *WEIGHTS]
PADDING = given(np.array([[False, True, False, True, False], [False] * 4 + [True]]), grad=False)
PAIRS = given(np.arange(15).reshape(3, 5) % 4 == 1, grad=False)
ONES = [(3, 2, 4), (5, 2, 4), (5, 2, 4), (12, 4), (12,), (4, 4), (4,)]


def refused(exception, shapes=(), **options):
    """`multihead` of ones, with the shapes that are given in place of the first of `ONES`."""
    shapes = [*shapes, *ONES[len(shapes) :]]
    made = lambda t: {k: v(t) if callable(v) else v for k, v in options.items()}
    return (lambda t: multihead(t, *(t.ones(*s) for s in shapes), **made(t)), exception)


row("linear.affine_map activation._softmax", multihead, APART, order=1, bad=[
    refused(AssertionError, [(3, 4)]),
    refused(AssertionError, [(3, 2, 4, 1)]),
    refused(AssertionError, [(3, 2, 5)]),
    refused(AssertionError, [(3, 2, 4), (6, 2, 4)]),
    refused(RuntimeError, [(3, 2, 4), (5, 3, 4), (5, 3, 4)]),
    refused(AssertionError, num_heads=3, embed_dim_to_check=4),
    refused(AssertionError, in_proj_weight=None),
    refused(AssertionError, use_separate_proj_weight=True),
    refused(AssertionError, key_padding_mask=lambda t: t.zeros(5)),
    refused(AssertionError, key_padding_mask=lambda t: t.zeros(2, 4)),
    refused(AssertionError, key_padding_mask=lambda t: t.zeros(2, 5).long()),
    refused(AssertionError, attn_mask=lambda t: t.zeros(5)),
    refused(RuntimeError, attn_mask=lambda t: t.zeros(3, 4)),
    refused(RuntimeError, attn_mask=lambda t: t.zeros(2, 3, 5)),
    refused(AssertionError, [(3, 4), (5, 4), (5, 4)], attn_mask=lambda t: t.zeros(4, 3, 5)),
    refused(RuntimeError, is_causal=True),
    refused(AssertionError, bias_k=lambda t: t.ones(1, 1, 4)),
    refused(AssertionError, static_k=lambda t: t.ones(3, 5, 2)),
    refused(AssertionError, static_v=lambda t: t.ones(4, 5, 3)),
    (lambda t: multihead(t, 1, *(t.ones(*s) for s in ONES[1:])), Exception),
])  # fmt: skip
row(
    "linear.affine_map attention.attention",
    lambda t, *xs: multihead(t, *xs, need_weights=False)[0],
    APART,
    order=1,
    name="several heads without weights",
    more=[
        [normal(3, 4), normal(5, 4), normal(5, 4), *WEIGHTS],
        [normal(3, 0, 4), normal(5, 0, 4), normal(5, 0, 4), *WEIGHTS],
    ],
)
row(
    "linear.affine_map attention.attention",
    lambda t, x, *xs: multihead(t, x, x, x, *xs, need_weights=False)[0],
    [normal(3, 2, 4), *WEIGHTS],
    order=1,
    name="several heads, to itself",
    more=[[normal(3, 4), *WEIGHTS]],
)
row(
    "linear.affine_map activation._softmax",
    lambda t, x, y, *xs: multihead(t, x, y, y, *xs, average_attn_weights=False),
    [normal(3, 2, 4), normal(5, 2, 4), *WEIGHTS],
    order=1,
    name="several heads, weights of each",
    more=[[normal(3, 4), normal(5, 4), *WEIGHTS]],
)
for weights in (True, False):
    row(
        "linear.affine_map",
        lambda t, padding, pairs, *xs, weights=weights: multihead(
            t, *xs, key_padding_mask=padding, attn_mask=pairs, need_weights=weights
        )[0],
        [PADDING, PAIRS, *APART],
        order=1,
        name=f"several heads, masks, weights {weights}",
        more=[[PADDING, given(np.arange(60).reshape(4, 3, 5) % 7 == 1, grad=False), *APART]],
    )
    row(
        "linear.affine_map",
        lambda t, padding, pairs, *xs, weights=weights: multihead(
            t, *xs, key_padding_mask=padding, attn_mask=pairs, need_weights=weights
        )[0],
        [normal(2, 5), normal(4, 3, 5), *APART],
        order=1,
        name=f"several heads, added masks, weights {weights}",
        more=[[normal(2, 5), normal(3, 5), *APART]],
    )
    row(
        "linear.affine_map join.concatenate",
        lambda t, padding, pairs, bias_k, bias_v, *xs, weights=weights: multihead(
            t,
            *xs,
            key_padding_mask=padding,
            attn_mask=pairs,
            bias_k=bias_k,
            bias_v=bias_v,
            add_zero_attn=True,
            need_weights=weights,
        )[0],
        [PADDING, PAIRS, normal(1, 1, 4), normal(1, 1, 4), *APART],
        order=1,
        name=f"several heads, keys added, weights {weights}",
    )
row(
    "linear.affine_map attention.attention",
    lambda t, k, v, *xs: multihead(t, *xs, static_k=k, static_v=v, need_weights=False)[0],
    [normal(4, 5, 2), normal(4, 5, 2), *APART],
    order=1,
    name="several heads, static keys",
)
row(
    "linear.affine_map attention.attention",
    lambda t, wq, wk, wv, q, k, v, *xs: multihead(
        t,
        q,
        k,
        v,
        None,
        *xs,
        use_separate_proj_weight=True,
        q_proj_weight=wq,
        k_proj_weight=wk,
        v_proj_weight=wv,
        need_weights=False,
    )[0],
    [
        normal(4, 4),
        normal(4, 3),
        normal(4, 6),
        normal(3, 2, 4),
        normal(5, 2, 3),
        normal(5, 2, 6),
        *WEIGHTS[1:],
    ],
    order=1,
    name="several heads, separate projections",
)
row(
    "linear.affine_map attention.attention",
    lambda t, x, mask, *xs: multihead(
        t, x, x, x, *xs, attn_mask=mask, is_causal=True, need_weights=False
    )[0],
    [normal(3, 2, 4), given(np.triu(np.ones((3, 3), bool), 1), grad=False), *WEIGHTS],
    order=1,
    name="several heads, causal",
)
