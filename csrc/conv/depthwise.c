/* depthwise.c: convolution where every output channel reads one input channel (groups = C).
 *
 *   y[n, k]  = bias[k] + w[k] * x[n, k / m]      * : 2-d cross-correlation; K = m C
 *   dx[n, c] = sum over the k with k / m = c of w[k], flipped, * dy[n, k]
 *   dw[k]    = sum over n of x[n, k / m] * dy[n, k]
 *
 * Idea      no channels to sum over, hence no matrix product: lanes are neighbouring outputs of a
 *           row, taps are read where they lie; columns in the padding are masked, rows there are
 *           skipped. Several rows at a time share the rows of x that their windows have in common
 * Removes   every copy of the input; loads: 18 for the 36 FMAs of four rows under a 3 x 3 filter
 * Leaves    memory: 2 R S FLOPs for each value read and written; part of a vector where rows are
 *           shorter than one
 * Requires  groups = C; stride 1 or 2 along rows. The input gradient of other strides than 1: no
 *           dilation, and 2 along rows. Fastest for 3 x 3, 5 x 5, 7 x 7 of floats, undilated
 * Checked   against naive.c and float64. A plane of y or dx, a filter of dw is one task: any thread
 *           count gives the same bits
 * Timed     python -m fastdl bench conv
 */

/* What the passes share: planes read and written, and the columns of a row cut into vectors. */
typedef struct F(depthwise) {
    fdl_conv g;                 /* y gathers from x: the forward pass, or what has its form       */
    const REAL *x, *dy, *w, *bias;
    REAL *y;
    int64_t sums, copies;       /* planes of x summed into one of y; planes of y from one of x    */
    int64_t vectors;            /* of a row                                                       */
    const int64_t *column;      /* (vectors): where each begins                                   */
    const int64_t *edge;        /* (vectors): its row of `inside`                                 */
    const VI *inside;           /* (edges, s + 1): lanes whose tap s lies in the image; at last:  */
    int64_t before, after;      /* lanes in the row. Elements touched around a plane of x         */
    int status;
} F(depthwise);

/* Cuts rows of n columns, of which column j reads element j * step + off[s] of w at tap s. The last
 * vector begins where the others end or, if `back`, where it ends with the row. */
static int F(depthwise_columns)(F(depthwise) *e, int64_t n, int64_t step, const int64_t *off,
                                int64_t w, int back)
{
    const int64_t taps = e->g.s, vectors = ceil_div(n, VL);
    e->vectors = vectors;
    int64_t least = off[0], most = off[0], edges = 1;
    for (int64_t s = 1; s < taps; s++) least = min64(least, off[s]), most = max64(most, off[s]);
    /* Vectors that need masks of their own: those before and after the run of inner ones. */
    for (int64_t v = 0; v < vectors; v++)
        edges += v * VL * step + least < 0 || (v * VL + VL - 1) * step + most >= w ||
                 v == vectors - 1;
    char *memory = fdl_scratch(FDL_SCRATCH_CONV_4, edges * (taps + 1) * sizeof(VI) +
                                                       2 * vectors * sizeof(int64_t));
    if (!memory) return FDL_NOMEM;
    VI *inside = (VI *)memory;
    int64_t *column = (int64_t *)(inside + edges * (taps + 1)), *edge = column + vectors;
    for (int64_t s = 0; s <= taps; s++) inside[s] = F(conv_lanes)(0, VL);
    edges = 1;
    for (int64_t v = 0; v < vectors; v++) {
        const int64_t j = back ? max64(0, min64(v * VL, n - VL)) : v * VL;
        column[v] = j;
        edge[v] = 0;
        if (j * step + least >= 0 && (j + VL - 1) * step + most < w && j + VL <= n) continue;
        VI *lanes = inside + edges * (taps + 1);
        edge[v] = edges++;
        for (int64_t s = 0; s < taps; s++)
            lanes[s] = F(conv_lanes)(ceil_div(max64(0, -off[s] - j * step), step),
                                     min64(n - j, ceil_div(max64(0, w - off[s] - j * step), step)));
        lanes[taps] = F(conv_lanes)(0, n - j);
    }
    e->column = column, e->edge = edge, e->inside = inside;
    e->before = max64(0, -least);
    e->after = max64(0, (column[vectors - 1] + VL) * step + most - w);
    return FDL_OK;
}

