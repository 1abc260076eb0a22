"""A text, or a list of records, as ids, with the vocabulary that made them."""

from __future__ import annotations

import codecs
import errno
import hashlib
import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .records import Records, encode, lines, table
from .vocabulary import Vocabulary, check_unit


class Corpus:
    """A text to learn from or to score: one stream of ids, or records that begin anew each.

    Most are made by `from_file` or `from_text`, those of records by `from_records`, `from_lines` or
    `from_table`.

    Parameters
    ----------
    ids : array_like of int, shape (n,)
        At least one id of `vocabulary`.
    vocabulary : Vocabulary
    name : str
        What messages call this text; for a file its name.
    records : Records, optional
        Where records lie in the ids.

    Attributes
    ----------
    ids : ndarray of ``vocabulary.dtype``, shape (n,), C-contiguous
    vocabulary : Vocabulary
    name : str
    records : Records or None
        Its starts, steps, labels, and how many blank or too long ones there were (`Records`).

    Raises
    ------
    ValueError
        No ids, ids that are not one-dimensional, or an id outside the vocabulary.
    TypeError
        Ids that are not integers, or a vocabulary that is no `Vocabulary`.
    """

    def __init__(self, ids: ArrayLike, vocabulary: Vocabulary, name: str = "text",
                 records: Records | None = None) -> None:
        _check_vocabulary(vocabulary)
        ids = vocabulary.check_ids(ids)
        if ids.ndim != 1:
            raise ValueError(f"ids must be one-dimensional; their shape is {ids.shape}")
        if ids.size == 0:
            raise ValueError(f"{name} is empty: give a text with at least one symbol")
        self.ids: NDArray[np.unsignedinteger] = np.ascontiguousarray(ids, vocabulary.dtype)
        self.vocabulary = vocabulary
        self.name, self.records = name, records

    @classmethod
    def from_text(
        cls,
        text: str | bytes,
        unit: str | None = None,
        vocabulary: Vocabulary | None = None,
        *,
        split: str = "blank",
        lower: bool = True,
        min_count: int = 1,
        name: str = "text",
    ) -> Corpus:
        """Make a corpus of a text at hand.

        Parameters
        ----------
        text : str, or for unit "byte" str (taken as UTF-8) or bytes
        unit : {"char", "word", "byte"}, optional
            What one symbol is, as in `Vocabulary`: the unit of `vocabulary` where that is given,
            else "char".
        vocabulary : Vocabulary, optional
            The vocabulary to encode with, as that of a trained model; made from the text where
            not given.
        split : {"blank", "space", "mark"}
        lower : bool
        min_count : int
            How the vocabulary that is made cuts a text into words, and how often a word must come,
            as in `Vocabulary.from_text`; for unit "word".
        name : str
            What messages call this text.

        Raises
        ------
        ValueError
            An empty text; one distinct symbol (where the vocabulary is made from the text); a
            symbol that `vocabulary` does not have; a unit that is unknown or not the vocabulary's.
        TypeError
            A text of another type.
        """
        unit = _checked_unit(unit, vocabulary)
        if vocabulary is not None and (split, lower, min_count) != ("blank", True, 1):
            raise ValueError("split, lower and min_count are the vocabulary's: leave them out "
                             "where one is given")
        blank = unit == "word" and isinstance(text, str) and text.isspace()  # and so no words
        if blank or (isinstance(text, (str, bytes)) and not text):
            raise ValueError(f"{name} is empty: give a text with at least two distinct symbols")
        if vocabulary is None:
            vocabulary = Vocabulary.from_text(text, unit, split=split, lower=lower,
                                              min_count=min_count)
            if len(vocabulary) == 1:
                raise ValueError(
                    f"{name} has only one distinct {unit}, {vocabulary.symbols[0]!r}, so there is "
                    "nothing to learn: give a text with at least two"
                )
        return cls(vocabulary.encode(text), vocabulary, name)

    @classmethod
    def from_file(
        cls,
        path: str | os.PathLike[str],
        unit: str | None = None,
        vocabulary: Vocabulary | None = None,
        *,
        split: str = "blank",
        lower: bool = True,
        min_count: int = 1,
    ) -> Corpus:
        """Read a text file: UTF-8 for unit "char" and "word", any bytes for "byte".

        Line ends stay as they are. A byte order mark at the start is dropped, unless bytes are
        the unit.

        Parameters
        ----------
        path : str or path-like
        unit, vocabulary, split, lower, min_count
            As in `from_text`.

        Raises
        ------
        FileNotFoundError, IsADirectoryError, PermissionError
            A path that names no file, names a directory, or names a file that may not be read.
        ValueError
            A file that is not UTF-8 (the message gives the byte offset), and all that `from_text`
            refuses.
        """
        unit = _checked_unit(unit, vocabulary)
        text = _read(path) if unit == "byte" else _read_text(path)
        return cls.from_text(text, unit, vocabulary, split=split, lower=lower,
                             min_count=min_count, name=_base_name(path))

    @classmethod
    def from_records(
        cls,
        records: Iterable[str | bytes],
        labels: Iterable[str] | None = None,
        *,
        unit: str | None = None,
        vocabulary: Vocabulary | None = None,
        start: str | int | None = None,
        stop: str | int | None = None,
        max_length: int | None = None,
        too_long: str = "refuse",
        split: str = "blank",
        lower: bool = True,
        min_count: int = 1,
        name: str = "records",
    ) -> Corpus:
        """Make a corpus of short independent texts, such as names or messages.

        Each is learned from the zero state, after a start symbol and up to a stop symbol. Blank
        ones are skipped, and counted in ``corpus.records.counts``.

        Parameters
        ----------
        records : iterable of str (for unit "byte" also bytes)
        labels : iterable of str, optional
            One for each record: an input of the first layer at every step.
        unit, vocabulary, split, lower, min_count
            As in `from_text`; the vocabulary of a model that learned records has their start and
            stop symbol.
        start, stop : str (for unit "byte" also int), optional
            Symbols that no record has, or one symbol for both; where not given the control
            characters U+0002 and U+0003.
        max_length : int, optional
            Symbols of the longest record that is let through.
        too_long : {"refuse", "cut", "drop", "keep"}
            What becomes of longer ones: an error, their first max_length symbols, nothing, or all
            of it; they are counted.
        name : str
            What messages call these records.

        Raises
        ------
        ValueError
            No record, one that has the start or stop symbol or is too long (the message says
            which), labels that are more or fewer than records, and what `from_text` refuses.
        TypeError
            A record that is no text.
        """
        unit = _checked_unit(unit, vocabulary)
        words = {"split": split, "lower": lower, "min_count": min_count}
        ids, vocabulary, found = encode(records, labels, unit, vocabulary, start, stop, max_length,
                                        too_long, words, name)
        return cls(ids, vocabulary, name, found)

    @classmethod
    def from_lines(cls, path: str | os.PathLike[str], **settings: Any) -> Corpus:
        """Read a file with one record on each line: UTF-8, or any bytes for unit "byte"; line ends
        LF, CRLF or CR, with or without a byte order mark. Blank lines are skipped and counted.

        Parameters
        ----------
        path : str or path-like
        **settings
            As for `from_records`.

        Raises
        ------
        OSError, ValueError
            As `from_file` and `from_records`.
        """
        settings = {"name": _base_name(path)} | settings
        unit = _checked_unit(settings.get("unit"), settings.get("vocabulary"))
        text = _read(path) if unit == "byte" else _read_text(path)
        return cls.from_records(lines(text), **settings)

    @classmethod
    def from_table(
        cls, path: str | os.PathLike[str], columns: Sequence[str | int] = (0, 1),
        separator: str | None = None, **settings: Any,
    ) -> Corpus:
        """Read a table of texts and labels, such as a TSV or CSV file in UTF-8.

        Parameters
        ----------
        path : str or path-like
        columns : pair of int or str
            Those of the text and of its label: their places from 0, or their names in the first
            row. Places are for a table without a row of names.
        separator : str, optional
            Between columns; where not given a tab if the first line has one, else a comma. Fields
            may stand in quotes but where it is a tab; blanks around them are taken off.
        **settings
            As for `from_records`.

        Raises
        ------
        OSError, ValueError
            As `from_file` and `from_records`; a row with too few columns (the message says its
            line), or a column that is not there.
        """
        settings = {"name": _base_name(path)} | settings
        texts, labels = table(_read_text(path), separator, columns, settings["name"])
        return cls.from_records(texts, labels, **settings)

    def pieces(self, rows: NDArray[np.intp] | None = None) -> list[NDArray[np.unsignedinteger]]:
        """The ids of each record, with start and stop, or of those of some rows."""
        if self.records is None:
            raise ValueError(f"{self.name} is a text and has no records")
        starts, steps = self.records.starts, self.records.steps
        chosen = range(len(starts)) if rows is None else rows
        return [self.ids[starts[i] : starts[i] + steps[i] + 1] for i in chosen]

    def fingerprint(self) -> str:
        """Return the SHA-256 (hex) of the ids, their type and number: the same for the same text.

        It does not cover the vocabulary, which can be compared itself.
        """
        stored = self.ids.dtype.newbyteorder("<")  # one value on every machine
        digest = hashlib.sha256(f"{self.ids.itemsize} {len(self)}\n".encode())
        digest.update(self.ids.astype(stored, copy=False))
        if self.records:
            for array in (self.records.starts, self.records.labels):
                digest.update(b"" if array is None else array.astype("<i8").tobytes())
            digest.update("\n".join(self.records.names).encode())
        return digest.hexdigest()

    def __len__(self) -> int:
        """Return the number of symbols in the text; of records with their starts and stops."""
        return len(self.ids)

    def __repr__(self) -> str:
        records = ""
        if self.records is not None:
            names = self.records.names
            records = f"{len(self.records)} records, " + f"{len(names)} labels, " * bool(names)
        return f"<Corpus {self.name!r}: {records}{len(self)} ids, {self.vocabulary!r}>"


