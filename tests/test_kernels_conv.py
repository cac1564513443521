"""2-d convolution kernels: every variant, instruction set and dtype, three passes.

The oracle gathers every window by index in float64 NumPy. Results are compared with the error bound
of a sum in any order: |error| <= (terms + 2) * eps * (sum of the absolute values of the terms).
"""

import ctypes
import mmap
import os
import subprocess
import sys
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastdl import _kernels
from fastdl.ops.conv import Conv2dGeometry

VARIANTS = ("naive", "im2col", "implicit")
ISAS = _kernels.isa_available()
DTYPES = (np.float32, np.float64)


def pair(value):
    return value if isinstance(value, tuple) else (value, value)


def geometry(n, c, hw, k, rs, stride=1, pad=0, dil=1, groups=1, more=0):
    """Ints or pairs; `more`: padding below and to the right beyond that above and to the left."""
    (h, w), (r, s), (sh, sw), (ph, pw), (dh, dw) = map(pair, (hw, rs, stride, pad, dil))
    more_h, more_w = pair(more)
    oh = (h + 2 * ph + more_h - (r - 1) * dh - 1) // sh + 1
    ow = (w + 2 * pw + more_w - (s - 1) * dw - 1) // sw + 1
    return Conv2dGeometry(n, c, h, w, k, r, s, oh, ow, sh, sw, ph, pw, dh, dw, groups)


