/* winograd_grad.c: the weight gradient of a convolution by Winograd's algorithm
 *
 *   dW = G^T [ sum over tiles of (A dY A^T) . (B^T X B) ] G
 *
 * Idea      the transposed map of winograd.c: each of the a^2 positions is a product over the
 *           tiles, K x tiles by tiles x C. Lanes are channels, so that its operands lie as the
 *           micro-kernel of implicit.c reads them; lines of VL channels are transposed on the way
 * Removes   three quarters of the multiplications of grad_weight.c (m = 4), 5 of 9 (m = 2), or 16
 *           of 25 (r = 5)
 * Leaves    the transforms, of x and of dy, and a gradient per position, 4 (m = 4), 1.8 (m = 2) or
 *           1.4 times (r = 5) the size of dW, for each panel of output channels; some accuracy:
 *           errors are up to about 2 eps sqrt(N OH OW) of the largest gradient (m = 4), half an eps
 *           (m = 2), or 3 eps (r = 5)
 * Requires  3x3 or 5x5 filters, stride 1, dilation 1, or 4x4 and stride 2 (see winograd_strided.c);
 *           any size, padding and groups
 * Checked   against float64, with a bound derived from the transforms; any thread count gives the
 *           same bits: chunks and parts of the tiles follow from the shape and are added in order
 * Timed     python -m fastdl bench conv
 */
#define WINOGRAD_GRAD_LEAST (4 << 20)  /* bytes of transformed tiles in a chunk: three times U,   */
#define WINOGRAD_GRAD_MOST (24 << 20)  /* which each chunk reads and writes, but within these     */
#define WINOGRAD_GRAD_BLOCK 8          /* vectors of input channels whose U stays in L2           */
#define WINOGRAD_GRAD_TASKS 8          /* at least, to transform the input of a chunk             */
#define WINOGRAD_GRAD_PARTS 16         /* of the tiles, where each can have a U of its own: of    */
#define WINOGRAD_GRAD_SMALL (320 << 10) /* bytes at most, in L2 beside the transformed tiles of a */
#define WINOGRAD_GRAD_CHUNK (384 << 10) /* chunk                                                  */

typedef struct F(winograd_plane) {     /* x, or dy                                                */
    const REAL *x;                     /* (n, channels, h, w)                                     */
    int64_t channels, h, w, pad_h, pad_w;
} F(winograd_plane);

typedef struct F(winograd_grad) F(winograd_grad);
typedef struct F(winograd_grad_steps) {  /* compiled for m outputs and r taps along an axis       */
    int m, r;
    void (*data)(const F(winograd_grad) *e, int64_t c, int64_t count, int64_t row, int64_t rows,
                 REAL *lines, REAL *out);
    void (*result)(const F(winograd_grad) *e, int64_t k, int64_t count, int64_t row, int64_t rows,
                   REAL *lines, REAL *out, int64_t step);
    void (*filters)(const F(winograd_grad) *e, int64_t k, int64_t mr, int64_t c, int64_t count,
                    const REAL *u, int64_t ldu);
} F(winograd_grad_steps);

struct F(winograd_grad) {
    const F(winograd_grad_steps) *steps;
    F(winograd_plane) x, dy;
    REAL *dw;                          /* (groups * k, c, r, r)                                   */
    int m, a, positions;               /* of a tile, along one axis: outputs, inputs; a^2         */
    int64_t n, groups, c, k;           /* channels of a group                                     */
    int64_t th, tw;                    /* rows and columns of tiles of an image                   */
    int64_t rows, chunks;              /* rows of tiles of a chunk, counted through all images    */
    int64_t parts;                     /* of all rows, a thread each; 0: threads share chunks     */
    int64_t panels;                    /* of k                                                    */
    int64_t ldv, ldu;                  /* elements between tiles of V, between rows of U          */
    REAL *v, *s, *u;                   /* V[p][t][c]; S[p][panel][t][mr]; U[panel][p][mr][c]      */
    const REAL *zeros;                 /* a row outside the image                                 */
    int64_t *koff;                     /* t * ldv                                                 */
    tasks results, blocks, products;   /* of a chunk: panels of S, channels of V, panels of U     */
    int status;                        /* a task that fails stores FDL_NOMEM                      */
};

