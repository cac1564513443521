"""Reductions on every tier and dtype: values against NumPy in float64, PyTorch's rules, accuracy.

A sum of n terms of size 1 in blocks errs by at most 70 eps times the number of levels of chunks
(csrc/reduce/blocks.c), relative to the sum of magnitudes; random signs stay far below.
"""

import itertools
import math

import numpy as np
import pytest

import fastdl
from fastdl._kernels import extreme, isa_available, reduce, scan, variance

each_tier = pytest.mark.parametrize("isa", isa_available())
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])

# around the vector (2 ... 16), 8 rows, 16 elements, blocks of 64 rows, strips and chunks of 1024
LENGTHS = (1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 63, 65, 127, 129, 1023, 1025, 2049)
SHAPES = [
    *((n,) for n in (*LENGTHS, 70_001)),
    *((3, n) for n in LENGTHS),
    *((n, 3) for n in LENGTHS),
    *((n, 37) for n in (2, 63, 65, 1025)),
    (),
    (2, 3, 4),
    (4, 1, 3, 5),
    (2, 3, 2, 5, 2),
    (3, 2, 2, 2, 3, 2),
    (2, 3, 2050),
    (3, 2050, 2),
    (0,),
    (0, 3),
    (5, 0, 3),
]
REFERENCE = {
    "sum": np.sum,
    "prod": np.prod,
    "max": np.max,
    "min": np.min,
    "sum_abs": lambda x, **how: np.abs(x).sum(**how),
    "sum_squares": lambda x, **how: np.square(x).sum(**how),
}


def layouts(x):
    """The array as it is, and the same values behind other strides."""
    yield x
    yield x[..., ::-1] if x.ndim else x
    if x.ndim:
        wide = np.full((*x.shape[:-1], 2 * x.shape[-1] + 1), np.nan, x.dtype)
        wide[..., : 2 * x.shape[-1] : 2] = x
        yield wide[..., : 2 * x.shape[-1] : 2]
        rows = np.full((*x.shape[:-1], x.shape[-1] + 3), np.nan, x.dtype)
        rows[..., 1:-2] = x
        yield rows[..., 1:-2]
    if x.ndim > 1:
        yield np.asfortranarray(x)
        yield np.ascontiguousarray(x.swapaxes(0, 1)).swapaxes(0, 1)
        yield np.broadcast_to(x[:1], x.shape)


def subsets(ndim):
    return [d for r in range(ndim + 1) for d in itertools.combinations(range(ndim), r)]


@each_tier
@each_dtype
@pytest.mark.parametrize("op", REFERENCE)
def test_any_axes_of_any_array(isa, dtype, op):
    rng = np.random.default_rng(0)
    for shape in SHAPES:
        x = np.asarray(rng.standard_normal(shape)).astype(dtype)
        if op == "prod":
            x = np.asarray(np.exp(x / 64)).astype(dtype)
        for z, dims in itertools.product(layouts(x), subsets(x.ndim)):
            if op in ("max", "min") and z.size == 0:
                continue
            wide = z.astype("f8")
            expected = REFERENCE[op](wide, axis=dims)
            kept = reduce(z, op, dims, True, isa=isa)
            found = reduce(z, op, dims, isa=isa)
            assert found.dtype == dtype
            assert found.shape == expected.shape
            assert kept.shape == REFERENCE[op](wide, axis=dims, keepdims=True).shape
            assert found.flags.c_contiguous
            assert found.tobytes() == kept.tobytes()
            size = expected if op == "prod" else np.abs(wide).sum(dims)
            size = REFERENCE[op](wide, axis=dims) if op == "sum_squares" else size
            exact = op in ("max", "min")
            # every factor of a product rounds it, in whatever order
            roundings = max(140, z.size) if op == "prod" else 140
            bound = 0 if exact else roundings * np.finfo(dtype).eps * np.abs(size)
            assert (np.abs(found - expected) <= bound).all()


@each_tier
@each_dtype
def test_mean_divides(isa, dtype):
    for n in (3, 7, 49, 1000):  # times 1 / n would miss 1 by an ulp for 49
        ones = np.ones((n, 5), dtype)
        assert (reduce(ones, "sum", (0,), mean=True, isa=isa) == 1).all()
        assert (reduce(ones.T.copy(), "sum", (1,), mean=True, isa=isa) == 1).all()
    assert np.isnan(reduce(np.empty((0, 3), dtype), "sum", (0,), mean=True, isa=isa)).all()


