"""What the estimators share, against scikit-learn."""
import numpy as np
import pytest
from sklearn.metrics import r2_score

from fastrnn.estimator import r2


def test_r2():
    rng = np.random.default_rng(0)
    y, weights = rng.normal(size=(50, 3)) + [0, 5, -1e3], rng.uniform(0, 2, 50)
    found = y + rng.normal(size=y.shape) * [0.1, 1, 2]
    weights[:7] = 0
    assert r2(y, found, weights) == pytest.approx(r2_score(y, found, sample_weight=weights))
    gaps = y.copy()
    gaps[10:20, 0], gaps[:, 2] = np.nan, np.nan  # the last output does not count
    known = ~np.isnan(gaps[:, 0])
    one = [r2_score(y[rows, k], found[rows, k], sample_weight=weights[rows])
           for rows, k in ((known, 0), (slice(None), 1))]
    blank = np.where(np.isnan(gaps), np.nan, found)
    assert r2(gaps, blank, weights) == pytest.approx(np.mean(one))
    with pytest.raises(ValueError, match="no known target"):
        r2(np.full((5, 2), np.nan), np.zeros((5, 2)), np.ones(5))
    with pytest.warns(UserWarning, match="less than two samples"):
        assert np.isnan(r2(y[:1], found[:1], weights[:1]))
