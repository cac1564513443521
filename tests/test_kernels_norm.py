"""Normalisation kernels: every tier and dtype against the definition in NumPy's long double.

With statistics exact to a few eps of |mean|, y errs by eps * |mean| / sqrt(var) times a small
factor besides its own roundings: bounds below are 64 eps of the largest result, times that.
"""

import math

import numpy as np
import pytest
from fences import fenced

from fastdl import _kernels
from fastdl._kernels import (
    batch_norm,
    batch_norm_backward,
    batch_norm_fixed,
    isa_available,
    row_norm,
    row_norm_backward,
)

ISAS = isa_available()
DTYPES = ("float32", "float64")
EPS = 1e-5

each_tier = pytest.mark.parametrize("isa", ISAS)
each_dtype = pytest.mark.parametrize("dtype", DTYPES)

# Few pixels and many (FEW_PIXELS = 65), tiles of 256 columns, pieces of 256 samples and of 4096
# values, planes longer than a piece, primes
BATCHES = [
    (2, 1), (5, 3), (64, 120), (3, 257, 1), (300, 2), (40, 300, 1), (257, 33, 3), (7, 5, 2, 2),
    (3, 17, 15), (3, 17, 16), (3, 17, 17), (3, 17, 64), (3, 17, 65), (300, 5, 8, 8),
    (5, 19, 7, 7), (90, 3, 7, 7), (2, 3, 64, 64), (2, 3, 4097),
    (3, 2, 70, 131), (1, 7, 5, 5), (2, 70, 33, 3),
]  # fmt: skip
# (n, g, c, p): layer norm, group norm, instance norm
ROWS = [
    (1, 1, 1, 1), (5, 1, 3, 1), (64, 1, 10, 1), (65, 1, 33, 1), (700, 1, 7, 1), (4, 1, 768, 1),
    (3, 1, 4097, 1), (2, 1, 9000, 1), (4, 2, 3, 5), (3, 7, 1, 15), (3, 2, 5, 16), (9, 4, 2, 49),
    (2, 1, 3, 4100), (5, 3, 1, 100), (1, 5, 60, 8),
]  # fmt: skip


def reference(x, dy, w, b, axes, centred=True):
    """y, mean, var, dx, dweight, dbias of x (n, g, c, p) in long double; `axes` share a mean."""
    x, dy, w, b = (np.asarray(a, np.longdouble) for a in (x, dy, w, b))
    w, b = (a.reshape(1, *x.shape[1:3], 1) for a in (w, b))
    mean = x.mean(axes, keepdims=True) if centred else np.zeros_like(x.mean(axes, keepdims=True))
    var = ((x - mean) ** 2).mean(axes, keepdims=True)
    rstd = 1 / np.sqrt(var + EPS)
    xhat = (x - mean) * rstd
    u = dy * w
    dx = u - xhat * (u * xhat).mean(axes, keepdims=True)
    if centred:
        dx -= u.mean(axes, keepdims=True)
    sums = (dy * xhat).sum((0, 3)).ravel(), dy.sum((0, 3)).ravel()
    return xhat * w + b, mean.ravel(), var.ravel(), dx * rstd, *sums


def assert_near(result, exact, scale, dtype):
    error = np.abs(np.asarray(result, np.longdouble) - exact.reshape(result.shape))
    assert np.isfinite(np.asarray(result)).all()
    assert (error <= 64 * np.finfo(dtype).eps * scale).all(), float(
        error.max() / scale / np.finfo(dtype).eps
    )


def check_against_reference(forward, backward, x, w, b, dy, axes, shape, dtype, centred=True):
    """Compares y, statistics and gradients; outputs are fenced."""
    exact = reference(x.reshape(shape), dy.reshape(shape), w, b, axes, centred)
    y_exact, mean, var, dx_exact, dw_exact, db_exact = exact
    y, check_y = fenced(x.shape, dtype)
    same, stats = forward(y)
    assert same is y
    check_y()
    rstd = float(1 / np.sqrt(var.min() + EPS))
    offset = 1 + float(np.abs(mean).max()) * rstd  # what rounding the mean may cost
    spread = float(np.abs(y_exact).max() + 1)
    assert_near(y, y_exact, spread * offset, dtype)
    assert_near(stats[0], mean, np.abs(x).max(), dtype)
    assert_near(stats[1], var, float(var.max()) * offset, dtype)
    dx, check_dx = fenced(x.shape, dtype)
    same, dw, db = backward(dx, stats)
    assert same is dx
    check_dx()
    count = np.sqrt(x.size / w.size)
    assert_near(dx, dx_exact, (float(np.abs(dx_exact).max()) + rstd) * offset, dtype)
    assert_near(dw, dw_exact, float(np.abs(dw_exact).max() + count) * offset, dtype)
    assert_near(db, db_exact, float(np.abs(db_exact).max() + count), dtype)


