"""Dtypes against PyTorch: promotion, limits, casts, half precision, complex numbers, integers."""

import itertools
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastdl

torch = pytest.importorskip("torch")
pytest.importorskip("ml_dtypes")

NAMES = [
    "bool",
    "uint8",
    "int8",
    "int16",
    "int32",
    "int64",
    "float16",
    "bfloat16",
    "float32",
    "float64",
    "complex64",
    "complex128",
]
UNSIGNED = ["uint16", "uint32", "uint64"]
HALF = ["float16", "bfloat16"]


def name_of(dtype):
    return str(dtype).partition(".")[2]


def either(function, *args):
    """What both libraries make of the same call: a name of a dtype, or the type of the error."""
    found = []
    for lib in (fastdl, torch):
        try:
            found.append(name_of(function(lib, *args)))
        except Exception as error:
            found.append((type(error).__name__, str(error)))
    ours, theirs = found
    if theirs == "complex32":  # which fastdl has not
        theirs = "complex64"
    return ours, theirs


def dtype(lib, name):
    return getattr(lib, name)


# ---- promotion --------------------------------------------------------------------------------


def test_promote_types_and_can_cast_of_all_pairs():
    for a, b in itertools.product(NAMES + UNSIGNED, repeat=2):
        ours, theirs = either(lambda t: t.promote_types(dtype(t, a), dtype(t, b)))  # noqa: B023
        assert ours == theirs, (a, b)
        assert fastdl.can_cast(dtype(fastdl, a), dtype(fastdl, b)) == torch.can_cast(
            dtype(torch, a), dtype(torch, b)
        ), (a, b)


def operands(lib, name):
    """Tensors of a dtype with and without dimensions."""
    return [lib.ones(2, dtype=dtype(lib, name)), lib.ones((), dtype=dtype(lib, name))]


NUMBERS = [True, 3, 2.5, 1.5 + 2j]


@pytest.mark.parametrize("default", ["float32", "float64"])
def test_result_type_of_tensors_and_numbers(default):
    try:
        for lib in (fastdl, torch):
            lib.set_default_dtype(dtype(lib, default))
        for a, b in itertools.product(NAMES, repeat=2):
            for i, j in itertools.product((0, 1), repeat=2):
                ours, theirs = either(
                    lambda t: t.result_type(operands(t, a)[i], operands(t, b)[j])  # noqa: B023
                )
                assert ours == theirs, (a, i, b, j)
        for a, number, i in itertools.product(NAMES, NUMBERS, (0, 1)):
            for pair in (lambda x, y: (x, y), lambda x, y: (y, x)):
                ours, theirs = either(
                    lambda t: t.result_type(*pair(operands(t, a)[i], number))  # noqa: B023
                )
                assert ours == theirs, (a, i, number)
        for a, b in itertools.product(NUMBERS, repeat=2):
            ours, theirs = either(lambda t: t.result_type(a, b))  # noqa: B023
            assert ours == theirs
    finally:
        for lib in (fastdl, torch):
            lib.set_default_dtype(lib.float32)


BINARY = {
    "add": lambda t, x, y: x + y,
    "mul": lambda t, x, y: x * y,
    "div": lambda t, x, y: x / y,
    "eq": lambda t, x, y: x == y,
    "sub": lambda t, x, y: x - y,
    "where": lambda t, x, y: t.where(t.tensor(True), x, y),
    "stack": lambda t, x, y: t.cat([x.reshape(-1), y.reshape(-1)]),
}


@pytest.mark.parametrize("op", BINARY)
def test_dtype_of_arithmetic(op):
    for a, b in itertools.product(NAMES, repeat=2):
        for i, j in itertools.product((0, 1), repeat=2):
            if op == "div" and "float16" in (a, b) and (a + b).count("complex"):
                continue  # complex32
            run = lambda t: BINARY[op](t, operands(t, a)[i], operands(t, b)[j]).dtype  # noqa: B023
            ours, theirs = either(run)
            assert ours == theirs, (a, i, b, j)


