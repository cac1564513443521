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
 *                 m, d, P^T = exp(S^T - m)           down the columns; dropped.c multiplies P^T
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

/* The largest of VL columns each, and of `max`; four at a time, since each waits for the last */
INLINE V F(column_max)(int64_t rows, int64_t row, const REAL *t, V max)
{
    V m[4] = {max, max, max, max};
    int64_t j = 0;
    for (; j + 4 <= rows; j += 4)
        UNROLL(4) for (int i = 0; i < 4; i++) m[i] = VMAX(LD(t + (j + i) * row), m[i]);
    for (; j < rows; j++) m[0] = VMAX(LD(t + j * row), m[0]);
    return VMAX(VMAX(m[0], m[1]), VMAX(m[2], m[3]));
}

/* One more tile of every query's softmax, in place: t (keys x lanes) becomes exp(t - m); `scales`
 * what earlier results are to be multiplied by. -inf throughout gives 0, not NaN. */
static void F(online_softmax)(int64_t keys, int64_t lanes, REAL *t, REAL *m, REAL *d, REAL *scales)
{
    for (int64_t i = 0; i < lanes; i += VL) {
        V old = LD(m + i), max = F(column_max)(keys, lanes, t + i, old), sum = SPLAT(0);
        V base = SEL(max == SPLAT(-INFINITY), SPLAT(0), max), scale = F(exp_below)(old - base);
        for (int64_t j = 0; j < keys; j++) {
            V e = F(exp_below)(LD(t + j * lanes + i) - base);
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

/* All keys for the queries where t stands */
static void F(attend)(const fdl_attention *g, F(attention_tile) *t)
{
    REAL m[QUERIES], d[QUERIES], scales[QUERIES];
    REAL *y = F(head_rows)(g->y, t->n, t->h, t->i0);
    REAL *lse = (REAL *)g->lse + (t->n * g->h + t->h) * g->l + t->i0;
    int64_t end = F(keys_seen)(g, t);
    int begun = 0;
    for (int64_t i = 0; i < t->lanes; i++) m[i] = -INFINITY, d[i] = 0;
    F(pack_queries)(t, g->e, F(head_rows)(g->q, t->n, t->h, t->i0), g->q.row, (REAL)g->scale, t->q);
    for (int64_t j0 = 0; j0 < end; j0 += KEYS) {
        F(go_to_keys)(g, j0, min64(KEYS, end - j0), t);
        if (!F(score_tile)(g, t)) continue;
        F(online_softmax)(t->keys, t->lanes, t->p, m, d, scales);
        const REAL *factor = F(factor_tile)(g, t);
        for (int64_t i = 0; factor && i < t->keys * t->lanes; i += VL)
            ST(t->p + i, LD(t->p + i) * LD(factor + i));
        if (begun) F(scale_rows)(t->l, g->ev, y, g->y.row, scales);
        F(add_to_queries)(t, g->ev, t->p, F(head_rows)(g->v, t->n, t->h / g->group, j0), g->v.row,
                          y, g->y.row, begun);
        begun = 1;
    }
    for (int64_t i = 0; i < t->l; i++) {
        if (!begun) memset(y + i * g->y.row, 0, g->ev * sizeof(REAL));
        scales[i] = d[i] == 0 ? 0 : 1 / d[i];
        lse[i] = d[i] == 0 ? (REAL)INFINITY : m[i] + (REAL)log(d[i]);
    }
    if (begun) F(scale_rows)(t->l, g->ev, y, g->y.row, scales);
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
    F(attention_tile) t = F(new_tile)(g);
    while (t.status == FDL_OK &&
           (task = __atomic_fetch_add(&all->next, 1, __ATOMIC_RELAXED)) < all->tasks) {
        int64_t head = task / blocks, block = blocks - 1 - task % blocks;
        F(go_to_queries)(g, head / g->h, head % g->h, block * QUERIES, &t);
        F(attend)(g, &t);
    }
    if (t.status != FDL_OK) __atomic_store_n(&all->failed, 1, __ATOMIC_RELAXED);
}

/* About nanoseconds of `products` products and the exponentials on one thread */
INLINE double F(attention_work)(const fdl_attention *g, double products)
{
    double pairs = (double)g->n * g->h * g->l * g->s * (g->causal ? 0.5 : 1);
    double each = products * (double)(g->e + g->ev) / 2 / (3 * VL) + 8.0 / VL;
    if (g->dropped > 0) each += 0.1 * sizeof(REAL);
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
