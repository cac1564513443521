"""A language model of counts: n-grams with Kneser-Ney smoothing."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence

from fastdl._dtype import float64
from fastdl.ops.random import rand

__all__ = ["NGramModel"]

BEGIN, END, UNKNOWN = "<s>", "</s>", "<unk>"


class NGramModel:
    """The probability of a token given the `order` - 1 before it, from interpolated counts.

    With c the counts of the longest n-grams and, for shorter ones, the number of different tokens
    before them (for n-grams from the beginning of a sentence, before which nothing stands, their
    count), h a context, h' the same without its first token, d the discount and N(h) the number of
    different tokens after h:

        p(w | h) = max(c(h w) - d, 0) / c(h) + d N(h) / c(h) p(w | h')

    and below the empty context 1 / V for each of the V tokens. Kneser and Ney 1995; Chen and
    Goodman 1999, section 2.7.

    Args:
        order: n, at least 1.
        discount: d, between 0 and 1; for each length n1 / (n1 + 2 n2) unless given, n1 and n2 the
            numbers of n-grams with count 1 and 2.
        min_count: tokens that occur less often in training are taken as unknown.

    Raises:
        ValueError: an argument lies outside its range.

    >>> from fastdl.text import NGramModel
    >>> model = NGramModel(2, discount=0.5).fit([["a", "b"], ["a", "c"]])
    >>> round(model.probability("b", ["a"]), 4)
    0.34
    """

    def __init__(self, order: int, discount: float | None = None, min_count: int = 1) -> None:
        if order < 1:
            raise ValueError(f"NGramModel: order must be positive, but got {order}")
        if discount is not None and not 0 < discount < 1:
            raise ValueError(f"NGramModel: discount must lie between 0 and 1, but got {discount}")
        self.order = order
        self.discount = discount
        self.min_count = min_count
        self.vocabulary: dict[Hashable, int] = {}  # tokens that can follow, END and UNKNOWN too
        self.discounts: list[float] = []
        self._counts: list[Counter] = []  # for contexts of 0, 1, ... tokens: counts of n-grams,
        self._sums: list[Counter] = []  # of contexts,
        self._kinds: list[Counter] = []  # and how many different tokens follow them

    def fit(self, sentences: Iterable[Sequence[Hashable]]) -> NGramModel:
        """Counts tokenised sentences, in place of what was counted before; returns itself.

        Raises:
            ValueError: there are none.
        """
        sentences = [list(s) for s in sentences]
        if not sentences:
            raise ValueError("NGramModel.fit: there are no sentences")
        occurrences = Counter(token for s in sentences for token in s)
        known = [t for t, n in occurrences.items() if n >= self.min_count]
        self.vocabulary = {t: i for i, t in enumerate(dict.fromkeys([*known, END, UNKNOWN]))}
        longest: Counter = Counter()
        for sentence in sentences:
            tokens = self._padded(sentence)
            for end in range(self.order, len(tokens) + 1):
                longest[tuple(tokens[end - self.order : end])] += 1
        self._counts = [longest]
        while len(self._counts) < self.order:
            shorter: Counter = Counter()
            for gram, n in self._counts[0].items():
                # before a beginning stand beginnings only: its count is kept
                shorter[gram[1:]] += n if gram[1] == BEGIN else 1
            self._counts.insert(0, shorter)
        self._sums, self._kinds, self.discounts = [], [], []
        for counts in self._counts:
            sums: Counter = Counter()
            kinds: Counter = Counter()
            for gram, n in counts.items():
                sums[gram[:-1]] += n
                kinds[gram[:-1]] += 1
            self._sums.append(sums)
            self._kinds.append(kinds)
            self.discounts.append(self.discount or _discount(counts))
        return self

    def _padded(self, sentence) -> list:
        inside = [token if token in self.vocabulary else UNKNOWN for token in sentence]
        return [BEGIN] * (self.order - 1) + inside + [END]

    def _context(self, context: Sequence[Hashable]) -> tuple:
        """The tokens before the next one, as many as count, beginnings before the first."""
        if self.order == 1:
            return ()
        known = [t if t in self.vocabulary or t == BEGIN else UNKNOWN for t in context]
        return tuple(([BEGIN] * (self.order - 1) + known)[1 - self.order :])

    def probability(self, token: Hashable, context: Sequence[Hashable] = ()) -> float:
        """p(token | context), the context counted from the beginning of the sentence; only its last
        `order` - 1 tokens count. The probabilities of all of `vocabulary` add up to 1."""
        token = token if token in self.vocabulary else UNKNOWN
        context = self._context(context)
        p = 1 / len(self.vocabulary)
        for length in range(self.order):
            h = context[len(context) - length :]
            total = self._sums[length][h]
            if total == 0:
                break  # longer contexts did not occur either
            d = self.discounts[length]
            count = self._counts[length][(*h, token)]
            p = max(count - d, 0) / total + d * self._kinds[length][h] / total * p
        return p

    def log_probability(self, sentence: Sequence[Hashable]) -> float:
        """log p of a sentence and its end."""
        tokens = [*sentence, END]
        return sum(
            math.log(self.probability(token, tokens[max(0, i + 1 - self.order) : i]))
            for i, token in enumerate(tokens)
        )

    def perplexity(self, sentences: Iterable[Sequence[Hashable]]) -> float:
        """exp of the mean of -log p over all tokens and sentence ends.

        Raises:
            ValueError: there are no sentences.
        """
        logs, tokens = 0.0, 0
        for sentence in sentences:
            logs += self.log_probability(sentence)
            tokens += len(sentence) + 1
        if not tokens:
            raise ValueError("NGramModel.perplexity: there are no sentences")
        return math.exp(-logs / tokens)

    def generate(self, max_tokens: int = 100, context: Sequence = (), generator=None) -> list:
        """Tokens drawn one after the other, up to the sentence's end, after `context`."""
        tokens = list(context)
        for u in rand(max_tokens, generator=generator, dtype=float64).tolist():
            left = u
            for token in self.vocabulary:
                left -= self.probability(token, tokens)
                if left < 0:
                    break
            if token == END:
                break
            tokens.append(token)
        return tokens[len(context) :]


def _discount(counts: Counter) -> float:
    """n1 / (n1 + 2 n2); 1/2 where it would be 0 or 1."""
    of_count = Counter(n for n in counts.values() if n <= 2)
    d = of_count[1] / max(of_count[1] + 2 * of_count[2], 1)
    return d if 0 < d < 1 else 0.5
