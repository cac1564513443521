# Elements by their places, few of them: included by _kernels.pyx.
#
# What NumPy does with index arrays takes microseconds before the first element moves. These are
# loops over C-ordered arrays for the usual forms; they answer NotImplemented to all others, and to
# many elements, which NumPy moves as fast.

cdef cnp.npy_intp FEW = 1 << 16             # elements
cdef enum:
    BLOCK = 256                             # places whose offsets are found at a time
cdef object OTHERWISE = NotImplemented


cdef struct Places:
    int first, count                        # dimensions before the named ones, and named by arrays
    const int64_t *of[8]
    int64_t n, outer, row, inner            # places, rows before; bytes of a row and of an element
    int64_t length[8]                       # of the named dimensions
    int64_t step[8]                         # their strides, in bytes
    int ndim                                # of the index arrays
    const cnp.npy_intp *shape


cdef bint as_places(cnp.ndarray x, tuple index, Places *p) except -1:
    """Is `index`, for a C-ordered x, one of full slices, then arrays of int64 of one shape, then
    the rest? Every place has to be one."""
    cdef cnp.ndarray array
    cdef int ndim = cnp.PyArray_NDIM(x), i
    cdef bint closed = False
    p.first = p.count = 0
    if not cnp.PyArray_ISCARRAY_RO(x):
        return False
    for item in index:
        if isinstance(item, cnp.ndarray):
            array = item
            if closed or p.count == 8 or p.first + p.count == ndim or (
                    cnp.PyArray_TYPE(array) != cnp.NPY_INT64
                    or not cnp.PyArray_ISCARRAY_RO(array)):
                return False
            if p.count == 0:
                p.ndim, p.shape, p.n = (
                    cnp.PyArray_NDIM(array), cnp.PyArray_DIMS(array), cnp.PyArray_SIZE(array))
            elif p.ndim != cnp.PyArray_NDIM(array) or not cnp.PyArray_CompareLists(
                    p.shape, cnp.PyArray_DIMS(array), p.ndim):
                return False
            p.of[p.count] = <const int64_t *> cnp.PyArray_DATA(array)
            p.length[p.count] = cnp.PyArray_DIM(x, p.first + p.count)
            p.count += 1
        elif isinstance(item, slice) and is_full(item):
            closed = p.count > 0
            p.first += not closed
        elif item is Ellipsis and p.count > 0:
            closed = True
        else:
            return False
    if p.count == 0 or p.n > FEW:
        return False
    p.inner = cnp.PyArray_ITEMSIZE(x)       # strides of axes of length 1 say nothing
    for i in range(p.first + p.count, ndim):
        p.inner *= cnp.PyArray_DIM(x, i)
    p.step[p.count - 1] = p.inner
    for i in range(p.count - 1, 0, -1):
        p.step[i - 1] = p.step[i] * p.length[i]
    p.outer, p.row = 1, cnp.PyArray_NBYTES(x)
    for i in range(p.first):
        p.outer *= cnp.PyArray_DIM(x, i)
    p.row = p.row // p.outer if p.outer else 0
    for i in range(p.count):
        if fdl_outside(p.of[i], p.n, -p.length[i], p.length[i]):
            return False
    return p.inner * p.n * p.outer <= 8 * FEW


cdef bint is_full(item):
    """Is the slice `:`?"""
    return item.start is None and item.stop is None and item.step is None


cdef int64_t offsets_of(const Places *p, int64_t first, int64_t *at) noexcept nogil:
    """Bytes from the start of a row to the places from number `first` on; how many those are."""
    cdef int64_t n = p.n - first if p.n - first < BLOCK else BLOCK, k, place, length, step
    cdef const int64_t *of
    cdef int i
    memset(at, 0, n * sizeof(int64_t))
    for i in range(p.count):
        of, length, step = p.of[i] + first, p.length[i], p.step[i]
        for k in range(n):
            place = of[k]
            at[k] += (place + length if place < 0 else place) * step
    return n


cdef inline void move(char *dst, const char *src, int64_t n) noexcept nogil:
    if n == 4:
        (<int *> dst)[0] = (<const int *> src)[0]
    elif n == 8:
        (<int64_t *> dst)[0] = (<const int64_t *> src)[0]
    else:
        memcpy(dst, src, n)