@pytest.mark.parametrize("op", ["add", "mul", "div", "eq", "sub"])
def test_dtype_of_arithmetic_with_numbers(op):
    for a, number, i in itertools.product(NAMES, NUMBERS, (0, 1)):
        if a == "float16" and isinstance(number, complex):
            continue  # complex32
        ours, theirs = either(
            lambda t: BINARY[op](t, operands(t, a)[i], number).dtype  # noqa: B023
        )
        assert ours == theirs, (a, i, number)
        ours, theirs = either(
            lambda t: BINARY[op](t, number, operands(t, a)[i]).dtype  # noqa: B023
        )
        assert ours == theirs, (number, a, i)


def test_in_place_results_must_fit_the_category():
    for a, b in itertools.product(NAMES, repeat=2):
        for op in ("add_", "mul_", "div_"):
            run = lambda t: (
                getattr(t.ones(2, dtype=dtype(t, a)), op)(  # noqa: B023
                    t.ones(2, dtype=dtype(t, b))  # noqa: B023
                ).dtype
            )
            ours, theirs = either(run)
            assert ours == theirs, (a, op, b)


# ---- the dtype objects ------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES + UNSIGNED)
def test_attributes_of_dtypes(name):
    ours, theirs = dtype(fastdl, name), dtype(torch, name)
    for attribute in ("is_floating_point", "is_complex", "is_signed", "itemsize"):
        assert getattr(ours, attribute) == getattr(theirs, attribute)
    assert name_of(ours.to_real()) == name_of(theirs.to_real())
    x, y = fastdl.zeros(3, dtype=ours), torch.zeros(3, dtype=theirs)
    assert x.element_size() == y.element_size()
    assert x.nbytes == y.nbytes
    for method in ("is_floating_point", "is_complex", "is_signed"):
        assert getattr(x, method)() == getattr(y, method)()
    assert x.type() == y.type()


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", "float64", "complex64"])
def test_finfo(name):
    ours, theirs = (lib.finfo(dtype(lib, name)) for lib in (fastdl, torch))
    assert repr(ours) == repr(theirs)
    for attribute in [
        "bits",
        "dtype",
        "eps",
        "max",
        "min",
        "tiny",
        "smallest_normal",
        "resolution",
    ]:
        assert getattr(ours, attribute) == getattr(theirs, attribute), attribute


@pytest.mark.parametrize("name", ["uint8", "int8", "int16", "int32", "int64", "uint16"])
def test_iinfo(name):
    ours, theirs = (lib.iinfo(dtype(lib, name)) for lib in (fastdl, torch))
    assert repr(ours) == repr(theirs)
    assert (ours.bits, ours.dtype) == (theirs.bits, theirs.dtype)


def test_limits_of_the_wrong_kind():
    for lib in (fastdl, torch):
        for wrong in (lib.int32, lib.bool):
            with pytest.raises(TypeError):
                lib.finfo(wrong)
        for wrong in (lib.float32, lib.bool, lib.complex64):
            with pytest.raises(TypeError):
                lib.iinfo(wrong)
    assert fastdl.finfo().dtype == "float32"


def test_default_dtype():
    for lib in (fastdl, torch):
        assert lib.get_default_dtype() is lib.float32
        try:
            lib.set_default_dtype(lib.float64)
            assert lib.zeros(2).dtype is lib.tensor([1.0]).dtype is lib.float64
            assert lib.tensor([1j]).dtype is lib.complex128
            assert (lib.tensor(1) / 2).dtype is lib.float64
            assert repr(lib.zeros(1)) == "tensor([0.])"
            assert "float32" in repr(lib.zeros(1, dtype=lib.float32))
            with pytest.raises(TypeError, match="only floating-point types are supported"):
                lib.set_default_dtype(lib.int32)
        finally:
            lib.set_default_dtype(lib.float32)
        assert lib.tensor([1j]).dtype is lib.complex64


# ---- casts, values ----------------------------------------------------------------------------

