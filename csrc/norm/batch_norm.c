/* batch_norm.c: each channel of (n, c, p) normalised over its m = n p values, and the gradient.
 *
 *   y       = (x - mean) rstd weight + bias                        rstd = 1 / sqrt(var + eps)
 *   dbias   = sum dy             dweight = rstd sum dy (x - mean)
 *   dx      = rstd weight (dy - dbias / m - (x - mean) rstd dweight / m)
 *
 * Idea      a thread takes a few channels at a time, so few that they stay in its L2 between the
 *           sweeps: statistics, then result. A channel's values are summed piece by piece, a piece
 *           twice while it is in L1: its mean, then the deviations from it
 * Removes   all trips to memory but the first; the cancellation of sum x^2 - (sum x)^2 / m
 * Leaves    one read (the gradient: two) and one write
 * Requires  C-contiguous; weight and bias may be NULL
 * Checked   against PyTorch in float64; means far larger than the deviations; threads bit for bit
 * Timed     python bench/versus.py norm
 *
 * Pieces depend on the shape alone and are combined in order, so it does not matter for the bits
 * who sums them: where there are too few channels to go round, threads share the pieces of all
 * channels instead, at the price of a second trip to memory.
 *
 * Few pixels (p < FEW_PIXELS) would leave lanes idle, and a channel's sums too little to overlap.
 * There a sample's channels are columns, c p of them, next to each other: each is summed over the
 * samples, then the p sums of a channel. With 16 samples that takes half the time at 4x4, two
 * thirds at 8x8, and as long at 9x9.
 */
#define FEW_PIXELS 65
#define COLUMNS 256                 /* columns that are summed at a time                 */
#define COLUMN_SAMPLES 256          /* samples of a piece there                          */
#define CHANNEL_BYTES (512 << 10)   /* of a few channels, which are to stay in L2        */
#define MOST_CHANNELS 256

typedef struct {
    int64_t n, c, p;             /* shape of x, dy and out                               */
    int64_t samples, cuts;       /* a piece: some samples, or one cut into so many parts */
    int64_t pieces;
    const REAL *x, *dy;          /* dy NULL: forward                                     */
    const REAL *weight, *bias;
    double eps;
    REAL *mean, *var;            /* forward: written                                     */
    REAL *dweight, *dbias;
    REAL *out;                   /* (x - mean) slope + shift + dy scale                  */
    REAL *slope, *shift, *scale;
} F(bn);

/* where piece k of channel 0 begins, its number of samples and of pixels */
typedef struct {
    int64_t first, samples, pixels;
} F(bn_piece);

INLINE F(bn_piece) F(piece_of)(const F(bn) *s, int64_t k)
{
    if (s->cuts > 1) {
        int64_t sample = k / s->cuts, pixel = k % s->cuts * RUN_BLOCK;
        return (F(bn_piece)){sample * s->c * s->p + pixel, 1, min64(RUN_BLOCK, s->p - pixel)};
    }
    int64_t sample = k * s->samples;
    return (F(bn_piece)){sample * s->c * s->p, min64(s->samples, s->n - sample), s->p};
}

INLINE void F(cut_channels)(F(bn) *s)
{
    s->cuts = s->p > RUN_BLOCK ? ceil_div(s->p, RUN_BLOCK) : 1;
    s->samples = s->p < FEW_PIXELS ? COLUMN_SAMPLES : max64(1, RUN_BLOCK / s->p);
    s->pieces = s->cuts > 1 ? s->n * s->cuts : ceil_div(s->n, s->samples);
}

/* ---- few pixels: columns --------------------------------------------------------------------- */

/* columns[i] of the w = channels * p columns take the value of their channel */
INLINE void F(spread_values)(int64_t channels, int64_t p, const REAL *values, REAL *columns)
{
    for (int64_t i = 0; i < channels; i++)
        for (int64_t j = 0; j < p; j++) columns[i * p + j] = values[i];
}

NOINLINE double F(sum_pixels)(int64_t p, const REAL *columns)
{
    REAL few = 0;
    V sum = SPLAT(0);
    if (p < VL / 2) {
        for (int64_t j = 0; j < p; j++) few += columns[j];
        return few;
    }
    for (int64_t j = 0; j < p; j += VL) sum += LDN(columns + j, p - j, 0);
    return HSUM(sum);
}

/* sums over the samples: of x where centre is NULL; else as runs_dots, u to a and u (x - centre)
 * to b */
