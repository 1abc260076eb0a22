"""Forecasts of a series by recurrent networks, beside the simple ones that they have to beat.

    python examples/forecast.py                              # CO2, sunspots, Nile, a load
    python examples/forecast.py FILE --column load           # a CSV file of yours
    python examples/forecast.py FILE --column load --inputs temperature holiday --season 24

RNN, LSTM, GRU and echo state network beside the naive forecast (the last value), the seasonal naive
one (the value a season ago) and a linear autoregression (ridge regression on the last values). Each
learns to predict the next step and goes on with its own predictions for `--horizon` steps; inputs
that are known in advance are given to it. Trend and season are taken away by differences before
learning (`--difference`; by default each forecaster takes those with which it does best inside the
first training part) and added again afterwards.

Backtest: the last 40 % of the series are cut into `--folds` test blocks. For each block everything
(weights, scaling, penalties) is learned from what lies before it, and forecasts start at several
steps inside it. Errors: MAE and RMSE in the unit of the data, and MASE, the absolute error divided
by that of the seasonal naive forecast of one step (a season) in the training part (Hyndman and
Koehler 2006). Intervals are quantiles of the errors in earlier blocks; their coverage is counted in
the later ones, which took no part. Prints a table and which forecast wins, plots them to
forecast.png, and writes forecast-NAME.csv, the winner's forecast of the time after the series.
Needs pip install "fastrnn[examples]".
"""

import argparse
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import common
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from series import DATA_SETS, Series, filled, load, read

import fastrnn

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# history (t,) and known inputs (t + h, D) -> the next h values
Forecast = Callable[[np.ndarray, np.ndarray], np.ndarray]
# values (t,) and known inputs (t, D) of a training part -> what forecasts
Fit = Callable[[np.ndarray, np.ndarray], Forecast]
SIMPLE = "naive", "seasonal naive", "linear autoregression"
TESTED = 0.4  # of a series
STARTS = 16  # forecasts in a block, at most
READ = 150  # values that a network reads before a forecast, at most
WINDOWS = 500  # that a network is trained on, at most


def main() -> None:
    parser = common.parser(
        "Forecasts of a series, backtested.", file="a CSV file with a header, in order of time",
        folds=(5, "test blocks"), interval=(0.8, "fraction of values inside the intervals"),
        hidden_size=16, units=(200, "of the echo state network"), updates=(600, "of each network"),
        members=(3, "networks of which a forecast is the mean"), seed=0)
    parser.add_argument("--column", metavar="NAME", help="to forecast (default: the only one)")
    parser.add_argument("--inputs", metavar="NAME", nargs="+", default=[],
                        help="columns that are known in advance; rows at the end that have only "
                        "these are the future")
    parser.add_argument("--dataset", nargs="+", choices=DATA_SETS, default=list(DATA_SETS),
                        help="in place of FILE: of statsmodels, or the made-up load (default: all)")
    parser.add_argument("--season", type=int, help="steps after which the pattern repeats, 1 for "
                        "none (default: by the dates)")
    parser.add_argument("--horizon", type=int, help="steps to forecast (default: a season)")
    parser.add_argument("--difference", choices=("auto", "none", "step", "season", "both"),
                        default="auto", help="default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="two blocks and few updates, to see "
                        "that it works")
    common.run(compare, parser, picture="forecast.png")


def compare(options: argparse.Namespace) -> None:
    if options.quick:
        options.folds, options.updates, options.members = 2, 20, 1
    if options.folds < 2 or not 0 < options.interval < 1:
        raise ValueError("--folds must be at least 2, and --interval between 0 and 1")
    # where nothing can be known of the future it is right
    warnings.filterwarnings("ignore", "the forecast is flat")
    if options.file:
        every = [read(options.file, options.column, options.inputs, options.season,
                      options.horizon)]
    else:
        every = [load(name) for name in options.dataset]
        for series in every:
            series.season = options.season or series.season
            series.horizon = options.horizon or series.horizon
    results = [Backtest(series, options) for series in every]
    for result in results:
        report(result)
        write(result, options)
    draw(results, options.picture)


