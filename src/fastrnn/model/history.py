"""The losses of a training run."""

import os
from copy import deepcopy
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..plots import figure

# for each loss its unit, and what one prediction is
MEASURES = {"cross_entropy": ("nats", "symbol"), "binary_cross_entropy": ("nats", "symbol"),
            "mean_squared_error": ("squared error", "step")}


class History:
    """The losses of training: of every update, and of every validation.

    Attributes
    ----------
    loss : float64 ndarray, shape (updates,)
        Training loss, summed over the time steps of a window or sequence and averaged over the
        batch, in nats or squared error; divided by `seq_length` it is the loss of one prediction.
    smooth_loss : float64 ndarray, shape (updates,)
        s = 0.999 s + 0.001 loss, starting from the first loss (karpathy's min-char-rnn).
    valid_loss : float64 ndarray, shape (validations,)
        Mean loss of one prediction of the validation data, in nats per symbol or squared error.
    valid_updates : int64 ndarray, shape (validations,)
        The number of updates before each validation.
    accuracy : float64 ndarray, shape (epochs,)
        After each epoch, the fraction of the training data's target symbols to which the model
        gives the highest probability; empty unless training sets ``accuracy=True``.
    seq_length : float or None
        Mean number of predictions in one sequence or window; None before training.
    measure : tuple of str
        Unit of the losses, and what one prediction is: ("nats", "symbol") or ("squared error",
        "step").
    stopped : str
        Why the last run ended: "finished", "patience", "interrupted" (Ctrl-C), "callback" or
        "error"; "" before.
    """

    def __init__(
        self, loss: ArrayLike = (), smooth_loss: ArrayLike = (), valid_loss: ArrayLike = (),
        valid_updates: ArrayLike = (), accuracy: ArrayLike = (), *,
        seq_length: float | None = None, measure: tuple[str, str] = ("nats", "symbol"),
    ) -> None:
        self._pieces = [np.array([loss, smooth_loss], np.float64)]  # each (2, updates)
        self.valid_loss = np.array(valid_loss, np.float64)
        self.valid_updates = np.array(valid_updates, np.int64)
        self.accuracy = np.array(accuracy, np.float64)
        self.seq_length, self.measure = seq_length, measure
        self.stopped = ""

    def extend(self, loss: NDArray[np.float64], smooth_loss: NDArray[np.float64]) -> None:
        """Append the losses and smoothed losses of more updates, arrays of equal length."""
        self._pieces.append(np.array([loss, smooth_loss]))

    def add_validation(self, loss: float, update: int) -> None:
        """Append a validation loss (of one prediction) and the number of updates before it."""
        self.valid_loss = np.append(self.valid_loss, loss)
        self.valid_updates = np.append(self.valid_updates, np.int64(update))

    def add_accuracy(self, fraction: float) -> None:
        """Append the accuracy after another epoch, a fraction in [0, 1]."""
        self.accuracy = np.append(self.accuracy, fraction)

    def copy(self) -> "History":
        """A copy of the history that shares no array with it."""
        return deepcopy(self)

    def _joined(self) -> NDArray[np.float64]:
        if len(self._pieces) > 1:
            self._pieces = [np.concatenate(self._pieces, axis=1)]
        return self._pieces[0]

    @property
    def loss(self) -> NDArray[np.float64]:
        return self._joined()[0, :]

    @property
    def smooth_loss(self) -> NDArray[np.float64]:
        return self._joined()[1, :]

    def __len__(self) -> int:
        return len(self.loss)

    def __repr__(self) -> str:
        last = f", smoothed loss {self.smooth_loss[-1]:.4g}" if len(self) else ""
        if self.valid_loss.size:
            last += f", validation loss {self.valid_loss[-1]:.4g} per {self.measure[1]}"
        return f"<History of {len(self)} updates{last}>"

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Plot the smoothed loss of a window or sequence against the updates; with validations the
        smoothed and the validation loss, of one prediction.

        Parameters
        ----------
        path : str or path-like, optional
            Write the figure to this file: PNG, PDF or SVG.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        ImportError
            matplotlib is not installed.
        ValueError
            There are no losses yet.
        """
        if not len(self):
            raise ValueError("there are no losses to plot yet: run the trainer first")
        canvas, axes = figure(8, 4.5)
        every = max(1, len(self) // 5000)  # no more points than pixels
        updates = np.arange(1, len(self) + 1)[::every]
        smooth = self.smooth_loss[::every]
        if self.valid_loss.size and self.seq_length:
            axes.plot(updates, smooth / self.seq_length, label="training, smoothed")
            axes.plot(self.valid_updates, self.valid_loss, marker=".", label="validation")
            axes.set(xlabel="update", ylabel=f"loss ({' per '.join(self.measure)})")
            axes.legend()
        else:
            axes.plot(updates, smooth)
            axes.set(xlabel="update", ylabel=f"smoothed loss ({self.measure[0]} per window)")
        axes.grid(alpha=0.3)
        if path is not None:
            canvas.savefig(path, dpi=150)
        return axes
