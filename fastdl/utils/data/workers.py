"""Workers of a DataLoader: threads, or processes that start anew (never forks).

A worker carries out tasks in the order in which they were given to it, and batch i is always the
task of worker i mod n: so the loader takes the results from its workers in turn, and nothing has to
be sorted. Every task draws its random numbers from a stream of its own (`Task.seed`), which makes
them the same for any number of workers.

Threads share the dataset and cost nothing to start; they help where samples spend their time in
NumPy, Pillow, zlib or file reads, which let other threads run; where they get into each other's way
they take turns (`Turns`), and work ahead of the program only. Processes
(``multiprocessing_context="spawn"``) help where it goes into Python code; dataset, collate_fn and
worker_init_fn are pickled for them.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import queue
import random
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fastdl.ops.random import Generator, drawing_from

__all__ = ["ProcessWorker", "Task", "ThreadWorker", "WorkerInfo", "get_worker_info", "run_task"]

STREAM_STEP = 0x9E3779B97F4A7C15  # odd: seeds of different tasks differ


@dataclass(frozen=True)
class WorkerInfo:
    """What :func:`get_worker_info` returns.

    id: number of this worker, from 0; num_workers: how many there are; seed: of this worker;
    dataset: its copy of the dataset (threads share one).
    """

    id: int
    num_workers: int
    seed: int
    dataset: Any


_here = threading.local()


def get_worker_info() -> WorkerInfo | None:
    """In a worker of a DataLoader, what it is; None in the main program."""
    return getattr(_here, "info", None)


class Task(NamedTuple):
    """One batch to make: what `fetch` gets, and the seed of the random numbers on the way (None:
    go on with the worker's own)."""

    request: Any
    seed: int | None


def task_seed(base: int, number: int) -> int:
    """The seed of the task `number` of an epoch with the seed `base`."""
    return (base + number * STREAM_STEP) % (1 << 64)


def run_task(fetch: Callable, task: Task) -> Any:
    """fetch(task.request), with random numbers from the task's stream."""
    if task.seed is None:
        return fetch(task.request)
    with drawing_from(Generator().manual_seed(task.seed)):
        return fetch(task.request)


def _enter(info: WorkerInfo, init_fn: Callable | None) -> None:
    """Makes this thread worker `info`."""
    _here.info = info
    if init_fn is not None:
        init_fn(info.id)


class Turns:
    """Decides by trial whether the threads of a loader work at once or one after the other.

    Samples of many short steps (a small picture, flipped and cropped) release the interpreter's
    lock at each, and threads that work at once then hand it to each other thousands of times a
    second: that can halve what one of them makes alone. So the first tasks run alone, the next
    ones together, and the rest in the way that made more tasks a second. A thread that waits for
    its turn for as long as `PATIENCE` goes ahead: such tasks are long, and may wait for each other.
    """

    ALONE, PATIENCE = 3, 0.5  # tasks of which the fastest counts; seconds

    def __init__(self, workers: int) -> None:
        self.lock, self.turn = threading.Lock(), threading.Lock()
        self.alone: list[float] = []  # durations of the first tasks
        self.trial = 4 * workers  # how many run together before the choice
        self.together = workers == 1
        self.chosen = workers == 1
        self.running = self.done = 0
        self.since = self.busy = 0.0

    def run(self, work: Callable[[], Any]) -> Any:
        """work(), when it may begin."""
        if not self.together:
            if self.turn.acquire(timeout=self.PATIENCE):
                try:
                    if not self.together:  # still, after the wait
                        return self._run_alone(work)
                finally:
                    self.turn.release()
            else:
                self.together = self.chosen = True
        return work() if self.chosen else self._run_counted(work)

    def _run_alone(self, work: Callable[[], Any]) -> Any:
        """work(), timed until there is a choice."""
        start = time.perf_counter()
        result = work()
        if not self.chosen:
            self.alone.append(time.perf_counter() - start)
            self.together = len(self.alone) == self.ALONE
        return result

    def _run_counted(self, work: Callable[[], Any]) -> Any:
        """work(), counted: tasks done, and the time during which at least one ran."""
        with self.lock:
            if self.running == 0:
                self.since = time.perf_counter()
            self.running += 1
        try:
            return work()
        finally:
            with self.lock:
                self.running -= 1
                self.done += 1
                now = time.perf_counter()
                if not self.chosen and self.done == self.trial:
                    self.busy += now - self.since
                    self.together = self.busy / self.done < min(self.alone)
                    self.chosen = True
                elif self.running == 0:
                    self.busy += now - self.since


class ThreadWorker:
    """A thread that runs tasks in order, when it is its turn among the workers of its loader."""

    def __init__(
        self, info: WorkerInfo, make_fetch: Callable, init_fn: Callable | None, turns: Turns
    ) -> None:
        self.info, self.init_fn, self.make_fetch = info, init_fn, make_fetch
        self.turns = turns
        self.fetch: Callable | None = None
        self.pool = ThreadPoolExecutor(1, thread_name_prefix=f"fastdl-loader-{info.id}")
        self.pending: queue.SimpleQueue[Future] = queue.SimpleQueue()

    def _run(self, task: Task) -> Any:
        if self.fetch is None:
            _enter(self.info, self.init_fn)
            self.fetch = self.make_fetch(self.info.dataset)
        return self.turns.run(lambda: run_task(self.fetch, task))

    def give(self, task: Task) -> None:
        """Puts a task at the end of this worker's list."""
        self.pending.put(self.pool.submit(self._run, task))

    def take(self, timeout: float) -> Any:
        """The result of the oldest task not taken yet; what it raised is raised here."""
        try:
            return self.pending.get().result(timeout or None)
        except FutureTimeout:
            raise RuntimeError(f"DataLoader timed out after {timeout} seconds") from None

    def close(self) -> None:
        """Drops the tasks not begun; does not wait for one that runs."""
        self.pool.shutdown(wait=False, cancel_futures=True)


class ProcessWorker:
    """A process that runs tasks in order, connected by a pipe. If either side ends, the other
    sees the end of the pipe: nothing waits for ever."""

    def __init__(
        self, info: WorkerInfo, make_fetch: Callable, init_fn: Callable | None, context
    ) -> None:
        self.connection, theirs = context.Pipe()
        self.process = context.Process(
            target=_work, args=(theirs, info, make_fetch, init_fn), daemon=True
        )
        try:
            self.process.start()
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise RuntimeError(
                "DataLoader: the dataset, collate_fn or worker_init_fn cannot be sent to a worker "
                f"process ({error}); define them at the top of a module, or leave out "
                "multiprocessing_context to use threads"
            ) from error
        finally:
            theirs.close()

    def give(self, task: Task) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # `take` will tell
            self.connection.send(task)

    def take(self, timeout: float) -> Any:
        try:
            if timeout and not self.connection.poll(timeout):
                raise RuntimeError(f"DataLoader timed out after {timeout} seconds")
            failed, result = self.connection.recv()
        except (EOFError, ConnectionResetError):
            self.process.join(1)
            raise RuntimeError(
                f"DataLoader worker (pid {self.process.pid}) exited unexpectedly with exit code "
                f"{self.process.exitcode}"
            ) from None
        if failed:
            kind, text = result
            message = f"Caught {kind.__name__} in DataLoader worker process:\n{text}"
            try:
                error = kind(message)
            except Exception:  # an exception whose constructor wants something else
                error = RuntimeError(message)
            raise error
        return result

    def close(self) -> None:
        self.connection.close()
        self.process.terminate()
        self.process.join(5)


def _work(connection, info: WorkerInfo, make_fetch, init_fn) -> None:
    """The main function of a worker process."""
    # Tasks are read ahead, so that the loader can always send while this side sends a batch.
    tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()

    def read_ahead():
        with suppress(EOFError, OSError):
            while True:
                tasks.put(connection.recv())
        tasks.put(None)

    random.seed(info.seed)
    np.random.seed(info.seed % (1 << 32))  # noqa: NPY002 (what datasets may use)
    threading.Thread(target=read_ahead, daemon=True).start()
    fetch = None
    with suppress(BrokenPipeError, KeyboardInterrupt):
        while (task := tasks.get()) is not None:
            try:
                if fetch is None:
                    _enter(info, init_fn)
                    fetch = make_fetch(info.dataset)
                if task.seed is not None:
                    random.seed(task.seed)
                    np.random.seed(task.seed % (1 << 32))  # noqa: NPY002
                answer = False, run_task(fetch, task)
            except Exception as error:
                answer = True, (type(error), traceback.format_exc())
            _send(connection, answer)
    os._exit(0)  # nothing to clean up, and no waiting for threads of the user's libraries


def _send(connection, answer) -> None:
    try:
        connection.send(answer)
    except (pickle.PicklingError, AttributeError, TypeError):
        failed, result = answer
        text = result[1] if failed else traceback.format_exc()
        connection.send((True, (RuntimeError, text)))


def context_of(chosen) -> Any:
    """The multiprocessing context for the argument of that name; None for threads.

    Raises:
        ValueError: ``"fork"``, which leaves locks of running threads locked in the child, or an
            unknown name.
        TypeError: neither a name nor a context.
    """
    if chosen is None:
        return None
    if isinstance(chosen, str):
        if chosen not in ("spawn", "forkserver"):
            raise ValueError(
                "DataLoader: multiprocessing_context should be 'spawn' or 'forkserver', or None "
                f"for threads, but got {chosen!r} (a fork of a program with threads can hang)"
            )
        return multiprocessing.get_context(chosen)
    if not isinstance(chosen, multiprocessing.context.BaseContext):
        raise TypeError(
            "DataLoader: multiprocessing_context should be a name or a context, but got "
            f"{type(chosen).__name__}"
        )
    return context_of(chosen.get_start_method())
