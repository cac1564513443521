# Reductions over any axes: included by _kernels.pyx.
#
# An array's axes are put into the order of its memory and neighbours that walk it as one axis are
# merged; what is left alternates between axes that are kept and axes that are reduced. From the
# last, each reduced axis is one call of the kernel, (outer, n, inner) -> (outer, inner): the first
# reads x, later ones what it left, a small part of it.

cdef tuple REDUCTIONS = ("sum", "prod", "max", "min", "sum_abs", "sum_squares")
cdef tuple OF_NOTHING = (0.0, 1.0, -float("inf"), float("inf"), 0.0, 0.0)


cdef struct Axes:
    int count                           # of merged axes
    int64_t length[65]
    int64_t stride[65]                  # in elements
    bint reduced[65]


cdef bint merge_axes(cnp.ndarray x, const bint *reduced, const int *order, Axes *axes) noexcept:
    """The axes of x in `order`, merged. False where one walks backwards, stands still or is no
    multiple of an element."""
    cdef int i, axis, last, ndim = cnp.PyArray_NDIM(x)
    cdef int64_t length, stride, item = cnp.PyArray_ITEMSIZE(x)
    axes.count = 0
    for i in range(ndim):
        axis = order[i]
        length = cnp.PyArray_DIM(x, axis)
        if length == 1:
            continue
        stride = cnp.PyArray_STRIDE(x, axis)
        if stride <= 0 or stride % item:
            return False
        stride //= item
        last = axes.count - 1
        if last >= 0 and axes.reduced[last] == reduced[axis] and (
            axes.stride[last] == length * stride
        ):
            axes.length[last] *= length
            axes.stride[last] = stride
        else:
            axes.length[axes.count] = length
            axes.stride[axes.count] = stride
            axes.reduced[axes.count] = reduced[axis]
            axes.count += 1
    if last_reduced(axes) < 0:          # all had length 1, or there are none
        axes.length[axes.count], axes.stride[axes.count] = 1, 1
        axes.reduced[axes.count] = True
        axes.count += 1
    return True


cdef int last_reduced(const Axes *axes) noexcept nogil:
    cdef int k = axes.count - 1
    while k >= 0 and not axes.reduced[k]:
        k -= 1
    return k


cdef int64_t without_axis(Axes *axes, int k) noexcept nogil:
    """Drop axis k, all after which are kept: what is left, in C order. Returns its size."""
    cdef int i
    cdef int64_t size = 1
    axes.count -= 1
    for i in range(k, axes.count):
        axes.length[i], axes.reduced[i] = axes.length[i + 1], False
    if 0 < k < axes.count and not axes.reduced[k - 1]:
        axes.length[k - 1] *= axes.length[k]
        axes.count -= 1                 # k was the last but one
    for i in range(axes.count - 1, -1, -1):
        axes.stride[i] = size
        size *= axes.length[i]
    return size


cdef bint as_problem(const Axes *axes, int k, fdl_reduce *g) noexcept nogil:
    """The call that reduces axis k, the last reduced one; False where strides forbid it."""
    cdef int i
    g.outer, g.n, g.inner = 1, axes.length[k], 1
    g.x_n = axes.stride[k]
    for i in range(k):
        if i > 0 and axes.stride[i - 1] != axes.length[i] * axes.stride[i]:
            return False
        g.outer *= axes.length[i]
    g.x_outer = axes.stride[k - 1] if k > 0 else 0
    if k == axes.count - 1:
        return axes.stride[k] == 1
    g.inner = axes.length[k + 1]
    return k == axes.count - 2 and axes.stride[k + 1] == 1


cdef int memory_order(cnp.ndarray x, int *order) noexcept:
    """The axes of x by falling stride; equal ones in their order. 1 if they were so already."""
    cdef int i, j, ndim = cnp.PyArray_NDIM(x), sorted = 1
    for i in range(ndim):
        j = i
        while j > 0 and cnp.PyArray_DIM(x, i) > 1 and (
            cnp.PyArray_STRIDE(x, order[j - 1]) < cnp.PyArray_STRIDE(x, i)
        ):
            order[j] = order[j - 1]
            j -= 1
        if j != i:
            sorted = 0
        order[j] = i
    return sorted


cdef int flag_axes(dims, int ndim, bint *reduced, str where) except -1:
    """reduced[i]: is axis i among `dims`, each counted from the front and named once?"""
    cdef int i
    cdef Py_ssize_t d
    for i in range(ndim):
        reduced[i] = False
    for d in dims:
        if not 0 <= d < ndim or reduced[d]:
            raise ValueError(f"{where}: dims must be different axes of {ndim}, got {dims}")
        reduced[d] = True
    return 0


