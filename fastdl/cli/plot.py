"""The picture of `--plot`: learning curve, sample predictions, first-layer filters."""

from pathlib import Path

import numpy as np

from fastdl.cli.console import CliError
from fastdl.cli.training import Epoch, Task, predict


def require_matplotlib() -> None:
    """Raise CliError where matplotlib is missing."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise CliError("--plot needs matplotlib: pip install 'fastdl[demo]'") from None


def plot_training(path: Path, history: list[Epoch], model, task: Task) -> None:
    """Draw one picture of a training and write it to `path`, in the format of its suffix."""
    from matplotlib.figure import Figure

    filters = _first_filters(model)
    figure = Figure(figsize=(11, 7.5), layout="constrained")
    figure.suptitle(f"fastdl: {task.title}")
    top, bottom = figure.subfigures(2, 1, height_ratios=(1, 1.1))
    left, right = top.subfigures(1, 2, width_ratios=(1.7, 1))
    _draw_curve(left, history)
    _draw_filters(right, filters)
    if task.preparation.size is not None and len(task.y_test):
        _draw_predictions(bottom, model, task)
    try:
        figure.savefig(path, dpi=120)
    except OSError as error:
        raise CliError(f"--plot: cannot write {path}: {error.strerror}") from None


def _draw_curve(figure, history: list[Epoch]) -> None:
    axes = figure.subplots()
    epochs = [row.epoch for row in history]
    axes.plot(epochs, [row.loss for row in history], "C0.-", label="loss")
    axes.set(xlabel="epoch", ylabel="loss", yscale="log")
    right = axes.twinx()
    right.plot(epochs, [row.train_accuracy for row in history], "C1.-", label="train accuracy")
    right.plot(epochs, [row.test_accuracy for row in history], "C2.-", label="test accuracy")
    right.set(ylabel="accuracy")
    right.axhline(history[-1].test_accuracy, color="C2", lw=0.5, ls=":")
    lines = [*axes.get_lines(), *right.get_lines()[:2]]
    right.legend(lines, [line.get_label() for line in lines], loc="center right")
    axes.set_title(f"test accuracy {history[-1].test_accuracy:.4f}")
    axes.xaxis.get_major_locator().set_params(integer=True)


def _first_filters(model) -> list[np.ndarray]:
    """The first layer's weights as pictures (H, W): of each filter, the mean over its channels."""
    weight = next(iter(model.parameters())).detach().numpy()
    return list(weight.mean(1)[:16]) if weight.ndim == 4 else [weight]


def _draw_filters(figure, filters: list[np.ndarray]) -> None:
    figure.suptitle("first-layer filters (red +, blue -)" if len(filters) > 1 else "first layer")
    columns = 1 if len(filters) == 1 else 3 if len(filters) <= 6 else 4
    grid = figure.subplots(-(-len(filters) // columns), columns, squeeze=False).ravel()
    most = max(np.abs(f).max() for f in filters)
    for axes in grid:
        axes.set_axis_off()
    for axes, weights in zip(grid, filters):
        axes.imshow(weights, cmap="RdBu_r", vmin=-most, vmax=most)


def _draw_predictions(figure, model, task: Task, rows: int = 3, columns: int = 10) -> None:
    """Test images under what the network takes them for: its errors first, in red."""
    guesses = predict(model, task.x_test).argmax(1)
    wrong = np.flatnonzero(guesses != task.y_test)
    right = np.flatnonzero(guesses == task.y_test)
    sample = [*wrong[: rows * columns // 2], *right[:: max(1, len(right) // (rows * columns))]]
    figure.suptitle(f"test images and predictions ({len(wrong)} of {len(guesses)} wrong, in red)")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    mean = np.array(task.preparation.mean)[:, None, None]
    std = np.array(task.preparation.std)[:, None, None]
    for axes, index in zip(grid, sample):
        image = (task.x_test[index] * std + mean).clip(0, 1)
        axes.imshow(image[0] if len(image) == 1 else np.moveaxis(image, 0, 2), cmap="gray")
        guess, truth = (task.classes[k] for k in (guesses[index], task.y_test[index]))
        title, colour = (guess, "black") if guess == truth else (f"{guess}, is {truth}", "red")
        axes.set_title(title, fontsize=9, color=colour)
