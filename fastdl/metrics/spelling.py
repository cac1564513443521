"""How far texts are from what was said: edit distance, word and character error rates."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from fastdl.metrics.base import Metric

__all__ = [
    "CharErrorRate",
    "WordErrorRate",
    "char_error_rate",
    "edit_distance",
    "word_error_rate",
]


def edit_distance(seq1: Sequence, seq2: Sequence) -> int:
    """The fewest insertions, deletions and substitutions that make one sequence the other.

    Levenshtein 1966. One row of the table at a time: what a row owes to the one before is a
    minimum of arrays, and what it owes to itself, d[j] = min over i <= j of d[i] + j - i, is a
    running minimum of d[j] - j.

    Args:
        seq1, seq2: strings, or lists of anything that can be compared and hashed.

    >>> from fastdl import metrics
    >>> metrics.edit_distance("kitten", "sitting")
    3
    >>> metrics.edit_distance(["a", "cat"], ["a", "black", "cat"])
    1
    """
    numbers: dict = {}
    first, second = (
        np.array([numbers.setdefault(item, len(numbers)) for item in seq], np.int64)
        for seq in (seq1, seq2)
    )
    places = np.arange(len(second) + 1)
    row = places
    for i, item in enumerate(first):
        new = np.empty_like(row)
        new[0] = i + 1
        np.minimum(row[:-1] + (second != item), row[1:] + 1, out=new[1:])
        row = np.minimum.accumulate(new - places) + places
    return int(row[-1])


class WordErrorRate(Metric):
    """Edits of words that recognised texts need, divided by the words there should be.

    0 is perfect; more than 1 is possible; nan before the first word.

    >>> from fastdl import metrics
    >>> rate = metrics.WordErrorRate()
    >>> rate.update(["this is the prediction", "there is an other sample"],
    ...             ["this is the reference", "there is another one"])
    >>> rate.compute()
    0.5
    """

    state_names = ("errors", "total")

    def reset(self) -> None:
        self.errors = self.total = 0

    @staticmethod
    def _units(text: str) -> Sequence[str]:
        return text.split()

    def update(self, preds: str | Sequence[str], target: str | Sequence[str]) -> None:
        """Take in one text, or several; ValueError unless there are as many of both."""
        preds = [preds] if isinstance(preds, str) else preds
        target = [target] if isinstance(target, str) else target
        if len(preds) != len(target):
            raise ValueError(
                f"{type(self).__name__}: {len(preds)} predictions but {len(target)} targets"
            )
        for found, wanted in zip(preds, target):
            units = self._units(wanted)
            self.errors += edit_distance(self._units(found), units)
            self.total += len(units)

    def compute(self) -> float:
        return self.errors / self.total if self.total else math.nan


class CharErrorRate(WordErrorRate):
    """:class:`WordErrorRate` of characters, spaces among them."""

    @staticmethod
    def _units(text: str) -> Sequence[str]:
        return text


def word_error_rate(preds: str | Sequence[str], target: str | Sequence[str]) -> float:
    """:class:`WordErrorRate` of some texts.

    >>> from fastdl import metrics
    >>> metrics.word_error_rate("the cat sat", "the cat sat down")
    0.25
    """
    return WordErrorRate().of(preds, target)


def char_error_rate(preds: str | Sequence[str], target: str | Sequence[str]) -> float:
    """:class:`CharErrorRate` of some texts.

    >>> from fastdl import metrics
    >>> metrics.char_error_rate("hallo", "hello")
    0.2
    """
    return CharErrorRate().of(preds, target)
