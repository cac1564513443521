/* dots.c: a convolution of few outputs as dot products of filters and patches.
 *
 *   Y (K x pixels) = W (K x taps) patches^T (taps x pixels)
 *
 * Idea      what a pixel's window holds is copied to one row, a patch, in the order of the filter's
 *           taps. Filter and patch then both lie contiguous along the sum, as operands of the
 *           micro-kernel of grad_weight.c: tiles of filters x pixels, lanes along the taps
 * Removes   the filter's packing: it is read once, where it lies; lanes without work where the
 *           pixels fill no vector. A batch of 1 has layers of 16 pixels and 9 MB of filters
 * Leaves    all R * S copies of the input, and horizontal sums: for few pixels and long filters
 * Requires  any geometry
 * Checked   as implicit.c
 * Timed     python bench/versus.py predict
 */
#define DOTS_PATCHES (320 << 10)       /* bytes of a piece's patches, about: they stay in L2      */
#define DOTS_CHANNELS 16               /* whose planes are padded at once                         */
#define DOTS_FILTERS 16                /* in a task                                               */

typedef struct F(dots) {
    const fdl_conv *g;
    const REAL *x, *w, *bias;
    REAL *y, *patches;                  /* (pixels of a piece, ld)                                */
    int64_t *off, *to;                  /* of a piece's pixels in patches; of all in y            */
    int64_t c, k, taps, ld;             /* c, k: of a group                                       */
    int64_t rows, cols;                 /* of a padded plane: what the windows reach              */
    int64_t pixels, pieces;             /* in all; pieces of them                                 */
    int status;
} F(dots);

INLINE int64_t F(dots_piece)(const F(dots) *e, int64_t t) { return t * e->pixels / e->pieces; }

/* Channels c0 <= c < c1 of image n and group: zeros around them, as far as windows reach. */
static void F(dots_pad)(const F(dots) *e, int64_t group, int64_t n, int64_t c0, int64_t c1,
                        REAL *plane)
{
    const fdl_conv *g = e->g;
    const int64_t left = min64(g->pad_w, e->cols), width = min64(g->w, e->cols - left);
    const REAL *x = e->x + (n * g->c + group * e->c + c0) * g->h * g->w;
    for (int64_t c = c0; c < c1; c++, x += g->h * g->w)
        for (int64_t i = 0; i < e->rows; i++, plane += e->cols) {
            const int64_t u = i - g->pad_h;
            if (u < 0 || u >= g->h) {
                F(conv_zero)(plane, e->cols);
                continue;
            }
            F(conv_zero)(plane, left);
            F(conv_copy)(plane + left, x + u * g->w, width);
            F(conv_zero)(plane + left + width, e->cols - left - width);
        }
}

/* Channels c0 <= c < c1 of the patch of output pixel (i, j); s: columns of the filter. */
INLINE void F(dots_patch)(const int64_t s, const F(dots) *e, const REAL *plane, int64_t i,
                          int64_t j, int64_t c0, int64_t c1, REAL *patch)
{
    const fdl_conv *g = e->g;
    const int64_t rows = g->r, down = g->dil_h * e->cols, across = g->dil_w;
    plane += i * g->stride_h * e->cols + j * g->stride_w;
    patch += c0 * rows * s;
    for (int64_t c = c0; c < c1; c++, plane += e->rows * e->cols) {
        const REAL *from = plane;
        for (int64_t r = 0; r < rows; r++, from += down, patch += s)
            UNROLL(4) for (int64_t t = 0; t < s; t++) {
                patch[t] = from[t * across];
                CONV_NO_CALL;
            }
    }
}

static int F(dots_patches)(const F(dots) *e, int64_t group, int64_t piece, int64_t c0)
{
    const fdl_conv *g = e->g;
    const int64_t p0 = F(dots_piece)(e, piece), p1 = F(dots_piece)(e, piece + 1);
    const int64_t c1 = min64(e->c, c0 + DOTS_CHANNELS), image = g->oh * g->ow;
    REAL *plane = fdl_scratch(FDL_SCRATCH_CONV_2,
                              (c1 - c0) * e->rows * e->cols * sizeof(REAL));
    if (!plane) return FDL_NOMEM;
    for (int64_t p = p0; p < p1; p++) {
        if (p == p0 || p % image == 0) F(dots_pad)(e, group, p / image, c0, c1, plane);
        const int64_t i = p % image / g->ow, j = p % g->ow;
        REAL *patch = e->patches + (p - p0) * e->ld;
        switch (g->s) {                 /* counts known to the compiler: no short loops           */
        case 1: F(dots_patch)(1, e, plane, i, j, c0, c1, patch); break;
        case 3: F(dots_patch)(3, e, plane, i, j, c0, c1, patch); break;
        default: F(dots_patch)(g->s, e, plane, i, j, c0, c1, patch);
        }
    }
    return FDL_OK;
}

