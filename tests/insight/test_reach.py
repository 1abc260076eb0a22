"""How far gradients reach, by finite differences of the loss with respect to what is read."""

import numpy as np
import pytest
from test_activations import CELLS, TEXT, made

import fastrnn
from fastrnn.checks import reference
from fastrnn.insight.activations import activations
from fastrnn.insight.reach import reach

STEP = 1e-5


def read_vectors(model, text):
    """The vectors that the first layer reads (T, D), and the parameters, in float64."""
    ids = model.vocabulary.encode(text).astype(np.int64)
    params = {name: p.astype(np.float64) for name, p in model.params.items()}
    table = params.get("embedding.W", np.eye(len(model.vocabulary)))
    return table[ids], params


def loss_of(params, x, target, state, cell, labels=None):
    """-log p(target) after the last of the vectors x (T, D)."""
    scores = reference.forward(params, x[None], state, cell, labels=labels)[0][0, -1]
    return np.log(np.exp(scores).sum()) - scores[target]


def by_differences(params, x, target, state, cell, labels=None):
    """The norm of the gradient of the last loss with respect to each vector of x: (T,)."""
    gradient = np.empty_like(x)
    for place in np.ndindex(x.shape):
        moved = np.repeat(x[None], 2, axis=0)
        moved[(0, *place)] += STEP
        moved[(1, *place)] -= STEP
        up, down = (loss_of(params, each, target, state, cell, labels) for each in moved)
        gradient[place] = (up - down) / (2 * STEP)
    return np.linalg.norm(gradient, axis=1)


@pytest.mark.parametrize("embedding_size", (None, 3))
@pytest.mark.parametrize("cell", [cell for cell in CELLS if cell != "esn"])
def test_norms_are_those_of_finite_differences(cell, embedding_size):
    model = made(cell, embedding_size=embedding_size)
    if cell in ("relu", "memory"):  # away from the kinks, some of them off
        for name, p in model.params.items():
            p += (0.6 if name.endswith(".b") and name != "head.b" else 0)
    found = activations(model, TEXT)
    got = reach(model, found, lags=6, dtype=np.float64)
    x, params = read_vectors(model, TEXT)
    assert got.shape == (len(TEXT), 6)
    for t in (0, 3, 9):  # before the lags are full, and after
        expected = by_differences(params, x[: t + 1], found.targets[t], model.state, cell)[::-1][:6]
        np.testing.assert_allclose(got[t, : len(expected)], expected, rtol=1e-5)
        assert np.isnan(got[t, len(expected) :]).all()
    assert np.isnan(got[-1]).all()  # nothing follows the last symbol
    in_float32 = reach(model, found, lags=6)
    np.testing.assert_allclose(in_float32, got, rtol=1e-3, atol=1e-30)


def test_a_gru_that_resets_before(monkeypatch):
    model = made("gru", reset_after=False)
    found = activations(model, TEXT)
    x, params = read_vectors(model, TEXT)
    expected = by_differences(params, x[:9], found.targets[8], model.state, "gru")[::-1]
    monkeypatch.setattr("fastrnn.insight.reach.ROWS", 4)  # several pieces
    np.testing.assert_allclose(reach(model, found, dtype=np.float64)[8, :9], expected, rtol=1e-5)


def test_many_symbols_and_few_units():
    """More symbols than gates: R of the QR decomposition stands for the weights."""
    text = "".join(map(chr, range(97, 123)))
    corpus = fastrnn.Corpus.from_text(text)
    model = fastrnn.Model(corpus.vocabulary, cell="rnn", hidden_size=4, seed=1, dtype="float64")
    model.block[:] = np.random.default_rng(2).normal(0, 0.5, model.block.size)
    found = activations(model, text)
    x, params = read_vectors(model, text)
    expected = by_differences(params, x[:5], found.targets[4], model.state, "rnn")[::-1]
    np.testing.assert_allclose(reach(model, found, dtype=np.float64)[4, :5], expected, rtol=1e-5)


def test_a_record_with_its_label():
    corpus = fastrnn.Corpus.from_records(["anna", "bram"], labels=["x", "y"])
    model = fastrnn.Model(corpus.vocabulary, cell="lstm", hidden_size=3, labels=["x", "y"],
                          dtype="float64")
    model.block[:] = np.random.default_rng(1).normal(0, 0.5, model.block.size)
    found = activations(model, "anna", "y")
    params = dict(model.params)
    x = np.eye(len(model.vocabulary))[found.ids]
    expected = by_differences(params, x, found.targets[-1], model.zero_state(), "lstm",
                              np.array([[0.0, 1.0]]))[::-1]
    np.testing.assert_allclose(reach(model, found, dtype=np.float64)[-1], expected, rtol=1e-5)


def test_an_esn_is_refused():
    model = made("esn")
    with pytest.raises(ValueError, match="not trained"):
        reach(model, activations(model, TEXT))
