"""Which public names stand in the table of ops, as counts per area: `docs/COVERAGE.md`.

    python tests/coverage_table.py            # write the file
    python tests/coverage_table.py --missing  # print what has no row

Every row of op_cases.py is run once with a stand-in for the library that notes what the row asks
it for, and with methods of Tensor that note that a row called them. What fastdl's own code calls
on the way does not count. A method that is the same function under the same name
(`Tensor.exp is fastdl.exp`) is covered with it; so are the method and the in-place method as which
test_coverage.py runs the row of a function.
"""

import argparse
import functools
import inspect
import pathlib
import sys
import types
import warnings
from collections import defaultdict

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from exempt import EXEMPT
from op_cases import CASES, Spec

import fastdl
from fastdl._engine import Primitive

FILE = pathlib.Path(__file__).parents[1] / "docs" / "COVERAGE.md"
NAMESPACES = ("", "linalg.", "fft.", "special.", "nn.functional.")

# The module that holds a function -> the area it is counted in.
AREAS = {
    "creation": "Creation",
    "random": "Random numbers",
    "elementwise": "Maths, element by element",
    "reduce": "Reductions",
    "order": "Sorting and order",
    "counting": "Sorting and order",
    "shape": "Shape",
    "diagonal": "Shape",
    "join": "Joining and splitting",
    "index": "Indexing",
    "linalg": "Linear algebra",
    "factor": "Linear algebra",
    "matrices": "Linear algebra",
    "distance": "Linear algebra",
    "statistics": "Linear algebra",
    "fft": "Fourier transforms",
    "special": "Special functions",
    "complex": "Complex numbers",
    "activation": "Functions of layers",
}
REST = "The tensor itself"
FUNCTIONAL = "Functions of layers"


# ---- what is public ----------------------------------------------------------------------------


def reach(lib, path):
    """`lib.a.b` for the path 'a.b'."""
    return functools.reduce(getattr, filter(None, path.split(".")), lib)


def functions():
    """{name with its namespace: function} of the package and its namespaces of ops."""
    found = {}
    for prefix in NAMESPACES:
        try:
            space = reach(fastdl, prefix)
        except AttributeError:
            continue
        names = getattr(space, "__all__", None) or dir(space)
        for name in names:
            value = getattr(space, name)
            if not name.startswith("_") and is_function(value):
                found[prefix + name] = value
    return found


def is_function(value):
    return isinstance(value, Primitive) or (
        inspect.isroutine(value) and getattr(value, "__module__", "").startswith("fastdl.ops")
    )


def methods():
    """{'Tensor.name': attribute} of what can be called on a tensor, operators included."""
    found = {}
    for name in dir(fastdl.Tensor):
        value = inspect.getattr_static(fastdl.Tensor, name)
        if name in OPERATORS or (not name.startswith("_") and callable(value)):
            found[f"Tensor.{name}"] = value
    return found


FORMS = """
    add sub mul truediv floordiv mod pow matmul and or xor lshift rshift radd rsub rmul rtruediv
    rfloordiv rmod rpow rmatmul rand ror rxor rlshift rrshift iadd isub imul itruediv ifloordiv imod
    ipow iand ior ixor ilshift irshift eq ne lt le gt ge neg pos abs invert getitem setitem
"""
OPERATORS = {f"__{name}__" for name in FORMS.split()}


def area_of(name, value):
    """The area of a public name."""
    module = getattr(value, "__module__", None) or ""
    if not name:
        return REST
    parts = module.split(".")
    if parts[:2] == ["fastdl", "ops"]:
        leaf = next((AREAS[p] for p in reversed(parts) if p in AREAS), None)
        return leaf or FUNCTIONAL
    if name.startswith("Tensor."):
        twin = getattr(fastdl, name.removeprefix("Tensor.").rstrip("_"), None)
        if twin is not None and is_function(twin):
            return area_of("", twin)
        return REST
    return FUNCTIONAL


# ---- what the rows ask for ---------------------------------------------------------------------


class Library:
    """A stand-in for a library that notes each function asked of it in `names`."""

    def __init__(self, lib, names, prefix=""):
        self._lib, self._names, self._prefix = lib, names, prefix

    def __getattr__(self, name):
        found = getattr(self._lib, name)
        if isinstance(found, types.ModuleType):
            return Library(found, self._names, f"{self._prefix}{name}.")
        self._names.add(self._prefix + name)
        return found


