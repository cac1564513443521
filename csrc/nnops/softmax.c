/* softmax.c: softmax and log-softmax of rows, and their gradients.
 *
 *   softmax      y = exp(x - max) / sum exp(x - max)         dx = y (dy - sum dy y)
 *   log-softmax  y = x - max - log(sum exp(x - max))         dx = dy - exp(y) sum dy
 *
 * Idea      a row is read three times while it is in the cache: its maximum, the sum of
 *           exponentials, the result
 * Removes   the temporaries of the NumPy formulation, and its scalar exponential
 * Leaves    the arithmetic of exp: about 20 vector operations for VL elements
 * Requires  C-contiguous rows
 * Checked   against float64; a row of -inf gives NaN, as in PyTorch
 * Timed     python -m fastdl bench rows
 *
 * A row's last vector is filled up with values that change nothing. Long rows are summed in blocks,
 * so that rounding errors grow with the number of blocks, not of elements.
 */
#define ROW_BLOCK 2048

INLINE REAL F(row_max)(int64_t n, const REAL *x)
{
    V a = SPLAT(-INFINITY), b = a;
    for (int64_t j = 0; j < n; j += 2 * VL) {
        a = VMAX(LDN(x + j, n - j, -INFINITY), a);
        b = VMAX(LDN(x + j + VL, n - j - VL, -INFINITY), b);
    }
    return HMAX(VMAX(a, b));
}

/* The sum over the row of exp(x - max), which also goes to y unless that is NULL; y may be x. */
INLINE REAL F(row_exp_sum)(int64_t n, const REAL *x, REAL max, REAL *y)
{
    REAL total = 0;
    for (int64_t from = 0, to; from < n; from = to) {
        V sum = SPLAT(0);
        to = min64(n, from + ROW_BLOCK);
        for (int64_t j = from; j < to; j += VL) {
            V e = F(vexp)(LDN(x + j, to - j, -INFINITY) - SPLAT(max));
            if (y) STN(y + j, e, to - j);
            sum += e;
        }
        total += HSUM(sum);
    }
    return total;
}

/* sum of u v; of u alone where v is NULL */
INLINE REAL F(row_dot)(int64_t n, const REAL *u, const REAL *v)
{
    REAL total = 0;
    for (int64_t from = 0, to; from < n; from = to) {
        V a = SPLAT(0), b = a;
        to = min64(n, from + ROW_BLOCK);
        for (int64_t j = from; j < to; j += 2 * VL) {
            V p = LDN(u + j, to - j, 0), q = LDN(u + j + VL, to - j - VL, 0);
            a += v ? p * LDN(v + j, to - j, 0) : p;
            b += v ? q * LDN(v + j + VL, to - j - VL, 0) : q;
        }
        total += HSUM(a + b);
    }
    return total;
}

/* ---- few columns: a row in every lane --------------------------------------------------------
 *
 * A row of 10 would leave lanes idle and add up across them, which is slow. VL rows are transposed
 * instead: t[c VL + i] is column c of row i, and no lane needs another. */
#define FEW_COLUMNS 24

INLINE void F(load_columns)(int64_t rows, int64_t cols, const REAL *x, REAL *t)
{
    for (int64_t i = 0; i < VL; i++) /* lanes without a row repeat the first */
        for (int64_t c = 0; c < cols; c++) t[c * VL + i] = x[(i < rows ? i : 0) * cols + c];
}

INLINE void F(store_columns)(int64_t rows, int64_t cols, const REAL *t, REAL *y)
{
    for (int64_t i = 0; i < min64(rows, VL); i++)
        for (int64_t c = 0; c < cols; c++) y[i * cols + c] = t[c * VL + i];
}

/* t becomes x - max, or if `exps` exp(x - max); returns the sum of exp(x - max) in every lane */
INLINE V F(columns_exp_sum)(int64_t cols, REAL *t, const int exps, V *max)
{
    V m = LD(t), sum = SPLAT(0);
    for (int64_t c = 1; c < cols; c++) m = VMAX(LD(t + c * VL), m);
    for (int64_t c = 0; c < cols; c++) {
        V x = LD(t + c * VL) - m, e = F(vexp)(x);
        ST(t + c * VL, exps ? e : x);
        sum += e;
    }
    *max = m;
    return sum;
}

INLINE V F(lanes_log)(V v)
{
    for (int i = 0; i < VL; i++) v[i] = sizeof(REAL) == 4 ? logf(v[i]) : log(v[i]);
    return v;
}

NOINLINE void F(softmax_few)(int64_t cols, const REAL *x, REAL *y, int log_, int64_t begin,
                             int64_t end)
{
    REAL t[FEW_COLUMNS * VL];
    for (int64_t i = begin; i < end; i += VL) {
        V max;
        F(load_columns)(end - i, cols, x + i * cols, t);
        if (log_) {
            V log_sum = F(lanes_log)(F(columns_exp_sum)(cols, t, 0, &max));
            for (int64_t c = 0; c < cols; c++) ST(t + c * VL, LD(t + c * VL) - log_sum);
        } else {
            V scale = SPLAT(1) / F(columns_exp_sum)(cols, t, 1, &max);
            for (int64_t c = 0; c < cols; c++) ST(t + c * VL, LD(t + c * VL) * scale);
        }
        F(store_columns)(end - i, cols, t, y + i * cols);
    }
}

