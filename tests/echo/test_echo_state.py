"""Echo state networks as scikit-learn's users meet them."""

import copy
import json
import pickle
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import fastrnn
from fastrnn import EchoStateNetwork
from fastrnn.checks import reference

DTYPES = pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-9), ("float32", 5e-3)])
SMALL = {"units": 45, "leak_rate": 0.6, "bias_scale": 0.3, "density": 0.2, "ridge": 1e-3,
         "start": "zero"}


def series(T=300, D=2, seed=0):
    rng = np.random.default_rng(seed)
    phases, speeds = rng.uniform(0, 6, D), rng.uniform(0.2, 0.9, D)
    return np.sin(speeds * np.arange(T)[:, None] + phases) + 0.1 * rng.normal(size=(T, D))


def targets_of(X):
    """Three numbers a step that depend on the steps before."""
    before = np.concatenate([np.zeros((2, X.shape[1])), X])[:-2]
    return np.stack([X[:, 0] * before[:, 0], before[:, -1], X.sum(axis=1) ** 2], axis=1)


def by_hand(network, X, y=None):
    """States (T, units), by reference.py."""
    back = {} if y is None else {"Wfb": network.Wfb_, "y": y[None]}
    return reference.esn_forward(
        X[None], np.zeros((1, len(network.b_))), network.W_.toarray().astype(float),
        network.Win_, network.b_, network.leak_rate, **back)[0]


def features_of(network, X, y=None):
    return np.hstack([np.ones((len(X), 1)), X, by_hand(network, X, y)])


# ---- what it computes ----


def test_states():
    X = series()
    network = EchoStateNetwork(**SMALL)
    drawn = network.states(X)  # before the fit, of the reservoir that it will draw
    network.fit(X, targets_of(X))
    np.testing.assert_array_equal(network.states(X), drawn)
    np.testing.assert_allclose(drawn, by_hand(network, X), atol=1e-12)
    assert drawn.shape == (300, 45) and network.n_features_in_ == 2


@DTYPES
@pytest.mark.parametrize("several", [False, True])
def test_the_readout_is_ridge_regression(dtype, tolerance, several):
    """Of [1; u; x] behind the warm-up of each series, and of targets fed back where asked for."""
    parts = [series(300, seed=1), series(170, seed=2)] if several else [series(300, seed=1)]
    targets = [targets_of(X) for X in parts]
    for feedback in (False, True):
        network = EchoStateNetwork(**SMALL, feedback=feedback, dtype=dtype, warmup=50)
        network.fit(*((parts, targets) if several else (parts[0], targets[0])))
        rows, wanted = [], []
        for X, Y in zip(parts, targets, strict=True):
            back = np.concatenate([np.zeros((1, 3)), Y[:-1]]) if feedback else None
            rows.append(features_of(network, X, back)[50:])
            wanted.append(Y[50:])
        F, Y = np.concatenate(rows), np.concatenate(wanted)
        penalty = np.sqrt(1e-3) * np.eye(F.shape[1])[1:]  # of all but the constant
        stacked = np.vstack([F, penalty])  # as least squares
        zeros = np.zeros((len(penalty), 3))
        expected = np.linalg.lstsq(stacked, np.vstack([Y, zeros]), rcond=None)[0].T
        assert network.Wout_.shape == (3, 1 + 2 + 45) and network.Wout_.dtype == dtype
        assert np.linalg.norm(network.Wout_ - expected) < tolerance * np.linalg.norm(expected)


