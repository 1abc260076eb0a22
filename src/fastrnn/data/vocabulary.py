"""Symbols and their ids."""

import codecs
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..settings import SPLITS, UNITS
from ..validate import choice, positive_int, read_array
from .files import instead

# symbols (for words: characters) encoded at a time, so that temporary arrays stay in the cache
CHUNK = 1 << 16

# split -> (pattern where a text may be cut into pieces, function from a piece to its words)
_LINE_END_OR_BLANK = re.compile(r" |\r\n?|(?<!\r)\n")
_WHITE_SPACE = re.compile(r"\s")
SPLITTERS: dict[str, tuple[re.Pattern[str], Callable[[str], list[str]]]] = {
    "blank": (_LINE_END_OR_BLANK, _LINE_END_OR_BLANK.split),
    "space": (_WHITE_SPACE, str.split),
    "mark": (_WHITE_SPACE, re.compile(r"\w+|[^\w\s]").findall),
}
UNKNOWN = "<unk>"
# default symbols around a record: ASCII's "start of text" and "end of text"
START, STOP = "\x02", "\x03"


class Vocabulary:
    """The distinct symbols of a text; a symbol's id is its index in `symbols`.

    A vocabulary does not change once made. Two are equal if `to_dict` gives the same for both.

    Parameters
    ----------
    symbols : sequence of str or int
        K distinct symbols: single characters for unit "char", words for "word", ints 0..255 for
        "byte".
    unit : {"char", "word", "byte"}
        What one symbol is. "char": a character of a str. "word": see `split`. "byte": a byte of
        the text in UTF-8.
    split : {"blank", "space", "mark"}
        For unit "word". "blank": the text is cut at every blank and every line end, with the empty
        word between two of them (as ``re.split(" |\\n", text)``, the "Language Modeling with
        RNNs" notebook). "space": words lie between runs of white space of any kind, as
        ``text.split()``. "mark": runs of letters, digits and "_", and each other mark by itself.
    lower : bool
        For unit "word": whether the text is lower-cased first.
    unknown : str, optional
        For unit "word": one of the symbols, which replaces every word that is not among them.
    start, stop : str or int, optional
        For records: the symbols before and after each record, both among the symbols and never
        inside a record. They may be the same symbol.

    Attributes
    ----------
    symbols : tuple of str or int
    unit, split, lower, unknown, start, stop
    dtype : numpy.dtype
        The smallest unsigned integer type that holds every id 0..K-1.

    Raises
    ------
    ValueError
        An unknown unit, no symbols, a symbol twice, or one that is not a symbol of the unit.
    """

    def __init__(
        self, symbols: Sequence[str] | Sequence[int], unit: str = "char", *, split: str = "blank",
        lower: bool = True, unknown: str | None = None, start: str | int | None = None,
        stop: str | int | None = None,
    ) -> None:
        _check_options(unit, split, lower, unknown)
        if unit == "word" and isinstance(symbols, str):
            raise TypeError("symbols must be a sequence of words, not one str: split it first")
        self.unit, self.split, self.lower, self.unknown = unit, split, bool(lower), unknown
        self.symbols = tuple(_checked_symbol(s, unit, split, unknown) for s in symbols)
        if not self.symbols:
            raise ValueError("a vocabulary needs at least 1 symbol: the text or list is empty")
        self._ids = {symbol: i for i, symbol in enumerate(self.symbols)}
        if len(self._ids) < len(self.symbols):
            twice = next(s for i, s in enumerate(self.symbols) if self._ids[s] != i)
            raise ValueError(f"symbol {twice!r} is given twice: the symbols must be distinct")
        for name, symbol in (("unknown", unknown), ("start", start), ("stop", stop)):
            if symbol is not None and symbol not in self._ids:
                raise ValueError(f"{name} {symbol!r} must be one of the symbols: add it")
        if (start is None) != (stop is None):
            raise ValueError("records need a start and a stop symbol: give both")
        self.start, self.stop = start, stop
        self.dtype = np.min_scalar_type(len(self.symbols) - 1)
        if unit != "word":
            # code of a symbol -> id, or -1; `encode` clips larger codes to the last entry
            codes = [ord(s) if isinstance(s, str) else s for s in self.symbols]
            self._codes = np.array(codes, np.uint32)  # (K,)
            self._table = np.full(int(self._codes.max()) + 2, -1, np.int32)  # (largest code + 2,)
            self._table[self._codes] = np.arange(len(self.symbols))

    @classmethod
    def from_text(
        cls, text: str | bytes, unit: str = "char", *, split: str = "blank", lower: bool = True,
        min_count: int = 1, start: str | int | None = None, stop: str | int | None = None,
    ) -> "Vocabulary":
        """Make the vocabulary of a text: its distinct symbols, sorted, so that ids never vary.

        Parameters
        ----------
        text : str, or for unit "byte" str or bytes
        unit, split, lower
            As `Vocabulary`.
        min_count : int
            For unit "word": if above 1, words that occur less often than this are left out, and
            "<unk>" replaces them and every other unknown word.
        start, stop : str or int, optional
            As `Vocabulary`; the text must not contain them.

        Raises
        ------
        ValueError
            An unknown unit, a text without symbols, or one that contains the start or stop symbol.
        TypeError
            A text of another type.
        """
        _check_options(unit, split, lower)
        if positive_int("min_count", min_count) > 1 and unit != "word":
            raise ValueError(f'min_count is for unit "word", not "{unit}"')
        checked = _checked_text(text, unit)
        unknown = UNKNOWN if min_count > 1 else None
        if unit == "word":
            counts: Counter[str] = Counter()
            for words in _words(checked, split, lower):
                counts.update(words)
            distinct: set[Any] = {word for word, count in counts.items() if count >= min_count}
        else:
            distinct = set(checked)
        for symbol in distinct & {start, stop}:
            raise ValueError(f"the text has {symbol!r}, which is to be the start or stop symbol: "
                             "take it out, or name one that the text does not have")
        distinct = (distinct | {unknown, start, stop}) - {None}
        return cls(sorted(distinct), unit, split=split, lower=lower, unknown=unknown, start=start,
                   stop=stop)

    def encode(self, text: str | bytes) -> NDArray[np.unsignedinteger]:
        """Return the ids of a text.

        Parameters
        ----------
        text : str, or for unit "byte" str (encoded as UTF-8) or bytes

        Returns
        -------
        ndarray of `dtype`, shape (number of symbols,)

        Raises
        ------
        ValueError
            A symbol that is not in a vocabulary without `unknown`; the message gives its position,
            counted in symbols from 0.
        TypeError
            A text of another type.
        """
        checked = _checked_text(text, self.unit)
        if self.unit == "word":
            return self._encode_words(checked)
        ids = np.empty(len(checked), self.dtype)
        for start in range(0, len(checked), CHUNK):
            piece = checked[start : start + CHUNK]
            codes = (np.frombuffer(piece, np.uint8) if self.unit == "byte" else
                     np.frombuffer(piece.encode("utf-32-le", "surrogatepass"), "<u4"))
            found = self._table.take(codes, mode="clip")  # (len(piece),), -1 where unknown
            if found.min() < 0:
                at = int(np.argmax(found < 0))
                raise _not_found(self, piece[at], start + at)
            ids[start : start + CHUNK] = found
        return ids

    def encode_record(self, text: str | bytes) -> NDArray[np.unsignedinteger]:
        """Return the ids of a record with the start symbol before and the stop symbol after it.

        Raises
        ------
        ValueError, TypeError
            As `encode`; a record that contains the start or stop symbol; a vocabulary without them.
        """
        if self.start is None or self.stop is None:
            raise ValueError("this vocabulary has no start and stop symbol: make it with "
                             "Corpus.from_records")
        ids = self.encode(text)
        start, stop = self._ids[self.start], self._ids[self.stop]
        for at in np.flatnonzero((ids == start) | (ids == stop)):
            raise ValueError(f"{self.unit} {self.symbols[ids[at]]!r} at position {at} is the start "
                             "or stop symbol: take it out, or name others")
        return np.concatenate([[start], ids, [stop]]).astype(self.dtype)

    def missing(self, text: str) -> list[str]:
        """The distinct characters, or of unit "word" words, of a text that the vocabulary does not
        have, in the order in which they come; of unit "byte" characters with such a byte."""
        parts: Iterable[str] = text
        if self.unit == "word":
            parts = [] if self.unknown else chain.from_iterable(
                _words(text, self.split, self.lower))
        known = {*self.symbols}

        def has(part: str) -> bool:
            return {*part.encode("utf-8", "surrogatepass")} <= known if self.unit == "byte" else (
                part in known)

        return [part for part in dict.fromkeys(parts) if not has(part)]

    def encode_words(self, texts: Sequence[str]) -> tuple[
            NDArray[np.unsignedinteger], NDArray[np.int64]]:
        """For unit "word": the ids of many short texts in a row, and the number of words in each;
        ValueError as `encode`, but not with the text in which a word lies."""
        split, lower = SPLITTERS[self.split][1], self.lower
        words = [split(text.lower() if lower else text) for text in texts]
        unknown = -1 if self.unknown is None else self._ids[self.unknown]
        get = self._ids.get
        found = [get(word, unknown) for each in words for word in each]
        if -1 in found:
            at = found.index(-1)
            raise _not_found(self, list(chain.from_iterable(words))[at], at)
        return np.array(found, self.dtype), np.array([len(each) for each in words], np.int64)

    def decode(self, ids: ArrayLike) -> str:
        """Return the text of ids; the inverse of `encode`.

        Words are joined by one blank. Bytes are read as UTF-8, with U+FFFD for invalid ones.

        Parameters
        ----------
        ids : array_like of int, shape (n,)

        Raises
        ------
        ValueError
            An id outside 0..K-1, or ids that are not one-dimensional.
        TypeError
            Ids that are not integers.
        """
        ids = self._flat_ids(ids)
        if self.unit == "word":
            return " ".join([str(self.symbols[i]) for i in ids.tolist()])
        codes = self._codes[ids]
        if self.unit == "byte":
            return bytes(codes.astype(np.uint8)).decode("utf-8", "replace")
        return bytes(codes.astype("<u4", copy=False)).decode("utf-32-le", "surrogatepass")

    def iterdecode(self, pieces: Iterable[ArrayLike]) -> Iterator[str]:
        """Yield the text of ids that come piece by piece, each symbol as soon as it is known.

        The yielded texts joined are what `decode` gives for all ids: for unit "char" one character
        at a time, for "word" one word, from the second on with a blank before it, for "byte" one
        character once all its bytes are known.

        Parameters
        ----------
        pieces : iterable of array_like of int, shape (n,)

        Raises
        ------
        ValueError, TypeError
            As `Vocabulary.decode`.
        """
        symbols = (self.symbols[i] for ids in pieces for i in self._flat_ids(ids).tolist())
        if self.unit == "char":
            yield from symbols
        elif self.unit == "word":
            for i, word in enumerate(symbols):
                yield f" {word}" if i else word
        else:
            octets = (bytes([byte]) for byte in symbols)
            for characters in codecs.iterdecode(octets, "utf-8", "replace"):
                yield from characters

    def check_ids(self, ids: ArrayLike) -> NDArray[np.integer]:
        """Return ids as an integer array of the same shape, or raise an error if one is no id.

        Parameters
        ----------
        ids : array_like of int, any shape

        Raises
        ------
        ValueError
            An id outside 0..K-1; the message gives its position.
        TypeError
            Ids that are not integers.
        """
        ids = read_array("ids", ids, "integers")
        if ids.size == 0:
            return ids.astype(self.dtype)  # an empty list comes as float64
        if ids.dtype.kind not in "iu":
            raise TypeError(f"ids must be integers, but these are {ids.dtype} (first: "
                            f"{ids.flat[0]!r})")
        if ids.min() < 0 or ids.max() >= len(self):
            place = tuple(int(i) for i in np.argwhere((ids < 0) | (ids >= len(self)))[0])
            where = place[0] if len(place) == 1 else place
            raise ValueError(f"id {ids[place]} at position {where} is outside the vocabulary: ids "
                             f"go from 0 to {len(self) - 1}")
        return ids

    def to_dict(self) -> dict[str, Any]:
        """Return unit and symbols, for words also split, lower and unknown, for records start and
        stop, ready for JSON."""
        names = _stored_names(self.unit, self.stop is not None)
        return {name: getattr(self, name) for name in names} | {"symbols": list(self.symbols)}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> "Vocabulary":
        """Make the vocabulary that `to_dict` described.

        Raises
        ------
        ValueError
            Anything that `to_dict` cannot have returned.
        """
        if not (isinstance(stored, dict) and isinstance(stored.get("symbols"), list)
                and stored.keys() == set(_stored_names(stored.get("unit"), "stop" in stored))):
            raise ValueError('a stored vocabulary must be {"unit": text, "symbols": list}, for '
                             "words with split, lower and unknown")
        return cls(**stored)

    def with_more(self, symbols: Iterable[str | int]) -> "Vocabulary":
        """This vocabulary with those of the given symbols that it does not have at its end; a
        record's start and stop symbols stay those of this one."""
        new = [s for s in symbols if s not in self._ids and s not in (START, STOP)]
        return Vocabulary.from_dict(self.to_dict() | {"symbols": [*self.symbols, *new]})

    @property
    def texts(self) -> list[str]:
        """The text of each symbol, of a byte the character with its number."""
        return [symbol if isinstance(symbol, str) else chr(symbol) for symbol in self.symbols]

    @property
    def symbol_name(self) -> str:
        """What one symbol is called: the unit, or for unit "bpe" a "token"."""
        return "token" if self.unit == "bpe" else self.unit

    def _flat_ids(self, ids: ArrayLike) -> NDArray[np.integer]:
        ids = self.check_ids(ids)
        if ids.ndim != 1:
            raise ValueError(f"ids to decode must be one-dimensional; their shape is {ids.shape}")
        return ids

    def _encode_words(self, text: str) -> NDArray[np.unsignedinteger]:
        pieces, position = [np.empty(0, self.dtype)], 0  # position of a piece's first word
        unknown = -1 if self.unknown is None else self._ids[self.unknown]
        for words in _words(text, self.split, self.lower):
            found = [self._ids.get(word, unknown) for word in words]
            if -1 in found:
                at = found.index(-1)
                raise _not_found(self, words[at], position + at)
            pieces.append(np.array(found, self.dtype))
            position += len(words)
        return np.concatenate(pieces)

    def __len__(self) -> int:
        return len(self.symbols)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Vocabulary):
            return NotImplemented
        return self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((self.unit, self.symbols))

    def __repr__(self) -> str:
        return f"<Vocabulary of {len(self)} symbols, unit {self.unit!r}>"


