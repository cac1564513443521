"""Metrics against scikit-learn, in one piece and batch by batch."""

import doctest
import functools
import itertools
import math
from functools import partial

import numpy as np
import pytest

import fastdl
from fastdl import metrics
from fastdl.metrics import spelling

sklearn = pytest.importorskip("sklearn.metrics")

RNG = np.random.default_rng(0)
N = 300
TARGET = RNG.integers(0, 4, N)
LOGITS = (RNG.standard_normal((N, 4)) + 1.5 * np.eye(4)[TARGET]).astype("float32")
GUESSES = LOGITS.argmax(1)
BINARY = RNG.integers(0, 2, N)
SCORES = np.round(RNG.random(N) * 0.7 + 0.3 * BINARY, 2)  # rounded: there are ties
SEVERAL = RNG.integers(0, 2, (N, 4))
PROBABILITIES = np.exp(LOGITS.astype("float64"))
PROBABILITIES /= PROBABILITIES.sum(1, keepdims=True)
NUMBERS = RNG.standard_normal((N, 3)) + 100
PREDICTED = NUMBERS + 0.3 * RNG.standard_normal((N, 3))


def per_average(name, make):
    """Rows for an F-measure: each average, of four classes."""
    reference = getattr(sklearn, f"{name}_score")
    for average in ("micro", "macro", "weighted", None):
        yield (
            f"{name} {average}",
            partial(make, average=average),
            (LOGITS, TARGET),
            reference(TARGET, GUESSES, average=average),
        )


def rows():
    """(name, what makes the metric, (preds, target), the expected value)"""
    m, s = metrics, sklearn
    yield "accuracy", m.Accuracy, (LOGITS, TARGET), s.accuracy_score(TARGET, GUESSES)
    yield "of classes", m.Accuracy, (GUESSES, TARGET), s.accuracy_score(TARGET, GUESSES)
    yield (
        "of two classes",
        partial(m.Accuracy, threshold=0.6),
        (SCORES, BINARY),
        s.accuracy_score(BINARY, SCORES > 0.6),
    )
    for k in (1, 2, 3):
        yield (
            f"top {k}",
            partial(m.TopKAccuracy, k),
            (np.round(LOGITS, 1), TARGET),
            s.top_k_accuracy_score(TARGET, np.round(LOGITS, 1), k=k),
        )
    for normalize in (None, "true", "pred", "all"):
        yield (
            f"confusion {normalize}",
            partial(m.ConfusionMatrix, normalize=normalize),
            (LOGITS, TARGET),
            s.confusion_matrix(TARGET, GUESSES, normalize=normalize),
        )
    for name, make in (("precision", m.Precision), ("recall", m.Recall), ("f1", m.F1Score)):
        yield from per_average(name, make)
        yield (
            f"{name} binary",
            partial(make, "binary"),
            (SCORES, BINARY),
            getattr(s, f"{name}_score")(BINARY, SCORES > 0.5),
        )
        # Classes 3 and 5 are never seen: absent ones are no part of the mean.
        yield (
            f"{name} of absent classes",
            partial(make, num_classes=6),
            (np.minimum(GUESSES, 2), np.minimum(TARGET, 1) * 4),
            getattr(s, f"{name}_score")(
                np.minimum(TARGET, 1) * 4, np.minimum(GUESSES, 2), average="macro", zero_division=0
            ),
        )
    yield "auc", m.ROCAUC, (SCORES, BINARY), s.roc_auc_score(BINARY, SCORES)
    yield (
        "average precision",
        m.AveragePrecision,
        (SCORES, BINARY),
        s.average_precision_score(BINARY, SCORES),
    )
    for average in ("macro", "weighted", "micro", None):
        yield (
            f"auc of several {average}",
            partial(m.ROCAUC, average),
            (PROBABILITIES, TARGET),
            s.roc_auc_score(TARGET, PROBABILITIES, average=average, multi_class="ovr"),
        )
        yield (
            f"auc of labels {average}",
            partial(m.ROCAUC, average),
            (PROBABILITIES, SEVERAL),
            s.roc_auc_score(SEVERAL, PROBABILITIES, average=average),
        )
        yield (
            f"average precision of several {average}",
            partial(m.AveragePrecision, average),
            (PROBABILITIES, TARGET),
            s.average_precision_score(np.eye(4)[TARGET], PROBABILITIES, average=average),
        )
    for name in ("mean_squared_error", "mean_absolute_error", "r2_score"):
        make = getattr(m, "".join(part.capitalize() for part in name.split("_")))
        for shape, p, t in (
            ("many", PREDICTED, NUMBERS),
            ("one", PREDICTED[:, 0], NUMBERS[:, 0]),
            ("constant", PREDICTED[:, 0], np.ones(N)),
        ):
            yield f"{name} {shape}", make, (p, t), getattr(s, name)(t, p)