@pytest.mark.parametrize("T", [300, 5000, 12_001])
def test_blocks_make_no_difference(monkeypatch, T):
    from fastrnn.echo import reservoir

    X = series(T)
    whole = EchoStateNetwork(**SMALL, warmup=130).fit(X, targets_of(X))
    monkeypatch.setattr(reservoir, "BLOCK", 45 * 64)
    parts = EchoStateNetwork(**SMALL, warmup=130).fit(X, targets_of(X))
    np.testing.assert_allclose(parts.Wout_, whole.Wout_, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(parts.predict(X), whole.predict(X), atol=1e-8)


def test_predictions():
    X = series()
    network = EchoStateNetwork(**SMALL).fit(X, targets_of(X))
    fresh = series(120, seed=4)
    expected = features_of(network, fresh) @ network.Wout_.T
    np.testing.assert_allclose(network.predict(fresh), expected, atol=1e-10)
    both = network.predict([fresh, X])
    np.testing.assert_array_equal(both[0], network.predict(fresh))
    np.testing.assert_array_equal(both[1], network.predict(X))
    stacked = network.predict(np.stack([fresh, fresh]))
    assert isinstance(both, list) and stacked.shape == (2, 120, 3)
    np.testing.assert_array_equal(stacked[1], both[0])


def test_predictions_with_feedback_read_their_own_outputs():
    X = series()
    network = EchoStateNetwork(**SMALL, feedback=True, input_scale=0.5).fit(X, targets_of(X))
    fresh, x, y, expected, states = series(60, seed=4), np.zeros(45), np.zeros(3), [], []
    W = network.W_.toarray().astype(float)
    for u in fresh:
        x = 0.4 * x + 0.6 * np.tanh(network.Win_ @ u + W @ x + network.b_ + network.Wfb_ @ y)
        y = network.Wout_ @ np.concatenate([[1], u, x])
        states.append(x)
        expected.append(y)
    np.testing.assert_allclose(network.predict(fresh), expected, atol=1e-9)
    np.testing.assert_allclose(network.states(fresh), states, atol=1e-9)


@pytest.mark.parametrize("feedback", [False, True])
def test_a_free_run_reads_its_own_outputs(feedback):
    X = series()
    network = EchoStateNetwork(**SMALL, feedback=feedback).fit(X[:-1], X[1:])
    x, y, expected = np.zeros(45), np.zeros(2), []
    W = network.W_.toarray().astype(float)
    for t in range(40 + 25):
        u = X[t] if t < 40 else y
        back = network.Wfb_ @ y if feedback else 0
        x = 0.4 * x + 0.6 * np.tanh(network.Win_ @ u + W @ x + network.b_ + back)
        y = network.Wout_ @ np.concatenate([[1], u, x])
        expected.append(y)
    found = network.generate(26, X[:40])
    np.testing.assert_allclose(found, expected[39:], atol=1e-9)
    np.testing.assert_array_equal(network.generate(1, X[:40]), found[:1])
    several = network.generate(26, [X[:30], X[:40]])
    np.testing.assert_array_equal(several[1], found)


def teacher_forced(network, X, known):
    """Outputs step by step; fed back are the known ones, then the network's own."""
    x, y, out = np.zeros(len(network.b_)), np.zeros(len(network.Wout_)), []
    W, a = network.W_.toarray().astype(float), network.leak_rate
    for t, u in enumerate(X):
        x = (1 - a) * x + a * np.tanh(
            network.Win_ @ u + W @ x + network.b_ + network.Wfb_ @ y)
        out.append(network.Wout_ @ np.concatenate([[1], u, x]))
        y = known[t] if t < len(known) else out[-1]
    return np.array(out)


@pytest.mark.parametrize("t", [1, 37, 60])
def test_known_outputs_are_fed_back(t):
    X = series()
    network = EchoStateNetwork(**SMALL, feedback=True, input_scale=0.5).fit(X, targets_of(X))
    fresh = series(60, seed=4)
    known = targets_of(fresh)[:t] + 0.1
    expected = teacher_forced(network, fresh, known)
    np.testing.assert_allclose(network.predict(fresh, teacher=known), expected, atol=1e-9)
    several = network.predict([X, fresh], teacher=[known[:5], known])
    np.testing.assert_array_equal(several[1], network.predict(fresh, teacher=known))
    np.testing.assert_allclose(several[0], teacher_forced(network, X, known[:5]), atol=1e-9)


def test_a_series_is_continued_where_its_inputs_say_nothing():
    """The known outputs are the warm-up of a network that reads a constant."""
    t = np.arange(1200)
    y, one = np.sin(0.2 * t) * np.cos(0.031 * t), np.ones((1200, 1))
    network = EchoStateNetwork(200, feedback=True, input_scale=0.5, bias_scale=0.2, seed=1)
    network.fit(one[:1100], y[:1100])
    found = network.predict(one, teacher=y[:1100])
    expected = teacher_forced(network, one, y[:1100, None])[:, 0]
    np.testing.assert_allclose(found[100:1120], expected[100:1120], atol=1e-6)
    assert np.sqrt(np.mean((found[1100:] - y[1100:]) ** 2)) < 0.1 * y.std()
    np.testing.assert_array_equal(
        network.generate(100, one[:1100], teacher=y[:1100], future=one[1100:]), found[1100:])
    with pytest.raises(ValueError, match="no next inputs.*outputs of the warm-up as teacher, and"):
        network.generate(100, one[:1100])


def test_a_free_run_after_known_outputs():
    X = series()
    network = EchoStateNetwork(**SMALL, feedback=True).fit(X[:-1], X[1:])
    x, y, W = np.zeros(45), np.zeros(2), network.W_.toarray().astype(float)
    expected = []
    for t in range(65):
        u = X[t] if t < 40 else y
        x = 0.4 * x + 0.6 * np.tanh(network.Win_ @ u + W @ x + network.b_ + network.Wfb_ @ y)
        expected.append(network.Wout_ @ np.concatenate([[1], u, x]))
        y = X[t + 1] if t < 39 else expected[-1]
    np.testing.assert_allclose(network.generate(26, X[:40], teacher=X[1:40]), expected[39:],
                               atol=1e-9)


def test_what_a_teacher_must_be():
    X = series()
    plain, fed = EchoStateNetwork(**SMALL), EchoStateNetwork(**SMALL, feedback=True)
    plain.fit(X, targets_of(X)), fed.fit(X, targets_of(X))
    with pytest.raises(ValueError, match="teacher is for a network with feedback=True"):
        plain.predict(X, teacher=targets_of(X))
    for teacher, message in ((X, "teacher has 2 numbers a step, and the network 3 outputs"),
                             (np.ones((301, 3)), "teacher has 301 steps and its series 300"),
                             (np.full((4, 3), np.nan), "teacher contains NaN at step 0: its "
                              "outputs are all known, so fill it, or end it before"),
                             (np.ones((2, 4, 3)), "teacher")):
        with pytest.raises(ValueError, match=message):
            fed.predict(X, teacher=teacher)
    with pytest.raises(ValueError, match="X is a list of 2 series: give teacher as a list"):
        fed.predict([X, X], teacher=np.ones((4, 3)))


def test_targets_of_one_number():
    X = series()
    y = targets_of(X)[:, 0]
    flat, column = (EchoStateNetwork(**SMALL).fit(X, Y) for Y in (y, y[:, None]))
    assert flat.predict(X).shape == (300,) and column.predict(X).shape == (300, 1)
    np.testing.assert_array_equal(flat.predict(X), column.predict(X)[:, 0])
    assert flat.predict([X, X])[1].shape == (300,)
    one = EchoStateNetwork(**SMALL).fit(X[:-1, :1], X[1:, 0])
    assert one.generate(7, X[:50, :1]).shape == (7,)
    several = EchoStateNetwork(**SMALL).fit([X, X], [y, y])
    assert several.predict(X).shape == (300,)


@pytest.mark.parametrize("warmup", [None, 0, 40])
def test_score(warmup):
    from sklearn.metrics import r2_score

    parts = [series(300, seed=1), series(200, seed=2)]
    targets = [targets_of(X) for X in parts]
    network = EchoStateNetwork(**SMALL, warmup=30).fit(parts, targets)
    skip = 30 if warmup is None else warmup
    expected = r2_score(np.concatenate([Y[skip:] for Y in targets]),
                        np.concatenate([network.predict(X)[skip:] for X in parts]))
    found = network.score(parts, targets, **({} if warmup is None else {"warmup": warmup}))
    assert found == pytest.approx(expected, rel=1e-12)
    assert 0.5 < found < 1


def test_score_after_known_outputs():
    """They are fed back as in predict, for one series and for several."""
    from sklearn.metrics import r2_score

    X, other, network = series(), series(200, seed=1), EchoStateNetwork(**SMALL, feedback=True)
    Y, more = targets_of(X), targets_of(other)
    network.fit(X, Y)
    for teacher in (Y, Y[:120]):
        found = network.predict(X, teacher=teacher)
        assert network.score(X, Y, 30, teacher=teacher) == pytest.approx(
            r2_score(Y[30:], found[30:]), rel=1e-9)
    both = [network.predict(X, teacher=Y), network.predict(other, teacher=more[:5])]
    assert network.score([X, other], [Y, more], 0, teacher=[Y, more[:5]]) == pytest.approx(
        r2_score(np.concatenate([Y, more]), np.concatenate(both)), rel=1e-9)
    assert network.score(X, Y, teacher=Y) > network.score(X, Y) + 0.01
    with pytest.raises(ValueError, match="teacher has 2 numbers a step"):
        network.score(X, Y, teacher=X)


def test_score_of_what_never_moves():
    from sklearn.metrics import r2_score

    X = series()
    network = EchoStateNetwork(**SMALL).fit(X, np.ones(300))
    for value, expected in ((1, 1), (2, 0)):  # not -inf
        y = np.full(300, value)
        assert network.score(X, y) == r2_score(y[100:], network.predict(X)[100:]) == expected


def test_missing_targets():
    """NaN, or masked: read, but neither fitted nor scored, for each output by itself."""
    X, Y = series(), targets_of(series())
    gaps = Y.copy()
    gaps[120:150], gaps[200:260, 1] = np.nan, np.nan
    masked = np.ma.array(np.where(np.isnan(gaps), 1e9, Y), mask=np.isnan(gaps))
    network = EchoStateNetwork(**SMALL).fit(X, gaps)
    F = features_of(network, X)
    for k in range(3):
        rows = np.flatnonzero(~np.isnan(gaps[:, k]))[100:]
        f = F[rows] - F[rows].mean(axis=0)
        W = np.linalg.solve(f.T @ f + 1e-3 * np.eye(48), f.T @ (Y[rows, k] - Y[rows, k].mean()))
        np.testing.assert_allclose(network.predict(X)[:, k],
                                   Y[rows, k].mean() + (F - F[rows].mean(axis=0)) @ W, atol=1e-8)
    for other in (masked, list(masked)):
        np.testing.assert_array_equal(
            EchoStateNetwork(**SMALL).fit(X, other).Wout_, network.Wout_)
    both = EchoStateNetwork(**SMALL).fit([X, X[:130]], [masked, masked[:130]])
    np.testing.assert_array_equal(
        both.Wout_, EchoStateNetwork(**SMALL).fit([X, X[:130]], [gaps, gaps[:130]]).Wout_)
    ratio = [np.nansum((gaps - network.predict(X))[100:, k] ** 2)
             / np.nansum((gaps - np.nanmean(gaps[100:], axis=0))[100:, k] ** 2) for k in range(3)]
    assert network.score(X, gaps) == pytest.approx(1 - np.mean(ratio), rel=1e-12)
    assert network.score(X, masked) == network.score(X, gaps)
    with pytest.raises(ValueError, match="no known target"):
        network.score(X, np.full((300, 3), np.nan))
    with pytest.raises(ValueError, match="X has masked entries .1 of 600."):
        network.fit(np.ma.array(X, mask=np.arange(600).reshape(300, 2) == 7), Y)


def test_missing_targets_are_no_feedback():
    """Where one is missing the last known one is fed back, and 0 before the first."""
    X, Y = series(), targets_of(series())
    gaps = Y.copy()
    gaps[:9], gaps[120:150, 1] = np.nan, np.nan
    filled = gaps.copy()
    filled[:9], filled[120:150, 1] = 0, gaps[119, 1]
    network = EchoStateNetwork(**SMALL, feedback=True).fit(X, gaps)
    F = features_of(network, X, np.concatenate([np.zeros((1, 3)), filled[:-1]]))
    rows = ~np.isnan(gaps[:, 1])
    rows[:100] = False
    f, y = F[rows] - F[rows].mean(axis=0), Y[rows, 1] - Y[rows, 1].mean()
    W = np.linalg.solve(f.T @ f + 1e-3 * np.eye(48), f.T @ y)
    np.testing.assert_allclose(network.Wout_[1, 1:], W[1:], atol=1e-8)


def test_both_precisions_agree():
    X = series()
    wide, narrow = (EchoStateNetwork(**SMALL, dtype=dtype).fit(X, targets_of(X))
                    for dtype in ("float64", "float32"))
    assert narrow.states(X).dtype == narrow.predict(X).dtype == np.float32
    np.testing.assert_allclose(narrow.predict(X), wide.predict(X), atol=2e-3)


def test_it_learns():
    """A delay and a product, from noise: R^2 of a fresh series."""
    rng = np.random.default_rng(0)
    X, fresh = rng.uniform(-1, 1, (3000, 1)), rng.uniform(-1, 1, (1000, 1))

    def memory(u):
        return np.stack([np.roll(u[:, 0], 5), np.roll(u[:, 0], 1) * np.roll(u[:, 0], 2)], axis=1)

    network = EchoStateNetwork(200, input_scale=0.5, bias_scale=0.5).fit(X, memory(X))
    assert network.score(fresh, memory(fresh)) > 0.95


# ---- memory, threads ----


def test_a_long_series_needs_no_array_of_its_states():
    X = series(60_000, 1)
    network = EchoStateNetwork(200, density=0.05)
    tracemalloc.start()
    network.fit(X[:-1], X[1:])
    network.predict(X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 25e6  # all states are 96 MB


def test_networks_side_by_side():
    """Threads of the caller's give what one after another gives, and run at the same time."""
    X = series(2000, 1)
    grid = [{"units": units, "leak_rate": leak} for units in (50, 700) for leak in (0.3, 0.9)]

    def run(params):
        network = EchoStateNetwork(**params).fit(X[:-1], X[1:])
        return network.score(X[:-1], X[1:]), network.generate(5, X[:200])

    alone = [run(params) for params in grid]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(run, grid))
    for (score, y), (other, z) in zip(alone, together, strict=True):
        assert score == other
        np.testing.assert_array_equal(y, z)


def test_the_interpreter_is_free_while_a_reservoir_runs():
    network = EchoStateNetwork(1500).fit(series(200, 1)[:-1], series(200, 1)[1:])
    X, counted, done = series(3000, 1), 0, threading.Event()
    worker = threading.Thread(target=lambda: (network.states(X), done.set()))
    worker.start()
    while not done.wait(1e-3):
        counted += 1
    worker.join()
    assert counted > 3  # with the lock held it would be 0 or 1


# ---- scikit-learn's conventions ----


def test_parameters():
    network = EchoStateNetwork(100, leak_rate=0.5)
    assert network.get_params() == {
        "units": 100, "spectral_radius": 0.9, "leak_rate": 0.5, "input_scale": 1.0, "density": 0.1,
        "bias_scale": 0.0, "feedback": False, "ridge": 1e-6, "seed": 0, "dtype": "float64",
        "warmup": 100, "start": "repeat", "random_state": None, "input_to_readout": True,
        "noise": 0.0, "feedback_noise": 0.0, "W": None, "Win": None, "bias": None, "Wfb": None}
    assert network.set_params(units=7, seed=None) is network
    assert (network.units, network.seed) == (7, None)
    with pytest.raises(ValueError, match="did you mean 'leak_rate'"):
        network.set_params(leek_rate=0.1)
    assert repr(network) == "EchoStateNetwork(units=7, leak_rate=0.5, seed=None)"


def test_scikit_learn():
    from sklearn.base import clone, is_regressor
    from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.utils.validation import NotFittedError, check_is_fitted

    X = series(600)
    network = EchoStateNetwork(**SMALL).fit(X, targets_of(X))
    other = clone(network)
    assert other is not network and other.get_params() == network.get_params()
    assert is_regressor(network)
    check_is_fitted(network)
    with pytest.raises(NotFittedError):
        check_is_fitted(other)
    odd = object()  # neither copied nor checked before fit
    assert EchoStateNetwork(units=odd).get_params()["units"] is odd

    search = GridSearchCV(EchoStateNetwork(**SMALL), {"input_scale": [0.0, 1.0]},
                          cv=TimeSeriesSplit(2, test_size=150), n_jobs=2).fit(X, targets_of(X))
    assert search.best_params_ == {"input_scale": 1.0}
    pipeline = make_pipeline(StandardScaler(), EchoStateNetwork(**SMALL)).fit(X, X[:, 0])
    scaled = (X - X.mean(axis=0)) / X.std(axis=0)
    np.testing.assert_allclose(
        pipeline.predict(X), EchoStateNetwork(**SMALL).fit(scaled, X[:, 0]).predict(scaled))


@pytest.mark.parametrize("feedback", [False, True])
def test_copies_and_other_processes(feedback):
    """joblib pickles estimators and hands out read-only arrays; files are never pickled."""
    X = series()
    network = EchoStateNetwork(**SMALL, feedback=feedback).fit(X, X)
    expected = network.predict(X)
    for other in (pickle.loads(pickle.dumps(network)), copy.deepcopy(network)):
        np.testing.assert_array_equal(other.predict(X), expected)
    fixed = X.copy()
    fixed.setflags(write=False)
    np.testing.assert_array_equal(
        EchoStateNetwork(**SMALL, feedback=feedback).fit(fixed, fixed).predict(fixed), expected)
    np.testing.assert_array_equal(network.states(fixed), network.states(X))
    with pytest.raises(ValueError, match="read-only"):
        network.Win_[:] = 0  # the kernels would not see it


def test_numpy_s_numbers_are_parameters_too(tmp_path):
    X = series()
    network = EchoStateNetwork(np.int64(45), leak_rate=np.float32(0.5), feedback=np.bool_(True),
                               seed=np.uint8(3), dtype=np.float32, density=np.array(0.25)).fit(X, X)
    network.set_params(units=object())  # what is saved is what was fitted
    network.save(tmp_path / "network.safetensors")
    other = EchoStateNetwork.load(tmp_path / "network.safetensors")
    assert other.get_params() == EchoStateNetwork(
        45, leak_rate=0.5, feedback=True, seed=3, dtype="float32", density=0.25).get_params()
    np.testing.assert_array_equal(other.predict(X), network.predict(X))
    assert repr(EchoStateNetwork(ridge=np.array([1, 2]))) == (
        "EchoStateNetwork(ridge=array([1, 2]))")


def test_seeds():
    X = series()
    one, same, other, any_, any_other = (
        EchoStateNetwork(**SMALL, seed=seed).fit(X, X).states(X) for seed in (1, 1, 2, None, None))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other) and not np.array_equal(any_, any_other)


