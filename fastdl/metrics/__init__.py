"""Measures of how well a model does, as functions and as objects that take batch after batch.

Every measure is a :class:`Metric`: ``update(preds, target)`` for each batch, ``compute()`` for the
value over all of them, ``reset()`` to begin anew. The function of the same name measures one
batch. Values follow scikit-learn's definitions; sums are kept in double precision, so that the
value does not depend on how the samples were cut into batches beyond rounding.

>>> import fastdl
>>> from fastdl import metrics
>>> metrics.accuracy(fastdl.tensor([[2.0, 1.0], [0.0, 3.0]]), fastdl.tensor([0, 0]))
0.5
>>> matrix = metrics.ConfusionMatrix(num_classes=2)
>>> matrix.update(fastdl.tensor([0, 1]), fastdl.tensor([0, 0]))
>>> matrix.update(fastdl.tensor([1]), fastdl.tensor([1]))
>>> matrix.compute().tolist()
[[1, 1], [0, 1]]
"""

from fastdl.metrics.base import Mean, Metric
from fastdl.metrics.classification import (
    Accuracy,
    ConfusionMatrix,
    F1Score,
    Precision,
    Recall,
    TopKAccuracy,
    accuracy,
    confusion_matrix,
    f1_score,
    precision,
    recall,
    top_k_accuracy,
)
from fastdl.metrics.ranking import (
    ROCAUC,
    AveragePrecision,
    average_precision,
    precision_recall_curve,
    roc_auc,
    roc_curve,
)
from fastdl.metrics.regression import (
    MeanAbsoluteError,
    MeanSquaredError,
    R2Score,
    mean_absolute_error,
    mean_squared_error,
    r2_score,
)
from fastdl.metrics.spelling import (
    CharErrorRate,
    WordErrorRate,
    char_error_rate,
    edit_distance,
    word_error_rate,
)

__all__ = [
    "ROCAUC",
    "Accuracy",
    "AveragePrecision",
    "CharErrorRate",
    "ConfusionMatrix",
    "F1Score",
    "Mean",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Metric",
    "Precision",
    "R2Score",
    "Recall",
    "TopKAccuracy",
    "WordErrorRate",
    "accuracy",
    "average_precision",
    "char_error_rate",
    "confusion_matrix",
    "edit_distance",
    "f1_score",
    "mean_absolute_error",
    "mean_squared_error",
    "precision",
    "precision_recall_curve",
    "r2_score",
    "recall",
    "roc_auc",
    "roc_curve",
    "top_k_accuracy",
    "word_error_rate",
]
