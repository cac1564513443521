"""The autograd engine: graph, walk, freeing, versions, hooks, modes, Function."""

import copy
import gc
import pickle
import threading
import tracemalloc
import warnings
import weakref

import numpy as np
import pytest

import fastdl
from fastdl._engine import Primitive
from fastdl.testing import gradcheck, gradgradcheck

EPS = np.finfo(np.float64).eps


def test_chain_of_200000_nodes_lives_and_dies():
    x = fastdl.ones(4, requires_grad=True)
    y = x
    for _ in range(200_000):
        y = y * 1.0
    y.backward(fastdl.ones(4))
    assert x.grad.tolist() == [1.0] * 4
    z = x
    for _ in range(200_000):
        z = z + 1.0
    del y, z  # freeing without a walk must not recurse either


def test_graph_is_freed_without_the_cycle_collector():
    gc.collect()
    gc.disable()
    try:
        x = fastdl.ones(4, requires_grad=True)
        leaf = weakref.ref(x)
        y = x.exp().tanh()
        nodes = [weakref.ref(y), weakref.ref(y.grad_fn)]
        y.sum().backward()
        del y
        assert [n() for n in nodes] == [None, None]
        del x
        assert leaf() is None
    finally:
        gc.enable()


def test_in_place_graphs_are_freed_without_the_cycle_collector():
    changes = [
        lambda y, x: y.exp_(),
        lambda y, x: y.mul_(x),
        lambda y, x: y.mul_(y),
        lambda y, x: y.__setitem__(0, x[1]),
        lambda y, x: y.unsqueeze_(0).squeeze_(),
        lambda y, x: y.register_hook(lambda g: None),
        lambda y, x: y.retain_grad(),
    ]
    x = leaf(1.0, 2.0)
    gc.collect()
    gc.disable()
    try:
        for change in changes:
            y = x * 1
            change(y, x)
            gone = weakref.ref(y)
            del y
            assert gone() is None
    finally:
        gc.enable()


def test_third_derivative():
    x = fastdl.tensor([0.3, 1.2], dtype=fastdl.float64, requires_grad=True)
    y = (x.exp() * x).sum()
    for _ in range(3):
        (y,) = fastdl.autograd.grad(y, x, create_graph=True)
        y = y.sum()
    # (x e^x)''' = (x + 3) e^x; four roundings per term
    expected = ((x.detach().numpy() + 3) * np.exp(x.detach().numpy())).sum()
    assert abs(y.item() - expected) < 16 * np.finfo(float).eps * expected


def test_wide_graph_adds_in_creation_order():
    # The same sum, walked twice, gives the same bits: the order of additions is fixed.
    rng = np.random.default_rng(0)
    weights = rng.standard_normal(200)
    runs = []
    for _ in range(2):
        x = fastdl.tensor(0.7, dtype=fastdl.float64, requires_grad=True)
        sum(x * float(w) for w in weights).backward()
        runs.append(x.grad.item())
    assert runs[0] == runs[1]
    assert abs(runs[0] - weights.sum()) < 200 * EPS * np.abs(weights).sum()


# ---- saved values -----------------------------------------------------------------------------


def leaf(*values):
    return fastdl.tensor(values, dtype=fastdl.float64, requires_grad=True)


def test_second_backward_needs_retain_graph():
    x = leaf(1.0, 2.0)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [4.0, 8.0]
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        y.backward()


def test_second_backward_through_what_saved_nothing():
    x = leaf(1.0, 2.0)
    y = (x + 1).sum()
    y.backward()
    y.backward()
    assert x.grad.tolist() == [2.0, 2.0]


def test_saved_values_go_as_the_walk_passes():
    x = leaf(1.0, 2.0)
    y = x * 2
    z = y.sin().sum()
    saved = weakref.ref(y)
    del y
    assert saved() is not None  # sin saved its operand
    z.backward()
    assert saved() is None


