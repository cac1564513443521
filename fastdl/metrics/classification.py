"""Measures of decisions: accuracy, the confusion matrix and what is computed from it."""

from __future__ import annotations

import math

import numpy as np

from fastdl.metrics.base import Metric, as_array, as_numbers
from fastdl.ops.creation import as_tensor
from fastdl.tensor import Tensor

__all__ = [
    "Accuracy",
    "ConfusionMatrix",
    "F1Score",
    "Precision",
    "Recall",
    "TopKAccuracy",
    "accuracy",
    "confusion_matrix",
    "f1_score",
    "precision",
    "recall",
    "top_k_accuracy",
]


def as_classes(value, what: str) -> np.ndarray:
    """Whole numbers >= 0 as int64, from integers, booleans or floats that are whole."""
    array = as_array(value)
    if array.dtype.kind not in "biu":
        whole = array.astype(np.float64)
        if not (whole == np.floor(whole)).all():
            raise ValueError(f"metrics: {what} should be class numbers, but got fractions")
        array = whole
    return array.astype(np.int64)


def decisions(preds, target, threshold: float) -> tuple[np.ndarray, np.ndarray, int]:
    """(classes decided for, true classes, number of classes known from the shape or 0), flat.

    Scores have one dimension more than `target`, of the classes at dimension 1: the highest wins.
    Floats of target's shape are scores of class 1, against `threshold`; integers are classes.
    """
    preds, target = as_array(preds), as_classes(target, "target")
    if preds.ndim == target.ndim + 1 and preds.shape[1:2] == (1,):
        preds = preds[:, 0]  # the one column of a network with one output
    if preds.shape == target.shape:
        if preds.dtype.kind not in "biu":
            return (preds > threshold).astype(np.int64).ravel(), target.ravel(), 2
        return as_classes(preds, "preds").ravel(), target.ravel(), 0
    if preds.ndim != target.ndim + 1 or preds.shape[:1] + preds.shape[2:] != target.shape:
        raise ValueError(
            "metrics: preds should have the shape of target, or that with the classes as dimension "
            f"1, but got {tuple(preds.shape)} for {tuple(target.shape)}"
        )
    return preds.argmax(1).ravel(), target.ravel(), preds.shape[1]


class Accuracy(Metric):
    """The fraction of right decisions.

    Args:
        threshold: preds above it are of class 1 where they are scores of one class; the default
            suits probabilities, 0 suits logits.
        ignore_index: a class whose samples are left out.

    ``update(preds, target)`` takes scores ``(N, C, ...)``, classes ``(N, ...)`` or scores of class
    1 ``(N, ...)``, and the true classes ``(N, ...)``.
    """

    state_names = ("right", "count")

    def __init__(self, threshold: float = 0.5, ignore_index: int | None = None) -> None:
        self.threshold, self.ignore_index = threshold, ignore_index
        super().__init__()

    def reset(self) -> None:
        self.right = self.count = 0

    def update(self, preds, target) -> None:
        guesses, truth, _ = decisions(preds, target, self.threshold)
        counted = truth != self.ignore_index if self.ignore_index is not None else slice(None)
        self.right += int((guesses == truth)[counted].sum())
        self.count += len(truth[counted])

    def compute(self) -> float:
        return self.right / self.count if self.count else math.nan


