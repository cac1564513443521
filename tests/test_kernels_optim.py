"""Optimizer steps and clipping over lists of parameters: every tier and dtype against PyTorch.

A trajectory of 20 steps: PyTorch may fuse other pairs of operations, so each step may add two
roundings to a parameter of about 1, in all 40 eps; the state's relative error grows likewise.
"""

import math

import numpy as np
import pytest

from fastdl import _kernels
from fastdl._kernels import adam_step, clamp, isa_available, scale, sgd_step, sum_squares

each_tier = pytest.mark.parametrize("isa", isa_available())
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])

# Around every vector length, the chunk of 4096 values, nothing, a scalar
SIZES = (1, 2, 3, 4, 7, 8, 15, 16, 17, 33, 0, 1025, 4095, 4096, 4097, 9001)

# kernel: state lists, options, does it take steps?
KERNELS = {
    "sgd": ("sgd_step", 0, {"lr": 0.1, "weight_decay": 0.1}, True),
    "sgd momentum": (
        *("sgd_step", 1),
        {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1, "maximize": True},
        True,
    ),
    "sgd nesterov": ("sgd_step", 1, {"lr": 0.05, "momentum": 0.8, "nesterov": True}, True),
    "adam": ("adam_step", 2, {"lr": 0.01}, True),
    "adam l2": ("adam_step", 2, {"lr": 0.01, "weight_decay": 0.1, "maximize": True}, True),
    "adamw": ("adam_step", 2, {"lr": 0.01, "weight_decay": 0.1, "decoupled": True}, True),
    "amsgrad": ("adam_step", 3, {"lr": 0.01, "eps": 1e-6}, True),
    "adam, short memory": ("adam_step", 2, {"lr": 0.01, "beta1": 0.3, "beta2": 0.5}, True),
    "adam, no memory": ("adam_step", 2, {"lr": 0.01, "beta1": 0.0, "beta2": 0.0}, True),
    "radam": ("radam_step", 2, {"lr": 0.01, "weight_decay": 0.1}, True),
    "adamax": ("adamax_step", 2, {"lr": 0.01, "weight_decay": 0.1}, True),
    "rmsprop": ("rmsprop_step", 1, {"lr": 0.01, "weight_decay": 0.1}, False),
    "rmsprop centered": ("rmsprop_step", 3, {"lr": 0.01, "alpha": 0.9, "momentum": 0.5}, False),
    "adagrad": ("adagrad_step", 1, {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1}, True),
    "adadelta": ("adadelta_step", 2, {"lr": 0.5, "rho": 0.8, "eps": 1e-3}, False),
}


def lists_for(kernel, shapes, dtype, rng):
    """Parameters, gradients and states, the states positive."""
    _, states, _, _ = KERNELS[kernel]
    lists = [[rng.standard_normal(s).astype(dtype) for s in shapes] for _ in range(2)]
    lists += [[0.1 + rng.random(s).astype(dtype) for s in shapes] for _ in range(states)]
    if kernel.startswith("rmsprop centered"):  # the mean squared stays below the mean square
        for square, mean in zip(lists[2], lists[4], strict=True):
            square += mean * mean
    return lists


def call(kernel, lists, steps, **options):
    name, _, own, stepped = KERNELS[kernel]
    if stepped:
        options["steps"] = steps
    getattr(_kernels, name)(*lists, **own, **options)


