# GEMM: included by _kernels.pyx.

ACTIVATIONS = ("relu", "gelu", "gelu_tanh")
GEMM_VARIANTS = ("naive", "reordered", "blocked", "packed", "simd", "threaded")

cdef object PRODUCTION = GEMM_VARIANTS[5]


def gemm(cnp.ndarray a not None, cnp.ndarray b not None, *, out=None, bias=None,
         bint accumulate=False, activation=None, before=None, variant=PRODUCTION, isa=None,
         int threads=0):
    """Matrix product `a @ b`, plus `bias`, plus what `out` held if `accumulate`; of that the
    activation, applied while the values are in the cache.

    Args:
        a: (..., m, k), float32 or float64, any strides.
        b: (..., k, n), a's dtype, any strides. Leading dimensions broadcast against a's.
        out: array of the result's shape and dtype to write, sharing no memory with a, b or bias;
            any strides, none of them zero. Default: a new C-contiguous array.
        bias: (n,), a's dtype, added to every row. Default: none.
        accumulate: add to `out` (which must be given) rather than overwrite it. Default: False.
        activation: one of `ACTIVATIONS`: max(x, 0), x Phi(x) with the normal distribution Phi, or
            its approximation by tanh. Default: None, the sums themselves.
        before: array of the result's shape, dtype and strides (C-contiguous, unless `out` says
            otherwise) that gets what the activation is applied to. Default: it is not kept.
        variant: one of `GEMM_VARIANTS`. Default: "threaded", the production kernel.
        isa: one of `isa_available()`. Default: None, the one in force.
        threads: upper bound. Default: 0, `get_num_threads()`.

    Returns:
        (..., m, n) of a's dtype: `out` if given. k = 0 gives the bias, or zeros.

    Raises:
        TypeError: a dtype is not float32 or float64, or differs from a's, or is not native-endian.
        ValueError: shapes do not match, `out` is read-only, has repeated elements or shares memory
            with an operand, or a name or a thread count is unknown.
        MemoryError: no memory for the result or for packing.
    """
    cdef const fdl_kernels *kernels = table_of(a, isa, "gemm", "a")
    if not cnp.PyArray_ISALIGNED(a):
        a = a.copy()
    if not cnp.PyArray_ISALIGNED(b):
        b = b.copy()
    cdef int most = threads_of(threads)
    cdef int v = 5 if variant is PRODUCTION else variant_of("gemm", GEMM_VARIANTS, variant)
    cdef int a_nd = cnp.PyArray_NDIM(a), b_nd = cnp.PyArray_NDIM(b)
    cdef cnp.npy_intp *a_shape = cnp.PyArray_DIMS(a)
    cdef cnp.npy_intp *b_shape = cnp.PyArray_DIMS(b)
    cdef cnp.npy_intp shape[64]
    cdef int64_t size, a_size, b_size
    cdef int64_t itemsize = kernels.itemsize
    cdef int64_t a_step[64]
    cdef int64_t b_step[64]
    cdef int64_t c_step[64]
    cdef int nd, d, i, j, axes = 0, status
    cdef cnp.ndarray c, bias_array
    cdef fdl_gemm p

    same_dtype(a, a, "gemm", "a")
    same_dtype(a, b, "gemm", "b")
    if a_nd < 2 or b_nd < 2 or a_shape[a_nd - 1] != b_shape[b_nd - 2]:
        raise ValueError(
            "gemm: a and b must be (..., m, k) and (..., k, n), "
            f"got {np.shape(a)} and {np.shape(b)}"
        )

    # the leading dimensions, broadcast: steps are in elements, 0 where a dimension is repeated
    nd = max(a_nd, b_nd)
    for d in range(nd - 2):
        i = d - (nd - a_nd)
        j = d - (nd - b_nd)
        a_size = a_shape[i] if i >= 0 else 1
        b_size = b_shape[j] if j >= 0 else 1
        if a_size != b_size and a_size != 1 and b_size != 1:
            raise ValueError(
                "gemm: the leading dimensions of a and b must broadcast, "
                f"got {np.shape(a)} and {np.shape(b)}"
            )
        shape[d] = b_size if a_size == 1 else a_size
        a_step[d] = 0 if a_size == 1 else cnp.PyArray_STRIDES(a)[i] // itemsize
        b_step[d] = 0 if b_size == 1 else cnp.PyArray_STRIDES(b)[j] // itemsize
    p.m = a_shape[a_nd - 2]
    p.n = b_shape[b_nd - 1]
    p.k = a_shape[a_nd - 1]
    shape[nd - 2] = p.m
    shape[nd - 1] = p.n

    if out is None:
        if accumulate:
            raise ValueError("gemm: accumulate=True needs out, the array to add to")
        c = cnp.PyArray_EMPTY(nd, shape, cnp.PyArray_TYPE(a), 0)
    else:
        c = gemm_out(out, nd, shape, a, b)
    bias_array = None if bias is None else gemm_bias(bias, p.n, a, out)
    p.bias = NULL if bias_array is None else cnp.PyArray_DATA(bias_array)
    p.accumulate = accumulate
    p.activation = 0
    if activation is not None:
        if activation not in ACTIVATIONS:
            raise ValueError(
                f"gemm: unknown activation {activation!r}; expected None or one of {ACTIVATIONS}"
            )
        p.activation = 1 + ACTIVATIONS.index(activation)
    p.before = NULL if before is None else gemm_before(before, activation, c, a, b, bias_array)
    p.a = cnp.PyArray_DATA(a)
    p.a_row = cnp.PyArray_STRIDES(a)[a_nd - 2] // itemsize
    p.a_col = cnp.PyArray_STRIDES(a)[a_nd - 1] // itemsize
    p.b = cnp.PyArray_DATA(b)
    p.b_row = cnp.PyArray_STRIDES(b)[b_nd - 2] // itemsize
    p.b_col = cnp.PyArray_STRIDES(b)[b_nd - 1] // itemsize
    p.c = cnp.PyArray_DATA(c)
    p.c_row = cnp.PyArray_STRIDES(c)[nd - 2] // itemsize
    p.c_col = cnp.PyArray_STRIDES(c)[nd - 1] // itemsize

    # neighbouring dimensions that one step walks, in a, b and c alike, become one
    for d in range(nd - 2):
        size = shape[d]
        c_step[d] = cnp.PyArray_STRIDES(c)[d] // itemsize
        if size == 0:
            return c
        if size == 1:
            continue
        if (axes and a_step[axes - 1] == a_step[d] * size and b_step[axes - 1] == b_step[d] * size
                and c_step[axes - 1] == c_step[d] * size):
            axes -= 1
            size *= shape[axes]
        shape[axes] = size
        a_step[axes] = a_step[d]
        b_step[axes] = b_step[d]
        c_step[axes] = c_step[d]
        axes += 1
    p.batch = 1
    p.a_batch = p.b_batch = p.c_batch = 0
    if axes:
        axes -= 1
        p.batch = shape[axes]
        p.a_batch = a_step[axes]
        p.b_batch = b_step[axes]
        p.c_batch = c_step[axes]
        if p.b_batch == 0 and p.a_batch == p.m * p.a_row and p.c_batch == p.m * p.c_row:
            p.m *= p.batch                          # one b for all rows of a: a single product
            p.batch = 1
    with nogil:
        status = gemm_over(kernels.gemm[v], &p, axes, shape, a_step, b_step, c_step, itemsize, most)
    finish(status, "gemm")
    return c