class Backtest:
    """All forecasts of the test blocks.

    Attributes
    ----------
    series : Series
    level : float
        The fraction of values that an interval shall hold.
    fits : dict of str to callable
        The forecasters.
    lags : dict of str to tuple of int
        The differences that those take which learn.
    starts : int ndarray, shape (folds, S)
        The steps where forecasts begin.
    found, errors : dict of str to ndarray, shape (folds, S, h)
        Forecasts, and value - forecast, NaN where there is no measurement.
    scaled : dict of str to ndarray, shape (folds,)
        MASE in each block.
    """

    def __init__(self, series: Series, options: argparse.Namespace) -> None:
        self.series, self.level = series, options.interval
        values, h, T, m = series.values, series.horizon, len(series.values), series.season
        block = int(TESTED * T) // options.folds
        begin = T - block * options.folds  # the first training part ends here
        if block < h or begin < 3 * m + h + 10:
            raise ValueError(f"{series.name} has {T} steps, too few for {options.folds} test "
                             f"blocks of at least {h} steps with three seasons of {m} before them: "
                             "give a smaller --horizon, --season or --folds")
        self.fits, self.lags = dict(simple(m, h)), {}
        for name, fit in learners(m, options).items():
            self.lags[name] = chosen_lags(fit, filled(values[:begin]), series.known[:begin], m, h,
                                          options.difference)
            self.fits[name] = learned(fit, self.lags[name])
        self.starts = np.array([spread(end, end + block - h) for end in range(begin, T, block)])
        truth = sliding_window_view(values, h)[self.starts]
        self.found = {name: np.array([self.forecasts(fit, starts) for starts in self.starts])
                      for name, fit in self.fits.items()}
        self.errors = {name: truth - found for name, found in self.found.items()}
        units = [naive_error(values[: starts[0]], m) for starts in self.starts]
        self.scaled = {name: np.nanmean(np.abs(errors), axis=(1, 2)) / units
                       for name, errors in self.errors.items()}

    def forecasts(self, fit: Fit, starts: np.ndarray) -> np.ndarray:
        """Forecasts (S, h) from each start, all learned from the values before the first."""
        series = self.series
        forecast = fit(filled(series.values[: starts[0]]), series.known[: starts[0]])
        return np.array([forecast(filled(series.values[:t]), series.known[: t + series.horizon])
                         for t in starts])

    def interval(self, name: str, folds: int) -> np.ndarray:
        """What is added to a forecast for the ends of its interval, (2, h): quantiles of the errors
        in the first so many blocks."""
        errors = self.errors[name][:folds].reshape(-1, self.series.horizon)
        return np.nanquantile(errors, [(1 - self.level) / 2, (1 + self.level) / 2], axis=0)

    def coverage(self, name: str) -> tuple[float, float]:
        """The fraction of the values of all blocks but the first that lie in the intervals from the
        blocks before, and the mean width of those."""
        inside, widths = [], []
        for fold in range(1, len(self.starts)):
            low, high = self.interval(name, fold)
            errors = self.errors[name][fold]
            inside.append(((errors >= low) & (errors <= high))[np.isfinite(errors)])
            widths.append(high - low)
        return float(np.concatenate(inside).mean()), float(np.mean(widths))

    @property
    def best_simple(self) -> str:
        return self.best(SIMPLE)

    @property
    def best_network(self) -> str:
        return self.best(self.fits.keys() - set(SIMPLE))

    @property
    def network_is_better(self) -> float:
        """In which fraction of the blocks."""
        return float((self.scaled[self.best_network] < self.scaled[self.best_simple]).mean())

    @property
    def winner(self) -> str:
        """The network only where it is clearly better."""
        return (self.best_network if self.network_is_better >= 0.8
                and self.best(self.fits) == self.best_network else self.best_simple)

    def best(self, among: Iterable[str]) -> str:
        """The one with the lowest MASE among those that are here."""
        return min(self.scaled.keys() & set(among), key=lambda name: self.scaled[name].mean())


def naive_error(values: np.ndarray, season: int) -> float:
    """The mean absolute error of the seasonal naive forecast of one season: the unit of MASE."""
    error = float(np.nanmean(np.abs(values[season:] - values[:-season])))
    if not error > 0:
        raise ValueError("the first part of the series repeats itself exactly, so that MASE has "
                         "no unit: give another --season")
    return error


