"""Echo state networks beside reservoirpy with the same weights."""

import numpy as np
import pytest

from fastrnn import EchoStateNetwork

reservoirpy = pytest.importorskip("reservoirpy")


def lorenz(steps, h=0.02):
    x, out = np.array([1.0, 1.0, 1.0]), []

    def slope(v):
        return np.array([10 * (v[1] - v[0]), v[0] * (28 - v[2]) - v[1], v[0] * v[1] - 8 / 3 * v[2]])

    for _ in range(steps):
        k1 = slope(x)
        k2 = slope(x + h / 2 * k1)
        k3 = slope(x + h / 2 * k2)
        k4 = slope(x + h * k3)
        x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        out.append(x)
    out = np.array(out)
    return (out - out.mean(axis=0)) / out.std(axis=0)


def two(steps):
    t = np.arange(steps)
    return np.c_[np.sin(0.2 * t) * np.cos(0.031 * t), np.cos(0.13 * t) ** 3]


@pytest.mark.parametrize("make", [lorenz, two])
def test_errors_are_those_of_reservoirpy(make):
    """To three digits: the error of the next step and of a free run."""
    from reservoirpy.nodes import Reservoir
    from reservoirpy.nodes import Ridge as Readout

    X, rng, H = make(1600), np.random.default_rng(0), 150
    D = X.shape[1]
    W = np.where(rng.random((H, H)) < 0.1, rng.normal(size=(H, H)), 0)
    W = (0.9 * W / np.abs(np.linalg.eigvals(W)).max()).astype(np.float32).astype(float)
    Win, bias = rng.uniform(-0.5, 0.5, (H, D)), rng.uniform(-0.2, 0.2, H)
    ours = EchoStateNetwork(W=W, Win=Win, bias=bias, leak_rate=0.5, ridge=1e-5, warmup=100,
                            start="zero", input_to_readout=False).fit(X[:1000], X[1:1001])
    reservoir = Reservoir(W=W, Win=Win, bias=bias, lr=0.5)
    readout = Readout(ridge=1e-5)
    states = reservoir.run(X[:1000])
    readout.fit(states[100:], X[101:1001])
    np.testing.assert_allclose(ours.states(X[:1000]), states, atol=1e-10)

    theirs, out = readout.run(reservoir.run(X[1000:1200])), []
    found = ours.predict(X[:1200])[1000:]
    wanted = X[1001:1201]
    error, other = (np.sqrt(np.mean((part - wanted) ** 2, axis=0)) for part in (found, theirs))
    np.testing.assert_allclose(error, other, rtol=1e-3)
    y = theirs[-1:]
    for _ in range(50):
        out.append(y[0])
        y = readout.run(reservoir.run(y))
    free = ours.generate(50, X[:1200])
    truth = X[1200:1250]
    error, other = (np.sqrt(np.mean((part - truth) ** 2, axis=0)) for part in (free, out))
    np.testing.assert_allclose(error, other, rtol=1e-3)
