"""How far back gradients reach: against central differences by the state, and by hand."""
import numpy as np
import pytest
from networks import KINDS
from test_sequences import PAIRS, arrays_of, model_of

import fastrnn
from fastrnn import Sequences, tasks


def sequences_of(model, N=4, T=6, equal=False):
    x, y, mask, lengths, _ = arrays_of(model, N, T)
    return Sequences(x, y, None if equal else mask, None if equal else lengths,
                     symbols=model.sizes.input_symbols or model.sizes.output_symbols or None)


def loss_from(model, s, n, start, end, state):
    """The loss of step end - 1 of sequence n, read from a state before step start."""
    part = slice(n, n + 1), slice(start, end)
    return model.losses(s.inputs[part], s.targets[part], state)[0, -1]


def differences(f, at, step=1e-5):
    slopes = np.empty(at.size)
    for i in range(at.size):
        high, low = at.copy(), at.copy()
        high.flat[i] += step
        low.flat[i] -= step
        slopes[i] = (f(high) - f(low)) / (2 * step)
    return slopes


@pytest.mark.parametrize(("reads", "predicts"), PAIRS)
@pytest.mark.parametrize("kind", KINDS)
def test_norms_are_those_of_central_differences(kind, reads, predicts):
    """By the state after each step, of sequences that end at different steps."""
    settings = {"embedding_size": 3} if reads == "symbols" else {}
    if predicts == "symbols" and kind in ("gru", "relu"):
        settings["loss"] = "binary_cross_entropy"
    model = model_of(kind, reads, predicts, H=5, num_layers=2, **settings)
    s = sequences_of(model)
    before = model.block.copy()
    report = fastrnn.gradient_norms(model, s)
    assert np.array_equal(model.block, before)
    assert len(set(s.ends)) > 1
    expected = np.full((len(s), s.ends.max()), np.nan)
    for n, end in enumerate(s.ends):
        for lag in range(1, end):
            part = slice(n, n + 1), slice(0, end - lag)
            _, _, state = model.loss_and_gradients(s.inputs[part], s.targets[part])
            expected[n, lag] = np.linalg.norm(differences(
                lambda at, n=n, end=end, lag=lag: loss_from(model, s, n, end - lag, end, at),
                state))
        # at the last step itself it is the head's: (p - one-hot) W^T, 2 (o - y) W^T / K
        p = model.predict(s.inputs[n : n + 1, :end])[0, -1]
        y = s.targets[n, end - 1]
        d = p - np.eye(len(p))[y] if predicts == "symbols" else 2 * (p - y) / len(p)
        if "loss" in settings:  # r_k - p_k S, -1 - p_k S at the target
            r = p / (1 - p)
            r[y] = -1
            d = r - p * r.sum()
        expected[n, 0] = np.linalg.norm(model.params["head.W"] @ d)
    assert np.allclose(report.norms, np.nanmean(expected, axis=0), rtol=1e-6)
    assert list(report.lags) == list(range(s.ends.max()))


@pytest.mark.parametrize(("reads", "predicts"), PAIRS)
def test_mean_absolute_gradients(reads, predicts):
    """Of the last so many steps of each sequence that has them, the last of which is judged."""
    model = model_of("lstm", reads, predicts)
    s = sequences_of(model, N=6)
    longest = s.ends.max()
    report = fastrnn.gradient_norms(model, s, lengths=[1, 3, longest])
    assert list(report.lengths) == [1, 3, longest] and longest > 3
    for length, found in zip(report.lengths, report.mean_absolute, strict=True):
        rows = np.flatnonzero(s.ends >= length)
        total = np.zeros(model.block.size)
        for n in rows:
            part = slice(n, n + 1), slice(s.ends[n] - length, s.ends[n])
            last = np.arange(length)[None] == length - 1
            _, grads, _ = model.loss_and_gradients(s.inputs[part], s.targets[part], mask=last)
            total += np.concatenate([g.ravel() for g in grads.values()])
        assert found == pytest.approx(np.abs(total / len(rows)).mean(), rel=1e-12)


def test_what_grows_and_what_shrinks():
    """With Wh = a I and all ReLUs at work the gradient by the state is a^lag times the last."""
    s = tasks.memorization(5, 6)
    for a in (0.5, 1.0, 1.5):
        model = fastrnn.Model(s.sizes, cell="relu", hidden_size=4)
        model.params["layer0.Wh"][:] = a * np.eye(4)
        model.params["layer0.b"][:] = 0.3
        model.params["head.W"][:] = np.random.default_rng(0).normal(0, 0.01, (4, 10))
        report = fastrnn.gradient_norms(model, s)
        assert np.allclose(report.norms, report.norms[0] * a**report.lags, rtol=1e-6)
        assert (np.diff(report.mean_absolute) > 0).all()
    assert report.lengths[0] == 1 and report.lengths[-1] == 13  # by themselves up to the whole


def test_its_picture(tmp_path):
    s = tasks.adding(5, 9)
    left, right = fastrnn.gradient_norms(fastrnn.Model(s.sizes, hidden_size=4), s).plot(
        tmp_path / "g.png")
    assert (tmp_path / "g.png").read_bytes().startswith(b"\x89PNG")
    assert left.get_yscale() == right.get_yscale() == right.get_xscale() == "log"
    assert len(left.lines[0].get_xdata()) == 9


def test_what_it_refuses():
    s = tasks.adding(5, 9)
    model = fastrnn.Model(s.sizes, hidden_size=4)
    for lengths in ([0, 3], [10], [], [[3]]):
        with pytest.raises((ValueError, TypeError), match="lengths"):
            fastrnn.gradient_norms(model, s, lengths)
    with pytest.raises(ValueError, match="this model has"):
        fastrnn.gradient_norms(model, tasks.memorization(5, 3))
