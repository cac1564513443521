/* vmath.c: elementary functions on vectors of REAL, one source for float and double.
 *
 * Every function is branch-free: a vector's lanes may need different cases, so all cases are
 * computed and SEL picks. Each is reduced to a short interval where a polynomial or a ratio of two
 * (fitted for the least relative error there; the figures stand beside the coefficients) is exact
 * to the last bit or so. The reductions are those of W. Cody and W. Waite, Software manual for the
 * elementary functions (1980).
 *
 * Largest errors in ulp of the true value, where the result is not denormal (without FMA up to 0.3
 * more):
 *
 *             exp  expm1  log  log1p  tanh  sigmoid  erf  erfc  softplus  silu  gelu  sin  cos
 *   float     0.9  1.5    0.8  1.5    1.5   2.1      1.5  5.0   1.9       2.9   4.1   2.3  2.3
 *   double    0.9  1.6    0.8  1.2    1.5   2.1      1.1  8.5   2.0       2.9   3.0   2.3  2.3
 *
 * relative also where results are tiny: erfc in its tail, and gelu but for another 1.1 x^2 ulp
 * where x < 0 (0.6 x^2 with FMA), as much as 1.1 ulp of x make there. Some are less exact there:
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

#define EXP_LEAST SPLAT(SINGLE ? -104 : -746) /* e^x = 0 */
#define EXP_MOST SPLAT(SINGLE ? 89 : 710)     /* e^x = inf */

/* e^(x + low), low for what x lacks in digits: |low| < 0.1; x in [EXP_LEAST, EXP_MOST] or NaN */
INLINE V F(exp_within)(V x, V low)
{
    V k = x * SPLAT(1.4426950408889634) + SPLAT(MAGIC) - SPLAT(MAGIC);
    V r = x - k * SPLAT(LN2_HIGH) + (low - k * SPLAT(LN2_LOW));
    return VSCALE((F(exp_tail)(r) * r + SPLAT(1)) * r + SPLAT(1), k);
}

/* 2^x = 2^k 2^r, k = round(x), r = x - k exactly, for |x| up to twice the largest exponent
 * 2^r = 1 + r q(r), relative error 2.0e-9 (float), 3.4e-18 (double) */
INLINE V F(exp2_within)(V x)
{
    static const double q5[] = {0.69314720285712193, 0.24022647913338881, 0.055503324678734529,
                                0.0096184373769953793, 0.0013398875441377445,
                                0.00015353359143912392};
    static const double q10[] = {0.69314718055994533, 0.24022650695910131, 0.055504108664820083,
                                 0.0096181291075941180, 0.0013333558146774660,
                                 0.00015403530457114105, 1.5252733493103735e-5,
                                 1.3215435281521161e-6, 1.0178199577272855e-7,
                                 7.0737833570503376e-9, 4.4347710186643811e-10};
    V k = x + SPLAT(MAGIC) - SPLAT(MAGIC), r = x - k;
    return VSCALE((SINGLE ? F(polynomial)(r, q5, 5) : F(polynomial)(r, q10, 10)) * r + SPLAT(1), k);
}

INLINE V F(vexp)(V x)
{
    return F(exp_within)(VMIN(EXP_MOST, VMAX(EXP_LEAST, x)), SPLAT(0)); /* NaN passes */
}

/* e^-|x| */
INLINE V F(exp_minus_abs)(V x) { return F(exp_within)(VMAX(EXP_LEAST, -VABS(x)), SPLAT(0)); }

/* e^x for scores minus their maximum, x <= 0 but for rounding: vexp without its care for large
 * results and for the last half ulp. 1.5 ulp; e^-inf is 0, NaN stays NaN. */
INLINE V F(exp_below)(V x)
{
    x = VMAX(SPLAT(SINGLE ? -104 : -746), x);
    V k = x * SPLAT(1.4426950408889634) + SPLAT(MAGIC) - SPLAT(MAGIC);
    V r = x - k * SPLAT(LN2_HIGH) - k * SPLAT(LN2_LOW);
    return VSCALE(F(exp_tail)(r) * (r * r) + r + SPLAT(1), k);
}

/* e^x - 1 = 2 (2^(k-1) (e^r - 1) + 2^(k-1) - 1/2): half of it does not overflow before it does */
INLINE V F(vexpm1)(V x)
{
    const V least = SPLAT(SINGLE ? -30 : -60), most = SPLAT(SINGLE ? 89 : 710); /* -1 and inf */
    V a = VMIN(most, VMAX(least, x));
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
    V e = F(exp_minus_abs)(x);
    return SEL(x < SPLAT(0), e, SPLAT(1)) / (e + SPLAT(1));
}

INLINE V F(vsilu)(V x) { return x * F(vsigmoid)(x); }