ROWS = {row[0]: row[1:] for row in rows()}


def test_names_are_unique():
    assert len(ROWS) == len(list(rows())) > 40


@pytest.mark.parametrize("name", ROWS)
def test_against_scikit_learn(name):
    make, (preds, target), expected = ROWS[name]
    # Sums of N numbers in double precision, added up in another order.
    rtol = 4 * N * np.finfo(float).eps
    whole = make().of(fastdl.tensor(preds), fastdl.tensor(target))
    np.testing.assert_allclose(np.asarray(whole), expected, rtol=rtol)
    metric = make()
    metric.update(fastdl.tensor(preds[:7]), fastdl.tensor(target[:7]))
    metric.reset()
    for start in range(0, N, 64):
        part = slice(start, start + 64)
        metric.update(fastdl.tensor(preds[part]), fastdl.tensor(target[part]))
        twin = make()
        twin.load_state_dict(metric.state_dict())
        metric = twin
    np.testing.assert_allclose(np.asarray(metric.compute()), expected, rtol=rtol)


def test_functions_are_the_objects():
    assert metrics.accuracy(LOGITS, TARGET) == metrics.Accuracy().of(LOGITS, TARGET)
    assert metrics.top_k_accuracy(LOGITS, TARGET, k=2) == metrics.TopKAccuracy(2).of(LOGITS, TARGET)
    assert metrics.confusion_matrix(LOGITS, TARGET, num_classes=9).shape == (9, 9)
    for name, make in (("precision", "Precision"), ("recall", "Recall"), ("f1_score", "F1Score")):
        value = getattr(metrics, name)(LOGITS, TARGET, average="weighted")
        assert value == getattr(metrics, make)("weighted").of(LOGITS, TARGET)
    assert metrics.roc_auc(SCORES, BINARY) == metrics.ROCAUC().of(SCORES, BINARY)
    assert metrics.average_precision(SCORES, BINARY) == metrics.AveragePrecision().of(
        SCORES, BINARY
    )
    assert metrics.mean_squared_error(PREDICTED, NUMBERS) == pytest.approx(0.09, rel=0.3)
    assert metrics.mean_absolute_error([1.0, 2.0], [2.0, 4.0]) == 1.5
    assert metrics.r2_score([1.0, 2.0], [1.0, 2.0]) == 1


def test_curves():
    expected = sklearn.roc_curve(BINARY, SCORES, drop_intermediate=False)
    for found, right in zip(metrics.roc_curve(SCORES, BINARY), expected):
        np.testing.assert_allclose(found.numpy(), right, rtol=1e-15)
    expected = sklearn.precision_recall_curve(BINARY, SCORES)
    for found, right in zip(metrics.precision_recall_curve(SCORES, BINARY), expected):
        np.testing.assert_allclose(found.numpy(), right, rtol=1e-15)


def test_pictures_and_ignored_classes():
    """Segmentation: scores (N, C, H, W), classes (N, H, W), 255 outside."""
    scores, truth = RNG.random((2, 3, 4, 5)), RNG.integers(0, 3, (2, 4, 5))
    truth[0, 0] = 255
    guesses = scores.argmax(1)
    counted = truth != 255
    expected = (guesses == truth)[counted].mean()
    assert metrics.accuracy(scores, truth, ignore_index=255) == pytest.approx(expected)
    found = metrics.confusion_matrix(scores, truth, ignore_index=255)
    assert found.tolist() == sklearn.confusion_matrix(truth[counted], guesses[counted]).tolist()


def test_one_output():
    """A network with one output gives (N, 1); its targets may be (N,) or floats."""
    column = fastdl.tensor(SCORES)[:, None]
    for target in (BINARY, BINARY.astype("float32"), BINARY[:, None]):
        assert metrics.accuracy(column, target) == ((SCORES > 0.5) == BINARY).mean()
        assert metrics.roc_auc(column, target) == metrics.roc_auc(SCORES, BINARY)


