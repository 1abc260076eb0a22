"""How far the gates of a model saturate while it reads a text."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.corpus import Corpus
from ..model.model import Model
from .activations import activations

GATES = {"i": "input gate", "f": "forget gate", "o": "output gate", "r": "reset gate",
         "z": "update gate"}
SHUT, OPEN = 0.1, 0.9  # a gate below, and above, is saturated
Fractions = tuple[NDArray[np.float64], NDArray[np.float64]]


def saturation(model: Model, text: str | bytes | Corpus,
               label: Any = None) -> dict[str, list[Fractions]]:
    """For each gate of each unit, at which fraction of the steps it is nearly shut or open.

    The measure of Karpathy, Johnson and Fei-Fei (2015), "Visualizing and understanding recurrent
    networks", section 4.2.

    Parameters
    ----------
    model : Model
    text : str, bytes or Corpus of a text
    label : str or dict of str -> float, optional
        All as of `activations`.

    Returns
    -------
    dict of str -> list of (float64 ndarray, float64 ndarray)
        For each gate ("i", "f" and "o" of an LSTM, "r" and "z" of a GRU, "f" of the minimal gated
        unit) and each layer two arrays of the shape (H,): the fraction of the steps at which the
        gate of each unit is below 0.1, and above 0.9.

    Raises
    ------
    ValueError, TypeError
        A model whose cells have no gates; or as `activations`.
    """
    layers = activations(model, text, label).layers
    names = [name for name in GATES if name in layers[0]]
    if not names:
        raise ValueError(f"the cell {model.config['cell']!r} has no gates: lstm, mlstm, gru and "
                         "mgu have")
    return {name: [((layer[name] < SHUT).mean(axis=0), (layer[name] > OPEN).mean(axis=0))
                   for layer in layers] for name in names}
