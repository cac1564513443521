/* reordered.c: GEMM with the two inner loops exchanged.
 *
 * Idea      i k j: row i of C gathers a[i][k] times row k of B; the inner loop walks along rows
 * Removes   the walk down B's columns: loads and stores are contiguous, the compiler vectorises
 * Leaves    C's row is loaded and stored for every k; B streams through the cache for every i
 * Requires  any strides; contiguous rows of B and C to be fast
 * Checked   against naive and NumPy's float64 product
 * Timed     python -m fastdl bench gemm
 */

/* c[j] += x * b[j]: the inner loop of this rung and of `blocked` */
INLINE void F(axpy)(int64_t n, REAL x, const REAL *b, int64_t b_col, REAL *c, int64_t c_col)
{
    const REAL *restrict src = b;
    REAL *restrict dst = c;
    if (b_col == 1 && c_col == 1)
        for (int64_t j = 0; j < n; j++) dst[j] += x * src[j];
    else
        for (int64_t j = 0; j < n; j++) dst[j * c_col] += x * src[j * b_col];
}

static int F(gemm_reordered)(const fdl_gemm *p, int threads)
{
    (void)threads;
    for (int64_t t = 0; t < p->batch; t++) {
        F(product) g = F(product_of)(p, t);
        F(begin)(&g);
        for (int64_t i = 0; i < g.m; i++)                                       /* C[i, :]     */
            for (int64_t k = 0; k < g.k; k++)                                   /* B[k, :]     */
                F(axpy)(g.n, g.a[i * g.a_row + k * g.a_col], g.b + k * g.b_row, g.b_col,
                        g.c + i * g.c_row, g.c_col);
        F(activate)(&g, 0, 0, g.m, g.n);
    }
    return FDL_OK;
}
