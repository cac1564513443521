"""Winograd's algorithm against the definition, with an error bound derived from its transforms.

    y = A^T [ sum over c of (G w G^T) . (B^T x B) ] A
    dw = G^T [ sum over tiles of (A dy A^T) . (B^T x B) ] G

A sum of products of sums, each rounded: to first order the error is at most eps times the number of
roundings on a path, times the same expression with every matrix and operand replaced by its
absolute value. A 1-d transform rounds at most 6 times (and its constants once), there are six of
them on a path, and the sum rounds once for each of its terms.
"""

import numpy as np
import pytest
from test_kernels_conv import (
    DTYPES,
    ISAS,
    Arrays,
    arrays,
    cast,
    fenced,
    geometry,
    oracle,
)

from fastdl import _kernels, kernels

# m, the outputs of a tile along an axis, and r, the taps of the filter
VARIANTS = {"winograd": (4, 3), "winograd_2x2": (2, 3), "winograd_5x5": (2, 5)}

# The matrices of csrc/conv/winograd_points.c, from their points: rows of B^T, G, A^T.
SIX_POINTS = [
    [1, 1.5, -2, -1.5, 1, 0],
    [0, -1, -2.5, -0.5, 1, 0],
    [0, 1, 0.5, -2.5, 1, 0],
    [0, -0.5, -1, 0.5, 1, 0],
    [0, 2, -1, -2, 1, 0],
    [0, 1, 1.5, -2, -1.5, 1],
]
MATRICES = {
    (2, 3): (
        [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]],
        [[1, 0, 0], [1 / 2, 1 / 2, 1 / 2], [1 / 2, -1 / 2, 1 / 2], [0, 0, 1]],
        [[1, 1, 1, 0], [0, 1, -1, -1]],
    ),
    (4, 3): (
        SIX_POINTS,
        [
            [1, 0, 0],
            [-1 / 3, -1 / 3, -1 / 3],
            [1 / 3, -1 / 3, 1 / 3],
            [1 / 15, 2 / 15, 4 / 15],
            [-16 / 15, 8 / 15, -4 / 15],
            [0, 0, 1],
        ],
        [
            [1, 1, 1, 1, 1, 0],
            [0, 1, -1, 2, -1 / 2, 0],
            [0, 1, 1, 4, 1 / 4, 0],
            [0, 1, -1, 8, -1 / 8, 1],
        ],
    ),
    (2, 5): (
        SIX_POINTS,
        [
            [1, 0, 0, 0, 0],
            [-1 / 3, -1 / 3, -1 / 3, -1 / 3, -1 / 3],
            [1 / 3, -1 / 3, 1 / 3, -1 / 3, 1 / 3],
            [1 / 15, 2 / 15, 4 / 15, 8 / 15, 16 / 15],
            [-16 / 15, 8 / 15, -4 / 15, 2 / 15, -1 / 15],
            [0, 0, 0, 0, 1],
        ],
        [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -1 / 2, 1]],
    ),
}
# Tiers and dtypes that each exists for: 5x5 filters in floats, where vectors are wide.
EXIST = [
    pytest.param(variant, dtype, isa, id=f"{variant}-{dtype.__name__}-{isa}")
    for variant, (_, r) in VARIANTS.items()
    for dtype in DTYPES
    for isa in ISAS
    if _kernels.conv_fits(variant, geometry(1, 1, r, 1, r), dtype=dtype, isa=isa)
]
FLOATS = [
    pytest.param(*case.values[::2], id=f"{case.values[0]}-{case.values[2]}")
    for case in EXIST
    if case.values[1] is np.float32
]


ROUNDINGS = 6 * 7
EPS = np.finfo(np.float32).eps


