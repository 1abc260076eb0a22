"""Why gradients are clipped: the square root of 312 by gradient descent.

    python examples/square_root.py
    python examples/square_root.py --start 50 --learning-rate 5e-4 --steps 10000 --tolerance 1e-6

The warm-up of the names homework, with its numbers: gradient descent from x = 1 on (x^2 - n)^2,
whose derivative is 4 x (x^2 - n), with learning rate 0.01. So steep a function sends x to infinity
unless the gradient is clipped to a threshold. Which thresholds bring x to within 0.25 of the root
in 50 steps? A small one is too slow. A large one touches the root after a few steps and jumps over
it again: x is judged at the end, not at the first touch, and by whether it stays there for as many
steps again. Prints this for a range of thresholds, finer around the answer, the sequence of x and
gradients for the best one, and plots square_root.png, which needs pip install "fastrnn[plot]".
"""

import argparse
import math
from dataclasses import dataclass

import common
import numpy as np

SHOWN = 30  # steps of the beginning and of the end of a long sequence


@dataclass
class Descent:
    """Each x and derivative of steps with a threshold, twice as many as `steps`; x is infinite from
    where it left all bounds."""

    threshold: float
    x: np.ndarray
    derivatives: np.ndarray
    steps: int
    root: float
    tolerance: float
    longest: float  # how far that many steps go at most

    @property
    def distances(self) -> np.ndarray:
        """How far each x is from the root, or from minus the root."""
        return abs(abs(self.x) - self.root)

    @property
    def right(self) -> bool:
        """Whether x is there at the end."""
        return bool(self.distances[self.steps] <= self.tolerance)

    @property
    def stays(self) -> bool:
        """Whether it is still there after each of as many steps again."""
        return bool((self.distances[self.steps :] <= self.tolerance).all())

    @property
    def verdict(self) -> str:
        if self.stays:
            return "right, and stays"
        if self.right:
            return "right at the end, but does not stay"
        if not math.isfinite(self.x[self.steps]):
            return "wrong: to infinity"
        touched = np.flatnonzero(self.distances[: self.steps] <= self.tolerance)
        return (f"wrong: there after {touched[0]} steps, and away again" if touched.size else
                "wrong: too slow" if self.longest < self.distances[0] - self.tolerance else
                "wrong: not there")


def main() -> None:
    parser = common.parser(
        "A square root by clipped gradient descent.", number=312.0, learning_rate=0.01, start=1.0,
        steps=50, tolerance=(0.25, "distance from the root that is right"))
    common.run(scan, parser, picture="square_root.png")


def scan(options: argparse.Namespace) -> None:
    if not options.number > 0 or not options.learning_rate > 0 or options.start == 0:
        raise ValueError("number and learning rate must be above 0, and the start not 0, where the "
                         "derivative is 0")
    if options.steps < 1 or not options.tolerance > 0:
        raise ValueError("--steps must be at least 1 and --tolerance above 0")
    root = math.sqrt(options.number)
    # with this one all steps together are as long as the way
    least = abs(abs(options.start) - root) / (options.learning_rate * options.steps)
    coarse = [descend(options, c) for c in np.geomspace(1e-2, 1e5, 57)]
    fine = [descend(options, c) for c in least * np.arange(0.75, 1.5, 0.003)]
    print(f"the root of {options.number:g} is {root:.6f}; from x = {options.start:g} with learning "
          f"rate {options.learning_rate:g}, {options.steps:,} steps\n")
    table(coarse[::2])
    print(f"\nfiner around {least:.4g}, the least with which {options.steps:,} steps of full "
          "length reach the root:\n")
    table([*fine[::12], descend(options, math.inf)])
    works = [one for one in fine if one.right] or [one for one in coarse if one.right]
    best = None
    if works:
        stays = [one for one in works if one.stays]
        reaches = [one for one in stays if one.threshold >= least]
        best = min(reaches or stays or works, key=lambda one: one.distances[options.steps])
        stay = [one.threshold for one in stays]
        print(f"\nright after {options.steps:,} steps: thresholds from "
              f"{min(one.threshold for one in works):.4g} to "
              f"{max(one.threshold for one in works):.4g}, with gaps; of the {len(works)} tried "
              f"{len(stay)} stay there" + (f", from {min(stay):.4g} to {max(stay):.4g}" if stay
                                           else ""))
        print(f"best threshold {best.threshold:.4g}: x = {best.x[options.steps]:.6f} after "
              f"{options.steps:,} steps, {best.distances[options.steps]:.2g} from the root; "
              f"{best.verdict}\n")
        sequence(best)
    else:
        print("\nno threshold is right: give more steps, or another learning rate")
    draw(options, coarse, fine, best)


