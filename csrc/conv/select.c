/* select.c: which algorithm a convolution runs on. Baseline code, no kernels: one table says what
 * each algorithm can compute, one what it is estimated to take.
 *
 * `auto` takes, for each pass by itself, the algorithm of the lowest estimate among those that
 * exist for that pass and can compute the shape. Nothing else decides: not the number of threads,
 * so that the bits do not depend on it, and no timing at run time, so that they do not depend on
 * the neighbours.
 */
#include <math.h>

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

/* ---- choices within one ---------------------------------------------------------------------- */

/* To a 1x1 filter of stride 1 an image is one long row, which is copied, cut and stored faster. */
fdl_conv fdl_conv_flattened(const fdl_conv *g)
{
    fdl_conv flat = *g;
    if (g->r == 1 && g->s == 1 && g->oh == g->h && g->ow == g->w && !g->pad_h && !g->pad_w) {
        flat.h = flat.oh = flat.stride_h = flat.stride_w = 1;
        flat.w = flat.ow = g->h * g->w;
    }
    return flat;
}

/* The costs, of FMAs with their loads and of the sums afterwards, are fitted to timings. */
int fdl_conv_by_columns(const fdl_conv *g)
{
    const double c = (double)g->c / g->groups, k = (double)g->k / g->groups;
    const double plain = (1 + 2 / c) * g->w / g->stride_w;
    const double columns = (1 + 2 / (c * g->s)) * (1 + 4 / (k * g->r)) * g->ow;
    return 1.15 * columns < plain;
}

/* ---- what each of them takes -------------------------------------------------------------------
 * In the time of a multiplication and addition in one lane, for one group. Each term is work that
 * the algorithm does; its factor is fitted to timings, on one thread and 16 lanes, of 950 shapes of
 * 1x1 to 5x5 filters, strides 1 and 2, 3 to 512 channels, 8 to 512 filters, images of 4 to 60
 * pixels and batches of 1 to 32: of these, the choice takes 1.00 to 1.01 times as long as the best
 * for each kind and pass in the geometric mean. */

static double whole(double n, double of) { return (double)(int64_t)((n + of - 1) / of); }

static double whole_vectors(double n, int lanes) { return whole(n, lanes) * lanes; }

/* Of the filter rows of oh outputs of an image of h rows: the share that lies inside, for one of
 * the outputs up to `near` rows away at least. */
static double rows_inside(int64_t oh, int64_t h, int64_t rows, int64_t stride, int64_t dil,
                          int64_t pad, int64_t near)
{
    int64_t outside = 0;
    for (int64_t r = 0; r < rows; r++) {
        const int64_t at = r * dil - pad, above = at < 0 ? (-at + stride - 1) / stride : 0;
        const int64_t below = at < h ? oh - (h - at + stride - 1) / stride : oh;
        outside += (above > near ? (above < oh ? above : oh) - near : 0) +
                   (below > near ? below - near : 0);
    }
    return outside < oh * rows ? 1 - (double)outside / (double)(oh * rows) : 0;
}

/* Products, which leave out filter rows outside the image; their loads of each pixel for every 14
 * outputs; lowering; packing, for which the input gradient gathers the filter from afar. */
static double cost_of_product(const fdl_conv *shape, int pass, int lanes)
{
    const fdl_conv flat = fdl_conv_flattened(shape), *g = &flat;
    const int dx = pass == FDL_CONV_GRAD_INPUT, columns = dx && fdl_conv_by_columns(g);
    const double c = (double)g->c / g->groups, k = (double)g->k / g->groups;
    const double filter = (double)g->r * g->s * c * k, from = dx ? k : c, to = dx ? c : k;
    const int64_t step = dx ? g->stride_h : 1, oh = dx ? (g->h + step - 1) / step : g->oh;
    const int64_t wide = dx ? (g->w + g->stride_w - 1) / g->stride_w : g->ow;
    const int64_t ow = columns ? g->ow : wide, image = oh * ow;
    const int one_by_one = g->r * g->s == 1 && g->stride_h == 1 && g->stride_w == 1;
    const double s = columns ? 1 : (double)g->s;

    double inside = 1;                  /* a tile is 32 pixels of a piece of 800, side by side    */
    if (step == 1 && image > 0 && g->n > 0) {
        const int64_t images = 800 / image < 1 ? 1 : 800 / image < g->n ? 800 / image : g->n;
        const int64_t near = (2 * lanes - 1) / (images * ow);
        inside = dx ? rows_inside(oh, g->oh, g->r, 1, g->dil_h,
                                  (g->r - 1) * g->dil_h - g->pad_h, near)
                    : rows_inside(oh, g->h, g->r, g->stride_h, g->dil_h, g->pad_h, near);
    }
    const double pixels = whole_vectors((double)g->n * image, lanes), rows = (double)g->n * oh;
    double cost = (dx ? 34 : 17) * filter + 0.95 * inside * filter * pixels +
                  1.7 * g->r * s * from * whole(to * g->s / s, 14) * pixels;
    if (!one_by_one)
        cost += 7 * (double)(dx ? step : g->stride_w) * s * from * rows *
                whole_vectors((double)wide, lanes);
    if (columns) cost += 10 * c * g->s * g->n * g->h * whole_vectors((double)g->w, lanes);
    return cost;
}

