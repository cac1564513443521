"""NAdam."""

from __future__ import annotations

from fastdl.optim.adam import check_betas
from fastdl.optim.optimizer import Optimizer, check_hyperparameter, options_of

__all__ = ["NAdam"]


class NAdam(Optimizer):
    """Adam with Nesterov's momentum (Dozat 2016).

    With g the gradient: exp_avg = b1 exp_avg + (1 - b1) g, exp_avg_sq = b2 exp_avg_sq +
    (1 - b2) g^2, mu_t = b1 (1 - 0.96^(t momentum_decay) / 2), M_t = mu_1 ... mu_t and
    p -= lr ((1 - mu_t) / (1 - M_t) g + mu_(t+1) / (1 - M_(t+1)) exp_avg)
    / (sqrt(exp_avg_sq / (1 - b2^t)) + eps).

    Args:
        params: parameters or parameter groups.
        lr: the learning rate.
        betas: b1 and b2.
        eps: added to the denominator.
        weight_decay: added to the gradient as weight_decay * p (see `decoupled_weight_decay`).
        momentum_decay: as above.
        decoupled_weight_decay: shrink p by lr * weight_decay instead, as AdamW does.
        maximize: ascend instead.
        foreach, capturable, differentiable: PyTorch's choice of implementation; here there is one.

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
        momentum_decay: float = 4e-3,
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
        check_hyperparameter("momentum_decay", momentum_decay)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _names(self, group):
        return ("exp_avg", "exp_avg_sq")

    def _begin(self, param, group, state, names) -> None:
        super()._begin(param, group, state, names)
        state.setdefault("mu_product", 1.0)

    def _update(self, backend, group, params, grads, states, steps) -> None:
        beta1, beta2 = group["betas"]
        momentum_decay = group["momentum_decay"]
        updated = [param for param in group["params"] if param.grad is not None]
        products = []
        for param, step in zip(updated, steps, strict=True):
            state = self.state[param]
            state["mu_product"] *= beta1 * (1 - 0.5 * 0.96 ** (step * momentum_decay))
            products.append(state["mu_product"])
        backend.nadam_step(
            *(params, grads, *states),
            steps=steps,
            mu_products=products,
            beta1=beta1,
            beta2=beta2,
            decoupled=group["decoupled_weight_decay"],
            **options_of(group, "eps", "weight_decay", "momentum_decay", "maximize"),
        )
