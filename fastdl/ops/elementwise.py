"""Element by element: arithmetic, powers, exponentials, trigonometry, rounding, comparison, logic,
selection.
"""

import math

import numpy as np

from fastdl import _dtype, backends
from fastdl.ops.core import elementwise, is_tensor, result_dtype

__all__ = [
    "abs",
    "absolute",
    "acos",
    "add",
    "addcdiv",
    "addcmul",
    "arccos",
    "arcsin",
    "arctan",
    "arctan2",
    "asin",
    "atan",
    "atan2",
    "bitwise_and",
    "bitwise_left_shift",
    "bitwise_not",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "ceil",
    "clamp",
    "clamp_max",
    "clamp_min",
    "clip",
    "clone",
    "cos",
    "cosh",
    "div",
    "divide",
    "eq",
    "erf",
    "erfc",
    "exp",
    "exp2",
    "expm1",
    "fix",
    "floor",
    "floor_divide",
    "fmod",
    "frac",
    "ge",
    "greater",
    "greater_equal",
    "gt",
    "isfinite",
    "isinf",
    "isnan",
    "le",
    "lerp",
    "less",
    "less_equal",
    "log",
    "log1p",
    "log2",
    "log10",
    "logaddexp",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "logit",
    "lt",
    "masked_fill",
    "maximum",
    "minimum",
    "mul",
    "multiply",
    "ne",
    "neg",
    "negative",
    "not_equal",
    "pow",
    "reciprocal",
    "remainder",
    "round",
    "rsqrt",
    "rsub",
    "sigmoid",
    "sign",
    "signbit",
    "sin",
    "sinh",
    "sqrt",
    "square",
    "sub",
    "subtract",
    "tan",
    "tanh",
    "true_divide",
    "trunc",
    "where",
]

# ---- arithmetic -------------------------------------------------------------------------------


@elementwise(ufunc=np.add, kernel="add", node_name="Add")
def add_arrays(x, y):
    """`x + y`."""


add_arrays.vjp(x=lambda g: g, y=lambda g: g)


@elementwise(ufunc=np.subtract, kernel="sub", node_name="Sub")
def sub_arrays(x, y):
    """`x - y`."""


sub_arrays.vjp(x=lambda g: g, y=lambda g: -g)


@elementwise(ufunc=np.multiply, kernel="mul")
def mul(x, y):
    """`x * y`."""


mul.vjp(x=lambda g, y: g * y, y=lambda g, x: g * x)


@elementwise(ufunc=np.true_divide, floating=True, kernel="div", node_name="Div")
def div_arrays(x, y):
    """`x / y`; integers give the default floating point dtype."""


div_arrays.vjp(x=lambda g, y: g / y, y=lambda g, y, out: -g * out / y)


@elementwise(ufunc=np.negative, kernel="neg")
def neg(x):
    """`-x`."""


neg.vjp(x=lambda g: -g)


@elementwise
def pow(x, y):
    """`x ** y`."""
    return backends.cpu.power(x, y)


def _pow_wrt_base(g, x, y):
    if not is_tensor(y):
        if y == 0:
            return g * 0
        return square_backward(g, x) if y == 2 else g * (x ** (y - 1) * y)
    return where(y == 0, 0.0, g * (y * x ** (y - 1)))


def _pow_wrt_exponent(g, x, y, out):
    # 0 ** y is 0 for every y > 0: no slope, where log(0) would make NaN.
    if not is_tensor(x):
        return g * 0 if x == 0 else g * out * math.log(x)
    flat = (x == 0) & (y >= 0)
    return where(flat, 0.0, g * out * log(x))


pow.vjp(x=_pow_wrt_base, y=_pow_wrt_exponent)


def _refuse_zero(ufunc):
    """`ufunc`, with PyTorch's error where integers are divided by 0."""

    def divide(x, y, **options):
        if getattr(y, "dtype", None) is not None and y.dtype.kind != "f" and not y.all():
            raise RuntimeError("ZeroDivisionError")
        if type(y) is int and y == 0 and getattr(x, "dtype", np.dtype(float)).kind != "f":
            raise RuntimeError("ZeroDivisionError")
        return ufunc(x, y, **options)

    return divide


@elementwise(ufunc=_refuse_zero(np.floor_divide))
def floor_divide(x, y):
    """Largest whole number not above `x / y`. Not differentiable."""


