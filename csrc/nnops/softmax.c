/* softmax.c: softmax and log-softmax over c of (n, c, p), and their gradients.
 *
 *   softmax      y = exp(x - max) / sum exp(x - max)         dx = y (dy - sum dy y)
 *   log-softmax  y = x - max - log(sum exp(x - max))         dx = dy - exp(y) sum dy
 *
 * Idea      a row (p = 1) is read three times while it is in the cache: its maximum, the sum of
 *           exponentials, the result. Where p > 1 or c is small, every lane has a row of its own
 * Removes   the temporaries of the NumPy formulation, and its scalar exponential
 * Leaves    the arithmetic of exp: about 20 vector operations for VL elements
 * Requires  C-contiguous
 * Checked   against float64; a row of -inf gives NaN, as in PyTorch
 * Timed     python -m fastdl bench rows
 *
 * A row's last vector is filled up with values that change nothing. Long rows are summed in blocks,
 * so that rounding errors grow with the number of blocks, not of elements.
 */
#define ROW_BLOCK 2048
#define ROWS_BYTES (4 << 10) /* of rows that go through each step together: of more, the next ones
                              * no longer arrive from memory meanwhile (measured) */

/* The maximum, in lanes */
INLINE V F(row_max_lanes)(int64_t n, const REAL *x)
{
    V a = SPLAT(-INFINITY), b = a;
    for (int64_t j = 0; j < n; j += 2 * VL) {
        a = VMAX(LDN(x + j, n - j, -INFINITY), a);
        b = VMAX(LDN(x + j + VL, n - j - VL, -INFINITY), b);
    }
    return VMAX(a, b);
}

/* The sum over the row, in lanes, of exp(x - max). Unless y is NULL, these go to y, which may be x,
 * but where they end within a vector that goes to *rest: what is stored in part is slow to read
 * again at once. row_exp_at reads them. */
INLINE V F(row_exp_lanes)(int64_t n, const REAL *x, REAL max, REAL *y, V *rest)
{
    V total = SPLAT(0);
    for (int64_t from = 0, to; from < n; from = to) {
        V sum = SPLAT(0);
        to = min64(n, from + ROW_BLOCK);
        for (int64_t j = from; j < to; j += VL) {
            V e = F(exp_below)(LDN(x + j, to - j, -INFINITY) - SPLAT(max));
            if (y && j + VL <= to) ST(y + j, e);
            else if (y) *rest = e;
            sum += e;
        }
        total += sum;
    }
    return total;
}

INLINE V F(row_exp_at)(const REAL *y, int64_t j, int64_t n, const V *rest)
{
    return j + VL <= n ? LD(y + j) : *rest;
}

INLINE REAL F(row_max)(int64_t n, const REAL *x) { return HMAX(F(row_max_lanes)(n, x)); }

INLINE REAL F(row_exp_sum)(int64_t n, const REAL *x, REAL max, REAL *y, V *rest)
{
    return HSUM(F(row_exp_lanes)(n, x, max, y, rest));
}

/* sum of u v; of u alone where v is NULL */
INLINE REAL F(row_dot)(int64_t n, const REAL *u, const REAL *v)
{
    REAL total = 0;
    for (int64_t from = 0, to; from < n; from = to) {
        V a = SPLAT(0), b = a;
        to = min64(n, from + ROW_BLOCK);
        for (int64_t j = from; j < to; j += 2 * VL) {
            V p = LDN(u + j, to - j, 0), q = LDN(u + j + VL, to - j - VL, 0);
            a += v ? p * LDN(v + j, to - j, 0) : p;
            b += v ? q * LDN(v + j + VL, to - j - VL, 0) : q;
        }
        total += HSUM(a + b);
    }
    return total;
}

/* ---- a row in every lane ----------------------------------------------------------------------
 *
 * VL rows at a time, column k of all of them in one vector: x[k stride ...]. No lane needs another.
 * So lie the pixels of (n, c, p); and rows of few columns, which would leave lanes idle, are
 * transposed to lie so. */
#define FEW_COLUMNS 16 /* a multiple of VL */

/* The first `live` lanes of column k */
#define COLUMN(x, k) LDN((x) + (k)*stride, live, 0)

