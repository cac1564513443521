# Recurrences over time: included by _kernels.pyx.

RECURRENT_CELLS = ("tanh", "relu", "lstm", "gru")
cdef tuple CELL_GATES = (1, 1, 4, 3)
cdef tuple CELL_KEPT = (0, 0, 5, 4)


cdef void *rnn_operand(cnp.ndarray like, x, tuple shape, str where, str name) except? NULL:
    """The data of x, checked: C-contiguous, of like's dtype and this shape."""
    if not isinstance(x, np.ndarray):
        raise TypeError(f"{where}: {name} must be a NumPy array, got {type(x).__name__}")
    same_dtype(like, x, where, name)
    if x.shape != shape or not cnp.PyArray_IS_C_CONTIGUOUS(x):
        raise ValueError(
            f"{where}: {name} must be C-contiguous of shape {shape}, got {x.shape}"
        )
    return cnp.PyArray_DATA(x)


cdef cnp.ndarray recurrence_of(cnp.ndarray w, cnp.ndarray h, c, cell, sizes, bint reverse,
                               fdl_recurrence *g, str where):
    """What both passes take, checked; returns `starts`, which must outlive g."""
    cdef cnp.ndarray starts
    g.cell = variant_of(where, RECURRENT_CELLS, cell)
    g.reverse = reverse
    need_contiguous(h, 2, where, "h")
    g.n, g.size = cnp.PyArray_DIM(h, 0), cnp.PyArray_DIM(h, 1)
    g.w = rnn_operand(h, w, (CELL_GATES[g.cell] * g.size, g.size), where, "w")
    g.c = NULL
    if g.cell == FDL_LSTM:
        g.c = rnn_operand(h, c, (g.n, g.size), where, "c")
    elif c is not None:
        raise ValueError(f"{where}: c belongs to an LSTM, but cell is {cell!r}")
    cdef cnp.ndarray taking = np.ascontiguousarray(sizes, np.int64)
    cdef const int64_t *size = <const int64_t *> cnp.PyArray_DATA(taking)
    cdef int64_t t, most = g.n
    cdef bint falling = cnp.PyArray_NDIM(taking) == 1
    g.steps = cnp.PyArray_DIM(taking, 0)
    starts = np.zeros(g.steps + 1, np.int64)
    cdef int64_t *start = <int64_t *> cnp.PyArray_DATA(starts)
    for t in range(g.steps if falling else 0):
        falling = falling and 0 <= size[t] <= most
        most = size[t]
        start[t + 1] = start[t] + most
    if not falling:
        raise ValueError(
            f"{where}: sizes must be a vector of falling numbers, at most {g.n}, got {taking}"
        )
    g.starts = start
    return starts


def recurrence(cnp.ndarray a not None, cnp.ndarray w not None, b, cnp.ndarray h not None, c, cell,
               sizes, bint reverse=False, bint recorded=True, *, isa=None, int threads=0):
    """One layer and direction of a recurrent network, all steps.

    Args:
        a: (rows, G H), what the inputs contribute, float32 or float64; all arrays C-contiguous and
            of one dtype. Rows: those of the first step, then of the second, ...
        w: (G H, H), the weights of the states. G gates: 1, of "lstm" 4 (i, f, g, o), of "gru" 3
            (r, z, n).
        b: (G H,), added to what the states contribute, or None.
        h: (n, H), the states before the first step.
        c: (n, H), of an LSTM; else None.
        cell: one of `RECURRENT_CELLS`.
        sizes: how many sequences, the first ones, take part in each step; never growing.
        reverse: begin at the last step. Default: False.
        recorded: keep what the gradient wants. Default: True.
        isa: one of `isa_available()`. Default: None, the one in force.
        threads: upper bound. Default: 0, `get_num_threads()`.

    Returns:
        y: (rows, H), all states; the last ones (n, H); what is kept of the gates (rows, K, H), K 5
        of an LSTM, 4 of a GRU, else 0; and of an LSTM the last c (n, H).

    Raises:
        TypeError, ValueError: naming the argument that does not fit.
    """
    cdef const fdl_kernels *kernels = table_of(h, isa, "recurrence", "h")
    cdef int n = threads_of(threads), status
    cdef fdl_recurrence g
    cdef cnp.ndarray starts = recurrence_of(w, h, c, cell, sizes, reverse, &g, "recurrence")
    cdef cnp.ndarray last, y, gates
    rows, width = int(starts[g.steps]), CELL_GATES[g.cell] * g.size
    g.a = rnn_operand(h, a, (rows, width), "recurrence", "a")
    g.b = NULL if b is None else rnn_operand(h, b, (width,), "recurrence", "b")
    last = h.copy()
    y = np.empty((rows, g.size), h.dtype)
    gates = np.empty((rows if recorded else 0, CELL_KEPT[g.cell], g.size), h.dtype)
    g.h, g.y = cnp.PyArray_DATA(last), cnp.PyArray_DATA(y)
    g.gates = cnp.PyArray_DATA(gates) if recorded else NULL
    if g.cell == FDL_LSTM:
        c = c.copy()
        g.c = cnp.PyArray_DATA(c)
    with nogil:
        status = kernels.recurrence(&g, n)
    finish(status, "recurrence")
    return (y, last, gates, c) if g.cell == FDL_LSTM else (y, last, gates)


