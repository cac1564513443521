"""The study door: headers, sources, any rung by its name, the ladders."""

import doctest
import os
import re
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest

from fastdl import _baselines, _kernels, kernels, runtime
from fastdl.kernels import choosing, climbing, reading

FIELDS = ["Idea", "Removes", "Leaves", "Requires", "Checked", "Timed"]
EVERY = [(family, variant) for family, names in kernels.list().items() for variant in names]
EPS = np.finfo(np.float32).eps


def normal(*shape, dtype=np.float32):
    return np.random.default_rng(list(shape)).standard_normal(shape).astype(dtype)


def assert_close(found, expected, terms):
    """A float32 sum of `terms` products errs by about eps * sqrt(terms); a factor 8 is allowed."""
    assert found.shape == expected.shape
    error = np.abs(found - expected).max() / np.abs(expected).max()
    assert error <= 8 * EPS * np.sqrt(terms)


# ---- reading ------------------------------------------------------------------------------------


def test_list_has_the_ladders_in_the_order_they_are_climbed():
    found = kernels.list()
    assert found["gemm"][:6] == ("naive", "reordered", "blocked", "packed", "simd", "threaded")
    assert found["conv"][:4] == ("naive", "im2col", "implicit", "winograd")
    assert found["pool"][: len(_kernels.POOL_VARIANTS)] == _kernels.POOL_VARIANTS
    assert {"softmax", "cross_entropy"} <= set(found["nnops"])
    assert "map" in found["elementwise"]


@pytest.mark.parametrize(("family", "variant"), EVERY)
def test_every_kernel_says_what_it_is(family, variant):
    text = kernels.describe(family, variant)
    assert re.match(r"[\w.]+\.c: \S", text), "the first line names the file and what it does"
    found = [word for word in re.findall(r"^(\w+)\s", text, re.MULTILINE) if word in FIELDS]
    assert found == FIELDS
    assert "*/" not in text
    assert "F(" in kernels.source(family, variant)


def test_every_source_file_says_what_it_is():
    for path in reading.csrc().rglob("*.[ch]"):
        start = f"/* {path.name}: "
        assert path.read_text(encoding="utf-8").startswith(start), f"{path}: expected {start!r}"


def test_one_line_each():
    everything = kernels.describe()
    assert len(everything.splitlines()) == len(EVERY)
    assert kernels.describe("gemm") in everything


def test_texts_show_as_they_read():
    assert repr(kernels.describe("gemm", "naive")).count("\n") > 5


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(("gem",), "gemm"), (("gem", "naive"), "conv"), (("gemm", "fastest"), "blocked")],
)
def test_unknown_names_are_answered_with_the_known(arguments, named):
    with pytest.raises(ValueError, match=named):
        kernels.describe(*arguments)


def test_sources_come_with_a_wheel_or_beside_the_package(tmp_path, monkeypatch):
    here = tmp_path / "site-packages" / "fastdl" / "kernels" / "reading.py"
    here.parent.mkdir(parents=True)
    monkeypatch.setattr(reading, "__file__", str(here))
    with pytest.raises(FileNotFoundError, match="csrc"):
        reading.csrc()
    for folder in (tmp_path / "site-packages" / "csrc", here.parent.parent / "csrc"):
        folder.mkdir()
        (folder / "fastdl.h").touch()
        assert reading.csrc() == folder


# ---- calling ------------------------------------------------------------------------------------

VARIANTS = [
    (family, variant, isa)
    for family in ("gemm", "conv", "pool")
    for variant in reading.LADDERS[family]
    for isa in kernels.isa_available()
]


@pytest.mark.parametrize(("family", "variant", "isa"), VARIANTS)
def test_any_rung_on_any_instruction_set(family, variant, isa):
    how = {"variant": variant, "isa": isa, "threads": 2}
    if family == "gemm":
        a, b = normal(29, 31), normal(31, 37)
        assert_close(kernels.gemm(a, b, **how), a.astype(float) @ b, 31)
    elif family == "conv":
        x, w, bias = normal(2, 3, 13, 11), normal(5, 3, 3, 3), normal(5)
        wide = [array.astype(float) for array in (x, w, bias)]
        stride = 1 if variant == "winograd" else 2  # the one rung that takes no other
        found = kernels.conv2d(x, w, bias, stride, 1, **how)
        assert_close(found, _baselines.conv2d(*wide, stride, 1), 28)
    else:
        x = normal(2, 3, 13, 11)
        y, taps = kernels.max_pool2d(x, 3, 2, 1, **how)
        np.testing.assert_array_equal(y, _baselines.max_pool2d(x, 3, 2, 1))
        assert taps.shape == y.shape
        expected = _baselines.avg_pool2d(x.astype(float), 3, 2, 1)
        assert_close(kernels.avg_pool2d(x, 3, 2, 1, **how), expected, 9)