INLINE void F(columns_sums)(int64_t samples, int64_t w, int64_t pitch, const REAL *x,
                            const REAL *dy, const REAL *centre, REAL *a, REAL *b)
{
    for (int64_t j = 0; j < w; j += 4 * VL) {
        V s[4] = {SPLAT(0), SPLAT(0), SPLAT(0), SPLAT(0)}, t[4] = {s[0], s[0], s[0], s[0]};
        V m[4] = {s[0], s[0], s[0], s[0]};
        if (centre)
            UNROLL(4) for (int u = 0; u < 4; u++) m[u] = LD(centre + j + u * VL);
        for (int64_t i = 0; i < samples; i++)
            UNROLL(4) for (int u = 0; u < 4; u++) {
                int64_t at = i * pitch + j + u * VL, live = w - j - u * VL;
                V d = LDN(x + at, live, 0) - m[u], v = dy ? LDN(dy + at, live, 0) : d;
                s[u] += v;
                if (centre) t[u] += v * d;
            }
        UNROLL(4) for (int u = 0; u < 4; u++) {
            ST(a + j + u * VL, s[u]);
            if (centre) ST(b + j + u * VL, t[u]);
        }
    }
}

NOINLINE void F(columns_reduce)(const F(bn) *s, F(bn_piece) piece, int64_t begin, int64_t end,
                                F(moments) *out)
{
    REAL centre[COLUMNS + 4 * VL], a[COLUMNS + 4 * VL], b[COLUMNS + 4 * VL];
    const int64_t p = s->p, pitch = s->c * p, channels = end - begin, w = channels * p;
    const REAL *x = s->x + piece.first + begin * p;
    const double count = (double)piece.samples * (double)p;
    REAL means[COLUMNS];
    if (s->dy) {
        F(spread_values)(channels, p, s->mean + begin, centre);
        F(columns_sums)(piece.samples, w, pitch, x, s->dy + piece.first + begin * p, centre, a, b);
        for (int64_t i = 0; i < channels; i++)
            out[i] = (F(moments)){count, F(sum_pixels)(p, a + i * p), F(sum_pixels)(p, b + i * p)};
        return;
    }
    F(columns_sums)(piece.samples, w, pitch, x, NULL, NULL, a, NULL);
    for (int64_t i = 0; i < channels; i++) means[i] = (REAL)(F(sum_pixels)(p, a + i * p) / count);
    F(spread_values)(channels, p, means, centre);
    F(columns_sums)(piece.samples, w, pitch, x, NULL, centre, a, b);
    for (int64_t i = 0; i < channels; i++) {
        double rest = F(sum_pixels)(p, a + i * p), squares = F(sum_pixels)(p, b + i * p);
        out[i] = (F(moments)){count, means[i] + rest / count, squares - rest * rest / count};
    }
}

NOINLINE void F(columns_apply)(const F(bn) *s, F(bn_piece) piece, int64_t begin, int64_t end)
{
    REAL centre[COLUMNS + VL], slope[COLUMNS + VL], shift[COLUMNS + VL], scale[COLUMNS + VL];
    const int64_t p = s->p, w = (end - begin) * p;
    F(spread_values)(end - begin, p, s->mean + begin, centre);
    F(spread_values)(end - begin, p, s->slope + begin, slope);
    F(spread_values)(end - begin, p, s->shift + begin, shift);
    if (s->dy) F(spread_values)(end - begin, p, s->scale + begin, scale);
    for (int64_t i = 0; i < piece.samples; i++) {
        int64_t at = piece.first + i * s->c * p + begin * p;
        const REAL *x = s->x + at, *dy = s->dy ? s->dy + at : NULL;
        REAL *out = s->out + at;
        if (dy)
            for (int64_t j = 0; j < w; j += VL)
                STN(out + j,
                    (LDN(x + j, w - j, 0) - LD(centre + j)) * LD(slope + j) + LD(shift + j) +
                        LDN(dy + j, w - j, 0) * LD(scale + j),
                    w - j);
        else
            for (int64_t j = 0; j < w; j += VL)
                STN(out + j,
                    (LDN(x + j, w - j, 0) - LD(centre + j)) * LD(slope + j) + LD(shift + j),
                    w - j);
    }
}

/* ---- a piece of the channels [begin, end) ---------------------------------------------------- */

