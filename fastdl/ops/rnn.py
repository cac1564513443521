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
from fastdl._engine import is_autocast_enabled, is_grad_enabled
from fastdl.ops.activation import relu
from fastdl.ops.core import primitive, tensor_argument
from fastdl.ops.dropout import dropout as _dropout
from fastdl.ops.elementwise import sigmoid, tanh
from fastdl.ops.join import cat, stack
from fastdl.ops.linear import linear

__all__ = [
    "gru",
    "gru_cell",
    "lstm",
    "lstm_cell",
    "rnn_relu",
    "rnn_relu_cell",
    "rnn_tanh",
    "rnn_tanh_cell",
]

GATES = {"tanh": 1, "relu": 1, "lstm": 4, "gru": 3}  # rows of the weights, in hidden sizes


@primitive(node_name="Recurrence")
def recurrence(a, w, b, h, c, *, cell, sizes, reverse, recorded):
    """a (rows, G H), w (G H, H), b (G H,) or None, h (N, H) and, of an LSTM, c (N, H), else None
    -> all states (rows, H), the last ones (N, H), what the gradient wants of the gates if it is to
    be `recorded`, and of an LSTM the last c (N, H). G: `GATES`; sizes: int64 (T,)."""
    return backends.of(a).recurrence(a, w, b, h, c, cell, sizes, reverse, recorded)


@primitive
def recurrence_backward(gy, gh, gc, w, h, c, y, gates, *, cell, sizes, reverse, states):
    """The gradients of a, the recurrent part r (rows, G H), b, h (empty unless `states`) and, of an
    LSTM, c, and the states (rows, H) that each step began from, for gy (rows, H), gh and gc (N, H),
    any of them None; y and gates are what `recurrence` returned."""
    return backends.of(w).recurrence_backward(
        gy, gh, gc, w, h, c, y, gates, cell, sizes, reverse, states
    )


