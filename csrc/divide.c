/* divide.c: whole quotients of floats and what they leave. Baseline code.
 *
 * Idea      with doubles for floats, x - t y is exact for any whole t below 2**28, and a quotient
 *           never rounds up to the next whole number: one division, no loop over its bits as in
 *           fmod. A block in which a quotient is too large, or anything infinite, goes to fmod.
 * Requires  z not to overlap an operand, unless it is that operand
 * Checked   against NumPy, whose definitions these are, bit by bit
 */
#include "fastdl.h"
#include <float.h>
#include <math.h>
#include <string.h>

enum { BLOCK = 256 };
static const float limit = 1 << 20; /* up to here any_size, in floats, gives the same */
static const double whole = 4503599627370496; /* 2**52: what is added to it gets rounded */

static float any_size(int kind, float x, float y)
{
    const float m = fmodf(x, y);
    const int over = m != 0 && (y < 0) != (m < 0); /* the multiple below, not towards 0 */
    if (kind == FDL_FMOD) return m;
    if (kind == FDL_REMAINDER) return m == 0 ? copysignf(0, y) : over ? m + y : m;
    if (y == 0) return x / y;
    const float q = (x - m) / y - over, below = floorf(q);
    return q == 0 ? copysignf(0, x / y) : below + (q - below > 0.5f);
}

/* Returns 0 where any_size is to do it. */
static inline __attribute__((always_inline)) int quickly(const int kind, int64_t n, const float *x,
                                                         const float *y, float *restrict z)
{
    float sizes[BLOCK];
    int far = 0;
    for (int64_t i = 0; i < n; i++) {
        const double a = x[i], b = y[i], q = a / b, size = fabs(q);
        double t = size + whole - whole;
        t -= t > size ? 1.0 : 0.0;
        const double m = fabs(a) - t * fabs(b);
        const double one = ((m != 0) & (q < 0)) ? 1.0 : 0.0;
        sizes[i] = (float)size;
        if (kind == FDL_FMOD) z[i] = (float)copysign(m, a);
        else if (kind == FDL_FLOOR_DIVIDE) z[i] = (float)copysign(t + one, q);
        else z[i] = (float)copysign(m, m != 0 ? a : b) + (float)(one * b);
    }
    for (int64_t i = 0; i < n; i++) far |= !(sizes[i] < limit) | !(fabsf(y[i]) <= FLT_MAX);
    return !far;
}

static int quick(int kind, int64_t n, const float *x, const float *y, float *z)
{
    if (kind == FDL_FMOD) return quickly(FDL_FMOD, n, x, y, z);
    if (kind == FDL_REMAINDER) return quickly(FDL_REMAINDER, n, x, y, z);
    return quickly(FDL_FLOOR_DIVIDE, n, x, y, z);
}

void fdl_divide(int kind, int64_t n, const float *x, const float *y, int one, float *z, int threads)
{
    const int parts = fdl_plan(threads, 2.0 * (double)n);
    float same[BLOCK];
    (void)parts;
    for (int i = 0; one && i < BLOCK; i++) same[i] = *y;
#ifdef _OPENMP
#pragma omp parallel for num_threads(parts) if (parts > 1)
#endif
    for (int64_t at = 0; at < n; at += BLOCK) {
        const int64_t left = n - at < BLOCK ? n - at : BLOCK;
        const float *by = one ? same : y + at;
        float block[BLOCK]; /* z may be x */
        if (!quick(kind, left, x + at, by, block))
            for (int64_t i = 0; i < left; i++) block[i] = any_size(kind, x[at + i], by[i]);
        memcpy(z + at, block, left * sizeof *z);
    }
}
