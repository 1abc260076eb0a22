"""What every unit and gate of a model does while it reads a text."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import reference
from ..data.corpus import Corpus
from ..data.source import Source
from ..kernels.blas import one_thread
from ..model.labels import probabilities
from ..model.model import Model
from ..model.scoring import ids_of_text, not_for_text

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Activations:
    """The values of a model's units and gates at each step of a text.

    Attributes
    ----------
    ids : ndarray of int, shape (T,)
        The symbols that are read; of a record its start symbol first.
    targets : ndarray of int, shape (T,)
        The symbol that follows each, -1 where there is none: after the last one of a text. That of
        a record's last symbol is the stop symbol.
    layers : list of dict of str -> float64 ndarray, shape (T, H)
        For each layer its values after each symbol: its output "h", in an LSTM the cell state "c"
        and the gates "i", "f", "o" and candidate "g", in an mlstm also the factors "a" of the
        hidden state and what is added to it "q", in a GRU "r", "z" and "n", in the minimal gated
        unit "f" and "n", in the memory cell the state "m" (`fastrnn.Model` has the equations).
    probabilities : float64 ndarray, shape (T, K)
        Of each symbol to come next.
    start : float64 ndarray, shape (P,)
        The state before the first symbol.
    """

    ids: NDArray[np.int64]
    targets: NDArray[np.int64]
    layers: list[dict[str, Array]]
    probabilities: Array
    start: Array

    @property
    def surprisal(self) -> Array:
        """-log p(target) in nats, shape (T,); NaN where there is no target."""
        found = np.full(len(self.ids), np.nan)
        known = self.targets >= 0
        with np.errstate(divide="ignore"):
            found[known] = -np.log(self.probabilities[known, self.targets[known]])
        return found

    def first(self, count: int) -> "Activations":
        """Those of the first `count` symbols of a text."""
        if count >= len(self.ids):
            return self
        return replace(self, ids=self.ids[:count], targets=np.append(self.ids[1:count], -1),
                       layers=[{name: values[:count] for name, values in layer.items()}
                               for layer in self.layers],
                       probabilities=self.probabilities[:count])


def activations(model: Model, text: str | bytes | Corpus, label: Any = None) -> Activations:
    """Let a model read a text or one record, and return what every unit does.

    Computed by the NumPy twin of the kernels in float64, without dropout: about as fast as a NumPy
    script.

    Parameters
    ----------
    model : Model
        With a vocabulary. Not changed.
    text : str, bytes (for unit "byte") or Corpus of a text
        Read from ``model.state``, as `Model.surprisal` does; for a model of records one record,
        read from the zero state.
    label : str or dict of str -> float, optional
        For a model of records with labels.

    Returns
    -------
    Activations

    Raises
    ------
    ValueError, TypeError
        A model of sequences, an empty text, symbols that the vocabulary does not have, or an
        unknown label.
    """
    vocabulary = model.vocabulary
    if vocabulary is None:
        raise not_for_text()
    if vocabulary.stop is not None:
        if isinstance(text, Source):
            raise ValueError("give one record as a text, not a corpus of records")
        framed = vocabulary.encode_record(text).astype(np.int64)
        ids, targets = framed[:-1], framed[1:]
        state = model.zero_state().astype(np.float64)
    else:
        ids = ids_of_text(model, vocabulary, text).astype(np.int64)
        targets = np.append(ids[1:], -1)
        state = model.state.astype(np.float64)
    labels = probabilities(model.config["labels"], label, 1, np.dtype(np.float64))
    cell = model.config["cell"]
    with one_thread():
        scores, _, _, layers = reference.forward(_parameters(model), ids[None], state, cell,
                                                 labels=labels)
    scores = scores[0] - scores[0].max(axis=1, keepdims=True)
    found = np.exp(scores)
    return Activations(ids, targets, [reference.named(cell, kept) for _, _, kept in layers],
                       found / found.sum(axis=1, keepdims=True), state[0])


def _parameters(model: Model) -> dict[str, Any]:
    """The parameters of a model in float64, with those of the reservoir of an esn."""
    params = {name: p.astype(np.float64) for name, p in model.params.items()}
    reservoir = model.reservoir
    if reservoir is None:
        Wx = params["layer0.Wx"]  # (V, G H)
        if "embedding.W" not in params and Wx.shape[0] > Wx.shape[1]:
            # its rows are looked up: the one-hot vectors of 10,000 words would take gigabytes
            params |= {"embedding.W": Wx, "layer0.Wx": np.eye(Wx.shape[1])}
        return params
    return params | {"reservoir.W": reservoir.W.toarray().astype(np.float64),
                     "reservoir.Win": reservoir.Win.astype(np.float64),
                     "reservoir.b": reservoir.b.astype(np.float64),
                     "reservoir.leak_rate": np.asarray(reservoir.leak_rate, np.float64)}