def chosen_lags(fit: Fit, values: np.ndarray, known: np.ndarray, m: int, h: int,
                name: str) -> tuple[int, ...]:
    """Distances of the differences that a forecaster learns; "auto": those with which it forecasts
    the last 40 % of these values best, learned from the rest."""
    ways = {"none": (), "step": (1,), "season": (m,), "both": (m, 1)}
    if name != "auto":
        return ways[name]
    begin = int((1 - TESTED) * len(values))
    starts = spread(begin, len(values) - h)[::2]

    def error(lags: tuple[int, ...]) -> float:
        forecast = learned(fit, lags)(values[:begin], known[:begin])
        return float(np.mean([np.abs(forecast(values[:t], known[: t + h]) - values[t : t + h])
                              for t in starts]))

    return min([ways["none"], ways["step"]] if m == 1 else ways.values(), key=error)


def spread(first: int, last: int) -> np.ndarray:
    """Steps from the first to the last, at most `STARTS`."""
    return np.linspace(first, last, min(STARTS, last - first + 1)).astype(int)


def window_of(season: int) -> int:
    """Steps that the autoregression reads, and a network's training window."""
    return max(12, 2 * season)


def differenced(values: np.ndarray, lags: Sequence[int]) -> np.ndarray:
    """Values minus those so many steps before, once for each lag: (T, ...) to (T - sum, ...)."""
    for lag in lags:
        values = values[lag:] - values[:-lag]
    return values


def summed(differences: np.ndarray, history: np.ndarray, lags: Sequence[int]) -> np.ndarray:
    """The values (h,) after a history whose differences these are: the inverse of `differenced`."""
    if not lags:
        return differences
    steps = summed(differences, differenced(history, lags[:1]), lags[1:])
    values = list(history[-lags[0] :])
    for step in steps:
        values.append(values[-lags[0]] + step)
    return np.array(values[lags[0] :])


def simple(m: int, h: int) -> dict[str, Fit]:
    """Forecasts of h steps that learn nothing, for a season of m."""
    def naive(values: np.ndarray, known: np.ndarray) -> Forecast:
        return lambda history, known: np.full(h, history[-1])

    def seasonal(values: np.ndarray, known: np.ndarray) -> Forecast:
        return lambda history, known: np.resize(history[-m:], h)

    return {"naive": naive} | ({"seasonal naive": seasonal} if m > 1 else {})


def learners(m: int, options: argparse.Namespace) -> dict[str, Fit]:
    """The linear autoregression and the networks."""
    fits: dict[str, Fit] = {"linear autoregression": autoregression(window_of(m))}
    for cell in ("rnn", "lstm", "gru"):
        fits[cell.upper()] = mean_of(network(cell, window_of(m), options), options)
    return fits | {"echo state network": mean_of(echo_state(options), options)}


def learned(fit: Fit, lags: Sequence[int]) -> Fit:
    """A forecaster that learns differences with mean 0 and deviation 1 in the training part."""
    def fit_scaled(values: np.ndarray, known: np.ndarray) -> Forecast:
        z, k = differenced(values, lags), differenced(known, lags)
        mean, spread = z.mean(), z.std() or 1.0
        middle, width = k.mean(axis=0), np.where(k.std(axis=0) > 0, k.std(axis=0), 1.0)
        forecast = fit((z - mean) / spread, (k - middle) / width)

        def forecast_scaled(history: np.ndarray, known: np.ndarray) -> np.ndarray:
            found = forecast((differenced(history, lags) - mean) / spread,
                             (differenced(known, lags) - middle) / width)
            return summed(found * spread + mean, history, lags)

        return forecast_scaled

    return fit_scaled


def mean_of(fit: Callable[..., Forecast], options: argparse.Namespace) -> Fit:
    """The mean forecast of networks of several seeds, which is better than most of them."""
    def fit_all(values: np.ndarray, known: np.ndarray) -> Forecast:
        forecasts = [fit(values, known, options.seed + i) for i in range(options.members)]
        return lambda history, known: np.mean([f(history, known) for f in forecasts], axis=0)

    return fit_all


