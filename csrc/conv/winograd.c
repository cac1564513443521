/* winograd.c: 3x3 and 5x5 convolution of stride 1 by Winograd's minimal filtering, F(4x4, 3x3),
 * F(2x2, 3x3) and F(2x2, 5x5)
 *
 *   y = A^T [ sum over c of (G w G^T) . (B^T x B) ] A          (Winograd 1980; Lavin and Gray 2016)
 *
 * Idea      m x m outputs of an r x r filter need (m + r - 1)^2 multiplications, not r^2 m^2:
 *           transform tiles of the input and the filter, multiply position by position, transform
 *           back. Summed over channels each of the (m + r - 1)^2 positions is a matrix product of
 *           its own, K x C by C x tiles, and runs on the micro-kernel of implicit.c
 * Removes   three quarters of the multiplications (m = 4), 5 of 9 (m = 2), 16 of 25 (r = 5)
 * Leaves    the transforms, additions, loads and stores for every channel; some accuracy: errors
 *           are up to about 4 eps sqrt(C) of the largest output (m = 4 or r = 5), or half an eps
 *           sqrt(C) (m = 2), and a NaN or infinity reaches every output of the tiles that read it
 * Requires  3x3 filters, or 5x5 and floats on a vector tier; stride 1, dilation 1; any size,
 *           padding and groups
 * Checked   against float64, with a bound derived from the transforms; any thread count gives the
 *           same bits: the sum over channels is never split
 * Timed     python -m fastdl bench conv
 */
#define WINOGRAD_TILES 112             /* in a chunk: V, products, panels of U stay in L2, L3     */
#define WINOGRAD_MOST_TILES 320        /* in a chunk that all threads work on                     */
#define WINOGRAD_DATA (12 << 20)       /* bytes of its V, about                                   */
#define WINOGRAD_FILTERS (16 << 20)    /* bytes of U to keep for all chunks                       */
#define WINOGRAD_AHEAD 6               /* channels whose filters are fetched                      */
#define WINOGRAD_PANEL (512 << 10)     /* bytes of a panel of U, about: stays in L2               */

INLINE int64_t F(winograd_panel)(const F(winograd) *e, int64_t q) { return q * e->k / e->panels; }

/* Elements of a position's `rows` rows of tiles. An odd number of vectors: what is written for one
 * tile, an element in each plane, must not fall into the same cache sets. */
INLINE int64_t F(winograd_plane_of)(const F(winograd) *e, int64_t rows)
{
    return (rows * e->ldv / VL | 1) * VL;
}

/* The sum over channels is taken in blocks, so that a panel of U stays in L2; the same ones however
 * threads share the work, or the bits would differ. */
INLINE int64_t F(winograd_block)(const F(winograd) *e, int64_t b) { return b * e->c / e->blocks; }

/* ---- filters ------------------------------------------------------------------------------------
 * U of a panel of mr output channels: U[p][c][mr]; a vector to spare after each p. */
INLINE int64_t F(winograd_u_plane)(int64_t channels, int64_t mr) { return mr * channels + VL; }

/* Where panel q begins if all lie in a row. */
INLINE int64_t F(winograd_u_at)(const F(winograd) *e, int64_t channels, int64_t q)
{
    return e->positions * (F(winograd_panel)(e, q) * channels + q * VL);
}

/* taps[t]: tap t < n of VL filters, at w + row[l]; flip: the last tap first */
INLINE void F(winograd_taps)(const int n, int flip, const REAL *w, const int64_t *row, V *taps)
{
    V v[VL];
    UNROLL(16) for (int t = 0; t + 1 < n; t += VL) {
        UNROLL(16) for (int l = 0; l < VL; l++) v[l] = LDN(w + row[l] + t, n - t, 0);
        F(transpose)(v);
        UNROLL(16) for (int l = 0; l < VL; l++)
            if (t + l < n) taps[flip ? n - 1 - t - l : t + l] = v[l];
    }
    if (n % VL == 1) {                  /* a single one is no reason for a transposition          */
        REAL last[VL];
        UNROLL(16) for (int l = 0; l < VL; l++) last[l] = w[row[l] + n - 1];
        taps[flip ? 0 : n - 1] = LD(last);
    }
}

