"""Elementwise kernels: accuracy of the vector mathematics, and every function over layouts, dtypes,
instruction sets and threads.

Accuracy is measured in ulp, units in the last place of the true value (of the least normal number
where that is denormal). float32 is swept over all bit patterns with a stride; FASTDL_EXHAUSTIVE=1
takes all 2^32 of them (an hour), which is where the bounds come from. float64 is compared with
80-bit arithmetic where NumPy has it, on random points.
"""

import math
import os

import numpy as np
import pytest

import fastdl
from fastdl import _kernels
from fastdl._kernels import MAPS, isa_available

ISAS = isa_available()
each_tier = pytest.mark.parametrize("isa", ISAS)
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
STRIDE = 1 if os.environ.get("FASTDL_EXHAUSTIVE") else 4093  # prime: meets all low bits

# ------------------------------------------------------------------------------------- references


def by_element(function):
    """A function of Python floats on arrays; NaN where it refuses its argument."""
    return lambda x: np.array([function(v) for v in x.ravel().tolist()]).reshape(x.shape)


def sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


def normal_cdf(x):
    return by_element(math.erfc)(x * -math.sqrt(0.5)) / 2


def gelu_tanh(x):
    return x * sigmoid(math.sqrt(8 / math.pi) * (x + 0.044715 * x**3))


erf, erfc = by_element(math.erf), by_element(math.erfc)
softplus = lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def gelu_bound(x):
    """The exponent of e^(-x^2/2) takes a factor that is off by 0.22 of half an ulp, and two
    roundings: 2.22 / 2 x^2 ulp of the result."""
    return 5 + 1.11 * np.fmin(x, 0) ** 2


# name -> reference in float64, largest error in ulp of float32 (of x), and where that holds
ACCURATE = {
    "exp": (np.exp, 1.2, None),
    "expm1": (np.expm1, 1.6, None),
    "log": (np.log, 0.8, None),
    "log1p": (np.log1p, 1.5, None),
    "tanh": (np.tanh, 1.5, None),
    "sigmoid": (sigmoid, 2.2, (-87, np.inf)),
    "erf": (erf, 1.6, None),
    "erfc": (erfc, 6.5, (-np.inf, 9.1)),
    "softplus": (softplus, 1.8, (-87, np.inf)),
    "silu": (lambda x: x * sigmoid(x), 3.0, (-87, np.inf)),
    "gelu": (lambda x: x * normal_cdf(x), gelu_bound, (-13, np.inf)),
    "gelu_tanh": (gelu_tanh, 20, (-4, np.inf)),
    "sin": (np.sin, 2.3, None),
    "cos": (np.cos, 2.3, None),
}
PARAMETERS = {"softplus": {"beta": 1.0, "threshold": math.inf}}


def ulps(found, true, digits=23, least=-126):
    """|found - true| in units in the last place of `true`; 0 for equal infinities, and for NaN."""
    with np.errstate(all="ignore"):
        size = np.abs(true)
        exponent = np.frexp(np.where((size > 0) & np.isfinite(size), size, 1))[1] - 1
        unit = np.ldexp(np.ones_like(true), np.maximum(exponent, least) - digits)
        error = np.abs(found.astype(true.dtype) - true) / unit
        same = (found == true) | (np.isnan(found) & np.isnan(true))
        # beyond the largest number and half an ulp, infinity is the rounded result
        above = size >= np.ldexp(2 - np.ldexp(1.0, -digits - 1), -least + 1)
        same |= above & np.isinf(found) & (np.sign(found) == np.sign(true))
    return np.where(same, 0, error)


def sweep():
    """All float32 numbers with a stride, in pieces, and the ones where something happens."""
    edges = np.array([0, 2**-149, 2**-126, 0.55, 0.8, 1, 2, 87.33, 88.72284, 103.97, 3e38, np.inf])
    edges = edges.astype(np.float32)
    edges = np.concatenate([edges, np.nextafter(edges, np.float32(0)), np.float32([np.nan])])
    yield np.concatenate([edges, -edges])
    step = 2**22 * STRIDE
    for start in range(0, 2**32, step):
        stop = min(start + step, 2**32)
        yield np.arange(start, stop, STRIDE, dtype=np.int64).astype(np.uint32).view(np.float32)


