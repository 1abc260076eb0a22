"""The readout's regression against scikit-learn and against refits one by one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge as Peer
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from test_echo_state import SMALL, features_of, series, targets_of

from fastrnn import EchoStateNetwork
from fastrnn.echo.reservoir import draw
from fastrnn.echo.ridge import Ridge, _left_out, total
from fastrnn.kernels.blas import one_thread


def rows(n, M=4, K=2, seed=0):
    """Features with a constant, and targets far from 0."""
    rng = np.random.default_rng(seed)
    F = np.hstack([np.ones((n, 1)), rng.normal(size=(n, M))])
    return F, F @ rng.normal(size=(M + 1, K)) + 0.3 * rng.normal(size=(n, K)) + [10, -1000][:K]


def peer(F, Y, ridge, weights=None):
    """W (K, M) of scikit-learn, which has the intercept apart."""
    with one_thread():  # not slower on a busy machine
        found = Peer(ridge, solver="svd").fit(F[:, 1:], Y, sample_weight=weights)
    return np.column_stack([np.ravel(found.intercept_), np.atleast_2d(found.coef_)])


@given(st.integers(1, 40), st.integers(1, 6), st.integers(1, 4), st.floats(1e-6, 1e3),
       st.lists(st.integers(1, 20), min_size=1, max_size=4), st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_in_parts(M, K, scale, ridge, parts, seed):
    rng = np.random.default_rng(seed)
    F, Y = scale * rng.normal(size=(sum(parts), M)), rng.normal(size=(sum(parts), K))
    F[:, 0] = 1
    sums, start = Ridge(M, K), 0
    for n in parts:
        sums.add(F[start : start + n], Y[start : start + n])
        start += n
    W = sums.solve(ridge)
    # where the gradient of |Y - F W^T|^2 + ridge |W|^2, without the intercept, is zero
    left = F.T @ (F @ W.T - Y) + ridge * W.T * (np.arange(M) > 0)[:, None]
    assert np.abs(left).max() < 1e-8 * max(1, np.abs(F.T @ Y).max())


@pytest.mark.parametrize("ridge", [1e-9, 0.1, 100.0, 1e9])
def test_the_intercept_is_not_penalized(ridge):
    """Targets about 1,000: the same as scikit-learn's on the same states."""
    X = series()
    Y = targets_of(X) + [1000, 0, -1e6]
    network = EchoStateNetwork(**(SMALL | {"ridge": ridge}), warmup=50).fit(X, Y)
    F = features_of(network, X)
    expected = F @ peer(F[50:], Y[50:], ridge).T
    np.testing.assert_allclose(network.predict(X), expected, rtol=1e-9, atol=1e-6)
    assert network.ridge_ == ridge


def test_inputs_far_from_zero():
    """Their squares are no larger than those of what moves; a constant one changes nothing."""
    X, Y = series(), targets_of(series())
    far = EchoStateNetwork(**(SMALL | {"input_scale": 1e-9}))
    offset = np.array([1e7, -3e6])
    far.fit(X + offset, Y)
    plain = EchoStateNetwork(**(SMALL | {"input_scale": 1e-9})).fit(X, Y)
    np.testing.assert_allclose(far.Wout_[:, 1:3], plain.Wout_[:, 1:3], rtol=1e-3, atol=1e-4)
    constant = np.hstack([X, np.full((300, 1), 1e5)])
    moved = EchoStateNetwork(**SMALL).fit(constant, Y)
    assert np.abs(moved.Wout_[:, 3]).max() == 0


@pytest.mark.parametrize("ridge", [1e-3, 5.0])
def test_missing_targets_are_left_out_for_each_output(ridge):
    F, Y = rows(60)
    gaps = Y.copy()
    gaps[5:15], gaps[30:40, 0], gaps[50:, 1] = np.nan, np.nan, np.nan
    sums = Ridge(5, 2)
    for start in range(0, 60, 13):
        sums.add(F[start : start + 13], gaps[start : start + 13])
    found = sums.solve(ridge)
    for k in range(2):
        known = ~np.isnan(gaps[:, k])
        np.testing.assert_allclose(found[k], peer(F[known], Y[known, k : k + 1], ridge)[0],
                                   rtol=1e-9)


def test_rows_without_a_target_are_no_rows():
    """The same bits."""
    F, Y = rows(60)
    Y[20:33] = np.nan
    one, other, weighted = Ridge(5, 2), Ridge(5, 2), Ridge(5, 2)
    one.add(F, Y)
    known = ~np.isnan(Y[:, 0])
    other.add(F[known], Y[known])
    weighted.add(F, np.nan_to_num(Y), known.astype(float))
    np.testing.assert_array_equal(one.solve(0.1), other.solve(0.1))
    np.testing.assert_allclose(weighted.solve(0.1), other.solve(0.1), rtol=1e-9)


