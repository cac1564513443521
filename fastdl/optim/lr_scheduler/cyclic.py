"""Schedules that rise and fall: cosines, triangles, one cycle."""

from __future__ import annotations

import math
import types
from collections.abc import Callable
from typing import Any

from fastdl.optim.lr_scheduler.base import LRScheduler
from fastdl.optim.optimizer import Optimizer

__all__ = ["CosineAnnealingLR", "CosineAnnealingWarmRestarts", "CyclicLR", "OneCycleLR"]


class CosineAnnealingLR(LRScheduler):
    """Half a cosine from the initial rate down to `eta_min` in `T_max` epochs, and back."""

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self.last_epoch == 0:
            return self._rates()
        if self._step_count == 1:
            return self._get_closed_form_lr()
        if (self.last_epoch - 1 - self.T_max) % (2 * self.T_max) == 0:
            # the ratio of cosines below would divide by zero where the rate was at its minimum
            rise = (1 - math.cos(math.pi / self.T_max)) / 2
            return [
                lr + (base - self.eta_min) * rise
                for base, lr in zip(self.base_lrs, self._rates(), strict=True)
            ]
        now, before = (
            1 + math.cos(math.pi * epoch / self.T_max)
            for epoch in (self.last_epoch, self.last_epoch - 1)
        )
        return [now / before * (lr - self.eta_min) + self.eta_min for lr in self._rates()]

    def _get_closed_form_lr(self) -> list[float]:
        height = (1 + math.cos(math.pi * self.last_epoch / self.T_max)) / 2
        return [self.eta_min + (base - self.eta_min) * height for base in self.base_lrs]


class CosineAnnealingWarmRestarts(LRScheduler):
    """Half cosines from the initial rate down to `eta_min`, each `T_mult` times as long as the one
    before. Loshchilov & Hutter 2016.

    Args:
        optimizer: whose groups to steer.
        T_0: epochs of the first.
        T_mult: how many times longer each next one is.
        eta_min: the lowest rate.
        last_epoch: the epoch to resume after, -1 to start.

    Raises:
        ValueError: `T_0` or `T_mult` is no positive integer, or `eta_min` no number.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        if not isinstance(T_0, int) or T_0 <= 0:
            raise ValueError(f"Expected positive integer T_0, but got {T_0}")
        if not isinstance(T_mult, int) or T_mult < 1:
            raise ValueError(f"Expected integer T_mult >= 1, but got {T_mult}")
        if not isinstance(eta_min, int | float):
            raise ValueError(
                f"Expected float or int eta_min, but got {eta_min} of type {type(eta_min)}"
            )
        self.T_0 = T_0
        self.T_i = T_0
        self.T_mult = T_mult
        self.eta_min = eta_min
        self.T_cur = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        height = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (base - self.eta_min) * height for base in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """Enters the next epoch, or any, such as ``epoch + batch / batches`` after each batch.

        Raises:
            ValueError: `epoch` is negative.
        """
        self._step_count += 1
        if epoch is None and self.last_epoch < 0:
            epoch = 0
        if epoch is None:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur %= self.T_i
                self.T_i *= self.T_mult
        else:
            if epoch < 0:
                raise ValueError(f"Expected non-negative epoch, but got {epoch}")
            self.T_cur, self.T_i = epoch, self.T_0
            if epoch >= self.T_0 and self.T_mult == 1:
                self.T_cur = epoch % self.T_0
            elif epoch >= self.T_0:
                m = self.T_mult
                n = int(math.log(epoch / self.T_0 * (m - 1) + 1, m))
                self.T_cur = epoch - self.T_0 * (m**n - 1) / (m - 1)
                self.T_i = self.T_0 * m**n
        self.last_epoch = math.floor(epoch)
        self._last_lr = self.get_lr()
        for group, lr in zip(self.optimizer.param_groups, self._last_lr, strict=True):
            group["lr"] = lr


def _per_group(name: str, value: float | list[float], optimizer: Optimizer) -> list[float]:
    """`value` for each group of the optimizer."""
    count = len(optimizer.param_groups)
    if not isinstance(value, list | tuple):
        return [value] * count
    if len(value) != count:
        raise ValueError(f"{name} must have the same length as optimizer.param_groups. {name} has "
                         f"{len(value)} values, param_groups has {count}.")  # fmt: skip
    return list(value)


def _momentum(group: dict[str, Any], value: float) -> None:
    """Sets the momentum of a group: `momentum`, or the first of Adam's `betas`."""
    if "betas" in group:
        group["betas"] = (value, *group["betas"][1:])
    else:
        group["momentum"] = value