cdef void read(
    char *dst, const char *src, const int64_t *at, int64_t count, int64_t n
) noexcept nogil:
    """What lies at `at` from src, n bytes each, one after another."""
    cdef int64_t k
    if n == 4:
        for k in range(count):
            (<int *> dst)[k] = (<const int *> (src + at[k]))[0]
    else:
        for k in range(count):
            move(dst + k * n, src + at[k], n)


cdef inline void add(char *dst, const char *src, int64_t n) noexcept nogil:
    """Of a float, or of a double."""
    if n == 4:
        (<float *> dst)[0] += (<const float *> src)[0]
    else:
        (<double *> dst)[0] += (<const double *> src)[0]


cdef const uint8_t *as_mask(cnp.ndarray x, tuple index, int *ndim) except? NULL:
    """The bools of `index`, for a C-ordered x, if it is one mask of the first dimensions and the
    rest; their number of dimensions."""
    cdef cnp.ndarray mask
    if not 0 < len(index) < 3 or not isinstance(index[0], cnp.ndarray) or (
            len(index) == 2 and index[1] is not Ellipsis):
        return NULL
    mask = index[0]
    ndim[0] = cnp.PyArray_NDIM(mask)
    if cnp.PyArray_TYPE(mask) != cnp.NPY_BOOL or not cnp.PyArray_ISCARRAY_RO(mask) or (
            not cnp.PyArray_ISCARRAY_RO(x) or not 0 < ndim[0] <= cnp.PyArray_NDIM(x)
            or cnp.PyArray_SIZE(x) > FEW
            or not cnp.PyArray_CompareLists(
                cnp.PyArray_DIMS(mask), cnp.PyArray_DIMS(x), ndim[0])):
        return NULL
    return <const uint8_t *> cnp.PyArray_DATA(mask)


def take_at(cnp.ndarray x not None, *, tuple index):
    """x[index] in C order, where `index` has arrays: NumPy's."""
    cdef Places p
    cdef cnp.npy_intp shape[64]
    cdef int ndim = cnp.PyArray_NDIM(x), i, n = 0
    cdef int64_t at[BLOCK]
    cdef int64_t k, row, some, first = 0, count = 0, inner = cnp.PyArray_ITEMSIZE(x), size = 1
    cdef const uint8_t *mask = as_mask(x, index, &n)
    cdef const char *src = <const char *> cnp.PyArray_DATA(x)
    cdef char *dst
    cdef cnp.ndarray y
    if mask != NULL:
        for i in range(n):
            size *= cnp.PyArray_DIM(x, i)
        for i in range(n, ndim):
            inner *= cnp.PyArray_DIM(x, i)
            shape[i - n + 1] = cnp.PyArray_DIM(x, i)
        for k in range(size):
            count += mask[k] != 0
        shape[0] = count
        y = cnp.PyArray_EMPTY(ndim - n + 1, shape, cnp.PyArray_TYPE(x), 0)
        dst = <char *> cnp.PyArray_DATA(y)
        for k in range(size):
            if mask[k]:
                move(dst, src + k * inner, inner)
                dst += inner
        return y
    if not as_places(x, index, &p):
        return OTHERWISE
    n = ndim - p.count + p.ndim
    if n > 64:
        return OTHERWISE
    for i in range(p.first):
        shape[i] = cnp.PyArray_DIM(x, i)
    for i in range(p.ndim):
        shape[p.first + i] = p.shape[i]
    for i in range(p.first + p.count, ndim):
        shape[i - p.count + p.ndim] = cnp.PyArray_DIM(x, i)
    y = cnp.PyArray_EMPTY(n, shape, cnp.PyArray_TYPE(x), 0)
    dst = <char *> cnp.PyArray_DATA(y)
    while first < p.n:
        some = offsets_of(&p, first, at)
        for row in range(p.outer):
            read(dst + (row * p.n + first) * p.inner, src + row * p.row, at, some, p.inner)
        first += some
    return y


cdef bint is_fill(cnp.ndarray x, tuple index) except -1:
    """Is `index` one mask for all elements of x, floats many enough for a kernel's call?"""
    return cnp.PyArray_SIZE(x) > BLOCK and len(index) == 1 and (
        isinstance(index[0], cnp.ndarray) and cnp.PyArray_TYPE(index[0]) == cnp.NPY_BOOL
        and cnp.PyArray_SAMESHAPE(index[0], x) and cnp.PyArray_ISBEHAVED_RO(index[0])
        and cnp.PyArray_TYPE(x) in (cnp.NPY_FLOAT, cnp.NPY_DOUBLE) and cnp.PyArray_ISBEHAVED_RO(x))


