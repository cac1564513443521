"""word2vec: vectors of words from the words around them.

Mikolov, Chen, Corrado and Dean 2013 (skip-gram, continuous bag of words); Mikolov, Sutskever, Chen,
Corrado and Dean 2013 (negative sampling, hierarchical softmax, subsampling of frequent words).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

import fastdl.nn.functional as F
from fastdl._engine import tensor_of
from fastdl.autograd import enable_grad
from fastdl.ops.embedding import take_rows
from fastdl.ops.linalg import bmm
from fastdl.ops.random import integer_array, uniform_array
from fastdl.tensor import Tensor
from fastdl.text.rows import TrainedRows
from fastdl.text.vectors import WordVectors
from fastdl.text.vocabulary import frequent_words

__all__ = ["HuffmanTree", "NoiseWords", "Word2Vec", "word_loss"]


class NoiseWords:
    """Draws words with probabilities proportional to count^exponent, for negative sampling.

    Args:
        counts: how often each word occurs.
        exponent: 3/4 is word2vec's.
    """

    def __init__(self, counts: Sequence[int], exponent: float = 0.75) -> None:
        weights = np.asarray(counts, np.float64) ** exponent
        self.probabilities = weights / weights.sum()
        self._edges = np.cumsum(self.probabilities)[:-1]

    def draw(self, *shape: int) -> np.ndarray:
        """Numbers of words, int64."""
        drawn = uniform_array((math.prod(shape),), np.float64)
        return np.searchsorted(self._edges, drawn, side="right").reshape(shape)

    def targets(self, words: np.ndarray, negative: int) -> tuple[np.ndarray, np.ndarray]:
        """For each of `words` (n,) itself, with label 1, and `negative` others with label 0:
        (n, 1 + negative). A word that was drawn as its own noise becomes -1, a gap."""
        drawn = self.draw(len(words), negative)
        drawn[drawn == words[:, None]] = -1
        labels = np.zeros(1 + negative, np.float32)
        labels[0] = 1
        return np.concatenate([words[:, None], drawn], 1), np.broadcast_to(
            labels, (len(words), 1 + negative)
        )


class HuffmanTree:
    """The binary tree of a hierarchical softmax: frequent words have short paths (Huffman 1952).

    The probability of a word is the product of those of its turns, sigmoid(h . v) to the child of
    label 1 and 1 minus that to the other, with a vector v for each inner node; the probabilities
    of all words sum to 1 for any h and v.

    Attributes:
        paths (words, longest): the inner nodes from the root to each word, -1 after its end.
        labels (words, longest): the turn at each, float32.

    Args:
        counts: how often each word occurs.
    """

    def __init__(self, counts: Sequence[int]) -> None:
        words = len(counts)
        heap = [(int(n), i) for i, n in enumerate(counts)]
        heapq.heapify(heap)
        parent, turn = np.zeros(2 * words, np.int64), np.zeros(2 * words, np.float32)
        for node in range(words, 2 * words - 1):
            (a, first), (b, second) = heapq.heappop(heap), heapq.heappop(heap)
            parent[first] = parent[second] = node
            turn[first] = 1
            heapq.heappush(heap, (a + b, node))
        # from all words towards the root at once, a node a step; a word that is there waits
        root, at, ways, turns = 2 * words - 2, np.arange(words), [], []
        while (below := at != root).any():
            ways.append(np.where(below, parent[at] - words, -1))
            turns.append(np.where(below, turn[at], 0))
            at = np.where(below, parent[at], root)
        ways = np.array(ways, np.int64).reshape(-1, words).T
        turns = np.array(turns, np.float32).reshape(-1, words).T
        # the other way round: column k of a path of n nodes is n - 1 - k, or behind its end
        back = (ways >= 0).sum(1, keepdims=True) - 1 - np.arange(ways.shape[1])
        self.paths = np.where(back >= 0, np.take_along_axis(ways, back.clip(0), 1), -1)
        self.labels = np.where(back >= 0, np.take_along_axis(turns, back.clip(0), 1), 0)

    def targets(self, words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Inner nodes and labels on the way to each of `words` (n,): (n, longest)."""
        paths = self.paths[words]
        longest = (paths >= 0).sum(1).max(initial=0)
        return paths[:, :longest], self.labels[words][:, :longest]


