"""The table of docs/inside/tiles.md has the sizes of csrc/tile.h, for each instruction set."""

import platform
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "inside" / "tiles.md"
SETS = {"baseline x86-64": ["-msse2", "-mno-avx"], "AVX2": ["-mavx2", "-mfma"],
        "AVX-512": ["-mavx512f", "-mavx512dq", "-mfma"]}
PROGRAM = """
#include <stdio.h>
#include "tile.h"
int main(void) {
    const int G[] = {1, 3, 4}, lstm = panel_units(4, 50, 128);
    printf("%d\\n%d\\n%d\\n", VEC_BYTES, LANES, REGISTERS);
    for (int i = 0; i < 3; i++) {
        printf("%d x %d\\n", TILE_ROWS(G[i]), G[i] * panel_units(G[i], 50, 1024) / LANES);
    }
    printf("%d\\n%d\\n", panel_units(1, 50, 128), lstm);
    printf("%d\\n%d\\n", panels_of(lstm, 128), 4 * lstm * 128 * REAL_BYTES);
    printf("%d\\n%d\\n", NEAR_BYTES, WIDE);
    return panel_units(3, 50, 128) != lstm;
}
"""


@pytest.mark.skipif(shutil.which("gcc") is None or platform.machine() not in ("x86_64", "AMD64"),
                    reason="gcc for x86-64 is not installed")
@pytest.mark.parametrize("isa", SETS)
def test_table_of_tiles(isa, tmp_path):
    (tmp_path / "sizes.c").write_text(PROGRAM)
    subprocess.run(["gcc", "-std=c99", "-w", "-O0", *SETS[isa], "-I", ROOT / "csrc", "-o",
                    tmp_path / "sizes", tmp_path / "sizes.c", "-lm"], check=True)
    sizes = subprocess.run([tmp_path / "sizes"], capture_output=True, text=True, check=True).stdout
    lines = [[cell.strip() for cell in line.strip("|").split("|")]
             for line in PAGE.read_text(encoding="utf-8").splitlines()]
    start = next(i for i, cells in enumerate(lines) if cells[1:] == list(SETS))
    rows = lines[start + 2 : start + 2 + len(sizes.splitlines())]
    column = 1 + list(SETS).index(isa)
    assert [row[column].replace(",", "") for row in rows] == sizes.splitlines()
    assert lines[start + 2 + len(rows)] == [""]
