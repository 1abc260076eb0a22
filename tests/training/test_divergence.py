"""Runs that diverge: what is said, and that the last good state is kept."""
import math
import warnings

import numpy as np
import pytest
from runs import SIZES, classic, corpus_of

import fastrnn
from fastrnn.model.history import History
from fastrnn.training import divergence

QUICK_FOX = "the quick brown fox jumps over the lazy dog. "
DIVERGING = [  # they diverged, and the last state in the file was worthless, in fastrnn 0.1
    ({"cell": "relu"}, "sgd", 0.1), ({"cell": "relu"}, "sgd", 0.2), ({"cell": "relu"}, "sgd", 0.5),
    ({"cell": "relu"}, "adagrad", 0.05), ({"cell": "relu"}, "rmsprop", 1.0),
    ({"cell": "memory"}, "sgd", 0.05), ({"cell": "memory"}, "adagrad", 0.1),
    ({"cell": "memory"}, "rmsprop", 0.5), ({"cell": "rnn"}, "sgd", 1e5),
]


@pytest.fixture
def corpus():
    return corpus_of()


@pytest.fixture
def fox():
    return fastrnn.Corpus.from_text(QUICK_FOX * 400)


def make(corpus, model=None, **settings):
    model = {"hidden_size": 100} | (model or {})
    settings = {"seq_length": 25, "progress": False, "sample_every": 0} | settings
    return fastrnn.Trainer(fastrnn.Model(corpus.vocabulary, **model), corpus, **settings)


@pytest.mark.parametrize(("model", "optimizer", "rate"), DIVERGING)
@pytest.mark.parametrize("on_divergence", ["raise", "rollback"])
def test_the_file_holds_a_good_state(fox, tmp_path, model, optimizer, rate, on_divergence):
    path = tmp_path / "m.safetensors"
    trainer = make(fox, model, optimizer=optimizer, learning_rate=rate, checkpoint=path,
                   checkpoint_every=20, updates=400, on_divergence=on_divergence)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            trainer.run()
            assert on_divergence == "rollback" and trainer.update == 400
        except fastrnn.DivergenceError as error:
            assert trainer.history.stopped == "error"
            assert error.update > trainer.update
            # at -O1 numbers round otherwise, and one run diverges however low the rate is
            assert on_divergence == "raise" or (
                trainer._rate_factor < divergence.LEAST_FACTOR
                and "-O1" in fastrnn.build_info()["compiler"])
    assert (trainer._rate_factor < 1) == (on_divergence == "rollback")
    stored = fastrnn.load(path, best=False)
    assert len(stored.history) == trainer.update == len(trainer.history)
    assert stored.block.tobytes() == trainer.model.block.tobytes()
    assert np.isfinite(stored.block).all()
    most = divergence.GOOD if on_divergence == "raise" else divergence.WORTHLESS
    assert trainer._updates.training.next_loss() <= most * math.log(len(fox.vocabulary)) * 1.01
    assert (trainer.history.loss <= 100 * 25 * trainer._updates.guess).all()
    if on_divergence == "raise" and trainer.update:  # the state of a run that ended there
        twin = make(fox, model, optimizer=optimizer, learning_rate=rate)
        twin.run(updates=trainer.update)
        assert twin.model.block.tobytes() == trainer.model.block.tobytes()


def test_going_back_is_bit_for_bit(corpus):
    """With dropout, a random order and Adam: what follows is as if nothing had been."""
    settings = {"optimizer": "adam", "batch_size": 4, "order": "shuffled", "seq_length": 7}
    model = {"cell": "lstm", "hidden_size": 9, "dropout": 0.3, "dtype": "float64"}
    trainer, twin = (make(corpus, model, **settings) for _ in range(2))
    trainer.run(updates=10)
    twin.run(updates=10)
    trainer._updates.good.look()
    trainer._updates.look()
    trainer._updates.training.run(np.full(5, 0.1), *trainer._updates.rows(5))
    trainer.history.extend(*np.ones((3, 5)))
    trainer._updates.go_back()
    assert trainer.update == len(trainer.history) == 10
    for each in (trainer, twin):
        each.run(updates=30)
    assert trainer.model.block.tobytes() == twin.model.block.tobytes()
    assert trainer.history.loss.tobytes() == twin.history.loss.tobytes()


