"""A series and how it goes on: what `fastrnn.plot.forecast` draws."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .axes import COLORS, DASHES, MARKERS, as_name, legend, tell_dates, tell_steps, tidy

MOST_MARKED = 300  # steps of a series

Numbers = NDArray[np.float64]


def draw_forecast(axes: Any, along: NDArray[Any], known: Numbers, found: Mapping[str, Numbers],
                  bands: Mapping[str, tuple[Numbers, Numbers]], begin: int, band: str,
                  series: str) -> None:
    """Draw the series `known` against the times `along`, the forecasts `found` from the step
    `begin`, and their intervals `bands`, which the legend calls `band`."""
    axes.plot(along[: len(known)], known, color=axes.xaxis.label.get_color(), linewidth=1,
              marker="." if len(known) <= MOST_MARKED else "", markersize=3, label=series)
    for number, (name, each) in enumerate(found.items()):
        color, dash = COLORS[number % len(COLORS)], DASHES[number % len(DASHES)]
        when = along[begin : begin + len(each)]
        if name in bands:
            of = f", {as_name(name)}" if len(found) > 1 else ""
            axes.fill_between(when, *bands[name], facecolor=(color, 0.18), edgecolor=(color, 0.7),
                              linestyle=dash, linewidth=0.7, label=f"{band}{of}")
        axes.plot(when, each, color=color, linestyle=dash, linewidth=1.6, markersize=4,
                  marker=MARKERS[number % len(MARKERS)], markevery=max(1, len(each) // 10),
                  label=as_name(name))
    if along.dtype.kind == "M":
        tell_dates(axes.xaxis)
    elif along.dtype.kind in "iu":
        tell_steps(axes.xaxis)
    axes.axvline(along[begin], color="gray", linewidth=0.8, linestyle=":")
    tidy(axes)
    legend(axes, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)


def column(name: str, values: ArrayLike) -> Numbers:
    """Numbers (T,), also of an array (T, 1)."""
    found = np.asarray(values, np.float64)
    if found.ndim == 2 and found.shape[1] == 1:
        found = found[:, 0]
    if found.ndim != 1 or not found.size:
        raise ValueError(f"{name} must have the shape (T,) or (T, 1), T at least 1, not "
                         f"{found.shape}: give one column")
    return found


def bands_of(intervals: Any, found: Mapping[str, Numbers]) -> dict[str, Any]:
    """The ends of the intervals by forecast, each a pair of arrays (h,)."""
    if intervals is None:
        return {}
    if not isinstance(intervals, Mapping):
        if len(found) > 1:
            raise ValueError("intervals of several forecasts are given by their names")
        intervals = {next(iter(found)): intervals}
    bands = {}
    for name, pair in intervals.items():
        if name not in found:
            raise ValueError(f"there is no forecast {name!r} of these intervals")
        ends = [column("intervals", end) for end in pair]
        if [len(end) for end in ends] != [len(found[name])] * 2:
            raise ValueError(f"the intervals of {name!r} must be a lower and an upper end, each of "
                             f"the shape ({len(found[name])},)")
        bands[name] = ends
    return bands
