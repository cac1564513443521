/* grad_outer.c: the weight gradient as a sum of outer products, one for each pixel.
 *
 *   dW[r] (K x planes) += dY (K x pixels) X[r] (pixels x planes)       for every filter row r
 *
 * Idea      the planes of lower.c, one for each input channel and filter column, are transposed.
 *           Then a pixel's values in two vectors of planes lie side by side, like a row of B in a
 *           matrix product, and the micro-kernel of implicit.c adds pixel after pixel. Filter row r
 *           reads the same panels some rows further down; rows in the padding are left out
 * Removes   against grad_weight.c the horizontal sums, and loads: 16 for the 28 FMAs of a 14 x 2
 *           tile, most of single values, where a 4 x 6 tile has 10 of vectors for 24
 * Leaves    the transposition of every value, S times: few output channels do not pay for it
 * Requires  any geometry
 * Checked   as grad_weight.c
 * Timed     python -m fastdl bench conv
 */
#define OUTER_PIXELS (1600 / (int)sizeof(REAL))    /* in a piece: a panel of dY stays in L1       */
#define OUTER_PLANES (512 << 10)                   /* bytes of a block's panels, to stay in L2    */

/* dY of a piece as panels of filters, [panel][pixel][mr]; y, its rows in the piece's order, ldy
 * apart. Whole vectors are written: upper lanes first, whose overrun the lower ones overwrite. */
static void F(outer_pack)(int64_t K, int64_t panels, int64_t pixels, const REAL *y, int64_t ldy,
                          REAL *a)
{
    for (int64_t q = 0; q < panels; q++) {
        const int64_t k0 = q * K / panels, mr = (q + 1) * K / panels - k0;
        for (int64_t i = (mr - 1) / VL * VL; i >= 0; i -= VL)
            F(pack_columns)(pixels, min64(VL, mr - i), y + (k0 + i) * ldy, ldy,
                            a + k0 * pixels + i, mr);
    }
}

