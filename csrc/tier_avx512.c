/* tier_avx512.c: 32 registers of 64 bytes, FMA. Tile 8 x 3 vectors: 24 sums, 3 of B. */
#if defined(__x86_64__)
#include <immintrin.h> /* before the pragma: its functions bring their own targets */
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,fma"))), \
                             apply_to = function)
#else
#pragma GCC target("avx512f,avx512dq,avx512bw,avx512vl,fma,prefer-vector-width=512")
#endif
#define TIER avx512
#define VBYTES 64
#define MR 8
#define NV 3
#define MC 96     /* MC x KC of A: 192 KB of floats, in L2 with room for a panel of B       */
#define KC 512    /* long: C is loaded and stored once per KC; measured against 128 ... 768 */
#define NC 1920   /* KC x NC of B: 3.8 MB of floats, twice, in L3                          */
#include "tier.inc.c"
#ifdef __clang__
#pragma clang attribute pop
#endif
#else
typedef int fdl_avx512_is_x86_only;
#endif
