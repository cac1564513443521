# Normalisation kernels: included by _kernels.pyx.
#
# Arrays are C-ordered. A channel's weight, bias and statistics are vectors; None stands for a
# weight of 1 and a bias of 0.

cdef void *vector_of(cnp.ndarray x, values, int64_t length, str where, str argument) except? NULL:
    """The data of a vector of `length` values of x's dtype; NULL for None."""
    if values is None:
        return NULL
    cdef cnp.ndarray vector = values
    same_dtype(x, vector, where, argument)
    need_c_order(vector, where, argument)
    if cnp.PyArray_SIZE(vector) != length:
        raise ValueError(
            f"{where}: {argument} must have {length} elements, got shape {np.shape(vector)}"
        )
    return data_of(vector)


cdef int64_t channels_of(cnp.ndarray x, int64_t *p, str where) except -1:
    """The number of channels of x (n, c, ...); *p becomes the number of values behind them."""
    cdef int i, ndim = cnp.PyArray_NDIM(x)
    if ndim < 2:
        raise ValueError(f"{where}: x must have at least 2 dimensions, got shape {np.shape(x)}")
    need_c_order(x, where, "x")
    p[0] = 1
    for i in range(2, ndim):
        p[0] *= cnp.PyArray_DIM(x, i)
    return cnp.PyArray_DIM(x, 1)


cdef inline cnp.ndarray empty_vector(cnp.ndarray x, int64_t length):
    cdef cnp.npy_intp size = length
    return cnp.PyArray_EMPTY(1, &size, cnp.PyArray_TYPE(x), 0)


cdef cnp.ndarray statistics_of(cnp.ndarray x, given, int64_t length, str where):
    """The array (2, length) for mean and variance: a new one, or `given` if it is that."""
    cdef cnp.npy_intp *shape = [2, length]
    return output(given, 2, shape, cnp.PyArray_TYPE(x), where)


def batch_norm(
    cnp.ndarray x not None, weight=None, bias=None, double eps=1e-5, *, stats=None, out=None,
    isa=None, int threads=0
):
    """x (n, c, ...) normalised by each channel's own mean and biased variance; returns y and
    stats (2, c), those means and variances. weight, bias: (c,) or None. `stats` given is written.
    """
    cdef const fdl_kernels *kernels = table_of(x, isa, "batch_norm", "x")
    cdef int n_threads = threads_of(threads), status
    cdef int64_t p, c = channels_of(x, &p, "batch_norm"), n = cnp.PyArray_DIM(x, 0)
    cdef void *w = vector_of(x, weight, c, "batch_norm", "weight")
    cdef void *b = vector_of(x, bias, c, "batch_norm", "bias")
    cdef cnp.ndarray y = output_like(out, x, "batch_norm")
    cdef cnp.ndarray found = statistics_of(x, stats, c, "batch_norm")
    if n * p == 0:
        found.fill(np.nan)
    with nogil:
        status = kernels.batch_norm(
            n, c, p, data_of(x), w, b, eps, data_of(y), data_of(found), n_threads
        )
    finish(status, "batch_norm")
    return y, found


def batch_norm_fixed(
    cnp.ndarray x not None, mean not None, var not None, weight=None, bias=None, double eps=1e-5,
    *, out=None, isa=None, int threads=0
):
    """(x - mean) / sqrt(var + eps) * weight + bias for x (n, c, ...) and vectors (c,)."""
    cdef const fdl_kernels *kernels = table_of(x, isa, "batch_norm_fixed", "x")
    cdef int n_threads = threads_of(threads), status
    cdef int64_t p, c = channels_of(x, &p, "batch_norm_fixed"), n = cnp.PyArray_DIM(x, 0)
    cdef void *m = vector_of(x, mean, c, "batch_norm_fixed", "mean")
    cdef void *v = vector_of(x, var, c, "batch_norm_fixed", "var")
    cdef void *w = vector_of(x, weight, c, "batch_norm_fixed", "weight")
    cdef void *b = vector_of(x, bias, c, "batch_norm_fixed", "bias")
    cdef cnp.ndarray y = output_like(out, x, "batch_norm_fixed")
    with nogil:
        status = kernels.batch_norm_fixed(
            n, c, p, data_of(x), m, v, w, b, eps, data_of(y), n_threads
        )
    finish(status, "batch_norm_fixed")
    return y


def batch_norm_backward(
    cnp.ndarray dy not None, cnp.ndarray x not None, stats not None, weight=None,
    double eps=1e-5, *, out=None, isa=None, int threads=0
):
    """The gradients of `batch_norm` in x, weight and bias, (n, c, ...), (c,) and (c,), from dy and
    from the stats (2, c) that it returned."""
    cdef const fdl_kernels *kernels = table_of(x, isa, "batch_norm_backward", "x")
    cdef int n_threads = threads_of(threads), status
    cdef int64_t p, c = channels_of(x, &p, "batch_norm_backward"), n = cnp.PyArray_DIM(x, 0)
    cdef void *m = vector_of(x, stats, 2 * c, "batch_norm_backward", "stats")
    cdef void *w = vector_of(x, weight, c, "batch_norm_backward", "weight")
    cdef cnp.ndarray dx, dweight = empty_vector(x, c), dbias = empty_vector(x, c)
    need_like(x, dy, "batch_norm_backward", "dy")
    dx = output_like(out, x, "batch_norm_backward")
    with nogil:
        status = kernels.batch_norm_backward(
            n, c, p, data_of(dy), data_of(x), m, w, eps, data_of(dx), data_of(dweight),
            data_of(dbias), n_threads
        )
    finish(status, "batch_norm_backward")
    return dx, dweight, dbias


