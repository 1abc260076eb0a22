"""The samples of a training run: when they and the callback are due, and their text."""

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.source import Reading
from ..model.model import Model
from ..validate import positive_int

TIMES = 10  # in a run without sample_every
RECORDS = 5  # in a sample of records


class Due:
    """When something is due in one call of `Trainer.run`.

    After every so many updates; where `every` is None and there is nothing in `at`, `TIMES` times
    over a run of `length` updates (None: in a part of a run, never) or, where the fraction `spent`
    of its minutes is given, over that time; and after each number of updates in `at`."""

    def __init__(self, every: int | None, at: Sequence[int], length: int | None,
                 spent: float | None) -> None:
        self._at, self._next = sorted(at), math.inf  # the fraction of the time at which it is due
        self._chosen = every is None  # then it is not due at the end
        if every is None and not at and spent is not None:
            self._next = math.ceil(TIMES * spent) / TIMES
        elif every is None and not at and length:
            every = math.ceil(length / TIMES)
        self._every = every or 0

    def left(self, update: int) -> float:
        """The number of updates until it may be due."""
        after = next((n for n in self._at if n > update), math.inf) - update
        return min(after, self._every - update % self._every if self._every else math.inf)

    def now(self, update: int, spent: float, at_end: bool = False) -> bool:
        """Whether it is due after so many updates, and this fraction of the time."""
        due = not update % self._every if self._every else spent >= self._next
        if spent >= self._next:
            self._next = (math.floor(TIMES * spent) + 1) / TIMES
        return update in self._at or (due and not (at_end and self._chosen))


def due(config: dict[str, Any], at: Sequence[int], length: int | None,
        spent: float | None) -> tuple[Due, Due]:
    """When samples are due, and when the callback is."""
    every, calls = config["sample_every"], config["callback_every"]
    samples = Due(every, at, length, spent)
    if calls is None and every != 0:
        return samples, Due(every, at, length, spent)
    return samples, Due(calls, (), length, spent)


def in_updates(samples_at: Sequence[int | str] | None, updates_per_epoch: int) -> list[int]:
    """The numbers of updates that the setting `samples_at` names."""
    return [int(n[:-1]) * updates_per_epoch if isinstance(n, str) else n for n in samples_at or ()]


def check_reached(samples_at: Sequence[int | str] | None, at: Sequence[int],
                  planned: int | None) -> None:
    """Warn of samples after the end of a run of so many updates."""
    late = [str(name) for name, n in zip(samples_at or (), at, strict=True)
            if n > (planned or math.inf)]
    if late:
        warnings.warn(f"samples_at: the run ends after {planned:,} updates, before "
                      f"{', '.join(late)}: train longer, or leave that out", stacklevel=5)


def generate(model: Model, reading: Reading, state: NDArray[Any], position: int,
             rng: np.random.Generator, length: int) -> str:
    """The text of `Trainer.sample`, of a run with these states (N, P) and this position."""
    vocabulary = model.text_vocabulary
    if vocabulary.stop is not None:
        names = model.config["labels"]
        labels = names and [names[c] for c in rng.integers(len(names), size=RECORDS)]
        texts = model.sample(length, n=RECORDS, label=labels, seed=int(rng.integers(2**31)))
        if labels:
            texts = [f"{label}: {text}" for label, text in zip(labels, texts, strict=True)]
        return "\n".join(texts)
    position = 0 if reading.order else position
    start = state[:1].copy() if position else model.zero_state()
    ids = model.draw(positive_int("length", length), start,
                     [int(reading.arrays["ids"][position])], 1.0, rng)
    return vocabulary.decode(ids[:, 0])