def test_runs_of_one_update_are_not_all_looked_at(fox, monkeypatch):
    """The time for looks is bounded over runs, not within one; parameters that something else has
    changed in between are looked at, and going back does not undo the change."""
    trainer, looked = make(fox), []
    look = type(trainer._updates).look
    monkeypatch.setattr(divergence, "EFFORT", 1e6)
    monkeypatch.setattr(trainer._updates, "look",
                        lambda: (looked.append(trainer.update), look(trainer._updates))[1])
    for _ in range(9):
        trainer.run(updates=1)
    assert looked == [0]
    trainer.model.params["layer0.Wh"][:] = 0
    trainer.run(updates=1)
    assert looked == [0, 9]
    trainer._updates.go_back()
    assert trainer.update == 9 and not trainer.model.params["layer0.Wh"].any()


def test_what_the_error_says(fox):
    trainer = make(fox, {"cell": "relu"}, optimizer="sgd", learning_rate=0.2, updates=400,
                   clip_value=None, checkpoint_every=20)
    with pytest.raises(FloatingPointError) as caught:
        trainer.run()
    error = caught.value
    twin = make(fox, {"cell": "relu"}, optimizer="sgd", learning_rate=0.2, clip_value=None)
    twin._updates.training.run(np.full(error.update - 1, 0.2))
    window = fox.ids[twin.position : twin.position + 26].astype(int)
    _, grads, _ = twin.model.loss_and_gradients(window[None, :-1], window[None, 1:], twin.state)
    losses = twin.model.losses(window[None, :-1], window[None, 1:], twin.state)[0]
    norms = {name: np.linalg.norm(g.astype(float)) for name, g in grads.items()}
    if math.isfinite(error.gradient_norm):
        assert error.gradient_norm == pytest.approx(np.linalg.norm([*norms.values()]), rel=1e-4)
        assert error.tensor == max(norms, key=norms.get)
        assert error.loss == pytest.approx(losses.mean(), rel=1e-4)
        assert error.time_step == losses.argmax()
    assert error.layer == (int(error.tensor[5]) if error.tensor.startswith("layer") else None)
    for part in (error.tensor, f"update {error.update:,} is {error.loss:.3g} nats per char",
                 f"time step {error.time_step}", f"the norm {error.gradient_norm:.3g}",
                 f"that of update {trainer.update:,} again",
                 "learning_rate below 0.2, such as 0.05", "clip_norm=1", "cell='lstm'",
                 "on_divergence='rollback'"):
        assert part in str(error)


@pytest.mark.parametrize(("settings", "cell", "said", "not_said"), [
    ({"clip_norm": 1.0}, "rnn", "learning_rate below 0.1", "clip_norm"),
    ({"clip_value": None}, "rnn", "clip_norm=1, ", "clip_value"),
    ({"optimizer": "sgd", "momentum": 0.99}, "gru", "momentum of at most 0.9", "bounded"),
    ({"on_divergence": "rollback"}, "memory", "bounded", "rollback"),
])
def test_advice_fits_the_settings(corpus, settings, cell, said, not_said):
    trainer = make(corpus, {"cell": cell}, learning_rate=0.1, **settings)
    advice = divergence.advice(trainer.config, trainer.model.config)
    assert said in advice and not_said not in advice


def test_infinite_weights_under_tanh_are_noticed(corpus, tmp_path):
    path = tmp_path / "m.safetensors"
    trainer = make(corpus, {"hidden_size": 9}, updates=100, checkpoint=path, checkpoint_every=10)
    trainer.run(updates=50)
    trainer.model.params["layer0.b"][:] = np.inf  # tanh gives 1
    with pytest.raises(fastrnn.DivergenceError, match="update 50 again"), \
            warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.run()
    assert np.isfinite(fastrnn.load(path).block).all()


def test_a_worthless_state_is_not_saved_and_that_is_said(corpus, tmp_path):
    path = tmp_path / "m.safetensors"
    trainer = make(corpus, {"hidden_size": 9}, updates=100, checkpoint=path)
    trainer.run(updates=20)
    before = path.read_bytes()
    trainer.model.params["head.W"][:] = 1e4
    trainer.model.params["head.W"][:, 0] = -1e4
    with pytest.warns(UserWarning, match="state after update 20 is not saved"):
        trainer._save()
    assert path.read_bytes() == before


def test_a_rollback_is_resumed_and_repeated(fox, tmp_path):
    path, again = tmp_path / "m.safetensors", tmp_path / "again.safetensors"
    settings = {"cell": "relu", "optimizer": "sgd", "learning_rate": 0.2, "hidden_size": 100,
                "checkpoint_every": 20, "on_divergence": "rollback", "sample_every": 0}
    with pytest.warns(UserWarning, match=r"diverged at update \d+: it goes on from update \d+ with "
                                         r"0\.5 times the learning rate"):
        classic(fox, **settings, updates=200, checkpoint=path, progress=False)
    model = fastrnn.load(path)
    rates = model.history.learning_rate
    assert set(rates) <= {0.2 / 2**n for n in range(20)} and rates[-1] < 0.2
    repeated = fastrnn.train(fox, repeat=path, progress=False, checkpoint=again)
    assert repeated.block.tobytes() == model.block.tobytes()
    resumed = fastrnn.train(fox, resume=path, updates=210, progress=False)
    assert resumed.history.learning_rate[-1] <= rates[-1]


