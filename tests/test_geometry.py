"""Convolution and pooling of random geometries against PyTorch, all three passes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastdl
import fastdl.nn.functional as F

EPS = np.finfo(np.float64).eps
sides = st.integers(1, 9)


def pairs(low, high):
    return st.tuples(st.integers(low, high), st.integers(low, high))


def outcome(lib, function, *arrays):
    """The output and all gradients for a fixed g, or the type of the exception."""
    tensors = [lib.tensor(a, requires_grad=True) for a in arrays]
    try:
        y = function(lib.nn.functional, *tensors)
    except (RuntimeError, ValueError) as error:
        return type(error)
    g = np.cos(np.arange(int(np.prod(y.shape)))).reshape(tuple(y.shape))
    y.backward(lib.tensor(g))
    return [y.detach().numpy(), *(t.grad.numpy() for t in tensors)]


def compare(function, *arrays):
    torch = pytest.importorskip("torch")
    ours, theirs = outcome(fastdl, function, *arrays), outcome(torch, function, *arrays)
    if isinstance(theirs, type):
        assert ours is theirs
        return
    assert not isinstance(ours, type), ours
    terms = sum(a.size for a in arrays)  # no sum has more
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == b.shape
        scale = max(1.0, np.abs(b).max(initial=0))
        assert np.abs(a - b).max(initial=0) <= 4 * terms * EPS * scale


@given(
    n=st.integers(0, 3),
    groups=st.integers(1, 3),
    per_group=pairs(1, 3),
    size=st.tuples(sides, sides),
    kernel=pairs(1, 4),
    stride=pairs(1, 3),
    padding=st.one_of(pairs(0, 3), st.sampled_from(["same", "valid"])),
    dilation=pairs(1, 3),
    biased=st.booleans(),
    seed=st.integers(0, 99),
)
@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_convolution(n, groups, per_group, size, kernel, stride, padding, dilation, biased, seed):
    if padding == "same":
        stride = (1, 1)
    rng = np.random.default_rng(seed)
    c, k = per_group
    x = rng.standard_normal((n, c * groups, *size))
    w = rng.standard_normal((k * groups, c, *kernel))
    arrays = (x, w, rng.standard_normal(k * groups)) if biased else (x, w)
    compare(lambda F, *a: F.conv2d(*a, None, stride, padding, dilation, groups) if len(a) == 2
            else F.conv2d(*a, stride, padding, dilation, groups), *arrays)  # fmt: skip


SIDES = {1: 12, 2: 7, 3: 5}


@st.composite
def convolutions(draw, transposed):
    """Sizes and options of any convolution or transposed convolution, some of them impossible."""
    dims = draw(st.integers(1, 3))

    def each(low, high):
        return draw(st.tuples(*[st.integers(low, high)] * dims))

    groups = draw(st.integers(1, 2))
    c, k = draw(pairs(1, 3))
    window = each(1, 3)
    options = {"stride": each(1, 3), "padding": each(0, 3), "dilation": each(1, 3)}
    if transposed:
        options["output_padding"] = each(0, 2)
    w = (c * groups, k, *window) if transposed else (k * groups, c, *window)
    x = (draw(st.integers(1, 2)), c * groups, *each(1, SIDES[dims]))
    shapes = [x, w, (k * groups,)][: draw(st.integers(2, 3))]
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    name = f"conv_transpose{dims}d" if transposed else f"conv{dims}d"
    return name, [rng.standard_normal(shape) for shape in shapes], {**options, "groups": groups}


@given(convolutions(transposed=False))
def test_convolution_in_any_dimension(case):
    name, arrays, options = case
    compare(lambda F, *a: getattr(F, name)(*a, **options), *arrays)


@given(convolutions(transposed=True))
def test_transposed_convolution(case):
    name, arrays, options = case
    compare(lambda F, *a: getattr(F, name)(*a, **options), *arrays)


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("size", [(), (2, 4)])
def test_output_size_of_a_transposed_convolution(dims, size):
    torch = pytest.importorskip("torch")
    x = np.ones((2, 3, *(4, 3, 2)[:dims]))
    for wanted in ((7, 5, 3)[:dims], (8, 6, 4)[:dims], (8, 5, 4)[:dims]):
        shapes = [
            tuple(
                getattr(lib.nn, f"ConvTranspose{dims}d")(3, 4, 3, 2, 1)
                .to(lib.float64)(lib.tensor(x), output_size=[*size, *wanted])
                .shape
            )
            for lib in (fastdl, torch)
        ]
        assert shapes[0] == shapes[1] == (2, 4, *wanted)
    layer = getattr(fastdl.nn, f"ConvTranspose{dims}d")(3, 4, 3, 2, 1).double()
    for wrong in ((9, 6, 4)[:dims], (6, 6, 4)[:dims], (8,) * (dims + 1)):
        with pytest.raises(ValueError, match=r"output.size"):
            layer(fastdl.tensor(x), output_size=wrong)


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_convolution_of_an_empty_batch(dims):
    x, w = np.ones((0, 2, *(5,) * dims)), np.ones((2, 2, *(3,) * dims))
    compare(lambda F, *a: getattr(F, f"conv{dims}d")(*a, stride=2), x, w)
    compare(lambda F, *a: getattr(F, f"conv_transpose{dims}d")(*a, stride=2), x, w)


HUGE = (2**31, 2**62, 2**63, 2**100)


@pytest.mark.parametrize("name", [f"conv{d}d" for d in (1, 2, 3)])
def test_convolution_refuses_hostile_sizes(name):
    dims = int(name[-2])
    x, w = fastdl.zeros(1, 2, *(4,) * dims), fastdl.zeros(3, 2, *(3,) * dims)
    convolve, transpose = getattr(F, name), getattr(F, name.replace("conv", "conv_transpose"))
    for option in ("stride", "padding", "dilation", "groups"):
        for value in (*HUGE, -1, -(2**62)):
            with pytest.raises(RuntimeError):
                convolve(x, w, **{option: value})
            with pytest.raises(RuntimeError):
                transpose(x, fastdl.zeros(2, 3, *(3,) * dims), **{option: value})
        for value in (1.5, "a", None, fastdl.zeros(2)):
            with pytest.raises((TypeError, RuntimeError)):
                convolve(x, w, **{option: value})
    for value in (*HUGE, 1, -1):
        with pytest.raises(RuntimeError):
            transpose(x, w.transpose(0, 1), output_padding=value)
    with pytest.raises(RuntimeError, match="too large"):
        transpose(x, fastdl.zeros(2, 3, *(3,) * dims), stride=2**30, dilation=2**30)
    with pytest.raises(RuntimeError, match="values to match"):
        convolve(x, w, stride=(1,) * (dims + 1))
    with pytest.raises(RuntimeError, match="only the batch may be empty"):
        convolve(x[:, :, :0], w, padding=2)
    with pytest.raises(TypeError, match="must be Tensor"):
        convolve(x, w, [1.0])


@given(
    planes=st.tuples(st.integers(1, 2), st.integers(1, 3)),
    size=st.tuples(sides, sides),
    kernel=pairs(1, 4),
    stride=st.one_of(st.none(), pairs(1, 4)),
    padding=pairs(0, 2),
    dilation=pairs(1, 2),
    ceil_mode=st.booleans(),
    seed=st.integers(0, 99),
)
def test_max_pooling(planes, size, kernel, stride, padding, dilation, ceil_mode, seed):
    rng = np.random.default_rng(seed)
    x = rng.integers(-3, 3, (*planes, *size)).astype(float)  # many ties
    for side, pad, d, k in zip(size, padding, dilation, kernel):
        if pad and (k - 1) * d + 1 > side + pad:
            return  # a window may then lie wholly in the padding, where PyTorch makes up an index
    options = (kernel, stride, padding, dilation, ceil_mode)
    compare(lambda F, x: F.max_pool2d(x, *options), x)


@given(
    planes=st.tuples(st.integers(1, 2), st.integers(1, 3)),
    size=st.tuples(sides, sides),
    kernel=pairs(1, 4),
    stride=st.one_of(st.none(), pairs(1, 4)),
    padding=pairs(0, 2),
    ceil_mode=st.booleans(),
    include=st.booleans(),
    divisor=st.one_of(st.none(), st.integers(1, 7)),
    seed=st.integers(0, 99),
)
def test_average_pooling(planes, size, kernel, stride, padding, ceil_mode, include, divisor, seed):
    x = np.random.default_rng(seed).standard_normal((*planes, *size))
    options = (kernel, stride, padding, ceil_mode, include, divisor)
    compare(lambda F, x: F.avg_pool2d(x, *options), x)


@given(size=st.tuples(sides, sides), cells=pairs(1, 5), seed=st.integers(0, 99))
def test_adaptive_pooling(size, cells, seed):
    x = np.random.default_rng(seed).standard_normal((2, *size))
    compare(lambda F, x: F.adaptive_avg_pool2d(x, cells), x)


def test_geometry_is_computed_once():
    """The second call with the same sizes takes the tuple made by the first."""
    from fastdl.ops.conv import conv_geometry

    x, w = fastdl.zeros(1, 1, 4, 4), fastdl.zeros(1, 1, 3, 3)
    F.conv2d(x, w)
    hits = conv_geometry.cache_info().hits
    F.conv2d(x, w, stride=[1, 1])
    assert conv_geometry.cache_info().hits == hits + 1