def test_parameters_count_from_the_next_fit_on():
    X = series()
    network = EchoStateNetwork(**SMALL).fit(X, X)
    before = network.predict(X)
    network.set_params(leak_rate=0.1, dtype="float32", units=30)
    np.testing.assert_array_equal(network.predict(X), before)
    assert network.fit(X, X).states(X).shape == (300, 30)


# ---- files ----


@pytest.mark.parametrize("feedback", [False, True])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_files(tmp_path, dtype, feedback):
    X, path = series(), tmp_path / "network.safetensors"
    network = EchoStateNetwork(**SMALL, dtype=dtype, feedback=feedback, seed=None,
                               warmup=20)
    network.fit(X[:-1, :1], X[1:, 0])
    network.save(path)
    other = EchoStateNetwork.load(path)
    assert other.get_params() == network.get_params()
    for name in ("predict", "states"):
        np.testing.assert_array_equal(getattr(other, name)(X[:, :1]),
                                      getattr(network, name)(X[:, :1]))
    np.testing.assert_array_equal(other.generate(9, X[:50, :1]), network.generate(9, X[:50, :1]))
    assert other.score(X[:-1, :1], X[1:, 0]) == network.score(X[:-1, :1], X[1:, 0])
    assert (other.W_ != network.W_).nnz == 0 and other.leak_rate == 0.6
    assert other.ridge_ == 1e-3