def test_a_sudden_rise_of_the_loss_is_noticed():
    history, rng = History(seq_length=25), np.random.default_rng(0)

    def add(losses):
        history.extend(losses, losses, losses)
        return divergence.spike(history, losses, math.log(80))

    assert not any(add(rng.uniform(20, 75, 500)) for _ in range(20))
    assert add(np.concatenate([rng.uniform(20, 75, 300), np.full(40, 400.0)]))[0] \
        == pytest.approx(10_310, abs=10)
    calm = History(seq_length=25)
    calm.extend(*np.full((3, 1000), 0.1))
    calm.extend(*np.full((3, 100), 1.0))  # ten times as much, and still nearly nothing
    assert divergence.spike(calm, np.full(100, 1.0), math.log(80)) is None


def test_a_run_tells_a_sudden_rise(corpus):
    trainer = make(corpus, {"hidden_size": 9}, updates=1000, checkpoint_every=50)
    trainer.run(updates=400)
    trainer.model.params["head.W"][:] *= 60
    with pytest.warns(UserWarning, match=r"the training loss rose at update 4\d\d from"):
        trainer.run(updates=100)


def test_a_loss_of_guessing():
    numbers = np.random.default_rng(0).normal(size=(5, 9, 2))
    sequences = fastrnn.Sequences(numbers[:, :-1], numbers[:, 1:])
    targets = numbers[:, 1:]
    for scale, off in ((False, targets), (True, targets - targets.mean((0, 1)))):
        trainer = fastrnn.Trainer(fastrnn.Model(sequences.sizes), sequences, progress=False,
                                  scale=scale)
        assert trainer._updates.guess == pytest.approx(np.abs(off).max() ** 2)
    text = corpus_of()
    for loss in ("cross_entropy", "binary_cross_entropy"):
        model = fastrnn.Model(text.vocabulary, loss=loss, init_scale=0.0, hidden_size=4)
        trainer = fastrnn.Trainer(model, text, progress=False)
        updates = trainer._updates
        assert updates.guess == pytest.approx(updates.training.next_loss(), rel=1e-5)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "esn"])
@pytest.mark.parametrize("kind", ["text", "shuffled", "records", "numbers"])
def test_the_next_loss_is_that_of_the_next_update(cell, kind):
    """Of one prediction, without dropout; and it changes nothing."""
    rng = np.random.default_rng(1)
    source = {"text": corpus_of, "shuffled": corpus_of,
              "records": lambda: fastrnn.Corpus.from_records(["abc", "de", "fghij", "a"] * 5),
              "numbers": lambda: fastrnn.Sequences(
                  rng.normal(size=(6, 7, 2)), rng.normal(size=(6, 7, 2)),
                  mask=rng.random((6, 7)) < 0.7)}[kind]()
    model = fastrnn.Model(source.vocabulary or source.sizes, cell=cell, hidden_size=11,
                          dtype="float64")
    order = {"order": "shuffled"} if kind == "shuffled" else {}
    trainer = fastrnn.Trainer(model, source, batch_size=3, progress=False, sample_every=0, **order)
    trainer.run(updates=4)
    updates = trainer._updates
    arrays = (model.block, updates.state, updates.best, *updates.memories)
    before = [array.tobytes() for array in arrays], updates.training.counters
    rows = updates.rows(1)
    loss = updates.training.next_loss(*rows)
    assert before == ([array.tobytes() for array in arrays], updates.training.counters)
    counted = np.count_nonzero(updates.training.losses)
    trainer.run(updates=1)
    full = 3 if kind in ("text", "shuffled") else np.count_nonzero(rows[1])  # rows of the batch
    assert loss == pytest.approx(trainer.history.loss[-1] * full / counted, rel=1e-12)


def test_on_divergence_is_checked(corpus):
    with pytest.raises(ValueError, match="on_divergence must be one of 'raise', 'rollback'"):
        classic(corpus, **SIZES, on_divergence="retry")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_without_a_good_state_nothing_is_saved(corpus, tmp_path, value):
    path = tmp_path / "m.safetensors"
    trainer = make(corpus, {"hidden_size": 9}, updates=20, checkpoint=path)
    trainer.model.block[:] = value
    with pytest.raises(fastrnn.DivergenceError), \
            pytest.warns(UserWarning, match="is not saved"):
        trainer.run()
    assert not path.exists()
