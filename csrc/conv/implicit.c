/* implicit.c: convolution as a matrix product whose right side is never written out.
 *
 *   Y (M x pixels) = A (M x taps) X (taps x pixels)
 *
 * Idea      a task is a piece of the output, all channels of a group. Block by block of input
 *           channels its input is lowered (lower.c) to planes in which a tap is one offset and
 *           consecutive pixels are consecutive elements, and the micro-kernel reads its B vectors
 *           from there: row k of X starts at koff[k]
 * Removes   the im2col buffer and its trips through memory; packing; FMAs on padding rows: output
 *           channels are dealt evenly to micro-kernels of every height, and filter rows that lie
 *           outside the image for all pixels of a tile are left out of its sum
 * Leaves    S shifted copies of a piece; every FMA of the definition (no Winograd)
 * Requires  any geometry
 * Checked   against naive.c and float64, at edges of tiles, pieces and blocks; any thread count
 *           gives the same bits: pieces and blocks follow from the shape
 * Timed     python -m fastdl bench conv
 *
 * The input gradient is the same product with the roles of the channels exchanged and the filter
 * flipped, one product for each phase of the stride: dx at rows u = i * stride + a is reached by the
 * filter rows r with (a + pad - r * dilation) divisible by the stride, from dy's row
 * i + (a + pad - r * dilation) / stride.
 */

/* ---- the micro-kernel ------------------------------------------------------------------------------
 *   C (mr x nv vectors)  = A (kc x mr, packed) B + bias    if first, else  C += A B
 * where row k of B is the nv vectors at b + koff[k]. Register budget: mr * nv sums, nv of B, one of A. */
#if VBYTES == 64
#define CONV_MR 14     /* 32 registers: 14 x 2 + 2 + 1; few channels 6 x 4 + 4 + 1 */
#define CONV_WIDE 6
#else
#define CONV_MR 6      /* 16 registers:  6 x 2 + 2 + 1; few channels 2 x 4 + 4 + 1 */
#define CONV_WIDE 2
#endif
typedef void F(conv_tile_fn)(int64_t kc, const REAL *a, const REAL *b, const int64_t *koff, REAL *c,
                             int64_t ldc, const REAL *bias, int first);

INLINE void F(conv_tile)(const int mr, const int nv, int64_t kc, const REAL *restrict a,
                         const REAL *restrict b, const int64_t *restrict koff, REAL *restrict c,
                         int64_t ldc, const REAL *bias, int first)
{
    V sum[CONV_MR][4];
    UNROLL(16) for (int i = 0; i < mr; i++)
        UNROLL(4) for (int j = 0; j < nv; j++) sum[i][j] = SPLAT(0);
    for (int64_t k = 0; k < kc; k++, a += mr) {
        V row[4];
        const REAL *p = b + koff[k];
        UNROLL(4) for (int j = 0; j < nv; j++) row[j] = LD(p + j * VL);
        UNROLL(16) for (int i = 0; i < mr; i++) {
            const V ai = SPLAT(a[i]);
            UNROLL(4) for (int j = 0; j < nv; j++) sum[i][j] += ai * row[j];
        }
    }
    UNROLL(16) for (int i = 0; i < mr; i++)
        UNROLL(4) for (int j = 0; j < nv; j++) {
            REAL *p = c + i * ldc + j * VL;
            if (!first) ST(p, LD(p) + sum[i][j]);
            else ST(p, bias ? sum[i][j] + SPLAT(bias[i]) : sum[i][j]);
        }
}

#define CONV_TILE(mr, nv)                                                                          \
    static void F(conv_tile_##mr##x##nv)(int64_t kc, const REAL *a, const REAL *b,                 \
                                         const int64_t *koff, REAL *c, int64_t ldc,                \
                                         const REAL *bias, int first)                              \
    {                                                                                              \
        F(conv_tile)(mr, nv, kc, a, b, koff, c, ldc, bias, first);                                 \
    }
