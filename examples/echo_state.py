"""Echo state networks predict the Mackey-Glass series and continue sine curves.

    python examples/echo_state.py                      # ten networks of 1,000 units
    python examples/echo_state.py --seeds 3 --units 300

Mackey-Glass with tau 17 is the classic test of echo state networks (Jaeger 2001): a chaotic series.
Each network reads 4,000 steps and learns to predict the next one; then it runs freely from 100
places behind them, each prediction being the next input. The errors of one step and after 84 steps
are given as NRMSE: the root of the mean squared error over the 100 places, divided by the standard
deviation of the series. Then the same for sine curves of 100 samples, of which 30 are given. Prints
both and plots them to echo_state.png. The picture needs pip install "fastrnn[plot]".
"""

import argparse
import os
import time
from concurrent.futures import ThreadPoolExecutor

import common
import numpy as np

import fastrnn

TAU = 17
TRAINED, WARMUP, PLACES, AHEAD = 4000, 200, 100, 84  # steps; places of free runs
PLOTTED = 1500  # steps of a free run
SETTINGS = {"spectral_radius": 0.95, "leak_rate": 0.7, "input_scale": 1.0, "bias_scale": 0.2,
            "density": 0.1, "ridge": 1e-8, "warmup": WARMUP}
SINE = {"units": 200, "spectral_radius": 0.9, "leak_rate": 0.5, "bias_scale": 0.2, "ridge": 1e-6,
        "warmup": 10}
GIVEN = 30  # samples of a sine curve


def main() -> None:
    parser = common.parser(
        "Mackey-Glass and sine curves by echo state networks.", units=1000, seeds=(10, "networks"),
        threads=(os.cpu_count() or 1, "networks at a time"))
    common.run(predict, parser, picture="echo_state.png")


def predict(options: argparse.Namespace) -> None:
    if options.seeds < 1 or options.threads < 1:
        raise ValueError("--seeds and --threads must be at least 1")
    series = np.tanh(mackey_glass(TRAINED + 3000) - 1)[:, None]  # (steps, 1), scaled as Jaeger's
    start = time.perf_counter()
    # the reservoirs run without the interpreter's lock, so that threads are enough
    with ThreadPoolExecutor(options.threads) as pool:
        results = list(pool.map(lambda seed: fit(series, options.units, seed),
                                range(options.seeds)))
    one, runs = np.array([r[0] for r in results]), np.array([r[1] for r in results])
    truth = np.stack([series[p + 1 : p + 1 + AHEAD, 0] for p in places(series)])
    errors = nrmse(runs, truth, series)  # (seeds, AHEAD)
    print(f"Mackey-Glass, {options.seeds} networks of {options.units:,} units in "
          f"{time.perf_counter() - start:.1f} s: NRMSE of one step {np.median(one):.2e}, of "
          f"{AHEAD} steps {np.median(errors[:, -1]):.2e} (medians; the worst "
          f"{one.max():.2e} and {errors[:, -1].max():.2e})")

    curves, fresh = (fastrnn.tasks.sine(n, 99, seed=seed) for n, seed in ((200, 1), (100, 2)))
    network = fastrnn.EchoStateNetwork(**SINE)
    network.fit(list(curves.inputs), list(curves.targets))
    found = np.stack(network.predict(list(fresh.inputs)))
    continued = np.stack(network.generate(100 - GIVEN, list(fresh.inputs[:, :GIVEN])))
    rest = fresh.targets[:, GIVEN - 1 :]  # (100, 70, 1)
    squares = (continued - rest) ** 2
    print(f"sine curves, {SINE['units']} units: mean squared error of the next sample "
          f"{((found - fresh.targets)[:, 10:] ** 2).mean():.2e}, of the {100 - GIVEN} continued "
          f"ones {squares.mean():.2e} (100 fresh curves); of the median curve "
          f"{np.median(squares.mean(axis=(1, 2))):.2e}")
    common.save_model(network, options, "sine")
    common.save_model(results[0][3], options, "mackey-glass")
    draw(series, results[0][2], errors, fresh, continued, options.picture)