cdef int gemm_over(fdl_gemm_fn *kernel, fdl_gemm *p, int axes, const cnp.npy_intp *shape,
                   const int64_t *a_step, const int64_t *b_step, const int64_t *c_step,
                   int64_t itemsize, int threads) noexcept nogil:
    """The kernel for every index of the `axes` dimensions that its own batch does not cover."""
    cdef const char *a = <const char *>p.a
    cdef const char *b = <const char *>p.b
    cdef char *c = <char *>p.c
    cdef char *before = <char *>p.before
    cdef int64_t i
    cdef int status = FDL_OK
    if axes == 0:
        return kernel(p, threads)
    for i in range(shape[0]):
        p.a = a + i * a_step[0] * itemsize
        p.b = b + i * b_step[0] * itemsize
        p.c = c + i * c_step[0] * itemsize
        if before != NULL:
            p.before = before + i * c_step[0] * itemsize
        status = gemm_over(kernel, p, axes - 1, shape + 1, a_step + 1, b_step + 1, c_step + 1,
                           itemsize, threads)
        if status != FDL_OK:
            break
    return status


cdef cnp.ndarray gemm_out(out, int nd, const cnp.npy_intp *shape, cnp.ndarray a, cnp.ndarray b):
    """`out` of gemm, checked: shape, dtype, writable, distinct elements, apart from a and b."""
    cdef cnp.ndarray c
    cdef bint fits
    cdef int d
    if not isinstance(out, np.ndarray):
        raise TypeError(f"gemm: out must be a NumPy array, got {type(out).__name__}")
    c = out
    fits = cnp.PyArray_NDIM(c) == nd
    for d in range(nd if fits else 0):
        fits = fits and cnp.PyArray_DIM(c, d) == shape[d]
    if not fits:
        wanted = tuple([shape[d] for d in range(nd)])
        raise ValueError(f"gemm: out must have shape {wanted}, got {out.shape}")
    same_dtype(a, c, "gemm", "out")
    if not cnp.PyArray_ISWRITEABLE(c):
        raise ValueError("gemm: out must be writable, got a read-only array")
    for d in range(nd if cnp.PyArray_SIZE(c) else 0):
        if shape[d] > 1 and cnp.PyArray_STRIDE(c, d) == 0:
            raise ValueError("gemm: out must have distinct elements, got a broadcast array")
    gemm_apart(c, a, "a")
    gemm_apart(c, b, "b")
    return c


