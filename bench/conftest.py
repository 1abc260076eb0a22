"""What the benchmarks share: the text, how one row is measured, and what the report must know."""

import os
import random
import string
import time
from importlib.metadata import version
from itertools import accumulate

import numpy as np
import pytest
import torch_peer
from threadpoolctl import threadpool_limits

import fastrnn

SECONDS = 2.0  # spent on each row
# Run each benchmark once, to see that it works; its times mean nothing.
QUICK = os.environ.get("FASTRNN_BENCH_QUICK", "0") not in ("", "0")
UNITS = {"update": 1000, "character": 5000, "step": 500}  # in one round


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(config, machine_info):
    machine_info["fastrnn"] = fastrnn.build_info()
    machine_info["torch"] = version("torch") if torch_peer.available() else None
    machine_info["quick"] = QUICK


@pytest.fixture
def measure(benchmark):
    """measure(group, contestant, unit, work): a row for work(n), which does n units of `unit`.

    All contestants of a group do the same n, so that pytest-benchmark's own table compares them.
    """

    def run(group, contestant, unit, work):
        n = 10 if QUICK else UNITS[unit]
        benchmark.group = group
        benchmark.extra_info.update(contestant=contestant, unit=unit, per_round=n)
        with threadpool_limits(1, user_api="blas"):
            start = time.perf_counter()
            work(n)  # warms up, and tells how many rounds fill the time
            rounds = max(3, round(SECONDS / (time.perf_counter() - start)))
            benchmark.pedantic(work, (n,), rounds=1 if QUICK else rounds)

    return run


@pytest.fixture(scope="session")
def corpus():
    """200,000 characters of a Markov chain over 83 symbols, some of them much rarer than others."""
    symbols = (string.ascii_letters + string.digits + string.punctuation)[:81] + " \n"
    rarity = 1 / np.arange(1, len(symbols) + 1)
    rows = np.random.default_rng(0).dirichlet(10 * rarity / rarity.sum(), len(symbols))
    following = {symbol: list(accumulate(row)) for symbol, row in zip(symbols, rows, strict=True)}
    text = list(symbols)  # each at least once
    draw = random.Random(0)
    while len(text) < 200_000:
        text += draw.choices(symbols, cum_weights=following[text[-1]])
    return fastrnn.Corpus.from_text("".join(text), name="Markov chain")
