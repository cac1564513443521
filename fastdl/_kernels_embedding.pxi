# Rows of a table by number, and their sums: included by _kernels.pyx.

cdef int need_index(cnp.ndarray index, int64_t least, int64_t rows, str where) except -1:
    """index must be C-ordered int64 with values in [least, rows)."""
    if cnp.PyArray_TYPE(index) != cnp.NPY_INT64:
        raise TypeError(f"{where}: index must be int64, got {index.dtype}")
    need_c_order(index, where, "index")
    cdef const int64_t *i = <const int64_t *> cnp.PyArray_DATA(index)
    cdef int64_t n = cnp.PyArray_SIZE(index)
    cdef int outside
    with nogil:
        outside = fdl_outside(i, n, least, rows)
    if outside:
        raise IndexError(
            f"index out of range in self: {where} takes indices in [{least}, {rows}), "
            f"got {index.min()} to {index.max()}"
        )
    return 0


def gather_rows(
    cnp.ndarray table not None, cnp.ndarray index not None, bint gaps=False, *, out=None,
    isa=None, int threads=0
):
    """table (rows, d), index (n,) int64 -> (n, d): the table's rows; with `gaps` an index of -1
    gives zeros. IndexError for other indices outside [0, rows).
    """
    cdef const fdl_kernels *kernels = table_of(table, isa, "gather_rows", "table")
    cdef int n_threads = threads_of(threads)
    cdef cnp.npy_intp[2] shape
    cdef cnp.ndarray y
    need_rows(table, "gather_rows", "table")
    need_contiguous(index, 1, "gather_rows", "index")
    need_index(index, -1 if gaps else 0, cnp.PyArray_DIM(table, 0), "gather_rows")
    shape[0], shape[1] = cnp.PyArray_SIZE(index), cnp.PyArray_DIM(table, 1)
    y = output(out, 2, shape, cnp.PyArray_TYPE(table), "gather_rows")
    with nogil:
        kernels.gather_rows(
            shape[0], shape[1], data_of(table), <const int64_t *> data_of(index), data_of(y),
            n_threads
        )
    return y


def scatter_rows(
    cnp.ndarray g not None, cnp.ndarray index not None, int64_t rows, *, out=None, isa=None,
    int threads=0
):
    """g (n, d), index (n,) int64 -> (rows, d): row r is the sum of g[i] over index[i] == r, added
    in the order of i; rows of g whose index is -1 are left out.

    IndexError for indices outside [-1, rows).
    """
    cdef const fdl_kernels *kernels = table_of(g, isa, "scatter_rows", "g")
    cdef int n_threads = threads_of(threads), status
    cdef int64_t n
    cdef cnp.npy_intp[2] shape
    cdef cnp.ndarray table
    need_rows(g, "scatter_rows", "g")
    need_contiguous(index, 1, "scatter_rows", "index")
    n = cnp.PyArray_SIZE(index)
    if n != cnp.PyArray_DIM(g, 0):
        raise ValueError(
            f"scatter_rows: index must have shape ({np.shape(g)[0]},), got {np.shape(index)}"
        )
    if rows < 0 or n >= 2**31:
        raise ValueError(
            f"scatter_rows: rows must be at least 0 and index shorter than 2**31, got {rows}, {n}"
        )
    need_index(index, -1, rows, "scatter_rows")
    shape[0], shape[1] = rows, cnp.PyArray_DIM(g, 1)
    table = output(out, 2, shape, cnp.PyArray_TYPE(g), "scatter_rows")
    with nogil:
        status = kernels.scatter_rows(
            rows, shape[1], n, data_of(g), <const int64_t *> data_of(index), data_of(table),
            n_threads
        )
    finish(status, "scatter_rows")
    return table
