"""Series that a network continues with its own outputs: whether that can be meant, what it must be
told of the steps ahead, and whether the forecast moves at all."""

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..validate import as_numbers, read_array

Numbers = NDArray[Any]
AT_REST, LEAST = 1e-3, 20  # fraction of the spread that is no movement; steps that can show it


class Targets:
    """What is known of targets (K numbers a step) that come in blocks.

    Attributes
    ----------
    count, mean, squares : float64 ndarray, shape (K,)
        How many are known (not NaN), their mean, and the sum of their squared distances from it.
    apart : float
        The sum of their squared distances from the inputs of the next steps.
    """

    def __init__(self, K: int) -> None:
        self.count, self.mean, self.squares = np.zeros(K), np.zeros(K), np.zeros(K)
        self.apart = 0.0

    def add(self, y: ArrayLike) -> None:
        """Targets (n, K) that come after those before (Chan, Golub and LeVeque 1979)."""
        y = np.asarray(y, np.float64)
        more = (~np.isnan(y)).sum(axis=0)
        with np.errstate(over="ignore"):
            mean = np.nansum(y / np.maximum(1, more), axis=0)
            step, part = np.where(more > 0, mean - self.mean, 0), more / np.maximum(
                1, self.count + more)
            self.squares += np.nansum((y - mean) ** 2, axis=0) + step * (self.count * part) * step
        self.mean += step * part
        self.count += more

    def compare(self, y: ArrayLike, following: ArrayLike) -> None:
        """Targets (n, K) of some steps beside the first K inputs (n, K) of the next ones."""
        with np.errstate(over="ignore"):
            self.apart += float(np.nansum(np.subtract(following, y, dtype=np.float64) ** 2))

    def are_next_inputs(self) -> bool:
        """Whether they can be meant as the next inputs: nearer to them than to their own mean."""
        return self.apart <= float(self.squares.sum())


def known_inputs(future: ArrayLike | None, N: int, steps: int, inputs: int,
                 predicted: int) -> NDArray[np.float64]:
    """`future` as an array (N, steps, inputs - predicted): the inputs that are not predicted, at
    the steps ahead of N series. It may be the same for all, and without the last axis where that is
    1. ValueError for another shape, or NaN."""
    width = inputs - predicted
    if not width:
        if future is not None:
            raise ValueError("future is for inputs that are not predicted, and here "
                             + ("all are" if inputs else "there are none") + ": leave it out")
        return np.empty((N, steps, 0))
    wanted = f"({steps}, {width})" if N == 1 else (
        f"({N}, {steps}, {width}), or ({steps}, {width}) for the same in all")
    which = (f"the {'last ' * (predicted > 0)}{width} of {inputs} inputs at each of the {steps} "
             "steps that are predicted")
    if future is None:
        raise ValueError(f"{predicted} of {inputs} inputs are predicted: give as future {which}, "
                         f"{wanted}")
    known = as_numbers("future", read_array("future", future)).astype(np.float64, copy=False)
    if width == 1 and known.shape in ((steps,), (N, steps)):
        known = known[..., None]
    if known.shape not in ((steps, width), (N, steps, width)):
        raise ValueError(f"future has the shape {known.shape} and must be {wanted}: {which}")
    if not np.isfinite(known).all():
        raise ValueError("future holds NaN or infinity: mend what is not finite")
    return np.broadcast_to(known, (N, steps, width))


def tell_where_flat(before: Iterable[Numbers], after: Iterable[Numbers], advice: str,
                    level: int) -> None:
    """Warn the caller so many levels up where the second half of the forecast (steps, K) of a
    series stands still, and as many outputs before it did not."""
    if any(_stands_still(*both) for both in zip(before, after, strict=True)):
        warnings.warn("the forecast is flat: the second half of it stands still, though the series "
                      f"before it moves. {advice}", UserWarning, stacklevel=level + 1)


def _stands_still(before: Numbers, after: Numbers) -> bool:
    steps = len(after)
    half, seen = after[steps // 2 :], before[-steps:]
    if steps < LEAST or len(seen) < LEAST:
        return False
    moved = np.ptp(half, axis=0) > AT_REST * np.ptp(seen, axis=0)
    return bool(not moved.any() and np.ptp(seen, axis=0).any())
