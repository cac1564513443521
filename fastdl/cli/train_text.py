"""`python -m fastdl train` on text: a language model, and how n-grams do on the same text."""

import json
import math
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np

import fastdl
from fastdl import nn, runtime
from fastdl.cli.console import CliError, Table, UsageError, bold, complain, dim, number, progress
from fastdl.cli.language import END, BytePairs, Characters, save_language_model
from fastdl.cli.models import LANGUAGE_MODELS, build
from fastdl.cli.training import LR, MOST_ROWS, interrupted, introduce_run
from fastdl.text import (
    GPT2,
    DecoderState,
    NGramModel,
    PadCollate,
    sequence_loss,
    split_documents,
    standard_library_docstrings,
)

TEST_SHARE = 0.05
NOT_COUNTED = -100
PIECE = 256  # tokens of a document that are evaluated at a time

# ---- options

OPTIONS = ("tokens", "vocab_size", "layers", "width", "heads", "context", "dropout", "ngrams")


def add_options(parser) -> None:
    """Add the options of language models to `train`."""
    add = parser.add_argument_group("language models").add_argument
    add(
        "--tokens",
        choices=("characters", "bpe"),
        help="what a text is cut into; default characters",
    )
    add(
        "--vocab-size",
        type=number(int, 257, 1 << 20),
        metavar="N",
        help="number of byte pairs (bpe); default 1024",
    )
    add("--layers", type=number(int, 1, 1000), metavar="N", help="default 1, of gpt 4")
    add(
        "--width",
        type=number(int, 1, 65536),
        metavar="N",
        help="of the states or, of gpt, the blocks; default 384, of gpt 128",
    )
    add("--heads", type=number(int, 1, 1024), metavar="N", help="of gpt's attention; up to 4")
    add(
        "--context",
        type=number(int, 2, 1 << 16),
        metavar="N",
        help="tokens that gradients, and gpt's positions, reach back; default 64, of gpt 128",
    )
    add("--dropout", type=number(float, 0, 0.99), metavar="P", help="probability; default 0")
    add(
        "--ngrams",
        type=_orders,
        metavar="N,N,...",
        help="n-grams with Kneser-Ney smoothing to compare with; default 3,5; 0: none",
    )


def _orders(text: str) -> list[int]:
    orders = [number(int, 0, 20)(part) for part in text.split(",")]
    return [n for n in orders if n]


def is_text(args) -> bool:
    """Whether what `train` is asked for is a language model."""
    if args.model or args.data == "docstrings":
        return args.model in LANGUAGE_MODELS or args.model is None
    path = Path(args.data)
    return path.is_file() and path.suffix != ".npz"


def refuse_options(args) -> None:
    """Raise UsageError for options of language models in the training of another network."""
    for name in OPTIONS:
        if getattr(args, name) is not None:
            raise UsageError(
                f"--{name.replace('_', '-')} is for text: with --model gru, lstm or gpt"
            )


# ---- text


class Corpus(NamedTuple):
    title: str
    train: list[str]  # documents
    test: list[str]


def load_corpus(name: str, model: str) -> Corpus:
    """Read what `--data` names, and keep a part for the test.

    Raises:
        CliError: there is nothing of that name, or too little text.
    """
    path = Path(name)
    if name == "docstrings":
        try:
            documents = standard_library_docstrings()
        except FileNotFoundError as error:
            raise CliError(f"--data docstrings: {error}") from None
        title = "docstrings of Python's standard library"
        corpus = Corpus(title, *split_documents(documents, TEST_SHARE))
    elif not path.exists():
        raise UsageError(
            f"--data: {name!r} is neither 'docstrings' nor a text file or a folder, and --model "
            f"{model} is for text"
        )
    else:
        files = [path]
        if path.is_dir():
            files = sorted(p for p in path.rglob("*") if p.is_file() and p.name[0] != ".")
        texts = [_text(file) for file in files]
        if texts == [None]:
            raise UsageError(f"--data: {name} is neither UTF-8 text nor a folder nor an .npz file")
        left_out = [file for file, text in zip(files, texts) if text is None]
        if left_out:
            what = f"{left_out[0]}" + (f" and {len(left_out) - 1} more" * (len(left_out) > 1))
            complain("train", f"left out as not UTF-8 text: {what}")
        kept = [text for text in texts if text]
        cuts = [_cut(text) for text in kept]
        corpus = Corpus(
            str(path),
            [text[:cut] for text, cut in zip(kept, cuts)],
            [text[cut:] for text, cut in zip(kept, cuts) if text[cut:]],
        )
    if sum(map(len, corpus.train)) < 1000 or not corpus.test:
        raise CliError(f"{name}: too little text to learn from")
    return corpus


