"""Sums, differences, products, quotients and remainders; absolute value and sign."""

import numpy as np

from fastdl import _dtype, backends
from fastdl.ops.core import (
    as_arrays,
    elementwise,
    is_tensor,
    is_truth,
    of_kinds,
    primitive,
    require_kinds,
    result_dtype,
    result_type,
    takes_out,
)
from fastdl.ops.elementwise.exponential import exp2
from fastdl.ops.elementwise.rounding import floor, trunc
from fastdl.ops.elementwise.selection import where

__all__ = [
    "abs",
    "absolute",
    "add",
    "addcdiv",
    "addcmul",
    "copysign",
    "div",
    "divide",
    "floor_divide",
    "fmod",
    "frexp",
    "gcd",
    "lcm",
    "lerp",
    "mul",
    "multiply",
    "neg",
    "negative",
    "nextafter",
    "positive",
    "remainder",
    "rsub",
    "sgn",
    "sign",
    "sub",
    "subtract",
    "true_divide",
]


@elementwise(ufunc=np.add, kernel="add", node_name="Add")
def add_arrays(x, y):
    """`x + y`."""


add_arrays.vjp(x=lambda g: g, y=lambda g: g)


def _no_truth_values(operands):
    """Of a subtraction."""
    if all(map(is_truth, operands)):
        raise RuntimeError(
            "Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or "
            "`logical_xor()` operator instead."
        )
    for a in operands:
        if is_truth(a):
            raise RuntimeError(
                "Subtraction, the `-` operator, with a bool tensor is not supported. If you are "
                "trying to invert a mask, use the `~` or `logical_not()` operator instead."
            )


def _subtract(x, y, **options):
    _no_truth_values((x, y))
    return np.subtract(x, y, **options)


@elementwise(ufunc=_subtract, kernel="sub", accepts=_no_truth_values, node_name="Sub")
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


div_arrays.vjp(x=lambda g, y: g / y, y=lambda g, x, y: -g * (x / y) / y)


@elementwise(ufunc=np.negative, kernel="neg")
def neg(x):
    """`-x`."""


neg.vjp(x=lambda g: -g)


def _refuse_zero(ufunc):
    """`ufunc`, with PyTorch's errors where integers are divided by 0 and for bools."""
    checked = of_kinds("iufc", ufunc)

    def divide(x, y, **options):
        if type(y) is int and y and x.dtype.kind in "iuf":  # the usual: nothing to find out
            return ufunc(x, y, **options)
        x, y = as_arrays(x, y)
        if y.dtype.kind in "iu" and not y.all() and x.size:
            raise RuntimeError("ZeroDivisionError")
        return checked(x, y, **options)

    return divide


@elementwise(ufunc=_refuse_zero(np.floor_divide), kernel="floor_divide")
def floor_divide(x, y):
    """Largest whole number not above `x / y`. Not differentiable."""


def _truncated_quotient(x, y):
    if x.dtype.kind == "f":
        return np.trunc(x / y)
    quotient = np.floor_divide(x, y)  # towards zero: one more where it is no whole number and < 0
    return quotient + ((quotient * y != x) & ((x < 0) != (y < 0))).astype(x.dtype)


_ROUNDED = {
    "floor": _refuse_zero(np.floor_divide),
    "trunc": _refuse_zero(_truncated_quotient),
}


@elementwise(node_name="Div")
def rounded_quotient(x, y, *, rounding):
    """`x / y` as a whole number: the one below ('floor') or towards zero ('trunc'). No slope."""
    return _ROUNDED[rounding](x, y)


rounded_quotient.vjp(x=lambda g: g * 0, y=lambda g: g * 0)


@elementwise(ufunc=_refuse_zero(np.remainder), kernel="remainder")
def remainder(x, y):
    """`x - y * floor(x / y)`: the sign of `y`, like Python's %."""


remainder.vjp(x=lambda g: g, y=lambda g, x, y: -g * floor(x / y))


@elementwise(ufunc=_refuse_zero(np.fmod), kernel="fmod")
def fmod(x, y):
    """`x - y * trunc(x / y)`: the sign of `x`, like C's fmod."""


fmod.vjp(x=lambda g: g, y=lambda g, x, y: -g * trunc(x / y))


def _abs_into(out, x):
    require_kinds("iufc", x)
    if x.dtype.kind == "c":
        raise RuntimeError("In-place abs is not supported for complex tensors.")
    np.absolute(x, out=out)


