"""What a network trained with the CTC loss has read: its best path, or its best labellings.

A path names a class for each step; what it spells is the path without repetitions, and then
without blanks. Many paths spell the same: the labelling of the most probable path need not be the
most probable labelling.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from fastdl.tensor import Tensor

__all__ = ["CTCHypothesis", "ctc_beam_search", "ctc_greedy_decode"]


class CTCHypothesis(NamedTuple):
    """A labelling, and the log of its probability (with what a language model adds)."""

    tokens: list[int]
    score: float


def _sequences(function: str, log_probs, input_lengths, blank: int) -> list[np.ndarray]:
    """The steps of each sequence, (steps, C) in double precision."""
    x = log_probs.detach().array if isinstance(log_probs, Tensor) else np.asarray(log_probs)
    if x.ndim not in (2, 3) or x.dtype.kind != "f" or not x.shape[-1]:
        raise ValueError(
            f"{function}: log_probs must be floating, of shape (T, N, C) or (T, C), but got "
            f"{x.dtype} {x.shape}"
        )
    if not 0 <= blank < x.shape[-1]:
        raise ValueError(f"{function}: blank must lie in [0, {x.shape[-1]}), but got {blank}")
    x = x[:, None] if x.ndim == 2 else x
    lengths = np.full(x.shape[1], x.shape[0])
    if input_lengths is not None:
        given = input_lengths.array if isinstance(input_lengths, Tensor) else input_lengths
        lengths = np.asarray(given).reshape(-1)
    if lengths.dtype.kind not in "iu" or lengths.shape != (x.shape[1],):
        raise ValueError(
            f"{function}: input_lengths must be {x.shape[1]} whole numbers, but got {lengths}"
        )
    if lengths.size and not 0 <= lengths.min() <= lengths.max() <= len(x):
        raise ValueError(f"{function}: input_lengths must lie in [0, {len(x)}], but got {lengths}")
    return [x[:n, i].astype(np.float64) for i, n in enumerate(lengths)]


def ctc_greedy_decode(log_probs: Tensor, input_lengths=None, blank: int = 0) -> list:
    """What the most probable path of each sequence spells.

    Args:
        log_probs: (T, N, C), as for `nn.CTCLoss`, or (T, C); any scores in the order of
            probabilities.
        input_lengths: steps of each of the N sequences; None: T.
        blank: the class between labels.

    Returns:
        N lists of labels; of (T, C) one.

    Raises:
        ValueError: shapes, lengths or `blank` do not fit.

    >>> import fastdl
    >>> from fastdl.text import ctc_greedy_decode
    >>> path = fastdl.tensor([0, 3, 3, 0, 3, 1, 1, 2])
    >>> ctc_greedy_decode(fastdl.nn.functional.one_hot(path, 4).float())
    [3, 3, 1, 2]
    """
    found = []
    for scores in _sequences("ctc_greedy_decode", log_probs, input_lengths, blank):
        path = scores.argmax(1)
        changes = np.append(True, path[1:] != path[:-1])[: len(path)]
        path = path[changes]
        found.append(path[path != blank].tolist())
    return found if log_probs.ndim == 3 else found[0]


class _Prefixes:
    """The labellings that a search has met, as a tree: each is another one and a label."""

    def __init__(self, language_model) -> None:
        self.parents, self.labels = [-1], [-1]
        self.children: dict[tuple[int, int], int] = {}
        self.language_model = language_model
        self.followers: dict[int, np.ndarray] = {}

    def child(self, node: int, label: int) -> int:
        """The number of what `node` and a label more are."""
        found = self.children.get((node, label))
        if found is None:
            found = self.children[node, label] = len(self.labels)
            self.parents.append(node)
            self.labels.append(label)
        return found

    def tokens(self, node: int) -> list[int]:
        found = []
        while node:
            found.append(self.labels[node])
            node = self.parents[node]
        return found[::-1]

    def after(self, node: int, classes: int) -> np.ndarray:
        """What the language model says of each label after a labelling, asked once."""
        row = self.followers.get(node)
        if row is None:
            row = self.language_model(tuple(self.tokens(node)))
            row = np.asarray(row.detach().array if isinstance(row, Tensor) else row, np.float64)
            if row.shape != (classes,):
                raise ValueError(
                    f"ctc_beam_search: language_model must give {classes} numbers, one for each "
                    f"class, but gave an array of shape {row.shape}"
                )
            self.followers[node] = row
        return row


def _search(p, blank, width, count, language_model, lm_weight, length_bonus):
    """The best `count` labellings of log probabilities p (T, C), best first."""
    tree = _Prefixes(language_model)
    nodes = [0]
    on_blank, on_label = np.zeros(1), np.full(1, -np.inf)  # paths that end there, in logarithms
    for row in p:
        total = np.logaddexp(on_blank, on_label)
        last = np.array([tree.labels[node] for node in nodes])
        stay_blank = total + row[blank]
        stay_label = np.where(last < 0, -np.inf, on_label + row[last])
        grown = total[:, None] + row
        repeated = np.flatnonzero(last >= 0)  # the same label again: only after a blank
        grown[repeated, last[repeated]] = on_blank[repeated] + row[last[repeated]]
        if language_model is not None:
            after = np.array([tree.after(node, len(row)) for node in nodes])
            grown += lm_weight * after
        grown += length_bonus
        grown[:, blank] = -np.inf
        places = {node: i for i, node in enumerate(nodes)}
        for i, node in enumerate(nodes):  # what grows into a labelling that is there joins it
            j = places.get(tree.parents[node])
            if j is not None:
                stay_label[i] = np.logaddexp(stay_label[i], grown[j, last[i]])
                grown[j, last[i]] = -np.inf
        scores = np.concatenate([np.logaddexp(stay_blank, stay_label), grown.ravel()])
        best = np.arange(len(scores))
        if width < len(scores):
            best = np.argpartition(-scores, width)[:width]
        best = sorted(best[scores[best] > -np.inf], key=lambda i: (-scores[i], i))
        kept = len(nodes)
        on_blank = np.array([stay_blank[i] if i < kept else -np.inf for i in best])
        on_label = np.array([stay_label[i] if i < kept else scores[i] for i in best])
        classes = len(row)
        nodes = [
            nodes[i]
            if i < kept
            else tree.child(nodes[(i - kept) // classes], int(i - kept) % classes)
            for i in best
        ]
        if not nodes:
            return []  # no path has a probability
    scores = np.logaddexp(on_blank, on_label)
    order = sorted(range(len(nodes)), key=lambda i: (-scores[i], i))[:count]
    return [CTCHypothesis(tree.tokens(nodes[i]), float(scores[i])) for i in order]


def ctc_beam_search(
    log_probs: Tensor,
    input_lengths=None,
    blank: int = 0,
    beam_width: int = 10,
    n_best: int = 1,
    language_model: Callable[[tuple[int, ...]], Sequence[float]] | None = None,
    lm_weight: float = 1.0,
    length_bonus: float = 0.0,
) -> list:
    """The labellings that are most probable over all their paths, by prefix beam search.

    Step by step the `beam_width` best labellings so far are kept, each with the probability of its
    paths that end in a blank and of those that end in its last label; the former may have that
    label again. Hannun et al. 2014, First-pass large vocabulary continuous speech recognition using
    bi-directional recurrent DNNs. With as many beams as there are labellings the search is exact.

    Args:
        log_probs: (T, N, C), log probabilities as for `nn.CTCLoss`, or (T, C).
        input_lengths: steps of each of the N sequences; None: T.
        blank: the class between labels.
        beam_width: how many labellings are kept from step to step.
        n_best: how many are returned.
        language_model: a function of the labels so far that gives C log probabilities, of each
            class coming next (that of `blank` is not looked at). Asked once for each labelling.
        lm_weight: the factor of what it gives.
        length_bonus: added for each label: language models prefer short texts.

    Returns:
        For each of the N sequences the best hypotheses, best first: their `tokens`, and their
        `score`, log probability + lm_weight * language model + length_bonus * labels. Of (T, C) one
        such list.

    Raises:
        ValueError: shapes, lengths or numbers do not fit.

    >>> import fastdl
    >>> from fastdl.text import ctc_beam_search, ctc_greedy_decode
    >>> log_probs = fastdl.tensor([[0.6, 0.4], [0.6, 0.4]]).log()
    >>> ctc_greedy_decode(log_probs)                # blank, blank has probability 0.36
    []
    >>> ctc_beam_search(log_probs)[0].tokens        # all other paths spell 1: together 0.64
    [1]
    """
    if beam_width < 1 or n_best < 1:
        raise ValueError(
            f"ctc_beam_search: beam_width and n_best must be positive, but got {beam_width} and "
            f"{n_best}"
        )
    found = [
        _search(p, blank, beam_width, n_best, language_model, lm_weight, length_bonus)
        for p in _sequences("ctc_beam_search", log_probs, input_lengths, blank)
    ]
    return found if log_probs.ndim == 3 else found[0]
