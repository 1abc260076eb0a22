"""Targets that are not known (NaN, or hidden by a masked array): read, and not counted. Losses,
gradients, scaling and training against sums written out by hand, N, T, D, K, H all different."""
import numpy as np
import pytest

import fastrnn
from fastrnn import Sequences, Sizes

N, T, D, K, H = 4, 6, 3, 5, 7


def data(seed=0):
    """inputs, targets with some numbers missing and some whole steps, weights."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(2, 3, (N, T, D)), rng.normal(-40, 9, (N, T, K))
    y[rng.random(y.shape) < 0.3] = np.nan
    y[rng.random((N, T)) < 0.2] = np.nan
    y[:, 2, 1:3] = 1.5, -2.5  # something counts in each
    return x, y, rng.uniform(0.1, 2, (N, T))


def model_of(cell="lstm", dtype="float64"):
    model = fastrnn.Model(Sizes(input_size=D, output_size=K), cell=cell, hidden_size=H, dtype=dtype)
    rng = np.random.default_rng(1)
    model.block[:] = rng.normal(0, 0.5, len(model.block))
    return model


def losses_by_hand(predicted, y):
    """(N, T): the mean of the squared errors that are known, 0 where none is."""
    losses = np.zeros((N, T))
    for n in range(N):
        for t in range(T):
            known = [(predicted[n, t, k] - y[n, t, k]) ** 2 for k in range(K)
                     if y[n, t, k] == y[n, t, k]]
            losses[n, t] = sum(known) / len(known) if known else 0
    return losses


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_loss_and_gradient(cell):
    x, y, weights = data()
    model = model_of(cell)
    state = np.random.default_rng(2).uniform(-1, 1, model.zero_state(N).shape)

    def loss():
        return model.loss_and_gradients(x, y, state, weights=weights)[0]

    def loss_by_hand():
        # the outputs from this state, by a model that reads one step more
        found = np.empty((N, T, K))
        params, now = model.params, state.copy()
        for t in range(T):
            now, h = step(cell, params, x[:, t], now)
            found[:, t] = h @ params["head.W"] + params["head.b"]
        return (weights * losses_by_hand(found, y)).sum() / N

    assert loss() == pytest.approx(loss_by_hand(), rel=1e-12)
    grads = model.loss_and_gradients(x, y, state, weights=weights)[1]
    for name, p in model.params.items():
        flat = p.reshape(-1)
        for i in np.random.default_rng(3).choice(flat.size, min(8, flat.size), replace=False):
            kept, h = flat[i], 1e-5
            flat[i] = kept + h
            above = loss_by_hand()
            flat[i] = kept - h
            below = loss_by_hand()
            flat[i] = kept
            assert grads[name].reshape(-1)[i] == pytest.approx((above - below) / (2 * h),
                                                               rel=1e-6, abs=1e-6), name


def step(cell, params, x, state):
    """One step written out: the new state (N, P) and the output (N, H)."""
    s = lambda a: 1 / (1 + np.exp(-a))  # noqa: E731
    Wx, Wh, b = (params[f"layer0.{name}"] for name in ("Wx", "Wh", "b"))
    h = state[:, :H]
    if cell == "rnn":
        h = np.tanh(x @ Wx + h @ Wh + b)
        return h, h
    if cell == "gru":
        a, u = x @ Wx + b, h @ Wh
        r, z = s(a[:, :H] + u[:, :H]), s(a[:, H : 2 * H] + u[:, H : 2 * H])
        n = np.tanh(a[:, 2 * H :] + r * (u[:, 2 * H :] + params["layer0.bhn"]))
        h = (1 - z) * n + z * h
        return h, h
    i, f, o, g = np.split(x @ Wx + h @ Wh + b, 4, axis=1)
    c = s(f) * state[:, H:] + s(i) * np.tanh(g)
    h = s(o) * np.tanh(c)
    return np.concatenate([h, c], axis=1), h


def test_gradcheck_of_missing_targets():
    x, y, _ = data(1)
    report = fastrnn.gradcheck(model_of(), x, y)
    assert report.max_error < 1e-6


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_score_is_the_mean_of_what_is_known(dtype):
    """In the units of the data, with and without weights."""
    x, y, weights = data(2)
    model = fastrnn.train(Sequences(x, y), epochs=3, batch_size=3, hidden_size=H, dtype=dtype,
                          cell="gru", progress=False, valid_fraction=0.0)
    losses, counts = losses_by_hand(model.predict(x), y), ~np.isnan(y).all(axis=2)
    assert model.score(Sequences(x, y)) == pytest.approx(losses[counts].mean(), rel=1e-5)
    assert model.score(Sequences(x, y, weights=weights)) == pytest.approx(
        np.average(losses[counts], weights=weights[counts]), rel=1e-5)
    np.testing.assert_allclose(model.scaling.targets,
                               [np.nanmean(y, axis=(0, 1)), np.nanstd(y, axis=(0, 1))], rtol=1e-12)
    np.testing.assert_allclose(Sequences(x, y).target_mean(), np.nanmean(y, axis=(0, 1)))
    mean = np.nanmean(y, axis=(0, 1))
    assert Sequences(x, y).error_of(mean) == pytest.approx(
        losses_by_hand(np.broadcast_to(mean, y.shape), y)[counts].mean())


def test_training_is_gradient_descent_on_what_is_known():
    """Two updates of SGD on a batch of all, in the kernels' loop and by hand."""
    x, y, _ = data(3)
    model, other = model_of(), model_of()
    fastrnn.Trainer(model, Sequences(x, y), batch_size=N, optimizer="sgd", learning_rate=0.01,
                    clip_value=None, progress=False, scale=False).run(updates=2)
    for _ in range(2):
        grads = other.loss_and_gradients(x, y)[1]
        for name, p in other.params.items():
            p -= 0.01 * grads[name]
    np.testing.assert_allclose(model.block, other.block, rtol=1e-10)