CASES = {
    "one value": geometry(1, 1, 1, 1, 1),
    "one pixel": geometry(3, 5, 1, 7, 1),
    "one pixel, padded": geometry(2, 3, 1, 4, 3, pad=1),
    "1x1": geometry(3, 17, (5, 7), 13, 1),
    "1x1, several pieces of an image": geometry(2, 19, (57, 59), 18, 1),
    "1x1, whole vectors": geometry(3, 21, 8, 20, 1),
    "1x1, images that end inside a vector": geometry(3, 9, 11, 10, 1),
    "1x1, several channel blocks": geometry(2, 401, (5, 13), 33, 1),
    "1x1, stride 2": geometry(2, 8, (7, 8), 9, 1, stride=2),
    "1x1, stride 2 along the one pixel of a row": geometry(2, 8, (7, 1), 9, 1, stride=(1, 2)),
    "1x1 in groups, several pieces": geometry(3, 6, (29, 31), 10, 1, groups=2),
    "filter as large as the image": geometry(5, 3, (6, 7), 4, (6, 7)),
    "filter larger than the image": geometry(2, 2, (3, 4), 3, (5, 7), pad=2),
    "lenet 1": geometry(3, 1, 28, 6, 5, pad=2),
    "lenet 2": geometry(9, 6, 14, 16, 5),
    "digits": geometry(17, 16, 8, 32, 3, pad=1),
    "3 channels": geometry(2, 3, 32, 32, 3, pad=1),
    "stem": geometry(1, 3, 38, 20, 7, stride=2, pad=3),
    "11x11, stride 4": geometry(1, 3, 39, 7, 11, stride=4, pad=2),
    "11x11, stride 4, long rows": geometry(2, 2, (23, 230), 3, 11, stride=4, pad=2),
    "3 columns of every 4": geometry(2, 3, (9, 150), 4, 3, stride=4),
    "5x8, stride 3": geometry(2, 3, (17, 70), 4, (5, 8), stride=3, pad=(1, 4)),
    "dilation as large as the stride": geometry(2, 3, (20, 70), 4, 3, stride=2, pad=2, dil=2),
    "7x7 images": geometry(16, 19, 7, 15, 3, pad=1),
    "stride beyond the filter": geometry(2, 4, (11, 13), 5, (2, 1), stride=(3, 4)),
    "stride beyond the image": geometry(2, 3, (2, 3), 4, 2, stride=5, pad=(1, 0)),
    "dilation 2, 3": geometry(2, 5, (17, 19), 6, 3, pad=(2, 3), dil=(2, 3)),
    "dilation 9, stride 2": geometry(1, 2, 40, 3, 3, stride=2, pad=9, dil=9),
    "dilation and stride": geometry(2, 3, (23, 29), 4, (3, 4), stride=(3, 2), pad=2, dil=(2, 5)),
    "few channels, rows no window reaches": geometry(4, 4, (5, 34), 16, (2, 3), (3, 2), (2, 0)),
    "few channels, columns no window reaches": geometry(2, 1, (9, 37), 5, 2, (1, 5), more=(0, 3)),
    "few channels, dilation": geometry(2, 2, (19, 40), 20, (3, 7), (2, 3), (1, 4), dil=(1, 2)),
    "few channels, a wide filter": geometry(1, 1, (8, 60), 12, (3, 41), pad=(1, 20)),
    "few channels in groups": geometry(5, 4, 12, 40, 5, pad=1, groups=2),
    "groups": geometry(3, 6, (9, 10), 15, 3, pad=1, groups=3),
    "groups, stride 2": geometry(2, 8, 11, 4, 3, stride=2, pad=1, groups=2),
    "depthwise": geometry(2, 7, (12, 9), 7, 3, pad=1, groups=7),
    "depthwise, two filters a channel": geometry(2, 5, 10, 10, 3, stride=2, pad=1, groups=5),
    "rectangular": geometry(2, 3, (7, 31), 5, (5, 2), stride=(2, 1), pad=(1, 0)),
    "more padding below": geometry(2, 3, (9, 8), 4, 4, pad=1, more=(1, 2)),
    "far more padding below": geometry(1, 2, (3, 4), 3, 2, more=(9, 17)),
    "windows in the padding only": geometry(1, 2, 3, 3, 2, pad=5),
    "one row of 3001": geometry(1, 3, (1, 3001), 5, (1, 7), pad=(0, 3)),
    "one column of 1601": geometry(1, 2, (1601, 1), 3, (5, 1), stride=(2, 1)),
    "several pieces": geometry(2, 4, (61, 47), 3, 3, pad=1),
    "several channel blocks": geometry(2, 131, 6, 29, 3, pad=1),
    "several filter row blocks": geometry(1, 2, 33, 3, 29, pad=2),
    "many channels, few outputs": geometry(3, 47, 6, 61, 3, stride=2, pad=1),
    "many channels, one image": geometry(1, 45, 9, 64, 3, pad=1),
    "many channels, 1x1": geometry(2, 65, (3, 5), 49, 1),
    "many channels, 4x4, stride 2": geometry(5, 61, 8, 43, 4, stride=2, pad=1),
    "many channels in groups": geometry(2, 98, (5, 6), 94, (3, 2), pad=1, groups=2),
    "many channels, a large filter": geometry(1, 44, 20, 46, 19, pad=2),
    "many channels, rows no window reaches": geometry(2, 50, (11, 13), 52, (2, 1), stride=(3, 4)),
    "no image": geometry(0, 3, 5, 4, 3),
    "no filter": geometry(2, 3, 5, 0, 3),
    "no channel": geometry(2, 0, 5, 4, 3),
    "no output": geometry(2, 3, (5, 2), 4, (3, 3)),
    **{f"{k} filters": geometry(2, 3, 9, k, 3, pad=1) for k in (1, 5, 6, 7, 13, 14, 15, 29)},
    **{f"{c} channels": geometry(2, c, (7, 11), 4, (3, 2)) for c in (1, 2, 7, 14, 15, 23)},
}


class Arrays(NamedTuple):
    x: np.ndarray
    w: np.ndarray
    bias: np.ndarray
    dy: np.ndarray


