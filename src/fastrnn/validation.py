"""What is not trained on: how a model does on it, and when to look."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .blas import one_thread
from .history import History
from .model import READ_STEPS, ROWS, Model, time_major
from .sequences import Sequences
from .validate import positive_int


class HeldOutText:
    """A text to score again and again, cut into equal streams that are read side by side.

    Parameters
    ----------
    ids : ndarray of int, shape (n,)
        At least 2.
    config : dict
        Of the trainer. There are batch_size streams, or fewer where that would leave them shorter
        than seq_length + 1; symbols that do not fill the streams evenly are left out.

    Attributes
    ----------
    predictions : int
        Those that are scored: of each symbol but the first of each stream.
    """

    def __init__(self, ids: NDArray[np.unsignedinteger], config: dict[str, Any]) -> None:
        self._T = config["seq_length"]
        N = max(1, min(config["batch_size"], len(ids) // (self._T + 1)))
        length = len(ids) // N
        self._ids = time_major(ids[: N * length].reshape(N, length))  # (length, N)
        self.predictions = N * (length - 1)

    def losses(self, model: Model, state: NDArray[Any], threads: int) -> Iterator[float]:
        """The summed loss of one unroll after the other. Streams go on from the states (N, P) that
        training carried: from the zero state, which it meets once an epoch, some would not find
        back to the text."""
        length, N = self._ids.shape
        network, state = model.network(self._T, N, "cross_entropy"), state[:N].copy()
        for t in range(0, length - 1, self._T):
            inputs, targets = self._ids[t : t + self._T], self._ids[t + 1 : t + self._T + 1]
            yield float(network.unroll(
                model.block, inputs[: len(targets)], state, targets, threads=threads).sum())


class HeldOutSequences:
    """Sequences to score again and again, each from the zero state."""

    def __init__(self, sequences: Sequences) -> None:
        self._sequences = sequences
        self.predictions = int(sequences.mask.sum())

    def losses(self, model: Model, state: NDArray[Any], threads: int) -> Iterator[float]:
        """The summed loss of one unroll after the other; states of training are not asked for."""
        for losses, _ in read_sequences(model, self._sequences, threads):
            yield float(losses.sum())


class HeldOutRecords:
    """Records to score again and again, each from the zero state.

    Parameters
    ----------
    records : list of ndarray of int
        The ids of each, with start and stop.
    shares : ndarray, shape (n, C), or None
        Of their labels.
    """

    def __init__(self, records: list[NDArray[Any]], shares: NDArray[Any] | None) -> None:
        self._records, self._shares = records, shares
        self.predictions = sum(len(ids) - 1 for ids in records)

    def losses(self, model: Model, state: NDArray[Any], threads: int) -> Iterator[float]:
        """The same, each the cross-entropy in nats."""
        for _, losses, _ in batches_of_records(model, self._records, self._shares, threads):
            yield float(losses.sum())


class Validation:
    """When to score what is held out, and how.

    Parameters
    ----------
    held_out : HeldOutText, HeldOutSequences or HeldOutRecords, or None
        None: a validation is never due.
    config : dict
        Of the trainer.
    updates_per_epoch : int

    Attributes
    ----------
    every : int
        Updates between validations; 0: there are none.
    """

    def __init__(
        self, held_out: HeldOutText | HeldOutSequences | HeldOutRecords | None,
        config: dict[str, Any], updates_per_epoch: int,
    ) -> None:
        self._config, self._held_out = config, held_out
        self.every = (config["valid_every"] or updates_per_epoch) if held_out else 0
        self._seconds: float | None = None  # that the last scoring took

    def is_due(self, update: int) -> bool:
        """Whether the plan asks for one after so many updates."""
        return self.every > 0 and update > 0 and update % self.every == 0

    def patience_is_over(self, history: History) -> bool:
        """Whether `patience` validations have passed since the lowest. One at the end of a run
        counts only if it was due: so a run that was cut in two stops where a whole one does."""
        if self._config["patience"] is None:
            return False
        losses = history.valid_loss[history.valid_updates % self.every == 0]
        return losses.size > 0 and losses.size - 1 - losses.argmin() >= self._config["patience"]

    def seconds(self, pace: float) -> float:
        """How long one takes, where an update takes `pace` seconds."""
        if self._seconds is not None or not self._held_out:
            return self._seconds or 0.0
        learned = self._config["seq_length"] * self._config["batch_size"]
        # only reading costs about a third of learning
        return pace * self._held_out.predictions / learned / 2

    def score(
        self, model: Model, state: NDArray[Any], threads: int,
        stop: Callable[[], bool] = lambda: False,
    ) -> float | None:
        """Mean loss of a prediction, without dropout; None where `stop`, asked before each unroll,
        says so."""
        if not self._held_out:
            return None
        start, loss = time.perf_counter(), 0.0
        parts = self._held_out.losses(model, state, threads)
        while not stop():
            part = next(parts, None)
            if part is None:
                self._seconds = time.perf_counter() - start
                return loss / self._held_out.predictions
            loss += part
        return None


def accuracy(
    model: Model, ids: NDArray[np.unsignedinteger], states: NDArray[Any], threads: int = 1
) -> float:
    """The share of the symbols, but the first of each stream, that the model thinks likeliest where
    it is given those before. The text is cut into as many streams as there are states (N, P)."""
    N = max(1, min(len(states), len(ids) // 2))
    length = len(ids) // N
    streams = time_major(ids[: N * length].reshape(N, length))  # (length, N)
    network, states = model.network(READ_STEPS, N, "cross_entropy"), states[:N].copy()
    count = 0
    with one_thread():
        for t in range(0, length - 1, READ_STEPS):
            targets = streams[t + 1 : t + READ_STEPS + 1]
            right = np.empty(targets.shape, np.uint8)
            network.unroll(model.block, streams[t : t + len(targets)], states, targets,
                           threads=threads, right=right)
            count += int(right.sum())
    return count / (N * (length - 1))


def read_sequences(
    model: Model, sequences: Sequences, threads: int = 1
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.bool_]]]:
    """The losses of the predictions, and of symbols whether each is right, both (rows, T), of some
    sequences after the other, from the zero state; 0 and False where a step does not count."""
    n, T = sequences.mask.shape
    rows = min(n, max(1, ROWS // T))
    numbers = model.sizes.output_size > 0
    network = model.network(T, rows, "mean_squared_error" if numbers else "cross_entropy")
    for start in range(0, n, rows):
        part = np.full(rows, -1)  # sequences to read; -1: none
        part[: n - start] = np.arange(start, min(n, start + rows))
        right = np.zeros((T, rows), np.uint8)
        with one_thread():
            losses = network.unroll(
                model.block, **sequences.batch(part, model.block.dtype),
                state=model.zero_state(rows), threads=threads, right=right)
        yield losses.T[: n - start], right.T[: n - start].astype(bool)


def sequence_accuracy(
    model: Model, sequences: Sequences, last: int | None = None, threads: int = 1
) -> float:
    """The share of the symbols that the model thinks likeliest, of the steps that count or of the
    last so many of them in each sequence."""
    if not sequences.sizes.output_symbols:
        raise ValueError("accuracy is for targets that are symbols: these are numbers, and score "
                         "tells their mean squared error")
    counted = sequences.mask
    if last is not None:
        behind = np.cumsum(counted[:, ::-1], axis=1)[:, ::-1]  # steps that count, from here on
        counted = counted & (behind <= positive_int("last", last))
    right = np.concatenate([part for _, part in read_sequences(model, sequences, threads)])
    return float(right[counted].mean())


def batches_of_records(
    model: Model, records: list[NDArray[Any]], shares: NDArray[Any] | None, threads: int = 1
) -> Iterator[tuple[list[int], NDArray[np.float64], NDArray[np.int64]]]:
    """Read records, those of about the same length together: which they are, the summed
    cross-entropy of each (nats), and how many of its symbols were the likeliest."""
    steps = [len(ids) - 1 for ids in records]
    order = sorted(range(len(records)), key=steps.__getitem__)
    while order:
        # powers of 2, so that few networks are made
        T = 1 << (steps[order[0]] - 1).bit_length()
        rows = [i for i in order[: max(1, ROWS // T)] if steps[i] <= T]
        order = order[len(rows) :]
        N = 1 << (len(rows) - 1).bit_length()
        ids, lengths = np.zeros((T + 1, N), np.int32), np.zeros(N, np.int64)
        for n, i in enumerate(rows):
            ids[: steps[i] + 1, n], lengths[n] = records[i], steps[i]
        mask = (np.arange(T)[:, None] < lengths).astype(np.uint8)
        labels = None
        if shares is not None:
            labels = np.zeros((N, shares.shape[1]), model.block.dtype)
            labels[: len(rows)] = shares[rows]
        right = np.zeros((T, N), np.uint8)
        with one_thread():
            losses = model.network(T, N, "cross_entropy").unroll(
                model.block, ids[:-1], model.zero_state(N), ids[1:], threads=threads, right=right,
                mask=mask, lengths=lengths, labels=labels)
        yield rows, losses.sum(axis=0)[: len(rows)], right.sum(axis=0, dtype=np.int64)[: len(rows)]


def read_records(
    model: Model, records: list[NDArray[Any]], shares: NDArray[Any] | None, threads: int = 1
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The same of all records, in their order."""
    losses, right = np.zeros(len(records)), np.zeros(len(records), np.int64)
    for rows, each, hits in batches_of_records(model, records, shares, threads):
        losses[rows], right[rows] = each, hits
    return losses, right
