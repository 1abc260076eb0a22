"""What units do while a text is read, against the kernels and by the equations."""

import numpy as np
import pytest

import fastrnn
from fastrnn.insight.activations import activations

TEXT = "abcab cabba cab"
CELLS = ("rnn", "relu", "lstm", "gru", "memory", "mgu", "mlstm", "esn")


def made(cell: str, **settings):
    corpus = fastrnn.Corpus.from_text(TEXT)
    if cell != "esn":
        settings |= {"num_layers": 2, "embedding_size": 3}
    else:
        settings |= {"density": 0.6, "leak_rate": 0.7}
    model = fastrnn.Model(corpus.vocabulary, cell=cell, hidden_size=5, seed=3, dtype="float64",
                          **settings)
    rng = np.random.default_rng(7)
    model.block[:] = rng.normal(0, 0.4, model.block.size)
    model.state[:] = rng.normal(0, 0.5, model.state.shape)
    return model


@pytest.mark.parametrize("cell", CELLS)
def test_surprisal_and_states_are_those_of_the_kernels(cell):
    model = made(cell)
    found = activations(model, TEXT)
    np.testing.assert_allclose(found.surprisal[:-1], model.surprisal(TEXT), rtol=1e-10)
    assert np.isnan(found.surprisal[-1]) and found.targets[-1] == -1
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1)
    ids = model.vocabulary.encode(TEXT).astype(np.int64)[None]
    state = model.loss_and_gradients(ids, ids, model.state)[2][0]
    names = {"lstm": ("h", "c"), "mlstm": ("h", "c"), "memory": ("m",)}.get(cell, ("h",))
    last = np.concatenate([layer[name][-1] for layer in found.layers for name in names])
    np.testing.assert_allclose(last, state, rtol=1e-10)


def test_gates_of_an_lstm_make_its_states():
    first = activations(made("lstm"), TEXT).layers[0]
    i, f, o, g, c, h = (first[name] for name in "ifogch")
    assert (0 < i).all() and (i < 1).all() and (abs(g) < 1).all()
    np.testing.assert_allclose(c[1:], f[1:] * c[:-1] + i[1:] * g[1:], rtol=1e-12)
    np.testing.assert_allclose(h, o * np.tanh(c), rtol=1e-12)


def test_what_skips_an_mlstm_is_in_its_output():
    for layer in activations(made("mlstm"), TEXT).layers:
        i, f, o, g, q, c, h = (layer[name] for name in "ifogqch")
        np.testing.assert_allclose(c[1:], f[1:] * c[:-1] + i[1:] * g[1:], rtol=1e-12)
        np.testing.assert_allclose(h, o * np.tanh(c) + q, rtol=1e-12)
        assert np.abs(q).max() > 0.1 and np.abs(layer["a"]).max() > 0.1


@pytest.mark.parametrize("reset_after", (True, False))
def test_gates_of_a_gru_make_its_state(reset_after):
    first = activations(made("gru", reset_after=reset_after), TEXT).layers[0]
    h, z, n = (first[name] for name in "hzn")
    np.testing.assert_allclose(h[1:], (1 - z[1:]) * n[1:] + z[1:] * h[:-1], rtol=1e-12)


def test_a_record_is_read_from_zero_with_its_label():
    corpus = fastrnn.Corpus.from_records(["anna", "bram", "cem"], labels=["x", "y", "x"])
    model = fastrnn.Model(corpus.vocabulary, cell="gru", hidden_size=6, labels=["x", "y"],
                          dtype="float64", seed=2)
    model.block[:] = np.random.default_rng(1).normal(0, 0.3, model.block.size)
    for label in ("x", {"x": 1, "y": 3}):
        found = activations(model, "anna", label)
        np.testing.assert_allclose(found.surprisal, model.surprisal("anna", label), rtol=1e-10)
    assert len(found.ids) == 5 and found.targets[-1] == 1  # start, a n n a -> stop
    with pytest.raises(ValueError, match="needs a label"):
        activations(model, "anna")


def test_what_cannot_be_read_is_refused():
    model = made("rnn")
    with pytest.raises(ValueError, match="empty"):
        activations(model, "")
    with pytest.raises(ValueError, match="'z'"):
        activations(model, "abz")
    numbers = fastrnn.Model(fastrnn.Sizes(input_size=2, output_size=1), cell="rnn", hidden_size=3)
    with pytest.raises(ValueError, match="sequences"):
        activations(numbers, "ab")


def test_the_first_symbols_of_a_text_are_as_read_alone():
    model = made("lstm")
    cut, alone = activations(model, TEXT).first(6), activations(model, TEXT[:6])
    for name in ("ids", "targets", "probabilities", "start"):
        np.testing.assert_array_equal(getattr(cut, name), getattr(alone, name))
    for one, other in zip(cut.layers, alone.layers, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_allclose(one[name], other[name], rtol=1e-12)
    assert activations(model, TEXT).first(99).targets[-1] == -1