CHANGES = {
    "add_": lambda y: y.add_(1),
    "assignment": lambda y: y.__setitem__(0, 3.0),
    "of a view": lambda y: y[:1].zero_(),
    "of the detached": lambda y: y.detach().mul_(2),
    "of a detached view": lambda y: y.view(1, 2).detach().neg_(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_overwritten_operand_is_noticed(change):
    x = leaf(1.0, 2.0)
    y = x * 2
    z = (y * y).sum()
    with fastdl.no_grad():
        change(y)
    with pytest.raises(
        RuntimeError, match=r"modified by an inplace operation.*MulBackward0 saved it"
    ):
        z.backward()


def test_overwritten_output_is_noticed_and_named():
    x = leaf(1.0, 2.0)
    y = x.exp()
    y.add_(1)
    with pytest.raises(
        RuntimeError, match="output 0 of ExpBackward0, is at version 1; expected version 0"
    ):
        y.sum().backward()


def test_data_is_an_escape_from_versions():
    x = leaf(1.0, 2.0)
    y = x * 2
    z = (y * y).sum()
    y.data.zero_()
    z.backward()
    assert x.grad.tolist() == [0.0, 0.0]


def test_versions_are_shared_by_views_and_counted():
    x = fastdl.zeros(4)
    v = x.view(2, 2)
    assert x._version == 0
    x.add_(1)
    v[0] = 2.0
    x[1:].zero_()
    assert x._version == v._version == x.detach()._version == 3


# ---- in place ---------------------------------------------------------------------------------


def test_leaf_refuses_in_place_while_recording():
    x = leaf(1.0, 2.0)
    for change in (
        lambda: x.add_(1),
        lambda: x.__setitem__(0, 1.0),
        lambda: x.zero_(),
        lambda: x.unsqueeze_(0),
    ):
        with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
            change()
    with fastdl.no_grad():
        x.sub_(1)
        x[0] = 5.0
    assert x.tolist() == [5.0, 1.0]
    assert x.is_leaf


def test_view_of_a_leaf_refuses_in_place():
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match="a view of a leaf"):
        x.view(2, 1).add_(1)


VIEWS_WRITTEN = {
    "row": lambda t, x, w: x[0].mul_(w),
    "column": lambda t, x, w: x[:, 1].add_(w.sum()),
    "element": lambda t, x, w: x[1, 2].mul_(3),
    "set": lambda t, x, w: x[1].__setitem__(slice(0, 2), w[:2]),
    "set in a loop": lambda t, x, w: [x.__setitem__(i, w * i) for i in range(2)],
    "zero": lambda t, x, w: x[:, :2].zero_(),
    "transposed": lambda t, x, w: x.t()[1].mul_(w[:2]),
    "view of a view": lambda t, x, w: x.view(3, 2)[1:][0].mul_(w[0]),
    "masked": lambda t, x, w: x[0].masked_fill_(w > 0, 5.0),
    "saved output": lambda t, x, w: x[0].exp_(),
    "twice": lambda t, x, w: (x[0].mul_(w), x[:, 0].mul_(w[0])),
    "from itself": lambda t, x, w: x[0].add_(x[1]),
    "stepped": lambda t, x, w: x[:, ::2].mul_(w[:2]),
    "unsqueezed": lambda t, x, w: x.unsqueeze(0)[0, 1].copy_(w),
    "diagonal": lambda t, x, w: x.diagonal().mul_(w[:2]),
}


@pytest.mark.parametrize("layout", ["rows", "columns"])
@pytest.mark.parametrize("change", VIEWS_WRITTEN)
def test_recorded_in_place_on_views(change, layout):
    """The base, the view itself and a view taken before all follow, as in PyTorch; a second
    derivative, too."""
    torch = pytest.importorskip("torch")
    found = []
    for t in (fastdl, torch):
        x = t.tensor([[0.5, -1.2, 2.0], [1.5, 0.3, -0.7]], dtype=t.float64, requires_grad=True)
        w = t.tensor([1.1, -0.4, 0.8], dtype=t.float64, requires_grad=True)
        y = x * x if layout == "rows" else (x.t() * x.t()).t().clone()
        if layout == "columns":
            y = (x.t() + 1).t() * 2  # NumPy keeps the order of the operand: columns lie together
        other = y[:, 1:]
        VIEWS_WRITTEN[change](t, y, w)
        assert y.requires_grad
        assert other.requires_grad
        total = (y * y).sum() + (other**3).sum() * 0.1
        grads = t.autograd.grad(total, [x, w], create_graph=True, allow_unused=True)
        assert grads[0] is not None
        again = t.autograd.grad((grads[0] ** 2).sum(), x)[0]
        arrays = [y, other, *[g for g in grads if g is not None], again]
        found.append([a.detach().numpy().copy() for a in arrays])
    assert len(found[0]) == len(found[1])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-13, atol=1e-13)


