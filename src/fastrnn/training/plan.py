"""What is due when in a training run: its end, a sample, a checkpoint."""

import math
import time
from collections.abc import Sequence
from typing import Any

from ..validate import positive_int
from .samples import due
from .validation import Validation

PAUSE = 0.1  # seconds between checks of the clock and of Ctrl-C, and steps of the progress bar
CHECKPOINT_PAUSE = 60.0  # seconds between checkpoints without checkpoint_every
NEVER = 2**62  # updates

class Stopwatch:
    """Counts the seconds of `minutes` that all runs have spent; `spent` are those before the
    present run."""

    def __init__(self) -> None:
        self.spent = 0.0
        self._started: float | None = None

    @property
    def seconds(self) -> float:
        running = 0.0 if self._started is None else time.perf_counter() - self._started
        return self.spent + running

    def start(self) -> None:
        self._started = time.perf_counter()

    def stop(self) -> None:
        self.spent, self._started = self.seconds, None


class Plan:
    """What is due when in one call of `Trainer.run`, which begins after `update` updates.

    It makes `updates` more or, where that is None, all that are `planned` (None where `minutes`
    decide). With `epoch` the compiled loop also returns after each multiple of so many updates.
    `samples_at` are the numbers of updates at which samples are due besides, and at multiples of
    `log_every` progress is told.
    Raises ValueError if the learning rate of the cosine schedule would reach 0 before the end."""

    def __init__(
        self, config: dict[str, Any], update: int, updates: int | None, planned: int | None,
        epoch: int, validation: Validation, watch: Stopwatch, samples_at: Sequence[int],
        log_every: int | None = None,
    ) -> None:
        self._watch, self._validation, self._first = watch, validation, update
        self.whole = updates is None
        self.last = planned or NEVER
        if updates is not None:
            end, self.last = self.last, update + positive_int("updates", updates)
            if config["schedule"] == "cosine" and self.last > end:
                raise ValueError(f"the cosine schedule ends at update {end}, and this run would go "
                                 f"to {self.last}: give the trainer more epochs or updates")
        minutes = config["minutes"]
        self.timed = bool(self.whole and minutes)
        self.budget = 60 * (minutes or math.inf)  # seconds
        self._samples, self._calls = due(config, samples_at, self.last if self.whole else None,
                                         self.fraction if self.timed else None)
        self._save_every = config["checkpoint_every"]
        self._bounds = [every for every in (
            self._save_every, validation.every, epoch, log_every) if every]
        self._chunk, self._pace = 1, 0.0  # updates of the next call; seconds for each
        self._busy, self._done = 0.0, 0  # seconds in the compiled loop, updates made there
        self._saved = time.perf_counter()

    @property
    def fraction(self) -> float:
        """Fraction of the time that is spent; 0 without `minutes`."""
        return self._watch.seconds / self.budget

    @property
    def work(self) -> tuple[int, float]:
        """The updates of the compiled loop, and its seconds."""
        return self._done, self._busy

    @property
    def pace(self) -> float:
        """Updates of the compiled loop in a second; 0 before the first."""
        return self._done / self._busy if self._done else 0.0

    def _left(self) -> float:
        """Seconds left before the last validation."""
        reserved = self._validation.seconds(self._pace) if self.whole else 0
        return self.budget - self._watch.seconds - reserved

    def is_over(self, update: int) -> bool:
        return update >= self.last or bool(update and self._left() <= 0)

    def sample_is_due(self, update: int, at_end: bool) -> bool:
        return self._samples.now(update, self.fraction, at_end)

    def call_is_due(self, update: int) -> bool:
        return self._calls.now(update, self.fraction)

    def save_is_due(self, update: int) -> bool:
        due = (time.perf_counter() - self._saved > CHECKPOINT_PAUSE if self._save_every is None
               else self._save_every > 0 and update % self._save_every == 0)
        return due and update < self.last

    def saved(self) -> None:
        self._saved = time.perf_counter()

    def updates(self, update: int) -> int:
        """The number of updates until something may be due."""
        n = min(self._chunk, self.last - update, self._samples.left(update),
                self._calls.left(update),
                *(every - update % every for every in self._bounds))
        return max(1, int(min(n, self._left() / self._pace))) if self._pace else int(n)

    def made(self, n: int, seconds: float) -> None:
        """Note that n updates took so many seconds."""
        seconds = max(seconds, 1e-9)
        self._pace, self._busy, self._done = seconds / n, self._busy + seconds, self._done + n
        self._chunk = max(1, min(int(PAUSE / self._pace), 10 * self._chunk))

    @property
    def length(self) -> float:
        """The updates of the run or, of a run of `minutes`, its seconds."""
        return self.budget if self.timed else self.last

    def at(self, update: int) -> float:
        """How much of `length` is done."""
        return min(self._watch.seconds, self.budget) if self.timed else update
