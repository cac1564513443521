/* runs.c: what every normalisation does to runs of contiguous values: add up, subtract, scale.
 *
 * `runs` runs of q values each lie `pitch` apart: the samples of a channel, or one run, a row.
 *
 * Idea      four vectors of sums, so that no addition waits for the one before; a run's last vector
 *           is filled up with values that change nothing
 * Removes   the temporaries of x - mean, its square and their sums
 * Leaves    memory traffic, which the callers shorten by staying in a cache between sweeps
 * Requires  pointers to runs * q values; out may be x or dy
 * Checked   through batch_norm.c and row_norm.c
 * Timed     python bench/versus.py norm
 */
#define RUN_BLOCK 4096 /* values summed in REAL; such sums are then added in double */

/* sum of x: in lanes */
INLINE V F(runs_sum)(int64_t runs, int64_t q, int64_t pitch, const REAL *x)
{
    V a[4] = {SPLAT(0), SPLAT(0), SPLAT(0), SPLAT(0)};
    for (int64_t i = 0; i < runs; i++, x += pitch) {
        int64_t j = 0;
        for (; j + 4 * VL <= q; j += 4 * VL)
            UNROLL(4) for (int u = 0; u < 4; u++) a[u] += LD(x + j + u * VL);
        for (; j < q; j += VL) a[0] += LDN(x + j, q - j, 0);
    }
    return (a[0] + a[1]) + (a[2] + a[3]);
}

/* *a = sum u and *b = sum u (x - centre), in lanes, where u is dy or, if that is NULL,
 * x - centre */
INLINE void F(runs_dots_lanes)(int64_t runs, int64_t q, int64_t pitch, const REAL *x,
                               const REAL *dy, REAL centre, V *a, V *b)
{
    const V m = SPLAT(centre);
    V s[4] = {SPLAT(0), SPLAT(0), SPLAT(0), SPLAT(0)}, t[4] = {s[0], s[0], s[0], s[0]};
    for (int64_t i = 0; i < runs; i++) {
        const REAL *row = x + i * pitch, *g = dy ? dy + i * pitch : NULL;
        int64_t j = 0;
        for (; j + 4 * VL <= q; j += 4 * VL)
            UNROLL(4) for (int u = 0; u < 4; u++) {
                V d = LD(row + j + u * VL) - m, v = dy ? LD(g + j + u * VL) : d;
                s[u] += v;
                t[u] += v * d;
            }
        for (; j < q; j += VL) {
            V d = LDN(row + j, q - j, centre) - m, v = dy ? LDN(g + j, q - j, 0) : d;
            s[0] += v;
            t[0] += v * d;
        }
    }
    *a = (s[0] + s[1]) + (s[2] + s[3]);
    *b = (t[0] + t[1]) + (t[2] + t[3]);
}

INLINE void F(runs_dots)(int64_t runs, int64_t q, int64_t pitch, const REAL *x, const REAL *dy,
                         REAL centre, double *a, double *b)
{
    V sum, dots;
    F(runs_dots_lanes)(runs, q, pitch, x, dy, centre, &sum, &dots);
    *a = HSUM(sum);
    *b = HSUM(dots);
}

/* out = (x - centre) slope + shift, + dy scale unless dy is NULL */
INLINE void F(runs_apply)(int64_t runs, int64_t q, int64_t pitch, const REAL *x, const REAL *dy,
                          REAL centre, REAL slope, REAL shift, REAL scale, REAL *out)
{
    const V m = SPLAT(centre), a = SPLAT(slope), b = SPLAT(shift), s = SPLAT(scale);
    for (int64_t i = 0; i < runs * pitch; i += pitch) {
        int64_t j = i;
        for (; j + VL <= i + q; j += VL) {
            V v = (LD(x + j) - m) * a + b;
            ST(out + j, dy ? LD(dy + j) * s + v : v);
        }
        if (j < i + q) {
            V v = (LDN(x + j, i + q - j, 0) - m) * a + b;
            STN(out + j, dy ? LDN(dy + j, i + q - j, 0) * s + v : v, i + q - j);
        }
    }
}

/* Mean and sum of squared deviations of `count` values: first their rounded mean, then what that
 * leaves out, which also corrects the squares (the two-pass algorithm with its correction). */
typedef struct {
    double count, mean, squares;
} F(moments);

INLINE F(moments) F(runs_moments)(int64_t runs, int64_t q, int64_t pitch, const REAL *x)
{
    double count = (double)runs * (double)q, a, b;
    REAL centre = (REAL)(HSUM(F(runs_sum)(runs, q, pitch, x)) / count);
    F(runs_dots)(runs, q, pitch, x, NULL, centre, &a, &b);
    return (F(moments)){count, centre + a / count, b - a * a / count};
}

/* The moments of two sets together (Chan, Golub, LeVeque 1979). */
INLINE F(moments) F(join_moments)(F(moments) u, F(moments) v)
{
    double count = u.count + v.count, delta = v.mean - u.mean;
    return (F(moments)){count, u.mean + delta * v.count / count,
                        u.squares + v.squares + delta * delta * u.count * v.count / count};
}
