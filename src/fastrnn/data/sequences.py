"""Sequences of symbols or numbers, each with its own targets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from collections.abc import Sequence as OneOf
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..validate import positive_int
from .source import READ_STEPS, ROWS, Batch, Order, Reading, Sizes, Source, held_out_count


class Sequences(Source):
    """N sequences of T steps, each with a target to learn: a prediction is made at every step.

    Parameters
    ----------
    inputs : array_like
        Symbols, int of shape (N, T), or numbers, float of shape (N, T, D).
    targets : array_like
        Symbols, int of shape (N, T): the loss is the cross-entropy in nats. Or numbers, float of
        shape (N, T, K): it is the squared error, the mean of a step's K numbers.
    mask : array_like of bool, shape (N, T), optional
        Which steps count in the loss; all where not given. What the targets of the others are does
        not matter.
    lengths : array_like of int, shape (N,), optional
        Steps of each sequence, 1 to T; what lies behind is padding and may hold anything. T where
        not given.
    symbols : int, optional
        How many there are, where inputs or targets are symbols; one more than the largest where
        not given. Inputs and targets have the same ones.
    name : str
        What messages call them.

    Attributes
    ----------
    inputs, targets : ndarray
        Symbols of an unsigned type, numbers as float32 or float64; 0 where they do not matter.
    mask : bool ndarray, shape (N, T)
        Which steps count: none in padding.
    lengths : int64 ndarray, shape (N,)
    ends : int64 ndarray, shape (N,)
        Where the last step that counts ends; nothing behind it has a part in training.
    sizes : Sizes
        As `Model` takes them.

    Raises
    ------
    TypeError
        Inputs or targets that are neither whole numbers nor floats.
    ValueError
        Shapes that do not fit (both are named), NaN or infinity, a negative symbol or one too large
        (with their place), lengths beyond T, a mask that hides all steps of a sequence.

    Notes
    -----
    ``sequences[:100]``, or with an array of rows, picks some of them. Sequences of different
    lengths train exactly as if each were alone: padding has no part in loss or gradient.

    >>> curves = fastrnn.Sequences(x[:, :-1, None], x[:, 1:, None])
    """

    def __init__(
        self, inputs: ArrayLike, targets: ArrayLike, mask: ArrayLike | None = None,
        lengths: ArrayLike | None = None, *, symbols: int | None = None, name: str = "sequences",
    ) -> None:
        x, y = _array("inputs", inputs), _array("targets", targets)
        if x.shape[:2] != y.shape[:2]:
            raise ValueError(f"inputs are {x.shape} and targets {y.shape}: they must have the same "
                             "N and T, (N, T, ...)")
        N, T = x.shape[:2]
        self.lengths = _lengths(lengths, N, T)
        inside = np.arange(T) < self.lengths[:, None]  # (N, T)
        self.mask = inside & _mask(mask, (N, T))
        hidden = ~self.mask.any(axis=1)
        if hidden.any():
            raise ValueError(f"mask hides every step of sequence {hidden.argmax()}: leave at least "
                             "one, or leave the sequence out")
        self.ends = T - np.argmax(self.mask[:, ::-1], axis=1)
        count = 1 + max((int(a.max(where=where, initial=0)) for a, where in
                         ((x, inside), (y, self.mask)) if a.ndim == 2), default=-1)
        if count or symbols is not None:
            count = max(2, count) if symbols is None else positive_int("symbols", symbols, 2)
        self.inputs = _kept("inputs", x, inside, count)
        self.targets = _kept("targets", y, self.mask, count)
        self._sizes = Sizes(
            input_symbols=count if x.ndim == 2 else 0,
            input_size=x.shape[2] if x.ndim == 3 else 0,
            output_symbols=count if y.ndim == 2 else 0,
            output_size=y.shape[2] if y.ndim == 3 else 0)
        self.name, self.steps = name, T

    kind = "sequences"

    @property
    def sizes(self) -> Sizes:
        return self._sizes

    @property
    def predictions(self) -> int:
        return int(self.mask.sum())

    def hold_out(self, valid_fraction: float, seed: int) -> tuple[Sequences, Sequences]:
        n = len(self) - held_out_count(len(self), valid_fraction, 1, f"sequences of {self.name}")
        return self[:n], self[n:]

    def reading(
        self, config: Mapping[str, Any], labels: OneOf[str] | None, dtype: np.dtype[Any]
    ) -> Reading:
        n, N, T = len(self), config["batch_size"], self.mask.shape[1]
        updates = self.updates(n, N, "sequences")
        lengths = np.append(self.ends, 0)  # the last one is for row -1: no sequence

        def order(rng: np.random.Generator) -> Order:
            rows = np.full(updates * N, -1)
            rows[:n] = rng.permutation(n)
            return np.maximum(rows, 0) * T, lengths[rows], None

        x, y = (a.ravel() if a.ndim == 2 else a.astype(dtype) for a in (self.inputs, self.targets))
        arrays = {"x" if x.ndim == 3 else "ids": x, "targets": y, "mask": self.mask}
        return Reading(arrays, updates, self.predictions / n, order)

    def batches(
        self, dtype: np.dtype[Any], *, streams: int = 1, steps: int = READ_STEPS
    ) -> Iterator[Batch]:
        n, T = self.mask.shape
        N = min(n, max(1, ROWS // T))
        for start in range(0, n, N):
            rows = np.arange(start, min(n, start + N))
            padded = np.full(N, -1)  # sequences to read; -1: none
            padded[: len(rows)] = rows
            yield Batch(T, self.batch(padded, dtype), rows)

    def padded(self) -> tuple[NDArray[Any], NDArray[np.int64]]:
        return self.inputs, self.lengths

    def batch(self, rows: NDArray[np.intp], dtype: Any) -> dict[str, Any]:
        """The sequences of some rows as `kernels.Network.unroll` takes them; -1 stands for an empty
        one."""
        mask, lengths = self.mask[rows], self.lengths[rows]
        mask[rows < 0], lengths[rows < 0] = False, 0
        arrays = {name: (np.ascontiguousarray(array[rows].T, np.int32) if array.ndim == 2
                         else np.ascontiguousarray(array[rows], dtype))
                  for name, array in (("inputs", self.inputs), ("targets", self.targets))}
        return arrays | {"mask": np.ascontiguousarray(mask.T).view(np.uint8), "lengths": lengths}

    def fingerprint(self) -> str:
        """SHA-256 (hex) of all that is learned from: the same for the same sequences."""
        digest = hashlib.sha256(f"{self.sizes}\n".encode())
        for array in (self.inputs, self.targets, self.mask, self.lengths):
            digest.update(f"{array.dtype.name} {array.shape}\n".encode())
            digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)
        return digest.hexdigest()

    def __len__(self) -> int:
        """Return the number of sequences."""
        return len(self.inputs)

    def __getitem__(self, rows: Any) -> Sequences:
        """Some of the sequences, by a slice or an array."""
        index = np.arange(len(self))[rows]
        if index.ndim != 1:  # nor can they be iterated over
            raise TypeError(f"{self.name} can be picked by a slice or an array of rows, not by "
                            f"{rows!r}: the arrays are in inputs and targets")
        if not index.size:
            raise IndexError(f"{rows!r} leaves none of {self.name}")
        return Sequences(self.inputs[index], self.targets[index], self.mask[index],
                         self.lengths[index], name=self.name,
                         symbols=self.sizes.input_symbols or self.sizes.output_symbols or None)

    def __repr__(self) -> str:
        N, T = self.mask.shape
        return (f"<Sequences {self.name!r}: {N} of {T} steps, {self.sizes}, "
                f"{int(self.mask.sum())} steps count>")


def _array(name: str, value: ArrayLike) -> NDArray[Any]:
    """Symbols (N, T) or numbers (N, T, .), neither of them checked for its values."""
    try:
        array = np.asarray(value)
    except ValueError:  # rows of different lengths
        array = np.empty(0, object)
    kind = array.dtype.kind
    if kind not in "iuf" or array.dtype == np.float16:
        what = "of mixed types or lengths" if kind == "O" else array.dtype.name
        raise TypeError(f"{name} must be whole numbers (N, T) or floats (N, T, D), not {what}: pad "
                        "sequences of different lengths, and tell their lengths")
    if array.ndim != (3 if kind == "f" else 2):
        hint = ""
        if kind == "f" and array.ndim == 2:
            hint = f": write {name}[..., None] for one number a step"
        elif kind != "f" and array.ndim == 3:
            hint = f": convert numbers with {name}.astype(float)"
        raise ValueError(f"{name} of type {array.dtype} must have the shape "
                         f"{'(N, T, D)' if kind == 'f' else '(N, T)'}, not {array.shape}{hint}")
    if array.size == 0:
        raise ValueError(f"{name} are empty: their shape is {array.shape}")
    return array


def _lengths(lengths: ArrayLike | None, N: int, T: int) -> NDArray[np.int64]:
    if lengths is None:
        return np.full(N, T, np.int64)
    array = np.asarray(lengths)
    if array.dtype.kind not in "iu" or array.shape != (N,):
        raise ValueError(f"lengths must be {N} whole numbers, one for each sequence, not "
                         f"{array.dtype} of shape {array.shape}")
    wrong = (array < 1) | (array > T)
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(f"lengths has {array[row]} for sequence {row}: they go from 1 to the {T} "
                         "steps that there are")
    return array.astype(np.int64)


def _mask(mask: ArrayLike | None, shape: tuple[int, int]) -> NDArray[np.bool_]:
    if mask is None:
        return np.ones(shape, bool)
    array = np.asarray(mask)
    if array.shape != shape:
        raise ValueError(f"mask has the shape {array.shape} and must have {shape}: (N, T)")
    if array.dtype.kind not in "biuf" or not np.isin(array, (0, 1)).all():
        raise ValueError("mask must be of bool, or of 0 and 1: whether a step counts")
    return array.astype(bool)


def _kept(
    name: str, array: NDArray[Any], matters: NDArray[np.bool_], symbols: int
) -> NDArray[Any]:
    """A copy with 0 where it does not matter, once the rest of it is found to be right."""
    if array.ndim == 3:
        wrong = matters & ~np.isfinite(array).all(axis=2)
        if wrong.any():
            n, t = (int(i) for i in np.argwhere(wrong)[0])
            bad = array[n, t][~np.isfinite(array[n, t])][0]
            raise ValueError(f"{name} have {bad} in sequence {n} at step {t}: mend or leave out "
                             "what is not finite")
        dtype = np.float32 if array.dtype == np.float32 else np.float64
        return np.where(matters[..., None], array, 0).astype(dtype)
    wrong = matters & ((array < 0) | (array >= symbols))
    if wrong.any():
        n, t = (int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(f"{name} have the symbol {array[n, t]} in sequence {n} at step {t}: they "
                         f"go from 0 to {symbols - 1}")
    return np.where(matters, array, 0).astype(np.min_scalar_type(symbols - 1))
