/* map.c: y[i] = f(a[i], b[i], c[i]) over a broadcast shape, for every f in functions.inc.c.
 *
 * Idea      one loop over whole vectors for all functions and all kinds of operands. It walks the
 *           two innermost dimensions; an operand that is one value along a row is a vector of
 *           equal lanes with step 0, and one that cannot be loaded as it lies (other strides,
 *           bytes for truth values) is first copied to a block in L1, a block at a time
 * Removes   temporaries: a gradient such as g * (1 - y * y) is one pass over memory, not three
 * Leaves    one read of every operand and one write; results that do not fit the last-level cache
 *           go past it, since it would read each line before it is overwritten (measured with
 *           32 MiB of it: half the time well above, twice the time where 33 MB still fit)
 * Requires  y not to overlap an operand, unless it is that operand
 * Checked   against NumPy and PyTorch in float64, over layouts, tails and special values
 * Timed     python -m fastdl bench elementwise
 */
#ifndef MAP_BLOCK
#define MAP_BLOCK 512 /* elements in a block: four of doubles are half of L1 */
#endif

#define ZERO SPLAT(0)
#define ONE SPLAT(1)
#define AND(condition, x) ((V)((VI)(condition) & (VI)(x)))

INLINE V F(greater)(V a, V b) { return SEL((a > b) | (a != a), a, b); } /* NaN if either is */
INLINE V F(smaller)(V a, V b) { return SEL((a < b) | (a != a), a, b); }

/* of a distance: d^2 / 2 up to p, then the straight line that goes on from there */
INLINE V F(huber_of)(V d, V p)
{
    V inner = F(smaller)(d, p);
    return inner * (d - inner * SPLAT(0.5));
}
/* a logarithm that is finite where a loss needs it to be */
INLINE V F(bit_log)(V x) { return VMAX(SPLAT(-100), x); }

typedef V F(map_value)(V a, V b, V c, V p, V q);

/* rows x n elements; an input with `one` is the same value all along a row */
typedef struct F(map_rows) {
    int64_t rows, n;
    const REAL *in[3];
    int64_t in_row[3], y_row; /* from row to row */
    int one[3];
    REAL *y;
} F(map_rows);
typedef void F(map_loop)(F(map_rows) r, double p, double q, int stream);

/* `inputs` is a constant here: each function gets a loop of its own. A second one, without the
 * branch for `stream`, is no faster (measured, L1 to memory): loads and stores are what counts. */
INLINE void F(map_each)(F(map_value) *value, const int inputs, F(map_rows) *r, V p, V q,
                        const int stream)
{
    V lanes[3];
    for (; r->rows > 0; r->rows--) {
        const REAL *in[3];
        int64_t step[3], left = r->n;
        REAL *y = r->y;
        for (int k = 0; k < inputs; k++) {
            if (r->one[k]) lanes[k] = SPLAT(*r->in[k]);
            in[k] = r->one[k] ? (const REAL *)&lanes[k] : r->in[k];
            step[k] = r->one[k] ? 0 : VL;
            r->in[k] += r->in_row[k];
        }
        const REAL *a = in[0], *b = in[inputs > 1], *c = in[inputs > 2 ? 2 : 0];
        const int64_t da = step[0], db = step[inputs > 1], dc = step[inputs > 2 ? 2 : 0];
        for (; left >= VL; left -= VL, y += VL) {
            V v = value(LD(a), LD(b), LD(c), p, q);
            if (stream) STREAM(y, v);
            else ST(y, v);
            a += da;
            b += db;
            c += dc;
        }
        if (left > 0) STN(y, value(LDN(a, left, 0), LDN(b, left, 0), LDN(c, left, 0), p, q), left);
        r->y += r->y_row;
    }
}

