/* backward.c: gradients of the rungs `rows` and `threaded`. They are gathered: every input element
 * adds up what the windows it lies in have for it, so nothing is scattered and nothing races.
 *
 * max      small windows: an element compares its windows' taps with the one that would be itself.
 *          Large windows have few outputs: a scatter per plane, as in naive.c, has less to do.
 * average  separable: a row of windows is spread along the columns once, then added to kh rows.
 */

/* dx[j] = the sum over n windows of dy where the window's tap is the one sought (taps NULL: always)
 * for m neighbouring elements; reads and writes whole vectors. */
INLINE void F(gather_lanes)(const int64_t n, const REAL *dy, const INT *taps, const int64_t *offset,
                            const int64_t *tap, int64_t m, REAL *dx)
{
    for (int64_t j = 0; j < m; j += VL) {
        V sum = SPLAT(0);
        if (j + VL > m && m >= VL) j = m - VL;
        for (int64_t t = 0; t < n; t++) {
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
    if (!taps && n == 1)
        F(gather_lanes)(1, dy, NULL, offset, NULL, m, dx);
    else if (!taps)
        F(gather_lanes)(n, dy, NULL, offset, NULL, m, dx);
    else if (n == 1)
        F(gather_lanes)(1, dy, taps, offset, tap, m, dx);
    else if (n == 2)
        F(gather_lanes)(2, dy, taps, offset, tap, m, dx);
    else if (n == 4)
        F(gather_lanes)(4, dy, taps, offset, tap, m, dx);
    else
        F(gather_lanes)(n, dy, taps, offset, tap, m, dx);
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

/* dy (i of the plane's windows) at the frame's pitch: n values from `row`, 0 where there is no
 * window. Averages: divided by cols[j] * count (cols NULL: count); count 0: not divided. */
INLINE void F(frame_row)(const F(frame) * f, const REAL *row, int64_t n, const REAL *end,
                         const REAL *cols, REAL count, REAL *out)
{
    F(fill_over)(out, f->halo_w, 0);
    for (int64_t j = 0; j < n; j += VL) {
        V v = LDN(row + j, end - row - j, 0);
        if (count != 0) v /= cols ? LD(cols + j) * SPLAT(count) : SPLAT(count);
        ST(out + f->halo_w + j, v);
    }
    F(fill_over)(out + f->halo_w + n, f->pitch - f->halo_w - n, 0);
}

NOINLINE void F(max_backward_bands)(const fdl_pool *g, const F(frame) * f, const REAL *dy,
                                    const void *taps, REAL *dx, int *status, int64_t begin,
                                    int64_t end)
{
    const REAL *dy_end = dy + g->planes * g->oh * g->ow;
    const int64_t phases = f->phases_h * f->phases_w;
    F(pool_work) w;
    if (F(pool_tables)(g, f, (phases + 2) * f->plane, &w)) {
        __atomic_store_n(status, FDL_NOMEM, __ATOMIC_RELAXED);
        return;
    }
    for (int64_t q = 0; q < f->phases_w; q++)
        w.spans[q] = F(make_span)(q, g->stride_w, g->pad_w, g->w, f->pitch - f->halo_w);
    F(backward_tables)(g, f, &w);
    REAL *framed = w.planes + phases * f->plane;
    INT *won = (INT *)(framed + f->plane);
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t plane = unit / f->bands, u0 = unit % f->bands * f->rows;
        int64_t u1 = min64(u0 + f->rows, ceil_div(g->h + g->pad_h, g->stride_h));
        int64_t m = (u1 - u0) * f->pitch, out = plane * g->oh * g->ow;
        const REAL *from = framed;
        if (f->halo_h == 0 && f->pitch == g->ow && u1 <= g->oh && m >= VL) {
            from = dy + out + u0 * g->ow; /* already at the frame's pitch */
            F(widen_taps)(g, taps, out + u0 * g->ow, m, won);
        } else
            for (int64_t k = 0; k < u1 - u0 + f->halo_h; k++) {
                int64_t i = u0 - f->halo_h + k, at = out + i * g->ow;
                int64_t n = i >= 0 && i < g->oh ? g->ow : 0;
                F(frame_row)(f, n ? dy + at : dy, n, dy_end, NULL, 0, framed + k * f->pitch);
                F(widen_taps)(g, taps, at, n, won + k * f->pitch + f->halo_w);
            }
        for (int64_t p = 0; p < phases; p++) {
            int64_t k = w.start[p];
            F(gather_run)(w.start[p + 1] - k, from, won, w.offset + k, w.tap + k, m,
                          w.planes + p * f->plane);
        }
        F(merge_band)(g, f, w.spans, w.planes, u0, u1, dx + plane * g->h * g->w);
    }
}

/* dst[0 ... n) = src, or += src */
INLINE void F(add_row)(int add, const REAL *src, int64_t n, REAL *dst)
{
    for (int64_t j = 0; j < n; j += VL)
        STN(dst + j, add ? LDN(dst + j, n - j, 0) + LD(src + j) : LD(src + j), n - j);
}

/* `g` with the rows of windows taken for the rows of the plane: what is left is the spreading
 * along a row. f is its frame. */
NOINLINE void F(avg_backward_planes)(const fdl_pool *g, const fdl_pool *along, const F(frame) * f,
                                     const REAL *dy, REAL *dx, int *status, int64_t begin,
                                     int64_t end)
{
    const REAL *dy_end = dy + g->planes * g->oh * g->ow;
    F(pool_work) w;
    if (F(pool_tables)(g, f, (f->phases_w + 1) * f->plane + f->rows * g->w + 2 * VL, &w)) {
        __atomic_store_n(status, FDL_NOMEM, __ATOMIC_RELAXED);
        return;
    }
    for (int64_t q = 0; q < f->phases_w; q++)
        w.spans[q] = F(make_span)(q, g->stride_w, g->pad_w, g->w, f->pitch - f->halo_w);
    F(backward_tables)(along, f, &w);
    REAL *framed = w.planes + f->phases_w * f->plane, *spread = framed + f->plane;
    for (int64_t plane = begin; plane < end; plane++) {
        REAL *out = dx + plane * g->h * g->w;
        int64_t written = 0; /* rows of the plane */
        for (int64_t i0 = 0; i0 < g->oh; i0 += f->rows) {
            int64_t rows = min64(f->rows, g->oh - i0);
            for (int64_t i = 0; i < rows; i++)
                F(frame_row)(f, dy + (plane * g->oh + i0 + i) * g->ow, g->ow, dy_end,
                             g->divisor ? NULL : w.cols,
                             g->divisor ? g->divisor : F(avg_rows)(g, i0 + i),
                             framed + i * f->pitch);
            for (int64_t p = 0; p < f->phases_w; p++)
                F(gather_run)(w.start[p + 1] - w.start[p], framed, NULL, w.offset + w.start[p],
                              NULL, rows * f->pitch, w.planes + p * f->plane);
            F(merge_band)(along, f, w.spans, w.planes, 0, rows, spread);
            for (int64_t i = 0; i < rows; i++) {
                int64_t top = (i0 + i) * g->stride_h - g->pad_h, bottom = min64(top + g->kh, g->h);
                for (; written < top; written++)
                    memset(out + written * g->w, 0, g->w * sizeof *out);
                for (int64_t row = max64(top, 0); row < bottom; row++)
                    F(add_row)(row < written, spread + i * g->w, g->w, out + row * g->w);
                written = max64(written, bottom);
            }
        }
        memset(out + written * g->w, 0, (g->h - written) * g->w * sizeof *out);
    }
}

static int F(max_backward)(const fdl_pool *g, const void *dy, const void *taps, void *dx,
                           int threads)
{
    int status = FDL_OK, parts = fdl_plan(threads, F(pool_cost)(g));
    if (g->planes * g->h * g->w == 0) return FDL_OK;
    if (g->stride_w > 2 || g->kh * g->kw > 9) {
        SPLIT(parts, g->planes, 1, F(max_scatter_planes)(g, dy, taps, dx, begin, end));
        return FDL_OK;
    }
    int64_t rows = g->h + g->pad_h, cols = g->w + g->pad_w;
    F(frame)
    f = F(make_frame)(g, ceil_div(rows, g->stride_h), ceil_div(cols, g->stride_w),
                      min64(g->stride_h, rows), min64(g->stride_w, cols));
    SPLIT(parts, g->planes * f.bands, 1,
          F(max_backward_bands)(g, &f, dy, taps, dx, &status, begin, end));
    return status;
}

static int F(avg_backward)(const fdl_pool *g, const void *dy, void *dx, int threads)
{
    int status = FDL_OK;
    if (g->planes * g->h * g->w == 0) return FDL_OK;
    if (F(pool_is_whole)(g)) {
        SPLIT(fdl_plan(threads, F(pool_cost)(g)), g->planes, 1,
              F(avg_whole_backward)(g, dy, dx, begin, end));
        return FDL_OK;
    }
    fdl_pool along = *g;
    along.kh = along.stride_h = along.dil_h = 1;
    along.pad_h = 0;
    along.h = g->oh;
    int64_t cols = g->w + g->pad_w;
    F(frame)
    f = F(make_frame)(&along, max64(1, g->oh), ceil_div(cols, g->stride_w), 1,
                      min64(g->stride_w, cols));
    SPLIT(fdl_plan(threads, F(pool_cost)(g)), g->planes, 1,
          F(avg_backward_planes)(g, &along, &f, dy, dx, &status, begin, end));
    return status;
}
