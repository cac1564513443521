/* blocked.c: GEMM with cache blocking, operands where they lie.
 *
 * Idea      a block of B, BLOCK_K x BLOCK_N, serves every row of C before the next one is touched
 * Removes   the repeated trips to memory: the block stays in L2, the piece of C's row in L1
 * Leaves    C is still loaded and stored for every k; a block's rows lie far apart, so TLB entries
 *           and cache sets are few
 * Requires  any strides; contiguous rows of B and C to be fast
 * Checked   against naive and NumPy's float64 product
 * Timed     python -m fastdl bench gemm
 */
#ifndef BLOCK_K
#define BLOCK_K 64
#define BLOCK_N 512
#endif

static int F(gemm_blocked)(const fdl_gemm *p, int threads)
{
    (void)threads;
    for (int64_t t = 0; t < p->batch; t++) {
        F(product) g = F(product_of)(p, t);
        F(begin)(&g);
        for (int64_t jc = 0; jc < g.n; jc += BLOCK_N)                           /* C[:, jc:]    */
            for (int64_t pc = 0; pc < g.k; pc += BLOCK_K) {                     /* B[pc:, jc:]  */
                int64_t nc = min64(BLOCK_N, g.n - jc), kc = min64(BLOCK_K, g.k - pc);
                for (int64_t i = 0; i < g.m; i++)                               /* C[i, jc:]    */
                    for (int64_t k = pc; k < pc + kc; k++)                      /* B[k, jc:]    */
                        F(axpy)(nc, g.a[i * g.a_row + k * g.a_col],
                                g.b + k * g.b_row + jc * g.b_col, g.b_col,
                                g.c + i * g.c_row + jc * g.c_col, g.c_col);
            }
        F(activate)(&g, 0, 0, g.m, g.n);
    }
    return FDL_OK;
}
