"""Sequences of symbols or numbers, each with its own targets."""

import hashlib
from collections.abc import Iterator, Mapping
from collections.abc import Sequence as OneOf
from copy import copy
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..validate import (
    converted,
    float_array,
    freeze,
    one_axis_more,
    positive_int,
    read_array,
    read_masked,
    weights_of,
    whole_numbers,
)
from .continuation import Targets
from .scaling import Scaling, scaled, statistics
from .source import (
    READ_STEPS,
    ROWS,
    Batch,
    Order,
    Reading,
    Sizes,
    Source,
    class_weights_of,
    held_out_count,
    in_batches,
    longest,
    piece_of,
    split_rows,
    usual_and_alone,
)

# sequences that are scored without the others, which would be padded to their length
SCORED = {"batch_size": 64, "long_rows": "alone"}
WHOLE = slice(None)  # all steps


class Sequences(Source):
    """N sequences of T steps: a model learns to predict a target at every step.

    Parameters
    ----------
    inputs : array_like
        Symbols, int of shape (N, T), or numbers, float of shape (N, T, D). Of a NumPy masked array
        the masked steps at the end of a sequence are padding; elsewhere none may be masked.
    targets : array_like
        Symbols, int of shape (N, T): the loss is the cross-entropy in nats. Or numbers, float of
        shape (N, T, K): the loss is the squared error, the mean over a step's K numbers. Numbers
        that are NaN, and what a NumPy masked array hides, are not known: the step is read, and its
        loss is the mean over the numbers that are known; a step without any does not count.
    mask : array_like of bool, shape (N, T), optional
        Which steps count in the loss; all by default. The targets of the others are ignored.
    lengths : array_like of int, shape (N,), optional
        Steps of each sequence, 1 to T; the steps after them are padding of any values. T by
        default.
    weights : array_like, shape (N, T), optional
        The weight, 0 or more, of each step in the loss; all weigh the same by default.
    class_weights : array_like of shape (K,), dict of int -> float, or "balanced", optional
        Targets that are symbols: the weight of each of the K symbols as a target (of those that a
        dict does not name 1), by which the steps' weights are multiplied. "balanced": inversely
        proportional to how often a symbol is the target.
    symbols : int, optional
        Number of distinct symbols, the same for inputs and targets; by default one more than the
        largest.
    horizon : int
        Where the K targets are those of so many next steps, as `from_series` makes them: K /
        horizon of the next step, then of the one after it, and so on. With a `seq_length`, and the
        last steps held out as validation data, training leaves out targets that lie among those.
    name : str
        The name of the sequences in messages.

    Attributes
    ----------
    inputs, targets : ndarray
        Symbols of an unsigned type, numbers as float32 or float64; 0 where they are ignored, and
        NaN for a target that is not known at a step that counts.
    mask : bool ndarray, shape (N, T)
        Which steps count in the loss: none in padding.
    weights : float64 ndarray, shape (N, T), or None
        The weight of each step, class weights included, divided by their mean over the steps that
        count. So losses (in training, validation and `Model.score`) are weighted means,
        sum(weight loss) / sum(weight), and the step of an update does not depend on the weights'
        unit. Accuracy is not weighted.
    lengths : int64 ndarray, shape (N,)
    ends : int64 ndarray, shape (N,)
        Steps of each sequence up to the last one that counts; training reads no further.
    sizes : Sizes
        What a `Model` of these sequences is made with.

    Raises
    ------
    TypeError
        Inputs or targets that are neither whole numbers nor floats.
    ValueError
        Shapes that do not fit (the message has both), infinity, NaN in inputs, a negative or too
        large symbol (with its place), lengths beyond T, a sequence of which no step counts.

    Notes
    -----
    ``sequences[:100]``, or an array of rows as index, selects some of them. Sequences of different
    lengths train exactly as if each were alone: padding adds nothing to loss or gradient.

    With a `seq_length` below T training reads them in windows of so many steps, from left to right
    with the state carried from each to the next (truncated back-propagation through time).

    >>> curves = fastrnn.Sequences(x[:, :-1, None], x[:, 1:, None])
    """

    kind = "sequences"
    splits = ("random", "end")

    def __init__(
        self, inputs: ArrayLike, targets: ArrayLike, mask: ArrayLike | None = None,
        lengths: ArrayLike | None = None, *, symbols: int | None = None, name: str = "sequences",
        weights: ArrayLike | None = None, class_weights: Any = None, horizon: int = 1,
    ) -> None:
        (x, x_hidden), (y, y_hidden) = _array("inputs", inputs), _array("targets", targets)
        if x.shape[:2] != y.shape[:2]:
            raise ValueError(f"inputs are {x.shape} and targets {y.shape}: they must have the same "
                             "N and T, (N, T, ...)")
        N, T = x.shape[:2]
        self.lengths = _lengths(lengths, N, T, x_hidden)
        inside = np.arange(T) < self.lengths[:, None]  # (N, T)
        self.mask = inside & _mask(mask, (N, T))
        y, known = _known(y, y_hidden)
        if known is not None:
            self.mask &= known
        for row in np.flatnonzero(~self.mask.any(axis=1)):
            raise ValueError(f"mask hides every step of sequence {row}, or no target of it is "
                             "known: leave at least one, or leave the sequence out")
        self.ends = T - np.argmax(self.mask[:, ::-1], axis=1)
        if x_hidden is not None:
            for n, t in np.argwhere(x_hidden.reshape(N, T, -1).any(axis=2) & inside):
                raise ValueError(f"inputs are masked in sequence {n} at step {t}, which the model "
                                 "reads: fill them, as inputs.filled(0) does, or mask all steps "
                                 "from there on")
        count = 1 + max((int(a.max(where=where, initial=0)) for a, where in
                         ((x, inside), (y, self.mask)) if a.ndim == 2), default=-1)
        if count or symbols is not None:
            count = max(2, count) if symbols is None else positive_int("symbols", symbols, 2)
        self.inputs = freeze(_kept("inputs", x, inside, count))
        self.targets = freeze(_kept("targets", y, self.mask, count))
        (symbols_in, size_in), (symbols_out, size_out) = (
            (count, 0) if a.ndim == 2 else (0, a.shape[2]) for a in (x, y))
        self._sizes = Sizes(symbols_in, size_in, symbols_out, size_out)
        self.horizon = positive_int("horizon", horizon)
        if horizon > 1 and (not size_out or size_out % horizon):
            raise ValueError(f"horizon={horizon} is for targets that are numbers, as many for each "
                             f"of {horizon} steps, not {y.shape}: (N, T, K)")
        self.name, self.steps, self.rows = name, T, N
        self.predictions = int(self.mask.sum())
        for name in ("mask", "lengths", "ends"):
            setattr(self, name, freeze(getattr(self, name)))
        self.weights = self._weights(weights, class_weights)
        self._units: NDArray[np.float64] | None = None  # of scaled targets
        self._fingerprint: str | None = None

    @classmethod
    def from_series(cls, series: Any, horizon: int = 1, columns: int | OneOf[int] | None = None, *,
                    name: str = "series") -> "Sequences":
        """One series, or several: at each step the targets are the numbers of the next `horizon`
        steps, all at once.

        Parameters
        ----------
        series : array_like, shape (T, D) or (T,), or list of such
            At least horizon + 1 steps each.
        horizon : int
            How many steps ahead; 1: the next step.
        columns : int or sequence of int, optional
            Which K of the D numbers are predicted; all by default.
        name : str
            The name of the series in messages.

        Returns
        -------
        Sequences
            Inputs (N, T - 1, D) and targets (N, T - 1, horizon K): the K numbers of the next step,
            then those of the step after it, and so on. What lies behind the end of a series is not
            known (NaN). So ``model.predict(x[None])[0, -1].reshape(horizon, K)`` is the forecast of
            the steps behind a series x (T, D).

        Raises
        ------
        ValueError, TypeError
            A horizon longer than a series allows, a column that does not exist, or what `Sequences`
            refuses.
        """
        horizon = positive_int("horizon", horizon)
        several = isinstance(series, list | tuple) and any(np.ndim(one) for one in series)
        arrays = [float_array("series", one, np.shape(one)[:1] + np.shape(one)[1:2])
                  for one in (series if several else [series])]
        arrays = [one[:, None] if one.ndim == 1 else one for one in arrays]
        T, D = max(map(len, arrays)), arrays[0].shape[1]
        chosen = np.arange(D) if columns is None else whole_numbers("columns", columns, D).ravel()
        inputs = np.zeros((len(arrays), T - 1, D), np.result_type(*arrays))
        targets = np.full((len(arrays), T - 1, horizon, len(chosen)), np.nan, inputs.dtype)
        for n, one in enumerate(arrays):
            if one.shape[1] != D:
                raise ValueError(f"series {n} has {one.shape[1]} numbers a step, and the first {D}")
            if horizon >= len(one):
                raise ValueError(f"a horizon of {horizon} steps needs a series of at least "
                                 f"{horizon + 1}, and series {n} has {len(one)}: give a smaller "
                                 "horizon")
            inputs[n, : len(one) - 1] = one[:-1]
            for ahead in range(horizon):
                targets[n, : len(one) - 1 - ahead, ahead] = one[1 + ahead :, chosen]
        lengths = [len(one) - 1 for one in arrays]
        return cls(inputs, targets.reshape(*inputs.shape[:2], -1), lengths=lengths, name=name,
                   horizon=horizon)

    def _weights(self, given: ArrayLike | None, classes: Any) -> NDArray[np.float64] | None:
        """The weight of each step (N, T), their mean over those that count being 1."""
        if given is None and classes is None:
            return None
        weights = np.ones(self.mask.shape) if given is None else weights_of(
            "weights", given, self.mask.shape)
        if classes is not None:
            K = self.sizes.output_symbols
            if not K:
                raise ValueError("class_weights are for targets that are symbols: give weights "
                                 "(N, T) for numbers")
            counts = np.bincount(self.targets[self.mask], minlength=K)
            weights = weights * class_weights_of(
                "class_weights", classes, range(K), counts)[self.targets]
        mean = float(weights[self.mask].mean())
        if mean == 0:
            raise ValueError("the weights are 0 wherever a step counts: give some above 0 there")
        return freeze(np.where(self.mask, weights / mean, 0))

    @property
    def sizes(self) -> Sizes:
        return self._sizes

    def hold_out(self, valid_fraction: float, seed: int,
                 split: str = "random") -> "tuple[Sequences, Sequences]":
        n = len(self)
        if n == 1:
            raise ValueError(f"{self.name} is one sequence, and a fraction of it is held out only "
                             f"where seq_length is below its {self.mask.shape[1]} steps: give one, "
                             "or other sequences as valid")
        count = held_out_count(n, valid_fraction, 1, f"sequences of {self.name}")
        train, valid = split_rows(n, count, split, seed, self._classes())
        return self[train], self[valid]

    def _classes(self) -> NDArray[Any] | None:
        """The class of each sequence, where all its targets that count are one symbol."""
        if self.targets.ndim != 2:  # numbers
            return None
        first = self.targets[np.arange(len(self)), np.argmax(self.mask, axis=1)]
        one = (self.targets == first[:, None]) | ~self.mask
        return first if one.all() else None

    def reading(self, config: Mapping[str, Any], labels: OneOf[str] | None,
                dtype: np.dtype[Any]) -> Reading:
        n, N, T = len(self), config["batch_size"], self.mask.shape[1]
        usual, alone = usual_and_alone(self.ends, config)
        updates = self.updates(n, N, "sequences", len(alone))
        lengths = np.append(self.ends, 0)  # the last one is for row -1: no sequence

        def order(rng: np.random.Generator) -> Order:
            batches = in_batches(usual[rng.permutation(len(usual))], alone, N)
            if len(alone):
                batches = rng.permutation(batches)
            rows = batches.ravel()
            return np.maximum(rows, 0) * T, lengths[rows], None

        return Reading(self._arrays(dtype), updates, self.predictions / n, order,
                       *longest(self.ends, usual, alone))

    def _arrays(self, dtype: np.dtype[Any]) -> dict[str, NDArray[Any]]:
        """What the compiled loop reads, step by step: `arrays` of a Reading."""
        x, y = (a.ravel() if a.ndim == 2 else converted(name, a, dtype)
                for name, a in (("inputs", self.inputs), ("targets", self.targets)))
        arrays = {"x" if x.ndim == 3 else "ids": x, "targets": y, "mask": self.mask}
        if self.weights is not None:
            arrays["weights"] = self.weights
        if self._units is not None:
            arrays["units"] = self._units
        return arrays

    def in_windows(self, seq_length: int | None) -> Source:
        if self.steps is not None and seq_length is not None and seq_length < self.steps:
            return Windows(self)
        return super().in_windows(seq_length)

    def long_rows(self, config: Mapping[str, Any]) -> dict[str, int]:
        return {f"sequence {row}": int(self.ends[row])
                for row in usual_and_alone(self.ends, config)[1]}

    def batches(self, dtype: np.dtype[Any], *, streams: int = 1,
                steps: int = READ_STEPS) -> Iterator[Batch]:
        both = usual_and_alone(self.ends, SCORED)
        for chosen in both:
            n, T = len(chosen), self.mask.shape[1]
            if len(both[1]):
                T = int(self.ends[chosen].max())
            N, piece = min(n, max(1, ROWS // T)), piece_of(T)
            for start in range(0, n, max(1, N)):
                rows = chosen[start : start + N]
                padded = np.append(rows, np.full(N - len(rows), -1))
                for first in range(0, int(self.ends[rows].max()), piece):
                    part = self.batch(padded, dtype, slice(first, min(T, first + piece)))
                    yield Batch(piece, part, rows, goes_on=first > 0)

    def padded(self) -> tuple[NDArray[Any], NDArray[np.int64]]:
        return self.inputs, self.lengths

    def batch(self, rows: NDArray[np.intp], dtype: Any, steps: slice = WHOLE) -> dict[str, Any]:
        """For fastrnn itself: the arguments of `kernels.Network.unroll` for some rows, or for some
        steps of each; row -1 is an empty sequence."""
        mask = self.mask[rows, steps]
        lengths = np.clip(self.lengths[rows] - (steps.start or 0), 0, mask.shape[1])
        mask[rows < 0], lengths[rows < 0] = False, 0
        arrays = {name: (np.ascontiguousarray(array[rows, steps].T, np.int32) if array.ndim == 2
                         else converted(name, array[rows, steps], dtype))
                  for name, array in (("inputs", self.inputs), ("targets", self.targets))}
        if self.weights is not None:
            arrays["weights"] = np.ascontiguousarray(self.weights[rows, steps].T)
        if self._units is not None:
            arrays["units"] = self._units
        return arrays | {"mask": np.ascontiguousarray(mask.T).view(np.uint8), "lengths": lengths}

    def scaling(self) -> Scaling | None:
        """For fastrnn itself: inputs count at the steps up to the last one that counts, targets
        where they count."""
        read = np.arange(self.mask.shape[1]) < self.ends[:, None]
        x, y = (statistics(name, array[where]) if array.ndim == 3 else None for name, array, where
                in (("inputs", self.inputs, read), ("targets", self.targets, self.mask)))
        return Scaling(x, y)

    def scaled(self, scaling: Scaling | None) -> "Sequences":
        if scaling is None or not scaling.tensors:
            return self
        other = copy(self)
        inside = np.arange(self.mask.shape[1]) < self.lengths[:, None]
        for name, by, where in (("inputs", scaling.inputs, inside),
                                ("targets", scaling.targets, self.mask)):
            if by is not None:
                numbers = np.where(where[..., None], scaled(getattr(self, name), by), 0.0)
                setattr(other, name, freeze(numbers))
        other._units = scaling.units
        return other

    def target_mean(self) -> NDArray[np.float64] | None:
        if self.targets.ndim != 3:
            return None
        weights = self.mask if self.weights is None else self.weights
        targets, by = self.targets[self.mask], weights[self.mask][:, None]
        by = by * ~np.isnan(targets)
        total = (by * np.nan_to_num(targets)).sum(axis=0)
        return np.asarray(total / np.where(by.any(axis=0), by.sum(axis=0), 1.0))

    def error_of(self, prediction: NDArray[np.float64]) -> float:
        errors = np.nanmean((self.targets - prediction) ** 2, axis=2)
        weights = self.mask if self.weights is None else self.weights
        return float(np.average(errors[self.mask], weights=weights[self.mask]))

    def targets_continue(self) -> bool | None:
        """For fastrnn itself: whether the K targets can be meant as the next ones of the first K
        inputs, nearer to them than to their own mean; None for symbols."""
        K = self.sizes.output_size
        if not K or not self.sizes.input_size:
            return None
        if self.sizes.input_size < K:
            return False
        counts = self.mask[:, :-1] & (np.arange(1, self.mask.shape[1]) < self.lengths[:, None])
        y = self.targets[:, :-1][counts]  # (steps, K)
        if not len(y):
            return None
        told = Targets(K)
        told.add(y)
        told.compare(y, self.inputs[:, 1:, :K][counts])
        return told.are_next_inputs()

    def part(self, steps: int) -> "Sequences":
        n, T = self.mask.shape
        rows = np.unique(np.linspace(0, n - 1, max(1, steps // T)).astype(int))
        if len(rows) == n or not (self.weights is None or self.weights[rows].any()):
            return self
        return self[rows]

    def fingerprint(self) -> str:
        if self._fingerprint is None:  # the arrays do not change
            self._fingerprint = self._sha()
        return self._fingerprint

    def _sha(self) -> str:
        digest = hashlib.sha256(f"{self.sizes}\n".encode())
        if self.horizon > 1:
            digest.update(f"horizon {self.horizon}\n".encode())
        arrays = (self.inputs, self.targets, self.mask, self.lengths)
        for array in (*arrays, *(() if self.weights is None else (self.weights,))):
            digest.update(f"{array.dtype.name} {array.shape}\n".encode())
            digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)
        return digest.hexdigest()

    def __len__(self) -> int:
        """Number of sequences."""
        return len(self.inputs)

    def __getitem__(self, rows: Any) -> "Sequences":
        """Some of the sequences, by a slice or an array."""
        index = np.arange(len(self))[rows]
        if index.ndim != 1:  # a single row, or iteration
            raise TypeError(f"{self.name} can be picked by a slice or an array of rows, not by "
                            f"{rows!r}: the arrays are in inputs and targets")
        if not index.size:
            raise IndexError(f"{rows!r} leaves none of {self.name}")
        return Sequences(self.inputs[index], self.targets[index], self.mask[index],
                         self.lengths[index], name=self.name,
                         weights=None if self.weights is None else self.weights[index],
                         symbols=self.sizes.input_symbols or self.sizes.output_symbols or None,
                         horizon=self.horizon)

    def __repr__(self) -> str:
        N, T = self.mask.shape
        return (f"<Sequences {self.name!r}: {N} of {T} steps, {self.sizes}, "
                f"{self.predictions} steps count>")


class Windows(Sequences):
    """Long sequences that are read as a text is, in windows of seq_length steps from left to right,
    the state carried from each to the next: what `Sequences.in_windows` makes.

    The windows of all sequences, one sequence after the other, are cut into batch_size streams of
    equally many windows, which are read side by side. The first window of a sequence or a stream
    starts from the zero state; the last one of a sequence may be shorter."""

    splits = ("end", "random")

    def __init__(self, sequences: Sequences) -> None:
        vars(self).update(vars(sequences))
        self.steps = self.rows = None

    def __getitem__(self, rows: Any) -> "Windows":
        return Windows(super().__getitem__(rows))

    def hold_out(self, valid_fraction: float, seed: int,
                 split: str = "end") -> tuple[Sequences, Sequences]:
        """With "end" the last steps of each sequence are validation data. As many steps before them
        are read too, and not counted, so that the state is not that of a beginning. What lies a
        horizon ahead of a step before them, among their inputs, is not known in training."""
        if split == "random":
            return super().hold_out(valid_fraction, seed, split)
        held_out_count(int(self.ends.max()), valid_fraction, 1, f"steps of {self.name}")
        held = np.rint(self.ends * valid_fraction).astype(np.int64)  # (N,)
        after = np.arange(self.mask.shape[1]) >= (self.ends - held)[:, None]  # (N, T)
        return (self._part(np.zeros_like(held), self.mask & ~after, self._known_at(held)),
                self._part(np.maximum(self.ends - 2 * held, 0), self.mask & after, self.targets))

    def _known_at(self, held: NDArray[np.int64]) -> NDArray[Any]:
        """The targets, NaN where they lie behind the first of the last steps (N,) held out."""
        if self.horizon == 1:
            return self.targets
        T, K = self.targets.shape[1:]
        ahead = np.arange(K) // (K // self.horizon) + 1  # how many steps
        later = np.arange(T)[:, None] + ahead > (self.ends - held)[:, None, None]
        return np.where(later & (held > 0)[:, None, None], np.nan, self.targets)

    def _part(self, first: NDArray[np.int64], mask: NDArray[np.bool_],
              targets: NDArray[Any]) -> "Windows":
        """The sequences from step first (N,) on, with these targets, up to the last step that
        counts in this mask (N, T); those without any are left out."""
        if targets.ndim == 3:
            mask = mask & ~np.isnan(targets).all(axis=2)
        rows, T = np.flatnonzero(mask.any(axis=1)), mask.shape[1]
        if not len(rows):
            raise ValueError(f"no step of {self.name} that counts is left in one of the two parts "
                             "that valid_fraction makes: give another one")
        lengths = (T - np.argmax(mask[:, ::-1], axis=1) - first)[rows]
        at = rows[:, None], np.minimum(first[rows, None] + np.arange(lengths.max()), T - 1)
        return Windows(Sequences(
            self.inputs[at], targets[at], mask[at], lengths, name=self.name, horizon=self.horizon,
            weights=None if self.weights is None else self.weights[at],
            symbols=self.sizes.input_symbols or self.sizes.output_symbols or None))

    def reading(self, config: Mapping[str, Any], labels: OneOf[str] | None,
                dtype: np.dtype[Any]) -> Reading:
        T, N, S = config["seq_length"], config["batch_size"], self.mask.shape[1]
        shuffled = config["order"] == "shuffled"
        # windows of each sequence
        counts = np.maximum(self.ends - T, 0) + 1 if shuffled else -(-self.ends // T)
        n = int(counts.sum())
        updates = self.updates(n, N, f"windows of {T} steps")

        def windows(rows: NDArray[np.intp]) -> tuple[NDArray[np.int64], ...]:
            """The starts, lengths, and places in their sequence of all windows of the sequences in
            this order."""
            before = np.cumsum(counts[rows]) - counts[rows]
            place = np.arange(n) - np.repeat(before, counts[rows])
            row, first = np.repeat(rows, counts[rows]), place * (1 if shuffled else T)
            return row * S + first, np.minimum(T, self.ends[row] - first), place

        def anywhere(rng: np.random.Generator) -> Order:
            chosen = rng.permutation(n)[: n // N * N]
            starts, lengths, _ = windows(np.arange(len(self)))
            return starts[chosen], lengths[chosen], None

        def streams(rng: np.random.Generator) -> Order:
            starts, lengths, place = windows(rng.permutation(len(self)))
            ends = np.arange(N + 1) * n // N  # of the streams, in windows
            at = ends[:-1] + np.arange(updates)[:, None]  # (updates, N)
            inside, at = at < ends[1:], np.minimum(at, n - 1)
            carried = inside & (place[at] > 0) & (np.arange(updates)[:, None] > 0)
            return (np.where(inside, starts[at], 0).ravel(),
                    np.where(inside, lengths[at], 0).ravel(), None, carried.ravel())

        starts, lengths, _ = windows(np.arange(len(self)))
        before = np.append(0, np.cumsum(self.mask))  # predictions before each step
        read = int((before[starts + lengths] - before[starts]).sum())
        return Reading(self._arrays(dtype), n // N if shuffled else updates, read / n,
                       anywhere if shuffled else streams)

    def long_rows(self, config: Mapping[str, Any]) -> dict[str, int]:
        return {}


def _array(name: str, value: ArrayLike) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Symbols (N, T) or numbers (N, T, D) of the right type and shape, and where they are masked;
    values are not checked."""
    wanted = "whole numbers (N, T) or floats (N, T, D)"
    try:
        array, hidden = read_masked(name, value, wanted)
    except TypeError as error:
        raise TypeError(f"{error}; pad sequences of different lengths, and give their lengths"
                        ) from None
    kind = array.dtype.kind
    if kind == "b":
        raise TypeError(f"{name} must be {wanted}, not bool: convert symbols with "
                        f"{name}.astype(int), numbers with {name}.astype(float)")
    if array.ndim != (3 if kind == "f" else 2):
        shape, advice = (("(N, T, D)", one_axis_more(name, array.shape, "D")) if kind == "f" else
                         ("(N, T)", f": give {name}[None] if it is one sequence" * (
                             array.ndim == 1)))
        if kind != "f" and array.ndim == 3:
            advice = f": convert numbers with {name}.astype(float)"
        raise ValueError(f"{name} of type {array.dtype} must have the shape {shape}, not "
                         f"{array.shape}{advice}")
    if array.size == 0:
        raise ValueError(f"{name} are empty: their shape is {array.shape}")
    return array, hidden


def _known(targets: NDArray[Any], hidden: NDArray[np.bool_] | None
           ) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """The targets with NaN for every number that is not known, and the steps (N, T) of which
    something is known (None: all)."""
    if targets.ndim == 2:  # symbols
        return targets, None if hidden is None else ~hidden
    missing = np.isnan(targets)
    if hidden is not None:
        missing |= hidden
    if not missing.any():
        return targets, None
    return np.where(missing, np.nan, targets).astype(targets.dtype), ~missing.all(axis=2)


def _lengths(lengths: ArrayLike | None, N: int, T: int, hidden: NDArray[np.bool_] | None
             ) -> NDArray[np.int64]:
    """The length of each sequence, by default up to the last step whose input is not masked."""
    if lengths is None and hidden is not None:
        shown = np.asarray(~hidden.reshape(N, T, -1).all(axis=2))
        return np.asarray(np.maximum(1, T - np.argmax(shown[:, ::-1], axis=1)), np.int64)
    if lengths is None:
        return np.full(N, T, np.int64)
    array = read_array("lengths", lengths, f"{N} whole numbers")
    if array.dtype.kind not in "iu" or array.shape != (N,):
        raise ValueError(f"lengths must be {N} whole numbers, one for each sequence, not "
                         f"{array.dtype} of shape {array.shape}")
    for row in np.flatnonzero((array < 1) | (array > T)):
        raise ValueError(f"lengths has {array[row]} for sequence {row}: they go from 1 to the {T} "
                         "steps that there are")
    return array.astype(np.int64)


def _mask(mask: ArrayLike | None, shape: tuple[int, int]) -> NDArray[np.bool_]:
    if mask is None:
        return np.ones(shape, bool)
    array = read_array("mask", mask, "of bool")
    if array.shape != shape:
        raise ValueError(f"mask has the shape {array.shape} and must have {shape}: (N, T)")
    if not np.isin(array, (0, 1)).all():
        raise ValueError("mask must be of bool, or of 0 and 1: whether a step counts; "
                         "give other factors of the losses as weights")
    return array.astype(bool)


def _kept(name: str, array: NDArray[Any], matters: NDArray[np.bool_], symbols: int) -> NDArray[Any]:
    """A copy with 0 where `matters` is false; ValueError for a wrong value elsewhere."""
    numbers = array.ndim == 3
    strange = np.isinf if name == "targets" else lambda x: ~np.isfinite(x)  # NaN: not known
    wrong = strange(array).any(axis=2) if numbers else (array < 0) | (array >= symbols)
    for n, t in np.argwhere(matters & wrong):
        if numbers:
            bad = array[n, t][strange(array[n, t])][0]
            raise ValueError(f"{name} have {bad} in sequence {n} at step {t}: mend or leave out "
                             "what is not finite")
        raise ValueError(f"{name} have the symbol {array[n, t]} in sequence {n} at step {t}: they "
                         f"go from 0 to {symbols - 1}")
    if not numbers:
        return np.where(matters, array, 0).astype(np.min_scalar_type(symbols - 1))
    dtype = np.float32 if array.dtype == np.float32 else np.float64
    return np.where(matters[..., None], array, 0).astype(dtype)
