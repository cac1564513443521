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

VARIANTS = {"winograd": 4, "winograd_2x2": 2}  # and the outputs of a tile along an axis

# The matrices of csrc/conv/winograd_points.c, from their points: rows of B^T, G, A^T.
MATRICES = {
    2: (
        [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]],
        [[1, 0, 0], [1 / 2, 1 / 2, 1 / 2], [1 / 2, -1 / 2, 1 / 2], [0, 0, 1]],
        [[1, 1, 1, 0], [0, 1, -1, -1]],
    ),
    4: (
        [
            [1, 1.5, -2, -1.5, 1, 0],
            [0, -1, -2.5, -0.5, 1, 0],
            [0, 1, 0.5, -2.5, 1, 0],
            [0, -0.5, -1, 0.5, 1, 0],
            [0, 2, -1, -2, 1, 0],
            [0, 1, 1.5, -2, -1.5, 1],
        ],
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
}
ROUNDINGS = 6 * 7
EPS = np.finfo(np.float32).eps

CASES = {
    "one value": geometry(1, 1, 1, 1, 3, pad=1),
    "one output": geometry(2, 3, 3, 4, 3),
    **{f"{h} x {w}": geometry(2, 3, (h, w), 5, 3, pad=1) for h, w in ((4, 4), (5, 8), (9, 3))},
    "4x4 images": geometry(19, 5, 4, 7, 3, pad=1),
    "7x7 images": geometry(9, 16, 7, 15, 3, pad=1),
    "14x14 images": geometry(3, 8, 14, 29, 3, pad=1),
    "rows of 33": geometry(2, 3, (6, 33), 4, 3, pad=1),
    "rows of 61": geometry(1, 3, (21, 61), 4, 3, pad=1),
    "rows of 1001, cut": geometry(1, 2, (6, 1001), 3, 3, pad=1),
    "one column of 801": geometry(1, 2, (801, 1), 3, 3, pad=1),
    "no padding": geometry(2, 4, (9, 12), 5, 3),
    "padding 0, 2": geometry(2, 4, (9, 12), 5, 3, pad=(0, 2)),
    "padding 5": geometry(2, 3, (6, 5), 4, 3, pad=5),
    "more padding below": geometry(2, 3, (9, 8), 4, 3, pad=1, more=(1, 2)),
    "far more padding below": geometry(1, 2, (3, 4), 3, 3, more=(9, 17)),
    "groups": geometry(3, 6, (9, 10), 15, 3, pad=1, groups=3),
    "one channel a group": geometry(2, 7, (12, 9), 7, 3, pad=1, groups=7),
    "many chunks": geometry(9, 3, (28, 30), 5, 3, pad=1),
    "many panels": geometry(2, 33, 8, 131, 3, pad=1),
    "no image": geometry(0, 3, 5, 4, 3),
    "no filter": geometry(2, 3, 5, 0, 3),
    "no channel": geometry(2, 0, 5, 4, 3),
    "no output": geometry(2, 3, (5, 2), 4, (3, 3)),
}


def magnitudes(m):
    return (np.abs(np.array(matrix, float)) for matrix in MATRICES[m])


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


def bound(m, x, w, pad, out):
    """Of each output (n, k, *out), per eps, for x (n, c, h, w) and filters (k, c, 3, 3)."""
    data, filters, result = magnitudes(m)
    v = np.einsum("ia,ncrasb,jb->ncrsij", data, tiles(x, m, m + 2, pad, out), data, optimize=True)
    u = np.einsum("ia,kcab,jb->kcij", filters, np.abs(w), filters, optimize=True)
    products = np.einsum("kcij,ncrsij->nkrsij", u, v, optimize=True)
    y = np.einsum("ai,nkrsij,bj->nkrasb", result, products, result, optimize=True)
    y = y.reshape(*y.shape[:2], y.shape[2] * m, y.shape[4] * m)
    return (x.shape[1] + ROUNDINGS) * y[:, :, : out[0], : out[1]]


def grouped(m, x, w, pad, out, groups):
    """The same for each group, of filters (groups, k, c, 3, 3)."""
    parts = np.split(x, groups, axis=1)
    return np.concatenate([bound(m, p, f, pad, out) for p, f in zip(parts, w)], axis=1)


