/* small.c: products that cannot pay for packing: few rows or columns (a layer's batch of 1, its 10
 * classes, a vector), or everything small. All paths read the operands where they lie.
 *
 * Idea      direct: the micro-kernel on A and B themselves, if rows of B are contiguous; a panel of
 *           B that ends inside a vector is packed, and each one where columns are contiguous
 *           row_times_matrix: m = 1, eight rows of B at a time stream into C
 *           dot: if k is contiguous in both operands, vectors run along k: h x w sums of vectors,
 *           each summed over its lanes at the end
 * Removes   the copy of an operand that is used once or twice; lanes without work where n < VL
 * Leaves    strides as long as the rows of B: large products belong to the packed driver
 * Requires  direct: b_col = 1 or b_row = 1.  row_times_matrix: b_col = 1.
 *           dot: a_col = b_row = 1, k >= VL
 * Checked   against NumPy's float64 at tile edges; the same bits for 1, 2, 3 and 7 threads
 * Timed     python -m fastdl bench gemm
 */

/* k in blocks of at most kc_most: how many rows of B are in flight at once */
static int F(direct)(const F(product) *g, int64_t kc_most)
{
    int64_t rows = ceil_div(g->m, MR), vectors = ceil_div(g->n, VL), panels = ceil_div(vectors, NV);
    int64_t k_blocks = ceil_div(g->k, kc_most), longest = ceil_div(g->k, k_blocks);
    /* A last panel that ends inside a vector begins some columns earlier, which are then formed
     * twice, and equal: if nothing is added to what stands in C. Else it is packed. */
    const int64_t missing = vectors * VL - g->n;
    const int twice = panels > 0 && g->b_col == 1 && k_blocks == 1 && !g->accumulate &&
                      F(cut)(vectors, panels, panels - 1) * VL >= missing;
    REAL *packed = NULL;                                        /* one panel of B               */
    if ((missing && !twice) || g->b_col != 1) {
        packed = fdl_scratch(FDL_SCRATCH_GEMM_B, (size_t)longest * NV * VL * sizeof(REAL));
        if (!packed) return FDL_NOMEM;
    }
    for (int64_t d = 0; d < k_blocks; d++) {                                    /* pc           */
        int64_t pc = F(cut)(g->k, k_blocks, d), kc = F(cut)(g->k, k_blocks, d + 1) - pc;
        F(product) block = F(during)(*g, d, k_blocks);
        for (int64_t q = 0; q < panels; q++) {                                  /* jr           */
            int64_t j = F(cut)(vectors, panels, q) * VL, b_row = g->b_row;
            int64_t n = min64(F(cut)(vectors, panels, q + 1) * VL, g->n) - j;
            if (twice && q + 1 == panels) {
                j -= missing;
                n += missing;
            }
            const REAL *b = g->b + pc * g->b_row + j * g->b_col;                /* B[pc:, j:]   */
            if (n % VL || g->b_col != 1) {
                F(pack_b)(kc, n, b, g->b_row, g->b_col, packed);
                b = packed;
                b_row = ceil_div(n, VL) * VL;
            }
            for (int64_t p = 0; p < rows; p++) {                                /* ir           */
                int64_t i = F(cut)(g->m, rows, p), h = F(cut)(g->m, rows, p + 1) - i;
                F(put_tile)(&block, i, j, (int)h, (int)n, d == 0, F(tile_simd), kc,
                            g->a + i * g->a_row + pc * g->a_col, g->a_row, g->a_col, b, b_row);
            }
        }
    }
    return FDL_OK;
}

/* c[j] += sum of x[k] B[k, j] over `count` rows, which stream by side by side */
INLINE void F(add_rows)(int count, int64_t n, const REAL *x, int64_t x_step, const REAL *b,
                        int64_t b_row, REAL *c)
{
    int64_t j = 0;
    for (; j + VL <= n; j += VL) {
        V sum = LD(c + j);
        UNROLL(8) for (int k = 0; k < count; k++) sum += x[k * x_step] * LD(b + k * b_row + j);
        ST(c + j, sum);
    }
    for (; j < n; j++) {
        REAL sum = c[j];
        UNROLL(8) for (int k = 0; k < count; k++) sum += x[k * x_step] * b[k * b_row + j];
        c[j] = sum;
    }
}

/* m = 1 */
static int F(row_times_matrix)(const F(product) *g, int64_t kc_most)
{
    (void)kc_most;
    F(begin)(g);
    int64_t k = 0;
    for (; k + 8 <= g->k; k += 8)
        F(add_rows)(8, g->n, g->a + k * g->a_col, g->a_col, g->b + k * g->b_row, g->b_row, g->c);
    for (; k < g->k; k++)
        F(add_rows)(1, g->n, g->a + k * g->a_col, g->a_col, g->b + k * g->b_row, g->b_row, g->c);
    F(activate)(g, 0, 0, 1, g->n);
    return FDL_OK;
}

