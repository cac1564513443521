"""Schedules made of schedules."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Any

from fastdl.optim.lr_scheduler.base import LRScheduler
from fastdl.optim.lr_scheduler.plateau import ReduceLROnPlateau
from fastdl.optim.optimizer import Optimizer

__all__ = ["ChainedScheduler", "SequentialLR"]


def _checked(name: str, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None):
    """The optimizer that all schedulers steer."""
    if len(schedulers) < 1:
        raise ValueError(f"{name} expects at least one scheduler to be chained, but got none")
    optimizer = optimizer or schedulers[0].optimizer
    for i, scheduler in enumerate(schedulers):
        if not hasattr(scheduler, "optimizer"):
            raise TypeError(f"{name} at index {i} should have `optimizer` as its attribute.")
        if isinstance(scheduler, ReduceLROnPlateau):
            raise ValueError(
                f"{name} does not support `ReduceLROnPlateau` scheduler as it requires additional "
                "kwargs to be specified when calling `step`, but got one at index "
                f"{i} in the given schedulers sequence."
            )
        if scheduler.optimizer is not optimizer:
            raise ValueError(
                f"{name} expects all schedulers to belong to the same optimizer, but got "
                f"scheduler {type(scheduler).__name__} at index {i} with another one"
            )
    return optimizer


class _Composite(LRScheduler):
    """What schedules of schedules share: their state is a list of states."""

    _schedulers: list[LRScheduler]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer; the state of each scheduler in its place."""
        state = super().state_dict()
        state["_schedulers"] = [scheduler.state_dict() for scheduler in self._schedulers]
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        state = dict(state_dict)
        for scheduler, saved in zip(self._schedulers, state.pop("_schedulers"), strict=True):
            scheduler.load_state_dict(saved)
        super().load_state_dict(state)


class SequentialLR(_Composite):
    """One schedule after the other: the next begins at each of `milestones`.

    Args:
        optimizer: whose groups to steer.
        schedulers: the schedules, in order, all of this optimizer.
        milestones: the epochs at which the second and later ones begin; one fewer than schedules.
        last_epoch: the epoch to resume after, -1 to start.

    Raises:
        ValueError: no schedule, one of another optimizer, or the wrong number of milestones.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: list[LRScheduler],
        milestones: list[int],
        last_epoch: int = -1,
    ) -> None:
        self.optimizer = _checked(type(self).__name__, schedulers, optimizer)
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                "Sequential Schedulers expects number of schedulers provided to be one more than "
                f"the number of milestone points, but got number of schedulers {len(schedulers)} "
                f"and the number of milestones to be equal to {len(milestones)}"
            )
        self._schedulers = schedulers
        self._milestones = milestones
        self.last_epoch = last_epoch + 1
        # Each schedule has set the rates of its own first epoch: only the first one's counts.
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        for scheduler in schedulers:
            _step_back(scheduler)
        schedulers[0]._initial_step()
        self._last_lr = schedulers[0].get_last_lr()

    def step(self) -> None:
        """Enters the next epoch."""
        self.last_epoch += 1
        index = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[index]
        if index > 0 and self._milestones[index - 1] == self.last_epoch:
            scheduler.step(0)
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()


def _step_back(scheduler: LRScheduler) -> None:
    """Takes back the step that a schedule, and those within it, took when made."""
    if isinstance(scheduler, _Composite):
        for inner in scheduler._schedulers:
            _step_back(inner)
    else:
        scheduler.last_epoch -= 1


class ChainedScheduler(_Composite):
    """Several schedules at once, one applied after the other in each epoch.

    Args:
        schedulers: all of one optimizer.
        optimizer: that optimizer; by default the first schedule's.

    Raises:
        ValueError: no schedule, or schedules of different optimizers.
    """

    def __init__(
        self, schedulers: Iterable[LRScheduler], optimizer: Optimizer | None = None
    ) -> None:
        schedulers = list(schedulers)
        self.optimizer = _checked(type(self).__name__, schedulers, optimizer)
        self._schedulers = schedulers
        self._last_lr = self._rates()

    def step(self) -> None:
        """Enters the next epoch of each."""
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = self._rates()
