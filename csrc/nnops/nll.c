/* nll.c: the loss of log-probabilities (n, c, p) against class numbers (n, p), and its gradient.
 *
 *   loss = -scale w[t] x[t]        dx[k] = -scale w[t] dy [k == t]        t: the class of a row
 *
 * Idea      one number is read for a row; the gradient is zeros, and one number for a row; classes
 *           are checked before, many at once
 * Removes   index arrays, masks and the temporaries of choosing with them
 * Leaves    a cache line read for every row; the zeros written
 * Requires  C-contiguous; targets in [0, c), or ignore_index: loss and gradient are then 0
 * Checked   against PyTorch in float64
 * Timed     python bench/versus.py loss
 */
#ifndef NLL_BLOCK
#define NLL_BLOCK 1024 /* neighbours whose zeros are in the cache when their numbers come */
#endif

typedef struct {
    int64_t c, p;
    const int64_t *target;
    int64_t ignore_index;
    const REAL *weight; /* (c), or NULL: all 1 */
    REAL scale;         /* of the loss, negated */
} F(nll_rows);

INLINE REAL F(nll_factor)(const F(nll_rows) *s, int64_t t)
{
    return s->weight ? s->scale * s->weight[t] : s->scale;
}

/* Are all of `target` classes, or `ignore_index`? *total: the weights of those that are classes. */
static int F(classes)(int64_t rows, const int64_t *target, int64_t c, int64_t ignore_index,
                      const void *weight, double *total)
{
    const REAL *w = weight;
    int64_t used = 0, wrong = 0;
    for (int64_t i = 0; i < rows; i++) { /* without branches: vectors */
        const int64_t t = target[i], counts = t != ignore_index;
        used += counts;
        wrong |= counts & ((t < 0) | (t >= c));
    }
    *total = (double)used;
    if (wrong) return 0;
    if (w) {
        *total = 0;
        for (int64_t i = 0; i < rows; i++)
            if (target[i] != ignore_index) *total += w[target[i]];
    }
    return 1;
}

/* rows [begin, end) of all n p */
NOINLINE void F(nll_range)(const F(nll_rows) *s, const REAL *x, REAL *loss, int64_t begin,
                           int64_t end)
{
    int64_t i = begin;
    if (s->p == 1)
        for (; i < end; i++) {
            const int64_t t = s->target[i];
            loss[i] = t == s->ignore_index ? 0 : F(nll_factor)(s, t) * x[i * s->c + t];
        }
    while (i < end) { /* the rows of one sample */
        const int64_t sample = i / s->p, first = sample * s->p, stop = min64(end, first + s->p);
        const REAL *row = x + sample * s->c * s->p;
        for (; i < stop; i++) {
            const int64_t t = s->target[i];
            loss[i] = t == s->ignore_index ? 0 : F(nll_factor)(s, t) * row[t * s->p + i - first];
        }
    }
}

/* samples [begin, end) of n */
NOINLINE void F(nll_backward_range)(const F(nll_rows) *s, const REAL *dy, int64_t dy_step,
                                    REAL *dx, int64_t begin, int64_t end)
{
    const int64_t c = s->c, p = s->p;
    for (int64_t i = begin; i < end; i++)
        for (int64_t first = 0; first < p; first += NLL_BLOCK) {
            const int64_t stop = min64(p, first + NLL_BLOCK);
            if (p == 1)
                memset(dx + i * c, 0, c * sizeof(REAL));
            else
                for (int64_t k = 0; k < c; k++)
                    memset(dx + (i * c + k) * p + first, 0, (stop - first) * sizeof(REAL));
            for (int64_t j = first; j < stop; j++) {
                const int64_t row = i * p + j, t = s->target[row];
                if (t != s->ignore_index)
                    dx[(i * c + t) * p + j] = F(nll_factor)(s, t) * dy[row * dy_step];
            }
        }
}

static int F(nll)(int64_t n, int64_t c, int64_t p, const void *x, const int64_t *target,
                  int64_t ignore_index, const void *weight, double scale, void *loss, int threads)
{
    const F(nll_rows) s = {c, p, target, ignore_index, weight, (REAL)-scale};
    SPLIT(fdl_plan(threads, 2.0 * n * p), n * p, 64, F(nll_range)(&s, x, loss, begin, end));
    return FDL_OK;
}

static int F(nll_backward)(int64_t n, int64_t c, int64_t p, const void *dy, int64_t dy_step,
                           const int64_t *target, int64_t ignore_index, const void *weight,
                           double scale, void *dx, int threads)
{
    const F(nll_rows) s = {c, p, target, ignore_index, weight, (REAL)-scale};
    SPLIT(fdl_plan(threads, n * p * (2 + 0.02 * sizeof(REAL) * c)), n, 1,
          F(nll_backward_range)(&s, dy, dy_step, dx, begin, end));
    return FDL_OK;
}
