"""What is due when in a training run: to stop, to show a sample, to save."""

from __future__ import annotations

import math
import time
from typing import Any

from .validation import Validation

PAUSE = 0.1  # seconds between looks at the clock, the keyboard and the progress bar
CHECKPOINT_PAUSE = 60.0  # seconds between checkpoints where checkpoint_every does not say
SAMPLES = 10  # shown in a run where sample_every does not say
NEVER = 2**62  # updates


class Stopwatch:
    """Seconds of `minutes` that runs have spent, in all and in the present one."""

    def __init__(self) -> None:
        self.spent = 0.0  # before the run that goes on
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
    """What one call of `Trainer.run` has before it.

    Parameters
    ----------
    config : dict
        Of the trainer.
    update : int
        Updates made so far.
    updates : int or None
        To make now; None: to the end of what is planned.
    planned : int or None
        Updates in all; None where `minutes` decide.
    epoch : int
        Updates after which the compiled loop must return because an epoch ends; 0: it need not.
    validation : Validation
    watch : Stopwatch

    Raises
    ------
    ValueError
        More updates than planned under the cosine schedule: their rate would be 0.
    """

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
        """How much of the time is spent; 0 where it has no limit."""
        return self._watch.seconds / self.budget

    @property
    def pace(self) -> float:
        """Updates a second of the compiled loop."""
        return self._done / self._busy

    def _left(self) -> float:
        """Seconds, less those of a last validation."""
        reserved = self._validation.seconds(self._pace) if self.whole else 0
        return self.budget - self._watch.seconds - reserved

    def is_over(self, update: int) -> bool:
        return update >= self.last or bool(update and self._left() <= 0)

    def show_is_due(self, update: int) -> bool:
        """Whether a sample is, or a call of the callback."""
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
        """To make before something may be due again."""
        n = min(self._chunk, self.last - update,
                *(every - update % every for every in self._bounds))
        return max(1, int(min(n, self._left() / self._pace))) if self._pace else n

    def made(self, n: int, seconds: float) -> None:
        """Note that n updates took so many seconds."""
        seconds = max(seconds, 1e-9)
        self._pace, self._busy, self._done = seconds / n, self._busy + seconds, self._done + n
        self._chunk = max(1, min(int(PAUSE / self._pace), 10 * self._chunk))
