/* implicit.c: convolution as a matrix product whose right side is never written out.
 *
 *   Y (M x pixels) = A (M x taps) X (taps x pixels)
 *
 * Idea      a task is a piece of the output, all channels of a group. Block by block of input
 *           channels its input is lowered (lower.c) to planes in which a tap is one offset and
 *           consecutive pixels are consecutive elements, and the micro-kernel reads its B vectors
 *           from there: row k of X starts at koff[k]. To a 1x1 filter of stride 1 the channels of
 *           an image are such planes already, read in place. Where pieces do not give all threads
 *           even work, a task is some channels of one
 * Removes   the im2col buffer and its trips through memory; packing; FMAs on padding rows: output
 *           channels are dealt evenly to micro-kernels of every height, and filter rows that lie
 *           outside the image for all pixels of a tile are left out of its sum
 * Leaves    S shifted copies of a piece, but of 1x1; every FMA of the definition (no Winograd)
 * Requires  any geometry
 * Checked   against naive.c and float64, at edges of tiles, pieces and blocks; any thread count
 *           gives the same bits: pieces and blocks follow from the shape
 * Timed     python -m fastdl bench conv. Of 128 channels at 56, 3x3/2: 102 GFLOP/s on one thread,
 *           of 118 that its tiles reach alone; 206 on two
 */
#define CONV_TAPS (1536 / (int)sizeof(REAL))       /* taps in a block: the A panel stays in L1    */
#define CONV_PIXELS (3200 / (int)sizeof(REAL))     /* pixels in a piece: the planes stay in L2    */
#define CONV_SMALL 16384                           /* values of a filter that one thread packs    */
#define CONV_TASKS 8                               /* at least about, of few output channels      */

/* What a thread knows of the taps in a block of a phase: where each is in the lowered planes. */
typedef struct F(conv_places) {
    conv_chains chains;
    int64_t *koff;
} F(conv_places);

static int F(conv_places_of)(const F(conv_phase) *f, F(conv_places) *at)
{
    const int64_t taps = f->blocks.c * f->blocks.r * f->cols.n;
    at->koff = fdl_scratch(FDL_SCRATCH_CONV_4, (taps + 3 * f->blocks.r + 1) * sizeof *at->koff);
    if (!at->koff) return FDL_NOMEM;
    at->chains.base = at->koff + taps;
    at->chains.row = at->chains.base + f->blocks.r;
    at->chains.slot = at->chains.row + f->blocks.r;
    return FDL_OK;
}

/* The planes of block b of phase f that the outputs p of group g read, and where in them each tap
 * is. A piece of one image is read in place if its last vector ends inside the tensor; the copy of
 * any other is in scratch. NULL: no memory. */
NOINLINE const REAL *F(conv_planes)(const F(conv_engine) *e, const F(conv_phase) *f, int64_t g,
                                    const conv_block *b, const conv_piece *p, F(conv_places) *at)
{
    F(conv_source) source = e->x;
    source.x += g * e->c * source.h * source.w;
    const int64_t slots = conv_chain_rows(&f->rows, b, p, &at->chains), ns = f->cols.n;
    if (f->in_place && p->g == 1 && (p->rows == 1 || p->cols == source.w)) {
        const int64_t plane = source.h * source.w;
        const REAL *x = source.x + p->n0 * source.image + b->c0 * plane + p->i0 * source.w + p->j0;
        const int64_t reach = (b->c1 - b->c0 - 1) * plane + ceil_div(p->rows * p->cols, VL) * VL;
        if (source.to - x >= reach) {
            F(conv_offsets)(b, ns, p, &at->chains, plane, at->koff);
            return x;
        }
    }
    const int64_t plane = F(conv_plane)(slots, p);
    REAL *x = fdl_scratch(FDL_SCRATCH_CONV_2, (b->c1 - b->c0) * ns * plane * sizeof(REAL));
    if (!x) return NULL;
    F(conv_lower)(&source, &f->cols, f->rows.step, b, p, &at->chains, plane, x);
    F(conv_offsets)(b, ns, p, &at->chains, plane, at->koff);
    return x;
}