/* `size` elements at x of a tensor from ... to, or a copy where vectors would leave the tensor. */
static const REAL *F(depthwise_planes)(int slot, const REAL *x, int64_t size, const REAL *from,
                                       const REAL *to, int64_t before, int64_t after)
{
    if (x - from >= before && to - x - size >= after) return x;
    REAL *copy = fdl_scratch(slot, (before + size + after) * sizeof(REAL));
    if (!copy) return NULL;
    memcpy(copy + before, x, size * sizeof(REAL));
    return copy + before;
}

#define T V
#define TU VU
#define TI VI
#define TIU VIU
#define TL VL
#define D(name) F(depthwise_##name)
#define DEPTHWISE_WHOLE
#include "depthwise.inc.c"
#undef DEPTHWISE_WHOLE
#undef T
#undef TU
#undef TI
#undef TIU
#undef TL
#undef D

#if TAILORED && VBYTES > 16
typedef REAL F(half) __attribute__((vector_size(VBYTES / 2)));
typedef REAL F(halfu) __attribute__((vector_size(VBYTES / 2), aligned(sizeof(REAL)), may_alias));
typedef INT F(halfi) __attribute__((vector_size(VBYTES / 2)));
typedef INT F(halfiu) __attribute__((vector_size(VBYTES / 2), aligned(sizeof(REAL)), may_alias));
#define T F(half)
#define TU F(halfu)
#define TI F(halfi)
#define TIU F(halfiu)
#define TL (VL / 2)
#define D(name) F(depthwise_half_##name)
#include "depthwise.inc.c"
#undef T
#undef TU
#undef TI
#undef TIU
#undef TL
#undef D
#define NARROW(g, name) ((g)->ow <= VL / 2 ? F(depthwise_half_##name) : F(depthwise_##name))
#elif TAILORED
#define NARROW(g, name) F(depthwise_##name)
#endif

typedef void F(depthwise_fn)(const F(depthwise) *e, const REAL *x, const REAL *w, REAL bias,
                             REAL *y);

static F(depthwise_fn) *F(depthwise_choose)(const F(depthwise) *e)
{
    const fdl_conv *g = &e->g;
#if TAILORED
    const int plain = g->r == g->s && g->stride_h == g->stride_w && g->dil_h == 1 &&
                      g->dil_w == 1 && e->sums == 1;
    if (plain && g->r == 3) return g->stride_w == 1 ? NARROW(g, 3) : F(depthwise_3_by_2);
    if (plain && g->r == 5) return g->stride_w == 1 ? NARROW(g, 5) : F(depthwise_5_by_2);
    if (plain && g->r == 7 && g->stride_w == 1) return NARROW(g, 7);
#endif
    return g->stride_w == 1 ? F(depthwise_any) : F(depthwise_any_by_2);
}

/* What every thread of the region runs: some channels of an image at a time. */
#define DEPTHWISE_CHANNELS 16
static void F(depthwise_share)(F(depthwise) *e, int64_t channels, F(depthwise_fn) *plane)
{
    const fdl_conv *g = &e->g;
    const int64_t from = channels / e->copies * e->sums, taps = e->sums * g->r * g->s;
    const int64_t runs = ceil_div(channels, DEPTHWISE_CHANNELS), size = g->h * g->w;
    const REAL *end = e->x + g->n * from * size;
    OMP(for schedule(static))
    for (int64_t t = 0; t < g->n * runs; t++) {
        const int64_t n = t / runs, k0 = t % runs * DEPTHWISE_CHANNELS;
        for (int64_t k = k0; k < min64(channels, k0 + DEPTHWISE_CHANNELS); k++) {
            const int64_t c = e->copies == 1 ? k * e->sums : k / e->copies;
            const REAL *x = F(depthwise_planes)(FDL_SCRATCH_CONV_2, e->x + (n * from + c) * size,
                                                e->sums * size, e->x, end, e->before, e->after);
            if (x)
                plane(e, x, e->w + k * taps, e->bias ? e->bias[k] : 0,
                      e->y + (n * channels + k) * g->oh * g->ow);
            else __atomic_store_n(&e->status, FDL_NOMEM, __ATOMIC_RELAXED);
        }
    }
}

