"""Reservoirs that read a series: fastrnn's, SciPy's products in NumPy's loop, and reservoirpy."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from works import STEPS, Reservoir

Runs = Callable[[int], None]
SIDE_BY_SIDE = 8  # networks of a parameter search


def available() -> bool:
    return importlib.util.find_spec("reservoirpy") is not None


def series(dtype: str) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (STEPS, 1)).astype(dtype)


def network_of(work: Reservoir, dtype: str, seed: int = 0):
    """A fitted network: before, `states` would draw a reservoir in each call."""
    import fastrnn

    u = series(dtype)
    network = fastrnn.EchoStateNetwork(work.units, density=work.density, bias_scale=0.1, ridge=1.0,
                                       seed=seed, dtype=dtype)
    return network.fit(u[:-1], u[1:])


def ours(work: Reservoir, dtype: str, own_thread: bool = False) -> Runs:
    """In a thread that is not the main one a reservoir keeps to that thread."""
    network, u = network_of(work, dtype), series(dtype)
    if not own_thread:
        return repeated(lambda: network.states(u))
    pool = ThreadPoolExecutor(1)
    return repeated(lambda: pool.submit(network.states, u).result())


def several(work: Reservoir, dtype: str, threads: int) -> Runs:
    """Networks of several seeds, side by side in so many threads."""
    networks = [network_of(work, dtype, seed) for seed in range(SIDE_BY_SIDE)]
    u, pool = series(dtype), ThreadPoolExecutor(threads)
    return repeated(lambda: list(pool.map(lambda network: network.states(u), networks)))


def scipy_loop(work: Reservoir, dtype: str) -> Runs:
    """The same reservoir."""
    network, u = network_of(work, dtype), series(dtype)
    W, Win, b = network.W_.astype(dtype), network.Win_, network.b_

    def run():
        x, states = np.zeros(work.units, dtype), np.empty((len(u), work.units), dtype)
        for t in range(len(u)):
            x = np.tanh(Win @ u[t] + W @ x + b)
            states[t] = x
        return states

    np.testing.assert_allclose(run(), network.states(u), atol=1e-12 if dtype == "float64" else 1e-5)
    return repeated(run)


def reservoirpy(work: Reservoir, dtype: str) -> Runs:
    """One of its own of the same sizes."""
    from reservoirpy.nodes import Reservoir as Node

    u = series(dtype)
    node = Node(units=work.units, sr=0.9, lr=1.0, rc_connectivity=work.density, seed=0,
                dtype=np.dtype(dtype).type)
    assert node.run(u[:3]).shape == (3, work.units)
    assert abs(node.W.nnz / work.units**2 - work.density) < 0.01
    return repeated(lambda: node.run(u))


def repeated(run: Callable[[], object]) -> Runs:
    def runs(n: int) -> None:
        for _ in range(n):
            run()

    return runs