def _check_momentum(optimizer: Optimizer) -> None:
    if not {"momentum", "betas"} & optimizer.defaults.keys():
        raise ValueError(
            "optimizer must support momentum or beta1 with `cycle_momentum` option enabled"
        )


class CyclicLR(LRScheduler):
    """Up from `base_lr` to `max_lr` and down again, for ever. Smith 2017.

    Args:
        optimizer: whose groups to steer.
        base_lr, max_lr: the lowest and the highest rate, or lists with one a group.
        step_size_up, step_size_down: steps of the way up and down (None: as many).
        mode: ``"triangular"``; ``"triangular2"``: half as high each cycle; ``"exp_range"``:
            `gamma` ** step times as high.
        gamma: for ``"exp_range"``.
        scale_fn, scale_mode: in place of `mode`: a function of the cycle's number, from 1
            (``"cycle"``), or of the step (``"iterations"``).
        cycle_momentum: move the momentum (or Adam's first beta) the other way, from `max_momentum`
            down to `base_momentum`.
        last_epoch: the step to resume after, -1 to start.

    Raises:
        ValueError: an unknown mode, a list of the wrong length, an optimizer without momentum.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float = 0.8,
        max_momentum: float = 0.9,
        last_epoch: int = -1,
    ) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        lowest = _per_group("base_lr", base_lr, optimizer)
        if last_epoch == -1:
            for group, lr in zip(optimizer.param_groups, lowest, strict=True):
                group["lr"] = lr
        self.max_lrs = _per_group("max_lr", max_lr, optimizer)
        down = step_size_up if step_size_down is None else step_size_down
        self.total_size = float(step_size_up) + float(down)
        self.step_ratio = float(step_size_up) / self.total_size
        if mode not in ("triangular", "triangular2", "exp_range") and scale_fn is None:
            raise ValueError("mode is invalid and scale_fn is None")
        self.mode = mode
        self.gamma = gamma
        self._scale_fn = scale_fn
        self.scale_mode = scale_mode
        if scale_fn is None:
            self.scale_mode = "iterations" if mode == "exp_range" else "cycle"
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            _check_momentum(optimizer)
            self.base_momentums = _per_group("base_momentum", base_momentum, optimizer)
            self.max_momentums = _per_group("max_momentum", max_momentum, optimizer)
            if last_epoch == -1:
                for group, value in zip(optimizer.param_groups, self.max_momentums, strict=True):
                    _momentum(group, value)
        super().__init__(optimizer, last_epoch)
        self.base_lrs = lowest

    def scale_fn(self, x: float) -> float:
        """The height of a cycle, from its number or the step."""
        if self._scale_fn is not None:
            return self._scale_fn(x)
        if self.mode == "triangular2":
            return 1 / 2.0 ** (x - 1)
        return self.gamma**x if self.mode == "exp_range" else 1.0

    def get_lr(self) -> list[float]:
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1.0 + self.last_epoch / self.total_size - cycle
        way = x / self.step_ratio if x <= self.step_ratio else (x - 1) / (self.step_ratio - 1)
        scale = self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            bounds = zip(self.base_momentums, self.max_momentums, strict=True)
            for group, (low, high) in zip(self.optimizer.param_groups, bounds, strict=True):
                _momentum(group, high - (high - low) * way * scale)
        return [
            low + (high - low) * way * scale
            for low, high in zip(self.base_lrs, self.max_lrs, strict=True)
        ]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer and a plain function; of a callable object, its state."""
        state = super().state_dict()
        fn = state.pop("_scale_fn")
        state["_scale_fn"] = None
        if fn is not None and not isinstance(fn, types.FunctionType):
            state["_scale_fn"] = dict(fn.__dict__)
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        state = dict(state_dict)
        saved = state.pop("_scale_fn", None)
        super().load_state_dict(state)
        if saved is not None:
            self._scale_fn.__dict__.update(saved)


