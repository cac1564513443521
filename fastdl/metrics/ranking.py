"""Measures of scores, whatever the threshold: ROC and precision-recall curves and their areas."""

from __future__ import annotations

import numpy as np

from fastdl.metrics.base import Metric, as_numbers
from fastdl.metrics.classification import as_classes
from fastdl.ops.creation import as_tensor
from fastdl.tensor import Tensor

__all__ = [
    "ROCAUC",
    "AveragePrecision",
    "average_precision",
    "precision_recall_curve",
    "roc_auc",
    "roc_curve",
]


def counts_by_threshold(scores: np.ndarray, positive: np.ndarray):
    """(positives, negatives, score) for each distinct score, the highest first: how many samples
    lie at it or above. `positive` is boolean."""
    if np.isnan(scores).any():
        raise ValueError("metrics: scores should be numbers, but got nan")
    order = np.argsort(-scores, kind="stable")
    scores, positive = scores[order], positive[order]
    last = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)  # of equal scores
    positives = np.cumsum(positive)[last]
    return positives, last + 1 - positives, scores[last]


def _area_under_roc(scores, positive) -> float:
    """nan where all or none are positive."""
    if positive.all() or not positive.any():
        return np.nan
    positives, negatives, _ = counts_by_threshold(scores, positive)
    width = np.diff(negatives, prepend=0)
    twice = (width * (positives + np.append(0, positives[:-1]))).sum()  # trapezoids; whole numbers
    return float(twice / (2 * positives[-1] * negatives[-1]))


def _average_precision(scores, positive) -> float:
    """nan where none is positive."""
    if not positive.any():
        return np.nan
    positives, negatives, _ = counts_by_threshold(scores, positive)
    precision = positives / (positives + negatives)
    return float((np.diff(positives, prepend=0) * precision).sum() / positives[-1])


class _Ranking(Metric):
    """A measure of one class's scores, and its averages over classes; it keeps all scores."""

    state_names = ("scores", "target")

    def __init__(self, average: str | None = "macro") -> None:
        if average not in ("micro", "macro", "weighted", None):
            raise ValueError(
                f"{type(self).__name__}: average should be 'micro', 'macro', 'weighted' or None, "
                f"but got {average!r}"
            )
        self.average = average
        super().__init__()

    @staticmethod
    def _measure(scores: np.ndarray, positive: np.ndarray) -> float:
        raise NotImplementedError

    def reset(self) -> None:
        self.scores: list[np.ndarray] = []
        self.target: list[np.ndarray] = []

    def update(self, preds, target) -> None:
        scores, truth = as_numbers(preds), as_classes(target, "target")
        if scores.ndim == 2 and scores.shape[1] == 1:  # the column of a network with one output
            scores = scores[:, 0]
            truth = truth[:, 0] if truth.ndim == 2 and truth.shape[1] == 1 else truth
        if scores.ndim not in (1, 2) or scores.shape[: truth.ndim] != truth.shape or not truth.ndim:
            raise ValueError(
                f"{type(self).__name__}: expected preds (N,) or (N, C) and target (N,) or (N, C), "
                f"but got {scores.shape} and {truth.shape}"
            )
        self.scores.append(scores)
        self.target.append(truth)

    def compute(self) -> float | Tensor:
        if not self.scores:
            return np.nan
        scores, truth = np.concatenate(self.scores), np.concatenate(self.target)
        classes = 2 if scores.ndim == 1 or truth.ndim == 2 else scores.shape[1]
        if ((truth < 0) | (truth >= classes)).any():
            raise ValueError(f"{type(self).__name__}: target should be in [0, {classes})")
        if scores.ndim == 1:
            return self._defined(self._measure(scores, truth == 1))
        positive = truth == 1 if truth.ndim == 2 else truth[:, None] == np.arange(classes)
        if self.average == "micro":
            return self._defined(self._measure(scores.ravel(), positive.ravel()))
        each = np.array([self._measure(s, p) for s, p in zip(scores.T, positive.T)])
        if self.average is None:
            return as_tensor(each)
        weights = positive.sum(0) if self.average == "weighted" else np.ones(len(each))
        return self._defined(float(np.average(each, weights=weights)))

    def _defined(self, value: float) -> float:
        if np.isnan(value):
            raise ValueError(
                f"{type(self).__name__}: not defined where a class has no samples or all of them; "
                "average=None gives the other classes' values"
            )
        return value