@each_tier
@pytest.mark.parametrize("name", ACCURATE)
def test_error_over_all_of_float32(name, isa):
    reference, bound, span = ACCURATE[name]
    low, high = span or (-np.inf, np.inf)
    for x in sweep():
        with np.errstate(all="ignore"):
            wide = x.astype(np.float64)
            true = reference_of(name, reference, wide)
        found = MAPS[name](x, isa=isa, **PARAMETERS.get(name, {}))
        assert found.dtype == np.float32
        np.testing.assert_array_equal(np.isnan(found), np.isnan(true))
        within = ~((x < low) | (x > high))
        error = np.where(within, ulps(found, true), 0)
        limit = np.where(within, bound(wide) if callable(bound) else bound, 0)
        worst = int((error - limit).argmax())
        assert error[worst] <= limit[worst], f"{name}({x[worst]!r}): {error[worst]} ulp"
        # outside the span results are tiny, and at least absolutely right
        outside = ~within & np.isfinite(x)
        assert (np.abs(found[outside] - true[outside]) < 1e-36).all() or name == "gelu_tanh"


def reference_of(name, reference, x):
    """The reference; at -inf, where it is inf * 0: the limit for gelu, else NaN as in PyTorch."""
    if name in ("silu", "gelu", "gelu_tanh"):
        at_end = 0 if name == "gelu" else np.nan
        return np.where(x == -np.inf, at_end, reference(np.where(x == -np.inf, 0, x)))
    return reference(x)


def test_overflow_and_signs():
    for dtype in ("float32", "float64"):
        x = np.array([0.0, -0.0, np.inf, -np.inf], dtype)
        for name in ("expm1", "log1p", "tanh", "erf", "sin", "silu", "gelu", "gelu_tanh"):
            assert np.signbit(MAPS[name](x)).tolist()[:2] == [False, True], name
        np.testing.assert_array_equal(MAPS["exp"](x), [1, 1, np.inf, 0])
        np.testing.assert_array_equal(MAPS["log"](x), [-np.inf, -np.inf, np.inf, np.nan])
        np.testing.assert_array_equal(MAPS["sigmoid"](x), [0.5, 0.5, 1, 0])
        np.testing.assert_array_equal(MAPS["erfc"](x), [1, 1, 0, 2])


WIDE = np.longdouble
needs_wide = pytest.mark.skipif(np.finfo(WIDE).nmant <= 52, reason="no type wider than float64")

# name -> reference in 80 bits (of math.erf and math.erfc: 1 ulp off), bound in ulp, intervals
DOUBLE = {
    "exp": (np.exp, 1.2, [(-708, 709.7), (-1, 1)]),
    "expm1": (np.expm1, 1.8, [(-40, 709.7), (-1, 1), (-1e-5, 1e-5)]),
    "log": (np.log, 0.8, [(0, 1e-300), (0.5, 1.5), (1, 1e6)]),
    "log1p": (np.log1p, 1.2, [(-0.999, 2), (-1e-5, 1e-5), (0, 1e9)]),
    "tanh": (np.tanh, 1.5, [(-1, 1), (-22, 22), (-1e-5, 1e-5)]),
    "sigmoid": (sigmoid, 2.2, [(-700, 40), (-5, 5)]),
    "softplus": (softplus, 2.0, [(-700, 40), (-5, 5)]),
    "silu": (lambda x: x * sigmoid(x), 3.0, [(-700, 40), (-5, 5)]),
    "erf": (erf, 2.2, [(-6, 6), (-1, 1), (-1e-5, 1e-5)]),
    "erfc": (erfc, 10, [(-6, 26), (-1, 1)]),
    "gelu": (lambda x: x * normal_cdf(x), 60, [(-5, 8)]),
    "sin": (np.sin, 2.3, [(-4, 4), (-1e6, 1e6), (1e6, 1e9)]),
    "cos": (np.cos, 2.3, [(-4, 4), (-1e6, 1e6), (1e6, 1e9)]),
}


@needs_wide
@each_tier
@pytest.mark.parametrize("name", DOUBLE)
def test_error_in_float64(name, isa):
    reference, bound, intervals = DOUBLE[name]
    rng = np.random.default_rng(1)
    for low, high in intervals:
        x = rng.uniform(low, high, 20000)
        error = ulps(
            MAPS[name](x, isa=isa, **PARAMETERS.get(name, {})),
            reference(x.astype(WIDE)).astype(WIDE),
            52,
            -1022,
        )
        worst = int(error.argmax())
        assert error[worst] <= bound, f"{name}({x[worst]!r}): {error[worst]} ulp"


