/* lanes.c: a batch of tiny products, one in every lane.
 *
 * Idea      a 4 x 4 product cannot fill a vector, but VL of them can: element (i, k) of VL matrices
 *           makes a vector, and the three loops of the definition run on vectors. Matrices lie in
 *           memory one after the other; VL x VL squares of them, turned in registers, are what is
 *           needed:
 *
 *             product 0:  a00 a01 a02 ...            vector 0:  a00 of products 0, 1, 2, ...
 *             product 1:  a00 a01 a02 ...    <->     vector 1:  a01 of products 0, 1, 2, ...
 *             product 2:  a00 a01 a02 ...            vector 2:  a02 ...
 *
 * Removes   tiles that end inside a vector, and a call per product
 * Leaves    three turns per product, too many from about 10 x 10 elements on
 * Requires  matrices without gaps, in row or column order; any strides between them
 * Checked   against NumPy's float64; the same bits for 1, 2, 3 and 7 threads
 * Timed     python bench/versus.py gemm
 */
#define LANES_MOST 100 /* elements of a matrix */

/* Are the elements of an m x n matrix those of a block of m * n, in some order? */
INLINE int F(without_gaps)(int64_t m, int64_t n, int64_t row, int64_t col)
{
    return ((row == n || m == 1) && (col == 1 || n == 1)) ||
           ((row == 1 || m == 1) && (col == m || n == 1));
}

static int F(fits_in_lanes)(const fdl_gemm *p)
{
    int64_t most = max64(max64(p->m * p->k, p->k * p->n), p->m * p->n);
    return p->batch >= VL / 2 && p->k > 0 && most <= LANES_MOST &&
           F(without_gaps)(p->m, p->k, p->a_row, p->a_col) &&
           F(without_gaps)(p->k, p->n, p->b_row, p->b_col) &&
           F(without_gaps)(p->m, p->n, p->c_row, p->c_col);
}

/* w elements of a row of C: c[j] = s[j] + sum over k of a[k] b[k, j] */
INLINE void F(lanes_sums)(int w, const fdl_gemm *p, const V *a, const V *b, V *c, const V *s)
{
    V sum[4];
    UNROLL(4) for (int j = 0; j < w; j++) sum[j] = s[j];
    for (int64_t k = 0; k < p->k; k++, a += p->a_col, b += p->b_row)
        UNROLL(4) for (int j = 0; j < w; j++) sum[j] += *a * b[j * p->b_col];
    UNROLL(4) for (int j = 0; j < w; j++) c[j * p->c_col] = sum[j];
}

typedef void F(lanes_fn)(const fdl_gemm *p, const V *a, const V *b, V *c, const V *s);
#define LANES_WIDTH(w)                                                                             \
    static void F(lanes_sums_##w)(const fdl_gemm *p, const V *a, const V *b, V *c, const V *s)     \
    {                                                                                              \
        F(lanes_sums)(w, p, a, b, c, s);                                                           \
    }
LANES_WIDTH(1)
LANES_WIDTH(2)
LANES_WIDTH(3)
LANES_WIDTH(4)
#undef LANES_WIDTH

/* Products [begin, begin + count), count <= VL */
static void F(products_in_lanes)(const fdl_gemm *p, int64_t begin, int64_t count)
{
    static F(lanes_fn) *const sums[] = {F(lanes_sums_1), F(lanes_sums_2), F(lanes_sums_3),
                                        F(lanes_sums_4)};
    V a[LANES_MOST + VL], b[LANES_MOST + VL], c[LANES_MOST + VL], start[4];
    REAL *out = (REAL *)p->c + begin * p->c_batch;
    F(load_lanes)(count, p->m * p->k, (const REAL *)p->a + begin * p->a_batch, p->a_batch, a);
    F(load_lanes)(count, p->k * p->n, (const REAL *)p->b + begin * p->b_batch, p->b_batch, b);
    if (p->accumulate) F(load_lanes)(count, p->m * p->n, out, p->c_batch, c);
    for (int64_t i = 0; i < p->m; i++)
        for (int64_t j = 0; j < p->n; j += 4) {
            const V *row = a + i * p->a_row, *col = b + j * p->b_col;
            V *to = c + i * p->c_row + j * p->c_col;
            int w = (int)min64(4, p->n - j);
            for (int q = 0; q < w; q++) {
                start[q] = p->accumulate ? to[q * p->c_col] : SPLAT(0);
                if (p->bias) start[q] += ((const REAL *)p->bias)[j + q];
            }
            sums[w - 1](p, row, col, to, start);
        }
    F(store_lanes)(count, p->m * p->n, c, out, p->c_batch);
    for (int64_t t = begin; t < begin + count && p->activation != FDL_IDENTITY; t++) {
        F(product) g = F(product_of)(p, t);
        F(activate)(&g, 0, 0, g.m, g.n);
    }
}

static void F(batch_in_lanes)(const fdl_gemm *p, int64_t begin, int64_t end)
{
    for (int64_t t = begin; t < end; t += VL) F(products_in_lanes)(p, t, min64(VL, end - t));
}
#undef LANES_MOST
