import hashlib
import os
import sys
from pathlib import Path

import pytest

from fastrnn.data import datasets

# a small set of our own, so that nothing is fetched and nobody's text is needed
DATA = b"to be or not to be\n"
TOY = datasets.Dataset(
    name="toy",
    origin="this test",
    licence="none",
    file="toy.txt",
    url="https://example.invalid/toy.txt",
    sha256=hashlib.sha256(DATA).hexdigest(),
    size=len(DATA),
)
WRONG = b"to be or not to bee\n"
WRONG_SUM = hashlib.sha256(WRONG).hexdigest()


@pytest.fixture
def toy(monkeypatch, tmp_path):
    """The toy set, known but nowhere to be found."""
    monkeypatch.setitem(datasets.DATASETS, "toy", TOY)
    monkeypatch.delenv("FASTRNN_DATA", raising=False)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return TOY


@pytest.fixture
def server(monkeypatch, tmp_path):
    """pooch with its cache in a temporary directory and its downloads answered by `server`."""
    pooch = pytest.importorskip("pooch")

    class Server:
        answer: bytes | Exception = DATA
        asked: list[str] = []
        cache = tmp_path / "cache"

    def download(self, url, output_file, *args, **kwargs):
        Server.asked.append(url)
        if isinstance(Server.answer, Exception):
            raise Server.answer
        Path(output_file).write_bytes(Server.answer)

    Server.asked = []
    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", download)
    monkeypatch.setattr(pooch, "os_cache", lambda project: Server.cache / project)
    return Server


def put(directory: Path, data: bytes) -> Path:
    directory.mkdir(exist_ok=True)
    file = directory / TOY.file
    file.write_bytes(data)
    return file


def test_names():
    assert datasets.names() == ["tiny-shakespeare", "alice", "pydoc-topics"]


def test_table_is_whole():
    for name in datasets.names():
        dataset = datasets.DATASETS[name]
        assert dataset.name == name
        assert dataset.origin and dataset.licence
        if dataset.file is not None:
            assert len(bytes.fromhex(dataset.sha256)) == 32
            assert dataset.size > 0


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
    assert fetched == server.cache / "fastrnn" / "toy.txt"
    in_data = put(Path("data").absolute(), DATA)
    assert datasets.path("toy") == in_data
    monkeypatch.setenv("FASTRNN_DATA", str(tmp_path / "texts"))
    assert datasets.path("toy") == in_data  # a directory without the file is passed by
    in_variable = put(tmp_path / "texts", DATA)
    assert datasets.path("toy") == in_variable
    assert server.asked == [TOY.url]


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
    with pytest.raises(ValueError, match=f"toy.txt' is not .* is {WRONG_SUM} and .*{TOY.sha256}"):
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


def test_fetched_once(toy, server):
    first, second = datasets.path("toy"), datasets.path("toy")
    assert first == second
    assert first.read_bytes() == DATA
    assert server.asked == [TOY.url]


def test_fetch_fails(toy, server):
    server.answer = ConnectionError("no route to host")
    with pytest.raises(OSError) as caught:
        datasets.path("toy")
    message = str(caught.value)
    assert f"'toy' could not be fetched from {TOY.url} (ConnectionError)" in message
    assert "put toy.txt in data/ or in the directory that FASTRNN_DATA names" in message


def test_fetched_file_with_the_wrong_sum(toy, server):
    server.answer = WRONG
    with pytest.raises(
        OSError, match="could not be fetched .*another SHA-256.*put toy.txt in data/"
    ):
        datasets.path("toy")
    assert not (server.cache / "fastrnn" / "toy.txt").exists()


def test_without_pooch(toy, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(ImportError, match=r'pip install "fastrnn\[datasets\]", or put toy.txt in'):
        datasets.path("toy")


def test_alice_has_no_address(toy, server):
    with pytest.raises(FileNotFoundError, match="put alice.txt in data/ .*Project Gutenberg 11"):
        datasets.load("alice")
    assert server.asked == []


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


@pytest.mark.skipif("FASTRNN_DATA" not in os.environ, reason="FASTRNN_DATA is not set")
@pytest.mark.parametrize("name", ["tiny-shakespeare", "alice"])
def test_real_files(name):
    directory = Path(os.environ["FASTRNN_DATA"])
    dataset = datasets.DATASETS[name]
    if not (directory / dataset.file).is_file():
        pytest.skip(f"{dataset.file} is not in FASTRNN_DATA")
    assert datasets.path(name) == directory.absolute() / dataset.file
    assert datasets.path(name).stat().st_size == dataset.size
    text = (directory / dataset.file).read_bytes().decode()
    corpus = datasets.load(name)
    assert corpus.vocabulary.decode(corpus.ids) == text