@elementwise(ufunc=_refuse_zero(np.remainder))
def remainder(x, y):
    """`x - y * floor(x / y)`: the sign of `y`, like Python's %."""


remainder.vjp(x=lambda g: g, y=lambda g, x, y: -g * floor(x / y))


@elementwise(ufunc=_refuse_zero(np.fmod))
def fmod(x, y):
    """`x - y * trunc(x / y)`: the sign of `x`, like C's fmod."""


fmod.vjp(x=lambda g: g, y=lambda g, x, y: -g * trunc(x / y))


@elementwise(ufunc=np.absolute, kernel="abs")
def abs(x):
    """Absolute value; slope 0 at 0."""


@elementwise(kernel="abs_backward")
def abs_backward(g, x):
    """g * sign(x)."""
    return g * np.sign(x)


abs.vjp(x=lambda g, x: abs_backward(g, x))
abs_backward.vjp(g=lambda h, x: abs_backward(h, x))


@elementwise
def sign(x):
    """-1, 0 or 1."""
    return x.copy() if x.dtype.kind == "b" else np.sign(x)


sign.vjp(x=lambda g: g * 0)


@elementwise(kernel="square")
def square(x):
    """`x * x`; int64 for bools."""
    return np.square(x.astype(np.int64) if x.dtype.kind == "b" else x)


@elementwise(kernel="square_backward")
def square_backward(g, x):
    """g * 2 x."""
    return g * (x * 2)


square.vjp(x=lambda g, x: square_backward(g, x))
square_backward.vjp(
    g=lambda h, x: square_backward(h, x),
    x=lambda h, g: square_backward(h, g),
)


@elementwise(floating=True, kernel="reciprocal")
def reciprocal(x):
    """`1 / x`."""
    return 1 / x


@elementwise(kernel="reciprocal_backward")
def reciprocal_backward(g, y):
    """-g * y * y, for y = 1 / x."""
    return -g * y * y


reciprocal.vjp(x=lambda g, out: reciprocal_backward(g, out))
reciprocal_backward.vjp(
    g=lambda h, y: reciprocal_backward(h, y),
    y=lambda h, g, y: h * g * y * -2,
)


@elementwise(ufunc=np.sqrt, floating=True, kernel="sqrt")
def sqrt(x):
    """Square root; NaN below 0."""


@elementwise(kernel="sqrt_backward")
def sqrt_backward(g, y):
    """g / (2 y), for y = sqrt(x)."""
    return g / (y * 2)


sqrt.vjp(x=lambda g, out: sqrt_backward(g, out))
sqrt_backward.vjp(
    g=lambda h, y: sqrt_backward(h, y),
    y=lambda h, y, out: -h * out / y,
)


@elementwise(floating=True, kernel="rsqrt")
def rsqrt(x):
    """`1 / sqrt(x)`."""
    return 1 / np.sqrt(x)


@elementwise(kernel="rsqrt_backward")
def rsqrt_backward(g, y):
    """-g * y ** 3 / 2, for y = 1 / sqrt(x)."""
    return g * (y * y * y) * y.dtype.type(-0.5)


rsqrt.vjp(x=lambda g, out: rsqrt_backward(g, out))
rsqrt_backward.vjp(
    g=lambda h, y: rsqrt_backward(h, y),
    y=lambda h, g, y: h * g * (y * y) * -1.5,
)


@elementwise(kernel="add_scaled", node_name="Add")
def add_scaled(x, y, *, alpha):
    """`x + alpha * y`."""
    return x + y * y.dtype.type(alpha)


add_scaled.vjp(x=lambda g: g, y=lambda g, alpha: g * alpha)


@elementwise(kernel="addcmul", node_name="Addcmul")
def addcmul_arrays(x, y, z, *, value):
    """`x + value * y * z`."""
    product = y * z
    return x + (product if value == 1 else product * value)


addcmul_arrays.vjp(
    x=lambda g: g,
    y=lambda g, z, value: g * z * value,
    z=lambda g, y, value: g * y * value,
)


@elementwise(kernel="addcdiv", floating=True, node_name="Addcdiv")
def addcdiv_arrays(x, y, z, *, value):
    """`x + value * y / z`."""
    return x + y / z * z.dtype.type(value)


addcdiv_arrays.vjp(
    x=lambda g: g,
    y=lambda g, z, value: g * value / z,
    z=lambda g, y, z, value: g * y / (z * z) * -value,
)


