/* adam.c: one step of Adam (Kingma & Ba 2015) or of a relative, in place: AdamW (Loshchilov &
 * Hutter 2019), AMSGrad (Reddi et al. 2018), NAdam (Dozat 2016), RAdam (Liu et al. 2020).
 *
 *   g = +-grad + weight_decay p; decoupled (AdamW): g = +-grad, p = p (1 - lr weight_decay)
 *   m = beta1 m + (1 - beta1) g
 *   v = beta2 v + (1 - beta2) g^2;  AMSGrad: u = max(u, v), and u in v's place below
 *   p = p - (a m + b g) / (r sqrt(v) + e)
 *
 * The relatives differ in the scalars a, b, r, e, which the caller makes of the step's number t:
 *
 *            a                                   b                        r              e
 *   Adam     lr / (1 - beta1^t)                  0                        1/sqrt(1-b2^t) eps
 *   NAdam    lr mu' / (1 - mu_1 ... mu_t mu')    lr (1-mu)/(1-mu_1...mu_t)  the same     eps
 *   RAdam    lr rect sqrt(1-b2^t) / (1 - b1^t)   0                        1              eps
 *   RAdam, while the variance is unknown: lr / (1 - b1^t), 0, 0, 1
 *
 * Idea      the whole step in registers: every array is read and written once
 * Removes   one pass over memory for each of the dozen operations above
 * Leaves    memory traffic: four reads, three writes; a root and a quotient for every value
 * Requires  contiguous arrays that do not overlap; state: m, v, u or NULL; rate: a, b, r, e
 * Checked   20-step trajectories against PyTorch, whose order of operations this is
 * Timed     python -m fastdl bench rows
 */
static void F(adam_chunk)(const fdl_param *x, const void *options, int64_t c, int64_t begin,
                          int64_t end)
{
    const fdl_rule *rule = options;
    REAL *params = x->p, *m = x->state[0], *v = x->state[1], *v_max = x->state[2];
    const REAL beta1 = rule->beta1, one_minus_beta1 = 1 - rule->beta1;
    const REAL beta2 = rule->beta2, one_minus_beta2 = 1 - rule->beta2;
    const REAL shrink = rule->decoupled ? 1 - rule->lr * rule->weight_decay : 1;
    const REAL a = x->rate[0], b = x->rate[1], r = x->rate[2], e = x->rate[3];
    (void)c;
    for (int64_t i = begin; i < end; i += VL) {
        int64_t n = end - i;
        V p = LDN(params + i, n, 0) * SPLAT(shrink), g = F(gradient)(x, rule, p, i, n);
        V m_new = LDN(m + i, n, 0);
        m_new = beta1 > (REAL)0.5 ? m_new + (g - m_new) * SPLAT(one_minus_beta1)
                                  : g - (g - m_new) * SPLAT(beta1);
        V v_new = LDN(v + i, n, 0) * SPLAT(beta2) + g * SPLAT(one_minus_beta2) * g;
        STN(m + i, m_new, n);
        STN(v + i, v_new, n);
        if (v_max) {
            V old = LDN(v_max + i, n, 0);
            v_new = SEL((old > v_new) | (old != old), old, v_new); /* a NaN in either stays */
            STN(v_max + i, v_new, n);
        }
        V top = m_new * SPLAT(a);
        if (b != 0) top += g * SPLAT(b);
        STN(params + i, p - top / (VSQRT(v_new) * SPLAT(r) + SPLAT(e)), n);
    }
}

static int F(adam)(int64_t count, const fdl_param *list, const fdl_rule *rule, int threads)
{
    return F(over_chunks)(count, list, F(adam_chunk), rule, 0.12 * sizeof(REAL), threads);
}