NOINLINE void F(softmax_backward_few)(int64_t cols, const REAL *dy, const REAL *y, REAL *dx,
                                      int log_, int64_t begin, int64_t end)
{
    REAL g[FEW_COLUMNS * VL], t[FEW_COLUMNS * VL];
    for (int64_t i = begin; i < end; i += VL) {
        F(load_columns)(end - i, cols, dy + i * cols, g);
        F(load_columns)(end - i, cols, y + i * cols, t);
        V sum = SPLAT(0);
        for (int64_t c = 0; c < cols; c++)
            sum += log_ ? LD(g + c * VL) : LD(g + c * VL) * LD(t + c * VL);
        for (int64_t c = 0; c < cols; c++) {
            V d = LD(g + c * VL), v = LD(t + c * VL);
            ST(g + c * VL, log_ ? d - F(vexp)(v) * sum : v * (d - sum));
        }
        F(store_columns)(end - i, cols, g, dx + i * cols);
    }
}

/* ---- any number of columns ------------------------------------------------------------------- */

NOINLINE void F(softmax_rows)(int64_t cols, const REAL *x, REAL *y, int64_t begin, int64_t end)
{
    for (int64_t i = begin; i < end; i++) {
        REAL *row = y + i * cols;
        REAL scale = 1 / F(row_exp_sum)(cols, x + i * cols, F(row_max)(cols, x + i * cols), row);
        for (int64_t j = 0; j < cols; j += VL)
            STN(row + j, LDN(row + j, cols - j, 0) * SPLAT(scale), cols - j);
    }
}

NOINLINE void F(log_softmax_rows)(int64_t cols, const REAL *x, REAL *y, int64_t begin, int64_t end)
{
    for (int64_t i = begin; i < end; i++) {
        const REAL *row = x + i * cols;
        REAL max = F(row_max)(cols, row);
        REAL log_sum = (REAL)log(F(row_exp_sum)(cols, row, max, NULL));
        for (int64_t j = 0; j < cols;
             j += VL) /* max + log_sum would round away what x - max keeps */
            STN(y + i * cols + j, LDN(row + j, cols - j, 0) - SPLAT(max) - SPLAT(log_sum),
                cols - j);
    }
}

NOINLINE void F(softmax_backward_rows)(int64_t cols, const REAL *dy, const REAL *y, REAL *dx,
                                       int64_t begin, int64_t end)
{
    for (int64_t i = begin * cols; i < end * cols; i += cols) {
        REAL dot = F(row_dot)(cols, dy + i, y + i);
        for (int64_t j = 0; j < cols; j += VL)
            STN(dx + i + j,
                LDN(y + i + j, cols - j, 0) * (LDN(dy + i + j, cols - j, 0) - SPLAT(dot)),
                cols - j);
    }
}

NOINLINE void F(log_softmax_backward_rows)(int64_t cols, const REAL *dy, const REAL *y, REAL *dx,
                                           int64_t begin, int64_t end)
{
    for (int64_t i = begin * cols; i < end * cols; i += cols) {
        REAL sum = F(row_dot)(cols, dy + i, NULL);
        for (int64_t j = 0; j < cols; j += VL) {
            V p = F(vexp)(LDN(y + i + j, cols - j, 0));
            STN(dx + i + j, LDN(dy + i + j, cols - j, 0) - p * SPLAT(sum), cols - j);
        }
    }
}

static int F(softmax)(int64_t rows, int64_t cols, const void *x, void *y, int log, int threads)
{
    int parts = fdl_plan(threads, rows * (10 + 0.15 * sizeof(REAL) * cols));
    if (cols == 0) return FDL_OK;
    if (cols <= FEW_COLUMNS)
        SPLIT(parts, rows, VL, F(softmax_few)(cols, x, y, log, begin, end));
    else if (log)
        SPLIT(parts, rows, 1, F(log_softmax_rows)(cols, x, y, begin, end));
    else
        SPLIT(parts, rows, 1, F(softmax_rows)(cols, x, y, begin, end));
    return FDL_OK;
}

static int F(softmax_backward)(int64_t rows, int64_t cols, const void *dy, const void *y, void *dx,
                               int log, int threads)
{
    int parts = fdl_plan(threads, rows * (10 + 0.08 * sizeof(REAL) * cols));
    if (cols == 0) return FDL_OK;
    if (cols <= FEW_COLUMNS)
        SPLIT(parts, rows, VL, F(softmax_backward_few)(cols, dy, y, dx, log, begin, end));
    else if (log)
        SPLIT(parts, rows, 1, F(log_softmax_backward_rows)(cols, dy, y, dx, begin, end));
    else
        SPLIT(parts, rows, 1, F(softmax_backward_rows)(cols, dy, y, dx, begin, end));
    return FDL_OK;
}
