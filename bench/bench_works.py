"""pytest-benchmark's tests: every race, and the peak memory of fastrnn and PyTorch.

All contestants of a race start from the same numbers and are measured in turn.
"""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path

import memory
import numpy as np
import pytest
from contestants import THREADS, kernels
from peers import torch_peer
from race import race
from races import all_races, start_of
from threadpoolctl import threadpool_limits
from works import WORKS

RACES = all_races()


def peaks(dtype: str) -> dict[int, float]:
    """For each number of threads the floating point operations per second of so many cores that do
    nothing but multiply and add in registers."""
    with ThreadPoolExecutor(THREADS) as pool:
        return {n: sum(pool.map(kernels.peak, [dtype] * n)) for n in range(1, THREADS + 1)}


@pytest.fixture(scope="session")
def measured(request, quick):
    """measured(group) runs that race once, with those of its contestants that were selected."""
    tests = [item.callspec.params for item in request.session.items
             if getattr(item, "originalname", None) == "test_race"]

    @cache
    def run(group):
        this = RACES[group]
        probe = partial(peaks, this.dtype) if this.flops else None
        with threadpool_limits(1, user_api="blas"):
            works = {test["name"]: this.contestants[test["name"]].make()
                     for test in tests if test["group"] == group}
            return race(works, probe, quick)

    return run


@pytest.mark.parametrize(
    ("group", "name"), [(group, name) for group, this in RACES.items()
                        for name in this.contestants])
def test_race(benchmark, measured, group, name):
    laps, probes = measured(group)
    this = RACES[group]
    benchmark.group = group
    benchmark.extra_info.update(contestant=name, unit=this.unit, dtype=this.dtype)
    if probes and "bfloat16" not in name:  # its products have another peak
        threads = this.contestants[name].threads
        benchmark.extra_info.update(flops=this.flops, threads=threads,
                                    peaks=[peak[threads] for peak in probes])
    # pytest-benchmark can only measure one test after another, not in turn. So its record of a
    # test is made here as its own `pedantic` makes it, and gets the times that `race` measured.
    benchmark._mode = "race"
    record = benchmark._make_stats(laps[name].units)
    for seconds in laps[name].seconds:
        record.update(seconds)


@pytest.mark.skipif(not memory.STATUS.exists(), reason="peak memory is read from Linux's /proc")
@pytest.mark.parametrize("name", ["fastrnn", "PyTorch"])
def test_memory(benchmark, tmp_path, name):
    if name == "PyTorch" and not torch_peer.available():
        pytest.skip("PyTorch is not installed")
    work = WORKS["lstm-512"]
    params, ids = start_of(work)
    np.savez(tmp_path / "start.npz", ids=ids, **params)
    command = [sys.executable, Path(memory.__file__), name, work.name, tmp_path / "start.npz"]
    benchmark.group = f"{work.name}, peak memory"
    done = benchmark.pedantic(
        subprocess.run, (command,), {"stdout": subprocess.PIPE, "check": True})
    benchmark.extra_info.update(contestant=name, megabytes=int(done.stdout) / 1e6)


@pytest.mark.skipif(not memory.STATUS.exists(), reason="peak memory is read from Linux's /proc")
def test_memory_of_a_long_series(benchmark, quick):
    steps = 10_000 if quick else 1_000_000
    benchmark.group = "echo state network on 1,000,000 steps, peak memory"
    done = benchmark.pedantic(
        subprocess.run, ([sys.executable, Path(memory.__file__), "echo", str(steps)],),
        {"stdout": subprocess.PIPE, "check": True})
    benchmark.extra_info.update(contestant="fastrnn", megabytes=int(done.stdout) / 1e6)