def test_convolution_gradients():
    x, w = normal(2, 4, 9, 8), normal(6, 4, 3, 3)
    dy = normal(2, 6, 5, 4)
    wide = [array.astype(float) for array in (x, w, dy)]
    dx = kernels.conv2d_grad_input(dy, w, x.shape, 2, 1)
    assert_close(dx, _baselines.conv2d_grad_input(wide[2], wide[1], x.shape, 2, 1), 54)
    dw = kernels.conv2d_grad_weight(x, dy, w.shape, 2, 1)
    assert_close(dw, _baselines.conv2d_grad_weight(wide[0], wide[2], w.shape, 2, 1), 40)


def test_geometry_of_rectangles_dilation_and_groups():
    """A dilated filter has zeros between its taps; groups are convolutions of their own."""
    x, w = normal(1, 4, 12, 10), normal(6, 2, 2, 3)
    holed = np.zeros((6, 2, 3, 5), np.float32)
    holed[:, :, ::2, ::2] = w
    found = kernels.conv2d(x, w, None, (2, 1), (1, 2), 2, 2)
    halves = zip(np.ascontiguousarray(np.split(x, 2, axis=1)), np.split(holed, 2))
    parts = [kernels.conv2d(half, filters, None, (2, 1), (1, 2)) for half, filters in halves]
    assert_close(found, np.concatenate(parts, axis=1).astype(float), 12)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x, w: kernels.conv2d(x, w[:, :1]), ValueError, "w must be"),
        (lambda x, w: kernels.conv2d(x, w, stride=0), ValueError, "stride"),
        (lambda x, w: kernels.conv2d(x, w, padding=-1), ValueError, "padding"),
        (lambda x, w: kernels.conv2d(x, w, stride="2"), TypeError, "stride"),
        (lambda x, w: kernels.conv2d(x, w, padding=(1, 2, 3)), TypeError, "padding"),
        (lambda x, w: kernels.conv2d(x[0], w), ValueError, "4 dimensions"),
        (lambda x, w: kernels.conv2d(x[:, :, :2], w), ValueError, "larger than"),
        (lambda x, w: kernels.conv2d(x, w, variant="best"), ValueError, "im2col"),
        (lambda x, w: kernels.conv2d(x, w, isa="mmx"), ValueError, kernels.isa_available()[0]),
        (lambda x, w: kernels.max_pool2d(x, 3, padding=2), ValueError, "padding"),
        (lambda x, w: kernels.max_pool2d(x, 0), ValueError, "kernel_size"),
        (lambda x, w: kernels.avg_pool2d(x, 9), ValueError, "larger than"),
        (lambda x, w: kernels.avg_pool2d(x[0, 0, 0], 2), ValueError, "2 dimensions"),
        (lambda x, w: kernels.gemm(x[0, 0], w[0, 0]), ValueError, "gemm"),
        (lambda x, w: kernels.gemm(x[0, 0].astype(int), w[0, 0]), TypeError, "float32"),
    ],
)
def test_bad_arguments_are_named(call, error, words):
    with pytest.raises(error, match=words):
        call(normal(1, 2, 8, 8), normal(4, 2, 3, 3))


# ---- choosing ----------------------------------------------------------------------------------


def test_examples_in_docstrings():
    assert doctest.testmod(choosing).attempted > 2
    assert doctest.testmod(choosing).failed == 0


@pytest.mark.parametrize("isa", kernels.isa_available())
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("x_shape", "w_shape", "options"),
    [
        ((4, 64, 28, 28), (64, 64, 3, 3), {"padding": 1}),
        ((4, 512, 7, 7), (512, 512, 3, 3), {"padding": 1}),
        ((2, 3, 32, 32), (16, 3, 5, 5), {"stride": 2}),
        ((2, 64, 14, 14), (32, 64, 1, 1), {}),
        ((2, 32, 14, 14), (32, 1, 3, 3), {"padding": 1, "groups": 32}),
    ],
)
def test_what_is_explained_is_what_runs(x_shape, w_shape, options, dtype, isa):
    """The variant named gives the bits that variant=None gives."""
    chosen = kernels.explain_conv(x_shape, w_shape, **options, dtype=dtype, isa=isa)
    assert len(repr(chosen).splitlines()) == 3
    assert all(choice.reason for choice in chosen[:3])
    x, w = normal(*x_shape, dtype=dtype), normal(*w_shape, dtype=dtype)
    dy = kernels.conv2d(x, w, **options)
    passes = {
        "forward": lambda **how: kernels.conv2d(x, w, **options, **how),
        "grad_input": lambda **how: kernels.conv2d_grad_input(dy, w, x_shape, **options, **how),
        "grad_weight": lambda **how: kernels.conv2d_grad_weight(x, dy, w_shape, **options, **how),
    }
    for name, call in passes.items():
        named = call(variant=getattr(chosen, name).variant, isa=isa)
        np.testing.assert_array_equal(call(isa=isa), named)


