"""Random graphs: programs of random operations, views, in-place changes and reuse, whose values and
gradients of first and second order are those of PyTorch in float64, and of finite differences.

A program is a list of steps, each four small numbers: the operation, two operands among the values
so far, and a parameter. What they mean depends on shapes alone, so both libraries run the same.
"""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import assume, given, settings

import fastdl
from fastdl.testing import gradcheck, gradgradcheck

# Leaves: shapes that broadcast with each other, and a matrix for products.
SHAPES = [(2, 3), (3,), (2, 1), (), (3, 3), (1, 2, 3)]

UNARY = [
    lambda t, x: x.sin(), lambda t, x: x.cos(), lambda t, x: x.tanh(), lambda t, x: x.sigmoid(),
    lambda t, x: (-x * x).exp(), lambda t, x: (x * x + 1).sqrt(), lambda t, x: (x * x + 1).log(),
    lambda t, x: 1 / (x * x + 1), lambda t, x: -x, lambda t, x: x * 0.5, lambda t, x: 1 - x,
    lambda t, x: x.atan(), lambda t, x: x.erf(), lambda t, x: t.nn.functional.softplus(x),
    lambda t, x: x.clone(), lambda t, x: t.nn.functional.gelu(x), lambda t, x: x / 3,
    lambda t, x: x.pow(2) * 0.1, lambda t, x: x.sin() ** 3,
]  # fmt: skip

BINARY = [
    lambda t, x, y: x + y, lambda t, x, y: x - y, lambda t, x, y: x * y,
    lambda t, x, y: x / (y * y + 1), lambda t, x, y: t.lerp(x, y.expand_as(x + y), 0.3),
    lambda t, x, y: t.addcmul(x, x, y, value=0.5), lambda t, x, y: t.atan2(x, y * y + 1),
    lambda t, x, y: t.where(x.detach() > 0, x, y), lambda t, x, y: t.logaddexp(x, y),
]  # fmt: skip


def shape_of(x):
    return tuple(x.shape)


def dims(x, k):
    return k % x.ndim if x.ndim else 0


REDUCTIONS = [
    lambda t, x, k: x.sum(), lambda t, x, k: x.mean(), lambda t, x, k: x.sum(dims(x, k)),
    lambda t, x, k: x.mean(dims(x, k), keepdim=True), lambda t, x, k: x.logsumexp(dims(x, k)),
    lambda t, x, k: x.cumsum(dims(x, k)), lambda t, x, k: t.softmax(x, dims(x, k)),
    lambda t, x, k: (x * 0.3).prod(), lambda t, x, k: (x * x + 0.1).norm(),
    lambda t, x, k: t.log_softmax(x, dims(x, k)),
]  # fmt: skip


def some_slice(x, k):
    """A basic index of `x`: None, ints and slices chosen by k."""
    parts = []
    for d in range(x.ndim):
        n = x.shape[d]
        choice = (k >> (2 * d)) % 4
        parts.append([slice(None), slice(k % n, None), slice(None, None, 2), k % n][choice])
    return (*parts, None) if k % 5 == 0 else tuple(parts)


VIEWS = [
    lambda t, x, k: x[some_slice(x, k)] if x.ndim else x.view(1),
    lambda t, x, k: x.transpose(0, -1) if x.ndim else x,
    lambda t, x, k: x.reshape(-1), lambda t, x, k: x.unsqueeze(k % (x.ndim + 1)),
    lambda t, x, k: x.squeeze(), lambda t, x, k: x.expand(2, *x.shape),
    lambda t, x, k: x.flatten(), lambda t, x, k: x.unbind(0)[k % x.shape[0]] if x.ndim else x,
    lambda t, x, k: x.permute(tuple(range(x.ndim))[::-1]), lambda t, x, k: x.reshape(*x.shape, 1),
    lambda t, x, k: x.narrow(0, k % x.shape[0], 1) if x.ndim else x,
]  # fmt: skip


def product(t, x, y):
    """x @ y where the shapes allow it, else x * y.sum()."""
    if x.ndim and y.ndim and x.shape[-1] == y.shape[-2 if y.ndim > 1 else -1]:
        return x @ y * 0.5
    return x * y.sum() * 0.1


MIXED = [
    product,
    lambda t, x, y: t.cat([x.reshape(-1), y.reshape(-1)]),
    lambda t, x, y: t.stack([x, x.sin(), x * 0.5], dim=-1),
    lambda t, x, y: t.outer(x.reshape(-1)[:3], y.reshape(-1)[:4]),
    lambda t, x, y: x.flip(0) if x.ndim else x,
    lambda t, x, y: x.reshape(-1)[t.tensor([0, -1, 0])],
    lambda t, x, y: x.reshape(-1).index_select(0, t.tensor([0, 0])),
    lambda t, x, y: x.masked_fill(x.detach() > 0.5, 0.25),
    lambda t, x, y: t.einsum("i,j->ij", x.reshape(-1)[:2], y.reshape(-1)[:2]),
    lambda t, x, y: t.tril(x) if x.ndim > 1 else x,
]  # fmt: skip


def fits(y, x):
    """Does y broadcast to the shape of x?"""
    try:
        return np.broadcast_shapes(shape_of(y), shape_of(x)) == shape_of(x)
    except ValueError:
        return False


