/* gather.c: rows of a table by number: y[i] = table[index[i]], what an embedding reads.
 *
 * Idea      a row is copied by vectors; the rows that follow are asked for while it is
 * Removes   the call of memcpy for each row, and the wait for memory at each row's beginning
 * Leaves    one read and one write of each row
 * Requires  C-contiguous; numbers below the table's rows, checked by the caller; a negative one
 *           gives a row of zeros
 * Checked   against NumPy's take
 * Timed     python bench/versus.py embedding
 */
#define ROWS_AHEAD 4

NOINLINE void F(gather_range)(int64_t d, const REAL *table, const int64_t *index, int64_t n,
                              REAL *y, int64_t begin, int64_t end)
{
    for (int64_t i = begin; i < end; i++) {
        const int64_t next = i + ROWS_AHEAD < n ? index[i + ROWS_AHEAD] : -1;
        REAL *out = y + i * d;
        if (next >= 0)
            for (int64_t j = 0; j < min64(d, 512); j += 64 / (int64_t)sizeof(REAL))
                __builtin_prefetch(table + next * d + j);
        if (index[i] < 0) {
            memset(out, 0, d * sizeof(REAL));
            continue;
        }
        const REAL *row = table + index[i] * d;
        for (int64_t j = 0; j < d; j += VL) STN(out + j, LDN(row + j, d - j, 0), d - j);
    }
}

static int F(gather_rows)(int64_t n, int64_t d, const void *table, const int64_t *index, void *y,
                          int threads)
{
    SPLIT(fdl_plan(threads, n * (5 + 0.02 * sizeof(REAL) * d)), n, 1,
          F(gather_range)(d, table, index, n, y, begin, end));
    return FDL_OK;
}