def test_winograd_can_be_forbidden():
    shapes = (4, 64, 28, 28), (64, 64, 3, 3)
    assert runtime.is_winograd_enabled()
    with runtime.set_winograd_enabled(False):
        assert not runtime.is_winograd_enabled()
        chosen = kernels.explain_conv(*shapes, padding=1)
        assert not any(choice.variant.startswith("winograd") for choice in chosen[:3])
        with runtime.set_winograd_enabled(True):
            assert runtime.is_winograd_enabled()
        assert not runtime.is_winograd_enabled()
    assert runtime.is_winograd_enabled()
    code = "from fastdl import runtime; assert not runtime.config()['winograd']"
    env = {**os.environ, "FASTDL_NO_WINOGRAD": "1"}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env=env)


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (((1, 3, 8, 8), (4, 2, 3, 3)), {}, "w must be"),
        (((1, 3, 8, 8), (4, 3, 3, 3)), {"isa": "mmx"}, kernels.isa_available()[0]),
        (((1, 3, 8, 8), (4, 3, 9, 3)), {}, "larger than"),
    ],
)
def test_explaining_bad_arguments(arguments, options, words):
    with pytest.raises(ValueError, match=words):
        kernels.explain_conv(*arguments, **options)


# ---- climbing -----------------------------------------------------------------------------------

SMALL = {
    "gemm": (33, 17, 25),
    "conv": (1, 3, 9, 9, 4, 3, 3, 1, 1),
    "pool": (1, 2, 9, 9, 3, 2, 1),
    "softmax": (9, 33),
}


@pytest.mark.parametrize("family", SMALL)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rungs_agree_and_are_timed(family, dtype):
    ladder = climbing.problem(family, SMALL[family], dtype, threads=2)
    rungs = list(climbing.climb(ladder, dtype, seconds=1e-3, rounds=1))
    assert [rung.threads for rung in rungs] == [1] * (len(rungs) - 1) + [2]
    # eps * sqrt(27 terms), the longest sum here, times 8
    assert all(rung.error <= 8 * np.finfo(dtype).eps * np.sqrt(27) for rung in rungs)
    if family == "conv":
        assert climbing.problem("conv", (1, 3, 9, 9, 4, 3, 3, 2, 1)).rungs[-1][0] != "winograd"
    assert all(rung.timing.best > 0 and rung.of_roof > 0 for rung in rungs)
    times = [rung.timing.best for rung in rungs]
    gains = [before / after for before, after in pairwise(times)]
    assert [rung.gain for rung in rungs] == pytest.approx([1.0, *gains])


def test_ladder_prints_a_line_per_rung(capsys):
    isa = kernels.isa_available()[0]
    assert kernels.ladder("gemm", 24, isa=isa, threads=1, seconds=1e-3) is None
    lines = capsys.readouterr().out.splitlines()
    assert "24 x 24 x 24" in lines[0]
    assert isa in lines[0]
    assert [line.split()[0] for line in lines[2:-1]] == [*_kernels.GEMM_VARIANTS]
    assert all("GFLOP/s" in line or line for line in lines)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(("gem",), "gemm"), (("conv", 7), "n, c, h, w"), (("gemm", (1, 2)), "k")],
)
def test_ladder_names_what_it_expected(arguments, words):
    with pytest.raises(ValueError, match=words):
        kernels.ladder(*arguments)


def test_roofs_are_measured():
    assert kernels.peak(seconds=0.01, threads=1) > 1e8
    assert kernels.bandwidth(1, megabytes=4, seconds=0.01) > 1e8


def test_the_door_opens_when_asked_for():
    """`fastdl.kernels` after `import fastdl` alone, which itself does not pay for it."""
    code = (
        "import sys, fastdl\n"
        "assert 'fastdl.kernels' not in sys.modules\n"
        "assert fastdl.kernels.gemm is not None\n"
        "assert not hasattr(fastdl, 'no_such_name')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env=os.environ)