# --------------------------------------------------------------------------- every function, NumPy


def slope(f, x, h=2.0**-20):
    """df/dx by a central difference of fourth order: error about h**4 + 1e-16 / h."""
    return (8 * (f(x + h) - f(x - h)) - (f(x + 2 * h) - f(x - 2 * h))) / (12 * h)


# name -> the function of NumPy arrays, here in float64; inputs are normal numbers
def mish(x):
    return x * np.tanh(np.logaddexp(x, 0))


PLAIN = {
    "add": lambda a, b: a + b,
    "add_scaled": lambda a, b, alpha: a + alpha * b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "neg": lambda a: -a,
    "abs": np.abs,
    "abs_backward": lambda g, x: g * np.sign(x),
    "square": np.square,
    "square_backward": lambda g, x: 2 * g * x,
    "cube": lambda a: a**3,
    "reciprocal": lambda a: 1 / a,
    "reciprocal_backward": lambda g, y: -g * y * y,
    "sqrt": np.sqrt,
    "sqrt_backward": lambda g, y: g / (2 * y),
    "rsqrt": lambda a: 1 / np.sqrt(a),
    "rsqrt_backward": lambda g, y: g * y**3 * -0.5,
    "addcmul": lambda a, b, c, value: a + value * b * c,
    "addcdiv": lambda a, b, c, value: a + value * b / c,
    "lerp": lambda a, b, c: a + c * (b - a),
    "maximum": np.maximum,
    "maximum_backward": lambda g, x, y: g * ((x > y) + 0.5 * (x == y)),
    "minimum": np.minimum,
    "minimum_backward": lambda g, x, y: g * ((x < y) + 0.5 * (x == y)),
    "clamp": lambda a, min, max: np.clip(a, min, max),
    "clamp_backward": lambda g, x, min, max: g * ((x >= min) & (x <= max)),
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "select": np.where,
    "masked_fill": lambda x, mask, value: np.where(mask, value, x),
    "finite": lambda x, value, neginf, posinf: np.where(np.isnan(x), value, x),
    "exp": np.exp,
    "expm1": np.expm1,
    "expm1_backward": lambda g, y: g * (y + 1),
    "log": np.log,
    "log1p": np.log1p,
    "log1p_backward": lambda g, x: g / (1 + x),
    "tanh": np.tanh,
    "tanh_backward": lambda g, y: g * (1 - y * y),
    "sigmoid": sigmoid,
    "sigmoid_backward": lambda g, y: g * (1 - y) * y,
    "erf": erf,
    "erfc": erfc,
    "sin": np.sin,
    "cos": np.cos,
    "erf_backward": lambda g, x: g * slope(erf, x),
    "relu": lambda a: np.maximum(a, 0),
    "relu_backward": lambda g, y: g * (y > 0),
    "leaky_relu": lambda a, slope: np.where(a > 0, a, slope * a),
    "leaky_relu_backward": lambda g, x, slope: np.where(x > 0, g, slope * g),
    "elu": lambda a, alpha, scale: scale * np.where(a > 0, a, alpha * np.expm1(a)),
    "elu_backward": lambda g, x, alpha, scale: scale * g * np.where(x > 0, 1, alpha * np.exp(x)),
    "silu": lambda a: a * sigmoid(a),
    "silu_backward": lambda g, x: g * slope(lambda x: x * sigmoid(x), x),
    "gelu": lambda a: a * normal_cdf(a),
    "gelu_backward": lambda g, x: g * slope(lambda x: x * normal_cdf(x), x),
    "gelu_tanh": gelu_tanh,
    "gelu_tanh_backward": lambda g, x: g * slope(gelu_tanh, x),
    "softplus": lambda a, beta, threshold: np.where(
        a * beta > threshold, a, softplus(a * beta) / beta
    ),
    "softplus_backward": lambda g, x, beta, threshold: (
        g * np.where(x * beta > threshold, 1, sigmoid(x * beta))
    ),
    "mish": mish,
    "mish_backward": lambda g, x: g * slope(mish, x),
    "hardtanh_backward": lambda g, x, min, max: g * ((x > min) & (x < max)),
    "hardsigmoid": lambda a: np.clip(a + 3, 0, 6) / 6,
    "hardsigmoid_backward": lambda g, x: g * (np.abs(x) < 3) / 6,
    "hardswish": lambda a: a * np.clip(a + 3, 0, 6) / 6,
    "hardswish_backward": lambda g, x: g * np.select([x <= -3, x < 3], [0, x / 3 + 0.5], 1),
    "softshrink": lambda a, lambd: np.sign(a) * np.maximum(np.abs(a) - lambd, 0),
    "hardshrink": lambda a, lambd: a * (np.abs(a) > lambd),
    "shrink_backward": lambda g, x, lambd: g * (np.abs(x) > lambd),
    "prelu": lambda a, b: np.where(a > 0, a, a * b),
    "prelu_backward": lambda g, x, w: np.where(x > 0, g, g * w),
    "squared_error": lambda x, y: (x - y) ** 2,
    "squared_error_backward": lambda g, x, y: 2 * g * (x - y),
    "absolute_error": lambda x, y: np.abs(x - y),
    "absolute_error_backward": lambda g, x, y: g * np.sign(x - y),
    "huber": lambda x, y, delta: np.where(
        np.abs(x - y) < delta, (x - y) ** 2 / 2, delta * (np.abs(x - y) - delta / 2)
    ),
    "huber_backward": lambda g, x, y, delta: g * np.clip(x - y, -delta, delta),
    "divergence": lambda x, y: np.where(y == 0, 0, y * np.log(y)) - y * x,
    "log_divergence": lambda x, y: np.exp(y) * (y - x),
    "bit_cross_entropy": lambda x, y: -y * np.log(x) - (1 - y) * np.log1p(-x),
    "bit_cross_entropy_backward": lambda g, x, y: g * (x - y) / (x * (1 - x)),
    "logit_cross_entropy": lambda x, y: softplus(x) - x * y,
    "logit_cross_entropy_backward": lambda g, x, y: g * (sigmoid(x) - y),
    "weighted_logit_cross_entropy": lambda x, y, w: softplus(x) * (1 - y) + w * y * softplus(-x),
    "weighted_logit_cross_entropy_slope": lambda x, y, w: (
        sigmoid(x) * (1 - y) - w * y * sigmoid(-x)
    ),
}
CHOSEN = {"alpha": 1.25, "value": -0.75, "min": -0.5, "max": 0.25, "slope": 0.2}
CHOSEN |= {"beta": 1.5, "threshold": 2.0, "scale": 1.1, "lambd": 0.4, "delta": 0.75}
CHOSEN |= {"neginf": -2.0, "posinf": 3.0}
TRUTH = {"select": 0, "masked_fill": 1}
POSITIVE = {"sqrt", "rsqrt", "sqrt_backward", "rsqrt_backward", "log", "log1p", "log1p_backward"}
POSITIVE |= {"divergence"}
PROBABLE = {"bit_cross_entropy", "bit_cross_entropy_backward"}


