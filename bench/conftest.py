"""What the benchmarks share: threads pinned alike on both sides, a header, short rounds."""

import pytest

from fastdl import _kernels, _measure
from fastdl.cli.bench import settings


def pytest_addoption(parser):
    parser.addoption("--threads", type=int, default=0, help="for fastdl and NumPy; 0: fastdl's own")
    parser.addoption("--isa", choices=_kernels.isa_available(), help="default: the widest")


def pytest_report_header(config):
    """What the figures are to be read with; roofs are not measured where nothing is timed."""
    threads = config.getoption("--threads") or _kernels.get_num_threads()
    isa = config.getoption("--isa") or _kernels.get_isa()
    lines = [f"fastdl: {isa} kernels, {threads} threads on {_measure.cpu_name()}"]
    if not config.getoption("benchmark_disable", False):
        peak, copy = _measure.peak("float32", isa, threads), _measure.bandwidth(threads)
        lines.append(f"FMA peak {peak / 1e9:.0f} GFLOP/s, copy bandwidth {copy / 1e9:.1f} GB/s")
    return lines


def pytest_collection_modifyitems(items):
    """pytest-benchmark's own second per case is more than the suite needs."""
    for item in items:
        if not any(item.iter_markers("benchmark")):
            item.add_marker(pytest.mark.benchmark(max_time=0.3, min_rounds=5, warmup=True,
                                                  warmup_iterations=2))  # fmt: skip


@pytest.fixture(scope="session", autouse=True)
def same_threads(request):
    threads, isa = request.config.getoption("--threads"), request.config.getoption("--isa")
    with settings(threads or None, isa) as threads, _measure.numpy_threads(threads):
        yield threads
