"""How the weights of a network are drawn at first."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


def draw_weights(
    init: str, scale: float, name: str, p: NDArray[Any], columns: int, rng: np.random.Generator,
    picked: bool = False,
) -> None:
    """Fill a weight matrix in place with its initial values.

    "normal": N(0, scale), as in min-char-rnn. "uniform": between -scale and scale, as in char-rnn.
    "xavier": uniform of the variance 2 scale^2 / (rows + columns) (Glorot and Bengio 2010); where
    an input picks one row, as of an embedding, scale^2, since only one of its inputs is not 0
    (bench/NOTES.md has what that gives). "orthogonal": random orthogonal rows or columns times
    scale, each gate by itself (Saxe et al. 2014). "identity": as "normal", but Wh is the identity
    in each gate (Le, Jaitly and Hinton 2015).

    Parameters
    ----------
    init : {"normal", "uniform", "xavier", "orthogonal", "identity"}
    scale : float
    name : str
        The tensor's, which tells a Wh.
    p : ndarray, shape (rows, gates * columns)
    columns : int
        Columns of one gate.
    rng : numpy.random.Generator
        Draws float64 numbers.
    picked : bool
        Whether an input picks a row of p.
    """
    gates = [p[:, c : c + columns] for c in range(0, p.shape[1], columns)]
    rows = len(p)
    if init == "identity" and name.endswith("Wh"):
        for gate in gates:
            np.fill_diagonal(gate, 1)
    elif init == "orthogonal":
        for gate in gates:
            tall = rng.normal(size=(max(rows, columns), min(rows, columns)))
            q, r = np.linalg.qr(tall)
            q *= np.sign(np.diag(r))  # else not every rotation is as likely
            gate[:] = scale * (q if rows >= columns else q.T)
    elif init in ("uniform", "xavier"):
        # of the variance v a uniform number goes up to sqrt(3 v)
        half = scale if init == "uniform" else scale * math.sqrt(
            3 if picked else 6 / (rows + columns))
        p[:] = rng.uniform(-half, half, p.shape)
    else:
        p[:] = rng.normal(0, scale, p.shape)