/* The filters that a panel of the input gradient reads for a channel of dy lie together, n values,
 * but far from the next channel's, and come from memory: those some channels on are fetched. */
INLINE void F(winograd_fetch)(const F(winograd) *e, const REAL *w, int64_t n)
{
    if (e->flip)
        for (int64_t i = 0; i < n; i += 64 / (int)sizeof(REAL))
            __builtin_prefetch(w + WINOGRAD_AHEAD * e->fc + i);
}

/* u[p * plane] = G g G^T of VL filters, r x r taps */
INLINE void F(winograd_filter_tile)(const int m, const int r, const V *g, REAL *u, int64_t plane)
{
    const int a = m + r - 1;
    V h[WINOGRAD_REACH * WINOGRAD_MAX];
    for (int j = 0; j < r; j++) {
        V column[WINOGRAD_REACH];
        UNROLL(5) for (int i = 0; i < r; i++) column[i] = g[i * r + j];
        F(winograd_filter)(m, r, column, h + j, r);
    }
    for (int i = 0; i < a; i++) {
        V out[WINOGRAD_MAX];
        F(winograd_filter)(m, r, h + r * i, out, 1);
        UNROLL(6) for (int j = 0; j < a; j++) ST(u + (i * a + j) * plane, out[j]);
    }
}

/* Channels c0 <= c < c1 of panel q of group g. Rows of a panel from the last vector of them to the
 * first: what runs over into the next channel is written again. */
INLINE void F(winograd_filters)(const int m, const int r, const F(winograd) *e, int64_t g,
                                int64_t q, int64_t c0, int64_t c1, REAL *u)
{
    const int64_t m0 = F(winograd_panel)(e, q), mr = F(winograd_panel)(e, q + 1) - m0;
    const int64_t plane = F(winograd_u_plane)(c1 - c0, mr);
    for (int64_t i = (mr - 1) / VL * VL; i >= 0; i -= VL) {
        const REAL *w = e->filter + g * e->fg + (m0 + i) * e->fk + c0 * e->fc;
        int64_t row[VL];
        for (int l = 0; l < VL; l++) row[l] = min64(l, mr - i - 1) * e->fk;
        REAL *to = u + i;
        for (int64_t c = c0; c < c1; c++, w += e->fc, to += mr) {
            V taps[WINOGRAD_REACH * WINOGRAD_REACH];
            F(winograd_fetch)(e, w, min64(VL, mr - i) * r * r);
            F(winograd_taps)(r * r, e->flip, w, row, taps);
            F(winograd_filter_tile)(m, r, taps, to, plane);
        }
    }
}

/* ---- products ---------------------------------------------------------------------------------*/

INLINE REAL *F(winograd_products_scratch)(const F(winograd) *e, int64_t k)
{
    return fdl_scratch(FDL_SCRATCH_CONV_3,
                       (e->positions * F(winograd_plane_of)(e, k) + e->m * F(winograd_line)(e)) *
                           sizeof(REAL));
}

/* Panels q0 <= q < q1 over blocks b0 <= b < b1 of channels, which u holds; written by the first
 * block, added to by the others. */
static void F(winograd_products)(const F(winograd) *e, int64_t q0, int64_t q1, int64_t b0,
                                 int64_t b1, int64_t tiles, const REAL *v, const REAL *u,
                                 REAL *products)
{
    const int64_t k0 = F(winograd_panel)(e, q0), from = F(winograd_block)(e, b0);
    const int64_t channels = F(winograd_block)(e, b1) - from;
    const int64_t plane = F(winograd_plane_of)(e, F(winograd_panel)(e, q1) - k0);
    for (int64_t b = b0; b < b1; b++) {
        const int64_t c = F(winograd_block)(e, b), n = F(winograd_block)(e, b + 1) - c;
        for (int i = 0; i < e->positions; i++)
            for (int64_t t = 0, nv; t < tiles; t += nv * VL) {
                const REAL *row = v + i * F(winograd_plane_of)(e, e->c) + t;
                nv = tiles - t > VL ? 2 : 1;
                for (int64_t q = q0; q < q1; q++) {
                    const int64_t k = F(winograd_panel)(e, q), mr = F(winograd_panel)(e, q + 1) - k;
                    const REAL *a = u + F(winograd_u_at)(e, channels, q) -
                                    F(winograd_u_at)(e, channels, q0) +
                                    i * F(winograd_u_plane)(channels, mr) + (c - from) * mr;
                    REAL *to = products + i * plane + (k - k0) * e->ldv + t;
                    F(conv_tiles)[nv][mr](n, a, row, e->koff + c, to, e->ldv, NULL, b == 0);
                }
            }
    }
}