def test_other_files(tmp_path):
    X, path = series(), tmp_path / "network.safetensors"
    network = EchoStateNetwork(**SMALL)
    with pytest.raises(ValueError, match="is not fitted yet. Call 'fit'"):
        network.save(path)
    network.fit(X, X).save(path)
    with pytest.raises(ValueError, match="echo state network.*EchoStateNetwork.load"):
        fastrnn.load(path)
    corpus = fastrnn.Corpus.from_text("to be or not to be")
    fastrnn.Model(corpus.vocabulary).save(tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="holds a model.*fastrnn.load"):
        EchoStateNetwork.load(tmp_path / "model.safetensors")
    with pytest.raises(FileNotFoundError):
        EchoStateNetwork.load(tmp_path / "nothing.safetensors")


def test_damaged_files(tmp_path):
    X, path = series(), tmp_path / "network.safetensors"
    EchoStateNetwork(**SMALL, feedback=True).fit(X, X).save(path)
    tensors, data = load_file(path), path.read_bytes()
    about = json.loads(json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
                       ["__metadata__"]["fastrnn"])

    def refuses(tensors, about=about):
        save_file(tensors, path, {"fastrnn": json.dumps(about)})
        with pytest.raises(ValueError, match="damaged"):
            EchoStateNetwork.load(path)

    for name, array in tensors.items():
        if name != "targets":  # which files of fastrnn 0.1 do not have
            refuses({key: other for key, other in tensors.items() if key != name})
        refuses(tensors | {name: array[:-1].copy()})
        refuses(tensors | {name: array.astype(np.bool_)})
        if array.dtype.kind == "f":
            refuses(tensors | {name: np.full_like(array, np.nan)})
    for wrong in (-1, 45, 2**31 - 1):
        indices = tensors["W.indices"].copy()
        indices[7] = wrong
        refuses(tensors | {"W.indices": indices})
    refuses(tensors | {"W.indptr": tensors["W.indptr"][::-1].copy()})
    network = about["echo_state_network"]
    for name in network:
        for value in (None, "x", -1, 10**12, {}):
            if not (name == "flat" or (name, value) in (
                    ("parameters", {}), ("warmup", 10**12), ("ridge", 10**12), ("given", {}))):
                refuses(tensors, about | {"echo_state_network": network | {name: value}})
        if name not in ("continues", "ridge", "given"):  # which files of fastrnn 0.1 do not have
            refuses(tensors, about | {"echo_state_network": {
                key: value for key, value in network.items() if key != name}})


