/* winograd_tiles.c: images to transformed tiles, and products back to images. Not a rung: parts of
 * winograd.c.
 *
 * Lanes are tiles. The tiles of a chunk are numbered row by row through the images, without gaps,
 * whatever their images' size, so that no lane is wasted on 4 x 4 images either:
 *
 *      V[p][c][t]    value p = i * a + j of the transformed tile t of channel c,   a = m + 2
 *
 * A tile reads a x a elements and the next one begins m further on. Down the columns the transform
 * needs no rearranging: `winograd_lines` makes `a` lines of a row of tiles, vectors running along
 * the image's columns. Along the rows, column m t + j of a line has to become lane t of vector j.
 * That is a deinterleave by m, and where a row of tiles ends, columns m and m + 1 of its last tile
 * belong to no tile of their own; hence two lines, `line` with the columns from 0 on and `halo`
 * with those from m on. Narrow images lay all their rows side by side in such a pair; a row that
 * fills vectors by itself is one line, and its halo is the same line, m further on.
 */

#ifndef WINOGRAD_TYPES
#define WINOGRAD_TYPES
typedef struct winograd_chunk {
    int64_t row, rows, col, cols;       /* rows count through all images                          */
} winograd_chunk;
#endif

typedef struct F(winograd) F(winograd);
struct F(winograd) {
    int64_t groups, n, c, h, w;         /* x (n, groups * c, h, w)                                */
    int64_t k, oh, ow;                  /* y (n, groups * k, oh, ow)                              */
    int64_t pad_h, pad_w;               /* may be negative: that many rows are not read           */
    const REAL *x, *filter, *filter_end, *bias;
    REAL *y;
    int64_t fg, fk, fc;                 /* strides of the filter: group, output, input channel    */
    int flip;                           /* its taps run backwards                                 */
    int m, positions;                   /* outputs of a tile along one axis; (m + 2)^2            */
    int64_t th, tw;                     /* rows and columns of tiles of an image                  */
    int64_t rows, cols, nrows, ncols;   /* tiles of a chunk; chunks along n * th and tw           */
    int64_t panels, blocks;             /* of k, and of c                                         */
    int64_t ldv;                        /* elements between channels of V, and rows of products   */
    REAL *u, *v;                        /* shared by all threads, or NULL                         */
    const REAL *zeros;                  /* a row outside the image                                */
    int64_t *koff;                      /* c * ldv                                                */
    /* the steps, compiled for this m */
    void (*input)(const F(winograd) *e, int64_t c, const winograd_chunk *p, REAL *lines, REAL *out,
                  int64_t plane);
    void (*filters)(const F(winograd) *e, int64_t g, int64_t q, int64_t c0, int64_t c1, REAL *u);
    void (*output)(const F(winograd) *e, int64_t k, const winograd_chunk *p, const REAL *products,
                   int64_t plane, REAL *stage);
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
    return (F(winograd_wide)(e) ? e->rows : 2) * (e->m + 2) * F(winograd_line)(e);
}

/* m + 2 lines, `ld` apart: line[q] = what the rows' column `first + q` becomes, q < len; columns
 * outside the image are 0. Rows: m + 2 of the data, or m of the result's gradient. Whole vectors
 * are written: up to VL - 1 elements past len change. */
INLINE void F(winograd_lines)(const int m, const int grad, const REAL *const *row, int64_t first,
                              int64_t width, int64_t len, REAL *line, int64_t ld)
{
    const int values = grad ? m : m + 2;
    int64_t q = 0;
    for (; q < len && first + q < 0; q += VL)
        UNROLL(6) for (int i = 0; i < m + 2; i++) ST(line + i * ld + q, SPLAT(0));
    for (q = max64(0, -first); q < len && first + q < width; q += VL) {
        V d[WINOGRAD_MAX], t[WINOGRAD_MAX];
        UNROLL(6) for (int i = 0; i < values; i++)
            d[i] = LDN(row[i] + first + q, width - first - q, 0);
        if (grad) F(winograd_result_grad)(m, d, t, 1);
        else F(winograd_data)(m, d, t, 1);
        UNROLL(6) for (int i = 0; i < m + 2; i++) ST(line + i * ld + q, t[i]);
    }
    for (; q < len; q += VL)
        UNROLL(6) for (int i = 0; i < m + 2; i++) ST(line + i * ld + q, SPLAT(0));
}

/* VL tiles of the m + 2 lines to lanes of out[p * plane]. */
INLINE void F(winograd_split)(const int m, const REAL *line, const REAL *halo, int64_t ld,
                              REAL *out, int64_t plane)
{
    UNROLL(6) for (int i = 0; i < m + 2; i++, line += ld, halo += ld) {
        V d[WINOGRAD_MAX], t[WINOGRAD_MAX];
        const V a = LD(line), b = LD(line + VL), p = LD(halo), q = LD(halo + VL);
        if (m == 2) {
            d[0] = EVEN(a, b), d[1] = ODD(a, b);
            d[2] = EVEN(p, q), d[3] = ODD(p, q);
        } else {
            const V c = LD(line + 2 * VL), e = LD(line + 3 * VL);
            const V r = LD(halo + 2 * VL), s = LD(halo + 3 * VL);
            const V even[2] = {EVEN(a, b), EVEN(c, e)}, odd[2] = {ODD(a, b), ODD(c, e)};
            d[0] = EVEN(even[0], even[1]), d[2] = ODD(even[0], even[1]);
            d[1] = EVEN(odd[0], odd[1]), d[3] = ODD(odd[0], odd[1]);
            d[4] = EVEN(EVEN(p, q), EVEN(r, s));
            d[5] = EVEN(ODD(p, q), ODD(r, s));
        }
        F(winograd_data)(m, d, t, 1);
        UNROLL(6) for (int j = 0; j < m + 2; j++) ST(out + (i * (m + 2) + j) * plane, t[j]);
    }
}

