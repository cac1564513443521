/* rows.c: pooling on vectors of neighbouring windows; `rows` on one thread, `threaded` on several.
 *
 * Idea      split rows by the stride (phases.c): lanes are neighbouring windows, a tap is one
 *           offset; the gradient is gathered: each input element asks its windows for their share
 * Removes   bounds checks, data-dependent branches and scattered additions, hence also any need
 *           for atomics between threads
 * Leaves    part of a vector idle where a plane has few outputs
 * Requires  as naive.c
 * Checked   bit for bit against naive.c
 * Timed     python -m fastdl bench pool
 */
enum { F(POOL_AVG), F(POOL_MAX) };

/* The memory of a thread: tables, then phase planes. */
typedef struct F(pool_work) {
    F(span) * spans; /* phases_w                                                           */
    int64_t *offset; /* kh * kw: forward, from a window to its tap t; backward, grouped by */
    int64_t *tap;    /*          phase p in start[p] ... start[p + 1], from an element to  */
    int64_t *start;  /*          the window in which it is tap[]                           */
    REAL *cols;      /* ow: columns that an average counts                                 */
    INT *first;      /* ow: the first column of a window that lies in the plane            */
    REAL *planes;
} F(pool_work);

INLINE int F(pool_tables)(const fdl_pool *g, const F(frame) * f, int64_t planes, F(pool_work) * w)
{
    int64_t spans = f->phases_w * sizeof(F(span)), window = g->kh * g->kw * 8;
    int64_t starts = (f->phases_h * f->phases_w + 1) * 8, row = (g->ow + VL) * sizeof(REAL);
    char *p = fdl_scratch(FDL_SCRATCH_POOL,
                          spans + 2 * window + starts + 2 * row + planes * f->plane * sizeof(REAL));
    if (!p) return FDL_NOMEM;
    w->spans = (F(span) *)p;
    w->offset = (int64_t *)(p += spans);
    w->tap = (int64_t *)(p += window);
    w->start = (int64_t *)(p += window);
    w->cols = (REAL *)(p += starts);
    w->first = (INT *)(p += row);
    w->planes = (REAL *)(p += row);
    for (int64_t j = 0; j < g->ow; j++) {
        w->cols[j] = F(avg_cols)(g, j);
        w->first[j] = ceil_div(max64(g->pad_w - j * g->stride_w, 0), g->dil_w);
    }
    return FDL_OK;
}

/* About nanoseconds on one thread */
INLINE double F(pool_cost)(const fdl_pool *g)
{
    double in = (double)g->h * g->w, out = (double)g->oh * g->ow;
    return g->planes * (30 + sizeof(REAL) * (0.06 * in + 0.03 * out * g->kh * g->kw));
}

/* ---- forward --------------------------------------------------------------------------------- */

/* n taps from or to the form that callers see; plain loops, which compilers turn into vectors */
INLINE void F(narrow_taps)(const fdl_pool *g, const INT *from, int64_t n, void *taps, int64_t at)
{
    if (g->kh * g->kw <= 256)
        for (int64_t i = 0; i < n; i++) ((uint8_t *)taps)[at + i] = (uint8_t)from[i];
    else
        for (int64_t i = 0; i < n; i++) ((int32_t *)taps)[at + i] = (int32_t)from[i];
}

INLINE void F(widen_taps)(const fdl_pool *g, const void *taps, int64_t at, int64_t n, INT *to)
{
    if (g->kh * g->kw <= 256)
        for (int64_t i = 0; i < n; i++) to[i] = ((const uint8_t *)taps)[at + i];
    else
        for (int64_t i = 0; i < n; i++) to[i] = ((const int32_t *)taps)[at + i];
}

/* m neighbouring windows at x, n taps each. first[j] + base is a tap of window j that lies in the
 * plane; cols[j] * count is what its sum is divided by; NULL stands for 0s and for 1s. */
