"""A trained network in a file, with all that `predict` or `generate` needs to know about it.

The file is a safetensors file with the tensors of the network's `state_dict` under their own names,
and one entry more, named below, of plain numbers and strings.
"""

from pathlib import Path
from typing import NamedTuple

import fastdl
from fastdl import nn
from fastdl.cli.console import CliError, UsageError
from fastdl.cli.models import build
from fastdl.cli.preparation import Preparation
from fastdl.io import CheckpointError

ENTRY = "fastdl.network"
# an entry that only descriptions for this command have, and what these are of
READERS = {
    "classes": ("predict", "a network for images or tables"),
    "tokens": ("generate", "a language model"),
}


class Checkpoint(NamedTuple):
    model: nn.Module
    preparation: Preparation
    classes: tuple[str, ...]


def require_safetensors(option: str) -> None:
    """Raise CliError where the package that writes checkpoints is missing."""
    try:
        import safetensors  # noqa: F401
    except ImportError:
        raise CliError(f"{option} needs safetensors: pip install 'fastdl[demo]'") from None


def write_network(path: Path, model: nn.Module, entry: dict) -> None:
    """Write a network and its description; the file is replaced in one step.

    Raises:
        CliError: the file cannot be written.
    """
    try:
        fastdl.save({**model.state_dict(), ENTRY: entry}, path)
    except OSError as error:
        raise CliError(f"cannot write {path}: {error.strerror or error}") from None


def read_network(path: Path, command: str, writers: str, key: str) -> tuple[dict, dict]:
    """Return the tensors and the description that `write_network` wrote.

    Args:
        command: what reads the file, and `writers`: what writes such files, to be named.
        key: an entry that a description for this command has.

    Raises:
        CliError: there is no such file, it is damaged, or it holds no network for this command.
    """
    try:
        state = fastdl.load(path)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except (CheckpointError, ImportError) as error:
        raise CliError(str(error).removeprefix("load: ")) from None
    except OSError as error:
        raise CliError(f"{path}: {error.strerror or error}") from None
    entry = state.pop(ENTRY, None) if isinstance(state, dict) else None
    if not isinstance(entry, dict):
        raise CliError(
            f"{path}: holds tensors, but does not say of what network; {command} needs a file "
            f"written by {writers}"
        )
    for other, (reader, what) in READERS.items():
        if other in entry and other != key:
            raise CliError(f"{path}: holds {what}: that is for python -m fastdl {reader}")
    return state, entry


def build_network(path: Path, state: dict, entry: dict, check) -> tuple[nn.Module, tuple]:
    """Return the network with its weights, and what `check` makes of it and the description.

    Raises:
        CliError: the description does not fit the tensors.
    """
    try:
        model = build(entry["architecture"])
        model.load_state_dict(state)
        return model, check(model, entry)
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CliError(f"{path}: its description does not fit its tensors ({reason})") from None


def save_checkpoint(
    path: Path,
    model: nn.Module,
    architecture: dict,
    preparation: Preparation,
    classes: tuple[str, ...],
    progress: dict,
) -> None:
    """Write a network and what it was trained for.

    Args:
        architecture: what `fastdl.cli.models.build` makes the network from.
        progress: numbers on how far the training went, for a reader.

    Raises:
        CliError: the file cannot be written.
    """
    entry = {
        "architecture": architecture,
        "preparation": preparation.to_dict(),
        "classes": list(classes),
        "progress": progress,
    }
    write_network(path, model, entry)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read what `save_checkpoint` wrote.

    Raises:
        CliError: there is no such file, it is damaged, or it holds no network of this program.
    """
    writers = "python -m fastdl demo --save or train --out"
    state, entry = read_network(path, "predict", writers, "classes")

    def check(model, entry):
        classes = tuple(str(name) for name in entry["classes"])
        outputs = list(model.parameters())[-1].shape[0]
        if outputs != len(classes):
            raise ValueError(f"{len(classes)} class names for {outputs} outputs")
        return Preparation.from_dict(entry["preparation"]), classes

    model, (preparation, classes) = build_network(path, state, entry, check)
    return Checkpoint(model, preparation, classes)
