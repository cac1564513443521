/* grad_weight.c: the weight gradient as dot products along the pixels.
 *
 *   dW (K x taps) = dY (K x pixels) X^T (pixels x taps)
 *
 * Idea      dy and the lowered planes of x (lower.c) both lie with pixels in order, so a tile of
 *           output channels x taps keeps a vector of partial sums for each product and runs along
 *           the pixels; one horizontal sum at the end
 * Removes   the im2col buffer, and the transposition that a GEMM over pixels would pack
 * Leaves    one load for each 2.4 FMAs (4 x 6 tile: 10 for 24), and the horizontal sums: pixels are
 *           taken by the thousand to make them rare
 * Requires  any geometry
 * Checked   against naive.c and float64, at edges of tiles, pieces and blocks; any thread count
 *           gives the same bits: partial gradients follow from the shape, and are added in order
 * Timed     python -m fastdl bench conv
 */

/* ---- the micro-kernel ---------------------------------------------------------------------------
 *   out[i * ldo + to[j]] (+)= sum over runs n and p < pixels of  dy_i[p] * x_j[p],   i < mr, j < nr
 *   dy_i = dy + n * dy_run + i * ldy,   x_j = x + n * x_run + off[j]
 * The last vector of a run is moved back over the one before it, the lanes counted there masked,
 * not multiplied by zero, since they may hold NaN. A run shorter than a vector may be read past. */
#undef DOT_MR          /* those of the other dtype */
#undef DOT_NR
#undef GRAD_RUN
#if VBYTES == 64 && TAILORED
#define DOT_MR 4       /* 32 registers: 24 sums + 4 of dy + 1 of x */
#define DOT_NR 6
#define GRAD_RUN 4     /* vectors of an image that make a run of it */
#else
#define DOT_MR 3       /* 16 registers: 12 sums + 3 of dy + 1 of x */
#define DOT_NR 4
#define GRAD_RUN 24
#endif
/* Lane i of the result: the sum over the lanes of v[i]. Interleaving two vectors and adding the
 * halves leaves half as many vectors, of half as long sums, in order: v[i] meets v[i + w]. */
INLINE V F(conv_sums)(V v[VL])
{
    UNROLL(8) for (int w = VL / 2; w > 0; w /= 2)
        UNROLL(16) for (int i = 0; i < w; i++) v[i] = LOW(v[i], v[i + w]) + HIGH(v[i], v[i + w]);
    return v[0];
}

typedef struct F(conv_runs) {
    int64_t n, pixels;
    const REAL *dy, *x;
    int64_t dy_run, x_run, ldy;
    const REAL *ahead;                  /* fetched meanwhile: two elements for each of a run      */
} F(conv_runs);
typedef void F(conv_dot_fn)(const F(conv_runs) *runs, const REAL *dy, const int64_t *off, REAL *out,
                            int64_t ldo, const int64_t *to, int first);

/* out (+)= the lanes' sums of mr x nr vectors, in a function of its own: it comes once a tile. */
NOINLINE void F(conv_dot_end)(int mr, int nr, const V *sum, REAL *out, int64_t ldo,
                              const int64_t *to, int first)
{
    const int n = mr * nr;
    REAL totals[(DOT_MR * DOT_NR + VL - 1) / VL * VL], *total = totals;
    for (int t = 0; t < n; t += VL) {
        V part[VL];
        UNROLL(16) for (int l = 0; l < VL; l++) part[l] = sum[t + l < n ? t + l : n - 1];
        ST(totals + t, F(conv_sums)(part));
    }
    for (int i = 0; i < mr; i++, out += ldo, total += nr)
        for (int j = 0; j < nr; j++) out[to[j]] = first ? total[j] : out[to[j]] + total[j];
}

