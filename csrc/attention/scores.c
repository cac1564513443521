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
 * Products are those of the small GEMM path (direct), which takes its operands as they lie. A tile
 * on the diagonal of a causal mask is half empty; there they go strip by strip, and leave out what
 * lies above:
 *
 *            queries                    lanes
 *            +---+---+---+---+          a strip of keys starts at the first lane that sees one,
 *     keys   |###|###|###|###|          a strip of queries ends at its last key
 *            +---+---+---+---+
 *            |   |###|###|###|
 *            +---+---+---+---+
 *            |   |   |###|###|
 *            +---+---+---+---+
 */
#define QUERIES 64
#define KEYS 64
#define STRIP 16 /* a multiple of every VL */

/* Where a thread is, and its scratch memory */
typedef struct F(attention_tile) {
    int64_t n, h;                           /* the head                                         */
    int64_t i0, l, lanes;                   /* its queries [i0, i0 + l), in `lanes` lanes       */
    int64_t j0, keys;                       /* its keys [j0, j0 + keys)                         */
    int64_t strip;                          /* rows of a product: STRIP on the diagonal         */
    REAL *q;                                /* (e, lanes)      scale Q^T                        */
    REAL *dy;                               /* (ev, lanes)     dY^T, backward only              */
    REAL *p, *dp;                           /* (KEYS, lanes)   S^T, then P^T; dP^T, then dS^T   */
    REAL *mask;                             /* (KEYS, lanes)   what is added to S^T; later D^T  */
    REAL *rows;                             /* (QUERIES, KEYS) the mask as it lies              */
    int status;                             /* FDL_NOMEM if a product had no memory             */
} F(attention_tile);

static F(attention_tile) F(new_tile)(const fdl_attention *g)
{
    F(attention_tile) t = {.status = FDL_OK};
    size_t q = (size_t)g->e * QUERIES, dy = (size_t)g->ev * QUERIES, tile = KEYS * QUERIES;
    t.q = fdl_scratch(FDL_SCRATCH_ATTENTION, (q + dy + 4 * tile) * sizeof(REAL));
    if (!t.q) {
        t.status = FDL_NOMEM;
        return t;
    }
    t.dy = t.q + q;
    t.p = t.dy + dy;
    t.dp = t.p + tile;
    t.mask = t.dp + tile;
    t.rows = t.mask + tile;
    return t;
}

/* Goes to queries [i0, i0 + QUERIES) of head (n, h), or as many as there are */
INLINE void F(go_to_queries)(const fdl_attention *g, int64_t n, int64_t h, int64_t i0,
                             F(attention_tile) *t)
{
    t->n = n, t->h = h, t->i0 = i0;
    t->l = min64(QUERIES, g->l - i0);
    t->lanes = ceil_div(t->l, VL) * VL;
}

/* How many keys the tile's queries may see */
INLINE int64_t F(keys_seen)(const fdl_attention *g, const F(attention_tile) *t)
{
    return g->causal ? min64(g->s, t->i0 + t->l) : g->s;
}

/* Goes to keys [j0, j0 + keys) */
INLINE void F(go_to_keys)(const fdl_attention *g, int64_t j0, int64_t keys, F(attention_tile) *t)
{
    t->j0 = j0, t->keys = keys;
    t->strip = g->causal && j0 + keys - 1 > t->i0 ? STRIP : QUERIES;
}

/* X (l x cols), rows as they lie, to X^T (cols x lanes), times `scale` */
static void F(pack_queries)(const F(attention_tile) *t, int64_t cols, const REAL *x, int64_t x_row,
                            REAL scale, REAL *to)
{
    F(pack_b)(cols, t->l, x, 1, x_row, to);
    for (int64_t i = 0; i < cols * t->lanes && scale != 1; i += VL) ST(to + i, LD(to + i) * scale);
}

/* ---- products of a tile ---------------------------------------------------------------------- */

/* C (+)= A B, rows of B and C contiguous */
static void F(block_product)(F(attention_tile) *t, int64_t m, int64_t n, int64_t k, const REAL *a,
                             int64_t a_row, int64_t a_col, const REAL *b, int64_t b_row, REAL *c,
                             int64_t c_row, int accumulate)
{
    F(product) g = {.m = m, .n = n, .k = k, .a = a, .a_row = a_row, .a_col = a_col,
                    .b = b, .b_row = b_row, .b_col = 1, .c = c, .c_row = c_row, .c_col = 1,
                    .accumulate = accumulate};
    if (k > 0) t->status |= F(direct)(&g, KC);
    else F(begin)(&g);
}

/* The first lane of a strip of keys that begins with key j of the tile */
INLINE int64_t F(first_lane)(const F(attention_tile) *t, int64_t j)
{
    return t->strip == STRIP ? min64(t->lanes, max64(0, (t->j0 + j - t->i0) / VL * VL)) : 0;
}

/* C (keys x lanes) = A B,   A: keys x k,  B: k x lanes */
static void F(scores)(F(attention_tile) *t, int64_t k, const REAL *a, int64_t a_row, const REAL *b,
                      REAL *c)
{
    for (int64_t j = 0; j < t->keys; j += t->strip) {
        int64_t first = F(first_lane)(t, j);
        F(block_product)(t, min64(t->strip, t->keys - j), t->lanes - first, k, a + j * a_row, a_row,
                         1, b + first, t->lanes, c + j * t->lanes + first, t->lanes, 0);
    }
}

