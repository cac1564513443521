"""The one stopwatch: how a time is taken. It imports nothing, so that any process can use it.

A *round* is the median of several repeats after two warm-ups; a repeat is as many calls as last
about 100 us. Contestants take turns, round by round, and the fastest round of each counts: other
programs on the machine can only make a round slower. The spread between rounds is kept beside it.
"""

import time
from functools import partial
from typing import NamedTuple


class Timing(NamedTuple):
    """Seconds per call."""

    best: float  # the fastest round
    spread: float  # how much slower the slowest round was, as a fraction of the fastest
    rounds: int


SLOW = 1.0  # seconds: a call that takes longer is timed once, without warming up
UNSTEADY = 1.5  # slowest round over fastest: beyond it there are more rounds


def one_round(call, seconds=0.06, repeats=7):
    """Median seconds per call of at least `repeats` repeats and about `seconds`, warmed up twice.

    Of a call slower than `seconds` one is timed, after one to warm up.
    """
    for _ in range(2):
        start = time.perf_counter()
        call()
        once = time.perf_counter() - start
        if once > SLOW:
            return once
    if once > seconds:
        return once
    times = []
    inner = max(1, int(1e-4 / max(once, 1e-9)))
    stop = time.perf_counter() + seconds
    while len(times) < repeats or time.perf_counter() < stop:
        start = time.perf_counter()
        for _ in range(inner):
            call()
        times.append((time.perf_counter() - start) / inner)
    return sorted(times)[len(times) // 2]


def steady(sides):
    """Whether the slowest round of each side is hardly slower than its fastest."""
    return all(max(times) <= UNSTEADY * min(times) for times in sides)


def race(calls, rounds=5, seconds=0.3, repeats=7, ready=None):
    """Times contestants in turn: `{name: callable}` -> `{name: Timing}`, about `seconds` for each,
    two or three times that where the latest rounds of one differ by more than UNSTEADY.

    A contestant is a callable without arguments, timed here by `one_round`, or any object with a
    method `round(seconds, repeats)` that returns seconds per call: one in another process. One
    whose call takes longer than a second has one round. `ready`, if given, is called before each
    round, and returns when the machine is fit for it.
    """
    times = {name: [] for name in calls}
    for done in range(3 * rounds):
        if done in (rounds, 2 * rounds) and steady(ts[-rounds:] for ts in times.values()):
            break
        for name, call in calls.items():
            if times[name] and times[name][0] > SLOW:
                continue
            one = getattr(call, "round", None) or partial(one_round, call)
            if ready:
                ready()
            times[name].append(one(seconds / rounds, repeats))
    return {name: Timing(min(ts), max(ts) / min(ts) - 1, len(ts)) for name, ts in times.items()}
