"""The training loop: reads a text in windows, update after update."""

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
from .blas import one_thread
from .checkpoint import DAMAGE, check_writable, damaged, expect, read, save_model
from .corpus import Corpus
from .model import Model
from .validate import choice, positive_float, positive_int

# name -> (default learning rate, numbers of the rule)
OPTIMIZERS: dict[str, tuple[float, dict[str, float]]] = {
    "adagrad": (0.1, {}),
    "rmsprop": (0.001, {"decay": 0.9}),
    "adam": (0.001, {"decay": 0.9, "decay2": 0.999}),
    "sgd": (0.1, {}),
}
PAUSE = 0.1  # seconds between looks at the clock, the keyboard and the progress bar
CHECKPOINT_PAUSE = 60.0  # seconds between checkpoints where checkpoint_every does not say


class Trainer:
    """Trains a model on a corpus; `run` may be called again and goes on where it stopped.

    The text is cut into batch_size equal streams, read side by side from left to right in windows
    of seq_length; the state goes from window to window. An epoch ends when position + seq_length +
    1 >= the stream's length; state and position then start again at zero.

    Parameters
    ----------
    model : Model
        Changed in place.
    corpus : Corpus
        With the model's vocabulary.
    seq_length : int
        T, symbols in one unroll.
    batch_size : int
        N, streams side by side.
    optimizer : {"adagrad", "rmsprop", "adam", "sgd"}
    learning_rate : float, optional
        0.1 for adagrad and sgd, 0.001 for rmsprop and adam where not given.
    clip_value : float or None
        Each gradient entry is cut to [-clip_value, clip_value].
    clip_norm : float or None
        All gradients are scaled to this norm where theirs, taken together, is above it; before
        clip_value.
    epochs, updates : int, optional
        How long `run()` goes, counted from the very start; one epoch where neither is given.
    seed : int or None
        Of the generator that draws the samples shown during training.
    progress : bool
        Show a bar on standard error and samples on standard output.
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
        ``history.loss`` and ``history.smooth_loss``, an entry per update.
    update, epoch, position : int
        Updates and epochs completed; where in each stream the next window starts (symbols).
    state : ndarray, shape (N, H)
        After the last window. The next one starts from it, or from zero where position is 0.
    best_loss : float
        The lowest smoothed loss (nats per unroll) at a multiple of 100 updates, infinity before
        the first.
    best_update : int

    Raises
    ------
    ValueError
        A text too short for one window and its targets (the message says how long it must be), or
        an argument outside its range.
    OSError
        The checkpoint cannot be written.
    """

    def __init__(
        self,
        model: Model,
        corpus: Corpus,
        *,
        seq_length: int = 25,
        batch_size: int = 1,
        optimizer: str = "adagrad",
        learning_rate: float | None = None,
        clip_value: float | None = 5.0,
        clip_norm: float | None = None,
        epochs: int | None = None,
        updates: int | None = None,
        seed: int | None = 0,
        progress: bool = True,
        sample_every: int | None = None,
        sample_length: int = 200,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: int | None = None,
        callback: Callable[[Trainer], Any] | None = None,
    ) -> None:
        if not isinstance(model, Model) or not isinstance(corpus, Corpus):
            raise TypeError("Trainer takes a fastrnn.Model and a fastrnn.Corpus, not "
                            f"{type(model).__name__} and {type(corpus).__name__}: make a corpus "
                            "with Corpus.from_file or Corpus.from_text")
        if callback is not None and not callable(callback):
            raise TypeError(f"callback must be a function of the trainer, not {callback!r}")
        if corpus.vocabulary != model.vocabulary:
            raise ValueError("the corpus has another vocabulary than the model: make it with "
                             "Corpus.from_file(path, vocabulary=model.vocabulary)")
        T = positive_int("seq_length", seq_length)
        N = positive_int("batch_size", batch_size)
        rate, numbers = OPTIMIZERS[choice("optimizer", optimizer, OPTIMIZERS)]
        if learning_rate is not None:
            rate = positive_float("learning_rate", learning_rate)
        self.config = {
            "seq_length": T,
            "batch_size": N,
            "optimizer": optimizer,
            "learning_rate": rate,
            "clip_value": _optional(positive_float, "clip_value", clip_value),
            "clip_norm": _optional(positive_float, "clip_norm", clip_norm),
            "epochs": _optional(positive_int, "epochs", epochs),
            "updates": _optional(positive_int, "updates", updates),
            "seed": None if seed is None else positive_int("seed", seed, least=0),
            "sample_every": (None if sample_every is None
                             else positive_int("sample_every", sample_every, least=0)),
            "sample_length": positive_int("sample_length", sample_length),
            "checkpoint_every": _optional(positive_int, "checkpoint_every", checkpoint_every),
        }
        if epochs is not None and updates is not None:
            raise ValueError("give epochs or updates, not both")
        self._stream_length = len(corpus) // N
        if self._stream_length < T + 2:
            fits = len(corpus) // (T + 2)
            hint = f", or a batch_size of at most {fits}" if N > 1 and fits else ""
            raise ValueError(
                f"{corpus.name} has {len(corpus)} symbols, and seq_length {T} with batch_size {N} "
                f"needs at least {N * (T + 2)}: give a longer text or a smaller seq_length{hint}")
        if checkpoint is not None:
            check_writable(checkpoint)
        self.model, self.corpus = model, corpus
        self.progress, self.checkpoint, self.callback = progress, checkpoint, callback
        self.history = model.history = type(model.history)()
        self.state = model.zero_state(N)
        self._best = np.zeros_like(model.block)
        count = _core.MEMORIES[_core.OPTIMIZERS.index(optimizer)]
        self._memories = [np.zeros_like(model.block) for _ in range(count)]
        self._rng = np.random.default_rng(seed)
        self._shown = -1  # update at which the last sample was drawn
        rule = _core.Optimizer(optimizer, rate, **numbers, clip_value=self.config["clip_value"],
                               clip_norm=self.config["clip_norm"])
        self._training = _core.Training(
            model.network(T, N), rule, model.block, self._memories, self.state,
            self._best, corpus.ids)

    @property
    def updates_per_epoch(self) -> int:
        """Windows in one pass over the text."""
        T = self.config["seq_length"]
        return math.ceil((self._stream_length - T - 1) / T)

    @property
    def planned(self) -> int:
        """Updates that `run()` goes to, from `updates` or `epochs`."""
        return self.config["updates"] or (self.config["epochs"] or 1) * self.updates_per_epoch

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
        """A copy of the model with the parameters of `best_loss`, or the present ones before."""
        best = self.model.copy()
        if self.best_update:
            best.block[:] = self._best
        return best

    def run(self, updates: int | None = None) -> None:
        """Train for so many updates, or to the end of the plan (`planned`) where not given.

        Ctrl-C is answered between updates: the checkpoint is written where there is one, then
        KeyboardInterrupt is raised, and the trainer can go on.

        Raises
        ------
        FloatingPointError
            The loss is no longer finite; the parameters are those before that update.
        KeyboardInterrupt
        OSError
            The checkpoint could not be written.
        """
        last = self.planned if updates is None else self.update + positive_int("updates", updates)
        every = self.config["sample_every"]
        if every is None:
            every = math.ceil(self.planned / 10) if updates is None else 0
        save_every = self.config["checkpoint_every"] or 0
        saved = time.monotonic()
        chunk, symbols = 1, self.config["seq_length"] * self.config["batch_size"]
        busy, read = 0.0, 0  # seconds in the compiled loop, symbols read there
        stop = ""
        try:
            with one_thread(), _interrupts() as interrupted, self._bar(last) as bar:
                while self.update < last:
                    if every and self.update % every == 0:
                        if self._shown != self.update:  # as it may be when a run goes on
                            self._show_sample(bar)
                            self._shown = self.update
                        if self.callback and self.callback(self):
                            stop = "callback"
                            break
                    n = min(chunk, last - self.update,
                            *(_left(self.update, e) for e in (every, save_every) if e))
                    start = time.perf_counter()
                    loss, smooth = self._training.run(n)
                    seconds = max(time.perf_counter() - start, 1e-9)
                    self.history.extend(loss, smooth)
                    if len(loss) < n:
                        raise FloatingPointError(
                            f"the loss of update {self.update + 1} or its gradient is not finite: "
                            "start again with a learning_rate below "
                            f"{self.config['learning_rate']:g}, or with clip_norm or clip_value")
                    chunk = max(1, min(int(n * PAUSE / seconds), 10 * chunk))
                    busy, read = busy + seconds, read + n * symbols
                    bar.set_postfix_str(
                        f"epoch {self.update / self.updates_per_epoch:.2f}, smoothed loss "
                        f"{smooth[-1]:.2f}, {read / busy:,.0f} {self.corpus.vocabulary.unit}s/s",
                        refresh=False)
                    bar.update(n)
                    if interrupted():
                        break
                    due = (self.update % save_every == 0 if save_every
                           else time.monotonic() - saved > CHECKPOINT_PAUSE)
                    if due and self.update < last:
                        self._save()
                        saved = time.monotonic()
            if interrupted():
                stop = "interrupted"
        finally:  # whatever ends the run, a callback's error too, nothing is lost
            self.model.state[:] = self.state[:1]
            self.history.stopped = stop or ("finished" if self.update == last else "error")
            self._save()
        if stop == "interrupted":
            raise KeyboardInterrupt
        if self.callback and stop != "callback":
            self.callback(self)

    def sample(self, length: int = 200) -> str:
        """Write `length` symbols from the carried state and the first symbol of the window that
        comes next (of the first stream), as min-char-rnn does; the trainer's generator draws."""
        first = int(self.corpus.ids[self.position])
        state = self.state[:1].copy() if self.position else self.model.zero_state()
        ids = self.model.draw(positive_int("length", length), state, first, 1.0, self._rng)
        return self.model.vocabulary.decode(ids)

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
        counters = self._training.counters
        if not self.best_update:
            counters["best_loss"] = None  # JSON has no infinity
        return tensors | {"state": self.state, "best": self._best}, {
            "config": self.config,
            "counters": counters,
            "generator": self._rng.bit_generator.state,
            "shown": self._shown,
            "text": {"name": self.corpus.name, "fingerprint": self.corpus.fingerprint()},
        }

    @classmethod
    def from_checkpoint(
        cls, path: str | os.PathLike[str], corpus: Corpus, **changes: Any
    ) -> Trainer:
        """The trainer that wrote a checkpoint, ready to go on.

        Parameters
        ----------
        path : path-like
        corpus : Corpus
            The same text.
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
            if (corpus.vocabulary == model.vocabulary
                    and corpus.fingerprint() == stored["text"]["fingerprint"]):
                same = True
                cls(model, corpus, **stored["config"])  # what the file says must do by itself
        except DAMAGE as error:
            raise damaged(path, error) from None
        if not same:
            raise ValueError(f"{str(path)!r} was trained on {trained_on!r}, and "
                             f"{corpus.name!r} is not the same text: resume with the same one")
        if changes.get("epochs") or changes.get("updates"):
            stored["config"] |= {"epochs": None, "updates": None}
        trainer = cls(model, corpus, **(stored["config"] | changes))
        try:
            for name, array in trainer.snapshot()[0].items():
                expect(tensors, name, array.shape, array.dtype)
                array[:] = tensors[name]
            trainer._training.counters = stored["counters"] | {
                "best_loss": stored["counters"]["best_loss"] or math.inf}
            trainer._rng.bit_generator.state = stored["generator"]
            trainer._shown = stored["shown"]
        except DAMAGE as error:
            raise damaged(path, error) from None
        trainer.history = model.history = history
        return trainer

    def __repr__(self) -> str:
        return (f"<Trainer of {self.model!r} on {self.corpus.name!r}: {self.update} updates, "
                f"{self.epoch} epochs>")

    def _save(self) -> None:
        # an exploded run must not take the place of what the file holds
        if self.checkpoint is not None and np.isfinite(self.model.block).all():
            self.save(self.checkpoint)

    def _bar(self, last: int) -> tqdm:
        return tqdm(total=last, initial=self.update, unit="update", disable=not self.progress,
                    dynamic_ncols=True, smoothing=0.1)

    def _show_sample(self, bar: tqdm) -> None:
        text = self.sample(self.config["sample_length"])
        if self.progress:
            loss = f", smoothed loss {self.history.smooth_loss[-1]:.2f}" if self.update else ""
            bar.write(f"---- update {self.update}{loss} ----\n{text}\n", file=sys.stdout)


def _optional(check: Callable[[str, Any], Any], name: str, value: Any) -> Any:
    return None if value is None else check(name, value)


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
