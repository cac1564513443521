"""Decoders of CTC against the sum over all paths of tiny alphabets."""

import doctest
import itertools
import math
from collections import defaultdict

import numpy as np
import pytest

import fastdl
from fastdl.text import ctc, ctc_beam_search, ctc_greedy_decode


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def log_probabilities(rng, *shape):
    return fastdl.tensor(rng.standard_normal(shape)).log_softmax(-1)


def spelled(path, blank):
    return tuple(c for c, _ in itertools.groupby(path) if c != blank)


def all_labellings(p, blank):
    """{labelling: probability} over every path of p (T, C)."""
    found = defaultdict(float)
    for path in itertools.product(range(p.shape[1]), repeat=len(p)):
        found[spelled(path, blank)] += math.prod(p[t, c] for t, c in enumerate(path))
    return found


def all_prefixes(labellings):
    return {labels[:n] for labels in labellings for n in range(len(labels) + 1)}


@pytest.mark.parametrize("blank", [0, 1, 2])
@pytest.mark.parametrize("steps", [0, 1, 2, 5])
def test_wide_beams_are_exact(steps, blank, rng):
    x = log_probabilities(rng, steps, 3)
    expected = all_labellings(np.exp(x.numpy()), blank)
    found = ctc_beam_search(x, blank=blank, beam_width=1000, n_best=1000)
    assert {tuple(h.tokens) for h in found} == set(expected)
    for tokens, score in found:
        assert abs(score - math.log(expected[tuple(tokens)])) < 1e-13
    scores = [h.score for h in found]
    assert scores == sorted(scores, reverse=True)
    best_path = np.argmax(x.numpy(), 1) if steps else []
    assert tuple(ctc_greedy_decode(x, blank=blank)) == spelled(best_path, blank)


def test_scores_are_the_losses(rng):
    """What the search says of a labelling is minus the CTC loss of it."""
    x = log_probabilities(rng, 6, 2, 4)
    for i, hypotheses in enumerate(ctc_beam_search(x, (6, 5), beam_width=3000, n_best=5)):
        for tokens, score in hypotheses:
            loss = fastdl.nn.functional.ctc_loss(
                x[:, i : i + 1],
                fastdl.tensor([tokens], dtype=fastdl.int64),
                [(6, 5)[i]],
                [len(tokens)],
                reduction="sum",
            )
            assert abs(loss.item() + score) < 1e-12


def test_narrow_beams_find_no_more_than_there_is(rng):
    """A narrow beam loses paths, never invents them; wider ones come closer; never worse than the
    best path."""
    for _ in range(10):
        x = log_probabilities(rng, 7, 3)
        expected = all_labellings(np.exp(x.numpy()), 0)
        best = max(expected.values())
        scores = []
        for width in (1, 2, 5, 200):
            (one,) = ctc_beam_search(x, beam_width=width)
            assert one.score <= math.log(expected[tuple(one.tokens)]) + 1e-12
            scores.append(one.score)
        assert abs(scores[-1] - math.log(best)) < 1e-12
        assert scores[-1] >= max(scores[:-1]) - 1e-12


def test_language_model(rng):
    """Every labelling's probability times that of its labels, to the weight, times the bonus."""
    x = log_probabilities(rng, 5, 3)
    table = np.log(rng.dirichlet(np.ones(3), 3))
    asked = []

    def model(prefix):
        asked.append(prefix)
        return fastdl.tensor(table[prefix[-1] if prefix else 0])

    found = ctc_beam_search(
        x, beam_width=1000, n_best=1000, language_model=model, lm_weight=0.7, length_bonus=0.3
    )
    expected = all_labellings(np.exp(x.numpy()), 0)
    assert {tuple(h.tokens) for h in found} == set(expected)
    for tokens, score in found:
        said = sum(table[a, b] for a, b in zip([0, *tokens], tokens))
        wanted = math.log(expected[tuple(tokens)]) + 0.7 * said + 0.3 * len(tokens)
        assert abs(score - wanted) < 1e-12
    assert len(asked) == len(set(asked))
    forbidden = lambda prefix: [-np.inf, 0.0, -np.inf]
    for tokens, _ in ctc_beam_search(x, language_model=forbidden, n_best=10):
        assert 2 not in tokens
    with pytest.raises(ValueError, match="language_model must give 3"):
        ctc_beam_search(x, language_model=lambda prefix: [0.0])


def test_a_prefix_that_was_dropped_comes_back_as_itself():
    """Labelling (1,) falls out of a beam of one, then grows anew beside (1, 2)."""
    p = np.array([[0.1, 0.8, 0.1], [0.05, 0.05, 0.9], [0.9, 0.05, 0.05]])
    for width in (1, 2, 3):
        found = ctc_beam_search(fastdl.tensor(np.log(p)), beam_width=width, n_best=3)
        tokens = [tuple(h.tokens) for h in found]
        assert len(set(tokens)) == len(tokens)
        assert tokens[0] == (1, 2)


def test_lengths_and_batches(rng):
    x = log_probabilities(rng, 9, 3, 5)
    lengths = fastdl.tensor([9, 4, 0])
    for decode in (ctc_greedy_decode, ctc_beam_search):
        together = decode(x, lengths, blank=4)
        alone = [decode(x[:n, i], blank=4) for i, n in enumerate((9, 4, 0))]
        assert together == alone
    assert ctc_greedy_decode(x, lengths)[2] == []
    assert ctc_beam_search(x, lengths)[2] == [([], 0.0)]


def test_zero_probabilities(rng):
    """Only paths that exist are followed; with none left there is no hypothesis."""
    x = fastdl.full((4, 3), -math.inf)
    x[:, 1] = 0.0
    assert ctc_beam_search(x) == [([1], 0.0)]
    x[2] = -math.inf
    assert ctc_beam_search(x) == []


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: ctc_beam_search(x[0, 0]), "log_probs must be"),
        (lambda x: ctc_greedy_decode(x.long()), "log_probs must be"),
        (lambda x: ctc_greedy_decode(x, blank=4), "blank must lie"),
        (lambda x: ctc_greedy_decode(x, [5, 6]), "input_lengths must lie"),
        (lambda x: ctc_greedy_decode(x, [5]), "input_lengths must be 2"),
        (lambda x: ctc_greedy_decode(x, [5.0, 5.0]), "input_lengths must be 2"),
        (lambda x: ctc_beam_search(x, beam_width=0), "must be positive"),
        (lambda x: ctc_beam_search(x, n_best=0), "must be positive"),
    ],
)
def test_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call(fastdl.zeros(5, 2, 4))


def test_examples():
    found = doctest.testmod(ctc)
    assert found.attempted > 4
    assert found.failed == 0
