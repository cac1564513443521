"""fastdl through its public API: the cases of bench/problems.py, which PyTorch is compared on.

What test_kernels.py has beside NumPy is left out. NumPy's addition stands beside the smallest.
"""

import numpy as np
import problems
import pytest

import fastdl

CASES = {
    name: case for name, case in problems.cases().items() if case[0] not in {"gemm", "conv", "pool"}
}


@pytest.mark.parametrize("name", CASES)
def test_api(benchmark, name):
    family, build, arguments = CASES[name]
    call, result = build(fastdl, *arguments)
    assert all(np.isfinite(value.numpy()).all() for value in result())
    benchmark.group = family if family == "tiny" else name
    benchmark(call)


def test_numpy_addition(benchmark):
    """The floor under `tiny`: what NumPy itself takes for a + b of four numbers."""
    a, b = np.ones(4, np.float32), np.ones(4, np.float32)
    benchmark.group = "tiny"
    benchmark(np.add, a, b)
