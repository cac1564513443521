/* lower.c: half an im2col; how the implicit-GEMM kernels see the input. Not a rung: shared by
 * implicit.c (forward and input gradient, but where a single tap reads every pixel where it lies),
 * grad_weight.c and grad_outer.c.
 *
 * A piece is a block of output pixels: some rows and columns of the output, for g images. Its
 * pixels are numbered p = (i * g + n) * cols + j: the rows of g images lie side by side. For every
 * channel c and every tap s along a row, one plane holds the input already shifted, strided and
 * zero-padded for that s, with the same pitch g * cols:
 *
 *      plane (c, s):  slot 0   |image 0: cols|image 1: cols| ... |image g-1|   source row u0
 *                     slot 1   |             |             |     |         |   source row u0 + step
 *                     ...
 *
 * so the value that tap (c, r, s) multiplies at pixel p lies at koff(c, r, s) + p, for all p alike:
 * no edge tests, no strides, every lane useful, and nothing left to pack. A full im2col has R times
 * as much; here the taps r of a column share slots, as output row i + 1 reads at tap r what
 * row i reads at tap r + 1. Of two taps s that are a stride apart, the plane of the second is that
 * of the first moved by a pixel; those within one stride are read together. (Of stride 1, rows are
 * copied at once, and moving planes took 1.5 times as long.)
 */
#ifndef CONV_LOWER_TYPES
#define CONV_LOWER_TYPES
typedef struct conv_taps {      /* the taps along one axis                                      */
    int64_t n, step;            /* output i reads source i * step + at[t]                       */
    const int64_t *at, *index;  /* ascending; position in the filter                            */
} conv_taps;

typedef struct conv_cut {       /* an output of n images of oh x ow cut into equal pieces       */
    int64_t g, rows, cols;      /* the size of a piece                                          */
    int64_t ng, nrows, ncols;   /* how many along each of the three                             */
} conv_cut;

typedef struct conv_piece {
    int64_t n0, g, i0, rows, j0, cols;
} conv_piece;

typedef struct conv_blocks {    /* the reduction cut into blocks of channels x filter rows      */
    int64_t c, r;               /* the size of a block: r < all rows only if c is 1             */
    int64_t nc, nr;
} conv_blocks;

typedef struct conv_block {
    int64_t c0, c1, r0, r1;
} conv_block;

/* About `target` pixels a piece, dealt evenly. Depends on the shape alone, never on threads. */
static conv_cut conv_cut_output(int64_t n, int64_t oh, int64_t ow, int64_t target)
{
    conv_cut k = {1, oh, ow, n, 1, 1};
    if (ow >= 2 * target) {
        k.ncols = ow / target;
        k.cols = ceil_div(ceil_div(ow, k.ncols), 32) * 32;     /* whole tiles, but the last one's */
        k.ncols = ceil_div(ow, k.cols);
    }
    if (oh * k.cols >= 2 * target) {
        k.nrows = min64(oh, oh * k.cols / target);
        k.rows = ceil_div(oh, k.nrows);
        k.nrows = ceil_div(oh, k.rows);
    } else if (k.ncols == 1) {
        /* about as many pieces as give each `most` images: what leaves the least of the last piece
         * empty, where a piece more costs as much as a quarter of an image */
        const int64_t most = max64(1, min64(n, target / max64(1, oh * ow)));
        const int64_t pieces = max64(1, ceil_div(n, most));
        for (int64_t t = max64(1, pieces - 1), least = INT64_MAX; t < pieces + 4; t++) {
            const int64_t g = max64(1, ceil_div(n, t)), ng = ceil_div(n, g);
            if (3 * g <= 4 * most && ng * (4 * g + 1) < least)
                k.g = g, k.ng = ng, least = ng * (4 * g + 1);
        }
    }
    return k;
}

/* Piece t, clipped to n x oh x ow; rows or cols <= 0 if it lies outside. */
static conv_piece conv_piece_at(const conv_cut *k, int64_t t, int64_t n, int64_t oh, int64_t ow)
{
    conv_piece p;
    p.j0 = t % k->ncols * k->cols, t /= k->ncols;
    p.i0 = t % k->nrows * k->rows, t /= k->nrows;
    p.n0 = t * k->g;
    p.g = min64(k->g, n - p.n0);
    p.rows = min64(k->rows, oh - p.i0);
    p.cols = min64(k->cols, ow - p.j0);
    return p;
}

