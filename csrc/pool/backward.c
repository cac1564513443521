/* backward.c: gradients of the rungs `rows` and `threaded`.
 *
 * max      pairs: windows two columns wide that do not overlap, the usual ones: a vector of outputs
 *          becomes two of each of its rows, zeros and all. Others scatter: one addition an output,
 *          where comparing every window's tap would be kh * kw an input element. A plane belongs
 *          to one thread, in the order of naive.c; it is made in a cache and sent to memory past
 *          the caches if all planes are too many for them
 * average  gathered and separable: every input element adds up its windows' shares; a row of
 *          windows is spread along the columns once, then added to kh rows.
 */

/* ---- max ------------------------------------------------------------------------------------- */

/* Outputs [from, to) whose windows lie wholly in the plane along one axis */
INLINE void F(inner_windows)(int64_t n, int64_t stride, int64_t pad, int64_t span, int64_t size,
                             int64_t *from, int64_t *to)
{
    *from = min64(n, ceil_div(pad, stride));
    *to = size + pad < span ? *from : min64(n, (size + pad - span) / stride + 1);
    if (*to < *from) *to = *from;
}

/* Windows [from, to) of row i, some of whose taps may lie in the padding */
INLINE void F(scatter_edge)(const fdl_pool *g, const REAL *dy, const void *taps, int64_t out,
                            int64_t i, int64_t from, int64_t to, REAL *plane)
{
    for (int64_t j = from; j < to; j++) {
        int64_t at = F(tap_position)(g, i, j, F(get_tap)(g, taps, out + j));
        if (at >= 0) plane[at] += dy[out + j];
    }
}

INLINE void F(scatter_plane)(const fdl_pool *g, const int64_t *offset, const REAL *dy,
                             const void *taps, int64_t out, REAL *plane)
{
    const int64_t stride = g->stride_w;
    int64_t i0, i1, j0, j1;
    F(inner_windows)(g->oh, g->stride_h, g->pad_h, (g->kh - 1) * g->dil_h + 1, g->h, &i0, &i1);
    F(inner_windows)(g->ow, stride, g->pad_w, (g->kw - 1) * g->dil_w + 1, g->w, &j0, &j1);
    int64_t zeroed = 0; /* rows: just before windows reach them, so that they are in L1 then */
    for (int64_t i = 0; i < g->oh; i++, out += g->ow) {
        int64_t reach = i * g->stride_h - g->pad_h + (g->kh - 1) * g->dil_h + 1;
        reach = max64(zeroed, min64(reach, g->h));
        memset(plane + zeroed * g->w, 0, (reach - zeroed) * g->w * sizeof *plane);
        zeroed = reach;
        const int inner = i >= i0 && i < i1;
        const int64_t first = inner ? j0 : g->ow, last = inner ? j1 : g->ow;
        F(scatter_edge)(g, dy, taps, out, i, 0, first, plane);
        REAL *at = plane + (i * g->stride_h - g->pad_h) * g->w + first * stride - g->pad_w;
        for (int64_t j = first; j < last; j++, at += stride)
            at[offset[F(get_tap)(g, taps, out + j)]] += dy[out + j];
        F(scatter_edge)(g, dy, taps, out, i, last, g->ow, plane);
    }
    memset(plane + zeroed * g->w, 0, (g->h - zeroed) * g->w * sizeof *plane);
}

/* Are windows two columns wide, apart, inside the plane, and enough to fill a vector? */
INLINE int F(pool_in_pairs)(const fdl_pool *g)
{
    return g->kw == 2 && g->stride_w == 2 && g->dil_w == 1 && g->pad_w == 0 && g->pad_h == 0 &&
           (g->kh - 1) * g->dil_h < g->stride_h && g->kh <= 128 && 2 * g->ow <= g->w &&
           (g->oh - 1) * g->stride_h + (g->kh - 1) * g->dil_h < g->h && g->ow >= VL;
}

INLINE void F(pair_plane)(const fdl_pool *g, const REAL *dy, const uint8_t *taps, REAL *plane)
{
    typedef uint8_t bytes __attribute__((vector_size(VL), aligned(1), may_alias));
    int64_t written = 0; /* rows */
    for (int64_t i = 0; i < g->oh; i++, dy += g->ow, taps += g->ow)
        for (int64_t r = 0; r < g->kh; r++, written++) {
            REAL *row = plane + (i * g->stride_h + r * g->dil_h) * g->w;
            REAL *gap = plane + written * g->w;
            written += (row - gap) / g->w;
            memset(gap, 0, (row - gap) * sizeof *row);
            for (int64_t j = 0; j < g->ow; j += VL) {
                if (j + VL > g->ow) j = g->ow - VL; /* the last vector overlaps the one before */
                const VI tap = __builtin_convertvector(*(const bytes *)(taps + j), VI);
                const V v = LD(dy + j);
                const V a = (V)((VI)(tap == (INT)(2 * r)) & (VI)v);
                const V b = (V)((VI)(tap == (INT)(2 * r + 1)) & (VI)v);
                ST(row + 2 * j, LOW(a, b));
                ST(row + 2 * j + VL, HIGH(a, b));
            }
            for (int64_t j = 2 * g->ow; j < g->w; j++) row[j] = 0;
        }
    memset(plane + written * g->w, 0, (g->h - written) * g->w * sizeof *plane);
}

