"""Named texts to learn from: their origin and licence, and where on this machine they are.

A file is searched in the directory that the environment variable FASTRNN_DATA names, then in
``data/`` under the current directory, then in the cache of earlier downloads, else downloaded with
pooch. Its SHA-256 is always checked. ``print(fastrnn.datasets.table())`` shows what there is.
"""

import difflib
import hashlib
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

from ..settings import WordSettings, documented
from .corpus import Corpus

__all__ = ["DATASETS", "Dataset", "load", "names", "path", "table"]

SECONDS = 30  # to wait for an answer while downloading


@dataclass(frozen=True)
class Dataset:
    """One named text.

    Attributes
    ----------
    name, title, language, origin, licence : str
    file : str or None
        File name, None for a text that is no file.
    url : str or None
        Address to download exactly these bytes from, None without one.
    sha256 : str or None
    size : int or None
        Number of bytes.
    encoding : str
    rule : callable, str -> str, or None
        Makes the text to learn from of the file's text. Where `whole` is given it makes the file's
        text of the text of that data set.
    whole : str or None
        The name of the data set that this one is cut from.
    columns : pair of str or None
        For a table of records: the columns of the record and of its label.
    """

    name: str
    title: str
    language: str
    origin: str
    licence: str
    file: str | None = None
    url: str | None = None
    sha256: str | None = None
    size: int | None = None
    encoding: str = "utf-8"
    rule: Callable[[str], str] | None = None
    whole: str | None = None
    columns: tuple[str, str] | None = None


def _book(text: str) -> str:
    """A book of Project Gutenberg without header, licence and credits, lines ended by LF."""
    text = text.replace("\r\n", "\n")
    found = re.search(r"^\*\*\* ?START OF .*\n(?s:(.*?))^\*\*\* ?END OF ", text, re.MULTILINE)
    if found is None:
        raise ValueError('a book of Project Gutenberg has lines "*** START OF" and "*** END OF", '
                         "and this text has not")
    body = re.sub(r"\n+End of (the )?Project Gutenberg.*\n+\Z", "", found[1]).strip("\n")
    credits, _, rest = body.partition("\n\n\n\n")
    return (rest.strip("\n") if "Produced by" in credits else body) + "\n"


def _poem(text: str) -> str:
    """The Divine Comedy, without the table of special characters behind it."""
    return _book(text).partition("\n\n  - - - ")[0].rstrip() + "\n"


def _first_chapter(text: str) -> str:
    """Chapter I of Alice without the rows of asterisks: the text of the course's notebook."""
    chapter = text[text.index("CHAPTER I."):text.index("CHAPTER II.")]
    return re.sub(r"^ +\*[ *]*\n\n", "", chapter, flags=re.MULTILINE).rstrip()


def _raw(repository: str, commit: str, file: str) -> str:
    """The address of a file in a commit, which cannot change."""
    return f"https://raw.githubusercontent.com/{repository}/{commit}/{file}"


_IN_USA = "public domain in the USA; Project Gutenberg's licence is in the file"

