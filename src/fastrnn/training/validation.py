"""The validation loss, and when to compute it."""

import time
from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from ..data.source import Source
from ..model.history import History
from ..model.model import Model
from ..model.scoring import read, row_weights


class Validation:
    """When a validation is due, and the validation loss.

    `source` is the validation data, or None. `every` is the number of updates from one validation
    to the next; 0: there are none."""

    def __init__(self, source: Source | None, config: dict[str, Any],
                 updates_per_epoch: int) -> None:
        self._config, self._source = config, source
        self.every = (config["valid_every"] or updates_per_epoch) if source else 0
        self._seconds: float | None = None  # of the last validation

    def is_due(self, update: int) -> bool:
        return self.every > 0 and update > 0 and update % self.every == 0

    def patience_is_over(self, history: History) -> bool:
        """Whether there were `patience` validations since the one with the lowest loss. Only those
        that were due count, not one at the end of a run, so that a resumed run stops at the same
        update as a whole one."""
        if self._config["patience"] is None:
            return False
        losses = history.valid_loss[history.valid_updates % self.every == 0]
        return losses.size > 0 and bool(
            losses.size - 1 - losses.argmin() >= self._config["patience"])

    def seconds(self, pace: float) -> float:
        """How long a validation takes, if an update takes `pace` seconds."""
        if self._seconds is not None or not self._source:
            return self._seconds or 0.0
        trained = self._config["seq_length"] * self._config["batch_size"]  # in an update
        # a forward pass alone takes about a third of an update; half is on the safe side
        return float(pace * self._source.predictions / trained / 2)

    def loss(
        self, model: Model, state: NDArray[Any], threads: int,
        stop: Callable[[], bool] = lambda: False,
    ) -> float | None:
        """Mean loss of one prediction, without dropout; None if `stop`, called after each batch,
        returns True. Streams of a text start from the training states (N, P): some models, which
        meet the zero state once an epoch, do not recover from it."""
        if not self._source:
            return None
        start, total, count = time.perf_counter(), 0.0, 0
        for batch, losses, _ in read(
                model, self._source, state, row_weights(model, self._source), threads=threads,
                streams=self._config["batch_size"], steps=self._config["seq_length"]):
            if stop():
                return None
            total, count = total + float(losses.sum()), count + batch.predictions
        self._seconds = time.perf_counter() - start
        return total / count