def test_half_precision_and_gradients():
    logits = fastdl.tensor(LOGITS, requires_grad=True)
    assert metrics.accuracy(logits, fastdl.tensor(TARGET)) == metrics.accuracy(LOGITS, TARGET)
    for dtype in (fastdl.float16, fastdl.bfloat16):
        low = fastdl.tensor(SCORES).to(dtype)
        assert metrics.roc_auc(low, BINARY) == metrics.roc_auc(low.double(), BINARY)
        assert metrics.accuracy(fastdl.tensor(LOGITS).to(dtype), TARGET) > 0.5


def test_before_the_first_batch():
    for metric in (metrics.Accuracy(), metrics.F1Score(), metrics.ROCAUC(), metrics.R2Score()):
        assert math.isnan(metric.compute())
    mean = metrics.Mean()
    assert math.isnan(mean.compute())
    mean.update(2.0, 3)
    mean.update(fastdl.tensor([4.0, 6.0]))
    assert mean.compute() == 16 / 5


def test_bad_input_is_named():
    wrong = [
        (metrics.accuracy, (LOGITS, TARGET[:5]), {}, "shape of target"),
        (metrics.accuracy, (GUESSES, TARGET + 0.5), {}, "class numbers"),
        (metrics.confusion_matrix, (GUESSES, TARGET), {"num_classes": 2}, "below 2"),
        (metrics.confusion_matrix, (GUESSES - 1, TARGET), {}, "at least 0"),
        (metrics.confusion_matrix, (GUESSES, TARGET), {"normalize": "rows"}, "normalize"),
        (metrics.precision, (GUESSES, TARGET), {"average": "mean"}, "average"),
        (metrics.f1_score, (GUESSES, TARGET), {"average": "binary"}, "two classes"),
        (metrics.top_k_accuracy, (LOGITS, TARGET), {"k": 5}, "C >= 5"),
        (metrics.top_k_accuracy, (LOGITS, TARGET), {"k": 0}, "positive"),
        (metrics.roc_auc, (SCORES, np.ones(N)), {}, "not defined"),
        (metrics.roc_auc, (SCORES, TARGET), {}, r"\[0, 2\)"),
        (metrics.roc_auc, (SCORES[:4], BINARY), {}, "expected preds"),
        (metrics.roc_auc, (SCORES * np.nan, BINARY), {}, "nan"),
        (metrics.roc_curve, (SCORES, np.zeros(N)), {}, "both classes"),
        (metrics.mean_squared_error, (SCORES, PREDICTED), {}, "one shape"),
        (metrics.r2_score, (PREDICTED[None], NUMBERS[None]), {}, "R2Score"),
    ]
    for function, arguments, options, message in wrong:
        with pytest.raises(ValueError, match=message):
            function(*arguments, **options)
    absent = metrics.roc_auc(PROBABILITIES[TARGET < 3], TARGET[TARGET < 3], average=None)
    assert absent.isnan().tolist() == [False, False, False, True]


def test_the_examples_in_the_documentation():
    found = doctest.testmod(metrics)
    assert found.attempted > 4
    assert found.failed == 0


def test_edit_distance_is_the_recursion():
    """Of all short words of two letters: the definition, by memory."""
    words = ["".join(w) for n in range(5) for w in itertools.product("ab", repeat=n)]

    @functools.cache
    def distance(a, b):
        if not a or not b:
            return len(a) + len(b)
        same = distance(a[1:], b[1:]) + (a[0] != b[0])
        return min(same, distance(a[1:], b) + 1, distance(a, b[1:]) + 1)

    for a, b in itertools.product(words, words):
        assert metrics.edit_distance(a, b) == distance(a, b)
    assert metrics.edit_distance([("x", 1), None], [None]) == 1


def test_error_rates_over_batches():
    rate, chars = metrics.WordErrorRate(), metrics.CharErrorRate()
    assert np.isnan(rate.compute())
    for metric in (rate, chars):
        metric.update("a b c", "a x c d")
        metric.update(["q", ""], ["q", "r s"])
    assert rate.compute() == 4 / 7
    assert chars.compute() == (3 + 3) / (7 + 1 + 3)
    again = metrics.WordErrorRate()
    again.load_state_dict(rate.state_dict())
    assert again.compute() == rate.compute()
    with pytest.raises(ValueError, match="2 predictions but 1 targets"):
        rate.update(["a", "b"], ["a"])


def test_examples_of_spelling():
    assert doctest.testmod(spelling).failed == 0
