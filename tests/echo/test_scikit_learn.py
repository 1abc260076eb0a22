"""EchoStateNetwork beside scikit-learn's own estimators, and without scikit-learn."""
import os
import pickle
import subprocess
import sys
import textwrap
import warnings

import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.ensemble import BaggingRegressor
from sklearn.exceptions import NotFittedError
from sklearn.metrics import mean_absolute_error, r2_score
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit, cross_val_score
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator
from test_start import SMALL, series, targets_of

from fastrnn import EchoStateNetwork

# what a time series cannot pass, since an output depends on the rows before
NOT_OF_A_SERIES = {
    "check_methods_sample_order_invariance": "rows are steps: their order is their meaning",
    "check_methods_subset_invariance": "an output depends on the steps before it",
    "check_sample_weight_equivalence_on_dense_data":
        "a step of weight 0 is read, and one of weight 2 is not read twice",
}


@pytest.mark.filterwarnings("ignore")  # the series of the checks are shorter than the warm-up
def test_check_estimator():
    results = check_estimator(EchoStateNetwork(), expected_failed_checks=NOT_OF_A_SERIES,
                              on_skip=None)
    of_status = {status: {r["check_name"] for r in results if r["status"] == status}
                 for status in ("passed", "xfail", "failed")}
    assert of_status["xfail"] == set(NOT_OF_A_SERIES) and not of_status["failed"]
    assert len(of_status["passed"]) > 40


class Frame:
    """A table with named columns of a library that nobody knows."""

    def __init__(self, array, columns):
        self.array, self.columns = array, columns

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.array, dtype)


