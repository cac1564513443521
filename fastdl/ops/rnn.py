"""Recurrences over time: one layer and direction of an RNN, LSTM or GRU as one primitive.

With a_t = x_t W_ih^T + b_ih, made of all inputs at once, and r_t = h_{t-1} W_hh^T + b_hh:

    tanh, relu   h_t = f(a_t + r_t)                                         (Elman 1990)
    lstm         i, f, g, o = a_t + r_t,  c_t = sigmoid(f) c_{t-1} + sigmoid(i) tanh(g),
                 h_t = sigmoid(o) tanh(c_t)                     (Hochreiter, Schmidhuber 1997)
    gru          r = sigmoid(a_r + r_r), z = sigmoid(a_z + r_z), n = tanh(a_n + r r_n),
                 h_t = (1 - z) n + z h_{t-1}                               (Cho et al. 2014)

Rows are in the order of a packed sequence: `sizes[t]` of time 0, then those of time 1, ...; the
sizes never grow, and a sequence that ends keeps its last state. A batch of equal lengths is one of
equal sizes. The gradient goes back through time in one primitive, from the gates that forward kept;
where it is itself recorded, the definition in ordinary operations takes its place.
"""

from __future__ import annotations

import numpy as np

from fastdl import _engine, backends
from fastdl._engine import is_grad_enabled
from fastdl.ops.activation import relu
from fastdl.ops.core import primitive
from fastdl.ops.elementwise import sigmoid, tanh
from fastdl.ops.join import cat
from fastdl.ops.linear import linear

__all__ = ["GATES", "recurrent"]

GATES = {"tanh": 1, "relu": 1, "lstm": 4, "gru": 3}  # rows of the weights, in hidden sizes


@primitive(node_name="Recurrence")
def recurrence(a, w, b, h, c, *, cell, sizes, reverse, recorded):
    """a (rows, G H), w (G H, H), b (G H,) or None, h (N, H) and, of an LSTM, c (N, H), else None
    -> all states (rows, H), the last ones (N, H), what the gradient wants of the gates if it is to
    be `recorded`, and of an LSTM the last c (N, H). G: `GATES`; sizes: int64 (T,)."""
    return backends.of(a).recurrence(a, w, b, h, c, cell, sizes, reverse, recorded)


@primitive
def recurrence_backward(gy, gh, gc, w, h, c, y, gates, *, cell, sizes, reverse):
    """The gradients of a, the recurrent part r (rows, G H), h and, of an LSTM, c, and the states
    (rows, H) that each step began from, for gy (rows, H), gh and gc (N, H), any of them None;
    y and gates are what `recurrence` returned."""
    return backends.of(w).recurrence_backward(gy, gh, gc, w, h, c, y, gates, cell, sizes, reverse)


@recurrence.vjp_joint
def _(g, a, w, b, h, c, out0, out2, cell, sizes, reverse, needs):
    how = {"cell": cell, "sizes": sizes, "reverse": reverse}
    g_states = (g[0], g[1], g[3] if cell == "lstm" else None)
    if is_grad_enabled():
        return _slopes_by_definition(g_states, (a, w, b, h, c), needs, how)
    ga, gr, gh, before, *gc = recurrence_backward(*g_states, w, h, c, out0, out2, **how)
    return (
        ga,
        gr.transpose(0, 1) @ before if needs[1] else None,
        gr.sum(0) if needs[2] else None,
        gh,
        gc[0] if gc else None,
    )


def _slopes_by_definition(g, operands, needs, how):
    """The gradients of `recurrence`, differentiable again."""
    pairs = [(y, s) for y, s in zip(_unrolled(*operands, **how), g) if s is not None]
    roots, seeds = zip(*pairs)
    wanted = [x for x, need in zip(operands, needs) if need]
    found = iter(_engine.backward(list(roots), list(seeds), True, True, wanted))
    return tuple([next(found) if need else None for need in needs])


def _unrolled(a, w, b, h, c, *, cell, sizes, reverse, projection=None):
    """All states, the last ones and the last c (or None), by the definition, in Tensor
    operations. projection (P, H): of an LSTM, states are multiplied by it."""
    steps = list(zip(np.cumsum(sizes) - sizes, sizes))
    outputs = []
    for start, n in reversed(steps) if reverse else steps:
        state, kept = _step(
            cell, a[start : start + n], linear(h[:n], w, b), h[:n], c if c is None else c[:n]
        )
        if projection is not None:
            state = linear(state, projection)
        outputs.append(state)
        h = _followed(state, h)
        c = c if c is None else _followed(kept, c)
    return cat(outputs[::-1] if reverse else outputs), h, c


def _followed(new, old):
    """The states after a step: new ones, then those of sequences that take no part."""
    return new if len(new) == len(old) else cat([new, old[len(new) :]])


def _step(cell, a, r, h, c):
    """The next h, and of an LSTM the next c."""
    if cell == "gru":
        (a_r, a_z, a_n), (r_r, r_z, r_n) = a.chunk(3, 1), r.chunk(3, 1)
        n = tanh(a_n + sigmoid(a_r + r_r) * r_n)
        return n + sigmoid(a_z + r_z) * (h - n), None
    if cell == "lstm":
        i, f, g, o = (a + r).chunk(4, 1)
        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        return sigmoid(o) * tanh(c), c
    return (tanh if cell == "tanh" else relu)(a + r), None


def recurrent(x, h, c, weights, cell, sizes, reverse=False):
    """One layer and direction.

    Args:
        x: (rows, in), rows ordered as in a packed sequence.
        h: (N, P), the states before the first step; P is H, or the size of a projection.
        c: (N, H) for an LSTM, else None.
        weights: w_ih (G H, in), w_hh (G H, P), b_ih and b_hh (G H,) or None, and of an LSTM
            w_hr (P, H) or None. G: `GATES`.
        cell: "tanh", "relu", "lstm" or "gru".
        sizes: int64 array (T,), how many sequences take part in each step; never growing, >= 1.
        reverse: begin at the last step.

    Returns:
        All states (rows, P), the last ones (N, P), and the last c, or None.
    """
    w_ih, w_hh, b_ih, b_hh, w_hr = weights
    if cell != "gru" and b_ih is not None:  # they are only ever added
        b_ih, b_hh = b_ih + b_hh, None
    a = linear(x, w_ih, b_ih)
    how = {"cell": cell, "sizes": sizes, "reverse": reverse}
    if w_hr is not None:
        return _unrolled(a, w_hh, b_hh, h, c, projection=w_hr, **how)
    operands = (a, w_hh, b_hh, h, c)
    recorded = is_grad_enabled() and any(t is not None and t.requires_grad for t in operands)
    y, h, _, *c = recurrence(*operands, recorded=recorded, **how)
    return y, h, c[0] if c else None
