"""Numbers as a network reads and predicts them: without their mean, divided by their deviation."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[Any]
MOST = 1e150  # the square of a larger deviation, or of one below 1 / MOST, is no float64


@dataclass(frozen=True, eq=False)
class Scaling:
    """How a model scales the numbers of its inputs and its targets, each feature by itself.

    Attributes
    ----------
    inputs : float64 ndarray, shape (2, D), or None
        The mean and the standard deviation of each of the D numbers of an input; None where inputs
        are symbols, or not scaled.
    targets : float64 ndarray, shape (2, K), or None
        The same of the K numbers of a target.
    """

    inputs: NDArray[np.float64] | None = None
    targets: NDArray[np.float64] | None = None

    @property
    def units(self) -> NDArray[np.float64] | None:
        """The squares of the deviations of the targets, shape (K,): a squared error of scaled
        numbers times these is one in the units of the data."""
        return None if self.targets is None else self.targets[1] ** 2

    @property
    def tensors(self) -> dict[str, NDArray[np.float64]]:
        """The arrays that a file stores, by name."""
        return {name: array for name, array in (("inputs", self.inputs), ("targets", self.targets))
                if array is not None}


def statistics(name: str, rows: Numbers, first: int = 0) -> NDArray[np.float64]:
    """The mean and the standard deviation (2, D) of the columns of rows (n, D), in float64, NaN
    left out; 1 as the deviation of a column of equal numbers, and 0 as the mean of one without any.
    ValueError for a deviation beyond float64, where the message counts columns from `first`."""
    known = ~np.isnan(rows)
    if not known.all():
        columns = (rows[known[:, d], d, None] for d in range(rows.shape[1]))
        return np.concatenate([statistics(name, column if column.size else np.zeros((1, 1)), d)
                               for d, column in enumerate(columns)], axis=1)
    least, most = rows.min(axis=0).astype(np.float64), rows.max(axis=0).astype(np.float64)
    same = least == most
    # sums and squares of numbers that are at most 1
    size = np.where(same, 1.0, np.maximum(np.abs(least), np.abs(most)))
    mean = np.where(same, least, size * (rows / size).mean(axis=0))
    spread = np.where(same, 1.0, np.maximum(most - mean, mean - least))
    deviation = np.where(same, 1.0, spread * np.sqrt((((rows - mean) / spread) ** 2).mean(axis=0)))
    for d in np.flatnonzero(~((deviation >= 1 / MOST) & (deviation <= MOST))):
        raise ValueError(f"number {first + d} of the {name} has a deviation of {deviation[d]:.3g}, "
                         "which cannot be squared: give it in another unit")
    return np.stack([mean, deviation])


def scaled(numbers: Numbers, by: NDArray[np.float64]) -> NDArray[np.float64]:
    """Numbers (..., D) of the data as a network reads them, in float64: a mean far from 0 leaves
    fewer digits to float32."""
    return np.asarray((numbers - by[0]) / by[1])


def unscaled(numbers: Numbers, by: NDArray[np.float64]) -> NDArray[np.float64]:
    """Numbers (..., K) that a network predicts in the units of the data, in float64."""
    return np.asarray(numbers * by[1] + by[0])


def check(name: str, by: NDArray[np.float64]) -> None:
    """Raise ValueError unless an array (2, D) of a file could come from `statistics`."""
    if not (np.isfinite(by).all() and (by[1] >= 1 / MOST).all() and (by[1] <= MOST).all()):
        raise ValueError(f"{name} holds no means and deviations")
