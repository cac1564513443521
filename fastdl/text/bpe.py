"""Byte-level byte pair encoding, as in GPT-2: trained, applied, and read from its files.

Sennrich, Haddow and Birch 2016; Radford et al. 2019 for bytes in place of characters. A text is
cut into words with the blank before them; the bytes of a word are joined pair by pair, the pair
that was learnt first before the others, until no learnt pair is left. Tokens are written with a
printable character for every byte, which is what ``vocab.json`` and ``merges.txt`` hold.
"""

from __future__ import annotations

import heapq
import json
import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

__all__ = ["ByteLevelBPE"]


def _byte_characters() -> list[str]:
    """A printable character for every byte: itself where it is one, else those from 256 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(b) if b in printable else chr(next(others)) for b in range(256)]


_CHARACTERS = _byte_characters()
_REMEMBERED = 1 << 16  # words whose tokens are kept
_BYTES = {character: byte for byte, character in enumerate(_CHARACTERS)}


class _Kinds(dict):
    """For `str.translate`: every character as itself where the pattern below names it, else as
    one that stands for its kind: L letter, N number, tab blank, P other."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        if character in " 'stmdrevl":
            kind = character
        elif character.isspace() and not "\x1c" <= character <= "\x1f":
            kind = "\t"
        else:
            kind = unicodedata.category(character)[0]
            kind = kind if kind in "LN" else "P"
        self[code] = kind
        return kind


_KINDS = _Kinds()
# contractions; letters, numbers or other marks with a blank before them; blanks but for the last
# one before a word; blanks
_WORDS = re.compile(r"'(?:s|t|re|ve|m|ll|d)| ?[Lstmdrevl]+| ?N+| ?[P']+|[\t ]+(?![^\t ])|[\t ]+")


def _split(text: str) -> list[str]:
    """The words of a text, with the blank before them; joined they are the text."""
    return [text[m.start() : m.end()] for m in _WORDS.finditer(text.translate(_KINDS))]


def _written(word: str) -> str:
    """The word's bytes in UTF-8, each as its character."""
    return "".join(_CHARACTERS[b] for b in word.encode())


