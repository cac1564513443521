/* tier_generic.c: the target's baseline (SSE2 on x86-64, NEON on AArch64): 16 registers. */
#define TIER generic
#define VBYTES 16
#define MR 6
#define NV 2
#include "tier.inc.c"
