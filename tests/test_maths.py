"""Elementwise functions, reductions and sorting beside PyTorch: each on every dtype, on 0-d, empty
and broadcast operands and on special values. Both raise, or both give the same value, dtype and
shape.
"""

import inspect
import math
import operator
import warnings

import numpy as np
import pytest

import fastdl
from fastdl._engine import Primitive

torch = pytest.importorskip("torch")

DTYPES = ["float32", "float64", "int64", "int32", "uint8", "bool"]
SHAPES = [(3, 4), (), (0, 3), (5,)]
PAIRS = [((3, 4), (3, 4)), ((3, 1), (4,)), ((), (3,)), ((2, 3), ()), ((0, 3), (1, 3)), ((), ())]


def values(dtype, shape, seed, special=True):
    """Numbers of a dtype: negative ones, zeros, ties; NaN and infinities among many floats, if
    `special` ones are wanted."""
    rng = np.random.default_rng(seed)
    if dtype == "bool":
        return np.asarray(rng.random(shape) < 0.5)
    if dtype.startswith("float"):
        x = np.asarray(rng.standard_normal(shape) * 2).astype(dtype)
        flat = x.reshape(-1)
        if special and flat.size > 8:
            for i, value in enumerate([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -2.5]):
                flat[(i * 5 + seed) % flat.size] = value
        return x
    low = 0 if dtype == "uint8" else -4
    return np.asarray(rng.integers(low, 6, shape)).astype(dtype)


def outcome(lib, call, arrays):
    """What a call gives: a list of results, or the exception."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = call(lib, *[lib.from_numpy(a.copy()) for a in arrays])
        except (RuntimeError, TypeError, IndexError, ValueError) as error:
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


def compare(call, *dtypes_and_shapes, factor=32, special=True):
    """Fails with all differences of one call over lists of (dtype, shape) per operand."""
    wrong = []
    for operands in dtypes_and_shapes:
        arrays = [
            values(dtype, shape, seed, special) for seed, (dtype, shape) in enumerate(operands)
        ]
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


# ---- reductions -------------------------------------------------------------------------------

REDUCTIONS = """
    sum nansum mean nanmean prod var std var_mean std_mean amax amin max min argmax argmin all any
    aminmax median nanmedian mode count_nonzero logsumexp cumsum cumprod cummax cummin
    logcumsumexp sort argsort msort diff unique unique_consecutive
