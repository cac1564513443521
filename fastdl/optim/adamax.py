"""Adamax."""

from __future__ import annotations

from fastdl.optim.adam import check_betas
from fastdl.optim.optimizer import Optimizer, check_hyperparameter, options_of

__all__ = ["Adamax"]


class Adamax(Optimizer):
    """Adam with the largest recent gradient in place of the root mean square (Kingma & Ba 2015).

    With g = gradient + weight_decay * p: exp_avg = b1 exp_avg + (1 - b1) g, exp_inf =
    max(b2 exp_inf, |g| + eps) and p -= lr / (1 - b1^t) * exp_avg / exp_inf.

    Args:
        params: parameters or parameter groups.
        lr, eps, weight_decay: as above.
        betas: b1 and b2.
        maximize: ascend instead.
        foreach, differentiable, capturable: PyTorch's choice of implementation; here there is one.

    Raises:
        ValueError: an option is negative, or a beta lies outside [0, 1).
    """

    def __init__(
        self,
        params,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_hyperparameter("learning rate", lr)
        check_hyperparameter("epsilon", eps)
        check_betas(betas)
        check_hyperparameter("weight_decay", weight_decay)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _names(self, group):
        return ("exp_avg", "exp_inf")

    def _update(self, backend, group, params, grads, states, steps) -> None:
        beta1, beta2 = group["betas"]
        options = options_of(group, "eps", "weight_decay", "maximize")
        backend.adamax_step(
            params, grads, *states, steps=steps, beta1=beta1, beta2=beta2, **options
        )