INLINE void F(pool_lanes)(const int kind, const int n, const REAL *x, const int64_t *offset,
                          const INT *first, INT base, const REAL *cols, REAL count, int64_t m,
                          REAL *y, INT *taps)
{
    for (int64_t j = 0; j < m; j += VL) {
        if (j + VL > m && m >= VL) j = m - VL; /* the last vector overlaps the one before */
        V best = LD(x + offset[0] + j);
        VI tap = {0};
        if (kind == F(POOL_MAX)) tap = (first ? (VI) * (const VIU *)(first + j) : tap) + base;
        for (int t = 1; t < n; t++) {
            V v = LD(x + offset[t] + j);
            if (kind == F(POOL_MAX)) {
                VI wins = (VI)(v > best) | (VI)(v != v);
                best = SEL(wins, v, best);
                tap = (wins & t) | (~wins & tap);
            } else
                best += v;
        }
        if (kind == F(POOL_MAX))
            *(VIU *)(taps + j) = tap;
        else
            best /= cols ? LD(cols + j) * SPLAT(count) : SPLAT(count);
        STN(y + j, best, m - j);
    }
}

NOINLINE void F(max_run)(int64_t n, const REAL *x, const int64_t *offset, const INT *first,
                         INT base, int64_t m, REAL *y, INT *taps)
{
    const int kind = F(POOL_MAX);
    if (n == 4)
        F(pool_lanes)(kind, 4, x, offset, first, base, NULL, 0, m, y, taps);
    else if (n == 9)
        F(pool_lanes)(kind, 9, x, offset, first, base, NULL, 0, m, y, taps);
    else
        F(pool_lanes)(kind, n, x, offset, first, base, NULL, 0, m, y, taps);
}

NOINLINE void F(avg_run)(int64_t n, const REAL *x, const int64_t *offset, const REAL *cols,
                         REAL count, int64_t m, REAL *y)
{
    const int kind = F(POOL_AVG);
    if (n == 4)
        F(pool_lanes)(kind, 4, x, offset, NULL, 0, cols, count, m, y, NULL);
    else if (n == 9)
        F(pool_lanes)(kind, 9, x, offset, NULL, 0, cols, count, m, y, NULL);
    else
        F(pool_lanes)(kind, n, x, offset, NULL, 0, cols, count, m, y, NULL);
}

/* Whether every window's average is divided by the same number */
INLINE int F(avg_uniform)(const fdl_pool *g)
{
    return g->divisor || (F(avg_rows)(g, 0) == g->kh && F(avg_rows)(g, g->oh - 1) == g->kh &&
                          F(avg_cols)(g, 0) == g->kw && F(avg_cols)(g, g->ow - 1) == g->kw);
}

