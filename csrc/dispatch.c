/* dispatch.c: which tables this CPU can run. Compiled for the baseline: nothing here may need more.
 * The choice among them (FASTDL_ISA, an argument `isa=`) is the caller's. */
#include "fastdl.h"

#if !defined(__x86_64__)
#define FDL_WITHOUT_AVX2
#define FDL_WITHOUT_AVX512
#endif

extern const fdl_kernels fdl_generic_f32, fdl_generic_f64;
extern const fdl_kernels fdl_avx2_f32, fdl_avx2_f64, fdl_avx512_f32, fdl_avx512_f64;

const fdl_kernels *fdl_table(int tier, int dtype)
{
    static const fdl_kernels *const tables[FDL_TIERS][FDL_DTYPES] = {
#ifndef FDL_WITHOUT_GENERIC
        [FDL_GENERIC] = {&fdl_generic_f32, &fdl_generic_f64},
#endif
#ifndef FDL_WITHOUT_AVX2
        [FDL_AVX2] = {&fdl_avx2_f32, &fdl_avx2_f64},
#endif
#ifndef FDL_WITHOUT_AVX512
        [FDL_AVX512] = {&fdl_avx512_f32, &fdl_avx512_f64},
#endif
    };
    if (tier < 0 || tier >= FDL_TIERS || dtype < 0 || dtype >= FDL_DTYPES) return NULL;
#if defined(__x86_64__)
    /* the builtins ask CPUID and, for the wide registers, whether the system saves them (XGETBV) */
    __builtin_cpu_init();
    if (tier == FDL_AVX2 && !(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")))
        return NULL;
    if (tier == FDL_AVX512 &&
        !(__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
          __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")))
        return NULL;
#endif
    return tables[tier][dtype];
}

int fdl_best_tier(void)
{
    int tier = FDL_TIERS - 1;
    while (tier > FDL_GENERIC && !fdl_table(tier, FDL_F32)) tier--;
    return tier;
}