/* One phase of one piece: outputs p of group g, in panels q0 ... q1 - 1. */
static int F(conv_phase_piece)(const F(conv_engine) *e, const F(conv_phase) *f, int64_t g,
                               int64_t q0, int64_t q1, const conv_piece *p)
{
    const int64_t nr = f->rows.n, ns = f->cols.n, step = f->rows.step, pitch = p->g * p->cols;
    const int64_t pixels = p->rows * pitch;
    const int64_t first = F(conv_panel)(e, q0), m = F(conv_panel)(e, q1) - first;
    const conv_blocks *blocks = &f->blocks;
    F(conv_places) places;
    if (F(conv_places_of)(f, &places) != FDL_OK) return FDL_NOMEM;
    REAL *packed = NULL;                               /* the panels of a block, if made here     */
    if (!e->packed) {
        const int64_t size = ceil_div(m * blocks->c * blocks->r * ns * (int64_t)sizeof(REAL), 64);
        packed = fdl_scratch(FDL_SCRATCH_CONV_5, size * 64 + F(conv_cursors_size)(e));
        if (!packed) return FDL_NOMEM;
    }

    /* Where consecutive pixels are consecutive in y, tiles go there; else to a staging copy. */
    const int direct = !e->columns && e->yj == 1 && p->g == 1 &&
                       (p->rows == 1 || (p->cols == e->yw && e->yi == 1));
    REAL *y = e->y + p->j0 * e->yj + f->y +
              e->yw * (p->i0 * e->yi + e->yh * (first / e->ms + e->m / e->ms *
                                                                    (g + e->groups * p->n0)));
    int64_t ldc = e->yh * e->yw;
    REAL *c = y;
    if (!direct) {
        ldc = (ceil_div(pixels, VL) | 1) * VL;         /* room for the last, partly used vector   */
        const int64_t more = e->columns ? (e->ms + 1) * (ceil_div(e->yw, VL) + 1) : 0;
        c = fdl_scratch(FDL_SCRATCH_CONV_3, (m * ldc + (2 + more) * VL) * sizeof(REAL));
        if (!c) return FDL_NOMEM;
        c += VL;                                       /* conv_unload_columns reads from before c */
    }

    const REAL *a0 = f->a + g * e->m * e->c * nr * ns;
    for (int64_t t = 0, done = 0; t < blocks->nc * blocks->nr; t++) {
        const conv_block b = conv_block_at(blocks, t, e->c, nr);
        const int64_t width = (b.c1 - b.c0) * ns, kc = (b.r1 - b.r0) * width;
        const REAL *x = F(conv_planes)(e, f, g, &b, p, &places);
        if (!x) return FDL_NOMEM;
        const int64_t *koff = places.koff, *at = f->rows.at;
        const int outside = p->i0 * step + at[b.r0] < 0 ||
                            (p->i0 + p->rows - 1) * step + at[b.r1 - 1] >= e->x.h;

        /* A panel (kc x mr, in L1) goes through the piece before the next does. But where channels
         * read in place are many, and more than outputs, all panels go through a tile's pixels
         * before the next: to fetch x from memory, which is slow, is spread over all their sums. */
        const int in_place = f->in_place && p->g == 1;
        const int by_strips = in_place && !packed && e->c >= max64(128, e->m);
        const int64_t strip = by_strips ? 2 * VL : pixels;
        for (int64_t i = 0; i < ceil_div(pixels, strip) * (q1 - q0); i++) {
            const int64_t q = q0 + i % (q1 - q0), s0 = i / (q1 - q0) * strip;
            const int64_t m0 = F(conv_panel)(e, q), mr = F(conv_panel)(e, q + 1) - m0;
            const REAL *a = a0 + m0 * e->c * nr * ns + done * mr;
            if (packed) {
                F(conv_pack_block)(e, f, g, q, &b, packed, packed + ceil_div(mr * kc, 64) * 64);
                a = packed;
            }
            const REAL *bias = e->bias ? e->bias + g * e->m + m0 : NULL;
            int64_t nv;
            for (int64_t p0 = s0; p0 < min64(pixels, s0 + strip); p0 += nv * VL) {
                const int64_t left = pixels - p0;
                nv = mr <= CONV_WIDE && left > 3 * VL ? 4 : left > VL ? 2 : 1;
                int64_t r0 = b.r0, r1 = b.r1;          /* filter rows that meet the image         */
                if (outside) {
                    const int64_t top = p->i0 + p0 / pitch;
                    const int64_t bottom = p->i0 + (p0 + min64(left, nv * VL) - 1) / pitch;
                    while (r0 < r1 && bottom * step + at[r0] < 0) r0++;
                    while (r1 > r0 && top * step + at[r1 - 1] >= e->x.h) r1--;
                }
                const int64_t k0 = (r0 - b.r0) * width, k1 = (r1 - b.r0) * width;
                F(conv_tile_fn) *tile = F(conv_tiles)[nv][mr];
                REAL *to = c + (m0 - first) * ldc + p0;
                if (in_place && direct && t == 0)      /* lines of y come while their sums do     */
                    for (int64_t l = 0; l < mr; l++)
                        for (int64_t j = 1; j <= nv; j++)
                            __builtin_prefetch(to + l * ldc + j * VL - 1, 1);
                if (!direct || left >= nv * VL) {
                    tile(k1 - k0, a + k0 * mr, x + p0, koff + k0, to, ldc, bias, t == 0);
                    continue;
                }
                REAL last[CONV_MR * 4 * VL];           /* the tail must not write past y's row    */
                tile(k1 - k0, a + k0 * mr, x + p0, koff + k0, last, nv * VL,
                     t ? NULL : bias, 1);
                for (int64_t l = 0; l < mr; l++, to += ldc)
                    for (int64_t j = 0; j < left; j += VL) {
                        const V v = LD(last + l * nv * VL + j);
                        STN(to + j, t ? v + LDN(to + j, left - j, 0) : v, left - j);
                    }
            }
        }
        done += kc;
    }
    if (e->columns) F(conv_unload_columns)(e, p, c, ldc, y, (VI *)(c + m * ldc + VL));
    else if (!direct) F(conv_unload)(e, p, m, c, ldc, y);
    return FDL_OK;
}