/* Blocks of about `taps` taps: whole filters of several channels, or rows of one channel's. */
static conv_blocks conv_cut_taps(int64_t channels, int64_t rows, int64_t cols, int64_t taps)
{
    conv_blocks b = {1, rows, channels, 1};
    if (rows * cols > taps) {
        b.nr = ceil_div(rows, max64(1, taps / cols));
        b.r = ceil_div(rows, b.nr);
        b.nr = ceil_div(rows, b.r);
    } else if (rows * cols > 0) {
        b.nc = ceil_div(channels, min64(channels, taps / (rows * cols)));
        b.c = ceil_div(channels, b.nc);
        b.nc = ceil_div(channels, b.c);
    }
    return b;
}

static conv_block conv_block_at(const conv_blocks *b, int64_t t, int64_t channels, int64_t rows)
{
    const int64_t c0 = t / b->nr * b->c, r0 = t % b->nr * b->r;
    return (conv_block){c0, min64(channels, c0 + b->c), r0, min64(rows, r0 + b->r)};
}

/* Where the slots of a plane come from. A chain is a run of slots with consecutive source rows;
 * taps whose rows overlap, given the stride, share one, and taps too far apart start their own.
 * base[r]: tap r's slot at the piece's first row. Returns the number of slots of a plane. */
typedef struct conv_chains {
    int64_t n;
    int64_t *base;              /* (r1 - r0)                                                    */
    int64_t *row, *slot;        /* (n), (n + 1): first source row, first slot; slot[n]: the end */
} conv_chains;

static int64_t conv_chain_rows(const conv_taps *t, const conv_block *b, const conv_piece *p,
                               conv_chains *chains)
{
    const int64_t *at = t->at + b->r0, n = b->r1 - b->r0;
    int64_t slots = 0;
    chains->n = 0;
    for (int64_t r = 0; r < n; r++) chains->base[r] = -1;
    for (int64_t r = 0; r < n; r++) {
        if (chains->base[r] >= 0) continue;
        int64_t last = r;
        chains->row[chains->n] = p->i0 * t->step + at[r];
        chains->slot[chains->n++] = chains->base[r] = slots;
        for (int64_t q = r + 1; q < n; q++) {
            const int64_t apart = at[q] - at[last];
            if (chains->base[q] >= 0 || apart % t->step || apart / t->step > p->rows) continue;
            chains->base[q] = chains->base[last] + apart / t->step;
            last = q;
        }
        slots = chains->base[last] + p->rows;
    }
    chains->slot[chains->n] = slots;
    return slots;
}

/* Columns j0 <= j < j1 of a piece whose sources v0 + j * step lie in [0, w). */
INLINE void conv_inside(const conv_piece *p, int64_t v0, int64_t step, int64_t w, int64_t *j0,
                        int64_t *j1)
{
    *j0 = v0 >= 0 ? 0 : min64(p->cols, ceil_div(-v0, step));
    *j1 = v0 >= w ? *j0 : max64(*j0, min64(p->cols, ceil_div(w - v0, step)));
}
#endif

/* Copy and clear of short rows without calls: gcc would make memmove and memset of these loops. */
#define CONV_NO_CALL __asm__ volatile("" ::: "memory")

INLINE void F(conv_copy)(REAL *dst, const REAL *src, int64_t n)
{
    int64_t j = 0;
    for (; j + VL <= n; j += VL) {
        ST(dst + j, LD(src + j));
        CONV_NO_CALL;
    }
    if (j == n) return;
    if (j) {                            /* the last vector overlaps the one before                */
        ST(dst + n - VL, LD(src + n - VL));
        return;
    }
    UNROLL(4) for (int half = VL / 2; half > 0; half /= 2)
        if (n >= half) {                /* two overlapping halves                                 */
            __builtin_memcpy(dst, src, half * sizeof(REAL));
            __builtin_memcpy(dst + n - half, src + n - half, half * sizeof(REAL));
            return;
        }
}

INLINE void F(conv_zero)(REAL *dst, int64_t n)
{
    for (; n >= VL; n -= VL, dst += VL) {
        ST(dst, SPLAT(0));
        CONV_NO_CALL;
    }
    for (; n > 0; n--) {
        *dst++ = 0;
        CONV_NO_CALL;
    }
}

