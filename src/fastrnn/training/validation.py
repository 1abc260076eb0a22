"""The validation loss: when it is computed, and how."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.source import Source
from ..model.history import History
from ..model.model import Model
from ..model.scoring import read, row_weights


class Validation:
    """The validations of a trainer: one after each `every` updates, on the validation data
    `source`; without data `every` is 0, and there are none."""

    def __init__(
        self, source: Source | None, config: dict[str, Any], updates_per_epoch: int
    ) -> None:
        self._config, self._source = config, source
        self.every = (config["valid_every"] or updates_per_epoch) if source else 0
        self._seconds: float | None = None  # that the last one took

    def is_due(self, update: int) -> bool:
        """Whether a validation is due after so many updates."""
        return self.every > 0 and update > 0 and update % self.every == 0

    def patience_is_over(self, history: History) -> bool:
        """Whether `patience` validations have passed since the lowest loss. One at the end of a run
        counts only if it was due: so a run in two parts stops where a whole one does."""
        if self._config["patience"] is None:
            return False
        losses = history.valid_loss[history.valid_updates % self.every == 0]
        return losses.size > 0 and bool(
            losses.size - 1 - losses.argmin() >= self._config["patience"])

    def seconds(self, pace: float) -> float:
        """How long a validation takes, where an update takes `pace` seconds."""
        if self._seconds is not None or not self._source:
            return self._seconds or 0.0
        learned = self._config["seq_length"] * self._config["batch_size"]
        # a forward pass costs about a third of an update
        return float(pace * self._source.predictions / learned / 2)

    def loss(
        self, model: Model, state: NDArray[Any], threads: int,
        stop: Callable[[], bool] = lambda: False,
    ) -> float | None:
        """Mean loss of a prediction, without dropout; None when `stop()`, called before each batch,
        is true. Streams of a text go on from the states (N, P) that training carried: from the zero
        state, which training meets once an epoch, some networks never recover."""
        if not self._source:
            return None
        start, total, count = time.perf_counter(), 0.0, 0
        batches = read(model, self._source, state, row_weights(model, self._source),
                       threads=threads, streams=self._config["batch_size"],
                       steps=self._config["seq_length"])
        while not stop():
            batch, losses, _ = next(batches, (None, np.empty(0), None))
            if batch is None:
                self._seconds = time.perf_counter() - start
                return total / count
            total, count = total + float(losses.sum()), count + batch.predictions
        return None
