"""Draw the losses of training runs in the terminal, from what --log writes."""

import argparse
import math
import shutil
import sys
import textwrap
import time
from collections.abc import Sequence
from typing import Any

from ..screen import escaped, is_terminal, show
from ..training.log import Reader

PAUSE = 1.0  # seconds between looks at the files
NARROWEST, LOWEST = 24, 8  # a chart in fewer columns or rows says nothing
MOST_POINTS = 2000  # of a curve
TICKS = 4  # equal parts of the axis of updates
MOST_SYMBOLS = 200  # of a name
FROM_THE_TOP = "\x1b[H\x1b[2J"  # the next text begins at the top of an empty terminal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("logs", metavar="LOG", nargs="+", help="what `fastrnn train --log` writes")
    parser.add_argument("--once", action="store_true",
                        help="draw what is there and end; else the drawing follows the runs to "
                             "their end, on a terminal")


def run(logs: Sequence[str], once: bool) -> int:
    try:
        import plotext
    except ImportError:
        raise ImportError('fastrnn watch needs plotext: pip install "fastrnn[watch]"') from None
    readers = {name: Reader(name) for name in logs}
    for reader in readers.values():
        reader.more()
    follows = not once and is_terminal(sys.stdout)
    drawn = None
    while True:
        size = shutil.get_terminal_size()
        if drawn != size:
            text = picture(plotext, {name: r.events for name, r in readers.items()}, *size)
            show(f"{FROM_THE_TOP * follows}{text}", harmless=True)
        ended = all(r.events and r.events[-1]["event"] == "ended" for r in readers.values())
        if not follows or ended:
            return 0
        time.sleep(PAUSE)
        drawn = None if any([reader.more() for reader in readers.values()]) else size


def picture(plotext: Any, runs: dict[str, list[dict[str, Any]]], columns: int, rows: int) -> str:
    """The curves of some runs, and below them a sentence about each; harmless on a terminal."""
    units = {unit_of(events)[0] for events in runs.values() if events}
    if len(units) > 1:
        raise ValueError(f"these runs have losses in different units ({', '.join(sorted(units))}): "
                         "watch one after the other")
    below = "\n".join(textwrap.fill(f"{plain(name)}: {sentence(events)}", max(20, columns))
                      for name, events in runs.items())
    height = rows - 2 - below.count("\n")
    curves = [curve for i, (name, events) in enumerate(runs.items())
              for curve in curves_of(events, "" if len(runs) == 1 else plain(name), i)]
    if columns < NARROWEST or height < LOWEST or not curves:
        return below
    figure = plotext.figure
    figure.clear()
    figure.plot_size(columns, height)
    for label, marker, x, y in curves:
        figure.draw(figure.signal(x, y, marker=marker).lines(marker == "braille").label(label))
    first, last = min(min(x) for _, _, x, _ in curves), max(max(x) for _, _, x, _ in curves)
    ticks = [round(first + i * (last - first) / TICKS) for i in range(TICKS + 1)]
    figure.ruler("x").ticks(ticks, [f"{tick:,}" for tick in ticks])
    figure.theme("colorless")
    figure.label("update", "x")
    figure.title(f"loss ({plain(next(iter(units)))})")
    chart = figure.build().string(colorless=True)
    return "\n".join(line.rstrip() for line in chart.split("\n")).rstrip() + f"\n{below}"


def plain(text: str) -> str:
    """A text of strangers as a part of a line."""
    return escaped(" ".join(text.split()))[:MOST_SYMBOLS]


def curves_of(events: list[dict[str, Any]], name: str, number: int
              ) -> list[tuple[str, str, list[float], list[float]]]:
    """Label, marker, updates and losses of the curves of a run; one of several has a `name`, and
    letters as markers."""
    letter = chr(ord("a") + number % 26)
    found = []
    for kind, what, marker in (("progress", "training", letter if name else "braille"),
                               ("validation", "validation", letter.upper() if name else "o")):
        x, y = points_of(events, kind)
        if x:
            found.append((f"{what} {name}".strip(), marker, x, y))
    return found


def unit_of(events: list[dict[str, Any]]) -> tuple[str, str]:
    """The unit of the losses of a run, and what a symbol is called."""
    about: dict[str, Any] = next((e for e in events if "loss_unit" in e), {})
    return str(about.get("loss_unit", "nats per symbol")), str(about.get("unit", "symbol"))


def number(event: dict[str, Any], name: str) -> float:
    """A number of an event; NaN where there is none that could be drawn."""
    value = event.get(name)
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e30:
        return float(value)
    return math.nan


def points_of(events: list[dict[str, Any]], kind: str) -> tuple[list[float], list[float]]:
    """Updates and losses of the events of a kind, no more than can be seen. A mean over some
    updates stands in their middle."""
    x, y, before = [], [], 0
    for event in events:
        loss = number(event, "loss")
        if event["event"] == kind and math.isfinite(loss):
            middle = (before + 1 + event["update"]) / 2
            x.append(middle if kind == "progress" else event["update"])
            y.append(loss)
            before = event["update"]
    every = max(1, math.ceil(len(x) / MOST_POINTS))
    return x[::every], y[::every]


def _updates_of_last(events: list[dict[str, Any]]) -> int:
    """Over how many updates the last loss of the training is a mean."""
    at = [0, *(event["update"] for event in events if event["event"] in ("progress", "resumed"))]
    return max(1, int(at[-1] - at[-2]))


def sentence(events: list[dict[str, Any]]) -> str:
    """How far a run is, with the last numbers of each kind."""
    if not events:
        return "nothing has happened yet"
    last = {event["event"]: event for event in events}
    progress, valid = last.get("progress", {}), last.get("validation", {})
    planned = (last.get("resumed") or last.get("started") or {}).get("planned_updates")
    (loss_unit, unit), losses = unit_of(events), []
    parts = [f"update {events[-1]['update']:,}"
             + (f" of {planned:,}" if type(planned) is int else "")]
    if progress:
        parts[0] += f", epoch {number(progress, 'epoch'):.2f}"
        losses.append(f"training {number(progress, 'loss'):.4g}, mean of "
                      f"{_updates_of_last(events):,} updates")
    if valid:
        losses.append(f"validation {number(valid, 'loss'):.4g} (lowest {number(valid, 'best'):.4g} "
                      f"after {number(valid, 'best_update'):,.0f})")
    if losses:
        parts.append(f"{', '.join(losses)} {plain(loss_unit)}")
    if progress:
        parts += [f"learning rate {number(progress, 'learning_rate'):.3g}, "
                  f"gradient norm {number(progress, 'gradient_norm'):.3g}",
                  f"{number(progress, 'predictions_per_second'):,.0f} {plain(unit)}s/s"]
    end = events[-1] if events[-1]["event"] == "ended" else None
    return "; ".join([*parts, f"{number(events[-1], 'seconds'):,.0f} s",
                      plain(f"ended: {end.get('stopped')}") if end else "running"])
