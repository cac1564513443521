/* chunks.c: a function run over all parameters of a model at once, a chunk of values after another.
 *
 *   parameter   |---- 0 ----|- 1 -|-------- 2 --------| 3 |    of any size
 *   chunk       |0 |1 |2 |3 |4 |5 |6 |7 |8 |9 |10|11|12|13|    CHUNK values, the last of each fewer
 *   thread      |-------- 0 -------|-------- 1 -----------|    as many chunks each
 *
 * Idea      one call, hence one parallel region and one crossing from Python, for the whole model
 * Removes   the cost of a call per parameter, which for the biases exceeds the work
 * Leaves    memory traffic
 * Requires  the parameters' arrays do not overlap
 * Checked   bit by bit against one parameter at a time, any number of threads
 * Timed     python -m fastdl bench rows
 */
enum { F(CHUNK) = 4096 };

/* f(x, options, c, begin, end): values [begin, end) of parameter x, which are chunk number c */
typedef void F(chunk_fn)(const fdl_param *x, const void *options, int64_t c, int64_t begin,
                         int64_t end);

NOINLINE void F(chunk_range)(int64_t count, const fdl_param *list, F(chunk_fn) *f,
                             const void *options, int64_t begin, int64_t end)
{
    int64_t c = 0; /* number of the parameter's first chunk */
    for (int64_t i = 0; i < count && c < end; i++) {
        int64_t chunks = ceil_div(list[i].n, F(CHUNK)), stop = min64(c + chunks, end);
        for (int64_t j = max64(c, begin); j < stop; j++)
            f(list + i, options, j, (j - c) * F(CHUNK), min64((j - c + 1) * F(CHUNK), list[i].n));
        c += chunks;
    }
}

static int64_t F(count_chunks)(int64_t count, const fdl_param *list)
{
    int64_t chunks = 0;
    for (int64_t i = 0; i < count; i++) chunks += ceil_div(list[i].n, F(CHUNK));
    return chunks;
}

/* `work`: nanoseconds for a value */
static int F(over_chunks)(int64_t count, const fdl_param *list, F(chunk_fn) *f,
                          const void *options, double work, int threads)
{
    int64_t values = 0;
    for (int64_t i = 0; i < count; i++) values += list[i].n;
    SPLIT(fdl_plan(threads, work * values), F(count_chunks)(count, list), 1,
          F(chunk_range)(count, list, f, options, begin, end));
    return FDL_OK;
}

/* The gradient at values i ... of x, of which n are left: negated to maximise, with L2 decay */
INLINE V F(gradient)(const fdl_param *x, const fdl_rule *rule, V p, int64_t i, int64_t n)
{
    V g = LDN((const REAL *)x->g + i, n, 0);
    if (rule->maximize) g = -g;
    if (rule->weight_decay != 0 && !rule->decoupled) /* 0 * inf would be NaN */
        g += p * SPLAT(rule->weight_decay);
    return g;
}
