/* ctc.c: connectionist temporal classification (Graves et al. 2006): for each sequence of a batch
 * minus the log of the probability that its steps spell a labelling, and the gradient of that.
 *
 * A labelling l_1 ... l_S is spread over the steps with blanks between. State A(j) is "at label j",
 * B(j) "at a blank after label j", B(0) the blanks before the first. With log probabilities p_t of
 * the classes and + for log(e^x + e^y):
 *
 *   A_t(j) = p_t(l_j)   . (A_{t-1}(j) + B_{t-1}(j-1) + [l_j != l_{j-1}] A_{t-1}(j-1))
 *   B_t(j) = p_t(blank) . (B_{t-1}(j) + A_{t-1}(j))              loss = -(A_T(S) + B_T(S))
 *
 * likewise from the end, in one row: what is still to come after step t. The gradient takes p to be
 * normalised, as a log-softmax makes it: e^p less the probability of being at the class, given the
 * labelling.
 *
 * Idea      labels and blanks in rows of their own: a vector of states needs no gather but that of
 *           p, and blanks one number; what a step adds is relative to the greatest of the step
 *           before, and these are summed in double: floats keep their digits in long sequences
 * Removes   scalar exp and log for every state, 2-3 of each; log-probabilities of -1000 in float;
 *           the matrix of states of the way back
 * Leaves    of the way there one row a step, for the gradient; vectors partly empty for short
 *           labellings
 * Requires  x (t, n, c) C-contiguous; steps in [0, t], lengths in [0, s]; labels, blank in [0, c)
 * Checked   against PyTorch in float64, and the sum over all alignments of tiny alphabets
 * Timed     python bench/versus.py ctc_loss
 */
typedef struct F(ctc) {
    const fdl_ctc *g;
    int64_t width;  /* of a row: S + 1 rounded up to vectors                     */
    int64_t next;   /* the sequence that the next free thread takes              */
    int failed;
} F(ctc);

/* Rows begin VL places apart, so that j - 1 and j + 1 lie in memory that is -infinity */
typedef struct F(ctc_rows) {
    REAL *labels, *mask;      /* p_t(l_j); 0 where A(j-1) may be followed by A(j), else -inf */
    REAL *qa, *qb, *share;    /* the way back; e^(there + back) of the labels                 */
    REAL *a, *b;              /* the way there: one row a step, or two                        */
    double *shift;            /* how much was taken from each of them                         */
} F(ctc_rows);

/* log(e^a + e^b), -inf for two of them; NaN goes through */
INLINE V F(log_add)(V a, V b)
{
    V m = VMAX(a, b), low = VMIN(b, a);
    V sum = F(exp_below)(low - VMAX(SPLAT(SINGLE ? -FLT_MAX : -DBL_MAX), m)) + SPLAT(1);
    V y = m + F(log_normal)(sum, SPLAT(0));
    return SEL(sum == sum, y, sum);
}

INLINE V F(log_add3)(V a, V b, V c)
{
    V high = VMAX(a, b), low = VMIN(b, a);
    V m = VMAX(high, c), middle = VMIN(c, high);
    V base = VMAX(SPLAT(SINGLE ? -FLT_MAX : -DBL_MAX), m);
    V sum = F(exp_below)(low - base) + F(exp_below)(middle - base) + SPLAT(1);
    V y = m + F(log_normal)(sum, SPLAT(0));
    return SEL(sum == sum, y, sum);
}

/* One step on from a, b: less `shift`, with the blank's log probability; the greatest of them */
NOINLINE REAL F(ctc_there)(int64_t width, const F(ctc_rows) *r, const REAL *a, const REAL *b,
                           REAL blank, REAL shift, REAL *a_next, REAL *b_next)
{
    V top = SPLAT(-INFINITY);
    for (int64_t j = 0; j < width; j += VL) {
        V at = LD(a + j);
        V y = F(log_add)(LD(b + j), at) + SPLAT(blank - shift);
        V x = F(log_add3)(at, LD(b + j - 1), LD(a + j - 1) + LD(r->mask + j)) +
              (LD(r->labels + j) - SPLAT(shift));
        ST(b_next + j, y);
        ST(a_next + j, x);
        top = VMAX(top, VMAX(x, y));
    }
    return HMAX(top);
}

