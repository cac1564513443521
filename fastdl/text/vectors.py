"""Vectors of words: neighbours, analogies, and the files that word2vec and GloVe write."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

import numpy as np

from fastdl._engine import tensor_of
from fastdl.tensor import Tensor

__all__ = ["WordVectors"]

_SHIFT = 1e-6  # of the divisor of 3CosMul, Levy and Goldberg 2014
_BLOCK = 1 << 16  # bytes read from a binary file at a time


class WordVectors:
    """Words and a vector for each, under gensim's names.

    Args:
        words: in the order of the rows.
        vectors: (words, size), floating; a Tensor or an array, which is not copied.

    Raises:
        ValueError: a word occurs twice, or there is not one row for each.

    >>> from fastdl.text import WordVectors
    >>> vectors = [[1.0, 1, 0], [1, 0, 1], [0, 1, 0], [0, 0, 1]]
    >>> wv = WordVectors(["king", "queen", "man", "woman"], vectors)
    >>> wv.most_similar(positive=["king", "woman"], negative=["man"], topn=1)[0][0]
    'queen'
    """

    def __init__(self, words: Iterable[str], vectors) -> None:
        self.index_to_key = list(words)
        self.key_to_index = {word: i for i, word in enumerate(self.index_to_key)}
        data = vectors.detach() if isinstance(vectors, Tensor) else tensor_of(np.asarray(vectors))
        if not data.is_floating_point():
            raise ValueError(f"WordVectors: vectors must be floating, but got {data.dtype}")
        if data.ndim != 2 or len(data) != len(self.index_to_key):
            raise ValueError(
                f"WordVectors: {len(self.index_to_key)} words need vectors of shape "
                f"({len(self.index_to_key)}, size), but got {list(data.shape)}"
            )
        if len(self.key_to_index) != len(self.index_to_key):
            seen: set[str] = set()
            twice = next(w for w in self.index_to_key if w in seen or seen.add(w))
            raise ValueError(f"WordVectors: the word {twice!r} occurs more than once")
        self.vectors = data

    @property
    def vector_size(self) -> int:
        """The length of a vector."""
        return self.vectors.shape[1]

    def __len__(self) -> int:
        return len(self.index_to_key)

    def __contains__(self, word: str) -> bool:
        return word in self.key_to_index

    def __getitem__(self, words: str | Sequence[str]) -> Tensor:
        """The vector (size,) of a word, or those (n, size) of a list of words.

        Raises:
            KeyError: a word has none.
        """
        if isinstance(words, str):
            return self.vectors[self._number(words)]
        return self.vectors[[self._number(word) for word in words]]

    def _number(self, word: str) -> int:
        if word not in self.key_to_index:
            raise KeyError(f"{word!r} has no vector")
        return self.key_to_index[word]

    # -------------------------------------------------------------------------------- likenesses

    def _directions(self) -> np.ndarray:
        """The vectors, of length 1; those of length 0 as they are."""
        v = self.vectors.array
        return v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), np.finfo(v.dtype).tiny)

    def _query(self, positive, negative):
        """Directions of words or vectors (k, size), the numbers of the words among them."""
        groups, known = [], []
        for given in (positive, negative):
            given = [given] if isinstance(given, (str, Tensor, np.ndarray)) else list(given)
            rows = []
            for item in given:
                if isinstance(item, str):
                    known.append(self._number(item))
                    item = self.vectors[known[-1]]
                row = np.asarray(item, self.vectors.array.dtype)
                if row.shape != (self.vector_size,):
                    raise ValueError(
                        f"WordVectors: expected words and vectors of shape ({self.vector_size},), "
                        f"but got one of shape {row.shape}"
                    )
                rows.append(row / max(np.linalg.norm(row), np.finfo(row.dtype).tiny))
            groups.append(np.array(rows, row.dtype) if rows else np.zeros((0, self.vector_size)))
        if not len(groups[0]) + len(groups[1]):
            raise ValueError("WordVectors: there are no words to be similar to")
        return *groups, known

    def _best(self, scores, known, topn):
        scores[known] = -np.inf
        count = min(topn, len(scores) - len(set(known)))
        if count <= 0:
            return []
        best = np.argpartition(-scores, count - 1)[:count]
        best = best[np.argsort(-scores[best], kind="stable")]
        return [(self.index_to_key[i], float(scores[i])) for i in best]

    def most_similar(self, positive=(), negative=(), topn: int = 10) -> list[tuple[str, float]]:
        """The words nearest to a sum, with the cosines: nearest neighbours of one word, analogies
        of several.

        "a is to b as c is to ?" is ``most_similar(positive=[b, c], negative=[a])``, 3CosAdd:
        the largest cos(x, b) - cos(x, a) + cos(x, c), divided by the length of the sum (Mikolov
        et al. 2013). Words of the question are no answers.

        Args:
            positive, negative: a word, a vector (size,), or a list of them.
            topn: how many.

        Raises:
            KeyError: a word has no vector.
            ValueError: there are no words.
        """
        plus, minus, known = self._query(positive, negative)
        target = plus.sum(0) - minus.sum(0)
        target = target / max(np.linalg.norm(target), np.finfo(plus.dtype).tiny)
        return self._best(self._directions() @ target, known, topn)

    def most_similar_cosmul(
        self, positive=(), negative=(), topn: int = 10
    ) -> list[tuple[str, float]]:
        """`most_similar` by products, 3CosMul: the largest product of (1 + cos) / 2 with each of
        `positive`, divided by that with each of `negative` (and 1e-6). Levy and Goldberg 2014."""
        plus, minus, known = self._query(positive, negative)
        directions = self._directions()
        above = ((1 + directions @ plus.T) / 2).prod(1)
        below = ((1 + directions @ minus.T) / 2).prod(1)
        return self._best(above / (below + _SHIFT), known, topn)

    def similarity(self, first: str, second: str) -> float:
        """The cosine between two words' vectors."""
        a, b, _ = self._query(first, second)
        return float(a[0] @ b[0])

    def evaluate_analogies(self, questions: Iterable[Sequence[str]]) -> float:
        """The share of questions (a, b, c, d), "a is to b as c is to d", that :meth:`most_similar`
        answers; those with unknown words do not count.

        Raises:
            ValueError: no question has known words only.
        """
        asked = [q for q in questions if all(word in self for word in q)]
        if not asked:
            raise ValueError("evaluate_analogies: there are no questions of known words")
        right = sum(self.most_similar([b, c], [a], 1)[0][0] == d for a, b, c, d in asked)
        return right / len(asked)

    # ------------------------------------------------------------------------------------- files

    def save_word2vec_format(self, path: str | os.PathLike, binary: bool = False) -> None:
        """Writes word2vec's format: a line with both sizes, then a line for each word; `binary`
        with little-endian float32 in place of written numbers.

        Raises:
            ValueError: a word holds a blank or the end of a line, or is empty.
        """
        self._save(path, f"{len(self)} {self.vector_size}\n", binary)

    def save_glove_format(self, path: str | os.PathLike) -> None:
        """Writes GloVe's format: a line for each word, no sizes.

        Raises:
            ValueError: a word holds a blank or the end of a line, or is empty.
        """
        self._save(path, "", False)

    def _save(self, path, head, binary):
        for word in self.index_to_key:
            if word.split() != [word]:
                raise ValueError(f"WordVectors: {word!r} cannot be written: words are separated")
        rows = self.vectors.array.astype("<f4") if binary else self.vectors.array
        with open(path, "wb") as file:
            file.write(head.encode())
            for word, row in zip(self.index_to_key, rows):
                numbers = row.tobytes() if binary else " ".join(map(str, row)).encode()
                file.write(word.encode() + b" " + numbers + b"\n")

    @classmethod
    def load_word2vec_format(
        cls, path: str | os.PathLike, binary: bool = False, limit: int | None = None
    ) -> WordVectors:
        """Reads word2vec's format, text or `binary`, as float32; the first `limit` words only.

        Raises:
            ValueError: the file is not of this format, or shorter than its first line says.
        """
        with open(path, "rb") as file:
            head = file.readline(80).split()
            if len(head) != 2 or not all(part.isdigit() for part in head):
                raise ValueError(f"{os.fspath(path)}: the first line must hold two sizes")
            count, size = map(int, head)
            count = count if limit is None else min(count, limit)
            if size == 0 or count * size >= 1 << 48:
                raise ValueError(f"{os.fspath(path)}: {count} vectors of {size} numbers")
            if binary:
                return cls(*_read_binary(file, path, count, size))
            words, rows = _read_text(file, path, count, size, 2)
        if len(words) < count:
            raise ValueError(f"{os.fspath(path)}: ends after {len(words)} of {count} words")
        return cls(words, rows)

    @classmethod
    def load_glove_format(
        cls, path: str | os.PathLike, size: int | None = None, limit: int | None = None
    ) -> WordVectors:
        """Reads GloVe's format, as float32; the first `limit` words only.

        Args:
            size: the length of a vector; the first line's unless given, which must be where that
                line's word holds blanks.

        Raises:
            ValueError: a line is not of this format, or there is none.
        """
        with open(path, "rb") as file:
            if size is None:
                size = len(file.readline().split()) - 1
                file.seek(0)
            if size < 1:
                raise ValueError(f"{os.fspath(path)}: the first line holds no vector")
            return cls(*_read_text(file, path, limit, size, 1))


