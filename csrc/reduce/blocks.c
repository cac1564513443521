/* blocks.c: sums, products, extremes and norms over one axis: (outer, n, inner) -> (outer, inner).
 *
 * Idea      a block of 64 rows (256 vectors of a row) is reduced into several independent results,
 *           which are joined pairwise; 16 blocks make a chunk; chunks write partial results, which
 *           are reduced the same way. Along rows the lanes are elements of one row, across rows
 *           they are columns: either way loads are contiguous
 * Removes   the latency of one chain of additions; the error of one: at most 90 additions stand
 *           between an element and the result of its chunk, so errors grow with log n, not n;
 *           NumPy's and the transposing passes for axes in the middle
 * Leaves    memory traffic: one read
 * Requires  rows contiguous (inner > 1) or elements (inner = 1); any stride between them
 * Checked   against math.fsum, NumPy and PyTorch; the bits for 1, 2, 3 and 7 threads
 * Timed     python -m fastdl bench reduce
 */
#define CHUNK_ROWS 1024            /* rows of a chunk; 64 of them are a block                  */
#define CHUNK_STRIP 1024           /* columns of a task: their results stay in L1              */
#define FEW_ELEMENTS 16            /* rows so short that lanes are rows                        */
#define BLOCK_VECTORS 256          /* vectors of a row in a block; 16 blocks are a chunk       */
#define CHUNK_ELEMENTS (16 * BLOCK_VECTORS * VL)

/* ---- what an operation is -------------------------------------------------------------------- */

INLINE REAL F(identity)(const int op)
{
    if (op == FDL_MAX || op == FDL_MIN) return op == FDL_MAX ? -(REAL)INFINITY : (REAL)INFINITY;
    return op == FDL_PROD;
}

/* of an element, before it is joined */
INLINE V F(lifted)(const int op, V x)
{
    return op == FDL_SUM_SQUARES ? x * x : op == FDL_SUM_ABS ? VABS(x) : x;
}

/* NaN if either is */
INLINE V F(joined)(const int op, V a, V b)
{
    if (op == FDL_MAX) return SEL(b != b, b, VMAX(b, a));
    if (op == FDL_MIN) return SEL(b != b, b, VMIN(b, a));
    return op == FDL_PROD ? a * b : a + b;
}

INLINE REAL F(joined_two)(const int op, REAL a, REAL b)
{
    if (op == FDL_MAX) return a > b || a != a ? a : b;
    if (op == FDL_MIN) return a < b || a != a ? a : b;
    return op == FDL_PROD ? a * b : a + b;
}

INLINE REAL F(joined_lanes)(const int op, V v)
{
    REAL t[VL];
    ST(t, v);
    UNROLL(8) for (int w = VL / 2; w > 0; w /= 2)
        UNROLL(16) for (int i = 0; i < w; i++) t[i] = F(joined_two)(op, t[i], t[i + w]);
    return t[0];
}

/* Lane i: v[i]'s lanes joined (simd.h: lane_sums) */
NOINLINE V F(joined_rows)(int op, V v[VL])
{
    if (op != FDL_MAX && op != FDL_MIN && op != FDL_PROD) return F(lane_sums)(v);
    for (int w = VL / 2; w > 0; w /= 2)
        for (int i = 0; i < w; i++) {
            const V a = LOW(v[i], v[i + w]), b = HIGH(v[i], v[i + w]);
            v[i] = op == FDL_MAX   ? F(joined)(FDL_MAX, a, b)
                   : op == FDL_MIN ? F(joined)(FDL_MIN, a, b)
                                   : a * b;
        }
    return v[0];
}

/* ---- along a row ----------------------------------------------------------------------------- */

/* n <= BLOCK_VECTORS VL elements */
INLINE V F(row_block)(const int op, int64_t n, const REAL *x)
{
    V r[4];
    UNROLL(4) for (int k = 0; k < 4; k++) r[k] = SPLAT(F(identity)(op));
    for (; n >= 4 * VL; n -= 4 * VL, x += 4 * VL)
        UNROLL(4) for (int k = 0; k < 4; k++)
            r[k] = F(joined)(op, r[k], F(lifted)(op, LD(x + k * VL)));
    UNROLL(4) for (int k = 0; k < 4; k++) {
        if (n <= k * VL) break;
        r[k] = F(joined)(op, r[k], F(lifted)(op, LDN(x + k * VL, n - k * VL, F(identity)(op))));
    }
    return F(joined)(op, F(joined)(op, r[0], r[2]), F(joined)(op, r[1], r[3]));
}

