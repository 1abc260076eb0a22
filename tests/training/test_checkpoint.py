"""Checkpoints: a run goes on bit for bit, and only with what it was made for."""
import errno
import json
import os
import re

import numpy as np
import pytest
from runs import BYTES, SIZES, TEXT, WORDS, corpus, corpus_of, run, train
from safetensors import safe_open

import fastrnn
from fastrnn.files import store

__all__ = ["corpus", "run"]  # fixtures


def stored(path):
    """All of a file: name -> (dtype, shape, bytes), and the JSON part."""
    with safe_open(path, framework="np") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return ({name: (str(a.dtype), a.shape, a.tobytes()) for name, a in tensors.items()},
                json.loads(file.metadata()["fastrnn"]))


def same_run(path, whole):
    """Every bit of a run's file equals that of a run that never stopped."""
    (tensors, about), (expected, expected_about) = stored(path), stored(whole)
    assert about == expected_about
    assert tensors == expected
    assert {"state", "best", "best_state", "history.loss", "history.smooth_loss",
            "history.valid_loss", "history.valid_updates"} < tensors.keys()


# ---- going on ----

@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("settings", [
    {"optimizer": "adagrad"},
    {"optimizer": "adagrad", "cell": "relu", "init": "identity", "dtype": "float64"},
    {"optimizer": "rmsprop", "clip_value": None, "clip_norm": 0.5},
    {"optimizer": "adam", "dtype": "float64"},
    {"optimizer": "adam", "beta1": 0.8, "beta2": 0.95, "epsilon": 1e-3, "weight_decay": 0.2},
    {"optimizer": "rmsprop", "epsilon": 1e-3, "epsilon_inside": False, "learning_rate": 0.01},
    {"optimizer": "sgd", "learning_rate": 0.05},
    {"optimizer": "sgd", "learning_rate": 0.05, "momentum": 0.9},
    {"dropout": 0.3, "threads": 2},
    {"cell": "lstm", "num_layers": 2, "dropout": 0.2},
    {"cell": "lstm", "weight_drop": 0.3},
    {"cell": "gru", "embedding_size": 4, "reset_after": False, "init": "orthogonal"},
    {"cell": "memory", "init": "uniform", "init_scale": 0.1},
    {"learning_rate_decay": 0.7, "learning_rate_decay_after": 1, "warmup": 60},
    {"weight_average": 0.2, "optimizer": "adam", "dtype": "mixed_bfloat16"},
    {"weight_average": 0.1, "dtype": "float64"},
], ids=lambda settings: "-".join(map(str, settings.values())))
def test_resume_bit_for_bit(tmp_path, corpus, settings, batch_size):
    settings = SIZES | settings | {"batch_size": batch_size, "sample_every": 50}
    whole = train(corpus, **settings, updates=300, checkpoint=tmp_path / "whole")
    windows = -(-(len(TEXT) // batch_size - 7) // 6)
    assert 2 * windows < 300  # the cuts below lie in and at the end of epochs
    for cut in (1, windows - 1, windows, 2 * windows, 250):
        path = tmp_path / f"cut{cut}"
        train(corpus, **settings, updates=cut, checkpoint=path)
        assert stored(path)[1]["trainer"]["counters"]["update"] == cut
        resumed = train(corpus, resume=path, updates=300)
        assert resumed.block.tobytes() == whole.block.tobytes()
        assert resumed.state.tobytes() == whole.state.tobytes()
        assert resumed.history.loss.tobytes() == whole.history.loss.tobytes()
        assert resumed.history.smooth_loss.tobytes() == whole.history.smooth_loss.tobytes()
        same_run(path, tmp_path / "whole")


@pytest.mark.parametrize("unit", ["char", "word", "byte"])
def test_resume_of_each_unit(tmp_path, unit):
    text = {"char": TEXT, "word": WORDS, "byte": BYTES}[unit]
    book = tmp_path / "book.txt"
    book.write_bytes(text.encode())
    corpus = fastrnn.Corpus.from_file(book, unit)
    settings = SIZES | {"sample_every": 20}
    train(corpus, **settings, updates=150, checkpoint=tmp_path / "whole")
    train(corpus, **settings, updates=70, checkpoint=tmp_path / "part")
    train(book, resume=tmp_path / "part", updates=150)  # the file says the unit
    same_run(tmp_path / "part", tmp_path / "whole")


def test_resumed_again_and_again(tmp_path, corpus):
    settings = SIZES | {"sample_every": 10}
    train(corpus, **settings, updates=205, checkpoint=tmp_path / "whole")
    path = tmp_path / "part"
    train(corpus, **settings, updates=3, checkpoint=path)
    for updates in (4, 120, 120, 205):
        train(corpus, resume=path, updates=updates)
    same_run(path, tmp_path / "whole")


@pytest.mark.parametrize("cut", [9, 10, 11])
def test_resumed_runs_show_the_same_samples(tmp_path, corpus, capsys, cut):
    settings = SIZES | {"sample_every": 10, "progress": True}
    train(corpus, **settings, updates=30)
    whole = samples(capsys)
    assert whole.count("----") == 8  # one at the end too
    path = tmp_path / "part"
    train(corpus, **settings, updates=cut, checkpoint=path)
    first = samples(capsys)
    train(corpus, resume=path, updates=30, progress=True)
    assert first + samples(capsys) == whole


def samples(capsys):
    """What was printed, without the lines about the run."""
    return re.sub(r"^(?:data|model|training|plan|settings|loss) .*\n(?: +.*\n)*", "",
                  capsys.readouterr().out, flags=re.MULTILINE)


def test_resume_a_file_that_the_callback_wrote(tmp_path, corpus, capsys):
    """A sample is drawn before the callback is called; it must not count twice."""
    path = tmp_path / "part"
    settings = SIZES | {"sample_every": 10, "progress": True, "updates": 30}
    train(corpus, **settings,
          callback=lambda t: t.save(path) if t.update == 10 else None)
    whole = capsys.readouterr().out
    train(corpus, resume=path, progress=True)
    shown = capsys.readouterr().out
    assert shown.split("---- update 20")[1] == whole.split("---- update 20")[1]


def test_the_plan_can_be_made_longer(tmp_path, corpus):
    train(corpus, **SIZES, sample_every=0, epochs=3, checkpoint=tmp_path / "whole")
    path = tmp_path / "part"
    train(corpus, **SIZES, sample_every=0, epochs=2, checkpoint=path)
    assert stored(path)[1]["trainer"]["counters"]["epoch"] == 2
    train(corpus, resume=path)  # the plan is done
    assert stored(path)[1]["trainer"]["counters"]["epoch"] == 2
    train(corpus, resume=path, epochs=3)
    same_run(path, tmp_path / "whole")
    train(corpus, resume=path, updates=400)
    assert stored(path)[1]["trainer"]["counters"]["update"] == 400
    with pytest.raises(ValueError, match="one of epochs, updates and minutes, not epochs and upd"):
        train(corpus, resume=path, updates=400, epochs=5)


def test_the_plan_of_the_file_goes_on(tmp_path, corpus):
    path = tmp_path / "part"
    train(corpus, **SIZES, epochs=2, checkpoint=path, sample_every=10,
          callback=lambda t: t.update == 150)
    assert stored(path)[1]["trainer"]["counters"]["update"] == 150
    model = train(corpus, resume=path)
    assert len(model.history) == 2 * 116


def test_the_plan_can_be_made_of_time_and_back(tmp_path, corpus):
    path = tmp_path / "part"
    train(corpus, **SIZES, updates=20, checkpoint=path)
    model = train(corpus, resume=path, minutes=0.05 / 60)
    config = stored(path)[1]["trainer"]["config"]
    assert (config["minutes"], config["updates"], config["epochs"]) == (0.05 / 60, None, None)
    done = len(model.history)
    assert done > 20
    assert len(train(corpus, resume=path).history) == done  # the time is over
    model = train(corpus, resume=path, updates=done + 7)
    assert len(model.history) == done + 7
    assert model.block.tobytes() == train(corpus, **SIZES, updates=done + 7).block.tobytes()


def test_checkpoints_while_running(tmp_path, corpus):
    path, seen = tmp_path / "part", []

    def look(trainer):
        if trainer.update:
            seen.append(len(fastrnn.load(path).history))

    train(corpus, **SIZES, updates=35, checkpoint=path, checkpoint_every=7, sample_every=10,
          callback=look)
    assert seen == [7, 14, 28, 35]  # at 10, 20, 30 and the end


def test_resume_into_another_file(tmp_path, corpus):
    old, new = tmp_path / "old", tmp_path / "new"
    train(corpus, **SIZES, updates=50, checkpoint=old)
    before = old.read_bytes()
    train(corpus, resume=old, updates=60, checkpoint=new)
    assert old.read_bytes() == before
    assert len(fastrnn.load(new).history) == 60


@pytest.mark.parametrize("updates", [50, 250, 1000])
def test_the_best_model(tmp_path, updates):
    path = tmp_path / "m"
    # easy for 500 updates, then no longer: the best is neither the first nor the last
    corpus = fastrnn.Corpus.from_text("abcdefgh \n" * 300 + TEXT * 9)
    model = fastrnn.Model(corpus.vocabulary, hidden_size=9, seed=1)
    trainer = fastrnn.Trainer(model, corpus, seq_length=6, checkpoint=path, updates=updates,
                              progress=False)
    trainer.run()
    best = fastrnn.load(path, best=True)
    assert best.block.tobytes() == trainer.best_model().block.tobytes()
    assert (best.config, best.vocabulary) == (model.config, model.vocabulary)
    assert fastrnn.load(path).block.tobytes() == model.block.tobytes()
    for loaded in (best, fastrnn.load(path), trainer.best_model()):
        assert loaded.state.tobytes() == model.state.tobytes()
        assert loaded.state.any()
    assert trainer.best_update == {50: 0, 250: 200, 1000: 500}[updates]
    train(corpus, resume=path, updates=updates + 1)
    if updates > 50:
        assert fastrnn.load(path, best=True).block.tobytes() == best.block.tobytes()


# ---- refusing to go on ----

@pytest.mark.parametrize(("text", "unit", "message"), [
    (TEXT[:-1], "char", "was trained on 'text', and 'text' is not the same text"),
    (TEXT[1:] + TEXT[0], "char", "not the same text"),
    # the same ids, and yet another text
    (TEXT.translate(str.maketrans("abc", "ABC")), "char", "not the same text|vocabulary"),
    (TEXT, "byte", "not the same text|vocabulary"),
    (TEXT, "word", "not the same text|vocabulary"),
])
def test_another_text(run, text, unit, message):
    with pytest.raises(ValueError, match=f"run.safetensors.*({message})"):
        train(fastrnn.Corpus.from_text(text, unit), resume=run, updates=200)


def test_another_text_file(run, tmp_path):
    book = tmp_path / "other.txt"
    book.write_text(TEXT + "abc")
    with pytest.raises(ValueError, match="'other.txt' is not the same text"):
        train(book, resume=run)
    book.write_text(TEXT + "xyz")
    with pytest.raises(ValueError, match="'x' at position 700 is not in the vocabulary"):
        train(book, resume=run)


@pytest.mark.parametrize("change", [
    {"hidden_size": 10}, {"cell": "relu"}, {"dtype": "float64"}, {"seq_length": 7},
    {"batch_size": 2}, {"optimizer": "adam"}, {"learning_rate": 0.2}, {"clip_value": None},
    {"clip_norm": 3.0}, {"init": "identity"}, {"init_scale": 0.2}, {"seed": 2}, {"dropout": 0.1},
    {"schedule": "cosine"}, {"schedule_end": 0.2}, {"warmup": 5}, {"learning_rate_decay": 0.9},
    {"momentum": 0.5}, {"decay_rate": 0.5}, {"epsilon": 1e-6}, {"epsilon_inside": False},
    {"beta1": 0.8}, {"weight_drop": 0.1},
    {"beta2": 0.99}, {"weight_decay": 0.1}, {"weight_average": 0.1}, {"valid_fraction": 0.2},
    {"valid_every": 30}])
def test_what_shapes_the_run_cannot_change(run, corpus, change):
    (name,) = change
    with pytest.raises(ValueError, match=f"run.safetensors.* was made with {name}="):
        train(corpus, resume=run, updates=200, **change)


@pytest.mark.parametrize("same", [
    {"hidden_size": 9}, {"dtype": "float32"}, {"learning_rate": 0.1}, SIZES, {"cell": "rnn"},
    {"dtype": np.dtype("float32")}, {"valid_fraction": 0.1, "valid_every": 50},
    {"threads": 3}, {"patience": 7}])
def test_the_same_values_are_welcome(run, corpus, same):
    model = train(corpus, resume=run, updates=160, checkpoint=run.parent / "out", **same)
    assert len(model.history) == 160


def test_a_model_without_a_run(tmp_path, corpus):
    path = tmp_path / "bare"
    fastrnn.Model(corpus.vocabulary, hidden_size=9).save(path)
    with pytest.raises(ValueError, match="bare.*model without a training run"):
        train(corpus, resume=path)


def test_a_file_without_the_numbers_of_the_optimizers(tmp_path, corpus):
    """Those of fastrnn 0.1 go on with its fixed numbers."""
    path, whole = tmp_path / "part", tmp_path / "whole"
    settings = SIZES | {"optimizer": "adam", "sample_every": 20}
    train(corpus, **settings, updates=60, checkpoint=whole)
    train(corpus, **settings, updates=30, checkpoint=path)
    tensors, about = store.read(path)
    for name in ("beta1", "beta2", "epsilon", "epsilon_inside", "weight_decay"):
        del about["trainer"]["config"][name]
    store.write(path, tensors, about)
    train(corpus, resume=path, updates=60)
    same_run(path, whole)


# ---- saving that fails ----

def test_a_failing_checkpoint_does_not_lose_the_trainer(tmp_path, corpus, monkeypatch):
    model = fastrnn.Model(corpus.vocabulary, hidden_size=9)
    trainer = fastrnn.Trainer(model, corpus, updates=100, checkpoint=tmp_path / "m",
                              checkpoint_every=30, progress=False)
    replace = os.replace

    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="No space left"), \
            pytest.warns(UserWarning, match="No space left.*training goes on and tries again"):
        trainer.run()
    assert trainer.update == len(trainer.history) == 100
    monkeypatch.setattr(os, "replace", replace)
    trainer.run()
    whole = train(corpus, hidden_size=9, updates=100)
    assert trainer.model.block.tobytes() == whole.block.tobytes()
    assert trainer.history.loss.tobytes() == whole.history.loss.tobytes()


# ---- instruction sets ----

@pytest.mark.skipif(len(fastrnn.build_info()["isas"]) < 2, reason="one instruction set runs here")
def test_a_run_goes_on_with_its_own_instruction_set(tmp_path, corpus, monkeypatch, recwarn):
    path, other = tmp_path / "m.safetensors", fastrnn.build_info()["isas"][0]
    assert other != fastrnn.build_info()["isa"]
    settings = {"hidden_size": 33, "cell": "lstm", "seq_length": 6, "batch_size": 3}
    monkeypatch.setenv("FASTRNN_ISA", other)
    whole = train(corpus, **settings, updates=200)
    train(corpus, **settings, updates=100, checkpoint=path)
    monkeypatch.delenv("FASTRNN_ISA")
    assert train(corpus, resume=path, updates=200).block.tobytes() == whole.block.tobytes()
    assert not recwarn
    assert train(corpus, **settings, updates=200).block.tobytes() != whole.block.tobytes()


@pytest.mark.skipif(len(fastrnn.build_info()["isas"]) < 2, reason="one instruction set runs here")
def test_another_instruction_set_is_told(tmp_path, corpus, monkeypatch):
    path = tmp_path / "m.safetensors"
    train(corpus, hidden_size=9, updates=100, checkpoint=path)
    first, other = fastrnn.build_info()["isa"], fastrnn.build_info()["isas"][0]
    monkeypatch.setenv("FASTRNN_ISA", other)
    with pytest.warns(UserWarning, match=f"instruction set {first}, and it goes on with {other}"):
        train(corpus, resume=path, updates=110)


# ---- cells x optimizers x kinds of data x cuts x threads ----

def data(kind):
    rng = np.random.default_rng(3)
    if kind == "records":
        return fastrnn.Corpus.from_records(
            ["".join(rng.choice([*"abcd"], n)) for n in rng.integers(1, 9, 60)])
    if kind == "numbers":
        return fastrnn.Sequences(rng.normal(size=(30, 7, 2)), rng.normal(size=(30, 7, 2)),
                                 lengths=rng.integers(2, 8, 30))
    return corpus_of()


@pytest.mark.parametrize("kind", ["text", "shuffled", "records", "numbers"])
@pytest.mark.parametrize("optimizer", ["adagrad", "rmsprop", "adam", "sgd"])
@pytest.mark.parametrize("cell", ["rnn", "relu", "lstm", "gru", "mgu", "memory", "mlstm", "esn"])
def test_resume_grid(tmp_path, request, cell, optimizer, kind):
    """One cut, or with --long several, with other numbers of threads before and after it."""
    if (len(cell) + len(optimizer) + len(kind)) % 5 and not request.config.getoption("--long"):
        pytest.skip("one in five: give --long for all")
    source, whole, path = data(kind), tmp_path / "whole", tmp_path / "part"
    settings = {"cell": cell, "hidden_size": 11, "optimizer": optimizer, "learning_rate": 0.01,
                "batch_size": 9, "seed": 5, "sample_every": 0}
    settings |= {"dropout": 0.2} if cell != "esn" else {}
    if kind in ("text", "shuffled"):
        settings |= {"seq_length": 7} | ({"order": kind} if kind == "shuffled" else {})
    train(source, **settings, updates=90, checkpoint=whole, threads=1)
    cuts = (1, 3, 10, 11, 47, 89) if request.config.getoption("--long") else (47,)
    for cut in cuts:
        for first, second in ((1, 2), (2, 1)):
            train(source, **settings, updates=cut, checkpoint=path, threads=first)
            train(source, resume=path, updates=90, threads=second)
            same_run(path, whole)
            path.unlink()


def test_a_file_says_where_its_settings_come_from(tmp_path):
    path = tmp_path / "model.safetensors"
    corpus = fastrnn.Corpus.from_text("to be or not to be " * 40)
    model = fastrnn.train(corpus, preset="classic", hidden_size=7, updates=40, progress=False,
                          checkpoint=path)
    origin = model.run["origin"]
    assert origin["given"] == ["hidden_size", "updates"]
    assert origin["preset"] == "classic" and "learning_rate" in origin["chosen"]
    assert not set(origin["given"]) & set(origin["chosen"]) and "min-char-rnn" in origin["note"]
    loaded = fastrnn.load(path)
    assert loaded.run["origin"] == origin
    assert loaded.run["text"]["fingerprint"] == corpus.fingerprint()
    assert loaded.run["counters"]["update"] == 40 == model.copy().run["counters"]["update"]
    assert loaded.run["at"] == 40 == model.run["at"]
    further = fastrnn.train(corpus, resume=path, updates=60, progress=False)
    assert further.run["origin"] == origin
    assert fastrnn.train(corpus, repeat=path, progress=False).run["origin"] == origin


@pytest.mark.parametrize("origin", [[], "a",
                                    {"given": [1], "chosen": [], "preset": None, "note": ""},
                                    {"given": [], "chosen": [], "preset": 3, "note": ""},
                                    {"given": [], "chosen": 5, "preset": None, "note": ""}])
def test_a_damaged_origin_is_refused(tmp_path, origin):
    path = tmp_path / "model.safetensors"
    corpus = fastrnn.Corpus.from_text("to be or not to be " * 40)
    fastrnn.train(corpus, preset="classic", hidden_size=7, updates=40, progress=False,
                  checkpoint=path)
    tensors, about = store.read(path)
    about["trainer"]["origin"] = origin
    store.write(path, tensors, about)
    with pytest.raises(ValueError, match="damaged"):
        fastrnn.load(path)
