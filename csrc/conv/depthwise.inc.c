/* depthwise.inc.c: the inner loops of depthwise.c for one width of vectors. Included with T a
 * vector of TL lanes, TI of masks, TU and TIU unaligned, and D(name) for the functions: once with
 * the whole width of the tier and, as 7 columns leave most of 16 lanes idle, once with half of it.
 */
#define TLD(p) ((T) * (const TU *)(p))
#define TMASK(v, lanes) ((T)((TI)(v) & *(const TIU *)(lanes)))

/* Tap s of TL outputs that are sw apart, from a row at p: taps 2 i and 2 i + 1 share loads. */
INLINE T D(tap)(const int sw, const REAL *p, const int s)
{
#ifdef DEPTHWISE_WHOLE
    if (sw == 2) {
        const V a = LD(p + s / 2 * 2), b = LD(p + s / 2 * 2 + VL);
        return s % 2 ? ODD(a, b) : EVEN(a, b);
    }
#endif
    (void)sw;
    return TLD(p + s);
}

/* ---- y from x -----------------------------------------------------------------------------------
 * sum[q]: one vector of row i0 + q, for an R x S filter with strides sh, sw; compiled for each. */
INLINE void D(strip)(const int R, const int S, const int sh, const int sw, const int rows,
                     const F(depthwise) *e, const REAL *x, const REAL *restrict w, int64_t i0,
                     int64_t j, const F(veci) *inside, T *sum)
{
    const int64_t u0 = i0 * sh - e->g.pad_h;
    const REAL *p = x + u0 * e->g.w + j * sw - e->g.pad_w;
    UNROLL(16) for (int t = 0; t < (rows - 1) * sh + R; t++, p += e->g.w)
        if ((uint64_t)(u0 + t) < (uint64_t)e->g.h)
            UNROLL(8) for (int s = 0; s < S; s++) {
                const T v = TMASK(D(tap)(sw, p, s), inside + s);
                UNROLL(4) for (int q = 0; q < rows; q++)
                    if (t >= q * sh && t - q * sh < R)
                        sum[q] += (w[(t - q * sh) * S + s] - (T){0}) * v;
            }
}

/* The same for any filter, and a sum over planes of x. */
INLINE void D(strip_any)(const int sw, const int rows, const F(depthwise) *e, const REAL *x,
                         const REAL *w, int64_t i0, int64_t j, const F(veci) *inside, T *sum)
{
    const fdl_conv *g = &e->g;
    for (int64_t i = 0; i < e->sums; i++, x += g->h * g->w)
        for (int64_t r = 0; r < g->r; r++, w += g->s)
            UNROLL(4) for (int q = 0; q < rows; q++) {
                const int64_t u = (i0 + q) * g->stride_h + r * g->dil_h - g->pad_h;
                if ((uint64_t)u >= (uint64_t)g->h) continue;
                const REAL *p = x + u * g->w + j * sw - g->pad_w;
                for (int64_t s = 0; s < g->s; s++, p += g->dil_w)
                    sum[q] += (w[s] - (T){0}) * TMASK(D(tap)(sw, p, 0), inside + s);
            }
}

/* Rows i0 ... i0 + rows - 1 of a plane of y, which ends at `end`. A vector that is wider than the
 * row overruns into the next one, which is written later. R = 0: any filter. */
INLINE void D(rows)(const int R, const int S, const int sh, const int sw, const int rows,
                    const F(depthwise) *e, const REAL *x, const REAL *w, REAL bias, int64_t i0,
                    REAL *y, const REAL *end)
{
    const int64_t ow = e->g.ow;
    y += i0 * ow;
    for (int64_t v = 0; v < e->vectors; v++) {
        const int64_t j = e->column[v];
        const F(veci) *inside = e->inside + e->edge[v] * ((R ? S : e->g.s) + 1);
        T sum[4];
        UNROLL(4) for (int q = 0; q < rows; q++) sum[q] = bias - (T){0};
        if (R) D(strip)(R, S, sh, sw, rows, e, x, w, i0, j, inside, sum);
        else D(strip_any)(sw, rows, e, x, w, i0, j, inside, sum);
        UNROLL(4) for (int q = 0; q < rows; q++) {
            REAL *to = y + q * ow + j;
            if (end - to >= TL) *(TU *)to = sum[q];
            else for (int l = 0; l < end - to; l++) to[l] = sum[q][l];
        }
    }
}

