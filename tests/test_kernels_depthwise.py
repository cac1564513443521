"""Depthwise convolution: every pass of csrc/conv/depthwise.c against the definition in float64."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_kernels_conv import (
    DTYPES,
    ISAS,
    arrays,
    cast,
    check,
    expected,
    fenced,
    geometry,
    oracle,
    run,
)

from fastdl import _kernels


def depthwise(n, c, image, filters, stride=1, pad=0, dil=1, multiplier=1, more=(0, 0)):
    return geometry(n, c, image, c * multiplier, filters, stride, pad, dil, c, more)


# Rows of 1 to several vectors of each tier, images of fewer rows than are computed at a time, every
# filter that has code of its own, others, and borders of all kinds.
CASES = {
    **{f"3x3, {w} wide": depthwise(2, 3, (5, w), 3, pad=1) for w in (1, 2, 7, 8, 9, 16, 17, 56)},
    **{f"3x3, {h} high": depthwise(2, 3, (h, 20), 3, pad=1) for h in (1, 2, 3, 4, 6, 9)},
    **{
        f"{r}x{r}, stride {stride}": depthwise(2, 3, (13, 38), r, stride, pad=r // 2)
        for r in (3, 5, 7)
        for stride in (1, 2)
    },
    "3x3, stride 2, odd sizes": depthwise(2, 3, (9, 41), 3, 2, pad=1),
    "3x3, stride 2, padding 0": depthwise(2, 3, (12, 34), 3, 2),
    "3x3, stride 2, 2 wide": depthwise(3, 2, (4, 2), 3, 2, pad=1),
    "5x5, stride 2, padding 1": depthwise(1, 3, (11, 36), 5, 2, pad=1),
    "5x5, 7 wide": depthwise(2, 5, 7, 5, pad=2),
    "7x7, 7 wide": depthwise(2, 5, 7, 7, pad=3),
    "valid": depthwise(2, 3, (9, 21), 3),
    "padding beyond the filter": depthwise(2, 3, (5, 19), 3, pad=5),
    "padding beyond the filter, stride 2": depthwise(2, 3, (5, 19), 3, 2, pad=5),
    "one value": depthwise(1, 1, 1, 3, pad=1),
    "2x4": depthwise(2, 3, (9, 20), (2, 4), pad=(1, 2)),
    "2x4, stride 3, 2": depthwise(2, 3, (11, 23), (2, 4), (3, 2), pad=(1, 2)),
    "a row": depthwise(2, 3, (1, 150), (1, 31), pad=(0, 15)),
    "a row, stride 2": depthwise(2, 3, (1, 150), (1, 9), (1, 2), pad=(0, 4)),
    "a column": depthwise(2, 3, (70, 1), (9, 1), pad=(4, 0)),
    "dilation": depthwise(2, 3, (14, 30), 3, pad=(2, 3), dil=(2, 3)),
    "dilation beyond the image": depthwise(2, 3, (4, 6), 3, pad=9, dil=9),
    "two filters a channel": depthwise(2, 3, (9, 20), 3, pad=1, multiplier=2),
    "three filters a channel, stride 2": depthwise(2, 3, (9, 20), 5, 2, pad=2, multiplier=3),
    "more padding below": depthwise(2, 3, (9, 8), 3, 2, pad=0, more=(1, 1)),
    "no image": depthwise(0, 3, 5, 3),
    "no filter": depthwise(2, 3, 5, 3, multiplier=0),
    "no output": depthwise(2, 3, (5, 2), 3),
}


def run_depthwise(g, a, **options):
    return run(g, a, variant="depthwise", **options)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.__name__)
@pytest.mark.parametrize("name", CASES)
def test_agrees_with_the_definition(name, dtype, isa):
    """Outputs begin as NaN between guards: all of each is written, and nothing else."""
    g = CASES[name]
    a = arrays(g)
    b = cast(a, dtype)
    results = run_depthwise(g, b, isa=isa, threads=1)
    check(results, expected(g, a), dtype)
    calls = (
        (_kernels.conv2d, (b.x, b.w, b.bias)),
        (_kernels.conv2d_grad_input, (b.dy, b.w)),
        (_kernels.conv2d_grad_weight, (b.x, b.dy)),
    )
    for (function, operands), wanted in zip(calls, results, strict=True):
        memory = np.full(wanted.size + 128, np.nan, dtype)
        memory[:64] = memory[-64:] = 12345
        out = memory[64:-64].reshape(wanted.shape)
        function(*operands, g, out=out, variant="depthwise", isa=isa, threads=2)
        np.testing.assert_array_equal(out, wanted)
        assert (memory[:64] == 12345).all()
        assert (memory[-64:] == 12345).all()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", ["3x3, 17 wide", "3x3, stride 2", "5x5, stride 1", "a row"])
def test_the_same_bits_for_any_number_of_threads(name, isa):
    g = CASES[name]._replace(n=40)
    a = cast(arrays(g), np.float32)
    one = run_depthwise(g, a, isa=isa, threads=1)
    for threads in (2, 3, 7):
        for p, q in zip(one, run_depthwise(g, a, isa=isa, threads=threads), strict=True):
            np.testing.assert_array_equal(p, q)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["3x3, 17 wide", "3x3, stride 2", "7x7, 7 wide", "2x4", "a row"])
def test_nan_and_infinity_reach_what_depends_on_them_only(name, value, isa):
    g = CASES[name]
    a = cast(arrays(g), np.float32)
    ones = a._replace(x=np.ones_like(a.x), w=np.ones_like(a.w), dy=np.ones_like(a.dy))
    for at in ((0, 0, 0, 0), (-1, -1, -1, -1), (0, -1, g.h // 2, g.w - 1)):
        x = a.x.copy()
        x[at] = value
        reach = oracle(g, ones._replace(x=(x == value) | np.isnan(x)))
        y, _, dw = run_depthwise(g, a._replace(x=x), isa=isa, threads=1)
        np.testing.assert_array_equal(~np.isfinite(y), reach[0] > 0)
        np.testing.assert_array_equal(~np.isfinite(dw), reach[2] > 0)
    for at in ((0, 0, 0, 0), (-1, -1, -1, -1), (0, -1, g.oh // 2, g.ow - 1)):
        dy = a.dy.copy()
        dy[at] = value
        reach = oracle(g, ones._replace(dy=(dy == value) | np.isnan(dy)))
        _, dx, dw = run_depthwise(g, a._replace(dy=dy), isa=isa, threads=1)
        np.testing.assert_array_equal(~np.isfinite(dx), reach[1] > 0)
        assert not np.isfinite(dw[reach[2] > 0]).any()


sizes = st.integers(1, 5)


@settings(max_examples=150, deadline=None)
@given(
    n=st.integers(1, 3),
    c=sizes,
    multiplier=st.integers(1, 3),
    h=st.integers(1, 20),
    w=st.integers(1, 40),
    r=st.integers(1, 8),
    s=st.integers(1, 8),
    stride=st.sampled_from([(1, 1), (2, 2), (1, 2), (3, 2)]),
    pad=st.tuples(st.integers(0, 6), st.integers(0, 6)),
    dil=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    more=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    isa=st.sampled_from(ISAS),
    dtype=st.sampled_from(DTYPES),
)
def test_any_geometry(n, c, multiplier, h, w, r, s, stride, pad, dil, more, isa, dtype):
    dil = dil if stride == (1, 1) else 1
    g = depthwise(n, c, (h, w), (r, s), stride, pad, dil, multiplier, more)
    g = g._replace(oh=max(0, g.oh), ow=max(0, g.ow))
    a = arrays(g)
    check(run_depthwise(g, cast(a, dtype), isa=isa), expected(g, a), dtype)


def test_refuses_what_it_does_not_compute():
    for g in (geometry(1, 4, 9, 4, 3, groups=2), depthwise(1, 4, 9, 3, stride=3)):
        a = cast(arrays(g), np.float32)
        with pytest.raises(ValueError, match="'depthwise' requires"):
            run_depthwise(g, a)


def read_fenced():
    for g in CASES.values():
        for dtype in DTYPES:
            a = cast(arrays(g), dtype)
            a = type(a)(*map(fenced, a))
            for isa in ISAS:
                run_depthwise(g, a, isa=isa, threads=1)


@pytest.mark.skipif(sys.platform != "linux", reason="mprotect through ctypes is written for Linux")
def test_reads_nothing_past_its_operands():
    """In a process of its own, since a read past the end kills it."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-X", "faulthandler", __file__]
    done = subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=250, check=False
    )
    assert done.returncode == 0, done.stderr


if __name__ == "__main__":
    read_fenced()
