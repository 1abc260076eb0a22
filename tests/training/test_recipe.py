"""What fastrnn.train chooses where nothing is said, presets, and runs that start from another."""
import contextlib
import math
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from runs import TEXT, WORDS

import fastrnn
from fastrnn import recipe
from fastrnn.presets import PRESETS
from fastrnn.settings import TrainSettings, declared
from fastrnn.training.checkpoint import read

QUIET = {"progress": False, "seed": 1}


def text_of(n, seed=0):
    return "".join(np.random.default_rng(seed).choice([*"abcdefgh \n"], n))


def run_of(model_or_path):
    about = read(model_or_path)[2]
    return about["model"] | about["trainer"]["config"]


@pytest.fixture
def speed(monkeypatch):
    """A machine that makes so many updates a second, whatever the size."""
    def of(updates):
        def measured(source, settings):
            N, T = settings["batch_size"], settings.get("seq_length", 1)
            return updates, max(1, source.predictions // (N * T))
        monkeypatch.setattr(recipe, "_speed", measured)
    return of


# ---- the recipe ----

@pytest.mark.parametrize(("predictions", "batch_size", "seq_length", "dropout", "rate"), [
    (1_000_000, 16, 64, 0.0, 0.01), (400_000, 16, 64, 0.1, 0.01), (150_000, 4, 64, 0.5, 0.005),
    (20_000, 2, 32, 0.6, 0.005)])
def test_texts_of_several_lengths(speed, predictions, batch_size, seq_length, dropout, rate):
    speed(1000)
    settings, why = recipe.choose(fastrnn.Corpus.from_text(text_of(predictions)), {})
    chosen = {"cell": "lstm", "batch_size": batch_size, "seq_length": seq_length,
              "dropout": dropout, "optimizer": "adam", "learning_rate": rate,
              "schedule": "cosine", "clip_norm": 1.0, "clip_value": None, "valid_fraction": 0.1}
    assert settings == settings | chosen
    assert f"chosen for {predictions - 1:,} chars" in why
    assert set(settings) - {"epochs", "minutes"} <= recipe.CHOSEN


def test_the_size_is_the_largest_that_can_be_trained_in_time(monkeypatch):
    """A hundred thousand predictions of 64 units a second, and the square of the size slower."""
    corpus = fastrnn.Corpus.from_text(text_of(900_000))

    def measured(source, settings):
        return 100_000 * (64 / settings["hidden_size"]) ** 2 / 1024, 879
    monkeypatch.setattr(recipe, "_speed", measured)
    sizes = {minutes: recipe.choose(corpus, {"minutes": minutes})[0]["hidden_size"]
             for minutes in (0.1, 1, 10, 60)}
    for minutes, size in sizes.items():
        passes = [60 * minutes * 100_000 * (64 / s) ** 2 / (0.9 * 900_000) for s in
                  (size, recipe.SIZES[min(recipe.SIZES.index(size) + 1, len(recipe.SIZES) - 1)])]
        assert size in (64, 1024) or passes[0] >= 2.4 > passes[1], (minutes, size)
    assert list(sizes.values()) == sorted(sizes.values()) and len(set(sizes.values())) > 2


def test_what_is_given_stays(speed):
    speed(1000)
    corpus = fastrnn.Corpus.from_text(text_of(5000))
    given = {"cell": "rnn", "hidden_size": 33, "optimizer": "rmsprop", "batch_size": 3,
             "seq_length": 7, "epochs": 4, "valid_fraction": 0.2, "dropout": 0.25,
             "clip_value": 2.0, "learning_rate_decay": 0.9, "warmup": 3}
    settings, _ = recipe.choose(corpus, given)
    assert settings == settings | given
    assert not {"learning_rate", "schedule", "clip_norm", "minutes", "updates"} & set(settings)


def test_a_short_text_is_not_trained_longer_than_helps(speed):
    speed(10_000)
    settings, _ = recipe.choose(fastrnn.Corpus.from_text(text_of(20_000)), {})
    assert settings["epochs"] == 6 and "minutes" not in settings
    speed(1)  # a slow machine needs the whole minute
    settings, _ = recipe.choose(fastrnn.Corpus.from_text(text_of(20_000)), {})
    assert settings["minutes"] == 1 and "epochs" not in settings


@pytest.mark.parametrize("source", [
    fastrnn.Corpus.from_text("to be or not to be"), fastrnn.Corpus.from_text("ab" * 30),
    fastrnn.Corpus.from_text(TEXT), fastrnn.Corpus.from_text(WORDS, "word"),
    fastrnn.Corpus.from_records(["anna", "bram"], labels=["x", "y"]),
    fastrnn.Corpus.from_records(["anna", "bram", "cor"] * 300),
    fastrnn.tasks.sine(3, 20), fastrnn.tasks.memorization(100, 4)], ids=str)
def test_any_source_trains_without_a_setting(source, monkeypatch):
    monkeypatch.setattr(recipe, "PROBE", 0.01)
    model = fastrnn.train(source, updates=12, **QUIET)
    assert len(model.history) == 12 and np.isfinite(model.history.loss).all()
    assert model.config["cell"] == "lstm"
    assert (model.history.valid_loss.size > 0) == (recipe._valid_fraction(source) > 0)


def test_too_little_time_for_one_update(tmp_path):
    with pytest.raises(ValueError, match="minutes=1e-07 is too short for one update, which takes"):
        fastrnn.train(fastrnn.Corpus.from_text(TEXT), minutes=1e-7, **QUIET)


def test_only_the_smallest_network_must_make_an_update(monkeypatch):
    """A larger one that is too slow for the time is not chosen; without minutes nothing is too
    slow."""
    corpus = fastrnn.Corpus.from_text(text_of(5000))
    monkeypatch.setattr(recipe, "_speed", lambda source, settings: (
        2.0 if settings["hidden_size"] == 64 else 1e-3, 70))
    assert recipe.choose(corpus, {"minutes": 1 / 60})[0]["hidden_size"] == 64
    monkeypatch.setattr(recipe, "_speed", lambda source, settings: (1e-3, 70))
    settings, _ = recipe.choose(corpus, {"updates": 3})
    assert (settings["updates"], settings["hidden_size"], settings["warmup"]) == (3, 64, 0)
    with pytest.raises(ValueError, match="which takes 1e.03 seconds"):
        recipe.choose(corpus, {"minutes": 1 / 60})


@pytest.mark.parametrize(("source", "hint"), [
    (["emma", "olivia"], "Corpus.from_records"), (np.ones((3, 4)), "Sequences"),
    (3, "Corpus and fastrnn.Sequences"), (None, "Corpus and fastrnn.Sequences")])
def test_what_is_no_source_is_told_what_to_do(source, hint):
    with pytest.raises(TypeError, match=f"train takes (the path|a list).*{hint}"):
        fastrnn.train(source)


def test_an_open_file_is_told_what_to_do(tmp_path):
    (tmp_path / "book.txt").write_text(TEXT)
    with open(tmp_path / "book.txt") as file, pytest.raises(TypeError, match=r"file\.read\(\)"):
        fastrnn.train(file)


# ---- presets ----

def test_presets_are_settings_with_a_source():
    assert list(PRESETS) == ["classic", "goblet", "min-char-rnn", "char-rnn", "torch-rnn", "alice",
                             "names", "tweets", "memorization", "sine"]
    known = declared(TrainSettings)
    for name, preset in PRESETS.items():
        assert preset.name == name and len(preset.source) > 20
        for setting, value in preset.settings.items():
            assert known[setting].checked(value) == value


@pytest.mark.parametrize(("name", "shape"), [
    ("char-rnn", {"cell": "lstm", "hidden_size": 128, "num_layers": 2, "seq_length": 50,
                  "batch_size": 50, "optimizer": "rmsprop", "learning_rate": 2e-3,
                  "decay_rate": 0.95, "learning_rate_decay": 0.97, "init": "uniform",
                  "init_scale": 0.08, "valid_fraction": 0.05, "clip_value": 5.0}),
    ("torch-rnn", {"embedding_size": 64, "optimizer": "adam", "learning_rate_decay": 0.5,
                   "learning_rate_decay_after": 5, "learning_rate_decay_every": 5}),
    ("goblet", {"cell": "rnn", "hidden_size": 100, "seq_length": 25, "batch_size": 1,
                "optimizer": "adagrad", "learning_rate": 0.1, "clip_value": 5.0,
                "init_scale": 0.01, "valid_fraction": 0.0, "schedule": "constant"})])
def test_a_preset_trains_with_its_values(tmp_path, name, shape):
    path = tmp_path / "m"
    corpus = fastrnn.Corpus.from_text(text_of(6000))
    fastrnn.train(corpus, preset=name, updates=2, checkpoint=path, progress=False)
    config = run_of(path)
    assert config == config | shape
    assert (config["updates"], config["epochs"]) == (2, None)


def test_the_word_preset_reads_words(tmp_path):
    (tmp_path / "alice.txt").write_text(WORDS)
    model = fastrnn.train(tmp_path / "alice.txt", preset="alice", updates=1, progress=False)
    assert model.vocabulary.unit == "word"
    assert model.config == model.config | {"embedding_size": 15, "hidden_size": 100}


def test_a_keyword_beside_a_preset_wins(tmp_path):
    corpus, path = fastrnn.Corpus.from_text(TEXT), tmp_path / "m"
    fastrnn.train(corpus, preset="classic", hidden_size=7, optimizer="adam", updates=1,
                  checkpoint=path, progress=False)
    config = run_of(path)
    # AdaGrad's learning rate is not Adam's
    assert config == config | {"hidden_size": 7, "optimizer": "adam", "learning_rate": 1e-3,
                               "seq_length": 25}


@pytest.mark.parametrize(("source", "preset", "message"), [
    (fastrnn.tasks.sine(4, 9), "char-rnn", "preset 'char-rnn' is for text, and this is sequences"),
    (fastrnn.Corpus.from_text(TEXT), "sine", "preset 'sine' is for sequences, and this is text"),
    (fastrnn.Corpus.from_records(["a", "b"]), "goblet", "is for text, and this is records"),
    (fastrnn.Corpus.from_text(TEXT), "gobblet", "did you mean 'goblet'")])
def test_bad_presets(source, preset, message):
    with pytest.raises(ValueError, match=message):
        fastrnn.train(source, preset=preset)


def test_a_preset_for_records_and_a_path(tmp_path):
    (tmp_path / "messages.txt").write_text(TEXT)
    with pytest.raises(ValueError, match="preset 'tweets' is for records, and this is text"):
        fastrnn.train(tmp_path / "messages.txt", preset="tweets")


def test_the_command_lists_them():
    done = subprocess.run([sys.executable, "-m", "fastrnn", "presets"], capture_output=True,
                          text=True, check=True)
    for name, preset in PRESETS.items():
        assert f"{name}: for " in done.stdout and preset.source in done.stdout
    assert "hidden_size 128" in done.stdout


# ---- the same run again ----

@pytest.mark.parametrize("settings", [
    {"minutes": 0.01, "hidden_size": 20}, {"updates": 70, "hidden_size": 20},
    {"epochs": 2, "preset": "classic"}, {"minutes": 0.005, "dropout": 0.3, "hidden_size": 9}])
def test_a_run_can_be_repeated(tmp_path, settings):
    """Also one whose length and learning rates the clock decided about."""
    corpus, path = fastrnn.Corpus.from_text(text_of(8000)), tmp_path / "m"
    model = fastrnn.train(corpus, **settings, **QUIET, checkpoint=path)
    again = fastrnn.train(corpus, repeat=path, progress=False, checkpoint=tmp_path / "again")
    assert again.block.tobytes() == model.block.tobytes()
    assert again.state.tobytes() == model.state.tobytes()
    for name in ("loss", "valid_loss", "valid_updates", "learning_rate"):
        assert np.array_equal(getattr(again.history, name), getattr(model.history, name)), name
    once_more = fastrnn.train(corpus, repeat=tmp_path / "again", progress=False)
    assert once_more.block.tobytes() == model.block.tobytes()


def test_what_cannot_be_repeated(tmp_path):
    corpus, path = fastrnn.Corpus.from_text(TEXT), tmp_path / "m"
    fastrnn.train(corpus, preset="classic", updates=3, seed=None, checkpoint=path, progress=False)
    with pytest.raises(ValueError, match="seed=None"):
        fastrnn.train(corpus, repeat=path)
    fastrnn.train(corpus, preset="classic", updates=3, checkpoint=path, progress=False)
    with pytest.raises(ValueError, match="was made with hidden_size=100 and cannot be repeated"):
        fastrnn.train(corpus, repeat=path, hidden_size=30)
    with pytest.raises(ValueError, match="is not the same text"):
        fastrnn.train(fastrnn.Corpus.from_text(TEXT[::-1]), repeat=path)
    with pytest.raises(ValueError, match="give one of preset, init_from, resume and repeat"):
        fastrnn.train(corpus, repeat=path, resume=path)


# ---- resume ----

def test_a_setting_that_equals_a_default_is_refused_too(tmp_path):
    corpus, path = fastrnn.Corpus.from_text(TEXT), tmp_path / "m"
    fastrnn.train(corpus, preset="classic", hidden_size=20, updates=3, checkpoint=path,
                  progress=False)
    with pytest.raises(ValueError, match="was made with hidden_size=20 and cannot go on with 100"):
        fastrnn.train(corpus, resume=path, hidden_size=100, updates=5)
    fastrnn.train(corpus, resume=path, hidden_size=20, updates=5, progress=False)


@pytest.mark.parametrize(("settings", "hint"), [
    ({"updates": 4}, "updates=8"), ({"minutes": 0.002}, "minutes=0.004"), ({}, "updates=")])
def test_a_finished_run_says_so(tmp_path, settings, hint):
    corpus, path = fastrnn.Corpus.from_text(TEXT), tmp_path / "m"
    fastrnn.train(corpus, preset="classic", checkpoint=path, progress=False, **settings)
    with pytest.warns(UserWarning, match=rf"is finished, after \d+ updates: to go on, give a "
                                         rf"longer one, such as {hint}"):
        fastrnn.train(corpus, resume=path, progress=False)


# ---- another model's weights ----

def test_init_from_takes_the_weights_of_known_symbols(tmp_path, capsys):
    path = tmp_path / "m"
    earlier = fastrnn.train(fastrnn.Corpus.from_text(TEXT), cell="gru", hidden_size=11,
                            embedding_size=5, updates=30, valid_fraction=0.0, **QUIET)
    earlier.save(path)
    corpus = fastrnn.Corpus.from_text("abxyzz\nbaxa" * 40)
    model = fastrnn.train(corpus, init_from=path, updates=1, learning_rate=1e-30, seed=1,
                          valid_fraction=0.0, checkpoint=tmp_path / "n")
    out = " ".join(capsys.readouterr().out.split())
    assert "3 new symbols, not yet trained: 'x' 'y' 'z'" in out
    known = len(earlier.vocabulary)
    assert model.vocabulary.symbols == (*earlier.vocabulary.symbols, "x", "y", "z")
    for name, p in earlier.params.items():
        kept = model.params[name][tuple(map(slice, p.shape))]
        np.testing.assert_allclose(kept, p, rtol=1e-6, err_msg=name)
    assert np.abs(model.params["embedding.W"][known:]).min() > 0
    assert np.abs(model.params["head.W"][:, known:]).min() > 0
    assert model.vocabulary.decode(corpus.with_symbols_of(earlier.vocabulary).ids) == \
        "abxyzz\nbaxa" * 40


def test_a_run_from_another_model_s_weights_is_not_repeated_as_a_fresh_one(tmp_path):
    corpus, path = fastrnn.Corpus.from_text(TEXT), tmp_path / "m"
    fastrnn.train(corpus, preset="classic", hidden_size=9, updates=20, progress=False).save(path)
    fastrnn.train(corpus, init_from=path, updates=3, checkpoint=tmp_path / "n", progress=False)
    with pytest.raises(ValueError, match="did not begin with the initial weights of its seed"):
        fastrnn.train(corpus, repeat=tmp_path / "n")


def test_a_resumed_run_can_be_repeated(tmp_path):
    corpus, path = fastrnn.Corpus.from_text(text_of(3000)), tmp_path / "m"
    fastrnn.train(corpus, preset="classic", hidden_size=9, updates=20, checkpoint=path, **QUIET)
    whole = fastrnn.train(corpus, resume=path, updates=45, progress=False)
    again = fastrnn.train(corpus, repeat=path, progress=False)
    assert again.block.tobytes() == whole.block.tobytes()


def test_init_from_of_records_with_labels(tmp_path):
    path = tmp_path / "m"
    first = fastrnn.Corpus.from_records(["anna", "bram", "nora"], ["x", "y", "x"])
    earlier = fastrnn.train(first, updates=20, hidden_size=6, **QUIET)
    earlier.save(path)
    second = fastrnn.Corpus.from_records(["anna", "zoe", "mara"], ["z", "z", "x"])
    model = fastrnn.train(second, init_from=path, updates=1, learning_rate=1e-30, **QUIET)
    assert model.config["labels"] == ["x", "y", "z"]
    np.testing.assert_allclose(model.params["layer0.Wc"][:2], earlier.params["layer0.Wc"])
    assert model.vocabulary.stop == earlier.vocabulary.stop
    assert math.isclose(model.score("anna", label="x"), earlier.score("anna", label="x"),
                        rel_tol=0.2)


@pytest.mark.parametrize(("settings", "message"), [
    ({"cell": "lstm"}, "has cell='rnn', not 'lstm': leave cell out"),
    ({"hidden_size": 100}, "has hidden_size=9, not 100: leave hidden_size out")])
def test_init_from_of_another_network(tmp_path, settings, message):
    path = tmp_path / "m"
    corpus = fastrnn.Corpus.from_text(TEXT)
    fastrnn.train(corpus, preset="classic", hidden_size=9, updates=2, progress=False).save(path)
    with pytest.raises(ValueError, match=message):
        fastrnn.train(corpus, init_from=path, **settings)
    with pytest.raises(ValueError, match="has records of chars, and the earlier model a text"):
        fastrnn.train(fastrnn.Corpus.from_records(["ab", "ba"]), init_from=path)
    with pytest.raises(ValueError, match="is no text, and the earlier model reads text"):
        fastrnn.train(fastrnn.tasks.sine(4, 9), init_from=path)


# ---- true numbers ----

def test_the_training_loss_forgets_its_start():
    """The mean over the last 1 % of the updates, and at least 30, of the loss of one prediction."""
    history = fastrnn.History(seq_length=5)
    loss = np.random.default_rng(0).uniform(1, 9, 7000)
    history.extend(loss[:10], loss[:10], loss[:10])
    history.extend(loss[10:], loss[10:], loss[10:])
    expected = [loss[max(0, n - max(30, n // 100)) : n].mean() / 5 for n in range(1, 7001)]
    np.testing.assert_allclose(history.train_loss, expected, rtol=1e-12)
    assert history.recent_loss() == pytest.approx(expected[-1], rel=1e-12)
    assert f"training loss {expected[-1]:.4g} (nats per symbol)" in repr(history)


@pytest.mark.parametrize("unit", ["char", "word", "byte"])
def test_surprisal(unit):
    """Each is -log of the probability that the model gives to the symbol."""
    corpus = fastrnn.Corpus.from_text(WORDS, unit)
    model = fastrnn.train(corpus, hidden_size=12, updates=20, **QUIET)
    text = " ".join(WORDS.split(" ")[:40])
    surprisal = model.surprisal(text)
    ids = corpus.vocabulary.encode(text)
    assert surprisal.shape == (len(ids) - 1,)
    losses = model.losses(ids[None, :-1], ids[None, 1:], model.state)
    np.testing.assert_allclose(surprisal, losses[0], rtol=1e-5)
    assert surprisal.mean() == pytest.approx(model.score(text), rel=1e-12)


def test_surprisal_of_a_record():
    corpus = fastrnn.Corpus.from_records(["anna", "bram", "nora"], ["x", "y", "x"])
    model = fastrnn.train(corpus, updates=20, hidden_size=6, **QUIET)
    surprisal = model.surprisal("nana", label="x")
    assert surprisal.shape == (5,)  # the stop symbol too
    assert surprisal.mean() == pytest.approx(model.score("nana", label="x"), rel=1e-12)
    with pytest.raises(ValueError, match="one text or one record"):
        model.surprisal(corpus)


# ---- the screen ----

@pytest.mark.skipif(os.name != "posix", reason="terminals of POSIX")
@pytest.mark.parametrize("columns", [60, 80, 120])
def test_the_bar_fits_into_the_terminal(tmp_path, columns):
    """At 80 columns with losses, speed and the time left; at 60 the losses are there."""
    import fcntl
    import pty
    import struct
    import termios

    (tmp_path / "book.txt").write_text(text_of(8000))
    master, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    child = subprocess.Popen(
        [sys.executable, "-m", "fastrnn", "train", "book.txt", "--updates", "40", "--hidden-size",
         "9", "--valid-every", "10", "--checkpoint", "m"], cwd=tmp_path, stderr=terminal,
        stdout=subprocess.DEVNULL)
    os.close(terminal)
    shown = b""
    with contextlib.suppress(OSError):  # the end of a terminal is an error
        while more := os.read(master, 4096):
            shown += more
    os.close(master)
    assert child.wait() == 0
    lines = [line for line in re.split(r"[\r\n]+", shown.decode()) if "100%" in line]
    history = fastrnn.load(tmp_path / "m").history
    assert all(len(line) <= columns for line in lines) and lines
    train, valid = history.train_loss[-1], history.valid_loss[-1]
    assert f"loss {train:.3f} (validation {valid:.3f})" in lines[-1]
    if columns >= 80:
        assert re.search(r", epoch \d+\.\d\d, [\d.]+[kM]? chars/s, 00:00 left *$", lines[-1])


def test_the_block_before_training(capsys):
    corpus = fastrnn.Corpus.from_text(text_of(9000), name="book.txt")
    model = fastrnn.train(corpus, updates=3, hidden_size=9, num_layers=2, sample_every=0)
    out = capsys.readouterr().out
    said = " ".join(out.split())
    assert all(len(line) <= 80 for line in out.splitlines())
    for part in ("data book.txt: 9,000 chars, 10 distinct; 10 % of it for validation",
                 f"model LSTM, 2 layers of 9 hidden units: {model.block.size:,} parameters, ",
                 "training batches of 2 x 32 chars, Adam, learning rate", "dropout 0.6",
                 "plan 3 updates, 0.02",
                 "settings chosen for 8,999 chars: 9 units as given",
                 "loss cross-entropy in nats per char; a uniform guess among 10 has 2.30"):
        assert part in said, part
    fastrnn.train(corpus, preset="goblet", updates=3, progress=False)
    assert capsys.readouterr() == ("", "")


def test_plots_take_axes_and_show_in_notebooks(monkeypatch):
    pytest.importorskip("matplotlib").use("agg")
    from matplotlib import pyplot

    corpus = fastrnn.Corpus.from_text(text_of(8000))
    model = fastrnn.train(corpus, updates=20, hidden_size=9, **QUIET)
    _, ax = pyplot.subplots()
    assert model.history.plot(ax=ax) is ax and len(ax.lines) == 3
    assert "nats per symbol" in ax.get_ylabel()
    before = pyplot.get_fignums()
    axes = model.history.plot()  # pyplot is imported, so plt.show() shows it
    assert len(pyplot.get_fignums()) == len(before) + 1 and axes.figure.number not in before
    pyplot.close("all")
    monkeypatch.setitem(sys.modules, "ipykernel", sys)  # as in a notebook
    model.history.plot()
    assert len(pyplot.get_fignums()) == 1
    pyplot.close("all")
    with pytest.raises(TypeError, match="ax must be a matplotlib Axes"):
        model.history.plot(ax=3)
    norms = fastrnn.gradient_norms(fastrnn.Model(fastrnn.tasks.adding(5, 9).sizes, hidden_size=4),
                                   fastrnn.tasks.adding(5, 9))
    _, pair = pyplot.subplots(1, 2)
    assert norms.plot(ax=pair) == list(pair)
    pyplot.close("all")
