"""Write the tables of a benchmark run: all rows into bench/RESULTS.md, a dozen into README.md.

    pytest bench --benchmark-json=bench.json && python bench/report.py bench.json

A row of RESULTS.md is the median time of one update, character or step (or the peak memory of a
process), how many times fastrnn's that is, below 1 where fastrnn is slower, and for updates which
fraction of the processor's peak speed their matrix products reach. The contestants took turns, so
ratios and fractions are taken within each round, and their median is shown. A row of README.md is
fastrnn's time at one work, those of the fastest NumPy and the fastest PyTorch, of whatever
precision and number of threads, and how many times fastrnn's the fastest of all others needs;
besides the works of SHORT it has all where fastrnn is slower than one of them. With --check nothing
is written; the exit code tells whether the table of RESULTS.md has the same rows as the run.
"""

import argparse
import json
import sys
from pathlib import Path
from statistics import median
from typing import NamedTuple

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
HEAD = ("| work | contestant | median time or memory | times fastrnn's | fraction of peak |\n"
        "|---|---|--:|--:|--:|\n")
SHORT_HEAD = ("| work | unit | fastrnn | NumPy | PyTorch, the fastest | fastest other / fastrnn |\n"
              "|---|---|--:|--:|--:|--:|\n")
SHORT = {  # (work, contestant) of README's rows, in float32 where it does not say otherwise
    ("rnn-1", "fastrnn"): "tanh RNN, 100 units, one stream",
    ("lstm-1", "fastrnn"): "LSTM, 100 units, one stream",
    ("lstm-50", "fastrnn"): "LSTM, 2 layers of 128 units, batches of 50",
    ("lstm-50", "fastrnn, bfloat16"): "the same, fastrnn in mixed_bfloat16",
    ("gru-50", "fastrnn"): "GRU, 2 layers of 128 units, batches of 50",
    ("word-30", "fastrnn"): "LSTM over words, 100 units, batches of 30",
    ("lstm-512", "fastrnn"): "LSTM, 512 units, batches of 64",
    ("lstm-512", "fastrnn, bfloat16"): "the same, fastrnn in mixed_bfloat16",
    ("lstm-512-1", "fastrnn"): "LSTM, 512 units, one stream",
    ("lstm-2x1024", "fastrnn"): "LSTM, 2 layers of 1,024 units, batches of 32",
    ("lstm-2x1024", "fastrnn, bfloat16"): "the same, fastrnn in mixed_bfloat16",
    ("messages lstm", "fastrnn"): "LSTM, 256 units, 192 messages of 20 to 140 characters",
    ("reservoir-500, float64", "fastrnn"): "echo state network, 500 units, float64",
    ("series lstm", "fastrnn"): "LSTM, 64 units, one series of 20,000 numbers",
    ("step lstm-64", "fastrnn"): "LSTM, 64 units, one number at a time",
    ("step reservoir-500, float64", "fastrnn"):
        "echo state network, 500 units, one number at a time, float64",
    ("sample", "fastrnn"): "sampling from a tanh RNN, 100 units",
}
UNITS = (("ns", 1e-9), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0))


class Row(NamedTuple):
    work: str
    contestant: str
    amount: str  # as shown, with its unit
    ratio: float  # times fastrnn's amount
    fraction: float | None  # of the peak speed of the cores that it may use


def main() -> int:
    root = Path(__file__).resolve().parents[1]
    parser = argparse.ArgumentParser(description="Write the tables of a benchmark run.")
    parser.add_argument("json", metavar="JSON", type=Path, help="from pytest --benchmark-json=JSON")
    parser.add_argument("--page", type=Path, metavar="FILE", default=root / "bench" / "RESULTS.md",
                        help="the page with all rows (default: bench/RESULTS.md)")
    parser.add_argument("--readme", type=Path, metavar="FILE", default=root / "README.md",
                        help="the page with a dozen rows (default: README.md)")
    parser.add_argument("--check", action="store_true",
                        help="only tell whether the page with all rows has the run's rows")
    options = parser.parse_args()
    try:
        run = read_run(options.json)
        before, old, after = around(options.page)
        if options.check:
            return compare(row_names(old), [row[:2] for row in rows(run)])
        if run["machine_info"]["quick"]:
            raise ValueError(f"{options.json} was made with FASTRNN_BENCH_QUICK, so its times mean "
                             "nothing: run the benchmarks without it")
        readme_before, _, readme_after = around(options.readme)
        table, short = render(run), render_short(run)
        options.page.write_text(f"{before}\n{table}{after}", encoding="utf-8")
        options.readme.write_text(f"{readme_before}\n{short}{readme_after}", encoding="utf-8")
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(table, end="")
    return 0


