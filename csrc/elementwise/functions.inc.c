/* functions.inc.c: the elementwise functions, one line each.
 *
 * MAP(name, inputs, cost, value) is defined by map.c, which includes this file twice: to make a
 * loop of every line, and to make its entry in the table.
 *
 *   name     what fastdl._kernels.MAPS and the ops call it
 *   inputs   how many of the vectors a, b, c the value is made of
 *   cost     nanoseconds for a float, one thread, memory in the last-level cache: for fdl_plan
 *   value    of a, b, c and of p and q, parameters of the call that are the same for all elements
 *
 * A function x_backward takes the gradient of x's result first and then what it depends on: x's
 * result where that is enough, else its input. A truth value is 0 or not; comparisons make 0 and 1.
 */

/* arithmetic */
MAP(add, 2, 0.1, a + b)
MAP(add_scaled, 2, 0.1, a + p * b)
MAP(sub, 2, 0.1, a - b)
MAP(mul, 2, 0.1, a * b)
MAP(div, 2, 0.1, a / b)
MAP(neg, 1, 0.1, -a)
MAP(abs, 1, 0.1, VABS(a))
MAP(abs_backward, 2, 0.1, a * SEL(b > ZERO, ONE, SEL(b < ZERO, -ONE, b)))
MAP(square, 1, 0.1, a * a)
MAP(square_backward, 2, 0.1, a * (b + b))
MAP(cube, 1, 0.1, a * a * a)
MAP(reciprocal, 1, 0.1, ONE / a)
MAP(reciprocal_backward, 2, 0.1, -a * b * b)
MAP(sqrt, 1, 0.15, VSQRT(a))
MAP(sqrt_backward, 2, 0.1, a / (b + b))
MAP(rsqrt, 1, 0.2, ONE / VSQRT(a))
MAP(rsqrt_backward, 2, 0.1, a * (b * b * b) * SPLAT(-0.5))
MAP(addcmul, 3, 0.15, a + p * b * c)
MAP(addcdiv, 3, 0.15, a + p * b / c)
MAP(lerp, 3, 0.15, SEL(VABS(c) < SPLAT(0.5), a + c * (b - a), b - (b - a) * (ONE - c)))

/* comparison and choice */
MAP(maximum, 2, 0.1, F(greater)(a, b))
MAP(maximum_backward, 3, 0.15, SEL(b > c, a, AND(b == c, a * SPLAT(0.5))))
MAP(minimum, 2, 0.1, F(smaller)(a, b))
MAP(minimum_backward, 3, 0.15, SEL(b < c, a, AND(b == c, a * SPLAT(0.5))))
MAP(clamp, 1, 0.1, (V)((VI)VMIN(q, VMAX(p, a)) | (VI)((p != p) | (q != q)))) /* NaN, too */
MAP(clamp_backward, 2, 0.1, AND((b >= p) & (b <= q), a))
MAP(eq, 2, 0.1, AND(a == b, ONE))
MAP(ne, 2, 0.1, AND(a != b, ONE))
MAP(lt, 2, 0.1, AND(a < b, ONE))
MAP(le, 2, 0.1, AND(a <= b, ONE))
MAP(gt, 2, 0.1, AND(a > b, ONE))
MAP(ge, 2, 0.1, AND(a >= b, ONE))
MAP(select, 3, 0.15, SEL(a != ZERO, b, c))
MAP(masked_fill, 3, 0.15, SEL(b != ZERO, c, a))
MAP(finite, 2, 0.25, SEL(a != a, b, SEL(a == SPLAT(INFINITY), q, SEL(a == SPLAT(-INFINITY), p, a))))

/* exponentials, logarithms, the error function, sine and cosine */
MAP(exp, 1, 0.25, F(vexp)(a))
MAP(expm1, 1, 0.33, F(vexpm1)(a))
MAP(expm1_backward, 2, 0.1, a * (b + ONE))
MAP(log, 1, 0.5, F(vlog)(a))
MAP(log1p, 1, 0.5, F(vlog1p)(a))
MAP(log1p_backward, 2, 0.1, a / (b + ONE))
MAP(tanh, 1, 0.5, F(vtanh)(a))
MAP(tanh_backward, 2, 0.1, a * (ONE - b * b))
MAP(sigmoid, 1, 0.33, F(vsigmoid)(a))
MAP(sigmoid_backward, 2, 0.1, a * ((ONE - b) * b))
MAP(erf, 1, 0.65, F(verf)(a))
MAP(erfc, 1, 0.65, F(verfc)(a))
MAP(erf_backward, 2, 0.35, a * F(verf_slope)(b))
MAP(sin, 1, 0.45, F(vsin)(a))
MAP(cos, 1, 0.45, F(vcos)(a))

