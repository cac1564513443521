/* simd.h: vectors of REAL, for one (tier, dtype). Included once per dtype, with VBYTES (bytes in a
 * vector), REAL, INT (the integer of REAL's size) and F(name) (name plus the dtype) defined.
 *
 * GNU C vector types: the compiler maps +, *, < on them to the tier's instructions, so one source
 * serves SSE2, AVX2, AVX-512 and NEON. The only file that may hold intrinsics, inside #if.
 *
 *   V, VI           vector of VL REALs; of VL INTs: a comparison's result, lanes 0 or -1
 *   LD(p) ST(p, v)  unaligned load and store          SPLAT(x)   x in every lane
 *   SEL(m, a, b)    lane of a where m, else of b      VMAX(a, b) VMIN b if either is NaN
 *   VSQRT           square root of every lane
 *   VSCALE(v, k)    v * 2^k for whole k, |k| at most twice the largest exponent; rounded once
 *   VFMA(a, b, c)   a * b + c rounded once, in tiers with the instruction (where it is defined)
 *   STREAM(p, v)    store past the caches to p, a multiple of VBYTES; STREAM_END() when done
 *   stream_copy     the same for n elements
 *   HSUM HMAX       over the lanes, in a fixed order
 *   ANY(m)          is any lane of a comparison true?
 *   EVEN ODD        of (a, b): lanes 0, 2, 4, ... or 1, 3, 5, ... of the 2 VL lanes a, b
 *   LOW HIGH        of (a, b): the halves of a0 b0 a1 b1 a2 b2 ...
 *   transpose       of v[VL]: rows and lanes exchanged
 *   lane_sums       lane i: HSUM of v[i], to the bit; lane_maxima: HMAX of it
 *   load_lanes      of up to VL matrices: element e of all of them is vector e; store_lanes inverts
 *   LDN(p, n, x)    the first n lanes from p, x in the others; n may be <= 0 or >= VL
 *   STN(p, v, n)    stores the first n lanes of v, and nothing else
 *   KEEP(v)         v is in a register from here on: no load of it is repeated
 *   VW, VUI         vector of uint64_t, of the unsigned integers of REAL's size
 *   WIDE(a, b)      64-bit products of the low halves of the lanes of two VW
 */
#if defined(__x86_64__) && VBYTES == 64
#define WIDE(a, b) (VW)_mm512_mul_epu32((__m512i)(a), (__m512i)(b))
#elif defined(__x86_64__) && VBYTES == 32
#define WIDE(a, b) (VW)_mm256_mul_epu32((__m256i)(a), (__m256i)(b))
#elif defined(__x86_64__)
#define WIDE(a, b) (VW)_mm_mul_epu32((__m128i)(a), (__m128i)(b))
#else
#define WIDE(a, b) (((a) & 0xFFFFFFFFu) * ((b) & 0xFFFFFFFFu))
#endif
#if defined(__x86_64__) && VBYTES == 64
#define KEEP(v) __asm__("" : "+v"(v))
#elif defined(__x86_64__)
#define KEEP(v) __asm__("" : "+x"(v))
#elif defined(__aarch64__)
#define KEEP(v) __asm__("" : "+w"(v))
#else
#define KEEP(v) (void)0
#endif
#define VL ((int)(VBYTES / sizeof(REAL)))
#define V F(vec)
#define VU F(vecu)
#define VI F(veci)
#define VIU F(veciu)
#define VW F(vecw)
#define VUI F(vecui)
typedef REAL V __attribute__((vector_size(VBYTES)));
typedef REAL VU __attribute__((vector_size(VBYTES), aligned(sizeof(REAL)), may_alias));
typedef INT VI __attribute__((vector_size(VBYTES)));
typedef uint64_t VW __attribute__((vector_size(VBYTES)));
typedef UINT VUI __attribute__((vector_size(VBYTES)));
typedef INT VIU __attribute__((vector_size(VBYTES), aligned(sizeof(REAL)), may_alias));

