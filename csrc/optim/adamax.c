/* adamax.c: one step of Adamax (Kingma & Ba 2015, section 7), in place.
 *
 *   g = +-grad + weight_decay p      m = m + (1 - beta1) (g - m)
 *   u = max(beta2 u, |g| + eps)      p = p - a m / u
 *
 * Idea      the whole step in registers: every array is read and written once
 * Removes   one pass over memory for each of the operations above
 * Leaves    memory traffic; a quotient for every value
 * Requires  contiguous arrays that do not overlap; state: m, u; rate: a = lr / (1 - beta1^t)
 * Checked   20-step trajectories against PyTorch
 * Timed     python bench/versus.py optimizers
 */
static void F(adamax_chunk)(const fdl_param *x, const void *options, int64_t c, int64_t begin,
                            int64_t end)
{
    const fdl_rule *rule = options;
    REAL *params = x->p, *m = x->state[0], *u = x->state[1];
    const REAL one_minus_beta1 = 1 - rule->beta1, beta2 = rule->beta2, eps = rule->eps;
    const REAL a = x->rate[0];
    (void)c;
    for (int64_t i = begin; i < end; i += VL) {
        int64_t n = end - i;
        V p = LDN(params + i, n, 0), g = F(gradient)(x, rule, p, i, n);
        V mean = LDN(m + i, n, 0), size = SEL(g < SPLAT(0), -g, g) + SPLAT(eps);
        V most = LDN(u + i, n, 0) * SPLAT(beta2);
        mean += (g - mean) * SPLAT(one_minus_beta1);
        most = SEL((most > size) | (most != most), most, size); /* a NaN in either stays */
        STN(m + i, mean, n);
        STN(u + i, most, n);
        STN(params + i, p - mean * SPLAT(a) / most, n);
    }
}

static int F(adamax)(int64_t count, const fdl_param *list, const fdl_rule *rule, int threads)
{
    return F(over_chunks)(count, list, F(adamax_chunk), rule, 0.1 * sizeof(REAL), threads);
}
