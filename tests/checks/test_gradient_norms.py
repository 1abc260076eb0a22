"""How far back gradients reach: against central differences by the state, and by hand."""
import numpy as np
import pytest
from networks import KINDS, random_model
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


# ---- texts, records and ids ----

def norms_by_differences(model, windows, **labels):
    """Of each window of ids (T + 1,), by the state after each step."""
    found = []
    for ids in windows:
        x, y = ids[None, :-1], ids[None, 1:]
        T = x.shape[1]
        row = np.empty(T)
        p = np.exp(-model.losses(np.repeat(x, len(model.vocabulary), 0), np.concatenate(
            [y[:, :-1].repeat(len(model.vocabulary), 0),
             np.arange(len(model.vocabulary))[:, None]], axis=1), None, **{
                 name: value * len(model.vocabulary) for name, value in labels.items()})[:, -1])
        p[y[0, -1]] -= 1
        row[0] = np.linalg.norm(model.params["head.W"] @ p)
        for lag in range(1, T):
            _, _, state = model.loss_and_gradients(x[:, : T - lag], y[:, : T - lag], **labels)
            row[lag] = np.linalg.norm(differences(lambda at, lag=lag, x=x, y=y: model.losses(
                x[:, -lag:], y[:, -lag:], at, **labels)[0, -1], state))
        found.append(row)
    return found


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru, reset before"])
def test_norms_on_windows_of_a_text(kind):
    model = random_model(kind, "float64", K=5, H=4, num_layers=2)
    ids = np.random.default_rng(3).integers(0, 5, 23)
    text = model.vocabulary.decode(ids)
    report = fastrnn.gradient_norms(model, text, seq_length=7)
    windows = [ids[start : start + 8] for start in (0, 7, 15)]  # evenly: 22 predictions
    assert np.allclose(report.norms, np.mean(norms_by_differences(model, windows), axis=0),
                       rtol=1e-6)
    assert list(report.lags) == list(range(7))
    for same in (fastrnn.Corpus(ids, model.vocabulary), ids, ids.tolist(), np.stack(windows)):
        again = fastrnn.gradient_norms(model, same, seq_length=7)
        assert np.array_equal(again.norms, report.norms)
        assert np.array_equal(again.mean_absolute, report.mean_absolute)
    total = np.zeros(model.block.size)
    for window in windows:
        _, grads, _ = model.loss_and_gradients(window[None, -4:-1], window[None, -3:],
                                               mask=[[0, 0, 1]])
        total += np.concatenate([g.ravel() for g in grads.values()])
    three = fastrnn.gradient_norms(model, text, [3], seq_length=7).mean_absolute
    assert three == pytest.approx(np.abs(total / 3).mean(), rel=1e-12)


def test_norms_on_records_with_labels():
    names, labels = ["abca", "ba", "cabbac", "ac"], ["left", "right", "right", "left"]
    corpus = fastrnn.Corpus.from_records(names, labels)
    model = fastrnn.Model(corpus.vocabulary, cell="lstm", hidden_size=4, num_layers=2,
                          labels=["left", "right"], dtype="float64", init="xavier", seed=2)
    model.params["layer0.Wc"][:] = np.random.default_rng(0).normal(size=(2, 16))
    report = fastrnn.gradient_norms(model, corpus)
    rows = [norms_by_differences(model, [corpus.vocabulary.encode_record(name)], labels=[label])[0]
            for name, label in zip(names, labels, strict=True)]
    expected = [np.mean([row[lag] for row in rows if len(row) > lag]) for lag in range(7)]
    assert np.allclose(report.norms, expected, rtol=1e-6)
    one = fastrnn.gradient_norms(model, "cabbac", label="right")
    assert np.allclose(one.norms, rows[2], rtol=1e-6)
    other = fastrnn.gradient_norms(model, "cabbac", label={"left": 0.5, "right": 0.5})
    assert not np.allclose(other.norms, rows[2], rtol=1e-2)


def test_a_short_text_and_a_trained_model():
    corpus = fastrnn.Corpus.from_text("to be or not to be, that is the question. " * 20)
    model = fastrnn.train(corpus, preset="classic", updates=30, progress=False)  # float32
    for text, steps in (("to", 1), ("to be", 4), (corpus, 100), ("to be " * 9, 53)):
        report = fastrnn.gradient_norms(model, text)
        assert len(report.norms) == steps and np.isfinite(report.norms).all()
        assert report.norms[0] > 0 and report.lengths[-1] == steps


@pytest.mark.parametrize(("given", "error", "match"), [
    ("t", ValueError, "at least 2 symbols"), ("xyz", ValueError, "character 'x'|'x' at position"),
    ([[1]], ValueError, "nothing to predict"), (np.zeros((0, 5), int), ValueError, "to predict"),
    ([9, 99], ValueError, "from 0 to 3"), ([0.5, 1.0], TypeError, "a text, or ids"),
    (None, TypeError, "a text, or ids"), ([["to", "be"]], TypeError, "a text, or ids"),
    (np.zeros((1, 2, 3), int), TypeError, "a text, or ids"),
    (fastrnn.Corpus.from_records(["to"]), ValueError, "records"),
])
def test_texts_that_it_refuses(given, error, match):
    model = fastrnn.Model(fastrnn.Vocabulary("to b"), hidden_size=3)
    with pytest.raises(error, match=match):
        fastrnn.gradient_norms(model, given)


def test_models_that_read_no_text():
    numbers = fastrnn.Model(tasks.adding(5, 9).sizes, hidden_size=4)
    with pytest.raises(ValueError, match="not for a text"):
        fastrnn.gradient_norms(numbers, "abc")
    with pytest.raises(ValueError, match="ids are for a model of a text"):
        fastrnn.gradient_norms(numbers, [1, 2])
    with pytest.raises(ValueError, match="seq_length must be"):
        fastrnn.gradient_norms(fastrnn.Model(fastrnn.Vocabulary("ab"), hidden_size=3), "abab",
                               seq_length=0)


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
