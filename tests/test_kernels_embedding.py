"""Rows of a table by number and their sums: every tier and dtype against NumPy's take and add.at.

A sum of k terms in any order errs by at most k * eps times the sum of absolute values.
"""

import numpy as np
import pytest

from fastdl._kernels import gather_rows, isa_available, scatter_rows

each_tier = pytest.mark.parametrize("isa", isa_available())
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])

# rows, columns, how many are read; columns around vectors and four of them
SHAPES = [
    (1, 1, 1), (5, 3, 40), (7, 16, 3), (9, 17, 100), (300, 31, 20), (4, 64, 9), (50, 65, 200),
    (3, 260, 5), (2000, 8, 7),
]  # fmt: skip


def numbers(rows, n, gaps):
    rng = np.random.default_rng(rows + n)
    index = rng.integers(-1 if gaps else 0, rows, n)
    index[-1] = rows - 1
    return index


@each_tier
@each_dtype
@pytest.mark.parametrize("shape", SHAPES)
def test_gather_rows(isa, dtype, shape):
    rows, d, n = shape
    table = np.random.default_rng(0).standard_normal((rows, d)).astype(dtype)
    index = numbers(rows, n, False)
    memory = np.full(n * d + 64, np.nan, dtype)
    out = memory[: n * d].reshape(n, d)
    assert gather_rows(table, index, out=out, isa=isa) is out
    np.testing.assert_array_equal(out, table[index])
    assert np.isnan(memory[n * d :]).all(), "wrote past the output"
    index = numbers(rows, n, True)
    expected = np.where(index[:, None] < 0, 0, table[index])
    for threads in (1, 2, 7):
        found = gather_rows(table, index, True, isa=isa, threads=threads)
        np.testing.assert_array_equal(found, expected)


@each_tier
@each_dtype
@pytest.mark.parametrize("shape", SHAPES)
def test_scatter_rows(isa, dtype, shape):
    rows, d, n = shape
    g = np.random.default_rng(1).standard_normal((n, d)).astype(dtype)
    index = numbers(rows, n, True)
    memory = np.full(rows * d + 64, np.nan, dtype)
    out = memory[: rows * d].reshape(rows, d)
    assert scatter_rows(g, index, rows, out=out, isa=isa) is out
    assert np.isnan(memory[rows * d :]).all(), "wrote past the output"
    exact, size = np.zeros((2, rows, d))
    np.add.at(exact, index[index >= 0], g[index >= 0].astype("f8"))
    np.add.at(size, index[index >= 0], np.abs(g[index >= 0]))
    assert (np.abs(out - exact) <= n * np.finfo(dtype).eps * size).all()


@each_tier
@pytest.mark.parametrize("crowd", [0, 1234, 4999], ids=["first", "middle", "last"])
def test_scatter_crowded(isa, crowd):
    """Most go to one row: threads share rows of table and gradient alike, and no bit differs."""
    rng = np.random.default_rng(crowd)
    index = np.where(rng.random(3000) < 0.9, crowd, rng.integers(0, 5000, 3000))
    g = rng.standard_normal((3000, 33)).astype(np.float32)
    one = scatter_rows(g, index, 5000, isa=isa, threads=1)
    for threads in (2, 3, 7):
        np.testing.assert_array_equal(scatter_rows(g, index, 5000, isa=isa, threads=threads), one)
    np.testing.assert_allclose(one.sum(), g.astype("f8").sum(), rtol=1e-3)


@each_tier
def test_order_of_addition(isa):
    """Terms of a row are added in the order of their positions, as a plain loop would."""
    g = np.array([[1.0], [2.0**24], [-(2.0**24)], [1.0]], np.float32)
    assert scatter_rows(g, np.zeros(4, int), 1, isa=isa)[0, 0] == 1.0
    assert scatter_rows(g[[1, 2, 0, 3]], np.zeros(4, int), 1, isa=isa)[0, 0] == 2.0


def test_empty():
    none = np.zeros(0, int)
    assert gather_rows(np.zeros((3, 4)), none).shape == (0, 4)
    assert gather_rows(np.zeros((3, 0)), np.array([2, 1])).shape == (2, 0)
    np.testing.assert_array_equal(scatter_rows(np.zeros((0, 4)), none, 3), np.zeros((3, 4)))
    assert scatter_rows(np.zeros((0, 4)), none, 0).shape == (0, 4)


@pytest.mark.parametrize("bad", [-1, -2, 3, 2**40, -(2**63)])
def test_indices_are_checked(bad):
    index = np.array([0, bad, 2])
    with pytest.raises(IndexError, match="index out of range in self"):
        gather_rows(np.zeros((3, 4)), index)
    if bad == -1:
        assert (gather_rows(np.ones((3, 4)), index, True)[1] == 0).all()
        return
    with pytest.raises(IndexError, match="index out of range in self"):
        gather_rows(np.zeros((3, 4)), index, True)
    with pytest.raises(IndexError, match="index out of range in self"):
        scatter_rows(np.zeros((3, 4)), index, 3)


def test_arguments_are_checked():
    with pytest.raises(TypeError, match="index must be int64"):
        gather_rows(np.zeros((3, 4)), np.zeros(2, np.int32))
    with pytest.raises(TypeError, match="float32 or float64"):
        gather_rows(np.zeros((3, 4), int), np.zeros(2, int))
    with pytest.raises(ValueError, match="index must be C-contiguous with 1 dimension"):
        gather_rows(np.zeros((3, 4)), np.zeros((2, 2), int))
    with pytest.raises(ValueError, match=r"index must have shape \(3,\)"):
        scatter_rows(np.zeros((3, 4)), np.zeros(2, int), 5)
    with pytest.raises(ValueError, match="rows must be at least 0"):
        scatter_rows(np.zeros((3, 4)), np.zeros(3, int), -1)
