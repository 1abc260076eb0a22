"""What is given as data: several files, folders, standard input, and what is neither."""
import gzip
import io
import os
import pty
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import fastrnn
from fastrnn import Corpus
from fastrnn.cli import main

TEXT = "the rain goes down the window\nand nobody looks up\n" * 12
SHORT = ["--preset", "classic", "--updates", "3", "--no-progress", "--hidden-size", "8",
         "--seq-length", "5"]


@pytest.fixture
def names(tmp_path):
    """A folder as that of PyTorch's names, and other things in it."""
    folder = tmp_path / "names"
    folder.mkdir()
    for label, lines in (("Czech", "Adam\nBen"), ("Arabic", "Ali\n\nBadr\n"),
                         ("Greek", "Egon\r\n")):
        (folder / f"{label}.txt").write_text(lines, newline="")
    return folder


def test_files_and_folders_as_one_text(names):
    expected = Corpus.from_text("Ali\n\nBadr\nAdam\nBen\nEgon\r\n")
    paths = [names / f"{label}.txt" for label in ("Arabic", "Czech", "Greek")]
    for given in (names, str(names), paths, tuple(map(str, paths))):
        corpus = Corpus.from_file(given)
        assert corpus.fingerprint() == expected.fingerprint()
        assert corpus.vocabulary == expected.vocabulary
    assert Corpus.from_file(paths[::-1]).vocabulary.decode(
        Corpus.from_file(paths[::-1]).ids).startswith("Egon\r\nAdam\nBen\nAli")
    assert Corpus.from_file(names).name == "names"
    assert Corpus.from_file(paths).name == "Arabic.txt and 2 more"
    assert Corpus.from_file(paths[:1]).name == "Arabic.txt"
    octets = Corpus.from_file(paths, unit="byte")
    assert bytes(octets.vocabulary.symbols[i] for i in octets.ids) == (
        b"Ali\n\nBadr\nAdam\nBen\nEgon\r\n")


def test_a_folder_says_what_it_leaves_out(names):
    for other in ("README.md", "z.csv", ".hidden.txt"):
        (names / other).write_text("ü")
    (names / "more.txt").mkdir()
    with pytest.warns(UserWarning, match=r"^3 .txt files of '.*names' are read, and .hidden.txt, "
                                         r"README.md, more.txt/ and 1 more left out$"):
        corpus = Corpus.from_file(names)
    assert "ü" not in corpus.vocabulary.symbols
    empty = names / "more.txt"
    (empty / "a.csv").write_text("x")
    with pytest.raises(IsADirectoryError, match="it has no .txt files.*but a.csv"):
        Corpus.from_file(empty)


def test_labels_of_files(names):
    corpus = Corpus.from_lines(names, labels="files")
    expected = Corpus.from_records(["Ali", "", "Badr", "Adam", "Ben", "Egon"],
                                   ["Arabic"] * 3 + ["Czech"] * 2 + ["Greek"], name="names")
    assert corpus.fingerprint() == expected.fingerprint()
    assert corpus.labels == ("Arabic", "Czech", "Greek")
    assert corpus.row_labels() == ["Arabic"] * 2 + ["Czech"] * 2 + ["Greek"]
    assert corpus.records.counts["blank"] == 1
    plain = Corpus.from_lines(names)
    assert np.array_equal(plain.ids, corpus.ids) and plain.labels == ()
    with pytest.raises(ValueError, match='labels must be a list, one for each line, or "files"'):
        Corpus.from_lines(names, labels="file")
    with pytest.raises(ValueError, match='"-" has none'):
        Corpus.from_lines("-", labels="files")
    with pytest.raises(ValueError, match="a table is one file"):
        Corpus.from_table(names)


class Stdin:
    def __init__(self, data):
        self.buffer, self.closed = io.BytesIO(data), False

    def isatty(self):
        return False


def test_standard_input(monkeypatch, tmp_path):
    for read, data in ((Corpus.from_file, TEXT), (Corpus.from_lines, TEXT),
                       (Corpus.from_table, "Ada,x\nBob,y\n")):
        (tmp_path / "file").write_text(data)
        monkeypatch.setattr(sys, "stdin", Stdin(data.encode()))
        corpus = read("-")
        assert corpus.fingerprint() == read(tmp_path / "file").fingerprint()
        assert corpus.name == "standard input"
    monkeypatch.setattr(sys, "stdin", Stdin(b""))
    with pytest.raises(ValueError, match="standard input is empty"):
        Corpus.from_file("-")
    with pytest.raises(ValueError, match="read once"):
        Corpus.from_file(["-", tmp_path / "file", "-"])
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(OSError, match="no standard input"):
        Corpus.from_file("-")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-").write_text(TEXT)  # a file of this name
    assert Corpus.from_file(Path("-")).name == "-"