def arrays(g, seed=0):
    """Normal values, rounded to float32 so that both dtypes see the same."""
    rng = np.random.default_rng(seed)
    shapes = (g.n, g.c, g.h, g.w), (g.k, g.c // g.groups, g.r, g.s), (g.k,), (g.n, g.k, g.oh, g.ow)
    return Arrays(*(rng.standard_normal(s).astype(np.float32).astype(np.float64) for s in shapes))


def windows(g):
    """Rows (oh, r) and columns (ow, s) that outputs read, and which of them lie in the image."""
    u = np.arange(g.oh)[:, None] * g.stride_h + np.arange(g.r) * g.dil_h - g.pad_h
    v = np.arange(g.ow)[:, None] * g.stride_w + np.arange(g.s) * g.dil_w - g.pad_w
    return u, v, (u >= 0) & (u < g.h), (v >= 0) & (v < g.w)


def by_group(g, x):
    """(n, channels, ...) -> (n, groups, channels / groups, ...)"""
    return x.reshape(x.shape[0], g.groups, x.shape[1] // g.groups, *x.shape[2:])


def patches(g, x):
    """(n, groups, c, oh, r, ow, s): what every output multiplies, zero outside the image."""
    u, v, inside_u, inside_v = windows(g)
    rows = np.where(inside_u, u, 0)[:, :, None, None]
    cols = np.where(inside_v, v, 0)[None, None]
    taken = by_group(g, x)[:, :, :, rows, cols] if g.h and g.w else 0
    return np.where(inside_u[:, :, None, None] & inside_v, taken, 0)


def oracle(g, a):
    """y without bias, dx, dw in float64."""
    x, w, _, dy = a
    p = patches(g, x)
    wg = w.reshape(g.groups, g.k // g.groups, g.c // g.groups, g.r, g.s)
    dyg = by_group(g, dy)
    y = np.einsum("ngcirjs,gkcrs->ngkij", p, wg, optimize=True).reshape(dy.shape)
    dw = np.einsum("ngcirjs,ngkij->gkcrs", p, dyg, optimize=True).reshape(w.shape)
    dp = np.einsum("ngkij,gkcrs->ngcirjs", dyg, wg, optimize=True)
    u, v, inside_u, inside_v = windows(g)
    dx = np.zeros((g.n, g.groups, g.c // g.groups, g.h, g.w))
    for i, r in zip(*np.nonzero(inside_u)):
        for j, s in zip(*np.nonzero(inside_v)):
            dx[..., u[i, r], v[j, s]] += dp[:, :, :, i, r, j, s]
    return y, dx.reshape(x.shape), dw


def expected(g, a):
    """Results and error bounds per eps of each pass."""
    results = oracle(g, a)
    sums = oracle(g, Arrays(*map(np.abs, a)))
    taps = g.r * g.s
    terms = (
        g.c // g.groups * taps + 1,
        g.k // g.groups * taps,
        g.n * g.oh * g.ow,
    )
    bounds = [(t + 2) * s for t, s in zip(terms, sums)]
    bias = a.bias[:, None, None]
    return (
        (results[0] + bias, bounds[0] + (terms[0] + 2) * np.abs(bias)),
        (results[1], bounds[1]),
        (results[2], bounds[2]),
    )


EXPECTED = {}


def expected_of(name):
    if name not in EXPECTED:
        EXPECTED[name] = expected(CASES[name], arrays(CASES[name]))
    return EXPECTED[name]


def run(g, a, **options):
    """y, dx, dw by the kernels; a: arrays of one dtype."""
    x, w, bias, dy = a
    return (
        _kernels.conv2d(x, w, bias, g, **options),
        _kernels.conv2d_grad_input(dy, w, g, **options),
        _kernels.conv2d_grad_weight(x, dy, g, **options),
    )


def cast(a, dtype):
    return Arrays(*(np.ascontiguousarray(v, dtype) for v in a))


def check(results, wanted, dtype):
    eps = np.finfo(dtype).eps
    for name, result, (value, bound) in zip(("y", "dx", "dw"), results, wanted):
        assert result.dtype == dtype, name
        assert result.shape == value.shape, name
        # the oracle itself rounds at float64: twice the bound there
        error = np.abs(result - value) - bound * (eps + np.finfo(np.float64).eps)
        assert np.isfinite(result).all(), name
        assert not (error > 0).any(), f"{name}: {error.max()}"


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.__name__)
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", CASES)
def test_agrees_with_the_definition(name, variant, dtype, isa):
    g = CASES[name]
    a = cast(arrays(g), dtype)
    check(run(g, a, variant=variant, isa=isa, threads=1), expected_of(name), dtype)


@pytest.mark.parametrize("name", [name for name, g in CASES.items() if 0 not in g[:9]])
def test_agrees_with_torch(name):
    torch = pytest.importorskip("torch")
    g = CASES[name]
    a = arrays(g)
    x, w, bias = (torch.from_numpy(v).requires_grad_() for v in (a.x, a.w, a.bias))
    need_h = (g.oh - 1) * g.stride_h + (g.r - 1) * g.dil_h + 1 - g.h - g.pad_h
    need_w = (g.ow - 1) * g.stride_w + (g.s - 1) * g.dil_w + 1 - g.w - g.pad_w
    padded = torch.nn.functional.pad(x, (g.pad_w, max(0, need_w), g.pad_h, max(0, need_h)))
    y = torch.nn.functional.conv2d(
        padded, w, bias, (g.stride_h, g.stride_w), 0, (g.dil_h, g.dil_w), g.groups
    )[:, :, : g.oh, : g.ow]
    y.backward(torch.from_numpy(a.dy))
    wanted = [
        (v.detach().numpy(), bound) for v, (_, bound) in zip((y, x.grad, w.grad), expected_of(name))
    ]
    for dtype in DTYPES:
        check(run(g, cast(a, dtype), variant="implicit"), wanted, dtype)


@pytest.mark.parametrize("variant", VARIANTS)
def test_without_bias(variant):
    g = CASES["7x7 images"]
    a = cast(arrays(g), np.float64)
    y = _kernels.conv2d(a.x, a.w, None, g, variant=variant)
    value, bound = expected_of("7x7 images")[0]
    error = np.abs(y - (value - a.bias[:, None, None]))
    assert (error <= 2 * bound * np.finfo(np.float64).eps).all()


GUARD = 64
GUARDED = (
    "1x1",
    "1x1, several pieces of an image",
    "1x1, whole vectors",
    "1x1, several channel blocks",
    "1x1, stride 2",
    "1x1 in groups, several pieces",
    "lenet 2",
    "stem",
    "stride beyond the filter",
    "stride beyond the image",
    "digits",
    "few channels, dilation",
    "few channels, rows no window reaches",
    "15 filters",
    "one row of 3001",
    "several pieces",
    "several channel blocks",
    "depthwise",
)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.__name__)
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", GUARDED)
def test_writes_all_of_the_output_and_nothing_else(name, variant, dtype, isa):
    """Outputs begin as NaN between guards; every element must be written, no guard may be."""
    g, a = CASES[name], cast(arrays(CASES[name]), dtype)
    calls = (
        (_kernels.conv2d, (a.x, a.w, a.bias), a.dy.shape),
        (_kernels.conv2d_grad_input, (a.dy, a.w), a.x.shape),
        (_kernels.conv2d_grad_weight, (a.x, a.dy), a.w.shape),
    )
    results = []
    for function, operands, shape in calls:
        size = int(np.prod(shape))
        memory = np.full(size + 2 * GUARD, np.nan, dtype)
        memory[:GUARD] = memory[-GUARD:] = 12345
        out = memory[GUARD:-GUARD].reshape(shape)
        result = function(*operands, g, out=out, variant=variant, isa=isa, threads=2)
        assert result is out
        assert (memory[:GUARD] == 12345).all()
        assert (memory[-GUARD:] == 12345).all()
        results.append(result)
    check(results, expected_of(name), dtype)


def fenced(array):
    """A copy of `array` that ends where a page begins which nobody may touch."""
    page = mmap.PAGESIZE
    size = -(-max(1, array.nbytes) // page) * page
    memory = mmap.mmap(-1, size + page)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mprotect(ctypes.c_void_p(address + size), ctypes.c_size_t(page), 0) == 0
    copy = np.frombuffer(memory, array.dtype, array.size, size - array.nbytes).reshape(array.shape)
    copy[...] = array
    return copy


def read_fenced():
    for name in GUARDED:
        g = CASES[name]
        for dtype in DTYPES:
            a = Arrays(*(fenced(v) for v in cast(arrays(g), dtype)))
            for isa in ISAS:
                for variant in VARIANTS:
                    run(g, a, variant=variant, isa=isa, threads=1)
                _kernels.conv2d_grad_weight(a.x, a.dy, g, variant="outer", isa=isa, threads=1)
                _kernels.conv2d(a.x, a.w, a.bias, g, variant="dots", isa=isa, threads=1)


@pytest.mark.skipif(sys.platform != "linux", reason="mprotect through ctypes is written for Linux")
def test_reads_nothing_past_its_operands():
    """In a process of its own, since a read past the end kills it."""
    command = [sys.executable, "-X", "faulthandler", __file__]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=250, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize(
    "name",
    [
        "1x1 in groups, several pieces",
        "lenet 2",
        "7x7 images",
        "rectangular",
        "more padding below",
        "dilation and stride",
    ],
)
def test_nan_and_infinity_reach_what_depends_on_them_only(name, value, variant, isa):
    g = CASES[name]
    a = cast(arrays(g), np.float32)
    ones = Arrays(*(np.ones_like(v) for v in a))
    last = (-1, -1)
    for n, c, u, v in ((0, 0, 0, 0), (-1, -1, *last), (0, -1, g.h // 2, g.w - 1)):
        x = a.x.copy()
        x[n, c, u, v] = value
        touched = ones._replace(x=(x == value) | np.isnan(x))
        reach = oracle(g, touched)
        y, _, dw = run(g, a._replace(x=x), variant=variant, isa=isa, threads=1)
        np.testing.assert_array_equal(~np.isfinite(y), reach[0] > 0)
        np.testing.assert_array_equal(~np.isfinite(dw), reach[2] > 0)
    for n, k, i, j in ((0, 0, 0, 0), (-1, -1, *last), (0, -1, g.oh // 2, g.ow - 1)):
        dy = a.dy.copy()
        dy[n, k, i, j] = value
        touched = ones._replace(dy=(dy == value) | np.isnan(dy))
        reach = oracle(g, touched)
        _, dx, dw = run(g, a._replace(dy=dy), variant=variant, isa=isa, threads=1)
        np.testing.assert_array_equal(~np.isfinite(dx), reach[1] > 0)
        assert not np.isfinite(dw[reach[2] > 0]).any()
        if variant == "naive":  # the others multiply dy by the zeros of the padding
            assert np.isfinite(dw[reach[2] == 0]).all()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("variant", ["im2col", "implicit"])
@pytest.mark.parametrize(
    "g",
    [
        geometry(64, 6, 14, 16, 5),
        geometry(64, 3, 32, 32, 3, pad=1),
        geometry(16, 48, 14, 40, 3, stride=2, pad=1),
        geometry(3, 8, 40, 12, 3, pad=1, groups=2),
        geometry(16, 96, 8, 130, 4, stride=2, pad=1),
        geometry(3, 70, (57, 59), 90, 1),
        geometry(16, 250, 8, 96, 1),
    ],
    ids=[
        "lenet 2",
        "cifar",
        "stride 2",
        "groups",
        "many channels, few outputs",
        "1x1",
        "small images",
    ],
)
def test_the_same_bits_for_any_number_of_threads(g, variant, isa):
    a = cast(arrays(g), np.float32)
    one = run(g, a, variant=variant, isa=isa, threads=1)
    for threads in (2, 3, 7):
        for p, q in zip(one, run(g, a, variant=variant, isa=isa, threads=threads)):
            np.testing.assert_array_equal(p, q)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.__name__)
@pytest.mark.parametrize("name", CASES)
def test_weight_gradient_by_outer_products(name, dtype, isa):
    """Against the definition, written between guards; the same bits for any number of threads."""
    g, a = CASES[name], cast(arrays(CASES[name]), dtype)
    memory = np.full(a.w.size + 2 * GUARD, np.nan, dtype)
    memory[:GUARD] = memory[-GUARD:] = 12345
    out = memory[GUARD:-GUARD].reshape(a.w.shape)
    options = {"variant": "outer", "isa": isa}
    _kernels.conv2d_grad_weight(a.x, a.dy, g, out=out, threads=1, **options)
    assert (memory[:GUARD] == 12345).all()
    assert (memory[-GUARD:] == 12345).all()
    check((out,), expected_of(name)[2:], dtype)
    for threads in (2, 3, 7):
        dw = _kernels.conv2d_grad_weight(a.x, a.dy, g, threads=threads, **options)
        np.testing.assert_array_equal(dw, out)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.__name__)
@pytest.mark.parametrize("name", CASES)
def test_forward_by_dot_products(name, dtype, isa):
    """Against the definition, written between guards; the same bits for any number of threads."""
    g, a = CASES[name], cast(arrays(CASES[name]), dtype)
    memory = np.full(a.dy.size + 2 * GUARD, np.nan, dtype)
    memory[:GUARD] = memory[-GUARD:] = 12345
    out = memory[GUARD:-GUARD].reshape(a.dy.shape)
    options = {"variant": "dots", "isa": isa}
    _kernels.conv2d(a.x, a.w, a.bias, g, out=out, threads=1, **options)
    assert (memory[:GUARD] == 12345).all()
    assert (memory[-GUARD:] == 12345).all()
    check((out,), expected_of(name)[:1], dtype)
    for threads in (2, 3, 7):
        y = _kernels.conv2d(a.x, a.w, a.bias, g, threads=threads, **options)
        np.testing.assert_array_equal(y, out)


sizes = st.integers(1, 5)


@settings(max_examples=150, deadline=None)
@given(
    n=st.integers(0, 3),
    c=sizes,
    k=st.integers(1, 17),
    h=st.integers(1, 20),
    w=st.integers(1, 20),
    r=sizes,
    s=sizes,
    stride=st.tuples(sizes, sizes),
    pad=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    dil=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    groups=st.integers(1, 3),
    more=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    variant=st.sampled_from(VARIANTS),
    isa=st.sampled_from(ISAS),
    dtype=st.sampled_from(DTYPES),
)
def test_any_geometry(n, c, k, h, w, r, s, stride, pad, dil, groups, more, variant, isa, dtype):
    g = geometry(n, c * groups, (h, w), k * groups, (r, s), stride, pad, dil, groups, more)
    g = g._replace(oh=max(0, g.oh), ow=max(0, g.ow))
    a = arrays(g)
    check(run(g, cast(a, dtype), variant=variant, isa=isa), expected(g, a), dtype)


def test_bad_arguments():
    g = geometry(2, 4, 6, 6, 3, pad=1, groups=2)
    x, w, bias, dy = cast(arrays(g), np.float32)
    conv2d = _kernels.conv2d
    with pytest.raises(ValueError, match=r"conv2d: x must be .* \(2, 4, 6, 6\), got \(2, 4, 6\)"):
        conv2d(x[..., 0], w, bias, g)
    with pytest.raises(ValueError, match=r"conv2d: w must be"):
        conv2d(x, w[:, :1], bias, g)
    with pytest.raises(ValueError, match="contiguous"):
        conv2d(x.transpose(0, 1, 3, 2), w, bias, g)
    with pytest.raises(TypeError, match="w must be an aligned float32 array, got float64"):
        conv2d(x, w.astype(np.float64), bias, g)
    with pytest.raises(TypeError, match="x must be float32 or float64, got int64"):
        conv2d(x.astype(np.int64), w, bias, g)
    with pytest.raises(ValueError, match="bias must have 6 values, got 5"):
        conv2d(x, w, bias[:5], g)
    with pytest.raises(ValueError, match="unknown variant 'fast'"):
        conv2d(x, w, bias, g, variant="fast")
    with pytest.raises(ValueError, match="'outer' does not compute this pass"):
        conv2d(x, w, bias, g, variant="outer")
    with pytest.raises(ValueError, match="isa"):
        conv2d(x, w, bias, g, isa="z80")
    with pytest.raises(ValueError, match="threads"):
        conv2d(x, w, bias, g, threads=-1)
    with pytest.raises(ValueError, match="dy must be"):
        _kernels.conv2d_grad_input(dy[:1], w, g)
    with pytest.raises(ValueError, match="dy must be"):
        _kernels.conv2d_grad_weight(x, dy[:1], g)
    with pytest.raises(ValueError, match="out must be"):
        conv2d(x, w, bias, g, out=np.empty((1, 2, 3, 4), np.float32))
    square = geometry(2, 3, 6, 3, 3, pad=1)
    a = cast(arrays(square), np.float32)
    with pytest.raises(ValueError, match="share no memory"):
        conv2d(a.x, a.w, a.bias, square, out=a.x)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stride_h": 0}, "strides and dilations"),
        ({"dil_w": 0}, "strides and dilations"),
        ({"r": 0}, "filter must not be empty"),
        ({"pad_h": -1}, "negative"),
        ({"oh": -1}, "negative"),
        ({"groups": 0}, "groups"),
        ({"groups": 3}, "groups must divide"),
        ({"stride_w": 1 << 40}, "too large"),
    ],
)
def test_bad_geometry(change, message):
    g = geometry(2, 4, 6, 6, 3, pad=1, groups=2)
    x, w, bias, dy = cast(arrays(g), np.float32)
    bad = g._replace(**change)
    for call in (
        lambda: _kernels.conv2d(x, w, bias, bad),
        lambda: _kernels.conv2d_grad_input(dy, w, bad),
        lambda: _kernels.conv2d_grad_weight(x, dy, bad),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(ValueError, match="16 numbers"):
        _kernels.conv2d(x, w, bias, g[:-1])


if __name__ == "__main__":
    read_fenced()
