"""Language models of the command line: their tokens, and their files."""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

from fastdl import nn
from fastdl.cli.checkpoint import build_network, read_network, write_network
from fastdl.text import ByteLevelBPE

END, UNKNOWN = 0, 1  # of characters: the end of a document, and one that was too rare to be learnt
RARE = 3  # characters that occur less often are unknown


# ---- tokens


class Characters:
    """Every character a token; END and UNKNOWN before them."""

    kind, unit, end = "characters", "character", END

    def __init__(self, characters: str):
        self.characters = characters
        self._numbers = {c: i for i, c in enumerate(characters, 2)}

    @classmethod
    def of(cls, documents: list[str]) -> "Characters":
        counts = Counter(c for text in documents for c in text)
        return cls("".join(sorted(c for c, n in counts.items() if n >= RARE)))

    def __len__(self) -> int:
        return len(self.characters) + 2

    def encode(self, text: str) -> list[int]:
        return [self._numbers.get(c, UNKNOWN) for c in text]

    def decode(self, ids) -> str:
        return "".join(self.characters[i - 2] if i > 1 else "\ufffd" for i in ids if i != END)

    def unknown(self, text: str) -> str:
        """The characters of a text that are not known, each once."""
        return "".join(sorted({c for c in text if c not in self._numbers}))

    def describe(self) -> str:
        return f"{len(self.characters)} characters"

    def to_dict(self) -> dict:
        return {"kind": self.kind, "characters": self.characters}


class BytePairs:
    """Byte pairs, the end of a document before them."""

    kind, unit, end = "bpe", "token", END
    MARK = "<|endoftext|>"

    def __init__(self, bpe: ByteLevelBPE):
        self.bpe = bpe

    @classmethod
    def of(cls, documents: list[str], size: int) -> "BytePairs":
        return cls(ByteLevelBPE.train(documents, size, special_tokens=[cls.MARK]))

    def __len__(self) -> int:
        return len(self.bpe)

    def encode(self, text: str) -> list[int]:
        return self.bpe.encode(text.replace(self.MARK, ""))

    def decode(self, ids) -> str:
        return self.bpe.decode(ids, skip_special_tokens=True)

    def unknown(self, text: str) -> str:
        return ""

    def describe(self) -> str:
        return f"{len(self.bpe)} byte pairs"

    def to_dict(self) -> dict:
        return {
            "kind": self.kind,
            "vocabulary": sorted(self.bpe.vocab, key=self.bpe.vocab.get),
            "merges": [list(pair) for pair in self.bpe.merges],
        }


def tokens_from(entry: dict) -> Characters | BytePairs:
    """What `to_dict` described.

    Raises:
        KeyError, TypeError, ValueError: it describes no tokens.
    """
    if entry["kind"] == Characters.kind:
        return Characters(entry["characters"])
    if entry["kind"] != BytePairs.kind:
        raise ValueError(f"unknown tokens {entry['kind']!r}")
    vocabulary = {token: i for i, token in enumerate(entry["vocabulary"])}
    merges = [(first, second) for first, second in entry["merges"]]
    return BytePairs(ByteLevelBPE(vocabulary, merges, [BytePairs.MARK]))


# ---- files


class LanguageModel(NamedTuple):
    model: nn.Module
    tokens: Characters | BytePairs


def save_language_model(path: Path, model, architecture: dict, tokens, progress: dict) -> None:
    """Write a language model, its sizes and tokens.

    Raises:
        CliError: the file cannot be written.
    """
    entry = {"architecture": architecture, "tokens": tokens.to_dict(), "progress": progress}
    write_network(path, model, entry)


def load_language_model(path: Path) -> LanguageModel:
    """Read what `save_language_model` wrote; the model is in evaluation mode.

    Raises:
        CliError: there is no such file, it is damaged, or it holds no language model.
    """
    writers = "python -m fastdl train on text"
    state, entry = read_network(path, "generate", writers, "tokens")

    def check(model, entry):
        tokens = tokens_from(entry["tokens"])
        if len(tokens) != entry["architecture"]["vocab_size"]:
            raise ValueError(f"{len(tokens)} tokens for {entry['architecture']['vocab_size']}")
        return tokens

    model, tokens = build_network(path, state, entry, check)
    return LanguageModel(model.eval(), tokens)
