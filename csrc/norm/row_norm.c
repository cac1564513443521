/* row_norm.c: each row of (n, g, c, p), the c p values of a group, normalised; and the gradient.
 *
 *   y  = (x - mean) rstd weight + bias          weight, bias: (g, c); rstd = 1 / sqrt(var + eps)
 *   dx = rstd (u - mean(u) - xhat mean(u xhat)),   u = dy weight,   xhat = (x - mean) rstd
 *   dbias = sum dy,   dweight = sum dy xhat        over n and p
 *
 * Layer norm is g = 1, p = 1; group norm has p pixels; instance norm is c = 1; RMS norm leaves
 * the mean out (`centred` 0: mean is 0 and var the mean square).
 *
 * Idea      a row stays in L1 (a long one in L2) from the statistics to the result; the gradient of
 *           the weight is summed on the way, one row of sums for a block of samples
 * Removes   all trips to memory but the first
 * Leaves    one read (the gradient: two) and one write
 * Requires  C-contiguous; weight and bias may be NULL
 * Checked   against PyTorch in float64; means far larger than the deviations; threads bit for bit
 * Timed     python bench/versus.py norm
 *
 * Few pixels (p < FEW_PIXELS): weights are spread to one per column of a row. Else a channel's
 * pixels are a run with one weight. Short rows go through each step VL at a time (fewer where they
 * would leave L1): their sums over lanes are made together (simd.h), as are roots and quotients.
 */
#define NORM_BLOCKS 64   /* of samples, each with sums of its own: the shape decides, not threads */
#define NORM_BLOCK_ROWS 8
#define NORM_ROWS_BYTES (4 << 10) /* of the rows that go through each step together: of more, the
                                   * next ones no longer arrive meanwhile (measured) */

typedef struct {
    int64_t n, g, c, p;
    const REAL *x, *dy;
    const REAL *weight, *bias;   /* (g, c); spread to (g, c p) if p < FEW_PIXELS          */
    double eps;
    int centred;
    REAL *mean, *var;            /* (n, g); forward: written                              */
    REAL *out;
    int64_t samples;             /* of a block                                            */
    REAL *block_sums;            /* (blocks, 2, g c p): dweight and dbias                 */
    double *run_sums;            /* (n, g c, 2): sums of dy and dy (x - mean) over pixels */
} F(rn);

INLINE F(moments) F(row_moments)(const F(rn) *s, const REAL *x)
{
    const int64_t size = s->c * s->p;
    F(moments) all = {(double)size, 0, 0};
    if (size <= RUN_BLOCK && s->centred) return F(runs_moments)(1, size, 0, x);
    for (int64_t j = 0; j < size; j += RUN_BLOCK) {
        const int64_t q = min64(RUN_BLOCK, size - j);
        double sum, squares;
        if (s->centred) {
            F(moments) block = F(runs_moments)(1, q, 0, x + j);
            all = j ? F(join_moments)(all, block) : block;
        } else {
            F(runs_dots)(1, q, 0, x + j, NULL, 0, &sum, &squares);
            all.squares += squares;
        }
    }
    return all;
}

/* ---- few pixels: a weight for each column ---------------------------------------------------- */

