"""examples/forecast.py: errors, intervals and differences; nothing learned from the future."""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

import common
import numpy as np
import pytest

pytest.importorskip("pandas")

import forecast
import series

# five updates make no good network
pytestmark = pytest.mark.filterwarnings("ignore:the model is worse than the mean")
EXAMPLE = Path(common.__file__).with_name("forecast.py")
QUICK = {"folds": 3, "interval": 0.8, "hidden_size": 4, "units": 20, "updates": 5, "members": 1,
         "seed": 0, "difference": "none"}


def run(*arguments, cwd):
    return subprocess.run([sys.executable, EXAMPLE, *map(str, arguments)], cwd=cwd,
                          capture_output=True, encoding="utf-8",
                          env=os.environ | {"PYTHONUTF8": "1"})


def backtest(values, known=None, season=4, horizon=3, **options):
    values = np.asarray(values, float)
    known = np.empty((len(values), 0)) if known is None else known
    return forecast.Backtest(
        series.Series("made", "unit", "step", values, known, np.arange(len(known)), season,
                      horizon, [f"k{i}" for i in range(known.shape[1])]),
        argparse.Namespace(**QUICK | options))


@pytest.fixture
def values():
    rng = np.random.default_rng(0)
    return 5 + np.tile([0, 2, 1, -1], 40) + rng.normal(0, 0.3, 160)


@pytest.mark.parametrize("lags", [(), (1,), (7,), (7, 1), (1, 3)])
def test_differences_and_their_inverse(lags):
    y = np.random.default_rng(1).normal(size=(30, 2)).cumsum(axis=0)
    z = forecast.differenced(y, lags)
    if lags == (7, 1):
        np.testing.assert_allclose(z, y[8:] - y[1:-7] - y[7:-1] + y[:-8])
    np.testing.assert_allclose(forecast.summed(z[-9:, 0], y[:-9, 0], lags), y[-9:, 0])


def test_ridge_with_the_penalty_of_the_smallest_error_left_out():
    """Against scikit-learn's ridge regression, and every step left out in turn."""
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(2)
    X = rng.normal(size=(25, 8))
    y = 3 + X @ rng.normal(size=8) + rng.normal(size=25)
    w, error = forecast.ridge(np.column_stack([np.ones(25), X]), y)
    left_out = {}
    for penalty in 10.0 ** np.arange(-3, 5):
        left_out[penalty] = np.mean([
            (y[i] - Ridge(penalty).fit(np.delete(X, i, 0), np.delete(y, i)).predict(X[[i]])[0]) ** 2
            for i in range(25)])
    best = min(left_out, key=left_out.get)
    model = Ridge(best).fit(X, y)
    assert error == pytest.approx(left_out[best], rel=1e-8)
    np.testing.assert_allclose(w, [model.intercept_, *model.coef_], rtol=1e-8)


def test_errors_of_the_simple_forecasts(values):
    """MAE and MASE (Hyndman and Koehler 2006) once more, start by start."""
    values[97] = np.nan
    result = backtest(values)
    assert result.starts.shape == (3, 16)
    assert [tuple(starts[[0, -1]]) for starts in result.starts] == [(97, 115), (118, 136),
                                                                     (139, 157)]
    for fold, starts in enumerate(result.starts):
        errors = []
        for place, t in enumerate(starts):
            last = values[96] if t == 98 else values[t - 1]
            np.testing.assert_allclose(result.found["naive"][fold, place], [last] * 3)
            errors += [abs(values[t + i] - last) for i in range(3)]
        train = values[: starts[0]]
        unit = np.nanmean([abs(train[t] - train[t - 4]) for t in range(4, len(train))])
        assert result.scaled["naive"][fold] == pytest.approx(np.nanmean(errors) / unit)
    np.testing.assert_allclose(result.found["seasonal naive"][1, 0], values[114:117])
    assert result.best_simple == "linear autoregression" or result.scaled["naive"].mean() > 1
    assert np.isnan(result.errors["naive"]).sum() == 1


def test_a_linear_series_is_forecast_by_the_autoregression():
    """x_t = 1.6 x_{t-1} - 0.9 x_{t-2} + 1 without noise."""
    x = [1.0, 2.0]
    for _ in range(150):
        x.append(1.6 * x[-1] - 0.9 * x[-2] + 1 + 0.3 * (len(x) % 17 == 0))
    result = backtest(x[:100], season=1, horizon=5)
    assert result.scaled["linear autoregression"].mean() < 0.5 * result.scaled["naive"].mean()
    assert "seasonal naive" not in result.fits


@pytest.mark.parametrize("difference", ["none", "both"])
def test_known_inputs_are_used(difference):
    """y_t = 2 k_t + 0.5 k_{t-1}: a random input, so that nothing else can know it."""
    k = np.random.default_rng(3).normal(size=(203, 1))
    values = 2 * k[1:201, 0] + 0.5 * k[:200, 0]
    settings = {"difference": difference, "updates": 1000, "hidden_size": 8, "units": 50}
    result = backtest(values, k[1:], season=2, **settings)
    without = backtest(values, season=2, **settings)
    for name in ("linear autoregression", "RNN", "echo state network"):
        assert result.scaled[name].mean() < 0.5 * without.scaled[name].mean(), name


