/* rmsprop.c: one step of RMSprop (Tieleman & Hinton 2012), in place; centered (Graves 2013) and
 * with momentum on request.
 *
 *   g = +-grad + weight_decay p
 *   v = alpha v + (1 - alpha) g^2;   centered: m = m + (1 - alpha) (g - m), s = v - m^2, else s = v
 *   d = g / (sqrt(s) + eps);         momentum: b = momentum b + d, d = b
 *   p = p - lr d
 *
 * Idea      the whole step in registers: every array is read and written once
 * Removes   one pass over memory for each of the operations above
 * Leaves    memory traffic; a root and a quotient for every value
 * Requires  contiguous arrays that do not overlap; state: v, b or NULL, m or NULL; alpha is the
 *           rule's beta2
 * Checked   20-step trajectories against PyTorch
 * Timed     python bench/versus.py optimizers
 */
static void F(rmsprop_chunk)(const fdl_param *x, const void *options, int64_t c, int64_t begin,
                             int64_t end)
{
    const fdl_rule *rule = options;
    REAL *params = x->p, *v = x->state[0], *buf = x->state[1], *m = x->state[2];
    const REAL alpha = rule->beta2, one_minus_alpha = 1 - rule->beta2, lr = rule->lr;
    const REAL momentum = rule->momentum, eps = rule->eps;
    (void)c;
    for (int64_t i = begin; i < end; i += VL) {
        int64_t n = end - i;
        V p = LDN(params + i, n, 0), g = F(gradient)(x, rule, p, i, n);
        V s = LDN(v + i, n, 0) * SPLAT(alpha) + g * SPLAT(one_minus_alpha) * g;
        STN(v + i, s, n);
        if (m) {
            V mean = LDN(m + i, n, 0);
            mean += (g - mean) * SPLAT(one_minus_alpha);
            STN(m + i, mean, n);
            s -= mean * mean;
        }
        V d = g / (VSQRT(s) + SPLAT(eps));
        if (buf) {
            d += LDN(buf + i, n, 0) * SPLAT(momentum);
            STN(buf + i, d, n);
        }
        STN(params + i, p - d * SPLAT(lr), n);
    }
}

static int F(rmsprop)(int64_t count, const fdl_param *list, const fdl_rule *rule, int threads)
{
    return F(over_chunks)(count, list, F(rmsprop_chunk), rule, 0.1 * sizeof(REAL), threads);
}
