# Optimizer steps over all parameters at once, clipping of gradients: included by _kernels.pyx.
#
# `params`, `grads` and each state are lists of the same length: C-ordered arrays of one dtype,
# those at one place of one shape. A state that is None is not kept. All is checked before anything
# is written. `steps` lists for each parameter which step this is, from 1.
cimport cython
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from libc.math cimport pow, sqrt
from libc.string cimport memset


@cython.final
@cython.auto_pickle(False)
cdef class ParamList:
    """The contract's list of `fdl_param` for arrays that its maker keeps alive."""
    cdef fdl_param *items
    cdef Py_ssize_t count
    cdef const fdl_kernels *kernels

    def __dealloc__(self):
        PyMem_Free(self.items)


cdef cnp.ndarray entry_of(values, Py_ssize_t i, cnp.ndarray like, str where, str name):
    """values[i], checked: an ordered array of the dtype and shape of `like`."""
    value = values[i]
    if not isinstance(value, cnp.ndarray):
        raise TypeError(f"{where}: {name}[{i}] must be an array, got {type(value).__name__}")
    cdef cnp.ndarray array = value
    if (cnp.PyArray_TYPE(array) != cnp.PyArray_TYPE(like) or not cnp.PyArray_ISCARRAY_RO(array)
            or not cnp.PyArray_SAMESHAPE(array, like)):
        need_like(like, array, where, f"{name}[{i}]")
        need_c_order(array, where, f"{name}[{i}]")
    return array


cdef int need_length(values, Py_ssize_t n, str where, str name) except -1:
    if len(values) != n:
        raise ValueError(f"{where}: {name} must have one entry per parameter, {n}, "
                         f"got {len(values)}")
    return 0


cdef ParamList written(str where, str name, list arrays, isa):
    """`arrays`, to be read and written, as a list with only `p` filled in."""
    cdef ParamList made = ParamList.__new__(ParamList)
    cdef Py_ssize_t i, n = len(arrays)
    cdef cnp.ndarray first, p
    cdef fdl_param *x
    made.items = <fdl_param *> PyMem_Calloc(n + 1, sizeof(fdl_param))
    if made.items == NULL:
        raise MemoryError(f"{where}: no memory for the list of parameters")
    for i in range(n):
        x = made.items + i
        if not isinstance(arrays[i], cnp.ndarray):
            raise TypeError(f"{where}: {name}[{i}] must be an array, "
                            f"got {type(arrays[i]).__name__}")
        p = arrays[i]
        if i == 0:
            first = p
            made.kernels = table_of(p, isa, where, f"{name}[0]")
        elif cnp.PyArray_TYPE(p) != cnp.PyArray_TYPE(first):
            raise TypeError(f"{where}: {name}[{i}] must be {first.dtype} like the first, "
                            f"got {p.dtype}")
        if not cnp.PyArray_ISCARRAY(p):
            need_writable(p, where, f"{name}[{i}]")
        x.n = cnp.PyArray_SIZE(p)
        x.p = cnp.PyArray_DATA(p)
    made.count = n
    return made