class ByteLevelBPE:
    """A tokeniser with GPT-2's rules; every text has tokens, and decoding gives it back.

    Args:
        vocab: tokens, written with a character for every byte, and their numbers.
        merges: pairs of tokens that become one, the first learnt first.
        special_tokens: found in a text before all else, and never cut; with numbers in `vocab`, or
            with the next ones free.
        backend: what cuts texts into tokens: "python", or the tokenizers package, "tokenizers",
            which gives the same tokens faster.

    Raises:
        ValueError: a merge whose result has no number, another backend, or one for "tokenizers",
            which would drop them, where bytes have no number.
        ImportError: the tokenizers package is wanted and not installed.

    >>> from fastdl.text import ByteLevelBPE
    >>> bpe = ByteLevelBPE.train(["low lower lowest", "new newer"], vocab_size=262)
    >>> bpe.tokenize("lower news")
    ['lo', 'wer', 'Ġ', 'ne', 'w', 's']
    >>> bpe.decode(bpe.encode("lower news"))
    'lower news'
    """

    def __init__(
        self,
        vocab: Mapping[str, int],
        merges: Iterable[tuple[str, str]],
        special_tokens: Sequence[str] = (),
        backend: str = "python",
    ) -> None:
        self.vocab = dict(vocab)
        self.merges = [tuple(pair) for pair in merges]
        for first, second in self.merges:
            if first + second not in self.vocab:
                raise ValueError(f"ByteLevelBPE: {first + second!r} is merged but has no number")
        self.special_tokens = list(special_tokens)
        for token in self.special_tokens:
            self.vocab.setdefault(token, max(self.vocab.values(), default=-1) + 1)
        self._ranks = {pair: i for i, pair in enumerate(self.merges)}
        self._tokens = {number: token for token, number in self.vocab.items()}
        longest_first = sorted(self.special_tokens, key=len, reverse=True)
        self._special = re.compile(f"({'|'.join(map(re.escape, longest_first))})")
        self._pieces: dict[str, list[str]] = {}  # the tokens of words that were met
        if backend not in ("python", "tokenizers"):
            raise ValueError(
                f"ByteLevelBPE: backend must be 'python' or 'tokenizers', but got {backend!r}"
            )
        self.backend = backend
        self._other = self._made_by_tokenizers() if backend == "tokenizers" else None

    def _made_by_tokenizers(self):
        """The same tokeniser as an object of the tokenizers package."""
        try:
            import tokenizers
        except ImportError:
            raise ImportError(
                "ByteLevelBPE: backend='tokenizers' needs the tokenizers package: "
                "pip install tokenizers; backend='python' gives the same tokens without it"
            ) from None
        missing = len(set(_CHARACTERS) - self.vocab.keys())
        if missing:
            raise ValueError(
                f"ByteLevelBPE: backend='tokenizers' needs a number for every byte, but {missing} "
                "have none"
            )
        other = tokenizers.Tokenizer(tokenizers.models.BPE(self.vocab, self.merges))
        other.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
        other.add_special_tokens(
            [tokenizers.AddedToken(t, special=True, normalized=False) for t in self.special_tokens]
        )
        return other

    def __len__(self) -> int:
        return len(self.vocab)

    def _word(self, word: str) -> list[str]:
        """The tokens of a word."""
        pieces = self._pieces.get(word)
        if pieces is None:
            if len(self._pieces) >= _REMEMBERED:
                self._pieces.clear()
            pieces = self._pieces[word] = self._merged(_written(word))
        return pieces

    def _merged(self, characters: str) -> list[str]:
        pieces = list(characters)
        unknown = len(self._ranks)
        while len(pieces) > 1:
            ranks = [self._ranks.get(pair, unknown) for pair in pairwise(pieces)]
            rank = min(ranks)
            if rank == unknown:
                break
            joined, i = [], 0
            while i < len(pieces):
                width = 2 if i < len(ranks) and ranks[i] == rank else 1
                joined.append("".join(pieces[i : i + width]))
                i += width
            pieces = joined
        return pieces

    def tokenize(self, text: str) -> list[str]:
        """The tokens of a text, written with a character for every byte."""
        if self._other is not None:
            return self._other.encode(text, add_special_tokens=False).tokens
        parts = self._special.split(text) if self.special_tokens else [text]
        tokens = []
        for i, part in enumerate(parts):
            if i % 2:
                tokens.append(part)
            else:
                for word in _split(part):
                    tokens += self._word(word)
        return tokens

    def encode(self, text: str) -> list[int]:
        """The numbers of a text's tokens.

        Raises:
            KeyError: a byte has no number.
        """
        if self._other is not None:
            return self._other.encode(text, add_special_tokens=False).ids
        return [self.vocab[token] for token in self.tokenize(text)]

    def encode_batch(self, texts: Iterable[str]) -> list[list[int]]:
        """:meth:`encode` of each text; the tokenizers package does so on all cores."""
        if self._other is not None:
            found = self._other.encode_batch(list(texts), add_special_tokens=False)
            return [text.ids for text in found]
        return [self.encode(text) for text in texts]

    def decode(self, ids: Iterable[int], skip_special_tokens: bool = False) -> str:
        """The text of tokens; bytes that are no UTF-8 become U+FFFD.

        Raises:
            KeyError: there is no such token.
        """
        special = set(self.special_tokens)
        data = bytearray()
        for number in ids:
            token = self._tokens[int(number)]
            if token not in special:
                data += bytes(_BYTES[character] for character in token)
            elif not skip_special_tokens:
                data += token.encode()
        return data.decode(errors="replace")

    # ------------------------------------------------------------------------------------- files

    @classmethod
    def from_files(
        cls,
        vocab_file: str | os.PathLike,
        merges_file: str | os.PathLike,
        special_tokens: Sequence[str] = ("<|endoftext|>",),
        backend: str = "python",
    ) -> ByteLevelBPE:
        """Reads ``vocab.json`` and ``merges.txt`` of GPT-2.

        Raises:
            ValueError: a line of `merges_file` is no pair.
        """
        with open(vocab_file, encoding="utf-8") as file:
            vocab = json.load(file)
        merges = []
        with open(merges_file, encoding="utf-8") as file:
            for number, line in enumerate(file.read().split("\n"), 1):
                if not line.strip() or (number == 1 and line.startswith("#version")):
                    continue
                pair = tuple(line.split(" "))
                if len(pair) != 2:
                    raise ValueError(f"{os.fspath(merges_file)}, line {number}: {line!r}")
                merges.append(pair)
        return cls(vocab, merges, special_tokens, backend)

    def save(self, folder: str | os.PathLike) -> None:
        """Writes ``vocab.json`` and ``merges.txt`` into a folder, as GPT-2 has them."""
        with open(os.path.join(folder, "vocab.json"), "w", encoding="utf-8") as file:
            json.dump(self.vocab, file, ensure_ascii=False)
        lines = ["#version: 0.2", *(" ".join(pair) for pair in self.merges)]
        with open(os.path.join(folder, "merges.txt"), "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")

    # ---------------------------------------------------------------------------------- training

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        vocab_size: int,
        min_frequency: int = 1,
        special_tokens: Sequence[str] = (),
        backend: str = "python",
    ) -> ByteLevelBPE:
        """Learns merges: the most frequent pair of neighbours in all words becomes a token, again
        and again; of equally frequent pairs the one with the smaller numbers.

        Special tokens have the first numbers, the 256 bytes the next, in their characters' order.

        Args:
            texts: what to learn from.
            vocab_size: how many tokens there are at most.
            min_frequency: pairs that occur less often are not merged.
            special_tokens: never cut; left out of the texts.
            backend: what cuts texts afterwards.

        Raises:
            ValueError: `vocab_size` has no room for bytes and special tokens.
        """
        special_tokens = list(special_tokens)
        tokens = [*special_tokens, *sorted(_CHARACTERS)]
        if vocab_size < len(tokens):
            raise ValueError(
                f"ByteLevelBPE.train: vocab_size={vocab_size} has no room for 256 bytes and "
                f"{len(special_tokens)} special tokens"
            )
        cuts = cls({}, (), special_tokens)._special
        counts: Counter[str] = Counter()
        for text in texts:
            for part in cuts.split(text)[::2] if special_tokens else [text]:
                counts.update(_split(part))
        merges = _learnt(counts, tokens, vocab_size, min_frequency)
        return cls({t: i for i, t in enumerate(tokens)}, merges, special_tokens, backend)


