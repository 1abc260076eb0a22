"""Which settings give the best model in so many minutes? A search that can be stopped and go on.

    python bench/recipes.py --pace                 # on a quiet machine: the time of an update
    python bench/recipes.py --search 2             # hours, over all cells of the table
    python bench/recipes.py --source shakespeare:150000 --minutes 1 3 --search 0.5
    python bench/recipes.py --source names --minutes 1 --settings '{"dropout": 0.4}'    # one run
    python bench/recipes.py --recipe --presets     # what to compare with
    python bench/recipes.py --report               # writes bench/RECIPES.md

A run makes a fixed number of updates: the minutes times the pace of its network with two threads,
or fewer where it names `passes`. So a busy machine gives the same losses as a quiet one. Each run
and each pace is a line of bench/recipes.jsonl and is not made twice. A run counts in every cell of
the table whose minutes it fits into, with float32 or with mixed_bfloat16.

The model of a run is the one with the lowest loss on the first half of the last tenth ("choose"),
by which settings are compared too; what is told of it is its loss on the other half ("report").
"""

import argparse
import itertools
import json
import random
import time
from pathlib import Path
from typing import Any

import recipes_report
from recipes_runs import (
    BOTH,
    DTYPES,
    MINUTES,
    RUNS,
    SOURCES,
    Data,
    Lines,
    data_of,
    fitting,
    pace,
    run,
    source_of,
    trainer_of,
    updates_of,
)

from fastrnn import recipe
from fastrnn.data.source import Source
from fastrnn.presets import PRESETS

START = {"hidden_size": 256, "batch_size": 16, "seq_length": 64, "dropout": 0.2,
         "learning_rate": 7e-3, "num_layers": 1, "weight_average": 0.0, "passes": None}
GRID: dict[str, tuple[Any, ...]] = {
    "hidden_size": (64, 96, 128, 192, 256, 320, 384, 512, 640, 768, 1024),
    "batch_size": (1, 2, 4, 8, 16, 32, 64),
    "seq_length": (32, 64, 128),
    "dropout": (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7),
    "learning_rate": (2e-3, 3e-3, 4e-3, 5e-3, 7e-3, 1e-2, 1.4e-2, 2e-2),
    "num_layers": (1, 2),
    "weight_average": (0.0, 0.15),  # with a constant learning rate
    "passes": (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, None)}  # None: as many as there is time for


# ---- the search ----

