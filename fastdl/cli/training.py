"""The training loop that `demo` and `train` share, and the table it prints."""

import math
import os
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

import fastdl
from fastdl import nn, runtime
from fastdl.cli.checkpoint import save_checkpoint
from fastdl.cli.console import (
    CliError,
    Table,
    add_common_options,
    bold,
    dim,
    number,
    output_file,
    progress,
)
from fastdl.cli.models import count_parameters, describe
from fastdl.cli.preparation import Preparation
from fastdl.datasets import Arrays

LR = 3e-3  # of Adam, unless another is asked for
MOST_ROWS = 25  # of the table; of a longer training, every second, third, ... epoch is shown


@dataclass
class Task:
    """What is to be learned, ready for a network."""

    title: str  # "UCI handwritten digits"
    preparation: Preparation
    classes: tuple[str, ...]
    x: np.ndarray  # training inputs, float32 (N, *preparation.input_shape)
    y: np.ndarray  # (N,) int64
    x_test: np.ndarray
    y_test: np.ndarray

    @classmethod
    def of(cls, title: str, train: Arrays, test: Arrays) -> "Task":
        prepare = Preparation.of(train)
        return cls(
            title,
            prepare,
            train.classes,
            prepare(train.data),
            train.targets,
            prepare(test.data),
            test.targets,
        )


class Settings(NamedTuple):
    """How it is learned."""

    epochs: int
    batch_size: int
    lr: float
    seed: int
    shift: int  # training images are moved by up to this many pixels, anew in each epoch


def add_training_options(
    parser, epochs: int | None = None, batch_size: int | None = None, lr: float | None = LR
) -> None:
    """Add the options of a training to a command; None: a default that suits the data."""
    add = parser.add_argument
    default = "default {}" if epochs else "default: what suits the data's size"
    add(
        "--epochs",
        type=number(int, 1, 100_000),
        default=epochs,
        metavar="N",
        help="times the training set is gone through; " + default.format(epochs),
    )
    add(
        "--batch-size",
        type=number(int, 1, 1 << 20),
        default=batch_size,
        metavar="N",
        help="samples a step; " + default.format(batch_size),
    )
    add(
        "--lr",
        type=number(float, 0, open_below=True),
        default=lr,
        metavar="RATE",
        help="learning rate of Adam; default " + (f"{lr:g}" if lr else "0.003, of gpt 0.002"),
    )
    add(
        "--seed",
        type=number(int, 0, 2**32 - 1),
        default=0,
        metavar="N",
        help="start of the random numbers; default 0",
    )
    add(
        "--plot",
        type=output_file(".png", ".pdf", ".svg"),
        metavar="FILE",
        help="draw the learning curve, predictions and first-layer filters",
    )
    add_common_options(parser)


def introduce(task: Task, model: nn.Module, settings: Settings) -> None:
    """Print what is about to be trained, on what, by what."""
    sizes = f"{len(task.y):,} to learn from, {len(task.y_test):,} to test"
    data = [f"{task.title}: {sizes}, {len(task.classes)} classes", task.preparation.describe()]
    if settings.shift:
        data.append(f"moved by up to {settings.shift} pixels, anew in each epoch")
    how = (
        f"Adam, lr {settings.lr:g} (a tenth in the last third), "
        f"batches of {settings.batch_size}, seed {settings.seed}"
    )
    introduce_run(data, model, how)


def introduce_run(data: list[str], model: nn.Module, how: str) -> None:
    """Print the version, then lines on data, model and training, then whether others compute."""
    config = runtime.config()
    threads = f"{config['threads']} thread" + ("s" if config["threads"] > 1 else "")
    print(bold(f"fastdl {config['version']}") + f": {config['isa']} kernels, {threads}")
    print()
    size = f"{count_parameters(model):,} parameters, float32"
    for title, lines in (("data", data), ("model", [describe(model), size]), ("train", [how])):
        for i, line in enumerate(lines):
            print(
                f"  {bold(title)}{' ' * (7 - len(title))}{line}" if i == 0 else f"         {line}"
            )
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load > config["available_threads"]:
        print(f"  {bold('note')}   other programs keep this machine busy (load {load:.1f}):")
        print("         expect slow and uneven times; fewer --threads may be faster")
    print()


class Epoch(NamedTuple):
    """A row of the table."""

    epoch: int
    loss: float  # mean over the training samples as they were learned from
    train_accuracy: float  # likewise
    test_accuracy: float  # nan if there is no test part
    images_per_second: float  # training alone, evaluation not counted
    lr: float

    def to_json(self) -> dict:
        """The row as a dict that JSON can hold: None where there is no number."""
        return {k: None if math.isnan(v) else v for k, v in self._asdict().items()}


def shifted(images: np.ndarray, pixels: int, fill: np.ndarray, rng) -> np.ndarray:
    """Move each image (N, C, H, W) by its own random -pixels..pixels along both axes.

    `fill` (C, 1, 1) is what comes in over the edges.
    """
    n, c, h, w = images.shape
    canvas = np.empty((n, c, h + 2 * pixels, w + 2 * pixels), np.float32)
    canvas[:] = fill
    canvas[:, :, pixels : pixels + h, pixels : pixels + w] = images
    down, right = rng.integers(0, 2 * pixels + 1, (2, n))
    return sliding_window_view(canvas, (h, w), axis=(2, 3))[np.arange(n), :, down, right]