/* Lanes from <= l < to of a vector. */
INLINE VI F(conv_lanes)(int64_t from, int64_t to)
{
    VI lane;
    UNROLL(16) for (int l = 0; l < VL; l++) lane[l] = l;
    return (lane >= (INT)min64(max64(from, 0), VL)) & (lane < (INT)min64(max64(to, 0), VL));
}

/* A row of a piece: dst[j] = src[j * step] for j0 <= j < j1, 0 for the other j < cols. */
typedef struct F(conv_row) {
    int64_t cols, end;                  /* end: cols rounded up to whole vectors                  */
    int64_t step, j0, j1;
    int vectors;                        /* only the first and the last vector meet j0, j1         */
    VI first, last;                     /* their lanes inside                                     */
    const REAL *from, *to;              /* what may be read                                       */
} F(conv_row);

INLINE F(conv_row) F(conv_row_of)(int64_t cols, int64_t step, int64_t j0, int64_t j1,
                                  const REAL *from, const REAL *to)
{
    const int64_t end = ceil_div(cols, VL) * VL, tail = end - VL;
    return (F(conv_row)){
        .cols = cols, .end = end, .step = step, .j0 = j0, .j1 = j1, .from = from, .to = to,
        .vectors = (step <= 2 || step == 4) && j0 <= VL && j1 > tail,
        .first = F(conv_lanes)(j0, j1), .last = F(conv_lanes)(j0 - tail, j1 - tail)};
}

/* A row of n vectors, the last at `tail`; 0: of any number. */
INLINE void F(conv_row_copy)(const int n, int64_t tail, VI first, VI last, REAL *dst,
                             const REAL *src)
{
    ST(dst, (V)((VI)LD(src) & first));
    if (n == 1) return;
    if (!n)
        for (int64_t j = VL; j < tail; j += VL) {
            ST(dst + j, LD(src + j));
            CONV_NO_CALL;
        }
    ST(dst + tail, (V)((VI)LD(src + tail) & last));
}

/* Rows `down` apart, each of n images `image` apart, one after the other in dst: all `vectors`. */
NOINLINE void F(conv_rows_of)(const F(conv_row) *r, REAL *dst, const REAL *src, int64_t image,
                              int64_t n, int64_t down, int64_t rows)
{
    const VI first = r->first, last = r->last;
    const int64_t cols = r->cols, tail = r->end - VL;
#define ROWS(vectors)                                                                              \
    for (; rows > 0; rows--, src += down)                                                          \
        for (int64_t i = 0; i < n; i++, dst += cols)                                               \
            F(conv_row_copy)(vectors, tail, first, last, dst, src + i * image)
    if (tail == 0) ROWS(1);
    else if (tail == VL) ROWS(2);
    else ROWS(0);
#undef ROWS
}

/* The same for `taps` that begin at neighbouring columns, `step` of them at most: r[t]'s rows go to
 * dst + t * plane. What they read is read once, and dealt to them in registers. */
INLINE void F(conv_deal_rows)(const int step, const int single, const F(conv_row) *r, int taps,
                              int64_t plane, REAL *dst, const REAL *src, int64_t image, int64_t n,
                              int64_t down, int64_t rows)
{
    const int64_t cols = r->cols, tail = single ? 0 : r->end - VL;
    VI only[4];                         /* single: the lanes of a row's only vector               */
    UNROLL(4) for (int t = 0; t < step; t++) only[t] = r[t].first & r[t].last;
    for (; rows > 0; rows--, src += down)
        for (int64_t i = 0; i < n; i++, dst += cols)
            for (int64_t j = 0; j <= tail; j += VL) {
                const REAL *s = src + i * image + j * step;
                V v[4], a = LD(s), b = LD(s + VL);
                v[0] = EVEN(a, b), v[1] = ODD(a, b);
                if (step == 4) {
                    V c = LD(s + 2 * VL), d = LD(s + 3 * VL), e = EVEN(c, d), o = ODD(c, d);
                    v[2] = ODD(v[0], e), v[0] = EVEN(v[0], e);
                    v[3] = ODD(v[1], o), v[1] = EVEN(v[1], o);
                }
                UNROLL(4) for (int t = 0; t < step; t++) {
                    if (single) v[t] = (V)((VI)v[t] & only[t]);
                    if (!single && j == 0) v[t] = (V)((VI)v[t] & r[t].first);
                    if (!single && j == tail) v[t] = (V)((VI)v[t] & r[t].last);
                    if (t < taps) ST(dst + t * plane + j, v[t]);
                }
            }
}

