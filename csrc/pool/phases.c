/* phases.c: takes the stride out of a plane: neighbouring windows become neighbouring lanes.
 *
 * The padded plane is split by the strides into phase planes. Phase (1, 0) with strides 2, 2 holds
 * rows 1, 3, 5, ... and columns 0, 2, 4, ...:
 *
 *      a b c d        (0,0) a c    (0,1) b d
 *      e f g h   ->         i k          j l
 *      i j k l        (1,0) e g    (1,1) f h
 *      m n o p              m o          n p
 *
 * Tap (r, s) of window (i, j) is padded element (i sh + r dh, j sw + s dw). It lies in phase
 * (r dh % sh, s dw % sw) at (i + r dh / sh, j + s dw / sw): for every window at the same offset
 * from (i, j). Stride, dilation and padding are gone; a kernel loads a vector of neighbouring
 * windows at each tap's offset. The rows of a phase plane follow each other at a fixed pitch, so
 * that a vector may even run on into the next row.
 *
 * Work is cut into bands of rows whose phase planes fit in the L1 cache. Splitting one asks for the
 * next one's memory, which arrives while windows are reduced: a third of the time of large arrays
 * (measured; into L1 it came to nothing).
 */
#define BAND_BYTES 16384
#define NEXT_BAND(p) __builtin_prefetch((const char *)(p) + BAND_BYTES, 0, 2)

typedef struct F(frame) {
    int64_t phases_h, phases_w; /* at most the strides: those that a tap or the plane can need    */
    int64_t halo_h, halo_w;     /* rows (columns) of a phase plane from the first tap to the last */
    int64_t pitch, plane;       /* elements of a row in a phase plane, of a phase plane           */
    int64_t rows, bands;        /* rows of a band, bands of a plane                               */
} F(frame);

/* For `rows` x `cols` places of windows in a phase plane */
INLINE F(frame)
    F(make_frame)(const fdl_pool *g, int64_t rows, int64_t cols, int64_t phases_h, int64_t phases_w)
{
    F(frame) f = {.phases_h = phases_h, .phases_w = phases_w};
    f.halo_h = (g->kh - 1) * g->dil_h / g->stride_h;
    f.halo_w = (g->kw - 1) * g->dil_w / g->stride_w;
    f.pitch = cols + f.halo_w;
    int64_t fit = BAND_BYTES / (phases_h * phases_w * f.pitch * (int64_t)sizeof(REAL));
    f.bands = ceil_div(rows, max64(1, fit - f.halo_h));
    f.rows = ceil_div(rows, f.bands);
    f.bands = ceil_div(rows, f.rows);
    f.plane = (f.rows + f.halo_h) * f.pitch + 2 * VL;
    return f;
}

/* One phase along one axis of n elements: place t holds element first + (t - from) stride where
 * from <= t < to, padding elsewhere. */
typedef struct F(span) {
    int64_t from, to, first;
} F(span);

INLINE F(span) F(make_span)(int64_t phase, int64_t stride, int64_t pad, int64_t n, int64_t places)
{
    F(span) s;
    s.from = phase < pad ? ceil_div(pad - phase, stride) : 0;
    s.first = s.from * stride + phase - pad;
    s.to = s.first < n ? min64(places, s.from + (n - 1 - s.first) / stride + 1) : s.from;
    return s;
}

/* A vector store too many is cheaper than a loop over the rest, where later stores overwrite it. */
INLINE void F(fill_over)(REAL *p, int64_t n, REAL x)
{
    for (int64_t i = 0; i < n; i += VL) ST(p + i, SPLAT(x));
}

/* Splits the rows x, x + step, ... by column into phases, `plane` apart in dst. Vectors overrun a
 * row of dst, which the next one overwrites; they read x up to `end`, where its memory ends. */
NOINLINE void F(split_rows)(const F(frame) * f, const F(span) * spans, int64_t stride,
                            const REAL *x, int64_t step, const REAL *end, int64_t rows, REAL fill,
                            REAL *dst)
{
    const int64_t pitch = f->pitch, plane = f->plane, phases = f->phases_w;
    if (stride == 2 && phases == 2) {
        const F(span) e = spans[spans[0].first], o = spans[spans[1].first]; /* x[0], x[1], ... */
        const int64_t n = max64(e.to - e.from, o.to - o.from);
        REAL *even = dst + spans[0].first * plane, *odd = dst + spans[1].first * plane;
        for (; rows > 0; rows--, x += step, even += pitch, odd += pitch) {
            if (e.from) F(fill_over)(even, e.from, fill);
            if (o.from) F(fill_over)(odd, o.from, fill);
            for (int64_t i = 0; i < n; i += VL) {
                const REAL *p = x + 2 * i;
                V a, b;
                NEXT_BAND(p);
                NEXT_BAND(p + VL);
                if (end - p >= 2 * VL) {
                    a = LD(p);
                    b = LD(p + VL);
                } else {
                    a = LDN(p, end - p, 0);
                    b = LDN(p + VL, end - p - VL, 0);
                }
                ST(even + e.from + i, EVEN(a, b));
                ST(odd + o.from + i, ODD(a, b));
            }
            if (e.to < pitch) F(fill_over)(even + e.to, pitch - e.to, fill);
            if (o.to < pitch) F(fill_over)(odd + o.to, pitch - o.to, fill);
        }
        return;
    }
    for (; rows > 0; rows--, x += step, dst += pitch)
        for (int64_t q = 0; q < phases; q++) {
            const F(span) s = spans[q];
            const REAL *p = x + s.first;
            REAL *d = dst + q * plane;
            F(fill_over)(d, s.from, fill);
            if (stride == 1)
                for (int64_t i = 0; i < s.to; i += VL) {
                    NEXT_BAND(p + i);
                    ST(d + s.from + i, LDN(p + i, end - p - i, 0));
                }
            else
                for (int64_t t = s.from; t < s.to; t++, p += stride) d[t] = *p;
            F(fill_over)(d + s.to, pitch - s.to, fill);
        }
}