cdef cnp.ndarray kept_shape(cnp.ndarray x, const bint *reduced, bint keepdim, int typenum):
    """A new array for the result, in C order."""
    cdef cnp.npy_intp shape[64]
    cdef int i, n = 0
    for i in range(cnp.PyArray_NDIM(x)):
        if not reduced[i]:
            shape[n] = cnp.PyArray_DIM(x, i)
            n += 1
        elif keepdim:
            shape[n] = 1
            n += 1
    return cnp.PyArray_EMPTY(n, shape, typenum, 0)


cdef bint in_order(const int *order, const bint *reduced, int ndim) noexcept:
    """Do the kept axes come in their own order?"""
    cdef int i, last = -1
    for i in range(ndim):
        if not reduced[order[i]]:
            if order[i] < last:
                return False
            last = order[i]
    return True


def reduce(
    cnp.ndarray x not None, op, dims, bint keepdim=False, bint mean=False, *, isa=None,
    int threads=0
):
    """The sum (`op` "sum"), product ("prod"), greatest or smallest element ("max", "min"; NaN if
    there is one), sum of magnitudes ("sum_abs") or of squares ("sum_squares") over `dims`.

    x is any float32 or float64 array; `dims` a sequence of its axes, counted from the front.
    `mean` divides by the number of elements. Of no elements the result is 0, 1 or an infinity.
    """
    return reduce_by(variant_of("reduce", REDUCTIONS, op), x, dims, keepdim, mean, isa, threads)


cdef cnp.ndarray reduce_by(
    int kind, cnp.ndarray x, dims, bint keepdim, bint mean, isa, int threads
):
    cdef const fdl_kernels *kernels = table_of(x, isa, "reduce", "x")
    cdef int n = threads_of(threads)
    cdef int ndim = cnp.PyArray_NDIM(x), typenum = cnp.PyArray_TYPE(x), status = 0, i, k
    cdef bint reduced[64]
    cdef int order[64]
    cdef Axes axes
    cdef fdl_reduce g
    cdef cnp.ndarray y, left
    cdef cnp.npy_intp size
    cdef double count = 1, divisor
    cdef int64_t length
    flag_axes(dims, ndim, reduced, "reduce")
    if cnp.PyArray_SIZE(x) == 0:
        y = kept_shape(x, reduced, keepdim, typenum)
        y.fill(float("nan") if mean else OF_NOTHING[kind])
        return y
    if len(dims) == ndim and not keepdim and cnp.PyArray_ISCARRAY_RO(x):
        g.outer, g.n, g.inner, g.x_n = 1, cnp.PyArray_SIZE(x), 1, 1     # everything, in any order
        g.x_outer = g.n
        y = cnp.PyArray_EMPTY(0, NULL, typenum, 0)
        divisor = <double> g.n if mean else 1
        with nogil:
            status = kernels.reduce(kind, &g, data_of(x), data_of(y), divisor, n)
        finish(status, "reduce")
        return y
    memory_order(x, order)
    if not cnp.PyArray_ISBEHAVED_RO(x) or not in_order(order, reduced, ndim):
        x = np.array(x, order="C")
        memory_order(x, order)
    if not merge_axes(x, reduced, order, &axes) or (
        not as_problem(&axes, last_reduced(&axes), &g)
    ):
        x = np.array(x, order="C")
        for i in range(ndim):
            order[i] = i
        merge_axes(x, reduced, order, &axes)
    if mean:
        for i in range(ndim):
            if reduced[i]:
                count *= cnp.PyArray_DIM(x, i)
    y = kept_shape(x, reduced, keepdim, typenum)
    k = last_reduced(&axes)
    while k >= 0:
        as_problem(&axes, k, &g)
        length = without_axis(&axes, k)
        k = last_reduced(&axes)
        divisor = 1
        left = y
        if k < 0:
            divisor = count
        else:
            size = length
            left = cnp.PyArray_EMPTY(1, &size, typenum, 0)
        with nogil:
            status = kernels.reduce(kind, &g, data_of(x), data_of(left), divisor, n)
        finish(status, "reduce")
        x = left
        if kind > FDL_MIN:
            kind = FDL_SUM
    return y


@cython.final
@cython.auto_pickle(False)
cdef class Reduction:
    """`reduce` with its operation chosen, as operations of the engine call it; `root`: of that the
    square root."""
    cdef int kind
    cdef bint mean, root

    def __init__(self, op, bint mean=False, bint root=False):
        self.kind = variant_of("Reduction", REDUCTIONS, op)
        self.mean = mean
        self.root = root

    def __call__(self, cnp.ndarray x not None, *, dims, bint keepdim):
        cdef cnp.ndarray y = reduce_by(self.kind, x, dims, keepdim, self.mean, None, 0)
        cdef int64_t i
        if self.root and cnp.PyArray_TYPE(y) == cnp.NPY_FLOAT:
            for i in range(cnp.PyArray_SIZE(y)):
                (<float *> data_of(y))[i] = sqrtf((<float *> data_of(y))[i])
        elif self.root:
            for i in range(cnp.PyArray_SIZE(y)):
                (<double *> data_of(y))[i] = sqrt((<double *> data_of(y))[i])
        return y


