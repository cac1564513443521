"""Elementwise functions, reductions and sorting beside PyTorch: each on every dtype, on 0-d, empty
and broadcast operands and on special values. Both raise, or both give the same value, dtype and
shape.
"""

import math
import warnings

import numpy as np
import pytest

import fastdl

torch = pytest.importorskip("torch")

DTYPES = ["float32", "float64", "int64", "int32", "uint8", "bool"]
SHAPES = [(3, 4), (), (0, 3), (5,)]
PAIRS = [((3, 4), (3, 4)), ((3, 1), (4,)), ((), (3,)), ((2, 3), ()), ((0, 3), (1, 3)), ((), ())]


def values(dtype, shape, seed):
    """Numbers of a dtype: negative ones, zeros, ties; NaN and infinities among many floats."""
    rng = np.random.default_rng(seed)
    if dtype == "bool":
        return np.asarray(rng.random(shape) < 0.5)
    if dtype.startswith("float"):
        x = np.asarray(rng.standard_normal(shape) * 2).astype(dtype)
        flat = x.reshape(-1)
        for i, special in enumerate([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -2.5]):
            if flat.size > 8:
                flat[(i * 5 + seed) % flat.size] = special
        return x
    low = 0 if dtype == "uint8" else -4
    return np.asarray(rng.integers(low, 6, shape)).astype(dtype)


def outcome(lib, call, arrays):
    """What a call gives: a list of results, or the exception."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = call(lib, *[lib.from_numpy(a.copy()) for a in arrays])
        except (RuntimeError, TypeError, IndexError, ValueError, NotImplementedError) as error:
            return error
    return list(found) if isinstance(found, (tuple, list)) else [found]


def difference(ours, theirs, factor=32):
    """None, or how two outcomes differ. Floats: within `factor` roundings, as each side's own
    exponentials and powers are a few units in the last place off."""
    if isinstance(theirs, Exception) or isinstance(ours, Exception):
        if isinstance(theirs, Exception) and isinstance(ours, Exception):
            return None
        return f"ours {ours!r}, theirs {theirs!r}"
    if len(ours) != len(theirs):
        return f"{len(ours)} results, theirs {len(theirs)}"
    for a, b in zip(ours, theirs):
        if not isinstance(b, torch.Tensor):
            if type(a) is not type(b) or a != b:
                return f"ours {a!r}, theirs {b!r}"
            continue
        if str(a.dtype).partition(".")[2] != str(b.dtype).partition(".")[2]:
            return f"dtype {a.dtype}, theirs {b.dtype}"
        a, b = a.detach().numpy(), b.detach().numpy()
        if a.shape != b.shape:
            return f"shape {a.shape}, theirs {b.shape}"
        eps = np.finfo(b.dtype).eps * factor if b.dtype.kind == "f" else 0
        if b.dtype.kind == "b":
            same = (a == b).all()
        else:
            with np.errstate(all="ignore"):
                same = np.allclose(a, b, rtol=eps, atol=eps, equal_nan=True)
        if not same:
            return f"values\n{a}\ntheirs\n{b}"
    return None


def compare(call, *dtypes_and_shapes, factor=32):
    """Fails with all differences of one call over lists of (dtype, shape) per operand."""
    wrong = []
    for operands in dtypes_and_shapes:
        arrays = [values(dtype, shape, seed) for seed, (dtype, shape) in enumerate(operands)]
        ours, theirs = (outcome(lib, call, arrays) for lib in (fastdl, torch))
        found = difference(ours, theirs, factor)
        if found is not None:
            wrong.append(f"{operands}: {found}")
    assert not wrong, "\n".join(wrong)


def one_operand(dtypes=DTYPES, shapes=SHAPES):
    return [[(dtype, shape)] for dtype in dtypes for shape in shapes]


def two_operands(dtypes=DTYPES, pairs=PAIRS):
    same = [[(d, a), (d, b)] for d in dtypes for a, b in pairs]
    mixed = [
        [(d, (3,)), (e, shape)] for d in dtypes for e in dtypes if d != e for shape in ((3,), ())
    ]
    return same + mixed


UNARY = """
    abs absolute acos acosh arccos arccosh arcsin arcsinh arctan arctanh asin asinh atan atanh
    bitwise_not ceil cos cosh deg2rad erf erfc exp exp2 expm1 fix floor frac frexp isfinite isinf
    isnan isneginf isposinf isreal log log10 log1p log2 logical_not logit nan_to_num neg negative
    positive rad2deg reciprocal round rsqrt sgn sigmoid sign signbit sin sinc sinh sqrt square tan
    tanh trunc
"""
BINARY = """
    add arctan2 atan2 bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor
    copysign div divide eq float_power floor_divide fmax fmin fmod gcd ge greater greater_equal gt
    heaviside hypot lcm ldexp le less less_equal logaddexp logaddexp2 logical_and logical_or
    logical_xor lt maximum minimum mul multiply ne nextafter not_equal pow remainder rsub sub
    subtract true_divide xlogy
"""
named = pytest.mark.parametrize("name", UNARY.split())
named_binary = pytest.mark.parametrize("name", BINARY.split())
SHIFTS = {"bitwise_left_shift", "bitwise_right_shift"}
NUMBERS = [2, -3, 0, 2.5, True, math.nan]


def in_place(name):
    def call(t, x, *others):
        y = getattr(x, name + "_")(*others)
        assert y is x
        return x

    return call


@named
def test_function_of_one_operand(name):
    compare(lambda t, x: getattr(t, name)(x), *one_operand())
    compare(lambda t, x: getattr(x, name)(), *one_operand())


@named
def test_function_of_one_operand_in_place(name):
    if hasattr(torch.Tensor, name + "_"):
        compare(in_place(name), *one_operand())
    if hasattr(torch, name + "_"):
        compare(lambda t, x: (getattr(t, name + "_")(x), x)[1], *one_operand())


def operands_of(name):
    """Dtypes and shapes for a function of two operands, without what PyTorch leaves undefined:
    shifts by negative numbers. Its ldexp refuses bools and computes some float64 in float32."""
    made = two_operands()
    if name in SHIFTS:
        made = [case for case in made if case[1][0] not in ("int64", "int32")]
    if name == "ldexp":
        made = [case for case in made if case[1][0] != "bool" and "float32" not in case[1]]
    return made


@named_binary
def test_function_of_two_operands(name):
    compare(lambda t, x, y: getattr(t, name)(x, y), *operands_of(name))
    if hasattr(torch.Tensor, name):
        compare(lambda t, x, y: getattr(x, name)(y), *operands_of(name))


@named_binary
def test_function_of_two_operands_in_place(name):
    if hasattr(torch.Tensor, name + "_"):
        compare(in_place(name), *operands_of(name))


@named_binary
@pytest.mark.parametrize("number", NUMBERS, ids=str)
def test_function_of_a_tensor_and_a_number(name, number):
    """Where PyTorch takes numbers; some of its functions want tensors, of which 0-d ones do."""
    if name in SHIFTS and number != 2:
        return
    calls = [
        lambda t, x: getattr(t, name)(x, number),
        lambda t, x: getattr(t, name)(number, x),
        lambda t, x: getattr(x, name)(number),
        lambda t, x: in_place(name)(t, x, number),
    ]
    for call in calls:
        try:
            call(torch, torch.ones(3, dtype=torch.int64))
        except (TypeError, AttributeError):
            continue
        except RuntimeError:
            pass
        compare(call, *one_operand())
