/* positions.c: elements of planes moved by their position in the plane, as adaptive pooling and
 * unpooling have them. A plane belongs to one thread, which takes its elements in order. */
NOINLINE void F(gather_planes)(int64_t n, int64_t m, const REAL *x, const int64_t *at, REAL *y,
                               int64_t begin, int64_t end)
{
    for (int64_t p = begin; p < end; p++)
        for (int64_t j = p * m; j < (p + 1) * m; j++) y[j] = x[p * n + at[j]];
}

NOINLINE void F(scatter_planes)(int add, int64_t n, int64_t m, const REAL *x, const int64_t *at,
                                REAL *y, int64_t begin, int64_t end)
{
    for (int64_t p = begin; p < end; p++) {
        REAL *plane = y + p * n;
        memset(plane, 0, n * sizeof *plane);
        if (add)
            for (int64_t j = p * m; j < (p + 1) * m; j++) plane[at[j]] += x[j];
        else
            for (int64_t j = p * m; j < (p + 1) * m; j++) plane[at[j]] = x[j];
    }
}

static int F(plane_gather)(int64_t planes, int64_t n, int64_t m, const void *x, const int64_t *at,
                           void *y, int threads)
{
    SPLIT(fdl_plan(threads, 2.0 * planes * m), planes, 1,
          F(gather_planes)(n, m, x, at, y, begin, end));
    return FDL_OK;
}

static int F(plane_scatter)(int64_t planes, int64_t n, int64_t m, const void *x, const int64_t *at,
                            void *y, int add, int threads)
{
    SPLIT(fdl_plan(threads, planes * (2.0 * m + 0.03 * sizeof(REAL) * n)), planes, 1,
          F(scatter_planes)(add, n, m, x, at, y, begin, end));
    return FDL_OK;
}