CASTS = [
    "half",
    "bfloat16",
    "float",
    "double",
    "cfloat",
    "cdouble",
    "char",
    "short",
    "int",
    "long",
    "byte",
    "bool",
]


def plain(x):
    """Values of either library's tensor as Python numbers."""
    return x.tolist()


@pytest.mark.parametrize("name", NAMES)
def test_casts(name):
    values = [0, 1, 2.75, -3.5, 100, 1e-3, 65519.0, 1e5]
    if name == "uint8":
        values = [0, 1, 200, 255]
    for method in CASTS:
        x, y = (lib.tensor(values).to(dtype(lib, name)) for lib in (fastdl, torch))
        if method == "byte" and name not in ("int8", "int16", "int32", "int64", "uint8", "bool"):
            x, y = x[:4] * x[:4], y[:4] * y[:4]  # of what is negative, PyTorch leaves it open
        ours, theirs = getattr(x, method)(), getattr(y, method)()
        assert name_of(ours.dtype) == name_of(theirs.dtype)
        if "char" in method or "short" in method or "int" in method:
            inside = [i for i, v in enumerate(plain(y)) if abs(v) < 100]
            ours, theirs = ours[inside], theirs[inside]
        assert plain(ours) == plain(theirs), method


@pytest.mark.parametrize("name", NAMES)
def test_creation(name):
    for make in (
        lambda t, d: t.zeros(2, 3, dtype=d),
        lambda t, d: t.ones(3, dtype=d),
        lambda t, d: t.full((2,), 1, dtype=d),
        lambda t, d: t.tensor([[1, 0], [1, 1]], dtype=d),
        lambda t, d: t.eye(3, dtype=d),
        lambda t, d: t.ones_like(t.zeros(2), dtype=d),
        lambda t, d: t.zeros(2, dtype=d).new_ones(3),
        lambda t, d: t.zeros(2, dtype=d).fill_(1),
        lambda t, d: t.tensor([0, 1]).to(d),
        lambda t, d: t.arange(0, 2, dtype=d) if d not in (t.bool,) else t.ones(2, dtype=d),
        lambda t, d: t.empty(2, dtype=d).zero_(),
        lambda t, d: t.tensor([1, 0, 1], dtype=d).clone().flip(0).reshape(3, 1).expand(3, 2),
        lambda t, d: t.tensor([3, 0, 1]).to(d).nonzero(),
        lambda t, d: t.tensor([3, 0, 1]).to(d)[[1, 2]],
        lambda t, d: t.cat([t.tensor([3, 0, 1]).to(d), t.ones(1, dtype=d)]),
    ):
        try:
            theirs = make(torch, dtype(torch, name))
        except RuntimeError:
            with pytest.raises(RuntimeError):
                make(fastdl, dtype(fastdl, name))
            continue
        ours = make(fastdl, dtype(fastdl, name))
        assert repr(ours).replace("fastdl.", "torch.") == repr(theirs)


def test_complex_data_gives_complex_tensors():
    for lib in (fastdl, torch):
        assert lib.tensor([1 + 2j, 3]).dtype is lib.complex64
        assert lib.tensor(2j).item() == 2j
        assert lib.tensor(np.array([1j])).dtype is lib.complex128
        assert lib.full((2,), 1j).dtype is lib.complex64
        assert complex(lib.tensor(1 + 2j)) == 1 + 2j
        assert lib.complex(lib.ones(2), lib.zeros(2)).dtype is lib.complex64
        assert lib.tensor([1.0, 2.0], dtype=lib.complex128).tolist() == [1 + 0j, 2 + 0j]
        x = lib.tensor([1 + 2j, -3j])
        x.real = lib.tensor([5.0, 6.0])
        x.imag[1] = 7
        assert x.tolist() == [5 + 2j, 6 + 7j]
        assert lib.is_complex(x)
        assert not lib.is_complex(x.real)


