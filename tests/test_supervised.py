"""SequenceRegressor and SequenceClassifier: the tasks have known answers, and what the estimators
say is compared with the model by hand and with scikit-learn's metrics."""
import pickle
import warnings

import numpy as np
import pandas
import pytest
import sklearn
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import NotFittedError
from sklearn.metrics import accuracy_score, f1_score, log_loss, r2_score
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import fastrnn
from fastrnn import SequenceClassifier, SequenceRegressor, Sequences

pytestmark = pytest.mark.filterwarnings("ignore:the model is worse than the mean")
EXPECTED = {
    "check_sample_weight_equivalence_on_dense_data":
        "a network learns from random batches: a series twice is not one of twice the weight",
    "check_methods_subset_invariance":
        "on some processors BLAS sums a row in another order for another number of rows, and "
        "float32 has seven digits: the check asks for an error of 1e-7"}


@pytest.mark.parametrize("cls", [SequenceRegressor, SequenceClassifier])
def test_scikit_learns_checks(cls):
    check_estimator(cls(), expected_failed_checks=EXPECTED)


def pulses(n, T=16, seed=0):
    """Series of noise with a pulse up and one down: which of them comes first is the class."""
    rng = np.random.default_rng(seed)
    x, first = rng.normal(0, 0.1, (n, T)), rng.integers(0, 2, n)
    for row, up in zip(x, first, strict=True):
        a, b = np.sort(rng.choice(T, 2, replace=False))
        row[[a, b]] += [1, -1] if up else [-1, 1]
    return x, np.array(["down", "up"])[first]


def ragged(n, seed=0, D=2):
    rng = np.random.default_rng(seed)
    return [rng.normal(3, 2, (T, D)) for T in rng.integers(4, 12, n)]


def test_the_order_of_two_pulses():
    """No sum over the steps tells it: a guess is right half of the time."""
    model = SequenceClassifier(epochs=60).fit(*pulses(300))
    x, y = pulses(200, seed=1)
    assert model.score(x, y) > 0.95 and model.classes_.tolist() == ["down", "up"]
    assert model.score(x, y) == accuracy_score(y, model.predict(x))
    p = model.predict_proba(x)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(p, model.model_.predict(x[:, :, None])[:, -1], rtol=1e-5)
    assert log_loss(y, p) < 0.3
    for other in (pickle.loads(pickle.dumps(model)), clone(model).fit(*pulses(300))):
        assert np.array_equal(other.predict_proba(x), p)
    weights = np.random.default_rng(0).uniform(0, 1, len(y))
    assert model.score(x, y, weights) == pytest.approx(accuracy_score(
        y, model.predict(x), sample_weight=weights))


def test_parity_at_each_step():
    """Of ones so far, for series of different lengths: as a list of labels each."""
    rng = np.random.default_rng(0)
    X = [rng.integers(0, 2, T).astype(float) for T in rng.integers(3, 9, 200)]
    y = [np.cumsum(x).astype(int) % 2 for x in X]
    model = SequenceClassifier(epochs=60, learning_rate=1e-2).fit(X[:150], y[:150])
    assert model.score(X[150:], y[150:]) > 0.95
    found = model.predict(X[150:])
    assert [len(a) for a in found] == [len(a) for a in X[150:]]
    assert model.score(X[150:], y[150:]) == np.mean(
        np.concatenate(found) == np.concatenate(y[150:]))
    for x, p in zip(X[150:], model.predict_proba(X[150:]), strict=True):
        np.testing.assert_allclose(p, model.model_.predict(x[None, :, None])[0], rtol=1e-4,
                                   atol=1e-6)


def test_numbers_at_the_end():
    """The mean of the first feature, of lists of series, K outputs, against the model by hand."""
    X = ragged(200)
    y = np.array([[x[:, 0].mean(), x[-1, 1]] for x in X])
    model = SequenceRegressor(hidden_size=32).fit(X[:150], y[:150])
    found = model.predict(X[150:])
    assert model.score(X[150:], y[150:]) > 0.9
    assert model.score(X[150:], y[150:]) == pytest.approx(r2_score(y[150:], found))
    for x, one in zip(X[150:], found, strict=True):
        np.testing.assert_allclose(one, model.model_.predict(x[None])[0, -1], rtol=1e-5, atol=1e-6)
    assert SequenceRegressor(epochs=2).fit(X, y[:, 0]).predict(X).shape == (200,)