#define CONV_TILES_1(nv) CONV_TILE(1, nv) CONV_TILE(2, nv)
#define CONV_TILES_3(nv) CONV_TILE(3, nv) CONV_TILE(4, nv) CONV_TILE(5, nv) CONV_TILE(6, nv)
#define CONV_TILES_7(nv)                                                                           \
    CONV_TILE(7, nv) CONV_TILE(8, nv) CONV_TILE(9, nv) CONV_TILE(10, nv)                           \
    CONV_TILE(11, nv) CONV_TILE(12, nv) CONV_TILE(13, nv) CONV_TILE(14, nv)
CONV_TILES_1(1) CONV_TILES_1(2) CONV_TILES_1(4) CONV_TILES_3(1) CONV_TILES_3(2)
#if CONV_MR == 14
CONV_TILES_3(4) CONV_TILES_7(1) CONV_TILES_7(2)
#endif
#undef CONV_TILES_1
#undef CONV_TILES_3
#undef CONV_TILES_7
#undef CONV_TILE

/* [vectors][rows] */
#define T(mr, nv) F(conv_tile_##mr##x##nv)
#define ROWS_1(nv) 0, T(1, nv), T(2, nv)
#define ROWS_3(nv) T(3, nv), T(4, nv), T(5, nv), T(6, nv)
#define ROWS_7(nv)                                                                                 \
    T(7, nv), T(8, nv), T(9, nv), T(10, nv), T(11, nv), T(12, nv), T(13, nv), T(14, nv)
static F(conv_tile_fn) *const F(conv_tiles)[5][CONV_MR + 1] = {
#if CONV_MR == 14
    [1] = {ROWS_1(1), ROWS_3(1), ROWS_7(1)},
    [2] = {ROWS_1(2), ROWS_3(2), ROWS_7(2)},
    [4] = {ROWS_1(4), ROWS_3(4)},
#else
    [1] = {ROWS_1(1), ROWS_3(1)},
    [2] = {ROWS_1(2), ROWS_3(2)},
    [4] = {ROWS_1(4)},
#endif
};
#undef T
#undef ROWS_1
#undef ROWS_3
#undef ROWS_7

/* ---- the engine -------------------------------------------------------------------------------------- */
typedef struct F(conv_phase) {          /* one product: the outputs (i * yi + a, j * yj + b)            */
    conv_taps rows, cols;
    conv_blocks blocks;
    int64_t oh, ow;                     /* its outputs                                              */
    int64_t y;                          /* offset of its first output from the image's first        */
    REAL *a;                            /* [group][panel][block][k][mr], panels of even heights     */
} F(conv_phase);

typedef struct F(conv_engine) {
    int64_t groups, n;
    F(conv_source) x;                   /* (n, groups * c, h, w)                                    */
    int64_t c;                          /* input channels of a group                                */
    int64_t m, panels;                  /* output channels of a group                               */
    REAL *y;                            /* (n, groups * m, yh, yw)                                  */
    int64_t yh, yw, yi, yj;             /* rows, columns; steps between outputs of a phase          */
    const REAL *bias;
    const REAL *filter;                 /* w[g * wg + m * wm + c * wc + r * wr + s]                 */
    int64_t wg, wm, wc, wr;
    conv_cut cut;                       /* of the largest phase                                     */
    int64_t nphases;
    F(conv_phase) *phases;
    int clear;                          /* some outputs are reached by no tap                       */
    int status;                         /* a task that fails stores FDL_NOMEM                       */
} F(conv_engine);

#define CONV_TAPS (1280 / (int)sizeof(REAL))       /* taps in a block: the A panel stays in L1      */
#define CONV_PIXELS (3072 / (int)sizeof(REAL))     /* pixels in a piece: the planes stay in L2      */

INLINE int64_t F(conv_panel)(const F(conv_engine) *e, int64_t q) { return q * e->m / e->panels; }