INLINE void F(conv_dot)(const int mr, const int nr, const F(conv_runs) *runs, const REAL *dy,
                        const int64_t *off, REAL *out, int64_t ldo, const int64_t *to, int first)
{
    V sum[DOT_MR][DOT_NR];
    UNROLL(8) for (int i = 0; i < mr; i++)
        UNROLL(8) for (int j = 0; j < nr; j++) sum[i][j] = SPLAT(0);
    const int64_t whole = runs->pixels / VL * VL, left = runs->pixels - whole, ldy = runs->ldy;
    for (int64_t n = 0; n < runs->n; n++, dy += runs->dy_run) {
        const REAL *xj[DOT_NR];
        UNROLL(8) for (int j = 0; j < nr; j++) xj[j] = runs->x + n * runs->x_run + off[j];
        for (int64_t p = 0; p < whole; p += VL) {
            V d[DOT_MR];
            UNROLL(8) for (int i = 0; i < mr; i++) d[i] = LD(dy + i * ldy + p);
            __builtin_prefetch(runs->ahead + 2 * p, 0, 1);
            __builtin_prefetch(runs->ahead + 2 * p + VL, 0, 1);
            UNROLL(8) for (int j = 0; j < nr; j++) {
                V v = LD(xj[j] + p);
                KEEP(v);                /* gcc would load it again for each FMA                   */
                UNROLL(8) for (int i = 0; i < mr; i++) sum[i][j] += d[i] * v;
            }
        }
        if (left) {
            const int64_t p = whole ? runs->pixels - VL : 0;
            const VI lanes = F(conv_lanes)(whole - p, runs->pixels - p);
            V d[DOT_MR];
            UNROLL(8) for (int i = 0; i < mr; i++) d[i] = (V)(lanes & (VI)LD(dy + i * ldy + p));
            UNROLL(8) for (int j = 0; j < nr; j++) {
                const V v = (V)(lanes & (VI)LD(xj[j] + p));
                UNROLL(8) for (int i = 0; i < mr; i++) sum[i][j] += d[i] * v;
            }
        }
    }
    V sums[DOT_MR * DOT_NR];
    UNROLL(8) for (int i = 0; i < mr; i++)
        UNROLL(8) for (int j = 0; j < nr; j++) sums[i * nr + j] = sum[i][j];
    F(conv_dot_end)(mr, nr, sums, out, ldo, to, first);
}

#define DOT(mr, nr)                                                                                \
    static void F(conv_dot_##mr##x##nr)(const F(conv_runs) *runs, const REAL *dy,                  \
                                        const int64_t *off, REAL *out, int64_t ldo,                \
                                        const int64_t *to, int first)                              \
    {                                                                                              \
        F(conv_dot)(mr, nr, runs, dy, off, out, ldo, to, first);                                   \
    }
#define DOTS(mr) DOT(mr, 1) DOT(mr, 2) DOT(mr, 3) DOT(mr, 4)
#define DOTS_5(mr) DOT(mr, 5) DOT(mr, 6)
DOTS(1) DOTS(2) DOTS(3)
#if DOT_MR == 4
DOTS(4) DOTS_5(1) DOTS_5(2) DOTS_5(3) DOTS_5(4)
#endif
#undef DOT
#undef DOTS
#undef DOTS_5

/* [rows][columns] */
#define T(mr, nr) F(conv_dot_##mr##x##nr)
#if DOT_MR == 4
#define DOTS(mr) {0, T(mr, 1), T(mr, 2), T(mr, 3), T(mr, 4), T(mr, 5), T(mr, 6)}
static F(conv_dot_fn) *const F(conv_dots)[DOT_MR + 1][DOT_NR + 1] = {
    {0}, DOTS(1), DOTS(2), DOTS(3), DOTS(4)};
#else
#define DOTS(mr) {0, T(mr, 1), T(mr, 2), T(mr, 3), T(mr, 4)}
static F(conv_dot_fn) *const F(conv_dots)[DOT_MR + 1][DOT_NR + 1] = {
    {0}, DOTS(1), DOTS(2), DOTS(3)};
#endif
#undef T
#undef DOTS

/* ---- the pass, for this kernel and that of grad_outer.c -----------------------------------------
 * An item is a share of the pieces x one block of taps, of one group. Shares have their own partial
 * gradients, added at the end; blocks write different taps of them. */
typedef struct F(conv_grad) F(conv_grad);
typedef int F(conv_grad_fn)(const F(conv_grad) *e, int64_t item);
struct F(conv_grad) {
    const fdl_conv *g;
    const REAL *x, *dy;
    REAL *dw, *partial;                 /* (shares, |dw|); dw itself if there is one share        */
    conv_taps rows, cols;
    conv_cut cut;
    conv_blocks blocks;
    int64_t pieces, shares, items;
    int64_t size;                       /* |dw|                                                   */
    F(conv_grad_fn) *item;
    tasks tasks;
    int status;
};

#define GRAD_PIXELS (12288 / (int)sizeof(REAL))    /* in a piece                                  */
#define GRAD_PLANES (384 << 10)                    /* bytes of planes in a block, to stay in L2   */

/* dy of a piece, in the order of its pixels, to the rows of runs->dy. */
static void F(conv_grad_copy)(const F(conv_grad) *e, const REAL *dy, const conv_piece *p,
                              F(conv_runs) *runs, REAL *buffer)
{
    const fdl_conv *g = e->g;
    const int64_t K = g->k / g->groups, plane = g->oh * g->ow;
    const F(conv_row) row = F(conv_row_of)(p->cols, 1, 0, p->cols, e->dy,
                                           e->dy + g->n * g->k * plane);
    runs->ldy = F(conv_plane)(p->rows, p);
    runs->dy = buffer;
    for (int64_t k = 0; k < K; k++)
        F(conv_rows)(&row, 1, 0, buffer + k * runs->ldy, dy + k * plane, g->k * plane, p->g, g->ow,
                     p->rows);
}

