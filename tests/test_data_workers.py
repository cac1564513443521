"""Workers of the DataLoader: the same batches for any number of them, and no way to hang."""

import multiprocessing
import os
import pathlib
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

import fastdl
from fastdl.utils.data import (
    ChainDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    StackDataset,
    TensorDataset,
    default_convert,
    get_worker_info,
)
from fastdl.utils.data.workers import Turns

KINDS = [None, "spawn"]  # threads, processes
PATIENCE = 60  # seconds within which everything here ends, on a busy machine too


class Noisy(Dataset):
    """Samples with random numbers of fastdl's in them."""

    def __init__(self, n=23):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        return i, fastdl.rand(3) + i


class PythonNoise(Noisy):
    """Samples with random numbers of Python's and NumPy's in them."""

    def __getitem__(self, i):
        return random.random(), np.random.rand()  # noqa: NPY002 (what courses use)


class Fails(Noisy):
    def __getitem__(self, i):
        if i == 13:
            raise LookupError("no sample 13")
        return i


class Dies(Noisy):
    def __getitem__(self, i):
        if i == 13:
            os.kill(os.getpid(), signal.SIGKILL)
        return i


class Slow(Noisy):
    def __getitem__(self, i):
        if i == 5:
            time.sleep(3)
        return i


class Where(Noisy):
    def __getitem__(self, i):
        info = get_worker_info()
        return (-1, 0) if info is None else (info.id, info.num_workers)


class Parts(IterableDataset):
    """0 ... 19, shared out among the workers."""

    def __iter__(self):
        info = get_worker_info()
        first, step = (info.id, info.num_workers) if info else (0, 1)
        return iter(range(first, 20, step))


class Unsendable(Noisy):
    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()


def batches(loader):
    return [[x.tolist() for x in batch] for batch in loader]


def epochs(dataset, workers, kind, **options):
    generator = fastdl.Generator().manual_seed(4)
    loader = DataLoader(
        dataset, 5, True, num_workers=workers, multiprocessing_context=kind if workers else None,
        generator=generator, **options,
    )  # fmt: skip
    return [batches(loader) for _ in range(2)]


@pytest.mark.parametrize(("workers", "kind"), [(1, None), (2, None), (4, None), (3, "spawn")])
def test_any_number_of_workers_gives_the_same_batches(kind, workers):
    expected = epochs(Noisy(), 0, None)
    assert expected[0] != expected[1], "each epoch draws anew"
    assert epochs(Noisy(), workers, kind) == expected


def test_default_generator_seeds_samples_too():
    found = []
    for workers in (0, 3):
        fastdl.manual_seed(8)
        found.append(batches(DataLoader(Noisy(), 4, num_workers=workers)))
    assert found[0] == found[1]
    noise = [row for _, rows in found[0] for row in rows]
    assert len({x % 1 for row in noise for x in row}) > 60, "no two samples share their numbers"


def test_processes_seed_python_and_numpy():
    one, four = (epochs(PythonNoise(), n, "spawn") for n in (1, 4))
    assert one == four
    assert one[0] != one[1]


@pytest.mark.parametrize("kind", KINDS)
def test_persistent_workers(kind):
    assert epochs(Noisy(), 2, kind, persistent_workers=True) == epochs(Noisy(), 0, None)
    loader = DataLoader(
        Noisy(), 5, num_workers=2, persistent_workers=True, multiprocessing_context=kind
    )
    iter(loader)
    first = iter(loader)
    next(first)
    first.close()  # an epoch broken off leaves its workers; the next one has fresh ones
    assert len(batches(loader)) == 5


@pytest.mark.parametrize("kind", KINDS)
def test_errors_arrive(kind):
    loader = DataLoader(Fails(), 5, num_workers=2, multiprocessing_context=kind)
    seen = []
    with pytest.raises(LookupError, match="no sample 13") as caught:
        seen.extend(batch.tolist() for batch in loader)
    assert seen == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
    text = str(caught.value) if kind else str(caught.traceback[-1])
    assert "__getitem__" in text, "the traceback shows the line in the dataset"


