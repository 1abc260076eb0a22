"""Reservoirs that read a series, whole or one sample at a time: SciPy's sparse products in a NumPy
loop, and reservoirpy."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import fastrnn


def available() -> bool:
    """Whether reservoirpy is installed."""
    return importlib.util.find_spec("reservoirpy") is not None


def scipy_loop(network: fastrnn.EchoStateNetwork, u: np.ndarray) -> Callable[[], object]:
    """A function that computes the states of a fitted network's own reservoir for u (T, 1)."""
    W, Win, b = network.W_.astype(u.dtype), network.Win_, network.b_

    def run() -> np.ndarray:
        x, states = np.zeros(len(b), u.dtype), np.empty((len(u), len(b)), u.dtype)
        for t in range(len(u)):
            x = np.tanh(Win @ u[t] + W @ x + b)
            states[t] = x
        return states

    np.testing.assert_allclose(run(), network.states(u), atol=1e-12 if u.dtype == "f8" else 1e-5)
    return run


def reservoirpy(units: int, density: float, u: np.ndarray) -> Callable[[], object]:
    """A function that computes the states of a reservoir of reservoirpy's of the same sizes."""
    from reservoirpy.nodes import Reservoir

    node = Reservoir(units=units, sr=0.9, lr=1.0, rc_connectivity=density, seed=0,
                     dtype=u.dtype.type)
    assert node.run(u[:3]).shape == (3, units)
    assert abs(node.W.nnz / units**2 - density) < 0.01
    return lambda: node.run(u)


Step = Callable[[np.ndarray], np.ndarray]  # a sample (D,) to the outputs (K,); keeps the state


def scipy_step(network: fastrnn.EchoStateNetwork, dtype: str) -> Step:
    """One step of a fitted network, from the zero state on."""
    W, Win, b, Wout = (a.astype(dtype) for a in (network.W_, network.Win_, network.b_,
                                                 network.Wout_))
    a, one, x = network.leak_rate, np.ones(1, dtype), np.zeros(len(b), dtype)

    def step(u: np.ndarray) -> np.ndarray:
        nonlocal x
        x = (1 - a) * x + a * np.tanh(Win @ u + W @ x + b)
        return Wout @ np.concatenate([one, u, x])

    return step


def reservoirpy_step(units: int, density: float, u: np.ndarray) -> Step:
    """One step of a reservoir and a readout of reservoirpy's of the same sizes, fitted to u."""
    from reservoirpy.nodes import Reservoir, Ridge

    reservoir = Reservoir(units=units, sr=0.9, lr=1.0, rc_connectivity=density, seed=0,
                          dtype=u.dtype.type)
    model = reservoir >> Ridge(ridge=1.0)
    model.fit(u[:-1], u[1:])
    model.reset()
    return model.step
