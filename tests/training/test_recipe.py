"""What fastrnn.train chooses where nothing is said, presets, and runs that start from another."""
import contextlib
import math
import os
import re
import subprocess
import sys
import types
from dataclasses import astuple

import numpy as np
import pytest
from runs import TEXT, WORDS

import fastrnn
from fastrnn import recipe, recipe_table
from fastrnn.presets import PRESETS
from fastrnn.recipe_table import Row
from fastrnn.settings import TrainSettings, declared
from fastrnn.training.checkpoint import read

QUIET = {"progress": False, "seed": 1}


def text_of(n, seed=0):
    return "".join(np.random.default_rng(seed).choice([*"abcdefgh \n"], n))


def run_of(model_or_path):
    about = read(model_or_path)[2]
    return about["model"] | about["trainer"]["config"]


def made(steps, mixed=1.0):
    """A machine on which an LSTM of 256 units reads so many time steps a second, and others as
    their sizes to the power of 1.6 are; in mixed_bfloat16 so many times as fast."""
    def speed(source, settings):
        reads = steps * (256 / settings["hidden_size"]) ** 1.6
        if settings.get("dtype") == "mixed_bfloat16":
            reads *= mixed
        N, T = settings["batch_size"], settings.get("seq_length") or source.steps
        return reads / (N * T), max(1, source.predictions // (N * T))
    return speed


def corpus_of(predictions):
    return fastrnn.Corpus.from_text(text_of(predictions + 1))


@pytest.fixture
def amx(monkeypatch):
    """Instructions for mixed_bfloat16, whatever this processor has."""
    monkeypatch.setattr(recipe.kernels, "running_isa", lambda precision="float32": "amx")


# ---- the recipe ----

TABLES = {name: getattr(recipe_table, name)
          for name in ("TEXT", "WORDS", "RECORDS", "SEQUENCES", "SERIES")}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_the_table_is_in_order(table):
    """By predictions and reads; no row takes a smaller network for more time."""
    assert [n for n, _ in table] == sorted({n for n, _ in table})
    for _, rows in table:
        assert [row.reads for row in rows] == sorted({row.reads for row in rows})
        sizes = [row.hidden_size for row in rows]
        assert sizes == sorted(sizes) and set(sizes) <= set(recipe.SIZES)
        for row in rows:
            assert 0 <= row.dropout < 0.8 and row.passes <= row.most_passes
            assert math.log2(row.batch_size) % 1 == math.log2(row.seq_length) % 1 == 0


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_a_row_of_the_table_is_found_again(table):
    for predictions, rows in table:
        for row in rows:
            found = recipe_table.look_up(table, predictions, row.reads)
            assert astuple(found) == pytest.approx(astuple(row), rel=1e-12)


def test_between_rows_and_beyond_them():
    a = Row(1, 128, 8, 64, 0.0, 1e-2, 2, 4)
    b = Row(4, 512, 32, 64, 0.4, 4e-3, 8, 16)
    table = ((1000, (a, b)), (16_000, (Row(1, 256, 8, 64, 0.2, 1e-2, 2, 4),)))
    middle = recipe_table.look_up(table, 1000, 2)
    assert astuple(middle) == pytest.approx((2, 256, 16, 64, 0.2, math.sqrt(4e-5), 4, 8))
    assert recipe_table.look_up(table, 4000, 2).hidden_size == pytest.approx(256)
    assert recipe_table.look_up(table, 4000, 1).hidden_size == pytest.approx(128 * math.sqrt(2))
    assert recipe_table.look_up(table, 4000, 1).dropout == pytest.approx(0.1)
    assert recipe_table.look_up(table, 10, 0.1) == a
    longer = recipe_table.look_up(table, 1000, 40)
    growth = 10**recipe_table.GROWTH
    assert (longer.hidden_size, longer.passes, longer.most_passes) == pytest.approx(
        (512 * growth, 8, 16))
    assert longer.dropout == pytest.approx(0.4 + recipe_table.MORE_DROPOUT * math.log(10))
    assert recipe_table.look_up(table, 1000, 1e9).dropout == recipe_table.MOST_DROPOUT
    assert recipe_table.look_up(table, 32_000, 1) == table[1][1][0]
    assert recipe_table.fewest_passes(table, a, 4000) == 1
    assert recipe_table.fewest_passes(table, a, 32_000) == 0.5


@pytest.mark.parametrize(("predictions", "table"), [
    (1_100_000, recipe_table.TEXT[-1]), (20_000, recipe_table.TEXT[0])])
def test_a_text_takes_the_row_of_its_length_and_of_the_machine(predictions, table):
    """Whatever the machine: one that is half as fast takes in two minutes what another takes in
    one."""
    corpus = corpus_of(predictions)
    for row in table[1]:
        for minutes in (0.5, 2):
            settings, why = recipe.choose(corpus, {"minutes": minutes, "dtype": "float32"},
                                          made(row.reads * 1e6 / (60 * minutes)))
            chosen = {"cell": "lstm", "batch_size": row.batch_size, "seq_length": row.seq_length,
                      "optimizer": "adam", "clip_norm": 1.0, "clip_value": None,
                      "valid_fraction": 0.1, "learning_rate": row.learning_rate,
                      "schedule": "constant" if "epochs" in settings else "cosine"}
            assert settings == settings | chosen
            assert settings["hidden_size"] <= row.hidden_size
            assert f"chosen for {predictions:,} chars" in why
            assert set(settings) <= recipe.CHOSEN


@pytest.mark.parametrize("predictions", [3000, 30_000, 200_000, 1_000_000])
def test_more_time_is_never_a_smaller_network(predictions):
    """From a network of the fewest units to the table's; each makes half of the passes that are
    best, or has the fewest units."""
    corpus, sizes = corpus_of(predictions), []
    for minutes in (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 60, 600):
        settings, why = recipe.choose(corpus, {"minutes": minutes}, made(200_000))
        sizes.append(settings["hidden_size"])
        assert sizes[-1] in recipe.SIZES and 0 <= settings["dropout"] < 0.8
        passes = float(re.search(r"measured: ([\d.]+) passes", why)[1])
        assert "epochs" not in settings or settings["epochs"] < passes
        assert ("epochs" in settings) != (settings.get("minutes") == minutes)
    assert sizes == sorted(sizes) and sizes[0] < sizes[-1]


def test_a_text_larger_than_the_table_s_is_read_as_often_as_there_is_time_for():
    """By the network of the largest there, with less dropout."""
    most, rows = recipe_table.TEXT[-1]
    speed = made(rows[0].reads * 1e6 / 60)  # where there is no time to spare
    small, _ = recipe.choose(corpus_of(most), {}, speed)
    large, _ = recipe.choose(corpus_of(4 * most), {}, speed)
    assert large["hidden_size"] == small["hidden_size"]
    assert large["dropout"] == pytest.approx(small["dropout"] / 4, abs=0.011)


def test_what_is_given_stays():
    given = {"cell": "rnn", "hidden_size": 33, "optimizer": "rmsprop", "batch_size": 3,
             "seq_length": 7, "epochs": 4, "valid_fraction": 0.2, "dropout": 0.25,
             "clip_value": 2.0, "learning_rate_decay": 0.9, "warmup": 3, "dtype": "float64"}
    settings, why = recipe.choose(corpus_of(5000), given, made(1e6))
    assert settings == settings | given
    assert not {"learning_rate", "schedule", "clip_norm", "minutes", "updates"} & set(settings)
    assert "33 units as given" in why


@pytest.mark.parametrize("given", [
    {"batch_size": 64}, {"seq_length": 16}, {"dropout": 0.0}, {"learning_rate": 0.02},
    {"hidden_size": 40}, {"epochs": 2}, {"updates": 30}, {"dtype": "float64"},
    {"valid_fraction": 0.3}, {"cell": "gru"}, {"num_layers": 2}, {"embedding_size": 7},
    {"warmup": 0}], ids=str)
def test_each_keyword_wins(given, amx):
    settings, _ = recipe.choose(corpus_of(200_000), given, made(300_000, mixed=2.0))
    assert settings == settings | given


def test_the_rest_adapts_to_what_is_given():
    """A larger batch takes a higher learning rate, and a short run less dropout."""
    corpus, speed = corpus_of(150_000), made(300_000)
    usual, _ = recipe.choose(corpus, {}, speed)
    batches, _ = recipe.choose(corpus, {"batch_size": 2 * usual["batch_size"]}, speed)
    assert batches["learning_rate"] == pytest.approx(
        math.sqrt(2) * usual["learning_rate"], rel=0.02)
    short, _ = recipe.choose(corpus, {"epochs": 1}, speed)
    assert 0 < short["dropout"] < usual["dropout"] / 3


def test_a_given_size_takes_its_dropout_and_passes():
    """A quarter of the units: half the dropout, twice the passes."""
    row = recipe_table.TEXT[0][1][0]
    settings, _ = recipe.choose(corpus_of(20_000), {"hidden_size": round(row.hidden_size / 4)},
                                made(1e6))
    assert settings["dropout"] == pytest.approx(row.dropout / 2, abs=0.006)
    assert settings["epochs"] == pytest.approx(2 * row.most_passes, abs=1)


def test_a_short_text_is_not_trained_longer_than_helps():
    """Nor in the minutes that are given, which are the most that it takes."""
    corpus, most = corpus_of(20_000), recipe_table.TEXT[0][1][0].most_passes
    for given in ({}, {"minutes": 5}):
        settings, why = recipe.choose(corpus, given, made(1e6))
        assert settings["epochs"] == most and "minutes" not in settings
        assert f"{most} passes, since more would over-fit" in why
        assert (settings["schedule"], settings["weight_average"]) == ("constant", 0.15)
    settings, _ = recipe.choose(corpus, {"schedule": "cosine"}, made(1e6))
    assert settings["schedule"] == "cosine" and "weight_average" not in settings
    settings, _ = recipe.choose(corpus, {}, made(1000))  # a slow machine needs the whole minute
    assert settings["minutes"] == 1 and "epochs" not in settings
    assert settings["schedule"] == "cosine"


# ---- mixed_bfloat16 ----

def test_mixed_bfloat16_where_it_is_faster(amx):
    corpus, speed = corpus_of(1_000_000), made(100_000, mixed=1.6)
    settings, why = recipe.choose(corpus, {}, speed)
    assert settings["dtype"] == "mixed_bfloat16"
    assert "in mixed_bfloat16 (measured: " in why and "1.6 times as fast as in float32" in why
    # the time that it saves is worth a larger network
    alone, _ = recipe.choose(corpus, {"dtype": "float32"}, made(160_000))
    assert settings == alone | {"dtype": "mixed_bfloat16"}


@pytest.mark.parametrize(("given", "mixed", "predictions"), [
    ({}, 1.05, 1_000_000), ({"dtype": "float32"}, 2, 1_000_000), ({"epochs": 2}, 2, 1_000_000),
    ({"updates": 100}, 2, 1_000_000), ({"hidden_size": 64}, 2, 1_000_000), ({}, 2, 20_000)],
    ids=str)
def test_float32_where_the_other_brings_nothing(amx, given, mixed, predictions):
    """Not faster, not asked for, a run whose length does not depend on the clock, a small network,
    and a text that is learned sooner anyway."""
    settings, why = recipe.choose(corpus_of(predictions), given, made(300_000, mixed))
    assert settings.get("dtype", "float32") == "float32" and "bfloat16" not in why


@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
def test_float32_where_no_instructions_are(monkeypatch, isa):
    monkeypatch.setattr(recipe.kernels, "running_isa", lambda precision="float32": isa)
    settings, _ = recipe.choose(corpus_of(1_000_000), {}, made(100_000, mixed=9))
    assert "dtype" not in settings


def test_numbers_are_computed_in_float32(amx):
    settings, _ = recipe.choose(fastrnn.tasks.sine(30, 20), {}, made(300, mixed=2))
    assert "dtype" not in settings


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


def test_only_the_smallest_network_must_make_an_update():
    """A larger one that is too slow for the time is not chosen; without minutes nothing is too
    slow."""
    corpus = corpus_of(5000)
    settings, _ = recipe.choose(corpus, {"minutes": 1 / 60}, lambda source, settings: (
        2.0 if settings["hidden_size"] == 64 else 1e-3, 70))
    assert settings["hidden_size"] == 64

    def slow(source, settings):
        return 1e-3, 70
    settings, _ = recipe.choose(corpus, {"updates": 3}, slow)
    assert (settings["updates"], settings["hidden_size"], settings["warmup"]) == (3, 64, 0)
    with pytest.raises(ValueError, match="which takes 1e.03 seconds"):
        recipe.choose(corpus, {"minutes": 1 / 60}, slow)


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
    model = fastrnn.train(corpus, updates=3, hidden_size=9, num_layers=2, dropout=0.6,
                          sample_every=0)
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
    notebook = types.SimpleNamespace(get_ipython=lambda: types.SimpleNamespace(kernel=None))
    monkeypatch.setitem(sys.modules, "IPython", notebook)
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