def test_every_kernel_is_in_the_table():
    assert set(PLAIN) == set(MAPS)


def inputs_of(name, dtype, *shapes):
    """Arrays of these shapes (the last is repeated): normal, positive or bool, in steps of 1/8 for
    comparisons."""
    rng = np.random.default_rng(len(name))
    arrays = []
    for i in range(MAPS[name].inputs):
        x = np.asarray(rng.standard_normal(shapes[min(i, len(shapes) - 1)]))
        if name in PLAIN and (name.startswith(("max", "min")) or len(name) == 2):
            x = np.round(x * 8) / 8
        if name in POSITIVE:
            x = np.abs(x) + 0.1
        if name in PROBABLE:
            x = (x % 1) * 0.9 + 0.05
        arrays.append(np.asarray(x > 0 if TRUTH.get(name) == i else x.astype(dtype)))
    return arrays


def check(name, arrays, found, parameters=None):
    parameters = {k: CHOSEN[k] for k in MAPS[name].parameters or {}}
    wide = [a if a.dtype == bool else a.astype("f8") for a in arrays]
    expected = PLAIN[name](*wide, **parameters)
    assert found.shape == expected.shape
    if expected.dtype == bool:
        assert found.dtype == bool
        np.testing.assert_array_equal(found, expected)
        return
    assert found.dtype == next(a.dtype for a in arrays if a.dtype != bool)
    # a handful of roundings, or an elementary function's 10 ulp; the references by differences
    # are good to 1e-10
    eps = np.finfo(found.dtype).eps
    bound = 12 * eps + (1e-9 if name in BY_DIFFERENCE else 0)
    np.testing.assert_array_less(np.abs(found - expected), bound * np.maximum(np.abs(expected), 1))


