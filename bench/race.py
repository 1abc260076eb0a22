"""Contestants measured in turn, round after round.

A laptop or a virtual machine may be 1.5 times slower for minutes. Measured one after the other, a
contestant would win or lose by that; in turns of a tenth of a second all are slow at the same time,
and the ratio of two of them within one round is right.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

Units = Callable[[int], object]  # does so many units of work

ROUND = 0.1  # seconds of a contestant's turn, or one unit of its work where that takes longer
SECONDS = 22.0  # of all rounds of a race
ROUNDS = 5, 25  # at least and at most
PAUSE = 0.02  # seconds before each turn: OpenMP's threads spin for 10 ms after their last work


@dataclass
class Laps:
    """The times of one contestant."""

    units: int  # done in each round
    seconds: list[float] = field(default_factory=list)  # of each round


def race(
    contestants: dict[str, Units],
    probe: Callable[[], object] | None = None,
    quick: bool = False,
) -> tuple[dict[str, Laps], list]:
    """Measure all contestants in turn.

    Parameters
    ----------
    contestants : dict of str to callable
        Each is called with the number of units to do.
    probe : callable, optional
        Called once in each round.
    quick : bool
        One round of one unit each.

    Returns
    -------
    laps : dict of str to Laps
    probes : list
        What probe returned in each round.
    """
    laps = {name: Laps(1 if quick else units_of(work)) for name, work in contestants.items()}
    probes: list = []
    least, most = (1, 1) if quick else ROUNDS
    start = time.perf_counter()
    for done in range(most):
        if done >= least and (time.perf_counter() - start) * (done + 1) / done > SECONDS:
            break
        if probe:
            probes.append(probe())
        for name, work in contestants.items():
            time.sleep(PAUSE)
            laps[name].seconds.append(seconds_of(work, laps[name].units))
    return laps, probes


def seconds_of(work: Units, units: int) -> float:
    start = time.perf_counter()
    work(units)
    return time.perf_counter() - start


def units_of(work: Units) -> int:
    """How many units fill a turn; finding out warms up too."""
    work(1)
    units = 1
    while (seconds := seconds_of(work, units)) < ROUND / 4:
        units *= 2
    return max(1, round(units * ROUND / seconds))


def repeated(run: Callable[[], object]) -> Units:
    """A contestant whose unit is one call of run."""
    def runs(n: int) -> None:
        for _ in range(n):
            run()

    return runs
