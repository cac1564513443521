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


cdef inline cnp.ndarray in_c_order(cnp.ndarray x):
    """x, or a copy of it in C order."""
    return x if cnp.PyArray_ISCARRAY_RO(x) else copy(x)


cdef cnp.ndarray softmax_over(cnp.ndarray x, int axis, bint log):
    """Softmax over any axis."""
    cdef const fdl_kernels *kernels = table_of(x, None, "softmax", "x")
    cdef int n_threads = threads_of(0), status, i, ndim = cnp.PyArray_NDIM(x)
    cdef int64_t n = 1, p = 1
    cdef cnp.npy_intp *d = cnp.PyArray_DIMS(x)
    cdef cnp.ndarray y
    if not 0 <= axis < ndim:
        raise ValueError(f"softmax: axis must lie in [0, {ndim}), got {axis}")
    x = in_c_order(x)
    for i in range(axis):
        n *= d[i]
    for i in range(axis + 1, ndim):
        p *= d[i]
    y = cnp.PyArray_EMPTY(ndim, d, cnp.PyArray_TYPE(x), 0)
    with nogil:
        status = kernels.softmax(n, d[axis], p, data_of(x), data_of(y), log, n_threads)
    finish(status, "softmax")
    return y


def softmax_along(cnp.ndarray x not None, *, int axis):
    """Softmax over `axis`, as operations of the engine call it."""
    return softmax_over(x, axis, False)


def log_softmax_along(cnp.ndarray x not None, *, int axis):
    """The logarithm of `softmax_along`."""
    return softmax_over(x, axis, True)


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


cdef const int64_t *classes_of(
    const fdl_kernels *kernels, cnp.ndarray target, int64_t rows, int64_t classes,
    int64_t ignore_index, void *weight, double *scale, str where
) except NULL:
    """The data of `target`, every one of which is a class or `ignore_index`, else IndexError.

    A *scale that is NaN becomes 1 / the sum of the weights of all targets, for a mean over them;
    infinity, then, if there are none.
    """
    cdef double total = 0
    cdef int right
    cdef const int64_t *targets = <const int64_t *> cnp.PyArray_DATA(target)
    if cnp.PyArray_TYPE(target) != cnp.NPY_INT64:
        raise TypeError(f"{where}: target must be int64, got {target.dtype}")
    need_c_order(target, where, "target")
    if cnp.PyArray_SIZE(target) != rows:
        raise ValueError(f"{where}: target must have {rows} elements, got {np.shape(target)}")
    with nogil:
        right = kernels.classes(rows, targets, classes, ignore_index, weight, &total)
    if not right:
        t = next(t for t in target.flat if t != ignore_index and not 0 <= t < classes)
        raise IndexError(f"Target {t} is out of bounds.")
    if scale[0] != scale[0]:
        scale[0] = 1 / total if total != 0 else INFINITY
    return targets


cdef cnp.ndarray summed_rows(
    const fdl_kernels *kernels, cnp.ndarray loss, double scale, int threads
):
    """The sum of the losses, 0-d; NaN where they are a mean of none."""
    cdef cnp.ndarray total = cnp.PyArray_ZEROS(0, NULL, cnp.PyArray_TYPE(loss), 0)
    cdef fdl_reduce g
    cdef int status = 0
    g.outer, g.n, g.inner = 1, cnp.PyArray_SIZE(loss), 1
    g.x_outer, g.x_n = g.n, 1
    if scale == INFINITY:
        total.fill(NAN)
    elif g.n > 0:
        with nogil:
            status = kernels.reduce(FDL_SUM, &g, data_of(loss), data_of(total), 1, threads)
        finish(status, "cross_entropy")
    return total