/* The weight gradient: products, horizontal sums for each piece, lowering of x, and dy, copied or
 * read again for each block of planes. */
static double cost_of_dot_gradient(const fdl_conv *g, int lanes)
{
    const double c = (double)g->c / g->groups, k = (double)g->k / g->groups, n = (double)g->n;
    const double image = (double)g->oh * g->ow;
    const double idle = whole_vectors(image, lanes) - image;
    const int runs = image >= (lanes == 16 ? 4.0 : 24.0) * lanes && 16 * idle <= image;
    const double pixels = runs ? n * whole_vectors(image, lanes) : whole_vectors(n * image, lanes);
    const double piece = n * image < 3072 ? n * image : 3072;
    const double blocks = whole((double)g->s * c * piece, 98304);
    return (1.04 * pixels + 135 * whole(n * image, 3072)) * g->r * g->s * c * k +
           6 * (g->stride_w * g->s * c + blocks * k) * n * g->oh *
               whole_vectors((double)g->ow, lanes);
}

static double cost_of_implicit(const fdl_conv *g, int pass, int lanes)
{
    const fdl_conv flat = fdl_conv_flattened(g);
    return pass == FDL_CONV_GRAD_WEIGHT ? cost_of_dot_gradient(&flat, lanes)
                                        : cost_of_product(&flat, pass, lanes);
}

/* Products, tiles read and written again for each piece, lowering, transposition. */
static double cost_of_outer(const fdl_conv *shape, int pass, int lanes)
{
    (void)pass;
    const fdl_conv flat = fdl_conv_flattened(shape), *g = &flat;
    const double c = (double)g->c / g->groups, k = (double)g->k / g->groups;
    const double rows = (double)g->n * g->oh, pixels = rows * g->ow;
    const double planes = c * g->s, full = whole_vectors(planes, lanes);
    const double inside = rows_inside(g->oh, g->h, g->r, g->stride_h, g->dil_h, g->pad_h, 0);
    return (1.04 * inside * pixels + 30 * whole(pixels, 400)) * g->r * full * k +
           7 * (g->stride_w * planes + k) * rows * whole_vectors((double)g->ow, lanes) +
           16 * full * pixels;
}

/* Products, the longer the less of a filter L1 holds; sums of lanes; patches, and what they are cut
 * from. Of several groups, threads would share one after the other. */
static double cost_of_dots(const fdl_conv *g, int pass, int lanes)
{
    (void)pass, (void)lanes;
    const double pixels = (double)g->n * g->oh * g->ow, c = (double)g->c;
    const double taps = (double)g->r * g->s * c, rows = (double)g->n * g->oh * g->stride_h;
    if (g->groups > 1) return INFINITY;
    return ((1.02 + taps / 20e3) * taps + 140) * g->k * pixels + 30 * taps * pixels +
           430 * c * rows;
}

/* m x m outputs of r x r taps. Transforms of a channel's tile, to lanes of tiles; of a pair's
 * filter; in the weight gradient, whose lanes are channels, of a vector of a row of tiles. */
typedef struct {
    int64_t m, r, stride;
    double in, out, filter, row;
} tiling;

static const tiling small_tiles = {2, 3, 1, 140, 80, 160, 840};
static const tiling large_tiles = {4, 3, 1, 540, 310, 245, 1250};
static const tiling tiles_of_5x5 = {2, 5, 1, 450, 170, 470, 1350};
static const tiling strided_tiles = {4, 2, 2, 320, 240, 250, 1250};

