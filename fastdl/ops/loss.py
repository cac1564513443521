"""Losses: squared and absolute errors, cross-entropy of classes and of bits."""

from __future__ import annotations

import warnings

import numpy as np

from fastdl import backends
from fastdl.ops.activation import _log_softmax, _softmax, softmax_backward, softplus
from fastdl.ops.core import elementwise, primitive, tensor_argument
from fastdl.ops.elementwise import abs, log, sigmoid, where

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "l1_loss",
    "legacy_reduction",
    "mse_loss",
    "nll_loss",
    "smooth_l1_loss",
]

REDUCTIONS = ("none", "mean", "sum")


def check_reduction(reduction: str) -> str:
    """`reduction`, or ValueError."""
    if reduction not in REDUCTIONS:
        raise ValueError(f"{reduction} is not a valid value for reduction")
    return reduction


def legacy_reduction(size_average, reduce, reduction: str) -> str:
    """The reduction that PyTorch's older arguments `size_average` and `reduce` mean, with a
    warning; `reduction` itself where both are None."""
    if size_average is None and reduce is None:
        return check_reduction(reduction)
    meant = "none" if reduce is False else "sum" if size_average is False else "mean"
    warnings.warn(
        f"size_average and reduce args will be deprecated, please use reduction='{meant}' instead.",
        stacklevel=3,
    )
    return meant


def reduced(loss, reduction: str, weight=None):
    """The elementwise loss, times `weight`, itself, its sum or its (weighted) mean."""
    if weight is not None:
        loss = loss * weight
    if reduction == "none":
        return loss
    if reduction == "sum":
        return loss.sum()
    return loss.mean() if weight is None else loss.sum() / weight.sum()


# ------------------------------------------------------------------------------------ differences


@primitive
def squared_error(x, y, *, scale):
    """scale * sum of (x - y)^2, for x and y of one shape and dtype."""
    d = (x - y).ravel()
    return np.dot(d, d) * x.dtype.type(scale)


squared_error.vjp(
    x=lambda g, x, y, scale: (x - y) * (g * (2 * scale)),
    y=lambda g, x, y, scale: (y - x) * (g * (2 * scale)),
)


def _check_sizes(function: str, input, target) -> None:
    """TypeError unless both are Tensors; a warning where their shapes differ."""
    tensor_argument(function, "input", input)
    tensor_argument(function, "target", target)
    if input.array.shape != target.array.shape:
        warnings.warn(
            f"{function}: using a target size ({target.shape}) that is different to the input size "
            f"({input.shape}). This will likely lead to incorrect results due to broadcasting. "
            "Please ensure they have the same size.",
            stacklevel=3,
        )


def _check_weight(input, weight) -> None:
    """ValueError unless there is one weight for each element of the input, or none at all."""
    if weight is not None and weight.array.shape != input.array.shape:
        raise ValueError(
            f"Weights and input must have the same size, but got {list(weight.shape)} and "
            f"{list(input.shape)}."
        )


def mse_loss(input, target, size_average=None, reduce=None, reduction="mean", weight=None):
    """(input - target)^2, reduced.

    Args:
        input, target: tensors of one shape (others broadcast, with a warning).
        reduction: ``"mean"``, ``"sum"`` or ``"none"``; `size_average` and `reduce` are PyTorch's
            older spelling.
        weight: a factor for each element of the input, or None; the mean is then weighted.

    Raises:
        ValueError: an unknown reduction, or a weight of another size.
        RuntimeError: shapes that do not broadcast.
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    _check_sizes("mse_loss", input, target)
    _check_weight(input, weight)
    x, y = input.array, target.array
    alike = x.shape == y.shape and x.dtype == y.dtype and x.dtype.kind == "f"
    if alike and reduction != "none" and weight is None:
        scale = 1.0 if reduction == "sum" else 1.0 / x.size if x.size else float("nan")
        return squared_error(input, target, scale=scale)
    d = input - target
    return reduced(d * d, reduction, weight)


def l1_loss(input, target, size_average=None, reduce=None, reduction="mean", weight=None):
    """abs(input - target), reduced; arguments and errors as in :func:`mse_loss`."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    _check_sizes("l1_loss", input, target)
    _check_weight(input, weight)
    return reduced(abs(input - target), reduction, weight)


