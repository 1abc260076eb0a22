"""The works that are measured: sizes, settings, floating point operations, and the text."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import fastrnn

CLIP = 5.0  # of all works


@dataclass(frozen=True)
class Work:
    """A model and how it is trained: the arguments that every contestant gets."""

    name: str
    cell: str
    K: int  # symbols
    H: int  # hidden_size
    T: int  # seq_length
    N: int = 1  # batch_size
    layers: int = 1
    E: int | None = None  # embedding_size; None: one-hot
    optimizer: str = "adagrad"
    learning_rate: float = 0.1

    @property
    def training(self) -> dict:
        """The arguments of `fastrnn.Trainer` and of the peers."""
        return {"seq_length": self.T, "batch_size": self.N, "optimizer": self.optimizer,
                "learning_rate": self.learning_rate, "clip_value": CLIP}


WORKS = {work.name: work for work in (
    Work("rnn-1", "rnn", K=83, H=100, T=25),
    Work("lstm-1", "lstm", K=83, H=100, T=25),
    Work("gru-1", "gru", K=83, H=100, T=25),
    Work("lstm-50", "lstm", K=65, H=128, T=50, N=50, layers=2, optimizer="rmsprop",
         learning_rate=2e-3),
    Work("gru-50", "gru", K=65, H=128, T=50, N=50, layers=2, optimizer="rmsprop",
         learning_rate=2e-3),
    Work("rnn2-50", "rnn", K=65, H=128, T=50, N=50, layers=2, optimizer="rmsprop",
         learning_rate=2e-3),
    Work("word-30", "lstm", K=778, H=100, T=50, N=30, E=15, optimizer="adam", learning_rate=1e-3),
    Work("lstm-512", "lstm", K=65, H=512, T=64, N=64, optimizer="adam", learning_rate=1e-3),
    Work("lstm-512-1", "lstm", K=65, H=512, T=64, optimizer="adam", learning_rate=1e-3),
    Work("lstm-2x1024", "lstm", K=65, H=1024, T=50, N=32, layers=2, optimizer="adam",
         learning_rate=1e-3),
)}

CLASSIC = WORKS["rnn-1"]  # all its settings are defaults of fastrnn and of the peers


@dataclass(frozen=True)
class Task:
    """Sequences of a task, and the model that learns them with Adam, in batches of 500."""

    name: str
    cell: str
    H: int
    sequences: Callable[[], fastrnn.Sequences]

    training = {"batch_size": 500, "optimizer": "adam", "learning_rate": 1e-3, "clip_norm": CLIP}


def blanks() -> fastrnn.Sequences:
    """8 symbols over 5 blanks: T 22, K 10."""
    import fastrnn

    return fastrnn.tasks.memorization(5000, 8, blanks=5)


def curves() -> fastrnn.Sequences:
    """T 100, D 1, K 1."""
    import fastrnn

    return fastrnn.tasks.sine(5000, 100)


TASKS = {task.name: task for task in (
    Task("memorization-500 relu", "relu", 128, blanks),
    Task("memorization-500 lstm", "lstm", 128, blanks),
    Task("sine-500 rnn", "rnn", 64, curves),
    Task("sine-500 lstm", "lstm", 32, curves),
)}


@dataclass(frozen=True)
class RecordTask:
    """Random pieces of a text, and the LSTM that learns them with Adam, in batches of 64."""

    name: str
    K: int
    H: int
    count: int  # records of an epoch
    lengths: tuple[int, int]  # of the shortest and the longest

    training = {"batch_size": 64, "optimizer": "adam", "learning_rate": 1e-3, "clip_norm": CLIP}

    def records(self) -> list[str]:
        draw, text, at, records = random.Random(0), make_text(self.K), 0, []
        for _ in range(self.count):
            length = draw.randint(*self.lengths)
            records.append(text[at : at + length])
            at += length
        return records


RECORD_TASKS = {task.name: task for task in (
    RecordTask("names lstm", K=50, H=128, count=3200, lengths=(3, 12)),
    RecordTask("messages lstm", K=80, H=256, count=192, lengths=(20, 140)),
)}


STEPS = 2000  # of the series that a reservoir reads


@dataclass(frozen=True)
class Reservoir:
    """An untrained recurrent layer that reads a series of one number a step."""

    units: int
    density: float = 0.1


@dataclass(frozen=True)
class SeriesWork:
    """One long series of numbers, and the LSTM that learns it as a text is learned: streams side by
    side, the state carried from one window to the next."""

    name: str
    H: int
    steps: int

    training = {"seq_length": 50, "batch_size": 10, "optimizer": "adam", "learning_rate": 1e-3,
                "clip_norm": CLIP}

    @property
    def flops(self) -> int:
        """Floating point operations of the products of an update."""
        weights = (1 + self.H) * 4 * self.H + self.H
        return 3 * 2 * weights * self.training["seq_length"] * self.training["batch_size"]


SERIES = SeriesWork("series lstm", H=64, steps=20_000)


def wave(steps: int) -> np.ndarray:
    """A series (steps,) with mean 0 and deviation 1: two waves and noise."""
    t = np.arange(steps)
    x = np.sin(0.2 * t) * np.sin(0.0311 * t) + np.random.default_rng(0).normal(0, 0.1, steps)
    return (x - x.mean()) / x.std()


SEARCH = {"spectral_radius": [0.7, 0.8, 0.9, 1.0], "leak_rate": [0.3, 0.5, 0.7, 1.0]}
SEARCH_UNITS = 200  # of each network of the search, which is scored on three folds

RESERVOIRS = {f"reservoir-{work.units}": work for work in map(Reservoir, (100, 500, 2000))}


def record_flops(task: RecordTask, steps: int, K: int) -> int:
    """Floating point operations of the products of an epoch with so many predictions."""
    return 3 * 2 * (task.H * 4 * task.H + task.H * K) * steps


def task_flops(task: Task, sequences: fastrnn.Sequences) -> int:
    """Floating point operations of the products of an update; symbols as inputs cost none."""
    sizes, gates = sequences.sizes, {"rnn": 1, "relu": 1, "lstm": 4}[task.cell]
    weights = (sizes.input_size + task.H) * gates * task.H + task.H * sizes.outputs
    return 3 * 2 * weights * sequences.mask.shape[1] * task.training["batch_size"]


def flops(work: Work) -> int:
    """Floating point operations of the products of one update: two for each multiply-add.

    Each weight takes part in three products for each symbol: forward, the gradient with respect to
    what it multiplies, and its own gradient. The rows that a one-hot input selects cost none, nor
    does what is not a product (gates, softmax, optimizer).
    """
    gates = {"rnn": 1, "lstm": 4, "gru": 3}[work.cell]
    inputs = [work.E or 0] + [work.H] * (work.layers - 1)  # of each layer
    weights = sum((D + work.H) * gates * work.H for D in inputs) + work.H * work.K
    return 3 * 2 * weights * work.T * work.N


def symbols(K: int) -> list[str]:
    return [chr(0x100 + i) for i in range(K)]


def make_text(K: int, length: int = 200_000) -> str:
    """A Markov chain over K symbols, some of them much rarer than others, each at least once."""
    names = symbols(K)
    rarity = 1 / np.arange(1, K + 1)
    rows = np.random.default_rng(0).dirichlet(10 * rarity / rarity.sum(), K)
    following = {name: list(accumulate(row)) for name, row in zip(names, rows, strict=True)}
    text = list(names)
    draw = random.Random(0)
    while len(text) < length:
        text += draw.choices(names, cum_weights=following[text[-1]])
    return "".join(text)