def _stored_names(unit: Any, records: bool) -> tuple[str, ...]:
    """The attributes of a vocabulary that `to_dict` returns."""
    words = ("split", "lower", "unknown") if unit == "word" else ()
    return ("unit", "symbols", *words, *(("start", "stop") if records else ()))


def _not_found(vocabulary: "Vocabulary", symbol: str | int, position: int) -> ValueError:
    return ValueError(f"{vocabulary.unit} {symbol!r} at position {position} is not in the "
                      f"vocabulary of {len(vocabulary)} symbols: take it out of the text, or use a "
                      "vocabulary made from a text that has it")


def check_unit(unit: str) -> None:
    """Raise ValueError for an unknown unit."""
    if unit not in UNITS:
        raise ValueError(f'unit must be "char", "word", "byte" or "bpe", not {unit!r}')


def _checked_text(text: str | bytes, unit: str) -> Any:
    """Return a str for unit "char" and "word", and bytes for "byte"."""
    if unit != "byte":
        if not isinstance(text, str):
            raise TypeError(f'text for unit "{unit}" must be a str, not {type(text).__name__}: '
                            f"{instead(text)}")
        return text
    if isinstance(text, (str, bytes, bytearray, memoryview)):
        return octets(text)
    raise TypeError(f'text for unit "byte" must be a str or bytes, not {type(text).__name__}: '
                    f"{instead(text)}")