@elementwise(ufunc=of_kinds("iufc", np.absolute), into=_abs_into, kernel="abs")
def abs(x):
    """Absolute value; slope 0 at 0."""


@elementwise(kernel="abs_backward")
def abs_backward(g, x):
    """g * sign(x)."""
    return g * np.sign(x)


abs.vjp(x=lambda g, x: g * sgn(x) if x.array.dtype.kind == "c" else abs_backward(g, x))
abs_backward.vjp(g=lambda h, x: abs_backward(h, x))


def _slope_of_distance(char):
    """The operands of a kernel whose result is the sign of x, 0 of NaN."""
    one, none = np.ones((), char), np.zeros((), char)
    return lambda x: (one, x, none)


_SIGN_OF = {char: _slope_of_distance(char) for char in backends.cpu.KERNEL_DTYPES}


@elementwise
def sign(x):
    """-1, 0 or 1; 0 of NaN."""
    if x.dtype.char in _SIGN_OF and x.flags.aligned:
        return backends.cpu.MAPS["absolute_error_backward"](*_SIGN_OF[x.dtype.char](x))
    return x.copy() if x.dtype.kind == "b" else np.subtract(x > 0, x < 0, dtype=x.dtype)


sign.vjp(x=lambda g: g * 0)


@elementwise(ufunc=of_kinds("iufc", np.positive))
def positive(x):
    """x."""


positive.vjp(x=lambda g: g)


@elementwise(ufunc=np.copysign, floating=True)
def copysign(x, y):
    """|x| with the sign of y, also that of -0.0."""


copysign.vjp(
    x=lambda g, x, out: where(x == 0, 0.0, g * out / x),
    y=lambda g: g * 0,
)


@elementwise(ufunc=of_kinds("f", np.nextafter))
def nextafter(x, y):
    """The floating point number that follows x on the way to y. Not differentiable."""


@elementwise(ufunc=of_kinds("iu", np.gcd))
def gcd(x, y):
    """Greatest common divisor of integers."""


@elementwise(ufunc=of_kinds("iu", np.lcm))
def lcm(x, y):
    """Least common multiple of integers."""


@primitive(node_name="Frexp")
def frexp_arrays(x):
    """(mantissa, exponent)."""
    if x.dtype.kind != "f":
        raise RuntimeError("torch.frexp() only supports floating-point dtypes")
    return np.frexp(x)


frexp_arrays.vjp(x=lambda g, out: g[0] * exp2(-out[1].to(out[0].dtype)))


@elementwise(conjugates=False)
def sgn(x):
    """`sign`, and `x / abs(x)` of complex numbers (0 at 0)."""
    return np.sign(x) if x.dtype.kind == "c" else sign.forward(x)


def _sgn_slope(g, x, out):
    if x.array.dtype.kind != "c":
        return g * 0
    size = abs(x)
    along = (g * conj_of(out)).real  # this part of g changes the size alone
    return where(size == 0, 0.0, (g - along * out) / size)


sgn.vjp(x=_sgn_slope)


@elementwise(ufunc=np.conjugate, conjugates=False, node_name="Conj")
def conj_of(x):
    """Complex conjugate."""


conj_of.vjp(x=lambda g: conj_of(g))


@elementwise(kernel="add_scaled", node_name="Add")
def add_scaled(x, y, *, alpha):
    """`x + alpha * y`."""
    return x + y * y.dtype.type(alpha)


add_scaled.vjp(x=lambda g: g, y=lambda g, alpha: g * alpha)


@elementwise(kernel="addcmul", node_name="Addcmul")
def addcmul_arrays(x, y, z, *, value):
    """`x + value * y * z`."""
    require_kinds("iufc", x)
    product = y * z
    return x + (product if value == 1 else product * value)


addcmul_arrays.vjp(
    x=lambda g: g,
    y=lambda g, z, value: g * z * value,
    z=lambda g, y, value: g * y * value,
)


def _true_quotient(operands):
    """Of `addcdiv`."""
    if all(a.dtype.kind in "biu" for a in operands[1:]):
        raise RuntimeError(
            "Integer division with addcdiv is no longer supported: convert tensor1 or tensor2 to "
            "a floating point dtype, or use div(..., rounding_mode='trunc')"
        )


@elementwise(kernel="addcdiv", accepts=_true_quotient, floating=True, node_name="Addcdiv")
def addcdiv_arrays(x, y, z, *, value):
    """`x + value * y / z`."""
    return x + y / z * z.dtype.type(value)


addcdiv_arrays.vjp(
    x=lambda g: g,
    y=lambda g, z, value: g * value / z,
    z=lambda g, y, z, value: g * y / (z * z) * -value,
)


