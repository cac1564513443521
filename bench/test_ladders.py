"""The rungs of each ladder side by side, each checked against the first."""

import numpy as np
import pytest

from fastdl.kernels import climbing

SIZES = {
    "gemm": 256,
    "conv": (1, 32, 28, 28, 32, 3, 3, 1, 1),
    "pool": (4, 64, 56, 56, 3, 2, 1),
    "softmax": (2048, 1000),
}
RUNGS = [
    pytest.param(family, i, id=f"{family}: {rung[0]}")
    for family, size in SIZES.items()
    for i, rung in enumerate(climbing.problem(family, size).rungs)
]
# Each rung adds in an order of its own: sqrt(288 terms) * eps = 2e-6 is expected of the longest sum
# here, a factor of 10 is allowed.
TOLERANCE = 2e-5


def first(result):
    return result[0] if isinstance(result, tuple) else result


@pytest.mark.parametrize(("family", "i"), RUNGS)
def test_rung(benchmark, family, i):
    ladder = climbing.problem(family, SIZES[family])
    call = ladder.rungs[i][2]
    expected = first(ladder.rungs[0][2]())
    np.testing.assert_allclose(first(call()), expected, atol=TOLERANCE * np.abs(expected).max())
    benchmark.group = ladder.title
    benchmark.extra_info |= {"flops": ladder.work.flops, "bytes": ladder.work.bytes}
    benchmark(call)
