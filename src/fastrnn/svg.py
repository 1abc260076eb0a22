"""Charts as SVG inside a page: no script, no library, the colours of `html.STYLE`.

Lines differ by dashes as well as by colour, so that they can be told apart in grey."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .html import visible

DASHES = ("", "7 3", "2 2", "8 3 2 3", "12 3", "1 3")
GRID = 'stroke="var(--line)" stroke-width=".6"'
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 12, 42  # pixels around the plot
DIGIT = 8  # pixels that a digit takes at most


@dataclass(frozen=True)
class Line:
    """A curve: its name in the legend ("" for none), the points, whether it is a pale one in the
    background, whether each point is marked."""

    name: str
    x: ArrayLike
    y: ArrayLike
    pale: bool = False
    marked: bool = False


def line_chart(lines: Sequence[Line], xlabel: str, ylabel: str, *, title: str,
               ticks: Sequence[tuple[float, str]] = (), verticals: Sequence[float] = (),
               log: bool = False, width: int = 720, height: int = 340,
               inside: bool = False) -> str:
    """Curves against x, as an svg element and, behind it, their names as HTML.

    Parameters
    ----------
    lines : sequence of Line
        Points that are not finite are left out. Of more points than pixels each column of pixels
        keeps the lowest and the highest.
    xlabel, ylabel : str
        With their units.
    title : str
        What the chart shows, for those who do not see it.
    ticks : sequence of (float, str), optional
        Marks at the lower edge, such as the updates of samples, each with a text.
    verticals : sequence of float, optional
        Where upright lines stand, such as the ends of epochs.
    log : bool
        Whether the y axis is logarithmic, so that numbers that are not above 0 are left out.
    width, height : int
        Pixels; a page scales the chart down to its width.
    inside : bool
        Whether the names of the lines are part of the svg element, at its bottom.
    """
    points = [_finite(line, log) for line in lines]
    filled = [p for p in points if p[0].size]
    if not filled:
        return f'<p class="note">{visible(title)}: no data</p>'
    x_low, x_high = _range([p[0] for p in filled])
    y_low, y_high = _range([p[1] for p in filled])
    inner_w, inner_h = width - LEFT - RIGHT, height - TOP - BOTTOM

    def at_x(x: Any) -> Any:
        return LEFT + (np.asarray(x) - x_low) / (x_high - x_low) * inner_w

    def at_y(y: Any) -> Any:
        return TOP + (y_high - np.asarray(y)) / (y_high - y_low) * inner_h

    ys = [(y, f"{10**y if log else y:,.6g}") for y in
          (powers if log else nice_ticks)(y_low, y_high, 6)]
    parts = _axes(nice_ticks(x_low, x_high, 7), ys, at_x, at_y, width, height)
    parts += [f'<path d="M{float(at_x(x)):.1f} {TOP}V{height - BOTTOM}" stroke="var(--faint)" '
              'stroke-width=".6" stroke-dasharray="1 3"/>' for x in verticals]
    shown = 0
    for line, (x, y) in zip(lines, points, strict=True):
        color = f"var(--series{shown % 6})" if not line.pale else "var(--line)"
        dash = DASHES[shown % 6] if not line.pale else ""
        parts.append(_curve(at_x(x), at_y(y), color, dash, inner_w, line))
        shown += not line.pale
    for at, text in ticks:
        place = float(at_x(at))
        parts.append(f'<line x1="{place:.1f}" x2="{place:.1f}" y1="{height - BOTTOM}" '
                     f'y2="{height - BOTTOM - 7}" stroke="var(--ink)">'
                     f"<title>{visible(text)}</title></line>")
    parts.append(_labels(xlabel, ylabel, width, height))
    if not inside:
        return _svg("".join(parts), width, height, title) + _legend(lines)
    named = [each for each in _named(lines) if each[0]]
    for i, (name, sample) in enumerate(named):
        below = height + 18 * i + 12
        parts.append(f'<g transform="translate({LEFT} {below - 9})">{sample}</g>'
                     f'<text x="{LEFT + 42}" y="{below}">{visible(name)}</text>')
    return _svg("".join(parts), width, height + 18 * len(named) + 4, title)


def bar_chart(names: Sequence[str], values: ArrayLike, label: str, *, title: str,
              marked: Sequence[int] = (), width: int = 720) -> str:
    """Horizontal bars from 0, each with its name and its value, as an svg element; those whose
    numbers are in `marked` stand out."""
    numbers = np.asarray(values, np.float64)
    longest = max(float(np.nanmax(numbers, initial=0)), 1e-300)
    row, left = 26, 200
    height = row * len(names) + 30
    parts = []
    for i, (name, value) in enumerate(zip(names, numbers, strict=True)):
        size = (width - left - 90) * max(float(value), 0) / longest
        color = "var(--series1)" if i in marked else "var(--series0)"
        y = i * row
        parts.append(f'<text x="{left - 8}" y="{y + 17}" text-anchor="end">{visible(name)}</text>'
                     f'<rect x="{left}" y="{y + 4}" width="{size:.1f}" height="18" fill="{color}"/>'
                     f'<text x="{left + size + 6:.1f}" y="{y + 17}">{value:.4g}</text>')
    parts.append(f'<text x="{left}" y="{height - 8}" fill="var(--faint)">{visible(label)}</text>')
    return _svg("".join(parts), width, height, title)


def sparkline(values: ArrayLike, *, title: str, width: int = 160, height: int = 32) -> str:
    """A small curve without axes, as an svg element."""
    x, y = _finite(Line("", np.arange(np.size(values)), values))
    if not x.size:
        return ""
    low, high = _range([y])
    places = (x - x[0]) / max(x[-1] - x[0], 1) * (width - 4) + 2
    heights = (high - y) / (high - low) * (height - 4) + 2
    curve = _curve(places, heights, "var(--series0, currentColor)", "", width, Line("", x, y))
    return _svg(curve, width, height, title)


def nice_ticks(low: float, high: float, most: int) -> list[float]:
    """At most `most` round numbers from low to high, evenly spaced by 1, 2 or 5 times a power of
    ten."""
    rough = (high - low) / max(most - 1, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * f for f in (1, 2, 5, 10) if power * f >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [k * step for k in range(first, last + 1)]


def powers(low: float, high: float, most: int) -> list[float]:
    """At most `most` logarithms from low to high, to the base 10, of round numbers: of 1, 2 and 5
    times the powers of ten, of 1 and 3 times these, or of the powers of ten alone."""
    found = []
    for factors in (1, 2, 5), (1, 3), (1,):
        every = [k + math.log10(f) for k in range(math.floor(low), math.ceil(high) + 1)
                 for f in factors]
        found = [y for y in every if low - 1e-9 <= y <= high + 1e-9]
        if len(found) <= most:
            break
    return found[:: max(1, math.ceil(len(found) / most))]


def _finite(line: Line, log: bool = False) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The points that can be drawn, y as its logarithm where the axis is logarithmic."""
    x, y = np.asarray(line.x, np.float64), np.asarray(line.y, np.float64)
    if log:
        y = np.log10(y, where=y > 0, out=np.full(y.shape, np.nan))
    kept = np.isfinite(x) & np.isfinite(y)
    return x[kept], y[kept]


