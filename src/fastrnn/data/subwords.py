"""Subword units: the vocabulary of unit "bpe", byte pair encoding."""

import codecs
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..validate import positive_int
from .files import instead
from .vocabulary import Vocabulary, octets

SIZE = 1000  # of a vocabulary, where it is not given
# characters that are given to the library at a time, up to a line end before something that is no
# white space: no token goes across it
PIECE = 1 << 18
CUT = re.compile(r"\n(?=\S)")


def _alphabet() -> list[str]:
    """The character that stands for each byte in a symbol, as the tokenizers of GPT-2 write them:
    itself if it can be seen, else one of those from U+0100 on."""
    seen = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte) if byte in seen else chr(next(others)) for byte in range(256)]


ALPHABET = _alphabet()
BYTES = {character: byte for byte, character in enumerate(ALPHABET)}


class Subwords(Vocabulary):
    """Tokens of byte pair encoding: single bytes, and what the most frequent pairs were merged to.

    It reads any text: all 256 bytes are among the symbols. `Corpus.from_text` and
    `Corpus.from_file` make it with unit "bpe".

    Parameters
    ----------
    symbols : sequence of str
        K distinct tokens. In each a character stands for a byte, as in the vocabulary of GPT-2: a
        blank is "Ġ", a line feed "Ċ".
    merges : sequence of str
        The pairs of tokens that are merged, the first first, with a blank between the two.

    Raises
    ------
    ValueError
        Symbols that are no such tokens, are given twice or lack a byte, or a merge of other ones.

    References
    ----------
    Sennrich, Haddow and Birch 2016; on bytes: Radford et al. 2019.
    """

    def __init__(self, symbols: Sequence[str], merges: Sequence[str]) -> None:
        self.unit, self.split, self.lower, self.unknown = "bpe", "blank", False, None
        self.start = self.stop = None
        for symbol in symbols:
            if not isinstance(symbol, str) or not symbol or not BYTES.keys() >= {*symbol}:
                raise ValueError(f"symbol {symbol!r} is no token of bytes")
        self.symbols, self.merges = tuple(symbols), tuple(merges)
        self._ids = {symbol: i for i, symbol in enumerate(self.symbols)}
        if len(self._ids) < len(self.symbols) or not self._ids.keys() >= BYTES.keys():
            raise ValueError("the symbols must be distinct tokens, all 256 bytes among them")
        self._pairs = [tuple(merge.split(" ")) if isinstance(merge, str) else ()
                       for merge in self.merges]
        for pair in self._pairs:
            if len(pair) != 2 or not self._ids.keys() >= {*pair, "".join(pair)}:
                raise ValueError(f"merge {' '.join(pair)!r} is not of two symbols to a third")
        self._bytes = [bytes(BYTES[c] for c in symbol) for symbol in symbols]
        self.dtype = np.min_scalar_type(len(self.symbols) - 1)
        self._tokenizer: Any = None  # made when a text is first encoded

    @classmethod
    def learned(cls, text: str, size: int | None = None) -> "Subwords":
        """The vocabulary of a text, of at most `size` tokens, by default 1,000.

        Raises
        ------
        ValueError, TypeError
            A size below 257, or a text that is no str or has a lone surrogate.
        ImportError
            The library tokenizers is not installed.
        """
        size = positive_int("vocabulary_size", SIZE if size is None else size)
        if size <= 256:
            raise ValueError(f"vocabulary_size is {size} and must be at least 257: 256 bytes, and "
                             "what pairs of them are merged to")
        pieces = list(_pieces(text))
        library = _library()
        tokenizer = _tokenizer(library.models.BPE())
        trainer = library.trainers.BpeTrainer(
            vocab_size=size, min_frequency=2, initial_alphabet=ALPHABET, show_progress=False)
        tokenizer.train_from_iterator(pieces, trainer)
        model = _described(tokenizer)
        return cls(sorted(model["vocab"], key=model["vocab"].__getitem__), model["merges"])

    def encode(self, text: str | bytes) -> NDArray[np.unsignedinteger]:
        """Return the ids of a text, of `dtype`, shape (number of tokens,).

        Raises
        ------
        ValueError, TypeError
            A text that is no str, or has a lone surrogate.
        ImportError
            The library tokenizers is not installed.
        """
        pieces = list(_pieces(text))
        if pieces and self._tokenizer is None:
            self._tokenizer = _tokenizer(_library().models.BPE(vocab=self._ids, merges=self._pairs))
        return np.concatenate([np.empty(0, self.dtype), *(
            np.array(self._tokenizer.encode(piece).ids, self.dtype) for piece in pieces)])

    def missing(self, text: str) -> list[str]:
        return []

    def decode(self, ids: ArrayLike) -> str:
        """Return the text of ids; the inverse of `encode`. Bytes that are no UTF-8 become U+FFFD.

        Raises
        ------
        ValueError, TypeError
            As `Vocabulary.decode`.
        """
        return b"".join([self._bytes[i] for i in self._flat_ids(ids).tolist()]).decode(
            "utf-8", "replace")

    def iterdecode(self, pieces: Iterable[ArrayLike]) -> Iterator[str]:
        """Yield the text of ids that come piece by piece, that of each token once its last
        character is known; joined, they are what `decode` gives for all ids."""
        yield from filter(None, codecs.iterdecode(
            (self._bytes[i] for ids in pieces for i in self._flat_ids(ids).tolist()),
            "utf-8", "replace"))

    @cached_property
    def texts(self) -> list[str]:
        return [token.decode("utf-8", "replace") for token in self._bytes]

    def to_dict(self) -> dict[str, Any]:
        """Return unit, symbols and merges, ready for JSON."""
        return {"unit": "bpe", "symbols": list(self.symbols), "merges": list(self.merges)}

    def with_more(self, symbols: Iterable[str | int]) -> "Vocabulary":
        """This vocabulary: it has all bytes, and so the symbols of every text."""
        return self