@recurrence.vjp_joint
def _(g, a, w, b, h, c, out0, out2, cell, sizes, reverse, needs):
    how = {"cell": cell, "sizes": sizes, "reverse": reverse}
    g_states = (g[0], g[1], g[3] if cell == "lstm" else None)
    if is_grad_enabled():
        return _slopes_by_definition(g_states, (a, w, b, h, c), needs, how)
    ga, gr, gb, gh, before, *gc = recurrence_backward(
        *g_states, w, h, c, out0, out2, **how, states=needs[3]
    )
    return (
        ga,
        gr.transpose(0, 1) @ before if needs[1] else None,
        gb if needs[2] else None,
        gh if needs[3] else None,
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
    if cell != "gru" and b_ih is not None and b_hh is not None:  # they are only ever added
        b_ih, b_hh = None, b_ih + b_hh
    a = linear(x, w_ih, b_ih)
    how = {"cell": cell, "sizes": sizes, "reverse": reverse}
    if w_hr is not None:
        return _unrolled(a, w_hh, b_hh, h, c, projection=w_hr, **how)
    operands = (a, w_hh, b_hh, h, c)
    if any(t is not None and t.dtype != a.dtype for t in operands) and not is_autocast_enabled():
        dtypes = " and ".join(sorted({str(t.dtype) for t in operands if t is not None}))
        raise RuntimeError(f"input, states and weights must have the same dtype, but got {dtypes}")
    recorded = is_grad_enabled() and any(t is not None and t.requires_grad for t in operands)
    y, h, _, *c = recurrence(*operands, recorded=recorded, **how)
    return y, h, c[0] if c else None


def layered(x, states, weights, cell, sizes, dropout=0.0, bidirectional=False):
    """Layers one on another, the second direction of each beside the first.

    Args:
        x: (rows, in), rows ordered as in a packed sequence.
        states: (h,) or of an LSTM (h, c), each (layers directions, N, ...).
        weights: of each layer and direction, what `recurrent` takes.
        cell, sizes: as in `recurrent`.
        dropout: probability of zeroing what goes from one layer to the next.
        bidirectional: whether every other of `weights` runs from the end.

    Returns:
        The states of the last layer (rows, directions P), and the last states as a tuple.
    """
    directions = 2 if bidirectional else 1
    first = [h.unbind(0) for h in states]
    last = [[] for _ in states]
    for at in range(0, len(weights), directions):
        if at and dropout:
            x = _dropout(x, dropout)
        outputs = []
        for i in range(at, at + directions):
            y, *found = recurrent(
                x,
                first[0][i],
                first[1][i] if len(first) > 1 else None,
                weights[i],
                cell,
                sizes,
                i > at,
            )
            outputs.append(y)
            for states_of, h in zip(last, found):
                states_of.append(h)
        x = cat(outputs, -1) if directions > 1 else outputs[0]
    return x, tuple([stack(h) for h in last])


# ---- PyTorch's functions -------------------------------------------------------------------------

OPTIONS = ("hx", "params", "has_biases", "num_layers", "dropout", "train", "bidirectional")
PADDED = ("input", *OPTIONS, "batch_first")
PACKED = ("data", "batch_sizes", *OPTIONS)


def _grouped(function, params, states, has_biases, num_layers, bidirectional):
    """What `layered` takes for weights, from PyTorch's flat list; RuntimeError if they are too few
    or too many for these layers and states."""
    projected = len(states) > 1 and states[0].shape[-1] != states[1].shape[-1]
    each = 2 + 2 * bool(has_biases) + projected
    count = num_layers * (2 if bidirectional else 1)
    if len(params) != each * count:
        raise RuntimeError(
            f"{function}: expected {each} parameters for each of {count} layers and directions, "
            f"but got {len(params)}"
        )
    if any(len(h) != count for h in states):
        raise RuntimeError(
            f"{function}: expected hx of {count} layers and directions, but got {len(states[0])}"
        )
    groups = [list(params[i : i + each]) for i in range(0, len(params), each)]
    biases = [None, None]
    return [
        [*g[:2], *(g[2:4] if has_biases else biases), g[-1] if projected else None] for g in groups
    ]


def _bound(function, args, kwargs, packed):
    """The arguments by name, for the padded or the packed form."""
    form = PACKED if packed else PADDED
    if len(args) + len(kwargs) != len(form) or set(kwargs) != set(form[len(args) :]):
        raise TypeError(
            f"{function}() received an invalid combination of arguments, expected "
            f"({', '.join(PADDED)}) or ({', '.join(PACKED)})"
        )
    return [*args, *(kwargs[name] for name in form[len(args) :])]


def _check_weights(cell, w_ih, w_hh, *biases):
    """RuntimeError unless rows of the weights and elements of the biases are as many."""
    gates = GATES[cell]
    if w_ih.ndim != 2 or w_hh.ndim != 2 or w_ih.shape[0] % gates:
        raise RuntimeError(
            f"weight_ih and weight_hh must be matrices of {gates} * hidden_size rows, but got "
            f"{list(w_ih.shape)} and {list(w_hh.shape)}"
        )
    for name, w in zip(("weight_hh", "bias_ih", "bias_hh"), (w_hh, *biases)):
        if w is not None and w.shape[0] != w_ih.shape[0]:
            raise RuntimeError(
                f"{name} first dim must be {gates} * hidden_size = {w_ih.shape[0]}, but got "
                f"{w.shape[0]}"
            )


def _check_states(function, cell, x, batch, states, weights):
    """RuntimeError where sizes do not fit the first layer's weights, or these each other."""
    w_ih, w_hh, w_hr = weights[0][0], weights[0][1], weights[0][-1]
    for w in weights:
        _check_weights(cell, *w[:4])
        if w[1].shape != w_hh.shape or (w_hr is None and w_hh.shape[1] * GATES[cell] != len(w_hh)):
            raise RuntimeError(
                f"{function}: expected every weight_hh to be ({GATES[cell]} hidden_size, "
                f"hidden_size), but got {list(w[1].shape)}"
            )
    if x.shape[-1] != w_ih.shape[-1]:
        raise RuntimeError(
            f"{function}: input.size(-1) must be equal to input_size. Expected {w_ih.shape[-1]}, "
            f"got {x.shape[-1]}"
        )
    for h, size in zip(states, (w_hh.shape[1], len(w_hh) // GATES[cell])):
        if h.ndim != 3 or h.shape[1:] != (batch, size):
            raise RuntimeError(
                f"{function}: Expected hidden size ({len(weights)}, {batch}, {size}), "
                f"got {list(h.shape)}"
            )


def _function(cell, name, args, kwargs):
    """Output, then the last states."""
    packed = "batch_sizes" in kwargs or (
        len(args) > 2
        and isinstance(args[2], tuple | list) is (cell == "lstm")
        and hasattr(args[1], "array")
    )
    given = _bound(name, args, kwargs, packed)
    if packed:
        x, sizes, hx, params, has_biases, layers, dropout, train, bidirectional = given
        sizes, batch_first = tensor_argument(name, "batch_sizes", sizes).array, False
        tensor_argument(name, "data", x)
    else:
        x, hx, params, has_biases, layers, dropout, train, bidirectional, batch_first = given
        if tensor_argument(name, "input", x).ndim != 3:
            raise RuntimeError(f"{name}: expected 3-D input, but got {x.ndim}-D input")
        x = x.transpose(0, 1) if batch_first else x
        steps, batch, width = x.shape
        if steps == 0:
            raise RuntimeError("Expected sequence length to be larger than 0 in RNN")
        sizes, x = np.full(steps, batch), x.reshape(steps * batch, width)
    states = tuple(hx) if cell == "lstm" else (tensor_argument(name, "hx", hx),)
    if cell == "lstm" and len(states) != 2:
        raise RuntimeError("lstm expects two hidden states")
    weights = _grouped(name, params, states, has_biases, layers, bidirectional)
    _check_states(name, cell, x, int(sizes[0]), states, weights)
    dropout = dropout if train else 0.0
    y, states = layered(x, states, weights, cell, sizes, dropout, bidirectional)
    if not packed:
        y = y.reshape(len(sizes), batch, y.shape[-1])
        y = y.transpose(0, 1) if batch_first else y
    return y, *states


def gru(*args, **kwargs):
    """Layers of gated recurrent units, see :class:`nn.GRU`, in both of PyTorch's forms:

    ``(input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first)`` and
    ``(data, batch_sizes, hx, params, has_biases, num_layers, dropout, train, bidirectional)``.

    Args:
        input: (T, N, in), or (N, T, in) if `batch_first`.
        data, batch_sizes: (rows, in) and int64 (T,), those of a packed sequence.
        hx: (num_layers directions, N, H), the states before the first step.
        params: of each layer, of each direction: weight_ih, weight_hh and, if `has_biases`, bias_ih
            and bias_hh.
        has_biases, num_layers, bidirectional: as of the layer.
        dropout, train: probability of zeroing what goes from layer to layer; only if `train`.

    Returns:
        The output (T, N, directions H), laid out as the input, and the last states, as hx.

    Raises:
        TypeError: none of the two forms.
        RuntimeError: sizes do not fit.
    """
    return _function("gru", "gru", args, kwargs)


def lstm(*args, **kwargs):
    """Layers of an LSTM, see :class:`nn.LSTM`: as :func:`gru`, but that `hx` is a pair (h, c), both
    come back, and each group of `params` ends with weight_hr if there is a projection."""
    return _function("lstm", "lstm", args, kwargs)


def rnn_tanh(*args, **kwargs):
    """Layers of an Elman network with tanh, see :class:`nn.RNN`: as :func:`gru`."""
    return _function("tanh", "rnn_tanh", args, kwargs)


def rnn_relu(*args, **kwargs):
    """Layers of an Elman network with relu, see :class:`nn.RNN`: as :func:`gru`."""
    return _function("relu", "rnn_relu", args, kwargs)


def _cell(cell, name, input, states, weights):
    """The states after one step, as a tuple; input (N, in) or (in,)."""
    x = tensor_argument(name, "input", input)
    _check_weights(cell, *weights)
    batched = x.ndim == 2
    rows = [t if batched else t.unsqueeze(0) for t in (x, *states)]
    check_step(rows[0], rows[1:], weights[0].shape[1], weights[1].shape[1])
    h, *c = rows[1:]
    sizes = np.array([len(rows[0])])
    last = recurrent(rows[0], h, c[0] if c else None, (*weights, None), cell, sizes)[1:]
    return tuple([t if batched else t.squeeze(0) for t in last[: len(states)]])


def check_step(x, states, input_size, hidden_size):
    """RuntimeError unless x is (N, input_size) and all states are (N, hidden_size)."""
    if x.shape[1] != input_size:
        raise RuntimeError(
            f"input has inconsistent input_size: got {x.shape[1]} expected {input_size}"
        )
    for i, h in enumerate(states):
        if h.ndim != 2 or h.shape[0] != x.shape[0]:
            raise RuntimeError(
                f"Input batch size {x.shape[0]} doesn't match hidden{i} batch size {h.shape[0]}"
            )
        if h.shape[1] != hidden_size:
            raise RuntimeError(
                f"hidden{i} has inconsistent hidden_size: got {h.shape[1]}, expected {hidden_size}"
            )


def lstm_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    """One step of an LSTM.

    Args:
        input: (N, in) or (in,).
        hx: the pair (h, c), each (N, H) or (H,).
        w_ih, w_hh: (4 H, in) and (4 H, H).
        b_ih, b_hh: (4 H,), or None.

    Returns:
        The next h and c.

    Raises:
        RuntimeError: sizes do not fit, or hx is no pair.
    """
    return _cell("lstm", "lstm_cell", input, state_pair(hx), (w_ih, w_hh, b_ih, b_hh))


def state_pair(hx):
    """An LSTM cell's states as a tuple; TypeError or RuntimeError if there are not two."""
    if not isinstance(hx, tuple | list):
        raise TypeError(
            "lstm_cell(): argument 'hx' (position 2) must be tuple of Tensors, not "
            f"{type(hx).__name__}"
        )
    if len(hx) != 2:
        raise RuntimeError("lstm_cell expects two hidden states")
    return tuple(hx)


def gru_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    """One step of a GRU: as :func:`lstm_cell`, with 3 H rows and one state, h."""
    return _cell("gru", "gru_cell", input, (hx,), (w_ih, w_hh, b_ih, b_hh))[0]


def rnn_tanh_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    """One step of an Elman network: as :func:`lstm_cell`, with H rows and one state, h."""
    return _cell("tanh", "rnn_tanh_cell", input, (hx,), (w_ih, w_hh, b_ih, b_hh))[0]


def rnn_relu_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    """`rnn_tanh_cell` with relu."""
    return _cell("relu", "rnn_relu_cell", input, (hx,), (w_ih, w_hh, b_ih, b_hh))[0]
