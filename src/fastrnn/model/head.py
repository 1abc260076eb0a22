"""Ridge regression of the output weights of an echo state network that reads text."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from ..data.source import Source
from ..echo.ridge import Ridge
from ..kernels.blas import one_thread
from ..kernels.team import no_fork
from ..validate import positive_float, positive_int
from .network import Network

GAIN_SYMBOLS = 2**14  # on which the scale of the weights is chosen


def fit_head(network: Network, source: Source, ridge: float, warmup: int) -> float:
    """Fit the head by ridge regression of the one-hot next symbol on [1; h]; returns the mean
    cross-entropy (nats) of the first GAIN_SYMBOLS fitted symbols. The regression predicts
    probabilities and not the scores of a softmax, so the weights are scaled to minimize the
    cross-entropy."""
    if network.reservoir is None:
        raise ValueError(f"fit_head is for cell='esn', not {network.config['cell']!r}: use "
                         "fastrnn.train")
    positive_float("ridge", ridge, zero=True)
    text = next(source.batches(network.block.dtype, steps=source.predictions))
    if not text.goes_on:
        raise ValueError("fit_head takes a text, not records: use fastrnn.train")
    ids = np.append(text.arrays["inputs"], text.arrays["targets"][-1])
    if len(ids) - 1 <= positive_int("warmup", warmup, least=0):
        raise ValueError(f"a text of {len(ids)} symbols is too short for a warm-up of "
                         f"{warmup}: give a longer one, or a smaller warmup")
    H, K = network.config["hidden_size"], network.sizes.outputs
    one_hot, sums, first = np.eye(K), Ridge(1 + H, K), []
    features: NDArray[Any]
    with one_thread():
        for start, features in network.reservoir.features(ids[:-1], warmup=warmup):
            sums.add(features, one_hot[ids[start + 1 : start + 1 + len(features)]])
            if start < warmup + GAIN_SYMBOLS:
                first.append(features.copy())
    W = sums.solve(ridge).T  # (1 + H, K)
    scores = (np.concatenate(first) @ W)[:GAIN_SYMBOLS]
    targets = ids[1 + warmup :][: len(scores)]

    def loss(gain: float) -> float:
        log_p = log_softmax(gain * scores, axis=1)
        return -float(log_p[np.arange(len(targets)), targets].mean())

    from scipy.optimize import minimize_scalar  # here: it takes longer than all of fastrnn

    best = minimize_scalar(loss, bounds=(0, 100), method="bounded")
    with no_fork, network.lock:
        network.params["head.W"][:], network.params["head.b"][:] = best.x * W[1:], best.x * W[0]
        network.state[:] = features[-1, 1:]
    return float(best.fun)
