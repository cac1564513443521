/* naive.c: GEMM by its definition; the reference the other rungs are checked against.
 *
 * Idea      three nested loops: one dot product per element of C
 * Removes   nothing: the starting point
 * Leaves    one multiply-add at a time, and b walks down a column: one cache line per element
 * Requires  any strides
 * Checked   against NumPy's float64 product
 * Timed     python -m fastdl bench gemm
 */
static int F(gemm_naive)(const fdl_gemm *p, int threads)
{
    (void)threads;
    for (int64_t t = 0; t < p->batch; t++) {
        const REAL *a = (const REAL *)p->a + t * p->a_batch;
        const REAL *b = (const REAL *)p->b + t * p->b_batch, *bias = p->bias;
        REAL *c = (REAL *)p->c + t * p->c_batch;
        for (int64_t i = 0; i < p->m; i++)
            for (int64_t j = 0; j < p->n; j++) {
                REAL sum = 0;
                for (int64_t k = 0; k < p->k; k++)
                    sum += a[i * p->a_row + k * p->a_col] * b[k * p->b_row + j * p->b_col];
                if (bias) sum += bias[j];
                REAL *out = c + i * p->c_row + j * p->c_col;
                *out = p->accumulate ? *out + sum : sum;
            }
    }
    return FDL_OK;
}