def cases(r):
    """Geometries by name, of r x r filters; where images are padded, 3x3 ones by 1 as a rule."""
    pad = r // 2
    return {
        "one value": geometry(1, 1, 1, 1, r, pad=pad),
        "one output": geometry(2, 3, r, 4, r),
        **{
            f"{h} x {w}": geometry(2, 3, (h, w), 5, r, pad=pad) for h, w in ((4, 4), (5, 8), (9, 3))
        },
        "4x4 images": geometry(19, 5, 4, 7, r, pad=pad),
        "7x7 images": geometry(9, 16, 7, 15, r, pad=pad),
        "14x14 images": geometry(3, 8, 14, 29, r, pad=pad),
        "rows of 33": geometry(2, 3, (6, 33), 4, r, pad=pad),
        "rows of 61": geometry(1, 3, (21, 61), 4, r, pad=pad),
        "rows of 1001, cut": geometry(1, 2, (6, 1001), 3, r, pad=pad),
        "one column of 801": geometry(1, 2, (801, 1), 3, r, pad=pad),
        "no padding": geometry(2, 4, (9, 12), 5, r),
        "padding 0, 2": geometry(2, 4, (9, 12), 5, r, pad=(0, 2)),
        "much padding": geometry(2, 3, (6, 5), 4, r, pad=r + 2),
        "more padding below": geometry(2, 3, (9, 8), 4, r, pad=pad, more=(1, 2)),
        "far more padding below": geometry(1, 2, (3, 4), 3, r, more=(9, 17)),
        "groups": geometry(3, 6, (9, 10), 15, r, pad=pad, groups=3),
        "one channel a group": geometry(2, 7, (12, 9), 7, r, pad=pad, groups=7),
        "many chunks": geometry(9, 3, (28, 30), 5, r, pad=pad),
        "many panels": geometry(2, 33, 8, 131, r, pad=pad),
        "no image": geometry(0, 3, 5, 4, r),
        "no filter": geometry(2, 3, 5, 0, r),
        "no channel": geometry(2, 0, 5, 4, r),
        "no output": geometry(2, 3, (r + 2, r - 1), 4, r),
    }


CASES = {r: cases(r) for r in (3, 5)}


def magnitudes(tile):
    return (np.abs(np.array(matrix, float)) for matrix in MATRICES[tile])


