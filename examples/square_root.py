"""Why gradients are clipped: the root of 312 by gradient descent.

    python examples/square_root.py
    python examples/square_root.py --number 2 --start 9 --learning-rate 0.05

The warm-up of the names homework: x goes down the slope of (x^2 - n)^2, which is 4 x (x^2 - n),
from x = 50. A slope so steep throws x to infinity at any rate that is not tiny; clipped to a
threshold it cannot. Scans the threshold, prints how many steps each needs, and draws them into
square_root.png. The picture needs pip install "fastrnn[plot]".
"""

import argparse
import importlib.util
import math
from pathlib import Path

import numpy as np


def main() -> None:
    parser = argparse.ArgumentParser(description="A square root by clipped gradient descent.")
    parser.add_argument("--number", type=float, default=312.0, help="default: %(default)s")
    parser.add_argument("--learning-rate", type=float, default=5e-4, help="default: %(default)s")
    parser.add_argument("--start", type=float, default=50.0, help="default: %(default)s")
    parser.add_argument("--steps", type=int, default=10_000, help="at most (default: %(default)s)")
    parser.add_argument("--tolerance", type=float, default=1e-6, help="default: %(default)s")
    parser.add_argument("--output", metavar="DIR", type=Path, default=Path("."),
                        help="where square_root.png goes (default: here)")
    options = parser.parse_args()
    try:
        run(options)
    except (OSError, ValueError, ImportError) as error:
        parser.error(str(error))


def run(options: argparse.Namespace) -> None:
    if importlib.util.find_spec("matplotlib") is None:
        raise ImportError('the picture needs matplotlib: pip install "fastrnn[plot]"')
    if not options.number > 0 or not options.learning_rate > 0 or options.start == 0:
        raise ValueError("number and learning rate must be above 0, and the start not 0, where the "
                         "slope is 0")
    root = math.sqrt(options.number)
    thresholds = np.geomspace(1e-2, 1e5, 57)
    ways = [descend(options, threshold) for threshold in thresholds]
    arrived = np.array([abs(abs(way[-1]) - root) < options.tolerance for way in ways])
    steps = np.array([len(way) - 1 for way in ways], float)
    print(f"the root of {options.number:g} is {root:.9f}; learning rate {options.learning_rate:g}, "
          f"from x = {options.start:g}\n\n{'threshold':>10}  what becomes of x")
    for threshold, way, right in list(zip(thresholds, ways, arrived, strict=True))[::4]:
        fate = (f"{way[-1]:.9f} after {len(way) - 1:,} steps" if right else
                "infinity" if not math.isfinite(way[-1]) else
                f"{way[-1]:.6f} after {len(way) - 1:,} steps, not there")
        print(f"{threshold:10.3g}  {fate}")
    never = descend(options, math.inf)
    end = f"{never[-1]:.6f}" if math.isfinite(never[-1]) else "infinity"
    print(f"{'no clipping':>10}  {end} after {len(never) - 1:,} steps")
    if arrived.any():
        best = np.flatnonzero(arrived)[steps[arrived].argmin()]
        print(f"\nbest threshold {thresholds[best]:.3g}: {len(ways[best]) - 1:,} steps")
    options.output.mkdir(parents=True, exist_ok=True)
    picture = options.output / "square_root.png"
    draw(options, thresholds, ways, arrived, steps, root, picture)
    print(f"the picture is in {picture}")


def descend(options: argparse.Namespace, threshold: float) -> list[float]:
    """All x on the way, until it is there, at infinity, or out of steps."""
    x, root = options.start, math.sqrt(options.number)
    way = [x]
    while len(way) <= options.steps and abs(abs(x) - root) >= options.tolerance:
        try:
            slope = 4 * x * (x**2 - options.number)
        except OverflowError:
            slope = math.inf
        x -= options.learning_rate * min(max(slope, -threshold), threshold)
        way.append(x)
        if not math.isfinite(x) or abs(x) > 1e100:
            way[-1] = math.inf
            break
    return way


def draw(options, thresholds, ways, arrived, steps, root, picture) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.loglog(thresholds[arrived], steps[arrived], marker=".", linestyle="", label="arrives")
    left.loglog(thresholds[~arrived], steps[~arrived], marker="x", linestyle="", label="does not")
    left.set(xlabel="threshold", ylabel="steps",
             title=f"root of {options.number:g}, learning rate {options.learning_rate:g}")
    left.legend()
    for i in range(8, len(thresholds), 12):
        if math.isfinite(ways[i][-1]):
            right.plot(ways[i][:300], label=f"threshold {thresholds[i]:.3g}")
    right.axhline(root, color="gray", linestyle=":")
    right.set(xlabel="step", ylabel="x")
    right.legend(fontsize="small")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.savefig(picture, dpi=150)


if __name__ == "__main__":
    main()
