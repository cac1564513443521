"""Connectionist temporal classification (Graves et al. 2006), in log space and double precision.

A labelling l of length S is spread over T steps with blanks between: of the 2 S + 1 states
blank, l_1, blank, l_2, ..., blank, a path begins in the first two, stays, goes on by one, or skips
a blank between different labels, and ends in the last two. With p_t(s) the probability of the label
of state s at step t:

    alpha_t(s) = p_t(s) (alpha_{t-1}(s) + alpha_{t-1}(s - 1) + [may skip] alpha_{t-1}(s - 2))

beta likewise from the end, and the loss is -log(alpha_T(2 S) + alpha_T(2 S + 1)). The probability
of being in state s at step t, given the labelling, is alpha_t(s) beta_t(s) / (p_t(s) e^-loss).
All sequences of a batch are computed side by side.
"""

from __future__ import annotations

import numpy as np

from fastdl._engine import tensor_of
from fastdl.ops.core import primitive, tensor_argument
from fastdl.ops.loss import check_reduction

__all__ = ["ctc_loss"]


def _states(log_probs, targets, lengths, blank):
    """The label of each state (N, L), L = 2 S + 1; which a skip may enter (N, L); the log
    probabilities (T, N, L), -inf in states beyond a sequence's own."""
    batch, longest = targets.shape
    labels = np.full((batch, 2 * longest + 1), blank)
    labels[:, 1::2] = targets
    skips = np.zeros(labels.shape, bool)
    skips[:, 3::2] = labels[:, 3::2] != labels[:, 1:-2:2]
    beyond = np.arange(labels.shape[1]) > 2 * lengths[:, None]
    labels[beyond] = blank
    found = np.take_along_axis(log_probs, labels[None].repeat(len(log_probs), 0), 2)
    return labels, skips, np.where(beyond, -np.inf, found.astype(np.float64))


def _shifted(x, by):
    """x (N, L) moved along the states, -inf coming in."""
    y = np.full_like(x, -np.inf)
    if by > 0:
        y[:, by:] = x[:, :-by]
    else:
        y[:, :by] = x[:, -by:]
    return y


def _alphas(p, skips, steps):
    """log alpha (T, N, L); after a sequence's last step it stays as it was."""
    alphas = np.empty_like(p)
    last = np.full(p.shape[1:], -np.inf)
    for t in range(len(p)):
        if t == 0:
            new = np.full_like(last, -np.inf)
            new[:, :2] = p[0, :, :2]
        else:
            new = np.logaddexp(last, _shifted(last, 1))
            new = np.logaddexp(new, np.where(skips, _shifted(last, 2), -np.inf)) + p[t]
        last = np.where((t < steps)[:, None], new, last)
        alphas[t] = last
    return alphas


def _betas(p, skips, steps, lengths):
    """log beta (T, N, L), -inf after a sequence's last step."""
    betas = np.empty_like(p)
    place = np.arange(p.shape[2])
    ends = (place == 2 * lengths[:, None]) | (place == 2 * lengths[:, None] - 1)
    leaving = np.zeros_like(skips)
    leaving[:, :-2] = skips[:, 2:]
    following = np.full(p.shape[1:], -np.inf)
    for t in reversed(range(len(p))):
        new = np.logaddexp(following, _shifted(following, -1))
        new = np.logaddexp(new, np.where(leaving, _shifted(following, -2), -np.inf))
        new = np.where((t == steps - 1)[:, None], np.where(ends, 0.0, -np.inf), new)
        following = betas[t] = np.where((t < steps)[:, None], new + p[t], -np.inf)
    return betas


@primitive(node_name="CtcLoss")
def ctc(log_probs, *, targets, input_lengths, target_lengths, blank):
    """log_probs (T, N, C), targets (N, S) -> losses (N,)."""
    _, skips, p = _states(log_probs, targets, target_lengths, blank)
    each = np.arange(len(targets))
    if len(p) == 0:
        found = np.where(target_lengths == 0, 0.0, np.inf)
    else:
        last = _alphas(p, skips, input_lengths)[-1]
        end, before = last[each, 2 * target_lengths], last[each, 2 * target_lengths - 1]
        before = np.where(target_lengths > 0, before, -np.inf)
        found = -np.logaddexp(end, before)
        found = np.where(input_lengths > 0, found, np.where(target_lengths == 0, 0.0, np.inf))
    return found.astype(log_probs.dtype)


@primitive(node_name="CtcLossBackward")
def ctc_backward(g, log_probs, losses, *, targets, input_lengths, target_lengths, blank):
    """The gradient of `ctc` for g (N,): e^log_probs less the probability of each label."""
    labels, skips, p = _states(log_probs, targets, target_lengths, blank)
    slopes = np.zeros(log_probs.shape, log_probs.dtype)
    if slopes.size == 0:
        return slopes
    alphas = _alphas(p, skips, input_lengths)
    betas = _betas(p, skips, input_lengths, target_lengths)
    gamma = alphas + betas - np.where(np.isfinite(p), p, 0.0) + losses[:, None].astype(np.float64)
    gamma = np.exp(np.where(np.isfinite(losses)[:, None], gamma, -np.inf))
    steps, batch, classes = log_probs.shape
    at = np.arange(steps * batch).reshape(steps, batch, 1) * classes + labels
    shares = np.bincount(at.ravel(), gamma.ravel(), steps * batch * classes)
    slopes = np.exp(log_probs.astype(np.float64)) - shares.reshape(log_probs.shape)
    slopes = np.where(np.isfinite(losses)[:, None], slopes, np.nan)
    inside = (np.arange(steps)[:, None] < input_lengths) & (g != 0)  # 0 also of a loss left out
    slopes = np.where(inside[..., None], slopes * g.astype(np.float64)[:, None], 0.0)
    return slopes.astype(log_probs.dtype)


@ctc.vjp_joint
def _(g, log_probs, out, targets, input_lengths, target_lengths, blank):
    return (
        ctc_backward(
            g,
            log_probs,
            out,
            targets=targets,
            input_lengths=input_lengths,
            target_lengths=target_lengths,
            blank=blank,
        ),
    )


@ctc_backward.vjp_joint
def _(g, blank):
    raise RuntimeError("ctc_loss: the derivative of its gradient is not implemented, as in PyTorch")


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
    losses = ctc(x, targets=padded, input_lengths=inputs, target_lengths=counts, blank=blank)
    if zero_infinity:
        losses = losses.masked_fill(losses == float("inf"), 0.0)
    if reduction == "mean":
        weights = np.maximum(counts, 1).astype(losses.array.dtype)
        return (losses / tensor_of(weights)).mean()
    if reduction == "sum":
        return losses.sum()
    return losses.squeeze(0) if single else losses