def tiles(x, m, size, pad, out):
    """|x| (n, c, h, w) as tiles (n, c, rows, size, columns, size), m apart, that cover `out`."""
    index = [
        np.arange(-(-extent // m))[:, None] * m + np.arange(size) - before
        for extent, before in zip(out, pad)
    ]
    inside = [(i >= 0) & (i < extent) for i, extent in zip(index, x.shape[2:])]
    rows, cols = (np.where(ok, i, 0) for ok, i in zip(inside, index))
    found = np.abs(x)[:, :, rows[:, :, None, None], cols[None, None]]
    return np.where(inside[0][:, :, None, None] & inside[1], found, 0)


def bound(tile, x, w, pad, out):
    """Of each output (n, k, *out), per eps, for x (n, c, h, w) and filters (k, c, r, r)."""
    data, filters, result = magnitudes(tile)
    m, size = tile[0], sum(tile) - 1
    v = np.einsum("ia,ncrasb,jb->ncrsij", data, tiles(x, m, size, pad, out), data, optimize=True)
    u = np.einsum("ia,kcab,jb->kcij", filters, np.abs(w), filters, optimize=True)
    products = np.einsum("kcij,ncrsij->nkrsij", u, v, optimize=True)
    y = np.einsum("ai,nkrsij,bj->nkrasb", result, products, result, optimize=True)
    y = y.reshape(*y.shape[:2], y.shape[2] * m, y.shape[4] * m)
    return (x.shape[1] + ROUNDINGS) * y[:, :, : out[0], : out[1]]


def grouped(tile, x, w, pad, out, groups):
    """The same for each group, of filters (groups, k, c, r, r)."""
    parts = np.split(x, groups, axis=1)
    return np.concatenate([bound(tile, p, f, pad, out) for p, f in zip(parts, w)], axis=1)


def weight_bound(tile, x, dy, pad):
    """Of each weight (k, c, r, r), per eps, for x (n, c, h, w) and dy (n, k, oh, ow)."""
    data, filters, result = magnitudes(tile)
    m, size, out = tile[0], sum(tile) - 1, dy.shape[2:]
    v = np.einsum("ia,ncrasb,jb->ncrsij", data, tiles(x, m, size, pad, out), data, optimize=True)
    e = tiles(dy, m, m, (0, 0), out)
    s = np.einsum("ai,nkrasb,bj->nkrsij", result, e, result, optimize=True)
    u = np.einsum("nkrsij,ncrsij->kcij", s, v, optimize=True)
    terms = e.shape[0] * e.shape[2] * e.shape[4]
    return (terms + ROUNDINGS) * np.einsum("ia,kcij,jb->kcab", filters, u, filters, optimize=True)


def expected(name, variant):
    """For each of y, dx and dw: values, and error bounds per eps."""
    if (name, variant) not in EXPECTED:
        tile = VARIANTS[variant]
        r = tile[1]
        g = CASES[r][name]
        a = arrays(g)
        y, dx, dw = oracle(g, a)
        w = a.w.reshape(g.groups, g.k // g.groups, g.c // g.groups, r, r)
        flipped = w.transpose(0, 2, 1, 3, 4)[..., ::-1, ::-1]
        bias = a.bias[:, None, None]
        pad = g.pad_h, g.pad_w
        back = r - 1 - g.pad_h, r - 1 - g.pad_w
        if min(g.n, g.c, g.k, g.oh, g.ow) > 0:
            groups = zip(np.split(a.x, g.groups, axis=1), np.split(a.dy, g.groups, axis=1))
            bounds = (
                grouped(tile, a.x, w, pad, (g.oh, g.ow), g.groups) + 2 * np.abs(bias),
                grouped(tile, a.dy, flipped, back, (g.h, g.w), g.groups),
                np.concatenate([weight_bound(tile, x, dy, pad) for x, dy in groups]),
            )
        else:
            bounds = 2 * np.abs(y + bias), dx, dw
        EXPECTED[name, variant] = (y + bias, dx, dw), bounds
    return EXPECTED[name, variant]


EXPECTED = {}


def run(g, a, **options):
    return (
        _kernels.conv2d(a.x, a.w, a.bias, g, **options),
        _kernels.conv2d_grad_input(a.dy, a.w, g, **options),
        _kernels.conv2d_grad_weight(a.x, a.dy, g, **options),
    )


def check(results, name, variant, dtype):
    values, bounds = expected(name, variant)
    # the oracle's own rounding is far below the bound at float64
    eps = np.finfo(dtype).eps
    for which, found, value, limit in zip(("y", "dx", "dw"), results, values, bounds):
        assert found.dtype == dtype, which
        assert found.shape == value.shape, which
        assert np.isfinite(found).all(), which
        assert (np.abs(found - value) <= eps * limit).all(), which


@pytest.mark.parametrize(("variant", "dtype", "isa"), EXIST)
@pytest.mark.parametrize("name", CASES[3])
def test_agrees_with_the_definition(name, variant, dtype, isa):
    """On one thread and on four, which share the work in another way."""
    g = CASES[VARIANTS[variant][1]][name]
    a = cast(arrays(g), dtype)
    for threads in (1, 4):
        check(run(g, a, variant=variant, isa=isa, threads=threads), name, variant, dtype)


@pytest.mark.parametrize("tile", MATRICES)
def test_the_matrices_are_a_convolution(tile):
    """A^T [(G g) . (B^T d)] is the sum it stands for, so that the bounds above are of it."""
    data, filters, result = (np.array(matrix, float) for matrix in MATRICES[tile])
    d, g = arrays(geometry(1, 1, (1, sum(tile) - 1), 1, (1, tile[1])))[:2]
    found = result @ ((filters @ g.ravel()) * (data @ d.ravel()))
    np.testing.assert_allclose(found, np.correlate(d.ravel(), g.ravel()), rtol=1e-13)


@pytest.mark.parametrize(("variant", "isa"), FLOATS)
@pytest.mark.parametrize("channels", [32, 64, 256, 512])
def test_the_error_that_the_documentation_states(variant, channels, isa):
    """`factor * eps * sqrt(channels)` of the largest output."""
    factor = {"winograd": 4, "winograd_2x2": 0.5, "winograd_5x5": 4}[variant]
    r = VARIANTS[variant][1]
    g = geometry(1, channels, 14, 32, r, pad=r // 2)
    a = arrays(g)
    wide = _kernels.conv2d(a.x, a.w, None, g, variant="implicit")
    narrow = cast(a, np.float32)
    error = np.abs(_kernels.conv2d(narrow.x, narrow.w, None, g, variant=variant, isa=isa) - wide)
    assert error.max() <= factor * EPS * channels**0.5 * np.abs(wide).max()


@pytest.mark.parametrize(("variant", "isa"), FLOATS)
@pytest.mark.parametrize(("n", "size"), [(1, 8), (4, 14), (6, 56)])
def test_the_error_of_weight_gradients_that_the_documentation_states(variant, n, size, isa):
    """`factor * eps * sqrt(n * oh * ow)` of the largest gradient."""
    factor = {"winograd": 2, "winograd_2x2": 0.5, "winograd_5x5": 3}[variant]
    r = VARIANTS[variant][1]
    g = geometry(n, 32, size, 32, r, pad=r // 2)
    a = arrays(g)
    wide = _kernels.conv2d_grad_weight(a.x, a.dy, g, variant="implicit")
    narrow = cast(a, np.float32)
    found = _kernels.conv2d_grad_weight(narrow.x, narrow.dy, g, variant=variant, isa=isa)
    assert np.abs(found - wide).max() <= factor * EPS * n**0.5 * size * np.abs(wide).max()


GUARD = 64


@pytest.mark.parametrize(("variant", "dtype", "isa"), EXIST)
@pytest.mark.parametrize("name", [name for name in CASES[3] if not name.startswith("no ")])
def test_writes_all_of_the_output_and_nothing_else(name, variant, dtype, isa):
    """Outputs begin as NaN between guards; operands end where a page begins that may be neither
    read nor written, so that reading past them ends the process."""
    g = CASES[VARIANTS[variant][1]][name]
    a = Arrays(*map(fenced, cast(arrays(g), dtype)))
    results = []
    for function, operands, shape in (
        (_kernels.conv2d, (a.x, a.w, a.bias), a.dy.shape),
        (_kernels.conv2d_grad_input, (a.dy, a.w), a.x.shape),
        (_kernels.conv2d_grad_weight, (a.x, a.dy), a.w.shape),
    ):
        size = int(np.prod(shape))
        memory = np.full(size + 2 * GUARD, np.nan, dtype)
        memory[:GUARD] = memory[-GUARD:] = 12345
        out = memory[GUARD:-GUARD].reshape(shape)
        function(*operands, g, out=out, variant=variant, isa=isa, threads=2)
        assert (memory[:GUARD] == 12345).all()
        assert (memory[-GUARD:] == 12345).all()
        results.append(out)
    check(results, name, variant, dtype)


@pytest.mark.parametrize(("variant", "isa"), FLOATS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_infinity_stay_in_the_tiles_that_read_them(variant, value, isa):
    m, taps = VARIANTS[variant]
    pad = taps // 2
    g = geometry(3, 4, (9, 14), 5, taps, pad=pad)
    a = cast(arrays(g), np.float32)
    for n, c, i, j in ((0, 0, 0, 0), (1, 3, 8, 13), (2, 1, 4, 7)):
        x = a.x.copy()
        x[n, c, i, j] = value
        y = _kernels.conv2d(x, a.w, a.bias, g, variant=variant, isa=isa)
        reached = np.zeros_like(y, bool)
        for r in range(0, g.oh, m):
            for s in range(0, g.ow, m):
                if r - pad <= i < r + m + pad and s - pad <= j < s + m + pad:
                    reached[n, :, r : r + m, s : s + m] = True
        near = np.zeros_like(y, bool)
        near[n, :, max(0, i - pad) : i + pad + 1, max(0, j - pad) : j + pad + 1] = True
        assert not np.isfinite(y[near]).any()
        assert np.isfinite(y[~reached]).all()
        dw = _kernels.conv2d_grad_weight(x, a.dy, g, variant=variant, isa=isa)
        assert not np.isfinite(dw[:, c]).all(axis=(1, 2)).any()
        assert np.isfinite(np.delete(dw, c, axis=1)).all()


@pytest.mark.parametrize(("variant", "isa"), FLOATS)
@pytest.mark.parametrize(
    "sizes",
    [(16, 24, 40, 39), (2, 40, 7, 70), (5, 8, 20, 12, 2)],
    ids=["many chunks", "few chunks", "groups"],
)
def test_the_same_bits_for_any_number_of_threads(sizes, variant, isa):
    r = VARIANTS[variant][1]
    g = geometry(*sizes[:4], r, pad=r // 2, groups=sizes[4] if len(sizes) > 4 else 1)
    a = cast(arrays(g), np.float32)
    one = run(g, a, variant=variant, isa=isa, threads=1)
    for threads in (2, 3, 7):
        for p, q in zip(one, run(g, a, variant=variant, isa=isa, threads=threads)):
            np.testing.assert_array_equal(p, q)


@pytest.mark.parametrize(
    "variant",
    [v for v, (_, r) in VARIANTS.items() if _kernels.conv_fits(v, geometry(1, 1, r, 1, r))],
)
@pytest.mark.parametrize(
    ("size", "options"),
    [(7, {}), (None, {"stride": 2}), (None, {"dilation": 2}), (1, {})],
    ids=["7x7", "stride", "dilation", "1x1"],
)
def test_what_it_cannot_compute_is_refused(variant, size, options):
    r = VARIANTS[variant][1]
    size = size or r
    x, w = np.zeros((1, 2, 12, 12), np.float32), np.zeros((4, 2, size, size), np.float32)
    with pytest.raises(ValueError, match=f"requires {r}x{r} filters, stride 1, dilation 1, got"):
        kernels.conv2d(x, w, variant=variant, **options)
    geom = kernels.conv2d(x, w, **options).shape
    with pytest.raises(ValueError, match=f"requires {r}x{r} filters"):
        kernels.conv2d_grad_input(
            np.zeros(geom, np.float32), w, x.shape, variant=variant, **options
        )


@pytest.mark.parametrize("isa", ISAS)
def test_it_is_chosen_where_it_pays(isa):
    """By the estimates of csrc/conv/select.c, at shapes where one is far ahead."""

    def chosen(x_shape, w_shape, **options):
        choices = kernels.explain_conv(x_shape, w_shape, **options, isa=isa)
        return tuple(choice.variant for choice in choices[:3])

    assert chosen((16, 64, 56, 56), (64, 64, 3, 3), padding=1) == ("winograd",) * 3
    few = chosen((1, 128, 10, 10), (128, 128, 3, 3), padding=1)
    assert few[:2] == ("winograd_2x2", "winograd_2x2")
    assert chosen((32, 26, 5, 5), (494, 26, 3, 3), padding=1)[0] == "implicit"
    assert chosen((1, 191, 8, 8), (43, 191, 3, 3), stride=2, padding=1)[2] == "outer"
    assert chosen((1, 256, 2, 2), (256, 256, 3, 3), padding=1)[0] == "dots"
    if ("winograd_5x5", isa) in [case.values for case in FLOATS]:
        assert chosen((16, 64, 27, 27), (192, 64, 5, 5), padding=2) == ("winograd_5x5",) * 3
    assert chosen((16, 1, 28, 28), (6, 1, 5, 5), padding=2) == ("implicit",) * 3
    for options in ({"stride": 2}, {"dilation": 2}):
        assert chosen((16, 64, 56, 56), (64, 64, 3, 3), **options) == ("implicit",) * 3
