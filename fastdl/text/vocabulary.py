"""Vocabularies: tokens and their numbers, under torchtext's names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = ["Vocab", "build_vocab_from_iterator", "vocab"]


def frequent_words(sentences: Iterable[Iterable[str]], min_count: int) -> list[tuple[str, int]]:
    """The words that occur at least `min_count` times, with how often, most frequent first."""
    counts = Counter(word for sentence in sentences for word in sentence)
    known = [(word, n) for word, n in counts.items() if n >= min_count]
    return sorted(known, key=lambda pair: -pair[1])


class Vocab:
    """Tokens numbered from 0.

    Args:
        tokens: in the order of their numbers.
        default_index: the number of tokens that are not in the vocabulary; None refuses them.

    Raises:
        ValueError: a token occurs twice.

    >>> from fastdl.text import Vocab
    >>> v = Vocab(["<unk>", "a", "b"], default_index=0)
    >>> v(["b", "c"]), v.lookup_tokens([1, 2])
    ([2, 0], ['a', 'b'])
    """

    def __init__(self, tokens: Iterable[str], default_index: int | None = None) -> None:
        self._tokens = list(tokens)
        self._numbers = {token: i for i, token in enumerate(self._tokens)}
        if len(self._numbers) != len(self._tokens):
            ((token, _),) = Counter(self._tokens).most_common(1)
            raise ValueError(f"Vocab: the token {token!r} occurs more than once")
        self._default = default_index

    def __len__(self) -> int:
        return len(self._tokens)

    def __contains__(self, token: str) -> bool:
        return token in self._numbers

    def __iter__(self) -> Iterator[str]:
        return iter(self._tokens)

    def __getitem__(self, token: str) -> int:
        """The token's number, or the default's.

        Raises:
            RuntimeError: it is not in the vocabulary and there is no default.
        """
        number = self._numbers.get(token, self._default)
        if number is None:
            raise RuntimeError(
                f"Token {token} not found and default index is not set: see set_default_index"
            )
        return number

    def __call__(self, tokens: Iterable[str]) -> list[int]:
        return [self[token] for token in tokens]

    forward = lookup_indices = __call__

    def set_default_index(self, index: int | None) -> None:
        """Sets the number of tokens that are not in the vocabulary; None refuses them."""
        self._default = index

    def get_default_index(self) -> int | None:
        """The number of tokens that are not in the vocabulary, or None."""
        return self._default

    def lookup_token(self, index: int) -> str:
        """The token with this number.

        Raises:
            RuntimeError: there is none.
        """
        if not 0 <= index < len(self._tokens):
            raise RuntimeError(
                f"Specified index {index} is out of bounds for vocab of size {len(self)}"
            )
        return self._tokens[index]

    def lookup_tokens(self, indices: Iterable[int]) -> list[str]:
        """The tokens with these numbers."""
        return [self.lookup_token(int(i)) for i in indices]

    def append_token(self, token: str) -> None:
        """Adds a token at the end."""
        self.insert_token(token, len(self))

    def insert_token(self, token: str, index: int) -> None:
        """Adds a token at this number; the numbers of those behind it grow by one.

        Raises:
            RuntimeError: the token is there already, or the index lies outside [0, len].
        """
        if token in self._numbers:
            raise RuntimeError(f"Token {token} already exists in the Vocab")
        if not 0 <= index <= len(self):
            raise RuntimeError(
                f"Specified index {index} is out of bounds for vocab of size {len(self)}"
            )
        self._tokens.insert(index, token)
        self._numbers = {token: i for i, token in enumerate(self._tokens)}

    def get_itos(self) -> list[str]:
        """The tokens in the order of their numbers."""
        return list(self._tokens)

    def get_stoi(self) -> dict[str, int]:
        """The tokens' numbers."""
        return dict(self._numbers)

    def __repr__(self) -> str:
        return f"Vocab({len(self)} tokens)"


def vocab(
    ordered_dict: Mapping[str, int],
    min_freq: int = 1,
    specials: Sequence[str] | None = None,
    special_first: bool = True,
) -> Vocab:
    """A vocabulary of the tokens that occur `min_freq` times or more, in the mapping's order.

    Args:
        ordered_dict: how often each token occurs.
        min_freq: tokens with a smaller count are left out.
        specials: tokens that are in it anyhow.
        special_first: whether they come first rather than last.
    """
    specials = list(specials or ())
    special = set(specials)
    tokens = [t for t, n in ordered_dict.items() if n >= min_freq and t not in special]
    return Vocab(specials + tokens if special_first else tokens + specials)


def build_vocab_from_iterator(
    iterator: Iterable[Iterable[str]],
    min_freq: int = 1,
    specials: Sequence[str] | None = None,
    special_first: bool = True,
    max_tokens: int | None = None,
) -> Vocab:
    """A vocabulary of tokenised texts: the frequent tokens first, equally frequent ones by name.

    Args:
        iterator: lists of tokens.
        min_freq, specials, special_first: as in :func:`vocab`.
        max_tokens: the largest size, specials included.

    Raises:
        ValueError: `max_tokens` leaves no room besides the specials.

    >>> from fastdl.text import build_vocab_from_iterator
    >>> v = build_vocab_from_iterator([["b", "a", "b"], ["c"]], specials=["<unk>"])
    >>> v.get_itos()
    ['<unk>', 'b', 'a', 'c']
    """
    counts = Counter(token for tokens in iterator for token in tokens)
    specials = list(specials or ())
    for token in specials:
        counts.pop(token, None)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    if max_tokens is not None:
        if len(specials) >= max_tokens:
            raise ValueError("len(specials) >= max_tokens, so the vocab will be entirely specials")
        ordered = ordered[: max_tokens - len(specials)]
    return vocab(dict(ordered), min_freq, specials, special_first)