INLINE int64_t F(winograd_grad_panel)(const F(winograd_grad) *e, int64_t q)
{
    return q * e->k / e->panels;
}

INLINE int64_t F(winograd_tiles)(const F(winograd_grad) *e) { return e->rows * e->tw; }

/* Elements of a position: of V; of S, with a vector to spare after each panel. An odd number of
 * vectors, as in winograd.c. */
INLINE int64_t F(winograd_v_plane)(const F(winograd_grad) *e)
{
    return (F(winograd_tiles)(e) * e->ldv / VL | 1) * VL;
}

INLINE int64_t F(winograd_s_plane)(const F(winograd_grad) *e)
{
    return (ceil_div(e->k * F(winograd_tiles)(e) + e->panels * VL, VL) | 1) * VL;
}

INLINE int64_t F(winograd_grad_line)(const F(winograd_grad) *e)
{
    return ((ceil_div(e->m * e->tw + e->a - e->m, VL) + 1) | 1) * VL;
}

/* ---- tiles --------------------------------------------------------------------------------------
 * out[p * plane + t * step]: `count` channels from c on, of all tiles of some rows of tiles. grad:
 * of dy, by A, not of x, by B^T. lines: room for those of VL channels, and VL times one line. */
INLINE void F(winograd_channels)(const int a, const int m, const int grad,
                                 const F(winograd_grad) *e, const F(winograd_plane) *x, int64_t c,
                                 int64_t count, int64_t row, int64_t rows, REAL *lines, REAL *out,
                                 int64_t plane, int64_t step)
{
    const int values = grad ? m : a, by = a == 5 && !grad ? 2 : 1;
    const int64_t ld = F(winograd_grad_line)(e), len = grad ? m * e->tw : m * e->tw + a - m;
    REAL *columns = lines + VL * a * ld;
    for (int64_t q = row; q < row + rows; q++) {
        const int64_t n = q / e->th, top = q % e->th * m * by - x->pad_h;
        for (int64_t l = 0; l < count; l++) {
            const int64_t channel = (c + l) / (by * by), phase = (c + l) % (by * by);
            const REAL *from = x->x + (n * x->channels + channel) * x->h * x->w;
            const REAL *source[WINOGRAD_MAX];
            for (int i = 0; i < values; i++) {
                const int64_t u = top + phase / by + i * by;
                source[i] = u >= 0 && u < x->h ? from + u * x->w : e->zeros;
            }
            F(winograd_lines)(a, m, grad, by, source, phase % by - x->pad_w, x->w, len,
                              lines + l * a * ld, ld);
        }
        for (int i = 0; i < a; i++) {
            for (int64_t u = 0; u < len; u += VL) {     /* columns of VL channels side by side    */
                V v[VL];
                const REAL *from = lines + i * ld + u;
                UNROLL(16) for (int l = 0; l < VL; l++) v[l] = LD(from + l * a * ld);
                F(transpose)(v);
                UNROLL(16) for (int l = 0; l < VL; l++) ST(columns + (u + l) * VL, v[l]);
            }
            REAL *to = out + i * a * plane;
            const REAL *tile = columns;
            for (int64_t t = 0; t < e->tw; t++, to += step, tile += m * VL) {
                V d[WINOGRAD_MAX], o[WINOGRAD_MAX];
                UNROLL(6) for (int j = 0; j < values; j++) d[j] = LD(tile + j * VL);
                if (grad) F(winograd_result_grad)(m, a - m + 1, d, o, 1);
                else F(winograd_data)(a, d, o, 1);
                UNROLL(6) for (int j = 0; j < a; j++) ST(to + j * plane, o[j]);
            }
        }
        out += e->tw * step;
    }
}

static REAL *F(winograd_grad_scratch)(const F(winograd_grad) *e)
{
    const int64_t ld = F(winograd_grad_line)(e);
    return fdl_scratch(FDL_SCRATCH_CONV_4, (VL * e->a * ld + VL * ld) * sizeof(REAL));
}

