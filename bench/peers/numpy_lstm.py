"""An LSTM that reads one sample at a time, in NumPy."""

from collections.abc import Callable

import numpy as np
from scipy.special import expit


def step(params: dict[str, np.ndarray], dtype: str) -> Callable[[np.ndarray], np.ndarray]:
    """A function that reads one sample (D,), returns the outputs (K,) and keeps the state.

    Parameters
    ----------
    params : dict of str to ndarray
        Of one LSTM layer and the head, named and shaped as ``fastrnn.Model.params``.
    dtype : str
    """
    Wx, Wh, b, W, head_b = (params[name].astype(dtype) for name in (
        "layer0.Wx", "layer0.Wh", "layer0.b", "head.W", "head.b"))
    weights = np.concatenate([Wx, Wh])  # (D + H, 4H), gates i f o g
    H = len(Wh)
    h, c = np.zeros((2, H), dtype)

    def run(x: np.ndarray) -> np.ndarray:
        nonlocal h, c
        z = np.concatenate([x, h]) @ weights + b
        i, f, o = expit(z[: 3 * H]).reshape(3, H)
        c = f * c + i * np.tanh(z[3 * H :])
        h = o * np.tanh(c)
        return h @ W + head_b

    return run
