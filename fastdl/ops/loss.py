"""Losses: squared and absolute errors, cross-entropy of classes and of bits."""

from __future__ import annotations

import math
import warnings

import numpy as np

from fastdl import backends
from fastdl._engine import tensor_of
from fastdl.ops.activation import _log_softmax, _softmax, softmax_backward, softplus
from fastdl.ops.core import elementwise, primitive, tensor_argument
from fastdl.ops.elementwise import abs, exp, log, sigmoid, where

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "huber_loss",
    "kl_div",
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


@elementwise
def huber(x, y, *, delta):
    """d^2 / 2 where d = abs(x - y) is below delta, delta (d - delta / 2) beyond."""
    d = np.abs(x - y)
    inner = np.minimum(d, x.dtype.type(delta))
    d -= inner * x.dtype.type(0.5)
    d *= inner
    return d


huber.vjp(
    x=lambda g, x, y, delta: g * (x - y).clamp(-delta, delta),
    y=lambda g, x, y, delta: -(g * (x - y).clamp(-delta, delta)),
)


@elementwise
def divergence(x, y):
    """y (log(y) - x); 0 where y is 0."""
    loss = np.log(np.where(y > 0, y, 1))
    loss -= x
    loss *= y
    return loss


divergence.vjp(
    x=lambda g, y: -(g * y),
    y=lambda g, x, y: g * where(y > 0, log(where(y > 0, y, 1.0)) + 1 - x, 0.0),
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
    if beta == 0:
        return reduced(abs(input - target), reduction)
    loss = huber(input, target, delta=beta)
    return reduced(loss if beta == 1 else loss * (1 / beta), reduction)


def huber_loss(input, target, reduction="mean", delta=1.0, weight=None):
    """(input - target)^2 / 2 within `delta` of the target, delta (abs(input - target) - delta / 2)
    beyond; other arguments and errors as in :func:`mse_loss`.

    Raises:
        ValueError: `delta` is not positive.
    """
    check_reduction(reduction)
    _check_sizes("huber_loss", input, target)
    _check_weight(input, weight)
    if delta <= 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    return reduced(huber(input, target, delta=delta), reduction, weight)


def kl_div(input, target, size_average=None, reduce=None, reduction="mean", log_target=False):
    """Kullback-Leibler divergence target * (log(target) - input), for log-probabilities `input`.

    Args:
        input: log-probabilities.
        target: probabilities; with `log_target` their logarithms.
        reduction: ``"batchmean"`` (the sum divided by the first size), ``"sum"``, ``"none"``, or
            ``"mean"``, over all elements, which is not the divergence; `size_average` and `reduce`
            are PyTorch's older spelling.

    Raises:
        ValueError: an unknown reduction.
    """
    batch = reduction == "batchmean"
    reduction = legacy_reduction(size_average, reduce, "sum" if batch else reduction)
    tensor_argument("kl_div", "input", input)
    tensor_argument("kl_div", "target", target)
    if reduction == "mean":
        warnings.warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support size."
            "'batchmean' divides only by the batch size, and aligns with the KL math definition."
            "'mean' will be changed to behave the same as 'batchmean' in the next major release.",
            stacklevel=2,
        )
    loss = exp(target) * (target - input) if log_target else divergence(input, target)
    if batch and input.ndim:
        return loss.sum() / input.shape[0]
    return reduced(loss, reduction)


# -------------------------------------------------------------------------------- cross-entropies


@primitive(node_name="CrossEntropy")
def softmax_cross_entropy(logits, target, weight, *, ignore_index, smoothing, reduction):
    """logits (N, C) or (N, C, P), target (N,) or (N, P) int64, weight (C,) or None -> the loss, of
    target's shape or reduced to (), and its gradient in the logits for a g of ones."""
    share = 1.0
    if reduction == "mean":
        counted = target[target != ignore_index]
        total = counted.size if weight is None else weight.take(counted, mode="clip").sum()
        share = 1.0 / float(total) if total else math.nan
    loss, grad = backends.of(logits).cross_entropy(
        logits, target, ignore_index, weight, smoothing, share
    )
    if reduction == "none":
        return loss, grad
    return loss.sum() if target.size and not math.isnan(share) else loss.sum() * share, grad


def _mass(target, weight, classes, ignore_index, smoothing, reduction, dtype):
    """What the target of each row adds up to: the factor of softmax in the gradient."""
    used = target != ignore_index
    each = used * (1.0 if weight is None else weight.take(target, mode="clip"))
    spread = smoothing / classes * (classes if weight is None else weight.sum())
    mass = (1 - smoothing) * each + used * spread
    return (mass / each.sum() if reduction == "mean" else mass).astype(dtype)


@softmax_cross_entropy.vjp_joint
def _(g, logits, target, weight, out, ignore_index, smoothing, reduction):
    g_loss, g_grad = g
    terms = []
    if g_loss is not None:
        terms.append(out[1] * (g_loss.unsqueeze(1) if reduction == "none" else g_loss))
    if g_grad is not None:  # second order: the gradient of mass * softmax - what is constant
        mass = _mass(
            target.array,
            None if weight is None else weight.array,
            logits.shape[1],
            ignore_index,
            smoothing,
            reduction,
            logits.array.dtype,
        )
        h = g_grad * tensor_of(mass).unsqueeze(1)
        terms.append(softmax_backward(h, _softmax(logits, axis=1), axis=1))
    return sum(terms[1:], terms[0]), None, None


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
    x, classes = input, target
    if x.ndim == 1:
        x, classes = x.unsqueeze(0), target.reshape(1)
    elif x.ndim > 2:
        pixels = math.prod(x.shape[2:])
        x = x.reshape(x.shape[0], x.shape[1], pixels)
        classes = target.reshape(x.shape[0], pixels)
    loss, _ = softmax_cross_entropy(
        x,
        classes.long(),
        weight,
        ignore_index=ignore_index,
        smoothing=label_smoothing,
        reduction=reduction,
    )
    return loss.reshape(target.shape) if reduction == "none" and target.ndim != 1 else loss


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
