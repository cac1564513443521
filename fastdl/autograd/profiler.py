"""Where the time goes: each operation, each step backward and each `record_function` block becomes
an event with a start and an end.

The engine tells an observer of every primitive that ran; without a profiler there is none, and an
operation pays for that with one comparison. Events nest by their times: an event's parent is the
shortest one of its thread that encloses it. Times are those of time.perf_counter_ns.
"""

import functools
import json
import os
import re
import threading
from collections import defaultdict

from fastdl import _engine
from fastdl._engine import Primitive, TensorBase

__all__ = ["EventList", "FunctionEvent", "FunctionEventAvg", "profile", "record_function"]


class FunctionEvent:
    """One run of an operation or block: name, thread, start and end in microseconds.

    cpu_time_total: its length; self_cpu_time_total: without its cpu_children; cpu_parent: the event
    it ran in, or None; input_shapes: of Tensors, with record_shapes.
    """

    count = 1

    def __init__(self, name, thread, start, end, input_shapes):
        self.name = self.key = name
        self.thread = thread
        self.start = start
        self.end = end
        self.input_shapes = input_shapes
        self.cpu_parent = None
        self.cpu_children = []

    @property
    def cpu_time_total(self):
        """Microseconds from start to end."""
        return self.end - self.start

    cpu_time = cpu_time_total

    @property
    def self_cpu_time_total(self):
        """Microseconds outside of the children."""
        return self.cpu_time_total - sum([e.cpu_time_total for e in self.cpu_children])

    def __repr__(self):
        return (
            f"<FunctionEvent name={self.name} cpu_time={_time(self.cpu_time_total)} "
            f"thread={self.thread} input_shapes={self.input_shapes}>"
        )


class FunctionEventAvg:
    """All events of one key together: count, cpu_time_total, self_cpu_time_total, cpu_time (the
    mean), input_shapes.
    """

    def __init__(self, key, input_shapes=None):
        self.key = self.name = key
        self.input_shapes = input_shapes
        self.count = 0
        self.cpu_time_total = self.self_cpu_time_total = 0.0

    def add(self, event, outermost):
        """Count `event`, and its time unless it ran inside another one of the key."""
        self.count += 1
        self.self_cpu_time_total += event.self_cpu_time_total
        if outermost:
            self.cpu_time_total += event.cpu_time_total

    @property
    def cpu_time(self):
        """Mean of the times of a call, in microseconds."""
        return self.cpu_time_total / self.count if self.count else 0.0

    def __repr__(self):
        return (
            f"<FunctionEventAvg key={self.key} self_cpu_time="
            f"{_time(self.self_cpu_time_total)} cpu_time={_time(self.cpu_time)} "
            f"count={self.count}>"
        )


def _time(us):
    """1.5 -> '1.500us', and so on in ms and s."""
    for unit, size in (("s", 1e6), ("ms", 1e3)):
        if us >= size:
            return f"{us / size:.3f}{unit}"
    return f"{us:.3f}us"


_SORT = ("cpu_time", "cpu_time_total", "self_cpu_time_total", "count")