@elementwise(kernel="lerp", floating=True, node_name="Lerp")
def lerp_arrays(x, y, w):
    """`x + w * (y - x)`; exactly y for w = 1."""
    return np.where(np.abs(w) < 0.5, x + w * (y - x), y - (y - x) * (1 - w))


lerp_arrays.vjp(
    x=lambda g, w: g * (1 - w),
    y=lambda g, w: g * w,
    w=lambda g, x, y: g * (y - x),
)


def with_alpha(plain, sign, other, alpha):
    """How to add (sign 1) or subtract (-1) alpha * other: a primitive, its second operand and its
    static arguments. `plain` is the primitive without alpha."""
    if alpha == 1:
        return plain, other, {}
    if is_tensor(other) and other.array.dtype.kind == "f":
        return add_scaled, other, {"alpha": sign * alpha}
    return plain, other * alpha, {}


def add(input, other, *, alpha=1):
    """`input + alpha * other`."""
    primitive, other, static = with_alpha(add_arrays, 1, other, alpha)
    return primitive(input, other, **static)


def sub(input, other, *, alpha=1):
    """`input - alpha * other`."""
    primitive, other, static = with_alpha(sub_arrays, -1, other, alpha)
    return primitive(input, other, **static)


def addcmul(input, tensor1, tensor2, *, value=1):
    """`input + value * tensor1 * tensor2`."""
    return addcmul_arrays(input, tensor1, tensor2, value=value)


def addcdiv(input, tensor1, tensor2, *, value=1):
    """`input + value * tensor1 / tensor2`."""
    return addcdiv_arrays(input, tensor1, tensor2, value=value)


def lerp(input, end, weight):
    """`input + weight * (end - input)`; `weight` a number or a tensor."""
    return lerp_arrays(input, end, weight)


def rsub(input, other, *, alpha=1):
    """`other - alpha * input`."""
    return sub_arrays(other, input if alpha == 1 else input * alpha)


def div(input, other, *, rounding_mode=None):
    """`input / other`; rounding_mode 'floor' or 'trunc' gives whole numbers."""
    if rounding_mode is None:
        return div_arrays(input, other)
    if rounding_mode == "floor":
        return floor_divide(input, other)
    if rounding_mode != "trunc":
        raise RuntimeError(
            "div expected rounding_mode to be one of None, 'trunc', or 'floor' but found "
            f"'{rounding_mode}'"
        )
    quotient = trunc(div_arrays(input, other))
    operands = [a.array if is_tensor(a) else a for a in (input, other)]
    return quotient.to(result_dtype(operands))


# ---- exponentials and logarithms --------------------------------------------------------------


@elementwise(ufunc=np.exp, floating=True, kernel="exp")
def exp(x):
    """`e ** x`."""


exp.vjp(x=lambda g, out: g * out)


@elementwise(ufunc=np.exp2, floating=True)
def exp2(x):
    """`2 ** x`."""


exp2.vjp(x=lambda g, out: g * out * math.log(2))


@elementwise(ufunc=np.expm1, floating=True, kernel="expm1")
def expm1(x):
    """`e ** x - 1`, accurate near 0."""


@elementwise(kernel="expm1_backward")
def expm1_backward(g, y):
    """g * (y + 1), for y = expm1(x)."""
    return g * (y + 1)


expm1.vjp(x=lambda g, out: expm1_backward(g, out))
expm1_backward.vjp(g=lambda h, y: expm1_backward(h, y), y=lambda h, g: h * g)


@elementwise(ufunc=np.log, floating=True, kernel="log")
def log(x):
    """Natural logarithm; -inf at 0, NaN below."""


log.vjp(x=lambda g, x: g / x)


@elementwise(ufunc=np.log2, floating=True)
def log2(x):
    """Logarithm to base 2."""


log2.vjp(x=lambda g, x: g / (x * math.log(2)))


@elementwise(ufunc=np.log10, floating=True)
def log10(x):
    """Logarithm to base 10."""


log10.vjp(x=lambda g, x: g / (x * math.log(10)))


@elementwise(ufunc=np.log1p, floating=True, kernel="log1p")
def log1p(x):
    """`log(1 + x)`, accurate near 0."""


@elementwise(kernel="log1p_backward")
def log1p_backward(g, x):
    """g / (1 + x)."""
    return g / (x + 1)


