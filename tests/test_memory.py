"""The pool that NumPy arrays take their memory from."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import fastdl
from fastdl import _kernels, runtime

pytestmark = pytest.mark.skipif(
    not _kernels.memory_stats()["pooled"], reason="FASTDL_NO_POOL is set"
)
MIB = 1 << 20


@pytest.fixture(autouse=True)
def _own_limit():
    """Each test starts from an empty pool and leaves the limit as it was."""
    limit = _kernels.memory_stats()["limit"]
    _kernels.empty_cache()
    yield
    _kernels.set_memory_limit(limit)


def address(array):
    return array.__array_interface__["data"][0]


def test_memory_is_used_again():
    before = _kernels.memory_stats()
    first = np.empty(MIB)
    place = address(first)
    assert _kernels.memory_stats()["live"] - before["live"] >= first.nbytes
    del first
    assert _kernels.memory_stats()["cached"] >= 8 * MIB
    again = np.empty(MIB - 1000)  # of the same size class
    assert address(again) == place
    after = _kernels.memory_stats()
    assert after["reused"] == before["reused"] + 1
    assert after["cached"] == 0


def test_alignment_room_and_classes():
    """Every size around the class edges: aligned, all of it writable, no two at one place."""
    arrays = []
    for kib in (4, 5, 7, 8, 10, 14, 16, 20, 100, 1024):
        for n in (kib * 1024 - 1, kib * 1024, kib * 1024 + 1):
            arrays.append(np.full(n, len(arrays), np.uint8))
    for i, array in enumerate(arrays):
        assert (array == i).all()
        assert array.nbytes < 4096 or address(array) % 64 == 0


def test_zeros_are_zero_in_used_memory():
    for n in (100, 600, MIB):
        dirty = np.full(n, 7.0)
        del dirty
        assert (np.zeros(n) == 0).all()


def test_arrays_grow_and_shrink():
    a = np.arange(100.0)
    for n in (400, 600, MIB, 2 * MIB, 700, 600, 50, 3000):
        before = a[: min(len(a), n)].copy()
        a.resize(n, refcheck=False)
        np.testing.assert_array_equal(a[: len(before)], before)
        assert (a[100:] == 0).all()


def test_limit_lets_the_oldest_go():
    _kernels.set_memory_limit(40 * MIB)
    held = [np.empty(8 * MIB, np.uint8) for _ in range(6)]
    places = [address(a) for a in held]
    for count in range(1, 7):
        held.pop(0)
        assert _kernels.memory_stats()["cached"] == min(count, 5) * 8 * MIB
    held = [np.empty(8 * MIB, np.uint8) for _ in range(5)]
    assert [address(a) for a in held] == places[:0:-1], "the newest first, the oldest gone"
    large = np.empty(11 * MIB, np.uint8)
    del large
    assert _kernels.memory_stats()["cached"] == 0, "more than a quarter of the limit"
    _kernels.set_memory_limit(0)
    held.clear()
    assert _kernels.memory_stats()["cached"] == 0
    with pytest.raises(ValueError, match="must not be negative"):
        _kernels.set_memory_limit(-1)


def test_empty_cache_keeps_live_arrays():
    kept, freed = np.ones(MIB), np.ones(MIB)
    del freed
    _kernels.empty_cache()
    stats = _kernels.memory_stats()
    assert stats["cached"] == 0
    assert stats["live"] >= kept.nbytes
    assert (kept == 1).all()


def test_peak_and_its_reset():
    runtime.reset_peak_memory_stats()
    before = runtime.memory_stats()
    assert before["peak"] == before["live"]
    large = np.empty(MIB)
    del large
    after = runtime.memory_stats()
    assert after["peak"] >= before["live"] + 8 * MIB
    assert after["live"] == before["live"]


def test_scratch_counts_and_is_given_back():
    """channel_sum keeps n * c sums in its thread's scratch: 4 MB here."""
    dy = np.ones((1000, 1000, 2), np.float32)
    before = runtime.memory_stats()["live"]
    seen = []

    def work():
        _kernels.channel_sum(dy, threads=1)
        seen.append(runtime.memory_stats()["live"])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen[0] - before >= 4e6
    end = time.monotonic() + 5  # join does not wait for the very end of the thread
    while runtime.memory_stats()["live"] - before > 1e6 and time.monotonic() < end:
        time.sleep(0.001)
    assert runtime.memory_stats()["live"] - before < 1e6


