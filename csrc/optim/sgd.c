/* sgd.c: one step of stochastic gradient descent, in place.
 *
 *   g = +-grad + weight_decay p      b = momentum b + (1 - dampening) g   (the first time: b = g)
 *   p = p - lr d,   d = g without momentum, b with it, g + momentum b with Nesterov's
 *
 * Idea      the whole step in registers: every array is read and written once
 * Removes   one pass over memory for each of the five operations above
 * Leaves    memory traffic
 * Requires  contiguous arrays that do not overlap; state: b, zeros at first, or NULL without
 *           momentum; rate: 1 - dampening, 1 the first time
 * Checked   20-step trajectories against PyTorch, whose order of operations this is
 * Timed     python -m fastdl bench rows
 */
static void F(sgd_chunk)(const fdl_param *x, const void *options, int64_t c, int64_t begin,
                         int64_t end)
{
    const fdl_rule *rule = options;
    REAL *params = x->p, *buf = x->state[0];
    const REAL lr = rule->lr, momentum = rule->momentum, keep = x->rate[0];
    (void)c;
    for (int64_t i = begin; i < end; i += VL) {
        int64_t n = end - i;
        V p = LDN(params + i, n, 0), d = F(gradient)(x, rule, p, i, n);
        if (buf) {
            V b = LDN(buf + i, n, 0) * SPLAT(momentum) + d * SPLAT(keep);
            STN(buf + i, b, n);
            d = rule->nesterov ? d + b * SPLAT(momentum) : b;
        }
        STN(params + i, p - d * SPLAT(lr), n);
    }
}

static int F(sgd)(int64_t count, const fdl_param *list, const fdl_rule *rule, int threads)
{
    return F(over_chunks)(count, list, F(sgd_chunk), rule, 0.05 * sizeof(REAL), threads);
}