class ROCAUC(_Ranking):
    """The area under the ROC curve: the chance that a random sample of the class has a higher score
    than a random other one, equal scores counting half.

    Args:
        average: for several classes, each against the rest: ``"macro"``: the mean over classes,
            ``"weighted"``: by their number of samples, ``"micro"``: all scores taken together,
            None: a float64 Tensor ``(C,)``, with nan where it is not defined.

    ``update(preds, target)`` takes scores of class 1 ``(N,)`` and classes 0 and 1 ``(N,)``; scores
    ``(N, C)`` and classes ``(N,)``; or, for samples of several classes, scores and zeros and ones,
    both ``(N, C)``.

    Raises:
        ValueError: shapes or classes do not fit; in :meth:`compute`: a class has no samples, or
            all.
    """

    _measure = staticmethod(_area_under_roc)


class AveragePrecision(_Ranking):
    """The mean of the precisions at all thresholds, each weighted by the gain of recall there.

    The arguments are those of :class:`ROCAUC`; for two classes, preds are the scores of class 1.
    """

    _measure = staticmethod(_average_precision)


def roc_auc(preds, target, *, average: str | None = "macro") -> float | Tensor:
    """The area under the ROC curve; see :class:`ROCAUC`."""
    return ROCAUC(average).of(preds, target)


def average_precision(preds, target, *, average: str | None = "macro") -> float | Tensor:
    """The average precision; see :class:`AveragePrecision`."""
    return AveragePrecision(average).of(preds, target)


def _of_two_classes(preds, target, name: str):
    scores, truth = as_numbers(preds).ravel(), as_classes(target, "target").ravel()
    if scores.shape != truth.shape or not np.isin(truth, (0, 1)).all():
        raise ValueError(f"{name}: expected as many scores as classes, and classes 0 and 1 only")
    if len(np.unique(truth)) < 2:
        raise ValueError(f"{name}: there should be samples of both classes")
    return counts_by_threshold(scores, truth == 1)


def roc_curve(preds, target) -> tuple[Tensor, Tensor, Tensor]:
    """The ROC curve of scores ``(N,)`` for classes 0 and 1.

    Returns:
        False-positive rates, true-positive rates and thresholds, float64: what a decision for
        class 1 at ``score >= threshold`` gives; all distinct scores, the highest first, after the
        threshold inf with the point (0, 0).

    Raises:
        ValueError: sizes differ, or the classes are not 0 and 1, both with samples.
    """
    positives, negatives, scores = _of_two_classes(preds, target, "roc_curve")
    curve = (
        np.append(0, negatives / negatives[-1]),
        np.append(0, positives / positives[-1]),
        np.append(np.inf, scores),
    )
    return tuple(map(as_tensor, curve))


def precision_recall_curve(preds, target) -> tuple[Tensor, Tensor, Tensor]:
    """The precision-recall curve of scores ``(N,)`` for classes 0 and 1.

    Returns:
        Precisions, recalls and thresholds, float64, the lowest threshold first; precision 1 and
        recall 0 come last, and have no threshold.

    Raises:
        ValueError: sizes differ, or the classes are not 0 and 1, both with samples.
    """
    positives, negatives, scores = _of_two_classes(preds, target, "precision_recall_curve")
    curve = (
        np.append((positives / (positives + negatives))[::-1], 1),
        np.append((positives / positives[-1])[::-1], 0),
        scores[::-1].copy(),
    )
    return tuple(map(as_tensor, curve))
