"""What training of sequence models needs besides layers: masks, losses that leave padding out,
and teacher forcing."""

from __future__ import annotations

import math

import fastdl.nn.functional as F
from fastdl.ops.core import tensor_argument
from fastdl.ops.creation import arange, full
from fastdl.ops.elementwise import where
from fastdl.ops.join import cat
from fastdl.ops.random import rand
from fastdl.tensor import Tensor

__all__ = [
    "causal_mask",
    "length_mask",
    "mix_tokens",
    "padding_mask",
    "sequence_loss",
    "shift_right",
    "teacher_forcing_ratio",
]


def padding_mask(ids: Tensor, padding_idx: int) -> Tensor:
    """Where tokens are padding: bool, shaped as `ids`; a ``key_padding_mask`` of attention.

    >>> import fastdl
    >>> fastdl.text.padding_mask(fastdl.tensor([[5, 6, 0]]), 0)
    tensor([[False, False,  True]])
    """
    return tensor_argument("padding_mask", "ids", ids) == padding_idx


def length_mask(lengths: Tensor, max_length: int | None = None) -> Tensor:
    """What lies beyond the ends of sequences of these lengths (N,): bool (N, max_length), True at
    padding; `max_length` is the greatest length unless given.

    Raises:
        ValueError: lengths of another shape.

    >>> import fastdl
    >>> fastdl.text.length_mask(fastdl.tensor([1, 3]))
    tensor([[False,  True,  True],
            [False, False, False]])
    """
    lengths = tensor_argument("length_mask", "lengths", lengths)
    if lengths.dim() != 1:
        raise ValueError(f"length_mask: expected lengths (N,), but got {list(lengths.shape)}")
    if max_length is None:
        max_length = int(lengths.max()) if len(lengths) else 0
    return arange(max_length) >= lengths.unsqueeze(1)


def causal_mask(length: int, before: int = 0) -> Tensor:
    """What `length` positions must not see, of themselves and `before` earlier ones: bool
    (length, before + length), True where a key comes later than its query; an ``attn_mask`` of
    :class:`fastdl.nn.MultiheadAttention`.

    >>> import fastdl
    >>> fastdl.text.causal_mask(2)
    tensor([[False,  True],
            [False, False]])
    """
    return arange(before + length) > arange(before, before + length).unsqueeze(1)


def shift_right(ids: Tensor, start: int) -> Tensor:
    """What a decoder reads to predict `ids` (..., L), int64: `start`, then all but the last token.

    >>> import fastdl
    >>> fastdl.text.shift_right(fastdl.tensor([[7, 8, 9]]), start=1)
    tensor([[1, 7, 8]])
    """
    ids = tensor_argument("shift_right", "ids", ids)
    first = full((*ids.shape[:-1], 1), start, dtype=ids.dtype)
    return cat([first, ids[..., :-1]], -1)


def sequence_loss(
    logits: Tensor,
    target: Tensor,
    mask: Tensor | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Tensor:
    """Cross-entropy of tokens, those that are padding left out.

    Args:
        logits: (..., V), (N, L, V) in a batch.
        target: the tokens (...), int64.
        mask: bool (...), True where a token counts; or None.
        ignore_index: tokens that do not count, usually the padding's.
        label_smoothing: how much of the target is spread over all V tokens.
        reduction: "mean" over all tokens that count, "sum" over them, "none": (...), 0 where a
            token does not count, or "sequence": the sum along the last dimension of `target`, then
            the mean over sequences, so that longer ones weigh more.

    Raises:
        ValueError: shapes do not fit, or another reduction.

    >>> import fastdl
    >>> logits, target = fastdl.zeros(2, 3, 4), fastdl.tensor([[1, 2, 0], [3, 0, 0]])
    >>> fastdl.text.sequence_loss(logits, target, ignore_index=0)
    tensor(1.3863)
    >>> fastdl.text.sequence_loss(logits, target, ignore_index=0, reduction="sequence")
    tensor(2.0794)
    """
    logits = tensor_argument("sequence_loss", "logits", logits)
    target = tensor_argument("sequence_loss", "target", target)
    if logits.shape[:-1] != target.shape or not target.dim():
        raise ValueError(
            "sequence_loss: expected logits (..., V) and target (...), but got "
            f"{list(logits.shape)} and {list(target.shape)}"
        )
    if reduction not in ("mean", "sum", "none", "sequence"):
        raise ValueError(
            "sequence_loss: reduction must be 'mean', 'sum', 'none' or 'sequence', but got "
            f"{reduction!r}"
        )
    if mask is not None:
        if tuple(mask.shape) != tuple(target.shape):
            raise ValueError(
                f"sequence_loss: expected a mask {list(target.shape)}, but got {list(mask.shape)}"
            )
        target = target.masked_fill(~mask, ignore_index)
    loss = F.cross_entropy(
        logits.reshape(-1, logits.shape[-1]),
        target.reshape(-1),
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        reduction=reduction if reduction in ("mean", "sum") else "none",
    )
    if reduction in ("mean", "sum"):
        return loss
    loss = loss.reshape(target.shape)
    return loss if reduction == "none" else loss.sum(-1).mean()


def teacher_forcing_ratio(step: int, decay: str, k: float, least: float = 0.0) -> float:
    """How often a decoder is fed the true token at this step of training, from 1 down to `least`.

    Bengio et al. 2015, "Scheduled Sampling for Sequence Prediction with Recurrent Neural Networks".

    Args:
        step: from 0.
        decay: "linear": 1 - step / k, "exponential": k^step with k < 1, or "inverse_sigmoid":
            k / (k + exp(step / k)) with k >= 1.
        k: how fast.
        least: the smallest value.

    Raises:
        ValueError: an argument lies outside its range.

    >>> from fastdl.text import teacher_forcing_ratio
    >>> [teacher_forcing_ratio(step, "linear", k=100, least=0.2) for step in (0, 50, 90)]
    [1.0, 0.5, 0.2]
    """
    fits = {"linear": k > 0, "exponential": 0 < k < 1, "inverse_sigmoid": k >= 1}
    if decay not in fits:
        raise ValueError(
            f"teacher_forcing_ratio: decay must be one of {[*fits]}, but got {decay!r}"
        )
    if step < 0 or not fits[decay] or not 0 <= least <= 1:
        raise ValueError(
            f"teacher_forcing_ratio: step={step}, k={k}, least={least} do not fit {decay!r}"
        )
    if decay == "linear":
        ratio = 1 - step / k
    elif decay == "exponential":
        ratio = k**step
    else:
        ratio = k / (k + math.exp(min(step / k, 700.0)))
    return max(least, ratio)


def mix_tokens(given: Tensor, predicted: Tensor, ratio: float, generator=None) -> Tensor:
    """Scheduled sampling: each token from `given` with probability `ratio`, else from `predicted`.

    Args:
        given, predicted: tokens of one shape.
        ratio: the probability of the given ones.
        generator: random numbers, the default generator if None.

    >>> import fastdl
    >>> given, predicted = fastdl.tensor([1, 2]), fastdl.tensor([3, 4])
    >>> fastdl.text.mix_tokens(given, predicted, 0.0), fastdl.text.mix_tokens(given, predicted, 1.0)
    (tensor([3, 4]), tensor([1, 2]))
    """
    if not 0 <= ratio <= 1:
        raise ValueError(f"mix_tokens: ratio must lie between 0 and 1, but got {ratio}")
    return where(rand(*given.shape, generator=generator) < ratio, given, predicted)