# ---- bad input ----


def test_bad_series():
    X, Y = series(), targets_of(series())
    network = EchoStateNetwork(**SMALL)
    nan, infinite = X.copy(), Y.copy()
    nan[17, 1], infinite[200, 2] = np.nan, -np.inf
    for x, y, more, message in (
            (nan, Y, {}, "X contains NaN at step 17: mend"),
            ([X, nan], [Y, Y], {}, r"X\[1\] contains NaN at step 17"),
            (X, infinite, {}, "y contains infinity at step 200"),
            (X, nan[:, 1:] * np.nan, {}, "output 0 has no known target behind the warm-up"),
            (X, Y[:-1], {}, "y has 299 steps and its series 300: give one target for each"),
            ([X, X], [Y, Y[1:]], {}, r"y\[1\] has 299 steps"),
            ([X, X], [Y], {}, "X has 2 series and y 1"),
            ([X, X[:, :1]], [Y, Y], {}, r"X\[1\] has 1 numbers a step and X\[0\] 2"),
            ([X, X], [Y, Y[:, :1]], {}, r"y\[1\] has 1 numbers a step and y\[0\] 3"),
            (X[:, 0], Y, {}, r"X has the shape \(300,\).*np.reshape\(X, \(-1, 1\)\)"),
            (X[:0], Y[:0], {}, "X has no steps"), ([], [], {}, "X has no steps"),
            (np.zeros((0, 5, 2)), Y, {}, "X has no steps"),
            ([X, X[:, 0]], [Y, Y], {}, r"X\[1\] has the shape \(300,\)"),
            ([X, X], None, {}, "requires y to be passed, but the target y is None"),
            ([X, X], 5, {}, "list of 2 series: give y as a list of as many.*not as int"),
            ([X, X], Y, {}, "not as ndarray"),
            (X * 1e200, Y, {}, "squares of inputs or targets are beyond all numbers"),
            (X, Y[:, :, None], {}, "y has the shape"),
            (X, Y, {"warmup": -1}, "warmup"), (X[:0], Y, {}, "X has no steps")):
        with pytest.raises(ValueError, match=message):
            network.set_params(**{"warmup": 100, **more}).fit(x, y)
    with pytest.raises(TypeError, match="feedback must be True or False, not 'no'"):
        EchoStateNetwork(feedback="no").fit(X, Y)
    with pytest.raises(ValueError, match="Complex data not supported"):
        network.fit(X.astype(complex), Y)
    for x, y in ((X, Y.astype(str)), (X, [None] * 300), (X, [{}] * 300)):
        with pytest.raises(TypeError, match="convert it first"):
            network.fit(x, y)
    assert not hasattr(network, "Wout_")


