/* vmath.c: elementary functions on vectors. So far exp, for softmax and cross-entropy.
 *
 * exp(x) = 2^k e^r,  k = round(x / ln 2),  r = x - k ln 2 in [-ln2/2, ln2/2]  (Cody & Waite 1980)
 *   k      by adding and subtracting 1.5 * 2^(mantissa bits): the sum's low bits are the integer k
 *   r      with ln 2 in two parts, the first so short that k * part is exact
 *   e^r    1 + r + r^2 q(r), q fitted to the least relative error: 3.7e-9 (float), 4.4e-18 (double)
 *   2^k    as 2^(k/2) 2^(k - k/2), both made by integer arithmetic on the exponent field: neither
 *          overflows where the result does not, and a denormal result is rounded once
 *
 * Error at most 1.5 ulp over the whole range, denormal results included; exp(0) = 1; overflow gives
 * inf, underflow 0; exp(-inf) = 0, exp(inf) = inf, NaN stays NaN.
 */
INLINE V F(vexp)(V x)
{
    enum {
        SINGLE = sizeof(REAL) == 4,
        MANTISSA = SINGLE ? 23 : 52,
        BIAS = SINGLE ? 127 : 1023,
        DEGREE = SINGLE ? 4 : 9
    };
    static const double q4[] = {0.49999988, 0.16666518, 0.041669536, 0.008368931, 0.0013751356};
    static const double q9[] = {
        0.5000000000000012,    0.16666666666666483,    0.04166666666651608,   0.008333333333451622,
        0.00138888889467478,   0.00019841269596823096, 2.480149026903066e-05, 2.755750743856256e-06,
        2.763115485562374e-07, 2.502463332219875e-08};
    const double *c = SINGLE ? q4 : q9;
    const V magic = SPLAT(SINGLE ? 0x1.8p23 : 0x1.8p52);
    const V ln2_high = SPLAT(SINGLE ? 0x1.63p-1 : 0x1.62e42feep-1);
    const V ln2_low = SPLAT(SINGLE ? -2.1219444005469057e-4 : 1.9082149292705877e-10);
    const V least = SPLAT(SINGLE ? -104 : -746),
            most = SPLAT(SINGLE ? 89 : 710); /* results 0 and inf */

    x = SEL(x < least, least, x); /* comparisons are false for NaN, which passes */
    x = SEL(x > most, most, x);
    V shifted = x * SPLAT(1.4426950408889634) + magic;
    V k = shifted - magic;
    V r = x - k * ln2_high - k * ln2_low;
    V q = SPLAT(c[DEGREE]);
    UNROLL(16) for (int i = DEGREE - 1; i >= 0; i--) q = q * r + SPLAT(c[i]);
    V e = q * (r * r) + r + SPLAT(1);

    VI k_all = (VI)shifted - (VI)magic;
    VI k_half = (VI)(k * SPLAT(0.5) + magic) - (VI)magic;
    return e * (V)((k_half + BIAS) << MANTISSA) * (V)((k_all - k_half + BIAS) << MANTISSA);
}
