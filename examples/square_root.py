"""Why gradients are clipped: the square root of 312 by gradient descent.

    python examples/square_root.py
    python examples/square_root.py --number 2 --start 9 --learning-rate 0.05

The warm-up of the names homework: gradient descent from x = 50 on (x^2 - n)^2, whose derivative is
4 x (x^2 - n). So steep a function sends x to infinity unless the learning rate is tiny or the
gradient is clipped to a threshold. Tries a range of thresholds, prints how many steps each needs,
and plots them to square_root.png. The picture needs pip install "fastrnn[plot]".
"""

import argparse
import math

import common
import numpy as np


def main() -> None:
    parser = common.parser(
        "A square root by clipped gradient descent.", number=312.0, learning_rate=5e-4, start=50.0,
        steps=(10_000, "at most"), tolerance=1e-6)
    common.run(scan, parser, picture="square_root.png")


def scan(options: argparse.Namespace) -> None:
    if not options.number > 0 or not options.learning_rate > 0 or options.start == 0:
        raise ValueError("number and learning rate must be above 0, and the start not 0, where the "
                         "derivative is 0")
    root = math.sqrt(options.number)
    thresholds = np.geomspace(1e-2, 1e5, 57)
    paths = [descend(options, threshold) for threshold in thresholds]
    arrived = np.array([abs(abs(path[-1]) - root) < options.tolerance for path in paths])
    steps = np.array([len(path) - 1 for path in paths], float)
    print(f"the root of {options.number:g} is {root:.9f}; learning rate {options.learning_rate:g}, "
          f"from x = {options.start:g}\n\n{'threshold':>10}  x in the end")
    for threshold, path, right in list(zip(thresholds, paths, arrived, strict=True))[::4]:
        end = (f"{path[-1]:.9f} after {len(path) - 1:,} steps" if right else
               "infinity" if not math.isfinite(path[-1]) else
               f"{path[-1]:.6f} after {len(path) - 1:,} steps, not there")
        print(f"{threshold:10.3g}  {end}")
    never = descend(options, math.inf)
    end = f"{never[-1]:.6f}" if math.isfinite(never[-1]) else "infinity"
    print(f"{'no clipping':>10}  {end} after {len(never) - 1:,} steps")
    if arrived.any():
        best = np.flatnonzero(arrived)[steps[arrived].argmin()]
        print(f"\nbest threshold {thresholds[best]:.3g}: {len(paths[best]) - 1:,} steps")
    draw(options, thresholds, paths, arrived, steps, root)


def descend(options: argparse.Namespace, threshold: float) -> list[float]:
    """Each x until it has arrived, is infinite, or the steps are used up."""
    x, root = options.start, math.sqrt(options.number)
    path = [x]
    while len(path) <= options.steps and abs(abs(x) - root) >= options.tolerance:
        try:
            derivative = 4 * x * (x**2 - options.number)
        except OverflowError:
            derivative = math.inf
        x -= options.learning_rate * min(max(derivative, -threshold), threshold)
        path.append(x)
        if not math.isfinite(x) or abs(x) > 1e100:
            path[-1] = math.inf
            break
    return path


def draw(options, thresholds, paths, arrived, steps, root) -> None:
    figure = common.figure(11, 4.2)
    left, right = figure.subplots(1, 2)
    left.loglog(thresholds[arrived], steps[arrived], marker=".", linestyle="", label="arrives")
    left.loglog(thresholds[~arrived], steps[~arrived], marker="x", linestyle="", label="does not")
    left.set(xlabel="threshold", ylabel="steps",
             title=f"root of {options.number:g}, learning rate {options.learning_rate:g}")
    left.legend()
    for i in range(8, len(thresholds), 12):
        if math.isfinite(paths[i][-1]):
            right.plot(paths[i][:300], label=f"threshold {thresholds[i]:.3g}")
    right.axhline(root, color="gray", linestyle=":")
    right.set(xlabel="step", ylabel="x")
    right.legend(fontsize="small")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    common.save(figure, options.picture)


if __name__ == "__main__":
    main()