log1p.vjp(x=lambda g, x: log1p_backward(g, x))
log1p_backward.vjp(
    g=lambda h, x: log1p_backward(h, x),
    x=lambda h, x, out: -h * out / (x + 1),
)


@elementwise(ufunc=np.logaddexp, floating=True)
def logaddexp(x, y):
    """`log(e**x + e**y)` without overflow."""


logaddexp.vjp(x=lambda g, x, out: g * exp(x - out), y=lambda g, y, out: g * exp(y - out))


@elementwise(floating=True, kernel="sigmoid")
def sigmoid(x):
    """`1 / (1 + e ** -x)`."""
    y = np.asarray(-x)  # the one array this takes
    np.exp(y, out=y)
    y += 1
    return np.reciprocal(y, out=y)


@elementwise(kernel="sigmoid_backward")
def sigmoid_backward(g, y):
    """g * y * (1 - y), for y = sigmoid(x)."""
    return g * ((1 - y) * y)


sigmoid.vjp(x=lambda g, out: sigmoid_backward(g, out))
sigmoid_backward.vjp(
    g=lambda h, y: sigmoid_backward(h, y),
    y=lambda h, g, y: h * g * (1 - y * 2),
)


@elementwise(floating=True)
def logit(x):
    """`log(x / (1 - x))`, the inverse of sigmoid."""
    return np.log(x / (1 - x))


logit.vjp(x=lambda g, x: g / (x * (1 - x)))

# ---- trigonometry -----------------------------------------------------------------------------


@elementwise(ufunc=np.sin, floating=True, kernel="sin")
def sin(x):
    """Sine of radians."""


sin.vjp(x=lambda g, x: g * cos(x))


@elementwise(ufunc=np.cos, floating=True, kernel="cos")
def cos(x):
    """Cosine of radians."""


cos.vjp(x=lambda g, x: -g * sin(x))


@elementwise(ufunc=np.tan, floating=True)
def tan(x):
    """Tangent of radians."""


tan.vjp(x=lambda g, out: g * (out * out + 1))


@elementwise(ufunc=np.arcsin, floating=True)
def asin(x):
    """Arc sine in radians; NaN outside [-1, 1]."""


asin.vjp(x=lambda g, x: g * rsqrt(1 - x * x))


@elementwise(ufunc=np.arccos, floating=True)
def acos(x):
    """Arc cosine in radians; NaN outside [-1, 1]."""


acos.vjp(x=lambda g, x: -g * rsqrt(1 - x * x))


@elementwise(ufunc=np.arctan, floating=True)
def atan(x):
    """Arc tangent in radians."""


atan.vjp(x=lambda g, x: g / (x * x + 1))


@elementwise(ufunc=np.arctan2, floating=True)
def atan2(x, y):
    """Angle of the point (y, x) in radians, within (-pi, pi]."""


atan2.vjp(x=lambda g, x, y: g * y / (x * x + y * y), y=lambda g, x, y: -g * x / (x * x + y * y))


@elementwise(ufunc=np.sinh, floating=True)
def sinh(x):
    """Hyperbolic sine."""


sinh.vjp(x=lambda g, x: g * cosh(x))


@elementwise(ufunc=np.cosh, floating=True)
def cosh(x):
    """Hyperbolic cosine."""


cosh.vjp(x=lambda g, x: g * sinh(x))


@elementwise(ufunc=np.tanh, floating=True, kernel="tanh")
def tanh(x):
    """Hyperbolic tangent."""


@elementwise(kernel="tanh_backward")
def tanh_backward(g, y):
    """g * (1 - y * y), for y = tanh(x)."""
    return g * (1 - y * y)


tanh.vjp(x=lambda g, out: tanh_backward(g, out))
tanh_backward.vjp(
    g=lambda h, y: tanh_backward(h, y),
    y=lambda h, g, y: h * g * y * -2,
)

# ---- error function ---------------------------------------------------------------------------
# W. J. Cody, Rational Chebyshev approximations for the error function, Math. Comp. 23 (1969):
# three ranges of |x|, relative error below 6e-19 before rounding.

