"""Trainer: the loop over epochs and batches, and the state from which it goes on exactly."""

from __future__ import annotations

import copy
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from fastdl.autograd import no_grad
from fastdl.io import load, save
from fastdl.metrics import Mean, Metric
from fastdl.nn.module import Module
from fastdl.nn.utils import clip_grad_norm_, clip_grad_value_
from fastdl.ops.join import cat
from fastdl.optim import Optimizer
from fastdl.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from fastdl.tensor import Tensor
from fastdl.train.callbacks import Callback
from fastdl.train.randomness import generators_of, get_states, set_states

__all__ = ["Trainer"]


class _Measures:
    """The loss and the metrics over the batches of one pass."""

    def __init__(self, metrics: Mapping[str, Metric]) -> None:
        self.all = {"loss": Mean(), **{name: copy.deepcopy(m) for name, m in metrics.items()}}
        self.reset()

    def reset(self) -> None:
        for metric in self.all.values():
            metric.reset()

    def update(self, loss: Tensor, outputs: Any, targets: Any) -> None:
        for name, metric in self.all.items():
            if name == "loss":
                metric.update(loss, _length(targets, outputs))
            else:
                metric.update(outputs, targets)

    def compute(self) -> dict[str, Any]:
        return {name: _plain(metric.compute()) for name, metric in self.all.items()}


