/* naive.c: GEMM by its definition; the reference the other rungs are checked against.
 *
 * Idea      three nested loops: one dot product per element of C
 * Removes   nothing: the starting point
 * Leaves    no vector registers, and b walks down a column: one cache line per element
 * Requires  any strides
 * Checked   against NumPy's float64 product
 * Timed     python -m fastdl bench gemm
 */
static int F(gemm_naive)(const fdl_gemm *p, int threads)
{
    (void)threads;
    for (int64_t t = 0; t < p->batch; t++) {
        F(product) g = F(product_of)(p, t);
        F(begin)(&g);
        for (int64_t i = 0; i < g.m; i++)
            for (int64_t j = 0; j < g.n; j++) {
                const REAL *a = g.a + i * g.a_row, *b = g.b + j * g.b_col;
                REAL sum = 0;
                for (int64_t k = 0; k < g.k; k++) sum += a[k * g.a_col] * b[k * g.b_row];
                g.c[i * g.c_row + j * g.c_col] += sum;
            }
        F(activate)(&g, 0, 0, g.m, g.n);
    }
    return FDL_OK;
}
