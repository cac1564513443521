# Places in a sorted order, of few elements: included by _kernels.pyx.
#
# To sort a line of sixteen numbers is less than what it takes NumPy to begin. These find the first
# ones, or the middle one, of arrays in C order; they leave all others to it.

cdef fused ordered:
    float
    double
    int64_t

cdef cnp.npy_intp LINE = 1 << 12            # elements of which the middle is found here
cdef cnp.npy_intp FIRST = 32                # how many of a line, found by insertion


cdef inline bint precedes(ordered a, ordered b, bint greatest) noexcept nogil:
    """Is `a` before b, from the greatest or from the smallest? NaN is greater than all numbers."""
    return (a > b or (a != a and b == b)) if greatest else (a < b or (b != b and a == a))


cdef void lead(
    const ordered *x, int64_t n, int64_t *places, int64_t k, bint greatest
) noexcept nogil:
    """The places of the first k of n elements, in their order; of equal ones the first is first."""
    cdef int64_t i, j, count = 0
    for i in range(n):
        if count < k:
            count += 1
        elif not precedes(x[i], x[places[k - 1]], greatest):
            continue
        j = count - 1
        while j > 0 and precedes(x[i], x[places[j - 1]], greatest):
            places[j] = places[j - 1]
            j -= 1
        places[j] = i


def leading(cnp.ndarray x not None, Py_ssize_t k, bint greatest):
    """Places of the k greatest (smallest) along the last dimension of few elements, in order."""
    cdef int ndim = cnp.PyArray_NDIM(x), i
    cdef int type = cnp.PyArray_TYPE(x)
    cdef cnp.npy_intp shape[64]
    cdef int64_t n, row
    cdef int64_t *places
    cdef const char *line = <const char *> cnp.PyArray_DATA(x)
    cdef cnp.ndarray y
    if ndim == 0 or not cnp.PyArray_ISCARRAY_RO(x) or cnp.PyArray_SIZE(x) > FEW or (
            type != cnp.NPY_FLOAT and type != cnp.NPY_DOUBLE and type != cnp.NPY_INT64):
        return OTHERWISE
    n = cnp.PyArray_DIM(x, ndim - 1)
    if not 0 < k <= min(n, FIRST):
        return OTHERWISE
    for i in range(ndim):
        shape[i] = cnp.PyArray_DIM(x, i)
    shape[ndim - 1] = k
    y = cnp.PyArray_EMPTY(ndim, shape, cnp.NPY_INT64, 0)
    places = <int64_t *> cnp.PyArray_DATA(y)
    for row in range(cnp.PyArray_SIZE(x) // n):
        if type == cnp.NPY_FLOAT:
            lead(<const float *> line, n, places, k, greatest)
        elif type == cnp.NPY_DOUBLE:
            lead(<const double *> line, n, places, k, greatest)
        else:
            lead(<const int64_t *> line, n, places, k, greatest)
        line += n * cnp.PyArray_ITEMSIZE(x)
        places += k
    return y


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