def weight_bound(m, x, dy, pad):
    """Of each weight (k, c, 3, 3), per eps, for x (n, c, h, w) and dy (n, k, oh, ow)."""
    data, filters, result = magnitudes(m)
    out = dy.shape[2:]
    v = np.einsum("ia,ncrasb,jb->ncrsij", data, tiles(x, m, m + 2, pad, out), data, optimize=True)
    e = tiles(dy, m, m, (0, 0), out)
    s = np.einsum("ai,nkrasb,bj->nkrsij", result, e, result, optimize=True)
    u = np.einsum("nkrsij,ncrsij->kcij", s, v, optimize=True)
    terms = e.shape[0] * e.shape[2] * e.shape[4]
    return (terms + ROUNDINGS) * np.einsum("ia,kcij,jb->kcab", filters, u, filters, optimize=True)


def expected(name):
    """For each of y, dx and dw: values, and error bounds per eps for each variant."""
    if name not in EXPECTED:
        g = CASES[name]
        a = arrays(g)
        y, dx, dw = oracle(g, a)
        w = a.w.reshape(g.groups, g.k // g.groups, g.c // g.groups, 3, 3)
        flipped = w.transpose(0, 2, 1, 3, 4)[..., ::-1, ::-1]
        bias = a.bias[:, None, None]
        back = 2 - g.pad_h, 2 - g.pad_w
        some = min(g.n, g.c, g.k, g.oh, g.ow) > 0
        EXPECTED[name] = (
            (y + bias, dx, dw),
            {
                variant: (
                    grouped(m, a.x, w, (g.pad_h, g.pad_w), (g.oh, g.ow), g.groups)
                    + 2 * np.abs(bias),
                    grouped(m, a.dy, flipped, back, (g.h, g.w), g.groups),
                    np.concatenate(
                        [
                            weight_bound(m, x, dy, (g.pad_h, g.pad_w))
                            for x, dy in zip(
                                np.split(a.x, g.groups, axis=1), np.split(a.dy, g.groups, axis=1)
                            )
                        ]
                    ),
                )
                if some
                else (2 * np.abs(y + bias), dx, dw)
                for variant, m in VARIANTS.items()
            },
        )
    return EXPECTED[name]


EXPECTED = {}


def run(g, a, **options):
    return (
        _kernels.conv2d(a.x, a.w, a.bias, g, **options),
        _kernels.conv2d_grad_input(a.dy, a.w, g, **options),
        _kernels.conv2d_grad_weight(a.x, a.dy, g, **options),
    )


def check(results, name, variant, dtype):
    values, bounds = expected(name)
    # the oracle's own rounding is far below the bound at float64
    eps = np.finfo(dtype).eps
    for which, found, value, limit in zip(("y", "dx", "dw"), results, values, bounds[variant]):
        assert found.dtype == dtype, which
        assert found.shape == value.shape, which
        assert np.isfinite(found).all(), which
        assert (np.abs(found - value) <= eps * limit).all(), which


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.__name__)
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", CASES)
def test_agrees_with_the_definition(name, variant, dtype, isa):
    """On one thread and on four, which share the work in another way."""
    g = CASES[name]
    a = cast(arrays(g), dtype)
    for threads in (1, 4):
        check(run(g, a, variant=variant, isa=isa, threads=threads), name, variant, dtype)


@pytest.mark.parametrize("m", MATRICES)
def test_the_matrices_are_a_convolution(m):
    """A^T [(G g) . (B^T d)] is the sum it stands for, so that the bounds above are of it."""
    data, filters, result = (np.array(matrix, float) for matrix in MATRICES[m])
    d, g = arrays(geometry(1, 1, (1, m + 2), 1, (1, 3)))[:2]
    found = result @ ((filters @ g.ravel()) * (data @ d.ravel()))
    np.testing.assert_allclose(found, np.correlate(d.ravel(), g.ravel()), rtol=1e-13)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("channels", [32, 64, 256, 512])
@pytest.mark.parametrize(("variant", "factor"), [("winograd", 4), ("winograd_2x2", 0.5)])
def test_the_error_that_the_documentation_states(variant, factor, channels, isa):
    """`factor * eps * sqrt(channels)` of the largest output."""
    g = geometry(1, channels, 14, 32, 3, pad=1)
    a = arrays(g)
    wide = _kernels.conv2d(a.x, a.w, None, g, variant="implicit")
    narrow = cast(a, np.float32)
    error = np.abs(_kernels.conv2d(narrow.x, narrow.w, None, g, variant=variant, isa=isa) - wide)
    assert error.max() <= factor * EPS * channels**0.5 * np.abs(wide).max()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(("n", "size"), [(1, 8), (4, 14), (6, 56)])
