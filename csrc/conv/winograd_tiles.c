/* winograd_tiles.c: images to transformed tiles, and products back to images. Not a rung: parts of
 * winograd.c.
 *
 * Lanes are tiles. The tiles of a chunk are numbered row by row through the images, without gaps,
 * whatever their images' size, so that no lane is wasted on 4 x 4 images either:
 *
 *      V[p][c][t]    value p = i * a + j of the transformed tile t of channel c,   a = m + r - 1
 *
 * A tile reads a x a elements and the next one begins m further on. Down the columns the transform
 * needs no rearranging: `winograd_lines` makes `a` lines of a row of tiles, vectors running along
 * the image's columns. Along the rows, column m t + j of a line has to become lane t of vector j.
 * That is a deinterleave by m, and where a row of tiles ends, columns m and m + 1 of its last tile
 * belong to no tile of their own; hence another line with the columns from m on, and one with those
 * from 2 m on if tiles reach so far, `apart` from each other. Narrow images lay all their rows side
 * by side in such lines; a row that fills vectors by itself is one line, and the others are that
 * line, m further on.
 */

#ifndef WINOGRAD_TYPES
#define WINOGRAD_TYPES
typedef struct winograd_chunk {
    int64_t row, rows, col, cols;       /* rows count through all images                          */
} winograd_chunk;
#endif

typedef struct F(winograd) F(winograd);
typedef struct F(winograd_steps) {      /* compiled for m outputs and r taps along an axis        */
    int m, r;
    void (*input)(const F(winograd) *e, int64_t g, int64_t c, const winograd_chunk *p, REAL *lines,
                  REAL *out, int64_t plane);
    void (*filters)(const F(winograd) *e, int64_t g, int64_t q, int64_t c0, int64_t c1, REAL *u);
    void (*output)(const F(winograd) *e, int64_t g, int64_t k, const winograd_chunk *p,
                   const REAL *products, int64_t plane, REAL *stage);
} F(winograd_steps);

struct F(winograd) {
    const F(winograd_steps) *steps;
    int64_t groups, n, c, h, w;         /* x (n, xc, h, w); products of c channels each group     */
    int64_t k, oh, ow;                  /* y (n, yc, oh, ow); of k rows                           */
    int64_t xc, yc;
    int64_t step, yi;                   /* 2 where the phases of x, or of y, are channels, groups */
    int64_t pad_h[2], pad_w[2];         /* of a phase; may be negative: so many rows are not read */
    const REAL *x, *filter, *filter_end, *bias;
    REAL *y;
    int64_t fg, fk, fc;                 /* strides of the filter: group, output, input channel    */
    int flip;                           /* its taps run backwards                                 */
    int odd_h, odd_w;                   /* of stride 2: whether the padding is odd                */
    int m, a, positions;                /* of a tile, along one axis: outputs, inputs; a^2        */
    int64_t th, tw;                     /* rows and columns of tiles of an image                  */
    int64_t rows, cols, nrows, ncols;   /* tiles of a chunk; chunks along n * th and tw           */
    int64_t panels, blocks;             /* of k, and of c                                         */
    int64_t ldv;                        /* elements between channels of V, and rows of products   */
    const REAL *ready;                  /* U made by an earlier call, or NULL                     */
    REAL *u, *v;                        /* shared by all threads, or NULL                         */
    const REAL *zeros;                  /* a row outside the image                                */
    int64_t *koff;                      /* c * ldv                                                */
    tasks first, second;                /* chunks; or channels of a chunk, and then its panels    */
    int status;                         /* a task that fails stores FDL_NOMEM                     */
};

static winograd_chunk F(winograd_chunk_at)(const F(winograd) *e, int64_t t)
{
    winograd_chunk p = {t / e->ncols * e->rows, e->rows, t % e->ncols * e->cols, e->cols};
    p.rows = min64(p.rows, e->n * e->th - p.row);
    p.cols = min64(p.cols, e->tw - p.col);
    return p;
}

/* Whether a row of tiles is a line of its own. */
INLINE int F(winograd_wide)(const F(winograd) *e) { return 2 * e->cols > VL; }

/* Elements of a line: whole vectors of tiles, some to spare for what is written past the end; an
 * odd number of vectors, lest the lines fall into the same cache sets. */
INLINE int64_t F(winograd_line)(const F(winograd) *e)
{
    const int64_t tiles = F(winograd_wide)(e) ? e->cols : e->rows * e->cols;
    return ((e->m * ceil_div(tiles, VL) + 2) | 1) * VL;
}

