"""ASGD."""

from __future__ import annotations

from fastdl.optim.optimizer import Optimizer, check_hyperparameter

__all__ = ["ASGD"]


class ASGD(Optimizer):
    """Stochastic gradient descent whose state averages the parameters (Polyak & Juditsky 1992).

    With g = gradient + weight_decay * p: p = (1 - lambd * eta) * p - eta * g, then
    ax += mu * (p - ax), eta = lr / (1 + lambd * lr * t)^alpha, mu = 1 / max(1, t - t0).

    Args:
        params: parameters or parameter groups.
        lr, lambd, alpha, t0, weight_decay: as above; the average starts at step `t0`.
        maximize: ascend instead.
        foreach, differentiable, capturable: PyTorch's choice of implementation; here there is one.

    Raises:
        ValueError: `lr` or `weight_decay` is negative.
    """

    def __init__(
        self,
        params,
        lr: float = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_hyperparameter("learning rate", lr)
        check_hyperparameter("weight_decay", weight_decay)
        defaults = {
            "lr": lr,
            "lambd": lambd,
            "alpha": alpha,
            "t0": t0,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _names(self, group):
        return ("ax",)

    def _begin(self, param, group, state, names) -> None:
        super()._begin(param, group, state, names)
        state.setdefault("eta", float(group["lr"]))
        state.setdefault("mu", 1.0)

    def _update(self, backend, group, params, grads, states, steps) -> None:
        lr, lambd, decay = float(group["lr"]), group["lambd"], group["weight_decay"]
        kept = [self.state[p] for p in group["params"] if p.grad is not None]
        for p, g, ax, t, state in zip(params, grads, *states, steps, kept, strict=True):
            number = p.dtype.type
            g = -g if group["maximize"] else g
            if decay:
                g = g + p * number(decay)
            p *= number(1 - lambd * state["eta"])
            p -= g * number(state["eta"])
            ax += (p - ax) * number(state["mu"])
            state["eta"] = lr / (1 + lambd * lr * t) ** group["alpha"]
            state["mu"] = 1 / max(1, t - group["t0"])
