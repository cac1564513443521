/* tier_avx512.c: 32 registers of 64 bytes, FMA. Tile 14 x 2 vectors: 28 sums + 2 of B + 1 of A. */
#if defined(__x86_64__)
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,fma"))), \
                             apply_to = function)
#else
#pragma GCC target("avx512f,avx512dq,avx512bw,avx512vl,fma,prefer-vector-width=512")
#endif
#define TIER avx512
#define VBYTES 64
#define MR 14
#define NV 2
#include "tier.inc.c"
#ifdef __clang__
#pragma clang attribute pop
#endif
#else
typedef int fdl_avx512_is_x86_only;
#endif