/* One step back: what comes after step t from what comes with step t + 1 (qa, qb), and with step t
 * itself in its place. *blanks: the sum of the blanks' shares, `log_share` being what all of a, b
 * and q lack. */
NOINLINE REAL F(ctc_back)(int64_t width, const F(ctc_rows) *r, const REAL *a, const REAL *b,
                          REAL blank, REAL shift, REAL log_share, REAL *blanks)
{
    V top = SPLAT(-INFINITY), sum = SPLAT(0);
    for (int64_t j = 0; j < width; j += VL) { /* upward: only places from j on are read */
        V at = LD(r->qa + j), gap = LD(r->qb + j), on = LD(r->qa + j + 1);
        V x = F(log_add3)(at, gap, on + LD(r->mask + j + 1)), y = F(log_add)(gap, on);
        ST(r->share + j, F(exp_below)(LD(a + j) + x + SPLAT(log_share)));
        sum += F(exp_below)(LD(b + j) + y + SPLAT(log_share));
        x += LD(r->labels + j) - SPLAT(shift);
        y += SPLAT(blank - shift);
        ST(r->qa + j, x);
        ST(r->qb + j, y);
        top = VMAX(top, VMAX(x, y));
    }
    *blanks = HSUM(sum);
    return HMAX(top);
}

INLINE REAL F(ctc_shift)(REAL top) { return top > (REAL)-INFINITY ? top : 0; }

INLINE void F(ctc_fill)(REAL *p, int64_t n, REAL value)
{
    for (int64_t i = 0; i < n; i++) p[i] = value;
}

INLINE void F(ctc_gather)(const REAL *x, const int64_t *label, int64_t count, REAL *labels)
{
    for (int64_t j = 0; j < count; j++) labels[j + 1] = x[label[j]];
}

/* The gradient of one step: e^x less the shares */
NOINLINE void F(ctc_slopes)(const fdl_ctc *g, const REAL *x, const int64_t *label, int64_t count,
                            const REAL *share, REAL blanks, REAL *dx)
{
    for (int64_t k = 0; k < g->c; k += VL)
        STN(dx + k, F(vexp)(LDN(x + k, g->c - k, 0)), g->c - k);
    for (int64_t j = 0; j < count; j++) dx[label[j]] -= share[j + 1];
    dx[g->blank] -= blanks;
}

