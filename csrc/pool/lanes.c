/* lanes.c: small planes, one in every lane; a path of `rows` and `threaded`.
 *
 * Idea      a row of a 7 x 7 plane fills no vector, but VL planes do: element e of all of them is
 *           one vector (squares of VL x VL elements are turned in registers), and the definition
 *           of naive.c runs on vectors, forward and backward, whatever the window
 * Removes   the beginning and the end of every row, idle lanes, scattered additions
 * Leaves    the turns: planes whose rows fill vectors are faster as they lie
 * Requires  windows of few elements (every tap of every window is visited)
 * Checked   against naive.c: maxima, taps and all gradients exactly, averages exactly
 * Timed     bench/versus.py --fresh 41 pool
 */
#ifndef POOL_LANES_PLANE
#define POOL_LANES_PLANE 400 /* elements of a plane, at most */
#define POOL_LANES_WINDOW 16 /* and of a window              */
#endif

INLINE int F(pool_in_lanes)(const fdl_pool *g)
{
    return g->planes >= VL / 2 && g->h * g->w <= POOL_LANES_PLANE &&
           g->kh * g->kw <= POOL_LANES_WINDOW && g->ow < VL;
}

/* The taps as callers see them, one after the other, and back; plain loops, which compilers turn
 * into vectors */
NOINLINE void F(narrow_taps)(const fdl_pool *g, const INT *from, int64_t n, void *taps, int64_t at)
{
    if (g->kh * g->kw <= 256)
        for (int64_t i = 0; i < n; i++) ((uint8_t *)taps)[at + i] = (uint8_t)from[i];
    else
        for (int64_t i = 0; i < n; i++) ((int32_t *)taps)[at + i] = (int32_t)from[i];
}

NOINLINE void F(widen_taps)(const fdl_pool *g, const void *taps, int64_t at, int64_t n, INT *to)
{
    if (g->kh * g->kw <= 256)
        for (int64_t i = 0; i < n; i++) to[i] = ((const uint8_t *)taps)[at + i];
    else
        for (int64_t i = 0; i < n; i++) to[i] = ((const int32_t *)taps)[at + i];
}

/* The memory of a thread: a vector for every element of a plane of inputs, of outputs, of taps. */
typedef struct F(pool_lanes) {
    V *in, *out, *taps;
    INT *flat; /* the taps of VL planes, one plane after the other */
} F(pool_lanes);

INLINE int F(pool_lanes_of)(const fdl_pool *g, F(pool_lanes) * w, int *status)
{
    const int64_t n = g->h * g->w + VL, m = g->oh * g->ow + VL;
    w->in = fdl_scratch(FDL_SCRATCH_POOL, (n + 3 * m) * sizeof(V));
    if (!w->in) {
        __atomic_store_n(status, FDL_NOMEM, __ATOMIC_RELAXED);
        return 0;
    }
    w->out = w->in + n;
    w->taps = w->out + m;
    w->flat = (INT *)(w->taps + m);
    return 1;
}

/* What there is of the window of output (i, j): rows r0 ... r1 - 1, columns s0 ... s1 - 1; `at`:
 * where its tap (0, 0) would lie */
typedef struct F(seen) {
    int64_t r0, r1, s0, s1, at;
} F(seen);

INLINE F(seen) F(window_seen)(const fdl_pool *g, int64_t i, int64_t j)
{
    F(seen) s;
    int64_t top, left;
    F(window)(i, g->stride_h, g->pad_h, g->dil_h, g->kh, g->h, &top, &s.r0, &s.r1);
    F(window)(j, g->stride_w, g->pad_w, g->dil_w, g->kw, g->w, &left, &s.s0, &s.s1);
    s.at = top * g->w + left;
    return s;
}

