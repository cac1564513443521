"""Adagrad."""

from __future__ import annotations

import numpy as np

from fastdl.optim.optimizer import Optimizer, check_hyperparameter, gradient_of

__all__ = ["Adagrad"]


class Adagrad(Optimizer):
    """Divides by the root of the sum of all squared gradients (Duchi et al. 2011).

    With g = gradient + weight_decay * p: sum += g^2 and
    p -= lr / (1 + (t - 1) lr_decay) * g / (sqrt(sum) + eps).

    Args:
        params: parameters or parameter groups.
        lr, lr_decay, weight_decay, eps: as above.
        initial_accumulator_value: what the sum starts from.
        maximize: ascend instead.
        foreach, differentiable, fused: PyTorch's choice of implementation; here there is one.

    Raises:
        ValueError: an option is negative.
    """

    def __init__(
        self,
        params,
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        for name, value in (
            ("learning rate", lr),
            ("lr_decay", lr_decay),
            ("weight_decay", weight_decay),
            ("initial_accumulator_value", initial_accumulator_value),
            ("epsilon", eps),
        ):
            check_hyperparameter(name, value)
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)
        for group in self.param_groups:
            for param in group["params"]:
                start = group["initial_accumulator_value"]
                self.state[param] = {"step": 0, "sum": param.new_full(param.shape, start)}

    def _update(self, param, group) -> None:
        state = self._state_of(param, "sum")
        total = state["sum"].array
        grad = gradient_of(param, group)
        lr = float(group["lr"]) / (1 + (state["step"] - 1) * group["lr_decay"])
        total += grad * grad
        param.array[...] -= lr * grad / (np.sqrt(total) + group["eps"])
