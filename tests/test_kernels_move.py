"""Copies between strided arrays on every tier: NumPy's values, bit for bit, and what they leave."""

import itertools

import numpy as np
import pytest

import fastdl
import fastdl.nn.functional as F
from fastdl._kernels import (
    concatenate,
    copy,
    fill,
    gather,
    isa_available,
    pad,
    scatter_add,
    stack,
    within,
)
from fastdl.ops.shape import _viewable

each_tier = pytest.mark.parametrize("isa", isa_available())
DTYPES = ("float32", "float64", "int32", "int64", "uint8", "float16", "bool", "complex64")
each_dtype = pytest.mark.parametrize("dtype", DTYPES)

# around vectors (2 ... 16), squares of 256, pieces of 16384
SHAPES = [
    (),
    (1,),
    (7,),
    (16385,),
    (40_000,),
    (2, 3),
    (17, 33),
    (16, 16),
    (15, 257),
    (257, 3),
    (513, 300),
    (2, 3, 4),
    (3, 17, 35),
    (1, 5, 1, 6),
    (2, 3, 17, 19),
    (3, 2, 5, 2, 3),
    (0, 3),
    (3, 0, 2),
]


def numbers(shape, dtype):
    return np.asarray(np.random.default_rng(0).integers(0, 256, shape)).astype(dtype)


def framed(x):
    """x inside a larger array: writable, every axis with gaps. Also the frame."""
    frame = np.full([2 * n + 3 for n in x.shape], 77, x.dtype)
    inside = frame[(*(slice(1, 2 * n + 1, 2) for n in x.shape), ...)]
    inside[...] = x
    return inside, frame


def steps(x):
    """x and the same array backwards, with gaps, standing still."""
    yield x
    for d in range(x.ndim):
        yield np.flip(x, d)
        yield np.broadcast_to(x[(slice(None),) * d + (slice(0, 1),)], x.shape)
    yield framed(x)[0]


@each_tier
@each_dtype
def test_copy_of_any_array(isa, dtype):
    for shape in SHAPES:
        x = numbers(shape, dtype)
        orders = itertools.permutations(range(x.ndim)) if x.size < 5000 else [range(x.ndim)[::-1]]
        for order, z in itertools.product(orders, list(steps(x))):
            z = z.transpose(order)
            y = copy(z, isa=isa)
            assert y.flags.c_contiguous
            assert y.flags.writeable
            assert y.dtype == z.dtype
            assert y.tobytes() == z.tobytes()


@each_tier
@each_dtype
def test_copy_into_any_array(isa, dtype):
    for shape in SHAPES:
        x = numbers(shape, dtype)
        for order in itertools.permutations(range(x.ndim)):
            if x.ndim > 3 and order[0] > order[-1]:
                continue  # half of them will do
            inside, frame = framed(np.zeros([x.shape[d] for d in np.argsort(order)], dtype))
            out = inside.transpose(order)
            back = (slice(None, None, -1),) * x.ndim + (...,)
            for z, target in ((x, out), (x, out[back]), (x[back], out)):
                assert copy(z, out=target, isa=isa) is target
                np.testing.assert_array_equal(target, z)
                beside = frame.copy()
                beside[(*(slice(1, 2 * n + 1, 2) for n in inside.shape), ...)] = 77
                assert (beside == np.array(77).astype(dtype)).all(), "wrote beside the array"


@each_tier
@each_dtype
def test_stack(isa, dtype):
    for shape in [(), (3,), (40, 30), (2, 17, 33), (4, 0)]:
        for axis in range(len(shape) + 1):
            x = numbers(shape, dtype)
            for z in (x, x.T.copy().T, framed(x)[0]):
                y = stack([z, x, z], axis, isa=isa)
                assert y.flags.c_contiguous
                assert y.tobytes() == np.stack([z, x, z], axis).tobytes()


def padded(x, widths, value):
    """pad() in NumPy's words."""
    x = x[tuple([slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(x.shape, widths)])]
    widths = [(max(a, 0), max(b, 0)) for a, b in widths]
    return np.pad(x, widths, constant_values=np.asarray(value, x.dtype))


