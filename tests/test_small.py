"""The short ways of small tensors: what the engine answers without Python gives what the functions
behind them give, and what PyTorch gives."""

import itertools

import numpy as np
import pytest

import fastdl

torch = pytest.importorskip("torch")

DTYPES = ["float32", "int64", "uint8", "bool", "complex64", "float16"]
SHAPES = [(5,), (1, 3), (2, 3, 1, 4)]


def pair(shape, dtype, transposed=False, seed=0):
    """One array as a tensor of both libraries."""
    values = (np.random.default_rng(seed).standard_normal(shape) * 4).astype(dtype)
    values = np.ascontiguousarray(values.T).T if transposed else values
    return fastdl.from_numpy(values), torch.from_numpy(values)


def same(mine, theirs):
    theirs = theirs.numpy()
    assert mine.array.dtype == theirs.dtype
    np.testing.assert_array_equal(mine.array, theirs, strict=True)


DATA = [
    2.5, 3, True, [], [[]], [1.0, 2.0], [1, 2], [True, False], [1, 2.5], [True, 2],
    [True, 2.5], [[1, 2], [3, 4]], ((1.0, 2), [3, 4]), [[[1]]], [2**24 + 1, 1.0], [2**62], [-0.0],
    [float("nan"), float("inf")], [1e300], [300, -1], range(3),
]  # fmt: skip


@pytest.mark.parametrize("data", DATA, ids=str)
@pytest.mark.parametrize("dtype", [None, *DTYPES])
def test_tensors_of_numbers(data, dtype):
    options = [{} if dtype is None else {"dtype": getattr(t, dtype)} for t in (fastdl, torch)]
    try:
        theirs = torch.tensor(data, **options[1])
    except (TypeError, ValueError, RuntimeError, OverflowError):
        with pytest.raises((TypeError, ValueError, RuntimeError, OverflowError)):
            fastdl.tensor(data, **options[0])
        return
    same(fastdl.tensor(data, **options[0]), theirs)


INDICES = {
    "places": lambda t, n: (t.tensor([1, 0, -1]),),
    "of two dimensions": lambda t, n: (t.tensor([[0, 0], [-1, 0]]),),
    "last": lambda t, n: (slice(None),) * (n - 1) + (t.tensor([0, -1]),),
    "all": lambda t, n: (t.tensor([0, -1]),) * n,
    "none": lambda t, n: (t.tensor([], dtype=t.int64),),
    "true": lambda t, n: (True,),
}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_elements_by_their_places(shape, dtype):
    for transposed, of in itertools.product((False, True), INDICES.values()):
        x, y = pair(shape, dtype, transposed)
        if shape[0] == 1 and of is INDICES["places"]:
            continue
        mine, theirs = of(fastdl, len(shape)), of(torch, len(shape))
        same(x[mine], y[theirs])
        for value in (1, None):
            a, b = x.clone(), y.clone()
            given = (1, 1) if value else pair(tuple(y[theirs].shape), dtype, seed=1)
            a[mine], b[theirs] = given
            same(a, b)
    for dims in range(1, len(shape) + 1):
        mask = np.random.default_rng(2).random(shape[:dims]) > 0.5
        mine, theirs = fastdl.from_numpy(mask), torch.from_numpy(mask)
        same(x[mine], y[theirs])
        a, b = x.clone(), y.clone()
        a[mine], b[theirs] = 1, 1
        same(a, b)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", [d for d in DTYPES if d != "float16"])
def test_scattered_along_each_dimension(shape, dtype):
    rng = np.random.default_rng(3)
    for dim, number in itertools.product(range(len(shape)), (False, True)):
        x, y = pair(shape, dtype)
        places = np.argsort(rng.random(shape), axis=dim)  # none twice
        places = np.ascontiguousarray(places[tuple([slice(0, max(1, n - 1)) for n in shape])])
        mine, theirs = fastdl.from_numpy(places), torch.from_numpy(places)
        given = (1, 1) if number else pair(places.shape, dtype, seed=1)
        same(x.scatter(dim, mine, given[0]), y.scatter(dim, theirs, given[1]))
        a, b = x.clone(), y.clone()
        same(a.scatter_(dim, mine, given[0]), b.scatter_(dim, theirs, given[1]))
        if not number:
            same(x.scatter_add(dim, mine, given[0]), y.scatter_add(dim, theirs, given[1]))
        same(x.gather(dim, mine), y.gather(dim, theirs))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_moves(shape, dtype):
    for transposed in (False, True):
        x, y = pair(shape, dtype, transposed)
        for dim in range(-len(shape), len(shape)):
            same(x.flip(dim), y.flip(dim))
            for shift in (-1, 2, 13):
                same(x.roll(shift, dim), y.roll(shift, dim))
            same(x.unfold(dim, 1, 2), y.unfold(dim, 1, 2))
        same(x.flip(*range(len(shape))), y.flip(*range(len(shape))))
        if len(shape) > 1:
            for diagonal in (-9, -1, 0, 2):
                same(x.tril(diagonal), y.tril(diagonal))
                same(x.triu(diagonal), y.triu(diagonal))
        condition = pair(shape, "bool", seed=4)
        same(fastdl.where(condition[0], x, x), torch.where(condition[1], y, y))
        if dtype.startswith("float"):
            same(fastdl.where(condition[0], x, 1.5), torch.where(condition[1], y, 1.5))
            same(x.masked_fill(condition[0], 2), y.masked_fill(condition[1], 2))