DATASETS = {dataset.name: dataset for dataset in (
    Dataset(
        name="tiny-shakespeare",
        title="parts of Shakespeare's plays",
        language="English",
        origin="karpathy/char-rnn, data/tinyshakespeare/input.txt",
        licence="public domain",
        file="tinyshakespeare.txt",
        url=_raw("karpathy/char-rnn", "6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e",
                 "data/tinyshakespeare/input.txt"),
        sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        size=1_115_394),
    Dataset(
        name="alice",
        title="Alice's Adventures in Wonderland, chapter I",
        language="English",
        origin="Project Gutenberg 11, without the rows of asterisks and the last newline",
        licence="public domain",
        file="alice.txt",
        sha256="ce98607c1cfa24684ed18d2a42e643fea137d91c43354e5c0b143c1a64a50383",
        size=11_465,
        rule=_first_chapter,
        whole="alice-whole"),
    Dataset(
        name="alice-whole",
        title="Lewis Carroll, Alice's Adventures in Wonderland",
        language="English",
        origin="Project Gutenberg 11, in GITenberg",
        licence=_IN_USA,
        file="alice-whole.txt",
        url=_raw("GITenberg/Alice-s-Adventures-in-Wonderland_11",
                 "7f18748e114b994d5d9454d5793581bc0b9cf9d7", "11-0.txt"),
        sha256="49a0b2726606e1290ac03a63978fa1dd1bd38a8d805704d98265f393533ea094",
        size=173_595,
        encoding="utf-8-sig",
        rule=_book),
    Dataset(
        name="pride-and-prejudice",
        title="Jane Austen, Pride and Prejudice",
        language="English",
        origin="Project Gutenberg 1342, in GITenberg",
        licence=_IN_USA,
        file="pride-and-prejudice.txt",
        url=_raw("GITenberg/Pride-and-Prejudice_1342",
                 "81db45c9c48c592f0b77f01fc59e677ad0a5634e", "1342-0.txt"),
        sha256="48e0522844402a86a3ea98f0947ba85ea54838db3c59022299298ed968a5a163",
        size=724_725,
        encoding="utf-8-sig",
        rule=_book),
    Dataset(
        name="candide",
        title="Voltaire, Candide",
        language="French",
        origin="Project Gutenberg 4650, in GITenberg",
        licence=_IN_USA,
        file="candide.txt",
        url=_raw("GITenberg/Candide_4650", "3460a8007cb70647d58967f12ff6b97015b73949",
                 "4650-8.txt"),
        sha256="7c5056e6e6804f8a7f71f2eb2156918f77e0afd80104237f95a205eb056075a8",
        size=225_625,
        encoding="iso-8859-1",
        rule=_book),
    Dataset(
        name="die-verwandlung",
        title="Franz Kafka, Die Verwandlung",
        language="German",
        origin="Project Gutenberg 22367, in GITenberg",
        licence=_IN_USA,
        file="die-verwandlung.txt",
        url=_raw("GITenberg/Die-Verwandlung_22367", "dd2beec59176851bfb071689539d6091b3d95d11",
                 "22367-8.txt"),
        sha256="fe91c871104780ce5a8fe3e12e79b757f6fb5ffa28ed83d6186e618fb3bf344a",
        size=143_353,
        encoding="iso-8859-1",
        rule=_book),
    Dataset(
        name="don-quijote",
        title="Miguel de Cervantes, Don Quijote de la Mancha",
        language="Spanish",
        origin="Project Gutenberg 2000, in GITenberg",
        licence=_IN_USA,
        file="don-quijote.txt",
        url=_raw("GITenberg/Don-Quijote_2000", "7879f2c1653ec515d125f49b177c3ef7f596bc3f",
                 "2000-8.txt"),
        sha256="4973737f16b7e8b8972c08e54a95b7bc43b5d93d6738bc08f9256f9c2c68a2ba",
        size=2_155_394,
        encoding="iso-8859-1",
        rule=_book),
    Dataset(
        name="divina-commedia",
        title="Dante Alighieri, La Divina Commedia",
        language="Italian",
        origin="Project Gutenberg 1012, in GITenberg",
        licence=_IN_USA,
        file="divina-commedia.txt",
        url=_raw("GITenberg/La-Divina-Commedia-di-Dante_1012",
                 "fefdc3a2d26e9fb3882d0e8deed620f98c5ede5e", "1012-0.txt"),
        sha256="d294672ec41ffff93692487b597d40edcb1fd2d96adebe95cf4c735f23b2a1b0",
        size=626_459,
        encoding="utf-8-sig",
        rule=_poem),
    Dataset(
        name="names",
        title="10,980 surnames, each with its language as label",
        language="18 languages",
        origin="GokuMohandas/Made-With-ML, data/surnames.csv, made from the names of "
               "spro/practical-pytorch",
        licence="MIT (c) 2019 practicalAI, (c) 2017 Sean Robertson",
        file="surnames.csv",
        url=_raw("GokuMohandas/Made-With-ML", "6039ed7b682565461b1f4795b2fcc1a2e1880264",
                 "data/surnames.csv"),
        sha256="19109c1fc53ee5e4c8ff3a1d8a2b1912d3dd72309a8bf01ef75da763aaaee859",
        size=168_729,
        columns=("surname", "nationality")),
    Dataset(
        name="pydoc-topics",
        title="Python's documentation of its language, in every Python",
        language="English",
        origin="pydoc_data.topics of the standard library, the topics in sorted order; another "
               "text with every version of Python",
        licence="PSF License Version 2"),
)}


def names() -> list[str]:
    """Return the names of all data sets."""
    return list(DATASETS)


def table() -> str:
    """Return the data sets as a table: name, language, size, what it is, licence."""
    rows = [("name", "language", "bytes", "what", "licence")]
    for each in DATASETS.values():
        size = f"{each.size:,}" if each.size else ""
        rows.append((each.name, each.language, size, each.title, each.licence.split(";")[0]))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(
        field.rjust(width) if i == 2 else field.ljust(width)
        for i, (field, width) in enumerate(zip(row, widths, strict=True))).rstrip()
        for row in rows)


