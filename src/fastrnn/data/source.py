"""What is learned from: the questions that a text, records and sequences all answer.

Training, scoring and the command line ask a `Source` and never which kind it is, so a new kind is
one class. The compiled loops read flat arrays, step by step; a source tells where in them the rows
of each update begin.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..validate import positive_int
from .vocabulary import Vocabulary

READ_STEPS = 256  # steps of a text that scoring reads in one unroll
ROWS = 2**14  # time steps of all rows together that scoring reads in one unroll

# where the rows of an epoch's batches begin, and where they differ their lengths and labels:
# arrays (updates * N,), a length of 0 for a row that is not there
Order = tuple[NDArray[np.int64], NDArray[np.int64] | None, NDArray[np.int32] | None]


@dataclass(frozen=True)
class Sizes:
    """What a network reads and predicts: symbols or numbers, and how many.

    Parameters
    ----------
    input_symbols, input_size : int
        How many symbols there are, each read as one-hot or embedded; or the numbers of each input.
        One of the two is 0.
    output_symbols, output_size : int
        How many symbols there are to predict; or the numbers of each prediction. One of the two
        is 0.

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
        if bool(self.input_symbols) == bool(self.input_size):
            raise ValueError("Sizes needs either input_symbols or input_size")
        if bool(self.output_symbols) == bool(self.output_size):
            raise ValueError("Sizes needs either output_symbols or output_size")
        if self.output_symbols == 1:
            raise ValueError("output_symbols must be at least 2, so that there is a choice")

    @property
    def inputs(self) -> int:
        """V symbols or D numbers that are read, whichever it is."""
        return self.input_symbols or self.input_size

    @property
    def outputs(self) -> int:
        """K symbols or numbers that are predicted, whichever it is."""
        return self.output_symbols or self.output_size

    @property
    def loss(self) -> str:
        """The usual loss of such predictions."""
        return "cross_entropy" if self.output_symbols else "mean_squared_error"

    def __str__(self) -> str:
        def shown(symbols: int, numbers: int) -> str:
            return f"{symbols or numbers} {'symbol' if symbols else 'number'}" + (
                "s" * (symbols + numbers > 1))

        return (f"{shown(self.input_symbols, self.input_size)} in, "
                f"{shown(self.output_symbols, self.output_size)} out")