_ERF_SMALL = (
    (3.20937758913846947e03, 3.77485237685302021e02, 1.13864154151050156e02, 3.16112374387056560e00,
     1.85777706184603153e-1),
    (2.84423683343917062e03, 1.28261652607737228e03, 2.44024637934444173e02, 2.36012909523441209e01,
     1.0),
)  # fmt: skip
_ERFC_MIDDLE = (
    (1.23033935479799725e03, 2.05107837782607147e03, 1.71204761263407058e03, 8.81952221241769090e02,
     2.98635138197400131e02, 6.61191906371416295e01, 8.88314979438837594e00, 5.64188496988670089e-1,
     2.15311535474403846e-8),
    (1.23033935480374942e03, 3.43936767414372164e03, 4.36261909014324716e03, 3.29079923573345963e03,
     1.62138957456669019e03, 5.37181101862009858e02, 1.17693950891312499e02, 1.57449261107098347e01,
     1.0),
)  # fmt: skip
_ERFC_LARGE = (
    (6.58749161529837803e-4, 1.60837851487422766e-2, 1.25781726111229246e-1, 3.60344899949804439e-1,
     3.05326634961232344e-1, 1.63153871373020978e-2),
    (2.33520497626869185e-3, 6.05183413124413191e-2, 5.27905102951428412e-1, 1.87295284992346725e00,
     2.56852019228982242e00, 1.0),
)  # fmt: skip


def _ratio(polynomials, t):
    """Quotient of two polynomials given by rising coefficients."""
    above, below = (np.polynomial.polynomial.polyval(t, c, tensor=False) for c in polynomials)
    return above / below


def _erfc_tail(x):
    """erfc(x) for x > 0.46875."""
    result = np.empty_like(x)
    middle = x <= 4
    t = x[middle]
    result[middle] = _ratio(_ERFC_MIDDLE, t)
    t = x[~middle]
    s = 1 / (t * t)
    result[~middle] = (1 / math.sqrt(math.pi) - s * _ratio(_ERFC_LARGE, s)) / t
    # exp(-x * x) from a leading part with few bits, whose square is exact, and the rest
    head = np.trunc(x * 16) / 16
    return result * np.exp(-head * head) * np.exp(-(x - head) * (x + head))


def _erf_array(x, complement):
    t = np.atleast_1d(x).astype(np.float64, copy=False)
    size = np.abs(t)
    small = size <= 0.46875
    tail = ~small & (size < 27)
    result = np.where(np.isnan(t), np.nan, np.sign(t))
    if complement:
        result = 1 - result
    s = t[small]
    s = s * _ratio(_ERF_SMALL, s * s)
    result[small] = 1 - s if complement else s
    upper = _erfc_tail(size[tail])
    negative = t[tail] < 0
    if complement:
        result[tail] = np.where(negative, 2 - upper, upper)
    else:
        result[tail] = np.where(negative, upper - 1, 1 - upper)
    return result.reshape(x.shape).astype(x.dtype, copy=False)


@elementwise(floating=True, kernel="erf")
def erf(x):
    """Error function, 2 / sqrt(pi) times the integral of e**(-t*t) from 0 to x."""
    return _erf_array(x, complement=False)


@elementwise(kernel="erf_backward")
def erf_backward(g, x):
    """g * e**(-x*x) * 2 / sqrt(pi)."""
    return g * (np.exp(-(x * x)) * x.dtype.type(2 / math.sqrt(math.pi)))


erf.vjp(x=lambda g, x: erf_backward(g, x))
erf_backward.vjp(
    g=lambda h, x: erf_backward(h, x),
    x=lambda h, g, x: erf_backward(h, x) * g * x * -2,
)


@elementwise(floating=True, kernel="erfc")
def erfc(x):
    """`1 - erf(x)`, accurate where that is tiny."""
    return _erf_array(x, complement=True)


erfc.vjp(x=lambda g, x: -erf_backward(g, x))

# ---- rounding and tests: no slope -------------------------------------------------------------


def _flat(g):
    return g * 0


@elementwise(ufunc=np.floor)
def floor(x):
    """Largest whole number not above x."""


floor.vjp(x=_flat)


@elementwise(ufunc=np.ceil)
def ceil(x):
    """Smallest whole number not below x."""


ceil.vjp(x=_flat)


@elementwise(ufunc=np.trunc)
def trunc(x):
    """x without its fraction."""


trunc.vjp(x=_flat)


@elementwise
def round(x, *, decimals=0):
    """Nearest whole number (or multiple of 10 ** -decimals), halves to even."""
    return np.round(x, decimals)


