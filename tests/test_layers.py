"""Imports go one way. The arrows drawn here are the only ones; a new module must be given a place.

Imports are read from the text of every .py, .pyx, .pxd and .pxi file, those inside functions too:
an arrow that is only followed later is still an arrow.
"""

import ast
import re
import sys
from pathlib import Path

import fastdl

PACKAGE = Path(fastdl.__file__).resolve().parent
CSRC = PACKAGE.parent / "csrc"

# module or subpackage of fastdl -> what of fastdl it may import; None: anything.
ARROWS = {
    "_version": set(),
    "_flags": set(),
    "_dtype": set(),
    "_printing": {"_dtype"},
    "_kernels": set(),
    "_engine": set(),
    "runtime": {"_kernels", "_version"},
    "_stopwatch": set(),
    "_baselines": set(),
    "_measure": {"_kernels", "_stopwatch", "_version"},
    "kernels": {"_kernels", "_measure", "_stopwatch"},
    "backends": {"_kernels"},
    "autograd": {"_engine", "_dtype", "ops"},
    "ops": {"_engine", "_dtype", "backends", "runtime"},
    "tensor": {"_engine", "_dtype", "_printing", "autograd", "ops"},
    "sparse": {"ops"},
    "linalg": {"_engine", "_dtype", "ops", "tensor"},
    "special": {"ops"},
    "profiler": {"autograd"},
    "distributions": {"_engine", "_dtype", "ops", "autograd"},
    "func": {"_engine", "_dtype", "ops", "tensor", "autograd"},
    "fft": {"ops"},
    "amp": {"_engine", "_dtype", "ops"},
    "cuda": {"_dtype", "amp"},
    "accelerator": {"_dtype"},
    "compiler": set(),
    "jit": {"_engine", "_kernels", "autograd", "nn", "ops", "tensor"},
    "version": {"_version"},
    "nn": {"_engine", "_dtype", "backends", "ops", "tensor", "autograd"},
    "optim": {"_engine", "_dtype", "backends", "ops", "tensor", "autograd", "nn"},
    "utils": {"_engine", "_dtype", "ops", "tensor", "autograd", "nn"},
    "io": {"_dtype", "ops", "tensor"},
    "serialization": {"io"},
    "metrics": {"ops", "tensor"},
    "train": {"autograd", "io", "metrics", "nn", "optim", "ops", "tensor", "utils"},
    "text": {"_engine", "_dtype", "ops", "tensor", "autograd", "nn", "io"},
    "datasets": {"_dtype", "ops", "tensor", "utils"},
    "vision": None,
    "audio": None,
    "testing": None,
    "_cases": None,
    "_cases_api": None,
    "cli": None,
    "__main__": None,
    "__init__": None,
}


def sources():
    return sorted(p for p in PACKAGE.rglob("*") if p.suffix in {".py", ".pyx", ".pxd", ".pxi"})


def place(path):
    """The module or subpackage that a file belongs to: `fastdl/ops/conv.py` -> `ops`."""
    first = path.relative_to(PACKAGE).parts[0]
    return re.sub(r"(_kernels|_engine)_\w+$", r"\1", first.split(".")[0])


