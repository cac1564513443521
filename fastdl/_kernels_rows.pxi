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


cdef int need_middle(cnp.ndarray x, int64_t *p, str where, str argument) except -1:
    """x must be C-ordered (n, c) or (n, c, p); *p becomes p, or 1."""
    cdef int ndim = cnp.PyArray_NDIM(x)
    if ndim != 2 and ndim != 3:
        raise ValueError(
            f"{where}: {argument} must have shape (n, c) or (n, c, p), got {np.shape(x)}"
        )
    p[0] = cnp.PyArray_DIM(x, 2) if ndim == 3 else 1
    return need_c_order(x, where, argument)


def softmax(cnp.ndarray x not None, bint log=False, *, out=None, isa=None, int threads=0):
    """Softmax over the second axis of x (n, c) or (n, c, p); its logarithm if `log`."""
    cdef const fdl_kernels *kernels = table_of(x, isa, "softmax", "x")
    cdef int n_threads = threads_of(threads), status
    cdef int64_t p
    cdef cnp.npy_intp *d = cnp.PyArray_DIMS(x)
    cdef cnp.ndarray y
    need_middle(x, &p, "softmax", "x")
    y = output_like(out, x, "softmax")
    with nogil:
        status = kernels.softmax(d[0], d[1], p, data_of(x), data_of(y), log, n_threads)
    finish(status, "softmax")
    return y


def softmax_backward(
    cnp.ndarray dy not None, cnp.ndarray y not None, bint log=False, *, out=None, isa=None,
    int threads=0
):
    """The gradient for x, from the one for y = softmax(x, log) and y itself, all of x's shape."""
    cdef const fdl_kernels *kernels = table_of(dy, isa, "softmax_backward", "dy")
    cdef int n_threads = threads_of(threads), status
    cdef int64_t p
    cdef cnp.npy_intp *d = cnp.PyArray_DIMS(dy)
    cdef cnp.ndarray dx
    need_middle(dy, &p, "softmax_backward", "dy")
    need_like(dy, y, "softmax_backward", "y")
    dx = output_like(out, dy, "softmax_backward")
    with nogil:
        status = kernels.softmax_backward(
            d[0], d[1], p, data_of(dy), data_of(y), data_of(dx), log, n_threads
        )
    finish(status, "softmax_backward")
    return dx


def cross_entropy(
    cnp.ndarray logits not None, cnp.ndarray target not None, int64_t ignore_index=-100,
    weight=None, double smoothing=0.0, double scale=1.0, *, out=None, isa=None, int threads=0
):
    """The cross-entropy of scores with classes, times `scale`, and its gradient, in one pass.

    logits (n, c) or (n, c, p), target (n,) or (n, p) int64 -> loss of target's shape, grad of
    logits' shape; both are 0 where the target is `ignore_index`. Any other target outside [0, c)
    raises IndexError. weight: (c,) or None; smoothing: the part of a target that is spread over
    all classes. `out`: (loss, grad).
    """
    cdef const fdl_kernels *kernels = table_of(logits, isa, "cross_entropy", "logits")
    cdef int n_threads = threads_of(threads), status
    cdef cnp.ndarray loss, grad
    cdef int64_t p, i, wrong = 0, value = 0
    cdef cnp.npy_intp *d = cnp.PyArray_DIMS(logits)
    cdef const int64_t *t
    cdef void *w
    need_middle(logits, &p, "cross_entropy", "logits")
    if cnp.PyArray_TYPE(target) != cnp.NPY_INT64:
        raise TypeError(f"cross_entropy: target must be int64, got {target.dtype}")
    need_c_order(target, "cross_entropy", "target")
    if np.shape(target) != np.shape(logits)[:1] + np.shape(logits)[2:]:
        raise ValueError(
            f"cross_entropy: target must have shape {np.shape(logits)[:1] + np.shape(logits)[2:]}, "
            f"got {np.shape(target)}"
        )
    w = vector_of(logits, weight, d[1], "cross_entropy", "weight")
    t = <const int64_t *> cnp.PyArray_DATA(target)
    with nogil:
        for i in range(d[0] * p):
            if (t[i] < 0 or t[i] >= d[1]) and t[i] != ignore_index:
                wrong, value = 1, t[i]
                break
    if wrong:
        raise IndexError(f"Target {value} is out of bounds.")
    loss_out, grad_out = (None, None) if out is None else out
    loss = output(
        loss_out, cnp.PyArray_NDIM(target), cnp.PyArray_DIMS(target), cnp.PyArray_TYPE(logits),
        "cross_entropy"
    )
    grad = output_like(grad_out, logits, "cross_entropy")
    with nogil:
        status = kernels.cross_entropy(
            d[0], d[1], p, data_of(logits), t, ignore_index, w, smoothing, scale, data_of(loss),
            data_of(grad), n_threads
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
