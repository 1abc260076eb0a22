"""How fast several processes train: mpiexec -n RANKS python bench/ranks.py [-k NAME].

Of each work, in turn: one process with one thread, one with as many threads as there are ranks, and
the ranks with one thread each; the others wait meanwhile without keeping a core busy. The table has
the quickest of several rounds, and the median of the rounds' ratios. The exchange of gradients is
also measured alone, for blocks of several sizes.

python bench/ranks.py --model 156 is a model of the time on 2 to 64 machines, each of which takes
156 ms for its own rows of a batch; docs/guides/machines.md has its assumptions.
"""

from __future__ import annotations

import argparse
import contextvars
import time

import numpy as np
from scaling import TURN, timed, trainers

from fastrnn import distributed
from fastrnn.kernels.blas import shared_by
from fastrnn.training.following import Together

ROUNDS, MEETINGS = 7, 50
LINKS = {"1 Gbit/s": (1e-4, 1.25e8), "10 Gbit/s": (3e-5, 1.25e9)}  # seconds, bytes a second
MESSAGE = 5e-6  # seconds of a processor for each message
PARAMETERS, PREDICTIONS = 1_217_089, 64 * 64  # of lstm-512, and in the rows of one machine
BLOCKS = 10**3, 10**4, 10**5, 10**6, 4 * 10**6  # floats


def exchanges(ranks: distributed.Ranks) -> list[float]:
    """Seconds of an exchange of each of BLOCKS, the quickest of all."""
    found = []
    for size in BLOCKS:
        gradients = [np.ones(size, np.float32) for _ in range(ranks.size)]
        meeting = ranks.meeting([(r, 1) for r in range(ranks.size)], gradients,
                                np.zeros((1, ranks.size)))
        best = np.inf
        for _ in range(MEETINGS):
            meeting(1)  # all begin together
            start = time.perf_counter()
            meeting(0)
            meeting(1)
            best = min(best, time.perf_counter() - start)
        found.append(best)
    return found


def seconds_on(machines: int, alone: float, latency: float, bandwidth: float) -> float:
    """A model of the seconds of an update, where each machine takes `alone` for its own rows: each
    sends and receives a part of the gradients of all others, then of the sums, and the losses."""
    gradients = 2 * (machines - 1) / machines * 4 * PARAMETERS
    losses = (machines - 1) * 8 * PREDICTIONS
    messages = 3 * (machines - 1) * MESSAGE
    return alone + (gradients + losses) / bandwidth + 2 * latency + messages


def model(alone: float) -> None:
    """Print the table of the model."""
    print("| machines | " + " | ".join(
        f"{name}: ms an update | fraction of full speed" for name in LINKS) + " |")
    print("|--:|" + "--:|" * 2 * len(LINKS))
    for machines in 1, 2, 4, 8, 16, 32, 64:
        times = [seconds_on(machines, alone, *link) if machines > 1 else alone
                 for link in LINKS.values()]
        print(f"| {machines} | " + " | ".join(
            f"{1e3 * seconds:.0f} | {alone / seconds:.2f}" for seconds in times) + " |")


def report(name: str, make, ranks: int) -> None:
    """A row of the table, on rank 0."""
    shared_by(None)  # else threads are kept to this rank's share of the cores
    several = make(ranks)
    shared_by(1)
    one, together = make(1), make(1)

    def alone(trainer, updates):
        return contextvars.Context().run(timed, trainer, updates)

    for trainer in (one, several):
        alone(trainer, 2)
    timed(together, 2)
    updates = max(1, round(TURN / alone(one, 2)))
    rounds = np.array([[alone(one, updates), alone(several, updates), timed(together, updates)]
                       for _ in range(ROUNDS)])
    times, ratio = 1e3 * rounds.min(axis=0), np.median(rounds[:, 1] / rounds[:, 2])
    print(f"| {name} | {times[0]:.2f} | {times[1]:.2f} | {times[2]:.2f} | "
          f"{times[1] / times[2]:.2f} | {ratio:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-k", default="lstm-512", metavar="NAME",
                        help="only works with this in their name")
    parser.add_argument("--model", type=float, metavar="MS",
                        help="the model for machines that take so many ms for their rows")
    options = parser.parse_args()
    if options.model:
        model(options.model / 1e3)
        return
    wanted = options.k
    ranks = distributed.ranks()
    if ranks is None:
        parser.error("start it with mpiexec -n 2, or more")
    found = exchanges(ranks)
    if not ranks.rank:
        print(f"{ranks.size} ranks, the exchange alone: " + ", ".join(
            f"{size:,} floats {1e3 * seconds:.3f} ms"
            for size, seconds in zip(BLOCKS, found, strict=True)))
        print(f"\n| ms an update | 1 thread | {ranks.size} threads | {ranks.size} ranks | "
              "threads / ranks | median |\n|---|--:|--:|--:|--:|--:|", flush=True)
    chosen = [(name, make) for name, make in trainers() if wanted in name and name != "lstm-512-1"]
    with Together(None, {}) as together:
        if together.follows:
            together.follow()
            return
        for name, make in chosen:
            report(name, make, ranks.size)


if __name__ == "__main__":
    main()
