/* extreme.c: the greatest (smallest) elements and where they are: (outer, n, inner).
 *
 * Idea      along a row: the extreme of a block costs one read of it, and only the block that holds
 *           the row's is searched for the place. Across rows: lanes are columns, and a comparison
 *           picks the value and the row's number together. Chunks as in blocks.c
 * Removes   a branch for each element; gathering the values by their places afterwards
 * Leaves    memory traffic: one read
 * Requires  as blocks.c
 * Checked   against NumPy and PyTorch: of equal elements the first wins, a NaN wins over all, of
 *           several the first
 * Timed     python -m fastdl bench reduce
 */

/* Is v better than the best so far? Lanes; an earlier NaN stays. */
INLINE VI F(better)(const int op, V v, V best)
{
    VI ahead = op == FDL_MAX ? v > best : v < best;
    return (ahead | (v != v)) & (best == best);
}

INLINE int F(is_better)(const int op, REAL v, REAL best)
{
    return ((op == FDL_MAX ? v > best : v < best) || v != v) && best == best;
}

/* The first of n > 0 elements that equals v, or is NaN like it; one does. */
INLINE int64_t F(place_of)(int64_t n, const REAL *x, REAL v)
{
    int64_t i = 0;
    for (; i + 8 * VL <= n; i += 8 * VL) { /* none of 8 vectors? */
        VI found = (VI){0};
        UNROLL(8) for (int k = 0; k < 8; k++) {
            V u = LD(x + i + k * VL);
            found |= v == v ? u == SPLAT(v) : u != u;
        }
        INT t[VL], any = 0;
        *(VIU *)t = found;
        UNROLL(16) for (int k = 0; k < VL; k++) any |= t[k];
        if (any) break;
    }
    while (v == v ? x[i] != v : x[i] == x[i]) i++;
    return i;
}

INLINE REAL F(row_extreme)(const int op, int64_t n, const REAL *x, int64_t *place)
{
    const int64_t block = BLOCK_VECTORS * VL;
    REAL best = 0;
    int64_t at = 0;
    for (int64_t i = 0; i < n; i += block) {
        REAL v = F(joined_lanes)(op, F(row_block)(op, min64(n - i, block), x + i));
        if (i == 0 || F(is_better)(op, v, best)) best = v, at = i;
    }
    *place = at + F(place_of)(min64(n - at, block), x + at, best);
    return best;
}

/* width columns, n <= CHUNK_ROWS rows; places count from `first` */
INLINE void F(column_extremes)(const int op, int64_t n, const REAL *x, int64_t row, int64_t width,
                               REAL *values, int64_t *places, int64_t first)
{
    REAL best[CHUNK_STRIP + VL];
    INT place[CHUNK_STRIP + VL];
    for (int64_t j = 0; j < width; j += VL) {
        ST(best + j, LDN(x + j, width - j, 0));
        *(VIU *)(place + j) = (VI){0};
    }
    for (int64_t i = 1; i < n; i++)
        for (int64_t j = 0; j < width; j += VL) {
            V v = LDN(x + i * row + j, width - j, 0), b = LD(best + j);
            VI take = F(better)(op, v, b), p = *(VIU *)(place + j);
            ST(best + j, SEL(take, v, b));
            *(VIU *)(place + j) = (take & (INT)i) | (~take & p);
        }
    for (int64_t j = 0; j < width; j++) {
        values[j] = best[j];
        places[j] = first + place[j];
    }
}

INLINE void F(extreme_tasks)(const int op, const fdl_reduce *g, const REAL *x, REAL *values,
                              int64_t *places, int64_t begin, int64_t end)
{
    F(reduce_cut) p = F(reduce_cut_of)(g);
    for (int64_t task = begin; task < end; task++) {
        int64_t strip = task % p.strips, part = task / p.strips;
        int64_t first = part % p.chunks * p.chunk, n = min64(g->n - first, p.chunk);
        int64_t j = strip * CHUNK_STRIP, at = part * g->inner + j;
        const REAL *from = x + part / p.chunks * g->x_outer + first * g->x_n + j;
        if (g->inner == 1) {
            values[at] = F(row_extreme)(op, n, from, places + at);
            places[at] += first;
        } else {
            F(column_extremes)(op, n, from, g->x_n, min64(g->inner - j, CHUNK_STRIP), values + at,
                               places + at, first);
        }
    }
}

NOINLINE void F(greatest_tasks)(const fdl_reduce *g, const REAL *x, REAL *values,
                                 int64_t *places, int64_t begin, int64_t end)
{
    F(extreme_tasks)(FDL_MAX, g, x, values, places, begin, end);
}

NOINLINE void F(smallest_tasks)(const fdl_reduce *g, const REAL *x, REAL *values,
                                 int64_t *places, int64_t begin, int64_t end)
{
    F(extreme_tasks)(FDL_MIN, g, x, values, places, begin, end);
}

static int F(extreme)(int op, const fdl_reduce *g, const void *x, void *values, int64_t *places,
                      int threads)
{
    F(reduce_cut) p = F(reduce_cut_of)(g);
    int64_t parts = g->outer * p.chunks * g->inner;
    REAL *best = values;
    int64_t *at = places;
    if (p.chunks > 1) {
        at = fdl_scratch(FDL_SCRATCH_REDUCE, parts * (sizeof(int64_t) + sizeof(REAL)));
        if (!at) return FDL_NOMEM;
        best = (REAL *)(at + parts);
    }
    int use = fdl_plan(threads, 0.05 * sizeof(REAL) * g->outer * g->n * g->inner);
    if (op == FDL_MAX)
        SPLIT(use, g->outer * p.chunks * p.strips, 1,
              F(greatest_tasks)(g, x, best, at, begin, end));
    else
        SPLIT(use, g->outer * p.chunks * p.strips, 1,
              F(smallest_tasks)(g, x, best, at, begin, end));
    if (p.chunks == 1) return FDL_OK;
    for (int64_t o = 0; o < g->outer; o++) /* the best of the chunks, the earlier first */
        for (int64_t j = 0; j < g->inner; j++) {
            int64_t from = o * p.chunks * g->inner + j, to = o * g->inner + j;
            ((REAL *)values)[to] = best[from];
            places[to] = at[from];
            for (int64_t c = 1; c < p.chunks; c++) {
                int64_t i = from + c * g->inner;
                if (!F(is_better)(op, best[i], ((REAL *)values)[to])) continue;
                ((REAL *)values)[to] = best[i];
                places[to] = at[i];
            }
        }
    return FDL_OK;
}
