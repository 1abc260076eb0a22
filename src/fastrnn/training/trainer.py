"""The training loop: updates, and what is due between them."""

import os
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from ..data.source import Source, note_long_rows
from ..files.store import DAMAGE, Tensors, check_writable, damaged, write
from ..kernels.blas import one_thread, threads_for
from ..kernels.team import no_fork
from ..model.history import MEASURES, History
from ..model.labels import counted
from ..model.model import Model
from ..model.scoring import accuracy, row_weights
from ..presets import PLAN
from ..settings import TrainerSettings, checked, documented
from .checkpoint import checksum, read_repeatable, read_run, same_isa
from .configuration import check_fit, configuration
from .divergence import LEAST_FACTOR, WORTHLESS, diagnose
from .events import Events
from .interrupts import Interrupts
from .plan import Plan, Stopwatch
from .samples import check_reached, generate, in_updates
from .scaled import scaling_of, worse_than_mean
from .schedule import learning_rates
from .teaching import same_teacher, taught
from .updates import Updates
from .validation import Validation, divided, same_validation


@documented(TrainerSettings)
class Trainer:
    """Trains a model on a text, records or sequences. Each call of `run` continues where the last
    one ended.

    A text is cut into batch_size equal streams, read side by side from left to right in windows of
    seq_length; the hidden state is carried from each window to the next. An epoch ends when
    position + seq_length + 1 >= the stream's length; then state and position start again at zero.
    With order="shuffled" an epoch has the windows that start at every offset, batch_size of them in
    an update, in a new random order, each from the zero state; fewer than batch_size that remain at
    the end of an epoch are left out.

    Numbers are scaled by their means and standard deviations in the training data, unless the model
    was trained before: then its `Model.scaling`, or none, stays.

    Long sequences with a seq_length below their number of steps are read in the same manner, in
    windows of that length: batch_size streams side by side, each with equally many windows of one
    sequence after the other, the state carried within a sequence. The last window of a sequence may
    be shorter, and the order of the sequences is a new one in each epoch.

    An epoch of records, or of sequences that are read whole, has all of them, in a new random
    order, each from the zero state; one batch is smaller where they cannot be divided evenly, and
    the loss is the mean over the batch. The records of a batch have about the same length, so that
    there is little padding.

    Parameters
    ----------
    model : Model
        Trained in place.
    corpus : Corpus or Sequences
        Training data with the model's vocabulary, or its sizes.
    **settings
        `TrainerSettings`.

    Attributes
    ----------
    model, corpus
    config : dict
        All settings, defaults filled in. Of records, and of sequences that are read whole,
        seq_length is the number of steps of the longest.
    threads : int
        The most threads that share a batch: no more than this process may use cores.
    history : History
        ``history.loss`` and ``history.smooth_loss`` of every update, ``history.valid_loss`` of
        every validation.
    update, epoch, position : int
        Updates and epochs completed; where in each stream the next window starts (symbols) or, for
        a shuffled text, records or sequences, also in windows, updates made in this epoch.
    updates_per_epoch : int
    seconds : float
        How much of `minutes` is spent, in seconds; 0 without them.
    state : ndarray, shape (N, P)
        Hidden state of the N streams after the last window (`Model.state` says what P is). The next
        window starts from it, or from zero where position is 0.
    best_loss : float
        With valid_fraction the lowest validation loss (of one prediction), else the lowest smoothed
        loss (of a window) at a multiple of 100 updates; infinity before the first.
    best_update : int
        Number of updates before best_loss; 0 before the first.

    Raises
    ------
    ValueError
        A text too short for one window and its targets (the message says how long it must be),
        fewer sequences than batch_size, a text or sequences that the model cannot read or predict,
        or an argument outside its range.
    OSError
        The checkpoint cannot be written.
    """

    def __init__(self, model: Model, corpus: Source, **settings: Unpack[TrainerSettings]) -> None:
        if not isinstance(model, Model) or not isinstance(corpus, Source):
            raise TypeError("Trainer takes a fastrnn.Model and a fastrnn.Corpus or Sequences, not "
                            f"{type(model).__name__} and {type(corpus).__name__}: make a corpus "
                            "with Corpus.from_file or Corpus.from_text")
        given = checked(TrainerSettings, dict(settings), "Trainer")
        model.check(corpus)
        self.model, self.corpus = model, corpus
        source = corpus.in_windows(settings.get("seq_length"))
        self.config = configuration(given, source)
        self.progress, self.checkpoint = given["progress"], given["checkpoint"]
        self.overwrite: bool = given["overwrite"]
        self.callback: Callable[[Trainer], Any] | None = given["callback"]
        self.threads: int = threads_for(given["threads"])
        self._source, held_out = divided(source, model, self.config, given["valid"])
        scaling = scaling_of(model, self._source, self.config)
        self._reading = self._source.scaled(scaling).reading(
            self.config, model.config["labels"], model.block.dtype)
        self._reading, self._taught_by = taught(self._reading, model, given["teacher"])
        self.updates_per_epoch = self._reading.updates_per_epoch
        check_fit(self.config, model, corpus, self.planned)
        self._samples_at = in_updates(self.config["samples_at"], self.updates_per_epoch)
        if self.checkpoint is not None:
            check_writable(self.checkpoint, self.overwrite)
        model.scaling, model.continues = scaling, source.targets_continue()
        history = model.history = History(
            seq_length=self._reading.predictions, updates_per_epoch=self.updates_per_epoch,
            measure=MEASURES[model.config["loss"]],
            one_stream=corpus.vocabulary is not None and self._reading.order is None
            and self.config["batch_size"] == 1 and self.config["schedule"] == "constant")
        self._validation = Validation(held_out, self.config, self.updates_per_epoch,
                                      given["valid"] is not None)
        self._watch = Stopwatch()
        self._over = False  # the plan is completed
        self._initial: Any = checksum(model)  # the parameters from which the run began
        self._digests, self._starts = self._source.digests(), self._source.starts()
        self._label_counts = counted(model.config["labels"], self._source.row_labels())
        self._rates: NDArray[np.float64] | None = None  # of the updates of a run that is repeated
        self._running, self._process = threading.Lock(), os.getpid()
        self._rate_factor = 1.0  # of the learning rates, after runs that diverged
        # where the settings come from: `given` and `chosen` names, the `preset`, a `note`
        self.origin: dict[str, Any] | None = None
        note_long_rows(source, self.config)
        self._updates = Updates(model, self._reading, self.config, history, self.threads,
                                self._validation.every > 0)
        self._events = Events(self, self._updates, given)

    def __reduce__(self) -> Any:
        raise TypeError("a Trainer is neither copied nor pickled, but its model is: take "
                        "trainer.model, or trainer.save(path) and Trainer.from_checkpoint")

    @property
    def history(self) -> History:
        return self._updates.history

    @property
    def state(self) -> NDArray[Any]:
        return self._updates.state

    @property
    def validated_on(self) -> str | None:
        """For fastrnn itself: the name of the validation data of its own, if there are some."""
        return self._validation.stored["name"] if self._validation.stored else None

    @property
    def planned(self) -> int | None:
        """Total number of updates that `updates` or `epochs` ask for; None with `minutes`."""
        if self.config["minutes"]:
            return None
        updates: int | None = self.config["updates"]
        return updates or (self.config["epochs"] or 1) * self.updates_per_epoch

    @property
    def is_over(self) -> bool:
        """Whether the run has come to the end that `epochs`, `updates` or `minutes` ask for, or was
        stopped by `patience`, so that `run()` would make no update."""
        return self._over or (self.planned is not None and self.update >= self.planned)

    @property
    def seconds(self) -> float:
        return self._watch.seconds

    @property
    def update(self) -> int:
        return self._updates.training.update

    @property
    def epoch(self) -> int:
        return self._updates.training.epoch

    @property
    def position(self) -> int:
        return self._updates.training.position

    @property
    def best_loss(self) -> float:
        return float(self._updates.training.counters["best_loss"])

    @property
    def best_update(self) -> int:
        return int(self._updates.training.counters["best_update"])

    def best_model(self) -> Model:
        """A copy of the model with the parameters of `best_loss` (before the first with the present
        ones) and, with valid_fraction, the state of `best_update`, else the present one."""
        best = self._updates.best_model()
        best.run = self._about() | {"at": self.best_update or self.update}
        return best

    def averaged_model(self) -> Model:
        """With weight_average a copy of the model that has the average of its parameters; without
        it, and before the first update, the model itself."""
        return self._updates.averaged_model()

    def run(self, updates: int | None = None) -> None:
        """Train for so many updates or, where not given, to the end of the plan: `planned` updates,
        or `minutes` (whose end also ends a run of so many updates).

        Ctrl-C takes effect between updates: the checkpoint is written if there is one, then
        KeyboardInterrupt is raised, and the next `run` continues.

        Raises
        ------
        ValueError
            More updates than planned with the cosine schedule: their learning rate would be 0.
        DivergenceError
            The loss is no longer finite, or far above that of guessing. The trainer, the model and
            the checkpoint are back at the last good state.
        RuntimeError
            The trainer is running in another thread.
        KeyboardInterrupt
        OSError
            The checkpoint could not be written at the end; before, that is a warning.
        """
        if self._process != os.getpid():  # a fork's child, without the thread that was running it
            self._running, self._process = threading.Lock(), os.getpid()
        if not self._running.acquire(blocking=False):
            raise RuntimeError("this trainer is running already, in another thread or around the "
                               "callback that calls run: wait for it, or make a second Trainer "
                               "with a Model of its own")
        try:
            with Interrupts(self.progress) as interrupted:
                self._run(updates, interrupted)
        finally:
            self._running.release()
        interrupted.deliver()
        if self.history.stopped == "interrupted":
            raise KeyboardInterrupt  # a callback's
        if self.callback and self.history.stopped != "callback":
            self.callback(self)

    def _run(self, updates: int | None, interrupted: Callable[[], bool]) -> None:
        """`run`, while no signal is handled."""
        # a random order is drawn, and the accuracy measured, between two epochs
        epoch = self.updates_per_epoch if self.config["accuracy"] or self._reading.order else 0
        plan = Plan(self.config, self.update, updates, self.planned, epoch, self._validation,
                    self._watch, self._samples_at, self._events.every)
        if plan.whole:
            check_reached(self.config["samples_at"], self._samples_at, self.planned)
        for model in self.model, self._updates.averaged:
            model.known = np.union1d(model.known, self._digests)
            model.starts, model.label_counts = self._starts, self._label_counts
        self._updates.begin()
        self._events.begin(plan)
        if self.config["minutes"]:
            self._watch.start()
        stop = "error"
        try:
            with one_thread(), self._events.shown(self.progress):
                stop = self._loop(plan, interrupted)
        except KeyboardInterrupt:  # a callback's
            stop = "interrupted"
        finally:  # whatever ends the run, a callback's error too, nothing is lost
            self._watch.stop()
            with no_fork, self.model.lock:
                self.model.state[:] = self.state[:1]
            self.model.run = self._about() | {"at": self.update}
            self._over = plan.whole and stop in ("finished", "patience")
            try:
                self._save(at_end=stop != "error")
            finally:
                self._updates.end()
                self.history.stopped = "interrupted" if interrupted() else stop
                self._events.end(self.history.stopped)
        worse = self._over and worse_than_mean(
            self.averaged_model(), self._source, self._validation.source, self.history)
        if worse:
            warnings.warn(worse, stacklevel=3)

    def _loop(self, plan: Plan, interrupted: Callable[[], bool]) -> str:
        """Train until something ends the run, and return what it was."""
        while True:
            if self._validation.is_due(self.update) and not self._validate(interrupted):
                return "interrupted"
            if self.config["accuracy"] and len(self.history.accuracy) < self.epoch:
                self._measure_accuracy()
            stop = ("patience" if self._validation.patience_is_over(self.history) else
                    "finished" if plan.is_over(self.update) else "")
            if stop == "finished" and (plan.whole or self._updates.good.is_due()) \
                    and self._updates.look() > WORTHLESS:
                self._diverged()
                continue
            if plan.sample_is_due(self.update, at_end=bool(stop)):
                self._add_sample()
            if not stop and plan.call_is_due(self.update) and self.callback \
                    and self._updates.ask(self.callback, self):
                stop = "callback"
            if stop:
                break
            self._advance(plan)
            self._events.moved()
            if interrupted():
                return "interrupted"
            if plan.save_is_due(self.update):
                self._save()
                plan.saved()
        if plan.whole and stop != "patience":
            self._validate(interrupted)
            self._events.moved()
        return stop

    def _advance(self, plan: Plan) -> None:
        """Make the updates until something may be due; where they diverge, go back to the last good
        state, or raise DivergenceError there."""
        rates, began = self._learning_rates(plan.updates(self.update), plan), time.perf_counter()
        converges = self._updates.run(rates)
        plan.made(len(rates), time.perf_counter() - began)
        if not converges:
            self._diverged()

    def _diverged(self) -> None:
        """Go back to the last good state and halve the learning rate there, or raise."""
        good, (grads, losses) = self._updates.good, self._updates.tried()
        back = (f"The model is that of update {good.run['counters']['update']:,} again, its last "
                "good state. " if good.arrays else "")
        error = diagnose(self.model, self.update + 1, grads, losses, self.config, self._source,
                         back)
        if good.arrays:
            self._updates.go_back()
        ends = (self.config["on_divergence"] == "raise" or not good.arrays
                or self._rate_factor < LEAST_FACTOR)
        self._rate_factor /= 1 if ends else 2
        self._events.diverged(error, None if ends else self._rate_factor)
        if ends:
            raise error
        warnings.warn(f"training diverged at update {error.update:,}: it goes on from update "
                      f"{self.update:,} with {self._rate_factor:g} times the learning rate",
                      stacklevel=5)

    def sample(self, length: int = 200) -> str:
        """Generate `length` symbols, as min-char-rnn does: from the hidden state of the first
        stream and the first symbol of its next window, with the trainer's random generator. A model
        of records generates a few records of at most `length` symbols, one per line, with random
        labels.

        Raises
        ------
        ValueError
            A model of sequences, which generates no text.
        """
        return generate(self._updates.averaged, self._reading, self.state, self.position,
                        self._updates.rng, length)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the model and all that `train(..., resume=path)` needs to continue bit for bit.

        Parameters
        ----------
        path : str or path-like
        overwrite : bool
            Whether a file that fastrnn did not write may be replaced.

        Raises
        ------
        OSError
            The file cannot be written; an earlier file of this name is unchanged.
        RuntimeError
            An error has come between an update and its record, so that the run cannot continue.
        """
        # in another thread than `run`: after the updates that are under way
        with no_fork, self.model.lock:
            if len(self.history) != self.update:
                raise RuntimeError(f"{self.update} updates were made, and the losses of "
                                   f"{len(self.history)} recorded: load the last checkpoint")
            tensors, about = self.model.stored(self.history)
            more, run = self.stored()
            write(path, tensors | more, about | {"trainer": run}, overwrite=overwrite)

    def stored(self) -> tuple[Tensors, dict[str, Any]]:
        """For fastrnn itself: what a checkpoint stores of the run besides the model: tensors, and a
        dict for JSON."""
        tensors, run = self._updates.stored()
        return tensors, self._about() | run | {
            "seconds": self.seconds, "over": self._over, "rate_factor": self._rate_factor}

    def _about(self) -> dict[str, Any]:
        """What a model knows of the run that trained it, in the words of a checkpoint."""
        return {
            "config": self.config, "counters": dict(self._updates.training.counters),
            "initial": self._initial, "isa": self._updates.isa,
            "origin": self.origin, "valid": self._validation.stored, "teacher": self._taught_by,
            "text": {"name": self.corpus.name, "fingerprint": self.corpus.fingerprint()}}

    @classmethod
    def repeating(
        cls, path: str | os.PathLike[str], corpus: Source, **changes: Unpack[TrainerSettings]
    ) -> "Trainer":
        """A trainer that makes the run of a checkpoint again from its start, bit for bit: as many
        updates with the same learning rates, also where `minutes` decided about both.

        Parameters
        ----------
        path : path-like
        corpus : Corpus or Sequences
            The same training data.
        **changes
            Settings of `Trainer` that say what to show and write, and the threads.

        Raises
        ------
        OSError, ValueError
            As `Trainer.from_checkpoint`; or the run had no seed, was made by fastrnn 0.1, or
            started from another model's weights.
        """
        model, run, rates = read_repeatable(path, corpus)
        plan = dict.fromkeys(PLAN) | {"updates": len(rates)}
        # warm-up and schedule are in the rates
        valid = _same_data(path, run, changes, model)
        config = _settings_of(path, model, corpus, run, valid) | {"warmup": 0} | plan
        trainer = cls(model, corpus, **(config | changes | {"valid": valid}))
        trainer._rates, trainer.origin = rates, run["origin"]
        return trainer

    @classmethod
    def from_checkpoint(
        cls, path: str | os.PathLike[str], corpus: Source, **changes: Unpack[TrainerSettings]
    ) -> "Trainer":
        """A trainer that continues the run of a checkpoint, bit for bit.

        Parameters
        ----------
        path : path-like
        corpus : Corpus or Sequences
            The same training data as in the first part of the run.
        **changes
            Settings of `Trainer` that may differ from the first part of the run: how long to
            train, what to show and write.

        Raises
        ------
        OSError, ValueError
            As `fastrnn.load`; or the training data differ, or the file holds no training run.
        """
        model, tensors, run = read_run(path, corpus)
        model.isa = same_isa(run["isa"], model.config["dtype"])
        valid = _same_data(path, run, changes, model)
        history, config = model.history, _settings_of(path, model, corpus, run, valid)
        if any(changes.get(name) for name in PLAN):
            config = config | dict.fromkeys(PLAN)
        trainer = cls(model, corpus, **(config | changes | {"valid": valid}))
        try:
            trainer._updates.restore(tensors, run)
        except DAMAGE as error:
            raise damaged(path, error) from None
        trainer._updates.history = model.history = history
        trainer._watch.spent = run["seconds"]
        trainer._initial, trainer._rate_factor = run["initial"], run["rate_factor"]
        trainer.origin = run["origin"]
        trainer._over = run["over"] and not any(
            changes.get(name) for name in (*PLAN, "patience"))
        return trainer

    def __repr__(self) -> str:
        return (f"<Trainer of {self.model!r} on {self.corpus.name!r}: {self.update} updates, "
                f"{self.epoch} epochs>")

    def _learning_rates(self, n: int, plan: Plan) -> NDArray[np.float64]:
        """The learning rates of the next n updates."""
        if self._rates is not None:
            return self._rates[self.update : self.update + n]
        return self._rate_factor * learning_rates(
            self.config, self.update, n, self.updates_per_epoch, self.planned, plan.fraction)

    def _measure_accuracy(self) -> None:
        """Append the accuracy on the training data: of the streams of a text from their present
        states, of a shuffled text as one stream from the zero state."""
        state, streams = self.state, self.config["batch_size"]
        if self._reading.order:
            state, streams = self.model.zero_state(), 1
        self.history.add_accuracy(accuracy(
            self._updates.averaged, self._source, state, row_weights(self.model, self._source),
            threads=self.threads, streams=streams, steps=self.config["seq_length"]))
        self._events.tell("accuracy", accuracy=float(self.history.accuracy[-1]), epoch=self.epoch)

    def _validate(self, interrupted: Callable[[], bool]) -> bool:
        """Validate, unless that is done for this update, and keep the parameters if they are the
        best so far. Returns False if Ctrl-C ended the validation early."""
        if not self._validation.every or self.update in self.history.valid_updates[-1:]:
            return True
        loss = self._validation.loss(
            self._updates.averaged, self.state, self.threads, interrupted)
        if loss is None:
            return False
        self._updates.note_validation(loss)
        self._events.validated(loss)
        return True

    def _save(self, at_end: bool = False) -> None:
        """Write the checkpoint if there is one, but never a state that is worthless over a good
        one. Before the end an error is a warning, since the next save may succeed."""
        if self.checkpoint is None:
            return
        if self._updates.look() > WORTHLESS:
            self._events.warn("worthless", f"the state after update {self.update:,} is not saved: "
                              "its loss is far above that of guessing", stacklevel=7)
            if not at_end or not self._updates.good.arrays:
                return
            self._updates.go_back()
        try:
            self.save(self.checkpoint, overwrite=self.overwrite)
        except OSError as error:
            if at_end:
                raise
            self._events.not_saved(error)
        else:
            self._events.saved(self.checkpoint)

    def _add_sample(self) -> None:
        """Generate a sample for the history and the screen, if that is not done for this update."""
        history = self.history
        if not self.model.vocabulary or [at for at, _ in history.samples[-1:]] == [self.update]:
            return
        history.add_sample(self.update, self.sample(self.config["sample_length"]))
        self._events.tell("sample", text=history.samples[-1][1])


def _same_data(path: str | os.PathLike[str], run: dict[str, Any], changes: Mapping[str, Any],
               model: Model) -> Source | None:
    """The validation data of its own of a run that is continued or repeated; ValueError unless they
    and the teacher are those of the file."""
    same_teacher(path, run["teacher"], changes.get("teacher"), model)
    return same_validation(path, run["valid"], changes.get("valid"), model)


def _settings_of(path: str | os.PathLike[str], model: Model, corpus: Source,
                 run: dict[str, Any], valid: Source | None) -> Any:
    """The settings of a stored run; ValueError for those that no trainer would have stored."""
    config = run["config"]
    try:
        if Trainer(model, corpus, **config, valid=valid).config != config:
            raise ValueError("these are not a trainer's settings")
    except DAMAGE as error:
        raise damaged(path, error) from None
    return config
