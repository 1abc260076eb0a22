"""The interface that a text, records and sequences share: a new kind of data is one class.

The compiled loops read flat arrays, step by step; a source says where in them each row begins.
"""

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..validate import all_frozen, choice, positive_int, suggestion, weights_of
from .scaling import Scaling
from .vocabulary import Vocabulary

SEQ_LENGTH = 25  # the default of the setting
READ_STEPS = 256  # time steps of a text that a network reads in one call
ROWS = 2**14  # time steps of all rows together that a network reads in one call

# A row that is much longer than the others takes memory and time for batch_size times its steps: it
# is read alone if it has more than LONG times as many as 99 % of the rows, and a batch of that
# length would have more than ALONE.
LONG, ALONE = 4, 2**16

# starts, lengths (None: all the same) and labels of an epoch's rows, and whether a row goes on from
# the state of this row after the update before, arrays (updates * N,); an empty row has length 0
Order = tuple[NDArray[Any] | None, ...]


@dataclass(frozen=True)
class Sizes:
    """What a network reads and predicts: symbols or numbers, and how many.

    Parameters
    ----------
    input_symbols, input_size : int
        Distinct symbols to read, one-hot or embedded; or numbers in each input. One of them is 0.
    output_symbols, output_size : int
        Distinct symbols to predict; or numbers in each prediction. One of them is 0.

    Raises
    ------
    ValueError, TypeError
        Both of a pair or neither, or a number that is too small.
    """

    input_symbols: int = 0
    input_size: int = 0
    output_symbols: int = 0
    output_size: int = 0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            positive_int(name, value, least=0)
        for side in ("input", "output"):
            if bool(getattr(self, f"{side}_symbols")) == bool(getattr(self, f"{side}_size")):
                raise ValueError(f"Sizes needs either {side}_symbols or {side}_size")
        if self.output_symbols == 1:
            raise ValueError("output_symbols must be at least 2, so that there is a choice")

    @property
    def inputs(self) -> int:
        """V symbols or D numbers that are read."""
        return self.input_symbols or self.input_size

    @property
    def outputs(self) -> int:
        """K symbols or numbers that are predicted."""
        return self.output_symbols or self.output_size

    @property
    def loss(self) -> str:
        """"cross_entropy" for symbols, "mean_squared_error" for numbers."""
        return "cross_entropy" if self.output_symbols else "mean_squared_error"

    def __str__(self) -> str:
        def shown(symbols: int, numbers: int) -> str:
            plural = "s" if symbols + numbers > 1 else ""
            return f"{symbols or numbers} {'symbol' if symbols else 'number'}{plural}"

        return (f"{shown(self.input_symbols, self.input_size)} in, "
                f"{shown(self.output_symbols, self.output_size)} out")


def sizes_of(vocabulary: Vocabulary | Sizes) -> Sizes:
    """The sizes of a model of text with this vocabulary; given sizes are returned as they are."""
    if isinstance(vocabulary, Sizes):
        return vocabulary
    if not isinstance(vocabulary, Vocabulary):
        raise TypeError("vocabulary must be a fastrnn.Vocabulary, such as corpus.vocabulary, or "
                        "fastrnn.Sizes, such as sequences.sizes")
    return Sizes(input_symbols=len(vocabulary), output_symbols=len(vocabulary))


@dataclass(frozen=True)
class Reading:
    """How the updates of a training run read a source.

    Attributes
    ----------
    arrays : dict of str -> ndarray
        What `kernels.Training` reads, step by step: ``ids`` or numbers ``x``, ``targets`` unless
        they are the next ids, ``mask`` if not every step counts in the loss, ``weights`` (float64)
        if the losses of the steps are weighted.
    updates_per_epoch : int
    predictions : float
        Mean number of predictions in a row of a batch that count in the loss.
    steps : int or None
        Steps of the longest row that is in a batch with others, where there are longer ones: None,
        if there are none.
    alone : int
        Steps of the longest row that has an update of its own; 0, if there is none.
    order : callable or None
        order(rng) draws the rows of an epoch, as kernels.Training.run takes them: starts, lengths,
        labels and carried, of which the last may be left out. Rows are read from the zero state,
        or where they are carried from that of the same row in the update before. None: the ids are
        cut into equal streams, read from left to right with the state carried on.
    """

    arrays: dict[str, NDArray[Any]]
    updates_per_epoch: int
    predictions: float
    order: Callable[[np.random.Generator], Order] | None = None
    steps: int | None = None
    alone: int = 0