#define LD(p) ((V) * (const VU *)(p))
#define ST(p, v) (*(VU *)(p) = (v))
#define SPLAT(x) ((REAL)(x) - (V){0}) /* x - 0 is x, -0 and NaN too, and is free; 0 + x is not */
#define SEL(m, a, b) ((V)(((VI)(m) & (VI)(a)) | (~(VI)(m) & (VI)(b))))
#define VMAX(a, b) F(vmax)(a, b)
#define VMIN(a, b) F(vmin)(a, b)
#define VSQRT(v) F(vsqrt)(v)
#define VSCALE(v, k) F(vscale)(v, k)
#define HSUM(v) F(hsum)(v)
#define HMAX(v) F(hmax)(v)
#if defined(__x86_64__) && VBYTES == 64
#define ANY(m) (_mm512_test_epi64_mask((__m512i)(m), (__m512i)(m)) != 0)
#elif defined(__x86_64__) && VBYTES == 32
#define ANY(m) (!_mm256_testz_si256((__m256i)(m), (__m256i)(m)))
#elif defined(__x86_64__)
#define ANY(m) (_mm_movemask_epi8((__m128i)(m)) != 0)
#else
#define ANY(m) (HMAX(SEL(m, SPLAT(1), SPLAT(0))) > 0)
#endif
#define EVEN(a, b) __builtin_shufflevector(a, b, EVEN_LANES)
#define ODD(a, b) __builtin_shufflevector(a, b, ODD_LANES)
#define LOW(a, b) __builtin_shufflevector(a, b, LOW_LANES)
#define HIGH(a, b) __builtin_shufflevector(a, b, HIGH_LANES)
#if defined(__x86_64__) && VBYTES == 64
#define STREAM(p, v) _mm512_stream_si512((__m512i *)(p), (__m512i)(v))
#elif defined(__x86_64__) && VBYTES == 32
#define STREAM(p, v) _mm256_stream_si256((__m256i *)(p), (__m256i)(v))
#elif defined(__x86_64__)
#define STREAM(p, v) _mm_stream_si128((__m128i *)(p), (__m128i)(v))
#else
#define STREAM(p, v) ST(p, v)
#endif
#if defined(__x86_64__)
#define STREAM_END() _mm_sfence()
#else
#define STREAM_END() (void)0
#endif
#define LDN(p, n, x) F(ldn)(p, n, x)
#define STN(p, v, n) F(stn)(p, v, n)

#undef VFMA
#undef EVEN_LANES
#undef ODD_LANES
#undef LOW_LANES
#undef HIGH_LANES
#if VBYTES / REAL_BYTES == 2
#define EVEN_LANES 0, 2
#define ODD_LANES 1, 3
#define LOW_LANES 0, 2
#define HIGH_LANES 1, 3
#elif VBYTES / REAL_BYTES == 4
#define EVEN_LANES 0, 2, 4, 6
#define ODD_LANES 1, 3, 5, 7
#define LOW_LANES 0, 4, 1, 5
#define HIGH_LANES 2, 6, 3, 7
#elif VBYTES / REAL_BYTES == 8
#define EVEN_LANES 0, 2, 4, 6, 8, 10, 12, 14
#define ODD_LANES 1, 3, 5, 7, 9, 11, 13, 15
#define LOW_LANES 0, 8, 1, 9, 2, 10, 3, 11
#define HIGH_LANES 4, 12, 5, 13, 6, 14, 7, 15
#elif VBYTES / REAL_BYTES == 16
#define EVEN_LANES 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define ODD_LANES 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31
#define LOW_LANES 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define HIGH_LANES 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#endif

/* one instruction where there is one: gcc does not find it */
#if defined(__x86_64__) && VBYTES == 64 && REAL_BYTES == 4
INLINE V F(vmax)(V a, V b) { return (V)_mm512_max_ps((__m512)a, (__m512)b); }
INLINE V F(vmin)(V a, V b) { return (V)_mm512_min_ps((__m512)a, (__m512)b); }
#elif defined(__x86_64__) && VBYTES == 64
INLINE V F(vmax)(V a, V b) { return (V)_mm512_max_pd((__m512d)a, (__m512d)b); }
INLINE V F(vmin)(V a, V b) { return (V)_mm512_min_pd((__m512d)a, (__m512d)b); }
#elif defined(__x86_64__) && VBYTES == 32 && REAL_BYTES == 4
INLINE V F(vmax)(V a, V b) { return (V)_mm256_max_ps((__m256)a, (__m256)b); }
INLINE V F(vmin)(V a, V b) { return (V)_mm256_min_ps((__m256)a, (__m256)b); }
#elif defined(__x86_64__) && VBYTES == 32
INLINE V F(vmax)(V a, V b) { return (V)_mm256_max_pd((__m256d)a, (__m256d)b); }
INLINE V F(vmin)(V a, V b) { return (V)_mm256_min_pd((__m256d)a, (__m256d)b); }
#elif defined(__x86_64__) && REAL_BYTES == 4
INLINE V F(vmax)(V a, V b) { return (V)_mm_max_ps((__m128)a, (__m128)b); }
INLINE V F(vmin)(V a, V b) { return (V)_mm_min_ps((__m128)a, (__m128)b); }
#elif defined(__x86_64__)
INLINE V F(vmax)(V a, V b) { return (V)_mm_max_pd((__m128d)a, (__m128d)b); }
INLINE V F(vmin)(V a, V b) { return (V)_mm_min_pd((__m128d)a, (__m128d)b); }
#else
INLINE V F(vmax)(V a, V b) { return SEL(a > b, a, b); }
INLINE V F(vmin)(V a, V b) { return SEL(a < b, a, b); }
#endif

