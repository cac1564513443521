"""Helpers for training loops: clipping of gradients, parameters as one vector."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from fastdl._engine import changed
from fastdl.backends import of
from fastdl.nn.utils import fusion, rnn
from fastdl.nn.utils.fusion import fuse_conv_bn_eval, fuse_conv_bn_weights, fuse_linear_bn_eval
from fastdl.ops.creation import as_tensor
from fastdl.tensor import Tensor

__all__ = [
    "clip_grad_norm",
    "clip_grad_norm_",
    "clip_grad_value_",
    "fuse_conv_bn_eval",
    "fuse_conv_bn_weights",
    "fuse_linear_bn_eval",
    "fusion",
    "rnn",
]


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    if isinstance(parameters, Tensor):
        parameters = [parameters]
    return [p.grad for p in parameters if p.grad is not None]


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scales all gradients down, in place, so that their joint norm is at most `max_norm`.

    Args:
        parameters: a Tensor or an iterable of them; those without gradient are passed over.
        max_norm: the bound.
        norm_type: p of the p-norm, may be infinite.
        error_if_nonfinite: raise where the norm is NaN or infinite.
        foreach: PyTorch's choice of implementation; here there is one.

    Returns:
        The norm before clipping, 0-d.

    Raises:
        RuntimeError: the norm is not finite and `error_if_nonfinite` is set.
    """
    gradients = _gradients(parameters)
    if not gradients:
        return as_tensor(0.0)
    norm_type = float(norm_type)
    arrays = [g.array for g in gradients]
    backend = of(arrays[0])
    if norm_type == 2:
        total = math.sqrt(backend.sum_squares(arrays))
    else:
        norms = [np.linalg.norm(a.ravel(), norm_type) for a in arrays]
        total = float(np.linalg.norm(np.array(norms), norm_type))
    if error_if_nonfinite and not math.isfinite(total):
        raise RuntimeError(
            f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, "
            "so it cannot be clipped."
        )
    factor = float(max_norm) / (total + 1e-6)
    if not factor >= 1:  # a NaN shows in every gradient
        backend.scale(arrays, factor)
        changed(gradients)
    return as_tensor(np.asarray(total, arrays[0].dtype))


clip_grad_norm = clip_grad_norm_  # the name that older programs use


def clip_grad_value_(
    parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None
) -> None:
    """Limits every element of the gradients to [-clip_value, clip_value], in place."""
    gradients = _gradients(parameters)
    if gradients:
        arrays = [g.array for g in gradients]
        of(arrays[0]).clamp(arrays, -float(clip_value), float(clip_value))
        changed(gradients)
