"""Draw the charts of docs/about/speed.md from the table of bench/RESULTS.md. In docs/pictures/
peak.svg shows the fraction of the processor's peak that the contestants reach,
ratios.svg their times over fastrnn's.

    pip install ".[plot]" && python bench/charts.py        # after bench/report.py

All works in float32 are in them, those where fastrnn is slower too. Each picture says which table
it was drawn from (`digest`), so that a test can tell an old one.
"""

import hashlib
import re
from pathlib import Path
from typing import NamedTuple

from report import around

ROOT = Path(__file__).resolve().parents[1]
RESULTS, PICTURES = ROOT / "bench" / "RESULTS.md", ROOT / "docs" / "pictures"
INK = "#222222"
STYLES = {  # legend -> colour, marker
    "fastrnn": ("#1f5fa8", "o"), "fastrnn, bfloat16": ("#1f5fa8", "s"),
    "PyTorch": ("#d95f02", "D"), "PyTorch, bfloat16": ("#d95f02", "^"),
    "NumPy": ("#2e8b57", "v"), "reservoirpy": ("#7b3fa0", "P")}


class Row(NamedTuple):
    work: str
    contestant: str
    ratio: float  # times fastrnn's time
    fraction: float | None  # of the peak of the cores it may use, in per cent


def read(table: str) -> list[Row]:
    """The rows of float32 works whose amount is a time."""
    cells = [[cell.strip() for cell in line.strip("|").split("|")]
             for line in table.splitlines() if line.startswith("|")][2:]
    return [Row(work, contestant, float(ratio.replace(",", "")),
                float(fraction.rstrip("%")) if fraction else None)
            for work, contestant, amount, ratio, fraction in cells
            if not work.endswith(("float64", "memory")) and not amount.endswith("MB")]


def digest(table: str) -> str:
    return hashlib.sha256(table.strip().encode()).hexdigest()[:16]


def fractions(rows: list[Row], cores: int) -> dict[str, dict[str, float]]:
    """Work -> contestant -> per cent of the peak of one core, or of two."""
    found: dict[str, dict[str, float]] = {}
    divided = {row.work for row in rows if row.contestant == "fastrnn, 1 thread"}
    for row in rows:
        name, threads = kind(row.contestant), 1
        if row.contestant == "fastrnn" and row.work in divided or "2 threads" in row.contestant:
            threads = 2
        if row.fraction is not None and name and threads == cores:
            work = found.setdefault(row.work, {})
            work[name] = max(row.fraction, work.get(name, 0))
    return {work: values for work, values in found.items() if "fastrnn" in values}


def kind(contestant: str) -> str:
    """The legend that a contestant belongs to; "" for other variants of fastrnn."""
    name = re.sub(r", (\d threads?|hoisted|in place|step by step, float64|fused|LSTM(Cell)?)$",
                  "", contestant)
    return {"NumPy and SciPy": "NumPy"}.get(name, name if name in STYLES else "")


def ratios(rows: list[Row]) -> dict[str, dict[str, float]]:
    """Work -> legend -> the least time of these contestants, over fastrnn's."""
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        name = kind(row.contestant)
        if name and row.contestant not in ("fastrnn", "fastrnn, 1 thread"):
            work = found.setdefault(row.work, {})
            work[name] = min(row.ratio, work.get(name, row.ratio))
    return {work: values for work, values in found.items()
            if any(not name.startswith("fastrnn") for name in values)}


def draw_rows(axes, found: dict[str, dict[str, float]]) -> None:
    """One line for each work, one marker for each contestant."""
    works = list(found)
    for name, (colour, marker) in STYLES.items():
        points = [(found[work][name], y) for y, work in enumerate(works) if name in found[work]]
        if points:
            axes.scatter(*zip(*points, strict=True), color=colour, marker=marker, s=38, label=name,
                         zorder=3, facecolors="white" if "bfloat16" in name else colour)
    axes.set_yticks(range(len(works)), works)
    axes.set_ylim(len(works) - 0.4, -0.6)
    axes.grid(axis="y", color="#dddddd", zorder=0)
    axes.spines[["top", "right"]].set_visible(False)


def draw_peak(rows: list[Row], peak: float):
    """The axis ends at the peak of one core, and of two."""
    from matplotlib.figure import Figure

    panels = {cores: fractions(rows, cores) for cores in (1, 2)}
    heights = [len(found) for found in panels.values()]
    figure = Figure(figsize=(6, 1.9 + 0.27 * sum(heights)), layout="constrained")
    for axes, (cores, found) in zip(figure.subplots(2, height_ratios=heights), panels.items(),
                                    strict=True):
        draw_rows(axes, found)
        of = "of two cores" if cores == 2 else f"of one core, {peak:.0f} GFLOP/s"
        axes.set(xlim=(0, 100), xlabel=f"% of the peak {of}")
        axes.axvline(100, color=INK, linewidth=3)
        axes.legend(loc="lower right", fontsize=9, framealpha=1)
    return figure


def draw_ratios(rows: list[Row]):
    from matplotlib.figure import Figure

    found = ratios(rows)
    figure = Figure(figsize=(6, 1.6 + 0.27 * len(found)), layout="constrained")
    axes = figure.subplots()
    draw_rows(axes, found)
    axes.axvline(1, color=INK, linewidth=1.2)
    for y, values in enumerate(found.values()):
        for name, ratio in values.items():
            if ratio < 1 and not name.startswith("fastrnn"):
                axes.annotate(f"{ratio:.2f}", (ratio, y), (0, -12), textcoords="offset points",
                              ha="center", fontsize=9, color="#c0392b", weight="bold")
    axes.set(xscale="log", xlim=(0.25, 150),
             xlabel="time / time of fastrnn in float32 (1: as fast)")
    ticks = [0.3, 0.5, 1, 2, 5, 10, 20, 50, 100]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    figure.legend(loc="outside lower center", ncols=3, fontsize=9)
    return figure


def main() -> None:
    import matplotlib

    matplotlib.rcParams.update({"font.size": 11, "svg.hashsalt": "fastrnn"})
    _, table, _ = around(RESULTS)
    rows, peak = read(table), float(re.search(r"([\d.]+) in float32", table)[1])
    for name, figure in (("peak", draw_peak(rows, peak)), ("ratios", draw_ratios(rows))):
        figure.savefig(PICTURES / f"{name}.svg",
                       metadata={"Date": None, "Description": f"bench/RESULTS.md {digest(table)}"})


if __name__ == "__main__":
    main()
