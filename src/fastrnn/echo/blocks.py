"""The fit of a series that comes in blocks."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .free_run import moments
from .reservoir import Noise, Reservoir
from .ridge import Ridge

Array = NDArray[Any]


class Blocks:
    """A series of which each block goes on where the one before ended: the state of the reservoir,
    the sums of the regression, and what is known of the targets (K of them a step)."""

    def __init__(self, reservoir: Reservoir, sums: Ridge, noise: Noise, warmup: int,
                 K: int) -> None:
        self.reservoir, self.sums, self.noise, self.warmup = reservoir, sums, noise, warmup
        self.fitted = np.zeros(K, np.int64)  # steps with a known target behind the warm-up
        self.count, self.mean, self.squares = np.zeros(K), np.zeros(K), np.zeros(K)
        self.apart = 0.0  # squared distance of the targets from the next inputs
        self.begin()

    def begin(self) -> None:
        """The next block is the first of another series."""
        self.state, self.steps = self.reservoir.start(), 0
        self.before: Array | None = None  # the last target
        self.last = self.state[1].copy()  # what was fed back, without noise

    def add(self, u: Array, y: Array, weights: Array | None) -> None:
        """Read a block of inputs u (T, D) and targets y (T, K), with the weights (T,) of its
        steps."""
        skipped = max(0, self.warmup - self.steps)
        fed = None
        if self.last.size:  # fed back also where the first targets are not known
            known = filled(np.concatenate([self.last[None], y]))[1:]
            fed, self.last = self.noise.of_feedback(known), known[-1]
        for start, features in self.reservoir.features(u, fed, skipped, self.sums.centre,
                                                       self.state, self.noise):
            rows = slice(start, start + len(features))
            w = None if weights is None else weights[rows]
            self.sums.add(features, y[rows], w)
            known = ~np.isnan(y[rows])
            self.fitted += (known if w is None else known & (w[:, None] > 0)).sum(axis=0)
        self.steps += len(u)
        self._tell(u.astype(np.float64), y.astype(np.float64))

    def _tell(self, u: Array, y: Array) -> None:
        """Means and squares about them of the blocks together (Chan, Golub and LeVeque 1979)."""
        more = np.where(np.isnan(y), 0, 1).sum(axis=0)
        mean = np.nansum(y, axis=0) / np.maximum(1, more)
        total, step = np.maximum(1, self.count + more), mean - self.mean
        self.squares += np.nansum((y - mean) ** 2, axis=0) + step**2 * self.count * more / total
        self.mean += np.where(more > 0, step, 0) * more / total
        self.count += more
        targets = y[:-1] if self.before is None else np.concatenate([self.before[None], y[:-1]])
        if u.shape[1] >= y.shape[1]:
            self.apart += float(np.nansum((u[len(u) - len(targets) :, : y.shape[1]] - targets)**2))
        self.before = y[-1]

    @property
    def about(self) -> NDArray[np.float64]:
        """The mean and standard deviation (2, K) of the known targets."""
        return moments(self.mean, np.sqrt(self.squares / np.maximum(1, self.count)))

    @property
    def continues(self) -> bool:
        """Whether the targets can be meant as the next inputs, nearer to them than to their own
        mean."""
        fits = self.reservoir.Win.shape[1] >= len(self.mean)
        return fits and self.apart <= float(self.squares.sum())


def filled(y: Array) -> Array:
    """The targets that are fed back: the last known one where it is missing, 0 before the first."""
    missing = np.isnan(y)
    if not missing.any():
        return y
    steps = np.where(missing, -1, np.arange(len(y))[:, None])
    last = np.maximum.accumulate(steps, axis=0)
    found: Array = np.where(last < 0, 0, np.take_along_axis(y, last, axis=0))
    return found.astype(y.dtype, copy=False)