@each_tier
@each_dtype
@pytest.mark.parametrize("threads", [1, 3])
def test_pad(isa, dtype, threads):
    for shape in [
        (1,),
        (5,),
        (100,),
        (3, 4),
        (17, 56),
        (3, 15, 17),
        (2, 3, 5, 31),
        (3, 0),
        (80, 300),
    ]:
        x = numbers(shape, dtype)
        choices = [(0, 0), (1, 1), (0, 2), (37, 0), (-1, 3), (2, -1)]
        for k in range(len(choices)):
            widths = [choices[(k + 2 * d) % len(choices)] for d in range(x.ndim)]
            if any(
                n + a + b < 0 or n + min(a, 0) + min(b, 0) < 0 for n, (a, b) in zip(shape, widths)
            ):
                continue
            for z in (x, x.T.copy().T, np.flip(x), framed(x)[0]):
                y = pad(z, widths, 7, isa=isa, threads=threads)
                assert y.flags.c_contiguous
                assert y.tobytes() == padded(z, widths, 7).tobytes(), (shape, widths)


@each_tier
@each_dtype
def test_fill(isa, dtype):
    for shape in SHAPES:
        inside, frame = framed(np.zeros(shape, dtype))
        assert fill(inside, 5, isa=isa) is inside
        assert (inside == np.array(5).astype(dtype)).all()
        inside[...] = np.array(77).astype(dtype)
        assert (frame == np.array(77).astype(dtype)).all(), "wrote beside the array"
        assert (fill(np.zeros(shape, dtype).T, 1, isa=isa) == 1).all()


def open_index(index, dim):
    grid = list(np.ogrid[tuple([slice(0, n) for n in index.shape])])
    grid[dim] = index
    return tuple(grid)


@each_tier
@each_dtype
@pytest.mark.parametrize("threads", [1, 3])
def test_gather_and_scatter_add(isa, dtype, threads):
    rng = np.random.default_rng(1)
    for shape in [(5,), (3, 4), (40, 600), (2, 3, 4), (4, 1, 3, 2)]:
        for dim in range(len(shape)):
            places = [max(n - 1, 1) for n in shape]
            places[dim] = 7
            index = rng.integers(0, shape[dim], places)
            for x in steps(numbers(shape, dtype)):
                for chosen in (index, np.array(index, order="F"), index.astype(np.int32)):
                    y = gather(x, chosen, dim, isa=isa, threads=threads)
                    assert y.tobytes() == x[open_index(index, dim)].tobytes()
            if dtype.startswith("float") and dtype != "float16":
                x, expected = numbers(places, dtype), np.zeros(shape, dtype)
                np.add.at(expected, open_index(index, dim), x)
                for z in (x, np.array(x, order="F")):
                    y = scatter_add(z, index, shape, dim, isa=isa)
                    np.testing.assert_array_equal(y, expected)


def test_numbers_out_of_range_are_refused():
    x, index = np.zeros((3, 4), np.float32), np.array([[0, 3], [2, 1]])
    assert within(index, 0, 4)
    assert not within(index, 0, 3)
    assert not within(index, 1, 4)
    assert within(index[:0], 0, 0)
    for wrong in (index - 1, index + 1):
        with pytest.raises(IndexError, match="out of range"):
            gather(x, wrong, 1)
        with pytest.raises(IndexError, match="out of range"):
            scatter_add(x[:2, :2], wrong, (3, 4), 1)
    with pytest.raises(ValueError, match="larger"):
        gather(x, np.zeros((5, 1), np.int64), 1)
    with pytest.raises(ValueError, match="dim"):
        gather(x, index, 2)


@each_tier
def test_bits_are_moved(isa):
    """Signalling NaN, -0 and denormals: nothing is computed."""
    bits = np.array([0x7F800001, 0x80000000, 1, 0xFFFFFFFF] * 200, np.uint32).reshape(40, 20)
    x = bits.view(np.float32)
    for z in (x, x.T, x[:, ::-1], x[::2, ::3]):
        assert copy(z, isa=isa).tobytes() == z.tobytes()


@each_tier
def test_many_axes(isa):
    """More axes than a kernel takes: NumPy copies."""
    x = np.arange(2**18, dtype=np.int32).reshape((2,) * 18)
    z = x.transpose(*range(0, 18, 2), *range(1, 18, 2))
    assert copy(z, isa=isa).tobytes() == z.tobytes()
    z = x[::-1, :, ::-1, :, ::-1, :, ::-1, :, ::-1, :, ::-1, :, ::-1, :, ::-1, :, ::-1]
    assert copy(z, isa=isa).tobytes() == z.tobytes()


