"""What the updates of a run read: windows of a text, or sequences; and what is held out of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .corpus import Corpus
from .model import Model
from .records import digest
from .sequences import Sequences
from .validation import (
    HeldOutRecords,
    HeldOutSequences,
    HeldOutText,
    accuracy,
    read_records,
    sequence_accuracy,
)

# where the rows of an epoch's batches start, their lengths and labels, where they have such
Order = tuple[NDArray[np.int64], NDArray[np.int64] | None, NDArray[np.int32] | None]
GROUP = 50  # batches of records that are sorted by length together


class TextBatches:
    """Windows of a text, from left to right in equal streams, or shuffled.

    Parameters
    ----------
    corpus : Corpus
    config : dict
        Of the trainer.

    Attributes
    ----------
    arrays : dict
        What `_core.Training` reads.
    held_out : HeldOutText or None
    updates_per_epoch : int
        In one pass over the text, or over its windows.
    shuffled : bool
        Whether each epoch has an order of its own, and windows start from the zero state.
    predictions : float
        Those of one row of a batch that count.
    unit : str
        What a prediction is of.

    Raises
    ------
    ValueError
        A text too short for one window and its targets (the message says how long it must be).
    """

    def __init__(self, corpus: Corpus, config: dict[str, Any]) -> None:
        T, N = config["seq_length"], config["batch_size"]
        self.shuffled = config["order"] == "shuffled"
        self._corpus, self._T, self._N = corpus, T, N
        length = len(corpus) - _held_out(len(corpus), config, 2, f"symbols of {corpus.name}")
        self._windows = length - T  # that start at every offset
        least, fits = (T + N, length - T) if self.shuffled else (N * (T + 2), length // (T + 2))
        if length < least:
            hint = f", or a batch_size of at most {fits}" if N > 1 and fits > 0 else ""
            left = f" ({length} without the valid_fraction)" if length < len(corpus) else ""
            raise ValueError(
                f"{corpus.name} has {len(corpus)} symbols{left}, and seq_length {T} with "
                f"batch_size {N} needs at least {least}: give a longer text or a smaller "
                f"seq_length{hint}")
        self.arrays = {"ids": corpus.ids[:length]}
        rest = corpus.ids[length:]
        self.held_out = HeldOutText(rest, config) if len(rest) else None
        self.updates_per_epoch = (self._windows // N if self.shuffled
                                  else math.ceil((length // N - T - 1) / T))
        self.predictions = float(T)
        self.unit = corpus.vocabulary.unit

    def order(self, rng: np.random.Generator) -> Order:
        """A new order of an epoch's windows; those left over at its end are left out."""
        return rng.permutation(self._windows), None, None

    def accuracy(self, model: Model, states: NDArray[Any], threads: int) -> float:
        """The share of right predictions on the text that is trained on."""
        if self.shuffled:
            states = model.zero_state()
        return accuracy(model, self._corpus.ids[: self._windows + self._T], states, threads)


class SequenceBatches:
    """Whole sequences, in a new order in each epoch, each from the zero state; the last batch of an
    epoch has what is left over. Attributes as `TextBatches`."""

    shuffled = True
    unit = "step"

    def __init__(self, sequences: Sequences, config: dict[str, Any], dtype: Any) -> None:
        n = len(sequences) - _held_out(len(sequences), config, 1, f"sequences of {sequences.name}")
        N = config["batch_size"]
        if n < N:
            raise ValueError(f"{sequences.name} has {n} sequences to train on, and batch_size is "
                             f"{N}: give a batch_size of at most {n}")
        self._sequences, self._N, self._T = sequences[:n], N, config["seq_length"]
        self.held_out = HeldOutSequences(sequences[n:]) if n < len(sequences) else None
        self.updates_per_epoch = math.ceil(n / N)
        self.predictions = float(self._sequences.mask.sum() / n)
        x, y = (a.ravel() if a.ndim == 2 else a.astype(dtype)
                for a in (self._sequences.inputs, self._sequences.targets))
        self.arrays = {"x" if x.ndim == 3 else "ids": x, "targets": y,
                       "mask": self._sequences.mask}

    def order(self, rng: np.random.Generator) -> Order:
        """A new order of the sequences; length 0 stands for one that is not there."""
        rows = np.full(self.updates_per_epoch * self._N, -1)
        rows[: len(self._sequences)] = rng.permutation(len(self._sequences))
        lengths = np.where(rows < 0, 0, self._sequences.ends[rows])
        return np.maximum(rows, 0) * self._T, lengths, None

    def accuracy(self, model: Model, states: NDArray[Any], threads: int) -> float:
        """The share of right predictions on what is trained on."""
        return sequence_accuracy(model, self._sequences, threads=threads)


