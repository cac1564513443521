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
#define MC 96
#define KC 512
#define NC 1920
#include "tier.inc.c"
#ifdef __clang__
#pragma clang attribute pop
#endif
#else
typedef int fdl_avx2_is_x86_only;
#endif
