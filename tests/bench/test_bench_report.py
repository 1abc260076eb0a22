"""bench/report.py: right ratios, pages changed only between their markers, clear errors."""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import report as bench_report

BENCH = Path(bench_report.__file__).parent
PAGE = "before\n<!-- bench:begin -->\nold\n<!-- bench:end -->\nafter µ\n"


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
                    "scipy": "1.14", "compiler": "gcc 13", "machine": "x86_64",
                    "mixed_bfloat16": "amx"},
        "torch": None,
        "quick": False,
    },
    "benchmarks": [
        # The second round was twice as slow for all: ratios 60, 60, 70; fractions 2, 2, 1.5 %.
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
    """report(run, *flags, page=...): the finished process, and the full page it has written."""

    def call(run, *flags, page=PAGE):
        stored, results = tmp_path / "bench.json", tmp_path / "RESULTS.md"
        if run is not None:
            stored.write_text(run if isinstance(run, str) else json.dumps(run))
        results.write_text(page, encoding="utf-8")
        (tmp_path / "README.md").write_text(PAGE, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, BENCH / "report.py", stored, "--page", results,
             "--readme", tmp_path / "README.md", *flags],
            capture_output=True, encoding="utf-8", env=os.environ | {"PYTHONUTF8": "1"})
        return done, results.read_text(encoding="utf-8")

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
    assert machine == ("A Processor, 4 cores, avx2 in use, for bfloat16 amx.\n"
                       "Peak of one core in GFLOP/s, the median of all rounds: 550 in float32.\n"
                       "Python 3.12.1, NumPy 2.1, SciPy 1.14, fastrnn 9.8 built by gcc 13.")
    assert lines.split("\n", 2)[2] == ROWS

    again, same = report(RUN, page=page)
    assert (again.returncode, same) == (0, page)

    checked, same = report(RUN, "--check", page=page)
    assert (checked.returncode, same) == (0, page)
    assert "7 rows" in checked.stdout


def test_readme_has_a_dozen_rows_and_those_where_fastrnn_is_slower(report, tmp_path):
    """Beside each work's row the fastest NumPy and PyTorch, all in the unit of fastrnn's time."""
    run = changed(lambda run: run["benchmarks"].extend([
        row("lstm-50", "fastrnn", [1e-3] * 3), row("lstm-50", "fastrnn, 1 thread", [9e-4] * 3),
        row("lstm-50", "fastrnn, bfloat16", [0.5e-3] * 3),
        row("lstm-50", "NumPy, step by step, float64", [9e-3] * 3),
        row("lstm-50", "NumPy, hoisted", [3e-3] * 3),
        row("lstm-50", "PyTorch, 1 thread", [2e-3] * 3),
        row("lstm-50", "PyTorch, 2 threads", [1.5e-3] * 3),
        row("lstm-50", "PyTorch, bfloat16, 1 thread", [1.25e-3, 1.25e-3, 2e-3]),
        row("gru-50", "fastrnn", [900e-6] * 3), row("gru-50", "fastrnn, bfloat16", [900e-6] * 3),
        row("gru-50", "PyTorch, 2 threads", [1.8e-3] * 3),
        row("losing", "fastrnn", [1e-3] * 3), row("losing", "PyTorch, fused", [8e-4] * 3)]))
    done, _ = report(run)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert page.startswith("before\n") and page.endswith("<!-- bench:end -->\nafter µ\n")
    assert page.splitlines()[2] == "A Processor, 4 cores, avx2 in use, for bfloat16 amx."
    lstm, mixed = (bench_report.SHORT["lstm-50", name] for name in ("fastrnn", "fastrnn, bfloat16"))
    gru = bench_report.SHORT["gru-50", "fastrnn"]
    assert page.splitlines()[6:-2] == [
        "| work | µs per update | 60.0 |  |  | 0.40 |",
        f"| {lstm} | ms per update | 1.00 | 3.00 | 1.25 (bfloat16, 1 thread) | 1.25 |",
        f"| {mixed} | µs per update | 500 | 3,000 | 1,250 (bfloat16, 1 thread) | 2.50 |",
        f"| {gru} | µs per update | 900 |  | 1,800 (float32, 2 threads) | 2.00 |",
        "| losing | ms per update | 1.00 |  | 0.80 (float32, fused) | 0.80 |"]