/* *a = sum u, *b = sum u xhat; dweight += dy xhat, dbias += dy */
INLINE void F(row_sums)(int64_t n, const REAL *x, const REAL *dy, REAL mean, REAL rstd,
                        const REAL *w, REAL *dweight, REAL *dbias, double *a, double *b)
{
    V s[2] = {SPLAT(0), SPLAT(0)}, t[2] = {s[0], s[0]};
    int64_t j = 0;
    for (; j + 2 * VL <= n; j += 2 * VL)
        UNROLL(2) for (int k = 0; k < 2; k++) {
            const int64_t at = j + k * VL;
            V xhat = (LD(x + at) - SPLAT(mean)) * SPLAT(rstd), g = LD(dy + at);
            V u = w ? g * LD(w + at) : g;
            KEEP(u);                    /* lest u xhat and g xhat become one product, rounded */
            s[k] += u;
            t[k] += u * xhat;
            ST(dweight + at, LD(dweight + at) + g * xhat);
            ST(dbias + at, LD(dbias + at) + g);
        }
    for (; j < n; j += VL) {
        V xhat = (LDN(x + j, n - j, 0) - SPLAT(mean)) * SPLAT(rstd), g = LDN(dy + j, n - j, 0);
        V u = w ? g * LDN(w + j, n - j, 0) : g;
        KEEP(u);
        s[0] += u;
        t[0] += u * xhat;
        STN(dweight + j, LDN(dweight + j, n - j, 0) + g * xhat, n - j);
        STN(dbias + j, LDN(dbias + j, n - j, 0) + g, n - j);
    }
    *a = HSUM(s[0] + s[1]);
    *b = HSUM(t[0] + t[1]);
}

/* dx = rstd (u - a - xhat b) */
INLINE void F(row_gradient)(int64_t n, const REAL *x, const REAL *dy, REAL mean, REAL rstd,
                            const REAL *w, REAL a, REAL b, REAL *dx)
{
    for (int64_t j = 0; j < n; j += VL) {
        V xhat = (LDN(x + j, n - j, 0) - SPLAT(mean)) * SPLAT(rstd), u = LDN(dy + j, n - j, 0);
        if (w) u *= LDN(w + j, n - j, 0);
        STN(dx + j, (u - SPLAT(a) - xhat * SPLAT(b)) * SPLAT(rstd), n - j);
    }
}

/* Row i, of group k: y = (x - mean) rstd w + b. Without weights: times 1, without biases: plus 0 */
INLINE void F(columns_forward)(const F(rn) *s, int64_t i, int64_t k, REAL mean, REAL rstd)
{
    const int64_t size = s->c * s->p;
    const V m = SPLAT(mean), slope = SPLAT(rstd), one = SPLAT(1), zero = SPLAT(0);
    const REAL *x = s->x + i * size;
    const REAL *w = s->weight ? s->weight + k * size : (const REAL *)&one;
    const REAL *b = s->bias ? s->bias + k * size : (const REAL *)&zero;
    const int64_t w_step = s->weight ? VL : 0, b_step = s->bias ? VL : 0;
    REAL *y = s->out + i * size;
    int64_t left = size;
    for (; left >= VL; left -= VL, x += VL, y += VL, w += w_step, b += b_step)
        ST(y, (LD(x) - m) * slope * LD(w) + LD(b));
    STN(y, (LDN(x, left, 0) - m) * slope * LDN(w, left, 0) + LDN(b, left, 0), left);
}

NOINLINE void F(columns_backward)(const F(rn) *s, int64_t i, REAL *sums)
{
    const int64_t size = s->c * s->p, group = i % s->g * size;
    const REAL *x = s->x + i * size, *dy = s->dy + i * size;
    const REAL *w = s->weight ? s->weight + group : NULL;
    const REAL mean = s->mean[i], rstd = (REAL)(1 / sqrt(s->var[i] + s->eps));
    REAL *dweight = sums + group, *dbias = dweight + s->g * size;
    double a, b;
    if (w) F(row_sums)(size, x, dy, mean, rstd, w, dweight, dbias, &a, &b);
    else F(row_sums)(size, x, dy, mean, rstd, NULL, dweight, dbias, &a, &b);
    a = s->centred ? a / size : 0;
    b /= size;
    if (w) F(row_gradient)(size, x, dy, mean, rstd, w, (REAL)a, (REAL)b, s->out + i * size);
    else F(row_gradient)(size, x, dy, mean, rstd, NULL, (REAL)a, (REAL)b, s->out + i * size);
}

/* ---- many pixels: a weight for each run ------------------------------------------------------ */

NOINLINE void F(planes_forward)(const F(rn) *s, int64_t i, double rstd)
{
    for (int64_t k = 0; k < s->c; k++) {
        const int64_t channel = i % s->g * s->c + k, at = (i * s->c + k) * s->p;
        F(runs_apply)(1, s->p, s->p, s->x + at, NULL, s->mean[i],
                      (REAL)(s->weight ? rstd * s->weight[channel] : rstd),
                      s->bias ? s->bias[channel] : 0, 0, s->out + at);
    }
}