cdef cnp.ndarray gemm_bias(bias, int64_t n, cnp.ndarray a, out):
    """`bias` of gemm, checked and contiguous."""
    if not isinstance(bias, np.ndarray):
        raise TypeError(f"gemm: bias must be a NumPy array, got {type(bias).__name__}")
    same_dtype(a, bias, "gemm", "bias")
    if bias.ndim != 1 or bias.shape[0] != n:
        raise ValueError(f"gemm: bias must have shape ({n},), got {bias.shape}")
    if out is not None:
        gemm_apart(out, bias, "bias")
    return cnp.PyArray_GETCONTIGUOUS(bias)


cdef void *gemm_before(before, activation, cnp.ndarray c, cnp.ndarray a, cnp.ndarray b,
                       bias) except NULL:
    """The data of gemm's `before`, checked."""
    if activation is None:
        raise ValueError("gemm: before needs an activation")
    if not isinstance(before, np.ndarray):
        raise TypeError(f"gemm: before must be a NumPy array, got {type(before).__name__}")
    cdef cnp.ndarray x = before
    cdef bint fits = cnp.PyArray_SAMESHAPE(x, c)
    cdef int d
    same_dtype(c, x, "gemm", "before")
    for d in range(cnp.PyArray_NDIM(c) if fits else 0):
        fits = fits and (cnp.PyArray_STRIDE(x, d) == cnp.PyArray_STRIDE(c, d)
                         or cnp.PyArray_DIM(c, d) == 1 or cnp.PyArray_SIZE(c) == 0)
    if not fits or not cnp.PyArray_ISWRITEABLE(x):
        raise ValueError(
            f"gemm: before must be writable, with the result's shape {np.shape(c)} and strides, "
            f"got shape {np.shape(x)}"
        )
    for name, other in (("out", c), ("a", a), ("b", b), ("bias", bias)):
        if other is not None:
            gemm_apart(x, other, name, "before")
    return cnp.PyArray_DATA(x)


cdef int gemm_apart(cnp.ndarray c, cnp.ndarray x, str name, str what="out") except -1:
    """ValueError if c shares memory with x; the exact question is asked only if bounds overlap."""
    cdef char *ends[4]
    gemm_bounds(c, ends)
    gemm_bounds(x, ends + 2)
    if ends[0] < ends[3] and ends[2] < ends[1] and np.shares_memory(c, x):
        raise ValueError(f"gemm: {what} must not share memory with {name}")
    return 0


cdef void gemm_bounds(cnp.ndarray x, char **ends) noexcept:
    """The first byte of x and the one after its last."""
    cdef cnp.npy_intp span
    cdef int d
    ends[0] = cnp.PyArray_BYTES(x)
    ends[1] = ends[0] + cnp.PyArray_ITEMSIZE(x)
    for d in range(cnp.PyArray_NDIM(x)):
        span = (cnp.PyArray_DIM(x, d) - 1) * cnp.PyArray_STRIDE(x, d)
        if span < 0:
            ends[0] += span
        else:
            ends[1] += span
