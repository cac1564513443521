"""The recurrence kernels against their definition in NumPy, float64, on every instruction set."""

import numpy as np
import pytest

from fastdl._kernels import (
    RECURRENT_CELLS,
    isa_available,
    recurrence,
    recurrence_backward,
)

GATES = {"tanh": 1, "relu": 1, "lstm": 4, "gru": 3}
# size of the state, batch sizes: units that fill no vector or several, blocks of sequences that end
# at different steps, one sequence, none at the end
PROBLEMS = [
    (1, [1]),
    (3, [2, 2, 1]),
    (16, [5, 5, 5, 5]),
    (37, [40, 33, 17, 16, 3, 0]),
    (130, [19] * 4),
    (70, [9]),
]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def steps_of(sizes, reverse):
    """The rows of each step, in the order of the steps."""
    steps = [slice(end - n, end) for end, n in zip(np.cumsum(sizes), sizes)]
    return steps[::-1] if reverse else steps


def forward(a, w, b, h, c, cell, sizes, reverse):
    """All states, the last ones and the last c: the definition."""
    h, size = h.copy(), h.shape[1]
    c = None if c is None else c.copy()
    y = np.empty((len(a), size))
    for rows in steps_of(sizes, reverse):
        n, count = rows.stop - rows.start, len(w) // size
        x, r = (z.reshape(n, count, size) for z in (a[rows], h[:n] @ w.T + b))
        if cell == "gru":
            gate = sigmoid(x[:, :2] + r[:, :2])
            new = np.tanh(x[:, 2] + gate[:, 0] * r[:, 2])
            h[:n] = (1 - gate[:, 1]) * new + gate[:, 1] * h[:n]
        elif cell == "lstm":
            i, f, g, o = (x + r).swapaxes(0, 1)
            c[:n] = sigmoid(f) * c[:n] + sigmoid(i) * np.tanh(g)
            h[:n] = sigmoid(o) * np.tanh(c[:n])
        else:
            x = x[:, 0] + r[:, 0]
            h[:n] = np.tanh(x) if cell == "tanh" else np.maximum(x, 0)
        y[rows] = h[:n]
    return y, h, c


def problem(cell, size, sizes, dtype):
    rng = np.random.default_rng(size)
    rows, n, width = sum(sizes), sizes[0], GATES[cell] * size

    def make(*shape):
        # weights as layers begin with, so that states neither vanish nor grow
        x = rng.standard_normal(shape) if shape[-1] != size else rng.uniform(-1, 1, shape)
        return x.astype(dtype).astype("f8")

    w = (rng.uniform(-1, 1, (width, size)) / np.sqrt(size)).astype(dtype).astype("f8")
    c = make(n, size) if cell == "lstm" else None
    return make(rows, width), w, make(width), make(n, size), c


def cast(arrays, dtype):
    return [None if x is None else x.astype(dtype) for x in arrays]


@pytest.mark.parametrize("isa", isa_available())
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("cell", RECURRENT_CELLS)
@pytest.mark.parametrize("reverse", [False, True])
def test_against_the_definition(isa, dtype, cell, reverse):
    rng = np.random.default_rng(0)
    for size, sizes in PROBLEMS:
        operands = problem(cell, size, sizes, dtype)
        wanted = forward(*operands, cell, sizes, reverse)
        a, w, b, h, c = cast(operands, dtype)
        found = recurrence(a, w, b, h, c, cell, sizes, reverse, isa=isa)
        # a step's rounding: a sum of `size` + 3 terms below 1 each and some functions of 3 ulp;
        # the next steps carry it on, none magnifies it by more than 2
        bound = 2 * len(sizes) * (size + 16) * np.finfo(dtype).eps
        y, last, _, *c_last = found
        np.testing.assert_allclose(y, wanted[0], rtol=bound, atol=bound)
        np.testing.assert_allclose(last, wanted[1], rtol=bound, atol=bound)
        if c is not None:
            np.testing.assert_allclose(c_last[0], wanted[2], rtol=bound, atol=bound)
        unrecorded = recurrence(a, w, b, h, c, cell, sizes, reverse, False, isa=isa)
        assert unrecorded[0].tobytes() == y.tobytes()

        if dtype == "f8":
            check_slopes(rng, operands, found, cell, sizes, reverse, isa)