@dataclass(frozen=True)
class Batch:
    """N rows of a source, at most `steps` long, as the kernels score them.

    Attributes
    ----------
    steps : int
        T of the network to read this batch with, at least that of its arrays.
    arrays : dict of str -> ndarray
        ``inputs`` and ``targets``, ids (T, N) or numbers (N, T, ...); if rows differ in length also
        ``mask`` (T, N) and ``lengths`` (N,), and with weights ``weights`` (T, N).
    rows : ndarray of int, shape (n,)
        Index in the source of the first n of the N rows; the others are empty.
    goes_on : bool
        Whether the initial state is the last one of the batch before, whose rows are the same,
        instead of zero; of the first batch that of the caller.
    """

    steps: int
    arrays: dict[str, Any]
    rows: NDArray[np.intp]
    goes_on: bool = False

    @property
    def N(self) -> int:
        return int(self._shape[1])

    @property
    def T(self) -> int:
        """Steps of the arrays."""
        return int(self._shape[0])

    @property
    def _shape(self) -> tuple[int, ...]:
        inputs = self.arrays["inputs"]
        return tuple(inputs.shape if inputs.ndim == 2 else inputs.shape[1::-1])

    @property
    def predictions(self) -> int:
        """Predictions that count in the loss."""
        if "mask" in self.arrays:
            return int(self.arrays["mask"].sum())
        return math.prod(self.arrays["inputs"].shape[:2])