/* The sums over the lanes of MR vectors: log2(VL) times, neighbouring lanes are added */
INLINE void F(sum_lanes)(V *v, REAL *sums)
{
    int count = MR;
    UNROLL(8) for (int lanes = VL; lanes > 1; lanes /= 2)
        if (count > 1) {
            count /= 2;
            UNROLL(8) for (int i = 0; i < count; i++)
                v[i] = EVEN(v[2 * i], v[2 * i + 1]) + ODD(v[2 * i], v[2 * i + 1]);
        } else {
            v[0] = EVEN(v[0], v[0]) + ODD(v[0], v[0]);
        }
    UNROLL(8) for (int i = 0; i < count; i++) ST(sums + i * VL, v[i]);
}

/* C[i:i+h, j:j+w] = bias or C itself, plus the lanes of sum[j][i], in a function of its own: it
 * comes once a tile. */
NOINLINE void F(dot_end)(int h, int w, V sum[][MR], const F(product) *g, int64_t i, int64_t j)
{
    for (int q = 0; q < w; q++) {
        REAL sums[MR > VL ? MR : VL];
        F(sum_lanes)(sum[q], sums);
        REAL *c = g->c + i * g->c_row + (j + q) * g->c_col;
        const REAL *s = g->accumulate ? c : NULL;
        int64_t s_row = g->c_row;
        if (g->bias && !s) {
            s_row = g->bias_row;
            s = g->bias + i * s_row + (j + q) * g->bias_col;
        }
        for (int r = 0; r < h; r++) c[r * g->c_row] = s ? s[r * s_row] + sums[r] : sums[r];
    }
}

/* C[i:i+h, j:j+w] += A[i:, :] B[:, j:], k in vectors. The last vector ends where k does; its lanes
 * that were counted before are cleared. */
INLINE void F(dot_tile)(int h, int w, const F(product) *g, int64_t i, int64_t j)
{
    const REAL *a = g->a + i * g->a_row, *b = g->b + j * g->b_col;
    V sum[NV][MR], col[NV];
    VI lane;
    UNROLL(4) for (int q = 0; q < NV; q++)
        UNROLL(8) for (int r = 0; r < MR; r++) sum[q][r] = (V){0};
    UNROLL(16) for (int l = 0; l < VL; l++) lane[l] = l;
    int64_t k = 0;
    for (; k + VL <= g->k; k += VL) {                                           /* A[i:, k:k+VL] */
        UNROLL(4) for (int q = 0; q < w; q++) col[q] = LD(b + q * g->b_col + k);
        UNROLL(8) for (int r = 0; r < h; r++) {
            V row = LD(a + r * g->a_row + k);
            KEEP(row);
            UNROLL(4) for (int q = 0; q < w; q++) sum[q][r] += row * col[q];
        }
    }
    if (k < g->k) {
        VI fresh = lane >= (INT)(k + VL - g->k);
        k = g->k - VL;
        UNROLL(4) for (int q = 0; q < w; q++) col[q] = SEL(fresh, LD(b + q * g->b_col + k), (V){0});
        UNROLL(8) for (int r = 0; r < h; r++) {
            V row = SEL(fresh, LD(a + r * g->a_row + k), (V){0});
            UNROLL(4) for (int q = 0; q < w; q++) sum[q][r] += row * col[q];
        }
    }
    F(dot_end)(h, w, sum, g, i, j);
}

