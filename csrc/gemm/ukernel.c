/* ukernel.c: the micro-kernels, where all FMAs of the production driver happen.
 *
 *   C = S + A B       A: h x kc,  B: kc x (w vectors),  C: h x (w vectors),   h <= MR, w <= NV
 *
 * Idea      the tile of C lives in registers: per k, w loads of B and h broadcasts of A feed
 *           h * w independent FMAs
 * Removes   the load and store of C for every k: once a tile now
 * Leaves    whatever feeds it: A and B should come out of the caches, without long strides
 * Requires  rows of B, C and S contiguous; S is C (accumulate), the bias (s_row = 0) or NULL (zero)
 * Checked   every height and width at tile edges; no spills in the loops of gcc and clang
 * Timed     python -m fastdl bench gemm
 *
 * One body, tile.inc.c. `simd` compiles it for every height and width, so that tails of C waste no
 * FMA; `packed` compiles it once with a plain REAL where the others have a vector. Every element of
 * C goes through the same operations, S + ((a0 b0 + a1 b1) + ...), whatever tile it falls into: how
 * C is cut, among tiles or threads, does not show in the bits.
 */
typedef void F(tile_fn)(int h, int w, int64_t kc, const REAL *a, int64_t a_row, int64_t a_col,
                        const REAL *b, int64_t b_row, REAL *c, int64_t c_row, const REAL *s,
                        int64_t s_row);

#define TILE F(vector_tile)
#define T V
#define TU VU
#include "tile.inc.c"
#undef TILE
#undef T
#undef TU

#define TILE F(scalar_tile)
#define T REAL
#define TU REAL
#include "tile.inc.c"
#undef TILE
#undef T
#undef TU

/* tile_h: the widths 1..NV of height h */
#define TILE_HEIGHT(h)                                                                             \
    static void F(tile_##h)(int w, int64_t kc, const REAL *a, int64_t a_row, int64_t a_col,        \
                            const REAL *b, int64_t b_row, REAL *c, int64_t c_row, const REAL *s,   \
                            int64_t s_row)                                                         \
    {                                                                                              \
        if (w == 1) F(vector_tile)(h, 1, kc, a, a_row, a_col, b, b_row, c, c_row, s, s_row);       \
        else if (w == 2) F(vector_tile)(h, 2, kc, a, a_row, a_col, b, b_row, c, c_row, s, s_row);  \
        else F(vector_tile)(h, NV, kc, a, a_row, a_col, b, b_row, c, c_row, s, s_row);             \
    }
TILE_HEIGHT(1)
TILE_HEIGHT(2)
TILE_HEIGHT(3)
TILE_HEIGHT(4)
#if MR > 4
TILE_HEIGHT(5)
TILE_HEIGHT(6)
TILE_HEIGHT(7)
TILE_HEIGHT(8)
#endif
#undef TILE_HEIGHT

static void F(tile_simd)(int h, int w, int64_t kc, const REAL *a, int64_t a_row, int64_t a_col,
                         const REAL *b, int64_t b_row, REAL *c, int64_t c_row, const REAL *s,
                         int64_t s_row)
{
    static void (*const tiles[])(int, int64_t, const REAL *, int64_t, int64_t, const REAL *,
                                 int64_t, REAL *, int64_t, const REAL *, int64_t) = {
        F(tile_1), F(tile_2), F(tile_3), F(tile_4),
#if MR > 4
        F(tile_5), F(tile_6), F(tile_7), F(tile_8),
#endif
    };
    tiles[h - 1](w, kc, a, a_row, a_col, b, b_row, c, c_row, s, s_row);
}

static void F(tile_plain)(int h, int w, int64_t kc, const REAL *a, int64_t a_row, int64_t a_col,
                          const REAL *b, int64_t b_row, REAL *c, int64_t c_row, const REAL *s,
                          int64_t s_row)
{
    F(scalar_tile)(h, w * VL, kc, a, a_row, a_col, b, b_row, c, c_row, s, s_row);
}

/* The sums of C[i:i+h, j:j+n], S + A B, where S is C itself unless this is the `first` block of k
 * of a product that overwrites C. b's rows are whole vectors, n may end inside one; C takes any
 * strides: what the micro-kernel cannot write goes through a buffer. */
INLINE void F(put_sums)(const F(product) *g, int64_t i, int64_t j, int h, int n, int first,
                        F(tile_fn) *tile, int64_t kc, const REAL *a, int64_t a_row, int64_t a_col,
                        const REAL *b, int64_t b_row)
{
    int w = (n + VL - 1) / VL;
    int64_t s_row = g->c_row, s_col = g->c_col;
    REAL *c = g->c + i * g->c_row + j * g->c_col;
    const REAL *s = c;
    if (first && !g->accumulate) {
        s_row = g->bias_row, s_col = g->bias_col;
        s = g->bias ? g->bias + i * s_row + j * s_col : NULL;
    }
    if (n == w * VL && g->c_col == 1 && (!s || s_col == 1)) {
        tile(h, w, kc, a, a_row, a_col, b, b_row, c, g->c_row, s, s_row);
        return;
    }
    REAL t[MR * NV * VL];
    tile(h, w, kc, a, a_row, a_col, b, b_row, t, NV * VL, NULL, 0);
    if (g->c_col == 1 && (!s || s_col == 1)) {
        for (int r = 0; r < h; r++, c += g->c_row, s = s ? s + s_row : s)
            for (int q = 0; q < n; q += VL) {
                V x = LD(t + r * NV * VL + q);
                STN(c + q, s ? LDN(s + q, n - q, 0) + x : x, n - q);
            }
    } else {
        for (int q = 0; q < n; q++)
            for (int r = 0; r < h; r++) {
                REAL x = t[r * NV * VL + q];
                c[r * g->c_row + q * g->c_col] = s ? s[r * s_row + q * s_col] + x : x;
            }
    }
}

/* C[i:i+h, j:j+n], with the activation of g: drivers leave it out until the last block of k */
INLINE void F(put_tile)(const F(product) *g, int64_t i, int64_t j, int h, int n, int first,
                        F(tile_fn) *tile, int64_t kc, const REAL *a, int64_t a_row, int64_t a_col,
                        const REAL *b, int64_t b_row)
{
    F(put_sums)(g, i, j, h, n, first, tile, kc, a, a_row, a_col, b, b_row);
    if (g->activation != FDL_IDENTITY) F(activate)(g, i, j, h, n);
}
