# cython: boundscheck=False, wraparound=False, cdivision=True, embedsignature=True
"""The only door to the C kernels: check, allocate, release the GIL, call.

Functions take and return NumPy arrays of float32 or float64. Each checks its arguments before C
sees them and raises TypeError (dtype) or ValueError (shape, layout, unknown variant or instruction
set) naming the function, the argument and what was expected; MemoryError when scratch memory could
not be had. `threads=0` means `get_num_threads()`, `isa=None` the tier in force (`get_isa()`).
"""
import os

import numpy as np

cimport cython
cimport numpy as cnp
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE
from libc.math cimport INFINITY, NAN, sqrt, sqrtf
from libc.stdint cimport int64_t, uint64_t, uint8_t
from libc.string cimport memcpy, memset

cnp.import_array()

include "_kernels_gemm.pxi"
include "_kernels_conv.pxi"
include "_kernels_pool.pxi"
include "_kernels_attention.pxi"
include "_kernels_rnn.pxi"
include "_kernels_rows.pxi"
include "_kernels_move.pxi"
include "_kernels_reduce.pxi"
include "_kernels_random.pxi"
include "_kernels_norm.pxi"
include "_kernels_embedding.pxi"
include "_kernels_optim.pxi"
include "_kernels_elementwise.pxi"
include "_kernels_memory.pxi"
include "_kernels_places.pxi"
include "_kernels_order.pxi"
include "_kernels_gamma.pxi"
include "_kernels_divide.pxi"

cdef tuple TIER_NAMES = ("generic", "avx2", "avx512")
cdef int current_tier = fdl_best_tier()


def isa_available():
    """Names of the instruction sets this build and this CPU can run, narrowest first."""
    return tuple(name for i, name in enumerate(TIER_NAMES) if fdl_table(i, FDL_F32) != NULL)


def get_isa():
    """The instruction set in force: the widest, unless `FASTDL_ISA` or `set_isa` chose."""
    return TIER_NAMES[current_tier]


def set_isa(name):
    """Use the kernels compiled for `name`; ValueError if this build or CPU cannot run them."""
    global current_tier
    current_tier = tier_of(name)


cdef int tier_of(isa) except -1:
    if isa is None:
        return current_tier
    if isa not in isa_available():
        raise ValueError(f"isa: {isa!r} is not available here; expected one of {isa_available()}")
    return TIER_NAMES.index(isa)


def get_num_threads():
    """The most threads kernels use: what `set_num_threads` said, at first `available_threads()`.

    Less where OpenMP's own count has been lowered in the calling thread, as
    `threadpoolctl.threadpool_limits` does.
    """
    return fdl_threads()


def set_num_threads(int n):
    """Let kernels use at most `n` threads (`n >= 1`).

    Small problems use fewer, and where other programs keep the CPUs busy all use one.
    """
    if n < 1:
        raise ValueError(f"set_num_threads: n must be at least 1, got {n}")
    fdl_set_threads(n)


def free_threads():
    """What kernels use at this moment: `get_num_threads()`, or 1 while others use the CPUs."""
    return fdl_free_threads()


def planned_threads():
    """The most threads that kernels have used in this thread since the last call of this."""
    return fdl_planned()


def available_threads():
    """`OMP_NUM_THREADS`, else the least of OpenMP's count, CPU affinity and cgroup quota."""
    return fdl_available_threads()


def compiler():
    """Name and version of the C compiler that built the kernels."""
    return fdl_compiler().decode().strip()


def has_openmp():
    """Whether this build has threads."""
    return bool(fdl_has_openmp())


cdef int threads_of(int threads) except -1:
    if threads < 0:
        raise ValueError(f"threads: must be 0 (the default count) or positive, got {threads}")
    return threads if threads else fdl_free_threads()


cdef const fdl_kernels *table_of(cnp.ndarray x, isa, str where, str argument) except NULL:
    """The kernels for x's dtype and `isa`."""
    cdef int typenum = cnp.PyArray_TYPE(x)
    cdef int tier = current_tier if isa is None else tier_of(isa)
    if typenum == cnp.NPY_FLOAT32:
        return fdl_table(tier, FDL_F32)
    if typenum == cnp.NPY_FLOAT64:
        return fdl_table(tier, FDL_F64)
    raise TypeError(f"{where}: {argument} must be float32 or float64, got {x.dtype}")


cdef int variant_of(str where, tuple names, variant) except -1:
    for i in range(len(names)):
        if names[i] == variant:
            return i
    raise ValueError(f"{where}: unknown variant {variant!r}; expected one of {names}")


cdef int finish(int status, str where) except -1:
    if status == FDL_NOMEM:
        raise MemoryError(f"{where}: no memory for the kernel's scratch buffers")
    return 0


cdef int same_dtype(cnp.ndarray x, cnp.ndarray y, str where, str argument) except -1:
    """y must be native-endian, aligned and of x's dtype."""
    if cnp.PyArray_TYPE(x) != cnp.PyArray_TYPE(y) or not cnp.PyArray_ISBEHAVED_RO(y):
        raise TypeError(f"{where}: {argument} must be an aligned {x.dtype} array, got {y.dtype}")
    return 0


cdef int need_contiguous(cnp.ndarray x, int ndim, str where, str argument) except -1:
    if cnp.PyArray_NDIM(x) != ndim or not cnp.PyArray_IS_C_CONTIGUOUS(x):
        raise ValueError(
            f"{where}: {argument} must be C-contiguous with {ndim} dimensions, "
            f"got shape {np.shape(x)}"
        )
    return 0


def fma_peak(dtype="float32", isa=None, int threads=0, double seconds=0.2):
    """FLOP/s of register-only FMAs on `threads` threads, best over `seconds`: a roofline's roof."""
    import time

    cdef const fdl_kernels *k = table_of(np.empty(0, dtype), isa, "fma_peak", "dtype")
    cdef int n = threads_of(threads)
    cdef int64_t iterations = 100_000
    cdef double flops, best = 0
    stop = time.perf_counter() + seconds
    while True:
        start = time.perf_counter()
        with nogil:
            flops = k.fma_peak(iterations, n)
        end = time.perf_counter()
        best = max(best, flops / (end - start))
        if end > stop:
            return best


if os.environ.get("FASTDL_ISA"):
    if os.environ["FASTDL_ISA"] not in isa_available():
        raise ImportError(
            f"FASTDL_ISA={os.environ['FASTDL_ISA']!r} is not available here; "
            f"expected one of {isa_available()}"
        )
    set_isa(os.environ["FASTDL_ISA"])