/* activations */
MAP(relu, 1, 0.1, AND(~(a <= ZERO), a))
MAP(relu_backward, 2, 0.1, AND(~(b <= ZERO), a))
MAP(leaky_relu, 1, 0.1, SEL(a > ZERO, a, a * p))
MAP(leaky_relu_backward, 2, 0.1, SEL(b > ZERO, a, a * p))
MAP(elu, 1, 0.35, SEL(a > ZERO, a, F(vexpm1)(a) * p) * q)
MAP(elu_backward, 2, 0.3, SEL(b > ZERO, a, F(vexp)(b) * a * p) * q)
MAP(silu, 1, 0.35, F(vsilu)(a))
MAP(silu_backward, 2, 0.4, a * F(vsilu_slope)(b))
MAP(gelu, 1, 0.5, F(vgelu)(a))
MAP(gelu_backward, 2, 0.55, a * F(vgelu_slope)(b))
MAP(gelu_tanh, 1, 0.5, F(vgelu_tanh)(a))
MAP(gelu_tanh_backward, 2, 0.5, a * F(vgelu_tanh_slope)(b))
MAP(softplus, 1, 0.8, SEL(a * p > q, a, F(vsoftplus)(a * p) / p))
MAP(softplus_backward, 2, 0.4, SEL(b * p > q, a, F(vsigmoid)(b * p) * a))
MAP(mish, 1, 0.4, F(vmish)(a))
MAP(mish_backward, 2, 0.45, a * F(vmish_slope)(b))
MAP(hardtanh_backward, 2, 0.1, AND(~((b <= p) | (b >= q)), a))
MAP(hardsigmoid, 1, 0.1, F(smaller)(F(greater)(a + SPLAT(3), ZERO), SPLAT(6)) / SPLAT(6))
MAP(hardsigmoid_backward, 2, 0.1, AND((b > SPLAT(-3)) & (b < SPLAT(3)), a / SPLAT(6)))
MAP(hardswish, 1, 0.1, a * F(smaller)(F(greater)(a + SPLAT(3), ZERO), SPLAT(6)) / SPLAT(6))
MAP(hardswish_backward, 2, 0.1,
    AND(~(b <= SPLAT(-3)), SEL(b < SPLAT(3), a * (b / SPLAT(3) + SPLAT(0.5)), a)))
MAP(softshrink, 1, 0.1, SEL(a > p, a - p, SEL(a < -p, a + p, a * ZERO)))
MAP(hardshrink, 1, 0.1, AND(~((a >= -p) & (a <= p)), a))
MAP(shrink_backward, 2, 0.1, AND(~((b >= -p) & (b <= p)), a))
MAP(prelu, 2, 0.1, SEL(a > ZERO, a, a * b))
MAP(prelu_backward, 3, 0.15, SEL(b > ZERO, a, a * c))

/* losses of an input a and a target b; gradients in the input: a is the result's, b and c those */
MAP(squared_error, 2, 0.1, (a - b) * (a - b))
MAP(squared_error_backward, 3, 0.15, (b - c) * (a + a))
MAP(absolute_error, 2, 0.1, VABS(a - b))
MAP(absolute_error_backward, 3, 0.15, a * (AND(b > c, ONE) - AND(b < c, ONE)))
MAP(huber, 2, 0.1, F(huber_of)(VABS(a - b), p))
MAP(huber_backward, 3, 0.15, a * F(smaller)(F(greater)(b - c, -p), p))
MAP(divergence, 2, 0.55, b * (SEL(b == ZERO, ZERO, F(vlog)(b)) - a))
MAP(log_divergence, 2, 0.35, F(vexp)(b) * (b - a))
MAP(bit_cross_entropy, 2, 1.1, (b - ONE) * F(bit_log)(F(vlog1p)(-a)) - b * F(bit_log)(F(vlog)(a)))
MAP(bit_cross_entropy_backward, 3, 0.2, a * (b - c) / VMAX(b * (ONE - b), SPLAT(1e-12)))
MAP(logit_cross_entropy, 2, 0.8, (ONE - b) * a + F(vsoftplus)(-a))
MAP(logit_cross_entropy_backward, 3, 0.4, a * (F(vsigmoid)(b) - c))
MAP(weighted_logit_cross_entropy, 3, 0.8, (ONE - b) * a + (b * (c - ONE) + ONE) * F(vsoftplus)(-a))
MAP(weighted_logit_cross_entropy_slope, 3, 0.4,
    ONE - b - (b * (c - ONE) + ONE) * F(vsigmoid)(-a))