/* n <= CHUNK_ELEMENTS; in lanes */
INLINE V F(row_chunk)(const int op, int64_t n, const REAL *x)
{
    V sum = SPLAT(0);
    for (int64_t i = 0; i == 0 || i < n; i += BLOCK_VECTORS * VL) {
        V block = F(row_block)(op, min64(n - i, BLOCK_VECTORS * VL), x + i);
        sum = i ? F(joined)(op, sum, block) : block;
    }
    return sum;
}

/* VL rows of n <= FEW_ELEMENTS at once, of which `live` exist */
INLINE V F(few_elements)(const int op, int64_t n, const REAL *x, int64_t row, int64_t live)
{
    V sum = SPLAT(F(identity)(op));
    for (int64_t k = 0; k < n; k++) {
        REAL t[VL];
        UNROLL(16) for (int i = 0; i < VL; i++) /* lanes without a row repeat the first */
            t[i] = x[(i < live ? i : 0) * row + k];
        sum = F(joined)(op, sum, F(lifted)(op, LD(t)));
    }
    return sum;
}

/* ---- across rows ----------------------------------------------------------------------------- */

/* r[0, width) joins n <= 8 rows of x, or if `first` becomes them. r has room for whole vectors. */
INLINE void F(eight_rows)(const int op, int64_t n, const REAL *x, int64_t row, int64_t width,
                          REAL *r, int first)
{
    int64_t j = 0;
    for (; n == 8 && j + VL <= width; j += VL) {
        V v[8];
        UNROLL(8) for (int k = 0; k < 8; k++) v[k] = F(lifted)(op, LD(x + k * row + j));
        UNROLL(4) for (int w = 4; w > 0; w /= 2)
            UNROLL(4) for (int k = 0; k < w; k++) v[k] = F(joined)(op, v[k], v[k + w]);
        ST(r + j, first ? v[0] : F(joined)(op, LD(r + j), v[0]));
    }
    for (; j < width; j += VL) { /* fewer rows, or the last columns */
        V v = first ? SPLAT(F(identity)(op)) : LD(r + j);
        for (int64_t k = 0; k < n; k++)
            v = F(joined)(op, v, F(lifted)(op, LDN(x + k * row + j, width - j, 0)));
        ST(r + j, v);
    }
}

/* y[0, width) from n <= CHUNK_ROWS rows */
INLINE void F(column_chunk)(const int op, int64_t n, const REAL *x, int64_t row, int64_t width,
                            REAL *y, REAL divisor)
{
    REAL sum[CHUNK_STRIP + VL], block[CHUNK_STRIP + VL];
    for (int64_t i = 0; i < n; i += 64) {
        REAL *r = i == 0 ? sum : block;
        int64_t end = min64(i + 64, n);
        for (int64_t k = i; k < end; k += 8)
            F(eight_rows)(op, min64(end - k, 8), x + k * row, row, width, r, k == i);
        if (i > 0)
            for (int64_t j = 0; j < width; j += VL)
                ST(sum + j, F(joined)(op, LD(sum + j), LD(block + j)));
    }
    for (int64_t j = 0; j < width; j += VL) STN(y + j, LD(sum + j) / SPLAT(divisor), width - j);
}

/* ---- tasks ----------------------------------------------------------------------------------- */

/* The pieces of a problem: (outer, chunks, strips), each writing its part of y (outer, chunks,
 * inner). They depend on the shape alone. */
typedef struct F(reduce_cut) {
    int64_t chunk, chunks, strips;
} F(reduce_cut);

INLINE F(reduce_cut) F(reduce_cut_of)(const fdl_reduce *g)
{
    int64_t chunk = g->inner == 1 ? CHUNK_ELEMENTS : CHUNK_ROWS;
    return (F(reduce_cut)){chunk, ceil_div(g->n, chunk), ceil_div(g->inner, CHUNK_STRIP)};
}

/* Rows, or chunks of them: VL at a time, whose lanes are joined together */
INLINE void F(row_tasks)(const int op, const fdl_reduce *g, const REAL *x, REAL *y, REAL divisor,
                         int64_t begin, int64_t end)
{
    const int64_t chunks = F(reduce_cut_of)(g).chunks;
    V v[VL];
    memset(v, 0, sizeof v);
    for (int64_t task = begin; task < end; task += VL) {
        const int64_t rows = min64(VL, end - task);
        if (g->n <= FEW_ELEMENTS) {
            v[0] = F(few_elements)(op, g->n, x + task * g->x_outer, g->x_outer, rows);
        } else {
            for (int64_t k = 0; k < rows; k++) {
                const int64_t outer = chunks > 1 ? (task + k) / chunks : task + k;
                const int64_t first = (task + k - outer * chunks) * CHUNK_ELEMENTS;
                v[k] = F(row_chunk)(op, min64(g->n - first, CHUNK_ELEMENTS),
                                    x + outer * g->x_outer + first);
            }
            v[0] = F(joined_rows)(op, v);
        }
        STN(y + task, v[0] / SPLAT(divisor), rows);
    }
}

