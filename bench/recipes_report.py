"""The page of bench/recipes.py: for each cell of the table the best settings found, and beside it
what the recipe takes and what fixed presets give."""

from pathlib import Path
from typing import Any

from recipes_runs import DTYPES, MINUTES, SLACK, SOURCES, Lines, fitting, paced_as

HEAD = """# Settings in so many minutes

Written by `python bench/recipes.py --report` from `recipes.jsonl`: {runs} runs, the last on {date}.
The time is that of {machine}:
a run makes the updates that it makes with two threads in the minutes of its cell, by the paces in
the file ("how" says which come from one thread, since the machine was busy), so losses do not
depend on how busy the machine was. Losses are plain, in nats per symbol. The first half of the last
tenth (of random records) chose the model of each run and the best run of each cell; "loss" is that
on the second half, "all" that on the whole tenth. "Ratio" is the recipe's loss through that of the
best run found. "Averaged" runs return an average of the parameters over their last 15 % and have a
constant learning rate; in the others it falls to 0.

A run counts in every cell into which it fits by the pace of its network in the dtype of the cell,
whatever dtype it was trained in: the losses of both are the same to within those of two seeds
([Precision](../docs/inside/precision.md)). "Runs" is how many fit; a cell with few has hardly been
searched.
"""
FOOT = """
## What is open

These cells were not searched. `fastrnn.train` takes there what `src/fastrnn/recipe_table.py` says
by the rules at its top: between its rows settings are interpolated, and beyond them they follow
the rules, which nothing here has checked. `python bench/recipes.py --search HOURS` goes on.

{cells}"""
COLUMNS = ("minutes", "runs", "best found", "loss", "all", "recipe", "loss", "all", "ratio",
           "presets: loss")


def write(lines: Lines, path: Path) -> None:
    """Write the page."""
    path.write_text(page(lines), encoding="utf-8")


def page(lines: Lines) -> str:
    parts = [HEAD.format(runs=len(lines.runs), machine=lines.machine,
                         date=max(run["date"] for run in lines.runs))]
    for source in sorted({run["source"] for run in lines.runs}, key=order):
        for dtype in DTYPES:
            rows = [row(lines, source, minutes, dtype) for minutes in MINUTES]
            rows = [row for row in rows if row]
            if rows:
                parts.append(f"\n## {source}, {dtype}\n\n{table(rows)}")
    return "".join(parts) + FOOT.format(cells=open_cells(lines))


def order(source: str) -> tuple[int, str]:
    return SOURCES.index(source) if source in SOURCES else len(SOURCES), source


def open_cells(lines: Lines) -> str:
    """The cells for which the recipe was not run, a line for each source."""
    found = []
    for source in SOURCES:
        minutes = [f"{m:g}" for m in MINUTES
                   if not any(run_of_recipe(lines, source, m, dtype) for dtype in DTYPES)]
        if minutes:
            found.append(f"- {source}: {', '.join(minutes)} minutes\n")
    return "".join(found)


def table(rows: list[list[str]]) -> str:
    line = "| " + " | ".join(COLUMNS) + " |\n|" + "--:|" * len(COLUMNS) + "\n"
    return line + "".join("| " + " | ".join(row) + " |\n" for row in rows)


def row(lines: Lines, source: str, minutes: float, dtype: str) -> list[str]:
    """The cells of a line; empty where the recipe was not run for these minutes."""
    found = fitting(lines, source, minutes, dtype)
    recipe = run_of_recipe(lines, source, minutes, dtype)
    if recipe is None or not found:
        return []
    best = found[0]
    return [f"{minutes:g}", str(len(found)), told(best), f"{best['report']:.4f}",
            f"{best['whole']:.4f}", told(recipe), f"{recipe['report']:.4f}",
            f"{recipe['whole']:.4f}", f"{recipe['report'] / best['report']:.3f}",
            presets(lines, source, minutes, dtype)]


def run_of_recipe(lines: Lines, source: str, minutes: float, dtype: str) -> dict[str, Any] | None:
    """The run with the settings that the recipe took last for this cell."""
    chosen = next((line for line in reversed(lines.all) if line.get("recipe") == source
                   and line["minutes"] == minutes and line["dtype"] == dtype), None)
    return chosen and lines.run(source=source, **{
        name: chosen[name] for name in ("settings", "updates", "seed")})


def presets(lines: Lines, source: str, minutes: float, dtype: str) -> str:
    """The losses of the presets that were run for so long."""
    found: dict[str, float] = {}
    for run in lines.runs:
        name = run["settings"].get("preset")
        seconds = lines.pace(paced_as(source), run["settings"], dtype)
        if run["source"] == source and name and seconds \
                and run["updates"] * seconds <= 60 * minutes * SLACK:
            found[name] = min(run["report"], found.get(name, float("inf")))
    return ", ".join(f"{name} {loss:.3f}" for name, loss in found.items())


def told(run: dict[str, Any]) -> str:
    """The settings of a run, in short."""
    s = run["settings"]
    layers = f"{s['num_layers']} x " if s.get("num_layers", 1) > 1 else ""
    window = f" x {s['seq_length']}" if "seq_length" in s else ""
    first = f", country {100 * run['first_prior']:.0f} %" if "first_prior" in run else ""
    average = ", averaged" if s.get("weight_average") else ""
    return (f"{layers}{s['hidden_size']}, batch {s['batch_size']}{window}, "
            f"dropout {s['dropout']:g}, {s['learning_rate']:g}{average}, "
            f"{run['passes']:.3g} passes{first}")
