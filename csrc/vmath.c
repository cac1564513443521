/* vmath.c: elementary functions on vectors of REAL, one source for float and double.
 *
 * Every function is branch-free: a vector's lanes may need different cases, so all cases are
 * computed and SEL picks. Each is reduced to a short interval where a polynomial or a ratio of two
 * (fitted for the least relative error there; the figures stand beside the coefficients) is exact
 * to the last bit or so. The reductions are those of W. Cody and W. Waite, Software manual for the
 * elementary functions (1980).
 *
 * Largest errors in ulp of the true value, where the result is not denormal:
 *
 *             exp  expm1  log   log1p  tanh  sigmoid  erf   erfc  softplus  silu  gelu
 *   float     0.9  1.6    0.8   1.5    1.5   2.1      1.4   5.5   1.8       2.7   9.7
 *   double    0.9  1.6    0.8   1.2    1.5   2.0      1.2   9     2.0       2.7   7
 *
 * relative also where results are tiny: erfc and gelu in their tails. Some are less exact there:
 * silu and sigmoid follow e^x, which is denormal below x = -87 (-708) and has fewer digits; gelu
 * with the tanh formula, for x < -5, magnifies the rounding of the argument of e^x by that very
 * argument. The slopes of gelu cross 0 near x = -0.75: exact to 2 ulp of 1, not of themselves.
 *
 * NaN stays NaN everywhere, infinities give the limits, signed zeros keep their sign where the
 * function passes through zero.
 */
#define SINGLE (sizeof(REAL) == 4)
#define MANTISSA (SINGLE ? 23 : 52)
#define BIAS (SINGLE ? 127 : 1023)
#define MAGIC (SINGLE ? 0x1.8p23 : 0x1.8p52) /* x + MAGIC: x is rounded, in the sum's low bits */
#define LN2_HIGH (SINGLE ? 0x1.62ep-1 : 0x1.62e42feep-1) /* so short that k * LN2_HIGH is exact */
#define LN2_LOW (SINGLE ? 3.194618494530942e-5 : 1.9082149292705877e-10)

#define SIGN_BIT ((VI)SPLAT(-0.0))
#define VABS(x) ((V)((VI)(x) & ~SIGN_BIT))
#define WITH_SIGN_OF(x, y) ((V)((VI)(y) | ((VI)(x) & SIGN_BIT))) /* y >= 0 */

/* c[0] + c[1] x + ... + c[degree] x^degree */
INLINE V F(polynomial)(V x, const double *c, const int degree)
{
    V y = SPLAT(c[degree]);
    UNROLL(16) for (int i = degree - 1; i >= 0; i--) y = y * x + SPLAT(c[i]);
    return y;
}

/* ---- exponentials ------------------------------------------------------------------------------
 * e^x = 2^k e^r,  k = round(x / ln 2),  r = x - k ln 2 in [-ln2/2, ln2/2]
 * e^r = 1 + r + r^2 q(r), relative error 3.7e-9 (float), 4.4e-18 (double) */

/* e^r - 1 - r over r^2 */
INLINE V F(exp_tail)(V r)
{
    static const double q4[] = {0.49999988, 0.16666518, 0.041669536, 0.008368931, 0.0013751356};
    static const double q9[] = {
        0.5000000000000012,    0.16666666666666483,    0.04166666666651608,   0.008333333333451622,
        0.00138888889467478,   0.00019841269596823096, 2.480149026903066e-05, 2.755750743856256e-06,
        2.763115485562374e-07, 2.502463332219875e-08};
    return SINGLE ? F(polynomial)(r, q4, 4) : F(polynomial)(r, q9, 9);
}

/* e^(x + low), |low| < 1, for an argument known to more digits than a REAL has */
INLINE V F(exp_sum)(V x, V low)
{
    const V least = SPLAT(SINGLE ? -104 : -746), most = SPLAT(SINGLE ? 89 : 710); /* 0 and inf */
    x = SEL(x < least, least, x); /* comparisons are false for NaN, which passes */
    x = SEL(x > most, most, x);
    V k = (x + low) * SPLAT(1.4426950408889634) + SPLAT(MAGIC) - SPLAT(MAGIC);
    V high = x - k * SPLAT(LN2_HIGH), rest = low - k * SPLAT(LN2_LOW);
    V r = high + rest;
    rest += high - r; /* what r lost: a quarter of an ulp in the result */
    return VSCALE(F(exp_tail)(r) * (r * r) + rest + r + SPLAT(1), k);
}