cdef cnp.ndarray one_axis(cnp.ndarray x, const bint *reduced, fdl_reduce *g):
    """x, or a copy of it with the reduced axes last, as one problem for the kernels."""
    cdef int i, ndim = cnp.PyArray_NDIM(x)
    cdef int order[64]
    cdef Axes axes
    for i in range(ndim):
        order[i] = i
    if cnp.PyArray_ISBEHAVED_RO(x) and merge_axes(x, reduced, order, &axes):
        i = last_reduced(&axes)
        if as_problem(&axes, i, g) and (i == 0 or not axes.reduced[i - 1]) and i < 2:
            return x
    kept = [i for i in range(ndim) if not reduced[i]]
    x = np.array(np.transpose(x, kept + [i for i in range(ndim) if reduced[i]]), order="C")
    g.outer, g.n, g.inner, g.x_n = 1, 1, 1, 1
    for i in range(ndim):
        if i < len(kept):
            g.outer *= cnp.PyArray_DIM(x, i)
        else:
            g.n *= cnp.PyArray_DIM(x, i)
    g.x_outer = g.n
    return x


def extreme(cnp.ndarray x not None, op, dim, bint keepdim=False, *, isa=None, int threads=0):
    """(the greatest or smallest elements along `dim`, their places, int64); `op` is "max" or "min".

    Of equal elements the first is found, of NaN the first before all others. `dim` None: of the
    whole array, the place counted in C order.
    """
    cdef int kind = variant_of("extreme", REDUCTIONS, op)
    if kind != FDL_MAX and kind != FDL_MIN:
        raise ValueError(f"extreme: op must be 'max' or 'min', got {op!r}")
    return extreme_by(kind, x, dim, keepdim, isa, threads)


cdef tuple extreme_by(int kind, cnp.ndarray x, dim, bint keepdim, isa, int threads):
    cdef const fdl_kernels *kernels = table_of(x, isa, "extreme", "x")
    cdef int n = threads_of(threads), status, ndim = cnp.PyArray_NDIM(x), i
    cdef bint reduced[64]
    cdef fdl_reduce g
    cdef cnp.ndarray values, places
    flag_axes(range(ndim) if dim is None else (dim,), ndim, reduced, "extreme")
    for i in range(ndim):
        if reduced[i] and cnp.PyArray_DIM(x, i) == 0:
            raise ValueError(f"extreme: x has no elements along dim, shape {np.shape(x)}")
    values = kept_shape(x, reduced, keepdim, cnp.PyArray_TYPE(x))
    places = kept_shape(x, reduced, keepdim, cnp.NPY_INT64)
    if cnp.PyArray_SIZE(x) == 0:
        return values, places
    x = one_axis(x, reduced, &g)
    with nogil:
        status = kernels.extreme(
            kind, &g, data_of(x), data_of(values), <int64_t *> data_of(places), n
        )
    finish(status, "extreme")
    return values, places


@cython.final
@cython.auto_pickle(False)
cdef class Extreme:
    """`extreme` with its operation chosen, as operations of the engine call it; `places`: only the
    second of its results."""
    cdef int kind
    cdef bint places

    def __init__(self, op, bint places=False):
        self.kind = variant_of("Extreme", REDUCTIONS, op)
        self.places = places

    def __call__(self, cnp.ndarray x not None, *, dim, bint keepdim):
        cdef tuple both = extreme_by(self.kind, x, dim, keepdim, None, 0)
        return both[1] if self.places else both


def variance(
    cnp.ndarray x not None, dims, double correction=1, bint keepdim=False, *, isa=None,
    int threads=0
):
    """(variance, mean) over `dims`: the sum of squared deviations from the mean divided by
    count - correction; NaN or infinite where that is not positive."""
    cdef const fdl_kernels *kernels = table_of(x, isa, "variance", "x")
    cdef int n = threads_of(threads), status, i
    cdef bint reduced[64]
    cdef fdl_reduce g
    cdef double divisor
    cdef cnp.ndarray var, mean
    flag_axes(dims, cnp.PyArray_NDIM(x), reduced, "variance")
    var = kept_shape(x, reduced, keepdim, cnp.PyArray_TYPE(x))
    mean = kept_shape(x, reduced, keepdim, cnp.PyArray_TYPE(x))
    if cnp.PyArray_SIZE(x) == 0:
        var.fill(float("nan"))
        mean.fill(float("nan"))
        return var, mean
    x = one_axis(x, reduced, &g)
    divisor = max(g.n - correction, 0)
    with nogil:
        status = kernels.variance(&g, data_of(x), divisor, data_of(var), data_of(mean), n)
    finish(status, "variance")
    return var, mean


