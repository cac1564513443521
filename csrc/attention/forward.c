/* forward.c: scaled dot-product attention, tiled.
 *
 *   Y = softmax(scale Q K^T + mask) V       Q: l x e,  K: s x e,  V: s x ev,  Y: l x ev, per head
 *
 * Idea      the softmax of a row can be had in pieces (Milakov and Gimelshein 2018): keep the
 *           maximum m and the sum d so far; a new piece with a larger maximum scales what was
 *           summed by exp(m_old - m_new). So S is made tile by tile, used for Y at once, and never
 *           stored (FlashAttention: Dao et al. 2022)
 *
 *             for each block of QUERIES              a task: threads draw them from a counter
 *               for each block of KEYS               causal: only those not wholly behind
 *                 S^T = K Q^T (+ mask)               scores.c
 *                 m, d, P^T = exp(S^T - m)           down the columns
 *                 Y = exp(m_old - m) Y + P V
 *               Y /= d,  lse = m + log d             what backward needs to make P again
 *
 * Removes   the l x s matrices of the definition: memory grows with l + s, and a tile is used while
 *           it is in L1
 * Leaves    the exponentials: about a fifth of the time for e = 64
 * Requires  contiguous rows of q, k, v, y; any other strides
 * Checked   against float64 with every kind of mask; the same bits for 1, 2, 3 and 7 threads
 * Timed     python bench/versus.py attention
 */

/* One more tile of every query's softmax, in place: t (keys x lanes) becomes exp(t - m); `scales`
 * what earlier results are to be multiplied by. -inf throughout gives 0, not NaN. */
static void F(online_softmax)(int64_t keys, int64_t lanes, REAL *t, REAL *m, REAL *d, REAL *scales)
{
    for (int64_t i = 0; i < lanes; i += VL) {
        V old = LD(m + i), max = old, sum = SPLAT(0);
        for (int64_t j = 0; j < keys; j++) max = VMAX(LD(t + j * lanes + i), max);
        V base = SEL(max == SPLAT(-INFINITY), SPLAT(0), max), scale = F(vexp)(old - base);
        for (int64_t j = 0; j < keys; j++) {
            V e = F(vexp)(LD(t + j * lanes + i) - base);
            ST(t + j * lanes + i, e);
            sum += e;
        }
        ST(m + i, max);
        ST(d + i, LD(d + i) * scale + sum);
        ST(scales + i, scale);
    }
}

/* x[i, :] *= scales[i] */
static void F(scale_rows)(int64_t rows, int64_t cols, REAL *x, int64_t x_row, const REAL *scales)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols && scales[i] != 1; j += VL) {
            REAL *at = x + i * x_row + j;
            STN(at, LDN(at, cols - j, 0) * scales[i], cols - j);
        }
}

/* Queries [i0, i0 + l) of head (n, h) */
static int F(attend)(const fdl_attention *g, int64_t n, int64_t h, int64_t i0, int64_t l,
                     const F(attention_tiles) *t)
{
    REAL m[QUERIES], d[QUERIES], scales[QUERIES];
    REAL *y = F(head_rows)(g->y, n, h, i0), *lse = (REAL *)g->lse + (n * g->h + h) * g->l + i0;
    int64_t lanes = ceil_div(l, VL) * VL, end = F(keys_seen)(g, i0, l);
    int begun = 0, status = FDL_OK;
    for (int64_t i = 0; i < lanes; i++) m[i] = -INFINITY, d[i] = 0;
    F(pack_queries)(l, g->e, F(head_rows)(g->q, n, h, i0), g->q.row, (REAL)g->scale, t->q);
    for (int64_t j0 = 0; j0 < end && status == FDL_OK; j0 += KEYS) {
        int64_t keys = min64(KEYS, end - j0);
        if (F(score_tile)(g, n, h, i0, l, j0, keys, t, &status) == MASK_HIDES_ALL) continue;
        F(online_softmax)(keys, lanes, t->p, m, d, scales);
        if (begun) F(scale_rows)(l, g->ev, y, g->y.row, scales);
        status |= F(block_product)(l, g->ev, keys, t->p, 1, lanes,
                                   F(head_rows)(g->v, n, h / g->group, j0), g->v.row, y, g->y.row,
                                   begun);
        begun = 1;
    }
    for (int64_t i = 0; i < l; i++) {
        if (!begun) memset(y + i * g->y.row, 0, g->ev * sizeof(REAL));
        scales[i] = d[i] == 0 ? 0 : 1 / d[i];
        lse[i] = d[i] == 0 ? (REAL)INFINITY : m[i] + (REAL)log(d[i]);
    }
    if (begun) F(scale_rows)(l, g->ev, y, g->y.row, scales);
    return status;
}

typedef struct F(attention) {
    const fdl_attention *g;
    int64_t tasks, parts, next;
    REAL *delta, *partial;                  /* backward.c */
    int failed;
} F(attention);

/* What each thread runs: blocks of queries, the longest first */
static void F(attend_member)(F(attention) *all)
{
    const fdl_attention *g = all->g;
    int64_t blocks = ceil_div(g->l, QUERIES), task;
    F(attention_tiles) t;
    int status = F(attention_scratch)(g, &t);
    while (status == FDL_OK &&
           (task = __atomic_fetch_add(&all->next, 1, __ATOMIC_RELAXED)) < all->tasks) {
        int64_t head = task / blocks, i0 = (blocks - 1 - task % blocks) * QUERIES;
        status = F(attend)(g, head / g->h, head % g->h, i0, min64(QUERIES, g->l - i0), &t);
    }
    if (status != FDL_OK) __atomic_store_n(&all->failed, 1, __ATOMIC_RELAXED);
}

/* About nanoseconds of `products` products and the exponentials on one thread */
INLINE double F(attention_work)(const fdl_attention *g, double products)
{
    double pairs = (double)g->n * g->h * g->l * g->s * (g->causal ? 0.5 : 1);
    double each = products * (double)(g->e + g->ev) / 2 / (3 * VL) + 8.0 / VL;
    return pairs * each + (double)(g->n * g->h) * 300;
}

static int F(attention_forward)(const fdl_attention *g, int threads)
{
    F(attention) all = {.g = g, .tasks = g->n * g->h * ceil_div(g->l, QUERIES)};
    int parts = (int)min64(all.tasks, fdl_plan(threads, F(attention_work)(g, 2)));
    if (parts > 1) {
        OMP(parallel num_threads(parts))
        F(attend_member)(&all);
    } else {
        F(attend_member)(&all);
    }
    return all.failed ? FDL_NOMEM : FDL_OK;
}