@pytest.mark.parametrize(("name", "value"), [
    ("units", 0), ("units", -5), ("spectral_radius", -1), ("leak_rate", 0), ("leak_rate", 2),
    ("input_scale", np.nan), ("density", 0), ("density", 2), ("bias_scale", -1), ("ridge", -1e-9),
    ("ridge", np.inf), ("seed", -1), ("dtype", "float16"), ("dtype", "nonsense")])
def test_bad_parameters(name, value):
    network = EchoStateNetwork(**(SMALL | {name: value}))
    with pytest.raises(ValueError, match=name):
        network.fit(series(), series())


def test_a_spectral_radius_that_cannot_be_reached():
    with pytest.raises(ValueError, match="no weight at all.*spectral radius cannot be 0.9.*higher"):
        EchoStateNetwork(100, density=0.001).fit(series(), series())


def test_a_ridge_that_is_too_small():
    X = np.repeat(1e4 * series(300, 1), 2, axis=1)  # two inputs that are one
    network = EchoStateNetwork(**(SMALL | {"ridge": 0}))
    with pytest.raises(ValueError, match="ridge=0 is too small.*larger one, such as") as error:
        network.fit(X, X)
    larger = float(str(error.value).split()[-1])
    assert network.set_params(ridge=larger).fit(X, X).score(X, X) > 0.99