def _text(path: Path) -> str | None:
    """The text of a file, None if it is not text in UTF-8."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None
    except OSError as error:
        raise CliError(f"{path}: {error.strerror or error}") from None
    return None if "\0" in text else text


def _cut(text: str) -> int:
    """Where the test part begins: at a line's beginning, if there is one near."""
    cut = math.ceil(len(text) * (1 - TEST_SHARE))
    line = text.find("\n", cut)
    return line + 1 if 0 <= line < cut + 0.2 * (len(text) - cut) else cut


# ---- training


class Settings(NamedTuple):
    epochs: int
    batch_size: int
    lr: float
    seed: int
    context: int


class Epoch(NamedTuple):
    """A row of the table."""

    epoch: int
    loss: float  # mean over the training tokens as they were learned from, in nats
    perplexity: float  # of the test part
    tokens_per_second: float  # training alone, evaluation not counted
    lr: float


def choose_architecture(args, vocab_size: int) -> dict:
    """Return the description of the model to build; see `fastdl.cli.models.build`."""
    model = args.model or "gru"
    dropout = args.dropout or 0.0
    if model != "gpt":
        if args.heads is not None:
            raise UsageError(f"--heads is for --model gpt, not {model}")
        width = args.width or 384
        return {
            "model": model,
            "vocab_size": vocab_size,
            "embedding_size": max(1, min(width, 64 if args.tokens != "bpe" else 256)),
            "hidden_size": width,
            "num_layers": args.layers or 1,
            "dropout": dropout,
        }
    width = args.width or 128
    heads = args.heads or next(n for n in (4, 3, 2, 1) if width % n == 0)
    if width % heads:
        raise UsageError(f"--heads {heads} does not divide --width {width}")
    return {
        "model": model,
        "vocab_size": vocab_size,
        "n_positions": args.context or 128,
        "n_embd": width,
        "n_layer": args.layers or 4,
        "n_head": heads,
        "initializer_range": 0.02 * math.sqrt(768 / width),  # GPT-2's is for its width
        **dict.fromkeys(("embd_pdrop", "attn_pdrop", "resid_pdrop"), dropout),
    }


def stream(documents: list[list[int]]) -> np.ndarray:
    """All documents in a row, END before and after each."""
    return np.array([END, *(i for ids in documents for i in [*ids, END])], np.int64)


def batches(
    documents: list[list[int]], settings: Settings, rng
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield inputs and targets (B, context) of an epoch: each batch continues the one before, row
    by row. The documents come in another order in each epoch."""
    text = stream([documents[i] for i in rng.permutation(len(documents))])
    rows, context = rows_of(len(text), settings), settings.context
    length = (len(text) - 1) // rows
    x, y = (text[at : at + rows * length].reshape(rows, length) for at in (0, 1))
    for start in range(0, length, context):
        yield x[:, start : start + context].copy(), y[:, start : start + context].copy()


def rows_of(length: int, settings: Settings) -> int:
    """How many rows a text makes: fewer than a batch has if they would be shorter than a step."""
    return max(1, min(settings.batch_size, length // settings.context))


def fit(
    model: nn.Module, train: list[list[int]], test: list[list[int]], settings: Settings
) -> Iterator[Epoch]:
    """Train with Adam, the rate falling along half a cosine; yield after each epoch."""
    rng = np.random.default_rng(settings.seed)
    length = sum(len(ids) + 1 for ids in train) + 1
    steps = math.ceil((length - 1) // rows_of(length, settings) / settings.context)
    optimizer = fastdl.optim.Adam(model.parameters(), lr=settings.lr)
    scheduler = fastdl.optim.lr_scheduler.CosineAnnealingLR(
        optimizer, steps * settings.epochs, eta_min=settings.lr / 20
    )
    recurrent = not isinstance(model, GPT2)
    for epoch in range(1, settings.epochs + 1):
        model.train()
        state = DecoderState() if recurrent else None
        total, count = 0.0, 0
        lr = optimizer.param_groups[0]["lr"]
        start = time.perf_counter()
        bar = progress(batches(train, settings, rng), steps, f"  epoch {epoch}")
        with closing(bar):
            for x, y in bar:
                optimizer.zero_grad()
                logits = model(fastdl.from_numpy(x), cache=state)
                loss = sequence_loss(logits, fastdl.from_numpy(y))
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                scheduler.step()
                if recurrent:
                    state.detach()
                total += loss.item() * y.size
                count += y.size
        seconds = time.perf_counter() - start
        if not math.isfinite(total):
            raise CliError(
                f"the loss is no longer a number in epoch {epoch}: try a smaller --lr "
                f"(it is {settings.lr:g})"
            )
        yield Epoch(epoch, total / count, perplexity(model, test), count / seconds, lr)


def perplexity(model: nn.Module, documents: list[list[int]]) -> float:
    """exp of the mean of -log p over the tokens of the documents and their ends, each document read
    from its beginning: what `NGramModel.perplexity` means by it."""
    model.eval()
    documents = sorted(documents, key=len, reverse=True)
    parts = _windows(model, documents) if isinstance(model, GPT2) else _pieces(documents)
    total, state = 0.0, None
    with fastdl.no_grad():
        for x, y, rows in parts:
            if rows is not None:  # recurrent: the states of the first rows go on, None begins
                state = state if rows else DecoderState()
                if rows:
                    state.reorder(np.arange(rows))
            logits = model(fastdl.from_numpy(x), cache=state)
            total += sequence_loss(logits, fastdl.from_numpy(y), reduction="sum").item()
    return math.exp(total / sum(len(ids) + 1 for ids in documents))


def _pieces(documents):
    """Inputs, targets and the number of rows that go on (0: new documents) of documents sorted by
    falling length, piece by piece."""
    for first in range(0, len(documents), 64):
        group = [stream([ids]) for ids in documents[first : first + 64]]
        for start in range(0, len(group[0]) - 1, PIECE):
            going_on = [ids[start : start + PIECE + 1] for ids in group if len(ids) > start + 1]
            yield *_padded(going_on), len(going_on) if start else 0


def _windows(model, documents):
    """The same for a model of so many positions: each window goes on by half of them, and counts
    what the one before did not predict."""
    context = model.config.n_positions
    windows = []
    for ids in (stream([ids]) for ids in documents):
        done = 0
        while done < len(ids) - 1:
            end = min(len(ids) - 1, max(context, done + max(1, context // 2)))
            windows.append((ids[max(0, end - context) : end + 1], end - done))
            done = end
    windows.sort(key=lambda window: len(window[0]))
    for first in range(0, len(windows), 64):
        group = windows[first : first + 64]
        x, y = _padded([ids for ids, _ in group])
        for row, (ids, counted) in zip(y, group):
            row[: len(ids) - 1 - counted] = NOT_COUNTED
        yield x, y, None


def _padded(rows):
    """Inputs and targets of rows of different lengths; behind a row's end nothing is counted."""
    x = PadCollate(END)([ids[:-1] for ids in rows]).numpy()
    return x, PadCollate(NOT_COUNTED)([ids[1:] for ids in rows]).numpy()


def compare(orders: list[int], train: list[list[int]], test: list[list[int]]) -> dict[int, float]:
    """Return the perplexity of the test part by n-grams with Kneser-Ney smoothing, by n."""
    return {n: NGramModel(n).fit(train).perplexity(test) for n in orders}


def train(args) -> int:
    """`python -m fastdl train` on text."""
    for name in ("hidden", "size", "shift", "plot"):
        if getattr(args, name) is not None:
            raise UsageError(f"--{name} is not for text")
    if args.vocab_size and args.tokens != "bpe":
        raise UsageError("--vocab-size is for --tokens bpe")
    corpus = load_corpus(args.data, args.model)
    if args.tokens == "bpe":
        tokens = BytePairs.of(corpus.train, args.vocab_size or 1024)
    else:
        tokens = Characters.of(corpus.train)
    architecture = choose_architecture(args, len(tokens))
    train, test = ([tokens.encode(text) for text in part] for part in corpus[1:])
    count, tested = (sum(len(ids) + 1 for ids in part) for part in (train, test))
    gpt = architecture["model"] == "gpt"
    context = args.context or (128 if gpt else 64)
    settings = Settings(
        args.epochs or min(100, max(2, round(7e6 / count))),
        args.batch_size or (16 if gpt else 32),
        args.lr or (2e-3 if gpt else LR),
        args.seed,
        context,
    )
    fastdl.manual_seed(settings.seed)
    model = build(architecture)
    if not args.json:
        sizes = f"{count:,} {tokens.unit}s to learn from, {tested:,} to test"
        introduce_run(
            [f"{corpus.title}: {sizes}", f"{tokens.describe()}, and one for a document's end"],
            model,
            f"Adam, lr {settings.lr:g} (falling along a cosine), "
            f"batches of {settings.batch_size} x {context} {tokens.unit}s, seed {settings.seed}",
        )
    history = _run(model, architecture, tokens, train, test, settings, args)
    orders = [3, 5] if args.ngrams is None else args.ngrams
    ngrams = compare(orders, train, test)
    last = history[-1]
    rate = float(np.median([row.tokens_per_second for row in history]))
    if args.json:
        result = {
            "perplexity": last.perplexity,
            "ngrams": {str(n): value for n, value in ngrams.items()},
            "tokens_per_second": rate,
            "epochs": [row._asdict() for row in history],
            "settings": settings._asdict(),
            "architecture": architecture,
            "tokens": {"kind": tokens.kind, "train": count, "test": tested},
            "checkpoint": str(args.out),
            "config": runtime.config(),
        }
        print(json.dumps(result, indent=2))
        return 0
    print()
    print(f"  {bold('Perplexity')} of the same {tested:,} {tokens.unit}s, never learned from:")
    rows = [(f"{architecture['model']}, {settings.epochs} epochs", last.perplexity)]
    rows += [(f"{n}-grams, Kneser-Ney smoothing", value) for n, value in ngrams.items()]
    for name, value in rows:
        print(f"    {name:<32}{value:8.3f}  {math.log2(value):6.3f} bits a {tokens.unit}")
    print()
    print(f"  model saved in {args.out} ({args.out.stat().st_size / 1e3:,.0f} kB)")
    print(f'  try: python -m fastdl generate {args.out} --prompt "Return the "')
    print()
    print(
        f"test perplexity {last.perplexity:.3f}"
        + "".join(f", {n}-grams {value:.3f}" for n, value in ngrams.items())
        + f", {rate:.0f} {tokens.unit}s/s"
    )
    return 0


def _run(model, architecture, tokens, train, test, settings, args) -> list[Epoch]:
    """Train, print a table of epochs (unless as JSON), save after each; return the epochs."""
    table = None
    if not args.json:
        unit = f"{tokens.unit}s/s"
        table = Table(("epoch", 5), ("loss", 7), ("test ppl", 9), (unit, max(9, len(unit))))
    stride = math.ceil(settings.epochs / MOST_ROWS)
    history: list[Epoch] = []
    try:
        for row in fit(model, train, test, settings):
            save_language_model(args.out, model, architecture, tokens, row._asdict())
            history.append(row)
            if table is not None and (row.epoch % stride == 0 or row.epoch in (1, settings.epochs)):
                table.row(
                    str(row.epoch),
                    f"{row.loss:.4f}",
                    f"{row.perplexity:.3f}",
                    f"{row.tokens_per_second:,.0f}",
                )
    except KeyboardInterrupt:
        raise CliError(interrupted(len(history), args.out, "--out"), 130) from None
    if table is not None:
        print(dim(f"  loss: of the training text, in nats a {tokens.unit}, as it was learned from"))
        print(dim("  test ppl: perplexity of text never learned from"))
    return history
