"""RAdam."""

from __future__ import annotations

from fastdl.optim.adam import check_betas
from fastdl.optim.optimizer import Optimizer, check_hyperparameter, options_of

__all__ = ["RAdam"]


class RAdam(Optimizer):
    """Adam that waits until the variance of the gradients is known (Liu et al. 2020).

    With r = 2 / (1 - b2) - 1 and r_t = r - 2 t b2^t / (1 - b2^t): while r_t <= 5,
    p -= lr / (1 - b1^t) exp_avg; later Adam's step times
    sqrt((r_t - 4) (r_t - 2) r / ((r - 4) (r - 2) r_t)).

    Args:
        params: parameters or parameter groups.
        lr: the learning rate.
        betas: b1 and b2, of the averages of g and g^2.
        eps: added to the denominator.
        weight_decay: added to the gradient as weight_decay * p (see `decoupled_weight_decay`).
        decoupled_weight_decay: shrink p by lr * weight_decay instead, as AdamW does.
        maximize: ascend instead.
        foreach, capturable, differentiable: PyTorch's choice of implementation; here there is one.

    Raises:
        ValueError: an option is negative, or a beta lies outside [0, 1).
    """

    def __init__(
        self,
        params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
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
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _names(self, group):
        return ("exp_avg", "exp_avg_sq")

    def _update(self, backend, group, params, grads, states, steps) -> None:
        beta1, beta2 = group["betas"]
        backend.radam_step(
            *(params, grads, *states),
            steps=steps,
            beta1=beta1,
            beta2=beta2,
            decoupled=group["decoupled_weight_decay"],
            **options_of(group, "eps", "weight_decay", "maximize"),
        )
