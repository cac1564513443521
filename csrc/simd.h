/* simd.h: vectors of REAL, for one (tier, dtype). Included once per dtype, with VBYTES (bytes in a
 * vector), REAL, INT (the integer of REAL's size) and F(name) (name plus the dtype) defined.
 *
 * GNU C vector types: the compiler maps +, *, < on them to the tier's instructions, so one source
 * serves SSE2, AVX2, AVX-512 and NEON. The only file that may hold intrinsics, inside #if.
 *
 *   V, VI           vector of VL REALs; of VL INTs: a comparison's result, lanes 0 or -1
 *   LD(p) ST(p, v)  unaligned load and store          SPLAT(x)   x in every lane
 *   SEL(m, a, b)    lane of a where m, else of b      VMAX VMIN  second operand if either is NaN
 *   VSQRT           square root of every lane
 *   HSUM HMAX       over the lanes, in a fixed order
 *   LDN(p, n, x)    the first n lanes from p, x in the others; n may be <= 0 or >= VL
 *   STN(p, v, n)    stores the first n lanes of v, and nothing else
 */
#define VL ((int)(VBYTES / sizeof(REAL)))
#define V F(vec)
#define VU F(vecu)
#define VI F(veci)
#define VIU F(veciu)
typedef REAL V __attribute__((vector_size(VBYTES)));
typedef REAL VU __attribute__((vector_size(VBYTES), aligned(sizeof(REAL)), may_alias));
typedef INT VI __attribute__((vector_size(VBYTES)));
typedef INT VIU __attribute__((vector_size(VBYTES), aligned(sizeof(REAL)), may_alias));

#define LD(p) (*(const VU *)(p))
#define ST(p, v) (*(VU *)(p) = (v))
#define SPLAT(x) ((REAL)(x) - (V){0})   /* x - 0 is x, -0 and NaN included, and costs nothing; 0 + x is not */
#define SEL(m, a, b) ((V)(((VI)(m) & (VI)(a)) | (~(VI)(m) & (VI)(b))))
#define VMAX(a, b) F(vmax)(a, b)
#define VMIN(a, b) F(vmin)(a, b)
#define VSQRT(v) F(vsqrt)(v)
#define HSUM(v) F(hsum)(v)
#define HMAX(v) F(hmax)(v)
#define LDN(p, n, x) F(ldn)(p, n, x)
#define STN(p, v, n) F(stn)(p, v, n)

INLINE V F(vmax)(V a, V b) { return SEL(a > b, a, b); }
INLINE V F(vmin)(V a, V b) { return SEL(a < b, a, b); }

INLINE V F(vsqrt)(V v)
{
    REAL t[VL];
    ST(t, v);
    for (int i = 0; i < VL; i++) t[i] = sizeof(REAL) == 4 ? sqrtf(t[i]) : sqrt(t[i]);
    return LD(t);
}

/* Halving: lane i + lane i + VL/2, and so on; gcc and clang turn it into extracts and shuffles. */
INLINE REAL F(hsum)(V v)
{
    REAL t[VL];
    ST(t, v);
    UNROLL(8) for (int w = VL / 2; w > 0; w /= 2)
        UNROLL(16) for (int i = 0; i < w; i++) t[i] += t[i + w];
    return t[0];
}

INLINE REAL F(hmax)(V v)
{
    REAL t[VL];
    ST(t, v);
    UNROLL(8) for (int w = VL / 2; w > 0; w /= 2)
        UNROLL(16) for (int i = 0; i < w; i++) t[i] = t[i] > t[i + w] ? t[i] : t[i + w];
    return t[0];
}

/* Part of a vector, in pieces of constant size: VL/2 lanes, VL/4, ..., 1, as the bits of n say. */
INLINE V F(ldn)(const REAL *p, int64_t n, REAL x)
{
    if (n >= VL) return LD(p);
    REAL t[VL];
    int64_t i = 0;
    ST(t, SPLAT(x));
    if (n > 0)
        UNROLL(8) for (int w = VL / 2; w > 0; w /= 2)
            if (n & w) {
                memcpy(t + i, p + i, w * sizeof(REAL));
                i += w;
            }
    return LD(t);
}

INLINE void F(stn)(REAL *p, V v, int64_t n)
{
    if (n >= VL) {
        ST(p, v);
        return;
    }
    REAL t[VL];
    int64_t i = 0;
    ST(t, v);
    if (n > 0)
        UNROLL(8) for (int w = VL / 2; w > 0; w /= 2)
            if (n & w) {
                memcpy(p + i, t + i, w * sizeof(REAL));
                i += w;
            }
}