/* S of panel q of group g: rows of tiles from `row` on. */
static int F(winograd_panel_of_dy)(const F(winograd_grad) *e, int64_t g, int64_t q, int64_t row,
                                   int64_t rows)
{
    REAL *lines = F(winograd_grad_scratch)(e);
    if (!lines) return FDL_NOMEM;
    const int64_t k = F(winograd_grad_panel)(e, q), mr = F(winograd_grad_panel)(e, q + 1) - k;
    REAL *s = e->s + k * F(winograd_tiles)(e) + q * VL;
    for (int64_t i = (mr - 1) / VL * VL; i >= 0; i -= VL)   /* what runs over is written again    */
        e->steps->result(e, g * e->k + k + i, min64(VL, mr - i), row, rows, lines, s + i, mr);
    return FDL_OK;
}

/* V of a vector of channels of group g, from c on; of rows of tiles from `row` on, which is
 * `before` rows below the chunk's first. */
static int F(winograd_block_of_x)(const F(winograd_grad) *e, int64_t g, int64_t c, int64_t row,
                                  int64_t before, int64_t rows)
{
    REAL *lines = F(winograd_grad_scratch)(e);
    if (!lines) return FDL_NOMEM;
    e->steps->data(e, g * e->c + c, min64(VL, e->c - c), row + before, rows, lines,
                   e->v + c + before * e->tw * e->ldv);
    return FDL_OK;
}

/* ---- products ---------------------------------------------------------------------------------*/

/* VL filters of n taps from lanes: the first `count` of them to w, one after the other. */
INLINE void F(winograd_put_taps)(const int n, const V *taps, int64_t count, REAL *w)
{
    V v[VL];
    UNROLL(16) for (int t = 0; t + 1 < n; t += VL) {
        UNROLL(16) for (int l = 0; l < VL; l++) v[l] = t + l < n ? taps[t + l] : SPLAT(0);
        F(transpose)(v);
        UNROLL(16) for (int l = 0; l < VL; l++)
            if (l < count) STN(w + l * n + t, v[l], n - t);
    }
    if (n % VL == 1) {                  /* a single one is no reason for a transposition          */
        REAL last[VL];
        ST(last, taps[n - 1]);
        for (int l = 0; l < VL && l < count; l++) w[l * n + n - 1] = last[l];
    }
}

/* taps = G^T U G of VL input channels: U[p][mr][c], rows ldu apart */
INLINE void F(winograd_filter_taps)(const int m, const int r, const REAL *u, int64_t mr,
                                    int64_t ldu, V *taps)
{
    const int a = m + r - 1;
    V h[WINOGRAD_REACH * WINOGRAD_MAX];
    for (int j = 0; j < a; j++) {
        V column[WINOGRAD_MAX];
        UNROLL(6) for (int i = 0; i < a; i++) column[i] = LD(u + (i * a + j) * mr * ldu);
        F(winograd_filter_grad)(m, r, column, h + j, a);
    }
    for (int i = 0; i < r; i++)
        F(winograd_filter_grad)(m, r, h + i * a, taps + i * r, 1);
}

/* dw of mr output channels from k on (of all) and `count` input channels from c0 on: U[p][mr][c] */
INLINE void F(winograd_weights)(const int m, const int r, const F(winograd_grad) *e, int64_t k,
                                int64_t mr, int64_t c0, int64_t count, const REAL *u, int64_t ldu)
{
    for (int64_t i = 0; i < mr; i++, u += ldu)
        for (int64_t c = 0; c < count; c += VL) {
            V taps[WINOGRAD_REACH * WINOGRAD_REACH];
            F(winograd_filter_taps)(m, r, u + c, mr, ldu, taps);
            F(winograd_put_taps)(r * r, taps, count - c,
                                 e->dw + ((k + i) * e->c + c0 + c) * r * r);
        }
}

/* Adds the products of a chunk to a panel's U; after the last chunk makes its dw. A U that is
 * complete after one chunk is made a block of input channels at a time, to stay in L2. */
