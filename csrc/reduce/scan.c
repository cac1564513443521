/* scan.c: running sums and products along one axis: (outer, n, inner), the same shape out.
 *
 * Idea      every sum waits for the one before it; so several are made at once, of columns (across
 *           rows) or of four rows. They run in double: a float's is exact to its last bit
 * Removes   the wait: the latency of an addition is shared by four rows or by vectors of columns
 * Leaves    one addition for each element of a row; memory traffic across rows
 * Requires  C-contiguous arrays
 * Checked   against NumPy in float64
 * Timed     python bench/versus.py reduce
 */
#define SCAN_STRIP 256 /* columns whose running values stay in L1 */

INLINE void F(scan_rows)(const int op, int64_t n, int64_t rows, const REAL *x, REAL *y)
{
    double run[4] = {op, op, op, op};
    for (int64_t i = 0; i < n; i++)
        UNROLL(4) for (int r = 0; r < 4; r++) {
            if (r >= rows) break;
            run[r] = op ? run[r] * x[r * n + i] : run[r] + x[r * n + i];
            y[r * n + i] = (REAL)run[r];
        }
}

INLINE void F(scan_columns)(const int op, int64_t n, int64_t width, int64_t row, const REAL *x,
                            REAL *y)
{
    double run[SCAN_STRIP];
    for (int64_t j = 0; j < width; j++) run[j] = op;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < width; j++) {
            run[j] = op ? run[j] * x[i * row + j] : run[j] + x[i * row + j];
            y[i * row + j] = (REAL)run[j];
        }
}

/* op: 0 sums, 1 products, and so what they begin with. Tasks: four rows, or (outer, strips). */
INLINE void F(scan_tasks)(const int op, int64_t outer, int64_t n, int64_t inner, const REAL *x,
                          REAL *y, int64_t begin, int64_t end)
{
    int64_t strips = ceil_div(inner, SCAN_STRIP);
    for (int64_t task = begin; task < end; task++) {
        if (inner == 1) {
            int64_t rows = min64(outer - 4 * task, 4), at = 4 * task * n;
            if (rows == 4) F(scan_rows)(op, n, 4, x + at, y + at);
            else F(scan_rows)(op, n, rows, x + at, y + at);
        } else {
            int64_t j = task % strips * SCAN_STRIP, at = task / strips * n * inner + j;
            F(scan_columns)(op, n, min64(inner - j, SCAN_STRIP), inner, x + at, y + at);
        }
    }
}

NOINLINE void F(cumulative_sums)(int64_t outer, int64_t n, int64_t inner, const REAL *x, REAL *y,
                                 int64_t begin, int64_t end)
{
    F(scan_tasks)(0, outer, n, inner, x, y, begin, end);
}

NOINLINE void F(cumulative_products)(int64_t outer, int64_t n, int64_t inner, const REAL *x,
                                     REAL *y, int64_t begin, int64_t end)
{
    F(scan_tasks)(1, outer, n, inner, x, y, begin, end);
}

static int F(scan)(int product, int64_t outer, int64_t n, int64_t inner, const void *x, void *y,
                   int threads)
{
    int64_t tasks = inner == 1 ? ceil_div(outer, 4) : outer * ceil_div(inner, SCAN_STRIP);
    int parts = fdl_plan(threads, 0.6 * outer * n * inner);
    if (product)
        SPLIT(parts, tasks, 1, F(cumulative_products)(outer, n, inner, x, y, begin, end));
    else
        SPLIT(parts, tasks, 1, F(cumulative_sums)(outer, n, inner, x, y, begin, end));
    return FDL_OK;
}
