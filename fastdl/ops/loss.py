"""Losses: squared and absolute errors, cross-entropy of classes and of bits."""

from __future__ import annotations

import math
import warnings

import numpy as np

from fastdl import _dtype, backends
from fastdl._engine import collects, is_grad_enabled, tensor_of
from fastdl.ops.activation import _log_softmax, _softmax, softmax_backward, softplus
from fastdl.ops.core import elementwise, is_tensor, primitive, tensor_argument
from fastdl.ops.elementwise import abs, exp, log, sigmoid, where
from fastdl.ops.linear import linear

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "legacy_reduction",
    "linear_cross_entropy",
    "mse_loss",
    "nll_loss",
    "smooth_l1_loss",
]

REDUCTIONS = ("none", "mean", "sum")
INT64 = np.dtype(np.int64)


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


# ---------------------------------------------------------------------------- pointwise losses
#
# A loss is an elementwise primitive of input x, target y and for some a weight w; its gradients are
# functions of g, these and its parameters. What it is reduced to comes from `total`, which makes
# no array of the values, and takes its gradients from the primitive.


@primitive(node_name="Loss")
def total(x, y, w, *, loss, scale, parameters):
    """`scale` times the sum of `loss` over x, y and w, if not None, of one shape and dtype."""
    operands = (x, y) if w is None else (x, y, w)
    return backends.of(x).map_sum(loss.name, *operands, factor=scale, **parameters)


def _gradient_of_total(operand):
    def gradient(g, x, y, w, loss, scale, parameters):
        operands = (x, y) if w is None else (x, y, w)
        return loss.gradients[operand](g * scale, *operands, **parameters)

    return gradient


total.vjp(x=_gradient_of_total("x"), y=_gradient_of_total("y"), w=_gradient_of_total("w"))


def pointwise(loss, input, target, reduction, weight=None, factor=1.0, **parameters):
    """`factor` times the elementwise `loss` of the Tensors: itself, its sum or its mean."""
    x, y = input.array, target.array
    alike = x.shape == y.shape and x.dtype == y.dtype
    if weight is not None and alike:
        alike = weight.array.shape == x.shape and weight.array.dtype == x.dtype
    if alike and reduction != "none" and _dtype.is_float(x.dtype):
        if reduction == "mean":
            factor = factor / x.size if x.size else math.nan
        return total(input, target, weight, loss=loss, scale=factor, parameters=parameters)
    operands = (input, target) if weight is None else (input, target, weight)
    each = loss(*operands, **parameters)
    return reduced(each if factor == 1.0 else each * factor, reduction)


@elementwise(kernel="squared_error", node_name="MseLoss")
def squared_error(x, y):
    """(x - y)^2."""
    return np.square(x - y)


@elementwise(kernel="squared_error_backward")
def squared_error_backward(g, x, y):
    """2 g (x - y)."""
    return 2 * g * (x - y)


squared_error.vjp(
    x=lambda g, x, y: squared_error_backward(g, x, y),
    y=lambda g, x, y: squared_error_backward(g, y, x),
)
squared_error_backward.vjp(
    g=lambda h, x, y: squared_error_backward(h, x, y),
    x=lambda h, g: h * g * 2,
    y=lambda h, g: h * g * -2,
)


@elementwise(kernel="absolute_error", node_name="L1Loss")
def absolute_error(x, y):
    """abs(x - y)."""
    return np.abs(x - y)


@elementwise(kernel="absolute_error_backward")
def absolute_error_backward(g, x, y):
    """g times the sign of x - y: 0 where they are equal, or one is NaN."""
    return g * ((x > y).astype(g.dtype) - (x < y))


absolute_error.vjp(
    x=lambda g, x, y: absolute_error_backward(g, x, y),
    y=lambda g, x, y: absolute_error_backward(g, y, x),
)
absolute_error_backward.vjp(g=lambda h, x, y: absolute_error_backward(h, x, y))