def _read_text(file, path, count, size, first_line):
    """Words and rows of the lines of an open file, up to `count`."""
    words, rows = [], []
    for number, line in enumerate(file, first_line):
        if count is not None and len(words) == count:
            break
        word, *numbers = line.strip().rsplit(b" ", size)
        try:
            row = np.array(numbers, np.float32)
        except ValueError:
            row = ()
        if len(row) != size:
            raise ValueError(
                f"{os.fspath(path)}, line {number}: expected a word and {size} numbers"
            )
        words.append(word.decode(errors="replace"))
        rows.append(row)
    return words, np.array(rows, np.float32).reshape(-1, size)


def _read_binary(file, path, count, size):
    words, rows, data, at, width = [], [], b"", 0, 4 * size
    while len(words) < count:
        blank = data.find(b" ", at)
        if blank < 0 or len(data) < blank + 1 + width:
            more = file.read(max(_BLOCK, width))
            if not more:
                raise ValueError(f"{os.fspath(path)}: ends after {len(words)} of {count} words")
            data, at = data[at:] + more, 0
            continue
        words.append(data[at:blank].lstrip(b"\n").decode(errors="replace"))
        rows.append(np.frombuffer(data, "<f4", size, blank + 1))
        at = blank + 1 + width
    return words, np.array(rows, np.float32).reshape(-1, size)