def change(t, x, y, k):
    """Change x in place by y, in one of several ways."""
    y = y if fits(y, x) else y.mean()
    way = k % 8
    if way == 0:
        x.add_(y, alpha=0.5)
    elif way == 1:
        x.mul_(y)
    elif way == 2:
        x.sub_(y)
    elif way == 3:
        x.copy_(y)
    elif way == 4:
        x.tanh_()
    elif way == 5:
        x.div_(y * y + 1)
    elif way == 6 and x.ndim:
        x[k % x.shape[0]] = y.mean()
    else:
        x.zero_()


def broadcastable(x, y):
    try:
        return math.prod(np.broadcast_shapes(shape_of(x), shape_of(y))) <= 64
    except ValueError:
        return False


def run(t, program, leaves):
    """The values of the program after its last step."""
    values = list(leaves)
    for kind, a, b, k in program:
        x, y = values[a % len(values)], values[b % len(values)]
        if kind == 0:
            new = [UNARY[k % len(UNARY)](t, x)]
        elif kind == 1:
            new = [BINARY[k % len(BINARY)](t, x, y if broadcastable(x, y) else y.mean())]
        elif kind == 2:
            new = [REDUCTIONS[k % len(REDUCTIONS)](t, x, k)]
        elif kind == 3:
            new = [VIEWS[k % len(VIEWS)](t, x, k)]
        elif kind == 4:
            new = [MIXED[k % len(MIXED)](t, x, y)]
        elif kind == 5:  # a copy, changed through a view of it, both used on
            copy = x.clone()
            view = VIEWS[b % len(VIEWS)](t, copy, k)
            if writable(view):
                change(t, view, y, k)
            new = [copy, view]
        else:  # a value that others may have saved, or may look at
            if a % len(values) >= len(leaves) and writable(x):
                change(t, x, y, k)
            new = []
        values += [v for v in new if v.numel() and v.numel() <= 200]
    return values


def writable(x):
    """Is no element twice in the memory?"""
    return all(n == 1 or step for n, step in zip(x.shape, x.stride()))


def total(t, values):
    """A number that depends on all values, by different weights."""
    return sum((v * math.cos(i + 1)).sum() for i, v in enumerate(values))


def leaves_of(t, seed):
    rng = np.random.default_rng(seed)
    return [t.tensor(rng.uniform(-1, 1, s), dtype=t.float64, requires_grad=True) for s in SHAPES]


def derivatives(t, program, seed):
    """Values, first and second derivatives as arrays."""
    leaves = leaves_of(t, seed)
    values = run(t, program, leaves)
    first = t.autograd.grad(total(t, values), leaves, create_graph=True, materialize_grads=True)
    found = [*values, *first]
    again = total(t, [*first, leaves[0] * 0])  # the last: something that requires grad
    found += t.autograd.grad(again, leaves, materialize_grads=True)
    return [v.detach().numpy() for v in found]


def steps(kinds, most):
    small = st.integers(0, 40)
    return st.lists(st.tuples(st.sampled_from(kinds), small, small, small), min_size=1,
                    max_size=most)  # fmt: skip


REFUSALS = [
    "modified by an inplace operation",
    "refer to a single memory location",
    "leaf Variable that requires grad",
    "Output 0 of UnbindBackward0",
    "is a view and its base or another view",
    "is a view and is being modified inplace",
]


def overwritten(error):
    """Was it refused, rightly or not, because a saved value or a leaf was changed in place?"""
    return isinstance(error, RuntimeError) and any(words in str(error) for words in REFUSALS)


def agree(program, seed):
    """Compare the libraries; False when PyTorch refuses the program."""
    torch = pytest.importorskip("torch")
    try:
        expected = derivatives(torch, program, seed)
    except RuntimeError as error:
        if overwritten(error):
            return False
        raise
    try:
        found = derivatives(fastdl, program, seed)
    except RuntimeError as error:
        # Operands that overlap in part: PyTorch does not look closely enough to refuse them all.
        if "refer to a single memory location" in str(error):
            return False
        raise
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected):
        assert ours.shape == theirs.shape
        # Each step is a few float64 operations; what they cancel is of the size of the largest.
        scale = max(1.0, float(np.abs(theirs).max(initial=0.0)))
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-11 * scale)
    return True


@settings(max_examples=100, deadline=None, derandomize=True)
@given(steps(range(6), 12), st.integers(0, 3))
def test_random_graph_agrees_with_pytorch(program, seed):
    agree(program, seed)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(steps([0, 1, 3, 3, 5, 5, 6, 6], 10), st.integers(0, 3))
def test_random_changes_in_place_agree_with_pytorch(program, seed):
    """What PyTorch computes, fastdl computes; what it refuses may be refused."""
    assume(agree(program, seed))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(steps(range(6), 6), st.integers(0, 3))
def test_random_graph_has_the_gradients_of_finite_differences(program, seed):
    leaves = leaves_of(fastdl, seed)

    def function(*leaves):
        return total(fastdl, run(fastdl, program, leaves))

    # Tolerances: third derivatives of chains of six steps times eps**2 stay below 1e-5.
    assert gradcheck(function, leaves, fast_mode=True, atol=1e-4)
    assert gradgradcheck(function, leaves, fast_mode=True, atol=1e-4)


def test_the_instrument_sees_a_wrong_gradient(monkeypatch):
    class Wrong(fastdl.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return cosine(x - math.pi / 2)

        @staticmethod
        def backward(ctx, g):
            return g

    cosine = fastdl.cos
    monkeypatch.setattr(fastdl.Tensor, "sin", lambda self: Wrong.apply(self))
    with pytest.raises(AssertionError):
        agree([(0, 0, 0, 0)], 0)
