"""The weights of a model for a page, and what their rounding to int8 changes."""

import base64
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from ..data.vocabulary import Vocabulary
from ..kernels.blas import one_thread
from ..model.labels import probabilities
from ..model.model import Model

Array = NDArray[Any]
LEVELS = 127  # of int8 on each side of 0
TEXT_STEPS, RECORDS, RECORD_STEPS = 2000, 64, 64  # on which the rounding is measured


@dataclass(frozen=True)
class Rounding:
    """What int8 weights change, measured on symbols that the model itself sampled.

    Attributes
    ----------
    probability : float
        The largest absolute change of a probability, of all symbols at all predictions.
    before, after : float
        Mean cross-entropy in nats per symbol without and with the rounding.
    predictions : int
        How many predictions the two are taken over.
    """

    probability: float
    before: float
    after: float
    predictions: int

    def in_words(self, unit: str) -> str:
        return (f"a probability changes by {self.probability:.2g} at most, and the mean loss from "
                f"{self.before:.4f} to {self.after:.4f} nats per {unit}, on {self.predictions:,} "
                f"{unit}s that the model itself sampled")


def quantized(W: Array) -> tuple[Array, Array]:
    """Scales float32 (columns,) and q int8 of the shape of W (rows, columns): W is about scales q,
    each number within half a scale, which is 1/127 of the largest of its column."""
    scales = (np.abs(W).max(axis=0) / LEVELS).astype(np.float32)
    q = np.rint(W / np.where(scales > 0, scales, 1)).clip(-LEVELS, LEVELS)
    return scales, q.astype(np.int8)


def packed(model: Model, dtype: str) -> tuple[list[dict[str, Any]], str]:
    """Name, shape and dtype of each tensor of a model, and in base64 one behind the other: those of
    more than one column in `dtype`, vectors in float32, indices in int32, all little-endian. Of
    int8 the scales come first, float32."""
    about, parts = [], []
    for name, array in _tensors(model).items():
        stored = dtype if array.ndim == 2 and name != "state" else str(array.dtype)
        about.append({"name": name, "shape": array.shape, "dtype": stored})
        for part in quantized(array) if stored == "int8" else (array,):
            parts.append(np.ascontiguousarray(part, part.dtype.newbyteorder("<")).tobytes())
    return about, base64.b64encode(b"".join(parts)).decode()


def _tensors(model: Model) -> dict[str, Array]:
    """All tensors that network.js reads; those of a reservoir as of a layer."""
    found = dict(model.params)
    vocabulary, reservoir = model.text_vocabulary, model.reservoir
    found["state"] = model.zero_state() if vocabulary.stop is not None else model.state
    if reservoir is not None:
        W, units = reservoir.W, len(reservoir.b)
        found |= {"layer0.Wx": reservoir.Win.T, "layer0.b": reservoir.b, "layer0.W.data": W.data,
                  "layer0.leak_rate": np.broadcast_to(reservoir.leak_rate, (units,))}
    floats = {name: array.astype(np.float32) for name, array in found.items()}
    indices = {} if reservoir is None else {
        f"layer0.W.{name}": getattr(reservoir.W, name).astype(np.int32)
        for name in ("indices", "indptr")}
    return floats | indices


def rounding(model: Model, seed: int = 0) -> Rounding:
    """Measure what int8 weights change: the model samples, and reads that with both weights."""
    exact, rounded = model.in_float64(), model.in_float64()
    for p in rounded.params.values():
        if p.ndim == 2:
            p[:] = _after(p)
    if rounded.reservoir is not None:
        rounded.reservoir = replace(rounded.reservoir, Win=_after(rounded.reservoir.Win.T).T)
    ids, inside, state, labels = _sampled(exact, model, seed)
    log_p, log_q = (_log_probabilities(each, ids[:-1], inside, state, labels)
                    for each in (exact, rounded))
    targets = ids[1:].T[inside.T]
    at = np.arange(len(targets))
    return Rounding(float(np.abs(np.exp(log_p) - np.exp(log_q)).max()),
                    -float(log_p[at, targets].mean()), -float(log_q[at, targets].mean()),
                    len(targets))


def _after(W: Array) -> Array:
    """A matrix in float64 as it is after its rounding to int8."""
    scales, q = quantized(W.astype(np.float32))
    return (scales * q).astype(np.float64)


def _sampled(
    exact: Model, model: Model, seed: int
) -> tuple[Array, NDArray[np.bool_], Array, Array | None]:
    """Ids (T + 1, N) that a model sampled, the first given; which of the T predictions count (T,
    N), of records those up to the stop symbol; the state (N, P) before them; and their labels
    (N, C), each label as often."""
    vocabulary, names = model.text_vocabulary, model.config["labels"]
    never: set[int] = set()
    if vocabulary.stop is None:
        N, T, first = 1, TEXT_STEPS, int(model.starts.argmax()) if model.starts.size else 0
        state = model.state.astype(np.float64)
    else:
        first, stop = map(vocabulary.symbols.index, (vocabulary.start, vocabulary.stop))
        N, T, never = RECORDS, RECORD_STEPS, {first} - {stop}
        state = exact.zero_state(N)
    labels = probabilities(names, names and [names[i % len(names)] for i in range(N)], N,
                           np.dtype(np.float64))
    start = np.full(N, first, np.int32)
    drawn = exact.draw(T, state.copy(), start, 1.0, np.random.default_rng(seed), labels=labels,
                       never=never)
    return np.vstack([start, drawn]), _counted(drawn, vocabulary), state, labels


def _counted(drawn: Array, vocabulary: Vocabulary) -> NDArray[np.bool_]:
    """Which of the sampled ids (T, N) come before or at the first stop symbol of their row."""
    if vocabulary.stop is None:
        return np.ones(drawn.shape, bool)
    stops = drawn == vocabulary.symbols.index(vocabulary.stop)
    counted: NDArray[np.bool_] = stops.cumsum(axis=0) - stops == 0
    return counted


def _log_probabilities(model: Model, ids: Array, inside: NDArray[np.bool_], state: Array,
                       labels: Array | None) -> Array:
    """log p of each symbol (predictions, K) after the ids (T, N), of rows one after the other."""
    T, N = ids.shape
    out = np.empty((N, T, model.sizes.outputs))
    with one_thread():
        model.network(T, N).unroll(model.block, np.ascontiguousarray(ids, np.int32), state.copy(),
                                   out=out, labels=labels)
    found: Array = log_softmax(out[inside.T], axis=1)
    return found