@pytest.mark.parametrize(("variant", "factor"), [("winograd", 2), ("winograd_2x2", 0.5)])
def test_the_error_of_weight_gradients_that_the_documentation_states(variant, factor, n, size, isa):
    """`factor * eps * sqrt(n * oh * ow)` of the largest gradient."""
    g = geometry(n, 32, size, 32, 3, pad=1)
    a = arrays(g)
    wide = _kernels.conv2d_grad_weight(a.x, a.dy, g, variant="implicit")
    narrow = cast(a, np.float32)
    found = _kernels.conv2d_grad_weight(narrow.x, narrow.dy, g, variant=variant, isa=isa)
    assert np.abs(found - wide).max() <= factor * EPS * n**0.5 * size * np.abs(wide).max()


GUARD = 64


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.__name__)
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", [name for name in CASES if not name.startswith("no ")])
def test_writes_all_of_the_output_and_nothing_else(name, variant, dtype, isa):
    """Outputs begin as NaN between guards; operands end where a page begins that may be neither
    read nor written, so that reading past them ends the process."""
    g = CASES[name]
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


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize(("variant", "m"), VARIANTS.items())
def test_nan_and_infinity_stay_in_the_tiles_that_read_them(variant, m, value, isa):
    g = geometry(3, 4, (9, 14), 5, 3, pad=1)
    a = cast(arrays(g), np.float32)
    for n, c, i, j in ((0, 0, 0, 0), (1, 3, 8, 13), (2, 1, 4, 7)):
        x = a.x.copy()
        x[n, c, i, j] = value
        y = _kernels.conv2d(x, a.w, a.bias, g, variant=variant, isa=isa)
        reached = np.zeros_like(y, bool)
        for r in range(0, g.oh, m):
            for s in range(0, g.ow, m):
                if r - 1 <= i < r + m + 1 and s - 1 <= j < s + m + 1:
                    reached[n, :, r : r + m, s : s + m] = True
        near = np.zeros_like(y, bool)
        near[n, :, max(0, i - 1) : i + 2, max(0, j - 1) : j + 2] = True
        assert not np.isfinite(y[near]).any()
        assert np.isfinite(y[~reached]).all()
        dw = _kernels.conv2d_grad_weight(x, a.dy, g, variant=variant, isa=isa)
        assert not np.isfinite(dw[:, c]).all(axis=(1, 2)).any()
        assert np.isfinite(np.delete(dw, c, axis=1)).all()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(
    "g",
    [
        geometry(16, 24, 40, 39, 3, pad=1),
        geometry(2, 40, 7, 70, 3, pad=1),
        geometry(5, 8, 20, 12, 3, pad=1, groups=2),
    ],
    ids=["many chunks", "few chunks", "groups"],
)
def test_the_same_bits_for_any_number_of_threads(g, variant, isa):
    a = cast(arrays(g), np.float32)
    one = run(g, a, variant=variant, isa=isa, threads=1)
    for threads in (2, 3, 7):
        for p, q in zip(one, run(g, a, variant=variant, isa=isa, threads=threads)):
            np.testing.assert_array_equal(p, q)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(
    ("size", "options"),
    [(5, {}), (3, {"stride": 2}), (3, {"dilation": 2}), (1, {})],
    ids=["5x5", "stride", "dilation", "1x1"],
)
def test_what_it_cannot_compute_is_refused(variant, size, options):
    x, w = np.zeros((1, 2, 9, 9), np.float32), np.zeros((4, 2, size, size), np.float32)
    with pytest.raises(ValueError, match="requires 3x3 filters, stride 1, dilation 1, got"):
        kernels.conv2d(x, w, variant=variant, **options)
    geom = kernels.conv2d(x, w, **options).shape
    with pytest.raises(ValueError, match="requires 3x3 filters"):
        kernels.conv2d_grad_input(
            np.zeros(geom, np.float32), w, x.shape, variant=variant, **options
        )


@pytest.mark.parametrize("isa", ISAS)
def test_it_is_chosen_where_it_pays(isa):
    """The rules of csrc/conv/select.c, at shapes far from their thresholds."""

    def chosen(x_shape, w_shape, **options):
        choices = kernels.explain_conv(x_shape, w_shape, **options, isa=isa)
        return tuple(choice.variant for choice in choices[:3])

    assert chosen((16, 64, 56, 56), (64, 64, 3, 3), padding=1) == ("winograd",) * 3
    assert chosen((1, 256, 8, 8), (256, 256, 3, 3), padding=1) == ("winograd_2x2",) * 3
    assert chosen((1, 256, 2, 2), (256, 256, 3, 3), padding=1)[0] == "dots"
    for options in ({"stride": 2}, {"dilation": 2}):
        assert chosen((16, 64, 56, 56), (64, 64, 3, 3), **options) == ("implicit",) * 3