class TopKAccuracy(Metric):
    """The fraction of samples whose class is among the `k` of highest score.

    Of equal scores, the later class counts as the higher one, as in scikit-learn.
    ``update(preds, target)`` takes scores ``(N, C)`` and classes ``(N,)``.

    Raises:
        ValueError: `k` is no positive int, or preds have other shapes or fewer than `k` classes.
    """

    state_names = ("right", "count")

    def __init__(self, k: int = 5) -> None:
        if isinstance(k, bool) or not isinstance(k, int) or k < 1:
            raise ValueError(f"TopKAccuracy: k should be a positive int, but got {k!r}")
        self.k = k
        super().__init__()

    def reset(self) -> None:
        self.right = self.count = 0

    def update(self, preds, target) -> None:
        scores, truth = as_numbers(preds), as_classes(target, "target")
        if scores.ndim != 2 or truth.shape != scores.shape[:1] or scores.shape[1] < self.k:
            raise ValueError(
                f"TopKAccuracy: expected preds (N, C) with C >= {self.k} and target (N,), but got "
                f"{scores.shape} and {truth.shape}"
            )
        if ((truth < 0) | (truth >= scores.shape[1])).any():
            raise ValueError(f"TopKAccuracy: target should be in [0, {scores.shape[1]})")
        own = np.take_along_axis(scores, truth[:, None], 1)
        later = np.arange(scores.shape[1]) > truth[:, None]
        above = ((scores > own) | ((scores == own) & later)).sum(1)
        self.right += int((above < self.k).sum())
        self.count += len(truth)

    def compute(self) -> float:
        return self.right / self.count if self.count else math.nan


class ConfusionMatrix(Metric):
    """How often samples of class i (row) were taken for class j (column).

    Args:
        num_classes: None: as many as are seen.
        threshold, ignore_index: see :class:`Accuracy`.
        normalize: ``"true"``, ``"pred"`` or ``"all"``: fractions of the row, of the column, of all;
            None: counts.

    :meth:`compute` gives a Tensor ``(C, C)``, int64 or, normalised, float64; an empty row or column
    is zeros.

    Raises:
        ValueError: in ``update``: a class outside ``[0, num_classes)``, or shapes that do not fit.
    """

    state_names = ("counts",)

    def __init__(
        self,
        num_classes: int | None = None,
        threshold: float = 0.5,
        ignore_index: int | None = None,
        normalize: str | None = None,
    ) -> None:
        if normalize not in (None, "true", "pred", "all"):
            raise ValueError(
                f"ConfusionMatrix: normalize should be 'true', 'pred', 'all' or None, but got "
                f"{normalize!r}"
            )
        self.num_classes, self.threshold = num_classes, threshold
        self.ignore_index, self.normalize = ignore_index, normalize
        super().__init__()

    def reset(self) -> None:
        size = self.num_classes or 0
        self.counts = np.zeros((size, size), np.int64)

    def update(self, preds, target) -> None:
        guesses, truth, known = decisions(preds, target, self.threshold)
        if self.ignore_index is not None:
            counted = truth != self.ignore_index
            guesses, truth = guesses[counted], truth[counted]
        least = min(guesses.min(initial=0), truth.min(initial=0))
        needed = max(guesses.max(initial=-1), truth.max(initial=-1)) + 1
        if least < 0 or (self.num_classes is not None and needed > self.num_classes):
            bound = "" if self.num_classes is None else f" and below {self.num_classes}"
            found = least if least < 0 else needed - 1
            raise ValueError(f"metrics: classes should be at least 0{bound}, but got {found}")
        size = max(len(self.counts), needed, known if self.num_classes is None else 0)
        grow = size - len(self.counts)
        flat = np.bincount(truth * size + guesses, minlength=size * size)
        self.counts = np.pad(self.counts, (0, grow)) + flat.reshape(size, size)

    def compute(self) -> Tensor:
        if self.normalize is None:
            return as_tensor(self.counts.copy())
        axis = {"true": 1, "pred": 0, "all": None}[self.normalize]
        return as_tensor(ratio(self.counts, self.counts.sum(axis, keepdims=True)))


def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """above / below in float64, 0 where `below` is 0."""
    return np.divide(above, below, out=np.zeros(np.shape(above)), where=np.asarray(below) != 0)