static int F(depthwise_run)(F(depthwise) *e, int64_t channels, int64_t outputs, F(depthwise_fn) *f,
                            int threads)
{
    const fdl_conv *g = &e->g;
    const double taps = (double)g->r * g->s * e->sums;
    const double work = (double)g->n * channels * outputs * (taps + 8) / (1.5 * VL);
    threads = fdl_plan(threads, work);
    OMP(parallel num_threads(threads))
    F(depthwise_share)(e, channels, f);
    return e->status;
}

static int F(conv_depthwise_forward)(const fdl_conv *g, const void *x, const void *w,
                                     const void *bias, void *y, int threads)
{
    if (!g->n || !g->k || !g->oh || !g->ow) return FDL_OK;
    F(depthwise) e = {.g = *g, .x = x, .w = w, .bias = bias, .y = y, .sums = 1,
                      .copies = g->k / g->c};
    int64_t *off = fdl_scratch(FDL_SCRATCH_CONV, g->s * sizeof *off);
    if (!off) return FDL_NOMEM;
    for (int64_t s = 0; s < g->s; s++) off[s] = s * g->dil_w - g->pad_w;
    if (F(depthwise_columns)(&e, g->ow, g->stride_w, off, g->w, 1)) return FDL_NOMEM;
    return F(depthwise_run)(&e, g->k, g->oh * g->ow, F(depthwise_choose)(&e), threads);
}

/* ---- dx from dy ---------------------------------------------------------------------------------
 * Stride 2 along rows: even and odd columns of dx are reached by every other tap, two sums that are
 * interleaved. x is dy here and y is dx. odd: the parity of the padding. */
INLINE void F(depthwise_spread)(const int64_t S, const int odd, const F(depthwise) *e,
                                const REAL *x, const REAL *restrict w, REAL *restrict y)
{
    const fdl_conv *g = &e->g;
    int64_t first = g->pad_h % g->stride_h, i0 = g->pad_h / g->stride_h; /* u + pad_h, divided */
    for (int64_t u = 0; u < g->oh; u++, y += g->ow) {
        for (int64_t v = 0; v < e->vectors; v++) {
            const int64_t j = e->column[v], left = g->ow - 2 * j;
            const VI *inside = e->inside + e->edge[v] * (S + 1);
            V sum[2] = {SPLAT(0), SPLAT(0)};
            for (int64_t k = 0; k < e->sums; k++)
                for (int64_t r = first, i = i0; r < g->r; r += g->stride_h, i--) {
                    if ((uint64_t)i >= (uint64_t)g->h) continue;
                    const REAL *p = x + (k * g->h + i) * g->w + j + g->pad_w / 2;
                    const REAL *tap = w + (k * g->r + r) * S;
                    UNROLL(8) for (int64_t s = 0; s < S; s++) {
                        const V d = LD(s % 2 ? p - s / 2 : p + odd - s / 2);
                        sum[(s + odd) % 2] += SPLAT(tap[s]) * (V)((VI)d & inside[s]);
                    }
                }
            STN(y + 2 * j, LOW(sum[0], sum[1]), left);
            STN(y + 2 * j + VL, HIGH(sum[0], sum[1]), left - VL);
        }
        if (++first == g->stride_h) first = 0, i0++;
    }
}

#define DEPTHWISE(name, S)                                                                         \
    static void F(depthwise_spread_##name)(const F(depthwise) *e, const REAL *x, const REAL *w,    \
                                           REAL bias, REAL *y)                                     \
    {                                                                                              \
        (void)bias;                                                                                \
        if (e->g.pad_w % 2) F(depthwise_spread)(S, 1, e, x, w, y);                                 \
        else F(depthwise_spread)(S, 0, e, x, w, y);                                                \
    }
#if TAILORED
DEPTHWISE(3, 3)
DEPTHWISE(5, 5)
#endif
DEPTHWISE(any, e->g.s)
#undef DEPTHWISE

