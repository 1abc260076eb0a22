"""bench/compare.py: turns taken in order, the arithmetic of the ratios, clear errors."""

import subprocess
import sys
from pathlib import Path

import compare
import pytest
from compare import Result

SCRIPT = Path(compare.__file__)


class FakeWorker:
    """Answers from a list of times; notes what it was asked."""

    def __init__(self, name, asked, seconds=0.1, units=7):
        self.name, self.asked, self.seconds, self.units = name, asked, seconds, units

    def ask(self, command, argument=None):
        self.asked.append((self.name, command, argument))
        return self.units if command == "build" else self.seconds


class Clock:
    now = 0.0

    def perf_counter(self):
        return self.now

    def sleep(self, seconds):
        self.now += 1.0  # a turn


def test_ratios_of_adjacent_turns():
    # before 2, 4, 3; after 3, 6, 3: ratios 3/2, 3/4, 6/4, 6/3, 3/3
    result = compare.summary([[2.0, 3.0, 4.0, 6.0, 3.0, 3.0]])
    assert result == Result(before=3.0, after=3.0, ratio=1.5, low=1.0, high=1.5)


def test_no_ratio_of_turns_of_different_builds():
    result = compare.summary([[2.0, 3.0], [10.0, 20.0], [1.0, 1.0]])
    assert result == Result(before=2.0, after=3.0, ratio=1.5, low=1.25, high=1.75)
    assert compare.summary([[2.0, 3.0]]) == Result(2.0, 3.0, 1.5, 1.5, 1.5)


def test_a_machine_that_slows_down_favours_neither():
    result = compare.summary([[1.01**i for i in range(40)]])
    assert result.ratio == pytest.approx(1.01)  # 20 of 39 ratios, the others are 1 / 1.01
    result = compare.summary([[1.01**i for i in range(41)]])
    assert result.ratio == pytest.approx((1.01 + 1 / 1.01) / 2)


def test_turns_alternate_and_builds_are_made_anew(monkeypatch):
    monkeypatch.setattr(compare, "time", Clock())
    asked = []
    before, after = FakeWorker("A", asked, 0.2, 5), FakeWorker("B", asked, 0.3, 9)
    builds = list(compare.turns(before, after, "work", 6))
    assert builds == [[0.2, 0.3] * 2] * 3
    one_build = [("A", "build", "work"), ("B", "build", "work"),
                 *[("A", "time", 5), ("B", "time", 5)] * 2]  # the same units for both
    assert asked == one_build * 3


def test_rounds_fill_the_time(monkeypatch):
    monkeypatch.setattr(compare, "time", Clock())
    monkeypatch.setattr(compare, "ROUNDS", (5, 60))
    worker = FakeWorker("A", [])

    def rounds(seconds):
        monkeypatch.setattr(compare, "SECONDS", seconds)
        return sum(len(build) for build in compare.turns(worker, worker, "work", None)) // 2

    assert rounds(24.0) == 12  # of two seconds each
    assert rounds(1.0) == 5
    assert rounds(1e6) == 60


def test_lines():
    result = Result(before=1.5e-3, after=1.53e-3, ratio=1.02, low=0.9951, high=1.0409)
    assert compare.line("lstm-50, float32", result) == (
        "lstm-50, float32                 1.50 ms   1.53 ms   1.020   0.995 to 1.041")
    assert compare.last_line([result, result._replace(ratio=2.0), result._replace(ratio=0.5)]) == (
        "geometric mean of the 3 ratios: 1.007")


def run(*arguments):
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True,
                          encoding="utf-8")


def test_an_installation_beside_itself():
    done = run(sys.executable, sys.executable, "-k", "AdaGrad with clip, float32", "--rounds", "2")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("before: fastrnn ") and lines[1].startswith("after:  fastrnn ")
    assert lines[4].startswith("AdaGrad with clip, float32") and len(lines) == 6
    assert 0.2 < float(lines[5].rpartition(" ")[2]) < 5


@pytest.mark.parametrize(("arguments", "message"), [
    ([sys.executable, "no-such-python"], "cannot run no-such-python"),
    ([sys.executable, sys.executable, "-k", "nonsense"], "no race has 'nonsense' in its name"),
    ([sys.executable, sys.executable, "--rounds", "0"], "--rounds must be at least 1"),
])
def test_bad_input_is_one_clear_error(arguments, message):
    done = run(*arguments)
    assert done.returncode != 0
    assert message in done.stderr and "Traceback" not in done.stderr


def test_a_race_that_fails_is_named(monkeypatch, capsys):
    class Failing(FakeWorker):
        def ask(self, command, argument=None):
            if command == "build" and argument == "two":
                raise compare.Failure("python: ValueError: no such cell")
            return {"hello": "fastrnn", "races": ["one", "two"]}.get(command) or super().ask(
                command, argument)

    monkeypatch.setattr(compare, "time", Clock())
    assert compare.compare(FakeWorker("A", []), Failing("B", []), "", 3) == 1
    out = capsys.readouterr().out
    assert "two                            python: ValueError: no such cell" in out
    assert "geometric mean of the 1 ratios: 1.000" in out