#define DOT_HEIGHT(h)                                                                              \
    static void F(dot_##h)(int w, const F(product) *g, int64_t i, int64_t j)                       \
    {                                                                                              \
        if (w == 1) F(dot_tile)(h, 1, g, i, j);                                                    \
        else if (w == 2) F(dot_tile)(h, 2, g, i, j);                                               \
        else F(dot_tile)(h, NV, g, i, j);                                                          \
    }
DOT_HEIGHT(1)
DOT_HEIGHT(2)
DOT_HEIGHT(3)
DOT_HEIGHT(4)
#if MR > 4
DOT_HEIGHT(5)
DOT_HEIGHT(6)
DOT_HEIGHT(7)
DOT_HEIGHT(8)
#endif
#undef DOT_HEIGHT

/* A is the larger operand: its rows stream by once, B's few columns stay in the cache. */
static int F(dot)(const F(product) *g, int64_t kc_most)
{
    (void)kc_most;
    static void (*const tiles[])(int, const F(product) *, int64_t, int64_t) = {
        F(dot_1), F(dot_2), F(dot_3), F(dot_4),
#if MR > 4
        F(dot_5), F(dot_6), F(dot_7), F(dot_8),
#endif
    };
    int64_t rows = ceil_div(g->m, MR), cols = ceil_div(g->n, NV);
    for (int64_t p = 0; p < rows; p++) {
        int64_t i = F(cut)(g->m, rows, p), h = F(cut)(g->m, rows, p + 1) - i;
        for (int64_t q = 0; q < cols; q++) {
            int64_t j = F(cut)(g->n, cols, q);
            tiles[h - 1]((int)(F(cut)(g->n, cols, q + 1) - j), g, i, j);
        }
        F(activate)(g, i, 0, h, g->n);
    }
    return FDL_OK;
}

/* ---- which path, and on how many threads ----------------------------------------------------- */

typedef int F(small_fn)(const F(product) *g, int64_t kc_most);

#ifndef FEW
#define FEW 16                              /* so few rows or columns do not pay for a copy    */
#define NEAR (4 << 20)                      /* bytes of A and B that need no copy to be close  */
#define FEW_BLOCKS 4                        /* so few MC of rows use a panel of B too seldom to
                                               pay for a copy of it in memory: 4 to 13 % faster
                                               with 128 to 384 rows, slower with 1000 (measured) */
#endif

/* B's columns, copied so that each is contiguous; NULL: no memory */
static const REAL *F(contiguous_columns)(const F(product) *g)
{
    REAL *to = fdl_scratch(FDL_SCRATCH_GEMM_B, (size_t)(g->n * g->k) * sizeof(REAL));
    for (int64_t j = 0; j < g->n && to; j++)
        for (int64_t k = 0; k < g->k; k++)
            to[j * g->k + k] = g->b[k * g->b_row + j * g->b_col];
    return to;
}

/* The path for g, which may come back turned (C^T = B^T A^T) and with its smaller operand copied;
 * NULL: packing pays. Decided by shape and strides alone. *status: FDL_NOMEM if the copy failed. */
static F(small_fn) *F(small_path)(F(product) *g, int *status)
{
    F(product) turned = F(transposed)(*g);
    int few_rows = g->m <= FEW && g->m <= g->n;
    F(product) tall = few_rows ? turned : *g;               /* A is the larger operand           */
    int full_lanes = g->b_col == 1 && g->n >= VL;
    *status = FDL_OK;
    if (tall.n <= FEW && tall.a_col == 1 && !full_lanes && g->k >= 4 * VL) {
        *g = tall;
        if (g->b_row != 1) {
            g->b = F(contiguous_columns)(g);
            g->b_row = 1, g->b_col = g->k;
            if (!g->b) *status = FDL_NOMEM;
        }
        return F(dot);
    }
    if (turned.b_col == 1 && g->n < g->m && g->n <= (g->b_col == 1 ? FEW : MC)) *g = turned;
    if ((g->b_col != 1 && g->b_row != 1) || (g->a_row != 1 && g->a_col != 1)) return NULL;
    if (g->m == 1 && g->c_col == 1 && g->b_col == 1) return F(row_times_matrix);
    double bytes = (double)(g->m + g->n) * (double)g->k * sizeof(REAL);
    return g->m <= FEW_BLOCKS * MC || g->n <= NV * VL || bytes <= NEAR ? F(direct) : NULL;
}

typedef struct F(pieces) {
    F(product) g;
    F(small_fn) *path;
    int64_t kc_most;                        /* rows of B in flight at once                     */
    int failed;
} F(pieces);

/* Thread `me` computes its share of the longer side of C: rows or whole vectors, not whole tiles,
 * whose number seldom divides evenly; a share is dealt to tiles evenly in turn */
static void F(piece)(F(pieces) *all, int me, int threads)
{
    const F(product) *g = &all->g;
    int by_rows = g->m > g->n;
    int64_t unit = by_rows ? 1 : VL, end = by_rows ? g->m : g->n, units = ceil_div(end, unit);
    int64_t from = F(cut)(units, threads, me) * unit;
    int64_t to = min64(F(cut)(units, threads, me + 1) * unit, end);
    F(product) mine = by_rows ? F(part)(*g, from, to, 0, g->n) : F(part)(*g, 0, g->m, from, to);
    if (from < to && all->path(&mine, all->kc_most) != FDL_OK)
        __atomic_store_n(&all->failed, 1, __ATOMIC_RELAXED);
}

static void F(piece_member)(F(pieces) *all)
{
    F(piece)(all, omp_get_thread_num(), omp_get_num_threads());
}

static int F(small_product)(F(product) g, F(small_fn) *path, int threads)
{
    /* With few rows of A little is done with each row of B, and short columns let B stream by. Set
     * for the whole product: a thread's piece must not choose its own. */
    F(pieces) all = {g, path, g.m <= 4 ? 8 * g.m : KC, 0};
    if (threads > 1) {
        OMP(parallel num_threads(threads))
        F(piece_member)(&all);
    } else {
        F(piece)(&all, 0, 1);
    }
    return all.failed ? FDL_NOMEM : FDL_OK;
}
