"""Sums, differences, products, quotients and remainders; absolute value and sign."""

import numpy as np

from fastdl.ops.core import elementwise, is_tensor, result_dtype
from fastdl.ops.elementwise.rounding import floor, trunc

__all__ = [
    "abs",
    "absolute",
    "add",
    "addcdiv",
    "addcmul",
    "div",
    "divide",
    "floor_divide",
    "fmod",
    "lerp",
    "mul",
    "multiply",
    "neg",
    "negative",
    "remainder",
    "rsub",
    "sign",
    "sub",
    "subtract",
    "true_divide",
]


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


# PyTorch's other names.
absolute, divide, true_divide, multiply, negative, subtract = abs, div, div, mul, neg, sub
