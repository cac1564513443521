/* tier_generic.c: the target's baseline (SSE2 on x86-64, NEON on AArch64): 16 registers. */
#define TIER generic
#define VBYTES 16
#define MR 4
#define NV 3
#define MC 96
#define KC 512
#define NC 1920
#include "tier.inc.c"