def word_loss(
    inputs: Tensor,
    outputs: Tensor,
    contexts: Tensor,
    targets: Tensor,
    labels: Tensor,
    cbow: bool | str = False,
) -> Tensor:
    """The loss of n words, summed: -log of the probability of each label, 0 or 1, given
    sigmoid(h . v) for that of 1, with h from the words around and v from the targets.

    Skip-gram takes each word of the context as one h; all of them share the targets (Ji et al.
    2016: the expectation of the gradient is that of targets drawn for each). For the continuous bag
    of words h is their mean.

    Args:
        inputs (words, size), outputs (targets, size): the two tables.
        contexts (n, c): rows of `inputs`; -1 for none.
        targets (n, t): rows of `outputs`; -1 for none.
        labels (n, t): 1 or 0, floating.
        cbow: False for skip-gram, "mean" or "sum" of the context for continuous bags of words.

    Returns:
        0-d.

    >>> import fastdl as torch
    >>> from fastdl.text import word_loss
    >>> one = torch.ones(1, 1, dtype=torch.int64)
    >>> word_loss(torch.zeros(2, 3), torch.zeros(2, 3), one, one, torch.ones(1, 1))
    tensor(0.6931)
    """
    h = take_rows(inputs, contexts, gaps=True)
    if cbow:
        h = h.sum(1, keepdim=True)
        if cbow == "mean":
            present = (contexts.array >= 0).sum(1).clip(1)
            h = h / tensor_of(present.astype(h.array.dtype)).reshape(-1, 1, 1)
    scores = bmm(h, take_rows(outputs, targets, gaps=True).transpose(1, 2))
    n, c, t = scores.shape
    # The rows of gaps are 0: so are their scores, and the gradients, which are products with these
    # rows. Only the loss of such a score, log 2, is taken off.
    absent = 0 if cbow else (contexts.array < 0).sum(1, keepdims=True)
    counted = ((targets.array >= 0) * (c - absent)).sum()
    labels = labels.unsqueeze(1).expand(n, c, t)
    loss = F.binary_cross_entropy_with_logits(scores, labels, reduction="sum")
    return loss - (n * c * t - int(counted)) * math.log(2)


