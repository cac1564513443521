# Scaled dot-product attention: included by _kernels.pyx.

ATTENTION_VARIANTS = ("naive", "tiled")


cdef int heads_of(cnp.ndarray like, cnp.ndarray x, fdl_heads *to, str where, str name) except -1:
    """x (n, h, rows, cols) as the contract takes it: of like's dtype, its rows contiguous."""
    cdef cnp.npy_intp *strides = cnp.PyArray_STRIDES(x)
    cdef cnp.npy_intp size = cnp.PyArray_ITEMSIZE(x)
    same_dtype(like, x, where, name)
    if cnp.PyArray_NDIM(x) != 4 or (
        strides[3] != size and cnp.PyArray_DIM(x, 3) > 1 and cnp.PyArray_SIZE(x)
    ):
        raise ValueError(
            f"{where}: {name} must be (n, h, rows, cols) with contiguous rows, got shape "
            f"{np.shape(x)}"
        )
    to.data = cnp.PyArray_DATA(x)
    to.n, to.h, to.row = strides[0] // size, strides[1] // size, strides[2] // size
    return 0


cdef cnp.ndarray new_heads(cnp.ndarray like, int64_t rows, int64_t cols, fdl_heads *to):
    """A new array (n, h, rows, cols); in memory (n, rows, h, cols) where like's is: then joining
    the heads, as the layer does next, needs no copy."""
    cdef cnp.npy_intp n = cnp.PyArray_DIM(like, 0), h = cnp.PyArray_DIM(like, 1)
    cdef cnp.npy_intp dims[4]
    cdef bint turned = h > 1 and cnp.PyArray_STRIDE(like, 1) < cnp.PyArray_STRIDE(like, 2)
    cdef cnp.ndarray x
    dims[0], dims[3] = n, cols
    dims[2 if turned else 1], dims[1 if turned else 2] = h, rows
    x = cnp.PyArray_EMPTY(4, dims, cnp.PyArray_TYPE(like), 0)
    to.data = cnp.PyArray_DATA(x)
    to.n = h * rows * cols
    to.h = cols if turned else rows * cols
    to.row = h * cols if turned else cols
    return cnp.PyArray_SwapAxes(x, 1, 2) if turned else x


cdef int attention_of(cnp.ndarray q, cnp.ndarray k, cnp.ndarray v, mask, bint causal, double scale,
                      fdl_attention *g, str where) except -1:
    """Sizes, operands and mask, checked."""
    cdef cnp.ndarray m
    cdef int64_t kv_heads, size
    cdef int64_t sizes[4]
    cdef int64_t steps[4]
    cdef int d, i
    cdef bint fits = True
    heads_of(q, q, &g.q, where, "q")
    heads_of(q, k, &g.k, where, "k")
    heads_of(q, v, &g.v, where, "v")
    g.n, g.h = cnp.PyArray_DIM(q, 0), cnp.PyArray_DIM(q, 1)
    g.l, g.e = cnp.PyArray_DIM(q, 2), cnp.PyArray_DIM(q, 3)
    g.s, g.ev = cnp.PyArray_DIM(k, 2), cnp.PyArray_DIM(v, 3)
    kv_heads = cnp.PyArray_DIM(k, 1)
    if (cnp.PyArray_DIM(k, 0) != g.n or cnp.PyArray_DIM(k, 3) != g.e
            or (g.h % kv_heads if kv_heads else g.h)):
        raise ValueError(
            f"{where}: k must be ({g.n}, a divisor of {g.h}, s, {g.e}), got {np.shape(k)}"
        )
    if (cnp.PyArray_DIM(v, 0) != g.n or cnp.PyArray_DIM(v, 1) != kv_heads
            or cnp.PyArray_DIM(v, 2) != g.s):
        raise ValueError(
            f"{where}: v must be ({g.n}, {kv_heads}, {g.s}, ev), got {np.shape(v)}"
        )
    g.group = g.h // kv_heads if kv_heads else 1
    g.scale, g.causal = scale, causal
    g.keep, g.bias = NULL, NULL
    g.dropped = 0
    sizes[0], sizes[1], sizes[2], sizes[3] = g.n, g.h, g.l, g.s
    if mask is None:
        return 0
    if not isinstance(mask, np.ndarray):
        raise TypeError(f"{where}: mask must be a NumPy array, got {type(mask).__name__}")
    m = mask
    size = cnp.PyArray_ITEMSIZE(m)
    if cnp.PyArray_TYPE(m) == cnp.NPY_BOOL:
        g.keep = <const uint8_t *> cnp.PyArray_DATA(m)
    else:
        same_dtype(q, m, where, "a mask that is not bool")
        g.bias = cnp.PyArray_DATA(m)
    for d in range(4):
        i = d - (4 - cnp.PyArray_NDIM(m))
        steps[d] = 0
        if i >= 0 and cnp.PyArray_DIM(m, i) == sizes[d]:
            steps[d] = cnp.PyArray_STRIDE(m, i) // size
        elif i >= 0 and cnp.PyArray_DIM(m, i) != 1:
            fits = False
    if not fits or cnp.PyArray_NDIM(m) > 4:
        raise ValueError(
            f"{where}: mask must broadcast to {(g.n, g.h, g.l, g.s)}, got {np.shape(m)}"
        )
    g.mask_n, g.mask_h, g.mask_row, g.mask_col = steps[0], steps[1], steps[2], steps[3]
    return 0