NOINLINE void F(planes_backward)(const F(rn) *s, int64_t i)
{
    const double size = (double)s->c * (double)s->p, rstd = 1 / sqrt(s->var[i] + s->eps);
    const REAL mean = s->mean[i];
    double all = 0, all_dots = 0;
    for (int64_t k = 0; k < s->c; k++) {
        const int64_t at = (i * s->c + k) * s->p;
        double *sums = s->run_sums + 2 * (i * s->c + k), sum, dots;
        const double w = s->weight ? s->weight[i % s->g * s->c + k] : 1;
        sums[0] = sums[1] = 0;
        for (int64_t j = 0; j < s->p; j += RUN_BLOCK) {
            F(runs_dots)(1, min64(RUN_BLOCK, s->p - j), 0, s->x + at + j, s->dy + at + j, mean,
                         &sum, &dots);
            sums[0] += sum;
            sums[1] += dots;
        }
        all += w * sums[0];
        all_dots += w * sums[1];
    }
    const REAL slope = (REAL)(-rstd * rstd * rstd * all_dots / size);
    const REAL shift = (REAL)(s->centred ? -rstd * all / size : 0);
    for (int64_t k = 0; k < s->c; k++) {
        const int64_t at = (i * s->c + k) * s->p;
        const double w = s->weight ? s->weight[i % s->g * s->c + k] : 1;
        F(runs_apply)(1, s->p, s->p, s->x + at, s->dy + at, mean, slope, shift, (REAL)(rstd * w),
                      s->out + at);
    }
}

/* ---- who does what --------------------------------------------------------------------------- */

NOINLINE void F(rows_forward)(const F(rn) *s, int64_t begin, int64_t end)
{
    for (int64_t i = begin; i < end; i++) {
        F(moments) m = F(row_moments)(s, s->x + i * s->c * s->p);
        s->mean[i] = (REAL)m.mean;
        s->var[i] = (REAL)(m.squares / m.count);
        const double rstd = 1 / sqrt(s->var[i] + s->eps);
        if (s->p < FEW_PIXELS) F(columns_forward)(s, i, i % s->g, s->mean[i], (REAL)rstd);
        else F(planes_forward)(s, i, rstd);
    }
}

/* At most VL columns of one group: VL rows at a time */
NOINLINE void F(few_columns_forward)(const F(rn) *s, int64_t begin, int64_t end)
{
    const int64_t size = s->c * s->p;
    const V count = SPLAT(size);
    V t[VL];
    for (int64_t i = begin; i < end; i += VL) {
        const int64_t rows = min64(VL, end - i);
        V mean = SPLAT(0), sum = mean, squares = mean;
        F(load_lanes)(rows, size, s->x + i * size, size, t);
        for (int64_t k = 0; k < size && s->centred; k++) mean += t[k];
        mean /= count;
        for (int64_t k = 0; k < size; k++) {
            t[k] -= mean;
            sum += t[k];
            squares += t[k] * t[k];
        }
        if (s->centred) { /* as in runs_moments */
            const V rest = sum / count;
            squares -= sum * rest;
            sum = rest;
        } else {
            sum = SPLAT(0);
        }
        const V var = squares / count, rstd = SPLAT(1) / VSQRT(var + SPLAT(s->eps));
        STN(s->mean + i, mean + sum, rows);
        STN(s->var + i, var, rows);
        for (int64_t k = 0; k < size; k++) {
            t[k] = (t[k] - sum) * rstd;
            if (s->weight) t[k] *= SPLAT(s->weight[k]);
            if (s->bias) t[k] += SPLAT(s->bias[k]);
        }
        F(store_lanes)(rows, size, t, s->out + i * size, size);
    }
}

