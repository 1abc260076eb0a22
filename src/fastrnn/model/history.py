"""The losses of a training run."""

import math
import os
from collections.abc import Iterable
from copy import deepcopy
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import html, svg
from ..figures.axes import write
from ..figures.losses import draw_losses

# for each loss its unit, and what one prediction is
MEASURES = {"cross_entropy": ("nats", "symbol"), "binary_cross_entropy": ("nats", "symbol"),
            "mean_squared_error": ("squared error", "step")}
MOST_SAMPLES, MOST_SAMPLED = 1000, 1_000_000  # samples that are kept, and their symbols
LEAST_AVERAGED = 30  # updates in the mean that is the training loss on the screen


class History:
    """The losses of training: of every update, and of every validation.

    Attributes
    ----------
    loss : float64 ndarray, shape (updates,)
        Training loss, summed over the time steps of a window or sequence and averaged over the
        batch, in nats or squared error; divided by `seq_length` it is the loss of one prediction.
    train_loss : float64 ndarray, shape (updates,)
        Mean training loss of one prediction, in nats per symbol or squared error: over the last 1 %
        of the updates so far, and at least 30 of them. This is the training loss on the screen.
    smooth_loss : float64 ndarray, shape (updates,)
        s = 0.999 s + 0.001 loss, starting from the first loss (karpathy's min-char-rnn). It takes
        thousands of updates to forget its start.
    learning_rate : float64 ndarray, shape (updates,)
        Learning rate of each update; NaN in a file of fastrnn 0.1.
    valid_loss : float64 ndarray, shape (validations,)
        Mean loss of one prediction of the validation data, in nats per symbol or squared error.
    valid_updates : int64 ndarray, shape (validations,)
        The number of updates before each validation.
    accuracy : float64 ndarray, shape (epochs,)
        After each epoch, the fraction of the training data's target symbols to which the model
        gives the highest probability; empty unless training sets ``accuracy=True``.
    samples : list of (int, str)
        The samples generated during the training: the number of updates before each, and its text.
        The last 1,000 of them are kept, and of long ones the last million characters.
    seq_length : float or None
        Mean number of predictions in one sequence or window; None before training.
    updates_per_epoch : int or None
        Of the run; None before training, and in files of earlier versions.
    one_stream : bool
        Whether a text was read as one stream (batch_size 1) at a constant learning rate, as in the
        classic character model: then `smooth_loss` is shown too, and `plot` draws it.
    measure : tuple of str
        Unit of the losses, and what one prediction is: ("nats", "symbol") or ("squared error",
        "step").
    stopped : str
        Why the last run ended: "finished", "patience", "interrupted" (Ctrl-C), "callback" or
        "error"; "" before.
    """

    def __init__(
        self, loss: ArrayLike = (), smooth_loss: ArrayLike = (), valid_loss: ArrayLike = (),
        valid_updates: ArrayLike = (), accuracy: ArrayLike = (), learning_rate: ArrayLike = (), *,
        seq_length: float | None = None, measure: tuple[str, str] = ("nats", "symbol"),
        one_stream: bool = False, samples: Iterable[tuple[int, str]] = (),
        updates_per_epoch: int | None = None,
    ) -> None:
        # loss, smoothed loss and learning rate, each piece (3, updates)
        self._pieces = [np.array([loss, smooth_loss, learning_rate], np.float64)]
        self._length: int = self._pieces[0].shape[1]
        # the list of pieces that was joined last, how many there were, and the result
        self._known = self._pieces, 1, self._pieces[0]
        # the losses and the updates, together, so that other threads read as many of each
        self._validations = np.array(valid_loss, np.float64), np.array(valid_updates, np.int64)
        self.accuracy = np.array(accuracy, np.float64)
        self.seq_length, self.measure, self.one_stream = seq_length, measure, one_stream
        self.samples, self.updates_per_epoch = list(samples), updates_per_epoch
        self.stopped = ""

    def extend(self, loss: NDArray[np.float64], smooth_loss: NDArray[np.float64],
               learning_rate: NDArray[np.float64]) -> None:
        """For fastrnn itself: append the losses, smoothed losses and learning rates of more
        updates. Other threads may read meanwhile: they change no list."""
        new = np.array([loss, smooth_loss, learning_rate])
        pieces, count, joined = self._known
        if pieces is self._pieces and count == len(pieces) > 1:
            self._pieces = [joined, new]
        else:
            self._pieces.append(new)
        self._length += len(loss)

    def add_validation(self, loss: float, update: int) -> None:
        """For fastrnn itself: append a validation loss (of one prediction) and the number of
        updates before it."""
        losses, updates = self._validations
        self._validations = np.append(losses, loss), np.append(updates, np.int64(update))

    def lowest_validation(self) -> tuple[float, int]:
        """The lowest validation loss, and the number of updates before it; NaN, of a model that
        overflows, is not lower than any. ValueError where there are none."""
        losses, updates = self._validations
        best = np.where(np.isnan(losses), np.inf, losses).argmin()
        return float(losses[best]), int(updates[best])

    def add_accuracy(self, fraction: float) -> None:
        """For fastrnn itself: append the accuracy after another epoch, a fraction in [0, 1]."""
        self.accuracy = np.append(self.accuracy, fraction)

    def add_sample(self, update: int, text: str | bytes) -> None:
        """For fastrnn itself: append a sample after so many updates; bytes as the text that they
        spell in UTF-8."""
        if isinstance(text, bytes):
            text = text.decode("utf-8", "replace")
        kept = [*self.samples, (update, text)][-MOST_SAMPLES:]
        while len(kept) > 1 and sum(len(text) for _, text in kept) > MOST_SAMPLED:
            del kept[0]
        self.samples = kept

    def copy(self) -> "History":
        """A copy of the history that shares no array with it."""
        other = deepcopy(self)
        other._length = other._joined().shape[1]  # another thread may have added some in between
        return other

    def _joined(self) -> NDArray[np.float64]:
        pieces, count, joined = self._known
        if pieces is not self._pieces or count != len(pieces):
            pieces = self._pieces
            count = len(pieces)
            joined = np.concatenate(pieces[:count], axis=1) if count > 1 else pieces[0]
            self._known = pieces, count, joined
        return joined

    @property
    def loss(self) -> NDArray[np.float64]:
        return self._joined()[0, :]

    @property
    def smooth_loss(self) -> NDArray[np.float64]:
        return self._joined()[1, :]

    @property
    def learning_rate(self) -> NDArray[np.float64]:
        return self._joined()[2, :]

    @property
    def valid_loss(self) -> NDArray[np.float64]:
        return self._validations[0]

    @property
    def valid_updates(self) -> NDArray[np.int64]:
        return self._validations[1]

    @property
    def train_loss(self) -> NDArray[np.float64]:
        loss = self.loss
        n = np.arange(1, len(loss) + 1)
        first = np.maximum(n - averaged(n), 0)
        sums = np.concatenate([[0.0], np.cumsum(loss)])
        return np.asarray((sums[n] - sums[first]) / (n - first) / (self.seq_length or 1))

    def last(self, count: int) -> NDArray[np.float64]:
        """The last `count` entries of `loss`, or all if there are fewer."""
        last, left = [np.zeros(0)], count
        for piece in reversed(self._pieces):  # without joining them all, ten times a second
            if left <= 0:
                break
            last.append(piece[0, -left:])
            left -= len(last[-1])
        return np.concatenate(last[::-1])

    def recent_loss(self) -> float:
        """The last entry of `train_loss`: the mean loss of one prediction over the last updates."""
        return float(self.last(int(averaged(len(self)))).mean() / (self.seq_length or 1))

    def cut(self, updates: int, epochs: int) -> None:
        """For fastrnn itself: forget all that came after so many updates, and as many epochs."""
        self._pieces, self._length = [self._joined()[:, :updates].copy()], updates
        losses, at = self._validations
        self._validations = losses[at <= updates], at[at <= updates]
        self.accuracy = self.accuracy[:epochs]
        self.samples = [(at, text) for at, text in self.samples if at <= updates]

    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        kind = "squared error" if self.measure[0] == "squared error" else " per ".join(self.measure)
        last = f", training loss {self.recent_loss():.4g}" if len(self) else ""
        if self.valid_loss.size:
            last += f", validation loss {self.valid_loss[-1]:.4g}"
        samples = f", {self.count_samples()}" if self.samples else ""
        return f"<History of {len(self)} updates{samples}{last}{f' ({kind})' if last else ''}>"

    def _repr_html_(self) -> str:
        """How a notebook shows it: the last losses, and the curves."""
        return self.copy()._as_html()  # which does not grow in between

    def _as_html(self) -> str:
        if not len(self):
            return html.fragment("<p>History of no updates</p>")
        unit = self.measure[1]
        rows = [("updates", f"{len(self):,}"),
                ("training loss", f"{in_words(self.recent_loss(), self.measure, unit)}, mean of "
                 f"the last {min(len(self), averaged(len(self))):,} updates")]
        lines = [svg.Line("training", np.arange(1, len(self) + 1), self.train_loss)]
        if self.valid_loss.size:
            lowest, at = self.lowest_validation()
            rows += [("validation loss", in_words(self.valid_loss[-1], self.measure, unit)),
                     ("the lowest", f"{in_words(lowest, self.measure, unit)}, after "
                      f"{at:,} updates")]
            lines.append(svg.Line("validation", self.valid_updates, self.valid_loss, marked=True))
        if self.accuracy.size:
            rows.append(("accuracy", accuracy_in_words(self, unit)))
        if self.samples:
            rows.append(("samples", self.count_samples()))
        if self.stopped:
            rows.append(("ended", self.stopped))
        chart = svg.line_chart(lines, "update", f"loss ({' per '.join(self.measure)})",
                               title="losses of the training", width=560, height=260)
        return html.fragment(html.table(rows, name="History") + chart)

    def count_samples(self) -> str:
        """For fastrnn itself: how many samples there are, in words."""
        return f"{len(self.samples):,} sample{'s' * (len(self.samples) != 1)}"

    def plot(self, path: str | os.PathLike[str] | None = None, *, ax: Any = None) -> Any:
        """Draw the losses, as ``fastrnn.plot.loss`` does for one run or several.

        Parameters
        ----------
        path : str or path-like, optional
            Write the figure to this file: PNG, PDF or SVG.
        ax : matplotlib.axes.Axes, optional
            Draw here, in place of a new figure. In a notebook, and where matplotlib.pyplot is
            imported, a new figure is one of pyplot's: notebooks show it, and plt.show() does.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        ImportError
            matplotlib is not installed.
        ValueError
            There are no losses yet, or the ending of `path` is not known.
        """
        axes = draw_losses({"": self.copy()}, ax=ax)
        write(axes, path)
        return axes


