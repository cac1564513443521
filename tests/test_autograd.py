"""Autograd against PyTorch: what programs return, which exceptions they raise and with which words;
checkpoints, functional derivatives, forward mode.
"""

import doctest
import re
import tracemalloc
import warnings
from importlib import import_module

import autograd_cases
import func_cases  # noqa: F401  (joins its programs to PROGRAMS)
import node_names
import pytest

import fastdl


def plain(value):
    """Lists of numbers for tensors, inside tuples, lists and dicts too."""
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, dict):
        return {key: plain(v) for key, v in value.items()}
    if hasattr(value, "tolist"):
        return [str(value.dtype).partition(".")[2], value.detach().tolist()]
    return value


def same(ours, theirs):
    """Equal, numbers to 1e-12: each program takes a handful of float64 operations of size 1."""
    if isinstance(theirs, list):
        return (
            isinstance(ours, list)
            and len(ours) == len(theirs)
            and all(same(a, b) for a, b in zip(ours, theirs))
        )
    if isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(same(ours[k], theirs[k]) for k in theirs)
    if isinstance(theirs, float):
        return ours == pytest.approx(theirs, rel=1e-12, abs=1e-12, nan_ok=True)
    return ours == theirs


def outcome(run, t):
    """('returned', value) or ('raised', type, message)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return "returned", plain(run(t))
        except Exception as error:
            return "raised", type(error), str(error)


def first_words(message):
    """The start of a message, without the library's name: as far as both should agree."""
    return re.sub(r"[^a-z ]", "", message.lower().replace("torch", "").replace("fastdl", ""))[:35]


@pytest.mark.parametrize("name", autograd_cases.PROGRAMS)
def test_program_does_what_it_does_in_pytorch(name):
    torch = pytest.importorskip("torch")
    run = autograd_cases.PROGRAMS[name]
    theirs, ours = outcome(run, torch), outcome(run, fastdl)
    assert ours[0] == theirs[0], (ours, theirs)
    if theirs[0] == "returned":
        assert same(ours[1], theirs[1]), (ours[1], theirs[1])
    else:
        assert ours[1].__name__ == theirs[1].__name__, (ours, theirs)
        if name not in autograd_cases.OWN_WORDS:
            assert first_words(ours[2]) == first_words(theirs[2])


@pytest.mark.parametrize("line", node_names.EXPRESSIONS.strip().splitlines())
def test_nodes_have_pytorchs_names(line):
    torch = pytest.importorskip("torch")
    expressions = [e.strip() for e in line.split(";") if e.strip()]
    for expression in expressions:
        made = [eval(expression, node_names.operands(t)) for t in (fastdl, torch)]
        ours, theirs = (y.grad_fn.name() for y in made)
        assert ours == theirs, expression


def test_modes_hold_in_coroutines_and_nowhere_else():
    both, items, after = autograd_cases.async_decorators(fastdl)
    assert both == [(False, False), [True, True, True]]
    assert items == [False, False]
    assert after


def test_anomaly_names_the_forward_line():
    x = fastdl.tensor(-1.0, requires_grad=True)
    with fastdl.autograd.set_detect_anomaly(True):
        y = x.sqrt()  # the line to be named
        with (
            pytest.warns(UserWarning, match=r"(?s)Error detected in SqrtBackward0.*x\.sqrt\(\)"),
            pytest.raises(RuntimeError, match="'SqrtBackward0' returned nan values in its 0th"),
        ):
            y.backward()
    with pytest.warns(UserWarning, match="Anomaly Detection has been enabled"):
        mode = fastdl.autograd.detect_anomaly()
    with mode:
        assert fastdl.is_anomaly_enabled()
        assert fastdl.is_anomaly_check_nan_enabled()
    assert not fastdl.is_anomaly_enabled()


def test_checkpoints_hold_less_memory():
    """Twenty layers keep two values of their inner size each, or none but their inputs."""
    from fastdl.utils.checkpoint import checkpoint

    def layer(x):
        return (x.exp() * 0.01).sin().cos()

    def held(around):
        x = fastdl.ones(200, 1000, requires_grad=True)
        tracemalloc.start()
        y = x
        for _ in range(20):
            y = around(y)
        now = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        y.sum().backward()
        return now, x.grad

    kept, expected = held(layer)
    for way in (False, True):
        less, found = held(lambda x, way=way: checkpoint(layer, x, use_reentrant=way))
        assert less < 0.4 * kept
        assert (found == expected).all()


def test_an_inner_checkpoint_does_not_keep_its_arguments():
    """The outer one packs them: only the outer input and output stay."""
    from fastdl.utils.checkpoint import checkpoint

    def inner(x):
        return (x.exp() * 0.01).sin()

    def outer(x):
        for _ in range(8):
            x = checkpoint(inner, x, use_reentrant=False)
        return x

    x = fastdl.ones(200, 1000, requires_grad=True)
    tracemalloc.start()
    y = checkpoint(outer, x, use_reentrant=False)
    now = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert now < 1.5 * y.array.nbytes


@pytest.mark.parametrize(
    "name",
    [
        "autograd.forward_ad", "autograd.function", "autograd.functional", "autograd.grad_mode",
        "autograd.graph", "autograd.profiler", "func.mapping", "func.transforms", "profiler",
        "utils.checkpoint",
    ],
)  # fmt: skip
def test_examples_in_docstrings(name):
    found = doctest.testmod(import_module(f"fastdl.{name}"))
    assert found.attempted
    assert not found.failed