def scan(cnp.ndarray x not None, int dim, bint product=False, *, isa=None, int threads=0):
    """Running sums (or products) of a C-contiguous x along axis `dim`, counted from the front."""
    need_c_order(x, "scan", "x")
    return scan_by(x, dim, product, isa, threads)


def cumsum_along(cnp.ndarray x not None, *, int dim):
    """Running sums along `dim`, as operations of the engine call `scan`."""
    return scan_by(in_c_order(x), dim, False, None, 0)


def cumprod_along(cnp.ndarray x not None, *, int dim):
    """Running products along `dim`."""
    return scan_by(in_c_order(x), dim, True, None, 0)


cdef fused real:
    float
    double


cdef void running(const real *x, real *y, int64_t *places, int64_t outer, int64_t n, int64_t inner,
                  bint greatest) noexcept nogil:
    cdef int64_t i, j, k, place = 0
    cdef real v, before
    cdef bint taken
    for i in range(outer):
        if inner == 1:
            before = x[i * n]
            for j in range(i * n, i * n + n):
                v = x[j]
                taken = (v != v) | ((v >= before) if greatest else (v <= before))
                before = v if taken else before
                place = j - i * n if taken else place
                y[j] = before
                places[j] = place
            continue
        for k in range(inner):
            y[k] = x[k]
            places[k] = 0
        for j in range(1, n):
            for k in range(inner):
                v = x[j * inner + k]
                before = y[(j - 1) * inner + k]
                taken = (v != v) | ((v >= before) if greatest else (v <= before))
                y[j * inner + k] = v if taken else before
                places[j * inner + k] = j if taken else places[(j - 1) * inner + k]
        x += n * inner
        y += n * inner
        places += n * inner


cdef tuple running_extreme(cnp.ndarray x, int dim, bint greatest):
    """(the greatest or smallest so far along `dim`, its place: the last of equal ones); NaN from
    the first NaN on, at the place of the last."""
    cdef int64_t outer = 1, inner = 1, n, i
    cdef cnp.ndarray y, places
    x = in_c_order(x)
    n = cnp.PyArray_DIM(x, dim)
    for i in range(cnp.PyArray_NDIM(x)):
        if i < dim:
            outer *= cnp.PyArray_DIM(x, i)
        elif i > dim:
            inner *= cnp.PyArray_DIM(x, i)
    y = cnp.PyArray_EMPTY(cnp.PyArray_NDIM(x), cnp.PyArray_DIMS(x), cnp.PyArray_TYPE(x), 0)
    places = cnp.PyArray_EMPTY(cnp.PyArray_NDIM(x), cnp.PyArray_DIMS(x), cnp.NPY_INT64, 0)
    if cnp.PyArray_SIZE(x) == 0:
        return y, places
    with nogil:
        if cnp.PyArray_TYPE(x) == cnp.NPY_FLOAT:
            running(<const float *> data_of(x), <float *> data_of(y), <int64_t *> data_of(places),
                    outer, n, inner, greatest)
        else:
            running(<const double *> data_of(x), <double *> data_of(y),
                    <int64_t *> data_of(places), outer, n, inner, greatest)
    return y, places


def cummax_along(cnp.ndarray x not None, *, int dim):
    """(the greatest so far along `dim`, its int64 place)."""
    return running_extreme(x, dim, True)


def cummin_along(cnp.ndarray x not None, *, int dim):
    """(the smallest so far along `dim`, its int64 place)."""
    return running_extreme(x, dim, False)


cdef cnp.ndarray scan_by(cnp.ndarray x, int dim, bint product, isa, int threads):
    cdef const fdl_kernels *kernels = table_of(x, isa, "scan", "x")
    cdef int n = threads_of(threads), status, i, ndim = cnp.PyArray_NDIM(x)
    cdef int64_t outer = 1, inner = 1, length
    cdef cnp.ndarray y
    if not 0 <= dim < ndim:
        raise ValueError(f"scan: dim must lie in [0, {ndim}), got {dim}")
    for i in range(ndim):
        if i < dim:
            outer *= cnp.PyArray_DIM(x, i)
        elif i > dim:
            inner *= cnp.PyArray_DIM(x, i)
    y = cnp.PyArray_EMPTY(ndim, cnp.PyArray_DIMS(x), cnp.PyArray_TYPE(x), 0)
    length = cnp.PyArray_DIM(x, dim)
    with nogil:
        status = kernels.scan(product, outer, length, inner, data_of(x), data_of(y), n)
    finish(status, "scan")
    return y