def test_a_buffer_filled_through_views_is_recorded():
    """Rows of zeros that recorded values are copied into."""
    w = leaf(1.0, 2.0)
    buffer = fastdl.zeros(3, 2)
    early = buffer[2]
    for i in range(3):
        buffer[i].copy_(w * (i + 1))
    assert buffer.requires_grad
    assert early.requires_grad
    (buffer.sum() + early.sum()).backward()
    assert w.grad.tolist() == [9.0, 9.0]


def test_views_under_no_grad():
    """A view that autograd has not seen cannot be changed on its record; with it, it can."""
    w = leaf(1.0, 2.0)
    y = w * 2
    with fastdl.no_grad():
        v = y[:1]
        v.add_(1)  # not recorded: no matter
    with pytest.raises(RuntimeError, match="created in no_grad mode"):
        v.mul_(w[0])
    y.mul_(2)
    with pytest.raises(RuntimeError, match="created in no_grad mode"):
        v.sum()
    with fastdl.no_grad():
        assert v.item() == 6.0


@pytest.mark.parametrize(
    "change", [lambda y: y[0].mul_(2), lambda y: y[0].mul_(y[1]), lambda y: (v := y[0]).mul_(v)]
)
def test_overwriting_a_view_is_noticed(change):
    """A gradient that saved the base, or another view, notices that a view was overwritten."""
    torch = pytest.importorskip("torch")
    for t in (fastdl, torch):
        x = t.tensor([1.0, 2.0], requires_grad=True)
        y = x.exp()
        change(y)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            y.sum().backward()


def test_expanded_views_refuse_in_place():
    x = leaf(1.0, 2.0)
    y = (x * 2).unsqueeze(0)
    keep = y[0]
    with pytest.raises(RuntimeError, match="more than one element of the written-to tensor"):
        y.expand(3, 2).mul_(x)
    assert keep.tolist() == [2.0, 4.0]


def test_a_chain_of_views_does_not_grow():
    """Ten thousand views of views hold the first tensor only."""
    import gc

    x = fastdl.zeros(4)
    first = weakref.ref(middle := x.view(2, 2))
    y = middle
    del middle
    for _ in range(10_000):
        y = y.view(4).view(2, 2)
    gc.collect()
    assert first() is None


def test_view_whose_base_is_gone_may_change():
    x = leaf(1.0, 2.0)
    y = (x * 2).view(2, 1)
    y.mul_(x.view(2, 1))
    y.sum().backward()
    assert x.grad.tolist() == [4.0, 8.0]


def test_in_place_keeps_what_its_gradient_reads():
    x = leaf(1.0, 2.0)
    y = x * 1
    y *= y.detach() + x  # the gradient of the factor reads the old y
    y.pow_(2)
    y.sum().backward()
    expected = [2 * (2 * v * v) * 3 * v for v in (1.0, 2.0)]  # d (x (d + x))^2, d = x held
    assert x.grad.tolist() == expected


