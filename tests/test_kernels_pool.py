"""Pooling: every rung, tier and dtype against a definition in NumPy, and PyTorch.

Max pooling copies elements, so it is compared for equality, taps included. An average of k elements
errs by at most k * eps of the mean of absolute values (k - 1 additions, one division); gradients
add at most kh * kw shares, likewise.
"""

import os
import subprocess
import sys
import threading
from collections import namedtuple
from itertools import product

import numpy as np
import pytest
from fences import fenced
from hypothesis import assume, given
from hypothesis import strategies as st

from fastdl._kernels import (
    POOL_VARIANTS,
    adaptive_avg_pool2d,
    adaptive_avg_pool2d_backward,
    adaptive_max_pool2d,
    avg_pool2d,
    avg_pool2d_backward,
    isa_available,
    max_pool2d,
    max_pool2d_gather,
    max_pool2d_scatter,
    plane_gather,
    plane_scatter,
    positions_from_taps,
)

ISAS = isa_available()
DTYPES = ("float32", "float64")

Geometry = namedtuple(
    "Geometry",
    "planes h w oh ow kh kw stride_h stride_w pad_h pad_w dil_h dil_w pad_bottom pad_right "
    "count_include_pad divisor",
)


def out_size(size, k, stride, pad, dil, ceil):
    """PyTorch's rule; with `ceil` a last window may overhang, but must begin in the plane or left
    of it."""
    span = size + 2 * pad - dil * (k - 1) - 1
    if not ceil:
        return span // stride + 1
    n = -(-span // stride) + 1
    return n - 1 if (n - 1) * stride >= size + pad else n


def geometry(shape, k, stride=None, pad=0, dil=1, ceil=False, include=True, divisor=0):
    """From PyTorch's arguments; pairs are (vertical, horizontal)."""

    def pair(v):
        return v if isinstance(v, tuple) else (v, v)

    k, pad, dil = pair(k), pair(pad), pair(dil)
    stride = k if stride is None else pair(stride)
    planes, h, w = int(np.prod(shape[:-2])), *shape[-2:]
    oh, ow = (
        out_size(n, *rest, ceil) for n, *rest in zip((h, w), k, stride, pad, dil, strict=True)
    )
    return Geometry(planes, h, w, oh, ow, *k, *stride, *pad, *dil, *pad, int(include), divisor)


def windows(x, g, fill):
    """Every window of x (planes, h, w), the padding `fill`: (planes, oh, ow, kh, kw)."""
    rows = np.arange(g.oh)[:, None] * g.stride_h + np.arange(g.kh) * g.dil_h  # of the padded plane
    cols = np.arange(g.ow)[:, None] * g.stride_w + np.arange(g.kw) * g.dil_w
    padded = np.full((g.planes, max(g.h + g.pad_h, rows.max() + 1),
                      max(g.w + g.pad_w, cols.max() + 1)), fill, x.dtype)  # fmt: skip
    padded[:, g.pad_h : g.pad_h + g.h, g.pad_w : g.pad_w + g.w] = x
    return padded[:, rows[:, None, :, None], cols[None, :, None, :]]


def inside(g):
    """Which taps of every window lie in the plane: (oh, ow, kh, kw)."""
    return windows(np.ones((1, g.h, g.w)), g._replace(planes=1), 0)[0] == 1


def max_by_definition(x, g):
    """Maxima and taps: the first of the greatest, or the last NaN."""
    flat = windows(x.reshape(g.planes, g.h, g.w), g, -np.inf)
    flat = flat.reshape(g.planes, g.oh, g.ow, -1)
    valid = inside(g).reshape(g.oh, g.ow, -1)
    rank = np.where(valid, np.nan_to_num(flat, nan=0, posinf=1e30, neginf=-1e30), -np.inf)
    tap = rank.argmax(-1)
    nan = np.isnan(flat)
    last = flat.shape[-1] - 1 - nan[..., ::-1].argmax(-1)
    tap = np.where(nan.any(-1), last, tap)
    return np.take_along_axis(flat, tap[..., None], -1)[..., 0], tap


def avg_counts(g):
    """What each window's sum is divided by: (oh, ow)."""
    if g.divisor:
        return np.full((g.oh, g.ow), g.divisor)
    top = np.arange(g.oh) * g.stride_h - g.pad_h
    left = np.arange(g.ow) * g.stride_w - g.pad_w
    bottom = np.minimum(top + g.kh, g.h + g.pad_bottom)
    right = np.minimum(left + g.kw, g.w + g.pad_right)
    if not g.count_include_pad:
        top, left = np.maximum(top, 0), np.maximum(left, 0)
        bottom, right = np.minimum(bottom, g.h), np.minimum(right, g.w)
    return np.multiply.outer(bottom - top, right - left)


def scatter_by_definition(dy, taps, g):
    """dx in float64: each dy added where its tap points."""
    dx = np.zeros((g.planes, g.h * g.w))
    rows = np.arange(g.oh)[:, None] * g.stride_h - g.pad_h + taps // g.kw * g.dil_h
    cols = np.arange(g.ow) * g.stride_w - g.pad_w + taps % g.kw * g.dil_w
    plane = np.arange(g.planes)[:, None, None]
    np.add.at(dx, (np.broadcast_to(plane, taps.shape), rows * g.w + cols), dy)
    return dx.reshape(g.planes, g.h, g.w), rows * g.w + cols


def check_max(x, g, variant, isa, threads=1):
    lead = x.shape[:-2]
    y, y_check = fenced((*lead, g.oh, g.ow), x.dtype)
    tap_type = np.uint8 if g.kh * g.kw <= 256 else np.int32
    taps, taps_check = fenced(y.shape, tap_type, 250)
    options = {"variant": variant, "isa": isa, "threads": threads}
    max_pool2d(x, g, out=(y, taps), **options)
    y_check()
    taps_check()
    expected, expected_taps = max_by_definition(x, g)
    np.testing.assert_array_equal(y, expected.reshape(y.shape))
    np.testing.assert_array_equal(taps, expected_taps.reshape(y.shape))

    rng = np.random.default_rng(1)
    dy = rng.standard_normal(y.shape).astype(x.dtype)
    dx, dx_check = fenced(x.shape, x.dtype)
    max_pool2d_scatter(dy, taps, g, out=dx, **options)
    dx_check()
    flat = expected_taps
    exact, positions = scatter_by_definition(dy.reshape(flat.shape), flat, g)
    size, _ = scatter_by_definition(np.abs(dy).reshape(flat.shape), flat, g)
    eps = np.finfo(x.dtype).eps
    assert (np.abs(dx.reshape(exact.shape) - exact) <= g.kh * g.kw * eps * size).all()

    z = rng.standard_normal(x.shape).astype(x.dtype)
    np.testing.assert_array_equal(positions_from_taps(taps, g), positions.reshape(y.shape))
    gathered = np.take_along_axis(
        z.reshape(g.planes, -1), positions.reshape(g.planes, -1), 1
    ).reshape(y.shape)
    np.testing.assert_array_equal(max_pool2d_gather(z, taps, g, isa=isa), gathered)


def check_avg(x, g, variant, isa, threads=1):
    options = {"variant": variant, "isa": isa, "threads": threads}
    y, y_check = fenced((*x.shape[:-2], g.oh, g.ow), x.dtype)
    avg_pool2d(x, g, out=y, **options)
    y_check()
    eps = np.finfo(x.dtype).eps
    split = windows(x.reshape(g.planes, g.h, g.w).astype("f8"), g, 0)
    counts = avg_counts(g)
    exact, size = (a.sum((-1, -2)) / counts for a in (split, np.abs(split)))
    k = g.kh * g.kw + 1
    assert (np.abs(y.reshape(exact.shape) - exact) <= k * eps * np.abs(size)).all()

    dy = np.random.default_rng(1).standard_normal(y.shape).astype(x.dtype)
    dx, dx_check = fenced(x.shape, x.dtype)
    avg_pool2d_backward(dy, g, out=dx, **options)
    dx_check()
    share = dy.reshape(exact.shape).astype("f8") / counts
    exact, size = np.zeros((2, g.planes, g.h, g.w))
    valid = inside(g)
    for i, j, r, s in product(range(g.oh), range(g.ow), range(g.kh), range(g.kw)):
        if valid[i, j, r, s]:
            at = np.s_[:, i * g.stride_h - g.pad_h + r, j * g.stride_w - g.pad_w + s]
            exact[at] += share[:, i, j]
            size[at] += np.abs(share[:, i, j])
    assert (np.abs(dx.reshape(exact.shape) - exact) <= k * eps * size).all()


# Small planes, in numbers that end inside a vector of them
LANES = {
    "2x2/2 in lanes": ((37, 5, 5), 2),
    "3x3/2 in lanes": ((21, 9, 9), 3, 2, 1),
    "3x3/1 in lanes": ((17, 7, 8), 3, 1, 1),
    "2x3/3,1 in lanes": ((34, 7, 6), (2, 3), (3, 1)),
    "ceil in lanes": ((19, 7, 7), 2, 2, 0, 1, True),
    "4x4/3 pad in lanes": ((9, 11, 20), 4, 3, 2),
    "1x3/2 in lanes": ((40, 1, 20), (1, 3), (1, 2), (0, 1)),
}

# Widths around every vector length and twice it (2 ... 32 outputs), odd and prime sizes, stride
# above and below the kernel, dilation, padding, overhang, one row, one column, windows of 1 to 324.
MAX_CASES = {
    **{f"2x2/2 w={w}": ((3, 5, w), 2) for w in (2, 3, 4, 5, 8, 9, 15, 16, 17, 31, 33, 34, 66, 67)},
    **{f"3x3/2 w={w}": ((2, 7, w), 3, 2, 1) for w in (1, 2, 3, 7, 8, 13, 16, 17, 32, 33, 61, 64)},
    **{f"3x3/1 w={w}": ((2, 5, w), 3, 1, 1) for w in (1, 2, 4, 7, 8, 9, 16, 17, 33)},
    "1x1": ((2, 4, 9), 1),
    "1x1/2": ((2, 5, 9), 1, 2),
    "2x2/1": ((2, 6, 18), 2, 1),
    "2x3/3,2": ((2, 9, 21), (2, 3), (3, 2)),
    "3x2/1,4": ((2, 9, 37), (3, 2), (1, 4)),
    "3x3/3": ((2, 11, 35), 3),
    "3x3/5": ((2, 23, 41), 3, 5),
    "5x5/3 pad": ((2, 17, 40), 5, 3, 2),
    "4x4/4": ((2, 9, 70), 4),
    "7x7 whole plane": ((5, 7, 7), 7),
    "whole plane": ((35, 13, 9), (13, 9)),
    "whole plane, padding": ((3, 5, 33), (15, 70), 80, (5, 30)),
    "dilation 2": ((2, 12, 37), 3, 1, 1, 2),
    "dilation 3, stride 2": ((2, 15, 39), (2, 3), 2, (1, 1), (3, 2)),
    "ceil": ((2, 8, 34), 3, 2, 0, 1, True),
    "ceil 2x2": ((2, 7, 33), 2, 2, 0, 1, True),
    "ceil pad": ((2, 8, 18), 3, 3, 1, 1, True),
    "ceil, window beyond": ((2, 5, 5), 2, 3, 1, 1, True),
    "16x16": ((2, 17, 40), 16, 3),
    "18x18, int32 taps": ((2, 19, 50), 18, 2),
    "18x18 whole": ((3, 18, 18), 18),
    "bands": ((1, 131, 129), 3, 2, 1),
    "bands 2x2": ((2, 150, 67), 2),
    "many planes": ((2, 3, 50, 3, 2), 2, 1),
    "rows joined": ((6, 1, 150), (1, 3), (1, 2), (0, 1)),
    "2x2/3,2 gaps": ((2, 12, 37), 2, (3, 2)),
    "2x2/4,2 dilation": ((2, 12, 67), 2, (4, 2), 0, (2, 1)),
    **LANES,
    "3x3/2 dilation in lanes": ((9, 12, 12), 3, 2, 1, 2),
}


def fill_like(kind, shape, dtype):
    rng = np.random.default_rng(0)
    if kind == "ties":
        return rng.integers(-1, 2, shape).astype(dtype)
    x = rng.standard_normal(shape).astype(dtype)
    if kind == "special":
        x[rng.random(shape) < 0.4] = -np.inf
        x[rng.random(shape) < 0.1] = np.inf
        x[rng.random(shape) < 0.1] = np.nan
    return x


@pytest.mark.parametrize("variant", POOL_VARIANTS)
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["ties", "special"])
def test_max(variant, isa, dtype, kind):
    for shape, *arguments in MAX_CASES.values():
        check_max(fill_like(kind, shape, dtype), geometry(shape, *arguments), variant, isa, 2)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("fill", [-np.inf, np.nan, 0.0])
