"""How a series starts, what a fit leaves out, and where random weights come from."""
import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from fastrnn import EchoStateNetwork

SMALL = {"units": 45, "leak_rate": 0.4, "bias_scale": 0.3, "density": 0.2, "ridge": 1e-3}


def series(T=300, seed=0):
    rng = np.random.default_rng(seed)
    return np.sin([0.3, 0.7] * np.arange(T)[:, None] + 1) + 0.1 * rng.normal(size=(T, 2))


def targets_of(X):
    before = np.concatenate([np.zeros((2, 2)), X])[:-2]
    return np.stack([X[:, 0] * before[:, 0], before[:, 1], X.sum(axis=1) ** 2], axis=1)


def by_hand(network, X, known=(), warmup=0):
    """Outputs after reading X[0] warmup times, with known outputs fed back as far as they go."""
    x, y, W = np.zeros(45), np.zeros(len(network.Wout_)), network.W_.toarray().astype(float)
    outputs = []
    for t in range(-warmup, len(X)):
        u = X[max(t, 0)]
        x = 0.6 * x + 0.4 * np.tanh(network.Win_ @ u + W @ x + network.b_ + (
            network.Wfb_ @ y if network.Wfb_.size else 0))
        y = network.Wout_ @ np.concatenate([[1], u, x])
        outputs.append(y)
        if len(known) and t < len(known):
            y = known[max(t, 0)]
    return np.array(outputs[warmup:])


@pytest.mark.parametrize("warmup", [0, 1, 37])
@pytest.mark.parametrize("feedback", [False, True])
def test_the_first_input_is_read_first(feedback, warmup):
    X, fresh = series(), series(60, seed=4)
    network = EchoStateNetwork(**SMALL, feedback=feedback, input_scale=0.5, warmup=warmup)
    network.fit(X, targets_of(X))
    found = network.predict(fresh)
    np.testing.assert_allclose(found, by_hand(network, fresh, warmup=warmup), atol=1e-9)
    np.testing.assert_array_equal(network.predict([X, fresh])[1], found)  # each by itself
    if feedback:
        known = targets_of(fresh)[:20]
        np.testing.assert_allclose(network.predict(fresh, teacher=known),
                                   by_hand(network, fresh, known, warmup), atol=1e-9)
    zero = EchoStateNetwork(**SMALL, feedback=feedback, input_scale=0.5, warmup=warmup,
                            start="zero").fit(X, targets_of(X))
    np.testing.assert_array_equal(zero.Wout_, network.Wout_)  # fit reads from zero
    np.testing.assert_array_equal(zero.states(fresh), network.states(fresh))
    np.testing.assert_allclose(zero.predict(fresh), by_hand(network, fresh), atol=1e-9)


@pytest.mark.parametrize("feedback", [False, True])
def test_a_free_run_starts_there_too(feedback):
    X = series()
    network = EchoStateNetwork(**SMALL, feedback=feedback, warmup=30).fit(X[:-1], X[1:])
    x, y, W = np.zeros(45), np.zeros(2), network.W_.toarray().astype(float)
    expected = []
    for t in range(-30, 5 + 12):
        u = X[max(t, 0)] if t < 5 else y
        back = network.Wfb_ @ y if feedback else 0
        x = 0.6 * x + 0.4 * np.tanh(network.Win_ @ u + W @ x + network.b_ + back)
        y = network.Wout_ @ np.concatenate([[1], u, x])
        expected.append(y)
    np.testing.assert_allclose(network.generate(13, X[:5]), expected[34:], atol=1e-9)


def test_score_counts_all_steps_or_those_behind_the_warm_up():
    X, Y = series(), targets_of(series())
    for start, skipped in (("repeat", 0), ("zero", 40)):
        network = EchoStateNetwork(**SMALL, warmup=40, start=start).fit(X, Y)
        for given, left_out in (({}, skipped), ({"warmup": 7}, 7)):
            y, found = Y[left_out:], network.predict(X)[left_out:]
            r2 = 1 - ((y - found) ** 2).sum(axis=0) / ((y - y.mean(axis=0)) ** 2).sum(axis=0)
            assert network.score(X, Y, **given) == pytest.approx(r2.mean(), rel=1e-12)


