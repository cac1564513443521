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
#define MC 96
#define KC 512
#define NC 1920
#include "tier.inc.c"
#ifdef __clang__
#pragma clang attribute pop
#endif
#else
typedef int fdl_avx512_is_x86_only;
#endif