ARRAYS = [
    np.random.default_rng(0).standard_normal((3, 4)),
    np.random.default_rng(1).standard_normal((40, 30)) * 100,
    np.array([1e-8, 1.0, 2.0]),
    np.array([1.0, 2, 3]),
    np.array(1.5),
    np.zeros((0, 3)),
    np.array([]),
    np.array([math.nan, math.inf, 1.5, -math.inf]),
    np.array([1e10, 1.0]),
]


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float64", "complex64", "complex128"])
@pytest.mark.parametrize("number", range(len(ARRAYS)))
def test_printing(name, number):
    values = ARRAYS[number]
    if name.startswith("complex"):
        values = values.astype(complex)
        values.imag = np.roll(values.real, 1)
    ours, theirs = (lib.from_numpy(values.copy()).to(dtype(lib, name)) for lib in (fastdl, torch))
    assert repr(ours).replace("fastdl.", "torch.") == repr(theirs)


# ---- half precision ---------------------------------------------------------------------------

HALF_OPS = {
    "add": lambda t, x, y: x + y,
    "number": lambda t, x, y: x * 2.1 - 0.3,
    "div": lambda t, x, y: x / y,
    "exp": lambda t, x, y: x.exp(),
    "sigmoid": lambda t, x, y: t.sigmoid(x),
    "softmax": lambda t, x, y: t.softmax(x, -1),
    "sum": lambda t, x, y: x.sum(),
    "sum of a dimension": lambda t, x, y: x.sum(1),
    "mean": lambda t, x, y: x.mean(0),
    "var": lambda t, x, y: x.var(1),
    "matmul": lambda t, x, y: x @ y.T,
    "matrix times vector": lambda t, x, y: x @ y[0],
    "linear": lambda t, x, y: t.nn.functional.linear(x, y, y[:, 0]),
    "conv1d": lambda t, x, y: t.nn.functional.conv1d(x[None], y[:, :, None]),
    "max": lambda t, x, y: t.max(x, 1).values,
    "maximum": lambda t, x, y: t.maximum(x, y),
    "less": lambda t, x, y: x < y,
    "argmax": lambda t, x, y: x.argmax(1),
    "sort": lambda t, x, y: x.sort(1).values,
    "cumsum": lambda t, x, y: x.cumsum(1),
    "where": lambda t, x, y: t.where(x > 0, x, y),
    "clamp": lambda t, x, y: x.clamp(-0.5, 0.5),
    "layer_norm": lambda t, x, y: t.nn.functional.layer_norm(x, (16,)),
    "cross_entropy": lambda t, x, y: t.nn.functional.cross_entropy(x, t.arange(16)),
    "gelu": lambda t, x, y: t.nn.functional.gelu(x),
    "sqrt": lambda t, x, y: x.abs().sqrt(),
    "pow": lambda t, x, y: x.abs() ** 1.5,
    "cat": lambda t, x, y: t.cat([x, y]),
    "norm": lambda t, x, y: x.norm(),
    "masked_fill": lambda t, x, y: x.masked_fill(x > 0, -1.5),
}


@pytest.mark.parametrize("name", HALF)
@pytest.mark.parametrize("op", HALF_OPS)
def test_half_precision(name, op):
    rng = np.random.default_rng(3)
    arrays = [rng.standard_normal((16, 16)).astype(np.float32) for _ in range(2)]
    results = []
    for lib in (fastdl, torch):
        x, y = (lib.from_numpy(a).to(dtype(lib, name)).requires_grad_() for a in arrays)
        z = HALF_OPS[op](lib, x, y)
        found = [z]
        if z.requires_grad:
            z.float().sum().backward()
            found += [g for g in (x.grad, y.grad) if g is not None]
        results.append(found)
    ours, theirs = results
    assert len(ours) == len(theirs)
    # Each side computes in float32 and rounds; a composite rounds between its parts, and gradients
    # pass a few ops: some roundings of the greatest element.
    eps = torch.finfo(dtype(torch, name)).eps
    for a, b in zip(ours, theirs):
        assert name_of(a.dtype) == name_of(b.dtype)
        a, b = (v.detach().double().numpy() for v in (a, b))
        np.testing.assert_allclose(a, b, rtol=0, atol=4 * eps * max(1, np.abs(b).max()))