INLINE V F(vsqrt)(V v)
{
    REAL t[VL];
    ST(t, v);
    for (int i = 0; i < VL; i++) t[i] = sizeof(REAL) == 4 ? sqrtf(t[i]) : sqrt(t[i]);
    return LD(t);
}

#if defined(__x86_64__) && VBYTES == 64 && REAL_BYTES == 4
#define VFMA(a, b, c) ((V)_mm512_fmadd_ps((__m512)(a), (__m512)(b), (__m512)(c)))
#elif defined(__x86_64__) && VBYTES == 64
#define VFMA(a, b, c) ((V)_mm512_fmadd_pd((__m512d)(a), (__m512d)(b), (__m512d)(c)))
#elif defined(__x86_64__) && VBYTES == 32 && REAL_BYTES == 4
#define VFMA(a, b, c) ((V)_mm256_fmadd_ps((__m256)(a), (__m256)(b), (__m256)(c)))
#elif defined(__x86_64__) && VBYTES == 32
#define VFMA(a, b, c) ((V)_mm256_fmadd_pd((__m256d)(a), (__m256d)(b), (__m256d)(c)))
#endif

/* 2^k in two factors by integer arithmetic on the exponent field: neither overflows where the
 * result does not, and a denormal result is rounded once */
INLINE V F(vscale)(V v, V k)
{
#if defined(__x86_64__) && VBYTES == 64 && REAL_BYTES == 4
    return (V)_mm512_scalef_ps((__m512)v, (__m512)k);
#elif defined(__x86_64__) && VBYTES == 64
    return (V)_mm512_scalef_pd((__m512d)v, (__m512d)k);
#else
    enum { MANTISSA_BITS = REAL_BYTES == 4 ? 23 : 52, EXPONENT_0 = REAL_BYTES == 4 ? 127 : 1023 };
    const V magic = SPLAT(REAL_BYTES == 4 ? 0x1.8p23 : 0x1.8p52); /* sums end in whole numbers */
    VI whole = (VI)(k + magic) - (VI)magic, half = (VI)(k * SPLAT(0.5) + magic) - (VI)magic;
    return v * (V)((half + EXPONENT_0) << MANTISSA_BITS) *
           (V)((whole - half + EXPONENT_0) << MANTISSA_BITS);
#endif
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

/* v[i] lane j becomes v[j] lane i. Interleaving the lower half with the upper, log2(VL) times. */
INLINE void F(transpose)(V v[VL])
{
    UNROLL(8) for (int w = 1; w < VL; w *= 2) {
        V t[VL];
        UNROLL(16) for (int i = 0; i < VL / 2; i++) {
            t[2 * i] = LOW(v[i], v[i + VL / 2]);
            t[2 * i + 1] = HIGH(v[i], v[i + VL / 2]);
        }
        UNROLL(16) for (int i = 0; i < VL; i++) v[i] = t[i];
    }
}

/* Sums over the lanes of VL vectors cost little more than over those of two: vectors are added in
 * pairs, halves interleaved as above, until one is left. v is used up. */
NOINLINE V F(lane_sums)(V v[VL])
{
    UNROLL(4) for (int w = VL / 2; w > 0; w /= 2)
        UNROLL(8) for (int i = 0; i < w; i++) v[i] = LOW(v[i], v[i + w]) + HIGH(v[i], v[i + w]);
    return v[0];
}

NOINLINE V F(lane_maxima)(V v[VL])
{
    UNROLL(4) for (int w = VL / 2; w > 0; w /= 2)
        UNROLL(8) for (int i = 0; i < w; i++)
            v[i] = VMAX(LOW(v[i], v[i + w]), HIGH(v[i], v[i + w]));
    return v[0];
}

/* Part of a vector, 0 < n < VL: by the tier's masks, or in pieces of constant size, VL/2 lanes,
 * VL/4, ..., 1, as the bits of n say (4 times slower: a load over several stores waits). */
#if defined(__x86_64__) && VBYTES == 64
#if REAL_BYTES == 4
#define LOAD_MASKED(p, n, x) (V) _mm512_mask_loadu_ps((__m512)(x), (__mmask16)((1u << (n)) - 1), p)
#define STORE_MASKED(p, v, n) _mm512_mask_storeu_ps(p, (__mmask16)((1u << (n)) - 1), (__m512)(v))
#else
#define LOAD_MASKED(p, n, x) (V) _mm512_mask_loadu_pd((__m512d)(x), (__mmask8)((1u << (n)) - 1), p)
#define STORE_MASKED(p, v, n) _mm512_mask_storeu_pd(p, (__mmask8)((1u << (n)) - 1), (__m512d)(v))
#endif
#elif defined(__x86_64__) && VBYTES == 32
INLINE VI F(first_lanes)(int64_t n)
{
    static const INT lanes[2 * VL] = {-1, -1, -1, -1, REAL_BYTES == 4 ? -1 : 0,
                                      REAL_BYTES == 4 ? -1 : 0, REAL_BYTES == 4 ? -1 : 0,
                                      REAL_BYTES == 4 ? -1 : 0};
    return (VI) * (const VIU *)(lanes + VL - n);
}
#if REAL_BYTES == 4
#define LOAD_MASKED(p, n, x) \
    SEL(F(first_lanes)(n), (V)_mm256_maskload_ps(p, (__m256i)F(first_lanes)(n)), x)
#define STORE_MASKED(p, v, n) _mm256_maskstore_ps(p, (__m256i)F(first_lanes)(n), (__m256)(v))
#else
#define LOAD_MASKED(p, n, x) \
    SEL(F(first_lanes)(n), (V)_mm256_maskload_pd(p, (__m256i)F(first_lanes)(n)), x)
#define STORE_MASKED(p, v, n) _mm256_maskstore_pd(p, (__m256i)F(first_lanes)(n), (__m256d)(v))
#endif
#else
INLINE V F(load_pieces)(const REAL *p, int64_t n, V x)
{
    REAL t[VL];
    int64_t i = 0;
    ST(t, x);
    UNROLL(8) for (int w = VL / 2; w > 0; w /= 2)
        if (n & w) {
            memcpy(t + i, p + i, w * sizeof(REAL));
            i += w;
        }
    return LD(t);
}
INLINE void F(store_pieces)(REAL *p, V v, int64_t n)
{
    REAL t[VL];
    int64_t i = 0;
    ST(t, v);
    UNROLL(8) for (int w = VL / 2; w > 0; w /= 2)
        if (n & w) {
            memcpy(p + i, t + i, w * sizeof(REAL));
            i += w;
        }
}
#define LOAD_MASKED(p, n, x) F(load_pieces)(p, n, x)
#define STORE_MASKED(p, v, n) F(store_pieces)(p, v, n)
#endif

INLINE V F(ldn)(const REAL *p, int64_t n, REAL x)
{
    if (n >= VL) return LD(p);
    if (n <= 0) return SPLAT(x);
    return LOAD_MASKED(p, n, SPLAT(x));
}

INLINE void F(stn)(REAL *p, V v, int64_t n)
{
    if (n >= VL) ST(p, v);
    else if (n > 0) STORE_MASKED(p, v, n);
}
#undef LOAD_MASKED
#undef STORE_MASKED

/* n elements past the caches; STREAM_END() when done */
NOINLINE void F(stream_copy)(int64_t n, const REAL *from, REAL *to)
{
    int64_t i = min64(n, (int64_t)(-(uintptr_t)to % VBYTES / sizeof(REAL)));
    STN(to, LDN(from, i, 0), i);
    for (; i + VL <= n; i += VL) STREAM(to + i, LD(from + i));
    STN(to + i, LDN(from + i, n - i, 0), n - i);
}

/* ---- matrices in lanes ----------------------------------------------------------------------- */

/* to[e] = element e of `count` matrices x, x + batch, ...; lanes without one repeat the last. Whole
 * vectors are written: up to VL - 1 beyond the elements. */
NOINLINE void F(load_lanes)(int64_t count, int64_t elements, const REAL *x, int64_t batch, V *to)
{
    for (int64_t e = 0; e < elements; e += VL, to += VL) {
        if (elements - e >= VL)
            UNROLL(16) for (int i = 0; i < VL; i++) to[i] = LD(x + min64(i, count - 1) * batch + e);
        else
            UNROLL(16) for (int i = 0; i < VL; i++)
                to[i] = LDN(x + min64(i, count - 1) * batch + e, elements - e, 0);
        F(transpose)(to);
    }
}

/* The inverse */
NOINLINE void F(store_lanes)(int64_t count, int64_t elements, V *from, REAL *x, int64_t batch)
{
    for (int64_t e = 0; e < elements; e += VL, from += VL) {
        F(transpose)(from);
        if (elements - e >= VL)
            for (int64_t i = 0; i < count; i++) ST(x + i * batch + e, from[i]);
        else
            for (int64_t i = 0; i < count; i++) STN(x + i * batch + e, from[i], elements - e);
    }
}