static void F(winograd_outputs)(const F(winograd) *e, int64_t g, int64_t q0, int64_t q1,
                                const winograd_chunk *p, REAL *products)
{
    const int64_t k0 = F(winograd_panel)(e, q0), k = F(winograd_panel)(e, q1) - k0;
    const int64_t plane = F(winograd_plane_of)(e, k);
    for (int64_t i = 0; i < k; i++)
        e->steps->output(e, g, k0 + i, p, products + i * e->ldv, plane,
                  products + e->positions * plane);
}

/* ---- threads ------------------------------------------------------------------------------------
 * Many chunks: U is made first, then a thread takes a chunk from end to end. Few chunks, or a U
 * too large to keep: all threads make V of a chunk, then each takes panels, whose U it makes for
 * itself. The sum over c is the same either way. */
/* V of channel c of group g. */
static int F(winograd_channel)(const F(winograd) *e, int64_t g, int64_t c, const winograd_chunk *p,
                               REAL *v)
{
    REAL *lines = fdl_scratch(FDL_SCRATCH_CONV_4, F(winograd_lines_size)(e) * sizeof(REAL));
    if (!lines) return FDL_NOMEM;
    e->steps->input(e, g, c, p, lines, v + c * e->ldv, F(winograd_plane_of)(e, e->c));
    return FDL_OK;
}

static int F(winograd_whole_chunk)(const F(winograd) *e, int64_t g, const winograd_chunk *p)
{
    const REAL *u = (e->ready ? e->ready : e->u) + g * F(winograd_u_at)(e, e->c, e->panels);
    REAL *v = fdl_scratch(FDL_SCRATCH_CONV_2,
                          e->positions * F(winograd_plane_of)(e, e->c) * sizeof(REAL));
    REAL *products = F(winograd_products_scratch)(e, min64(e->k, 2 * CONV_MR));
    if (!v || !products) return FDL_NOMEM;
    for (int64_t c = 0; c < e->c; c++)
        if (F(winograd_channel)(e, g, c, p, v) != FDL_OK) return FDL_NOMEM;
    for (int64_t q = 0; q < e->panels; q += 2) {             /* two share what is loaded of V     */
        const int64_t end = min64(e->panels, q + 2);
        F(winograd_products)(e, q, end, 0, e->blocks, p->rows * p->cols, v,
                             u + F(winograd_u_at)(e, e->c, q), products);
        F(winograd_outputs)(e, g, q, end, p, products);
    }
    return FDL_OK;
}

static int F(winograd_one_panel)(const F(winograd) *e, int64_t g, int64_t q,
                                 const winograd_chunk *p)
{
    const int64_t mr = F(winograd_panel)(e, q + 1) - F(winograd_panel)(e, q);
    const int64_t channels = ceil_div(e->c, e->blocks);
    REAL *products = F(winograd_products_scratch)(e, mr);
    if (!products) return FDL_NOMEM;
    if (e->ready) {
        const REAL *u = e->ready + g * F(winograd_u_at)(e, e->c, e->panels) +
                        F(winograd_u_at)(e, e->c, q);
        F(winograd_products)(e, q, q + 1, 0, e->blocks, p->rows * p->cols, e->v, u, products);
        F(winograd_outputs)(e, g, q, q + 1, p, products);
        return FDL_OK;
    }
    REAL *u = fdl_scratch(FDL_SCRATCH_CONV_2,
                          e->positions * F(winograd_u_plane)(channels, mr) * sizeof(REAL));
    if (!u) return FDL_NOMEM;
    for (int64_t b = 0; b < e->blocks; b++) {
        e->steps->filters(e, g, q, F(winograd_block)(e, b), F(winograd_block)(e, b + 1), u);
        F(winograd_products)(e, q, q + 1, b, b + 1, p->rows * p->cols, e->v, u, products);
    }
    F(winograd_outputs)(e, g, q, q + 1, p, products);
    return FDL_OK;
}

