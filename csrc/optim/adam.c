/* adam.c: one step of Adam (Kingma & Ba 2015), in place; AdamW's weight decay (Loshchilov & Hutter
 * 2019) and AMSGrad (Reddi et al. 2018) on request.
 *
 *   g = +-grad + weight_decay p; decoupled (AdamW): g = +-grad, p = p (1 - lr weight_decay)
 *   m = beta1 m + (1 - beta1) g
 *   v = beta2 v + (1 - beta2) g^2;  AMSGrad: u = max(u, v), and u in v's place below
 *   p = p - lr / bias_correction1  m / (sqrt(v) / sqrt(bias_correction2) + eps)
 *
 * Idea      the whole step in registers: every array is read and written once
 * Removes   one pass over memory for each of the dozen operations above
 * Leaves    memory traffic: four reads, three writes
 * Requires  contiguous arrays that do not overlap
 * Checked   20-step trajectories against PyTorch, whose order of operations this is
 * Timed     python -m fastdl bench rows
 */
NOINLINE void F(adam_range)(REAL *p, const REAL *g, REAL *m, REAL *v, REAL *v_max, REAL sign,
                            REAL shrink, REAL l2, REAL beta1, REAL one_minus_beta1, REAL beta2,
                            REAL one_minus_beta2, REAL eps, REAL step_size, REAL root_bc2,
                            int64_t begin, int64_t end)
{
    for (int64_t i = begin; i < end; i += VL) {
        int64_t n = end - i;
        V x = LDN(p + i, n, 0) * SPLAT(shrink), d = LDN(g + i, n, 0) * SPLAT(sign),
          m_old = LDN(m + i, n, 0);
        if (l2 != 0) d += x * SPLAT(l2); /* 0 * inf would be NaN */
        V m_new = beta1 > (REAL)0.5 ? m_old + (d - m_old) * SPLAT(one_minus_beta1)
                                    : d - (d - m_old) * SPLAT(beta1);
        V v_new = LDN(v + i, n, 0) * SPLAT(beta2) + d * SPLAT(one_minus_beta2) * d;
        STN(m + i, m_new, n);
        STN(v + i, v_new, n);
        if (v_max) {
            V old = LDN(v_max + i, n, 0);
            v_new = SEL((old > v_new) | (old != old), old, v_new); /* a NaN in either stays */
            STN(v_max + i, v_new, n);
        }
        STN(p + i, x - m_new * SPLAT(step_size) / (VSQRT(v_new) / SPLAT(root_bc2) + SPLAT(eps)), n);
    }
}

static int F(adam)(int64_t n, void *p, const void *g, void *exp_avg, void *exp_avg_sq,
                   void *max_exp_avg_sq, double lr, double beta1, double beta2, double eps,
                   double weight_decay, int decoupled, double bias_correction1,
                   double bias_correction2, int maximize, int threads)
{
    REAL shrink = decoupled ? 1 - lr * weight_decay : 1, l2 = decoupled ? 0 : weight_decay;
    SPLIT(fdl_plan(threads, 0.12 * sizeof(REAL) * n), n, 1024,
          F(adam_range)(p, g, exp_avg, exp_avg_sq, max_exp_avg_sq, maximize ? -1 : 1, shrink, l2,
                        beta1, 1 - beta1, beta2, 1 - beta2, eps, lr / bias_correction1,
                        sqrt(bias_correction2), begin, end));
    return FDL_OK;
}
