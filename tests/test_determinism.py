"""The same bits for any number of threads: every function of the backend, one row each.

A row gives the arguments of calls that are large enough for several threads (20 us of work each by
the kernels' own estimate; one too small for two threads fails). A call runs with 1, 2, 3 and 7
threads, and what it returns and what it changed in place must agree in every bit. A function of
`fastdl.backends.VOCABULARY` without a row fails, and so does a kernel with a `threads` argument
that no row reaches.
"""

import copy
import inspect

import numpy as np
import pytest

from fastdl import _kernels, backends
from fastdl.backends import cpu

THREADS = (1, 2, 3, 7)


class Inputs:
    """Arrays of one dtype: `x(3, 4)` normal, `x.positive(3, 4)`, `x.integers(10, 3, 4)` below 10.

    Different calls give different values, the same in every run.
    """

    def __init__(self, dtype):
        self.rng = np.random.default_rng(0)
        self.dtype = dtype

    def __call__(self, *shape):
        return self.rng.standard_normal(shape, np.float32).astype(self.dtype)

    def positive(self, *shape):
        return np.abs(self(*shape))

    def integers(self, below, *shape):
        return self.rng.integers(0, below, shape)


def conv(n, c, hw, k, kernel, stride=1, padding=0, groups=1):
    """Shapes of x, w and y and the geometry of a square convolution."""
    out = (hw + 2 * padding - kernel) // stride + 1
    geom = (n, c, hw, hw, k, kernel, kernel, out, out, stride, stride, padding, padding, 1, 1)
    return (n, c, hw, hw), (k, c // groups, kernel, kernel), (n, k, out, out), (*geom, groups)


CONVS = [
    conv(3, 64, 28, 64, 3, padding=1),
    conv(5, 64, 28, 96, 1),
    conv(3, 32, 29, 48, 3, stride=2, padding=1),
    conv(4, 3, 64, 32, 7, stride=2, padding=3),
    conv(64, 6, 14, 16, 5),
    conv(16, 192, 8, 96, 1),
    conv(3, 96, 40, 96, 3, padding=1, groups=96),
    conv(3, 128, 28, 128, 3, padding=1, groups=32),
]


def pool(planes, hw, kernel, stride, padding=0):
    """Shapes of x and y and the geometry of square pooling; padding is counted."""
    out = (hw + 2 * padding - kernel) // stride + 1
    sides = (kernel, kernel, stride, stride, padding, padding, 1, 1, padding, padding, 1, 0)
    return (planes, hw, hw), (planes, out, out), (planes, hw, hw, out, out, *sides)


POOLS = [
    pool(301, 56, 2, 2),
    pool(150, 57, 3, 2, 1),
    pool(100, 40, 3, 1, 1),
    pool(25003, 7, 7, 1),
    pool(2003, 9, 3, 2, 1),
]


def inside(x, y_shape, geom):
    """Random taps (positions in the window) below and right of the padding."""
    kh, kw, ph, pw = geom[5], geom[6], geom[9], geom[10]
    row, column = x.integers(kh - ph, *y_shape) + ph, x.integers(kw - pw, *y_shape) + pw
    return (row * kw + column).astype(np.uint8)


def heads(x):
    """The gradient of y, and q, k, v: few heads, so that the keys are cut for threads too."""
    return x(1, 4, 300, 32), x(1, 4, 300, 40), x(1, 2, 1100, 40), x(1, 2, 1100, 32)


def attended(x):
    """What stands for y and its log sum exp."""
    return x(1, 4, 300, 32), x.positive(1, 4, 300) + 5


def masked(x):
    """A mask, causal or not, and the scale."""
    return x.integers(3, 300, 1100) > 0, True, 0.2


def recurrent(steps):
    """Batch sizes: of 70 sequences, all of one length."""
    return np.full(steps, 70)


STEPS = [1, 2, 3, 4, 5, 9]
ADAM = {"lr": 0.1, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "weight_decay": 0.1}


def several(x, make=None):
    """Arrays as a model's parameters: of very different sizes."""
    return [(make or x)(n) for n in (1000003, 7, 300001, 4096, 100, 700001)]


def states(x, count):
    """Parameters, gradients and `count` states, which are positive."""
    return several(x), several(x), *[several(x, x.positive) for _ in range(count)]


REDUCTIONS = ("sum", "prod", "max", "min", "sum_abs", "sum_squares")

# What every function is called with: a list of argument tuples, a final dict being keywords.
ROWS = {
    "matmul": lambda x: [
        (x(300, 401), x(401, 500)),
        (x(5, 4001), x(4001, 900)),
        (x(1, 3000), x(3000, 1000)),
        (x(60, 50, 40), x(60, 40, 70)),
    ],
    "einsum": lambda x: [((x(9, 60, 70), x(9, 80, 60)), ("bik", "bji"), "bjk")],
    "linear": lambda x: [
        (x(200, 784), x(512, 784), x(512)),
        (x(8, 100, 256), x(300, 256), None),
        (x(200, 700), x(512, 700), x(512), "gelu", True),
    ],
    "attention": lambda x: [
        (*heads(x)[1:4], *masked(x)),
        (*heads(x)[1:4], *masked(x), 0.3, (1, 2)),
    ],
    "attention_backward": lambda x: [
        (*heads(x), masked(x)[0], *attended(x), *masked(x)[1:]),
        (*heads(x), masked(x)[0], *attended(x), *masked(x)[1:], 0.3, (1, 2)),
    ],
    "attention_factors": lambda x: [((1, 4, 70, 100), x(1).dtype, 0.3, (1, 2))],
    "recurrence": lambda x: [
        (
            x(700, 768),
            x(768, 192),
            None,
            x(70, 192),
            x(70, 192),
            "lstm",
            recurrent(10),
            False,
            True,
        ),
        (x(700, 576), x(576, 192), x(576), x(70, 192), None, "gru", recurrent(10), True, False),
        (x(700, 192), x(192, 192), None, x(70, 192), None, "tanh", recurrent(10), False, True),
    ],
    "recurrence_backward": lambda x: [
        (
            x(700, 192),
            None,
            None,
            x(768, 192),
            *[x(70, 192)] * 2,
            x(700, 192),
            x(700, 5, 192),
            "lstm",
            recurrent(10),
            False,
            True,
        ),
        (
            x(700, 192),
            None,
            None,
            x(576, 192),
            x(70, 192),
            None,
            x(700, 192),
            x(700, 4, 192),
            "gru",
            recurrent(10),
            True,
            False,
        ),
    ],
    "conv2d": lambda x: [(x(*a), x(*w), x(w[0]), g) for a, w, _, g in CONVS],
    "conv2d_grad_input": lambda x: [(x(*y), x(*w), g) for _, w, y, g in CONVS],
    "conv2d_grad_weight": lambda x: [(x(*a), x(*y), g) for a, _, y, g in CONVS],
    "channel_sum": lambda x: [(x(9, 64, 50, 50),), (x(30000, 40),), (x(1, 3, 900, 900),)],
    "max_pool2d": lambda x: [(x(*a), g) for a, _, g in POOLS],
    "max_pool2d_scatter": lambda x: [(x(*y), inside(x, y, g), g) for _, y, g in POOLS],
    "max_pool2d_gather": lambda x: [(x(*a), inside(x, y, g), g) for a, y, g in POOLS],
    "max_pool2d_positions": lambda x: [(inside(x, y, g), g) for _, y, g in POOLS],
    "avg_pool2d": lambda x: [(x(*a), g) for a, _, g in POOLS],
    "avg_pool2d_backward": lambda x: [(x(*y), g) for _, y, g in POOLS],
    "adaptive_max_pool2d": lambda x: [(x(150, 57, 56), 5, 6), (x(500, 7, 7), 20, 9)],
    "adaptive_avg_pool2d": lambda x: [(x(150, 57, 56), 5, 6), (x(500, 7, 7), 20, 9)],
    "adaptive_avg_pool2d_backward": lambda x: [(x(150, 5, 6), 57, 56), (x(500, 20, 9), 7, 7)],
    "plane_gather": lambda x: [(x(150, 3000), x.integers(3000, 150, 700))],
    "plane_scatter": lambda x: [
        (x(150, 700), x.integers(300, 150, 700), 300, True),
        (x(150, 700), x.integers(3000, 150, 700), 3000, False),
    ],
    "select": lambda x: [(x(1500007) > 0, x(1500007), x(1))],
    "masked_fill": lambda x: [(x(1500007), x(1500007) > 0, x(1))],
    "power": lambda x: [(x(1500007), 2), (x.positive(1500007), 0.5)],
    "softmax": lambda x: [(x(997, 1000), 1), (x(3, 300, 1000), 1), (x(20001, 9), 1)],
    "softmax_backward": lambda x: [(x(997, 1000), x(997, 1000), 1)],
    "log_softmax": lambda x: [(x(997, 1000), 1)],
    "log_softmax_backward": lambda x: [(x(997, 1000), x(997, 1000), 1)],
    "cross_entropy": lambda x: [
        (x(997, 1000), x.integers(1000, 997), -100, None, 0.0, 1.0),
        (x(997, 1000), x.integers(1000, 997), 3, x.positive(1000), 0.1, 0.01),
        (x(3, 21, 5000), x.integers(21, 3, 5000), 3, x.positive(21), 0.1, 0.01),
        (x(5001, 10), x.integers(10, 5001), 3, x.positive(10), 0.1, "mean"),
        (x(5001, 10), x.integers(10, 5001), 3, None, 0.0, 1.0, False),
    ],
    "soft_cross_entropy": lambda x: [(x(997, 1000), x.positive(997, 1000), None, 0.1, 0.01)],
    "nll": lambda x: [
        (x(30011, 10), x.integers(10, 30011), 3, x.positive(10), "mean"),
        (x(3, 7, 9001), x.integers(7, 3, 9001), 3, None, 1.0),
    ],
    "nll_backward": lambda x: [
        (x(997), x.integers(1000, 997), 1000, 3, None, 1.0),
        (x(), x.integers(21, 7, 5000), 21, 3, x.positive(21), "mean"),
    ],
    "ctc_loss": lambda x: [
        (
            x(60, 9, 30),
            x.integers(30, 9, 20),
            np.arange(52, 61),
            np.arange(20, 11, -1),
            3,
            False,
            gradient,
        )
        for gradient in (True, False)
    ],
    "map_sum": lambda x: [
        ("squared_error", x(1500007), x(1500007)),
        ("huber", x(1100, 1300).T, x(1100), {"factor": 0.1, "delta": 0.5}),
    ],
    "copy": lambda x: [
        (x(1500007),),
        (x(1101, 1203).T,),
        (x(40, 50, 60, 20).transpose(0, 2, 3, 1),),
        (x(1100, 1300)[:, ::-1],),
    ],
    "copy_into": lambda x: [(x(1101, 1203), x(1203, 1101).T)],
    "concatenate": lambda x: [
        ((x(500, 900), x(500, 333)), 1),
        ((x(500, 900), x(300, 900)), 0),
    ],
    "stack": lambda x: [((x(500, 900), x(500, 900)), 1), ((x(900, 700),) * 3, 0)],
    "pad": lambda x: [
        (x(40, 50, 56, 20), ((0, 0), (1, 0), (1, 1), (2, 3)), 0.5),
        (x(1101, 1203).T, ((3, -2), (-1, 1)), 0.0),
    ],
    "gather": lambda x: [
        (x(900, 700), x.integers(900, 900, 700), 0),
        (x(900, 700), x.integers(700, 800, 900), 1),
    ],
    "scatter_add": lambda x: [(x(900, 700), x.integers(800, 900, 700), (800, 700), 0)],
    "within": lambda x: [(x.integers(700, 800, 900), 0, 700)],
    "fill": lambda x: [(x(1500007), 0.5), (x(1100, 1300)[:, ::2], 2.0)],
    "logsumexp": lambda x: [
        (x(1100, 1300), (1,), False),
        (x(1100, 1300), (0, 1), True),
    ],
    "reduce": lambda x: [
        *((x(1100, 1300), op, (0,), False) for op in REDUCTIONS),
        *((x(1100, 1300), op, (1,), False) for op in REDUCTIONS),
        (x(3000007), "sum", (0,), False),
        (x(300000, 10), "sum", (0,), False, True),
        (x(9, 64, 50, 50), "sum", (0, 2, 3), True),
        (x(300000, 5), "max", (1,), False),
    ],
    "extreme": lambda x: [
        *((x(1100, 1300), op, dim, True) for op in ("max", "min") for dim in (0, 1, None)),
        (x(300000, 5), "max", 0, False),
    ],
    "variance": lambda x: [
        (x(1100, 1300), (0,), 1, False),
        (x(1100, 1300), (1,), 0, False),
        (x(1100, 1300), (0, 1), 1, False),
        (x(9, 64, 50, 50), (0, 2, 3), 1, True),
    ],
    "scan": lambda x: [(x(1100, 1300), 0), (x(1101, 1300), 1), (x(9, 70, 800), 1, True)],
    "random_uniform": lambda x: [(x(1000003), 1, 2, -1.0, 3.0)],
    "random_normal": lambda x: [(x(500003), 1, 2, -1.0, 3.0)],
    "random_exponential": lambda x: [(x(500003), 1, 2, 3.0)],
    "random_bernoulli": lambda x: [(x(1000003), 1, 2, 0.3)],
    "random_integers": lambda x: [
        (x.integers(1, 1000003), 1, 2, -5, 1000),
        (x.integers(1, 1000003), 1, 2, 0, 1 << 40),
    ],
    "random_permutation": lambda x: [(x.integers(1, 1003), 1, 2)],
    "dropout": lambda x: [(x(1000003), 1, 2, 0.3)],
    "batch_norm": lambda x: [
        (x(16, 64, 30, 30), x(64), x(64), 1e-5, x(2, 64)),
        (x(16, 3, 99, 99), x(3), x(3), 1e-5, x(2, 3)),
        (x(3000, 100), x(100), x(100), 1e-5, x(2, 100)),
    ],
    "batch_norm_fixed": lambda x: [(x(16, 64, 30, 30), x(64), x.positive(64), x(64), x(64), 1e-5)],
    "batch_norm_backward": lambda x: [
        (x(16, 64, 30, 30), x(16, 64, 30, 30), x(64), 1e-5, x.positive(2, 64)),
        (x(16, 3, 99, 99), x(16, 3, 99, 99), x(3), 1e-5, x.positive(2, 3)),
        (x(3000, 100), x(3000, 100), x(100), 1e-5, x.positive(2, 100)),
    ],
    "row_norm": lambda x: [
        (x(997, 500), x(500), x(500), (997, 1, 500, 1), 1e-5, True, x(2, 997)),
        (x(16, 64, 30, 30), x(64), x(64), (16, 32, 2, 900), 1e-5, True, x(2, 512)),
    ],
    "row_norm_backward": lambda x: [
        (x(s), x(s), x(c), shape, 1e-5, True, x.positive(2, rows))
        for s, c, shape, rows in (
            (997 * 500, 500, (997, 1, 500, 1), 997),
            (16 * 64 * 900, 64, (16, 32, 2, 900), 512),
        )
    ],
    "gather_rows": lambda x: [(x(500, 256), x.integers(500, 3001), False)],
    "scatter_rows": lambda x: [
        (x(3001, 256), x.integers(500, 3001), 500),
        (x(300, 40), x.integers(7, 300), 30000),
    ],
    "sgd_step": lambda x: [
        (
            *states(x, 1),
            {"steps": STEPS, "lr": 0.1, "momentum": 0.9, "dampening": 0.1, "weight_decay": 0.1}
            | {"nesterov": False, "maximize": False},
        )
    ],
    "adam_step": lambda x: [(*states(x, 3), {"steps": STEPS} | ADAM | {"decoupled": False})],
    "nadam_step": lambda x: [
        (*states(x, 2), {"steps": STEPS, "mu_products": [0.8] * 6, "momentum_decay": 0.01} | ADAM)
    ],
    "radam_step": lambda x: [(*states(x, 2), {"steps": STEPS} | ADAM)],
    "adamax_step": lambda x: [(*states(x, 2), {"steps": STEPS} | ADAM)],
    "rmsprop_step": lambda x: [
        (*states(x, 1), None, None, {"lr": 0.1, "alpha": 0.9}),
        (*states(x, 3), {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1}),
    ],
    "adagrad_step": lambda x: [(*states(x, 1), {"steps": STEPS, "lr": 0.1, "lr_decay": 0.1})],
    "adadelta_step": lambda x: [(*states(x, 2), {"lr": 0.1, "weight_decay": 0.1})],
    "sum_squares": lambda x: [(several(x),)],
    "scale": lambda x: [(several(x), 0.3)],
    "clamp": lambda x: [(several(x), -0.5, 0.3)],
}


class Door:
    """`fastdl._kernels` with a fixed number of threads, noting which kernels were called."""

    def __init__(self, threads):
        self.threads = threads
        self.called = set()

    def __getattr__(self, name):
        function = getattr(_kernels, name)
        if name == "MAPS":
            return {key: self.counting(key, kernel) for key, kernel in function.items()}
        return self.counting(name, function) if has_threads(function) else function

    def counting(self, name, function):
        def call(*args, **options):
            self.called.add(name)
            return function(*args, **{**options, "threads": self.threads})

        if isinstance(function, _kernels.Map):
            call.sum = self.counting("sum", function.sum)
        return call


def has_threads(function):
    try:
        return "threads" in inspect.signature(function).parameters
    except (TypeError, ValueError):  # no function
        return False


def values_in(value):
    """Every array and float in nested tuples and lists."""
    if isinstance(value, (np.ndarray, float)):
        return [np.asarray(value)]
    return [a for v in value for a in values_in(v)] if isinstance(value, (tuple, list)) else []


def run(name, case, threads, monkeypatch):
    """What the call returned and left in its arguments; the threads it used; the kernels."""
    door = Door(threads)
    monkeypatch.setattr(cpu, "_kernels", door)
    args = copy.deepcopy(case)
    options = args[-1] if isinstance(args[-1], dict) else {}
    positional = args[:-1] if options else args
    _kernels.planned_threads()
    result = getattr(cpu, name)(*positional, **options)
    return values_in((result, args)), _kernels.planned_threads(), door.called


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ROWS)
def test_threads_do_not_change_the_bits(name, dtype, monkeypatch):
    for i, case in enumerate(ROWS[name](Inputs(dtype))):
        expected, _, _ = run(name, case, 1, monkeypatch)
        assert expected, "a row compares something"
        for threads in THREADS[1:]:
            found, used, called = run(name, case, threads, monkeypatch)
            assert len(found) == len(expected)
            for a, b in zip(found, expected, strict=True):
                assert a.shape == b.shape
                assert a.tobytes() == b.tobytes(), f"case {i}: {threads} threads, other bits"
            if called and _kernels.has_openmp():
                assert used > 1, f"case {i} is too small for more than one thread"


def test_every_function_has_a_row():
    assert set(ROWS) == set(backends.VOCABULARY)


def test_every_kernel_is_reached(monkeypatch):
    reached = set()
    for name, row in ROWS.items():
        for case in row(Inputs("float32")):
            reached |= run(name, case, 1, monkeypatch)[2]
    kernels = {n for n in dir(_kernels) if n[0] != "_" and has_threads(getattr(_kernels, n))}
    assert kernels - reached - {"fma_peak"} == set()