class OneCycleLR(LRScheduler):
    """One rise from ``max_lr / div_factor`` to `max_lr` and one fall to ``max_lr / div_factor /
    final_div_factor``, stepped after every batch. Smith & Topin 2017.

    Args:
        optimizer: whose groups to steer.
        max_lr: the highest rate, or a list with one a group.
        total_steps: steps of the cycle; else `epochs` times `steps_per_epoch`.
        pct_start: the part of the cycle that rises.
        anneal_strategy: ``"cos"`` or ``"linear"``.
        cycle_momentum: move the momentum (or Adam's first beta) the other way, from `max_momentum`
            down to `base_momentum` and back.
        div_factor, final_div_factor: see above.
        three_phase: fall to the initial rate first, as fast as it rose, then to the last.
        last_epoch: the step to resume after, -1 to start.

    Raises:
        ValueError: no or wrong length, `pct_start` outside [0, 1], an unknown strategy, an
            optimizer without momentum, or more than `total_steps` steps.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 10000.0,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        self.total_steps = _steps_of(total_steps, epochs, steps_per_epoch)
        if not isinstance(pct_start, float) or not 0 <= pct_start <= 1:
            raise ValueError(f"Expected float between 0 and 1 pct_start, but got {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}"
            )
        self._anneal_func_type = anneal_strategy
        rise = float(pct_start * self.total_steps) - 1
        ends, rates, momenta = [rise, self.total_steps - 1], "initial max min", "max base max"
        if three_phase:
            ends.insert(1, 2 * pct_start * self.total_steps - 2)
            rates, momenta = "initial max initial min", "max base max max"
        self._ends, self._rate_names, self._momentum_names = ends, rates.split(), momenta.split()
        highest = _per_group("max_lr", max_lr, optimizer)
        if last_epoch == -1:
            for group, lr in zip(optimizer.param_groups, highest, strict=True):
                group["initial_lr"] = lr / div_factor
                group["max_lr"] = lr
                group["min_lr"] = group["initial_lr"] / final_div_factor
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            _check_momentum(optimizer)
            low = _per_group("base_momentum", base_momentum, optimizer)
            high = _per_group("max_momentum", max_momentum, optimizer)
            if last_epoch == -1:
                for group, base, top in zip(optimizer.param_groups, low, high, strict=True):
                    _momentum(group, top)
                    group["max_momentum"] = top
                    group["base_momentum"] = base
        super().__init__(optimizer, last_epoch)

    def _between(self, start: float, end: float, way: float) -> float:
        """From `start` to `end` as `way` goes from 0 to 1."""
        if self._anneal_func_type == "linear":
            return (end - start) * way + start
        return end + (start - end) / 2.0 * (math.cos(math.pi * way) + 1)

    def get_lr(self) -> list[float]:
        step, start = self.last_epoch, 0.0
        if step > self.total_steps:
            raise ValueError(
                f"Tried to step {step} times. The total number of steps is {self.total_steps}"
            )
        phase = 0
        while step > self._ends[phase] and phase < len(self._ends) - 1:
            start = self._ends[phase]
            phase += 1
        way = (step - start) / (self._ends[phase] - start)
        rates = []
        for group in self.optimizer.param_groups:
            first, last = (group[f"{n}_lr"] for n in self._rate_names[phase : phase + 2])
            rates.append(self._between(first, last, way))
            if self.cycle_momentum:
                first, last = (
                    group[f"{n}_momentum"] for n in self._momentum_names[phase : phase + 2]
                )
                _momentum(group, self._between(first, last, way))
        return rates


def _steps_of(total_steps, epochs, steps_per_epoch) -> int:
    """The steps of a cycle, from either way of giving them."""
    if total_steps is None and (epochs is None or steps_per_epoch is None):
        raise ValueError("You must define either total_steps OR (epochs AND steps_per_epoch)")
    given = {"total_steps": total_steps} if total_steps is not None else {
        "epochs": epochs, "steps_per_epoch": steps_per_epoch,
    }  # fmt: skip
    for name, value in given.items():
        if not isinstance(value, int) or value <= 0:
            raise ValueError(f"Expected positive integer {name}, but got {value}")
    return math.prod(given.values())
