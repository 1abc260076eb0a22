"""Records: short independent texts, as ids between a start and a stop symbol."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..settings import TOO_LONG
from ..validate import all_frozen, choice, frozen, positive_int
from .files import instead
from .tables import lines
from .vocabulary import CHUNK, START, STOP, Vocabulary, octets

BATCH = 4096  # texts that are joined, and encoded in one pass


@dataclass(frozen=True)
class Records:
    """Where the records of a corpus lie, and their labels.

    Attributes
    ----------
    starts : int64 ndarray, shape (n,)
        Index in ``corpus.ids`` of each record's start symbol.
    steps : int64 ndarray, shape (n,)
        Predictions in each record: its symbols and the stop symbol.
    labels : int32 ndarray, shape (n,), or None
        Index in `names` of each record's label.
    names : tuple of str
        The distinct labels, sorted.
    weights : float64 ndarray, shape (n,), or None
        The weight of each record in the loss.
    counts : dict of str -> int
        How many texts were "blank" and left out, and how many "too long" (above max_length; left
        out, cut or kept).
    """

    starts: NDArray[np.int64]
    steps: NDArray[np.int64]
    labels: NDArray[np.int32] | None
    names: tuple[str, ...]
    counts: dict[str, int]
    weights: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        for name in ("starts", "steps", "labels", "weights"):
            array = getattr(self, name)
            if array is not None:
                object.__setattr__(self, name, frozen(array))

    def __setstate__(self, state: dict[str, Any]) -> None:  # of a copy, or from a pickle
        vars(self).update(all_frozen(state))

    def __len__(self) -> int:
        """Number of records."""
        return len(self.starts)

    def __getitem__(self, rows: NDArray[np.intp]) -> "Records":
        """The records of an array of rows."""
        return replace(self, starts=self.starts[rows], steps=self.steps[rows],
                       labels=None if self.labels is None else self.labels[rows],
                       weights=None if self.weights is None else self.weights[rows])

    def normalized(self) -> NDArray[np.float64] | None:
        """The weight of each record (n,), divided by the mean over all predictions."""
        if self.weights is None:
            return None
        mean = float((self.weights * self.steps).sum() / self.steps.sum())
        if mean == 0:
            raise ValueError("all these records have the weight 0, so that nothing would count: "
                             "give weights above 0, or another valid_fraction")
        return self.weights / mean

    @classmethod
    def of_lengths(cls, lengths: NDArray[np.int64], labels: list[str] | None = None,
                   counts: dict[str, int] | None = None) -> "Records":
        """Records that lie one behind the other, each with its start and stop symbol: `lengths` are
        the numbers of ids."""
        names = tuple(sorted(set(labels or ())))
        places = {label: c for c, label in enumerate(names)}
        return cls(np.cumsum(lengths) - lengths, lengths - 1,
                   None if labels is None else np.array([places[n] for n in labels], np.int32),
                   names, counts or {"blank": 0, "too long": 0})


class Lines:
    """The lines of a text, to be read once; not kept as strings, which would take several times
    the memory of the text."""

    def __init__(self, text: str | bytes) -> None:
        self._text: Any = text

    def parts(self) -> Iterator[list[Any]]:
        """Some lines at a time."""
        text, self._text = self._text, ""
        end: Any = "\n" if isinstance(text, str) else b"\n"
        start = 0
        while start < len(text):
            # never between CR and LF
            cut = text.find(end, start + CHUNK) + 1 or len(text)
            yield lines(text[start:cut])
            start = cut

    def __iter__(self) -> Iterator[Any]:
        return chain.from_iterable(self.parts())


@dataclass
class _Batch:
    """Some of the records that are not blank. They are kept joined: many short strings would take
    several times the memory."""

    joined: Any  # str, for unit "byte" bytes
    sizes: NDArray[np.int64]  # characters or bytes of each, (n,)
    rows: NDArray[np.int64]  # the number of each among all that were given, (n,)

    @classmethod
    def of(cls, texts: list[Any], first: int, unit: str, name: str) -> "_Batch":
        kind = type(texts[0])
        rows = np.arange(len(texts))
        if not all(texts) or set(map(type, texts)) != {kind} or any(map(kind.isspace, texts)):
            rows = np.array([i for i, text in enumerate(texts) if text.strip()], np.int64)
            texts = [texts[i] for i in rows]
        if unit == "byte" and set(map(type, texts)) != {bytes}:
            try:
                texts = [text.encode() if isinstance(text, str) else text for text in texts]
            except UnicodeEncodeError:
                for row, text in zip(rows.tolist(), texts, strict=True):  # which is it?
                    with _told(first + row, name):
                        octets(text)
        empty: Any = b"" if unit == "byte" else ""
        return cls(empty.join(texts), np.fromiter(map(len, texts), np.int64, len(texts)),
                   rows + first)

    def texts(self) -> list[Any]:
        """The records, one by one again."""
        ends = np.cumsum(self.sizes)
        return [self.joined[end - size : end]
                for end, size in zip(ends.tolist(), self.sizes.tolist(), strict=True)]


def encode(
    texts: "Iterable[str | bytes] | Lines", labels: Iterable[str] | None, unit: str,
    vocabulary: Vocabulary | None, start: Any, stop: Any, max_length: int | None, too_long: str,
    words: dict[str, Any], name: str,
) -> tuple[NDArray[np.unsignedinteger], Vocabulary, Records]:
    """The concatenated ids of all records, each with its start and stop symbol; the vocabulary,
    made from the texts if not given; and where in the ids the records lie."""
    choice("too_long", too_long, TOO_LONG)
    if max_length is not None:
        positive_int("max_length", max_length)
    elif too_long != "refuse":
        raise ValueError(f"too_long={too_long!r} needs a max_length")
    each = texts if isinstance(texts, Lines) and labels is None else _checked_texts(texts, unit)
    given = None if labels is None else _checked_labels(labels, list(each))
    number, batches = 0, []
    for part in _parts(each):
        batches.append(_Batch.of(part, number, unit, name))
        number += len(part)
    chosen = sum(len(batch.sizes) for batch in batches)
    counts = {"blank": number - chosen, "too long": 0}
    if not chosen:
        raise ValueError(f"{name} is empty: give at least one record that is not blank")
    if vocabulary is None:
        vocabulary = _new_vocabulary(batches, unit, start, stop, words)
    elif vocabulary.stop is None or start is not None or stop is not None:
        raise ValueError("start and stop are the vocabulary's, and one for records has them: leave "
                         "them out, or leave the vocabulary out")
    pieces, lengths, rows = [], [], []
    batches.reverse()
    while batches:  # the strings go as the ids come
        batch = batches.pop()
        ids, sizes = _encoded(batch, vocabulary, max_length, too_long, name)
        if max_length is not None and sizes.max(initial=0) > max_length:
            counts["too long"] += int((sizes > max_length).sum())
            if too_long != "keep":
                ids, sizes, batch.rows = _shortened(ids, sizes, batch.rows, max_length, too_long)
        pieces.append(_framed(ids, sizes, vocabulary))
        lengths.append(sizes + 2)
        if given is not None:
            rows += batch.rows.tolist()
    of_all = np.concatenate(lengths)
    if not of_all.size:
        raise ValueError(f"all records of {name} are longer than max_length {max_length}: give a "
                         "larger one")
    names = None if given is None else [given[i] for i in rows]
    return np.concatenate(pieces), vocabulary, Records.of_lengths(of_all, names, counts)


def _encoded(batch: _Batch, vocabulary: Vocabulary, max_length: int | None, too_long: str,
             name: str) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The ids of a batch without start and stop symbols, and how many each record has; ValueError
    for the first record that may not be."""
    try:
        ids, sizes = ((vocabulary.encode(batch.joined), batch.sizes) if vocabulary.unit != "word"
                      else vocabulary.encode_words(batch.texts()))
        start, stop = vocabulary.encode_record("")
        most = sizes.max(initial=0) if max_length is None or too_long != "refuse" else max_length
        if sizes.max(initial=0) <= most and not ((ids == start) | (ids == stop)).any():
            return ids, sizes
    except ValueError:
        pass
    found = []
    for row, text in zip(batch.rows.tolist(), batch.texts(), strict=True):  # which is it?
        with _told(row, name):
            found.append(vocabulary.encode_record(text)[1:-1])
        if too_long == "refuse" and max_length is not None and len(found[-1]) > max_length:
            raise ValueError(f"record {row} of {name} has {len(found[-1])} symbols, and max_length "
                             f"is {max_length}: too_long can be 'cut', 'drop' or 'keep'")
    return np.concatenate(found), np.array([len(ids) for ids in found], np.int64)


