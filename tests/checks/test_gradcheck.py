"""fastrnn.gradcheck of functions: what is right passes, and what is wrong is found and placed."""
import numpy as np
import pytest

import fastrnn
from fastrnn import nn


def test_a_function_of_an_array():
    x = np.random.default_rng(0).normal(size=(3, 4))
    report = fastrnn.gradcheck(lambda v: np.sin(v).sum(), x, np.cos(x))
    assert report.max_error == report["x"] < 1e-9
    assert report.first_wrong is None and report.wrong_steps is None
    assert "wrong" not in str(report)


def test_a_function_that_returns_an_array():
    rng = np.random.default_rng(0)
    x, W, dout = rng.normal(size=(3, 4)), rng.normal(size=(4, 2)), rng.normal(size=(3, 2))
    assert fastrnn.gradcheck(lambda v: v @ W, x, dout @ W.T, dout=dout).certain_error < 1e-9
    assert fastrnn.gradcheck(lambda v: v @ W, x, np.ones((3, 2)) @ W.T).certain_error < 1e-9
    assert fastrnn.gradcheck(lambda v: v @ W, x, dout @ W.T).max_error > 0.01


def test_the_first_wrong_entry():
    x = np.random.default_rng(0).normal(size=(3, 4))
    df = 2 * x
    df[1, 2] *= 1.001
    df[2, 0] *= -1
    report = fastrnn.gradcheck(lambda v: (v**2).sum(), x, df)
    assert report.first_wrong == (1, 2)
    assert report.worst["x"].index == (2, 0) and report["x"] > 0.99
    assert "first wrong entry: [1, 2]" in str(report)
    assert fastrnn.gradcheck(lambda v: (v**2).sum(), x, df, tolerance=1e-2).first_wrong == (2, 0)


def test_the_time_steps_that_are_wrong():
    """A layer that forgets the way back from each step to the one before."""
    N, T, D, H = 2, 4, 3, 5
    rnn = nn.RNN(D, H)
    rng = np.random.default_rng(0)
    x, dh = rng.normal(size=(N, T, D)), rng.normal(size=(N, T, H))
    h = rnn.forward(x)
    truncated = (dh * (1 - h**2)) @ rnn.params["Wx"].T
    report = fastrnn.gradcheck(rnn.forward, x, truncated, dout=dh)
    assert report.wrong_steps == [0, 1, 2]  # only the last is right
    assert report.first_wrong == (0, 0, 0)
    assert "wrong at time steps 0, 1, 2: first at step 0" in str(report)
    rnn.forward(x)  # the check moved it
    dx, _ = rnn.backward(dh)
    assert fastrnn.gradcheck(rnn.forward, x, dx, dout=dh).wrong_steps == []


def test_nan_is_wrong():
    report = fastrnn.gradcheck(lambda v: v.sum(), np.zeros(3), [1, np.nan, 1])
    assert report.max_error == report.certain_error == np.inf
    assert report.first_wrong == (1,)


def test_x_is_not_changed_and_entries_are_chosen():
    x = np.arange(50.0)
    seen = []

    def f(v):
        seen.append(v.copy())
        v += 1  # a function may spoil what it gets
        return (v**3).sum()

    report = fastrnn.gradcheck(f, x, 3 * (x + 1) ** 2, entries=7, seed=3)
    assert report.worst["x"].checked == 7 and report.worst["x"].size == 50
    assert len(seen) == 1 + 2 * 7
    assert np.array_equal(x, np.arange(50.0)) and report.max_error < 1e-6


@pytest.mark.parametrize(("N", "T"), [(1, 400), (16, 7)])
def test_rounding_of_a_model_is_neither_missed_nor_exaggerated(N, T):
    """With so small a step rounding is all that differs; it grows with the root of T, and a mean
    over N sequences has less of it."""
    model = fastrnn.Model(fastrnn.Vocabulary("abcdefgh"), hidden_size=5, dtype="float64")
    inputs, targets = np.random.default_rng(0).integers(8, size=(2, N, T))
    report = fastrnn.gradcheck(model, inputs, targets, step=1e-7)
    largest = max(abs(w.analytic - w.numeric) for w in report.worst.values())
    assert report.certain_error == 0
    assert largest > report.rounding / 30


@pytest.mark.parametrize(("N", "T"), [(1, 400), (16, 7)])
def test_a_wrong_gradient_of_a_model_is_found(monkeypatch, N, T):
    model = fastrnn.Model(fastrnn.Vocabulary("abcdefgh"), hidden_size=5, dtype="float64")
    right = fastrnn.Model.loss_and_gradients

    def wrong(self, *args, **keywords):
        loss, grads, state = right(self, *args, **keywords)
        grads["layer0.Wh"][2, 3] *= 1.001
        return loss, grads, state

    monkeypatch.setattr(fastrnn.Model, "loss_and_gradients", wrong)
    inputs, targets = np.random.default_rng(0).integers(8, size=(2, N, T))
    report = fastrnn.gradcheck(model, inputs, targets)
    assert report.worst["layer0.Wh"].index == (2, 3)
    assert 4e-4 < report.certain_error < 6e-4


def test_bad_input():
    with pytest.raises(TypeError, match="a Model or a function, not 3"):
        fastrnn.gradcheck(3, np.zeros(2), np.zeros(2))
    with pytest.raises(ValueError, match=r"df has the shape \(3,\) and must have \(2,\)"):
        fastrnn.gradcheck(np.sum, np.zeros(2), np.zeros(3))
    with pytest.raises(ValueError, match=r"dout has the shape \(3,\)"):
        fastrnn.gradcheck(np.sin, np.zeros(2), np.zeros(2), dout=np.zeros(3))
    with pytest.raises(ValueError, match="no entries"):
        fastrnn.gradcheck(np.sum, np.zeros(0), np.zeros(0))
    with pytest.raises(TypeError, match="float32 or float64"):
        fastrnn.gradcheck(np.sum, np.array(["a"]), np.zeros(1))
