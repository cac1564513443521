"""What fastdl runs on: threads, instruction set, Winograd or not, memory, NumPy's BLAS.

Threads: every kernel uses at most :func:`get_num_threads` threads, fewer where the problem is
small. The count starts at ``OMP_NUM_THREADS``, else at the least of OpenMP's count, the CPU
affinity and the container's quota. A limit that ``threadpoolctl`` puts on OpenMP in the calling
thread holds too, whatever :func:`set_num_threads` said. Results do not depend on the count. A
forked child runs on one thread, since OpenMP's threads do not survive a fork.
"""

import importlib.util
import platform
from pathlib import Path

import numpy as np

from fastdl import _kernels
from fastdl._version import __version__

__all__ = [
    "config",
    "empty_cache",
    "get_num_threads",
    "is_winograd_enabled",
    "isa",
    "isa_available",
    "join_pool",
    "memory_stats",
    "reset_peak_memory_stats",
    "set_isa",
    "set_memory_limit",
    "set_num_threads",
    "set_winograd_enabled",
    "show_config",
]


def get_num_threads() -> int:
    """The most threads a kernel may use, with OpenMP's own limit in this thread."""
    return _kernels.get_num_threads()


def set_num_threads(num: int) -> None:
    """Let kernels use at most ``num`` threads.

    TypeError unless ``num`` is an integer, RuntimeError unless it is positive, as in PyTorch.
    """
    if not isinstance(num, int | np.integer) or isinstance(num, bool):
        raise TypeError(f"set_num_threads: num must be an int, got {type(num).__name__}")
    if num < 1:
        raise RuntimeError(f"set_num_threads: num must be positive, got {num}")
    _kernels.set_num_threads(min(int(num), 2**31 - 1))


def isa() -> str:
    """The instruction set whose kernels run: ``'generic'``, ``'avx2'`` or ``'avx512'``."""
    return _kernels.get_isa()


def isa_available() -> tuple[str, ...]:
    """The instruction sets that this build and this CPU can run, narrowest first."""
    return _kernels.isa_available()


def set_isa(name: str) -> None:
    """Run the kernels compiled for ``name``; ValueError unless it is in :func:`isa_available`.

    The environment variable ``FASTDL_ISA`` does the same at import.
    """
    _kernels.set_isa(name)


def is_winograd_enabled() -> bool:
    """Whether convolutions may run on Winograd's algorithm; see :class:`set_winograd_enabled`."""
    return not _kernels.winograd_forbidden()


class set_winograd_enabled:
    """Let convolutions run on Winograd's algorithm (``True``, the default), or forbid it.

    It computes 3x3 convolutions of stride 1 and 4x4 ones of stride 2, transposed ones too, with a
    quarter to half of the multiplications, at the price of accuracy: errors up to about
    ``4 * eps * sqrt(channels)`` of the largest output (``6 * ...`` for 4x4 filters), 3e-6 for 64
    channels in float32, rather than 5e-7, and up to ``2 * eps * sqrt(outputs per channel)`` of the
    largest weight gradient; and a NaN or infinity spreads to every output of the 4x4 tiles
    that read it. Where that matters:

        fastdl.runtime.set_winograd_enabled(False)            # from here on
        with fastdl.runtime.set_winograd_enabled(False): ...  # in this block, like set_grad_enabled

    Holds for all threads of the process. The environment variable ``FASTDL_NO_WINOGRAD=1`` forbids
    it from the start. ``fastdl.kernels.explain_conv`` tells what a convolution runs on.
    """

    def __init__(self, mode: bool):
        self.before = is_winograd_enabled()
        _kernels.forbid_winograd(not mode)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exception: object) -> None:
        _kernels.forbid_winograd(not self.before)


def join_pool() -> None:
    """Let NumPy arrays made in this context take their memory from fastdl's pool.

    The thread that imports fastdl has done so, and so does every operation on Tensors. Freed blocks
    of 4 KiB and more serve the next arrays of about their size, which spares the system the work of
    handing out fresh pages. The environment variable ``FASTDL_NO_POOL=1`` turns the pool off.
    """
    _kernels.join_pool()


def memory_stats() -> dict[str, int | bool]:
    """Bytes in the pool of array memory, as plain values.

    Keys: ``live`` (in use, with the kernels' scratch memory), ``peak`` (most in use since the start
    or :func:`reset_peak_memory_stats`), ``cached`` (free, kept for the next array), ``limit`` (the
    bound on those), ``reused`` and ``fresh`` (how many arrays got kept and new memory), ``pooled``
    (False under ``FASTDL_NO_POOL=1``). Arrays under 4 KiB do not count.
    """
    return _kernels.memory_stats()


def reset_peak_memory_stats() -> None:
    """Let ``peak`` of :func:`memory_stats` start anew from what is in use now."""
    _kernels.reset_peak_memory_stats()


def empty_cache() -> None:
    """Give the memory that is kept for coming arrays back to the system."""
    _kernels.empty_cache()


def set_memory_limit(bytes: int) -> None:
    """Keep at most so many bytes of freed memory; at first a quarter of what the machine or the
    container has. ValueError if negative."""
    _kernels.set_memory_limit(bytes)


def config() -> dict:
    """What fastdl found here, as plain values: numbers, strings, None where unknown, dicts of them.

    Keys: ``version``, ``isa``, ``isa_available``, ``compiler``, ``openmp``, ``threads``,
    ``available_threads``, ``winograd`` (may convolutions use it?), ``cpu``, ``caches`` (bytes by
    name), ``python``, ``numpy``, ``blas``, ``cupy`` (is it installed?).
    """
    return {
        "version": __version__,
        "isa": isa(),
        "isa_available": list(isa_available()),
        "compiler": _kernels.compiler(),
        "openmp": _kernels.has_openmp(),
        "threads": get_num_threads(),
        "available_threads": _kernels.available_threads(),
        "winograd": is_winograd_enabled(),
        "cpu": _cpu_model(),
        "caches": _caches(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": _blas(),
        "cupy": importlib.util.find_spec("cupy") is not None,
    }


def show_config() -> str:
    """:func:`config` as lines of ``name  value``."""
    values = config()
    width = max(map(len, values))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in values.items())


def _cpu_model() -> str | None:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine() or None


def _caches() -> dict[str, int]:
    """Bytes of the caches that the first core sees; empty where the system does not say."""
    sizes = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            level = (index / "level").read_text().strip()
            kind = (index / "type").read_text().strip()
            size = (index / "size").read_text().strip()
        except OSError:
            continue
        name = f"L{level}" + {"Data": "d", "Instruction": "i"}.get(kind, "")
        unit = {"K": 2**10, "M": 2**20}.get(size[-1:], 1)
        sizes[name] = int(size.rstrip("KM")) * unit
    return sizes


def _blas() -> str | None:
    """Name and version of the library behind NumPy's ``@``."""
    blas = np.show_config(mode="dicts").get("Build Dependencies", {}).get("blas", {})
    return " ".join(str(blas[k]) for k in ("name", "version") if blas.get(k)) or None