def test_numbers_at_each_step_some_not_known():
    """Running sums; the score is R2 over what is known."""
    X = ragged(80)
    y = [np.cumsum(x[:, :1], axis=0) for x in X]
    rng = np.random.default_rng(1)
    holes = [np.where(rng.random(part.shape) < 0.3, np.nan, part) for part in y]
    model = SequenceRegressor(hidden_size=32, epochs=60).fit(X, holes)
    found = model.predict(X)
    for one, x in zip(found, X, strict=True):
        np.testing.assert_allclose(one, model.model_.predict(x[None])[0], rtol=1e-5, atol=1e-6)
    whole, known = np.concatenate(holes), ~np.isnan(np.concatenate(holes))
    assert model.score(X, holes) == pytest.approx(r2_score(
        whole[known], np.concatenate(found)[known]))
    assert r2_score(np.concatenate(y), np.concatenate(found)) > 0.9  # also where it was not told
    cube = np.stack([x[:4] for x in X])
    model = SequenceRegressor(epochs=2).fit(cube, cube)
    np.testing.assert_allclose(model.predict(cube), model.model_.predict(cube), rtol=1e-5)


def test_forecast_of_the_series_itself():
    """A sine, three steps ahead; the same by the model and Sequences made by hand."""
    t = np.arange(700)
    s = np.sin(0.3 * t) + 5
    model = SequenceRegressor(horizon=3, epochs=60).fit([s[:500]])
    ahead = model.predict([s[:600]])
    assert ahead.shape == (1, 3)
    np.testing.assert_allclose(ahead[0], s[600:603], atol=0.1)
    outputs = model.model_.predict(s[None, 500:, None])[0]
    y = np.stack([s[500 + h : 500 + h + 197] for h in (1, 2, 3)], axis=1)
    scores = []
    for k in range(3):  # the last steps know only a part of what follows
        known = s[501 + k :]
        scores.append(r2_score(known, outputs[: len(known), k]))
    assert model.score([s[500:]]) == pytest.approx(np.mean(scores)) and np.mean(scores) > 0.97
    assert np.abs(outputs[100:197] - y[100:]).max() < 0.2
    pair = np.stack([s, s**2], axis=1)[None, :90]
    assert SequenceRegressor(horizon=4, epochs=1).fit(pair).predict(pair).shape == (1, 4, 2)


def test_early_stopping_keeps_the_best():
    x, y = pulses(120)
    model = SequenceClassifier(early_stopping=True, validation_fraction=0.25, patience=5,
                               epochs=200).fit(x, y)
    history = model.model_.history
    assert history.stopped == "patience" and len(history.valid_loss) < 200
    labels = np.zeros((120, 16), int)
    labels[:, -1] = y == "up"
    ends = np.arange(16)[None] == np.full((120, 1), 15)
    held = Sequences(x[:, :, None], labels, ends).hold_out(0.25, 0)[1]
    assert model.model_.score(held) == pytest.approx(history.valid_loss.min(), rel=1e-5)


def test_tools_of_scikit_learn():
    x, y = pulses(90)
    one = SequenceClassifier(epochs=5, hidden_size=8)
    assert cross_val_score(one, x, y, cv=3, scoring="neg_log_loss").shape == (3,)
    search = GridSearchCV(one, {"hidden_size": [4, 8]}, cv=2).fit(x[:, :, None], y)
    assert search.predict(x[:, :, None]).shape == (90,)
    p = CalibratedClassifierCV(one, cv=2).fit(x, y).predict_proba(x)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    pipe = make_pipeline(StandardScaler(), SequenceRegressor(epochs=3)).fit(x, x.sum(axis=1))
    assert pipe.predict(x).shape == (90,)
    series = list(x)
    assert np.isfinite(cross_val_score(SequenceRegressor(epochs=2), series, cv=3)).all()


def test_weights():
    """A weight of 0 leaves a series out, and class_weight is that factor of the loss."""
    x, y = pulses(60)
    weights = np.where(np.arange(60) < 40, 1.0, 0.0)
    some = SequenceClassifier(epochs=3).fit(x, y, weights)
    assert np.array_equal(some.predict_proba(x),
                          SequenceClassifier(epochs=3).fit(x[:40], y[:40]).predict_proba(x))
    by_class = SequenceClassifier(epochs=3, class_weight={"up": 5.0}).fit(x, y)
    same = SequenceClassifier(epochs=3).fit(x, y, np.where(y == "up", 5.0, 1.0))
    np.testing.assert_allclose(by_class.predict_proba(x), same.predict_proba(x), rtol=1e-6)


