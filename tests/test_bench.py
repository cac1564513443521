"""Measuring: the stopwatch on a clock of our own, the command, the report, the turn-by-turn worker.

What is tested is that figures are taken, checked and written as they are said to be; never a speed.
"""

import importlib
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fastdl import _baselines, _cases, _kernels, _measure, _stopwatch
from fastdl.cli import bench
from fastdl.cli.console import UsageError

BENCH = Path(__file__).resolve().parent.parent / "bench"


class Clock:
    """Time that passes only when a `Call` is made."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(_stopwatch.time, "perf_counter", lambda: self.now)

    def call(self, *durations):
        """A call that takes `durations` in turn, the last one from then on."""
        left = list(durations)

        def call():
            call.count += 1
            self.now += left.pop(0) if len(left) > 1 else left[0]

        call.count = 0
        return call


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


# ---- the stopwatch ------------------------------------------------------------------------------


def test_a_round_is_the_median_after_two_warm_ups(clock):
    call = clock.call(9e-3, 9e-3, 1e-3, 5e-3, 2e-3)
    assert _stopwatch.one_round(call, seconds=1e-2, repeats=3) == pytest.approx(2e-3)
    assert call.count == 2 + 4, "repeats go on until the time is up"


def test_fast_calls_are_timed_by_the_hundred_microseconds(clock):
    call = clock.call(1e-6)
    assert _stopwatch.one_round(call, seconds=1e-4, repeats=7) == pytest.approx(1e-6)
    assert call.count >= 7 * 99


def test_a_slow_call_is_timed_once_after_one_to_warm_up(clock):
    call = clock.call(0.3, 0.2, 0.1)
    assert _stopwatch.one_round(call, seconds=0.05) == pytest.approx(0.2)
    assert call.count == 2


def test_a_very_slow_call_is_not_warmed_up(clock):
    call = clock.call(3.0)
    assert _stopwatch.race({"slow": call}, rounds=5)["slow"] == (pytest.approx(3.0), 0.0, 1)
    assert call.count == 1


class Elsewhere:
    def __init__(self, order, name, *times):
        self.order, self.name, self.times = order, name, list(times)

    def round(self, seconds, repeats):
        self.order.append(self.name)
        return self.times.pop(0)


def test_contestants_take_turns_and_the_fastest_round_counts():
    order = []
    sides = {
        "a": Elsewhere(order, "a", 3e-3, 2.5e-3, 3.5e-3),
        "b": Elsewhere(order, "b", 1e-3, 1e-3, 1e-3),
    }
    times = _stopwatch.race(sides, rounds=3, ready=lambda: order.append("ready"))
    assert order == ["ready", "a", "ready", "b"] * 3
    assert times["a"] == (2.5e-3, pytest.approx(0.4), 3)
    assert times["b"] == (1e-3, 0.0, 3)


@pytest.mark.parametrize(("slow", "rounds"), [(1, 4), (2, 6)])
def test_unsteady_rounds_are_repeated_by_all_up_to_three_times(slow, rounds):
    order = []
    uneven = [3e-3, 1e-3] * slow + [1e-3] * 9
    sides = {
        "a": Elsewhere(order, "a", *uneven),
        "b": Elsewhere(order, "b", *[2e-3] * 9),
    }
    times = _stopwatch.race(sides, rounds=2)
    assert order == ["a", "b"] * rounds
    assert times["a"] == (1e-3, pytest.approx(2.0), rounds)
    assert times["b"] == (2e-3, 0.0, rounds)


@pytest.fixture
def rates(monkeypatch):
    """Two threads' rates in a row, one alone making 100; the seconds slept."""
    found, slept = [], []
    monkeypatch.setattr(
        _measure, "peak", lambda threads, seconds: 100 if threads == 1 else found.pop(0)
    )
    monkeypatch.setattr(_measure.time, "sleep", slept.append)
    monkeypatch.setattr(_measure.time, "perf_counter", lambda: sum(slept))
    return found, slept