def sizes_of(vocabulary: Vocabulary | Sizes) -> Sizes:
    """What a model of this vocabulary, or of these sizes, reads and predicts."""
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
        What `kernels.Training` reads, step by step: ``ids`` or numbers ``x``, ``targets`` where
        they are not the next ids, ``mask`` where not every step counts.
    updates_per_epoch : int
    predictions : float
        Of one row of a batch, those that count; their mean where rows differ.
    order : callable or None
        order(rng) draws an epoch's rows, each read from the zero state; None: the ids are cut into
        equal streams, read from left to right with the state carried on.
    """

    arrays: dict[str, NDArray[Any]]
    updates_per_epoch: int
    predictions: float
    order: Callable[[np.random.Generator], Order] | None = None


@dataclass(frozen=True)
class Batch:
    """N rows of a source, at most `steps` long, as the kernels score them.

    Attributes
    ----------
    steps : int
        The longest unroll of batches like this one.
    arrays : dict of str -> ndarray
        ``inputs`` and ``targets``, ids [T][N] or numbers [N][T][.]; and where rows differ in
        length ``mask`` [T][N] and ``lengths`` [N].
    rows : ndarray of int, shape (n,)
        Which rows of the source the first n of the N are; the others are empty.
    goes_on : bool
        Whether the state is carried on from the batch before, rather than zero.
    """

    steps: int
    arrays: dict[str, Any]
    rows: NDArray[np.intp]
    goes_on: bool = False

    @property
    def N(self) -> int:
        inputs = self.arrays["inputs"]
        return int(inputs.shape[1 if inputs.ndim == 2 else 0])

    @property
    def predictions(self) -> int:
        """Those that count."""
        if "mask" in self.arrays:
            return int(self.arrays["mask"].sum())
        inputs = self.arrays["inputs"]
        return int(inputs.shape[0] * inputs.shape[1])


class Source(ABC):
    """What a model learns from, or is scored on.

    Attributes
    ----------
    name : str
        What messages call it.
    kind : str
        What messages call such a source: "text", "sequences".
    unit : str
        What one prediction is of: "char", "word", "byte" or "step".
    sizes : Sizes
        What a network reads and predicts here.
    vocabulary : Vocabulary or None
        The symbols of a text or of records; a model of other sources generates no text.
    steps : int or None
        T of the longest row where rows are read whole; None: the trainer's seq_length.
    labels : tuple of str
        The distinct labels that its rows have; empty where they have none.
    predictions : int
        Those that count, in all rows.
    """

    name: str
    kind: str
    unit: str = "step"
    vocabulary: Vocabulary | None = None
    steps: int | None = None
    labels: tuple[str, ...] = ()

    @property
    @abstractmethod
    def sizes(self) -> Sizes: ...

    @property
    @abstractmethod
    def predictions(self) -> int: ...

    @abstractmethod
    def fingerprint(self) -> str:
        """SHA-256 (hex) of all that is learned from: the same for the same data."""

    @abstractmethod
    def hold_out(self, valid_fraction: float, seed: int) -> tuple[Source, Source]:
        """The part to train on, and the part held out for validation.

        Raises
        ------
        ValueError
            One of the two would be too small; the message says what to give.
        """

    @abstractmethod
    def reading(
        self, config: Mapping[str, Any], labels: Sequence[str] | None, dtype: np.dtype[Any]
    ) -> Reading:
        """How a run with this configuration of the trainer, whose model has these labels and this
        dtype, reads the source.

        Raises
        ------
        ValueError
            There is too little of it for seq_length and batch_size; the message says how much.
        """

    @abstractmethod
    def batches(
        self, dtype: np.dtype[Any], *, streams: int = 1, steps: int = READ_STEPS
    ) -> Iterator[Batch]:
        """All of it once, for scoring. A text is read in so many streams (fewer where it is
        short), `steps` at a time; the others choose batches of their own."""

    def updates(self, rows: int, batch_size: int, what: str) -> int:
        """How many batches so many rows make, the last one filled up with empty rows."""
        if rows < batch_size:
            raise ValueError(f"{self.name} has {rows} {what} to train on, and batch_size is "
                             f"{batch_size}: give a batch_size of at most {rows}")
        return math.ceil(rows / batch_size)

    def check_fits(
        self, vocabulary: Vocabulary | None, sizes: Sizes, labels: Sequence[str] | None
    ) -> None:
        """Raise ValueError unless a model with these can read and predict what is in here."""
        own, other = asdict(sizes), asdict(self.sizes)
        if not all(other[name] == size or ("symbols" in name and 0 < other[name] < size)
                   for name, size in own.items()):
            raise ValueError(f"{self.name} have {self.sizes}, and this model has {sizes}: "
                             "they must be the same, but for symbols that do not come")

    def row_labels(self) -> list[str] | None:
        """The label of each row; None where rows have none."""
        return None

    def padded(self) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """The inputs of all rows side by side (N, T, ...), and their lengths (N,)."""
        raise ValueError(f"{self.name} is no batch of sequences: give ids (N, T)")

    def digests(self) -> NDArray[np.uint64]:
        """Numbers that tell its records apart, sorted; empty where there are none."""
        return np.empty(0, np.uint64)

    def describe(self) -> str:
        """What a command says it learns from."""
        return f"{self.name}: {self.predictions:,} {self.unit}s to predict, {self.sizes}"


def held_out_count(count: int, valid_fraction: float, least: int, what: str) -> int:
    """How many of so many symbols or rows a fraction holds out, at least so many."""
    held_out = round(count * valid_fraction)
    if held_out < least:
        raise ValueError(
            f"valid_fraction {valid_fraction:g} is {held_out} of the {count} {what}, and "
            f"{least} {'are' if least > 1 else 'is'} the least: give {least / count:.2g} or more")
    if held_out >= count:
        raise ValueError(f"valid_fraction {valid_fraction:g} leaves none of the {count} "
                         f"{what} to train on: give less")
    return held_out


def time_major(ids: NDArray[Any]) -> NDArray[np.int32]:
    """(N, T) -> (T, N) as the kernels read it."""
    return np.ascontiguousarray(ids.T, np.int32)
