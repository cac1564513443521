/* cross_entropy.c: the loss of class scores (n, c, p) against class numbers (n, p), or (n, c)
 * against probabilities q (n, c), with its gradient if wanted; for each of the n p rows, t being
 * its class, w the class weights, s the smoothing:
 *
 *   z = x - max,   L = log(sum_k exp(z[k])),   W = sum_k w[k]
 *   loss    = (1 - s) w[t] (L - z[t]) + s / c (W L - sum_k w[k] z[k])
 *   grad[k] = a softmax(x)[k] - s / c w[k] - (1 - s) w[t] [k == t],    a = (1 - s) w[t] + s / c W
 *
 *   with probabilities: q' = w ((1 - s) q + s / c)
 *   loss    = sum_k q'[k] (L - z[k]),   grad[k] = sum(q') softmax(x)[k] - q'[k]
 *
 * all of it times `scale`, which a mean over the rows asks for.
 *
 * Idea      both need the same exponentials: the gradient costs a scaling more
 * Removes   log-softmax, gather, exp and scatter as passes and arrays of their own
 * Leaves    as softmax.c
 * Requires  C-contiguous; targets in [0, c), or ignore_index: loss and gradient are then 0
 * Checked   against PyTorch in float64
 * Timed     python -m fastdl bench rows
 */
typedef struct {
    int64_t c, p;
    const REAL *x;
    const int64_t *target;
    int64_t ignore_index;
    const REAL *weight;      /* (c), or NULL: all 1         */
    REAL *loss, *grad;       /* grad: or NULL             */
    REAL hit, spread, total; /* scale (1 - s), scale s / c, W */
} F(ce);

/* sum of w (x - max) over a row; of x - max where w is NULL */
INLINE REAL F(row_weighted)(int64_t n, const REAL *x, REAL max, const REAL *w)
{
    V sum = SPLAT(0);
    for (int64_t j = 0; j < n; j += VL) {
        V z = LDN(x + j, n - j, max) - SPLAT(max);
        sum += w ? z * LDN(w + j, n - j, 0) : z;
    }
    return HSUM(sum);
}

NOINLINE void F(cross_entropy_rows)(const F(ce) *s, int64_t begin, int64_t end)
{
    const int64_t c = s->c;
    V rest = SPLAT(0);
    for (int64_t i = begin; i < end; i++) {
        const REAL *row = s->x + i * c, *w = s->weight;
        REAL *g = s->grad ? s->grad + i * c : NULL;
        const int64_t t = s->target[i];
        if (t == s->ignore_index) {
            s->loss[i] = 0;
            if (g) memset(g, 0, c * sizeof(REAL));
            continue;
        }
        const REAL max = F(row_max)(c, row), sum = F(row_exp_sum)(c, row, max, g, &rest);
        const REAL log_sum = (REAL)log(sum), hit = w ? s->hit * w[t] : s->hit;
        const REAL all = (hit + s->spread * s->total) / sum;
        s->loss[i] = hit * (log_sum - (row[t] - max));
        if (s->spread != 0) {
            REAL dot = w ? F(row_weighted)(c, row, max, w) : F(row_weighted)(c, row, max, NULL);
            s->loss[i] += s->spread * (s->total * log_sum - dot);
            for (int64_t j = 0; g && j < c; j += VL) {
                V share = w ? LDN(w + j, c - j, 0) * SPLAT(s->spread) : SPLAT(s->spread);
                STN(g + j, F(row_exp_at)(g, j, c, &rest) * SPLAT(all) - share, c - j);
            }
        } else {
            for (int64_t j = 0; g && j < c; j += VL)
                STN(g + j, F(row_exp_at)(g, j, c, &rest) * SPLAT(all), c - j);
        }
        if (g) g[t] -= hit;
    }
}

typedef struct {
    int64_t c;
    const REAL *x, *target, *weight;
    REAL *loss, *mass, *grad;
    REAL kept, spread, total, scale; /* 1 - s, s / c, sum of w */
} F(soft_ce);