def test_sums_and_products_of_half_precision_are_rounded_once():
    x = np.full(4096, 1.001, np.float32)
    for name in HALF:
        half = fastdl.from_numpy(x).to(dtype(fastdl, name))
        exact = float(half.double().sum())
        step = fastdl.finfo(dtype(fastdl, name)).eps * exact
        assert abs(half.sum().item() - exact) <= step
        assert abs((half @ half).item() - float(half.double() @ half.double())) <= 2 * step


def test_bfloat16_without_its_package():
    program = (
        "import sys; sys.modules['ml_dtypes'] = None\n"
        "import fastdl\n"
        "assert str(fastdl.bfloat16) == 'fastdl.bfloat16' and fastdl.bfloat16.itemsize == 2\n"
        "fastdl.zeros(2).half(); fastdl.finfo(fastdl.bfloat16)\n"
        "try:\n"
        "    fastdl.zeros(2, dtype=fastdl.bfloat16)\n"
        "except ImportError as error:\n"
        "    assert 'fastdl[bfloat16]' in str(error)\n"
        "else:\n"
        "    raise SystemExit('no error')\n"
    )
    root = Path(fastdl.__file__).parent.parent
    subprocess.run([sys.executable, "-c", program], check=True, cwd=root)


# ---- complex autograd -------------------------------------------------------------------------

COMPLEX_OPS = {
    "mul": lambda t, x, y: x * y,
    "div": lambda t, x, y: x / y,
    "matmul": lambda t, x, y: x @ y,
    "exp": lambda t, x, y: t.exp(x) * y,
    "log": lambda t, x, y: t.log(x) + t.sqrt(y),
    "sin": lambda t, x, y: t.sin(x) * t.cos(y),
    "pow": lambda t, x, y: x**2 + y**3.5 + x**y,
    "conj": lambda t, x, y: x.conj() * y,
    "abs": lambda t, x, y: x.abs() * y,
    "real": lambda t, x, y: x.real * y.imag,
    "angle": lambda t, x, y: t.angle(x * y),
    "sgn": lambda t, x, y: t.sgn(x) * y,
    "sum": lambda t, x, y: x.sum(0) * y.mean(1),
    "mixed": lambda t, x, y: x.real * y + y.to(t.float64 if x.dtype is t.complex128 else t.float32),
    "in place": lambda t, x, y: (x * 1).mul_(y).add_(x, alpha=2j),
    "index": lambda t, x, y: x[[0, 0, 1]] * y[1],
}


@pytest.mark.parametrize("op", COMPLEX_OPS)
@pytest.mark.filterwarnings("ignore:Casting complex values to real")
def test_gradients_of_complex_functions(op):
    rng = np.random.default_rng(5)
    arrays = [rng.standard_normal((3, 3)) + 1j * rng.standard_normal((3, 3)) for _ in range(2)]
    found = []
    for lib in (fastdl, torch):
        x, y = (lib.from_numpy(a.copy()).requires_grad_() for a in arrays)
        z = COMPLEX_OPS[op](lib, x, y)
        seed = lib.ones_like(z) * (2 - 1j if z.is_complex() else 1)
        slopes = lib.autograd.grad(z, (x, y), seed, create_graph=True, allow_unused=True)
        size = sum([(g * g.conj()).real.sum() for g in slopes if g is not None])
        if size.requires_grad:
            size.backward()
        found.append([z, *slopes, x.grad, y.grad])
    for a, b in zip(*found):
        if a is None or b is None:
            assert not np.any((a if b is None else b).detach().numpy() if a is not b else 0)
            continue
        assert name_of(a.dtype) == name_of(b.dtype)
        a, b = (v.detach().resolve_conj().numpy() for v in (a, b))
        # some ten operations on either side, in double precision
        np.testing.assert_allclose(a, b, rtol=0, atol=256 * 2.2e-16 * max(1, np.abs(b).max()))


