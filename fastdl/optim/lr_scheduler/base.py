"""LRScheduler, the base class of learning-rate schedules."""

from __future__ import annotations

from typing import Any

from fastdl.optim.optimizer import Optimizer

__all__ = ["LRScheduler"]


class LRScheduler:
    """Base class: subclasses define :meth:`get_lr`.

    Args:
        optimizer: whose groups to steer.
        last_epoch: the epoch to resume after; -1 starts anew and remembers each group's ``lr`` as
            ``initial_lr``.

    Raises:
        TypeError: `optimizer` is not an Optimizer.
        KeyError: resuming without ``initial_lr`` in a group.
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError(
                    f"param 'initial_lr' is not specified in param_groups[{i}] when resuming an "
                    "optimizer"
                )
        self.optimizer = optimizer
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._initial_step()

    def _initial_step(self) -> None:
        """Sets the rates of the first epoch."""
        self._step_count = 0
        self.step()

    def get_lr(self) -> list[float]:
        """The learning rates of epoch ``last_epoch``, given those of the epoch before in the
        optimizer's groups."""
        raise NotImplementedError(f"{type(self).__name__} defines no get_lr")

    def get_last_lr(self) -> list[float]:
        """The learning rates that the last step set."""
        return list(self._last_lr)

    def step(self, epoch: int | None = None) -> None:
        """Enters the next epoch, or the given one, and sets its learning rates."""
        self._step_count += 1
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        closed_form = getattr(self, "_get_closed_form_lr", None)
        rates = closed_form() if epoch is not None and closed_form else self.get_lr()
        for group, lr in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = lr
        self._last_lr = rates

    def _rates(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer."""
        return {key: value for key, value in self.__dict__.items() if key != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over what :meth:`state_dict` gave."""
        self.__dict__.update(state_dict)
