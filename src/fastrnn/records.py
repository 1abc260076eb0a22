"""Texts that are lists of short records: names, messages, lines."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .validate import choice, positive_int
from .vocabulary import START, STOP, Vocabulary

TOO_LONG = ("refuse", "cut", "drop", "keep")


@dataclass(frozen=True)
class Records:
    """Where the records of a corpus lie, and what they are labelled.

    Attributes
    ----------
    starts : int64 ndarray, shape (n,)
        Where in ``corpus.ids`` each record's start symbol lies; the stop symbol is its last.
    steps : int64 ndarray, shape (n,)
        Predictions of each: its symbols and the stop symbol.
    labels : int32 ndarray, shape (n,), or None
        Which of `names` each has.
    names : tuple of str
        The labels, sorted.
    counts : dict of str -> int
        How many texts were "blank", which are left out, and how many "too long" (above max_length),
        whatever became of them.
    """

    starts: NDArray[np.int64]
    steps: NDArray[np.int64]
    labels: NDArray[np.int32] | None
    names: tuple[str, ...]
    counts: dict[str, int]

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.starts)


def encode(
    texts: Iterable[str | bytes], labels: Iterable[str] | None, unit: str,
    vocabulary: Vocabulary | None, start: Any, stop: Any, max_length: int | None, too_long: str,
    words: dict[str, Any], name: str,
) -> tuple[NDArray[np.unsignedinteger], Vocabulary, Records]:
    """The ids of all records one after the other, each between its start and stop symbol."""
    choice("too_long", too_long, TOO_LONG)
    if max_length is not None:
        positive_int("max_length", max_length)
    elif too_long != "refuse":
        raise ValueError(f"too_long={too_long!r} needs a max_length")
    texts = _listed("records", texts)
    kinds = (str, bytes) if unit == "byte" else (str,)
    for i, text in enumerate(texts):
        if not isinstance(text, kinds):
            raise TypeError(f"record {i} must be a {' or '.join(k.__name__ for k in kinds)}, not "
                            f"{type(text).__name__}")
    chosen = [i for i, text in enumerate(texts) if text.strip()]
    counts = {"blank": len(texts) - len(chosen), "too long": 0}
    if not chosen:
        raise ValueError(f"{name} is empty: give at least one record that is not blank")
    given = None if labels is None else _listed("labels", labels)
    for i, label in enumerate(given or ()):
        if not isinstance(label, str) or (not label.strip() and texts[i : i + 1] and
                                          texts[i].strip()):
            raise ValueError(f"the label of record {i} must be a str that is not blank, not "
                             f"{label!r}")
    if given is not None and len(given) != len(texts):
        raise ValueError(f"there are {len(texts)} records and {len(given)} labels: give one label "
                         "for each record")
    if vocabulary is None:
        start, stop = (_symbol(symbol, default, unit) for symbol, default in
                       ((start, START), (stop, STOP)))
        between = "\n" if unit == "word" else ""  # words of two records must not grow together
        joined = (b"".join(_octets(texts[i]) for i in chosen) if unit == "byte"
                  else between.join(texts[i] for i in chosen))
        vocabulary = Vocabulary.from_text(joined, unit, start=start, stop=stop, **words)
    elif vocabulary.stop is None or start is not None or stop is not None:
        raise ValueError("start and stop are the vocabulary's, and one for records has them: leave "
                         "them out, or leave the vocabulary out")
    elif words != {"split": "blank", "lower": True, "min_count": 1}:
        raise ValueError("split, lower and min_count are the vocabulary's: leave them out where "
                         "one is given")
    pieces, kept = [], []
    for i in chosen:
        try:
            ids = vocabulary.encode_record(texts[i])
        except ValueError as error:
            raise ValueError(f"record {i} of {name}: {error}") from None
        if max_length is not None and len(ids) - 2 > max_length:
            counts["too long"] += 1
            if too_long == "refuse":
                raise ValueError(f"record {i} of {name} has {len(ids) - 2} symbols, and max_length "
                                 f'is {max_length}: give too_long="cut", "drop" or "keep"')
            if too_long == "drop":
                continue
            if too_long == "cut":
                ids = np.append(ids[: max_length + 1], ids[-1:])
        pieces.append(ids)
        kept.append(i)
    if not kept:
        raise ValueError(f"all records of {name} are longer than max_length {max_length}: give a "
                         "larger one")
    lengths = np.array([len(piece) for piece in pieces], np.int64)
    names = tuple(sorted({given[i] for i in kept})) if given is not None else ()
    places = {label: c for c, label in enumerate(names)}
    of_label = (None if given is None
                else np.array([places[given[i]] for i in kept], np.int32))
    records = Records(np.cumsum(lengths) - lengths, lengths - 1, of_label, names, counts)
    return np.concatenate(pieces), vocabulary, records


def lines(text: Any) -> list[Any]:
    """The lines of a text, or of bytes, which end with LF, CRLF or CR."""
    lf, cr = ("\n", "\r") if isinstance(text, str) else (b"\n", b"\r")
    return text.replace(cr + lf, lf).replace(cr, lf).removesuffix(lf).split(lf)


def table(
    text: str, separator: str | None, columns: Sequence[str | int], name: str
) -> tuple[list[str], list[str]]:
    """Texts and labels from two columns of a table, by their place, or by their name in the first
    row."""
    if separator is None:
        separator = "\t" if "\t" in text.split("\n", 1)[0] else ","
    if not isinstance(separator, str) or len(separator) != 1:
        raise ValueError(f"separator must be one character, not {separator!r}")
    if isinstance(columns, str) or np.shape(columns) != (2,) or not all(
            isinstance(column, str) or (isinstance(column, int) and column >= 0)
            for column in columns):
        raise ValueError("columns must be two, those of the text and of its label, by their names "
                         f"or their places from 0, not {columns!r}")
    quoting = csv.QUOTE_NONE if separator == "\t" else csv.QUOTE_MINIMAL
    reader = csv.reader(io.StringIO("\n".join(lines(text))), delimiter=separator, quoting=quoting,
                        strict=True)
    places: list[int] = list(columns)  # type: ignore[arg-type]
    found: tuple[list[str], list[str]] = [], []
    try:
        if any(isinstance(column, str) for column in columns):
            head = [field.strip() for field in next(reader, [])]
            for i, column in enumerate(columns):
                if isinstance(column, str) and column not in head:
                    raise ValueError(f"{name} has no column {column!r} in its first row, which is "
                                     f"{head}")
                places[i] = head.index(column) if isinstance(column, str) else column
        for row in reader:
            if row and len(row) <= max(places):
                raise ValueError(
                    f"line {reader.line_num} of {name} has {len(row)} columns, and column "
                    f"{max(places) + 1} is needed: give it, name other columns, or another "
                    f"separator than {separator!r}")
            for fields, place in zip(found, places, strict=True):
                fields.append(row[place].strip() if row else "")
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num} of {name} is no row of a table ({error}): mend "
                         "it") from None
    return found


def digest(ids: NDArray[Any]) -> int:
    """The number of a record, from its ids with start and stop."""
    stored = np.ascontiguousarray(ids, "<u4").tobytes()
    return int.from_bytes(hashlib.blake2b(stored, digest_size=8).digest(), "little")


def _listed(name: str, values: Any) -> list[Any]:
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise TypeError(f"{name} must be a list of texts, not {type(values).__name__}")
    return list(values)


def _symbol(symbol: Any, default: str, unit: str) -> Any:
    if symbol is None:
        symbol = default
    if unit == "byte" and isinstance(symbol, str | bytes) and len(_octets(symbol)) == 1:
        return _octets(symbol)[0]
    return symbol


def _octets(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text