def smooth_l1_loss(input, target, size_average=None, reduce=None, reduction="mean", beta=1.0):
    """(input - target)^2 / (2 beta) within `beta` of the target, abs(input - target) - beta / 2
    beyond; other arguments and errors as in :func:`mse_loss`.

    Raises:
        RuntimeError: `beta` is negative.
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    _check_sizes("smooth_l1_loss", input, target)
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta.")
    d = abs(input - target)
    if beta == 0:
        return reduced(d, reduction)
    return reduced(where(d < beta, d * d * (0.5 / beta), d - 0.5 * beta), reduction)


# -------------------------------------------------------------------------------- cross-entropies


@primitive(node_name="CrossEntropy")
def softmax_cross_entropy(logits, target, *, ignore_index, reduction):
    """logits (N, C), target (N,) int64 -> the loss -log softmax(logits)[target], (N,) or reduced to
    (), and its gradient (N, C) for a g of ones."""
    loss, grad = backends.of(logits).cross_entropy(logits, target, ignore_index)
    if reduction == "none":
        return loss, grad
    loss = loss.sum()
    if reduction == "mean":
        share = _share(target, ignore_index)
        loss *= share
        grad *= share
    return loss, grad


def _share(target, ignore_index):
    """1 / the number of targets that count; NaN, as in PyTorch, where none does."""
    count = int(np.count_nonzero(target != ignore_index))
    return 1.0 / count if count else float("nan")


@softmax_cross_entropy.vjp_joint
def _(g, logits, target, out, ignore_index, reduction):
    g_loss, g_grad = g
    terms = []
    if g_loss is not None:
        terms.append(out[1] * (g_loss.unsqueeze(1) if reduction == "none" else g_loss))
    if g_grad is not None:  # second order: the gradient of softmax - onehot
        used = (target != ignore_index).unsqueeze(1)
        if reduction == "mean":
            g_grad = g_grad * _share(target.array, ignore_index)
        terms.append(softmax_backward(g_grad * used, _softmax(logits, axis=1), axis=1))
    return sum(terms[1:], terms[0]), None


@primitive
def pick(x, index):
    """x (N, C), index (N,) int64 -> (N,): x[i, index[i]]."""
    return x[np.arange(len(index)), index]


@primitive
def place(g, index, *, classes):
    """g (N,), index (N,) int64 -> (N, classes): g[i] at [i, index[i]], else 0."""
    x = np.zeros((len(index), classes), g.dtype)
    x[np.arange(len(index)), index] = g
    return x


pick.vjp(x=lambda g, x_shape, index: place(g, index, classes=x_shape[1]))
place.vjp(g=lambda g, index: pick(g, index))


def _rows(x):
    """(N, C, ...) -> (N * ..., C); (C,) -> (1, C)."""
    if x.ndim == 2:
        return x
    if x.ndim == 1:
        return x.unsqueeze(0)
    return x.movedim(1, -1).reshape(-1, x.shape[1])


def _check_classes(function: str, input, target) -> None:
    """Raises unless class indices `target` fit the scores `input` in shape and dtype."""
    x, y = input.array, target.array
    if x.ndim == 0:
        raise RuntimeError(f"{function}: expected at least 1 dimension, but got a 0-d input")
    expected = () if x.ndim == 1 else (x.shape[0], *x.shape[2:])
    if y.shape != expected:
        if expected and y.ndim > 0 and x.shape[0] != y.shape[0]:
            raise ValueError(
                f"Expected input batch_size ({x.shape[0]}) to match target batch_size "
                f"({y.shape[0]})."
            )
        raise RuntimeError(
            f"{function}: expected target size {list(expected)}, but got {list(y.shape)}"
        )
    if y.dtype.kind not in "iu":
        raise RuntimeError(
            f"{function}: expected target dtype to be Long or Byte, but got {y.dtype}"
        )


def _weight_of(function: str, weight, input):
    """The class weights, checked against input (N, C, ...) or (C,)."""
    classes = input.shape[min(1, input.ndim - 1)]
    if tuple(weight.shape) != (classes,):
        raise RuntimeError(
            f"{function}: weight tensor should be defined either for all {classes} classes or no "
            f"classes but got weight tensor of shape: {list(weight.shape)}"
        )
    return weight


def nll_loss(
    input,
    target,
    weight=None,
    size_average=None,
    ignore_index=-100,
    reduce=None,
    reduction="mean",
):
    """-weight[target] * input[target]: cross-entropy of log-probabilities.

    Args:
        input: (N, C), (N, C, ...) or (C,), floating.
        target: (N,), (N, ...) or (): class indices, integers.
        weight: (C,) or None.
        ignore_index: targets of this value count neither in the loss nor in the mean.
        reduction: ``"mean"`` (divided by the sum of the weights of the targets), ``"sum"`` or
            ``"none"``; `size_average` and `reduce` are PyTorch's older spelling.

    Raises:
        ValueError: batch sizes differ, or an unknown reduction.
        RuntimeError: other sizes or dtypes do not fit.
        IndexError: a target is no class.
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    tensor_argument("nll_loss", "input", input)
    tensor_argument("nll_loss", "target", target)
    _check_classes("nll_loss", input, target)
    if weight is not None:
        weight = _weight_of("nll_loss", weight, input)
    flat = target.reshape(-1).long()
    used = flat != ignore_index
    flat = flat * used  # ignored ones point to class 0, whose loss is not looked at
    y, classes = flat.array, input.shape[min(1, input.ndim - 1)]
    if y.size and not (y.min() >= 0 and y.max() < classes):
        wrong = y[(y < 0) | (y >= classes)][0]
        raise IndexError(f"Target {wrong} is out of bounds. (nll_loss got {classes} classes)")
    share = used.to(input.dtype) if weight is None else weight[flat] * used
    loss = where(used, -pick(_rows(input), flat), 0.0)
    if weight is not None:
        loss = loss * share
    if reduction == "none":
        return loss.reshape(target.shape)
    return loss.sum() / share.sum() if reduction == "mean" else loss.sum()


