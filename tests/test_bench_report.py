"""bench/report.py: right ratios, the README changed only between its markers, clear errors."""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import report as bench_report

BENCH = Path(__file__).resolve().parents[1] / "bench"
README = "before\n<!-- bench:begin -->\nold\n<!-- bench:end -->\nafter µ\n"


def row(group, contestant, seconds, unit="update", **extra):
    """A benchmark with these seconds in three rounds, for one unit."""
    return {"group": group, "stats": {"data": seconds},
            "extra_info": {"contestant": contestant, "unit": unit, "dtype": "float32", **extra}}


def peaks(threads, *values):
    return {"flops": 6_000_000, "threads": threads, "peaks": values}


RUN = {
    "machine_info": {
        "cpu": {"brand_raw": "A Processor", "count": 4},
        "fastrnn": {"version": "9.8", "isa": "avx2", "python": "3.12.1", "numpy": "2.1",
                    "scipy": "1.14", "compiler": "gcc 13", "machine": "x86_64"},
        "torch": None,
        "quick": False,
    },
    "benchmarks": [
        # The second round was twice as slow for all: ratios 60, 60, 70; shares 2, 2, 1.5 %.
        row("work", "slow", [3e-3, 6e-3, 4.2e-3], **peaks(1, 1e11, 5e10, 95e9)),
        # 120 of 160, 60 of 60, 100 of 200 GFLOP/s
        row("work", "fastrnn", [50e-6, 100e-6, 60e-6], **peaks(2, 16e10, 6e10, 2e11)),
        row("sampling", "fastrnn", [2e-6, 2e-6, 4e-6], "character"),
        row("work", "quick", [20e-6, 40e-6, 42e-6], **peaks(1, 1e12, 3e12, 1e12)),  # a losing row
        row("sampling", "other", [10e-6, 12e-6, 8e-6], "character"),  # 5, 6 and 2 times
        row("memory", "fastrnn", [7.0], megabytes=61.4),
        row("memory", "other", [6.0], megabytes=307.0),
    ],
}
ROWS = """\
| work | slow | 4.20 ms per update | 60.0 | 2.0% |
| work | fastrnn | 60.0 µs per update | 1.00 | 75% |
| work | quick | 40.0 µs per update | 0.40 | 14% |
| sampling | fastrnn | 2.00 µs per character | 1.00 |  |
| sampling | other | 10.0 µs per character | 5.00 |  |
| memory | fastrnn | 61 MB | 1.00 |  |
| memory | other | 307 MB | 5.00 |  |
"""


@pytest.fixture
def report(tmp_path):
    """report(run, *flags, readme=...): the finished process, and what README then says."""

    def call(run, *flags, readme=README):
        stored, page = tmp_path / "bench.json", tmp_path / "README.md"
        if run is not None:
            stored.write_text(run if isinstance(run, str) else json.dumps(run))
        page.write_text(readme, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, BENCH / "report.py", stored, "--readme", page, *flags],
            capture_output=True, encoding="utf-8", env=os.environ | {"PYTHONUTF8": "1"})
        return done, page.read_text(encoding="utf-8")

    return call


def changed(edit):
    run = copy.deepcopy(RUN)
    edit(run)
    return run


def test_table_stands_between_the_markers(report):
    done, page = report(RUN)
    assert done.returncode == 0, done.stderr
    head, table, tail = page.replace("<!-- bench:end -->", "<!-- bench:begin -->").split(
        "<!-- bench:begin -->\n")
    assert (head, tail) == ("before\n", "after µ\n")
    assert table == done.stdout
    machine, _, lines = table.partition("\n\n")
    assert machine == ("A Processor, 4 cores, avx2 in use.\n"
                       "Peak of one core in GFLOP/s, the median of all rounds: 550 in float32.\n"
                       "Python 3.12.1, NumPy 2.1, SciPy 1.14, fastrnn 9.8 built by gcc 13.")
    assert lines.split("\n", 2)[2] == ROWS

    again, same = report(RUN, readme=page)
    assert (again.returncode, same) == (0, page)

    checked, same = report(RUN, "--check", readme=page)
    assert (checked.returncode, same) == (0, page)
    assert "7 rows" in checked.stdout


