"""What stands in nn, optim and utils.data takes PyTorch's arguments: names, order, defaults."""

import importlib
import inspect

import pytest

import fastdl
from fastdl._engine import Primitive

MODULES = [
    "autograd.functional",
    "autograd.forward_ad",
    "func",
    "jit",
    "profiler",
    "utils.checkpoint",
    "amp",
    "linalg",
    "special",
    "distributions",
    "nn",
    "nn.attention.flex_attention",
    "nn.functional",
    "nn.init",
    "nn.modules.module",
    "nn.utils",
    "nn.utils.parametrizations",
    "nn.utils.parametrize",
    "nn.utils.prune",
    "nn.utils.rnn",
    "optim",
    "optim.lr_scheduler",
    "utils.data",
]
# PyTorch's own: internal arguments, and a buffer for the result that few functions offer.
LEFT_OUT = {"_stacklevel", "_weight", "_freeze", "_compilation_unit", "out"}


OWN = {"value_and_grad", "summary", "KFold", "StratifiedKFold"}  # names that PyTorch lacks


def reach(lib, path):
    for name in path.split("."):
        lib = getattr(lib, name)
    return lib


def arguments(function):
    """(name, default, is keyword-only) of each argument; None where Python cannot tell."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:
        return None
    found = []
    for p in parameters:
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            return None  # decorated: the text of the signature is not there
        if p.name not in LEFT_OUT:
            default = "none" if p.default is p.empty else p.default
            default = default.__name__ if inspect.isfunction(default) else default
            found.append((p.name, default, p.kind == p.KEYWORD_ONLY))
    return found


def public(lib, path):
    importlib.import_module(f"{lib.__name__}.{path}")
    found = reach(lib, path).__all__
    return [name for name in found if name not in OWN and callable(getattr(reach(lib, path), name))]


@pytest.mark.parametrize(
    ("path", "name"), [(path, name) for path in MODULES for name in public(fastdl, path)]
)
def test_arguments_are_pytorchs(path, name):
    torch = pytest.importorskip("torch")
    importlib.import_module(f"torch.{path}")
    ours = arguments(getattr(reach(fastdl, path), name))
    theirs = arguments(getattr(reach(torch, path), name))
    if ours is None or theirs is None or isinstance(getattr(reach(fastdl, path), name), Primitive):
        return  # primitives name their operands x and y
    if name == "random_split":  # PyTorch's default is its generator itself, ours None: the same
        ours, theirs = ([a[0] for a in side] for side in (ours, theirs))
    if name in (
        "Distribution",
        "ExponentialFamily",
    ):  # its default shapes are Sizes there, tuples here
        ours, theirs = ([a[0] for a in side] for side in (ours, theirs))
    assert [str(a) for a in ours if a[0] != "data_source"] == [
        str(a) for a in theirs if a[0] != "data_source"
    ]


@pytest.mark.parametrize("name", sorted({n for n in dir(fastdl.nn.Module) if n[0] != "_"} - OWN))
def test_methods_of_module_take_pytorchs_arguments(name):
    torch = pytest.importorskip("torch")
    ours, theirs = (getattr(lib.nn.Module, name) for lib in (fastdl, torch))
    if name in {"forward", "state_dict", "register_backward_hook"} or not callable(theirs):
        return  # *args there
    mine, other = arguments(ours), arguments(theirs)
    if mine is not None and other is not None:
        assert [a[0] for a in mine] == [a[0] for a in other]


def test_the_instrument_sees_differences():
    def f(a, *, b=1):
        pass

    assert arguments(f) == [("a", "none", False), ("b", 1, True)]
    assert arguments(lambda *args: 0) is None
