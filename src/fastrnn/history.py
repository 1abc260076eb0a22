"""The losses of a run."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray


class History:
    """The loss of every update, in nats per unroll (divide by seq_length for nats per symbol).

    Attributes
    ----------
    loss : float64 ndarray, shape (updates,)
        Cross-entropy, summed over the time steps of a window and averaged over the batch.
    smooth_loss : float64 ndarray, shape (updates,)
        s = 0.999 s + 0.001 loss, starting at the first loss (karpathy's min-char-rnn).
    stopped : str
        Why the last run ended: "finished", "interrupted" (Ctrl-C), "callback" or "error"; before
        that "".
    """

    def __init__(
        self,
        loss: NDArray[np.float64] | None = None,
        smooth_loss: NDArray[np.float64] | None = None,
    ) -> None:
        self._pieces = [(np.empty(0) if loss is None else loss,
                         np.empty(0) if smooth_loss is None else smooth_loss)]
        self.stopped = ""

    def extend(self, loss: NDArray[np.float64], smooth_loss: NDArray[np.float64]) -> None:
        """Add the losses of more updates; arrays of equal length."""
        self._pieces.append((loss, smooth_loss))

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
        return f"<History of {len(self)} updates{last}>"

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Draw the smoothed loss against the updates; write it to `path` (PNG, PDF, SVG) if given.

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
        try:
            from matplotlib.figure import Figure
        except ImportError:
            raise ImportError('plots need matplotlib: pip install "fastrnn[plot]"') from None
        figure = Figure(figsize=(8, 4.5), layout="constrained")
        axes = figure.add_subplot()
        every = max(1, len(self) // 5000)  # more points than pixels only make a large file
        updates = np.arange(1, len(self) + 1)
        axes.plot(updates[::every], self.smooth_loss[::every])
        axes.set(xlabel="update", ylabel="smoothed loss (nats per unroll)")
        axes.grid(alpha=0.3)
        if path is not None:
            figure.savefig(path, dpi=150)
        return axes
