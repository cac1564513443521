/* tier_avx2.c: 16 registers of 32 bytes, FMA. Tile 4 x 3 vectors: 12 sums, 3 of B, 1 of A. */
#if defined(__x86_64__)
#include <immintrin.h> /* before the pragma: its functions bring their own targets */
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif
#define TIER avx2
#define VBYTES 32
#define MR 4
#define NV 3
#define MC 96     /* MC x KC of A: 192 KB of floats, in L2 with room for a panel of B       */
#define KC 512    /* long: C is loaded and stored once per KC; measured against 128 ... 768 */
#define NC 1920   /* KC x NC of B: 3.8 MB of floats, twice, in L3                          */
#include "tier.inc.c"
#ifdef __clang__
#pragma clang attribute pop
#endif
#else
typedef int fdl_avx2_is_x86_only;
#endif
