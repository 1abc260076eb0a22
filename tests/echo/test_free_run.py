"""Series that are continued: known inputs of the future, feedback alone, bounds, flat forecasts."""

import warnings

import numpy as np
import pytest
from test_echo_state import SMALL, series, targets_of

from fastrnn import EchoStateNetwork

FREE = SMALL | {"start": "zero", "warmup": 30}


def by_hand(network, X, steps, future=None, teacher=None, fed=0):
    """What `generate` returns, step by step from the public weights."""
    K = len(network.Wout_)
    teacher = np.zeros((0, K)) if teacher is None else teacher
    W, a = network.W_.toarray().astype(float), network.leak_rate
    x, y, out = np.zeros(len(network.b_)), np.zeros(K), []
    for t in range(len(X) + steps):
        ahead = t - len(X)
        if ahead < 0:
            u = X[t]
        elif fed:
            u = np.concatenate([y[:fed], future[ahead]])
        else:
            u = future[ahead]
        x = (1 - a) * x + a * np.tanh(network.Win_ @ u + W @ x + network.b_ + network.Wfb_ @ (
            y if network.Wfb_.size else np.zeros(0)))
        out.append(network.Wout_ @ np.concatenate([[1], u, x]))
        y = teacher[t] if t < len(teacher) else out[-1]
    start = len(X) - 1 if fed else len(X)
    return np.array(out[start : start + steps])


@pytest.mark.parametrize(("D", "K"), [(2, 1), (3, 1), (3, 2), (5, 3)])
@pytest.mark.parametrize("feedback", [False, True])
def test_known_inputs_of_the_future(D, K, feedback):
    X = series(300, D)
    network = EchoStateNetwork(**FREE, feedback=feedback).fit(X[:199], X[1:200, :K])
    future = X[60:77, K:]
    found = network.generate(17, X[:60], future=future)
    np.testing.assert_allclose(found, by_hand(network, X[:60], 17, future, fed=K), atol=1e-9)
    other = network.generate(17, [X[:40], X[:60]], future=[X[40:57, K:], future])
    np.testing.assert_array_equal(other[1], found)
    stacked = network.generate(17, np.stack([X[:60], X[:60]]), future=np.stack([future, future]))
    np.testing.assert_array_equal(stacked[0], found)
    same = network.generate(17, [X[:40], X[:60]], future=future)  # one for both
    np.testing.assert_array_equal(same[1], found)
    if D - K == 1:
        np.testing.assert_array_equal(network.generate(17, X[:60], future=future[:, 0]), found)
    moved = future.copy()
    moved[9] += 0.1  # the input of step 9 is read for the output of step 10
    changed = network.generate(17, X[:60], future=moved)
    np.testing.assert_array_equal(changed[:10], found[:10])
    assert (changed[10] != found[10]).all()


def test_a_load_that_follows_the_weather():
    """It needs the weather of tomorrow, which is known."""
    t = np.arange(1300)
    weather, load = np.sin(0.05 * t) + 0.3 * np.sin(0.21 * t), np.zeros(1300)
    for i in range(1, 1300):
        load[i] = 0.8 * load[i - 1] + 0.5 * np.tanh(weather[i - 1])
    X = np.c_[load, weather]
    network = EchoStateNetwork(200, ridge=1e-8).fit(X[:999], load[1:1000])
    found = network.generate(100, X[:1000], future=weather[1000:1100])
    assert np.abs(found - load[1000:1100]).max() < 0.05 and found.shape == (100,)


@pytest.mark.parametrize("D", [0, 1, 2])
def test_a_series_continued_by_feedback_alone(D, tmp_path):
    """The targets are no next inputs, and there may be no inputs at all."""
    X, Y = series(300, D), targets_of(series(300))
    network = EchoStateNetwork(**FREE, feedback=True, input_scale=0.3).fit(X, Y)
    future = None if D == 0 else X[80:93]
    found = network.generate(13, X[:80], teacher=Y[:80], future=future)
    expected = by_hand(network, X[:80], 13, X[80:93], Y[:80])
    np.testing.assert_allclose(found, expected, atol=1e-9)
    np.testing.assert_allclose(
        network.predict(X[:93], teacher=Y[:80])[80:], expected, atol=1e-9)
    network.save(tmp_path / "network.safetensors")
    read = EchoStateNetwork.load(tmp_path / "network.safetensors")
    np.testing.assert_array_equal(
        read.generate(13, X[:80], teacher=Y[:80], future=future), found)
    assert network.Win_.shape == (45, D) and network.score(X, Y) <= 1
    with pytest.raises(ValueError, match="no next inputs.*known outputs of the warm-up as teacher"):
        network.generate(13, X[:80], future=future)


