/* whole.c: one window over the whole plane (global pooling), a path of `rows` and `threaded`.
 *
 * Idea      a plane is one contiguous run of h * w elements: vectors of it are reduced lane by
 *           lane, then the lanes; its gradient is one value written h * w times
 * Removes   rows: planes of 7 x 7 leave most of a vector idle, and cost a copy besides
 * Leaves    the reduction of the lanes, once a plane
 * Requires  oh = ow = 1, no dilation, every element in the window
 * Checked   against naive.c: maxima and taps exactly, sums within rounding
 * Timed     python -m fastdl bench pool
 */
INLINE int F(pool_is_whole)(const fdl_pool *g)
{
    return g->oh == 1 && g->ow == 1 && g->dil_h == 1 && g->dil_w == 1 &&
           g->kh - g->pad_h >= g->h && g->kw - g->pad_w >= g->w;
}

/* Four sums in flight, since each addition waits for the one before. */
INLINE V F(run_sum)(const REAL *v, int64_t n)
{
    V a = SPLAT(0), b = a, c = a, d = a;
    int64_t i = 0;
    for (; i + 4 * VL <= n; i += 4 * VL) {
        a += LD(v + i);
        b += LD(v + i + VL);
        c += LD(v + i + 2 * VL);
        d += LD(v + i + 3 * VL);
    }
    for (; i + VL <= n; i += VL) a += LD(v + i);
    b += LDN(v + i, n - i, 0);
    return (a + b) + (c + d);
}

NOINLINE void F(avg_whole_planes)(const fdl_pool *g, const REAL *x, REAL *y, int64_t begin,
                                  int64_t end)
{
    const int64_t n = g->h * g->w;
    const REAL count = F(avg_count)(g, 0, 0);
    for (int64_t p = begin; p < end; p += VL) {
        V sums[VL];
        for (int64_t k = 0; k < VL; k++)
            sums[k] = p + k < end ? F(run_sum)(x + (p + k) * n, n) : SPLAT(0);
        STN(y + p, F(lane_sums)(sums) / count, end - p);
    }
}

/* In every lane the greatest element of a plane, and 1 if the plane holds a NaN */
INLINE V F(run_max)(const REAL *v, int64_t n, V *nan)
{
    V best = SPLAT(-INFINITY);
    VI found = {0};
    for (int64_t i = 0; i < n; i += VL) {
        V a = LDN(v + i, n - i, -INFINITY);
        best = VMAX(a, best); /* the second where one is NaN */
        found |= (VI)(a != a);
    }
    *nan = SEL(found, SPLAT(1), SPLAT(0));
    return best;
}

/* In every lane minus the first position of `top`, counted from `position`; -inf: not there */
INLINE V F(run_find)(const REAL *v, int64_t n, REAL top, V position)
{
    V where = SPLAT(-INFINITY);
    for (int64_t i = 0; i < n; i += VL) {
        V a = LDN(v + i, n - i, -INFINITY); /* what stands behind the plane comes last */
        where = VMAX(where, SEL(a == SPLAT(top), position, SPLAT(-INFINITY)));
        position -= SPLAT(VL);
    }
    return where;
}

/* First the maxima of VL planes, then where each stands first: no taps to carry along. */
NOINLINE void F(max_whole_planes)(const fdl_pool *g, const REAL *x, REAL *y, void *taps,
                                  int64_t begin, int64_t end)
{
    const int64_t n = g->h * g->w;
    const int countable = n <= 1 << 24; /* positions are exact as REAL */
    REAL lanes[VL], top[VL], nan[VL], where[VL];
    for (int k = 0; k < VL; k++) lanes[k] = (REAL)-k;
    for (int64_t p = begin; p < end; p += VL) {
        const int64_t m = min64(VL, end - p);
        V a[VL], b[VL];
        for (int64_t k = 0; k < VL; k++) a[k] = F(run_max)(x + (p + (k < m ? k : 0)) * n, n, b + k);
        ST(top, F(lane_maxima)(a));
        ST(nan, F(lane_maxima)(b));
        for (int64_t k = 0; k < VL; k++)
            a[k] = F(run_find)(x + (p + (k < m ? k : 0)) * n, countable ? n : 0, top[k], LD(lanes));
        ST(where, F(lane_maxima)(a));
        for (int64_t k = 0; k < m; k++) {
            const REAL *v = x + (p + k) * n;
            int64_t at = 0;
            if (nan[k] > 0)
                for (at = n - 1; v[at] == v[at];) at--;
            else if (countable)
                at = (int64_t)-where[k];
            else
                while (v[at] != top[k]) at++;
            y[p + k] = v[at];
            if (g->w != g->kw || g->pad_h || g->pad_w)
                at = (at / g->w + g->pad_h) * g->kw + at % g->w + g->pad_w;
            F(put_tap)(g, taps, p + k, at);
        }
    }
}

NOINLINE void F(avg_whole_backward)(const fdl_pool *g, const REAL *dy, REAL *dx, int64_t begin,
                                    int64_t end)
{
    const int64_t n = g->h * g->w;
    const REAL count = F(avg_count)(g, 0, 0);
    for (int64_t p = begin; p < end; p++) {
        const V share = SPLAT(dy[p] / count);
        for (int64_t i = 0; i < n; i += VL) STN(dx + p * n + i, share, n - i);
    }
}