/* Forward: moments. Backward: sums of dy and dy (x - mean), in the place of mean and squares. */
NOINLINE void F(channels_reduce)(const F(bn) *s, int64_t k, int64_t begin, int64_t end,
                                 F(moments) *out)
{
    const F(bn_piece) piece = F(piece_of)(s, k);
    const int64_t p = s->p, pitch = s->c * p, step = COLUMNS / min64(p, COLUMNS);
    if (p < FEW_PIXELS) {
        for (int64_t i = begin; i < end; i += step)
            F(columns_reduce)(s, piece, i, min64(end, i + step), out + (i - begin));
        return;
    }
    for (int64_t i = begin; i < end; i++, out++) {
        const REAL *x = s->x + piece.first + i * p;
        if (s->dy)
            F(runs_dots)(piece.samples, piece.pixels, pitch, x, s->dy + piece.first + i * p,
                         s->mean[i], &out->mean, &out->squares);
        else
            *out = F(runs_moments)(piece.samples, piece.pixels, pitch, x);
    }
}

NOINLINE void F(channels_apply)(const F(bn) *s, int64_t k, int64_t begin, int64_t end)
{
    const F(bn_piece) piece = F(piece_of)(s, k);
    const int64_t p = s->p, pitch = s->c * p, step = COLUMNS / min64(p, COLUMNS);
    if (p < FEW_PIXELS) {
        for (int64_t i = begin; i < end; i += step)
            F(columns_apply)(s, piece, i, min64(end, i + step));
        return;
    }
    for (int64_t i = begin; i < end; i++) {
        const int64_t at = piece.first + i * p;
        if (s->dy)
            F(runs_apply)(piece.samples, piece.pixels, pitch, s->x + at, s->dy + at, s->mean[i],
                          s->slope[i], s->shift[i], s->scale[i], s->out + at);
        else
            F(runs_apply)(piece.samples, piece.pixels, pitch, s->x + at, NULL, s->mean[i],
                          s->slope[i], s->shift[i], 0, s->out + at);
    }
}

INLINE void F(channels_join)(const F(bn) *s, F(moments) *all, const F(moments) *piece)
{
    if (s->dy) {
        all->mean += piece->mean;
        all->squares += piece->squares;
    } else {
        *all = F(join_moments)(*all, *piece);
    }
}

/* ---- sums to coefficients -------------------------------------------------------------------- */

INLINE void F(forward_coefficients)(const F(bn) *s, int64_t i)
{
    double slope = 1 / sqrt(s->var[i] + s->eps);
    s->slope[i] = (REAL)(s->weight ? slope * s->weight[i] : slope);
    s->shift[i] = s->bias ? s->bias[i] : 0;
}

NOINLINE void F(channels_finish)(const F(bn) *s, int64_t begin, int64_t end,
                                 const F(moments) *sums)
{
    const double m = (double)s->n * (double)s->p;
    for (int64_t i = begin; i < end; i++, sums++) {
        if (!s->dy) {
            s->mean[i] = (REAL)sums->mean;
            s->var[i] = (REAL)(sums->squares / m);
            F(forward_coefficients)(s, i);
            continue;
        }
        double rstd = 1 / sqrt(s->var[i] + s->eps), dbias = sums->mean;
        double dweight = rstd * sums->squares, scale = s->weight ? rstd * s->weight[i] : rstd;
        s->dbias[i] = (REAL)dbias;
        s->dweight[i] = (REAL)dweight;
        s->scale[i] = (REAL)scale;
        s->slope[i] = (REAL)(-scale * rstd * dweight / m);
        s->shift[i] = (REAL)(-scale * dbias / m);
    }
}

/* ---- who does what --------------------------------------------------------------------------- */

/* all of it for the channels [begin, end), some of them at a time */
NOINLINE void F(channels_range)(const F(bn) *s, int64_t begin, int64_t end)
{
    const int64_t bytes = s->n * s->p * (int64_t)sizeof(REAL) * (s->dy ? 2 : 1);
    const int64_t step = max64(1, min64(MOST_CHANNELS, CHANNEL_BYTES / bytes));
    F(moments) sums[MOST_CHANNELS], piece[MOST_CHANNELS];
    for (int64_t from = begin, to; from < end; from = to) {
        to = min64(end, from + step);
        F(channels_reduce)(s, 0, from, to, sums);
        for (int64_t k = 1; k < s->pieces; k++) {
            F(channels_reduce)(s, k, from, to, piece);
            for (int64_t i = 0; i < to - from; i++) F(channels_join)(s, sums + i, piece + i);
        }
        F(channels_finish)(s, from, to, sums);
        for (int64_t k = 0; k < s->pieces; k++) F(channels_apply)(s, k, from, to);
    }
}

