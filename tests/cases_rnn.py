"""Rows of the table (see op_cases.py) for recurrences over time: through layers of both libraries
whose parameters are the inputs."""

from op_cases import Case, normal

CASES: list[Case] = []


def functional(t, name, options, weights, x, *states):
    """The layer called with these parameters."""
    layer = getattr(t.nn, name)(3, 3, **options).to(x.dtype)
    names = [n for n, _ in layer.named_parameters()]
    hx = () if not states else (states if name == "LSTM" else states[0],)
    y, last = t.func.functional_call(layer, dict(zip(names, weights)), (x, *hx))
    parts = [y, *(last if name == "LSTM" else (last,))]
    return t.cat([p.flatten() for p in parts])


def rows_of(name, gates, **options):
    weights = [normal(gates * 3, 3), normal(gates * 3, 3), normal(gates * 3), normal(gates * 3)]
    states = [normal(1, 2, 3)] * (2 if name == "LSTM" else 1)
    label = "-".join([name.lower(), *map(str, options.values())])
    return Case(
        "rnn.recurrence rnn.recurrence_backward",
        lambda t, x, *rest: functional(t, name, options, rest[:4], x, *rest[4:]),
        [normal(4, 2, 3), *weights, *states],
        exact=64 * 16,  # 4 steps, each the longest sum again
        name=f"recurrence-{label}",
    )


CASES += [
    rows_of("RNN", 1),
    rows_of("LSTM", 4),
    rows_of("GRU", 3),
]


def flat(t, results):
    """Everything in one tensor."""
    return t.cat([y.flatten() for y in results])


def stacked(name, gates, packed, batch_first=False, bidirectional=False):
    """`torch.lstm` and its like: two layers, padded and packed form."""
    directions, pair = 1 + bidirectional, name == "lstm"
    widths = [3] * directions + [2 * directions] * directions
    params = [
        spec
        for width in widths
        for spec in (normal(gates * 2, width), normal(gates * 2, 2), *[normal(gates * 2)] * 2)
    ]
    states = [normal(2 * directions, 2, 2)] * (1 + pair)

    def run(t, x, *rest):
        hx = tuple(rest[:2]) if pair else rest[0]
        params = list(rest[1 + pair :])
        sizes = [t.tensor([2, 2, 1])] if packed else []
        last = [] if packed else [batch_first]
        options = [True, 2, 0.5, False, bidirectional, *last]
        return flat(t, getattr(t, name)(x, *sizes, hx, params, *options))

    refused = [
        (lambda t: getattr(t, name)(), TypeError),
        (lambda t: getattr(t, name)(t.ones(3, 2, 4)), TypeError),
    ]
    return Case(
        "rnn.recurrence rnn.recurrence_backward",
        run,
        [
            normal(*((5, 3) if packed else (2, 3, 3) if batch_first else (3, 2, 3))),
            *states,
            *params,
        ],
        exact=64 * 16,
        bad=refused,
        name=f"torch-{name}-{'packed' if packed else 'padded'}",
    )


def one_step(name, gates):
    """`torch.lstm_cell` and its like, with biases and without."""
    pair = name == "lstm_cell"

    def run(t, x, h, c, *weights):
        results = getattr(t, name)(x, (h, c) if pair else h, *weights)
        bare = getattr(t, name)(input=x, hx=(h, c) if pair else h, w_ih=weights[0], w_hh=weights[1])
        return flat(t, [*results, *bare] if pair else [results, bare])

    sizes = (gates * 2, 3), (gates * 2, 2), (gates * 2,), (gates * 2,)
    x, h, w, v = ((2, 3), (2, 2), *sizes[:2])
    call = lambda t, *shapes: getattr(t, name)(
        t.ones(shapes[0]),
        (t.ones(shapes[1]),) * 2 if pair else t.ones(shapes[1]),
        *map(t.ones, shapes[2:]),
    )
    return Case(
        "rnn.recurrence rnn.recurrence_backward",
        run,
        [normal(*shape) for shape in ((3, 3), (3, 2), (3, 2), *sizes)],
        exact=64 * 4,
        bad=[
            (lambda t: call(t, (2, 4), h, w, v), RuntimeError),
            (lambda t: call(t, x, (3, 2), w, v), RuntimeError),
            (lambda t: call(t, x, (2, 3), w, v), RuntimeError),
            (lambda t: call(t, x, h, (gates * 2 - 1, 3), v), RuntimeError),
            (lambda t: call(t, x, h, w, (gates * 2 + 1, 2)), RuntimeError),
        ],
        name=f"torch-{name}",
    )


CASES += [
    stacked("lstm", 4, False, bidirectional=True),
    stacked("lstm", 4, True),
    stacked("gru", 3, False, batch_first=True),
    stacked("gru", 3, True, bidirectional=True),
    stacked("rnn_tanh", 1, False),
    stacked("rnn_tanh", 1, True),
    stacked("rnn_relu", 1, False, batch_first=True),
    stacked("rnn_relu", 1, True),
    one_step("lstm_cell", 4),
    one_step("gru_cell", 3),
    one_step("rnn_tanh_cell", 1),
    one_step("rnn_relu_cell", 1),
]

CASES.append(
    Case(
        "ctc.ctc",
        lambda t, x: t.nn.functional.ctc_loss(
            x.log_softmax(-1), t.tensor([[1, 1], [2, 3]]), (6, 4), (2, 1), reduction="none"
        ),
        [normal(6, 2, 4)],
        order=1,
        exact=64 * 6,
        name="ctc_loss",
    )
)