def test_assignment_is_recorded():
    x = leaf(1.0, 2.0, 3.0)
    y = fastdl.zeros(2, 3, dtype=fastdl.float64)
    y[0] = x
    y[1, 1:] = x[:2] * 2
    assert y.requires_grad
    (y * y).sum().backward()
    assert x.grad.tolist() == [2 * 1 + 8 * 1, 2 * 2 + 8 * 2, 2 * 3]


def test_in_place_out_of_shape_or_dtype():
    with pytest.raises(RuntimeError, match="doesn't match the broadcast shape"):
        fastdl.zeros(3).add_(fastdl.ones(2, 3))
    with pytest.raises(
        RuntimeError, match="result type Float can't be cast to the desired output type Long"
    ):
        fastdl.arange(3).add_(0.5)


# ---- .grad ------------------------------------------------------------------------------------


def test_gradients_share_memory_with_nothing():
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    seed = np.ones(2)
    (a + b).backward(fastdl.from_numpy(seed))
    a.grad.mul_(5)
    assert seed.tolist() == [1.0, 1.0]
    assert b.grad.tolist() == [1.0, 1.0]
    c = leaf(1.0)
    given = fastdl.tensor([7.0], dtype=fastdl.float64)
    c.grad = given
    (c * 2).backward()
    assert c.grad.tolist() == [9.0]
    assert given.tolist() == [7.0]


def test_gradients_accumulate_in_place_once_owned():
    x = leaf(1.0, 2.0)
    (x * 2).sum().backward()
    first = x.grad
    (x * 3).sum().backward()
    assert x.grad is first
    assert first.tolist() == [5.0, 5.0]


def test_hook_that_keeps_the_gradient_keeps_its_values():
    x, kept = leaf(1.0, 2.0), []
    x.register_hook(kept.append)
    (x * 2).sum().backward()
    (x * 2).sum().backward()
    assert [g.tolist() for g in kept] == [[2.0, 2.0], [2.0, 2.0]]


def test_gradient_takes_the_dtype_and_shape_of_its_leaf():
    x = fastdl.ones(3, requires_grad=True)
    y = fastdl.ones(2, 3, dtype=fastdl.float64)
    (x * y).sum().backward()
    assert x.grad.dtype is fastdl.float32
    assert x.grad.tolist() == [2.0, 2.0, 2.0]


def test_grad_refuses_what_does_not_fit():
    x = leaf(1.0, 2.0)
    for wrong, error in (
        (1.0, TypeError),
        (fastdl.ones(3), RuntimeError),
        (fastdl.ones(2), RuntimeError),
        (x, RuntimeError),
    ):
        with pytest.raises(error):
            x.grad = wrong


def test_inputs_of_backward():
    x, w = leaf(1.0), leaf(2.0)
    y = x * w
    y.sum().backward(inputs=[w])
    assert x.grad is None
    assert w.grad.tolist() == [1.0]


def test_grad_of_unused_and_inner_tensors():
    x, other = leaf(1.0, 2.0), leaf(1.0)
    y = x * 2
    z = (y * y).sum()
    gy, gx = fastdl.autograd.grad(z, [y, x], retain_graph=True)
    assert gy.tolist() == [4.0, 8.0]
    assert gx.tolist() == [8.0, 16.0]
    assert x.grad is None
    with pytest.raises(RuntimeError, match="allow_unused"):
        fastdl.autograd.grad(z, other, retain_graph=True)
    assert fastdl.autograd.grad(z, other, allow_unused=True, retain_graph=True) == (None,)
    zeros = fastdl.autograd.grad(z, other, materialize_grads=True)
    assert zeros[0].tolist() == [0.0]


def test_grad_runs_only_what_leads_to_the_inputs():
    x, w = leaf(1.0), leaf(2.0)
    asked = []
    a, b = x * 2, w * 3
    b.register_hook(lambda g: asked.append("b"))
    c = b * 1
    c.register_hook(lambda g: asked.append("c"))
    fastdl.autograd.grad((a + c).sum(), x)
    assert asked == []