def test_logarithms_of_probabilities():
    x, y = pulses(80)
    model = SequenceClassifier(epochs=20).fit(x, y)
    np.testing.assert_allclose(np.exp(model.predict_log_proba(x)), model.predict_proba(x))
    assert model.predict_log_proba(x).min() < -0.7
    steps = [np.where(part > 0, "up", "down") for part in x]
    model.fit(list(x), steps)
    for log, p in zip(model.predict_log_proba(list(x)), model.predict_proba(list(x)), strict=True):
        np.testing.assert_array_equal(log, np.log(p))


# ---- searches and scorers ----


def pooled(model, X, y):
    """The scoring of the docstrings."""
    return r2_score(np.concatenate(y), np.concatenate(model.predict(X)))


@pytest.mark.parametrize("kind", ["list", "cube", "table"])
def test_searches(kind):
    """Every score of a search is that of an estimator fitted and scored by hand."""
    X = ragged(60) if kind == "list" else np.random.default_rng(0).normal(3, 2, (60, 6, 2))
    X = X[:, :, 0] if kind == "table" else X
    ends = np.array([part[-1].sum() for part in X])
    steps = [part.cumsum(axis=0) for part in X] if kind == "list" else X.cumsum(axis=1).reshape(
        60, 6, -1)
    folds = list(KFold(2).split(ends))
    grid = {"hidden_size": [3, 6]}

    def of(values, rows):
        return [values[i] for i in rows] if isinstance(values, list) else values[rows]

    for y, scoring in ((ends, "r2"), (ends, None), (steps, None), (steps, pooled), (None, None)):
        if y is None and kind == "cube":
            continue
        one = SequenceRegressor(epochs=3)
        search = GridSearchCV(one, grid, cv=folds, scoring=scoring, error_score="raise").fit(X, y)
        for f, (train, test) in enumerate(folds):
            for place, H in enumerate(grid["hidden_size"]):
                targets = (None, None) if y is None else (of(y, train), of(y, test))
                model = clone(one).set_params(hidden_size=H).fit(of(X, train), targets[0])
                by_hand = model.score(of(X, test), targets[1])
                assert search.cv_results_[f"split{f}_test_score"][place] == pytest.approx(
                    by_hand, rel=1e-9)
                if y is ends:
                    assert by_hand == pytest.approx(r2_score(ends[test], model.predict(
                        of(X, test))), rel=1e-9)
        assert search.best_estimator_.n_features_in_ == (6 if kind == "table" else 2)


@pytest.mark.parametrize("kind", ["list", "cube"])
def test_searches_over_classes(kind):
    X = ragged(60) if kind == "list" else np.random.default_rng(0).normal(3, 2, (60, 6, 2))
    ends = np.where([part.mean() > 3 for part in X], "high", "low")
    steps = [np.where(part[:, 0] > 3, "high", "low") for part in X]
    one, grid = SequenceClassifier(epochs=3), {"hidden_size": [3, 6]}
    for y, scoring, metric in ((ends, "accuracy", accuracy_score), (ends, None, accuracy_score),
                               (steps, None, accuracy_score), (ends, "f1_macro", None)):
        search = GridSearchCV(one, grid, cv=KFold(2), scoring=scoring, error_score="raise")
        search.fit(X, y)
        for f, (train, test) in enumerate(KFold(2).split(ends)):
            parts = [[[values[i] for i in rows] for values in (X, y)] for rows in (train, test)]
            model = clone(one).set_params(hidden_size=6).fit(*parts[0])
            right, found = parts[1][1], model.predict(parts[1][0])
            if y is steps:
                right, found = np.concatenate(right), np.concatenate(found)
            expected = f1_score(right, found, average="macro") if metric is None else metric(
                right, found)
            assert search.cv_results_[f"split{f}_test_score"][1] == pytest.approx(expected)


