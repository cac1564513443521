/* forward.c: the steps of an RNN, LSTM or GRU, one call for a layer and direction.
 *
 * Idea      what the inputs contribute was made by one product for all steps. A step is one product
 *           with the states, by weights that were packed once, and one pass over its result, which
 *           is still in L1: all gates of a unit at once, on vectors of units
 * Removes   a call and a trip through memory for each of the five or more operations of a step
 * Leaves    the product of a step waits for the step before: few rows at a time
 * Requires  C-contiguous arrays
 * Checked   against PyTorch in float64; the same bits for 1, 2, 3 and 7 threads
 * Timed     python bench/versus.py lm
 */
INLINE void F(put_state)(REAL *h, REAL *y, V state, int64_t n)
{
    F(put_part)(h, state, n);
    F(put_part)(y, state, n);
}

/* The gates of a unit and its state; of an LSTM, c and, into r, the gate o: see put_states */
INLINE void F(step_unit)(const int cell, int64_t size, int64_t n, const REAL *a, REAL *r,
                         REAL *h, REAL *c, REAL *y, REAL *kept)
{
    V gate[5];
#define A(i) F(part_of)(a + (i) * size, n)
#define R(i) F(part_of)(r + (i) * size, n)
    if (cell == FDL_LSTM) {
        gate[0] = F(vsigmoid)(A(0) + R(0));
        gate[1] = F(vsigmoid)(A(1) + R(1));
        gate[2] = F(vtanh)(A(2) + R(2));
        gate[3] = F(vsigmoid)(A(3) + R(3));
        gate[4] = gate[1] * F(part_of)(c, n) + gate[0] * gate[2];
        F(put_part)(c, gate[4], n);
        F(put_part)(r + 3 * size, gate[3], n);
    } else if (cell == FDL_GRU) {
        gate[0] = F(vsigmoid)(A(0) + R(0));
        gate[1] = F(vsigmoid)(A(1) + R(1));
        gate[3] = R(2);
        gate[2] = F(vtanh)(A(2) + gate[0] * gate[3]);
        F(put_state)(h, y, gate[2] + gate[1] * (F(part_of)(h, n) - gate[2]), n);
    } else {
        V x = A(0) + R(0);
        F(put_state)(h, y, cell == FDL_RELU_CELL ? SEL(x < SPLAT(0), SPLAT(0), x) : F(vtanh)(x), n);
    }
#undef A
#undef R
    const int keeps = cell == FDL_LSTM ? 5 : cell == FDL_GRU ? 4 : 0;
    if (keeps && kept)
        UNROLL(5) for (int i = 0; i < keeps; i++) F(put_part)(kept + i * size, gate[i], n);
}

/* The states of an LSTM: a pass of its own, since while a unit waits for the tanh of its c the
 * processor does not reach the gates of the next (2 % of the way forward) */
INLINE void F(put_states)(int64_t size, const REAL *o, const REAL *c, REAL *h, REAL *y)
{
    for (int64_t j = 0, n = size; j < size; j += VL, n -= VL)
        F(put_state)(h + j, y + j, F(part_of)(o + j, n) * F(vtanh)(F(part_of)(c + j, n)), n);
}

/* r (k->count, gates size): what the states contribute; overwritten */
INLINE void F(step_rows)(const int cell, const fdl_recurrence *g, const F(block) *k, REAL *r)
{
    const int64_t size = g->size, gates = F(cell_gates)[cell], keeps = F(cell_kept)[cell];
    for (int64_t i = 0; i < k->count; i++, r += gates * size) {
        const REAL *a = (const REAL *)g->a + (k->row + i) * gates * size;
        REAL *h = (REAL *)g->h + (k->from + i) * size, *y = (REAL *)g->y + (k->row + i) * size;
        REAL *c = cell == FDL_LSTM ? (REAL *)g->c + (k->from + i) * size : h;
        REAL *kept = g->gates ? (REAL *)g->gates + (k->row + i) * keeps * size : NULL;
        for (int64_t j = 0; j < size; j += VL)
            F(step_unit)(cell, size, size - j, a + j, r + j, h + j, c + j, y + j,
                         kept ? kept + j : NULL);
        if (cell == FDL_LSTM) F(put_states)(size, r + 3 * size, c, h, y);
    }
}

static int F(forward_in_time)(const F(recurrence) *all, F(block) *k)
{
    const fdl_recurrence *g = all->g;
    const int64_t size = g->size, width = F(cell_gates)[g->cell] * size;
    const int64_t keeps = F(cell_kept)[g->cell] * size;
    REAL *r = fdl_scratch(FDL_SCRATCH_RNN_2, (size_t)((k->to - k->from) * width) * sizeof(REAL));
    int status = r ? FDL_OK : FDL_NOMEM;
    for (int64_t s = 0; s < g->steps && status == FDL_OK; s++) {
        F(go_to_step)(g, s, k);
        if (!k->count) continue;
        F(product) p = {k->count, width, size, (const REAL *)g->h + k->from * size, size, 1,
                        g->w, 1, size, r, width, 1, g->b, 0, 1, 0, 0, NULL};
        F(coming) coming[] = {{(const REAL *)g->a + k->row * width, width},
                              {g->gates ? (REAL *)g->gates + k->row * keeps : NULL, keeps},
                              {NULL, 0}};
        status = F(rnn_product)(all, &p, coming);
        if (g->cell == FDL_LSTM) F(step_rows)(FDL_LSTM, g, k, r);
        else if (g->cell == FDL_GRU) F(step_rows)(FDL_GRU, g, k, r);
        else if (g->cell == FDL_RELU_CELL) F(step_rows)(FDL_RELU_CELL, g, k, r);
        else F(step_rows)(FDL_TANH_CELL, g, k, r);
    }
    return status;
}

static int F(recurrence_forward)(const fdl_recurrence *g, int threads)
{
    return F(over_blocks)(g, F(cell_gates)[g->cell] * g->size, g->size, 1, g->size, NULL,
                          F(forward_in_time), threads);
}