static int F(winograd_accumulate)(const F(winograd_grad) *e, int64_t g, int64_t q, int64_t chunk,
                                  int64_t tiles)
{
    const int64_t k = F(winograd_grad_panel)(e, q), mr = F(winograd_grad_panel)(e, q + 1) - k;
    const int64_t block = e->u ? e->ldu : min64(e->ldu, WINOGRAD_GRAD_BLOCK * VL);
    REAL *u = e->u ? e->u + k * e->positions * e->ldu
                   : fdl_scratch(FDL_SCRATCH_CONV_3, e->positions * mr * block * sizeof(REAL));
    if (!u) return FDL_NOMEM;
    for (int64_t c0 = 0; c0 < e->c; c0 += block) {
        const int64_t count = min64(block, e->c - c0);
        for (int p = 0; p < e->positions; p++) {
            const REAL *s = e->s + p * F(winograd_s_plane)(e) + k * F(winograd_tiles)(e) + q * VL;
            const REAL *v = e->v + p * F(winograd_v_plane)(e) + c0;
            for (int64_t c = 0, nv; c < count; c += nv * VL) {
                nv = count - c > VL ? 2 : 1;
                F(conv_tiles)[nv][mr](tiles, s, v + c, e->koff, u + p * mr * block + c, block, NULL,
                                      chunk == 0);
            }
        }
        if (chunk == e->chunks - 1) e->steps->filters(e, g * e->k + k, mr, c0, count, u, block);
    }
    return FDL_OK;
}

/* U of a part of the rows, by one thread: nothing is exchanged but that. */
static int F(winograd_grad_part)(const F(winograd_grad) *of, int64_t g, int64_t part)
{
    F(winograd_grad) mine = *of, *e = &mine;
    const int64_t v = e->positions * F(winograd_v_plane)(e);
    const int64_t s = e->positions * F(winograd_s_plane)(e), rows = e->n * e->th;
    const int64_t begin = rows * part / e->parts, end = rows * (part + 1) / e->parts;
    e->v = fdl_scratch(FDL_SCRATCH_CONV_3, (v + s) * sizeof(REAL));
    if (!e->v) return FDL_NOMEM;
    e->s = e->v + v, e->u += part * e->positions * e->k * e->ldu;
    int status = FDL_OK;
    for (int64_t row = begin; row < end; row += e->rows) {
        const int64_t some = min64(e->rows, end - row);
        for (int64_t q = 0; q < e->panels; q++)
            report(&status, F(winograd_panel_of_dy)(e, g, q, row, some));
        for (int64_t c = 0; c < e->c; c += VL)
            report(&status, F(winograd_block_of_x)(e, g, c, row, 0, some));
        for (int64_t q = 0; q < e->panels; q++)
            report(&status, F(winograd_accumulate)(e, g, q, row - begin, some * e->tw));
    }
    return status;
}

/* dw of a panel from the sum of the parts' U, in their order. */
static void F(winograd_grad_join)(const F(winograd_grad) *e, int64_t g, int64_t q)
{
    const int64_t k = F(winograd_grad_panel)(e, q), mr = F(winograd_grad_panel)(e, q + 1) - k;
    const int64_t row = e->positions * e->ldu;
    REAL *u = e->u + k * row;
    for (int64_t part = 1; part < e->parts; part++)
        for (int64_t i = 0; i < mr * row; i += VL)
            ST(u + i, LD(u + i) + LD(u + part * e->k * row + i));
    e->steps->filters(e, g * e->k + k, mr, 0, e->c, u, e->ldu);
}

/* What every thread of the region runs. */
static void F(winograd_grad_share)(F(winograd_grad) *e)
{
    for (int64_t g = 0; e->parts && g < e->groups; g++) {
        renew(&e->products);
        for (int64_t part; (part = next_task(&e->blocks, e->parts)) >= 0;)
            report(&e->status, F(winograd_grad_part)(e, g, part));
        OMP(barrier)
        renew(&e->blocks);
        for (int64_t q; (q = next_task(&e->products, e->panels)) >= 0;)
            F(winograd_grad_join)(e, g, q);
        OMP(barrier)
    }
    if (e->parts) return;
    const int64_t blocks = ceil_div(e->c, VL);         /* some tasks even if channels are few    */
    const int64_t parts = min64(e->rows, ceil_div(WINOGRAD_GRAD_TASKS, blocks));
    for (int64_t i = 0; i < e->groups * e->chunks; i++) {
        const int64_t g = i / e->chunks, row = i % e->chunks * e->rows;
        const int64_t rows = min64(e->rows, e->n * e->th - row);
        renew(&e->products);
        for (int64_t q; (q = next_task(&e->results, e->panels)) >= 0;)
            report(&e->status, F(winograd_panel_of_dy)(e, g, q, row, rows));
        for (int64_t t; (t = next_task(&e->blocks, blocks * parts)) >= 0;) {
            const int64_t r0 = t % parts * rows / parts, r1 = (t % parts + 1) * rows / parts;
            report(&e->status, F(winograd_block_of_x)(e, g, t / parts * VL, row, r0, r1 - r0));
        }
        OMP(barrier)
        renew(&e->results), renew(&e->blocks);
        for (int64_t q; (q = next_task(&e->products, e->panels)) >= 0;)
            report(&e->status, F(winograd_accumulate)(e, g, q, i % e->chunks, rows * e->tw));
        OMP(barrier)
    }
}