INLINE void F(reduce_tasks)(const int op, const fdl_reduce *g, const REAL *x, REAL *y,
                            REAL divisor, int64_t begin, int64_t end)
{
    F(reduce_cut) p = F(reduce_cut_of)(g);
    if (g->inner == 1) {
        F(row_tasks)(op, g, x, y, divisor, begin, end);
        return;
    }
    for (int64_t task = begin; task < end; task++) { /* (outer, chunks, strips) */
        const int64_t outer = task / (p.chunks * p.strips), j = task % p.strips * CHUNK_STRIP;
        const int64_t first = task / p.strips % p.chunks * p.chunk;
        F(column_chunk)(op, min64(g->n - first, p.chunk),
                        x + outer * g->x_outer + first * g->x_n + j, g->x_n,
                        min64(g->inner - j, CHUNK_STRIP), y + task / p.strips * g->inner + j,
                        divisor);
    }
}

#define REDUCE_TASKS(name, op)                                                                \
    NOINLINE void F(name)(const fdl_reduce *g, const REAL *x, REAL *y, REAL divisor,           \
                          int64_t begin, int64_t end)                                          \
    {                                                                                          \
        F(reduce_tasks)(op, g, x, y, divisor, begin, end);                                    \
    }
REDUCE_TASKS(sum_tasks, FDL_SUM)
REDUCE_TASKS(prod_tasks, FDL_PROD)
REDUCE_TASKS(max_tasks, FDL_MAX)
REDUCE_TASKS(min_tasks, FDL_MIN)
REDUCE_TASKS(sum_abs_tasks, FDL_SUM_ABS)
REDUCE_TASKS(sum_squares_tasks, FDL_SUM_SQUARES)
#undef REDUCE_TASKS

/* partial: room for the partial results of this problem and of those that reduce them */
static void F(reduce_with)(int op, const fdl_reduce *g, const REAL *x, REAL *y, REAL divisor,
                           REAL *partial, int threads)
{
    static void (*const pieces[])(const fdl_reduce *, const REAL *, REAL *, REAL, int64_t,
                                  int64_t) = {
        [FDL_SUM] = F(sum_tasks),         [FDL_PROD] = F(prod_tasks),
        [FDL_MAX] = F(max_tasks),         [FDL_MIN] = F(min_tasks),
        [FDL_SUM_ABS] = F(sum_abs_tasks), [FDL_SUM_SQUARES] = F(sum_squares_tasks)};
    F(reduce_cut) p = F(reduce_cut_of)(g);
    int64_t tasks = g->outer * p.chunks * p.strips;
    double work = g->outer * (5 + 0.012 * sizeof(REAL) * g->n * g->inner);
    int parts = fdl_plan(threads, work);
    if (p.chunks == 1) {
        SPLIT(parts, tasks, 1, pieces[op](g, x, y, divisor, begin, end));
        return;
    }
    SPLIT(parts, tasks, 1, pieces[op](g, x, partial, 1, begin, end));
    fdl_reduce rest = {g->outer, p.chunks, g->inner, p.chunks * g->inner, g->inner};
    F(reduce_with)(op >= FDL_SUM_ABS ? FDL_SUM : op, &rest, partial, y, divisor,
                   partial + g->outer * p.chunks * g->inner, threads);
}

static int F(reduce)(int op, const fdl_reduce *g, const void *x, void *y, double divisor,
                     int threads)
{
    F(reduce_cut) p = F(reduce_cut_of)(g);
    REAL *partial = NULL;
    if (g->outer == 0 || g->inner == 0) return FDL_OK;
    if (p.chunks > 1) { /* each level has at most 1/1024 of the one before, or is the last */
        partial = fdl_scratch(FDL_SCRATCH_REDUCE, g->outer * (p.chunks + p.chunks / 512 + 2) *
                                                      g->inner * sizeof(REAL));
        if (!partial) return FDL_NOMEM;
    }
    F(reduce_with)(op, g, x, y, (REAL)divisor, partial, threads);
    return FDL_OK;
}
