"""Data sets: files at hand, downloads from a server on this machine, the rules that cut texts."""

import hashlib
import os
import re
import sys
import threading
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pooch
import pytest

import fastrnn
from fastrnn.data import datasets

# small sets of our own, so that nothing is fetched from elsewhere and nobody's text is needed
DATA = b"to be or not to be\n"
WRONG = b"to be or not to bee\n"
TOY = datasets.Dataset(
    name="toy", title="a line", language="English", origin="this test", licence="free for all",
    file="toy.txt", sha256=hashlib.sha256(DATA).hexdigest(), size=len(DATA))

# a book as Project Gutenberg sends it, and what of it is the book
BOOK = """\
The Project Gutenberg EBook of A Tale, by Nobody

Character set encoding: ISO-8859-1

*** START OF THIS PROJECT GUTENBERG EBOOK A TALE ***




Produced by Somebody




A TALE


CHAPTER I. Où l’on dort

Once upon a time.

  *    *    *    *

    *    *    *

And they slept.

  *    *    *    *



CHAPTER II. The End

No more.




End of the Project Gutenberg EBook of A Tale, by Nobody

*** END OF THIS PROJECT GUTENBERG EBOOK A TALE ***

*** START: FULL LICENSE ***
""".replace("’", "'")
TALE = BOOK[BOOK.index("A TALE\n\n"):BOOK.index("\n\n\n\nEnd of")]  # ends with one newline
CHAPTER = "CHAPTER I. Où l'on dort\n\nOnce upon a time.\n\nAnd they slept."
TABLE = "surname,nationality\nJansen,Dutch\nNowak,Polish\nde Wit,Dutch\nÅberg,Swedish\n"


class Server:
    """A server on 127.0.0.1, and what it was asked for."""

    def __init__(self, directory: Path):
        self.directory, self.asked = directory, asked = directory, []

        class Handler(SimpleHTTPRequestHandler):
            def log_message(self, format, *arguments):
                asked.append(self.path)

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=directory))
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    def url(self, file: str) -> str:
        return f"http://127.0.0.1:{self._http.server_port}/{file}"

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    """No file of ours is at hand, the cache is empty, and no proxy is between us and the server."""
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "cache" / project)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("FASTRNN_DATA", raising=False)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture
def server(tmp_path):
    (tmp_path / "served").mkdir()
    made = Server(tmp_path / "served")
    yield made
    made.close()


def known(monkeypatch, dataset, **changes):
    """Make a data set known and return it."""
    changed = replace(dataset, **changes)
    monkeypatch.setitem(datasets.DATASETS, changed.name, changed)
    return changed


def of_bytes(data: bytes, **about):
    return about | {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}


@pytest.fixture
def toy(monkeypatch, server):
    """The toy set, which the server has."""
    (server.directory / "toy.txt").write_bytes(DATA)
    return known(monkeypatch, TOY, url=server.url("toy.txt"))


def put(directory: Path, data: bytes, file: str = "toy.txt") -> Path:
    directory.mkdir(exist_ok=True)
    (directory / file).write_bytes(data)
    return directory / file


def test_names():
    assert fastrnn.datasets.names() == [
        "tiny-shakespeare", "alice", "alice-whole", "pride-and-prejudice", "candide",
        "die-verwandlung", "don-quijote", "divina-commedia", "names", "pydoc-topics"]


def test_every_set_is_whole():
    for name, dataset in datasets.DATASETS.items():
        assert dataset.name == name
        assert dataset.origin and dataset.licence and dataset.title and dataset.language
        if dataset.file is not None:
            assert len(bytes.fromhex(dataset.sha256)) == 32
            assert dataset.size > 0
            owner = datasets.DATASETS[dataset.whole] if dataset.whole else dataset
            # an address that cannot change: it names a commit
            parts = owner.url.removeprefix("https://raw.githubusercontent.com/").split("/")
            assert len(bytes.fromhex(parts[2])) == 20 and len(parts) >= 4
    files = [dataset.file for dataset in datasets.DATASETS.values() if dataset.file]
    assert len(set(files)) == len(files)
    assert len({dataset.language for dataset in datasets.DATASETS.values()}) == 6