def test_the_command_line(monkeypatch, names, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    for file in ("a.txt", "b.txt"):
        (tmp_path / file).write_text(TEXT)
    monkeypatch.setattr(sys, "stdin", Stdin(2 * TEXT.encode()))
    models = []
    for file in (["a.txt", "b.txt"], ["-"]):
        assert main(["train", *file, *SHORT, "--checkpoint", "m.st", "--overwrite"]) == 0
        models.append(fastrnn.load("m.st").params)
    for name, p in models[0].items():
        assert np.array_equal(p, models[1][name])
    monkeypatch.setattr(sys, "stdin", Stdin(2 * TEXT.encode()))
    assert main(["train", "-", "--resume", "m.st", "--updates", "5", "--no-progress"]) == 0
    monkeypatch.setattr(sys, "stdin", Stdin(TEXT.encode()))
    assert main(["train", "-", "--resume", "m.st", "--updates", "6", "--no-progress"]) == 2
    capsys.readouterr()
    monkeypatch.setattr(sys, "stdin", Stdin(TEXT.encode()))
    assert main(["score", "m.st", "-"]) == 0
    assert "standard input: 600 chars" in capsys.readouterr().out
    assert main(["score", "m.st", "a.txt", "b.txt"]) == 0
    assert "a.txt and 1 more: 1,200 chars" in capsys.readouterr().out
    (tmp_path / "a.txt b.txt").write_text(TEXT)
    assert main(["train", "a.txt", "b.txt"]) == 2
    assert "quote a name that has blanks: 'a.txt b.txt'" in capsys.readouterr().err


def test_records_on_the_command_line(names, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    files = sorted(map(str, names.iterdir()))
    short = ["--updates", "3", "--no-progress", "--checkpoint", "r.st", "--overwrite",
             "--hidden-size", "8", "--valid-fraction", "0"]
    for given, labels in ((["--records", str(names)], ["Arabic", "Czech", "Greek"]),
                          (["--records", *files], ["Arabic", "Czech", "Greek"]),
                          (["--records", files[0]], None),
                          (["--records", *files, "--no-file-labels"], None),
                          (["--records", files[0], "--file-labels"], ["Arabic"])):
        assert main(["train", *given, *short]) == 0, given
        assert fastrnn.load("r.st").config["labels"] == labels
    assert main(["train", "--records", str(names), *short]) == 0
    capsys.readouterr()
    assert main(["score", "r.st", "--records", str(names)]) == 0
    assert "5 records with 3 labels" in capsys.readouterr().out
    assert main(["train", files[0], "--file-labels", *short]) == 2
    assert "--file-labels is for --records" in capsys.readouterr().err
    (tmp_path / "c.toml").write_text(f"records = {files!r}".replace("'", '"'))
    assert main(["train", "--config", "c.toml", *short]) == 0
    assert fastrnn.load("r.st").config["labels"] == ["Arabic", "Czech", "Greek"]


def test_a_terminal_is_told_that_it_is_waited_for(tmp_path):
    control, terminal = pty.openpty()
    with subprocess.Popen([sys.executable, "-m", "fastrnn", "train", "-", *SHORT], stdin=terminal,
                          stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=tmp_path) as run:
        assert b"until Ctrl-D" in run.stderr.readline()
        os.write(control, TEXT.encode() + b"\x04")
        assert run.wait(120) == 0, run.stderr.read()
    os.close(control)
    os.close(terminal)


class Frame:
    columns, iloc = ["text", "label"], None

    def __iter__(self):
        return iter(self.columns)


GIVEN = [(lambda: io.StringIO("ab"), r"from_text\(file.read\(\)\)"),
         (lambda: {"text": ["ab"]}, "from_records"), (Frame, r"from_records\(table"),
         (lambda: {"ab", "cd"}, r"from_records\(sorted"), (lambda: 3, "see fastrnn.Corpus")]


@pytest.mark.parametrize("given, hint", GIVEN)
def test_other_things_get_an_answer(given, hint):
    for call in (fastrnn.train, Corpus.from_file, Corpus.from_lines, Corpus.from_table,
                 Corpus.from_text, Corpus.from_records):
        with pytest.raises(TypeError, match=hint):
            call(given())


def test_things_for_another_call():
    for call in (fastrnn.train, Corpus.from_file):
        for given in (np.array(["ab", "cd"]), iter(["ab", "cd"]), (c for c in "ab")):
            with pytest.raises(TypeError, match=r"Corpus.from_records\(texts\)"):
                call(given)
    with pytest.raises(TypeError, match="'anna' is none.*from_records.*from_text"):
        fastrnn.train(["anna", "bob"])
    with pytest.raises(TypeError, match=r"from_text\(text\).*from_records\(text.splitlines"):
        Corpus.from_records("anna\nbob")
    for call in (Corpus.from_records, Corpus.from_text):
        with pytest.raises(TypeError, match="Corpus.from_lines"):
            call(Path("a.txt"))
    with pytest.raises(TypeError, match="record 0 must be a str, not .*Path: Corpus.from_file"):
        Corpus.from_records([Path("a.txt")])
    with pytest.raises(TypeError, match="Corpus.from_records"):
        Corpus.from_text(["anna", "bob"])
    with pytest.raises(TypeError, match="decode it first"):
        Corpus.from_text(b"anna")
    with pytest.raises(ValueError, match="list of paths is empty"):
        Corpus.from_file([])
    for url in ("https://example.org/a.txt", Path("https://example.org/a.txt")):
        with pytest.raises(FileNotFoundError, match="download"):
            fastrnn.train(url)
    labelled = Corpus.from_records(np.array(["ab", "cd"]), np.array(["x", "y"]))
    assert labelled.labels == ("x", "y") and {type(label) for label in labelled.labels} == {str}
    for labels in ("xy", {"x": 1}, 3):
        with pytest.raises(TypeError, match="labels must be a list of texts, not .*: one for each"):
            Corpus.from_records(["ab", "cd"], labels)
    with pytest.raises(TypeError, match="record 1 must be a str, not NoneType: a missing text is"):
        Corpus.from_records(["ab", None])
    with pytest.raises(FileNotFoundError, match="Corpus.from_text"):
        fastrnn.train(b"a text")
    assert Corpus.from_records(text for text in ["ab", "cd"]).rows == 2


def _zipped(name):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), "x" * 50)  # always the same bytes
    return data.getvalue()


