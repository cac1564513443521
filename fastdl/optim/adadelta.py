"""Adadelta."""

from __future__ import annotations

from fastdl.optim.optimizer import Optimizer, check_hyperparameter, options_of

__all__ = ["Adadelta"]


class Adadelta(Optimizer):
    """Steps in the units of the parameters (Zeiler 2012).

    With g = gradient + weight_decay * p: square_avg = rho square_avg + (1 - rho) g^2, delta =
    g sqrt(acc_delta + eps) / sqrt(square_avg + eps), acc_delta = rho acc_delta + (1 - rho) delta^2
    and p -= lr delta.

    Args:
        params: parameters or parameter groups.
        lr, rho, eps, weight_decay: as above.
        maximize: ascend instead.
        foreach, capturable, differentiable: PyTorch's choice of implementation; here there is one.

    Raises:
        ValueError: an option is negative, or rho lies outside [0, 1].
    """

    def __init__(
        self,
        params,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_hyperparameter("learning rate", lr)
        check_hyperparameter("epsilon", eps)
        check_hyperparameter("weight_decay", weight_decay)
        if not 0.0 <= rho <= 1.0:
            raise ValueError(f"Invalid rho value: {rho}")
        defaults = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "capturable": capturable,
            "foreach": foreach,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _names(self, group):
        return ("square_avg", "acc_delta")

    def _update(self, backend, group, params, grads, states, steps) -> None:
        options = options_of(group, "rho", "eps", "weight_decay", "maximize")
        backend.adadelta_step(params, grads, *states, **options)