@each_tier
@each_dtype
def test_concatenate(isa, dtype):
    for shape in [(3,), (40, 30), (2, 1, 5), (2, 17, 33, 3)]:
        for axis in range(len(shape)):
            lengths = (4, 0, 1, 19)
            xs = [numbers((*shape[:axis], n, *shape[axis + 1 :]), dtype) for n in lengths]
            xs[0] = np.asfortranarray(xs[0])
            xs[3] = np.flip(xs[3])
            y = concatenate(xs, axis, isa=isa)
            assert y.flags.c_contiguous
            np.testing.assert_array_equal(y, np.concatenate(xs, axis))
            assert y.dtype == dtype


@pytest.mark.parametrize(
    "call",
    [
        lambda: copy(np.ones(3), out=np.ones(4)),
        lambda: copy(np.ones(3), out=np.ones(3, np.float32)),
        lambda: copy(np.ones(3), out=np.broadcast_to(np.ones(1), (3,))),
        lambda: concatenate([np.ones(3), np.ones(3, np.float32)], 0),
        lambda: concatenate([np.ones((3, 2)), np.ones((3, 3))], 0),
        lambda: concatenate([np.ones((3, 2)), np.ones(3)], 0),
        lambda: concatenate([np.ones(3)], 1),
    ],
)
def test_bad_arguments(call):
    with pytest.raises(ValueError, match=r"out must|xs must|axis must"):
        call()


CALLS = {
    "contiguous": lambda t, F, x: x.permute(2, 0, 1).contiguous(),
    "reshape": lambda t, F, x: x.permute(2, 0, 1).reshape(-1, 3),
    "reshape to a view": lambda t, F, x: x[:, 1:].reshape(2, -1, 3, x.shape[2]),
    "flatten": lambda t, F, x: x.transpose(0, 1).flatten(),
    "cat": lambda t, F, x: t.cat([x, x.flip(0), x], 2),
    "stack": lambda t, F, x: t.stack([x.transpose(0, 2), x.transpose(0, 2)], 1),
    "stack last": lambda t, F, x: t.stack([x, x], -1),
    "flip": lambda t, F, x: x.flip(0, 2),
    "roll": lambda t, F, x: x.roll((1, -3), (0, 2)),
    "roll far": lambda t, F, x: x.roll(1001, 1),
    "roll flat": lambda t, F, x: x.roll(5),
    "pad": lambda t, F, x: F.pad(x, (1, 2, 0, 3, 2, 0), value=4),
    "crop": lambda t, F, x: F.pad(x, (-1, 2, 1, -2), value=4),
    "repeat": lambda t, F, x: x.repeat(2, 1, 3),
    "expand": lambda t, F, x: x[:, :1].expand(-1, 50, -1).contiguous(),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("shape", [(4, 4, 3), (4, 31, 60)])
@pytest.mark.parametrize("dtype", ["float32", "int64", "uint8"])
def test_functions_move_as_in_pytorch(name, shape, dtype):
    """Below and above what kernels are used for."""
    torch = pytest.importorskip("torch")
    x = numbers(shape, dtype)
    ours = CALLS[name](fastdl, F, fastdl.from_numpy(x)).numpy()
    theirs = CALLS[name](torch, torch.nn.functional, torch.from_numpy(x)).numpy()
    np.testing.assert_array_equal(ours, theirs)
    assert ours.dtype == theirs.dtype


def test_reshape_of_a_view_shares_memory():
    """Large and not in order, but with strides that a new shape can keep."""
    x = fastdl.zeros(100, 60, 4)
    y = x[:, :50].reshape(100, 25, 2, 4)
    y[3, 2, 1, 0] = 5
    assert x[3, 5, 0] == 5
    z = x.transpose(0, 1).reshape(-1)
    z[0] = 7
    assert x[0, 0, 0] == 0


@pytest.mark.parametrize("shape", [(6, 1, 8), (2, 3, 8), (48,), (6, 8), (3, 16), (6, 2, 4, 1)])
def test_viewable(shape):
    """As NumPy, which tells by the address of what it returns."""
    x = np.arange(200)
    for z in (
        x[:48].reshape(6, 8),
        x[:96].reshape(6, 16)[:, :8],
        x[:96].reshape(6, 16)[:, ::2],
        x[:96].reshape(12, 8)[::2],
        x[:48].reshape(8, 6).T,
        x[:48].reshape(2, 3, 8)[::-1],
        x[:48].reshape(2, 4, 6).transpose(0, 2, 1),
        np.broadcast_to(x[:8], (6, 8)),
    ):
        assert _viewable(z, shape) == np.shares_memory(z.reshape(shape), x)