NOINLINE void F(conv_rows_dealt)(const F(conv_row) *r, int taps, int64_t plane, REAL *dst,
                                 const REAL *src, int64_t image, int64_t n, int64_t down,
                                 int64_t rows)
{
#define DEAL(step, single)                                                                         \
    F(conv_deal_rows)(step, single, r, taps, plane, dst, src, image, n, down, rows)
    if (r->step == 4) DEAL(4, 0);
    else if (r->end > VL) DEAL(2, 0);
    else DEAL(2, 1);
#undef DEAL
}

/* The same for any rows, and as many taps side by side as `step` at most: tap t's from src + t, to
 * dst + t * plane. Whole vectors are read, but not outside from ... to, and written: up to VL - 1
 * elements past the last row change. */
static void F(conv_rows)(const F(conv_row) *r, int taps, int64_t plane, REAL *dst, const REAL *src,
                         int64_t image, int64_t n, int64_t down, int64_t rows)
{
    const int64_t cols = r->cols, step = r->step, last = (n - 1) * image + r->end * step;
    int vectors = 1;
    for (int t = 0; t < taps; t++) vectors &= r[t].vectors;
    while (rows > 0) {
        int64_t safe = 0;
        if (vectors && src >= r->from && r->to - src >= last)
            safe = down ? min64(rows, (r->to - src - last) / down + 1) : rows;
        if (step == 1) F(conv_rows_of)(r, dst, src, image, n, down, safe);
        else F(conv_rows_dealt)(r, taps, plane, dst, src, image, n, down, safe);
        dst += safe * n * cols, src += safe * down, rows -= safe;
        if (rows <= 0) break;
        for (int64_t i = 0; i < n; i++, dst += cols)
            for (int t = 0; t < taps; t++)
                for (int64_t j = 0; j < cols; j++)
                    dst[t * plane + j] =
                        j < r[t].j0 || j >= r[t].j1 ? 0 : src[i * image + j * step + t];
        src += down, rows--;
    }
}

/* Elements of a plane: a vector to spare for what conv_rows writes past the end, and an odd number
 * of vectors, lest equal taps of all channels fall into the same cache sets. */
INLINE int64_t F(conv_plane)(int64_t slots, const conv_piece *p)
{
    return ((ceil_div(slots * p->g * p->cols, VL) + 1) | 1) * VL;
}

typedef struct F(conv_source) {
    const REAL *from, *to;              /* the whole tensor (images, all channels, h, w)          */
    const REAL *x;                      /* the group's first channel in the first image           */
    int64_t image, h, w;                /* image: elements between images                         */
} F(conv_source);

INLINE F(conv_source) F(conv_source_of)(const REAL *x, int64_t n, int64_t c, int64_t h, int64_t w)
{
    return (F(conv_source)){x, x + n * c * h * w, x, c * h * w, h, w};
}

/* The planes of `taps` whose columns begin side by side, v0 the first's, at most one step together:
 * of channels c0 <= c < c1, `between` apart; out: the first tap's. */
static void F(conv_lower_rows)(const F(conv_source) *x, int taps, int64_t v0, int64_t step,
                               int64_t row_step, int64_t c0, int64_t c1, const conv_piece *p,
                               const conv_chains *chains, int64_t plane, int64_t between, REAL *out)
{
    const int64_t pitch = p->g * p->cols;
    F(conv_row) row[4] = {0};
    for (int t = 0; t < taps; t++) {
        int64_t j0, j1;
        conv_inside(p, v0 + t, step, x->w, &j0, &j1);
        row[t] = F(conv_row_of)(p->cols, step, j0, j1, x->from, x->to);
    }
    for (int64_t q = 0; q < chains->n; q++) {
        /* rows of the chain: `above` and `below` the image, those between inside */
        const int64_t n = chains->slot[q + 1] - chains->slot[q], u = chains->row[q];
        const int64_t above = u < 0 ? min64(n, ceil_div(-u, row_step)) : 0;
        const int64_t until = u < x->h ? min64(n, ceil_div(x->h - u, row_step)) : 0;
        const int64_t below = n - max64(above, until);
        for (int64_t c = c0; c < c1; c++) {
            REAL *d = out + (c - c0) * between + chains->slot[q] * pitch;
            for (int t = 0; t < taps; t++) F(conv_zero)(d + t * plane, above * pitch);
            F(conv_rows)(row, taps, plane, d + above * pitch,
                         x->x + p->n0 * x->image + (c * x->h + u + above * row_step) * x->w + v0,
                         x->image, p->g, row_step * x->w, n - above - below);
            for (int t = 0; t < taps; t++)
                F(conv_zero)(d + t * plane + (n - below) * pitch, below * pitch);
        }
    }
}

