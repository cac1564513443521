/* fill.c: arrays of random numbers: uniform, normal, exponential, Bernoulli, integers, and
 * permutations.
 *
 * Idea      a group of 32 words becomes 32 (16) numbers in registers. Normal numbers in pairs, from
 *           a random angle and radius (G. Box, M. Muller: A note on the generation of random normal
 *           deviates. 1958): the first half of a group gives radii, the second angles. An angle is
 *           an integer, a fraction of a turn, so that its quadrant is two of its bits
 * Removes   the branches of rejection methods, and library calls for log, sin and cos
 * Leaves    uniform: the store. Normal: the arithmetic, two cycles a number
 * Requires  contiguous output. An element is a function of (seed, draw, its index) alone
 * Checked   moments and Kolmogorov-Smirnov against SciPy; all tiers draw the same words
 * Timed     python bench/versus.py random
 */

/* Cosine and sine of a fraction of a turn: the two highest bits after rounding are the quadrant,
 * the others an angle x in [-pi/4, pi/4], where Taylor's series are short. */
INLINE void F(circle)(VW words, V *cosine, V *sine)
{
    enum { BITS = SINGLE ? 32 : 64, TERMS = SINGLE ? 4 : 8 };
    static const double factorial[] = {1, 2, 6, 24, 120, 720, 5040, 40320, 362880, 3628800,
                                       39916800, 479001600, 6227020800, 87178291200,
                                       1307674368000, 20922789888000, 355687428096000};
    const V scale = SPLAT(1.5707963267948966 / (SINGLE ? 0x1p32 : 0x1p64));
    V x = __builtin_convertvector((VI)words << 2, V) * scale, square = x * x;
    VI quadrant = ((VI)words + ((INT)1 << (BITS - 3))) >> (BITS - 2);
    V c = SPLAT(0), s = SPLAT(0);
    UNROLL(8) for (int i = TERMS; i >= 1; i--) { /* (-1)^i x^2i / (2i)!, x^(2i+1) / (2i+1)! */
        c = (c + SPLAT((i % 2 ? -1 : 1) / factorial[2 * i - 1])) * square;
        s = (s + SPLAT((i % 2 ? -1 : 1) / factorial[2 * i])) * square;
    }
    c = c + SPLAT(1);
    s = s * x + x;
    VI odd = -(quadrant & 1), sign = (VI)SPLAT(-0.0);
    *cosine = (V)((VI)SEL(odd, s, c) ^ (((quadrant + 1) << (BITS - 2)) & sign));
    *sine = (V)((VI)SEL(odd, c, s) ^ ((quadrant << (BITS - 2)) & sign));
}

/* Elements [begin, end) of y, begin a multiple of GROUP. What a and b mean: fastdl.h */
INLINE void F(random_range)(int kind, fdl_draw d, double a, double b, REAL *y, int64_t begin,
                            int64_t end)
{
    const REAL low = (REAL)a, high = (REAL)b; /* uniform */
    const REAL top = SINGLE ? nextafterf((float)high, (float)low) : nextafter(b, a);
    for (int64_t i = begin; i < end; i += GROUP) {
        VW words[GROUP_VECTORS];
        V found[GROUP_VECTORS];
        F(philox)(d, (uint64_t)(i / GROUP), words);
        for (int j = 0; j < GROUP_VECTORS; j++) {
            if (kind == FDL_UNIFORM) {
                V v = F(unit)(words[j]) * SPLAT(high - low) + SPLAT(low);
                found[j] = SEL(v >= SPLAT(high), SPLAT(top), v); /* by rounding */
            } else if (kind == FDL_EXPONENTIAL) {
                V v = -F(vlog)(F(unit_above_zero)(words[j]));
                found[j] = VMAX(v, SPLAT(SINGLE ? 0x1p-25 : 0x1p-54)) * SPLAT(1 / a);
            } else if (j < PARTS) { /* FDL_NORMAL: this vector and its partner */
                V cosine, sine;
                V radius = VSQRT(SPLAT(-2) * F(vlog)(F(unit_above_zero)(words[j])));
                F(circle)(words[j + PARTS], &cosine, &sine);
                found[j] = radius * cosine * SPLAT(b) + SPLAT(a);
                found[j + PARTS] = radius * sine * SPLAT(b) + SPLAT(a);
            }
        }
        if (end - i >= GROUP)
            UNROLL(8) for (int j = 0; j < GROUP_VECTORS; j++) ST(y + i + j * VL, found[j]);
        else
            for (int j = 0; j < GROUP_VECTORS; j++) STN(y + i + j * VL, found[j], end - i - j * VL);
    }
}

#define RANDOM_RANGE(name, kind)                                                              \
    NOINLINE void F(name)(fdl_draw d, double a, double b, REAL *y, int64_t begin, int64_t end) \
    {                                                                                         \
        F(random_range)(kind, d, a, b, y, begin, end);                                        \
    }
