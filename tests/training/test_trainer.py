"""Trainer and train(): what is run, when, and what a person sees of it."""
import inspect
import math
import os
import re
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from runs import classic
from threadpoolctl import ThreadpoolController

import fastrnn
from fastrnn import kernels
from fastrnn.checks import reference
from fastrnn.training import plan as plan_module
from fastrnn.training import trainer as trainer_module
from fastrnn.training import validation

TEXT = "".join(np.random.default_rng(0).choice([*"abcdefgh \n"], 700))
SIZES = {"hidden_size": 9, "seed": 1, "dtype": "float64"}


@pytest.fixture
def corpus():
    return fastrnn.Corpus.from_text(TEXT)


def make(corpus, model=SIZES, **settings):
    settings = {"seq_length": 6, "progress": False} | settings
    return fastrnn.Trainer(fastrnn.Model(corpus.vocabulary, **model), corpus, **settings)


def bits(trainer):
    """Everything of a run that must not differ."""
    tensors, about = trainer.stored()
    arrays = [trainer.model.block, trainer.model.state, trainer.history.loss,
              trainer.history.smooth_loss, *tensors.values()]
    return ([a.tobytes() for a in arrays], about["counters"], about["generator"],
            about["generators"])


# ---- the loop ----

@pytest.mark.parametrize("batch_size", [1, 3, 40])
@pytest.mark.parametrize("model", [
    {"cell": "rnn"}, {"cell": "relu"}, {"cell": "lstm"}, {"cell": "gru"}, {"cell": "memory"},
    {"cell": "mgu"}, {"cell": "mlstm"},
    {"cell": "lstm", "num_layers": 2, "embedding_size": 5},
    {"cell": "rnn", "dropout": 0.3}, {"cell": "gru", "num_layers": 3, "dropout": 0.1},
    {"cell": "lstm", "weight_drop": 0.3}, {"cell": "mgu", "dropout": 0.1, "weight_drop": 0.2},
], ids=lambda model: "-".join(map(str, model.values())))
def test_losses_are_the_reference_s_over_epochs(corpus, model, batch_size):
    trainer = make(corpus, SIZES | model, batch_size=batch_size, seed=3)
    n = min(2 * trainer.updates_per_epoch + 10, 150)
    params = {name: p.copy() for name, p in trainer.model.params.items()}
    slices = trainer.model.network(6, batch_size).slices
    rows = reference.train(
        params, corpus.ids, 6, batch_size, model["cell"], dropout=model.get("dropout", 0.0),
        weight_drop=model.get("weight_drop", 0.0),
        generators=np.random.default_rng(3).spawn(len(slices)), slices=slices)
    loss, smooth = np.array([next(rows) for _ in range(n)]).T
    trainer.run(updates=n)
    np.testing.assert_allclose(trainer.history.loss, loss, rtol=1e-9)
    np.testing.assert_allclose(trainer.history.smooth_loss, smooth, rtol=1e-9)
    for name, p in trainer.model.params.items():
        np.testing.assert_allclose(p, params[name], rtol=1e-7, atol=1e-12, err_msg=name)
    assert trainer.epoch == n // trainer.updates_per_epoch > 0


@pytest.mark.parametrize(("length", "batch_size", "seq_length"), [
    (8, 1, 6), (12, 1, 6), (13, 1, 6), (14, 1, 6), (24, 1, 6), (25, 1, 6), (26, 1, 6), (30, 1, 6),
    (100, 3, 6), (101, 3, 1), (3, 1, 1), (99, 4, 22)])
