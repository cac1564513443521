/* naive.c: scaled dot-product attention by its definition, a row of scores at a time.
 *
 *   y_i = sum_j d_ij p_ij v_j,   p_ij = exp(s_ij - lse_i),   lse_i = log sum_j exp(s_ij),
 *   s_ij = scale q_i . k_j + mask_ij,   d_ij: dropped.c; 1 without dropout
 *
 * Idea      three loops over the keys: scores, their softmax, the weighted mean of the values
 * Removes   nothing: the starting point
 * Leaves    every key and value is read anew for every query, and one sum at a time is formed
 * Requires  contiguous rows of q, k, v, y; any other strides
 * Checked   against float64, with the tiled kernel
 * Timed     never: for comparing results
 */
/* Rows [row, ...) of head (n, h) */
INLINE REAL *F(head_rows)(fdl_heads x, int64_t n, int64_t h, int64_t row)
{
    return (REAL *)x.data + n * x.n + h * x.h + row * x.row;
}

static int F(attention_naive)(const fdl_attention *g, int threads)
{
    (void)threads;
    REAL *p = fdl_scratch(FDL_SCRATCH_ATTENTION, 2 * (size_t)g->s * sizeof(REAL)), *d = p + g->s;
    if (!p) return FDL_NOMEM;
    for (int64_t j = 0; j < g->s; j++) d[j] = 1;
    for (int64_t row = 0; row < g->n * g->h * g->l; row++) {
        int64_t n = row / g->l / g->h, h = row / g->l % g->h, i = row % g->l, kv = h / g->group;
        int64_t mask = n * g->mask_n + h * g->mask_h + i * g->mask_row;
        const REAL *q = F(head_rows)(g->q, n, h, i);
        REAL *y = F(head_rows)(g->y, n, h, i), max = -INFINITY, sum = 0;
        for (int64_t j = 0; j < g->s; j++) {
            const REAL *k = F(head_rows)(g->k, n, kv, j);
            REAL dot = 0;
            for (int64_t c = 0; c < g->e; c++) dot += q[c] * k[c];
            p[j] = dot * (REAL)g->scale;
            if (g->keep && !g->keep[mask + j * g->mask_col]) p[j] += -INFINITY;
            if (g->bias) p[j] += ((const REAL *)g->bias)[mask + j * g->mask_col];
            if (g->causal && j > i) p[j] = -INFINITY;
            max = p[j] > max ? p[j] : max;
        }
        REAL base = max == -INFINITY ? 0 : max; /* -inf throughout: y = 0, lse = inf */
        for (int64_t j = 0; j < g->s; j++) sum += p[j] = (REAL)exp(p[j] - base);
        if (g->dropped > 0) F(attention_factors_row)(g, n, h, i, d);
        for (int64_t c = 0; c < g->ev; c++) y[c] = 0;
        for (int64_t j = 0; j < g->s && sum != 0; j++)
            for (int64_t c = 0; c < g->ev; c++)
                y[c] += d[j] * p[j] / sum * F(head_rows)(g->v, n, kv, j)[c];
        ((REAL *)g->lse)[row] = sum == 0 ? (REAL)INFINITY : base + (REAL)log(sum);
    }
    return FDL_OK;
}
