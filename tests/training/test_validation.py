"""The held-out tail of a text: how it is scored, when, and which model is kept for it."""
import signal

import numpy as np
import pytest
from runs import classic

import fastrnn
from fastrnn.training import checkpoint
from fastrnn.training.validation import Validation

RNG = np.random.default_rng(0)
EASY = "abcdefgh \n" * 60
NOISE = "".join(RNG.choice([*"abcdefgh \n"], 700))
TURN = EASY + NOISE + EASY[:100]  # what is learned first helps with the tail, the rest does not
SIZES = {"hidden_size": 9, "seed": 1, "dtype": "float64"}


@pytest.fixture
def corpus():
    return fastrnn.Corpus.from_text(NOISE)


@pytest.fixture(params=["rnn", "lstm"])
def turn(request):
    """A run whose validation loss falls and then rises; `kept` has parameters and state of each
    validation, by its update."""
    corpus = fastrnn.Corpus.from_text(TURN)
    kept = {}

    def keep(trainer):
        kept[trainer.update] = trainer.model.block.copy(), trainer.state[:1].copy()

    trainer = make(corpus, SIZES | {"cell": request.param}, valid_fraction=100 / len(TURN),
                   valid_every=20, updates=200, sample_every=20, learning_rate=0.2, callback=keep)
    trainer.kept = kept
    return trainer


def make(corpus, model=SIZES, **settings):
    settings = {"seq_length": 6, "progress": False} | settings
    return fastrnn.Trainer(fastrnn.Model(corpus.vocabulary, **model), corpus, **settings)


def corpus_like(corpus, ids):
    return fastrnn.Corpus(ids, corpus.vocabulary)


def scored(trainer, held_out, streams):
    """The mean loss of each stream, read from the state that training carried there."""
    corpus = trainer.corpus
    tail = corpus.ids[len(corpus) - held_out :].astype(int)
    length = held_out // streams
    pieces = tail[: streams * length].reshape(streams, 1, length)
    return np.mean([
        trainer.model.losses(piece[:, :-1], piece[:, 1:], trainer.state[n : n + 1]).mean()
        for n, piece in enumerate(pieces)])


# ---- the score ----

@pytest.mark.parametrize(("length", "fraction", "N", "T", "held_out", "streams"), [
    (700, 0.2, 1, 6, 140, 1),
    (700, 0.2, 3, 6, 140, 3),  # 46 symbols each, 2 are left over
    (700, 0.2, 3, 46, 140, 2),  # three streams would be one symbol too short
    (700, 0.2, 3, 45, 140, 3),
    (1400, 0.1, 4, 200, 140, 1),  # shorter than a window
    (700, 0.1, 20, 6, 70, 10),
    (700, 0.5, 20, 15, 350, 20),
    (700, 0.0031, 2, 6, 2, 1),  # the least
    (700, 0.0037, 2, 6, 3, 1),
    (700, 0.75, 2, 1, 525, 2),
], ids=str)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_loss_is_that_of_the_streams(length, fraction, N, T, held_out, streams, dtype):
    corpus = fastrnn.Corpus.from_text((2 * NOISE)[:length])
    trainer = make(corpus, SIZES | {"init_scale": 0.5, "dtype": dtype}, seq_length=T,
                   batch_size=N, valid_fraction=fraction, valid_every=3, updates=3)
    trainer.run()
    (loss,) = trainer.history.valid_loss
    expected = scored(trainer, held_out, streams)
    assert trainer.state.any()
    assert loss == pytest.approx(expected, rel=1e-12 if dtype == "float64" else 1e-6)
    assert trainer.history.valid_updates.tolist() == [3]


def test_one_stream_is_the_model_s_own_score(corpus):
    def look(trainer):
        model = trainer.model.copy()
        model.state[:] = trainer.state
        scores.append(model.score(NOISE[560:]))

    trainer = make(corpus, valid_fraction=0.2, valid_every=10, updates=50, learning_rate=0.5,
                   sample_every=10, callback=look)
    scores = []
    trainer.run()
    np.testing.assert_allclose(trainer.history.valid_loss, scores[1:], rtol=1e-12)
    assert len(set(scores)) == 6