static int F(dot_item)(const F(conv_grad) *e, int64_t item)
{
    const fdl_conv *g = e->g;
    const int64_t C = g->c / g->groups, K = g->k / g->groups, ns = g->s, taps = C * g->r * ns;
    const int64_t nblocks = e->blocks.nc * e->blocks.nr;
    const conv_block b = conv_block_at(&e->blocks, item % nblocks, C, g->r);
    const int64_t group = item / nblocks % g->groups, share = item / nblocks / g->groups;
    const int64_t nr = b.r1 - b.r0, nk = (b.c1 - b.c0) * ns * nr;
    REAL *out = e->partial + share * e->size + group * K * taps;

    /* index lists: off | to | base | row | slot of the chains */
    int64_t *off = fdl_scratch(FDL_SCRATCH_CONV_4, (2 * nk + 3 * nr + 1) * sizeof *off);
    if (!off) return FDL_NOMEM;
    int64_t *to = off + nk;
    conv_chains chains = {.base = to + nk, .row = to + nk + nr, .slot = to + nk + 2 * nr};

    F(conv_source) source = F(conv_source_of)(e->x, g->n, g->c, g->h, g->w);
    source.x += group * C * g->h * g->w;
    const int64_t p0 = share * e->pieces / e->shares, p1 = (share + 1) * e->pieces / e->shares;
    for (int64_t t = p0; t < p1; t++) {
        const conv_piece all = conv_piece_at(&e->cut, t, g->n, g->oh, g->ow);
        conv_piece p = all;
        /* dy is read where it lies if it has long runs of pixels there, one for each image, whose
         * last vectors leave few lanes idle. */
        const int64_t run = p.rows * p.cols, idle = ceil_div(run, VL) * VL - run;
        const int long_runs = p.g == 1 ? run >= VL : run >= GRAD_RUN * VL && 16 * idle <= run;
        const int in_place = (p.rows == 1 || p.cols == g->ow) && long_runs;
        if (in_place) p.g = 1;
        const int64_t planes = (b.c1 - b.c0) * ns, runs_n = all.g / p.g;
        const int64_t plane = F(conv_plane)(conv_chain_rows(&e->rows, &b, &p, &chains), &p);
        REAL *x = fdl_scratch(FDL_SCRATCH_CONV_2, runs_n * planes * plane * sizeof(REAL));
        if (!x) return FDL_NOMEM;
        F(conv_runs) runs = {.n = runs_n, .pixels = p.rows * p.g * p.cols, .x = x,
                             .dy_run = g->k * g->oh * g->ow, .x_run = planes * plane,
                             .ldy = g->oh * g->ow};
        runs.ahead = runs.dy = e->dy + (p.n0 * g->k + group * K) * runs.ldy + p.i0 * g->ow + p.j0;
        for (int64_t n = 0; n < runs_n; n++, p.n0++)
            F(conv_lower)(&source, &e->cols, g->stride_h, &b, &p, &chains, plane,
                          x + n * runs.x_run);
        if (!in_place) {
            REAL *buffer = fdl_scratch(FDL_SCRATCH_CONV_3,
                                       K * F(conv_plane)(p.rows, &p) * sizeof(REAL));
            if (!buffer) return FDL_NOMEM;
            F(conv_grad_copy)(e, runs.dy, &p, &runs, buffer);
        }

        /* rows of the filter innermost: the taps of a tile then read few different planes */
        int64_t *o = off, *w = to;
        for (int64_t c = b.c0; c < b.c1; c++)
            for (int64_t s = 0; s < ns; s++)
                for (int64_t r = b.r0; r < b.r1; r++) {
                    *o++ = ((c - b.c0) * ns + s) * plane + chains.base[r - b.r0] * p.g * p.cols;
                    *w++ = (c * g->r + r) * ns + s;
                }

        const int64_t nkt = ceil_div(K, DOT_MR), nct = ceil_div(nk, DOT_NR);
        for (int64_t kt = 0; kt < nkt; kt++) {
            const int64_t k0 = kt * K / nkt, mr = (kt + 1) * K / nkt - k0;
            for (int64_t ct = 0; ct < nct; ct++) {
                const int64_t j0 = ct * nk / nct, width = (ct + 1) * nk / nct - j0;
                F(conv_dots)[mr][width](&runs, runs.dy + k0 * runs.ldy, off + j0,
                                        out + k0 * taps, taps, to + j0, t == p0);
            }
        }
    }
    return FDL_OK;
}

