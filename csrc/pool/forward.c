/* forward.c: windows of the rungs `rows` and `threaded`, reduced in one of two ways.
 *
 * direct     small maxima: every tap at its offset in the phase planes, 4 or 9 vectors compared in
 *            registers.
 * separable  averages, whose sums are the same, and large windows: first down the columns, where
 *            neighbouring elements are neighbouring lanes whatever the stride, then along the row
 *            of
 *            results: kh + kw steps instead of kh * kw, and one row to split by the stride, not kh.
 */
/* About nanoseconds on one thread */
INLINE double F(pool_cost)(const fdl_pool *g)
{
    double in = (double)g->h * g->w, out = (double)g->oh * g->ow;
    return g->planes * (20 + sizeof(REAL) * (0.035 * in + 0.02 * out * g->kh * g->kw));
}

/* ---- forward --------------------------------------------------------------------------------- */

/* ---- direct ---------------------------------------------------------------------------------- */

/* The maxima of m neighbouring windows of n taps. first[j] + base (first NULL: base) is a tap of
 * window j in the plane: the answer where nothing is greater than -inf. */
INLINE void F(max_lanes)(const int n, const REAL *x, const int64_t *offset, const INT *first,
                         INT base, int64_t m, REAL *y, INT *taps)
{
    for (int64_t j = 0; j < m; j += VL) {
        if (j + VL > m && m >= VL) j = m - VL; /* the last vector overlaps the one before */
        V best = LD(x + offset[0] + j);
        VI tap = (VI){0} + base;
        if (first) tap += *(const VIU *)(first + j);
        for (int t = 1; t < n; t++) {
            V v = LD(x + offset[t] + j);
            VI wins = (VI)(v > best) | (VI)(v != v);
            best = SEL(wins, v, best);
            tap = (wins & t) | (~wins & tap);
        }
        *(VIU *)(taps + j) = tap;
        STN(y + j, best, m - j);
    }
}

NOINLINE void F(max_run)(int64_t n, const REAL *x, const int64_t *offset, const INT *first,
                         INT base, int64_t m, REAL *y, INT *taps)
{
    if (n == 4)
        F(max_lanes)(4, x, offset, first, base, m, y, taps);
    else if (n == 9)
        F(max_lanes)(9, x, offset, first, base, m, y, taps);
    else
        F(max_lanes)(n, x, offset, first, base, m, y, taps);
}

NOINLINE void F(direct_bands)(const fdl_pool *g, const F(frame) * f, const REAL *x, REAL *y,
                              void *taps, int *status, int64_t begin, int64_t end)
{
    const REAL *x_end = x + g->planes * g->h * g->w;
    const int64_t n = g->kh * g->kw, phases = f->phases_h * f->phases_w * f->plane;
    const int padded = g->pad_h || g->pad_w, flat = !padded && f->pitch == g->ow;
    F(pool_work) w;
    if (F(pool_tables)(g, f, phases + f->plane, &w)) {
        __atomic_store_n(status, FDL_NOMEM, __ATOMIC_RELAXED);
        return;
    }
    INT *won = (INT *)(w.planes + phases), *first = (INT *)w.cols;
    for (int64_t j = 0; j < g->ow; j++)
        first[j] = ceil_div(max64(g->pad_w - j * g->stride_w, 0), g->dil_w);
    for (int64_t q = 0; q < f->phases_w; q++)
        w.spans[q] = F(make_span)(q, g->stride_w, g->pad_w, g->w, f->pitch);
    for (int64_t t = 0; t < n; t++) {
        int64_t r = t / g->kw * g->dil_h, s = t % g->kw * g->dil_w;
        int64_t phase = r % g->stride_h * f->phases_w + s % g->stride_w;
        w.offset[t] = phase * f->plane + r / g->stride_h * f->pitch + s / g->stride_w;
    }
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t plane = unit / f->bands, i0 = unit % f->bands * f->rows;
        int64_t rows = min64(f->rows, g->oh - i0), at = (plane * g->oh + i0) * g->ow;
        F(split_band)(g, f, w.spans, x + plane * g->h * g->w, x_end, i0, rows, -INFINITY, w.planes);
        if (flat) /* one run of windows, over the ends of rows */
            F(max_run)(n, w.planes, w.offset, NULL, 0, rows * g->ow, y + at, won);
        else
            for (int64_t i = 0; i < rows; i++) {
                int64_t above = max64(g->pad_h - (i0 + i) * g->stride_h, 0);
                INT base = above ? ceil_div(above, g->dil_h) * g->kw : 0;
                F(max_run)(n, w.planes + i * f->pitch, w.offset, padded ? first : NULL, base, g->ow,
                           y + at + i * g->ow, won + i * g->ow);
            }
        F(narrow_taps)(g, won, rows * g->ow, taps, at);
    }
}

/* ---- separable ------------------------------------------------------------------------------- */