def test_what_a_fitted_network_refuses():
    X = series()
    network = EchoStateNetwork(**SMALL).fit(X, targets_of(X))
    for call, message in (
            (lambda: network.predict(X[:, :1]), "X has 1 features.* is expecting 2 features"),
            (lambda: network.states(X[:, :1]), "X has 1 features"),
            (lambda: network.score(X[:, :1], X), "X has 1 features"),
            (lambda: network.generate(5, X[:, :1]), "warmup_input has 1 features"),
            (lambda: network.step(X[0, :1]), r"x has the shape \(1,\) and must have \(N, 2\)"),
            (lambda: network.generate(5, X[:0]), "warmup_input has no steps"),
            (lambda: network.score(X, X), "y has 2 numbers a step, and the network 3"),
            (lambda: network.score(X[:100], targets_of(X[:100])),
             "100 steps, and the warm-up takes 100"),
            (lambda: network.generate(5, X), "feeds 3 outputs to 2 inputs.*next inputs"),
            (lambda: network.generate(0, X), "steps"),
            (lambda: network.predict(X[:, 0]), "reshape"),
            (lambda: network.predict(X * np.nan), "X contains NaN at step 0")):
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize("call", ["fit", "partial_fit"])
def test_fewer_steps_than_units_and_no_ridge(call):
    X = series(150)
    with pytest.raises(ValueError, match="ridge=0 is too small.*a larger one, such as"):
        getattr(EchoStateNetwork(200, ridge=0), call)(X, targets_of(X))
    chosen = getattr(EchoStateNetwork(200, ridge="auto"), call)(X, targets_of(X))
    assert chosen.ridge_ > 0 and np.isfinite(chosen.predict(X)).all()