#if TAILORED
/* The same for the phases of 4x4 filters: VL / 4 filters from lanes, or part of one. */
static void F(winograd_weights_4_2)(const F(winograd_grad) *e, int64_t k, int64_t mr, int64_t c0,
                                  int64_t count, const REAL *u, int64_t ldu)
{
    for (int64_t i = 0; i < mr; i++, u += ldu)
        for (int64_t c = 0; c < count; c += VL) {
            V taps[4];
            REAL lanes[4][VL];
            F(winograd_filter_taps)(4, 2, u + c, mr, ldu, taps);
            UNROLL(4) for (int t = 0; t < 4; t++) ST(lanes[t], taps[t]);
            REAL *dw = e->dw + (k + i) * e->c * 4;
            for (int64_t l = 0; l < min64(VL, count - c); l++) {
                const int64_t phase = (c0 + c + l) % 4, at = (c0 + c + l) / 4 * 16;
                for (int t = 0; t < 4; t++)
                    dw[at + (t / 2 * 2 + phase / 2) * 4 + t % 2 * 2 + phase % 2] = lanes[t][l];
            }
        }
}
#endif

#define DATA(a)                                                                                    \
    static void F(winograd_data_##a)(const F(winograd_grad) *e, int64_t c, int64_t count,          \
                                     int64_t row, int64_t rows, REAL *lines, REAL *out)            \
    {                                                                                              \
        F(winograd_channels)(a, e->m, 0, e, &e->x, c, count, row, rows, lines, out,                \
                             F(winograd_v_plane)(e), e->ldv);                                      \
    }
DATA(4)
#if TAILORED
DATA(5)
#endif
DATA(6)
#undef DATA

/* dw of a convolution of c channels a group, those of x or its phases, as the steps make it. */
static int F(winograd_grad_run)(const fdl_conv *g, F(winograd_grad) *e, int threads)
{
    const int64_t C = e->c, K = e->k;
    e->m = e->steps->m, e->a = e->m + e->steps->r - 1, e->positions = e->a * e->a;
    e->th = ceil_div(g->oh, e->m), e->tw = ceil_div(g->ow, e->m);
    const int64_t all_rows = e->n * e->th, tiles = all_rows * e->tw;
    const double fmas = (double)e->groups * e->positions * ((double)K * C + 4.0 * (K + C)) * tiles;
    threads = fdl_plan(threads, fmas / (2.5 * VL));

    e->ldv = (ceil_div(C, VL) | 1) * VL, e->ldu = ceil_div(C, VL) * VL;
    const int64_t row_bytes = e->tw * e->positions * (K + e->ldv) * (int64_t)sizeof(REAL);
    const int64_t u_size = e->positions * K * e->ldu, u_bytes = u_size * (int64_t)sizeof(REAL);
    const int64_t worth = tiles * (K + e->ldv) / (4 * K * e->ldu); /* V and S, to U               */
    const int64_t parts = min64(min64(WINOGRAD_GRAD_PARTS, worth), all_rows);
    if (u_bytes <= WINOGRAD_GRAD_SMALL && parts >= 4) {
        e->parts = parts, e->panels = ceil_div(K, CONV_MR);
        e->rows = min64(ceil_div(all_rows, parts), max64(1, WINOGRAD_GRAD_CHUNK / row_bytes));
    } else {
        const int64_t bytes = max64(WINOGRAD_GRAD_LEAST, min64(WINOGRAD_GRAD_MOST, 3 * u_bytes));
        e->chunks = ceil_div(all_rows, max64(1, bytes / row_bytes));
        e->rows = ceil_div(all_rows, e->chunks), e->chunks = ceil_div(all_rows, e->rows);
        e->panels = min64(K, ceil_div(ceil_div(K, CONV_MR), threads) * threads); /* even shares */
    }

    /* koff | a row of zeros | V | S, unless each part has its own | U, unless complete at once */
    const int64_t in_chunk = F(winograd_tiles)(e);
    const int64_t zeros = ceil_div(max64(e->x.w, e->dy.w) + VL, VL) * VL;
    const int64_t v = e->parts ? 0 : e->positions * F(winograd_v_plane)(e);
    const int64_t s = e->parts ? 0 : e->positions * F(winograd_s_plane)(e);
    const int64_t u = e->parts ? e->parts * u_size : e->chunks > 1 ? u_size : 0;
    e->koff = fdl_scratch(FDL_SCRATCH_CONV, ceil_div(in_chunk, 8) * 8 * sizeof(int64_t) +
                                               (zeros + v + s + u) * sizeof(REAL));
    if (!e->koff) return FDL_NOMEM;
    for (int64_t t = 0; t < in_chunk; t++) e->koff[t] = t * e->ldv;
    REAL *buffer = (REAL *)(e->koff + ceil_div(in_chunk, 8) * 8);
    F(conv_zero)(buffer, zeros);
    e->zeros = buffer, e->v = buffer + zeros, e->s = e->v + v, e->u = u ? e->s + s : NULL;
    OMP(parallel num_threads(threads))
    F(winograd_grad_share)(e);
    return e->status;
}

