/* product.c: what forward and input gradient have in common, the product of implicit.c, and its
 * end: the results stored. filters.c is its beginning.
 *
 *   outputs (m x pixels) = filter (m x taps) input (taps x pixels)       for every group and phase
 *
 * A phase is what the input gradient has one of for each phase of the stride (grad_input.c); the
 * forward pass is a single phase.
 */
typedef struct F(conv_phase) {          /* one product: the outputs (i * yi + a, j * yj + b)      */
    conv_taps rows, cols;
    conv_blocks blocks;
    int64_t oh, ow;                     /* its outputs                                            */
    int64_t y;                          /* offset of its first output from the image's first      */
    REAL *a;                            /* [group][panel][block][k][mr], panels of even heights   */
    int in_place;                       /* output p reads pixel p of every channel, nothing else  */
} F(conv_phase);

typedef struct F(conv_engine) {
    int64_t groups, n;
    F(conv_source) x;                   /* (n, groups * c, h, w)                                  */
    int64_t c;                          /* input channels of a group                              */
    int64_t m, panels;                  /* rows of the product: output channels of a group x ms   */
    REAL *y;                            /* (n, groups * m / ms, yh, yw)                           */
    int64_t yh, yw, yi, yj;             /* rows, columns; steps between outputs of a phase        */
    const REAL *bias;
    const REAL *filter;                 /* w[g * wg + m * wm + c * wc + r * wr + s]               */
    int64_t wg, wm, wc, wr;
    int64_t taps;                       /* of a row and channel: side by side in the filter       */
    int64_t ms;                         /* 1; or S: the filter's columns are rows of their own,   */
    const conv_taps *columns;           /* summed by the taps of each phase (yj of them)          */
    conv_cut cut;                       /* of the largest phase                                   */
    int64_t shares;                     /* of the panels: tasks on a piece; 1: a piece is a task  */
    int64_t nphases;
    F(conv_phase) *phases;
    int clear;                          /* some outputs are reached by no tap                     */
    int packed;                         /* the panels are made first, not block by block          */
    int64_t unpacked;                   /* panels of all groups to be made by the threads         */
    tasks tasks;
    int status;                         /* a task that fails stores FDL_NOMEM                     */
} F(conv_engine);

INLINE int64_t F(conv_panel)(const F(conv_engine) *e, int64_t q) { return q * e->m / e->panels; }

/* d[2 * j] = s[j]: the elements between stay. Two lanes are written for each value; all but the
 * last value, after which a row may end, go by vectors. */
INLINE void F(conv_spread)(REAL *d, const REAL *s, int64_t n)
{
    VI even;
    UNROLL(16) for (int l = 0; l < VL; l++) even[l] = l % 2 ? 0 : -1;
    int64_t j = 0;
    while (j + VL < n) {
        const V v = LD(s + j);
        ST(d + 2 * j, SEL(even, LOW(v, v), LD(d + 2 * j)));
        ST(d + 2 * j + VL, SEL(even, HIGH(v, v), LD(d + 2 * j + VL)));
        j = j + VL == n - 1 ? n - 1 : min64(j + VL, n - 1 - VL);
    }
    for (; j < n; j++) d[2 * j] = s[j];
}

/* Rows of n values, `pitch` apart, closed up: each vector of d takes its lanes from the rows that
 * it meets. Reads up to VL - 1 values before and after them. */
INLINE void F(conv_close)(REAL *d, const REAL *s, int64_t pitch, int64_t n, int64_t rows)
{
    VI lane;
    UNROLL(16) for (int l = 0; l < VL; l++) lane[l] = l;
    for (int64_t i = 0, at = 0, left = rows * n; left > 0; left -= VL, at -= VL, d += VL) {
        if (at + n <= 0) i++, at += n;                 /* row i begins at lane `at`               */
        V v = LD(s + i * pitch - at);
        while (at + n < min64(VL, left)) {
            i++, at += n;
            v = SEL(lane < (INT)at, v, LD(s + i * pitch - at));
        }
        STN(d, v, left);
    }
}

