"""Random programs of views, in-place operations and arithmetic, differentiated twice, as PyTorch's.

A program either gives PyTorch's values and gradients, or both refuse it.
"""

import random

import numpy as np
import pytest

import fastdl

PROGRAMS = 400
STEPS = [
    *("unary", "binary", "flat", "transpose", "part", "repeat", "sum", "cat", "mask", "expand"),
    *("clone", "detach", "inplace", "inplace_binary", "assign", "assign_number", "fresh"),
    *("unrecorded", "data"),
]
UNARY = [
    lambda t, x: t.sin(x),
    lambda t, x: t.exp(x),
    lambda t, x: t.tanh(x),
    lambda t, x: x * x,
    lambda t, x: x.abs(),
    lambda t, x: x * 2 + 1,
]
BINARY = [
    lambda t, x, y: x + y,
    lambda t, x, y: x * y,
    lambda t, x, y: x - y,
    lambda t, x, y: t.maximum(x, y),
]
PARTS = [lambda x: x[0], lambda x: x[..., 1:], lambda x: x[:1]]
INPLACE = [
    lambda x: x.exp_(),
    lambda x: x.sin_(),
    lambda x: x.mul_(2),
    lambda x: x.pow_(2),
    lambda x: x.zero_(),
    lambda x: x.clamp_(-1, 1),
    lambda x: x.neg_(),
]
INPLACE_BINARY = [lambda x, y: x.add_(y), lambda x, y: x.mul_(y), lambda x, y: x.copy_(y)]


def program(seed):
    """Steps (name, two operands and a choice, each as a number in [0, 1))."""
    draw = random.Random(seed)
    return [
        (draw.choice(STEPS), draw.random(), draw.random(), draw.random())
        for _ in range(draw.randint(3, 12))
    ]


def step(t, name, x, y, choose, u):
    """The tensor a step makes; None when it makes none."""
    if name in ("binary", "inplace_binary") and tuple(x.shape) != tuple(y.shape):
        return None
    match name:
        case "unary":
            return choose(UNARY)(t, x)
        case "binary":
            return choose(BINARY)(t, x, y)
        case "flat":
            return x.contiguous().view(-1)
        case "transpose":
            return x.t() if x.dim() == 2 else x
        case "part":
            return choose(PARTS)(x)
        case "repeat":
            return x[[0, 0]]
        case "sum":
            return x.sum(0)
        case "cat":
            return t.cat([x, x])
        case "mask":
            return x.masked_fill(x > 0.3, 0.5)
        case "expand":
            return x.unsqueeze(0).expand(2, *x.shape).sum(0)
        case "clone":
            return x.clone()
        case "detach":
            return x.detach()
        case "inplace":
            return choose(INPLACE)(x)
        case "inplace_binary":
            return choose(INPLACE_BINARY)(x, y)
        case "assign":
            x[0 if u < 0.5 else (..., 1)] = y.sum() * 0.1
        case "assign_number":
            x[..., 0] = 0.25
        case "fresh":
            made = t.zeros(tuple(x.shape), dtype=t.float64)
            made[...] = x
            return made
        case "unrecorded":
            with t.no_grad():
                x.mul_(1.5)
        case "data":
            x.data.mul_(0.5)
    return None


def run(t, steps):
    """(first and second order gradients, values of all tensors) as NumPy arrays."""
    leaves = [
        t.tensor([[0.5, -1.2, 2.0], [1.5, 0.3, -0.7]], dtype=t.float64, requires_grad=True),
        t.tensor([[1.0, 2.0, -0.5], [0.2, -0.9, 1.1]], dtype=t.float64, requires_grad=True),
    ]
    tensors = [*leaves, t.tensor([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]], dtype=t.float64)]
    for name, a, b, u in steps:
        x, y = (tensors[int(v * len(tensors))] for v in (a, b))
        made = step(t, name, x, y, lambda options, u=u: options[int(u * len(options))], u)
        if made is not None and made.dim() <= 2 and made.numel() <= 40:
            tensors.append(made)
    total = sum([(v * v * 0.3 + v).sum() for v in tensors], t.zeros((), dtype=t.float64))
    first = t.autograd.grad(total, leaves, create_graph=True, allow_unused=True)
    slopes = [g for g in first if g is not None]
    second = [None, None]
    if slopes:
        again = sum([(g * g).sum() for g in slopes])
        if again.requires_grad:
            again.backward()
            second = [x.grad for x in leaves]
    array = lambda v: np.zeros(()) if v is None else v.detach().numpy().copy()
    return [array(g) for g in (*first, *second)], [array(v) for v in tensors]


@pytest.mark.parametrize("block", range(8))
def test_random_programs(block):
    torch = pytest.importorskip("torch")
    agreed = 0
    for seed in range(block, PROGRAMS, 8):
        steps = program(seed)
        try:
            expected = run(torch, steps)
        except RuntimeError:
            with pytest.raises(RuntimeError):
                run(fastdl, steps)
            continue
        found = run(fastdl, steps)
        agreed += 1
        for ours, theirs in zip(found[0] + found[1], expected[0] + expected[1]):
            # Values grow to e^e^..: relative to the greatest, a few hundred roundings.
            scale = np.abs(theirs[np.isfinite(theirs)]).max(initial=1.0)
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12 * scale)
    assert agreed > PROGRAMS // 8 // 4
