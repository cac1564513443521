# GEMM: included by _kernels.pyx.

GEMM_VARIANTS = ("naive", "reordered", "blocked", "packed", "simd", "threaded")


def gemm(cnp.ndarray a not None, cnp.ndarray b not None, *, out=None, bias=None, variant="threaded", isa=None, int threads=0):
    """`a @ b` for a (..., m, k) and b (..., k, n)."""
    cdef const fdl_kernels *kernels = table_of(a, isa, "gemm", "a")
    cdef int n = threads_of(threads)
    cdef int v = variant_of("gemm", GEMM_VARIANTS, variant)
    cdef int status
    cdef fdl_gemm p
    cdef cnp.ndarray c
    same_dtype(a, b, "gemm", "b")
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        raise ValueError(f"gemm: a and b must be (m, k) and (k, n), got {np.shape(a)} and {np.shape(b)}")
    c = np.empty((a.shape[0], b.shape[1]), a.dtype)
    p.batch = 1
    p.m, p.n, p.k = a.shape[0], b.shape[1], a.shape[1]
    p.a, p.a_batch, p.a_row, p.a_col = cnp.PyArray_DATA(a), 0, a.strides[0] // a.itemsize, a.strides[1] // a.itemsize
    p.b, p.b_batch, p.b_row, p.b_col = cnp.PyArray_DATA(b), 0, b.strides[0] // b.itemsize, b.strides[1] // b.itemsize
    p.c, p.c_batch, p.c_row, p.c_col = cnp.PyArray_DATA(c), 0, p.n, 1
    p.bias = NULL
    p.accumulate = 0
    with nogil:
        status = kernels.gemm[v](&p, n)
    finish(status, "gemm")
    return c
