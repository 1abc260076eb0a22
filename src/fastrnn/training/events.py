"""What happens in a training run, told to all who want to know: the bar, a log, TensorBoard, and
functions of users."""

import contextlib
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ..kernels.build import build_info
from .bar import Bar, status
from .divergence import DivergenceError
from .log import Log
from .plan import Plan
from .tensorboard import TensorBoard
from .updates import Updates

PAUSE, THINNED = 0.1, 1000  # progress at most once in 0.1 s, and in a thousandth of the time so far
EFFORT = 100  # and at most 1 / EFFORT of the time goes into the numbers


@dataclass(frozen=True)
class Event:
    """Something that has happened in a training run.

    Attributes
    ----------
    kind : str
        "started", "resumed", "progress", "validation", "accuracy", "sample", "saved", "diverged" or
        "ended"; docs/guides/watching.md says what `values` each has.
    update : int
        Number of updates made. Below that of an earlier event where the run went back: after a
        divergence, or where it was resumed from a checkpoint.
    time : float
        Seconds since 1970.
    seconds : float
        Seconds since this call of `Trainer.run` began.
    values : dict
        What is known of it: numbers, texts, lists and dicts of them.
    trainer : Trainer
        Whose run it is, with its model and its history.
    """

    kind: str
    update: int
    time: float
    seconds: float
    values: dict[str, Any]
    trainer: Any = field(repr=False, compare=False)


class Events:
    """Tells the events of a trainer's runs to the listeners, functions of one `Event`; `given` are
    the trainer's settings, and progress is told after `every` so many updates. OSError or
    ImportError where a listener could not write."""

    def __init__(self, trainer: Any, updates: Updates, given: dict[str, Any]) -> None:
        self._trainer, self._updates, self.every = trainer, updates, given["log_every"]
        self._listeners: list[Callable[[Event], Any]] = []
        if given["log"] is not None:
            self._listeners.append(Log(given["log"], given["overwrite"]))
        if given["tensorboard"] is not None:
            self._listeners.append(TensorBoard(given["tensorboard"]))
        if given["on_event"] is not None:
            self._listeners.append(given["on_event"])

    def begin(self, plan: Plan) -> None:
        """A run begins."""
        self._plan, self._began = plan, time.perf_counter()
        self._last, self._made, self._next = self._trainer.update, plan.work, 0.0
        self._warned: set[str] = set()
        self._reached = 0  # the listener that is being told
        self._handled = sys.exception()  # where `run` was called while an error is handled
        try:
            if self._listeners:
                self.tell("resumed" if self._last else "started", **about(self._trainer))
        except BaseException as error:
            if self._reached:  # those before it know of a run, and hear of its end
                self._ended("interrupted" if isinstance(error, KeyboardInterrupt) else "error")
            raise

    @contextlib.contextmanager
    def shown(self, shown: bool) -> Iterator[None]:
        """A context in which there is a bar."""
        plan = self._plan
        with Bar(shown, plan.length, plan.at(self._trainer.update)) as self._bar:
            yield

    def moved(self) -> None:
        """Updates were made: move the bar, and tell of the progress if that is due."""
        plan, trainer = self._plan, self._trainer
        text = ""
        if self._bar.shown and plan.pace:
            text = status(trainer.history, trainer.corpus.unit,
                          trainer.update / trainer.updates_per_epoch,
                          plan.pace * self._updates.predictions)
        self._bar.move(plan.at(trainer.update), text)
        due = (trainer.update % self.every == 0 if self.every
               else time.perf_counter() >= self._next)
        if due and self._listeners:
            self._progress()

    def _progress(self) -> None:
        """Tell of the updates since the last time, if there are any."""
        trainer, began = self._trainer, time.perf_counter()
        made = trainer.update - min(self._last, trainer.update)
        if made:
            work = self._plan.work
            updates, seconds = (now - then for now, then in zip(work, self._made, strict=True))
            self._last, self._made = trainer.update, work
            pace = updates / seconds * self._updates.predictions
            measured = self._updates.measured(made)
            now = time.perf_counter()
            self._next = now + max(PAUSE, (now - self._began) / THINNED, EFFORT * (now - began))
            self.tell("progress", **measured, predictions_per_second=pace)

    def tell(self, kind: str, **values: Any) -> None:
        """Tell all listeners."""
        if kind == "sample":
            trainer = self._trainer
            self._bar.print_sample(values["text"], trainer.history, trainer.corpus.unit)
        if self._listeners:
            event = Event(kind, self._trainer.update, time.time(),
                          time.perf_counter() - self._began, values, self._trainer)
            for place, listener in enumerate(self._listeners):
                self._reached = place
                listener(event)

    def validated(self, loss: float) -> None:
        """A validation had this loss of one prediction."""
        self.tell("validation", loss=loss, best=self._trainer.best_loss,
                  best_update=self._trainer.best_update)

    def diverged(self, error: DivergenceError, factor: float | None) -> None:
        """The run has diverged, and is back at its last good state; from there it goes on with
        `factor` times the learning rate, or where that is None it ends."""
        self._last = min(self._last, self._trainer.update)
        if self._listeners:
            self.tell("diverged", at=error.update, loss=error.loss, tensor=error.tensor,
                      gradient_norm=error.gradient_norm, learning_rate_factor=factor,
                      message=str(error))

    def saved(self, path: str | os.PathLike[str]) -> None:
        """A checkpoint was written."""
        self._warned -= {"save", "worthless"}
        self.tell("saved", path=os.fspath(path))

    def not_saved(self, error: OSError) -> None:
        """A checkpoint could not be written."""
        self.warn("save", f"{error}; the training goes on and tries again", stacklevel=8)

    def end(self, stopped: str) -> None:
        """The run has ended, because of the error that is under way if there is one."""
        if self._listeners:
            try:
                self._progress()
            finally:
                self._ended(stopped)

    def _ended(self, stopped: str) -> None:
        error = sys.exception()
        more = {} if error in (None, self._handled) else {
            "error": f"{type(error).__name__}: {error}"}
        self.tell("ended", stopped=stopped, **more)

    def warn(self, what: str, text: str, stacklevel: int) -> None:
        """Warn, if there was no warning of this name in this run, or since a save."""
        if what not in self._warned:
            self._warned.add(what)
            warnings.warn(text, stacklevel=stacklevel)


def about(trainer: Any) -> dict[str, Any]:
    """What a run is: its data, its settings, and the machine."""
    model, corpus, measure = trainer.model, trainer.corpus, trainer.history.measure[0]
    return {
        "source": corpus.name, "source_kind": corpus.kind, "unit": corpus.unit,
        "loss_unit": f"nats per {corpus.unit}" if measure == "nats" else measure,
        "parameters": model.block.size, "updates_per_epoch": trainer.updates_per_epoch,
        "planned_updates": trainer.planned, "threads": trainer.threads,
        "checkpoint": trainer.checkpoint and os.fspath(trainer.checkpoint),
        "settings": {**model.config, **trainer.config}, "origin": trainer.origin,
        "build": build_info()}
