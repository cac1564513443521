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
    compare(lambda F, *a: getattr(F, f"conv{dims}d")(*a), x, np.ones((2, 2, *x.shape[2:])))
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


def special(rng, shape):
    """Many ties, and NaN and infinities among them."""
    x = rng.integers(-3, 3, shape).astype(float)
    for value in (np.nan, np.inf, -np.inf):
        x[rng.random(shape) < 0.05] = value
    return x


@st.composite
def poolings(draw):
    """Dimensions, a shape, a kernel, a stride, a padding and a dilation."""
    dims = draw(st.integers(1, 3))

    def each(low, high):
        return draw(st.tuples(*[st.integers(low, high)] * dims))

    shape = (*draw(st.sampled_from([(), (1,), (2,)])), draw(st.integers(1, 3)), *each(1, 7))
    stride = draw(st.one_of(st.none(), st.just(each(1, 3))))
    return dims, shape, each(1, 3), stride, each(0, 1), each(1, 2)


def wholly_in_padding(shape, kernel, padding, dilation):
    """A window that holds no element, for which PyTorch makes up an index."""
    sizes = shape[-len(kernel) :]
    return any(
        pad and (k - 1) * d + 1 > side + pad
        for side, k, pad, d in zip(sizes, kernel, padding, dilation)
    )


def compare_maxima(name, x, *options, **named):
    """Maxima, positions and gradients, or the type of the exception."""
    torch = pytest.importorskip("torch")
    found = []
    for lib in (fastdl, torch):
        t = lib.tensor(x, requires_grad=True)
        try:
            y, at = getattr(lib.nn.functional, name)(t, *options, **named, return_indices=True)
        except (RuntimeError, ValueError) as error:
            found.append([type(error)])
            continue
        y.backward(lib.tensor(np.cos(np.arange(y.numel())).reshape(tuple(y.shape))))
        assert str(at.dtype).endswith("int64")
        found.append([y.detach().numpy(), at.numpy(), t.grad.numpy()])
    ours, theirs = found
    assert len(ours) == len(theirs), found
    if len(ours) == 1:
        assert ours == theirs
        return
    np.testing.assert_array_equal(ours[0], theirs[0])
    np.testing.assert_array_equal(ours[1], theirs[1])
    np.testing.assert_allclose(ours[2], theirs[2], rtol=0, atol=27 * 4 * EPS)  # windows that share


@given(case=poolings(), ceil_mode=st.booleans(), seed=st.integers(0, 99))
def test_max_pooling_in_any_dimension(case, ceil_mode, seed):
    dims, shape, kernel, stride, padding, dilation = case
    if wholly_in_padding(shape, kernel, padding, dilation):
        return
    x = special(np.random.default_rng(seed), shape)
    options = (kernel, stride, padding, dilation, ceil_mode)
    compare_maxima(f"max_pool{dims}d", x, *options)


@given(
    case=poolings(),
    ceil_mode=st.booleans(),
    include=st.booleans(),
    divisor=st.one_of(st.none(), st.integers(-2, 5)),
    seed=st.integers(0, 99),
)
def test_average_pooling_in_any_dimension(case, ceil_mode, include, divisor, seed):
    dims, shape, kernel, stride, padding, _ = case
    options = [kernel, stride, padding, ceil_mode, include, divisor][: 5 if dims == 1 else 6]
    x = np.random.default_rng(seed).standard_normal(shape)
    compare(lambda F, x: getattr(F, f"avg_pool{dims}d")(x, *options), x)


@given(
    case=poolings(),
    cells=st.lists(st.one_of(st.none(), st.integers(1, 9)), min_size=3, max_size=3),
    seed=st.integers(0, 99),
)
def test_adaptive_pooling_in_any_dimension(case, cells, seed):
    dims, shape, *_ = case
    rng, cells = np.random.default_rng(seed), tuple(cells[:dims])
    if dims == 1:
        cells = cells[0] or 2  # PyTorch's 1-d functions take no None
    x = rng.standard_normal(shape)
    compare(lambda F, x: getattr(F, f"adaptive_avg_pool{dims}d")(x, cells), x)
    compare_maxima(f"adaptive_max_pool{dims}d", special(rng, shape), cells)


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_no_cells(dims):
    """PyTorch has the empty outputs, too, but no gradient of all of them."""
    x = fastdl.ones(2, 3, *(4, 5, 6)[:dims], requires_grad=True)
    for kind in ("avg", "max"):
        y = getattr(F, f"adaptive_{kind}_pool{dims}d")(x, (0, 2, 3)[:dims])
        assert y.shape == (2, 3, *(0, 2, 3)[:dims])
        x.grad = None
        y.sum().backward()
        assert not x.grad.numpy().any()


