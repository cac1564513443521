"""PyTorch's `torch.profiler`: `profile` with a schedule of steps, over `autograd.profiler`."""

import os
import socket
import time
import warnings
from enum import Enum

from fastdl.autograd.profiler import EventList, Recorder, record_function

__all__ = [
    "ProfilerAction",
    "ProfilerActivity",
    "profile",
    "record_function",
    "schedule",
    "supported_activities",
    "tensorboard_trace_handler",
]


class ProfilerActivity(Enum):
    """What to record; there is the CPU only, CUDA is accepted and records nothing."""

    CPU = 0
    CUDA = 2
    XPU = 1
    MTIA = 3


class ProfilerAction(Enum):
    """What a step does."""

    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3


def supported_activities():
    """{ProfilerActivity.CPU}."""
    return {ProfilerActivity.CPU}


def schedule(*, wait, warmup, active, repeat=0, skip_first=0, skip_first_wait=0):
    """A function from the number of a step to its ProfilerAction.

    After skip_first steps, cycles of `wait` steps of nothing, `warmup` steps whose record is thrown
    away, and `active` recorded ones; `repeat` cycles, 0: without end. skip_first_wait: 1 leaves out
    the wait of the first cycle. AssertionError for negative numbers or active = 0, as in PyTorch.
    """
    if wait < 0 or warmup < 0 or active <= 0 or repeat < 0 or skip_first < 0:
        raise AssertionError("Invalid profiler schedule arguments")
    if warmup == 0:
        warnings.warn(
            "Profiler won't be using warmup, this can skew profiler results", stacklevel=2
        )

    def action(step):
        if step < 0:
            raise AssertionError(f"Step must be non-negative. Got {step}.")
        if step < skip_first:
            return ProfilerAction.NONE
        step -= skip_first
        if skip_first_wait:
            step += wait
        cycle = wait + warmup + active
        if repeat and step // cycle >= repeat:
            return ProfilerAction.NONE
        place = step % cycle
        if place < wait:
            return ProfilerAction.NONE
        if place < wait + warmup:
            return ProfilerAction.WARMUP
        return ProfilerAction.RECORD if place < cycle - 1 else ProfilerAction.RECORD_AND_SAVE

    return action


def tensorboard_trace_handler(dir_name, worker_name=None, use_gzip=False, use_python_export=False):
    """A function for on_trace_ready that writes each trace to a file in `dir_name`.

    use_python_export is accepted: this is the only way to write one.
    """

    def handler(prof):
        os.makedirs(dir_name, exist_ok=True)
        worker = worker_name or f"{socket.gethostname()}_{os.getpid()}"
        path = os.path.join(dir_name, f"{worker}.{time.time_ns()}.pt.trace.json")
        prof.export_chrome_trace(path)
        if use_gzip:
            import gzip
            import shutil

            with open(path, "rb") as plain, gzip.open(path + ".gz", "wb") as packed:
                shutil.copyfileobj(plain, packed)
            os.remove(path)

    return handler


class profile:
    """Record the operations of a `with` block, or between `start()` and `stop()`.

    activities: ProfilerActivity.CPU is what there is. schedule: a function from the number of a
    step, which `step()` ends, to its ProfilerAction, see `schedule`; None records everything.
    on_trace_ready(prof) is called when a cycle, or without a schedule the block, has ended.
    record_shapes keeps the shapes of the operands. Other arguments are PyTorch's: no memory, stack
    or FLOP columns are recorded.

    >>> import fastdl as torch
    >>> from fastdl.profiler import ProfilerActivity, profile, record_function
    >>> with profile(activities=[ProfilerActivity.CPU]) as prof:
    ...     with record_function("inference"):
    ...         y = torch.ones(3).exp()
    >>> [(event.key, event.count) for event in prof.key_averages()]
    [('inference', 1), ('aten::exp', 1)]
    """

    def __init__(
        self,
        *,
        activities=None,
        schedule=None,
        on_trace_ready=None,
        record_shapes=False,
        profile_memory=False,
        with_stack=False,
        with_flops=False,
        with_modules=False,
        experimental_config=None,
        execution_trace_observer=None,
        acc_events=False,
        use_cuda=None,
        custom_trace_id_callback=None,
        post_processing_timeout_s=None,
    ):
        self.activities = supported_activities() if activities is None else set(activities)
        self.schedule = schedule or (lambda step: ProfilerAction.RECORD)
        self.scheduled = schedule is not None
        self.on_trace_ready = on_trace_ready
        self.record_shapes = record_shapes
        self.step_num = 0
        self.recorder = None
        self.done = EventList()
        self.label = None

    def start(self):
        """Begin with step 0."""
        self._begin(self.schedule(self.step_num))
        self._open_step()

    def stop(self):
        """End the recording; on_trace_ready is told of what there is."""
        self._close_step()
        if self.recorder is not None:
            action = self.schedule(self.step_num)
            self._end(save=action in (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE))

    def step(self):
        """The next step begins."""
        self._close_step()
        before = self.schedule(self.step_num)
        self.step_num += 1
        after = self.schedule(self.step_num)
        if before is ProfilerAction.RECORD_AND_SAVE:
            self._end(save=True)
        elif after is ProfilerAction.NONE and self.recorder is not None:
            self._end(save=False)
        if before is ProfilerAction.WARMUP and after is not ProfilerAction.WARMUP:
            self._end(save=False)  # what the warm-up recorded
        self._begin(after)
        self._open_step()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc):
        self.stop()

    def _begin(self, action):
        if action is not ProfilerAction.NONE and self.recorder is None:
            self.recorder = Recorder(self.record_shapes)
            self.recorder.start()

    def _end(self, save):
        if self.recorder is None:
            return
        self.recorder.stop()
        if save:
            self.done = self.recorder.events()
        self.recorder = None
        if save and self.on_trace_ready is not None:
            self.on_trace_ready(self)

    def _open_step(self):
        if self.scheduled:
            self.label = record_function(f"ProfilerStep#{self.step_num}")
            self.label.__enter__()

    def _close_step(self):
        if self.label is not None:
            self.label.__exit__(None, None, None)
            self.label = None

    def events(self):
        """EventList of the last recording that ended."""
        return self.done

    def key_averages(
        self, group_by_input_shape=False, group_by_stack_n=0, group_by_overload_name=False
    ):
        """`EventList.key_averages` of the last recording that ended."""
        return self.done.key_averages(group_by_input_shape, group_by_stack_n)

    def export_chrome_trace(self, path):
        """Write the last recording that ended as JSON for chrome://tracing or Perfetto."""
        self.done.export_chrome_trace(path)

    def export_stacks(self, path, metric="self_cpu_time_total"):
        """For flame graphs: one line per nesting of events with its time in microseconds."""
        times = {}
        for event in self.done:
            names, above = [], event
            while above is not None:
                names.append(above.name.replace(" ", "_"))
                above = above.cpu_parent
            key = ";".join(reversed(names))
            times[key] = times.get(key, 0.0) + getattr(event, metric)
        with open(path, "w", encoding="utf-8") as file:
            file.writelines([f"{key} {int(us)}\n" for key, us in times.items()])
