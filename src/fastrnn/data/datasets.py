"""Named texts to learn from: their origin, and where on this machine they are.

A file is searched in the directory that the environment variable FASTRNN_DATA names, then in
``data/`` under the current directory, else downloaded with pooch (``pip install
"fastrnn[datasets]"``). Its SHA-256 is always checked.
"""

import difflib
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

from ..settings import WordSettings, documented
from .corpus import Corpus


@dataclass(frozen=True)
class Dataset:
    """One named text.

    Attributes
    ----------
    name, origin, licence : str
    file : str or None
        File name, None for a text that is no file.
    url : str or None
        Address to download exactly these bytes from, None without a permanent one.
    sha256 : str or None
    size : int or None
        Number of bytes.
    """

    name: str
    origin: str
    licence: str
    file: str | None = None
    url: str | None = None
    sha256: str | None = None
    size: int | None = None


DATASETS = {dataset.name: dataset for dataset in (
    Dataset(
        name="tiny-shakespeare",
        origin="karpathy/char-rnn, data/tinyshakespeare/input.txt: parts of the plays",
        licence="public domain",
        file="tinyshakespeare.txt",
        url="https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/"
            "input.txt",
        sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        size=1_115_394),
    Dataset(
        name="alice",
        origin="Project Gutenberg 11, Alice's Adventures in Wonderland, chapter I, without a "
               "newline at its end",
        licence="public domain",
        file="alice.txt",
        sha256="ce98607c1cfa24684ed18d2a42e643fea137d91c43354e5c0b143c1a64a50383",
        size=11_465),
    Dataset(
        name="pydoc-topics",
        origin="pydoc_data.topics of Python's standard library, the topics in sorted order; "
               "another text with every version of Python",
        licence="PSF License Version 2"),
)}


def names() -> list[str]:
    """Return the names of all data sets."""
    return list(DATASETS)


def path(name: str) -> Path:
    """Return the path of a data set's file, downloaded first if necessary.

    Raises
    ------
    ValueError
        An unknown name, a data set that is no file, or a file with another SHA-256.
    ImportError
        The file is not here and pooch is not installed.
    OSError
        The file is not here and cannot be downloaded.
    """
    dataset = _named(name)
    if dataset.file is None:
        raise ValueError(f"data set {name!r} is no file: use fastrnn.datasets.load({name!r})")
    for directory in filter(None, (os.environ.get("FASTRNN_DATA"), "data")):
        file = Path(directory).absolute() / dataset.file
        if file.is_file():
            with open(file, "rb") as stream:
                found = hashlib.file_digest(stream, "sha256").hexdigest()
            if found != dataset.sha256:
                raise ValueError(f"{str(file)!r} is not the data set {dataset.name!r}: its SHA-256 "
                                 f"is {found} and should be {dataset.sha256}; move it away, or "
                                 "train on it by its path")
            return file
    return _fetch(dataset)


@documented(WordSettings)
def load(name: str, unit: str = "char", **settings: Unpack[WordSettings]) -> Corpus:
    """Return a data set as a corpus.

    Parameters
    ----------
    name : str
        One of `names`.
    unit : {"char", "word", "byte"}
    **settings
        `WordSettings`: split, lower, min_count.

    Raises
    ------
    ImportError
        "pydoc-topics" on a Python without ``pydoc_data``; otherwise as in `path`.
    ValueError, OSError
        As in `path`.
    """
    if _named(name).file is not None:
        return Corpus.from_file(path(name), unit, **settings)
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise ImportError(
            "this Python comes without pydoc_data, the text of the data set 'pydoc-topics': "
            "install the full standard library (on Debian and Ubuntu: apt install python3), or "
            "train on a text file of your own") from None
    text = "".join(topics[topic] for topic in sorted(topics))
    return Corpus.from_text(text, unit, name=name, **settings)


def _named(name: str) -> Dataset:
    if name not in DATASETS:
        nearest = difflib.get_close_matches(str(name), DATASETS, n=1, cutoff=0.0)[0]
        raise ValueError(f"no data set is called {name!r}: did you mean {nearest!r}? (There are "
                         f"{', '.join(DATASETS)}.)")
    return DATASETS[name]


def _fetch(dataset: Dataset) -> Path:
    by_hand = f"put {dataset.file} in data/ or in the directory that FASTRNN_DATA names"
    if dataset.url is None:
        raise FileNotFoundError(
            f"the data set {dataset.name!r} is not here and has no address to be fetched from: "
            f"{by_hand} (it is {dataset.origin}; SHA-256 {dataset.sha256})")
    try:
        import pooch
    except ImportError:
        raise ImportError(
            f"the data set {dataset.name!r} is not here, and fetching it needs pooch: "
            f'pip install "fastrnn[datasets]", or {by_hand} (from {dataset.url})') from None
    try:
        return Path(pooch.retrieve(dataset.url, known_hash=f"sha256:{dataset.sha256}",
                                   fname=dataset.file, path=pooch.os_cache("fastrnn")))
    except (OSError, ValueError) as error:
        is_bad = not isinstance(error, OSError)  # pooch raises ValueError for an unexpected hash
        reason = "the download has another SHA-256" if is_bad else type(error).__name__
        raise OSError(f"the data set {dataset.name!r} could not be fetched from {dataset.url} "
                      f"({reason}): {by_hand}") from error
