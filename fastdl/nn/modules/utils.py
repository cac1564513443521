"""Numbers repeated for each dimension, as layers of other people's programs use them."""

from __future__ import annotations

from collections.abc import Iterable

__all__: list[str] = []


def _ntuple(n: int):
    """A function that makes an iterable a tuple and repeats anything else `n` times."""

    def parse(x):
        return tuple(x) if isinstance(x, Iterable) else (x,) * n

    return parse


_single, _pair, _triple, _quadruple = map(_ntuple, (1, 2, 3, 4))