def test_a_forecast_may_be_longer_than_its_series():
    t = np.arange(1000)
    network = EchoStateNetwork(100, ridge="auto").fit(*np.sin([0.2 * t, 0.2 * t + 0.2])[..., None])
    found = network.generate(300, np.sin(0.2 * t[:60])[:, None])[:, 0]
    np.testing.assert_allclose(found, np.sin(0.2 * np.arange(60, 360)), atol=0.05)


def test_what_an_unfitted_network_refuses():
    X, network = series(), EchoStateNetwork(**SMALL)
    for call in (lambda: network.predict(X), lambda: network.score(X, X),
                 lambda: network.generate(3, X),
                 lambda: EchoStateNetwork(**SMALL, feedback=True).states(X)):
        with pytest.raises(ValueError, match="Call 'fit'"):
            call()
    with pytest.raises(AttributeError, match="Call 'fit'"):
        _ = network.W_


def test_a_free_run_without_bounds():
    X = 1.5 ** np.arange(60)[:, None]
    network = EchoStateNetwork(20, density=0.3, ridge=1e-9, input_scale=1e-9, warmup=0)
    network.fit(X[:-1], X[1:])
    with pytest.raises(FloatingPointError, match="left all bounds at step 29, .*a larger ridge"):
        network.generate(5000, X)
