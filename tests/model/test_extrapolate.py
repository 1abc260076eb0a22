"""Predictions that are fed back as inputs, known inputs beside them, and several steps at once."""
import warnings

import numpy as np
import pytest

import fastrnn
from fastrnn import Sequences, Sizes
from fastrnn.data.scaling import Scaling


def model_of(D=3, K=2, scaled=True):
    model = fastrnn.Model(Sizes(input_size=D, output_size=K), cell="gru", hidden_size=6,
                          dtype="float64")
    rng = np.random.default_rng(0)
    for p in model.params.values():
        p[:] = rng.normal(0, 0.5, p.shape)
    if scaled:
        model.scaling = Scaling(np.array([[100.0] * D, [5.0] * D]),
                                np.array([[100.0] * K, [5.0] * K]))
    return model


@pytest.mark.parametrize("K", [1, 2])
def test_known_inputs_stand_behind_the_predicted_ones(K):
    model, rng = model_of(K=K), np.random.default_rng(1)
    x, future = rng.normal(100, 5, (4, 7, 3)), rng.normal(100, 5, (4, 5, 3 - K))
    found = model.extrapolate(x, 5, future)
    assert found.shape == (4, 5, K)
    for step in range(5):  # by hand: the whole is read again
        expected = model.predict(x)[:, -1]
        assert np.allclose(found[:, step], expected, rtol=1e-12)
        following = np.concatenate([expected, future[:, step]], axis=1)[:, None]
        x = np.concatenate([x, following], axis=1)
    same = model.extrapolate(x, 5, future[0])
    assert np.array_equal(same, model.extrapolate(x, 5, np.repeat(future[:1], 4, axis=0)))
    if K == 2:  # one number a step
        assert np.array_equal(same, model.extrapolate(x, 5, future[0, :, 0]))
    assert not np.allclose(same, model.extrapolate(x, 5, future[1]))


def test_bad_futures():
    model, x = model_of(), np.zeros((4, 7, 3))
    for future, message in (
        (None, r"as future the last 1 of 3 inputs.* 5 steps .*\(4, 5, 1\)"),
        (np.zeros((4, 6, 1)), r"must be \(4, 5, 1\)"),
        (np.zeros((3, 5, 1)), "must be"), (np.zeros((4, 5, 2)), "must be"),
        (np.full((5, 1), np.nan), "NaN"), (np.zeros(4), "must be")):
        with pytest.raises(ValueError, match=message):
            model.extrapolate(x, 5, future)
    with pytest.raises(ValueError, match="here all are"):
        model_of(K=3).extrapolate(x, 5, np.zeros((5, 1)))
    with pytest.raises(ValueError, match="or no more numbers"):
        model_of(D=2, K=3, scaled=False).extrapolate(np.zeros((1, 4, 2)), 2)


def test_targets_that_are_no_next_inputs(tmp_path):
    """D = K = 1, and the target is another quantity: to feed it back as input means nothing."""
    t = np.arange(301)
    x, other = np.sin(0.2 * t)[None, :-1, None], 50 + np.cos(0.13 * t)[None, :-1, None]
    how = {"cell": "rnn", "hidden_size": 5, "updates": 5, "optimizer": "adam", "progress": False,
           "preset": "classic", "seq_length": 30}
    wrong = fastrnn.train(Sequences(x, other), **how)
    wrong.save(tmp_path / "wrong.safetensors")
    for model in (wrong, wrong.copy(), fastrnn.load(tmp_path / "wrong.safetensors")):
        assert model.continues is False
        with pytest.raises(ValueError, match="were no next inputs"):
            model.extrapolate(x, 3)
    right = fastrnn.train(Sequences(x[:, :-1], x[:, 1:]), **how)
    assert right.continues and right.extrapolate(x, 3).shape == (1, 3, 1)


def test_a_flat_forecast_is_told():
    """One whose outputs move a third as far as its inputs falls to a fixed point."""
    model = model_of(D=1, K=1, scaled=False)
    model.params["head.W"][:] *= 0.3
    x = np.sin(0.3 * np.arange(100.0))[None, :, None]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        moving = model.extrapolate(x, 10)  # too few steps to tell
        model.extrapolate(np.zeros_like(x), 60)
    assert moving.shape == (1, 10, 1)
    with pytest.warns(UserWarning, match="the forecast is flat.*Train for longer") as told:
        found = model.extrapolate(np.concatenate([x, x]), 100)
    assert len(told) == 1 and told[0].filename == __file__
    assert np.ptp(found[0, 50:]) < 1e-3 * np.ptp(model.predict(x))


def test_the_next_steps_at_once():
    rng = np.random.default_rng(0)
    series = rng.normal(size=(9, 3))
    found = Sequences.from_series(series, horizon=4, columns=[2, 0])
    assert found.inputs.shape == (1, 8, 3) and found.targets.shape == (1, 8, 8)
    assert np.array_equal(found.inputs[0], series[:-1])
    for t in range(8):
        for ahead in range(4):
            got = found.targets[0, t, 2 * ahead : 2 * ahead + 2]
            at = t + 1 + ahead
            assert np.array_equal(got, series[at, [2, 0]]) if at < 9 else np.isnan(got).all()
    several = Sequences.from_series([series, series[:6]], horizon=2, columns=1)
    assert list(several.lengths) == [8, 5] and several.sizes.output_size == 2
    both = np.stack([series[1:5, 1], series[2:6, 1]], axis=1)
    assert np.array_equal(several.targets[1, :4], both)
    one = Sequences.from_series(series[:, 0])
    assert np.array_equal(one.targets[0, :, 0], series[1:, 0])


def test_a_forecast_of_the_next_steps():
    """A sine: the last prediction is the next 5 numbers."""
    x = 3 + np.sin(0.3 * np.arange(1205))
    model = fastrnn.train(Sequences.from_series(x[:1200], horizon=5), cell="gru", hidden_size=16,
                          seq_length=40, batch_size=5, optimizer="adam", learning_rate=0.01,
                          epochs=60, progress=False, seed=0)
    found = model.predict(x[None, :1200, None])[0, -1].reshape(5, 1)
    assert np.abs(found[:, 0] - x[1200:]).max() < 0.1


def test_bad_horizons():
    for series, more, message in (
        (np.zeros(24), {"horizon": 24}, "at least 25, and series 0 has 24"),
        ([np.zeros(30), np.zeros(5)], {"horizon": 6}, "series 1 has 5"),
        (np.zeros((30, 2)), {"columns": 2}, "0 to 1"), (np.zeros(9), {"horizon": 0}, "horizon"),
        ([np.zeros((30, 2)), np.zeros((30, 3))], {}, "series 1 has 3"),
        (np.r_[np.nan, np.zeros(9)], {}, "inputs have nan")):
        with pytest.raises(ValueError, match=message):
            Sequences.from_series(series, **more)
