"""Windows in shuffled order, and the accuracy: against loops in NumPy."""
import copy

import numpy as np
import pytest

import fastrnn
from fastrnn.checks import reference
from fastrnn.model import scoring

TEXT = "to be, or not to be: that is the question; whether 'tis nobler in the mind to suffer"
SIZES = dict(cell="lstm", hidden_size=7, dtype="float64", init_scale=1.0)


@pytest.fixture
def corpus():
    return fastrnn.Corpus.from_text(TEXT)


def trainer_of(corpus, model=None, **keywords):
    model = model or fastrnn.Model(corpus.vocabulary, **SIZES)
    return fastrnn.Trainer(model, corpus, **(dict(
        seq_length=6, batch_size=5, order="shuffled", optimizer="adam", learning_rate=0.01,
        progress=False, seed=3) | keywords))


def scores_of(model, ids, state):
    """Output scores (N, T, K) for ids (N, T), by the NumPy twin."""
    params = {name: p.astype(np.float64) for name, p in model.params.items()}
    return reference.forward(params, ids, state, model.config["cell"])[0]


def test_an_epoch_has_each_window_once_in_a_new_order(corpus, monkeypatch):
    trainer = trainer_of(corpus, batch_size=4)
    windows = len(corpus) - 6
    assert trainer.updates_per_epoch == windows // 4
    orders = []
    inner = trainer._updates.training

    class Spy:
        def __getattr__(self, name):
            return getattr(inner, name)

        def run(self, rates, starts, lengths, labels):
            orders.append(starts)
            assert lengths is None and labels is None
            return inner.run(rates, starts)

    trainer._updates.training = Spy()
    trainer.run(updates=2 * trainer.updates_per_epoch)
    assert (trainer.epoch, trainer.position) == (2, 0)
    one, two = np.split(np.concatenate(orders), 2)
    for epoch in (one, two):
        assert len(set(epoch)) == len(epoch) == windows // 4 * 4
        assert 0 <= epoch.min() and epoch.max() < windows
        assert np.corrcoef(epoch, np.arange(len(epoch)))[0, 1] < 0.5
    assert not np.array_equal(one, two)


def test_updates_are_those_of_a_loop_by_hand(corpus):
    trainer = trainer_of(corpus)
    model = fastrnn.Model(corpus.vocabulary, **SIZES)
    optimizer = fastrnn.optim.Adam(model.params, 0.01)
    losses = []
    for _ in range(4):
        start, _, _ = trainer._updates.rows(1)
        window = corpus.ids[start[:, None] + np.arange(7)]
        loss, grads, _ = model.loss_and_gradients(window[:, :-1], window[:, 1:])  # zero state
        fastrnn.optim.clip_value_(grads, 5.0)
        optimizer.step(grads)
        losses.append(loss)
        trainer.run(updates=1)
    assert np.allclose(trainer.history.loss, losses, rtol=1e-12)
    assert np.allclose(trainer.model.block, model.block, atol=1e-13)
    assert not trainer.state.any() and not trainer.model.state.any()  # nothing is carried


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("seed", [3, None])
def test_cut_and_resumed_in_the_middle_of_an_epoch(corpus, tmp_path, dropout, seed):
    def model():
        return fastrnn.Model(corpus.vocabulary, **SIZES, dropout=dropout)

    first = trainer_of(corpus, model(), updates=40, seed=seed)
    first.run(updates=19)  # an epoch has 15
    first.save(tmp_path / "cut.safetensors")
    first.run()
    again = fastrnn.Trainer.from_checkpoint(tmp_path / "cut.safetensors", corpus, progress=False)
    assert (again.epoch, again.position) == (1, 4)
    again.run(updates=1)
    again.run()
    assert np.array_equal(again.model.block, first.model.block)
    assert np.array_equal(again.history.loss, first.history.loss)


@pytest.mark.usefixtures("many_cores")
def test_threads_give_the_same_bits(corpus):
    blocks = []
    for threads in (1, 2, 3):
        trainer = trainer_of(corpus, batch_size=20, threads=threads)
        trainer.run(updates=9)
        blocks.append(trainer.model.block)
    assert np.array_equal(blocks[0], blocks[1]) and np.array_equal(blocks[0], blocks[2])


def test_seeds(corpus):
    one, same, other = (trainer_of(corpus, seed=seed) for seed in (1, 1, 2))
    for trainer in (one, same, other):
        trainer.run(updates=3)
    assert np.array_equal(one.history.loss, same.history.loss)
    assert not np.array_equal(one.history.loss, other.history.loss)


def test_the_held_out_text_is_never_read(corpus):
    trainer = trainer_of(corpus, valid_fraction=0.3, batch_size=1)
    kept = len(corpus) - round(0.3 * len(corpus))
    assert trainer.updates_per_epoch == kept - 6
    trainer.run(updates=trainer.updates_per_epoch)
    assert trainer.history.valid_loss.size == 1
    other = corpus.ids.copy()
    other[kept:] = other[0]
    other = fastrnn.Corpus(other, corpus.vocabulary)
    again = trainer_of(other, valid_fraction=0.3, batch_size=1)
    again.run(updates=again.updates_per_epoch)
    assert np.array_equal(again.model.block, trainer.model.block)
    assert again.history.valid_loss != trainer.history.valid_loss


