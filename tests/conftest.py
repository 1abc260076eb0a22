"""Fixtures that several test files share."""
import os
from pathlib import Path

import pytest

from fastrnn import kernels


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="run the checks that take minutes too")
    parser.addoption("--fuzz", type=int, default=2000, metavar="N",
                     help="number of changed files that the fuzzing of the loader opens")


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