static int F(winograd_grad_weight)(const F(winograd_grad_steps) *by, const fdl_conv *g,
                                   const void *x, const void *dy, void *dw, int threads)
{
    const int64_t C = g->c / g->groups, K = g->k / g->groups;
    if (!C || !K) return FDL_OK;
    if (!g->n || !g->oh || !g->ow) {
        F(conv_zero)(dw, g->k * C * g->r * g->s);
        return FDL_OK;
    }
    F(winograd_grad) e = {
        .steps = by, .x = {x, g->c, g->h, g->w, g->pad_h, g->pad_w},
        .dy = {dy, g->k, g->oh, g->ow, 0, 0}, .dw = dw, .n = g->n, .groups = g->groups,
        .c = g->stride_h * g->stride_w * C, .k = K};                   /* a channel has phases   */
    return F(winograd_grad_run)(g, &e, threads);
}

#define PASS(name, m, r, a)                                                                        \
    static void F(winograd_result_##m##_##r)(const F(winograd_grad) *e, int64_t k, int64_t count,  \
                                             int64_t row, int64_t rows, REAL *lines, REAL *out,    \
                                             int64_t step)                                         \
    {                                                                                              \
        F(winograd_channels)(a, m, 1, e, &e->dy, k, count, row, rows, lines, out,                  \
                             F(winograd_s_plane)(e), step);                                        \
    }                                                                                              \
    static const F(winograd_grad_steps) F(winograd_grad_##m##_##r) = {                             \
        m, r, F(winograd_data_##a), F(winograd_result_##m##_##r), F(winograd_weights_##m##_##r)};  \
    static int F(conv_winograd_##name##_grad_weight)(const fdl_conv *g, const void *x,             \
                                                     const void *dy, void *dw, int threads)        \
    {                                                                                              \
        return F(winograd_grad_weight)(&F(winograd_grad_##m##_##r), g, x, dy, dw, threads);        \
    }
#define WEIGHTS(m, r)                                                                              \
    static void F(winograd_weights_##m##_##r)(const F(winograd_grad) *e, int64_t k, int64_t mr,    \
                                              int64_t c, int64_t count, const REAL *u,             \
                                              int64_t ldu)                                         \
    {                                                                                              \
        F(winograd_weights)(m, r, e, k, mr, c, count, u, ldu);                                     \
    }
WEIGHTS(2, 3)
WEIGHTS(4, 3)
PASS(2x2, 2, 3, 4)
PASS(4x4, 4, 3, 6)
#if TAILORED
PASS(strided, 4, 2, 5)
WEIGHTS(2, 5)
PASS(5x5, 2, 5, 6)
#endif
#undef PASS
#undef WEIGHTS