@each_tier
def test_error_does_not_grow_with_the_count(isa):
    """One addition after another loses 2**24 ones beyond 2**24, and 1e-4 of a million of 0.1."""
    for shape, dims in (((5_000_001,), (0,)), ((1_000_003, 2), (0,)), ((2, 1_000_003), (1,))):
        x = np.random.default_rng(0).random(shape, np.float32)
        expected = x.astype("f8").sum(dims)
        found = reduce(x, "sum", dims, isa=isa)
        # 140 additions at most, of random roundings: a tenth of the bound
        assert (np.abs(found - expected) <= 14 * 6e-8 * expected).all()
    big = np.ones(3 << 24, np.float32)
    assert reduce(big, "sum", (0,), isa=isa) == 3 << 24


@each_tier
@each_dtype
@pytest.mark.parametrize("op", REFERENCE)
def test_nan_and_infinity(isa, dtype, op):
    for n in (1, 5, 40, 3000):
        for axis in (0, 1):
            for place in {0, n // 2, n - 1}:
                x = np.ones((n, 3) if axis == 0 else (3, n), dtype)
                x[(place, 1) if axis == 0 else (1, place)] = np.nan
                assert np.isnan(reduce(x, op, (axis,), isa=isa)).tolist() == [False, True, False]
                x[np.isnan(x)] = np.inf
                expected = REFERENCE[op](x, axis=axis)
                np.testing.assert_allclose(reduce(x, op, (axis,), isa=isa), expected)


@each_tier
@each_dtype
@pytest.mark.parametrize("op", ["max", "min"])
def test_extreme(isa, dtype, op):
    """Few values, so that many are equal: the first place wins, as in NumPy and PyTorch."""
    rng = np.random.default_rng(1)
    find, value = (np.argmax, np.max) if op == "max" else (np.argmin, np.min)
    for shape in SHAPES:
        x = np.asarray(rng.integers(0, 9, shape)).astype(dtype)
        for z, dim in itertools.product(layouts(x), (None, *range(x.ndim))):
            if z.size == 0 and (dim is None or z.shape[dim] == 0):
                with pytest.raises(ValueError, match="no elements"):
                    extreme(z, op, dim, isa=isa)
                continue
            for keepdim in (False, True):
                values, places = extreme(z, op, dim, keepdim, isa=isa)
                assert places.dtype == np.int64
                np.testing.assert_array_equal(places, find(z, dim, keepdims=keepdim))
                np.testing.assert_array_equal(values, value(z, dim, keepdims=keepdim))


@each_tier
@each_dtype
@pytest.mark.parametrize("op", ["max", "min"])
def test_extreme_finds_the_first_nan(isa, dtype, op):
    torch = pytest.importorskip("torch")
    for n in (1, 5, 40, 3000, 20_000):
        for places in ((0,), (n - 1,), (n // 2, n - 1), ()):
            x = np.random.default_rng(n).standard_normal((n, 3)).astype(dtype)
            x[list(places), 1] = np.nan
            for z, axis in ((x, 0), (x.T.copy(), 1)):
                values, found = extreme(z, op, axis, isa=isa)
                expected = getattr(torch.from_numpy(z), op)(axis)
                np.testing.assert_array_equal(values, expected.values.numpy())
                np.testing.assert_array_equal(found, expected.indices.numpy())
    worst = -np.inf if op == "max" else np.inf
    assert extreme(np.full(50, worst, dtype), op, 0, isa=isa)[1] == 0


@each_tier
@each_dtype
def test_variance(isa, dtype):
    rng = np.random.default_rng(2)
    eps = np.finfo(dtype).eps
    for shape in SHAPES:
        for offset in (0, 1e3):
            x = np.asarray(rng.standard_normal(shape) + offset).astype(dtype)
            for z, dims in itertools.product(layouts(x), subsets(x.ndim)):
                count = math.prod(z.shape[d] for d in dims)
                if count < 2 or z.size == 0:
                    continue
                wide = z.astype(np.longdouble)
                found, mean = variance(z, dims, 1, isa=isa)
                expected = wide.var(dims, ddof=1)
                # rounding of the deviations, eps / 2 of the values each, and of their squares
                bound = eps * (100 * expected + 4 * offset * np.sqrt(expected) + offset**2 * eps)
                assert (np.abs(found - expected) <= bound).all()
                assert (np.abs(mean - wide.mean(dims)) <= 70 * eps * (np.abs(wide).max())).all()
                kept, _ = variance(z, dims, 1, True, isa=isa)
                assert kept.shape == wide.var(dims, keepdims=True).shape
                assert kept.tobytes() == found.tobytes()


@each_tier
@each_dtype
def test_variance_of_a_constant_is_zero(isa, dtype):
    """0.1 is no sum of powers of 2: a mean that is off would show."""
    for shape in ((1000, 7), (7, 1000), (70_001,)):
        x = np.full(shape, 0.1, dtype)
        for dims in subsets(len(shape))[1:]:
            assert (variance(x, dims, 1, isa=isa)[0] <= np.finfo(dtype).eps ** 2).all()


@each_tier
def test_variance_without_enough_elements(isa):
    assert np.isnan(variance(np.ones((3, 1)), (1,), 1, isa=isa)[0]).all()
    assert np.isnan(variance(np.ones((3, 0)), (1,), 0, isa=isa)[0]).all()
    assert (variance(np.arange(2.0)[None], (1,), 2, isa=isa)[0] == np.inf).all()


@each_tier
@each_dtype
@pytest.mark.parametrize("product", [False, True])
def test_scan(isa, dtype, product):
    """Running values in double: rounded once for a float, and as NumPy's for a double."""
    rng = np.random.default_rng(4)
    for shape in (*SHAPES, (5, 300, 2), (6, 4, 300)):
        x = np.asarray(rng.standard_normal(shape)).astype(dtype)
        x = np.asarray(np.exp(x / 64)).astype(dtype) if product else x
        for dim in range(x.ndim):
            found = scan(x, dim, product, isa=isa)
            wide = x.astype("f8")
            expected = (np.cumprod if product else np.cumsum)(wide, dim)
            assert found.dtype == dtype
            np.testing.assert_array_equal(found, expected.astype(dtype))


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: reduce(np.ones((2, 3)), "sum", (2,)), ValueError),
        (lambda: reduce(np.ones((2, 3)), "sum", (-1,)), ValueError),
        (lambda: reduce(np.ones((2, 3)), "sum", (1, 1)), ValueError),
        (lambda: reduce(np.ones((2, 3)), "total", (1,)), ValueError),
        (lambda: reduce(np.ones((2, 3), np.int64), "sum", (1,)), TypeError),
        (lambda: extreme(np.ones((2, 3)), "sum", 1), ValueError),
        (lambda: extreme(np.ones((2, 3)), "max", 2), ValueError),
        (lambda: variance(np.ones((2, 3)), (0, 0)), ValueError),
        (lambda: scan(np.ones((2, 3)), 2), ValueError),
        (lambda: scan(np.ones((2, 3)).T, 0), ValueError),
    ],
)
def test_bad_arguments(call, error):
    with pytest.raises(error):
        call()