class RecordBatches:
    """Records, each from the zero state, in a new order in each epoch; batches are of about equal
    lengths, and one of them has what is left over. Attributes as `TextBatches`; `known` are digests
    of what is trained on.

    With balance "labels" an epoch has as many records of each label, drawn anew: of rare labels
    some again and again.
    """

    shuffled = True

    def __init__(self, corpus: Corpus, config: dict[str, Any], model: Model) -> None:
        records = corpus.records
        assert records is not None
        n, N = len(records), config["batch_size"]
        held_out = _held_out(n, config, 1, f"records of {corpus.name}")
        # a table is often sorted, so that its tail is no sample of it
        order = (np.random.default_rng(config["seed"] or 0).permutation(n) if held_out
                 else np.arange(n))
        rows, rest = np.sort(order[: n - held_out]), np.sort(order[n - held_out :])
        if len(rows) < N:
            raise ValueError(f"{corpus.name} has {len(rows)} records to train on, and batch_size "
                             f"is {N}: give a batch_size of at most {len(rows)}")
        self._N, self._starts, self._steps = N, records.starts[rows], records.steps[rows]
        self._records, shares = corpus.pieces(rows), model.record_shares(corpus)
        self._shares = None if shares is None else shares[rows]
        self._labels = None if shares is None else shares[rows].argmax(axis=1).astype(np.int32)
        self._balance = config["balance"] == "labels"
        if self._balance and self._labels is None:
            raise ValueError('balance="labels" needs a model and a corpus with labels')
        self.held_out = (HeldOutRecords(corpus.pieces(rest),
                                        None if shares is None else shares[rest])
                         if held_out else None)
        self.updates_per_epoch = math.ceil(len(rows) / N)
        self.predictions = float(self._steps.mean())
        self.unit = corpus.vocabulary.unit
        self.arrays = {"ids": corpus.ids}
        self.known = np.unique(np.array([digest(ids) for ids in self._records], np.uint64))

    def order(self, rng: np.random.Generator) -> Order:
        """Batches of about equal lengths; length 0 stands for a record that is not there."""
        N, n = self._N, len(self._steps)
        rows = np.full(self.updates_per_epoch * N, -1)
        rows[:n] = self._balanced(rng) if self._balance else rng.permutation(n)
        lengths = np.where(rows < 0, 0, self._steps[rows])
        for start in range(0, len(rows), GROUP * N):
            part = slice(start, start + GROUP * N)
            rows[part] = rows[part][np.argsort(lengths[part], kind="stable")]
        rows = rng.permutation(rows.reshape(-1, N)).ravel()
        labels = None if self._labels is None else np.where(rows < 0, 0, self._labels[rows])
        return (self._starts[np.maximum(rows, 0)], np.where(rows < 0, 0, self._steps[rows]),
                None if labels is None else labels.astype(np.int32))

    def accuracy(self, model: Model, states: NDArray[Any], threads: int) -> float:
        """The share of right predictions on what is trained on."""
        _, right = read_records(model, self._records, self._shares, threads)
        return int(right.sum()) / int(self._steps.sum())

    def _balanced(self, rng: np.random.Generator) -> NDArray[np.intp]:
        """As many rows as there are, equally many of each label but for one."""
        assert self._labels is not None
        pools = [np.flatnonzero(self._labels == c) for c in np.unique(self._labels)]
        shares = np.full(len(pools), len(self._labels) // len(pools))
        shares[rng.permutation(len(pools))[: len(self._labels) % len(pools)]] += 1
        rows = []
        for pool, share in zip(pools, shares, strict=True):
            rounds = math.ceil(share / len(pool))
            rows.append(np.concatenate([rng.permutation(pool) for _ in range(rounds)])[:share])
        return rng.permutation(np.concatenate(rows))


def _held_out(count: int, config: dict[str, Any], least: int, what: str) -> int:
    """How many of so many symbols or sequences valid_fraction holds out."""
    held_out = round(count * config["valid_fraction"])
    if held_out < least and config["valid_fraction"]:
        raise ValueError(
            f"valid_fraction {config['valid_fraction']:g} is {held_out} of the {count} {what}, and "
            f"{least} {'are' if least > 1 else 'is'} the least: give {least / count:.2g} or more")
    if held_out >= count:
        raise ValueError(f"valid_fraction {config['valid_fraction']:g} leaves none of the {count} "
                         f"{what} to train on: give less")
    return held_out
