"""How the works of the benchmark use more cores: python bench/scaling.py [-k NAME].

A work is cut for a number of cores but done by one thread, while the meter of the kernels times
each job. For each stage of an update the table has its time, its independent jobs at a time, and
how often threads meet to share them out. A stage takes on P cores at least the sum of its longest
jobs and a P-th of its time, in whole jobs; each meeting costs MEETING; what no stage counts is
done by one thread. The prediction for 2 cores stands beside a measurement.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from contestants import (
    corpus_of,
    model_of,
    record_model,
    records_of,
    sequences_of,
    task_model,
)
from works import RECORD_TASKS, TASKS, WORKS

import fastrnn

CORES = 2, 4, 8, 16
MEETING = 2e-6  # seconds; bench/NOTES.md
TURN = 0.5  # seconds of updates in a call of `run`, whose end has a cost of its own
ROUNDS = 5


class Stage(NamedTuple):
    """Of one update: meetings, jobs, their seconds, and the seconds of each meeting's longest."""

    rounds: float
    jobs: float
    seconds: float
    longest: float

    def on(self, cores: int) -> float:
        """Seconds on so many cores."""
        if not self.rounds:
            return 0.0
        at_once = self.jobs / self.rounds
        share = math.ceil(at_once / cores - 1e-9) / at_once  # of the core with most jobs
        meetings = self.rounds * MEETING * (at_once > 1)
        return max(self.longest, self.seconds * share) + meetings


@dataclass
class Profile:
    """An update that is cut for so many cores, done by one thread."""

    stages: dict[str, Stage]
    rest: float  # seconds that no stage counts

    def on(self, cores: int) -> float:
        return self.rest + sum(stage.on(cores) for stage in self.stages.values())


def trainers() -> Iterator[tuple[str, Callable[[int], fastrnn.Trainer]]]:
    """The name of each work, and the trainer of it with so many threads."""
    def trainer(model, data, training, threads):
        return fastrnn.Trainer(model, data, **training, threads=threads, progress=False)

    for work in WORKS.values():
        yield work.name, lambda threads, work=work: trainer(
            model_of(work, corpus_of(work.K).vocabulary, "float32"), corpus_of(work.K),
            work.training, threads)
    for task in TASKS.values():
        yield task.name, lambda threads, task=task: trainer(
            task_model(task), sequences_of(task), task.training | {"clip_value": None}, threads)
    for task in RECORD_TASKS.values():
        yield task.name, lambda threads, task=task: trainer(
            record_model(task), records_of(task), task.training | {"clip_value": None}, threads)


def timed(trainer: fastrnn.Trainer, updates: int) -> float:
    start = time.perf_counter()
    trainer.run(updates=updates)
    return (time.perf_counter() - start) / updates


def networks_of(trainer: fastrnn.Trainer) -> list:
    """The compiled networks of a trainer's updates: records have one of their own for long ones."""
    return list(trainer.model._networks.values())


def profile(trainer: fastrnn.Trainer, cores: int, updates: int) -> Profile:
    """Each stage at its quickest of several times."""
    networks = networks_of(trainer)
    stages: dict[str, Stage] = {}
    rest = math.inf
    for network in networks:
        network.cut_for = 0
        network.cut_for = cores * (network.useful_threads(cores) > len(network.slices))
    for _ in range(ROUNDS):
        for network in networks:
            network.measure()
        seconds = timed(trainer, updates)
        for name in networks[0].stages:
            counts = zip(*(network.stages[name] for network in networks), strict=True)
            stage = Stage(*(sum(count) / updates for count in counts))
            stages[name] = min(stage, stages.get(name, stage), key=lambda s: s.longest)
            seconds -= stage.seconds
        rest = min(rest, seconds)
    return Profile(stages, rest)


def report(name: str, make: Callable[[int], fastrnn.Trainer]) -> None:
    one, two = make(1), make(2)
    for trainer in (one, two):
        trainer.run(updates=2)
    updates = max(1, round(TURN / timed(one, 2)))
    ratios, times = [], []
    for _ in range(ROUNDS):
        times.append(timed(one, updates))
        ratios.append(times[-1] / timed(two, updates))
    alone, measured = min(times), sorted(ratios)[ROUNDS // 2]
    profiles = {cores: profile(one, cores, updates) for cores in CORES}
    print(f"\n### {name}: {1e3 * alone:.3f} ms on one thread\n")
    print("| stage, cut for 8 cores | µs | jobs at a time | meetings |\n|---|--:|--:|--:|")
    for stage, s in profiles[8].stages.items():
        if s.rounds:
            print(f"| {stage} | {1e6 * s.seconds:,.1f} | {s.jobs / s.rounds:.0f} | "
                  f"{s.rounds:.0f} |")
    print(f"| the rest | {1e6 * profiles[8].rest:,.1f} | 1 | |\n")
    speeds = {cores: alone / p.on(cores) for cores, p in profiles.items()}
    print("Predicted speed-up: " + ", ".join(
        f"{speed:.2f} on {cores} cores ({100 * speed / cores:.0f} %)"
        for cores, speed in speeds.items()) + f"; measured on 2: {measured:.2f}.", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-k", default="", metavar="NAME", help="only works with this in their name")
    wanted = parser.parse_args().k
    for name, make in trainers():
        if wanted in name:
            report(name, make)


if __name__ == "__main__":
    main()
