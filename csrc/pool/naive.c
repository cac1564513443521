/* naive.c: pooling by its definition; the reference the other rungs are checked against.
 *
 * Idea      for every output, walk over its window and skip what lies in the padding
 * Removes   nothing: the starting point
 * Leaves    two bounds checks and a data-dependent branch an element; one lane of the vector unit
 *           in use
 * Requires  every window holds at least one element of the plane; taps in [0, kh * kw)
 * Checked   against PyTorch and NumPy: ties (the first wins), NaN (the last wins), -inf,
 *           overhanging windows
 * Timed     python -m fastdl bench pool
 */
/* A window's first row (or column); may be negative. Its taps r0 <= r < r1 lie in the plane. */
INLINE void F(window)(int64_t i, int64_t stride, int64_t pad, int64_t dil, int64_t k, int64_t size,
                      int64_t *start, int64_t *r0, int64_t *r1)
{
    *start = i * stride - pad;
    if (dil == 1) { /* spares two divisions */
        *r0 = max64(0, -*start);
        *r1 = min64(k, size - *start);
    } else {
        *r0 = *start < 0 ? ceil_div(-*start, dil) : 0;
        *r1 = min64(k, (size - 1 - *start) / dil + 1);
    }
}

/* Rows (columns) of a window that its average counts: those in the plane, or in the padding too. */
INLINE int64_t F(avg_extent)(int64_t i, int64_t stride, int64_t pad, int64_t k, int64_t size,
                             int64_t pad_after, int count_include_pad)
{
    int64_t start = i * stride - pad, stop = min64(start + k, size + pad_after);
    return count_include_pad ? stop - start : min64(stop, size) - max64(start, 0);
}

INLINE int64_t F(avg_rows)(const fdl_pool *g, int64_t i)
{
    return F(avg_extent)(i, g->stride_h, g->pad_h, g->kh, g->h, g->pad_bottom,
                         g->count_include_pad);
}

INLINE int64_t F(avg_cols)(const fdl_pool *g, int64_t j)
{
    return F(avg_extent)(j, g->stride_w, g->pad_w, g->kw, g->w, g->pad_right, g->count_include_pad);
}

INLINE REAL F(avg_count)(const fdl_pool *g, int64_t i, int64_t j)
{
    return g->divisor ? g->divisor : F(avg_rows)(g, i) * F(avg_cols)(g, j);
}

INLINE uint32_t F(get_tap)(const fdl_pool *g, const void *taps, int64_t i)
{
    return g->kh * g->kw <= 256 ? ((const uint8_t *)taps)[i] : ((const int32_t *)taps)[i];
}

INLINE void F(put_tap)(const fdl_pool *g, void *taps, int64_t i, int64_t tap)
{
    if (g->kh * g->kw <= 256)
        ((uint8_t *)taps)[i] = (uint8_t)tap;
    else
        ((int32_t *)taps)[i] = (int32_t)tap;
}

/* FDL_OUTSIDE in *status if one of n taps is none of the window's */
INLINE void F(check_taps)(const fdl_pool *g, const void *taps, int64_t at, int64_t n, int *status)
{
    const int64_t window = g->kh * g->kw;
    int outside = 0;
    if (window <= 256) {
        uint8_t most = 0;
        for (int64_t i = at; i < at + n; i++) {
            const uint8_t tap = ((const uint8_t *)taps)[i];
            most = tap > most ? tap : most;
        }
        outside = most >= window;
    } else
        for (int64_t i = at; i < at + n; i++)
            outside |= (uint32_t)((const int32_t *)taps)[i] >= (uint32_t)window;
    if (outside) __atomic_store_n(status, FDL_OUTSIDE, __ATOMIC_RELAXED);
}

/* Where output (i, j)'s tap lies in the plane, as row * w + column; -1 if in the padding. */
INLINE int64_t F(tap_position)(const fdl_pool *g, int64_t i, int64_t j, uint32_t tap)
{
    int64_t row = i * g->stride_h - g->pad_h + tap / (uint32_t)g->kw * g->dil_h;
    int64_t col = j * g->stride_w - g->pad_w + tap % (uint32_t)g->kw * g->dil_w;
    return row >= 0 && row < g->h && col >= 0 && col < g->w ? row * g->w + col : -1;
}