round.vjp(x=_flat)


@elementwise
def frac(x):
    """x minus its whole part."""
    return x - np.trunc(x)


frac.vjp(x=lambda g: g)


@elementwise(ufunc=np.isnan)
def isnan(x):
    """Is it NaN?"""


@elementwise(ufunc=np.isinf)
def isinf(x):
    """Is it an infinity?"""


@elementwise(ufunc=np.isfinite)
def isfinite(x):
    """Is it neither infinite nor NaN?"""


@elementwise(ufunc=np.signbit)
def signbit(x):
    """Is the sign bit set (true of -0.0 too)?"""


@elementwise(ufunc=np.equal, kernel="eq")
def eq(x, y):
    """`x == y`, element by element."""


@elementwise(ufunc=np.not_equal, kernel="ne")
def ne(x, y):
    """`x != y`."""


@elementwise(ufunc=np.less, kernel="lt")
def lt(x, y):
    """`x < y`."""


@elementwise(ufunc=np.less_equal, kernel="le")
def le(x, y):
    """`x <= y`."""


@elementwise(ufunc=np.greater, kernel="gt")
def gt(x, y):
    """`x > y`."""


@elementwise(ufunc=np.greater_equal, kernel="ge")
def ge(x, y):
    """`x >= y`."""


@elementwise(ufunc=np.logical_and)
def logical_and(x, y):
    """Both non-zero?"""


@elementwise(ufunc=np.logical_or)
def logical_or(x, y):
    """At least one non-zero?"""


@elementwise(ufunc=np.logical_xor)
def logical_xor(x, y):
    """Exactly one non-zero?"""


@elementwise(ufunc=np.logical_not)
def logical_not(x):
    """Zero?"""


@elementwise(ufunc=np.bitwise_and)
def bitwise_and(x, y):
    """`x & y` of integers or bools."""


@elementwise(ufunc=np.bitwise_or)
def bitwise_or(x, y):
    """`x | y` of integers or bools."""


@elementwise(ufunc=np.bitwise_xor)
def bitwise_xor(x, y):
    """`x ^ y` of integers or bools."""


@elementwise(ufunc=np.invert)
def bitwise_not(x):
    """`~x` of integers or bools."""


@elementwise(ufunc=np.left_shift)
def bitwise_left_shift(x, y):
    """`x << y` of integers."""


@elementwise(ufunc=np.right_shift)
def bitwise_right_shift(x, y):
    """`x >> y` of integers."""


# ---- selection --------------------------------------------------------------------------------


@elementwise(ufunc=np.maximum, kernel="maximum")
def maximum(x, y):
    """The greater; NaN if either is. Ties share the gradient."""


@elementwise(kernel="maximum_backward")
def maximum_backward(g, x, y):
    """g where x > y, half of it where they are equal, else 0."""
    return g * ((x > y) + (x == y) * g.dtype.type(0.5))


maximum.vjp(
    x=lambda g, x, y: maximum_backward(g, x, y),
    y=lambda g, x, y: maximum_backward(g, y, x),
)
maximum_backward.vjp(g=lambda h, x, y: maximum_backward(h, x, y))


@elementwise(ufunc=np.minimum, kernel="minimum")
def minimum(x, y):
    """The smaller; NaN if either is. Ties share the gradient."""


@elementwise(kernel="minimum_backward")
def minimum_backward(g, x, y):
    """g where x < y, half of it where they are equal, else 0."""
    return g * ((x < y) + (x == y) * g.dtype.type(0.5))


minimum.vjp(
    x=lambda g, x, y: minimum_backward(g, x, y),
    y=lambda g, x, y: minimum_backward(g, y, x),
)
minimum_backward.vjp(g=lambda h, x, y: minimum_backward(h, x, y))


@elementwise(promote=False)
def select(condition, x, y):
    """x where `condition`, else y; x and y of one dtype."""
    return backends.of(condition).select(condition, x, y)


select.vjp(
    x=lambda g, condition: select(condition, g, _zero_like(g)),
    y=lambda g, condition: select(condition, _zero_like(g), g),
)


def _zero_like(g):
    """A zero of the dtype of `g`, whichever array library it belongs to."""
    return g.array.dtype.type(0)