/* A plane, four rows at a time: the last four are moved back over those before them. */
#define DEPTHWISE(name, R, S, sh, sw)                                                              \
    static void D(name)(const F(depthwise) *e, const REAL *x, const REAL *w, REAL bias, REAL *y)   \
    {                                                                                              \
        const int64_t oh = e->g.oh;                                                                \
        const REAL *end = y + oh * e->g.ow;                                                        \
        if (oh >= 4)                                                                               \
            for (int64_t i = 0; i < oh; i += 4)                                                    \
                D(rows)(R, S, sh, sw, 4, e, x, w, bias, min64(i, oh - 4), y, end);                 \
        else                                                                                       \
            for (int64_t i = 0; i < oh; i++) D(rows)(R, S, sh, sw, 1, e, x, w, bias, i, y, end);   \
    }
#if TAILORED
DEPTHWISE(3, 3, 3, 1, 1)
DEPTHWISE(5, 5, 5, 1, 1)
DEPTHWISE(7, 7, 7, 1, 1)
#ifdef DEPTHWISE_WHOLE
DEPTHWISE(3_by_2, 3, 3, 2, 2)
DEPTHWISE(5_by_2, 5, 5, 2, 2)
#endif
#endif
#ifdef DEPTHWISE_WHOLE
DEPTHWISE(any, 0, 0, 0, 1)
DEPTHWISE(any_by_2, 0, 0, 0, 2)
#endif
#undef DEPTHWISE

#if TAILORED
/* ---- dw from x and dy ---------------------------------------------------------------------------
 * sum[t] += the products of rows i ... i + rows - 1 of dy with what tap t of nr rows of the filter,
 * from r0 on, reads of x. */
INLINE void D(dots)(const int nr, const int S, const int sh, const int sw, const int rows,
                    const F(depthwise) *e, const REAL *x, const REAL *dy, int64_t r0, int64_t i,
                    T *sum)
{
    const fdl_conv *g = &e->g;
    const int64_t u0 = i * sh + r0 - g->pad_h;
    for (int64_t v = 0; v < e->vectors; v++) {
        const int64_t j = e->column[v];
        const F(veci) *inside = e->inside + e->edge[v] * (S + 1);
        const REAL *p = x + u0 * g->w + j * sw - g->pad_w;
        T d[4];
        UNROLL(4) for (int q = 0; q < rows; q++)
            d[q] = TMASK(TLD(dy + (i + q) * g->ow + j), inside + S);
        UNROLL(16) for (int t = 0; t < (rows - 1) * sh + nr; t++, p += g->w)
            if ((uint64_t)(u0 + t) < (uint64_t)g->h)
                UNROLL(8) for (int s = 0; s < S; s++) {
                    const T a = TMASK(D(tap)(sw, p, s), inside + s);
                    UNROLL(4) for (int q = 0; q < rows; q++)
                        if (t >= q * sh && t - q * sh < nr) sum[(t - q * sh) * S + s] += d[q] * a;
                }
    }
}

/* A plane of dy and one of x: total[t], for the taps of nr rows of the filter from r0 on, a vector
 * of partial sums each. */
#define DEPTHWISE_DOTS(nr, S, sh, sw, rows)                                                        \
    static void D(dots_##nr##x##S##_##sw)(const F(depthwise) *e, const REAL *x, const REAL *dy,    \
                                          int64_t r0, F(vec) *total)                               \
    {                                                                                              \
        T sum[nr * S];                                                                             \
        UNROLL(32) for (int t = 0; t < nr * S; t++) sum[t] = *(TU *)(total + t);                   \
        int64_t i = 0;                                                                             \
        for (; i + rows <= e->g.oh; i += rows)                                                     \
            D(dots)(nr, S, sh, sw, rows, e, x, dy, r0, i, sum);                                    \
        for (; i < e->g.oh; i++) D(dots)(nr, S, sh, sw, 1, e, x, dy, r0, i, sum);                  \
        UNROLL(32) for (int t = 0; t < nr * S; t++) *(TU *)(total + t) = sum[t];                   \
    }
DEPTHWISE_DOTS(3, 3, 1, 1, 4)
#if VBYTES == 64                        /* as many rows of the filter as registers hold sums of   */
DEPTHWISE_DOTS(5, 5, 1, 1, 2)
DEPTHWISE_DOTS(3, 7, 1, 1, 4)
#else
DEPTHWISE_DOTS(2, 5, 1, 1, 2)
DEPTHWISE_DOTS(1, 5, 1, 1, 4)
#endif
DEPTHWISE_DOTS(1, 7, 1, 1, 4)
#ifdef DEPTHWISE_WHOLE
DEPTHWISE_DOTS(3, 3, 2, 2, 4)
#if VBYTES == 64
DEPTHWISE_DOTS(5, 5, 2, 2, 2)
#else
DEPTHWISE_DOTS(2, 5, 2, 2, 2)
DEPTHWISE_DOTS(1, 5, 2, 2, 4)
#endif
#endif
#undef DEPTHWISE_DOTS
#endif
#undef TLD
#undef TMASK