/* Clears the rows and columns that a piece owns, in panels q0 ... q1 - 1 of group g. */
static void F(conv_clear)(const F(conv_engine) *e, int64_t piece, int64_t g, int64_t q0, int64_t q1)
{
    const conv_piece all = conv_piece_at(&e->cut, piece, e->n, INT64_MAX / 2, INT64_MAX / 2);
    const int64_t u0 = all.i0 * e->yi, u1 = min64(e->yh, (all.i0 + e->cut.rows) * e->yi);
    const int64_t v0 = all.j0 * e->yj;
    const int64_t v1 = e->columns ? e->yw : min64(e->yw, v0 + e->cut.cols * e->yj);
    const int64_t m0 = F(conv_panel)(e, q0) / e->ms, m1 = F(conv_panel)(e, q1) / e->ms;
    for (int64_t n = all.n0; n < all.n0 + all.g; n++)
        for (int64_t m = m0; m < m1; m++)
            for (int64_t u = u0; u < u1; u++)
                F(conv_zero)(e->y + v0 + e->yw * (u + e->yh * (m + e->m / e->ms *
                                                                       (g + e->groups * n))),
                             v1 - v0);
}

/* Panels q0 ... q1 - 1 of a piece of group g, all phases. */
static void F(conv_task)(F(conv_engine) *e, int64_t piece, int64_t g, int64_t q0, int64_t q1)
{
    if (e->clear) F(conv_clear)(e, piece, g, q0, q1);
    for (const F(conv_phase) *f = e->phases; f < e->phases + e->nphases; f++) {
        const conv_piece p = conv_piece_at(&e->cut, piece, e->n, f->oh, f->ow);
        if (p.rows > 0 && p.cols > 0)
            report(&e->status, F(conv_phase_piece)(e, f, g, q0, q1, &p));
    }
}

static void F(conv_pack_all)(F(conv_engine) *e)
{
    void *memory = fdl_scratch(FDL_SCRATCH_CONV_5, F(conv_cursors_size)(e));
    report(&e->status, memory ? FDL_OK : FDL_NOMEM);
    OMP(for schedule(dynamic))
    for (int64_t t = 0; t < e->unpacked; t++)
        if (memory) F(conv_pack)(e, t / e->panels, t % e->panels, memory);
}

/* What every thread of the region runs: the filter is packed first, where several tasks read it. */
static void F(conv_share)(F(conv_engine) *e)
{
    const int64_t pieces = e->cut.ng * e->cut.nrows * e->cut.ncols;
    if (e->unpacked) F(conv_pack_all)(e);
    for (int64_t t; (t = next_task(&e->tasks, e->groups * pieces * e->shares)) >= 0;) {
        const int64_t s = t % e->shares, piece = t / e->shares % pieces;
        F(conv_task)(e, piece, t / e->shares / pieces, s * e->panels / e->shares,
                     (s + 1) * e->panels / e->shares);
    }
}