def test_backward_of_a_complex_number_needs_a_gradient():
    for lib in (fastdl, torch):
        z = lib.tensor(1j, requires_grad=True) * 2
        with pytest.raises(RuntimeError, match="real scalar outputs"):
            z.backward()
        with pytest.raises(RuntimeError, match="floating point dtype"):
            lib.tensor([1]).requires_grad_()


COMPLEX_FUNCTIONS = {
    "view as parts": lambda t, z: z.view(t.float64),
    "isfinite": lambda t, z: t.isfinite(z) & ~t.isnan(z) & ~z.isinf(),
    "isclose": lambda t, z: t.isclose(z, z + 1e-9),
    "norm": lambda t, z: z.norm() + t.linalg.norm(z, 1) + t.linalg.vector_norm(z, 3),
    "inv": lambda t, z: t.linalg.inv(z),
    "solve": lambda t, z: t.linalg.solve(z, z.mT),
    "det": lambda t, z: t.det(z),
    "eigenvalues": lambda t, z: t.linalg.eigvalsh(z @ z.mH),
    "eigenvalues of any": lambda t, z: t.linalg.eigvals(z).abs().sort().values,
    "singular values": lambda t, z: t.linalg.svdvals(z),
    "cholesky": lambda t, z: t.linalg.cholesky(z @ z.mH + t.eye(3)),
    "vdot": lambda t, z: t.vdot(z[0], z[1]) + t.dot(z[0], z[1]),
    "kron": lambda t, z: t.kron(z, z),
    "addcmul": lambda t, z: t.addcmul(z, z, z, value=2) + t.lerp(z, z * 2, 0.3),
    "addmm": lambda t, z: t.addmm(z, z, z, beta=0.5j),
    "numbers": lambda t, z: 2**z + 1 / z + z**0 + z**-1 + z**0.5 - 1j,
    "masked_fill": lambda t, z: z.masked_fill(t.eye(3).bool(), 1j),
    "where": lambda t, z: t.where(t.eye(3).bool(), z, 0),
    "nonzero": lambda t, z: (z * t.eye(3)).nonzero(),
    "any": lambda t, z: t.stack([z.any(), z.all(), t.count_nonzero(z) > 8]),
    "stack": lambda t, z: t.stack([z, z.real]),
    "linspace": lambda t, z: t.linspace(0, 1, 3, dtype=t.complex64),
    "cov": lambda t, z: t.cov(z),
    "matrix_exp": lambda t, z: t.matrix_exp(z),
    "linear": lambda t, z: t.nn.functional.linear(z, z, z[0]),
    "l1_loss": lambda t, z: t.nn.functional.l1_loss(z, z * 2),
    "scatter": lambda t, z: t.zeros_like(z).scatter_add(0, t.zeros(3, 3, dtype=t.int64), z),
    "index": lambda t, z: z[z.abs() > 1],
    "diff": lambda t, z: z.diff().roll(1).flip(0).cumprod(0),
}


@pytest.mark.parametrize("name", COMPLEX_FUNCTIONS)
def test_functions_of_complex_numbers(name):
    rng = np.random.default_rng(0)
    array = rng.standard_normal((3, 3)) + 1j * rng.standard_normal((3, 3))
    ours, theirs = (COMPLEX_FUNCTIONS[name](lib, lib.from_numpy(array.copy())) for lib in
                    (fastdl, torch))  # fmt: skip
    assert name_of(ours.dtype) == name_of(theirs.dtype)
    a, b = ours.numpy(), theirs.resolve_conj().numpy()
    # Decompositions and inverses of 3x3 matrices whose condition is some ten.
    np.testing.assert_allclose(a, b, rtol=0, atol=4096 * 2.2e-16 * max(1, np.abs(b).max()))


