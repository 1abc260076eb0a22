"""The progress bar of a training run, and the samples above it."""

import os
import sys
import threading
import warnings
from typing import Any
from weakref import WeakSet

import tqdm as plain

with warnings.catch_warnings():  # a notebook without ipywidgets gets a bar of text
    warnings.simplefilter("ignore", plain.TqdmWarning)
    from tqdm.auto import tqdm

from ..figures.axes import in_notebook
from ..kernels.team import no_fork
from ..model.history import History
from ..screen import Unfailing, show

_bars: "WeakSet[tqdm[Any]]" = WeakSet()


def _in_child() -> None:
    """After a fork: another thread may have held tqdm's lock, to write its bar, and would keep it
    in this process for ever."""
    if _bars:
        for kind in tqdm, plain.tqdm:
            kind.set_lock(threading.RLock())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)


class Bar:
    """The bar of one call of `Trainer.run`: over `total` updates or seconds, of which `at` are
    done. It is closed where its context ends."""

    def __init__(self, shown: bool, total: float, at: float) -> None:
        self.shown = shown
        with no_fork:
            self._bar = tqdm(
                total=total, initial=at, disable=not shown, dynamic_ncols=True, smoothing=0.1,
                file=sys.stdout if in_notebook() else Unfailing(sys.stderr),  # one block there
                bar_format="{percentage:3.0f}%|{bar}| {desc}, {remaining} left")
            if shown:
                _bars.add(self._bar)

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def move(self, at: float, text: str = "") -> None:
        """Move to this number of updates or seconds; `text` stands behind the bar."""
        if text:
            self._bar.set_description_str(text, refresh=False)
        self._bar.update(at - self._bar.n)

    def print_sample(self, text: str, history: History, unit: str) -> None:
        """Print a sample, with the loss so far, above the bar."""
        if not self.shown:
            return
        update, loss = len(history), ""
        if history.one_stream and update:
            loss = (f", smoothed loss {history.smooth_loss[-1]:.2f} nats per window of "
                    f"{history.seq_length:g} {unit}s")
        elif update:
            loss = f", training loss {history.recent_loss():.3f} nats per {unit}"
        with self._bar.external_write_mode(file=self._bar.fp):
            show(f"---- update {update}{loss} ----\n{text}\n", needed=False)


def status(history: History, unit: str, epochs: float, pace: float) -> str:
    """The text behind the bar; pace in predictions per second."""
    shown = "{:.4g}" if history.measure[0] == "squared error" else "{:.3f}"
    last = history.valid_loss[-1:]
    valid = f" (validation {shown.format(last[0])})" if last.size else ""
    if history.accuracy.size:
        valid += f", accuracy {history.accuracy[-1]:.1%}"
    return (f"loss {shown.format(history.recent_loss())}{valid}, "
            f"epoch {epochs:.2f}, "
            f"{tqdm.format_sizeof(pace)} {unit}s/s")
