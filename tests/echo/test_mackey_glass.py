"""The classic forecast of echo state networks: 84 steps of a free run on Mackey-Glass, tau 17."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from echo_state import AHEAD, SETTINGS, TRAINED, mackey_glass, nrmse, places

from fastrnn import EchoStateNetwork


@pytest.fixture(scope="module")
def glass():
    return np.tanh(mackey_glass(TRAINED + 3000) - 1)[:, None]


def errors(glass, units, seeds, **settings):
    """The NRMSE after 84 steps, over a hundred places behind what was fitted, of each seed."""
    at = places(glass)
    assert AHEAD == 84 and at.min() > TRAINED and len(at) == 100

    def one(seed):
        network = EchoStateNetwork(units, seed=seed, **(SETTINGS | settings))
        network.fit(glass[:TRAINED], glass[1 : TRAINED + 1])
        runs = np.stack(network.generate(84, [glass[p - 499 : p + 1] for p in at]))
        return nrmse(runs[:, 83], glass[at + 84], glass)[0]

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(one, range(seeds)))


def test_with_few_units(glass):
    found = np.array(errors(glass, 300, 3))
    assert np.median(found) < 2.5e-3 and found.min() > 1e-5


@pytest.mark.long
@pytest.mark.parametrize(("ridge", "limit"), [(SETTINGS["ridge"], 2.0e-4), ("auto", 1.0e-4)])
def test_with_a_thousand_units(glass, ridge, limit):
    assert np.median(errors(glass, 1000, 10, ridge=ridge)) <= limit