/* Panel q of group g of a phase. A row of the filter at a time: reads run along it. */
static void F(conv_pack)(const F(conv_engine) *e, const F(conv_phase) *f, int64_t g, int64_t q)
{
    const int64_t nr = f->rows.n, ns = f->cols.n, taps = e->c * nr * ns;
    const int64_t m0 = F(conv_panel)(e, q), mr = F(conv_panel)(e, q + 1) - m0;
    REAL *out = f->a + (g * e->m + m0) * taps;
    for (int64_t t = 0; t < f->blocks.nc * f->blocks.nr; t++) {
        const conv_block b = conv_block_at(&f->blocks, t, e->c, nr);
        for (int64_t i = 0; i < mr; i++) {
            REAL *a = out + i;
            for (int64_t r = b.r0; r < b.r1; r++)
                for (int64_t c = b.c0; c < b.c1; c++) {
                    const REAL *w = e->filter + g * e->wg + (m0 + i) * e->wm + c * e->wc +
                                    f->rows.index[r] * e->wr;
                    for (int64_t s = 0; s < ns; s++, a += mr) *a = w[f->cols.index[s]];
                }
        }
        out += (b.c1 - b.c0) * (b.r1 - b.r0) * ns * mr;
    }
}

/* y: the first output of piece p; c (m x ldc): its pixels. Whole vectors are written where what they
 * write beyond their row is this piece's too, and follows. */
static void F(conv_unload)(const F(conv_engine) *e, const conv_piece *p, const REAL *c, int64_t ldc,
                           REAL *y)
{
    const int64_t yn = e->groups * e->m * e->yh * e->yw, yi = e->yi * e->yw, yj = e->yj;
    const int64_t cols = p->cols, end = ceil_div(cols, VL) * VL;
    const int64_t own = yj == 1 && yi == cols ? p->rows * cols : 0;
    for (int64_t m = 0; m < e->m; m++)
        for (int64_t n = 0; n < p->g; n++) {
            const REAL *s = c + m * ldc + n * cols;
            REAL *d = y + n * yn + m * e->yh * e->yw;
            for (int64_t i = 0; i < p->rows; i++, s += p->g * cols, d += yi)
                if (i * cols + end <= own)
                    for (int64_t j = 0; j < end; j += VL) {
                        ST(d + j, LD(s + j));
                        CONV_NO_CALL;
                    }
                else if (yj == 1) F(conv_copy)(d, s, cols);
                else for (int64_t j = 0; j < cols; j++) d[j * yj] = s[j];
        }
}