def test_errors_of_backward():
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match="only for scalar outputs"):
        (x * 2).backward()
    with pytest.raises(RuntimeError, match="does not require grad"):
        fastdl.ones(1).backward()
    with pytest.raises(RuntimeError, match="Mismatch in shape"):
        (x * 2).backward(fastdl.ones(3))
    with pytest.raises(RuntimeError, match="floating point"):
        fastdl.arange(3).requires_grad_()


# ---- several outputs --------------------------------------------------------------------------


def test_several_outputs_with_unused_ones():
    x = leaf(1.0, 2.0, 3.0, 4.0)
    a, b = fastdl.unbind(x.view(2, 2), 0)
    assert (a.output_nr, b.output_nr) == (0, 1)
    (b * b).sum().backward()
    assert x.grad.tolist() == [0.0, 0.0, 6.0, 8.0]


def test_gradient_for_one_of_several_outputs():
    x = leaf(1.0, 2.0, 3.0, 4.0)
    a, b = fastdl.unbind(x.view(2, 2), 0)
    ga, gb = fastdl.autograd.grad((a * b).sum(), [a, b])
    assert ga.tolist() == b.tolist()
    assert gb.tolist() == a.tolist()


# ---- hooks ------------------------------------------------------------------------------------


def test_hooks_replace_and_go_away():
    x = leaf(1.0)
    y = x * 2
    first = y.register_hook(lambda g: g * 10)
    y.register_hook(lambda g: g + 1)
    second = x.register_hook(lambda g: g * 2)
    y.sum().backward(retain_graph=True)
    assert x.grad.tolist() == [2 * 2 * (10 * 1 + 1)]
    first.remove()
    second.remove()
    second.remove()
    x.grad = None
    y.sum().backward()
    assert x.grad.tolist() == [4.0]


def test_hook_of_wrong_type():
    x = leaf(1.0)
    x.register_hook(lambda g: 3)
    with pytest.raises(TypeError, match="hook"):
        (x * 2).sum().backward()


def test_retain_grad():
    x = leaf(1.0)
    y = x * 2
    with pytest.warns(UserWarning, match="not a leaf"):
        assert y.grad is None
    y.retain_grad()
    assert y.retains_grad
    (y * y).sum().backward()
    assert y.grad.tolist() == [4.0]


# ---- modes ------------------------------------------------------------------------------------


def test_grad_mode_is_the_threads_own():
    seen = []

    def run():
        seen.append(fastdl.is_grad_enabled())
        with fastdl.no_grad():
            seen.append(fastdl.is_grad_enabled())

    with fastdl.no_grad():
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        assert not fastdl.is_grad_enabled()
    assert seen == [True, False]
    assert fastdl.is_grad_enabled()


def test_modes_as_decorators_and_blocks():
    x = leaf(1.0)

    @fastdl.no_grad()
    def called():
        return (x * 2).requires_grad

    @fastdl.no_grad
    def bare():
        return (x * 2).requires_grad

    @fastdl.no_grad()
    def steps():
        yield (x * 2).requires_grad
        yield (x * 2).requires_grad

    assert not called()
    assert not bare()
    for on in steps():
        assert not on
        assert fastdl.is_grad_enabled()  # between the steps the mode is the caller's
    with fastdl.no_grad(), fastdl.enable_grad():
        assert (x * 2).requires_grad
    with fastdl.inference_mode():
        assert not (x * 2).requires_grad
    fastdl.set_grad_enabled(False)
    assert not (x * 2).requires_grad
    fastdl.set_grad_enabled(True)
    with fastdl.set_grad_enabled(False):
        assert not fastdl.is_grad_enabled()
    assert fastdl.is_grad_enabled()