def test_warmup_as_an_argument_of_fit():
    X, Y = series(), targets_of(series())
    with pytest.warns(FutureWarning, match="EchoStateNetwork.warmup=."):
        old = EchoStateNetwork(**SMALL).fit(X, Y, warmup=np.int64(40))
    new = EchoStateNetwork(**SMALL, warmup=40).fit(X, Y)
    assert old.warmup == 100  # the parameter stays what it was
    np.testing.assert_array_equal(old.Wout_, new.Wout_)
    np.testing.assert_array_equal(old.predict(X), new.predict(X))


def test_a_series_not_longer_than_the_warm_up():
    X, Y = series(), targets_of(series())
    with pytest.warns(UserWarning, match="series 1 has 100 steps.*takes 100.*first 50 steps"):
        network = EchoStateNetwork(**SMALL).fit([X, X[:100]], [Y, Y[:100]])
    x, parts, W = np.zeros(45), [], network.W_.toarray().astype(float)
    for u in X:
        x = 0.6 * x + 0.4 * np.tanh(network.Win_ @ u + W @ x + network.b_)
        parts.append(np.concatenate([[1], u, x]))
    F, goal = np.concatenate([parts[100:], parts[50:100]]), np.concatenate([Y[100:], Y[50:100]])
    left = F.T @ (F @ network.Wout_.T - goal) + 1e-3 * network.Wout_.T  # 0 at the least
    assert np.abs(left[1:]).max() < 1e-8
    with pytest.raises(ValueError, match="series 0 has 60 steps, and the warm-up takes 60"):
        network.score(X[:60], Y[:60], warmup=60)


def test_random_state():
    X, Y = series(), targets_of(series())

    def fitted(**params):
        return EchoStateNetwork(**SMALL, **params).fit(X, Y).Win_

    np.testing.assert_array_equal(fitted(random_state=3), fitted(seed=3))
    np.testing.assert_array_equal(fitted(random_state=np.int64(3), seed=8), fitted(seed=3))
    for kind in np.random.RandomState, np.random.default_rng:
        shared = kind(5)
        first, second = (fitted(random_state=shared) for _ in range(2))
        assert not np.array_equal(first, second)
        np.testing.assert_array_equal(fitted(random_state=kind(5)), first)
    for wrong in ("3", 2.5, object()):
        with pytest.raises(TypeError, match="random_state must be a whole number, a RandomState"):
            fitted(random_state=wrong)
    with pytest.raises(ValueError, match="random_state must be a whole number of at least 0"):
        fitted(random_state=-1)


def test_files(tmp_path):
    X, Y, path = series(), targets_of(series()), tmp_path / "network.safetensors"
    network = EchoStateNetwork(**SMALL, warmup=np.int64(12), random_state=np.random.default_rng(2))
    network.fit(X, Y).save(path)
    other = EchoStateNetwork.load(path)
    np.testing.assert_array_equal(other.predict(X), network.predict(X))
    np.testing.assert_array_equal(other.fit(X, Y).Win_, network.Win_)  # with the seed it drew


def test_files_of_fastrnn_0_1_start_from_zero(tmp_path):
    X, Y, path = series(), targets_of(series()), tmp_path / "network.safetensors"
    network = EchoStateNetwork(**SMALL, warmup=12, start="zero").fit(X, Y)
    network.save(path)
    data = path.read_bytes()
    about = json.loads(json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
                       ["__metadata__"]["fastrnn"])
    of_then = about["echo_state_network"]
    for name in ("warmup", "start", "random_state"):
        del of_then["parameters"][name]
    of_then["warmup"] = 12
    save_file(load_file(path), path, {"fastrnn": json.dumps(about)})
    other = EchoStateNetwork.load(path)
    assert (other.warmup, other.start) == (12, "zero")
    np.testing.assert_array_equal(other.predict(X), network.predict(X))
    assert other.score(X, Y) == network.score(X, Y)
