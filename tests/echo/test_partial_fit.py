"""A series that is fitted block by block."""
import pickle

import numpy as np
import pytest
from test_start import SMALL, series, targets_of

from fastrnn import EchoStateNetwork


def in_blocks(network, X, y, cuts, w=None, **first):
    edges = [0, *cuts, len(X)]
    for a, b in zip(edges, edges[1:], strict=False):
        network.partial_fit(X[a:b], y[a:b], **({} if w is None else {"sample_weight": w[a:b]}),
                            **(first if a == 0 else {}))
    return network


@pytest.mark.parametrize("cuts", [[150], [1, 40, 41, 99, 130, 131, 250], [100], [101]])
@pytest.mark.parametrize("feedback", [False, True])
@pytest.mark.parametrize("what", ["all", "missing", "weights"])
def test_blocks_are_the_whole(cuts, feedback, what):
    X, Y, rng = series(), targets_of(series()), np.random.default_rng(0)
    w = rng.integers(0, 3, 300).astype(float) if what == "weights" else None
    if what == "missing":  # also at the edges of blocks, where the last known value is fed back
        Y[rng.random(Y.shape) < 0.2] = np.nan
        Y[128:135, 1] = np.nan
    if w is not None:
        w[131:250] = 0  # a whole block
    whole = EchoStateNetwork(**SMALL, feedback=feedback).fit(X, Y, sample_weight=w)
    parts = in_blocks(EchoStateNetwork(**SMALL, feedback=feedback), X, Y, cuts, w)
    np.testing.assert_allclose(parts.Wout_, whole.Wout_, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(parts._fit.about, whole._fit.about, rtol=1e-10)
    teacher = {"teacher": np.nan_to_num(Y)} if feedback else {}
    np.testing.assert_allclose(parts.predict(X, **teacher), whole.predict(X, **teacher), atol=1e-7)
    assert parts._fit.continues is whole._fit.continues is False


@pytest.mark.parametrize("gaps", [False, True])
def test_the_ridge_is_chosen_as_of_the_whole(gaps):
    """The folds depend on how many steps there were, not on the blocks."""
    X, Y = series(), targets_of(series())
    Y += 0.2 * np.random.default_rng(1).normal(size=Y.shape)
    if gaps:
        Y[140:190, 1] = np.nan
    auto = SMALL | {"ridge": "auto"}
    whole = EchoStateNetwork(**auto).fit(X, Y)
    parts = in_blocks(EchoStateNetwork(**auto), X, Y, [1, 40, 101, 130, 131, 250])
    assert parts.ridge_ == whole.ridge_ > 1e-3
    np.testing.assert_allclose(parts.Wout_, whole.Wout_, rtol=1e-7, atol=1e-9)
    for n in (130, 200):
        some = in_blocks(EchoStateNetwork(**auto), X[:n], Y[:n], range(7, n, 7))
        assert some.ridge_ == EchoStateNetwork(**auto).fit(X[:n], Y[:n]).ridge_


def test_several_series():
    parts = [series(), series(250, seed=3)]
    goals = [targets_of(X) for X in parts]
    whole, blocks = EchoStateNetwork(**SMALL).fit(parts, goals), EchoStateNetwork(**SMALL)
    for X, Y in zip(parts, goals, strict=True):
        in_blocks(blocks, X, Y, [20, 170], new_series=True)
    np.testing.assert_allclose(blocks.Wout_, whole.Wout_, rtol=1e-7, atol=1e-9)


def test_a_free_run_after_blocks(tmp_path):
    X = series(400)
    whole = EchoStateNetwork(**SMALL).fit(X[:-1], X[1:])
    blocks = in_blocks(EchoStateNetwork(**SMALL), X[:-1], X[1:], range(1, 399, 37))
    np.testing.assert_allclose(blocks.generate(20, X[:200]), whole.generate(20, X[:200]), atol=1e-7)
    blocks.save(tmp_path / "network.safetensors")
    other = EchoStateNetwork.load(tmp_path / "network.safetensors")
    np.testing.assert_array_equal(other.predict(X), blocks.predict(X))
    with pytest.warns(UserWarning, match="partial_fit goes on from its own.*begins anew"):
        other.partial_fit(X[:-1], X[1:])
    np.testing.assert_allclose(other.Wout_, whole.Wout_, rtol=1e-7, atol=1e-9)


def test_what_is_kept_between_blocks():
    X, Y = series(), targets_of(series())
    network = EchoStateNetwork(**SMALL, random_state=np.random.RandomState(1))
    network.partial_fit(X[:100], Y[:100])
    assert network.n_features_in_ == 2  # drawn, but all of it was warm-up
    with pytest.raises(ValueError, match="not fitted yet"):
        network.predict(X)
    for call, message in (
            (lambda: network.partial_fit(X[:, :1], Y), "X has 1 features.* expecting 2"),
            (lambda: network.partial_fit(X, Y[:, :1]), "y has 1 numbers a step.*before 3"),
            (lambda: network.partial_fit([X], [Y]), "one series, not a list"),
            (lambda: network.partial_fit(X), "requires y")):
        with pytest.raises(ValueError, match=message):
            call()
    other = pickle.loads(pickle.dumps(network))
    for one in network, other:
        one.partial_fit(X[100:], Y[100:])
    np.testing.assert_array_equal(network.predict(X), other.predict(X))
    np.testing.assert_array_equal(network.predict(X), in_blocks(
        EchoStateNetwork(**SMALL, random_state=np.random.RandomState(1)), X, Y, [100]).predict(X))
    one.fit(X, Y)
    with pytest.warns(UserWarning, match="begins anew"):
        one.partial_fit(X[:100], Y[:100])
    with pytest.raises(ValueError, match="not fitted yet"):  # not the readout of fit
        one.predict(X)