def octets(text: str | bytes | bytearray | memoryview) -> bytes:
    """A text in UTF-8; ValueError for a lone surrogate."""
    if not isinstance(text, str):
        return bytes(text)  # no copy of bytes
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(f"character {text[error.start]!r} at position {error.start} has no "
                         "UTF-8 form: take the lone surrogate out of the text") from None


def _check_options(unit: str, split: str, lower: bool, unknown: str | None = None) -> None:
    check_unit(unit)
    if unit == "bpe":
        raise ValueError('the vocabulary of unit "bpe" is learned from a text: make it with '
                         'Corpus.from_file or from_text and unit="bpe"')
    choice("split", split, SPLITS)
    if unit != "word" and (split != "blank" or not lower or unknown is not None):
        raise ValueError(f'split, lower and unknown are for unit "word", not "{unit}"')
    if unknown is not None and not isinstance(unknown, str):
        raise TypeError(f"unknown must be a str, not {unknown!r}")


def _words(text: str, split: str, lower: bool) -> Iterator[list[str]]:
    """Yield the words of a text in pieces of about CHUNK characters."""
    cut, words = SPLITTERS[split]
    # a letter's lower case may depend on its neighbours, but not on those beyond a blank
    cased: Callable[[str], str] = str.lower if lower else str
    start = 0
    while blank := cut.search(text, start + CHUNK):
        yield words(cased(text[start : blank.start()]))
        start = blank.end()
    if text:
        yield words(cased(text[start:]))


def _checked_symbol(symbol: Any, unit: str, split: str, unknown: str | None) -> str | int:
    if unit == "byte":
        whole = isinstance(symbol, (int, np.integer)) and not isinstance(symbol, bool)
        if whole and 0 <= symbol <= 255:
            return int(symbol)
        raise ValueError(f'symbol {symbol!r} is not a byte: unit "byte" takes ints from 0 to 255')
    if not isinstance(symbol, str):
        raise ValueError(f'symbol {symbol!r} is not a str, as the symbols of unit "{unit}" must be')
    if unit == "char" and len(symbol) != 1:
        raise ValueError(f'symbol {symbol!r} is not a single character: for words use unit "word"')
    if unit == "word" and symbol != unknown and SPLITTERS[split][1](symbol) != [symbol]:
        raise ValueError(f'symbol {symbol!r} is not one word by split="{split}"')
    return str(symbol)
