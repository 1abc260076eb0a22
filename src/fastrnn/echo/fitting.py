"""The fit of a readout to series that come in blocks."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.continuation import Targets
from ..settings import ReservoirSettings, given_to
from ..validate import generator
from .fitted import Fitted, limits
from .reservoir import Noise, Reservoir, draw
from .ridge import Ridge
from .series import Arrays

Array = NDArray[Any]
GIVEN = ("W", "Win", "bias", "Wfb")  # weights that need not be drawn


class Fitting:
    """A random reservoir, the sums of the regression of its readout, and what is known of the
    targets. Of a series each block goes on where the one before ended.

    Parameters
    ----------
    params : dict
        The checked parameters of the network.
    inputs : list of ndarray, shape (T, D)
        From which the readout's inputs are centred: all series, or the first block.
    K : int
        Numbers in a target.
    flat : bool
        Whether targets are (T,).
    """

    def __init__(self, params: dict[str, Any], inputs: Arrays, K: int, flat: bool) -> None:
        D, rng = inputs[0].shape[1], generator_of(params)
        if not D and not params["feedback"]:
            raise ValueError(f"X has no columns, 0 feature(s) (shape={inputs[0].shape}) while a "
                             "minimum of 1 is required. A network without inputs needs "
                             "feedback=True")
        self.reservoir = drawn(params, rng, D, K if params["feedback"] else 0)
        params["units"] = H = len(self.reservoir.b)  # where W is given
        with np.errstate(over="ignore"):
            centre = np.mean([u.mean(axis=0, dtype=float) for u in inputs], axis=0)
        centre = centre if params["input_to_readout"] else centre[:0]
        self.params, self.K, self.flat = params, K, flat
        self.sums = Ridge(1 + len(centre) + H, K, centre, folded=params["ridge"] == "auto")
        self.noise = Noise(params, int(rng.integers(2**63))
                           if params["noise"] or params["feedback_noise"] else 0)
        self.told = Targets(K)
        self.begin(params["warmup"])

    def begin(self, warmup: int) -> None:
        """The next block is the first of another series, of which so many steps are not fitted."""
        self.state, self.left_out = self.reservoir.start(), warmup
        self.before: Array | None = None  # the last target
        self.last = self.state[1].copy()  # what was fed back, without noise

    def add(self, u: Array, y: Array, weights: Array | None) -> None:
        """Read a block of inputs u (T, D) and targets y (T, K), with the weights (T,) of its
        steps."""
        fed = None
        if self.last.size:  # fed back also where the first targets are not known
            known = filled(np.concatenate([self.last[None], y]))[1:]
            fed, self.last = self.noise.of_feedback(known), known[-1]
        for start, features in self.reservoir.features(u, fed, self.left_out, self.sums.centre,
                                                       self.state, self.noise):
            rows = slice(start, start + len(features))
            self.sums.add(features, y[rows], None if weights is None else weights[rows])
        self.left_out = max(0, self.left_out - len(u))
        self.told.add(y)
        before = y[:-1] if self.before is None else np.concatenate([self.before[None], y[:-1]])
        if u.shape[1] >= y.shape[1]:
            self.told.compare(before, u[len(u) - len(before) :, : y.shape[1]])
        self.before = y[-1]

    def fitted(self) -> Fitted:
        """The reservoir with the readout of all blocks so far."""
        H, D = self.reservoir.Win.shape
        ridge = self.params["ridge"]
        if ridge == "auto":
            ridge = self.sums.choose()
        Wout = self.sums.solve(ridge)
        Wout = np.insert(Wout, [1] * (1 + D + H - Wout.shape[1]), 0.0, axis=1)  # inputs not read
        return Fitted(self.params, self.reservoir, Wout.astype(self.params["dtype"]), ridge,
                      self.flat, D >= len(Wout) and self.told.are_next_inputs(), limits(self.told))


def generator_of(params: dict[str, Any]) -> np.random.Generator:
    return generator(
        params["seed"] if params["random_state"] is None else params["random_state"])


def drawn(params: dict[str, Any], rng: np.random.Generator, inputs: int,
          fed_back: int) -> Reservoir:
    """A random reservoir with these parameters of a network."""
    return draw(params["units"], inputs, fed_back, rng, params["dtype"], **given_to(
        ReservoirSettings, params), bias_scale=params["bias_scale"],
        given={name: params[name] for name in GIVEN})


def filled(y: Array) -> Array:
    """The targets that are fed back: the last known one where it is missing, 0 before the first."""
    missing = np.isnan(y)
    if not missing.any():
        return y
    steps = np.where(missing, -1, np.arange(len(y))[:, None])
    last = np.maximum.accumulate(steps, axis=0)
    found: Array = np.where(last < 0, 0, np.take_along_axis(y, last, axis=0))
    return found.astype(y.dtype, copy=False)