RANDOM_RANGE(uniform_range, FDL_UNIFORM)
RANDOM_RANGE(normal_range, FDL_NORMAL)
RANDOM_RANGE(exponential_range, FDL_EXPONENTIAL)
#undef RANDOM_RANGE

NOINLINE void F(bernoulli_range)(fdl_draw d, double p, REAL *y, int64_t begin, int64_t end)
{
    const int32_t bound = F(bound)(p);
    for (int64_t i = begin; i < end; i += 32) {
        VW words[GROUP_VECTORS];
        F(philox)(d, (uint64_t)(i / 32), words);
        UNROLL(16) for (int j = 0; j < 32; j += VL)
            STN(y + i + j, (V)(F(hits)((uint32_t *)words + j, bound) & (VI)SPLAT(1)), end - i - j);
    }
}

static int F(random_fill)(int kind, fdl_draw d, int64_t n, double a, double b, void *y, int threads)
{
    static const double ns[] = {
        [FDL_UNIFORM] = 0.1, [FDL_NORMAL] = 0.25, [FDL_EXPONENTIAL] = 0.2, [FDL_BERNOULLI] = 0.1};
    int parts = fdl_plan(threads, ns[kind] * sizeof(REAL) * n);
    if (kind == FDL_UNIFORM)
        SPLIT(parts, n, 1024, F(uniform_range)(d, a, b, y, begin, end));
    else if (kind == FDL_NORMAL)
        SPLIT(parts, n, 1024, F(normal_range)(d, a, b, y, begin, end));
    else if (kind == FDL_EXPONENTIAL)
        SPLIT(parts, n, 1024, F(exponential_range)(d, a, b, y, begin, end));
    else
        SPLIT(parts, n, 1024, F(bernoulli_range)(d, a, y, begin, end));
    return FDL_OK;
}

#if REAL_BYTES == 8 /* what has no REAL in it is compiled once */

/* floor(word * range / 2^64): each of [0, range) with probability 1 / range, within range / 2^64.
 * (D. Lemire: Fast random integer generation in an interval. 2019) */
INLINE uint64_t scaled(uint64_t word, uint64_t range)
{
    uint64_t low = (word & UINT32_MAX) * (range & UINT32_MAX);
    uint64_t mid = (word >> 32) * (range & UINT32_MAX) + (low >> 32);
    uint64_t other = (word & UINT32_MAX) * (range >> 32) + (mid & UINT32_MAX);
    return (word >> 32) * (range >> 32) + (mid >> 32) + (other >> 32);
}

NOINLINE void integers_range(fdl_draw d, int64_t low, uint64_t range, int64_t *y, int64_t begin,
                             int64_t end)
{
    VW words[GROUP_VECTORS], zero = {0};
    for (int64_t i = begin; i < end; i += GROUP) {
        F(philox)(d, (uint64_t)(i / GROUP), words);
        if (range == 0) { /* all 2^64 */
        } else if (range <= UINT32_MAX) { /* range >> 32 is 0: `scaled` on vectors */
            UNROLL(8) for (int j = 0; j < GROUP_VECTORS; j++) {
                VW carry = WIDE(words[j], zero + range) >> 32;
                words[j] = (WIDE(words[j] >> 32, zero + range) + carry) >> 32;
            }
        } else {
            for (int j = 0; j < GROUP_VECTORS; j++)
                for (int l = 0; l < VL; l++) words[j][l] = scaled(words[j][l], range);
        }
        for (int j = 0; j < GROUP_VECTORS; j++)
            STN((double *)y + i + j * VL, (V)(words[j] + (uint64_t)low), end - i - j * VL);
    }
}

/* Grows the permutation by one element at a time: i goes to a random place, what was there to the
 * end (Fisher & Yates, inside out). */
NOINLINE void permutation_of(fdl_draw d, int64_t n, int64_t *y)
{
    VW words[GROUP_VECTORS];
    for (int64_t i = 0; i < n; i++) {
        if (i % GROUP == 0) F(philox)(d, (uint64_t)(i / GROUP), words);
        int64_t place = (int64_t)scaled(((uint64_t *)words)[i % GROUP], (uint64_t)i + 1);
        y[i] = y[place];
        y[place] = i;
    }
}

static int random_integers(fdl_draw d, int64_t n, int64_t low, uint64_t range, int64_t *y,
                           int threads)
{
    SPLIT(fdl_plan(threads, 1.0 * n), n, 1024, integers_range(d, low, range, y, begin, end));
    return FDL_OK;
}

static int permutation(fdl_draw d, int64_t n, int64_t *y)
{
    permutation_of(d, n, y);
    return FDL_OK;
}
#endif