@each_tier
@each_dtype
@pytest.mark.parametrize("kernel", KERNELS)
def test_many_are_as_one(kernel, isa, dtype):
    """A list gives the bits of one call per parameter, of one call per value, and nothing is
    written beside the arrays."""
    rng = np.random.default_rng(0)
    lists = lists_for(kernel, SIZES, dtype, rng)
    steps = [int(s) for s in rng.integers(1, 9, len(SIZES))]
    fenced = [[np.full(len(x) + 64, 7, dtype) for x in values] for values in lists]
    for values, memories in zip(lists, fenced, strict=True):
        for x, memory in zip(values, memories, strict=True):
            memory[32:-32] = x
    call(kernel, [[m[32:-32] for m in memories] for memories in fenced], steps, isa=isa)
    for memories in fenced:
        assert all((m[:32] == 7).all() and (m[-32:] == 7).all() for m in memories)
    for i, n in enumerate(SIZES):
        alone = [[values[i].copy()] for values in lists]
        call(kernel, alone, steps[i : i + 1], isa=isa)
        for memories, (x,) in zip(fenced, alone, strict=True):
            assert memories[i][32:-32].tobytes() == x.tobytes(), f"parameter {i} of {n} values"
        for j in range(0, n, max(1, n // 7)):
            value = [[values[i][j : j + 1].copy()] for values in lists]
            call(kernel, value, steps[i : i + 1], isa=isa)
            assert [v[0] for (v,) in value] == [x[j] for (x,) in alone]


TORCH = {
    "sgd": ("SGD", {}),
    "sgd momentum": ("SGD", {}),
    "sgd nesterov": ("SGD", {}),
    "adam": ("Adam", {"exp_avg": 2, "exp_avg_sq": 3}),
    "adam l2": ("Adam", {"exp_avg": 2, "exp_avg_sq": 3}),
    "adamw": ("AdamW", {"exp_avg": 2, "exp_avg_sq": 3}),
    "amsgrad": ("Adam", {"max_exp_avg_sq": 4}),
    "adam, short memory": ("Adam", {"exp_avg": 2, "exp_avg_sq": 3}),
    "adam, no memory": ("Adam", {}),
    "radam": ("RAdam", {"exp_avg": 2, "exp_avg_sq": 3}),
    "adamax": ("Adamax", {"exp_avg": 2, "exp_inf": 3}),
    "rmsprop": ("RMSprop", {"square_avg": 2}),
    "rmsprop centered": ("RMSprop", {"square_avg": 2, "momentum_buffer": 3, "grad_avg": 4}),
    "adagrad": ("Adagrad", {"sum": 2}),
    "adadelta": ("Adadelta", {"square_avg": 2, "acc_delta": 3}),
}


@each_tier
@each_dtype
@pytest.mark.parametrize("kernel", TORCH)
def test_trajectory_is_torchs(kernel, isa, dtype):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    name, entries = TORCH[kernel]
    options = dict(KERNELS[kernel][2])
    if options.pop("decoupled", False):
        assert name == "AdamW"
    if "beta1" in options:
        options["betas"] = options.pop("beta1"), options.pop("beta2")
    if kernel == "amsgrad":
        options["amsgrad"] = True
    if kernel == "rmsprop centered":
        options["centered"] = True
    lists = [[rng.standard_normal(37).astype(dtype)], [None]]
    lists += [[np.zeros(37, dtype)] for _ in range(KERNELS[kernel][1])]
    t = torch.tensor(lists[0][0].copy(), requires_grad=True)
    optimizer = getattr(torch.optim, name)([t], **options)
    for step in range(1, 21):
        lists[1][0] = rng.standard_normal(37).astype(dtype)
        t.grad = torch.tensor(lists[1][0])
        optimizer.step()
        call(kernel, lists, [step], isa=isa)
    eps = np.finfo(dtype).eps
    # RMSprop and Adagrad divide by roots that start near 0, which enlarges an error of the root
    bound = 400 * eps if name in ("RMSprop", "Adagrad", "Adadelta") else 40 * eps
    np.testing.assert_allclose(lists[0][0], t.detach(), rtol=bound, atol=bound)
    for entry, place in entries.items():
        theirs = optimizer.state[t][entry]
        np.testing.assert_allclose(lists[place][0], theirs, rtol=100 * eps, atol=10 * eps)


@each_tier
@each_dtype
def test_sgd_formula(isa, dtype):
    """Two steps with everything on, by hand: what PyTorch shows where it is there."""
    p, g = np.array([1.0, -2.0], dtype), np.array([0.5, 4.0], dtype)
    buf = np.zeros(2, dtype)
    options = {"lr": 0.5, "momentum": 0.25, "dampening": 0.5, "weight_decay": 0.125}
    sgd_step([p], [g], [buf], steps=[1], isa=isa, **options)
    np.testing.assert_array_equal(buf, [0.625, 3.75])
    np.testing.assert_array_equal(p, [0.6875, -3.875])
    sgd_step([p], [g], [buf], isa=isa, **options)  # b = b / 4 + (g + p / 8) / 2
    np.testing.assert_array_equal(buf, [0.44921875, 2.6953125])


@each_tier
def test_infinite_parameters_without_weight_decay(isa):
    """0 * inf must not enter where there is no weight decay."""
    p = np.array([np.inf, 1.0], np.float32)
    zero, g = np.zeros(2, np.float32), np.ones(2, np.float32)
    sgd_step([p], [g], lr=0.1, isa=isa)
    adam_step([p], [g], [zero.copy()], [zero.copy()], steps=[1], isa=isa)
    assert p[0] == np.inf


@each_tier
@each_dtype
def test_clipping(isa, dtype):
    """The sum of squares in blocks of at most 4096 values in the dtype, the blocks in double."""
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(n).astype(dtype) for n in SIZES]
    exact = sum(math.fsum(float(v) ** 2 for v in a) for a in arrays)
    bound = 64 * float(np.finfo(dtype).eps)  # 4096 values, in 4 VL partial sums of at most 512 each
    assert sum_squares(arrays, isa=isa) == pytest.approx(exact, rel=bound)
    scaled = [a.copy() for a in arrays]
    scale(scaled, 0.3, isa=isa)
    for a, b in zip(arrays, scaled, strict=True):
        np.testing.assert_array_equal(a * np.asarray(0.3, dtype), b)
    arrays[3][:] = np.nan, np.inf, -np.inf, 0.0
    bounded = [a.copy() for a in arrays]
    clamp(bounded, -0.5, 0.25, isa=isa)
    for a, b in zip(arrays, bounded, strict=True):
        np.testing.assert_array_equal(np.clip(a, -0.5, 0.25), b)


def test_nothing_to_do():
    sgd_step([], [], lr=1)
    adam_step([], [], [], [], steps=[])
    assert sum_squares([]) == 0
    scale([], 2.0)
    clamp([], 0, 1)


F4 = np.zeros((4, 6), np.float32)
FIXED = F4.copy()
FIXED.flags.writeable = False
BAD = {
    r"sgd_step: grads\[0\] must have shape": (ValueError, lambda: sgd_step([F4], [F4[:3]], lr=1)),
    r"sgd_step: grads must have one entry per parameter, 1": (
        ValueError,
        lambda: sgd_step([F4], [], lr=1),
    ),
    r"sgd_step: bufs\[1\] must be an aligned float32": (
        TypeError,
        lambda: sgd_step([F4, F4], [F4, F4], [F4, F4.astype("f8")], lr=1),
    ),
    r"sgd_step: params\[1\] must be float32 like the first": (
        TypeError,
        lambda: sgd_step([F4, F4.astype("f8")], [F4, F4.astype("f8")], lr=1),
    ),
    r"sgd_step: params\[0\] must be float32 or float64": (
        TypeError,
        lambda: sgd_step([F4.astype("f2")], [F4.astype("f2")], lr=1),
    ),
    r"sgd_step: params\[0\] must be C-contiguous": (
        ValueError,
        lambda: sgd_step([F4.T], [F4.T], lr=1),
    ),
    r"sgd_step: params\[0\] is updated in place": (
        ValueError,
        lambda: sgd_step([FIXED], [F4], lr=1),
    ),
    r"sgd_step: bufs\[0\] is updated in place": (
        ValueError,
        lambda: sgd_step([F4], [F4], [FIXED], lr=1),
    ),
    r"sgd_step: grads\[0\] must be an array, got int": (
        TypeError,
        lambda: sgd_step([F4], [3], lr=1),
    ),
    r"scale: arrays\[0\] must be an array, got str": (TypeError, lambda: scale(["x"], 1)),
    r"adam_step: exp_avgs\[0\] must be an array, got NoneType": (
        TypeError,
        lambda: adam_step([F4], [F4], [None], [F4], steps=[1]),
    ),
    r"adam_step: steps must be at least 1, got 0": (
        ValueError,
        lambda: adam_step([F4], [F4], [F4], [F4], steps=[0]),
    ),
    r"adam_step: steps must have one entry per parameter, 1, got 2": (
        ValueError,
        lambda: adam_step([F4], [F4], [F4], [F4], steps=[1, 1]),
    ),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_arguments(message):
    error, function = BAD[message]
    with pytest.raises(error, match=message):
        function()