def test_nothing_is_learned_from_the_future(values):
    """Forecasts from a block's first step are the same whatever comes then; and so is the choice of
    the differences."""
    changed = values.copy()
    t = 97
    changed[t:] = 1e3 * np.random.default_rng(4).normal(size=len(values) - t)
    options = {"difference": "auto", "updates": 3}
    one, other = backtest(values, **options), backtest(changed, **options)
    assert one.starts[0, 0] == t and one.lags == other.lags
    for name in one.fits:
        np.testing.assert_array_equal(one.found[name][0, 0], other.found[name][0, 0])
        assert not np.array_equal(one.found[name][1, 0], other.found[name][1, 0])


def test_intervals_are_quantiles_of_earlier_errors():
    """A block's interval takes no part of its own errors."""
    values = np.random.default_rng(5).normal(size=300).cumsum()
    result = backtest(values, season=1, horizon=2)
    e = result.errors["naive"]
    low, high = result.interval("naive", 2)
    for step in range(2):
        found = np.sort(e[:2, :, step].ravel())
        place = 0.1 * (len(found) - 1)  # between two of them in order
        below = found[int(place)] + place % 1 * (found[int(place) + 1] - found[int(place)])
        assert low[step] == pytest.approx(below) and np.mean(found > high[step]) < 0.15
    inside = 0
    for fold in (1, 2):
        for step in range(2):
            low, high = np.quantile(e[:fold, :, step], [0.1, 0.9])
            inside += np.sum((low <= e[fold, :, step]) & (e[fold, :, step] <= high))
    assert result.coverage("naive")[0] == pytest.approx(inside / e[1:].size)


def test_quick_run_on_a_table(tmp_path):
    """Semicolons, decimal commas, dates, a missing value and a missing row, a known input that
    reaches further than the series."""
    rng = np.random.default_rng(6)
    days = np.datetime64("2024-01-01") + np.arange(207)
    kind = (np.arange(207) % 7 > 4).astype(float)
    load = 100 - 20 * kind + rng.normal(0, 2, 207)
    lines = ["Datum;Last;frei;Ort"]
    for i, day in enumerate(days):
        if i == 50:
            continue
        number = "" if i == 60 or i >= 200 else f"{load[i]:.2f}".replace(".", ",")
        lines.append(f"{day.item():%d.%m.%Y};{number};{kind[i]:.0f};hier")
    (tmp_path / "load.csv").write_text("\n".join(lines) + "\n", encoding="utf-8-sig")
    done = run("load.csv", "--column", "Last", "--inputs", "frei", "--quick", "--output", "made",
               cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "1 rows are missing between the first and the last" in done.stdout
    assert "load: 200 days, season 7; 2 blocks of 16 forecasts of 7 days" in done.stdout
    table = dict(re.findall(r"^  (\w[\w ]*?) {2,}([\d.]+) ", done.stdout, re.M))
    assert list(table) == ["naive", "seasonal naive", "linear autoregression", "RNN", "LSTM",
                           "GRU", "echo state network"]
    load[[50, 60]] = np.nan
    load = np.round(load, 2)
    starts = [t for end in (120, 160) for t in np.linspace(end, end + 33, 16).astype(int)]
    naive = np.nanmean([np.abs(load[t : t + 7] - load[t - 1]) for t in starts])
    assert float(table["naive"]) == pytest.approx(naive, rel=1e-3)
    assert float(table["linear autoregression"]) < 0.5 * naive
    assert re.search("(wins|will do): MASE of linear autoregression ", done.stdout)
    written = (tmp_path / "made" / "forecast-load.csv").read_text().splitlines()
    assert written[0] == "day,forecast,low,high" and len(written) == 8
    for line, day, free in zip(written[1:], days[200:], kind[200:], strict=True):
        when, *numbers = line.split(",")
        value, low, high = map(float, numbers)
        assert when == str(day) and abs(value - (100 - 20 * free)) < 10
        assert low < value + 3 and high > value - 3
    assert (tmp_path / "made" / "forecast.png").stat().st_size > 20_000


def test_data_sets_of_statsmodels(tmp_path):
    pytest.importorskip("statsmodels")
    done = run("--quick", "--dataset", "nile", "co2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "nile: 100 years, season 1" in done.stdout and "co2: 526 months" in done.stdout
    assert (tmp_path / "forecast-co2.csv").read_text().splitlines()[1].startswith("2002-01-01,")
    assert (tmp_path / "forecast-nile.csv").read_text().splitlines()[1].startswith("1971,")
    assert np.isnan(series.load("co2").values).sum() == 5  # months without a measurement


@pytest.mark.parametrize(("table", "arguments", "message"), [
    ("a,b\n1,2\n", [], "has 2 columns of numbers: name one of a, b as --column"),
    ("a\n1\n", ["--column", "c"], "has no column 'c': there are a"),
    ("a\n1\n2\n", [], "has 2 steps, too few for 5 test blocks"),
    ("a;b\n1;x\n2,5;y\nzwei;z\n", ["--column", "a"], "column 'a' has 'zwei' in line 4"),
    ("day,a\n2024-01-02,1\n2024-01-01,2\n", ["--column", "a"], "is not in the order of its column"),
    ("", [], "is empty"),
    ("a\n" + "1\n" * 300, [], "repeats itself exactly"),
    ("a\n" + "1\n2\n" * 30, ["--folds", "1"], "--folds must be at least 2"),
])
def test_bad_tables_end_in_one_message(tmp_path, table, arguments, message):
    (tmp_path / "t.csv").write_text(table)
    done = run("t.csv", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr and "Traceback" not in done.stderr


def test_a_missing_file_is_one_message(tmp_path):
    done = run("nowhere.csv", cwd=tmp_path)
    assert done.returncode == 2
    assert "nowhere.csv" in done.stderr and "Traceback" not in done.stderr
