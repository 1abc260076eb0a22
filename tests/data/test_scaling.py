"""Numbers are scaled inside a model, and users see the units of their data everywhere."""
import warnings

import numpy as np
import pytest
from runs import classic

import fastrnn
from fastrnn import Sequences, kernels
from fastrnn.data.scaling import Scaling, statistics
from fastrnn.data.source import Sizes
from fastrnn.files import store

rng = np.random.default_rng(11)
OFFSETS, SCALES = np.array([3e4, -0.2, 1e9]), np.array([850.0, 1e-3, 7.0])


def walks(n=30, T=9, seed=0, order=(0, 1, 2)):
    """Random walks of three numbers on very different scales, (n, T + 1, 3)."""
    steps = np.random.default_rng(seed).normal(size=(n, T + 1, 3))
    return (OFFSETS + SCALES * np.cumsum(steps, axis=1) / 3)[..., list(order)]


def data(K=2, **more):
    x = walks()
    return Sequences(x[:, :-1], x[:, 1:, :K], **more)


def ragged(K=2):
    mask = np.random.default_rng(5).random((30, 9)) < 0.7
    mask[:, 2] = True
    lengths = np.random.default_rng(6).integers(4, 10, 30)
    return data(K, mask=mask, lengths=lengths)


SIZES = {"cell": "lstm", "hidden_size": 6, "dtype": "float64"}
RUN = {"batch_size": 7, "optimizer": "adam", "learning_rate": 0.01, "progress": False, "seed": 2}


def trainer_of(source, scale=True, model=SIZES, **more):
    return fastrnn.Trainer(fastrnn.Model(source.sizes, **model), source, **RUN, scale=scale, **more)


# ---- the means and deviations ----

def test_statistics():
    rows = rng.normal(size=(500, 3)) * SCALES + OFFSETS
    mean, deviation = statistics("inputs", rows)
    exact = rows.astype(np.longdouble)
    np.testing.assert_allclose(mean, exact.mean(axis=0).astype(float), rtol=1e-15)
    np.testing.assert_allclose(deviation, exact.std(axis=0).astype(float), rtol=1e-8)
    for equal in (0.1, 0.0, -1e300, np.float32(0.1)):
        assert statistics("inputs", np.full((999, 1), equal)).tolist() == [[equal], [1.0]]
    for size in (1e140, 1e-140):
        found = statistics("inputs", np.array([[-size], [size]]))
        assert found.tolist() == [[0.0], [size]]
    for size in (1e300, 1e-300):
        with pytest.raises(ValueError, match="number 0 of the targets has a deviation of 1e"):
            statistics("targets", np.array([[-size], [size]]))


def test_padding_and_masked_targets_do_not_count():
    source = ragged(2)
    scaling = source.scaling()
    y = source.targets[source.mask]
    read = np.concatenate([x[:end] for x, end in zip(source.inputs, source.ends, strict=True)])
    np.testing.assert_allclose(scaling.targets, [y.mean(axis=0), y.std(axis=0)], rtol=1e-7)
    np.testing.assert_allclose(scaling.inputs, [read.mean(axis=0), read.std(axis=0)], rtol=1e-7)
    ids = rng.integers(0, 3, (30, 9))
    assert Sequences(ids, source.targets).scaling().inputs is None
    assert Sequences(source.inputs, ids).scaling().targets is None
    assert Sequences(ids, ids).scaling().tensors == {}


def test_only_the_training_part_counts():
    source = data()
    for more, part in (({"valid_fraction": 0.3}, source.hold_out(0.3, 2)[0]),
                       ({"valid": source[20:]}, source)):
        found = trainer_of(source, **more).model.scaling
        assert np.array_equal(found.inputs, part.scaling().inputs)
        assert np.array_equal(found.targets, part.scaling().targets)


# ---- the same as numbers that are scaled by hand ----

@pytest.mark.parametrize("K", [1, 2])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_trains_as_on_numbers_scaled_by_hand(K, dtype):
    source = ragged(K)
    scaling = source.scaling()
    by_hand = Sequences((source.inputs - scaling.inputs[0]) / scaling.inputs[1],
                        (source.targets - scaling.targets[0]) / scaling.targets[1],
                        source.mask, source.lengths)
    ours, theirs = (trainer_of(s, scale, SIZES | {"dtype": dtype}) for s, scale in
                    ((source, True), (by_hand, False)))
    for trainer in (ours, theirs):
        trainer.run(updates=25)
    assert np.array_equal(ours.model.block, theirs.model.block)
    if K == 1:
        np.testing.assert_allclose(ours.history.loss, theirs.history.loss * scaling.units,
                                   rtol=1e-12)
    found = theirs.model.predict(by_hand)
    np.testing.assert_array_equal(ours.model.predict(source),
                                  found * scaling.targets[1] + scaling.targets[0])


