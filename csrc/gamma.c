/* gamma.c: log |gamma| and its slope, element by element, in double. Baseline code.
 *
 * The C library has the first. The second is a polynomial on [1, 2], where its zero is, and the
 * asymptotic series from 10 on, to which whole steps lead: digamma(x + 1) = digamma(x) + 1 / x.
 */
#include "fastdl.h"
#include <math.h>

static const double pi = 3.14159265358979323846;

/* digamma over x - its zero, on [1, 2] in powers of 2 x - 3: from the Chebyshev series, exactly */
static const double near_zero[] = {
    0.95105587603183295,     -0.21181371064073029,    0.060135621060196841,
    -0.018550615381735008,   0.0059367952783017609,   -0.0019350666648613071,
    0.00063688803038658166,  -0.00021074841138175564, 6.9950188251127949e-05,
    -2.3258242519113285e-05, 7.7412345086363622e-06,  -2.5780939540457722e-06,
    8.5890607219306956e-07,  -2.8631611668831928e-07, 9.5432982882782733e-08,
    -3.1629111474084543e-08, 1.0527692435026688e-08,  -3.7083753242807273e-09,
    1.2469984616707403e-09,  -2.7580994814377009e-10, 8.7345284291429552e-11,
    -8.5055076601326096e-11, 2.9186227321682609e-11,
};
static const double zero_high = 1.4616321449683622, zero_low = 9.5499954299656977e-17;

/* Bernoulli numbers B(2k) over -2k */
static const double far_away[] = {
    -1. / 12, 1. / 120, -1. / 252, 1. / 240, -1. / 132, 691. / 32760, -1. / 12, 3617. / 8160,
};

static double series(const double *coefficients, int count, double t)
{
    double sum = 0;
    for (int i = count - 1; i >= 0; i--) sum = sum * t + coefficients[i];
    return sum;
}

static double digamma(double x)
{
    double sum = 0;
    if (x == 0) return -copysign(INFINITY, x);
    if (x < 0) { /* by digamma(1 - x), at the other side of 1/2 */
        if (x == floor(x)) return NAN;
        sum = -pi / tan(pi * (x - nearbyint(x)));
        x = 1 - x;
    }
    if (x < 1) {
        sum -= 1 / x;
        x += 1;
    }
    if (x <= 2)
        return sum + (x - zero_high - zero_low) *
                         series(near_zero, sizeof near_zero / sizeof *near_zero, 2 * x - 3);
    for (; x < 10; x += 1) sum -= 1 / x;
    const double s = 1 / (x * x);
    return sum + (log(x) - 0.5 / x +
                  s * series(far_away, sizeof far_away / sizeof *far_away, s));
}

static double log_gamma(double x)
{
    int sign;
    return lgamma_r(x, &sign); /* lgamma writes the sign to a variable that threads share */
}

void fdl_gamma(int slope, int is_double, int64_t n, const void *x, void *y, int threads)
{
    double (*function)(double) = slope ? digamma : log_gamma;
    const int parts = fdl_plan(threads, 20.0 * (double)n);
    (void)parts;
#ifdef _OPENMP
#pragma omp parallel for num_threads(parts) if (parts > 1)
#endif
    for (int64_t i = 0; i < n; i++)
        if (is_double)
            ((double *)y)[i] = function(((const double *)x)[i]);
        else
            ((float *)y)[i] = (float)function(((const float *)x)[i]);
}