/* The plane of a tap, `before` being that of the tap one step before it, whose pixel j + 1 reads
 * what pixel j reads here: moved by a pixel, but for the last column. v: where that reads. */
static void F(conv_lower_moved)(const F(conv_source) *x, int64_t v, int64_t row_step, int64_t c,
                                const conv_piece *p, const conv_chains *chains, const REAL *before,
                                REAL *out)
{
    const REAL *from = x->x + p->n0 * x->image + c * x->h * x->w + v;
    const int64_t cols = p->cols, n = chains->slot[chains->n] * p->g * cols;
    for (int64_t j = 0; j < n; j += VL) {
        ST(out + j, LD(before + j + 1));
        CONV_NO_CALL;
    }
    out += cols - 1;
    for (int64_t q = 0; q < chains->n; q++)
        for (int64_t i = chains->slot[q], u = chains->row[q]; i < chains->slot[q + 1];
             i++, u += row_step) {
            const int inside = v >= 0 && v < x->w && u >= 0 && u < x->h;
            for (int64_t t = 0; t < p->g; t++, out += cols)
                *out = inside ? from[t * x->image + u * x->w] : 0;
        }
}

/* out: the planes [c - c0][s] of block b of the channels, a few channels at a time: what the taps s
 * read again is then still in L1. */
#define CONV_STRIP (16 << 10)
NOINLINE void F(conv_lower)(const F(conv_source) *x, const conv_taps *cols, int64_t row_step,
                            const conv_block *b, const conv_piece *p, const conv_chains *chains,
                            int64_t plane, REAL *out)
{
    const int64_t step = cols->step, slots = chains->slot[chains->n], between = cols->n * plane;
    const int64_t strip = max64(1, CONV_STRIP / (slots * p->g * p->cols * row_step *
                                                 (int)sizeof(REAL)));
    for (int64_t c0 = b->c0; c0 < b->c1; c0 += strip, out += strip * between) {
        const int64_t c1 = min64(b->c1, c0 + strip);
        for (int64_t s = 0, taps; s < cols->n; s += taps) {
            const int64_t at = cols->at[s], v0 = p->j0 * step + at;
            int64_t q = s - 1;
            while (q >= 0 && step > 1 && cols->at[q] > at - step) q--;
            if (q >= 0 && step > 1 && cols->at[q] == at - step) {
                taps = 1;
                for (int64_t c = c0; c < c1; c++) {
                    REAL *to = out + (c - c0) * between;
                    F(conv_lower_moved)(x, v0 + (p->cols - 1) * step, row_step, c, p, chains,
                                        to + q * plane, to + s * plane);
                }
                continue;
            }
            for (taps = 1; taps < min64(step, 4) && s + taps < cols->n; taps++)
                if (cols->at[s + taps] != at + taps) break;
            F(conv_lower_rows)(x, (int)taps, v0, step, row_step, c0, c1, p, chains, plane, between,
                               out + s * plane);
        }
    }
}

/* koff[((r - r0) * nc + c - c0) * ns + s]: rows of the filter outermost, so that the taps of a
 * range of rows are a range. */
static void F(conv_offsets)(const conv_block *b, int64_t ns, const conv_piece *p,
                            const conv_chains *chains, int64_t plane, int64_t *koff)
{
    for (int64_t r = 0; r < b->r1 - b->r0; r++)
        for (int64_t t = 0; t < (b->c1 - b->c0) * ns; t++)
            *koff++ = t * plane + chains->base[r] * p->g * p->cols;
}