BY_DIFFERENCE = {"erf_backward", "silu_backward", "gelu_backward", "gelu_tanh_backward"}
BY_DIFFERENCE |= {"mish_backward"}


def call(name, arrays, **options):
    parameters = {k: CHOSEN[k] for k in MAPS[name].parameters or {}}
    return MAPS[name](*arrays, **parameters, **options)


@each_tier
@each_dtype
@pytest.mark.parametrize("name", PLAIN)
def test_contiguous(name, dtype, isa):
    for n in (0, 1, 3, 8, 15, 16, 17, 33, 515):
        arrays = inputs_of(name, dtype, (n,))
        check(name, arrays, call(name, arrays, isa=isa))
    arrays = inputs_of(name, dtype, ())
    check(name, arrays, call(name, arrays, isa=isa))


LAYOUTS = {
    "row": ((5, 37), (37,)),
    "column": ((5, 37), (5, 1)),
    "channel": ((2, 3, 4, 5), (3, 1, 1)),
    "outer": ((7, 1), (1, 33)),
    "scalar": ((3, 17), ()),
    "middle": ((2, 1, 5), (2, 3, 1)),
    "few columns": ((700, 3), (3,)),
    "zero": ((0, 3), (1, 3)),
}


@each_tier
@each_dtype
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", [n for n in PLAIN if MAPS[n].inputs > 1])
def test_broadcast(name, layout, dtype, isa):
    arrays = inputs_of(name, dtype, *LAYOUTS[layout])
    check(name, arrays, call(name, arrays, isa=isa))
    arrays = inputs_of(name, dtype, *LAYOUTS[layout][::-1])
    check(name, arrays, call(name, arrays, isa=isa))


VIEWS = {
    "transposed": lambda x: x.T,
    "strided": lambda x: x[::2, 1::3],
    "reversed": lambda x: x[::-1, ::-1],
    "permuted": lambda x: x.reshape(4, -1, 10).transpose(2, 0, 1),
    "column of rows": lambda x: x[:, :1],
    "repeated": lambda x: np.broadcast_to(x[:, 3:4], x.shape),
}


@each_tier
@each_dtype
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("name", ["sub", "exp", "select", "masked_fill", "lt", "lerp"])
def test_layouts(name, view, dtype, isa):
    arrays = [VIEWS[view](a) for a in inputs_of(name, dtype, (40, 30))]
    check(name, arrays, call(name, arrays, isa=isa))
    mixed = [np.ascontiguousarray(arrays[0]), *arrays[1:]]
    check(name, mixed, call(name, mixed, isa=isa))
    if name != "lt":
        memory = np.zeros((40, 60), dtype).T
        out = memory[: arrays[-1].shape[0]] if arrays[-1].ndim == 2 else None
        if out is not None and out.shape[1] >= arrays[-1].shape[1]:
            out = out[:, : arrays[-1].shape[1]]
            assert call(name, arrays, out=out, isa=isa) is out
            check(name, arrays, out)


@each_tier
@each_dtype
@pytest.mark.parametrize("name", PLAIN)
def test_sum(name, dtype, isa):
    """A sum in blocks errs by some eps of the sum of absolute values: 16 additions a lane, then
    pairs."""
    eps = np.finfo(dtype).eps
    for shapes in (
        ((),),
        ((0,),),
        ((33,),),
        ((3, 5000),),
        ((70, 301), (301,)),
        ((9, 1), (1, 4001)),
    ):
        arrays = inputs_of(name, dtype, *shapes)
        for turned in (arrays, [a.T for a in arrays] if len(shapes) == 1 else arrays[::-1]):
            if name in TRUTH and turned is not arrays:
                continue
            values = np.asarray(call(name, turned, isa=isa), "f8")
            parameters = {k: CHOSEN[k] for k in MAPS[name].parameters or {}}
            found = MAPS[name].sum(*turned, factor=0.5, isa=isa, **parameters)
            assert found.shape == ()
            assert found.dtype == dtype
            bound = 24 * eps * max(math.fsum(np.abs(values).flat), 1e-30)
            assert abs(found - 0.5 * math.fsum(values.flat)) <= bound


def test_result_is_laid_out_like_the_operand():
    x = np.ones((3, 4, 5), np.float32).transpose(2, 0, 1)
    assert MAPS["exp"](x).strides == x.strides
    assert MAPS["add"](x, np.ones((4,), np.float32)).strides == x.strides
    assert MAPS["add"](x[:1], x).strides == x.strides


