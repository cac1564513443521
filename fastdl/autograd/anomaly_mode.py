"""Anomaly mode: an error of the backward pass, or a NaN in it, names the forward call."""

import warnings

from fastdl import _engine

__all__ = [
    "detect_anomaly",
    "is_anomaly_check_nan_enabled",
    "is_anomaly_enabled",
    "set_detect_anomaly",
]

_OFF, _TRACE, _TRACE_AND_NAN = range(3)


def _level(mode, check_nan):
    return (_TRACE_AND_NAN if check_nan else _TRACE) if mode else _OFF


def is_anomaly_enabled():
    """Is anomaly mode on?"""
    return _current() > _OFF


def is_anomaly_check_nan_enabled():
    """Does anomaly mode look for NaN?"""
    return _current() == _TRACE_AND_NAN


def _current():
    level = _engine.set_anomaly(_OFF)
    _engine.set_anomaly(level)
    return level


class set_detect_anomaly:
    """Switch anomaly mode on or off, for all threads; as a context manager, until its end.

    While it is on, every recorded operation keeps the stack of its call. When its gradient function
    raises, or with check_nan returns a NaN (RuntimeError), a warning shows that stack. For
    debugging: it makes small operations much slower.
    """

    def __init__(self, mode, check_nan=True):
        self.before = _engine.set_anomaly(_level(mode, check_nan))

    def __enter__(self):
        pass

    def __exit__(self, *exc):
        _engine.set_anomaly(self.before)


class detect_anomaly:
    """Anomaly mode inside a `with` block; see `set_detect_anomaly`.

    >>> import fastdl as torch
    >>> x = torch.tensor(-1.0, requires_grad=True)
    >>> with torch.autograd.detect_anomaly():  # doctest: +SKIP
    ...     x.sqrt().backward()
    RuntimeError: Function 'SqrtBackward0' returned nan values in its 0th output.
    """

    def __init__(self, check_nan=True):
        self.check_nan = check_nan
        self.before = []
        warnings.warn(
            "Anomaly Detection has been enabled. This mode will increase the runtime and should "
            "only be enabled for debugging.",
            stacklevel=2,
        )

    def __enter__(self):
        self.before.append(_engine.set_anomaly(_level(True, self.check_nan)))

    def __exit__(self, *exc):
        _engine.set_anomaly(self.before.pop())