INLINE int64_t F(winograd_lines_size)(const F(winograd) *e)
{
    const int64_t copies = F(winograd_wide)(e) ? e->rows : ceil_div(e->a, e->m);
    return copies * e->a * F(winograd_line)(e);
}

/* a lines, `ld` apart: line[q] = what the rows' column `first + q * step` becomes, q < len; columns
 * outside the image are 0. Rows: a of the data, or m of the result's gradient. Whole vectors are
 * written: up to VL - 1 elements past len change. */
INLINE void F(winograd_lines)(const int a, const int m, const int grad, const int step,
                              const REAL *const *row, int64_t first, int64_t width, int64_t len,
                              REAL *line, int64_t ld)
{
    const int values = grad ? m : a;
    int64_t q = 0, left;                /* columns from q on that are in the image                */
    for (; q < len && first + q * step < 0; q += VL)
        UNROLL(6) for (int i = 0; i < a; i++) ST(line + i * ld + q, SPLAT(0));
    q = max64(0, ceil_div(-first, step));
    for (; q < len && (left = width - first - q * step) > 0; q += VL) {
        V d[WINOGRAD_MAX], t[WINOGRAD_MAX];
        UNROLL(6) for (int i = 0; i < values; i++) {
            const REAL *from = row[i] + first + q * step;
            d[i] = LDN(from, left, 0);
            if (step == 2) d[i] = EVEN(d[i], LDN(from + VL, left - VL, 0));
        }
        if (grad) F(winograd_result_grad)(m, a - m + 1, d, t, 1);
        else F(winograd_data)(a, d, t, 1);
        UNROLL(6) for (int i = 0; i < a; i++) ST(line + i * ld + q, t[i]);
    }
    for (; q < len; q += VL)
        UNROLL(6) for (int i = 0; i < a; i++) ST(line + i * ld + q, SPLAT(0));
}

/* VL tiles of the a lines to lanes of out[p * plane]. */
INLINE void F(winograd_split)(const int m, const int r, const REAL *line, int64_t apart, int64_t ld,
                              REAL *out, int64_t plane)
{
    const int a = m + r - 1;
    UNROLL(6) for (int i = 0; i < a; i++, line += ld) {
        V d[WINOGRAD_MAX], t[WINOGRAD_MAX];
        if (m == 2) {
            UNROLL(3) for (int j = 0; j < a; j += 2) {
                const V z = LD(line + j / 2 * apart), b = LD(line + j / 2 * apart + VL);
                d[j] = EVEN(z, b), d[j + 1] = ODD(z, b);
            }
        } else {
            const REAL *halo = line + apart;
            const V z = LD(line), b = LD(line + VL), c = LD(line + 2 * VL), e = LD(line + 3 * VL);
            const V p = LD(halo), q = LD(halo + VL), u = LD(halo + 2 * VL), s = LD(halo + 3 * VL);
            const V even[2] = {EVEN(z, b), EVEN(c, e)}, odd[2] = {ODD(z, b), ODD(c, e)};
            d[0] = EVEN(even[0], even[1]), d[2] = ODD(even[0], even[1]);
            d[1] = EVEN(odd[0], odd[1]), d[3] = ODD(odd[0], odd[1]);
            d[4] = EVEN(EVEN(p, q), EVEN(u, s));
            if (a == 6) d[5] = EVEN(ODD(p, q), ODD(u, s));
        }
        F(winograd_data)(a, d, t, 1);
        UNROLL(6) for (int j = 0; j < a; j++) ST(out + (i * a + j) * plane, t[j]);
    }
}

/* Where tiles of channel c of group g read: x at rows u + i * step, columns v + j * step. */
typedef struct F(winograd_origin) {
    int64_t channel, u, v;
} F(winograd_origin);

INLINE F(winograd_origin) F(winograd_origin_of)(const F(winograd) *e, int64_t g, int64_t c)
{
    const int64_t phases = e->step * e->step, phase = c % phases;
    const int64_t up = e->pad_h[g / e->yi % e->yi], left = e->pad_w[g % e->yi];
    return (F(winograd_origin)){(g / (e->yi * e->yi) * e->c + c) / phases,
                                phase / e->step - up, phase % e->step - left};
}

/* out[p * plane + t]: the tiles of channel c of group g in a chunk; lines: winograd_lines_size. All
 * lines are written before they are read: what was stored just now, at another offset, reads
 * slowly. */
