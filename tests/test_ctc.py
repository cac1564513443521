"""CTC against PyTorch in float64 and against the sum over all alignments."""

import itertools
import math

import numpy as np
import pytest

import fastdl
from fastdl import _kernels

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


@pytest.mark.parametrize("isa", _kernels.isa_available())
@pytest.mark.parametrize("labels", [0, 1, 7, 8, 15, 16, 17, 40])
def test_kernel_in_floats_and_doubles(isa, labels, rng):
    """Rows that fill no vector or several. Floats keep their digits over 300 steps, where the
    logarithms of probabilities pass -500: states are within some 128 of the greatest of their step,
    so that each step rounds by 2^-24 of that, and 300 of them by sqrt(300) times as much."""
    x = torch.tensor(2 * rng.standard_normal((300, 2, 6))).log_softmax(-1)
    targets = rng.integers(1, 6, (2, labels))
    steps, lengths = np.array([300, 2 * labels + 1]), np.array([labels, labels // 2])
    x.requires_grad_()
    expected = torch.nn.functional.ctc_loss(
        x, torch.tensor(targets), torch.tensor(steps), torch.tensor(lengths), reduction="none"
    )
    expected.sum().backward()
    for dtype, bound in (("float64", 1e-11), ("float32", 300**0.5 * 128 * 2**-24)):
        args = (x.detach().numpy().astype(dtype), targets, steps, lengths)
        loss, grad = _kernels.ctc_loss(*args, isa=isa)
        alone, none = _kernels.ctc_loss(*args, gradient=False, isa=isa)
        assert none is None
        assert (alone == loss).all()
        np.testing.assert_allclose(loss, expected.detach().numpy(), rtol=1e-6, atol=bound)
        np.testing.assert_allclose(grad, x.grad.numpy(), rtol=0, atol=bound)


def test_infinite_losses_and_nan(rng):
    """As in PyTorch the gradient of an infinite loss is NaN, up to the sequence's end; a NaN stays
    in its sequence."""
    x = rng.standard_normal((4, 3, 5))
    x[1, 2, 0] = np.nan
    args = (np.array([[1, 1, 1]] * 3), np.array([3, 4, 4]), np.array([3, 1, 1]))
    loss, grad = _kernels.ctc_loss(x, *args)
    assert math.isinf(loss[0])
    assert np.isnan(grad[:3, 0]).all()
    assert (grad[3, 0] == 0).all()
    assert np.isfinite(loss[1])
    assert np.isfinite(grad[:, 1]).all()
    assert np.isnan(loss[2])
    loss, grad = _kernels.ctc_loss(x, *args, zero_infinity=True)
    assert loss[0] == 0
    assert (grad[:, 0] == 0).all()


def test_impossible_classes_and_half_precision(rng):
    """Log probabilities of -inf; float16 in and out."""
    x = np.log(rng.dirichlet(np.ones(4), (6, 2)))
    x[2, :, 3] = -np.inf

    def call(t, x):
        return t.nn.functional.ctc_loss(x, t.tensor([[1, 2], [3, 3]]), (6, 6), (2, 2), 0, "none")

    found, expected = (call(t, t.tensor(x)).numpy() for t in (fastdl, torch))
    np.testing.assert_allclose(found, expected, rtol=1e-13)
    half = fastdl.tensor(x[:, :1]).half().requires_grad_()
    loss = fastdl.nn.functional.ctc_loss(half, fastdl.tensor([[1, 2]]), [6], [2])
    loss.backward()
    assert loss.dtype == half.grad.dtype == fastdl.float16


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"x": np.zeros((4, 2))}, ValueError, "x must be C-contiguous with 3 dimensions"),
        ({"x": np.zeros((4, 2, 3), "i8")}, TypeError, "x must be float32 or float64"),
        ({"targets": np.zeros((1, 2), "i8")}, ValueError, "targets must have shape"),
        ({"targets": np.zeros((2, 2), "i4")}, TypeError, "targets must be int64"),
        ({"targets": np.full((2, 2), 3)}, ValueError, r"targets must lie in \[0, 2\]"),
        ({"steps": np.array([4, 5])}, ValueError, r"steps must lie in \[0, 4\]"),
        ({"lengths": np.array([-1, 2])}, ValueError, r"lengths must lie in \[0, 2\]"),
        ({"lengths": np.array([2])}, ValueError, "lengths must have shape"),
        ({"blank": 3}, ValueError, "blank must lie in"),
    ],
)
def test_kernel_refuses(change, error, words):
    args = {"x": np.zeros((4, 2, 3)), "targets": np.zeros((2, 2), "i8")}
    args |= {"steps": np.array([4, 4]), "lengths": np.array([2, 2])}
    with pytest.raises(error, match=words):
        _kernels.ctc_loss(**{**args, **change})
