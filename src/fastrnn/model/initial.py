"""Random initial weights."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


def draw_weights(
    init: str, scale: float, name: str, p: NDArray[Any], columns: int, rng: np.random.Generator,
    picked: bool = False,
) -> None:
    """Fill the weight matrix p (rows, gates * columns) of this name in place.

    "normal": N(0, scale^2), as in min-char-rnn. "uniform": in [-scale, scale], as in char-rnn.
    "xavier": uniform with variance 2 scale^2 / (rows + columns) (Glorot and Bengio 2010), or
    scale^2 where each input is `picked`: one-hot, so that it selects a row (bench/NOTES.md has the
    effect). "orthogonal": a random matrix with orthogonal rows or columns, times scale, for each
    gate (Saxe et al. 2014). "identity": "normal", with the identity matrix for each gate of a Wh
    (Le, Jaitly and Hinton 2015)."""
    gates = [p[:, c : c + columns] for c in range(0, p.shape[1], columns)]
    rows = len(p)
    if init == "identity" and name.endswith("Wh"):
        for gate in gates:
            np.fill_diagonal(gate, 1)
    elif init == "orthogonal":
        for gate in gates:
            tall = rng.normal(size=(max(rows, columns), min(rows, columns)))
            q, r = np.linalg.qr(tall)
            q *= np.sign(np.diag(r))  # makes q uniform over all rotations
            gate[:] = scale * (q if rows >= columns else q.T)
    elif init in ("uniform", "xavier"):
        # variance v: uniform in [-sqrt(3 v), sqrt(3 v)]
        half = scale if init == "uniform" else scale * math.sqrt(
            3 if picked else 6 / (rows + columns))
        p[:] = rng.uniform(-half, half, p.shape)
    else:
        p[:] = rng.normal(0, scale, p.shape)
