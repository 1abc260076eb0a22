"""When a training run has diverged, what is said about it, and the last good state."""

import math
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.source import Reading, Source
from ..model.history import History, averaged
from ..model.model import Model

# The loss, as a multiple of that of guessing: up to GOOD a state is copied, to go back to; above
# WORTHLESS it is not saved, nor the end of a run; an update above DIVERGED is not made. Large
# networks reach 8 in their first hundred updates with common learning rates, and come back.
GOOD, WORTHLESS, DIVERGED = 2, 10, 100
SPIKE = {"nats": 2, "squared error": 4}  # so often the training loss so far, as a mean of 30
LEAST_FACTOR = 2.0**-20  # below this the learning rate is not halved once more
EFFORT = 200  # a state is copied at most in 1 / EFFORT of the time

Arrays = dict[str, NDArray[Any]]


class DivergenceError(FloatingPointError):
    """The loss of an update, or its gradient, is not finite or far above what guessing would give.

    Attributes
    ----------
    update : int
        Number of the update, from 1 on; it was not applied.
    loss : float
        Its mean loss of one prediction, in nats or squared error.
    tensor : str
        The first tensor (a name of `Model.params`) whose gradient is not finite, else the one with
        the largest gradient.
    layer : int or None
        Its layer, from 0 on; None for the embedding and the head.
    time_step : int
        The first time step of the window or sequence, from 0 on, whose loss is not finite, else the
        one with the largest loss.
    gradient_norm : float
        Norm of the gradient of all parameters, before clipping.
    """

    def __init__(self, update: int, loss: float, tensor: str, time_step: int,
                 gradient_norm: float, message: str) -> None:
        super().__init__(message)
        self.update, self.loss, self.tensor = update, loss, tensor
        self.time_step, self.gradient_norm = time_step, gradient_norm
        name = tensor.partition(".")[0].removeprefix("layer")
        self.layer = int(name) if name.isdecimal() else None


def loss_of_guessing(model: Model, reading: Reading) -> float:
    """The loss of one prediction, where all symbols are equally likely, or of a 0 in place of the
    largest number to predict; the largest where losses are weighted."""
    K, most = model.sizes.outputs, float(reading.arrays.get("weights", np.ones(1)).max())
    if model.config["loss"] == "mean_squared_error":
        targets = np.nan_to_num(reading.arrays["targets"].reshape(-1, K))  # NaN: not known
        largest = np.abs(targets).max(axis=0).astype(np.float64)
        return float((largest**2 * reading.arrays.get("units", 1.0)).max()) * most
    others = (K - 1) * math.log(K / (K - 1)) if model.config["loss"][0] == "b" else 0.0
    return (math.log(K) + others) * most


def diagnose(model: Model, update: int, grads: NDArray[Any], losses: NDArray[np.float64],
             config: Mapping[str, Any], source: Source, after: str) -> DivergenceError:
    """The error for an update with these gradients (a block) and losses (T, N); `after` says what
    has become of the run."""
    with np.errstate(all="ignore"):
        norms = {name: math.sqrt(float(np.square(g, dtype=np.float64).sum()))
                 for name, g in model.views(grads).items()}
        strange = [name for name, norm in norms.items() if not math.isfinite(norm)]
        tensor = strange[0] if strange else max(norms, key=lambda name: norms[name])
        steps = losses.sum(axis=1)
        wrong = np.flatnonzero(~np.isfinite(steps))
        step = int(wrong[0] if len(wrong) else steps.argmax())
        text = source.steps is None and source.vocabulary is not None  # windows are full
        count = losses.size if text else np.count_nonzero(losses)
        loss = float(losses.sum() / max(1, count))
        norm = math.sqrt(sum(n * n for n in norms.values()))
    kind = ("squared error" if model.config["loss"] == "mean_squared_error" else
            f"nats per {source.unit}")
    first = "is not finite" if strange else "is the largest"
    return DivergenceError(update, loss, tensor, step, norm, (
        f"training has diverged: the loss of update {update:,} is {loss:.3g} {kind}, highest at "
        f"time step {step}; the last gradient has the norm {norm:.3g}, and that of {tensor} "
        f"{first}. "
        f"{after}Start again {advice(config, model.config)}"))


def advice(config: Mapping[str, Any], network: Mapping[str, Any]) -> str:
    """What to change, of the settings in use, where a run diverges."""
    ways = [f"with a learning_rate below {config['learning_rate']:g}, such as "
            f"{config['learning_rate'] / 4:.2g}"]
    if config["clip_norm"] is None:
        ways.append("with clip_norm=1" if config["clip_value"] is None else
                    f"with clip_norm=1 beside clip_value={config['clip_value']:g}")
    if config["momentum"] > 0.9:
        ways.append("with a momentum of at most 0.9")
    if network["cell"] in ("relu", "memory"):
        ways.append("with a cell whose state is bounded, such as cell='lstm'")
    if config["on_divergence"] == "raise":
        ways.append("with on_divergence='rollback', which goes on from the last good state with "
                    "half the rate")
    return ", or ".join([", ".join(ways[:-1]), ways[-1]]) if len(ways) > 1 else ways[0]


class LastGood:
    """The last state of a run that was found to be good, as copies of its arrays, and of what JSON
    would store."""

    def __init__(self) -> None:
        self.arrays: Arrays = {}
        self.run: dict[str, Any] = {}
        self._next = 0.0  # when it is time to look again

    def is_due(self) -> bool:
        return time.perf_counter() >= self._next

    def look(self) -> None:
        """Look at the next chance."""
        self._next = 0.0

    def looked(self, began: float) -> None:
        """Note that a look, with its copy, began then."""
        now = time.perf_counter()
        self._next = now + EFFORT * (now - began)

    def keep(self, arrays: Arrays, run: dict[str, Any]) -> None:
        """Copy a good state."""
        if not self.arrays:
            self.arrays = {name: array.copy() for name, array in arrays.items()}
        else:
            for name, array in arrays.items():
                np.copyto(self.arrays[name], array)
        self.run = run


def spike(history: History, losses: NDArray[np.float64],
          guess: float) -> tuple[int, float, float] | None:
    """Whether the losses of the last updates, which are in the history already, have risen far
    above those before, and towards that of guessing: the number of the update, the mean of 30
    losses up to it, and the training loss before (of one prediction both)."""
    least, new = int(averaged(0)), len(losses)
    before = len(history) - new
    if before < 4 * least:
        return None
    known = history.last(new + max(least, int(averaged(before))))
    usual = float(known[:-new].mean())
    sums = np.cumsum(np.concatenate([[0.0], known[-(new + least - 1) :]]))
    means = (sums[least:] - sums[:-least]) / least
    scale = history.seq_length or 1.0
    high = means > max(SPIKE[history.measure[0]] * usual, guess / 2 * scale)
    if not high.any():
        return None
    at = int(high.argmax())
    return before + at + 1, float(means[at] / scale), usual / scale
