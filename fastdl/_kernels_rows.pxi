# Row kernels and optimizer steps: included by _kernels.pyx.
from libc.math cimport pow


cdef int need_c_order(cnp.ndarray x, str where, str argument) except -1:
    if not cnp.PyArray_IS_C_CONTIGUOUS(x) or not cnp.PyArray_ISBEHAVED_RO(x):
        raise ValueError(f"{where}: {argument} must be C-contiguous and aligned, got {np.shape(x)} of {x.dtype}")
    return 0


cdef int need_like(cnp.ndarray x, cnp.ndarray y, str where, str argument) except -1:
    """y must be C-contiguous with x's dtype and shape."""
    same_dtype(x, y, where, argument)
    need_c_order(y, where, argument)
    if not cnp.PyArray_SAMESHAPE(x, y):
        raise ValueError(f"{where}: {argument} must have shape {np.shape(x)}, got {np.shape(y)}")
    return 0


cdef int need_writable(cnp.ndarray x, str where, str argument) except -1:
    if not cnp.PyArray_ISWRITEABLE(x):
        raise ValueError(f"{where}: {argument} is updated in place and must be writable")
    return 0


cdef inline cnp.ndarray empty_as(cnp.ndarray x):
    return cnp.PyArray_EMPTY(cnp.PyArray_NDIM(x), cnp.PyArray_DIMS(x), cnp.PyArray_TYPE(x), 0)


def relu(cnp.ndarray x not None, *, isa=None, int threads=0):
    """max(x, 0) for any C-contiguous x; NaN stays NaN."""
    cdef const fdl_kernels *kernels = table_of(x, isa, "relu", "x")
    cdef int n = threads_of(threads)
    cdef cnp.ndarray y
    need_c_order(x, "relu", "x")
    y = empty_as(x)
    with nogil:
        kernels.relu(cnp.PyArray_SIZE(x), cnp.PyArray_DATA(x), cnp.PyArray_DATA(y), n)
    return y


def relu_backward(cnp.ndarray dy not None, cnp.ndarray y not None, *, isa=None, int threads=0):
    """0 where y <= 0, dy elsewhere; y is relu's input or its output, both give the same."""
    cdef const fdl_kernels *kernels = table_of(dy, isa, "relu_backward", "dy")
    cdef int n = threads_of(threads)
    cdef cnp.ndarray dx
    need_c_order(dy, "relu_backward", "dy")
    need_like(dy, y, "relu_backward", "y")
    dx = empty_as(dy)
    with nogil:
        kernels.relu_backward(cnp.PyArray_SIZE(dy), cnp.PyArray_DATA(dy), cnp.PyArray_DATA(y), cnp.PyArray_DATA(dx), n)
    return dx


def softmax(cnp.ndarray x not None, bint log=False, *, isa=None, int threads=0):
    """Softmax of each row of x (rows, cols); its logarithm if `log`."""
    cdef const fdl_kernels *kernels = table_of(x, isa, "softmax", "x")
    cdef int n = threads_of(threads), status
    cdef cnp.ndarray y
    need_contiguous(x, 2, "softmax", "x")
    need_c_order(x, "softmax", "x")
    y = empty_as(x)
    with nogil:
        status = kernels.softmax(
            cnp.PyArray_DIM(x, 0), cnp.PyArray_DIM(x, 1), cnp.PyArray_DATA(x), cnp.PyArray_DATA(y), log, n
        )
    finish(status, "softmax")
    return y


def softmax_backward(cnp.ndarray dy not None, cnp.ndarray y not None, bint log=False, *, isa=None, int threads=0):
    """The gradient with respect to x (rows, cols), from the one with respect to y = softmax(x, log) and y itself."""
    cdef const fdl_kernels *kernels = table_of(dy, isa, "softmax_backward", "dy")
    cdef int n = threads_of(threads), status
    cdef cnp.ndarray dx
    need_contiguous(dy, 2, "softmax_backward", "dy")
    need_c_order(dy, "softmax_backward", "dy")
    need_like(dy, y, "softmax_backward", "y")
    dx = empty_as(dy)
    with nogil:
        status = kernels.softmax_backward(
            cnp.PyArray_DIM(dy, 0), cnp.PyArray_DIM(dy, 1), cnp.PyArray_DATA(dy), cnp.PyArray_DATA(y),
            cnp.PyArray_DATA(dx), log, n
        )
    finish(status, "softmax_backward")
    return dx