def test_a_network_without_inputs_learns():
    """A pattern generator: no input, its own outputs alone (Jaeger 2001)."""
    t, nothing = np.arange(1500), np.empty((1500, 0))
    y = np.sin(0.2 * t) + 0.5 * np.sin(0.6 * t)
    network = EchoStateNetwork(200, feedback=True, input_scale=0.5, bias_scale=0.2, seed=1)
    network.fit(nothing[:1200], y[:1200])
    found = network.generate(300, nothing[:1200], teacher=y[:1200])
    assert np.sqrt(np.mean((found - y[1200:]) ** 2)) < 0.05
    with pytest.raises(ValueError, match="X has no columns.*needs feedback=True"):
        EchoStateNetwork(20).fit(nothing, y)
    with pytest.raises(ValueError, match="future is for inputs.*there are none: leave it out"):
        network.generate(5, nothing[:200], teacher=y[:200], future=nothing[:5])


def test_what_future_must_be():
    X = series(300, 3)
    network = EchoStateNetwork(**FREE).fit(X[:-1], X[1:, :1])
    plain = EchoStateNetwork(**FREE).fit(X[:-1], X[1:])
    other = EchoStateNetwork(**FREE).fit(X, targets_of(X)[:, :1])
    for call, message in (
            (lambda: network.generate(7, X),
             r"1 of 3 inputs are predicted: .*last 2 of 3.*\(7, 2\)"),
            (lambda: network.generate(7, X, future=X[:6, 1:]),
             r"future has the shape \(6, 2\) and must be .*last 2 .*7 steps that are predicted"),
            (lambda: network.generate(7, X, future=X[:7]), r"must be \(7, 2\)"),
            (lambda: network.generate(7, X, future=X[:7, 1]), r"must be \(7, 2\)"),
            (lambda: network.generate(7, [X, X], future=[X[:7, 1:]]), r"must be \(2, 7, 2\)"),
            (lambda: network.generate(7, X, future=X[:7, 1:] * np.nan), "future holds NaN"),
            (lambda: plain.generate(7, X, future=X[:7]), "here all are: leave it out"),
            (lambda: other.generate(7, X, future=X[:7, 1:]),
             "back as the next 1 of 3 inputs, and the targets of fit were no next inputs")):
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(TypeError, match="future must be an array of numbers.*lengths"):
        network.generate(7, [X, X], future=[X[:7, 1:], X[:6, 1:]])


# ---- bounds, flat forecasts ----


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("feedback", [False, True])
def test_a_run_that_leaves_all_bounds_ends_early(sign, feedback, tmp_path):
    """At the first step that is a million times the targets' spread from their mean."""
    X = 3 + np.random.default_rng(0).normal(size=(400, 1))
    network = EchoStateNetwork(**FREE, feedback=feedback).fit(X[:-1], X[1:])
    Wout = np.zeros_like(network.Wout_)
    Wout[0, 1] = 1.5 * sign  # by hand: u = 1.5 u
    network.Wout_ = Wout
    size = X[99, 0] * 1.5 ** np.arange(1, 60)  # output t is so large
    value = sign ** np.arange(1, 60) * size
    first = int(np.argmax(np.abs(value - X[31:].mean()) > 1e6 * X[31:].std()))
    with pytest.raises(FloatingPointError, match=rf"left all bounds at step {first}, where") as e:
        network.generate(100_000, X[:100])
    assert "output 0" in str(e.value) and 20 < first < 50
    assert np.isfinite(network.generate(first, X[:100])).all()
    network.save(tmp_path / "network.safetensors")
    with pytest.raises(FloatingPointError, match=f"at step {first}, where"):
        EchoStateNetwork.load(tmp_path / "network.safetensors").generate(1000, X[:100])


def test_a_prediction_that_leaves_all_bounds():
    """Fed back are its own outputs, from the end of the teacher on."""
    X, y = series(400, 1), np.random.default_rng(0).normal(size=400)
    network = EchoStateNetwork(**FREE, feedback=True).fit(X, y)
    network.Wout_ = np.zeros_like(network.Wout_)
    network.Wout_[0, 0] = 1e8
    assert np.isfinite(network.predict(X, teacher=y)).all()
    with pytest.raises(FloatingPointError, match="at step 123, where output 0 is 1e.08"):
        network.predict(X, teacher=y[:123])


def test_a_flat_forecast_is_told():
    t = np.arange(900.0)
    x = np.sin(0.2 * t)[:, None]
    sound = EchoStateNetwork(100).fit(x[:-1], x[1:])
    dying = EchoStateNetwork(100).fit(x[:-1], x[1:])
    dying.Wout_ = dying.Wout_ * 0.3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sound.generate(300, x)
        dying.generate(10, x)  # too few steps to tell
        rest = np.zeros((300, 1))  # what stood still before
        dying.generate(300, np.concatenate([x, rest, rest]))
    with pytest.warns(UserWarning, match="the forecast is flat.*Scale the inputs") as told:
        dying.generate(300, [x, x])
    assert len(told) == 1 and told[0].filename == __file__