cdef int dropout_of(double dropout, draw, fdl_attention *g, str where) except -1:
    """The probability, and the draw (seed, number) that says which are dropped."""
    if not 0 <= dropout <= 1:
        raise ValueError(f"{where}: dropout must be between 0 and 1, got {dropout}")
    seed, number = draw
    g.dropped = dropout
    g.draw = draw_of(seed, number)
    return 0


def attention(cnp.ndarray q not None, cnp.ndarray k not None, cnp.ndarray v not None, mask=None, *,
              double scale, bint causal=False, double dropout=0, draw=(0, 0), variant="tiled",
              isa=None, int threads=0):
    """Scaled dot-product attention, softmax(scale q k^T + mask) v in every head.

    Args:
        q: (n, h, l, e), float32 or float64, its rows contiguous; other strides are free.
        k: (n, h / g, s, e), likewise, of q's dtype: each of its heads serves g heads of q.
        v: (n, h / g, s, ev), likewise.
        mask: broadcasts to (n, h, l, s), any strides: bool, False where a pair takes no part, or of
            q's dtype, added to the scores. Default: none.
        scale: factor of the scores.
        causal: query i sees keys 0 to i only. Default: False.
        dropout: the probability with which an entry of the softmax is multiplied by 0, others by
            1 / (1 - dropout). Default: 0.
        draw: (seed, number of the draw): which are, see :func:`attention_factors`.
        variant: one of `ATTENTION_VARIANTS`. Default: "tiled".
        isa: one of `isa_available()`. Default: None, the one in force.
        threads: upper bound. Default: 0, `get_num_threads()`.

    Returns:
        y: (n, h, l, ev) of q's dtype; 0 in rows where nothing takes part.
        lse: (n, h, l), log sum exp of the scores of each row; inf where nothing takes part.

    Raises:
        TypeError, ValueError: naming the argument that does not fit.
    """
    cdef const fdl_kernels *kernels = table_of(q, isa, "attention", "q")
    cdef int n = threads_of(threads), status
    cdef int which = variant_of("attention", ATTENTION_VARIANTS, variant)
    cdef fdl_attention g
    cdef cnp.ndarray y, lse
    attention_of(q, k, v, mask, causal, scale, &g, "attention")
    dropout_of(dropout, draw, &g, "attention")
    y = new_heads(q, g.l, g.ev, &g.y)
    lse = cnp.PyArray_EMPTY(3, cnp.PyArray_DIMS(q), cnp.PyArray_TYPE(q), 0)
    g.lse = cnp.PyArray_DATA(lse)
    with nogil:
        status = kernels.attention[which](&g, n)
    finish(status, "attention")
    return y, lse


def attention_backward(cnp.ndarray dy not None, cnp.ndarray q not None, cnp.ndarray k not None,
                       cnp.ndarray v not None, cnp.ndarray y not None, cnp.ndarray lse not None,
                       mask=None, *, double scale, bint causal=False, double dropout=0, draw=(0, 0),
                       isa=None, int threads=0):
    """The gradients dq, dk, dv of sum(y * dy) for y, lse = attention(q, k, v, mask, ...).

    dy is (n, h, l, ev), of q's dtype, its rows contiguous; the rest as :func:`attention`.
    """
    cdef const fdl_kernels *kernels = table_of(q, isa, "attention_backward", "q")
    cdef int n = threads_of(threads), status
    cdef fdl_attention g
    cdef cnp.ndarray dq, dk, dv
    attention_of(q, k, v, mask, causal, scale, &g, "attention_backward")
    dropout_of(dropout, draw, &g, "attention_backward")
    heads_of(q, y, &g.y, "attention_backward", "y")
    heads_of(q, dy, &g.dy, "attention_backward", "dy")
    for name, x in (("y", y), ("dy", dy)):
        if np.shape(x) != (g.n, g.h, g.l, g.ev):
            raise ValueError(
                f"attention_backward: {name} must have shape {(g.n, g.h, g.l, g.ev)}, "
                f"got {np.shape(x)}"
            )
    same_dtype(q, lse, "attention_backward", "lse")
    need_contiguous(lse, 3, "attention_backward", "lse")
    if np.shape(lse) != (g.n, g.h, g.l):
        raise ValueError(
            f"attention_backward: lse must have shape {(g.n, g.h, g.l)}, got {np.shape(lse)}"
        )
    g.lse = cnp.PyArray_DATA(lse)
    dq = new_heads(q, g.l, g.e, &g.dq)
    dk = new_heads(k, g.s, g.e, &g.dk)
    dv = new_heads(v, g.s, g.ev, &g.dv)
    with nogil:
        status = kernels.attention_backward(&g, n)
    finish(status, "attention_backward")
    return dq, dk, dv


def attention_factors(
    cnp.ndarray out not None, double dropout, draw, *, isa=None, int threads=0
):
    """Fill `out` (n, h, l, s) with what `attention` multiplies its softmax by: 0 with probability
    `dropout`, else 1 / (1 - dropout), from `draw` = (seed, number of the draw); returns it."""
    cdef const fdl_kernels *kernels = table_of(out, isa, "attention_factors", "out")
    cdef int n = threads_of(threads), status
    cdef fdl_attention g
    need_contiguous(out, 4, "attention_factors", "out")
    need_writable(out, "attention_factors", "out")
    g.n, g.h = cnp.PyArray_DIM(out, 0), cnp.PyArray_DIM(out, 1)
    g.l, g.s = cnp.PyArray_DIM(out, 2), cnp.PyArray_DIM(out, 3)
    dropout_of(dropout, draw, &g, "attention_factors")
    g.y.data = cnp.PyArray_DATA(out)
    with nogil:
        status = kernels.attention_factors(&g, n)
    finish(status, "attention_factors")
    return out