def test_a_training_step_keeps_little():
    """Activations die in the walk: of a chain of ten layers, forward and backward together never
    hold much more than what the forward pass saved."""
    n = MIB // 4  # a megabyte of float32
    x = fastdl.zeros(n, requires_grad=True)

    def step():
        y = x
        for _ in range(10):
            y = (y * 2).sigmoid()  # each saves its output: 10 MB at the end of the forward pass
        y.sum().backward()

    step()
    x.grad = None
    before = runtime.memory_stats()["live"]
    runtime.reset_peak_memory_stats()
    step()
    assert runtime.memory_stats()["peak"] - before <= 16 * MIB
    assert runtime.memory_stats()["live"] - before <= 1.5 * MIB  # x.grad


ATTENTIONS = {
    "causal": {"is_causal": True},
    "dropout": {"dropout_p": 0.1},
    "keys hidden": {"attn_mask": True},
}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("kind", ATTENTIONS)
def test_memory_of_attention_is_linear_in_length(kind, training):
    """Twice the tokens, twice the peak, for any mask that is itself no larger; the matrix of scores
    would be four times as large, and as large as all of this at 256 tokens."""

    def peak(length):
        tensors = [fastdl.randn(1, 2, length, 32, requires_grad=training) for _ in range(3)]
        options = dict(ATTENTIONS[kind])
        if "attn_mask" in options:
            options["attn_mask"] = fastdl.arange(length) % 3 > 0
        before = runtime.memory_stats()["live"]
        runtime.reset_peak_memory_stats()
        y = fastdl.nn.functional.scaled_dot_product_attention(*tensors, **options)
        if training:
            y.backward(y.detach())
        return runtime.memory_stats()["peak"] - before

    peak(2048)  # scratch memory, which stays
    few, many = peak(1024), peak(2048)
    assert many >= 2 * 2048 * 32 * 4  # the result at least
    assert many < 2.1 * few
    assert many < (10 if training else 2) * 2 * 2048 * 32 * 4


def test_gradients_that_meet_are_added_in_place():
    """Eight gradients of one tensor: a sum and the one that arrives, not a sum for each pair."""
    n = 4 * MIB
    x = fastdl.zeros(n, requires_grad=True)
    parts = [x * float(i) for i in range(8)]
    total = fastdl.stack([p.sum() for p in parts]).sum()
    del parts
    x.grad = None
    before = runtime.memory_stats()["live"]
    runtime.reset_peak_memory_stats()
    total.backward()
    assert (
        runtime.memory_stats()["peak"] - before <= 3.5 * 16 * MIB
    )  # sum, spread gradient, product
    assert x.grad[0].item() == sum(range(8))


def test_no_memory_is_an_error():
    with pytest.raises(MemoryError):
        np.empty(1 << 60, np.uint8)
    with pytest.raises(MemoryError):
        np.zeros(1 << 60, np.uint8)


def test_arrays_freed_by_other_threads():
    """Made here, freed there, both at once; contents stay their own."""
    failures = []

    def work(seed):
        rng = np.random.default_rng(seed)
        held = []
        for i in range(300):
            n = int(rng.integers(1, 60000))
            held.append(np.full(n, seed * 1000 + i, np.int64))
            if len(held) > 8:
                array = held.pop(int(rng.integers(len(held))))
                if (array != array[0]).any():
                    failures.append(seed)

    threads = [threading.Thread(target=work, args=(s,)) for s in range(4)]
    given = [np.ones(100000) for _ in range(50)]
    for thread in threads:
        thread.start()
    while given:
        given.pop()
    for thread in threads:
        thread.join()
    assert not failures


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_can_allocate():
    kept = np.arange(MIB)
    pid = os.fork()
    if pid == 0:
        fine = (kept == np.arange(MIB)).all() and (np.zeros(MIB) == 0).all()
        os._exit(0 if fine else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_operations_use_the_pool():
    """Also inside the engine's own contexts, forward and backward."""
    x = fastdl.ones(300, 300, requires_grad=True)
    for _ in range(2):
        x.grad = None
        (x.relu() @ x * 2).exp().sum().backward()
    before = runtime.memory_stats()
    x.grad = None
    (x.relu() @ x * 2).exp().sum().backward()
    after = runtime.memory_stats()
    assert after["fresh"] == before["fresh"]
    assert after["reused"] > before["reused"] + 5


def test_switch():
    code = "from fastdl import _kernels; print(_kernels.memory_stats()['pooled'])"
    for value, expected in (("1", "False"), ("0", "True"), ("", "True")):
        run = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            env={**os.environ, "FASTDL_NO_POOL": value},
        )
        assert run.stdout.strip() == expected, run.stderr
