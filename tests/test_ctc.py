"""CTC against PyTorch in float64 and against the sum over all alignments."""

import itertools
import math

import numpy as np
import pytest

import fastdl

torch = pytest.importorskip("torch")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def compare(call, x, bound=1e-12):
    """The loss and its gradient in the scores x, by both libraries. The bound: some 100 sums of
    logarithms below 100."""
    found = []
    for t in (torch, fastdl):
        scores = t.tensor(x, requires_grad=True)
        loss = call(t, scores.log_softmax(-1))
        weights = t.arange(1, loss.numel() + 1, dtype=t.float64).reshape(loss.shape)
        grad = t.autograd.grad((loss * weights).sum(), scores)[0]
        found.append((loss.detach().numpy(), grad.detach().numpy()))
    for theirs, ours in zip(*found):
        assert theirs.shape == ours.shape
        np.testing.assert_allclose(ours, theirs, rtol=bound, atol=bound)


@pytest.mark.parametrize("blank", [0, 2, 5])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("in_a_row", [False, True])
def test_matches_torch(blank, reduction, in_a_row, rng):
    labels = np.array([c for c in range(6) if c != blank])
    steps, counts = [12, 9, 12, 3, 1], [5, 4, 0, 2, 1]
    targets = labels[rng.integers(0, 5, (5, 6))]
    targets[1, :4] = labels[0]  # repeated: blanks between are needed
    flat = np.concatenate([row[:n] for row, n in zip(targets, counts)])
    given = flat if in_a_row else targets

    def call(t, x):
        return t.nn.functional.ctc_loss(
            x, t.tensor(given), t.tensor(steps), t.tensor(counts), blank, reduction
        )

    compare(call, rng.standard_normal((12, 5, 6)))


def test_layer_unbatched_and_lengths_as_numbers(rng):
    def call(t, x):
        return t.nn.CTCLoss(blank=1, reduction="sum")(
            x, t.tensor([2, 0, 0]), t.tensor(7), t.tensor(3)
        )

    compare(call, rng.standard_normal((7, 4)))
    compare(
        lambda t, x: t.nn.CTCLoss()(x, t.tensor([[1, 2], [2, 2]]), (7, 6), (2, 1)),
        rng.standard_normal((7, 2, 4)),
    )


def test_too_long_labellings(rng):
    """Their loss is infinite, or 0 with a gradient of 0."""
    x = rng.standard_normal((3, 2, 4))

    def call(t, x, zero_infinity):
        return t.nn.functional.ctc_loss(
            x, t.tensor([[1, 1, 2], [1, 2, 3]]), (3, 3), (3, 3), 0, "none", zero_infinity
        )

    compare(lambda t, x: call(t, x, True), x)
    assert math.isinf(call(fastdl, fastdl.tensor(x).log_softmax(-1), False)[0].item())


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_against_all_alignments(steps, rng):
    """The sum over every path of 3 classes that spells the labelling."""
    x = fastdl.tensor(rng.standard_normal((steps, 1, 3))).log_softmax(-1)
    p = np.exp(x.numpy()[:, 0])
    total = {}
    for path in itertools.product(range(3), repeat=steps):
        spelled = tuple(c for c, _ in itertools.groupby(path) if c != 0)
        chance = math.prod(p[t, c] for t, c in enumerate(path))
        total[spelled] = total.get(spelled, 0) + chance
    for labels, chance in total.items():
        loss = fastdl.nn.functional.ctc_loss(
            x, fastdl.tensor([labels], dtype=fastdl.int64), [steps], [len(labels)], reduction="sum"
        )
        assert abs(loss.item() + math.log(chance)) < 1e-13 * steps * 10
    assert abs(sum(total.values()) - 1) < 1e-14


def test_long_sequences_do_not_underflow(rng):
    targets = rng.integers(1, 20, (2, 60))
    compare(
        lambda t, x: t.nn.functional.ctc_loss(x, t.tensor(targets), (400, 300), (60, 40)),
        3 * rng.standard_normal((400, 2, 20)),
        1e-10,
    )


def test_gradient_of_the_gradient_is_refused(rng):
    x = fastdl.tensor(rng.standard_normal((4, 1, 3)), requires_grad=True)
    loss = fastdl.nn.functional.ctc_loss(x.log_softmax(-1), fastdl.tensor([[1]]), [4], [1])
    (grad,) = fastdl.autograd.grad(loss, x, create_graph=True)
    with pytest.raises(RuntimeError, match="derivative of its gradient is not implemented"):
        grad.sum().backward()


REFUSED = {
    "blank": lambda t, F, x: F.ctc_loss(x, t.tensor([[1]]), [4], [1], blank=3),
    "inputs": lambda t, F, x: F.ctc_loss(x, t.tensor([[1]]), [4, 4], [1]),
    "counts": lambda t, F, x: F.ctc_loss(x, t.tensor([[1]]), [4], [1, 1]),
    "steps": lambda t, F, x: F.ctc_loss(x, t.tensor([[1]]), [5], [1]),
    "targets": lambda t, F, x: F.ctc_loss(x, t.tensor([[1]]), [4], [2]),
    "empty": lambda t, F, x: F.ctc_loss(x[:0], t.tensor([[1]]), [0], [1]),
    "reduction": lambda t, F, x: F.ctc_loss(x, t.tensor([[1]]), [4], [1], reduction="max"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_as_by_torch(name):
    x = np.log(np.full((4, 1, 3), 1 / 3))
    for t in (torch, fastdl):
        with pytest.raises((RuntimeError, ValueError)):
            REFUSED[name](t, t.nn.functional, t.tensor(x))