/* y: the first output of piece p; c (channels x ldc): its pixels. */
NOINLINE void F(conv_unload)(const F(conv_engine) *e, const conv_piece *p, int64_t channels,
                           const REAL *c, int64_t ldc, REAL *y)
{
    const int64_t yn = e->groups * e->m * e->yh * e->yw, yi = e->yi * e->yw, yj = e->yj;
    const int64_t cols = p->cols, pitch = p->g * cols;
    for (int64_t m = 0; m < channels; m++)
        for (int64_t n = 0; n < p->g; n++) {
            const REAL *s = c + m * ldc + n * cols;
            REAL *d = y + n * yn + m * e->yh * e->yw;
            if (yj == 1 && yi == cols) F(conv_close)(d, s, pitch, cols, p->rows);
            else
                for (int64_t i = 0; i < p->rows; i++, s += pitch, d += yi)
                    if (yj == 1) F(conv_copy)(d, s, cols);
                    else if (yj == 2) F(conv_spread)(d, s, cols);
                    else for (int64_t j = 0; j < cols; j++) d[j * yj] = s[j];
        }
}

/* out[j] = sum over the taps s of a column phase of c[s][j + at(s)], for one row and channel.
 * inside: (taps, vectors of a row), the lanes where j + at(s) lies in the product's row. */
INLINE void F(conv_sum_columns)(const int64_t taps, const conv_taps *t, int64_t cols, const REAL *c,
                                int64_t ldc, const VI *inside, int64_t vectors, REAL *out)
{
    for (int64_t v = 0; v < vectors; v++) {
        V sum = SPLAT(0);
        UNROLL(8) for (int64_t s = 0; s < taps; s++) {
            const int64_t from = v * VL + t->at[s];
            if (from > -VL && from < cols)
                sum += (V)((VI)LD(c + t->index[s] * ldc + from) & inside[s * vectors + v]);
        }
        ST(out + v * VL, sum);
    }
}

/* For few input channels, see grad_input.c: c (m x ldc) holds the sums over channels and filter
 * rows for every filter column; y: the first row of the piece. */
NOINLINE void F(conv_unload_columns)(const F(conv_engine) *e, const conv_piece *p, const REAL *c,
                                   int64_t ldc, REAL *y, VI *inside)
{
    const int64_t channels = e->m / e->ms, yn = e->groups * channels * e->yh * e->yw;
    const int64_t vectors = ceil_div(ceil_div(e->yw, e->yj), VL), phases = min64(e->yj, e->yw);
    REAL *row = (REAL *)(inside + e->ms * vectors);
    VI *lanes = inside;
    for (int64_t b = 0; b < phases; b++)
        for (int64_t s = 0; s < e->columns[b].n; s++)
            for (int64_t v = 0; v < vectors; v++) {
                const int64_t from = v * VL + e->columns[b].at[s];
                *lanes++ = F(conv_lanes)(-from, p->cols - from);
            }
    for (int64_t m = 0; m < channels; m++)
        for (int64_t n = 0; n < p->g; n++)
            for (int64_t i = 0; i < p->rows; i++) {
                const REAL *from = c + m * e->ms * ldc + (i * p->g + n) * p->cols;
                REAL *out = y + n * yn + (m * e->yh + i * e->yi) * e->yw;
                lanes = inside;
                for (int64_t b = 0; b < phases; b++) {
                    const conv_taps *t = e->columns + b;
                    const int64_t width = ceil_div(e->yw - b, e->yj);
#define SUM(taps) F(conv_sum_columns)(taps, t, p->cols, from, ldc, lanes, vectors, row)
                    switch (t->n) {     /* counts known to the compiler: no short loops           */
                    case 1: SUM(1); break;
                    case 2: SUM(2); break;
                    case 3: SUM(3); break;
                    case 4: SUM(4); break;
                    case 5: SUM(5); break;
                    default: SUM(t->n);
                    }
#undef SUM
                    if (e->yj == 1) F(conv_copy)(out, row, width);
                    else for (int64_t j = 0; j < width; j++) out[b + j * e->yj] = row[j];
                    lanes += t->n * vectors;
                }
            }
}
