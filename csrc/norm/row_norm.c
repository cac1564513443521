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
 * pixels are a run with one weight. Rows of few columns are turned, so that every lane has a row of
 * its own (softmax.c): sums over lanes would be most of the work.
 */
#define NORM_BLOCKS 64   /* of samples, each with sums of its own: the shape decides, not threads */
#define NORM_BLOCK_ROWS 8
#define NORM_COLUMNS 48  /* of rows that are turned: beyond, two sums over lanes cost less        */

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

/* y = (x - mean) rstd w + b over n columns; w, b may be NULL */
INLINE void F(row_apply)(int64_t n, const REAL *x, REAL mean, REAL rstd, const REAL *w,
                         const REAL *b, REAL *y)
{
    for (int64_t j = 0; j < n; j += VL) {
        V v = (LDN(x + j, n - j, 0) - SPLAT(mean)) * SPLAT(rstd);
        if (w) v *= LDN(w + j, n - j, 0);
        if (b) v += LDN(b + j, n - j, 0);
        STN(y + j, v, n - j);
    }
}

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

NOINLINE void F(columns_forward)(const F(rn) *s, int64_t i, REAL rstd)
{
    const int64_t size = s->c * s->p, group = i % s->g * size;
    const REAL *x = s->x + i * size;
    const REAL *w = s->weight ? s->weight + group : NULL, *b = s->bias ? s->bias + group : NULL;
    REAL *y = s->out + i * size;
    if (w && b) F(row_apply)(size, x, s->mean[i], rstd, w, b, y);
    else if (w) F(row_apply)(size, x, s->mean[i], rstd, w, NULL, y);
    else if (b) F(row_apply)(size, x, s->mean[i], rstd, NULL, b, y);
    else F(row_apply)(size, x, s->mean[i], rstd, NULL, NULL, y);
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
        if (s->p < FEW_PIXELS) F(columns_forward)(s, i, (REAL)rstd);
        else F(planes_forward)(s, i, rstd);
    }
}

/* g = 1, at most NORM_COLUMNS columns: VL rows at a time */
NOINLINE void F(rows_forward_few)(const F(rn) *s, int64_t begin, int64_t end)
{
    const int64_t size = s->c * s->p;
    const V count = SPLAT(size);
    REAL t[NORM_COLUMNS * VL];
    for (int64_t i = begin; i < end; i += VL) {
        V mean = SPLAT(0), sum = mean, squares = mean;
        F(load_columns)(end - i, size, s->x + i * size, t);
        V more = mean;
        for (int64_t k = 0; k < size && s->centred; k += 2) {
            mean += LD(t + k * VL);
            if (k + 1 < size) more += LD(t + (k + 1) * VL);
        }
        mean = (mean + more) / count;
        for (int64_t k = 0; k < size; k++) {
            V d = LD(t + k * VL) - mean;
            sum += d;
            squares += d * d;
        }
        if (s->centred) { /* what the rounded mean left out, as in runs_moments */
            more = sum / count;
            squares -= sum * more;
            mean += more;
        }
        V var = squares / count, rstd = SPLAT(1) / VSQRT(var + SPLAT(s->eps));
        STN(s->mean + i, mean, end - i);
        STN(s->var + i, var, end - i);
        for (int64_t k = 0; k < size; k++) {
            V v = (LD(t + k * VL) - mean) * rstd;
            if (s->weight) v *= SPLAT(s->weight[k]);
            if (s->bias) v += SPLAT(s->bias[k]);
            ST(t + k * VL, v);
        }
        F(store_columns)(end - i, size, t, s->out + i * size);
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
    const int parts = fdl_plan(threads, n * g * (20 + 0.06 * sizeof(REAL) * c * p));
    if (g == 1 && c * p <= NORM_COLUMNS && p < FEW_PIXELS)
        SPLIT(parts, n, VL, F(rows_forward_few)(&s, begin, end));
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
