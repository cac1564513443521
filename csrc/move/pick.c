/* pick.c: elements named by number along one axis, y[i, j] = x[index[i, j], j], and its opposite,
 * y[index[i, j], j] += x[i, j].
 *
 * Idea      the index is walked in its own order; where an element lies in the other array is an
 *           offset for its row plus number times stride
 * Removes   index arrays for the other axes; atomic or repeated passes over the sums
 * Leaves    one access wherever the numbers lead; sums are made by one thread, in order
 * Requires  index and what has its shape C-contiguous; numbers in [0, n), checked by the caller
 * Checked   against NumPy
 * Timed     bench/versus.py gather
 */

/* where row `row` of the index, all its axes but the last, begins in the other array */
INLINE int64_t F(pick_row)(const fdl_pick *g, int64_t row)
{
    int64_t offset = 0;
    for (int d = g->axes - 2; d >= 0; d--) {
        offset += row % g->shape[d] * g->stride[d];
        row /= g->shape[d];
    }
    return offset;
}

NOINLINE void F(pick_rows)(const fdl_pick *g, const INT *x, const int64_t *index, INT *y,
                           int64_t begin, int64_t end)
{
    const int64_t length = g->shape[g->axes - 1], stride = g->stride[g->axes - 1];
    for (int64_t row = begin; row < end; row++) {
        const INT *from = x + F(pick_row)(g, row);
        for (int64_t j = 0, i = row * length; j < length; j++, i++)
            y[i] = from[j * stride + index[i] * g->step];
    }
}

static int F(pick)(const fdl_pick *g, const void *x, const int64_t *index, void *y, int threads)
{
    int64_t rows = 1;
    for (int d = 0; d < g->axes - 1; d++) rows *= g->shape[d];
    SPLIT(fdl_plan(threads, 2.0 * rows * g->shape[g->axes - 1]), rows, 1,
          F(pick_rows)(g, x, index, y, begin, end));
    return FDL_OK;
}

static int F(place)(const fdl_pick *g, const void *x, const int64_t *index, void *y)
{
    const int64_t length = g->shape[g->axes - 1], stride = g->stride[g->axes - 1];
    const REAL *from = x;
    int64_t rows = 1;
    for (int d = 0; d < g->axes - 1; d++) rows *= g->shape[d];
    for (int64_t row = 0, i = 0; row < rows; row++) {
        REAL *to = (REAL *)y + F(pick_row)(g, row);
        for (int64_t j = 0; j < length; j++, i++) to[j * stride + index[i] * g->step] += from[i];
    }
    return FDL_OK;
}
