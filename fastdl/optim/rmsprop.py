"""RMSprop."""

from __future__ import annotations

from fastdl.optim.optimizer import Optimizer, check_hyperparameter, options_of

__all__ = ["RMSprop"]


class RMSprop(Optimizer):
    """Scales by a running root mean square of the gradient (Tieleman & Hinton 2012).

    With g = gradient + weight_decay * p: square_avg = alpha square_avg + (1 - alpha) g^2 and
    p -= lr g / (sqrt(square_avg) + eps).

    Args:
        params: parameters or parameter groups.
        lr: the learning rate.
        alpha: memory of the average.
        eps: added to the denominator.
        weight_decay: as above.
        momentum: where > 0, the step is gathered in a buffer, buf = momentum * buf + step.
        centered: subtract the squared running mean, so that the variance scales (Graves 2013).
        maximize: ascend instead.
        foreach, capturable, differentiable: PyTorch's choice of implementation; here there is one.

    Raises:
        ValueError: an option is negative.
    """

    def __init__(
        self,
        params,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        for name, value in (
            ("learning rate", lr),
            ("alpha", alpha),
            ("epsilon", eps),
            ("weight_decay", weight_decay),
            ("momentum", momentum),
        ):
            check_hyperparameter(name, value)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _names(self, group):
        names = ("square_avg",)
        if group["momentum"] > 0:
            names += ("momentum_buffer",)
        return (*names, "grad_avg") if group["centered"] else names

    def _update(self, backend, group, params, grads, states, steps) -> None:
        kept = dict(zip(self._names(group), states, strict=True))
        backend.rmsprop_step(
            *(params, grads, kept["square_avg"]),
            *(kept.get("momentum_buffer"), kept.get("grad_avg")),
            **options_of(group, "alpha", "eps", "weight_decay", "momentum", "maximize"),
        )