def test_rounds_wait_until_threads_have_a_core_each(rates):
    found, slept = rates
    found += [101, 130, 196]
    _measure.WholeCores()(2)
    assert not found
    assert slept == [0.1] * 2


def test_rounds_do_not_wait_for_ever(rates):
    found, slept = rates
    found += [101] * 9
    cores = _measure.WholeCores(patience=0.45)
    for _ in range(3):
        cores(2)
    assert len(slept) == 5
    cores(1)


# ---- figures ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(2.5, "2.50 s"), (0.1234, "123 ms"), (1.5e-3, "1.50 ms"), (2e-8, "0.02 us")],
)  # fmt: skip
def test_durations_have_three_digits_and_a_unit(seconds, text):
    assert _measure.duration(seconds) == text


def test_work_counts_arithmetic_and_every_array_once():
    assert _measure.gemm_work(2, 3, 5) == (60, 4 * (10 + 15 + 6))
    assert _measure.gemm_work(6, 6, 6).intensity == 1
    conv = _measure.conv2d_work((1, 2, 4, 4), (3, 2, 3, 3), (1, 3, 2, 2), itemsize=8)
    assert conv == (2 * 12 * 18, 8 * (32 + 54 + 12))
    assert _measure.pool2d_work((1, 1, 4, 4), (1, 1, 2, 2), 4, tap_bytes=1) == (16, 84)


def test_the_mean_of_ratios_is_geometric():
    assert _cases.geometric_mean([2, 0.5, 8]) == pytest.approx(2)


def test_the_machine_is_measured():
    machine = _measure.machine(2, seconds=0.01)
    assert machine["threads"] == 2
    assert machine["isa"] == _kernels.get_isa()
    assert machine["peak"] >= machine["peak_1"] > 1e8
    assert machine["bandwidth"] >= machine["bandwidth_1"] > 1e7
    json.dumps(machine)


def test_numpy_threads_are_pinned_or_named(monkeypatch):
    import threadpoolctl

    with _measure.numpy_threads(1) as words:
        blas = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
        assert blas
        assert all(pool["num_threads"] == 1 for pool in blas)
        assert "1" in words
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    with _measure.numpy_threads(1) as words:
        assert words == "OPENBLAS_NUM_THREADS=3"


# ---- the cases, smaller -------------------------------------------------------------------------

SMALL = [
    _cases.gemm(17, 5, 33),
    *(
        _cases.conv2d("plain", (2, 3, 9, 9, 4, 3, 3, 2, 2, 1, 1, 1), mode)
        for mode in ("forward", "training", "grad_input", "grad_weight")
    ),
    *(
        _cases.conv2d("depthwise", (2, 3, 9, 9, 3, 3, 3, 2, 2, 1, 1, 3), mode)
        for mode in ("forward", "training")
    ),
    *(
        _cases.pool2d(f"{kind} {size}", (2, 3, 8, 8, size, 2, padding, kind), mode)
        for kind in ("max", "avg")
        for size, padding in ((2, 0), (3, 1))
        for mode in ("forward", "training")
    ),
    _cases.relu(3, 7),
    _cases.softmax(5, 33),
    _cases.cross_entropy(5, 33),
    _cases.sgd(1001),
    _cases.adam(1001),
]


@pytest.mark.parametrize("case", SMALL, ids=lambda case: f"{case.family} {case.name}")
def test_fastdl_and_every_numpy_formulation_agree(case):
    calls = case.build()
    assert tuple(calls) == case.sides
    _cases.check(case, calls)


def test_a_wrong_result_is_not_timed():
    case = _cases.gemm(9, 9, 9)
    broken = case._replace(build=lambda: {**case.build(), "fastdl": lambda: np.ones((9, 9))})
    with pytest.raises(ValueError, match="fastdl and numpy differ"):
        _cases.measure(broken, {})


