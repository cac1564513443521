"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from fastdl.optim.optimizer import Optimizer, check_hyperparameter, options_of

__all__ = ["SGD"]


class SGD(Optimizer):
    """Gradient descent, in PyTorch's form of momentum.

    With g = gradient + weight_decay * p: buf = momentum * buf + (1 - dampening) * g (the first time
    buf = g), and p -= lr * buf, or with `nesterov` p -= lr * (g + momentum * buf).

    Args:
        params: parameters or parameter groups.
        lr: the learning rate.
        momentum, dampening, weight_decay, nesterov: as above.
        maximize: ascend instead.
        foreach, differentiable, fused: PyTorch's choice of implementation; here there is one.

    Raises:
        ValueError: a negative option, or nesterov without momentum or with dampening.
    """

    def __init__(
        self,
        params,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_hyperparameter("learning rate", lr)
        check_hyperparameter("momentum", momentum)
        check_hyperparameter("weight_decay", weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)

    def _names(self, group):
        return ("momentum_buffer",) if group["momentum"] else ()

    def _begin(self, param, group, state, names) -> None:
        state["momentum_buffer"] = param.new_zeros(param.shape)

    def _update(self, backend, group, params, grads, states, steps) -> None:
        options = options_of(group, "momentum", "dampening", "weight_decay", "nesterov", "maximize")
        buffers = states[0] if states else None
        backend.sgd_step(params, grads, buffers, steps=steps or None, **options)
