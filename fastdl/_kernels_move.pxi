# Copies between strided arrays: included by _kernels.pyx.
#
# Elements of 4 and 8 bytes move as bits by the kernels of float32 and float64, whatever they mean.
# A copy is normalised first: axes by falling stride of the output, which runs forwards, neighbours
# that both sides walk as one axis merged.


cdef bint as_copy(
    int ndim, const cnp.npy_intp *shape, char **src, const cnp.npy_intp *src_strides, char **dst,
    const cnp.npy_intp *dst_strides, int item, fdl_copy *g
) noexcept:
    """The copy in elements; moves src and dst to where axes that run backwards begin. False if
    there are too many axes, or strides that are no multiples of the item."""
    cdef int order[64]
    cdef int i, j, axis, last, count = 0
    cdef int64_t x_stride, y_stride
    for i in range(ndim):
        if shape[i] == 1:
            continue
        j = count
        while j > 0 and abs(dst_strides[order[j - 1]]) < abs(dst_strides[i]):
            order[j] = order[j - 1]
            j -= 1
        order[j] = i
        count += 1
    g.axes = 0
    for i in range(count):
        axis = order[i]
        x_stride, y_stride = src_strides[axis], dst_strides[axis]
        if x_stride % item or y_stride % item:
            return False
        if y_stride < 0:
            src[0] += (shape[axis] - 1) * x_stride
            dst[0] += (shape[axis] - 1) * y_stride
            x_stride, y_stride = -x_stride, -y_stride
        x_stride //= item
        y_stride //= item
        last = g.axes - 1
        if last >= 0 and g.x_stride[last] == shape[axis] * x_stride and (
            g.y_stride[last] == shape[axis] * y_stride
        ):
            g.shape[last] *= shape[axis]
        else:
            if g.axes == FDL_COPY_AXES:
                return False
            last = g.axes
            g.shape[last] = shape[axis]
            g.axes += 1
        g.x_stride[last] = x_stride
        g.y_stride[last] = y_stride
    if g.axes == 0:
        g.axes, g.shape[0], g.x_stride[0], g.y_stride[0] = 1, 1, 1, 1
    return True


cdef const fdl_kernels *movers_of(cnp.ndarray x, isa) except? NULL:
    """The table that moves elements of x's size; NULL for sizes and dtypes that NumPy moves."""
    cdef cnp.npy_intp item = cnp.PyArray_ITEMSIZE(x)
    cdef int tier = current_tier if isa is None else tier_of(isa)
    if (item != 4 and item != 8) or cnp.PyArray_TYPE(x) > cnp.NPY_LONGDOUBLE or (
        not cnp.PyArray_ISBEHAVED_RO(x)
    ):
        return NULL
    return fdl_table(tier, FDL_F32 if item == 4 else FDL_F64)


def copy(cnp.ndarray x not None, *, cnp.ndarray out=None, isa=None, int threads=0):
    """A C-ordered copy of any array; or x written to `out`, which has its shape and dtype, any
    strides, and shares no memory with it."""
    cdef const fdl_kernels *kernels = movers_of(x, isa)
    cdef int n = threads_of(threads), status
    cdef fdl_copy g
    cdef char *src = <char *> cnp.PyArray_DATA(x)
    cdef char *dst
    if out is None:
        if kernels == NULL:
            return np.array(x, order="C")
        out = cnp.PyArray_EMPTY(
            cnp.PyArray_NDIM(x), cnp.PyArray_DIMS(x), cnp.PyArray_TYPE(x), 0
        )
    elif not cnp.PyArray_SAMESHAPE(x, out) or x.dtype != out.dtype or (
        not cnp.PyArray_ISWRITEABLE(out)
    ):
        raise ValueError(
            f"copy: out must be a writable {x.dtype} array of shape {np.shape(x)}, "
            f"got {out.dtype} {np.shape(out)}"
        )
    dst = <char *> cnp.PyArray_DATA(out)
    if kernels == NULL or not cnp.PyArray_ISBEHAVED_RO(out) or not as_copy(
        cnp.PyArray_NDIM(x), cnp.PyArray_DIMS(x), &src, cnp.PyArray_STRIDES(x), &dst,
        cnp.PyArray_STRIDES(out), <int> cnp.PyArray_ITEMSIZE(x), &g
    ):
        np.copyto(out, x)
        return out
    with nogil:
        status = kernels.copy(&g, src, dst, n)
    finish(status, "copy")
    return out