NOINLINE void F(forward_bands)(const int kind, const fdl_pool *g, const F(frame) * f, const REAL *x,
                               REAL *y, void *taps, int *status, int64_t begin, int64_t end)
{
    const REAL *x_end = x + g->planes * g->h * g->w, fill = kind == F(POOL_MAX) ? -INFINITY : 0;
    const int64_t n = g->kh * g->kw;
    const int padded = g->pad_h || g->pad_w, uniform = F(avg_uniform)(g);
    F(pool_work) w;
    if (F(pool_tables)(g, f, f->phases_h * f->phases_w + 1, &w)) {
        __atomic_store_n(status, FDL_NOMEM, __ATOMIC_RELAXED);
        return;
    }
    for (int64_t q = 0; q < f->phases_w; q++)
        w.spans[q] = F(make_span)(q, g->stride_w, g->pad_w, g->w, f->pitch);
    for (int64_t t = 0; t < n; t++) {
        int64_t r = t / g->kw * g->dil_h, s = t % g->kw * g->dil_w;
        int64_t phase = r % g->stride_h * f->phases_w + s % g->stride_w;
        w.offset[t] = phase * f->plane + r / g->stride_h * f->pitch + s / g->stride_w;
    }
    INT *won = (INT *)(w.planes + f->phases_h * f->phases_w * f->plane); /* the taps of a band */
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t plane = unit / f->bands, i0 = unit % f->bands * f->rows;
        int64_t rows = min64(f->rows, g->oh - i0), at = (plane * g->oh + i0) * g->ow;
        int64_t runs = rows,
                m = g->ow; /* a run of windows for every row, or one over the ends of rows */
        F(split_band)(g, f, w.spans, x + plane * g->h * g->w, x_end, i0, rows, fill, w.planes);
        if (f->pitch == g->ow && (kind == F(POOL_MAX) ? !padded : uniform)) {
            runs = 1;
            m *= rows;
        }
        for (int64_t i = 0; i < runs; i++) {
            const REAL *from = w.planes + i * f->pitch;
            int64_t above = max64(g->pad_h - (i0 + i) * g->stride_h, 0);
            REAL *to = y + at + i * g->ow;
            if (kind == F(POOL_MAX))
                F(max_run)(n, from, w.offset, padded ? w.first : NULL,
                           ceil_div(above, g->dil_h) * g->kw, m, to, won + i * g->ow);
            else
                F(avg_run)(n, from, w.offset, uniform ? NULL : w.cols,
                           uniform ? F(avg_count)(g, 0, 0) : F(avg_rows)(g, i0 + i), m, to);
        }
        if (kind == F(POOL_MAX)) F(narrow_taps)(g, won, rows * g->ow, taps, at);
    }
}

INLINE int F(pool_forward)(const int kind, const fdl_pool *g, const void *x, void *y, void *taps,
                           int threads)
{
    int status = FDL_OK;
    if (g->planes * g->oh * g->ow == 0) return FDL_OK;
    F(frame)
    f = F(make_frame)(g, g->oh, g->ow, min64(g->stride_h, (g->kh - 1) * g->dil_h + 1),
                      min64(g->stride_w, (g->kw - 1) * g->dil_w + 1));
    SPLIT(fdl_plan(threads, F(pool_cost)(g)), g->planes * f.bands, 1,
          F(forward_bands)(kind, g, &f, x, y, taps, &status, begin, end));
    return status;
}

/* ---- backward -------------------------------------------------------------------------------- */

/* dx[j] = the sum over n windows of dy where the window's tap is the one sought (taps NULL: always)
 * for m neighbouring elements; reads and writes whole vectors. */
INLINE void F(gather_lanes)(const int n, const REAL *dy, const INT *taps, const int64_t *offset,
                            const int64_t *tap, int64_t m, REAL *dx)
{
    for (int64_t j = 0; j < m; j += VL) {
        V sum = SPLAT(0);
        if (j + VL > m && m >= VL) j = m - VL;
        for (int t = 0; t < n; t++) {
            V v = LD(dy + offset[t] + j);
            if (taps) {
                VI won = (VI)(*(const VIU *)(taps + offset[t] + j) == (INT)tap[t]);
                v = (V)((VI)v & won);
            }
            sum += v;
        }
        ST(dx + j, sum);
    }
}

NOINLINE void F(gather_run)(int64_t n, const REAL *dy, const INT *taps, const int64_t *offset,
                            const int64_t *tap, int64_t m, REAL *dx)
{
    if (taps && n == 1)
        F(gather_lanes)(1, dy, taps, offset, tap, m, dx);
    else if (taps && n == 2)
        F(gather_lanes)(2, dy, taps, offset, tap, m, dx);
    else if (taps && n == 4)
        F(gather_lanes)(4, dy, taps, offset, tap, m, dx);
    else if (taps)
        F(gather_lanes)(n, dy, taps, offset, tap, m, dx);
    else if (n == 1)
        F(gather_lanes)(1, dy, NULL, offset, NULL, m, dx);
    else if (n == 4)
        F(gather_lanes)(4, dy, NULL, offset, NULL, m, dx);
    else
        F(gather_lanes)(n, dy, NULL, offset, NULL, m, dx);
}

