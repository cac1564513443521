/* channel_sum.c: (n, c, p) -> (c), the gradient of a bias: first over p, then over n.
 *
 * Idea      halve, sum the halves, add them (pairwise summation): rounding errors grow with log n
 *           instead of n; within a leaf, vectors along the contiguous axis
 * Removes   NumPy's transpose-and-reduce passes for p > 1, the plain loop's error and its latency
 * Leaves    memory traffic: one read
 * Requires  C-contiguous
 * Checked   against math.fsum
 * Timed     python -m fastdl bench rows
 */
#define ROW_LEAF 1024 /* elements of a row, and rows of a column, that are summed directly */
#define COLUMN_LEAF 32

/* sum of n contiguous elements */
NOINLINE REAL F(sum_row)(int64_t n, const REAL *x)
{
    if (n <= ROW_LEAF) return F(row_dot)(n, x, NULL);
    int64_t half = ceil_div(n, 2 * ROW_LEAF) * ROW_LEAF;
    return F(sum_row)(half, x) + F(sum_row)(n - half, x + half);
}

/* VL columns, of which the first `live` exist, over n rows of pitch ld */
NOINLINE void F(sum_columns)(int64_t n, const REAL *x, int64_t ld, int64_t live, V *sum)
{
    if (n > COLUMN_LEAF) {
        int64_t half = ceil_div(n, 2 * COLUMN_LEAF) * COLUMN_LEAF;
        V rest;
        F(sum_columns)(half, x, ld, live, sum);
        F(sum_columns)(n - half, x + half * ld, ld, live, &rest);
        *sum += rest;
        return;
    }
    V a = SPLAT(0), b = a;
    int64_t i = 0;
    for (; i + 2 <= n; i += 2) {
        a += LDN(x + i * ld, live, 0);
        b += LDN(x + (i + 1) * ld, live, 0);
    }
    if (i < n) a += LDN(x + i * ld, live, 0);
    *sum = a + b;
}

NOINLINE void F(sum_rows_range)(int64_t p, const REAL *x, REAL *sums, int64_t begin, int64_t end)
{
    for (int64_t i = begin; i < end; i++) sums[i] = F(sum_row)(p, x + i * p);
}

NOINLINE void F(sum_columns_range)(int64_t n, int64_t c, const REAL *x, REAL *sums, int64_t begin,
                                   int64_t end)
{
    for (int64_t j = begin; j < end; j += VL) {
        V sum;
        F(sum_columns)(n, x + j, c, end - j, &sum);
        STN(sums + j, sum, end - j);
    }
}

static int F(channel_sum)(int64_t n, int64_t c, int64_t p, const void *dy, void *db, int threads)
{
    const REAL *x = dy;
    if (p != 1) { /* (n, c, p) -> (n, c) */
        REAL *sums = fdl_scratch(FDL_SCRATCH_ROWS, n * c * sizeof(REAL));
        if (!sums) return FDL_NOMEM;
        SPLIT(fdl_plan(threads, n * c * (5 + 0.015 * sizeof(REAL) * p)), n * c, 1,
              F(sum_rows_range)(p, x, sums, begin, end));
        x = sums;
    }
    SPLIT(fdl_plan(threads, 0.06 * sizeof(REAL) * n * c), c, 64,
          F(sum_columns_range)(n, c, x, db, begin, end));
    return FDL_OK;
}
