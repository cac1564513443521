"""Rows of the case table (op_cases.py): elementwise functions, reductions, order and counting."""

import numpy as np
from op_cases import apart, between, binary, bools, given, ints, normal, row, unary

INTEGERS = [ints(-9, 9, 3, 4), ints(1, 9, 3, 4)]


# ---- elementwise: functions of one operand ----------------------------------------------------

unary("elementwise.asinh", normal, np.arcsinh)
unary("elementwise.acosh", lambda *s: between(1.2, 4, *s), np.arccosh)
unary("elementwise.atanh", lambda *s: between(-0.9, 0.9, *s), np.arctanh)
unary("elementwise.deg2rad", normal, np.deg2rad)
unary("elementwise.rad2deg", normal, np.rad2deg)
unary("elementwise.sinc", apart, np.sinc)
unary("elementwise.positive", normal, np.positive)
unary("elementwise.isposinf", normal, order=0)
unary("elementwise.isneginf", normal, order=0)
unary("elementwise.isreal", normal, order=0)
row("elementwise.sinc", lambda t, x: t.sinc(x), [given([0.0, 1.0, -2.0, 0.5])], order=0)
row(
    "elementwise.logit_arrays",
    lambda t, x: t.logit(x) + t.logit(x, 0.2) + x.logit(eps=0.05),
    [between(0.1, 0.9, 3, 4)],
    more=[[between(0.1, 0.9, 0, 3)], [between(0.1, 0.9)]],
    bad=[(lambda t: t.logit("x"), TypeError)],
)
row(
    "elementwise.frexp_arrays",
    lambda t, x: t.frexp(x)[0] + t.frexp(x * 3).mantissa,
    [normal(3, 4)],
    order=1,
    more=[[normal(0, 3)], [normal()]],
    bad=[(lambda t: t.frexp(t.tensor([1, 2])), RuntimeError)],
)
row("elementwise.frexp_arrays", lambda t, x: tuple(x.frexp()), [normal(5)], order=0)
row(
    "elementwise.finite_numbers",
    lambda t, x: t.nan_to_num(x) + x.nan_to_num(1.0, 2.0, -3.0),
    [normal(3, 4)],
    more=[[given([np.nan, np.inf, -np.inf, 1.0])], [normal()], [normal(0)]],
)
row(
    "elementwise.round",
    lambda t, x: t.round(x, decimals=1) + x.round(decimals=-1) + x,
    [normal(3, 4)],
    order=0,
)
row(
    "elementwise.select",
    lambda t, x: t.threshold(x, 0.3, -2.0) * x,
    [apart(3, 4)],
    more=[[apart(0)], [apart()]],
)

# ---- elementwise: functions of two operands ---------------------------------------------------

binary("elementwise.hypot", lambda t, x, y: t.hypot(x, y), apart, apart, np.hypot)
binary("elementwise.copysign", lambda t, x, y: t.copysign(x, y), apart, apart, np.copysign)
binary(
    "elementwise.xlogy",
    lambda t, x, y: t.xlogy(x, y),
    normal,
    lambda *s: between(0.5, 2, *s),
    lambda x, y: x * np.log(y),
)
binary(
    "elementwise.ldexp",
    lambda t, x, y: t.ldexp(x, y),
    normal,
    normal,
    lambda x, y: x * 2**y,
)
binary("elementwise.logaddexp2", lambda t, x, y: t.logaddexp2(x, y), normal, normal, np.logaddexp2)
binary("elementwise.fmax", lambda t, x, y: t.fmax(x, y), apart, apart, np.fmax)
binary("elementwise.fmin", lambda t, x, y: t.fmin(x, y), apart, apart, np.fmin)
binary(
    "elementwise.pow",
    lambda t, x, y: t.float_power(x, y),
    lambda *s: between(0.5, 2, *s),
    normal,
    lambda x, y: x**y,
    single="float64",
)
for mode in ("floor", "trunc"):
    binary(
        "elementwise.rounded_quotient",
        lambda t, x, y, mode=mode: t.div(x, y, rounding_mode=mode) + x * y,
        apart,
        apart,
        None,
    )
    row(
        "elementwise.rounded_quotient",
        lambda t, x, y, mode=mode: t.div(x, y, rounding_mode=mode),
        INTEGERS,
        order=0,
        bad=[
            (lambda t: t.div(t.tensor([1]), 0, rounding_mode="floor"), RuntimeError),
            (lambda t: t.div(t.ones(2), 2, rounding_mode="up"), RuntimeError),
        ],
    )
    row(
        "elementwise.rounded_quotient",
        lambda t, x, mode=mode: (x * 3).div_(0.4, rounding_mode=mode) + x,
        [apart(3)],
    )
row(
    "elementwise.nextafter",
    lambda t, x, y: t.nextafter(x.detach(), y.detach()),
    [normal(3), normal(3)],
    order=0,
)
row("elementwise.gcd", lambda t, x, y: t.gcd(x, y), INTEGERS, order=0)
row("elementwise.lcm", lambda t, x, y: t.lcm(x, y), INTEGERS, order=0)
row(
    "elementwise.heaviside",
    lambda t, x, y: t.heaviside(x, y),
    [given([-1.0, 0.0, 2.0, -0.0], grad=False), given([3.0, 4.0, 5.0, 6.0], grad=False)],
    order=0,
    bad=[(lambda t: t.heaviside(t.ones(2), t.ones(2).double()), RuntimeError)],
)
row(
    "elementwise.at_least elementwise.at_most",
    lambda t, x, a, b: t.clamp(x, a, b) + x.clamp(min=a) * t.clamp(x, max=b) + t.clamp_min(x, a),
    [normal(3, 4), between(-1, -0.5, 4), between(0.5, 1, 3, 1)],
    more=[[normal(0), normal(0), normal(1)], [normal(), normal(), normal()]],
)
row(
    "elementwise.at_least elementwise.at_most",
    lambda t, x, a: (x * 1).clamp_(min=a) + (x * 2).clamp_(a, a + 1) + (x * 3).clamp_max_(a),
    [apart(3, 4), normal(4)],
)
row(
    "elementwise.clamp_numbers",
    lambda t, x: t.clamp_min(x, 0.5) + t.clamp_max(x, 0.2) + (x * 1).clamp_(-0.1, 0.7),
    [apart(3, 4)],
)
row(
    "elementwise.close",
    lambda t, x, y: t.isclose(x, y, 0.5, 0.1) & x.isclose(x.clone(), equal_nan=True),
    [normal(3, 4), normal(4)],
    order=0,
    more=[[ints(0, 3, 5), ints(0, 3, 5)], [bools(5), bools(5)]],
    bad=[
        (lambda t: t.isclose(t.ones(2), t.ones(2).double()), RuntimeError),
        (lambda t: t.isclose(t.ones(2), t.ones(2), rtol=-1.0), RuntimeError),
    ],
)
row(
    "elementwise.eq",
    lambda t, x, y: (t.isin(x, y) ^ t.isin(y, 3) ^ t.isin(x, y[:2], invert=True)) == (x != 2),
    [ints(0, 5, 12), ints(0, 5, 12)],
    order=0,
)