/* C (keys x n) += P^T B,   P^T: keys x lanes,  B: queries x n */
static void F(add_to_keys)(F(attention_tile) *t, int64_t n, const REAL *p, const REAL *b,
                           int64_t b_row, REAL *c, int64_t c_row)
{
    for (int64_t j = 0; j < t->keys; j += t->strip) {
        int64_t first = F(first_lane)(t, j);
        if (first < t->l)
            F(block_product)(t, min64(t->strip, t->keys - j), n, t->l - first,
                             p + j * t->lanes + first, t->lanes, 1, b + first * b_row, b_row,
                             c + j * c_row, c_row, 1);
    }
}

/* C (queries x n) (+)= P B,   P^T: keys x lanes,  B: keys x n */
static void F(add_to_queries)(F(attention_tile) *t, int64_t n, const REAL *p, const REAL *b,
                              int64_t b_row, REAL *c, int64_t c_row, int accumulate)
{
    for (int64_t i = 0; i < t->l; i += t->strip) {
        int64_t rows = min64(t->strip, t->l - i), keys = t->keys;
        if (t->strip == STRIP) keys = min64(keys, max64(0, t->i0 + i + rows - t->j0));
        F(block_product)(t, rows, n, keys, p + i, 1, t->lanes, b, b_row, c + i * c_row, c_row,
                         accumulate);
    }
}

/* ---- scores ---------------------------------------------------------------------------------- */

/* Row i of the tile's part of a boolean mask as numbers to add; returns how many keys it keeps */
INLINE int64_t F(kept_keys)(int64_t keys, const uint8_t *keep, int64_t step, REAL *to)
{
    int kept = 0;
    for (int64_t j = 0; j < keys; j++) {
        to[j] = keep[j * step] ? 0 : -INFINITY;
        kept += keep[j * step] != 0;
    }
    return kept;
}

#define MASK_HIDES_ALL 0
#define MASK_HIDES_NONE 1
#define MASK_IS_ADDED 2

/* t->mask (keys x lanes) = the tile's part of the mask: what is to be added to S^T. A boolean one
 * says first whether the tile is needed at all. */
static int F(mask_tile)(const fdl_attention *g, const F(attention_tile) *t)
{
    int64_t from = t->n * g->mask_n + t->h * g->mask_h + t->i0 * g->mask_row + t->j0 * g->mask_col;
    int64_t rows = g->mask_row == 0 ? 1 : t->l, row = g->mask_row, col = g->mask_col, kept = 0;
    const REAL *add = t->rows;
    if (g->keep) {
        for (int64_t i = 0; i < rows; i++) {
            const uint8_t *keep = g->keep + from + i * row;
            kept += col == 1 ? F(kept_keys)(t->keys, keep, 1, t->rows + i * KEYS)
                             : F(kept_keys)(t->keys, keep, col, t->rows + i * KEYS);
        }
        if (kept == 0) return MASK_HIDES_ALL;
        if (kept == rows * t->keys) return MASK_HIDES_NONE;
        row = KEYS, col = 1;
    } else if (g->bias) {
        add = (const REAL *)g->bias + from;
    } else {
        return MASK_HIDES_NONE;
    }
    if (rows > 1)
        F(pack_b)(t->keys, t->l, add, col, row, t->mask);
    else /* the same for all queries */
        for (int64_t j = 0; j < t->keys; j++)
            for (int64_t i = 0; i < t->lanes; i += VL)
                ST(t->mask + j * t->lanes + i, SPLAT(add[j * col]));
    return MASK_IS_ADDED;
}

/* t->p (keys x lanes) = S^T; 0 and nothing written where no pair takes part */
static int F(score_tile)(const fdl_attention *g, F(attention_tile) *t)
{
    int64_t size = t->keys * t->lanes;
    int mask = F(mask_tile)(g, t);
    if (mask == MASK_HIDES_ALL) return 0;
    F(scores)(t, g->e, F(head_rows)(g->k, t->n, t->h / g->group, t->j0), g->k.row, t->q, t->p);
    if (mask == MASK_IS_ADDED)
        for (int64_t i = 0; i < size; i += VL) ST(t->p + i, LD(t->p + i) + LD(t->mask + i));
    if (t->strip == STRIP) {
        VI lane;
        UNROLL(16) for (int i = 0; i < VL; i++) lane[i] = i;
        for (int64_t j = 0; j < t->keys; j++)
            for (int64_t i = 0; i < min64(t->lanes, t->j0 + j - t->i0); i += VL) {
                REAL *s = t->p + j * t->lanes + i;
                ST(s, SEL(lane < (INT)(t->j0 + j - t->i0 - i), SPLAT(-INFINITY), LD(s)));
            }
    }
    return 1;
}

/* The factors of the tile's probabilities (keys x lanes), 0 or more; NULL: all 1 */
static const REAL *F(factor_tile)(const fdl_attention *g, const F(attention_tile) *t)
{
    if (g->dropped == 0) return NULL;
    F(attention_factors_tile)(g, t->n, t->h, t->i0, t->lanes, t->j0, t->keys, t->mask);
    return t->mask;
}
#undef MASK_HIDES_ALL
#undef MASK_HIDES_NONE
#undef MASK_IS_ADDED