def test_a_killed_process_ends_the_loop():
    start = time.monotonic()
    with pytest.raises(RuntimeError, match=r"worker \(pid \d+\) exited unexpectedly .* -9"):
        list(DataLoader(Dies(), 5, num_workers=2, multiprocessing_context="spawn"))
    assert time.monotonic() - start < PATIENCE


@pytest.mark.parametrize("kind", KINDS)
def test_timeout(kind):
    loader = DataLoader(
        Slow(), 1, num_workers=1, timeout=0.5 if kind is None else 2.5, multiprocessing_context=kind
    )
    with pytest.raises(RuntimeError, match="timed out after"):
        if kind is not None:  # the first answer comes when the process has started
            loader.timeout = 0
            batches = iter(loader)
            next(batches)
            loader.timeout = 0.5
            list(batches)
        list(loader)


@pytest.mark.parametrize("kind", KINDS)
def test_worker_info_and_init(kind, tmp_path):
    assert get_worker_info() is None
    assert next(iter(DataLoader(Where(), 1))) is not None
    loader = DataLoader(
        Where(), 1, num_workers=3, multiprocessing_context=kind, worker_init_fn=Note(tmp_path)
    )
    found = [(int(i), int(n)) for i, n in loader]
    assert found == [(i % 3, 3) for i in range(23)]
    assert sorted(os.listdir(tmp_path)) == ["0", "1", "2"]
    assert get_worker_info() is None