def cross_entropy(cnp.ndarray logits not None, cnp.ndarray target not None, int64_t ignore_index=-100, *, isa=None, int threads=0):
    """The cross-entropy of each row of logits (rows, cols) with its class target (rows), int64, and the gradient.

    Returns loss (rows) and grad (rows, cols) = softmax - onehot; both are 0 for rows whose target is `ignore_index`.
    Any other target outside [0, cols) raises IndexError.
    """
    cdef const fdl_kernels *kernels = table_of(logits, isa, "cross_entropy", "logits")
    cdef int n = threads_of(threads), status
    cdef cnp.ndarray loss, grad
    cdef int64_t rows, cols, i
    cdef const int64_t *t
    need_contiguous(logits, 2, "cross_entropy", "logits")
    need_c_order(logits, "cross_entropy", "logits")
    rows, cols = cnp.PyArray_DIM(logits, 0), cnp.PyArray_DIM(logits, 1)
    if cnp.PyArray_TYPE(target) != cnp.NPY_INT64:
        raise TypeError(f"cross_entropy: target must be int64, got {target.dtype}")
    need_contiguous(target, 1, "cross_entropy", "target")
    need_c_order(target, "cross_entropy", "target")
    if cnp.PyArray_DIM(target, 0) != rows:
        raise ValueError(f"cross_entropy: target must have shape ({rows},), got {np.shape(target)}")
    t = <const int64_t *> cnp.PyArray_DATA(target)
    for i in range(rows):
        if (t[i] < 0 or t[i] >= cols) and t[i] != ignore_index:
            raise IndexError(f"Target {t[i]} is out of bounds.")
    loss = cnp.PyArray_EMPTY(1, cnp.PyArray_DIMS(logits), cnp.PyArray_TYPE(logits), 0)
    grad = empty_as(logits)
    with nogil:
        status = kernels.cross_entropy(
            rows, cols, cnp.PyArray_DATA(logits), t, ignore_index, cnp.PyArray_DATA(loss), cnp.PyArray_DATA(grad), n
        )
    finish(status, "cross_entropy")
    return loss, grad


def channel_sum(cnp.ndarray dy not None, *, isa=None, int threads=0):
    """dy (n, c, ...) summed over everything but its second axis: (c), the gradient of a bias."""
    cdef const fdl_kernels *kernels = table_of(dy, isa, "channel_sum", "dy")
    cdef int n = threads_of(threads), status, ndim = cnp.PyArray_NDIM(dy), i
    cdef int64_t p = 1
    cdef cnp.ndarray db
    if ndim < 2:
        raise ValueError(f"channel_sum: dy must have at least 2 dimensions, got shape {np.shape(dy)}")
    need_c_order(dy, "channel_sum", "dy")
    for i in range(2, ndim):
        p *= cnp.PyArray_DIM(dy, i)
    db = cnp.PyArray_EMPTY(1, cnp.PyArray_DIMS(dy) + 1, cnp.PyArray_TYPE(dy), 0)
    with nogil:
        status = kernels.channel_sum(
            cnp.PyArray_DIM(dy, 0), cnp.PyArray_DIM(dy, 1), p, cnp.PyArray_DATA(dy), cnp.PyArray_DATA(db), n
        )
    finish(status, "channel_sum")
    return db


cdef void *state_of(cnp.ndarray param, state, str where, str argument) except? NULL:
    """The data of an optimizer's state array, which must be like the parameter; NULL for None."""
    if state is None:
        return NULL
    cdef cnp.ndarray array = state
    need_like(param, array, where, argument)
    need_writable(array, where, argument)
    return cnp.PyArray_DATA(array)


def sgd_step(
    cnp.ndarray param not None, cnp.ndarray grad not None, buf=None, *, double lr, double momentum=0.0,
    double dampening=0.0, double weight_decay=0.0, bint nesterov=False, bint maximize=False, bint first=False,
    isa=None, int threads=0
):
    """One step of SGD, in place on `param` and on the momentum buffer `buf` (None: no momentum).

    `first`: buf holds nothing yet and becomes the gradient, undampened, as in PyTorch.
    """
    cdef const fdl_kernels *kernels = table_of(param, isa, "sgd_step", "param")
    cdef int n = threads_of(threads)
    cdef void *b
    need_c_order(param, "sgd_step", "param")
    need_writable(param, "sgd_step", "param")
    need_like(param, grad, "sgd_step", "grad")
    b = state_of(param, buf, "sgd_step", "buf")
    with nogil:
        kernels.sgd(
            cnp.PyArray_SIZE(param), cnp.PyArray_DATA(param), cnp.PyArray_DATA(grad), b, lr, momentum, dampening,
            weight_decay, nesterov, maximize, first, n
        )


def adam_step(
    cnp.ndarray param not None, cnp.ndarray grad not None, cnp.ndarray exp_avg not None, cnp.ndarray exp_avg_sq not None,
    max_exp_avg_sq=None, *, double step, double lr=1e-3, double beta1=0.9, double beta2=0.999, double eps=1e-8,
    double weight_decay=0.0, bint decoupled=False, bint maximize=False, isa=None, int threads=0
):
    """Step number `step` (from 1) of Adam, in place on `param` and the averages of the gradient and its square.

    `max_exp_avg_sq` given: AMSGrad. `decoupled`: AdamW's weight decay.
    """
    cdef const fdl_kernels *kernels = table_of(param, isa, "adam_step", "param")
    cdef int n = threads_of(threads)
    cdef void *m
    cdef void *v
    cdef void *v_max
    if step < 1:
        raise ValueError(f"adam_step: step must be at least 1, got {step}")
    need_c_order(param, "adam_step", "param")
    need_writable(param, "adam_step", "param")
    need_like(param, grad, "adam_step", "grad")
    m = state_of(param, exp_avg, "adam_step", "exp_avg")
    v = state_of(param, exp_avg_sq, "adam_step", "exp_avg_sq")
    v_max = state_of(param, max_exp_avg_sq, "adam_step", "max_exp_avg_sq")
    with nogil:
        kernels.adam(
            cnp.PyArray_SIZE(param), cnp.PyArray_DATA(param), cnp.PyArray_DATA(grad), m, v, v_max, lr, beta1, beta2, eps,
            weight_decay, decoupled, 1 - pow(beta1, step), 1 - pow(beta2, step), maximize, n
        )