def test_losses_are_in_the_units_of_the_data():
    """Of training, validation and score: the mean squared error of the predictions."""
    source = ragged(2)
    train, valid = source[:20], source[20:]
    trainer = fastrnn.Trainer(fastrnn.Model(source.sizes, **SIZES), train, **RUN | {
        "batch_size": 20}, valid=valid, valid_every=5)

    def error(part):
        return np.mean(((trainer.model.predict(part) - part.targets) ** 2)[part.mask])

    steps = train.mask.sum() / 20
    for update in range(1, 11):
        before = error(train)
        trainer.run(updates=1)
        assert trainer.history.loss[-1] == pytest.approx(before * steps, rel=1e-12)
        if update % 5 == 0:
            trainer.run(updates=1)  # in which the validation that is due comes first
            assert trainer.history.valid_updates[-1] == update
    assert trainer.model.score(valid) == pytest.approx(error(valid), rel=1e-12)
    trainer = fastrnn.Trainer(fastrnn.Model(source.sizes, **SIZES), train, **RUN, valid=valid,
                              epochs=2)
    trainer.run()
    assert trainer.history.valid_loss[-1] == pytest.approx(trainer.model.score(valid), rel=1e-12)
    weights = rng.random((30, 9))
    weighted = Sequences(source.inputs, source.targets, source.mask, source.lengths,
                         weights=weights)
    errors = ((trainer.model.predict(source) - source.targets) ** 2).mean(axis=2)[source.mask]
    assert trainer.model.score(weighted) == pytest.approx(
        np.average(errors, weights=weights[source.mask]), rel=1e-12)


def test_each_prediction_is_the_next_input_in_the_units_of_the_data():
    x = walks(order=(1, 0))
    trainer = trainer_of(Sequences(x[:, :-1], x[:, 1:]))
    trainer.run(updates=9)
    model, known = trainer.model, x[:4, :5]
    found = model.extrapolate(known, 3)
    for step in range(3):
        again = model.predict(known)[:, -1:]
        np.testing.assert_allclose(found[:, step : step + 1], again, rtol=1e-12)
        known = np.concatenate([known, again], axis=1)
    assert found.dtype == np.float64


def test_a_series_far_from_0_in_float32():
    """The digits that float32 has do not reach from 1e9 to the 1e-3 by which the series varies."""
    t = np.arange(400)
    series = 1e9 + 1e-3 * np.sin(0.3 * t)
    source = Sequences(series[None, :-1, None], series[None, 1:, None])
    model = fastrnn.train(source, preset="classic", cell="gru", hidden_size=12, optimizer="adam",
                          learning_rate=0.02, updates=200, progress=False)
    assert model.block.dtype == np.float32
    found = model.predict(source)[0, 50:, 0] - 1e9
    assert np.sqrt(np.mean((found - 1e-3 * np.sin(0.3 * t[51:])) ** 2)) < 1e-4
    assert model.score(source) < 1e-7


def test_symbols_in_or_out():
    ids = rng.integers(0, 3, (30, 9))
    numbers = walks()[:, 1:, :2]
    model = trainer_of(Sequences(ids, numbers)).model
    assert model.scaling.inputs is None and model.predict(ids).mean() != 0
    np.testing.assert_allclose(model.predict(ids), np.broadcast_to(  # of the first weights
        numbers.mean(axis=(0, 1)), (30, 9, 2)), atol=3 * numbers.std())
    trainer = trainer_of(Sequences(numbers, ids))
    trainer.run(updates=5)
    assert trainer.model.scaling.targets is None
    assert trainer.history.loss[0] == pytest.approx(9 * np.log(3), rel=0.3)
    shifted = trainer.model.predict(numbers + numbers.std(axis=(0, 1)))
    assert np.abs(shifted - trainer.model.predict(numbers)).max() > 1e-3


# ---- gradients ----

@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_gradients_are_those_of_the_scaled_loss(dtype):
    source = ragged(2)
    trainer = trainer_of(source, model=SIZES | {"dtype": dtype})
    trainer.run(updates=5)
    model = trainer.model
    assert fastrnn.gradcheck(model, source.inputs[:3], source.targets[:3], entries=20).passed
    plain = model.copy()
    plain.scaling = None
    by = model.scaling
    x, y = ((a - s[0]) / s[1] for a, s in ((source.inputs, by.inputs),
                                           (source.targets, by.targets)))
    for found, expected in zip(
            model.loss_and_gradients(source.inputs, source.targets, mask=source.mask)[1].values(),
            plain.loss_and_gradients(x, y, mask=source.mask)[1].values(), strict=True):
        assert np.array_equal(found, expected)
    norms = [fastrnn.gradient_norms(m, s).norms for m, s in (
        (model, source), (plain, Sequences(x, y, source.mask, source.lengths)))]
    np.testing.assert_allclose(*norms, rtol=1e-9)