static int F(outer_item)(const F(conv_grad) *e, int64_t item)
{
    const fdl_conv *g = e->g;
    const int64_t C = g->c / g->groups, K = g->k / g->groups, ns = g->s, taps = C * g->r * ns;
    const int64_t nblocks = e->blocks.nc * e->blocks.nr;
    const conv_block b = conv_block_at(&e->blocks, item % nblocks, C, g->r);
    const int64_t group = item / nblocks % g->groups, share = item / nblocks / g->groups;
    const int64_t nr = b.r1 - b.r0, planes = (b.c1 - b.c0) * ns, panels = ceil_div(K, CONV_MR);
    const int64_t vectors = ceil_div(planes, VL), wide = vectors * VL;
    const int64_t p0 = share * e->pieces / e->shares, p1 = (share + 1) * e->pieces / e->shares;
    const int64_t most = e->cut.g * e->cut.rows * e->cut.cols;      /* pixels of a piece */

    /* offsets of pixels in panels of 1 and 2 vectors | base | row | slot of the chains */
    int64_t *off = fdl_scratch(FDL_SCRATCH_CONV_4, (2 * most + 3 * nr + 1) * sizeof *off);
    if (!off) return FDL_NOMEM;
    for (int64_t p = 0; p < most; p++) off[p] = p * VL, off[most + p] = 2 * p * VL;
    int64_t *base = off + 2 * most;
    conv_chains chains = {.base = base, .row = base + nr, .slot = base + 2 * nr};

    F(conv_source) source = F(conv_source_of)(e->x, g->n, g->c, g->h, g->w);
    source.x += group * C * g->h * g->w;
    REAL *sum = NULL;                                  /* (nr, K, wide)                           */
    for (int64_t t = p0; t < p1; t++) {
        const conv_piece p = conv_piece_at(&e->cut, t, g->n, g->oh, g->ow);
        const int64_t pitch = p.g * p.cols, pixels = p.rows * pitch;
        const int64_t slots = conv_chain_rows(&e->rows, &b, &p, &chains);
        const int64_t plane = F(conv_plane)(slots, &p);

        /* lowered x and dy, then their panels: the lowered ones are not needed any more */
        REAL *low = fdl_scratch(FDL_SCRATCH_CONV_2,
                                max64(planes * plane, K * F(conv_plane)(p.rows, &p)) *
                                    sizeof(REAL));
        REAL *a = fdl_scratch(FDL_SCRATCH_CONV_3,
                              (K * pixels + VL + slots * pitch * wide) * sizeof(REAL));
        sum = fdl_scratch(FDL_SCRATCH_CONV_5, nr * K * wide * sizeof(REAL));
        if (!low || !a || !sum) return FDL_NOMEM;
        REAL *x = a + K * pixels + VL;
        F(conv_runs) runs = {.dy = e->dy + (p.n0 * g->k + group * K) * g->oh * g->ow +
                                   p.i0 * g->ow + p.j0,
                             .ldy = g->oh * g->ow};
        if (p.g > 1 || (p.rows > 1 && p.cols < g->ow))
            F(conv_grad_copy)(e, runs.dy, &p, &runs, low);
        F(outer_pack)(K, panels, pixels, runs.dy, runs.ldy, a);
        F(conv_lower)(&source, &e->cols, g->stride_h, &b, &p, &chains, plane, low);
        for (int64_t v = 0; v < vectors; v++) {        /* panels of 2 vectors, at last of 1      */
            const int64_t width = v % 2 || v + 1 < vectors ? 2 : 1;
            F(pack_columns)(slots * pitch, min64(VL, planes - v * VL), low + v * VL * plane, plane,
                            x + v / 2 * 2 * VL * slots * pitch + v % 2 * VL, width * VL);
        }

        for (int64_t r = 0; r < nr; r++) {             /* rows of dy whose row of x is inside     */
            const int64_t at = e->rows.at[b.r0 + r], u = p.i0 * g->stride_h + at;
            const int64_t i0 = u < 0 ? min64(p.rows, ceil_div(-u, g->stride_h)) : 0;
            const int64_t i1 = u < g->h ? min64(p.rows, ceil_div(g->h - u, g->stride_h)) : 0;
            const int64_t from = i0 * pitch, kc = max64(0, i1 - i0) * pitch;
            for (int64_t q = 0; q < panels; q++) {
                const int64_t k0 = q * K / panels, mr = (q + 1) * K / panels - k0;
                const REAL *ap = a + k0 * pixels + from * mr;
                for (int64_t v = 0; v < vectors; v += 2) {
                    const int nv = v + 1 < vectors ? 2 : 1;
                    F(conv_tiles)[nv][mr](kc, ap, x + v * VL * slots * pitch +
                                          (chains.base[r] * pitch + from) * nv * VL,
                                          nv == 2 ? off + most : off,
                                          sum + (r * K + k0) * wide + v * VL, wide, NULL, t == p0);
                }
            }
        }
    }
    REAL *out = e->partial + share * e->size + group * K * taps + (b.c0 * g->r + b.r0) * ns;
    for (int64_t k = 0; k < K; k++)
        for (int64_t r = 0; r < nr; r++) {
            const REAL *from = sum + (r * K + k) * wide;
            REAL *to = out + k * taps + r * ns;
            if (g->r == 1) F(conv_copy)(to, from, planes);
            else
                for (int64_t c = b.c0; c < b.c1; c++, to += g->r * ns)
                    for (int64_t s = 0; s < ns; s++) to[s] = *from++;
        }
    return FDL_OK;
}

static int F(conv_outer_grad_weight)(const fdl_conv *g, const void *x, const void *dy, void *dw,
                                     int threads)
{
    return F(conv_grad_run)(g, x, dy, dw, OUTER_PIXELS, OUTER_PLANES, 2 * VL, F(outer_item),
                            threads);
}