/* The sum of exp(x - max) in every lane; exp(x - max) goes to e unless that is NULL; e may be x */
INLINE V F(lanes_exp_sum)(int64_t c, int64_t stride, int64_t live, const REAL *x, V *max, REAL *e)
{
    V m = SPLAT(-INFINITY), sum = SPLAT(0);
    for (int64_t k = 0; k < c; k++) m = VMAX(COLUMN(x, k), m);
    for (int64_t k = 0; k < c; k++) {
        V v = F(exp_below)(COLUMN(x, k) - m);
        if (e) STN(e + k * stride, v, live);
        sum += v;
    }
    *max = m;
    return sum;
}

INLINE void F(lanes_softmax)(int64_t c, int64_t stride, int64_t live, const REAL *x, REAL *y,
                             int log)
{
    V max;
    if (log) {
        V log_sum = F(vlog)(F(lanes_exp_sum)(c, stride, live, x, &max, NULL));
        for (int64_t k = 0; k < c; k++)
            STN(y + k * stride, COLUMN(x, k) - max - log_sum, live);
    } else {
        V scale = SPLAT(1) / F(lanes_exp_sum)(c, stride, live, x, &max, y);
        for (int64_t k = 0; k < c; k++) STN(y + k * stride, COLUMN(y, k) * scale, live);
    }
}

INLINE void F(lanes_softmax_backward)(int64_t c, int64_t stride, int64_t live, const REAL *dy,
                                      const REAL *y, REAL *dx, int log)
{
    V sum = SPLAT(0);
    for (int64_t k = 0; k < c; k++) sum += log ? COLUMN(dy, k) : COLUMN(dy, k) * COLUMN(y, k);
    for (int64_t k = 0; k < c; k++) {
        V d = COLUMN(dy, k), v = COLUMN(y, k);
        STN(dx + k * stride, log ? d - F(vexp)(v) * sum : v * (d - sum), live);
    }
}

NOINLINE void F(softmax_few)(int64_t cols, const REAL *x, REAL *y, int log, int64_t begin,
                             int64_t end)
{
    V v[FEW_COLUMNS];
    REAL *t = (REAL *)v;
    for (int64_t i = begin; i < end; i += VL) {
        const int64_t rows = min64(VL, end - i);
        F(load_lanes)(rows, cols, x + i * cols, cols, v);
        if (log) F(lanes_softmax)(cols, VL, VL, t, t, 1);
        else F(lanes_softmax)(cols, VL, VL, t, t, 0);
        F(store_lanes)(rows, cols, v, y + i * cols, cols);
    }
}

NOINLINE void F(softmax_backward_few)(int64_t cols, const REAL *dy, const REAL *y, REAL *dx,
                                      int log, int64_t begin, int64_t end)
{
    V u[FEW_COLUMNS], v[FEW_COLUMNS];
    REAL *g = (REAL *)u, *t = (REAL *)v;
    for (int64_t i = begin; i < end; i += VL) {
        const int64_t rows = min64(VL, end - i);
        F(load_lanes)(rows, cols, dy + i * cols, cols, u);
        F(load_lanes)(rows, cols, y + i * cols, cols, v);
        if (log) F(lanes_softmax_backward)(cols, VL, VL, g, t, g, 1);
        else F(lanes_softmax_backward)(cols, VL, VL, g, t, g, 0);
        F(store_lanes)(rows, cols, u, dx + i * cols, cols);
    }
}

/* The classes of a pixel lie p apart. If that is a multiple of 2 KiB, they compete for the same few
 * lines of L1, and every sweep but one goes to L2 (3 to 6 times slower, measured): then up to
 * TILE_COLUMNS classes of VL pixels are worked on in a copy. */
#define TILE_COLUMNS 128

INLINE int F(crowded)(int64_t c, int64_t p)
{
    return c <= TILE_COLUMNS && p * (int64_t)sizeof(REAL) % 2048 == 0;
}

INLINE void F(load_tile)(int64_t c, int64_t stride, int64_t live, const REAL *x, REAL *t)
{
    for (int64_t k = 0; k < c; k++) ST(t + k * VL, COLUMN(x, k));
}

