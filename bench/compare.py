"""Two installations of fastrnn raced against each other, for changes that must not cost speed.

    python bench/compare.py BEFORE/bin/python AFTER/bin/python
    python bench/compare.py BEFORE/bin/python AFTER/bin/python -k lstm --rounds 50 --slower 5

Each interpreter has its own fastrnn installed. Both run a worker process, which builds fastrnn's
contestants of this folder's races (contestants.py), and the two take turns of a tenth of a second,
before, after, before, after, ..., so that a machine that slows down is slow for both. Where a
process's memory happens to lie makes it up to 5 % faster or slower, so all races are run several
times, with new processes. Printed for each race: the median time of both, and the median and the
quartiles of the ratios after / before of adjacent turns; above 1 the installation after is slower.
All races take about six minutes.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import geometric_mean, median, quantiles
from typing import Any, NamedTuple

from race import PAUSE
from report import show_time

PASSES = 4  # over all races, each with new processes
SECONDS = 1.8  # of a race in a pass, its preparation apart
ROUNDS = 2, 15  # of a race in a pass at least and at most, where --rounds does not say


class Result(NamedTuple):
    before: float  # median seconds of a unit
    after: float
    ratio: float  # median of adjacent turns, after / before
    low: float  # quartiles of the same
    high: float


class Failure(Exception):
    """A worker could not do what it was asked."""


class Worker:
    """A process of an interpreter; commands and replies are lines of JSON."""

    def __init__(self, python: str) -> None:
        self.python = python
        self.process = subprocess.Popen(
            [python, __file__, "--worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, encoding="utf-8", start_new_session=True)  # Ctrl-C reaches this process only

    def ask(self, command: str, argument: Any = None) -> Any:
        try:
            self.process.stdin.write(json.dumps([command, argument]) + "\n")
            self.process.stdin.flush()
            reply = self.process.stdout.readline()
        except BrokenPipeError:
            reply = ""
        if not reply:
            raise SystemExit(f"{self.python} ended with code {self.process.wait()} at "
                             f"{command} {argument}: see its message above")
        result, error = json.loads(reply)
        if error:
            raise Failure(f"{self.python}: {error}")
        return result

    def close(self) -> None:
        try:
            self.process.stdin.close()
            self.process.wait(5)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            self.process.kill()


def work() -> None:
    """What a worker does: answer each command by [result, error]."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints must not come between the replies

    from contestants import races
    from race import seconds_of, units_of
    from threadpoolctl import threadpool_limits

    import fastrnn

    found = {name: (make, arguments) for name, make, arguments in races()}
    current = None

    def build(name: str) -> int:
        nonlocal current
        make, arguments = found[name]
        current = None  # its memory is free before the next is made
        current = make(*arguments).contestants["fastrnn"].make()
        return units_of(current)

    commands = {
        "hello": lambda _: f"fastrnn {fastrnn.__version__}, {fastrnn.build_info()['isa']}, in "
                           f"{os.path.dirname(fastrnn.__file__)}",
        "races": lambda _: list(found),
        "build": build,
        "time": lambda units: seconds_of(current, units) / units,
    }
    with threadpool_limits(1, user_api="blas"):
        for line in sys.stdin:
            command, argument = json.loads(line)
            try:
                reply = [commands[command](argument), None]
            except Exception as error:
                reply = [None, f"{type(error).__name__}: {error}"]
            print(json.dumps(reply), file=replies, flush=True)


def turns(before: Worker, after: Worker, name: str, rounds: int | None) -> list[float]:
    """Seconds of a unit in alternating turns, before first."""
    least, most = ROUNDS if rounds is None else (rounds, rounds)
    units, _ = before.ask("build", name), after.ask("build", name)
    seconds: list[float] = []
    start = time.perf_counter()
    for done in range(most):
        if done >= least and time.perf_counter() - start >= SECONDS:
            break
        for worker in (before, after):
            time.sleep(PAUSE)  # the other worker's threads may still wait for work
            seconds.append(worker.ask("time", units))
    return seconds


def summary(passes: list[list[float]]) -> Result:
    """Of alternating turns, before first: each but the first and the last counts in two ratios, so
    that a machine that slows down evenly favours neither."""
    ratios = [seconds[i + 1 - i % 2] / seconds[i + i % 2]
              for seconds in passes for i in range(len(seconds) - 1)]
    low, ratio, high = (quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1
                        else 3 * ratios)
    before, after = (median(s for seconds in passes for s in seconds[first::2]) for first in (0, 1))
    return Result(before, after, ratio, low, high)