def check_slopes(rng, operands, found, cell, sizes, reverse, isa):
    """The derivative along a random direction against central differences."""
    _, w, _, h, c = operands
    y, _, gates, *_ = found
    gy, gh, gc = (rng.standard_normal(x.shape) for x in (y, h, h))
    gc = gc if cell == "lstm" else None
    da, dr, db, dh, before, *dc = recurrence_backward(
        gy, gh, gc, w, h, c, y, gates, cell, sizes, reverse, isa=isa
    )
    slopes = [da, dr.T @ before, db, dh, *dc]
    given = [x for x in operands if x is not None]
    step = [rng.standard_normal(x.shape) for x in given]

    def value(t):
        moved = [x + t * d for x, d in zip(given, step)]
        moved = [*moved, None] if c is None else moved
        y, h_last, c_last = forward(*moved, cell, sizes, reverse)
        return (y * gy).sum() + (h_last * gh).sum() + (0 if c is None else (c_last * gc).sum())

    along = sum((s * d).sum() for s, d in zip(slopes, step))
    t = 1e-6
    scale = sum(np.abs(s * d).sum() for s, d in zip(slopes, step)) + 1
    # differences: t^2 times a third derivative, and rounding over t
    assert abs((value(t) - value(-t)) / (2 * t) - along) < 1e-6 * scale


@pytest.mark.parametrize("sizes", [[12, 12, 9], [6]])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_threads_that_share_a_step_change_no_bits(cell, sizes):
    """Few sequences are one block: threads divide the weights, packed or, for few rows, not."""
    a, w, b, h, c = problem(cell, 400, sizes, "f4")
    results = []
    for threads in (1, 2, 3, 7):
        y, last, gates, *_ = recurrence(a, w, b, h, c, cell, sizes, threads=threads)
        slopes = recurrence_backward(y, last, None, w, h, c, y, gates, cell, sizes, threads=threads)
        results.append([x.tobytes() for x in (y, last, *slopes)])
    assert all(found == results[0] for found in results)


def test_missing_gradients_count_as_zeros():
    a, w, b, h, c = problem("lstm", 3, [2, 2, 1], "f8")
    y, _, gates, _ = recurrence(a, w, b, h, c, "lstm", [2, 2, 1])
    zeros = np.zeros_like(h)
    args = (w, h, c, y, gates, "lstm", [2, 2, 1])
    some = recurrence_backward(None, h, None, *args)
    same = recurrence_backward(np.zeros_like(y), h, zeros, *args)
    assert all(np.array_equal(p, q) for p, q in zip(some, same, strict=True))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("cell", RECURRENT_CELLS)
def test_without_the_gradient_of_the_states_the_others_keep_their_bits(cell, reverse):
    a, w, b, h, c = problem(cell, 20, [18, 18, 7], "f4")
    y, last, gates, *_ = recurrence(a, w, b, h, c, cell, [18, 18, 7], reverse)
    args = (y, last, None, w, h, c, y, gates, cell, [18, 18, 7], reverse)
    whole, rest = recurrence_backward(*args), recurrence_backward(*args, False)
    assert rest[3].shape == (0, 20)
    for i in {*range(len(whole))} - {3}:
        assert whole[i].tobytes() == rest[i].tobytes()


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"cell": "elman"}, ValueError, "unknown variant 'elman'"),
        ({"sizes": [1, 2]}, ValueError, "sizes must be a vector of falling numbers"),
        ({"sizes": [3]}, ValueError, "sizes must be"),
        ({"sizes": [2]}, ValueError, "a must be C-contiguous of shape"),
        ({"c": None}, TypeError, "c must be a NumPy array"),
        ({"cell": "gru"}, ValueError, "w must be"),
        ({"w": np.zeros((12, 3), "f4")}, TypeError, "w must be an aligned float64 array"),
        ({"b": np.zeros(3)}, ValueError, "b must be"),
        ({"h": np.zeros((2, 3), "i8")}, TypeError, "h must be float32 or float64"),
    ],
)
def test_refused(change, error, words):
    a, w, b, h, c = problem("lstm", 3, [2, 1], "f8")
    args = {"a": a, "w": w, "b": b, "h": h, "c": c, "cell": "lstm", "sizes": [2, 1]}
    with pytest.raises(error, match=words):
        recurrence(**{**args, **change})
