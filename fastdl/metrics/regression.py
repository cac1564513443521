"""Measures of predicted numbers: mean squared and absolute error, R^2."""

from __future__ import annotations

import math

import numpy as np

from fastdl.metrics.base import Metric, as_numbers

__all__ = [
    "MeanAbsoluteError",
    "MeanSquaredError",
    "R2Score",
    "mean_absolute_error",
    "mean_squared_error",
    "r2_score",
]


def pairs(preds, target) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64 of one shape; ``(N, 1)`` and ``(N,)`` are the same numbers."""
    preds, target = as_numbers(preds), as_numbers(target)
    if preds.shape != target.shape and {preds.shape, target.shape} == {
        (preds.size,),
        (preds.size, 1),
    }:
        preds, target = preds.ravel(), target.ravel()
    if preds.shape != target.shape:
        raise ValueError(
            f"metrics: preds and target should have one shape, but got {preds.shape} and "
            f"{target.shape}"
        )
    return preds, target


class _MeanError(Metric):
    state_names = ("total", "count")

    def reset(self) -> None:
        self.total, self.count = 0.0, 0

    @staticmethod
    def _error(difference: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def update(self, preds, target) -> None:
        preds, target = pairs(preds, target)
        self.total += float(self._error(preds - target).sum())
        self.count += preds.size

    def compute(self) -> float:
        return self.total / self.count if self.count else math.nan


class MeanSquaredError(_MeanError):
    """The mean of ``(preds - target)^2`` over all elements."""

    _error = staticmethod(np.square)


class MeanAbsoluteError(_MeanError):
    """The mean of ``|preds - target|`` over all elements."""

    _error = staticmethod(np.abs)


class R2Score(Metric):
    """The coefficient of determination ``1 - sum (target - preds)^2 / sum (target - mean)^2``.

    1 is perfect, 0 as good as the mean. Of several outputs, ``(N, K)``, the mean over the K. Where
    the target is constant: 1 if the predictions are perfect, else 0. nan for fewer than 2 samples.
    """

    state_names = ("count", "mean", "spread", "error")

    def reset(self) -> None:
        self.count = 0
        # Per output: mean of the targets, sum of squares about it, sum of squared errors.
        self.mean = self.spread = self.error = np.zeros(1)

    def update(self, preds, target) -> None:
        preds, target = pairs(preds, target)
        if preds.ndim not in (1, 2):
            raise ValueError(f"R2Score: expected (N,) or (N, K), but got {preds.shape}")
        if not len(preds):
            return
        preds, target = (x.reshape(len(x), -1) for x in (preds, target))
        if self.count and len(self.mean) != target.shape[1]:
            raise ValueError(
                f"R2Score: expected {len(self.mean)} outputs as before, but got {target.shape[1]}"
            )
        n, mean = len(target), target.mean(0)
        total = self.count + n
        # Sums about two means become one about the mean of both (Chan, Golub and LeVeque 1979).
        shift = mean - self.mean
        self.spread = (
            self.spread + np.square(target - mean).sum(0) + shift**2 * (self.count * n / total)
        )
        self.mean = self.mean + shift * (n / total)
        self.error = self.error + np.square(target - preds).sum(0)
        self.count = total

    def compute(self) -> float:
        if self.count < 2:
            return math.nan
        varies = self.spread != 0
        unexplained = np.divide(self.error, self.spread, where=varies, out=np.ones_like(self.error))
        return float(np.where(varies | (self.error != 0), 1 - unexplained, 1.0).mean())


def mean_squared_error(preds, target) -> float:
    """The mean of ``(preds - target)^2`` over all elements; ValueError unless of one shape."""
    return MeanSquaredError().of(preds, target)


def mean_absolute_error(preds, target) -> float:
    """The mean of ``|preds - target|`` over all elements; ValueError unless of one shape."""
    return MeanAbsoluteError().of(preds, target)


def r2_score(preds, target) -> float:
    """The coefficient of determination of one batch; see :class:`R2Score`."""
    return R2Score().of(preds, target)