def proposal(best: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """Settings near those of the best run, with one or two of them a step of the grid away."""
    settings = START | {k: v for k, v in best["settings"].items() if k != "dtype"} | {
        "passes": best["passes"]}
    for name in rng.sample(sorted(GRID), rng.choice((1, 2))):
        values = GRID[name]
        near = min((i for i, value in enumerate(values) if value is not None),
                   key=lambda i: abs(values[i] - settings[name]))
        settings[name] = values[min(len(values) - 1, max(0, near + rng.choice((-1, 1))))]
    return settings


def search(lines: Lines, cells: list[tuple[Data, float]], seconds: float,
           options: argparse.Namespace) -> None:
    """A new run of each cell in turn, until so many seconds are over: first what the recipe takes,
    then neighbours of the best so far."""
    end = time.monotonic() + seconds
    for turn, (data, minutes) in enumerate(itertools.cycle(cells)):
        if time.monotonic() > end:
            break
        known = fitting(lines, data.name, minutes, options.dtype)
        rng = random.Random(f"{data.name} {minutes} {len(lines.runs)} {turn}")
        settings = proposal(known[0], rng) if known else recipe_of(lines, data, minutes, options)
        one(lines, data, minutes, settings, options)


def one(lines: Lines, data: Data, minutes: float, settings: dict[str, Any],
        options: argparse.Namespace) -> dict[str, Any]:
    """A run in a cell, told in a line."""
    settings = settings_for(data, settings)
    seconds = pace(lines, data, settings, options.dtype, options.busy)
    updates = updates_of(data, settings, minutes, seconds)
    line = run(lines, data, settings | {"dtype": options.train_in or options.dtype}, updates,
               options.seed)
    print(f"{data.name}, {minutes:g} min: {line['choose']:.4f} {line['report']:.4f}  {updates} "
          f"updates, {line['passes']:g} passes, {json.dumps(line['settings'])}", flush=True)
    return line


def settings_for(data: Data, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings without a seq_length for records, and with the schedule that suits an average of
    the parameters."""
    average = settings.get("weight_average")
    left_out = {"seq_length" if data.train.steps is not None else "",
                "" if average else "weight_average"}
    return {k: v for k, v in settings.items() if k not in left_out} | (
        {"schedule": "constant"} if average else {})


def recipe_of(lines: Lines, data: Data, minutes: float,
              options: argparse.Namespace) -> dict[str, Any]:
    """What `fastrnn.train` takes in so many minutes of a machine with these paces."""
    def speed(_: Source, settings: dict[str, Any]) -> tuple[float, int]:
        own = {"num_layers": 1} | {k: v for k, v in settings.items() if k in kept}
        seconds = pace(lines, data, own, settings.get("dtype", DTYPES[0]), options.busy)
        return 1 / seconds, round(trainer_of(data, own, 10**6, 0, 1).updates_per_epoch / 0.9)

    kept = {*GRID, "embedding_size", "weight_average"}
    given = {"minutes": minutes} | ({"dtype": DTYPES[0]} if options.dtype == DTYPES[0] else {})
    chosen, _ = recipe.choose(source_of(data.name), given, speed)
    return {"num_layers": 1, "passes": chosen.get("epochs")} | {
        k: v for k, v in chosen.items() if k in kept}


def presets_of(data: Data) -> list[str]:
    """The presets for this kind of source whose loss is a cross-entropy."""
    word = data.train.unit == "word"
    return [name for name, preset in PRESETS.items()
            if preset.kind == data.train.kind and "loss" not in preset.settings
            and word == (preset.reading.get("unit") == "word")]


# ---- the command ----

def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--source", nargs="+", help="such as names, words, book:20000 (the first "
                        "characters of book.txt) or lines:book (its lines); by default all of "
                        f"{', '.join(SOURCES)} that are there")
    parser.add_argument("--minutes", nargs="+", type=float, default=MINUTES)
    parser.add_argument("--dtype", choices=DTYPES, default=DTYPES[0], help="whose pace counts")
    parser.add_argument("--train-in", choices=DTYPES, help="train in this dtype all the same: the "
                        "losses of both agree, and one may be faster")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--busy", action="store_true", help="measure paces by the processor time "
                        f"of one thread, times {BOTH}")
    parser.add_argument("--file", type=Path, default=RUNS)
    parser.add_argument("--pace", action="store_true", help="measure the networks of the grid")
    parser.add_argument("--search", type=float, metavar="HOURS", help="search for so long")
    parser.add_argument("--settings", type=json.loads, metavar="JSON", help="make this run")
    parser.add_argument("--recipe", action="store_true", help="what fastrnn.train takes")
    parser.add_argument("--presets", action="store_true", help="the presets for these sources")
    parser.add_argument("--report", action="store_true", help="write RECIPES.md beside the file")
    return parser.parse_args()


def measure(lines: Lines, data: Data, options: argparse.Namespace) -> None:
    """The paces of all sizes and batches of the grid."""
    for size, N in itertools.product(GRID["hidden_size"], GRID["batch_size"]):
        settings = settings_for(data, START | {"hidden_size": size, "batch_size": N})
        pace(lines, data, settings, options.dtype, options.busy)


def sources(given: list[str] | None) -> list[Data]:
    """The given sources, or all whose files are there."""
    found = []
    for name in given or SOURCES:
        try:
            found.append(data_of(name))
        except FileNotFoundError:
            if given:
                raise
            print(f"{name} is left out: its file is neither in FASTRNN_DATA nor in FASTRNN_TEXTS")
    return found


def main() -> None:
    options = arguments()
    lines = Lines(options.file)
    used = options.pace or options.search or options.settings or options.recipe or options.presets
    found = sources(options.source) if used else []
    cells = list(itertools.product(found, options.minutes))
    if options.pace:
        for data in found:
            measure(lines, data, options)
    if options.search:
        search(lines, cells, 3600 * options.search, options)
    for data, minutes in cells:
        if options.settings:
            one(lines, data, minutes, START | options.settings, options)
        if options.recipe:
            line = one(lines, data, minutes, recipe_of(lines, data, minutes, options), options)
            lines.add({"recipe": data.name, "minutes": minutes, "dtype": options.dtype,
                       **{k: line[k] for k in ("settings", "updates", "seed")}})
        for name in presets_of(data) if options.presets else ():
            one(lines, data, minutes, {"preset": name}, options)
    if options.report:
        recipes_report.write(lines, options.file.with_name("RECIPES.md"))


if __name__ == "__main__":
    main()
