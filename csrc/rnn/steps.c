/* steps.c: what both directions of a recurrence share: blocks of sequences, their rows, products.
 *
 * Sequences do not meet but in the weights' gradient, so a block of them goes through all steps on
 * one thread and nobody waits between steps. Blocks depend on sizes alone: the same bits for any
 * number of threads.
 *
 *   rows in packed order:   time 0  | 0 1 2 3 4 |   starts[0] = 0
 *                           time 1  | 0 1 2 3 |     starts[1] = 5: sequence 4 has ended
 *                           time 2  | 0 1 |         starts[2] = 9
 */
static const int F(cell_gates)[FDL_CELLS] = {1, 1, 4, 3};
static const int F(cell_kept)[FDL_CELLS] = {0, 0, 5, 4}; /* values a unit for the gradient */

#ifndef RNN_BLOCK
#define RNN_BLOCK 16         /* sequences a block: a panel of weights out of L2 serves two tiles */
#define RNN_BLOCK_FAR 64     /* where the weights do not fit into L2                             */
#define RNN_NEAR (512 << 10) /* bytes of weights that do                                         */
#endif

/* The sequences of a block, and at a step those that take part */
typedef struct F(block) {
    int64_t index, from, to;                /* sequences of the block                      */
    int64_t row, count;                     /* the first's row at this step; how many      */
    int64_t before, known;                  /* at the step before; `known` of them existed */
} F(block);

INLINE int64_t F(rnn_blocks)(const fdl_recurrence *g)
{
    int64_t bytes = g->size * g->size * F(cell_gates)[g->cell] * (int64_t)sizeof(REAL);
    return ceil_div(g->n, bytes > RNN_NEAR ? RNN_BLOCK_FAR : RNN_BLOCK);
}

INLINE int64_t F(taking_part)(const fdl_recurrence *g, int64_t t, const F(block) *k)
{
    if (t < 0 || t >= g->steps) return 0;
    return max64(0, min64(g->starts[t + 1] - g->starts[t], k->to) - k->from);
}

/* The s-th step taken, in the direction of the recurrence */
INLINE void F(go_to_step)(const fdl_recurrence *g, int64_t s, F(block) *k)
{
    int64_t t = g->reverse ? g->steps - 1 - s : s, last = g->reverse ? t + 1 : t - 1;
    k->row = g->starts[t] + k->from;
    k->count = F(taking_part)(g, t, k);
    k->known = min64(k->count, F(taking_part)(g, last, k));
    k->before = k->known ? g->starts[last] + k->from : 0;
}

INLINE V F(part_of)(const REAL *p, int64_t n) { return n >= VL ? LD(p) : LDN(p, n, 0); }

INLINE void F(put_part)(REAL *p, V v, int64_t n)
{
    if (n >= VL) ST(p, v);
    else STN(p, v, n);
}

typedef struct F(recurrence) {
    const fdl_recurrence *g;
    const REAL *panels;                     /* of the weights, or NULL               */
    REAL *sums;                             /* backward: a row of gates for each block */
    int64_t blocks, next;
    int threads;                            /* of a step: > 1 for a single block     */
    int failed;
} F(recurrence);

/* ---- products with the weights ---------------------------------------------------------------
 * The weights are packed once, into panels in the order in which the micro-kernel reads them, one
 * after the other: as they lie their rows are a power of two apart as a rule, and few sets of L1
 * would hold all of a panel. So few rows as do not pay for the copy read them as they lie. */
#define RNN_PACK 0.3 /* nanoseconds in which one thread packs a weight                            */
#define RNN_FEW 16   /* so few rows in all do not pay for a copy: measured for 1 to 16 sequences */

INLINE int64_t F(rnn_panels)(int64_t n) { return ceil_div(ceil_div(n, VL), NV); }

/* The first column of panel q */
INLINE int64_t F(rnn_panel)(int64_t n, int64_t q)
{
    return min64(n, F(cut)(ceil_div(n, VL), F(rnn_panels)(n), q) * VL);
}

/* Rows of `width` values that are read or written next to a product, and lie far away by then: some
 * are fetched with each of its tiles (measured, within a training step of an LSTM: recurrences take
 * 6 % less time) */
typedef struct F(coming) {
    const REAL *p;
    int64_t width;
} F(coming);

/* Rows [begin, end) of each in the list, which ends with NULL */
INLINE void F(fetch_rows)(const F(coming) *c, int64_t begin, int64_t end)
{
    for (; c->p; c++)
        for (int64_t j = begin * c->width; j < end * c->width; j += 64 / (int)sizeof(REAL))
            __builtin_prefetch(c->p + j, 0, 2);
}

