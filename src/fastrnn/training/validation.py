"""The validation data, the validation loss, and when to compute it."""

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.corpus import Corpus
from ..data.source import Source
from ..model.history import History
from ..model.model import Model
from ..model.scoring import read, row_weights
from .leading import leading


def divided(corpus: Source, model: Model, config: Mapping[str, Any],
            valid: Any) -> tuple[Source, Source | None]:
    """What a run trains on, and what it is validated on: data of one's own, a part of the corpus,
    or None."""
    if valid is not None:
        return corpus, validation_data(valid, model)
    fraction, seed, split = config["valid_fraction"], config["seed"] or 0, config["valid_split"]
    if not fraction:
        return corpus, None
    other = () if split == corpus.splits[0] else (split,)
    return corpus.hold_out(fraction, seed, *other)


def validation_data(given: Any, model: Model) -> Source:
    """Validation data of one's own as a source with the model's vocabulary; ValueError or TypeError
    for what the model cannot read or predict, OSError for a file that cannot be read."""
    vocabulary = model.vocabulary
    if isinstance(given, str | bytes | os.PathLike):
        if vocabulary is None:
            raise TypeError("valid must be Sequences for a model of sequences, not a text")
        if vocabulary.stop is not None and model.config["labels"]:
            raise TypeError("valid must be a Corpus for a model of records with labels: make one "
                            "with Corpus.from_table(path, vocabulary=corpus.vocabulary)")
        read = Corpus.from_file if vocabulary.stop is None else Corpus.from_lines
        given = read(given, vocabulary=vocabulary)  # type: ignore[arg-type]
    if not isinstance(given, Source):
        raise TypeError("valid must be the path of a text, a Corpus or Sequences, not "
                        f"{type(given).__name__}")
    source = given if vocabulary is None else given.in_vocabulary(vocabulary)
    model.check(source)
    if source.predictions < 1:
        raise ValueError(f"valid must have at least 2 symbols, and {source.name} has 1")
    return source


def same_validation(path: str | os.PathLike[str], stored: Mapping[str, str] | None, given: Any,
                    model: Model) -> Source | None:
    """The validation data of a run that is continued or repeated; ValueError unless it is that of
    the file, where `stored` are its name and fingerprint."""
    if stored is None and given is not None:
        raise ValueError(f"{str(path)!r} was made without validation data of its own: leave valid "
                         "out, or start afresh")
    if stored is None:
        return None
    if given is None:
        raise ValueError(f"{str(path)!r} was validated on {stored['name']!r}: valid must be that "
                         "data again")
    source = validation_data(given, model)
    if source.fingerprint() != stored["fingerprint"]:
        raise ValueError(f"{str(path)!r} was validated on {stored['name']!r}, and {source.name!r} "
                         "is not the same: valid must be the same data")
    return source


class Validation:
    """When a validation is due, and the validation loss.

    `source` is the validation data, or None. `every` is the number of updates from one validation
    to the next; 0: there are none."""

    def __init__(self, source: Source | None, config: dict[str, Any],
                 updates_per_epoch: int, own: bool = False) -> None:
        self._config, self.source = config, source
        # of data of its own, for a checkpoint
        self.stored = {"name": source.name, "fingerprint": source.fingerprint()} if (
            own and source) else None
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
            losses.size - 1 - np.where(np.isnan(losses), np.inf, losses).argmin()
            >= self._config["patience"])

    def seconds(self, pace: float) -> float:
        """How long a validation takes, if an update takes `pace` seconds."""
        if self._seconds is not None or not self.source:
            return self._seconds or 0.0
        trained = self._config["seq_length"] * self._config["batch_size"]  # in an update
        # a forward pass alone takes about a third of an update; half is on the safe side
        return float(pace * self.source.predictions / trained / 2)

    def loss(
        self, model: Model, state: NDArray[Any], threads: int,
        stop: Callable[[], bool] = lambda: False,
    ) -> float | None:
        """Mean loss of one prediction, without dropout; None if `stop`, called after each batch,
        returns True. Streams of a text start from the training states (N, P): some models, which
        meet the zero state once an epoch, do not recover from it."""
        if not self.source:
            return None
        start, total, count, leader = time.perf_counter(), 0.0, 0, leading.get()
        for batch, losses, _ in read(
                model, self.source, state, row_weights(model, self.source), threads=threads,
                streams=self._config["batch_size"], steps=self._config["seq_length"],
                unroll=leader.unroll if leader else None):
            if stop():
                return None
            total, count = total + float(losses.sum()), count + batch.predictions
        self._seconds = time.perf_counter() - start
        return total / count
