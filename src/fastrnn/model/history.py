"""The losses of a run."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..plots import figure

# what the losses that a model can have are in, and what one prediction is of
MEASURES = {"cross_entropy": ("nats", "symbol"), "binary_cross_entropy": ("nats", "symbol"),
            "mean_squared_error": ("squared error", "step")}


class History:
    """The loss of every update, of an unroll (divide by seq_length for that of a symbol), and of
    every validation, of one prediction: a symbol's in nats, or that of numbers, the squared error.

    Attributes
    ----------
    loss : float64 ndarray, shape (updates,)
        Summed over the time steps of a window or sequence and averaged over the batch.
    smooth_loss : float64 ndarray, shape (updates,)
        s = 0.999 s + 0.001 loss, starting at the first loss (karpathy's min-char-rnn).
    valid_loss : float64 ndarray, shape (validations,)
        Mean loss of a prediction on what `valid_fraction` holds out.
    valid_updates : int64 ndarray, shape (validations,)
        After how many updates each of them was taken.
    accuracy : float64 ndarray, shape (epochs,)
        Share of the symbols to predict that were the likeliest, after each epoch, on what was
        trained on, where `train` was asked for `accuracy`; else empty.
    seq_length : float or None
        Predictions in one unroll that count (of sequences their mean); None in a model that was not
        trained.
    measure : tuple of str
        What losses are in, and of what: ("nats", "symbol") or ("squared error", "step").
    stopped : str
        Why the last run ended: "finished", "patience", "interrupted" (Ctrl-C), "callback" or
        "error"; before that "".
    """

    def __init__(
        self,
        loss: ArrayLike = (),
        smooth_loss: ArrayLike = (),
        valid_loss: ArrayLike = (),
        valid_updates: ArrayLike = (),
        accuracy: ArrayLike = (),
        *,
        seq_length: float | None = None,
        measure: tuple[str, str] = ("nats", "symbol"),
    ) -> None:
        self._pieces = [(np.array(loss, np.float64), np.array(smooth_loss, np.float64))]
        self.valid_loss = np.array(valid_loss, np.float64)
        self.valid_updates = np.array(valid_updates, np.int64)
        self.accuracy = np.array(accuracy, np.float64)
        self.seq_length, self.measure = seq_length, measure
        self.stopped = ""

    def extend(self, loss: NDArray[np.float64], smooth_loss: NDArray[np.float64]) -> None:
        """Add the losses of more updates; arrays of equal length."""
        self._pieces.append((loss, smooth_loss))

    def add_validation(self, loss: float, update: int) -> None:
        """Add a validation loss, in nats per symbol, after so many updates."""
        self.valid_loss = np.append(self.valid_loss, loss)
        self.valid_updates = np.append(self.valid_updates, np.int64(update))

    def add_accuracy(self, share: float) -> None:
        """Add the accuracy after another epoch."""
        self.accuracy = np.append(self.accuracy, share)

    def copy(self) -> History:
        """Another history with the same entries."""
        other = History(self.loss, self.smooth_loss, self.valid_loss, self.valid_updates,
                        self.accuracy, seq_length=self.seq_length, measure=self.measure)
        other.stopped = self.stopped
        return other

    def _joined(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        if len(self._pieces) > 1:
            loss, smooth = (np.concatenate(column) for column in zip(*self._pieces, strict=True))
            self._pieces = [(loss, smooth)]
        return self._pieces[0]

    @property
    def loss(self) -> NDArray[np.float64]:
        return self._joined()[0]

    @property
    def smooth_loss(self) -> NDArray[np.float64]:
        return self._joined()[1]

    def __len__(self) -> int:
        return len(self.loss)

    def __repr__(self) -> str:
        last = f", smoothed loss {self.smooth_loss[-1]:.4g}" if len(self) else ""
        if self.valid_loss.size:
            last += f", validation loss {self.valid_loss[-1]:.4g} per {self.measure[1]}"
        return f"<History of {len(self)} updates{last}>"

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Draw the smoothed loss against the updates; write it to `path` (PNG, PDF, SVG) if given.
        Where there is a validation loss it is drawn too, and both are per prediction.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        ImportError
            matplotlib is not installed.
        ValueError
            There is nothing to draw yet.
        """
        if not len(self):
            raise ValueError("there are no losses to plot yet: run the trainer first")
        canvas, axes = figure(8, 4.5)
        every = max(1, len(self) // 5000)  # more points than pixels only make a large file
        updates = np.arange(1, len(self) + 1)
        if self.valid_loss.size and self.seq_length:
            axes.plot(updates[::every], self.smooth_loss[::every] / self.seq_length,
                      label="training, smoothed")
            axes.plot(self.valid_updates, self.valid_loss, marker=".", label="validation")
            axes.set(xlabel="update", ylabel=f"loss ({' per '.join(self.measure)})")
            axes.legend()
        else:
            axes.plot(updates[::every], self.smooth_loss[::every])
            axes.set(xlabel="update", ylabel=f"smoothed loss ({self.measure[0]} per unroll)")
        axes.grid(alpha=0.3)
        if path is not None:
            canvas.savefig(path, dpi=150)
        return axes
