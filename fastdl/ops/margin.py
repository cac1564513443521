"""Losses with margins: of pairs, triplets, embeddings, classes and labels; PyTorch's arguments.

Each is a composition of other ops, so that gradients of any order come with it.
"""

from __future__ import annotations

import math

import numpy as np

from fastdl import _dtype
from fastdl._engine import tensor_of
from fastdl.ops.activation import softplus
from fastdl.ops.core import tensor_argument
from fastdl.ops.distance import pairwise_distance
from fastdl.ops.elementwise import clamp_min, minimum, sqrt, where
from fastdl.ops.index import gather
from fastdl.ops.loss import (
    check_reduction,
    legacy_reduction,
    logit_cross_entropy,
    pointwise,
    reduced,
)

__all__ = [
    "cosine_embedding_loss",
    "hinge_embedding_loss",
    "margin_ranking_loss",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "soft_margin_loss",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
]


def _check_tensors(function: str, **tensors) -> None:
    """TypeError naming the first argument that is no Tensor."""
    for name, value in tensors.items():
        tensor_argument(function, name, value)


# ---- pairs and triplets -----------------------------------------------------------------------


def soft_margin_loss(input, target, size_average=None, reduce=None, reduction="mean"):
    """log(1 + exp(-target * input)), without overflow.

    Args:
        input: scores of any shape.
        target: 1 or -1, of the shape of `input` or one that broadcasts with it.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``; `size_average` and `reduce` are PyTorch's
            older spelling.

    Raises:
        ValueError: an unknown reduction.
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    _check_tensors("soft_margin_loss", input=input, target=target)
    return reduced(softplus(-target * input, threshold=math.inf), reduction)


def hinge_embedding_loss(
    input, target, margin=1.0, size_average=None, reduce=None, reduction="mean"
):
    """`input` where target is 1, max(0, margin - input) where it is -1.

    Args:
        input: distances of any shape.
        target: 1 or -1, of the same shape.
        margin: distances of unlike pairs beyond it cost nothing.
        reduction: as in :func:`soft_margin_loss`.

    Raises:
        ValueError: an unknown reduction.
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    _check_tensors("hinge_embedding_loss", input=input, target=target)
    unlike = where(target != 1, clamp_min(margin - input, 0), 0.0)
    return reduced(unlike + where(target != -1, input, 0.0), reduction)


def margin_ranking_loss(
    input1, input2, target, margin=0, size_average=None, reduce=None, reduction="mean"
):
    """max(0, -target * (input1 - input2) + margin).

    Args:
        input1, input2, target: of as many dimensions; target 1 says that input1 ranks higher, -1
            that input2 does.
        margin: by how much.
        reduction: as in :func:`soft_margin_loss`.

    Raises:
        RuntimeError: the numbers of dimensions differ.
        ValueError: an unknown reduction.
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    _check_tensors("margin_ranking_loss", input1=input1, input2=input2, target=target)
    if not input1.ndim == input2.ndim == target.ndim:
        raise RuntimeError(
            "margin_ranking_loss : All input tensors should have same dimension but got sizes: "
            f"input1: {input1.shape}, input2: {input2.shape}, target: {target.shape} "
        )
    return reduced(clamp_min(-target * (input1 - input2) + margin, 0), reduction)


def cosine_embedding_loss(
    input1, input2, target, margin=0, size_average=None, reduce=None, reduction="mean"
):
    """1 - cos(input1, input2) where target is 1, max(0, cos(input1, input2) - margin) where -1.

    Args:
        input1, input2: (N, D) or (D,).
        target: (N,) or (): 1 or -1.
        margin: unlike pairs of a smaller cosine cost nothing.
        reduction: as in :func:`soft_margin_loss`.

    Raises:
        RuntimeError: the numbers of dimensions do not fit.
        ValueError: an unknown reduction.
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    _check_tensors("cosine_embedding_loss", input1=input1, input2=input2, target=target)
    if target.ndim > 1:
        raise RuntimeError(
            "cosine_embedding_loss: 0D or 1D target tensor expected, multi-target not supported"
        )
    if not input1.ndim == input2.ndim == target.ndim + 1:
        raise RuntimeError(
            f"cosine_embedding_loss: {target.ndim}D target tensor expects {target.ndim + 1}D input "
            f"tensors, but found inputs with sizes {list(input1.shape)} and {list(input2.shape)}."
        )
    least = float(np.float32(1e-12))  # what PyTorch adds to the squares, a float there
    dots = (input1 * input2).sum(target.ndim)
    squares = [(x * x).sum(target.ndim) + least for x in (input1, input2)]
    cosine = dots / sqrt(squares[0] * squares[1])
    unlike = where(target == -1, clamp_min(cosine - margin, 0), 0.0)
    return reduced(where(target == 1, 1 - cosine, 0.0) + unlike, reduction)