def test_a_text_of_one_window_and_too_short_ones():
    text = "abcdefg"
    corpus = fastrnn.Corpus.from_text(text)
    trainer = trainer_of(corpus, batch_size=1, seq_length=6)
    assert trainer.updates_per_epoch == 1
    trainer.run(updates=3)
    assert trainer.epoch == 3
    with pytest.raises(ValueError, match="seq_length 6 with batch_size 2 needs at least 8: give a "
                                         "longer text or a smaller seq_length, or a batch_size of "
                                         "at most 1"):
        trainer_of(corpus, batch_size=2, seq_length=6)
    with pytest.raises(ValueError, match="needs at least 8: give a longer text"):
        trainer_of(corpus, batch_size=1, seq_length=7)
    with pytest.raises(ValueError, match="did you mean 'shuffled'"):
        trainer_of(corpus, order="shuffle")


def test_samples_start_from_the_zero_state(corpus):
    trainer = trainer_of(corpus)
    trainer.run(updates=7)
    model, rng = trainer.model, copy.deepcopy(trainer._updates.rng)
    ids = model.draw(60, model.zero_state(), [corpus.ids[0]], 1.0, rng)
    assert trainer.sample(60) == model.vocabulary.decode(ids[:, 0])


# ---- accuracy ----

def accuracy(model, ids, states, steps=256):
    """Of a text read in as many streams as there are states, so many steps at a time."""
    source = fastrnn.Corpus(ids, model.vocabulary)
    return scoring.accuracy(model, source, states, streams=len(states), steps=steps)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_accuracy_is_the_share_of_likeliest_symbols(isa, corpus, cell, dtype):
    model = fastrnn.Model(corpus.vocabulary, **(SIZES | {"cell": cell, "dtype": dtype}))
    model.state[:] = np.random.default_rng(0).normal(size=model.state.shape)
    ids = corpus.ids[None]
    scores = scores_of(model, ids[:, :-1], model.state.astype(np.float64))
    right = scores.argmax(-1) == ids[:, 1:]
    assert 0 < right.mean() < 1
    assert model.accuracy(corpus) == model.accuracy(TEXT) == right.mean()


def test_accuracy_of_streams(corpus):
    model = fastrnn.Model(corpus.vocabulary, **SIZES)
    ids = np.tile(corpus.ids, 10)
    states = np.random.default_rng(0).normal(size=(3, model.state.shape[1]))
    length = len(ids) // 3
    assert length > 256  # more than one unroll
    each = [accuracy(model, ids[n * length : (n + 1) * length], states[n : n + 1])
            for n in range(3)]
    assert accuracy(model, ids, states) == pytest.approx(np.mean(each), abs=1e-12)
    scores = scores_of(model, ids[None, : length - 1], states[:1])
    assert each[0] == (scores.argmax(-1) == ids[None, 1:length]).mean()
    assert accuracy(model, ids[:5], np.zeros((9, states.shape[1]))) <= 1  # too short for 9 streams


@pytest.mark.parametrize("order", ["stream", "shuffled"])
def test_history_keeps_the_accuracy_of_each_epoch(corpus, tmp_path, order):
    trainer = trainer_of(corpus, order=order, batch_size=2, epochs=3, accuracy=True)
    seen = []
    trainer.callback = lambda t: seen.append(len(t.history.accuracy)) and None
    trainer.run()
    model, history = trainer.model, trainer.history
    assert history.accuracy.shape == (3,)
    if order == "shuffled":
        assert history.accuracy[-1] == model.accuracy(corpus)
    else:
        assert history.accuracy[-1] == accuracy(model, corpus.ids, trainer.state, 6)
    model.save(tmp_path / "model.safetensors")
    loaded = fastrnn.load(tmp_path / "model.safetensors")
    assert np.array_equal(loaded.history.accuracy, history.accuracy)
    assert np.array_equal(model.copy().history.accuracy, history.accuracy)
    silent = trainer_of(corpus, order=order, batch_size=2, epochs=1)
    silent.run()
    assert silent.history.accuracy.size == 0


def test_a_resumed_run_keeps_the_accuracies(corpus, tmp_path):
    whole = trainer_of(corpus, epochs=4, accuracy=True)
    whole.run()
    cut = trainer_of(corpus, epochs=4, accuracy=True)
    cut.run(updates=2 * cut.updates_per_epoch + 3)
    cut.save(tmp_path / "cut.safetensors")
    again = fastrnn.Trainer.from_checkpoint(tmp_path / "cut.safetensors", corpus, progress=False)
    again.run()
    assert np.array_equal(again.history.accuracy, whole.history.accuracy)


def test_accuracy_refuses(corpus):
    model = fastrnn.Model(corpus.vocabulary)
    with pytest.raises(ValueError, match="at least 2 symbols"):
        model.accuracy("t")
    with pytest.raises(ValueError, match="another vocabulary"):
        model.accuracy(fastrnn.Corpus.from_text("xyz"))
    with pytest.raises(ValueError, match="'Z' at position 1"):
        model.accuracy("tZ")
