/* dropout.c: y = 0 x with probability p, x / (1 - p) otherwise; the gradient is the same.
 *
 * N. Srivastava et al.: Dropout: a simple way to prevent neural networks from overfitting (2014).
 *
 * Idea      the mask is a function of the element's number, so nobody need store it: the backward
 *           pass draws it again, from the same (seed, draw), for the price of a read
 * Removes   the pass that draws a mask, the mask's memory and its traffic, forward and backward
 * Leaves    one read, one write, 2 cycles of random bits per vector lane
 * Requires  contiguous arrays; y may be x
 * Checked   the mask against the words of philox.c; the gradient has the zeros of the output; a
 *           dropped NaN or infinity is NaN, as where a mask is multiplied by
 * Timed     python bench/versus.py random
 */
NOINLINE void F(dropout_range)(fdl_draw d, double p, const REAL *x, REAL *y, int64_t begin,
                               int64_t end)
{
    const V scale = SPLAT(p < 1 ? 1 / (1 - p) : 0);
    const int32_t bound = F(bound)(p);
    for (int64_t i = begin; i < end; i += 32) {
        VW words[GROUP_VECTORS];
        F(philox)(d, (uint64_t)(i / 32), words);
        UNROLL(16) for (int j = 0; j < 32; j += VL) {
            V factor = (V)(~F(hits)((uint32_t *)words + j, bound) & (VI)scale);
            STN(y + i + j, LDN(x + i + j, end - i - j, 0) * factor, end - i - j);
        }
    }
}

static int F(dropout)(fdl_draw d, int64_t n, double p, const void *x, void *y, int threads)
{
    SPLIT(fdl_plan(threads, 0.1 * sizeof(REAL) * n), n, 1024,
          F(dropout_range)(d, p, x, y, begin, end));
    return FDL_OK;
}