"""
FEW_DTYPES = ["float32", "int64", "bool"]
REDUCED_SHAPES = [(3, 4), (), (0, 3), (3, 0), (5,), (2, 3, 2), (1, 1)]
KEYWORDS = [
    {},
    {"dim": 0},
    {"dim": -1},
    {"dim": 1},
    {"dim": None},
    {"dim": ()},
    {"dim": (0, 1)},
    {"dim": [0, -1]},
    {"dim": (0, 0)},
    {"dim": -3},
    {"axis": 0},
    {"dim": 0, "keepdim": True},
    {"dim": -1, "keepdim": True},
    {"dim": (0, 1), "keepdim": True},
    {"axis": 1, "keepdims": True},
    {"keepdim": True},
    {"dtype": "float64"},
    {"dim": 0, "dtype": "int64"},
    {"dim": 0, "dtype": "int32"},
    {"dtype": "bool"},
    {"dim": 0, "dtype": "float32"},
    {"correction": 0},
    {"dim": 0, "correction": 2},
    {"unbiased": False},
    {"dim": 1, "unbiased": False, "keepdim": True},
    {"descending": True},
    {"dim": 0, "descending": True, "stable": True},
    {"n": 2},
    {"return_inverse": True},
    {"return_counts": True},
    {"return_inverse": True, "return_counts": True, "dim": 0},
    {"dim": 1, "return_counts": True},
]


def with_keywords(name, keywords, method):
    def call(t, x):
        given = dict(keywords)
        if "dtype" in given:
            given["dtype"] = getattr(t, given["dtype"])
        return getattr(x, name)(**given) if method else getattr(t, name)(x, **given)

    return call


# What fails within PyTorch, and a dimension that it does not check where there are no elements.
CHANCE = [("logsumexp", {"dim": ()}), ("cummax", {"dim": -3}), ("cummin", {"dim": -3})]
# PyTorch leaves these to chance where NaN or infinities are among the elements.
FINITE = {"mode", "std_mean", "unique", "unique_consecutive", "var_mean"}


@pytest.mark.parametrize("name", REDUCTIONS.split())
def test_reduction(name):
    """All arguments that PyTorch takes there."""
    for keywords in KEYWORDS:
        for method in (False, True):
            if method and not hasattr(torch.Tensor, name):
                continue
            call = with_keywords(name, keywords, method)
            if isinstance(outcome(torch, call, [np.ones((2, 2))]), TypeError):
                continue
            if (name, keywords) in CHANCE:
                continue
            try:
                compare(
                    call,
                    *one_operand(DTYPES if not keywords else FEW_DTYPES, REDUCED_SHAPES),
                    factor=128,
                    special=name not in FINITE and "int" not in keywords.get("dtype", ""),
                )
            except AssertionError as error:
                raise AssertionError(f"{name} {keywords}: {error}") from None


# ---- order and counting -----------------------------------------------------------------------

ORDER = {
    "sort": lambda t, x: t.sort(x, 0, True),
    "argsort": lambda t, x: t.argsort(x, descending=True, stable=True),
    "topk": lambda t, x: t.topk(x, 1, 0).values,
    "topk smallest": lambda t, x: x.topk(2, largest=False).values,
    "topk too many": lambda t, x: t.topk(x, 100),
    "kthvalue": lambda t, x: t.kthvalue(x, 1).values,
    "kthvalue 2": lambda t, x: x.kthvalue(2, 0, True).values,
    "quantile": lambda t, x: t.quantile(x, 0.3),
    "quantile along": lambda t, x: t.quantile(x, 0.75, 0, True),
    "quantile of several": lambda t, x: t.quantile(
        x, t.tensor([0.0, 0.1, 0.5, 1.0], dtype=x.dtype), -1
    ),
    "quantile of all, kept": lambda t, x: x.quantile(0.5, keepdim=True),
    "quantile out of range": lambda t, x: x.quantile(1.5),
    "nanquantile": lambda t, x: t.nanquantile(x, 0.4, -1),
    "nanquantile of several": lambda t, x: x.nanquantile(t.tensor([0.2, 0.9]).to(x.dtype), 0),
    "histc": lambda t, x: t.histc(x, 5, -2, 3),
    "histc of the extremes": lambda t, x: x.histc(4),
    "histogram": lambda t, x: t.histogram(x, 4, range=(-1.0, 2.0)),
    "histogram of edges": lambda t, x: x.histogram(t.tensor([-1.0, 0.0, 3.0]).to(x.dtype)),
    "histogram, weights": lambda t, x: t.histogram(
        x, 3, range=(-2.0, 2.0), weight=t.ones_like(x) * 2, density=True
    ),
    "bincount": lambda t, x: t.bincount(x),
    "bincount, weights": lambda t, x: x.bincount(t.ones(x.shape) * 0.5, minlength=9),
    "bincount of absolutes": lambda t, x: t.bincount(abs(x), minlength=3),
    "searchsorted": lambda t, x: t.searchsorted(t.tensor([-2, 0, 0, 3]).to(x.dtype), x),
    "searchsorted right": lambda t, x: t.searchsorted(
        t.tensor([[-2, 0, 0, 3]] * 3).to(x.dtype), x, right=True
    ),
    "searchsorted number": lambda t, x: t.searchsorted(x.flatten().sort().values, 1),
    "searchsorted int32": lambda t, x: t.searchsorted(t.tensor([0, 2]), x, out_int32=True),
    "bucketize": lambda t, x: t.bucketize(x, t.tensor([-1.0, 0.5, 2.0])),
    "bucketize right": lambda t, x: t.bucketize(x, t.tensor([0, 1, 2]), right=True),
    "unique": lambda t, x: t.unique(x, return_inverse=True, return_counts=True),
    "unique_consecutive": lambda t, x: t.unique_consecutive(x, True, True),
    "diff": lambda t, x: t.diff(x, prepend=x[:1], append=x[:1], dim=0),
    "isin": lambda t, x: t.isin(x + 0, t.tensor([1, 2, 3])),
    "max of two": lambda t, x: t.max(x, x.flip(0)),
    "min of two": lambda t, x: t.min(x, other=x * 2),
    "dist": lambda t, x: t.dist(x, x * 2 + 1),
    "round": lambda t, x: t.round(x, decimals=2),
    "clamp": lambda t, x: t.clamp(x, 0, 2),
    "clamp to halves": lambda t, x: x.clamp(min=-0.5),
    "clamp the wrong way": lambda t, x: t.clamp(x, 2, 1),
    "clamp between tensors": lambda t, x: t.clamp(x, x.flip(0), x * 2),
    "clamp between nothing": lambda t, x: t.clamp(x),
    "where": lambda t, x: t.where(x > 0, x, -1),
    "where of numbers": lambda t, x: t.where(x > 0, 1, 2.5),
    "masked_fill": lambda t, x: x.masked_fill(x > 0, 3),
    "lerp": lambda t, x: t.lerp(x, x * 2, 0.5),
    "addcmul": lambda t, x: t.addcmul(x, x, x, value=2),
    "addcdiv": lambda t, x: t.addcdiv(x, x, x * 2 + 1),
    "addcdiv by floats": lambda t, x: t.addcdiv(x, x, x * 2 + 0.5),
    "lerp to another dtype": lambda t, x: t.lerp(x, x.double(), 0.25),
    "div floor": lambda t, x: t.div(x, 2, rounding_mode="floor"),
    "div trunc": lambda t, x: x.div(-2, rounding_mode="trunc"),
    "div badly": lambda t, x: x.div(2, rounding_mode="round"),
    "nan_to_num": lambda t, x: t.nan_to_num(x, 1.0, 2.0, 3.0),
    "add alpha": lambda t, x: t.add(x, x, alpha=2),
    "add half": lambda t, x: t.add(x, x, alpha=0.5),
    "threshold": lambda t, x: t.threshold(x, 1, 20),
}


@pytest.mark.parametrize("call", ORDER.values(), ids=ORDER)
def test_order_and_counting(call):
    for special in (False, True):
        compare(call, *one_operand(shapes=REDUCED_SHAPES), factor=128, special=special)


# ---- out= -------------------------------------------------------------------------------------

BOOL = ("bool", (1,))
X, Y = np.array([[1.0, 2.0], [0.5, 0.25]]), np.array([[3.0, 1.0], [2.0, 0.5]])
OUT = {
    "add": lambda t, x, y, out: t.add(x, y, alpha=2, out=out),
    "div": lambda t, x, y, out: t.div(x, y, rounding_mode="floor", out=out),
    "exp": lambda t, x, y, out: t.exp(x, out=out),
    "eq": lambda t, x, y, out: t.eq(x, y, out=out),
    "clamp": lambda t, x, y, out: t.clamp(x, 0.3, 1.5, out=out),
    "where": lambda t, x, y, out: t.where(x > y, x, y, out=out),
    "sum": lambda t, x, y, out: t.sum(x, 0, out=out),
    "mean": lambda t, x, y, out: t.mean(x, (0, 1), keepdim=True, out=out),
    "std": lambda t, x, y, out: t.std(x, dim=1, out=out),
    "any": lambda t, x, y, out: t.any(x > 1, 0, out=out),
    "argmax": lambda t, x, y, out: t.argmax(x, 1, out=out),
    "cumsum": lambda t, x, y, out: t.cumsum(x, 1, out=out),
    "quantile": lambda t, x, y, out: t.quantile(x, 0.3, 0, out=out),
    "bucketize": lambda t, x, y, out: t.bucketize(x, t.tensor([0.3, 1.5]).to(x.dtype), out=out),
    "mm": lambda t, x, y, out: t.mm(x, y, out=out),
    "matmul": lambda t, x, y, out: t.matmul(x, y, out=out),
    "addmm": lambda t, x, y, out: t.addmm(x, x, y, out=out),
    "cat": lambda t, x, y, out: t.cat([x, y], 1, out=out),
    "gather": lambda t, x, y, out: t.gather(x, 1, t.tensor([[1], [0]]), out=out),
    "tril": lambda t, x, y, out: t.tril(x, out=out),
    "inverse": lambda t, x, y, out: t.inverse(x, out=out),
    "linalg.solve": lambda t, x, y, out: t.linalg.solve(x, y, out=out),
}
TARGETS = [
    ("float64", (2, 2)),
    ("float64", (0,)),
    ("float32", (2,)),
    ("int64", (2, 2)),
    ("bool", (1,)),
]


@pytest.mark.filterwarnings("ignore:An output with one or more elements")
@pytest.mark.parametrize("call", OUT.values(), ids=OUT)
def test_out(call):
    """The result stands in `out`, cast to its dtype, and `out` is returned; or both refuse."""
    for dtype, shape in TARGETS:
        found = []
        for lib in (fastdl, torch):
            out = lib.ones(shape, dtype=getattr(lib, dtype))
            address = out.data_ptr()
            try:
                result = call(lib, lib.from_numpy(X), lib.from_numpy(Y), out)
            except (RuntimeError, TypeError) as error:
                found.append(error)
                continue
            assert result is out
            if out.shape == shape and out.numel():
                assert out.data_ptr() == address
            found.append([out])
        difference_found = difference(*found)
        assert difference_found is None, f"{dtype} {shape}: {difference_found}"


def test_out_of_several_results():
    x = fastdl.tensor([[1.0, 4.0], [3.0, 2.0]])
    values, places = fastdl.empty(2), fastdl.empty(0, dtype=fastdl.int64)
    found = fastdl.max(x, 0, out=(values, places))
    assert found.values is values
    assert found.indices is places
    assert values.tolist() == [3.0, 4.0]
    assert places.tolist() == [1, 0]
    with pytest.raises(TypeError, match="tuple of 2 Tensors"):
        fastdl.sort(x, out=values)


def test_out_refuses_gradients_and_warns_of_other_shapes():
    x = fastdl.ones(3, requires_grad=True)
    for call in (
        lambda: fastdl.exp(x, out=fastdl.empty(3)),
        lambda: fastdl.exp(fastdl.ones(3), out=x),
        lambda: fastdl.add(x, 1, out=fastdl.empty(3)),
    ):
        with pytest.raises(RuntimeError, match="don't support automatic differentiation"):
            call()
    with fastdl.no_grad():
        assert fastdl.exp(x, out=fastdl.empty(3)).numel() == 3
    with pytest.warns(UserWarning, match="was resized"):
        fastdl.exp(fastdl.ones(3), out=fastdl.empty(2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fastdl.exp(fastdl.ones(3), out=fastdl.empty(0)).shape == (3,)
    with pytest.raises(TypeError, match="'out' must be Tensor"):
        fastdl.exp(fastdl.ones(3), out=np.ones(3))


def test_out_is_noticed_by_autograd():
    x = fastdl.ones(3, requires_grad=True)
    scale = fastdl.ones(3)
    y = x * scale
    fastdl.exp(fastdl.ones(3), out=scale)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


# Where PyTorch's `out` is not documented as an argument, or its function is another one.
NO_OUT = """
    empty_like ones_like rand_like randn_like std_mean var_mean zeros_like