def batches(task: Task, settings: Settings, rng) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the batches of one epoch: inputs (B, ...) float32, classes (B,) int64."""
    order = rng.permutation(len(task.y))
    for start in range(0, len(order), settings.batch_size):
        rows = order[start : start + settings.batch_size]
        x = task.x[rows]
        if settings.shift:
            x = shifted(x, settings.shift, task.preparation.fill, rng)
        yield x, task.y[rows]


def predict(model: nn.Module, x: np.ndarray, batch_size: int = 256) -> np.ndarray:
    """Return the logits (N, classes) of prepared inputs."""
    model.eval()
    with fastdl.no_grad():
        parts = [
            model(fastdl.from_numpy(x[start : start + batch_size])).numpy()
            for start in range(0, len(x), batch_size)
        ]
    return np.concatenate(parts)


def accuracy(model: nn.Module, x: np.ndarray, y: np.ndarray) -> float:
    if len(y) == 0:
        return math.nan
    return float((predict(model, x).argmax(1) == y).mean())


def fit(model: nn.Module, task: Task, settings: Settings) -> Iterator[Epoch]:
    """Train with Adam, the rate falling to a tenth for the last third; yield after each epoch."""
    optimizer = fastdl.optim.Adam(model.parameters(), lr=settings.lr)
    scheduler = fastdl.optim.lr_scheduler.StepLR(
        optimizer, step_size=max(1, math.ceil(settings.epochs * 2 / 3)), gamma=0.1
    )
    loss_of = nn.CrossEntropyLoss()
    rng = np.random.default_rng(settings.seed)
    steps = math.ceil(len(task.y) / settings.batch_size)
    for epoch in range(1, settings.epochs + 1):
        model.train()
        total_loss, right = 0.0, 0
        start = time.perf_counter()
        bar = progress(batches(task, settings, rng), steps, f"  epoch {epoch}")
        with closing(bar):
            for x, y in bar:
                inputs, targets = fastdl.from_numpy(x), fastdl.from_numpy(y)
                optimizer.zero_grad()
                logits = model(inputs)
                loss = loss_of(logits, targets)
                loss.backward()
                optimizer.step()
                total_loss += loss.item() * len(y)
                right += int((logits.detach().numpy().argmax(1) == y).sum())
        seconds = time.perf_counter() - start
        if not math.isfinite(total_loss):
            raise CliError(
                f"the loss is no longer a number in epoch {epoch}: try a smaller --lr "
                f"(it is {settings.lr:g})"
            )
        lr = optimizer.param_groups[0]["lr"]
        scheduler.step()
        yield Epoch(
            epoch,
            total_loss / len(task.y),
            right / len(task.y),
            accuracy(model, task.x_test, task.y_test),
            len(task.y) / seconds,
            lr,
        )


def run(
    model: nn.Module,
    architecture: dict,
    task: Task,
    settings: Settings,
    checkpoint: Path | None,
    option: str,
    quiet: bool = False,
) -> list[Epoch]:
    """Train, print a table of epochs (unless `quiet`), save after each; return the epochs.

    Args:
        checkpoint: file to save to, or None.
        option: the option by which a checkpoint is asked for, to be named when there is none.

    Raises:
        CliError: interrupted (exit status 130), the loss went to infinity, or saving failed.
    """
    unit = "rows/s" if task.preparation.size is None else "images/s"
    columns = [("epoch", 5), ("loss", 7), ("train acc", 9), ("test acc", 8), (unit, 9)]
    table = None if quiet else Table(*columns)
    stride = math.ceil(settings.epochs / MOST_ROWS)
    history: list[Epoch] = []
    try:
        for row in fit(model, task, settings):
            if checkpoint is not None:
                save_checkpoint(
                    checkpoint, model, architecture, task.preparation, task.classes, row.to_json()
                )
            history.append(row)
            if table is not None and (row.epoch % stride == 0 or row.epoch in (1, settings.epochs)):
                test = "-" if math.isnan(row.test_accuracy) else f"{row.test_accuracy:.4f}"
                table.row(
                    str(row.epoch),
                    f"{row.loss:.4f}",
                    f"{row.train_accuracy:.4f}",
                    test,
                    f"{row.images_per_second:,.0f}",
                )
    except KeyboardInterrupt:
        raise CliError(interrupted(len(history), checkpoint, option), 130) from None
    if table is not None:
        what = "images" if task.preparation.size else "rows"
        print(dim(f"  loss, train acc: of the training {what}, as they were learned from"))
        print(dim(f"  test acc: of {what} never learned from; {what}/s: training steps alone"))
    return history


def interrupted(done: int, checkpoint: Path | None, option: str) -> str:
    """Return what is left of a training that was interrupted after `done` epochs."""
    where = f"interrupted in epoch {done + 1}; "
    if checkpoint is None:
        return where + f"nothing is saved ({option} FILE keeps a checkpoint of each epoch)"
    if done == 0:
        return where + "no checkpoint yet: the first is saved at the end of epoch 1"
    return where + f"the last checkpoint, of epoch {done}, is {checkpoint}"


def median_rate(history: list[Epoch]) -> float:
    """Samples learned from per second, median over the epochs."""
    return float(np.median([row.images_per_second for row in history]))