INLINE void F(store_tile)(int64_t c, int64_t stride, int64_t live, const REAL *t, REAL *y)
{
    for (int64_t k = 0; k < c; k++) STN(y + k * stride, LD(t + k * VL), live);
}

/* Tiles of VL pixels, `tiles` of them in each of n samples: the tiles [begin, end) */
NOINLINE void F(softmax_planes)(int64_t c, int64_t p, const REAL *x, REAL *y, int log,
                                int64_t begin, int64_t end)
{
    REAL t[TILE_COLUMNS * VL];
    const int64_t tiles = ceil_div(p, VL);
    const int crowded = F(crowded)(c, p);
    for (int64_t i = begin; i < end; i++) {
        const int64_t j = i % tiles * VL, at = i / tiles * c * p + j;
        const int64_t stride = crowded ? VL : p;
        const REAL *from = crowded ? t : x + at;
        REAL *to = crowded ? t : y + at;
        if (crowded) F(load_tile)(c, p, p - j, x + at, t);
        if (log) F(lanes_softmax)(c, stride, p - j, from, to, 1);
        else F(lanes_softmax)(c, stride, p - j, from, to, 0);
        if (crowded) F(store_tile)(c, p, p - j, t, y + at);
    }
}

NOINLINE void F(softmax_backward_planes)(int64_t c, int64_t p, const REAL *dy, const REAL *y,
                                         REAL *dx, int log, int64_t begin, int64_t end)
{
    REAL g[TILE_COLUMNS * VL], t[TILE_COLUMNS * VL];
    const int64_t tiles = ceil_div(p, VL);
    const int crowded = F(crowded)(c, p);
    for (int64_t i = begin; i < end; i++) {
        const int64_t j = i % tiles * VL, at = i / tiles * c * p + j;
        const int64_t stride = crowded ? VL : p;
        const REAL *d = crowded ? g : dy + at, *v = crowded ? t : y + at;
        REAL *to = crowded ? g : dx + at;
        if (crowded) F(load_tile)(c, p, p - j, dy + at, g), F(load_tile)(c, p, p - j, y + at, t);
        if (log) F(lanes_softmax_backward)(c, stride, p - j, d, v, to, 1);
        else F(lanes_softmax_backward)(c, stride, p - j, d, v, to, 0);
        if (crowded) F(store_tile)(c, p, p - j, g, dx + at);
    }
}

/* ---- any number of columns ------------------------------------------------------------------- */

/* The last step: x - max - log, as max + log would lose what x - max keeps; or y times a scale */
INLINE void F(row_finish)(int64_t cols, const REAL *x, REAL *y, REAL max, REAL scale,
                          const V *rest, const int log)
{
    for (int64_t j = 0; j < cols; j += VL) {
        V v;
        if (log) v = LDN(x + j, cols - j, 0) - SPLAT(max) - SPLAT(scale);
        else v = F(row_exp_at)(y, j, cols, rest) * SPLAT(scale);
        STN(y + j, v, cols - j);
    }
}

/* Of short rows, up to VL go through each step together: their sums over lanes are made together */
INLINE void F(softmax_short)(int64_t cols, const REAL *x, REAL *y, const int log, int64_t begin,
                             int64_t end)
{
    const int64_t step = min64(VL, ROWS_BYTES / (cols * (int64_t)sizeof(REAL)));
    V lanes[VL], rest[VL];
    REAL max[VL], scale[VL];
    memset(lanes, 0, sizeof lanes);
    for (int64_t i = begin, rows; i < end; i += rows) {
        const REAL *from = x + i * cols;
        REAL *to = y + i * cols;
        rows = min64(step, end - i);
        for (int64_t r = 0; r < rows; r++) lanes[r] = F(row_max_lanes)(cols, from + r * cols);
        ST(max, F(lane_maxima)(lanes));
        for (int64_t r = 0; r < rows; r++)
            lanes[r] = F(row_exp_lanes)(cols, from + r * cols, max[r], log ? NULL : to + r * cols,
                                        rest + r);
        const V sum = F(lane_sums)(lanes);
        ST(scale, log ? F(vlog)(sum) : SPLAT(1) / sum);
        for (int64_t r = rows - 1; r >= 0; r--) /* the next row's loads wait for a partial store */
            F(row_finish)(cols, from + r * cols, to + r * cols, max[r], scale[r], rest + r, log);
    }
}