def restored(stored: Any) -> Vocabulary:
    """The vocabulary that `to_dict` of a Vocabulary or Subwords described; ValueError for anything
    else."""
    if not isinstance(stored, dict) or stored.get("unit") != "bpe":
        return Vocabulary.from_dict(stored)
    if stored.keys() != {"unit", "symbols", "merges"} or not all(
            isinstance(stored[name], list) for name in ("symbols", "merges")):
        raise ValueError('a stored vocabulary of unit "bpe" must be {"unit": "bpe", "symbols": '
                         'list, "merges": list}')
    return Subwords(stored["symbols"], stored["merges"])


def _pieces(text: str | bytes) -> Iterator[str]:
    """A text in pieces that are encoded one by one."""
    if not isinstance(text, str):
        raise TypeError(f'text for unit "bpe" must be a str, not {type(text).__name__}: '
                        f"{instead(text)}")
    octets(text)  # raises for a lone surrogate
    start = 0
    while cut := CUT.search(text, start + PIECE):
        yield text[start : cut.end()]
        start = cut.end()
    if start < len(text):
        yield text[start:]


def _library() -> Any:
    try:
        return import_module("tokenizers")
    except ImportError:
        raise ImportError('unit "bpe" needs the library tokenizers: pip install '
                          '"fastrnn[bpe]"') from None


def _tokenizer(model: Any) -> Any:
    """A tokenizer of the library: the pieces of GPT-2, bytes, merges."""
    library = _library()
    tokenizer = library.Tokenizer(model)
    tokenizer.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    return tokenizer


def _described(tokenizer: Any) -> dict[str, Any]:
    """The ids and the merges of a tokenizer that was trained."""
    model = json.loads(tokenizer.to_str())["model"]
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    return {"vocab": model["vocab"], "merges": merges}
