"""Every kernel family against NumPy: results compared, then timed side by side."""

import pytest
import shapes

from fastdl import _cases
from fastdl.cli.bench import FAMILIES

CASES = [
    *(_cases.gemm(*shape) for shape in shapes.GEMM),
    *(
        _cases.conv2d(name, shape, mode)
        for name, shape in shapes.CONV.items()
        for mode in (
            ("forward", "training")
            if shape[-1] > 1
            else ("forward", "grad_input", "grad_weight", "training")
        )
    ),
    *(
        _cases.pool2d(name, shape, mode)
        for name, shape in shapes.POOL.items()
        for mode in ("forward", "training")
    ),
    *(
        case
        for name, (_, cases, _) in FAMILIES.items()
        if name not in ("gemm", "conv", "pool")
        for case in cases
    ),
]


SIDES = [
    pytest.param(case, side, id=f"{case.family}: {case.name}: {side}")
    for case in CASES
    for side in case.sides
]


@pytest.mark.parametrize(("case", "side"), SIDES)
def test_against_numpy(benchmark, case, side):
    calls = case.build()
    if side == "fastdl":
        _cases.check(case, calls)
    benchmark.group = f"{case.family}: {case.name}"
    benchmark.extra_info |= {"flops": case.work.flops, "bytes": case.work.bytes}
    benchmark(calls[side])