cdef ParamList listed(
    str where, list params, list grads, tuple states, int needed, list steps, isa
):
    """Parameters, gradients and states (name, arrays, name, ...) as the contract wants them; the
    number of its step, if `steps` are given, in rate[0]. The first `needed` states must be there.
    """
    cdef ParamList made = written(where, "params", params, isa)
    cdef Py_ssize_t i, k, n = made.count
    cdef cnp.ndarray s
    cdef fdl_param *x
    need_length(grads, n, where, "grads")
    for k in range(0, len(states), 2):
        if states[k + 1] is not None:
            need_length(states[k + 1], n, where, states[k])
    for i in range(n):
        x = made.items + i
        x.g = cnp.PyArray_DATA(entry_of(grads, i, <cnp.ndarray> params[i], where, "grads"))
        for k in range(len(states) // 2):
            values = states[2 * k + 1]
            if k >= needed and (values is None or values[i] is None):
                continue
            s = entry_of(values, i, <cnp.ndarray> params[i], where, states[2 * k])
            if not cnp.PyArray_ISWRITEABLE(s):
                need_writable(s, where, f"{states[2 * k]}[{i}]")
            x.state[k] = cnp.PyArray_DATA(s)
    if steps is not None:
        need_length(steps, n, where, "steps")
        for i in range(n):
            made.items[i].rate[0] = steps[i]
            if not made.items[i].rate[0] >= 1:
                raise ValueError(f"{where}: steps must be at least 1, got {steps[i]}")
    return made


cdef fdl_rule rule_of(double lr, double weight_decay, bint maximize) noexcept:
    cdef fdl_rule rule
    memset(&rule, 0, sizeof(rule))
    rule.lr = lr
    rule.weight_decay = weight_decay
    rule.maximize = maximize
    return rule


cdef int take_step(fdl_step_fn *step, ParamList x, fdl_rule *rule, int threads,
                   str where) except -1:
    cdef int n = threads_of(threads), status
    with nogil:
        status = step(x.count, x.items, rule, n)
    return finish(status, where)


def sgd_step(
    list params not None, list grads not None, list bufs=None, *, list steps=None, double lr,
    double momentum=0.0, double dampening=0.0, double weight_decay=0.0, bint nesterov=False,
    bint maximize=False, isa=None, int threads=0
):
    """One step of SGD, in place on `params` and on the momentum buffers `bufs` (None: none).

    Buffers start as zeros; in step 1 (`steps` None: a later one) dampening does not count, so that
    they become the gradient, as in PyTorch.
    """
    cdef ParamList x = listed("sgd_step", params, grads, ("bufs", bufs), 0, steps, isa)
    cdef fdl_rule rule = rule_of(lr, weight_decay, maximize)
    cdef Py_ssize_t i
    if x.count == 0:
        return
    rule.momentum = momentum
    rule.nesterov = nesterov
    for i in range(x.count):
        x.items[i].rate[0] = 1 if x.items[i].rate[0] == 1 else 1 - dampening
    take_step(x.kernels.sgd, x, &rule, threads, "sgd_step")


def adam_step(
    list params not None, list grads not None, list exp_avgs not None, list exp_avg_sqs not None,
    list max_exp_avg_sqs=None, *, list steps not None, double lr=1e-3, double beta1=0.9,
    double beta2=0.999, double eps=1e-8, double weight_decay=0.0, bint decoupled=False,
    bint maximize=False, isa=None, int threads=0
):
    """One step of Adam, in place on `params` and the running averages.

    `max_exp_avg_sqs` given: AMSGrad. `decoupled`: AdamW's weight decay.
    """
    cdef tuple states = ("exp_avgs", exp_avgs, "exp_avg_sqs", exp_avg_sqs,
                         "max_exp_avg_sqs", max_exp_avg_sqs)
    cdef ParamList x = listed("adam_step", params, grads, states, 2, steps, isa)
    cdef fdl_rule rule = rule_of(lr, weight_decay, maximize)
    cdef Py_ssize_t i
    cdef double t
    cdef double *rate
    if x.count == 0:
        return
    rule.beta1, rule.beta2, rule.decoupled = beta1, beta2, decoupled
    for i in range(x.count):
        rate = x.items[i].rate
        t = rate[0]
        rate[0] = lr / (1 - pow(beta1, t))
        rate[2] = 1 / sqrt(1 - pow(beta2, t))
        rate[3] = eps
    take_step(x.kernels.adam, x, &rule, threads, "adam_step")


def nadam_step(
    list params not None, list grads not None, list exp_avgs not None, list exp_avg_sqs not None, *,
    list steps not None, list mu_products not None, double lr=2e-3, double beta1=0.9,
    double beta2=0.999, double eps=1e-8, double weight_decay=0.0, double momentum_decay=4e-3,
    bint decoupled=False, bint maximize=False, isa=None, int threads=0
):
    """One step of NAdam, in place on `params` and the running averages.

    With mu_t = beta1 (1 - 0.96^(t momentum_decay) / 2), `mu_products` lists mu_1 ... mu_t for the
    step t that is taken.
    """
    cdef tuple states = ("exp_avgs", exp_avgs, "exp_avg_sqs", exp_avg_sqs)
    cdef ParamList x = listed("nadam_step", params, grads, states, 2, steps, isa)
    cdef fdl_rule rule = rule_of(lr, weight_decay, maximize)
    cdef Py_ssize_t i
    cdef double t, mu, following, product
    cdef double *rate
    need_length(mu_products, x.count, "nadam_step", "mu_products")
    if x.count == 0:
        return
    rule.beta1, rule.beta2, rule.decoupled = beta1, beta2, decoupled
    for i in range(x.count):
        rate = x.items[i].rate
        t = rate[0]
        mu = beta1 * (1 - pow(0.96, t * momentum_decay) / 2)
        following = beta1 * (1 - pow(0.96, (t + 1) * momentum_decay) / 2)
        product = mu_products[i]
        rate[0] = lr * following / (1 - product * following)
        rate[1] = lr * (1 - mu) / (1 - product)
        rate[2] = 1 / sqrt(1 - pow(beta2, t))
        rate[3] = eps
    take_step(x.kernels.adam, x, &rule, threads, "nadam_step")


def radam_step(
    list params not None, list grads not None, list exp_avgs not None, list exp_avg_sqs not None, *,
    list steps not None, double lr=1e-3, double beta1=0.9, double beta2=0.999, double eps=1e-8,
    double weight_decay=0.0, bint decoupled=False, bint maximize=False, isa=None, int threads=0
):
    """One step of RAdam, in place on `params` and the running averages."""
    cdef tuple states = ("exp_avgs", exp_avgs, "exp_avg_sqs", exp_avg_sqs)
    cdef ParamList x = listed("radam_step", params, grads, states, 2, steps, isa)
    cdef fdl_rule rule = rule_of(lr, weight_decay, maximize)
    cdef Py_ssize_t i
    cdef double t, rho, rho_inf = 2 / (1 - beta2) - 1
    cdef double *rate
    if x.count == 0:
        return
    rule.beta1, rule.beta2, rule.decoupled = beta1, beta2, decoupled
    for i in range(x.count):
        rate = x.items[i].rate
        t = rate[0]
        rate[0] = lr / (1 - pow(beta1, t))
        rho = rho_inf - 2 * t * pow(beta2, t) / (1 - pow(beta2, t))
        if rho > 5:
            rate[0] *= sqrt(
                (rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho)
                * (1 - pow(beta2, t))
            )
            rate[2] = 1
            rate[3] = eps
        else:                                       # too few steps to know the variance
            rate[2] = 0
            rate[3] = 1
    take_step(x.kernels.adam, x, &rule, threads, "radam_step")


def rmsprop_step(
    list params not None, list grads not None, list square_avgs not None, list bufs=None,
    list grad_avgs=None, *, double lr=1e-2, double alpha=0.99, double eps=1e-8,
    double weight_decay=0.0, double momentum=0.0, bint maximize=False, isa=None, int threads=0
):
    """One step of RMSprop, in place on `params` and their state.

    `bufs` given: with momentum. `grad_avgs` given: centered.
    """
    cdef tuple states = ("square_avgs", square_avgs, "bufs", bufs, "grad_avgs", grad_avgs)
    cdef ParamList x = listed("rmsprop_step", params, grads, states, 1, None, isa)
    cdef fdl_rule rule = rule_of(lr, weight_decay, maximize)
    rule.beta2, rule.eps, rule.momentum = alpha, eps, momentum
    if x.count:
        take_step(x.kernels.rmsprop, x, &rule, threads, "rmsprop_step")


def adagrad_step(
    list params not None, list grads not None, list sums not None, *, list steps not None,
    double lr=1e-2, double lr_decay=0.0, double eps=1e-10, double weight_decay=0.0,
    bint maximize=False, isa=None, int threads=0
):
    """One step of Adagrad, in place on `params` and the sums of squares."""
    cdef ParamList x = listed("adagrad_step", params, grads, ("sums", sums), 1, steps, isa)
    cdef fdl_rule rule = rule_of(lr, weight_decay, maximize)
    cdef Py_ssize_t i
    rule.eps = eps
    for i in range(x.count):
        x.items[i].rate[0] = lr / (1 + (x.items[i].rate[0] - 1) * lr_decay)
    if x.count:
        take_step(x.kernels.adagrad, x, &rule, threads, "adagrad_step")


def adadelta_step(
    list params not None, list grads not None, list square_avgs not None,
    list acc_deltas not None, *, double lr=1.0, double rho=0.9, double eps=1e-6,
    double weight_decay=0.0, bint maximize=False, isa=None, int threads=0
):
    """One step of Adadelta, in place on `params` and the running averages."""
    cdef tuple states = ("square_avgs", square_avgs, "acc_deltas", acc_deltas)
    cdef ParamList x = listed("adadelta_step", params, grads, states, 2, None, isa)
    cdef fdl_rule rule = rule_of(lr, weight_decay, maximize)
    rule.beta2, rule.eps = rho, eps
    if x.count:
        take_step(x.kernels.adadelta, x, &rule, threads, "adadelta_step")


def adamax_step(
    list params not None, list grads not None, list exp_avgs not None, list exp_infs not None, *,
    list steps not None, double lr=2e-3, double beta1=0.9, double beta2=0.999, double eps=1e-8,
    double weight_decay=0.0, bint maximize=False, isa=None, int threads=0
):
    """One step of Adamax, in place on `params` and the running averages."""
    cdef tuple states = ("exp_avgs", exp_avgs, "exp_infs", exp_infs)
    cdef ParamList x = listed("adamax_step", params, grads, states, 2, steps, isa)
    cdef fdl_rule rule = rule_of(lr, weight_decay, maximize)
    cdef Py_ssize_t i
    rule.beta1, rule.beta2, rule.eps = beta1, beta2, eps
    for i in range(x.count):
        x.items[i].rate[0] = lr / (1 - pow(beta1, x.items[i].rate[0]))
    if x.count:
        take_step(x.kernels.adamax, x, &rule, threads, "adamax_step")


def sum_squares(list arrays not None, *, isa=None, int threads=0):
    """The sum of the squares of all values of all arrays: a float."""
    cdef ParamList x = written("sum_squares", "arrays", arrays, isa)
    cdef int n = threads_of(threads), status
    cdef double total = 0
    if x.count:
        with nogil:
            status = x.kernels.sum_squares(x.count, x.items, &total, n)
        finish(status, "sum_squares")
    return total


def scale(list arrays not None, double factor, *, isa=None, int threads=0):
    """All values of all arrays times `factor`, in place."""
    cdef ParamList x = written("scale", "arrays", arrays, isa)
    cdef int n = threads_of(threads), status
    if x.count:
        with nogil:
            status = x.kernels.scale(x.count, x.items, factor, n)
        finish(status, "scale")


def clamp(list arrays not None, double low, double high, *, isa=None, int threads=0):
    """All values of all arrays brought into [low, high], in place; NaN stays."""
    cdef ParamList x = written("clamp", "arrays", arrays, isa)
    cdef int n = threads_of(threads), status
    if x.count:
        with nogil:
            status = x.kernels.clamp(x.count, x.items, low, high, n)
        finish(status, "clamp")