NOINLINE void F(reduce_pieces)(const F(bn) *s, F(moments) *sums, int64_t begin, int64_t end)
{
    for (int64_t k = begin; k < end; k++) F(channels_reduce)(s, k, 0, s->c, sums + k * s->c);
}

NOINLINE void F(apply_pieces)(const F(bn) *s, int64_t begin, int64_t end)
{
    for (int64_t k = begin; k < end; k++) F(channels_apply)(s, k, 0, s->c);
}

static int F(channels_run)(F(bn) *s, int statistics, int threads)
{
    const double work = 0.085 * sizeof(REAL) * s->n * s->c * s->p * (s->dy ? 2 : 1);
    const int parts = fdl_plan(threads, work);
    F(cut_channels)(s);
    const int by_piece = parts > 1 && s->c < 8 * parts;
    size_t sums_bytes = (by_piece ? s->pieces * s->c : 0) * sizeof(F(moments));
    char *scratch = fdl_scratch(FDL_SCRATCH_ROWS, sums_bytes + 3 * s->c * sizeof(REAL));
    if (!scratch) return FDL_NOMEM;
    F(moments) *sums = (F(moments) *)scratch;
    s->slope = (REAL *)(scratch + sums_bytes);
    s->shift = s->slope + s->c;
    s->scale = s->shift + s->c;
    if (!statistics) {
        for (int64_t i = 0; i < s->c; i++) F(forward_coefficients)(s, i);
        SPLIT(parts, s->pieces, 1, F(apply_pieces)(s, begin, end));
        return FDL_OK;
    }
    if (!by_piece) {
        SPLIT(parts, s->c, 1, F(channels_range)(s, begin, end));
        return FDL_OK;
    }
    SPLIT(parts, s->pieces, 1, F(reduce_pieces)(s, sums, begin, end));
    for (int64_t k = 1; k < s->pieces; k++)
        for (int64_t i = 0; i < s->c; i++) F(channels_join)(s, sums + i, sums + k * s->c + i);
    F(channels_finish)(s, 0, s->c, sums);
    SPLIT(parts, s->pieces, 1, F(apply_pieces)(s, begin, end));
    return FDL_OK;
}

/* The batch's own statistics, written to mean and var (biased), normalise it. */
static int F(batch_norm)(int64_t n, int64_t c, int64_t p, const void *x, const void *weight,
                         const void *bias, double eps, void *y, void *stats, int threads)
{
    F(bn) s = {.n = n, .c = c, .p = p, .x = x, .weight = weight, .bias = bias,
               .eps = eps, .mean = stats, .var = (REAL *)stats + c, .out = y};
    if (n == 0 || c == 0 || p == 0) return FDL_OK;
    return F(channels_run)(&s, 1, threads);
}

/* Given statistics do: one sweep. */
static int F(batch_norm_fixed)(int64_t n, int64_t c, int64_t p, const void *x, const void *mean,
                               const void *var, const void *weight, const void *bias, double eps,
                               void *y, int threads)
{
    F(bn) s = {.n = n, .c = c, .p = p, .x = x, .weight = weight, .bias = bias,
               .eps = eps, .mean = (REAL *)mean, .var = (REAL *)var, .out = y};
    if (n == 0 || c == 0 || p == 0) return FDL_OK;
    return F(channels_run)(&s, 0, threads);
}

static int F(batch_norm_backward)(int64_t n, int64_t c, int64_t p, const void *dy, const void *x,
                                  const void *stats, const void *weight, double eps, void *dx,
                                  void *dweight, void *dbias, int threads)
{
    F(bn) s = {.n = n, .c = c, .p = p, .x = x, .dy = dy, .weight = weight, .eps = eps,
               .mean = (REAL *)stats, .var = (REAL *)stats + c, .out = dx,
               .dweight = dweight, .dbias = dbias};
    if (n == 0 || p == 0) {
        memset(dweight, 0, c * sizeof(REAL));
        memset(dbias, 0, c * sizeof(REAL));
    }
    if (n == 0 || c == 0 || p == 0) return FDL_OK;
    return F(channels_run)(&s, 1, threads);
}