cdef bint as_part(cnp.ndarray x, int axis, fdl_part *part) noexcept:
    """x as rows, axes before `axis`, of contiguous elements; False where its strides forbid it."""
    cdef int i
    cdef int64_t size = cnp.PyArray_ITEMSIZE(x), rows = 1, item = size
    part.x = cnp.PyArray_DATA(x)
    part.row = 0
    for i in range(cnp.PyArray_NDIM(x) - 1, -1, -1):
        if i == axis - 1:
            part.n, size = size // item, 0
        if cnp.PyArray_DIM(x, i) == 1:
            continue
        if i >= axis:
            if cnp.PyArray_STRIDE(x, i) != size:
                return False
            size *= cnp.PyArray_DIM(x, i)
        else:
            if rows == 1:
                part.row = cnp.PyArray_STRIDE(x, i)
            elif cnp.PyArray_STRIDE(x, i) != rows * part.row:
                return False
            rows *= cnp.PyArray_DIM(x, i)
    if axis == 0:
        part.n = size // item
    if part.row % item:
        return False
    part.row //= item
    return True


cdef cnp.ndarray join(xs, int axis, bint stacked, str where, isa, int threads):
    """The arrays after one another along `axis`, a new one if `stacked`."""
    cdef cnp.ndarray first = xs[0], x, y
    cdef const fdl_kernels *kernels = movers_of(first, isa)
    cdef int n = threads_of(threads), status, ndim = cnp.PyArray_NDIM(first), i, count = 0
    cdef int typenum = cnp.PyArray_TYPE(first)
    cdef cnp.npy_intp shape[65]         # NumPy refuses what has more than 64
    cdef fdl_part parts[64]
    cdef int64_t rows = 1
    if not 0 <= axis < ndim + stacked:
        raise ValueError(f"{where}: axis must lie in [0, {ndim + stacked}), got {axis}")
    for i in range(ndim):
        shape[i + (stacked and i >= axis)] = cnp.PyArray_DIM(first, i)
        if i < axis:
            rows *= cnp.PyArray_DIM(first, i)
    shape[axis] = 0
    if len(xs) > 64:
        kernels = NULL
    for x in xs:
        if cnp.PyArray_NDIM(x) != ndim or cnp.PyArray_TYPE(x) != typenum:
            raise ValueError(f"{where}: xs must have one dtype and number of dimensions")
        for i in range(ndim):
            if (stacked or i != axis) and cnp.PyArray_DIM(x, i) != cnp.PyArray_DIM(first, i):
                raise ValueError(
                    f"{where}: xs must have one shape"
                    f"{'' if stacked else f' but for axis {axis}'}, got {np.shape(first)} and "
                    f"{np.shape(x)}"
                )
        shape[axis] += 1 if stacked else cnp.PyArray_DIM(x, axis)
        if kernels != NULL and cnp.PyArray_SIZE(x):
            if not cnp.PyArray_ISBEHAVED_RO(x) or not as_part(x, axis, &parts[count]) or (
                parts[count].n < 8 and rows > 8     # too short for rows: strided copies
            ):
                kernels = NULL
            count += 1
    y = cnp.PyArray_EMPTY(ndim + stacked, shape, typenum, 0)
    if kernels != NULL:
        with nogil:
            status = kernels.join(rows, count, parts, data_of(y), n)
        finish(status, where)
        return y
    begin = 0
    at = [slice(None)] * (ndim + stacked)
    for x in xs:
        at[axis] = begin if stacked else slice(begin, begin + cnp.PyArray_DIM(x, axis))
        copy(x, out=y[(*at, ...)], isa=isa, threads=threads)
        begin += 1 if stacked else cnp.PyArray_DIM(x, axis)
    return y


def concatenate(xs, int axis, *, isa=None, int threads=0):
    """The arrays after one another along `axis`, in C order: as numpy.concatenate."""
    return join(xs, axis, False, "concatenate", isa, threads)


def stack(xs, int axis, *, isa=None, int threads=0):
    """The arrays side by side along a new axis, in C order: as numpy.stack."""
    return join(xs, axis, True, "stack", isa, threads)