/* Whether output p reads pixel p of every channel: one tap, which moves nothing. */
static int F(conv_in_place)(const F(conv_engine) *e, const F(conv_phase) *f)
{
    const conv_taps *r = &f->rows, *s = &f->cols;
    return r->n == 1 && s->n == 1 && r->step == 1 && s->step == 1 && r->at[0] == 0 &&
           s->at[0] == 0 && f->oh <= e->x.h && f->ow == e->x.w;
}

/* Whether each image is a piece of its own, which needs no staging copy and may be read in place:
 * if an output has few taps or there are few of them, the copies cost more than the idle lanes
 * behind each image's last pixel (fitted to timings of 30 shapes). */
static int F(conv_one_by_one)(const F(conv_engine) *e, int64_t pixels, int64_t taps)
{
    const int64_t idle = ceil_div(pixels, VL) * VL - pixels;
    if (e->nphases == 1 && e->phases->in_place)
        return pixels >= 4 * VL && idle * taps * e->m <= (4 * e->m + 8 * taps) * pixels;
    return pixels >= 6 * VL && taps <= 64 && idle * taps < 4 * pixels;
}

/* Into how many shares of its panels a piece is cut: as many as give the threads even work, though
 * each lowers the piece again, which takes about as long as half a panel. */
static int64_t F(conv_shares_of)(const F(conv_engine) *e, int64_t pieces, int threads)
{
    int64_t best = 1, least = INT64_MAX;
    for (int64_t s = 1; s <= (e->ms == 1 ? min64(threads, e->panels) : 1); s++) {
        const int64_t time = ceil_div(pieces * s, threads) * (2 * ceil_div(e->panels, s) + 1);
        if (time < least) best = s, least = time;
    }
    return best;
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
        f->in_place = F(conv_in_place)(e, f);
        taps += f->rows.n * f->cols.n;
    }
    e->panels = ceil_div(e->m, CONV_MR);
    /* Smaller pieces if outputs are few, so that a few threads have even shares; but not where
     * every piece reads a large filter: there threads share its panels. */
    const int64_t pixels = e->n * oh * ow, fair = pixels * e->groups / CONV_TASKS;
    const int large = e->ms == 1 && e->panels >= CONV_TASKS / 2;
    e->cut = conv_cut_output(e->n, oh, ow,
                             large ? CONV_PIXELS
                                   : max64(CONV_PIXELS / 4, min64(CONV_PIXELS, fair)));
    if (F(conv_one_by_one)(e, oh * ow, e->c * taps)) e->cut.g = 1, e->cut.ng = e->n;
    const double fmas = (double)e->groups * e->m * pixels * ((double)e->c * taps + 4);
    threads = fdl_plan(threads, fmas / (2.5 * VL));
    const int64_t pieces = e->cut.ng * e->cut.nrows * e->cut.ncols;
    e->shares = F(conv_shares_of)(e, e->groups * pieces, threads);
    e->packed = pieces > 1 || e->nphases > 1;
    e->unpacked = e->packed ? e->groups * e->panels : 0;
    if (e->unpacked && e->groups * e->m * e->c * taps <= CONV_SMALL) {
        F(conv_pack_all)(e);
        e->unpacked = 0;
    }
    OMP(parallel num_threads(threads))
    F(conv_share)(e);
    return e->status;
}

static int F(conv_implicit_forward)(const fdl_conv *shape, const void *x, const void *w,
                                    const void *bias, void *y, int threads)
{
    const fdl_conv flat = fdl_conv_flattened(shape), *g = &flat;
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
                        .x = F(conv_source_of)(x, g->n, g->c, g->h, g->w), .c = C, .m = K,
                        .y = y, .yh = g->oh, .yw = g->ow, .yi = 1, .yj = 1, .bias = bias,
                        .filter = w, .wg = K * C * g->r * g->s, .wm = C * g->r * g->s,
                        .wc = g->r * g->s, .wr = g->s, .taps = g->r * g->s, .ms = 1,
                        .nphases = 1, .phases = &phase};
    return F(conv_run)(&e, g->oh, g->ow, (REAL *)(at + lists), threads);
}
