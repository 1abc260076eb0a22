"""Sweeps: each run is that of `fastrnn.train`, the worst are stopped, what was trained is kept."""
import csv
import json
import math
import re
import sys

import numpy as np
import pytest
from scipy.stats import loguniform

import fastrnn
from fastrnn import recipe
from fastrnn.cli import main

pytest.importorskip("joblib")
TEXT = "the quick brown fox jumps over the lazy dog. and then it sleeps. " * 30
HOW = {"cell": "gru", "seq_length": 10, "batch_size": 4, "schedule": "cosine", "warmup": 1,
       "optimizer": "adam", "learning_rate": 0.01, "progress": False, "valid_fraction": 0.2}


@pytest.fixture(scope="module")
def corpus():
    return fastrnn.Corpus.from_text(TEXT)


def test_a_run_is_that_of_train(corpus, tmp_path):
    """In two stages, of which each goes on from the checkpoint of the one before."""
    found = fastrnn.sweep(corpus, {"hidden_size": [4, 9, 16], "dropout": [0.2]}, updates=29, jobs=2,
                          directory=tmp_path, **HOW)
    best = found.rows[0]
    assert found.best == {"hidden_size": best["hidden_size"], "dropout": 0.2}
    assert [row["updates"] for row in found.rows] == [30, 10, 10] and best["planned"] == 30
    model = fastrnn.train(corpus, hidden_size=best["hidden_size"], dropout=0.2, updates=30, seed=0,
                          valid_every=10, threads=1, **HOW)
    assert best["loss"] == model.history.valid_loss.min()
    assert np.array_equal(found.best_model().block, model.block)
    for row in found.rows[1:]:
        other = fastrnn.train(corpus, hidden_size=row["hidden_size"], dropout=0.2, updates=30,
                              seed=0, valid_every=10, threads=1, **HOW)
        assert row["loss"] == other.history.valid_loss[0] >= best["loss"]


def test_the_best_part_goes_on_by_the_mean_over_seeds(corpus):
    found = fastrnn.sweep(corpus, {"hidden_size": [3, 5, 8, 12]}, seeds=[4, 7], updates=8, jobs=1,
                          halving=2, **HOW)
    by_size = {}
    for row in found.rows:
        by_size.setdefault(row["hidden_size"], []).append(row)
    assert all(len(rows) == 2 and {row["seed"] for row in rows} == {4, 7}
               for rows in by_size.values())
    updates = {size: {row["updates"] for row in rows} for size, rows in by_size.items()}
    assert sorted(map(max, updates.values())) == [2, 2, 4, 8]
    assert all(len(each) == 1 for each in updates.values())  # both seeds go as far
    first = {size: np.mean([fastrnn.train(
        corpus, hidden_size=size, updates=8, seed=seed, valid_every=2, threads=1,
        **HOW).history.valid_loss[0] for seed in (4, 7)]) for size in by_size}
    ranked = sorted(first, key=first.get)
    assert {size for size in updates if max(updates[size]) > 2} == {*ranked[:2]}
    assert all(row["file"] == "" for row in found.rows)
    with pytest.raises(ValueError, match="kept no files: give it a directory"):
        found.best_model()


def test_a_directory_keeps_what_was_trained(corpus, tmp_path, monkeypatch):
    def table(sizes, folder):
        found = fastrnn.sweep(corpus, {"hidden_size": sizes}, updates=12, jobs=1, halving=2,
                              directory=folder, **HOW)
        return [{name: row[name] for name in ("hidden_size", "loss", "updates")}
                for row in found.rows]

    whole = table([3, 5, 8, 12], tmp_path / "whole")
    table([3, 8], tmp_path / "parts")
    made = []
    run = fastrnn.Trainer.run
    monkeypatch.setattr(fastrnn.Trainer, "run", lambda self, updates: (
        made.append(updates), run(self, updates))[1])
    assert table([3, 5, 8, 12], tmp_path / "whole") == whole and not made
    table([3, 8], tmp_path / "parts")
    assert not made
    again = table([3, 5, 8, 12], tmp_path / "parts")  # a longer list, in more stages
    assert [row["hidden_size"] for row in again[:1]] == [whole[0]["hidden_size"]] and made
    kept = json.loads((tmp_path / "whole" / "sweep.json").read_text())
    assert sorted(row["loss"] for row in kept) == sorted(row["loss"] for row in whole)
    longer = fastrnn.sweep(corpus, {"hidden_size": [3]}, updates=20, jobs=1, directory=tmp_path
                           / "whole", **HOW)  # other settings have other files
    assert longer.rows[0]["planned"] == 20