def test_mode_survives_an_error_in_backward():
    x = leaf(1.0)
    y = x * 2
    y.register_hook(lambda g: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        y.sum().backward()
    assert fastdl.is_grad_enabled()


def test_create_graph_records_and_backward_does_not():
    x = leaf(2.0)
    (g,) = fastdl.autograd.grad((x**3).sum(), x)
    assert not g.requires_grad
    (g,) = fastdl.autograd.grad((x**3).sum(), x, create_graph=True)
    assert g.requires_grad
    g.sum().backward()
    assert x.grad.tolist() == [12.0]


def test_gradient_penalty():
    # The gradient of a loss that contains a gradient, against the formula: f = sum x^3, penalty
    # (|f'| - 1)^2
    x = leaf(0.5, -1.0, 2.0)
    (g,) = fastdl.autograd.grad((x**3).sum(), x, create_graph=True)
    ((g.norm() - 1) ** 2).backward()
    v = np.array([0.5, -1.0, 2.0])
    slope = 3 * v**2
    norm = np.sqrt((slope**2).sum())
    expected = 2 * (norm - 1) * slope / norm * 6 * v
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=32 * EPS)


def test_backward_in_several_threads_adds_up():
    x = leaf(1.0, 2.0)

    def run():
        for _ in range(200):
            (x * 2).sum().backward()

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert x.grad.tolist() == [1200.0, 1200.0]


def test_backward_inside_a_hook():
    x, w = leaf(1.0), leaf(3.0)
    y = x * 2

    @y.register_hook
    @fastdl.enable_grad()
    def again(g):
        (w * 5).sum().backward()

    (y * w).sum().backward()
    assert x.grad.tolist() == [6.0]
    assert w.grad.tolist() == [7.0]


# ---- Function ---------------------------------------------------------------------------------


class Cube(fastdl.autograd.Function):
    @staticmethod
    def forward(ctx, x, factor):
        ctx.save_for_backward(x)
        ctx.factor = factor
        return x**3 * factor

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        assert ctx.needs_input_grad == (True, False)
        return g * 3 * x**2 * ctx.factor, None


class Exp(fastdl.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        y = x.exp()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, g):
        (y,) = ctx.saved_tensors
        return g * y