/* Sequence i: its loss, and its slopes if the gradient is wanted */
static void F(ctc_sequence)(const F(ctc) *all, const F(ctc_rows) *r, int64_t i)
{
    const fdl_ctc *g = all->g;
    const int64_t count = g->lengths[i], steps = g->steps[i], width = all->width;
    const int64_t pitch = width + VL, step = g->n * g->c;
    const int64_t *label = g->targets + i * g->s;
    const REAL *x = (const REAL *)g->x + i * g->c;
    REAL *dx = g->grad ? (REAL *)g->grad + i * g->c : NULL, *loss = (REAL *)g->loss + i;

    F(ctc_fill)(r->labels, width, (REAL)-INFINITY);
    F(ctc_fill)(r->mask, width, (REAL)-INFINITY);
    for (int64_t j = 2; j <= count; j++)
        if (label[j - 1] != label[j - 2]) r->mask[j] = 0;

    /* before the first step: in B(0) */
    F(ctc_fill)(r->qa, width, (REAL)-INFINITY);
    F(ctc_fill)(r->qb, width, (REAL)-INFINITY);
    r->qb[0] = 0;
    const REAL *a = r->qa, *b = r->qb;
    double total = 0;
    REAL shift = 0;
    for (int64_t t = 0; t < steps; t++) {
        const int64_t row = (dx ? t : t & 1) * pitch;
        F(ctc_gather)(x + t * step, label, count, r->labels);
        total += shift;
        if (dx) r->shift[t] = total;
        shift = F(ctc_shift)(F(ctc_there)(width, r, a, b, x[t * step + g->blank], shift, r->a + row,
                                          r->b + row));
        a = r->a + row;
        b = r->b + row;
    }
    const double end_a = a[count], end_b = b[count], most = end_a > end_b ? end_a : end_b;
    const double nll = most == -INFINITY
                           ? INFINITY
                           : -(total + most + log(exp(end_a - most) + exp(end_b - most)));
    const int lost = nll == INFINITY;
    *loss = lost && g->zero_infinity ? 0 : (REAL)nll;
    if (!dx) return;

    for (int64_t t = lost ? 0 : steps; t < g->t; t++)
        F(ctc_fill)(dx + t * step, g->c, lost && !g->zero_infinity && t < steps ? (REAL)NAN : 0);
    if (lost) return;

    /* after the last step: from A(S) or B(S) nothing is to come */
    F(ctc_fill)(r->qa, width, (REAL)-INFINITY);
    F(ctc_fill)(r->qb, width, (REAL)-INFINITY);
    r->qb[count] = 0;
    total = nll;
    shift = 0;
    for (int64_t t = steps - 1; t >= 0; t--) {
        REAL blanks;
        F(ctc_gather)(x + t * step, label, count, r->labels);
        const REAL top = F(ctc_back)(width, r, r->a + t * pitch, r->b + t * pitch,
                                     x[t * step + g->blank], shift, (REAL)(total + r->shift[t]),
                                     &blanks);
        total += shift;
        shift = F(ctc_shift)(top);
        F(ctc_slopes)(g, x + t * step, label, count, r->share, blanks, dx + t * step);
    }
}

static void F(ctc_member)(F(ctc) *all)
{
    const fdl_ctc *g = all->g;
    const int64_t pitch = all->width + VL, kept = g->grad ? max64(g->t, 1) : 2;
    const int64_t rows = 5 + 2 * kept, shifts = kept * (int64_t)(sizeof(double) / sizeof(REAL));
    REAL *memory =
        fdl_scratch(FDL_SCRATCH_ROWS, (size_t)(shifts + rows * pitch + VL) * sizeof(REAL));
    if (!memory) {
        __atomic_store_n(&all->failed, 1, __ATOMIC_RELAXED);
        return;
    }
    F(ctc_rows) r = {.shift = (double *)memory};
    REAL *first = memory + shifts + VL; /* a row's place 0; before it, and after the last, -inf */
    F(ctc_fill)(memory + shifts, rows * pitch + VL, (REAL)-INFINITY);
    REAL **row[] = {&r.labels, &r.mask, &r.qa, &r.qb, &r.share, &r.a};
    for (int i = 0; i < 6; i++) *row[i] = first + i * pitch;
    r.b = r.a + kept * pitch;
    int64_t i;
    while ((i = __atomic_fetch_add(&all->next, 1, __ATOMIC_RELAXED)) < g->n)
        F(ctc_sequence)(all, &r, i);
}

static int F(ctc_loss)(const fdl_ctc *g, int threads)
{
    F(ctc) all = {.g = g, .width = ceil_div(g->s + 1, VL) * VL};
    double work = 0;
    for (int64_t i = 0; i < g->n; i++)
        work += (double)g->steps[i] * ((g->grad ? 60.0 : 25.0) * (double)(all.width / VL) +
                                       (g->grad ? 0.15 * sizeof(REAL) * (double)g->c : 0));
    const int parts = (int)min64(g->n, fdl_plan(threads, work));
    if (parts > 1) {
        OMP(parallel num_threads(parts))
        F(ctc_member)(&all);
    } else {
        F(ctc_member)(&all);
    }
    return all.failed ? FDL_NOMEM : FDL_OK;
}
