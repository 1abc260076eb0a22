"""ThreadSanitizer sees no race in the compiled code while the tests of threads run."""
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_threads import build

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"
SUPPRESSIONS = Path(__file__).with_name("thread_sanitizer.supp")
# not those in processes of their own, nor hundreds of the same bits
CHOSEN = ("several_threads or take_turns or run_and_save or drawn_from or one_workspace "
          "or threads_of_python or number_of_threads or a_trainer_gives or helpers "
          "or more_threads_than or (training_gives_the_same_bits and 65)")

# Two networks without a common lock write one block of parameters.
RACE = """
from test_threads import *
assert str(Path(fastrnn.__file__)).startswith({place!r})
model, ids = random_model("gru", "float32", 12, 30), np.random.default_rng(3).integers(0, 12, 400)
runs = [Run(model, ids, 5, 9) for _ in range(2)]
in_threads(2, lambda i: [runs[i].run(20) for _ in range(20)])
"""


@pytest.fixture(scope="module")
def library(long):
    """The sanitizer's run-time library, which must come first in a process."""
    gcc = shutil.which("gcc")
    found = gcc and subprocess.run([gcc, "-print-file-name=libtsan.so"], capture_output=True,
                                   text=True).stdout.strip()
    if not found or not Path(found).is_absolute():
        pytest.skip("needs gcc with libtsan")
    return found


@pytest.fixture(scope="module")
def built(library, tmp_path_factory):
    """A copy of the sources, built for the sanitizer."""
    pytest.importorskip("Cython", reason="needs Cython to build the extension")
    place = tmp_path_factory.mktemp("built")
    for name in ("src", "csrc"):
        shutil.copytree(ROOT / name, place / name,
                        ignore=shutil.ignore_patterns("*.so", "*.c" if name == "src" else ""))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, place)
    done = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--inplace"], cwd=place, text=True,
        capture_output=True,
        env=os.environ | {"FASTRNN_SANITIZE": "thread", "CC": "gcc"})
    assert done.returncode == 0, done.stdout + done.stderr
    return place


def run(library, built, reports, *arguments):
    """The exit status of Python, its output, and the sanitizer's reports."""
    reports.mkdir()
    places = map(str, (built / "src", TESTS, TESTS / "kernels"))
    environment = os.environ | {
        "LD_PRELOAD": library, "PYTHONPATH": os.pathsep.join(places),
        "TSAN_OPTIONS": f"suppressions={SUPPRESSIONS} log_path={reports / 'report'} exitcode=0"}
    command = [sys.executable, *arguments]
    if shutil.which("setarch"):  # it knows memory that is where Linux puts it without chance
        command = ["setarch", "-R", *command]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    if "unexpected memory mapping" in done.stderr:
        pytest.skip("libtsan does not run on this kernel")
    return done.returncode, done.stdout + done.stderr, [
        report for path in sorted(reports.iterdir())
        for report in path.read_text().split("==================")
        if "WARNING: ThreadSanitizer" in report]


def test_a_race_is_seen(library, built, tmp_path):
    """Else the next test says nothing."""
    code, out, reports = run(library, built, tmp_path / "reports", "-c",
                             RACE.format(place=str(built)))
    assert code == 0, out
    assert any("data race csrc/" in report for report in reports)


@pytest.mark.parametrize(("file", "tests"), [
    ("kernels/test_threads.py", CHOSEN), ("kernels/test_reservoir.py", "threads"),
    ("echo/test_echo_state.py", "side_by_side"),
    ("test_many_threads.py", "not (first_use or global_lock)")])
def test_no_race(library, built, tmp_path, file, tests):
    code, out, reports = run(library, built, tmp_path / "reports", "-m", "pytest", "-q", "-p",
                             "no:cacheprovider", str(TESTS / file), "-k", tests)
    print(out.splitlines()[-1])
    assert code == 0, out
    assert not reports, "\n".join(reports[:3])


@pytest.mark.parametrize("flags", ["", "-U__linux__"], ids=["here", "elsewhere"])
def test_no_race_in_the_pool(library, tmp_path, flags):
    program = tmp_path / "pool"
    build(TESTS / "kernels" / "pool.c", program, "-pthread", "-g", "-fsanitize=thread",
          *flags.split())
    still = ["setarch", "-R"] if shutil.which("setarch") else []
    for arguments in (("2", "20000", "3"), ("8", "5000", "5"), ("40", "1000", "16")):
        done = subprocess.run([*still, program, *arguments], capture_output=True, text=True)
        if "unexpected memory mapping" in done.stderr:
            pytest.skip("libtsan does not run on this kernel")
        assert done.returncode == 0, done.stderr