NOINLINE void F(max_lanes_forward)(const fdl_pool *g, const REAL *x, REAL *y, void *taps,
                                   int *status, int64_t begin, int64_t end)
{
    const int64_t n = g->h * g->w, m = g->oh * g->ow, down = g->dil_h * g->w;
    F(pool_lanes) w;
    if (!F(pool_lanes_of)(g, &w, status)) return;
    for (int64_t p = begin; p < end; p += VL) {
        const int64_t count = min64(VL, end - p);
        F(load_lanes)(count, n, x + p * n, n, w.in);
        for (int64_t i = 0, k = 0; i < g->oh; i++)
            for (int64_t j = 0; j < g->ow; j++, k++) {
                const F(seen) s = F(window_seen)(g, i, j);
                V best = SPLAT(-INFINITY);
                VI tap = (VI){0} + (INT)(s.r0 * g->kw + s.s0);
                for (int64_t r = s.r0; r < s.r1; r++)
                    for (int64_t c = s.s0; c < s.s1; c++) {
                        const V v = w.in[s.at + r * down + c * g->dil_w];
                        const VI wins = (VI)(v > best) | (VI)(v != v);
                        best = SEL(wins, v, best);
                        tap = (wins & (INT)(r * g->kw + c)) | (~wins & tap);
                    }
                w.out[k] = best;
                w.taps[k] = (V)tap;
            }
        F(store_lanes)(count, m, w.out, y + p * m, m);
        F(store_lanes)(count, m, w.taps, (REAL *)w.flat, m);
        F(narrow_taps)(g, w.flat, count * m, taps, p * m);
    }
}

NOINLINE void F(max_lanes_backward)(const fdl_pool *g, const REAL *dy, const void *taps, REAL *dx,
                                    int *status, int64_t begin, int64_t end)
{
    const int64_t n = g->h * g->w, m = g->oh * g->ow, down = g->dil_h * g->w;
    F(pool_lanes) w;
    if (!F(pool_lanes_of)(g, &w, status)) return;
    for (int64_t p = begin; p < end; p += VL) {
        const int64_t count = min64(VL, end - p);
        F(check_taps)(g, taps, p * m, count * m, status);
        F(widen_taps)(g, taps, p * m, count * m, w.flat);
        F(load_lanes)(count, m, dy + p * m, m, w.out);
        F(load_lanes)(count, m, (const REAL *)w.flat, m, w.taps);
        for (int64_t e = 0; e < n; e++) w.in[e] = SPLAT(0);
        for (int64_t i = 0, k = 0; i < g->oh; i++)
            for (int64_t j = 0; j < g->ow; j++, k++) {
                const F(seen) s = F(window_seen)(g, i, j);
                const VI tap = (VI)w.taps[k];
                for (int64_t r = s.r0; r < s.r1; r++)
                    for (int64_t c = s.s0; c < s.s1; c++)
                        w.in[s.at + r * down + c * g->dil_w] +=
                            (V)((VI)(tap == (INT)(r * g->kw + c)) & (VI)w.out[k]);
            }
        F(store_lanes)(count, n, w.in, dx + p * n, n);
    }
}

/* `backward`: x is dx, and y is dy */
NOINLINE void F(avg_lanes)(const int backward, const fdl_pool *g, REAL *x, REAL *y, int *status,
                           int64_t begin, int64_t end)
{
    const int64_t n = g->h * g->w, m = g->oh * g->ow;
    F(pool_lanes) w;
    if (!F(pool_lanes_of)(g, &w, status)) return;
    for (int64_t p = begin; p < end; p += VL) {
        const int64_t count = min64(VL, end - p);
        if (backward) F(load_lanes)(count, m, y + p * m, m, w.out);
        else F(load_lanes)(count, n, x + p * n, n, w.in);
        for (int64_t e = 0; backward && e < n; e++) w.in[e] = SPLAT(0);
        for (int64_t i = 0, k = 0; i < g->oh; i++)
            for (int64_t j = 0; j < g->ow; j++, k++) {
                const F(seen) s = F(window_seen)(g, i, j);
                const V divisor = SPLAT(F(avg_count)(g, i, j)), share = w.out[k] / divisor;
                V sum = SPLAT(0);
                for (int64_t c = s.s0; c < s.s1; c++) {
                    V column = SPLAT(0);
                    for (int64_t r = s.r0; r < s.r1; r++)
                        if (backward) w.in[s.at + r * g->w + c] += share;
                        else column += w.in[s.at + r * g->w + c];
                    sum += column;
                }
                if (!backward) w.out[k] = sum / divisor;
            }
        if (backward) F(store_lanes)(count, n, w.in, x + p * n, n);
        else F(store_lanes)(count, m, w.out, y + p * m, m);
    }
}
