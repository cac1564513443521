"""Adafactor."""

from __future__ import annotations

import math

import numpy as np

from fastdl._engine import changed
from fastdl.optim.optimizer import Optimizer, check_hyperparameter

__all__ = ["Adafactor"]


class Adafactor(Optimizer):
    """Adam whose second moments need the memory of one row and one column (Shazeer and Stern 2018).

    Of g^2 only the running means over rows, R, and over columns, C, are kept (of the last two
    dimensions; vectors keep V itself): V = R C / mean(R). With b = t^beta2_decay the weight of the
    newest gradient and u = g / sqrt(V): p -= a u / max(1, rms(u) / d), where
    a = max(eps2, rms(p)) min(lr, 1 / sqrt(t)).

    Args:
        params: parameters or parameter groups.
        lr: the largest relative step.
        beta2_decay: the power of t, at most 0.
        eps: (eps1, eps2): the least mean of g^2 is eps1^2, None for the dtype's eps; and the least
            rms of a parameter that counts.
        d: steps whose rms exceeds it are shortened; at least 1.
        weight_decay: p shrinks by lr * weight_decay before the step.
        foreach: PyTorch's choice of implementation; here there is one.
        maximize: ascend instead.

    Raises:
        ValueError: an option is out of range.
    """

    def __init__(
        self,
        params,
        lr: float = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        check_hyperparameter("learning rate", lr)
        if not beta2_decay <= 0.0:
            raise ValueError(f"Invalid beta2_decay value: {beta2_decay} (expected <= 0)")
        check_hyperparameter("eps[0]", 0.0 if eps[0] is None else eps[0])
        check_hyperparameter("eps[1]", eps[1])
        check_hyperparameter("clipping threshold d", d, at_least=1.0)
        check_hyperparameter("weight_decay", weight_decay)
        defaults = {
            "lr": lr,
            "beta2_decay": beta2_decay,
            "eps": eps,
            "d": d,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def step(self, closure=None):
        """Updates the parameters by their gradients; `closure` recomputes the loss, which is then
        returned."""
        loss = self._loss_of(closure)
        for group in self.param_groups:
            params = [param for param in group["params"] if param.grad is not None]
            for param in params:
                names = ("row_var", "col_var") if param.ndim > 1 else ("variance",)
                state = self.state[param]
                if not state:
                    self._begin(param, group, state, names)
                state["step"] += 1
                means = [state[name].array for name in names]
                self._update_one(param.array, param.grad.array, means, state["step"], group)
            changed(params)
        return loss

    def _begin(self, param, group, state, names) -> None:
        state["step"] = 0
        for axis, name in zip((-1, -2), names, strict=False):
            shape = list(param.shape)
            if param.ndim > 1:
                shape[axis] = 1
            state[name] = param.new_zeros(shape)

    @staticmethod
    def _update_one(p, g, means, t, group) -> None:
        """Changes p and the means of squares in place."""
        number = p.dtype.type
        rms = lambda x: float(np.linalg.norm(x.ravel())) / math.sqrt(max(1, x.size))
        eps1, eps2 = group["eps"]
        eps1 = float(np.finfo(p.dtype).eps) if eps1 is None else eps1
        lr, newest = float(group["lr"]), number(t ** group["beta2_decay"])
        size = max(eps2, rms(p)) * min(lr, t**-0.5)
        p *= number(1 - lr * group["weight_decay"])
        squares = g * g
        if len(means) == 2:
            for mean, axis in zip(means, (-1, -2), strict=True):
                mean += newest * (squares.mean(axis, keepdims=True) - mean)
            rows, columns = means
            floor = np.maximum(rows.mean(-2, keepdims=True), number(eps1))
            variance = (rows / floor) * columns
        else:
            (variance,) = means
            variance += newest * (squares - variance)
        update = g / np.sqrt(np.maximum(variance, number(eps1 * eps1)))
        size /= max(1.0, rms(update) / group["d"])
        update *= number(size if group["maximize"] else -size)
        p += update