/* U of panel q of group g, to its place among all of them. */
static void F(winograd_make)(const F(winograd) *e, int64_t g, int64_t q, REAL *u)
{
    e->steps->filters(e, g, q, 0, e->c,
               u + g * F(winograd_u_at)(e, e->c, e->panels) + F(winograd_u_at)(e, e->c, q));
}

/* What every thread of the region runs. */
static void F(winograd_share)(F(winograd) *e)
{
    const int64_t chunks = e->nrows * e->ncols;
    if (!e->v) {
        if (e->u) {
            OMP(for schedule(dynamic))
            for (int64_t t = 0; t < e->groups * e->panels; t++)
                F(winograd_make)(e, t / e->panels, t % e->panels, e->u);
        }
        const int64_t phases = e->yi * e->yi;   /* of a chunk on one thread: they share rows      */
        for (int64_t t; (t = next_task(&e->first, e->groups / phases * chunks)) >= 0;) {
            const winograd_chunk p = F(winograd_chunk_at)(e, t % chunks);
            for (int64_t g = t / chunks * phases; g < (t / chunks + 1) * phases; g++)
                report(&e->status, F(winograd_whole_chunk)(e, g, &p));
        }
        return;
    }
    for (int64_t t = 0; t < e->groups * chunks; t++) {
        const winograd_chunk p = F(winograd_chunk_at)(e, t % chunks);
        renew(&e->second);
        for (int64_t c; (c = next_task(&e->first, e->c)) >= 0;)
            report(&e->status, F(winograd_channel)(e, t / chunks, c, &p, e->v));
        OMP(barrier)
        renew(&e->first);
        for (int64_t q; (q = next_task(&e->second, e->panels)) >= 0;)
            report(&e->status, F(winograd_one_panel)(e, t / chunks, q, &p));
        OMP(barrier)
    }
}

/* Chunks of at most about `target` tiles, as many rows of tiles as leave the fewest lanes empty. */
static void F(winograd_cut)(F(winograd) *e, int64_t target)
{
    const int64_t rows = e->n * e->th, overhead = 10;       /* of a chunk, in tiles               */
    e->ncols = max64(1, e->tw / target);
    e->cols = ceil_div(e->tw, e->ncols);
    e->ncols = ceil_div(e->tw, e->cols);
    int64_t least = INT64_MAX;
    for (int64_t r = 1; r <= rows && (r == 1 || r * e->cols <= target + VL); r++) {
        const int64_t last = rows % r;
        const int64_t cost = rows / r * (ceil_div(r * e->cols, VL) * VL + overhead) +
                             (last ? ceil_div(last * e->cols, VL) * VL + overhead : 0);
        if (cost <= least) {
            least = cost;
            e->rows = r;
        }
    }
    e->nrows = ceil_div(rows, e->rows);
}