def test_the_baselines_compute_gradients():
    """Against differences of sums in float64: a baseline that is wrong would flatter nobody."""
    rng = np.random.default_rng(0)
    x, w, bias = rng.standard_normal((2, 3, 7, 7)), rng.standard_normal((4, 3, 3, 3)), np.zeros(4)
    dy = rng.standard_normal((2, 4, 4, 4))
    _, dx, dw, db = _baselines.conv2d_training(x, w, bias, dy, 2, 1)
    loss = lambda x, w, bias: (_baselines.conv2d_textbook(x, w, bias, 2, 1) * dy).sum()
    for gradient, at in ((dx, 0), (dw, 1), (db, 2)):
        step = rng.standard_normal(gradient.shape)
        ahead, behind = [x, w, bias], [x, w, bias]
        ahead[at], behind[at] = ahead[at] + step, behind[at] - step
        # the convolution is linear in each argument: the difference is exact up to rounding
        assert (loss(*ahead) - loss(*behind)) / 2 == pytest.approx((gradient * step).sum())


def test_a_row_says_what_was_measured():
    case = _cases.pool2d("small", (1, 2, 8, 8, 2, 2, 0, "max"), "forward")
    row = _cases.measure(case, {"bandwidth": 1e9}, rounds=2, seconds=1e-3)
    assert row["ratio"] == pytest.approx(row["numpy"] / row["fastdl"])
    assert row["formulation"] in {"numpy", "textbook"}
    assert row["rate"] == pytest.approx(case.work.bytes / row["fastdl"])
    assert row["of_roof"] == pytest.approx(row["rate"] / 1e9)


# ---- the command --------------------------------------------------------------------------------


@pytest.fixture
def short(monkeypatch):
    """The command's tables with small problems: what it does does not depend on their size."""
    monkeypatch.setattr(
        bench,
        "FAMILIES",
        {
            "gemm": ("matrix product", [_cases.gemm(16, 16, 16)] * 2, [_cases.gemm(8, 8, 8)]),
            "pool": ("pooling", [SMALL[7]], [SMALL[7]]),
            "train": ("training step", [bench.lenet_step()], [bench.lenet_step()]),
        },
    )


def test_the_command_prints_roofs_rows_and_verdicts(short, capsys):
    assert bench.main(["--quick", "--threads", "1", "--isa", "generic"]) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert "FMA peak" in lines[2]
    assert "generic kernels on 1 thread" in lines[1]
    assert sum("GFLOP/s " in line and "x 8" in line for line in lines) == 1
    assert sum(line.startswith("  -> ") for line in lines) == 3
    assert "LeNet step" in out
    assert "gemm" in lines[-1]
    assert "train" in lines[-1]


