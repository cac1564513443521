"""The engine's short way through shape functions: the same views as PyTorch's, with the same
strides, histories and errors, whichever way a call takes.
"""

import itertools
import operator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import fastdl

SHAPES = [(), (1,), (5,), (3, 4), (1, 4), (2, 3, 4), (2, 1, 3, 1), (0, 3)]

CALLS = {
    "reshape": [(-1,), (4, 3), ((12,),), ([2, -1],), (2, 3, -1), ((),), (5, -1), (-1, -1), (0, -1)],
    "view": [(-1,), ((4, 3),), (6, -1), (-2,), (7,), (1, 1, -1)],
    "flatten": [(), (1,), (0, 1), (-2, -1), (1, 0), (0, 5)],
    "squeeze": [(), (0,), (1,), (-1,), ((0, 1),), (7,)],
    "unsqueeze": [(0,), (1,), (-1,), (3,), (9,), (-9,)],
    "expand": [(3, -1), ((2, 3, 4),), (5, 2, 1, 3, 1), (-1, 4), (4,), (-1, -1, -1), (2, 0)],
    "transpose": [(0, 1), (-1, 0), (1, 1), (2, 7)],
    "t": [()],
    "permute": [(1, 0), ((2, 0, 1),), (0, 0), (-1, 0, 1), ((0,),), (3, 1, 2, 0), ((),)],
    "narrow": [(0, 1, 1), (-1, -2, 2), (1, 0, 0), (0, 2, 9), (0, 0, -1)],
    "select": [(0, 0), (-1, -1), (1, 3), (0, 11), (5, 0)],
    "unbind": [(), (1,), (-1,), (8,)],
    "split": [(1,), (2, 1), (2, -1), ([1, 2],), ((3, 1), 1), (0,), (-1,), ([1, 1],)],
    "chunk": [(2,), (3, 1), (2, -1), (9, 0), (0,), (1, 5)],
}
NAMED = {
    "flatten": [{"start_dim": 1}, {"end_dim": 0}],
    "squeeze": [{"dim": 1}],
    "unsqueeze": [{"dim": -1}],
    "transpose": [{"dim0": 0, "dim1": -1}],
    "narrow": [{"dim": 0, "start": 0, "length": 1}],
    "select": [{"dim": 0, "index": 0}],
    "unbind": [{"dim": -1}],
    "chunk": [{"chunks": 2, "dim": -1}],
}


def layouts(shape):
    """Arrays of `shape`: in row-major order, in column-major order, every second element."""
    array = np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)
    spaced = np.zeros([2 * n for n in shape], np.float32)[
        (slice(None, None, 2),) * len(shape) + (...,)
    ]
    spaced[...] = array
    return array, np.array(array, order="F"), spaced


def outcome(function, *args, **named):
    """A result as a list of tensors, or the exception."""
    try:
        found = function(*args, **named)
    except Exception as error:
        return type(error)
    return list(found) if isinstance(found, tuple) else [found]


def agree(ours, theirs, what):
    if isinstance(theirs, type):
        assert issubclass(ours if isinstance(ours, type) else type(ours), theirs), what
        return
    assert isinstance(ours, list), (what, ours)
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs):
        assert a.shape == b.shape, what
        assert np.array_equal(a.detach().numpy(), b.detach().numpy()), what
        assert a.requires_grad == b.requires_grad, what
        assert a._is_view() == b._is_view(), what
        if b.numel() > 1:  # the strides of fewer elements mean nothing
            ours, theirs = ([s for s, n in zip(x.stride(), x.shape) if n > 1] for x in (a, b))
            assert ours == theirs, what


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("name", CALLS)
def test_views_are_those_of_pytorch(name, grad):
    calls = [(args, {}) for args in CALLS[name]] + [((), named) for named in NAMED.get(name, [])]
    for shape, (args, named) in itertools.product(SHAPES, calls):
        for array in layouts(shape):
            x, y = (module.from_numpy(array).requires_grad_(grad) for module in (fastdl, torch))
            what = (name, shape, array.strides, args, named)
            ours = outcome(getattr(x, name), *args, **named)
            theirs = outcome(getattr(y, name), *args, **named)
            agree(ours, theirs, what)
            if grad and isinstance(theirs, list) and theirs:
                for results in (ours, theirs):
                    sum((r * r).sum() for r in results).backward()
                assert np.array_equal(x.grad.numpy(), y.grad.numpy()), what


PART = st.one_of(
    st.integers(-4, 4),
    st.builds(
        slice,
        st.none() | st.integers(-6, 6),
        st.none() | st.integers(-6, 6),
        st.none() | st.integers(1, 3),
    ),
    st.none(),
    st.just(...),
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(SHAPES), st.integers(0, 2), st.lists(PART, max_size=5), st.booleans())
def test_subscripts_are_those_of_pytorch(shape, layout, index, alone):
    index = index[0] if alone and len(index) == 1 else tuple(index)
    if isinstance(index, tuple) and index.count(...) > 1:
        index = tuple(part for part in index if part is not ...)
    array = layouts(shape)[layout]
    x, y = (module.from_numpy(array).requires_grad_() for module in (fastdl, torch))
    ours, theirs = (outcome(operator.getitem, t, index) for t in (x, y))
    agree(ours, theirs, (shape, index))
    if isinstance(theirs, list):
        for results in (ours, theirs):
            (results[0] * 3).sum().backward()
        assert np.array_equal(x.grad.numpy(), y.grad.numpy())


def test_a_view_written_to_changes_its_base():
    x = fastdl.zeros(4, 6)
    x.view(2, 12)[1, 3:5].unsqueeze(0).t().add_(1)
    x.permute(1, 0)[0].fill_(2)
    x.unbind(1)[5].fill_(3)
    expected = np.zeros((4, 6), np.float32)
    expected[2, 3:5], expected[:, 0], expected[:, 5] = 1, 2, 3
    assert np.array_equal(x.numpy(), expected)


def test_recorded_views_follow_a_changed_base():
    grads = []
    for module in (fastdl, torch):
        leaf = module.ones(3, 4, requires_grad=True)
        x = leaf * 2
        row, flat = x[1], x.view(-1)
        flat.mul_(3)
        (row * row).sum().backward()
        grads.append(leaf.grad.numpy())
    assert np.array_equal(*grads)


def test_an_expanded_tensor_is_not_written():
    with pytest.raises(RuntimeError, match="single memory location"):
        fastdl.zeros(1, 3).expand(2, 3).add_(1)
    x = fastdl.zeros(2, 3)
    x.expand(2, 3).add_(1)  # nothing is repeated
    assert x.numpy().all()


def test_names_and_documentation_are_the_functions():
    assert fastdl.reshape.__name__ == "reshape"
    assert "-1" in fastdl.reshape.__doc__
    assert fastdl.Tensor.view is fastdl.Tensor.__dict__["view"]