/* One phase of one piece: outputs p of group g. */
static int F(conv_phase_piece)(const F(conv_engine) *e, const F(conv_phase) *f, int64_t g,
                               const conv_piece *p)
{
    const int64_t nr = f->rows.n, ns = f->cols.n, step = f->rows.step, pitch = p->g * p->cols;
    const int64_t pixels = p->rows * pitch;
    const conv_blocks *blocks = &f->blocks;

    /* index lists: koff | base | row | slot of the chains */
    int64_t *koff = fdl_scratch(FDL_SCRATCH_CONV_4,
                                (blocks->c * blocks->r * ns + 3 * blocks->r + 1) * sizeof *koff);
    if (!koff) return FDL_NOMEM;
    conv_chains chains = {0};
    chains.base = koff + blocks->c * blocks->r * ns;
    chains.row = chains.base + blocks->r;
    chains.slot = chains.row + blocks->r;

    /* Where consecutive pixels are consecutive in y, tiles go there; else to a staging copy. */
    const int direct = e->yj == 1 && p->g == 1 && (p->rows == 1 || (p->cols == e->yw && e->yi == 1));
    REAL *y = e->y + ((p->n0 * e->groups + g) * e->m * e->yh + p->i0 * e->yi) * e->yw +
              p->j0 * e->yj + f->y;
    int64_t ldc = e->yh * e->yw;
    REAL *c = y;
    if (!direct) {
        ldc = (ceil_div(pixels, VL) | 1) * VL;         /* room for the last, partly used vector     */
        c = fdl_scratch(FDL_SCRATCH_CONV_3, e->m * ldc * sizeof(REAL));
        if (!c) return FDL_NOMEM;
    }

    F(conv_source) source = e->x;
    source.x += g * e->c * source.h * source.w;
    const REAL *a0 = f->a + g * e->m * e->c * nr * ns;
    for (int64_t t = 0, done = 0; t < blocks->nc * blocks->nr; t++) {
        const conv_block b = conv_block_at(blocks, t, e->c, nr);
        const int64_t width = (b.c1 - b.c0) * ns, kc = (b.r1 - b.r0) * width;
        const int64_t slots = conv_chain_rows(&f->rows, &b, p, &chains);
        const int64_t plane = F(conv_plane)(slots, p);
        REAL *x = fdl_scratch(FDL_SCRATCH_CONV_2, width * plane * sizeof(REAL));
        if (!x) return FDL_NOMEM;
        F(conv_lower)(&source, &f->cols, step, &b, p, &chains, plane, x);
        F(conv_offsets)(&b, ns, p, &chains, plane, koff);
        const int64_t *at = f->rows.at;
        const int outside = p->i0 * step + at[b.r0] < 0 ||
                            (p->i0 + p->rows - 1) * step + at[b.r1 - 1] >= source.h;

        for (int64_t q = 0; q < e->panels; q++) {      /* A panel: kc x mr, in L1                   */
            const int64_t m0 = F(conv_panel)(e, q), mr = F(conv_panel)(e, q + 1) - m0;
            const REAL *a = a0 + m0 * e->c * nr * ns + done * mr;
            const REAL *bias = e->bias ? e->bias + g * e->m + m0 : NULL;
            int64_t nv;
            for (int64_t p0 = 0; p0 < pixels; p0 += nv * VL) {
                const int64_t left = pixels - p0;
                nv = mr <= CONV_WIDE && left > 3 * VL ? 4 : left > VL ? 2 : 1;
                int64_t r0 = b.r0, r1 = b.r1;          /* filter rows that meet the image           */
                if (outside) {
                    const int64_t first = p->i0 + p0 / pitch;
                    const int64_t last = p->i0 + (p0 + min64(left, nv * VL) - 1) / pitch;
                    while (r0 < r1 && last * step + at[r0] < 0) r0++;
                    while (r1 > r0 && first * step + at[r1 - 1] >= source.h) r1--;
                }
                const int64_t k0 = (r0 - b.r0) * width, k1 = (r1 - b.r0) * width;
                F(conv_tile_fn) *tile = F(conv_tiles)[nv][mr];
                REAL *to = c + m0 * ldc + p0;
                if (!direct || left >= nv * VL) {
                    tile(k1 - k0, a + k0 * mr, x + p0, koff + k0, to, ldc, bias, t == 0);
                    continue;
                }
                REAL last[CONV_MR * 4 * VL];           /* the tail must not write past y's row      */
                tile(k1 - k0, a + k0 * mr, x + p0, koff + k0, last, nv * VL,
                     t ? NULL : bias, 1);
                for (int64_t i = 0; i < mr; i++)
                    for (int64_t j = 0; j < left; j++)
                        to[i * ldc + j] = last[i * nv * VL + j] + (t ? to[i * ldc + j] : 0);
            }
        }
        done += kc;
    }
    if (direct) return FDL_OK;

    F(conv_unload)(e, p, c, ldc, y);
    return FDL_OK;
}