INLINE void F(winograd_input)(const int m, const int r, const int step, const F(winograd) *e,
                              int64_t g, int64_t c, const winograd_chunk *p, REAL *lines, REAL *out,
                              int64_t plane)
{
    const int a = m + r - 1, wide = F(winograd_wide)(e);
    const F(winograd_origin) from = F(winograd_origin_of)(e, g, c);
    const int64_t pitch = m * p->cols, first = m * p->col * step + from.v, tail = a - m;
    const int64_t ld = F(winograd_line)(e);
    const int64_t apart = wide ? m : a * ld;
    const int64_t next = wide ? a * ld : pitch;            /* from one row of tiles to the next   */
    for (int64_t q = 0; q < p->rows; q++) {
        const int64_t n = (p->row + q) / e->th;
        const int64_t top = (p->row + q) % e->th * m * step + from.u;
        const REAL *x = e->x + (n * e->xc + from.channel) * e->h * e->w, *row[WINOGRAD_MAX];
        for (int i = 0; i < a; i++) {
            const int64_t u = top + i * step;
            row[i] = u >= 0 && u < e->h ? x + u * e->w : e->zeros;
        }
        for (int copy = 0; copy < (wide ? 1 : (a + m - 1) / m); copy++)
            F(winograd_lines)(a, m, 0, step, row, first + copy * m * step, e->w,
                              wide ? pitch + tail : pitch, lines + copy * apart + q * next, ld);
    }
    const int64_t count = wide ? p->cols : p->rows * p->cols;
    for (int64_t q = 0; q < (wide ? p->rows : 1); q++, out += count)
        for (int64_t t = 0; t < count; t += VL)
            F(winograd_split)(m, r, lines + q * next + m * t, apart, ld, out + t, plane);
}

/* From products, M[p][t] with planes `plane` apart, to output channel k of group g in a chunk;
 * stage: room for m lines. */
INLINE void F(winograd_output)(const int m, const int r, const F(winograd) *e, int64_t g, int64_t k,
                               const winograd_chunk *p, const REAL *products, int64_t plane,
                               REAL *stage)
{
    const int a = m + r - 1, wide = F(winograd_wide)(e);
    const int64_t yi = e->yi, i0 = g / yi % yi, j0 = g % yi;       /* of the phase: rows, columns */
    const int64_t channel = g / (yi * yi) * e->k + k;
    const int64_t oh = ceil_div(e->oh - i0, yi), ow = ceil_div(e->ow - j0, yi);
    const int64_t width = min64(ow - m * p->col, m * p->cols), ld = F(winograd_line)(e);
    const int64_t line = wide ? p->cols : p->rows * p->cols;
    const V bias = SPLAT(e->bias ? e->bias[channel] : 0);
    for (int64_t u = 0; u < p->rows; u++) {
        const int64_t n = (p->row + u) / e->th, top = (p->row + u) % e->th * m;
        REAL *y = e->y + ((n * e->yc + channel) * e->oh + top * yi + i0) * e->ow +
                  m * p->col * yi + j0;
        const int64_t height = min64(m, oh - top);
        for (int64_t t = 0; t < line && (wide || u == 0); t += VL) {
            V h[WINOGRAD_MAX * WINOGRAD_MAX], o[4 * 4];
            const REAL *from = products + (wide ? u * p->cols : 0) + t;
            UNROLL(6) for (int j = 0; j < a; j++) {
                V column[WINOGRAD_MAX];
                UNROLL(6) for (int i = 0; i < a; i++) column[i] = LD(from + (i * a + j) * plane);
                F(winograd_result)(m, r, column, h + j, a);
            }
            UNROLL(4) for (int i = 0; i < m; i++) {
                V *v = o + i * m;
                F(winograd_result)(m, r, h + i * a, v, 1);
                V even[2] = {LOW(v[0], v[m / 2]), HIGH(v[0], v[m / 2])};
                V out[4] = {even[0], even[1]};
                if (m == 4) {
                    const V odd[2] = {LOW(v[1], v[3]), HIGH(v[1], v[3])};
                    out[0] = LOW(even[0], odd[0]), out[1] = HIGH(even[0], odd[0]);
                    out[2] = LOW(even[1], odd[1]), out[3] = HIGH(even[1], odd[1]);
                }
                UNROLL(4) for (int l = 0; l < m; l++) {
                    const int64_t q = m * t + l * VL;
                    if (!wide || yi > 1) ST(stage + i * ld + q, out[l] + bias);
                    else if (i < height) STN(y + i * e->ow + q, out[l] + bias, width - q);
                }
            }
        }
        const REAL *staged = stage + (wide ? 0 : u * m * p->cols);
        for (int64_t i = 0; i < height; i++)
            if (yi > 1) F(conv_spread)(y + i * yi * e->ow, staged + i * ld, width);
            else if (!wide) F(conv_copy)(y + i * e->ow, staged + i * ld, width);
    }
}