def _range(arrays: Sequence[NDArray[np.float64]]) -> tuple[float, float]:
    """The lowest and the highest value, apart."""
    low, high = min(float(a.min()) for a in arrays), max(float(a.max()) for a in arrays)
    if high - low <= 1e-12 * max(abs(low), abs(high)):
        margin = abs(low) * 0.05 or 1.0
        return low - margin, high + margin
    return low, high


def thinned(x: NDArray[np.float64], y: NDArray[np.float64], columns: int
            ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The points that are seen where a curve is `columns` pixels wide: of each column the lowest
    and the highest, in the order of x."""
    if x.size <= 2 * columns:
        return x, y
    edges = np.linspace(0, x.size, columns + 1).astype(int)
    kept = np.unique([edge + find(y[edge:end]) for edge, end in zip(edges, edges[1:], strict=False)
                      for find in (np.argmin, np.argmax)] + [0, x.size - 1])
    return x[kept], y[kept]


def _curve(x: Any, y: Any, color: str, dash: str, columns: int, line: Line) -> str:
    x, y = thinned(x, y, columns)
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    style = f' stroke-dasharray="{dash}"' if dash else ""
    curve = (f'<polyline points="{points}" fill="none" stroke="{color}" '
             f'stroke-width="{1 if line.pale else 1.8}"{style}/>')
    if line.marked:
        curve += "".join(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2.6" fill="{color}"/>'
                         for a, b in zip(x, y, strict=True))
    return curve


def _axes(xs: Sequence[float], ys: Sequence[tuple[float, str]], at_x: Any, at_y: Any,
          width: int, height: int) -> list[str]:
    """Grid, ticks and frame."""
    bottom, parts = height - BOTTOM, []
    for x in xs:
        place, shown = float(at_x(x)), f"{x:,.10g}"
        middle = min(place, width - len(shown) * DIGIT / 2)  # not over the edge
        parts.append(f'<line x1="{place:.1f}" x2="{place:.1f}" y1="{TOP}" y2="{bottom}" '
                     f'{GRID}/><text x="{middle:.1f}" y="{bottom + 16}" '
                     f'text-anchor="middle">{shown}</text>')
    for y, shown in ys:
        place = float(at_y(y))
        parts.append(f'<line x1="{LEFT}" x2="{width - RIGHT}" y1="{place:.1f}" y2="{place:.1f}" '
                     f'{GRID}/><text x="{LEFT - 6}" y="{place + 4:.1f}" '
                     f'text-anchor="end">{shown}</text>')
    parts.append(f'<path d="M{LEFT} {TOP}V{bottom}H{width - RIGHT}" fill="none" '
                 'stroke="var(--faint)"/>')
    return parts


def _labels(xlabel: str, ylabel: str, width: int, height: int) -> str:
    middle_x, middle_y = (LEFT + width - RIGHT) / 2, (TOP + height - BOTTOM) / 2
    return (f'<text x="{middle_x:.0f}" y="{height - 6}" text-anchor="middle">{visible(xlabel)}'
            f'</text><text transform="translate(13 {middle_y:.0f}) rotate(-90)" '
            f'text-anchor="middle">{visible(ylabel)}</text>')


def standalone(chart: str, colors: Mapping[str, str]) -> str:
    """An svg element as a file of its own, on white paper, which every program draws alike: with
    `colors` in place of CSS variables of their names."""
    def color(found: re.Match[str]) -> str:
        return f"{found[1]}{colors[found[2]]}{found[3]}"

    # in attributes and in the chart's own style; a text cannot have such a quote
    chart = re.sub(r'(=")var\(--(\w+)[^)"]*\)(")', color, chart)
    chart = re.sub(r"(<style>\.grid\{stroke:)var\(--(\w+)\)(;)", color, chart)
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" color="{colors["ink"]}" '
            f'style="background:{colors["paper"]}" ')
    return chart.replace("<svg ", head, 1)


def _named(lines: Sequence[Line]) -> list[tuple[str, str]]:
    """The name of each line, and a piece of it as SVG, 34 x 10."""
    found, shown = [], 0
    for line in lines:
        color = f"var(--series{shown % 6})" if not line.pale else "var(--line)"
        dash = DASHES[shown % 6] if not line.pale else ""
        shown += not line.pale
        style = f' stroke-dasharray="{dash}"' if dash else ""
        found.append((line.name, f'<line x1="0" x2="34" y1="5" y2="5" stroke="{color}" '
                                 f'stroke-width="2"{style}/>'))
    return found


def _legend(lines: Sequence[Line]) -> str:
    """The names of the lines, each with a piece of it."""
    items = [f'<span><svg width="34" height="10" aria-hidden="true">{sample}</svg> {visible(name)}'
             "</span>" for name, sample in _named(lines) if name]
    return f'<p class="legend note">{" &emsp; ".join(items)}</p>' if items else ""


def _svg(content: str, width: int, height: int, title: str) -> str:
    return (f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
            f'font-family="system-ui, sans-serif" font-size="12" fill="currentColor">'
            f"<title>{visible(title)}</title>"
            f"{content}</svg>")
