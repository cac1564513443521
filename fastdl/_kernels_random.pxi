# Random numbers: included by _kernels.pyx.
#
# Element i of a draw is a function of (seed, draw, i): the same call gives the same array, whatever
# the number of threads. `seed` and `draw` are taken modulo 2**64.
from libc.math cimport isfinite


cdef extern from "Python.h":
    uint64_t PyLong_AsUnsignedLongLongMask(object) except? 0xFFFFFFFFFFFFFFFF


cdef fdl_draw draw_of(seed, draw) except *:
    cdef fdl_draw d
    d.seed = PyLong_AsUnsignedLongLongMask(seed)
    d.draw = PyLong_AsUnsignedLongLongMask(draw)
    return d


cdef int fill_random(
    cnp.ndarray out, int kind, seed, draw, double a, double b, isa, int threads, str where
) except -1:
    cdef const fdl_kernels *kernels = table_of(out, isa, where, "out")
    cdef fdl_draw d = draw_of(seed, draw)
    cdef int n = threads_of(threads)
    need_writable(out, where, "out")
    with nogil:
        kernels.random_fill(kind, d, cnp.PyArray_SIZE(out), a, b, data_of(out), n)
    return 0


def random_uniform(
    cnp.ndarray out not None, seed, draw, double low=0, double high=1, *, isa=None, int threads=0
):
    """Fill `out` with uniform numbers in [low, high); returns it."""
    if not (low <= high and isfinite(high - low)):
        raise ValueError(f"random_uniform: low <= high must be finite, got {low} and {high}")
    fill_random(out, FDL_UNIFORM, seed, draw, low, high, isa, threads, "random_uniform")
    return out


def random_normal(
    cnp.ndarray out not None, seed, draw, double mean=0, double std=1, *, isa=None, int threads=0
):
    """Fill `out` with normal numbers of that mean and standard deviation; returns it."""
    fill_random(out, FDL_NORMAL, seed, draw, mean, std, isa, threads, "random_normal")
    return out


def random_exponential(
    cnp.ndarray out not None, seed, draw, double rate=1, *, isa=None, int threads=0
):
    """Fill `out` with exponential numbers of mean 1 / rate, none of them 0; returns it."""
    fill_random(out, FDL_EXPONENTIAL, seed, draw, rate, 0, isa, threads, "random_exponential")
    return out


def random_bernoulli(cnp.ndarray out not None, seed, draw, double p, *, isa=None, int threads=0):
    """Fill `out` with 1 with probability p, else 0; returns it."""
    if not 0 <= p <= 1:
        raise ValueError(f"random_bernoulli: p must be between 0 and 1, got {p}")
    fill_random(out, FDL_BERNOULLI, seed, draw, p, 0, isa, threads, "random_bernoulli")
    return out


cdef int need_integers(cnp.ndarray out, str where) except -1:
    if cnp.PyArray_TYPE(out) != cnp.NPY_INT64:
        raise TypeError(f"{where}: out must be int64, got {out.dtype}")
    return need_writable(out, where, "out")


def random_integers(cnp.ndarray out not None, seed, draw, low, high, *, isa=None, int threads=0):
    """Fill `out`, int64, with integers in [low, high), equally likely within
    (high - low) / 2**64; returns it."""
    cdef const fdl_kernels *kernels = fdl_table(tier_of(isa), FDL_F64)
    cdef fdl_draw d = draw_of(seed, draw)
    cdef int n = threads_of(threads)
    cdef int64_t first
    cdef uint64_t range
    need_integers(out, "random_integers")
    low, high = int(low), int(high)
    if not -(2**63) <= low < high <= 2**63:
        raise ValueError(f"random_integers: low < high must fit int64, got {low} and {high}")
    first, range = low, (high - low) % 2**64
    with nogil:
        kernels.random_integers(
            d, cnp.PyArray_SIZE(out), first, range, <int64_t *> data_of(out), n
        )
    return out


def random_permutation(cnp.ndarray out not None, seed, draw, *, isa=None):
    """Fill `out`, int64, with 0, 1, ... in random order; returns it."""
    cdef const fdl_kernels *kernels = fdl_table(tier_of(isa), FDL_F64)
    cdef fdl_draw d = draw_of(seed, draw)
    need_integers(out, "random_permutation")
    with nogil:
        kernels.permutation(d, cnp.PyArray_SIZE(out), <int64_t *> data_of(out))
    return out


def dropout(
    cnp.ndarray x not None, seed, draw, double p, *, out=None, isa=None, int threads=0
):
    """0 with probability p, else x / (1 - p); the same elements are dropped for the same (seed,
    draw). x is C-contiguous; `out` may be x."""
    cdef const fdl_kernels *kernels = table_of(x, isa, "dropout", "x")
    cdef fdl_draw d = draw_of(seed, draw)
    cdef int n = threads_of(threads)
    cdef cnp.ndarray y
    if not 0 <= p <= 1:
        raise ValueError(f"dropout: p must be between 0 and 1, got {p}")
    need_c_order(x, "dropout", "x")
    y = output_like(out, x, "dropout")
    with nogil:
        kernels.dropout(d, cnp.PyArray_SIZE(x), p, data_of(x), data_of(y), n)
    return y