class EventList(list):
    """Events, or averages of them, as a table or as a trace for chrome://tracing."""

    def key_averages(self, group_by_input_shape=False, group_by_stack_n=0):
        """One FunctionEventAvg per name, or per name and shapes. group_by_stack_n is accepted:
        events keep no stacks.
        """
        found = {}
        for event in self:
            shapes = str(event.input_shapes) if group_by_input_shape else None
            if (event.name, shapes) not in found:
                given = event.input_shapes if group_by_input_shape else None
                found[event.name, shapes] = FunctionEventAvg(event.name, given)
            above = event.cpu_parent
            while above is not None and above.name != event.name:
                above = above.cpu_parent
            found[event.name, shapes].add(event, above is None)
        return EventList(found.values())

    @property
    def self_cpu_time_total(self):
        """Microseconds of all events, none counted twice."""
        return sum([e.self_cpu_time_total for e in self])

    def total_average(self):
        """All events as one."""
        total = FunctionEventAvg("Total")
        for event in self:
            total.count += event.count
            total.self_cpu_time_total += event.self_cpu_time_total
        total.cpu_time_total = total.self_cpu_time_total
        return total

    def table(
        self,
        sort_by=None,
        row_limit=100,
        max_src_column_width=75,
        max_name_column_width=55,
        max_shapes_column_width=80,
        header=None,
        top_level_events_only=False,
    ):
        """The events as text: time alone and with what ran inside, number of calls.

        sort_by: 'cpu_time', 'cpu_time_total', 'self_cpu_time_total' or 'count', largest first;
        None: as they came. ValueError for another. row_limit: so many rows, -1 for all.
        top_level_events_only: leave out what ran inside another event.
        """
        if sort_by is not None and sort_by not in _SORT:
            raise ValueError(f"sort_by: expected one of {', '.join(_SORT)}, got {sort_by!r}")
        events = list(self)
        if top_level_events_only:
            events = [e for e in events if getattr(e, "cpu_parent", None) is None]
        if sort_by is not None:
            events.sort(key=lambda e: getattr(e, sort_by), reverse=True)
        if row_limit >= 0:
            events = events[:row_limit]
        whole = self.self_cpu_time_total
        shapes = any(e.input_shapes for e in self)
        titles = ["Name", "Self CPU %", "Self CPU", "CPU total %", "CPU total", "CPU time avg",
                  "# of Calls"]  # fmt: skip
        rows = []
        for e in events:
            alone, total = e.self_cpu_time_total, e.cpu_time_total
            row = [
                _shortened(e.key, max_name_column_width),
                _percent(alone, whole),
                _time(alone),
                _percent(total, whole),
                _time(total),
                _time(e.cpu_time),
                str(e.count),
            ]
            if shapes:
                row.append(_shortened(str(e.input_shapes or []), max_shapes_column_width))
            rows.append(row)
        if shapes:
            titles.append("Input Shapes")
        return _text(titles, rows, header) + f"\nSelf CPU time total: {_time(whole)}\n"

    def __str__(self):
        return self.table()

    def export_chrome_trace(self, path):
        """Write the events as JSON for chrome://tracing or Perfetto."""
        process = os.getpid()
        events = [
            {"ph": "X", "cat": "cpu_op", "name": e.name, "pid": process, "tid": e.thread,
             "ts": e.start, "dur": e.cpu_time_total,
             "args": {"Input Dims": e.input_shapes} if e.input_shapes else {}}
            for e in self
        ]  # fmt: skip
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"traceEvents": events, "displayTimeUnit": "ms"}, file)


def _shortened(text, width):
    return text if width is None or len(text) <= width else text[: width - 3] + "..."


def _percent(part, whole):
    return f"{100 * part / whole:.2f}%" if whole else "NaN"


def _text(titles, rows, header):
    """Columns of text under their titles, all right-aligned but for the shapes."""
    widths = [max([len(title), *[len(row[i]) for row in rows]]) for i, title in enumerate(titles)]
    rule = "  ".join(["-" * width for width in widths])
    lines = [rule]
    if header is not None:
        lines = ["=" * len(rule), header, rule]
    lines.append("  ".join([title.rjust(width) for title, width in zip(titles, widths)]))
    lines.append(rule)
    lines += ["  ".join([cell.rjust(width) for cell, width in zip(row, widths)]) for row in rows]
    return "\n".join([*lines, rule])


_current = None  # the Recorder that the engine tells


