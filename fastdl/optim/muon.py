"""Muon."""

from __future__ import annotations

import math

import numpy as np

from fastdl.optim.optimizer import Optimizer, check_hyperparameter

__all__ = ["Muon"]


class Muon(Optimizer):
    """Momentum made orthogonal, for the matrices inside a network (Jordan et al. 2024).

    buf += (1 - momentum) (g - buf); u is buf, with Nesterov g + momentum (buf - g); then
    p -= lr weight_decay p and p -= lr' O, where O is u with all its singular values near 1, made
    by `ns_steps` steps of the Newton-Schulz iteration x -> a x + (b x x' + c (x x')^2) x. Vectors,
    embeddings and the last layer are better left to AdamW.

    Args:
        params: matrices, or groups of them.
        lr: the learning rate.
        weight_decay: as above.
        momentum: weight of the past in buf.
        nesterov: look ahead, as above.
        ns_coefficients: (a, b, c).
        eps: the least norm that u is divided by before the iteration.
        ns_steps: fewer than 100.
        adjust_lr_fn: lr' for matrices of m x n: ``"original"`` (or None): lr sqrt(max(1, m / n));
            ``"match_rms_adamw"``: 0.2 lr sqrt(max(m, n)), whose steps are as long as AdamW's.

    The iteration runs in the parameters' dtype (PyTorch's in bfloat16).

    Raises:
        ValueError: an option is out of range, or a parameter is no matrix.
    """

    def __init__(
        self,
        params,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        check_hyperparameter("learning rate", lr)
        check_hyperparameter("momentum", momentum)
        check_hyperparameter("weight decay", weight_decay)
        if adjust_lr_fn not in (None, "original", "match_rms_adamw"):
            raise ValueError(f"Adjust learning rate function {adjust_lr_fn} is not supported")
        if len(ns_coefficients) != 3:
            raise ValueError("Coefficients must be a tuple of exactly 3 values")
        if ns_steps >= 100:
            raise ValueError("Number of steps must be less than 100 for computational efficiency")
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_coefficients": ns_coefficients,
            "eps": eps,
            "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn,
        }
        super().__init__(params, defaults)

    def add_param_group(self, param_group) -> None:
        super().add_param_group(param_group)
        for param in self.param_groups[-1]["params"]:
            if param.ndim != 2:
                raise ValueError(
                    "Muon only supports 2D parameters whereas we found a parameter with size: "
                    f"{tuple(param.shape)}"
                )

    def _names(self, group):
        return ("momentum_buffer",)

    def _update(self, backend, group, params, grads, states, steps) -> None:
        lr, momentum = float(group["lr"]), group["momentum"]
        for p, g, buffer in zip(params, grads, *states, strict=True):
            number = p.dtype.type
            buffer += number(1 - momentum) * (g - buffer)
            update = g + number(momentum) * (buffer - g) if group["nesterov"] else buffer
            p *= number(1 - lr * group["weight_decay"])
            direction = _orthogonal(
                backend.matmul, update, group["ns_coefficients"], group["ns_steps"], group["eps"]
            )
            p -= number(lr * _adjustment(group["adjust_lr_fn"], *p.shape)) * direction


def _adjustment(function, rows, columns):
    if function == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, columns))
    return math.sqrt(max(1, rows / columns)) if columns else 1.0


def _orthogonal(matmul, x, coefficients, steps, eps):
    """x with singular values near 1, by Newton-Schulz steps on the side with fewer rows."""
    if x.shape[0] > x.shape[1]:
        return _orthogonal(matmul, x.T, coefficients, steps, eps).T
    a, b, c = map(x.dtype.type, coefficients)
    x = x / max(float(np.linalg.norm(x)), eps)
    for _ in range(steps):
        gram = matmul(x, x.T)
        x = a * x + matmul(b * gram + c * matmul(gram, gram), x)
    return x
