"""Every row of op_cases.py: forward, gradients, second order, float32, layouts, bad input."""

import math

import numpy as np
import pytest
from op_cases import CASES, Spec

import fastdl
from fastdl.ops.core import REGISTRY
from fastdl.testing import gradcheck, gradgradcheck

EPS64 = np.finfo(np.float64).eps
EPS32 = float(np.finfo(np.float32).eps)

REFUSALS = RuntimeError, IndexError, TypeError, ValueError, AssertionError, AttributeError

by_row = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def arrays_of(specs, seed=0):
    """Values for a row's inputs: arrays for specs, the rest as it is."""
    rng = np.random.default_rng(seed)
    return [np.asarray(s.make(rng)) if isinstance(s, Spec) else s for s in specs]


def tensors_of(lib, specs, arrays, dtype=np.float64, layout=None):
    """Tensors of `lib`; floating point ones in `dtype`, requiring grad where the row wants it."""
    found = []
    for spec, a in zip(specs, arrays):
        if not isinstance(spec, Spec):
            found.append(a)
            continue
        a = a.astype(dtype) if a.dtype.kind == "f" else a.copy()
        if layout is not None:
            a = layout(a)
        x = lib.from_numpy(a)
        found.append(x.requires_grad_() if spec.grad else x)
    return found


def outputs_of(result):
    return list(result) if isinstance(result, (tuple, list)) else [result]


def value(y):
    return y.detach().numpy()


def check_close(ours, theirs, factor=64):
    """Within `factor` roundings of the greatest element: sums of some ten terms, each an op or
    two.
    """
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        if a.dtype.kind != "f":
            assert (a == b).all()
            continue
        scale = np.abs(b[np.isfinite(b)]).max(initial=1.0)
        np.testing.assert_allclose(a, b, rtol=0, atol=factor * np.finfo(a.dtype).eps * scale)


def gradients_of(lib, inputs, outputs):
    """Gradients of a weighted sum of the outputs; weights fixed by shape."""
    wanted = [x for x in inputs if getattr(x, "requires_grad", False)]
    outputs = [y for y in outputs if y.requires_grad]
    if not wanted or not outputs:
        return None
    total = 0
    for y in outputs:
        w = np.cos(np.arange(y.numel(), dtype=np.float64)).reshape(tuple(y.shape))
        total = total + (y * lib.from_numpy(w).to(y.dtype)).sum()
    total.backward()
    return [None if x.grad is None else value(x.grad) for x in wanted]


@by_row
def test_against_reference(case):
    try:
        import torch
    except ImportError:
        torch = None
    if torch is None and case.numpy is None:
        pytest.skip("this row has no NumPy reference and PyTorch is not installed")
    for specs in [case.inputs, *case.more]:
        arrays = arrays_of(specs)
        ours_in = tensors_of(fastdl, specs, arrays)
        ours = outputs_of(case.run(fastdl, *ours_in))
        if torch is None:
            theirs = [np.asarray(y) for y in outputs_of(case.numpy(*arrays))]
            check_close([value(y) for y in ours], theirs)
            continue
        theirs_in = tensors_of(torch, specs, arrays)
        theirs = outputs_of((case.torch or case.run)(torch, *theirs_in))
        check_close([value(y) for y in ours], [value(y) for y in theirs], case.coarse)
        assert [y.requires_grad for y in ours] == [y.requires_grad for y in theirs]
        expected = gradients_of(torch, theirs_in, theirs)
        found = gradients_of(fastdl, ours_in, ours)
        assert (expected is None) == (found is None)
        for a, b in zip(found or [], expected or []):
            # No gradient and a zero gradient are the same here.
            if a is None or b is None:
                assert not np.any(a if b is None else b)
            else:
                check_close([a], [b], case.coarse)


def rows(wanted):
    chosen = [case for case in CASES if wanted(case)]
    return pytest.mark.parametrize("case", chosen, ids=lambda case: case.name)


def has_floats(case):
    return any(isinstance(a, np.ndarray) and a.dtype.kind == "f" for a in arrays_of(case.inputs))


@rows(lambda case: case.numpy is not None)
def test_numpy_reference(case):
    arrays = arrays_of(case.inputs)
    ours = outputs_of(case.run(fastdl, *tensors_of(fastdl, case.inputs, arrays)))
    theirs = [np.asarray(y) for y in outputs_of(case.numpy(*arrays))]
    check_close([value(y) for y in ours], theirs)


@rows(lambda case: case.order)
def test_gradients_by_finite_differences(case):
    inputs = tensors_of(fastdl, case.inputs, arrays_of(case.inputs))
    run = lambda *xs: case.run(fastdl, *xs)
    assert gradcheck(run, inputs)
    if case.order > 1:
        assert gradgradcheck(run, inputs)