class Source(ABC):
    """What a model learns from, or is scored on.

    Attributes
    ----------
    name : str
        The name of this source in messages.
    kind : str
        The name of this kind of source in messages: "text", "sequences".
    unit : str
        What is predicted at a step: a "char", "word" or "byte"; "step" for other sources.
    sizes : Sizes
        What a network reads and predicts.
    vocabulary : Vocabulary or None
        The symbols of a text or of records; a model of other sources generates no text.
    steps : int or None
        Length of the longest row if rows are read whole; None: the trainer's seq_length.
    rows : int or None
        Number of rows if they are read whole; None: not known, or a text.
    labels : tuple of str
        The distinct labels of the rows; empty without labels.
    predictions : int
        Predictions that count in the loss, in all rows.
    splits : tuple of str
        Which parts `hold_out` can hold out, the usual one first.
    """

    name: str
    kind: str
    unit: str = "step"
    vocabulary: Vocabulary | None = None
    steps: int | None = None
    rows: int | None = None
    labels: tuple[str, ...] = ()
    predictions: int
    splits: tuple[str, ...] = ("end",)

    def __setstate__(self, state: dict[str, Any]) -> None:  # of a copy, or from a pickle
        vars(self).update(all_frozen(state))

    @property
    @abstractmethod
    def sizes(self) -> Sizes: ...

    @abstractmethod
    def fingerprint(self) -> str:
        """SHA-256 (hex) of all data that a model learns from."""

    def in_windows(self, seq_length: int | None) -> "Source":
        """The data as training reads them with this seq_length, None where it is not given;
        ValueError for rows that are always read whole."""
        if self.steps is not None and seq_length not in (None, SEQ_LENGTH, self.steps):
            raise ValueError(f"seq_length is for a text or long sequences: {self.name} are read "
                             f"whole, all {self.steps} steps: leave it out")
        return self

    @abstractmethod
    def hold_out(self, valid_fraction: float, seed: int) -> "tuple[Source, Source]":
        """The training data and the validation data; ValueError if one of them is too small. With
        several `splits` a third argument names one."""

    @abstractmethod
    def reading(self, config: Mapping[str, Any], labels: Sequence[str] | None,
                dtype: np.dtype[Any]) -> Reading:
        """How a run with these trainer settings and a model of these labels and this dtype reads
        the source; ValueError if there is too little data for seq_length and batch_size."""

    @abstractmethod
    def batches(self, dtype: np.dtype[Any], *, streams: int = 1,
                steps: int = READ_STEPS) -> Iterator[Batch]:
        """All data once, for scoring. A text is read in `streams` parts side by side (fewer if it
        is short), `steps` at a time; other sources ignore both."""

    def updates(self, rows: int, batch_size: int, what: str, alone: int = 0) -> int:
        """How many batches so many rows make, the last one filled up with empty rows; `alone` of
        them have an update of their own."""
        if rows < batch_size:
            raise ValueError(f"{self.name} has {rows} {what} to train on, and batch_size is "
                             f"{batch_size}: give a batch_size of at most {rows}")
        return math.ceil((rows - alone) / batch_size) + alone

    def long_rows(self, config: Mapping[str, Any]) -> dict[str, int]:
        """The rows that have an update of their own: what a message calls each, and its symbols or
        steps."""
        return {}

    def check_fits(self, vocabulary: Vocabulary | None, sizes: Sizes,
                   labels: Sequence[str] | None) -> None:
        """Raise ValueError unless a model with these can read and predict this data."""
        own, other = asdict(sizes), asdict(self.sizes)
        if not all(other[name] == size or ("symbols" in name and 0 < other[name] < size)
                   for name, size in own.items()):
            raise ValueError(f"{self.name} have {self.sizes}, and this model has {sizes}: "
                             "they must be the same, but symbols may be fewer")

    def with_symbols_of(self, vocabulary: Vocabulary) -> "Source":
        """The same data with the symbols of a vocabulary first and its own other ones after them;
        ValueError for another kind of data."""
        raise ValueError(f"{self.name} is no text, and the earlier model reads text")

    def in_vocabulary(self, vocabulary: Vocabulary) -> "Source":
        """The same data with the ids of a vocabulary; ValueError for a symbol that it does not
        have."""
        return self

    def row_labels(self) -> list[str] | None:
        """The label of each row; None without labels."""
        return None

    def unweighted(self) -> "Source":
        """The same data, with each row of the same weight."""
        return self

    def ambiguous(self) -> Mapping[str, tuple[str, ...]]:
        """The texts of rows that stand with several labels, with these labels."""
        return {}

    def padded(self) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """The inputs (N, T, ...) of all rows and their lengths (N,)."""
        raise ValueError(f"{self.name} is no batch of sequences: give ids (N, T)")

    def scaling(self) -> Scaling | None:
        """The scaling by the means and deviations of the numbers; None where there are none."""
        return None

    def scaled(self, scaling: Scaling | None) -> "Source":
        """The same data, its numbers scaled, with losses in the units of the data all the same."""
        if scaling is not None and scaling.tensors:
            raise ValueError(f"{self.name} cannot be scaled as the numbers of this model are: "
                             "train it with scale=False")
        return self

    def target_mean(self) -> NDArray[np.float64] | None:
        """The mean (K,) of the numbers to predict, weighted as their losses are; None for symbols,
        and for a source that cannot tell `error_of`."""
        return None

    def error_of(self, prediction: NDArray[np.float64]) -> float:
        """The squared error of one prediction (K,) everywhere."""
        raise NotImplementedError

    def targets_continue(self) -> bool | None:
        """Whether the targets can be meant as the next inputs; None where that is not known."""
        return None

    def part(self, steps: int) -> "Source":
        """Rows of all parts, of at most about so many steps."""
        return self

    def digests(self) -> NDArray[np.uint64]:
        """The sorted hashes of the records; empty for other sources."""
        return np.empty(0, np.uint64)

    def starts(self) -> NDArray[np.float64]:
        """How often each symbol begins a text, shape (K,); empty for other sources."""
        return np.zeros(0)

    def describe(self) -> str:
        """One line about the data, for the command line."""
        return f"{self.name}: {self.predictions:,} {self.unit}s to predict, {self.sizes}"


def class_weights_of(what: str, given: Any, names: Sequence[Any],
                     counts: NDArray[Any]) -> NDArray[np.float64]:
    """The weight (C,) of each class of these names, which occur so often: from an array, a dict
    class -> weight (of the others 1), or "balanced": inversely proportional to how often they
    occur."""
    if isinstance(given, str):
        choice(what, given, ("balanced",))
        weights: NDArray[np.float64] = (
            counts.sum() / np.maximum(counts, 1) / max(1, np.count_nonzero(counts)))
        return weights
    if isinstance(given, Mapping):
        for name in given:
            if name not in names:
                hint = suggestion(name, [str(n) for n in names])
                raise ValueError(f"{what} names {name!r}, and the classes are {shown(names)}"
                                 f"{hint and ': '}{hint}")
        given = [given.get(name, 1.0) for name in names]
    return weights_of(what, given, (len(names),))


