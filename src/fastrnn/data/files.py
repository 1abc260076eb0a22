"""What is named as data: files, a folder, standard input; and what to do with anything else."""

import os
import warnings
from collections.abc import Iterable, Mapping, Set
from pathlib import Path
from typing import Any

import numpy as np

STDIN = "-"  # as a str; a file of this name is Path("-")
SHOWN = 3  # names in a message
# first bytes of files that are no text, and what to do with them
KINDS: tuple[tuple[bytes, str, str], ...] = (
    (b"\x1f\x8b", "compressed by gzip", "decompress it, or: zcat FILE | fastrnn train -"),
    (b"BZh", "compressed by bzip2", "decompress it with bunzip2"),
    (b"\xfd7zXZ\0", "compressed by xz", "decompress it with unxz"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", "decompress it with unzstd"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "take the text files out of it"),
    (b"Rar!", "a RAR archive", "take the text files out of it"),
    (b"%PDF-", "a PDF", "take its text out, such as with pdftotext"),
    (b"\xd0\xcf\x11\xe0", "a document of an old Office", "save it as plain text, or as CSV"),
    (b"\x89PNG", "a PNG picture", "give a text file"),
    (b"\xff\xd8\xff", "a JPEG picture", "give a text file"),
    (b"GIF8", "a GIF picture", "give a text file"),
    (b"SQLite format 3\0", "an SQLite database", "export the column of texts, such as to CSV"),
    (b"PAR1", "a Parquet table", "read it with pandas, and give columns to Corpus.from_records"),
    (b"\x7fELF", "a program", "give a text file"),
    (b"\x93NUMPY", "a NumPy array", "load it with numpy.load, and give it to Sequences"),
)


def files_of(given: Any) -> list[Any]:
    """The paths that are named by one path, a list of them, or a folder of .txt files, in order.

    A warning says what else a folder has. TypeError for what is neither path nor list, FileNotFound
    for no file, IsADirectoryError for a folder without .txt files."""
    if isinstance(given, str | bytes | os.PathLike):
        return _in_folder(given) if given != STDIN and os.path.isdir(given) else [given]
    if not isinstance(given, list | tuple) or any(
            not isinstance(path, str | bytes | os.PathLike) for path in given):
        wrong = next((path for path in given if not isinstance(path, str | bytes | os.PathLike)),
                     given) if isinstance(given, list | tuple) else given
        raise TypeError("the data must be the path of a file or folder, or a list of paths, not "
                        f"{type(wrong).__name__}: {instead(wrong)}")
    if not given:
        raise ValueError("there is no file to read: the list of paths is empty")
    paths = [path for each in given for path in files_of(each)]
    if sum(path == STDIN for path in paths) > 1:
        raise ValueError('standard input can be read once: give "-" once')
    return paths


def _in_folder(folder: Any) -> list[Path]:
    found = sorted(Path(os.fsdecode(folder)).iterdir(), key=lambda path: path.name)
    texts = [path for path in found
             if path.suffix.lower() == ".txt" and path.name[0] != "." and not path.is_dir()]
    others = [path.name + "/" * path.is_dir() for path in found if path not in texts]
    name = os.fsdecode(folder)
    if not texts:
        raise IsADirectoryError(f"{name!r} is a directory: give the path of one text file in it, "
                                "or of several; it has no .txt files, which would be read"
                                f"{_listed(', but ', others)}")
    if others:
        warnings.warn(f"{len(texts)} .txt files of {name!r} are read, and{_listed(' ', others)} "
                      "left out", stacklevel=4)
    return texts


def _listed(before: str, names: list[str]) -> str:
    shown = ", ".join(names[:SHOWN])
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{before}{shown}{more}" if names else ""


def name_of(given: Any, paths: list[Any]) -> str:
    """What this data is called in messages: the name of the file or folder, or of the first file
    and how many more there are."""
    one = given[0] if isinstance(given, list | tuple) and len(given) == 1 else given
    if isinstance(one, str | bytes | os.PathLike):
        return base_name(one)
    return f"{base_name(paths[0])} and {len(paths) - 1} more"


def base_name(path: Any) -> str:
    if path == STDIN:
        return "standard input"
    file = os.fsdecode(path)
    return os.path.basename(file) or os.path.basename(os.path.abspath(file))


def check_is_text(data: bytes, name: str) -> None:
    """ValueError for a file whose first bytes are those of a kind that is no text; a warning for
    texts that are written for a program."""
    for start, kind, hint in KINDS:
        if data.startswith(start):
            raise ValueError(f"{name} is {kind}, not a text: {hint}")
    if data.startswith(b"PK\x03\x04"):
        kinds = {b"word/": "a Word document", b"xl/": "an Excel workbook",
                 b"ppt/": "a presentation", b"epub": "an EPUB", b"opendocument": "a document"}
        inside = next((kind for mark, kind in kinds.items() if mark in data), None)
        hint = ("save it as plain text, or as CSV" if inside else "take the text files out of it")
        raise ValueError(f"{name} is {inside or 'a zip archive'}, not a text: {hint}")
    if data[8:10] == b'{"' and int.from_bytes(data[:8], "little") < len(data):
        raise ValueError(f"{name} is a model or other tensors (safetensors), not a text")
    head = data[:4096].lstrip(b"\xef\xbb\xbf \t\r\n")
    if head.startswith(b"{") and b'"cells"' in head and b'"cell_type"' in head:
        warnings.warn(f"{name} is a Jupyter notebook, and what is learned is its JSON: jupyter "
                      "nbconvert --to markdown makes a text of it", stacklevel=4)
    if head.startswith(b"{\\rtf"):
        warnings.warn(f"{name} is Rich Text, and what is learned are its control words too: save "
                      "it as plain text", stacklevel=4)


def instead(given: Any) -> str:
    """What to do with a value that is no text, no list of texts and no path."""
    if isinstance(given, os.PathLike):
        return ("Corpus.from_file(path) reads a file as one text, Corpus.from_lines(path) its "
                "lines as records")
    if hasattr(given, "read"):
        return ("read it first: fastrnn.Corpus.from_text(file.read()), of a file that is open as "
                "text, or give its path")
    if _is_numbers(given):
        return ("a series of numbers, each with the next one as target, is "
                "fastrnn.Sequences.from_series(numbers)")
    if hasattr(given, "columns") and _is_table_of_numbers(given):
        whole = np.asarray(given).dtype.kind in "iuf"
        table = "table" if whole else 'table.select_dtypes("number")'
        return (f"a table of numbers is one series: fastrnn.train(fastrnn.Sequences.from_series("
                f"{table}), seq_length=50), or fastrnn.SequenceRegressor().fit([{table}])")
    if hasattr(given, "iloc"):
        return ('give a column of texts, and one of labels: fastrnn.Corpus.from_records('
                'table["text"], table["label"])' if hasattr(given, "columns") else
                "for a column of texts use fastrnn.Corpus.from_records(column)")
    if isinstance(given, Mapping):
        return ("give its texts, and their labels: fastrnn.Corpus.from_records(texts, labels), "
                "such as of list(d.values()) and list(d)")
    if isinstance(given, Set):
        return ("a set has no order, and would be another one in each run: "
                "fastrnn.Corpus.from_records(sorted(texts))")
    if isinstance(given, np.ndarray):
        return ("for an array of texts use fastrnn.Corpus.from_records(texts)"
                if given.dtype.kind in "USOT" else
                "a series of numbers, each with the next one as target, is "
                "fastrnn.Sequences.from_series(numbers)" if given.dtype.kind == "f" else
                "numbers and ids with their targets are fastrnn.Sequences(inputs, targets); ids of "
                "a text are fastrnn.Corpus(ids, vocabulary)")
    if isinstance(given, bytes | bytearray | memoryview):
        return 'decode it first, or use unit "byte"'
    if isinstance(given, str):
        return ("fastrnn.Corpus.from_text(text) makes one text of it, "
                "fastrnn.Corpus.from_records(text.splitlines()) records of its lines")
    if isinstance(given, Iterable):
        return ("for names or messages use fastrnn.Corpus.from_records(texts), for one text "
                'fastrnn.Corpus.from_text("\\n".join(texts)), for files a list of paths')
    return "see fastrnn.Corpus and fastrnn.Sequences"


def _is_numbers(given: Any) -> bool:
    """Whether it is a column or a list of numbers."""
    if hasattr(given, "iloc") and not hasattr(given, "columns"):
        return getattr(given.dtype, "kind", "O") in "iuf"
    return isinstance(given, list | tuple) and bool(given) and all(
        isinstance(number, float | int | np.number) for number in given)


def _is_table_of_numbers(given: Any) -> bool:
    """Whether it is a DataFrame of pandas, or a table of another library, of numbers; of pandas
    there may be times beside them."""
    kinds = [getattr(dtype, "kind", "O") for dtype in getattr(given, "dtypes", ())]
    if "O" not in kinds and {*kinds} & {*"iuf"}:
        return {*kinds} <= {*"iufbMm"}
    return np.asarray(given).dtype.kind in "iuf"


def is_url(path: str) -> bool:
    return path.lower().startswith(("http:/", "https:/", "ftp:/"))  # a Path drops the second slash