@rows(has_floats)
def test_float32(case):
    arrays = arrays_of(case.inputs)
    # Both sides start from values that float32 can hold.
    arrays = [
        a.astype(np.float32) if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a
        for a in arrays
    ]
    runs = []
    for dtype in (np.float32, np.float64):
        inputs = tensors_of(fastdl, case.inputs, arrays, dtype)
        outputs = outputs_of(case.run(fastdl, *inputs))
        runs.append((outputs, gradients_of(fastdl, inputs, outputs)))
    (single, single_slopes), (double, double_slopes) = runs
    for a, b in zip(single, double):
        if case.single != "any":
            assert str(a.dtype) == str(b.dtype).replace("float64", case.single)
    pairs = list(zip([value(y) for y in single], [value(y) for y in double]))
    pairs += [(a, b) for a, b in zip(single_slopes or [], double_slopes or []) if a is not None]
    for a, b in pairs:
        if a.dtype.kind == "f":
            scale = np.abs(b[np.isfinite(b)]).max(initial=1.0)
            np.testing.assert_allclose(a, b, rtol=0, atol=case.exact * EPS32 * scale)


def every_second(a):
    """The same values with gaps between them."""
    spaced = np.zeros(tuple([2 * n for n in a.shape]), a.dtype)
    spaced[(slice(None, None, 2),) * a.ndim] = a
    return spaced[(slice(None, None, 2),) * a.ndim] if a.ndim else a


def columns_first(a):
    return np.asfortranarray(a) if a.ndim else a


@by_row
@pytest.mark.parametrize("layout", [every_second, columns_first])
def test_layouts(case, layout):
    for specs in [case.inputs, *case.more]:
        arrays = arrays_of(specs)
        plain = tensors_of(fastdl, specs, arrays)
        laid = tensors_of(fastdl, specs, arrays, layout=layout)
        ys, zs = outputs_of(case.run(fastdl, *plain)), outputs_of(case.run(fastdl, *laid))
        check_close([value(y) for y in zs], [value(y) for y in ys])
        expected, found = gradients_of(fastdl, plain, ys), gradients_of(fastdl, laid, zs)
        for a, b in zip(found or [], expected or []):
            assert (a is None) == (b is None)
            if a is not None:
                check_close([a], [b])


@rows(lambda case: case.bad)
def test_bad_input_is_refused(case):
    for call, expected in case.bad:
        with pytest.raises(expected) as caught:
            call(fastdl)
        assert str(caught.value)
    torch = pytest.importorskip("torch")
    if case.torch is None:
        for call, _ in case.bad:
            with pytest.raises(REFUSALS):
                call(torch)


def recorded_names(roots):
    """Names of the primitives whose nodes are behind some tensors."""
    seen, stack, names = set(), [y.grad_fn for y in roots if y.grad_fn is not None], set()
    while stack:
        node = stack.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if node.op is not None:
            names.add(node.op.node_name)
        stack += [parent for parent, _ in node.next_functions if parent is not None]
    return names


@rows(lambda case: case.order == 2)
def test_row_runs_what_it_names(case):
    inputs = tensors_of(fastdl, case.inputs, arrays_of(case.inputs))
    outputs = [y for y in outputs_of(case.run(fastdl, *inputs)) if y.requires_grad]
    wanted = [x for x in inputs if getattr(x, "requires_grad", False)]
    assert outputs
    total = sum([(y * y).sum() for y in outputs])
    slopes = fastdl.autograd.grad(total, wanted, create_graph=True, allow_unused=True)
    names = recorded_names([total, *[g for g in slopes if g is not None]])
    for name in case.primitives.split():
        primitive = REGISTRY[name]
        if primitive.gradients or primitive.joint:
            assert primitive.node_name in names


def test_every_primitive_stands_in_the_table():
    named = {name for case in CASES for name in case.primitives.split()}
    assert set(REGISTRY) - named == set(), "primitives without a row in tests/op_cases.py"
    assert named - set(REGISTRY) == set(), "rows for primitives that do not exist"


def test_erf_and_erfc_are_accurate():
    x = np.concatenate(
        [np.linspace(-6, 6, 4001), [0.0, 1e-300, 1e-8, 26.5, -26.5, 30.0, np.inf, -np.inf]]
    )
    ours = fastdl.erf(fastdl.from_numpy(x)).numpy(), fastdl.erfc(fastdl.from_numpy(x)).numpy()
    for found, exact in zip(ours, (math.erf, math.erfc)):
        expected = np.array([exact(v) for v in x])
        # A few units in the last place, in relative terms: erfc(26.5) is 1e-307.
        np.testing.assert_allclose(found, expected, rtol=8 * EPS64, atol=0)
    assert np.isnan(fastdl.erf(fastdl.tensor(math.nan)).item())
