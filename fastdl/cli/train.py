"""`python -m fastdl train`: train a network on images, a table or text, and keep it in a file."""

import json
import math
import warnings
from pathlib import Path

import numpy as np

import fastdl
from fastdl import runtime
from fastdl.cli import train_text
from fastdl.cli.checkpoint import require_safetensors
from fastdl.cli.console import CliError, Parser, UsageError, complain, number, output_file
from fastdl.cli.models import LANGUAGE_MODELS, build
from fastdl.cli.training import (
    LR,
    Settings,
    Task,
    add_training_options,
    introduce,
    median_rate,
    predict,
    run,
)
from fastdl.datasets import (
    MNIST,
    Arrays,
    DatasetError,
    FashionMNIST,
    load_digits,
    load_folder,
    load_iris,
    load_npz,
    stratified_part,
)

DATA_HELP = """\
what to train on (--data):
  digits         1,797 handwritten digits of 8x8 pixels, shipped with fastdl
  iris           150 flowers, 4 measurements each, shipped with fastdl
  mnist          70,000 handwritten digits of 28x28 pixels, from --root (--download fetches them)
  fashion-mnist  70,000 pictures of clothes, likewise
  FOLDER         your pictures, one folder a class: FOLDER/cat/1.png, FOLDER/dog/2.jpg; a fifth of
                 each class is kept for the test, unless there are FOLDER/train and FOLDER/test
  FILE.npz       your arrays: data and targets (or x and y), or x_train, y_train, x_test, y_test
  docstrings     what Python's standard library says of itself, about 1.8 million characters
  FILE           your text (UTF-8): a language model is trained, and compared with n-grams
  FOLDER         with --model gru, lstm or gpt: the texts in it; a twentieth of each is kept for the
                 test
"""


def parser() -> Parser:
    parser = Parser("train", "Train a network and save it in a file.", epilog=DATA_HELP)
    add = parser.add_argument
    add(
        "--data",
        required=True,
        metavar="DATA",
        help="digits, iris, mnist, ..., docstrings, a folder or file",
    )
    add(
        "--out",
        required=True,
        type=output_file(".safetensors"),
        metavar="FILE",
        help="file to keep the network in (.safetensors), written after each epoch",
    )
    add(
        "--model",
        choices=("lenet", "mlp", *LANGUAGE_MODELS),
        help="default: lenet for images, mlp for tables, gru for text",
    )
    add(
        "--hidden",
        type=_widths,
        metavar="N,N,...",
        help="widths of the hidden layers of mlp; default 128,64",
    )
    add(
        "--size",
        type=number(int, 12, 512),
        metavar="N",
        help="pictures of a folder are resized to N x N pixels; default 28",
    )
    add(
        "--shift",
        type=number(int, 0, 64),
        metavar="PIXELS",
        help="move training images by up to so many pixels; default 2",
    )
    add(
        "--root",
        type=Path,
        default=Path("data"),
        metavar="FOLDER",
        help="where the files of mnist and fashion-mnist are; default ./data",
    )
    add("--download", action="store_true", help="fetch those files if they are missing")
    train_text.add_options(parser)
    add_training_options(parser, lr=None)
    return parser


def _widths(text: str) -> list[int]:
    return [number(int, 1, 65536)(part) for part in text.split(",")]


