"""Metric: the base class of what is measured batch by batch; Mean, the simplest of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastdl.tensor import Tensor

__all__ = ["Mean", "Metric", "as_array", "as_numbers"]


class Metric:
    """A measure over batches: subclasses define :meth:`reset`, :meth:`update`, :meth:`compute`.

    What :meth:`reset` sets are the names in `state_names`: they are all that a measure remembers,
    and what a checkpoint of an interrupted epoch holds.
    """

    state_names: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all batches."""
        raise NotImplementedError(f"{type(self).__name__} defines no reset")

    def update(self, preds, target) -> None:
        """Take in a batch."""
        raise NotImplementedError(f"{type(self).__name__} defines no update")

    def compute(self) -> Any:
        """The value over all batches since the last :meth:`reset`: a float, or a Tensor of several
        numbers; nan before the first batch."""
        raise NotImplementedError(f"{type(self).__name__} defines no compute")

    def state_dict(self) -> dict[str, Any]:
        """What the measure remembers, for a checkpoint."""
        return {name: getattr(self, name) for name in self.state_names}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where :meth:`state_dict` was taken; KeyError where an entry is missing."""
        for name in self.state_names:
            setattr(self, name, state_dict[name])

    def of(self, preds, target) -> Any:
        """The value over one batch alone, on a measure that was just made."""
        self.update(preds, target)
        return self.compute()


class Mean(Metric):
    """The mean of numbers with weights, such as the losses of batches of different sizes."""

    state_names = ("total", "weight")

    def reset(self) -> None:
        self.total = self.weight = 0.0

    def update(self, value, weight: float = 1) -> None:
        """Take in a number, or the elements of a Tensor, each with the given weight."""
        numbers = as_numbers(value)
        self.total += float(numbers.sum()) * weight
        self.weight += numbers.size * weight

    def compute(self) -> float:
        return self.total / self.weight if self.weight else math.nan


def as_array(value) -> np.ndarray:
    """Anything like an array as one."""
    return value.detach().numpy() if isinstance(value, Tensor) else np.asarray(value)


def as_numbers(value) -> np.ndarray:
    """Anything like an array as one of float64."""
    return as_array(value).astype(np.float64)
