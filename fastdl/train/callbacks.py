"""What happens beside the training: saving, stopping, showing, drawing."""

from __future__ import annotations

import csv
import io
import math
import os
import sys
from typing import Any

from fastdl.io import save
from fastdl.io.files import write_whole

__all__ = [
    "CSVLog",
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "LearningCurves",
    "ProgressBar",
    "TensorBoardLog",
]


class Callback:
    """Base class: subclasses override the moments they care about; each is told the trainer.

    What a callback must remember over an interruption it gives in :meth:`state_dict`.
    """

    goes_last = False  # after the others: what saves must see what they did

    def on_fit_begin(self, trainer) -> None:
        """``fit`` was called; a checkpoint is already read."""

    def on_epoch_begin(self, trainer) -> None:
        """An epoch begins, or goes on after an interruption."""

    def on_step_end(self, trainer) -> None:
        """A batch was learned from."""

    def on_epoch_end(self, trainer) -> None:
        """An epoch and its validation are done: ``trainer.history[-1]``."""

    def on_fit_end(self, trainer) -> None:
        """``fit`` ends, also by an error."""

    def state_dict(self) -> dict[str, Any]:
        """Numbers, strings, Tensors and containers of them, for a checkpoint."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over what :meth:`state_dict` gave."""


class _Watching(Callback):
    """Remembers the best value of one number of the history."""

    def __init__(self, monitor: str, mode: str | None, min_delta: float = 0.0) -> None:
        name = type(self).__name__
        if mode is None and not monitor.endswith(("loss", "error")):
            raise ValueError(
                f"{name}: mode should say whether {monitor!r} is better 'min' or 'max'"
            )
        if mode not in (None, "min", "max"):
            raise ValueError(f"{name}: mode should be 'min', 'max' or None, but got {mode!r}")
        self.monitor, self.mode, self.min_delta = monitor, mode or "min", min_delta
        self.best: float | None = None

    def _improved(self, trainer) -> bool:
        """Is the last epoch the best one? It is then remembered. nan never is."""
        row = trainer.history[-1]
        if self.monitor not in row:
            raise KeyError(
                f"{type(self).__name__}: there is no {self.monitor!r} in the history, but "
                f"{', '.join(row)}"
            )
        value = row[self.monitor]
        if math.isnan(value):
            return False
        sign = 1 if self.mode == "min" else -1
        if self.best is not None and not sign * value < sign * self.best - self.min_delta:
            return False
        self.best = value
        return True

    def state_dict(self):
        return {"best": self.best}

    def load_state_dict(self, state_dict):
        self.best = state_dict["best"]