def cross_entropy(
    cnp.ndarray logits not None, cnp.ndarray target not None, int64_t ignore_index=-100,
    weight=None, double smoothing=0.0, scale=1.0, *, bint gradient=True, out=None, isa=None,
    int threads=0
):
    """The cross-entropy of scores with classes, times `scale`, and its gradient, in one pass.

    logits (n, c) or (n, c, p), target (n,) or (n, p) int64 -> loss of target's shape, grad of
    logits' shape, or None unless `gradient`; both are 0 where the target is `ignore_index`. Any
    other target outside [0, c) raises IndexError. weight: (c,) or None; smoothing: the part of a
    target that is spread over all classes. With `scale` "mean", the loss is a 0-d array, the mean
    weighted by the weights of the targets, and the gradient is the mean's. `out`: (loss, grad).
    """
    cdef const fdl_kernels *kernels = table_of(logits, isa, "cross_entropy", "logits")
    cdef int n_threads = threads_of(threads), status
    cdef cnp.ndarray loss, grad = None
    cdef int64_t p
    cdef bint mean = isinstance(scale, str)
    cdef double factor = NAN if mean else scale
    cdef cnp.npy_intp *d = cnp.PyArray_DIMS(logits)
    cdef const int64_t *t
    cdef void *w
    need_middle(logits, &p, "cross_entropy", "logits")
    if cnp.PyArray_NDIM(target) != cnp.PyArray_NDIM(logits) - 1 or (
            cnp.PyArray_DIM(target, 0) != d[0]
            or cnp.PyArray_NDIM(target) == 2 and cnp.PyArray_DIM(target, 1) != p):
        raise ValueError(
            f"cross_entropy: target must have shape {np.shape(logits)[:1] + np.shape(logits)[2:]}, "
            f"got {np.shape(target)}"
        )
    w = vector_of(logits, weight, d[1], "cross_entropy", "weight")
    t = classes_of(kernels, target, d[0] * p, d[1], ignore_index, w, &factor, "cross_entropy")
    loss_out, grad_out = (None, None) if out is None else out
    loss = output(
        loss_out, cnp.PyArray_NDIM(target), cnp.PyArray_DIMS(target), cnp.PyArray_TYPE(logits),
        "cross_entropy"
    )
    if gradient:
        grad = output_like(grad_out, logits, "cross_entropy")
    with nogil:
        status = kernels.cross_entropy(
            d[0], d[1], p, data_of(logits), t, ignore_index, w, smoothing, factor, data_of(loss),
            data_of(grad) if gradient else NULL, n_threads
        )
    finish(status, "cross_entropy")
    return summed_rows(kernels, loss, factor, n_threads) if mean else loss, grad


def soft_cross_entropy(
    cnp.ndarray logits not None, cnp.ndarray target not None, weight=None, double smoothing=0.0,
    double scale=1.0, *, bint gradient=True, isa=None, int threads=0
):
    """The cross-entropy of scores with probabilities, times `scale`, and its gradient, in one pass.

    logits and target (n, c) -> loss (n,), mass (n,), grad (n, c), or None unless `gradient`. mass
    is what a row's target adds up to with its class weights, times `scale`: the gradient is
    mass * softmax(logits) - weight * target * scale. weight: (c,) or None; smoothing: the part of
    a target that is spread over all classes.
    """
    cdef const fdl_kernels *kernels = table_of(logits, isa, "soft_cross_entropy", "logits")
    cdef int n_threads = threads_of(threads), status
    cdef cnp.ndarray loss, mass, grad = None
    cdef cnp.npy_intp *d = cnp.PyArray_DIMS(logits)
    cdef void *w
    need_rows(logits, "soft_cross_entropy", "logits")
    need_like(logits, target, "soft_cross_entropy", "target")
    w = vector_of(logits, weight, d[1], "soft_cross_entropy", "weight")
    loss = cnp.PyArray_EMPTY(1, d, cnp.PyArray_TYPE(logits), 0)
    mass = cnp.PyArray_EMPTY(1, d, cnp.PyArray_TYPE(logits), 0)
    if gradient:
        grad = cnp.PyArray_EMPTY(2, d, cnp.PyArray_TYPE(logits), 0)
    with nogil:
        status = kernels.soft_cross_entropy(
            d[0], d[1], data_of(logits), data_of(target), w, smoothing, scale, data_of(loss),
            data_of(mass), data_of(grad) if gradient else NULL, n_threads
        )
    finish(status, "soft_cross_entropy")
    return loss, mass, grad


def nll(
    cnp.ndarray x not None, cnp.ndarray target not None, int64_t ignore_index=-100, weight=None,
    scale=1.0, *, isa=None, int threads=0
):
    """-scale * weight[target] * x[target] for log-probabilities x (n, c) or (n, c, p).

    target (n,) or (n, p) int64 -> the same shape, 0 where the target is `ignore_index`; a 0-d array
    if `scale` is "mean", the mean weighted by the weights of the targets. Any other target outside
    [0, c) raises IndexError. weight: (c,) or None.
    """
    cdef const fdl_kernels *kernels = table_of(x, isa, "nll", "x")
    cdef int n_threads = threads_of(threads), status
    cdef cnp.ndarray loss
    cdef int64_t p
    cdef bint mean = isinstance(scale, str)
    cdef double factor = NAN if mean else scale
    cdef cnp.npy_intp *d = cnp.PyArray_DIMS(x)
    cdef const int64_t *t
    cdef void *w
    need_middle(x, &p, "nll", "x")
    w = vector_of(x, weight, d[1], "nll", "weight")
    t = classes_of(kernels, target, d[0] * p, d[1], ignore_index, w, &factor, "nll")
    loss = cnp.PyArray_EMPTY(
        cnp.PyArray_NDIM(target), cnp.PyArray_DIMS(target), cnp.PyArray_TYPE(x), 0
    )
    with nogil:
        status = kernels.nll(
            d[0], d[1], p, data_of(x), t, ignore_index, w, factor, data_of(loss), n_threads
        )
    finish(status, "nll")
    return summed_rows(kernels, loss, factor, n_threads) if mean else loss