class _Average(ConfusionMatrix):
    """A measure of single classes and its averages; a class without samples and guesses is passed
    over. Subclasses define :meth:`_fraction`."""

    def __init__(
        self,
        average: str | None = "macro",
        num_classes: int | None = None,
        threshold: float = 0.5,
        ignore_index: int | None = None,
    ) -> None:
        if average not in ("binary", "micro", "macro", "weighted", None):
            raise ValueError(
                f"{type(self).__name__}: average should be 'binary', 'micro', 'macro', 'weighted' "
                f"or None, but got {average!r}"
            )
        self.average = average
        super().__init__(num_classes, threshold, ignore_index)

    @staticmethod
    def _fraction(right, guessed, true) -> tuple:
        """(numerator, denominator) by the number of right guesses, of guesses, and of samples."""
        raise NotImplementedError

    def compute(self) -> float | Tensor:
        right, guessed, true = self.counts.diagonal(), self.counts.sum(0), self.counts.sum(1)
        if self.average != "micro":
            each = ratio(*self._fraction(right, guessed, true))
        if self.average is None:
            return as_tensor(each)
        if true.sum() == 0:
            return math.nan
        if self.average == "binary":
            if len(each) > 2:
                raise ValueError(
                    f"{type(self).__name__}: average='binary' is for two classes, but there are "
                    f"{len(each)}"
                )
            return float(each[1]) if len(each) == 2 else 0.0
        if self.average == "micro":
            return float(ratio(*self._fraction(right.sum(), guessed.sum(), true.sum())))
        seen = guessed + true > 0
        weights = true[seen] if self.average == "weighted" else np.ones(seen.sum())
        return float((each[seen] * weights).sum() / weights.sum())


class Precision(_Average):
    """Of the samples taken for a class, the fraction that are of it; 0 where there are none.

    Args:
        average: ``"macro"``: the mean over classes; ``"weighted"``: by their number of samples;
            ``"micro"``: over all decisions; ``"binary"``: class 1 of two; None: a float64 Tensor
            ``(C,)`` of all classes.
        num_classes: None: as many as are seen.
        threshold, ignore_index: see :class:`Accuracy`.
    """

    @staticmethod
    def _fraction(right, guessed, true):
        return right, guessed


class Recall(_Average):
    """Of the samples of a class, the fraction taken for it; 0 where there are none.

    The arguments are those of :class:`Precision`.
    """

    @staticmethod
    def _fraction(right, guessed, true):
        return right, true


class F1Score(_Average):
    """The harmonic mean of precision and recall; 0 where both are.

    The arguments are those of :class:`Precision`; averages are taken of the classes' F1.
    """

    @staticmethod
    def _fraction(right, guessed, true):
        return 2 * right, guessed + true


def accuracy(preds, target, *, threshold: float = 0.5, ignore_index: int | None = None) -> float:
    """The fraction of right decisions in one batch; see :class:`Accuracy`."""
    return Accuracy(threshold, ignore_index).of(preds, target)


def top_k_accuracy(preds, target, *, k: int = 5) -> float:
    """The fraction of samples with their class among the `k` best; see :class:`TopKAccuracy`."""
    return TopKAccuracy(k).of(preds, target)


def confusion_matrix(
    preds,
    target,
    *,
    num_classes: int | None = None,
    threshold: float = 0.5,
    ignore_index: int | None = None,
    normalize: str | None = None,
) -> Tensor:
    """Counts (C, C) of true against decided classes; see :class:`ConfusionMatrix`."""
    return ConfusionMatrix(num_classes, threshold, ignore_index, normalize).of(preds, target)


def precision(preds, target, *, average: str | None = "macro", **options) -> float | Tensor:
    """The precision of one batch; `average` and `options` as in :class:`Precision`."""
    return Precision(average, **options).of(preds, target)


def recall(preds, target, *, average: str | None = "macro", **options) -> float | Tensor:
    """The recall of one batch; `average` and `options` as in :class:`Precision`."""
    return Recall(average, **options).of(preds, target)


def f1_score(preds, target, *, average: str | None = "macro", **options) -> float | Tensor:
    """The F1 score of one batch; `average` and `options` as in :class:`Precision`."""
    return F1Score(average, **options).of(preds, target)
