"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from fastdl.backends import of
from fastdl.optim.optimizer import Optimizer, check_hyperparameter

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

    def step(self, closure=None):
        loss = self._loss_of(closure)
        for group in self.param_groups:
            momentum, dampening = group["momentum"], group["dampening"]
            options = {
                "lr": float(group["lr"]),
                "momentum": momentum,
                "weight_decay": group["weight_decay"],
                "nesterov": group["nesterov"],
                "maximize": group["maximize"],
            }
            for param in group["params"]:
                grad = param.grad
                if grad is None:
                    continue
                array, buffer, damp = param.array, None, 0.0
                if momentum:
                    state = self.state[param]
                    buffer = state.get("momentum_buffer")
                    if buffer is None:
                        # from zeros and undamped, the first average is the gradient itself
                        buffer = state["momentum_buffer"] = param.new_zeros(param.shape)
                    else:
                        damp = dampening
                    buffer = buffer.array
                of(array).sgd_step(array, grad.array, buffer, dampening=damp, **options)
                param._bump()
        return loss