def cross_entropy(
    input,
    target,
    weight=None,
    size_average=None,
    ignore_index=-100,
    reduce=None,
    reduction="mean",
    label_smoothing=0.0,
):
    """-log softmax(input)[target]: cross-entropy of logits.

    Args:
        input: logits (N, C), (N, C, ...) or (C,), floating.
        target: class indices (N,), (N, ...) or (), integers; or probabilities of the shape and
            dtype of `input`.
        weight: (C,) or None: a factor for each class.
        ignore_index: targets of this value count neither in the loss nor in the mean.
        reduction: ``"mean"`` (divided by the sum of the weights of the targets; for probabilities
            by N), ``"sum"`` or ``"none"``; `size_average` and `reduce` are PyTorch's older
            spelling.
        label_smoothing: in [0, 1]: the part of the target that is spread over all classes.

    Raises:
        ValueError: batch sizes differ, or an unknown reduction.
        RuntimeError: other sizes or dtypes do not fit, or label_smoothing is out of range.
        IndexError: a target is no class.
        NotImplementedError: `input` is of an integer dtype.
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    tensor_argument("cross_entropy", "input", input)
    tensor_argument("cross_entropy", "target", target)
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    if input.array.dtype.kind != "f":
        raise NotImplementedError(
            f"cross_entropy: not implemented for input of dtype {input.array.dtype}"
        )
    if weight is not None:
        weight = _weight_of("cross_entropy", weight, input)
    if input.array.shape == target.array.shape and input.ndim > 0:
        return _soft_cross_entropy(input, target, weight, reduction, label_smoothing)
    _check_classes("cross_entropy", input, target)
    if weight is None and not label_smoothing:
        rows = target if target.ndim == 1 else target.reshape(-1)
        if rows.array.dtype != np.int64:
            rows = rows.long()
        loss, _ = softmax_cross_entropy(
            _rows(input), rows, ignore_index=ignore_index, reduction=reduction
        )
        return loss.reshape(target.shape) if reduction == "none" and target.ndim != 1 else loss

    log_p = _log_softmax(_rows(input), axis=1)
    flat = target.reshape(-1)
    loss = nll_loss(log_p, flat, weight, ignore_index=ignore_index, reduction=reduction)
    if label_smoothing:
        used = flat != ignore_index
        smooth = -(log_p if weight is None else log_p * weight).sum(1)
        smooth = where(used, smooth, 0.0)
        if reduction != "none":
            smooth = smooth.sum()
        if reduction == "mean":
            share = used if weight is None else weight[flat.long() * used] * used
            smooth = smooth / share.sum()
        classes = log_p.shape[1]
        loss = loss * (1 - label_smoothing) + smooth * (label_smoothing / classes)
    return loss.reshape(target.shape) if reduction == "none" else loss


def _soft_cross_entropy(input, target, weight, reduction, label_smoothing):
    """Cross-entropy against class probabilities."""
    if target.array.dtype.kind != "f":
        raise RuntimeError(
            "Expected floating point type for target with class probabilities, "
            f"got {target.array.dtype}"
        )
    axis = min(1, input.ndim - 1)
    classes = input.shape[axis]
    if label_smoothing:
        target = target * (1 - label_smoothing) + label_smoothing / classes
    loss = _log_softmax(input, axis=axis) * target
    if weight is not None:
        loss = loss * weight.reshape(-1, *(1,) * (input.ndim - axis - 1))
    loss = -loss.sum(axis)
    return reduced(loss, reduction)


@elementwise
def bit_cross_entropy(p, y):
    """-(y log(p) + (1 - y) log(1 - p)), the logarithms no less than -100."""
    return -(y * np.maximum(np.log(p), -100) + (1 - y) * np.maximum(np.log1p(-p), -100))


bit_cross_entropy.vjp(
    p=lambda g, p, y: g * (p - y) / (p * (1 - p)).clamp(min=1e-12),
    y=lambda g, p: g * (log(1 - p).clamp(min=-100) - log(p).clamp(min=-100)),
)


def binary_cross_entropy(
    input, target, weight=None, size_average=None, reduce=None, reduction="mean"
):
    """-(target log(input) + (1 - target) log(1 - input)), logarithms cut off at -100.

    Args:
        input: probabilities of any shape.
        target: of the same shape, in [0, 1].
        weight: a factor for each element, broadcast, or None.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``; `size_average` and `reduce` are PyTorch's
            older spelling.

    Raises:
        ValueError: shapes differ, or an unknown reduction.
        RuntimeError: an input is no probability.
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    tensor_argument("binary_cross_entropy", "input", input)
    tensor_argument("binary_cross_entropy", "target", target)
    if input.array.shape != target.array.shape:
        raise ValueError(
            f"Using a target size ({target.shape}) that is different to the input size "
            f"({input.shape}) is deprecated. Please ensure they have the same size."
        )
    p = input.array
    if p.size and not (p.min() >= 0 and p.max() <= 1):
        raise RuntimeError("binary_cross_entropy: all elements of input should be between 0 and 1")
    loss = bit_cross_entropy(input, target)
    return reduced(loss if weight is None else loss * weight, reduction)