/* Rows of which at least four stay in L1, of few pixels: up to VL at a time */
NOINLINE void F(short_rows_forward)(const F(rn) *s, int64_t begin, int64_t end)
{
    const int64_t size = s->c * s->p;
    const int64_t step = min64(VL, NORM_ROWS_BYTES / (size * (int64_t)sizeof(REAL)));
    const V count = SPLAT(size);
    V a[VL], b[VL];
    REAL mean[VL], rstd[VL];
    int64_t group = begin % s->g;
    memset(a, 0, sizeof a);
    memset(b, 0, sizeof b);
    for (int64_t i = begin, rows; i < end; i += rows) {
        const REAL *x = s->x + i * size;
        V centre = SPLAT(0);
        rows = min64(step, end - i);
        if (s->centred) {
            for (int64_t r = 0; r < rows; r++) a[r] = F(runs_sum)(1, size, 0, x + r * size);
            centre = F(lane_sums)(a) / count;
        }
        ST(mean, centre);
        for (int64_t r = 0; r < rows; r++)
            F(runs_dots_lanes)(1, size, 0, x + r * size, NULL, mean[r], a + r, b + r);
        V squares = F(lane_sums)(b);
        if (s->centred) { /* what the rounded mean left out, as in runs_moments */
            V sum = F(lane_sums)(a), rest = sum / count;
            squares -= sum * rest;
            centre += rest;
        }
        const V var = squares / count;
        ST(mean, centre);
        ST(rstd, SPLAT(1) / VSQRT(var + SPLAT(s->eps)));
        STN(s->mean + i, centre, rows);
        STN(s->var + i, var, rows);
        for (int64_t r = 0; r < rows; r++) {
            F(columns_forward)(s, i + r, group, mean[r], rstd[r]);
            group = group + 1 < s->g ? group + 1 : 0;
        }
    }
}

NOINLINE void F(rows_backward)(const F(rn) *s, int64_t begin, int64_t end)
{
    for (int64_t i = begin; i < end; i++) F(planes_backward)(s, i);
}

NOINLINE void F(blocks_backward)(const F(rn) *s, int64_t begin, int64_t end)
{
    const int64_t width = s->g * s->c * s->p;
    for (int64_t block = begin; block < end; block++) {
        REAL *sums = s->block_sums + 2 * block * width;
        memset(sums, 0, 2 * width * sizeof(REAL));
        const int64_t last = min64(s->n, (block + 1) * s->samples) * s->g;
        for (int64_t i = block * s->samples * s->g; i < last; i++)
            F(columns_backward)(s, i, sums);
    }
}

/* values (count) to one for each of p columns */
INLINE const REAL *F(spread_to)(int64_t count, int64_t p, const REAL *values, REAL **scratch)
{
    REAL *columns = *scratch;
    if (!values || p == 1) return values;
    F(spread_values)(count, p, values, columns);
    *scratch += count * p;
    return columns;
}

static int F(row_norm)(int64_t n, int64_t g, int64_t c, int64_t p, const void *x,
                       const void *weight, const void *bias, double eps, int centred, void *y,
                       void *stats, int threads)
{
    const int64_t channels = g * c;
    F(rn) s = {.n = n, .g = g, .c = c, .p = p, .x = x, .weight = weight, .bias = bias,
               .eps = eps, .centred = centred, .mean = stats,
               .var = (REAL *)stats + n * g, .out = y};
    if (n == 0 || channels == 0 || p == 0) return FDL_OK;
    if (p > 1 && p < FEW_PIXELS && (weight || bias)) {
        REAL *scratch = fdl_scratch(FDL_SCRATCH_ROWS, 2 * channels * p * sizeof(REAL));
        if (!scratch) return FDL_NOMEM;
        s.weight = F(spread_to)(channels, p, weight, &scratch);
        s.bias = F(spread_to)(channels, p, bias, &scratch);
    }
    const int parts = fdl_plan(threads, n * g * (13 + 0.05 * sizeof(REAL) * c * p));
    if (g == 1 && c * p <= VL)
        SPLIT(parts, n, VL, F(few_columns_forward)(&s, begin, end));
    else if (c * p * (int64_t)sizeof(REAL) <= NORM_ROWS_BYTES / 4 && p < FEW_PIXELS)
        SPLIT(parts, n * g, 1, F(short_rows_forward)(&s, begin, end));
    else
        SPLIT(parts, n * g, 1, F(rows_forward)(&s, begin, end));
    return FDL_OK;
}

