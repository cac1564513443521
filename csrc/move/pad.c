/* pad.c: an array with a border of one value around it, or without some of its edge.
 *
 * Idea      one pass over the output, row by row; all rows but the last of a thread's range may
 *           spill up to a vector into the row that follows, which is written later, so that a
 *           short row is a handful of whole vectors
 * Removes   a pass that fills the output before the copy; masks
 * Leaves    one read and one write
 * Requires  fdl_pad: begin[d] + n[d] <= shape[d]; elements of REAL's size, moved as bits
 * Checked   against NumPy
 * Timed     bench/versus.py pad
 */

/* `n` times `value`; anything may be written up to y[n + VL - 1] if `loose` */
INLINE void F(pad_fill)(int64_t n, REAL value, REAL *y, int loose)
{
    const V v = SPLAT(value);
    int64_t i = 0;
    for (; i < n - (loose ? 0 : VL - 1); i += VL) ST(y + i, v);
    if (i < n) STN(y + i, v, n - i);
}

INLINE void F(pad_copy)(int64_t n, const REAL *x, int64_t x_step, REAL *y, int loose)
{
    int64_t i = 0;
    if (x_step != 1) {
        for (; i < n; i++) ((INT *)y)[i] = ((const INT *)x)[i * x_step];
        return;
    }
    for (; i + VL <= n; i += VL) ST(y + i, LD(x + i));
    if (i < n && loose) ST(y + i, LDN(x + i, n - i, 0));
    else if (i < n) STN(y + i, LDN(x + i, n - i, 0), n - i);
}

/* rows [begin, end) of the output */
NOINLINE void F(pad_rows)(const fdl_pad *g, const REAL *x, const REAL *value, REAL *y,
                          int64_t begin, int64_t end)
{
    const int last = g->axes - 1;
    const int64_t length = g->shape[last], before = g->begin[last], n = g->n[last];
    const int64_t after = length - before - n;
    REAL *const stop = y + end * length;
    int64_t at[FDL_COPY_AXES], index = begin;
    for (int d = last - 1; d >= 0; d--) {
        at[d] = index % g->shape[d] - g->begin[d]; /* of the row in x */
        index /= g->shape[d];
    }
    y += begin * length;
    for (int64_t row = begin; row < end; row++, y += length) {
        const int loose = stop - y >= length + VL;
        int64_t offset = 0;
        int inside = 1;
        for (int d = 0; d < last; d++) {
            inside &= (uint64_t)at[d] < (uint64_t)g->n[d];
            offset += at[d] * g->x_stride[d];
        }
        const REAL *from = inside ? x + offset : x;
        if (!inside) {
            F(pad_fill)(length, *value, y, loose);
        } else if (loose) {
            F(pad_fill)(before, *value, y, 1);
            F(pad_copy)(n, from, g->x_stride[last], y + before, 1);
            F(pad_fill)(after, *value, y + before + n, 1);
        } else {
            F(pad_fill)(before, *value, y, 0);
            F(pad_copy)(n, from, g->x_stride[last], y + before, 0);
            F(pad_fill)(after, *value, y + before + n, 0);
        }
        for (int d = last - 1; d >= 0; d--) { /* the next row */
            if (++at[d] < g->shape[d] - g->begin[d]) break;
            at[d] = -g->begin[d];
        }
    }
}

static int F(pad)(const fdl_pad *g, const void *x, const void *value, void *y, int threads)
{
    int64_t rows = 1;
    for (int d = 0; d < g->axes - 1; d++) rows *= g->shape[d];
    SPLIT(fdl_plan(threads, 0.03 * sizeof(REAL) * rows * g->shape[g->axes - 1]), rows, 1,
          F(pad_rows)(g, x, value, y, begin, end));
    return FDL_OK;
}
