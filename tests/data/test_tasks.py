"""The tasks: what their sequences are made of."""
import numpy as np
import pytest

from fastrnn import Sizes, tasks


@pytest.mark.parametrize(("length", "symbols", "blanks"), [(3, 8, 0), (5, 4, 2), (8, 8, 5)])
def test_memorization(length, symbols, blanks):
    s = tasks.memorization(200, length, symbols, blanks, seed=1)
    blank, delimiter = symbols, symbols + 1
    T = 2 * length + blanks + 1
    assert s.inputs.shape == s.targets.shape == (200, T)
    read = s.inputs[:, :length]
    assert set(np.unique(read)) == set(range(symbols))
    assert (s.inputs[:, length : length + blanks] == blank).all()
    assert (s.inputs[:, length + blanks] == delimiter).all()
    assert (s.inputs[:, length + blanks + 1 :] == blank).all()
    assert (s.targets[:, : length + blanks + 1] == blank).all()
    assert np.array_equal(s.targets[:, length + blanks + 1 :], read)
    assert s.mask.all() and s.sizes == Sizes(input_symbols=symbols + 2, output_symbols=symbols + 2)
    counts = np.bincount(read.ravel(), minlength=symbols)
    assert counts.min() > 0.7 * counts.mean()


def test_sine():
    s = tasks.sine(50, 30, step=0.15, divisor=(1, 2), seed=1)
    x, y = s.inputs[..., 0], s.targets[..., 0]
    assert np.array_equal(x[:, 1:], y[:, :-1])
    # each curve obeys sin(a + w) + sin(a - w) = 2 cos(w) sin(a), its w in 0.15 / (1 to 2)
    full = np.concatenate([x, y[:, -1:]], axis=1)
    cosine = (full[:, 2:] + full[:, :-2]) / 2 / full[:, 1:-1]
    w = np.arccos(np.median(cosine, axis=1))
    assert np.allclose(full[:, 2:] + full[:, :-2], 2 * np.cos(w)[:, None] * full[:, 1:-1],
                       atol=1e-9)
    assert 0.075 <= w.min() < 0.09 and 0.13 < w.max() <= 0.15
    assert abs(x[:, 0].mean()) < 0.3 and x[:, 0].std() > 0.5  # phases all around
    fixed = tasks.sine(3, 4, step=0.5, divisor=(2, 2)).inputs[..., 0]  # 0.25 a step
    assert np.allclose(fixed[:, 2:] + fixed[:, :-2], 2 * np.cos(0.25) * fixed[:, 1:-1], atol=1e-12)
    for divisor in ((2, 1), 1.0, (1, 2, 3)):
        with pytest.raises(ValueError, match="low and a high"):
            tasks.sine(3, 4, divisor=divisor)


@pytest.mark.parametrize("length", [2, 3, 10])
def test_adding(length):
    s = tasks.adding(500, length, seed=1)
    numbers, marks = s.inputs[..., 0], s.inputs[..., 1]
    assert np.isin(marks, (0, 1)).all()
    assert (marks[:, : length // 2].sum(axis=1) == 1).all()
    assert (marks[:, length // 2 :].sum(axis=1) == 1).all()
    assert np.allclose(s.targets[:, -1, 0], (numbers * marks).sum(axis=1))
    assert s.mask[:, -1].all() and not s.mask[:, :-1].any()
    assert 0 <= numbers.min() and numbers.max() < 1
    assert ((s.targets[:, -1, 0] - 1) ** 2).mean() == pytest.approx(1 / 6, rel=0.15)


@pytest.mark.parametrize("task", [
    lambda seed: tasks.memorization(9, 3, seed=seed), lambda seed: tasks.sine(9, 3, seed=seed),
    lambda seed: tasks.adding(9, 3, seed=seed)])
def test_seeds(task):
    assert task(1).fingerprint() == task(1).fingerprint() != task(2).fingerprint()
    assert task(None).fingerprint() != task(None).fingerprint()
