/* scatter.c: rows added up by number: table[r] = sum of g[i] over index[i] == r, the gradient of
 * gather.c. Most rows of a large table get nothing: they are zeros.
 *
 * Idea      a counting sort lists for each row of the table what is added to it, in the order of i;
 *           a thread then writes whole rows of the table, each once
 * Removes   a first sweep of zeros, the table's rows read back, any race between threads
 * Leaves    one write of the table, one read of g
 * Requires  C-contiguous; numbers below `rows`; negative ones are left out; n < 2^31
 * Checked   against NumPy's add.at; threads bit for bit
 * Timed     python bench/versus.py embedding
 *
 * A thread's share is counted in rows of the table plus rows of g, so that it does not matter
 * where in the table the numbers crowd.
 */

/* the first row r with r + first[r] >= share: rows are dealt by what they cost */
static inline int64_t F(row_at)(int64_t rows, const int32_t *first, int64_t share)
{
    int64_t low = 0, high = rows;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (middle + first[middle] >= share) high = middle;
        else low = middle + 1;
    }
    return low;
}

NOINLINE void F(scatter_range)(int64_t rows, int64_t d, const REAL *g, const int32_t *first,
                               const int32_t *order, REAL *table, int64_t begin, int64_t end)
{
    const int64_t last = F(row_at)(rows, first, end);
    for (int64_t r = F(row_at)(rows, first, begin); r < last;) {
        if (first[r] == first[r + 1]) { /* a run of rows that nothing is added to */
            const int64_t from = r;
            while (r < last && first[r] == first[r + 1]) r++;
            memset(table + from * d, 0, (r - from) * d * sizeof(REAL));
            continue;
        }
        for (int64_t j = 0; j < d; j += 4 * VL) {
            V sum[4] = {SPLAT(0), SPLAT(0), SPLAT(0), SPLAT(0)};
            for (int32_t k = first[r]; k < first[r + 1]; k++) {
                const REAL *row = g + order[k] * d + j;
                UNROLL(4) for (int u = 0; u < 4; u++)
                    sum[u] += LDN(row + u * VL, d - j - u * VL, 0);
            }
            UNROLL(4) for (int u = 0; u < 4; u++)
                STN(table + r * d + j + u * VL, sum[u], d - j - u * VL);
        }
        r++;
    }
}

static int F(scatter_rows)(int64_t rows, int64_t d, int64_t n, const void *g,
                           const int64_t *index, void *table, int threads)
{
    int32_t *first = fdl_scratch(FDL_SCRATCH_ROWS, (rows + 2 + n) * sizeof(int32_t));
    if (!first) return FDL_NOMEM;
    int32_t *order = first + rows + 2;
    /* first[r + 2] counts; summed, first[r + 1] is where the next of row r goes; then first[r] */
    memset(first, 0, (rows + 2) * sizeof(int32_t));
    for (int64_t i = 0; i < n; i++)
        if (index[i] >= 0) first[index[i] + 2]++;
    for (int64_t r = 2; r < rows + 2; r++) first[r] += first[r - 1];
    for (int64_t i = 0; i < n; i++)
        if (index[i] >= 0) order[first[index[i] + 1]++] = (int32_t)i;
    SPLIT(fdl_plan(threads, 0.018 * sizeof(REAL) * d * (rows + n)), rows + n, 1,
          F(scatter_range)(rows, d, g, first, order, table, begin, end));
    return FDL_OK;
}