def _one_floating_dtype(operands):
    """Of `lerp`."""
    dtypes = [a.dtype for a in operands if hasattr(a, "dtype")]
    require_kinds("fc", *operands)
    for name, dtype in zip(("end", "weight"), dtypes[1:]):
        if dtype != dtypes[0]:
            raise RuntimeError(f"expected dtype {dtypes[0]} for `{name}` but got dtype {dtype}")


@elementwise(kernel="lerp", accepts=_one_floating_dtype, floating=True, node_name="Lerp")
def lerp_arrays(x, y, w):
    """`x + w * (y - x)`; exactly y for w = 1."""
    return np.where(np.abs(w) < 0.5, x + w * (y - x), y - (y - x) * (1 - w))


lerp_arrays.vjp(
    x=lambda g, w: g * (1 - w),
    y=lambda g, w: g * w,
    w=lambda g, x, y: g * (y - x),
)


def with_alpha(plain, sign, input, other, alpha):
    """How to add (sign 1) or subtract (-1) alpha * other: a primitive, its second operand and its
    static arguments. `plain` is the primitive without alpha."""
    if alpha == 1:
        return plain, other, {}
    if type(alpha) in (int, float) and is_tensor(other) and other.array.dtype.char in "fd":
        return add_scaled, other, {"alpha": sign * alpha}  # the usual call
    kind = result_dtype([a.array if is_tensor(a) else a for a in (input, other)]).kind
    if kind in "biu" and isinstance(alpha, float):
        raise RuntimeError(
            "For integral input tensors, argument alpha must not be a floating point number."
        )
    if isinstance(alpha, bool) and kind != "b":
        raise RuntimeError("Boolean alpha only supported for Boolean results.")
    if is_tensor(other) and _dtype.is_float(other.array.dtype) and not isinstance(alpha, complex):
        return add_scaled, other, {"alpha": sign * alpha}
    return plain, other * (bool(alpha) if kind == "b" else alpha), {}


@takes_out(casts=True)
def add(input, other, *, alpha=1):
    """`input + alpha * other`."""
    primitive, other, static = with_alpha(add_arrays, 1, input, other, alpha)
    return primitive(input, other, **static)


@takes_out(casts=True)
def sub(input, other, *, alpha=1):
    """`input - alpha * other`; RuntimeError for bools."""
    primitive, other, static = with_alpha(sub_arrays, -1, input, other, alpha)
    return primitive(input, other, **static)


@takes_out(casts=True)
def addcmul(input, tensor1, tensor2, *, value=1):
    """`input + value * tensor1 * tensor2`."""
    return addcmul_arrays(input, tensor1, tensor2, value=value)


@takes_out(casts=True)
def addcdiv(input, tensor1, tensor2, *, value=1):
    """`input + value * tensor1 / tensor2`; floating point only."""
    return addcdiv_arrays(input, tensor1, tensor2, value=value)


@takes_out
def lerp(input, end, weight):
    """`input + weight * (end - input)`; `weight` a number or a tensor."""
    return lerp_arrays(input, end, weight)


def rsub(input, other, *, alpha=1):
    """`other - alpha * input`."""
    return sub_arrays(other, input if alpha == 1 else input * alpha)


def division(rounding_mode):
    """The primitive and the static arguments of a division: rounding_mode None, 'floor' or
    'trunc'."""
    if rounding_mode is None:
        return div_arrays, {}
    if rounding_mode not in ("floor", "trunc"):
        raise RuntimeError(
            "div expected rounding_mode to be one of None, 'trunc', or 'floor' but found "
            f"'{rounding_mode}'"
        )
    return rounded_quotient, {"rounding": rounding_mode}


@takes_out(casts=True)
def div(input, other, *, rounding_mode=None):
    """`input / other`; rounding_mode 'floor' or 'trunc' gives whole numbers."""
    if rounding_mode is None:
        return div_arrays(input, other)
    primitive, static = division(rounding_mode)
    return primitive(input, other, **static)


FrexpResult = result_type("frexp", ("mantissa", "exponent"))


@takes_out(casts=True)
def frexp(input):
    """(mantissa, exponent): `input == mantissa * 2 ** exponent`, 0.5 <= |mantissa| < 1; the
    exponents are int32. RuntimeError for integers."""
    return FrexpResult(*frexp_arrays(input))


# PyTorch's other names.
absolute, divide, multiply, negative, subtract, true_divide = abs, div, mul, neg, sub, div