def descend(options: argparse.Namespace, threshold: float) -> Descent:
    """Gradient descent with the derivative clipped to [-threshold, threshold]."""
    x, found, derivatives = options.start, [options.start], []
    for _ in range(2 * options.steps):
        try:
            derivative = 4 * x * (x**2 - options.number)
            x -= options.learning_rate * min(max(derivative, -threshold), threshold)
        except OverflowError:
            derivative, x = math.inf, math.inf
        if not math.isfinite(x) or abs(x) > 1e100:
            x = math.inf
        derivatives.append(derivative)
        found.append(x)
    return Descent(threshold, np.array(found), np.array(derivatives), options.steps,
                   math.sqrt(options.number), options.tolerance,
                   threshold * options.learning_rate * options.steps)


def table(descents: list[Descent]) -> None:
    print(f"{'threshold':>10} {'x at the end':>13} {'from the root':>14} {'farthest later':>15}")
    for one in descents:
        end, later = one.distances[one.steps], one.distances[one.steps :].max()
        print(f"{one.threshold:10.4g} {one.x[one.steps]:13.6g} {end:14.3g} {later:15.3g}  "
              f"{one.verdict}")


def sequence(one: Descent) -> None:
    """Print each step of a descent; of a long one the first and last 30."""
    print(f"{'step':>6} {'x':>12} {'gradient':>12} {'clipped':>10}")
    steps = range(one.steps + 1)
    shown = steps if len(steps) <= 2 * SHOWN else [*steps[:SHOWN], *steps[-SHOWN:]]
    for step in shown:
        derivative = one.derivatives[step]
        clipped = min(max(derivative, -one.threshold), one.threshold)
        print(f"{step:6} {one.x[step]:12.6f} {derivative:12.4g} {clipped:10.4g}")


def draw(options, coarse, fine, best) -> None:
    figure = common.figure(12, 4.5)
    left, middle, right = figure.subplots(1, 3)
    for axes, descents in ((left, coarse), (middle, fine)):
        thresholds = [one.threshold for one in descents]
        end = np.array([one.distances[options.steps] for one in descents])
        later = np.array([one.distances[options.steps :].max() for one in descents])
        axes.semilogy(thresholds, np.where(np.isfinite(end), end, np.nan), ".", label="at the end")
        axes.semilogy(thresholds, np.where(np.isfinite(later), later, np.nan), "x", markersize=4,
                      label="farthest later")
        axes.axhline(options.tolerance, color="gray", linestyle=":", label="tolerance")
        axes.set(xlabel="threshold", ylabel="distance from the root")
        axes.legend(fontsize="small")
    left.set_xscale("log")
    figure.suptitle(f"root of {options.number:g}, learning rate {options.learning_rate:g}, "
                    f"{options.steps:,} steps")
    least = np.median([one.threshold for one in fine]) / 1.125
    chosen = [best.threshold] if best else []
    for threshold in sorted({*chosen, 0.5 * least, 15 * least}):
        one = descend(options, threshold)
        x = one.x[: min(2 * options.steps, 300) + 1]
        right.plot(np.where(abs(x) < 3 * one.root + abs(options.start), x, np.nan),
                   label=f"threshold {threshold:.3g}")
    right.axhline(math.sqrt(options.number), color="gray", linestyle=":", label="root")
    right.axvline(options.steps, color="gray", linewidth=0.5)
    right.set(xlabel="step", ylabel="x")
    right.legend(fontsize="small")
    for axes in (left, middle, right):
        axes.grid(alpha=0.3)
    common.save(figure, options.picture)


if __name__ == "__main__":
    main()
