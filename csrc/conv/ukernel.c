/* ukernel.c: the micro-kernel of implicit.c.
 *
 *   C (mr x nv vectors)  = A^T B + bias    if first, else  C += A^T B
 *
 * A: kc x mr, packed. Row k of B is the nv vectors at b + koff[k]: what gemm/ukernel.c does not do,
 * and what spares convolution its packing. C: rows ldc apart. bias: mr values or NULL. Exists for
 * every height, so that no FMA is spent on padding rows.
 * Registers: mr * nv sums, nv of B, one of A.
 */
#if VBYTES == 64
#define CONV_MR 14     /* 32 registers: 14 x 2 + 2 + 1; few channels 6 x 4 + 4 + 1 */
#define CONV_WIDE 6
#else
#define CONV_MR 6      /* 16 registers:  6 x 2 + 2 + 1; few channels 2 x 4 + 4 + 1 */
#define CONV_WIDE 2
#endif
#define CONV_AHEAD (2048 / (int)sizeof(REAL))
typedef void F(conv_tile_fn)(int64_t kc, const REAL *a, const REAL *b, const int64_t *koff, REAL *c,
                             int64_t ldc, const REAL *bias, int first);

INLINE void F(conv_tile)(const int mr, const int nv, int64_t kc, const REAL *restrict a,
                         const REAL *restrict b, const int64_t *restrict koff, REAL *restrict c,
                         int64_t ldc, const REAL *bias, int first)
{
    V sum[CONV_MR][4];
    UNROLL(16) for (int i = 0; i < mr; i++)
        UNROLL(4) for (int j = 0; j < nv; j++) sum[i][j] = SPLAT(0);
    for (int64_t k = 0; k < kc; k++, a += mr) {
        V row[4];
        const REAL *p = b + koff[k];
        __builtin_prefetch(a + CONV_AHEAD);     /* filters made ready come from far              */
        UNROLL(4) for (int j = 0; j < nv; j++) row[j] = LD(p + j * VL);
        UNROLL(4) for (int j = 0; j < nv; j++)  /* the next tile's, to the last line it meets:   */
            __builtin_prefetch(p + (nv + j + 1) * VL - 1);          /* rows are far apart        */
        UNROLL(16) for (int i = 0; i < mr; i++) {
            const V ai = SPLAT(a[i]);
            UNROLL(4) for (int j = 0; j < nv; j++) sum[i][j] += ai * row[j];
        }
    }
    UNROLL(16) for (int i = 0; i < mr; i++, c += ldc) {
        __asm__ volatile("" : "+r"(c)); /* one pointer that moves: gcc would compute and spill mr */
        UNROLL(4) for (int j = 0; j < nv; j++) {
            if (!first) ST(c + j * VL, LD(c + j * VL) + sum[i][j]);
            else ST(c + j * VL, bias ? sum[i][j] + SPLAT(bias[i]) : sum[i][j]);
        }
    }
}

#define CONV_TILE(mr, nv)                                                                          \
    static void F(conv_tile_##mr##x##nv)(int64_t kc, const REAL *a, const REAL *b,                 \
                                         const int64_t *koff, REAL *c, int64_t ldc,                \
                                         const REAL *bias, int first)                              \
    {                                                                                              \
        F(conv_tile)(mr, nv, kc, a, b, koff, c, ldc, bias, first);                                 \
    }
#define CONV_TILES_1(nv) CONV_TILE(1, nv) CONV_TILE(2, nv)
#define CONV_TILES_3(nv) CONV_TILE(3, nv) CONV_TILE(4, nv) CONV_TILE(5, nv) CONV_TILE(6, nv)
#define CONV_TILES_7(nv)                                                                           \
    CONV_TILE(7, nv) CONV_TILE(8, nv) CONV_TILE(9, nv) CONV_TILE(10, nv)                           \
    CONV_TILE(11, nv) CONV_TILE(12, nv) CONV_TILE(13, nv) CONV_TILE(14, nv)
CONV_TILES_1(1) CONV_TILES_1(2) CONV_TILES_1(4) CONV_TILES_3(1) CONV_TILES_3(2)
#if CONV_MR == 14
CONV_TILES_3(4) CONV_TILES_7(1) CONV_TILES_7(2)
#endif
#undef CONV_TILES_1
#undef CONV_TILES_3
#undef CONV_TILES_7
#undef CONV_TILE

/* [vectors][rows] */
#define T(mr, nv) F(conv_tile_##mr##x##nv)
#define ROWS_1(nv) 0, T(1, nv), T(2, nv)
#define ROWS_3(nv) T(3, nv), T(4, nv), T(5, nv), T(6, nv)
#define ROWS_7(nv)                                                                                 \
    T(7, nv), T(8, nv), T(9, nv), T(10, nv), T(11, nv), T(12, nv), T(13, nv), T(14, nv)
static F(conv_tile_fn) *const F(conv_tiles)[5][CONV_MR + 1] = {
#if CONV_MR == 14
    [1] = {ROWS_1(1), ROWS_3(1), ROWS_7(1)},
    [2] = {ROWS_1(2), ROWS_3(2), ROWS_7(2)},
    [4] = {ROWS_1(4), ROWS_3(4)},
#else
    [1] = {ROWS_1(1), ROWS_3(1)},
    [2] = {ROWS_1(2), ROWS_3(2)},
    [4] = {ROWS_1(4)},
#endif
};
#undef T
#undef ROWS_1
#undef ROWS_3
#undef ROWS_7