@pytest.mark.parametrize("data, kind", [
    (gzip.compress(b"ab" * 40, mtime=0), "gzip"), (_zipped("a.txt"), "a zip archive"),
    (_zipped("word/document.xml"), "a Word document"), (_zipped("xl/a.xml"), "an Excel workbook"),
    (b"%PDF-1.7\n1 0 obj", "a PDF"), (b"\x89PNG\r\n\x1a\n" + bytes(20), "a PNG picture"),
    (b"PAR1abc", "a Parquet table")])
def test_files_that_are_no_text(tmp_path, data, kind):
    path = tmp_path / "file.txt"
    path.write_bytes(data)
    for call in (fastrnn.train, Corpus.from_file, Corpus.from_lines, Corpus.from_table):
        with pytest.raises(ValueError, match=f"^file.txt is .*{kind}.*, not a text: "):
            call(path)
    assert len(Corpus.from_file(path, unit="byte")) == len(data)  # any bytes


def test_models_and_notebooks(tmp_path):
    fastrnn.Model(fastrnn.Vocabulary("ab"), hidden_size=3).save(tmp_path / "m.safetensors")
    with pytest.raises(ValueError, match="is a model.*not a text"):
        Corpus.from_file(tmp_path / "m.safetensors")
    (tmp_path / "a.ipynb").write_text('{\n "cells": [\n  {\n   "cell_type": "code"}]}')
    with pytest.warns(UserWarning, match="a.ipynb is a Jupyter notebook.*nbconvert"):
        Corpus.from_file(tmp_path / "a.ipynb")


@pytest.mark.parametrize("numbers", [[1.0, 2.5, 3.0], (4, 5), "column",
                                     np.array([0.5, 3, 2])])
def test_numbers_are_advised_to_be_sequences(numbers):
    """The advice works as it stands."""
    if isinstance(numbers, str):
        numbers = pytest.importorskip("pandas").Series([0.5, 1, 2])
    with pytest.raises(TypeError, match="fastrnn.Sequences") as error:
        fastrnn.train(numbers)
    x = np.array(numbers, float)
    advised = re.search(r"fastrnn\.Sequences\.from_series\(.*?\)", str(error.value))[0]
    sequences = eval(advised, {"fastrnn": fastrnn, "numbers": numbers})
    np.testing.assert_array_equal(sequences.inputs[0, :, 0], x[:-1])
    np.testing.assert_array_equal(sequences.targets[0, :, 0], x[1:])


def test_a_table_of_numbers_is_advised_to_be_a_series():
    pandas = pytest.importorskip("pandas")
    t = np.arange(200)
    numbers = pandas.DataFrame({"load": np.sin(t / 5), "count": t % 7})
    timed = numbers.assign(when=pandas.date_range("2024-01-01", periods=200))
    for table in (numbers, timed):
        with pytest.raises(TypeError, match="not DataFrame: a table of numbers is one") as error:
            fastrnn.train(table)
        whole, estimator = re.search(r"(fastrnn\.train\(.*\)), or (fastrnn.*)$",
                                     str(error.value)).groups()
        names = {"fastrnn": fastrnn, "table": table}
        assert eval(whole.replace("seq_length", "updates=2, progress=False, seq_length"),
                    names).sizes == fastrnn.Sizes(input_size=2, output_size=2)
        assert eval(estimator, names).n_features_in_ == 2
    with pytest.raises(TypeError, match=r'table\["text"\]'):
        fastrnn.train(numbers.assign(text="a"))
