"""``torch.serialization``: saving and loading, and PyTorch's lists of classes a file may name.

Nothing in a file is ever executed or imported here, whatever the lists say: `fastdl.load` reads
tensors, numbers, strings and containers. The lists exist so that programs which fill them run.
"""

from __future__ import annotations

import contextlib

from fastdl.io import load, save

__all__ = [
    "add_safe_globals",
    "clear_safe_globals",
    "get_safe_globals",
    "load",
    "safe_globals",
    "save",
]

_safe: list = []


def add_safe_globals(safe_globals: list) -> None:
    """Adds classes and functions, or ``(object, name)`` pairs, to the list; `fastdl.load` reads no
    more for it."""
    _safe.extend(item for item in safe_globals if item not in _safe)


def get_safe_globals() -> list:
    """What :func:`add_safe_globals` was given."""
    return list(_safe)


def clear_safe_globals() -> None:
    """Empties the list."""
    _safe.clear()


class safe_globals(contextlib.AbstractContextManager):
    """Context manager: :func:`add_safe_globals`, undone at its end."""

    def __init__(self, safe_globals: list) -> None:
        self.safe_globals = safe_globals

    def __enter__(self) -> None:
        self._before = get_safe_globals()
        add_safe_globals(self.safe_globals)

    def __exit__(self, *exception) -> None:
        _safe[:] = self._before
