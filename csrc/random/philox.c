/* philox.c: random words from a counter: Philox4x32-10.
 *
 * J. Salmon, M. Moraes, R. Dror, D. Shaw: Parallel random numbers: as easy as 1, 2, 3. SC (2011).
 *
 * Idea      encrypt the numbers 0, 1, 2, ...: ten rounds of multiply, exchange, xor turn a counter
 *           of four 32-bit words into four random ones. Word i needs no word before it, so vectors
 *           hold many counters, and threads start anywhere: the bits depend on neither
 * Removes   the state that every number waits for and every thread would fight over
 * Leaves    20 multiplications for 4 words: 1 cycle a word with 64-byte vectors
 * Requires  WIDE(a, b) of simd.h: the 64-bit products of the low halves of 64-bit lanes
 * Checked   against the paper's test vectors; the distributions by Kolmogorov-Smirnov
 * Timed     python bench/versus.py random
 *
 *   counter   c0 c1  block number, low and high word     key  k0 k1  the seed
 *             c2 c3  number of the draw
 *
 * Each call for numbers is a draw with its own number: it starts at block 0, and how much it takes
 * concerns no other. 8 blocks make a group of 32 words, whose order is the same for vectors of
 * any length:
 *
 *   words  0 ... 15   c0 c1 of block 0, c0 c1 of block 1, ... c0 c1 of block 7
 *   words 16 ... 31   c2 c3 of block 0, c2 c3 of block 1, ... c2 c3 of block 7
 */
#define PARTS (64 / VBYTES)                      /* vectors of 64-bit lanes that hold 8 blocks */
#define GROUP ((int64_t)(128 / sizeof(REAL)))    /* lanes of REAL's size in a group            */
#define GROUP_VECTORS (2 * PARTS)

/* out: the 32 words of a group. Between the rounds only the low half of a lane counts. Inlined, the
 * rounds of a group run beside what is done with the one before; long vectors need that. */
#if VBYTES > 16
INLINE
#else
NOINLINE
#endif
void F(philox)(fdl_draw d, uint64_t group, VW *out)
{
    VW lanes, zero = {0};
    for (int i = 0; i < VBYTES / 8; i++) lanes[i] = (uint64_t)i;
    UNROLL(4) for (int part = 0; part < PARTS; part++) {
        VW c0 = lanes + (8 * group + (uint64_t)(part * VBYTES / 8)), c1 = c0 >> 32;
        VW c2 = zero + d.draw, c3 = c2 >> 32;
        uint32_t k0 = (uint32_t)d.seed, k1 = (uint32_t)(d.seed >> 32);
        UNROLL(10) for (int round = 0; round < 10; round++) {
            VW p0 = WIDE(c0, zero + 0xD2511F53u), p1 = WIDE(c2, zero + 0xCD9E8D57u);
            c0 = (p1 >> 32) ^ c1 ^ (zero + k0);
            c2 = (p0 >> 32) ^ c3 ^ (zero + k1);
            c1 = p1;
            c3 = p0;
            k0 += 0x9E3779B9u; /* the golden ratio        */
            k1 += 0xBB67AE85u; /* the square root of 3, -1 */
        }
        out[part] = (c0 & (zero + 0xFFFFFFFFu)) | c1 << 32;
        out[PARTS + part] = (c2 & (zero + 0xFFFFFFFFu)) | c3 << 32;
    }
}

/* An event of probability p for each of VL elements, a word each: 31 random bits <= F(bound)(p).
 * One word for a double, too: the same elements are hit in both dtypes. */
typedef int32_t F(vec_words) __attribute__((vector_size(4 * VBYTES / REAL_BYTES), aligned(4),
                                            may_alias));
INLINE int32_t F(bound)(double p) { return (int32_t)((uint32_t)(p * 0x1p31) - 1); }
INLINE VI F(hits)(const uint32_t *words, int32_t bound)
{
    F(vec_words) bits = (*(const F(vec_words) *)words >> 1) & INT32_MAX;
    return __builtin_convertvector(bits <= bound, VI);
}

/* Uniform in [0, 1): 24 (53) bits, all numbers equally likely */
INLINE V F(unit)(VW words)
{
    enum { DROPPED = SINGLE ? 8 : 11 };
    VI bits = (VI)((VUI)words >> DROPPED);
    return __builtin_convertvector(bits, V) * SPLAT(SINGLE ? 0x1p-24 : 0x1p-53);
}

/* Uniform in (0, 1], with all bits: fine near 0, where the logarithm is steep */
INLINE V F(unit_above_zero)(VW words)
{
    return __builtin_convertvector((VUI)words, V) * SPLAT(SINGLE ? 0x1p-32 : 0x1p-64) +
           SPLAT(SINGLE ? 0x1p-33 : 0x1p-65);
}
