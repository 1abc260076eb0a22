"""The tail of a text, which is not trained on: how a model does on it, and when to look."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .blas import one_thread
from .history import History
from .model import READ_STEPS, Model, time_major


class Validation:
    """A text to score again and again, cut into equal streams that are read side by side.

    Parameters
    ----------
    ids : ndarray of int, shape (n,)
        At least 2, or none: then a validation is never due.
    config : dict
        Of the trainer. There are batch_size streams, or fewer where that would leave them shorter
        than seq_length + 1.
    updates_per_epoch : int

    Attributes
    ----------
    every : int
        Updates between validations; 0: there are none.
    """

    def __init__(
        self, ids: NDArray[np.unsignedinteger], config: dict[str, Any], updates_per_epoch: int
    ) -> None:
        self._config = config
        self.every = (config["valid_every"] or updates_per_epoch) if len(ids) else 0
        N = max(1, min(config["batch_size"], len(ids) // (config["seq_length"] + 1)))
        length = len(ids) // N
        self._ids = time_major(ids[: N * length].reshape(N, length))  # (length, N)
        self._seconds: float | None = None  # that the last scoring took

    def is_due(self, update: int) -> bool:
        """Whether the plan asks for one after so many updates."""
        return self.every > 0 and update > 0 and update % self.every == 0

    def patience_is_over(self, history: History) -> bool:
        """Whether `patience` validations have passed since the lowest. One at the end of a run
        counts only if it was due: so a run that was cut in two stops where a whole one does."""
        if self._config["patience"] is None:
            return False
        losses = history.valid_loss[history.valid_updates % self.every == 0]
        return losses.size > 0 and losses.size - 1 - losses.argmin() >= self._config["patience"]

    def seconds(self, pace: float) -> float:
        """How long one takes, where an update takes `pace` seconds."""
        if self._seconds is not None or not self.every:
            return self._seconds or 0.0
        learned = self._config["seq_length"] * self._config["batch_size"]
        return pace * self._ids.size / learned / 2  # only reading costs about a third of learning

    def score(
        self, model: Model, state: NDArray[Any], threads: int,
        stop: Callable[[], bool] = lambda: False,
    ) -> float | None:
        """Mean cross-entropy in nats per symbol, of each symbol but the first of each stream,
        without dropout. Streams go on from the states (N, P) that training carried: from the zero
        state, which it meets once an epoch, some would not find back to the text. Symbols that do
        not fill the streams evenly are left out. None where `stop`, asked before each unroll, says
        so."""
        start = time.perf_counter()
        T, (length, N) = self._config["seq_length"], self._ids.shape
        network, state = model.network(T, N), state[:N].copy()
        loss = 0.0
        for t in range(0, length - 1, T):
            if stop():
                return None
            inputs, targets = self._ids[t : t + T], self._ids[t + 1 : t + T + 1]
            loss += float(network.unroll(
                model.block, inputs[: len(targets)], state, targets, threads=threads).sum())
        self._seconds = time.perf_counter() - start
        return loss / (N * (length - 1))


def accuracy(
    model: Model, ids: NDArray[np.unsignedinteger], states: NDArray[Any], threads: int = 1
) -> float:
    """The share of the symbols, but the first of each stream, that the model thinks likeliest where
    it is given those before. The text is cut into as many streams as there are states (N, P)."""
    N = max(1, min(len(states), len(ids) // 2))
    length = len(ids) // N
    streams = time_major(ids[: N * length].reshape(N, length))  # (length, N)
    network, states = model.network(READ_STEPS, N), states[:N].copy()
    count = 0
    with one_thread():
        for t in range(0, length - 1, READ_STEPS):
            targets = streams[t + 1 : t + READ_STEPS + 1]
            right = np.empty(targets.shape, np.uint8)
            network.unroll(model.block, streams[t : t + len(targets)], states, targets,
                           threads=threads, right=right)
            count += int(right.sum())
    return count / (N * (length - 1))