def test_max_of_constants(isa, dtype, fill):
    """All -inf: the first element that exists. All NaN: the last. All equal: the first."""
    for shape, *arguments in MAX_CASES.values():
        check_max(np.full(shape, fill, dtype), geometry(shape, *arguments), "rows", isa)


AVG_CASES = {
    **{f"2x2/2 w={w}": ((3, 5, w), 2) for w in (2, 3, 8, 9, 15, 16, 17, 33, 66)},
    **{f"3x3/2 w={w}": ((2, 7, w), 3, 2, 1) for w in (1, 2, 3, 8, 16, 17, 33, 64)},
    "3x3/1 valid only": ((2, 5, 19), 3, 1, 1, 1, False, False),
    "3x3/2 ceil": ((2, 8, 34), 3, 2, 1, 1, True),
    "3x3/2 ceil valid only": ((2, 8, 34), 3, 2, 1, 1, True, False),
    "2x3/3,2 divisor": ((2, 9, 21), (2, 3), (3, 2), 0, 1, False, True, 5),
    "ceil divisor": ((2, 9, 21), 4, 3, 2, 1, True, True, 7),
    "negative divisor": ((2, 9, 21), 4, 3, 2, 1, True, True, -2),
    "3x3/5": ((2, 23, 41), 3, 5),
    "5x5/3": ((2, 17, 40), 5, 3, 2),
    "1x1/3": ((2, 7, 10), 1, 3),
    "7x7 whole plane": ((37, 7, 7), 7),
    "whole plane": ((35, 13, 9), (13, 9)),
    "whole plane, padding": ((3, 5, 33), (15, 70), 80, (5, 30)),
    "whole plane, valid only": ((3, 5, 33), (15, 70), 80, (5, 30), 1, False, False),
    "many planes": ((2, 3, 50, 3, 2), 2, 1),
    "bands": ((1, 67, 300), 3, 2, 1),
    "rows joined": ((6, 1, 150), (1, 3), (1, 2), (0, 1)),
    **LANES,
}


