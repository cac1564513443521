"""Text to learn from that every machine with Python has."""

from __future__ import annotations

import ast
import hashlib
import os
import sysconfig
import warnings
from collections.abc import Iterator, Sequence

__all__ = ["split_documents", "standard_library_docstrings"]

_LEFT_OUT = {"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__"}


def _sources(folder: str) -> Iterator[str]:
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _LEFT_OUT)
        yield from (os.path.join(place, name) for name in sorted(files) if name.endswith(".py"))


def standard_library_docstrings(folder: str | os.PathLike | None = None) -> list[str]:
    """The documentation strings of Python's standard library, each once, its tests left out.

    Sources are parsed, not imported. The order is that of the files' names and of the lines.

    Args:
        folder: where to look for ``.py`` files, the running Python's standard library if None.

    Raises:
        FileNotFoundError: there are none.

    >>> import json
    >>> from fastdl.text import standard_library_docstrings
    >>> texts = standard_library_docstrings(json.__path__[0])
    >>> any("JavaScript Object Notation" in text for text in texts)
    True
    """
    folder = os.fspath(folder or sysconfig.get_path("stdlib"))
    found: dict[str, None] = {}
    for path in _sources(folder):
        with open(path, "rb") as file:
            source = file.read()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of escapes in strings, say
                tree = ast.parse(source)
        except (SyntaxError, ValueError):  # written for another version
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node)
                if text:
                    found[text] = None
    if not found:
        raise FileNotFoundError(f"standard_library_docstrings: {folder} has no documented sources")
    return [*found]


def split_documents(documents: Sequence[str], share: float = 0.05) -> tuple[list[str], list[str]]:
    """Texts to learn from, and about this share of them to test with.

    A text's part follows from its SHA-256 alone: the same text is always in the same part,
    whatever stands around it.

    Raises:
        ValueError: `share` is not between 0 and 1.

    >>> from fastdl.text import split_documents
    >>> train, test = split_documents([str(i) for i in range(1000)], 0.1)
    >>> len(train), len(test)
    (894, 106)
    """
    if not 0 < share < 1:
        raise ValueError(f"split_documents: share must lie between 0 and 1, but got {share}")
    parts: tuple[list[str], list[str]] = ([], [])
    for text in documents:
        digest = hashlib.sha256(text.encode(errors="surrogatepass")).digest()
        parts[int.from_bytes(digest[:8]) < share * 2**64].append(text)
    return parts
