/* select.c: which algorithm a convolution runs on. Baseline code, no kernels: one table says what
 * each algorithm can compute, one which of them is chosen.
 *
 * `auto` takes, for each pass by itself, the first rule of `rules` whose condition holds for the
 * shape and whose algorithm exists for that pass and can compute it. Nothing else decides: not the
 * number of threads, so that the bits do not depend on it, and no timing at run time, so that they
 * do not depend on the neighbours. The thresholds are measured (python bench/versus.py conv).
 */
#include "fastdl.h"

/* ---- what each algorithm can compute --------------------------------------------------------- */

static int any(const fdl_conv *g)
{
    (void)g;
    return 1;
}

static int one_channel_a_group(const fdl_conv *g)
{
    const int unit = g->stride_h == 1 && g->stride_w == 1;
    return g->c == g->groups && (unit || (g->stride_w == 2 && g->dil_h == 1 && g->dil_w == 1));
}

static int square(const fdl_conv *g, int64_t size, int64_t stride)
{
    return g->r == size && g->s == size && g->stride_h == stride && g->stride_w == stride &&
           g->dil_h == 1 && g->dil_w == 1;
}

static int three_by_three(const fdl_conv *g) { return square(g, 3, 1); }

static int five_by_five(const fdl_conv *g) { return square(g, 5, 1); }

static int four_by_four_strided(const fdl_conv *g) { return square(g, 4, 2); }

typedef struct {
    const char *name, *requires;
    int (*fits)(const fdl_conv *g);
} algorithm;

static const algorithm algorithms[FDL_CONV_VARIANTS] = {
    [FDL_CONV_NAIVE] = {"naive", "any geometry", any},
    [FDL_CONV_IM2COL] = {"im2col", "any geometry", any},
    [FDL_CONV_IMPLICIT] = {"implicit", "any geometry", any},
    [FDL_CONV_WINOGRAD] = {"winograd", "3x3 filters, stride 1, dilation 1", three_by_three},
    [FDL_CONV_WINOGRAD_2X2] = {"winograd_2x2", "3x3 filters, stride 1, dilation 1",
                               three_by_three},
    [FDL_CONV_WINOGRAD_5X5] = {"winograd_5x5", "5x5 filters, stride 1, dilation 1",
                               five_by_five},
    [FDL_CONV_WINOGRAD_STRIDED] = {"winograd_strided", "4x4 filters, stride 2, dilation 1",
                                   four_by_four_strided},
    [FDL_CONV_DOTS] = {"dots", "any geometry", any},
    [FDL_CONV_DEPTHWISE] = {"depthwise",
                            "as many groups as input channels; stride 1, or 2 along rows without "
                            "dilation", one_channel_a_group},
    [FDL_CONV_OUTER] = {"outer", "any geometry", any},
};

const char *fdl_conv_name(int variant) { return algorithms[variant].name; }

const char *fdl_conv_requires(int variant) { return algorithms[variant].requires; }

int fdl_conv_exists(const fdl_kernels *t, int pass, int variant)
{
    switch (pass) {
    case FDL_CONV_FORWARD: return t->conv_forward[variant] != NULL;
    case FDL_CONV_GRAD_INPUT: return t->conv_grad_input[variant] != NULL;
    default: return t->conv_grad_weight[variant] != NULL;
    }
}

int fdl_conv_fits(int variant, const fdl_conv *g) { return algorithms[variant].fits(g); }

/* ---- which of them is chosen ----------------------------------------------------------------- */

static int winograd_forbidden;

void fdl_forbid_winograd(int forbid)
{
    __atomic_store_n(&winograd_forbidden, forbid, __ATOMIC_RELAXED);
}

int fdl_winograd_forbidden(void) { return __atomic_load_n(&winograd_forbidden, __ATOMIC_RELAXED); }

/* Conditions of the rules; lanes: of a vector. */
static int always(const fdl_conv *g, int pass, int lanes)
{
    (void)g, (void)pass, (void)lanes;
    return 1;
}

static int several_groups(const fdl_conv *g, int pass, int lanes)
{
    (void)pass, (void)lanes;
    return g->groups > 1;
}

static double whole_vectors(double n, int lanes)
{
    return n < 1e6 ? (double)(((int64_t)n + lanes - 1) / lanes * lanes) : n;
}

/* Where transposing the input costs less than dot products lose (fitted to timings of 90 shapes, 24
 * to 2048 channels, 3 to 56 pixels): on images too small for long runs of pixels, and where many
 * filters or taps share what is transposed. Of 1x1, fewer do: tiles of dot products, few pixels
 * long, read every image again and again. */