class EarlyStopping(_Watching):
    """Ends the training when a number has not improved for `patience` epochs in a row.

    Args:
        monitor: the number's name in the history.
        patience: epochs without improvement after which to stop.
        mode: ``"min"`` or ``"max"``: which is better; None: ``"min"`` for names that end with
            ``loss`` or ``error``.
        min_delta: a smaller improvement is none.
        restore_best: give the model back the weights of its best epoch at the end.

    Raises:
        ValueError: `mode` is unknown, or is not given and does not follow from the name.
        KeyError: in ``fit``: the history has no such number.
    """

    def __init__(
        self,
        monitor: str = "valid_loss",
        *,
        patience: int = 5,
        mode: str | None = None,
        min_delta: float = 0.0,
        restore_best: bool = False,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.patience, self.restore_best = patience, restore_best
        self.waited = 0
        self.weights: dict | None = None  # of the best epoch

    def on_epoch_end(self, trainer):
        if self._improved(trainer):
            self.waited = 0
            if self.restore_best:
                state = trainer.model.state_dict()
                self.weights = {name: tensor.clone() for name, tensor in state.items()}
        else:
            self.waited += 1
            if self.waited >= self.patience:
                trainer.should_stop = True

    def on_fit_end(self, trainer):
        if self.weights is not None:
            trainer.model.load_state_dict(self.weights)

    def state_dict(self):
        return {**super().state_dict(), "waited": self.waited, "weights": self.weights}

    def load_state_dict(self, state_dict):
        super().load_state_dict(state_dict)
        self.waited, self.weights = state_dict["waited"], state_dict["weights"]


class Checkpoint(_Watching):
    """Saves the whole state of the training, from which ``fit(..., resume=path)`` goes on exactly.

    A file is replaced in one step: whenever the program is killed, a whole checkpoint is there.

    Args:
        path: the file of the last checkpoint; the weights alone are its entry ``"model"``.
        every_epochs: save after every so many epochs.
        every_steps: save after every so many steps, too.
        best_path: a file for the ``state_dict()`` of the model's best epoch.
        monitor, mode: which epoch is the best; see :class:`EarlyStopping`.

    Raises:
        ValueError: an interval below 1, or `mode` as for EarlyStopping.
        OSError: in ``fit``: a file cannot be written; the old one is still there.
    """

    goes_last = True

    def __init__(
        self,
        path: str | os.PathLike,
        *,
        every_epochs: int = 1,
        every_steps: int | None = None,
        best_path: str | os.PathLike | None = None,
        monitor: str = "valid_loss",
        mode: str | None = None,
    ) -> None:
        super().__init__(monitor, mode)
        for name, value in (("every_epochs", every_epochs), ("every_steps", every_steps)):
            if value is not None and value < 1:
                raise ValueError(f"Checkpoint: {name} should be at least 1, but got {value}")
        self.path, self.best_path = path, best_path
        self.every_epochs, self.every_steps = every_epochs, every_steps

    def on_step_end(self, trainer):
        if self.every_steps is not None and trainer.step % self.every_steps == 0:
            trainer.save(self.path)

    def on_epoch_end(self, trainer):
        if self.best_path is not None and self._improved(trainer):
            save(trainer.model.state_dict(), self.best_path)
        if trainer.epoch % self.every_epochs == 0 or trainer.should_stop:
            trainer.save(self.path)


class ProgressBar(Callback):
    """Shows each epoch's progress (by tqdm, if it is installed and `file` is a terminal), and then
    its numbers in a line.

    Args:
        file: where to; stderr unless given.
    """

    def __init__(self, file=None) -> None:
        self.file = file
        self._bar = None

    def _stream(self):
        return sys.stderr if self.file is None else self.file

    def on_epoch_begin(self, trainer):
        if not self._stream().isatty():
            return
        try:
            from tqdm import tqdm
        except ImportError:
            return
        self._bar = tqdm(
            total=trainer.batches,
            initial=trainer.batch,
            desc=f"epoch {trainer.epoch + 1}",
            unit="batch",
            leave=False,
            file=self._stream(),
        )

    def on_step_end(self, trainer):
        if self._bar is not None:
            self._bar.set_postfix(loss=f"{trainer.running['loss']:.4g}", refresh=False)
            self._bar.update()

    def on_epoch_end(self, trainer):
        self.on_fit_end(trainer)
        row = trainer.history[-1]
        numbers = (f"{k} {v:.4g}" for k, v in row.items() if k != "epoch" and not _is_list(v))
        print(f"epoch {row['epoch']:3}  " + "  ".join(numbers), file=self._stream(), flush=True)

    def on_fit_end(self, trainer):
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


class CSVLog(Callback):
    """Writes the history as a CSV file, whole, after each epoch: also after an interruption each
    epoch stands in it once."""

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = path

    def on_epoch_end(self, trainer):
        text = io.StringIO()
        columns = dict.fromkeys(name for row in trainer.history for name in row)
        writer = csv.DictWriter(text, list(columns))
        writer.writeheader()
        writer.writerows(trainer.history)
        write_whole(self.path, text.getvalue().encode())


class LearningCurves(Callback):
    """Draws the history as a picture, anew after each epoch: a panel for each number, with its
    validation.

    Args:
        path: a file that ends with .png, .pdf or .svg.

    Raises:
        ImportError: the matplotlib package is missing.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        try:
            import matplotlib  # noqa: F401
        except ImportError as error:
            raise ImportError(
                'LearningCurves needs the matplotlib package: pip install "fastdl[demo]" (or pip '
                "install matplotlib)"
            ) from error
        self.path = path

    def on_epoch_end(self, trainer):
        from matplotlib.figure import Figure

        history = trainer.history
        names = [
            name
            for name, value in history[-1].items()
            if name != "epoch" and not name.startswith("valid_") and not _is_list(value)
        ]
        figure = Figure(figsize=(4 * len(names), 3.2), layout="constrained")
        for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names):
            for key, label in ((name, "training"), (f"valid_{name}", "validation")):
                rows = [row for row in history if key in row]
                if rows:
                    axes.plot([r["epoch"] for r in rows], [r[key] for r in rows], ".-", label=label)
            axes.set(title=name, xlabel="epoch")
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.legend()
        picture = io.BytesIO()
        suffix = os.path.splitext(os.fspath(self.path))[1].removeprefix(".")
        figure.savefig(picture, format=suffix or "png", dpi=120)
        write_whole(self.path, picture.getvalue())


class TensorBoardLog(Callback):
    """Writes each number of the history for TensorBoard; see fastdl.utils.tensorboard.

    Args:
        log_dir: the folder; tensorboardX's choice unless given.
    """

    def __init__(self, log_dir: str | None = None) -> None:
        self.log_dir = log_dir
        self._writer = None

    def on_fit_begin(self, trainer):
        from fastdl.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(self.log_dir)

    def on_epoch_end(self, trainer):
        row = trainer.history[-1]
        for name, value in row.items():
            if name != "epoch" and not _is_list(value):
                self._writer.add_scalar(name, value, row["epoch"])

    def on_fit_end(self, trainer):
        self._writer.close()