@contextmanager
def _told(row: int, name: str) -> Iterator[None]:
    """ValueErrors say of which record they are."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"record {row} of {name}: {error}") from None


def _shortened(ids: NDArray[Any], sizes: NDArray[np.int64], rows: NDArray[np.int64],
               max_length: int, too_long: str) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """The ids, sizes and rows without those of longer records, or with these cut."""
    if too_long == "drop":
        short = sizes <= max_length
        return ids[np.repeat(short, sizes)], sizes[short], rows[short]
    places = np.arange(len(ids)) - np.repeat(np.cumsum(sizes) - sizes, sizes)  # in each record
    return ids[places < max_length], np.minimum(sizes, max_length), rows


def _framed(ids: NDArray[Any], sizes: NDArray[np.int64], vocabulary: Vocabulary) -> NDArray[Any]:
    """The ids of records with each one's start and stop symbol."""
    start, stop = vocabulary.encode_record("")
    ends = np.cumsum(sizes + 2)
    framed = np.empty(len(ids) + 2 * len(sizes), vocabulary.dtype)
    inside = np.ones(len(framed), bool)
    for places, mark in ((ends - sizes - 2, start), (ends - 1, stop)):
        framed[places], inside[places] = mark, False
    framed[inside] = ids
    return framed


def digest(ids: NDArray[Any]) -> int:
    """A hash of a record's ids, its start and stop symbol included."""
    return int(digests(ids, np.zeros(1, np.int64), np.array([len(ids)]))[0])


