/* backward.c: the gradients of attention, tiled.
 *
 *   P = exp(S - lse)      dV = P^T dY       dP = dY V^T       delta = rowsum(dY Y) = rowsum(dP P)
 *   dS = scale P (dP - delta)               dQ = dS K         dK = dS^T Q
 *
 * With dropout, D being its factors, dV = (D P)^T dY and dP = D (dY V^T); delta is the same.
 *
 * Idea      a tile of P is made again from Q, K and lse rather than kept from forward (Dao et al.
 *           2022): one product more, and no l x s matrix. All five products of a tile are done
 *           while it is in L1
 *
 *             for each part of the keys, of each head of k     a task: threads draw them
 *               for each chunk of CHUNK keys                   K, V, dK, dV of the chunk: in L2
 *                 for each block of QUERIES                    Q^T, dY^T: packed
 *                   for each block of KEYS in the chunk        S^T, dP^T: in L1
 *
 * Removes   the stored probabilities
 * Leaves    five products where the definition has four
 * Requires  contiguous rows; y and lse of forward
 * Checked   against float64 with every kind of mask; the same bits for 1, 2, 3 and 7 threads
 * Timed     python bench/versus.py attention
 *
 * A head's dQ is a sum over all keys. Where there are too few heads for many threads, the keys are
 * cut into parts by the shape alone; each part has a dQ of its own, added up in order at the end.
 */
#define CHUNK (8 * KEYS)
#define ATTENTION_TASKS 16 /* so many, if need be by cutting keys: memory for as many heads' dQ */

/* delta[i] = sum of dY Y over row i, for rows [begin, end) of all heads */
NOINLINE void F(attention_delta)(const fdl_attention *g, REAL *delta, int64_t begin, int64_t end)
{
    for (int64_t r = begin; r < end; r++) {
        int64_t n = r / g->l / g->h, h = r / g->l % g->h, i = r % g->l;
        const REAL *dy = F(head_rows)(g->dy, n, h, i), *y = F(head_rows)(g->y, n, h, i);
        V sum = SPLAT(0);
        for (int64_t j = 0; j < g->ev; j += VL)
            sum += LDN(dy + j, g->ev - j, 0) * LDN(y + j, g->ev - j, 0);
        delta[r] = HSUM(sum);
    }
}

/* (D P)^T and dS^T of one tile from S^T and (dY V^T)^T, in place; factor: D^T, or NULL */
INLINE void F(softmax_tile_backward)(int64_t keys, int64_t lanes, REAL scale, const REAL *lse,
                                     const REAL *delta, const REAL *factor, REAL *p, REAL *dp)
{
    for (int64_t i = 0; i < lanes; i += VL) {
        V shift = LD(lse + i), mean = LD(delta + i);
        for (int64_t at = i; at < keys * lanes; at += lanes) {
            V e = F(exp_below)(LD(p + at) - shift), d = LD(dp + at);
            ST(p + at, factor ? e * LD(factor + at) : e);
            ST(dp + at, e * ((factor ? d * LD(factor + at) : d) - mean) * scale);
        }
    }
}

/* Keys [from, to) for the queries where t stands: adds to dq, dk and dv. dq: rows of this head,
 * dq_row apart. */
static void F(attend_backward)(const fdl_attention *g, int64_t from, int64_t to, const REAL *delta,
                               REAL *dq, int64_t dq_row, F(attention_tile) *t)
{
    REAL lse[QUERIES], mean[QUERIES];
    const REAL *q = F(head_rows)(g->q, t->n, t->h, t->i0);
    const REAL *dy = F(head_rows)(g->dy, t->n, t->h, t->i0);
    int64_t row = (t->n * g->h + t->h) * g->l + t->i0, n = t->n, kv = t->h / g->group;
    for (int64_t i = 0; i < t->lanes; i++) { /* lanes without a query: P = exp(-inf) = 0 */
        lse[i] = i < t->l ? ((const REAL *)g->lse)[row + i] : (REAL)INFINITY;
        mean[i] = i < t->l ? delta[row + i] : 0;
    }
    F(pack_queries)(t, g->e, q, g->q.row, (REAL)g->scale, t->q);
    F(pack_queries)(t, g->ev, dy, g->dy.row, 1, t->dy);
    for (int64_t j0 = from; j0 < to; j0 += KEYS) {
        F(go_to_keys)(g, j0, min64(KEYS, to - j0), t);
        if (!F(score_tile)(g, t)) continue;
        F(scores)(t, g->ev, F(head_rows)(g->v, n, kv, j0), g->v.row, t->dy, t->dp);
        const REAL *d = F(factor_tile)(g, t), scale = (REAL)g->scale;
        if (d) F(softmax_tile_backward)(t->keys, t->lanes, scale, lse, mean, d, t->p, t->dp);
        else F(softmax_tile_backward)(t->keys, t->lanes, scale, lse, mean, NULL, t->p, t->dp);
        F(add_to_keys)(t, g->ev, t->p, dy, g->dy.row, F(head_rows)(g->dv, n, kv, j0), g->dv.row);
        F(add_to_keys)(t, g->e, t->dp, q, g->q.row, F(head_rows)(g->dk, n, kv, j0), g->dk.row);
        F(add_to_queries)(t, g->e, t->dp, F(head_rows)(g->k, n, kv, j0), g->k.row,
                          dq + t->i0 * dq_row, dq_row, 1);
    }
}

