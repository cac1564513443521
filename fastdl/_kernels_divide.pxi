# Whole quotients of float32 and what they leave: included by _kernels.pyx.

cdef object divided(int kind, object ufunc, cnp.ndarray x, cnp.ndarray y, cnp.ndarray out):
    """`ufunc` of x and y, which may be one number: here for arrays of float32 in C order."""
    cdef bint alone = cnp.PyArray_NDIM(y) == 0
    cdef int threads = fdl_free_threads()
    cdef int64_t n = cnp.PyArray_SIZE(x)
    cdef cnp.ndarray z = out
    if cnp.PyArray_TYPE(x) != cnp.NPY_FLOAT or cnp.PyArray_TYPE(y) != cnp.NPY_FLOAT or (
            not cnp.PyArray_ISCARRAY_RO(x) or not cnp.PyArray_ISCARRAY_RO(y)
            or not (alone or cnp.PyArray_SAMESHAPE(x, y))):
        return ufunc(x, y, out=out)
    if out is None:
        z = cnp.PyArray_EMPTY(cnp.PyArray_NDIM(x), cnp.PyArray_DIMS(x), cnp.NPY_FLOAT, 0)
    elif cnp.PyArray_TYPE(z) != cnp.NPY_FLOAT or not cnp.PyArray_ISCARRAY(z) or (
            not cnp.PyArray_SAMESHAPE(x, z) or apart_from(z, x) is not x
            or apart_from(z, y) is not y):
        return ufunc(x, y, out=out)
    with nogil:
        fdl_divide(kind, n, <const float *> data_of(x), <const float *> data_of(y), alone,
                   <float *> data_of(z), threads)
    return z


def floor_divide(cnp.ndarray x not None, cnp.ndarray y not None, *, out=None):
    """The largest whole number not above x / y: as numpy.floor_divide."""
    return divided(FDL_FLOOR_DIVIDE, np.floor_divide, x, y, out)


def remainder(cnp.ndarray x not None, cnp.ndarray y not None, *, out=None):
    """x - y floor(x / y): as numpy.remainder."""
    return divided(FDL_REMAINDER, np.remainder, x, y, out)


def fmod(cnp.ndarray x not None, cnp.ndarray y not None, *, out=None):
    """x - y trunc(x / y): as numpy.fmod."""
    return divided(FDL_FMOD, np.fmod, x, y, out)