class Note:
    """Writes down which worker called it."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, worker_id):
        (self.folder / str(worker_id)).touch()


@pytest.mark.parametrize(
    ("workers", "batch_size", "kind"),
    [(1, 4, None), (2, None, None), (3, 4, None), (2, 4, "spawn"), (1, None, "spawn")],
)
def test_streams(kind, workers, batch_size):
    loader = DataLoader(Parts(), batch_size, num_workers=workers, multiprocessing_context=kind)
    found = [np.atleast_1d(np.asarray(batch)).tolist() for batch in loader]
    assert sorted(x for part in found for x in part) == list(range(20))
    assert found[:1] == [[0] if batch_size is None else [k * workers for k in range(4)]]


def test_streams_have_as_many_answers_in_torch():
    torch = pytest.importorskip("torch")
    orders = []
    for lib in (fastdl, torch):

        class Stream(lib.utils.data.IterableDataset):
            def __iter__(self, lib=lib):
                info = lib.utils.data.get_worker_info()
                return iter(range(info.id * 100, info.id * 100 + 3 + 4 * info.id))

        loader = lib.utils.data.DataLoader(Stream(), 2, num_workers=2)
        orders.append([batch.tolist() for batch in loader])
    assert orders[0] == orders[1]


def test_what_cannot_be_sent_is_named():
    loader = DataLoader(Unsendable(), num_workers=1, multiprocessing_context="spawn")
    with pytest.raises(RuntimeError, match="cannot be sent to a worker process"):
        next(iter(loader))


def test_options_are_checked():
    for options, error in [
        ({"prefetch_factor": 2}, ValueError),
        ({"persistent_workers": True}, ValueError),
        ({"multiprocessing_context": "spawn"}, ValueError),
        ({"num_workers": 1, "prefetch_factor": 0}, ValueError),
        ({"num_workers": 1, "multiprocessing_context": "fork"}, ValueError),
        ({"num_workers": 1, "multiprocessing_context": 3}, TypeError),
    ]:
        with pytest.raises(error):
            DataLoader(Noisy(), **options)
    context = multiprocessing.get_context("spawn")
    loader = DataLoader(Noisy(), 23, num_workers=1, multiprocessing_context=context)
    assert len(batches(loader)) == 1


# Programs of their own find this fastdl, installed or not.
HERE = {**os.environ, "PYTHONPATH": str(pathlib.Path(fastdl.__file__).parents[1])}


def run(program):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True,
        timeout=PATIENCE, env=HERE,
    )  # fmt: skip


def test_after_a_fork():
    """A child of a process whose loader has persistent workers gets workers of its own."""
    result = run("""
        import os, fastdl
        from fastdl.utils.data import DataLoader, TensorDataset
        data = TensorDataset(fastdl.arange(100.0))
        loader = DataLoader(data, 10, num_workers=2, persistent_workers=True)
        assert len(list(loader)) == 10
        child = os.fork()
        found = float(sum([x.sum() for (x,) in loader]))
        if child == 0:
            os._exit(0 if found == 4950 else 1)
        _, status = os.waitpid(child, 0)
        print(found, status)
    """)
    assert result.stdout.split() == ["4950.0", "0"], result.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_interrupt_ends_the_program(kind, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent(f"""
        import time
        from fastdl.utils.data import DataLoader

        class Endless:
            def __len__(self):
                return 10**9

            def __getitem__(self, i):
                time.sleep(0.01)
                return i

        if __name__ == "__main__":
            for i, x in enumerate(DataLoader(
                Endless(), 4, num_workers=2, multiprocessing_context={kind!r}
            )):
                if i == 2:
                    print("running", flush=True)
    """)
    )
    process = subprocess.Popen(
        [sys.executable, str(program)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=HERE,
    )  # fmt: skip
    try:
        assert process.stdout.readline() == "running\n"
        process.send_signal(signal.SIGINT)
        _, text = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    assert "KeyboardInterrupt" in text
    assert process.returncode not in (0, None)


def test_leaving_early_leaves_no_thread_running():
    before = threading.active_count()
    for _ in DataLoader(TensorDataset(fastdl.arange(1000)), 1, num_workers=4):
        break
    end = time.monotonic() + PATIENCE
    while threading.active_count() > before and time.monotonic() < end:
        time.sleep(0.01)
    assert threading.active_count() == before


def test_fetching_many_at_once():
    class Many(Noisy):
        def __getitems__(self, indices):
            return [i * 10 for i in indices]

    assert batches(DataLoader(Many(4), 3, collate_fn=lambda x: [fastdl.tensor(x)])) == [
        [[0, 10, 20]], [[30]]
    ]  # fmt: skip


def test_stack_and_chain():
    x, y = fastdl.arange(3), fastdl.arange(3) * 2
    pair = StackDataset(TensorDataset(x), TensorDataset(y))
    assert [int(part[0]) for part in pair[2]] == [2, 4]
    named = StackDataset(image=x, label=y)
    assert int(named[1]["label"]) == 2
    assert len(named) == 3
    for bad in (
        lambda: StackDataset(),
        lambda: StackDataset(x, b=y),
        lambda: StackDataset(x, y[:2]),
    ):
        with pytest.raises(ValueError, match=r".+"):
            bad()
    chain = Parts() + Parts()
    assert isinstance(chain, ChainDataset)
    assert list(chain) == [*range(20), *range(20)]


def test_default_convert():
    torch = pytest.importorskip("torch")
    data = {"a": (np.ones(2), 3), "b": ["text", np.float32(1)], "c": np.array(["x"])}
    ours, theirs = default_convert(data), torch.utils.data.default_convert(data)
    assert str(ours["a"][0].dtype) == "fastdl.float64"
    assert type(ours["a"]) is type(theirs["a"])
    assert ours["b"][0] == "text"
    assert float(ours["b"][1]) == float(theirs["b"][1])
    assert ours["c"] is data["c"]


def all_at_once(turns, work, threads, each):
    """`threads` threads that run `work` `each` times."""

    def run():
        for _ in range(each):
            turns.run(work)

    several = [threading.Thread(target=run, daemon=True) for _ in range(threads)]
    for thread in several:
        thread.start()
    for thread in several:
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_threads_that_wait_work_at_once():
    turns = Turns(4)
    all_at_once(turns, lambda: time.sleep(0.02), threads=4, each=8)
    assert turns.chosen
    assert turns.together


def test_threads_in_each_others_way_take_turns():
    running, most = [], []

    def work():
        running.append(1)
        most.append(len(running))
        time.sleep(0.01 * len(running) ** 2)
        running.pop()

    turns = Turns(4)
    all_at_once(turns, work, threads=4, each=16)
    assert turns.chosen
    assert not turns.together
    assert most[: Turns.ALONE] == [1] * Turns.ALONE
    assert max(most) > 1
    assert most[-1] == 1


def test_threads_that_wait_for_each_other_are_let_go():
    turns, barrier = Turns(2), threading.Barrier(2)
    all_at_once(turns, lambda: barrier.wait(PATIENCE), threads=2, each=2)
    assert turns.together
