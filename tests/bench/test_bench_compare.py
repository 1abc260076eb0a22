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


def test_no_ratio_of_turns_of_different_passes():
    result = compare.summary([[2.0, 3.0], [10.0, 20.0], [1.0, 1.0]])
    assert result == Result(before=2.0, after=3.0, ratio=1.5, low=1.25, high=1.75)
    assert compare.summary([[2.0, 3.0]]) == Result(2.0, 3.0, 1.5, 1.5, 1.5)


def test_a_machine_that_slows_down_favours_neither():
    result = compare.summary([[1.01**i for i in range(40)]])
    assert result.ratio == pytest.approx(1.01)  # 20 of 39 ratios, the others are 1 / 1.01
    result = compare.summary([[1.01**i for i in range(41)]])
    assert result.ratio == pytest.approx((1.01 + 1 / 1.01) / 2)


def test_turns_alternate(monkeypatch):
    monkeypatch.setattr(compare, "time", Clock())
    asked = []
    before, after = FakeWorker("A", asked, 0.2, 5), FakeWorker("B", asked, 0.3, 9)
    assert compare.turns(before, after, "work", 3) == [0.2, 0.3] * 3
    assert asked == [("A", "build", "work"), ("B", "build", "work"),
                     *[("A", "time", 5), ("B", "time", 5)] * 3]  # the same units for both


def test_turns_fill_the_time(monkeypatch):
    monkeypatch.setattr(compare, "time", Clock())
    monkeypatch.setattr(compare, "ROUNDS", (5, 60))
    worker = FakeWorker("A", [])

    def rounds(seconds):
        monkeypatch.setattr(compare, "SECONDS", seconds)
        return len(compare.turns(worker, worker, "work", None)) // 2

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
    done = run(sys.executable, sys.executable, "-k", "AdaGrad", "--rounds", "2")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("before: fastrnn ") and lines[1].startswith("after:  fastrnn ")
    assert lines[4].startswith("AdaGrad with clip ") and len(lines) == 7
    assert 0.2 < float(lines[6].rpartition(" ")[2]) < 5


@pytest.mark.parametrize(("arguments", "message"), [
    ([sys.executable, "no-such-python"], "cannot run no-such-python"),
    ([sys.executable, sys.executable, "-k", "nonsense"], "no race has 'nonsense' in its name"),
    ([sys.executable, sys.executable, "--rounds", "0"], "--rounds must be at least 1"),
])
def test_bad_input_is_one_clear_error(arguments, message):
    done = run(*arguments)
    assert done.returncode != 0
    assert message in done.stderr and "Traceback" not in done.stderr


class Installation(FakeWorker):
    """Its race "two" cannot be built."""

    open = 0

    def ask(self, command, argument=None):
        if command == "build" and argument == "two":
            raise compare.Failure("python: ValueError: no such cell")
        if command == "time" and argument == "interrupt":
            raise KeyboardInterrupt
        return {"hello": "fastrnn 9", "races": ["one", "two", "three"]}.get(command) or (
            super().ask(command, argument))

    def close(self):
        Installation.open -= 1


def test_passes_have_new_workers_and_a_race_that_fails_is_named(monkeypatch, capsys):
    monkeypatch.setattr(compare, "time", Clock())
    asked = []

    def start():
        Installation.open += 2
        return Installation("A", asked), Installation("B", asked)

    assert compare.compare(start, "", 6) == 1
    assert Installation.open == 0
    builds = [name for who, command, name in asked if command == "build" and who == "A"]
    assert builds == ["one", "three"] * compare.PASSES
    assert len([1 for _, command, _ in asked if command == "time"]) == 2 * 2 * 6
    out = capsys.readouterr().out
    assert out.startswith("before: fastrnn 9\nafter:  fastrnn 9\n\nrace ")
    assert f"\n{'two':30} python: ValueError: no such cell\n" in out
    assert out.endswith("geometric mean of the 2 ratios: 1.000\n")


@pytest.mark.parametrize(("limit", "status"), [(None, 0), (60, 0), (40, 1)])
def test_a_slower_race_is_named(monkeypatch, capsys, limit, status):
    """Every turn after takes 1.5 times as long."""
    monkeypatch.setattr(compare, "time", Clock())
    monkeypatch.setattr(Installation, "open", 2)
    start = lambda: (Installation("A", [], 0.2), Installation("B", [], 0.3))  # noqa: E731
    assert compare.compare(start, "one", 4, limit) == status
    assert ("slower by more than 40 %: one\n" in capsys.readouterr().out) == bool(status)


def test_three_of_four_turns_must_be_slower():
    result = Result(before=1.0, after=1.1, ratio=1.1, low=1.04, high=1.2)
    assert compare.slower({"a": result}, 5) == [] and compare.slower({"a": result}, 3) == ["a"]


def test_an_interrupted_run_shows_what_it_has(monkeypatch, capsys):
    monkeypatch.setattr(compare, "time", Clock())
    passes = iter([7, "interrupt"])  # the units, which in the second pass make "time" fail

    def start():
        units = next(passes)
        Installation.open += 2
        return Installation("A", [], units=units), Installation("B", [])

    assert compare.compare(start, "one", 6) == 130
    assert Installation.open == 0
    assert f"\n{'one':30}    100 ms    100 ms   1.000   " in capsys.readouterr().out