/* The phase planes of output rows i0 ... i0 + n - 1 of the plane at x */
INLINE void F(split_band)(const fdl_pool *g, const F(frame) * f, const F(span) * spans,
                          const REAL *x, const REAL *end, int64_t i0, int64_t n, REAL fill,
                          REAL *dst)
{
    for (int64_t q = 0; q < f->phases_h; q++, dst += f->phases_w * f->plane) {
        int64_t top = g->pad_h - i0 * g->stride_h, places = n + f->halo_h;
        F(span) s = F(make_span)(q, g->stride_h, top, g->h, places);
        for (int64_t p = 0; p < f->phases_w; p++)
            F(fill_over)(dst + p * f->plane, s.from * f->pitch, fill);
        F(split_rows)(f, spans, g->stride_w, x + s.first * g->w, g->stride_h * g->w, end,
                      s.to - s.from, fill, dst + s.from * f->pitch);
        for (int64_t p = 0; p < f->phases_w; p++)
            F(fill_over)(dst + p * f->plane + s.to * f->pitch, (places - s.to) * f->pitch, fill);
    }
}

/* The inverse for rows u0 ... u1 - 1 of the phase planes: the plane at x is written, and nothing
 * after those rows. Vectors overrun a row, which the next one overwrites. */
NOINLINE void F(merge_band)(const fdl_pool *g, const F(frame) * f, const F(span) * spans,
                            const REAL *src, int64_t u0, int64_t u1, REAL *x)
{
    const int64_t stride = g->stride_w, plane = f->plane, phases = f->phases_w;
    const int64_t first = max64(0, u0 * g->stride_h - g->pad_h);
    const int64_t last = min64(g->h, u1 * g->stride_h - g->pad_h);
    const F(span) e = spans[spans[0].first], o = spans[phases == 2 ? spans[1].first : 0];
    const int64_t even_at = spans[0].first * plane + e.from,
                  odd_at = (1 - spans[0].first) * plane + o.from;
    const int64_t pairs = max64(e.to - e.from, o.to - o.from);
    REAL *end = x + last * g->w;
    x += first * g->w;
    int64_t k = (first + g->pad_h) / g->stride_h - u0, q = (first + g->pad_h) % g->stride_h;
    for (int64_t row = first; row < last; row++, x += g->w) {
        const REAL *s = src + q * phases * plane + k * f->pitch;
        if (stride == 2 && phases == 2)
            for (int64_t i = 0; i < pairs; i += VL) {
                REAL *p = x + 2 * i;
                V a = LD(s + even_at + i), b = LD(s + odd_at + i);
                if (end - p >= 2 * VL) {
                    ST(p, LOW(a, b));
                    ST(p + VL, HIGH(a, b));
                } else {
                    STN(p, LOW(a, b), end - p);
                    STN(p + VL, HIGH(a, b), end - p - VL);
                }
            }
        else if (stride == 1)
            for (int64_t i = 0; i < g->w; i += VL) STN(x + i, LD(s + spans->from + i), end - x - i);
        else
            for (int64_t p = 0; p < phases; p++)
                for (int64_t t = spans[p].from; t < spans[p].to; t++)
                    x[spans[p].first + (t - spans[p].from) * stride] = s[p * plane + t];
        if (++q == f->phases_h) {
            q = 0;
            k++;
        }
    }
}

/* The memory of a thread: tables, then planes. */
typedef struct F(pool_work) {
    F(span) * spans; /* phases_w                                                           */
    int64_t *offset; /* kh * kw: forward, from a window to its tap t; backward, grouped by */
    int64_t *start;  /*          phase p in start[p] ... start[p + 1], from an element to  */
                     /*          the windows it lies in                                    */
    REAL *cols;      /* ow: columns that an average counts                                 */
    REAL *planes;    /* what the caller asked for                                          */
} F(pool_work);

/* With memory for n elements of planes */
INLINE int F(pool_tables)(const fdl_pool *g, const F(frame) * f, int64_t n, F(pool_work) * w)
{
    int64_t spans = f->phases_w * sizeof(F(span)), window = g->kh * g->kw * 8;
    int64_t starts = (f->phases_h * f->phases_w + 1) * 8, row = (g->ow + VL) * sizeof(REAL);
    char *p = fdl_scratch(FDL_SCRATCH_POOL, spans + window + starts + row + n * sizeof(REAL));
    if (!p) return FDL_NOMEM;
    w->spans = (F(span) *)p;
    w->offset = (int64_t *)(p += spans);
    w->start = (int64_t *)(p += window);
    w->cols = (REAL *)(p += starts);
    w->planes = (REAL *)(p += row);
    for (int64_t j = 0; j < g->ow; j++) w->cols[j] = F(avg_cols)(g, j);
    return FDL_OK;
}