def test_random_complex_numbers():
    fastdl.manual_seed(1)
    z = fastdl.randn(20000, dtype=fastdl.complex64)
    # Standard errors: 1 / sqrt(20000) of the mean of squares, half of that for each part.
    assert z.dtype is fastdl.complex64
    assert abs((z.abs() ** 2).mean().item() - 1) < 5 / 20000**0.5
    assert abs(z.real.var().item() - 0.5) < 5 / 20000**0.5
    assert abs((z.real * z.imag).mean().item()) < 5 / 20000**0.5
    u = fastdl.rand_like(fastdl.randn_like(z))
    assert u.shape == z.shape
    assert 0 <= u.imag.min().item() < u.imag.max().item() < 1


# ---- integers ---------------------------------------------------------------------------------

INTEGER_OPS = {
    "floor_divide": lambda t, x, y: x // y,
    "remainder": lambda t, x, y: x % y,
    "fmod": lambda t, x, y: t.fmod(x, y),
    "trunc": lambda t, x, y: t.div(x, y, rounding_mode="trunc"),
    "div": lambda t, x, y: x / y,
    "overflow": lambda t, x, y: x * 100 * y * 77,
    "add a great number": lambda t, x, y: x + 300,
    "subtract": lambda t, x, y: x - 200 - y,
    "negate": lambda t, x, y: -x,
    "compare with a great number": lambda t, x, y: x < 100,
    "shift": lambda t, x, y: (x << 3) >> 1,
    "bits": lambda t, x, y: (x & y) | (x ^ 5) | ~y,
    "sum": lambda t, x, y: x.sum(),
    "prod": lambda t, x, y: x.prod(),
    "cumsum": lambda t, x, y: x.cumsum(0),
    "sum in float": lambda t, x, y: x.sum(dtype=t.float32),
    "abs": lambda t, x, y: x.abs(),
    "pow": lambda t, x, y: x**3,
    "square": lambda t, x, y: x.square(),
    "sqrt": lambda t, x, y: x.abs().sqrt(),
    "max": lambda t, x, y: t.maximum(x, y),
    "clamp": lambda t, x, y: x.clamp(2, 20),
    "clamp to floats": lambda t, x, y: x.clamp(1.5),
    "matmul": lambda t, x, y: x.reshape(2, 4) @ y.reshape(4, 2),
    "divide by a float zero": lambda t, x, y: x // 0.0,
}


@pytest.mark.parametrize("name", ["uint8", "int8", "int16", "int32", "int64"])
@pytest.mark.parametrize("op", INTEGER_OPS)
def test_integer_arithmetic(name, op):
    signed = name != "uint8"
    values = [[7, -7, 7, -7, 100, 127, 0, 1], [2, 2, -2, -2, 3, 5, 9, -1]]
    x, y = (np.abs(v) if not signed else np.array(v) for v in values)
    found = []
    for lib in (fastdl, torch):
        a, b = (lib.tensor(v.tolist(), dtype=dtype(lib, name)) for v in (x, y))
        found.append(INTEGER_OPS[op](lib, a, b))
    ours, theirs = found
    assert repr(ours).replace("fastdl.", "torch.") == repr(theirs)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda t: t.tensor([True]) - t.tensor([True]),
        lambda t: t.tensor([True]) - 1,
        lambda t: 1 - t.tensor([True]),
        lambda t: -t.tensor([True]),
        lambda t: t.tensor([1, 2]).mean(),
        lambda t: t.tensor([1, 2]).var(),
        lambda t: t.tensor([1]) // 0,
        lambda t: t.tensor([1]) % 0,
        lambda t: t.tensor([1]).add_(1.5),
        lambda t: t.tensor([1]).div_(2),
        lambda t: t.tensor([True]).add_(1),
        lambda t: t.tensor([1.0]).mul_(1j),
        lambda t: t.tensor([1.0]) << 1,
        lambda t: t.tensor([1.0]) & t.tensor([1.0]),
        lambda t: ~t.tensor([1.0]),
        lambda t: t.tensor([2]) ** -1,
        lambda t: t.tensor([1]) + 2**70,
        lambda t: t.tensor([1 + 1j]) < t.tensor([1 + 1j]),
        lambda t: t.tensor([1 + 1j]).max(),
        lambda t: t.tensor([1 + 1j]).clamp(0, 1),
        lambda t: t.tensor([1 + 1j]).floor(),
        lambda t: t.tensor([1 + 1j]) % 2,
        lambda t: t.maximum(t.tensor([1j]), t.tensor([1j])),
        lambda t: float(t.tensor(1 + 1j)),
        lambda t: t.tensor([300], dtype=t.uint8),
        lambda t: t.full((2,), 300, dtype=t.uint8),
        lambda t: t.zeros(2, dtype=t.uint8).fill_(300),
        lambda t: t.ones(2, 2).half() @ t.ones(2, 2),
        lambda t: t.ones(2, dtype=t.uint16) + t.ones(2, dtype=t.int32),
    ],
)
def test_what_is_refused(wrong):
    errors = []
    for lib in (fastdl, torch):
        with pytest.raises(Exception) as caught:
            wrong(lib)
        errors.append(caught.type)
    assert issubclass(*errors)  # NotImplementedError is a RuntimeError


