"""How far back the gradient of each prediction reaches."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ..checks import reference
from ..kernels.blas import one_thread
from ..model.model import Model
from .activations import Activations, Array

LAGS = 50
ROWS = 256  # predictions at a time


def reach(model: Model, found: Activations, lags: int = LAGS,
          dtype: Any = np.float32) -> Array:
    """Norms of the gradient of each prediction's loss with respect to the inputs before it.

    Parameters
    ----------
    model : Model
    found : Activations
        Of this model.
    lags : int
        How many inputs to go back; all there are where the text is shorter.
    dtype : dtype
        The precision in which gradients are computed.

    Returns
    -------
    float64 ndarray, shape (T, lags)
        Entry (t, k): the Euclidean norm of the gradient of -log p(target t), in nats, with respect
        to the vector that the first layer reads at step t - k, one-hot or of the embedding. NaN
        where there is no such step or no target, and where a gradient overflows.

    Raises
    ------
    ValueError
        An esn: its layer is not trained, and no gradient goes back through it.
    """
    if model.reservoir is not None:
        raise ValueError("no gradient goes back through the layer of an esn: it is not trained")
    T, count = len(found.ids), int((found.targets >= 0).sum())  # only the last may have none
    W, cell = min(lags, T), model.config["cell"]
    params = {name: p.astype(dtype) for name, p in model.params.items()}
    weights = [reference.layer_weights(params, n) for n in range(len(found.layers))]
    Wx = weights[0]["Wx"]  # (D, G H)
    if Wx.shape[0] > Wx.shape[1]:  # of many symbols; R of Q R gives vectors of the same norms
        triangle: Any = np.linalg.qr(Wx, mode="r")
        weights[0]["Wx"] = triangle
    dscores = found.probabilities[:count].copy()
    dscores[np.arange(count), found.targets[:count]] -= 1
    dlast = (dscores @ model.params["head.W"].T).astype(dtype)  # (count, H)
    starts = np.split(found.start, len(weights))
    with np.errstate(over="ignore"):
        padded = [_padded(values, start, W, cell, dtype)
                  for values, start in zip(found.layers, starts, strict=True)]
    norms = np.full((T, W), np.nan)
    with one_thread(), np.errstate(over="ignore", invalid="ignore"):
        for first in range(0, count, ROWS):
            rows = slice(first, min(first + ROWS, count))
            dout = np.zeros((rows.stop - first, W, dlast.shape[1]), dtype)
            dout[:, -1] = dlast[rows]
            for arrays, own in reversed([*zip(padded, weights, strict=True)]):
                dout = _backward(dout, arrays, own, rows, cell)
            norms[rows] = np.linalg.norm(dout, axis=2)[:, ::-1]
    norms[(np.arange(W) > np.arange(T)[:, None]) | ~np.isfinite(norms)] = np.nan  # before the text
    return norms


def _padded(values: dict[str, Array], start: Array, W: int, cell: str,
            dtype: Any) -> list[NDArray[Any]]:
    """What the cell's forward pass returned, each (W + T, size): W rows before the text's first
    step, of which the last has the states before it and the others are 0."""
    twin = reference.CELLS[cell]
    arrays = twin.first + twin.states
    parts = [values[name] for name in twin.names]
    kept = [*parts[:arrays], *([np.hstack(parts[arrays:])] if parts[arrays:] else [])]
    padded = [np.concatenate([np.zeros((W, part.shape[1])), part]).astype(dtype) for part in kept]
    for array, state in zip(padded[twin.first : arrays], np.split(start, twin.states), strict=True):
        array[W - 1] = state
    return padded


def _backward(dout: NDArray[Any], padded: Sequence[NDArray[Any]], weights: reference.Tensors,
              rows: slice, cell: str) -> NDArray[Any]:
    """The gradient with respect to a layer's input in the window that ends at each of some steps,
    from that with respect to its output; both (n, W, size)."""
    n, W = dout.shape[:2]
    twin = reference.CELLS[cell]
    kept = tuple(sliding_window_view(array, W, axis=0)[rows.start + 1 : rows.stop + 1]
                 .transpose(0, 2, 1) for array in padded)
    state = np.hstack([array[rows] for array in padded[twin.first : twin.first + twin.states]])
    x = np.zeros((n, W, len(weights["Wx"])), dout.dtype)  # only the gradient of Wx needs it
    return reference.layer_backward(dout, x, state, kept, weights, cell)[0]
