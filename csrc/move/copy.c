/* copy.c: an array into another of the same shape and any strides: copies, permutations, pieces of
 * concatenations, flips, broadcasts.
 *
 * Idea      the axis that is contiguous in the output is walked innermost. Where the input is, too,
 *           rows are copied; where another axis of the input is contiguous, squares of VL x VL
 *           elements are transposed in registers, so that both sides move whole cache lines; where
 *           the input stands still or runs backwards, a row is one element or is reversed
 * Removes   the cache line fetched for each single element of a transposition
 * Leaves    memory traffic: one read and one write
 * Requires  arrays that do not overlap; output strides > 0, falling; elements of REAL's size,
 *           moved as bits
 * Checked   against NumPy for all permutations, steps and signs
 * Timed     python -m fastdl bench move
 */
#define COPY_PIECE 16384 /* elements of a row for one task */
#define COPY_SQUARE 256  /* of a transposition for one task: 256 x 256 */

/* ---- rows ------------------------------------------------------------------------------------ */

INLINE V F(reversed)(V v)
{
    INT t[VL], r[VL];
    *(VIU *)t = (VI)v;
    UNROLL(16) for (int i = 0; i < VL; i++) r[i] = t[VL - 1 - i];
    return (V) * (VIU *)r;
}

/* n elements x step apart to elements y step apart */
INLINE void F(copy_row)(int64_t n, const INT *x, int64_t x_step, INT *y, int64_t y_step)
{
    int64_t i = 0;
    if (x_step == 1 && y_step == 1) {
        if (n * sizeof(REAL) > 8192) { /* shorter, and its preparations would show */
            memcpy(y, x, n * sizeof(REAL));
            return;
        }
        for (; i + VL <= n; i += VL) ST(y + i, LD(x + i));
        if (i < n) STN((REAL *)y + i, LDN((const REAL *)x + i, n - i, 0), n - i);
    } else if (x_step == 0 && y_step == 1) {
        for (; i < n; i++) y[i] = x[0];
    } else if (x_step == -1 && y_step == 1) {
        for (; i + VL <= n; i += VL) ST(y + i, F(reversed)(LD(x - i - (VL - 1))));
        if (i < n && n >= VL) ST(y + n - VL, F(reversed)(LD(x - (n - 1)))); /* some twice */
        else for (; i < n; i++) y[i] = x[-i];
    } else {
        for (; i < n; i++) y[i * y_step] = x[i * x_step];
    }
}

/* ---- squares --------------------------------------------------------------------------------- */

/* y[a][b] = x[b][a] for a < rows, b < cols, both <= VL: interleaving the first half of the vectors
 * with the second, log2(VL) times, transposes them */
INLINE void F(transpose_square)(int64_t rows, int64_t cols, const REAL *x, int64_t x_row, REAL *y,
                                int64_t y_row)
{
    V v[VL], w[VL];
    if (rows == VL && cols == VL)
        UNROLL(16) for (int b = 0; b < VL; b++) v[b] = LD(x + b * x_row);
    else
        UNROLL(16) for (int b = 0; b < VL; b++)
            v[b] = b < cols ? LDN(x + b * x_row, rows, 0) : SPLAT(0);
    UNROLL(4) for (int done = 1; done < VL; done *= 2) {
        UNROLL(8) for (int i = 0; i < VL / 2; i++) {
            w[2 * i] = LOW(v[i], v[i + VL / 2]);
            w[2 * i + 1] = HIGH(v[i], v[i + VL / 2]);
        }
        UNROLL(16) for (int i = 0; i < VL; i++) v[i] = w[i];
    }
    if (rows == VL && cols == VL)
        UNROLL(16) for (int a = 0; a < VL; a++) ST(y + a * y_row, v[a]);
    else
        UNROLL(16) for (int a = 0; a < VL; a++)
            if (a < rows) STN(y + a * y_row, v[a], cols);
}

INLINE void F(transpose_block)(int64_t rows, int64_t cols, const REAL *x, int64_t x_row, REAL *y,
                               int64_t y_row)
{
    for (int64_t a = 0; a < rows; a += VL)
        for (int64_t b = 0; b < cols; b += VL)
            F(transpose_square)(min64(rows - a, VL), min64(cols - b, VL), x + b * x_row + a, x_row,
                                y + a * y_row + b, y_row);
}

/* ---- tasks ----------------------------------------------------------------------------------- */

/* Where combination `index` of the axes in `outer` begins. */
INLINE void F(copy_start)(const fdl_copy *g, const int *outer, int count, int64_t index,
                          int64_t *from, int64_t *to)
{
    *from = *to = 0;
    for (int i = count - 1; i >= 0; i--) {
        int64_t n = g->shape[outer[i]], at = index % n;
        index /= n;
        *from += at * g->x_stride[outer[i]];
        *to += at * g->y_stride[outer[i]];
    }
}