def _check_vocabulary(vocabulary: Vocabulary) -> None:
    if not isinstance(vocabulary, Vocabulary):
        raise TypeError(
            f"vocabulary must be a fastrnn.Vocabulary, not {type(vocabulary).__name__}: "
            "make one with Vocabulary.from_text"
        )


def _checked_unit(unit: str | None, vocabulary: Vocabulary | None) -> str:
    if unit is not None:
        check_unit(unit)
    if vocabulary is None:
        return unit or "char"
    _check_vocabulary(vocabulary)
    if unit not in (None, vocabulary.unit):
        raise ValueError(
            f'unit "{unit}" is not the vocabulary\'s, which is "{vocabulary.unit}": '
            "give only one of the two"
        )
    return vocabulary.unit


def _read(path: str | os.PathLike[str]) -> bytes:
    file = os.fsdecode(path)
    try:
        with open(file, "rb") as stream:
            return stream.read()
    except (OSError, ValueError) as error:  # ValueError: a null character, a lone surrogate
        if os.path.isdir(file):
            raise IsADirectoryError(
                f"{_shown(path)} is a directory: give the path of one text file in it"
            ) from None
        if isinstance(error, PermissionError):
            raise PermissionError(
                f"{_shown(path)} may not be read: change its permissions, or give a copy that may"
            ) from None
        # the last two, and ValueError, are what a text given by mistake for a path leads to
        nowhere = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EINVAL)
        if isinstance(error, ValueError) or error.errno in nowhere:
            hint = "; a text itself goes to Corpus.from_text" if isinstance(path, str) else ""
            raise FileNotFoundError(f"no file {_shown(path)}: check the path{hint}") from None
        raise


def _read_text(path: str | os.PathLike[str]) -> str:
    """A file in UTF-8, without a byte order mark at its start."""
    data = _read(path)
    skip = len(codecs.BOM_UTF8) if data.startswith(codecs.BOM_UTF8) else 0
    try:
        return str(memoryview(data)[skip:], "utf-8")
    except UnicodeDecodeError as error:
        offset = skip + error.start
        raise ValueError(
            f"{_shown(path)} is not UTF-8: byte 0x{data[offset]:02x} at byte offset {offset}; "
            'convert the file to UTF-8, or read it with unit="byte"'
        ) from None


def _base_name(path: str | os.PathLike[str]) -> str:
    return os.path.basename(os.fsdecode(path))


def _shown(path: str | os.PathLike[str]) -> str:
    """Return the path in quotes, cut where it is too long to be one."""
    file = os.fsdecode(path)
    return repr(file if len(file) <= 300 else file[:60] + "...")
