/* im2col.c: convolution as a matrix product, written out.
 *
 *   forward       Y  (K x P)   = W (K x CRS)    col (CRS x P)          for each image and group,
 *   grad_input    dcol (CRS x P) = W^T dY,      dx = col2im(dcol)      P = OH * OW pixels
 *   grad_weight   dW (K x CRS) = sum over images of dY col^T
 *
 *   col row (c, r, s):  x[c, i*sh + r*dh - ph, j*sw + s*dw - pw] for every output pixel (i, j)
 *
 * Idea      copy every value to where a matrix product wants it, and let the GEMM do the work
 *           (Chellapilla, Puri and Simard 2006)
 * Removes   index arithmetic and edge tests from the inner loop; brings tiles, packing, vectors
 * Leaves    R * S copies of the input, written and read again: implicit.c has none of that
 * Requires  any geometry; col is made for a piece of an image that fits in L2, never for all of it
 * Checked   against naive.c and float64
 * Timed     python -m fastdl bench conv
 */
#define COL_BYTES (512 << 10)

/* x: (c, h, w) of one image and group; col: (c * r * s, rows * cols) */
static void F(im2col)(const fdl_conv *g, int64_t channels, const conv_piece *p, const REAL *x,
                      REAL *col)
{
    for (int64_t t = 0; t < channels * g->r * g->s; t++) {
        const int64_t c = t / (g->r * g->s), r = t / g->s % g->r, s = t % g->s;
        const int64_t v0 = p->j0 * g->stride_w + s * g->dil_w - g->pad_w;
        int64_t j0, j1;
        conv_inside(p, v0, g->stride_w, g->w, &j0, &j1);
        for (int64_t i = 0; i < p->rows; i++, col += p->cols) {
            const int64_t u = (p->i0 + i) * g->stride_h + r * g->dil_h - g->pad_h;
            if (u < 0 || u >= g->h) {
                F(conv_zero)(col, p->cols);
                continue;
            }
            const REAL *src = x + (c * g->h + u) * g->w + v0;
            F(conv_zero)(col, j0);
            if (g->stride_w == 1) F(conv_copy)(col + j0, src + j0, j1 - j0);
            else for (int64_t j = j0; j < j1; j++) col[j] = src[j * g->stride_w];
            F(conv_zero)(col + j1, p->cols - j1);
        }
    }
}

/* Adds where im2col reads: dx += its transpose applied to col. */
static void F(col2im)(const fdl_conv *g, int64_t channels, const conv_piece *p,
                      const REAL *restrict col, REAL *restrict dx)
{
    for (int64_t t = 0; t < channels * g->r * g->s; t++) {
        const int64_t c = t / (g->r * g->s), r = t / g->s % g->r, s = t % g->s;
        const int64_t v0 = p->j0 * g->stride_w + s * g->dil_w - g->pad_w;
        int64_t j0, j1;
        conv_inside(p, v0, g->stride_w, g->w, &j0, &j1);
        for (int64_t i = 0; i < p->rows; i++, col += p->cols) {
            const int64_t u = (p->i0 + i) * g->stride_h + r * g->dil_h - g->pad_h;
            if (u < 0 || u >= g->h) continue;
            REAL *dst = dx + (c * g->h + u) * g->w + v0;
            if (g->stride_w == 1) for (int64_t j = j0; j < j1; j++) dst[j] += col[j];
            else for (int64_t j = j0; j < j1; j++) dst[j * g->stride_w] += col[j];
        }
    }
}

/* ---- the passes: tasks of one image and group, drawn by threads; each product on one thread -- */
typedef struct F(im2col_pass) {
    const fdl_conv *g;
    const REAL *x, *w, *bias, *dy;
    REAL *y, *dx, *dw;
    int64_t c, k, taps, pixels;         /* channels of a group; c * r * s; oh * ow                */
    conv_cut cut;                       /* of one image                                           */
    int64_t pieces;
    REAL *partial;                      /* grad_weight: (shares, |dw|)                            */
    int64_t shares, size;
    int status;
} F(im2col_pass);