def test_where_epochs_end(length, batch_size, seq_length):
    corpus = fastrnn.Corpus.from_text("ab" * length)
    corpus = fastrnn.Corpus(corpus.ids[:length], corpus.vocabulary)
    trainer = make(corpus, SIZES | {"init_scale": 0.5}, batch_size=batch_size,
                   seq_length=seq_length, epochs=2)
    streams = corpus.ids[: length // batch_size * batch_size].reshape(batch_size, -1)
    epoch = position = windows = 0
    for _ in range(40):
        assert (trainer.epoch, trainer.position) == (epoch, position)
        window = streams[:, position : position + seq_length + 1]
        expected, _, state = trainer.model.loss_and_gradients(
            window[:, :-1], window[:, 1:], trainer.state if position else None)
        trainer.run(updates=1)
        assert trainer.history.loss[-1] == pytest.approx(expected, rel=1e-12)
        np.testing.assert_allclose(trainer.state, state, rtol=1e-12)
        position += seq_length
        if position + seq_length + 1 >= length // batch_size:
            position, epoch = 0, epoch + 1
            windows = windows or trainer.update
    assert trainer.updates_per_epoch == windows
    assert trainer.planned == 2 * windows
    assert trainer.update == 40


def test_running_again_goes_on(corpus):
    whole, parts = make(corpus), make(corpus)
    whole.run(updates=300)
    for n in (1, 7, 192, 100):
        parts.run(updates=n)
        assert parts.history.stopped == "finished"
    assert bits(parts) == bits(whole)


def test_run_without_a_number_goes_to_the_end_of_the_plan(corpus):
    trainer = make(corpus)
    trainer.run(updates=5)
    trainer.run()
    assert trainer.update == trainer.updates_per_epoch
    before = bits(trainer)
    trainer.run()
    assert bits(trainer) == before
    trainer.run(updates=3)
    assert trainer.update == trainer.updates_per_epoch + 3
    trainer = make(corpus, updates=17)
    trainer.run()
    assert trainer.update == trainer.planned == 17
    trainer = make(corpus, epochs=3)
    trainer.run()
    assert (trainer.epoch, trainer.position) == (3, 0)


def test_history(corpus):
    trainer = make(corpus)
    assert trainer.history is trainer.model.history
    assert len(trainer.history) == 0
    trainer.run(updates=250)
    first = trainer.history.loss, trainer.history.smooth_loss
    trainer.run(updates=50)
    loss, smooth = trainer.history.loss, trainer.history.smooth_loss
    assert loss.dtype == smooth.dtype == np.float64
    assert loss.shape == smooth.shape == (300,)
    assert first[0].shape == (250,)
    np.testing.assert_array_equal(loss[:250], first[0])
    np.testing.assert_array_equal(smooth[:250], first[1])
    expected = loss[:1].copy()
    for value in loss[1:]:
        expected = np.append(expected, 0.999 * expected[-1] + 0.001 * value)
    np.testing.assert_allclose(smooth, expected, rtol=1e-13)
    assert smooth[0] == loss[0]


def test_best_is_the_lowest_smoothed_loss_at_a_hundred():
    # easy for 500 updates, then no longer: the best is neither the first nor the last
    corpus = fastrnn.Corpus.from_text("abcdefgh \n" * 300 + TEXT * 6)
    kept = {}
    trainer = make(corpus, sample_every=100, updates=1000,
                   callback=lambda t: kept.update({t.update: t.model.block.copy()}))
    assert trainer.best_update == 0
    assert np.array_equal(trainer.best_model().block, trainer.model.block)
    trainer.run()
    smooth = trainer.history.smooth_loss[99::100]
    assert trainer.best_update == 100 * (1 + int(smooth.argmin())) == 500
    assert trainer.best_loss == smooth.min()
    best = trainer.best_model()
    assert best.block.tobytes() == kept[500].tobytes()
    assert not np.shares_memory(best.block, trainer.model.block)
    assert (best.config, best.vocabulary) == (trainer.model.config, trainer.model.vocabulary)


def test_asking_the_model_during_a_run_does_not_disturb_it(corpus):
    def ask(trainer):
        trainer.model.loss_and_gradients(corpus.ids[None, :6], corpus.ids[None, 1:7])
        trainer.model.score(TEXT[:300])
        trainer.model.sample(20, prime="abc", seed=1)
        trainer.best_model()

    plain, asked = make(corpus, sample_every=10), make(corpus, sample_every=10, callback=ask)
    plain.run()
    asked.run()
    assert bits(asked) == bits(plain)


# ---- samples and callbacks ----

@pytest.mark.parametrize(("updates", "sample_every", "expected"), [
    (25, 10, [0, 10, 20, 25]),
    (20, 10, [0, 10, 20]),
    (20, 0, [*range(0, 21, 2)]),  # that switches the samples off, not the callback
    (20, None, [*range(0, 21, 2)]),
    (25, None, [*range(0, 25, 3), 25]),
    (3, 50, [0, 3]),
    (3, 1, [0, 1, 2, 3]),
])
def test_when_the_callback_is_called(corpus, updates, sample_every, expected):
    calls = []
    trainer = make(corpus, updates=updates, sample_every=sample_every,
                   callback=lambda t: calls.append(t.update))
    trainer.run()
    assert calls == expected


def test_run_with_a_number_calls_at_multiples_of_the_count(corpus):
    calls = []
    trainer = make(corpus, sample_every=10, callback=lambda t: calls.append(t.update))
    trainer.run(updates=15)
    trainer.run(updates=15)
    assert calls == [0, 10, 15, 20, 30]


@pytest.mark.parametrize("at", [0, 10])
def test_a_true_result_stops(corpus, at):
    calls = []

    def callback(trainer):
        calls.append(trainer.update)
        return trainer.update == at

    trainer = make(corpus, updates=50, sample_every=10, callback=callback)
    trainer.run()
    assert calls == [*range(0, at + 1, 10)]
    assert trainer.update == len(trainer.history) == at
    assert trainer.history.stopped == "callback"


def test_an_error_in_the_callback_comes_out(corpus):
    def callback(trainer):
        if trainer.update == 10:
            raise RuntimeError("mine")

    before = signal.getsignal(signal.SIGINT)
    trainer = make(corpus, updates=50, sample_every=10, callback=callback)
    with pytest.raises(RuntimeError, match="mine"):
        trainer.run()
    assert signal.getsignal(signal.SIGINT) is before
    assert trainer.update == len(trainer.history) == 10
    trainer.callback = None
    trainer.run()
    whole = make(corpus, updates=50)
    whole.run()
    assert trainer.model.block.tobytes() == whole.model.block.tobytes()


SHOWN = re.compile(
    r"---- update (\d+)(?:, (?:smoothed|training) loss ([\d.]+) nats per [\w ]+)? ----"
    r"\n(.{40})\n\n", re.DOTALL)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_samples_come_from_the_carried_state_and_the_window_s_first_symbol(
        corpus, capsys, batch_size):
    rng, expected = np.random.default_rng(5), []

    def draw_by_hand(trainer):
        if trainer.update == 100:
            return
        state = trainer.state[0] if trainer.position else np.zeros(9)  # an epoch's start
        ids = reference.sample(trainer.model.params, state,
                               corpus.ids[trainer.position], rng.random(40))
        history = trainer.history
        loss = (f"{history.smooth_loss[-1]:.2f}" if batch_size == 1 else
                f"{history.loss[-30:].mean() / 6:.3f}") if trainer.update else ""
        expected.append((str(trainer.update), loss, corpus.vocabulary.decode(ids)))

    # a large rate, so that the state says something
    trainer = make(corpus, progress=True, sample_every=30, sample_length=40, seed=5, updates=100,
                   learning_rate=0.5, batch_size=batch_size, callback=draw_by_hand)
    trainer.run()
    out, err = capsys.readouterr()
    assert SHOWN.findall(out) == expected
    assert [row[0] for row in expected] == ["0", "30", "60", "90"]
    assert SHOWN.sub("", out) == ""  # nothing else
    loss = trainer.history.loss[-30:].mean() / 6
    for part in ("100%", "epoch 0.8" if batch_size == 1 else "epoch 2.", f"| loss {loss:.3f}, ",
                 "chars/s, ", " left"):
        assert part in err


def test_the_trained_model_writes_on_from_where_training_ended(corpus):
    trainer = make(corpus, SIZES | {"init_scale": 0.5}, batch_size=3, learning_rate=0.5)
    for n in (40, 50):
        trainer.run(updates=n)
        rng = np.random.default_rng(8)
        expected = reference.sample(trainer.model.params, trainer.state[0],
                                    corpus.vocabulary.encode("a")[0], rng.random(100))
        assert trainer.model.sample(100, prime="a", seed=8) == corpus.vocabulary.decode(expected)
        assert trainer.best_model().state.tobytes() == trainer.model.state.tobytes()


def test_sample_writes_on_from_the_window_that_comes_next(corpus):
    trainer, rng = make(corpus, SIZES | {"init_scale": 0.5}, seed=7), np.random.default_rng(7)
    state = np.zeros(9)
    for n in (17, 99):  # the first epoch ends after 116
        for length in (50, 1):
            expected = reference.sample(trainer.model.params, state,
                                        corpus.ids[trainer.position], rng.random(length))
            assert trainer.sample(length) == corpus.vocabulary.decode(expected)
        trainer.run(updates=n)
        state = trainer.state[0] if trainer.position else np.zeros(9)
    assert (trainer.epoch, trainer.position) == (1, 0)
    expected = reference.sample(trainer.model.params, state, corpus.ids[0], rng.random(200))
    assert trainer.sample() == corpus.vocabulary.decode(expected)
    with pytest.raises(ValueError, match="length"):
        trainer.sample(-1)


def test_a_sample_is_of_200_symbols(corpus, capsys):
    make(corpus, progress=True, updates=1, sample_every=2).run()
    shown = re.fullmatch(r"---- update 0 ----\n(.*)\n\n", capsys.readouterr().out, re.DOTALL)
    assert len(shown[1]) == 200


@pytest.mark.parametrize("updates", [9, 10, 11])
def test_stopping_shows_the_same_samples_as_not_stopping(corpus, capsys, updates):
    settings = {"progress": True, "updates": 30, "sample_every": 10}
    make(corpus, **settings).run()
    whole = capsys.readouterr().out
    parts = make(corpus, **settings)
    parts.run(updates=updates)
    parts.run()
    assert capsys.readouterr().out == whole


def test_a_stop_by_the_callback_shows_the_same_samples_too(corpus, capsys):
    settings = {"progress": True, "updates": 30, "sample_every": 10}
    make(corpus, **settings).run()
    whole = SHOWN_ANY.findall(capsys.readouterr().out)
    parts = make(corpus, **settings, callback=lambda t: t.update == 10)
    parts.run()
    parts.callback = None
    parts.run()
    shown = SHOWN_ANY.findall(capsys.readouterr().out)
    assert dict(shown) == dict(whole)  # whether the sample of update 10 comes twice is left open


SHOWN_ANY = re.compile(r"---- update (\d+).*? ----\n(.{200})\n\n", re.DOTALL)


def test_showing_samples_changes_nothing_else(corpus):
    trainers = [make(corpus, sample_every=n) for n in (0, 7)]
    for trainer in trainers:
        trainer.run()
    assert trainers[0].model.block.tobytes() == trainers[1].model.block.tobytes()


def test_without_progress_nothing_is_printed(corpus, capfd):
    classic(corpus, updates=30, sample_every=10, progress=False)
    assert capfd.readouterr() == ("", "")


# ---- train() ----

def test_defaults_are_the_same_everywhere():
    def defaults(function):
        return {name: p.default for name, p in inspect.signature(function).parameters.items()
                if p.default is not p.empty}

    train, model, trainer = map(defaults, (fastrnn.train, fastrnn.Model, fastrnn.Trainer))
    assert model.pop("reservoir") is None  # which no command names
    assert train == model | trainer | dict.fromkeys(("resume", "repeat", "preset", "init_from"))
    assert {name: model[name] for name in model.keys() & trainer.keys()} == {"seed": 0}
    for function in (fastrnn.train, fastrnn.Model, fastrnn.Trainer):
        parameters = list(inspect.signature(function).parameters.values())
        assert all(p.kind is p.KEYWORD_ONLY for p in parameters if p.default is not p.empty)


def test_train_of_a_corpus_of_a_path_and_by_hand(corpus, tmp_path):
    path = tmp_path / "book.txt"
    path.write_bytes(TEXT.encode())
    settings = {"seq_length": 6, "batch_size": 2, "optimizer": "adam", "clip_norm": 1.0}
    by_hand = make(corpus, **settings)
    by_hand.run()
    for source in (corpus, path, str(path)):
        model = classic(source, progress=False, **SIZES, **settings)
        assert isinstance(model, fastrnn.Model)
        assert model.block.tobytes() == by_hand.model.block.tobytes()
        assert model.history.loss.tobytes() == by_hand.history.loss.tobytes()
        assert model.history.stopped == "finished"


def test_the_classic_settings(corpus):
    """tanh RNN, 100 units, 25 steps, AdaGrad 0.1, clip 5, one epoch, said in full."""
    by_default = fastrnn.Model(corpus.vocabulary)
    fastrnn.Trainer(by_default, corpus, progress=False).run()
    for name in ("classic", "goblet", "min-char-rnn"):
        preset = fastrnn.train(corpus, preset=name, progress=False)
        assert preset.block.tobytes() == by_default.block.tobytes()
    in_full = fastrnn.train(
        corpus, preset="classic", cell="rnn", hidden_size=100, seq_length=25, batch_size=1,
        optimizer="adagrad", learning_rate=0.1, clip_value=5.0, clip_norm=None, epochs=1,
        init="normal", init_scale=0.01, dtype="float32", seed=0, progress=False)
    assert by_default.block.tobytes() == in_full.block.tobytes()
    assert len(by_default.history) == -(-(len(TEXT) - 26) // 25)


@pytest.mark.parametrize(("optimizer", "rate"), [
    ("adagrad", 0.1), ("sgd", 0.1), ("rmsprop", 0.001), ("adam", 0.001)])
def test_learning_rates_where_not_given(corpus, optimizer, rate):
    models = [classic(corpus, optimizer=optimizer, learning_rate=value, updates=20,
                            progress=False) for value in (None, rate)]
    assert models[0].block.tobytes() == models[1].block.tobytes()


def test_seeds_of_train(corpus):
    one, same, other = (classic(corpus, seed=s, updates=5, progress=False)
                        for s in (1, 1, 2))
    assert np.array_equal(one.block, same.block)
    assert not np.array_equal(one.block, other.block)
    classic(corpus, seed=None, updates=5, progress=False)


@pytest.mark.parametrize(("settings", "error", "message"), [
    ({"epochs": 2, "updates": 5}, ValueError, "epochs, updates and minutes, not epochs and upd"),
    ({"minutes": 2, "updates": 5}, ValueError, "epochs, updates and minutes, not updates and min"),
    ({"minutes": 0}, ValueError, "minutes must be a finite number above 0"),
    ({"minutes": float("inf")}, ValueError, "minutes must be a finite number above 0"),
    ({"minutes": "two"}, TypeError, "minutes must be a number"),
    ({"epochs": 0}, ValueError, "epochs"),
    ({"updates": -1}, ValueError, "updates"),
    ({"updates": 1.5}, TypeError, "updates"),
    ({"optimizer": "adagard"}, ValueError, "did you mean 'adagrad'"),
    ({"schedule": "cosinus"}, ValueError, "schedule must be one of .* did you mean 'cosine'"),
    ({"schedule": "constant", "schedule_end": 0.3}, ValueError,
     "schedule_end is for schedule='cosine', .* leave schedule_end out"),
    ({"schedule_end": 1.0}, ValueError, "schedule_end must be at least 0 and below 1, not 1"),
    ({"schedule": "cosine", "learning_rate_decay": 0.9}, ValueError,
     "leave learning_rate_decay=0.9 out, or take schedule='constant'"),
    ({"schedule": "cosine", "warmup": 20, "updates": 20}, ValueError,
     "warmup of 20 updates leaves nothing of the 20 planned .* smaller warmup or a longer plan"),
    ({"warmup": -1}, ValueError, "warmup must be a whole number of at least 0"),
    ({"warmup": 0.5}, TypeError, "warmup must be a whole number"),
    ({"learning_rate_decay": 1.1}, ValueError, "learning_rate_decay must be .* at most 1, not 1.1"),
    ({"learning_rate_decay": 0}, ValueError, "learning_rate_decay must be a finite number above"),
    ({"learning_rate_decay_after": 0}, ValueError, "learning_rate_decay_after .* at least 1"),
    ({"learning_rate_decay_every": 0}, ValueError, "learning_rate_decay_every .* at least 1"),
    ({"momentum": 1.0, "optimizer": "sgd"}, ValueError,
     "momentum must be at least 0 and below 1, not 1.0"),
    ({"momentum": -0.1}, ValueError, "momentum must be at least 0 and below 1"),
    ({"momentum": "x"}, TypeError, "momentum must be a number"),
    ({"momentum": 0.9, "optimizer": "adam"}, ValueError,
     "momentum is for optimizer='sgd', not 'adam': leave it out"),
    ({"decay_rate": 1, "optimizer": "rmsprop"}, ValueError,
     "decay_rate must be at least 0 and below 1, not 1"),
    ({"decay_rate": float("nan"), "optimizer": "rmsprop"}, ValueError, "decay_rate must be"),
    ({"decay_rate": 0.95}, ValueError, "decay_rate is for optimizer='rmsprop', not 'adagrad'"),
    ({"beta1": 0.8}, ValueError, "beta1 is for optimizer='adam', not 'adagrad': leave it out"),
    ({"optimizer": "sgd", "epsilon": 0.1}, ValueError,
     "epsilon is for optimizer='adagrad' or 'rmsprop' or 'adam', not 'sgd'"),
    ({"optimizer": "adam", "epsilon_inside": False}, ValueError,
     "epsilon_inside is for optimizer='adagrad' or 'rmsprop', not 'adam'"),
    ({"beta2": 1.0, "optimizer": "adam"}, ValueError, "beta2 must be at least 0 and below 1"),
    ({"epsilon": 0}, ValueError, "epsilon must be a finite number above 0"),
    ({"weight_decay": -1}, ValueError, "weight_decay must be a finite number of 0 or more"),
    ({"weight_decay": 10, "learning_rate": 0.1}, ValueError,
     "learning_rate times weight_decay .* must be below 1, not 1: give a smaller one"),
    ({"weight_average": 1}, ValueError, "weight_average must be at least 0 and below 1, not 1"),
    ({"weight_average": float("nan")}, ValueError, "weight_average must be a finite number"),
    ({"threads": 0}, ValueError, "threads must be a whole number of at least 1, not 0"),
    ({"threads": 1.5}, TypeError, "threads must be a whole number"),
    ({"clip_value": 0}, ValueError, "clip_value"),
    ({"clip_norm": float("nan")}, ValueError, "clip_norm"),
    ({"clip_norm": -1}, ValueError, "clip_norm"),
    ({"sample_every": -1}, ValueError, "sample_every"),
    ({"sample_length": 0}, ValueError, "sample_length"),
    ({"checkpoint_every": -1}, ValueError, "checkpoint_every"),
    ({"seed": -1}, ValueError, "seed"),
    ({"seq_length": 699}, ValueError, "text has 700 symbols.* needs at least 701"),
    ({"seq_length": 100, "batch_size": 7}, ValueError,
     "needs at least 714: .* or a batch_size of at most 6"),
])
def test_bad_settings(corpus, settings, error, message):
    with pytest.raises(error, match=message):
        classic(corpus, progress=False, **settings)


def test_a_refused_trainer_leaves_the_model_alone(corpus):
    trainer = make(corpus, updates=5)
    trainer.run()
    with pytest.raises(ValueError, match="seq_length"):
        fastrnn.Trainer(trainer.model, corpus, seq_length=5000)
    assert len(trainer.model.history) == 5


def test_the_vocabularies_must_be_the_same(corpus):
    model = fastrnn.Model(fastrnn.Vocabulary("xyz"))
    with pytest.raises(ValueError, match="another vocabulary"):
        fastrnn.Trainer(model, corpus)


# ---- learning rates ----

LINE = TEXT[:100]  # 16 windows of 6 in an epoch


def cosine(share):
    return (1 + math.cos(math.pi * share)) / 2


RATES = {
    "constant": ({}, lambda u: 1),
    "char-rnn": ({"learning_rate_decay": 0.97, "epochs": 13},
                 lambda u: {10: 0.97, 11: 0.97**2, 12: 0.97**3}.get(u // 16, 1)),
    "torch-rnn": ({"learning_rate_decay": 0.5, "learning_rate_decay_after": 5,
                   "learning_rate_decay_every": 5, "epochs": 12},
                  lambda u: 1 if u < 80 else 0.5 if u < 160 else 0.25),
    "after 1, every 2": ({"learning_rate_decay": 0.1, "learning_rate_decay_after": 1,
                          "learning_rate_decay_every": 2, "epochs": 4},
                         lambda u: [1, 0.1, 0.1, 0.01][u // 16]),
    "warmup": ({"warmup": 20}, lambda u: min(1, (u + 1) / 20)),
    "warmup and decay": ({"warmup": 20, "learning_rate_decay": 0.5,
                          "learning_rate_decay_after": 1},
                         lambda u: min(1, (u + 1) / 20) * 0.5 ** (u // 16)),
    "cosine": ({"schedule": "cosine", "updates": 90}, lambda u: cosine(u / 90)),
    "cosine over epochs": ({"schedule": "cosine", "epochs": 3}, lambda u: cosine(u / 48)),
    "cosine and warmup": ({"schedule": "cosine", "updates": 90, "warmup": 10},
                          lambda u: (u + 1) / 10 if u < 10 else cosine((u - 10) / 80)),
    "cosine to a fraction": ({"schedule": "cosine", "schedule_end": 0.3, "updates": 90,
                              "warmup": 10},
                             lambda u: (u + 1) / 10 if u < 10 else
                             0.3 + 0.7 * cosine((u - 10) / 80)),
}


def plan(settings):
    return {} if {"epochs", "updates"} & settings.keys() else {"epochs": 4}


@pytest.mark.parametrize("cuts", [(), (1, 15, 1, 3, 12)], ids=["whole", "parts"])
@pytest.mark.parametrize(("settings", "factor"), RATES.values(), ids=RATES)
def test_learning_rates(settings, factor, cuts):
    """Each update is made with the rate that the formulas above, written by hand, say."""
    corpus = fastrnn.Corpus.from_text(LINE)
    trainer = make(corpus, learning_rate=0.2, **(plan(settings) | settings))
    params = {name: p.copy() for name, p in trainer.model.params.items()}
    n = trainer.planned
    rows = reference.train(params, corpus.ids, 6, learning_rate=[0.2 * factor(u) for u in range(n)])
    loss = [row[0] for row in rows]
    for cut in cuts:
        trainer.run(updates=cut)
    trainer.run()
    assert trainer.update == n == len(loss)
    np.testing.assert_allclose(trainer.history.loss, loss, rtol=1e-8)
    for name, p in trainer.model.params.items():
        np.testing.assert_allclose(p, params[name], rtol=1e-7, atol=1e-10, err_msg=name)


@pytest.mark.parametrize("settings", [row[0] for row in RATES.values()], ids=RATES)
def test_cuts_do_not_change_a_bit_of_the_rates(settings):
    corpus = fastrnn.Corpus.from_text(LINE)
    whole, cut = (Spy(make(corpus, sample_every=0, **(plan(settings) | settings)))
                  for _ in range(2))
    whole.trainer.run()
    for n in (1, 2, 13, 16, 7):
        cut.trainer.run(updates=n)
    cut.trainer.run()
    assert whole.rates.size == whole.trainer.planned
    assert cut.rates.tobytes() == whole.rates.tobytes()
    assert bits(cut.trainer) == bits(whole.trainer)


def test_a_cosine_has_an_end():
    trainer = make(fastrnn.Corpus.from_text(LINE), schedule="cosine", epochs=2)
    trainer.run(updates=30)
    with pytest.raises(ValueError, match="ends at update 32, and this run would go to 33: give"):
        trainer.run(updates=3)
    trainer.run(updates=2)
    assert trainer.update == 32


@pytest.mark.parametrize(("settings", "twin"), [
    ({"optimizer": "sgd", "momentum": 0.8, "learning_rate": 0.05}, {"momentum": 0.8}),
    ({"optimizer": "sgd", "learning_rate": 0.05}, {}),
    ({"optimizer": "rmsprop", "decay_rate": 0.5, "learning_rate": 0.01}, {"decay": 0.5}),
    ({"optimizer": "rmsprop", "learning_rate": 0.01}, {"decay": 0.9}),
    ({"optimizer": "adam", "learning_rate": 0.01}, {}),
    *((settings | {"learning_rate": 0.01}, settings) for settings in (
        {"optimizer": "adam", "beta1": 0.8, "beta2": 0.9, "epsilon": 0.01, "weight_decay": 0.3},
        {"optimizer": "adagrad", "epsilon": 0.1, "epsilon_inside": False, "weight_decay": 0.3},
        {"optimizer": "rmsprop", "epsilon": 0.1},
        {"optimizer": "rmsprop", "epsilon": 0.1, "epsilon_inside": False},
        {"optimizer": "sgd", "weight_decay": 2.0})),
], ids=str)
def test_numbers_of_the_optimizers(corpus, settings, twin):
    trainer = make(corpus, **settings)
    params = {name: p.copy() for name, p in trainer.model.params.items()}
    rows = reference.train(params, corpus.ids, 6, learning_rate=settings["learning_rate"],
                           **{"optimizer": settings["optimizer"]} | twin)
    loss = [next(rows)[0] for _ in range(50)]
    trainer.run(updates=50)
    np.testing.assert_allclose(trainer.history.loss, loss, rtol=1e-7)
    for name, p in trainer.model.params.items():
        np.testing.assert_allclose(p, params[name], rtol=1e-5, atol=1e-9, err_msg=name)


# ---- a time budget ----

class Spy:
    """Stands before a trainer's compiled loop and notes what it is told: (time, rates) of each
    call. On a clock of ours each update takes `seconds`."""

    def __init__(self, trainer, clock=None, seconds=0.0):
        self.trainer, self.loop, self.calls = trainer, trainer._updates.training, []
        self.clock, self.seconds = clock or Clock(), seconds
        trainer._updates.training = self

    def run(self, rates, starts=None):
        self.calls.append((self.clock.now, rates))
        self.clock.now += self.seconds * len(rates)
        return self.loop.run(rates, starts)

    @property
    def rates(self):
        return np.concatenate([rates for _, rates in self.calls])

    @property
    def counters(self):
        return self.loop.counters

    @counters.setter
    def counters(self, values):
        self.loop.counters = values

    def __getattr__(self, name):
        return getattr(self.loop, name)


class Clock:
    """Time that passes only where a test says so."""

    def __init__(self):
        self.now = self.start = 1000.0

    def perf_counter(self):
        return self.now

    @property
    def elapsed(self):
        return self.now - self.start


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    for module in (trainer_module, plan_module, validation):
        monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.mark.parametrize("seconds", [0.001, 0.01, 0.07, 0.3, 5.0, 100.0])
def test_minutes_end_on_time(corpus, clock, seconds):
    trainer = make(corpus, minutes=0.1)  # 6 seconds
    spy = Spy(trainer, clock, seconds)
    assert trainer.planned is None
    trainer.run()
    assert trainer.update == len(trainer.history) == pytest.approx(6 / seconds, abs=1)
    assert max(len(rates) for _, rates in spy.calls) <= max(1, 0.1 / seconds)
    assert trainer.history.stopped == "finished"
    assert trainer.seconds == clock.elapsed < 6 + seconds
    clock.now += 3
    before = bits(trainer)
    trainer.run()  # there is no time left
    assert bits(trainer) == before
    assert trainer.seconds == clock.elapsed - 3


def test_minutes_of_the_real_clock(corpus):
    start = time.perf_counter()
    trainer = make(corpus, minutes=0.3 / 60, sample_every=0, valid_fraction=0.1)
    trainer.run()
    assert 0.2 < trainer.seconds < 1.5
    assert time.perf_counter() - start < 2
    assert trainer.update > 100
    assert trainer.history.valid_updates[-1] == trainer.update


def test_the_cosine_falls_over_the_time(corpus, clock):
    trainer = make(corpus, minutes=0.1, schedule="cosine", warmup=25, learning_rate=0.5)
    spy = Spy(trainer, clock, 0.01)
    trainer.run()
    assert len(spy.calls) >= 60
    done = 0
    for now, rates in spy.calls:
        for rate in rates:
            done += 1
            expected = 0.5 * min(1, done / 25) * cosine((now - clock.start) / 6)
            assert rate == pytest.approx(expected, rel=1e-9)
    assert spy.rates[-1] < 0.001 < 0.4 < spy.rates.max()


def test_decay_of_the_rate_counts_epochs_also_against_time(clock):
    corpus = fastrnn.Corpus.from_text(LINE)
    trainer = make(corpus, minutes=0.01, learning_rate_decay=0.5, learning_rate_decay_after=2)
    spy = Spy(trainer, clock, 0.01)
    trainer.run()
    np.testing.assert_array_equal(spy.rates, [0.1] * 32 + [0.05] * 16 + [0.025] * 12)


def test_minutes_go_on_with_what_is_left(corpus, clock, tmp_path):
    path = tmp_path / "m.safetensors"
    settings = {"minutes": 0.1, "schedule": "cosine", "sample_every": 100, "checkpoint": path}

    def stop(trainer):
        clock.now += 0.5  # whatever is done during a run costs of its time
        return trainer.update == 200

    first = make(corpus, **settings, callback=stop)
    Spy(first, clock, 0.01)
    first.run()
    assert (first.update, first.seconds) == (200, pytest.approx(3.5))
    clock.now += 50  # what is done between runs costs nothing
    second = fastrnn.Trainer.from_checkpoint(path, corpus, progress=False, checkpoint=path)
    assert second.seconds == first.seconds
    spy = Spy(second, clock, 0.01)
    second.run()
    assert second.update == pytest.approx(450, abs=1)
    assert spy.rates[0] == pytest.approx(0.1 * cosine(3.5 / 6), rel=1e-9)
    assert second.seconds == pytest.approx(6, abs=0.011)
    longer = fastrnn.Trainer.from_checkpoint(path, corpus, progress=False, minutes=0.2)
    spy = Spy(longer, clock, 0.01)
    longer.run()
    assert longer.seconds == pytest.approx(12, abs=0.011)
    assert spy.rates[0] == pytest.approx(0.1 * cosine(1 / 2), rel=1e-2)


def test_a_run_of_so_many_updates_ends_with_the_time(corpus, clock):
    trainer = make(corpus, minutes=0.1)
    Spy(trainer, clock, 0.01)
    trainer.run(updates=100)
    assert trainer.update == 100
    trainer.run(updates=10_000)
    assert trainer.update == pytest.approx(600, abs=1)


def test_minutes_after_epochs_begin_at_the_resume(corpus, clock, tmp_path):
    path = tmp_path / "m.safetensors"
    trainer = make(corpus, checkpoint=path)
    Spy(trainer, clock, 0.01)
    trainer.run()
    assert trainer.seconds == 0
    resumed = fastrnn.Trainer.from_checkpoint(path, corpus, minutes=0.01, progress=False)
    assert resumed.planned is None
    Spy(resumed, clock, 0.01)
    resumed.run()
    assert resumed.update == trainer.update + 60


def test_ten_samples_over_the_time(corpus, clock):
    calls = []
    trainer = make(corpus, minutes=0.1, callback=lambda t: calls.append(clock.elapsed))
    Spy(trainer, clock, 0.013)
    trainer.run()
    assert len(calls) == 11  # the last at the end
    np.testing.assert_allclose(calls, np.arange(11) * 0.6, atol=0.12)
    assert calls[0] == 0


def test_a_run_that_goes_on_keeps_to_the_tenths_of_the_time(corpus, clock):
    calls = []
    trainer = make(corpus, minutes=0.1, callback=lambda t: calls.append(t.seconds))
    Spy(trainer, clock, 0.01)
    trainer.run(updates=200)  # 2 of 6 seconds
    trainer.run()
    np.testing.assert_allclose(calls, [2, 2.4, 3, 3.6, 4.2, 4.8, 5.4, 6], atol=0.12)


def test_no_time_at_all_is_one_update(corpus):
    """So that there is something to show for it."""
    trainer = make(corpus, minutes=1e-9)
    trainer.run()
    assert trainer.update == 1


@pytest.mark.parametrize(("sample_every", "expected"), [(0, 11), (250, 4)])
def test_samples_by_number_in_a_run_of_minutes(corpus, clock, sample_every, expected):
    calls = []
    trainer = make(corpus, minutes=0.1, sample_every=sample_every,
                   callback=lambda t: calls.append(t.update))
    Spy(trainer, clock, 0.01)
    trainer.run()
    assert len(calls) == expected  # ten and the end, or 0, 250, 500 and the end


def test_the_last_validation_is_within_the_time(corpus, clock, monkeypatch):
    """Also the first one of all, of which nobody knows yet how long it takes."""
    score, took = validation.Validation.loss, []

    def slow(self, *arguments):
        loss = score(self, *arguments)
        clock.now += 0.5
        took.append(clock.elapsed)
        self._seconds = 0.5
        return loss

    monkeypatch.setattr(validation.Validation, "loss", slow)
    trainer = make(corpus, minutes=0.1, valid_fraction=0.5, valid_every=150)
    Spy(trainer, clock, 0.01)
    trainer.run()
    np.testing.assert_array_equal(trainer.history.valid_updates, [150, 300, trainer.update])
    assert 5.9 < took[-1] == clock.elapsed <= 6.02
    assert trainer.update > 400

    start = clock.elapsed
    trainer = make(corpus, minutes=0.01, valid_fraction=0.5, valid_every=10_000)
    Spy(trainer, clock, 0.01)
    trainer.run()
    learning = 0.01 * trainer.update  # 350 symbols to score, 6 in an update, which is guessed to
    assert learning == pytest.approx(0.6 - 0.01 * 350 / 6 / 2, abs=0.02)  # take twice the time
    assert clock.elapsed - start == pytest.approx(learning + 0.5)


def test_the_bar_of_minutes_counts_seconds(corpus, capsys, clock):
    trainer = make(corpus, minutes=0.1, progress=True, sample_every=0)
    Spy(trainer, clock, 0.01)
    trainer.run()
    err = capsys.readouterr().err
    for part in ("  0%", "100%", "epoch 5.", "| loss 2.", "chars/s, 00:0", " left"):
        assert part in err


# ---- dropout's generators and threads ----

def made_with(monkeypatch, corpus, model=SIZES, **settings):
    """What the compiled loop is made with."""
    given, training = {}, kernels.Training

    def note(*arguments, **keywords):
        given.update(keywords)
        return training(*arguments, **keywords)

    monkeypatch.setattr(kernels, "Training", note)
    given["trainer"] = make(corpus, model, **settings)
    monkeypatch.undo()
    return SimpleNamespace(**given)


@pytest.mark.parametrize("batch_size", [1, 20])
@pytest.mark.parametrize("name", ["dropout", "weight_drop"])
def test_generators_of_dropout(monkeypatch, corpus, batch_size, name):
    given = made_with(monkeypatch, corpus, SIZES | {name: 0.2}, seed=5, batch_size=batch_size)
    slices = given.trainer.model.network(6, batch_size).slices
    states = [g.bit_generator.state for g in given.generators]
    twins = np.random.default_rng(5).spawn(len(slices))
    assert states == [g.bit_generator.state for g in twins]
    assert len({s["state"]["state"] for s in states}) == len(slices)
    assert made_with(monkeypatch, corpus, seed=5, batch_size=batch_size).generators is None


def test_weight_drop_is_for_one_process(corpus):
    with pytest.raises(ValueError, match="weight_drop is for one process: leave it out, or"):
        make(corpus, SIZES | {"weight_drop": 0.1})._updates.described()
    make(corpus, SIZES | {"dropout": 0.1})._updates.described()


def test_dropout_leaves_the_samples_alone(corpus, capsys):
    """The generator that draws them is not the ones that drop units."""
    for dropout in (0.0, 0.5):
        make(corpus, SIZES | {"dropout": dropout}, progress=True, updates=1).run()
    first, second = SHOWN_ANY.findall(capsys.readouterr().out)
    assert first == second
    shown, hidden = (make(corpus, SIZES | {"dropout": 0.5}, sample_every=n) for n in (7, 0))
    shown.run()
    hidden.run()
    assert shown.model.block.tobytes() == hidden.model.block.tobytes()


def test_threads_are_those_of_the_process(monkeypatch, corpus):
    assert made_with(monkeypatch, corpus, threads=1).threads == 1
    if hasattr(os, "sched_getaffinity"):
        assert made_with(monkeypatch, corpus).threads == len(os.sched_getaffinity(0))
        for threads, used in ((None, 3), (2, 2), (3, 3), (16, 3)):
            monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {1, 4, 5})
            assert made_with(monkeypatch, corpus, threads=threads).threads == used
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert made_with(monkeypatch, corpus).threads == os.cpu_count()


@pytest.mark.parametrize("model", [
    {}, {"dropout": 0.3}, {"cell": "lstm", "num_layers": 2, "dropout": 0.2, "dtype": "float32"},
    {"cell": "gru", "weight_drop": 0.3}], ids=str)
def test_any_number_of_threads_gives_the_same_bits(model):
    corpus = fastrnn.Corpus.from_text(3 * TEXT)
    one, *others = (make(corpus, SIZES | model, batch_size=100, threads=n, updates=12,
                         valid_fraction=0.4, valid_every=3) for n in (1, 2, 3, 100))
    assert len(one.model.network(6, 100).slices) > 2
    for trainer in (one, *others):
        trainer.run()
        assert bits(trainer) == bits(one)
        assert trainer.history.valid_loss.tobytes() == one.history.valid_loss.tobytes()


# ---- Ctrl-C ----

def interrupt_at(update, times=1, result=None):
    def callback(trainer):
        if trainer.update == update:
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)
        return result

    return callback


def test_ctrl_c_writes_the_checkpoint_and_the_trainer_can_go_on(corpus, tmp_path):
    path = tmp_path / "m.safetensors"
    before = signal.getsignal(signal.SIGINT)
    trainer = make(corpus, updates=100, sample_every=10, checkpoint=path,
                   callback=interrupt_at(20))
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    assert signal.getsignal(signal.SIGINT) is before
    assert trainer.history.stopped == "interrupted"
    assert 20 < trainer.update < 100
    assert fastrnn.load(path).block.tobytes() == trainer.model.block.tobytes()
    trainer.run()
    assert trainer.history.stopped == "finished"
    whole = make(corpus, updates=100, sample_every=10)
    whole.run()
    assert bits(trainer) == bits(whole)


def test_ctrl_c_is_not_lost_where_the_callback_stops_the_run(corpus):
    trainer = make(corpus, updates=100, sample_every=10, callback=interrupt_at(0, result=True))
    with pytest.raises(KeyboardInterrupt):
        trainer.run()


def test_train_returns_the_model_after_ctrl_c(corpus, capsys):
    model = classic(corpus, updates=100, sample_every=10, callback=interrupt_at(20),
                          progress=False)
    assert model.history.stopped == "interrupted"
    assert 20 < len(model.history) < 100
    assert f"interrupted after {len(model.history)} updates" in capsys.readouterr().err


def test_a_handler_of_the_user_s_own_comes_back(corpus):
    def mine(*_):
        raise AssertionError("not called")

    before = signal.signal(signal.SIGINT, mine)
    try:
        make(corpus, updates=5).run()
        assert signal.getsignal(signal.SIGINT) is mine
    finally:
        signal.signal(signal.SIGINT, before)


INTERRUPTED = """
import sys, time
import fastrnn
corpus = fastrnn.Corpus.from_file(sys.argv[1])
model = fastrnn.Model(corpus.vocabulary, hidden_size=128)
trainer = fastrnn.Trainer(model, corpus, seq_length=50, batch_size=8, updates=10**8,
                          checkpoint=sys.argv[2], progress=False, sample_every=0)
for _ in range(3):
    try:
        print("ready", flush=True)
        trainer.run()
    except KeyboardInterrupt:
        print(time.monotonic(), trainer.update, flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send to one process")
def test_ctrl_c_is_answered_soon(corpus, tmp_path):
    path, book = tmp_path / "m.safetensors", tmp_path / "book.txt"
    book.write_text(TEXT)
    child = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, book, path], text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,  # where the tests run in the background, Ctrl-C is ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    waits = []
    for seconds in (0.6, 0.6, 0.2):  # the loop looks up less often once it knows its speed
        assert child.stdout.readline() == "ready\n"
        time.sleep(seconds)
        start = time.monotonic()
        child.send_signal(signal.SIGINT)
        end, update = child.stdout.readline().split()
        waits.append(float(end) - start)
    start = time.monotonic()
    out, err = child.communicate(timeout=30)
    assert (child.returncode, out) == (0, "")
    assert "Error" not in err  # a warning that the loss rose is right in so long a run
    # half a second on a quiet machine; the middle one, for a busy machine delays some
    assert sorted(waits)[1] < 2
    assert time.monotonic() - start < 10  # nothing goes on behind the interpreter's exit

    end = int(update) + 20
    resumed = classic(corpus, resume=path, updates=end, progress=False)
    whole = classic(corpus, hidden_size=128, seq_length=50, batch_size=8, updates=end,
                          progress=False)
    assert resumed.block.tobytes() == whole.block.tobytes()
    assert resumed.history.loss.tobytes() == whole.history.loss.tobytes()


# ---- threads ----

def test_trainers_in_other_threads(corpus):
    expected = make(corpus)
    expected.run()
    trainers = [make(corpus, sample_every=9) for _ in range(3)]
    before = signal.getsignal(signal.SIGINT)
    threads = [threading.Thread(target=trainer.run) for trainer in trainers]
    for thread in threads:
        thread.start()
    trainers[0].history.loss  # noqa: B018  may be read meanwhile
    for thread in threads:
        thread.join()
    assert signal.getsignal(signal.SIGINT) is before
    for trainer in trainers:
        assert trainer.history.stopped == "finished"
        assert trainer.model.block.tobytes() == expected.model.block.tobytes()


def test_overlapping_runs_leave_blas_its_threads(corpus):
    """BLAS has one thread while any run goes on, and its own number after the last."""
    blas = ThreadpoolController().select(user_api="blas")

    def threads():
        return {library["num_threads"] for library in blas.info()}

    one_in, two_in, one_out = (threading.Event() for _ in range(3))
    seen = []

    def first(trainer):
        if trainer.update == 0:
            one_in.set()
            assert two_in.wait(10)

    def second(trainer):
        if trainer.update == 0:
            two_in.set()
            assert one_out.wait(10)
            seen.append(threads())

    two_threads = blas.limit(limits=2)  # no `with`: that would forbid other threads a change
    try:
        if threads() != {2}:
            pytest.skip("this BLAS does not take a number of threads")
        one, two = (threading.Thread(target=make(corpus, callback=c, sample_every=1000).run)
                    for c in (first, second))
        one.start()
        assert one_in.wait(10)
        two.start()
        one.join()
        one_out.set()
        two.join()
        assert seen == [{1}]
        assert threads() == {2}
    finally:
        two_threads.restore_original_limits()


def test_what_it_takes():
    corpus = fastrnn.Corpus.from_text("to be or not to be, that is the question")
    model = fastrnn.Model(corpus.vocabulary, hidden_size=4)
    with pytest.raises(TypeError, match="fastrnn.Corpus or Sequences, not Model and str"):
        fastrnn.Trainer(model, "to be or not to be")
    with pytest.raises(TypeError, match="callback must be a function"):
        fastrnn.Trainer(model, corpus, callback=3)