def test_data_readme_lists_every_file():
    text = (Path(__file__).parents[2] / "data" / "README.md").read_text("utf-8")
    for dataset in datasets.DATASETS.values():
        assert f"`{dataset.name}`" in text
        if dataset.file is not None:
            assert f"| `{dataset.file}` | `{dataset.name}` |" in text
            assert f"{dataset.size:,}" in text and f"`{dataset.sha256}`" in text
            assert dataset.url is None or dataset.url in text


def test_table():
    head, *rows = fastrnn.datasets.table().splitlines()
    assert head.split() == ["name", "language", "bytes", "what", "licence"]
    assert [row.split()[0] for row in rows] == datasets.names()
    row = rows[datasets.names().index("candide")]
    assert re.split("  +", row) == ["candide", "French", "225,625", "Voltaire, Candide",
                                    "public domain in the USA"]
    assert row.index("225,625") + 7 == head.index("bytes") + 5  # numbers end below each other


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [("shakespeare", "tiny-shakespeare"), ("Alice", "alice"), ("pydoc", "pydoc-topics")],
)
@pytest.mark.parametrize("call", [datasets.path, datasets.load])
def test_unknown_name(wrong, nearest, call):
    with pytest.raises(ValueError, match=f"no data set is called '{wrong}'.*mean '{nearest}'"):
        call(wrong)


def test_order_of_look_up(toy, server, monkeypatch, tmp_path):
    fetched = datasets.path("toy")
    assert fetched == tmp_path / "cache" / "fastrnn" / "toy.txt"
    in_data = put(Path("data").absolute(), DATA)
    assert datasets.path("toy") == in_data
    monkeypatch.setenv("FASTRNN_DATA", str(tmp_path / "texts"))
    assert datasets.path("toy") == in_data  # a directory without the file is passed by
    in_variable = put(tmp_path / "texts", DATA)
    assert datasets.path("toy") == in_variable
    assert server.asked == ["/toy.txt"]


def test_path_outlives_a_change_of_directory(toy, monkeypatch, tmp_path):
    put(Path("data"), DATA)
    file = datasets.path("toy")
    monkeypatch.chdir(tmp_path)
    assert file.read_bytes() == DATA


@pytest.mark.parametrize("where", ["data", "variable"])
def test_local_file_with_the_wrong_sum(toy, server, monkeypatch, tmp_path, where):
    if where == "variable":
        monkeypatch.setenv("FASTRNN_DATA", str(tmp_path / "texts"))
    put(tmp_path / "texts" if where == "variable" else Path("data"), WRONG)
    found = hashlib.sha256(WRONG).hexdigest()
    with pytest.raises(ValueError, match=f"toy.txt' is not .* is {found} and .*{toy.sha256}"):
        datasets.path("toy")
    assert server.asked == []


def test_load(toy, server):
    put(Path("data"), DATA)
    corpus = datasets.load("toy")
    assert corpus.vocabulary.decode(corpus.ids) == DATA.decode()
    assert corpus.name == "toy.txt"
    words = datasets.load("toy", unit="word", split="space")
    assert words.vocabulary.symbols == ("be", "not", "or", "to")
    assert words.ids.tolist() == [3, 0, 2, 1, 3, 0]
    assert bytes(datasets.load("toy", unit="byte").vocabulary.symbols) == bytes(sorted(set(DATA)))
    assert server.asked == []


def test_fetched_once(toy, server):
    first, second = datasets.path("toy"), datasets.path("toy")
    assert first == second
    assert first.read_bytes() == DATA
    assert server.asked == ["/toy.txt"]