def pad(cnp.ndarray x not None, widths, value=0, *, isa=None, int threads=0):
    """x with `widths[i]` = (before, after) elements of `value` added along axis i, in C order.
    Negative widths take elements away."""
    cdef const fdl_kernels *kernels = movers_of(x, isa)
    cdef int n = threads_of(threads), status, ndim = cnp.PyArray_NDIM(x), i
    cdef cnp.npy_intp shape[64]
    cdef cnp.npy_intp item = cnp.PyArray_ITEMSIZE(x), stride
    cdef cnp.ndarray y, bits
    cdef Py_ssize_t before, after
    cdef fdl_pad g
    cdef char *src = <char *> cnp.PyArray_DATA(x)
    if len(widths) != ndim:
        raise ValueError(f"pad: expected widths for {ndim} axes, got {len(widths)}")
    if ndim > FDL_COPY_AXES or ndim == 0:
        kernels = NULL
    for i in range(ndim):
        before, after = widths[i]
        shape[i] = cnp.PyArray_DIM(x, i) + before + after
        if shape[i] < 0:
            raise ValueError(
                f"pad: axis {i} has {cnp.PyArray_DIM(x, i)} elements, fewer than widths "
                f"{widths[i]} take away"
            )
        if kernels != NULL:
            stride = cnp.PyArray_STRIDE(x, i)
            if stride % item:
                kernels = NULL
                continue
            g.shape[i] = shape[i]
            g.begin[i] = max(before, 0)
            g.n[i] = max(cnp.PyArray_DIM(x, i) + min(before, 0) + min(after, 0), 0)
            if g.n[i] == 0:
                g.begin[i] = 0
            g.x_stride[i] = stride // item
            src += max(-before, 0) * stride
    y = cnp.PyArray_EMPTY(ndim, shape, cnp.PyArray_TYPE(x), 0)
    if cnp.PyArray_SIZE(y) == 0:
        return y
    bits = np.asarray(value, x.dtype)
    if kernels == NULL:
        y.fill(bits)
        inner = tuple([slice(max(a, 0), k - max(b, 0)) for k, (a, b) in zip(np.shape(y), widths)])
        kept = tuple([slice(max(-a, 0), k - max(-b, 0)) for k, (a, b) in zip(np.shape(x), widths)])
        if x[kept].size:
            y[inner] = x[kept]
        return y
    g.axes = ndim
    with nogil:
        status = kernels.pad(&g, src, data_of(bits), data_of(y), n)
    finish(status, "pad")
    return y


def fill(cnp.ndarray out not None, value, *, isa=None, int threads=0):
    """`value`, cast to out's dtype, in every place of a writable array of any strides."""
    cdef cnp.ndarray bits = np.asarray(value, out.dtype)
    cdef const fdl_kernels *kernels = movers_of(bits, isa)
    cdef int n = threads_of(threads), status, i
    cdef cnp.npy_intp still[64]
    cdef fdl_copy g
    cdef char *src = <char *> cnp.PyArray_DATA(bits)
    cdef char *dst = <char *> cnp.PyArray_DATA(out)
    if cnp.PyArray_NDIM(bits):
        raise ValueError(f"fill: value must be one number, got an array of {np.shape(bits)}")
    if not cnp.PyArray_ISWRITEABLE(out):
        raise ValueError("fill: out must be writable")
    for i in range(cnp.PyArray_NDIM(out)):
        still[i] = 0
    if kernels == NULL or not cnp.PyArray_ISBEHAVED_RO(out) or not as_copy(
        cnp.PyArray_NDIM(out), cnp.PyArray_DIMS(out), &src, still, &dst,
        cnp.PyArray_STRIDES(out), <int> cnp.PyArray_ITEMSIZE(out), &g
    ):
        out.fill(bits)
        return out
    with nogil:
        status = kernels.copy(&g, src, dst, n)
    finish(status, "fill")
    return out


def within(cnp.ndarray index not None, int64_t low, int64_t high):
    """Do all numbers of an int64 array lie in [low, high)?"""
    return all_within(index, low, high)


cdef bint all_within(cnp.ndarray index, int64_t low, int64_t high) except -1:
    cdef int64_t n = cnp.PyArray_SIZE(index)
    cdef const int64_t *i
    cdef int outside
    if cnp.PyArray_TYPE(index) != cnp.NPY_INT64:
        raise TypeError(f"within: index must be int64, got {index.dtype}")
    if not cnp.PyArray_IS_C_CONTIGUOUS(index) or not cnp.PyArray_ISBEHAVED_RO(index):
        index = np.array(index, order="C")
    i = <const int64_t *> cnp.PyArray_DATA(index)
    with nogil:
        outside = fdl_outside(i, n, low, high)
    return not outside