def test_the_command_as_json(short, capsys):
    before = _kernels.get_num_threads(), _kernels.get_isa()
    assert bench.main(["gemm", "--quick", "--json", "--threads", "2"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["machine"]["threads"] == 2
    assert [row["case"] for row in found["cases"]] == ["8 x 8 x 8"]
    assert found["ratios"]["gemm"] == pytest.approx(found["cases"][0]["ratio"])
    assert (_kernels.get_num_threads(), _kernels.get_isa()) == before


@pytest.mark.parametrize(
    ("argv", "words"),
    [(["gem"], "gemm"), (["--threads", "0"], "threads"), (["--isa", "mmx"], "isa")],
)
def test_bad_arguments(argv, words):
    with pytest.raises(UsageError, match=words):
        bench.main(argv)


def test_a_disturbed_run_says_so():
    calm = {"fastdl_spread": 0.1, "numpy_spread": 0.2}
    disturbed = {"fastdl_spread": 0.1, "numpy_spread": 3.0}
    assert not bench.busy([calm, calm, disturbed])
    assert bench.busy([calm, disturbed, disturbed])


def test_a_terminal_without_blocks_gets_plain_text(monkeypatch):
    class Ascii:
        encoding = "ascii"

    monkeypatch.setattr(bench.sys, "stdout", Ascii())
    assert bench.Table().bar(0.5) == "#####     "


# ---- the report ---------------------------------------------------------------------------------


@pytest.fixture
def report(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    return importlib.import_module("report")


@pytest.fixture(scope="module")
def results():
    machine = {
        "fastdl": "1.0", "python": "3", "numpy": "2", "blas": "b", "blas_threads": "pinned to 2",
        "system": "s", "cpu": "a CPU", "isa": "avx2", "threads": 2, "openmp": True, "peak": 2e11,
        "peak_1": 1e11, "bandwidth": 4e10, "bandwidth_1": 2e10,
    }  # fmt: skip
    ladder = {
        "title": "matrix product", "roof": "compute", "flops": 1e9, "bytes": 1e7,
        "rungs": [
            {"name": "naive", "threads": 1, "seconds": 1.0, "rate": 1e9, "of_roof": 0.01,
             "gain": 1.0, "error": 0.0},
            {"name": "threaded", "threads": 2, "seconds": 0.01, "rate": 1e11, "of_roof": 0.5,
             "gain": 100.0, "error": 1e-7},
        ],
    }  # fmt: skip
    row = {
        "family": "gemm", "case": "8 x 8 x 8", "fastdl": 1e-3, "numpy": 2e-3, "fastdl_spread": 0.1,
        "numpy_spread": 0.2, "formulation": "numpy", "ratio": 2.0, "flops": 1e9, "bytes": 1e7,
        "roof": "compute", "rate": 1e12, "of_roof": 0.5,
    }  # fmt: skip
    ladders = dict.fromkeys(("gemm", "conv", "pool", "softmax"), ladder)
    return {"machine": machine, "ladders": ladders, "cases": [row, {**row, "ratio": 8.0}]}


def test_tables_stand_between_their_markers(report, results):
    page = "before\n<!-- bench:gemm -->\nold\n<!-- /bench -->\nafter"
    filled = report.fill(page, results)
    assert filled.startswith("before\n<!-- bench:gemm -->\nMatrix product")
    assert filled.endswith("|\n<!-- /bench -->\nafter")
    assert "old" not in filled
    assert "100.0" in filled
    assert report.fill(filled, results) == filled


def test_a_table_without_figures_is_left_alone(report, results):
    page = "<!-- bench:torch -->\nold\n<!-- /bench -->"
    assert report.fill(page, results) == page


def test_an_unknown_marker_is_an_error(report, results):
    with pytest.raises(ValueError, match="speed"):
        report.fill("<!-- bench:speed -->\n<!-- /bench -->", results)


def test_every_marker_of_the_pages_is_known(report, results):
    for page in report.PAGES:
        text = page.read_text(encoding="utf-8")
        assert "<!-- bench:" in text
        report.fill(text, results, page)


def test_the_summary_has_geometric_means(report, results):
    compared = {"family": "gemm", "case": "g", "fastdl": 1e-3, "torch": 3e-3}
    torch = {"version": "9", "preload": None, "cases": [compared, {"family": "conv", "error": "e"}]}
    summary = report.summary_table({**results, "torch": torch})
    assert "**4.00** (2.00 to 8.00, 2 cases)" in summary
    assert "| **3.00** |" in summary
    assert "PyTorch 9" in summary


def test_pictures_are_drawn(report, results, tmp_path):
    plots = importlib.import_module("plots")
    plots.ladders(results, tmp_path / "ladder.png")
    plots.roofline(results, tmp_path / "roofline.png")
    for name in ("ladder", "roofline"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


# ---- turn by turn -------------------------------------------------------------------------------


@pytest.fixture
def versus(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    return importlib.import_module("versus")


def test_a_worker_builds_and_times(versus, tmp_path):
    side = versus.Side("fastdl", 1)
    try:
        (found,) = side.build("a + b, 4 floats, no grad", tmp_path)
        np.testing.assert_array_equal(
            found, sum(np.random.default_rng([s, 4]).standard_normal(4, np.float32) for s in (0, 1))
        )
        assert 0 < side.round(1e-3, 3) < 1
        with pytest.raises(RuntimeError, match="KeyError"):
            side.build("no such case", tmp_path)
        side.build("a + b, 4 floats, recorded", tmp_path)
        assert 0 < side.round(1e-3, 3) < 1, "it lives on after an error"
    finally:
        side.close()


def test_a_worker_that_dies_is_named(versus):
    side = versus.Side("no_such_module", 1)
    with pytest.raises(SystemExit, match="no_such_module"):
        side.round(1e-3, 3)
    side.close()


def test_differences_are_relative_to_each_array(versus):
    a = [np.array([100.0, 1.0]), np.array([1.0])]
    assert versus.difference(a, [np.array([100.0, 2.0]), np.array([1.0])]) == pytest.approx(0.01)
    assert versus.difference(a, a[:1]) == float("inf")


def test_fastdl_and_pytorch_agree_where_they_are_compared(versus):
    pytest.importorskip("torch")
    names = versus.chosen(versus.cases(), ["no grad", "64 x 10 x 784", "LeNet 2", "4-16-10"])
    assert list(names.values()) == ["tiny", "gemm", "conv", "conv", "step"]
    with versus.opponents(1) as sides:
        rows = versus.compare(sides, names, 1, 1e-3, lambda row: None)
    for row, (name, family) in zip(rows, names.items(), strict=True):
        assert "error" not in row, row
        assert (row["case"], row["family"]) == (name, family)
        assert 0 < row["fastdl"] < 10
        assert 0 < row["torch"] < 10


def test_a_case_that_cannot_run_says_why(versus):
    with versus.opponents(1) as sides:
        rows = versus.compare(sides, {"no such case": "gemm"}, 1, 1e-3, lambda row: None)
    assert "KeyError" in rows[0]["error"]


def test_peak_memory_is_what_a_case_holds(versus):
    pytest.importorskip("torch")
    (row,) = versus.peaks(1, {"gemm 1024 x 1024 x 1024": "gemm"}, None, lambda row: None)
    for side in ("fastdl", "torch"):  # three matrices of 4 MB, and what a library needs to run
        assert 12 << 20 < row[side] < 400 << 20


def test_every_case_has_a_family_that_the_summary_names(versus):
    families = {family for family, _, _ in versus.cases().values()}
    assert families == set(importlib.import_module("report").SUMMARY)
    assert {family for family, _, _ in versus.full_cases().values()} <= families


def test_fresh_cases_are_drawn_by_their_seed(versus):
    assert versus.fresh_cases(1) == versus.fresh_cases(1)
    assert versus.fresh_cases(1).keys() != versus.fresh_cases(2).keys()


def test_no_builder_of_a_case_is_unused(versus):
    """Each function of problems.py that builds stands in a list."""
    problems = importlib.import_module("problems")
    lists = [problems.cases(), problems.full_cases(), versus.growing()]
    used = {build.__name__ for known in lists for _, build, _ in known.values()}
    builders = {
        name
        for name, f in vars(problems).items()
        if inspect.isfunction(f)
        and f.__module__ == "problems"
        and f.__code__.co_varnames[:1] == ("torch",)
    }
    helpers = {"normal", "integers", "inference", "training", "in_mode", "prepare", "sgd", "adam"}
    assert builders - helpers - {"optimize"} == used


@pytest.mark.parametrize("page", ["bench/README.md", "csrc/README.md"])
def test_pages_name_files_that_exist(page):
    import re

    folder = (BENCH.parent / page).parent
    for target in re.findall(r"\]\(([^)#:]+)\)", (BENCH.parent / page).read_text("utf-8")):
        assert (folder / target).exists() or target.endswith(".png"), target


def test_the_suite_runs_once_without_timing():
    """The smoke run of continuous integration, on its shortest files."""
    pytest.importorskip("pytest_benchmark")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--benchmark-disable",
         str(BENCH / "test_ladders.py"), "-k", "gemm or softmax"],
        capture_output=True, text=True, cwd=BENCH.parent, timeout=200,
        env={**os.environ, "PYTHONPATH": str(BENCH.parent)},
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