def read_run(path: Path) -> dict:
    """What pytest-benchmark stored, checked for what the table needs."""
    how = "make it with: pytest bench --benchmark-json=bench.json"
    if not path.is_file():
        raise ValueError(f"there is no file {path}: {how}")
    try:
        run = json.loads(path.read_bytes())
        if not rows(run):
            raise ValueError("no benchmarks")
        machine(run)
        return run
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a run of these benchmarks ({error!r}): {how}") from None


def groups(run: dict) -> dict[str, dict[str, dict]]:
    """The benchmarks of each work by contestant."""
    found: dict[str, dict] = {}
    for benchmark in run["benchmarks"]:
        group = found.setdefault(benchmark["group"], {})
        group[benchmark["extra_info"]["contestant"]] = benchmark
    for name, group in found.items():
        if "fastrnn" not in group:
            raise ValueError(f"the group {name!r} has no row of fastrnn")
    return found


def times(theirs: dict, ours: dict) -> float:
    """How many times ours theirs is, the median of the rounds."""
    return median(a / b for a, b in zip(rounds(theirs), rounds(ours), strict=True))


def rows(run: dict) -> list[Row]:
    """The rows of the full table, those of a work together."""
    result = []
    for group, benchmarks in groups(run).items():
        for contestant, benchmark in benchmarks.items():
            extra = benchmark["extra_info"]
            if "megabytes" in extra:
                amount = f"{extra['megabytes']:.0f} MB"
            else:
                amount = f"{show_time(median(rounds(benchmark)))} per {extra['unit']}"
            fraction = None
            if "peaks" in extra:
                fraction = median(extra["flops"] / seconds / peak for seconds, peak in
                                  zip(rounds(benchmark), extra["peaks"], strict=True))
            result.append(Row(group, contestant, amount, times(benchmark, benchmarks["fastrnn"]),
                              fraction))
    return result


def rounds(benchmark: dict) -> list[float]:
    """Seconds of one unit in each round, or the megabytes."""
    extra = benchmark["extra_info"]
    return [extra["megabytes"]] if "megabytes" in extra else benchmark["stats"]["data"]


def processor(run: dict) -> str:
    """The processor, its cores and the instruction set, in one line."""
    ours, cpu = run["machine_info"]["fastrnn"], run["machine_info"]["cpu"]
    return (f"{cpu.get('brand_raw', ours['machine'])}, {cpu['count']} cores, {ours['isa']} in "
            f"use, for bfloat16 {ours['mixed_bfloat16']}.\n")


def machine(run: dict) -> str:
    """The processor, its peak speed and the versions, in a few lines."""
    info = run["machine_info"]
    ours = info["fastrnn"]
    torch = f"PyTorch {info['torch']}, " if info["torch"] else ""
    peaks: dict[str, list] = {}  # of one core, by dtype
    for benchmark in run["benchmarks"]:
        extra = benchmark["extra_info"]
        if extra.get("threads") == 1:
            peaks.setdefault(extra["dtype"], []).extend(extra["peaks"])
    peak = ", ".join(f"{median(found) / 1e9:.0f} in {dtype}" for dtype, found in peaks.items())
    return (processor(run)
            + (f"Peak of one core in GFLOP/s, the median of all rounds: {peak}.\n" if peak else "")
            + f"Python {ours['python']}, NumPy {ours['numpy']}, SciPy {ours['scipy']}, {torch}"
            f"fastrnn {ours['version']} built by {ours['compiler']}.\n")