def python_imports(path):
    """Absolute dotted names that a Python file imports."""
    package = ("fastdl", *path.relative_to(PACKAGE).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*start, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def cython_imports(path):
    """The same for a Cython file, read line by line."""
    text = re.sub(r'"""(?:.|\n)*?"""', '""', path.read_text(encoding="utf-8"))
    pattern = r"^\s*(?:from\s+([\w.]+)\s+c?import\s+\(?\s*([\w*, ]+)|c?import\s+([\w., ]+))"
    for module, names, modules in re.findall(pattern, text, re.MULTILINE):
        if modules:
            yield from (name.split(" as ")[0].strip() for name in modules.split(","))
        else:
            module = re.sub(r"^\.", "fastdl.", module)
            yield from (f"{module}.{name.split(' as ')[0].strip()}" for name in names.split(","))


def imports(path):
    return set(python_imports(path) if path.suffix == ".py" else cython_imports(path))


def target(name):
    """The place that an absolute name leads to, None if it is not ours; `__init__`: the root."""
    parts = name.split(".")
    if parts[0] != "fastdl":
        return None
    return parts[1] if len(parts) > 1 and parts[1] in ARROWS else "__init__"


def test_every_module_has_a_place():
    found = {place(path) for path in sources()}
    assert {"_kernels", "_engine", "__init__"} <= found
    assert found <= set(ARROWS), "give it a line in ARROWS and in the design"


def test_imports_go_one_way():
    wrong = []
    for path in sources():
        here = place(path)
        if ARROWS.get(here) is None:
            continue
        for name in sorted(imports(path)):
            there = target(name)
            if there is not None and there != here and there not in ARROWS[here]:
                wrong.append(f"{path.relative_to(PACKAGE.parent)}: {here} -> {there} ({name})")
    assert not wrong, "\n".join(wrong)


def test_arrows_have_no_circle():
    below = {here: set(there or ()) for here, there in ARROWS.items()}
    while below:
        free = {here for here, there in below.items() if not there & set(below)}
        assert free, f"a circle among {sorted(below)}"
        below = {here: there for here, there in below.items() if here not in free}


def test_the_parsers_see_imports(tmp_path, monkeypatch):
    """This file's own instruments: each form of an import is seen where it stands."""
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    folder = tmp_path / "ops"
    folder.mkdir()
    python = folder / "a.py"
    python.write_text(
        "import fastdl.nn as n\nfrom fastdl import tensor\nfrom . import b\nfrom ..nn import c\n"
        "def f():\n    from fastdl.optim.sgd import SGD\n"
    )
    expected = {"fastdl.nn", "fastdl.tensor", "fastdl.ops.b", "fastdl.nn.c", "fastdl.optim.sgd.SGD"}
    assert imports(python) == expected
    cython = tmp_path / "a.pyx"
    cython.write_text(
        '"""prose:\nimport fastdl.io\n"""\ncimport fastdl.ops\nfrom fastdl.nn cimport x, y\n'
        "cdef f():\n    import numpy, fastdl.tensor\n"
    )
    expected = {"fastdl.ops", "fastdl.nn.x", "fastdl.nn.y", "numpy", "fastdl.tensor"}
    assert imports(cython) == expected


def test_cupy_is_imported_in_two_places_and_inside_functions():
    for path in sources():
        if not any(name.split(".")[0] in {"cupy", "cupyx"} for name in imports(path)):
            continue
        where = path.relative_to(PACKAGE).as_posix()
        assert where == "backends/cuda.py" or where.startswith("cuda/"), where
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = {a.name for a in node.names} if isinstance(node, ast.Import) else set()
            module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            assert not any(n.startswith("cupy") for n in {*names, module}), f"{where}: not lazy"


def test_torch_is_never_imported():
    for path in sources():
        assert not any(name.split(".")[0] == "torch" for name in imports(path)), path


def test_optional_packages_are_imported_inside_functions():
    """`import fastdl` needs NumPy and nothing else."""
    optional = {
        *("matplotlib", "PIL", "safetensors", "tqdm", "threadpoolctl", "scipy", "sklearn"),
        *("tensorboardX", "soundfile"),
    }
    for path in sources():
        if path.suffix != ".py":
            continue
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in names} & optional, path


def test_csrc_knows_nothing_of_python():
    system = {
        "errno", "fcntl", "float", "limits", "math", "pthread", "sched", "stdbool", "stddef",
        "stdint", "stdio", "stdlib", "string", "time", "unistd", "omp", "immintrin", "arm_neon",
    }  # fmt: skip
    files = [path for path in CSRC.rglob("*") if path.suffix in {".c", ".h"}]
    assert len(files) > 10, f"no sources in {CSRC}"
    for path in files:
        text = path.read_text(encoding="utf-8")
        for bracket, name in re.findall(r'^\s*#\s*include\s*([<"])([^>"]+)', text, re.MULTILINE):
            if bracket == '"':
                near = [path.parent / name, CSRC / name]
                assert any(p.is_file() for p in near), f"{path}: {name} is not in csrc"
            else:
                known = name.removesuffix(".h") in system or name.startswith("sys/")
                assert known, f"{path} includes <{name}>"
        assert "PyObject" not in text, path


def test_intrinsics_stand_in_one_file():
    for path in CSRC.rglob("*.[ch]"):
        if path.name != "simd.h":
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"\b_mm(256|512)?_\w+\s*\(|\bv\w+q_f(32|64)\s*\(", text), path


def test_cython_reaches_c_through_the_contract_only():
    for path in sources():
        if path.suffix == ".py":
            continue
        headers = re.findall(r'cdef extern from "([^"]+)"', path.read_text(encoding="utf-8"))
        ours = {name for name in headers if (CSRC / name).is_file()}
        assert ours <= {"fastdl.h"}, f"{path}: {ours}"
        if place(path) == "_engine":
            assert not ours, f"{path} must not know the kernels"