/* Groups the taps by the phase of the elements they fall on. Within a phase the last tap comes
 * first: that is the order of the windows, in which naive.c adds. */
INLINE void F(backward_tables)(const fdl_pool *g, const F(frame) * f, F(pool_work) * w)
{
    const int64_t n = f->phases_h * f->phases_w;
    memset(w->start, 0, (n + 1) * sizeof *w->start);
    for (int pass = 0; pass < 2; pass++) { /* count, then place */
        for (int64_t t = g->kh * g->kw - 1; t >= 0; t--) {
            int64_t r = t / g->kw * g->dil_h, s = t % g->kw * g->dil_w;
            int64_t qr = r % g->stride_h, qs = s % g->stride_w, phase = qr * f->phases_w + qs;
            if (qr >= f->phases_h || qs >= f->phases_w) continue; /* below or right of the plane */
            if (pass) {
                int64_t k = w->start[phase]++;
                w->tap[k] = t;
                w->offset[k] =
                    (f->halo_h - r / g->stride_h) * f->pitch + f->halo_w - s / g->stride_w;
            } else
                w->start[phase + 1]++;
        }
        if (!pass)
            for (int64_t p = 0; p < n; p++) w->start[p + 1] += w->start[p];
    }
    for (int64_t p = n; p > 0; p--) w->start[p] = w->start[p - 1]; /* placing moved them on */
    w->start[0] = 0;
}

/* The windows that rows u0 ... u0 + rows - 1 of the phase planes lie in: dy (divided, for averages)
 * and taps at the frame's pitch, dy = 0 where there is no window. `out` is the plane's first
 * window. */
INLINE void F(frame_windows)(const int kind, const fdl_pool *g, const F(frame) * f,
                             const F(pool_work) * w, const REAL *dy, const REAL *dy_end,
                             const void *taps, int64_t out, int64_t u0, int64_t rows, REAL *dy_out,
                             INT *taps_out)
{
    for (int64_t k = 0; k < rows + f->halo_h; k++, dy_out += f->pitch, taps_out += f->pitch) {
        int64_t i = u0 - f->halo_h + k, used = 0;
        if (i >= 0 && i < g->oh) {
            const REAL *row = dy + out + i * g->ow;
            REAL count = g->divisor ? g->divisor : F(avg_rows)(g, i);
            F(fill_over)(dy_out, f->halo_w, 0);
            for (int64_t j = 0; j < g->ow; j += VL) {
                V v = LDN(row + j, dy_end - row - j, 0);
                if (kind == F(POOL_AVG))
                    v /= g->divisor ? SPLAT(count) : LD(w->cols + j) * SPLAT(count);
                ST(dy_out + f->halo_w + j, v);
            }
            if (kind == F(POOL_MAX))
                F(widen_taps)(g, taps, out + i * g->ow, g->ow, taps_out + f->halo_w);
            used = f->halo_w + g->ow;
        }
        F(fill_over)(dy_out + used, f->pitch - used, 0);
    }
}