def shown(names: Sequence[Any]) -> str:
    """Names of classes in a message, the numbers of symbols as a range."""
    if isinstance(names, range):
        return f"0 to {len(names) - 1}"
    some = ", ".join(map(repr, names[:10]))
    return some + f" and {len(names) - 10} more" * (len(names) > 10)


def held_out_count(count: int, valid_fraction: float, least: int, what: str) -> int:
    """How many of `count` symbols or rows are validation data; ValueError below `least`."""
    held_out = round(count * valid_fraction)
    if held_out < least:
        raise ValueError(f"valid_fraction {valid_fraction:g} is {held_out} of the {count} {what}, "
                         f"and {least} {'are' if least > 1 else 'is'} the least: give "
                         f"{least / count:.2g} or more")
    if held_out >= count:
        raise ValueError(f"valid_fraction {valid_fraction:g} leaves none of the {count} "
                         f"{what} to train on: give less")
    return held_out


def split_rows(n: int, count: int, split: str, seed: int,
               classes: NDArray[Any] | None = None) -> list[NDArray[np.intp]]:
    """The rows to train on, and `count` of n to hold out: those at the "end", or "random" ones, of
    each of the classes (n,) as near to the same fraction as whole rows allow."""
    order = np.arange(n)
    if split == "random":
        order = np.random.default_rng(seed).permutation(n)
    if split == "random" and classes is not None:
        c = np.unique(classes[order], return_inverse=True)[1].reshape(-1)
        sizes, by_class = np.bincount(c), np.argsort(c, kind="stable")
        place = np.empty(n)  # of a row in its class
        place[by_class] = np.arange(n) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        order = order[np.argsort((place + 0.5) / sizes[c], kind="stable")]
    return [np.sort(rows) for rows in np.split(order, [n - count])]


def usual_and_alone(steps: NDArray[np.int64], config: Mapping[str, Any]
                    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The rows, of so many steps (n,), that are read in batches in a run with these settings, and
    those that have updates of their own, since they are much longer than the others."""
    batch_size = config["batch_size"]
    if batch_size == 1 or config["long_rows"] == "together":
        return np.arange(len(steps)), np.arange(0)
    at = int(0.99 * (len(steps) - 1))
    usual = int(np.partition(steps, at)[at])
    long = (steps > LONG * usual) & (steps * batch_size > ALONE)
    return np.flatnonzero(~long), np.flatnonzero(long)


def note_long_rows(source: Source, config: Mapping[str, Any]) -> None:
    """Warn of rows that are read alone: often there is a mistake in the data."""
    found = source.long_rows(config)
    if found:
        first = ", ".join(f"{what} has {count:,} {source.unit}s"
                          for what, count in list(found.items())[:3])
        more = f", {len(found) - 3} others are as long" if len(found) > 3 else ""
        mend = ("if a line end is missing there, mend it, or give a max_length" if
                source.vocabulary else "if so many steps are a mistake, cut them")
        warnings.warn(f"{source.name}: {first}{more}, far more than the rest, and is read in an "
                      "update of its own, because a batch with it would take batch_size times the "
                      f"memory: {mend}", stacklevel=3)


def in_batches(rows: NDArray[np.intp], alone: NDArray[np.intp], N: int) -> NDArray[np.intp]:
    """The rows of each update (updates, N), the last batch filled up with -1, no row; then those
    that have an update of their own."""
    batches = np.full((math.ceil(len(rows) / N) + len(alone), N), -1)
    batches.reshape(-1)[: len(rows)] = rows
    batches[len(batches) - len(alone) :, 0] = alone
    return batches


def longest(steps: NDArray[np.int64], usual: NDArray[np.intp],
            alone: NDArray[np.intp]) -> tuple[int | None, int]:
    """`steps` and `alone` of a Reading."""
    return (int(steps[usual].max()), int(steps[alone].max())) if len(alone) else (None, 0)


def piece_of(T: int) -> int:
    """How many of T steps a network reads in one call: all, or of a long row pieces of about the
    same length, so that the memory does not grow with T, and none is a single step."""
    return math.ceil(T / math.ceil(T / ROWS))


def time_major(ids: NDArray[Any]) -> NDArray[np.int32]:
    """(N, T) -> (T, N) int32, as the kernels read ids."""
    return np.ascontiguousarray(ids.T, np.int32)
