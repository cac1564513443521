"""GloVe: vectors of words whose products are the logarithms of how often words stand together.

Pennington, Socher and Manning 2014.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from fastdl._engine import tensor_of
from fastdl.autograd import enable_grad
from fastdl.ops.embedding import take_rows
from fastdl.ops.random import randperm, uniform_array
from fastdl.tensor import Tensor
from fastdl.text.rows import TrainedRows
from fastdl.text.vectors import WordVectors
from fastdl.text.vocabulary import frequent_words

__all__ = ["GloVe", "cooccurrences", "glove_loss"]

_PAIRS = 1 << 22  # of words, counted at a time


def cooccurrences(
    sentences: Iterable[Sequence[int]], window: int = 10, symmetric: bool = True
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How often numbers stand near each other: two at distance d <= window count 1 / d.

    Args:
        sentences: lists of numbers; pairs lie within one.
        window: the largest distance.
        symmetric: whether the second number's context holds the first one too.

    Returns:
        (rows, columns, counts) of those that are not 0, ordered by row and column: int64, int64
        and float64.

    >>> from fastdl.text import cooccurrences
    >>> [part.tolist() for part in cooccurrences([[0, 1, 2], [0, 1]], symmetric=False)]
    [[1, 2, 2], [0, 0, 1], [2.0, 0.5, 1.0]]
    """
    sentences = [np.asarray(s, np.int64) for s in sentences]
    words = np.concatenate([np.zeros(0, np.int64), *sentences])
    if words.size and words.min() < 0:
        raise ValueError("cooccurrences: numbers of words must not be negative")
    if window < 1:
        raise ValueError(f"cooccurrences: window must be positive, but got {window}")
    place = np.repeat(np.arange(len(sentences)), [len(s) for s in sentences])
    high = int(words.max(initial=0)) + 1
    keys, counts = np.zeros(0, np.int64), np.zeros(0)
    step = max(_PAIRS // window, 1)
    for begin in range(0, len(words), step):
        new, weights = [keys], [counts]
        for d in range(1, window + 1):
            end = max(min(begin + step, len(words) - d), begin)
            first, second = slice(begin, end), slice(begin + d, end + d)
            inside = place[first] == place[second]
            new.append((words[second] * high + words[first])[inside])
            weights.append(np.full(len(new[-1]), 1 / d))
        keys, counts = _summed(np.concatenate(new), np.concatenate(weights))
    if symmetric:
        mirrored = keys % high * high + keys // high
        keys, counts = _summed(np.concatenate([keys, mirrored]), np.concatenate([counts, counts]))
    return keys // high, keys % high, counts


def _summed(keys, weights):
    """Each key once, in order, with the sum of its weights."""
    found, which = np.unique(keys, return_inverse=True)
    return found, np.bincount(which, weights, len(found))


def glove_loss(
    rows: Tensor,
    columns: Tensor,
    row: Tensor,
    column: Tensor,
    counts: Tensor,
    x_max: float = 100.0,
    alpha: float = 0.75,
) -> Tensor:
    """The sum over n pairs of f(X) (w . c + b + b' - log X)^2 / 2, f(X) = min(1, X / x_max)^alpha.

    Args:
        rows (words, size + 1): the vectors w, and b as the last number of each.
        columns (words, size + 1): the vectors c, and b'.
        row, column (n,): which of them.
        counts (n,): X, positive.

    Returns:
        0-d.

    >>> import fastdl as torch
    >>> from fastdl.text import glove_loss
    >>> at = torch.tensor([0])
    >>> glove_loss(torch.zeros(1, 3), torch.zeros(1, 3), at, at, torch.tensor([100.0]))
    tensor(10.6038)
    """
    w, c = take_rows(rows, row), take_rows(columns, column)
    weight = (counts / x_max).clamp(max=1) ** alpha
    size = w.shape[1] - 1
    found = (w[:, :size] * c[:, :size]).sum(1) + w[:, size] + c[:, size]
    return (weight * (found - counts.log()) ** 2).sum() / 2


class GloVe:
    """Global vectors, trained by AdaGrad on pairs of words in random order.

    Args:
        sentences: lists of words, to learn from at once; None to call :meth:`train` later.
        vector_size: the length of a vector.
        window: the largest distance of two words that count, with weight 1 / distance.
        min_count: words that occur less often are left out, as if they did not stand there.
        x_max, alpha: of the weights f(X), see :func:`glove_loss`.
        lr: the learning rate.
        epochs: how often all pairs are gone through.
        symmetric: whether words after a word are its context as well as those before it.
        batch_pairs: the pairs of a batch.

    Attributes:
        wv: for each word the sum of its two vectors, a :class:`WordVectors`.
        losses: the mean loss of a pair, for each epoch.

    Raises:
        ValueError: an argument lies outside its range, or there are no pairs of words.

    >>> import fastdl
    >>> from fastdl.text import GloVe
    >>> _ = fastdl.manual_seed(0)
    >>> sentences = [["a", "b", "c"], ["b", "a", "c"], ["x", "y", "z"], ["y", "x", "z"]] * 50
    >>> model = GloVe(sentences, vector_size=4, min_count=1, epochs=100)
    >>> sorted(word for word, _ in model.wv.most_similar("a", topn=2))
    ['b', 'c']
    """

    def __init__(
        self,
        sentences: Iterable[Sequence[str]] | None = None,
        vector_size: int = 100,
        window: int = 10,
        min_count: int = 5,
        x_max: float = 100.0,
        alpha: float = 0.75,
        lr: float = 0.05,
        epochs: int = 25,
        symmetric: bool = True,
        batch_pairs: int = 1024,
    ) -> None:
        for name, value in (
            ("vector_size", vector_size), ("window", window), ("batch_pairs", batch_pairs),
            ("x_max", x_max),
        ):  # fmt: skip
            if value <= 0:
                raise ValueError(f"GloVe: {name} must be positive, but got {value}")
        self.vector_size = vector_size
        self.window = window
        self.min_count = min_count
        self.x_max, self.alpha = x_max, alpha
        self.lr = lr
        self.epochs = epochs
        self.symmetric = symmetric
        self.batch_pairs = batch_pairs
        self.losses: list[float] = []
        if sentences is not None:
            self.train(sentences)

    def train(self, sentences: Iterable[Sequence[str]]) -> GloVe:
        """Counts the words of sentences and fits vectors anew; returns itself.

        Raises:
            ValueError: there are no pairs of words.
        """
        sentences = [list(s) for s in sentences]
        known = frequent_words(sentences, self.min_count)
        numbers = {word: i for i, (word, _) in enumerate(known)}
        encoded = [[numbers[w] for w in sentence if w in numbers] for sentence in sentences]
        rows, columns, counts = cooccurrences(encoded, self.window, self.symmetric)
        if not len(counts):
            raise ValueError(
                f"GloVe: no two words that occur {self.min_count} times stand together"
            )
        self._fit(rows, columns, counts.astype(np.float32), len(numbers))
        vectors = self._tables[0].values + self._tables[1].values
        self.wv = WordVectors(numbers, np.ascontiguousarray(vectors[:, :-1]))
        return self

    def _fit(self, rows, columns, counts, words):
        reach = 0.5 / self.vector_size
        shape = (words, self.vector_size + 1)
        # squares start at 1, so that the first steps are `lr` times the gradient
        self._tables = [
            TrainedRows(uniform_array(shape, np.float32, None, -reach, reach), 1.0)
            for _ in range(2)
        ]
        self.losses = []
        for _ in range(self.epochs):
            order = randperm(len(counts)).array
            total = 0.0
            for begin in range(0, len(order), self.batch_pairs):
                batch = order[begin : begin + self.batch_pairs]
                total += self._learn(rows[batch], columns[batch], counts[batch])
            self.losses.append(total / len(counts))

    def _learn(self, row, column, counts) -> float:
        """One batch: the loss before the step."""
        first, second = self._tables
        w, row = first.take(row)
        c, column = second.take(column)
        with enable_grad():
            loss = glove_loss(w, c, row, column, tensor_of(counts), self.x_max, self.alpha)
            loss.backward()
        first.step(self.lr)
        second.step(self.lr)
        return loss.item()