def where(condition, input=None, other=None):
    """`input` where `condition`, else `other`; alone, the places where `condition` is true."""
    if input is None and other is None:
        return condition.nonzero(as_tuple=True)
    if not is_tensor(condition):
        raise TypeError(
            f"where(): argument 'condition' must be Tensor, not {type(condition).__name__}"
        )
    if condition.array.dtype.kind != "b":
        if condition.array.dtype != np.uint8:
            raise RuntimeError(
                f"where expected condition to be a boolean tensor, but got {condition.dtype}"
            )
        condition = condition.bool()
    x, y = (a.array if is_tensor(a) else a for a in (input, other))
    if not hasattr(x, "dtype") or not hasattr(y, "dtype") or x.dtype != y.dtype:
        dtype = result_dtype((x, y))
        input, other = (_as_dtype(a, dtype) for a in (input, other))
    return select(condition, input, other)


def _as_dtype(a, dtype):
    return cast(a, dtype=dtype) if is_tensor(a) else np.asarray(a, dtype)


def _masked_fill_into(out, x, mask, value):
    mask = mask.astype(bool, copy=False)
    backends.of(x).masked_fill(x, mask, np.asarray(value, x.dtype), out)


@elementwise(promote=False, into=_masked_fill_into)
def masked_fill(x, mask, value):
    """x with `value` (a number or 0-d tensor) where `mask` is true."""
    mask = mask.astype(bool, copy=False)
    return backends.of(x).masked_fill(x, mask, np.asarray(value, x.dtype))


masked_fill.vjp(
    x=lambda g, mask: masked_fill(g, mask, 0.0),
    value=lambda g, mask: where(mask, g, 0.0),
)


def clamp(input, min=None, max=None):
    """`input` held between `min` and `max`: numbers or tensors, one of them may be None."""
    if min is None and max is None:
        raise RuntimeError("clamp: At least one of 'min' or 'max' must not be None")
    if is_tensor(min) or is_tensor(max):
        if min is not None:
            input = maximum(input, min)
        return input if max is None else minimum(input, max)
    return clamp_numbers(input, min=min, max=max)


def _clamp_into(out, x, *, min, max):
    np.clip(x, min, max, out=out, casting="same_kind")


@elementwise(into=_clamp_into, kernel="clamp")
def clamp_numbers(x, *, min, max):
    """x held between the numbers `min` and `max` (None: no bound)."""
    if x.dtype.kind != "f" and (isinstance(min, float) or isinstance(max, float)):
        x = x.astype(_dtype.get_default_dtype().dtype)
    return np.clip(x, min, max)


@elementwise(kernel="clamp_backward")
def clamp_backward(g, x, *, min, max):
    """g where min <= x <= max (None: no bound), else 0."""
    low, high = (-math.inf if min is None else min), (math.inf if max is None else max)
    return g * ((x >= low) & (x <= high))


clamp_numbers.vjp(x=lambda g, x, min, max: clamp_backward(g, x, min=min, max=max))
clamp_backward.vjp(g=lambda h, x, min, max: clamp_backward(h, x, min=min, max=max))


@elementwise(promote=False)
def cast(x, *, dtype):
    """x as `dtype` (a NumPy dtype); always a copy."""
    return x.astype(dtype)


cast.vjp(x=lambda g: g)  # the engine casts the gradient back


@elementwise(promote=False)
def clone(x):
    """A copy of x, laid out as x is."""
    return backends.of(x).copy(x) if x.flags.c_contiguous else x.copy(order="K")


clone.vjp(x=lambda g: g)


def _fill_into(out, x, value):
    out[...] = value


@elementwise(promote=False, into=_fill_into)
def fill(x, value):
    """`value`, broadcast to the shape and cast to the dtype of x."""
    result = np.empty_like(x)
    result[...] = value
    return result


fill.vjp(x=lambda g: g * 0, value=lambda g: g)


def clamp_min(input, min):
    """`clamp(input, min=min)`."""
    return clamp(input, min)


def clamp_max(input, max):
    """`clamp(input, max=max)`."""
    return clamp(input, None, max)


# PyTorch's other names.
absolute, clip, divide, true_divide, multiply, negative, subtract = (
    abs,
    clamp,
    div,
    div,
    mul,
    neg,
    sub,
)
arccos, arcsin, arctan, arctan2, fix = acos, asin, atan, atan2, trunc
greater, greater_equal, less, less_equal, not_equal = gt, ge, lt, le, ne