static int F(conv_depthwise_grad_input)(const fdl_conv *g, const void *dy, const void *w, void *dx,
                                        int threads)
{
    if (!g->n || !g->c || !g->h || !g->w) return FDL_OK;
    const int64_t taps = g->r * g->s;
    int64_t *off = fdl_scratch(FDL_SCRATCH_CONV, g->s * sizeof *off + g->k * taps * sizeof(REAL));
    if (!off) return FDL_NOMEM;
    F(depthwise) e = {.g = *g, .x = dy, .w = w, .y = dx, .sums = g->k / g->c, .copies = 1};
    e.g.h = g->oh, e.g.w = g->ow, e.g.oh = g->h, e.g.ow = g->w;
    if (!g->k || !g->oh || !g->ow) e.sums = 0;
    if (g->stride_w == 2) {             /* the column of dy that tap s spreads over column 0 or 1 */
        const int64_t odd = g->pad_w % 2;
        for (int64_t s = 0; s < g->s; s++) off[s] = g->pad_w / 2 - s / 2 + (s % 2 ? 0 : odd);
        if (F(depthwise_columns)(&e, ceil_div(g->w, 2), 1, off, g->ow, 0)) return FDL_NOMEM;
        F(depthwise_fn) *spread = F(depthwise_spread_any);
#if TAILORED
        if (g->s == 3) spread = F(depthwise_spread_3);
        if (g->s == 5) spread = F(depthwise_spread_5);
#endif
        return F(depthwise_run)(&e, g->c, g->h * g->w, spread, threads);
    }
    REAL *flipped = (REAL *)(off + g->s);
    for (int64_t t = 0; t < g->k * taps; t++)
        flipped[t] = ((const REAL *)w)[t / taps * taps + taps - 1 - t % taps];
    e.w = flipped;
    e.g.pad_h = (g->r - 1) * g->dil_h - g->pad_h, e.g.pad_w = (g->s - 1) * g->dil_w - g->pad_w;
    for (int64_t s = 0; s < g->s; s++) off[s] = s * g->dil_w - e.g.pad_w;
    if (F(depthwise_columns)(&e, g->w, 1, off, g->ow, 1)) return FDL_NOMEM;
    return F(depthwise_run)(&e, g->c, g->h * g->w, F(depthwise_choose)(&e), threads);
}

/* ---- dw from x and dy ------------------------------------------------------------------------ */
typedef void F(depthwise_dots_fn)(const F(depthwise) *e, const REAL *x, const REAL *dy, int64_t r0,
                                  V *total);

/* One row of any filter, up to 8 taps at a time; those past the last one repeat it. */
INLINE void F(depthwise_dots_any)(const int sw, const F(depthwise) *e, const REAL *x,
                                  const REAL *dy, int64_t r0, V *total)
{
    const fdl_conv *g = &e->g;
    for (int64_t s0 = 0; s0 < g->s; s0 += 8) {
        V sum[8] = {{0}};
        for (int64_t i = 0; i < g->oh; i++) {
            const int64_t u = i * g->stride_h + r0 * g->dil_h - g->pad_h;
            if ((uint64_t)u >= (uint64_t)g->h) continue;
            for (int64_t v = 0; v < e->vectors; v++) {
                const VI *inside = e->inside + e->edge[v] * (g->s + 1);
                const REAL *p = x + u * g->w + e->column[v] * sw - g->pad_w;
                const V d = (V)((VI)LD(dy + i * g->ow + e->column[v]) & inside[g->s]);
                UNROLL(8) for (int t = 0; t < 8; t++) {
                    const int64_t s = min64(s0 + t, g->s - 1);
                    sum[t] += d * (V)((VI)F(depthwise_tap)(sw, p + s * g->dil_w, 0) & inside[s]);
                }
            }
        }
        for (int64_t t = 0; t < min64(8, g->s - s0); t++) total[s0 + t] += sum[t];
    }
}
static void F(depthwise_dots_any_1)(const F(depthwise) *e, const REAL *x, const REAL *dy,
                                    int64_t r0, V *total)
{
    F(depthwise_dots_any)(1, e, x, dy, r0, total);
}
static void F(depthwise_dots_any_2)(const F(depthwise) *e, const REAL *x, const REAL *dy,
                                    int64_t r0, V *total)
{
    F(depthwise_dots_any)(2, e, x, dy, r0, total);
}