@elementwise(kernel="huber", node_name="HuberLoss")
def huber(x, y, *, delta):
    """d^2 / 2 where d = abs(x - y) is below delta, delta (d - delta / 2) beyond."""
    d = np.abs(x - y)
    inner = np.minimum(d, x.dtype.type(delta))
    return inner * (d - inner * x.dtype.type(0.5))


@elementwise(kernel="huber_backward")
def huber_backward(g, x, y, *, delta):
    """g (x - y), with x - y cut off at -delta and delta."""
    return g * np.clip(x - y, x.dtype.type(-delta), x.dtype.type(delta))


def _huber_curvature(h, g, x, y, delta):
    return h * g * (abs(x - y) < delta)


huber.vjp(
    x=lambda g, x, y, delta: huber_backward(g, x, y, delta=delta),
    y=lambda g, x, y, delta: huber_backward(g, y, x, delta=delta),
)
huber_backward.vjp(
    g=lambda h, x, y, delta: huber_backward(h, x, y, delta=delta),
    x=_huber_curvature,
    y=lambda h, g, x, y, delta: -_huber_curvature(h, g, x, y, delta),
)


@elementwise(kernel="divergence", node_name="KlDiv")
def divergence(x, y):
    """y (log(y) - x); 0 where y is 0."""
    return y * (np.log(np.where(y == 0, 1, y)).astype(y.dtype) - x)


divergence.vjp(
    x=lambda g, x, y: -(g * y),
    y=lambda g, x, y: g * where(y > 0, log(where(y > 0, y, 1.0)) + 1 - x, 0.0),
)


@elementwise(kernel="log_divergence", node_name="KlDiv")
def log_divergence(x, y):
    """exp(y) (y - x)."""
    return np.exp(y) * (y - x)