@pytest.mark.parametrize("isa", kernels.available_isas())
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_units_change_the_losses_and_not_the_gradient(isa, dtype):
    D, K, H, T, N = 2, 5, 3, 4, 6
    model = fastrnn.Model(Sizes(input_size=D, output_size=K), cell="gru", hidden_size=H,
                          dtype=dtype, init_scale=0.7)
    model.isa = isa
    x, y = (rng.normal(size=(N, T, size)).astype(dtype) for size in (D, K))
    state, units = rng.normal(size=model.zero_state(N).shape).astype(dtype), rng.random(K) * 9
    weights = rng.random((T, N))
    grads, found = {}, {}
    for name, more in (("plain", {}), ("units", {"units": units})):
        grads[name] = np.zeros_like(model.block)
        found[name] = model.network(T, N).unroll(
            model.block, x, state.copy(), y, grads=grads[name], weights=weights, **more)
    assert np.array_equal(grads["plain"], grads["units"]) and grads["plain"].any()
    out = np.zeros((N, T, K), dtype)
    model.network(T, N).unroll(model.block, x, state.copy(), out=out)
    by_hand = ((out.astype(float) - y) ** 2 * units).mean(axis=2).T * weights
    np.testing.assert_allclose(found["units"], by_hand, rtol=1e-4 if dtype == "float32" else 1e-12)


# ---- the setting, files, and models that were trained before ----

def test_without_scaling():
    source = data()
    trainer = trainer_of(source, scale=False)
    trainer.run(updates=3)
    assert trainer.model.scaling.tensors == {} and trainer.config["scale"] is False
    assert np.abs(trainer.model.predict(source)).max() < 10  # far from the data
    model = fastrnn.train(source, preset="classic", hidden_size=4, updates=3, scale=False,
                          progress=False)
    assert model.scaling.tensors == {}


def test_a_trained_model_keeps_how_it_scales(tmp_path):
    source, other = data(), Sequences(walks(seed=1)[:, :-1] * 2, walks(seed=1)[:, 1:, :2] * 2)
    for scale in (True, False):
        model = trainer_of(source, scale).model
        before, path = model.scaling, tmp_path / f"{scale}.safetensors"
        again = fastrnn.Trainer(model, other, **RUN, updates=3)
        again.run()
        assert model.scaling is before
        again.save(path)
        read = fastrnn.load(path)
        resumed = fastrnn.Trainer(read, other, **RUN)
        started = fastrnn.train(other, init_from=path, preset="classic", updates=1, progress=False)
        for each in (read, resumed.model, started, model.copy(), model.in_float64()):
            assert each.scaling.tensors.keys() == before.tensors.keys()
            for name, array in before.tensors.items():
                assert np.array_equal(each.scaling.tensors[name], array)
    with pytest.raises(ValueError, match="leave scale out"):
        fastrnn.Trainer(trainer_of(source).model, source, **RUN, scale=False)
    fresh = fastrnn.Model(source.sizes, **SIZES)
    fresh.save(tmp_path / "fresh.safetensors")
    assert fresh.scaling is fastrnn.load(tmp_path / "fresh.safetensors").scaling is None


def test_a_run_goes_on_bit_for_bit(tmp_path):
    path, source = tmp_path / "m.safetensors", ragged(2)
    how = SIZES | RUN | {"valid_fraction": 0.2, "valid_every": 4, "updates": 21}
    whole = classic(source, **how)
    classic(source, **how | {"updates": 10}, checkpoint=path)
    tensors, about = store.read(path)
    assert tensors["scaling.inputs"].shape == (2, 3) and about["trainer"]["config"]["scale"] is True
    resumed = fastrnn.train(source, resume=path, updates=21, progress=False)
    repeated = fastrnn.train(source, repeat=path, progress=False)
    assert np.array_equal(resumed.block, whole.block)
    assert np.array_equal(repeated.block, whole.block)
    due = resumed.history.valid_updates != 10  # the end of the first part
    assert np.array_equal(resumed.history.valid_loss[due], whole.history.valid_loss)
    assert np.array_equal(fastrnn.load(path).predict(source), whole.predict(source), equal_nan=True)
    with pytest.raises(ValueError, match="was made with scale=True"):
        fastrnn.train(source, resume=path, scale=False, progress=False)