def test_names_of_features():
    X, Y = series(), targets_of(series())
    network = EchoStateNetwork(**SMALL).fit(Frame(X, ["load", "sun"]), Y)
    assert network.feature_names_in_.tolist() == ["load", "sun"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected = network.predict(Frame(X, ["load", "sun"]))
        network.score(Frame(X, ["load", "sun"]), Y)
        network.predict([Frame(X, ["load", "sun"])] * 2)
    for names, message in ((["sun", "load"], "must be in the same order"),
                           (["load", "wind"], "unseen at fit time:\n- wind\n.*missing:\n- sun")):
        for call in (network.predict, network.states, lambda x: network.score(x, Y)):
            with pytest.raises(ValueError, match=f"(?s)feature names should match.*{message}"):
                call(Frame(X[:, ::-1], names))
    with pytest.raises(ValueError, match=r"(?s)X\[1\].*same order"):
        network.predict([Frame(X, ["load", "sun"]), Frame(X, ["sun", "load"])])
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        np.testing.assert_array_equal(network.predict(X), expected)
    with pytest.raises(TypeError, match="only supported if all input features have string names"):
        network.fit(Frame(X, ["load", 1]), Y)
    plain = EchoStateNetwork(**SMALL).fit(Frame(X, [0, 1]), Y)
    assert not hasattr(plain, "feature_names_in_")
    with pytest.warns(UserWarning, match="was fitted without feature names"):
        plain.predict(Frame(X, ["load", "sun"]))
    assert not hasattr(network.fit(X, Y), "feature_names_in_")


def test_what_is_not_fitted():
    network = EchoStateNetwork()
    for call in (lambda: network.predict(series()), lambda: network.W_, lambda: network.save("x")):
        with pytest.raises(NotFittedError, match="EchoStateNetwork instance is not fitted yet"):
            call()
    assert not hasattr(network, "n_features_in_")


# ---- weights of steps ----


def features_of(network, X):
    return np.hstack([X, network.states(X)])


def test_weights_of_steps():
    """The weighted least squares on the states, the intercept being free, by the square roots."""
    parts = [series(), series(180, seed=3)]
    goals = [targets_of(X) for X in parts]
    rng = np.random.default_rng(0)
    weights = [rng.integers(0, 4, len(X)) / 2 for X in parts]
    network = EchoStateNetwork(**SMALL, warmup=30).fit(parts, goals, sample_weight=weights)
    F, Y, w = (np.concatenate([part[30:] for part in several]) for several in (
        [features_of(network, X) for X in parts], goals, weights))
    middle, goal = np.average(F, axis=0, weights=w), np.average(Y, axis=0, weights=w)
    root = np.sqrt(w)[:, None]
    A = np.vstack([root * (F - middle), np.sqrt(1e-3) * np.eye(F.shape[1])])
    B = np.vstack([root * (Y - goal), np.zeros((F.shape[1], 3))])
    W = np.linalg.lstsq(A, B, rcond=None)[0]
    np.testing.assert_allclose(network.Wout_[:, 1:], W.T, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(network.Wout_[:, 0], goal - middle @ W, rtol=1e-6, atol=1e-8)
    found = [network.predict(X) for X in parts]
    assert network.score(parts, goals, sample_weight=weights) == pytest.approx(r2_score(
        np.concatenate(goals), np.concatenate(found), sample_weight=np.concatenate(weights)))
    ones = EchoStateNetwork(**SMALL).fit(parts[0], goals[0], sample_weight=[1] * 300)
    np.testing.assert_allclose(ones.predict(parts[0]), EchoStateNetwork(**SMALL).fit(
        parts[0], goals[0]).predict(parts[0]), atol=1e-8)


def test_weights_that_cannot_be():
    X, Y = series(), targets_of(series())
    network, w = EchoStateNetwork(**SMALL), np.ones(300)
    for given, message in ((w[1:], r"\(299,\) and must have \(300,\)"), (w[:, None], "weight for"),
                           (-w, "sample_weight has -1"), (0 * w, "zero at all steps"),
                           (w * np.nan, "has nan")):
        for call in (network.fit, clone(network).fit(X, Y).score):
            with pytest.raises(ValueError, match=message):
                call(X, Y, sample_weight=given)
    with pytest.raises(ValueError, match="2 series and sample_weight 1"):
        network.fit([X, X], [Y, Y], sample_weight=[w])


# ---- searches, scorers, pipelines, ensembles ----


def test_any_scorer_counts_good_steps():
    """The folds of a series that is no noise: without its own start the first outputs of each fold
    would take most of the error."""
    t = np.arange(1200)
    u = (np.sin(0.2 * t) * np.sin(0.0311 * t))[:, None]
    X, y = u[:-1], u[1:, 0]
    folds = TimeSeriesSplit(4, test_size=100)
    network = EchoStateNetwork(100, leak_rate=0.7, bias_scale=0.2, ridge=1e-8)
    found = cross_val_score(network, X, y, cv=folds, scoring="r2")
    own = cross_val_score(network, X, y, cv=folds)
    by_hand = []
    for train, test in folds.split(X):
        fitted = clone(network).fit(X[train], y[train])
        whole = fitted.predict(np.concatenate([X[test][:1].repeat(100, axis=0), X[test]]))
        by_hand.append(r2_score(y[test], whole[100:]))
        error = -mean_absolute_error(y[test], whole[100:])
        assert cross_val_score(network, X, y, cv=[(train, test)], scoring="neg_mean_absolute_error"
                               ) == pytest.approx(error, rel=1e-6)
    np.testing.assert_allclose(found, by_hand, rtol=1e-9)
    np.testing.assert_allclose(found, own, rtol=1e-9)
    assert found.min() > 0.999
    zero = cross_val_score(clone(network).set_params(start="zero"), X, y, cv=folds, scoring="r2")
    assert (1 - zero).mean() > 10 * (1 - found).mean()


def test_a_search_over_a_pipeline():
    X, Y = series(500), targets_of(series(500))
    pipeline = make_pipeline(StandardScaler(), EchoStateNetwork(**SMALL))
    grid = {"echostatenetwork__warmup": [5, 60], "echostatenetwork__ridge": [1e-3, 1e6]}
    search = GridSearchCV(pipeline, grid, cv=TimeSeriesSplit(2, test_size=100), n_jobs=2,
                          scoring="r2").fit(X, Y)
    assert search.best_params_["echostatenetwork__ridge"] == 1e-3
    for train, test in [next(iter(TimeSeriesSplit(2, test_size=100).split(X)))]:
        scaled = (X - X[train].mean(axis=0)) / X[train].std(axis=0)
        one = EchoStateNetwork(**SMALL, warmup=5).fit(scaled[train], Y[train])
        expected = r2_score(Y[test], one.predict(scaled[test]))
        at = search.cv_results_["params"].index(dict(zip(grid, (5, 1e-3), strict=True)))
        assert search.cv_results_["split0_test_score"][at] == pytest.approx(expected, rel=1e-7)


def test_more_jobs_than_cores():
    X, Y = series(600), targets_of(series(600))
    few, many = (cross_val_score(EchoStateNetwork(**SMALL), X, Y, n_jobs=n, cv=TimeSeriesSplit(3))
                 for n in (1, 2 * os.cpu_count()))
    np.testing.assert_allclose(few, many, rtol=1e-9)


def test_members_of_an_ensemble_differ():
    X, y = series(), targets_of(series())[:, 0]
    ensemble = BaggingRegressor(EchoStateNetwork(**SMALL), 3, random_state=0).fit(X, y)
    outputs = [member.predict(X) for member in ensemble.estimators_]
    assert all(np.abs(outputs[i] - outputs[j]).max() > 1e-3 for i, j in ((0, 1), (0, 2), (1, 2)))
    assert len({member.Win_.tobytes() for member in ensemble.estimators_}) == 3
    np.testing.assert_allclose(ensemble.predict(X), np.mean(outputs, axis=0), atol=1e-12)
    again = BaggingRegressor(EchoStateNetwork(**SMALL), 3, random_state=0).fit(X, y)
    np.testing.assert_array_equal(again.predict(X), ensemble.predict(X))


def test_one_network_for_each_output():
    X, Y = series(), targets_of(series())
    several = MultiOutputRegressor(EchoStateNetwork(**SMALL)).fit(X, Y)
    whole = EchoStateNetwork(**SMALL).fit(X, Y)
    np.testing.assert_allclose(several.predict(X), whole.predict(X), atol=1e-8)


def test_arguments_that_are_passed_on():
    X, Y, w = series(500), targets_of(series(500)), np.linspace(0, 1, 500)
    folds = TimeSeriesSplit(2, test_size=100)
    with pytest.raises(RuntimeError, match="only available when metadata routing is enabled"):
        EchoStateNetwork().set_fit_request(sample_weight=True)
    with sklearn.config_context(enable_metadata_routing=True):
        network = EchoStateNetwork(**SMALL).set_fit_request(
            sample_weight=True, warmup=False).set_score_request(
            warmup=True, sample_weight=False)
        assert clone(network).get_metadata_routing().fit.requests["sample_weight"] is True
        found = cross_val_score(network, X, Y, cv=folds, params={"sample_weight": w, "warmup": 30})
        with pytest.raises(sklearn.exceptions.UnsetMetadataPassedError):
            cross_val_score(EchoStateNetwork(**SMALL), X, Y, cv=folds, params={"sample_weight": w})
        pipeline = make_pipeline(StandardScaler(), EchoStateNetwork(
            **SMALL, feedback=True).set_predict_request(teacher=True)).fit(X, Y)
        scaled = pipeline[0].transform(X)
        np.testing.assert_array_equal(pipeline.predict(X, teacher=Y[:40]),
                                      pipeline[1].predict(scaled, teacher=Y[:40]))
        with pytest.raises(TypeError, match="'weights' in fit"):
            network.set_fit_request(weights=True)
    expected = []
    for train, test in folds.split(X):
        one = EchoStateNetwork(**SMALL).fit(X[train], Y[train], sample_weight=w[train])
        expected.append(r2_score(Y[test][30:], one.predict(X[test])[30:]))
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_tags():
    from sklearn.utils import get_tags
    for params, any_weights in (({}, False), ({"seed": None}, True),
                                ({"seed": None, "random_state": 1}, False)):
        tags = get_tags(EchoStateNetwork(**params))
        assert tags.non_deterministic is any_weights and tags.estimator_type == "regressor"
        assert tags.target_tags.multi_output and tags.target_tags.required


def test_how_it_is_shown_and_copied():
    X, Y = series(), targets_of(series())
    network = EchoStateNetwork(**SMALL, random_state=np.random.RandomState(3))
    assert "EchoStateNetwork" in network._repr_html_() and "sk-" in network._repr_html_()
    assert "EchoStateNetwork" in make_pipeline(StandardScaler(), network)._repr_html_()
    expected = clone(network).fit(X, Y).predict(X)
    np.testing.assert_array_equal(clone(network).fit(X, Y).predict(X), expected)
    network.fit(X, Y)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(network)).predict(X), expected)
    with pytest.raises(ValueError, match="Invalid parameter 'leek_rate' for estimator EchoState.*"
                                         "did you mean 'leak_rate'"):
        network.set_params(units=7, leek_rate=0.1)
    assert network.units == 45  # nothing was set


def test_without_scikit_learn(tmp_path):
    """All but its tools goes on working."""
    program = textwrap.dedent("""
        import sys
        class Absent:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] == "sklearn":
                    raise ImportError(name)
        sys.meta_path.insert(0, Absent())
        import numpy as np, fastrnn
        X = np.sin([0.3, 0.7] * np.arange(300)[:, None])
        class Frame:
            columns = ["a", "b"]
            def __array__(self, dtype=None, copy=None):
                return X
        network = fastrnn.EchoStateNetwork(20, ridge=1e-3)
        try:
            network.predict(X)
        except ValueError as error:
            assert isinstance(error, AttributeError) and "not fitted yet" in str(error)
        network.fit(Frame(), X, sample_weight=np.ones(300))
        other = Frame()
        other.columns = ["b", "a"]
        try:
            network.predict(other)
        except ValueError as error:
            assert "same order" in str(error)
        else:
            raise AssertionError
        assert network.set_params(units=9).get_params()["units"] == 9
        assert "<td>9</td>" in network._repr_html_()
        assert network.score(Frame(), X) > 0.9 and "sklearn" not in sys.modules
    """)
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path)
