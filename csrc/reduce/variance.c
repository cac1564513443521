/* variance.c: sums of squared deviations from the mean, and the mean: (outer, n, inner).
 *
 * T. Chan, G. Golub, R. LeVeque: Updating formulae and a pairwise algorithm for computing sample
 * variances (1979).
 *
 * Idea      a block is read twice while it is in L1: for its mean, then for the squares of the
 *           deviations from that. Blocks (counts n and m, means a and b, squares s and t) join by
 *              mean = a + (b - a) m / (n + m),  squares = s + t + (b - a)^2 n m / (n + m)
 * Removes   the second trip to memory, without the cancellation of sum(x^2) - n mean^2
 * Leaves    memory traffic: one read
 * Requires  as blocks.c
 * Checked   against NumPy in float64, also for a mean 10^6 times the deviation
 * Timed     python -m fastdl bench reduce
 */
enum { F(VARIANCE_ROWS) = 64, F(VARIANCE_STRIP) = 16 * VL }; /* 64 KB: a block across rows */

/* (count, mean, squares) joined by those of a block; in double, there are few */
typedef struct F(deviations) {
    double count, mean, squares;
} F(deviations);

INLINE void F(join_deviations)(F(deviations) *to, F(deviations) block)
{
    double count = to->count + block.count, delta = block.mean - to->mean;
    to->mean += delta * (block.count / count);
    to->squares += block.squares + delta * delta * (to->count * block.count / count);
    to->count = count;
}

INLINE F(deviations) F(block_deviations)(int64_t n, const REAL *x)
{
    REAL mean = F(joined_lanes)(FDL_SUM, F(row_block)(FDL_SUM, n, x)) / n;
    V r[4], rest = SPLAT(0); /* what the mean's rounding leaves: sum of deviations */
    int64_t i = 0;
    UNROLL(4) for (int k = 0; k < 4; k++) r[k] = SPLAT(0);
    for (; i + 4 * VL <= n; i += 4 * VL)
        UNROLL(4) for (int k = 0; k < 4; k++) {
            V d = LD(x + i + k * VL) - SPLAT(mean);
            r[k] += d * d;
            rest += d;
        }
    for (; i < n; i += VL) {
        V d = LDN(x + i, n - i, mean) - SPLAT(mean);
        r[0] += d * d;
        rest += d;
    }
    double off = (double)HSUM(rest) / n;
    double squares = HSUM((r[0] + r[1]) + (r[2] + r[3])) - off * off * n;
    return (F(deviations)){n, mean + off, squares < 0 ? 0 : squares}; /* by rounding */
}

/* width <= VARIANCE_STRIP columns of n <= VARIANCE_ROWS rows: their means and squares */
INLINE void F(block_deviations_across)(int64_t n, const REAL *x, int64_t row, int64_t width,
                                       REAL *means, REAL *squares)
{
    for (int64_t j = 0; j < width; j += VL) {
        V sum = SPLAT(0), square = SPLAT(0), rest = SPLAT(0);
        for (int64_t i = 0; i < n; i++) sum += LDN(x + i * row + j, width - j, 0);
        V mean = sum / SPLAT(n);
        for (int64_t i = 0; i < n; i++) {
            V d = LDN(x + i * row + j, width - j, 0) - mean;
            square += d * d;
            rest += d;
        }
        rest = rest / SPLAT(n);
        square -= rest * rest * SPLAT(n);
        ST(means + j, mean + rest);
        ST(squares + j, SEL(square < SPLAT(0), SPLAT(0), square));
    }
}

NOINLINE void F(variance_rows)(const fdl_reduce *g, const REAL *x, double divisor, REAL *variance,
                               REAL *mean, int64_t begin, int64_t end)
{
    for (int64_t o = begin; o < end; o++) {
        const REAL *from = x + o * g->x_outer;
        F(deviations) all = F(block_deviations)(min64(g->n, BLOCK_VECTORS * VL), from);
        for (int64_t i = BLOCK_VECTORS * VL; i < g->n; i += BLOCK_VECTORS * VL)
            F(join_deviations)(&all,
                               F(block_deviations)(min64(g->n - i, BLOCK_VECTORS * VL), from + i));
        variance[o] = (REAL)(all.squares / divisor);
        mean[o] = (REAL)all.mean;
    }
}

/* the moments of blocks [begin, end) of one long row */
NOINLINE void F(variance_blocks)(const fdl_reduce *g, const REAL *x, F(deviations) *blocks,
                                 int64_t begin, int64_t end)
{
    const int64_t block = BLOCK_VECTORS * VL;
    for (int64_t b = begin; b < end; b++)
        blocks[b] = F(block_deviations)(min64(g->n - b * block, block), x + b * block);
}

/* tasks: (outer, strips of columns) */
NOINLINE void F(variance_strips)(const fdl_reduce *g, const REAL *x, double divisor,
                                 REAL *variance, REAL *mean, int64_t begin, int64_t end)
{
    int64_t strips = ceil_div(g->inner, F(VARIANCE_STRIP));
    for (int64_t task = begin; task < end; task++) {
        REAL means[F(VARIANCE_STRIP)], squares[F(VARIANCE_STRIP)];
        F(deviations) all[F(VARIANCE_STRIP)] = {{0, 0, 0}};
        int64_t o = task / strips, j = task % strips * F(VARIANCE_STRIP);
        int64_t width = min64(g->inner - j, F(VARIANCE_STRIP));
        for (int64_t i = 0; i < g->n; i += F(VARIANCE_ROWS)) {
            int64_t n = min64(g->n - i, F(VARIANCE_ROWS));
            const REAL *from = x + o * g->x_outer + i * g->x_n + j;
            F(block_deviations_across)(n, from, g->x_n, width, means, squares);
            for (int64_t c = 0; c < width; c++) {
                F(deviations) block = {n, means[c], squares[c]};
                F(join_deviations)(&all[c], block);
            }
        }
        for (int64_t c = 0; c < width; c++) {
            variance[o * g->inner + j + c] = (REAL)(all[c].squares / divisor);
            mean[o * g->inner + j + c] = (REAL)all[c].mean;
        }
    }
}

static int F(variance)(const fdl_reduce *g, const void *x, double divisor, void *variance,
                       void *mean, int threads)
{
    int parts = fdl_plan(threads, 0.04 * sizeof(REAL) * g->outer * g->n * g->inner);
    int64_t blocks = ceil_div(g->n, BLOCK_VECTORS * VL);
    if (g->inner > 1) {
        SPLIT(parts, g->outer * ceil_div(g->inner, F(VARIANCE_STRIP)), 1,
              F(variance_strips)(g, x, divisor, variance, mean, begin, end));
    } else if (g->outer > 1 || blocks == 1) {
        SPLIT(parts, g->outer, 1, F(variance_rows)(g, x, divisor, variance, mean, begin, end));
    } else {
        F(deviations) *m = fdl_scratch(FDL_SCRATCH_REDUCE, blocks * sizeof *m), all;
        if (!m) return FDL_NOMEM;
        SPLIT(parts, blocks, 1, F(variance_blocks)(g, x, m, begin, end));
        all = m[0];
        for (int64_t b = 1; b < blocks; b++) F(join_deviations)(&all, m[b]);
        *(REAL *)variance = (REAL)(all.squares / divisor);
        *(REAL *)mean = (REAL)all.mean;
    }
    return FDL_OK;
}
