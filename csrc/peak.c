/* peak.c: what this core can do at most: independent FMAs on registers, nothing loaded or stored.
 * The roof of every roofline that fastdl prints; measured, never assumed. */
#define PEAK_SUMS 12
NOINLINE REAL F(fma_loop)(int64_t iterations)
{
    V a[PEAK_SUMS], x = SPLAT(0.999), y = SPLAT(1e-3);
    /* not SPLAT(i): 1 maps to itself, and gcc, seeing that, leaves that sum's FMA out */
    UNROLL(16) for (int i = 0; i < PEAK_SUMS; i++) a[i] = SPLAT((REAL)(iterations + i));
    for (int64_t t = 0; t < iterations; t++)
        UNROLL(16) for (int i = 0; i < PEAK_SUMS; i++) a[i] = a[i] * x + y;
    V sum = a[0];
    UNROLL(16) for (int i = 1; i < PEAK_SUMS; i++) sum += a[i];
    return HSUM(sum);
}

static double F(fma_peak)(int64_t iterations, int threads)
{
    static volatile REAL sink;
    if (fdl_after_fork()) threads = 1;
    OMP(parallel num_threads(threads))
    sink = F(fma_loop)(iterations);
    (void)sink;
    return 2.0 * VL * PEAK_SUMS * (double)iterations * threads;
}