/* w q and q' of columns [j, j + VL) of a row */
INLINE V F(soft_target)(const F(soft_ce) *s, const REAL *q, int64_t j, V *given)
{
    V share = LDN(q + j, s->c - j, 0), w = s->weight ? LDN(s->weight + j, s->c - j, 0) : SPLAT(1);
    *given = share * w;
    return *given * SPLAT(s->kept) + w * SPLAT(s->spread);
}

NOINLINE void F(soft_cross_entropy_rows)(const F(soft_ce) *s, int64_t begin, int64_t end)
{
    const int64_t c = s->c;
    V given, rest = SPLAT(0);
    for (int64_t i = begin; i < end; i++) {
        const REAL *row = s->x + i * c, *q = s->target + i * c;
        REAL *g = s->grad ? s->grad + i * c : NULL, mass = 0, dot = 0;
        const REAL max = F(row_max)(c, row), sum = F(row_exp_sum)(c, row, max, g, &rest);
        for (int64_t from = 0, to; from < c; from = to) {
            V all = SPLAT(0), products = all;
            to = min64(c, from + ROW_BLOCK);
            for (int64_t j = from; j < to; j += VL) { /* z is 0 behind the last column */
                V z = LDN(row + j, to - j, max) - SPLAT(max);
                products += F(soft_target)(s, q, j, &given) * z;
                all += given;
            }
            mass += HSUM(all);
            dot += HSUM(products);
        }
        mass = s->kept * mass + s->spread * s->total;
        s->loss[i] = s->scale * (mass * (REAL)log(sum) - dot);
        s->mass[i] = s->scale * mass;
        for (int64_t j = 0; g && j < c; j += VL) {
            V slope = F(row_exp_at)(g, j, c, &rest) * SPLAT(mass / sum);
            STN(g + j, (slope - F(soft_target)(s, q, j, &given)) * SPLAT(s->scale), c - j);
        }
    }
}

/* VL rows, one in every lane (see softmax.c), the first `live` of which exist; g may be x, or NULL:
 * no gradient */
NOINLINE void F(lanes_cross_entropy)(const F(ce) *s, int64_t stride, int64_t live, const REAL *x,
                                     const int64_t *target, REAL *loss, REAL *g)
{
    const int64_t c = s->c;
    REAL hit[VL], at_target[VL];
    int64_t class[VL];
    for (int i = 0; i < VL; i++) { /* lanes without a row, or ignored, get 0 whatever they hold */
        const int used = i < live && target[i] != s->ignore_index;
        class[i] = used ? target[i] : -1;
        at_target[i] = used ? x[target[i] * stride + i] : 0;
        hit[i] = !used ? 0 : s->weight ? s->hit * s->weight[target[i]] : s->hit;
    }
    V max = SPLAT(-INFINITY), dot = SPLAT(0), spread = dot, some = LD(hit), all = some;
    if (s->spread != 0) { /* before g, which may be x, gets the exponentials */
        for (int64_t k = 0; k < c; k++) max = VMAX(COLUMN(x, k), max);
        for (int64_t k = 0; k < c; k++)
            dot += (COLUMN(x, k) - max) * SPLAT(s->weight ? s->weight[k] : 1);
        for (int i = 0; i < VL; i++) spread[i] = class[i] < 0 ? 0 : s->spread;
        all += spread * SPLAT(s->total);
    }
    const V sum = F(lanes_exp_sum)(c, stride, live, x, &max, g), log_sum = F(vlog)(sum);
    const V scale = all / sum;
    if (s->spread != 0) {
        for (int64_t k = 0; g && k < c; k++)
            STN(g + k * stride,
                COLUMN(g, k) * scale - spread * SPLAT(s->weight ? s->weight[k] : 1), live);
        dot = spread * (SPLAT(s->total) * log_sum - dot);
    } else {
        for (int64_t k = 0; g && k < c; k++) STN(g + k * stride, COLUMN(g, k) * scale, live);
    }
    V result = some * (log_sum - (LD(at_target) - max)) + dot;
    for (int i = 0; i < min64(live, VL); i++) {
        loss[i] = class[i] < 0 ? 0 : result[i];
        if (g && class[i] >= 0) g[class[i] * stride + i] -= hit[i];
        for (int64_t k = 0; g && class[i] < 0 && k < c; k++)
            g[k * stride + i] = 0; /* NaN times 0 would be none */
    }
}

