/* backward.c: the gradient of a recurrence, back through time from the gates that forward kept.
 *
 * Idea      a step back is one pass over the rows, which turns the gradient of the states into that
 *           of what the gates took, and one product of that with the weights, packed once: but
 *           after the first step, if nobody asks for the gradient of the states before it. The
 *           bias's gradient is summed step by step; the weights' own waits for the end: one product
 *           over all rows, for which the states before each step are laid out on the way
 * Removes   a product for the weights at every step, the gates' second computation, a pass over all
 *           of their gradients for the bias
 * Leaves    what forward.c leaves: a step's product has as many rows as sequences
 * Requires  C-contiguous arrays
 * Checked   against PyTorch in float64; the same bits for 1, 2, 3 and 7 threads
 * Timed     python bench/versus.py lm
 */
/* s (1 - s), t: the slopes of sigmoid and tanh at their values */
#define SLOPE(s) ((s) * (SPLAT(1) - (s)))
#define TANH_SLOPE(t) (SPLAT(1) - (t) * (t))

/* dh: the gradient of a unit's state, in; what of it passes by the product, out */
INLINE void F(unstep_unit)(const int cell, int64_t size, int64_t n, const REAL *gy, REAL *dh,
                           REAL *dc, const REAL *y, const REAL *kept, const REAL *before,
                           const REAL *c, REAL *da, REAL *dr)
{
    V g = F(part_of)(dh, n);
    if (gy) g += F(part_of)(gy, n);
#define K(i) F(part_of)(kept + (i) * size, n)
    if (cell == FDL_LSTM) {
        V i = K(0), f = K(1), u = K(2), o = K(3), t = F(vtanh)(K(4));
        V s = F(part_of)(dc, n) + g * o * TANH_SLOPE(t);
        F(put_part)(da, s * u * SLOPE(i), n);
        F(put_part)(da + size, s * F(part_of)(c, n) * SLOPE(f), n);
        F(put_part)(da + 2 * size, s * i * TANH_SLOPE(u), n);
        F(put_part)(da + 3 * size, g * t * SLOPE(o), n);
        F(put_part)(dc, s * f, n);
    } else if (cell == FDL_GRU) {
        V r = K(0), z = K(1), u = K(2), inner = K(3);
        V new = g * (SPLAT(1) - z) * TANH_SLOPE(u);
        V update = g * (F(part_of)(before, n) - u) * SLOPE(z), reset = new * inner * SLOPE(r);
        F(put_part)(da, reset, n);
        F(put_part)(da + size, update, n);
        F(put_part)(da + 2 * size, new, n);
        F(put_part)(dr, reset, n);
        F(put_part)(dr + size, update, n);
        F(put_part)(dr + 2 * size, new * r, n);
        F(put_part)(dh, g * z, n);
    } else {
        V state = F(part_of)(y, n);
        if (cell == FDL_RELU_CELL) F(put_part)(da, SEL(state > SPLAT(0), g, SPLAT(0)), n);
        else F(put_part)(da, g * TANH_SLOPE(state), n);
    }
#undef K
}

INLINE void F(unstep_rows)(const int cell, const fdl_recurrence *g, const F(block) *k)
{
    const int64_t size = g->size, width = F(cell_gates)[cell] * size;
    const int64_t keeps = F(cell_kept)[cell] * size;
    for (int64_t i = 0; i < k->count; i++) {
        int64_t row = k->row + i, sequence = k->from + i, last = k->before + i;
        const REAL *y = g->y, *kept = (const REAL *)g->gates + row * keeps;
        const REAL *gy = g->gy ? (const REAL *)g->gy + row * size : NULL;
        const REAL *h = i < k->known ? y + last * size : (const REAL *)g->h + sequence * size;
        const REAL *c = h;
        if (cell == FDL_LSTM)
            c = i < k->known ? (const REAL *)g->gates + last * keeps + 4 * size
                             : (const REAL *)g->c + sequence * size;
        REAL *dh = (REAL *)g->dh + sequence * size, *da = (REAL *)g->da + row * width;
        REAL *dc = cell == FDL_LSTM ? (REAL *)g->dc + sequence * size : dh;
        REAL *dr = (REAL *)g->dr + row * width;
        memcpy((REAL *)g->before + row * size, h, (size_t)size * sizeof(REAL));
        for (int64_t j = 0; j < size; j += VL)
            F(unstep_unit)(cell, size, size - j, gy ? gy + j : NULL, dh + j, dc + j,
                           y + row * size + j, kept + j, h + j, c + j, da + j, dr + j);
    }
}