static F(im2col_pass) F(im2col_begin)(const fdl_conv *g)
{
    F(im2col_pass) e = {.g = g, .c = g->c / g->groups, .k = g->k / g->groups};
    e.taps = e.c * g->r * g->s;
    e.pixels = g->oh * g->ow;
    e.cut = conv_cut_output(1, g->oh, g->ow,
                            max64(64, COL_BYTES / (int64_t)sizeof(REAL) / max64(1, e.taps)));
    e.pieces = e.cut.nrows * e.cut.ncols;
    return e;
}

INLINE double F(im2col_work)(const F(im2col_pass) *e)
{
    return (double)e->g->n * e->g->groups * e->pixels * e->taps * (e->k / (2.5 * VL) + 0.5);
}

INLINE REAL *F(im2col_scratch)(const F(im2col_pass) *e)
{
    return fdl_scratch(FDL_SCRATCH_CONV_2, e->taps * e->cut.rows * e->cut.cols * sizeof(REAL));
}

static int F(im2col_forward_task)(const F(im2col_pass) *e, int64_t task)
{
    const fdl_conv *g = e->g;
    const int64_t group = task / e->pieces % g->groups, n = task / e->pieces / g->groups;
    const conv_piece p = conv_piece_at(&e->cut, task % e->pieces, 1, g->oh, g->ow);
    REAL *col = F(im2col_scratch)(e);
    if (!col) return FDL_NOMEM;
    F(im2col)(g, e->c, &p, e->x + (n * g->c + group * e->c) * g->h * g->w, col);
    /* the product's transpose, pixels x K, so that the bias lies along its rows */
    const fdl_gemm product = {
        .batch = 1, .m = p.rows * p.cols, .n = e->k, .k = e->taps,
        .a = col, .a_row = 1, .a_col = p.rows * p.cols,
        .b = e->w + group * e->k * e->taps, .b_row = 1, .b_col = e->taps,
        .c = e->y + (n * g->k + group * e->k) * e->pixels + p.i0 * g->ow + p.j0,
        .c_row = 1, .c_col = e->pixels, .bias = e->bias ? e->bias + group * e->k : NULL};
    return F(gemm_simd)(&product, 1);
}

static int F(im2col_grad_input_task)(const F(im2col_pass) *e, int64_t task)
{
    const fdl_conv *g = e->g;
    const int64_t group = task % g->groups, n = task / g->groups;
    REAL *dx = e->dx + (n * g->c + group * e->c) * g->h * g->w;
    REAL *col = F(im2col_scratch)(e);
    int status = col ? FDL_OK : FDL_NOMEM;
    F(conv_zero)(dx, e->c * g->h * g->w);
    for (int64_t t = 0; t < e->pieces && status == FDL_OK; t++) {
        const conv_piece p = conv_piece_at(&e->cut, t, 1, g->oh, g->ow);
        const fdl_gemm product = {
            .batch = 1, .m = e->taps, .n = p.rows * p.cols, .k = e->k,
            .a = e->w + group * e->k * e->taps, .a_row = 1, .a_col = e->taps,
            .b = e->dy + (n * g->k + group * e->k) * e->pixels + p.i0 * g->ow + p.j0,
            .b_row = e->pixels, .b_col = 1,
            .c = col, .c_row = p.rows * p.cols, .c_col = 1};
        status = F(gemm_simd)(&product, 1);
        if (status == FDL_OK) F(col2im)(g, e->c, &p, col, dx);
    }
    return status;
}