log_divergence.vjp(
    x=lambda g, x, y: -(g * exp(y)),
    y=lambda g, x, y: g * exp(y) * (y - x + 1),
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
    if weight is not None:
        return reduced(squared_error(input, target), reduction, weight)
    return pointwise(squared_error, input, target, reduction)


def l1_loss(input, target, size_average=None, reduce=None, reduction="mean", weight=None):
    """abs(input - target), reduced; arguments and errors as in :func:`mse_loss`."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    _check_sizes("l1_loss", input, target)
    _check_weight(input, weight)
    if weight is not None:
        return reduced(absolute_error(input, target), reduction, weight)
    return pointwise(absolute_error, input, target, reduction)


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
        return pointwise(absolute_error, input, target, reduction)
    return pointwise(huber, input, target, reduction, factor=1 / beta, delta=beta)


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
    if weight is not None:
        return reduced(huber(input, target, delta=delta), reduction, weight)
    return pointwise(huber, input, target, reduction, delta=delta)


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
    factor = 1.0
    if batch and input.ndim:
        factor = 1.0 / input.shape[0] if input.shape[0] else math.nan
    loss = log_divergence if log_target else divergence
    return pointwise(loss, input, target, reduction, factor=factor)


# -------------------------------------------------------------------------------- cross-entropies


@primitive(node_name="CrossEntropy", half=True)
def softmax_cross_entropy(logits, target, weight, *, ignore_index, smoothing, reduction, gradient):
    """logits (N, C) or (N, C, P), target (N,) or (N, P) int64, weight (C,) or None -> the loss, of
    target's shape or reduced to (), and, with `gradient`, its gradient in the logits for a g of
    ones."""
    scale = "mean" if reduction == "mean" else 1.0
    loss, grad = backends.of(logits).cross_entropy(
        logits, target, ignore_index, weight, smoothing, scale, gradient
    )
    loss = loss.sum() if reduction == "sum" else loss
    return (loss, grad) if gradient else loss


def _mass(target, weight, classes, ignore_index, smoothing, reduction, dtype):
    """What the target of each row adds up to: the factor of softmax in the gradient."""
    used = target != ignore_index
    each = used * (1.0 if weight is None else weight.take(target, mode="clip"))
    spread = smoothing / classes * (classes if weight is None else weight.sum())
    mass = (1 - smoothing) * each + used * spread
    return (mass / each.sum() if reduction == "mean" else mass).astype(dtype)


def _scaled(grad, factor):
    """grad * factor; for the 1 that backward begins with grad itself, unless somebody
    differentiates again or gets this very result and may change it."""
    plain = not is_grad_enabled() and not collects() and factor.ndim == 0
    return grad if plain and factor.array == 1 else grad * factor


@softmax_cross_entropy.vjp_joint
def _(g, logits, target, weight, out1, ignore_index, smoothing, reduction):
    g_loss, g_grad = g
    terms = []
    if g_loss is not None:
        terms.append(_scaled(out1, g_loss.unsqueeze(1) if reduction == "none" else g_loss))
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


@primitive(node_name="CrossEntropy")
def soft_cross_entropy(logits, target, weight, *, smoothing, scale, gradient):
    """logits and target (N, C), weight (C,) or None -> the loss of each row times `scale` (N,);
    with `gradient` also the weighted sum of its target (N,) and its gradient in the logits."""
    loss, mass, grad = backends.of(logits).soft_cross_entropy(
        logits, target, weight, smoothing, scale, gradient
    )
    return (loss, mass, grad) if gradient else loss


@soft_cross_entropy.vjp_joint
def _(g, needs, logits, target, weight, out1, out2, smoothing, scale):
    g_loss, g_mass, g_grad = g
    p = _softmax(logits, axis=1) if g_grad is not None or needs[1] else None
    g_logits = g_target = 0.0
    factor = (1 - smoothing) * scale  # of the weighted target in everything
    if g_loss is not None:
        g_logits = out2 * g_loss.unsqueeze(1)
        if needs[1]:
            g_target = _log_softmax(logits, axis=1) * (g_loss.unsqueeze(1) * -factor)
    if g_mass is not None and needs[1]:
        g_target = g_target + (g_mass * factor).unsqueeze(1)
    if g_grad is not None:  # of mass * softmax - weight * target * scale
        h = g_grad * out1.unsqueeze(1)
        g_logits = g_logits + softmax_backward(h, p, axis=1)
        if needs[1]:
            g_target = g_target + ((g_grad * p).sum(1, keepdim=True) - g_grad) * factor
    if needs[1]:
        g_target = g_target.expand(target.shape)
        g_target = g_target if weight is None else g_target * weight
    return g_logits if needs[0] else None, g_target if needs[1] else None, None


@primitive(node_name="NllLoss")
def nll(x, target, weight, *, ignore_index, scale):
    """x (N, C) or (N, C, P), target (N,) or (N, P) int64, weight (C,) or None -> minus the chosen
    numbers, weighted, times `scale`; if that is "mean", their weighted mean."""
    return backends.of(x).nll(x, target, ignore_index, weight, scale)


@primitive
def nll_backward(g, target, weight, *, classes, ignore_index, scale):
    """g, of target's shape or (): the gradient of `nll` in x."""
    return backends.of(g).nll_backward(g, target, classes, ignore_index, weight, scale)


nll.vjp(
    x=lambda g, x_shape, target, weight, ignore_index, scale: nll_backward(
        g, target, weight, classes=x_shape[1], ignore_index=ignore_index, scale=scale
    )
)


@nll_backward.vjp_joint
def _(h, g_shape, target, weight, classes, ignore_index, scale):
    each = nll(h, target, weight, ignore_index=ignore_index, scale=scale)
    return (each if each.shape == g_shape else each.sum()), None, None


def _check_classes(function: str, input, target) -> None:
    """Raises unless class indices `target` fit the scores `input` in shape and dtype."""
    x, y = input.array, target.array
    if x.ndim == 2 and y.dtype is INT64 and y.shape == x.shape[:1]:  # the usual
        return
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
    if reduction == "mean" and weight is size_average is reduce is None and _usual(input, target):
        return nll(input, target, None, ignore_index=ignore_index, scale="mean")
    reduction = legacy_reduction(size_average, reduce, reduction)
    tensor_argument("nll_loss", "input", input)
    tensor_argument("nll_loss", "target", target)
    _check_classes("nll_loss", input, target)
    if weight is not None:
        weight = _weight_of("nll_loss", weight, input)
    if not _dtype.is_float(input.array.dtype):
        raise NotImplementedError(f"nll_loss: not implemented for input of dtype {input.dtype}")
    x, classes = _planes(input, target)
    scale = "mean" if reduction == "mean" else 1.0
    loss = nll(x, classes, weight, ignore_index=ignore_index, scale=scale)
    if reduction == "mean":
        return loss
    if reduction == "none":
        return loss.reshape(target.shape)
    return loss.sum()


def _planes(input, target):
    """Scores (N, C), (N, C, ...) or (C,) and classes that fit, as (N, C) or (N, C, P), int64."""
    if target.array.dtype is not INT64:
        target = target.long()
    if input.array.ndim == 2:
        return input, target
    if input.array.ndim == 1:
        return input.unsqueeze(0), target.reshape(1)
    pixels = math.prod(input.shape[2:])
    return input.reshape(*input.shape[:2], pixels), target.reshape(input.shape[0], pixels)


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
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    if weight is None and _usual(input, target):
        return _of_classes(input, target, weight, ignore_index, label_smoothing, reduction)
    tensor_argument("cross_entropy", "input", input)
    tensor_argument("cross_entropy", "target", target)
    if not _dtype.is_float(input.array.dtype):
        raise NotImplementedError(
            f"cross_entropy: not implemented for input of dtype {input.array.dtype}"
        )
    if weight is not None:
        weight = _weight_of("cross_entropy", weight, input)
    if input.array.shape == target.array.shape and input.ndim > 0:
        return _soft_cross_entropy(input, target, weight, reduction, label_smoothing)
    _check_classes("cross_entropy", input, target)
    x, classes = _planes(input, target)
    loss = _of_classes(x, classes, weight, ignore_index, label_smoothing, reduction)
    return loss.reshape(target.shape) if reduction == "none" and target.ndim != 1 else loss


def _of_classes(x, classes, weight, ignore_index, smoothing, reduction):
    gradient = is_grad_enabled() and x.requires_grad
    loss = softmax_cross_entropy(
        x,
        classes,
        weight,
        ignore_index=ignore_index,
        smoothing=smoothing,
        reduction=reduction,
        gradient=gradient,
    )
    return loss[0] if gradient else loss


def _usual(input, target):
    """Are they scores (N, C) of floats and classes (N,), int64?"""
    if not (is_tensor(input) and is_tensor(target)):
        return False
    x, y = input.array, target.array
    return x.ndim == 2 and y.dtype is INT64 and x.dtype.char in "fd" and y.shape == x.shape[:1]


def linear_cross_entropy(
    input,
    linear_weight,
    target,
    *,
    linear_bias=None,
    weight=None,
    reduction="mean",
    ignore_index=None,
    label_smoothing=0.0,
    options=None,
):
    """:func:`cross_entropy` of the logits that a linear layer makes of `input`.

    Args:
        input: (N, in) or (in,).
        linear_weight: (C, in), or (C, d1, ..., in) for logits (N, C, d1, ...).
        target: classes (N, d1, ...), or probabilities of the logits' shape.
        linear_bias: (C, d1, ...) or None.
        weight, reduction, label_smoothing: as in :func:`cross_entropy`.
        ignore_index: -100 unless given; not together with probabilities.
        options: how PyTorch cuts the batch into chunks, accepted without effect.

    Raises:
        RuntimeError: shapes do not fit, or `ignore_index` is given with probabilities.
    """
    name = "linear_cross_entropy"
    for argument, value in (("input", input), ("linear_weight", linear_weight), ("target", target)):
        tensor_argument(name, argument, value)
    if input.ndim not in (1, 2):
        raise RuntimeError(f"{name}: expected input to be 1-D or 2-D, got {input.ndim}-D")
    if linear_weight.ndim < 2 or linear_weight.shape[-1] != input.shape[-1]:
        raise RuntimeError(
            f"{name}: expected linear_weight of shape (classes, ..., {input.shape[-1]}), got "
            f"{tuple(linear_weight.shape)}"
        )
    heads, batch = tuple(linear_weight.shape[:-1]), tuple(input.shape[:-1])
    if linear_bias is not None and tuple(linear_bias.shape) != heads:
        raise RuntimeError(
            f"{name}: expected linear_bias shape {heads}, got {tuple(linear_bias.shape)}"
        )
    if len(heads) > 1 and not batch:
        raise RuntimeError(
            f"{name}: linear_weight of shape {tuple(linear_weight.shape)} requires batched input "
            f"(N, {input.shape[-1]}), got {tuple(input.shape)}"
        )
    if tuple(target.shape) == batch + heads and ignore_index is not None:
        raise RuntimeError("ignore_index cannot be specified when target contains probabilities")
    bias = None if linear_bias is None else linear_bias.reshape(-1)
    logits = linear(input, linear_weight.reshape(-1, input.shape[-1]), bias)
    return cross_entropy(
        logits.reshape(*batch, *heads),
        target,
        weight=weight,
        reduction=reduction,
        ignore_index=-100 if ignore_index is None else ignore_index,
        label_smoothing=label_smoothing,
    )


def _rows(x):
    """(N, C, ...) -> (N * ..., C); (C,) -> (1, C)."""
    if x.ndim == 2:
        return x
    if x.ndim == 1:
        return x.unsqueeze(0)
    return x.movedim(1, -1).reshape(-1, x.shape[1])


def _soft_cross_entropy(input, target, weight, reduction, label_smoothing):
    """Cross-entropy against class probabilities."""
    if not _dtype.is_float(target.array.dtype):
        raise RuntimeError(
            "Expected floating point type for target with class probabilities, "
            f"got {target.array.dtype}"
        )
    shape = (*input.shape[:1], *input.shape[2:]) if input.ndim > 1 else ()
    rows = math.prod(shape)
    scale = 1.0 if reduction != "mean" else 1.0 / rows if rows else math.nan
    gradient = is_grad_enabled() and (input.requires_grad or target.requires_grad)
    loss = soft_cross_entropy(
        _rows(input),
        _rows(target),
        weight,
        smoothing=label_smoothing,
        scale=scale,
        gradient=gradient,
    )
    loss = loss[0] if gradient else loss
    if reduction == "none":
        return loss.reshape(shape)
    return loss.sum() if rows or reduction == "sum" else loss.sum() * scale


@elementwise(kernel="bit_cross_entropy", node_name="BinaryCrossEntropy")
def bit_cross_entropy(x, y):
    """-(y log(x) + (1 - y) log(1 - x)), the logarithms no less than -100."""
    return (y - 1) * np.maximum(np.log1p(-x), -100) - y * np.maximum(np.log(x), -100)


@elementwise(kernel="bit_cross_entropy_backward")
def bit_cross_entropy_backward(g, x, y):
    """g (x - y) / (x (1 - x)), the divisor no less than 1e-12."""
    return g * (x - y) / np.maximum(x * (1 - x), x.dtype.type(1e-12))


def _bit_curvature(h, g, x, y):
    product = x * (1 - x)
    inner = product > 1e-12
    slope = (product - (x - y) * (1 - x * 2)) / (product * product)
    return h * g * where(inner, slope, 1e12)


bit_cross_entropy.vjp(
    x=lambda g, x, y: bit_cross_entropy_backward(g, x, y),
    y=lambda g, x, y: g * (log(1 - x).clamp(min=-100) - log(x).clamp(min=-100)),
)
bit_cross_entropy_backward.vjp(
    g=lambda h, x, y: bit_cross_entropy_backward(h, x, y),
    x=_bit_curvature,
    y=lambda h, g, x: -(h * g) / (x * (1 - x)).clamp(min=1e-12),
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
    if weight is None:
        loss = pointwise(bit_cross_entropy, input, target, reduction)
    else:
        loss = reduced(bit_cross_entropy(input, target) * weight, reduction)
    # a logarithm of what is no probability is NaN, and so is the loss: only then is it looked for
    if loss.ndim > 0 or math.isnan(loss.array):
        p = input.array
        if p.size and not (p.min() >= 0 and p.max() <= 1):
            raise RuntimeError(
                "binary_cross_entropy: all elements of input should be between 0 and 1"
            )
    return loss


@elementwise(kernel="logit_cross_entropy", node_name="BinaryCrossEntropyWithLogits")
def logit_cross_entropy(x, y):
    """(1 - y) x + log(1 + exp(-x))."""
    return (1 - y) * x + np.logaddexp(-x, 0)


@elementwise(kernel="logit_cross_entropy_backward")
def logit_cross_entropy_backward(g, x, y):
    """g (sigmoid(x) - y)."""
    return g * (sigmoid.forward(x) - y)


logit_cross_entropy.vjp(
    x=lambda g, x, y: logit_cross_entropy_backward(g, x, y),
    y=lambda g, x, y: -(g * x),
)
logit_cross_entropy_backward.vjp(
    g=lambda h, x, y: logit_cross_entropy_backward(h, x, y),
    x=lambda h, g, x: h * g * (sigmoid(x) * (1 - sigmoid(x))),
    y=lambda h, g: -(h * g),
)


@elementwise(kernel="weighted_logit_cross_entropy", node_name="BinaryCrossEntropyWithLogits")
def weighted_logit_cross_entropy(x, y, w):
    """(1 - y) x + (1 + (w - 1) y) log(1 + exp(-x)): the part of y in it times w."""
    return (1 - y) * x + (1 + (w - 1) * y) * np.logaddexp(-x, 0)


@elementwise(kernel="weighted_logit_cross_entropy_slope")
def weighted_logit_cross_entropy_slope(x, y, w):
    """The derivative of `weighted_logit_cross_entropy` in x."""
    return 1 - y - (1 + (w - 1) * y) * sigmoid.forward(-x)


weighted_logit_cross_entropy.vjp(
    x=lambda g, x, y, w: g * weighted_logit_cross_entropy_slope(x, y, w),
    y=lambda g, x, y, w: g * ((w - 1) * _softplus_of_minus(x) - x),
    w=lambda g, x, y, w: g * y * _softplus_of_minus(x),
)
weighted_logit_cross_entropy_slope.vjp(
    x=lambda g, x, y, w: g * ((w - 1) * y + 1) * (sigmoid(x) * sigmoid(-x)),
    y=lambda g, x, w: -(g * ((w - 1) * sigmoid(-x) + 1)),
    w=lambda g, x, y: -(g * y * sigmoid(-x)),
)


def _softplus_of_minus(x):
    return softplus(-x, threshold=float("inf"))


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
    loss = logit_cross_entropy if pos_weight is None else weighted_logit_cross_entropy
    if pos_weight is not None and pos_weight.ndim <= input.ndim:
        pos_weight = pos_weight.expand(input.shape)
    if weight is None:
        return pointwise(loss, input, target, reduction, pos_weight)
    return reduced(pointwise(loss, input, target, "none", pos_weight) * weight, reduction)