class Trainer:
    """Trains a model: over and over, batches, loss, gradients, a step of the optimizer.

    Args:
        model: called with the inputs of a batch: all but its last entry. A batch that is a Tensor
            is the input itself, and then the target too (as for an autoencoder).
        loss: function or module of (outputs, targets), the mean over the batch.
        optimizer: any, LBFGS too: ``step`` is given a closure.
        scheduler: of the learning rate; ReduceLROnPlateau is told the validation loss, or the
            training loss where there is no validation.
        scheduler_interval: ``"epoch"`` or ``"step"``: how often the scheduler steps.
        metrics: name -> :class:`fastdl.metrics.Metric`; measured in training, as the model learns,
            and in validation, where their names begin with ``valid_``.
        clip_grad_norm, clip_grad_value: bounds for the joint norm of the gradients, and for each.
        callbacks: :class:`fastdl.train.Callback` objects, called in their order; those that save
            come last.

    Attributes:
        epoch, batch, step: finished epochs, finished batches of the epoch that runs, and finished
            steps over all.
        history: a dict for each finished epoch: ``epoch`` (from 1), ``loss``, ``lr`` (in the
            epoch) and the metrics; numbers only, and the same whether or not there were
            interruptions.
        should_stop: set it to end after the epoch that runs; it stays set.

    Training that is killed at any moment and resumed from a checkpoint (see :class:`Checkpoint` and
    `resume` of :meth:`fit`) ends with the same weights, bit for bit, as training that was not:
    the state holds model, optimizer, scheduler, metrics, callbacks, the place in the epoch, and the
    random numbers of fastdl, Python and NumPy. It needs the same program, data and kernels (the
    same kind of processor); samples that draw from Python's or NumPy's generators need a
    DataLoader without workers; a sampler of one's own should draw when an epoch begins, or from a
    generator of its own. Buffers that are not persistent are no part of the state.

    Raises:
        TypeError: an argument of the wrong kind.
        ValueError: an unknown `scheduler_interval`, or a metric called ``loss``.
    """

    def __init__(
        self,
        model: Module,
        loss: Callable[[Any, Any], Tensor],
        optimizer: Optimizer,
        *,
        scheduler: LRScheduler | None = None,
        scheduler_interval: str = "epoch",
        metrics: Mapping[str, Metric] | None = None,
        clip_grad_norm: float | None = None,
        clip_grad_value: float | None = None,
        callbacks: Iterable[Callback] = (),
    ) -> None:
        for value, kind, name in ((model, Module, "model"), (optimizer, Optimizer, "optimizer")):
            if not isinstance(value, kind):
                raise TypeError(
                    f"Trainer: {name} should be a {kind.__name__}, but got {type(value).__name__}"
                )
        if scheduler_interval not in ("epoch", "step"):
            raise ValueError(
                f"Trainer: scheduler_interval should be 'epoch' or 'step', but got "
                f"{scheduler_interval!r}"
            )
        metrics = dict(metrics or {})
        for name, metric in metrics.items():
            if not isinstance(metric, Metric):
                raise TypeError(
                    f"Trainer: metrics should be fastdl.metrics objects, but {name!r} is a "
                    f"{type(metric).__name__}"
                )
            if name in ("loss", "epoch", "lr"):
                raise ValueError(f"Trainer: no metric can be called {name!r}")
        self.model = model
        self.loss = loss
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.scheduler_interval = scheduler_interval
        self.clip_grad_norm = clip_grad_norm
        self.clip_grad_value = clip_grad_value
        self.callbacks = sorted(callbacks, key=lambda callback: callback.goes_last)
        self.epoch = self.batch = self.step = 0
        self.batches: int | None = None  # of an epoch, where the loader knows
        self.history: list[dict[str, Any]] = []
        self.should_stop = False
        self._training = _Measures(metrics)
        self._evaluation = _Measures(metrics)
        self._generators: list = []
        self._random_at_start: dict | None = None  # of the epoch that runs
        self._random_to_restore: dict | None = None  # by the next fit, from a checkpoint

    # ------------------------------------------------------------------------------ the loop

    def fit(
        self,
        train_loader: Iterable,
        epochs: int,
        valid_loader: Iterable | None = None,
        *,
        resume: str | os.PathLike | None = None,
    ) -> list[dict[str, Any]]:
        """Trains until `epochs` epochs are done in all, those of earlier calls included.

        Args:
            train_loader: an iterable of batches, such as a DataLoader.
            epochs: how many in all.
            valid_loader: batches to measure loss and metrics on after each epoch.
            resume: a checkpoint to go on from; where there is no such file, training begins anew,
                so that a program that was killed is simply started again.

        Returns:
            `history`.

        Raises:
            RuntimeError: a checkpoint does not fit the model or the data.
        """
        if resume is not None and os.path.exists(resume):
            self.load(resume)
        loaders = (train_loader,) if valid_loader is None else (train_loader, valid_loader)
        self._generators = generators_of(loaders)
        if self._random_to_restore is not None:
            set_states(self._random_to_restore, self._generators)
            self._random_to_restore = None
        self.batches = len(train_loader) if hasattr(train_loader, "__len__") else None
        self._tell("on_fit_begin")
        try:
            while self.epoch < epochs and not self.should_stop:
                self._epoch(train_loader, valid_loader)
        finally:
            self._tell("on_fit_end")
        return self.history

    def _epoch(self, train_loader: Iterable, valid_loader: Iterable | None) -> None:
        self.model.train()
        batches = self._batches(train_loader)
        self._tell("on_epoch_begin")
        for batch in batches:
            self._step(batch)
            self._tell("on_step_end")
        row = {"epoch": self.epoch + 1, **self._training.compute()}
        row["lr"] = float(self.optimizer.param_groups[0]["lr"])
        if valid_loader is not None:
            found = self.evaluate(valid_loader)
            row.update({f"valid_{name}": value for name, value in found.items()})
        if self.scheduler is not None and self.scheduler_interval == "epoch":
            if isinstance(self.scheduler, ReduceLROnPlateau):
                self.scheduler.step(row.get("valid_loss", row["loss"]))
            else:
                self.scheduler.step()
        self.history.append(row)
        self.epoch, self.batch = self.epoch + 1, 0
        self._tell("on_epoch_end")

    def _batches(self, loader: Iterable):
        """The batches of the epoch that are still to come."""
        if self.batch == 0:
            self._random_at_start = get_states(self._generators)
            self._training.reset()
            return iter(loader)
        # The epoch is gone through again up to its interruption: the same numbers are drawn.
        now = get_states(self._generators)
        set_states(self._random_at_start, self._generators)
        batches = iter(loader)
        for done in range(self.batch):
            if next(batches, batches) is batches:
                raise RuntimeError(
                    f"fit: {self.batch} batches of the epoch were done before, but the data now "
                    f"has only {done}"
                )
        set_states(now, self._generators)
        return batches

    def _step(self, batch: Any) -> None:
        seen = []

        def closure():
            self.optimizer.zero_grad()
            loss, outputs, targets = self.compute(batch)
            loss.backward()
            parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
            if self.clip_grad_value is not None:
                clip_grad_value_(parameters, self.clip_grad_value)
            if self.clip_grad_norm is not None:
                clip_grad_norm_(parameters, self.clip_grad_norm)
            seen.append((loss, outputs, targets))
            return loss

        self.optimizer.step(closure)
        if self.scheduler is not None and self.scheduler_interval == "step":
            self.scheduler.step()
        self._training.update(*seen[0])
        self.batch += 1
        self.step += 1

    def compute(self, batch: Any) -> tuple[Tensor, Any, Any]:
        """(loss, outputs, targets) of a batch: what a subclass overrides for another kind of batch
        or of training."""
        inputs, targets = _parts(batch)
        outputs = self.model(*inputs)
        return self.loss(outputs, targets), outputs, targets

    def evaluate(self, loader: Iterable) -> dict[str, Any]:
        """The mean loss and the metrics over all batches, in evaluation mode."""
        self._evaluation.reset()
        with self._evaluating():
            for batch in loader:
                self._evaluation.update(*self.compute(batch))
        return self._evaluation.compute()

    def predict(self, loader: Iterable) -> Tensor:
        """The outputs for all batches, one after the other along dimension 0, in evaluation mode.

        Batches are as in training, or of inputs alone: a Tensor, or a list of one.
        """
        with self._evaluating():
            return cat([self.model(*_parts(batch)[0]) for batch in loader])

    @property
    def running(self) -> dict[str, Any]:
        """The loss and the metrics so far in the epoch that runs."""
        return self._training.compute()

    def _evaluating(self):
        return _Evaluating(self.model)

    def _tell(self, event: str) -> None:
        for callback in self.callbacks:
            getattr(callback, event)(self)

    # -------------------------------------------------------------------------------- state

    def state_dict(self) -> dict[str, Any]:
        """All that training needs to go on as if nothing had happened."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": None if self.scheduler is None else self.scheduler.state_dict(),
            "epoch": self.epoch,
            "batch": self.batch,
            "step": self.step,
            "history": self.history,
            "should_stop": self.should_stop,
            "running": {name: m.state_dict() for name, m in self._training.all.items()},
            "callbacks": {name: c.state_dict() for name, c in self._named_callbacks()},
            "random": get_states(self._generators),
            "random_at_start": self._random_at_start,
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Takes over what :meth:`state_dict` gave; the next :meth:`fit` goes on from there.

        Raises:
            RuntimeError, ValueError: it is not from a Trainer of the same model, optimizer and
                metrics.
        """
        missing = [key for key in self.state_dict() if key not in state_dict]
        if missing:
            raise RuntimeError(f"Trainer: the state lacks {', '.join(missing)}")
        if set(state_dict["running"]) != set(self._training.all):
            raise RuntimeError(
                f"Trainer: the state has the metrics {sorted(state_dict['running'])}, not "
                f"{sorted(self._training.all)}"
            )
        if (state_dict["scheduler"] is None) != (self.scheduler is None):
            raise RuntimeError("Trainer: either the state or the trainer lacks a scheduler")
        self.model.load_state_dict(state_dict["model"])
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state_dict["scheduler"])
        self.optimizer.load_state_dict(state_dict["optimizer"])
        for name, state in state_dict["running"].items():
            self._training.all[name].load_state_dict(state)
        for name, callback in self._named_callbacks():
            if name in state_dict["callbacks"]:
                callback.load_state_dict(state_dict["callbacks"][name])
        self.epoch, self.batch = state_dict["epoch"], state_dict["batch"]
        self.step, self.should_stop = state_dict["step"], state_dict["should_stop"]
        self.history = copy.deepcopy(state_dict["history"])
        self._random_to_restore = state_dict["random"]
        self._random_at_start = state_dict["random_at_start"]

    def save(self, path: str | os.PathLike) -> None:
        """Writes :meth:`state_dict` with :func:`fastdl.save`, in one step; the weights alone are
        the entry ``"model"``."""
        save(self.state_dict(), path)

    def load(self, path: str | os.PathLike) -> None:
        """:meth:`load_state_dict` of a file that :meth:`save` wrote."""
        self.load_state_dict(load(path))

    def _named_callbacks(self) -> list[tuple[str, Callback]]:
        """Callbacks by class, and by number where there are several of one."""
        counts: Counter[str] = Counter()
        named = []
        for callback in self.callbacks:
            kind = type(callback).__name__
            named.append((f"{kind}.{counts[kind]}", callback))
            counts[kind] += 1
        return named