def test_canaries():
    for dtype in ("float32", "float64"):
        for isa in ISAS:
            for n in range(70):
                memory = np.full(n + 128, 7, dtype)
                MAPS["neg"](np.ones(n, dtype), out=memory[64 : 64 + n], isa=isa)
                assert (memory[64 : 64 + n] == -1).all()
                assert (memory[:64] == 7).all()
                assert (memory[64 + n :] == 7).all()


@each_dtype
def test_output_may_be_an_input_or_overlap_one(dtype):
    start = np.arange(1000, dtype=dtype)
    for shift in (1, 3, 16, 100):
        for forward in (True, False):
            x = start.copy()
            a, b = (x[shift:], x[:-shift]) if forward else (x[:-shift], x[shift:])
            expected = a + b
            assert MAPS["add"](a, b, out=a) is a
            np.testing.assert_array_equal(a, expected)
    x = start.reshape(20, 50)[:20, :20].copy()
    expected = x + x.T
    MAPS["add"](x, x.T, out=x)
    np.testing.assert_array_equal(x, expected)
    x = start[::-1].copy()
    expected = x[::-1] - x
    np.testing.assert_array_equal(MAPS["sub"](x[::-1], x, out=x), expected)


@each_tier
@each_dtype
def test_nan_and_infinity(dtype, isa):
    nan, inf = np.nan, np.inf
    odd = np.array([nan, inf, -inf, 0.0, -0.0, 1, -1], dtype)
    a, b = (x.ravel() for x in np.meshgrid(odd, odd))
    with np.errstate(all="ignore"):
        for name in ("add", "mul", "div", "maximum", "minimum", "eq", "ne", "lt", "ge"):
            expected = PLAIN[name](a, b)
            np.testing.assert_array_equal(MAPS[name](a, b, isa=isa), expected)
    np.testing.assert_array_equal(MAPS["relu"](odd, isa=isa), [nan, inf, 0, 0, 0, 1, 0])
    assert not np.signbit(MAPS["relu"](odd, isa=isa)).any()
    # a NaN lets the gradient through, as in PyTorch
    g = np.arange(1, 8).astype(dtype)
    np.testing.assert_array_equal(MAPS["relu_backward"](g, odd, isa=isa), [1, 2, 0, 0, 0, 6, 0])
    np.testing.assert_array_equal(
        MAPS["clamp"](odd, min=-0.5, max=0.5, isa=isa), [nan, 0.5, -0.5, 0, -0.0, 0.5, -0.5]
    )
    np.testing.assert_array_equal(MAPS["clamp"](odd, min=None, max=0.5, isa=isa)[:2], [nan, 0.5])
    for bounds in ({"min": nan}, {"max": nan}, {"min": nan, "max": 1.0}, {"min": 1.0, "max": nan}):
        assert np.isnan(MAPS["clamp"](odd, **bounds, isa=isa)).all()
    found = MAPS["finite"](odd, np.asarray(2, dtype), neginf=-3.0, posinf=4.0, isa=isa)
    np.testing.assert_array_equal(found, [2, 4, -3, *odd[3:]])
    for slope_of, limits in {"gelu_backward": (1, 0), "gelu_tanh_backward": (1, 0)}.items():
        found = MAPS[slope_of](np.ones(2, dtype), np.array([inf, -inf], dtype), isa=isa)
        np.testing.assert_array_equal(found, limits)
        assert np.isnan(MAPS[slope_of](np.ones(1, dtype), odd[:1], isa=isa)).all()


@each_tier
@pytest.mark.parametrize("name", ["add", "exp", "lerp", "lt", "masked_fill"])
def test_threads_and_large_results_past_the_caches(name, isa):
    """The same bits for any number of threads, with rows and without; and values that are right
    where the results are stored past the caches (24 MiB and more)."""
    for shapes in [((1500, 2016),), ((2900, 1031), (1031,)), ((3001, 1024), (3001, 1))]:
        arrays = inputs_of(name, "float32", *shapes)
        one = call(name, arrays, threads=1, isa=isa)
        check(name, arrays, one)
        _kernels.planned_threads()
        for threads in (2, 3, 7):
            assert call(name, arrays, threads=threads, isa=isa).tobytes() == one.tobytes()
        assert _kernels.planned_threads() > 1 or not _kernels.has_openmp()