def put_at(
    cnp.ndarray x not None, cnp.ndarray value not None, *, tuple index, view=Ellipsis,
    cnp.ndarray out=None
):
    """`out`, or a copy of x, after out[index] = value: a number, or as many as are named."""
    cdef Places p
    cdef cnp.ndarray y = x if out is None else out
    cdef int n = 0, i, ndim = cnp.PyArray_NDIM(x)
    cdef int64_t k, inner = cnp.PyArray_ITEMSIZE(x), step
    cdef const uint8_t *mask = NULL
    cdef char *dst
    cdef const char *src = <const char *> cnp.PyArray_DATA(value)
    if view is not Ellipsis:
        return OTHERWISE
    if cnp.PyArray_NDIM(value) == 0 and cnp.PyArray_ISCARRAY_RO(value):
        if is_fill(y, index):
            return MAPS["masked_fill"](x, index[0], value, out=out)
        mask = as_mask(y, index, &n)
    if mask != NULL:
        y = x.copy() if out is None else out
        dst = <char *> cnp.PyArray_DATA(y)
        step = 1
        for i in range(n, ndim):
            step *= cnp.PyArray_DIM(x, i)
        for k in range(cnp.PyArray_SIZE(y)):
            if mask[k if step == 1 else k // step]:
                move(dst + k * inner, src, inner)
        return y
    if not as_places(y, index, &p) or not fit(&p, y, value):
        return OTHERWISE
    y = x.copy() if out is None else out
    write(&p, y, value, False)
    return y


def sum_at(
    cnp.ndarray x not None, cnp.ndarray value not None, *, tuple index, cnp.ndarray out=None
):
    """`out`, or a copy of x, with `value` added at [index], floats; repeated places add up."""
    cdef Places p
    if not as_places(x if out is None else out, index, &p) or (
            not fit(&p, x if out is None else out, value)):
        return OTHERWISE
    out = x.copy() if out is None else out
    write(&p, out, value, True)
    return out


cdef bint fit(const Places *p, cnp.ndarray y, cnp.ndarray value) except -1:
    """Is `value` a number, or has it the shape of what p names in y, and memory of its own?"""
    cdef int ndim = cnp.PyArray_NDIM(value), i
    cdef cnp.npy_intp n
    if not cnp.PyArray_ISCARRAY_RO(value) or cnp.PyArray_DATA(y) == cnp.PyArray_DATA(value):
        return False
    if ndim == 0:
        return True
    if ndim != cnp.PyArray_NDIM(y) - p.count + p.ndim:
        return False
    for i in range(ndim):
        n = (cnp.PyArray_DIM(y, i) if i < p.first else p.shape[i - p.first]
             if i < p.first + p.ndim else cnp.PyArray_DIM(y, i - p.ndim + p.count))
        if cnp.PyArray_DIM(value, i) != n:
            return False
    return apart_from(y, value) is value


cdef void write(const Places *p, cnp.ndarray y, cnp.ndarray value, bint adds) noexcept:
    """Puts what fits at the places of y, or adds it there."""
    cdef int64_t at[BLOCK]
    cdef int64_t item = cnp.PyArray_ITEMSIZE(y), first = 0, some, row, k, i
    cdef int64_t width = item if adds or cnp.PyArray_NDIM(value) == 0 else p.inner
    cdef int64_t step = 0 if cnp.PyArray_NDIM(value) == 0 else width
    cdef int64_t times = p.inner // width if width else 0
    cdef int64_t whole = step * times
    cdef const char *src
    cdef char *dst
    while first < p.n:
        some = offsets_of(p, first, at)
        for row in range(p.outer):
            dst = <char *> cnp.PyArray_DATA(y) + row * p.row
            src = <const char *> cnp.PyArray_DATA(value) + (row * p.n + first) * whole
            if adds:
                for k in range(some):
                    for i in range(times):
                        add(dst + at[k] + i * width, src + k * whole + i * step, item)
            elif times > 1:
                for k in range(some):
                    for i in range(times):
                        move(dst + at[k] + i * width, src, width)
            elif width == 4:
                for k in range(some):
                    (<int *> (dst + at[k]))[0] = (<const int *> (src + k * step))[0]
            else:
                for k in range(some):
                    move(dst + at[k], src + k * step, width)
        first += some


cdef bint scattered(
    cnp.ndarray y, cnp.ndarray index, cnp.ndarray src, int dim, bint adds
) except -1:
    """Puts src at the places that `index` names along `dim`, or adds it there; False, and y as it
    was, where that is left to others."""
    cdef int ndim = cnp.PyArray_NDIM(y), i
    cdef int64_t at[64]
    cdef int64_t k, n, base = 0, last, walk, item = cnp.PyArray_ITEMSIZE(y), length
    cdef bint alone = cnp.PyArray_NDIM(src) == 0
    cdef const int64_t *place = <const int64_t *> cnp.PyArray_DATA(index)
    cdef const char *s = <const char *> cnp.PyArray_DATA(src)
    cdef char *d
    if not (cnp.PyArray_ISCARRAY(y) and cnp.PyArray_ISCARRAY_RO(index)
            and cnp.PyArray_ISCARRAY_RO(src) and cnp.PyArray_TYPE(index) == cnp.NPY_INT64
            and 0 < ndim == cnp.PyArray_NDIM(index) and 0 <= dim < ndim
            and (alone or cnp.PyArray_SAMESHAPE(index, src))
            and cnp.PyArray_SIZE(index) <= FEW):
        return False
    length = cnp.PyArray_DIM(y, dim)
    for i in range(ndim):
        if i != dim and cnp.PyArray_DIM(index, i) > cnp.PyArray_DIM(y, i):
            return False
        at[i] = 0
    if not all_within(index, 0, length):
        return False
    if cnp.PyArray_SIZE(index) == 0:
        return True
    n = cnp.PyArray_DIM(index, ndim - 1)
    last = 0 if dim == ndim - 1 else item
    walk = cnp.PyArray_STRIDE(y, dim)
    while True:
        d = <char *> cnp.PyArray_DATA(y) + base
        for k in range(n):
            if adds:
                add(d + k * last + place[k] * walk, s, item)
            else:
                move(d + k * last + place[k] * walk, s, item)
            if not alone:
                s += item
        place += n
        i = ndim - 2
        while i >= 0:
            at[i] += 1
            if i != dim:
                base += cnp.PyArray_STRIDE(y, i)
            if at[i] < cnp.PyArray_DIM(index, i):
                break
            if i != dim:
                base -= at[i] * cnp.PyArray_STRIDE(y, i)
            at[i] = 0
            i -= 1
        if i < 0:
            return True


def scatter_values(
    cnp.ndarray x not None, cnp.ndarray index not None, cnp.ndarray src not None, *, int dim,
    cnp.ndarray out=None
):
    """`out`, or a copy of x, with src, shaped as index or 0-d, at the places index names."""
    cdef cnp.ndarray y = copy(x) if out is None else out
    if out is not None and apart_from(y, src) is not src:
        return OTHERWISE
    return y if scattered(y, index, src, dim, False) else OTHERWISE


def scatter_sum(
    cnp.ndarray x not None, cnp.ndarray index not None, cnp.ndarray src not None, *, int dim,
    cnp.ndarray out=None
):
    """`scatter_values`, but src is added."""
    cdef cnp.ndarray y = copy(x) if out is None else out
    if out is not None and apart_from(y, src) is not src:
        return OTHERWISE
    return y if scattered(y, index, src, dim, True) else OTHERWISE


def cast_to(cnp.ndarray x not None, *, cnp.dtype dtype, out=None):
    """x as `dtype`, real numbers or bools, where NumPy's own cast is PyTorch's."""
    cdef int of = cnp.PyArray_TYPE(x), to = dtype.type_num
    cdef cnp.ndarray y
    if out is not None or not cnp.PyArray_ISCARRAY_RO(x) or (
            of > cnp.NPY_DOUBLE and of != cnp.NPY_FLOAT16) or (
            to > cnp.NPY_DOUBLE and to != cnp.NPY_FLOAT16):
        return OTHERWISE
    if of >= cnp.NPY_FLOAT and cnp.NPY_BOOL < to < cnp.NPY_FLOAT and dtype.itemsize < 8:
        y = cnp.PyArray_EMPTY(cnp.PyArray_NDIM(x), cnp.PyArray_DIMS(x), cnp.NPY_INT64, 0)
        cnp.PyArray_CopyInto(y, x)                  # whole numbers modulo 2 ** bits
        x = y
    y = cnp.PyArray_EMPTY(cnp.PyArray_NDIM(x), cnp.PyArray_DIMS(x), to, 0)
    cnp.PyArray_CopyInto(y, x)
    return y


cdef int64_t bounded(number) except? -1:
    """The number of a diagonal, no further than beyond any."""
    return max(min(number, 1 << 32), -(1 << 32))


cdef object triangle(cnp.ndarray x, number, bint lower):
    """x with 0 above (below) a diagonal of its last two dimensions."""
    cdef cnp.ndarray y
    cdef int64_t diagonal = bounded(number)
    cdef int ndim = cnp.PyArray_NDIM(x)
    cdef int64_t rows, columns, item = cnp.PyArray_ITEMSIZE(x), i, k, kept, left
    cdef const char *src
    cdef char *dst
    if ndim < 2 or not cnp.PyArray_ISCARRAY_RO(x) or cnp.PyArray_TYPE(x) > cnp.NPY_CDOUBLE:
        return OTHERWISE
    y = cnp.PyArray_EMPTY(ndim, cnp.PyArray_DIMS(x), cnp.PyArray_TYPE(x), 0)
    rows, columns = cnp.PyArray_DIM(x, ndim - 2), cnp.PyArray_DIM(x, ndim - 1)
    src, dst = <const char *> cnp.PyArray_DATA(x), <char *> cnp.PyArray_DATA(y)
    with nogil:
        for i in range(cnp.PyArray_SIZE(x) // columns if columns else 0):
            k = i % rows + diagonal + (1 if lower else 0)
            k = 0 if k < 0 else columns if k > columns else k
            kept = 0 if lower else k            # where what stays begins, and what does not
            left = k if lower else 0
            memcpy(dst + kept * item, src + kept * item, (k if lower else columns - k) * item)
            memset(dst + left * item, 0, (columns - k if lower else k) * item)
            src += columns * item
            dst += columns * item
    return y


def tril(cnp.ndarray x not None, *, diagonal, out=None):
    """x with 0 above its diagonal number `diagonal`."""
    return triangle(x, diagonal, True) if out is None else OTHERWISE


def triu(cnp.ndarray x not None, *, diagonal, out=None):
    """x with 0 below its diagonal number `diagonal`."""
    return triangle(x, diagonal, False) if out is None else OTHERWISE


def triangle_places(int64_t rows, int64_t columns, offset, bint lower):
    """Where `tril` of a matrix, or `triu`, leaves elements: (2, count) of int64."""
    cdef int64_t diagonal = bounded(offset) + lower, count = 0, i, k
    cdef cnp.npy_intp shape[2]
    cdef cnp.ndarray y
    cdef int64_t *row
    cdef int64_t *column
    for i in range(rows):
        k = min(max(i + diagonal, 0), columns)
        count += k if lower else columns - k
    shape[0], shape[1] = 2, count
    y = cnp.PyArray_EMPTY(2, shape, cnp.NPY_INT64, 0)
    row = <int64_t *> cnp.PyArray_DATA(y)
    column = row + count
    for i in range(rows):
        k = min(max(i + diagonal, 0), columns)
        for k in range(0 if lower else k, k if lower else columns):
            row[0], column[0] = i, k
            row += 1
            column += 1
    return y


def product(cnp.ndarray x not None, cnp.ndarray y not None):
    """x @ y: matrices, stacks of them, or vectors."""
    cdef int m = cnp.PyArray_NDIM(x), n = cnp.PyArray_NDIM(y)
    if m == 0 or n == 0 or cnp.PyArray_DIM(x, m - 1) != cnp.PyArray_DIM(y, n - 2 if n > 1 else 0):
        return OTHERWISE
    if m > 1 and n > 1:
        return gemm(x, y)
    if m == 1 and n == 1:
        return MAPS["mul"].sum(x, y)
    if m == 1:
        return gemm(x[None], y)[..., 0, :]
    return gemm(x, y[:, None])[..., 0]
