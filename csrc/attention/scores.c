/* scores.c: one tile of scores, the part that forward and backward share.
 *
 *   S = scale Q K^T + mask        Q: l x e,  K: s x e,  mask: l x s, or none
 *
 * A tile is QUERIES x KEYS of S. It is held turned, keys down and queries across the lanes:
 *
 *              queries i0 ...               every sum or maximum over keys goes down a column:
 *            +---------------+              one operation for VL queries, none across lanes
 *     keys   |      S^T      |
 *     j0 ... |               |              S^T = K Q^T: the rows of K are broadcast from where
 *            +---------------+              they lie, Q^T is packed once for all its tiles
 *
 * Products are those of the small GEMM path (direct), which takes its operands as they lie.
 */
#define QUERIES 64
#define KEYS 64

/* The scratch memory of one thread, cut into pieces */
typedef struct F(attention_tiles) {
    REAL *q;                                /* (e, lanes)     scale Q^T                         */
    REAL *dy;                               /* (ev, lanes)    dY^T, backward only               */
    REAL *p, *dp;                           /* (KEYS, lanes)  S^T, then P^T; dP^T, then dS^T    */
    REAL *mask;                             /* (KEYS, lanes)  what is added to S^T              */
    REAL *rows;                             /* (QUERIES, KEYS) the mask as it lies              */
} F(attention_tiles);

static int F(attention_scratch)(const fdl_attention *g, F(attention_tiles) *t)
{
    size_t q = (size_t)g->e * QUERIES, dy = (size_t)g->ev * QUERIES, tile = KEYS * QUERIES;
    REAL *p = fdl_scratch(FDL_SCRATCH_ATTENTION, (q + dy + 4 * tile) * sizeof(REAL));
    if (!p) return FDL_NOMEM;
    *t = (F(attention_tiles)){p, p + q, p + q + dy, p + q + dy + tile, p + q + dy + 2 * tile,
                              p + q + dy + 3 * tile};
    return FDL_OK;
}

/* C (+)= A B for blocks: B's and C's rows contiguous; FDL_NOMEM as `direct` */
static int F(block_product)(int64_t m, int64_t n, int64_t k, const REAL *a, int64_t a_row,
                            int64_t a_col, const REAL *b, int64_t b_row, REAL *c, int64_t c_row,
                            int accumulate)
{
    F(product) g = {m, n, k, a, a_row, a_col, b, b_row, 1, c, c_row, 1, NULL, 0, 0, accumulate};
    if (k == 0) {
        F(begin)(&g);
        return FDL_OK;
    }
    return F(direct)(&g, KC);
}

/* X (l x cols), rows as they lie, to X^T (cols x lanes), times `scale` */
static void F(pack_queries)(int64_t l, int64_t cols, const REAL *x, int64_t x_row, REAL scale,
                            REAL *to)
{
    int64_t lanes = ceil_div(l, VL) * VL;
    F(pack_b)(cols, l, x, 1, x_row, to);
    for (int64_t i = 0; i < cols * lanes && scale != 1; i += VL) ST(to + i, LD(to + i) * scale);
}

/* How many keys queries [i0, i0 + l) may see */
INLINE int64_t F(keys_seen)(const fdl_attention *g, int64_t i0, int64_t l)
{
    return g->causal ? min64(g->s, i0 + l) : g->s;
}

#define MASK_HIDES_ALL 0
#define MASK_HIDES_NONE 1
#define MASK_IS_ADDED 2

/* t->mask (keys x lanes) = the tile's part of the mask: what is to be added to S^T. A boolean one
 * says first whether the tile is needed at all. */
static int F(mask_tile)(const fdl_attention *g, int64_t n, int64_t h, int64_t i0, int64_t l,
                        int64_t j0, int64_t keys, const F(attention_tiles) *t)
{
    int64_t from = n * g->mask_n + h * g->mask_h + i0 * g->mask_row + j0 * g->mask_col;
    int64_t lanes = ceil_div(l, VL) * VL, rows = g->mask_row == 0 ? 1 : l, kept = 0;
    const REAL *add = (const REAL *)g->bias + from;
    int64_t row = g->mask_row, col = g->mask_col;
    if (!g->keep && !g->bias) return MASK_HIDES_NONE;
    if (g->keep) {
        for (int64_t i = 0; i < rows; i++) {
            const uint8_t *keep = g->keep + from + i * g->mask_row;
            REAL *to = t->rows + i * KEYS;
            int count = 0;
            if (g->mask_col == 1)
                for (int64_t j = 0; j < keys; j++) {
                    to[j] = keep[j] ? 0 : -INFINITY;
                    count += keep[j] != 0;
                }
            else
                for (int64_t j = 0; j < keys; j++) {
                    to[j] = keep[j * g->mask_col] ? 0 : -INFINITY;
                    count += keep[j * g->mask_col] != 0;
                }
            kept += count;
        }
        if (kept == 0) return MASK_HIDES_ALL;
        if (kept == rows * keys) return MASK_HIDES_NONE;
        add = t->rows, row = KEYS, col = 1;
    }
    if (rows > 1)
        F(pack_b)(keys, l, add, col, row, t->mask);
    else /* the same for all queries */
        for (int64_t j = 0; j < keys; j++)
            for (int64_t i = 0; i < lanes; i += VL)
                ST(t->mask + j * lanes + i, SPLAT(add[j * col]));
    return MASK_IS_ADDED;
}

/* t->p (keys x lanes) = S^T; MASK_HIDES_ALL and nothing written where no pair takes part */
static int F(score_tile)(const fdl_attention *g, int64_t n, int64_t h, int64_t i0, int64_t l,
                         int64_t j0, int64_t keys, const F(attention_tiles) *t, int *status)
{
    int64_t lanes = ceil_div(l, VL) * VL;
    int mask = F(mask_tile)(g, n, h, i0, l, j0, keys, t);
    if (mask == MASK_HIDES_ALL) return mask;
    *status |= F(block_product)(keys, lanes, g->e, F(head_rows)(g->k, n, h / g->group, j0),
                                g->k.row, 1, t->q, lanes, t->p, lanes, 0);
    if (mask == MASK_IS_ADDED)
        for (int64_t i = 0; i < keys * lanes; i += VL) ST(t->p + i, LD(t->p + i) + LD(t->mask + i));
    if (g->causal && j0 + keys - 1 > i0) {
        VI lane;
        UNROLL(16) for (int i = 0; i < VL; i++) lane[i] = i;
        for (int64_t j = 0; j < keys; j++)
            for (int64_t i = 0; i < min64(lanes, j0 + j - i0); i += VL) {
                REAL *s = t->p + j * lanes + i;
                ST(s, SEL(lane < (INT)(j0 + j - i0 - i), SPLAT(-INFINITY), LD(s)));
            }
    }
    return mask;
}
