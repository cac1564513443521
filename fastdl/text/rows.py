"""Tables of which a batch reads few rows: what word vectors are trained in."""

from __future__ import annotations

import numpy as np

from fastdl._engine import tensor_of
from fastdl.tensor import Tensor

__all__ = ["TrainedRows"]

_EPS = 1e-10


class TrainedRows:
    """A table (rows, size) that AdaGrad changes only where a batch reads it (Duchi et al. 2011).

    Gradients of one row are summed over the batch, so that a frequent word has a long gradient;
    AdaGrad's steps do not grow with it, which plain gradient descent's would.

    Args:
        values: the table, changed in place.
        start: of the sums of squared gradients.
    """

    def __init__(self, values: np.ndarray, start: float = 0.0) -> None:
        self.values = values
        self.squares = np.full_like(values, start)
        self._place = np.full(len(values) + 1, -1)  # the last for gaps
        self._read = np.zeros(len(values) + 1, bool)

    def take(self, index: np.ndarray) -> tuple[Tensor, Tensor]:
        """The rows that `index` names as a tensor to differentiate by, and `index` among them; an
        index of -1 stays -1."""
        self._read[index] = True
        self._read[-1] = False
        self._rows = np.flatnonzero(self._read)
        self._read[self._rows] = False
        self._place[self._rows] = np.arange(len(self._rows))
        self._taken = tensor_of(self.values.take(self._rows, axis=0)).requires_grad_()
        return self._taken, tensor_of(self._place[index])

    def step(self, lr: float) -> None:
        """Changes the rows taken last by their gradients."""
        g = self._taken.grad.array
        squares = self.squares.take(self._rows, axis=0)
        change = g * g
        squares += change
        self.squares[self._rows] = squares
        np.sqrt(squares, out=squares)
        squares += _EPS
        np.divide(g, squares, out=change)
        change *= lr
        np.subtract(self._taken.array, change, out=change)
        self.values[self._rows] = change