def render(run: dict) -> str:
    """All rows, and what they were measured on, as Markdown."""
    lines = [f"| {row.work} | {row.contestant} | {row.amount} | {three_digits(row.ratio)} | "
             f"{show_fraction(row.fraction)} |\n" for row in rows(run)]
    return machine(run) + "\n" + HEAD + "".join(lines)


def render_short(run: dict) -> str:
    """The rows of SHORT, and one for each other work where fastrnn is slower, as Markdown."""
    lines = []
    for work, benchmarks in groups(run).items():
        for ours in [name for name in benchmarks if name.startswith("fastrnn")]:
            others = {name: times(benchmark, benchmarks[ours])
                      for name, benchmark in benchmarks.items() if not name.startswith("fastrnn")}
            if (work, ours) in SHORT or (
                    ours == "fastrnn" and min(others.values(), default=1) < 1
                    and "megabytes" not in benchmarks[ours]["extra_info"]):
                lines.append(short_line(SHORT.get((work, ours), work), benchmarks, ours, others))
    return processor(run) + "\n" + SHORT_HEAD + "".join(lines)


def short_line(words: str, benchmarks: dict, ours: str, others: dict[str, float]) -> str:
    """All its times are in one unit, that of fastrnn's."""
    extra, seconds = benchmarks[ours]["extra_info"], median(rounds(benchmarks[ours]))
    unit, size = unit_of(seconds)
    cells = [words, f"{unit} per {extra['unit']}", three_digits(seconds / size)]
    for kind in ("NumPy", "PyTorch"):
        name = min((name for name in others if name.startswith(kind)), key=others.get, default="")
        cell = name and three_digits(median(rounds(benchmarks[name])) / size)
        if kind == "PyTorch" and name:
            precision = "" if "bfloat16" in name else f"{extra['dtype']}, "
            cell += f" ({precision}{name.removeprefix('PyTorch, ')})"
        cells.append(cell)
    cells.append(three_digits(min(others.values())) if others else "")
    return f"| {' | '.join(cells)} |\n"


def unit_of(seconds: float) -> tuple[str, float]:
    """The unit in which a time is below 1,000, and its seconds."""
    return next(unit for unit in UNITS if seconds / unit[1] < 999.5 or unit == UNITS[-1])


def three_digits(value: float) -> str:
    return f"{value:,.{0 if value >= 99.95 else 1 if value >= 9.995 else 2}f}"


def show_time(seconds: float) -> str:
    """Three digits, in ns, µs, ms or s."""
    unit, size = unit_of(seconds)
    return f"{three_digits(seconds / size)} {unit}"


def show_fraction(fraction: float | None) -> str:
    return "" if fraction is None else f"{fraction:.{0 if fraction >= 0.0995 else 1}%}"


def around(page: Path) -> tuple[str, str, str]:
    """The text of a page up to the first marker, between the two, and from the second on."""
    text = page.read_text(encoding="utf-8")
    lines = text.splitlines()
    if lines.count(BEGIN) != 1 or lines.count(END) != 1 or text.index(END) < text.index(BEGIN):
        raise ValueError(f"{page} must have one line {BEGIN} and after it one line {END}: "
                         "put them where the table belongs")
    start, stop = text.index(BEGIN) + len(BEGIN), text.index(END)
    return text[:start], text[start:stop], text[stop:]


def row_names(table: str) -> list[tuple[str, str]]:
    """(work, contestant) of the rows of a rendered table."""
    cells = [line.split("|") for line in table.splitlines() if line.startswith("|")]
    return [(cell[1].strip(), cell[2].strip()) for cell in cells[2:]]  # after the two head lines


def compare(there: list[tuple[str, str]], here: list[tuple[str, str]]) -> int:
    """Print the rows that only the page or only the run has; 0 if there are none."""
    for names, message in ((set(here) - set(there), "is missing from the page"),
                           (set(there) - set(here), "is in the page, not in this run")):
        for work, contestant in sorted(names):
            print(f"{work}, {contestant}: {message}")
    if set(here) != set(there):
        return 1
    print(f"the page has the {len(here)} rows of this run")
    return 0


if __name__ == "__main__":
    sys.exit(main())