@each_tier
@each_dtype
@pytest.mark.parametrize("shape", BATCHES)
def test_batch_norm(isa, dtype, shape):
    rng = np.random.default_rng(len(shape))
    x = (rng.standard_normal(shape) * 2 + 3).astype(dtype)
    dy = rng.standard_normal(shape).astype(dtype)
    w, b = rng.standard_normal((2, shape[1])).astype(dtype)
    as_rows = (shape[0], 1, shape[1], math.prod(shape[2:]))
    check_against_reference(
        lambda y: batch_norm(x, w, b, EPS, out=y, isa=isa),
        lambda dx, stats: batch_norm_backward(dy, x, stats, w, EPS, out=dx, isa=isa),
        x, w, b, dy, (0, 3), as_rows, dtype,
    )  # fmt: skip
    y, stats = batch_norm(x, None, None, EPS, isa=isa)
    fixed, check = fenced(shape, dtype)
    batch_norm_fixed(x, *stats, w, b, EPS, out=fixed, isa=isa)
    check()
    expected = batch_norm(x, w, b, EPS, isa=isa)[0]
    np.testing.assert_array_equal(fixed, expected)
    np.testing.assert_array_equal(batch_norm_fixed(x, *stats, isa=isa), y)
    ones = np.ones(shape[1], dtype)
    for plain, weighted in zip(
        batch_norm_backward(dy, x, stats, isa=isa),
        batch_norm_backward(dy, x, stats, ones, isa=isa),
    ):
        np.testing.assert_array_equal(plain, weighted)


@each_tier
@each_dtype
@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("shape", ROWS)
def test_row_norm(isa, dtype, shape, centred):
    rng = np.random.default_rng(sum(shape))
    x = (rng.standard_normal(shape) * 2 + 3).astype(dtype)
    dy = rng.standard_normal(shape).astype(dtype)
    w, b = rng.standard_normal((2, shape[1] * shape[2])).astype(dtype)
    check_against_reference(
        lambda y: row_norm(x, shape, w, b, EPS, centred, out=y, isa=isa),
        lambda dx, stats: row_norm_backward(
            dy, x, shape, stats, w, EPS, centred, out=dx, isa=isa
        ),
        x, w, b, dy, (2, 3), shape, dtype, centred,
    )  # fmt: skip
    ones, zeros = np.ones_like(w), np.zeros_like(b)
    stats = row_norm(x, shape, isa=isa)[1]
    for options in ({}, {"weight": ones}, {"bias": zeros}):
        y = row_norm(x, shape, isa=isa, **options)[0]
        np.testing.assert_array_equal(y, row_norm(x, shape, ones, zeros, isa=isa)[0])
    for plain, weighted in zip(
        row_norm_backward(dy, x, shape, stats, isa=isa),
        row_norm_backward(dy, x, shape, stats, ones, isa=isa),
    ):
        np.testing.assert_array_equal(plain, weighted)


