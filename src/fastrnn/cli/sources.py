"""What a command reads: a text, records, a table or a data set, as its flags say."""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..data import datasets
from ..data.corpus import Corpus
from ..data.files import STDIN
from ..data.vocabulary import Vocabulary
from ..model.model import Model
from ..screen import show
from ..settings import SourceSettings, WordSettings, given_to
from .flags import add_settings

SOURCES = ("file", "data_dir", "records", "table", "dataset")
TABLE = ("columns", "column", "header", "separator")  # how a table is read
HOW = (*TABLE, "encoding", "file_labels", "max_length", "too_long")  # how files are read


def add_sources(parser: argparse.ArgumentParser, *, reading: bool) -> None:
    """Add FILE and the flags of `SourceSettings`; without `reading` none of those that a trained
    model's vocabulary decides."""
    parser.add_argument("file", metavar="FILE", nargs="*", default=argparse.SUPPRESS,
                        help="a text file, in UTF-8 or with --encoding, several, "
                             "or a folder of .txt files, as one text; - is standard input")
    group = parser.add_argument_group("data, in place of FILE")
    group.add_argument("--dataset", metavar="DATASET", default=argparse.SUPPRESS,
                       help=f"one of {', '.join(datasets.names())}")
    group.add_argument("--columns", nargs=2, default=argparse.SUPPRESS, metavar=("TEXT", "LABEL"),
                       help="columns of the table, by name (in its first row) or number "
                            "(default: 0 1)")
    group.add_argument("--records", nargs="+" if reading else 1, default=argparse.SUPPRESS,
                       metavar="FILE", help="text files, a folder of .txt files, or -, with a "
                       "record on each line, each read by itself")
    decided = () if reading else ("unit", "split", "lower", "min_count", "plot")
    by_hand = {"file", "dataset", "columns", "records"}
    add_settings(group, SourceSettings, leave_out={*by_hand, *decided})


def read_source(given: Mapping[str, Any], vocabulary: Vocabulary | None = None,
                **reading: Any) -> Corpus | None:
    """The data that the flags name, read with a vocabulary if there is one; None if no flag names
    any. `reading` are defaults of the flags that say how to read it."""
    if sum(given.get(name) is not None for name in SOURCES) > 1:
        raise ValueError("give one of FILE, --data-dir, --records, --table and --dataset")
    records, table = given.get("records"), given.get("table")
    given = reading | dict(given)
    words = given_to(WordSettings, dict(given))
    for name in TABLE:
        if given.get(name) is not None and table is None and given.get("valid") is None:
            raise ValueError(f"--{name} is for --table")
    if given.get("file_labels") and records is None and given.get("valid") is None:
        raise ValueError("--file-labels is for --records")
    limited = "max_length" in given or given.get("too_long", "refuse") != "refuse"
    if limited and records is None and table is None:
        raise ValueError("--max-length and --too-long are for --records and --table")
    how: dict[str, Any] = ({"vocabulary": vocabulary} if vocabulary
                           else {"unit": given.get("unit", "char")} | words)
    limits = {name: given[name] for name in ("max_length", "too_long") if name in given}
    encoding = given.get("encoding")
    if records is not None:
        files = _paths(records)
        labels = given.get("file_labels")
        if labels is None:
            labels = len(files) > 1 or Path(files[0]).is_dir()
        return Corpus.from_lines(files, "files" if labels else None,
                                 encoding=encoding, **limits, **how)
    if table is not None:
        return Corpus.from_table(_paths(table)[0], _columns(given),
                                 given.get("separator"), given.get("header"), encoding=encoding,
                                 **limits, **how)
    if given.get("data_dir") is not None:
        return Corpus.from_file(Path(given["data_dir"], "input.txt"), encoding=encoding, **how)
    if given.get("file") is not None:
        paths = _paths(given["file"])
        corpus = Corpus.from_file(paths, encoding=encoding, **how)
        _note_table(paths)
        return corpus
    if encoding is not None and given.get("valid") is None:
        raise ValueError("--encoding is for FILE, --records, --table and --data-dir")
    if given.get("dataset") is not None:
        if vocabulary:
            return load_with(vocabulary, given["dataset"], **words)
        return datasets.load(given["dataset"], **how)
    return None


def load_with(vocabulary: Vocabulary, name: str, **words: Any) -> Corpus:
    """A data set in the units of a vocabulary, and for unit "bpe" with its tokens."""
    corpus = datasets.load(name, vocabulary.unit, **words)
    return corpus.with_symbols_of(vocabulary) if vocabulary.unit == "bpe" else corpus


def check_fits(name: str, model: Model, given: dict[str, Any]) -> None:
    """Raise ValueError for flags that name another kind of data than a model in a file of this name
    reads; the lines of FILE are the records of one of records without labels."""
    records, labels = model.text_vocabulary.stop is not None, model.config["labels"]
    if records and labels and given.get("file"):
        raise ValueError(f"{name} learned records with labels: give --table, or --records, in "
                         "place of FILE")
    if records and given.get("file"):
        given["records"] = given.pop("file")
    for flag in ("records", "table"):
        if not records and given.get(flag) is not None:
            raise ValueError(f"{name} learned a text, not records: give FILE in place of --{flag}")


def _paths(names: str | list[str]) -> list[Any]:
    """Names as Paths, but for standard input: the error for a str speaks of Corpus.from_text."""
    names = [names] if isinstance(names, str) else names
    whole = " ".join(names)
    if len(names) > 1 and Path(whole).is_file():
        raise ValueError(f"quote a name that has blanks: {whole!r}")
    if STDIN in names and sys.stdin is not None and sys.stdin.isatty():
        show("reading the text from the terminal, until Ctrl-D (on Windows Ctrl-Z, Enter)",
             error=True)
    return [name if name in ("", STDIN) else Path(name) for name in names]


def _note_table(names: list[Any]) -> None:
    """Tell where a table is read as a text: as such it teaches tabs or commas, and no labels."""
    for name in map(str, names):
        if name.lower().endswith((".tsv", ".csv")):
            show(f"fastrnn: note: {name} is read as one text; --table {name} reads each row by "
                 "itself", error=True)


def _columns(given: Mapping[str, Any]) -> list[str | int]:
    """The columns of a table, by name or number."""
    column = given.get("column")
    if column is not None and "columns" in given:
        raise ValueError("give one of --column and --columns")
    chosen = given.get("columns", ["0", "1"]) if column is None else [column]
    return [int(c) if c.isdecimal() else c for c in chosen]


def read_valid(path: str, given: Mapping[str, Any], corpus: Corpus) -> Corpus:
    """The validation data of --valid, read in the same way as the training data."""
    how = {name: value for name, value in given.items() if name not in SOURCES}
    kind = next((name for name in ("records", "table") if given.get(name) is not None), "file")
    if kind == "file" and corpus.vocabulary.stop is not None:  # of a data set
        kind = "table" if corpus.labels else "records"
    read = read_source(how | {kind: path}, corpus.vocabulary)
    assert read is not None
    return read


def source_flags(given: Mapping[str, Any]) -> list[str]:
    """The flags that name the data, as they were given."""
    flags = []
    for name in (*SOURCES[1:], *HOW, "valid"):
        value = given.get(name)
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            flags.append(flag if value else flag.replace("--", "--no-", 1))
        elif value is not None:
            flags += [flag, *(value if isinstance(value, list) else [str(value)])]
    file = given.get("file") or []
    return flags + (file if isinstance(file, list) else [file])