def _triplets(anchor, positive, negative, distance, margin, swap, reduction):
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = minimum(far, distance(positive, negative))
    return reduced(clamp_min(margin + near - far, 0), reduction)


def _check_triplets(function, anchor, positive, negative, margin) -> None:
    _check_tensors(function, anchor=anchor, positive=positive, negative=negative)
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    if not anchor.ndim == positive.ndim == negative.ndim:
        raise RuntimeError(
            "The anchor, positive, and negative tensors are expected to have the same number of "
            f"dimensions, but got: anchor {anchor.ndim}D, positive {positive.ndim}D, and negative "
            f"{negative.ndim}D inputs"
        )


def triplet_margin_loss(
    anchor,
    positive,
    negative,
    margin=1.0,
    p=2,
    eps=1e-6,
    swap=False,
    size_average=None,
    reduce=None,
    reduction="mean",
):
    """max(0, margin + d(anchor, positive) - d(anchor, negative)) with d the p-norm of the
    difference + eps along the last dimension.

    Args:
        anchor, positive, negative: (N, D) or (D,), or of other shapes (..., D).
        margin: positive; triplets whose distances differ by more cost nothing.
        p: of the norm.
        eps: keeps the gradient of the norm finite.
        swap: take d(positive, negative) for the second distance where it is smaller. Balntas et
            al. 2016.
        reduction: as in :func:`soft_margin_loss`.

    Raises:
        ValueError: `margin` is not positive, or an unknown reduction.
        RuntimeError: the numbers of dimensions differ.
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    _check_triplets("triplet_margin_loss", anchor, positive, negative, margin)

    def distance(a, b):
        return pairwise_distance(a, b, p, eps)

    return _triplets(anchor, positive, negative, distance, margin, swap, reduction)


def triplet_margin_with_distance_loss(
    anchor, positive, negative, *, distance_function=None, margin=1.0, swap=False, reduction="mean"
):
    """:func:`triplet_margin_loss` with any differentiable function of two tensors as distance.

    Args:
        anchor, positive, negative: what the distance takes, of as many dimensions.
        distance_function: (a, b) -> distances; :func:`pairwise_distance` where None.
        margin, swap, reduction: as in :func:`triplet_margin_loss`.

    Raises:
        ValueError: `margin` is not positive, or an unknown reduction.
        RuntimeError: the numbers of dimensions differ.
    """
    check_reduction(reduction)
    _check_triplets("triplet_margin_with_distance_loss", anchor, positive, negative, margin)
    distance = pairwise_distance if distance_function is None else distance_function
    return _triplets(anchor, positive, negative, distance, margin, swap, reduction)


# ---- classes and labels -----------------------------------------------------------------------


def _check_scores(function: str, input) -> None:
    """Raises unless input is (N, C) or (C,), floating, of at least one class."""
    if input.ndim not in (1, 2) or input.shape[-1] == 0:
        raise RuntimeError(
            f"{function}: Expected non-empty vector or matrix with optional 0-dim batch size, but "
            f"got: {list(input.shape)}"
        )
    if not _dtype.is_float(input.array.dtype):
        raise NotImplementedError(f"{function}: not implemented for input of dtype {input.dtype}")


def multi_margin_loss(
    input,
    target,
    p=1,
    margin=1.0,
    weight=None,
    size_average=None,
    reduce=None,
    reduction="mean",
):
    """Hinge loss of classes: the sum over all classes i but the target of
    ``weight[target] * max(0, margin - input[target] + input[i]) ** p / C``.

    Args:
        input: scores (N, C) or (C,), floating.
        target: (N,) or (), int64.
        p: 1 or 2.
        margin: classes whose score is lower by more cost nothing.
        weight: (C,) or None.
        reduction: as in :func:`soft_margin_loss`; the mean is over the N samples.

    Raises:
        ValueError: another p, a weight that is no vector, or an unknown reduction.
        RuntimeError: other sizes or dtypes do not fit.
        IndexError: a target is no class.
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    _check_tensors("multi_margin_loss", input=input, target=target)
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    if weight is not None and weight.ndim != 1:
        raise ValueError("weight must be one-dimensional")
    _check_scores("multi_margin_loss", input)
    classes = input.shape[-1]
    if target.ndim > 1 or target.array.size != (input.shape[0] if input.ndim == 2 else 1):
        raise RuntimeError(
            f"multi_margin_loss: inconsistent target size, expected {list(input.shape[:-1])} but "
            f"got {list(target.shape)}"
        )
    if weight is not None and weight.shape[0] != classes:
        raise RuntimeError(
            f"multi_margin_loss: inconsistent weight size, expected {classes} but got "
            f"{list(weight.shape)}"
        )
    labels = _labels("multi_margin_loss", target)
    if labels.size and not (labels.min() >= 0 and labels.max() < classes):
        raise IndexError("multi_margin_loss: Target out of bounds")
    scores = input.reshape(-1, classes)
    column = tensor_of(labels.reshape(-1, 1))
    others = tensor_of(np.arange(classes) != labels.reshape(-1, 1))
    cost = clamp_min(margin - gather(scores, 1, column) + scores, 0)
    cost = cost * cost if p == 2 else cost
    if weight is not None:
        cost = cost * weight[column]
    each = where(others, cost, 0.0).sum(1) / classes
    return reduced(each.reshape(target.shape) if input.ndim == 1 else each, reduction)


