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


def concatenate(xs, int axis, *, isa=None, int threads=0):
    """The arrays after one another along `axis`, in C order: as numpy.concatenate."""
    cdef cnp.ndarray first = xs[0], x, y
    cdef const fdl_kernels *kernels = movers_of(first, isa)
    cdef int n = threads_of(threads), status, ndim = cnp.PyArray_NDIM(first), i, count = 0
    cdef int typenum = cnp.PyArray_TYPE(first)
    cdef cnp.npy_intp shape[64]
    cdef fdl_part parts[64]
    cdef int64_t rows = 1
    if not 0 <= axis < ndim:
        raise ValueError(f"concatenate: axis must lie in [0, {ndim}), got {axis}")
    for i in range(ndim):
        shape[i] = cnp.PyArray_DIM(first, i)
        if i < axis:
            rows *= shape[i]
    shape[axis] = 0
    if len(xs) > 64:
        kernels = NULL
    for x in xs:
        if cnp.PyArray_NDIM(x) != ndim or cnp.PyArray_TYPE(x) != typenum:
            raise ValueError("concatenate: xs must have one dtype and number of dimensions")
        for i in range(ndim):
            if i != axis and cnp.PyArray_DIM(x, i) != shape[i]:
                raise ValueError(
                    f"concatenate: xs must have one shape but for axis {axis}, got "
                    f"{np.shape(first)} and {np.shape(x)}"
                )
        shape[axis] += cnp.PyArray_DIM(x, axis)
        if kernels != NULL and cnp.PyArray_SIZE(x):
            if not cnp.PyArray_ISBEHAVED_RO(x) or not as_part(x, axis, &parts[count]) or (
                parts[count].n < 8 and rows > 8     # too short for rows: strided copies
            ):
                kernels = NULL
            count += 1
    y = cnp.PyArray_EMPTY(ndim, shape, typenum, 0)
    if kernels != NULL:
        with nogil:
            status = kernels.join(rows, count, parts, data_of(y), n)
        finish(status, "concatenate")
        return y
    begin = 0
    at = [slice(None)] * ndim
    for x in xs:
        at[axis] = slice(begin, begin + cnp.PyArray_DIM(x, axis))
        copy(x, out=y[tuple(at)], isa=isa, threads=threads)
        begin += cnp.PyArray_DIM(x, axis)
    return y