static void F(conv_task)(F(conv_engine) *e, int64_t t)
{
    const int64_t tasks = e->cut.ng * e->cut.nrows * e->cut.ncols, g = t / tasks;
    const conv_piece all = conv_piece_at(&e->cut, t % tasks, e->n, INT64_MAX / 2, INT64_MAX / 2);
    if (e->clear) {                                    /* the rows and columns that the piece owns  */
        const int64_t u0 = all.i0 * e->yi, u1 = min64(e->yh, (all.i0 + e->cut.rows) * e->yi);
        const int64_t v0 = all.j0 * e->yj, v1 = min64(e->yw, (all.j0 + e->cut.cols) * e->yj);
        for (int64_t n = all.n0; n < all.n0 + all.g; n++)
            for (int64_t m = 0; m < e->m; m++)
                for (int64_t u = u0; u < u1; u++)
                    F(conv_zero)(e->y + (((n * e->groups + g) * e->m + m) * e->yh + u) * e->yw + v0,
                                 v1 - v0);
    }
    for (int64_t i = 0; i < e->nphases; i++) {
        const F(conv_phase) *f = e->phases + i;
        const conv_piece p = conv_piece_at(&e->cut, t % tasks, e->n, f->oh, f->ow);
        if (p.rows <= 0 || p.cols <= 0) continue;
        if (F(conv_phase_piece)(e, f, g, &p) != FDL_OK)
            __atomic_store_n(&e->status, FDL_NOMEM, __ATOMIC_RELAXED);
    }
}

/* What every thread of the region runs. */
static void F(conv_share)(F(conv_engine) *e)
{
    const int64_t panels = e->nphases * e->groups * e->panels;
    OMP(for schedule(static))
    for (int64_t t = 0; t < panels; t++)
        F(conv_pack)(e, e->phases + t / e->panels / e->groups, t / e->panels % e->groups,
                     t % e->panels);
    const int64_t tasks = e->groups * e->cut.ng * e->cut.nrows * e->cut.ncols;
    OMP(for schedule(dynamic))
    for (int64_t t = 0; t < tasks; t++) F(conv_task)(e, t);
}

/* Phases and their taps are set. oh x ow: the outputs of the largest phase; a: room for the packed
 * filter, as large as the filter: every tap belongs to one phase at most. */
static int F(conv_run)(F(conv_engine) *e, int64_t oh, int64_t ow, REAL *a, int threads)
{
    int64_t taps = 0;
    for (int64_t i = 0; i < e->nphases; i++) {
        F(conv_phase) *f = e->phases + i;
        f->blocks = conv_cut_taps(e->c, f->rows.n, f->cols.n, CONV_TAPS);
        f->a = a + e->groups * e->m * e->c * taps;
        taps += f->rows.n * f->cols.n;
    }
    e->panels = ceil_div(e->m, CONV_MR);
    /* At least about eight pieces, so that a few threads have even shares. */
    e->cut = conv_cut_output(e->n, oh, ow,
                             max64(CONV_PIXELS / 4, min64(CONV_PIXELS, e->n * oh * ow / 8)));
    const double fmas = (double)e->n * e->groups * e->m * oh * ow * ((double)e->c * taps + 4);
    threads = fdl_plan(threads, fmas / (2.5 * VL));
    OMP(parallel num_threads(threads))
    F(conv_share)(e);
    return e->status;
}

static int F(conv_implicit_forward)(const fdl_conv *g, const void *x, const void *w,
                                    const void *bias, void *y, int threads)
{
    if (!g->n || !g->k || !g->oh || !g->ow) return FDL_OK;
    if (!g->c) return F(conv_naive_forward)(g, x, w, bias, y, threads);      /* the bias alone */
    const int64_t lists = (g->r + g->s) * 2, C = g->c / g->groups, K = g->k / g->groups;
    int64_t *at = fdl_scratch(FDL_SCRATCH_CONV,
                              lists * sizeof *at + g->k * C * g->r * g->s * sizeof(REAL));
    if (!at) return FDL_NOMEM;
    int64_t *index = at + g->r + g->s;
    for (int64_t r = 0; r < g->r; r++) at[r] = r * g->dil_h - g->pad_h, index[r] = r;
    for (int64_t s = 0; s < g->s; s++) at[g->r + s] = s * g->dil_w - g->pad_w, index[g->r + s] = s;

    F(conv_phase) phase = {.rows = {g->r, g->stride_h, at, index},
                           .cols = {g->s, g->stride_w, at + g->r, index + g->r},
                           .oh = g->oh, .ow = g->ow};
    F(conv_engine) e = {.groups = g->groups, .n = g->n,
                        .x = F(conv_source_of)(x, g->n, g->c, g->h, g->w), .c = C, .m = K, .y = y, .yh = g->oh, .yw = g->ow, .yi = 1, .yj = 1, .bias = bias,
                        .filter = w, .wg = K * C * g->r * g->s, .wm = C * g->r * g->s,
                        .wc = g->r * g->s, .wr = g->s, .nphases = 1, .phases = &phase};
    return F(conv_run)(&e, g->oh, g->ow, (REAL *)(at + lists), threads);
}

