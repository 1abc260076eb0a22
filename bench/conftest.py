"""The machine's description for the report, and the quick mode."""

import os
from importlib.metadata import version

import pytest
from peers import torch_peer

import fastrnn

# Run each benchmark once, to see that it works; such times mean nothing.
QUICK = os.environ.get("FASTRNN_BENCH_QUICK", "0") not in ("", "0")


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(config, machine_info):
    machine_info["fastrnn"] = fastrnn.build_info()
    machine_info["torch"] = version("torch") if torch_peer.available() else None
    machine_info["quick"] = QUICK


@pytest.fixture(scope="session")
def quick():
    return QUICK
