"""Text into tokens: characters, words, and runs of tokens."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

__all__ = ["characters", "get_tokenizer", "ngrams_iterator", "words"]

_WORD = re.compile(r"\w+(?:['\u2019]\w+)*|[^\w\s]")
_SPACED = re.compile(r"[.,()!?']")
_DROPPED = re.compile(r"<br />|[;:]")


def characters(text: str) -> list[str]:
    """Every character a token.

    >>> from fastdl.text import characters
    >>> characters("a b")
    ['a', ' ', 'b']
    """
    return list(text)


def words(text: str, lower: bool = True) -> list[str]:
    """Words, with apostrophes inside them, and punctuation marks, each for itself.

    >>> from fastdl.text import words
    >>> words("Don't panic: it's 42.")
    ["don't", 'panic', ':', "it's", '42', '.']
    """
    return _WORD.findall(text.lower() if lower else text)


def _basic_english(text: str) -> list[str]:
    text = _DROPPED.sub(" ", text.lower().replace('"', ""))
    return _SPACED.sub(lambda mark: f" {mark[0]} ", text).split()


def get_tokenizer(tokenizer: str | Callable | None) -> Callable[[str], list[str]]:
    """A function from a text to its tokens.

    Args:
        tokenizer: "basic_english", torchtext's: lower case, marks . , ( ) ! ? ' apart, quotation
            marks, colons and semicolons left out; "words" and "characters", the functions of this
            module; None splits at blanks; a function is returned as it is.

    Raises:
        ValueError: another name.
    """
    if tokenizer is None:
        return str.split
    if callable(tokenizer):
        return tokenizer
    known = {"basic_english": _basic_english, "words": words, "characters": characters}
    if tokenizer not in known:
        raise ValueError(
            f"get_tokenizer: expected one of {', '.join(map(repr, known))}, a function or None, "
            f"but got {tokenizer!r}"
        )
    return known[tokenizer]


def ngrams_iterator(token_list: Iterable[str], ngrams: int) -> Iterator[str]:
    """The tokens, then all runs of 2 to `ngrams` of them joined by blanks.

    >>> from fastdl.text import ngrams_iterator
    >>> list(ngrams_iterator(["a", "b", "c"], 2))
    ['a', 'b', 'c', 'a b', 'b c']
    """
    tokens = list(token_list)
    yield from tokens
    for n in range(2, ngrams + 1):
        for i in range(len(tokens) - n + 1):
            yield " ".join(tokens[i : i + n])
