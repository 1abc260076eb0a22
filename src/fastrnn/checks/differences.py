"""One entry of a gradient against finite differences: right, wrong, or not to be told."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
EPS = float(np.finfo(np.float64).eps)
SURE = 4  # so many times its typical size is the most that rounding is taken to be
LOST = 16 * EPS  # a step that is at most this part of a number is lost in its rounding
SECOND_LOOK = 4.0 ** np.arange(-4, 6)  # steps of the second look, in units of the first step

# right, or 0 twice; wrong; so small that rounding could hide an error of the tolerance; the
# numerical gradient depends on the step
Status = Literal["right", "zero", "wrong", "small", "unsettled"]
Estimate = tuple[float, float, float]  # a numerical gradient, and how far it may be off: `_best`


@dataclass(frozen=True)
class Entry:
    """An entry of the gradient: analytic and numerical.

    Attributes
    ----------
    index : tuple of int
    analytic, numeric : float
        Of the backward pass; the best numerical one, which is `central` where that is good enough.
    error : float
        |a - n| / max(1e-12, |a| + |n|) of these two: what the report judges.
    status : str
        "right"; "zero", twice; "wrong"; "small", so that rounding could hide an error of the
        tolerance; or "unsettled", where the numerical gradient depends on the step.
    central : float
        The central difference with the report's step, as in the courses.
    """

    index: tuple[int, ...]
    analytic: float
    numeric: float
    error: float
    status: Status
    central: float

    @property
    def difference(self) -> float:
        """|a - n|, n the central difference."""
        return abs(self.analytic - self.central)

    def course_error(self, eps: float = 1e-6) -> float:
        """|a - n| / max(eps, |a| + |n|), n the central difference."""
        return self.difference / max(eps, abs(self.analytic) + abs(self.central))


@dataclass(frozen=True)
class Losses:
    """Losses as a function of arrays that are changed in place.

    values() are the losses with the arrays as they are now, `start` those before any change,
    total(change) is the sum of a change of them, and `noise` about how far it is off because the
    losses are rounded."""

    values: Callable[[], Array]
    total: Callable[[Array], float]
    start: Array
    noise: float

    def difference(self, p: Array, index: tuple[int, ...], step: float) -> tuple[float, float]:
        """The central difference for an entry of p, and by how much the slope to its right is
        larger than that to its left."""
        before = p[index]
        high = before + step
        low = before - (high - before)  # as far on the other side, rounded as they are
        p[index] = high
        above = self.values()
        p[index] = low
        below = self.values()
        p[index] = before
        # changes before sums, whose rounding would hide them
        rise, bend = above - below, (above - self.start) - (self.start - below)
        return self.total(rise) / (high - low), 2 * self.total(bend) / (high - low)

    def check(self, p: Array, index: tuple[int, ...], a: float, step: float,
              tolerance: float) -> Entry:
        """Compare the analytic gradient a of an entry of p with its central difference, and where
        that does not show it to be right, with better ones."""
        if step <= LOST * abs(p[index]):
            raise ValueError(f"step {step:g} is lost when it is added to {p[index]:g}: give a "
                             "larger one")
        central = n = float(self.difference(p, index, step)[0])
        error, size = relative_error(a, n)
        if a == n == 0:
            return Entry(index, a, n, error, "zero", n)
        if error < tolerance and SURE * self.noise / step <= tolerance * size:
            return Entry(index, a, n, error, "right", n)
        if not math.isfinite(a):
            return Entry(index, a, n, error, "wrong", n)
        (n, rounding, spread), *sides = self._second_look(p, index, step)
        if math.isnan(n):  # for every step
            return Entry(index, a, n, math.inf, "wrong", central)
        error, size = relative_error(a, n)
        if error >= tolerance and spread <= 0.01 * abs(n) + rounding \
                and abs(a - n) > rounding + SURE * spread:
            return Entry(index, a, n, error, "wrong", central)
        if rounding > tolerance * size and rounding >= spread:
            return Entry(index, a, n, error, "small", central)
        if error >= tolerance:  # beside a kink the gradient is the slope of one side
            for slope, off_by_rounding, apart in sides:
                near, size = relative_error(a, slope)
                if near < tolerance and off_by_rounding + apart <= tolerance * size:
                    return Entry(index, a, slope, near, "right", central)
        status: Status = "right" if error < tolerance else "unsettled"
        return Entry(index, a, n, error, status, central)

    def _second_look(self, p: Array, index: tuple[int, ...], step: float) -> list[Estimate]:
        """The numerical gradient, extrapolated from differences of many steps, and then the slopes
        to the right and to the left, extrapolated too."""
        steps = step * SECOND_LOOK
        steps = steps[steps > LOST * abs(p[index])]
        with np.errstate(all="ignore"):  # a large step may leave the domain of a function
            D, bend = np.array([self.difference(p, index, h) for h in steps]).T
        rounding = SURE * self.noise / steps
        # where the loss is smooth the slopes on both sides differ in proportion to the step
        kink = np.abs(bend[:-1] - bend[1:] / 4) - SURE * rounding[:-1]
        estimates = [_best((16 * D[:-1] - D[1:]) / 15, rounding, kink)]  # error h^4
        for slope in (D + bend / 2, D - bend / 2):  # error h
            linear = (4 * slope[:-1] - slope[1:]) / 3  # error h^2
            estimates.append(_best((16 * linear[:-1] - linear[1:]) / 15, 3 * rounding, kink * 0))
        return estimates


def _best(n: Array, rounding: Array, kink: Array) -> Estimate:
    """The best of the estimates n, from the smallest step to the largest: at most how far it is off
    by rounding, and how far it is from those of all smaller steps and of the next larger one, or
    off by a kink if that is more. NaN if no step gives a number."""
    best = math.nan, math.inf, math.inf
    for k in range(1, len(n) - 1):  # at least three that agree, which is no accident
        near = slice(k + 2)
        apart = np.abs(n[near] - n[k]) - rounding[near] - rounding[k]
        spread = np.maximum(0, [*apart, kink[k]]).max()
        if rounding[k] + spread < best[1] + best[2]:  # never where a number is NaN
            best = float(n[k]), float(rounding[k]), float(spread)
    return best


def relative_error(a: float, n: float) -> tuple[float, float]:
    """|a - n| / max(1e-12, |a| + |n|), inf where it is no number, and this denominator."""
    size = max(1e-12, abs(a) + abs(n))
    return float(abs(a - n) / size) if math.isfinite(a - n) else math.inf, size


def noise_of_losses(start: Array, sequences: int) -> float:
    """About how far the sum over time and mean over the sequences of losses is off if each is
    rounded by itself."""
    eps = float(np.finfo(start.dtype).eps) if start.dtype.kind == "f" else EPS
    return float(eps * np.linalg.norm(start) / sequences)


def amplified_noise(noise: float, weights: Array, change: Callable[[], float],
                    rng: np.random.Generator) -> float:
    """The noise of a network that amplifies the rounding of its states: change() is that of the
    loss, measured with all weights rounded in another way. At most 1000 times `noise`, beyond which
    the differences are said not to settle, rather than to be rounded."""
    before, changes = weights.copy(), []
    for _ in range(4):
        weights[:] = before * (1 + EPS * rng.uniform(-1, 1, before.shape))
        changes.append(change())
    weights[:] = before
    return float(np.clip(np.sqrt(np.mean(np.square(changes))), noise, 1000 * noise))
