"""Adam and AdamW."""

from __future__ import annotations

from fastdl.optim.optimizer import Optimizer, check_hyperparameter, options_of

__all__ = ["Adam", "AdamW"]


def check_betas(betas: tuple[float, float]) -> None:
    """ValueError unless both lie in [0, 1)."""
    for i, beta in enumerate(betas):
        if not 0.0 <= beta < 1.0:
            raise ValueError(f"Invalid beta parameter at index {i}: {beta}")


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015).

    With g the gradient: exp_avg = b1 exp_avg + (1 - b1) g, exp_avg_sq = b2 exp_avg_sq +
    (1 - b2) g^2 and p -= lr / (1 - b1^t) * exp_avg / (sqrt(exp_avg_sq / (1 - b2^t)) + eps).

    Args:
        params: parameters or parameter groups.
        lr: the learning rate.
        betas: b1 and b2.
        eps: added to the denominator.
        weight_decay: added to the gradient as weight_decay * p (see `decoupled_weight_decay`).
        amsgrad: use the largest exp_avg_sq seen (Reddi et al. 2018).
        maximize: ascend instead.
        decoupled_weight_decay: shrink p by lr * weight_decay instead, as AdamW does.
        foreach, capturable, differentiable, fused: PyTorch's choice of implementation; here there
            is one.

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
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        check_hyperparameter("learning rate", lr)
        check_hyperparameter("epsilon", eps)
        check_hyperparameter("weight_decay", weight_decay)
        check_betas(betas)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    def _names(self, group):
        names = ("exp_avg", "exp_avg_sq")
        return (*names, "max_exp_avg_sq") if group["amsgrad"] else names

    def _update(self, backend, group, params, grads, states, steps) -> None:
        beta1, beta2 = group["betas"]
        backend.adam_step(
            *(params, grads, states[0], states[1], states[2] if group["amsgrad"] else None),
            steps=steps,
            beta1=beta1,
            beta2=beta2,
            decoupled=group["decoupled_weight_decay"],
            **options_of(group, "eps", "weight_decay", "maximize"),
        )


class AdamW(Adam):
    """Adam with decoupled weight decay, p -= lr * weight_decay * p (Loshchilov & Hutter 2019).

    Arguments and errors are those of :class:`Adam`; `weight_decay` starts at 0.01.
    """

    def __init__(
        self,
        params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )
