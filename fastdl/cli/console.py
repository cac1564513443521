"""What the commands share of talking to a person: arguments, errors, tables, the progress bar."""

import argparse
import os
import sys
import time
from pathlib import Path


class CliError(Exception):
    """Something that ends a command with one line on stderr and an exit status."""

    def __init__(self, message: str, status: int = 1):
        super().__init__(message)
        self.status = status


class UsageError(CliError):
    """A bad argument: exit status 2."""

    def __init__(self, message: str):
        super().__init__(message, status=2)


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that says what is wrong in one line, without a page of usage."""

    def __init__(self, command: str, description: str, **options):
        super().__init__(
            prog=f"python -m fastdl {command}",
            description=description,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            **options,
        )

    def error(self, message: str):
        raise UsageError(f"{message} (--help lists the options)")


def add_common_options(parser: Parser) -> None:
    """Add --threads and --json to a command."""
    parser.add_argument(
        "--threads",
        type=number(int, 1, 1024),
        metavar="N",
        help="threads of fastdl; default: as many as this process may use",
    )
    parser.add_argument(
        "--json", action="store_true", help="print the results as JSON instead of text"
    )


def number(kind, least, most=None, open_below=False):
    """Return an argument type: an int or float of at least `least` (more, if `open_below`)."""
    name = "a whole number" if kind is int else "a number"
    limits = f"above {least}" if open_below else f"from {least}"
    limits += "" if most is None else f" to {most}"

    def parse(text: str):
        try:
            value = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected {name}, not {text!r}") from None
        low = value <= least if open_below else value < least
        # A NaN is neither low nor high: the comparison is written so that it fails.
        if low or not value < float("inf") or (most is not None and value > most):
            raise argparse.ArgumentTypeError(f"expected {name} {limits}, not {text}")
        return value

    return parse


def output_file(*suffixes: str):
    """Return an argument type: a path that can be written, with one of the suffixes."""

    def parse(text: str) -> Path:
        path = Path(text)
        if path.suffix.lower() not in suffixes:
            wanted = " or ".join(suffixes)
            raise argparse.ArgumentTypeError(f"expected a file {wanted}, not {text!r}")
        if path.is_dir():
            raise argparse.ArgumentTypeError(f"{text} is a folder")
        if not path.parent.is_dir():
            raise argparse.ArgumentTypeError(f"there is no folder {path.parent}")
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise argparse.ArgumentTypeError(f"{text} cannot be written")
        return path

    return parse


def complain(command: str, message: str) -> None:
    """Print one line on stderr, as for a file that is left out."""
    print(f"fastdl {command}: {message}", file=sys.stderr)


def bold(text: str) -> str:
    return _styled(text, "1")


def dim(text: str) -> str:
    return _styled(text, "2")


def _styled(text: str, code: str) -> str:
    plain = not sys.stdout.isatty() or "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb"
    return text if plain else f"\033[{code}m{text}\033[0m"


class Table:
    """A table printed row by row as the rows come to be.

    Args:
        columns: pairs (title, width); a negative width aligns to the left.
    """

    def __init__(self, *columns: tuple[str, int]):
        self.widths = [width for _, width in columns]
        print(bold(self._line([title for title, _ in columns])))
        print(dim(self._line(["-" * abs(width) for width in self.widths])))

    def row(self, *cells: str) -> None:
        print(self._line(cells), flush=True)

    def _line(self, cells) -> str:
        parts = [f"{c:<{-w}}" if w < 0 else f"{c:>{w}}" for c, w in zip(cells, self.widths)]
        return ("  " + "  ".join(parts)).rstrip()


def progress(items, total: int, label: str):
    """Yield the items, with a progress bar on stderr: tqdm's if installed, else a plain one.

    Nothing is shown where stderr is not a terminal. The bar is wiped when the generator is closed.
    """
    if not sys.stderr.isatty():
        yield from items
        return
    try:
        from tqdm import tqdm
    except ImportError:
        bar = _PlainBar(total, label)
    else:
        bar = tqdm(total=total, desc=label, leave=False, unit="batch", ncols=78)
    with bar:
        for item in items:
            yield item
            bar.update()


class _PlainBar:
    """The part of tqdm's interface that `progress` uses."""

    def __init__(self, total: int, label: str):
        self.total, self.label, self.done, self.shown = total, label, 0, 0.0

    def __enter__(self):
        return self

    def update(self) -> None:
        self.done += 1
        now = time.monotonic()
        if now - self.shown > 0.1:  # often enough for the eye, too rarely to cost anything
            self.shown = now
            filled = 40 * self.done // self.total
            bar = "#" * filled + "." * (40 - filled)
            sys.stderr.write(f"\r{self.label} [{bar}] {self.done}/{self.total}")
            sys.stderr.flush()

    def __exit__(self, *error) -> None:
        sys.stderr.write("\r\033[K")
        sys.stderr.flush()
