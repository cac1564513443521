# Places in a sorted order, of few elements: included by _kernels.pyx.
#
# To sort a line of sixteen numbers is less than what it takes NumPy to begin. These find the first
# ones, or the middle one, of arrays in C order; they leave all others to it.

cdef fused ordered:
    float
    double

cdef cnp.npy_intp LINE = 1 << 12            # elements of which the middle is found here


cdef object ranked(
    cnp.ndarray x, int dim, int64_t first, int64_t last, bint greatest, bint middle, bint keepdim,
    bint skip_nan
):
    """(elements, their places along `dim`, int64) from place `first` to before `last` in the order,
    or the lower median; few of them, of arrays in C order."""
    cdef int ndim = cnp.PyArray_NDIM(x), i, kind
    cdef int type = cnp.PyArray_TYPE(x)
    cdef cnp.npy_intp shape[64]
    cdef cnp.npy_intp length
    cdef int64_t n, k, inner = 1, row, item = cnp.PyArray_ITEMSIZE(x), count, kept
    cdef int64_t column = 0
    cdef int64_t *places
    cdef int64_t *place
    cdef const char *line
    cdef char *value
    cdef cnp.ndarray values, found, room
    if type == cnp.NPY_FLOAT:
        kind = FDL_KEY_F32
    elif type == cnp.NPY_DOUBLE:
        kind = FDL_KEY_F64
    elif type == cnp.NPY_INT64:
        kind = FDL_KEY_I64
    elif type == cnp.NPY_INT32:
        kind = FDL_KEY_I32
    elif type == cnp.NPY_UINT8 or type == cnp.NPY_BOOL:
        kind = FDL_KEY_U8
    else:
        return OTHERWISE
    if not 0 <= dim < ndim or not cnp.PyArray_ISCARRAY_RO(x) or cnp.PyArray_SIZE(x) > FEW:
        return OTHERWISE
    n = cnp.PyArray_DIM(x, dim)
    if middle:
        first = (n - 1) // 2
        last = first + 1
    kept = last - first
    if not 0 <= first < last <= n or last > FDL_LEADING:
        return OTHERWISE
    for i in range(ndim):
        shape[i] = cnp.PyArray_DIM(x, i)
        if i > dim:
            inner *= shape[i]
    shape[dim] = kept
    if not keepdim:
        ndim -= 1
        for i in range(dim, ndim):
            shape[i] = shape[i + 1]
    values = cnp.PyArray_EMPTY(ndim, shape, type, 0)
    found = cnp.PyArray_EMPTY(ndim, shape, cnp.NPY_INT64, 0)
    length = n + 16 + FDL_LEADING
    room = cnp.PyArray_EMPTY(1, &length, cnp.NPY_INT64, 0)
    places = <int64_t *> cnp.PyArray_DATA(room) + n + 16
    place = <int64_t *> cnp.PyArray_DATA(found)
    value = <char *> cnp.PyArray_DATA(values)
    line = <const char *> cnp.PyArray_DATA(x)
    for row in range(cnp.PyArray_SIZE(x) // n):
        count = fdl_leading(line, kind, n, inner * item, greatest, last,
                            <int64_t *> cnp.PyArray_DATA(room), places)
        if middle:                                  # NaN is last
            if count < n and n > FDL_LEADING:
                return OTHERWISE
            first = max(count - 1, 0) // 2 if skip_nan or count == n else count
        for k in range(kept):
            place[k * inner] = places[first + k]
            move(value + k * inner * item, line + places[first + k] * inner * item, item)
        line += item
        value += item
        place += 1
        column += 1
        if column == inner:                         # the lines side by side are done
            column = 0
            line += (n - 1) * inner * item
            value += (kept - 1) * inner * item
            place += (kept - 1) * inner
    return values, found


def ordered_along(
    cnp.ndarray x not None, *, int dim, int64_t first, int64_t last, bint greatest
):
    """The elements that come `first` and after, to before `last`, in the order along `dim`, and
    their places: (values, int64). Of equal ones the first is first; NaN is the greatest."""
    return ranked(x, dim, first, last, greatest, False, True, False)


def middle_along(cnp.ndarray x not None, *, int dim, bint keepdim, bint skip_nan):
    """The lower median along `dim` and its place; the first NaN if there is one and they are not
    skipped."""
    return ranked(x, dim, 0, 0, False, True, keepdim, skip_nan)


cdef ordered nth(ordered *a, int64_t n, int64_t k) noexcept nogil:
    """The element at place k of the sorted `a`, which is reordered; no NaN."""
    cdef int64_t low = 0, i, j
    cdef ordered pivot, v
    while True:
        pivot = a[low + (n - low) // 2]
        i = low
        for j in range(low, n):                     # smaller ones to the front: no branch to guess
            v = a[j]
            a[j] = a[i]
            a[i] = v
            i += v < pivot
        if k < i:
            n = i
            continue
        for j in range(i, n):                       # then those that equal it
            v = a[j]
            a[j] = a[i]
            a[i] = v
            i += v <= pivot
        if k < i:
            return pivot
        low = i


cdef ordered middle_of(const ordered *x, ordered *a, int64_t n, bint skip_nan) noexcept nogil:
    """The lower median of x, `a` being room for it; NaN where it has one, or has only NaN if they
    are skipped."""
    cdef int64_t i, count = 0, odd = 0
    for i in range(n):
        a[count] = x[i]
        if x[i] == x[i]:
            count += 1
        else:
            odd = i
    if count == 0 or (count < n and not skip_nan):
        return x[odd]
    return nth(a, count, (count - 1) // 2)


def middle(cnp.ndarray x not None, *, bint skip_nan):
    """The lower median of all elements, few: a 0-d array."""
    cdef cnp.npy_intp n = cnp.PyArray_SIZE(x)
    cdef cnp.ndarray room, y
    if not cnp.PyArray_ISCARRAY_RO(x) or not 0 < n <= LINE:
        return OTHERWISE
    room = cnp.PyArray_EMPTY(1, &n, cnp.PyArray_TYPE(x), 0)
    y = cnp.PyArray_EMPTY(0, NULL, cnp.PyArray_TYPE(x), 0)
    if cnp.PyArray_TYPE(x) == cnp.NPY_FLOAT:
        (<float *> cnp.PyArray_DATA(y))[0] = middle_of(
            <const float *> cnp.PyArray_DATA(x), <float *> cnp.PyArray_DATA(room), n, skip_nan)
    else:
        (<double *> cnp.PyArray_DATA(y))[0] = middle_of(
            <const double *> cnp.PyArray_DATA(x), <double *> cnp.PyArray_DATA(room), n, skip_nan)
    return y
