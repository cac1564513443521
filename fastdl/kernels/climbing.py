"""The ladders, timed: one problem solved by every rung, each checked against the first."""

import time
from functools import partial
from typing import NamedTuple

import numpy as np

from fastdl import _kernels, _measure
from fastdl._kernels import gemm
from fastdl._measure import Work, bandwidth, peak, whole_cores
from fastdl._stopwatch import SLOW, Timing, race
from fastdl.kernels.calling import conv2d, conv2d_geometry, max_pool2d
from fastdl.kernels.reading import LADDERS


class Rung(NamedTuple):
    """One line of a ladder's table."""

    name: str
    threads: int
    timing: Timing
    work: Work
    of_roof: float  # reached rate / roof: FMA peak or copy bandwidth of that many threads
    gain: float  # time of the rung before / this rung's
    error: float  # largest difference from rung 1, as a fraction of rung 1's largest value


class Ladder(NamedTuple):
    """What `climb` times: a problem, and (name, threads, call) for each rung."""

    title: str
    work: Work
    roof: str  # "compute" or "memory"
    rungs: tuple


def gemm_ladder(size, dtype, isa, threads):
    """size: n or (m, n, k)."""
    m, n, k = (size,) * 3 if np.ndim(size) == 0 else size
    a, b = normal(dtype, m, k), normal(dtype, k, n)
    rungs = rungs_of(LADDERS["gemm"], threads, partial(gemm, a, b, isa=isa))
    work = _measure.gemm_work(m, n, k, a.itemsize)
    return Ladder(f"matrix product {m} x {n} x {k}", work, "compute", rungs)


def conv_ladder(size, dtype, isa, threads):
    """size: (n, c, h, w, k, r, s, stride, padding)."""
    n, c, h, w, k, r, s, stride, padding = size
    x, filters = normal(dtype, n, c, h, w), normal(dtype, k, c, r, s)
    call = partial(conv2d, x, filters, stride=stride, padding=padding, isa=isa)
    oh, ow = (h + 2 * padding - r) // stride + 1, (w + 2 * padding - s) // stride + 1
    work = _measure.conv2d_work(x.shape, filters.shape, (n, k, oh, ow), x.itemsize)
    title = f"convolution {n}x{c}x{h}x{w} -> {k}, {r}x{s}, stride {stride}, padding {padding}"
    geometry = conv2d_geometry("ladder", x.shape, filters.shape, stride, padding, 1, 1)
    names = [name for name in LADDERS["conv"] if _kernels.conv_fits(name, geometry, dtype=dtype)]
    return Ladder(title, work, "compute", rungs_of(names, threads, call))