/* s + x s (1 - s), s = sigmoid(x) */
INLINE V F(vsilu_slope)(V x)
{
    V e = F(exp_minus_abs)(x), t = SPLAT(1) / (e + SPLAT(1)), u = e * t; /* sigmoid of |x|, -|x| */
    VI below = x < SPLAT(0);
    V s = SEL(below, u, t), rest = SEL(below, t, u);
    return s * (x * rest + SPLAT(1));
}

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
    V a = VABS(x), square = x * x, e = F(exp_minus_abs)(x + x);
    V p = SINGLE ? F(polynomial)(square, p4, 4) : F(polynomial)(square, p10, 10);
    V far = SPLAT(1) - (e + e) / (e + SPLAT(1));
    return WITH_SIGN_OF(x, SEL(a < SPLAT(0.55), a + a * (square * p), far));
}

/* ---- logarithms --------------------------------------------------------------------------------
 * x = 2^k m, m in [sqrt(1/2), sqrt(2));  f = m - 1,  s = f / (2 + f),  log m = 2 artanh s
 *   = f - f^2/2 + s (f^2/2 + s^2 l(s^2)), which for small f is f and a small correction
 * l fitted to (2 artanh s - 2 s) / s^3, error in log m 2.7e-9 (float), 4.4e-18 (double) */
/* log(x) - shift ln 2, x neither denormal nor 0, negative, infinite or NaN */
INLINE V F(log_normal)(V x, V shift)
{
    static const double l2[] = {0.66666685317904988, 0.39988697184776599, 0.29583041666686169};
    static const double l6[] = {0.66666666666666697, 0.39999999999897946, 0.28571428626627525,
                                0.22222211035304457, 0.18182895969995083, 0.15331505052857257,
                                0.14619013433904825};
    const VI root_half = (VI)SPLAT(0.70710678118654752), one = (VI)SPLAT(1);

    VI bits = (VI)x - root_half + one; /* exponent field: k + BIAS */
    V k = (V)((bits >> MANTISSA) + (VI)SPLAT(MAGIC)) - SPLAT(MAGIC + BIAS) - shift;
    V f = (V)((bits & (((INT)1 << MANTISSA) - 1)) + root_half) - SPLAT(1);

    V s = f / (f + SPLAT(2)), z = s * s, square = f * f * SPLAT(0.5);
    V l = z * (SINGLE ? F(polynomial)(z, l2, 2) : F(polynomial)(z, l6, 6));
    return k * SPLAT(LN2_HIGH) - ((square - (s * (square + l) + k * SPLAT(LN2_LOW))) - f);
}

INLINE V F(vlog)(V x)
{
    const V least = SPLAT(SINGLE ? 0x1p-126 : 0x1p-1022), zero = SPLAT(0);
    const V infinity = SPLAT(INFINITY);
    V normal = SEL(x < least, x * SPLAT(SINGLE ? 0x1p23 : 0x1p52), x);
    V y = F(log_normal)(normal, SEL(x < least, SPLAT(MANTISSA), zero));
    V special = SEL(x < zero, SPLAT(NAN), SEL(x == zero, -infinity, x)); /* inf and NaN stay */
    return SEL((x > zero) & (x < infinity), y, special);
}

/* log(1 + x) = log(u) + (x - (u - 1)) / u, u = 1 + x rounded */
INLINE V F(log1p_normal)(V x)
{
    V u = x + SPLAT(1), lost = x - (u - SPLAT(1));
    return F(log_normal)(u, SPLAT(0)) + lost / u;
}

INLINE V F(vlog1p)(V x)
{
    const V infinity = SPLAT(INFINITY);
    V y = F(log1p_normal)(x);
    V special = SEL(x < SPLAT(-1), SPLAT(NAN), SEL(x == SPLAT(-1), -infinity, x));
    return SEL((x > SPLAT(-1)) & (x < infinity) & (x != SPLAT(0)), y, special); /* -0, inf, NaN */
}

/* log(1 + e^x) */
INLINE V F(vsoftplus)(V x)
{
    return SEL(x > SPLAT(0), x, SPLAT(0)) + F(log1p_normal)(F(exp_minus_abs)(x));
}

/* x tanh(log(1 + e^x)) = x n / (n + 2) with n = e^x (e^x + 2); from x = 30 on, n / (n + 2) is 1 */
INLINE V F(exp_to_30)(V x) { return F(vexp)(SEL(x > SPLAT(30), SPLAT(30), x)); }

INLINE V F(vmish)(V x)
{
    V e = F(exp_to_30)(x), n = e * (e + SPLAT(2));
    return x * (n / (n + SPLAT(2)));
}

