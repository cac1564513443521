# log gamma and digamma of arrays in C order: included by _kernels.pyx.

cdef object gamma_of(cnp.ndarray x, bint slope, cnp.ndarray out):
    cdef bint is_double = cnp.PyArray_TYPE(x) == cnp.NPY_DOUBLE
    cdef int threads = fdl_free_threads()
    cdef int64_t n = cnp.PyArray_SIZE(x)
    cdef cnp.ndarray y = out
    if not cnp.PyArray_ISCARRAY_RO(x) or not (is_double or cnp.PyArray_TYPE(x) == cnp.NPY_FLOAT):
        return OTHERWISE
    if out is None:
        y = cnp.PyArray_EMPTY(cnp.PyArray_NDIM(x), cnp.PyArray_DIMS(x), cnp.PyArray_TYPE(x), 0)
    elif not cnp.PyArray_ISCARRAY(y) or cnp.PyArray_TYPE(y) != cnp.PyArray_TYPE(x) or (
            not cnp.PyArray_SAMESHAPE(x, y) or apart_from(y, x) is not x):
        return OTHERWISE
    with nogil:
        fdl_gamma(slope, is_double, n, data_of(x), data_of(y), threads)
    return y


def log_gamma(cnp.ndarray x not None, *, out=None):
    """log |gamma(x)|, float32 or float64; inf at 0, -1, -2 ..."""
    return gamma_of(x, False, out)


def digamma(cnp.ndarray x not None, *, out=None):
    """The slope of `log_gamma`; NaN at -1, -2 ..., -inf at 0 and inf at -0.0."""
    return gamma_of(x, True, out)