def path(name: str, progress: bool | None = None) -> Path:
    """Return the path of a data set's file, downloaded first if necessary.

    The file is as it was published: a book of Project Gutenberg has its licence in it, which `load`
    leaves out.

    Parameters
    ----------
    name : str
        One of `names`.
    progress : bool, optional
        Whether a download shows a progress bar; by default if stderr is a terminal.

    Raises
    ------
    ValueError
        An unknown name, a data set that is no file, or a file with another SHA-256.
    OSError
        The file is not here and cannot be downloaded; the message says where to get it and where
        to put it.
    """
    dataset = _named(name)
    if dataset.file is None:
        raise ValueError(f"data set {name!r} is no file: use fastrnn.datasets.load({name!r})")
    for directory in filter(None, (os.environ.get("FASTRNN_DATA"), "data")):
        file = Path(directory).absolute() / dataset.file
        if file.is_file():
            found = _sha256(file)
            if found != dataset.sha256:
                raise ValueError(f"{str(file)!r} is not the data set {dataset.name!r}: its SHA-256 "
                                 f"is {found} and should be {dataset.sha256}; move it away, or "
                                 "train on it by its path")
            return file
    return _cut(dataset, progress) if dataset.whole else _download(dataset, progress)


@documented(WordSettings)
def load(name: str, unit: str = "char", *, progress: bool | None = None,
         **settings: Unpack[WordSettings]) -> Corpus:
    """Return a data set as a corpus: a text, or for "names" records with labels.

    Parameters
    ----------
    name : str
        One of `names`.
    unit : {"char", "word", "byte"}
    progress : bool, optional
        Whether a download shows a progress bar; by default if stderr is a terminal.
    **settings
        `WordSettings`: split, lower, min_count.

    Raises
    ------
    ImportError
        "pydoc-topics" on a Python without ``pydoc_data``.
    ValueError, OSError
        As in `path`.
    """
    dataset = _named(name)
    if dataset.columns:
        return Corpus.from_table(path(name, progress), dataset.columns, unit=unit, **settings)
    return Corpus.from_text(_text(dataset, progress), unit, name=dataset.file or name, **settings)


def _named(name: str) -> Dataset:
    if name not in DATASETS:
        nearest = difflib.get_close_matches(str(name), DATASETS, n=1, cutoff=0.0)[0]
        raise ValueError(f"no data set is called {name!r}: did you mean {nearest!r}? (There are "
                         f"{', '.join(DATASETS)}.)")
    return DATASETS[name]


def _text(dataset: Dataset, progress: bool | None) -> str:
    """The text to learn from."""
    if dataset.file is None:
        return _pydoc_topics()
    text = path(dataset.name, progress).read_bytes().decode(dataset.encoding)
    return dataset.rule(text) if dataset.rule and not dataset.whole else text


def _pydoc_topics() -> str:
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise ImportError(
            "this Python comes without pydoc_data, the text of the data set 'pydoc-topics': "
            "install the full standard library (on Debian and Ubuntu: apt install python3), or "
            "train on a text file of your own") from None
    return "".join(topics[topic] for topic in sorted(topics))


def _sha256(file: Path) -> str:
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _cut(dataset: Dataset, progress: bool | None) -> Path:
    """The file of a data set that is part of another one, made in the cache."""
    import pooch  # here, so that importing fastrnn does not wait for it

    assert dataset.file and dataset.whole and dataset.rule
    made = Path(pooch.os_cache("fastrnn")) / dataset.file
    if not made.is_file() or _sha256(made) != dataset.sha256:
        try:
            whole = _text(DATASETS[dataset.whole], progress)
        except OSError as error:
            raise OSError(f"{error}; or put {dataset.name!r}, which is cut from it, there as "
                          f"{_known_by(dataset)}") from error
        made.parent.mkdir(parents=True, exist_ok=True)
        made.write_bytes(dataset.rule(whole).encode(dataset.encoding))
    return made


def _download(dataset: Dataset, progress: bool | None) -> Path:
    """The file in the cache of downloads, fetched if it is not there."""
    import pooch

    if progress is None:
        progress = sys.stderr.isatty()
    try:
        return Path(pooch.retrieve(
            dataset.url, known_hash=f"sha256:{dataset.sha256}", fname=dataset.file,
            path=pooch.os_cache("fastrnn"),
            downloader=pooch.HTTPDownloader(progressbar=progress, timeout=SECONDS)))
    except (OSError, ValueError) as error:
        raise OSError(f"the data set {dataset.name!r} could not be downloaded from {dataset.url} "
                      f"({_reason(error)}): get it by hand and put it in data/, or in the "
                      "directory that the environment variable FASTRNN_DATA names, as "
                      f"{_known_by(dataset)}; licence: {dataset.licence}") from error


def _known_by(dataset: Dataset) -> str:
    return f"{dataset.file} ({dataset.size:,} bytes, SHA-256 {dataset.sha256})"


def _reason(error: OSError | ValueError) -> str:
    """Why a download failed, in a few words."""
    response = getattr(error, "response", None)  # of an HTTP error
    if response is not None:
        return f"HTTP status {response.status_code}"
    # pooch raises ValueError for an unexpected hash
    return type(error).__name__ if isinstance(error, OSError) else "another SHA-256 came"