/* The sums of the columns [begin, end) over all blocks, pairwise, then over each channel's p. */
NOINLINE void F(add_blocks)(const F(rn) *s, int64_t blocks, REAL *dweight, REAL *dbias,
                            int64_t begin, int64_t end)
{
    const int64_t width = s->g * s->c * s->p, step = COLUMNS / s->p;
    REAL sums[COLUMNS + VL];
    for (int64_t from = begin, to; from < end; from = to) { /* channels */
        to = min64(end, from + step);
        for (int which = 0; which < 2; which++) {
            REAL *out = which ? dbias : dweight;
            const REAL *columns = s->block_sums + which * width + from * s->p;
            const int64_t w = (to - from) * s->p;
            for (int64_t j = 0; j < w; j += VL) {
                V sum;
                F(sum_columns)(blocks, columns + j, 2 * width, min64(VL, w - j), &sum);
                ST(sums + j, sum);
            }
            for (int64_t k = from; k < to; k++)
                out[k] = (REAL)F(sum_pixels)(s->p, sums + (k - from) * s->p);
        }
    }
}

static int F(row_norm_backward)(int64_t n, int64_t g, int64_t c, int64_t p, const void *dy,
                                const void *x, const void *stats, const void *weight, double eps,
                                int centred, void *dx, void *dweight, void *dbias, int threads)
{
    const int64_t channels = g * c, width = channels * p;
    F(rn) s = {.n = n, .g = g, .c = c, .p = p, .x = x, .dy = dy, .weight = weight, .eps = eps,
               .centred = centred, .mean = (REAL *)stats,
               .var = (REAL *)stats + n * g, .out = dx};
    const int parts = fdl_plan(threads, n * g * (20 + 0.1 * sizeof(REAL) * c * p));
    if (n == 0 || p == 0) {
        memset(dweight, 0, channels * sizeof(REAL));
        memset(dbias, 0, channels * sizeof(REAL));
    }
    if (n == 0 || width == 0) return FDL_OK;

    if (p < FEW_PIXELS) {
        s.samples = max64(ceil_div(n, NORM_BLOCKS), ceil_div(NORM_BLOCK_ROWS, g));
        const int64_t blocks = ceil_div(n, s.samples);
        REAL *scratch = fdl_scratch(FDL_SCRATCH_ROWS, (2 * blocks + 1) * width * sizeof(REAL));
        if (!scratch) return FDL_NOMEM;
        s.block_sums = scratch;
        scratch += 2 * blocks * width;
        s.weight = F(spread_to)(channels, p, weight, &scratch);
        SPLIT(parts, blocks, 1, F(blocks_backward)(&s, begin, end));
        SPLIT(fdl_plan(threads, 0.2 * blocks * width), channels, 1,
              F(add_blocks)(&s, blocks, dweight, dbias, begin, end));
        return FDL_OK;
    }

    s.run_sums = fdl_scratch(FDL_SCRATCH_ROWS, 2 * n * channels * sizeof(double));
    if (!s.run_sums) return FDL_NOMEM;
    SPLIT(parts, n * g, 1, F(rows_backward)(&s, begin, end));
    for (int64_t k = 0; k < channels; k++) {
        double sum = 0, dots = 0;
        for (int64_t i = 0; i < n; i++) {
            const double *sums = s.run_sums + 2 * (i * channels + k);
            sum += sums[0];
            dots += sums[1] / sqrt(s.var[i * g + k / c] + eps);
        }
        ((REAL *)dbias)[k] = (REAL)sum;
        ((REAL *)dweight)[k] = (REAL)dots;
    }
    return FDL_OK;
}
