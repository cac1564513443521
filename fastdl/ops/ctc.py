"""Connectionist temporal classification (Graves et al. 2006).

A labelling l of length S is spread over T steps with blanks between: of the 2 S + 1 states
blank, l_1, blank, l_2, ..., blank, a path begins in the first two, stays, goes on by one, or skips
a blank between different labels, and ends in the last two. The probability that a sequence spells
the labelling is the sum over all paths; `csrc/nnops/ctc.c` takes it and its gradient at once.
"""

from __future__ import annotations

import numpy as np

from fastdl import backends
from fastdl._engine import is_grad_enabled, tensor_of
from fastdl.ops.core import primitive, tensor_argument
from fastdl.ops.loss import check_reduction

__all__ = ["ctc_loss"]


@primitive(node_name="CtcLoss")
def ctc(log_probs, *, targets, input_lengths, target_lengths, blank, zero_infinity, gradient):
    """log_probs (T, N, C), targets (N, S) -> losses (N,) and, with `gradient`, the gradient of
    their sum (T, N, C)."""
    loss, grad = backends.of(log_probs).ctc_loss(
        log_probs, targets, input_lengths, target_lengths, blank, zero_infinity, gradient
    )
    return (loss, grad) if gradient else loss


@ctc.vjp_joint
def _(g, out1):
    g_loss, g_grad = g
    if g_grad is not None:
        raise RuntimeError(
            "ctc_loss: the derivative of its gradient is not implemented, as in PyTorch"
        )
    return (out1 * g_loss.unsqueeze(1),)


def _lengths(name, given, batch):
    """Lengths as int64 (N,)."""
    array = given.array if hasattr(given, "array") else np.asarray(given)
    if array.dtype.kind not in "iu":
        raise RuntimeError(f"ctc_loss: {name} must be integral, but got {array.dtype}")
    array = array.astype(np.int64).reshape(-1)
    if len(array) != batch:
        raise RuntimeError(f"{name} must be of size batch_size")
    if (array < 0).any():
        raise RuntimeError(f"ctc_loss: Expected {name} to be non-negative, but got {array.min()}")
    return array


def _padded(targets, lengths):
    """Labels (N, S), S the greatest length, from (N, S') or from all of them in a row."""
    longest = int(lengths.max(initial=0))
    if targets.ndim == 2:
        if targets.shape[0] != len(lengths) or targets.shape[1] < longest:
            raise RuntimeError(
                f"ctc_loss: Expected targets to have size at least {longest} at dimension 1 and "
                f"{len(lengths)} at dimension 0, but got size {list(targets.shape)}"
            )
        padded = targets[:, :longest].astype(np.int64)
        return np.where(np.arange(longest) < lengths[:, None], padded, 0)
    if len(targets) < lengths.sum():
        raise RuntimeError(
            f"ctc_loss: Expected targets of the {lengths.sum()} labels that target_lengths count, "
            f"but got {len(targets)}"
        )
    padded = np.zeros((len(lengths), longest), np.int64)
    padded[np.arange(longest) < lengths[:, None]] = targets[: lengths.sum()]
    return padded


def ctc_loss(
    log_probs,
    targets,
    input_lengths,
    target_lengths,
    blank=0,
    reduction="mean",
    zero_infinity=False,
):
    """-log of the probability that a sequence of steps spells a labelling, over all alignments.

    As in PyTorch, the gradient takes log_probs to be normalised: it is e^log_probs less the
    probability of each label, given the labelling, which after `log_softmax` is the gradient.

    Args:
        log_probs: (T, N, C) or (T, C), log probabilities of classes at each step.
        targets: (N, S) labels, padded, or all labels in a row; integers, none of them `blank`.
        input_lengths: of the N sequences, at most T: a tensor or numbers.
        target_lengths: of the N labellings.
        blank: the class between labels. Default: 0.
        reduction: "none", "sum", or "mean", of losses over the labellings' lengths. Default:
            "mean".
        zero_infinity: count infinite losses, of labellings too long for their steps, as 0, with a
            gradient of 0. Default: False.

    Returns:
        (N,), or () for (T, C) and for the reductions "sum" and "mean".

    Raises:
        RuntimeError: shapes, lengths, labels or dtypes do not fit.

    Example:

        >>> import fastdl as torch
        >>> even = torch.zeros(2, 1, 2).log_softmax(-1)
        >>> torch.nn.functional.ctc_loss(even, torch.tensor([[1]]), [2], [1], reduction="sum").exp()
        tensor(1.3333)
    """
    x = tensor_argument("ctc_loss", "log_probs", log_probs)
    labels = tensor_argument("ctc_loss", "targets", targets).array
    check_reduction(reduction)
    if x.ndim not in (2, 3):
        raise RuntimeError(f"ctc_loss: expected log_probs of 2 or 3 dimensions, but got {x.ndim}")
    if x.array.dtype.kind != "f":
        raise RuntimeError(f"ctc_loss: expected floating log_probs, but got {x.dtype}")
    if labels.ndim not in (1, 2):
        raise RuntimeError("ctc_loss: targets should be 1D or 2D")
    single = x.ndim == 2
    if single:
        x = x.unsqueeze(1)
    steps, batch, classes = x.shape
    if x.numel() == 0:
        raise RuntimeError("log_probs tensor must not be empty")
    if not 0 <= blank < classes:
        raise RuntimeError("blank must be in label range")
    inputs = _lengths("input_lengths", input_lengths, batch)
    counts = _lengths("target_lengths", target_lengths, batch)
    if inputs.max(initial=0) > steps:
        raise RuntimeError(
            f"Expected input_lengths to have value at most {steps}, but got value {inputs.max()} "
            "(while checking arguments for ctc_loss)"
        )
    padded = _padded(labels, counts)
    if padded.size and not (padded.min() >= 0 and padded.max() < classes):
        raise RuntimeError(f"ctc_loss: expected labels in [0, {classes})")
    gradient = is_grad_enabled() and x.requires_grad
    losses = ctc(
        x,
        targets=padded,
        input_lengths=inputs,
        target_lengths=counts,
        blank=blank,
        zero_infinity=bool(zero_infinity),
        gradient=gradient,
    )
    losses = losses[0] if gradient else losses
    if reduction == "mean":
        weights = np.maximum(counts, 1).astype(losses.array.dtype)
        return (losses / tensor_of(weights)).mean()
    if reduction == "sum":
        return losses.sum()
    return losses.squeeze(0) if single else losses