NOINLINE void F(max_backward_planes)(const fdl_pool *g, const REAL *dy, const void *taps, REAL *dx,
                                     int stream, int *status, int64_t begin, int64_t end)
{
    const int64_t n = g->kh * g->kw, elements = g->h * g->w, outputs = g->oh * g->ow;
    const int pairs = F(pool_in_pairs)(g);
    REAL *made = fdl_scratch(FDL_SCRATCH_POOL, n * 8 + (stream ? elements : 0) * sizeof *made);
    if (!made) {
        __atomic_store_n(status, FDL_NOMEM, __ATOMIC_RELAXED);
        return;
    }
    int64_t *offset = (int64_t *)(made + (stream ? elements : 0));
    for (int64_t t = 0; t < n; t++) /* from a window's first element to its tap t */
        offset[t] = t / g->kw * g->dil_h * g->w + t % g->kw * g->dil_w;
    for (int64_t p = begin; p < end; p++) {
        REAL *plane = stream ? made : dx + p * elements;
        int outside = FDL_OK;
        F(check_taps)(g, taps, p * outputs, outputs, &outside);
        if (outside != FDL_OK) {
            __atomic_store_n(status, outside, __ATOMIC_RELAXED);
            return;
        }
        if (pairs)
            F(pair_plane)(g, dy + p * outputs, (const uint8_t *)taps + p * outputs, plane);
        else
            F(scatter_plane)(g, offset, dy, taps, p * outputs, plane);
        if (stream) F(stream_copy)(elements, made, dx + p * elements);
    }
    if (stream) STREAM_END();
}

static int F(max_backward)(const fdl_pool *g, const void *dy, const void *taps, void *dx,
                           int threads)
{
    int status = FDL_OK;
    if (g->planes * g->h * g->w == 0) return FDL_OK;
    if (F(pool_in_lanes)(g)) {
        SPLIT(fdl_plan(threads, F(pool_cost)(g)), g->planes, VL,
              F(max_lanes_backward)(g, dy, taps, dx, &status, begin, end));
        return status;
    }
    double bytes = (double)sizeof(REAL) * g->planes * (g->h * g->w + g->oh * g->ow);
    double cost = g->planes * (20 + 0.03 * sizeof(REAL) * g->h * g->w + 0.8 * g->oh * g->ow);
    SPLIT(fdl_plan(threads, cost), g->planes, 1,
          F(max_backward_planes)(g, dy, taps, dx, bytes >= FDL_STREAM, &status, begin, end));
    return status;
}

/* ---- average --------------------------------------------------------------------------------- */

/* dx[j] = the sum over n windows of dy, for m neighbouring elements; whole vectors */
INLINE void F(gather_lanes)(const int64_t n, const REAL *dy, const int64_t *offset, int64_t m,
                            REAL *dx)
{
    for (int64_t j = 0; j < m; j += VL) {
        V sum = SPLAT(0);
        if (j + VL > m && m >= VL) j = m - VL;
        for (int64_t t = 0; t < n; t++) sum += LD(dy + offset[t] + j);
        ST(dx + j, sum);
    }
}

NOINLINE void F(gather_run)(int64_t n, const REAL *dy, const int64_t *offset, int64_t m, REAL *dx)
{
    if (n == 1)
        F(gather_lanes)(1, dy, offset, m, dx);
    else
        F(gather_lanes)(n, dy, offset, m, dx);
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
            if (pass)
                w->offset[w->start[phase]++] =
                    (f->halo_h - r / g->stride_h) * f->pitch + f->halo_w - s / g->stride_w;
            else
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

/* dst[0 ... n) = src, or += src */
INLINE void F(add_row)(int add, const REAL *src, int64_t n, REAL *dst)
{
    if (add)
        for (int64_t j = 0; j < n; j += VL)
            STN(dst + j, LDN(dst + j, n - j, 0) + LD(src + j), n - j);
    else
        for (int64_t j = 0; j < n; j += VL) STN(dst + j, LD(src + j), n - j);
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
                F(gather_run)(w.start[p + 1] - w.start[p], framed, w.offset + w.start[p],
                              rows * f->pitch, w.planes + p * f->plane);
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

static int F(avg_backward)(const fdl_pool *g, const void *dy, void *dx, int threads)
{
    int status = FDL_OK;
    if (g->planes * g->h * g->w == 0) return FDL_OK;
    if (F(pool_is_whole)(g)) {
        SPLIT(fdl_plan(threads, F(pool_cost)(g)), g->planes, 1,
              F(avg_whole_backward)(g, dy, dx, begin, end));
        return FDL_OK;
    }
    if (F(pool_in_lanes)(g)) {
        SPLIT(fdl_plan(threads, F(pool_cost)(g)), g->planes, VL,
              F(avg_lanes)(1, g, dx, (REAL *)dy, &status, begin, end));
        return status;
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
