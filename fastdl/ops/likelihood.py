"""Losses that are negative log-likelihoods: Poisson and Gaussian; PyTorch's argument lists."""

from __future__ import annotations

import math

from fastdl.ops.core import tensor_argument
from fastdl.ops.creation import full as filled
from fastdl.ops.elementwise import exp, log, where
from fastdl.ops.loss import check_reduction, legacy_reduction, reduced

__all__ = ["gaussian_nll_loss", "poisson_nll_loss"]


def poisson_nll_loss(
    input,
    target,
    log_input=True,
    full=False,
    size_average=None,
    eps=1e-8,
    reduce=None,
    reduction="mean",
):
    """Negative log-likelihood of counts under Poisson distributions.

    Args:
        input: the logarithm of the rate or, without `log_input`, the rate.
        target: the counts, of the shape of `input` or one that broadcasts with it.
        log_input: ``exp(input) - target * input``, else ``input - target * log(input + eps)``.
        full: add Stirling's approximation of ``log(target!)`` where target > 1:
            ``target * log(target) - target + log(2 pi target) / 2``.
        eps: keeps the logarithm finite without `log_input`.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``; `size_average` and `reduce` are PyTorch's
            older spelling.

    Raises:
        ValueError: an unknown reduction.
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    tensor_argument("poisson_nll_loss", "input", input)
    tensor_argument("poisson_nll_loss", "target", target)
    if log_input:
        loss = exp(input) - target * input
    else:
        loss = input - target * log(input + eps)
    if full:
        counts = where(target > 1, target, 1)  # no logarithm of 0, whose gradient would be NaN
        stirling = counts * log(counts) - counts + 0.5 * log(counts * (2 * math.pi))
        loss = loss + where(target > 1, stirling, 0.0)
    return reduced(loss, reduction)


def gaussian_nll_loss(input, target, var, full=False, eps=1e-6, reduction="mean"):
    """Negative log-likelihood under normal distributions of mean `input` and variance `var`:
    ``(log(var) + (input - target)^2 / var) / 2``. Nix & Weigend 1994.

    Args:
        input: expectations, any shape.
        target: of the same shape or one that broadcasts.
        var: variances of the shape of `input`, or with one size 1 or the last left out, or a
            number; those below `eps` count as `eps`, of which the gradient takes no notice.
        full: add the constant log(2 pi) / 2.
        eps: the least variance.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Raises:
        ValueError: a negative variance, one of another size, or an unknown reduction.
    """
    tensor_argument("gaussian_nll_loss", "input", input)
    tensor_argument("gaussian_nll_loss", "target", target)
    if isinstance(var, float):
        var = filled(input.shape, var, dtype=input.dtype)
    tensor_argument("gaussian_nll_loss", "var", var)
    if var.array.size and var.array.min() < 0:
        raise ValueError("var has negative entry/entries")
    if var.shape != input.shape:
        if input.shape[:-1] == var.shape:
            var = var.unsqueeze(-1)
        elif (
            input.ndim != var.ndim
            or sum(
                size for size, wanted in zip(var.shape, input.shape, strict=True) if size != wanted
            )
            != 1
        ):
            raise ValueError("var is of incorrect size")
    check_reduction(reduction)
    var = where(var < eps, var - var.detach() + eps, var)
    loss = 0.5 * (log(var) + (input - target) ** 2 / var)
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return reduced(loss, reduction)