def test_a_file_from_before_goes_on_without_scaling(tmp_path):
    path, source = tmp_path / "m.safetensors", data()
    how = SIZES | RUN | {"scale": False}
    whole = classic(source, **how, updates=21)
    classic(source, **how, updates=10, checkpoint=path)
    tensors, about = store.read(path)
    del about["trainer"]["config"]["scale"]
    store.write(path, tensors, about)
    resumed = fastrnn.train(source, resume=path, updates=21, progress=False)
    assert np.array_equal(resumed.block, whole.block) and resumed.scaling.tensors == {}


@pytest.mark.parametrize(("name", "array"), [
    ("scaling.inputs", np.ones((2, 2))), ("scaling.inputs", np.ones((2, 3), np.float32)),
    ("scaling.inputs", np.zeros((2, 3))), ("scaling.targets", np.full((2, 2), np.nan)),
    ("scaling.targets", np.array([[0, 0], [1, -1.0]])), ("scaling.targets", np.full((2, 2), 1e200)),
    ("scaling.targets", np.ones(4))])
def test_files_with_a_wrong_scaling_are_damaged(tmp_path, name, array):
    path = tmp_path / "m.safetensors"
    trainer_of(data()).save(path)
    tensors, about = store.read(path)
    store.write(path, tensors | {name: array}, about)
    with pytest.raises(ValueError, match="m.safetensors"):
        fastrnn.load(path)
    ids = rng.integers(0, 3, (30, 9))
    trainer_of(Sequences(ids, ids)).save(path)
    tensors, about = store.read(path)
    store.write(path, tensors | {name: array}, about)
    with pytest.raises(ValueError, match="m.safetensors"):
        fastrnn.load(path)


# ---- worse than the mean ----

def told(source, model=SIZES, **settings):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer = fastrnn.Trainer(fastrnn.Model(source.sizes, **model), source,
                                  **RUN | settings)
        trainer.run()
    return trainer, [str(w.message) for w in caught if "worse than the mean" in str(w.message)]


def test_a_model_that_is_worse_than_the_mean_is_told():
    source = ragged(2)
    mean = source.targets[source.mask].mean(axis=0)
    error = np.mean(((source.targets - mean) ** 2)[source.mask])
    trainer, warned = told(source, updates=3, scale=False)
    (warning,) = warned
    assert f"on the training data is {trainer.model.score(source):.4g}" in warning
    assert f"{error:.4g} if the mean" in warning and "scale=True" in warning
    trainer, (warning,) = told(source, updates=2, learning_rate=0.9)
    assert "scale=True" not in warning
    assert told(source, updates=300, learning_rate=0.02)[1] == []
    # the plan is not at its end
    trainer = trainer_of(source, scale=False, updates=9)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer.run(updates=3)
    with pytest.warns(UserWarning, match="worse than the mean"):
        trainer.run()
    ids = rng.integers(0, 3, (30, 9))
    assert told(Sequences(source.inputs, ids), updates=2)[1] == []


def test_the_mean_is_that_of_the_training_targets():
    """Weighted as the losses, and judged on the validation data where there are some."""
    x = walks()
    weights = np.random.default_rng(0).random((30, 9)) + 0.1
    source = Sequences(x[:, :-1], x[:, 1:, :2], weights=weights)
    mean = np.average(x[:, 1:, :2].reshape(-1, 2), axis=0, weights=weights.ravel())
    np.testing.assert_allclose(source.target_mean(), mean, rtol=1e-12)
    errors = ((x[:, 1:, :2] - mean) ** 2).mean(axis=2)
    assert source.error_of(mean) == pytest.approx(np.average(errors, weights=weights), rel=1e-12)

    train, valid = source[:20], Sequences(x[20:, :-1], x[20:, 1:, :2] + 4000)
    trainer, (warning,) = told(train, updates=100, valid=valid, valid_every=50)
    error = valid.error_of(train.target_mean())
    assert f"on the validation data is {trainer.history.valid_loss.min():.4g}" in warning
    assert f"{error:.4g} if the mean" in warning


def test_a_part_of_long_data_is_judged():
    source = data()
    assert source.part(10**6) is source
    part = source.part(50)
    assert len(part) == 5 and part.mask.size <= 50
    assert np.array_equal(part.inputs[[0, -1]], source.inputs[[0, -1]])
    weights = np.zeros((30, 9))
    weights[3] = 1  # of a row that is not picked
    assert len(data(weights=weights).part(50)) == 30


def test_a_source_that_cannot_be_scaled():
    class Other(Sequences):
        scaling = fastrnn.data.source.Source.scaling
        scaled = fastrnn.data.source.Source.scaled

    source = Other(walks()[:, :-1], walks()[:, 1:, :2])
    model = trainer_of(source).model
    assert model.scaling.tensors == {}
    with pytest.raises(ValueError, match="sequences cannot be scaled.*scale=False"):
        trainer_of(data()).model.score(source)
    assert Scaling().units is None