def autoregression(p: int) -> Fit:
    """y_t = w [1; y_{t-p}; ...; y_{t-1}; k_t] by ridge regression."""
    def fit(values: np.ndarray, known: np.ndarray) -> Forecast:
        lagged = sliding_window_view(values[:-1], p)  # (T - p, p)
        w, _ = ridge(np.column_stack([np.ones(len(lagged)), lagged, known[p:]]), values[p:])

        def forecast(history: np.ndarray, known: np.ndarray) -> np.ndarray:
            y = list(history[-p:])
            for k in known[len(history) :]:
                y.append(w @ [1, *y[-p:], *k])
            return np.array(y[p:])

        return forecast

    return fit


def ridge(X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, float]:
    """The weights (D,) with which X (T, D) predicts y (T,), the first one without a penalty, and
    their mean squared error of a step that is left out; the penalty is the one for which that is
    smallest."""
    fits = []
    for penalty in 10.0 ** np.arange(-3, 5):
        inverse = np.linalg.inv(X.T @ X + penalty * np.diag(np.arange(X.shape[1]) > 0))
        w = inverse @ X.T @ y
        leverage = ((X @ inverse) * X).sum(axis=1)
        fits.append((float((((y - X @ w) / (1 - leverage)) ** 2).mean()), penalty, w))
    error, _, w = min(fits, key=lambda fit: fit[0])
    return w, error


def network(cell: str, window: int, options: argparse.Namespace) -> Callable[..., Forecast]:
    """A recurrent network that reads (y_{t-1}, k_t) and predicts y_t, trained on windows."""
    def fit(values: np.ndarray, known: np.ndarray, seed: int) -> Forecast:
        inputs, targets = steps_of(values, known)
        first = np.unique(np.linspace(0, len(targets) - window, WINDOWS).astype(int))
        at = first[:, None] + np.arange(window)  # (windows, window)
        model = fastrnn.train(
            fastrnn.Sequences(inputs[at], targets[at]), preset="classic", cell=cell,
            hidden_size=options.hidden_size, init="xavier", batch_size=min(32, len(at)),
            optimizer="adam", learning_rate=5e-3, schedule="cosine", clip_value=None,
            clip_norm=1.0, weight_decay=0.01, updates=options.updates, seed=seed,
            threads=1, progress=False)

        def forecast(history: np.ndarray, known: np.ndarray) -> np.ndarray:
            read, future = read_and_future(history, known)
            return model.extrapolate(read[None], len(future),
                                     future=future[None] if future.size else None)[0, :, 0]

        return forecast

    return fit


def echo_state(options: argparse.Namespace) -> Callable[..., Forecast]:
    """An echo state network that reads the same."""
    def fit(values: np.ndarray, known: np.ndarray, seed: int) -> Forecast:
        inputs, targets = steps_of(values, known)
        model = fastrnn.EchoStateNetwork(
            options.units, spectral_radius=0.9, leak_rate=0.5, input_scale=0.3, bias_scale=0.2,
            ridge=1.0, warmup=20, seed=seed).fit(inputs, targets[:, 0])

        def forecast(history: np.ndarray, known: np.ndarray) -> np.ndarray:
            read, future = read_and_future(history, known)
            return model.generate(len(future), read, future=future if future.size else None)

        return forecast

    return fit


