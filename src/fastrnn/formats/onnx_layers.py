"""The recurrent layers of ONNX and ours: the order of their gates, their weights, their states."""

from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Weights = dict[str, Array]

# cell: the operator that computes it, its gates in our order and in that of ONNX; c are the new
# numbers of an LSTM (our g), h those of a GRU (our n)
GATES = {
    "rnn": ("RNN", "i", "i"),
    "relu": ("RNN", "i", "i"),
    "lstm": ("LSTM", "ifoc", "iofc"),
    "gru": ("GRU", "rzh", "zrh"),
}
ACTIVATIONS = {"rnn": ["Tanh"], "relu": ["Relu"], "lstm": ["Sigmoid", "Tanh", "Tanh"],
               "gru": ["Sigmoid", "Tanh"]}
STATES = {"lstm": ("h", "c"), "memory": ("m",)}  # of all others h alone


def library() -> Any:
    """The package onnx; ImportError, with what to install, where it is missing."""
    try:
        return import_module("onnx")
    except ImportError:
        raise ImportError('ONNX files need the library onnx: pip install "fastrnn[onnx]"') from None


def states_of(cell: str) -> tuple[str, ...]:
    """The names of a cell's states."""
    return STATES.get(cell, ("h",))


def to_onnx(cell: str, weights: Weights) -> tuple[Array, Array, Array]:
    """W (1, G H, D), R (1, G H, H) and B (1, 2 G H) of an operator from the weights of our layer:
    Wx (D, G H), Wh (H, G H), b (G H) and, of a GRU with reset_after, bhn (H)."""
    _, ours, theirs = GATES[cell]
    H = len(weights["Wh"])
    second = np.zeros_like(weights["b"])
    if "bhn" in weights:
        second[ours.index("h") * H :] = weights["bhn"]
    W, R, first, second = (_ordered(array, ours, theirs) for array in (
        weights["Wx"], weights["Wh"], weights["b"], second))
    return (np.ascontiguousarray(W.T)[None], np.ascontiguousarray(R.T)[None],
            np.concatenate([first, second])[None])


def from_onnx(cell: str, W: Array, R: Array, B: Array, reset_after: bool) -> Weights:
    """The weights of our layer from W (G H, D), R (G H, H) and B (2 G H) of an operator."""
    _, ours, theirs = GATES[cell]
    first, second = (_ordered(half, theirs, ours) for half in np.split(B, 2))
    weights = {"Wx": _ordered(W.T, theirs, ours), "Wh": _ordered(R.T, theirs, ours)}
    if cell == "gru" and reset_after:
        H = len(weights["Wh"])
        weights["bhn"] = second[-H:].copy()
        second[-H:] = 0
    with np.errstate(over="ignore", invalid="ignore"):
        both = first + second
    return weights | {"b": np.where(second == 0, first, both)}  # -0 stays the same bits


def _ordered(array: Array, source: str, target: str) -> Array:
    """An array (..., G H) with its gates in another order."""
    parts = np.split(array, len(source), axis=-1)
    return np.concatenate([parts[source.index(gate)] for gate in target], axis=-1)