def accuracy_in_words(history: History, unit: str) -> str:
    """The last accuracy for the screen."""
    epochs = len(history.accuracy)
    return (f"after {epochs} epoch{'s' * (epochs != 1)} the likeliest {unit} is the right one for "
            f"{history.accuracy[-1]:.2%} of the training data")


def averaged(updates: Any) -> Any:
    """Over how many of the last updates the training loss on the screen is a mean."""
    return np.maximum(LEAST_AVERAGED, np.asarray(updates) // 100)


def training_in_words(history: History, loss: str, unit: str) -> str:
    """The training loss for the screen; `loss` is which one was minimized."""
    if loss == "binary_cross_entropy":  # of which bits and perplexity have no meaning
        return f"{history.recent_loss():.3f} nats of binary cross-entropy per {unit}"
    return in_words(history.recent_loss(), history.measure, unit)


def in_words(loss: float, measure: tuple[str, str], unit: str) -> str:
    """A loss of one prediction for the screen: nats per symbol (named `unit`), with bits per symbol
    and the perplexity; or the squared error."""
    if measure[0] != "nats":
        return f"{loss:.4g} {measure[0]}"
    return (f"{loss:.3f} nats per {unit} ({loss / math.log(2):.3f} bits, "
            f"perplexity {math.exp(min(loss, 700)):.2f})")
