"""Training at the classic settings goes as NumPy's does, for all that rounding makes of it."""
import numpy as np
import pytest
from peers.numpy_hoisted import NumpyHoisted
from runs import classic

import fastrnn


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_smoothed_loss_follows_numpy(long, shakespeare, dtype):
    """One run tells little: rounding alone moves it by 2 %. The mean over ten starts tells more."""
    corpus = fastrnn.Corpus.from_file(shakespeare)
    updates, ours, theirs = [1000, 2000, 5000, 10_000], [], []
    for seed in range(10):
        start = fastrnn.Model(corpus.vocabulary, dtype="float64", seed=seed).params
        peer = NumpyHoisted(start, corpus.ids, len(corpus.vocabulary), dtype="float64")
        smooth, curve = None, []
        for _ in range(updates[-1]):
            loss = peer.update()
            smooth = loss if smooth is None else 0.999 * smooth + 0.001 * loss
            curve.append(smooth)
        model = classic(corpus, updates=updates[-1], dtype=dtype, seed=seed, progress=False)
        ours.append([model.history.smooth_loss[n - 1] for n in updates])
        theirs.append([curve[n - 1] for n in updates])
    np.testing.assert_allclose(np.mean(ours, axis=0), np.mean(theirs, axis=0), rtol=0.015)