cdef int norm_shape(cnp.ndarray x, shape, int64_t *d, str where) except -1:
    """d[0..3] = n, g, c, p from `shape`, which must hold as many elements as x."""
    cdef int i
    cdef double product = 1      # where it is rounded, there is no such x
    if len(shape) != 4:
        raise ValueError(f"{where}: shape must be (n, g, c, p), got {shape}")
    for i in range(4):
        d[i] = shape[i]
        if d[i] < 0:
            raise ValueError(f"{where}: shape must be (n, g, c, p), got {shape}")
        product *= d[i]
    need_c_order(x, where, "x")
    if product != cnp.PyArray_SIZE(x):
        raise ValueError(f"{where}: x of shape {np.shape(x)} does not fit shape={shape}")
    return 0


def row_norm(
    cnp.ndarray x not None, shape, weight=None, bias=None, double eps=1e-5, bint centred=True, *,
    stats=None, out=None, isa=None, int threads=0
):
    """x, seen as `shape` (n, g, c, p), normalised over c and p; returns y of x's shape and stats
    (2, n * g): means and biased variances.

    weight, bias: g * c values or None. centred=False: without subtracting the mean, which is given
    as 0; the variance is then the mean square. `stats` given is written.
    """
    return rows_and_stats(
        x, shape, weight, bias, eps, centred, stats, out, table_of(x, isa, "row_norm", "x"),
        threads_of(threads)
    )


cdef tuple rows_and_stats(
    cnp.ndarray x, shape, weight, bias, double eps, bint centred, stats, out,
    const fdl_kernels *kernels, int n_threads
):
    """The results of `row_norm`."""
    cdef int status
    cdef int64_t[4] d
    cdef void *w
    cdef void *b
    cdef cnp.ndarray y, found
    norm_shape(x, shape, d, "row_norm")
    w = vector_of(x, weight, d[1] * d[2], "row_norm", "weight")
    b = vector_of(x, bias, d[1] * d[2], "row_norm", "bias")
    y = output_like(out, x, "row_norm")
    found = statistics_of(x, stats, d[0] * d[1], "row_norm")
    if d[2] * d[3] == 0:
        found.fill(np.nan)
    with nogil:
        status = kernels.row_norm(
            d[0], d[1], d[2], d[3], data_of(x), w, b, eps, centred, data_of(y), data_of(found),
            n_threads
        )
    finish(status, "row_norm")
    return y, found


def rows_normed(
    cnp.ndarray x not None, cnp.ndarray weight not None, cnp.ndarray bias not None, *, shape,
    double eps, bint centred, stats
):
    """The first result of `row_norm`, as operations of the engine call it; in C order."""
    if not (cnp.PyArray_ISCARRAY_RO(x) and cnp.PyArray_ISCARRAY_RO(weight)
            and cnp.PyArray_ISCARRAY_RO(bias)):
        return NotImplemented
    return rows_and_stats(
        x, shape, weight, bias, eps, centred, stats, None, table_of(x, None, "row_norm", "x"),
        threads_of(0)
    )[0]


def row_norm_backward(
    cnp.ndarray dy not None, cnp.ndarray x not None, shape, stats not None, weight=None,
    double eps=1e-5, bint centred=True, *, out=None, isa=None, int threads=0
):
    """The gradients of `row_norm` in x, weight and bias, of x's shape, (g * c,) and (g * c,),
    from dy and from the stats that it returned."""
    cdef const fdl_kernels *kernels = table_of(x, isa, "row_norm_backward", "x")
    cdef int n_threads = threads_of(threads), status
    cdef int64_t[4] d
    cdef void *m
    cdef void *w
    cdef cnp.ndarray dx, dweight, dbias
    norm_shape(x, shape, d, "row_norm_backward")
    need_like(x, dy, "row_norm_backward", "dy")
    m = vector_of(x, stats, 2 * d[0] * d[1], "row_norm_backward", "stats")
    w = vector_of(x, weight, d[1] * d[2], "row_norm_backward", "weight")
    dx = output_like(out, x, "row_norm_backward")
    dweight, dbias = empty_vector(x, d[1] * d[2]), empty_vector(x, d[1] * d[2])
    with nogil:
        status = kernels.row_norm_backward(
            d[0], d[1], d[2], d[3], data_of(dy), data_of(x), m, w, eps, centred, data_of(dx),
            data_of(dweight), data_of(dbias), n_threads
        )
    finish(status, "row_norm_backward")
    return dx, dweight, dbias