def test_a_spoilt_file_in_the_cache_is_fetched_again(toy, server):
    datasets.path("toy").write_bytes(WRONG)
    assert datasets.path("toy").read_bytes() == DATA
    assert server.asked == ["/toy.txt"] * 2


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("progress", [None, True, False])
def test_progress(toy, monkeypatch, capsys, terminal, progress):
    """By default a bar on a terminal, else as asked."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    datasets.load("toy", progress=progress)
    shown = "100%" in capsys.readouterr().err
    assert shown == (terminal if progress is None else progress)


def refused(call):
    """The message of the error that `call` ends in."""
    with pytest.raises(OSError) as caught:
        call()
    return str(caught.value)


def by_hand(dataset):
    return (f"get it by hand and put it in data/, or in the directory that the environment variable"
            f" FASTRNN_DATA names, as {dataset.file} ({dataset.size:,} bytes, SHA-256 "
            f"{dataset.sha256}); licence: {dataset.licence}")


def test_download_of_other_bytes(toy, server, tmp_path):
    (server.directory / "toy.txt").write_bytes(WRONG)
    assert refused(lambda: datasets.path("toy")) == (
        f"the data set 'toy' could not be downloaded from {toy.url} (another SHA-256 came): "
        f"{by_hand(toy)}")
    assert not (tmp_path / "cache" / "fastrnn" / "toy.txt").exists()


def test_download_of_a_file_that_is_not_there(toy, server):
    (server.directory / "toy.txt").unlink()
    assert refused(lambda: datasets.load("toy")) == (
        f"the data set 'toy' could not be downloaded from {toy.url} (HTTP status 404): "
        f"{by_hand(toy)}")
    put(Path("data"), DATA)  # as it says
    assert len(datasets.load("toy")) == len(DATA)


def test_no_connection(monkeypatch, server):
    url = server.url("toy.txt")
    server.close()
    toy = known(monkeypatch, TOY, url=url)
    assert refused(lambda: datasets.load("toy")) == (
        f"the data set 'toy' could not be downloaded from {url} (ConnectionError): {by_hand(toy)}")


def test_cache_that_cannot_be_written(toy, monkeypatch, tmp_path):
    (tmp_path / "a file").write_text("")
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "a file" / project)
    assert f"could not be downloaded from {toy.url} (" in refused(lambda: datasets.path("toy"))


def test_a_book_without_header_licence_and_credits(monkeypatch, server):
    data = BOOK.replace("\n", "\r\n").encode("iso-8859-1")
    (server.directory / "book.txt").write_bytes(data)
    known(monkeypatch, TOY, encoding="iso-8859-1", rule=datasets._book, **of_bytes(data),
          url=server.url("book.txt"))
    corpus = datasets.load("toy")
    assert corpus.vocabulary.decode(corpus.ids) == TALE
    assert datasets.path("toy").read_bytes() == data  # as it was published


@pytest.mark.parametrize(("before", "after"), [
    ("Produced by Somebody\n\n\n\n\n", "\n\n\n"),  # a book without credits
    ("THIS PROJECT", "THE PROJECT"),
    ("End of the Project", "End of Project"),
    ("*** START OF", "***START OF"),
])
def test_other_headers_of_books(before, after):
    assert before in BOOK
    assert datasets._book(BOOK.replace(before, after)) == TALE


def test_a_book_that_is_none():
    with pytest.raises(ValueError, match=r'has lines "\*\*\* START OF" and .* and this text has'):
        datasets._book(TALE)


def test_a_poem_without_the_table_behind_it():
    table = "\n\n\n\n\n  - - - - - -\n\n  TABLE OF SPECIAL CHARACTERS\n      à = a grave"
    assert datasets._poem(BOOK.replace("No more.", "No more." + table)) == TALE


@pytest.fixture
def chapter(monkeypatch, server):
    """The book "toy" on the server, and "part", its first chapter."""
    (server.directory / "book.txt").write_text(BOOK, "utf-8", newline="\n")
    known(monkeypatch, TOY, rule=datasets._book, **of_bytes(BOOK.encode()),
          url=server.url("book.txt"))
    return known(monkeypatch, TOY, name="part", file="part.txt", whole="toy",
                 rule=datasets._first_chapter, **of_bytes(CHAPTER.encode()))


def test_a_chapter_is_cut_from_the_book(chapter, server, tmp_path):
    file = datasets.path("part")
    assert file == tmp_path / "cache" / "fastrnn" / "part.txt"
    assert file.read_bytes() == CHAPTER.encode()
    corpus = datasets.load("part", unit="word", lower=True)
    assert corpus.vocabulary.decode(corpus.ids).split()[:2] == ["chapter", "i."]
    assert corpus.name == "part.txt"
    assert server.asked == ["/book.txt"]
    file.write_bytes(WRONG)  # a spoilt file is cut again
    assert datasets.path("part").read_bytes() == CHAPTER.encode()


def test_a_chapter_at_hand_needs_no_book(chapter, server):
    file = put(Path("data").absolute(), CHAPTER.encode(), "part.txt")
    assert datasets.path("part") == file
    assert server.asked == []


def test_a_chapter_from_a_book_at_hand(chapter, server):
    put(Path("data"), BOOK.encode())
    assert datasets.path("part").read_bytes() == CHAPTER.encode()
    assert server.asked == []


def test_a_chapter_without_its_book(chapter, server):
    (server.directory / "book.txt").unlink()
    message = refused(lambda: datasets.load("part"))
    assert "the data set 'toy' could not be downloaded" in message
    assert message.endswith(
        f"; or put 'part', which is cut from it, there as part.txt ({len(CHAPTER.encode())} bytes, "
        f"SHA-256 {chapter.sha256})")


def test_a_table_of_names(monkeypatch, server):
    (server.directory / "names.csv").write_bytes(TABLE.encode())
    known(monkeypatch, TOY, columns=("surname", "nationality"), url=server.url("names.csv"),
          **of_bytes(TABLE.encode()))
    corpus = datasets.load("toy")
    assert corpus.records.names == ("Dutch", "Polish", "Swedish")
    assert corpus.records.labels.tolist() == [0, 1, 0, 2]
    assert [corpus.vocabulary.decode(piece[1:-1]) for piece in corpus.pieces()] == [
        "Jansen", "Nowak", "de Wit", "Åberg"]


def test_pydoc_topics():
    topics = pytest.importorskip("pydoc_data.topics").topics
    corpus = datasets.load("pydoc-topics")
    text = corpus.vocabulary.decode(corpus.ids)
    assert text.startswith(topics["assert"])
    assert text.endswith(topics["yield"])
    assert len(text) == len(corpus) == sum(map(len, topics.values())) > 400_000
    assert all(value in text for value in topics.values())
    assert corpus.name == "pydoc-topics"
    assert len(datasets.load("pydoc-topics", unit="word").vocabulary) > 5_000


def test_pydoc_topics_are_sorted(monkeypatch):
    module = pytest.importorskip("pydoc_data.topics")
    monkeypatch.setattr(module, "topics", {"b": "two\n", "c": "three\n", "a": "one\n"})
    corpus = datasets.load("pydoc-topics")
    assert corpus.vocabulary.decode(corpus.ids) == "one\ntwo\nthree\n"


def test_pydoc_topics_is_no_file():
    with pytest.raises(ValueError, match=r"no file: use fastrnn.datasets.load\('pydoc-topics'\)"):
        datasets.path("pydoc-topics")


def test_python_without_pydoc_data(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(ImportError, match="without pydoc_data.*install the full standard library"):
        datasets.load("pydoc-topics")


REAL = os.environ.get("FASTRNN_DATA")


@pytest.mark.skipif(not REAL, reason="FASTRNN_DATA is not set")
@pytest.mark.parametrize(
    "name", [name for name, dataset in datasets.DATASETS.items() if dataset.file])
def test_real_files(name, monkeypatch):
    directory, dataset = Path(REAL).absolute(), datasets.DATASETS[name]
    if not (directory / dataset.file).is_file():
        pytest.skip(f"{dataset.file} is not in FASTRNN_DATA")
    monkeypatch.setenv("FASTRNN_DATA", str(directory))
    assert datasets.path(name) == directory / dataset.file
    assert datasets.path(name).stat().st_size == dataset.size
    corpus = datasets.load(name)
    text = corpus.vocabulary.decode(corpus.ids)
    assert "Gutenberg" not in text and "\r" not in text
    if not dataset.rule or dataset.whole:
        raw = (directory / dataset.file).read_bytes().decode(dataset.encoding)
        assert dataset.columns or text == raw
    if name == "alice-whole":  # the rule gives the very bytes of the course's chapter
        part = datasets._first_chapter(text).encode()
        assert hashlib.sha256(part).hexdigest() == datasets.DATASETS["alice"].sha256
