"""The running average of the parameters: what is validated, sampled, saved and returned."""
import numpy as np
import pytest

import fastrnn
from fastrnn.checks import reference
from fastrnn.files import store

RNG = np.random.default_rng(0)
TEXT = "".join(RNG.choice([*"abcdefgh \n"], 700))
NAMES = ["".join(RNG.choice([*"abcdef"], n)) for n in (*RNG.integers(2, 9, 199), 5000)]
MODEL = {"hidden_size": 9, "seed": 1, "dtype": "float64"}
LOOP = {"seq_length": 6, "batch_size": 3, "optimizer": "adam", "learning_rate": 0.03,
        "progress": False}
VALID = {"valid_fraction": 0.2, "valid_every": 20}


@pytest.fixture
def corpus():
    return fastrnn.Corpus.from_text(TEXT)


def make(corpus, model=MODEL, **settings):
    return fastrnn.Trainer(fastrnn.Model(corpus.vocabulary, **model), corpus, **LOOP | settings)


def averages(trainer, fraction, updates):
    """The averages (updates, size) of a run that keeps none, in NumPy."""
    mean, found = np.zeros(trainer.model.block.size), []
    for update in range(1, updates + 1):
        trainer.run(1)
        reference.average(mean, trainer.model.block, update, fraction)
        found.append(mean.copy())
    return np.array(found)


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_validated_and_kept(corpus, cell):
    model, plain = MODEL | {"cell": cell}, VALID | {"updates": 100}
    expected = averages(make(corpus, model, **plain), 0.3, 100)
    trainer, last = make(corpus, model, **plain, weight_average=0.3), make(corpus, model, **plain)
    trainer.run()
    last.run()
    assert np.array_equal(trainer.model.block, last.model.block)  # the training is the same
    assert np.abs(expected[-1] - last.model.block).max() > 0.01
    np.testing.assert_allclose(trainer.averaged_model().block, expected[-1], rtol=1e-12)
    # each validation is that of the average: of a model which has it, from the same states
    again = make(corpus, model, **plain)
    for update, loss in zip(trainer.history.valid_updates, trainer.history.valid_loss,
                            strict=True):
        again.run(int(update) - again.update)
        twin = again.model.copy()
        twin.block[:] = expected[update - 1]
        assert again._validation.loss(twin, again.state, 1) == pytest.approx(loss, rel=1e-12)
    best = trainer.best_model()
    assert trainer.best_loss == trainer.history.valid_loss.min() != last.best_loss
    np.testing.assert_allclose(best.block, expected[trainer.best_update - 1], rtol=1e-12)


def test_what_train_returns(tmp_path, corpus):
    settings = MODEL | LOOP | {"updates": 300, "preset": "classic",
                               "weight_average": 0.2}
    expected = averages(make(corpus, updates=300), 0.2, 300)
    path = tmp_path / "last.safetensors"
    model = fastrnn.train(corpus, **settings, valid_fraction=0.0, checkpoint=path)
    np.testing.assert_allclose(model.block, expected[-1], rtol=1e-12)
    assert len(model.history) == 300 and model.run["at"] == 300
    assert np.array_equal(fastrnn.load(path).block, model.block)
    smooth = model.history.smooth_loss[99::100]
    update = 100 * (1 + int(smooth.argmin()))
    best = fastrnn.load(path, best=True)
    np.testing.assert_allclose(best.block, expected[update - 1], rtol=1e-12)
    started = fastrnn.train(corpus, init_from=path, updates=1, learning_rate=1e-9, progress=False)
    np.testing.assert_allclose(started.block, model.block, atol=1e-7)
    path = tmp_path / "best.safetensors"
    model = fastrnn.train(corpus, **settings | VALID, checkpoint=path)
    loaded, last = fastrnn.load(path), fastrnn.load(path, best=False)
    assert np.array_equal(loaded.block, model.block) and loaded.state.tobytes() == \
        model.state.tobytes()
    assert not np.array_equal(last.block, model.block)
    assert np.array_equal(last.block, store.read(path)[0]["average"])


def test_samples_and_accuracy_are_of_the_average(corpus):
    trainer = make(corpus, updates=80, weight_average=0.3, accuracy=True)
    other = make(corpus, updates=80, accuracy=True)
    trainer.run(trainer.updates_per_epoch)
    other.run(other.updates_per_epoch)
    assert trainer.history.accuracy[0] != other.history.accuracy[0]
    other.model.block[:] = trainer.averaged_model().block
    other._measure_accuracy()
    assert other.history.accuracy[-1] == trainer.history.accuracy[0]
    assert trainer.sample(200) == other.sample(200)


@pytest.mark.filterwarnings("ignore:.*is read in an update of its own")
def test_rows_in_an_update_of_their_own():
    corpus = fastrnn.Corpus.from_records(NAMES)
    settings = {"batch_size": 16, "updates": 30, "seq_length": 25}
    trainer, plain = make(corpus, **settings, weight_average=0.4), make(corpus, **settings)
    assert trainer._updates._long is not None
    expected = averages(plain, 0.4, 30)
    trainer.run()
    assert trainer.epoch >= 2
    np.testing.assert_allclose(trainer.averaged_model().block, expected[-1], rtol=1e-12)


def test_back_to_the_last_good_state(corpus):
    whole, trainer = (make(corpus, updates=60, weight_average=0.3) for _ in range(2))
    whole.run()
    trainer.run(30)
    trainer._updates.look()
    good = trainer.averaged_model().block
    trainer.run(10)
    assert not np.array_equal(trainer.averaged_model().block, good)
    trainer._updates.go_back()
    assert np.array_equal(trainer.averaged_model().block, good)
    trainer.run()
    assert np.array_equal(trainer.averaged_model().block, whole.averaged_model().block)


def test_without_an_average(corpus):
    trainer = make(corpus, updates=3)
    trainer.run()
    assert trainer.averaged_model() is trainer.model
    assert "average" not in trainer.stored()[0]
    trainer = make(corpus, updates=3, weight_average=0.5)
    assert trainer.averaged_model() is trainer.model  # before the first update


@pytest.mark.parametrize("change", [lambda a: None, lambda a: a[:-1], lambda a: a.astype("f4")])
def test_a_damaged_average(tmp_path, corpus, change):
    path = tmp_path / "run.safetensors"
    trainer = make(corpus, updates=3, weight_average=0.5)
    trainer.run()
    trainer.save(path)
    tensors, about = store.read(path)
    changed = change(tensors.pop("average"))
    store.write(path, tensors | ({} if changed is None else {"average": changed}), about)
    with pytest.raises(ValueError, match="run.safetensors.*average"):
        fastrnn.load(path)