/* What adds up rows r0 ... r0 + *nr - 1 of the filter */
static F(depthwise_dots_fn) *F(depthwise_choose_dots)(const fdl_conv *g, int64_t r0, int64_t *nr)
{
#if TAILORED
    const int plain = g->r == g->s && g->stride_h == g->stride_w && g->dil_h == 1 && g->dil_w == 1;
    const int unit = g->stride_w == 1;
    if (plain && g->s == 3) {
        *nr = 3;
        return unit ? NARROW(g, dots_3x3_1) : F(depthwise_dots_3x3_2);
    }
#if VBYTES == 64
    if (plain && g->s == 5) {
        *nr = 5;
        return unit ? NARROW(g, dots_5x5_1) : F(depthwise_dots_5x5_2);
    }
    if (plain && g->s == 7 && unit && r0 + 3 <= g->r) {
        *nr = 3;
        return NARROW(g, dots_3x7_1);
    }
#else
    if (plain && g->s == 5 && r0 + 2 <= g->r) {
        *nr = 2;
        return unit ? NARROW(g, dots_2x5_1) : F(depthwise_dots_2x5_2);
    }
    if (plain && g->s == 5) {
        *nr = 1;
        return unit ? NARROW(g, dots_1x5_1) : F(depthwise_dots_1x5_2);
    }
#endif
    if (plain && g->s == 7 && unit) {
        *nr = 1;
        return NARROW(g, dots_1x7_1);
    }
#else
    (void)r0;
#endif
    *nr = 1;
    return g->stride_w == 1 ? F(depthwise_dots_any_1) : F(depthwise_dots_any_2);
}

/* Filter k: images in order. */
static int F(depthwise_grad)(const F(depthwise) *e, int64_t k)
{
    const fdl_conv *g = &e->g;
    const int64_t taps = g->r * g->s, xs = g->h * g->w, ys = g->oh * g->ow;
    V *total = fdl_scratch(FDL_SCRATCH_CONV_3, taps * sizeof *total);
    if (!total) return FDL_NOMEM;
    for (int64_t t = 0; t < taps; t++) total[t] = SPLAT(0);
    for (int64_t n = 0; n < g->n; n++) {
        const REAL *x = e->x + (n * g->c + k / e->copies) * xs, *dy = e->dy + (n * g->k + k) * ys;
        x = F(depthwise_planes)(FDL_SCRATCH_CONV_2, x, xs, e->x, e->x + g->n * g->c * xs,
                                e->before, e->after);
        dy = F(depthwise_planes)(FDL_SCRATCH_CONV, dy, ys, e->dy, e->dy + g->n * g->k * ys, 0,
                                 VL);
        if (!x || !dy) return FDL_NOMEM;
        for (int64_t r = 0, nr; r < g->r; r += nr)
            F(depthwise_choose_dots)(g, r, &nr)(e, x, dy, r, total + r * g->s);
    }
    for (int64_t t = 0; t < taps; t++) e->y[k * taps + t] = HSUM(total[t]);
    return FDL_OK;
}

static void F(depthwise_grad_share)(F(depthwise) *e)
{
    OMP(for schedule(static))
    for (int64_t k = 0; k < e->g.k; k++)
        report(&e->status, F(depthwise_grad)(e, k));
}

static int F(conv_depthwise_grad_weight)(const fdl_conv *g, const void *x, const void *dy, void *dw,
                                         int threads)
{
    if (!g->k) return FDL_OK;
    F(depthwise) e = {.g = *g, .x = x, .dy = dy, .y = dw, .copies = g->k / g->c};
    int64_t *off = fdl_scratch(FDL_SCRATCH_CONV, g->s * sizeof *off);
    if (!off) return FDL_NOMEM;
    for (int64_t s = 0; s < g->s; s++) off[s] = s * g->dil_w - g->pad_w;
    if (F(depthwise_columns)(&e, g->ow, g->stride_w, off, g->w, 0)) return FDL_NOMEM;
    const double work = (double)g->n * g->k * g->oh * g->ow * (g->r * g->s + 8) / (1.5 * VL);
    threads = fdl_plan(threads, work);
    OMP(parallel num_threads(threads))
    F(depthwise_grad_share)(&e);
    return e.status;
}
