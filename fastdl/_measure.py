"""What this machine can do at most, what a problem costs at least, how a figure is written.

Used by `fastdl.kernels.ladder`, `python -m fastdl bench`, and `bench/`; times come from
`fastdl._stopwatch`.
"""

import os
import platform
import sys
import time
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from fastdl import _kernels
from fastdl._stopwatch import race
from fastdl._version import __version__


class Work(NamedTuple):
    """What a problem costs at least: arithmetic by the direct algorithm, each array moved once."""

    flops: float
    bytes: float

    @property
    def intensity(self):
        """FLOP per byte: the horizontal axis of a roofline."""
        return self.flops / self.bytes


def gemm_work(m, n, k, itemsize=4):
    """C (m, n) = A (m, k) B (k, n)."""
    return Work(2.0 * m * n * k, float(itemsize) * (m * k + k * n + m * n))


def conv2d_work(x_shape, w_shape, y_shape, itemsize=4):
    """x (N, C, H, W), w (K, C / groups, R, S), y (N, K, OH, OW); the same for both gradients."""
    sizes = (np.prod(shape, dtype=float) for shape in (x_shape, w_shape, y_shape))
    return Work(2.0 * np.prod(y_shape) * np.prod(w_shape[1:]), itemsize * sum(sizes))


def pool2d_work(x_shape, y_shape, window, itemsize=4, tap_bytes=0):
    """One comparison or addition per element of a window; x read, y (and its taps) written."""
    x, y = np.prod(x_shape, dtype=float), np.prod(y_shape, dtype=float)
    return Work(y * window, itemsize * (x + y) + tap_bytes * y)


def peak(dtype="float32", isa=None, threads=0, seconds=0.3):
    """FLOP/s of fused multiply-adds on registers, on `threads` threads (0: the default count)."""
    return _kernels.fma_peak(dtype, isa, threads, seconds)


class WholeCores:
    """Call it before a round: it returns when `threads` threads have a core each.

    Two virtual CPUs may be the two hyperthreads of one core, for seconds at a time, as the machine
    below deals them. Its threads together then run at the rate of one, and a time says nothing of
    the program. All calls together wait `patience` seconds, and then no more: there are machines
    on which it is never otherwise.
    """

    def __init__(self, patience=60.0):
        self.patience = patience

    def __call__(self, threads=0):
        threads = threads or _kernels.get_num_threads()
        while threads > 1 and self.patience > 0:
            start = time.perf_counter()
            if peak(threads=threads, seconds=2e-3) > 0.75 * threads * peak(threads=1, seconds=2e-3):
                return
            time.sleep(0.1)
            self.patience -= time.perf_counter() - start


whole_cores = WholeCores()


def bandwidth(threads=0, megabytes=64, seconds=0.3):
    """Bytes a second, read plus written, of copying arrays far larger than a cache."""
    from concurrent.futures import ThreadPoolExecutor  # takes time to import

    threads = threads or _kernels.get_num_threads()
    n = megabytes * 2**20 // (8 * threads)
    pairs = [(np.zeros(n), np.ones(n)) for _ in range(threads)]
    with ThreadPoolExecutor(threads) as pool:

        def copy():
            for done in [pool.submit(np.copyto, target, source) for target, source in pairs]:
                done.result()

        best = race({"copy": copy}, rounds=5, seconds=seconds, repeats=3)["copy"].best
    return 2.0 * 8 * n * threads / best


@contextmanager
def numpy_threads(threads):
    """Pins NumPy's BLAS to `threads` inside the block. Yields how, in words for a reader.

    Without threadpoolctl a BLAS that is loaded cannot be told, so the words say what it uses.
    """
    try:
        import threadpoolctl
    except ImportError:
        names = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")
        wish = next((f"{name}={os.environ[name]}" for name in names if name in os.environ), None)
        cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        yield wish or f"its own default for {cpus} CPUs; pip install threadpoolctl to pin it"
    else:
        with threadpoolctl.threadpool_limits(threads, user_api="blas"):
            yield f"pinned to {threads}"


def cpu_name():
    """The processor's name as the system gives it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def numpy_blas():
    """Name and version of the BLAS that NumPy was built with."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip()


def machine(threads=0, isa=None, seconds=0.3):
    """What every table of figures is headed by: the measured roofs, and what was measured with.

    Returns a dict that JSON can hold; `peak*` in FLOP/s, `bandwidth*` in bytes/s.
    """
    threads = threads or _kernels.get_num_threads()
    whole_cores(threads)
    peaks = [peak("float32", isa, n, seconds) for n in (1, threads)]
    copies = [bandwidth(n, seconds=seconds) for n in (1, threads)]
    return {
        "fastdl": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": numpy_blas(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": cpu_name(),
        "isa": isa or _kernels.get_isa(),
        "threads": threads,
        "openmp": _kernels.has_openmp(),
        # beside other programs a second thread may get no core: the roofs of one hold for more
        "peak": max(peaks),
        "peak_1": peaks[0],
        "bandwidth": max(copies),
        "bandwidth_1": copies[0],
    }


def duration(seconds):
    """`0.00123` -> `'1.23 ms'`: three significant digits and the unit that suits."""
    for unit, scale in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        if seconds * scale >= 1 or unit == "us":
            return f"{three_digits(seconds * scale)} {unit}"
    raise AssertionError("unreachable")


def three_digits(value):
    """`1234.5` -> `'1234'`, `12.345` -> `'12.3'`, `0.0123` -> `'0.012'`."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def progress(text):
    """Shows on a terminal what is being measured; the next `progress` overwrites the line."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