def line(name: str, result: Result) -> str:
    return (f"{name:30} {show_time(result.before):>9} {show_time(result.after):>9} "
            f"{result.ratio:7.3f}   {result.low:.3f} to {result.high:.3f}")


def last_line(results: list[Result]) -> str:
    return (f"geometric mean of the {len(results)} ratios: "
            f"{geometric_mean(result.ratio for result in results):.3f}")


def chosen(before: Worker, after: Worker, only: str) -> list[str]:
    """Print what is compared; return the names of the races."""
    for role, worker in (("before", before), ("after", after)):
        print(f"{role + ':':8}{worker.ask('hello')}", flush=True)
    names = after.ask("races")
    found = [name for name in names if only in name]
    if not found:
        raise SystemExit(f"no race has {only!r} in its name; there are: {'; '.join(names)}")
    return found


def one_pass(before: Worker, after: Worker, number: int, rounds: int | None,
             measured: dict[str, list[list[float]]], failures: dict[str, str]) -> None:
    """Add the turns of every race that has not failed; rounds are those of all passes."""
    here = None if rounds is None else len(range(number, rounds, PASSES))
    for name in measured:
        if name in failures:
            continue
        if sys.stderr.isatty():
            print(f"\rpass {number + 1} of {PASSES}: {name:40}", end="\r", file=sys.stderr)
        try:
            measured[name].append(turns(before, after, name, here))
        except Failure as failure:
            failures[name] = str(failure)


def results_of(measured: dict[str, list[list[float]]],
               failures: dict[str, str]) -> dict[str, Result]:
    return {name: summary(passes) for name, passes in measured.items()
            if passes and name not in failures}


def table(results: dict[str, Result], measured: dict[str, list[list[float]]],
          failures: dict[str, str]) -> str:
    lines = [f"{'race':30} {'before':>9} {'after':>9} {'ratio':>7}   quartiles"]
    for name in measured:
        if name in failures:
            lines.append(f"{name:30} {failures[name]}")
        elif name in results:
            lines.append(line(name, results[name]))
    return "\n".join([*lines, *([last_line(list(results.values()))] if results else [])])


def slower(results: dict[str, Result], per_cent: float) -> list[str]:
    """The races that three of four turns show to be slower than before by more than this."""
    return [name for name, result in results.items() if result.low > 1 + per_cent / 100]


def compare(start: Callable[[], tuple[Worker, Worker]], only: str, rounds: int | None,
            limit: float | None = None) -> int:
    """All passes, each with two workers from start; Ctrl-C ends them and shows what there is. With
    a limit, in per cent, 1 is returned too where a race is slower than before by more."""
    measured: dict[str, list[list[float]]] = {}
    failures: dict[str, str] = {}
    interrupted = False
    for number in range(PASSES if rounds is None else min(PASSES, rounds)):
        workers = start()
        try:
            measured = measured or {name: [] for name in chosen(*workers, only)}
            one_pass(*workers, number, rounds, measured, failures)
        except KeyboardInterrupt:
            interrupted = True
            break
        finally:
            for worker in workers:
                worker.close()
    results = results_of(measured, failures)
    print(f"\n{table(results, measured, failures)}")
    found = [] if limit is None else slower(results, limit)
    if found:
        print(f"slower by more than {limit:g} %: {'; '.join(found)}")
    return 130 if interrupted else 1 if failures or found else 0


def main() -> int:
    if sys.argv[1:] == ["--worker"]:
        work()
        return 0
    parser = argparse.ArgumentParser(description="Race two installations of fastrnn.")
    parser.add_argument("before", metavar="PYTHON_BEFORE", help="interpreter with one fastrnn")
    parser.add_argument("after", metavar="PYTHON_AFTER", help="interpreter with the other")
    parser.add_argument("-k", metavar="TEXT", default="", dest="only",
                        help="only races with this in their names, such as lstm-50")
    parser.add_argument("--rounds", type=int, metavar="N",
                        help=f"turns of each in all (default: {PASSES * ROUNDS[0]} to "
                             f"{PASSES * ROUNDS[1]}, as many as {PASSES * SECONDS:g} seconds take)")
    parser.add_argument("--slower", type=float, metavar="PERCENT", dest="limit",
                        help="end with code 1 if the lower quartile of a race's ratios is above 1 "
                             "by more than this")
    options = parser.parse_args()
    if options.rounds is not None and options.rounds < 1:
        parser.error(f"--rounds must be at least 1, not {options.rounds}")
    try:
        return compare(lambda: (Worker(options.before), Worker(options.after)), options.only,
                       options.rounds, options.limit)
    except OSError as error:
        parser.error(f"cannot run {error.filename}: {error.strerror}")


if __name__ == "__main__":
    sys.exit(main())