X = np.ones((3, 4), np.float32)
BAD = {
    "add: expected 2 arrays, got 1": (TypeError, lambda: MAPS["add"](X)),
    "add: argument 1 must be an array, got int": (TypeError, lambda: MAPS["add"](X, 1)),
    "exp: its arguments must be float32 or float64": (
        TypeError,
        lambda: MAPS["exp"](np.ones(3, np.int64)),
    ),
    "add: argument 1 must be an aligned float32": (
        TypeError,
        lambda: MAPS["add"](X, X.astype("f8")),
    ),
    "exp: argument 0 must be an aligned .*native": (
        TypeError,
        lambda: MAPS["exp"](X.astype(X.dtype.newbyteorder())),
    ),
    "select: argument 0 must be an aligned bool": (TypeError, lambda: MAPS["select"](X, X, X)),
    r"add: operands could not be broadcast .* \(3, 4\) \(3, 3\)": (
        ValueError,
        lambda: MAPS["add"](X, X[:, :3]),
    ),
    "add: out must be a writable, aligned float32": (
        TypeError,
        lambda: MAPS["add"](X, X, out=np.zeros((3, 4))),
    ),
    "lt: out must be a writable, aligned bool": (TypeError, lambda: MAPS["lt"](X, X, out=X)),
    "neg: non-broadcastable output": (ValueError, lambda: MAPS["neg"](X, out=X[0])),
    "neg: takes no parameter 'alpha'": (TypeError, lambda: MAPS["neg"](X, alpha=1)),
    "elu: takes no parameter 'beta'": (TypeError, lambda: MAPS["elu"](X, beta=1)),
    "isa: 'sse9'": (ValueError, lambda: MAPS["neg"](X, isa="sse9")),
    "neg: out must be an array, got list": (TypeError, lambda: MAPS["neg"](X, out=[1])),
    "threads: must be 0": (ValueError, lambda: MAPS["neg"](X, threads=-1)),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_arguments(message):
    error, run = BAD[message]
    with pytest.raises(error, match=message):
        run()


def test_read_only_output():
    x = np.ones(3, np.float32)
    x.flags.writeable = False
    with pytest.raises(TypeError, match="neg: out must be a writable"):
        MAPS["neg"](x, out=x)
    np.testing.assert_array_equal(MAPS["neg"](x), -1)


# ------------------------------------------------------------------------------ through the tensors


def test_other_dtypes_go_to_numpy():
    half = fastdl.ones(3, dtype=fastdl.float16)
    assert (half + half).dtype == fastdl.float16
    assert fastdl.nn.functional.gelu(half).dtype == fastdl.float16
    whole = fastdl.tensor([1, 2, 3])
    assert (whole + whole).tolist() == [2, 4, 6]
    assert fastdl.exp(whole).dtype == fastdl.float32
    assert (whole > 1).tolist() == [False, True, True]


def test_in_place_writes_in_place():
    x = fastdl.arange(10, dtype=fastdl.float32)
    at = x.data_ptr()
    x.add_(1).mul_(2).exp_().clamp_(0, 100).masked_fill_(x > 50, 7.0)
    assert x.data_ptr() == at
    expected = np.clip(np.exp(2 * (np.arange(10) + 1.0)), 0, 100)
    np.testing.assert_allclose(x.numpy(), np.where(expected > 50, 7, expected), rtol=1e-6)
    base = fastdl.zeros(4, 5)
    base[:, 1].add_(fastdl.ones(4))
    assert base.sum().item() == 4
    assert base[:, 1].sum().item() == 4


def test_special_values_agree_with_pytorch():
    torch = pytest.importorskip("torch")
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 200.0, -200.0, 1e30, -1e30], np.float32)
    for name in ("relu", "silu", "softplus", "elu", "leaky_relu"):  # gelu(inf) is NaN there
        ours = getattr(fastdl.nn.functional, name)(fastdl.from_numpy(x)).numpy()
        theirs = getattr(torch.nn.functional, name)(torch.from_numpy(x)).numpy()
        np.testing.assert_array_equal(ours, theirs, err_msg=name)
    for name in ("sigmoid", "tanh", "exp", "log", "log1p", "expm1", "erf", "erfc", "rsqrt", "abs"):
        ours = getattr(fastdl, name)(fastdl.from_numpy(x)).numpy()
        np.testing.assert_array_equal(
            ours, getattr(torch, name)(torch.from_numpy(x)).numpy(), err_msg=name
        )