def _learnt(counts, tokens, vocab_size, min_frequency):
    """The merges; adds their results to `tokens`.

    Only words with the merged pair are gone through again. A heap holds what pairs counted when
    they last changed; an entry that is out of date is put back with the present count.
    """
    numbers = {token: i for i, token in enumerate(tokens)}
    words = [[numbers[character] for character in _written(word)] for word in counts]
    weights = list(counts.values())
    frequency: Counter[tuple[int, int]] = Counter()
    where = defaultdict(set)
    for i, word in enumerate(words):
        for pair in pairwise(word):
            frequency[pair] += weights[i]
            where[pair].add(i)
    heap = [(-n, pair) for pair, n in frequency.items()]
    heapq.heapify(heap)
    merges = []
    while heap and len(tokens) < vocab_size:
        n, pair = heapq.heappop(heap)
        if -n != frequency[pair]:
            if frequency[pair] > 0:
                heapq.heappush(heap, (-frequency[pair], pair))
            continue
        if -n < max(min_frequency, 1):
            break
        joined = tokens[pair[0]] + tokens[pair[1]]
        merges.append((tokens[pair[0]], tokens[pair[1]]))
        if joined not in numbers:
            numbers[joined] = len(tokens)
            tokens.append(joined)
        changed = set()
        for i in where.pop(pair):
            for old in pairwise(words[i]):
                frequency[old] -= weights[i]
            words[i] = _with_pair_joined(words[i], pair, numbers[joined])
            for new in pairwise(words[i]):
                frequency[new] += weights[i]
                if numbers[joined] in new:
                    where[new].add(i)
                    changed.add(new)
        for new in changed:
            heapq.heappush(heap, (-frequency[new], new))
    return merges


def _with_pair_joined(word, pair, number):
    result, i = [], 0
    while i < len(word):
        if i + 1 < len(word) and (word[i], word[i + 1]) == pair:
            result.append(number)
            i += 2
        else:
            result.append(word[i])
            i += 1
    return result
