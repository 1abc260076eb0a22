"""Fixtures that several test files share."""
import os
import random
import zlib
from collections import defaultdict
from pathlib import Path

import pytest

from fastrnn import kernels, recipe

WORDS = ("the quick brown fox jumps over a lazy dog and Harry said: The end, Alice was thinking. "
         "To be or not to be? Some text that was never read checked").split()
NAMES = {"Netherlands": ["Johanna", "Jan", "Jaap", "Hanna", "Joost", "Anna"],
         "Poland": ["Jan", "Jadwiga", "Ewa", "Anna", "Piotr", "Zofia"]}


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true",
                     help="run the checks that take minutes too, and all of every instruction set")
    parser.addoption("--spread", action="store_true",
                     help="a sample of the parameters on the best instruction set too")
    parser.addoption("--once", action="store_true",
                     help="one set of the parameters of each test, for .ci/coverage")
    parser.addoption("--refresh", action="store_true",
                     help="write what the documentation's examples print anew, where it differs")
    parser.addoption("--fuzz", type=int, default=2000, metavar="N",
                     help="number of changed files that the fuzzing of the loader opens")


def pytest_collection_modifyitems(config, items):
    """Without --long what is marked so is left out, and each test of an instruction set runs with
    all its parameters on the best one alone, and on each of the others so that every value of a
    parameter comes once, and every kind of network in every precision. With --once each test runs
    with one set."""
    if config.getoption("--long"):
        return
    once = config.getoption("--once")
    spread = once or config.getoption("--spread")
    best = {"isa": kernels.available_isas()[-1],
            "mixed_isa": kernels.available_isas(kernels.MIXED)[-1]}
    seen, left_out = defaultdict(set), {item for item in items if item.get_closest_marker("long")}
    for item in sorted(items, key=lambda item: zlib.crc32(item.nodeid.encode())):  # any order
        values = item.callspec.params if hasattr(item, "callspec") else {}
        name = next((name for name in best if name in values), None)
        if not values or not (spread or name and values[name] != best[name]):
            continue
        new = {(name, repr(value)) for name, value in values.items()}
        new.add((repr(values.get("kind")), repr(values.get("dtype"))))
        before = seen[item.path, item.originalname, not once and values.get(name)]
        if new <= before or once and before:
            left_out.add(item)
        before |= new
    config.hook.pytest_deselected(items=[*left_out])
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def long(request):
    """Skips the test unless --long is given."""
    if not request.config.getoption("--long"):
        pytest.skip("takes a minute: give --long")


@pytest.fixture(params=kernels.available_isas())
def isa(request, monkeypatch):
    """Each instruction set that runs here, in use by everything made in the test."""
    monkeypatch.setenv("FASTRNN_ISA", request.param)
    return request.param


@pytest.fixture(params=kernels.available_isas(kernels.MIXED))
def mixed_isa(request, monkeypatch):
    """The same for dtype="mixed_bfloat16", which has more of them."""
    monkeypatch.setenv("FASTRNN_ISA", request.param)
    return request.param


def _text(name):
    directory = os.environ.get("FASTRNN_DATA")
    if not directory:
        pytest.skip("FASTRNN_DATA is not set: it names the directory of the texts")
    return Path(directory) / name


@pytest.fixture
def shakespeare():
    """Path of tiny-shakespeare."""
    return _text("tinyshakespeare.txt")


@pytest.fixture
def alice():
    """Path of Alice in Wonderland's first chapter."""
    return _text("alice.txt")


@pytest.fixture
def many_cores(monkeypatch):
    """Trainers and layers start as many threads as they are told, on a machine of any size."""
    monkeypatch.setattr("fastrnn.kernels.blas.cores", lambda: 16)


@pytest.fixture
def small_files(tmp_path, monkeypatch):
    """A directory with a small file for every name that a page reads; speeds are measured in less
    time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(recipe, "PROBE", 0.01)
    draw = random.Random(0)
    text = "\n".join(" ".join(draw.choice(WORDS) for _ in range(10)) for _ in range(300))
    for name in ("book.txt", "alice.txt", "letters.txt"):
        length = 6_000 if name == "book.txt" else 2_000
        Path(name).write_text(text[:length], encoding="utf-8")
    Path("tweets.txt").write_text("\n".join(text.splitlines()[:100]), encoding="utf-8")
    rows = [(name, label) for label, names in NAMES.items() for name in names for _ in range(5)]
    Path("names.tsv").write_text("".join(f"{name}\t{label}\n" for name, label in rows))
    Path("names").mkdir()
    for label, names in NAMES.items():
        Path("names", f"{label}.txt").write_text("\n".join(names * 5), encoding="utf-8")
    return tmp_path