class Halves(fastdl.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        first, mask = x * 0.5, x > 0
        ctx.mark_non_differentiable(mask)
        return first, mask, x * 2

    @staticmethod
    def backward(ctx, a, _, b):
        return a * 0.5 + b * 2


def test_function_to_second_order():
    x = leaf(0.5, -1.5)
    assert gradcheck(lambda x: Cube.apply(x, 2.0), x)
    assert gradgradcheck(lambda x: Cube.apply(x, 2.0), x)
    assert gradgradcheck(Exp.apply, x)
    assert Cube.apply(x, 2.0).grad_fn.name() == "CubeBackward"


def test_function_with_several_outputs():
    x = leaf(0.5, -1.5)
    a, mask, b = Halves.apply(x)
    assert not mask.requires_grad
    b.sum().backward(retain_graph=True)
    assert x.grad.tolist() == [2.0, 2.0]
    a.sum().backward()
    assert x.grad.tolist() == [2.5, 2.5]


def test_function_frees_what_it_saved():
    x = leaf(1.0)
    y = Exp.apply(x)
    y.sum().backward()
    with pytest.raises(RuntimeError, match="second time"):
        y.sum().backward()
    gc.collect()
    gc.disable()
    try:
        y = Exp.apply(x)
        gone = weakref.ref(y)
        del y
        assert gone() is None
    finally:
        gc.enable()


def test_function_errors():
    class Wrong(fastdl.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g, g

    with pytest.raises(RuntimeError, match="incorrect number of gradients"):
        Wrong.apply(leaf(1.0)).sum().backward()


def test_function_notices_overwritten_values():
    x = leaf(1.0, 2.0)
    y = x * 1
    z = Cube.apply(y, 1.0)
    with fastdl.no_grad():
        y.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


# ---- primitives -------------------------------------------------------------------------------


def test_gradient_parameters_are_checked_when_defined():
    forward = lambda x, *, scale: x * scale
    with pytest.raises(TypeError, match="'nothing'"):
        Primitive(forward).vjp(x=lambda g, nothing: g)
    with pytest.raises(TypeError, match="'y' is no operand"):
        Primitive(forward).vjp(y=lambda g: g)
    with pytest.raises(ValueError, match="kind"):
        Primitive(forward, kind="strange")
    with pytest.raises(TypeError, match="no operand may have them"):
        Primitive(lambda g, out: g * out)


def test_static_defaults_reach_the_gradient():
    scaled = Primitive(lambda x, *, scale=3.0: x * scale).vjp(x=lambda g, scale: g * scale)
    x = leaf(1.0)
    scaled(x).sum().backward()
    scaled(x, scale=2.0).sum().backward()
    assert x.grad.tolist() == [5.0]


def test_results_have_no_scalars_for_arrays():
    x = leaf(1.0, 2.0)
    assert isinstance(x.sum().array, np.ndarray)
    assert isinstance(x[0].array, np.ndarray)


def test_no_warnings_from_infinities():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x = fastdl.tensor([0.0, 1.0, -1.0], requires_grad=True)
        y = x.log() + 1 / x + x.sqrt() - (x * 1e38).exp()
        y.sum().backward()
    with pytest.warns(RuntimeWarning):
        np.log(np.zeros(1))  # NumPy's own warnings are as they were


def test_deepcopy_and_pickle_of_leaves():
    x = leaf(1.0, 2.0)
    (x * 2).sum().backward()
    twin = copy.deepcopy(x)
    assert twin.grad.tolist() == x.grad.tolist()
    twin.grad.zero_()
    assert x.grad.tolist() == [2.0, 2.0]
    back = pickle.loads(pickle.dumps(x))
    assert back.requires_grad
    assert back.tolist() == x.tolist()
    with pytest.raises(RuntimeError, match="graph leaves"):
        copy.deepcopy(x * 2)


def test_fresh_gradients_are_taken_not_copied():
    n = 1 << 18
    x, w = fastdl.ones(n, requires_grad=True), fastdl.ones(n)
    y = (x * w).sum()
    tracemalloc.start()
    try:
        y.backward()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.5 * 4 * n  # one array: the gradient itself


def relu_pass(keep):
    """What `keep` returned for the gradient of relu's result, where that and the gradient of its
    argument were, and the gradient of x = [-1, 2], which is multiplied by 2 before and 3 after."""
    x, at, kept = leaf(-1.0, 2.0), [], []

    def look(g):
        at.append(g.data_ptr())
        kept.append(keep(g))

    before = x * 2
    after = before.relu()
    after.register_hook(look)
    before.register_hook(lambda g: at.append(g.data_ptr()))
    (after * fastdl.tensor([3.0, 3.0])).sum().backward()
    return kept[0], at, x.grad.tolist()


def test_an_activations_gradient_takes_the_place_of_one_that_nobody_holds():
    _, (outer, inner), grad = relu_pass(lambda g: None)
    assert inner == outer
    assert grad == [0.0, 6.0]
    for keep in (lambda g: g, lambda g: g[:1], lambda g: g.numpy()):
        kept, (outer, inner), grad = relu_pass(keep)
        assert inner != outer
        assert np.asarray(kept)[0] == 3.0
        assert grad == [0.0, 6.0]


def test_gradients_that_somebody_asked_for_are_not_overwritten():
    x, seed = leaf(-1.0, 2.0), fastdl.tensor([3.0, 3.0])
    y = x.relu()
    y.retain_grad()
    y.backward(seed, retain_graph=True)
    assert seed.tolist() == y.grad.tolist() == [3.0, 3.0]
    wanted = fastdl.autograd.grad((y * 3).sum(), [y, x])
    assert [g.tolist() for g in wanted] == [[3.0, 3.0], [0.0, 3.0]]