cdef cnp.ndarray as_pick(
    cnp.ndarray index, cnp.ndarray x, int dim, fdl_pick *g, str where
):
    """Fills g for the numbers `index` along axis `dim` of x; returns index as int64 in C order."""
    cdef int i, ndim = cnp.PyArray_NDIM(x)
    if not 0 <= dim < ndim <= FDL_COPY_AXES or cnp.PyArray_NDIM(index) != ndim:
        raise ValueError(
            f"{where}: expected arrays of one number of axes up to {FDL_COPY_AXES} and dim among "
            f"them, got shapes {np.shape(x)} and {np.shape(index)}, dim {dim}"
        )
    if cnp.PyArray_TYPE(index) != cnp.NPY_INT64 or not cnp.PyArray_ISCARRAY_RO(index):
        index = np.ascontiguousarray(index, np.int64)
    g.axes, g.step = ndim, cnp.PyArray_STRIDE(x, dim) // cnp.PyArray_ITEMSIZE(x)
    for i in range(ndim):
        g.shape[i] = cnp.PyArray_DIM(index, i)
        g.stride[i] = 0 if i == dim else cnp.PyArray_STRIDE(x, i) // cnp.PyArray_ITEMSIZE(x)
        if i != dim and g.shape[i] > cnp.PyArray_DIM(x, i):
            raise ValueError(
                f"{where}: index of shape {np.shape(index)} is larger than {np.shape(x)} beside "
                f"axis {dim}"
            )
    if not all_within(index, 0, cnp.PyArray_DIM(x, dim)):
        raise IndexError(
            f"{where}: index out of range [0, {cnp.PyArray_DIM(x, dim)}): {index.min()} to "
            f"{index.max()}"
        )
    return index


def gather(cnp.ndarray x not None, index, int dim, *, isa=None, int threads=0):
    """The elements of x that `index`, an array of ints with as many axes, names along `dim`, in C
    order: as numpy.take_along_axis. IndexError for numbers outside [0, x.shape[dim])."""
    cdef const fdl_kernels *kernels = movers_of(x, isa)
    cdef int n = threads_of(threads), status
    cdef cnp.ndarray places, y
    cdef fdl_pick g
    if kernels == NULL:
        x = np.array(x, order="C")
    places = as_pick(index, x, dim, &g, "gather")
    if kernels == NULL:
        grid = list(np.ogrid[tuple([slice(0, k) for k in np.shape(places)])])
        grid[dim] = places
        return x[tuple(grid)]
    y = cnp.PyArray_EMPTY(
        cnp.PyArray_NDIM(places), cnp.PyArray_DIMS(places), cnp.PyArray_TYPE(x), 0
    )
    if cnp.PyArray_SIZE(y):
        with nogil:
            status = kernels.pick(&g, data_of(x), <const int64_t *> data_of(places), data_of(y), n)
        finish(status, "gather")
    return y


def scatter_add(cnp.ndarray x not None, index, shape, int dim, *, isa=None):
    """Zeros of `shape` with x, float32 or float64, added at the places that `gather` with `index`
    reads; repeated ones add up in order."""
    cdef const fdl_kernels *kernels = table_of(x, isa, "scatter_add", "x")
    cdef cnp.ndarray places, y = np.zeros(shape, x.dtype)
    cdef fdl_pick g
    cdef int i
    places = as_pick(index, y, dim, &g, "scatter_add")
    if not cnp.PyArray_SAMESHAPE(x, places):
        raise ValueError(
            f"scatter_add: x must have the shape of index {np.shape(places)}, got {np.shape(x)}"
        )
    if not cnp.PyArray_IS_C_CONTIGUOUS(x) or not cnp.PyArray_ISBEHAVED_RO(x):
        x = copy(x)
    if cnp.PyArray_SIZE(x):
        with nogil:
            kernels.place(&g, data_of(x), <const int64_t *> data_of(places), data_of(y))
    return y


# ---- the same as operations of the engine call them ----------------------------------------------

def join_along(*xs, int dim):
    """`concatenate` of the operands."""
    return join(xs, dim, False, "concatenate", None, 0)


def stack_along(*xs, int dim):
    """`stack` of the operands."""
    return join(xs, dim, True, "stack", None, 0)


def pad_with(x, *, widths, value):
    """`pad`."""
    return pad(x, widths, value)


def gather_along(cnp.ndarray x not None, cnp.ndarray index not None, *, int dim):
    """`gather`."""
    return gather(x, index, dim)