/* A share of the images, for one group, into the share's own gradient. */
static int F(im2col_grad_weight_task)(const F(im2col_pass) *e, int64_t task)
{
    const fdl_conv *g = e->g;
    const int64_t group = task % g->groups, share = task / g->groups;
    const int64_t n0 = share * g->n / e->shares, n1 = (share + 1) * g->n / e->shares;
    REAL *col = F(im2col_scratch)(e);
    int status = col ? FDL_OK : FDL_NOMEM;
    for (int64_t t = n0 * e->pieces; t < n1 * e->pieces && status == FDL_OK; t++) {
        const int64_t n = t / e->pieces;
        const conv_piece p = conv_piece_at(&e->cut, t % e->pieces, 1, g->oh, g->ow);
        F(im2col)(g, e->c, &p, e->x + (n * g->c + group * e->c) * g->h * g->w, col);
        const fdl_gemm product = {
            .batch = 1, .m = e->k, .n = e->taps, .k = p.rows * p.cols,
            .a = e->dy + (n * g->k + group * e->k) * e->pixels + p.i0 * g->ow + p.j0,
            .a_row = e->pixels, .a_col = 1,
            .b = col, .b_row = 1, .b_col = p.rows * p.cols,
            .c = e->partial + share * e->size + group * e->k * e->taps,
            .c_row = e->taps, .c_col = 1, .accumulate = t > n0 * e->pieces};
        status = F(gemm_simd)(&product, 1);
    }
    return status;
}

/* What every thread of a region runs. */
static void F(im2col_share)(F(im2col_pass) *e, int (*task)(const F(im2col_pass) *, int64_t),
                            int64_t tasks)
{
    OMP(for schedule(dynamic))
    for (int64_t t = 0; t < tasks; t++)
        report(&e->status, task(e, t));
}

static int F(im2col_run)(F(im2col_pass) *e, int (*task)(const F(im2col_pass) *, int64_t),
                         int64_t tasks, int threads)
{
    threads = fdl_plan(threads, F(im2col_work)(e));
    OMP(parallel num_threads(threads))
    F(im2col_share)(e, task, tasks);
    return e->status;
}

static int F(conv_im2col_forward)(const fdl_conv *g, const void *x, const void *w,
                                  const void *bias, void *y, int threads)
{
    if (!g->n || !g->k || !g->oh || !g->ow) return FDL_OK;
    F(im2col_pass) e = F(im2col_begin)(g);
    e.x = x, e.w = w, e.bias = bias, e.y = y;
    return F(im2col_run)(&e, F(im2col_forward_task), g->n * g->groups * e.pieces, threads);
}

static int F(conv_im2col_grad_input)(const fdl_conv *g, const void *dy, const void *w, void *dx,
                                     int threads)
{
    if (!g->n || !g->c || !g->h || !g->w) return FDL_OK;
    F(im2col_pass) e = F(im2col_begin)(g);
    e.dy = dy, e.w = w, e.dx = dx;
    if (!e.pixels) e.pieces = 0;
    return F(im2col_run)(&e, F(im2col_grad_input_task), g->n * g->groups, threads);
}

static int F(conv_im2col_grad_weight)(const fdl_conv *g, const void *x, const void *dy, void *dw,
                                      int threads)
{
    F(im2col_pass) e = F(im2col_begin)(g);
    e.x = x, e.dy = dy, e.dw = dw;
    e.size = g->k * e.taps;
    if (!e.size) return FDL_OK;
    if (!g->n || !e.pixels) {
        F(conv_zero)(dw, e.size);
        return FDL_OK;
    }
    e.shares = max64(1, min64(min64(g->n, 16), (4 << 20) / (int64_t)sizeof(REAL) / e.size));
    e.partial = dw;
    if (e.shares > 1) {
        e.partial = fdl_scratch(FDL_SCRATCH_CONV, e.shares * e.size * sizeof(REAL));
        if (!e.partial) return FDL_NOMEM;
    }
    int status = F(im2col_run)(&e, F(im2col_grad_weight_task), e.shares * g->groups, threads);
    if (e.shares == 1 || status != FDL_OK) return status;
    for (int64_t t = 0; t < e.size; t++) {
        REAL sum = e.partial[t];
        for (int64_t i = 1; i < e.shares; i++) sum += e.partial[i * e.size + t];
        e.dw[t] = sum;
    }
    return FDL_OK;
}