# ---- networks ---------------------------------------------------------------------------------


def network(nn, d):
    """A language model in small."""
    return nn.Sequential(
        nn.Embedding(10, 8, dtype=d), nn.Linear(8, 16, dtype=d), nn.GELU(),
        nn.LayerNorm(16, dtype=d), nn.RMSNorm(16, dtype=d), nn.Dropout(0.0),
        nn.Linear(16, 4, bias=False, dtype=d),
    )  # fmt: skip


OPTIMIZERS = ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta", "NAdam", "RAdam", "Adamax"]


@pytest.mark.parametrize("name", HALF)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_networks_train_in_half_precision(name, optimizer):
    fastdl.manual_seed(0)
    net = network(fastdl.nn, dtype(fastdl, name))
    options = {"eps": 1e-4} if "A" in optimizer or "RMS" in optimizer else {}
    optimizer = getattr(fastdl.optim, optimizer)(net.parameters(), lr=0.02, **options)
    losses = []
    for _ in range(12):
        optimizer.zero_grad()
        y = net(fastdl.tensor([[1, 2, 3, 4]])).flatten(0, 1)
        loss = fastdl.nn.functional.cross_entropy(y, fastdl.arange(4))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    for p in net.parameters():
        assert p.dtype is p.grad.dtype is dtype(fastdl, name)


@pytest.mark.parametrize("name", HALF)
def test_networks_of_half_precision_are_saved_and_cast(name, tmp_path):
    pytest.importorskip("safetensors")
    d = dtype(fastdl, name)
    net, other = network(fastdl.nn, d), network(fastdl.nn, fastdl.float32)
    fastdl.save(net.state_dict(), tmp_path / "net.pt")
    state = fastdl.load(tmp_path / "net.pt")
    assert {v.dtype for v in state.values()} == {d}
    other.load_state_dict(state)  # copied into float32
    for p, q in zip(net.parameters(), other.parameters()):
        assert q.dtype is fastdl.float32
        assert p.float().tolist() == q.tolist()
    cast = getattr(other, "half" if name == "float16" else name)()
    assert {p.dtype for p in cast.parameters()} == {d}
    assert {p.dtype for p in network(fastdl.nn, None).to(d).parameters()} == {d}


def test_complex_numbers_are_saved(tmp_path):
    pytest.importorskip("safetensors")
    fastdl.save({"z": fastdl.tensor([1 + 2j]), "u": fastdl.ones(2, dtype=fastdl.uint16)},
                tmp_path / "z.pt")  # fmt: skip
    found = fastdl.load(tmp_path / "z.pt")
    assert found["z"].tolist() == [1 + 2j]
    assert found["u"].dtype is fastdl.uint16
    found["z"][0] = 0  # it owns its memory