def flip_along(cnp.ndarray x not None, *, dims):
    """x with the order reversed along `dims`, its axes in the order they have in memory."""
    cdef const fdl_kernels *kernels = movers_of(x, None)
    cdef int dim, ndim = cnp.PyArray_NDIM(x), n, status
    cdef cnp.npy_intp walk[64]
    cdef char *src = <char *> cnp.PyArray_DATA(x)
    cdef char *dst
    cdef fdl_copy g
    cdef cnp.ndarray y
    for dim in range(ndim):
        walk[dim] = cnp.PyArray_STRIDE(x, dim)
    for dim in dims:
        if not 0 <= dim < ndim:
            raise ValueError(f"flip: expected an axis of {ndim}, got {dim}")
        src += (cnp.PyArray_DIM(x, dim) - 1) * walk[dim]
        walk[dim] = -walk[dim]
    if kernels != NULL and cnp.PyArray_IS_C_CONTIGUOUS(x) and cnp.PyArray_SIZE(x):
        y = cnp.PyArray_EMPTY(ndim, cnp.PyArray_DIMS(x), cnp.PyArray_TYPE(x), 0)
        dst = <char *> cnp.PyArray_DATA(y)
        if as_copy(ndim, cnp.PyArray_DIMS(x), &src, walk, &dst, cnp.PyArray_STRIDES(y),
                   <int> cnp.PyArray_ITEMSIZE(x), &g):
            n = threads_of(0)
            with nogil:
                status = kernels.copy(&g, src, dst, n)
            finish(status, "flip")
            return y
    steps = [slice(None)] * ndim
    for dim in dims:
        steps[dim] = slice(None, None, -1)
    turned = x[(*steps, ...)]
    if cnp.PyArray_IS_C_CONTIGUOUS(x):
        return copy(turned)
    order = axes_in_memory((<object>x).strides, (<object>x).shape)
    return copy(turned.transpose(order)).transpose(np.argsort(order))


cdef list axes_in_memory(tuple strides, tuple shape):
    """The axes from the outermost in memory to the innermost, as PyTorch orders them for a copy:
    an expanded axis stays where it is among its neighbours, of equal strides the longer axis goes
    outside."""
    order = list(range(len(shape)))[::-1]
    for last in range(1, len(order)):
        place = last
        for other in range(last - 1, -1, -1):
            a, b = order[other], order[place]
            if strides[a] == 0 or strides[b] == 0:
                continue
            if abs(strides[a]) < abs(strides[b]):
                break
            if abs(strides[a]) > abs(strides[b]) or shape[a] > shape[b]:
                order[other], order[place] = b, a
                place = other
    return order[::-1]


cdef cnp.npy_intp SMALL_MOVE = 1 << 16      # bytes, below which one thread is soonest done


def roll_along(cnp.ndarray x not None, *, shifts, dims):
    """x moved cyclically by `shifts` along `dims`, in C order."""
    cdef Py_ssize_t shift, n
    cdef int dim
    for shift, dim in zip(shifts, dims):
        if not 0 <= dim < cnp.PyArray_NDIM(x):
            raise ValueError(f"roll: expected an axis of {cnp.PyArray_NDIM(x)}, got {dim}")
        n = cnp.PyArray_DIM(x, dim)
        if n == 0:
            continue
        shift = (shift % n + n) % n
        if cnp.PyArray_NBYTES(x) <= SMALL_MOVE and cnp.PyArray_IS_C_CONTIGUOUS(x):
            x = rolled(x, dim, shift)
        else:
            before = (slice(None),) * dim
            halves = x[(*before, slice(n - shift, None))], x[(*before, slice(0, n - shift))]
            x = join(halves, dim, False, "roll", None, 0)
    return x


cdef cnp.ndarray rolled(cnp.ndarray x, int dim, cnp.npy_intp shift):
    """A C-ordered x moved by `shift`, 0 <= shift < its length, along `dim`."""
    cdef cnp.ndarray y = cnp.PyArray_EMPTY(
        cnp.PyArray_NDIM(x), cnp.PyArray_DIMS(x), cnp.PyArray_TYPE(x), 0
    )
    cdef cnp.npy_intp step = cnp.PyArray_ITEMSIZE(x), row, first, at
    cdef const char *src = <const char *> cnp.PyArray_DATA(x)
    cdef char *dst = <char *> cnp.PyArray_DATA(y)
    cdef int i
    for i in range(dim + 1, cnp.PyArray_NDIM(x)):
        step *= cnp.PyArray_DIM(x, i)
    row = step * cnp.PyArray_DIM(x, dim)
    first = step * shift
    for at in range(0, cnp.PyArray_NBYTES(x), row if row else 1):
        memcpy(dst + at, src + at + row - first, first)
        memcpy(dst + at + first, src + at, row - first)
    return y
