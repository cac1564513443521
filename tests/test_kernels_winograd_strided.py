"""4x4 convolution of stride 2 by Winograd's algorithm, against the definition.

The error bound is that of test_kernels_winograd.py, for the four convolutions of 2x2 filters that
such a convolution is a sum of (phases of the input), and that its input gradient consists of
(phases of the output). The weight gradient's phases are those of the weights.
"""

import numpy as np
import pytest
from test_kernels_conv import ISAS, Arrays, arrays, cast, fenced, geometry, oracle
from test_kernels_winograd import EPS, GUARD, ROUNDINGS

from fastdl import _kernels, kernels, runtime

M, TILE = 4, 5

# Where it exists: in floats, where vectors are wide.
TIERS = [
    isa
    for isa in ISAS
    if _kernels.conv_fits(
        "winograd_strided", geometry(1, 1, 4, 1, 4, stride=2), dtype=np.float32, isa=isa
    )
]

# The matrices of csrc/conv/winograd_points.c: rows of B^T, G, A^T.
DATA = np.array(
    [
        [1, -1.5, -1.5, 1, 0],
        [0, 1, -2.5, 1, 0],
        [0, -0.5, 0.5, 1, 0],
        [0, -2, -1, 1, 0],
        [0, 1, -1.5, -1.5, 1],
    ]
)
FILTERS = np.array([[1, 0], [-2 / 9, 2 / 9], [1 / 9, 2 / 9], [-8 / 9, -4 / 9], [0, 1]])
RESULT = np.array(
    [[1, 1, 1, 1, 0], [0, -1, 2, 1 / 2, 0], [0, 1, 4, 1 / 4, 0], [0, -1, 8, 1 / 8, 1]]
)

CASES = {
    "one output": geometry(1, 1, 4, 1, 4, stride=2),
    "an image of one value": geometry(2, 3, 1, 2, 4, stride=2, pad=2),
    "4x4 outputs": geometry(19, 5, 8, 7, 4, stride=2, pad=1),
    "odd sizes": geometry(2, 3, (9, 11), 5, 4, stride=2, pad=1),
    "no padding": geometry(2, 3, (10, 13), 15, 4, stride=2),
    "padding 2, 3": geometry(2, 4, (9, 14), 5, 4, stride=2, pad=(2, 3)),
    "padding 6": geometry(1, 2, (5, 6), 3, 4, stride=2, pad=6),
    "more padding below": geometry(2, 3, (9, 8), 4, 4, stride=2, pad=1, more=(1, 3)),
    "groups": geometry(3, 6, (10, 12), 15, 4, stride=2, pad=1, groups=3),
    "wide rows": geometry(1, 3, (14, 150), 4, 4, stride=2, pad=1),
    "many chunks": geometry(4, 3, 60, 5, 4, stride=2, pad=1),
    "many panels": geometry(2, 37, 16, 131, 4, stride=2, pad=1),
    "no image": geometry(0, 3, 8, 4, 4, stride=2),
    "no filter": geometry(2, 3, 8, 0, 4, stride=2),
    "no channel": geometry(2, 0, 8, 4, 4, stride=2),
}


def window(x, first, step, counts):
    """x[:, :, first + step * i, ...] along the last two axes, zero outside."""
    for axis, (start, count) in enumerate(zip(first, counts), 2):
        index = start + step * np.arange(count)
        inside = (index >= 0) & (index < x.shape[axis])
        x = np.take(x, np.where(inside, index, 0), axis) if x.shape[axis] else x
        x = x * inside.reshape(-1, *(1,) * (3 - axis))
    return x