def digests(ids: NDArray[Any], starts: NDArray[np.int64],
            lengths: NDArray[np.int64]) -> NDArray[np.uint64]:
    """The `digest` of each record, of ``lengths[i]`` ids from ``starts[i]`` on."""
    found = bytearray()
    ends = starts + lengths
    for first in range(0, len(starts), BATCH):
        places = slice(first, first + BATCH)
        parts = [ids[a:b] for a, b in zip(starts[places].tolist(), ends[places].tolist(),
                                          strict=True)]
        stored, at = memoryview(np.concatenate(parts).astype("<u4").tobytes()), 0
        for size in (4 * lengths[places]).tolist():
            found += hashlib.blake2b(stored[at : at + size], digest_size=8).digest()
            at += size
    return np.frombuffer(bytes(found), "<u8").astype(np.uint64)


def _parts(texts: "list[Any] | Lines") -> Iterator[list[Any]]:
    """The texts, some at a time."""
    if isinstance(texts, Lines):
        yield from texts.parts()
    else:
        for first in range(0, len(texts), BATCH):
            yield texts[first : first + BATCH]


def novelty(
    known: NDArray[np.uint64], vocabulary: Vocabulary, samples: Iterable[str]
) -> NDArray[np.bool_]:
    """Whether each sample is new: its digest is not among the sorted `known` ones."""
    if not known.size:
        raise ValueError("this model was not trained on records, so nothing tells what is new")
    samples = list(samples)
    new = np.ones(len(samples), bool)
    for i, sample in enumerate(samples):
        with suppress(ValueError):  # a symbol that no record has
            number = np.uint64(digest(vocabulary.encode_record(sample)))
            at = np.searchsorted(known, number)
            new[i] = at == len(known) or known[at] != number
    return new


def _checked_texts(given: Any, unit: str) -> list[Any]:
    texts = _listed("records", given)
    kinds = (str, bytes) if unit == "byte" else (str,)
    if not all(issubclass(kind, kinds) for kind in set(map(type, texts))):
        i = next(i for i, text in enumerate(texts) if not isinstance(text, kinds))
        missing = texts[i] is None or isinstance(texts[i], float)  # as in a column of a table
        hint = "a missing text is left out, or an empty str" if missing else instead(texts[i])
        raise TypeError(f"record {i} must be a {' or '.join(k.__name__ for k in kinds)}, not "
                        f"{type(texts[i]).__name__}: {hint}")
    return texts


def _checked_labels(labels: Any, texts: list[Any]) -> list[str]:
    """A label for each text; that of a blank text may be blank."""
    given = _listed("labels", labels)
    if set(map(type, given)) != {str} or not all(map(str.strip, given)):
        for i, label in enumerate(given):
            needed = i < len(texts) and texts[i].strip()
            if not isinstance(label, str) or (needed and not label.strip()):
                raise ValueError(f"the label of record {i} must be a str that is not blank, not "
                                 f"{label!r}")
    if len(given) != len(texts):
        raise ValueError(f"there are {len(texts)} records and {len(given)} labels: give one label "
                         "for each record")
    return given if set(map(type, given)) <= {str} else list(map(str, given))  # NumPy's texts


def _new_vocabulary(batches: list[_Batch], unit: str, start: Any, stop: Any,
                    words: dict[str, Any]) -> Vocabulary:
    text: Any
    if unit == "word":  # the last word of a record is not part of the next
        text = " ".join(chain.from_iterable(batch.texts() for batch in batches))
    else:
        distinct: set[Any] = set().union(*(set(batch.joined) for batch in batches))
        text = bytes(distinct) if unit == "byte" else "".join(distinct)
    start = _symbol(START if start is None else start, unit)
    stop = _symbol(STOP if stop is None else stop, unit)
    return Vocabulary.from_text(text, unit, start=start, stop=stop, **words)


def _listed(name: str, values: Any) -> list[Any]:
    other = isinstance(values, str | bytes | bytearray | memoryview | os.PathLike)
    table = hasattr(values, "iloc") and hasattr(values, "columns")  # whose names iterate
    if other or table or hasattr(values, "read") or not isinstance(values, Iterable) or isinstance(
            values, (Mapping, Set)):
        hint = instead(values) if name == "records" else "one for each record"
        raise TypeError(f"{name} must be a list of texts, not {type(values).__name__}: {hint}")
    return list(values)


def _symbol(symbol: Any, unit: str) -> Any:
    """For unit "byte" a text of one byte as an int."""
    if unit == "byte" and isinstance(symbol, str | bytes) and len(octets(symbol)) == 1:
        return octets(symbol)[0]
    return symbol