/* tasks: (outer axes, pieces of a row) */
NOINLINE void F(copy_rows)(const fdl_copy *g, const int *outer, int count, const INT *x, INT *y,
                           int64_t begin, int64_t end)
{
    const int last = g->axes - 1;
    const int64_t n = g->shape[last], pieces = ceil_div(n, COPY_PIECE);
    const int64_t x_step = g->x_stride[last], y_step = g->y_stride[last];
    int64_t from, to, at[FDL_COPY_AXES];
    F(copy_start)(g, outer, count, begin / pieces, &from, &to);
    for (int64_t i = count - 1, index = begin / pieces; i >= 0; i--) {
        at[i] = index % g->shape[outer[i]];
        index /= g->shape[outer[i]];
    }
    const int whole = pieces == 1 && count > 0;
    const int64_t x_row = whole ? g->x_stride[outer[count - 1]] : 0;
    const int64_t y_row = whole ? g->y_stride[outer[count - 1]] : 0;
    for (int64_t task = begin, piece = begin % pieces, rows; task < end; task += rows) {
        const int64_t first = piece * COPY_PIECE, length = min64(n - first, COPY_PIECE);
        /* as many whole rows as the last outer axis has left, or a piece of one */
        rows = whole ? min64(end - task, g->shape[outer[count - 1]] - at[count - 1]) : 1;
        for (int64_t i = 0; i < rows; i++)
            F(copy_row)(length, x + from + first * x_step + i * x_row, x_step,
                        y + to + first * y_step + i * y_row, y_step);
        if (pieces > 1 && ++piece < pieces) continue;
        piece = 0;
        for (int64_t i = count - 1, on = rows; i >= 0; i--, on = 1) { /* the next row */
            from += on * g->x_stride[outer[i]];
            to += on * g->y_stride[outer[i]];
            at[i] += on;
            if (at[i] < g->shape[outer[i]]) break;
            from -= at[i] * g->x_stride[outer[i]];
            to -= at[i] * g->y_stride[outer[i]];
            at[i] = 0;
        }
    }
}

/* tasks: (outer axes, blocks of axis `inner`, blocks of the last axis) */
NOINLINE void F(copy_squares)(const fdl_copy *g, const int *outer, int count, int inner,
                              const REAL *x, REAL *y, int64_t begin, int64_t end)
{
    const int last = g->axes - 1;
    const int64_t rows = g->shape[inner], cols = g->shape[last];
    const int64_t across = ceil_div(cols, COPY_SQUARE), down = ceil_div(rows, COPY_SQUARE);
    for (int64_t task = begin; task < end; task++) {
        int64_t b = task % across * COPY_SQUARE, a = task / across % down * COPY_SQUARE, from, to;
        F(copy_start)(g, outer, count, task / across / down, &from, &to);
        F(transpose_block)(min64(rows - a, COPY_SQUARE), min64(cols - b, COPY_SQUARE),
                           x + from + a + b * g->x_stride[last], g->x_stride[last],
                           y + to + a * g->y_stride[inner] + b, g->y_stride[inner]);
    }
}

/* ---- rows made of pieces --------------------------------------------------------------------- */

NOINLINE void F(join_rows)(int count, const fdl_part *parts, int64_t y_row, INT *y, int64_t begin,
                           int64_t end)
{
    for (int64_t i = begin; i < end; i++) {
        INT *to = y + i * y_row;
        for (int p = 0; p < count; p++) {
            F(copy_row)(parts[p].n, (const INT *)parts[p].x + i * parts[p].row, 1, to, 1);
            to += parts[p].n;
        }
    }
}

NOINLINE void F(copy_range)(const INT *x, INT *y, int64_t begin, int64_t end)
{
    F(copy_row)(end - begin, x + begin, 1, y + begin, 1);
}

/* Row by row, so that what one part has written of a cache line is still there for the next. */
static int F(join)(int64_t rows, int count, const fdl_part *parts, void *y, int threads)
{
    int64_t y_row = 0;
    for (int p = 0; p < count; p++) y_row += parts[p].n;
    if (rows > 16) {
        SPLIT(fdl_plan(threads, 0.02 * sizeof(REAL) * rows * y_row), rows, 1,
              F(join_rows)(count, parts, y_row, y, begin, end));
        return FDL_OK;
    }
    INT *to = y;
    for (int64_t i = 0; i < rows; i++)
        for (int p = 0; p < count; to += parts[p++].n) {
            const INT *from = (const INT *)parts[p].x + i * parts[p].row;
            SPLIT(fdl_plan(threads, 0.02 * sizeof(REAL) * parts[p].n), parts[p].n, 1024,
                  F(copy_range)(from, to, begin, end));
        }
    return FDL_OK;
}

static int F(copy)(const fdl_copy *g, const void *x, void *y, int threads)
{
    const int last = g->axes - 1;
    int outer[FDL_COPY_AXES], count = 0, inner = -1;
    int64_t size = 1, tasks = 1;
    for (int i = 0; i < g->axes; i++) size *= g->shape[i];
    if (size == 0) return FDL_OK;
    if (g->y_stride[last] == 1 && g->x_stride[last] != 1 && g->shape[last] > 1)
        for (int i = 0; i < last; i++)
            if (g->x_stride[i] == 1) inner = i;
    for (int i = 0; i < last; i++)
        if (i != inner) {
            outer[count++] = i;
            tasks *= g->shape[i];
        }
    int parts = fdl_plan(threads, (inner < 0 ? 0.02 : 0.045) * sizeof(REAL) * size);
    if (inner < 0) {
        tasks *= ceil_div(g->shape[last], COPY_PIECE);
        SPLIT(parts, tasks, 1, F(copy_rows)(g, outer, count, x, y, begin, end));
    } else {
        tasks *= ceil_div(g->shape[last], COPY_SQUARE) * ceil_div(g->shape[inner], COPY_SQUARE);
        SPLIT(parts, tasks, 1, F(copy_squares)(g, outer, count, inner, x, y, begin, end));
    }
    return FDL_OK;
}