def test_arguments_that_are_passed_on():
    """sample_weight through a pipeline, a search and cross-validation, with metadata routing and
    as before it."""
    x, y = pulses(60)
    target, w = x.sum(axis=1), np.random.default_rng(0).uniform(0, 2, 60)
    one = SequenceRegressor(epochs=2, hidden_size=4)
    scaled = StandardScaler().fit(x)
    expected = clone(one).fit(scaled.transform(x), target, w).predict(scaled.transform(x))
    plain = make_pipeline(StandardScaler(), clone(one)).fit(
        x, target, sequenceregressor__sample_weight=w)
    np.testing.assert_array_equal(plain.predict(x), expected)
    folds = list(KFold(2).split(x))
    by_hand = [clone(one).fit(x[a], target[a], w[a]).score(x[b], target[b]) for a, b in folds]
    weighed = [clone(one).fit(x[a], target[a], w[a]).score(x[b], target[b], w[b])
               for a, b in folds]
    search = GridSearchCV(one, {"num_layers": [1]}, cv=folds).fit(x, target, sample_weight=w)
    means = [pytest.approx(np.mean(scores)) for scores in (by_hand, weighed)]
    assert search.best_score_ in means  # newer versions weigh the score too
    with pytest.raises(RuntimeError, match="only available when metadata routing is enabled"):
        clone(one).set_fit_request(sample_weight=True)
    with sklearn.config_context(enable_metadata_routing=True):
        asked = clone(one).set_fit_request(sample_weight=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        routed = make_pipeline(scaler, clone(asked)).fit(x, target, sample_weight=w)
        np.testing.assert_array_equal(routed.predict(x), expected)
        for score, scores in ((False, by_hand), (True, weighed)):
            asked.set_score_request(sample_weight=score)
            given = {"params": {"sample_weight": w}, "cv": folds}
            assert cross_val_score(asked, x, target, **given) == pytest.approx(scores)
            search = GridSearchCV(asked, {"num_layers": [1]}, cv=folds)
            assert search.fit(x, target, sample_weight=w).best_score_ == pytest.approx(
                np.mean(scores))
        with pytest.raises(sklearn.exceptions.UnsetMetadataPassedError):
            cross_val_score(one, x, target, **given)
        routing = SequenceClassifier().get_metadata_routing()
        assert [*routing.fit.requests] == [*routing.score.requests] == ["sample_weight"]


# ---- tables with named columns ----


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_tables_of_other_libraries(library):
    """As series, as a table of them, and as targets: the same bits as from arrays."""
    make = getattr(pytest.importorskip(library), "table" if library == "pyarrow" else "DataFrame")
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=(T, 2)) for T in (9, 5, 7)]
    tables = [make({"load": x[:, 0], "sun": x[:, 1]}) for x in arrays]
    plain = SequenceRegressor(epochs=2).fit(arrays)
    model = SequenceRegressor(epochs=2).fit(tables)
    assert model.feature_names_in_.tolist() == ["load", "sun"] and model.n_features_in_ == 2
    assert not hasattr(plain, "feature_names_in_")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(model.predict(tables), plain.predict(arrays))
        assert model.score(tables) == plain.score(arrays)
    swapped = [make({"sun": x[:, 1], "load": x[:, 0]}) for x in arrays]
    with pytest.raises(ValueError, match="must be in the same order"):
        model.predict(swapped)
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        model.predict(arrays)
    targets = [make({"y": x.sum(axis=1)}) for x in arrays]
    at_steps = SequenceRegressor(epochs=2).fit(tables, targets).predict(tables)
    for one, other in zip(at_steps, SequenceRegressor(epochs=2).fit(
            arrays, [x.sum(axis=1)[:, None] for x in arrays]).predict(arrays), strict=True):
        np.testing.assert_array_equal(one, other)
    x, y = pulses(30)
    wide = make({f"t{i}": x[:, i] for i in range(x.shape[1])})
    label = make({"label": y})["label"]
    model = SequenceClassifier(epochs=2).fit(wide, label)
    assert model.feature_names_in_[3] == "t3" and model.score(wide, label) == model.score(
        wide, y)
    np.testing.assert_array_equal(model.predict_proba(wide),
                                  SequenceClassifier(epochs=2).fit(x, y).predict_proba(x))


def test_tables_that_are_no_numbers():
    frame = pandas.DataFrame({"load": np.arange(9.0), "sun": np.arange(9) % 2})
    gaps = frame.convert_dtypes()
    gaps.loc[3, "load"] = pandas.NA
    model = SequenceRegressor(epochs=1)
    town = frame.assign(town="Ghent")
    for table, message in (
            (town, r"X\[0\] must be numbers, and its column town is none, leave it out: could not "
             "convert string to float: 'Ghent'"),
            (town.assign(day=pandas.Timestamp("2024-01-01")), "its columns town, day are none"),
            (gaps, r"Input X\[0\] contains NaN, at \[3, 0\]")):
        with pytest.raises((TypeError, ValueError), match=message):
            model.fit([table])
    holes = np.where(gaps.isna(), np.nan, frame)
    found, = model.fit([frame], [gaps]).predict([frame])
    np.testing.assert_array_equal(found, model.fit([frame], [holes]).predict([frame])[0])
    lazy = pytest.importorskip("polars").LazyFrame({"load": [1.0, 2.0]})
    for X in (lazy, [lazy, lazy]):
        with pytest.raises(TypeError, match=r"not read yet: give X(\[0\])?.collect\(\)"):
            model.fit(X)