@elementwise
def bit_cross_entropy_with_logits(x, y):
    """max(x, 0) - x y + log(1 + exp(-abs(x)))."""
    return np.maximum(x, 0) - x * y + np.log1p(np.exp(-np.abs(x)))


bit_cross_entropy_with_logits.vjp(
    x=lambda g, x, y: g * (sigmoid(x) - y),
    y=lambda g, x: -(g * x),
)


def binary_cross_entropy_with_logits(
    input,
    target,
    weight=None,
    size_average=None,
    reduce=None,
    reduction="mean",
    pos_weight=None,
):
    """Binary cross-entropy of sigmoid(input), without overflow.

    Args:
        input: logits of any shape.
        target: of the same shape, in [0, 1].
        weight: a factor for each element, broadcast, or None.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``; `size_average` and `reduce` are PyTorch's
            older spelling.
        pos_weight: a factor for the part of target 1, broadcast, or None.

    Raises:
        ValueError: shapes differ, or an unknown reduction.
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    tensor_argument("binary_cross_entropy_with_logits", "input", input)
    tensor_argument("binary_cross_entropy_with_logits", "target", target)
    if input.array.shape != target.array.shape:
        raise ValueError(
            f"Target size ({target.shape}) must be the same as input size ({input.shape})"
        )
    if pos_weight is None:
        loss = bit_cross_entropy_with_logits(input, target)
    else:
        loss = target * pos_weight * softplus(-input, threshold=float("inf")) + (
            1 - target
        ) * softplus(input, threshold=float("inf"))
    return reduced(loss if weight is None else loss * weight, reduction)
