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
 * The last vector of a row is partly filled with values that change nothing. Long rows are summed
 * in blocks, so that
 * rounding errors grow with the number of blocks, not of elements.
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
    int parts = fdl_plan(threads, rows * (20 + 0.25 * sizeof(REAL) * cols));
    if (log)
        SPLIT(parts, rows, 1, F(log_softmax_rows)(cols, x, y, begin, end));
    else
        SPLIT(parts, rows, 1, F(softmax_rows)(cols, x, y, begin, end));
    return FDL_OK;
}

static int F(softmax_backward)(int64_t rows, int64_t cols, const void *dy, const void *y, void *dx,
                               int log, int threads)
{
    int parts = fdl_plan(threads, rows * (10 + 0.15 * sizeof(REAL) * cols));
    if (log)
        SPLIT(parts, rows, 1, F(log_softmax_backward_rows)(cols, dy, y, dx, begin, end));
    else
        SPLIT(parts, rows, 1, F(softmax_backward_rows)(cols, dy, y, dx, begin, end));
    return FDL_OK;
}
