"""How good text is: BLEU and perplexity."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import fastdl.nn.functional as F
from fastdl.autograd import no_grad
from fastdl.tensor import Tensor

__all__ = ["bleu_score", "perplexity"]


def _runs(tokens: Sequence[str], n: int) -> Counter:
    return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))


def bleu_score(
    candidate_corpus: Sequence[Sequence[str]],
    references_corpus: Sequence[Sequence[Sequence[str]]],
    max_n: int = 4,
    weights: Sequence[float] | None = None,
    smoothing: str = "none",
    smoothing_value: float | None = None,
) -> float:
    """BLEU of a corpus, between 0 and 1. Papineni et al. 2002.

    min(1, exp(1 - r / c)) times the weighted geometric mean of the shares p_n of the candidates'
    runs of n tokens that stand in a reference, each at most as often as there; c counts the
    candidates' tokens, r those of the references that are closest in length (the shorter of two).

    Args:
        candidate_corpus: tokenised candidates.
        references_corpus: for each candidate its tokenised references.
        max_n: the longest runs.
        weights: of p_1 to p_max_n; equal unless given.
        smoothing: of shares that are 0: "none" (BLEU is 0 then), "exp" (1 / (2^k times the runs)
            for the k-th of them, sacrebleu's default), "floor" (`smoothing_value` for the matches),
            "add-k" (`smoothing_value` more matches and runs for n > 1, 0 or not).
        smoothing_value: 0.1 for "floor" and 1 for "add-k" unless given.

    Raises:
        ValueError: the corpora or the weights differ in length, or another smoothing.

    >>> from fastdl.text import bleu_score
    >>> candidates = [["My", "full", "pytorch", "test"], ["Another", "Sentence"]]
    >>> references = [
    ...     [["My", "full", "pytorch", "test"], ["Completely", "Different"]],
    ...     [["No", "Match"]],
    ... ]
    >>> round(bleu_score(candidates, references), 4)
    0.8409
    """
    if len(candidate_corpus) != len(references_corpus):
        raise ValueError("The length of candidate and reference corpus should be the same")
    weights = [1 / max_n] * max_n if weights is None else list(weights)
    if len(weights) != max_n:
        raise ValueError('Length of the "weights" list has be equal to max_n')
    values = {"none": 0.0, "exp": 0.0, "floor": 0.1, "add-k": 1.0}
    if smoothing not in values:
        raise ValueError(f"bleu_score: smoothing must be one of {[*values]}, but got {smoothing!r}")
    value = values[smoothing] if smoothing_value is None else smoothing_value
    matches, totals = [0.0] * max_n, [0.0] * max_n
    length = reference_length = 0
    for candidate, references in zip(candidate_corpus, references_corpus, strict=True):
        length += len(candidate)
        reference_length += min(
            (len(r) for r in references), key=lambda n: (abs(n - len(candidate)), n)
        )
        for i in range(max_n):
            found = _runs(candidate, i + 1)
            allowed: Counter = Counter()
            for reference in references:
                allowed |= _runs(reference, i + 1)
            matches[i] += (found & allowed).total()
            totals[i] += found.total()
    logs, zeros = 0.0, 0
    for i, (found, total) in enumerate(zip(matches, totals, strict=True)):
        if smoothing == "add-k" and i:
            found, total = found + value, total + value
        if found == 0 and total and smoothing == "exp":
            zeros += 1
            found = 0.5**zeros
        elif found == 0 and smoothing == "floor":
            found = value
        if found == 0 or total == 0:
            return 0.0
        logs += weights[i] * math.log(found / total)
    return math.exp(min(0.0, 1 - reference_length / length) + logs)


def perplexity(logits: Tensor, target: Tensor, ignore_index: int = -100) -> float:
    """exp of the mean cross-entropy: how many equally likely tokens would be as hard to guess.

    Args:
        logits: (..., V), floating.
        target: (...), int64.
        ignore_index: targets that do not count.

    >>> import fastdl
    >>> round(fastdl.text.perplexity(fastdl.zeros(3, 7), fastdl.tensor([0, 5, -100])), 4)
    7.0
    """
    with no_grad():
        rows = logits.reshape(-1, logits.shape[-1])
        loss = F.cross_entropy(rows, target.reshape(-1), ignore_index=ignore_index)
    return math.exp(loss.item())
