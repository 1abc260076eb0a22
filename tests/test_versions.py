"""The lowest versions that are tested are those that pyproject.toml allows."""
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def bounds():
    """name -> lower bound of every dependency that a user may install."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    names = ("plot", "report", "tensorboard", "watch", "completion", "bpe", "onnx",
             "datasets", "examples", "test")
    lines = [*project["dependencies"], *(line for name in names for line in extras[name])]
    found = (re.fullmatch(r"([\w-]+)>=([\d.]+)(,<\d+)?", line) for line in lines
             if not line.startswith("fastrnn["))
    return {match[1]: match[2] for match in found}


def test_the_lowest_versions_are_those_allowed():
    pins = dict(line.split("==") for line in (ROOT / ".ci/lowest.txt").read_text().splitlines()
                if not line.startswith("#"))
    assert pins == bounds()
    assert len(pins) == 22


def test_the_ci_installs_them():
    assert "-r .ci/lowest.txt" in (ROOT / ".ci/run").read_text()