def test_whole_steps_are_those_of_a_mask():
    x, y, _ = data(4)
    y = np.nan_to_num(y)
    hidden = np.random.default_rng(5).random((N, T)) < 0.3
    hidden[:, 0] = False
    S = Sequences(x, np.where(hidden[..., None], np.nan, y))
    assert np.array_equal(S.mask, ~hidden)
    assert S.fingerprint() == Sequences(x, y, ~hidden).fingerprint()
    assert S[1:3].fingerprint() == Sequences(x, y, ~hidden)[1:3].fingerprint()


def test_an_output_that_is_never_known():
    """Of the part held out, or of all data: it is not learned, and the others are as they would
    be without it."""
    x, y, _ = data(6)
    y = np.nan_to_num(y[..., :2])
    both = y.copy()
    both[..., 1] = np.nan
    S = Sequences(x, both)
    assert S.scaling().targets[:, 1].tolist() == [0.0, 1.0] and S.target_mean()[1] == 0
    model = fastrnn.train(S, epochs=2, batch_size=2, hidden_size=H, progress=False, cell="gru",
                          valid_fraction=0.25)
    assert np.isfinite(model.predict(x)).all() and np.isfinite(model.history.valid_loss).all()


def test_what_is_refused():
    x, y, _ = data(7)
    y[2] = np.nan
    with pytest.raises(ValueError, match="sequence 2, or no target of it is known"):
        Sequences(x, y)
    x, y, _ = data(7)
    y[1, 2, 0] = np.inf
    with pytest.raises(ValueError, match="targets have inf in sequence 1 at step 2"):
        Sequences(x, y)
    x[3, 4, 1] = np.nan
    with pytest.raises(ValueError, match="inputs have nan in sequence 3 at step 4"):
        Sequences(x, np.zeros((N, T, K)))