INLINE V F(vexp)(V x) { return F(exp_sum)(x, SPLAT(0)); }

/* e^x - 1 = 2 (2^(k-1) (e^r - 1) + 2^(k-1) - 1/2): half of it does not overflow before it does */
INLINE V F(vexpm1)(V x)
{
    const V least = SPLAT(SINGLE ? -30 : -60), most = SPLAT(SINGLE ? 89 : 710); /* -1 and inf */
    V a = SEL(x < least, least, x);
    a = SEL(a > most, most, a);
    V shifted = a * SPLAT(1.4426950408889634) + SPLAT(MAGIC), k = shifted - SPLAT(MAGIC);
    V r = a - k * SPLAT(LN2_HIGH) - k * SPLAT(LN2_LOW);
    V e = F(exp_tail)(r) * (r * r) + r;
    V s = (V)(((VI)shifted - (VI)SPLAT(MAGIC) + (BIAS - 1)) << MANTISSA); /* 2^(k-1) */
    V half = e * s + (s - SPLAT(0.5));
    e = SEL(k == SPLAT(0), e, half + half);
    return SEL(x == SPLAT(0), x, e); /* -0 */
}

/* 1 / (1 + e^-x) from e^-|x|, which does not overflow */
INLINE V F(vsigmoid)(V x)
{
    V e = F(vexp)(-VABS(x));
    return SEL(x < SPLAT(0), e, SPLAT(1)) / (e + SPLAT(1));
}

INLINE V F(vsilu)(V x) { return x * F(vsigmoid)(x); }

/* tanh: x + x^3 p(x^2) up to 0.55 (relative error 1e-9 and 6e-19), beyond 1 - 2 e / (1 + e) with
 * e = e^(-2|x|) */
INLINE V F(vtanh)(V x)
{
    static const double p4[] = {-0.333333177154561521, 0.13332591377260937494,
                                -0.053852840249672052206, 0.021073773995405338529,
                                -0.0062770816947214099621};
    static const double p10[] = {-0.33333333333333298379, 0.13333333333326624194,
                                 -0.053968253963764041665, 0.021869488385963004593,
                                 -0.0088632326031843221702, 0.0035920920474228438246,
                                 -0.0014555429503559440877, 0.0005884448970980900661,
                                 -0.00023338256450322052461, 0.00008331781915601510808,
                                 -0.00001949550061301204552};
    V a = VABS(x), square = x * x, e = F(vexp)(a * SPLAT(-2));
    V p = SINGLE ? F(polynomial)(square, p4, 4) : F(polynomial)(square, p10, 10);
    V far = SPLAT(1) - (e + e) / (e + SPLAT(1));
    return WITH_SIGN_OF(x, SEL(a < SPLAT(0.55), a + a * (square * p), far));
}

/* ---- logarithms --------------------------------------------------------------------------------
 * x = 2^k m, m in [sqrt(1/2), sqrt(2));  f = m - 1,  s = f / (2 + f),  log m = 2 artanh s
 *   = f - f^2/2 + s (f^2/2 + s^2 l(s^2)), which for small f is f and a small correction
 * l fitted to (2 artanh s - 2 s) / s^3, error in log m 2.7e-9 (float), 4.4e-18 (double) */
