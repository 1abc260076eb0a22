"""Samples during a training: when, and where they are kept."""
import json
import warnings

import numpy as np
import pytest
from runs import SIZES, TEXT, corpus, train
from safetensors import safe_open

import fastrnn
from fastrnn.model import history as history_module
from fastrnn.training.checkpoint import read
from fastrnn.training.samples import Due

__all__ = ["corpus"]  # a fixture


def updates_of(model):
    return [update for update, _ in model.history.samples]


@pytest.mark.parametrize(("settings", "expected"), [
    # the text before the first and after each 10th of 100 updates is 11 samples
    ({"sample_every": 10}, [*range(0, 101, 10)]),
    ({"sample_every": 30}, [0, 30, 60, 90]),
    ({"sample_every": 100}, [0, 100]),
    ({}, [*range(0, 100, 10)]),
    ({"sample_every": 0}, []),
    ({"samples_at": [5, 50, 100]}, [5, 50, 100]),
    ({"samples_at": [50, 5, 5, 0]}, [0, 5, 50]),
    ({"samples_at": 7}, [7]),
    ({"samples_at": "5, 50 99"}, [5, 50, 99]),
    ({"samples_at": np.array([5, 50])}, [5, 50]),
    ({"sample_every": 40, "samples_at": [3, 40]}, [0, 3, 40, 80]),
    ({"sample_every": 0, "samples_at": [5]}, [5]),
])
def test_when_samples_are_taken(corpus, settings, expected):
    model = train(corpus, **SIZES, **settings, updates=100)
    assert updates_of(model) == expected
    assert all(len(text) == 200 and set(text) <= set(TEXT) for _, text in model.history.samples)


@pytest.mark.parametrize("settings", [{"seq_length": 25}, {"seq_length": 6, "batch_size": 7},
                                      {"seq_length": 6, "batch_size": 20, "order": "shuffled"}])
def test_samples_after_epochs(corpus, settings):
    trainer = fastrnn.Trainer(fastrnn.Model(corpus.vocabulary, hidden_size=4), corpus, epochs=3,
                              samples_at=["1e", 3, "3E"], progress=False, **settings)
    assert trainer.config["samples_at"] == ["1e", 3, "3e"]
    trainer.run()
    n = trainer.updates_per_epoch
    assert updates_of(trainer.model) == [3, n, 3 * n] and trainer.update == 3 * n


def test_a_sample_is_the_model_s_at_its_update(corpus):
    """The same text as from a run that ends there."""
    trainer = fastrnn.Trainer(
        fastrnn.Model(corpus.vocabulary, hidden_size=9, seed=1), corpus, seq_length=6, seed=3,
        samples_at=[20], sample_length=40, progress=False)
    other = fastrnn.Trainer(
        fastrnn.Model(corpus.vocabulary, hidden_size=9, seed=1), corpus, seq_length=6, seed=3,
        progress=False)
    trainer.run(updates=30)
    other.run(updates=20)
    assert trainer.history.samples == [(20, other.sample(40))]


@pytest.mark.parametrize(("every", "call_every", "expected"), [
    (0, 40, [0, 40, 80, 100]), (30, 50, [0, 50, 100]), (30, 0, [100]),
    (0, 0, [100]), (30, None, [0, 30, 60, 90, 100]), (0, None, [*range(0, 101, 10)])])
def test_callback_and_samples_are_apart(corpus, every, call_every, expected):
    calls = []
    model = train(corpus, **SIZES, updates=100, sample_every=every, callback_every=call_every,
                  callback=lambda trainer: calls.append(trainer.update))
    assert calls == expected
    assert updates_of(model) == ([*range(0, 101, every)] if every else [])


def test_the_callback_comes_with_the_samples_at(corpus):
    calls = []
    train(corpus, **SIZES, updates=60, samples_at=[5, 50],
          callback=lambda trainer: calls.append((trainer.update, len(trainer.history.samples))))
    assert calls == [(5, 1), (50, 2), (60, 2)]


def test_a_run_of_minutes_has_samples_at_too():
    """By the updates, whatever the time."""
    samples = Due(None, [7, 3], None, 0.0)
    assert [samples.left(n) for n in (0, 3, 6)] == [3, 4, 1] and samples.left(7) > 1e9
    assert [n for n in range(10) if samples.now(n, 0.9)] == [3, 7]
    tenths = Due(None, (), None, 0.25)  # goes on after a quarter of the time
    assert [t for t in range(25, 101) if tenths.now(t, t / 100, at_end=t == 100)] == [
        30, 40, 50, 60, 70, 80, 90]


@pytest.mark.parametrize("cut", [4, 5, 6, 50])
def test_the_samples_are_in_the_file_and_go_on(tmp_path, corpus, cut):
    settings = SIZES | {"samples_at": [0, 5, 50, 60], "sample_every": 25, "sample_length": 30}
    whole = train(corpus, **settings, updates=60, checkpoint=tmp_path / "whole.safetensors")
    path = tmp_path / "part.safetensors"
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        train(corpus, **settings, updates=cut, checkpoint=path)
    late = [str(n) for n in (5, 50, 60) if n > cut]
    assert [f"the run ends after {cut} updates, before {', '.join(late)}: " in str(one.message)
            for one in found] == [True]
    resumed = train(corpus, resume=path, updates=60)
    assert updates_of(whole) == [0, 5, 25, 50, 60]
    assert resumed.history.samples == whole.history.samples
    loaded = fastrnn.load(path)
    assert loaded.history.samples == whole.history.samples
    assert loaded.copy().history.samples == whole.history.samples
    with safe_open(path, framework="np") as file:
        stored = json.loads(file.metadata()["fastrnn"])
    assert stored["history"]["samples"] == [list(sample) for sample in whole.history.samples]
    assert stored["trainer"]["config"]["samples_at"] == [0, 5, 50, 60]