static int outer_products_pay(const fdl_conv *g, int pass, int lanes)
{
    (void)pass, (void)lanes;
    const int64_t k = g->k / g->groups, taps = g->c / g->groups * g->r * g->s;
    const int64_t planes = g->c / g->groups * g->s;
    const int64_t pixels = g->oh * g->ow, one = g->r * g->s == 1;
    return (pixels <= 64 && k >= 48 && taps >= 64) ||
           (one && pixels <= 324 && k >= 96 && taps >= 96 && k * taps >= 50000) ||
           (k * g->r >= 576 && taps >= 288 && planes >= 96);
}

/* Estimates of a convolution's time, in the time of one multiplication and addition (fitted to
 * timings of some 500 shapes of 3x3, 3 to 512 channels, 3 to 45 pixels, batches of 1 to 16). */
static double cost_of_implicit(const fdl_conv *g, int pass, int lanes)
{
    const int dx = pass == FDL_CONV_GRAD_INPUT;
    const double k = (double)g->k / g->groups, c = (double)g->c / g->groups;
    const double rows = (double)g->n * (dx ? g->h : g->oh), w = (double)(dx ? g->w : g->ow);
    const double s = (double)g->s, taps = (double)g->r * s * c;
    return 1.02 * taps * k * whole_vectors(rows * w, lanes) +
           4.7 * s * (dx ? k : c) * rows * whole_vectors(w, lanes) + 12.2 * taps * k;
}

/* The same of dot products, which need no whole vectors of pixels and no packing, but patches, and
 * read the filters again for each piece of pixels, the smaller the more taps a patch has (fitted to
 * timings of some 800 shapes of 1x1 to 7x7, 8 to 640 channels, 1 to 500 pixels). */
static double cost_of_dots(const fdl_conv *g)
{
    const double pixels = (double)g->n * g->oh * g->ow, c = (double)g->c;
    const double taps = (double)g->r * g->s * c, rows = (double)g->n * g->oh * g->stride_h;
    return ((1.02 + taps / 20e3) * taps + 70) * g->k * pixels + 25 * taps * pixels + 250 * c * rows;
}

/* Lanes are tiles, but channels in the weight gradient: what does not fill a vector is wasted. (For
 * 5x5 fitted to timings of 600 shapes, 1 to 180 channels, 5 to 45 pixels, batches of 1 to 16.) */
typedef struct {
    int64_t m, r;
    double in, out, tile, filter;       /* transforms of a channel's tile; of a pair's filter     */
} tiling;

static const tiling small_tiles = {2, 3, 245, 150, 190, 150};
static const tiling large_tiles = {4, 3, 680, 420, 600, 350};
static const tiling tiles_of_5x5 = {2, 5, 640, 300, 490, 800};

static double cost_of_winograd(const fdl_conv *g, int pass, const tiling *by, int lanes)
{
    const int64_t h = pass == FDL_CONV_GRAD_INPUT ? g->h : g->oh, m = by->m;
    const int64_t w = pass == FDL_CONV_GRAD_INPUT ? g->w : g->ow, a = m + by->r - 1;
    const double rows = (double)g->n * ((h + m - 1) / m), tiles = rows * ((w + m - 1) / m);
    const double k = (double)g->k / g->groups, c = (double)g->c / g->groups;
    const double filters = by->filter * c * k, positions = (double)(a * a);
    if (pass == FDL_CONV_GRAD_WEIGHT)
        return positions * whole_vectors(c, lanes) * k * tiles +
               (by->tile * tiles + 750 * rows) * (c + k) + filters;
    const double transforms =
        pass == FDL_CONV_FORWARD ? by->in * c + by->out * k : by->in * k + by->out * c;
    return (positions * c * k + transforms) * whole_vectors(tiles, lanes) + filters;
}

/* The same for 4x4 filters of stride 2 (fitted to timings of some 900 shapes, 3 to 512 channels, 4
 * to 64 pixels, batches of 1 to 64). The estimates are rough: it must win clearly. */
static int strided_tiles_pay(const fdl_conv *g, int pass, int lanes)
{
    const int dx = pass == FDL_CONV_GRAD_INPUT;
    const double k = (double)g->k / g->groups, c = (double)g->c / g->groups, n = (double)g->n;
    const int64_t h = dx ? (g->h + 1) / 2 : g->oh, w = dx ? (g->w + 1) / 2 : g->ow;
    const double rows = n * ((h + 3) / 4), tiles = rows * ((w + 3) / 4), pixels = n * h * w;
    const double full = whole_vectors(tiles, lanes), taps = 16 * whole_vectors(pixels, lanes);
    if (k < 32 || (dx && c < 32)) return 0;
    if (pass == FDL_CONV_GRAD_WEIGHT)
        return 30 * whole_vectors(4 * c, lanes) * k * tiles +
                   (650 * tiles + 950 * rows) * (4 * c + k) + 500 * c * k <
               (16.3 * c * k + 220 * c + 15 * k) * pixels;
    if (dx) {                           /* of c k; a large transformed filter comes from memory   */
        const double filter = 1000 + (c * k < 210e3 ? c * k / 60 : 3500);
        return 1.05 * ((250 + 1000 / c) * full + filter) < 1.7 * taps + 660;
    }
    return (170 * k + 2700) * c * full + 170 * c * k <
           (taps * k + 70 * n * h * whole_vectors((double)w, lanes)) * c;
}