def steps_of(values: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (T - 1, 1 + D), the last value and what is known of the next step, and the targets
    (T - 1, 1), the next values."""
    return np.column_stack([values[:-1], known[1:]]), values[1:, None]


def read_and_future(history: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The inputs (t, 1 + D) before a forecast, and the known inputs (h, D) of its later steps."""
    t = len(history)
    inputs = np.column_stack([history, known[1 : t + 1]])[-READ:]
    return inputs, np.concatenate([known[t + 1 :], known[-1:]])  # the last one is not read


def report(result: Backtest) -> None:
    """Print a table of errors, and which forecast wins."""
    series, (folds, starts) = result.series, result.starts.shape
    print(f"\n{series.name}: {len(series.values)} {series.step}s, season {series.season}; "
          f"{folds} blocks of {starts} forecasts of {series.horizon} {series.step}s\n"
          f"{series.unit:24}     MAE    RMSE   MASE  inside {result.level:.0%} intervals, width  "
          "differences")
    for name, errors in result.errors.items():
        inside, width = result.coverage(name)
        lags = " and ".join(map(str, result.lags.get(name, ()))) or "none"
        print(f"  {name:22}{np.nanmean(np.abs(errors)):8.4g}"
              f"{np.sqrt(np.nanmean(errors**2)):8.4g}{result.scaled[name].mean():7.3f}"
              f"{inside:12.0%}{width:17.4g}  {lags if name in result.lags else '-'}")
    plain, network = result.best_simple, result.best_network
    one, other = (result.scaled[name].mean() for name in (plain, network))
    verdict = ("a network wins" if result.winner == network else "the simple forecast wins"
               if one <= other else "no clear winner, so the simple forecast will do")
    print(f"  {verdict}: MASE of {plain} {one:.3f}, of {network} {other:.3f}, which is better in "
          f"{result.network_is_better:.0%} of the blocks", flush=True)


def write(result: Backtest, options: argparse.Namespace) -> None:
    """Forecast what comes after the series by the winner, learned from all of it, with intervals,
    into forecast-NAME.csv."""
    series, h, name = result.series, result.series.horizon, result.winner
    T, (later, D) = len(series.values), series.known.shape
    if D and later < T + h:
        print(f"  no forecast of the time after the series: {', '.join(series.inputs)} known for "
              f"{later - T} of its {h} steps; add rows that have only these inputs")
        return
    values, known = filled(series.values), series.known[: T + h] if D else np.empty((T + h, 0))
    forecast = result.fits[name](values, known[:T])(values, known)
    low, high = forecast + result.interval(name, len(result.starts))
    path = options.output / f"forecast-{series.name}.csv"
    rows = zip(series.later(), forecast, low, high, strict=True)
    path.write_text(f"{series.step},forecast,low,high\n" + "".join(
        f"{when},{value:.6g},{least:.6g},{most:.6g}\n" for when, value, least, most in rows))
    print(f"  the next {h} {series.step}s by {name} are in {path}", flush=True)


def draw(results: list[Backtest], picture: Path) -> None:
    """For each series the last forecast of the backtest, and MASE of every forecaster."""
    figure = common.figure(12, 0.5 + 3.3 * len(results))
    places = figure.subplots(len(results), 2, squeeze=False, width_ratios=(3, 2))
    for (shown, compared), result in zip(places, results, strict=True):
        draw_forecast(shown, result)
        draw_errors(compared, result)
    common.save(figure, picture)


def draw_forecast(axes: "Axes", result: Backtest) -> None:
    series, h, (folds, _) = result.series, result.series.horizon, result.starts.shape
    start = result.starts[-1, -1]
    first = max(0, start - max(2 * series.season, 3 * h))
    winner = result.winner
    found = {name: result.found[name][-1, -1] for name in (result.best_simple, result.best_network)}
    fastrnn.plot.forecast(
        series.values[first : start + h], found,
        {winner: found[winner] + result.interval(winner, folds - 1)}, start=start - first,
        times=series.times[first : start + h], level=result.level, name=series.name,
        unit=series.unit, step=series.step, ax=axes)


def draw_errors(axes: "Axes", result: Backtest) -> None:
    for place, scaled in enumerate(result.scaled.values()):
        axes.plot([scaled.min(), scaled.max()], [place, place], color="gray", linewidth=1)
        axes.plot(scaled.mean(), place, color="black", marker="o", markersize=5)
        axes.annotate(f"{scaled.mean():.2f}", (scaled.mean(), place), (0, 6),
                      textcoords="offset points", ha="center", fontsize="small")
    axes.axvline(1, color="gray", linewidth=0.8, linestyle=":")
    axes.set_yticks(range(len(result.scaled)), list(result.scaled))
    axes.set(xlabel="MASE (mark: mean; line: best to worst block)", ylabel="forecast",
             xlim=(0, None), ylim=(len(result.scaled) - 0.5, -0.7))
    axes.grid(axis="x", alpha=0.3)


if __name__ == "__main__":
    main()
