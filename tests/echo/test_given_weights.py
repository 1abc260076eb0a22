"""Weights that are given and not drawn, and numbers for each unit or feature."""

import numpy as np
import pytest
from scipy.sparse import bmat, coo_array, csc_array, csr_array
from sklearn.base import clone
from sklearn.linear_model import Ridge
from test_echo_state import SMALL, series, targets_of

from fastrnn import EchoStateNetwork
from fastrnn.checks import reference

FREE = SMALL | {"start": "zero", "warmup": 30}


def states(X, W, Win, b, leak_rate=0.6, Wfb=None, y=None):
    back = {} if y is None else {"Wfb": Wfb, "y": y[None]}
    return reference.esn_forward(X[None], np.zeros((1, len(W))), W.astype(np.float32).astype(float),
                                 Win, b, leak_rate, **back)[0]


def weights(units=37, D=2, K=3):
    rng = np.random.default_rng(3)
    W = np.where(rng.random((units, units)) < 0.3, rng.normal(0, 0.2, (units, units)), 0)
    return W, rng.normal(size=(units, D)), rng.normal(0, 0.3, units), rng.normal(size=(units, K))


@pytest.mark.parametrize("kind", [np.asarray, csr_array, csc_array, coo_array, np.asfortranarray,
                                  lambda a: a.tolist()])
def test_weights_by_hand(kind, tmp_path):
    W, Win, b, _ = weights()
    X, Y = series(), targets_of(series())
    network = EchoStateNetwork(**FREE, W=kind(W), Win=kind(Win), bias=b)
    np.testing.assert_allclose(network.states(X), states(X, W, Win, b), atol=1e-12)
    network.fit(X, Y)
    np.testing.assert_allclose(network.states(X), states(X, W, Win, b), atol=1e-12)
    assert network.Wout_.shape == (3, 1 + 2 + 37) and network.units == SMALL["units"]
    network.save(tmp_path / "network.safetensors")
    read = EchoStateNetwork.load(tmp_path / "network.safetensors")
    np.testing.assert_array_equal(read.predict(X), network.predict(X))
    again = clone(read).fit(X, Y)
    np.testing.assert_array_equal(again.predict(X), network.predict(X))
    assert read.units == 37 and read.Wfb is None


def test_some_weights_by_hand():
    """Those that are not given are drawn."""
    W, Win, _, Wfb = weights()
    X, Y = series(), targets_of(series())
    network = EchoStateNetwork(**FREE, feedback=True, W=W, Wfb=Wfb).fit(X, Y)
    np.testing.assert_array_equal(network.Wfb_, Wfb)
    assert network.Win_.shape == (37, 2) and np.abs(network.Win_).max() <= 1
    found = network.predict(X, teacher=Y)
    back = np.concatenate([np.zeros((1, 3)), Y[:-1]])
    x = states(X, W, network.Win_, network.b_, 0.6, Wfb, back)
    expected = np.hstack([np.ones((300, 1)), X, x]) @ network.Wout_.T
    np.testing.assert_allclose(found, expected, atol=1e-9)
    only = EchoStateNetwork(**FREE, Win=np.ones((45, 2)) / 3).fit(X, Y)
    assert (only.Win_ == 1 / 3).all() and only.W_.shape == (45, 45)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_numbers_for_each_unit_and_feature(dtype, tmp_path):
    X, Y = series(), targets_of(series())
    leak, scale = np.linspace(0.1, 1, 45), [0.1, 2.0]
    network = EchoStateNetwork(**(FREE | {"leak_rate": leak, "input_scale": scale, "dtype": dtype}))
    network.fit(X, Y)
    expected = states(X, network.W_.toarray(), network.Win_.astype(float),
                      network.b_.astype(float), leak)
    tolerance = 1e-12 if dtype == "float64" else 1e-5
    np.testing.assert_allclose(network.states(X), expected, atol=tolerance)
    plain = EchoStateNetwork(**(FREE | {"dtype": dtype})).fit(X, Y)
    np.testing.assert_allclose(network.Win_, plain.Win_ * scale, rtol=1e-6)
    network.save(tmp_path / "network.safetensors")
    read = EchoStateNetwork.load(tmp_path / "network.safetensors")
    np.testing.assert_array_equal(read.predict(X), network.predict(X))
    np.testing.assert_array_equal(read.leak_rate, leak)
    np.testing.assert_array_equal(clone(read).fit(X, Y).predict(X), network.predict(X))