static int F(max_forward_naive)(const fdl_pool *g, const void *x_, void *y_, void *taps,
                                int threads)
{
    (void)threads;
    const REAL *x = x_;
    REAL *y = y_;
    int64_t out = 0, top, left, r0, r1, s0, s1;
    for (int64_t p = 0; p < g->planes; p++, x += g->h * g->w)
        for (int64_t i = 0; i < g->oh; i++)
            for (int64_t j = 0; j < g->ow; j++, out++) {
                F(window)(i, g->stride_h, g->pad_h, g->dil_h, g->kh, g->h, &top, &r0, &r1);
                F(window)(j, g->stride_w, g->pad_w, g->dil_w, g->kw, g->w, &left, &s0, &s1);
                REAL best = -INFINITY;
                int64_t tap = r0 * g->kw + s0;
                for (int64_t r = r0; r < r1; r++)
                    for (int64_t s = s0; s < s1; s++) {
                        REAL v = x[(top + r * g->dil_h) * g->w + left + s * g->dil_w];
                        if (v > best || v != v) {
                            best = v;
                            tap = r * g->kw + s;
                        }
                    }
                y[out] = best;
                F(put_tap)(g, taps, out, tap);
            }
    return FDL_OK;
}

NOINLINE void F(max_scatter_planes)(const fdl_pool *g, const REAL *dy, const void *taps, REAL *dx,
                                    int64_t begin, int64_t end)
{
    int64_t out = begin * g->oh * g->ow;
    for (int64_t p = begin; p < end; p++) {
        REAL *plane = dx + p * g->h * g->w;
        memset(plane, 0, g->h * g->w * sizeof(REAL));
        for (int64_t i = 0; i < g->oh; i++)
            for (int64_t j = 0; j < g->ow; j++, out++) {
                int64_t at = F(tap_position)(g, i, j, F(get_tap)(g, taps, out));
                if (at >= 0) plane[at] += dy[out];
            }
    }
}

static int F(max_scatter_naive)(const fdl_pool *g, const void *dy, const void *taps, void *dx,
                                int threads)
{
    int status = FDL_OK;
    (void)threads;
    F(check_taps)(g, taps, 0, g->planes * g->oh * g->ow, &status);
    if (status == FDL_OK) F(max_scatter_planes)(g, dy, taps, dx, 0, g->planes);
    return status;
}

NOINLINE void F(max_gather_planes)(const fdl_pool *g, const REAL *x, const void *taps, REAL *y,
                                   int *status, int64_t begin, int64_t end)
{
    int64_t out = begin * g->oh * g->ow;
    for (int64_t p = begin; p < end; p++) {
        F(check_taps)(g, taps, out, g->oh * g->ow, status);
        for (int64_t i = 0; i < g->oh; i++)
            for (int64_t j = 0; j < g->ow; j++, out++) {
                int64_t at = F(tap_position)(g, i, j, F(get_tap)(g, taps, out));
                y[out] = at < 0 ? 0 : x[p * g->h * g->w + at];
            }
    }
}

static int F(max_gather)(const fdl_pool *g, const void *x, const void *taps, void *y, int threads)
{
    int status = FDL_OK;
    SPLIT(fdl_plan(threads, 2.0 * g->planes * g->oh * g->ow), g->planes, 1,
          F(max_gather_planes)(g, x, taps, y, &status, begin, end));
    return status;
}

static int F(avg_forward_naive)(const fdl_pool *g, const void *x_, void *y_, int threads)
{
    (void)threads;
    const REAL *x = x_;
    REAL *y = y_;
    int64_t top, left, r0, r1, s0, s1;
    for (int64_t p = 0; p < g->planes; p++, x += g->h * g->w)
        for (int64_t i = 0; i < g->oh; i++)
            for (int64_t j = 0; j < g->ow; j++) {
                F(window)(i, g->stride_h, g->pad_h, 1, g->kh, g->h, &top, &r0, &r1);
                F(window)(j, g->stride_w, g->pad_w, 1, g->kw, g->w, &left, &s0, &s1);
                REAL sum = 0;
                for (int64_t s = s0; s < s1; s++) {
                    REAL column = 0;
                    for (int64_t r = r0; r < r1; r++) column += x[(top + r) * g->w + left + s];
                    sum += column;
                }
                *y++ = sum / F(avg_count)(g, i, j);
            }
    return FDL_OK;
}

static int F(avg_backward_naive)(const fdl_pool *g, const void *dy_, void *dx_, int threads)
{
    (void)threads;
    const REAL *dy = dy_;
    REAL *dx = dx_;
    int64_t top, left, r0, r1, s0, s1;
    memset(dx, 0, g->planes * g->h * g->w * sizeof(REAL));
    for (int64_t p = 0; p < g->planes; p++, dx += g->h * g->w)
        for (int64_t i = 0; i < g->oh; i++)
            for (int64_t j = 0; j < g->ow; j++) {
                F(window)(i, g->stride_h, g->pad_h, 1, g->kh, g->h, &top, &r0, &r1);
                F(window)(j, g->stride_w, g->pad_w, 1, g->kw, g->w, &left, &s0, &s1);
                REAL share = *dy++ / F(avg_count)(g, i, j);
                for (int64_t r = r0; r < r1; r++)
                    for (int64_t s = s0; s < s1; s++) dx[(top + r) * g->w + left + s] += share;
            }
    return FDL_OK;
}
