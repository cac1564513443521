/* cells.c: adaptive pooling, whose windows are uneven: cell i of `cells` over n elements takes
 * those from floor(i n / cells) to ceil((i + 1) n / cells) - 1. Neighbours share at most one.
 *
 * Idea      down the columns first, where neighbouring elements are neighbouring lanes however
 *           many rows a cell has; the one row that is left is walked cell by cell
 * Removes   the strided walk over every cell: the scalar part sees oh * w elements, not h * w
 * Leaves    that scalar part; cells that share an element read it twice
 * Requires  h, w >= 1; h * w fits INT
 * Checked   against PyTorch and a definition in NumPy: ties, NaN, more cells than elements
 * Timed     bench/versus.py adaptive
 */
INLINE int64_t F(cell_begin)(int64_t i, int64_t n, int64_t cells) { return i * n / cells; }
INLINE int64_t F(cell_end)(int64_t i, int64_t n, int64_t cells)
{
    return ceil_div((i + 1) * n, cells);
}

/* About nanoseconds on one thread */
INLINE double F(cells_cost)(const fdl_cells *g)
{
    return g->planes * (20 + 0.06 * sizeof(REAL) * g->h * g->w + 1.0 * g->oh * (g->w + g->ow));
}

/* A thread's row of values and row of positions */
INLINE REAL *F(cells_row)(const fdl_cells *g, INT **at, int *status)
{
    const int64_t row = g->w + 2 * VL;
    REAL *line = fdl_scratch(FDL_SCRATCH_POOL, 2 * row * sizeof(REAL));
    if (!line) __atomic_store_n(status, FDL_NOMEM, __ATOMIC_RELAXED);
    *at = (INT *)(line + row);
    return line;
}

/* max: or averages, without positions */
INLINE void F(cells_planes)(const int max, const fdl_cells *g, const REAL *x, REAL *y,
                            int64_t *positions, int *status, int64_t begin, int64_t end)
{
    const REAL *x_end = x + g->planes * g->h * g->w;
    INT *at;
    REAL *line = F(cells_row)(g, &at, status);
    if (!line) return;
    for (int64_t unit = begin; unit < end; unit++) { /* a row of outputs */
        const int64_t plane = unit / g->oh, i = unit % g->oh;
        const int64_t r0 = F(cell_begin)(i, g->h, g->oh), r1 = F(cell_end)(i, g->h, g->oh);
        F(reduce_row)(max, r1 - r0, x + (plane * g->h + r0) * g->w, g->w, x_end, (INT)(r0 * g->w),
                      g->w, g->w, line, at);
        for (int64_t j = 0, out = unit * g->ow; j < g->ow; j++, out++) {
            const int64_t s0 = F(cell_begin)(j, g->w, g->ow), s1 = F(cell_end)(j, g->w, g->ow);
            REAL best = line[s0];
            if (max) {
                int64_t won = at[s0] + s0;
                for (int64_t s = s0 + 1; s < s1; s++) {
                    const REAL v = line[s];
                    const int64_t here = at[s] + s;
                    const int wins = (v > best) | ((v == best) & (here < won)) |
                                     ((v != v) & ((best == best) | (here > won)));
                    best = wins ? v : best;
                    won = wins ? here : won;
                }
                positions[out] = won;
                y[out] = best;
            } else {
                for (int64_t s = s0 + 1; s < s1; s++) best += line[s];
                y[out] = best / (REAL)((r1 - r0) * (s1 - s0));
            }
        }
    }
}

NOINLINE void F(cells_max_planes)(const fdl_cells *g, const REAL *x, REAL *y, int64_t *positions,
                                  int *status, int64_t begin, int64_t end)
{
    F(cells_planes)(1, g, x, y, positions, status, begin, end);
}

NOINLINE void F(cells_avg_planes)(const fdl_cells *g, const REAL *x, REAL *y, int *status,
                                  int64_t begin, int64_t end)
{
    F(cells_planes)(0, g, x, y, NULL, status, begin, end);
}

NOINLINE void F(cells_backward_planes)(const fdl_cells *g, const REAL *dy, REAL *dx, int *status,
                                       int64_t begin, int64_t end)
{
    INT *at;
    REAL *line = F(cells_row)(g, &at, status);
    if (!line) return;
    for (int64_t plane = begin; plane < end; plane++) {
        REAL *out = dx + plane * g->h * g->w;
        int64_t written = 0; /* rows of the plane */
        for (int64_t i = 0; i < g->oh; i++) {
            const REAL *row = dy + (plane * g->oh + i) * g->ow;
            const int64_t r0 = F(cell_begin)(i, g->h, g->oh), r1 = F(cell_end)(i, g->h, g->oh);
            memset(line, 0, g->w * sizeof *line);
            for (int64_t j = 0; j < g->ow; j++) {
                const int64_t s0 = F(cell_begin)(j, g->w, g->ow), s1 = F(cell_end)(j, g->w, g->ow);
                const REAL share = row[j] / (REAL)((r1 - r0) * (s1 - s0));
                for (int64_t s = s0; s < s1; s++) line[s] += share;
            }
            for (int64_t r = r0; r < r1; r++)
                F(add_row)(r < written, line, g->w, out + r * g->w);
            written = r1;
        }
        if (written < g->h) memset(out + written * g->w, 0, (g->h - written) * g->w * sizeof *out);
    }
}

static int F(cells_max)(const fdl_cells *g, const void *x, void *y, int64_t *positions, int threads)
{
    int status = FDL_OK;
    SPLIT(fdl_plan(threads, F(cells_cost)(g)), g->planes * g->oh, 1,
          F(cells_max_planes)(g, x, y, positions, &status, begin, end));
    return status;
}

static int F(cells_avg)(const fdl_cells *g, const void *x, void *y, int threads)
{
    int status = FDL_OK;
    SPLIT(fdl_plan(threads, F(cells_cost)(g)), g->planes * g->oh, 1,
          F(cells_avg_planes)(g, x, y, &status, begin, end));
    return status;
}

static int F(cells_avg_backward)(const fdl_cells *g, const void *dy, void *dx, int threads)
{
    int status = FDL_OK;
    SPLIT(fdl_plan(threads, F(cells_cost)(g)), g->planes, 1,
          F(cells_backward_planes)(g, dy, dx, &status, begin, end));
    return status;
}