def test_a_scale_for_each_fed_back_output():
    X, Y = series(), targets_of(series())
    plain, scaled = (EchoStateNetwork(**(FREE | {"input_scale": scale}), feedback=True).fit(X, Y)
                     for scale in (1.0, [1.0, 2.0, 0.5, 0.0, 3.0]))
    np.testing.assert_array_equal(scaled.Win_, plain.Win_ * [1, 2])
    np.testing.assert_array_equal(scaled.Wfb_, plain.Wfb_ * [0.5, 0, 3])


def test_reservoirs_side_by_side_and_in_depth():
    """Blocks of one W: of layers that read the state of the layer before, a step later."""
    (A, Win, *_), X = weights(20), series()
    B, C = weights(30)[0], np.random.default_rng(5).normal(size=(30, 20))
    beside = EchoStateNetwork(
        **FREE, W=bmat([[A, None], [None, B]]), Win=np.vstack([Win, np.ones((30, 2))]),
        bias=np.zeros(50))
    np.testing.assert_allclose(beside.states(X), np.hstack(
        [states(X, A, Win, np.zeros(20)), states(X, B, np.ones((30, 2)), np.zeros(30))]),
        atol=1e-12)
    deep = EchoStateNetwork(**FREE, W=bmat([[A, None], [C, B]]),
                            Win=np.vstack([Win, np.zeros((30, 2))]), bias=np.zeros(50))
    first = states(X, A, Win, np.zeros(20))
    late = np.concatenate([np.zeros((1, 20)), first[:-1]])
    second = states(late, B, C.astype(np.float32).astype(float), np.zeros(30))
    np.testing.assert_allclose(deep.states(X), np.hstack([first, second]), atol=1e-12)


def test_blocks_of_one_reservoir_are_networks_of_their_own():
    """Side by side as one; in depth, a step later, as one that reads the other's states."""
    X, Y = series(), targets_of(series())
    a, b = (EchoStateNetwork(units, leak_rate=rate, density=0.3, bias_scale=0.2).fit(X, Y)
            for units, rate in ((40, 1.0), (70, 0.2)))
    both = {"leak_rate": np.repeat([1.0, 0.2], [40, 70]), "bias": np.concatenate([a.b_, b.b_])}
    beside = EchoStateNetwork(W=bmat([[a.W_, None], [None, b.W_]]), Win=np.vstack([a.Win_, b.Win_]),
                              **both).fit(X, Y)
    apart = np.hstack([a.states(X), b.states(X)])
    np.testing.assert_allclose(beside.states(X), apart, atol=1e-12)
    readout = Ridge(1e-6, solver="svd").fit(np.hstack([X, apart])[100:], Y[100:])
    np.testing.assert_allclose(beside.Wout_[:, 1:], readout.coef_, rtol=1e-5, atol=1e-5)

    C = np.random.default_rng(0).normal(0, 0.3, (70, 40)).astype(np.float32)
    deep = EchoStateNetwork(W=bmat([[a.W_, None], [C, b.W_]]),
                            Win=np.vstack([a.Win_, np.zeros((70, 2))]), **both).fit(X, Y)
    before = np.concatenate([np.zeros((1, 40)), a.states(X)[:-1]])
    second = EchoStateNetwork(W=b.W_, Win=C, bias=b.b_, leak_rate=0.2).states(before)
    np.testing.assert_allclose(deep.states(X), np.hstack([a.states(X), second]), atol=1e-12)


@pytest.mark.parametrize(("given", "message"), [
    ({"W": np.ones((3, 4))}, r"W has the shape \(3, 4\).*as many rows as columns"),
    ({"W": np.ones(3)}, "W has the shape"), ({"W": np.full((3, 3), np.nan)}, "W.*not finite"),
    ({"W": np.full((3, 3), 1e300)}, "W has numbers beyond float32"),
    ({"Win": np.ones((45, 3))}, r"Win has the shape \(45, 3\) and must have \(45, 2\)"),
    ({"W": np.eye(9), "Win": np.ones((45, 2))}, r"Win has the shape .* must have \(9, 2\)"),
    ({"bias": np.ones((45, 1))}, r"bias has the shape \(45, 1\) and must have \(45,\)"),
    ({"Wfb": np.ones((45, 3))}, "Wfb is for a network with feedback=True"),
    ({"leak_rate": np.ones(44)}, "leak_rate has 44 numbers and must be one number, or 45"),
    ({"leak_rate": np.zeros(45)}, "leak_rate must be above 0"),
    ({"input_scale": [1, 2, 3]}, "input_scale has 3 numbers and must be one number, or 2"),
    ({"input_scale": [1, -2]}, "input_scale must be a finite number of 0 or more"),
    ({"leak_rate": np.ones((45, 1))}, "must be a number, or"),
])
def test_what_weights_must_be(given, message):
    with pytest.raises(ValueError, match=message):
        EchoStateNetwork(**(FREE | given)).fit(series(), targets_of(series()))
