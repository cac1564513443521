"""What is compared with NumPy: problems, each with fastdl's way and NumPy's.

`python -m fastdl bench` prints them, `bench/` times more of them, on the same definitions. Whatever
is called here is what every layer calls: the kernels at their defaults.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from fastdl import _baselines, _kernels, kernels
from fastdl._measure import Work, conv2d_work, gemm_work, pool2d_work, whole_cores
from fastdl._stopwatch import one_round, race
from fastdl.kernels.calling import conv2d_geometry, pool2d_geometry


class Case(NamedTuple):
    """One problem. `build` allocates its arrays and returns the contestants.

    They are callables without arguments by name: "fastdl", "numpy" and, where the usual formulation
    in NumPy is another one, "textbook". NumPy's time is that of the faster.
    """

    family: str
    name: str
    work: Work
    roof: str  # "compute": FLOP/s of FMA peak; "memory": bytes/s of copy bandwidth; "": neither
    terms: int  # the longest sum behind one value of the result: sets the tolerance
    build: Callable[[], dict]
    sides: tuple = ("fastdl", "numpy")


ALL_SIDES = ("fastdl", "numpy", "textbook")


def check(case, calls):
    """ValueError unless every contestant returns what "numpy" does, up to rounding.

    A float32 sum of t terms of random sign errs by about eps * sqrt(t) of the largest result; two
    such sums in different orders, and an algorithm that trades accuracy for speed, get a factor 8.
    """
    expected = arrays(calls["numpy"]())
    tolerance = 8 * np.finfo(np.float32).eps * math.sqrt(case.terms + 1)
    for name, call in calls.items():
        if name == "numpy":
            continue  # called once, like the others: an optimizer's step changes what it is given
        found = arrays(call())
        for a, b in zip(found, expected):
            scale = max(1e-30, float(np.abs(b).max(initial=0)))
            error = float(np.abs(a - b).max(initial=0)) / scale if a.shape == b.shape else math.inf
            if not error <= tolerance:
                raise ValueError(
                    f"{case.name}: {name} and numpy differ by {error:.1e}, allowed {tolerance:.1e}"
                )


def arrays(result):
    """A contestant's result as a tuple of NumPy arrays."""
    found = result if isinstance(result, tuple | list) else (result,)
    return tuple(np.asarray(value) for value in found)


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape, dtype=np.float32)


# ---- matrix products ----------------------------------------------------------------------------


def gemm(m, n, k):
    def build():
        a, b = normal(m, k), normal(k, n, seed=1)
        return {"fastdl": partial(kernels.gemm, a, b), "numpy": partial(np.matmul, a, b)}

    return Case("gemm", f"{m} x {n} x {k}", gemm_work(m, n, k), "compute", k, build)


# ---- convolution --------------------------------------------------------------------------------