@pytest.mark.parametrize("variant", POOL_VARIANTS)
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_avg(variant, isa, dtype):
    for shape, *arguments in AVG_CASES.values():
        x = fill_like("normal", shape, dtype)
        check_avg(x, geometry(shape, *arguments), variant, isa, 2)


# ---------------------------------------------------------------------------------- uneven windows


def cells_of(n, cells):
    """Where each cell of n elements begins and ends."""
    return [(i * n // cells, -((i + 1) * n // -cells)) for i in range(cells)]


CELL_CASES = [
    ((3, 5, 7), 2, 3), ((2, 4, 16), 3, 5), ((2, 9, 33), 4, 33), ((3, 3, 2), 7, 5),
    ((2, 1, 65), 1, 7), ((2, 17, 1), 5, 1), ((1, 2, 3, 5), 5, 2), ((2, 6, 6), 2, 3),
    ((40, 13, 13), 7, 7), ((2, 4, 4), 0, 3),
]  # fmt: skip


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["ties", "special"])
def test_cells_max(isa, dtype, kind):
    for shape, oh, ow in CELL_CASES:
        x = fill_like(kind, shape, dtype)
        out = (*shape[:-2], oh, ow)
        (y, y_check), (at, at_check) = fenced(out, dtype), fenced(out, np.int64, 99)
        adaptive_max_pool2d(x, oh, ow, out=(y, at), isa=isa, threads=2)
        y_check()
        at_check()
        planes, w = x.reshape(-1, *shape[-2:]), shape[-1]
        expected, positions = np.empty((2, len(planes), oh, ow))
        for i, (r0, r1) in enumerate(cells_of(shape[-2], oh)):
            for j, (s0, s1) in enumerate(cells_of(shape[-1], ow)):
                cell = planes[:, r0:r1, s0:s1].reshape(len(planes), -1)
                nan = np.isnan(cell)
                last = cell.shape[1] - 1 - nan[:, ::-1].argmax(1)
                # argmax takes the first of equal values, and the first element if all are -inf
                best = np.where(nan.any(1), last, np.where(nan, -np.inf, cell).argmax(1))
                expected[:, i, j] = cell[np.arange(len(planes)), best]
                positions[:, i, j] = (r0 + best // (s1 - s0)) * w + s0 + best % (s1 - s0)
        np.testing.assert_array_equal(y, expected.reshape(out))
        np.testing.assert_array_equal(at, positions.reshape(out))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_cells_avg(isa, dtype):
    eps = np.finfo(dtype).eps
    for shape, oh, ow in CELL_CASES:
        x = fill_like("normal", shape, dtype)
        dy = np.random.default_rng(1).standard_normal((*shape[:-2], oh, ow)).astype(dtype)
        y, y_check = fenced(dy.shape, dtype)
        adaptive_avg_pool2d(x, oh, ow, out=y, isa=isa, threads=2)
        y_check()
        dx, dx_check = fenced(shape, dtype)
        adaptive_avg_pool2d_backward(dy, *shape[-2:], out=dx, isa=isa, threads=2)
        dx_check()
        vertical, horizontal = (np.zeros((a, b)) for a, b in ((oh, shape[-2]), (ow, shape[-1])))
        for matrix in (vertical, horizontal):
            for i, (first, last) in enumerate(cells_of(matrix.shape[1], len(matrix))):
                matrix[i, first:last] = 1 / (last - first)
        # an average of k elements errs as those of even windows; an element has at most so many
        # shares as cells overlap it, each rounded twice
        k = (shape[-2] // max(1, oh) + 2) * (shape[-1] // max(1, ow) + 2)
        k += (oh // shape[-2] + 2) * (ow // shape[-1] + 2)
        for found, a, matrices in (
            (y, x, (vertical, horizontal)),
            (dx, dy, (vertical.T, horizontal.T)),
        ):
            exact, size = (matrices[0] @ b.astype("f8") @ matrices[1].T for b in (a, np.abs(a)))
            assert (np.abs(found - exact) <= k * eps * size).all()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_positions(isa, dtype):
    rng = np.random.default_rng(0)
    for planes, n, m in ((1, 1, 1), (3, 10, 4), (2, 5, 17), (0, 4, 4), (2, 3, 0)):
        x = rng.standard_normal((planes, n)).astype(dtype)
        at = rng.integers(0, n, (planes, m))
        g = rng.standard_normal((planes, m)).astype(dtype)
        y, check = fenced((planes, m), dtype)
        plane_gather(x, at, out=y, isa=isa, threads=2)
        check()
        np.testing.assert_array_equal(y, np.take_along_axis(x, at, 1))
        expected = np.zeros((planes, n))
        np.add.at(expected, (np.arange(planes)[:, None], at), g)
        found = plane_scatter(g, at, n, isa=isa, threads=2)
        np.testing.assert_allclose(found, expected, rtol=0, atol=8 * m * np.finfo(dtype).eps)
        expected[:] = 0
        for p, j in np.ndindex(planes, m):
            expected[p, at[p, j]] = g[p, j]
        found, check = fenced((planes, n), dtype)
        plane_scatter(g, at, n, False, out=found, isa=isa, threads=2)
        check()
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("isa", ISAS)
def test_avg_keeps_non_finite_values_in_their_windows(isa):
    x = np.ones((1, 6, 40), np.float32)
    x[0, 2, 5], x[0, 3, 20] = np.nan, np.inf
    y = avg_pool2d(x, geometry(x.shape, 2), isa=isa)
    expected = np.ones((1, 3, 20))
    expected[0, 1, 2], expected[0, 1, 10] = np.nan, np.inf
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", MAX_CASES)
def test_max_torch(dtype, case):
    """PyTorch's maxima, positions and gradients."""
    torch = pytest.importorskip("torch")
    shape, k, *rest = MAX_CASES[case]
    stride, pad, dil, ceil = (*rest, *(None, 0, 1, False)[len(rest) :])
    g = geometry(shape, k, *rest)
    x = fill_like("special", (g.planes, 1, *shape[-2:]), dtype)
    t = torch.tensor(x, requires_grad=True)
    expected, indices = torch.nn.functional.max_pool2d(
        t, k, stride, pad, dil, ceil, return_indices=True
    )
    y, taps = max_pool2d(x, g)
    np.testing.assert_array_equal(y, expected.detach().numpy())
    np.testing.assert_array_equal(positions_from_taps(taps, g), indices.numpy())
    dy = np.random.default_rng(2).standard_normal(y.shape).astype(dtype)
    expected.backward(torch.tensor(dy))
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(
        max_pool2d_scatter(dy, taps, g), t.grad.numpy(), rtol=9 * eps, atol=18 * eps
    )


@pytest.mark.parametrize("case", AVG_CASES)
def test_avg_torch(case):
    torch = pytest.importorskip("torch")
    shape, k, *rest = AVG_CASES[case]
    stride, pad, _, ceil, include, divisor = (*rest, *(None, 0, 1, False, True, 0)[len(rest) :])
    g = geometry(shape, k, *rest)
    x = fill_like("normal", (g.planes, 1, *shape[-2:]), "float64")
    t = torch.tensor(x, requires_grad=True)
    expected = torch.nn.functional.avg_pool2d(t, k, stride, pad, ceil, include, divisor or None)
    np.testing.assert_allclose(avg_pool2d(x, g), expected.detach(), rtol=1e-13, atol=1e-14)
    dy = np.random.default_rng(2).standard_normal(expected.shape)
    expected.backward(torch.tensor(dy))
    np.testing.assert_allclose(avg_pool2d_backward(dy, g), t.grad, rtol=1e-13, atol=1e-14)


sizes = st.tuples(st.integers(1, 40), st.integers(1, 40))
small = st.tuples(st.integers(1, 6), st.integers(1, 6))


@given(
    planes=st.integers(1, 3), hw=sizes, k=small, stride=small, dil=st.sampled_from([1, (1, 2), 3]),
    pad=st.tuples(st.integers(0, 3), st.integers(0, 3)), ceil=st.booleans(),
    include=st.booleans(), dtype=st.sampled_from(DTYPES), isa=st.sampled_from(ISAS),
    variant=st.sampled_from(POOL_VARIANTS), kind=st.sampled_from(["ties", "special"]),
)  # fmt: skip
def test_any_geometry(planes, hw, k, stride, dil, pad, ceil, include, dtype, isa, variant, kind):
    assume(pad[0] <= k[0] // 2 and pad[1] <= k[1] // 2)
    shape = (planes, *hw)
    g = geometry(shape, k, stride, pad, dil, ceil, include)
    assume(g.oh > 0 and g.ow > 0)
    assume(inside(g).any((-1, -2)).all())
    check_max(fill_like(kind, shape, dtype), g, variant, isa, 3)
    g = geometry(shape, k, stride, pad, 1, ceil, include)
    check_avg(fill_like("normal", shape, dtype), g, variant, isa, 3)


@pytest.mark.parametrize("shape", [(0, 4, 4), (0, 3, 4, 4)])
def test_no_planes(shape):
    g = geometry(shape, 2)
    x = np.empty(shape, np.float32)
    y, taps = max_pool2d(x, g)
    assert y.shape == taps.shape == (*shape[:-2], 2, 2)
    assert max_pool2d_scatter(y, taps, g).shape == shape
    assert max_pool2d_gather(x, taps, g).shape == y.shape
    assert avg_pool2d(x, g).shape == y.shape
    assert avg_pool2d_backward(y, g).shape == shape


@pytest.mark.parametrize("variant", POOL_VARIANTS)
def test_no_windows(variant):
    """Gradients of no output at all are zero, not whatever the memory held."""
    g = geometry((2, 5, 6), 2)._replace(oh=0)
    dy = np.empty((2, 0, 3), np.float32)
    out = np.full((2, 5, 6), np.nan, np.float32)
    taps = np.empty((2, 0, 3), np.uint8)
    assert not max_pool2d_scatter(dy, taps, g, out=out, variant=variant).any()
    out[:] = np.nan
    assert not avg_pool2d_backward(dy, g, out=out, variant=variant).any()


# -------------------------------------------------------------------------------- threads and fork


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("arguments", [(2,), (3, 2, 1), (5, 3, 2), (3, 1, 1)])
def test_threads_do_not_change_bits(isa, dtype, arguments):
    shape = (9, 7, 83, 61)
    x = fill_like("normal", shape, dtype)
    g = geometry(shape, *arguments)

    def everything(threads):
        options = {"isa": isa, "threads": threads}
        y, taps = max_pool2d(x, g, **options)
        return [
            y, taps, max_pool2d_scatter(y, taps, g, **options),
            max_pool2d_gather(x, taps, g, **options), avg_pool2d(x, g, **options),
            avg_pool2d_backward(y, g, **options),
        ]  # fmt: skip

    one = everything(1)
    for threads in (2, 3, 7):
        for a, b in zip(one, everything(threads)):
            assert a.tobytes() == b.tobytes()


def test_several_python_threads_at_once():
    shape = (16, 8, 40, 40)
    x = fill_like("normal", shape, "float32")
    g = geometry(shape, 3, 2, 1)
    expected = max_pool2d(x, g)[0].tobytes()
    wrong = []

    def work():
        for _ in range(20):
            if max_pool2d(x, g)[0].tobytes() != expected:
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(5)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_fork_after_use():
    """In its own process: a hang must not take the suite with it."""
    program = """
import os, sys
import numpy as np
from fastdl import _kernels
x = np.random.default_rng(0).standard_normal((64, 16, 64, 64)).astype("f4")
g = (1024, 64, 64, 32, 32, 2, 2, 2, 2, 0, 0, 1, 1, 0, 0, 1, 0)
before = _kernels.max_pool2d(x, g, threads=4)[0]
child = os.fork()
if child == 0:
    same = (_kernels.max_pool2d(x, g, threads=4)[0] == before).all()
    os._exit(0 if same else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


# ------------------------------------------------------------------------------------ bad arguments


@pytest.mark.parametrize("variant", POOL_VARIANTS)
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(("shape", "k"), [((40, 6, 6), 2), ((2, 6, 80), 2), ((2, 9, 90), 3)])
def test_taps_outside_the_window(variant, isa, shape, k):
    """Whatever way an output takes, a tap that is none is found before it is followed."""
    g = geometry(shape, k)
    taps = np.zeros((shape[0], g.oh, g.ow), np.uint8)
    dy = np.ones(taps.shape, np.float32)
    max_pool2d_scatter(dy, taps, g, variant=variant, isa=isa)
    taps[-1, -1, -1] = k * k
    with pytest.raises(ValueError, match="taps must lie in"):
        max_pool2d_scatter(dy, taps, g, variant=variant, isa=isa)


def test_gradients_beyond_the_caches():
    """The same as within them, at addresses that are no multiple of a vector."""
    for k, side in ((2, 100), (3, 99)):
        g = geometry((900, side, side), k)
        memory = np.empty(900 * side * side + 3, np.float32)[3:]
        taps = (np.arange(900 * g.oh * g.ow) % (k * k)).astype(np.uint8).reshape(900, g.oh, g.ow)
        dy = np.arange(taps.size, dtype=np.float32).reshape(taps.shape)
        dx = max_pool2d_scatter(dy, taps, g, out=memory.reshape(900, side, side))
        part = slice(0, 900, 300)
        few = max_pool2d_scatter(dy[part].copy(), taps[part].copy(), g._replace(planes=3))
        np.testing.assert_array_equal(dx[part], few)


@pytest.mark.parametrize("variant", POOL_VARIANTS)
def test_taps_in_the_padding(variant):
    """No max pooling makes them, so they must do no harm: they scatter nothing and gather 0."""
    shape = (2, 5, 7)
    g = geometry(shape, 3, 2, 1)
    taps = np.zeros((2, g.oh, g.ow), np.uint8)  # the upper left corner of every window
    dy = np.ones(taps.shape, np.float32)
    dx, check = fenced(shape, np.float32)
    max_pool2d_scatter(dy, taps, g, out=dx, variant=variant)
    check()
    expected = np.zeros(shape)
    expected[:, 1:4:2, 1:6:2] = 1
    np.testing.assert_array_equal(dx, expected)
    gathered = max_pool2d_gather(np.ones(shape, np.float32), taps, g)
    assert not gathered[:, 0].any()
    assert not gathered[:, :, 0].any()
    assert (gathered[:, 1:, 1:] == 1).all()


X = np.zeros((2, 6, 8), np.float32)
G = geometry(X.shape, 2)
TAPS = np.zeros((2, 3, 4), np.uint8)
Y = np.zeros((2, 3, 4), np.float32)
WIDE = geometry((2, 20, 20), 18)
BAD = {
    "max_pool2d: x must be float32 or float64": (TypeError, lambda: max_pool2d(X.astype("i4"), G)),
    "max_pool2d: x must be C-contiguous": (ValueError, lambda: max_pool2d(X[:, :, ::-1], G)),
    "max_pool2d: x .* with 2 planes": (ValueError, lambda: max_pool2d(X[:1], G)),
    "max_pool2d: geom must be 17 integers": (ValueError, lambda: max_pool2d(X, G[:-1])),
    "max_pool2d: geom must be 17": (ValueError, lambda: max_pool2d(X, ("a",) * 17)),
    "max_pool2d: geom has a size out of range": (
        ValueError,
        lambda: max_pool2d(X, G._replace(stride_w=0)),
    ),
    "avg_pool2d: geom has a size out of range": (
        ValueError,
        lambda: avg_pool2d(X, G._replace(kh=2**62)),
    ),
    "max_pool2d: geom has windows wholly in the padding": (
        ValueError,
        lambda: max_pool2d(X, G._replace(oh=4)),
    ),
    "avg_pool2d: geom has windows wholly in the padding": (
        ValueError,
        lambda: avg_pool2d(X, G._replace(pad_w=2, pad_right=2)),
    ),
    "max_pool2d: unknown variant 'fast'": (ValueError, lambda: max_pool2d(X, G, variant="fast")),
    "max_pool2d: out must be a writable": (ValueError, lambda: max_pool2d(X, G, out=(Y, Y))),
    "max_pool2d_scatter: taps must be uint8": (
        TypeError,
        lambda: max_pool2d_scatter(Y, TAPS.astype("i8"), G),
    ),
    "max_pool2d_scatter: taps must be int32": (
        TypeError,
        lambda: max_pool2d_scatter(np.zeros((2, 1, 1)), np.zeros((2, 1, 1), np.uint8), WIDE),
    ),
    r"max_pool2d_scatter: taps must lie in \[0, 4\)": (
        ValueError,
        lambda: max_pool2d_scatter(Y, TAPS + np.uint8(4), G),
    ),
    r"max_pool2d_gather: taps must lie in \[0, 324\)": (
        ValueError,
        lambda: max_pool2d_gather(np.zeros((2, 20, 20)), np.full((2, 1, 1), -1, np.int32), WIDE),
    ),
    "max_pool2d_gather: taps must be C-contiguous": (
        ValueError,
        lambda: max_pool2d_gather(X, TAPS[:, :2], G),
    ),
    "adaptive_max_pool2d: x must have 2 dimensions": (
        ValueError,
        lambda: adaptive_max_pool2d(X[0, 0], 1, 1),
    ),
    "adaptive_max_pool2d: a size is out of range": (
        ValueError,
        lambda: adaptive_max_pool2d(X[:, :0], 1, 1),
    ),
    "adaptive_avg_pool2d: a size is out of range": (
        ValueError,
        lambda: adaptive_avg_pool2d(X, -1, 2**62),
    ),
    "adaptive_avg_pool2d: sizes must be ints": (
        ValueError,
        lambda: adaptive_avg_pool2d(X, 1, 2**63),
    ),
    "adaptive_avg_pool2d_backward: dy must be C-contiguous": (
        ValueError,
        lambda: adaptive_avg_pool2d_backward(X[:, ::2], 9, 9),
    ),
    r"plane_gather: positions must lie in \[0, 8\)": (
        ValueError,
        lambda: plane_gather(X[0], np.full((6, 1), 8)),
    ),
    r"plane_scatter: positions must lie in \[0, 8\)": (
        ValueError,
        lambda: plane_scatter(X[0], np.full((6, 8), -1), 8),
    ),
    "plane_scatter: positions must have shape": (
        ValueError,
        lambda: plane_scatter(X[0], np.zeros((6, 7), int), 8),
    ),
    "plane_gather: positions must be int64": (
        TypeError,
        lambda: plane_gather(X[0], np.zeros((6, 7), np.int32)),
    ),
    "plane_gather: positions must have 6 planes": (
        ValueError,
        lambda: plane_gather(X[0], np.zeros((5, 7), int)),
    ),
    "plane_scatter: size is out of range": (
        ValueError,
        lambda: plane_scatter(X[0], np.zeros((6, 8), int), -1),
    ),
    "avg_pool2d: average pooling has no dilation": (
        ValueError,
        lambda: avg_pool2d(X, geometry(X.shape, 2, 2, 0, 2)),
    ),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_arguments(message):
    error, call = BAD[message]
    with pytest.raises(error, match=message):
        call()