/* A stride has phases: channels of their own, or, in the input gradient, convolutions. */
static double cost_of_tiles(const tiling *by, const fdl_conv *g, int pass, int lanes)
{
    const int dx = pass == FDL_CONV_GRAD_INPUT, dw = pass == FDL_CONV_GRAD_WEIGHT;
    const int64_t m = by->m, a = m + by->r - 1, phases = by->stride * by->stride;
    const int64_t h = dx ? (g->h + by->stride - 1) / by->stride : g->oh;
    const int64_t w = dx ? (g->w + by->stride - 1) / by->stride : g->ow;
    const int64_t th = (h + m - 1) / m, tw = (w + m - 1) / m, wide = 2 * tw > lanes;
    const double rows = (double)g->n * th, tiles = rows * tw, positions = (double)(a * a);
    const double c = (double)g->c / g->groups * (dx ? 1 : phases), k = (double)g->k / g->groups;
    const double row = whole((double)(m * tw + a - m), lanes);      /* vectors of it              */
    if (dw) {
        const double full = whole_vectors(c, lanes);
        return (1.2 * positions * tiles + by->filter) * full * k +
               by->row * rows * row * (full + whole_vectors(k, lanes));
    }
    const double from = dx ? k : c, to = dx ? c : k;
    const double reads = wide ? row : whole((double)(m * tw), lanes) * whole((double)a, (double)m);
    return (dx ? phases : 1) *
           ((1.1 * positions * from * to + by->in * from + by->out * to) *
                whole_vectors(tiles, lanes) +
            (25 * reads * from + 62 * to) * lanes * rows +
            by->filter * from * whole_vectors(to, lanes));
}

static double cost_of_small_tiles(const fdl_conv *g, int pass, int lanes)
{
    return cost_of_tiles(&small_tiles, g, pass, lanes);
}

static double cost_of_large_tiles(const fdl_conv *g, int pass, int lanes)
{
    return cost_of_tiles(&large_tiles, g, pass, lanes);
}

static double cost_of_5x5(const fdl_conv *g, int pass, int lanes)
{
    return cost_of_tiles(&tiles_of_5x5, g, pass, lanes);
}

static double cost_of_strided_tiles(const fdl_conv *g, int pass, int lanes)
{
    return cost_of_tiles(&strided_tiles, g, pass, lanes);
}

/* Nothing to sum over, so nothing that others do better; but of one channel they may. */
static double cost_of_depthwise(const fdl_conv *g, int pass, int lanes)
{
    (void)pass, (void)lanes;
    return g->groups > 1 ? 0 : INFINITY;
}

/* ---- which of them is chosen ----------------------------------------------------------------- */

static int winograd_forbidden;

void fdl_forbid_winograd(int forbid)
{
    __atomic_store_n(&winograd_forbidden, forbid, __ATOMIC_RELAXED);
}

int fdl_winograd_forbidden(void) { return __atomic_load_n(&winograd_forbidden, __ATOMIC_RELAXED); }

typedef struct {
    int algorithm;
    double (*cost)(const fdl_conv *g, int pass, int lanes);
    const char *why;
} candidate;

static const candidate candidates[] = {
    {FDL_CONV_IMPLICIT, cost_of_implicit,
     "any other: a matrix product that reads the input in place"},
    {FDL_CONV_DEPTHWISE, cost_of_depthwise,
     "a channel a group: nothing to sum over, so taps are read where they lie"},
    {FDL_CONV_DOTS, cost_of_dots,
     "few outputs: dot products of filters, where they lie, with what each output's window holds"},
    {FDL_CONV_WINOGRAD, cost_of_large_tiles,
     "3x3, stride 1: 2.25 multiplications an output, not 9, outweigh the transforms"},
    {FDL_CONV_WINOGRAD_2X2, cost_of_small_tiles,
     "3x3, stride 1, few outputs: 4 multiplications each, not 9; fewer transforms than 4x4 tiles"},
    {FDL_CONV_WINOGRAD_5X5, cost_of_5x5,
     "5x5, stride 1: 9 multiplications an output, not 25, outweigh the transforms"},
    {FDL_CONV_WINOGRAD_STRIDED, cost_of_strided_tiles,
     "4x4, stride 2: four convolutions of 2x2, with 1.56 multiplications an output each, not 4"},
    {FDL_CONV_OUTER, cost_of_outer,
     "a small image, or many filters: a sum of outer products, for which the input is transposed"},
};

int fdl_conv_choose(const fdl_kernels *t, int pass, const fdl_conv *g, const char **why)
{
    const int forbidden = fdl_winograd_forbidden(), lanes = t->vector_bytes / t->itemsize;
    const int n = (int)(sizeof candidates / sizeof *candidates);
    const candidate *best = candidates;                     /* computes any geometry, any pass    */
    double least = best->cost(g, pass, lanes);
    for (const candidate *a = candidates + 1; a < candidates + n; a++) {
        const int winograd =
            a->algorithm >= FDL_CONV_WINOGRAD && a->algorithm <= FDL_CONV_WINOGRAD_STRIDED;
        if (winograd && forbidden) continue;
        if (!fdl_conv_exists(t, pass, a->algorithm) || !algorithms[a->algorithm].fits(g)) continue;
        const double cost = a->cost(g, pass, lanes);
        if (cost < least) best = a, least = cost;
    }
    if (why) *why = best->why;
    return best->algorithm;
}