def _labels(function: str, target) -> np.ndarray:
    """The class indices of a target; RuntimeError unless they are int64."""
    if target.array.dtype != np.int64:
        raise RuntimeError(
            f"{function}: expected scalar type Long but found {target.array.dtype} in target"
        )
    return target.array


def multilabel_margin_loss(input, target, size_average=None, reduce=None, reduction="mean"):
    """Hinge loss of label sets: the sum over the labels j of a sample and all classes i that are
    none of them of ``max(0, 1 - (input[j] - input[i])) / C``.

    Args:
        input: scores (N, C) or (C,), floating.
        target: of the same shape, int64: the labels of each sample first, then a -1 and anything.
        reduction: as in :func:`soft_margin_loss`; the mean is over the N samples.

    Raises:
        ValueError: an unknown reduction.
        RuntimeError: sizes or dtypes do not fit, or a label is no class.
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    _check_tensors("multilabel_margin_loss", input=input, target=target)
    _check_scores("multilabel_margin_loss", input)
    if target.shape != input.shape:
        raise RuntimeError(
            f"multilabel_margin_loss: inconsistent target size: {list(target.shape)} for input of "
            f"size: {list(input.shape)}"
        )
    classes = input.shape[-1]
    scores = input.reshape(-1, classes)
    labels = _labels("multilabel_margin_loss", target).reshape(-1, classes)
    if labels.size and not (labels.min() >= -1 and labels.max() < classes):
        raise RuntimeError("multilabel_margin_loss: argument target is out of range")
    listed = np.logical_and.accumulate(labels >= 0, axis=1)  # before the first -1
    most = int(listed.sum(1).max(initial=0))
    labels, listed = np.where(listed, labels, 0)[:, :most], listed[:, :most]
    is_label = np.zeros(scores.shape, bool)
    rows = np.nonzero(listed)[0]
    is_label[rows, labels[listed]] = True
    counted = listed[:, :, None] & ~is_label[:, None, :]
    chosen = gather(scores, 1, tensor_of(labels))
    cost = clamp_min(1 - chosen.unsqueeze(2) + scores.unsqueeze(1), 0)  # (N, labels, C)
    each = where(tensor_of(counted), cost, 0.0).sum((1, 2)) / classes
    return reduced(each.reshape(input.shape[:-1]), reduction)


def multilabel_soft_margin_loss(
    input, target, weight=None, size_average=None, reduce=None, reduction="mean"
):
    """Binary cross-entropy of logits, averaged over the classes of each sample.

    Args:
        input: logits (N, C), or (..., C).
        target: of the same shape, 0 or 1.
        weight: a factor for each class (C,), or None.
        reduction: as in :func:`soft_margin_loss`, over the samples.

    Raises:
        ValueError: an unknown reduction.
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    _check_tensors("multilabel_soft_margin_loss", input=input, target=target)
    if weight is None and reduction == "mean" and input.ndim > 0:
        return pointwise(logit_cross_entropy, input, target, "mean")  # all means at once
    each = logit_cross_entropy(input, target)
    each = (each if weight is None else each * weight).sum(-1) / input.shape[-1]
    return reduced(each, reduction)
