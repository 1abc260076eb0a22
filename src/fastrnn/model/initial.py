"""Random initial weights."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.blas import one_thread


def draw_weights(
    init: str, scale: float, name: str, p: NDArray[Any], columns: int, rng: np.random.Generator,
    picked: bool = False,
) -> None:
    """Fill the weight matrix p (rows, gates * columns) called `name`.

    "normal": N(0, scale^2), as in min-char-rnn. "uniform": in [-scale, scale], as in char-rnn.
    "xavier": uniform with variance 2 scale^2 / (rows + columns) (Glorot and Bengio 2010), or
    scale^2 where an input is one-hot and so picks a row (`picked`; bench/NOTES.md has the effect).
    "orthogonal": for each gate a random matrix with orthogonal rows or columns, times scale (Saxe
    et al. 2014). "identity": "normal", but the identity matrix for each gate of Wh (Le, Jaitly and
    Hinton 2015)."""
    gates = [p[:, c : c + columns] for c in range(0, p.shape[1], columns)]
    rows = len(p)
    if init == "identity" and name.endswith("Wh"):
        for gate in gates:
            np.fill_diagonal(gate, 1)
    elif init == "orthogonal":
        for gate in gates:
            with one_thread():  # the same bits on any number of cores
                q, r = np.linalg.qr(rng.normal(size=(max(rows, columns), min(rows, columns))))
            q *= np.sign(np.diag(r))  # makes q uniform over all rotations
            gate[:] = scale * (q if rows >= columns else q.T)
    elif init in ("uniform", "xavier"):
        # variance v: uniform in [-sqrt(3 v), sqrt(3 v)]
        half = scale if init == "uniform" else scale * math.sqrt(
            3 if picked else 6 / (rows + columns))
        p[:] = rng.uniform(-half, half, p.shape)
    else:
        p[:] = rng.normal(0, scale, p.shape)
