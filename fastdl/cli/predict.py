"""`python -m fastdl predict`: what a network trained with `demo --save` or `train` sees."""

import json
from pathlib import Path

import numpy as np

import fastdl
from fastdl import runtime
from fastdl.cli.checkpoint import Checkpoint, load_checkpoint
from fastdl.cli.console import CliError, Parser, Table, add_common_options, complain, number
from fastdl.cli.training import predict
from fastdl.datasets import DatasetError, read_image
from fastdl.datasets.folder import resize_image

CHUNK = 256  # images read and predicted at a time
LONGEST = 1000  # pixels; a larger photograph is looked at in this size


def parser() -> Parser:
    parser = Parser(
        "predict",
        "Tell the class of images, by a network trained with `demo --save` or `train`.\n"
        "The file of the network holds all that is needed: sizes, normalisation, class names.",
    )
    add = parser.add_argument
    add(
        "model",
        type=Path,
        metavar="MODEL",
        help="file written by demo --save or train",
    )
    add(
        "inputs",
        nargs="+",
        metavar="IMAGE",
        help="image files; for a network trained on a table, rows such as 5.1,3.5,1.4,0.2 or CSV "
        "files of rows",
    )
    add("--top", type=number(int, 1), default=1, metavar="N", help="print the N likeliest classes")
    add(
        "--invert",
        choices=("auto", "always", "never"),
        default="auto",
        help="turn grey images into their negative; auto (default): where paper is dark and the "
        "training images' was light, or the other way round",
    )
    add_common_options(parser)
    return parser


def main(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    if args.threads:
        runtime.set_num_threads(args.threads)
    checkpoint = load_checkpoint(args.model)
    table = None
    if not args.json:
        width = min(40, max(5, *(len(text) for text in args.inputs)))
        class_width = max(5, *(len(name) for name in checkpoint.classes))
        table = Table(("input", -width), ("class", -class_width), ("probability", 11), ("", -20))
    results, failures = [], []
    for start in range(0, len(args.inputs), CHUNK):
        samples = []
        for text in args.inputs[start : start + CHUNK]:
            try:
                samples += read(text, checkpoint, args.invert)
            except (DatasetError, OSError) as error:
                reason = "no such file" if isinstance(error, FileNotFoundError) else str(error)
                reason = reason.removeprefix(f"{text}: ")
                failures.append({"input": text, "reason": reason})
                complain("predict", f"{text}: {reason}")
            except ImportError as error:
                raise CliError(str(error)) from None
        if samples:
            found = classify(checkpoint, samples, args.top)
            results += found
            for result in found if table else ():
                show(table, result)
    if args.json:
        report = {"model": str(args.model), "predictions": results, "failed": failures}
        print(json.dumps(report, indent=2))
    return 1 if failures else 0


def read(text: str, checkpoint: Checkpoint, invert: str) -> list[tuple[str, np.ndarray, str]]:
    """Return the samples an argument stands for: name, raw sample, remark."""
    prepare = checkpoint.preparation
    if prepare.size is None:
        return read_rows(text, checkpoint)
    if prepare.channels == 3:
        image = read_image(text, prepare.size, channels=3).astype(np.float32) / 255
        return [(text, image * np.float32(prepare.white), "")]
    image = read_image(text, channels=1).astype(np.float32) / 255
    longest = max(image.shape)
    if longest > LONGEST:
        height, width = image.shape
        image = resize_image(
            image, (max(1, height * LONGEST // longest), max(1, width * LONGEST // longest))
        )
    rim = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]]).mean()
    negative = invert == "always" or (invert == "auto" and abs(rim - prepare.background) > 0.5)
    if negative:
        image = 1 - image
    framed = prepare.framed(image)
    remarks = [
        text
        for text, holds in (("as a negative", negative), ("cut out", framed is not image))
        if holds
    ]
    image = resize_image(framed, prepare.size)
    # From here on it is a raw sample as the training set's were: its white is theirs.
    return [(text, image * np.float32(prepare.white), ", ".join(remarks))]


def read_rows(text: str, checkpoint: Checkpoint) -> list[tuple[str, np.ndarray, str]]:
    """Return the rows of a CSV file, or the row that the argument itself is."""
    columns = checkpoint.preparation.channels
    path = Path(text)
    if not path.is_file():
        return [(text, _row(text, columns, checkpoint), "")]
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    rows = []
    for line_number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            rows.append((f"{text}:{line_number}", _row(line, columns, checkpoint), ""))
        except DatasetError as error:
            if line_number > 1:  # a first line that is not numbers is a heading
                raise DatasetError(f"{text}, line {line_number}: {error}") from None
    if not rows:
        raise DatasetError(f"{text}: holds no rows")
    return rows


def _row(text: str, columns: int, checkpoint: Checkpoint) -> np.ndarray:
    try:
        values = np.array([float(part) for part in text.split(",")], np.float64)
    except ValueError:
        values = None
    if values is None or len(values) != columns or not np.isfinite(values).all():
        names = ", ".join(checkpoint.preparation.features) or "as in the training data"
        raise DatasetError(
            f"expected {columns} numbers with commas between them ({names}), or a CSV file of such "
            f"rows, not {text[:60]!r}"
        )
    return values


def classify(checkpoint: Checkpoint, samples, top: int) -> list[dict]:
    """Return for each sample its class, probability, and the `top` likeliest classes."""
    raw = np.stack([sample for _, sample, _ in samples])
    logits = fastdl.from_numpy(predict(checkpoint.model, checkpoint.preparation(raw)))
    probabilities = fastdl.softmax(logits, 1).numpy()
    results = []
    for (name, _, remark), row in zip(samples, probabilities):
        best = np.argsort(-row, kind="stable")[:top]
        ranking = [
            {"class": checkpoint.classes[k], "probability": round(float(row[k]), 6)} for k in best
        ]
        results.append({"input": name, **ranking[0], "top": ranking, "remark": remark})
    return results


def show(table: Table, result: dict) -> None:
    name = result["input"]
    if len(name) > 40:
        name = "..." + name[-37:]
    for index, entry in enumerate(result["top"]):
        bar = "#" * round(20 * entry["probability"])
        if index == 0 and result["remark"]:
            bar = f"{bar:<20}  ({result['remark']})"
        table.row(
            name if index == 0 else "", entry["class"], f"{100 * entry['probability']:.1f} %", bar
        )
