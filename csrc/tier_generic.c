/* tier_generic.c: the target's baseline (SSE2 on x86-64, NEON on AArch64): 16 registers. */
#if defined(__x86_64__)
#include <immintrin.h>
#endif
#define TIER generic
#define VBYTES 16
#define MR 4
#define NV 3
#define MC 96     /* MC x KC of A: 192 KB of floats, in L2 with room for a panel of B       */
#define KC 512    /* long: C is loaded and stored once per KC; measured against 128 ... 768 */
#define NC 1920   /* KC x NC of B: 3.8 MB of floats, twice, in L3                          */
#include "tier.inc.c"