static int large_tiles_pay(const fdl_conv *g, int pass, int lanes)
{
    const double cost = cost_of_winograd(g, pass, &large_tiles, lanes);
    return cost < cost_of_implicit(g, pass, lanes) &&
           cost < cost_of_winograd(g, pass, &small_tiles, lanes);
}

static int small_tiles_pay(const fdl_conv *g, int pass, int lanes)
{
    return cost_of_winograd(g, pass, &small_tiles, lanes) < cost_of_implicit(g, pass, lanes);
}

static double cost_of_5x5(const fdl_conv *g, int pass, int lanes)
{
    const double waiting = 4e6;         /* of threads for each other's transforms, a chunk or two */
    return cost_of_winograd(g, pass, &tiles_of_5x5, lanes) + waiting;
}

static int tiles_of_5x5_pay(const fdl_conv *g, int pass, int lanes)
{
    return cost_of_5x5(g, pass, lanes) < cost_of_implicit(g, pass, lanes);
}

static int dots_pay(const fdl_conv *g, int pass, int lanes)
{
    const double cost = cost_of_dots(g);
    if (g->groups > 1 || cost > cost_of_implicit(g, pass, lanes)) return 0;
    if (three_by_three(g))
        return cost < cost_of_winograd(g, pass, &small_tiles, lanes) &&
               cost < cost_of_winograd(g, pass, &large_tiles, lanes);
    return !five_by_five(g) || cost < cost_of_5x5(g, pass, lanes);
}

typedef struct {
    int passes;                        /* a bit for each it holds for */
    int algorithm;
    int (*when)(const fdl_conv *g, int pass, int lanes);
    const char *why;
} rule;

enum { Y = 1 << FDL_CONV_FORWARD, DX = 1 << FDL_CONV_GRAD_INPUT, DW = 1 << FDL_CONV_GRAD_WEIGHT };

static const rule rules[] = {
    {Y | DX | DW, FDL_CONV_DEPTHWISE, several_groups,
     "a channel a group: nothing to sum over, so taps are read where they lie"},
    {Y, FDL_CONV_DOTS, dots_pay,
     "few outputs: dot products of filters, where they lie, with what each output's window holds"},
    {Y | DX | DW, FDL_CONV_WINOGRAD, large_tiles_pay,
     "3x3, stride 1: 2.25 multiplications an output, not 9, outweigh the transforms"},
    {Y | DX | DW, FDL_CONV_WINOGRAD_2X2, small_tiles_pay,
     "3x3, stride 1, few outputs: 4 multiplications each, not 9; fewer transforms than 4x4 tiles"},
    {Y | DX | DW, FDL_CONV_WINOGRAD_5X5, tiles_of_5x5_pay,
     "5x5, stride 1: 9 multiplications an output, not 25, outweigh the transforms"},
    {Y | DX | DW, FDL_CONV_WINOGRAD_STRIDED, strided_tiles_pay,
     "4x4, stride 2: four convolutions of 2x2, with 1.56 multiplications an output each, not 4"},
    {DW, FDL_CONV_OUTER, outer_products_pay,
     "a small image, or many filters: a sum of outer products, for which the input is transposed"},
    {Y | DX | DW, FDL_CONV_IMPLICIT, always,
     "any other: a matrix product that reads the input in place"},
};

int fdl_conv_choose(const fdl_kernels *t, int pass, const fdl_conv *g, const char **why)
{
    const int forbidden = fdl_winograd_forbidden(), lanes = t->vector_bytes / t->itemsize;
    for (const rule *r = rules;; r++) {
        const int winograd =
            r->algorithm >= FDL_CONV_WINOGRAD && r->algorithm <= FDL_CONV_WINOGRAD_STRIDED;
        if (!(r->passes >> pass & 1) || (winograd && forbidden)) continue;
        if (!fdl_conv_exists(t, pass, r->algorithm) || !algorithms[r->algorithm].fits(g)) continue;
        if (!r->when(g, pass, lanes)) continue;
        if (why) *why = r->why;
        return r->algorithm;
    }
}