INLINE V F(vlog)(V x)
{
    static const double l2[] = {0.66666685317904988, 0.39988697184776599, 0.29583041666686169};
    static const double l6[] = {0.66666666666666697, 0.39999999999897946, 0.28571428626627525,
                                0.22222211035304457, 0.18182895969995083, 0.15331505052857257,
                                0.14619013433904825};
    const V least_normal = SPLAT(SINGLE ? 0x1p-126 : 0x1p-1022), zero = SPLAT(0);
    const V infinity = SPLAT(INFINITY);
    const VI root_half = (VI)SPLAT(0.70710678118654752), one = (VI)SPLAT(1);

    V normal = SEL(x < least_normal, x * SPLAT(SINGLE ? 0x1p23 : 0x1p52), x);
    VI bits = (VI)normal - root_half + one; /* exponent field: k + BIAS */
    V k = (V)((bits >> MANTISSA) + (VI)SPLAT(MAGIC)) - SPLAT(MAGIC + BIAS);
    k -= SEL(x < least_normal, SPLAT(MANTISSA), zero);
    V f = (V)((bits & (((INT)1 << MANTISSA) - 1)) + root_half) - SPLAT(1);

    V s = f / (f + SPLAT(2)), z = s * s, square = f * f * SPLAT(0.5);
    V l = z * (SINGLE ? F(polynomial)(z, l2, 2) : F(polynomial)(z, l6, 6));
    V y = k * SPLAT(LN2_HIGH) - ((square - (s * (square + l) + k * SPLAT(LN2_LOW))) - f);

    V special = SEL(x < zero, SPLAT(NAN), SEL(x == zero, -infinity, x)); /* inf and NaN stay */
    return SEL((x > zero) & (x < infinity), y, special);
}

/* log(1 + x) = log(u) + (x - (u - 1)) / u, u = 1 + x rounded */
INLINE V F(vlog1p)(V x)
{
    V u = x + SPLAT(1), lost = x - (u - SPLAT(1));
    V y = F(vlog)(u);
    y = SEL((u > SPLAT(0)) & (u < SPLAT(INFINITY)), y + lost / u, y);
    return SEL(x == SPLAT(0), x, y); /* -0 */
}

/* log(1 + e^x) */
INLINE V F(vsoftplus)(V x)
{
    return SEL(x > SPLAT(0), x, SPLAT(0)) + F(vlog1p)(F(vexp)(-VABS(x)));
}

/* ---- error function and normal distribution ----------------------------------------------------
 * erfc z = e^(-z^2) R(z) for z >= 0. R falls from 1 at 0 as 1 / (z sqrt(pi)): a ratio of two
 * polynomials with positive coefficients, so that nothing cancels; relative error 5.5e-9 for
 * z <= 10.1 (float), 8.9e-19 for z <= 27.3 (double), a little before where erfc has become 0. */
INLINE V F(erfc_ratio)(V z)
{
    static const double n4[] = {1.0000000056082107, 1.240234375648009, 0.73352354488082454,
                                0.23013673407060368, 0.032989840083840489};
    static const double d5[] = {1.0, 2.3686141272423534, 2.4062088319378309, 1.3289520610724459,
                                0.40793232786148202, 0.058472297989578287};
    static const double n10[] = {1.0, 2.3412162030696614, 2.7173097339245143, 2.0202150490378693,
                                 1.0555117631960197, 0.40312095397968717, 0.11382250064155784,
                                 0.023490367592896603, 0.0034041497706622109,
                                 0.00031501650140987505, 1.4310838280505132e-5};
    static const double d11[] = {1.0, 3.4695953701651743, 5.632328867869925, 5.6582750136717632,
                                 3.9178752984105757, 1.968733270301656, 0.73505190977088443,
                                 0.20474929601314218, 0.041914768608044128, 0.0060463810202064984,
                                 0.00055835221102368972, 2.5365300419961454e-5};
    return SINGLE ? F(polynomial)(z, n4, 4) / F(polynomial)(z, d5, 5)
                  : F(polynomial)(z, n10, 10) / F(polynomial)(z, d11, 11);
}

/* e^(-scale z^2), scale 1 or 1/2: z^2 = h^2 + (z - h)(z + h) with h half of z's digits, so that
 * h^2 is exact. Rounding z^2 would cost z^2 ulp. */
INLINE V F(exp_minus_square)(V z, const REAL scale)
{
    V h = (V)((VI)z & ~(((INT)1 << (MANTISSA / 2 + 1)) - 1));
    return F(exp_sum)(h * h * SPLAT(-scale), (h - z) * (h + z) * SPLAT(scale));
}

