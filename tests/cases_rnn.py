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

CASES.append(
    Case(
        "ctc.ctc ctc.ctc_backward",
        lambda t, x: t.nn.functional.ctc_loss(
            x.log_softmax(-1), t.tensor([[1, 1], [2, 3]]), (6, 4), (2, 1), reduction="none"
        ),
        [normal(6, 2, 4)],
        order=1,
        exact=64 * 6,
        name="ctc_loss",
    )
)