/* One row of windows, first down the columns: rows of x, `step` apart, reduced element by element.
 * taps[] becomes the row that won, times kw. */
INLINE void F(reduce_lanes)(const int max, const int64_t rows, const REAL *x, int64_t step,
                            const REAL *end, INT tap, int64_t kw, int64_t n, REAL *best, INT *taps)
{
    const int whole = end - (x + (rows - 1) * step) >= (n + VL - 1) / VL * VL;
    for (int64_t j = 0; j < n; j += VL) {
        V m = whole ? LD(x + j) : LDN(x + j, n - j, 0);
        VI t = (VI){0} + tap;
        for (int64_t r = 1; r < rows; r++) {
            const REAL *p = x + r * step + j;
            V v = whole ? LD(p) : LDN(p, n - j, 0);
            if (max) {
                VI wins = (VI)(v > m) | (VI)(v != v);
                m = SEL(wins, v, m);
                t = (wins & (INT)(tap + r * kw)) | (~wins & t);
            } else
                m += v;
        }
        ST(best + j, m);
        if (max) *(VIU *)(taps + j) = t;
    }
}

NOINLINE void F(reduce_row)(int max, int64_t rows, const REAL *x, int64_t step, const REAL *end,
                            INT tap, int64_t kw, int64_t n, REAL *best, INT *taps)
{
    if (max && rows == 2)
        F(reduce_lanes)(1, 2, x, step, end, tap, kw, n, best, taps);
    else if (max && rows == 3)
        F(reduce_lanes)(1, 3, x, step, end, tap, kw, n, best, taps);
    else if (max)
        F(reduce_lanes)(1, rows, x, step, end, tap, kw, n, best, taps);
    else if (rows == 2)
        F(reduce_lanes)(0, 2, x, step, end, tap, kw, n, best, taps);
    else
        F(reduce_lanes)(0, rows, x, step, end, tap, kw, n, best, taps);
}

/* Then along the rows: n columns of m neighbouring windows. Of equal maxima the one with the lower
 * tap wins, of NaNs the last. cols[j] * count is what a sum is divided by (cols NULL: count). */
INLINE void F(window_lanes)(const int max, const int64_t n, const REAL *x, const INT *won,
                            const int64_t *offset, const REAL *cols, REAL count, int64_t m, REAL *y,
                            INT *taps)
{
    for (int64_t j = 0; j < m; j += VL) {
        if (j + VL > m && m >= VL) j = m - VL; /* the last vector overlaps the one before */
        V best = LD(x + offset[0] + j);
        VI tap = {0};
        if (max) tap = *(const VIU *)(won + offset[0] + j);
        for (int64_t s = 1; s < n; s++) {
            V v = LD(x + offset[s] + j);
            if (max) {
                VI t = *(const VIU *)(won + offset[s] + j) + (INT)s, less = (VI)(t < tap);
                VI nan = (VI)(v != v) & ((VI)(best == best) | ~less);
                VI wins = (VI)(v > best) | ((VI)(v == best) & less) | nan;
                best = SEL(wins, v, best);
                tap = (wins & t) | (~wins & tap);
            } else
                best += v;
        }
        if (max)
            *(VIU *)(taps + j) = tap;
        else
            best /= cols ? LD(cols + j) * SPLAT(count) : SPLAT(count);
        STN(y + j, best, m - j);
    }
}

NOINLINE void F(window_run)(int max, int64_t n, const REAL *x, const INT *won,
                            const int64_t *offset, const REAL *cols, REAL count, int64_t m, REAL *y,
                            INT *taps)
{
    if (max && n == 2)
        F(window_lanes)(1, 2, x, won, offset, NULL, 0, m, y, taps);
    else if (max && n == 3)
        F(window_lanes)(1, 3, x, won, offset, NULL, 0, m, y, taps);
    else if (max)
        F(window_lanes)(1, n, x, won, offset, NULL, 0, m, y, taps);
    else if (n == 2)
        F(window_lanes)(0, 2, x, NULL, offset, cols, count, m, y, NULL);
    else
        F(window_lanes)(0, n, x, NULL, offset, cols, count, m, y, NULL);
}

/* Whether every window's average is divided by the same number */
INLINE int F(avg_uniform)(const fdl_pool *g)
{
    return g->divisor || (F(avg_rows)(g, 0) == g->kh && F(avg_rows)(g, g->oh - 1) == g->kh &&
                          F(avg_cols)(g, 0) == g->kw && F(avg_cols)(g, g->ow - 1) == g->kw);
}