def test_dropout_is_off(corpus):
    dropping = {"dropout": 0.5, "weight_drop": 0.5, "init_scale": 0.5}
    trainer = make(corpus, SIZES | dropping, valid_fraction=0.2, updates=20, batch_size=2)
    trainer.run()
    assert trainer.history.valid_loss[0] == pytest.approx(
        scored(trainer, 140, 2), rel=1e-12)


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("model", [SIZES, SIZES | {"dropout": 0.3}], ids=["plain", "dropout"])
def test_the_tail_is_not_trained_on_and_scoring_changes_nothing(corpus, model, batch_size):
    settings = {"batch_size": batch_size, "updates": 150, "sample_every": 40}
    other = corpus_like(corpus, np.concatenate([corpus.ids[:560], corpus.ids[:140]]))
    plain = make(corpus_like(corpus, corpus.ids[:560]), model, **settings)
    trainers = [make(c, model, **settings, valid_fraction=0.2, valid_every=every)
                for c, every in ((corpus, 1), (corpus, 37), (other, 7))]
    plain.run()
    for trainer in trainers:
        assert trainer.updates_per_epoch == plain.updates_per_epoch
        trainer.run()
        assert trainer.model.block.tobytes() == plain.model.block.tobytes()
        assert trainer.history.loss.tobytes() == plain.history.loss.tobytes()
        assert trainer.state.tobytes() == plain.state.tobytes()
        assert trainer.epoch == plain.epoch > 0
    assert trainers[0].history.valid_loss[-1] == trainers[1].history.valid_loss[-1]
    assert trainers[0].history.valid_loss[-1] != trainers[2].history.valid_loss[-1]


# ---- when ----

def test_after_each_epoch_and_at_the_end(corpus):
    trainer = make(corpus, valid_fraction=0.2, updates=250)
    n = trainer.updates_per_epoch
    assert n == 93  # of 560 symbols
    trainer.run()
    history = trainer.history
    assert history.valid_updates.tolist() == [n, 2 * n, 250]
    assert (history.valid_updates.dtype, history.valid_loss.dtype) == (np.int64, np.float64)
    assert history.valid_loss.shape == (3,)
    trainer = make(corpus, valid_fraction=0.2, epochs=2)
    trainer.run()
    assert trainer.history.valid_updates.tolist() == [n, 2 * n]  # once at the end, not twice


@pytest.mark.parametrize(("updates", "expected"), [
    (100, [40, 80, 100]), (120, [40, 80, 120]), (39, [39]), (40, [40])])
def test_every_so_many_updates(corpus, updates, expected):
    trainer = make(corpus, valid_fraction=0.2, valid_every=40, updates=updates)
    trainer.run()
    assert trainer.history.valid_updates.tolist() == expected
    trainer.run()
    assert trainer.history.valid_updates.tolist() == expected


def test_a_run_of_so_many_updates_has_those_that_are_due(corpus):
    """So a program that runs update after update does not score after each."""
    whole, parts = (make(corpus, valid_fraction=0.2, valid_every=40, updates=100)
                    for _ in range(2))
    whole.run()
    for n in (1, 38, 1, 10, 30, 5):
        parts.run(updates=n)
    assert parts.history.valid_updates.tolist() == [40, 80]
    parts.run()
    assert parts.history.valid_updates.tolist() == [40, 80, 100]
    assert parts.history.valid_loss.tobytes() == whole.history.valid_loss.tobytes()


def test_a_callback_s_stop_is_an_end_too(corpus):
    trainer = make(corpus, valid_fraction=0.2, valid_every=40, updates=100, sample_every=15,
                   callback=lambda t: t.update == 60)
    trainer.run()
    assert trainer.history.stopped == "callback"
    assert trainer.history.valid_updates.tolist() == [40, 60]


def test_the_callback_sees_the_validation_of_its_update(corpus):
    seen = []
    trainer = make(corpus, valid_fraction=0.2, valid_every=10, updates=30, sample_every=10,
                   callback=lambda t: seen.append((t.update, t.history.valid_updates.tolist())))
    trainer.run()
    assert seen == [(0, []), (10, [10]), (20, [10, 20]), (30, [10, 20, 30])]