def test_pages_have_the_same_works():
    root = BENCH.parent
    _, table, _ = bench_report.around(root / "bench" / "RESULTS.md")
    _, short, _ = bench_report.around(root / "README.md")
    shown = [words for words, _ in bench_report.row_names(short)]
    there = set(bench_report.row_names(table))
    assert len(shown) >= 8
    assert [words for row, words in bench_report.SHORT.items() if row in there] == [
        words for words in shown if words in bench_report.SHORT.values()]


def test_torch_is_named_where_it_ran(report):
    done, _ = report(changed(lambda run: run["machine_info"].update(torch="2.7")))
    assert "SciPy 1.14, PyTorch 2.7, fastrnn 9.8" in done.stdout


def test_check_names_the_rows_that_differ(report):
    _, page = report(RUN)
    for edit, message in (
        (lambda run: run["benchmarks"].append(row("work", "new", [1, 1, 1])),
         "work, new: is missing from the page"),
        (lambda run: run["benchmarks"].pop(),
         "memory, other: is in the page, not in this run"),
    ):
        done, same = report(changed(edit), "--check", page=page)
        assert (done.returncode, same) == (1, page)
        assert done.stdout == message + "\n"


@pytest.mark.parametrize(("run", "page", "message"), [
    (None, PAGE, "there is no file"),
    ("{", PAGE, "is not a run of these benchmarks"),
    ({}, PAGE, "is not a run of these benchmarks"),
    (changed(lambda run: run["benchmarks"].clear()), PAGE, "no benchmarks"),
    (changed(lambda run: run["benchmarks"].pop(1)), PAGE, "'work' has no row of fastrnn"),
    (changed(lambda run: run["benchmarks"][0]["extra_info"].clear()), PAGE, "contestant"),
    (changed(lambda run: run["benchmarks"][0]["stats"]["data"].pop()), PAGE, "2 is longer"),
    (changed(lambda run: run["machine_info"].update(quick=True)), PAGE, "FASTRNN_BENCH_QUICK"),
    (RUN, "no markers\n", "must have one line <!-- bench:begin -->"),
    (RUN, "<!-- bench:end -->\n<!-- bench:begin -->\n", "must have one line"),
    (RUN, PAGE + PAGE, "must have one line"),
])
def test_bad_input_is_one_clear_error(report, tmp_path, run, page, message):
    done, written = report(run, page=page)
    assert (done.returncode, written) == (2, page)
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == PAGE
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("seconds", "shown"), [
    (9.994e-9, "9.99 ns"), (9.996e-7, "1.00 µs"), (57.06e-6, "57.1 µs"), (99.96e-6, "100 µs"),
    (1.5e-3, "1.50 ms"), (0.43, "430 ms"), (2.0, "2.00 s"), (1234.0, "1,234 s"),
])
def test_times_have_three_digits(seconds, shown):
    assert bench_report.show_time(seconds) == shown


def test_benchmarks_make_what_the_report_reads(tmp_path):
    """A few rows of a real run, each done once."""
    pytest.importorskip("pytest_benchmark")
    stored, page = tmp_path / "bench.json", tmp_path / "RESULTS.md"
    # where tests run in several processes, pytest-benchmark measures nothing
    environment = {name: value for name, value in os.environ.items() if "XDIST" not in name}
    run = subprocess.run(
        [sys.executable, "-m", "pytest", BENCH, "-q", "-p", "no:cacheprovider",
         "-o", "python_files=bench_*.py", "-k",
         "not PyTorch and not float64 and (memory or rnn-1 or word-30 or sample or AdaGrad)",
         f"--benchmark-json={stored}"],
        capture_output=True, encoding="utf-8", env=environment | {"FASTRNN_BENCH_QUICK": "1"})
    assert run.returncode == 0, run.stdout + run.stderr
    page.write_text(PAGE, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, BENCH / "report.py", stored, "--page", page, "--check"],
        capture_output=True, encoding="utf-8")
    assert done.returncode == 1, done.stderr  # all its rows are missing from this page
    for missing in ("rnn-1, fastrnn", "rnn-1, NumPy, hoisted", "rnn-1, fastrnn, plain BLAS",
                    "word-30, fastrnn, 1 thread", "word-30, fastrnn, bfloat16, 1 thread",
                    "word-30, NumPy, hoisted", "sample, fastrnn",
                    "AdaGrad with clip, NumPy, in place",
                    "lstm-512, peak memory, fastrnn"):
        assert f"{missing}: is missing" in done.stdout
