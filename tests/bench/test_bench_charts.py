"""bench/charts.py: the table is read right and in full, and the pictures are of this table."""

import re

import charts
import report

_, TABLE, _ = report.around(charts.RESULTS)
SMALL = """Peak of one core in GFLOP/s, the median of all rounds: 100 in float32, 50 in float64.

| work | contestant | median time or memory | times fastrnn's | fraction of peak |
|---|---|--:|--:|--:|
| one | fastrnn | 1.00 ms per update | 1.00 | 40% |
| one | fastrnn, plain BLAS | 2.00 ms per update | 2.00 | 20% |
| one | NumPy, step by step, float64 | 1.20 s per update | 1,200 | 0.9% |
| one | NumPy, hoisted | 4.00 ms per update | 4.00 | 10% |
| one | PyTorch, 1 thread | 5.00 ms per update | 5.00 | 8.0% |
| one | PyTorch, 2 threads | 6.00 ms per update | 6.00 | 3.0% |
| one, float64 | fastrnn | 2.00 ms per update | 1.00 | 40% |
| two | fastrnn | 1.00 ms per update | 1.00 | 30% |
| two | fastrnn, 1 thread | 1.80 ms per update | 1.80 | 35% |
| two | PyTorch, 2 threads | 0.90 ms per update | 0.90 | 33% |
| two | PyTorch, bfloat16, 1 thread | 0.70 ms per update | 0.70 |  |
| two | PyTorch, bfloat16, 2 threads | 0.50 ms per update | 0.50 |  |
| two, peak memory | fastrnn | 12 MB | 1.00 |  |
"""


def test_fractions_belong_to_one_core_or_two():
    rows = charts.read(SMALL)
    assert charts.fractions(rows, 1) == {"one": {"fastrnn": 40, "NumPy": 10, "PyTorch": 8},
                                         "two": {"fastrnn": 35}}
    assert charts.fractions(rows, 2) == {"two": {"fastrnn": 30, "PyTorch": 33}}


def test_ratios_are_of_the_fastest_and_rows_that_lose_are_kept():
    assert charts.ratios(charts.read(SMALL)) == {
        "one": {"NumPy": 4, "PyTorch": 5}, "two": {"PyTorch": 0.9, "PyTorch, bfloat16": 0.5}}


def test_every_contestant_of_the_table_has_a_place():
    left_out = {row.contestant for row in charts.read(TABLE) if not charts.kind(row.contestant)}
    assert left_out == {"fastrnn, plain BLAS", "fastrnn, baseline", "fastrnn, avx2"}


def test_pictures_are_of_this_table():
    for name in ("peak", "ratios"):
        picture = (charts.PICTURES / f"{name}.svg").read_text(encoding="utf-8")
        drawn = re.search(r"bench/RESULTS\.md (\w+)", picture)
        assert drawn and drawn[1] == charts.digest(TABLE), (
            f"{name}.svg is of another table: run python bench/charts.py, and read whether the "
            "words of docs/about/speed.md are still true")


def test_speeds_of_the_comparison_stand_in_the_table():
    page = (charts.ROOT / "docs" / "about" / "comparison.md").read_text(encoding="utf-8")
    speeds = re.findall(r"(\d[\d,.]*)\s(µs|ms|MB)\b", page)
    assert len(speeds) > 15
    missing = [f"{number} {unit}" for number, unit in speeds
               if not re.search(rf"\| {re.escape(number)} {unit}( per|\b)", TABLE)]
    assert not missing, "docs/about/comparison.md has speeds of another table"
