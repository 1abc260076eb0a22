"""Write the tables of a benchmark run: all rows into docs/speed.md, a dozen into README.md.

    pytest bench --benchmark-json=bench.json && python bench/report.py bench.json

A row of docs/speed.md is the median time of one update, character or step (or the peak memory of a
process), how many times fastrnn's that is, below 1 where fastrnn is slower, and for updates which
fraction of the processor's peak speed their matrix products reach. The contestants took turns, so
ratios and fractions are taken within each round, and their median is shown. A row of README.md is
fastrnn's time at one work, and how many times that the fastest NumPy and the fastest PyTorch need;
besides the works of SHORT it has all where fastrnn is slower than one of them. With --check nothing
is written; the exit code tells whether the table of docs/speed.md has the same rows as the run.
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
SHORT_HEAD = ("| work | fastrnn | NumPy, times as long | PyTorch, times as long |\n"
              "|---|--:|--:|--:|\n")
SHORT = {  # the works of README's table
    "rnn-1, float32": "tanh RNN, 100 units, one stream",
    "lstm-1, float32": "LSTM, 100 units, one stream",
    "gru-1, float32": "GRU, 100 units, one stream",
    "lstm-50, float32": "LSTM, 2 layers of 128 units, batches of 50",
    "gru-50, float32": "GRU, 2 layers of 128 units, batches of 50",
    "word-30, float32": "LSTM over words, 100 units, batches of 30",
    "lstm-512, float32": "LSTM, 512 units, batches of 64",
    "memorization-500 lstm, float32": "LSTM, 128 units, 500 sequences of 22 symbols",
    "sine-500 rnn, float32": "tanh RNN, 64 units, 500 series of 100 numbers",
    "messages lstm, float32": "LSTM, 256 units, 640 messages of 20 to 140 characters",
    "nn layer lstm, float32": "one LSTM layer alone, 100 units, batches of 30",
    "sample, float32": "sampling from a tanh RNN, 100 units",
    "reservoir-500, float64": "echo state network, 500 units",
}


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
    parser.add_argument("--page", type=Path, metavar="FILE", default=root / "docs" / "speed.md",
                        help="the page with all rows (default: docs/speed.md)")
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
        table, short = render(run), render_short(processor(run), rows(run))
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


def rows(run: dict) -> list[Row]:
    """The rows of the full table, those of a work together."""
    groups: dict[str, list] = {}
    for benchmark in run["benchmarks"]:
        groups.setdefault(benchmark["group"], []).append(benchmark)
    result = []
    for group, benchmarks in groups.items():
        ours = [b for b in benchmarks if b["extra_info"]["contestant"] == "fastrnn"]
        if len(ours) != 1:
            raise ValueError(f"the group {group!r} has {len(ours)} rows of fastrnn, not 1")
        for benchmark in benchmarks:
            extra = benchmark["extra_info"]
            if "megabytes" in extra:
                amount = f"{extra['megabytes']:.0f} MB"
            else:
                amount = f"{show_time(median(rounds(benchmark)))} per {extra['unit']}"
            ratio = median(theirs / our for theirs, our in
                           zip(rounds(benchmark), rounds(ours[0]), strict=True))
            fraction = None
            if "peaks" in extra:
                fraction = median(extra["flops"] / seconds / peak for seconds, peak in
                               zip(rounds(benchmark), extra["peaks"], strict=True))
            result.append(Row(group, extra["contestant"], amount, ratio, fraction))
    return result


def rounds(benchmark: dict) -> list[float]:
    """Seconds of one unit in each round, or the megabytes."""
    extra = benchmark["extra_info"]
    return [extra["megabytes"]] if "megabytes" in extra else benchmark["stats"]["data"]


def processor(run: dict) -> str:
    """The processor, its cores and the instruction set, in one line."""
    ours, cpu = run["machine_info"]["fastrnn"], run["machine_info"]["cpu"]
    return (f"{cpu.get('brand_raw', ours['machine'])}, {cpu['count']} cores, {ours['isa']} in "
            "use.\n")


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
    lines = [f"| {row.work} | {row.contestant} | {row.amount} | {show_ratio(row.ratio)} | "
             f"{show_fraction(row.fraction)} |\n" for row in rows(run)]
    return machine(run) + "\n" + HEAD + "".join(lines)


def render_short(processor: str, rows: list[Row]) -> str:
    """A row for each work of SHORT and for each where a peer is faster, as Markdown."""
    lines = []
    for work in dict.fromkeys(row.work for row in rows):
        ratios = {name: min((row.ratio for row in rows if row.work == work
                             and row.contestant.startswith(name)), default=None)
                  for name in ("NumPy", "PyTorch")}
        ours = next(row.amount for row in rows if row[:2] == (work, "fastrnn"))
        if work in SHORT or any(ratio is not None and ratio < 1 for ratio in ratios.values()):
            cells = [SHORT.get(work, work), ours,
                     *("" if ratio is None else show_ratio(ratio) for ratio in ratios.values())]
            lines.append(f"| {' | '.join(cells)} |\n")
    return processor + "\n" + SHORT_HEAD + "".join(lines)


def show_time(seconds: float) -> str:
    """Three digits, in ns, µs, ms or s."""
    for unit, size in (("ns", 1e-9), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0)):
        value = seconds / size
        if value < 999.5 or unit == "s":
            return f"{value:.{0 if value >= 99.95 else 1 if value >= 9.995 else 2}f} {unit}"
    raise AssertionError


def show_ratio(ratio: float) -> str:
    return f"{ratio:.{0 if ratio >= 99.95 else 1 if ratio >= 9.995 else 2}f}"


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