/* out[p * plane + t]: the tiles of channel c (of all) in a chunk; lines: winograd_lines_size. All
 * lines are written before they are read: what was stored just now, at another offset, reads
 * slowly. */
INLINE void F(winograd_input)(const int m, const F(winograd) *e, int64_t c, const winograd_chunk *p,
                              REAL *lines, REAL *out, int64_t plane)
{
    const int wide = F(winograd_wide)(e);
    const int64_t pitch = m * p->cols, first = m * p->col - e->pad_w, ld = F(winograd_line)(e);
    REAL *halo = wide ? lines + m : lines + (m + 2) * ld;
    const int64_t next = wide ? (m + 2) * ld : pitch;      /* from one row of tiles to the next   */
    for (int64_t r = 0; r < p->rows; r++) {
        const int64_t n = (p->row + r) / e->th, top = (p->row + r) % e->th * m - e->pad_h;
        const REAL *x = e->x + (n * e->groups * e->c + c) * e->h * e->w, *row[WINOGRAD_MAX];
        for (int i = 0; i < m + 2; i++)
            row[i] = top + i >= 0 && top + i < e->h ? x + (top + i) * e->w : e->zeros;
        F(winograd_lines)(m, 0, row, first, e->w, wide ? pitch + m : pitch, lines + r * next, ld);
        if (!wide) F(winograd_lines)(m, 0, row, first + m, e->w, pitch, halo + r * next, ld);
    }
    const int64_t count = wide ? p->cols : p->rows * p->cols;
    for (int64_t r = 0; r < (wide ? p->rows : 1); r++, out += count)
        for (int64_t t = 0; t < count; t += VL)
            F(winograd_split)(m, lines + r * next + m * t, halo + r * next + m * t, ld, out + t,
                              plane);
}

/* From products, M[p][t] with planes `plane` apart, to output channel k (of all) of a chunk; stage:
 * room for m lines. */
INLINE void F(winograd_output)(const int m, const F(winograd) *e, int64_t k,
                               const winograd_chunk *p, const REAL *products, int64_t plane,
                               REAL *stage)
{
    const int wide = F(winograd_wide)(e);
    const int64_t end = min64(e->ow, m * (p->col + p->cols)), ld = F(winograd_line)(e);
    const int64_t line = wide ? p->cols : p->rows * p->cols;
    const V bias = SPLAT(e->bias ? e->bias[k] : 0);
    for (int64_t r = 0; r < p->rows; r++) {
        const int64_t n = (p->row + r) / e->th, top = (p->row + r) % e->th * m;
        REAL *y = e->y + ((n * e->groups * e->k + k) * e->oh + top) * e->ow + m * p->col;
        const int64_t height = min64(m, e->oh - top), width = end - m * p->col;
        for (int64_t t = 0; t < line && (wide || r == 0); t += VL) {
            V h[WINOGRAD_MAX * WINOGRAD_MAX], o[4 * 4];
            const REAL *from = products + (wide ? r * p->cols : 0) + t;
            UNROLL(6) for (int j = 0; j < m + 2; j++) {
                V column[WINOGRAD_MAX];
                UNROLL(6) for (int i = 0; i < m + 2; i++)
                    column[i] = LD(from + (i * (m + 2) + j) * plane);
                F(winograd_result)(m, column, h + j, m + 2);
            }
            UNROLL(4) for (int i = 0; i < m; i++) {
                V *v = o + i * m;
                F(winograd_result)(m, h + i * (m + 2), v, 1);
                V even[2] = {LOW(v[0], v[m / 2]), HIGH(v[0], v[m / 2])};
                V out[4] = {even[0], even[1]};
                if (m == 4) {
                    const V odd[2] = {LOW(v[1], v[3]), HIGH(v[1], v[3])};
                    out[0] = LOW(even[0], odd[0]), out[1] = HIGH(even[0], odd[0]);
                    out[2] = LOW(even[1], odd[1]), out[3] = HIGH(even[1], odd[1]);
                }
                UNROLL(4) for (int l = 0; l < m; l++) {
                    const int64_t q = m * t + l * VL;
                    if (!wide) ST(stage + i * ld + q, out[l] + bias);
                    else if (i < height) STN(y + i * e->ow + q, out[l] + bias, width - q);
                }
            }
        }
        for (int64_t i = 0; i < height && !wide; i++)
            F(conv_copy)(y + i * e->ow, stage + i * ld + r * m * p->cols, width);
    }
}