def conv2d(label, shape, mode):
    """shape: (n, c, h, w, k, r, s, stride_h, stride_w, pad_h, pad_w, groups), square geometry.

    mode: "forward", "training" (y, dx, dw, db), "grad_input" or "grad_weight".
    """
    n, c, h, w, k, r, s, stride, _, padding, _, groups = shape
    x_shape, w_shape = (n, c, h, w), (k, c // groups, r, s)
    geometry = conv2d_geometry("conv2d", x_shape, w_shape, stride, padding, 1, groups)
    y_shape = (n, k, geometry[7], geometry[8])
    work = conv2d_work(x_shape, w_shape, y_shape)
    if mode == "training":
        work = Work(3 * work.flops, 3 * work.bytes)

    def build():
        x, filters, bias, dy = (
            normal(*x_shape),
            normal(*w_shape),
            normal(k),
            normal(*y_shape, seed=1),
        )
        if groups > 1:
            return depthwise(x, filters, bias, dy, geometry, mode)
        a = (stride, padding)
        ours = {
            "forward": partial(_kernels.conv2d, x, filters, bias, geometry),
            "grad_input": partial(_kernels.conv2d_grad_input, dy, filters, geometry),
            "grad_weight": partial(_kernels.conv2d_grad_weight, x, dy, geometry),
            "training": partial(conv2d_training, x, filters, bias, dy, geometry),
        }
        numpy = {
            "forward": partial(_baselines.conv2d, x, filters, bias, *a),
            "grad_input": partial(_baselines.conv2d_grad_input, dy, filters, x_shape, *a),
            "grad_weight": partial(_baselines.conv2d_grad_weight, x, dy, w_shape, *a),
            "training": partial(_baselines.conv2d_training, x, filters, bias, dy, *a),
        }
        calls = {"fastdl": ours[mode], "numpy": numpy[mode]}
        if mode == "forward":
            calls["textbook"] = partial(_baselines.conv2d_textbook, x, filters, bias, *a)
        return calls

    terms = max(w_shape[1] * r * s, n * y_shape[2] * y_shape[3] if mode != "forward" else 0)
    sides = ALL_SIDES if mode == "forward" and groups == 1 else ALL_SIDES[:2]
    return Case("conv", f"{label}, {mode}", work, "compute", terms, build, sides)


def conv2d_training(x, w, bias, dy, geometry):
    """y, dx, dw, db."""
    y = _kernels.conv2d(x, w, bias, geometry)
    dx = _kernels.conv2d_grad_input(dy, w, geometry)
    return y, dx, _kernels.conv2d_grad_weight(x, dy, geometry), _kernels.channel_sum(dy)


def depthwise(x, w, bias, dy, geometry, mode):
    """One filter a channel: in NumPy a sum over taps, no matrix product."""
    stride, padding = geometry[9], geometry[11]
    ours = {
        "forward": partial(_kernels.conv2d, x, w, bias, geometry),
        "training": partial(conv2d_training, x, w, bias, dy, geometry),
    }
    numpy = {
        "forward": partial(_baselines.depthwise, x, w, bias, stride, padding),
        "training": partial(_baselines.depthwise_training, x, w, bias, dy, stride, padding),
    }
    return {"fastdl": ours[mode], "numpy": numpy[mode]}


# ---- pooling ------------------------------------------------------------------------------------


def pool2d(label, shape, mode):
    """shape: (n, c, h, w, window, stride, padding, "max" or "avg"); mode as for `conv2d`."""
    n, c, h, w, window, stride, padding, kind = shape
    x_shape = (n, c, h, w)

    def build():
        x = normal(*x_shape)
        geometry = pool2d_geometry("pool2d", x, window, stride, padding, 1)
        dy = normal(n, c, geometry[3], geometry[4], seed=1)
        a = (window, stride, padding)
        if kind == "avg":
            ours = {
                "forward": partial(_kernels.avg_pool2d, x, geometry),
                "training": partial(avg_pool2d_training, x, dy, geometry),
            }
            numpy = {
                "forward": partial(_baselines.avg_pool2d, x, *a),
                "training": partial(_baselines.avg_pool2d_training, x, dy, *a),
            }
            textbook = partial(_baselines.avg_pool2d_textbook, x, *a)
        else:
            ours = {
                "forward": lambda: _kernels.max_pool2d(x, geometry)[0],
                "training": partial(max_pool2d_training, x, dy, geometry),
            }
            numpy = {
                "forward": partial(_baselines.max_pool2d, x, *a),
                "training": partial(_baselines.max_pool2d_training, x, dy, *a),
            }
            textbook = partial(_baselines.max_pool2d_textbook, x, *a)
        calls = {"fastdl": ours[mode], "numpy": numpy[mode]}
        if mode == "forward":
            calls["textbook"] = textbook
        return calls

    y_shape = (n, c, *((extent + 2 * padding - window) // stride + 1 for extent in (h, w)))
    work = pool2d_work(x_shape, y_shape, window**2, tap_bytes=1 if kind == "max" else 0)
    if mode == "training":
        work = Work(2 * work.flops, 2 * work.bytes)
    sides = ALL_SIDES if mode == "forward" else ALL_SIDES[:2]
    return Case("pool", f"{label}, {mode}", work, "memory", window**2, build, sides)


def max_pool2d_training(x, dy, geometry):
    """y, dx."""
    y, taps = _kernels.max_pool2d(x, geometry)
    return y, _kernels.max_pool2d_scatter(dy, taps, geometry)


def avg_pool2d_training(x, dy, geometry):
    """y, dx."""
    return _kernels.avg_pool2d(x, geometry), _kernels.avg_pool2d_backward(dy, geometry)


# ---- rows and optimizers ------------------------------------------------------------------------


def relu(*shape):
    def build():
        x = normal(*shape)
        return {"fastdl": partial(_kernels.MAPS["relu"], x), "numpy": partial(_baselines.relu, x)}

    size = math.prod(shape)
    name = f"relu, {'x'.join(map(str, shape))}"
    return Case("rows", name, Work(size, 8.0 * size), "memory", 1, build)


def softmax(rows, columns):
    def build():
        x = normal(rows, columns)
        return {"fastdl": partial(_kernels.softmax, x), "numpy": partial(_baselines.softmax, x)}

    size = rows * columns
    name = f"softmax, {rows} x {columns}"
    return Case("rows", name, Work(4.0 * size, 8.0 * size), "memory", columns, build)


def cross_entropy(rows, columns):
    """Loss and gradient in one pass."""

    def build():
        x, target = normal(rows, columns), np.random.default_rng(1).integers(0, columns, rows)
        return {
            "fastdl": partial(_kernels.cross_entropy, x, target),
            "numpy": partial(_baselines.cross_entropy, x, target),
        }

    size = rows * columns
    name = f"cross-entropy, {rows} x {columns}"
    return Case("rows", name, Work(5.0 * size, 8.0 * size), "memory", columns, build)


def sgd(size):
    """SGD with momentum on a few million values; each side has its own, which must agree."""

    def build():
        grad = normal(size, seed=1)
        states = [(normal(size), np.zeros(size, np.float32)) for _ in range(2)]
        (ours, buf), (theirs, their_buf) = states
        options = {
            "lr": 1e-3, "momentum": 0.9, "dampening": 0.0, "weight_decay": 0.0,
            "nesterov": False, "maximize": False,
        }  # fmt: skip

        def fastdl():
            _kernels.sgd_step([ours], [grad], [buf], **options)
            return ours

        def numpy():
            _baselines.sgd_step(theirs, grad, their_buf, 1e-3, 0.9)
            return theirs

        return {"fastdl": fastdl, "numpy": numpy}

    name = f"SGD momentum, {size // 10**6} M values"
    return Case("rows", name, Work(4.0 * size, 20.0 * size), "memory", 100, build)


def adam(size):
    """Adam on a few million values; each side has its own, which must agree."""

    def build():
        grad = normal(size, seed=1)
        ours, theirs = ([normal(size), *np.zeros((2, size), np.float32)] for _ in range(2))
        steps = {"fastdl": 0, "numpy": 0}
        options = {
            "lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0,
            "decoupled": False, "maximize": False,
        }  # fmt: skip

        def fastdl():
            steps["fastdl"] += 1
            p, m, v = ours
            _kernels.adam_step([p], [grad], [m], [v], steps=[steps["fastdl"]], **options)
            return p

        def numpy():
            steps["numpy"] += 1
            p, m, v = theirs
            _baselines.adam_step(p, grad, m, v, steps["numpy"], 1e-3, 0.9, 0.999, 1e-8)
            return p

        return {"fastdl": fastdl, "numpy": numpy}

    name = f"Adam, {size // 10**6} M values"
    return Case("rows", name, Work(13.0 * size, 28.0 * size), "memory", 100, build)


# ---- measuring one ------------------------------------------------------------------------------


def measure(case, machine, rounds=5, seconds=0.3):
    """Checks a case, then times fastdl against the faster of NumPy's formulations.

    `machine`: what `_measure.machine` returned. Returns a dict that JSON can hold: seconds per call
    of "fastdl" and "numpy", "formulation", "ratio", and where there is another, "textbook_ratio";
    "rate" (FLOP/s or bytes/s) and "of_roof", its share of the measured peak or bandwidth.
    """
    calls = case.build()
    check(case, calls)
    opponents = {name: call for name, call in calls.items() if name != "fastdl"}
    tried = {name: one_round(call, seconds / rounds, 3) for name, call in opponents.items()}
    formulation = min(tried, key=tried.get)
    times = race(
        {"fastdl": calls["fastdl"], "numpy": opponents[formulation]},
        rounds=rounds,
        seconds=seconds,
        ready=whole_cores,
    )
    ours, numpy = times["fastdl"], times["numpy"]
    row = {
        "family": case.family,
        "case": case.name,
        "fastdl": ours.best,
        "numpy": numpy.best,
        "fastdl_spread": ours.spread,
        "numpy_spread": numpy.spread,
        "formulation": formulation,
        "ratio": numpy.best / ours.best,
        "flops": case.work.flops,
        "bytes": case.work.bytes,
    }
    if "textbook" in tried:
        row["textbook_ratio"] = tried["textbook"] / ours.best
    if case.roof:
        compute = case.roof == "compute"
        row["roof"] = case.roof
        row["rate"] = (case.work.flops if compute else case.work.bytes) / ours.best
        row["of_roof"] = row["rate"] / machine["peak" if compute else "bandwidth"]
    return row


def geometric_mean(values):
    """The mean for ratios: 2 and 1/2 average to 1."""
    values = list(values)
    return math.exp(sum(map(math.log, values)) / len(values))