@each_tier
@pytest.mark.parametrize("shape", [(16, 4, 30, 30), (500, 7), (64, 3, 3, 3)])
def test_large_mean(isa, shape):
    """The mean 3000 times the deviation: E[x^2] - E[x]^2 in float32 would be off by 9e6 * eps, or
    all of the variance. Deviations from the exact mean err by half an ulp of x each: 1e-4."""
    rng = np.random.default_rng(0)
    x = (rng.standard_normal(shape) + 3000).astype(np.float32)
    axes = (0, *range(2, x.ndim))
    _, (_, var) = batch_norm(x, isa=isa)
    np.testing.assert_allclose(var, x.astype("f8").var(axes), rtol=1e-6)
    rows = (shape[0], 1, x.size // shape[0], 1)
    _, (_, var) = row_norm(x, rows, isa=isa)
    exact = x.astype("f8").reshape(shape[0], -1).var(1)
    np.testing.assert_allclose(var, exact, rtol=1e-6)


@each_tier
def test_one_odd_sample(isa):
    """Constant samples and one far away: no piece is like the others, so shifts by any of them
    would cancel. 256 terms added in float32 err by at most 128 eps = 1.6e-5."""
    x = np.full((400, 2, 5), 1000, np.float32)
    x[17] = -1000
    x[0, 0] = 0
    _, (mean, var) = batch_norm(x, isa=isa)
    wide = x.astype("f8")
    np.testing.assert_allclose(mean, wide.mean((0, 2)), rtol=1e-6)
    np.testing.assert_allclose(var, wide.var((0, 2)), rtol=1.6e-5)


@each_tier
@each_dtype
@pytest.mark.parametrize("shape", [(16, 3, 60, 60), (4, 2, 9000), (6, 100, 20, 20), (5000, 5),
                                   (600, 40, 2, 2)])  # fmt: skip
def test_batch_norm_threads(isa, dtype, shape):
    """Channels or pieces are shared out: the bits are those of one thread."""
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((2, *shape)).astype(dtype)
    w, b = rng.standard_normal((2, shape[1])).astype(dtype)

    def results(threads):
        y, stats = batch_norm(x, w, b, isa=isa, threads=threads)
        fixed = batch_norm_fixed(x, *stats, w, b, isa=isa, threads=threads)
        return y, stats, fixed, *batch_norm_backward(dy, x, stats, w, isa=isa, threads=threads)

    one = results(1)
    for threads in (2, 3, 7):
        for a, b_ in zip(one, results(threads)):
            np.testing.assert_array_equal(a, b_)


@each_tier
@each_dtype
@pytest.mark.parametrize("shape", [(700, 1, 300, 1), (40, 4, 8, 64), (50, 30, 10, 9)])
def test_row_norm_threads(isa, dtype, shape):
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((2, *shape)).astype(dtype)
    w, b = rng.standard_normal((2, shape[1] * shape[2])).astype(dtype)

    def results(threads):
        y, stats = row_norm(x, shape, w, b, isa=isa, threads=threads)
        return y, stats, *row_norm_backward(dy, x, shape, stats, w, isa=isa, threads=threads)

    one = results(1)
    for threads in (2, 3, 7):
        for a, b_ in zip(one, results(threads)):
            np.testing.assert_array_equal(a, b_)


@each_tier
def test_nan_stays_in_its_channel(isa):
    for shape in ((6, 5, 3), (6, 5, 40)):
        x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        x[2, 1, 2] = np.nan
        y, stats = batch_norm(x, isa=isa)
        assert np.isnan(y[:, 1]).all()
        assert np.isnan(stats[:, 1]).all()
        assert np.isfinite(np.delete(y, 1, 1)).all()
        y, _ = row_norm(x, (6, 5, 1, shape[2]), isa=isa)
        assert np.isnan(y[2, 1]).all()
        assert np.isfinite(np.delete(y.reshape(30, -1), 11, 0)).all()


@each_dtype
@pytest.mark.parametrize("shape", [(0, 3, 4), (3, 0, 4), (3, 4, 0)])
def test_empty(dtype, shape):
    x = np.empty(shape, dtype)
    y, stats = batch_norm(x)
    assert y.shape == shape
    _, dw, db = batch_norm_backward(x, x, stats)
    assert (dw == 0).all()
    assert (db == 0).all()
    rows = (shape[0], 1, shape[1], shape[2])
    y, stats = row_norm(x, rows)
    _, dw, db = row_norm_backward(x, x, rows, stats)
    assert (dw == 0).all()
    assert (db == 0).all()


BAD = {
    "dtype": (lambda: batch_norm(np.zeros((2, 3), int)), TypeError, "float32 or float64"),
    "one dimension": (lambda: batch_norm(np.zeros(3)), ValueError, "at least 2 dimensions"),
    "layout": (lambda: batch_norm(np.zeros((3, 4)).T), ValueError, "C-contiguous"),
    "weight's length": (
        lambda: batch_norm(np.zeros((3, 4)), np.zeros(3)),
        ValueError,
        "weight must have 4 elements",
    ),
    "weight's dtype": (
        lambda: batch_norm(np.zeros((3, 4)), np.zeros(4, "f4")),
        TypeError,
        "weight must be an aligned float64",
    ),
    "stats": (
        lambda: batch_norm_backward(np.zeros((3, 4)), np.zeros((3, 4)), np.zeros((2, 3))),
        ValueError,
        "stats must have 8 elements",
    ),
    "dy": (
        lambda: batch_norm_backward(np.zeros((3, 5)), np.zeros((3, 4)), np.zeros((2, 4))),
        ValueError,
        "dy must have shape",
    ),
    "rows": (lambda: row_norm(np.zeros((3, 4)), (3, 1, 5, 1)), ValueError, "does not fit"),
    "negative": (lambda: row_norm(np.zeros((3, 4)), (-3, 1, -4, 1)), ValueError, "shape must be"),
    "out": (
        lambda: row_norm(np.zeros((3, 4)), (3, 1, 4, 1), out=np.zeros((4, 3))),
        ValueError,
        "out must be",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments(case):
    call, error, message = BAD[case]
    with pytest.raises(error, match=message):
        call()


def test_threads_must_not_be_negative():
    with pytest.raises(ValueError, match="threads"):
        _kernels.batch_norm(np.zeros((3, 4)), threads=-1)