NOINLINE void F(cross_entropy_few)(const F(ce) *s, int64_t begin, int64_t end)
{
    V v[FEW_COLUMNS];
    REAL *t = (REAL *)v;
    for (int64_t i = begin; i < end; i += VL) {
        F(load_lanes)(min64(VL, end - i), s->c, s->x + i * s->c, s->c, v);
        F(lanes_cross_entropy)(s, VL, end - i, t, s->target + i, s->loss + i, s->grad ? t : NULL);
        if (s->grad) F(store_lanes)(min64(VL, end - i), s->c, v, s->grad + i * s->c, s->c);
    }
}

NOINLINE void F(cross_entropy_planes)(const F(ce) *s, int64_t begin, int64_t end)
{
    REAL t[TILE_COLUMNS * VL];
    const int64_t c = s->c, p = s->p, tiles = ceil_div(p, VL);
    const int crowded = F(crowded)(c, p);
    for (int64_t i = begin; i < end; i++) {
        const int64_t sample = i / tiles, j = i % tiles * VL, at = sample * c * p + j;
        const REAL *x = s->x + at;
        REAL *g = s->grad ? s->grad + at : NULL;
        if (crowded) F(load_tile)(c, p, p - j, x, t);
        F(lanes_cross_entropy)(s, crowded ? VL : p, p - j, crowded ? t : x,
                               s->target + sample * p + j, s->loss + sample * p + j,
                               crowded && g ? t : g);
        if (crowded && g) F(store_tile)(c, p, p - j, t, g);
    }
}

static int F(cross_entropy)(int64_t n, int64_t c, int64_t p, const void *x, const int64_t *target,
                            int64_t ignore_index, const void *weight, double smoothing,
                            double scale, void *loss, void *grad, int threads)
{
    int parts = fdl_plan(threads, n * p * (20 + 0.09 * sizeof(REAL) * c));
    if (c == 0) memset(loss, 0, n * p * sizeof(REAL)); /* nothing but ignored rows */
    if (n == 0 || c == 0 || p == 0) return FDL_OK;
    const REAL *w = weight;
    double total = w ? 0 : (double)c;
    for (int64_t k = 0; w && k < c; k++) total += w[k];
    const F(ce) s = {.c = c, .p = p, .x = x, .target = target, .ignore_index = ignore_index,
                     .weight = w, .loss = loss, .grad = grad,
                     .hit = (REAL)(scale * (1 - smoothing)),
                     .spread = (REAL)(scale * smoothing / c), .total = (REAL)total};
    if (p > 1)
        SPLIT(parts, n * ceil_div(p, VL), 1, F(cross_entropy_planes)(&s, begin, end));
    else if (c <= FEW_COLUMNS)
        SPLIT(parts, n, VL, F(cross_entropy_few)(&s, begin, end));
    else
        SPLIT(parts, n, 1, F(cross_entropy_rows)(&s, begin, end));
    return FDL_OK;
}

static int F(soft_cross_entropy)(int64_t n, int64_t c, const void *x, const void *target,
                                 const void *weight, double smoothing, double scale, void *loss,
                                 void *mass, void *grad, int threads)
{
    int parts = fdl_plan(threads, n * (20 + 0.2 * sizeof(REAL) * c));
    if (c == 0) { /* empty sums */
        memset(loss, 0, n * sizeof(REAL));
        memset(mass, 0, n * sizeof(REAL));
        return FDL_OK;
    }
    const REAL *w = weight;
    double total = w ? 0 : (double)c;
    for (int64_t k = 0; w && k < c; k++) total += w[k];
    const F(soft_ce) s = {.c = c, .x = x, .target = target, .weight = w, .loss = loss,
                          .mass = mass, .grad = grad, .kept = (REAL)(1 - smoothing),
                          .spread = (REAL)(smoothing / c), .total = (REAL)total,
                          .scale = (REAL)scale};
    SPLIT(parts, n, 1, F(soft_cross_entropy_rows)(&s, begin, end));
    return FDL_OK;
}