/* The convolution that `e` describes. */
static int F(winograd_run)(F(winograd) *e, int threads)
{
    e->m = e->steps->m, e->a = e->m + e->steps->r - 1, e->positions = e->a * e->a;
    e->th = ceil_div(ceil_div(e->oh, e->yi), e->m), e->tw = ceil_div(ceil_div(e->ow, e->yi), e->m);
    const int64_t tiles = e->n * e->th * e->tw;
    const double fmas = (double)e->groups * e->positions *
                        ((double)e->k * e->c * tiles + 2.0 * (e->k + e->c) * tiles +
                         2.0 * e->k * e->c);
    threads = fdl_plan(threads, fmas / (2.5 * VL));

    e->panels = ceil_div(e->k, CONV_MR);
    const int64_t u_size = e->groups * F(winograd_u_at)(e, e->c, e->panels);
    const int64_t channel = e->positions * CONV_MR * (int64_t)sizeof(REAL);
    e->blocks = ceil_div(e->c, WINOGRAD_PANEL / channel);
    F(winograd_cut)(e, WINOGRAD_TILES);
    int own = e->groups * e->nrows * e->ncols >= 4 * threads;
    if (!own && e->groups * e->ncols == 1 && threads * e->k <= tiles) {
        /* few, but every thread reads U for less than V would be exchanged: as many for each */
        const int64_t rows = e->n * e->th;
        e->rows = ceil_div(rows, ceil_div(e->nrows, threads) * threads);
        e->nrows = ceil_div(rows, e->rows);
        own = e->nrows % threads == 0 && e->rows * e->cols >= 2 * VL;
    }
    const int keep = own && (e->ready || u_size * (int64_t)sizeof(REAL) <= WINOGRAD_FILTERS);
    if (!keep) {
        const int64_t most = WINOGRAD_DATA / (e->positions * e->c * (int64_t)sizeof(REAL));
        F(winograd_cut)(e, max64(WINOGRAD_TILES, min64(WINOGRAD_MOST_TILES, most)));
        if (!e->ready)                                                      /* even shares */
            e->panels = min64(e->k, ceil_div(e->panels, threads) * threads);
    }
    e->ldv = ((ceil_div(e->rows * e->cols, VL) + 1) | 1) * VL;

    /* koff | a row of zeros | U or V */
    const int64_t zeros = ceil_div(e->w + VL, VL) * VL;
    const int64_t v_size = e->positions * F(winograd_plane_of)(e, e->c);
    REAL *buffer = fdl_scratch(FDL_SCRATCH_CONV,
                               ceil_div(e->c, 8) * 8 * sizeof(int64_t) +
                                   (zeros + (!keep ? v_size : e->ready ? 0 : u_size)) *
                                       sizeof(REAL));
    if (!buffer) return FDL_NOMEM;
    e->koff = (int64_t *)buffer;
    for (int64_t c = 0; c < e->c; c++) e->koff[c] = c * e->ldv;
    buffer = (REAL *)(e->koff + ceil_div(e->c, 8) * 8);
    F(conv_zero)(buffer, zeros);
    e->zeros = buffer;
    if (!keep) e->v = buffer + zeros;
    else if (!e->ready) e->u = buffer + zeros;
    OMP(parallel num_threads(threads))
    F(winograd_share)(e);
    return e->status;
}