def recurrence_backward(gy, gh, gc, cnp.ndarray w not None, cnp.ndarray h not None, c,
                        cnp.ndarray y not None, cnp.ndarray gates not None, cell, sizes,
                        bint reverse=False, bint states=True, *, isa=None, int threads=0):
    """The gradients of `recurrence` for gy (rows, H), gh and gc (n, H), those of all states, of the
    last ones and of the last c; each may be None.

    w, h, c, cell, sizes, reverse: what `recurrence` took; y and gates: what it returned.
    states: whether dh is wanted. Default: True.

    Returns:
        da, dr: (rows, G H), the gradients of a and of what the states contribute, h w^T + b: one
        array, but of a GRU; db (G H,); dh (n, H), or (0, H) if not wanted; before: (rows, H), the
        state from which each step began, so that dr^T before is the gradient of w; and of an LSTM
        dc (n, H).
    """
    cdef const fdl_kernels *kernels = table_of(h, isa, "recurrence_backward", "h")
    cdef int n = threads_of(threads), status
    cdef fdl_recurrence g
    cdef cnp.ndarray starts = recurrence_of(
        w, h, c, cell, sizes, reverse, &g, "recurrence_backward"
    )
    cdef cnp.ndarray da, dr, db, dh, before
    where = "recurrence_backward"
    rows = int(starts[g.steps])
    g.y = rnn_operand(h, y, (rows, g.size), where, "y")
    g.gates = rnn_operand(h, gates, (rows, CELL_KEPT[g.cell], g.size), where, "gates")
    g.gy = NULL if gy is None else rnn_operand(h, gy, (rows, g.size), where, "gy")
    for name, x in (("gh", gh), ("gc", gc)):
        if x is not None:
            rnn_operand(h, x, (g.n, g.size), where, name)
    dh = np.zeros((g.n, g.size), h.dtype) if gh is None else gh.copy()
    da = np.empty((rows, CELL_GATES[g.cell] * g.size), h.dtype)
    dr = np.empty_like(da) if g.cell == FDL_GRU else da
    db = np.empty(da.shape[1], h.dtype)
    before = np.empty((rows, g.size), h.dtype)
    g.h, g.dh = cnp.PyArray_DATA(h), cnp.PyArray_DATA(dh)
    g.da, g.dr, g.before = cnp.PyArray_DATA(da), cnp.PyArray_DATA(dr), cnp.PyArray_DATA(before)
    g.db, g.states = cnp.PyArray_DATA(db), states
    if g.cell == FDL_LSTM:
        gc = np.zeros((g.n, g.size), h.dtype) if gc is None else gc.copy()
        g.dc = cnp.PyArray_DATA(gc)
    with nogil:
        status = kernels.recurrence_backward(&g, n)
    finish(status, where)
    dh = dh if states else dh[:0]
    return (da, dr, db, dh, before, gc) if g.cell == FDL_LSTM else (da, dr, db, dh, before)
