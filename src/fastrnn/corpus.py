"""A text as ids, with the vocabulary that made them."""

from __future__ import annotations

import codecs
import errno
import hashlib
import os
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .vocabulary import Vocabulary, check_unit


class Corpus:
    """A text to learn from or to score: one stream of ids.

    Most are made by `from_file` or `from_text`.

    Parameters
    ----------
    ids : array_like of int, shape (n,)
        At least one id of `vocabulary`.
    vocabulary : Vocabulary
    name : str
        What messages call this text; for a file its name.

    Attributes
    ----------
    ids : ndarray of ``vocabulary.dtype``, shape (n,), C-contiguous
    vocabulary : Vocabulary
    name : str

    Raises
    ------
    ValueError
        No ids, ids that are not one-dimensional, or an id outside the vocabulary.
    TypeError
        Ids that are not integers, or a vocabulary that is no `Vocabulary`.
    """

    def __init__(self, ids: ArrayLike, vocabulary: Vocabulary, name: str = "text") -> None:
        _check_vocabulary(vocabulary)
        ids = vocabulary.check_ids(ids)
        if ids.ndim != 1:
            raise ValueError(f"ids must be one-dimensional; their shape is {ids.shape}")
        if ids.size == 0:
            raise ValueError(f"{name} is empty: give a text with at least one symbol")
        self.ids: NDArray[np.unsignedinteger] = np.ascontiguousarray(ids, vocabulary.dtype)
        self.vocabulary = vocabulary
        self.name = name

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
        data = _read(path)
        how: dict[str, Any] = {"split": split, "lower": lower, "min_count": min_count,
                               "name": _base_name(path)}
        if unit == "byte":
            return cls.from_text(data, unit, vocabulary, **how)
        skip = len(codecs.BOM_UTF8) if data.startswith(codecs.BOM_UTF8) else 0
        try:
            text = str(memoryview(data)[skip:], "utf-8")
        except UnicodeDecodeError as error:
            offset = skip + error.start
            raise ValueError(
                f"{_shown(path)} is not UTF-8: byte 0x{data[offset]:02x} at byte offset {offset}; "
                'convert the file to UTF-8, or read it with unit="byte"'
            ) from None
        del data  # from here on the text is held once
        return cls.from_text(text, unit, vocabulary, **how)

    def fingerprint(self) -> str:
        """Return the SHA-256 (hex) of the ids, their type and number: the same for the same text.

        It does not cover the vocabulary, which can be compared itself.
        """
        stored = self.ids.dtype.newbyteorder("<")  # one value on every machine
        digest = hashlib.sha256(f"{self.ids.itemsize} {len(self)}\n".encode())
        digest.update(self.ids.astype(stored, copy=False))
        return digest.hexdigest()

    def __len__(self) -> int:
        """Return the number of symbols in the text."""
        return len(self.ids)

    def __repr__(self) -> str:
        return f"<Corpus {self.name!r}: {len(self)} ids, {self.vocabulary!r}>"


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


def _base_name(path: str | os.PathLike[str]) -> str:
    return os.path.basename(os.fsdecode(path))


def _shown(path: str | os.PathLike[str]) -> str:
    """Return the path in quotes, cut where it is too long to be one."""
    file = os.fsdecode(path)
    return repr(file if len(file) <= 300 else file[:60] + "...")