def test_torch_is_named_where_it_ran(report):
    done, _ = report(changed(lambda run: run["machine_info"].update(torch="2.7")))
    assert "SciPy 1.14, PyTorch 2.7, fastrnn 9.8" in done.stdout


def test_check_names_the_rows_that_differ(report):
    _, page = report(RUN)
    for edit, message in (
        (lambda run: run["benchmarks"].append(row("work", "new", [1, 1, 1])),
         "work, new: is missing from the README"),
        (lambda run: run["benchmarks"].pop(),
         "memory, other: is in the README, not in this run"),
    ):
        done, same = report(changed(edit), "--check", readme=page)
        assert (done.returncode, same) == (1, page)
        assert done.stdout == message + "\n"


@pytest.mark.parametrize(("run", "readme", "message"), [
    (None, README, "there is no file"),
    ("{", README, "is not a run of these benchmarks"),
    ({}, README, "is not a run of these benchmarks"),
    (changed(lambda run: run["benchmarks"].clear()), README, "no benchmarks"),
    (changed(lambda run: run["benchmarks"].pop(1)), README, "'work' has 0 rows of fastrnn"),
    (changed(lambda run: run["benchmarks"][0]["extra_info"].clear()), README, "contestant"),
    (changed(lambda run: run["benchmarks"][0]["stats"]["data"].pop()), README, "2 is longer"),
    (changed(lambda run: run["machine_info"].update(quick=True)), README, "FASTRNN_BENCH_QUICK"),
    (RUN, "no markers\n", "must have one line <!-- bench:begin -->"),
    (RUN, "<!-- bench:end -->\n<!-- bench:begin -->\n", "must have one line"),
    (RUN, README + README, "must have one line"),
])
def test_bad_input_is_one_clear_error(report, run, readme, message):
    done, page = report(run, readme=readme)
    assert (done.returncode, page) == (2, readme)
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("seconds", "shown"), [
    (9.994e-9, "9.99 ns"), (9.996e-7, "1.00 µs"), (57.06e-6, "57.1 µs"), (99.96e-6, "100 µs"),
    (1.5e-3, "1.50 ms"), (0.43, "430 ms"), (2.0, "2.00 s"), (1234.0, "1234 s"),
])
def test_times_have_three_digits(seconds, shown):
    assert bench_report.show_time(seconds) == shown


def test_benchmarks_make_what_the_report_reads(tmp_path):
    """A few rows of a real run, each done once."""
    pytest.importorskip("pytest_benchmark")
    stored, page = tmp_path / "bench.json", tmp_path / "README.md"
    run = subprocess.run(
        [sys.executable, "-m", "pytest", BENCH, "-q", "-p", "no:cacheprovider",
         "-o", "python_files=bench_*.py", "-k",
         "not PyTorch and (memory or float32 and (rnn-1 or word-30 or sample or AdaGrad))",
         f"--benchmark-json={stored}"],
        capture_output=True, encoding="utf-8", env=os.environ | {"FASTRNN_BENCH_QUICK": "1"})
    assert run.returncode == 0, run.stdout + run.stderr
    page.write_text(README, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, BENCH / "report.py", stored, "--readme", page, "--check"],
        capture_output=True, encoding="utf-8")
    assert done.returncode == 1, done.stderr  # all its rows are missing from this README
    for missing in ("rnn-1, float32, fastrnn", "rnn-1, float32, NumPy, step by step, float64",
                    "word-30, float32, fastrnn, 1 thread", "word-30, float32, NumPy, hoisted",
                    "sample, float32, fastrnn", "AdaGrad with clip, float32, NumPy, in place",
                    "lstm-512, peak memory, fastrnn"):
        assert f"{missing}: is missing" in done.stdout