def test_out_of_range_is_refused_before_anything_is_written():
    x = fastdl.zeros(3, 3)
    for wrong in (3, -4):
        index = fastdl.tensor([0, wrong])
        with pytest.raises(IndexError, match=f"index {wrong} is out of bounds"):
            x[index]
        with pytest.raises(IndexError, match=f"index {wrong} is out of bounds"):
            x[index] = 1.0
        with pytest.raises(RuntimeError, match="out of bounds"):
            x.scatter_(0, index[:, None], 1.0)
    assert not x.any()


def test_writing_counts_as_a_change():
    x = fastdl.ones(3, requires_grad=True)
    for change in (
        lambda y: y.__setitem__(0, 2.0), lambda y: y.__setitem__(fastdl.tensor([0]), 2.0),
        lambda y: y.zero_(), lambda y: y.fill_(1.0), lambda y: y.copy_(fastdl.ones(3)),
    ):  # fmt: skip
        y = fastdl.ones(3)
        product = (x * y).sum()
        change(y)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            product.backward()


FILLED = {
    "ones": lambda t, **o: t.ones(2, 3, **o),
    "ones of none": lambda t, **o: t.ones(2, 0, **o),
    "ones, a number": lambda t, **o: t.ones((), **o),
    "full of ints": lambda t, **o: t.full((3, 2), 3, **o),
    "full of bools": lambda t, **o: t.full((2,), True, **o),
    "full of floats": lambda t, **o: t.full([4], 0.5, **o),
    "full of many": lambda t, **o: t.full((70, 80), 0.5, **o),
    "square": lambda t, **o: t.eye(3, **o),
    "high": lambda t, **o: t.eye(5, 2, **o),
    "wide": lambda t, **o: t.eye(2, 5, **o),
    "none": lambda t, **o: t.eye(0, 4, **o),
}


@pytest.mark.parametrize("name", FILLED)
@pytest.mark.parametrize("dtype", [None, "float64", "int32", *DTYPES])
def test_filled(name, dtype):
    options = [{} if dtype is None else {"dtype": getattr(t, dtype)} for t in (fastdl, torch)]
    same(FILLED[name](fastdl, **options[0]), FILLED[name](torch, **options[1]))


@pytest.mark.parametrize("ends", [(0, 1), (-2.5, 3), (3, -1.5), (2, 2), (0, 1e35)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_evenly_spaced(ends, dtype):
    for steps in (0, 1, 2, 16):
        mine, theirs = (t.linspace(*ends, steps, dtype=getattr(t, dtype)) for t in (fastdl, torch))
        eps = 4 * np.finfo(dtype).eps * max(map(abs, ends))  # PyTorch counts from both ends
        np.testing.assert_allclose(mine.array, theirs.numpy(), rtol=0, atol=eps, strict=True)
        if steps > 1:
            assert (mine[0].item(), mine[-1].item()) == (theirs[0].item(), theirs[-1].item())


ORDERS = ["normal", "ties", "ascending", "descending"]
LINES = [(values, dtype) for values in ORDERS for dtype in ("float32", "float64", "int64")]
LINES += [(values, dtype) for values in ("nan", "only nan") for dtype in ("float32", "float64")]


@pytest.mark.parametrize(("values", "dtype"), LINES)
def test_first_and_middle_are_those_of_the_sorted_line(values, dtype):
    rows = np.random.default_rng(5).standard_normal((4, 37))
    rows = {
        "normal": rows * 9, "ties": np.floor(rows), "nan": np.where(rows > 1, np.nan, rows),
        "only nan": rows * np.nan, "ascending": np.sort(rows * 9),
        "descending": np.sort(rows * 9)[:, ::-1],
    }[values]  # fmt: skip
    x = fastdl.from_numpy(np.ascontiguousarray(rows).astype(dtype))
    for largest in (True, False):
        order = np.argsort(-x.array if largest else x.array, 1, kind="stable")
        if largest and np.isnan(rows).any():  # NaN is the greatest
            order = np.argsort(np.where(np.isnan(rows), -np.inf, -rows), 1, kind="stable")
        for k in (1, 3, 32, 33):
            found = x.topk(k, largest=largest)
            np.testing.assert_array_equal(found.indices.array, order[:, :k])
            np.testing.assert_array_equal(
                found.values.array, np.take_along_axis(x.array, order[:, :k], 1)
            )
    for k in (1, 5, 37):
        np.testing.assert_array_equal(x.kthvalue(k).indices.array, order[:, k - 1])
    theirs = torch.from_numpy(x.array)
    same(x.median(), theirs.median())
    same(x.nanmedian(), theirs.nanmedian())
    same(x.median(1).values, theirs.median(1).values)