/* Panels [begin, end) of C */
static void F(product_panels)(const F(product) *g, const REAL *panels, const F(coming) *c,
                              int64_t begin, int64_t end)
{
    int64_t rows = ceil_div(g->m, MR), blocks = ceil_div(g->k, KC);
    int64_t tiles = F(rnn_panels)(g->n) * rows;
    for (int64_t q = begin; q < end; q++) {
        int64_t j = F(rnn_panel)(g->n, q), n = F(rnn_panel)(g->n, q + 1) - j;
        int64_t wide = ceil_div(n, VL) * VL;
        for (int64_t d = 0; d < blocks; d++) {
            int64_t pc = F(cut)(g->k, blocks, d), kc = F(cut)(g->k, blocks, d + 1) - pc;
            for (int64_t p = 0; p < rows; p++) {
                int64_t i = F(cut)(g->m, rows, p), h = F(cut)(g->m, rows, p + 1) - i;
                int64_t t = q * rows + p;
                if (d == 0) F(fetch_rows)(c, F(cut)(g->m, tiles, t), F(cut)(g->m, tiles, t + 1));
                F(put_tile)(g, i, j, (int)h, (int)n, d == 0, F(tile_simd), kc,
                            g->a + i * g->a_row + pc, g->a_row, 1, panels + j * g->k + pc * wide,
                            wide);
            }
        }
    }
}

/* A product with the weights, of a step, and what comes next to it; FDL_NOMEM if there is no memory
 * for it */
static int F(rnn_product)(const F(recurrence) *all, const F(product) *g, const F(coming) *c)
{
    double work = (double)g->m * (double)g->n * (double)g->k / (3 * VL);
    int threads = all->threads > 1 ? fdl_plan(all->threads, work) : 1;
    if (!all->panels) return F(one_product)(*g, F(tile_simd), threads);
    SPLIT(threads, F(rnn_panels)(g->n), 1, F(product_panels)(g, all->panels, c, begin, end));
    return FDL_OK;
}

/* ---- blocks ---------------------------------------------------------------------------------- */

typedef int F(through_time)(const F(recurrence) *all, F(block) *k);

INLINE void F(rnn_member)(F(recurrence) *all, F(through_time) *run)
{
    int64_t i;
    while ((i = __atomic_fetch_add(&all->next, 1, __ATOMIC_RELAXED)) < all->blocks) {
        F(block) k = {.index = i, .from = F(cut)(all->g->n, all->blocks, i)};
        k.to = F(cut)(all->g->n, all->blocks, i + 1);
        if (run(all, &k) != FDL_OK) __atomic_store_n(&all->failed, 1, __ATOMIC_RELAXED);
    }
}

/* Panels [begin, end) of the weights, n columns of k */
static void F(pack_panels)(const fdl_recurrence *g, int64_t n, int64_t k, int64_t w_row,
                           int64_t w_col, REAL *panels, int64_t begin, int64_t end)
{
    for (int64_t q = begin; q < end; q++) {
        int64_t j = F(rnn_panel)(n, q), count = F(rnn_panel)(n, q + 1) - j;
        F(pack_b)(k, count, (const REAL *)g->w + j * w_col, w_row, w_col, panels + j * k);
    }
}

/* All blocks, whose products take the weights as n columns of k; the work is that of products, and
 * of gates at 10 ns a vector */
static int F(over_blocks)(const fdl_recurrence *g, int64_t n, int64_t k, int64_t w_row,
                          int64_t w_col, REAL *sums, F(through_time) *run, int threads)
{
    F(recurrence) all = {g, .sums = sums, .blocks = F(rnn_blocks)(g), .threads = threads};
    double gates = F(cell_gates)[g->cell], units = (double)g->starts[g->steps] * (double)g->size;
    double work = units * gates * ((double)g->size / (3 * VL) + 10.0 / VL);
    if (g->n * g->size == 0) return FDL_OK;
    if (g->starts[g->steps] > RNN_FEW) {
        size_t room = (size_t)(ceil_div(n, VL) * VL * k) * sizeof(REAL);
        REAL *panels = fdl_scratch(FDL_SCRATCH_RNN, room);
        if (!panels) return FDL_NOMEM;
        SPLIT(fdl_plan(threads, (double)(n * k) * RNN_PACK), F(rnn_panels)(n), 1,
              F(pack_panels)(g, n, k, w_row, w_col, panels, begin, end));
        all.panels = panels;
    }
    if (all.blocks > 1) all.threads = 1;
    int parts = (int)min64(all.blocks, fdl_plan(threads, work));
    if (parts > 1) {
        OMP(parallel num_threads(parts))
        F(rnn_member)(&all, run);
    } else {
        F(rnn_member)(&all, run);
    }
    return all.failed ? FDL_NOMEM : FDL_OK;
}
