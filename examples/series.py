"""Series for forecast.py: a column of a CSV file, or data sets that need no download."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

NEEDED = 'reading series needs pandas and statsmodels: pip install "fastrnn[examples]"'
DATA_SETS = {  # name -> (unit, season, horizon)
    "co2": ("CO2 in ppm", 12, 12),  # monthly means at Mauna Loa, 1958 to 2001
    "sunspots": ("sunspots", 11, 8),  # yearly means, 1700 to 2008
    "nile": ("Nile in 10^8 m^3", 1, 5),  # yearly flow at Aswan, 1871 to 1970
    "load": ("load in MW", 24, 24),  # made up, by the hour: see `made_up`
}
# the least days between two rows -> what a row is, and rows in a season
STEPS = ((360, "year", 1), (88, "quarter", 4), (27, "month", 12), (6.5, "week", 52),
         (0.9, "day", 7), (0.9 / 24, "hour", 24), (0, "step", 1))


@dataclass
class Series:
    """One number a step, and perhaps inputs that are known in advance.

    Attributes
    ----------
    name, unit, step : str
        Of the series, of its numbers, and what a step is: "month".
    inputs : list of str
        The names of the D known inputs.
    values : ndarray, shape (T,)
        NaN where there is no measurement.
    known : ndarray, shape (T + later, D)
        Inputs such as the temperature or the kind of day; those after the last value reach into
        the future.
    times : ndarray, shape (T + later,)
        Dates, or the numbers of the steps.
    season, horizon : int
        Steps after which the pattern repeats (1: it does not), and steps to forecast.
    """

    name: str
    unit: str
    step: str
    values: np.ndarray
    known: np.ndarray
    times: np.ndarray
    season: int
    horizon: int
    inputs: list[str] = field(default_factory=list)

    def later(self) -> list[str]:
        """The times of the `horizon` steps after the last value, as text."""
        T, h = len(self.values), self.horizon
        if not isinstance(self.times[0], np.datetime64):
            return [str(self.times[0] + t) for t in range(T, T + h)]
        import pandas

        whole = {"year": "years", "quarter": "months", "month": "months"}.get(self.step)
        if whole:
            first, each = pandas.Timestamp(self.times[T - 1]), 3 if self.step == "quarter" else 1
            times = [first + pandas.DateOffset(**{whole: each * (t + 1)}) for t in range(h)]
        else:
            times = list(self.times[T - 1] + np.arange(1, h + 1) * (self.times[1] - self.times[0]))
        midnight = "" if self.step in ("hour", "step") else "T00:00:00"
        return [pandas.Timestamp(time).isoformat().removesuffix(midnight) for time in times]


def load(name: str) -> Series:
    """A data set of `DATA_SETS`."""
    if name == "load":
        return made_up(90)
    try:
        import statsmodels.api
    except ImportError:
        raise ImportError(NEEDED) from None
    unit, season, horizon = DATA_SETS[name]
    data = getattr(statsmodels.api.datasets, name).load().data
    if name == "co2":
        column, step = data["co2"].resample("MS").mean(), "month"  # months without a week are NaN
        times = column.index.to_numpy()
    else:
        column, step = data.iloc[:, 1], "year"
        times = data.iloc[:, 0].to_numpy(int)
    values = column.to_numpy(float)
    return Series(name, unit, step, values, np.empty((len(values), 0)), times, season, horizon)


def made_up(days: int) -> Series:
    """An electric load by the hour, and as known inputs the temperature and whether it is a
    weekend: heating below 15 degrees, and less work at weekends, when it is also warmed less."""
    from scipy.signal import lfilter

    rng, t = np.random.default_rng(0), np.arange(24 * (days + 1))
    hour, weekend = 2 * np.pi * t / 24, (t // 24 % 7 > 4).astype(float)
    weather = lfilter([0.5], [1, -0.98], rng.normal(size=len(t)))
    temperature = 11 + 4 * np.sin(hour - 2.4) + 2 * weather
    work = (1 - 0.6 * weekend) * (60 - 50 * np.cos(hour - 0.8) - 25 * np.cos(2 * hour))
    heating = 6 * np.maximum(15 - temperature, 0) * (1 - 0.3 * weekend)
    load = 400 + work + heating + lfilter([6], [1, -0.8], rng.normal(size=len(t)))
    times = np.datetime64("2024-01-01T00") + t.astype("timedelta64[h]")
    unit, season, horizon = DATA_SETS["load"]
    return Series("load", unit, "hour", load[:-24], np.column_stack([temperature, weekend]), times,
                  season, horizon, ["temperature", "weekend"])


def read(path: str, column: str | None, inputs: list[str], season: int | None,
         horizon: int | None) -> Series:
    """A column of a CSV file with a header, one row for each step.

    Parameters
    ----------
    path : str
        Comma, semicolon, tab or bar between the columns; decimal commas where none separates
        columns. The first column of dates, if there is one, tells the time.
    column : str or None
        The column to forecast; None: the only column of numbers.
    inputs : list of str
        Columns that are known in advance. Rows at the end that have only these are the future.
    season, horizon : int or None
        As of `Series`; by default a day of hours, a week of days, a year of weeks or months, and a
        season or at least 4 steps.
    """
    frame = _table(path)
    times, step, usual = _times(frame, path)
    if times is not None:
        frame = frame.drop(columns=times.name)
    if column is None:
        numbers = [name for name in frame if name not in inputs and _is_number(frame[name])]
        if len(numbers) != 1:
            raise ValueError(f"{path} has {len(numbers)} columns of numbers: name one of "
                             f"{', '.join(frame)} as --column")
        column = numbers[0]
    for name in [column, *inputs]:
        if name not in frame:
            raise ValueError(f"{path} has no column {name!r}: there are {', '.join(frame)}")
    values = _numbers(frame, column)
    known = np.column_stack([np.empty((len(frame), 0)), *(_numbers(frame, i) for i in inputs)])
    index = np.arange(len(frame)) if times is None else times.to_numpy()
    if times is not None:
        index, values, known = _regular(path, index, values, known)
    T = 1 + int(np.flatnonzero(np.isfinite(values)).max(initial=-1))  # later rows are the future
    season = season or usual
    return Series(Path(path).stem, column, step, values[:T], filled(known), index, season,
                  horizon or max(season, 4), inputs)


def filled(values: np.ndarray) -> np.ndarray:
    """Numbers (T, ...) with a straight line over each gap, and the nearest number at the ends."""
    out = np.array(values, float)
    t = np.arange(len(out))
    for column in out.reshape(len(out), -1).T:
        there = np.isfinite(column)
        column[~there] = np.interp(t[~there], t[there], column[there]) if there.any() else 0.0
    return out


def _table(path: str) -> "pd.DataFrame":
    """All cells as text, None where there is nothing."""
    try:
        import pandas
    except ImportError:
        raise ImportError(NEEDED) from None
    try:
        with open(path, encoding="utf-8-sig") as file:
            head = file.readline()
        separator = max(";,\t|", key=head.count)
        frame = pandas.read_csv(path, sep=separator, dtype=str, encoding="utf-8-sig",
                                skipinitialspace=True)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 ({error}): save it as UTF-8") from None
    except pandas.errors.EmptyDataError:
        raise ValueError(f"{path} is empty") from None
    except pandas.errors.ParserError as error:
        raise ValueError(f"{path} is no table: {str(error).strip()}") from None
    frame = frame.dropna(how="all").rename(columns=str.strip)
    if separator != ",":  # 3,5 is a number
        decimals = r"^(\s*[-+]?\d+),(\d+\s*)$"
        frame = frame.apply(lambda cells: cells.str.replace(decimals, r"\1.\2", regex=True))
    return frame


def _numbers(frame: "pd.DataFrame", column: str) -> np.ndarray:
    """A column's numbers, NaN where a cell is empty."""
    import pandas

    found = pandas.to_numeric(frame[column], errors="coerce").to_numpy(float)
    for row in np.flatnonzero(np.isnan(found) & frame[column].notna().to_numpy()):
        raise ValueError(f"column {column!r} has {frame[column].iloc[row]!r} in line "
                         f"{frame.index[row] + 2}, which is no number: mend it or leave it empty")
    return found