class Word2Vec:
    """word2vec, under gensim's names.

    Trained by batches of words with AdaGrad (see :class:`~fastdl.text.rows.TrainedRows`), with the
    true gradient of the mean for `cbow_mean`. Words keep the order of their frequency. Random
    numbers come from the default generator: `fastdl.manual_seed` makes a run repeatable.

    Args:
        sentences: lists of words, to learn from at once; None to call :meth:`build_vocab` and
            :meth:`train` later.
        vector_size: the length of a vector.
        alpha: the learning rate, which falls linearly to `min_alpha`.
        window: how many words on each side count at most; each position draws a number up to it.
        min_count: words that occur less often are left out, as if they did not stand there.
        sample: words that make up more than this share are left out at random: one of share f
            stays with probability sqrt(sample / f) + sample / f. 0 keeps all.
        sg: 1 for skip-gram, 0 for the continuous bag of words.
        hs: whether there is a hierarchical softmax.
        negative: how many noise words each word has; 0 for no negative sampling.
        ns_exponent: noise words are drawn by count^ns_exponent.
        cbow_mean: 1 for the mean of the words around, 0 for their sum.
        epochs: how often the sentences are gone through.
        batch_words: the words of a batch; unless given 512, or fewer where the sentences are short,
            for at least 100 batches in an epoch.

    Attributes:
        wv: the vectors, a :class:`WordVectors`.
        losses: the mean loss of a word, for each epoch.

    Raises:
        ValueError: an argument lies outside its range, neither `hs` nor `negative` is given, or no
            word is frequent enough.

    >>> import fastdl
    >>> from fastdl.text import Word2Vec
    >>> _ = fastdl.manual_seed(0)
    >>> tokens = "a b c d x y z".split()
    >>> sentences = [["a", "b", "c"], ["b", "a", "c"], ["x", "y", "z"], ["y", "x", "z"]] * 200
    >>> model = Word2Vec(sentences, vector_size=8, window=2, min_count=1, sample=0, sg=1)
    >>> sorted(word for word, _ in model.wv.most_similar("a", topn=2))
    ['b', 'c']
    """

    def __init__(
        self,
        sentences: Iterable[Sequence[str]] | None = None,
        vector_size: int = 100,
        alpha: float = 0.05,
        window: int = 5,
        min_count: int = 5,
        sample: float = 1e-3,
        min_alpha: float = 1e-4,
        sg: int = 0,
        hs: int = 0,
        negative: int = 5,
        ns_exponent: float = 0.75,
        cbow_mean: int = 1,
        epochs: int = 5,
        batch_words: int | None = None,
    ) -> None:
        for name, value in (
            ("vector_size", vector_size),
            ("window", window),
            ("batch_words", 1 if batch_words is None else batch_words),
        ):
            if value < 1:
                raise ValueError(f"Word2Vec: {name} must be positive, but got {value}")
        for name, value in (("negative", negative), ("sample", sample), ("epochs", epochs)):
            if value < 0:
                raise ValueError(f"Word2Vec: {name} must not be negative, but got {value}")
        if not hs and not negative:
            raise ValueError("Word2Vec: either hs or negative must be given")
        self.vector_size = vector_size
        self.alpha, self.min_alpha = alpha, min_alpha
        self.window = window
        self.min_count = min_count
        self.sample = sample
        self.sg, self.hs, self.negative = sg, hs, negative
        self.ns_exponent = ns_exponent
        self.cbow_mean = cbow_mean
        self.epochs = epochs
        self.batch_words = batch_words
        self.losses: list[float] = []
        if sentences is not None:
            sentences = [list(s) for s in sentences]
            self.build_vocab(sentences)
            self.train(sentences)

    def build_vocab(self, sentences: Iterable[Sequence[str]]) -> None:
        """Counts the words and begins all tables anew.

        Raises:
            ValueError: no word occurs `min_count` times.
        """
        known = frequent_words(sentences, self.min_count)
        if not known:
            raise ValueError(f"Word2Vec: no word occurs {self.min_count} times")
        words, numbers = zip(*known)
        self.counts = np.array(numbers)
        size = self.vector_size
        start = uniform_array((len(words), size), np.float32, None, -0.5 / size, 0.5 / size)
        self.wv = WordVectors(words, start)
        self._inputs = TrainedRows(self.wv.vectors.array)
        self._samplers = []
        if self.hs:
            tree = HuffmanTree(self.counts)
            nodes = np.zeros((max(len(words) - 1, 1), size), np.float32)
            self._samplers.append((tree.targets, TrainedRows(nodes)))
        if self.negative:
            noise = NoiseWords(self.counts, self.ns_exponent)
            draw = lambda words: noise.targets(words, self.negative)
            self._samplers.append((draw, TrainedRows(np.zeros_like(start))))

    def train(self, sentences: Iterable[Sequence[str]], epochs: int | None = None) -> Word2Vec:
        """Learns from sentences, `epochs` times; returns itself. Unknown words are left out.

        Raises:
            ValueError: there is no vocabulary yet.
        """
        if not hasattr(self, "wv"):
            raise ValueError("Word2Vec.train: call build_vocab first")
        epochs = self.epochs if epochs is None else epochs
        words, sentence = self._numbered(sentences)
        for epoch in range(epochs):
            total = seen = 0
            for done, centres, contexts in self._batches(words, sentence):
                progress = (epoch + done) / epochs
                lr = max(self.min_alpha, self.alpha * (1 - progress))
                total += self._learn(centres, contexts, lr)
                seen += len(centres)
            self.losses.append(total / max(seen, 1))
        return self

    def _numbered(self, sentences) -> tuple[np.ndarray, np.ndarray]:
        """The known words of all sentences, and the number of each one's sentence."""
        numbers = self.wv.key_to_index
        rows = [[numbers[w] for w in sentence if w in numbers] for sentence in sentences]
        words = np.array([n for row in rows for n in row], np.int64)
        return words, np.repeat(np.arange(len(rows)), [len(row) for row in rows])

    def _batches(self, words, sentence) -> Iterator[tuple[float, np.ndarray, np.ndarray]]:
        """(share gone through, words (n,), words around them (n, 2 window), -1 for none)."""
        if self.sample:
            share = self.sample * self.counts.sum() / self.counts
            stay = uniform_array(words.shape, np.float32) < (np.sqrt(share) + share)[words]
            words, sentence = words[stay], sentence[stay]
        far = self.window
        reach = integer_array(words.shape, None, 1, far + 1)
        offsets = np.array([d for d in range(-far, far + 1) if d])
        around = np.pad(words, far)
        place = np.pad(sentence, far, constant_values=-1)
        size = self.batch_words or min(max(len(words) // 100, 16), 512)
        for begin in range(0, len(words), size):
            at = np.arange(begin, min(begin + size, len(words)))
            grid = at[:, None] + far + offsets
            there = (place[grid] == sentence[at, None]) & (abs(offsets) <= reach[at, None])
            yield begin / len(words), words[at], np.where(there, around[grid], -1)

    def _learn(self, centres, contexts, lr) -> float:
        """One batch: the loss before the step."""
        inputs, contexts = self._inputs.take(contexts)
        alone = (contexts.array < 0).all(1)
        how = False if self.sg else "mean" if self.cbow_mean else "sum"
        loss = 0
        with enable_grad():
            for sampler, table in self._samplers:
                targets, labels = sampler(centres)
                targets[alone] = -1
                outputs, targets = table.take(targets)
                labels = tensor_of(labels)
                loss = loss + word_loss(inputs, outputs, contexts, targets, labels, how)
            loss.backward()
        for table in (self._inputs, *[table for _, table in self._samplers]):
            table.step(lr)
        return loss.item()