/* The taps of one axis that reach phase a, furthest first: their sources ascend. */
static int64_t F(conv_phase_taps)(int64_t a, int64_t taps, int64_t stride, int64_t pad, int64_t dil,
                                  int64_t *at, int64_t *index)
{
    int64_t n = 0;
    for (int64_t r = taps - 1; r >= 0; r--)
        if ((a + pad - r * dil) % stride == 0)
            at[n] = (a + pad - r * dil) / stride, index[n++] = r;
    return n;
}

static int F(conv_implicit_grad_input)(const fdl_conv *g, const void *dy, const void *w, void *dx,
                                       int threads)
{
    if (!g->n || !g->c || !g->h || !g->w) return FDL_OK;
    /* phases beyond the image have no outputs */
    const int64_t sh = min64(g->stride_h, g->h), sw = min64(g->stride_w, g->w);
    const int64_t lists = (g->r + g->s) * 2, C = g->c / g->groups, K = g->k / g->groups;
    int64_t *at = fdl_scratch(FDL_SCRATCH_CONV,
                              (lists + sh + sw) * sizeof *at + sh * sw * sizeof(F(conv_phase)) +
                                  g->k * C * g->r * g->s * sizeof(REAL));
    if (!at) return FDL_NOMEM;
    int64_t *index = at + g->r + g->s, *count = at + lists;
    F(conv_phase) *phases = (void *)(count + sh + sw);

    for (int64_t a = 0, t = 0; a < sh; t += count[a++])
        count[a] = F(conv_phase_taps)(a, g->r, g->stride_h, g->pad_h, g->dil_h, at + t, index + t);
    for (int64_t b = 0, t = g->r; b < sw; t += count[sh + b++])
        count[sh + b] =
            F(conv_phase_taps)(b, g->s, g->stride_w, g->pad_w, g->dil_w, at + t, index + t);

    int64_t n = 0;
    for (int64_t a = 0, r = 0; a < sh; r += count[a++])
        for (int64_t b = 0, s = g->r; b < sw; s += count[sh + b++])
            if (g->k && count[a] && count[sh + b])
                phases[n++] = (F(conv_phase)){
                    .rows = {count[a], 1, at + r, index + r},
                    .cols = {count[sh + b], 1, at + s, index + s},
                    .oh = ceil_div(g->h - a, g->stride_h), .ow = ceil_div(g->w - b, g->stride_w),
                    .y = a * g->w + b};
    F(conv_engine) e = {.groups = g->groups, .n = g->n,
                        .x = F(conv_source_of)(dy, g->n, g->k, g->oh, g->ow), .c = K, .m = C, .y = dx, .yh = g->h, .yw = g->w, .yi = g->stride_h,
                        .yj = g->stride_w, .filter = w, .wg = K * C * g->r * g->s,
                        .wm = g->r * g->s, .wc = C * g->r * g->s, .wr = g->s, .nphases = n,
                        .phases = phases, .clear = n < g->stride_h * g->stride_w};
    return F(conv_run)(&e, ceil_div(g->h, g->stride_h), ceil_div(g->w, g->stride_w),
                       (REAL *)(phases + sh * sw), threads);
}
