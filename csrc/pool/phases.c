/* phases.c: takes the stride out of a plane, so that neighbouring windows become neighbouring lanes.
 *
 * The padded plane is split by the strides into phase planes; phase (1, 0) with strides 2, 2 holds
 * rows 1, 3, 5, ... and columns 0, 2, 4, ...:
 *
 *      a b c d        (0,0) a c    (0,1) b d
 *      e f g h   ->         i k          j l
 *      i j k l        (1,0) e g    (1,1) f h
 *      m n o p              m o          n p
 *
 * Tap (r, s) of window (i, j) is padded element (i sh + r dh, j sw + s dw): in phase (r dh % sh, s
 * dw % sw) the
 * element (i + r dh / sh, j + s dw / sw), one constant offset from (i, j) for all windows. Strides,
 * dilation and padding
 * are gone: a kernel loads a vector of neighbouring windows at each tap's offset. The rows of a
 * phase plane follow each
 * other at a fixed pitch, so a vector may even run on into the next row.
 *
 * Work is cut into bands of rows whose phase planes fit in the L1 cache.
 */
#define BAND_BYTES 16384

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

/* One phase of a row of n elements: element t is x[first + (t - from) stride] for from <= t < to, else padding. */
typedef struct F(span) {
    int64_t from, to, first;
} F(span);

INLINE F(span) F(make_span)(int64_t phase, int64_t stride, int64_t pad, int64_t n, int64_t pitch)
{
    F(span) s;
    s.from = phase < pad ? ceil_div(pad - phase, stride) : 0;
    s.first = s.from * stride + phase - pad;
    s.to = s.first < n ? min64(pitch, s.from + (n - 1 - s.first) / stride + 1) : s.from;
    return s;
}

/* Splits a row into its phases, `plane` apart in dst. Vectors overrun a phase's row by up to VL lanes, which the next
 * row overwrites; `end` is where x's memory ends. */
INLINE void F(split_row)(const REAL *x, const REAL *end, int64_t stride, int64_t phases,
                         const F(span) * spans, int64_t pitch, int64_t plane, REAL fill, REAL *dst)
{
    if (stride == 2 && phases == 2) {
        const F(span) *e = spans + spans[0].first, *o = spans + spans[1].first; /* x[0], x[1] */
        REAL *even = dst + (e - spans) * plane + e->from,
             *odd = dst + (o - spans) * plane + o->from;
        for (int64_t i = 0; i < max64(e->to - e->from, o->to - o->from); i += VL) {
            const REAL *p = x + 2 * i;
            V a = LDN(p, end - p, 0), b = LDN(p + VL, end - p - VL, 0);
            ST(even + i, EVEN(a, b));
            ST(odd + i, ODD(a, b));
        }
    } else
        for (int64_t q = 0; q < phases; q++) {
            REAL *d = dst + q * plane + spans[q].from;
            const REAL *p = x + spans[q].first;
            int64_t n = spans[q].to - spans[q].from;
            if (stride == 1)
                for (int64_t i = 0; i < n; i += VL) ST(d + i, LDN(p + i, end - p - i, 0));
            else
                for (int64_t i = 0; i < n; i++) d[i] = p[i * stride];
        }
    for (int64_t q = 0; q < phases; q++) {
        for (int64_t t = 0; t < spans[q].from; t++) dst[q * plane + t] = fill;
        for (int64_t t = spans[q].to; t < pitch; t++) dst[q * plane + t] = fill;
    }
}

/* The phase planes of output rows i0 ... i0 + n - 1 */
INLINE void F(split_band)(const fdl_pool *g, const F(frame) * f, const F(span) * spans,
                          const REAL *x, const REAL *end, int64_t i0, int64_t n, REAL fill,
                          REAL *dst)
{
    int64_t u = 0, last = (n - 1) * g->stride_h + (g->kh - 1) * g->dil_h;
    for (int64_t k = 0; k < n + f->halo_h; k++, u = k * g->stride_h)
        for (int64_t q = 0; q < f->phases_h && u + q <= last; q++) {
            int64_t row = i0 * g->stride_h + u + q - g->pad_h;
            REAL *d = dst + q * f->phases_w * f->plane + k * f->pitch;
            if (row >= 0 && row < g->h)
                F(split_row)(x + row * g->w, end, g->stride_w, f->phases_w, spans, f->pitch,
                             f->plane, fill, d);
            else
                for (int64_t p = 0; p < f->phases_w; p++)
                    for (int64_t t = 0; t < f->pitch; t++) d[p * f->plane + t] = fill;
        }
}

/* The inverse of split_row: dst[first + (t - from) stride] = element t of each phase. Vectors overrun the row by up to 2 VL
 * lanes, but never `end`: later rows must be merged later. */
INLINE void F(merge_row)(const REAL *src, int64_t plane, int64_t stride, int64_t phases,
                         const F(span) * spans, REAL *dst, REAL *end)
{
    if (stride == 2 && phases == 2) {
        const F(span) *e = spans + spans[0].first, *o = spans + spans[1].first; /* x[0], x[1] */
        const REAL *even = src + (e - spans) * plane + e->from,
                   *odd = src + (o - spans) * plane + o->from;
        for (int64_t i = 0; i < max64(e->to - e->from, o->to - o->from); i += VL) {
            REAL *p = dst + 2 * i;
            V a = LD(even + i), b = LD(odd + i);
            STN(p, LOW(a, b), end - p);
            STN(p + VL, HIGH(a, b), end - p - VL);
        }
        return;
    }
    for (int64_t q = 0; q < phases; q++) {
        const REAL *s = src + q * plane + spans[q].from;
        REAL *d = dst + spans[q].first;
        int64_t n = spans[q].to - spans[q].from;
        if (stride == 1)
            for (int64_t i = 0; i < n; i += VL) STN(d + i, LD(s + i), end - d - i);
        else
            for (int64_t i = 0; i < n; i++) d[i * stride] = s[i];
    }
}
