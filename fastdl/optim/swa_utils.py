"""Averages of a model's weights over training: stochastic weight averaging (Izmailov et al. 2018)
and exponential moving averages (Polyak & Juditsky 1992)."""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy

from fastdl.autograd import no_grad
from fastdl.nn.module import Module
from fastdl.nn.norm import BatchNorm1d, BatchNorm2d, BatchNorm3d
from fastdl.ops.creation import tensor
from fastdl.optim.lr_scheduler import LRScheduler
from fastdl.optim.optimizer import Optimizer

__all__ = [
    "SWALR",
    "AveragedModel",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]


def _check_decay(decay):
    if not 0.0 <= decay <= 1.0:
        raise ValueError(f"Invalid decay value {decay} provided. Please provide a value in [0,1].")


def get_ema_avg_fn(decay: float = 0.999) -> Callable:
    """(average, value, count) -> decay * average + (1 - decay) * value.

    Raises:
        ValueError: `decay` lies outside [0, 1].
    """
    _check_decay(decay)

    @no_grad()
    def ema_update(ema_param, current_param, num_averaged):
        return decay * ema_param + (1 - decay) * current_param

    return ema_update


def get_swa_avg_fn() -> Callable:
    """(average, value, count) -> the average of count + 1 values."""

    @no_grad()
    def swa_update(averaged_param, current_param, num_averaged):
        return averaged_param + (current_param - averaged_param) / (num_averaged + 1)

    return swa_update


def get_ema_multi_avg_fn(decay: float = 0.999) -> Callable:
    """As :func:`get_ema_avg_fn`, for lists of tensors and in place."""
    _check_decay(decay)

    @no_grad()
    def ema_update(ema_param_list, current_param_list, _):
        for average, value in zip(ema_param_list, current_param_list, strict=True):
            if average.is_floating_point():
                average.lerp_(value, 1 - decay)
            else:
                average.copy_(average * decay + value * (1 - decay))

    return ema_update


def get_swa_multi_avg_fn() -> Callable:
    """As :func:`get_swa_avg_fn`, for lists of tensors and in place."""

    @no_grad()
    def swa_update(averaged_param_list, current_param_list, num_averaged):
        for average, value in zip(averaged_param_list, current_param_list, strict=True):
            average.add_((value - average) / (num_averaged + 1))

    return swa_update


class AveragedModel(Module):
    """A copy of a model whose weights are averages of that model's over the calls of
    :meth:`update_parameters`.

    Args:
        model: the model; it is copied.
        device: where the copy goes.
        avg_fn: (average, value, count) -> the new average; by default the equal average.
        multi_avg_fn: the same on lists of tensors, in place.
        use_buffers: average buffers too, rather than copy them; integer buffers are copied.

    Attributes:
        module: the copy.
        n_averaged: how many models went into it, an int64 tensor.

    Raises:
        AssertionError: both functions are given.

    >>> import fastdl as torch
    >>> model = torch.nn.Linear(2, 1)
    >>> ema = torch.optim.swa_utils.AveragedModel(
    ...     model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9))
    >>> ema.update_parameters(model)
    >>> bool((ema.module.weight == model.weight).all())
    True
    """

    def __init__(
        self,
        model: Module,
        device=None,
        avg_fn: Callable | None = None,
        multi_avg_fn: Callable | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", tensor(0))
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args, **kwargs):
        return self.module(*args, **kwargs)

    def _averaged(self, model: Module) -> list:
        return [*model.parameters(), *(model.buffers() if self.use_buffers else ())]

    @no_grad()
    def update_parameters(self, model: Module) -> None:
        """Takes the weights of `model` into the average."""
        mine, theirs = self._averaged(self.module), self._averaged(model)
        values = [value.detach() for value in theirs]
        if int(self.n_averaged) == 0:
            for average, value in zip(mine, values, strict=True):
                average.copy_(value)
        else:
            self._average(mine, values)
        if not self.use_buffers:
            for own, value in zip(self.module.buffers(), model.buffers(), strict=True):
                own.copy_(value)
        self.n_averaged += 1

    def _average(self, mine, values) -> None:
        whole = [not average.is_floating_point() for average in mine]
        for average, value, is_whole in zip(mine, values, whole, strict=True):
            if is_whole:
                average.copy_(value)
            elif self.multi_avg_fn is None:
                function = self.avg_fn or get_swa_avg_fn()
                average.copy_(function(average.detach(), value, self.n_averaged))
        if self.multi_avg_fn is not None:
            pairs = [pair for pair, is_whole in zip(zip(mine, values), whole) if not is_whole]
            self.multi_avg_fn([a.detach() for a, _ in pairs], [v for _, v in pairs],
                              self.n_averaged)  # fmt: skip


@no_grad()
def update_bn(loader, model: Module, device=None) -> None:
    """Computes the running statistics of every batch norm in `model` anew from the batches of
    `loader` (tensors, or lists and tuples that begin with one): averaged weights need their own.
    """
    norms = [m for m in model.modules() if isinstance(m, BatchNorm1d | BatchNorm2d | BatchNorm3d)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    was_training = model.training
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the average of all batches
    model.train()
    try:
        for batch in loader:
            x = batch[0] if isinstance(batch, list | tuple) else batch
            model(x if device is None else x.to(device))
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        model.train(was_training)


class SWALR(LRScheduler):
    """From the rate at the start to `swa_lr` in `anneal_epochs` epochs, and stays there.

    Args:
        optimizer: whose groups to steer.
        swa_lr: the last rate, or a list with one a group.
        anneal_epochs: how long the way takes; 0: at once.
        anneal_strategy: ``"cos"`` or ``"linear"``.
        last_epoch: the epoch to resume after, -1 to start.

    Raises:
        ValueError: an unknown strategy, or a negative or fractional number of epochs.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float,
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        count = len(optimizer.param_groups)
        rates = list(swa_lr) if isinstance(swa_lr, list | tuple) else [swa_lr] * count
        if len(rates) != count:
            raise ValueError(f"SWALR: expected {count} rates in swa_lr, got {len(rates)}")
        for rate, group in zip(rates, optimizer.param_groups, strict=True):
            group["swa_lr"] = rate
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"anneal_strategy must by one of 'cos' or 'linear', instead got {anneal_strategy}"
            )
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        self._anneal_strategy = anneal_strategy
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def _share(self, epoch: int) -> float:
        """How much of `swa_lr` there is in the rate of an epoch."""
        way = max(0.0, min(1.0, epoch / max(1, self.anneal_epochs)))
        return way if self._anneal_strategy == "linear" else (1 - math.cos(math.pi * way)) / 2

    def get_lr(self) -> list[float]:
        # Other schedules may have changed the rates: take the old share out, put the new one in.
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        old, new = self._share(step - 1), self._share(step)
        rates = []
        for group in self.optimizer.param_groups:
            last = group["swa_lr"]
            start = last if old == 1 else (group["lr"] - old * last) / (1 - old)
            rates.append(last * new + start * (1 - new))
        return rates