def test_ctrl_c_while_scoring(corpus, tmp_path, monkeypatch):
    """The validation that was cut off is made when the run goes on."""
    score, path = Validation.loss, tmp_path / "m"
    settings = {"valid_fraction": 0.5, "valid_every": 20, "updates": 70, "sample_every": 30}

    def interrupted(self, model, state, threads, stop):
        signal.raise_signal(signal.SIGINT)
        monkeypatch.undo()
        return score(self, model, state, threads, stop)

    whole = make(corpus, **settings)
    whole.run()
    trainer = make(corpus, **settings, checkpoint=path)
    trainer.run(updates=30)
    monkeypatch.setattr(Validation, "loss", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    assert trainer.update == 40
    assert trainer.history.stopped == "interrupted"
    assert trainer.history.valid_updates.tolist() == [20]
    trainer = fastrnn.Trainer.from_checkpoint(path, corpus, progress=False)
    trainer.run()
    assert trainer.history.valid_updates.tolist() == [20, 40, 60, 70]
    assert trainer.history.valid_loss.tobytes() == whole.history.valid_loss.tobytes()
    monkeypatch.setattr(Validation, "loss", interrupted)
    trainer = make(corpus, **settings)
    with pytest.raises(KeyboardInterrupt):
        trainer.run()


# ---- the best model ----

def test_the_best_is_kept_after_it_got_worse(turn):
    assert (turn.best_loss, turn.best_update) == (np.inf, 0)
    assert turn.best_model().block.tobytes() == turn.model.block.tobytes()
    turn.run()
    loss, updates = turn.history.valid_loss, turn.history.valid_updates
    best = int(loss.argmin())
    assert 0 < best < len(loss) - 1  # neither the first nor the last
    assert loss[-1] > 1.2 * loss[best]
    assert turn.best_loss == loss[best]
    assert turn.best_update == updates[best]
    model = turn.best_model()
    block, state = turn.kept[turn.best_update]
    assert model.block.tobytes() == block.tobytes()
    assert model.state.tobytes() == state.tobytes()
    assert model.state.any() and model.state.tobytes() != turn.model.state.tobytes()
    assert model.score(TURN[-100:]) == pytest.approx(turn.best_loss, rel=1e-12)
    assert not np.shares_memory(model.block, turn.model.block)
    assert model.history.loss.tobytes() == turn.history.loss.tobytes()
    assert model.history.valid_loss.tobytes() == turn.history.valid_loss.tobytes()
    assert model.history.stopped == "finished"
    assert model.history is not turn.history


def test_train_returns_the_best_and_load_finds_it(turn, tmp_path):
    path = tmp_path / "m"
    turn.run()
    best, last = turn.best_model(), turn.model
    model = classic(turn.corpus, seq_length=6, valid_fraction=100 / len(TURN),
                          valid_every=20, updates=200, sample_every=20, learning_rate=0.2,
                          progress=False, checkpoint=path, **best.config)
    for one, other in ((model, best), (fastrnn.load(path), best),
                       (fastrnn.load(path, best=None), best), (fastrnn.load(path, best=True), best),
                       (fastrnn.load(path, best=False), last)):
        assert one.block.tobytes() == other.block.tobytes()
        assert one.state.tobytes() == other.state.tobytes()
        assert one.history.valid_loss.tobytes() == turn.history.valid_loss.tobytes()
        assert one.history.valid_updates.tobytes() == turn.history.valid_updates.tobytes()
        assert one.history.seq_length == 6
        assert len(one.history) == 200
    # the best model alone, saved as such
    model.save(tmp_path / "alone")
    assert fastrnn.load(tmp_path / "alone").block.tobytes() == best.block.tobytes()
    assert fastrnn.load(tmp_path / "alone").state.tobytes() == best.state.tobytes()


def test_before_the_first_validation_the_best_is_the_present_one(corpus, tmp_path):
    path = tmp_path / "m"
    trainer = make(corpus, valid_fraction=0.2, valid_every=500)
    trainer.run(updates=110)  # beyond where the smoothed loss would be looked at
    trainer.save(path)
    assert (trainer.best_update, trainer.best_loss) == (0, np.inf)
    for model in (trainer.best_model(), fastrnn.load(path), fastrnn.load(path, best=True)):
        assert model.block.tobytes() == trainer.model.block.tobytes()
        assert model.state.tobytes() == trainer.model.state.tobytes()


def test_without_validation_train_returns_the_last(corpus, tmp_path):
    path = tmp_path / "m"
    settings = {"seq_length": 6, "updates": 150, "progress": False} | SIZES
    model = classic(corpus, **settings, checkpoint=path)
    trainer = make(corpus, updates=150)
    trainer.run()
    assert trainer.best_update == 100
    assert model.block.tobytes() == trainer.model.block.tobytes()
    assert model.block.tobytes() != trainer.best_model().block.tobytes()
    assert fastrnn.load(path).block.tobytes() == model.block.tobytes()
    assert model.history.valid_loss.shape == model.history.valid_updates.shape == (0,)


def test_the_smoothed_loss_no_longer_decides(turn):
    turn.run()
    assert turn.best_update % 20 == 0
    assert turn.best_loss not in turn.history.smooth_loss
    assert turn.history.smooth_loss[turn.best_update - 1] != turn.best_loss


def test_the_best_at_the_end_of_a_run_counts(corpus):
    easy = fastrnn.Corpus.from_text(EASY)
    trainer = make(easy, valid_fraction=0.1, valid_every=40, updates=70)
    trainer.run()
    assert trainer.history.valid_updates.tolist() == [40, 70]
    assert trainer.best_update == 70
    assert trainer.best_model().block.tobytes() == trainer.model.block.tobytes()


# ---- patience ----

def patient(losses, monkeypatch, corpus, **settings):
    """A run whose validations say these losses, one after the other."""
    said = iter(losses)
    monkeypatch.setattr(Validation, "loss", lambda *_: next(said))
    return make(corpus, **({"valid_fraction": 0.2, "valid_every": 10, "updates": 200} | settings))


@pytest.mark.parametrize(("losses", "patience", "stop"), [
    ([3, 2, 1, 2, 0.5, 2], 1, 40),
    ([3, 2, 1, 2, 0.5, 2, 3], 2, 70),
    ([3, 3, 3], 2, 30),  # the same is not lower
    ([3, 2, 2.5, 1.9, 2, 2, 1.9], 3, 70),
    ([1, 2, 3, 4, 0.9, 2, 3, 4, 5], 4, 90),
    ([1, 2, 3, 4, 0.9, 2, 3, 4, 5], 3, 40),
    ([2, np.inf, np.inf], 2, 30),
    ([np.nan, 3, 2, 1, 1, 1], 2, 60),  # not a number is not lower
])
def test_patience(monkeypatch, corpus, losses, patience, stop):
    trainer = patient(losses, monkeypatch, corpus, patience=patience)
    trainer.run()
    assert trainer.update == stop
    assert trainer.history.stopped == "patience"
    np.testing.assert_array_equal(trainer.history.valid_loss, losses[: stop // 10])
    lowest = np.nanmin(losses[: stop // 10])
    assert trainer.best_loss == lowest
    assert trainer.history.lowest_validation() == (lowest, 10 + 10 * losses.index(lowest))
    trainer.run()  # it does not try anew
    assert trainer.update == stop
    assert trainer.history.stopped == "patience"


def test_patience_goes_on_counting_after_a_resume(monkeypatch, corpus, tmp_path):
    losses, path = [3, 2, 2.5, 2.4, 2.3, 2.2, 1], tmp_path / "m"
    whole = patient(losses, monkeypatch, corpus, patience=4)
    whole.run()
    assert whole.update == 60
    for cut in (25, 30, 31, 60):
        trainer = patient(losses, monkeypatch, corpus, patience=4)
        trainer.run(updates=cut)
        trainer.save(path)
        trainer = fastrnn.Trainer.from_checkpoint(path, corpus, progress=False)
        trainer.run()
        assert trainer.update == 60
        assert trainer.history.stopped == "patience"
        assert trainer.model.block.tobytes() == whole.model.block.tobytes()
        assert trainer.best_model().block.tobytes() == whole.best_model().block.tobytes()
    more = fastrnn.Trainer.from_checkpoint(path, corpus, patience=5, progress=False)
    more.run(updates=10)
    assert more.update == 70
    assert more.best_loss == 1


def test_a_validation_that_was_not_due_does_not_try_the_patience(monkeypatch, corpus):
    """It is made where a run ends; a run that is cut stops where a whole one does."""
    trainer = patient([3, 2, 9, 2.5, 2.4], monkeypatch, corpus, patience=2, updates=25)
    trainer.run()
    assert trainer.history.valid_updates.tolist() == [10, 20, 25]
    trainer.config["updates"] = 200
    trainer.run()
    assert trainer.update == 40
    assert trainer.best_update == 20


# ---- going on bit for bit ----

def same_files(path, other):
    tensors, about = checkpoint.read(path)[1:]
    expected, expected_about = checkpoint.read(other)[1:]
    assert about == expected_about
    assert tensors.keys() == expected.keys()
    for name, array in tensors.items():
        assert array.tobytes() == expected[name].tobytes(), name


@pytest.mark.parametrize("settings", [
    {"valid_every": 30, "patience": 3},
    {"dropout": 0.3, "batch_size": 2, "valid_every": 45},
    {"schedule": "cosine", "warmup": 20, "valid_every": 7, "dtype": "float32"},
    {"learning_rate_decay": 0.5, "learning_rate_decay_after": 1, "optimizer": "sgd",
     "momentum": 0.9, "learning_rate": 0.01, "dropout": 0.1},
    {"optimizer": "rmsprop", "decay_rate": 0.95, "valid_every": 50, "clip_norm": 1.0},
    {"cell": "lstm", "num_layers": 2, "embedding_size": 5, "dropout": 0.2, "batch_size": 30,
     "valid_every": 40, "optimizer": "adam"},
], ids=lambda settings: "-".join(map(str, settings.values())))
def test_resume_bit_for_bit(tmp_path, corpus, settings):
    """A run cut by Ctrl-C anywhere, and resumed, leaves the file of one that was not."""
    whole, part = tmp_path / "whole", tmp_path / "part"
    settings = {"seq_length": 6, "valid_fraction": 0.2, "updates": 250, "sample_every": 20,
                "progress": False} | SIZES | settings
    result = classic(corpus, **settings, checkpoint=whole)

    def stop(trainer):
        if trainer.update == cut:
            signal.raise_signal(signal.SIGINT)

    for cut in (0, 60, 100, 180):
        model = classic(corpus, **settings, checkpoint=part, callback=stop)
        assert model.history.stopped == "interrupted"
        assert cut < len(model.history) < len(result.history)
        resumed = classic(corpus, resume=part, progress=False)
        assert resumed.block.tobytes() == result.block.tobytes()
        assert resumed.state.tobytes() == result.state.tobytes()
        assert resumed.history.valid_loss.tobytes() == result.history.valid_loss.tobytes()
        same_files(part, whole)


# ---- bad input ----

@pytest.mark.parametrize(("settings", "error", "message"), [
    ({"valid_fraction": 1.0}, ValueError, "valid_fraction must be at least 0 and below 1, not 1.0"),
    ({"valid_fraction": -0.1}, ValueError, "valid_fraction must be at least 0 and below 1"),
    ({"valid_fraction": float("nan")}, ValueError, "valid_fraction must be a finite number"),
    ({"valid_fraction": True}, ValueError, "valid_fraction must be a finite number, not True"),
    ({"valid_fraction": "some"}, TypeError, "valid_fraction must be a number"),
    ({"valid_fraction": 0.002}, ValueError,
     "valid_fraction 0.002 is 1 of the 700 symbols of text, and 2 are the least: give 0.0029 or"),
    ({"valid_fraction": 0.0001}, ValueError, "valid_fraction 0.0001 is 0 of the 700 symbols"),
    ({"valid_fraction": 0.9, "seq_length": 70}, ValueError,
     r"text has 700 symbols \(70 without the valid_fraction\), and seq_length 70 with batch_size 1 "
     "needs at least 72: give a longer text or a smaller seq_length"),
    ({"valid_fraction": 0.5, "seq_length": 48, "batch_size": 8}, ValueError,
     r"\(350 without the valid_fraction\).* needs at least 400: .* batch_size of at most 7"),
    ({"valid_every": 10}, ValueError, "valid_every needs a valid_fraction.*: give one above 0"),
    ({"patience": 10}, ValueError, "patience needs a valid_fraction.*: give one above 0"),
    ({"valid_every": 0, "valid_fraction": 0.1}, ValueError,
     "valid_every must be a whole number of at least 1, not 0"),
    ({"valid_every": 1.5, "valid_fraction": 0.1}, TypeError, "valid_every must be a whole number"),
    ({"patience": 0, "valid_fraction": 0.1}, ValueError,
     "patience must be a whole number of at least 1, not 0"),
    ({"patience": "none", "valid_fraction": 0.1}, TypeError, "patience must be a whole number"),
])
def test_bad_settings(corpus, settings, error, message):
    with pytest.raises(error, match=message):
        classic(corpus, progress=False, **settings)


@pytest.mark.parametrize("change", [{"valid_fraction": 0.1}, {"valid_every": 3}, {"seed": 1}])
def test_what_is_held_out_cannot_change(corpus, tmp_path, change):
    path = tmp_path / "m"
    trainer = make(corpus, valid_fraction=0.2, valid_every=10, updates=20, checkpoint=path)
    trainer.run()
    (name,) = change
    with pytest.raises(ValueError, match=f"was made with {name}="):
        classic(corpus, resume=path, updates=40, **change)


# ---- what a person sees ----

def test_the_bar_tells_the_validation_loss(corpus, capsys):
    trainer = make(corpus, progress=True, valid_fraction=0.2, valid_every=10, updates=40)
    trainer.run()
    err = capsys.readouterr().err
    loss, valid = trainer.history.train_loss[-1], trainer.history.valid_loss[-1]
    assert f"| loss {loss:.3f} (validation {valid:.3f}), epoch " in err
    make(corpus, progress=True, updates=40).run()
    assert "validation" not in capsys.readouterr().err


def test_repr_and_copy_of_the_history(corpus):
    trainer = make(corpus, valid_fraction=0.2, updates=20)
    trainer.run()
    history = trainer.history
    loss = history.valid_loss[-1]
    assert repr(history).endswith(f"validation loss {loss:.4g} (nats per symbol)>")
    copy = history.copy()
    history.add_validation(1.5, 30)
    history.extend(np.ones(2), np.ones(2), np.ones(2))
    assert (len(copy), copy.valid_loss.tolist(), copy.stopped) == (20, [loss], "finished")
    assert (len(history), history.valid_updates.tolist()) == (22, [20, 30])
    assert copy.seq_length == 6


def test_plot_has_both_losses_per_symbol(turn, tmp_path):
    pytest.importorskip("matplotlib")
    turn.run()
    path = tmp_path / "loss.png"
    axes = turn.history.plot(path)
    assert path.read_bytes()[:4] == b"\x89PNG"
    raw, smooth, valid = axes.lines
    np.testing.assert_array_equal(raw.get_ydata(), turn.history.loss / 6)
    mean = [turn.history.loss[max(0, n - 30) : n].mean() / 6 for n in range(1, 201)]
    np.testing.assert_allclose(smooth.get_ydata(), mean)
    np.testing.assert_array_equal(smooth.get_xdata(), np.arange(1, 201))
    np.testing.assert_array_equal(valid.get_ydata(), turn.history.valid_loss)
    np.testing.assert_array_equal(valid.get_xdata(), turn.history.valid_updates)
    assert "per symbol" in axes.get_ylabel()
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert ["train" in labels[1], "valid" in labels[2]] == [True, True]


def test_plot_without_validation_is_per_window(corpus):
    pytest.importorskip("matplotlib")
    trainer = make(corpus, updates=20)
    trainer.run()
    axes = trainer.history.plot()
    raw, smooth = axes.lines
    np.testing.assert_array_equal(raw.get_ydata(), trainer.history.loss)
    np.testing.assert_array_equal(smooth.get_ydata(), trainer.history.smooth_loss)
    assert "per window" in axes.get_ylabel()


@pytest.mark.parametrize(("given", "updates"), [({"valid_every": 5}, [5, 10, 12]),
                                                ({"patience": 3}, [12])])
def test_a_setting_beside_the_valid_fraction_of_a_preset(corpus, given, updates):
    model = fastrnn.train(corpus, preset="char-rnn", hidden_size=5, updates=12, batch_size=2,
                          seq_length=10, progress=False, **given)
    assert model.history.valid_updates.tolist() == updates
    with pytest.raises(ValueError, match="beta1 is for optimizer='adam', not 'rmsprop'"):
        fastrnn.train(corpus, preset="char-rnn", beta1=0.5)
