"""Gradients held within bounds, by their joint norm or element by element."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from fastdl._engine import changed
from fastdl.backends import of
from fastdl.ops.creation import as_tensor
from fastdl.tensor import Tensor

__all__ = [
    "clip_grad_norm",
    "clip_grad_norm_",
    "clip_grad_value_",
    "clip_grads_with_norm_",
    "get_total_norm",
]


def _tensors(tensors: Tensor | Iterable[Tensor]) -> list[Tensor]:
    return [tensors] if isinstance(tensors, Tensor) else list(tensors)


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    return [p.grad for p in _tensors(parameters) if p.grad is not None]


def get_total_norm(
    tensors: Tensor | Iterable[Tensor],
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The norm of all elements of the tensors, as if they were one vector.

    Args:
        tensors: a Tensor or an iterable of them.
        norm_type: p of the p-norm, may be infinite.
        error_if_nonfinite: raise where the norm is NaN or infinite.
        foreach: PyTorch's choice of implementation; here there is one.

    Returns:
        0-d, of the dtype of the first tensor; 0 where there is none.

    Raises:
        RuntimeError: the norm is not finite and `error_if_nonfinite` is set.
    """
    arrays = [t.array for t in _tensors(tensors)]
    if not arrays:
        return as_tensor(0.0)
    norm_type = float(norm_type)
    if norm_type == 2:
        total = math.sqrt(of(arrays[0]).sum_squares(arrays))
    else:
        norms = [np.linalg.norm(a.ravel(), norm_type) for a in arrays]
        total = float(np.linalg.norm(np.array(norms), norm_type))
    if error_if_nonfinite and not math.isfinite(total):
        raise RuntimeError(
            f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, "
            "so it cannot be clipped."
        )
    return as_tensor(np.asarray(total, arrays[0].dtype))


def clip_grads_with_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    total_norm: Tensor,
    foreach: bool | None = None,
) -> None:
    """Multiplies all gradients by max_norm / (total_norm + 1e-6), in place, where that is below 1.

    Args:
        parameters: a Tensor or an iterable of them; those without gradient are passed over.
        max_norm: the bound.
        total_norm: what :func:`get_total_norm` gave for the gradients.
        foreach: PyTorch's choice of implementation; here there is one.
    """
    gradients = _gradients(parameters)
    factor = float(max_norm) / (float(total_norm) + 1e-6)
    if gradients and not factor >= 1:  # a NaN shows in every gradient
        arrays = [g.array for g in gradients]
        of(arrays[0]).scale(arrays, factor)
        changed(gradients)


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
    parameters = _tensors(parameters)
    total = get_total_norm(_gradients(parameters), norm_type, error_if_nonfinite)
    clip_grads_with_norm_(parameters, max_norm, total)
    return total


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
