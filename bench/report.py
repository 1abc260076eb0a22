"""Write the table of a benchmark run into the README.

    pytest bench --benchmark-json=bench.json && python bench/report.py bench.json

Each row is the median time of one update, character or step (or the peak memory of a process); how
many times as much that is as fastrnn's, below 1 where fastrnn loses; and for updates what share of
the machine's peak the products of the update reach. The contestants took turns, so ratios and
shares are taken within each round, and their median is shown. With --check nothing is written; the
exit code tells whether the README's table has the same rows.
"""

import argparse
import json
import sys
from pathlib import Path
from statistics import median
from typing import NamedTuple

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
HEAD = ("| work | contestant | median time or memory | times fastrnn's | share of peak |\n"
        "|---|---|--:|--:|--:|\n")


class Row(NamedTuple):
    work: str
    contestant: str
    amount: str  # as shown, with its unit
    ratio: float  # times fastrnn's amount
    share: float | None  # of the peak of the cores it may use


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the table of a benchmark run into the "
                                     "README.")
    parser.add_argument("json", metavar="JSON", type=Path, help="from pytest --benchmark-json=JSON")
    parser.add_argument("--readme", type=Path, metavar="FILE",
                        default=Path(__file__).resolve().parents[1] / "README.md")
    parser.add_argument("--check", action="store_true",
                        help="only tell whether the README's table has the same rows")
    options = parser.parse_args()
    try:
        run = read_run(options.json)
        text = options.readme.read_text(encoding="utf-8")
        start, stop = markers(text, options.readme)
        if options.check:
            return compare(row_names(text[start:stop]), [row[:2] for row in rows(run)])
        if run["machine_info"]["quick"]:
            raise ValueError(f"{options.json} was made with FASTRNN_BENCH_QUICK, so its times mean "
                             "nothing: run the benchmarks without it")
        table = render(run)
        options.readme.write_text(f"{text[:start]}\n{table}{text[stop:]}", encoding="utf-8")
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
    """What the table shows, groups together."""
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
            share = None
            if "peaks" in extra:
                share = median(extra["flops"] / seconds / peak for seconds, peak in
                               zip(rounds(benchmark), extra["peaks"], strict=True))
            result.append(Row(group, extra["contestant"], amount, ratio, share))
    return result


def rounds(benchmark: dict) -> list[float]:
    """Seconds of one unit in each round, or the megabytes."""
    extra = benchmark["extra_info"]
    return [extra["megabytes"]] if "megabytes" in extra else benchmark["stats"]["data"]


def machine(run: dict) -> str:
    """The processor, its peak and the versions, in a few lines."""
    info = run["machine_info"]
    ours, cpu = info["fastrnn"], info["cpu"]
    model = cpu.get("brand_raw", ours["machine"])
    torch = f"PyTorch {info['torch']}, " if info["torch"] else ""
    peaks: dict[str, list] = {}  # of one core, by dtype
    for benchmark in run["benchmarks"]:
        extra = benchmark["extra_info"]
        if extra.get("threads") == 1:
            peaks.setdefault(extra["dtype"], []).extend(extra["peaks"])
    peak = ", ".join(f"{median(found) / 1e9:.0f} in {dtype}" for dtype, found in peaks.items())
    return (f"{model}, {cpu['count']} cores, {ours['isa']} in use.\n"
            + (f"Peak of one core in GFLOP/s, the median of all rounds: {peak}.\n" if peak else "")
            + f"Python {ours['python']}, NumPy {ours['numpy']}, SciPy {ours['scipy']}, {torch}"
            f"fastrnn {ours['version']} built by {ours['compiler']}.\n")


def render(run: dict) -> str:
    """The Markdown that stands between the markers."""
    lines = [f"| {row.work} | {row.contestant} | {row.amount} | {show_ratio(row.ratio)} | "
             f"{show_share(row.share)} |\n" for row in rows(run)]
    return machine(run) + "\n" + HEAD + "".join(lines)


def show_time(seconds: float) -> str:
    """Three digits, in ns, µs, ms or s."""
    for unit, size in (("ns", 1e-9), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0)):
        value = seconds / size
        if value < 999.5 or unit == "s":
            return f"{value:.{0 if value >= 99.95 else 1 if value >= 9.995 else 2}f} {unit}"
    raise AssertionError


def show_ratio(ratio: float) -> str:
    return f"{ratio:.{0 if ratio >= 99.95 else 1 if ratio >= 9.995 else 2}f}"


def show_share(share: float | None) -> str:
    return "" if share is None else f"{share:.{0 if share >= 0.0995 else 1}%}"


def markers(text: str, readme: Path) -> tuple[int, int]:
    """Where what stands between the two marker lines starts and stops."""
    lines = text.splitlines()
    if lines.count(BEGIN) != 1 or lines.count(END) != 1 or text.index(END) < text.index(BEGIN):
        raise ValueError(f"{readme} must have one line {BEGIN} and after it one line {END}: "
                         "put them where the table belongs")
    return text.index(BEGIN) + len(BEGIN), text.index(END)


def row_names(table: str) -> list[tuple[str, str]]:
    """(work, contestant) of the rows of a rendered table."""
    cells = [line.split("|") for line in table.splitlines() if line.startswith("|")]
    return [(cell[1].strip(), cell[2].strip()) for cell in cells[2:]]  # after the two head lines


def compare(there: list[tuple[str, str]], here: list[tuple[str, str]]) -> int:
    """Print which rows only one side has; 0 where there are none."""
    for names, message in ((set(here) - set(there), "is missing from the README"),
                           (set(there) - set(here), "is in the README, not in this run")):
        for work, contestant in sorted(names):
            print(f"{work}, {contestant}: {message}")
    if set(here) != set(there):
        return 1
    print(f"the README has the {len(here)} rows of this run")
    return 0


if __name__ == "__main__":
    sys.exit(main())
