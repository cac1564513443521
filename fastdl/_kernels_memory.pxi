# The pool of array memory: included by _kernels.pyx. NumPy takes the memory of its arrays there
# (NEP 49) in every context that called join_pool: the importing thread's, and those in which the
# engine runs operations. FASTDL_NO_POOL=1 leaves NumPy as it is.
from cpython.pycapsule cimport PyCapsule_New
from libc.string cimport strcpy

cdef extern from "numpy/arrayobject.h":
    ctypedef struct PyDataMemAllocator:
        void *ctx
        void *(*malloc)(void *ctx, size_t size) noexcept nogil
        void *(*calloc)(void *ctx, size_t nelem, size_t elsize) noexcept nogil
        void *(*realloc)(void *ctx, void *ptr, size_t new_size) noexcept nogil
        void (*free)(void *ctx, void *ptr, size_t size) noexcept nogil
    ctypedef struct PyDataMem_Handler:
        char name[127]
        unsigned char version
        PyDataMemAllocator allocator
    object PyDataMem_SetHandler(object handler)


cdef void *pool_malloc(void *ctx, size_t size) noexcept nogil:
    return fdl_alloc(size)


cdef void *pool_calloc(void *ctx, size_t nelem, size_t elsize) noexcept nogil:
    return fdl_alloc_zeroed(nelem, elsize)


cdef void *pool_realloc(void *ctx, void *ptr, size_t new_size) noexcept nogil:
    return fdl_realloc(ptr, new_size)


cdef void pool_free(void *ctx, void *ptr, size_t size) noexcept nogil:
    fdl_free(ptr)


cdef PyDataMem_Handler pool_handler
strcpy(pool_handler.name, b"fastdl_pool")
pool_handler.version = 1
pool_handler.allocator.ctx = NULL
pool_handler.allocator.malloc = pool_malloc
pool_handler.allocator.calloc = pool_calloc
pool_handler.allocator.realloc = pool_realloc
pool_handler.allocator.free = pool_free
cdef object pool_capsule = PyCapsule_New(&pool_handler, "mem_handler", NULL)
cdef bint pooled = os.environ.get("FASTDL_NO_POOL", "0") in ("", "0")


def join_pool():
    """Let NumPy arrays made from now on in this context (contextvars) take their memory from the
    pool, unless FASTDL_NO_POOL is set."""
    if pooled:
        PyDataMem_SetHandler(pool_capsule)


def memory_stats():
    """What the pool holds, as a dict.

    live: bytes of arrays of 4 KiB and more in use, and of the kernels' scratch; peak: the most
    there were since the start or `reset_peak_memory_stats`; cached: bytes that are free but kept
    for the next array; limit: the bound on those; reused, fresh: arrays that got kept memory, and
    new memory; pooled: whether NumPy uses the pool.
    """
    cdef fdl_memory m
    fdl_memory_stats(&m)
    return {
        "live": m.live,
        "peak": m.peak,
        "cached": m.cached,
        "limit": m.limit,
        "reused": m.reused,
        "fresh": m.fresh,
        "pooled": pooled,
    }


def empty_cache():
    """Give the memory that is kept for coming arrays back to the system."""
    fdl_empty_cache()


def reset_peak_memory_stats():
    """Let `peak` of `memory_stats` start anew from what is in use."""
    fdl_reset_peak_memory()


def set_memory_limit(bytes):
    """Keep at most so many bytes of freed memory; at first a quarter of the machine's (or the
    container's)."""
    if bytes < 0:
        raise ValueError(f"set_memory_limit: bytes must not be negative, got {bytes}")
    fdl_set_memory_limit(bytes)


join_pool()
if not pooled:
    fdl_set_memory_limit(0)                 # for the kernels' scratch, too