#define MAP(name, inputs, cost, formula)                                                          \
    INLINE V F(name##_value)(V a, V b, V c, V p, V q)                                             \
    {                                                                                             \
        (void)a, (void)b, (void)c, (void)p, (void)q;                                              \
        return formula;                                                                           \
    }                                                                                             \
    NOINLINE void F(name##_loop)(F(map_rows) r, double p, double q, int stream)                   \
    {                                                                                             \
        F(map_each)(F(name##_value), inputs, &r, SPLAT(p), SPLAT(q), stream);                     \
    }
#include "functions.inc.c"
#undef MAP

/* n elements from p, `step` apart, as REALs in a block */
static void F(map_gather)(REAL *block, const char *p, int64_t step, int64_t n, int bytes)
{
    if (bytes) {
        const uint8_t *u = (const uint8_t *)p;
        if (step == 1) for (int64_t i = 0; i < n; i++) block[i] = u[i];
        else for (int64_t i = 0; i < n; i++) block[i] = u[i * step];
    } else {
        const REAL *x = (const REAL *)p;
        for (int64_t i = 0; i < n; i++) block[i] = x[i * step];
    }
}

/* A block to n elements at p, `step` apart; as 0 and 1 if they are bytes */
static void F(map_scatter)(char *p, const REAL *block, int64_t step, int64_t n, int bytes)
{
    if (bytes) {
        uint8_t *u = (uint8_t *)p;
        if (step == 1) for (int64_t i = 0; i < n; i++) u[i] = block[i] != 0;
        else for (int64_t i = 0; i < n; i++) u[i * step] = block[i] != 0;
    } else {
        REAL *y = (REAL *)p;
        for (int64_t i = 0; i < n; i++) y[i * step] = block[i];
    }
}

/* Elements [begin, end) in the order of the dimensions: as many rows at a time as possible, or
 * blocks of one row where an operand has to be copied */
static void F(map_range)(F(map_loop) *loop, const int inputs, const fdl_map *m, int stream,
                         int64_t begin, int64_t end)
{
    const int last = m->ndim - 1, above = last - 1;
    const int64_t inner = m->shape[last];
    REAL block[4][MAP_BLOCK] __attribute__((aligned(64)));
    const fdl_map_operand *o[4] = {&m->in[0], &m->in[1], &m->in[2], &m->in[0]};
    char *at[4]; /* first element of the row: the inputs, then the result */
    int64_t index[FDL_MAP_DIMS], size[4], left = begin;
    int copied[4], copies = 0;
    F(map_rows) r = {0};

    o[inputs] = &m->out;
    for (int k = 0; k <= inputs; k++) {
        const int one = k < inputs && o[k]->step[last] == 0 && !o[k]->bytes;
        size[k] = o[k]->bytes ? 1 : sizeof(REAL);
        at[k] = o[k]->data;
        copied[k] = !one && (o[k]->step[last] != 1 || o[k]->bytes);
        copies |= copied[k];
        if (k < inputs) r.one[k] = one;
        if (k < inputs && last > 0) r.in_row[k] = o[k]->step[above];
    }
    if (last > 0) r.y_row = m->out.step[above];
    for (int d = last; d >= 0; d--) { /* where `begin` lies */
        index[d] = left % m->shape[d];
        left /= m->shape[d];
        for (int k = 0; k <= inputs; k++)
            if (d < last) at[k] += index[d] * o[k]->step[d] * size[k];
    }

    for (int64_t col = index[last]; begin < end; col = 0) {
        const int64_t stop = min64(inner, col + end - begin);
        r.rows = 1;
        if (!copies && stop - col == inner && last > 0)
            r.rows = min64(m->shape[above] - index[above], (end - begin) / inner);
        const int64_t rows = r.rows;
        begin += rows * (stop - col);
        for (; col < stop; col += r.n) {
            r.n = copies ? min64(MAP_BLOCK, stop - col) : stop - col;
            for (int k = 0; k <= inputs; k++) {
                char *x = at[k] + col * o[k]->step[last] * size[k];
                REAL *p = copied[k] ? block[k] : (REAL *)x;
                if (k == inputs) r.y = p;
                else r.in[k] = p;
                if (k < inputs && copied[k])
                    F(map_gather)(block[k], x, o[k]->step[last], r.n, o[k]->bytes);
            }
            loop(r, m->p, m->q, stream);
            if (copied[inputs])
                F(map_scatter)(at[inputs] + col * m->out.step[last] * size[inputs], block[inputs],
                               m->out.step[last], r.n, m->out.bytes);
        }
        for (int64_t d = above, more = rows; d >= 0; d--, more = 1) { /* the next row */
            const int64_t back = index[d] + more == m->shape[d] ? m->shape[d] : 0;
            for (int k = 0; k <= inputs; k++) at[k] += (more - back) * o[k]->step[d] * size[k];
            index[d] += more - back;
            if (!back) break;
        }
    }
    if (stream) STREAM_END();
}

static const struct {
    const char *name, *value;
    int inputs;
    double cost;
    F(map_loop) *loop;
} F(maps)[] = {
#define MAP(name, inputs, cost, formula) {#name, #formula, inputs, cost, F(name##_loop)},
#include "functions.inc.c"
#undef MAP
};

static const char *F(map_name)(int function, int *inputs, const char **value)
{
    if (function >= (int)(sizeof F(maps) / sizeof *F(maps))) return NULL;
    *inputs = F(maps)[function].inputs;
    *value = F(maps)[function].value;
    return F(maps)[function].name;
}

/* elements of an operand that are not the same one, broadcast */
static int64_t F(map_distinct)(const fdl_map *m, const fdl_map_operand *x)
{
    int64_t n = 1;
    for (int d = 0; d < m->ndim; d++) n *= x->step[d] ? m->shape[d] : 1;
    return n;
}

static int F(map)(int function, const fdl_map *m, int threads)
{
    const int inputs = F(maps)[function].inputs, last = m->ndim - 1;
    int64_t n = 1, inner = m->shape[last];
    for (int d = 0; d <= last; d++) n *= m->shape[d];
    if (n == 0) return FDL_OK;

    int64_t touched = n; /* elements that move between memory and caches */
    for (int k = 0; k < inputs; k++) touched += F(map_distinct)(m, &m->in[k]);
    int stream = touched * (int64_t)sizeof(REAL) >= FDL_STREAM && !m->out.bytes &&
                 m->out.step[last] == 1 && (uintptr_t)m->out.data % VBYTES == 0 &&
                 (last == 0 || inner % VL == 0);
    for (int k = 0; k < inputs; k++) stream &= m->in[k].data != m->out.data;

    SPLIT(fdl_plan(threads, F(maps)[function].cost * (sizeof(REAL) / 4) * n), n, 1024,
          F(map_range)(F(maps)[function].loop, inputs, m, stream, begin, end));
    return FDL_OK;
}
#undef ZERO
#undef ONE
#undef AND
