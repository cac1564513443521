/* filters.c: the filter packed into the panels that the micro-kernel of implicit.c reads. Not a
 * rung: a part of product.c.
 *
 * A panel is mr rows of the product: k by k, the mr values that one vector of X meets. In the
 * filter the values of a row's taps lie side by side, so that a square of rows and taps is turned
 * in registers, and each tap's values are stored where its cursor points. All taps are stored at
 * once, whichever phase they belong to: a cache line of the filter is read once.
 */
typedef struct F(conv_cursor) {
    REAL *to;
    int64_t step;                       /* to the next channel's value                            */
} F(conv_cursor);

/* Bytes that conv_cursors needs: the cursors, and a place for taps that no phase has. */
INLINE int64_t F(conv_cursors_size)(const F(conv_engine) *e)
{
    return ceil_div(e->taps * (int64_t)sizeof(F(conv_cursor)), 64) * 64 +
           ceil_div(CONV_MR, VL) * VBYTES;
}

static F(conv_cursor) *F(conv_cursors)(const F(conv_engine) *e, void *memory)
{
    F(conv_cursor) *at = memory;
    REAL *nowhere = (REAL *)((char *)memory +
                             ceil_div(e->taps * (int64_t)sizeof *at, 64) * 64);
    for (int64_t t = 0; t < e->taps; t++) at[t] = (F(conv_cursor)){nowhere, 0};
    return at;
}

/* The taps of block b of phase f, from channel c of the block on, go to its panel a. */
static void F(conv_aim)(const F(conv_engine) *e, const F(conv_phase) *f, const conv_block *b,
                        int64_t c, int64_t mr, REAL *a, F(conv_cursor) *at)
{
    const int64_t ns = f->cols.n, width = b->c1 - b->c0;
    for (int64_t r = b->r0; r < b->r1; r++)
        for (int64_t s = 0; s < ns; s++)
            at[f->rows.index[r] * e->wr + f->cols.index[s]] = (F(conv_cursor)){
                a + (((r - b->r0) * width + c - b->c0) * ns + s) * mr, ns * mr};
}

/* Channels c0 <= c < c1 of panel q of group g, each tap to where its cursor points. */
static void F(conv_turn)(const F(conv_engine) *e, int64_t g, int64_t q, int64_t c0, int64_t c1,
                         F(conv_cursor) *at)
{
    const int64_t m0 = F(conv_panel)(e, q), mr = F(conv_panel)(e, q + 1) - m0, taps = e->taps;
    const REAL *w = e->filter + g * e->wg + c0 * e->wc;
    if (e->wm == 1) {                   /* the rows lie side by side already: 1x1                 */
        for (int64_t c = c0; c < c1; c++, w += e->wc, at->to += at->step)
            for (int64_t i = 0; i < mr; i += VL)
                STN(at->to + i, LDN(w + m0 + i, mr - i, 0), mr - i);
        return;
    }
    const REAL *row[(CONV_MR + VL - 1) / VL * VL];
    for (int64_t i = 0; i < ceil_div(mr, VL) * VL; i++) {
        const int64_t m = m0 + min64(i, mr - 1);
        row[i] = w + m / e->ms * e->wm + m % e->ms;
    }
    const int one_run = e->wc == taps;  /* of a row: its channels follow each other               */
    const int64_t runs = one_run ? 1 : c1 - c0, len = one_run ? (c1 - c0) * taps : taps;
    for (int64_t k = 0; k < runs; k++)
        for (int64_t u = 0, t = 0; u < len; u += VL) {
            const int64_t from = k * e->wc + u, n = min64(VL, len - u);
            REAL *to[VL];
            for (int64_t l = 0; l < n; l++) {
                to[l] = at[t].to;
                at[t].to += at[t].step;
                if (++t == taps) t = 0;
            }
            for (int64_t i = 0; i < mr; i += VL) {
                V v[VL];
                if (n == VL) UNROLL(16) for (int l = 0; l < VL; l++) v[l] = LD(row[i + l] + from);
                else
                    UNROLL(16) for (int l = 0; l < VL; l++) v[l] = LDN(row[i + l] + from, n, 0);
                F(transpose)(v);
                UNROLL(16) for (int l = 0; l < VL; l++)
                    if (l < n) STN(to[l] + i, v[l], mr - i);
            }
        }
}

/* Panel q of group g in block b of phase f, to a. */
static void F(conv_pack_block)(const F(conv_engine) *e, const F(conv_phase) *f, int64_t g,
                               int64_t q, const conv_block *b, REAL *a, void *memory)
{
    F(conv_cursor) *at = F(conv_cursors)(e, memory);
    F(conv_aim)(e, f, b, b->c0, F(conv_panel)(e, q + 1) - F(conv_panel)(e, q), a, at);
    F(conv_turn)(e, g, q, b->c0, b->c1, at);
}

/* Panel q of group g in all blocks of all phases, to where each phase's panels are. */
static void F(conv_pack)(const F(conv_engine) *e, int64_t g, int64_t q, void *memory)
{
    F(conv_cursor) *at = F(conv_cursors)(e, memory);
    const int64_t m0 = F(conv_panel)(e, q), mr = F(conv_panel)(e, q + 1) - m0;
    for (int64_t c = 0, next; c < e->c; c = next) {    /* until the next block of any phase       */
        next = e->c;
        for (const F(conv_phase) *f = e->phases; f < e->phases + e->nphases; f++) {
            const int64_t nr = f->rows.n, ns = f->cols.n;
            for (int64_t t = 0; t < f->blocks.nr; t++) {
                const conv_block b = conv_block_at(&f->blocks, c / f->blocks.c * f->blocks.nr + t,
                                                   e->c, nr);
                REAL *a = f->a + (g * e->m + m0) * e->c * nr * ns +
                          (b.c0 * nr + (b.c1 - b.c0) * b.r0) * ns * mr;
                F(conv_aim)(e, f, &b, c, mr, a, at);
                next = min64(next, b.c1);
            }
        }
        F(conv_turn)(e, g, q, c, next, at);
    }
}
