"""Vanishing and exploding gradients: how far back in time a gradient reaches."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import kernels
from ..cells import kernel_cell, tensor_shapes
from ..data.corpus import Corpus
from ..data.scaling import Scaling, scaled
from ..data.sequences import Sequences
from ..data.source import Source
from ..figures.axes import write
from ..figures.gradients import draw_gradients
from ..files.store import short
from ..kernels.blas import one_thread
from ..model.labels import probabilities
from ..model.model import Model
from ..model.scoring import to_read
from ..validate import positive_int, whole_numbers
from . import reference

LOSSES = {"cross_entropy": reference.softmax_cross_entropy,
          "binary_cross_entropy": reference.binary_cross_entropy,
          "mean_squared_error": reference.mean_squared_error}
LENGTHS = 20  # how many lengths where none are given
MOST_ROWS = 100  # windows of a text, or records, that are read
MATRIX = 2  # axes of ids (N, T)


@dataclass(frozen=True)
class GradientNorms:
    """The result of `gradient_norms`: gradients of the loss of the last prediction.

    Attributes
    ----------
    lags : int64 ndarray, shape (T,)
        Steps back from the last one: 0, 1, ...
    norms : float64 ndarray, shape (T,)
        For each lag the norm of the gradient with respect to the state after that step (h of all
        layers, and c or m; at lag 0 the last layer's output), the mean over the sequences, or the
        windows of a text.
    lengths : int64 ndarray
        Steps through which the gradient flows, the sequences cut to their last so many.
    mean_absolute : float64 ndarray
        For each length the mean absolute entry of the gradient with respect to the parameters.
    """

    lags: NDArray[np.int64]
    norms: NDArray[np.float64]
    lengths: NDArray[np.int64]
    mean_absolute: NDArray[np.float64]

    def plot(self, path: str | os.PathLike[str] | None = None, *, ax: Any = None) -> Any:
        """Draw both curves on logarithmic axes, as ``fastrnn.plot.gradients`` does for one result
        or several; written to `path` (PNG, PDF, SVG) if given.

        Parameters
        ----------
        path : str or path-like, optional
        ax : pair of matplotlib.axes.Axes, optional
            Draw here, in place of a new figure.

        Returns
        -------
        list of two matplotlib.axes.Axes

        Raises
        ------
        ImportError
            matplotlib is not installed.
        """
        axes = draw_gradients({"": self}, ax)
        write(axes[0], path)
        return axes


def gradient_norms(
    model: Model, source: Source | str | bytes | ArrayLike, lengths: Sequence[int] | None = None,
    *, seq_length: int = 100, label: Any = None,
) -> GradientNorms:
    """Follow the gradient of the last prediction's loss back through time.

    Only the loss of each sequence's last step counts. A gradient that shrinks with every step back
    teaches nothing about steps long ago; one that grows outweighs everything else
    (Hochreiter 1991; Bengio, Simard and Frasconi 1994; Pascanu, Mikolov and Bengio 2013).

    Parameters
    ----------
    model : Model
        Not changed; the gradients are taken in float64.
    source : Sequences, Corpus, str, bytes, or array_like of int ids
        Of a text, or the ids (n,) of one, up to 100 windows that lie evenly in it are read, each
        from the zero state; of ids (N, T) each row; of records up to 100 whole ones.
    lengths : sequence of int, optional
        Lengths for the mean absolute gradient: each reads the last so many steps of each sequence
        that has them, from the zero state. About 20 from 1 to the longest, evenly on a logarithmic
        scale, where not given.
    seq_length : int
        Time steps of the windows of a text; all there are where it is shorter.
    label : str or dict of str -> float, optional
        For a model of records with labels: the label of a record given as a str.

    Returns
    -------
    GradientNorms

    Raises
    ------
    ValueError, TypeError
        A text or sequences that the model cannot read or predict, something else than these, an
        esn, or lengths outside 1 to the longest.
    """
    if model.reservoir is not None:
        raise ValueError("no gradient goes back through the layer of an esn: it is not trained")
    rows = _rows_of(model, source, positive_int("seq_length", seq_length), label)
    longest = int(rows.ends.max())
    chosen = (np.unique(np.geomspace(1, longest, LENGTHS).round().astype(int)) if lengths is None
              else np.asarray(lengths))
    if (chosen.ndim != 1 or not chosen.size or chosen.dtype.kind not in "iu" or chosen.min() < 1
            or chosen.max() > longest):
        raise ValueError(f"lengths must be a list of whole numbers from 1 to {longest}")
    twin = model.in_float64()
    mean_absolute = []
    for length in chosen:
        x, y, labels = rows.endings(rows.ends >= length, int(length))
        last = np.arange(length)[None].repeat(len(x), axis=0) == length - 1
        _, grads, _ = twin.loss_and_gradients(x, y, mask=last, labels=labels)
        total = sum(float(np.abs(g).sum()) for g in grads.values())
        mean_absolute.append(total / twin.block.size)
    norms = np.full((len(rows.ends), longest), np.nan)
    for end in np.unique(rows.ends):
        here = rows.ends == end
        norms[here, :end] = _norms(twin, *rows.endings(here, int(end)))
    return GradientNorms(np.arange(longest), np.nanmean(norms, axis=0), chosen.astype(np.int64),
                         np.array(mean_absolute))


@dataclass(frozen=True)
class _Rows:
    """Sequences: inputs and targets (N, T, ...), for each the number of steps to its last
    prediction (N,), and the labels of records."""

    inputs: NDArray[Any]
    targets: NDArray[Any]
    ends: NDArray[np.int64]
    labels: list[Any] | None = None

    def endings(self, chosen: NDArray[np.bool_], length: int) -> tuple[
            NDArray[Any], NDArray[Any], list[Any] | None]:
        """The last so many steps of the inputs and targets of some sequences; their labels."""
        rows = np.flatnonzero(chosen)
        at = rows[:, None], self.ends[rows, None] - length + np.arange(length)  # (n, length)
        return (self.inputs[at], self.targets[at],
                None if self.labels is None else [self.labels[row] for row in rows])


def _rows_of(model: Model, source: Any, seq_length: int, label: Any) -> _Rows:
    """What a source, a text or ids give a model to read."""
    if isinstance(source, Sequences):
        model.check(source)
        return _Rows(source.inputs, source.targets, source.ends)
    if not isinstance(source, Source | str | bytes):
        array = np.asarray(source)
        if array.dtype.kind not in "iu" or array.ndim not in (1, MATRIX):
            raise TypeError("gradient_norms takes a Model and Sequences, a Corpus, a text, or ids "
                            f"of a text, (n,) or (N, T), not {short(source)}")
        if model.vocabulary is None or model.vocabulary.stop is not None:
            raise ValueError("ids are for a model of a text: give Sequences, or a Corpus of "
                             "records")
        ids = whole_numbers("ids", array, len(model.vocabulary))
        if ids.ndim == MATRIX:
            return _of_windows(ids)
        source = Corpus(ids, model.vocabulary)
    source, _ = to_read(model, model.vocabulary, source, label)
    if source.steps is None:
        T = min(seq_length, source.predictions)
        count = min(MOST_ROWS, source.predictions // T)
        starts = np.linspace(0, source.predictions - T, count).astype(int)
        return _of_windows(source.ids[starts[:, None] + np.arange(T + 1)])
    rows = np.unique(np.linspace(0, len(source.records) - 1, MOST_ROWS).astype(int))
    pieces, labels = source.pieces(rows), source.row_labels()
    ends = np.array([len(piece) - 1 for piece in pieces])
    ids = np.zeros((len(pieces), ends.max() + 1), np.int64)
    for row, piece in zip(ids, pieces, strict=True):
        row[: len(piece)] = piece
    of_rows = [label if labels is None else labels[row] for row in rows]
    return _Rows(ids[:, :-1], ids[:, 1:], ends, of_rows if model.config["labels"] else None)


def _of_windows(ids: NDArray[Any]) -> _Rows:
    """Windows (N, T + 1) of a text, in which each symbol but the last is read."""
    if min(ids.shape) < 1 or ids.shape[1] < MATRIX:
        raise ValueError(f"ids of the shape {ids.shape} have nothing to predict: give at least 2 "
                         "in a row")
    return _Rows(ids[:, :-1], ids[:, 1:], np.full(len(ids), ids.shape[1] - 1))


def _norms(model: Model, x: NDArray[Any], y: NDArray[Any],
           labels: list[Any] | None) -> NDArray[np.float64]:
    """For each sequence and lag the norm of the gradient with respect to the state; (N, T)."""
    N, T = x.shape[:2]
    W, b = model.params["head.W"], model.params["head.b"]
    table = model.params.get("embedding.W", np.eye(max(1, model.sizes.input_symbols)))
    x = x if x.ndim == 3 else table[x]  # (N, T, D)
    scaling = model.scaling or Scaling()
    x = x if scaling.inputs is None else scaled(x, scaling.inputs)
    y = y if scaling.targets is None else scaled(y, scaling.targets)
    if labels is not None:  # their probabilities are inputs of every step
        C = np.asarray(probabilities(model.config["labels"], labels, N, model.block.dtype))
        x = np.concatenate([x, np.broadcast_to(C[:, None], (N, T, C.shape[1]))], axis=2)
    layers = [_Layer(model, number, N) for number in range(model.config["num_layers"])]
    with one_thread():
        for t in range(T):
            out = np.ascontiguousarray(x[:, t : t + 1], np.float64)  # (N, 1, D)
            for layer in layers:
                out = layer.forward(out)
        outputs = (out[:, 0] @ W + b)[:, None]  # (N, 1, K)
        doutputs = N * LOSSES[model.config["loss"]](outputs, y[:, -1:])[1]  # each loss by itself
        dout = doutputs @ W.T  # (N, 1, H)
        norms = np.empty((N, T))
        norms[:, 0] = np.linalg.norm(dout[:, 0], axis=1)
        for lag in range(1, T):
            for layer in reversed(layers):
                dout = layer.backward(dout)
            norms[:, lag] = np.sqrt(sum((layer.dstate**2).sum(axis=1) for layer in layers))
            dout = np.zeros((N, 1, len(W)))  # earlier steps have no loss
    return norms


class _Layer:
    """One layer of a model, run step by step, forward to the end and back again."""

    def __init__(self, model: Model, number: int, N: int) -> None:
        cell, after = model.config["cell"], model.config["reset_after"]
        params, self._H = model.params, model.config["hidden_size"]
        Wx = params[f"layer{number}.Wx"]
        if number == 0 and "layer0.Wc" in params:  # labels are read as further inputs
            Wx = np.concatenate([Wx, params["layer0.Wc"]])
        D = len(Wx)
        tensors = {f"layer0.{name}": Wx if name == "Wx" else params[f"layer{number}.{name}"]
                   for name in tensor_shapes(cell, D, self._H, after)}
        starts = accumulate((p.size for p in tensors.values()), initial=0)
        values = np.concatenate([p.ravel() for p in tensors.values()])
        self._block = kernels.aligned_zeros(values.size, "float64")
        self._block[:] = values
        info = kernel_cell(cell, after)
        self._network = kernels.Network(
            model.config | {"cell": info.name, "num_layers": 1, "embedding_size": None,
                            "dropout": 0.0, "labels": None, "loss": "mean_squared_error"},
            0, D, 0, dict(zip(tensors, starts, strict=False)), values.size, 1, N)
        self._state_is_output = info.state_is_output
        self._state = np.zeros((N, self._network.P))
        self.dstate = np.zeros_like(self._state)  # the gradient with respect to the step's state
        self._seen: list[tuple[NDArray[Any], NDArray[Any]]] = []  # input and state of each step

    def forward(self, x: NDArray[Any]) -> NDArray[Any]:
        self._seen.append((x, self._state.copy()))
        return self._network.forward(self._block, x, self._state)

    def backward(self, dout: NDArray[Any]) -> NDArray[Any]:
        self._network.forward(self._block, *self._seen.pop())  # backward needs its workspace
        if self._state_is_output:
            dout = dout + self.dstate[:, None, : self._H]
        return self._network.backward(self._block, dout, self.dstate, np.empty_like(self._block))