INLINE void F(softmax_each)(int64_t cols, const REAL *x, REAL *y, const int log, int64_t begin,
                            int64_t end)
{
    if (cols * (int64_t)sizeof(REAL) <= ROWS_BYTES / 4) {
        F(softmax_short)(cols, x, y, log, begin, end);
        return;
    }
    for (int64_t i = begin * cols; i < end * cols; i += cols) {
        V rest = SPLAT(0);
        const REAL max = F(row_max)(cols, x + i);
        const V sum = SPLAT(F(row_exp_sum)(cols, x + i, max, log ? NULL : y + i, &rest));
        REAL scale[VL];
        ST(scale, log ? F(vlog)(sum) : SPLAT(1) / sum);
        F(row_finish)(cols, x + i, y + i, max, scale[0], &rest, log);
    }
}

NOINLINE void F(softmax_rows)(int64_t cols, const REAL *x, REAL *y, int64_t begin, int64_t end)
{
    F(softmax_each)(cols, x, y, 0, begin, end);
}

NOINLINE void F(log_softmax_rows)(int64_t cols, const REAL *x, REAL *y, int64_t begin, int64_t end)
{
    F(softmax_each)(cols, x, y, 1, begin, end);
}

NOINLINE void F(softmax_backward_rows)(int64_t cols, const REAL *dy, const REAL *y, REAL *dx,
                                       int64_t begin, int64_t end)
{
    for (int64_t i = begin * cols; i < end * cols; i += cols) {
        REAL dot = F(row_dot)(cols, dy + i, y + i);
        for (int64_t j = 0; j < cols; j += VL)
            STN(dx + i + j,
                LDN(y + i + j, cols - j, 0) * (LDN(dy + i + j, cols - j, 0) - SPLAT(dot)),
                cols - j);
    }
}

NOINLINE void F(log_softmax_backward_rows)(int64_t cols, const REAL *dy, const REAL *y, REAL *dx,
                                           int64_t begin, int64_t end)
{
    for (int64_t i = begin * cols; i < end * cols; i += cols) {
        REAL sum = F(row_dot)(cols, dy + i, NULL);
        for (int64_t j = 0; j < cols; j += VL) {
            V p = F(vexp)(LDN(y + i + j, cols - j, 0));
            STN(dx + i + j, LDN(dy + i + j, cols - j, 0) - p * SPLAT(sum), cols - j);
        }
    }
}

static int F(softmax)(int64_t n, int64_t c, int64_t p, const void *x, void *y, int log,
                      int threads)
{
    int parts = fdl_plan(threads, n * p * (10 + 0.08 * sizeof(REAL) * c));
    if (n == 0 || c == 0 || p == 0) return FDL_OK;
    if (p > 1)
        SPLIT(parts, n * ceil_div(p, VL), 1, F(softmax_planes)(c, p, x, y, log, begin, end));
    else if (c <= FEW_COLUMNS)
        SPLIT(parts, n, VL, F(softmax_few)(c, x, y, log, begin, end));
    else if (log)
        SPLIT(parts, n, 1, F(log_softmax_rows)(c, x, y, begin, end));
    else
        SPLIT(parts, n, 1, F(softmax_rows)(c, x, y, begin, end));
    return FDL_OK;
}

static int F(softmax_backward)(int64_t n, int64_t c, int64_t p, const void *dy, const void *y,
                               void *dx, int log, int threads)
{
    int parts = fdl_plan(threads, n * p * (10 + 0.035 * sizeof(REAL) * c));
    if (n == 0 || c == 0 || p == 0) return FDL_OK;
    if (p > 1)
        SPLIT(parts, n * ceil_div(p, VL), 1,
              F(softmax_backward_planes)(c, p, dy, y, dx, log, begin, end));
    else if (c <= FEW_COLUMNS)
        SPLIT(parts, n, VL, F(softmax_backward_few)(c, dy, y, dx, log, begin, end));
    else if (log)
        SPLIT(parts, n, 1, F(log_softmax_backward_rows)(c, dy, y, dx, begin, end));
    else
        SPLIT(parts, n, 1, F(softmax_backward_rows)(c, dy, y, dx, begin, end));
    return FDL_OK;
}