def test_weights_of_rows():
    F, Y = rows(60)
    weights = np.random.default_rng(2).uniform(0, 3, 60)
    weights[::7] = 0
    sums = Ridge(5, 2)
    for part in (slice(0, 23), slice(23, 60)):
        sums.add(F[part], Y[part], weights[part])
    np.testing.assert_allclose(sums.solve(2.0), peer(F, Y, 2.0, weights), rtol=1e-9)
    gaps = Y.copy()
    gaps[10:20, 1] = np.nan
    sums = Ridge(5, 2)
    sums.add(F, gaps, weights)
    known = ~np.isnan(gaps[:, 1])
    np.testing.assert_allclose(sums.solve(2.0)[1:], peer(
        F[known], Y[known, 1:], 2.0, weights[known]), rtol=1e-9)


def test_sums_go_on():
    """Solved, added to, and solved again."""
    F, Y = rows(60)
    sums = Ridge(5, 2)
    sums.add(F[:40], Y[:40])
    np.testing.assert_allclose(sums.solve(0.5), peer(F[:40], Y[:40], 0.5), rtol=1e-9)
    sums.add(F[40:], Y[40:])
    np.testing.assert_allclose(sums.solve(0.5), peer(F, Y, 0.5), rtol=1e-9)


# ---- what the readout reads, noise ----