/* Filters k0 <= k < k1 of a group at the pixels of a piece. */
static void F(dots_filters)(const F(dots) *e, int64_t group, int64_t piece, int64_t k0, int64_t k1)
{
    const int64_t p0 = F(dots_piece)(e, piece), pixels = F(dots_piece)(e, piece + 1) - p0;
    const int64_t image = e->g->oh * e->g->ow, tiles = ceil_div(pixels, DOT_NR);
    F(conv_runs) runs = {.n = 1, .pixels = e->taps, .x = e->patches, .ldy = e->taps};
    for (int64_t k = k0, mr; k < k1; k += mr) {
        const int64_t channel = group * e->k + k;
        REAL *out = e->y + channel * image;
        mr = min64(DOT_MR, k1 - k);
        for (int64_t i = 0; e->bias && i < mr; i++)
            for (int64_t p = p0; p < p0 + pixels; p++)
                out[i * image + e->to[p]] = e->bias[channel + i];
        for (int64_t t = 0; t < tiles; t++) {
            const int64_t j0 = t * pixels / tiles, nr = (t + 1) * pixels / tiles - j0;
            const REAL *w = e->w + channel * e->taps;
            /* the next filters come from memory meanwhile */
            runs.ahead = w + (t < DOT_MR / 2 ? mr + 2 * t : 0) * e->taps;
            F(conv_dots)[mr][nr](&runs, w, e->off + j0, out, image, e->to + p0 + j0, !e->bias);
        }
    }
}

/* What every thread of the region runs. */
static void F(dots_share)(F(dots) *e)
{
    for (int64_t t = 0; t < e->g->groups * e->pieces; t++) {
        const int64_t group = t / e->pieces, piece = t % e->pieces;
        OMP(for schedule(dynamic))
        for (int64_t c = 0; c < e->c; c += DOTS_CHANNELS)
            report(&e->status, F(dots_patches)(e, group, piece, c));
        OMP(for schedule(dynamic))
        for (int64_t k = 0; k < e->k; k += DOTS_FILTERS)
            F(dots_filters)(e, group, piece, k, min64(e->k, k + DOTS_FILTERS));
    }
}

static int F(conv_dots_forward)(const fdl_conv *g, const void *x, const void *w, const void *bias,
                                void *y, int threads)
{
    if (!g->n || !g->k || !g->oh || !g->ow) return FDL_OK;
    F(dots) e = {.g = g, .x = x, .w = w, .bias = bias, .y = y, .c = g->c / g->groups,
                 .k = g->k / g->groups, .pixels = g->n * g->oh * g->ow,
                 .rows = (g->oh - 1) * g->stride_h + (g->r - 1) * g->dil_h + 1,
                 .cols = (g->ow - 1) * g->stride_w + (g->s - 1) * g->dil_w + 1};
    e.taps = e.c * g->r * g->s;
    if (e.taps < VL) return F(conv_implicit_forward)(g, x, w, bias, y, threads);
    e.ld = (ceil_div(e.taps, VL) | 1) * VL;        /* odd: patches in cache sets of their own     */
    const int64_t most = max64(DOT_NR, DOTS_PATCHES / (int64_t)sizeof(REAL) / e.ld);
    e.pieces = ceil_div(e.pixels, most);
    e.off = fdl_scratch(FDL_SCRATCH_CONV, (most + ceil_div(e.pixels, 8) * 8) * sizeof *e.off +
                                              most * e.ld * sizeof(REAL));
    if (!e.off) return FDL_NOMEM;
    e.to = e.off + most;
    e.patches = (REAL *)(e.to + ceil_div(e.pixels, 8) * 8);
    for (int64_t p = 0; p < most; p++) e.off[p] = p * e.ld;
    for (int64_t p = 0, image = g->oh * g->ow; p < e.pixels; p++)
        e.to[p] = p / image * g->k * image + p % image;
    const double fmas = (double)g->k * e.taps * e.pixels;
    threads = fdl_plan(threads, fmas / (2.5 * VL));
    OMP(parallel num_threads(threads))
    F(dots_share)(&e);
    return e.status;
}