class noting_methods:
    """Within this context the methods of Tensor that a table of rows calls are noted in `names`."""

    def __init__(self, names):
        self.names, self.before = names, {}

    def __enter__(self):
        own = vars(fastdl.Tensor)
        for path, method in methods().items():
            name = path.removeprefix("Tensor.")
            if not isinstance(method, (staticmethod, classmethod)):
                self.before[name] = own.get(name)
                setattr(fastdl.Tensor, name, self.noted(path, method))

    def noted(self, path, method):
        def call(tensor, *args, **kwargs):
            if "cases" in sys._getframe(1).f_globals["__name__"]:
                self.names.add(path)
            return method.__get__(tensor)(*args, **kwargs)

        return call

    def __exit__(self, *error):
        for name, method in self.before.items():
            if method is None:
                delattr(fastdl.Tensor, name)
            else:
                setattr(fastdl.Tensor, name, method)


def inputs_of(lib, specs):
    """A row's inputs as float64 tensors that require gradients where the row wants them."""
    rng = np.random.default_rng(0)
    found = []
    for spec in specs:
        if isinstance(spec, Spec):
            array = np.asarray(spec.make(rng))
            spec_tensor = lib.from_numpy(array.copy())
            floats = array.dtype.kind in "fc"
            found.append(spec_tensor.requires_grad_() if spec.grad and floats else spec_tensor)
        else:
            found.append(spec)
    return found


@functools.cache
def asked_by_case():
    """For each row, the public names that it asks for: a list of sets."""
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for case in CASES:
            names = set()
            inputs = inputs_of(fastdl, case.inputs)
            with noting_methods(names):
                case.run(Library(fastdl, names), *inputs)
            found.append(names)
    return found


def covered_names():
    """The public names that the rows cover, in all the forms in which the suite runs them."""
    known = functions() | methods()
    names = set().union(*asked_by_case())
    # `t.add(x, y)` is also run as `x.add(y)` and as `x.add_(y)`.
    forms = {f"Tensor.{name}{ending}" for name in names if "." not in name for ending in ("", "_")}
    same = {origin(known[name]) for name in names if name in known}
    return names | forms | {name for name, value in known.items() if origin(value) in same}


def origin(value):
    """What two names of one function have in common."""
    value = inspect.unwrap(value)
    if inspect.isfunction(value):
        return value.__module__, value.__qualname__, value.__code__.co_firstlineno
    return id(value)


def count_rows():
    """{area: [comparisons, those with gradients, rows checked to second order]}."""
    counts, known = defaultdict(lambda: [0, 0, 0]), functions()
    for case, names in zip(CASES, asked_by_case()):
        functions_asked = sorted(name for name in names if name in known)
        first = functions_asked[0] if functions_asked else min(names, default="")
        line = counts[area_of(first, known.get(first))]
        runs = 1 + len(case.more)
        line[0] += runs
        line[1] += (case.order >= 1) * runs
        line[2] += case.order == 2
    return counts


# ---- the file ----------------------------------------------------------------------------------


def missing():
    """Public names that neither a row nor a stated reason covers, sorted."""
    covered = covered_names() | set(EXEMPT)
    return sorted(name for name in functions() | methods() if name not in covered)


def table():
    """The text of the file."""
    covered, counts = covered_names(), count_rows()
    known = functions() | methods()
    areas = defaultdict(lambda: [0, 0, 0, 0])  # functions, methods, in rows, elsewhere
    for name, value in known.items():
        line = areas[area_of(name, value)]
        line[name.startswith("Tensor.")] += 1
        line[2] += name in covered
        line[3] += name not in covered and name in EXEMPT
    lines = [
        "| area | functions | methods and operators | in a row | tested elsewhere "
        "| comparisons | with gradients | to second order |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    every = sorted(areas.keys() | counts.keys())
    totals = [0] * 7
    for area in every:
        numbers = [*areas[area], *counts[area]]
        totals = [a + b for a, b in zip(totals, numbers)]
        lines.append(f"| {area} | {' | '.join(map(str, numbers))} |")
    lines.append(f"| **all** | {' | '.join(f'**{n}**' for n in totals)} |")
    reasons = [f"| `{name}` | {why} |" for name, why in sorted(EXEMPT.items()) if name in known]
    return HEAD + "\n".join(lines) + REASONS + "\n".join(reasons) + "\n"


HEAD = """\
# What is compared with PyTorch

Written by `python tests/coverage_table.py` from the table of ops (`tests/op_cases.py` and the
tables it joins). Each row of that table is a call that `tests/test_ops.py` runs in float64 with
PyTorch and with fastdl: values, dtypes, shapes and gradients are compared; gradients to the stated
order are also checked by finite differences, the same call is made in float32, with gaps between
the elements and in column order, and as a method and in place where tensors have those (in
`tests/test_coverage.py`). A public function or method without a row, and without a reason below,
fails the suite.

"""

REASONS = """

## Tested elsewhere, and why

| name | where and why |
|---|---|
"""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--missing", action="store_true", help="print what has no row")
    if parser.parse_args().missing:
        print("\n".join(missing()))
    else:
        FILE.write_text(table())
