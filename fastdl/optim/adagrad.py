"""Adagrad."""

from __future__ import annotations

from fastdl.optim.optimizer import Optimizer, check_hyperparameter, options_of

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
                self._begin(param, group, self.state[param], self._names(group))

    def _names(self, group):
        return ("sum",)

    def _begin(self, param, group, state, names) -> None:
        start = group["initial_accumulator_value"]
        state.update(step=0, sum=param.new_full(param.shape, start))

    def _update(self, backend, group, params, grads, states, steps) -> None:
        options = options_of(group, "lr_decay", "eps", "weight_decay", "maximize")
        backend.adagrad_step(params, grads, *states, steps=steps, **options)