"""


@pytest.mark.parametrize("path", ["", "linalg", "special", "fft"])
def test_every_function_that_documents_out_takes_it(path):
    reach = lambda lib: getattr(lib, path, None) if path else lib
    missing = []
    for name in dir(reach(torch)):
        theirs, ours = getattr(reach(torch), name), getattr(reach(fastdl), name, None)
        text = getattr(theirs, "__doc__", None) or ""
        if name in NO_OUT.split() or "out=None" not in str(text) or not callable(ours):
            continue
        if not isinstance(ours, Primitive):
            parameters = inspect.signature(ours).parameters.values()
            if not any(p.name == "out" or p.kind == p.VAR_KEYWORD for p in parameters):
                missing.append(name)
    assert not missing


# ---- operators --------------------------------------------------------------------------------

OPERATORS = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv,
    "//": operator.floordiv, "%": operator.mod, "**": operator.pow, "&": operator.and_,
    "|": operator.or_, "^": operator.xor, "<<": operator.lshift, ">>": operator.rshift,
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt,
    ">=": operator.ge,
    "+=": operator.iadd, "-=": operator.isub, "*=": operator.imul, "/=": operator.itruediv,
    "//=": operator.ifloordiv, "%=": operator.imod, "**=": operator.ipow, "&=": operator.iand,
    "|=": operator.ior, "^=": operator.ixor, "<<=": operator.ilshift, ">>=": operator.irshift,
}  # fmt: skip
OPERANDS = [2, 1.5, True, 0, -1, np.float64(0.5), np.float32(1.5), np.int64(3), [1, 2], "x", None]


@pytest.mark.parametrize("symbol", OPERATORS)
def test_operators(symbol):
    """A tensor and another, or a number of Python's or NumPy's on either side; what is neither
    raises TypeError."""
    apply = OPERATORS[symbol]
    pairs = operands_of("bitwise_left_shift" if symbol[:2] in ("<<", ">>") else "add")
    compare(lambda t, x, y: apply(x, y), *pairs)
    for other in OPERANDS:
        if symbol[:2] in ("<<", ">>") and other != 2:
            continue
        compare(lambda t, x, other=other: apply(x, other), *one_operand())
        if not symbol.endswith("=") or symbol in ("==", "!=", "<=", ">="):
            compare(lambda t, x, other=other: apply(other, x), *one_operand())


def test_operators_of_one_operand():
    for apply in (operator.neg, operator.pos, operator.invert, abs, bool, int, float, complex):
        compare(lambda t, x, apply=apply: apply(x), *one_operand(shapes=[(), (1,), (3,), (0,)]))
    for convert in (range, hex, operator.index, [1, 2, 3].__getitem__):
        values_of = lambda t, x, convert=convert: str(convert(x[:1] * 0 + 1 if x.ndim else x * 0))
        compare(values_of, *one_operand(["int64", "uint8", "float32"], shapes=[(), (1,), (0,)]))


def test_numpy_takes_tensors():
    x = fastdl.tensor([[1.0, 4.0], [9.0, 16.0]])
    assert isinstance(np.sqrt(x), fastdl.Tensor)
    assert np.sqrt(x).tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert np.add(x, 1).sum().item() == 34.0
    assert np.sum(x).item() == 30.0
    assert np.mean(x, axis=0).tolist() == [5.0, 10.0]
    assert np.concatenate([x, x]).shape == (4, 2)
    assert np.asarray(x).tolist() == x.tolist()
    for found in (np.ones((2, 2)) * x, x * np.ones((2, 2)), np.float64(1) * x, x + np.int64(0)):
        assert isinstance(found, fastdl.Tensor)
        assert found.tolist() == x.tolist()
    with pytest.raises(RuntimeError, match="requires grad"):
        np.exp(x.requires_grad_())