#define STEPS(m, r, step)                                                                          \
    static void F(winograd_input_##m##_##r)(const F(winograd) *e, int64_t g, int64_t c,            \
                                            const winograd_chunk *p, REAL *lines, REAL *out,       \
                                            int64_t plane)                                         \
    {                                                                                              \
        F(winograd_input)(m, r, step, e, g, c, p, lines, out, plane);                              \
    }                                                                                              \
    static void F(winograd_output_##m##_##r)(const F(winograd) *e, int64_t g, int64_t k,           \
                                             const winograd_chunk *p, const REAL *products,        \
                                             int64_t plane, REAL *stage)                           \
    {                                                                                              \
        F(winograd_output)(m, r, e, g, k, p, products, plane, stage);                              \
    }                                                                                              \
    static void F(winograd_filters_##m##_##r)(const F(winograd) *e, int64_t g, int64_t q,          \
                                              int64_t c0, int64_t c1, REAL *u);                    \
    static const F(winograd_steps) F(winograd_##m##_##r) = {                                       \
        m, r, F(winograd_input_##m##_##r), F(winograd_filters_##m##_##r),                          \
        F(winograd_output_##m##_##r)};
#if TAILORED
STEPS(4, 2, e->step)                    /* with filters of its own: winograd_strided.c            */
#endif

/* What filters of r x r taps, stride 1, on tiles of m x m outputs have in common. */
static F(winograd) F(winograd_tiled)(const F(winograd_steps) *by, const fdl_conv *g, const void *w)
{
    return (F(winograd)){.steps = by, .groups = g->groups, .n = g->n, .step = 1, .yi = 1,
                         .filter = w,
                         .fg = g->k / g->groups * (g->c / g->groups) * by->r * by->r};
}

static F(winograd) F(winograd_of)(const F(winograd_steps) *by, const fdl_conv *g, const void *x,
                                  const void *w, const void *bias, void *y)
{
    F(winograd) e = F(winograd_tiled)(by, g, w);
    e.c = g->c / g->groups, e.k = g->k / g->groups, e.xc = g->c, e.yc = g->k;
    e.x = x, e.h = g->h, e.w = g->w, e.y = y, e.oh = g->oh, e.ow = g->ow, e.bias = bias;
    e.pad_h[0] = g->pad_h, e.pad_w[0] = g->pad_w, e.fc = by->r * by->r, e.fk = e.c * e.fc;
    e.ready = g->ready;
    return e;
}

static int F(winograd_forward)(const F(winograd_steps) *by, const fdl_conv *g, const void *x,
                               const void *w, const void *bias, void *y, int threads)
{
    if (!g->n || !g->k || !g->oh || !g->ow) return FDL_OK;
    if (!g->c) return F(conv_naive_forward)(g, x, w, bias, y, threads);      /* the bias alone */
    F(winograd) e = F(winograd_of)(by, g, x, w, bias, y);
    return F(winograd_run)(&e, threads);
}

/* U of all groups and panels, as winograd_run deals them for a `ready` one. */
static int64_t F(winograd_ready)(const F(winograd_steps) *by, const fdl_conv *g, const void *w,
                                 REAL *u)
{
    F(winograd) e = F(winograd_of)(by, g, NULL, w, NULL, NULL);
    e.positions = (by->m + by->r - 1) * (by->m + by->r - 1);
    e.panels = ceil_div(e.k, CONV_MR);
    for (int64_t t = 0; u && t < e.groups * e.panels; t++)
        F(winograd_make)(&e, t / e.panels, t % e.panels, u);
    return e.groups * F(winograd_u_at)(&e, e.c, e.panels);
}

/* A convolution of dy, channels exchanged and the filter flipped. */
static int F(winograd_grad_input)(const F(winograd_steps) *by, const fdl_conv *g, const void *dy,
                                  const void *w, void *dx, int threads)
{
    if (!g->n || !g->c || !g->h || !g->w) return FDL_OK;
    if (!g->k || !g->oh || !g->ow) {
        F(conv_zero)(dx, g->n * g->c * g->h * g->w);
        return FDL_OK;
    }
    F(winograd) e = F(winograd_tiled)(by, g, w);
    e.c = g->k / g->groups, e.k = g->c / g->groups, e.xc = g->k, e.yc = g->c;
    e.x = dy, e.h = g->oh, e.w = g->ow, e.y = dx, e.oh = g->h, e.ow = g->w;
    e.pad_h[0] = by->r - 1 - g->pad_h, e.pad_w[0] = by->r - 1 - g->pad_w;
    e.fk = by->r * by->r, e.fc = e.k * e.fk, e.flip = 1;
    return F(winograd_run)(&e, threads);
}

#define PASSES(name, m, r)                                                                         \
    STEPS(m, r, 1)                                                                                 \
    static void F(winograd_filters_##m##_##r)(const F(winograd) *e, int64_t g, int64_t q,          \
                                              int64_t c0, int64_t c1, REAL *u)                     \
    {                                                                                              \
        F(winograd_filters)(m, r, e, g, q, c0, c1, u);                                             \
    }                                                                                              \
    static int64_t F(conv_winograd_##name##_ready)(const fdl_conv *g, const void *w, void *u)      \
    {                                                                                              \
        return F(winograd_ready)(&F(winograd_##m##_##r), g, w, u);                                 \
    }                                                                                              \
    static int F(conv_winograd_##name##_forward)(const fdl_conv *g, const void *x, const void *w,  \
                                                 const void *bias, void *y, int threads)           \
    {                                                                                              \
        return F(winograd_forward)(&F(winograd_##m##_##r), g, x, w, bias, y, threads);             \
    }                                                                                              \
    static int F(conv_winograd_##name##_grad_input)(const fdl_conv *g, const void *dy,             \
                                                    const void *w, void *dx, int threads)          \
    {                                                                                              \
        return F(winograd_grad_input)(&F(winograd_##m##_##r), g, dy, w, dx, threads);              \
    }
PASSES(2x2, 2, 3)
PASSES(4x4, 4, 3)
#if TAILORED
PASSES(5x5, 2, 5)
#endif
#undef PASSES
#undef STEPS