def tiled(x, size, out):
    """x as tiles (n, c, rows, size, columns, size), M apart, that cover `out`; zero outside."""
    rows, cols = (-(-extent // M) for extent in out)
    x = window(x, (0, 0), 1, (rows * M + size - M, cols * M + size - M))
    i, j = (np.arange(count)[:, None] * M + np.arange(size) for count in (rows, cols))
    return x[:, :, i[:, :, None, None], j[None, None]]


def bound(x, w, out):
    """Of conv(x, w) (n, k, *out), per eps, for |x| that begins where output 0 reads."""
    data, filters, result = map(np.abs, (DATA, FILTERS, RESULT))
    v = np.einsum("ia,ncrasb,jb->ncrsij", data, tiled(x, TILE, out), data, optimize=True)
    u = np.einsum("ia,kcab,jb->kcij", filters, w, filters, optimize=True)
    y = np.einsum("ai,kcij,ncrsij,bj->nkrasb", result, u, v, result, optimize=True)
    y = y.reshape(*y.shape[:2], y.shape[2] * M, y.shape[4] * M)
    return (x.shape[1] + ROUNDINGS) * y[:, :, : out[0], : out[1]]


def weight_bound(x, dy):
    """Of the gradient (k, c, 2, 2) of conv(x, w), per eps."""
    data, filters, result = map(np.abs, (DATA, FILTERS, RESULT))
    out = dy.shape[2:]
    v = np.einsum("ia,ncrasb,jb->ncrsij", data, tiled(x, TILE, out), data, optimize=True)
    e = tiled(dy, M, out)
    u = np.einsum("ai,nkrasb,bj,ncrsij->kcij", result, e, result, v, optimize=True)
    terms = e.shape[0] * e.shape[2] * e.shape[4]
    return (terms + ROUNDINGS) * np.einsum("ia,kcij,jb->kcab", filters, u, filters, optimize=True)


def bounds(g, a):
    """Per eps, of y, of dx and of dw."""
    y, dx, dw = np.zeros_like(a.dy), np.zeros_like(a.x), np.zeros_like(a.w)
    for group in range(g.groups):
        k, c = (np.arange(n // g.groups) + group * (n // g.groups) for n in (g.k, g.c))
        x, dy, w = np.abs(a.x[:, c]), np.abs(a.dy[:, k]), np.abs(a.w[k])
        phases = [(i, j) for i in range(2) for j in range(2)]
        planes = [window(x, (i - g.pad_h, j - g.pad_w), 2, (g.oh + 1, g.ow + 1)) for i, j in phases]
        taps = [w[:, :, i::2, j::2] for i, j in phases]
        y[:, k] = bound(np.concatenate(planes, 1), np.concatenate(taps, 1), (g.oh, g.ow))
        for (i, j), plane in zip(phases, planes):
            dw[k, :, i::2, j::2] = weight_bound(plane, dy)
            r, s = (i + g.pad_h) % 2, (j + g.pad_w) % 2
            first = (i + g.pad_h) // 2 - 1, (j + g.pad_w) // 2 - 1
            out = (g.h - i + 1) // 2, (g.w - j + 1) // 2
            part = window(dy, first, 1, (out[0] + 1, out[1] + 1))
            back = w[:, :, r::2, s::2][:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
            dx[:, c, i::2, j::2] = bound(part, back, out) if min(out) else 0
    return y + 2 * np.abs(a.bias)[:, None, None], dx, dw


EXPECTED = {}


def expected(name):
    if name not in EXPECTED:
        g, a = CASES[name], arrays(CASES[name])
        y, dx, dw = oracle(g, a)
        EXPECTED[name] = (y + a.bias[:, None, None], dx, dw), bounds(g, a)
    return EXPECTED[name]


def check(results, name):
    for which, found, value, limit in zip(("y", "dx", "dw"), results, *expected(name)):
        assert found.dtype == np.float32, which
        assert found.shape == value.shape, which
        assert (np.abs(found - value) <= EPS * limit).all(), which


def run(g, a, **options):
    options = {"variant": "winograd_strided", **options}
    return (
        _kernels.conv2d(a.x, a.w, a.bias, g, **options),
        _kernels.conv2d_grad_input(a.dy, a.w, g, **options),
        _kernels.conv2d_grad_weight(a.x, a.dy, g, **options),
    )


def test_the_matrices_are_a_convolution():
    d, g = arrays(geometry(1, 1, (1, TILE), 1, (1, 2)))[:2]
    found = RESULT @ ((FILTERS @ g.ravel()) * (DATA @ d.ravel()))
    np.testing.assert_allclose(found, np.correlate(d.ravel(), g.ravel()), rtol=1e-13)


@pytest.mark.parametrize("isa", TIERS)
@pytest.mark.parametrize("name", CASES)
def test_agrees_with_the_definition(name, isa):
    """On one thread and on four, which share the work in another way."""
    g = CASES[name]
    a = cast(arrays(g), np.float32)
    for threads in (1, 4):
        check(run(g, a, isa=isa, threads=threads), name)


@pytest.mark.parametrize("isa", TIERS)
@pytest.mark.parametrize("name", [name for name in CASES if not name.startswith("no ")])
def test_writes_all_of_the_output_and_nothing_else(name, isa):
    """Outputs begin as NaN between guards; operands end at a page that may not be touched."""
    g = CASES[name]
    a = Arrays(*map(fenced, cast(arrays(g), np.float32)))
    results = []
    for function, operands, shape in (
        (_kernels.conv2d, (a.x, a.w, a.bias), a.dy.shape),
        (_kernels.conv2d_grad_input, (a.dy, a.w), a.x.shape),
        (_kernels.conv2d_grad_weight, (a.x, a.dy), a.w.shape),
    ):
        size = int(np.prod(shape))
        memory = np.full(size + 2 * GUARD, np.nan, np.float32)
        memory[:GUARD] = memory[-GUARD:] = 12345
        out = memory[GUARD:-GUARD].reshape(shape)
        function(*operands, g, out=out, variant="winograd_strided", isa=isa, threads=2)
        assert (memory[:GUARD] == 12345).all()
        assert (memory[-GUARD:] == 12345).all()
        results.append(out)
    check(results, name)


@pytest.mark.parametrize("isa", TIERS)
@pytest.mark.parametrize("name", ["groups", "many chunks", "many panels", "wide rows"])
def test_the_same_bits_for_any_number_of_threads(name, isa):
    g = CASES[name]
    a = cast(arrays(g), np.float32)
    one = run(g, a, isa=isa, threads=1)
    for threads in (2, 3, 7):
        for p, q in zip(one, run(g, a, isa=isa, threads=threads)):
            np.testing.assert_array_equal(p, q)


@pytest.mark.parametrize("isa", TIERS)
@pytest.mark.parametrize("channels", [32, 256])
def test_the_error_that_the_documentation_states(channels, isa):
    """6 eps sqrt(channels) of the largest output, 2 eps sqrt(outputs) of the largest gradient."""
    g = geometry(2, channels, 16, channels, 4, stride=2, pad=1)
    a = arrays(g)
    limits = 6 * channels**0.5, 6 * channels**0.5, 2 * (g.n * g.oh * g.ow) ** 0.5
    wanted = run(g, a, variant="implicit")
    for found, wide, limit in zip(run(g, cast(a, np.float32), isa=isa), wanted, limits):
        assert np.abs(found - wide).max() <= limit * EPS * np.abs(wide).max()


@pytest.mark.parametrize("isa", TIERS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_infinity_stay_in_the_tiles_that_read_them(value, isa):
    g = geometry(2, 3, (20, 26), 5, 4, stride=2, pad=1)
    a = cast(arrays(g), np.float32)
    a.x[1, 2, 9, 17] = value
    y = _kernels.conv2d(a.x, a.w, a.bias, g, variant="winograd_strided", isa=isa)
    rows, cols = [4, 5], [8, 9]  # 2 i - 1 <= 9 <= 2 i + 2, and columns likewise
    assert not np.isfinite(y[1][:, rows][:, :, cols]).any()
    reached = np.zeros_like(y, bool)
    reached[1, :, 4:8, 8:12] = True  # two tiles, as rows 2 i - 1 ... 2 i + 8 make one
    assert np.isfinite(y[~reached]).all()


@pytest.mark.parametrize("isa", TIERS)
def test_where_it_is_chosen(isa):
    """The layers of a DCGAN; not few channels, other filters or strides, nor if forbidden."""

    def chosen(x, w, **options):
        return kernels.explain_conv(x, w, padding=1, isa=isa, **options)[:3]

    for options in (
        {"x": (64, 256, 8, 8), "w": (512, 256, 4, 4)},
        {"x": (16, 64, 32, 32), "w": (128, 64, 4, 4)},
    ):
        found = chosen(**options, stride=2)
        assert [choice.variant for choice in found] == ["winograd_strided"] * 3
        with runtime.set_winograd_enabled(False):
            found = chosen(**options, stride=2)
            assert not any(choice.variant.startswith("winograd") for choice in found)
            shapes = {f"{name}_shape": shape for name, shape in options.items()}
            assert kernels.explain_conv(**shapes, stride=2, isa=isa)[3]
        found = chosen(**options, stride=1)
        assert not any(choice.variant.startswith("winograd") for choice in found)
    few = chosen((16, 3, 64, 64), (8, 3, 4, 4), stride=2)
    assert [choice.variant for choice in few] == ["implicit"] * 3


@pytest.mark.parametrize("isa", TIERS)
@pytest.mark.parametrize(
    "options", [{"stride": 1}, {"stride": 2, "dilation": 2}, {"stride": (2, 1)}]
)
def test_what_it_cannot_compute_is_refused(options, isa):
    x, w = np.zeros((1, 2, 9, 9), np.float32), np.zeros((4, 2, 4, 4), np.float32)
    with pytest.raises(ValueError, match="requires 4x4 filters, stride 2, dilation 1, got"):
        kernels.conv2d(x, w, variant="winograd_strided", isa=isa, **options)
