"""The training loop: reads a text in windows, or sequences, update after update."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from . import _core
from .batches import Order, RecordBatches, SequenceBatches, TextBatches
from .blas import cores, one_thread
from .checkpoint import DAMAGE, check_writable, damaged, expect, read, save_model
from .corpus import Corpus
from .history import MEASURES, History
from .model import Model
from .optim import BETAS, DECAY_RATE, LEARNING_RATES
from .schedule import SCHEDULES, learning_rates
from .sequences import Sequences
from .validate import choice, positive_float, positive_int, share
from .validation import Validation

PAUSE = 0.1  # seconds between looks at the clock, the keyboard and the progress bar
CHECKPOINT_PAUSE = 60.0  # seconds between checkpoints where checkpoint_every does not say
SAMPLES = 10  # shown in a run where sample_every does not say
NEVER = 2**62  # updates
ORDERS = ("stream", "shuffled")
BALANCES = (None, "labels")
RECORDS = 5  # that a sample shows
SEQ_LENGTH = 25  # of a text


class Trainer:
    """Trains a model on a corpus or on sequences; `run` may be called again and goes on where it
    stopped.

    The text is cut into batch_size equal streams, read side by side from left to right in windows
    of seq_length; the state goes from window to window. An epoch ends when position + seq_length +
    1 >= the stream's length; state and position then start again at zero. In the order "shuffled"
    an epoch has the windows that start at every offset, batch_size of them in an update, in a new
    random order, and each starts from the zero state; those left over at its end are left out.

    Of sequences or records an epoch has all, in a new random order, each from the zero state; one
    batch has those that are left over, and the loss is the mean over them. A batch of records has
    such of about the same length, so that little is padded.

    Parameters
    ----------
    model : Model
        Changed in place.
    corpus : Corpus or Sequences
        With the model's vocabulary, or its sizes.
    seq_length : int
        T, symbols of a text in one unroll; sequences have their own.
    batch_size : int
        N, streams or sequences side by side.
    order : {"stream", "shuffled"}
        Of a text, see above.
    balance : {"labels"}, optional
        Of records: draw each label equally often, the records of rare ones again and again.
    optimizer : {"adagrad", "rmsprop", "adam", "sgd"}
    learning_rate : float, optional
        0.1 for adagrad and sgd, 0.001 for rmsprop and adam where not given.
    learning_rate_decay : float
        Factor in (0, 1] by which the learning rate falls when learning_rate_decay_after epochs are
        completed, and again every learning_rate_decay_every epochs. karpathy/char-rnn: 0.97 after
        10, every 1; jcjohnson/torch-rnn: 0.5 after 5, every 5. 1: it does not fall.
    learning_rate_decay_after, learning_rate_decay_every : int
        Epochs.
    schedule : {"constant", "cosine"}
        "cosine": the rate falls to 0 along half a cosine, from the end of the warm-up to the end
        of the plan; with `minutes` over the time. A plan made longer later stretches it.
    warmup : int
        Updates over which the rate rises linearly from learning_rate / warmup to learning_rate.
    momentum : float
        In [0, 1), of sgd: v = momentum v + g, and the step is learning_rate v.
    decay_rate : float
        In [0, 1), of rmsprop: the share that the mean of the squared gradients keeps in an update.
    clip_value : float or None
        Each gradient entry is cut to [-clip_value, clip_value].
    clip_norm : float or None
        All gradients are scaled to this norm where theirs, taken together, is above it; before
        clip_value.
    epochs, updates : int, optional
        How long `run()` goes, counted from the very start; one epoch where nothing is given.
    minutes : float, optional
        In place of them: how long `run()` takes, with the last validation. When it is called
        again, or resumed, it goes on with what is left.
    valid_fraction : float
        In [0, 1): this share of the text or of the sequences, the tail, is not trained on but
        scored after each epoch and at the end of `run()`; `best_model` is the one with the lowest
        score. The tail of a text is read in batch_size streams (fewer where it is short), from the
        states that training carried on; there is no dropout. Of records it is not the tail but a
        random part, which `seed` chooses. Scores are cross-entropies whatever is trained with.
    valid_every : int, optional
        Updates between validations, in place of an epoch.
    patience : int, optional
        The run stops when so many validations after the lowest have not been lower.
    accuracy : bool
        After each epoch, find the share of the symbols of the training text, or of the targets that
        count, that the model, given those before, thinks likeliest (``history.accuracy``); without
        dropout, a text in batch_size streams that go on from the carried states, or shuffled in one
        go from the zero state.
    threads : int or None
        None: as many as this process may use. Any number gives the same bits.
    seed : int or None
        Of the generator that draws the samples shown during training, and from which those of
        dropout and of the order of windows or sequences are made.
    progress : bool
        Show a bar on standard error and, of a text, samples on standard output.
    sample_every : int, optional
        Show a sample before update 0 and every so many updates; 0: never. Where not given: ten
        over the planned run.
    sample_length : int
        Symbols in each of them.
    checkpoint : path-like, optional
        A ``.safetensors`` file to write while running and at the end.
    checkpoint_every : int, optional
        Updates between checkpoints; where not given one a minute.
    callback : callable, optional
        Called as callback(trainer) where a sample is due (shown or not) and at the end of a run;
        a true result ends the run.

    Attributes
    ----------
    model, corpus
    history : History
        ``history.loss`` and ``history.smooth_loss``, an entry per update; ``history.valid_loss``.
    update, epoch, position : int
        Updates and epochs completed; where in each stream the next window starts (symbols), or of
        a shuffled text or sequences the updates of this epoch.
    updates_per_epoch : int
    seconds : float
        Spent of `minutes` so far; 0 without them.
    state : ndarray, shape (N, P)
        After the last window (`Model.state` says what P is). The next one starts from it, or from
        zero where position is 0.
    best_loss : float
        With valid_fraction the lowest validation loss (of a prediction), else the lowest smoothed
        loss (of an unroll) at a multiple of 100 updates; infinity before the first.
    best_update : int
        When that was; 0 before the first.

    Raises
    ------
    ValueError
        A text too short for one window and its targets (the message says how long it must be),
        fewer sequences than batch_size, a text or sequences that the model cannot read or predict,
        or an argument outside its range.
    OSError
        The checkpoint cannot be written.
    """

    def __init__(
        self,
        model: Model,
        corpus: Corpus | Sequences,
        *,
        seq_length: int = SEQ_LENGTH,
        batch_size: int = 1,
        order: str = "stream",
        balance: str | None = None,
        optimizer: str = "adagrad",
        learning_rate: float | None = None,
        learning_rate_decay: float = 1.0,
        learning_rate_decay_after: int = 10,
        learning_rate_decay_every: int = 1,
        schedule: str = "constant",
        warmup: int = 0,
        momentum: float = 0.0,
        decay_rate: float = DECAY_RATE,
        clip_value: float | None = 5.0,
        clip_norm: float | None = None,
        epochs: int | None = None,
        updates: int | None = None,
        minutes: float | None = None,
        valid_fraction: float = 0.0,
        valid_every: int | None = None,
        patience: int | None = None,
        accuracy: bool = False,
        threads: int | None = None,
        seed: int | None = 0,
        progress: bool = True,
        sample_every: int | None = None,
        sample_length: int = 200,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: int | None = None,
        callback: Callable[[Trainer], Any] | None = None,
    ) -> None:
        if not isinstance(model, Model) or not isinstance(corpus, Corpus | Sequences):
            raise TypeError("Trainer takes a fastrnn.Model and a fastrnn.Corpus or Sequences, not "
                            f"{type(model).__name__} and {type(corpus).__name__}: make a corpus "
                            "with Corpus.from_file or Corpus.from_text")
        if callback is not None and not callable(callback):
            raise TypeError(f"callback must be a function of the trainer, not {callback!r}")
        model.check(corpus)
        T = positive_int("seq_length", seq_length)
        whole = corpus if isinstance(corpus, Sequences) else corpus.records
        if whole is not None:
            own = (whole.mask.shape[1] if isinstance(whole, Sequences) else int(whole.steps.max()))
            if T not in (SEQ_LENGTH, own) or order != "stream":
                raise ValueError(f"seq_length and order are for a text: {corpus.name} are read "
                                 f"whole, all {own} steps, in random order")
            T = own
        N = positive_int("batch_size", batch_size)
        choice("optimizer", optimizer, LEARNING_RATES)
        self.config = {
            "seq_length": T,
            "batch_size": N,
            "order": choice("order", order, ORDERS),
            "balance": balance,
            "optimizer": optimizer,
            "learning_rate": (LEARNING_RATES[optimizer] if learning_rate is None
                              else positive_float("learning_rate", learning_rate)),
            "learning_rate_decay": positive_float("learning_rate_decay", learning_rate_decay),
            "learning_rate_decay_after": positive_int("learning_rate_decay_after",
                                                      learning_rate_decay_after),
            "learning_rate_decay_every": positive_int("learning_rate_decay_every",
                                                      learning_rate_decay_every),
            "schedule": choice("schedule", schedule, SCHEDULES),
            "warmup": positive_int("warmup", warmup, least=0),
            "momentum": share("momentum", momentum),
            "decay_rate": share("decay_rate", decay_rate),
            "clip_value": _optional(positive_float, "clip_value", clip_value),
            "clip_norm": _optional(positive_float, "clip_norm", clip_norm),
            "epochs": _optional(positive_int, "epochs", epochs),
            "updates": _optional(positive_int, "updates", updates),
            "minutes": _optional(positive_float, "minutes", minutes),
            "valid_fraction": share("valid_fraction", valid_fraction),
            "valid_every": _optional(positive_int, "valid_every", valid_every),
            "patience": _optional(positive_int, "patience", patience),
            "accuracy": bool(accuracy),
            "seed": None if seed is None else positive_int("seed", seed, least=0),
            "sample_every": (None if sample_every is None
                             else positive_int("sample_every", sample_every, least=0)),
            "sample_length": positive_int("sample_length", sample_length),
            "checkpoint_every": _optional(positive_int, "checkpoint_every", checkpoint_every),
        }
        if balance not in BALANCES:
            raise ValueError(f"balance must be 'labels' or None, not {balance!r}")
        _check_together(self.config)
        self._threads = cores() if threads is None else positive_int("threads", threads)
        self._data: TextBatches | SequenceBatches | RecordBatches
        if isinstance(corpus, Sequences):
            self._data = SequenceBatches(corpus, self.config, model.block.dtype)
        elif corpus.records is not None:
            self._data = RecordBatches(corpus, self.config, model)
        else:
            self._data = TextBatches(corpus, self.config)
        if not isinstance(self._data, RecordBatches) and (balance or model.config["labels"]):
            raise ValueError(f"labels and balance are for records, and {corpus.name} has none")
        if accuracy and model.sizes.output_size:
            raise ValueError("accuracy is for predictions of symbols: leave it out for numbers")
        self.updates_per_epoch = self._data.updates_per_epoch
        if schedule == "cosine" and self.planned is not None and warmup >= self.planned:
            raise ValueError(f"a warmup of {warmup} updates leaves nothing of the {self.planned} "
                             "planned ones to the cosine: give a smaller warmup or a longer plan")
        if checkpoint is not None:
            check_writable(checkpoint)
        self.model, self.corpus = model, corpus
        self.progress, self.checkpoint, self.callback = progress, checkpoint, callback
        self.history = model.history = History(
            seq_length=self._data.predictions, measure=MEASURES[model.config["loss"]])
        self.state = model.zero_state(N)
        self._best, self._best_state = np.zeros_like(model.block), model.zero_state()
        self._validation = Validation(
            self._data.held_out, self.config, self.updates_per_epoch)
        self._rng = np.random.default_rng(seed)
        self._shown = -1  # update at which the last sample was drawn
        self._spent = 0.0  # seconds of `minutes` before the run that goes on
        self._started: float | None = None  # when that one started
        network = model.network(T, N)
        self._order_seed = int(self._rng.integers(2**63)) if self._data.shuffled else 0
        self._order: tuple[int, Order] | None = None  # of which epoch
        self._generators = (self._rng.spawn(len(network.slices)) if model.config["dropout"] else [])
        rule = _core.Optimizer(
            optimizer, **_numbers(self.config), clip_value=self.config["clip_value"],
            clip_norm=self.config["clip_norm"])
        self._memories = [np.zeros_like(model.block) for _ in range(rule.memories)]
        self._training = _core.Training(
            network, rule, model.block, self._memories, self.state, self._best,
            **self._data.arrays, generators=self._generators or None, threads=self._threads,
            best_every=NEVER if self._data.held_out else 100,
            epoch_updates=self.updates_per_epoch if self._data.shuffled else 0)

    @property
    def planned(self) -> int | None:
        """Updates that `run()` goes to, from `updates` or `epochs`; None with `minutes`."""
        if self.config["minutes"]:
            return None
        return self.config["updates"] or (self.config["epochs"] or 1) * self.updates_per_epoch

    @property
    def seconds(self) -> float:
        running = 0.0 if self._started is None else time.perf_counter() - self._started
        return self._spent + running

    @property
    def update(self) -> int:
        return self._training.update

    @property
    def epoch(self) -> int:
        return self._training.epoch

    @property
    def position(self) -> int:
        return self._training.position

    @property
    def best_loss(self) -> float:
        return self._training.counters["best_loss"]

    @property
    def best_update(self) -> int:
        return self._training.counters["best_update"]

    def best_model(self) -> Model:
        """A copy of the model with the parameters of `best_loss`, or the present ones before.

        With valid_fraction its `state` is the one that was carried then, else the last one."""
        best = self.model.copy()
        best.history = self.history.copy()
        if self.best_update:
            best.block[:] = self._best
            if self._validation.every:
                best.state[:] = self._best_state
        return best

    def run(self, updates: int | None = None) -> None:
        """Train for so many updates, or where not given to the end of the plan: `planned` updates,
        or `minutes` (whose end also ends a run of so many updates).

        Ctrl-C is answered between updates: the checkpoint is written where there is one, then
        KeyboardInterrupt is raised, and the trainer can go on.

        Raises
        ------
        ValueError
            More updates than planned under the cosine schedule: their rate would be 0.
        FloatingPointError
            The loss is no longer finite; the parameters are those before that update.
        KeyboardInterrupt
        OSError
            The checkpoint could not be written.
        """
        whole = updates is None
        last = self.planned or NEVER
        if updates is not None:
            end, last = last, self.update + positive_int("updates", updates)
            if self.config["schedule"] == "cosine" and last > end:
                raise ValueError(f"the cosine schedule ends at update {end}, and this run would go "
                                 f"to {last}: give the trainer more epochs or updates")
        minutes = self.config["minutes"]
        budget, timed = 60 * (minutes or math.inf), bool(whole and minutes)  # budget in seconds
        every, next_sample = self.config["sample_every"], math.inf  # updates, or share of the time
        if every is None and timed:
            next_sample = math.ceil(SAMPLES * self.seconds / budget) / SAMPLES
        elif every is None and whole:
            every = math.ceil(last / SAMPLES)
        save_every = self.config["checkpoint_every"] or 0
        # the windows of an epoch are drawn together, and its end is waited for
        whole_epoch = (self.updates_per_epoch if self.config["accuracy"]
                       or self._data.shuffled else 0)
        chunk, pace = 1, 0.0  # updates in the next call of the compiled loop; seconds for each
        busy, done = 0.0, 0  # seconds in that loop, updates made there
        stop, saved = "", time.perf_counter()

        def left() -> float:
            return budget - self.seconds - (self._validation.seconds(pace) if whole else 0)

        def advance() -> None:
            bar.update((min(self.seconds, budget) if timed else self.update) - bar.n)

        self._started = saved if minutes else None
        if isinstance(self._data, RecordBatches):
            self.model.known = np.union1d(self.model.known, self._data.known)
        try:
            with (one_thread(), _interrupts() as interrupted,
                  self._bar(budget if timed else last, timed) as bar):
                while True:
                    if self._validation.is_due(self.update) and not self._validate(interrupted):
                        break
                    if self.config["accuracy"] and len(self.history.accuracy) < self.epoch:
                        self.history.add_accuracy(
                            self._data.accuracy(self.model, self.state, self._threads))
                    if self._validation.patience_is_over(self.history):
                        stop = "patience"
                    elif self.update >= last or (self.update and left() <= 0):
                        stop = "finished"
                    if stop:
                        break
                    spent = self.seconds / budget
                    if self.update % every == 0 if every else spent >= next_sample:
                        next_sample = (math.floor(SAMPLES * spent) + 1) / SAMPLES
                        if self._shown != self.update:  # as it may be when a run goes on
                            self._show_sample(bar)
                            self._shown = self.update
                        if self.callback and self.callback(self):
                            stop = "callback"
                            break
                    n = min(chunk, last - self.update, *(
                        _left(self.update, e)
                        for e in (every, save_every, self._validation.every, whole_epoch) if e))
                    if pace:
                        n = max(1, int(min(n, left() / pace)))
                    seconds = self._learn(n, self.seconds / budget)
                    pace, busy, done = seconds / n, busy + seconds, done + n
                    chunk = max(1, min(int(PAUSE / pace), 10 * chunk))
                    bar.set_postfix_str(self._status(done / busy), refresh=False)
                    advance()
                    if interrupted():
                        break
                    due = (self.update % save_every == 0 if save_every
                           else time.perf_counter() - saved > CHECKPOINT_PAUSE)
                    if due and self.update < last:
                        self._save()
                        saved = time.perf_counter()
                if whole and stop in ("finished", "callback"):
                    self._validate(interrupted)
                    advance()
            if interrupted():
                stop = "interrupted"
        except KeyboardInterrupt:  # a second one, or a callback's
            stop = "interrupted"
        finally:  # whatever ends the run, a callback's error too, nothing is lost
            self._spent, self._started = self.seconds, None
            self.model.state[:] = self.state[:1]
            self.history.stopped = stop or "error"
            self._save()
        if stop == "interrupted":
            raise KeyboardInterrupt
        if self.callback and stop != "callback":
            self.callback(self)

    def sample(self, length: int = 200) -> str:
        """Write `length` symbols from the carried state and the first symbol of the window that
        comes next (of the first stream), as min-char-rnn does; the trainer's generator draws. Of
        records, some of at most so many symbols, a line each, after random labels.

        Raises
        ------
        ValueError
            The model was made for sequences, and writes no text.
        """
        vocabulary = self.model.text_vocabulary
        if vocabulary.stop is not None:
            names = self.model.config["labels"]
            labels = names and [names[c] for c in self._rng.integers(len(names), size=RECORDS)]
            texts = self.model.sample(length, n=RECORDS, label=labels,
                                      seed=int(self._rng.integers(2**31)))
            return "\n".join(f"{label}: {text}" for label, text in zip(labels, texts, strict=True)
                             ) if labels else "\n".join(texts)
        stream = not self._data.shuffled
        first = int(self._data.arrays["ids"][self.position if stream else 0])
        state = self.state[:1].copy() if stream and self.position else self.model.zero_state()
        ids = self.model.draw(positive_int("length", length), state, [first], 1.0, self._rng)
        return vocabulary.decode(ids[:, 0])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model and all that `train(..., resume=path)` needs to go on bit for bit.

        Raises
        ------
        OSError
            The file cannot be written; one that was there is still whole.
        """
        save_model(self.model, path, self)

    def snapshot(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """What a checkpoint stores of a run besides the model: tensors, and JSON."""
        tensors = {f"optimizer.{i}": memory for i, memory in enumerate(self._memories)}
        tensors |= {"state": self.state, "best": self._best}
        tensors["best_state"] = self._best_state if self._validation.every else self.state[:1]
        counters = self._training.counters
        if not self.best_update:
            counters["best_loss"] = None  # JSON has no infinity
        return tensors, {
            "config": self.config,
            "counters": counters,
            "generator": self._rng.bit_generator.state,
            "generators": [rng.bit_generator.state for rng in self._generators],
            "order_seed": self._order_seed,
            "seconds": self.seconds,
            "shown": self._shown,
            "text": {"name": self.corpus.name, "fingerprint": self.corpus.fingerprint()},
        }

    @classmethod
    def from_checkpoint(
        cls, path: str | os.PathLike[str], corpus: Corpus | Sequences, **changes: Any
    ) -> Trainer:
        """The trainer that wrote a checkpoint, ready to go on.

        Parameters
        ----------
        path : path-like
        corpus : Corpus or Sequences
            The same text or sequences.
        **changes
            Arguments of `Trainer` that may differ from the first part of the run: how long it
            goes, what it shows and writes.

        Raises
        ------
        OSError, ValueError
            As `fastrnn.load`; or the text is another one, or the file holds no training run.
        """
        model, tensors, about = read(path)
        if "trainer" not in about:
            raise ValueError(f"{str(path)!r} holds a model without a training run: it can be "
                             "loaded, but not resumed")
        history = model.history
        stored = about["trainer"]
        same = False
        try:
            trained_on = stored["text"]["name"]
            vocabulary = corpus.vocabulary if isinstance(corpus, Corpus) else None
            if (vocabulary == model.vocabulary
                    and corpus.fingerprint() == stored["text"]["fingerprint"]):
                same = True
                # what the file says must do by itself, and be what a trainer says
                if cls(model, corpus, **stored["config"]).config != stored["config"]:
                    raise ValueError("these are not a trainer's settings")
        except DAMAGE as error:
            raise damaged(path, error) from None
        if not same:
            what = "text" if isinstance(corpus, Corpus) else "sequences"
            raise ValueError(f"{str(path)!r} was trained on {trained_on!r}, and "
                             f"{corpus.name!r} is not the same {what}: resume with the same one")
        plan = dict.fromkeys(("epochs", "updates", "minutes"))
        if any(changes.get(name) for name in plan):
            stored["config"] |= plan
        trainer = cls(model, corpus, **(stored["config"] | changes))
        try:
            for name, array in trainer.snapshot()[0].items():
                expect(tensors, name, array.shape, array.dtype)
                array[:] = tensors[name]
            best_loss = stored["counters"]["best_loss"]
            trainer._training.counters = stored["counters"] | {
                "best_loss": math.inf if best_loss is None else best_loss}
            trainer._rng.bit_generator.state = stored["generator"]
            for rng, state in zip(trainer._generators, stored["generators"], strict=True):
                rng.bit_generator.state = state
            trainer._order_seed = positive_int("order_seed", stored["order_seed"], 0, 2**63)
            trainer._spent = positive_float("seconds", stored["seconds"], zero=True)
            trainer._shown = stored["shown"]
        except DAMAGE as error:
            raise damaged(path, error) from None
        trainer.history = model.history = history
        return trainer

    def __repr__(self) -> str:
        return (f"<Trainer of {self.model!r} on {self.corpus.name!r}: {self.update} updates, "
                f"{self.epoch} epochs>")

    def _learn(self, n: int, spent: float) -> float:
        """Make n updates; the seconds that they took."""
        rates = learning_rates(self.config, self.update, n, self.updates_per_epoch, self.planned,
                               spent)
        rows = self._rows(n) if self._data.shuffled else ()
        start = time.perf_counter()
        loss, smooth = self._training.run(rates, *rows)
        seconds = time.perf_counter() - start
        self.history.extend(loss, smooth)
        if len(loss) < n:
            raise FloatingPointError(
                f"the loss of update {self.update + 1} or its gradient is not finite: "
                "start again with a learning_rate below "
                f"{self.config['learning_rate']:g}, or with clip_norm or clip_value")
        return max(seconds, 1e-9)

    def _rows(self, n: int) -> Order:
        """Where what the next n updates read starts, all of this epoch, with lengths and labels: (n
        N)."""
        if self._order is None or self._order[0] != self.epoch:
            rng = np.random.default_rng((self._order_seed, self.epoch))
            self._order = self.epoch, self._data.order(rng)
        N, first = self.config["batch_size"], self.position
        part = slice(first * N, (first + n) * N)
        starts, lengths, labels = self._order[1]
        return (starts[part], None if lengths is None else lengths[part],
                None if labels is None else labels[part])

    def _validate(self, interrupted: Callable[[], bool]) -> bool:
        """Score the held-out text, unless that is done, and keep the model if it is the best so
        far. False where Ctrl-C came in between."""
        if not self._validation.every or self.update in self.history.valid_updates[-1:]:
            return True
        loss = self._validation.score(
            self.model, self.state, self._threads, interrupted)
        if loss is None:
            return False
        self.history.add_validation(loss, self.update)
        if loss < self.best_loss:
            self._best[:], self._best_state[:] = self.model.block, self.state[:1]
            self._training.counters |= {"best_loss": loss, "best_update": self.update}
        return True

    def _save(self) -> None:
        # an exploded run must not take the place of what the file holds
        if self.checkpoint is not None and np.isfinite(self.model.block).all():
            self.save(self.checkpoint)

    def _bar(self, total: float, timed: bool) -> tqdm:
        if timed:
            form = "{percentage:3.0f}%|{bar}| {n:.0f}/{total:.0f} s{postfix}"
            return tqdm(total=total, initial=self.seconds, bar_format=form,
                        disable=not self.progress, dynamic_ncols=True)
        return tqdm(total=total, initial=self.update, unit="update", disable=not self.progress,
                    dynamic_ncols=True, smoothing=0.1)

    def _status(self, pace: float) -> str:
        """The text behind the bar; pace in updates a second."""
        unit, valid = self._data.unit, self.history.valid_loss
        symbols = self._data.predictions * self.config["batch_size"]
        held_out = f", validation loss {valid[-1]:.3f} per {unit}" if valid.size else ""
        return (f"epoch {self.update / self.updates_per_epoch:.2f}, "
                f"smoothed loss {self.history.smooth_loss[-1]:.2f}{held_out}, "
                f"{pace * symbols:,.0f} {unit}s/s")

    def _show_sample(self, bar: tqdm) -> None:
        if not self.model.vocabulary:
            return
        text = self.sample(self.config["sample_length"])
        if self.progress:
            loss = f", smoothed loss {self.history.smooth_loss[-1]:.2f}" if self.update else ""
            bar.write(f"---- update {self.update}{loss} ----\n{text}\n", file=sys.stdout)


def _optional(check: Callable[[str, Any], Any], name: str, value: Any) -> Any:
    return None if value is None else check(name, value)


def _check_together(config: dict[str, Any]) -> None:
    """Raise ValueError where settings contradict each other."""
    plan = [name for name in ("epochs", "updates", "minutes") if config[name]]
    if len(plan) > 1:
        raise ValueError(f"give one of epochs, updates and minutes, not {' and '.join(plan)}")
    decay, optimizer = config["learning_rate_decay"], config["optimizer"]
    if decay > 1:
        raise ValueError(f"learning_rate_decay must be above 0 and at most 1, not {decay:g}")
    if decay < 1 and config["schedule"] == "cosine":
        raise ValueError("schedule='cosine' lowers the learning rate by itself: leave "
                         f"learning_rate_decay={decay:g} out, or take schedule='constant'")
    if config["momentum"] and optimizer != "sgd":
        raise ValueError(f"momentum is for optimizer='sgd', not {optimizer!r}: leave it out")
    if config["decay_rate"] != DECAY_RATE and optimizer != "rmsprop":
        raise ValueError(f"decay_rate is for optimizer='rmsprop', not {optimizer!r}: leave it out")
    for name in ("valid_every", "patience"):
        if config[name] and not config["valid_fraction"]:
            raise ValueError(f"{name} needs a valid_fraction, the share to score: give one above 0")


def _numbers(config: dict[str, Any]) -> dict[str, float]:
    """Those of the optimizer's rule."""
    return {
        "rmsprop": {"decay": config["decay_rate"]},
        "adam": {"decay": BETAS[0], "decay2": BETAS[1]},
        "sgd": {"decay": config["momentum"]},
    }.get(config["optimizer"], {})


def _left(update: int, every: int) -> int:
    """Updates to the next multiple of every."""
    return every - update % every


@contextlib.contextmanager
def _interrupts() -> Iterator[Callable[[], bool]]:
    """Inside, Ctrl-C only sets a flag that the yielded function tells, so that it cannot fall
    between an update and its record; a second one is raised at once."""
    pressed = False
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False  # Python answers signals in the main thread only
        return
    before = signal.getsignal(signal.SIGINT)

    def on_interrupt(*_: Any) -> None:
        nonlocal pressed
        pressed = True
        signal.signal(signal.SIGINT, before or signal.default_int_handler)

    signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, before or signal.default_int_handler)