@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("dim", [0, 1])
@pytest.mark.parametrize("special", [None, np.nan, np.inf, -np.inf])
def test_topk_of_few(special, dim, largest):
    """k below n / 64, where elements are found one by one; with NaN and infinities among them."""
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(5).permutation(9 * 700).reshape(9, 700).astype("f4")
    x = np.ascontiguousarray(x.T) if dim == 0 else x
    if special is not None:
        x[:3, :3] = special
    for k in (1, 5, 10):
        ours = fastdl.from_numpy(x).topk(k, dim, largest)
        theirs = torch.from_numpy(x).topk(k, dim, largest)
        np.testing.assert_array_equal(ours.values.numpy(), theirs.values.numpy())
        index = ours.indices.numpy()
        np.testing.assert_array_equal(np.take_along_axis(x, index, dim), theirs.values.numpy())
        assert all(len(set(row)) == k for row in np.moveaxis(index, dim, -1))


DTYPES = (fastdl.float16, fastdl.int64, fastdl.uint8, fastdl.bool)


@pytest.mark.parametrize("dtype", DTYPES)
def test_other_dtypes(dtype):
    """float16, integers and bools, which have no kernels, as PyTorch."""
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(3).integers(0, 3, (4, 5, 6))
    ours = fastdl.tensor(x).to(dtype)
    theirs = torch.tensor(x).to(getattr(torch, str(dtype).rpartition(".")[2]))
    calls = [
        lambda t: t.sum((0, 2)),
        lambda t: t.sum(1, keepdim=True),
        lambda t: t.prod(1),
        lambda t: t.amax((0, 1)),
        lambda t: t.max(),
        lambda t: t.max(2).values,
    ]
    if dtype is not fastdl.bool:
        calls += [lambda t: t.argmax(), lambda t: t.argmin(1, keepdim=True), lambda t: t.min(0)[1]]
    if dtype is fastdl.float16:
        calls += [lambda t: t.mean(1), lambda t: t.var((0, 1)), lambda t: t.norm()]
    for call in calls:
        a, b = call(ours).numpy(), call(theirs).numpy()
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a.astype("f8"), b.astype("f8"), rtol=2e-3)
