"""What is due when in a training run: to stop, to show a sample, to save a checkpoint."""

from __future__ import annotations

import math
import time
from typing import Any

from .validation import Validation

PAUSE = 0.1  # seconds after which the compiled loop returns, for Ctrl-C, the clock and the bar
CHECKPOINT_PAUSE = 60.0  # seconds between checkpoints where checkpoint_every does not say
SAMPLES = 10  # shown in a run where sample_every does not say
NEVER = 2**62  # updates


class Stopwatch:
    """Seconds that the runs of a trainer with `minutes` have taken, the present one too."""

    def __init__(self) -> None:
        self.spent = 0.0  # before the present run
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
    """What one call of `Trainer.run` does when.

    `update` updates were made before it. It makes `updates` more; None: to the `planned` number, or
    where that is None until the `minutes` of `config` are over. After each multiple of `epoch`
    updates the compiled loop must return, where `epoch` is not 0. Raises ValueError for more
    updates than planned under the cosine schedule, whose learning rate would be 0."""

    def __init__(
        self, config: dict[str, Any], update: int, updates: int | None, planned: int | None,
        epoch: int, validation: Validation, watch: Stopwatch,
    ) -> None:
        self._watch, self._validation = watch, validation
        self.whole = updates is None
        self.last = planned or NEVER
        if updates is not None:
            end, self.last = self.last, update + updates
            if config["schedule"] == "cosine" and self.last > end:
                raise ValueError(
                    f"the cosine schedule ends at update {end}, and this run would go "
                    f"to {self.last}: give the trainer more epochs or updates")
        minutes = config["minutes"]
        self.timed = bool(self.whole and minutes)
        self.budget = 60 * (minutes or math.inf)  # seconds
        self._show_every, self._next_sample = config["sample_every"], math.inf  # or of the time
        if self._show_every is None and self.timed:
            self._next_sample = math.ceil(SAMPLES * watch.seconds / self.budget) / SAMPLES
        elif self._show_every is None and self.whole:
            self._show_every = math.ceil(self.last / SAMPLES)
        self._save_every = config["checkpoint_every"] or 0
        self._bounds = [every for every in (self._show_every, self._save_every, validation.every,
                                            epoch) if every]
        self._chunk, self._pace = 1, 0.0  # updates of the next call; seconds for each
        self._busy, self._done = 0.0, 0  # seconds in the compiled loop, updates made there
        self._saved = time.perf_counter()

    @property
    def fraction(self) -> float:
        """Fraction of the training time that is over; 0 where it has no limit."""
        return self._watch.seconds / self.budget

    @property
    def pace(self) -> float:
        """Updates per second of the compiled loop."""
        return self._done / self._busy

    def _left(self) -> float:
        """Seconds that remain for updates, a last validation set aside."""
        reserved = self._validation.seconds(self._pace) if self.whole else 0
        return self.budget - self._watch.seconds - reserved

    def is_over(self, update: int) -> bool:
        return update >= self.last or bool(update and self._left() <= 0)

    def show_is_due(self, update: int) -> bool:
        """Whether a sample is to be shown, or the callback to be called."""
        spent = self.fraction
        if update % self._show_every if self._show_every else spent < self._next_sample:
            return False
        self._next_sample = (math.floor(SAMPLES * spent) + 1) / SAMPLES
        return True

    def save_is_due(self, update: int) -> bool:
        due = (update % self._save_every == 0 if self._save_every
               else time.perf_counter() - self._saved > CHECKPOINT_PAUSE)
        return due and update < self.last

    def saved(self) -> None:
        self._saved = time.perf_counter()

    def updates(self, update: int) -> int:
        """Number of updates until something may be due again."""
        n = min(self._chunk, self.last - update,
                *(every - update % every for every in self._bounds))
        return max(1, int(min(n, self._left() / self._pace))) if self._pace else n

    def made(self, n: int, seconds: float) -> None:
        """Note that n updates took so many seconds."""
        seconds = max(seconds, 1e-9)
        self._pace, self._busy, self._done = seconds / n, self._busy + seconds, self._done + n
        self._chunk = max(1, min(int(PAUSE / self._pace), 10 * self._chunk))