static void F(conv_grad_add)(const F(conv_grad) *e, int64_t t0, int64_t t1)
{
    for (int64_t t = t0; t < t1; t++) {
        REAL sum = e->partial[t];
        for (int64_t i = 1; i < e->shares; i++) sum += e->partial[i * e->size + t];
        e->dw[t] = sum;
    }
}

/* What every thread of the region runs. */
static void F(conv_grad_share)(F(conv_grad) *e)
{
    for (int64_t t; (t = next_task(&e->tasks, e->items)) >= 0;)
        report(&e->status, e->item(e, t));
    if (e->shares == 1) return;
    OMP(barrier)
    OMP(for schedule(static))
    for (int64_t t = 0; t < ceil_div(e->size, 1024); t++)
        F(conv_grad_add)(e, t * 1024, min64(e->size, (t + 1) * 1024));
}

/* Pieces of about `pixels`, blocks of channels whose planes take about `planes` bytes: multiples of
 * `some` channels, if there are so many. */
static int F(conv_grad_run)(const fdl_conv *shape, const void *x, const void *dy, void *dw,
                            int64_t pixels, int64_t planes, int64_t some, F(conv_grad_fn) *item,
                            int threads)
{
    const fdl_conv flat = fdl_conv_flattened(shape), *g = &flat;
    const int64_t C = g->c / g->groups, size = g->k * C * g->r * g->s;
    if (!size) return FDL_OK;
    if (!g->n || !g->oh || !g->ow) {
        F(conv_zero)(dw, size);
        return FDL_OK;
    }
    F(conv_grad) e = {.g = g, .x = x, .dy = dy, .dw = dw, .size = size, .item = item};
    e.cut = conv_cut_output(g->n, g->oh, g->ow, pixels);
    e.pieces = e.cut.ng * e.cut.nrows * e.cut.ncols;
    e.blocks = conv_cut_taps(C, g->r, g->s,
                             max64(1, planes / (int64_t)sizeof(REAL) * g->r /
                                          (e.cut.g * e.cut.rows * e.cut.cols)));
    if (e.blocks.nc > 1 && e.blocks.c > some / 2) {
        e.blocks.c = (e.blocks.c + some / 2) / some * some;
        e.blocks.nc = ceil_div(C, e.blocks.c);
    }
    /* Some thirty items, so that threads have even shares; but little memory for partial sums. */
    const int64_t each = e.blocks.nc * e.blocks.nr * g->groups;
    e.shares = min64(ceil_div(32, each), (4 << 20) / (int64_t)sizeof(REAL) / size);
    e.shares = max64(1, min64(e.shares, e.pieces));
    /* Smaller blocks where threads would have uneven shares: by an eighth or more. That changes no
     * sum, and hence no bit, but dy is packed for each block. */
    threads = fdl_plan(threads, (double)size * g->n * g->oh * g->ow / (2.5 * VL));
    if (e.blocks.nr == 1) {
        const int64_t others = e.shares * g->groups;
        int64_t nc = e.blocks.nc;
        while (nc < C && 8 * ceil_div(others * nc, threads) * threads > 9 * others * nc) nc++;
        if (nc > e.blocks.nc) {
            e.blocks.c = ceil_div(C, nc);
            e.blocks.nc = ceil_div(C, e.blocks.c);
        }
    }
    e.items = e.shares * e.blocks.nc * e.blocks.nr * g->groups;

    const int64_t lists = 2 * (g->r + g->s);
    int64_t *at = fdl_scratch(FDL_SCRATCH_CONV, lists * sizeof *at +
                                                    e.shares * size * sizeof(REAL));
    if (!at) return FDL_NOMEM;
    int64_t *index = at + g->r + g->s;
    for (int64_t r = 0; r < g->r; r++) at[r] = r * g->dil_h - g->pad_h, index[r] = r;
    for (int64_t s = 0; s < g->s; s++) at[g->r + s] = s * g->dil_w - g->pad_w, index[g->r + s] = s;
    e.rows = (conv_taps){g->r, g->stride_h, at, index};
    e.cols = (conv_taps){g->s, g->stride_w, at + g->r, index + g->r};
    e.partial = e.shares == 1 ? dw : (REAL *)(at + lists);

    OMP(parallel num_threads(threads))
    F(conv_grad_share)(&e);
    return e.status;
}

static int F(conv_implicit_grad_weight)(const fdl_conv *g, const void *x, const void *dy, void *dw,
                                        int threads)
{
    return F(conv_grad_run)(g, x, dy, dw, GRAD_PIXELS, GRAD_PLANES, 1, F(dot_item), threads);
}
