"""An echo state network one time step after the other: the outputs of predict on the whole."""
import pickle
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy

import numpy as np
import pytest

from fastrnn import EchoStateNetwork

CASES = pytest.mark.parametrize("settings", [
    {}, {"start": "zero"}, {"feedback": True, "input_scale": 0.3}, {"dtype": "float32"},
    {"feedback": True, "start": "zero", "leak_rate": 0.5, "bias_scale": 0.4}])


def series(T=160, seed=0):
    t = np.arange(T) + 10 * seed
    return np.stack([np.sin(0.2 * t), np.cos(0.33 * t), np.sin(0.05 * t)], axis=1)


def fitted(**settings):
    X = series(400)
    return EchoStateNetwork(60, seed=3, ridge=1e-3, **settings).fit(X[:-1], X[1:, :2] * [3, 1])


@CASES
def test_steps_are_the_prediction_of_the_whole(settings):
    network = fitted(**settings)
    dtype = network.Wout_.dtype
    limit = {"rtol": 0, "atol": 1e-4 if dtype == np.float32 else 1e-10}
    X = [series(seed=n) for n in range(4)]
    whole = network.predict(X)
    found = np.stack([network.step(x) for x in np.stack(X, axis=1)], axis=1)
    assert found.shape == (4, 160, 2) and found.dtype == dtype
    assert np.allclose(found, whole, **limit)
    network.reset()
    one = np.array([network.step(x) for x in X[1]])
    assert one.shape == (160, 2) and np.allclose(one, whole[1], **limit)
    assert not np.allclose(whole[0][:5], whole[1][:5], atol=0.01)
    if "start" in settings and not settings.get("feedback"):
        assert np.allclose(network.step_state[0, :60], network.states(X[1])[-1], atol=1e-10)


@CASES
def test_the_state_goes_on_where_it_is_put(settings, tmp_path):
    network, path = fitted(**settings), tmp_path / "esn.safetensors"
    X = series()
    for x in X[:50]:
        network.step(x)
    state = network.step_state
    network.save(path, step_state=True)
    others = [EchoStateNetwork.load(path), deepcopy(network), pickle.loads(pickle.dumps(network))]
    late = [network.step(x.tolist()) for x in X[50:]]
    for other in others:
        assert np.array_equal(other.step_state, state)
        assert np.array_equal([other.step(x) for x in X[50:]], late)
    network.step_state = state
    assert np.array_equal([network.step(x) for x in X[50:]], late)
    network.save(path)
    assert EchoStateNetwork.load(path).step_state is None
    network.fit(X[:-1], X[1:, :2])
    assert network.step_state is None


def test_steps_go_on_with_the_readout_of_more_blocks():
    X = series(400)
    network = EchoStateNetwork(30, seed=3).partial_fit(X[:200], X[:200, 0])
    for x in X[:20]:
        network.step(x)
    network.partial_fit(X[200:399], X[200:399, 0] + X[200:399, 1])
    state = network.step_state
    after = network.step(X[20])
    features = np.r_[1, X[20], network.step_state[0, :30]]
    assert np.allclose(after, network.Wout_ @ features, atol=1e-9)
    assert not np.array_equal(network.step_state, state)


def test_numbers_one_by_one():
    x = np.sin(0.3 * np.arange(300))
    network = EchoStateNetwork(40).fit(x[:-1, None], x[1:])
    assert np.allclose(np.ravel([network.step(value) for value in x]), network.predict(x[:, None]),
                       rtol=0, atol=1e-9)


def test_a_network_without_inputs():
    y = np.sin(0.2 * np.arange(500))
    network = EchoStateNetwork(50, feedback=True, bias_scale=0.3, start="zero").fit(
        np.zeros((500, 0)), y)
    whole = network.predict(np.zeros((30, 0)))
    assert np.allclose(np.ravel([network.step(np.zeros(0)) for _ in range(30)]), whole, atol=1e-9)


def test_threads_that_make_the_first_step_together():
    """All go on from one state, as if one thread had made the steps."""
    network, x, threads = fitted(), series()[7], 4  # more steps come to rest, on some processors
    alone = [network.step(x) for _ in range(threads)]
    assert len({y.tobytes() for y in alone}) == threads
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(40):
            network.reset()
            together = threading.Barrier(threads)

            def step(_, network=network, together=together):
                together.wait()
                return network.step(x)

            with ThreadPoolExecutor(threads) as pool:
                found = list(pool.map(step, range(threads)))
            assert {y.tobytes() for y in found} == {y.tobytes() for y in alone}
    finally:
        sys.setswitchinterval(interval)


def test_bad_steps():
    with pytest.raises(ValueError, match="fit"):
        EchoStateNetwork(20).step([1.0])
    network = fitted()
    for x, message in (([1.0, 2.0], r"\(N, 3\)"), ([1.0, np.nan, 2.0], "NaN"),
                       (np.zeros((0, 3)), r"\(N, 3\)"), (0.5, r"\(N, 3\)"),
                       (np.zeros((1, 1, 3)), r"\(N, 3\)")):
        with pytest.raises(ValueError, match=message):
            network.step(x)
    network.step(np.zeros((4, 3)))
    with pytest.raises(ValueError, match="the state is that of 4: call reset"):
        network.step(np.zeros((2, 3)))
    for given, message in ((np.zeros((4, 61)), "must have"), (np.full((4, 62), np.inf), "inf")):
        with pytest.raises(ValueError, match=message):
            network.step_state = given