def test_other_data_in_the_directory_are_refused(corpus, tmp_path):
    fastrnn.sweep(corpus, {"hidden_size": [3]}, updates=4, jobs=1, directory=tmp_path, **HOW)
    with pytest.raises(ValueError, match="is not the same text"):
        fastrnn.sweep(fastrnn.Corpus.from_text(TEXT + "the end. " * 30), {"hidden_size": [3]},
                      updates=4, jobs=1, directory=tmp_path, **HOW)


def test_a_run_that_diverges_is_the_worst(corpus, tmp_path):
    found = fastrnn.sweep(corpus, {"learning_rate": [1e5, 0.01]}, hidden_size=6, updates=8, jobs=1,
                          halving=1, directory=tmp_path, clip_norm=None,
                          **{name: value for name, value in HOW.items()
                             if name not in ("learning_rate", "optimizer", "cell")},
                          optimizer="sgd", cell="relu")
    assert found.rows[-1]["loss"] == math.inf and found.best == {"learning_rate": 0.01}
    found.to_json(tmp_path / "table.json")
    assert json.loads((tmp_path / "table.json").read_text())[-1]["loss"] is None


def test_distributions_are_drawn_the_same_each_time(corpus):
    grid = {"learning_rate": loguniform(1e-3, 1e-1), "hidden_size": [3, 4]}
    how = {name: value for name, value in HOW.items() if name != "learning_rate"}
    found, again = (fastrnn.sweep(corpus, grid, trials=5, updates=2, jobs=1, halving=1, **how)
                    for _ in range(2))
    rates = [row["learning_rate"] for row in found.rows]
    assert len({*rates}) == 5 and all(1e-3 <= rate <= 1e-1 for rate in rates)
    assert rates == [row["learning_rate"] for row in again.rows]
    assert type(rates[0]) is float


@pytest.mark.parametrize("kind", ["records", "numbers"])
def test_other_sources(kind):
    if kind == "records":
        source = fastrnn.Corpus.from_records(["ann", "bob", "eve"] * 20, ["a", "b", "c"] * 20)
    else:
        x = np.random.default_rng(0).normal(size=(30, 6, 2))
        source = fastrnn.Sequences(x, x.cumsum(axis=1)[:, :, :1])
    found = fastrnn.sweep(source, {"hidden_size": [3, 5]}, updates=3, jobs=1, progress=False,
                          valid_fraction=0.2)
    assert len(found.rows) == 2 and all(np.isfinite(row["loss"]) for row in found.rows)


def test_minutes_become_updates(corpus, monkeypatch):
    """As many as the time has at the pace that is measured for the network."""
    monkeypatch.setattr(recipe, "measured", lambda source, settings: (
        100.0 if settings["hidden_size"] == 3 else 50.0, 10))
    found = fastrnn.sweep(corpus, {"hidden_size": [3, 4]}, minutes=0.01, jobs=1, halving=1, **HOW)
    assert {row["hidden_size"]: row["planned"] for row in found.rows} == {3: 60, 4: 30}
    assert all(row["updates"] == row["planned"] for row in found.rows)


