/* tier_generic.c: the baseline of the target (SSE2 on x86-64, NEON on AArch64): 16 vector registers of 16 bytes or more. */
#define TIER generic
#define VBYTES 16
#define MR 6
#define NV 2
#include "tier.inc.c"