def test_held_out_steps_are_not_learned():
    """A horizon that reaches into the steps of early stopping: other values there change no bit of
    the training."""
    x = np.sin(0.3 * np.arange(500.0))  # of 499 targets the last 50 are held out
    losses = []
    for change in (0, 5):
        changed = x.copy()
        changed[450:] += change
        model = SequenceRegressor(horizon=7, early_stopping=True, epochs=4).fit([changed])
        losses.append(model.model_.history.loss)
        assert model.model_.history.valid_loss.size == 4
    np.testing.assert_array_equal(*losses)
    changed[449] += 5
    model.fit([changed])
    assert not np.array_equal(model.model_.history.loss, losses[0])


def test_names_that_a_transformer_sets():
    x, _ = pulses(30)
    names = [f"t{i}" for i in range(16)]
    pipeline = make_pipeline(StandardScaler(), SequenceRegressor(epochs=1)).set_output(
        transform="pandas").fit(pandas.DataFrame(x, columns=names), x.sum(axis=1))
    assert pipeline[-1].feature_names_in_.tolist() == names
    assert pipeline[:-1].transform(pandas.DataFrame(x, columns=names)).columns.tolist() == names


def test_one_series_that_is_no_list():
    with pytest.warns(UserWarning, match=r"\(40, 2\) is read as 40 series of 2 steps.* give \[X\]"):
        SequenceRegressor(epochs=1).fit(np.random.default_rng(0).normal(size=(40, 2)))


def test_a_pickle_is_the_same_estimator():
    X = ragged(30)
    model = SequenceRegressor(epochs=2, horizon=2).fit(X)
    other = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(other.predict(X), model.predict(X))
    assert other.get_params() == model.get_params() and other.score(X) == model.score(X)
    with pytest.raises(NotFittedError):
        clone(model).predict(X)
    assert pickle.loads(pickle.dumps(clone(model))).get_params() == model.get_params()


def test_random_states():
    x, y = pulses(40)
    def p(state):
        return SequenceClassifier(epochs=1, random_state=state).fit(x, y).predict_proba(x)
    assert np.array_equal(p(3), p(3)) and not np.array_equal(p(3), p(4))
    assert not np.array_equal(p(None), p(None))
    assert np.array_equal(p(np.random.RandomState(1)), p(np.random.RandomState(1)))


@pytest.mark.parametrize(("call", "message"), [
    (lambda: SequenceRegressor(horizon=9).fit(np.zeros((3, 9))),
     "horizon=9 needs a series of more"),
    (lambda: SequenceRegressor().fit([np.ones((3, 2)), np.ones((4, 1))], [1, 2]),
     r"X\[1\] has 1 features and X\[0\] 2"),
    (lambda: SequenceRegressor().fit(ragged(2), [np.ones(2), np.ones(3)]),
     r"y\[0\] has the shape \(2,\)"),
    (lambda: SequenceRegressor().fit([np.array([1, np.nan])], [1.0]), r"X\[0\] contains NaN"),
    (lambda: SequenceRegressor().fit(np.ones((4, 3)), np.full(4, np.nan)), "no target is known"),
    (lambda: SequenceRegressor(cell="lstmm").fit(np.ones((4, 3)), np.ones(4)), "'lstm'"),
    (lambda: SequenceRegressor(early_stopping=True).fit(np.ones((4, 3)), np.ones(4)),
     "validation_fraction=0.1 is 0 of 4 series"),
    (lambda: SequenceClassifier(class_weight={"left": 2}).fit(*pulses(9)), "names 'left'"),
    (lambda: SequenceClassifier().fit(ragged(4), ["a"] * 4), "greater than one; got 1 class"),
    (lambda: SequenceRegressor(epochs=1).fit(ragged(4), np.ones(4)).predict(ragged(4, D=3)),
     "X has 3 features, but SequenceRegressor is expecting 2"),
    (lambda: SequenceRegressor(epochs=1).fit(ragged(4)).score(ragged(4), np.ones(4)),
     "was fitted without y"),
])
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_square_of_targets_is_told():
    cube = np.random.default_rng(0).normal(size=(8, 5, 2))
    with pytest.warns(UserWarning, match=r"y\[..., None\]"):
        SequenceRegressor(epochs=1).fit(cube, cube[:, :, 0])


def test_scikit_learn_is_not_imported():
    import subprocess
    import sys
    code = ("import sys; sys.modules['sklearn'] = None; import fastrnn, numpy as np\n"
            "x = np.eye(8); m = fastrnn.SequenceRegressor(epochs=2).fit(x, x[:, 0])\n"
            "print(m.predict(x).shape, m.get_params()['epochs'])")
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split("\n")[0] == "(8,) 2"
    assert fastrnn.SequenceRegressor.__name__ in fastrnn.__all__