/* |x|, at most where erfc has become 0 */
INLINE V F(within_erfc)(V x, const REAL scale)
{
    const V most = SPLAT((SINGLE ? 10.25 : 27.31) * scale);
    x = VABS(x);
    return SEL(x > most, most, x);
}

/* erf: x + x p(x^2) up to 0.8 (relative error 2.9e-9 and 4.1e-19), 1 - erfc beyond */
INLINE V F(vanyerf)(V x, const int complement)
{
    static const double p5[] = {0.12837916370646358261,  -0.37612601448752566103,
                                0.11283113687655535322,  -0.026820848595407646526,
                                0.0050852098890183530672, -0.00065357548426653163073};
    static const double p11[] = {0.12837916709551257371,   -0.37612638903183745313,
                                 0.11283791670954659214,   -0.02686617064501172072,
                                 0.0052239776238562815067, -0.0008548326899023960715,
                                 0.00012055326778119721521, -0.000014925446146427066803,
                                 1.6457611504185064949e-6, -1.6299830521761525799e-7,
                                 1.4185730915767787088e-8, -8.827566400867453387e-10};
    V z = F(within_erfc)(x, 1), square = x * x;
    V tail = F(exp_minus_square)(z, 1) * F(erfc_ratio)(z);
    V near = x + x * (SINGLE ? F(polynomial)(square, p5, 5) : F(polynomial)(square, p11, 11));
    if (complement) return SEL(x < SPLAT(0), SPLAT(2) - tail, tail);
    return SEL(z < SPLAT(0.8), near, WITH_SIGN_OF(x, SPLAT(1) - tail));
}

INLINE V F(verf)(V x) { return F(vanyerf)(x, 0); }

INLINE V F(verfc)(V x) { return F(vanyerf)(x, 1); }

/* Phi(x), the normal distribution function, small values to full relative accuracy; and its slope
 * phi(x) = e^(-x^2/2) / sqrt(2 pi) */
INLINE V F(vnormal)(V x, V *slope)
{
    V a = F(within_erfc)(x, 1.4142135623730951);
    V e = F(exp_minus_square)(a, 0.5);
    V tail = e * (F(erfc_ratio)(a * SPLAT(0.70710678118654752)) * SPLAT(0.5));
    *slope = e * SPLAT(0.39894228040143268);
    return SEL(x < SPLAT(0), tail, SPLAT(1) - tail);
}

INLINE V F(vgelu)(V x)
{
    V slope;
    return x * F(vnormal)(x, &slope);
}

/* Phi(x) + x phi(x) */
INLINE V F(vgelu_slope)(V x)
{
    V slope, phi = F(vnormal)(x, &slope);
    return phi + F(within_erfc)(x, 1.4142135623730951) * WITH_SIGN_OF(x, slope);
}

/* With approximate="tanh": x (1 + tanh u) / 2 = x sigmoid(2 u), u = sqrt(2 / pi) (x + c x^3) */
INLINE V F(vgelu_tanh)(V x)
{
    return x * F(vsigmoid)(x * (x * x * SPLAT(0.044715) + SPLAT(1)) * SPLAT(1.5957691216057308));
}

/* s + x s (1 - s) 2 u' with s = sigmoid(2 u); x is held where s is 0 or 1, since 0 * inf is NaN */
INLINE V F(vgelu_tanh_slope)(V x)
{
    const V most = SPLAT(SINGLE ? 20 : 40);
    x = SEL(x > most, most, x);
    x = SEL(x < -most, -most, x);
    V square = x * x * SPLAT(0.044715);
    V twice_u = x * (square + SPLAT(1)) * SPLAT(1.5957691216057308);
    V e = F(vexp)(-VABS(twice_u)), t = SPLAT(1) / (e + SPLAT(1));
    V s = SEL(x < SPLAT(0), e * t, t);
    return s + x * (e * t * t) * (square * SPLAT(3) + SPLAT(1)) * SPLAT(1.5957691216057308);
}