def pool_ladder(size, dtype, isa, threads):
    """size: (n, c, h, w, window, stride, padding)."""
    n, c, h, w, window, stride, padding = size
    x = normal(dtype, n, c, h, w)
    call = partial(max_pool2d, x, window, stride, padding, isa=isa)
    oh, ow = ((extent + 2 * padding - window) // stride + 1 for extent in (h, w))
    work = _measure.pool2d_work(x.shape, (n, c, oh, ow), window**2, x.itemsize, tap_bytes=1)
    title = f"max pooling {n}x{c}x{h}x{w}, {window}x{window}, stride {stride}, padding {padding}"
    return Ladder(title, work, "memory", rungs_of(LADDERS["pool"], threads, call))


def softmax_ladder(size, dtype, isa, threads):
    """size: (rows, columns). One source: its rungs are the instruction sets it is compiled for."""
    rows, columns = size
    x = normal(dtype, rows, columns)
    tiers = [tier for tier in _kernels.isa_available() if isa in (None, tier)]
    rungs = [(tier, 1, partial(_kernels.softmax, x, isa=tier, threads=1)) for tier in tiers]
    last = tiers[-1]
    call = partial(_kernels.softmax, x, isa=last, threads=threads)
    if threads > 1:
        rungs.append((f"{last}, threads", threads, call))
    return Ladder(
        f"softmax of {rows} rows of {columns}",
        Work(4.0 * x.size, 2.0 * x.nbytes),
        "memory",
        tuple(rungs),
    )


def normal(dtype, *shape):
    """Standard normal numbers, the same at every call."""
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


def rungs_of(names, threads, call):
    """(name, threads, call) of the variants: one thread up to the last, that one with `threads`.

    Where no variant is called `threaded`, the last one is climbed twice, without and with them.
    """
    rungs = [(name, 1, partial(call, variant=name, threads=1)) for name in names]
    last = names[-1]
    with_threads = partial(call, variant=last, threads=threads)
    if last == "threaded":
        rungs[-1] = (last, threads, with_threads)
    elif threads > 1:
        rungs.append((f"{last}, threads", threads, with_threads))
    return tuple(rungs)


PROBLEMS = {
    "gemm": (gemm_ladder, 512),
    "conv": (conv_ladder, (2, 64, 56, 56, 64, 3, 3, 1, 1)),
    "pool": (pool_ladder, (16, 64, 112, 112, 3, 2, 1)),
    "softmax": (softmax_ladder, (8192, 1000)),
}


def problem(family, size=None, dtype="float32", isa=None, threads=0):
    """The `Ladder` of a family; arguments as for `ladder`."""
    if family not in PROBLEMS:
        raise ValueError(f"ladder: unknown family {family!r}; expected one of {tuple(PROBLEMS)}")
    build, default = PROBLEMS[family]
    threads = threads or _kernels.get_num_threads()
    try:
        return build(default if size is None else size, np.dtype(dtype), isa, threads)
    except (TypeError, ValueError) as error:
        raise ValueError(f"ladder: size for {family} is {build.__doc__} Got {size!r}") from error


def climb(ladder_, dtype="float32", isa=None, seconds=0.3, rounds=3, roofs=None):
    """Yields a `Rung` for each rung of a `Ladder`.

    `roofs`: peak in FLOP/s or bandwidth in bytes/s by number of threads; measured where missing.
    """
    roofs, first, before = dict(roofs or {}), None, None
    for name, threads, call in ladder_.rungs:
        if threads not in roofs:
            compute = ladder_.roof == "compute"
            roofs[threads] = peak(dtype, isa, threads) if compute else bandwidth(threads)
        start = time.perf_counter()
        result = call()
        once = time.perf_counter() - start
        result = result[0] if isinstance(result, tuple) else result
        first = result if first is None else first
        scale = np.abs(first).max(initial=np.finfo(first.dtype).tiny)
        # of a rung as slow as naive can be, the call that was checked is the one that is timed
        timing = Timing(once, 0.0, 1)
        if once <= SLOW:
            timing = race({name: call}, rounds, seconds, ready=partial(whole_cores, threads))[name]
        amount = ladder_.work.flops if ladder_.roof == "compute" else ladder_.work.bytes
        yield Rung(
            name,
            threads,
            timing,
            ladder_.work,
            amount / timing.best / roofs[threads],
            before / timing.best if before else 1.0,
            float(np.abs(result - first).max(initial=0) / scale),
        )
        before = timing.best


def ladder(family, size=None, *, dtype="float32", isa=None, threads=0, seconds=0.3):
    """Times every rung of a family's ladder and prints its table, a line as each is done.

    Args:
        family: "gemm", "conv", "pool" or "softmax".
        size: gemm: n or (m, n, k), default 512; conv: (n, c, h, w, k, r, s, stride, padding);
            pool: (n, c, h, w, window, stride, padding); softmax: (rows, columns).
        dtype: float32 or float64. isa: an instruction set (default: the one in force).
        threads: for the last rung (default: `get_num_threads()`); the others run on one.
        seconds: for each rung, about.

    A rung shows its time, rate, share of the measured roof (FMA peak, or copy bandwidth for memory-
    bound families, of the threads it uses), gain over the rung before, and largest difference from
    rung 1. Raises ValueError for an unknown family, size or instruction set.
    """
    ladder_ = problem(family, size, dtype, isa, threads)
    compute = ladder_.roof == "compute"
    unit, roof = ("GFLOP/s", "FMA peak") if compute else ("GB/s", "bandwidth")
    print(f"{ladder_.title}, {np.dtype(dtype)}, {isa or _kernels.get_isa()}, {_measure.cpu_name()}")
    print(
        f"{'rung':18}{'threads':>7}{'time':>10}{unit:>10}{'of ' + roof:>14}"
        f"{'over the one before':>21}{'difference':>12}"
    )
    start = None
    for rung in climb(ladder_, dtype, isa, seconds):
        start = start or rung.timing.best
        amount = rung.work.flops if compute else rung.work.bytes
        print(
            f"{rung.name:18}{rung.threads:>7}{_measure.duration(rung.timing.best):>10}"
            f"{_measure.three_digits(amount / rung.timing.best / 1e9):>10}{rung.of_roof:>14.0%}"
            f"{rung.gain:>20.1f}x{rung.error:>12.0e}",
            flush=True,
        )
    print(f"the last rung is {start / rung.timing.best:.0f} times the first")