def mackey_glass(steps: int, seed: int = 0, part: int = 10) -> np.ndarray:
    """dx/dt = 0.2 x(t - tau) / (1 + x(t - tau)^10) - 0.1 x(t), a step being one unit of time.

    Mackey and Glass (1977), by the classic Runge-Kutta rule in `part` parts of a step, x(t - tau)
    inside a part lying halfway between its ends; the first 1,000 steps are left out.
    """
    delay, h = TAU * part, 1 / part
    x = np.empty((steps + 1000) * part + delay + 1)
    x[: delay + 1] = 1.2 + 0.1 * np.random.default_rng(seed).uniform(-1, 1, delay + 1)

    def slope(now, delayed):
        return 0.2 * delayed / (1 + delayed**10) - 0.1 * now

    for t in range(delay, len(x) - 1):
        first, last = x[t - delay], x[t - delay + 1]
        middle = (first + last) / 2
        k1 = slope(x[t], first)
        k2 = slope(x[t] + h / 2 * k1, middle)
        k3 = slope(x[t] + h / 2 * k2, middle)
        k4 = slope(x[t] + h * k3, last)
        x[t + 1] = x[t] + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return x[delay + 1 + 1000 * part :: part][:steps]


def places(series: np.ndarray) -> np.ndarray:
    """The last steps that are read before each free run."""
    return np.linspace(TRAINED + 200, len(series) - AHEAD - 2, PLACES).astype(int)


def fit(series: np.ndarray, units: int, seed: int) -> tuple[
        float, np.ndarray, np.ndarray, fastrnn.EchoStateNetwork]:
    """NRMSE of one step, the free runs (PLACES, AHEAD), a longer one from the first place, and the
    network."""
    network = fastrnn.EchoStateNetwork(units, seed=seed, **SETTINGS)
    network.fit(series[:TRAINED], series[1 : TRAINED + 1, 0])
    found = network.predict(series[:-1])[TRAINED:]
    runs = network.generate(AHEAD, [series[p - 499 : p + 1] for p in places(series)])
    longer = network.generate(PLOTTED, series[: places(series)[0] + 1])
    return float(nrmse(found, series[TRAINED + 1 :, 0], series)), np.stack(runs), longer, network


def nrmse(found: np.ndarray, truth: np.ndarray, series: np.ndarray) -> np.ndarray:
    """Over the places, which are the second last axis, or over the steps of one series."""
    axis = -2 if found.ndim > 1 else 0
    return np.sqrt(((found - truth) ** 2).mean(axis=axis)) / series.std()


def draw(series, longer, errors, fresh, continued, picture) -> None:
    figure = common.figure(11, 7)
    (glass, error), (sine, another) = figure.subplots(2, 2)
    t, first = np.arange(1, AHEAD + 1), places(series)[0] + 1
    glass.plot(np.arange(1, PLOTTED + 1), series[first : first + PLOTTED, 0], color="lightgray",
               linewidth=4, label="Mackey-Glass, tau 17")
    glass.plot(np.arange(1, PLOTTED + 1), longer, linewidth=1, label="a free run")
    glass.set(xlabel="steps of a free run", ylabel="value of the series", ylim=(-0.8, 0.7))
    glass.legend(ncols=2, loc="upper center")
    error.semilogy(t, np.median(errors, axis=0), label="median network")
    error.fill_between(t, errors.min(axis=0), errors.max(axis=0), alpha=0.2, label="all networks")
    error.axvline(84, color="gray", linewidth=0.8)
    error.set(xlabel="steps of a free run", ylabel="NRMSE")
    error.grid(alpha=0.3)
    error.legend()
    for axes, row in ((sine, 0), (another, 1)):
        axes.plot(np.arange(GIVEN), fresh.inputs[row, :GIVEN, 0], color="black", label="given")
        axes.plot(np.arange(GIVEN, 100), fresh.targets[row, GIVEN - 1 :, 0], color="gray",
                  linestyle=":", label="the curve")
        axes.plot(np.arange(GIVEN, 100), continued[row, :, 0], label="free run")
        axes.set(xlabel="sample", ylabel="value of the curve", ylim=(-1.5, 1.5))
    sine.set_title("sine curves")
    sine.legend(fontsize="small")
    common.save(figure, picture)


if __name__ == "__main__":
    main()