NOINLINE void F(separable_bands)(int max, const fdl_pool *g, const F(frame) * f, const REAL *x,
                                 REAL *y, void *taps, int *status, int64_t begin, int64_t end)
{
    const REAL *x_end = x + g->planes * g->h * g->w, fill = max ? -INFINITY : 0;
    const int64_t phases = f->phases_w * f->plane, lines = f->rows * g->w + 2 * VL;
    const int uniform = max || F(avg_uniform)(g);
    F(pool_work) w;
    if (F(pool_tables)(g, f, 3 * phases + 2 * lines, &w)) {
        __atomic_store_n(status, FDL_NOMEM, __ATOMIC_RELAXED);
        return;
    }
    REAL *best = w.planes, *best_line = best + phases; /* a band: by phase, and before the split */
    REAL *tap = best_line + lines, *tap_line = tap + phases; /* INTs, split as if REALs      */
    INT *won = (INT *)(tap_line + lines);
    for (int64_t q = 0; q < f->phases_w; q++)
        w.spans[q] = F(make_span)(q, g->stride_w, g->pad_w, g->w, f->pitch);
    for (int64_t s = 0; s < g->kw; s++) {
        int64_t col = s * g->dil_w;
        w.offset[s] = col % g->stride_w * f->plane + col / g->stride_w;
    }
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t plane = unit / f->bands, i0 = unit % f->bands * f->rows;
        int64_t rows = min64(f->rows, g->oh - i0), at = (plane * g->oh + i0) * g->ow;
        const REAL *from = x + plane * g->h * g->w;
        for (int64_t i = 0; i < rows; i++) {
            int64_t top, r0, r1;
            F(window)(i0 + i, g->stride_h, g->pad_h, g->dil_h, g->kh, g->h, &top, &r0, &r1);
            F(reduce_row)(max, r1 - r0, from + (top + r0 * g->dil_h) * g->w, g->dil_h * g->w, x_end,
                          r0 * g->kw, g->kw, g->w, best_line + i * g->w,
                          (INT *)tap_line + i * g->w);
        }
        F(split_rows)(f, w.spans, g->stride_w, best_line, g->w, tap, rows, fill, best);
        if (max) /* the padding's tap, the INT whose bits are 2.0's, loses every tie */
            F(split_rows)(f, w.spans, g->stride_w, tap_line, g->w, (REAL *)won, rows, 2, tap);
        const int flat =
            uniform && f->pitch == g->ow; /* one run of windows, over the ends of rows */
        for (int64_t i = 0; i < (flat ? 1 : rows); i++) {
            int64_t m = flat ? rows * g->ow : g->ow, skip = i * f->pitch;
            REAL count = uniform ? F(avg_count)(g, 0, 0) : F(avg_rows)(g, i0 + i);
            F(window_run)(max, g->kw, best + skip, (INT *)tap + skip, w.offset,
                          uniform ? NULL : w.cols, count, m, y + at + i * g->ow, won + i * g->ow);
        }
        if (max) F(narrow_taps)(g, won, rows * g->ow, taps, at);
    }
}

/* ---- the choice ------------------------------------------------------------------------------ */

/* taps: max pooling; NULL: average */
static int F(pool_forward)(const fdl_pool *g, const void *x, void *y, void *taps, int threads)
{
    int status = FDL_OK, parts = fdl_plan(threads, F(pool_cost)(g));
    if (g->planes * g->oh * g->ow == 0) return FDL_OK;
    if (F(pool_is_whole)(g)) {
        if (taps)
            SPLIT(parts, g->planes, 1, F(max_whole_planes)(g, x, y, taps, begin, end));
        else
            SPLIT(parts, g->planes, 1, F(avg_whole_planes)(g, x, y, begin, end));
        return FDL_OK;
    }
    if (F(pool_in_lanes)(g)) {
        if (taps)
            SPLIT(parts, g->planes, VL, F(max_lanes_forward)(g, x, y, taps, &status, begin, end));
        else
            SPLIT(parts, g->planes, VL,
                  F(avg_lanes)(0, g, (REAL *)x, y, &status, begin, end));
        return status;
    }
    fdl_pool rows = *g;
    if (g->kh == 1 && g->stride_h == 1 && g->pad_h == 0 && g->oh == g->h && g->w <= 512) {
        rows.h = rows.oh = g->planes * g->h; /* rows know nothing of each other: a band has many */
        rows.planes = 1;
        g = &rows;
    }
    const int direct = taps && g->stride_w <= 2 && g->kh * g->kw <= 9;
    int64_t phases_h = direct ? min64(g->stride_h, (g->kh - 1) * g->dil_h + 1) : 1;
    int64_t phases_w = min64(g->stride_w, (g->kw - 1) * g->dil_w + 1);
    F(frame) f = F(make_frame)(g, g->oh, g->ow, phases_h, phases_w);
    if (direct)
        SPLIT(parts, g->planes * f.bands, 1,
              F(direct_bands)(g, &f, x, y, taps, &status, begin, end));
    else
        SPLIT(parts, g->planes * f.bands, 1,
              F(separable_bands)(taps != NULL, g, &f, x, y, taps, &status, begin, end));
    return status;
}