@pytest.mark.parametrize("feedback", [False, True])
@pytest.mark.parametrize("ridge", [1e-3, "auto"])
def test_a_readout_of_states_alone(feedback, ridge):
    X, Y = series() + 0.5, targets_of(series())
    network = EchoStateNetwork(**(SMALL | {"ridge": ridge}), feedback=feedback,
                               input_to_readout=False).fit(X, Y)
    back = np.concatenate([np.zeros((1, 3)), Y[:-1]]) if feedback else None
    F = np.delete(features_of(network, X, back), [1, 2], axis=1)
    W = peer(F[100:], Y[100:], network.ridge_)
    assert not network.Wout_[:, 1:3].any()
    found = network.predict(X, **({"teacher": Y} if feedback else {}))
    np.testing.assert_allclose(found[100:], F[100:] @ W.T, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_noise_in_fit(dtype):
    """Of states and feedback, by hand: it is drawn after the weights."""
    X, Y = series(), targets_of(series())
    plain = SMALL | {"dtype": dtype, "start": "zero", "feedback": True}
    settings = plain | {"noise": 0.1, "feedback_noise": 0.2}
    network, without = (EchoStateNetwork(**each).fit(X, Y) for each in (settings, plain))
    np.testing.assert_array_equal(network.Win_, without.Win_)
    assert np.abs(network.Wout_ - without.Wout_).max() > 1e-3
    np.testing.assert_array_equal(EchoStateNetwork(**settings).fit(X, Y).Wout_, network.Wout_)
    other = EchoStateNetwork(**settings, seed=1).fit(X, Y)
    assert not np.array_equal(other.Wout_, network.Wout_)

    rng = np.random.default_rng(0)
    draw(45, 2, 3, rng, dtype, spectral_radius=0.9, leak_rate=0.6, input_scale=1.0, density=0.2,
         bias_scale=0.3)
    seed = rng.integers(2**63)
    inside, back = (np.random.default_rng([seed, i]).standard_normal((300, n))
                    for i, n in enumerate((45, 3)))
    inside, back = 0.1 * inside, Y + 0.2 * back
    W, x, y, found = network.W_.toarray().astype(float), np.zeros(45), np.zeros(3), []
    for t in range(300):
        z = network.Win_ @ X[t] + W @ x + network.b_ + network.Wfb_ @ y + inside[t]
        x, y = 0.4 * x + 0.6 * np.tanh(z), back[t]
        found.append(np.concatenate([[1], X[t], x]))
    expected = peer(np.array(found)[100:], Y[100:], 1e-3)
    np.testing.assert_allclose(network.Wout_, expected, atol=1e-8 if dtype == "float64" else 1e-3)


def test_noise_is_the_same_when_the_series_is_read_again():
    """The chosen ridge is that of the noisy rows which were summed: it is as large as they ask."""
    X, Y = series(), targets_of(series())
    for seed in (None, 0):
        network = EchoStateNetwork(**SMALL | {"noise": 0.3, "seed": seed, "ridge": "auto"})
        assert 1e-2 < network.fit(X, Y).ridge_ < 1e2


def test_a_fit_in_blocks_reads_the_same():
    """Noise, feedback and the states alone."""
    X, Y = series(), targets_of(series())
    settings = SMALL | {"noise": 0.1, "feedback_noise": 0.2, "feedback": True,
                        "input_to_readout": False}
    whole, parts = EchoStateNetwork(**settings).fit(X, Y), EchoStateNetwork(**settings)
    for part in (slice(0, 150), slice(150, 170), slice(170, 300)):
        parts.partial_fit(X[part], Y[part])
    np.testing.assert_allclose(parts.Wout_, whole.Wout_, atol=1e-7)


# ---- cross-validation over time ----


def folds_of(n):
    """Neighbouring rows, as many in each fold as a power of two, in at most ten folds."""
    size = 1
    while -(-n // size) > 10:
        size *= 2
    return [np.arange(start, min(n, start + size)) for start in range(0, n, size)]


def left_out(F, Y, ridge, weights=None):
    """The weighted squared errors of each fold in scikit-learn's fit on all others, as fractions of
    the spread of the targets, summed over outputs."""
    w, errors = np.ones(len(Y)) if weights is None else weights, 0
    for k in range(Y.shape[1]):
        known = ~np.isnan(Y[:, k]) & (w > 0)
        mean = np.average(Y[known, k], weights=w[known])
        spread = (w[known] * (Y[known, k] - mean) ** 2).sum()
        for fold in folds_of(len(Y)):
            test, train = fold[known[fold]], np.setdiff1d(np.flatnonzero(known), fold)
            if len(test):
                W = peer(F[train], Y[train, k : k + 1], ridge, w[train])[0]
                errors += (w[test] * (Y[test, k] - F[test] @ W) ** 2).sum() / spread
    return errors


@pytest.mark.parametrize("n", [7, 24, 100, 161])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("gaps", [False, True])
def test_errors_of_folds_are_those_of_refits(gaps, weighted, n):
    F, Y = rows(n, M=9)
    Y += 2 * np.random.default_rng(1).normal(size=(n, 2))
    weights = np.random.default_rng(2).uniform(0.1, 3, n) if weighted else None
    if gaps:
        Y[3:6], Y[n // 3 : n // 2, 0] = np.nan, np.nan
        if weighted:
            weights[n // 2 : n // 2 + 3] = 0
    sums = Ridge(10, 2, folded=True)
    for part in (slice(0, 5), slice(5, 6), slice(6, n)):
        sums.add(F[part], Y[part], None if weights is None else weights[part])
    assert [fold.rows for fold in sums._folds] == [len(fold) for fold in folds_of(n)]
    assert min(n, 5) <= len(sums._folds) <= 10
    ridges = np.array([0.01, 1.0, 30.0])
    found = sum(_left_out(folds, total(folds), ridges) for _, folds in sums._by_outputs())
    np.testing.assert_allclose(found, [left_out(F, Y, r, weights) for r in ridges], rtol=1e-8)
    if n < len(F[0]):
        return  # nearly all ridges err as much
    chosen = sums.choose()
    below, error, above = (left_out(F, Y, chosen * factor, weights)
                           for factor in (10 ** (-1 / 3), 1, 10 ** (1 / 3)))
    assert error <= below * (1 + 1e-6) and error < above  # the largest where it is flat
    plain = Ridge(10, 2)
    plain.add(F, Y, weights)
    np.testing.assert_allclose(sums.solve(chosen), plain.solve(chosen), rtol=1e-9)


def test_the_same_ridge_as_scikit_learn_s_search():
    """Over the same folds, with one output; the network's states."""
    X = series(400)
    y = targets_of(X)[:, 0] + 0.3 * np.random.default_rng(1).normal(size=400)
    network = EchoStateNetwork(**(SMALL | {"ridge": "auto"})).fit(X, y)
    F = features_of(network, X)[100:, 1:]
    near = network.ridge_ * 10 ** (np.arange(-9, 10) / 3)
    number = np.concatenate([np.full(len(fold), i) for i, fold in enumerate(folds_of(300))])
    with one_thread():
        search = GridSearchCV(Peer(solver="svd"), {"alpha": near}, scoring=total_error,
                              cv=PredefinedSplit(number)).fit(F, y[100:])
    assert search.best_params_["alpha"] == pytest.approx(network.ridge_)
    by_hand = EchoStateNetwork(**(SMALL | {"ridge": network.ridge_})).fit(X, y)
    np.testing.assert_allclose(network.Wout_, by_hand.Wout_, rtol=1e-9, atol=1e-12)


def total_error(model, F, y):
    """Of a fold; the mean over folds is of one row more or less."""
    return -((model.predict(F) - y) ** 2).sum()


def test_neighbours_that_are_alike():
    """A short noisy series: the chosen ridge errs hardly more than the best one, and less than the
    one that leaves out one row at a time (RidgeCV)."""
    errors = []
    for seed in range(6):
        rng, x = np.random.default_rng(seed), np.zeros(1201)
        for t in range(2, len(x)):
            x[t] = 1.5 * x[t - 1] - 0.7 * x[t - 2] + 0.35 * rng.normal()
        X, y = x[:-1, None], x[1:]
        network = EchoStateNetwork(200, seed=seed, bias_scale=0.2, ridge="auto", leak_rate=0.7)
        F = features_of(network.fit(X[:200], y[:200]), X)
        train, test, ridges = slice(100, 200), slice(200, None), 10.0 ** np.arange(-12, 4)
        alone = RidgeCV(ridges).fit(F[train, 1:], y[train]).alpha_
        W = [peer(F[train], y[train, None], ridge)[0] for ridge in [*ridges, alone, network.ridge_]]
        squares = ((y[test] - W @ F[test].T) ** 2).mean(axis=1)
        errors.append([squares[:-2].min(), *squares[-2:]])
    best, alone, ours = np.mean(errors, axis=0)
    assert ours < 1.1 * best and ours < 0.95 * alone


def test_a_chosen_ridge_helps():
    """Noise: more of it takes a larger ridge, and the chosen one errs less than the default."""
    X, fresh = series(400), series(2000, seed=5)
    noise = np.random.default_rng(1).normal(size=(400, 3))
    chosen, scores = [], []
    for size in (0.0, 0.1, 1.0):
        Y = targets_of(X) + size * noise
        network = EchoStateNetwork(**(SMALL | {"units": 150, "ridge": "auto"})).fit(X, Y)
        plain = EchoStateNetwork(**(SMALL | {"units": 150, "ridge": 1e-6})).fit(X, Y)
        chosen.append(network.ridge_)
        scores.append([n.score(fresh, targets_of(fresh)) for n in (network, plain)])
    assert chosen[0] < chosen[1] < chosen[2]
    assert scores[2][0] > scores[2][1] + 0.1 and scores[0][0] > scores[0][1] - 0.01


def test_features_that_never_move():
    X = np.ones((200, 1))
    network = EchoStateNetwork(20, density=0.5, ridge="auto", spectral_radius=0.0)
    network.fit(X, np.arange(200.0))
    assert network.predict(X)[150] == pytest.approx(149.5)  # the mean behind the warm-up


# ---- bad input ----


@pytest.mark.parametrize("kind", ["twice", "sum", "short", "constant"])
def test_a_ridge_of_zero_on_a_singular_sum(kind):
    F, Y = rows(50, M=9)
    if kind == "twice":
        F = np.hstack([F, F[:, 3:4] * 7])
    elif kind == "sum":
        F = np.hstack([F, F.sum(axis=1, keepdims=True)])
    elif kind == "short":
        F, Y = F[:7], Y[:7]
    else:
        F = np.hstack([F, np.full((50, 1), 0.37)])
    sums = Ridge(F.shape[1], 2)
    sums.add(F, Y)
    with pytest.raises(ValueError, match="ridge=0 is too small.*a larger one, such as") as error:
        sums.solve(0)
    larger = float(str(error.value).split()[-1])
    np.testing.assert_allclose(sums.solve(larger), peer(F, Y, larger), rtol=1e-2, atol=1e-2)


def test_a_ridge_of_zero_where_it_is_enough():
    F, Y = rows(50, M=9)
    sums = Ridge(10, 2)
    sums.add(F, Y)
    np.testing.assert_allclose(sums.solve(0), np.linalg.lstsq(F, Y, rcond=None)[0].T, rtol=1e-9)


@pytest.mark.parametrize("ridge", [1e-6, "auto"])
def test_squares_beyond_all_numbers(ridge):
    X, Y = series(), targets_of(series())
    for x, y in ((X * 1e200, Y), (X, Y * 1e200)):
        with pytest.raises(ValueError, match="beyond all numbers: scale them"):
            EchoStateNetwork(20, density=0.5, ridge=ridge).fit(x, y)


@pytest.mark.parametrize("ridge", [1e-6, "auto"])
def test_no_target_behind_the_warm_up(ridge):
    X, Y = series(), targets_of(series())
    Y[100:, 1] = np.nan
    with pytest.raises(ValueError, match="output 1 has no known target behind the warm-up"):
        EchoStateNetwork(20, density=0.5, ridge=ridge).fit(X, Y)


@pytest.mark.parametrize(("ridge", "error", "message"), [
    ("atuo", TypeError, 'ridge must be a number or "auto", not \'atuo\''),
    (None, TypeError, "ridge must be a number"), (-1, ValueError, "ridge")])
def test_bad_ridges(ridge, error, message):
    with pytest.raises(error, match=message):
        EchoStateNetwork(20, ridge=ridge).fit(series(), series())
