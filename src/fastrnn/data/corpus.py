"""Texts and records to learn from, as ids, with the vocabulary that made them."""

import hashlib
import math
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..settings import WordSettings, checked, documented
from ..validate import freeze, frozen, weights_of
from . import numeric
from .encodings import marked_as_wide
from .files import STDIN, base_name, files_of, instead, name_of
from .records import Lines, Records, digests, encode
from .source import (
    READ_STEPS,
    ROWS,
    Batch,
    Order,
    Reading,
    Sizes,
    Source,
    class_weights_of,
    held_out_count,
    in_batches,
    longest,
    sizes_of,
    split_rows,
    usual_and_alone,
)
from .subwords import Subwords
from .tables import table
from .texts import read_bytes, read_text
from .vocabulary import Vocabulary, check_unit

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
SHOWN = 40  # symbols of a record in a message
GROUP = 50  # batches of records that are sorted by length together


class Corpus(Source):
    """A text to learn from or to score: one long text, or records that are read one by one.

    `from_file` and `from_text` make a text, `from_records`, `from_lines` and `from_table` records.

    Parameters
    ----------
    ids : array_like of int, shape (n,)
        At least one id of `vocabulary`.
    vocabulary : Vocabulary
    name : str
        The name of this text in messages; for a file the file's name.
    records : Records, optional
        Where in the ids records lie.

    Attributes
    ----------
    ids : ndarray of ``vocabulary.dtype``, shape (n,), C-contiguous
    vocabulary : Vocabulary
    name, unit : str
    records : Records or None
        The records' starts, steps and labels, and how many were blank or too long (`Records`).

    Raises
    ------
    ValueError
        No ids, ids that are not one-dimensional, or an id outside the vocabulary.
    TypeError
        Ids that are not integers, or a vocabulary that is no `Vocabulary`.
    """

    kind = "text"
    records: Records | None

    def __new__(cls, ids: Any = None, vocabulary: Any = None, name: str = "text",
                records: Records | None = None) -> "Corpus":
        return super().__new__(cls if records is None else RecordCorpus)

    def __init__(self, ids: ArrayLike, vocabulary: Vocabulary, name: str = "text",
                 records: Records | None = None) -> None:
        _check_vocabulary(vocabulary)
        ids = vocabulary.check_ids(ids)
        if ids.ndim != 1:
            raise ValueError(f"ids must be one-dimensional; their shape is {ids.shape}")
        if ids.size == 0:
            raise ValueError(f"{name} is empty: give a text with at least one symbol")
        self.ids: NDArray[np.unsignedinteger] = frozen(
            np.ascontiguousarray(ids, vocabulary.dtype))
        self.vocabulary: Vocabulary = vocabulary
        self.name, self.records = name, records
        self.unit, self.predictions = vocabulary.symbol_name, ids.size - 1
        self._fingerprint: str | None = None
        self._held_out = 0  # symbols of the same text that are validation data

    @classmethod
    @documented(WordSettings)
    def from_text(
        cls, text: str | bytes, unit: str | None = None, vocabulary: Vocabulary | None = None, *,
        name: str = "text", **settings: Unpack[WordSettings],
    ) -> "Corpus":
        """Make a corpus of a str or bytes.

        Parameters
        ----------
        text : str, or for unit "byte" str (encoded as UTF-8) or bytes
        unit : {"char", "word", "byte", "bpe"}, optional
            What one symbol is, as in `Vocabulary`: the unit of `vocabulary` if that is given,
            else "char". "bpe": a token of byte pair encoding, learned from the text by the library
            tokenizers (``pip install "fastrnn[bpe]"``).
        vocabulary : Vocabulary, optional
            The vocabulary to encode with, such as a trained model's; made from the text if not
            given.
        name : str
            The name of this text in messages.
        **settings
            `WordSettings`: split, lower, min_count, vocabulary_size, for a vocabulary that is made
            here.

        Raises
        ------
        ValueError
            An empty text; one distinct symbol (if the vocabulary is made from the text); a symbol
            that is not in `vocabulary`; a unit that is unknown or not the vocabulary's.
        TypeError
            A text of another type.
        """
        unit = _checked_unit(unit, vocabulary)
        words = _checked_words(vocabulary, unit, dict(settings), "Corpus.from_text")
        size = words.pop("vocabulary_size")
        if not isinstance(text, str | bytes | bytearray | memoryview):
            raise TypeError(f"text must be a str, not {type(text).__name__}: {instead(text)}")
        blank = unit == "word" and isinstance(text, str) and text.isspace()  # it has no words
        if blank or (isinstance(text, (str, bytes)) and not text):
            raise ValueError(f"{name} is empty: give a text with at least two distinct symbols")
        if vocabulary is None:
            vocabulary = (Subwords.learned(text, size) if unit == "bpe" else  # type: ignore[arg-type]
                          Vocabulary.from_text(text, unit, **words))
            if len(vocabulary) == 1:
                raise ValueError(f"{name} has only one distinct {unit}, {vocabulary.symbols[0]!r}, "
                                 "so there is nothing to learn: give a text with at least two")
        return cls(freeze(vocabulary.encode(text)), vocabulary, name)

    @classmethod
    @documented(WordSettings)
    def from_file(
        cls, path: Paths, unit: str | None = None,
        vocabulary: Vocabulary | None = None, *, encoding: str | None = None,
        **settings: Unpack[WordSettings],
    ) -> "Corpus":
        """Read a text file: UTF-8, or UTF-16 or UTF-32 with a byte order mark, for unit "char" and
        "word", any bytes for "byte".

        Line ends stay as they are. A byte order mark at the start is dropped, but not for "byte".

        Parameters
        ----------
        path : str or path-like, or a list of them
            A file; several, as one text in the order given; a folder, of which the .txt files are
            read in the order of their names (a warning says what else it has); or "-", standard
            input. A line end comes between two files where the first has none at its end.
        unit, vocabulary
            As in `Corpus.from_text`.
        encoding : str, optional
            That of the file, such as "cp1252", "latin-1" or "utf-16-le"; for unit "byte" its text
            is then read as UTF-8.
        **settings
            `WordSettings`: split, lower, min_count, for a vocabulary that is made here.

        Raises
        ------
        FileNotFoundError, IsADirectoryError, PermissionError
            No file, a directory, or a file without read permission.
        ValueError
            A file that is not in this encoding (the message gives the byte offset, and encodings
            that it may have), an unknown encoding, or a text that `Corpus.from_text` refuses.
        """
        paths = files_of(path)
        texts = [_read(each, unit, vocabulary, encoding) for each in paths]
        if vocabulary is None and unit in (None, "char"):  # to be learned
            told = next(filter(None, map(numeric.note, texts, paths)), None)
            if told is not None:
                warnings.warn(told, stacklevel=3)
        text = _joined(texts)
        return cls.from_text(text, unit, vocabulary, name=name_of(path, paths), **settings)

    @classmethod
    @documented(WordSettings)
    def from_records(
        cls, records: Iterable[str | bytes], labels: Iterable[str] | None = None, *,
        unit: str | None = None, vocabulary: Vocabulary | None = None,
        start: str | int | None = None, stop: str | int | None = None,
        max_length: int | None = None, too_long: str = "refuse", name: str = "records",
        **settings: Unpack[WordSettings],
    ) -> "Corpus":
        """Make a corpus of short independent texts, such as names or messages.

        Each is read from the zero state, with a start symbol before it and a stop symbol after it.
        Blank ones are skipped, and counted in ``corpus.records.counts``.

        Parameters
        ----------
        records : iterable of str (for unit "byte" also bytes)
        labels : iterable of str, optional
            One for each record: an input of the first layer at every step.
        unit, vocabulary
            As in `Corpus.from_text`; a given vocabulary needs a start and a stop symbol, as that of
            a model trained on records has.
        start, stop : str (for unit "byte" also int), optional
            Symbols that no record contains, or one symbol for both; by default the control
            characters U+0002 and U+0003.
        max_length : int, optional
            The most symbols that a record may have.
        too_long : {"refuse", "cut", "drop", "keep"}
            What to do with longer records: raise an error, keep their first max_length symbols,
            leave them out, or keep them whole; they are counted.
        name : str
            The name of these records in messages.
        **settings
            `WordSettings`: split, lower, min_count, for a vocabulary that is made here.

        Raises
        ------
        ValueError
            No record, one that contains the start or stop symbol or is too long (the message says
            which), more or fewer labels than records, or a text that `Corpus.from_text` refuses.
        TypeError
            A record that is no text.
        """
        unit = _checked_unit(unit, vocabulary)
        if unit == "bpe":
            raise ValueError('unit "bpe" is for a text, not for records: use "char", "word" or '
                             '"byte"')
        words = _checked_words(vocabulary, unit, dict(settings), "Corpus.from_records")
        del words["vocabulary_size"]
        ids, vocabulary, found = encode(records, labels, unit, vocabulary, start, stop, max_length,
                                        too_long, words, name)
        return cls(freeze(ids), vocabulary, name, found)

    @classmethod
    def from_lines(cls, path: Paths, labels: Iterable[str] | None = None, *,
                   encoding: str | None = None, **settings: Any) -> "Corpus":
        """Read a file with one record on each line; line ends LF, CRLF or CR. Blank lines are left
        out and counted.

        Parameters
        ----------
        path : str or path-like, or a list of them
            A file, several, a folder or "-", as in `Corpus.from_file`.
        labels : iterable of str or "files", optional
            A label for each line; "files": the name of its file without the suffix, as in a folder
            with a file of names for each language.
        encoding : str, optional
            As in `Corpus.from_file`.
        **settings
            Arguments of `Corpus.from_records`.

        Raises
        ------
        OSError, ValueError
            As `Corpus.from_file` and `Corpus.from_records`.
        """
        paths = files_of(path)
        settings = {"name": name_of(path, paths)} | settings
        how = settings.get("unit"), settings.get("vocabulary"), encoding
        if not isinstance(labels, str):
            return cls.from_records(Lines(_joined([_read(each, *how) for each in paths])), labels,
                                    **settings)
        if labels != "files":
            raise ValueError('labels must be a list, one for each line, or "files", not '
                             f"{labels!r}")
        if STDIN in paths:
            raise ValueError('labels="files" are names of files, and "-" has none')
        texts: list[Any] = []
        names: list[str] = []
        for each in paths:
            texts += Lines(_read(each, *how))
            names += [Path(os.fsdecode(each)).stem] * (len(texts) - len(names))
        return cls.from_records(texts, names, **settings)

    @classmethod
    def from_table(
        cls, path: str | os.PathLike[str],
        columns: str | int | Sequence[str | int | None] = (0, 1), separator: str | None = None,
        header: bool | None = None, *, encoding: str | None = None, **settings: Any,
    ) -> "Corpus":
        """Read a table of texts and labels, or of texts, such as a TSV or CSV file.

        Fields may be quoted, and are of any length; white space around them is removed. Between
        tabs quotes are part of the text, unless all fields of the first row are in quotes, or only
        quotes make all rows equally long. Blank rows are left out and counted.

        Parameters
        ----------
        path : str or path-like
            One file, or "-", standard input.
        columns : str, int, or a pair of them
            The columns of the text and of its label, or the one of the texts to be learned without
            labels: by number from 0, or by their names in the first row.
        separator : str, optional
            One character between columns, or "comma", "semicolon", "tab" or "bar". By default that
            one of the four that cuts all rows into equally many columns, as many as are needed;
            among several a tab, else the only one that no blank follows anywhere. A first line
            ``sep=;``, which Excel writes, names it.
        header : bool, optional
            Whether the first row names the columns. By default it does if a column is given by its
            name, and does not if it has a number. Otherwise it does if its fields in `columns` are
            usual names such as "text" and "label", or if all fields below one of its fields are
            numbers. Where its label (or of one column its text) stands in another row, it does not.
            Else it does, with a warning, if only its text is a usual name, or if all other labels,
            at least two, stand in several rows. A warning also tells of a first row that is
            learned, while other labels repeat.
        encoding : str, optional
            As in `Corpus.from_file`, for each unit.
        **settings
            Arguments of `Corpus.from_records`.

        Raises
        ------
        OSError, ValueError
            As `Corpus.from_file` and `Corpus.from_records`; no clear separator, a row with too few
            or too many columns (the message gives its line), or an unknown column.
        """
        paths = files_of(path)
        if len(paths) > 1:
            raise ValueError(f"a table is one file, and these are {len(paths)}: join them first")
        settings = {"name": name_of(path, paths)} | settings
        texts, labels = table(read_text(paths[0], encoding), separator, columns,
                              settings["name"], header)
        return cls.from_records(texts, labels, **settings)

    @property
    def sizes(self) -> Sizes:
        return sizes_of(self.vocabulary)

    def hold_out(self, valid_fraction: float, seed: int) -> "tuple[Corpus, Corpus]":
        count = held_out_count(len(self), valid_fraction, 2, f"symbols of {self.name}")
        train, valid = (Corpus(ids, self.vocabulary, self.name)
                        for ids in np.split(self.ids, [len(self) - count]))
        train._held_out = count
        return train, valid

    def reading(self, config: Mapping[str, Any], labels: Sequence[str] | None,
                dtype: np.dtype[Any]) -> Reading:
        T, N, length = config["seq_length"], config["batch_size"], len(self)
        shuffled = config["order"] == "shuffled"
        windows = length - T  # one from every position
        least, fits = (T + N, length - T) if shuffled else (N * (T + 2), length // (T + 2))
        if length < least:
            hint = f", or a batch_size of at most {fits}" if N > 1 and fits > 0 else ""
            left = f" ({length} without the valid_fraction)" if self._held_out else ""
            raise ValueError(f"{self.name} has {length + self._held_out} symbols{left}, and "
                             f"seq_length {T} with batch_size {N} needs at least {least}: give a "
                             f"longer text or a smaller seq_length{hint}")
        if not shuffled:
            return Reading({"ids": self.ids}, math.ceil((length // N - T - 1) / T), float(T))
        return Reading({"ids": self.ids}, windows // N, float(T),
                       lambda rng: (rng.permutation(windows), None, None))

    def batches(self, dtype: np.dtype[Any], *, streams: int = 1,
                steps: int = READ_STEPS) -> Iterator[Batch]:
        N = max(1, min(streams, len(self) // (steps + 1)))
        length = len(self) // N
        # (length, N)
        ids = np.ascontiguousarray(self.ids[: N * length].reshape(N, length).T, np.int32)
        for t in range(0, length - 1, steps):
            targets = ids[t + 1 : t + steps + 1]
            yield Batch(steps, {"inputs": ids[t : t + len(targets)], "targets": targets},
                        np.arange(N), goes_on=True)

    def check_fits(self, vocabulary: Vocabulary | None, sizes: Sizes,
                   labels: Sequence[str] | None) -> None:
        if vocabulary is None:
            raise ValueError("this model was made for sequences, not for a text")
        if self.vocabulary != vocabulary:
            raise ValueError("the corpus has another vocabulary than this model: make it with "
                             "Corpus.from_file or from_text and vocabulary=model.vocabulary")
        if vocabulary.stop is not None:
            raise ValueError(f"{self.name} is a text, and this model learned records: use "
                             "Corpus.from_records, from_lines or from_table")

    def fingerprint(self) -> str:
        """Return the SHA-256 (hex) of the ids, their type and number, without the vocabulary."""
        if self._fingerprint is None:  # the ids do not change
            self._fingerprint = self._sha().hexdigest()
        return self._fingerprint

    def _sha(self) -> "hashlib._Hash":
        stored = self.ids.dtype.newbyteorder("<")  # the same on every machine
        sha = hashlib.sha256(f"{self.ids.itemsize} {len(self)}\n".encode())
        sha.update(self.ids.astype(stored, copy=False).data)
        return sha

    def pieces(self, rows: NDArray[np.intp] | None = None) -> list[NDArray[np.unsignedinteger]]:
        """For fastrnn itself: the ids of all records, or of the given rows, each with its start and
        stop symbol."""
        raise ValueError(f"{self.name} is a text and has no records")

    def ambiguous(self) -> dict[str, tuple[str, ...]]:
        """The texts of records that stand with several labels, such as names of several countries,
        and for each these labels, sorted: no classifier of the text alone is right about all.

        Raises
        ------
        ValueError
            A text, which has no records.
        """
        found: dict[bytes, set[str]] = {}
        pieces = self.pieces()
        for ids, label in zip(pieces, self.row_labels() or (), strict=False):
            found.setdefault(ids.tobytes(), set()).add(label)
        return {self.vocabulary.decode(np.frombuffer(ids, self.ids.dtype)[1:-1]):
                tuple(sorted(labels)) for ids, labels in found.items() if len(labels) > 1}

    def starts(self) -> NDArray[np.float64]:
        """For fastrnn itself: how often each symbol begins the text or one of its lines, or for
        words one of its sentences: shape (K,)."""
        symbols = self.vocabulary.texts
        if self.unit == "word":
            ends = np.array([s.rstrip("\"')]”’»").endswith((".", "!", "?")) for s in symbols])
        else:
            ends = np.array([s.endswith(("\n", "\r")) for s in symbols])
        blank = np.array([not s.strip() for s in symbols])  # no beginning of a line
        ids = self.ids
        first = np.append(True, ends[ids[:-1]])
        if self.unit == "word":  # the empty words of blank lines do not count
            words = np.flatnonzero(~blank[ids])
            ids, first = ids[words], np.append(True, ends[ids[words][:-1]])[: len(words)]
        found = ids[first & ~blank[ids]]
        return np.bincount(found, minlength=len(symbols)).astype(np.float64)

    def weighted(self, weights: Any) -> "Corpus":
        """The same records, each with a weight in the loss.

        Parameters
        ----------
        weights : array_like, shape (n,), dict of str -> float, or "balanced"
            The weight, 0 or more, of each record; or of each label (of those that a dict does not
            name 1); "balanced": inversely proportional to how many records a label has.

        Returns
        -------
        Corpus
            Losses in training, validation and `Model.score` are weighted means over all
            predictions, sum(weight loss) / sum(weight): weights are divided by their mean, so that
            the step of an update does not depend on their unit. Accuracy is not weighted.

        Raises
        ------
        ValueError
            A text without records, an unknown label, or weights that are negative, not finite or
            all 0.

        Examples
        --------
        >>> model = fastrnn.train(corpus.weighted({"Vietnamese": 5.0}))
        """
        raise ValueError(f"{self.name} is a text, and weights are for records: use "
                         "Corpus.from_records, from_lines or from_table")

    def unweighted(self) -> "Corpus":
        return self

    def with_symbols_of(self, vocabulary: Vocabulary) -> "Corpus":
        """The same data with the symbols of a vocabulary first and its own other ones after them.

        Raises
        ------
        ValueError
            Another unit, or a text for a vocabulary of records or the reverse.
        """
        own = self.vocabulary
        if own.unit != vocabulary.unit or (own.stop is None) != (vocabulary.stop is None):
            raise ValueError(f"{self.name} has {self.kind} of {own.unit}s, and the earlier model "
                             f"{'a text' if vocabulary.stop is None else 'records'} of "
                             f"{vocabulary.unit}s: give the same kind of data")
        if own.unit == "bpe":  # merges are not those of the other
            return Corpus(vocabulary.encode(own.decode(self.ids)), vocabulary, self.name)
        both = vocabulary.with_more(own.symbols)
        places = [both.symbols.index(vocabulary.start if symbol == own.start is not None else
                                     vocabulary.stop if symbol == own.stop is not None else symbol)
                  for symbol in own.symbols]
        return Corpus(np.array(places)[self.ids], both, self.name, self.records)

    def in_vocabulary(self, vocabulary: Vocabulary) -> "Corpus":
        if vocabulary == self.vocabulary:
            return self
        both = self.with_symbols_of(vocabulary)
        used = np.unique(both.ids)
        unknown = [both.vocabulary.symbols[i] for i in used[used >= len(vocabulary)]]
        if unknown and vocabulary.unknown is None:
            raise ValueError(
                f"{self.name} has symbols that the training data does not have: "
                f"{', '.join(map(repr, unknown[:10]))}{' ...' * (len(unknown) > 10)}: leave them "
                "out, or train with a vocabulary of both texts, such as "
                "Corpus.from_file(path, vocabulary=Vocabulary.from_text(both))")
        ids = both.ids if not unknown else np.where(
            both.ids < len(vocabulary), both.ids, vocabulary.symbols.index(vocabulary.unknown))
        return Corpus(ids, vocabulary, self.name, self.records)

    def describe(self) -> str:
        return f"{self.name}: {len(self):,} {self.unit}s, {len(self.vocabulary)} distinct"

    def __len__(self) -> int:
        """Return the number of symbols, those before and after each record included."""
        return len(self.ids)

    def __repr__(self) -> str:
        return f"<Corpus {self.name!r}: {len(self)} ids, {self.vocabulary!r}>"


class RecordCorpus(Corpus):
    """Records, each read from the zero state: what ``Corpus(..., records=...)`` makes."""

    kind = "records"
    splits = ("random", "end")  # a table is often sorted: its last rows are no random sample
    records: Records

    def __init__(self, ids: ArrayLike, vocabulary: Vocabulary, name: str = "records",
                 records: Records | None = None) -> None:
        if records is None:
            raise ValueError("a RecordCorpus needs `records`: use Corpus.from_records")
        super().__init__(ids, vocabulary, name, records)
        self.steps, self.predictions = int(records.steps.max()), int(records.steps.sum())
        self.labels, self.rows = records.names, len(records)

    @classmethod
    def of_pieces(cls, pieces: list[NDArray[Any]], vocabulary: Vocabulary) -> "RecordCorpus":
        """A corpus from the ids of each record, with its start and stop symbol."""
        return cls(np.concatenate(pieces), vocabulary,
                   records=Records.of_lengths(np.array([len(ids) for ids in pieces], np.int64)))

    def weighted(self, weights: Any) -> Corpus:
        if isinstance(weights, str | Mapping):
            if self.records.labels is None:
                raise ValueError(f"{self.name} has no labels: give a weight for each record")
            counts = np.bincount(self.records.labels, minlength=len(self.labels))
            weights = class_weights_of("weights", weights, self.labels, counts)[self.records.labels]
        given = weights_of("weights", weights, (len(self.records),))
        return RecordCorpus(self.ids, self.vocabulary, self.name,
                            replace(self.records, weights=given))

    def unweighted(self) -> Corpus:
        if self.records.weights is None:
            return self
        return self.weighted(np.ones(len(self.records)))

    def row_labels(self) -> list[str] | None:
        of_rows = self.records.labels
        return None if of_rows is None else [self.labels[c] for c in of_rows]

    def hold_out(self, valid_fraction: float, seed: int,
                 split: str = "random") -> "tuple[Corpus, Corpus]":
        n = len(self.records)
        count = held_out_count(n, valid_fraction, 1, f"records of {self.name}")
        train, valid = (RecordCorpus(self.ids, self.vocabulary, self.name, self.records[rows])
                        for rows in split_rows(n, count, split, seed))
        return train, valid

    def reading(self, config: Mapping[str, Any], labels: Sequence[str] | None,
                dtype: np.dtype[Any]) -> Reading:
        records, N, n = self.records, config["batch_size"], len(self.records)
        usual, alone = usual_and_alone(records.steps, config)
        updates = self.updates(n, N, "records", len(alone))
        of_rows = self.row_labels() if labels else None
        if config["balance"] and of_rows is None:
            raise ValueError('balance="labels" needs a model and a corpus with labels')
        # the last entry is for row -1: no record, of length 0
        starts, steps = np.append(records.starts, records.starts[0]), np.append(records.steps, 0)
        of_label = {label: c for c, label in enumerate(labels or ())}
        places = None if of_rows is None else np.array(
            [*map(of_label.__getitem__, of_rows), 0], np.int32)


        def order(rng: np.random.Generator) -> Order:
            drawn = (rng.permutation(len(usual)) if not config["balance"] or places is None
                     else balanced(places[usual], rng))
            batches = in_batches(usual[drawn], alone, N)
            rows = batches[: updates - len(alone)].reshape(-1)
            for start in range(0, len(rows), GROUP * N):
                part = rows[start : start + GROUP * N]
                part[:] = part[np.argsort(steps[part], kind="stable")]
            rows = rng.permutation(batches).ravel()
            return starts[rows], steps[rows], None if places is None else places[rows]

        arrays: dict[str, NDArray[Any]] = {"ids": self.ids}
        weights = records.normalized()
        if weights is not None:  # of each step, as the ids are read
            arrays["weights"] = np.zeros(len(self.ids))
            for start, count, weight in zip(records.starts, records.steps, weights, strict=True):
                arrays["weights"][start : start + count] = weight
        return Reading(arrays, updates, float(records.steps.mean()), order,
                       *longest(steps, usual, alone))

    def long_rows(self, config: Mapping[str, Any]) -> dict[str, int]:
        _, found = usual_and_alone(self.records.steps, config)
        return {f"record {row} ({self.vocabulary.decode(ids[1 : SHOWN + 1])!r} ...)": len(ids) - 2
                for row, ids in zip(found, self.pieces(found), strict=True)}

    def batches(self, dtype: np.dtype[Any], *, streams: int = 1,
                steps: int = READ_STEPS) -> Iterator[Batch]:
        pieces, weights = self.pieces(), self.records.normalized()
        counts = [len(ids) - 1 for ids in pieces]
        order = sorted(range(len(pieces)), key=counts.__getitem__)
        while order:
            # T and N are powers of 2, so that few networks are made
            T = 1 << (counts[order[0]] - 1).bit_length()
            rows = [i for i in order[: max(1, ROWS // T)] if counts[i] <= T]
            order = order[len(rows) :]
            N = 1 << (len(rows) - 1).bit_length()
            ids, lengths = np.zeros((T + 1, N), np.int32), np.zeros(N, np.int64)
            for n, i in enumerate(rows):
                ids[: counts[i] + 1, n], lengths[n] = pieces[i], counts[i]
            mask = (np.arange(T)[:, None] < lengths).astype(np.uint8)
            arrays: dict[str, Any] = {"inputs": ids[:-1], "targets": ids[1:], "mask": mask,
                                      "lengths": lengths}
            if weights is not None:
                arrays["weights"] = np.zeros((T, N))
                arrays["weights"][:, : len(rows)] = weights[rows]
            yield Batch(T, arrays, np.array(rows))

    def check_fits(self, vocabulary: Vocabulary | None, sizes: Sizes,
                   labels: Sequence[str] | None) -> None:
        if vocabulary is not None and vocabulary.stop is None:
            raise ValueError(f"{self.name} has records, and this model learned a text")
        if vocabulary is None or vocabulary != self.vocabulary:
            super().check_fits(vocabulary, sizes, labels)
        strange = sorted(set(self.labels) - set(labels or self.labels))
        if strange:
            raise ValueError(f"label {strange[0]!r} of {self.name} never came in training: "
                             f"the known ones are {', '.join(map(repr, labels or ()))}")
        if labels and not self.labels:
            raise ValueError(f"this model needs labels, and {self.name} has none")

    def starts(self) -> NDArray[np.float64]:
        return np.zeros(0)  # each begins with the start symbol

    def digests(self) -> NDArray[np.uint64]:
        return np.unique(digests(self.ids, self.records.starts, self.records.steps + 1))

    def _sha(self) -> "hashlib._Hash":
        sha = super()._sha()
        for array in (self.records.starts, self.records.labels):
            sha.update(b"" if array is None else array.astype("<i8").tobytes())
        sha.update("\n".join(self.labels).encode())
        if self.records.weights is not None:
            sha.update(self.records.weights.astype("<f8").tobytes())
        return sha

    def pieces(self, rows: NDArray[np.intp] | None = None) -> list[NDArray[np.unsignedinteger]]:
        starts, steps = self.records.starts, self.records.steps
        chosen = range(len(starts)) if rows is None else rows
        return [self.ids[starts[i] : starts[i] + steps[i] + 1] for i in chosen]

    def describe(self) -> str:
        counts = "".join(f", {n} {what}" for what, n in self.records.counts.items() if n)
        n = len(self.labels)
        labels = f" with {n} label{'s' * (n > 1)}" if n else ""
        return f"{super().describe()}; {len(self.records):,} records{labels}{counts}"

    def __repr__(self) -> str:
        labels = f"{len(self.labels)} labels, " if self.labels else ""
        return (f"<Corpus {self.name!r}: {len(self.records)} records, {labels}{len(self)} ids, "
                f"{self.vocabulary!r}>")


def balanced(labels: NDArray[np.int32], rng: np.random.Generator) -> NDArray[np.intp]:
    """Random rows, as many as there are labels: each label as often (up to one), rows of rare
    labels repeated."""
    pools = [np.flatnonzero(labels == c) for c in np.unique(labels)]
    counts = np.full(len(pools), len(labels) // len(pools))
    counts[rng.permutation(len(pools))[: len(labels) % len(pools)]] += 1
    rows = []
    for pool, count in zip(pools, counts, strict=True):
        rounds = math.ceil(count / len(pool))
        rows.append(np.concatenate([rng.permutation(pool) for _ in range(rounds)])[:count])
    return rng.permutation(np.concatenate(rows))


def _check_vocabulary(vocabulary: Vocabulary) -> None:
    if not isinstance(vocabulary, Vocabulary):
        raise TypeError("vocabulary must be a fastrnn.Vocabulary, not "
                        f"{type(vocabulary).__name__}: make one with Vocabulary.from_text")


def _checked_unit(unit: str | None, vocabulary: Vocabulary | None) -> str:
    if unit is not None:
        check_unit(unit)
    if vocabulary is None:
        return unit or "char"
    _check_vocabulary(vocabulary)
    if unit not in (None, vocabulary.unit):
        raise ValueError(f'unit "{unit}" is not the vocabulary\'s, which is "{vocabulary.unit}": '
                         "give only one of the two")
    return vocabulary.unit


def _checked_words(
    vocabulary: Vocabulary | None, unit: str, settings: dict[str, Any], call: str
) -> dict[str, Any]:
    """How a new vocabulary splits words; refused where a vocabulary is given."""
    words, usual = checked(WordSettings, settings, call), checked(WordSettings, {}, call)
    if vocabulary is not None and words != usual:
        raise ValueError("split, lower, min_count and vocabulary_size are the vocabulary's: leave "
                         "them out where one is given")
    if unit != "bpe" and words["vocabulary_size"] is not None:
        raise ValueError(f'vocabulary_size is for unit "bpe", not "{unit}"')
    if unit == "bpe" and words != usual | {"vocabulary_size": words["vocabulary_size"]}:
        raise ValueError('split, lower and min_count are for unit "word", not "bpe"')
    return words


def _joined(texts: list[Any]) -> Any:
    """One text of the texts of files, with a line end between two."""
    if len(texts) == 1:
        return texts[0]
    end: Any
    end, cr = ("\n", "\r") if isinstance(texts[0], str) else (b"\n", b"\r")
    return end[:0].join([text + end if text and text[-1:] not in (end, cr) else text
                         for text in texts[:-1]] + texts[-1:])


def _read(path: str | os.PathLike[str], unit: str | None, vocabulary: Vocabulary | None,
          encoding: str | None) -> Any:
    """A file as bytes for unit "byte" without an encoding, else as text."""
    if _checked_unit(unit, vocabulary) != "byte" or encoding is not None:
        return read_text(path, encoding)
    data = read_bytes(path)
    wide = marked_as_wide(data)
    if wide is not None:
        warnings.warn(f"{base_name(path)} begins with the byte order mark of {wide.upper()}: unit "
                      f'"byte" learns its bytes, and unit "char" its text', stacklevel=3)
    return data
