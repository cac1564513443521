"""Rprop."""

from __future__ import annotations

from fastdl.optim.optimizer import Optimizer, check_hyperparameter

__all__ = ["Rprop"]


class Rprop(Optimizer):
    """Steps by the sign of the gradient alone, each element with a step size of its own
    (Riedmiller & Braun 1993); for whole batches.

    A step size grows by `etas[1]` while the sign stays and shrinks by `etas[0]` when it changes, in
    which case that element does not move.

    Args:
        params: parameters or parameter groups.
        lr: the first step size.
        etas: the factors, 0 < etas[0] < 1 < etas[1].
        step_sizes: the smallest and the greatest step size.
        maximize: ascend instead.
        foreach, differentiable, capturable: PyTorch's choice of implementation; here there is one.

    Raises:
        ValueError: an option is out of range.
    """

    def __init__(
        self,
        params,
        lr: float = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_hyperparameter("learning rate", lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        defaults = {
            "lr": lr,
            "etas": etas,
            "step_sizes": step_sizes,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _names(self, group):
        return ("prev", "step_size")

    def _begin(self, param, group, state, names) -> None:
        if state.get("step_size") is None:
            state["step_size"] = param.new_full(param.shape, float(group["lr"]))
        super()._begin(param, group, state, names)

    def _update(self, backend, group, params, grads, states, steps) -> None:
        shrink, grow = group["etas"]
        for p, g, before, size in zip(params, grads, *states, strict=True):
            number = p.dtype.type
            g = -g if group["maximize"] else g
            turn = g * before
            size *= (turn > 0) * number(grow) + (turn < 0) * number(shrink) + ~(turn * turn > 0)
            size.clip(*(number(bound) for bound in group["step_sizes"]), out=size)
            before[...] = g * ~(turn < 0)
            p -= ((before > 0) * number(1) - (before < 0)) * size
