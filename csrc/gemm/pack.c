/* pack.c: copies of A's and B's blocks in the order in which the micro-kernel reads them.
 *
 * Idea      a block of B becomes panels of up to NV vectors of columns, k by k; a block of A panels
 *           of up to MR rows, k by k. (Rows of A that are contiguous need no copy: the micro-kernel
 *           takes one number from each of MR rows, which are MR streams. A copy was 1 to 7 % slower
 *           for 1000 to 2048 rows, the most where few columns follow)
 *
 *             B: kc x nc                     packed, shown for 2 vectors of 4 lanes a panel
 *               +---------+---------+---+      panel 0:  b[0,0..7]  b[1,0..7]  ...  b[kc-1,0..7]
 *               | panel 0 | panel 1 | 2 |      panel 1:  b[0,8..15] ...
 *               +---------+---------+---+      panel 2:  padded with zeros to whole vectors
 *
 *             A: mc x kc                     packed
 *               +------------------+           panel 0:  a[0..7,0]   a[0..7,1]   ...
 *               | panel 0          |           panel 1:  a[8..15,0]  ...
 *               | panel 1          |
 *               +------------------+
 *
 * Removes   long strides: TLB misses, cache-set conflicts, transposed operands
 * Leaves    a copy of A per task and one of B: little beside m n k FMAs unless m or n is small
 * Requires  any strides. Panels are dealt evenly: heights differ by at most a row, widths a vector
 * Checked   with the driver, at tile edges and for any strides
 * Timed     python -m fastdl bench gemm
 */

/* Where part i of n things dealt evenly to `parts` begins */
INLINE int64_t F(cut)(int64_t n, int64_t parts, int64_t i)
{
    return n / parts * i + min64(i, n % parts);
}

/* A[0:h, 0:kc], one panel: columns of h */
static void F(pack_a)(int64_t h, int64_t kc, const REAL *a, int64_t a_row, int64_t a_col, REAL *to)
{
    if (a_row == 1 && h == MR)
        for (int64_t k = 0; k < kc; k++) memcpy(to + k * MR, a + k * a_col, MR * sizeof(REAL));
    else
        for (int64_t k = 0; k < kc; k++)
            for (int64_t i = 0; i < h; i++) to[k * h + i] = a[i * a_row + k * a_col];
}

/* B[0:kc, 0:n] for n <= VL whose columns are contiguous: VL x VL squares are turned in registers */
static void F(pack_columns)(int64_t kc, int64_t n, const REAL *b, int64_t b_col, REAL *to,
                            int64_t wide)
{
    if (n <= VL / 4) { /* a square for so few costs more */
        for (int64_t k = 0; k < kc; k++) {
            ST(to + k * wide, SPLAT(0));
            for (int64_t j = 0; j < n; j++) to[k * wide + j] = b[j * b_col + k];
        }
        return;
    }
    for (int64_t k = 0; k < kc; k += VL) {
        V v[VL];
        if (n == VL && k + VL <= kc)
            UNROLL(16) for (int j = 0; j < VL; j++) v[j] = LD(b + j * b_col + k);
        else
            UNROLL(16) for (int j = 0; j < VL; j++)
                v[j] = j < n ? LDN(b + j * b_col + k, kc - k, 0) : (V){0};
        F(transpose)(v);
        if (k + VL <= kc)
            UNROLL(16) for (int i = 0; i < VL; i++) ST(to + (k + i) * wide, v[i]);
        else
            for (int i = 0; i < kc - k; i++) ST(to + (k + i) * wide, v[i]);
    }
}

/* B[0:kc, 0:n], one panel: rows of n values, padded with zeros to whole vectors */
static void F(pack_b)(int64_t kc, int64_t n, const REAL *b, int64_t b_row, int64_t b_col, REAL *to)
{
    int64_t wide = ceil_div(n, VL) * VL;
    if (b_row == 1 && b_col != 1)
        for (int64_t j = 0; j < n; j += VL)
            F(pack_columns)(kc, min64(VL, n - j), b + j * b_col, b_col, to + j, wide);
    else if (b_col == 1)
        for (int64_t k = 0; k < kc; k++)
            for (int64_t j = 0; j < n; j += VL)
                ST(to + k * wide + j, LDN(b + k * b_row + j, n - j, 0));
    else
        for (int64_t k = 0; k < kc; k++)
            for (int64_t j = 0; j < wide; j++)
                to[k * wide + j] = j < n ? b[k * b_row + j * b_col] : 0;
}