/* sums (width) += the sum of the rows of x: of a step's on their own first, then of the steps' */
INLINE void F(add_step)(int64_t rows, int64_t width, const REAL *x, REAL *sums)
{
    for (int64_t j = 0, wide; j < width; j += wide * VL) {
        V s[SUM_WIDE];
        wide = width - j < SUM_WIDE * VL ? 1 : SUM_WIDE;
        F(sum_columns)(rows, x + j, width, width - j, s);
        for (int64_t n = width - j, u = 0; u < wide; u++, n -= VL) {
            REAL *to = sums + j + u * VL;
            F(put_part)(to, F(part_of)(to, n) + s[u], n);
        }
    }
}

static int F(backward_in_time)(const F(recurrence) *all, F(block) *k)
{
    const fdl_recurrence *g = all->g;
    const int64_t size = g->size, width = F(cell_gates)[g->cell] * size;
    const int64_t keeps = F(cell_kept)[g->cell] * size;
    int status = FDL_OK;
    for (int64_t s = g->steps - 1; s >= 0 && status == FDL_OK; s--) {
        F(go_to_step)(g, s, k);
        if (!k->count) continue;
        if (g->cell == FDL_LSTM) F(unstep_rows)(FDL_LSTM, g, k);
        else if (g->cell == FDL_GRU) F(unstep_rows)(FDL_GRU, g, k);
        else if (g->cell == FDL_RELU_CELL) F(unstep_rows)(FDL_RELU_CELL, g, k);
        else F(unstep_rows)(FDL_TANH_CELL, g, k);
        F(add_step)(k->count, width, (const REAL *)g->dr + k->row * width,
                    all->sums + k->index * width);
        if (s == 0 && !g->states) break;
        F(block) next = *k; /* the step after this one reads the states before it */
        if (s) F(go_to_step)(g, s - 1, &next);
        F(coming) coming[] = {{(const REAL *)g->da + next.row * width, width},
                              {(const REAL *)g->gates + next.before * keeps, keeps},
                              {(const REAL *)g->y + next.before * size, size},
                              {(const REAL *)g->before + next.row * size, size},
                              {g->gy ? (const REAL *)g->gy + next.row * size : NULL, size},
                              {NULL, 0}};
        F(product) p = {k->count, size, width, (const REAL *)g->dr + k->row * width, width, 1,
                        g->w, size, 1, (REAL *)g->dh + k->from * size, size, 1, NULL, 0, 1,
                        g->cell == FDL_GRU, 0, NULL};
        status = F(rnn_product)(all, &p, coming);
    }
    return status;
}
#undef SLOPE
#undef TANH_SLOPE

static int F(recurrence_backward)(const fdl_recurrence *g, int threads)
{
    const int64_t width = F(cell_gates)[g->cell] * g->size, blocks = F(rnn_blocks)(g);
    memset(g->db, 0, (size_t)width * sizeof(REAL));
    if (blocks * width == 0) return FDL_OK;
    REAL *sums = fdl_scratch(FDL_SCRATCH_RNN_2, (size_t)(blocks * width) * sizeof(REAL));
    if (!sums) return FDL_NOMEM;
    memset(sums, 0, (size_t)(blocks * width) * sizeof(REAL));
    int status = F(over_blocks)(g, g->size, width, g->size, 1, sums, F(backward_in_time), threads);
    F(add_step)(blocks, width, sums, g->db);
    return status;
}
