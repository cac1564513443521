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
#define SUM_WIDE 4 /* vectors of columns at a time: whole lines of each row's page, once */

/* sum of n contiguous elements */
NOINLINE REAL F(sum_row)(int64_t n, const REAL *x)
{
    if (n <= ROW_LEAF) return F(row_dot)(n, x, NULL);
    int64_t half = ceil_div(n, 2 * ROW_LEAF) * ROW_LEAF;
    return F(sum_row)(half, x) + F(sum_row)(n - half, x + half);
}

/* `wide` vectors of columns, of which the first `live` exist, over n <= COLUMN_LEAF rows */
INLINE void F(sum_leaf)(const int wide, int64_t n, const REAL *x, int64_t ld, int64_t live, V *sum)
{
    V a[SUM_WIDE], b[SUM_WIDE];
    int64_t i = 0;
    UNROLL(4) for (int u = 0; u < wide; u++) a[u] = b[u] = SPLAT(0);
    for (; i + 2 <= n; i += 2, x += 2 * ld)
        UNROLL(4) for (int u = 0; u < wide; u++) {
            a[u] += LDN(x + u * VL, live - u * VL, 0);
            b[u] += LDN(x + ld + u * VL, live - u * VL, 0);
        }
    UNROLL(4) for (int u = 0; u < wide; u++) {
        if (i < n) a[u] += LDN(x + u * VL, live - u * VL, 0);
        sum[u] = a[u] + b[u];
    }
}

/* One vector of columns of pitch ld over n rows; SUM_WIDE of them if so many columns are `live` */
NOINLINE void F(sum_columns)(int64_t n, const REAL *x, int64_t ld, int64_t live, V *sum)
{
    if (n > COLUMN_LEAF) {
        int64_t half = ceil_div(n, 2 * COLUMN_LEAF) * COLUMN_LEAF;
        V rest[SUM_WIDE];
        F(sum_columns)(half, x, ld, live, sum);
        F(sum_columns)(n - half, x + half * ld, ld, live, rest);
        for (int u = 0; u < (live < SUM_WIDE * VL ? 1 : SUM_WIDE); u++) sum[u] += rest[u];
    } else if (live < SUM_WIDE * VL) {
        F(sum_leaf)(1, n, x, ld, live, sum);
    } else {
        F(sum_leaf)(SUM_WIDE, n, x, ld, SUM_WIDE * VL, sum);
    }
}

NOINLINE void F(sum_rows_range)(int64_t p, const REAL *x, REAL *sums, int64_t begin, int64_t end)
{
    for (int64_t i = begin; i < end; i++) sums[i] = F(sum_row)(p, x + i * p);
}

NOINLINE void F(sum_columns_range)(int64_t n, int64_t c, const REAL *x, REAL *sums, int64_t begin,
                                   int64_t end)
{
    for (int64_t j = begin, wide; j < end; j += wide * VL) {
        V sum[SUM_WIDE];
        wide = end - j < SUM_WIDE * VL ? 1 : SUM_WIDE;
        F(sum_columns)(n, x + j, c, end - j, sum);
        for (int64_t u = 0; u < wide; u++) STN(sums + j + u * VL, sum[u], end - j - u * VL);
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
