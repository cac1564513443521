/* dropped.c: which probabilities of attention are dropped, and what the others are multiplied by.
 *
 * Idea      as in random/dropout.c: the factor of (query, key) follows from a counter, so backward
 *           draws again what forward drew. Two groups of 32 words serve one key and 64 queries,
 *           which lie across the lanes of a tile
 * Removes   the l x s mask
 * Leaves    2 cycles of random bits for every vector lane, forward and backward
 * Requires  nothing
 * Checked   tiles against `attention_factors`, which writes the matrix out
 * Timed     python bench/versus.py attention
 */
#define DRAWN_QUERIES 64

/* The words of key j for the queries of head (n, h) from i0, a multiple of DRAWN_QUERIES, on */
INLINE void F(attention_words)(const fdl_attention *g, int64_t n, int64_t h, int64_t i0, int64_t j,
                               uint32_t *words)
{
    VW drawn[GROUP_VECTORS];
    const int64_t blocks = ceil_div(g->l, DRAWN_QUERIES);
    const int64_t block = ((n * g->h + h) * g->s + j) * blocks + i0 / DRAWN_QUERIES;
    for (int half = 0; half < 2; half++) {
        F(philox)(g->draw, (uint64_t)(2 * block + half), drawn);
        memcpy(words + 32 * half, drawn, sizeof drawn);
    }
}

/* to (keys x lanes) = D^T for `lanes` queries from i0 on, a multiple of VL, and keys from j0 on */
NOINLINE void F(attention_factors_tile)(const fdl_attention *g, int64_t n, int64_t h, int64_t i0,
                                        int64_t lanes, int64_t j0, int64_t keys, REAL *to)
{
    const V kept = SPLAT(g->dropped < 1 ? 1 / (1 - g->dropped) : 0);
    const int32_t bound = F(bound)(g->dropped);
    uint32_t words[DRAWN_QUERIES];
    for (int64_t j = 0; j < keys; j++) {
        F(attention_words)(g, n, h, i0, j0 + j, words);
        for (int64_t i = 0; i < lanes; i += VL)
            ST(to + j * lanes + i, (V)(~F(hits)(words + i, bound) & (VI)kept));
    }
}

/* the factors of one query: row (s) */
static void F(attention_factors_row)(const fdl_attention *g, int64_t n, int64_t h, int64_t i,
                                     REAL *row)
{
    REAL t[DRAWN_QUERIES];
    const int64_t i0 = i / DRAWN_QUERIES * DRAWN_QUERIES;
    for (int64_t j = 0; j < g->s; j++) {
        F(attention_factors_tile)(g, n, h, i0, DRAWN_QUERIES, j, 1, t);
        row[j] = t[i - i0];
    }
}

static int F(attention_factors)(const fdl_attention *g, int threads)
{
    const int64_t rows = g->n * g->h * g->l;
    REAL *y = g->y.data;
    SPLIT(fdl_plan(threads, 50.0 * rows * g->s), rows, 1,
          for (int64_t r = begin; r < end; r++)
              F(attention_factors_row)(g, r / g->l / g->h, r / g->l % g->h, r % g->l,
                                       y + r * g->s));
    return FDL_OK;
}
