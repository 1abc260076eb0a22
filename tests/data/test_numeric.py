"""A file that is a table of numbers, and is given as a text: what is told reads and learns it."""
import os
import re
import warnings
from pathlib import Path

import numpy as np
import pandas
import pytest

import fastrnn
from fastrnn import Corpus
from fastrnn.cli import main
from fastrnn.data import numeric

X = np.round(100 + np.random.default_rng(0).normal(size=(60, 2)), 3)


def rows(x, separator, before=()):
    """The lines of a table, in front of each row what stands before it."""
    return "".join(separator.join([*before, *(f"{value:.3f}" for value in row)]) + "\n"
                   for row in x)


TABLES = {
    "times": ("time,load,heat\n" + rows(X, ",", ["2024-01-31 10:00"]), X),
    "tabs, no header": (rows(X, "\t", ["10:00:30.5"]), X),
    "one column": (rows(X[:, :1], ","), X[:, 0]),
    "blanks": ("# a b\n# of a sensor\n" + rows(X, "   "), X),
    "decimal commas": ("Zeit; Last\n" + rows(X, "; ", ["31.1.2024"]).replace(".", ",").replace(
        "31,1,", "31.1."), X),
    "gaps": ("n,a,b\n" + "1.5,,-2e-3\n2.5,NA,.25\n" * 20, [[1.5, -2e-3], [2.5, 0.25]] * 20),
    "long": ("time,load,heat\n" + rows(np.tile(X, (300, 1)), ",", ["3/31/24"]),
             np.tile(X, (300, 1))),
}


@pytest.mark.filterwarnings("ignore:the model is worse than the mean")
@pytest.mark.parametrize("kind", TABLES)
def test_it_is_told(tmp_path, monkeypatch, kind):
    """The first line of the advice reads the numbers, and the second one learns them."""
    monkeypatch.chdir(tmp_path)
    text, expected = TABLES[kind]
    Path("it's.csv").write_text(text)
    with pytest.warns(UserWarning, match="^it's.csv is a table of numbers") as told:
        corpus = Corpus.from_file("it's.csv")
    assert len(told) == 1
    read, learn = re.search(r"in Python: (x = .*?); (fastrnn.*?)\. For",
                            str(told[0].message)).groups()
    names = {"numpy": np, "fastrnn": fastrnn, "pandas": pandas}
    exec(read, names)
    np.testing.assert_array_equal(names["x"], expected)
    if kind != "long":
        ahead = eval(learn.replace("()", "(epochs=1)"), names)
        assert ahead.shape == (1, 1, *np.shape(expected)[1:])  # the next row
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Corpus.from_file("it's.csv", vocabulary=corpus.vocabulary)  # to score, or to go on
        Corpus.from_file("it's.csv", unit="word")
        Corpus.from_file("it's.csv", unit="byte")


def test_on_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("load.csv").write_text(TABLES["times"][0])
    assert main(["train", "load.csv", "--preset", "classic", "--updates", "2", "--hidden-size", "5",
                 "--no-progress"]) == 0
    note, = re.findall("fastrnn: note: .*numbers.*", capsys.readouterr().err)
    assert "--" not in note and note.endswith(".from_series(x)")
    assert "x = numpy.genfromtxt('load.csv', delimiter=',', skip_header=1, usecols=[1, 2])" in note


@pytest.mark.parametrize("text", [
    "To be, or not to be, 1, 2, 3.\n" * 30, "12+34=46\n7*8=56\n" * 30,
    "0 1 1 0\n1 0 0 1\n" * 30, "1.5\n" * 20 + "a\n" * 3,
    "1415926535 8979323846 2643383279\n5028841971 6939937510 0582097494\n" * 20,
    "3." + "1415926535" * 500, "2024-01-01,10:00,Hello\n" * 40, "1.5,2,3\n" * 8,
    "5.1,3.5,setosa\n" * 40, "030 1234567\n" * 40, "2024-01-01 10:00\n" * 40,
    "1.5,2.0\n" * 12_000 + "A long text follows here.\n" * 12_000, "\n\n\n" * 30, "  ", "a"])
def test_other_texts_are_none(text):
    assert numeric.note(text, "text.txt") is None


def test_real_texts_are_none():
    folder = os.environ.get("FASTRNN_DATA")
    if not folder:
        pytest.skip("needs texts")
    files = [path for path in Path(folder).iterdir() if path.is_file()]
    assert files and not any(numeric.note(path.read_text(errors="replace"), path) for path in files)