/* n / (n + 2) + 4 x e^x (1 + e^x) / (n + 2)^2 */
INLINE V F(vmish_slope)(V x)
{
    V e = F(exp_to_30)(x), n = e * (e + SPLAT(2)), t = SPLAT(1) / (n + SPLAT(2));
    return n * t + x * SPLAT(4) * (e * t) * ((e + SPLAT(1)) * t);
}

/* ---- error function and normal distribution ----------------------------------------------------
 * Phi(-a) = e^(-a^2/2) M(a) for a >= 0, M being Mills' ratio over sqrt(2 pi). M falls from 1/2 at 0
 * as 1 / (a sqrt(2 pi)): a ratio of two polynomials with positive coefficients, so that nothing
 * cancels; relative error 5.7e-9 for a <= 14.3 (float), 8.9e-19 for a <= 38.6 (double), a little
 * before where Phi(-a) has become 0. And erfc z = 2 Phi(-z sqrt(2)). */
INLINE V F(mills)(V a, V factor)
{
    static const double n4[] = {0.50000000280410539, 0.43848906864068554, 0.18338088622020612,
                                0.040682811315362257, 0.0041237300104800612};
    static const double d5[] = {1.0, 1.6748631113873241, 1.2031044159689155, 0.46985550712808267,
                                0.10198308196537051, 0.010336539604997834};
    static const double n10[] = {0.5, 0.82774492670718929, 0.67932743348112856,
                                 0.35712694015744774, 0.13193897039950248, 0.035631195024678369,
                                 0.0071139062900973651, 0.001038137388593869,
                                 0.0001063796803331941, 6.9609470103932578e-6,
                                 2.236068481328927e-7};
    static const double d11[] = {1.0, 2.4533744142172444, 2.8161644339349623, 2.0005023159928543,
                                 0.97946882460264395, 0.3480261614444673, 0.091881488721360552,
                                 0.018097451956758072, 0.0026196730380027579,
                                 0.00026721481381410317, 1.7448506594490305e-5,
                                 5.6049924793089771e-7};
    V n = SINGLE ? F(polynomial)(a, n4, 4) : F(polynomial)(a, n10, 10);
    V d = SINGLE ? F(polynomial)(a, d5, 5) : F(polynomial)(a, d11, 11);
    return factor * n / d;
}

/* e^(-a^2/2): what the exponent's roundings cost, up to 1.1 a^2 ulp, 1.1 ulp of a would, too */
INLINE V F(bell)(V a) { return F(exp2_within)(a * SPLAT(-0.72134752044448170) * a); }

/* e^(-z^2). The square's rounding, which would cost z^2 ulp, goes along: an FMA gives it, else
 * z^2 = h^2 + (z - h)(z + h) with h half of z's digits, so that h^2 is exact. */
INLINE V F(exp_minus_square)(V z)
{
#ifdef VFMA
    V square = -z * z;
    KEEP(square); /* or else it might not be rounded below */
    return F(exp_within)(square, VFMA(-z, z, -square));
#else
    V h = (V)((VI)z & ~(((INT)1 << (MANTISSA / 2 + 1)) - 1));
    return F(exp_within)(-h * h, (h - z) * (h + z));
#endif
}

/* |x|, at most where erfc, or with scale sqrt(2) the normal distribution, has become 0 */
INLINE V F(within_erfc)(V x, const REAL scale)
{
    const V most = SPLAT((SINGLE ? 10.25 : 27.31) * scale);
    return VMIN(most, VABS(x));
}

/* erf: x + x p(x^2) up to 0.8 (relative error 2.9e-9 and 4.1e-19), 1 - erfc beyond */
INLINE V F(verf)(V x)
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
    V z = F(within_erfc)(x, 1), a = z * SPLAT(1.4142135623730951), square = x * x;
    V tail = F(mills)(a, F(exp_minus_square)(z) * SPLAT(2));
    V near = x + x * (SINGLE ? F(polynomial)(square, p5, 5) : F(polynomial)(square, p11, 11));
    return SEL(z < SPLAT(0.8), near, WITH_SIGN_OF(x, SPLAT(1) - tail));
}

INLINE V F(verf_slope)(V x)
{
    return F(exp_minus_square)(F(within_erfc)(x, 1)) * SPLAT(1.1283791670955126);
}

INLINE V F(verfc)(V x)
{
    V z = F(within_erfc)(x, 1);
    V tail = F(mills)(z * SPLAT(1.4142135623730951), F(exp_minus_square)(z) * SPLAT(2));
    return SEL(x < SPLAT(0), SPLAT(2) - tail, tail);
}

/* x Phi(x) = max(x, 0) - |x| Phi(-|x|): nothing cancels where it is small */
INLINE V F(vgelu)(V x)
{
    V a = F(within_erfc)(x, 1.4142135623730951); /* not inf * 0 */
    return VMAX(SPLAT(0), x) - a * F(mills)(a, F(bell)(a));
}