def test_what_says_how_many(tmp_path, corpus):
    model = train(corpus, **SIZES, updates=60, samples_at=[5, 50])
    assert repr(model.history).startswith("<History of 60 updates, 2 samples, training loss ")
    assert "samples" not in repr(train(corpus, **SIZES, updates=60, sample_every=0).history)
    pytest.importorskip("matplotlib")
    axes = model.history.plot()
    assert axes.get_xlabel() == "update (short lines: 2 samples)"
    (lines,) = axes.collections
    assert [segment[0, 0] for segment in lines.get_segments()] == [5, 50]


def test_the_samples_that_are_kept_are_bounded(monkeypatch):
    monkeypatch.setattr(history_module, "MOST_SAMPLES", 4)
    monkeypatch.setattr(history_module, "MOST_SAMPLED", 100)
    history = fastrnn.model.history.History()
    for update in range(6):
        history.add_sample(update, "ab")
    assert [at for at, _ in history.samples] == [2, 3, 4, 5]
    history.add_sample(6, "x" * 95)
    assert [at for at, _ in history.samples] == [4, 5, 6]
    history.add_sample(7, "y" * 1000)  # the last one is kept whole
    assert history.samples == [(7, "y" * 1000)]


@pytest.mark.parametrize(("samples_at", "error", "match"), [
    ([-1], ValueError, "samples_at must be a whole number of at least 0"),
    ([2**31], ValueError, "below 2147483648"), (["9" * 30], ValueError, "below 2147483648"),
    (["5x"], ValueError, "numbers of updates, such as 5, 50 and 500, or of epochs, such as 5e, "
                         "not '5x'"),
    (["-5"], ValueError, "numbers of updates"), (["e"], ValueError, "numbers of updates"),
    (["²"], ValueError, "numbers of updates"), ([1.5], TypeError, "whole number"),
    (1.5, TypeError, "whole number"), ({1: 2}.items(), TypeError, "whole number"),
    ([True], ValueError, "samples_at must be"), (range(1001), ValueError, "at most 1,000 numbers"),
    ([None], TypeError, "samples_at must be a whole number"),
])
def test_bad_numbers_are_refused(corpus, samples_at, error, match):
    with pytest.raises(error, match=match):
        train(corpus, **SIZES, updates=10, samples_at=samples_at)


def test_samples_of_bytes_are_texts(corpus):
    source = fastrnn.Corpus.from_text("äöü €" * 60, "byte")
    model = train(source, **SIZES, updates=10, samples_at=[5])
    assert isinstance(model.history.samples[0][1], str)


def test_samples_of_records_have_their_labels(tmp_path):
    source = fastrnn.Corpus.from_records(["anna", "bram"] * 9, ["left", "right"] * 9)
    path = tmp_path / "m.safetensors"
    model = train(source, hidden_size=5, batch_size=3, epochs=2, samples_at=["1e", "2e"],
                  checkpoint=path)
    assert updates_of(model) == [6, 12]
    for _, text in model.history.samples:
        assert [line.split(": ")[0] in ("left", "right") for line in text.split("\n")] == [True] * 5
    assert read(path)[0].history.samples == model.history.samples


def test_samples_after_a_divergence_are_those_of_the_run_that_went_on():
    history = fastrnn.model.history.History(np.ones(9), np.ones(9), learning_rate=np.ones(9),
                                            samples=[(0, "a"), (4, "b"), (9, "c")])
    history.cut(4, 0)
    assert history.samples == [(0, "a"), (4, "b")]


@pytest.mark.parametrize("samples", [
    "abc", [[0, 5]], [["0", "a"]], [[-1, "a"]], [[11, "a"]], [[5, "a"], [4, "a"]], [[0]], [0],
    [[0, "a", "b"]], {"0": "a"}, None, [[0, "a"]] * 1001, [[True, "a"]], [[0.0, "a"]]], ids=str)
def test_samples_of_a_damaged_file(tmp_path, corpus, samples):
    path = tmp_path / "m.safetensors"
    model = train(corpus, **SIZES, updates=10, samples_at=[5])
    tensors, about = model.stored()
    about["history"]["samples"] = samples
    from fastrnn.files.store import write

    write(path, tensors, about)
    with pytest.raises(ValueError, match="damaged"):
        fastrnn.load(path)


@pytest.mark.parametrize("value", [0, -1, "3", 1.5, True])
def test_updates_per_epoch_of_a_damaged_file(tmp_path, corpus, value):
    from fastrnn.files.store import write

    path = tmp_path / "m.safetensors"
    model = train(corpus, **SIZES, updates=10)
    assert model.history.updates_per_epoch == 116
    model.save(path)
    assert fastrnn.load(path).history.updates_per_epoch == 116
    tensors, about = model.stored()
    about["history"]["updates_per_epoch"] = value
    write(path, tensors, about)
    with pytest.raises(ValueError, match="damaged"):
        fastrnn.load(path)