INLINE void F(zero_rows)(int64_t rows, int64_t cols, REAL *x, int64_t x_row)
{
    for (int64_t i = 0; i < rows; i++) memset(x + i * x_row, 0, cols * sizeof(REAL));
}

/* Where head (n, h) of dq is summed for `part` of the keys: the first in dq itself */
INLINE REAL *F(partial_dq)(const F(attention) *all, int64_t part, int64_t n, int64_t h,
                           int64_t *row)
{
    const fdl_attention *g = all->g;
    *row = part ? g->e : g->dq.row;
    if (part == 0) return F(head_rows)(g->dq, n, h, 0);
    return all->partial + (((part - 1) * g->n + n) * g->h + h) * g->l * g->e;
}

/* The first key of `part` */
INLINE int64_t F(part_begin)(const F(attention) *all, int64_t part)
{
    return min64(all->g->s, F(cut)(ceil_div(all->g->s, CHUNK), all->parts, part) * CHUNK);
}

/* What each thread runs: parts of the keys of a head of k and v */
static void F(attend_backward_member)(F(attention) *all)
{
    const fdl_attention *g = all->g;
    int64_t kv_heads = g->h / g->group, task, dq_row;
    F(attention_tile) t = F(new_tile)(g);
    while (t.status == FDL_OK &&
           (task = __atomic_fetch_add(&all->next, 1, __ATOMIC_RELAXED)) < all->tasks) {
        int64_t part = task % all->parts, n = task / all->parts / kv_heads;
        int64_t kv = task / all->parts % kv_heads, h0 = kv * g->group;
        int64_t begin = F(part_begin)(all, part), end = F(part_begin)(all, part + 1);
        F(zero_rows)(end - begin, g->e, F(head_rows)(g->dk, n, kv, begin), g->dk.row);
        F(zero_rows)(end - begin, g->ev, F(head_rows)(g->dv, n, kv, begin), g->dv.row);
        for (int64_t h = h0; h < h0 + g->group; h++) {
            REAL *dq = F(partial_dq)(all, part, n, h, &dq_row);
            F(zero_rows)(g->l, g->e, dq, dq_row);
            for (int64_t from = begin; from < end; from += CHUNK)
                for (int64_t i0 = g->causal ? from : 0; i0 < g->l; i0 += QUERIES) {
                    F(go_to_queries)(g, n, h, i0, &t);
                    int64_t to = min64(min64(from + CHUNK, end), F(keys_seen)(g, &t));
                    F(attend_backward)(g, from, to, all->delta, dq, dq_row, &t);
                }
        }
    }
    if (t.status != FDL_OK) __atomic_store_n(&all->failed, 1, __ATOMIC_RELAXED);
}

/* dq += what the other parts of the keys gave, for rows [begin, end) of all heads */
NOINLINE void F(add_partial_dq)(const F(attention) *all, int64_t begin, int64_t end)
{
    const fdl_attention *g = all->g;
    for (int64_t r = begin; r < end; r++) {
        int64_t n = r / g->l / g->h, h = r / g->l % g->h, i = r % g->l, row;
        REAL *dq = F(head_rows)(g->dq, n, h, i);
        for (int64_t part = 1; part < all->parts; part++) {
            const REAL *more = F(partial_dq)(all, part, n, h, &row) + i * row;
            for (int64_t j = 0; j < g->e; j += VL)
                STN(dq + j, LDN(dq + j, g->e - j, 0) + LDN(more + j, g->e - j, 0), g->e - j);
        }
    }
}

static int F(attention_backward)(const fdl_attention *g, int threads)
{
    int64_t heads = g->n * g->h, rows = heads * g->l, kv_heads = heads / g->group;
    if (kv_heads == 0) return FDL_OK;
    F(attention) all = {.g = g};
    all.parts = max64(1, min64(ceil_div(g->s, CHUNK), ceil_div(ATTENTION_TASKS, kv_heads)));
    all.tasks = kv_heads * all.parts;
    size_t deltas = (size_t)ceil_div(rows, 16) * 16, partials = (all.parts - 1) * rows * g->e;
    all.delta = fdl_scratch(FDL_SCRATCH_ATTENTION_2, (deltas + partials) * sizeof(REAL));
    if (!all.delta) return FDL_NOMEM;
    all.partial = all.delta + deltas;
    int parts = fdl_plan(threads, F(attention_work)(g, 5));
    SPLIT(parts, rows, 1, F(attention_delta)(g, all.delta, begin, end));
    if (min64(all.tasks, parts) > 1) {
        OMP(parallel num_threads((int)min64(all.tasks, parts)))
        F(attend_backward_member)(&all);
    } else {
        F(attend_backward_member)(&all);
    }
    if (all.parts > 1) SPLIT(parts, rows, 1, F(add_partial_dq)(&all, begin, end));
    return all.failed ? FDL_NOMEM : FDL_OK;
}
#undef QUERIES
#undef KEYS
#undef STRIP
#undef CHUNK
#undef ATTENTION_TASKS
#undef DRAWN_QUERIES
#undef PARTS
#undef GROUP
#undef GROUP_VECTORS