NOINLINE void F(backward_bands)(const int kind, const fdl_pool *g, const F(frame) * f,
                                const REAL *dy, const void *taps, REAL *dx, int *status,
                                int64_t begin, int64_t end)
{
    const REAL *dy_end = dy + g->planes * g->oh * g->ow;
    const int64_t phases = f->phases_h * f->phases_w;
    F(pool_work) w;
    if (F(pool_tables)(g, f, phases + 2, &w)) {
        __atomic_store_n(status, FDL_NOMEM, __ATOMIC_RELAXED);
        return;
    }
    for (int64_t q = 0; q < f->phases_w; q++)
        w.spans[q] = F(make_span)(q, g->stride_w, g->pad_w, g->w, f->pitch - f->halo_w);
    F(backward_tables)(g, f, &w);
    REAL *dy_copy = w.planes + phases * f->plane;
    INT *won = (INT *)(dy_copy + f->plane);
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t plane = unit / f->bands, u0 = unit % f->bands * f->rows;
        int64_t u1 = min64(u0 + f->rows, ceil_div(g->h + g->pad_h, g->stride_h));
        int64_t m = (u1 - u0) * f->pitch, out = plane * g->oh * g->ow;
        const REAL *from = dy_copy;
        if (kind == F(POOL_MAX) && f->halo_h == 0 && f->pitch == g->ow && u1 <= g->oh && m >= VL) {
            from = dy + out + u0 * g->ow; /* already at the frame's pitch */
            F(widen_taps)(g, taps, out + u0 * g->ow, m, won);
        } else
            F(frame_windows)(kind, g, f, &w, dy, dy_end, taps, out, u0, u1 - u0, dy_copy, won);
        for (int64_t p = 0; p < phases; p++) {
            int64_t k = w.start[p];
            F(gather_run)(w.start[p + 1] - k, from, kind == F(POOL_MAX) ? won : NULL, w.offset + k,
                          w.tap + k, m, w.planes + p * f->plane);
        }
        F(merge_band)(g, f, w.spans, w.planes, u0, u1, dx + plane * g->h * g->w);
    }
}

INLINE int F(pool_backward)(const int kind, const fdl_pool *g, const void *dy, const void *taps,
                            void *dx, int threads)
{
    int status = FDL_OK;
    if (g->planes * g->h * g->w == 0) return FDL_OK;
    int64_t rows = g->h + g->pad_h, cols = g->w + g->pad_w;
    F(frame)
    f = F(make_frame)(g, ceil_div(rows, g->stride_h), ceil_div(cols, g->stride_w),
                      min64(g->stride_h, rows), min64(g->stride_w, cols));
    SPLIT(fdl_plan(threads, F(pool_cost)(g)), g->planes * f.bands, 1,
          F(backward_bands)(kind, g, &f, dy, taps, dx, &status, begin, end));
    return status;
}

/* ---- the table's entries --------------------------------------------------------------------- */

static int F(max_forward_threaded)(const fdl_pool *g, const void *x, void *y, void *taps,
                                   int threads)
{
    return F(pool_forward)(F(POOL_MAX), g, x, y, taps, threads);
}
static int F(max_scatter_threaded)(const fdl_pool *g, const void *dy, const void *taps, void *dx,
                                   int threads)
{
    return F(pool_backward)(F(POOL_MAX), g, dy, taps, dx, threads);
}
static int F(avg_forward_threaded)(const fdl_pool *g, const void *x, void *y, int threads)
{
    return F(pool_forward)(F(POOL_AVG), g, x, y, NULL, threads);
}
static int F(avg_backward_threaded)(const fdl_pool *g, const void *dy, void *dx, int threads)
{
    return F(pool_backward)(F(POOL_AVG), g, dy, NULL, dx, threads);
}

static int F(max_forward_rows)(const fdl_pool *g, const void *x, void *y, void *taps, int threads)
{
    (void)threads;
    return F(max_forward_threaded)(g, x, y, taps, 1);
}
static int F(max_scatter_rows)(const fdl_pool *g, const void *dy, const void *taps, void *dx,
                               int threads)
{
    (void)threads;
    return F(max_scatter_threaded)(g, dy, taps, dx, 1);
}
static int F(avg_forward_rows)(const fdl_pool *g, const void *x, void *y, int threads)
{
    (void)threads;
    return F(avg_forward_threaded)(g, x, y, 1);
}
static int F(avg_backward_rows)(const fdl_pool *g, const void *dy, void *dx, int threads)
{
    (void)threads;
    return F(avg_backward_threaded)(g, dy, dx, 1);
}
