"""Contestants measured in turn, round after round.

A laptop or a virtual machine may run 1.5 times slower for minutes on end. Whoever is measured after
the others then wins or loses by that; contestants that take turns a tenth of a second long are all
slow together, and the ratio of two of them within one round is right.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

ROUND = 0.1  # seconds of one contestant in one round, or one unit of its work where that takes more
SECONDS = 30.0  # of all rounds of a race
ROUNDS = 5, 25  # at least and at most
PAUSE = 0.02  # seconds before each turn: OpenMP's threads spin for 10 ms after their last work


@dataclass
class Laps:
    """What was measured of one contestant."""

    units: int  # done in each round
    seconds: list[float] = field(default_factory=list)  # of each round


def race(
    contestants: dict[str, Callable[[int], object]],
    probe: Callable[[], object] | None = None,
    quick: bool = False,
) -> tuple[dict[str, Laps], list]:
    """Let all work in turn.

    Parameters
    ----------
    contestants : dict of str to callable
        Called with a number of units of work to do.
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
    laps = {name: Laps(1 if quick else _units(work)) for name, work in contestants.items()}
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
            laps[name].seconds.append(_seconds(work, laps[name].units))
    return laps, probes


def _seconds(work: Callable[[int], object], units: int) -> float:
    start = time.perf_counter()
    work(units)
    return time.perf_counter() - start


def _units(work: Callable[[int], object]) -> int:
    """How many fill a round; warms up too."""
    work(1)
    units = 1
    while (seconds := _seconds(work, units)) < ROUND / 4:
        units *= 2
    return max(1, round(units * ROUND / seconds))
