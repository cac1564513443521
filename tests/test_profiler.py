"""Profiles: what is recorded, how it adds up, and that nothing is when no profiler runs."""

import json
import threading

import pytest

import fastdl
from fastdl import profiler
from fastdl.autograd.profiler import record_function
from fastdl.profiler import ProfilerAction, ProfilerActivity, profile, schedule


def train(record=record_function):
    w = fastdl.ones(4, 4, requires_grad=True)
    with record("forward"):
        with record("inner"):
            y = (w @ w).exp()
        loss = y.sum()
    with record("backward"):
        loss.backward()


def by_key(prof, **how):
    return {event.key: event for event in prof.key_averages(**how)}


def test_operations_blocks_and_steps_backward_are_recorded():
    with profile(activities=[ProfilerActivity.CPU]) as prof:
        train()
    found = by_key(prof)
    assert found["aten::mm"].count >= 3  # forward, and two for its gradient
    for name in ("forward", "inner", "aten::exp", "ExpBackward0", "MmBackward0", "SumBackward0"):
        assert found[name].count == 1
    assert found["forward"].cpu_time_total > found["inner"].cpu_time_total
    assert found["inner"].cpu_time_total > found["aten::exp"].cpu_time_total


def test_times_add_up():
    with profile() as prof:
        train()
    events = prof.events()
    roots = [e for e in events if e.cpu_parent is None]
    assert [e.name for e in roots] == ["forward", "backward"]
    assert sum(e.self_cpu_time_total for e in events) == pytest.approx(
        sum(e.cpu_time_total for e in roots)
    )
    for event in events:
        assert event.self_cpu_time_total >= 0
        for child in event.cpu_children:
            assert child.cpu_parent is event
            assert event.start <= child.start <= child.end <= event.end


def test_shapes():
    with profile(record_shapes=True) as prof:
        fastdl.ones(2, 3) * fastdl.ones(3)
        fastdl.ones(2, 3) * 2
        fastdl.ones(2, 3) * 3
    found = {(e.key, str(e.input_shapes)): e.count for e in prof.key_averages(True)}
    assert found["aten::mul", "[[2, 3], [3]]"] == 1
    assert found["aten::mul", "[[2, 3], []]"] == 2


def test_table():
    with profile(record_shapes=True) as prof:
        train()
    text = prof.key_averages(group_by_input_shape=True).table(sort_by="cpu_time_total", row_limit=3)
    lines = text.splitlines()
    assert lines[1].split("  ")[-1].strip() == "Input Shapes"
    assert len(lines) == 3 + 3 + 2
    assert lines[-1].startswith("Self CPU time total: ")
    assert "aten::exp" in str(prof.key_averages())
    with pytest.raises(ValueError, match="sort_by: expected one of"):
        prof.key_averages().table(sort_by="colour")


def test_nothing_is_recorded_outside():
    with profile() as prof:
        pass
    train()
    assert len(prof.events()) == 0
    with fastdl.autograd.profiler.profile(enabled=False) as prof:
        train()
    assert len(prof.function_events) == 0


def test_only_one_profiler_at_a_time():
    with profile(), pytest.raises(RuntimeError, match="already enabled"), profile():
        pass
    with profile() as prof:  # and the first one has ended
        train()
    assert len(prof.events()) > 5


def test_an_error_ends_the_recording():
    with pytest.raises(KeyError), profile():
        raise KeyError
    with profile():
        pass


def test_threads_have_their_own_nesting():
    def work():
        with record_function("work"):
            fastdl.ones(3).exp()

    with profile() as prof, record_function("main"):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    events = {e.name: e for e in prof.events()}
    assert events["work"].cpu_parent is None
    assert events["aten::exp"].cpu_parent is events["work"]
    assert events["work"].thread != events["main"].thread


def test_recorded_function():
    @record_function("named")
    def f(x):
        return x + 1

    with profile() as prof:
        f(fastdl.ones(2))
        f(fastdl.ones(2))
    assert by_key(prof)["named"].count == 2


def test_traces(tmp_path):
    with profile(record_shapes=True) as prof:
        train()
    prof.export_chrome_trace(tmp_path / "trace.json")
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert {e["ph"] for e in events} == {"X"}
    assert {"forward", "aten::mm", "MmBackward0"} <= {e["name"] for e in events}
    prof.export_stacks(tmp_path / "stacks")
    stacks = dict(line.rsplit(" ", 1) for line in (tmp_path / "stacks").read_text().splitlines())
    assert "forward;inner;aten::mm" in stacks
    profiler.tensorboard_trace_handler(tmp_path / "board")(prof)
    profiler.tensorboard_trace_handler(tmp_path / "board", "me", use_gzip=True)(prof)
    assert len(list((tmp_path / "board").glob("*.pt.trace.json"))) == 1
    assert len(list((tmp_path / "board").glob("me.*.pt.trace.json.gz"))) == 1


@pytest.mark.parametrize(
    "how",
    [
        {"wait": 1, "warmup": 1, "active": 2},
        {"wait": 0, "warmup": 1, "active": 1, "repeat": 2},
        {"wait": 2, "warmup": 2, "active": 3, "repeat": 1, "skip_first": 3},
        {"wait": 2, "warmup": 1, "active": 1, "skip_first": 2, "skip_first_wait": 1},
    ],
)
def test_schedule_is_pytorchs(how):
    torch = pytest.importorskip("torch")
    ours, theirs = schedule(**how), torch.profiler.schedule(**how)
    assert [ours(i).name for i in range(30)] == [theirs(i).name for i in range(30)]


def test_scheduled_steps():
    ready = []
    plan = schedule(wait=1, warmup=1, active=2, repeat=2)
    with profile(schedule=plan, on_trace_ready=lambda p: ready.append(by_key(p))) as prof:
        for _ in range(10):
            fastdl.ones(3).exp()
            prof.step()
    assert len(ready) == 2
    assert [found["aten::exp"].count for found in ready] == [2, 2]
    assert "ProfilerStep#2" in ready[0]
    assert "ProfilerStep#1" not in ready[0]
    assert plan(0) is ProfilerAction.NONE


def test_ready_after_a_block_without_schedule():
    ready = []
    with profile(on_trace_ready=ready.append) as prof:
        train()
    assert ready == [prof]
