# Row kernels: included by _kernels.pyx.
#
# `out` is written instead of a new array: C-ordered, of the result's shape and dtype, sharing no
# memory with the arguments.

cdef inline void *data_of(cnp.ndarray x) noexcept nogil:
    return cnp.PyArray_DATA(x)


cdef cnp.ndarray output(out, int ndim, cnp.npy_intp *dims, int typenum, str where):
    """A new array; or `out`, if it is C-ordered and writable, of that dtype and shape."""
    if out is None:
        return cnp.PyArray_EMPTY(ndim, dims, typenum, 0)
    cdef cnp.ndarray given = out
    cdef int i, fits = cnp.PyArray_NDIM(given) == ndim and cnp.PyArray_TYPE(given) == typenum
    for i in range(ndim):
        fits = fits and cnp.PyArray_DIM(given, i) == dims[i]
    if not (fits and cnp.PyArray_ISCARRAY(given)):
        dtype, shape = cnp.PyArray_DescrFromType(typenum), tuple(dims[i] for i in range(ndim))
        raise ValueError(
            f"{where}: out must be a writable C-ordered {dtype} array of shape {shape}, "
            f"got {given.dtype} {np.shape(given)}"
        )
    return given


cdef inline cnp.ndarray output_like(out, cnp.ndarray x, str where):
    return output(out, cnp.PyArray_NDIM(x), cnp.PyArray_DIMS(x), cnp.PyArray_TYPE(x), where)


cdef int need_c_order(cnp.ndarray x, str where, str argument) except -1:
    if not cnp.PyArray_ISCARRAY_RO(x):
        raise ValueError(
            f"{where}: {argument} must be C-contiguous and aligned, got {np.shape(x)} of {x.dtype}"
        )
    return 0


cdef int need_rows(cnp.ndarray x, str where, str argument) except -1:
    need_contiguous(x, 2, where, argument)
    return need_c_order(x, where, argument)


cdef int need_like(cnp.ndarray x, cnp.ndarray y, str where, str argument) except -1:
    """y must be C-contiguous with x's dtype and shape."""
    same_dtype(x, y, where, argument)
    need_c_order(y, where, argument)
    if not cnp.PyArray_SAMESHAPE(x, y):
        raise ValueError(f"{where}: {argument} must have shape {np.shape(x)}, got {np.shape(y)}")
    return 0


cdef int need_writable(cnp.ndarray x, str where, str argument) except -1:
    need_c_order(x, where, argument)
    if not cnp.PyArray_ISWRITEABLE(x):
        raise ValueError(f"{where}: {argument} is updated in place and must be writable")
    return 0


def softmax(cnp.ndarray x not None, bint log=False, *, out=None, isa=None, int threads=0):
    """Softmax of each row of x (rows, cols); its logarithm if `log`."""
    cdef const fdl_kernels *kernels = table_of(x, isa, "softmax", "x")
    cdef int n = threads_of(threads), status
    cdef int64_t rows, cols
    cdef cnp.ndarray y
    need_rows(x, "softmax", "x")
    rows, cols = cnp.PyArray_DIM(x, 0), cnp.PyArray_DIM(x, 1)
    y = output_like(out, x, "softmax")
    with nogil:
        status = kernels.softmax(rows, cols, data_of(x), data_of(y), log, n)
    finish(status, "softmax")
    return y


def softmax_backward(
    cnp.ndarray dy not None, cnp.ndarray y not None, bint log=False, *, out=None, isa=None,
    int threads=0
):
    """The gradient for x, from the one for y = softmax(x, log) and y itself; all (rows, cols)."""
    cdef const fdl_kernels *kernels = table_of(dy, isa, "softmax_backward", "dy")
    cdef int n = threads_of(threads), status
    cdef int64_t rows, cols
    cdef cnp.ndarray dx
    need_rows(dy, "softmax_backward", "dy")
    need_like(dy, y, "softmax_backward", "y")
    rows, cols = cnp.PyArray_DIM(dy, 0), cnp.PyArray_DIM(dy, 1)
    dx = output_like(out, dy, "softmax_backward")
    with nogil:
        status = kernels.softmax_backward(
            rows, cols, data_of(dy), data_of(y), data_of(dx), log, n
        )
    finish(status, "softmax_backward")
    return dx


def cross_entropy(
    cnp.ndarray logits not None, cnp.ndarray target not None, int64_t ignore_index=-100, *,
    out=None, isa=None, int threads=0
):
    """Each row's cross-entropy with its class, and the gradient, in one pass.

    logits (rows, cols), target (rows,) int64 -> loss (rows,), grad (rows, cols) = softmax - onehot;
    both are 0 for rows whose target is `ignore_index`. Any other target outside [0, cols) raises
    IndexError. `out`: (loss, grad).
    """
    cdef const fdl_kernels *kernels = table_of(logits, isa, "cross_entropy", "logits")
    cdef int n = threads_of(threads), status
    cdef cnp.ndarray loss, grad
    cdef int64_t rows, cols, i
    cdef const int64_t *t
    need_rows(logits, "cross_entropy", "logits")
    rows, cols = cnp.PyArray_DIM(logits, 0), cnp.PyArray_DIM(logits, 1)
    if cnp.PyArray_TYPE(target) != cnp.NPY_INT64:
        raise TypeError(f"cross_entropy: target must be int64, got {target.dtype}")
    need_c_order(target, "cross_entropy", "target")
    if cnp.PyArray_NDIM(target) != 1 or cnp.PyArray_DIM(target, 0) != rows:
        raise ValueError(
            f"cross_entropy: target must have shape ({rows},), got {np.shape(target)}"
        )
    t = <const int64_t *> cnp.PyArray_DATA(target)
    for i in range(rows):
        if (t[i] < 0 or t[i] >= cols) and t[i] != ignore_index:
            raise IndexError(f"Target {t[i]} is out of bounds.")
    loss_out, grad_out = (None, None) if out is None else out
    loss = output(
        loss_out, 1, cnp.PyArray_DIMS(logits), cnp.PyArray_TYPE(logits), "cross_entropy"
    )
    grad = output_like(grad_out, logits, "cross_entropy")
    with nogil:
        status = kernels.cross_entropy(
            rows, cols, data_of(logits), t, ignore_index, data_of(loss), data_of(grad), n
        )
    finish(status, "cross_entropy")
    return loss, grad


def channel_sum(cnp.ndarray dy not None, *, out=None, isa=None, int threads=0):
    """dy (n, c, ...) summed over everything but its second axis: (c,), the gradient of a bias."""
    cdef const fdl_kernels *kernels = table_of(dy, isa, "channel_sum", "dy")
    cdef int n = threads_of(threads), status, ndim = cnp.PyArray_NDIM(dy), i
    cdef int64_t p = 1
    cdef cnp.npy_intp *dims = cnp.PyArray_DIMS(dy)
    cdef cnp.ndarray db
    if ndim < 2:
        raise ValueError(
            f"channel_sum: dy must have at least 2 dimensions, got shape {np.shape(dy)}"
        )
    need_c_order(dy, "channel_sum", "dy")
    for i in range(2, ndim):
        p *= dims[i]
    db = output(out, 1, dims + 1, cnp.PyArray_TYPE(dy), "channel_sum")
    with nogil:
        status = kernels.channel_sum(dims[0], dims[1], p, data_of(dy), data_of(db), n)
    finish(status, "channel_sum")
    return db