def nll_backward(
    cnp.ndarray dy not None, cnp.ndarray target not None, int64_t classes,
    int64_t ignore_index=-100, weight=None, scale=1.0, *, isa=None, int threads=0
):
    """The gradient of `nll` for x, (n, classes) or (n, classes, p), from that of its result: dy of
    target's shape, or a 0-d array, which stands for as many equal ones."""
    cdef const fdl_kernels *kernels = table_of(dy, isa, "nll_backward", "dy")
    cdef int n_threads = threads_of(threads), status, ndim = cnp.PyArray_NDIM(target)
    cdef cnp.ndarray dx
    cdef double factor = NAN if isinstance(scale, str) else scale
    cdef cnp.npy_intp shape[3]
    cdef const int64_t *t
    cdef void *w
    if ndim < 1 or ndim > 2:
        raise ValueError(f"nll_backward: target must be (n,) or (n, p), got {np.shape(target)}")
    if cnp.PyArray_NDIM(dy) and np.shape(dy) != np.shape(target):
        raise ValueError(
            f"nll_backward: dy must have shape {np.shape(target)} or (), got {np.shape(dy)}"
        )
    need_c_order(dy, "nll_backward", "dy")
    w = vector_of(dy, weight, classes, "nll_backward", "weight")
    t = classes_of(
        kernels, target, cnp.PyArray_SIZE(target), classes, ignore_index, w, &factor,
        "nll_backward"
    )
    shape[0], shape[1] = cnp.PyArray_DIM(target, 0), classes
    shape[2] = cnp.PyArray_DIM(target, 1) if ndim == 2 else 1
    dx = cnp.PyArray_EMPTY(ndim + 1, shape, cnp.PyArray_TYPE(dy), 0)
    with nogil:
        status = kernels.nll_backward(
            shape[0], classes, shape[2], data_of(dy), cnp.PyArray_NDIM(dy) != 0, t, ignore_index,
            w, factor, data_of(dx), n_threads
        )
    finish(status, "nll_backward")
    return dx


cdef const int64_t *ctc_numbers(cnp.ndarray given, tuple shape, most, str name) except? NULL:
    """The data of int64 numbers in [0, most], or anything if `most` is None."""
    if cnp.PyArray_TYPE(given) != cnp.NPY_INT64:
        raise TypeError(f"ctc_loss: {name} must be int64, got {given.dtype}")
    need_c_order(given, "ctc_loss", name)
    if np.shape(given) != shape:
        raise ValueError(f"ctc_loss: {name} must have shape {shape}, got {np.shape(given)}")
    if most is not None and given.size and not (given.min() >= 0 and given.max() <= most):
        raise ValueError(f"ctc_loss: {name} must lie in [0, {most}]")
    return <const int64_t *> data_of(given)


def ctc_loss(
    cnp.ndarray x not None, cnp.ndarray targets not None, cnp.ndarray steps not None,
    cnp.ndarray lengths not None, int64_t blank=0, bint zero_infinity=False, bint gradient=True,
    *, isa=None, int threads=0
):
    """-log of the probability that sequences of log-probabilities x (t, n, c) spell labellings.

    targets (n, s) int64, of which lengths[i] in [0, s] count, labels in [0, c); steps (n,): those
    of a sequence, in [0, t]. -> the losses (n,), and if `gradient` the gradient (t, n, c) of their
    sum, taking e^x to sum to 1, else None. With `zero_infinity` infinite losses count as 0.
    """
    cdef const fdl_kernels *kernels = table_of(x, isa, "ctc_loss", "x")
    cdef int n_threads = threads_of(threads), status
    cdef fdl_ctc g
    cdef cnp.ndarray loss, grad
    need_contiguous(x, 3, "ctc_loss", "x")
    need_c_order(x, "ctc_loss", "x")
    g.t, g.n, g.c = cnp.PyArray_DIM(x, 0), cnp.PyArray_DIM(x, 1), cnp.PyArray_DIM(x, 2)
    g.s = targets.shape[1] if cnp.PyArray_NDIM(targets) == 2 else 0
    g.targets = ctc_numbers(targets, (g.n, g.s), g.c - 1, "targets")
    g.steps = ctc_numbers(steps, (g.n,), g.t, "steps")
    g.lengths = ctc_numbers(lengths, (g.n,), g.s, "lengths")
    if not 0 <= blank < g.c:
        raise ValueError(f"ctc_loss: blank must lie in [0, {g.c}), got {blank}")
    g.x, g.blank, g.zero_infinity, g.grad = data_of(x), blank, zero_infinity, NULL
    loss = cnp.PyArray_EMPTY(1, cnp.PyArray_DIMS(x) + 1, cnp.PyArray_TYPE(x), 0)
    g.loss = data_of(loss)
    grad = np.empty_like(x) if gradient else None
    if gradient:
        g.grad = data_of(grad)
    with nogil:
        status = kernels.ctc_loss(&g, n_threads)
    finish(status, "ctc_loss")
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