class _Evaluating:
    """Context manager: evaluation mode without gradients; each module's mode is put back after."""

    def __init__(self, model: Module) -> None:
        self._modes = [(module, module.training) for module in model.modules()]
        self._no_grad = no_grad()
        model.eval()

    def __enter__(self) -> None:
        self._no_grad.__enter__()

    def __exit__(self, *exception) -> None:
        self._no_grad.__exit__(*exception)
        for module, mode in self._modes:
            module.training = mode


def _parts(batch: Any) -> tuple[tuple, Any]:
    """(arguments of the model, targets) of a batch."""
    if isinstance(batch, Tensor):
        return (batch,), batch
    if isinstance(batch, list | tuple) and batch:
        return (tuple(batch[:-1]), batch[-1]) if len(batch) > 1 else (tuple(batch), batch[0])
    raise TypeError(
        "Trainer: a batch should be a Tensor, or a tuple or list of inputs and targets, but got "
        f"{type(batch).__name__}; override compute for others"
    )


def _length(*candidates: Any) -> int:
    """The number of samples: the first dimension of the first Tensor that has one."""
    for value in candidates:
        if isinstance(value, Tensor) and value.dim():
            return len(value)
    return 1


def _plain(value: Any) -> Any:
    """Numbers and lists, which a CSV file and a checkpoint can hold."""
    return value.tolist() if isinstance(value, Tensor) else float(value)