class Recorder:
    """Collects events between `start` and `stop`; only one at a time does."""

    def __init__(self, record_shapes=False):
        self.record_shapes = record_shapes
        self.raw = []

    def start(self):
        """Begin; RuntimeError if another one has not stopped yet."""
        global _current
        if _current is not None:
            raise RuntimeError("Profiler is already enabled")
        _current = self
        _engine.set_observer(self.observe)

    def stop(self):
        """End."""
        global _current
        if _current is self:
            _engine.set_observer(None)
            _current = None

    def observe(self, what, start, end, args):
        """The engine's message: an operation ran, or a node of the graph."""
        shapes = None
        if self.record_shapes and args is not None:
            shapes = [list(a.array.shape) if isinstance(a, TensorBase) else [] for a in args]
        self.raw.append((what, threading.get_ident(), start, end, shapes))

    def events(self):
        """The events so far, by their start, each with its parent."""
        events = EventList(
            FunctionEvent(_name(what), thread, start / 1000, end / 1000, shapes)
            for what, thread, start, end, shapes in self.raw
        )
        events.sort(key=lambda e: (e.start, -e.end))
        open_events = defaultdict(list)
        for event in events:
            above = open_events[event.thread]
            while above and above[-1].end < event.end:
                above.pop()
            if above:
                event.cpu_parent = above[-1]
                above[-1].cpu_children.append(event)
            above.append(event)
        return events


@functools.cache
def _operation(node_name):
    """'AddmmBackward0' -> 'aten::addmm': PyTorch's name of the operation."""
    short = re.sub(r"Backward\d*$", "", node_name)
    return "aten::" + re.sub(r"(?<=[a-z0-9D])(?=[A-Z][a-z])", "_", short).lower()


def _name(what):
    if isinstance(what, str):
        return what
    return _operation(what.node_name) if isinstance(what, Primitive) else what.name()


class record_function:
    """A named block in the profile: `with record_function("forward"):`, or a decorator.

    args: a string that PyTorch shows with it.
    """

    def __init__(self, name, args=None):
        self.name = name
        self.args = args
        self.starts = []

    def __enter__(self):
        self.starts.append(_engine.perf_counter_ns())
        return self

    def __exit__(self, *exc):
        start = self.starts.pop()
        if _current is not None:
            _current.observe(self.name, start, _engine.perf_counter_ns(), None)

    def __call__(self, function):
        @functools.wraps(function)
        def recorded(*args, **kwargs):
            with record_function(self.name, self.args):
                return function(*args, **kwargs)

        return recorded


class profile:
    """Record the operations of a `with` block; `prof.key_averages().table(sort_by="count")` prints.

    enabled=False records nothing. record_shapes keeps the shapes of the operands. Other arguments
    are PyTorch's; there are no GPU, memory, stack or FLOP columns.

    >>> import fastdl as torch
    >>> with torch.autograd.profiler.profile() as prof:
    ...     x = torch.ones(3) * 2
    >>> [event.name for event in prof.function_events]
    ['aten::mul']
    """

    def __init__(
        self,
        enabled=True,
        *,
        use_cuda=False,
        use_device=None,
        record_shapes=False,
        with_flops=False,
        profile_memory=False,
        with_stack=False,
        with_modules=False,
        use_kineto=False,
        use_cpu=True,
        experimental_config=None,
        acc_events=False,
        custom_trace_id_callback=None,
        post_processing_timeout_s=None,
        activity_filters=None,
    ):
        self.enabled = enabled
        self.recorder = Recorder(record_shapes)
        self.entered = False

    def __enter__(self):
        if self.entered:
            raise RuntimeError("Profiler context manager is not reentrant")
        self.entered = True
        if self.enabled:
            self.recorder.start()
        return self

    def __exit__(self, *exc):
        self.recorder.stop()

    @functools.cached_property
    def function_events(self):
        """EventList of what ran; to be asked for after the block."""
        return self.recorder.events()

    def key_averages(self, group_by_input_shape=False, group_by_stack_n=0):
        """`EventList.key_averages`."""
        return self.function_events.key_averages(group_by_input_shape, group_by_stack_n)

    def table(self, sort_by=None, row_limit=100, **options):
        """`EventList.table` of all events."""
        return self.function_events.table(sort_by, row_limit, **options)

    def total_average(self):
        """All events as one."""
        return self.function_events.total_average()

    @property
    def self_cpu_time_total(self):
        """Microseconds of all events."""
        return self.function_events.self_cpu_time_total

    def export_chrome_trace(self, path):
        """`EventList.export_chrome_trace`."""
        self.function_events.export_chrome_trace(path)

    def __str__(self):
        return str(self.function_events)