def test_tables(corpus, tmp_path):
    found = fastrnn.sweep(corpus, {"hidden_size": [3, 4], "cell": ["rnn", "gru"]}, updates=2,
                          jobs=1, halving=1, **{k: v for k, v in HOW.items() if k != "cell"})
    found.to_csv(tmp_path / "table.csv")
    with open(tmp_path / "table.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["loss"]) for row in rows] == [row["loss"] for row in found.rows]
    assert [row["cell"] for row in rows] == [row["cell"] for row in found.rows]
    with pytest.raises(FileExistsError):
        found.to_csv(tmp_path / "table.csv")
    frame = pytest.importorskip("pandas") and found.to_dataframe()
    assert frame["loss"].tolist() == [row["loss"] for row in found.rows]
    lines = str(found).splitlines()
    assert len(lines) == 5 and lines[0].split()[:4] == ["run", "hidden_size", "cell", "seed"]


BAD = {
    "empty": ({}, {}, TypeError, "grid must be a dict of settings"),
    "name": ({"hiden_size": [3]}, {}, ValueError, "'hiden_size' cannot be swept: did you mean"),
    "own": ({"checkpoint": ["a"]}, {}, ValueError, "'checkpoint' cannot be swept"),
    "twice": ({"cell": ["rnn"]}, {"cell": "gru"}, ValueError, "cell is in the grid and given"),
    "text": ({"cell": "rnn"}, {}, TypeError, "cell must be a list of values to try"),
    "none": ({"cell": []}, {}, TypeError, "cell must be a list of values to try"),
    "value": ({"dropout": [0.1, 2]}, {}, ValueError, "dropout must be"),
    "draws": ({"learning_rate": loguniform(1, 2)}, {}, ValueError, "give trials"),
    "files": ({"cell": ["rnn"]}, {"checkpoint": "a.safetensors"}, ValueError,
              "leave checkpoint out: a sweep has many runs"),
    "valid": ({"hidden_size": [3]}, {"valid_fraction": 0}, ValueError,
              "a sweep compares validation losses"),
    "jobs": ({"hidden_size": [3]}, {"jobs": 0}, ValueError, "jobs must be"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(corpus, case):
    grid, more, kind, message = BAD[case]
    with pytest.raises(kind, match=message):
        fastrnn.sweep(corpus, grid, **{"updates": 2, "jobs": 1, "progress": False} | more)


def test_without_joblib(corpus, monkeypatch):
    monkeypatch.setitem(sys.modules, "joblib", None)
    with pytest.raises(ImportError, match=r'pip install "fastrnn\[sweep\]"'):
        fastrnn.sweep(corpus, {"hidden_size": [3]}, updates=2, **HOW)


def test_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "book.txt").write_text(TEXT)
    how = ["sweep", "book.txt", "--updates", "4", "--jobs", "1", "--seq-length", "10",
           "--valid-fraction", "0.2"]
    assert main([*how, "--grid", "hidden-size=3,5", "--grid", "cell=rnn,gru", "--seeds", "2",
                 "--csv", "table.csv", "--directory", "runs"]) == 0
    said = capsys.readouterr()
    assert re.search(r"\nbest: --hidden-size \d --cell (rnn|gru)\n", said.out)
    assert "validation loss" in said.err and len(list((tmp_path / "runs").iterdir())) == 9
    assert len((tmp_path / "table.csv").read_text().splitlines()) == 9
    assert main([*how, "--grid", "learning_rate=0.001..0.1", "--grid", "hidden_size=3..40",
                 "--trials", "3", "--no-progress"]) == 0
    said = capsys.readouterr()
    assert not said.err and len(said.out.splitlines()) == 6


@pytest.mark.parametrize(("grid", "message"), [
    ("hidden_size", "give a setting and its values"), ("hiden_size=3", "did you mean"),
    ("hidden_size=a", "'a' is not a value"), ("dropout=0.1..0.5", "give --trials"),
    ("accuracy=yes", "must be true or false"), ("dropout=2", "--dropout must be")])
def test_the_command_refuses(tmp_path, capsys, grid, message):
    (tmp_path / "book.txt").write_text(TEXT)
    assert main(["sweep", str(tmp_path / "book.txt"), "--updates", "2", "--grid", grid]) == 2
    said = capsys.readouterr().err
    assert re.search(f"^fastrnn: error: .*{message}", said) and said.count("\n") == 1