def test_adaptive_average_keeps_non_finite_values_in_their_cells():
    x = np.ones((1, 5, 7))
    x[0, 0, 0], x[0, 4, 6] = np.nan, np.inf
    y = F.adaptive_avg_pool2d(fastdl.tensor(x), (3, 4)).numpy()
    expected = np.ones((1, 3, 4))
    expected[0, 0, 0], expected[0, 2, 3] = np.nan, np.inf
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("window", [(2, 2, 0), (3, 2, 1), (2, 3, 1)])
def test_unpooling_inverts_pooling(dims, window):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).standard_normal((2, 3, *(9, 6, 7)[:dims]))
    results = []
    for lib in (fastdl, torch):
        pool, unpool = (getattr(lib.nn, f"Max{way}{dims}d") for way in ("Pool", "Unpool"))
        y, at = pool(*window, return_indices=True)(lib.tensor(x))
        y = y.clone().requires_grad_()
        for size in (x.shape, x.shape[2:]):
            z = unpool(*window)(y, at, output_size=size)
        (z * z).sum().backward()
        results.append([z.detach().numpy(), y.grad.numpy()])
    for ours, theirs in zip(*results):
        np.testing.assert_array_equal(ours, theirs)


def test_unpooling_refuses_what_does_not_fit():
    x, at = fastdl.ones(1, 2, 2, 2), fastdl.zeros(1, 2, 2, 2, dtype=fastdl.int64)
    for size in ((2, 4), (6, 4), (4, 4, 4), (1, 2, 6, 4)):
        with pytest.raises(ValueError, match="output_size"):
            F.max_unpool2d(x, at, 2, output_size=size)
    for wrong in (at - 1, at + 16, at.int(), at[:, :1], at[0]):
        with pytest.raises(RuntimeError):
            F.max_unpool2d(x, wrong, 2)
    for options in ((2, 2**62), (2**62,), (2, 2, 2**62), (0, 0), (2, -1)):
        with pytest.raises(RuntimeError):
            F.max_unpool2d(x, at, *options)


@given(
    shape=st.tuples(st.integers(0, 2), st.integers(1, 3), sides, sides),
    kernel=pairs(1, 4),
    dilation=pairs(1, 3),
    padding=pairs(0, 2),
    stride=pairs(1, 3),
    seed=st.integers(0, 99),
)
def test_patches(shape, kernel, dilation, padding, stride, seed):
    rng = np.random.default_rng(seed)
    options = (kernel, dilation, padding, stride)
    compare(lambda F, x: F.unfold(x, *options), rng.standard_normal(shape))
    places = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, d, p, s in zip(shape[2:], kernel, dilation, padding, stride)
    ]
    columns = rng.standard_normal((*shape[:1], 2 * int(np.prod(kernel)), max(0, np.prod(places))))
    compare(lambda F, x: F.fold(x, shape[2:], *options), columns)


def test_patches_refuse_what_does_not_fit():
    x = fastdl.ones(1, 2, 6, 6)
    for option in ("kernel_size", "dilation", "padding", "stride"):
        for value in (*HUGE, -1, -(2**62)):
            with pytest.raises(RuntimeError):
                F.unfold(x, **{"kernel_size": 2, option: value})
    columns = fastdl.ones(1, 8, 25)
    for size, kernel in ((5, 2), (6, 3), (2**62, 2), (-6, 2), ((6, 6, 6), 2)):
        with pytest.raises(RuntimeError):
            F.fold(columns, size, kernel)
    with pytest.raises(TypeError):
        F.unfold(x, 1.5)
    with pytest.raises(NotImplementedError):
        F.unfold(x.int(), 2)


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_pooling_refuses_hostile_sizes(dims):
    x = fastdl.zeros(1, 2, *(6, 5, 4)[:dims])
    pools = [getattr(F, f"{kind}_pool{dims}d") for kind in ("max", "avg")]
    for pool in pools:
        for option in ("kernel_size", "stride", "padding"):
            for value in (*HUGE, -1, -(2**62)):
                with pytest.raises(RuntimeError):
                    pool(x, **{"kernel_size": 2, option: value})
            for value in (1.5, "a", fastdl.zeros(2)):
                with pytest.raises(TypeError):
                    pool(x, **{"kernel_size": 2, option: value})
        with pytest.raises(RuntimeError):
            pool(x, 2**30, padding=2**29)
        with pytest.raises(RuntimeError):
            pool(x, (2,) * (dims + 1))
        with pytest.raises(RuntimeError):
            pool(x[:, :0], 2)
        with pytest.raises(RuntimeError):
            pool(x[0, 0], 1)
    for kind in ("avg", "max"):
        adaptive = getattr(F, f"adaptive_{kind}_pool{dims}d")
        for size in (*HUGE, -1, (1,) * (dims + 1)):
            with pytest.raises(RuntimeError):
                adaptive(x, size)
        with pytest.raises(TypeError):
            adaptive(x, 1.5)
        with pytest.raises(RuntimeError):
            adaptive(x[0, 0], 1)
        with pytest.raises(RuntimeError):
            adaptive(x.int(), 1)


def test_geometry_is_computed_once():
    """The second call with the same sizes takes the tuple made by the first."""
    from fastdl.ops.conv import conv_geometry

    x, w = fastdl.zeros(1, 1, 4, 4), fastdl.zeros(1, 1, 3, 3)
    F.conv2d(x, w)
    hits = conv_geometry.cache_info().hits
    F.conv2d(x, w, stride=[1, 1])
    assert conv_geometry.cache_info().hits == hits + 1
