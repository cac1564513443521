/* product.c: one product of a batch with typed pointers, as every GEMM file here takes it.
 *
 *   C[i,j] = f(sum_k A[i,k] B[k,j] + bias[i,j] (+ C[i,j] if accumulate))
 *   A: m x k, B: k x n, C: m x n,   X[i,j] = x[i * x_row + j * x_col]
 *
 * bias has strides too (0, 1 as it comes in), because C^T = B^T A^T turns it on its side.
 */
typedef struct F(product) {
    int64_t m, n, k;
    const REAL *a; int64_t a_row, a_col;
    const REAL *b; int64_t b_row, b_col;
    REAL *c;       int64_t c_row, c_col;
    const REAL *bias; int64_t bias_row, bias_col;           /* bias may be NULL                  */
    int accumulate;
    int activation;                                         /* f                                 */
    REAL *before;                                           /* NULL, or for what f takes: as C   */
} F(product);

INLINE F(product) F(product_of)(const fdl_gemm *p, int64_t batch)
{
    return (F(product)){
        p->m, p->n, p->k,
        (const REAL *)p->a + batch * p->a_batch, p->a_row, p->a_col,
        (const REAL *)p->b + batch * p->b_batch, p->b_row, p->b_col,
        (REAL *)p->c + batch * p->c_batch, p->c_row, p->c_col,
        p->bias, 0, 1, p->accumulate, p->activation,
        p->before ? (REAL *)p->before + batch * p->c_batch : NULL,
    };
}

/* C^T = B^T A^T */
INLINE F(product) F(transposed)(F(product) g)
{
    return (F(product)){
        g.n, g.m, g.k, g.b, g.b_col, g.b_row, g.a, g.a_col, g.a_row, g.c, g.c_col, g.c_row,
        g.bias, g.bias_col, g.bias_row, g.accumulate, g.activation, g.before,
    };
}

/* The product that gives C[i0:i1, j0:j1] */
INLINE F(product) F(part)(F(product) g, int64_t i0, int64_t i1, int64_t j0, int64_t j1)
{
    g.m = i1 - i0;
    g.n = j1 - j0;
    g.a += i0 * g.a_row;
    g.b += j0 * g.b_col;
    g.c += i0 * g.c_row + j0 * g.c_col;
    if (g.bias) g.bias += i0 * g.bias_row + j0 * g.bias_col;
    if (g.before) g.before += i0 * g.c_row + j0 * g.c_col;
    return g;
}

/* C before any product is added to it: bias or 0; with `accumulate` its own values plus bias. */
static void F(begin)(const F(product) *g)
{
    if (g->accumulate && !g->bias) return;
    for (int64_t i = 0; i < g->m; i++)
        for (int64_t j = 0; j < g->n; j++) {
            REAL *out = g->c + i * g->c_row + j * g->c_col;
            REAL bias = g->bias ? g->bias[i * g->bias_row + j * g->bias_col] : 0;
            *out = g->accumulate ? *out + bias : bias;
        }
}

/* ---- the epilogue ---------------------------------------------------------------------------- */

INLINE V F(activated)(const int activation, V x)
{
    if (activation == FDL_RELU) return SEL(x < SPLAT(0), SPLAT(0), x);
    return activation == FDL_GELU ? F(vgelu)(x) : F(vgelu_tanh)(x);
}

/* c = f(c) for rows x cols values, which `before` gets first */
INLINE void F(activate_rows)(const int activation, int64_t rows, int64_t cols, int64_t row,
                             int64_t col, REAL *c, REAL *before)
{
    int64_t lanes = col == 1 ? VL : 1; /* a vector, or one value in one */
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j += lanes) {
            int64_t at = i * row + j * col, count = min64(lanes, cols - j);
            V x = LDN(c + at, count, 0);
            if (before) STN(before + at, x, count);
            STN(c + at, F(activated)(activation, x), count);
        }
}

/* The epilogue of C[i:i+h, j:j+n], which holds all its sums: a pass over values that were written a
 * moment ago and are still in L1. */
NOINLINE void F(activate)(const F(product) *g, int64_t i, int64_t j, int64_t h, int64_t n)
{
    int64_t row = g->c_row, col = g->c_col, at = i * row + j * col;
    REAL *before = g->before ? g->before + at : NULL;
    if (col != 1 && row == 1) { /* C^T has contiguous rows */
        int64_t t = row;
        row = col, col = t;
        t = h, h = n, n = t;
    }
    if (g->activation == FDL_RELU) F(activate_rows)(FDL_RELU, h, n, row, col, g->c + at, before);
    if (g->activation == FDL_GELU) F(activate_rows)(FDL_GELU, h, n, row, col, g->c + at, before);
    if (g->activation == FDL_GELU_TANH)
        F(activate_rows)(FDL_GELU_TANH, h, n, row, col, g->c + at, before);
}

/* What g is while block d of k_blocks is added: the activation waits for the last */
INLINE F(product) F(during)(F(product) g, int64_t d, int64_t k_blocks)
{
    if (d + 1 < k_blocks) g.activation = FDL_IDENTITY;
    return g;
}
