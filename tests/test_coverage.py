"""The table of ops is complete, and its rows hold as methods and in place."""

import inspect

import coverage_table
import numpy as np
import pytest
from exempt import EXEMPT
from op_cases import CASES
from test_ops import arrays_of, check_close, gradients_of, outputs_of, tensors_of, value

import fastdl

REFUSALS = (RuntimeError, TypeError, ValueError, IndexError)


def test_every_public_function_has_a_row():
    assert coverage_table.missing() == []


def test_every_reason_is_of_a_public_name():
    known = coverage_table.functions() | coverage_table.methods()
    assert [name for name in EXEMPT if name not in known] == []


def test_file_is_current():
    assert coverage_table.FILE.read_text() == coverage_table.table(), (
        "run `python tests/coverage_table.py`"
    )


def test_enough_is_compared():
    assert sum(line[0] for line in coverage_table.count_rows().values()) >= 800


class Form:
    """A stand-in for a library whose functions are called as methods of their first argument:
    `t.add(x, y)` runs `x.add(y)`, or `x.clone().add_(y)` if `ending` is '_'.
    """

    def __init__(self, lib, ending):
        self._lib, self._ending = lib, ending

    def __getattr__(self, name):
        found = getattr(self._lib, name)
        if inspect.ismodule(found) or inspect.isclass(found) or not callable(found):
            return found

        def call(*args, **kwargs):
            method = name + self._ending
            if name == "where":  # the method is x.where(condition, y)
                args = args[1::-1] + args[2:]
            first = next(iter(args), None)
            if not isinstance(first, self._lib.Tensor) or not hasattr(first, method):
                return found(*args, **kwargs)
            first = first.clone() if self._ending else first
            return getattr(first, method)(*args[1:], **kwargs)

        return call


def rows_with(ending):
    """Cases that ask for a function of which tensors have a method."""
    chosen = [
        case
        for case, names in zip(CASES, coverage_table.asked_by_case())
        if case.torch is None
        and any("." not in name and hasattr(fastdl.Tensor, name + ending) for name in names)
    ]
    return pytest.mark.parametrize("case", chosen, ids=lambda case: case.name)


def same_as_pytorchs(case, ending):
    torch = pytest.importorskip("torch")
    for specs in [case.inputs, *case.more]:
        arrays = arrays_of(specs)
        results = []
        for lib in (fastdl, torch):
            inputs = tensors_of(lib, specs, arrays)
            try:
                outputs = outputs_of(case.run(Form(lib, ending), *inputs))
                results.append((outputs, gradients_of(lib, inputs, outputs)))
            except REFUSALS as error:
                results.append(error)
        ours, theirs = results
        if isinstance(theirs, NotImplementedError) and "derivative for" in str(theirs):
            continue  # PyTorch lacks the gradient of this in-place form
        if isinstance(theirs, Exception) or isinstance(ours, Exception):
            assert isinstance(theirs, REFUSALS), (ours, theirs)
            assert isinstance(ours, REFUSALS), (ours, theirs)
            continue
        check_close([value(y) for y in ours[0]], [value(y) for y in theirs[0]], case.coarse)
        for a, b in zip(ours[1] or [], theirs[1] or []):
            if a is None or b is None:
                assert not np.any(a if b is None else b)
            else:
                check_close([a], [b], case.coarse)


@rows_with("")
def test_as_method(case):
    same_as_pytorchs(case, "")


@rows_with("_")
def test_in_place(case):
    same_as_pytorchs(case, "_")