def _is_number(cells: "pd.Series[Any]") -> bool:
    import pandas

    return bool(pandas.to_numeric(cells, errors="coerce").notna().any())


def _times(frame: "pd.DataFrame", path: str) -> tuple["pd.Series[Any] | None", str, int]:
    """The first column of dates, what a row is, and rows in a season."""
    import pandas

    for name in frame:
        cells = frame[name]
        if _is_number(cells) or cells.isna().any():
            continue
        days_first = bool(cells.str.match(r"\d+[./]\d+[./]\d{4}").all()) and bool(
            cells.str.contains(".", regex=False).all())
        try:
            times = pandas.to_datetime(cells, dayfirst=days_first)
        except ValueError:
            continue
        apart = np.diff(times.to_numpy()) / np.timedelta64(1, "D")
        if len(apart) and not apart.min() > 0:
            row = int(np.argmin(apart > 0))
            raise ValueError(f"{path} is not in the order of its column {name!r}: after "
                             f"{cells.iloc[row]} comes {cells.iloc[row + 1]}; sort the rows, one "
                             "for each time")
        usual = np.median(apart) if len(apart) else 0
        return times, *next((step, season) for least, step, season in STEPS if usual >= least)
    return None, "step", 1


def _regular(path: str, times: np.ndarray, values: np.ndarray,
             known: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rows with empty ones where one is missing, as far as all are multiples of one distance
    apart; months, quarters and years are not."""
    apart = np.diff(times)
    usual = np.median(apart.astype(np.int64)).astype(apart.dtype) if len(apart) else None
    if usual is None or usual > np.timedelta64(27, "D") or (apart == usual).all():
        return times, values, known
    places = (times - times[0]) / usual
    if not np.allclose(places, places.round(), atol=0.01):
        print(f"{path}: rows are between {apart.min()} and {apart.max()} apart, and are taken for "
              "steps of the same length")
        return times, values, known
    places = places.round().astype(int)
    missing = places[-1] + 1 - len(places)
    print(f"{path}: {missing} rows are missing between the first and the last: empty ones take "
          "their places")
    regular = times[0] + np.arange(places[-1] + 1) * usual
    spread = np.full((len(regular), 1 + known.shape[1]), np.nan)
    spread[places] = np.column_stack([values, known])
    return regular, spread[:, 0], spread[:, 1:]