def main(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    if args.plot:
        from fastdl.cli.plot import require_matplotlib

        require_matplotlib()
    require_safetensors("train")
    if args.threads:
        runtime.set_num_threads(args.threads)
    if train_text.is_text(args):
        return train_text.train(args)
    train_text.refuse_options(args)
    try:
        task = Task.of(*load(args))
    except (DatasetError, ImportError) as error:
        raise CliError(str(error)) from None
    except FileNotFoundError as error:
        raise UsageError(f"--data: {error}") from None
    except OSError as error:
        raise CliError(f"{error.filename or args.data}: {error.strerror or error}") from None
    settings = choose_settings(args, task)
    fastdl.manual_seed(settings.seed)
    architecture = choose_architecture(args, task)
    model = build(architecture)
    if not args.json:
        introduce(task, model, settings)
    history = run(model, architecture, task, settings, args.out, "--out", quiet=args.json)
    last = history[-1]
    if args.plot:
        from fastdl.cli.plot import plot_training

        plot_training(args.plot, history, model, task)
    if args.json:
        result = {
            "test_accuracy": last.to_json()["test_accuracy"],
            "images_per_second": median_rate(history),
            "epochs": [row.to_json() for row in history],
            "settings": settings._asdict(),
            "architecture": architecture,
            "classes": task.classes,
            "checkpoint": str(args.out),
            "config": runtime.config(),
        }
        print(json.dumps(result, indent=2))
        return 0
    print()
    print(mistakes(model, task))
    if args.plot:
        print(f"  picture saved in {args.plot}")
    print(f"  network saved in {args.out} ({args.out.stat().st_size / 1e3:,.0f} kB)")
    what = "IMAGE..." if task.preparation.size else "ROW... (values with commas between them)"
    print(f"  try: python -m fastdl predict {args.out} {what}")
    print()
    score = last.test_accuracy
    tested = "no test part" if math.isnan(score) else f"test accuracy {score:.4f}"
    unit = "images/s" if task.preparation.size else "rows/s"
    print(f"{tested}, {median_rate(history):.0f} {unit}")
    return 0


def load(args) -> tuple[str, Arrays, Arrays]:
    """Return the title, training part and test part of what `--data` names."""
    name = args.data
    if name in ("digits", "iris"):
        arrays = load_digits() if name == "digits" else load_iris()
        title = {"digits": "UCI handwritten digits", "iris": "Fisher's iris flowers"}[name]
        return title, stratified_part(arrays, True), stratified_part(arrays, False)
    if name in ("mnist", "fashion-mnist"):
        cls, title = {
            "mnist": (MNIST, "MNIST handwritten digits"),
            "fashion-mnist": (FashionMNIST, "Fashion-MNIST clothes"),
        }[name]
        train = cls(args.root, train=True, download=args.download)
        test = cls(args.root, train=False, download=args.download)
        return title, train.arrays, test.arrays
    path = Path(name)
    if not path.exists():
        raise UsageError(
            f"--data: {name!r} is neither a data set (digits, iris, mnist, fashion-mnist, "
            f"docstrings) nor a folder or file"
        )
    if path.is_dir():
        return _load_folder(path, args.size or 28)
    if path.suffix != ".npz":
        raise UsageError(f"--model {args.model} is for images and tables; {name} is text")
    train, test = load_npz(path)
    if test is None:
        train, test = stratified_part(train, True), stratified_part(train, False)
    return path.name, train, test


def _load_folder(path: Path, size: int) -> tuple[str, Arrays, Arrays]:
    """Read a folder of pictures, naming on stderr those that are left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = lambda message, *_: complain("train", str(message))
        if not ((path / "train").is_dir() and (path / "test").is_dir()):
            arrays = load_folder(path, (size, size))
            return str(path), stratified_part(arrays, True), stratified_part(arrays, False)
        train = load_folder(path / "train", (size, size))
        channels = 1 if train.data.ndim == 3 else 3
        test = load_folder(path / "test", (size, size), channels)
    if train.classes != test.classes:
        raise DatasetError(
            f"{path}: the classes of train ({', '.join(train.classes)}) are not those of test "
            f"({', '.join(test.classes)})"
        )
    return str(path), train, test


def choose_settings(args, task: Task) -> Settings:
    """Return the settings asked for; where nothing was asked, some that suit the data's size."""
    count = len(task.y)
    batch_size = args.batch_size or (16 if count < 500 else 64)
    epochs = args.epochs or min(100, max(3, round(500 * batch_size / count)))
    shift = args.shift
    if task.preparation.size is None:
        if shift:
            raise UsageError("--shift is for images; this is a table")
        shift = 0
    elif shift is None:
        shift = 2
    return Settings(epochs, batch_size, args.lr or LR, args.seed, shift)


def choose_architecture(args, task: Task) -> dict:
    """Return the description of the network to build; see `fastdl.cli.models.build`."""
    prepare, classes = task.preparation, len(task.classes)
    if classes < 2:
        raise CliError(f"{args.data}: all samples are of one class: there is nothing to learn")
    model = args.model or ("mlp" if prepare.size is None else "lenet")
    if model == "mlp":
        inputs = math.prod(prepare.input_shape)
        return {
            "model": "mlp",
            "inputs": inputs,
            "hidden": args.hidden or [128, 64],
            "classes": classes,
        }
    if prepare.size is None:
        raise UsageError("--model lenet is for images; this is a table: use --model mlp")
    channels, height, width = prepare.input_shape
    if min(height, width) < 12:
        raise UsageError(
            f"--model lenet needs images of at least 12x12 pixels, not {height}x{width}: "
            f"use --model mlp"
        )
    return {"model": "lenet", "channels": channels, "size": [height, width], "classes": classes}


def mistakes(model, task: Task) -> str:
    """Return a line on what the network takes for what, in the test part."""
    if len(task.y_test) == 0:
        return "  there are too few samples of a class to keep some for a test"
    guesses = predict(model, task.x_test).argmax(1)
    wrong = guesses != task.y_test
    if not wrong.any():
        return f"  all {len(guesses):,} test samples are right"
    pairs, counts = np.unique(
        np.stack([task.y_test[wrong], guesses[wrong]], 1), axis=0, return_counts=True
    )
    worst = np.argsort(-counts, kind="stable")[:3]
    said = ", ".join(
        f"{task.classes[truth]} taken for {task.classes[guess]} ({count}x)"
        for (truth, guess), count in zip(pairs[worst], counts[worst])
    )
    return f"  {wrong.sum():,} of {len(guesses):,} test samples are wrong: most often {said}"