/* Phi(x) + x phi(x), phi(x) = e^(-x^2/2) / sqrt(2 pi) */
INLINE V F(vgelu_slope)(V x)
{
    V a = F(within_erfc)(x, 1.4142135623730951), e = F(bell)(a), tail = F(mills)(a, e);
    V phi = SEL(x < SPLAT(0), tail, SPLAT(1) - tail);
    return phi + a * WITH_SIGN_OF(x, e * SPLAT(0.39894228040143268));
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
    x = VMAX(-most, VMIN(most, x));
    V square = x * x * SPLAT(0.044715);
    V twice_u = x * (square + SPLAT(1)) * SPLAT(1.5957691216057308);
    V e = F(exp_minus_abs)(twice_u), t = SPLAT(1) / (e + SPLAT(1));
    V s = SEL(x < SPLAT(0), e * t, t);
    return s + x * (e * t * t) * (square * SPLAT(3) + SPLAT(1)) * SPLAT(1.5957691216057308);
}

/* ---- sine and cosine ---------------------------------------------------------------------------
 * x = k pi/2 + r, r in [-pi/4, pi/4]; k mod 4 says which of +-sin r, +-cos r it is.
 *   sin r = r + r^3 s(r^2), error 3.5e-9 (float), 3.4e-18;  cos r = 1 - r^2/2 + r^4 c(r^2)
 * pi/2 comes in parts so short that k times each is exact, up to |x| = 2^14 (float), 2^20: beyond,
 * which is rare, a vector goes to the C library. */
INLINE VI F(trigonometric_quarter)(V x, V *r)
{
    static const double p5[] = {0x1.92p0, 0x1.fbp-12, 0x1.51p-22, 0x1.0bp-34,
                                0x1.18469898cc517p-44};
    static const double p4[] = {0x1.921fb544p0, 0x1.0b4611a6p-34, 0x1.3198a2ep-69,
                                0x1.b839a252049c1p-104};
    const double *part = SINGLE ? p5 : p4;
    V shifted = x * SPLAT(0.63661977236758134) + SPLAT(MAGIC), k = shifted - SPLAT(MAGIC);
    V rest = x;
    UNROLL(8) for (int i = 0; i < (SINGLE ? 5 : 4); i++) rest -= k * SPLAT(part[i]);
    *r = rest;
    return (VI)shifted - (VI)SPLAT(MAGIC);
}

/* +-sin r where `quarter` is even, +-cos r where it is odd */
INLINE V F(trigonometric)(V r, VI quarter)
{
    static const double s2[] = {-0.16666654845115572, 0.0083321734101702757,
                                -0.00019516814248558187};
    static const double s5[] = {-0.16666666666666632,   0.0083333333333224333,
                                -0.00019841269829816314, 2.7557313694239858e-6,
                                -2.5050758488549832e-8, 1.5896820123247752e-10};
    static const double c2[] = {0.041666647092911877, -0.0013887377388246777,
                                2.4439477339904636e-5};
    static const double c5[] = {0.041666666666666599,  -0.0013888888888874142,
                                2.4801587289497735e-5, -2.7557314357309992e-7,
                                2.0875723963111554e-9, -1.1359682972905521e-11};
    V square = r * r;
    V s = r + r * square * (SINGLE ? F(polynomial)(square, s2, 2) : F(polynomial)(square, s5, 5));
    V c = SINGLE ? F(polynomial)(square, c2, 2) : F(polynomial)(square, c5, 5);
    c = SPLAT(1) - (square * SPLAT(0.5) - square * square * c);
    V y = SEL((quarter & 1) != 0, c, s);
    return (V)((VI)y ^ (quarter << (8 * (int)sizeof(REAL) - 2) & SIGN_BIT)); /* bit 1: negative */
}

INLINE V F(vsincos)(V x, const int cosine)
{
    V r;
    VI far = VABS(x) > SPLAT(SINGLE ? 0x1p14 : 0x1p20);
    VI quarter = F(trigonometric_quarter)(x, &r) + cosine;
    V y = F(trigonometric)(r, quarter);
    if (!cosine) y = SEL(x == SPLAT(0), x, y); /* -0 */
    if (ANY(far)) {
        REAL t[VL], u[VL];
        ST(t, x);
        for (int i = 0; i < VL; i++) u[i] = cosine ? (REAL)cos(t[i]) : (REAL)sin(t[i]);
        y = SEL(far, LD(u), y);
    }
    return y;
}

INLINE V F(vsin)(V x) { return F(vsincos)(x, 0); }

INLINE V F(vcos)(V x) { return F(vsincos)(x, 1); }
