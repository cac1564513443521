/* tile.inc.c: the body of every micro-kernel. ukernel.c includes it with T, the type of a group of
 * lanes (a vector, or one REAL), TU, its unaligned twin, and the name TILE. */
INLINE void TILE(int h, int w, int64_t kc, const REAL *a, int64_t a_row, int64_t a_col,
                 const REAL *b, int64_t b_row, REAL *c, int64_t c_row, const REAL *s, int64_t s_row)
{
    enum { LANES = sizeof(T) / sizeof(REAL), GROUPS = NV * VL / LANES };
    T sum[MR][GROUPS];
    /* C's lines are under way while the sums are formed; for few k the hints cost more */
    for (int i = 0; i < h && kc >= 64; i++)
        for (int j = 0; j < w * LANES; j += 64 / (int)sizeof(REAL))
            __builtin_prefetch(c + i * c_row + j, 1);
    UNROLL(16) for (int i = 0; i < h; i++)
        UNROLL(4) for (int j = 0; j < w; j++) sum[i][j] = (T){0};
    for (int64_t k = 0; k < kc; k++, a += a_col, b += b_row) {
        T row[GROUPS];                                                          /* B[k, :]      */
        UNROLL(4) for (int j = 0; j < w; j++) row[j] = *(const TU *)(b + j * LANES);
        UNROLL(16) for (int i = 0; i < h; i++)                                  /* A[i, k]      */
            UNROLL(4) for (int j = 0; j < w; j++) sum[i][j] += a[i * a_row] * row[j];
    }
    UNROLL(16) for (int i = 0; i < h; i++, c += c_row) {
        if (s) {
            UNROLL(4) for (int j = 0; j < w; j++) sum[i][j] += *(const TU *)(s + j * LANES);
            s += s_row;
        }
        UNROLL(4) for (int j = 0; j < w; j++) *(TU *)(c + j * LANES) = sum[i][j];
    }
}
