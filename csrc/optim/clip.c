/* clip.c: the norm of all gradients together, and what bounds them: a factor, an interval.
 *
 * Idea      the sum of squares over fixed chunks, their sums added in order and in double
 * Removes   a call, a temporary and a rounding for every parameter
 * Leaves    memory traffic: one read for the norm, a read and a write for the bound
 * Requires  contiguous arrays that do not overlap
 * Checked   against PyTorch; bit by bit for any number of threads
 * Timed     python bench/versus.py optimizers
 */
static void F(square_chunk)(const fdl_param *x, const void *options, int64_t c, int64_t begin,
                            int64_t end)
{
    double *sums = *(double *const *)options;
    const REAL *g = x->p;
    V s[4] = {{0}};
    int64_t i = begin;
    for (; i + 4 * VL <= end; i += 4 * VL)
        UNROLL(4) for (int k = 0; k < 4; k++) s[k] += LD(g + i + k * VL) * LD(g + i + k * VL);
    for (; i < end; i += VL) {
        V v = LDN(g + i, end - i, 0);
        s[0] += v * v;
    }
    sums[c] = HSUM((s[0] + s[1]) + (s[2] + s[3]));
}

static int F(sum_squares)(int64_t count, const fdl_param *list, double *total, int threads)
{
    int64_t chunks = F(count_chunks)(count, list);
    double *sums = fdl_scratch(FDL_SCRATCH_ROWS, chunks * sizeof(double));
    if (!sums) return FDL_NOMEM;
    F(over_chunks)(count, list, F(square_chunk), &sums, 0.012 * sizeof(REAL), threads);
    *total = 0;
    for (int64_t c = 0; c < chunks; c++) *total += sums[c];
    return FDL_OK;
}

static void F(scale_chunk)(const fdl_param *x, const void *options, int64_t c, int64_t begin,
                           int64_t end)
{
    const REAL factor = *(const double *)options;
    REAL *g = x->p;
    (void)c;
    for (int64_t i = begin; i < end; i += VL)
        STN(g + i, LDN(g + i, end - i, 0) * SPLAT(factor), end - i);
}

static int F(scale)(int64_t count, const fdl_param *list, double factor, int threads)
{
    return F(over_chunks)(count, list, F(scale_chunk), &factor, 0.03 * sizeof(REAL), threads);
}

static void F(clamp_chunk)(const fdl_param *x, const void *options, int64_t c, int64_t begin,
                           int64_t end)
{
    const double *bounds = options;
    const V low = SPLAT(bounds[0]), high = SPLAT(bounds[1]);
    REAL *g = x->p;
    (void)c;
    for (int64_t i = begin; i < end; i += VL) {
        V v = LDN(g + i, end - i, 0);
        v = SEL(v < low, low, v); /* NaN stays */
        STN(g + i, SEL(v > high, high, v), end - i);
    }
}

static int F(clamp)(int64_t count, const fdl_param *list, double low, double high, int threads)
{
    const double bounds[2] = {low, high};
    return F(over_chunks)(count, list, F(clamp_chunk), bounds, 0.03 * sizeof(REAL), threads);
}
